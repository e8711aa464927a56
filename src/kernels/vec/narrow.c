/* Forward and weight gradient of convolutions with fewer input channels than a vector has lanes: the first layers of networks. The real lanes
 * of some padded rows are copied close together, [row][pixel][channel], so that the kw * ci inputs of an output pixel under one row of the
 * filter follow each other, as their weights do: a convolution is kh products of short rows, without a loop over channels.
 *
 *     forward           Q pixels times K vectors of output channels stay in registers while those rows pass by
 *     weight gradient   A neighbours of a row of the filter times K vectors stay in registers while the pixels of a band pass by */
#include "kernels/vec/conv.h"
#include "kernels/vec/panel.h"

#define SLAB 4096 /* floats of the copied rows, about */
#define BAND 128  /* output pixels of which inputs and gradients stay in the first-level cache for the whole filter */
#define PARTS 16  /* of the samples, for the weight gradient */

struct narrow {
    const struct ln__conv *conv;
    struct pack pack;
    int n, rows, strips; /* output rows of a strip; strips of an image */
    int row, pixel;      /* floats from row to row of the filter and from output pixel to output pixel, in the slab */
    int len;             /* kw * ci */
    int parts;
    size_t slab, floats; /* floats of the slab, and of all weights */
    const float *x, *w, *bias, *dy;
    float *y, *dw, *sums, *scratch;
};

static struct narrow narrow_of(const struct ln__conv *conv, int n)
{
    struct narrow g = {.conv = conv, .pack = pack_of(conv), .n = n};
    g.row = ((conv->wo - 1) * conv->stride + conv->kw) * conv->ci;
    g.pixel = conv->stride * conv->ci;
    g.len = conv->kw * conv->ci;
    g.rows = min_int(conv->ho, max_int(1, (SLAB / g.row - conv->kh) / conv->stride + 1));
    g.strips = (conv->ho + g.rows - 1) / g.rows;
    g.rows = (conv->ho + g.strips - 1) / g.strips;
    g.parts = min_int(n, PARTS);
    g.slab = ((size_t)(((g.rows - 1) * conv->stride + conv->kh) * g.row) + LN_V - 1) / LN_V * LN_V;
    g.floats = (size_t)g.pack.cob * g.pack.column;
    return g;
}

static size_t parts_floats(const struct narrow *g)
{
    return g->parts > 1 ? (size_t)g->parts * g->floats : 0;
}

size_t LN_K(narrow_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    struct narrow g = narrow_of(conv, n);
    return g.slab * width + (pass == LN__WEIGHT_GRAD ? parts_floats(&g) : 0);
}

INLINE void copy_pixels(const int ci, const float *from, int pixels, float *to)
{
    for (int x = 0; x < pixels; x++, from += LN_V, to += ci) {
        for (int l = 0; l < ci; l++)
            to[l] = from[l];
    }
}

/* The inputs of output rows [row, row + rows) of an image, zeros where it is padded. */
static void fill(const struct narrow *g, int image, int row, int rows, float *slab)
{
    const struct ln__conv *c = g->conv;
    int left = min_int(c->left, g->row / c->ci), inside = min_int(c->wi, g->row / c->ci - left);
    for (int r = 0; r < (rows - 1) * c->stride + c->kh; r++, slab += g->row) {
        int iy = row * c->stride + r - c->top;
        if (iy < 0 || iy >= c->hi) {
            memset(slab, 0, (size_t)g->row * sizeof *slab);
            continue;
        }
        const float *from = g->x + (size_t)((image * c->hi + iy) * c->wi) * LN_V;
        memset(slab, 0, (size_t)(left * c->ci) * sizeof *slab);
        if (c->ci == 1)
            copy_pixels(1, from, inside, slab + left);
        else if (c->ci == 3)
            copy_pixels(3, from, inside, slab + left * 3);
        else
            copy_pixels(c->ci, from, inside, slab + left * c->ci);
        memset(slab + (left + inside) * c->ci, 0, (size_t)(g->row - (left + inside) * c->ci) * sizeof *slab);
    }
}

/* ---- forward ---- */
struct out { /* some pixels of an output row, and some blocks */
    const float *x, *w, *bias;
    float *y;
    size_t y_k; /* from block to block */
};

INLINE void out_run(const int Q, const int K, const struct narrow *g, const struct out *out)
{
    vf acc[PANEL_Q][PANEL_K];
    UNROLL for (int k = 0; k < K; k++)
    {
        vf first = out->bias ? load(out->bias + k * LN_V) : (vf){0};
        UNROLL for (int q = 0; q < Q; q++) acc[q][k] = first;
    }
    const float *row = out->x, *w = out->w;
    ptrdiff_t pixel = g->pixel;
    size_t w_k = g->pack.column;
    for (int a = 0; a < g->conv->kh; a++, row += g->row) {
        for (const float *x = row, *end = row + g->len; x < end; x++, w += LN_V) {
            vf b[PANEL_K];
            UNROLL for (int k = 0; k < K; k++) b[k] = load(w + (size_t)k * w_k);
            UNROLL for (int q = 0; q < Q; q++)
            {
                UNROLL for (int k = 0; k < K; k++) acc[q][k] += x[q * pixel] * b[k];
            }
        }
    }
    UNROLL for (int k = 0; k < K; k++)
    {
        UNROLL for (int q = 0; q < Q; q++) store(out->y + (size_t)k * out->y_k + q * LN_V, acc[q][k]);
    }
}

#define OUT(Q, K)                                                                                                                                    \
    static void out_##Q##_##K(const struct narrow *g, const struct out *out)                                                                         \
    {                                                                                                                                                \
        out_run(Q, K, g, out);                                                                                                                       \
    }
#define OUT_NAME(Q, K) out_##Q##_##K,
PANEL_ALL(OUT, 1)
PANEL_ALL(OUT, 2)
#if PANEL_K == 4
PANEL_ALL(OUT, 3)
PANEL_ALL(OUT, 4)
#endif
static void (*const outs[PANEL_K][PANEL_Q])(const struct narrow *g, const struct out *out) = {
    {PANEL_ALL(OUT_NAME, 1)},
    {PANEL_ALL(OUT_NAME, 2)},
#if PANEL_K == 4
    {PANEL_ALL(OUT_NAME, 3)},
    {PANEL_ALL(OUT_NAME, 4)},
#endif
};

static void forward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct narrow *g = context;
    const struct ln__conv *c = g->conv;
    float *slab = g->scratch + worker * g->slab;
    int image = (int)chunk / g->strips, row = (int)chunk % g->strips * g->rows, rows = min_int(g->rows, c->ho - row);
    fill(g, image, row, rows, slab);
    struct out out = {.y_k = (size_t)(c->ho * c->wo) * LN_V};
    for (int o = 0, k; o < g->pack.cob; o += k) {
        k = min_int(PANEL_K, g->pack.cob - o);
        out.w = g->w + (size_t)o * g->pack.column;
        out.bias = g->bias ? g->bias + o * LN_V : NULL;
        out.y = g->y + ((size_t)(image * g->pack.cob + o) * (size_t)c->ho + (size_t)row) * (size_t)c->wo * LN_V;
        for (int r = 0; r < rows; r++) {
            out.x = slab + r * c->stride * g->row;
            for (int left = c->wo, runs = (left + PANEL_Q - 1) / PANEL_Q; runs > 0; runs--) {
                int q = (left + runs - 1) / runs;
                outs[k - 1][q - 1](g, &out);
                out.x += q * g->pixel;
                out.y += q * LN_V;
                left -= q;
            }
        }
    }
}

void LN_K(narrow_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                          struct ln__pool *pool)
{
    struct narrow g = narrow_of(conv, n);
    g.x = x;
    g.w = w;
    g.bias = bias;
    g.y = y;
    g.scratch = scratch;
    ln__pool_for(pool, (size_t)n * (size_t)g.strips, forward_chunk, &g);
}

/* ---- weight gradient ---- */
struct sum { /* over some output rows */
    const float *x, *dy;
    float *dw;
    size_t y_k; /* from block to block */
    int rows;
};

INLINE void sum_run(const int A, const int K, const struct narrow *g, const struct sum *sum)
{
    vf acc[PANEL_Q][PANEL_K];
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[a][k] = load(sum->dw + (size_t)k * g->pack.column + a * LN_V);
    }
    size_t y_k = sum->y_k;
    const float *dy = sum->dy, *row = sum->x;
    for (int r = 0; r < sum->rows; r++, row += g->conv->stride * g->row) {
        const float *x = row;
        for (const float *end = dy + g->conv->wo * LN_V; dy < end; dy += LN_V, x += g->pixel) {
            vf d[PANEL_K];
            UNROLL for (int k = 0; k < K; k++) d[k] = load(dy + (size_t)k * y_k);
            UNROLL for (int a = 0; a < A; a++)
            {
                UNROLL for (int k = 0; k < K; k++) acc[a][k] += x[a] * d[k];
            }
        }
    }
    UNROLL for (int a = 0; a < A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) store(sum->dw + (size_t)k * g->pack.column + a * LN_V, acc[a][k]);
    }
}

#define SUM(A, K)                                                                                                                                    \
    static void sum_##A##_##K(const struct narrow *g, const struct sum *sum)                                                                         \
    {                                                                                                                                                \
        sum_run(A, K, g, sum);                                                                                                                       \
    }
#define SUM_NAME(A, K) sum_##A##_##K,
PANEL_ALL(SUM, 1)
PANEL_ALL(SUM, 2)
#if PANEL_K == 4
PANEL_ALL(SUM, 3)
PANEL_ALL(SUM, 4)
#endif
static void (*const sums[PANEL_K][PANEL_Q])(const struct narrow *g, const struct sum *sum) = {
    {PANEL_ALL(SUM_NAME, 1)},
    {PANEL_ALL(SUM_NAME, 2)},
#if PANEL_K == 4
    {PANEL_ALL(SUM_NAME, 3)},
    {PANEL_ALL(SUM_NAME, 4)},
#endif
};

/* Adds what output rows [row, row + rows) of an image give; slab begins at row 0 of them. */
static void sum_band(const struct narrow *g, int image, int row, int rows, const float *slab, float *dw)
{
    const struct ln__conv *c = g->conv;
    struct sum sum = {.y_k = (size_t)(c->ho * c->wo) * LN_V, .rows = rows};
    for (int o = 0, k; o < g->pack.cob; o += k) {
        k = min_int(PANEL_K, g->pack.cob - o);
        sum.dw = dw + (size_t)o * g->pack.column;
        sum.dy = g->dy + ((size_t)(image * g->pack.cob + o) * (size_t)c->ho + (size_t)row) * (size_t)c->wo * LN_V;
        for (int tap = 0; tap < c->kh; tap++) {
            sum.x = slab + tap * g->row;
            for (int left = g->len, runs = (left + PANEL_Q - 1) / PANEL_Q; runs > 0; runs--) {
                int a = (left + runs - 1) / runs;
                sums[k - 1][a - 1](g, &sum);
                sum.x += a;
                sum.dw += a * LN_V;
                left -= a;
            }
        }
    }
}

static void grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct narrow *g = context;
    const struct ln__conv *c = g->conv;
    float *slab = g->scratch + worker * g->slab, *dw = g->parts > 1 ? g->sums + chunk * g->floats : g->dw;
    int from = g->n * (int)chunk / g->parts, to = g->n * ((int)chunk + 1) / g->parts, band = max_int(1, BAND / c->wo);
    memset(dw, 0, g->floats * sizeof *dw);
    for (int image = from; image < to; image++) {
        for (int strip = 0; strip < c->ho; strip += g->rows) {
            int rows = min_int(g->rows, c->ho - strip);
            fill(g, image, strip, rows, slab);
            for (int r = 0; r < rows; r += band)
                sum_band(g, image, strip + r, min_int(band, rows - r), slab + r * c->stride * g->row, dw);
        }
    }
}

void LN_K(narrow_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool)
{
    struct narrow g = narrow_of(conv, n);
    g.x = x;
    g.dy = dy;
    g.dw = dw;
    g.sums = scratch;
    g.scratch = scratch + parts_floats(&g);
    ln__pool_for(pool, (size_t)g.parts, grad_chunk, &g);
    if (g.parts > 1)
        LN_K(sum_parts)(g.floats, g.parts, g.sums, dw, pool);
}
