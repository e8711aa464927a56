/* Winograd's transforms of one tile; winograd.h says of what. */
#include "kernels/vec/winograd.h"

#define POINTS_MAX 8
#define TAPS_MAX 5
#define SIX_A 0.70710678F /* pairs of six points */
#define SIX_B 1.41421356F
#ifndef EIGHT_A
#define EIGHT_A 0.5F /* of eight */
#define EIGHT_B 1.0F
#define EIGHT_C 2.0F
#endif
#define SQUARE(x) ((x) * (x))

/* Pair j of P points. */
INLINE float pair(const int P, const int j)
{
    return P == 6 ? (j == 0 ? SIX_A : SIX_B) : j == 0 ? EIGHT_A : j == 1 ? EIGHT_B : EIGHT_C;
}

/* The squares of the other pairs than j. */
INLINE float other(const int P, const int j, const int which)
{
    return SQUARE(pair(P, which < j ? which : which + 1));
}

/* B^T d */
INLINE void input_points(const int P, const vf *d, vf *v)
{
    if (P == 6) {
        const float sum = SQUARE(SIX_A) + SQUARE(SIX_B);
        v[0] = (d[4] + d[0]) - sum * d[2];
        v[5] = (d[5] + d[1]) - sum * d[3];
    } else {
        const float a = SQUARE(EIGHT_A), b = SQUARE(EIGHT_B), c = SQUARE(EIGHT_C), one = a + b + c, two = a * b + a * c + b * c;
        v[0] = (d[0] - d[6]) + (one * d[4] - two * d[2]);
        v[7] = (d[7] - d[1]) - (one * d[5] - two * d[3]);
    }
    UNROLL for (int j = 0; j < (P - 2) / 2; j++)
    {
        vf even, odd;
        if (P == 6) {
            even = d[4] - other(P, j, 0) * d[2];
            odd = d[3] - other(P, j, 0) * d[1];
        } else {
            const float sum = other(P, j, 0) + other(P, j, 1), product = other(P, j, 0) * other(P, j, 1);
            even = (d[6] + product * d[2]) - sum * d[4];
            odd = (d[5] + product * d[1]) - sum * d[3];
        }
        v[1 + 2 * j] = even + pair(P, j) * odd;
        v[2 + 2 * j] = even - pair(P, j) * odd;
    }
}

INLINE float power(float p, int i)
{
    return i == 0 ? 1 : i == 1 ? p : i == 2 ? p * p : i == 3 ? p * p * p : i == 4 ? p * p * p * p : p * p * p * p * p;
}

/* A^T v: y[i] is the sum of p^i v[p]; infinity goes to the last. */
INLINE void output_points(const int P, const int m, const vf *v, vf *y)
{
    vf sum[3], diff[3];
    UNROLL for (int j = 0; j < (P - 2) / 2; j++)
    {
        sum[j] = v[1 + 2 * j] + v[2 + 2 * j];
        diff[j] = v[1 + 2 * j] - v[2 + 2 * j];
    }
    UNROLL for (int i = 0; i < m; i++)
    {
        vf all = i == 0 ? v[0] : i == m - 1 ? v[P - 1] : (vf){0};
        UNROLL for (int j = 0; j < (P - 2) / 2; j++) all += power(pair(P, j), i) * (i % 2 ? diff[j] : sum[j]);
        y[i] = all;
    }
}

/* One over the product of the differences of +-p to the other points. */
INLINE float share(const int P, const int j)
{
    const float p = SQUARE(pair(P, j));
    return 1 / (2 * p * (p - other(P, j, 0)) * (P == 6 ? 1 : p - other(P, j, 1)));
}

/* G g: u[p] is the sum of p^k g[k], over the product of the differences to the other points (of 0, that is 1 or, with B^T's sign, 1); infinity
 * takes the last. */
INLINE void filter_points(const int P, const int r, const vf *g, vf *u)
{
    u[0] = g[0];
    u[P - 1] = g[r - 1];
    UNROLL for (int j = 0; j < (P - 2) / 2; j++)
    {
        vf even = share(P, j) * g[0], odd = (share(P, j) * pair(P, j)) * g[1];
        UNROLL for (int k = 2; k < r; k++)
        {
            if (k % 2)
                odd += (share(P, j) * power(pair(P, j), k)) * g[k];
            else
                even += (share(P, j) * power(pair(P, j), k)) * g[k];
        }
        u[1 + 2 * j] = even + odd;
        u[2 + 2 * j] = even - odd;
    }
}

/* A window of inputs to P * P vectors `step` apart. */
INLINE void input_tile(const int P, const struct window *win, float *to, size_t step)
{
    vf half[POINTS_MAX][POINTS_MAX];
    bool whole = win->row == 0 && win->rows == P;
    for (int c = 0; c < P; c++) {
        if (c < win->col || c >= win->cols) {
            UNROLL for (int r = 0; r < P; r++) half[r][c] = (vf){0};
            continue;
        }
        vf d[POINTS_MAX], v[POINTS_MAX];
        const float *from = win->at + c * LN_V;
        if (whole) {
            UNROLL for (int r = 0; r < P; r++) d[r] = load(from + (size_t)r * win->pitch);
        } else {
            UNROLL for (int r = 0; r < P; r++) d[r] = r >= win->row && r < win->rows ? load(from + (size_t)r * win->pitch) : (vf){0};
        }
        input_points(P, d, v);
        UNROLL for (int r = 0; r < P; r++) half[r][c] = v[r];
    }
    for (int r = 0; r < P; r++) {
        vf v[POINTS_MAX];
        input_points(P, half[r], v);
        UNROLL for (int c = 0; c < P; c++) store(to + (size_t)(r * P + c) * step, v[c]);
    }
}

/* A window of m x m output gradients, the filter of a weight gradient, to P * P vectors `step` apart; none begins outside. */
INLINE void grad_tile(const int P, const int m, const struct window *win, float *to, size_t step)
{
    vf half[POINTS_MAX][SIDE];
    UNROLL for (int c = 0; c < m; c++)
    {
        vf d[SIDE], u[POINTS_MAX];
        const float *from = win->at + c * LN_V;
        UNROLL for (int r = 0; r < m; r++) d[r] = r < win->rows && c < win->cols ? load(from + (size_t)r * win->pitch) : (vf){0};
        filter_points(P, m, d, u);
        UNROLL for (int r = 0; r < P; r++) half[r][c] = u[r];
    }
    for (int r = 0; r < P; r++) {
        vf u[POINTS_MAX];
        filter_points(P, m, half[r], u);
        UNROLL for (int c = 0; c < P; c++) store(to + (size_t)(r * P + c) * step, u[c]);
    }
}

/* The taps x taps vectors of a filter, `tap` apart, to P * P `step` apart. */
INLINE void filter_tile(const int P, const int taps, const float *w, size_t tap, float *to, size_t step)
{
    vf half[POINTS_MAX][TAPS_MAX];
    UNROLL for (int c = 0; c < taps; c++)
    {
        vf g[TAPS_MAX], u[POINTS_MAX];
        UNROLL for (int r = 0; r < taps; r++) g[r] = load(w + (size_t)(r * taps + c) * tap);
        filter_points(P, taps, g, u);
        UNROLL for (int r = 0; r < P; r++) half[r][c] = u[r];
    }
    for (int r = 0; r < P; r++) {
        vf u[POINTS_MAX];
        filter_points(P, taps, half[r], u);
        UNROLL for (int c = 0; c < P; c++) store(to + (size_t)(r * P + c) * step, u[c]);
    }
}

/* P * P sums `step` apart to m x m vectors y. */
INLINE void output_tile(const int P, const int m, const float *from, size_t step, vf y[][TAPS_MAX])
{
    vf half[TAPS_MAX][POINTS_MAX];
    for (int c = 0; c < P; c++) {
        vf v[POINTS_MAX], some[TAPS_MAX];
        UNROLL for (int r = 0; r < P; r++) v[r] = load(from + (size_t)(r * P + c) * step);
        output_points(P, m, v, some);
        UNROLL for (int r = 0; r < m; r++) half[r][c] = some[r];
    }
    UNROLL for (int r = 0; r < m; r++) output_points(P, m, half[r], y[r]);
}

INLINE void output_window(const int P, const float *from, size_t step, const float *bias, bool add, float *to, size_t pitch, int rows, int cols)
{
    vf y[TAPS_MAX][TAPS_MAX], more = bias ? load(bias) : (vf){0};
    output_tile(P, SIDE, from, step, y);
    for (int r = 0; r < rows; r++, to += pitch) {
        for (int c = 0; c < cols; c++)
            store(to + c * LN_V, y[r][c] + (add ? load(to + c * LN_V) : more));
    }
}

/* Sums to taps x taps weights, `tap` apart. */
INLINE void weight_tile(const int P, const int taps, const float *from, size_t step, float *w, size_t tap)
{
    vf y[TAPS_MAX][TAPS_MAX];
    output_tile(P, taps, from, step, y);
    UNROLL for (int r = 0; r < taps; r++)
    {
        UNROLL for (int c = 0; c < taps; c++) store(w + (size_t)(r * taps + c) * tap, y[r][c]);
    }
}

#define TRANSFORMS(P, taps)                                                                                                                          \
    static void input_##P(const struct window *win, float *to, size_t step)                                                                          \
    {                                                                                                                                                \
        input_tile(P, win, to, step);                                                                                                                \
    }                                                                                                                                                \
    static void grad_##P(const struct window *win, float *to, size_t step)                                                                           \
    {                                                                                                                                                \
        grad_tile(P, SIDE, win, to, step);                                                                                                           \
    }                                                                                                                                                \
    static void filter_##P(const float *w, size_t tap, float *to, size_t step)                                                                       \
    {                                                                                                                                                \
        filter_tile(P, taps, w, tap, to, step);                                                                                                      \
    }                                                                                                                                                \
    static void weight_##P(const float *from, size_t step, float *w, size_t tap)                                                                     \
    {                                                                                                                                                \
        weight_tile(P, taps, from, step, w, tap);                                                                                                    \
    }                                                                                                                                                \
    static void output_##P(const float *from, size_t step, const float *bias, bool add, float *to, size_t pitch, int rows, int cols)                 \
    {                                                                                                                                                \
        output_window(P, from, step, bias, add, to, pitch, rows, cols);                                                                              \
    }                                                                                                                                                \
    static const struct transforms transforms_##P = {input_##P, grad_##P, filter_##P, weight_##P, output_##P};
TRANSFORMS(6, 3)
TRANSFORMS(8, 5)

const struct transforms *LN_K(winograd_transforms)(int taps)
{
    return taps == 3 ? &transforms_6 : &transforms_8;
}
