/* The register tile of the convolutions: R rows of Q pixels times K vectors of output channels are accumulated while one input value after the
 * other is broadcast against K weight vectors. */
#ifndef LINNET_KERNELS_VEC_TILE_H
#define LINNET_KERNELS_VEC_TILE_H

#include "kernels/vec/vec.h"

#if LN_V == 8
#define TILE_PIXELS 4
#define TILE_K 3
#define TILE_SHAPES 4
#else
#define TILE_PIXELS 8
#define TILE_K 2
#define TILE_SHAPES 8
#endif
#define RUN_FLOATS 6144 /* weights of one run of taps, all K of them: 24 KiB */
#define RUN_MAX 32      /* taps */

/* One tile's operands. x and y point to each row's first pixel. */
struct tile {
    const float *x[TILE_PIXELS];
    float *y[TILE_PIXELS];
    const float *w;
    const float *init; /* K vectors (stride LN_V) to start from, else y */
    size_t wk, yk, yq; /* strides: of K in weights and in y; of pixels in y */
    int taps;
    ptrdiff_t off[RUN_MAX]; /* of each tap in x */
    ptrdiff_t at[RUN_MAX];  /* and in w */
    int real[RUN_MAX];      /* lanes to read of each tap's input block */
};

/* Tiles of rows x cols pixels, from the widest. */
struct shape {
    int rows, cols;
    void (*run[TILE_K])(const struct tile *tile);
};
extern const struct shape LN_K(shapes)[TILE_SHAPES];

#endif
