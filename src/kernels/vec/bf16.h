/* Pairs of bfloat16 in the lanes of a vector, and the one operation that multiplies them. The bf16*.c files are compiled once more with each
 * instruction set that has such an instruction (LN_BF16_NATIVE), beside the portable form that every set has.
 *
 * A word is a pair: the first of the two in its low half. Along which axis the pairs run depends on the sum:
 *
 *     forward, input gradient    channels 2l and 2l + 1 of a pixel; of a weight, for one output lane
 *     weight gradient            pixels q and q + 1 of a channel */
#ifndef LINNET_KERNELS_VEC_BF16_H
#define LINNET_KERNELS_VEC_BF16_H

#include "kernels/bf16.h"
#include "kernels/vec/conv.h"
#ifdef __ARM_NEON
#include <arm_neon.h>
#elif defined(LN_BF16_NATIVE)
#include <immintrin.h>
#endif

#ifdef LN_BF16_NATIVE
#define LN_B_ISA LN_ISA
#else
#define LN_B_ISA LN__JOIN(LN_ISA, _emulated)
#endif
LN__DECLARE_PRODUCTS

typedef uint32_t vw __attribute__((vector_size(LN_V * 4)));             /* V pairs */
typedef uint16_t vs __attribute__((vector_size(LN_V * 2), aligned(2))); /* V values: V / 2 pairs */

/* acc[lane] += the product of the pairs of that lane */
INLINE vf dot(vf acc, vw a, vw b)
{
#ifndef LN_BF16_NATIVE
    acc += (vf)(a & 0xffff0000) * (vf)(b & 0xffff0000);
    return acc + (vf)(a << 16) * (vf)(b << 16);
#elif defined(__AVX512BF16__) && LN_V == 16
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC) && LN_V == 4
    return (vf)vbfdotq_f32((float32x4_t)acc, vreinterpretq_bf16_u32((uint32x4_t)a), vreinterpretq_bf16_u32((uint32x4_t)b));
#else
#error "no bfloat16 instruction for this width"
#endif
}

/* The bits of each float rounded to bfloat16, in the high halves; the low ones hold what is left over. */
INLINE vw rounded(vf value)
{
    vw bits = (vw)value, nan = (vw)((bits & 0x7fffffff) > 0x7f800000);
    vw up = bits + 0x7fff + (bits >> 16 & 1);
    return (nan & (bits | 0x400000)) | (~nan & up);
}

/* Pairs of what rounded() gave. */
INLINE vw paired(vw low, vw high)
{
    return low >> 16 | (high & 0xffff0000);
}

INLINE void store_values(uint32_t *to, vf value)
{
    *(vs *)(void *)to = __builtin_convertvector(rounded(value) >> 16, vs);
}

INLINE vw load_words(const uint32_t *from)
{
    return *(const vw *)from;
}

INLINE void store_words(uint32_t *to, vw words)
{
    *(vw *)to = words;
}

#define BF16_K 2 /* vectors of output channels in a tile */
#if LN_V == 8
#define BF16_PIXELS 4
#else
#define BF16_PIXELS 8
#endif
#define BF16_RUN_WORDS 6144 /* weights of one run of taps: 24 KiB */
#define BF16_RUN_MAX 48     /* taps */
#define BF16_SIZES 4        /* tiles of 8, 4, 2 and 1 pixels */

/* Any BF16_PIXELS or fewer pixels, wherever they lie. */
struct bf16_tile {
    const uint32_t *x[BF16_PIXELS]; /* of each pixel, for a tap at offset 0 */
    float *y[BF16_PIXELS];
    const uint32_t *w; /* [k][tap][pairs][V] */
    const float *init; /* K vectors to start from, else y */
    size_t wk, yk;     /* strides of K */
    int taps;
    int pairs, real; /* of a tap: stored in w, and to read: the input blocks of one run are all full or all not */
    ptrdiff_t off[BF16_RUN_MAX];
};
extern void (*const LN_B(tiles)[BF16_SIZES][BF16_K])(const struct bf16_tile *tile); /* [log2 of pixels][k - 1] */

#if LN_V == 16
#define BF16_LANES 8
#else
#define BF16_LANES 4
#endif
#if LN_V == 4
#define BF16_SUM_K 4
#else
#define BF16_SUM_K 2
#endif

/* dw[k][a] += sum over images, rows and pairs of x[.][a] * dy[.][k]; x points to the first of its lanes. */
struct bf16_sum {
    const uint32_t *x, *dy;
    float *dw;
    size_t x_image, x_row, y_image, y_row, y_k, w_k; /* strides */
    int images, rows, pairs;
    bool first; /* overwrite dw */
};
extern void (*const LN_B(sums)[4][BF16_SUM_K])(const struct bf16_sum *sum); /* [log2 of lanes][k - 1] */

gather_size LN_B(gather_scratch);
gather_run LN_B(gather);
size_t LN_B(spread_scratch)(const struct ln__conv *conv, int n, unsigned width);
void LN_B(spread)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool);

#endif
