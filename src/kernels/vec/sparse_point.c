/* Layout, activations, addition, channel scaling, pooling, dropout and loss on [c][n][h][w]. A plane is the h*w floats of one (channel, sample). */
#include "kernels/vec/sparse_vec.h"
#include <math.h>

#define CHUNK 16384

struct point {
    enum ln__act act;
    int n, c, hw;
    size_t size;
    const float *a, *b, *d, *s;
    float *y, *ds;
    uint8_t *mask;
    bool add;
    float rate;
    const struct ln__key *key;
    uint64_t first;
    const struct ln__window *window;
    const uint8_t *index;
    uint8_t *index_out;
};

static size_t chunks(size_t size)
{
    return (size + CHUNK - 1) / CHUNK;
}

/* ---- layout ---- */

static void pack_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t hw = (size_t)k->hw;
    for (size_t i = 0; i < (size_t)k->n; i++)
        memcpy(k->y + (c * (size_t)k->n + i) * hw, k->a + (i * (size_t)k->c + c) * hw, hw * sizeof *k->y);
}

static void unpack_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t hw = (size_t)k->hw;
    for (size_t i = 0; i < (size_t)k->n; i++)
        memcpy(k->y + (i * (size_t)k->c + c) * hw, k->a + (c * (size_t)k->n + i) * hw, hw * sizeof *k->y);
}

void LN_KS(pack)(int n, int c, int hw, const float *nchw, float *x, struct ln__pool *pool)
{
    struct point k = {.n = n, .c = c, .hw = hw, .a = nchw, .y = x};
    ln__pool_for(pool, (size_t)c, pack_channel, &k);
}

void LN_KS(unpack)(int n, int c, int hw, const float *x, float *nchw, struct ln__pool *pool)
{
    struct point k = {.n = n, .c = c, .hw = hw, .a = x, .y = nchw};
    ln__pool_for(pool, (size_t)c, unpack_channel, &k);
}

/* ---- elementwise ---- */

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static float clamp(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static float act_of(enum ln__act act, float x)
{
    switch (act) {
    case LN__ACT_RELU:
        return x <= 0 ? 0 : x;
    case LN__ACT_RELU6:
        return clamp(x, 0, 6);
    case LN__ACT_HARDSWISH:
        return x * clamp(x + 3, 0, 6) / 6;
    case LN__ACT_SILU:
        return x * sigmoid(x);
    case LN__ACT_HARDSIGMOID:
        return clamp(x + 3, 0, 6) / 6;
    case LN__ACT_SIGMOID:
        return sigmoid(x);
    case LN__ACT_NONE:
        break;
    }
    return x;
}

static float slope(enum ln__act act, float x, float y)
{
    switch (act) {
    case LN__ACT_RELU:
        return y > 0;
    case LN__ACT_RELU6:
        return y > 0 && y < 6;
    case LN__ACT_HARDSWISH:
        return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5F;
    case LN__ACT_SILU:
        return (1 + x * (1 - sigmoid(x))) * sigmoid(x);
    case LN__ACT_HARDSIGMOID:
        return x > -3 && x < 3 ? 1.0F / 6 : 0;
    case LN__ACT_SIGMOID:
        return y * (1 - y);
    case LN__ACT_NONE:
        break;
    }
    return 1;
}

static void act_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t i = chunk * CHUNK, end = least(k->size, i + CHUNK);
    if (k->act == LN__ACT_RELU) {
        for (; i + LN_V <= end; i += LN_V) {
            vf v = vf_load(k->a + i);
            vf_store(k->y + i, vf_and(v, ~(vi)(v <= (vf){0})));
        }
    }
    for (; i < end; i++)
        k->y[i] = act_of(k->act, k->a[i]);
}

void LN_KS(act_forward)(enum ln__act act, int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    struct point k = {.act = act, .size = (size_t)n * (size_t)c * (size_t)hw, .a = x, .y = y};
    ln__pool_for(pool, chunks(k.size), act_chunk, &k);
}

static void act_grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t i = chunk * CHUNK, end = least(k->size, i + CHUNK);
    if (k->act == LN__ACT_RELU) {
        for (; i + LN_V <= end; i += LN_V) {
            vf g = vf_and(vf_load(k->d + i), (vi)(vf_load(k->b + i) > (vf){0}));
            vf_store(k->y + i, k->add ? g + vf_load(k->y + i) : g);
        }
    }
    for (; i < end; i++)
        k->y[i] = k->d[i] * slope(k->act, k->a ? k->a[i] : 0, k->b[i]) + (k->add ? k->y[i] : 0);
}

void LN_KS(act_grad)(enum ln__act act, int n, int c, int hw, const float *x, const float *y, const float *dy, float *dx, bool add,
                     struct ln__pool *pool)
{
    struct point k = {.act = act, .size = (size_t)n * (size_t)c * (size_t)hw, .a = x, .b = y, .d = dy, .y = dx, .add = add};
    ln__pool_for(pool, chunks(k.size), act_grad_chunk, &k);
}

static void add_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t i = chunk * CHUNK, end = least(k->size, i + CHUNK);
    for (; i + LN_V <= end; i += LN_V)
        vf_store(k->y + i, vf_load(k->a + i) + vf_load(k->b + i));
    for (; i < end; i++)
        k->y[i] = k->a[i] + k->b[i];
}

void LN_KS(add)(size_t size, const float *a, const float *b, float *y, struct ln__pool *pool)
{
    struct point k = {.size = size, .a = a, .b = b, .y = y};
    ln__pool_for(pool, chunks(size), add_chunk, &k);
}

static void scale_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    for (size_t i = c * (size_t)k->n; i < (c + 1) * (size_t)k->n; i++) {
        for (size_t p = i * (size_t)k->hw; p < (i + 1) * (size_t)k->hw; p++)
            k->y[p] = k->a[p] * k->s[i];
    }
}

void LN_KS(scale_forward)(int n, int c, int hw, const float *x, const float *s, float *y, struct ln__pool *pool)
{
    struct point k = {.n = n, .hw = hw, .a = x, .s = s, .y = y};
    ln__pool_for(pool, (size_t)c, scale_channel, &k);
}

static void scale_grad_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    for (size_t i = c * (size_t)k->n; i < (c + 1) * (size_t)k->n; i++) {
        float sum = 0;
        for (size_t p = i * (size_t)k->hw; p < (i + 1) * (size_t)k->hw; p++) {
            sum += k->a[p] * k->d[p];
            k->y[p] = k->d[p] * k->s[i] + (k->add ? k->y[p] : 0);
        }
        k->ds[i] = sum;
    }
}

void LN_KS(scale_grad)(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx, bool add, float *ds, struct ln__pool *pool)
{
    struct point k = {.n = n, .hw = hw, .a = x, .s = s, .d = dy, .y = dx, .add = add, .ds = ds};
    ln__pool_for(pool, (size_t)c, scale_grad_channel, &k);
}

/* ---- pooling; a chunk is the planes of one channel ---- */

/* Taps of output (oy, ox) that are inside the image, in row order. */
struct reach {
    int y0, y1, x0, x1;
};

static struct reach reach(const struct ln__window *w, int oy, int ox)
{
    int y = oy * w->stride - w->top, x = ox * w->stride - w->left;
    return (struct reach){y < 0 ? -y : 0, y + w->k > w->hi ? w->hi - y : w->k, x < 0 ? -x : 0, x + w->k > w->wi ? w->wi - x : w->k};
}

static void maxpool_plane(const struct ln__window *w, const float *x, float *y, uint8_t *index)
{
    for (int oy = 0; oy < w->ho; oy++) {
        for (int ox = 0; ox < w->wo; ox++) {
            struct reach r = reach(w, oy, ox);
            const float *from = x + (oy * w->stride - w->top) * w->wi + ox * w->stride - w->left;
            float best = -INFINITY;
            int which = 0;
            for (int ty = r.y0; ty < r.y1; ty++) {
                for (int tx = r.x0; tx < r.x1; tx++) {
                    float v = from[ty * w->wi + tx];
                    bool more = v > best || v != v;
                    which = more ? ty * w->k + tx : which;
                    best = more ? v : best;
                }
            }
            *y++ = best;
            *index++ = (uint8_t)which;
        }
    }
}

/* Windows of 2 x 2 that tile the image: what networks have. The planes of a channel then are one run of pairs of rows, of which HALVE outputs at a
 * time are split by tap, or put together again. */
#define HALVE 64

static bool halves(const struct ln__window *w)
{
    return w->k == 2 && w->stride == 2 && w->top == 0 && w->left == 0 && w->hi == 2 * w->ho && w->wi == 2 * w->wo;
}

/* A run of a row among outputs [p, p + count), `at` of them done: its length, and where its first tap lies. */
static size_t halve_run(const struct ln__window *w, size_t p, size_t at, size_t count, size_t *first)
{
    size_t wo = (size_t)w->wo, row = (p + at) / wo, x = (p + at) % wo;
    *first = 4 * wo * row + 2 * x;
    return least(wo - x, count - at);
}

static void split_taps(const struct ln__window *w, const float *x, size_t p, size_t count, float tap[4][HALVE])
{
    size_t first, run;
    for (size_t at = 0; at < count; at += run) {
        run = halve_run(w, p, at, count, &first);
        const float *a = x + first, *b = a + w->wi;
        for (size_t i = 0; i < run; i++) {
            tap[0][at + i] = a[2 * i];
            tap[1][at + i] = a[2 * i + 1];
            tap[2][at + i] = b[2 * i];
            tap[3][at + i] = b[2 * i + 1];
        }
    }
}

static void join_taps(const struct ln__window *w, float tap[4][HALVE], size_t p, size_t count, bool add, float *dx)
{
    size_t first, run;
    for (size_t at = 0; at < count; at += run) {
        run = halve_run(w, p, at, count, &first);
        float *a = dx + first, *b = a + w->wi;
        for (size_t i = 0; i < run; i++) {
            a[2 * i] = tap[0][at + i] + (add ? a[2 * i] : 0);
            a[2 * i + 1] = tap[1][at + i] + (add ? a[2 * i + 1] : 0);
            b[2 * i] = tap[2][at + i] + (add ? b[2 * i] : 0);
            b[2 * i + 1] = tap[3][at + i] + (add ? b[2 * i + 1] : 0);
        }
    }
}

typedef uint8_t vb __attribute__((vector_size(LN_V)));

static void maxpool_halve(const struct ln__window *w, size_t outputs, const float *x, float *y, uint8_t *index)
{
    float tap[4][HALVE] __attribute__((aligned(64))), top[HALVE] __attribute__((aligned(64)));
    uint8_t which[HALVE] __attribute__((aligned(64)));
    memset(tap, 0, sizeof tap);
    for (size_t p = 0; p < outputs; p += HALVE) {
        size_t count = least(HALVE, outputs - p);
        split_taps(w, x, p, count, tap);
        for (size_t i = 0; i < HALVE; i += LN_V) {
            vf best = vf_set(-INFINITY);
            vi at = {0};
            for (int t = 0; t < 4; t++) {
                vf v = *(const vf *)(tap[t] + i);
                vi more = (v > best) | (v != v);
                best = vf_pick(more, v, best);
                at = (at & ~more) | (vi_set(t) & more);
            }
            *(vf *)(top + i) = best;
            *(vb *)(which + i) = __builtin_convertvector(at, vb);
        }
        memcpy(y + p, top, count * sizeof *y);
        memcpy(index + p, which, count);
    }
}

static void maxpool_halve_grad(const struct ln__window *w, size_t outputs, const uint8_t *index, const float *dy, bool add, float *dx)
{
    float tap[4][HALVE] __attribute__((aligned(64))), d[HALVE] __attribute__((aligned(64))) = {0};
    uint8_t which[HALVE] __attribute__((aligned(64))) = {0};
    for (size_t p = 0; p < outputs; p += HALVE) {
        size_t count = least(HALVE, outputs - p);
        memcpy(d, dy + p, count * sizeof *d);
        memcpy(which, index + p, count);
        for (size_t i = 0; i < HALVE; i += LN_V) {
            vi at = __builtin_convertvector(*(const vb *)(which + i), vi);
            for (int t = 0; t < 4; t++)
                *(vf *)(tap[t] + i) = vf_and(*(const vf *)(d + i), at == vi_set(t));
        }
        join_taps(w, tap, p, count, add, dx);
    }
}

static void maxpool_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t in = (size_t)(k->window->hi * k->window->wi), out = (size_t)(k->window->ho * k->window->wo);
    size_t first = c * (size_t)k->n;
    if (halves(k->window))
        maxpool_halve(k->window, (size_t)k->n * out, k->a + first * in, k->y + first * out, k->index_out + first * out);
    for (size_t i = first; i < first + (size_t)k->n && !halves(k->window); i++)
        maxpool_plane(k->window, k->a + i * in, k->y + i * out, k->index_out + i * out);
}

void LN_KS(maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    struct point k = {.window = window, .n = n, .a = x, .y = y, .index_out = index};
    ln__pool_for(pool, (size_t)window->c, maxpool_channel, &k);
}

static void maxpool_grad_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    const struct ln__window *w = k->window;
    (void)worker;
    size_t in = (size_t)(w->hi * w->wi), out = (size_t)(w->ho * w->wo), n = (size_t)k->n;
    if (halves(w)) {
        maxpool_halve_grad(w, n * out, k->index + c * n * out, k->d + c * n * out, k->add, k->y + c * n * in);
        return;
    }
    if (!k->add)
        memset(k->y + c * n * in, 0, n * in * sizeof *k->y);
    for (size_t i = c * n; i < (c + 1) * n; i++) {
        float *dx = k->y + i * in;
        for (size_t p = 0; p < out; p++) {
            int which = k->index[i * out + p];
            int y = (int)p / w->wo * w->stride + which / w->k - w->top, x = (int)p % w->wo * w->stride + which % w->k - w->left;
            if (y >= 0 && y < w->hi && x >= 0 && x < w->wi)
                dx[y * w->wi + x] += k->d[i * out + p];
        }
    }
}

void LN_KS(maxpool_grad)(const struct ln__window *window, int n, const uint8_t *index, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct point k = {.window = window, .n = n, .index = index, .d = dy, .y = dx, .add = add};
    ln__pool_for(pool, (size_t)window->c, maxpool_grad_channel, &k);
}

static void avgpool_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    const struct ln__window *w = k->window;
    (void)worker;
    size_t in = (size_t)(w->hi * w->wi), out = (size_t)(w->ho * w->wo);
    for (size_t i = c * (size_t)k->n; i < (c + 1) * (size_t)k->n; i++) {
        float *y = k->y + i * out;
        for (int oy = 0; oy < w->ho; oy++) {
            for (int ox = 0; ox < w->wo; ox++) {
                struct reach r = reach(w, oy, ox);
                const float *from = k->a + i * in + (oy * w->stride - w->top) * w->wi + ox * w->stride - w->left;
                float sum = 0;
                for (int ty = r.y0; ty < r.y1; ty++) {
                    for (int tx = r.x0; tx < r.x1; tx++)
                        sum += from[ty * w->wi + tx];
                }
                *y++ = sum / (float)(w->k * w->k);
            }
        }
    }
}

void LN_KS(avgpool_forward)(const struct ln__window *window, int n, const float *x, float *y, struct ln__pool *pool)
{
    struct point k = {.window = window, .n = n, .a = x, .y = y};
    ln__pool_for(pool, (size_t)window->c, avgpool_channel, &k);
}

static void avgpool_grad_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    const struct ln__window *w = k->window;
    (void)worker;
    size_t in = (size_t)(w->hi * w->wi), out = (size_t)(w->ho * w->wo), n = (size_t)k->n;
    if (!k->add)
        memset(k->y + c * n * in, 0, n * in * sizeof *k->y);
    for (size_t i = c * n; i < (c + 1) * n; i++) {
        const float *dy = k->d + i * out;
        for (int oy = 0; oy < w->ho; oy++) {
            for (int ox = 0; ox < w->wo; ox++) {
                struct reach r = reach(w, oy, ox);
                float *to = k->y + i * in + (oy * w->stride - w->top) * w->wi + ox * w->stride - w->left, g = *dy++ / (float)(w->k * w->k);
                for (int ty = r.y0; ty < r.y1; ty++) {
                    for (int tx = r.x0; tx < r.x1; tx++)
                        to[ty * w->wi + tx] += g;
                }
            }
        }
    }
}

void LN_KS(avgpool_grad)(const struct ln__window *window, int n, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct point k = {.window = window, .n = n, .d = dy, .y = dx, .add = add};
    ln__pool_for(pool, (size_t)window->c, avgpool_grad_channel, &k);
}

static void globalpool_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t hw = (size_t)k->hw;
    for (size_t i = c * (size_t)k->n; i < (c + 1) * (size_t)k->n; i++) {
        const float *x = k->a + i * hw;
        vf sums = {0};
        size_t p = 0;
        for (; p + LN_V <= hw; p += LN_V)
            sums += vf_load(x + p);
        float sum = vf_sum(sums);
        for (; p < hw; p++)
            sum += x[p];
        k->y[i] = sum / (float)hw;
    }
}

void LN_KS(globalpool_forward)(int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    struct point k = {.n = n, .hw = hw, .a = x, .y = y};
    ln__pool_for(pool, (size_t)c, globalpool_channel, &k);
}

static void globalpool_grad_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t hw = (size_t)k->hw;
    for (size_t i = c * (size_t)k->n; i < (c + 1) * (size_t)k->n; i++) {
        float g = k->d[i] / (float)hw;
        for (size_t p = i * hw; p < (i + 1) * hw; p++)
            k->y[p] = k->add ? k->y[p] + g : g;
    }
}

void LN_KS(globalpool_grad)(int n, int c, int hw, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct point k = {.n = n, .hw = hw, .d = dy, .y = dx, .add = add};
    ln__pool_for(pool, (size_t)c, globalpool_grad_channel, &k);
}

/* ---- dropout: words are numbered in canonical order n, c, hw ---- */

static void dropout_channel(void *context, size_t c, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    size_t hw = (size_t)k->hw;
    double limit = (double)k->rate * 4294967296.0;
    float scale = 1 / (1 - k->rate);
    for (size_t i = 0; i < (size_t)k->n; i++) {
        uint64_t word = k->first + (i * (size_t)k->c + c) * hw;
        uint32_t block[4];
        for (size_t p = 0; p < hw; p++, word++) {
            size_t at = (c * (size_t)k->n + i) * hw + p;
            if (p == 0 || word % 4 == 0)
                ln__rng_block(k->key, word / 4, block);
            k->mask[at] = (double)block[word % 4] >= limit;
            k->y[at] = k->mask[at] ? k->a[at] * scale : 0;
        }
    }
}

void LN_KS(dropout_forward)(int n, int c, int hw, float rate, const struct ln__key *key, uint64_t first, const float *x, float *y, uint8_t *mask,
                            struct ln__pool *pool)
{
    struct point k = {.n = n, .c = c, .hw = hw, .rate = rate, .key = key, .first = first, .a = x, .y = y, .mask = mask};
    ln__pool_for(pool, (size_t)c, dropout_channel, &k);
}

static void dropout_grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct point *k = context;
    (void)worker;
    float scale = 1 / (1 - k->rate);
    for (size_t i = chunk * CHUNK, end = least(k->size, i + CHUNK); i < end; i++)
        k->y[i] = (k->index[i] ? k->d[i] * scale : 0) + (k->add ? k->y[i] : 0);
}

void LN_KS(dropout_grad)(int n, int c, int hw, float rate, const uint8_t *mask, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct point k = {.size = (size_t)n * (size_t)c * (size_t)hw, .rate = rate, .index = mask, .d = dy, .y = dx, .add = add};
    ln__pool_for(pool, chunks(k.size), dropout_grad_chunk, &k);
}

/* ---- loss: logits [class][n] ---- */

double LN_KS(softmax_loss)(int n, int classes, const float *logits, const int32_t *label, float *dlogits, int *correct)
{
    double loss = 0;
    *correct = 0;
    for (int i = 0; i < n; i++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = logits[c * n + i] > logits[best * n + i] ? c : best;
        double top = (double)logits[best * n + i], sum = 0;
        for (int c = 0; c < classes; c++)
            sum += exp((double)logits[c * n + i] - top);
        loss += log(sum) + top - (double)logits[label[i] * n + i];
        *correct += best == label[i];
        for (int c = 0; dlogits && c < classes; c++)
            dlogits[c * n + i] = (float)((exp((double)logits[c * n + i] - top) / sum - (c == label[i])) / n);
    }
    return loss;
}
