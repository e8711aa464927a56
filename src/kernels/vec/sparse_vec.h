/* What the sources of a sparse set share: vectors of positions, the geometry of a convolution on [c][n][h][w], names. */
#ifndef LINNET_KERNELS_VEC_SPARSE_VEC_H
#define LINNET_KERNELS_VEC_SPARSE_VEC_H

#include "kernels/ops.h"
#include "kernels/sparse.h"
#include <string.h>

/* ln_k_f32_<op>_cnhw__<isa>: the layout is part of the name, the dense set has the plain one. */
#define LN_KS(op) LN__JOIN(ln_k_f32_##op##_cnhw__, LN_ISA)

/* The formatter takes these for statements. */
/* clang-format off */
#define LN__SPARSE_DENSE_OPS(X) \
    X(pack) X(unpack) X(conv_weights) X(conv_pack) X(conv_unpack) X(conv_scratch) X(conv_forward) X(conv_input_grad) X(conv_weight_grad) \
    X(linear_weights) X(linear_pack) X(linear_unpack) X(linear_scratch) X(linear_forward) X(linear_backward) \
    X(norm_forward) X(norm_apply) X(norm_grad) X(act_forward) X(act_grad) X(add) X(scale_forward) X(scale_grad) X(maxpool_forward) \
    X(maxpool_grad) X(avgpool_forward) X(avgpool_grad) X(globalpool_forward) X(globalpool_grad) X(dropout_forward) X(dropout_grad) \
    X(softmax_loss)
/* clang-format on */
#define LN__SPARSE_OPS(X) X(topk_scratch) X(topk) X(list_bytes) X(compact) X(scratch) X(forward) X(input_grad) X(weight_grad)

#define LN__DECLARE(op) __typeof__(*((struct ln__kset *)0)->op) LN_KS(op);
LN__SPARSE_DENSE_OPS(LN__DECLARE)
#undef LN__DECLARE
#define LN__DECLARE(op) __typeof__(*((struct ln__sparse_kset *)0)->op) LN_KS(op);
LN__SPARSE_OPS(LN__DECLARE)
#undef LN__DECLARE

typedef float vf __attribute__((vector_size(LN_V * 4)));
typedef int32_t vi __attribute__((vector_size(LN_V * 4)));
typedef float vfu __attribute__((vector_size(LN_V * 4), aligned(4), may_alias)); /* anywhere in memory */
typedef int32_t viu __attribute__((vector_size(LN_V * 4), aligned(4), may_alias));

#define SPARSE_TINY 1.401298464324817e-45F /* the smallest positive float */
#define LN_INLINE static inline __attribute__((always_inline))

/* Makes the compiler hold an address in one register. */
#define LN_PLAIN(pointer) __asm__("" : "+r"(pointer))

LN_INLINE vf vf_set(float x)
{
    return x - (vf){0};
}
LN_INLINE vf vf_load(const float *x)
{
    return *(const vfu *)x;
}
LN_INLINE void vf_store(float *x, vf v)
{
    *(vfu *)x = v;
}
LN_INLINE vi vi_set(int32_t x)
{
    return x - (vi){0};
}
LN_INLINE vf vf_and(vf v, vi mask)
{
    return (vf)((vi)v & mask);
}
LN_INLINE vf vf_pick(vi mask, vf a, vf b)
{
    return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}
LN_INLINE vf vf_abs(vf v)
{
    return (vf)((vi)v & 0x7fffffff);
}
LN_INLINE float vf_sum(vf v)
{
    for (int half = LN_V / 2; half > 0; half /= 2) {
        vf other = v;
        for (int i = 0; i < half; i++)
            other[i] = v[i + half];
        v += other;
    }
    return v[0];
}

LN_INLINE size_t round_up(size_t x, size_t to)
{
    return (x + to - 1) / to * to;
}
LN_INLINE size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A convolution as sums over shifted planes. All planes lie on one grid gh x gw: with stride s an image of hi x wi is s*s phase planes
 * (rows py, py + s, ...; columns px, px + s, ...), zero where there is nothing, and tap (ky, kx) reads phase (py, px) at a fixed shift (dy, dx):
 *
 *     y[o][a][b] = sum over i, taps of w[i][tap][o] * phase(tap) of x[i] at [a + dy][b + dx]        ky - top = s * dy + py
 *
 * Input gradients read the planes of dy at [a - dy][b - dx] and make phase planes; weight gradients pair the two. Phases that no tap reads
 * do not exist. A linear layer (kernel as large as its input) is a 1x1 convolution of ci * h * w planes of n positions. */
#define LN__TAPS_MAX 128 /* 11 x 11 and a little */
#define LN__STRIDE_MAX 8
struct geo {
    int n, ci, co, taps; /* ci: planes after a linear layer was flattened */
    int pitch;           /* co rounded up to LN_V */
    int gh, gw;
    size_t positions; /* n * gh * gw: floats of a plane */
    int phases;
    struct geo_phase {
        int py, px, taps, first; /* its taps: order[first ..] */
    } phase[LN__STRIDE_MAX * LN__STRIDE_MAX];
    int order[LN__TAPS_MAX];
    struct geo_tap {
        int phase, dy, dx;
    } tap[LN__TAPS_MAX];
    bool flat;               /* linear */
    bool x_staged, y_staged; /* x, y are not planes on the grid as they lie */
};
/* Weights lie [co / LN_V][ci][tap][LN_V]. */
LN_INLINE size_t weight_at(const struct geo *g, int i, int tap, int o)
{
    size_t rows = (size_t)g->ci * (size_t)g->taps, row = (size_t)i * (size_t)g->taps + (size_t)tap;
    return ((size_t)(o / LN_V) * rows + row) * LN_V + (size_t)(o % LN_V);
}
#define geo_make LN_KS(geo_make)
void geo_make(const struct ln__conv *conv, int n, struct geo *g);
/* x -> phase planes [phase][ci][positions]; y (or dy) -> planes [co][positions]; parallel. */
#define geo_stage_x LN_KS(geo_stage_x)
void geo_stage_x(const struct ln__conv *conv, const struct geo *g, const float *x, float *planes, struct ln__pool *pool);
#define geo_stage_y LN_KS(geo_stage_y)
void geo_stage_y(const struct ln__conv *conv, const struct geo *g, const float *y, float *planes, struct ln__pool *pool);
/* And back. */
#define geo_unstage_x LN_KS(geo_unstage_x)
void geo_unstage_x(const struct ln__conv *conv, const struct geo *g, const float *planes, float *dx, bool add, struct ln__pool *pool);
#define geo_unstage_y LN_KS(geo_unstage_y)
void geo_unstage_y(const struct ln__conv *conv, const struct geo *g, const float *planes, float *y, struct ln__pool *pool);

/* One of the two gathering passes (forward, input gradient), cut into tiles of positions and blocks of input planes whose shifted copies
 * (`bank`) fit L1. Outputs m are numbered [phase][channel]. */
#define LN__TILE 8 /* vectors of positions in a tile: accumulators in registers */
#if LN_V == 16
#define LN__BANK_BYTES 36864 /* of 48 KiB of L1; measured: flat from 28 to 64 KiB, worse beyond */
#else
#define LN__BANK_BYTES 24576
#endif
struct gather {
    const struct geo *geo;
    bool backward;
    int ins, outs; /* input channels, output planes */
    int in_phases; /* planes of an input channel */
    int groups;    /* shifted copies of an input channel */
    struct gather_group {
        int phase, dx, dy, rows; /* rows of the copy: tile rows plus span; flat mode: one vector run, rows = 0 */
        int at;                  /* vectors from the channel's start in the bank */
    } group[LN__TAPS_MAX];
    int tap_at[LN__TAPS_MAX]; /* vectors from the channel's start */
    bool rows;                /* tiles are whole rows of one image; else runs of flat positions */
    int vectors;              /* of a tile */
    int tile_rows, tiles_image, tiles;
    int channel_vectors; /* of one input channel in the bank */
    int block, blocks;   /* input channels of a block */
    int parts;           /* of the outputs, so that few tiles still feed several threads */
};
#define gather_make LN_KS(gather_make)
void gather_make(const struct geo *g, bool backward, bool worst, struct gather *p); /* worst: bounds for any smaller n */

/* The kept weights of one pass: for block b and place j in [0, outs): output order[b][j] takes entries start[b][j] .. start[b][j + 1]; inside
 * a part, places are sorted by count so that the trip count seldom changes. */
struct nz {
    float w;
    uint32_t at; /* bytes from the bank's start */
};
struct nz_list {
    uint32_t *start; /* blocks * outs + 1 */
    uint32_t *order; /* blocks * outs */
    struct nz *entry;
};
struct list_head {
    uint64_t kept, cap;
    int n;
    size_t forward, backward; /* bytes from here to the two lists */
};
/* Parts begin at multiples of 16 outputs. */
LN_INLINE size_t part_first(size_t outs, size_t parts, size_t part)
{
    return least(outs, (outs + 15) / 16 * part / parts * 16);
}
#define list_open LN_KS(list_open)
struct nz_list list_open(const struct gather *p, void *list, size_t at, size_t cap);
#define weight_grad_floats LN_KS(weight_grad_floats)
size_t weight_grad_floats(const struct ln__conv *conv, int n, unsigned width);
LN_INLINE size_t list_size(size_t blocks, size_t outs, size_t cap)
{
    return round_up((blocks * outs + 1) * 4, 64) + round_up(blocks * outs * 4, 64) + round_up(cap * sizeof(struct nz), 64);
}

#endif
