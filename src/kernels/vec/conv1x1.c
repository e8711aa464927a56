/* Convolutions of one tap and stride 1: matrix products over the pixels of a sample, which lie one after the other.
 *
 *     forward, input gradient   Q pixels times K vectors of output channels stay in registers while the input channels pass by; for the input
 *                               gradient the weights are transposed first
 *     weight gradient           A input lanes times K vectors of output channels stay in registers while the pixels of a band pass by */
#include "kernels/vec/conv.h"
#include "kernels/vec/panel.h"
#include "kernels/vec/transpose.h"

#define GROUP (512 << 10)  /* bytes of input that stay in the second-level cache while one pair of output blocks after the other is made */
#define WEIGHTS (24 << 10) /* bytes of weights that stay in the first-level cache meanwhile */
#define CHUNKS 8           /* at least, for any small number of threads */
#define BAND (1024 / LN_V) /* pixels whose inputs and gradients stay in the first-level cache */
#define PARTED (64 << 10)  /* bytes of weights up to which samples are cut in parts, each with sums of its own */
#if LN_V == 16
#define SUM_A 8
#define SUM_K 3
#elif LN_V == 8
#define SUM_A 4
#define SUM_K 3
#else
#define SUM_A 4
#define SUM_K 6
#endif

bool LN_K(one_tap)(const struct ln__conv *conv)
{
    return conv->kh * conv->kw == 1 && conv->stride == 1 && conv->top == 0 && conv->left == 0 && conv->hi == conv->ho && conv->wi == conv->wo &&
           conv->groups == 1 && conv->ci >= LN_V && conv->hi * conv->wi >= 8;
}

/* ---- forward and input gradient ---- */

struct product {
    int n, hw, in_c, in_blocks, out_blocks;
    int images, step; /* of a chunk: samples, output blocks */
    int deep;         /* input blocks whose weights stay in the first-level cache */
    size_t cuts;      /* of output blocks */
    bool add;
    const float *x, *w, *bias; /* w: [output block][input channel][V] */
    float *y;
};

/* Q pixels, K output blocks. */
struct tile1 {
    const float *x, *w, *init; /* init: K vectors to start from, or NULL: y */
    float *y;
    ptrdiff_t next_x, next_y; /* from x and y to those of the next tile */
    size_t block, w_k;        /* floats from block to block of x and y, of w */
    int depth;
};

INLINE void channel(const int Q, const int K, const float *x, const float *w, size_t w_k, vf acc[][PANEL_K])
{
    vf b[PANEL_K];
    UNROLL for (int k = 0; k < K; k++) b[k] = load(w + (size_t)k * w_k);
    UNROLL for (int q = 0; q < Q; q++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[q][k] += x[q * LN_V] * b[k];
    }
}

/* What the next tile reads and writes is fetched meanwhile, line by line: memory delivers while the products are made. */
INLINE void tile_run(const int Q, const int K, const struct tile1 *tile)
{
    vf acc[PANEL_Q][PANEL_K];
    const float *x = tile->x, *w = tile->w, *next = tile->y + tile->next_y;
    float *y = tile->y;
    size_t block = tile->block, w_k = tile->w_k;
    ptrdiff_t next_x = tile->next_x;
    UNROLL for (int k = 0; k < K; k++)
    {
        UNROLL for (int q = 0; q < Q; q++) acc[q][k] = tile->init ? load(tile->init + k * LN_V) : load(y + (size_t)k * block + q * LN_V);
    }
    UNROLL4 for (int l = 0; l < LN_V; l++, w += LN_V) /* lanes without a channel hold zero */
    {
        UNROLL for (int k = 0; k < K; k++) __builtin_prefetch(next + (size_t)k * block + l * LN_V, 1);
        __builtin_prefetch(x + next_x + l * LN_V);
        channel(Q, K, x + l, w, w_k, acc);
    }
    int left = tile->depth - LN_V;
    for (x += block; left >= LN_V; left -= LN_V, x += block) {
        UNROLL4 for (int l = 0; l < LN_V; l++, w += LN_V)
        {
            __builtin_prefetch(x + next_x + l * LN_V);
            channel(Q, K, x + l, w, w_k, acc);
        }
    }
    for (int l = 0; l < left; l++, w += LN_V) {
        __builtin_prefetch(x + next_x + l * LN_V);
        channel(Q, K, x + l, w, w_k, acc);
    }
    UNROLL for (int k = 0; k < K; k++)
    {
        UNROLL for (int q = 0; q < Q; q++) store(y + (size_t)k * block + q * LN_V, acc[q][k]);
    }
}

#define TILE(Q, K)                                                                                                                                   \
    static void tile_##Q##_##K(const struct tile1 *tile)                                                                                             \
    {                                                                                                                                                \
        tile_run(Q, K, tile);                                                                                                                        \
    }
#define TILE_NAME(Q, K) tile_##Q##_##K,
PANEL_ALL(TILE, 1)
PANEL_ALL(TILE, 2)
#if PANEL_K == 4
PANEL_ALL(TILE, 3)
PANEL_ALL(TILE, 4)
#endif
static void (*const tiles[PANEL_K][PANEL_Q])(const struct tile1 *tile) = {
    {PANEL_ALL(TILE_NAME, 1)},
    {PANEL_ALL(TILE_NAME, 2)},
#if PANEL_K == 4
    {PANEL_ALL(TILE_NAME, 3)},
    {PANEL_ALL(TILE_NAME, 4)},
#endif
};

/* Some input channels for K output blocks, over the pixels of the chunk. */
static void product_panel(const struct product *g, struct tile1 *tile, int k, int images)
{
    ptrdiff_t block = (ptrdiff_t)tile->block, to_x = (g->in_blocks - 1) * block, to_y = (g->out_blocks - 1) * block; /* to the next sample */
    for (int s = 0; s < images; s++) {
        int left = g->hw;
        for (int runs = (left + PANEL_Q - 1) / PANEL_Q; runs > 0; runs--) {
            int q = (left + runs - 1) / runs;
            left -= q;
            tile->next_x = q * LN_V + (left ? 0 : to_x);
            tile->next_y = q * LN_V + (left ? 0 : to_y);
            tiles[k - 1][q - 1](tile);
            tile->x += tile->next_x;
            tile->y += tile->next_y;
        }
    }
}

static void product_chunk(void *context, size_t chunk, unsigned worker)
{
    static const float zero[PANEL_K * LN_V] __attribute__((aligned(64)));
    (void)worker;
    const struct product *g = context;
    int image = (int)(chunk / g->cuts) * g->images, images = min_int(g->n - image, g->images);
    int out = (int)(chunk % g->cuts) * g->step, out_end = min_int(g->out_blocks, out + g->step);
    struct tile1 tile = {.block = (size_t)g->hw * LN_V, .w_k = (size_t)g->in_blocks * LN_V * LN_V};
    const float *x = g->x + (size_t)image * (size_t)g->in_blocks * tile.block;
    for (int k; out < out_end; out += k) {
        k = min_int(PANEL_K, out_end - out);
        for (int block = 0; block < g->in_blocks; block += g->deep) {
            tile.depth = min_int(g->in_c - block * LN_V, g->deep * LN_V);
            tile.x = x + (size_t)block * tile.block;
            tile.w = g->w + (size_t)out * tile.w_k + (size_t)(block * LN_V * LN_V);
            tile.y = g->y + ((size_t)image * (size_t)g->out_blocks + (size_t)out) * tile.block;
            tile.init = g->add || block > 0 ? NULL : g->bias ? g->bias + out * LN_V : zero;
            product_panel(g, &tile, k, images);
        }
    }
}

static void product_run(struct product *g, int out_c, struct ln__pool *pool)
{
    g->in_blocks = ln__blocks(g->in_c, LN_V);
    g->out_blocks = ln__blocks(out_c, LN_V);
    int runs = (g->in_blocks * PANEL_K * LN_V * LN_V * (int)sizeof(float) + WEIGHTS - 1) / WEIGHTS;
    g->deep = (g->in_blocks + runs - 1) / runs;
    g->images = max_int(1, GROUP / (g->in_blocks * LN_V * g->hw * (int)sizeof(float)));
    int groups = (g->n + g->images - 1) / g->images, pairs = (g->out_blocks + PANEL_K - 1) / PANEL_K;
    g->images = (g->n + groups - 1) / groups;
    int cuts = min_int(pairs, (CHUNKS + groups - 1) / groups);
    g->step = (pairs + cuts - 1) / cuts * PANEL_K;
    g->cuts = (size_t)((g->out_blocks + g->step - 1) / g->step);
    ln__pool_for(pool, (size_t)groups * g->cuts, product_chunk, g);
}

void LN_K(one_tap_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, struct ln__pool *pool)
{
    struct product g = {.n = n, .hw = conv->hi * conv->wi, .in_c = conv->ci, .x = x, .w = w, .bias = bias, .y = y};
    product_run(&g, conv->co, pool);
}

struct turn {
    int ins, outs; /* blocks */
    const float *w;
    float *to;
};

/* One column of blocks of the transposed weights: [input block][output channel][V]. */
static void turn_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct turn *turn = context;
    for (int out = 0; out < turn->outs; out++)
        transpose(turn->w + ((size_t)out * (size_t)turn->ins + chunk) * LN_V * LN_V,
                  turn->to + (chunk * (size_t)turn->outs + (size_t)out) * LN_V * LN_V);
}

void LN_K(one_tap_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                              struct ln__pool *pool)
{
    struct turn turn = {ln__blocks(conv->ci, LN_V), ln__blocks(conv->co, LN_V), w, scratch};
    struct product g = {.n = n, .hw = conv->hi * conv->wi, .in_c = conv->co, .x = dy, .w = scratch, .y = dx, .add = add};
    ln__pool_for(pool, (size_t)turn.ins, turn_chunk, &turn);
    product_run(&g, conv->ci, pool);
}

/* ---- weight gradient ---- */

struct outer {
    int n, hw, ci, ins, outs; /* blocks */
    int parts;                /* of the samples: as many as are worth the sums' way through memory */
    int deep, step;           /* input blocks, output blocks of a chunk */
    size_t in_cuts, out_cuts;
    int images, runs, cols; /* of a band: samples, or of one sample so many bands of so many pixels */
    size_t column, floats;  /* of one output block, of all */
    const float *x, *dy;
    float *dw, *sums;
};

static struct outer outer_of(const struct ln__conv *conv, int n)
{
    struct outer g = {.n = n, .hw = conv->hi * conv->wi, .ci = conv->ci, .ins = ln__blocks(conv->ci, LN_V), .outs = ln__blocks(conv->co, LN_V)};
    g.column = (size_t)g.ins * LN_V * LN_V;
    g.floats = (size_t)g.outs * g.column;
    int triples = (g.outs + SUM_K - 1) / SUM_K;
    g.parts = g.floats * sizeof(float) <= PARTED ? min_int(n, CHUNKS) : 1;
    int out_cuts = min_int(triples, (CHUNKS + g.parts - 1) / g.parts), cuts = g.parts * out_cuts,
        in_cuts = min_int(g.ins, (CHUNKS - 1 + cuts) / cuts);
    g.step = (triples + out_cuts - 1) / out_cuts * SUM_K;
    g.deep = (g.ins + in_cuts - 1) / in_cuts;
    g.out_cuts = (size_t)((g.outs + g.step - 1) / g.step);
    g.in_cuts = (size_t)((g.ins + g.deep - 1) / g.deep);
    g.runs = (g.hw + BAND - 1) / BAND;
    g.cols = (g.hw + g.runs - 1) / g.runs;
    g.images = max_int(1, BAND / g.hw);
    return g;
}

/* SUM_A lanes and K output blocks over a band. */
struct sum1 {
    const float *x, *dy;
    float *dw;
    ptrdiff_t next_x, next_y; /* from x and dy to what is to be fetched meanwhile */
    size_t x_image, y_image, block, column;
    int images, cols;
    bool first;
};

INLINE void sum_run(const int K, const struct sum1 *sum)
{
    vf acc[SUM_A][SUM_K];
    size_t block = sum->block, column = sum->column;
    ptrdiff_t next_x = sum->next_x, next_y = sum->next_y;
    UNROLL for (int a = 0; a < SUM_A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[a][k] = sum->first ? (vf){0} : load(sum->dw + (size_t)k * column + a * LN_V);
    }
    for (int s = 0; s < sum->images; s++) {
        const float *x = sum->x + (size_t)s * sum->x_image, *dy = sum->dy + (size_t)s * sum->y_image, *end = dy + sum->cols * LN_V;
        for (; dy < end; dy += LN_V, x += LN_V) {
            vf d[SUM_K];
            UNROLL for (int k = 0; k < K; k++)
            {
                d[k] = load(dy + (size_t)k * block);
                __builtin_prefetch(dy + next_y + (size_t)k * block, 0, 2);
            }
            __builtin_prefetch(x + next_x, 0, 2);
            UNROLL for (int a = 0; a < SUM_A; a++)
            {
                UNROLL for (int k = 0; k < K; k++) acc[a][k] += x[a] * d[k];
            }
        }
    }
    UNROLL for (int a = 0; a < SUM_A; a++)
    {
        UNROLL for (int k = 0; k < K; k++) store(sum->dw + (size_t)k * column + a * LN_V, acc[a][k]);
    }
}

#define SUM(K)                                                                                                                                       \
    static void sum_##K(const struct sum1 *sum)                                                                                                      \
    {                                                                                                                                                \
        sum_run(K, sum);                                                                                                                             \
    }
SUM(1)
SUM(2)
SUM(3)
#if SUM_K == 6
SUM(4)
SUM(5)
SUM(6)
#endif
static void (*const sums[SUM_K])(const struct sum1 *sum) = {
    sum_1, sum_2, sum_3,
#if SUM_K == 6
    sum_4, sum_5, sum_6,
#endif
};

/* Where band b of a chunk begins, in one block of a tensor of `blocks`. */
static ptrdiff_t band_at(const struct outer *g, int image, int b, int blocks)
{
    int s = image + b / g->runs * g->images;
    return ((ptrdiff_t)s * blocks * g->hw + b % g->runs * g->cols) * LN_V;
}

/* K output blocks and all input blocks of the chunk over a band. */
static void outer_band(const struct outer *g, struct sum1 *sum, int k, int in, int in_end, bool fetch_x)
{
    const float *x = sum->x;
    float *dw = sum->dw;
    ptrdiff_t next_x = sum->next_x;
    for (int i = in; i < in_end; i++) {
        for (int lane = 0; lane < LN_V; lane += SUM_A) {
            sum->x = x + (size_t)(i - in) * sum->block + lane;
            sum->dw = dw + (size_t)((i - in) * LN_V + lane) * LN_V;
            sum->next_x = fetch_x && lane == 0 ? next_x : 0;
            if (i * LN_V + lane < g->ci)
                sums[k - 1](sum);
            for (int j = 0; j < k && sum->first && i * LN_V + lane >= g->ci; j++)
                memset(sum->dw + (size_t)j * g->column, 0, SUM_A * LN_V * sizeof *dw);
            sum->next_y = 0;
        }
    }
}

static void outer_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct outer *g = context;
    int part = (int)(chunk / (g->in_cuts * g->out_cuts));
    int out = (int)(chunk / g->in_cuts % g->out_cuts) * g->step, out_end = min_int(g->outs, out + g->step);
    int in = (int)(chunk % g->in_cuts) * g->deep, in_end = min_int(g->ins, in + g->deep);
    int image = g->n * part / g->parts, images = g->n * (part + 1) / g->parts - image;
    float *all = g->parts > 1 ? g->sums + (size_t)part * g->floats : g->dw;
    struct sum1 sum = {.block = (size_t)g->hw * LN_V, .column = g->column, .cols = g->cols};
    sum.x_image = (size_t)g->ins * sum.block;
    sum.y_image = (size_t)g->outs * sum.block;
    int bands = (images + g->images - 1) / g->images * g->runs;
    for (int b = 0; b < bands; b++) {
        int next = min_int(b + 1, bands - 1);
        ptrdiff_t x = band_at(g, image, b, g->ins), dy = band_at(g, image, b, g->outs);
        sum.images = min_int(g->images, images - b / g->runs * g->images);
        sum.cols = min_int(g->cols, g->hw - b % g->runs * g->cols);
        sum.first = b == 0;
        for (int o = out, k; o < out_end; o += k) {
            int left = out_end - o, steps = (left + SUM_K - 1) / SUM_K;
            k = (left + steps - 1) / steps;
            sum.x = g->x + x + (size_t)in * sum.block;
            sum.dy = g->dy + dy + (size_t)o * sum.block;
            sum.dw = all + (size_t)o * g->column + (size_t)(in * LN_V * LN_V);
            sum.next_x = band_at(g, image, next, g->ins) - x;
            sum.next_y = band_at(g, image, next, g->outs) - dy;
            outer_band(g, &sum, k, in, in_end, o == out);
        }
    }
}

void LN_K(one_tap_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool)
{
    struct outer g = outer_of(conv, n);
    g.x = x;
    g.dy = dy;
    g.dw = dw;
    g.sums = scratch;
    ln__pool_for(pool, (size_t)g.parts * g.in_cuts * g.out_cuts, outer_chunk, &g);
    if (g.parts > 1)
        LN_K(sum_parts)(g.floats, g.parts, g.sums, dw, pool);
}

size_t LN_K(one_tap_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n)
{
    struct outer g = outer_of(conv, n);
    if (pass == LN__FORWARD)
        return 0;
    return pass == LN__INPUT_GRAD ? g.floats : g.parts > 1 ? (size_t)g.parts * g.floats : 0;
}
