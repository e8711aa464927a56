/* A plan from inside (nn and its tests): the steps of a segment and where each of their buffers lies.
 *
 * Moments: 0 packs the input; step s runs forward at s + 1; the loss at L = steps + 1; step s backward at L + 2 (steps - s), and what it
 * needs and was dropped (recompute.c) is made anew just before; the input's gradient is read at L + 2 steps + 1. Each buffer is alive from
 * the moment it is written first to the moment it is read last.
 *
 *     memory of a net:  weights | buffers | gradients | optimiser slots | arena      (a plan that is to learn: its gradients are in the arena)
 *
 * The first parts hold the parameters of the segment one after another, each in the set's layout, rounded up to LN_ALIGN; gradients and
 * slots have the same order as the weights, so that an update is one call over all of them. */
#ifndef LINNET_NN_PLAN_H
#define LINNET_NN_PLAN_H

#include "nn/layer.h"

#define LN__NOWHERE ((size_t)-1)

#define LN__STEP_NODES 3 /* that a step has: its own, and a sandwich's two norms */
struct ln__plan_step {
    const struct ln__layer *layer; /* NULL: taken out by a rewriting pass */
    int node;                      /* whose attributes and parameters */
    enum ln__act act;              /* fused behind it; before it, where it is a maximum */
    struct ln__plan_norm {
        int node; /* 0: none */
        enum ln__act act;
    } before, behind;                /* of a sandwich */
    int inputs, in[LN__INPUTS], out; /* tensors; views are replaced by what they show */
    bool backward;                   /* has something to do there */
    bool grad[LN__INPUTS], add[LN__INPUTS];
    struct ln__needs needs;
    struct ln__sparse_step sparse; /* set NULL: dense */
    struct ln__learnt {
        size_t place, floats; /* among the weights, with the padding behind each parameter */
        size_t offset;        /* floats of the step's gradient in front */
        bool gaps;            /* some are no parameter's: lanes of no channel, padding */
    } learnt[LN__STEP_NODES]; /* a plan that is to learn: the parameters of each node whose gradients the arena holds */
    bool sinks;               /* the gradient of parameter 0 is not among them: it moves while backward runs */
    size_t gradient_floats;   /* of all of them */
    size_t saved, scratch_forward, scratch_backward, scratch_anew, gradient; /* byte offsets in the arena, or LN__NOWHERE */
};

struct ln__plan {
    struct ln__plan_args args;
    struct ln_choice optimizer, sparsity; /* args point here */
    int from, to;                         /* nodes of the segment: (from, to] */
    const struct ln__sparse_kset *sparse; /* or NULL: no layer of the segment is; args.kset is its dense part */
    int output;                           /* tensor: what `to` shows */
    struct ln__plan_step *step;           /* in order */
    int steps;
    size_t *value, *grad; /* per tensor: byte offset in the arena, or LN__NOWHERE */
    size_t *later;        /* per tensor: its place in backward: value, unless it was dropped */
    bool *dropped;        /* per tensor: not kept, made anew where backward reads it */
    int *anew;            /* per step: before which step's backward it is run again, or -1; those of one run in order */
    int rounds;           /* of dropping that it took to fit */
    size_t *place;        /* per parameter: float offset in the weights (buffers: in the buffers), or LN__NOWHERE */
    size_t weight_floats, buffer_floats, arena_bytes;
    int slots;
    struct ln__plan_memory memory;
};

/* The sparse set whose own layout the plan runs on; NULL: it is a dense one's. */
static inline const struct ln__sparse_kset *ln__plan_own(const struct ln__plan *plan)
{
    return plan->sparse && !plan->sparse->masked ? plan->sparse : NULL;
}

/* As ln__plan_new; shared false gives every buffer memory of its own, fused false leaves the steps as the graph has them (tests). */
int ln__plan_new_as(const struct ln__plan_args *args, bool shared, bool fused, struct ln__plan **out, struct ln_fault *fault) LN_MUST_CHECK;

/* fuse.c: batch norm with the addition and activation behind it, a depthwise convolution with both norms around it, and ReLU with the maximum behind
 * it, where nothing else reads what is in between and the plan's kernel set can. */
void ln__plan_fuse(struct ln__plan *plan);

/* recompute.c: chooses what is dropped, more with every round from 1 on; *more false: no such round. */
int ln__plan_drop(struct ln__plan *plan, int round, bool *more) LN_MUST_CHECK;

/* Whether a tensor lies at a cut of the graph: it is always kept, and no sandwich reaches over it, so that halves compute what the whole does, bit
 * for bit. */
bool ln__plan_at_cut(const struct ln__plan *plan, int tensor);

/* How many steps read a tensor, the segment's output counting once more. */
int ln__plan_readers(const struct ln__plan *plan, int tensor);

#endif
