/* Kernels: what a training step spends its time in. Raw pointers and sizes; no errors, no allocation, no model.
 *
 * A kernel set is one table of functions for one instruction set. All sets do the same on one layout that differs only in
 * `lanes` (V), the floats in a vector register: 16 AVX-512, 8 AVX2, 4 NEON, 1 reference. Channels are innermost in blocks of V:
 *
 *     activations  [n][cb][h][w][V]     cb = ceil(c / V); lanes past the last channel hold zero, always
 *     features     [n][fb][V]           the same with h = w = 1
 *     channel vectors (bias, gamma, mean, ...)  [cb][V], zero past the last channel
 *     weights      packed by the set: an order of its own, zero padded; elementwise kernels (optimisers) run over them as they lie
 *
 * With V = 1 this is plain NCHW: the reference set is the readable truth, the same engine runs on it, and every other set is
 * checked against it. Outputs must keep the zero lanes zero.
 *
 * Determinism: for one set, results depend on nothing but the inputs, n and the shape: not on the pool's width. Work is cut in
 * chunks fixed by the shape, and no sum is split between chunks unless the pieces are added in a fixed order. Sets agree to 1e-4.
 *
 * `add` means: add to what the output holds, instead of overwriting it (gradients of a tensor used twice).
 * Scratch comes from the caller: the size functions say how many floats, for at most n samples and a pool of that width.
 * Pointers are 64-byte aligned. pool may be NULL. */
#ifndef LINNET_KERNELS_KERNELS_H
#define LINNET_KERNELS_KERNELS_H

#include "base/pool.h"
#include "base/rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ln__conv {
    int ci, hi, wi; /* input channels, height, width */
    int co, ho, wo; /* output */
    int kh, kw, stride;
    int top, left; /* zero padding before; what is needed after follows from ho and wo */
    int groups;    /* divides ci and co; ci == co == groups is depthwise */
};

struct ln__linear {
    int ci, hi, wi; /* input features come as activations of this shape, flattened in canonical order c, h, w */
    int co;
};

struct ln__window { /* pooling */
    int c, hi, wi, ho, wo;
    int k, stride, top, left;
};

#define LN__POOL_NONE 255

enum ln__act { LN__ACT_NONE, LN__ACT_RELU, LN__ACT_RELU6, LN__ACT_HARDSWISH, LN__ACT_SILU, LN__ACT_HARDSIGMOID, LN__ACT_SIGMOID };

enum ln__pass { LN__FORWARD, LN__INPUT_GRAD, LN__WEIGHT_GRAD };

/* One of the two norms of a sandwich: what norm_forward and norm_grad take one by one. */
struct ln__norm_of {
    const float *gamma, *beta;
    float eps;
    enum ln__act act;
    float *mean, *var, *dgamma, *dbeta;
};

struct ln__sgd {
    float lr, momentum, weight_decay;
    bool nesterov;
};
struct ln__adam {
    float lr, beta1, beta2, eps, weight_decay;
    uint64_t step; /* from 1 */
};

/* Takes the gradient of packed weights piece by piece, as it becomes known: g is that of the floats [first, first + count) and may be overwritten.
 * Each weight comes once; pieces come from the pool's threads at once, in any order, and the kernel reads no weight of a piece after it. */
struct ln__sink {
    void (*take)(const struct ln__sink *sink, size_t first, size_t count, float *g);
};

struct ln__kset {
    const char *name; /* ref, avx2, avx512, neon; of a bf16 set avx512-bf16, avx512-bf16-emulated, ... */
    int lanes;
    bool bf16;            /* convolutions and linear layers multiply in bfloat16: bf16.h */
    bool (*usable)(void); /* on this CPU */

    /* -- layout: canonical NCHW floats <-> activations -- */
    void (*pack)(int n, int c, int hw, const float *nchw, float *x, struct ln__pool *pool);
    void (*unpack)(int n, int c, int hw, const float *x, float *nchw, struct ln__pool *pool);

    /* -- convolution; weights canonical [co][ci/groups][kh][kw]; bias and bias gradient may be NULL -- */
    size_t (*conv_weights)(const struct ln__conv *conv); /* floats of the packed weights */
    void (*conv_pack)(const struct ln__conv *conv, const float *canonical, float *w);
    void (*conv_unpack)(const struct ln__conv *conv, const float *w, float *canonical);
    /* How a pass is computed: "direct", "winograd-4x4", ...; a fixed function of the shape, never timed, so that a recipe can record it. */
    const char *(*conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass);
    size_t (*conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width);
    void (*conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                         struct ln__pool *pool);
    void (*conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                            struct ln__pool *pool);
    void (*conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                             struct ln__pool *pool);

    /* -- linear; weights canonical [co][ci * hi * wi] -- */
    size_t (*linear_weights)(const struct ln__linear *linear);
    void (*linear_pack)(const struct ln__linear *linear, const float *canonical, float *w);
    void (*linear_unpack)(const struct ln__linear *linear, const float *w, float *canonical);
    size_t (*linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width); /* both gradients: the same */
    void (*linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                           struct ln__pool *pool);
    /* All gradients in one pass over the weights. dx NULL: not wanted. The weight gradient goes to dw, else to the sink, else it is not wanted. */
    void (*linear_backward)(const struct ln__linear *linear, int n, const float *x, const float *dy, const float *w, float *dx, bool add, float *dw,
                            float *dbias, const struct ln__sink *sink, float *scratch, struct ln__pool *pool);

    /* -- batch norm over (n, hw) per channel, then + residual (or NULL), then act (not a sigmoid), in as few passes over memory as can be --
     * norm_forward: mean and biased variance of x, and y = act((x - mean) / sqrt(var + eps) * gamma + beta + residual); norm_apply: the same with
     * statistics that are given. y may be x. norm_grad: batch statistics; dy is the gradient of y. The derivative of act follows from y; from x where
     * y is NULL, as it may be without a residual, and must be for acts other than RELU and RELU6. Writes dx (or adds; without that it may be dy),
     * dgamma, dbeta, and dresidual where not NULL (or adds). frozen: mean and var were constants, so no gradient flows through them.
     * Sparse sets know NONE, RELU and RELU6 only, want y for the latter two, and nothing in place. */
    void (*norm_forward)(int n, int c, int hw, const float *x, const float *gamma, const float *beta, float eps, enum ln__act act,
                         const float *residual, float *y, float *mean, float *var, struct ln__pool *pool);
    void (*norm_apply)(int n, int c, int hw, const float *x, const float *mean, const float *var, const float *gamma, const float *beta, float eps,
                       enum ln__act act, const float *residual, float *y, struct ln__pool *pool);
    void (*norm_grad)(int n, int c, int hw, const float *x, const float *y, const float *dy, const float *mean, const float *var, const float *gamma,
                      const float *beta, float eps, enum ln__act act, bool frozen, float *dx, bool add, float *dresidual, bool add_residual,
                      float *dgamma, float *dbeta, struct ln__pool *pool);

    /* -- norm, depthwise convolution without bias, norm, in one: y = norm[1](conv(norm[0](x))), each norm with its act; what is in between is
     * never in memory. forward writes both norms' mean and var, unless they are fixed. grad: of batch statistics; dx may be dy where the shapes
     * are equal. NULL where a set has none (sparse ones). */
    size_t (*sandwich_scratch)(const struct ln__conv *conv, bool backward, int n, unsigned width);
    void (*sandwich_forward)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], bool fixed, const float *w,
                             float *y, float *scratch, struct ln__pool *pool);
    void (*sandwich_grad)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], const float *w, const float *dy,
                          float *dx, float *dw, float *scratch, struct ln__pool *pool);

    /* -- elementwise over size floats, as they lie; x may equal y, dy may equal dx (without add). act must keep zero lanes zero, so
     * sigmoid-like ones take the shape: floats [n][c blocks][hw][V] of which c channels are real -- */
    void (*act_forward)(enum ln__act act, int n, int c, int hw, const float *x, float *y, struct ln__pool *pool);
    void (*act_grad)(enum ln__act act, int n, int c, int hw, const float *x, const float *y, const float *dy, float *dx, bool add,
                     struct ln__pool *pool); /* x may be NULL for RELU and RELU6 */
    void (*add)(size_t size, const float *a, const float *b, float *y, struct ln__pool *pool);
    /* y[n][c][hw] = x * s[n][c] (squeeze and excite); gradient to x and to s */
    void (*scale_forward)(int n, int c, int hw, const float *x, const float *s, float *y, struct ln__pool *pool);
    void (*scale_grad)(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx, bool add, float *ds, struct ln__pool *pool);

    /* -- pooling; index holds, for each output float as it lies, which of the k*k inputs was the maximum (first in row order). relu_maxpool: the
     * maximum of max(x, 0), LN__POOL_NONE where that is 0 and no gradient flows; NULL: the set has none. maxpool_grad takes both -- */
    void (*maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool);
    void (*relu_maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool);
    void (*maxpool_grad)(const struct ln__window *window, int n, const uint8_t *index, const float *dy, float *dx, bool add, struct ln__pool *pool);
    void (*avgpool_forward)(const struct ln__window *window, int n, const float *x, float *y,
                            struct ln__pool *pool); /* divides by k*k; padding counts */
    void (*avgpool_grad)(const struct ln__window *window, int n, const float *dy, float *dx, bool add, struct ln__pool *pool);
    void (*globalpool_forward)(int n, int c, int hw, const float *x, float *y, struct ln__pool *pool); /* mean over hw */
    void (*globalpool_grad)(int n, int c, int hw, const float *dy, float *dx, bool add, struct ln__pool *pool);

    /* -- dropout: element (sample, c, hw) is kept where its word of the stream, in canonical order, is >= rate * 2^32; kept ones are
     * scaled by 1 / (1 - rate). mask: one byte for each float as it lies. The same mask for every set. -- */
    void (*dropout_forward)(int n, int c, int hw, float rate, const struct ln__key *key, uint64_t first, const float *x, float *y, uint8_t *mask,
                            struct ln__pool *pool);
    void (*dropout_grad)(int n, int c, int hw, float rate, const uint8_t *mask, const float *dy, float *dx, bool add, struct ln__pool *pool);

    /* -- softmax and cross-entropy of logits [n][blocks of classes][V]. Returns the summed loss (in double, samples in order); dlogits (or NULL) is
     * the gradient of the mean over n; *correct the count of samples whose largest logit (first of equals) is the label -- */
    double (*softmax_loss)(int n, int classes, const float *logits, const int32_t *label, float *dlogits, int *correct);

    /* -- optimiser updates over size floats as they lie; PyTorch's definitions. m (momentum) may be NULL when momentum is 0; first step starts m from 0:
     * m = momentum * m + g with m = 0 before gives PyTorch's first step -- */
    void (*sgd)(size_t size, const struct ln__sgd *sgd, const float *g, float *w, float *m, struct ln__pool *pool);
    void (*adam)(size_t size, const struct ln__adam *adam, const float *g, float *w, float *m, float *v, struct ln__pool *pool);
    void (*proximal)(size_t size, float mu, const float *w, const float *anchor, float *g, struct ln__pool *pool); /* g += mu (w - anchor) */

    /* -- canonical vectors: the fold and the codecs. fold_check: no value is NaN, infinite or over limit in magnitude. fold_add:
     * sum[i] += rint(x[i] * scale) (ties to even; the product in double). fold_read: y[i] = (float)(sum[i] * scale) -- */
    bool (*fold_check)(size_t size, const float *x, float limit, struct ln__pool *pool);
    void (*fold_add)(size_t size, const float *x, double scale, int64_t *sum, struct ln__pool *pool);
    void (*fold_read)(size_t size, const int64_t *sum, double scale, float *y, struct ln__pool *pool);
    float (*max_abs)(size_t size, const float *x, struct ln__pool *pool);            /* of finite values; NaN counts as infinite */
    void (*to_f16)(size_t size, const float *x, uint16_t *y, struct ln__pool *pool); /* round to nearest even, IEEE binary16 */
    void (*from_f16)(size_t size, const uint16_t *x, float *y, struct ln__pool *pool);

    /* -- the roof: rounds of fused multiply-adds in registers and nothing else; out: 64 floats. Returns the multiplies and adds done -- */
    double (*peak)(size_t rounds, float *out);
};

/* The sets built into this program, best first; the reference is last and always there. */
const struct ln__kset *const *ln__kset_list(size_t *count);
const struct ln__kset *ln__kset_best(void);              /* the first usable one */
const struct ln__kset *ln__kset_named(const char *name); /* of all, bf16 too. NULL: not built in, or not usable here */

/* bf16 sets lie apart: each stands beside a float set, whose layouts and whose every other kernel it has. For a float set the best usable one
 * of its own (by the CPU's instruction, or emulated: there is always one), for a bf16 set itself; and back. */
const struct ln__kset *const *ln__kset_bf16_list(size_t *count);
const struct ln__kset *ln__kset_bf16(const struct ln__kset *set);
const struct ln__kset *ln__kset_float(const struct ln__kset *set);

static inline int ln__blocks(int c, int lanes)
{
    return (c + lanes - 1) / lanes;
}

#endif
