/* The packed weights of a convolution: 16x16-like blocks [V input lanes][V output lanes], one for each tap.
 *
 *     dense and grouped   [output block][input block of its span][kh * kw][input lane][V]
 *     depthwise           [block][kh * kw][V]
 *
 * The span of an output block is the run of input blocks that its groups touch: all of them without groups, its own group's where groups
 * are multiples of V, else a run with zeros outside the groups. With fewer input channels than V only the real lanes are stored. */
#ifndef LINNET_KERNELS_VEC_CONV_H
#define LINNET_KERNELS_VEC_CONV_H

#include "kernels/vec/vec.h"

struct pack {
    int cib, cob;  /* blocks of input and output channels */
    int span;      /* input blocks stored for each output block */
    int taps;      /* kh * kw */
    int lanes;     /* input lanes stored in a block */
    size_t tap;    /* floats of one tap of one block pair */
    size_t block;  /* floats of one block pair */
    size_t column; /* floats of one output block */
};

INLINE bool is_depthwise(const struct ln__conv *conv)
{
    return conv->groups > 1 && conv->groups == conv->ci && conv->ci == conv->co;
}

/* The first layers of networks: pixels of one or a few channels. */
INLINE bool is_narrow(const struct ln__conv *conv)
{
    return conv->groups == 1 && conv->ci < LN_V;
}

/* First input block of the span of output block o, and one past the last. */
INLINE int span_first(const struct ln__conv *conv, int o)
{
    return o * LN_V / (conv->co / conv->groups) * (conv->ci / conv->groups) / LN_V;
}

INLINE int span_end(const struct ln__conv *conv, int o)
{
    int last = min_int(conv->co, (o + 1) * LN_V) - 1;
    return ((last / (conv->co / conv->groups) + 1) * (conv->ci / conv->groups) - 1) / LN_V + 1;
}

INLINE struct pack pack_of(const struct ln__conv *conv)
{
    struct pack pack = {.cib = ln__blocks(conv->ci, LN_V), .cob = ln__blocks(conv->co, LN_V), .taps = conv->kh * conv->kw};
    pack.lanes = conv->groups == 1 && conv->ci < LN_V ? conv->ci : LN_V;
    pack.span = pack.cib;
    for (int o = 0; conv->groups > 1 && o < pack.cob; o++)
        pack.span = o == 0 ? span_end(conv, o) - span_first(conv, o) : max_int(pack.span, span_end(conv, o) - span_first(conv, o));
    pack.tap = (size_t)pack.lanes * LN_V;
    pack.block = (size_t)pack.taps * pack.tap;
    pack.column = (size_t)pack.span * pack.block;
    return pack;
}

/* A convolution in gathering form, the forward pass and each phase of the input gradient alike:
 *
 *     out[s][o][qy * os + oy][qx * os + ox] = init + sum over (i, a, b) of w(o, i, a, b) * in[s][i][qy * is + ty + a * td][qx * is + tx + b * td]
 *
 * for qy < ny and qx < nx, where in is zero outside its bounds. */
struct gather {
    int n;
    int in_c, in_blocks, in_h, in_w;
    int out_c, out_blocks, out_h, out_w;
    int ny, nx, os, oy, ox, is;
    int ta, tb, ty, tx, td; /* taps down and across */
    int ky, kx, ks;         /* weight tap (a, b) is row ky + a * ks, column kx + b * ks */
    bool transposed;        /* input gradient: blocks of w are read across */
    bool add;
    const struct ln__conv *conv;
    const float *in, *w, *bias;
    float *out, *scratch;
};

/* Depthwise convolution, vectors along channels. */
size_t LN_K(depthwise_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width);
void LN_K(depthwise_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                             struct ln__pool *pool);
void LN_K(depthwise_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                                struct ln__pool *pool);
void LN_K(depthwise_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch,
                                 struct ln__pool *pool);

/* Forward and weight gradient of convolutions with fewer input channels than a vector has lanes. */
size_t LN_K(narrow_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width);
void LN_K(narrow_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                          struct ln__pool *pool);
void LN_K(narrow_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool);

/* Convolutions of one tap and stride 1 with at least V input channels and eight pixels. */
bool LN_K(one_tap)(const struct ln__conv *conv);
size_t LN_K(one_tap_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n);
void LN_K(one_tap_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, struct ln__pool *pool);
void LN_K(one_tap_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                              struct ln__pool *pool);
void LN_K(one_tap_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool);

typedef size_t gather_size(const struct gather *gather, unsigned width);
typedef void gather_run(const struct gather *gather, struct ln__pool *pool);
gather_size LN_K(gather_scratch);
gather_run LN_K(gather);

/* The forward pass, but for its operands; the input gradient, one phase of the stride after the other; whoever computes them. */
struct gather LN_K(gather_forward)(const struct ln__conv *conv, int n);
size_t LN_K(phases_scratch)(const struct ln__conv *conv, int n, unsigned width, gather_size *size);
void LN_K(phases)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch, struct ln__pool *pool,
                  gather_run *run);
void LN_K(bias_grad)(const struct ln__conv *conv, int n, const float *dy, float *dbias, struct ln__pool *pool);

size_t LN_K(spread_scratch)(const struct ln__conv *conv, int n);
void LN_K(spread)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool);

/* Winograd: forward (in is x) or, flipped, input gradient (in is dy); 3x3 and 5x5 of stride 1 only. wins is a fixed function of the shape. */
bool LN_K(winograd_wins)(const struct ln__conv *conv);
size_t LN_K(winograd_scratch)(const struct ln__conv *conv, bool flip, int n, unsigned width);
void LN_K(winograd)(const struct ln__conv *conv, bool flip, int n, const float *in, const float *w, const float *bias, float *out, bool add,
                    float *scratch, struct ln__pool *pool);

size_t LN_K(winograd_grad_scratch)(const struct ln__conv *conv, int n, unsigned width);
void LN_K(winograd_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool);

/* out = the parts, one after the other in sums, added in order. */
void LN_K(sum_parts)(size_t floats, int parts, const float *sums, float *out, struct ln__pool *pool);

#endif
