#include "nn/trainer.h"
#include "base/mem.h"
#include "nn/plan.h"
#include <string.h>

#define PARTS 8 /* widths whose networks are kept */

/* A narrower network of the trainer's, for steps of a sub-model; made at its first step. */
struct part {
    struct ln__submodel *like; /* whose graph it runs */
    struct ln__plan *plan;
    struct ln__net *net;
};

struct local {
    struct ln__trainer trainer;
    struct ln__plan *plan;
    struct ln__net *net;
    struct ln__pool *pool;
    int batch;
    struct part part[PARTS];
    size_t parts;                  /* ever made: a ninth takes the first one's place */
    float *state, *gradient, *sub; /* canonical, of the graph, of a part; made with the first part */
};

static int local_load(struct ln__trainer *trainer, const float *state, struct ln_fault *fault)
{
    (void)fault;
    ln__net_load(((struct local *)trainer)->net, state);
    return 0;
}

static void part_fini(struct part *part)
{
    ln__net_free(part->net);
    ln__plan_free(part->plan);
    ln__submodel_free(part->like);
    *part = (struct part){0};
}

static int part_make(struct local *local, const struct ln__submodel *like, struct part *part, struct ln_fault *fault)
{
    part_fini(part);
    struct ln__plan_args args = local->plan->args;
    args.optimizer = NULL;
    int error = ln__submodel_copy(like, &part->like, fault);
    if (!error) {
        args.graph = ln__submodel_graph(part->like);
        error = ln__plan_new(&args, &part->plan, fault);
    }
    if (!error)
        error = ln__net_new(part->plan, local->pool, &part->net, fault);
    if (error)
        part_fini(part);
    return error;
}

static int part_of(struct local *local, const struct ln__submodel *like, struct ln__net **net, struct ln_fault *fault)
{
    size_t state = ln__graph_state(local->plan->args.graph);
    for (size_t i = 0; i < PARTS; i++) {
        *net = local->part[i].net;
        if (*net && ln__submodel_alike(local->part[i].like, like))
            return LN_OK;
    }
    if (!local->state)
        local->state = ln__mem_alloc(3 * state * sizeof *local->state);
    if (!local->state)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a sub-model's weights");
    local->gradient = local->state + state;
    local->sub = local->gradient + state;
    struct part *part = &local->part[local->parts++ % PARTS];
    int error = ln__net_keep_gradients(local->net, fault);
    if (!error)
        error = part_make(local, like, part, fault);
    *net = part->net;
    return error;
}

/* The part's gradient becomes the net's, the rest of which is zero: what is outside of the part rests but for momentum and weight decay. */
static int part_step(struct local *local, const struct ln__trainer_step *step, struct ln__loss *out, struct ln_fault *fault)
{
    const struct ln__graph *graph = local->plan->args.graph;
    struct ln__net *net;
    int error = part_of(local, step->part, &net, fault);
    if (error)
        return error;
    ln__net_store(local->net, local->state);
    ln__submodel_take_all(step->part, local->state, local->sub);
    ln__net_load(net, local->sub);
    ln__net_forward(net, step->n, step->x, true, &step->draw);
    ln__net_loss(net, step->n, step->label, out);
    ln__net_backward(net, step->n, NULL, NULL);
    ln__net_store(net, local->sub); /* the buffers, which a forward pass changes */
    ln__submodel_give_all(step->part, local->sub, local->state);
    ln__net_buffers_set(local->net, local->state);
    ln__net_gradients(net, local->sub);
    memset(local->gradient, 0, ln__graph_state(graph) * sizeof *local->gradient);
    ln__submodel_give_all(step->part, local->sub, local->gradient);
    ln__net_gradients_set(local->net, local->gradient);
    if (step->mu != 0)
        ln__net_proximal(local->net, step->mu);
    ln__net_update(local->net, step->lr);
    return LN_OK;
}

static int local_step(struct ln__trainer *trainer, const struct ln__trainer_step *step, struct ln__loss *out, struct ln_fault *fault)
{
    struct local *local = (struct local *)trainer;
    if (step->n < 1 || step->n > local->batch)
        return ln_fault_set(fault, LN_EINVALID, "a batch of %d; this trainer was made for 1 to %d", step->n, local->batch);
    int error = LN_OK;
    if (step->part) {
        error = part_step(local, step, out, fault);
    } else {
        ln__net_forward(local->net, step->n, step->x, true, &step->draw);
        ln__net_loss(local->net, step->n, step->label, out);
        ln__net_learn(local->net, step->n, NULL, NULL, step->lr, step->mu);
    }
    return error;
}

static int local_store(struct ln__trainer *trainer, float *state, struct ln_fault *fault)
{
    (void)fault;
    ln__net_store(((struct local *)trainer)->net, state);
    return 0;
}

static void local_memory(const struct ln__trainer *trainer, struct ln__plan_memory *out)
{
    ln__plan_memory(((const struct local *)trainer)->plan, out);
}

static void local_free(struct ln__trainer *trainer)
{
    struct local *local = (struct local *)trainer;
    for (size_t i = 0; i < PARTS; i++)
        part_fini(&local->part[i]);
    ln__mem_free(local->state);
    ln__net_free(local->net);
    ln__plan_free(local->plan);
    ln__mem_free(local);
}

static const struct ln__trainer_ops local_ops = {local_load, local_step, local_store, local_memory, local_free};

int ln__trainer_local(const struct ln__plan_args *args, bool proximal, struct ln__pool *pool, struct ln__trainer **out, struct ln_fault *fault)
{
    struct local *local = ln__mem_zero(1, sizeof *local);
    if (!local)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a trainer");
    local->trainer.ops = &local_ops;
    local->batch = args->batch;
    local->pool = pool;
    struct ln__plan_args whole = *args;
    whole.segment = (struct ln__segment){0, -1};
    whole.train = true;
    whole.input_grad = false;
    whole.learn = true;
    int rc = ln__plan_new(&whole, &local->plan, fault);
    if (!rc)
        rc = ln__net_new(local->plan, pool, &local->net, fault);
    if (!rc && proximal)
        rc = ln__net_anchor(local->net, fault);
    if (rc) {
        local_free(&local->trainer);
        return rc;
    }
    *out = &local->trainer;
    return 0;
}
