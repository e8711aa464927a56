/* Networks: a graph of layers, cut into segments, planned into memory, bound, run.
 *
 *     model plug-in --build--> graph --plan(segment, batch)--> plan --bind--> net --step, step, step ...
 *
 * The graph knows shapes and parameters. The plan knows every byte before the run: parameters and activations in the kernel
 * set's layout, buffers shared by live range, scratch. The net is one allocation carved by the plan; forward, backward and
 * update allocate nothing.
 *
 * The *state* of a model is one canonical float vector: all parameters in graph order (PyTorch's shapes and order of elements), then,
 * for norm: running, the buffers. It is what travels, is folded, stored and exported; a net holds a packed copy. */
#ifndef LINNET_NN_NN_H
#define LINNET_NN_NN_H

#include "base/conf.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include <linnet/plugin.h>
#include <stdio.h>

struct ln__shape {
    int c, h, w;
};

#define LN__NAME 96

/* One tensor of the state. */
struct ln__param {
    char name[LN__NAME]; /* torchvision's, as "layer1.0.conv1.weight" */
    int dims;
    int64_t dim[4];
    size_t offset, count; /* floats in the state */
    bool buffer;          /* running statistics: no gradient, averaged by the fold like the rest */
    int node;             /* the layer it belongs to */
};

struct ln__graph; /* see nn/graph.h for building one */

/* ---- models ---- */
enum ln__norm { LN__NORM_BATCH, LN__NORM_RUNNING };

struct ln__model_args {
    struct ln__shape input;
    int classes;
    enum ln__norm norm;
};

struct ln__model {
    struct ln_plugin plugin;
    struct ln__shape input; /* the usual one; build accepts others where the network allows */
    int (*build)(const void *options, const struct ln__model_args *args, struct ln__graph *graph, struct ln_fault *fault);
};

/* Builds and checks the graph of a chosen model. */
int ln__model_graph(const struct ln_choice *model, const struct ln__model_args *args, struct ln__graph **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__graph_free(struct ln__graph *graph);

size_t ln__graph_params(const struct ln__graph *graph, const struct ln__param **out); /* count */
size_t ln__graph_state(const struct ln__graph *graph);                                /* floats in the state */
size_t ln__graph_trainable(const struct ln__graph *graph);                            /* parameters: the model's published count */
struct ln__shape ln__graph_input(const struct ln__graph *graph);
int ln__graph_classes(const struct ln__graph *graph);

/* Cut points, from 1: the edges where one tensor crosses. Cut 0 is the input, cut ln__graph_cuts() + 1 the logits. A segment is what
 * lies between two of them. */
int ln__graph_cuts(const struct ln__graph *graph);
struct ln__cut {
    const char *name; /* "after pool 2" */
    struct ln__shape shape;
    size_t state_before;  /* floats of parameters (not buffers) in front of the cut */
    uint64_t macs_before; /* of one forward of one sample */
    bool nonnegative;     /* the tensor is a ReLU's output, or pooled from one */
};
int ln__graph_cut(const struct ln__graph *graph, int cut, struct ln__cut *out) LN_MUST_CHECK; /* LN_EINVALID: no such cut */

struct ln__segment {
    int from, to; /* cuts; {0, -1} is the whole graph */
};
/* Whether the tensor belongs to the segment, and multiply-adds of a forward of one sample through it. Backward is twice that, less
 * the first layer's input gradient, which ln__segment_macs_train leaves out as the engine does. */
bool ln__segment_holds(const struct ln__graph *graph, struct ln__segment segment, size_t param);
uint64_t ln__segment_macs(const struct ln__graph *graph, struct ln__segment segment);
uint64_t ln__segment_macs_train(const struct ln__graph *graph, struct ln__segment segment);

/* Random initial state: PyTorch's default initialisation (Kaiming-uniform with a = sqrt 5 for weights and 1/sqrt(fan in) for biases; 1 and 0
 * for norms), drawn from seed and the tensor's index. */
void ln__graph_init(const struct ln__graph *graph, uint64_t seed, float *state);

/* ---- plan and net ---- */
struct ln__plan_args {
    const struct ln__graph *graph; /* must outlive the plan */
    struct ln__segment segment;
    int batch;       /* most samples a run; fewer are fine */
    bool train;      /* backward and update too */
    bool input_grad; /* train: the gradient of the segment's input is wanted */
    bool learn;      /* train: ln__net_learn follows a forward pass, so that no gradient need be kept and none has memory of its own */
    const struct ln__kset *kset;
    unsigned width;                    /* of the pool it will run on */
    const struct ln_choice *optimizer; /* train: says how much state a parameter has */
    const struct ln_choice *sparsity;  /* or NULL: none */
    size_t memory_max;                 /* bytes; 0: any. Over it is LN_EBUDGET, said before the run */
};
struct ln__plan;
int ln__plan_new(const struct ln__plan_args *args, struct ln__plan **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__plan_free(struct ln__plan *plan);

struct ln__plan_memory {
    size_t weights, gradients, optimizer, activations, scratch; /* bytes; activations as shared, */
    size_t activations_unshared;                                /* and what they would be each in memory of its own */
    size_t total;
};
void ln__plan_memory(const struct ln__plan *plan, struct ln__plan_memory *out);
/* Name of the kernel set it runs on: args.kset's, or with sparse layers "sparse-avx2" or "masked-avx2" (nn/sparsity.h). Lives as long as the program. */
const char *ln__plan_kernels(const struct ln__plan *plan);

/* The plan must outlive its nets and is constant: any number of nets may share it, each used by one thread at a time. */
struct ln__net;
int ln__net_new(const struct ln__plan *plan, struct ln__pool *pool, struct ln__net **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__net_free(struct ln__net *net);

/* Whole-graph state in and out; a net of a segment reads and writes only its own tensors. load also clears the optimiser's state. */
void ln__net_load(struct ln__net *net, const float *state);
/* A load of the state that ln__graph_init draws from seed, one tensor at a time: never more than the largest lies beside the net. LN_ENOMEM. */
int ln__net_init(struct ln__net *net, uint64_t seed, struct ln_fault *fault) LN_MUST_CHECK;
void ln__net_store(const struct ln__net *net, float *state);
/* Gradients of the last backward, in canonical order (tests, gradient methods); and others in their place, for an update. Of a plan that is to
 * learn only once they are kept. */
void ln__net_gradients(const struct ln__net *net, float *state);
void ln__net_gradients_set(struct ln__net *net, const float *state);
/* The buffers (running statistics) of a state, and no other of its tensors. */
void ln__net_buffers_set(struct ln__net *net, const float *state);

/* Which draws of dropout belong to this run: set before each training forward. */
struct ln__net_draw {
    struct ln__key key; /* purpose is overwritten */
    uint64_t step;
};

/* x: canonical [n][c][h][w] of the segment's input. With train, batch statistics, dropout, and what backward needs is kept; without,
 * norm: running uses its statistics. */
void ln__net_forward(struct ln__net *net, int n, const float *x, bool train, const struct ln__net_draw *draw);
/* Canonical; logits for the last segment. Between a forward and its backward, which takes the memory for gradients. */
void ln__net_output(const struct ln__net *net, int n, float *y);
/* Mean cross-entropy of the logits; keeps its gradient for backward. */
struct ln__loss {
    double sum; /* of the samples' losses */
    int correct;
};
void ln__net_loss(struct ln__net *net, int n, const int32_t *label, struct ln__loss *out);
/* From the loss (dy NULL) or from the gradient of the output, canonical; dx (canonical, or NULL) gets the input's. */
void ln__net_backward(struct ln__net *net, int n, const float *dy, float *dx);

/* One optimiser step over the net's parameters with learning rate lr; the plan must name an optimiser. */
void ln__net_update(struct ln__net *net, double lr);
/* ln__net_backward, ln__net_proximal where mu is not 0, and ln__net_update, to the same bits. Of a plan that is to learn, each layer moves as soon
 * as its gradient is known, a large linear one piece by piece, and the gradient is gone. */
void ln__net_learn(struct ln__net *net, int n, const float *dy, float *dx, double lr, double mu);
/* Gives a net whose plan is to learn memory for gradients (once, beside what is planned): from then on it is as one of a plan that is not. Others
 * have it. LN_ENOMEM. */
int ln__net_keep_gradients(struct ln__net *net, struct ln_fault *fault) LN_MUST_CHECK;
/* What the optimiser remembers, for checkpoints of a training run: how many floats a parameter, each as the trainable part of a state, and the
 * number of updates since the load. restore follows a load. */
int ln__net_slots(const struct ln__net *net);
uint64_t ln__net_updates(const struct ln__net *net);
void ln__net_slot_store(const struct ln__net *net, int slot, float *state);
void ln__net_slot_restore(struct ln__net *net, int slot, const float *state);
void ln__net_updates_restore(struct ln__net *net, uint64_t updates);
/* The next training step finds a sparsity's thresholds, as the first one after a load does: where a training may be interrupted. */
void ln__net_rank_anew(struct ln__net *net);
/* g += mu (w - anchor) before the update; anchor is what ln__net_load brought (kept only where asked for at bind: see ln__net_anchor). */
int ln__net_anchor(struct ln__net *net, struct ln_fault *fault) LN_MUST_CHECK; /* keep a copy of the loaded weights from now on */
void ln__net_proximal(struct ln__net *net, double mu);

/* ---- optimisers and schedules (plug-ins) ---- */
struct ln__optimizer {
    struct ln_plugin plugin;
    int (*check)(const void *options, struct ln_fault *fault); /* options that do not go together: LN_ECONFIG; NULL: all do */
    int (*slots)(const void *options);                         /* floats of state a parameter, 0..2 */
    void (*update)(const void *options, const struct ln__kset *kset, double lr, uint64_t step, size_t size, const float *g, float *w, float *slot0,
                   float *slot1, struct ln__pool *pool);
};
int ln__optimizer_check(const struct ln_choice *optimizer, struct ln_fault *fault) LN_MUST_CHECK; /* said by every plan that trains, too */
double ln__optimizer_lr(const struct ln_choice *optimizer);                                       /* every optimiser's options begin with double lr */

struct ln__schedule {
    struct ln_plugin plugin;
    double (*rate)(const void *options, double progress, double rounds); /* factor on lr after progress of rounds rounds */
};

#endif
