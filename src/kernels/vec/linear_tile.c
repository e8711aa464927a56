#include "kernels/vec/linear.h"

#define SOON 16 /* rows of weights fetched ahead */

/* One lane of x against one row of each weight vector. */
INLINE void strip_lane(const int R, const int K, const float *x, const float *w, size_t wk, vf acc[LIN_R][LIN_K])
{
    vf b[LIN_K];
    UNROLL for (int k = 0; k < K; k++)
    {
        b[k] = load(w + (size_t)k * wk);
        __builtin_prefetch(w + (size_t)k * wk + SOON * LN_V);
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[r][k] += x[r * LN_V] * b[k];
    }
}

INLINE void strip_run(const int R, const int K, const struct strip *strip, int sample)
{
    vf acc[LIN_R][LIN_K];
    float *y = strip->y + sample * LN_V;
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[r][k] = load(y + (size_t)k * strip->yk + r * LN_V);
    }
    const float *x = strip->x + sample * LN_V, *w = strip->w;
    for (int panel = strip->count / LN_V; panel > 0; panel--, x += strip->x_panel) {
        UNROLL4 for (int l = 0; l < LN_V; l++, w += LN_V) strip_lane(R, K, x + l, w, strip->wk, acc);
    }
    for (int l = 0; l < strip->count % LN_V; l++, w += LN_V)
        strip_lane(R, K, x + l, w, strip->wk, acc);
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int k = 0; k < K; k++) store(y + (size_t)k * strip->yk + r * LN_V, acc[r][k]);
    }
}

INLINE void block_run(const int A, const int K, const struct block *block, int lane)
{
    vf acc[LIN_A][LIN_K];
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[a][k] = (vf){0};
    }
    const float *x = block->x + (size_t)(lane / LN_V) * block->x_panel + lane % LN_V, *dy = block->dy;
    size_t panel = (size_t)block->n * LN_V;
    for (const float *end = dy + panel; dy < end; dy += LN_V, x += LN_V) {
        vf d[LIN_K];
        UNROLL for (int k = 0; k < K; k++) d[k] = load(dy + (size_t)k * panel);
        UNROLL for (int a = 0; a < A; a++)
        {
            UNROLL for (int k = 0; k < K; k++) acc[a][k] += x[a] * d[k];
        }
    }
    float *dw = block->dw + (size_t)lane * LN_V;
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) store(dw + (size_t)k * block->wk + a * LN_V, acc[a][k]);
    }
}

#define TILE(R, K)                                                                                                                                   \
    static void strip_##R##_##K(const struct strip *strip, int sample)                                                                               \
    {                                                                                                                                                \
        strip_run(R, K, strip, sample);                                                                                                              \
    }
#define WHOLE(K)                                                                                                                                     \
    static void block_1_##K(const struct block *block, int lane)                                                                                     \
    {                                                                                                                                                \
        block_run(1, K, block, lane);                                                                                                                \
    }                                                                                                                                                \
    static void block_a_##K(const struct block *block, int lane)                                                                                     \
    {                                                                                                                                                \
        block_run(LIN_A, K, block, lane);                                                                                                            \
    }
#define WHOLE_ROW(K)                                                                                                                                 \
    {                                                                                                                                                \
        block_1_##K, block_a_##K                                                                                                                     \
    }
#define FOUR(K) TILE(1, K) TILE(2, K) TILE(3, K) TILE(4, K) WHOLE(K)
#define FOUR_ROW(K) strip_1_##K, strip_2_##K, strip_3_##K, strip_4_##K
#if LN_V == 16
#define TILES(K) FOUR(K) TILE(5, K) TILE(6, K) TILE(7, K) TILE(8, K) TILE(9, K) TILE(10, K) TILE(11, K) TILE(12, K)
#define ROW(K)                                                                                                                                       \
    {                                                                                                                                                \
        FOUR_ROW(K), strip_5_##K, strip_6_##K, strip_7_##K, strip_8_##K, strip_9_##K, strip_10_##K, strip_11_##K, strip_12_##K                       \
    }
#define ROWS ROW(1), ROW(2)
#define WHOLES WHOLE_ROW(1), WHOLE_ROW(2)
#elif LN_V == 8
#define TILES(K) FOUR(K)
#define ROW(K)                                                                                                                                       \
    {                                                                                                                                                \
        FOUR_ROW(K)                                                                                                                                  \
    }
#define ROWS ROW(1), ROW(2), ROW(3)
#define WHOLES WHOLE_ROW(1), WHOLE_ROW(2), WHOLE_ROW(3)
TILES(3)
#else
#define TILES(K) FOUR(K) TILE(5, K) TILE(6, K)
#define ROW(K)                                                                                                                                       \
    {                                                                                                                                                \
        FOUR_ROW(K), strip_5_##K, strip_6_##K                                                                                                        \
    }
#define ROWS ROW(1), ROW(2), ROW(3), ROW(4)
#define WHOLES WHOLE_ROW(1), WHOLE_ROW(2), WHOLE_ROW(3), WHOLE_ROW(4)
TILES(3)
TILES(4)
#endif
TILES(1)
TILES(2)

/* The samples in tiles as equal as can be: of 13 not 12 and 1, but 7 and 6. */
void LN_K(strips)(const struct strip *strip, int n, int k)
{
    static void (*const run[LIN_K][LIN_R])(const struct strip *strip, int sample) = {ROWS};
    int tiles = (n + LIN_R - 1) / LIN_R, least = n / tiles, larger = n % tiles;
    for (int t = 0, s = 0; t < tiles; t++) {
        int samples = least + (t < larger);
        run[k - 1][samples - 1](strip, s);
        s += samples;
    }
}

void LN_K(blocks)(const struct block *block, int k)
{
    static void (*const run[LIN_K][2])(const struct block *block, int lane) = {WHOLES};
    int lane = 0;
    for (; lane + LIN_A <= block->count; lane += LIN_A)
        run[k - 1][1](block, lane);
    for (; lane < block->count; lane++)
        run[k - 1][0](block, lane);
}
