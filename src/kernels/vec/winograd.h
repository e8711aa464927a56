/* The one-dimensional transforms of Winograd's minimal filtering, y = A^T ((G g) * (B^T d)) for P inputs d, r filter taps g and m = P + 1 - r
 * outputs y (Lavin and Gray 2016), on P points: 0, some pairs +-p, and infinity. Six and eight points are used:
 *
 *     P = 6   3x3 filters   F(4, 3), and F(3, 4) for their weight gradients: the filter is then a tile of output gradients
 *     P = 8   5x5 filters   F(4, 5), and F(5, 4)
 *
 * The pairs multiply to 1 and lie close to it, which keeps the error several times below that of +-1, +-2. */
#ifndef LINNET_KERNELS_VEC_WINOGRAD_H
#define LINNET_KERNELS_VEC_WINOGRAD_H

#include "kernels/vec/conv.h"

#define SIDE 4 /* outputs of a tile, one way */

/* Floats of the second-level cache that one core may count on. */
#if LN_V == 16
#define CACHE ((size_t)208 << 10)
#else
#define CACHE ((size_t)96 << 10)
#endif
#define FILTERS_MOST ((size_t)768 << 10) /* transformed filters worth reading again for each group of tiles */

/* Points for filters of `taps`, and outputs of a tile one way. */
INLINE int points_for(int taps)
{
    return taps == 3 ? 6 : 8;
}

/* A window of a plane, of which some may lie outside and counts as zeros. */
struct window {
    const float *at;          /* row 0, column 0; may be outside */
    int row, rows, col, cols; /* those inside: [row, rows) x [col, cols) */
    size_t pitch;             /* floats from row to row */
};

/* size x size pixels at (y, x) of a plane of h x w. */
INLINE struct window window_at(const float *plane, int h, int w, int y, int x, int size)
{
    struct window win = {.at = plane + ((ptrdiff_t)y * w + x) * LN_V, .pitch = (size_t)w * LN_V};
    win.row = max_int(0, -y);
    win.rows = min_int(size, h - y);
    win.col = max_int(0, -x);
    win.cols = min_int(size, w - x);
    return win;
}

/* The transforms both ways; vectors of P * P positions lie `step` floats apart. */
struct transforms {
    void (*input)(const struct window *win, float *to, size_t step);      /* P x P inputs */
    void (*grad)(const struct window *win, float *to, size_t step);       /* SIDE x SIDE output gradients, as a filter; none begins outside */
    void (*filter)(const float *w, size_t tap, float *to, size_t step);   /* a filter, its taps `tap` apart */
    void (*weight)(const float *from, size_t step, float *w, size_t tap); /* the gradient of a filter */
    /* SIDE x SIDE outputs, of which rows x cols are kept: added to `to` or with the bias (or NULL) stored; pitch from row to row */
    void (*output)(const float *from, size_t step, const float *bias, bool add, float *to, size_t pitch, int rows, int cols);
};

/* Of filters of `taps`: 3, 5. */
const struct transforms *LN_K(winograd_transforms)(int taps);

#endif
