/* The register tiles of bfloat16 products: pixels times vectors of output channels, and input lanes times vectors of output channels. */
#include "kernels/vec/bf16.h"

INLINE vw each(uint32_t word)
{
    return (vw){0} + word;
}

INLINE void tile_pair(const int P, const int K, const uint32_t *const *x, int l, const uint32_t *w, size_t wk, vf (*acc)[BF16_K])
{
    vw b[BF16_K];
    UNROLL for (int k = 0; k < K; k++) b[k] = load_words(w + (size_t)k * wk);
    UNROLL for (int p = 0; p < P; p++)
    {
        vw a = each(x[p][l]);
        UNROLL for (int k = 0; k < K; k++) acc[p][k] = dot(acc[p][k], a, b[k]);
    }
}

INLINE void tile_run(const int P, const int K, const struct bf16_tile *tile)
{
    vf acc[BF16_PIXELS][BF16_K];
    UNROLL for (int p = 0; p < P; p++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[p][k] = tile->init ? load(tile->init + k * LN_V) : load(tile->y[p] + (size_t)k * tile->yk);
    }
    const uint32_t *w = tile->w, *x[BF16_PIXELS];
    if (tile->real == LN_V / 2) { /* full blocks: no counting, and every address a constant away */
        for (int t = 0; t < tile->taps; t++, w += LN_V / 2 * LN_V) {
            UNROLL for (int p = 0; p < P; p++) x[p] = tile->x[p] + tile->off[t];
            UNROLL for (int l = 0; l < LN_V / 2; l++) tile_pair(P, K, x, l, w + l * LN_V, tile->wk, acc);
        }
    } else {
        for (int t = 0; t < tile->taps; t++, w += tile->pairs * LN_V) {
            UNROLL for (int p = 0; p < P; p++) x[p] = tile->x[p] + tile->off[t];
            for (int l = 0; l < tile->real; l++)
                tile_pair(P, K, x, l, w + l * LN_V, tile->wk, acc);
        }
    }
    UNROLL for (int p = 0; p < P; p++)
    {
        UNROLL for (int k = 0; k < K; k++) store(tile->y[p] + (size_t)k * tile->yk, acc[p][k]);
    }
}

#define TILE(P, K)                                                                                                                                   \
    static void tile_##P##_##K(const struct bf16_tile *tile)                                                                                         \
    {                                                                                                                                                \
        tile_run(P, K, tile);                                                                                                                        \
    }
TILE(1, 1)
TILE(1, 2)
TILE(2, 1)
TILE(2, 2)
TILE(4, 1)
TILE(4, 2)
#if BF16_PIXELS == 8
TILE(8, 1)
TILE(8, 2)
#endif
void (*const LN_B(tiles)[BF16_SIZES][BF16_K])(const struct bf16_tile *tile) = {
    {tile_1_1, tile_1_2},
    {tile_2_1, tile_2_2},
    {tile_4_1, tile_4_2},
#if BF16_PIXELS == 8
    {tile_8_1, tile_8_2},
#endif
};

INLINE void sum_run(const int A, const int K, const struct bf16_sum *sum)
{
    vf acc[BF16_LANES][BF16_SUM_K];
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[a][k] = sum->first ? (vf){0} : load(sum->dw + (size_t)k * sum->w_k + (size_t)a * LN_V);
    }
    for (int s = 0; s < sum->images; s++) {
        for (int r = 0; r < sum->rows; r++) {
            const uint32_t *x = sum->x + (size_t)s * sum->x_image + (size_t)r * sum->x_row;
            const uint32_t *dy = sum->dy + (size_t)s * sum->y_image + (size_t)r * sum->y_row, *end = dy + sum->pairs * LN_V;
            for (; dy < end; dy += LN_V, x += 2 * LN_V) {
                vw g[BF16_SUM_K];
                UNROLL for (int k = 0; k < K; k++) g[k] = load_words(dy + (size_t)k * sum->y_k);
                UNROLL for (int a = 0; a < A; a++)
                {
                    vw b = each(x[a]);
                    UNROLL for (int k = 0; k < K; k++) acc[a][k] = dot(acc[a][k], b, g[k]);
                }
            }
        }
    }
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) store(sum->dw + (size_t)k * sum->w_k + (size_t)a * LN_V, acc[a][k]);
    }
}

#define SUM(A, K)                                                                                                                                    \
    static void sum_##A##_##K(const struct bf16_sum *sum)                                                                                            \
    {                                                                                                                                                \
        sum_run(A, K, sum);                                                                                                                          \
    }
#if BF16_SUM_K == 4
#define SUMS(A) SUM(A, 1) SUM(A, 2) SUM(A, 3) SUM(A, 4)
#define ROW(A)                                                                                                                                       \
    {                                                                                                                                                \
        sum_##A##_1, sum_##A##_2, sum_##A##_3, sum_##A##_4                                                                                           \
    }
#else
#define SUMS(A) SUM(A, 1) SUM(A, 2)
#define ROW(A)                                                                                                                                       \
    {                                                                                                                                                \
        sum_##A##_1, sum_##A##_2                                                                                                                     \
    }
#endif
SUMS(1)
SUMS(2)
SUMS(4)
#if BF16_LANES == 8
SUMS(8)
void (*const LN_B(sums)[4][BF16_SUM_K])(const struct bf16_sum *sum) = {ROW(1), ROW(2), ROW(4), ROW(8)};
#else
void (*const LN_B(sums)[4][BF16_SUM_K])(const struct bf16_sum *sum) = {ROW(1), ROW(2), ROW(4)};
#endif
