/* Layers: one file each in nn/layers/. A layer is a builder function (declared in nn/graph.h: it checks the shapes, says the output's
 * shape, the parameters and the multiply-adds) and a struct ln__layer: what a planned step of it needs and how it runs.
 *
 *     build  -> struct ln__node       shape, parameters, macs, the layer's own attributes
 *     needs  -> struct ln__needs      at plan time: what backward reads, bytes kept from forward to backward, scratch
 *     forward, backward               at run time: pointers in struct ln__call, all carved by the plan
 *     onnx                            when exported: the operators that are this layer when it does not train
 *
 * Tensors carry the number of the node that makes them; node 0 is the graph's input. All pointers hold the kernel set's layout. A layer
 * neither allocates nor fails once it is built. */
#ifndef LINNET_NN_LAYER_H
#define LINNET_NN_LAYER_H

#include "nn/nn.h"
#include "nn/sparsity.h"

#define LN__INPUTS 2
#define LN__NODE_PARAMS 4
#define LN__NODE_ATTR 96
#define LN__NODES 4096 /* a model is code, so this only stops a builder that runs away */

struct ln__node {
    const struct ln__layer *layer; /* NULL: the graph's input */
    char name[LN__NAME];           /* in front of the parameters' names */
    int inputs, in[LN__INPUTS];
    struct ln__shape shape; /* of the output */
    bool flat;              /* means shape.c * shape.h * shape.w features; they lie as the activations they were */
    bool nonnegative;
    enum ln__act act; /* activation layers: which; the others NONE */
    int params, param[LN__NODE_PARAMS];
    uint64_t macs; /* of one forward of one sample */
    union {
        void *align;
        double align_real;
        unsigned char byte[LN__NODE_ATTR];
    } attr; /* the layer's own, see ln__node_attr */
};

/* What a step needs, for at most batch samples. */
struct ln__need_args {
    const struct ln__node *node;
    const struct ln__kset *kset;
    enum ln__act act; /* fused behind it; before it, where it is a maximum */
    int inputs;       /* of the step: a norm has two with an addition behind it */
    int batch;
    unsigned width;
    bool train;
    bool grad[LN__INPUTS];                /* whose gradients are wanted */
    const struct ln__sparse_kset *set;    /* of a plan on a sparse set's own layout, which kset is part of; or NULL */
    const struct ln__sparse_step *sparse; /* NULL: dense */
};
struct ln__needs {
    bool x[LN__INPUTS], y;                    /* backward reads the value of that input, of the output */
    bool forward_over, backward_over;         /* y may be written over an input; dx over dy (never with add) */
    bool sinks;                               /* backward gives the gradient of parameter 0 to call->sink where there is one */
    size_t saved;                             /* bytes kept from forward to backward */
    size_t scratch_forward, scratch_backward; /* floats */
};

/* A norm that a step does beside its own layer: its node, the activation behind it, its parameters. */
struct ln__call_norm {
    const struct ln__node *node; /* NULL: none */
    enum ln__act act;
    float *param[LN__NODE_PARAMS], *grad[LN__NODE_PARAMS];
};

/* One step, ready to run. */
struct ln__call {
    const struct ln__node *node;
    const struct ln__kset *kset;
    struct ln__pool *pool;
    int n;
    bool train; /* the forward pass of a training step */
    bool anew;  /* in backward, the same once more: what it saved is there, what it learns from the batch is learnt */
    enum ln__act act;
    enum ln__norm norm;
    struct ln__call_norm before, behind; /* of a sandwich */
    const float *x[LN__INPUTS];          /* x[1] NULL: one input */
    float *y;
    const float *dy;
    float *dx[LN__INPUTS]; /* NULL: not wanted */
    bool add[LN__INPUTS];  /* add to dx instead of overwriting it */
    float *param[LN__NODE_PARAMS], *grad[LN__NODE_PARAMS];
    const struct ln__sink *sink; /* takes the gradient of parameter 0, whose grad is NULL then; else NULL */
    void *saved;
    float *scratch;
    struct ln__key key;                   /* dropout's stream for this run, */
    uint64_t first;                       /* and this node's first word of it */
    const struct ln__sparse_kset *set;    /* of a plan on a sparse set's own layout, which kset is part of; or NULL */
    const struct ln__sparse_step *sparse; /* this layer is: or NULL */
    struct ln__sparse_levels *levels;
    bool rank; /* thresholds are to be found in this pass */
};

struct ln__onnx_call;

struct ln__layer {
    const char *name;
    bool view;  /* the output is the input's memory: no step at all; needs, forward and backward are NULL */
    bool draws; /* takes random numbers in training */
    /* Layout of parameter 0; NULL where all parameters are channel vectors. Floats; canonical <-> packed. */
    size_t (*weight_size)(const struct ln__node *node, const struct ln__kset *kset);
    void (*weight_pack)(const struct ln__node *node, const struct ln__kset *kset, const float *canonical, float *packed);
    void (*weight_unpack)(const struct ln__node *node, const struct ln__kset *kset, const float *packed, float *canonical);
    /* The node's attributes and macs for fewer channels: its own shape's and, of its input, in. NULL: it has none that say how many. */
    void (*narrow)(struct ln__node *node, int in);
    bool (*conv)(const struct ln__node *node, struct ln__conv *out);        /* as a convolution, for sparse kernels; NULL: the layer is none */
    void (*needs)(const struct ln__need_args *args, struct ln__needs *out); /* out is zeroed before */
    void (*forward)(const struct ln__call *call);
    void (*backward)(const struct ln__call *call); /* gradients of inputs and parameters from dy */
    void (*onnx)(struct ln__onnx_call *call);      /* nn/onnx.h; NULL: there is no ONNX form, and export says so */
};

extern const struct ln__layer ln__layer_batchnorm, ln__layer_activation, ln__layer_add, ln__layer_maxpool; /* those that fuse, */
extern const struct ln__layer ln__layer_sandwich; /* and what no graph has: made of three of its nodes */

/* What a sandwich has to know of its norms. learn: running statistics from those of a batch of `count` values a channel. */
float ln__batchnorm_eps(const struct ln__node *node);
void ln__batchnorm_learn(const struct ln__node *node, float *const param[LN__NODE_PARAMS], int count, const float *mean, const float *var);

/* ---- the graph, as layers and the plan see it ---- */
#define LN__CUT_NAME 48

struct ln__param_start { /* how a parameter begins: uniform in [-bound, bound), or fill where bound is 0 */
    float bound, fill;
};

struct ln__graph {
    const char *name; /* the model's, for complaints */
    struct ln__shape input;
    int classes;
    enum ln__norm norm;
    struct ln__node *node;
    int nodes;
    struct ln__param *param; /* once finished: the trainable ones in graph order, then the buffers */
    struct ln__param_start *start;
    int params;
    size_t node_room, param_room;
    int trainable_params;    /* entries */
    size_t trainable, state; /* floats */
    struct ln__graph_cut {
        int node;
        char name[LN__CUT_NAME];
    } * cut;
    int cuts;
    size_t cut_room;
    char prefix[LN__NAME];
    struct ln_fault fault; /* the first error of a builder call; all later calls do nothing */
};

/* A new node of the layer, or NULL when the graph has failed (before, or now). y < 0: one input. The pointer is good until the next one. */
struct ln__node *ln__node_new(struct ln__graph *graph, const struct ln__layer *layer, const char *name, int x, int y);
/* A trainable parameter "<node>.<name>", or a buffer. */
void ln__node_param(struct ln__graph *graph, struct ln__node *node, const char *name, int dims, const int64_t *dim, bool buffer,
                    struct ln__param_start start);
/* Ends the building of a node: its number, -1 when the graph has failed. */
int ln__node_done(struct ln__graph *graph, const struct ln__node *node);
/* Sets the graph's error unless it has one; returns -1. */
int ln__graph_fail(struct ln__graph *graph, int code, const char *format, ...) LN_PRINTF(3, 4);

/* The layer's attributes inside a node: type must fit LN__NODE_ATTR (LN__ATTR_FITS at file scope says so at compile time). */
static inline void *ln__node_attr(struct ln__node *node)
{
    return node->attr.byte;
}
static inline const void *ln__node_attr_of(const struct ln__node *node)
{
    return node->attr.byte;
}
#define LN__ATTR_FITS(type) _Static_assert(sizeof(type) <= LN__NODE_ATTR, "attributes do not fit a node")

/* The nodes (from, to] that a segment holds: from is its input's. LN_EINVALID: no such cuts, or nothing between them. */
int ln__graph_range(const struct ln__graph *graph, struct ln__segment segment, int *from, int *to) LN_MUST_CHECK;

/* Floats of n samples of a shape in the set's layout; of a channel vector. */
static inline size_t ln__layout_floats(const struct ln__kset *kset, struct ln__shape shape, int n)
{
    return (size_t)n * (size_t)ln__blocks(shape.c, kset->lanes) * (size_t)kset->lanes * (size_t)shape.h * (size_t)shape.w;
}
static inline size_t ln__vector_floats(const struct ln__kset *kset, int c)
{
    return (size_t)ln__blocks(c, kset->lanes) * (size_t)kset->lanes;
}

/* One parameter of ln__graph_init's. */
void ln__param_init(const struct ln__graph *graph, int param, uint64_t seed, float *to);
/* Floats of one parameter as it lies for the set; canonical <-> packed. */
size_t ln__param_floats(const struct ln__graph *graph, int param, const struct ln__kset *kset);
void ln__param_pack(const struct ln__graph *graph, int param, const struct ln__kset *kset, const float *canonical, float *packed);
void ln__param_unpack(const struct ln__graph *graph, int param, const struct ln__kset *kset, const float *packed, float *canonical);

#endif
