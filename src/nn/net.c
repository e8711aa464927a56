#include "nn/net.h"
#include <string.h>

int ln__net_new(const struct ln__plan *plan, struct ln__pool *pool, struct ln__net **out, struct ln_fault *fault)
{
    if (ln__pool_width(pool) > plan->args.width)
        return ln_fault_set(fault, LN_EINVALID, "%s was planned for %u threads, not %u", plan->args.graph->name, plan->args.width,
                            ln__pool_width(pool));
    size_t head = (sizeof(struct ln__net) + LN_ALIGN - 1) / LN_ALIGN * LN_ALIGN;
    size_t fixed = plan->memory.weights + plan->memory.gradients + plan->memory.optimizer;
    size_t levels = plan->sparse ? (size_t)plan->steps * sizeof(struct ln__sparse_levels) : 0;
    levels = (levels + LN_ALIGN - 1) / LN_ALIGN * LN_ALIGN;
    unsigned char *block = ln__mem_alloc(head + levels + fixed + plan->arena_bytes);
    if (!block)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for the %.1f MiB that were planned", plan->args.graph->name,
                            (double)plan->memory.total / (1024 * 1024));
    memset(block, 0, head + levels + plan->memory.weights + plan->memory.gradients); /* a load clears the slots; the arena is written first */
    struct ln__net *net = (struct ln__net *)block;
    net->plan = plan;
    net->pool = pool;
    net->levels = levels ? (struct ln__sparse_levels *)(block + head) : NULL;
    net->weight = (float *)(block + head + levels);
    net->buffer = net->weight + plan->weight_floats;
    float *end = net->buffer + plan->buffer_floats;
    if (plan->memory.gradients) {
        net->gradient = end;
        end += plan->weight_floats;
    }
    for (int i = 0; i < plan->slots; i++) {
        net->slot[i] = end;
        end += plan->weight_floats;
    }
    net->arena = (unsigned char *)end;
    *out = net;
    return 0;
}

void ln__net_free(struct ln__net *net)
{
    if (!net)
        return;
    ln__mem_free(net->anchor);
    ln__mem_free(net->kept);
    ln__mem_free(net);
}

/* ---- state ---- */

static float *param_at(const struct ln__net *net, int param)
{
    return (net->plan->args.graph->param[param].buffer ? net->buffer : net->weight) + net->plan->place[param];
}

/* Training begins with the weights that are there. */
static void begin(struct ln__net *net)
{
    size_t bytes = net->plan->weight_floats * sizeof(float);
    for (int i = 0; i < net->plan->slots; i++)
        memset(net->slot[i], 0, bytes);
    if (net->anchor)
        memcpy(net->anchor, net->weight, bytes);
    net->updates = net->steps = 0;
    net->tested = false;
}

void ln__net_load(struct ln__net *net, const float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_pack(graph, i, plan->args.kset, state + graph->param[i].offset, param_at(net, i));
    begin(net);
}

int ln__net_init(struct ln__net *net, uint64_t seed, struct ln_fault *fault)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    size_t most = 1;
    for (int i = 0; i < graph->params; i++)
        most = graph->param[i].count > most ? graph->param[i].count : most;
    float *tensor = ln__mem_alloc(most * sizeof *tensor);
    if (!tensor)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for a tensor of %zu values", graph->name, most);
    for (int i = 0; i < graph->params; i++) {
        if (plan->place[i] == LN__NOWHERE)
            continue;
        ln__param_init(graph, i, seed, tensor);
        ln__param_pack(graph, i, plan->args.kset, tensor, param_at(net, i));
    }
    ln__mem_free(tensor); /* before the slots become resident */
    begin(net);
    return LN_OK;
}

void ln__net_store(const struct ln__net *net, float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_unpack(graph, i, plan->args.kset, param_at(net, i), state + graph->param[i].offset);
}

void ln__net_gradients(const struct ln__net *net, float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->trainable_params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_unpack(graph, i, plan->args.kset, net->gradient + plan->place[i], state + graph->param[i].offset);
}

void ln__net_gradients_set(struct ln__net *net, const float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->trainable_params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_pack(graph, i, plan->args.kset, state + graph->param[i].offset, net->gradient + plan->place[i]);
}

void ln__net_buffers_set(struct ln__net *net, const float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = graph->trainable_params; i < graph->params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_pack(graph, i, plan->args.kset, state + graph->param[i].offset, param_at(net, i));
}

int ln__net_slots(const struct ln__net *net)
{
    return net->plan->slots;
}

uint64_t ln__net_updates(const struct ln__net *net)
{
    return net->updates;
}

void ln__net_updates_restore(struct ln__net *net, uint64_t updates)
{
    net->updates = updates;
}

void ln__net_rank_anew(struct ln__net *net)
{
    net->steps = 0;
}

/* A slot lies as the weights do. */
void ln__net_slot_store(const struct ln__net *net, int slot, float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->trainable_params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_unpack(graph, i, plan->args.kset, net->slot[slot] + plan->place[i], state + graph->param[i].offset);
}

void ln__net_slot_restore(struct ln__net *net, int slot, const float *state)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    for (int i = 0; i < graph->trainable_params; i++)
        if (plan->place[i] != LN__NOWHERE)
            ln__param_pack(graph, i, plan->args.kset, state + graph->param[i].offset, net->slot[slot] + plan->place[i]);
}

/* ---- a run ---- */

static float *arena_at(const struct ln__net *net, size_t offset)
{
    return offset == LN__NOWHERE ? NULL : (float *)(net->arena + offset);
}

/* Each dropout layer of each step has 2^32 words of the stream to itself. */
static uint64_t first_word(const struct ln__net *net, int node)
{
    return (net->draw.step * (uint64_t)net->plan->args.graph->nodes + (uint64_t)node) << 32;
}

/* Where the gradient of a trainable parameter that lies at `place` goes; NULL: nowhere, or to the sink. */
static float *gradient_at(const struct ln__net *net, const struct ln__plan_step *step, const struct ln__learnt *learnt, size_t place)
{
    if (net->gradient)
        return net->gradient + place;
    if (step->gradient == LN__NOWHERE || place < learnt->place || place - learnt->place >= learnt->floats)
        return NULL;
    return arena_at(net, step->gradient) + learnt->offset + (place - learnt->place);
}

static void params_of(const struct ln__net *net, const struct ln__plan_step *step, const struct ln__learnt *learnt, const struct ln__node *node,
                      float **param, float **grad)
{
    const struct ln__plan *plan = net->plan;
    for (int i = 0; i < node->params; i++) {
        int at = node->param[i];
        param[i] = param_at(net, at);
        grad[i] = plan->args.graph->param[at].buffer ? NULL : gradient_at(net, step, learnt, plan->place[at]);
    }
}

static void norm_of(const struct ln__net *net, const struct ln__plan_step *step, const struct ln__plan_norm *norm, const struct ln__learnt *learnt,
                    struct ln__call_norm *out)
{
    if (!norm->node)
        return;
    out->node = &net->plan->args.graph->node[norm->node];
    out->act = norm->act;
    params_of(net, step, learnt, out->node, out->param, out->grad);
}

/* value: the tensors' places, forward's or backward's. */
static struct ln__call call_of(const struct ln__net *net, const struct ln__plan_step *step, int n, bool train, const size_t *value)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    struct ln__call call = {.node = &graph->node[step->node],
                            .kset = plan->args.kset,
                            .pool = net->pool,
                            .n = n,
                            .train = train,
                            .act = step->act,
                            .norm = graph->norm,
                            .y = arena_at(net, value[step->out]),
                            .saved = arena_at(net, step->saved)};
    for (int k = 0; k < step->inputs; k++)
        call.x[k] = arena_at(net, value[step->in[k]]);
    params_of(net, step, &step->learnt[0], call.node, call.param, call.grad);
    norm_of(net, step, &step->before, &step->learnt[1], &call.before);
    norm_of(net, step, &step->behind, &step->learnt[2], &call.behind);
    call.set = ln__plan_own(plan);
    if (step->sparse.set) {
        call.sparse = &step->sparse;
        call.levels = &net->levels[step - plan->step];
    }
    if (step->layer->draws) {
        call.key = net->draw.key;
        call.first = first_word(net, step->node);
    }
    return call;
}

/* Before a training pass with new thresholds: how much each layer keeps. */
static void share_weights(struct ln__net *net)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__graph *graph = plan->args.graph;
    const struct ln__sparse_step *step[LN__NODES];
    const float *momentum[LN__NODES];
    struct ln__sparse_levels *levels[LN__NODES];
    size_t count = 0;
    bool by_momentum = false;
    for (int i = 0; i < plan->steps; i++) {
        if (!plan->step[i].sparse.set)
            continue;
        net->levels[i].keep = plan->step[i].sparse.keep;
        by_momentum = plan->step[i].sparse.how.distribution == LN__MOMENTUM;
        step[count] = &plan->step[i].sparse;
        levels[count] = &net->levels[i];
        momentum[count++] = net->slot[0] ? net->slot[0] + plan->place[graph->node[plan->step[i].node].param[0]] : NULL;
    }
    if (by_momentum)
        ln__sparse_share(count, step, momentum, levels);
}

/* Whether this pass finds thresholds: in training every `period` steps from the load on, else where the weights are new. */
static bool ranks(struct ln__net *net, bool train)
{
    const struct ln__plan *plan = net->plan;
    uint64_t period = 1;
    if (!plan->sparse)
        return false;
    for (int i = 0; i < plan->steps; i++)
        period = plan->step[i].sparse.set ? plan->step[i].sparse.how.period : period;
    bool rank = train ? net->steps % period == 0 : !net->tested;
    if (train && rank)
        share_weights(net);
    net->steps += train;
    net->tested |= !train;
    return rank;
}

void ln__net_forward(struct ln__net *net, int n, const float *x, bool train, const struct ln__net_draw *draw)
{
    const struct ln__plan *plan = net->plan;
    struct ln__shape in = plan->args.graph->node[plan->from].shape;
    if (draw)
        net->draw = *draw;
    net->draw.key.purpose = LN__FOR_DROPOUT;
    net->trained = train;
    plan->args.kset->pack(n, in.c, in.h * in.w, x, arena_at(net, plan->value[plan->from]), net->pool);
    bool rank = ranks(net, train);
    for (int i = 0; i < plan->steps; i++) {
        const struct ln__plan_step *step = &plan->step[i];
        struct ln__call call = call_of(net, step, n, train, plan->value);
        call.rank = rank;
        call.scratch = arena_at(net, step->scratch_forward);
        step->layer->forward(&call);
    }
}

void ln__net_output(const struct ln__net *net, int n, float *y)
{
    const struct ln__plan *plan = net->plan;
    struct ln__shape out = plan->args.graph->node[plan->output].shape;
    plan->args.kset->unpack(n, out.c, out.h * out.w, arena_at(net, plan->value[plan->output]), y, net->pool);
}

void ln__net_loss(struct ln__net *net, int n, const int32_t *label, struct ln__loss *out)
{
    const struct ln__plan *plan = net->plan;
    float *dlogits = net->trained ? arena_at(net, plan->grad[plan->output]) : NULL;
    out->sum = plan->args.kset->softmax_loss(n, plan->args.graph->classes, arena_at(net, plan->value[plan->output]), label, dlogits, &out->correct);
}

/* Makes anew what was dropped and backward of step `at` is the first to read. */
static void make_anew(const struct ln__net *net, int n, int at)
{
    const struct ln__plan *plan = net->plan;
    for (int i = 0; i <= at; i++) {
        if (plan->anew[i] != at)
            continue;
        const struct ln__plan_step *step = &plan->step[i];
        struct ln__call call = call_of(net, step, n, true, plan->later);
        call.anew = true;
        call.scratch = arena_at(net, step->scratch_anew);
        step->layer->forward(&call);
    }
}

/* ---- update ---- */

/* One optimiser step over `size` floats of weights from `at` on, whose gradient is g. */
static void move(const struct ln__net *net, double lr, size_t at, size_t size, const float *g, struct ln__pool *pool)
{
    const struct ln__plan *plan = net->plan;
    const struct ln__optimizer *optimizer = (const struct ln__optimizer *)plan->optimizer.plugin;
    float *slot[2];
    for (int i = 0; i < 2; i++)
        slot[i] = net->slot[i] ? net->slot[i] + at : NULL;
    optimizer->update(plan->optimizer.options, plan->args.kset, lr, net->updates, size, g, net->weight + at, slot[0], slot[1], pool);
}

void ln__net_update(struct ln__net *net, double lr)
{
    net->updates++;
    net->tested = false;
    move(net, lr, 0, net->plan->weight_floats, net->gradient, net->pool);
}

/* What moves a step's parameters while its backward runs, and after it. */
struct learner {
    struct ln__sink sink;
    const struct ln__net *net;
    double lr, mu;
    size_t place; /* of parameter 0 */
};

static void learn(const struct learner *learner, size_t at, size_t size, float *g, struct ln__pool *pool)
{
    const struct ln__net *net = learner->net;
    if (learner->mu != 0 && net->anchor)
        net->plan->args.kset->proximal(size, (float)learner->mu, net->weight + at, net->anchor + at, g, pool);
    move(net, learner->lr, at, size, g, pool);
}

static void learn_piece(const struct ln__sink *sink, size_t first, size_t count, float *g)
{
    const struct learner *learner = (const struct learner *)sink;
    learn(learner, learner->place + first, count, g, NULL);
}

/* Zero where no kernel writes. */
static void clear_gaps(const struct ln__net *net, const struct ln__plan_step *step)
{
    for (int i = 0; i < LN__STEP_NODES; i++) {
        const struct ln__learnt *learnt = &step->learnt[i];
        if (learnt->gaps)
            memset(arena_at(net, step->gradient) + learnt->offset, 0, learnt->floats * sizeof(float));
    }
}

/* Moves those parameters of a step whose gradients the arena holds. */
static void learn_step(const struct learner *learner, const struct ln__plan_step *step)
{
    const struct ln__net *net = learner->net;
    for (int i = 0; i < LN__STEP_NODES; i++) {
        const struct ln__learnt *learnt = &step->learnt[i];
        if (learnt->floats)
            learn(learner, learnt->place, learnt->floats, arena_at(net, step->gradient) + learnt->offset, net->pool);
    }
}

/* ---- backward ---- */

/* learner: or NULL, gradients are kept. */
static void backward(struct ln__net *net, int n, const float *dy, float *dx, struct learner *learner)
{
    const struct ln__plan *plan = net->plan;
    struct ln__shape out = plan->args.graph->node[plan->output].shape, in = plan->args.graph->node[plan->from].shape;
    float *dout = arena_at(net, plan->grad[plan->output]);
    if (dy && dout)
        plan->args.kset->pack(n, out.c, out.h * out.w, dy, dout, net->pool);
    for (int i = plan->steps - 1; i >= 0; i--) {
        const struct ln__plan_step *step = &plan->step[i];
        if (!step->backward)
            continue;
        make_anew(net, n, i);
        struct ln__call call = call_of(net, step, n, true, plan->later);
        call.scratch = arena_at(net, step->scratch_backward);
        call.dy = arena_at(net, plan->grad[step->out]);
        for (int k = 0; k < step->inputs; k++) {
            call.dx[k] = step->grad[k] ? arena_at(net, plan->grad[step->in[k]]) : NULL;
            call.add[k] = step->add[k];
        }
        if (learner)
            clear_gaps(net, step);
        if (learner && step->sinks) {
            learner->place = plan->place[call.node->param[0]];
            call.sink = &learner->sink;
        }
        step->layer->backward(&call);
        if (learner)
            learn_step(learner, step);
    }
    if (dx && plan->grad[plan->from] != LN__NOWHERE)
        plan->args.kset->unpack(n, in.c, in.h * in.w, arena_at(net, plan->grad[plan->from]), dx, net->pool);
}

void ln__net_backward(struct ln__net *net, int n, const float *dy, float *dx)
{
    backward(net, n, dy, dx, NULL);
}

void ln__net_learn(struct ln__net *net, int n, const float *dy, float *dx, double lr, double mu)
{
    if (net->gradient) {
        ln__net_backward(net, n, dy, dx);
        if (mu != 0)
            ln__net_proximal(net, mu);
        ln__net_update(net, lr);
        return;
    }
    struct learner learner = {{learn_piece}, net, lr, mu, 0};
    net->updates++;
    net->tested = false;
    backward(net, n, dy, dx, &learner);
}

int ln__net_keep_gradients(struct ln__net *net, struct ln_fault *fault)
{
    if (net->gradient)
        return 0;
    net->kept = ln__mem_zero(net->plan->weight_floats, sizeof(float));
    if (!net->kept)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for gradients", net->plan->args.graph->name);
    net->gradient = net->kept;
    return 0;
}

/* ---- the proximal term ---- */

int ln__net_anchor(struct ln__net *net, struct ln_fault *fault)
{
    size_t bytes = net->plan->weight_floats * sizeof(float);
    if (net->anchor || !bytes)
        return 0;
    net->anchor = ln__mem_alloc(bytes);
    if (!net->anchor)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for a copy of the weights", net->plan->args.graph->name);
    memcpy(net->anchor, net->weight, bytes);
    return 0;
}

void ln__net_proximal(struct ln__net *net, double mu)
{
    if (net->anchor)
        net->plan->args.kset->proximal(net->plan->weight_floats, (float)mu, net->weight, net->anchor, net->gradient, net->pool);
}

int ln__optimizer_check(const struct ln_choice *optimizer, struct ln_fault *fault)
{
    const struct ln__optimizer *plugin = (const struct ln__optimizer *)(const void *)optimizer->plugin;
    return plugin->check ? plugin->check(optimizer->options, fault) : LN_OK;
}

double ln__optimizer_lr(const struct ln_choice *optimizer)
{
    return *(const double *)optimizer->options;
}
