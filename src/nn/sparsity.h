/* Sparsities: plug-ins that say which weights and activations take part in a step, and the engine that all of them share. Those with `submodel` say
 * which channels a device has at all (nn/submodel.h); what follows is of the others.
 *
 * SWAT (Raihan and Aamodt, NeurIPS 2020): the forward pass and the input gradient see the weights of largest magnitude, the weight gradient the
 * activations of largest magnitude; it is dense itself and so is the update, so a weight that rests keeps learning and can come back. A test
 * sees the weights as training does. Where a segment has a sparse layer its whole plan runs on the sparse or on the masked kernel set of the
 * instruction set it was made for (kernels/sparse.h): nothing is reordered on the way. Which one follows from shapes, batch and sparsity
 * (sparse_cost.c), never from a clock, so that the same recipe gives the same bits.
 *
 * Which layers (ZeroFL, Qiu et al., ICLR 2022): convolutions of more than one tap (pointwise: all) and linear layers, but not the classifier, nor depthwise or
 * grouped ones, nor the first convolution; the latter only where there are more than two (LEAF's CNN has its first one sparse).
 *
 * Thresholds are found in the first training step after a load and every `period` steps from there, so a task depends on nothing before it. */
#ifndef LINNET_NN_SPARSITY_H
#define LINNET_NN_SPARSITY_H

#include "kernels/sparse.h"
#include "nn/nn.h"

enum ln__distribution { LN__UNIFORM, LN__ERK, LN__MOMENTUM };
enum ln__structure { LN__UNSTRUCTURED, LN__CHANNELS, LN__BLOCKS };
enum ln__first { LN__FIRST_AUTO, LN__FIRST_DENSE, LN__FIRST_SPARSE };
enum ln__sparse_kernels { LN__KERNELS_AUTO, LN__KERNELS_SPARSE, LN__KERNELS_MASKED };
#define LN__KERNELS_CHOICES "auto|sparse|masked"
#define LN__KERNELS_HELP "lists of what is kept, or dense kernels on masked copies: a segment's layers all one way; auto: by a fixed table of costs"

#define LN__SPARSE_BLOCK 8 /* output channels of a block: those of one input channel and tap */

struct ln__sparse_how {
    double sparsity;  /* of the weights of a sparse layer, and of its activations in backward */
    uint64_t period;  /* steps between thresholds */
    int distribution; /* enum ln__distribution: of the weights' sparsity over the layers; the activations' follows */
    int structure;    /* enum ln__structure, of weights */
    int first;        /* enum ln__first */
    int kernels;      /* enum ln__sparse_kernels */
    bool pointwise;   /* 1 x 1 convolutions too */
    double power;     /* layers run on sign(w) |w|^power; 1: on w */
};

/* Which part of the network a client's task is for (nn/submodel.h). */
struct ln__sub_how {
    double share; /* of each layer's channels; above 0, at most 1 */
    bool random;  /* which ones; false: the leading ones */
};
struct ln__sub_draw {
    struct ln__key key; /* seed, turn, client */
    uint32_t clients;
    int64_t step; /* of the task, from 0; LN__SUB_TASK: what travels, which holds all steps' */
};
#define LN__SUB_TASK (-1)

struct ln__sparsity {
    struct ln_plugin plugin;
    void (*how)(const void *options, struct ln__sparse_how *out); /* NULL: dense */
    /* NULL: all devices have the whole network. A pure function: the server asks it too. Not both with how. A step's part is the task's or, of leading
     * channels, a narrower one. */
    void (*submodel)(const void *options, const struct ln__sub_draw *draw, struct ln__sub_how *out);
    double (*narrowest)(const void *options); /* with submodel: no step's share is less */
};

#define LN__DENSE (-1.0)

/* The sparsity of each node's weights, LN__DENSE for those that it is not for; returns whether it is for any. choice NULL: none. */
bool ln__sparse_nodes(const struct ln__graph *graph, const struct ln_choice *choice, double *of_node);
/* Of a tensor of the state: 0 for biases, norms and dense layers. */
double ln__sparse_param(const struct ln__graph *graph, const struct ln_choice *choice, size_t param);

/* Makes freshly drawn weights such that the layers run on what was drawn: those of sparse layers become sign(w) |w|^(1 / power). */
void ln__sparse_init(const struct ln__graph *graph, const struct ln_choice *choice, float *state);

/* Multiply-adds of one sample: as ln__segment_macs and ln__segment_macs_train, but of the weights and activations that are kept. */
uint64_t ln__sparse_macs(const struct ln__graph *graph, struct ln__segment segment, const struct ln_choice *choice);
uint64_t ln__sparse_macs_train(const struct ln__graph *graph, struct ln__segment segment, const struct ln_choice *choice);

/* ---- one sparse layer in a plan ---- */
struct ln__sparse_step {
    const struct ln__sparse_kset *set; /* NULL: the step is dense */
    struct ln__conv conv;
    struct ln__sparse_how how;
    double sparsity;
    size_t weights, keep, cap; /* real ones; kept; room of the list */
    size_t copy;               /* bytes of a copy of the weights in front of the list, 0: the kernels read the weights themselves */
};

/* What a net remembers of it. */
struct ln__sparse_levels {
    float weights, activations; /* thresholds of training, */
    float tested;               /* of a forward pass without */
    size_t keep;
};

struct ln__need_args;
struct ln__needs;
struct ln__call;
struct ln__plan;

/* The kernel set of a plan's segment becomes a sparse or a masked one, where there is anything sparse in it; then, of the plan's final steps, each
 * one's part. LN_EUNSUPPORTED, LN_ECONFIG. */
int ln__sparse_choose(struct ln__plan *plan, struct ln_fault *fault) LN_MUST_CHECK;
void ln__sparse_plan(struct ln__plan *plan);

/* sparse_cost.c: predicted nanoseconds of a step of one layer with n samples on one thread, by the sparse or the masked set of an instruction set
 * ("avx2", ...). sparsity LN__DENSE: a layer that stays dense there. */
struct ln__sparse_layer_cost {
    double sparse, masked;
};
struct ln__sparse_layer_cost ln__sparse_cost(const char *isa, const struct ln__conv *conv, int n, double sparsity, const struct ln__sparse_how *how);
void ln__sparse_needs(const struct ln__need_args *args, struct ln__needs *out);
void ln__sparse_forward(const struct ln__call *call);
void ln__sparse_backward(const struct ln__call *call);

/* LN__MOMENTUM: shares what all layers keep out by the mean magnitude of each layer's momentum; count layers, momentum as the set lays weights. */
void ln__sparse_share(size_t count, const struct ln__sparse_step *const *step, const float *const *momentum, struct ln__sparse_levels *const *levels);

#endif
