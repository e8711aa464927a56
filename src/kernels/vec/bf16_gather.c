/* Direct convolution in gathering form (see struct gather) with bfloat16 products. The input of a group of pixels, some images or some rows of
 * one, lies rounded and padded (and split by phase where strided) in a slab; weights are rounded a run of taps at a time into the
 * first-level cache, where they stay while all tiles of the group pass by. Any pixels make a tile, so no shape leaves a part of it idle.
 *
 * Where there are fewer groups than threads may want, output channels are cut too; the slabs are then filled first and shared. */
#include "kernels/vec/bf16.h"
#include "kernels/vec/transpose.h"

#define FEW 2048  /* pixels that a group should have, */
#define MANY 4096 /* and that it should not have more than */
#define CHUNKS 16 /* that there should be */

struct layout {
    struct pack pack;
    int images, bands, height; /* a group: whole images, or one of the bands of `height` rows of one image */
    int rows, cols;            /* of the slab, for each image; cols counts one phase */
    int tmin_y, tmin_x;        /* least tap */
    int pairs;                 /* of a tap's weights */
    int run;                   /* taps in a run */
    int step;                  /* output blocks a chunk */
    size_t groups, cuts;
    size_t row, image, block, slab; /* words of the slab's parts */
    size_t weights;                 /* words */
    bool shared;                    /* slabs are filled first */
};

static struct layout layout_of(const struct gather *g)
{
    struct layout lay = {.pack = pack_of(g->conv)};
    int last_y = g->ty + (g->ta - 1) * g->td, last_x = g->tx + (g->tb - 1) * g->td, pixels = g->ny * g->nx;
    lay.tmin_y = min_int(g->ty, last_y);
    lay.tmin_x = min_int(g->tx, last_x);
    lay.images = max_int(1, min_int(g->n, (FEW + pixels - 1) / pixels));
    lay.bands = (pixels + MANY - 1) / MANY;
    lay.height = max_int(1, (g->ny + lay.bands - 1) / lay.bands);
    lay.bands = (g->ny + lay.height - 1) / lay.height;
    lay.groups = (size_t)((g->n + lay.images - 1) / lay.images);
    lay.images = (int)(((size_t)g->n + lay.groups - 1) / lay.groups);
    lay.groups *= (size_t)lay.bands;
    lay.rows = (lay.height - 1) * g->is + max_int(g->ty, last_y) - lay.tmin_y + 1;
    lay.cols = g->nx + (max_int(g->tx, last_x) - lay.tmin_x) / g->is;
    lay.row = (size_t)(lay.cols * g->is) * (LN_V / 2);
    lay.image = (size_t)lay.rows * lay.row;
    lay.block = (size_t)lay.images * lay.image;
    lay.slab = ((size_t)g->in_blocks * lay.block + LN_V - 1) / LN_V * LN_V;
    lay.pairs = g->transposed ? LN_V / 2 : (lay.pack.lanes + 1) / 2;
    lay.run = max_int(1, min_int(BF16_RUN_MAX, BF16_RUN_WORDS / (BF16_K * lay.pairs * LN_V)));
    lay.weights = (size_t)(BF16_K * lay.run * lay.pairs) * LN_V;
    int runs = (g->out_blocks + BF16_K - 1) / BF16_K, cuts = max_int(1, min_int(runs, CHUNKS / (int)(lay.groups < CHUNKS ? lay.groups : CHUNKS)));
    lay.step = (runs + cuts - 1) / cuts * BF16_K;
    lay.cuts = (size_t)((g->out_blocks + lay.step - 1) / lay.step);
    lay.shared = lay.cuts > 1;
    return lay;
}

size_t LN_B(gather_scratch)(const struct gather *g, unsigned width)
{
    struct layout lay = layout_of(g);
    return (lay.shared ? lay.groups * lay.slab : width * lay.slab) + width * lay.weights;
}

struct job {
    const struct gather *gather;
    struct layout lay;
    uint32_t *slab, *weights;
};

/* The images and rows of a group. */
struct group {
    int image, images, row, rows;
};

static struct group group_of(const struct job *job, size_t number)
{
    const struct layout *lay = &job->lay;
    struct group group = {.image = (int)(number / (size_t)lay->bands) * lay->images, .row = (int)(number % (size_t)lay->bands) * lay->height};
    group.images = min_int(lay->images, job->gather->n - group.image);
    group.rows = min_int(lay->height, job->gather->ny - group.row);
    return group;
}

static void fill_row(const struct gather *g, const struct layout *lay, const float *row, uint32_t *to)
{
    for (int phase = 0; phase < g->is; phase++, to += lay->cols * (LN_V / 2)) {
        for (int j = 0; j < lay->cols; j++) {
            int ix = lay->tmin_x + j * g->is + phase;
            store_values(to + j * (LN_V / 2), row && ix >= 0 && ix < g->in_w ? load(row + ix * LN_V) : (vf){0});
        }
    }
}

static void fill_block(const struct job *job, const struct group *group, int block, uint32_t *slab)
{
    const struct gather *g = job->gather;
    const struct layout *lay = &job->lay;
    for (int s = 0; s < group->images; s++) {
        const float *plane = g->in + ((size_t)(group->image + s) * (size_t)g->in_blocks + (size_t)block) * (size_t)g->in_h * (size_t)g->in_w * LN_V;
        uint32_t *to = slab + (size_t)block * lay->block + (size_t)s * lay->image;
        for (int r = 0; r < lay->rows; r++, to += lay->row) {
            int iy = lay->tmin_y + group->row * g->is + r;
            fill_row(g, lay, iy >= 0 && iy < g->in_h ? plane + (size_t)iy * (size_t)g->in_w * LN_V : NULL, to);
        }
    }
}

/* Which place of the kernel tap t of a run is, counted from the first tap of input block 0. */
static void place_of(const struct gather *g, int t, int *block, int *a, int *b)
{
    int taps = g->ta * g->tb;
    *block = t / taps;
    *a = t % taps / g->tb;
    *b = t % g->tb;
}

/* The V x V block of weights with pairs along its rows; lanes: rows that are stored. */
static void pair_rows(const float *from, int lanes, uint32_t *to)
{
    for (int l = 0; l < lanes; l += 2, to += LN_V)
        store_words(to, paired(rounded(load(from + l * LN_V)), l + 1 < lanes ? rounded(load(from + (l + 1) * LN_V)) : (vw){0}));
}

static void turn(const float *from, int lanes, float *to)
{
    if (lanes == LN_V) {
        transpose(from, to);
        return;
    }
    for (int l = 0; l < LN_V; l++) {
        for (int i = 0; i < LN_V; i++)
            to[l * LN_V + i] = i < lanes ? from[i * LN_V + l] : 0;
    }
}

/* Rounds the weights of taps [first, first + taps) for output blocks [out, out + k): [k][tap][pair][V]. */
static void round_run(const struct gather *g, const struct layout *lay, int out, int k, int first, int taps, uint32_t *to)
{
    float turned[LN_V * LN_V] __attribute__((aligned(64)));
    for (int j = out; j < out + k; j++) {
        for (int t = first; t < first + taps; t++, to += lay->pairs * LN_V) {
            int block, a, b;
            place_of(g, t, &block, &a, &b);
            int o = g->transposed ? block : j, i = g->transposed ? j : block, tap = (g->ky + a * g->ks) * g->conv->kw + g->kx + b * g->ks;
            const float *from = g->w + (size_t)o * lay->pack.column + (size_t)i * lay->pack.block + (size_t)tap * lay->pack.tap;
            if (g->transposed) {
                turn(from, lay->pack.lanes, turned);
                pair_rows(turned, LN_V, to);
            } else
                pair_rows(from, lay->pack.lanes, to);
        }
    }
}

/* All tiles of a group for one run of taps. */
static void run_tiles(const struct job *job, const struct group *group, const uint32_t *slab, int out, int k, struct bf16_tile *tile)
{
    const struct gather *g = job->gather;
    const struct layout *lay = &job->lay;
    size_t image_floats = (size_t)g->out_blocks * (size_t)g->out_h * (size_t)g->out_w * LN_V;
    const size_t row_floats = (size_t)(g->os * g->out_w) * LN_V, pixel_floats = (size_t)g->os * LN_V;
    float *y = g->out + (size_t)group->image * image_floats +
               ((size_t)out * (size_t)g->out_h * (size_t)g->out_w + (size_t)(((group->row * g->os) + g->oy) * g->out_w + g->ox)) * LN_V;
    int s = 0, r = 0, q = 0;
    for (int left = group->images * group->rows * g->nx; left > 0;) {
        int size = BF16_PIXELS == 8 ? 3 : 2;
        while (1 << size > left)
            size--;
        left -= 1 << size;
        for (int p = 0; p < 1 << size; p++) {
            tile->x[p] = slab + (size_t)s * lay->image + (size_t)(r * g->is) * lay->row + (size_t)q * (LN_V / 2);
            tile->y[p] = y + (size_t)s * image_floats + (size_t)r * row_floats + (size_t)q * pixel_floats;
            if (++q == g->nx) {
                q = 0;
                if (++r == group->rows) {
                    r = 0;
                    s++;
                }
            }
        }
        LN_B(tiles)[size][k - 1](tile);
    }
}

/* Output blocks [out, out + k) of a group. */
static void run_out(const struct job *job, const struct group *group, const uint32_t *slab, int out, int k, uint32_t *weights)
{
    static const float zero[BF16_K * LN_V] __attribute__((aligned(64)));
    const struct gather *g = job->gather;
    const struct layout *lay = &job->lay;
    int all = g->in_blocks * g->ta * g->tb, full = g->in_c / LN_V * g->ta * g->tb;
    struct bf16_tile tile = {.w = weights, .pairs = lay->pairs, .yk = (size_t)g->out_h * (size_t)g->out_w * LN_V};
    for (int first = 0; first < all; first += tile.taps) {
        int left = (first < full ? full : all) - first, pieces = (left + lay->run - 1) / lay->run;
        tile.taps = (left + pieces - 1) / pieces;
        tile.real = first < full ? LN_V / 2 : (real_lanes(g->in_c, g->in_blocks - 1) + 1) / 2;
        tile.wk = (size_t)(tile.taps * lay->pairs) * LN_V;
        for (int t = 0; t < tile.taps; t++) {
            int block, a, b;
            place_of(g, first + t, &block, &a, &b);
            int dy = g->ty + a * g->td - lay->tmin_y, dx = g->tx + b * g->td - lay->tmin_x;
            tile.off[t] =
                (ptrdiff_t)((size_t)block * lay->block + (size_t)dy * lay->row + (size_t)(dx % g->is * lay->cols + dx / g->is) * (LN_V / 2));
        }
        tile.init = first > 0 || g->add ? NULL : g->bias ? g->bias + out * LN_V : zero;
        round_run(g, lay, out, k, first, tile.taps, weights);
        run_tiles(job, group, slab, out, k, &tile);
    }
}

static void fill_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct job *job = context;
    size_t blocks = (size_t)job->gather->in_blocks;
    struct group group = group_of(job, chunk / blocks);
    fill_block(job, &group, (int)(chunk % blocks), job->slab + chunk / blocks * job->lay.slab);
}

static void gather_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct job *job = context;
    const struct gather *g = job->gather;
    const struct layout *lay = &job->lay;
    struct group group = group_of(job, chunk / lay->cuts);
    uint32_t *slab = job->slab + (lay->shared ? chunk / lay->cuts : worker) * lay->slab, *weights = job->weights + worker * lay->weights;
    for (int block = 0; block < g->in_blocks && !lay->shared; block++)
        fill_block(job, &group, block, slab);
    int out = (int)(chunk % lay->cuts) * lay->step, end = min_int(out + lay->step, g->out_blocks);
    for (int k; out < end; out += k) {
        k = min_int(BF16_K, end - out);
        run_out(job, &group, slab, out, k, weights);
    }
}

void LN_B(gather)(const struct gather *gather, struct ln__pool *pool)
{
    struct job job = {.gather = gather, .lay = layout_of(gather), .slab = (uint32_t *)(void *)gather->scratch};
    job.weights = job.slab + (job.lay.shared ? job.lay.groups : ln__pool_width(pool)) * job.lay.slab;
    if (job.lay.shared)
        ln__pool_for(pool, job.lay.groups * (size_t)gather->in_blocks, fill_chunk, &job);
    ln__pool_for(pool, job.lay.groups * job.lay.cuts, gather_chunk, &job);
}
