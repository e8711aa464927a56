#include "fed/worker.h"

#include <string.h>

static size_t largest(const struct ln__env *env)
{
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param), most = 1;
    for (size_t i = 0; i < count; i++)
        most = param[i].count > most ? param[i].count : most;
    return most;
}

int ln__worker_new(const struct ln__env *env, struct ln__pool *pool, struct ln__worker **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__worker *worker = ln__mem_zero(1, sizeof *worker);
    if (!worker)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a worker");
    worker->env = env;
    worker->pool = pool;
    worker->batch = (int)(env->recipe->train.batch > env->recipe->eval.batch ? env->recipe->train.batch : env->recipe->eval.batch);
    size_t sample = (size_t)env->set.c * (size_t)env->set.h * (size_t)env->set.w;
    worker->x = ln__mem_alloc((size_t)worker->batch * sample * sizeof *worker->x);
    worker->y = ln__mem_alloc((size_t)worker->batch * sizeof *worker->y);
    worker->values = ln__mem_alloc(largest(env) * sizeof *worker->values);
    ln__buf_init(&worker->through, ln__update_bound(env, &env->recipe->codec.down));
    ln__buf_init(&worker->update, ln__update_bound(env, &env->recipe->codec.up) + env->state * sizeof(float));
    if (!worker->x || !worker->y || !worker->values) {
        ln_fault_set(fault, LN_ENOMEM, "no memory for batches of %d", worker->batch);
        ln__worker_free(worker);
        return LN_ENOMEM;
    }
    *out = worker;
    return LN_OK;
}

void ln__worker_free(struct ln__worker *worker)
{
    if (!worker)
        return;
    for (size_t i = 0; i < worker->nets; i++) {
        ln__net_free(worker->made[i].net);
        ln__plan_free(worker->made[i].plan);
    }
    ln__trainer_free(worker->trainer);
    for (size_t i = 0; i < LN__WORKER_PARTS; i++) {
        ln__trainer_free(worker->part[i].trainer);
        ln__submodel_free(worker->part[i].like);
    }
    for (int i = 0; i < LN__WORKER_STATES; i++)
        ln__mem_free(worker->state[i]);
    ln__mem_free(worker->x);
    ln__mem_free(worker->y);
    ln__mem_free(worker->order);
    ln__mem_free(worker->values);
    ln__buf_fini(&worker->update);
    ln__blob_unref(worker->down);
    ln__buf_fini(&worker->through);
    ln__mem_free(worker->down_state);
    ln__mem_free(worker->down_bytes);
    ln__mem_free(worker);
}

void ln__worker_stop_at(struct ln__worker *worker, const volatile int *stop)
{
    worker->stop = stop;
}

bool ln__worker_stopped(const struct ln__worker *worker)
{
    return worker->stop && __atomic_load_n(worker->stop, __ATOMIC_RELAXED);
}

float *ln__worker_state(struct ln__worker *worker, int slot)
{
    if (!worker->state[slot])
        worker->state[slot] = ln__mem_zero(worker->env->state, sizeof(float));
    return worker->state[slot];
}

static struct ln__plan_args plan_args(const struct ln__worker *worker)
{
    const struct ln__recipe *recipe = worker->env->recipe;
    return (struct ln__plan_args){.graph = worker->env->graph,
                                  .segment = {0, -1},
                                  .batch = (int)recipe->train.batch,
                                  .train = true,
                                  .learn = true,
                                  .kset = worker->env->kset,
                                  .width = ln__pool_width(worker->pool),
                                  .optimizer = &recipe->train.optimizer,
                                  .sparsity = &recipe->sparsity,
                                  .memory_max = (size_t)recipe->train.memory_mb * 1000000};
}

static bool same_wish(const struct ln__net_wish *a, const struct ln__net_wish *b)
{
    return a->segment.from == b->segment.from && a->segment.to == b->segment.to && a->batch == b->batch && a->train == b->train &&
           a->input_grad == b->input_grad && a->copy == b->copy && a->test == b->test && a->side == b->side;
}

int ln__worker_net(struct ln__worker *worker, const struct ln__net_wish *wish, struct ln__net **net, struct ln_fault *fault)
{
    for (size_t i = 0; i < worker->nets; i++) {
        if (same_wish(&worker->made[i].wish, wish)) {
            *net = worker->made[i].net;
            return LN_OK;
        }
    }
    if (worker->nets == LN__WORKER_NETS)
        return ln_fault_set(fault, LN_EBUDGET, "a method wants more than %d networks", LN__WORKER_NETS);
    struct ln__plan_args args = plan_args(worker);
    if (wish->side)
        args.graph = worker->env->side;
    if (wish->test)
        args.kset = ln__kset_float(args.kset);
    args.segment = wish->segment;
    args.batch = wish->batch;
    args.train = wish->train;
    if (!wish->train || wish->segment.from > 0)
        args.memory_max = 0; /* the budget is of training on a device: not of tests, and not of the server's half */
    args.input_grad = wish->input_grad;
    struct ln__plan *plan = NULL;
    int error = ln__plan_new(&args, &plan, fault);
    if (!error)
        error = ln__net_new(plan, worker->pool, net, fault);
    if (error) {
        ln__plan_free(plan);
        return error;
    }
    worker->made[worker->nets].wish = *wish;
    worker->made[worker->nets].plan = plan;
    worker->made[worker->nets++].net = *net;
    return LN_OK;
}

static int make_trainer(struct ln__worker *worker, const struct ln__graph *graph, struct ln__trainer **out, struct ln_fault *fault)
{
    const struct ln_strategy *strategy = (const struct ln_strategy *)worker->env->recipe->strategy.plugin;
    struct ln__plan_args args = plan_args(worker);
    args.graph = graph;
    return ln__trainer_local(&args, strategy->local != NULL, worker->pool, out, fault);
}

/* Tasks whose parts have the same shapes share a trainer; with more shapes than there is room for the first ones give way. */
static int part_trainer(struct ln__worker *worker, const struct ln__submodel *part, struct ln__trainer **out, struct ln_fault *fault)
{
    for (size_t i = 0; i < LN__WORKER_PARTS; i++) {
        *out = worker->part[i].trainer;
        if (*out && ln__submodel_alike(worker->part[i].like, part))
            return LN_OK;
    }
    size_t at = worker->parts++ % LN__WORKER_PARTS;
    ln__trainer_free(worker->part[at].trainer);
    ln__submodel_free(worker->part[at].like);
    worker->part[at].trainer = NULL;
    int error = ln__submodel_copy(part, &worker->part[at].like, fault);
    if (!error)
        error = make_trainer(worker, ln__submodel_graph(worker->part[at].like), &worker->part[at].trainer, fault);
    *out = worker->part[at].trainer;
    return error;
}

int ln__worker_trainer(struct ln__worker *worker, const struct ln__submodel *part, struct ln__trainer **out, struct ln_fault *fault)
{
    if (part)
        return part_trainer(worker, part, out, fault);
    int error = worker->trainer ? LN_OK : make_trainer(worker, worker->env->graph, &worker->trainer, fault);
    *out = worker->trainer;
    return error;
}

int ln__worker_order(struct ln__worker *worker, uint32_t samples, struct ln_fault *fault)
{
    if (samples <= worker->orders)
        return LN_OK;
    uint32_t *order = ln__mem_alloc((size_t)samples * sizeof *order);
    if (!order)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the order of %u samples", samples);
    ln__mem_free(worker->order);
    worker->order = order;
    worker->orders = samples;
    return LN_OK;
}

int ln__worker_update(struct ln__worker *worker, const struct ln__task *task, struct ln_fault *fault)
{
    if (worker->updating)
        return LN_OK;
    int error = ln__update_begin(worker->env, task->client, task->turn, &worker->update);
    if (error)
        return ln_fault_set(fault, error, "no memory for an update");
    worker->updating = true;
    return LN_OK;
}
