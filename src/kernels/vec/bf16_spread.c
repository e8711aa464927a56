/* Weight gradient with bfloat16 products: pairs run along the pixels of a row. Input lanes times K vectors of output channels stay in registers
 * while the pairs of a band (some images, rows or columns) pass by, for one tap after the other. A band is rounded by the chunk that uses it:
 * gradients as pairs (q, q + 1) of even q, inputs as pairs (j, j + 1) of every j, since a tap may begin at an odd place.
 *
 * A chunk is a part of the samples and a range of input blocks; the sums of the parts are added in order. Where planes are single pixels
 * those of a batch are one row, so that there are pairs too. */
#include "kernels/vec/bf16.h"

#define BAND 256            /* output pixels */
#define CHUNKS 16           /* that there should be */
#define PART_FLOATS 1 << 20 /* that the sums of all parts may take */

struct plan {
    struct ln__conv conv; /* flattened where 1x1 */
    struct pack pack;
    int n, parts, ranges, deep; /* images cut in parts; input blocks in ranges of deep */
    int images, rows, cols;     /* a band */
    int pairs, phases, words;   /* pairs of a band's row; of an input row, its phases and the pairs of each */
    int x_rows;
    size_t x_col, x_row, x_image, x_block, y_col, y_row, y_image, y_block; /* floats between */
    size_t x_size, y_size;                                                 /* words of a band */
    size_t floats;                                                         /* of all weights */
    const float *x, *dy;
    float *dw, *sums;
    uint32_t *bands;
};

static void flatten(struct plan *plan)
{
    struct ln__conv *c = &plan->conv;
    if (c->kh * c->kw != 1 || c->stride != 1 || c->top || c->left || c->hi != c->ho || c->wi != c->wo)
        return;
    c->wi = c->wo = c->hi * c->wi;
    c->hi = c->ho = 1;
    if (c->wi > 1)
        return;
    c->wi = c->wo = plan->n;
    plan->n = 1;
    plan->x_col = (size_t)plan->pack.cib * LN_V;
    plan->y_col = (size_t)plan->pack.cob * LN_V;
}

static struct plan plan_of(const struct ln__conv *conv, int n)
{
    struct plan plan = {.conv = *conv, .pack = pack_of(conv), .n = n, .x_col = LN_V, .y_col = LN_V};
    plan.x_block = (size_t)(conv->hi * conv->wi) * LN_V;
    plan.y_block = (size_t)(conv->ho * conv->wo) * LN_V;
    plan.x_image = (size_t)plan.pack.cib * plan.x_block;
    plan.y_image = (size_t)plan.pack.cob * plan.y_block;
    flatten(&plan);
    const struct ln__conv *c = &plan.conv;
    plan.x_row = (size_t)c->wi * plan.x_col;
    plan.y_row = (size_t)c->wo * plan.y_col;
    plan.floats = (size_t)plan.pack.cob * plan.pack.column;
    size_t parts = (PART_FLOATS) / plan.floats;
    plan.parts = max_int(1, min_int(plan.n, parts > CHUNKS ? CHUNKS : (int)parts));
    int ranges = min_int(plan.pack.cib, (CHUNKS + plan.parts - 1) / plan.parts);
    plan.deep = (plan.pack.cib + ranges - 1) / ranges;
    plan.ranges = (plan.pack.cib + plan.deep - 1) / plan.deep;
    plan.cols = min_int(c->wo, BAND);
    plan.rows = min_int(c->ho, max_int(1, BAND / c->wo));
    plan.images = max_int(1, min_int((plan.n + plan.parts - 1) / plan.parts, BAND / (c->ho * c->wo)));
    plan.pairs = (plan.cols + 1) / 2;
    plan.phases = min_int(c->stride, c->kw);
    plan.words = 2 * plan.pairs - 1 + (c->kw - 1) / c->stride;
    plan.x_rows = (plan.rows - 1) * c->stride + c->kh;
    plan.x_size = (size_t)(plan.deep * plan.images * plan.x_rows * plan.phases) * (size_t)plan.words * LN_V;
    plan.y_size = (size_t)(plan.pack.cob * plan.images * plan.rows) * (size_t)plan.pairs * LN_V;
    return plan;
}

size_t LN_B(spread_scratch)(const struct ln__conv *conv, int n, unsigned width)
{
    struct plan plan = plan_of(conv, n);
    return (plan.parts > 1 ? (size_t)plan.parts * plan.floats : 0) + width * (plan.x_size + plan.y_size);
}

struct band {
    int image, images, row, rows, col, cols;
    bool first;
};

/* The outputs in [from, to) for which a tap reads inside [0, size). */
static void clip(int size, int stride, int tap, int from, int to, int *first, int *end)
{
    int low = tap >= 0 ? 0 : (-tap + stride - 1) / stride, high = size - 1 - tap < 0 ? 0 : (size - 1 - tap) / stride + 1;
    *first = max_int(from, low);
    *end = max_int(*first, min_int(to, high));
}

static void round_dy(const struct plan *plan, const struct band *band, uint32_t *to)
{
    for (int o = 0; o < plan->pack.cob; o++) {
        for (int s = 0; s < band->images; s++) {
            for (int r = 0; r < band->rows; r++) {
                const float *dy = plan->dy + (size_t)(band->image + s) * plan->y_image + (size_t)o * plan->y_block +
                                  (size_t)(band->row + r) * plan->y_row + (size_t)band->col * plan->y_col;
                uint32_t *row = to + (size_t)((o * plan->images + s) * plan->rows + r) * (size_t)plan->pairs * LN_V;
                for (int q = 0; q < band->cols; q += 2, dy += 2 * plan->y_col, row += LN_V)
                    store_words(row, paired(rounded(load(dy)), q + 1 < band->cols ? rounded(load(dy + plan->y_col)) : (vw){0}));
            }
        }
    }
}

/* Every pair (j, j + 1) of one phase of an input row, where column j is tap_x + j * stride. */
static void round_row(const struct plan *plan, const float *row, int tap_x, uint32_t *to)
{
    const struct ln__conv *c = &plan->conv;
    vw low = {0};
    for (int j = 0; j <= plan->words; j++, tap_x += c->stride) {
        vw high = tap_x >= 0 && tap_x < c->wi ? rounded(load(row + (size_t)tap_x * plan->x_col)) : (vw){0};
        if (j > 0)
            store_words(to + (size_t)(j - 1) * LN_V, paired(low, high));
        low = high;
    }
}

/* Rows outside the input are not read, and left as they are. */
static void round_x(const struct plan *plan, const struct band *band, int in, int blocks, uint32_t *to)
{
    const struct ln__conv *c = &plan->conv;
    for (int i = 0; i < blocks; i++) {
        for (int s = 0; s < band->images; s++) {
            const float *x = plan->x + (size_t)(band->image + s) * plan->x_image + (size_t)(in + i) * plan->x_block;
            for (int r = 0; r < (band->rows - 1) * c->stride + c->kh; r++) {
                int y = band->row * c->stride - c->top + r;
                for (int phase = 0; phase < plan->phases && y >= 0 && y < c->hi; phase++) {
                    size_t at = (size_t)(((i * plan->images + s) * plan->x_rows + r) * plan->phases + phase);
                    round_row(plan, x + (size_t)y * plan->x_row, band->col * c->stride - c->left + phase, to + at * (size_t)plan->words * LN_V);
                }
            }
        }
    }
}

/* All taps of one input block and k output blocks over one band. */
static void band_pair(const struct plan *plan, const struct band *band, const uint32_t *x, const uint32_t *dy, int k, int lanes, float *dw)
{
    const struct ln__conv *c = &plan->conv;
    struct bf16_sum sum = {.w_k = plan->pack.column, .images = band->images, .pairs = (band->cols + 1) / 2, .first = band->first};
    const size_t x_line = (size_t)(plan->phases * plan->words) * LN_V;
    sum.x_row = (size_t)c->stride * x_line;
    sum.x_image = (size_t)plan->x_rows * x_line;
    sum.y_row = (size_t)plan->pairs * LN_V;
    sum.y_image = (size_t)plan->rows * sum.y_row;
    sum.y_k = (size_t)plan->images * sum.y_image;
    for (int tap = 0; tap < plan->pack.taps; tap++, dw += plan->pack.tap) {
        int ty = tap / c->kw, tx = tap % c->kw, row, row_end;
        clip(c->hi, c->stride, ty - c->top, band->row, band->row + band->rows, &row, &row_end);
        sum.rows = row_end - row;
        row = sum.rows > 0 ? row - band->row : 0;
        const uint32_t *from = x + (size_t)(row * c->stride + ty) * x_line + (size_t)(tx % c->stride * plan->words + tx / c->stride) * LN_V;
        sum.dy = dy + (size_t)row * sum.y_row;
        for (int lane = 0, size; lane < lanes; lane += 1 << size) {
            size = BF16_LANES == 8 ? 3 : 2;
            while (lane + (1 << size) > lanes)
                size--;
            sum.x = from + lane;
            sum.dw = dw + lane * LN_V;
            LN_B(sums)[size][k - 1](&sum);
        }
        for (int j = 0; band->first && lanes < plan->pack.lanes && j < k; j++)
            memset(dw + (size_t)j * sum.w_k + lanes * LN_V, 0, (size_t)(plan->pack.lanes - lanes) * LN_V * sizeof *dw);
    }
}

static void run_band(const struct plan *plan, const struct band *band, int in, int blocks, uint32_t *words, float *dw)
{
    uint32_t *x = words, *dy = words + plan->x_size;
    size_t x_block = plan->x_size / (size_t)plan->deep, y_block = plan->y_size / (size_t)plan->pack.cob;
    round_x(plan, band, in, blocks, x);
    round_dy(plan, band, dy);
    for (int out = 0, k; out < plan->pack.cob; out += k) {
        k = min_int(BF16_SUM_K, plan->pack.cob - out);
        for (int i = 0; i < blocks; i++)
            band_pair(plan, band, x + (size_t)i * x_block, dy + (size_t)out * y_block, k,
                      min_int(plan->pack.lanes, real_lanes(plan->conv.ci, in + i)),
                      dw + (size_t)out * plan->pack.column + (size_t)(in + i) * plan->pack.block);
    }
}

static void spread_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct plan *plan = context;
    const struct ln__conv *c = &plan->conv;
    int part = (int)(chunk / (size_t)plan->ranges), in = (int)(chunk % (size_t)plan->ranges) * plan->deep;
    int blocks = min_int(plan->deep, plan->pack.cib - in), from = plan->n * part / plan->parts, to = plan->n * (part + 1) / plan->parts;
    float *dw = plan->parts > 1 ? plan->sums + (size_t)part * plan->floats : plan->dw;
    uint32_t *words = plan->bands + worker * (plan->x_size + plan->y_size);
    struct band band = {.first = true};
    for (band.image = from; band.image < to; band.image += plan->images) {
        band.images = min_int(plan->images, to - band.image);
        for (band.row = 0; band.row < c->ho; band.row += plan->rows) {
            band.rows = min_int(plan->rows, c->ho - band.row);
            for (band.col = 0; band.col < c->wo; band.col += plan->cols) {
                band.cols = min_int(plan->cols, c->wo - band.col);
                run_band(plan, &band, in, blocks, words, dw);
                band.first = false;
            }
        }
    }
}

void LN_B(spread)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch, struct ln__pool *pool)
{
    struct plan plan = plan_of(conv, n);
    plan.x = x;
    plan.dy = dy;
    plan.dw = dw;
    plan.sums = scratch;
    plan.bands = (uint32_t *)(void *)(scratch + (plan.parts > 1 ? (size_t)plan.parts * plan.floats : 0));
    ln__pool_for(pool, (size_t)plan.parts * (size_t)plan.ranges, spread_chunk, &plan);
    if (plan.parts > 1)
        LN_K(sum_parts)(plan.floats, plan.parts, plan.sums, dw, pool);
}
