/* A small matrix product: Q rows (tiles, or pixels) of blocked inputs times packed weights, K vectors of outputs. It lies beneath the
 * Winograd convolutions. */
#ifndef LINNET_KERNELS_VEC_PANEL_H
#define LINNET_KERNELS_VEC_PANEL_H

#include "kernels/vec/vec.h"

#if LN_V == 16
#define PANEL_Q 14
#define PANEL_K 2
#elif LN_V == 8
#define PANEL_Q 6
#define PANEL_K 2
#else
#define PANEL_Q 6
#define PANEL_K 4
#endif

/* F(1, K) .. F(PANEL_Q, K), for tables of kernels. */
#define PANEL_SIX(F, K) F(1, K) F(2, K) F(3, K) F(4, K) F(5, K) F(6, K)
#if PANEL_Q == 14
#define PANEL_ALL(F, K) PANEL_SIX(F, K) F(7, K) F(8, K) F(9, K) F(10, K) F(11, K) F(12, K) F(13, K) F(14, K)
#else
#define PANEL_ALL PANEL_SIX
#endif

/* y[q][k] = (add ? y : 0) + sum over channels i < depth of x[block of i][q][lane of i] * w[i][k]; q and k count vectors. */
struct panel {
    const float *x, *w;
    float *y;
    size_t x_block; /* stride of blocks of channels in x */
    int depth;
    bool add;
};

/* For q < rows, in runs of at most PANEL_Q, and k vectors. */
void LN_K(panel)(const struct panel *panel, int rows, int k);

#endif
