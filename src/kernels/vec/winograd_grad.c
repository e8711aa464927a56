/* Weight gradient of 3x3 and 5x5 convolutions of stride 1 by Winograd's minimal filtering: a tile of 6x6 (or 8x8) inputs meets a tile of
 * 4x4 output gradients as its filter, F(3x3, 4x4) and F(5x5, 4x4); products are summed over tiles at the 36 (or 64) positions, and only the sums
 * are transformed back. A chunk holds the sums of some input and output channels in its cache, over one part of the tiles; parts are
 * added in order. */
#include "kernels/vec/spread.h"
#include "kernels/vec/winograd.h"

#define TILES 32                     /* in a group */
#define SUMS_MOST ((size_t)52 << 10) /* floats of the sums of a chunk */
#if LN_V == 16
#define OUTS 2 /* output blocks of a chunk */
#else
#define OUTS (2 * SPREAD_K)
#endif

struct tiles {
    const struct ln__conv *conv;
    const struct transforms *transforms;
    struct pack pack;
    int n, points, square;        /* points of a tile of inputs, one way and both */
    int across, each, all;        /* tiles in a row, in an image, together */
    int deep, wide;               /* input and output blocks of a chunk */
    int ins, outs, parts, groups; /* chunks; groups of tiles */
    size_t v_pos, d_pos, m_pos;
    size_t floats; /* of all weights */
    const float *x, *dy;
    float *dw, *scratch;
};

static struct tiles tiles_of(const struct ln__conv *conv, int n)
{
    struct tiles g = {.conv = conv, .pack = pack_of(conv), .n = n, .points = points_for(conv->kh)};
    g.square = g.points * g.points;
    g.transforms = LN_K(winograd_transforms)(conv->kh);
    g.across = (conv->wo + SIDE - 1) / SIDE;
    g.each = g.across * ((conv->ho + SIDE - 1) / SIDE);
    g.all = g.each * n;
    g.wide = min_int(OUTS, g.pack.cob);
    g.deep = min_int(max_int(1, (int)(SUMS_MOST / (size_t)(g.square * g.wide * LN_V * LN_V))), g.pack.cib);
    g.ins = (g.pack.cib + g.deep - 1) / g.deep;
    g.outs = (g.pack.cob + g.wide - 1) / g.wide;
    g.groups = (g.all + TILES - 1) / TILES;
    g.parts = min_int(g.groups, (7 + g.ins * g.outs) / (g.ins * g.outs));
    g.v_pos = (size_t)(g.deep * TILES + 1) * LN_V;
    g.d_pos = (size_t)(g.wide * TILES + 1) * LN_V;
    g.m_pos = (size_t)(g.deep * g.wide * LN_V + 1) * LN_V;
    g.floats = (size_t)g.pack.cob * g.pack.column;
    return g;
}

static size_t worker_floats(const struct tiles *g)
{
    return (size_t)g->square * (g->v_pos + g->d_pos + g->m_pos);
}

static size_t parts_floats(const struct tiles *g)
{
    return g->parts > 1 ? (size_t)g->parts * g->floats : 0;
}

size_t LN_K(winograd_grad_scratch)(const struct ln__conv *conv, int n, unsigned width)
{
    struct tiles g = tiles_of(conv, n);
    return parts_floats(&g) + worker_floats(&g) * width;
}

/* A chunk's channels, and the group of tiles it is at. */
struct range {
    int in, ins, out, outs, first, count;
    float *v, *d, *m;
};

static void transform(const struct tiles *g, const struct range *at)
{
    const struct ln__conv *c = g->conv;
    size_t x_plane = (size_t)(c->hi * c->wi) * LN_V, y_plane = (size_t)(c->ho * c->wo) * LN_V;
    for (int t = 0; t < at->count; t++) {
        int tile = at->first + t, image = tile / g->each, y = tile % g->each / g->across * SIDE, x = tile % g->each % g->across * SIDE;
        const float *in = g->x + ((size_t)image * (size_t)g->pack.cib + (size_t)at->in) * x_plane;
        const float *out = g->dy + ((size_t)image * (size_t)g->pack.cob + (size_t)at->out) * y_plane;
        struct window from = window_at(in, c->hi, c->wi, y - c->top, x - c->left, g->points), grad = window_at(out, c->ho, c->wo, y, x, SIDE);
        for (int b = 0; b < at->ins; b++, from.at += x_plane)
            g->transforms->input(&from, at->v + (size_t)(b * TILES + t) * LN_V, g->v_pos);
        for (int b = 0; b < at->outs; b++, grad.at += y_plane)
            g->transforms->grad(&grad, at->d + (size_t)(b * TILES + t) * LN_V, g->d_pos);
    }
}

static void multiply(const struct tiles *g, const struct range *at, bool first)
{
    struct sum sum = {.x_pixel = LN_V, .y_k = TILES * LN_V, .w_k = (size_t)g->deep * LN_V * LN_V, .images = 1, .rows = 1};
    sum.cols = at->count;
    sum.first = first;
    for (size_t pos = 0; pos < (size_t)g->square; pos++) {
        for (int o = 0; o < at->outs; o += SPREAD_K) {
            int k = min_int(SPREAD_K, at->outs - o);
            sum.dy = at->d + pos * g->d_pos + (size_t)(o * TILES) * LN_V;
            for (int i = 0; i < at->ins; i++) {
                int lanes = real_lanes(g->conv->ci, at->in + i);
                for (int lane = 0, a; lane < lanes; lane += a) {
                    a = sum_lanes(lanes - lane, LN_V - lane);
                    sum.x = at->v + pos * g->v_pos + (size_t)(i * TILES) * LN_V + lane;
                    sum.dw = at->m + pos * g->m_pos + (size_t)((o * g->deep + i) * LN_V + lane) * LN_V;
                    LN_K(sums)[k - 1][a](&sum);
                }
            }
        }
    }
}

static void finish(const struct tiles *g, const struct range *at, float *dw)
{
    for (int o = 0; o < at->outs; o++) {
        for (int i = 0; i < at->ins; i++) {
            float *to = dw + (size_t)(at->out + o) * g->pack.column + (size_t)(at->in + i) * g->pack.block;
            int lanes = real_lanes(g->conv->ci, at->in + i);
            for (int lane = 0; lane < LN_V; lane++, to += LN_V) {
                const float *from = at->m + (size_t)((o * g->deep + i) * LN_V + lane) * LN_V;
                if (lane >= lanes) {
                    for (int tap = 0; tap < g->pack.taps; tap++)
                        store(to + (size_t)tap * g->pack.tap, (vf){0});
                } else
                    g->transforms->weight(from, g->m_pos, to, g->pack.tap);
            }
        }
    }
}

static void grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct tiles *g = context;
    int part = (int)chunk / (g->ins * g->outs), in = (int)chunk % g->ins, out = (int)chunk / g->ins % g->outs;
    struct range at = {.in = in * g->deep, .out = out * g->wide};
    at.ins = min_int(g->deep, g->pack.cib - at.in);
    at.outs = min_int(g->wide, g->pack.cob - at.out);
    at.v = g->scratch + parts_floats(g) + worker * worker_floats(g);
    at.d = at.v + (size_t)g->square * g->v_pos;
    at.m = at.d + (size_t)g->square * g->d_pos;
    int from = g->groups * part / g->parts, to = g->groups * (part + 1) / g->parts;
    for (int group = from; group < to; group++) {
        at.first = group * TILES;
        at.count = min_int(TILES, g->all - at.first);
        transform(g, &at);
        multiply(g, &at, group == from);
    }
    finish(g, &at, g->parts > 1 ? g->scratch + (size_t)part * g->floats : g->dw);
}

void LN_K(winograd_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool)
{
    struct tiles g = tiles_of(conv, n);
    g.x = x;
    g.dy = dy;
    g.dw = dw;
    g.scratch = scratch;
    ln__pool_for(pool, (size_t)(g.ins * g.outs * g.parts), grad_chunk, &g);
    if (g.parts > 1)
        LN_K(sum_parts)(g.floats, g.parts, scratch, dw, pool);
}
