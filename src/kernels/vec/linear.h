/* The register tiles of linear layers. A panel is [sample][V]. */
#ifndef LINNET_KERNELS_VEC_LINEAR_H
#define LINNET_KERNELS_VEC_LINEAR_H

#include "kernels/vec/vec.h"

/* LIN_K vectors of weights against LIN_R samples, or against LIN_A features, fill the registers. */
#if LN_V == 16
#define LIN_K 2
#define LIN_R 12
#define LIN_A 8
#elif LN_V == 8
#define LIN_K 3
#define LIN_R 4
#define LIN_A 4
#else
#define LIN_K 4
#define LIN_R 6
#define LIN_A 4
#endif

/* y[k][sample] += sum over count lanes of x[lane / V][sample][lane % V] w[k][lane]: `count` rows of V weights for each k. */
struct strip {
    const float *x, *w;
    size_t x_panel, wk; /* floats from panel to panel, from k to k */
    int count;
    float *y;
    size_t yk;
};
void LN_K(strips)(const struct strip *strip, int n, int k); /* k in 1 .. LIN_K */

/* dw[k][lane] = sum over n samples of x[lane / V][sample][lane % V] dy[k][sample], for count lanes. */
struct block {
    const float *x, *dy; /* dy's panels follow each other */
    size_t x_panel;
    int n, count;
    float *dw;
    size_t wk;
};
void LN_K(blocks)(const struct block *block, int k); /* k in 1 .. LIN_K */

#endif
