/* Direct convolution, register-tiled: R rows of Q output pixels times K vectors of output channels stay in registers while one input value is
 * broadcast against K weight vectors. Weights of a few taps stay in the first-level cache while the tiles of a group of images pass by;
 * the input of that group, one or a few channel blocks of it, lies padded (and split by phase where strided) in a slab of scratch. On maps so
 * small that most taps fall outside, each pixel is a run of its own, of the taps inside only, with the images as rows. */
#include "kernels/vec/conv.h"
#include "kernels/vec/tile.h"
#include "kernels/vec/transpose.h"

/* How a gather is cut and what it needs. */
struct layout {
    struct pack pack;
    const struct shape *shape;
    bool slab;
    bool apart;          /* pixel by pixel */
    int images;          /* in a group */
    int deep;            /* input blocks in the slab */
    int rows, cols;      /* of the slab, for each image; cols counts one phase */
    int tmin_y, tmin_x;  /* least tap */
    int run;             /* taps in a run */
    int step;            /* output blocks a chunk */
    size_t groups, cuts; /* of images, of output blocks */
    size_t slab_floats, weight_floats;
};

static const struct shape *shape_for(int rows, int cols)
{
    const struct shape *best = &LN_K(shapes)[0];
    long least = -1;
    for (size_t i = 0; i < TILE_SHAPES; i++) {
        const struct shape *shape = &LN_K(shapes)[i];
        if (shape->cols > cols)
            continue;
        long tiles = (long)((rows + shape->rows - 1) / shape->rows) * ((cols + shape->cols - 1) / shape->cols);
        long cost = tiles * (shape->rows * shape->cols + 1); /* one pixel's worth for the tile itself */
        if (least < 0 || cost < least) {
            least = cost;
            best = shape;
        }
    }
    return best;
}

/* Whether tap (a, b) reads inside at pixel (qy, qx). */
static bool reads(const struct gather *g, int a, int b, int qy, int qx)
{
    int y = qy * g->is + g->ty + a * g->td, x = qx * g->is + g->tx + b * g->td;
    return y >= 0 && y < g->in_h && x >= 0 && x < g->in_w;
}

/* Whether most of what the taps read lies outside. */
static bool mostly_outside(const struct gather *g)
{
    int pixels = g->ny * g->nx, taps = g->ta * g->tb, some = 0;
    for (int i = 0; pixels <= 16 && i < pixels * taps; i++)
        some += reads(g, i % taps / g->tb, i % taps % g->tb, i / taps / g->nx, i / taps % g->nx);
    return pixels <= 16 && 2 * some < pixels * taps;
}

static struct layout layout_of(const struct gather *gather)
{
    struct layout lay = {.pack = pack_of(gather->conv)};
    int span = gather->in_blocks, last_y = gather->ty + (gather->ta - 1) * gather->td, last_x = gather->tx + (gather->tb - 1) * gather->td;
    lay.tmin_y = min_int(gather->ty, last_y);
    lay.tmin_x = min_int(gather->tx, last_x);
    int max_y = max_int(gather->ty, last_y), max_x = max_int(gather->tx, last_x), taps = gather->ta * gather->tb;
    bool outside = lay.tmin_y < 0 || lay.tmin_x < 0 || (gather->ny - 1) * gather->is + max_y >= gather->in_h ||
                   (gather->nx - 1) * gather->is + max_x >= gather->in_w;
    lay.slab = outside || gather->is > 1;
    lay.rows = (gather->ny - 1) * gather->is + max_y - lay.tmin_y + 1;
    lay.cols = gather->nx - 1 + (max_x - lay.tmin_x) / gather->is + 1;
    int pixels = gather->ny * gather->nx;
    int want = gather->transposed ? 512 : 256;
    lay.images = min_int(gather->n, max_int(1, (want + pixels - 1) / pixels));
    if (pixels <= 4)
        lay.images = min_int(gather->n, 256);
    lay.groups = (size_t)((gather->n + lay.images - 1) / lay.images);
    lay.images = (int)(((size_t)gather->n + lay.groups - 1) / lay.groups);
    lay.run = max_int(1, min_int(RUN_MAX, RUN_FLOATS / (TILE_K * LN_V * LN_V)));
    lay.deep = max_int(1, min_int(span, lay.slab ? lay.run / taps : (lay.run * (gather->transposed ? 1 : 4) + taps - 1) / taps));
    lay.apart = mostly_outside(gather);
    lay.shape = lay.apart ? shape_for(lay.images, 1) : shape_for(gather->ny * lay.images, gather->nx);
    /* At least 16 chunks where there is that much work, for any small number of threads. */
    int runs = (gather->out_blocks + TILE_K - 1) / TILE_K;
    int cuts = gather->conv->groups > 1 ? gather->out_blocks : min_int(runs, max_int(1, (int)((16 + lay.groups - 1) / lay.groups)));
    lay.step = gather->conv->groups > 1 ? 1 : (runs + cuts - 1) / cuts * TILE_K;
    if (lay.step > gather->out_blocks)
        lay.step = gather->out_blocks;
    lay.cuts = (size_t)((gather->out_blocks + lay.step - 1) / lay.step);
    lay.slab_floats = lay.slab ? (size_t)lay.deep * (size_t)lay.images * (size_t)lay.rows * (size_t)(lay.cols * gather->is) * LN_V : 0;
    lay.weight_floats = gather->transposed ? (size_t)lay.run * TILE_K * LN_V * LN_V : 0;
    return lay;
}

size_t LN_K(gather_scratch)(const struct gather *gather, unsigned width)
{
    struct layout lay = layout_of(gather);
    return (lay.slab_floats + lay.weight_floats) * width;
}

/* The multiples j of stride with 0 <= at + j * stride < size, of `count`: the first, and one past the last. */
static void inside(int at, int stride, int size, int count, int *first, int *end)
{
    *first = at >= 0 ? 0 : min_int(count, (-at + stride - 1) / stride);
    *end = max_int(*first, size <= at ? 0 : min_int(count, (size - at + stride - 1) / stride));
}

static void fill_row(const struct gather *gather, const struct layout *lay, const float *row, float *to)
{
    for (int phase = 0; phase < gather->is; phase++, to += lay->cols * LN_V) {
        int first = lay->cols, end = lay->cols, at = lay->tmin_x + phase;
        if (row)
            inside(at, gather->is, gather->in_w, lay->cols, &first, &end);
        for (int j = 0; j < first; j++)
            store(to + j * LN_V, (vf){0});
        for (int j = first; j < end; j++)
            store(to + j * LN_V, load(row + (at + j * gather->is) * LN_V));
        for (int j = end; j < lay->cols; j++)
            store(to + j * LN_V, (vf){0});
    }
}

static void fill_slab(const struct gather *gather, const struct layout *lay, int image, int images, int block, int blocks, float *slab)
{
    size_t row = (size_t)(lay->cols * gather->is) * LN_V;
    for (int b = 0; b < blocks; b++) {
        for (int s = 0; s < images; s++) {
            const float *plane =
                gather->in + ((size_t)(image + s) * (size_t)gather->in_blocks + (size_t)(block + b)) * (size_t)(gather->in_h * gather->in_w) * LN_V;
            float *to = slab + (size_t)(b * lay->images + s) * (size_t)lay->rows * row;
            for (int r = 0; r < lay->rows; r++, to += row) {
                int iy = lay->tmin_y + r;
                fill_row(gather, lay, iy >= 0 && iy < gather->in_h ? plane + (size_t)(iy * gather->in_w) * LN_V : NULL, to);
            }
        }
    }
}

/* One run of taps for K output blocks over all tiles of a group of images. */
struct run {
    const struct gather *gather;
    const struct layout *lay;
    const float *base; /* first pixel of the group in the slab or the input */
    size_t x_image, x_row;
    int image, images, out, k;
    int qy, qx, tall, wide; /* the pixels to do: all, or one */
    struct tile tile;
};

static float *out_at(const struct run *run, int row, int q)
{
    const struct gather *g = run->gather;
    int image = run->image + row / run->tall, y = (run->qy + row % run->tall) * g->os + g->oy, x = (run->qx + q) * g->os + g->ox;
    size_t plane = (size_t)image * (size_t)g->out_blocks + (size_t)run->out;
    return g->out + ((plane * (size_t)g->out_h + (size_t)y) * (size_t)g->out_w + (size_t)x) * LN_V;
}

/* A tile that hangs over the edge: its rows repeat the last one, its pixels begin early; only the new ones are kept. */
static void edge_tile(struct run *run, int row, int rows, int qx, int skip)
{
    const struct shape *shape = run->lay->shape;
    struct tile *tile = &run->tile;
    float part[TILE_PIXELS * TILE_K * LN_V] __attribute__((aligned(64)));
    size_t yk = tile->yk, yq = tile->yq;
    for (int r = 0; r < shape->rows; r++) {
        tile->y[r] = part + r * shape->cols * LN_V;
        for (int q = 0; q < shape->cols; q++) {
            for (int k = 0; k < run->k; k++) {
                bool kept = !tile->init && r < rows && q >= skip;
                store(tile->y[r] + (k * TILE_PIXELS + q) * LN_V, kept ? load(out_at(run, row + r, qx + q) + (size_t)k * yk) : (vf){0});
            }
        }
    }
    tile->yk = TILE_PIXELS * LN_V;
    tile->yq = LN_V;
    shape->run[run->k - 1](tile);
    tile->yk = yk;
    tile->yq = yq;
    for (int r = 0; r < rows; r++) {
        for (int q = skip; q < shape->cols; q++) {
            for (int k = 0; k < run->k; k++)
                store(out_at(run, row + r, qx + q) + (size_t)k * yk, load(part + (k * TILE_PIXELS + r * shape->cols + q) * LN_V));
        }
    }
}

static void run_tiles(struct run *run)
{
    const struct gather *g = run->gather;
    const struct shape *shape = run->lay->shape;
    int all = run->images * run->tall;
    for (int row = 0; row < all; row += shape->rows) {
        int rows = min_int(shape->rows, all - row);
        const float *x[TILE_PIXELS];
        for (int r = 0; r < shape->rows; r++) {
            int at = row + min_int(r, rows - 1), y = (run->qy + at % run->tall) * g->is;
            x[r] = run->base + (size_t)(at / run->tall) * run->x_image + (size_t)y * run->x_row + run->qx * LN_V;
        }
        for (int q = 0; q < run->wide; q += shape->cols) {
            int from = min_int(q, run->wide - shape->cols);
            for (int r = 0; r < shape->rows; r++)
                run->tile.x[r] = x[r] + from * LN_V;
            if (from < q || rows < shape->rows) {
                edge_tile(run, row, rows, from, q - from);
                continue;
            }
            for (int r = 0; r < shape->rows; r++)
                run->tile.y[r] = out_at(run, row + r, q);
            shape->run[run->k - 1](&run->tile);
        }
    }
}

/* Copies the blocks of a run of taps, transposed: [k][tap][output lane of the convolution][V input channels]. */
static void transpose_run(const struct gather *g, const struct pack *pack, int out, int k, int block, int first, int taps, float *to)
{
    int each = g->ta * g->tb;
    for (int j = 0; j < k; j++) {
        for (int t = first; t < first + taps; t++, to += LN_V * LN_V) {
            int o = block + t / each, a = t % each / g->tb, b = t % each % g->tb, in = out + j - span_first(g->conv, o);
            int tap = (g->ky + a * g->ks) * g->conv->kw + g->kx + b * g->ks;
            if (in < 0 || in >= span_end(g->conv, o) - span_first(g->conv, o)) {
                memset(to, 0, LN_V * LN_V * sizeof *to);
                continue;
            }
            const float *from = g->w + (size_t)o * pack->column + (size_t)in * pack->block + (size_t)tap * pack->tap;
            if (pack->lanes == LN_V) {
                transpose(from, to);
                continue;
            }
            for (int i = 0; i < pack->lanes; i++) {
                for (int l = 0; l < LN_V; l++)
                    to[l * LN_V + i] = from[i * LN_V + l];
            }
            for (int i = pack->lanes; i < LN_V; i++) {
                for (int l = 0; l < LN_V; l++)
                    to[l * LN_V + i] = 0;
            }
        }
    }
}

/* Taps [first, first + count) of the blocks from `block` on; where pixels are apart, those that read inside at the run's pixel. */
static void list_taps(struct run *run, int block, int first, int count)
{
    const struct gather *g = run->gather;
    const struct layout *lay = run->lay;
    struct tile *tile = &run->tile;
    int each = g->ta * g->tb, lanes = g->transposed ? LN_V : lay->pack.lanes;
    size_t x_block = lay->slab ? (size_t)lay->images * run->x_image : (size_t)(g->in_h * g->in_w) * LN_V;
    tile->taps = 0;
    for (int u = 0; u < count; u++) {
        int b = (first + u) / each, a = (first + u) % each / g->tb, c = (first + u) % each % g->tb;
        if (lay->apart && !reads(g, a, c, run->qy, run->qx))
            continue;
        int dy = g->ty + a * g->td, dx = g->tx + c * g->td;
        if (lay->slab) {
            dy -= lay->tmin_y;
            dx -= lay->tmin_x;
        }
        int at = dx % g->is * lay->cols + dx / g->is;
        tile->off[tile->taps] = (ptrdiff_t)((size_t)b * x_block + (size_t)dy * run->x_row + (size_t)at * LN_V);
        tile->at[tile->taps] = u * lanes * LN_V;
        tile->real[tile->taps++] = real_lanes(g->in_c, block + b);
    }
}

/* All taps of input blocks [block, block + blocks) for output blocks [out, out + k). first: the outputs begin here. */
static void run_blocks(struct run *run, int span, int block, int blocks, bool first, float *weights)
{
    static const float zero[TILE_K * LN_V] __attribute__((aligned(64)));
    const struct gather *g = run->gather;
    const struct layout *lay = run->lay;
    int all = g->ta * g->tb * blocks, pieces = (all + lay->run - 1) / lay->run, step = (all + pieces - 1) / pieces;
    struct tile *tile = &run->tile;
    tile->yk = (size_t)(g->out_h * g->out_w) * LN_V;
    tile->yq = (size_t)g->os * LN_V;
    for (int t = 0; t < all; t += step) {
        int count = min_int(step, all - t);
        tile->init = first && t == 0 ? g->add ? NULL : g->bias ? g->bias + run->out * LN_V : zero : NULL;
        if (g->transposed) {
            transpose_run(g, &lay->pack, run->out, run->k, block, t, count, weights);
            tile->w = weights;
            tile->wk = (size_t)count * LN_V * LN_V;
        } else {
            tile->w = g->w + (size_t)run->out * lay->pack.column + (size_t)(block - span) * lay->pack.block + (size_t)t * lay->pack.tap;
            tile->wk = lay->pack.column;
        }
        run->tall = lay->apart ? 1 : g->ny;
        run->wide = lay->apart ? 1 : g->nx;
        for (run->qy = 0; run->qy < g->ny; run->qy += run->tall) {
            for (run->qx = 0; run->qx < g->nx; run->qx += run->wide) {
                list_taps(run, block, t, count);
                run_tiles(run);
            }
        }
    }
}

struct job {
    const struct gather *gather;
    struct layout lay;
};

/* The input blocks that output block `out` reads. */
static void reach(const struct gather *g, int out, int *first, int *end)
{
    *first = 0;
    *end = g->in_blocks;
    if (g->conv->groups == 1)
        return;
    if (!g->transposed) {
        *first = span_first(g->conv, out);
        *end = span_end(g->conv, out);
        return;
    }
    while (span_end(g->conv, *first) <= out)
        ++*first;
    while (span_first(g->conv, *end - 1) > out)
        --*end;
}

static void gather_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct job *job = context;
    const struct gather *g = job->gather;
    const struct layout *lay = &job->lay;
    float *slab = g->scratch + worker * (lay->slab_floats + lay->weight_floats), *weights = slab + lay->slab_floats;
    struct run run = {.gather = g, .lay = lay};
    run.image = (int)(chunk / lay->cuts) * lay->images;
    run.images = min_int(lay->images, g->n - run.image);
    run.x_row = (size_t)(lay->slab ? lay->cols * g->is : g->in_w) * LN_V;
    run.x_image = lay->slab ? (size_t)lay->rows * run.x_row : (size_t)g->in_blocks * (size_t)(g->in_h * g->in_w) * LN_V;
    int out = (int)(chunk % lay->cuts) * lay->step, out_end = min_int(out + lay->step, g->out_blocks), first, end;
    reach(g, out, &first, &end);
    for (int block = first; block < end; block += lay->deep) {
        int blocks = min_int(lay->deep, end - block);
        if (lay->slab) {
            fill_slab(g, lay, run.image, run.images, block, blocks, slab);
            run.base = slab;
        } else
            run.base = g->in + ((size_t)run.image * (size_t)g->in_blocks + (size_t)block) * (size_t)(g->in_h * g->in_w) * LN_V;
        for (run.out = out; run.out < out_end; run.out += run.k) {
            int left = out_end - run.out;
            run.k = left > TILE_K && left < 2 * TILE_K ? (left + 1) / 2 : min_int(left, TILE_K);
            run_blocks(&run, first, block, blocks, block == first, weights);
        }
    }
}

void LN_K(gather)(const struct gather *gather, struct ln__pool *pool)
{
    struct job job = {gather, layout_of(gather)};
    ln__pool_for(pool, job.lay.groups * job.lay.cuts, gather_chunk, &job);
}
