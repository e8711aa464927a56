/* Kernels of sparse training (SWAT: Raihan and Aamodt, NeurIPS 2020; used by ZeroFL, Qiu et al., ICLR 2022).
 *
 *     O  = conv(X, Ws)              Ws = W where |W| >= tw      X dense
 *     dX = conv_transpose(dO, Ws)                               dO dense
 *     dW = correlate(dO, Xs)        Xs = X where |X| >= tx      dW dense: weights that rest keep learning
 *
 * A sparse set is a whole kernel set (`dense`, same table and meaning as in kernels.h, lanes = 1) on a layout of its own, so a plan runs on it
 * from the first layer to the loss and nothing is reordered on the way:
 *
 *     activations  [c][n][h][w]         a channel is one contiguous run of n*h*w floats, for the n of this run: no padding
 *     features     [f][n]
 *     weights      [co / V][ci][kh][kw][V], V floats in a register, zero padded; elementwise kernels run over them as they lie
 *
 * A non-zero weight is one broadcast, its operands are vectors of positions, and any batch fills them. Convolutions copy a tile of positions,
 * shifted once for each tap (or each column of taps), into L1, so that all operands are aligned and no border is ever tested.
 * The reference set keeps NCHW; sets agree with it to 1e-4 after pack and unpack.
 *
 * A masked set is the other way to run the same: `dense` is the dense set, its layout and its kernels, Winograd and all; the list is a masked copy of
 * the weights, made once for both passes, and the weight gradient sees a masked copy of the activations. The kernels do all the work that a dense
 * step does, which on small layers is less than the lists cost (nn/sparse_cost.c chooses). Only convolutions that are linear layers
 * (ln__sparse_whole, one group) go to the linear kernels, so that `dense` lays both alike.
 *
 * What a sparse plan does, per sparse layer and step (w is the packed weight, n the samples of this step):
 *     every `period` steps   topk(weight count, w, keep_w, &tw)         before forward; false: a value is NaN or infinite
 *                            topk(x count, x, keep_x, &tx)              x is at hand in forward
 *     forward                compact(conv, n, w, tw, cap, list)         weights change every step; the list serves both passes
 *                            forward(conv, n, x, w, tw, list, bias, y, scratch)
 *     backward               input_grad(conv, n, dy, w, tw, list, dx, add, scratch)
 *                            weight_grad(conv, n, x, tx, dy, dw, dbias, scratch)
 * keep = ln__sparse_keep(real count, sparsity). A linear layer is the convolution ln__sparse_linear makes of it. Layers that stay dense call
 * dense.conv_* and dense.linear_*; their packed weights lie alike.
 *
 * Thresholds: t = magnitude of the keep-th largest; everything >= t is kept, ties too. Zeros are never kept: where the keep-th largest is 0, t is
 * the smallest positive float, which is SWAT's rule for activations that are sparser than asked. keep = 0 gives t = +infinity: nothing is kept.
 * A NaN weight or activation is always kept and so shows in the output.
 *
 * Memory is known before the run: list_bytes (for a cap that the caller chooses, ln__sparse_cap is the usual one) and scratch floats, both for
 * at most n samples. Where more than cap weights are kept (ties, or a threshold grown old) the layer runs on a masked copy with the dense
 * kernel: slower, same result. Results do not depend on the pool's width. */
#ifndef LINNET_KERNELS_SPARSE_H
#define LINNET_KERNELS_SPARSE_H

#include "kernels/kernels.h"

#define LN__SPARSE_UNCOUNTED ((size_t)-1)

struct ln__sparse_kset {
    struct ln__kset dense; /* name "sparse-<isa>", lanes 1; or "masked-<isa>" */
    bool masked;           /* any cap is as good: the list is all weights, and not read where the threshold is the smallest positive float */

    /* -- top-K -- */
    size_t (*topk_scratch)(size_t size, unsigned width); /* floats */
    /* Exact. size may include zero padding. false: a value is NaN or infinite; the threshold then ranks NaN above infinity. */
    bool (*topk)(size_t size, const float *x, size_t keep, float *threshold, float *scratch, struct ln__pool *pool);

    /* -- sparse convolution; conv.groups must be 1 -- */
    size_t (*list_bytes)(const struct ln__conv *conv, int n, size_t cap);
    /* The kept weights, as forward and input_grad of exactly n samples read them. Returns how many there are, over cap: see above;
     * or LN__SPARSE_UNCOUNTED: a masked set's linear layers have no list. */
    size_t (*compact)(const struct ln__conv *conv, int n, const float *w, float threshold, size_t cap, void *list, struct ln__pool *pool);
    size_t (*scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width);
    void (*forward)(const struct ln__conv *conv, int n, const float *x, const float *w, float threshold, const void *list, const float *bias,
                    float *y, float *scratch, struct ln__pool *pool);
    void (*input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float threshold, const void *list, float *dx, bool add,
                       float *scratch, struct ln__pool *pool);
    /* Returns how many activations were kept; those a stride passes over may be left out. */
    size_t (*weight_grad)(const struct ln__conv *conv, int n, const float *x, float threshold, const float *dy, float *dw, float *dbias,
                          float *scratch, struct ln__pool *pool);
};

/* The sparse and masked sets built into this program, best first; the references are last and always there. */
const struct ln__sparse_kset *const *ln__sparse_kset_list(size_t *count);
const struct ln__sparse_kset *ln__sparse_kset_best(void);
const struct ln__sparse_kset *ln__sparse_kset_named(const char *name); /* NULL: not built in, or not usable here */

/* ceil((1 - sparsity) * count), exact for sparsities of a few decimals (0.9 of 10 keeps 1, not 2). */
size_t ln__sparse_keep(size_t count, double sparsity);

/* Most weights a list should hold: a quarter more than keep, for thresholds that grow old, but never more than where dense is faster. */
size_t ln__sparse_cap(size_t count, size_t keep);

/* Sparse kernels win at or above this sparsity; below it a layer is better left to dense.conv_* on masked weights, which a cap of 0 does. */
#define LN__SPARSE_BREAK_EVEN 0.6

/* The convolution of a linear layer (or, with groups, of one for each): one position, which sees all of the input. */
static inline bool ln__sparse_whole(const struct ln__conv *conv)
{
    return conv->ho == 1 && conv->wo == 1 && conv->kh == conv->hi && conv->kw == conv->wi && conv->top == 0 && conv->left == 0;
}

/* Kernels of up to 128 taps and strides of up to 8 run on this layout; groups only dense, one after the other (slow for depthwise). */
static inline bool ln__sparse_takes(const struct ln__conv *conv)
{
    return ln__sparse_whole(conv) || (conv->kh * conv->kw <= 128 && conv->stride <= 8);
}

static inline struct ln__conv ln__sparse_linear(const struct ln__linear *linear)
{
    return (struct ln__conv){linear->ci, linear->hi, linear->wi, linear->co, 1, 1, linear->hi, linear->wi, 1, 0, 0, 1};
}

#endif
