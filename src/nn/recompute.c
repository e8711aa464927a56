/* Recomputation: under a budget a training plan does not keep every value for backward but makes some anew when they are asked for.
 *
 * A value that is dropped lives twice: from its step to its last reader forward, and from the moment before its first reader in backward to
 * its last one there. Between the two its memory is others'. It is made anew by its own step from inputs that are kept, or made anew
 * themselves; random draws are functions of the step's number and batch statistics are kept, so it is the same to the bit.
 *
 * What is dropped grows by rounds until the plan fits: first values of elementwise layers (norm, activation, sum, scaling, dropout, and norms around a depthwise convolution), the
 * largest first, each costing one pass over memory; then, from the first segment between two cuts on, all values within it, which
 * costs its forward pass a second time (Chen et al., "Training deep nets with sublinear memory cost", 2016). Tensors at cuts are always kept. */
#include "nn/plan.h"
#include <stdlib.h>

#define ROUNDS 16 /* parts in which each of the two kinds is tried */

struct candidate {
    int step;
    bool costly; /* more than a pass over memory */
    size_t size;
};

static int by_worth(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->costly != b->costly)
        return a->costly ? 1 : -1;
    if (!a->costly && a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->step - b->step;
}

bool ln__plan_at_cut(const struct ln__plan *plan, int tensor)
{
    const struct ln__graph *graph = plan->args.graph;
    for (int c = 0; c < graph->cuts; c++) {
        int node = graph->cut[c].node;
        while (graph->node[node].layer && graph->node[node].layer->view)
            node = graph->node[node].in[0];
        if (node == tensor)
            return true;
    }
    return false;
}

static bool read_backward(const struct ln__plan *plan, int tensor)
{
    for (int i = 0; i < plan->steps; i++) {
        const struct ln__plan_step *step = &plan->step[i];
        if (!step->backward)
            continue;
        if (step->needs.y && step->out == tensor)
            return true;
        for (int k = 0; k < step->inputs; k++)
            if (step->needs.x[k] && step->in[k] == tensor)
                return true;
    }
    return false;
}

/* All that may be dropped, in the order in which it is. */
static int list_candidates(const struct ln__plan *plan, struct candidate *out)
{
    int count = 0;
    for (int i = 0; i < plan->steps; i++) {
        const struct ln__plan_step *step = &plan->step[i];
        bool costly = plan->args.graph->node[step->node].macs > 0 && step->layer != &ln__layer_sandwich;
        if (step->out == plan->output || ln__plan_at_cut(plan, step->out) || (!costly && !read_backward(plan, step->out)))
            continue;
        out[count++] = (struct candidate){
            i, costly, ln__layout_floats(plan->args.kset, plan->args.graph->node[step->out].shape, plan->args.batch) * sizeof(float)};
    }
    qsort(out, (size_t)count, sizeof *out, by_worth);
    return count;
}

/* The round's share of the list: ROUNDS rounds for what is cheap, as many more for the rest. */
static int share(const struct candidate *list, int count, int round)
{
    int cheap = 0;
    while (cheap < count && !list[cheap].costly)
        cheap++;
    if (round <= ROUNDS)
        return (cheap * round + ROUNDS - 1) / ROUNDS;
    return cheap + ((count - cheap) * (round - ROUNDS) + ROUNDS - 1) / ROUNDS;
}

/* Makes a dropped tensor anew before backward step `at`, and first what it is made from. steps run in the order of the list. */
static void make_anew(struct ln__plan *plan, const int *maker, int tensor, int at)
{
    if (!plan->dropped[tensor] || plan->anew[maker[tensor]] >= 0)
        return;
    const struct ln__plan_step *step = &plan->step[maker[tensor]];
    plan->anew[maker[tensor]] = at;
    for (int k = 0; k < step->inputs; k++)
        make_anew(plan, maker, step->in[k], at);
}

/* Marks the first `count` of the list as dropped and says before which backward step each is made anew. */
static int drop(struct ln__plan *plan, const struct candidate *list, int count)
{
    int nodes = plan->args.graph->nodes;
    int *maker = ln__mem_zero((size_t)nodes, sizeof *maker);
    if (!maker)
        return LN_ENOMEM;
    for (int i = 0; i < nodes; i++)
        plan->dropped[i] = false;
    for (int i = 0; i < plan->steps; i++) {
        plan->anew[i] = -1;
        maker[plan->step[i].out] = i;
    }
    for (int i = 0; i < count; i++)
        plan->dropped[plan->step[list[i].step].out] = true;
    for (int s = plan->steps - 1; s >= 0; s--) {
        const struct ln__plan_step *step = &plan->step[s];
        if (!step->backward)
            continue;
        if (step->needs.y)
            make_anew(plan, maker, step->out, s);
        for (int k = 0; k < step->inputs; k++)
            if (step->needs.x[k])
                make_anew(plan, maker, step->in[k], s);
    }
    ln__mem_free(maker);
    return 0;
}

int ln__plan_drop(struct ln__plan *plan, int round, bool *more)
{
    struct candidate *list = ln__mem_zero((size_t)plan->steps, sizeof *list);
    if (!list)
        return LN_ENOMEM;
    int count = list_candidates(plan, list);
    *more = round <= 2 * ROUNDS;
    int rc = *more ? drop(plan, list, share(list, count, round)) : 0;
    ln__mem_free(list);
    return rc;
}
