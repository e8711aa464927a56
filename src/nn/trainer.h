/* A trainer is what a federated method trains with: state in, steps, state out. Whether one device works behind it or a
 * pipeline of several, a method cannot tell. */
#ifndef LINNET_NN_TRAINER_H
#define LINNET_NN_TRAINER_H

#include "nn/submodel.h"

struct ln__trainer;

/* One optimiser step. Borrowed for the call. */
struct ln__trainer_step {
    int n;                /* samples; at most the batch it was made for */
    const float *x;       /* [n][c][h][w] */
    const int32_t *label; /* [n] */
    double lr;
    double mu;                /* weight of the proximal term towards the loaded state; 0: none */
    struct ln__net_draw draw; /* dropout's stream */
    /* The step is a sub-model's of the trainer's graph: forward, loss and backward are of that network, all other gradients are zero. NULL: of the whole. */
    const struct ln__submodel *part;
};

struct ln__trainer_ops {
    /* Takes the graph's whole state (copied); the optimiser begins anew. May block. */
    int (*load)(struct ln__trainer *trainer, const float *state, struct ln_fault *fault);
    /* Forward, loss, backward, update. May block; on failure the state is that of some former step and only load or free may follow. */
    int (*step)(struct ln__trainer *trainer, const struct ln__trainer_step *step, struct ln__loss *out, struct ln_fault *fault);
    /* Writes the graph's whole state. May block. */
    int (*store)(struct ln__trainer *trainer, float *state, struct ln_fault *fault);
    void (*memory)(const struct ln__trainer *trainer, struct ln__plan_memory *out); /* of the owner's device */
    void (*free)(struct ln__trainer *trainer);
};

/* Begins every trainer's own struct. */
struct ln__trainer {
    const struct ln__trainer_ops *ops;
};

/* On this device: a plan of the whole graph and a net. proximal: mu will be used, so a copy of the loaded weights is kept. args: segment,
 * train, input_grad and learn are set here; the rest as for ln__plan_new. Free by ops->free. */
int ln__trainer_local(const struct ln__plan_args *args, bool proximal, struct ln__pool *pool, struct ln__trainer **out,
                      struct ln_fault *fault) LN_MUST_CHECK;

static inline int ln__trainer_load(struct ln__trainer *trainer, const float *state, struct ln_fault *fault)
{
    return trainer->ops->load(trainer, state, fault);
}
static inline int ln__trainer_step(struct ln__trainer *trainer, const struct ln__trainer_step *step, struct ln__loss *out, struct ln_fault *fault)
{
    return trainer->ops->step(trainer, step, out, fault);
}
static inline int ln__trainer_store(struct ln__trainer *trainer, float *state, struct ln_fault *fault)
{
    return trainer->ops->store(trainer, state, fault);
}
static inline void ln__trainer_memory(const struct ln__trainer *trainer, struct ln__plan_memory *out)
{
    trainer->ops->memory(trainer, out);
}
static inline void ln__trainer_free(struct ln__trainer *trainer)
{
    if (trainer)
        trainer->ops->free(trainer);
}

#endif
