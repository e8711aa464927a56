#include "kernels/vec/tile.h"

INLINE void tile_run(const int R, const int Q, const int K, const struct tile *tile)
{
    vf acc[TILE_PIXELS][TILE_K];
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int q = 0; q < Q; q++)
        {
            UNROLL for (int k = 0; k < K; k++) acc[r * Q + q][k] =
                tile->init ? load(tile->init + k * LN_V) : load(tile->y[r] + (size_t)q * tile->yq + (size_t)k * tile->yk);
        }
    }
    for (int t = 0; t < tile->taps; t++) {
        const float *x[TILE_PIXELS];
        UNROLL for (int r = 0; r < R; r++) x[r] = tile->x[r] + tile->off[t];
        const float *at = tile->w + tile->at[t];
        UNROLL4 for (int l = 0; l < tile->real[t]; l++, at += LN_V)
        {
            vf b[TILE_K];
            UNROLL for (int k = 0; k < K; k++) b[k] = load(at + (size_t)k * tile->wk);
            UNROLL for (int r = 0; r < R; r++)
            {
                UNROLL for (int q = 0; q < Q; q++)
                {
                    UNROLL for (int k = 0; k < K; k++) acc[r * Q + q][k] += x[r][q * LN_V + l] * b[k];
                }
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int q = 0; q < Q; q++)
        {
            UNROLL for (int k = 0; k < K; k++) store(tile->y[r] + (size_t)q * tile->yq + (size_t)k * tile->yk, acc[r * Q + q][k]);
        }
    }
}

#define TILE(R, Q, K)                                                                                                                                \
    static void tile_##R##_##Q##_##K(const struct tile *tile)                                                                                        \
    {                                                                                                                                                \
        tile_run(R, Q, K, tile);                                                                                                                     \
    }
#if TILE_PIXELS == 8
#define TILES(R, Q) TILE(R, Q, 1) TILE(R, Q, 2)
#define ROW(R, Q)                                                                                                                                    \
    {                                                                                                                                                \
        R, Q,                                                                                                                                        \
        {                                                                                                                                            \
            tile_##R##_##Q##_1, tile_##R##_##Q##_2                                                                                                   \
        }                                                                                                                                            \
    }
#else
#define TILES(R, Q) TILE(R, Q, 1) TILE(R, Q, 2) TILE(R, Q, 3)
#define ROW(R, Q)                                                                                                                                    \
    {                                                                                                                                                \
        R, Q,                                                                                                                                        \
        {                                                                                                                                            \
            tile_##R##_##Q##_1, tile_##R##_##Q##_2, tile_##R##_##Q##_3                                                                               \
        }                                                                                                                                            \
    }
#endif
/* Images of 4x4 and 2x2 take several rows, those of 7x7 and 14x14 seven pixels; a batch of features takes its samples as rows. */
#if TILE_PIXELS == 8
TILES(1, 8)
TILES(1, 7)
TILES(2, 4)
TILES(4, 2)
TILES(8, 1)
TILES(7, 1)
TILES(6, 1)
TILES(5, 1)
const struct shape LN_K(shapes)[TILE_SHAPES] = {ROW(1, 8), ROW(1, 7), ROW(2, 4), ROW(4, 2), ROW(8, 1), ROW(7, 1), ROW(6, 1), ROW(5, 1)};
#else
TILES(1, 4)
TILES(2, 2)
TILES(4, 1)
TILES(3, 1)
const struct shape LN_K(shapes)[TILE_SHAPES] = {ROW(1, 4), ROW(2, 2), ROW(4, 1), ROW(3, 1)};
#endif
