/* Convolution of stride 1 by Winograd's minimal filtering: 3x3 by F(4x4, 3x3), 36 products in place of 144; 5x5 by F(4x4, 5x5), 64 in place
 * of 400. Tiles of inputs and the filters are transformed, multiplied at each position as matrices, and transformed back.
 *
 * Many tiles: the filters are transformed first, then each chunk takes a group of tiles through all steps. Few tiles, or filters that no
 * cache holds: the tiles are transformed first, then each chunk takes a run of output channels, and transforms their filters, a slice of
 * input channels at a time, in its cache. */
#include "kernels/vec/winograd.h"
#include "kernels/vec/panel.h"
#include "kernels/vec/transpose.h"

struct wino {
    const struct ln__conv *conv;
    const struct transforms *transforms;
    struct pack pack;
    int points, square; /* of a tile of inputs, one way and both */
    int taps;           /* of a filter, one way */
    int n, in_c, in_blocks, in_h, in_w, out_blocks, out_h, out_w;
    int top, left;         /* padding */
    int across, each, all; /* tiles in a row, in an image, together */
    bool flip;             /* input gradient: filters are turned round, and read across */
    bool few;              /* tiles are transformed first */
    bool add;
    int group, groups; /* tiles in a group */
    int runs;          /* of PANEL_K output blocks */
    int slice;         /* input blocks whose filters are transformed together */
    size_t v_pos, u_pos, m_pos;
    size_t shared_floats, v_floats, u_floats, m_floats, t_floats; /* scratch: one, then for each worker */
    const float *in, *w, *bias;
    float *out, *scratch;
};

/* How many tiles at once, and how many input blocks. */
static void cut(struct wino *g)
{
    size_t filters = (size_t)(g->runs * g->square * PANEL_K * g->in_blocks) * LN_V * LN_V;
    size_t tile = (size_t)(g->square * (g->in_blocks + PANEL_K)) * LN_V, most;
    g->few = g->all <= 64 || filters > FILTERS_MOST;
    if (g->few)
        most = CACHE / 3 / (size_t)(g->square * PANEL_K * LN_V);
    else if (filters + 12 * tile <= CACHE)
        most = (CACHE - filters) / tile;
    else
        most = CACHE / 8 * 7 / tile;
    most = most < PANEL_Q ? PANEL_Q : most > 70 ? 70 : most / PANEL_Q * PANEL_Q; /* whole panels */
    g->groups = (g->all + (int)most - 1) / (int)most;
    if (!g->few && g->groups > 1)
        g->groups += g->groups % 2;
    g->group = (g->all + g->groups - 1) / g->groups;
    g->groups = (g->all + g->group - 1) / g->group;
    g->slice = max_int(1, (int)(CACHE / 3 / (size_t)(g->square * PANEL_K * LN_V * LN_V)));
    if (!g->few || g->slice > g->in_blocks)
        g->slice = g->in_blocks;
}

static struct wino wino_of(const struct ln__conv *conv, bool flip, int n)
{
    struct wino g = {.conv = conv, .pack = pack_of(conv), .n = n, .flip = flip};
    g.taps = conv->kh;
    g.transforms = LN_K(winograd_transforms)(g.taps);
    g.points = points_for(g.taps);
    g.square = g.points * g.points;
    g.in_c = flip ? conv->co : conv->ci;
    g.in_blocks = flip ? g.pack.cob : g.pack.cib;
    g.out_blocks = flip ? g.pack.cib : g.pack.cob;
    g.in_h = flip ? conv->ho : conv->hi;
    g.in_w = flip ? conv->wo : conv->wi;
    g.out_h = flip ? conv->hi : conv->ho;
    g.out_w = flip ? conv->wi : conv->wo;
    g.top = flip ? g.taps - 1 - conv->top : conv->top;
    g.left = flip ? g.taps - 1 - conv->left : conv->left;
    g.across = (g.out_w + SIDE - 1) / SIDE;
    g.each = g.across * ((g.out_h + SIDE - 1) / SIDE);
    g.all = g.each * n;
    g.runs = (g.out_blocks + PANEL_K - 1) / PANEL_K;
    cut(&g);
    size_t square = (size_t)g.square;
    g.v_pos = ((size_t)g.in_blocks * (size_t)(g.few ? g.all : g.group) + 1) * LN_V;
    g.u_pos = (size_t)(PANEL_K * g.slice) * LN_V * LN_V + LN_V;
    g.m_pos = (size_t)(PANEL_K * g.group + 1) * LN_V;
    g.v_floats = square * g.v_pos;
    g.u_floats = square * g.u_pos * (size_t)(g.few ? 1 : g.runs);
    g.m_floats = square * g.m_pos;
    g.t_floats = flip ? (size_t)(g.taps * g.taps) * LN_V * LN_V : 0;
    g.shared_floats = g.few ? g.v_floats : g.u_floats;
    return g;
}

static size_t worker_floats(const struct wino *g)
{
    return (g->few ? g->u_floats : g->v_floats) + g->m_floats + g->t_floats;
}

size_t LN_K(winograd_scratch)(const struct ln__conv *conv, bool flip, int n, unsigned width)
{
    struct wino g = wino_of(conv, flip, n);
    return g.shared_floats + worker_floats(&g) * width;
}

/* Tiles [first, end) of all input blocks, `block` floats from block to block; tile t goes to place t - first. */
static void transform_tiles(const struct wino *g, int first, int end, float *v, size_t block)
{
    size_t plane = (size_t)(g->in_h * g->in_w) * LN_V;
    for (int t = first; t < end; t++, v += LN_V) {
        int image = t / g->each, y = t % g->each / g->across, x = t % g->each % g->across;
        const float *in = g->in + (size_t)image * (size_t)g->in_blocks * plane;
        struct window win = window_at(in, g->in_h, g->in_w, y * SIDE - g->top, x * SIDE - g->left, g->points);
        for (int b = 0; b < g->in_blocks; b++, win.at += plane)
            g->transforms->input(&win, v + (size_t)b * block, g->v_pos);
    }
}

static const float *packed(const struct wino *g, int out, int in)
{
    return g->w + (size_t)(g->flip ? in : out) * g->pack.column + (size_t)(g->flip ? out : in) * g->pack.block;
}

/* The filters that lead from input block `in` to output block `out`, tap by tap blocks of [V input lanes][V output lanes]. Those of the input
 * gradient are turned round, and made in `turned`. */
static const float *filters(const struct wino *g, int out, int in, float *turned)
{
    const float *from = packed(g, out, in);
    if (!g->flip)
        return from;
    int all = g->taps * g->taps;
    for (int t = 0; t < all; t++)
        transpose(from + (all - 1 - t) * LN_V * LN_V, turned + t * LN_V * LN_V);
    return turned;
}

/* The filters of k output blocks and `blocks` input blocks, as panels want them: [position][input channel][k][V]. */
static void transform_filters(const struct wino *g, int out, int k, int in, int blocks, float *turned, float *u)
{
    for (int b = 0; b < blocks; b++) {
        for (int j = 0; j < k; j++) {
            const float *w = filters(g, out + j, in + b, turned),
                        *next = packed(g, out + (j + 1) % k, min_int(in + b + (j + 1) / k, g->in_blocks - 1));
            float *to = u + (b * LN_V * k + j) * LN_V;
            for (int l = 0; l < LN_V; l++, w += LN_V, to += k * LN_V) {
                for (int t = 0; t < g->taps * g->taps; t++) /* what comes next is far away in memory where weights are large */
                    __builtin_prefetch(next + (t * LN_V + l) * LN_V);
                g->transforms->filter(w, LN_V * LN_V, to, g->u_pos);
            }
        }
    }
}

static void finish_tiles(const struct wino *g, int out, int k, int first, int end, const float *m)
{
    size_t plane = (size_t)(g->out_h * g->out_w) * LN_V;
    for (int t = first; t < end; t++) {
        int image = t / g->each, y = t % g->each / g->across * SIDE, x = t % g->each % g->across * SIDE;
        float *to = g->out + ((size_t)image * (size_t)g->out_blocks + (size_t)out) * plane + (size_t)(y * g->out_w + x) * LN_V;
        for (int j = 0; j < k; j++, to += plane, m += LN_V)
            g->transforms->output(m, g->m_pos, g->bias ? g->bias + (out + j) * LN_V : NULL, g->add, to, (size_t)g->out_w * LN_V,
                                  min_int(SIDE, g->out_h - y), min_int(SIDE, g->out_w - x));
    }
}

static int outs(const struct wino *g, int run)
{
    return min_int(PANEL_K, g->out_blocks - run * PANEL_K);
}

/* ---- many tiles ---- */
static void filters_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct wino *g = context;
    int run = (int)chunk / g->in_blocks, in = (int)chunk % g->in_blocks, k = outs(g, run);
    float *turned = g->scratch + g->shared_floats + worker * worker_floats(g);
    float *u = g->scratch + (size_t)(run * g->square) * g->u_pos + (size_t)(in * k) * LN_V * LN_V;
    transform_filters(g, run * PANEL_K, k, in, 1, turned, u);
}

static void tiles_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct wino *g = context;
    float *v = g->scratch + g->shared_floats + worker * worker_floats(g), *m = v + g->v_floats;
    int first = (int)chunk * g->group, end = min_int(first + g->group, g->all);
    transform_tiles(g, first, end, v, (size_t)g->group * LN_V);
    struct panel panel = {.x_block = (size_t)g->group * LN_V, .depth = g->in_c};
    for (int run = 0; run < g->runs; run++) {
        for (int pos = 0; pos < g->square; pos++) {
            panel.x = v + (size_t)pos * g->v_pos;
            panel.w = g->scratch + (size_t)(run * g->square + pos) * g->u_pos;
            panel.y = m + (size_t)pos * g->m_pos;
            LN_K(panel)(&panel, end - first, outs(g, run));
        }
        finish_tiles(g, run * PANEL_K, outs(g, run), first, end, m);
    }
}

/* ---- few tiles ---- */
#define INPUTS 4 /* tiles of a chunk of inputs */

static void inputs_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct wino *g = context;
    int first = (int)chunk * INPUTS;
    transform_tiles(g, first, min_int(first + INPUTS, g->all), g->scratch + first * LN_V, (size_t)g->all * LN_V);
}

static void outputs_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct wino *g = context;
    float *u = g->scratch + g->shared_floats + worker * worker_floats(g), *m = u + g->u_floats, *turned = m + g->m_floats;
    int run = (int)chunk / g->groups, out = run * PANEL_K, k = outs(g, run);
    int first = (int)chunk % g->groups * g->group, end = min_int(first + g->group, g->all);
    struct panel panel = {.x_block = (size_t)g->all * LN_V};
    for (int in = 0; in < g->in_blocks; in += g->slice) {
        transform_filters(g, out, k, in, min_int(g->slice, g->in_blocks - in), turned, u);
        panel.depth = min_int(g->slice * LN_V, g->in_c - in * LN_V);
        panel.add = in > 0;
        for (int pos = 0; pos < g->square; pos++) {
            panel.x = g->scratch + (size_t)pos * g->v_pos + (size_t)(in * g->all + first) * LN_V;
            panel.w = u + (size_t)pos * g->u_pos;
            panel.y = m + (size_t)pos * g->m_pos;
            LN_K(panel)(&panel, end - first, k);
        }
    }
    finish_tiles(g, out, k, first, end, m);
}

void LN_K(winograd)(const struct ln__conv *conv, bool flip, int n, const float *in, const float *w, const float *bias, float *out, bool add,
                    float *scratch, struct ln__pool *pool)
{
    struct wino g = wino_of(conv, flip, n);
    g.in = in;
    g.w = w;
    g.bias = bias;
    g.out = out;
    g.add = add;
    g.scratch = scratch;
    if (g.few) {
        ln__pool_for(pool, (size_t)((g.all + INPUTS - 1) / INPUTS), inputs_chunk, &g);
        ln__pool_for(pool, (size_t)(g.runs * g.groups), outputs_chunk, &g);
    } else {
        ln__pool_for(pool, (size_t)(g.runs * g.in_blocks), filters_chunk, &g);
        ln__pool_for(pool, (size_t)g.groups, tiles_chunk, &g);
    }
}

/* Where it wins: a fixed table by shape. */
bool LN_K(winograd_wins)(const struct ln__conv *conv)
{
    if ((conv->kh != 3 && conv->kh != 5) || conv->kw != conv->kh || conv->stride != 1 || conv->groups != 1)
        return false;
    if (conv->top >= conv->kh || conv->left >= conv->kw)
        return false;
    return conv->ci >= 16 && conv->co >= 16 && conv->ho >= 4 && conv->wo >= 4;
}
