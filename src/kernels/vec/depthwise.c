/* Depthwise convolution: one filter a channel, so a vector is V channels of one pixel. Each plane is first copied with its padding into
 * scratch, which stays in the cache, so that no inner loop knows of edges. Filters of 3x3 and 5x5 have loops of their own. */
#include "kernels/vec/depthwise.h"

#if LN_V == 8
#define ROW_PIXELS 4
#else
#define ROW_PIXELS 8
#endif

void LN_K(depth_frame)(const struct depth *d, int h, int w, float *to)
{
    int kept = min_int(w, d->pad_w - d->left), right = d->pad_w - d->left - kept;
    for (int y = 0; y < d->pad_h; y++, to += d->pad_w * LN_V) {
        bool outside = y < d->top || y - d->top >= h;
        memset(to, 0, (size_t)(outside ? d->pad_w : d->left) * LN_V * sizeof *to);
        if (!outside)
            memset(to + (d->left + kept) * LN_V, 0, (size_t)right * LN_V * sizeof *to);
    }
}

void LN_K(depth_pad)(const struct depth *d, const float *plane, int h, int w, float *to)
{
    int kept = min_int(w, d->pad_w - d->left);
    LN_K(depth_frame)(d, h, w, to);
    for (int y = max_int(0, d->top); y < d->pad_h && y - d->top < h; y++)
        memcpy(to + (size_t)(y * d->pad_w + d->left) * LN_V, plane + (size_t)((y - d->top) * w) * LN_V, (size_t)kept * LN_V * sizeof *to);
}

/* The same in the worker's scratch. */
static const float *padded(const struct depth *d, const float *plane, int h, int w, unsigned worker)
{
    float *to = d->scratch + worker * d->pad_floats;
    LN_K(depth_pad)(d, plane, h, w, to);
    return to;
}

static void set_pad(struct depth *d, int h, int w, int top, int left)
{
    d->pad_h = h;
    d->pad_w = w;
    d->top = top;
    d->left = left;
    d->pad_floats = (size_t)(h * w) * LN_V;
    d->planes = (size_t)d->n * (size_t)d->blocks;
    d->grain = LN__SPAN / d->pad_floats + 1;
}

/* ---- forward, and the input gradient of stride 1, which is the same with the filter turned round ---- */

/* Q outputs of a row. */
INLINE void outputs(const int Q, const int kh, const int kw, const int stride, const float *x, int pad_w, const float *w, vf start, bool add,
                    float *y)
{
    vf sum[ROW_PIXELS];
    UNROLL for (int q = 0; q < Q; q++) sum[q] = add ? load(y + q * LN_V) : start;
    for (int ky = 0; ky < kh; ky++) {
        vf f[5], in[2 * ROW_PIXELS + 5];
        UNROLL for (int k = 0; k < kw; k++) f[k] = load(w + (ky * kw + k) * LN_V);
        UNROLL for (int i = 0; i < (Q - 1) * stride + kw; i++) in[i] = load(x + (ky * pad_w + i) * LN_V);
        UNROLL for (int k = 0; k < kw; k++)
        {
            UNROLL for (int q = 0; q < Q; q++) sum[q] += in[q * stride + k] * f[k];
        }
    }
    UNROLL for (int q = 0; q < Q; q++) store(y + q * LN_V, sum[q]);
}

INLINE void output_rows(const int k, const int stride, const float *x, int pad_w, const float *w, vf start, bool add, float *y, int ho, int wo)
{
    for (int oy = 0; oy < ho; oy++, y += wo * LN_V) {
        const float *row = x + (size_t)(oy * stride * pad_w) * LN_V;
        int ox = 0;
        for (; ox + ROW_PIXELS <= wo; ox += ROW_PIXELS)
            outputs(ROW_PIXELS, k, k, stride, row + ox * stride * LN_V, pad_w, w, start, add, y + ox * LN_V);
        for (; ROW_PIXELS > 4 && ox + 4 <= wo; ox += 4)
            outputs(4, k, k, stride, row + ox * stride * LN_V, pad_w, w, start, add, y + ox * LN_V);
        for (; ox + 2 <= wo; ox += 2)
            outputs(2, k, k, stride, row + ox * stride * LN_V, pad_w, w, start, add, y + ox * LN_V);
        for (; ox < wo; ox++)
            outputs(1, k, k, stride, row + ox * stride * LN_V, pad_w, w, start, add, y + ox * LN_V);
    }
}

static void any_rows(const struct depth *d, const float *x, const float *w, vf start, float *y)
{
    const struct ln__conv *c = &d->conv;
    for (int o = 0; o < c->ho * c->wo; o++) {
        const float *from = x + (size_t)(o / c->wo * c->stride * d->pad_w + o % c->wo * c->stride) * LN_V;
        vf sum = d->add ? load(y + o * LN_V) : start;
        for (int ky = 0; ky < c->kh; ky++) {
            for (int kx = 0; kx < c->kw; kx++)
                sum += load(from + (ky * d->pad_w + kx) * LN_V) * load(w + (ky * c->kw + kx) * LN_V);
        }
        store(y + o * LN_V, sum);
    }
}

void LN_K(depth_outputs)(const struct depth *d, const float *x, const float *w, const float *bias, float *y)
{
    const struct ln__conv *c = &d->conv;
    vf start = bias ? load(bias) : (vf){0};
    bool square = c->kh == c->kw;
    if (square && c->kw == 3 && c->stride == 1)
        output_rows(3, 1, x, d->pad_w, w, start, d->add, y, c->ho, c->wo);
    else if (square && c->kw == 3 && c->stride == 2)
        output_rows(3, 2, x, d->pad_w, w, start, d->add, y, c->ho, c->wo);
    else if (square && c->kw == 5 && c->stride == 1)
        output_rows(5, 1, x, d->pad_w, w, start, d->add, y, c->ho, c->wo);
    else if (square && c->kw == 5 && c->stride == 2)
        output_rows(5, 2, x, d->pad_w, w, start, d->add, y, c->ho, c->wo);
    else
        any_rows(d, x, w, start, y);
}

static void output_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct depth *d = context;
    const struct ln__conv *c = &d->conv;
    for (size_t plane = chunk * d->grain; plane < d->planes && plane < (chunk + 1) * d->grain; plane++) {
        size_t block = plane % (size_t)d->blocks;
        const float *x = padded(d, d->x + plane * (size_t)(c->hi * c->wi) * LN_V, c->hi, c->wi, worker);
        LN_K(depth_outputs)
        (d, x, d->w + block * (size_t)(c->kh * c->kw) * LN_V, d->bias ? d->bias + block * LN_V : NULL,
         d->out + plane * (size_t)(c->ho * c->wo) * LN_V);
    }
}

struct depth LN_K(depth_forward_of)(const struct ln__conv *conv, int n)
{
    struct depth d = {.conv = *conv, .n = n, .blocks = ln__blocks(conv->ci, LN_V)};
    set_pad(&d, (conv->ho - 1) * conv->stride + conv->kh, (conv->wo - 1) * conv->stride + conv->kw, conv->top, conv->left);
    return d;
}

void LN_K(depthwise_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                             struct ln__pool *pool)
{
    struct depth d = LN_K(depth_forward_of)(conv, n);
    d.x = x;
    d.w = w;
    d.bias = bias;
    d.out = y;
    d.scratch = scratch;
    ln__pool_for(pool, (d.planes + d.grain - 1) / d.grain, output_chunk, &d);
}

/* ---- input gradient of any stride: inputs of one phase gather from a padded plane of gradients ---- */

/* Q inputs of a phase: taps ky, ky + stride, ... and kx, kx + stride, ... read backwards from dy. */
INLINE void phase_inputs(const int Q, const struct ln__conv *c, const float *dy, int pad_w, const float *w, int ky, int kx, bool add, float *dx)
{
    vf sum[ROW_PIXELS];
    UNROLL for (int q = 0; q < Q; q++) sum[q] = add ? load(dx + q * c->stride * LN_V) : (vf){0};
    for (int ty = ky, y = 0; ty < c->kh; ty += c->stride, y++) {
        for (int tx = kx, x = 0; tx < c->kw; tx += c->stride, x++) {
            vf f = load(w + (ty * c->kw + tx) * LN_V);
            UNROLL for (int q = 0; q < Q; q++) sum[q] += load(dy + (q - y * pad_w - x) * LN_V) * f;
        }
    }
    UNROLL for (int q = 0; q < Q; q++) store(dx + q * c->stride * LN_V, sum[q]);
}

static void phase_rows(const struct depth *d, const float *dy, const float *w, float *dx)
{
    const struct ln__conv *c = &d->conv;
    for (int iy = 0; iy < c->hi; iy++, dx += c->wi * LN_V) {
        int ky = (iy + c->top) % c->stride, oy = (iy + c->top) / c->stride;
        for (int ix = 0; ix < c->wi; ix++) /* the next row */
            __builtin_prefetch(dx + (c->wi + ix) * LN_V, 1);
        for (int phase = 0; phase < c->stride && phase < c->wi; phase++) {
            int kx = (phase + c->left) % c->stride, ox = (phase + c->left) / c->stride, ix = phase;
            const float *from = dy + (size_t)((oy + d->top) * d->pad_w + ox + d->left) * LN_V;
            for (; ix + (ROW_PIXELS - 1) * c->stride < c->wi; ix += ROW_PIXELS * c->stride, from += ROW_PIXELS * LN_V)
                phase_inputs(ROW_PIXELS, c, from, d->pad_w, w, ky, kx, d->add, dx + ix * LN_V);
            for (; ix + c->stride < c->wi; ix += 2 * c->stride, from += 2 * LN_V)
                phase_inputs(2, c, from, d->pad_w, w, ky, kx, d->add, dx + ix * LN_V);
            for (; ix < c->wi; ix += c->stride, from += LN_V)
                phase_inputs(1, c, from, d->pad_w, w, ky, kx, d->add, dx + ix * LN_V);
        }
    }
}

/* Stride 1: the forward pass of the transposed convolution. */
static struct depth turned_of(const struct ln__conv *conv, int n)
{
    struct ln__conv back = {
        conv->co,    conv->ho, conv->wo, conv->ci, conv->hi, conv->wi, conv->kh, conv->kw, 1, conv->kh - 1 - conv->top, conv->kw - 1 - conv->left,
        conv->groups};
    return LN_K(depth_forward_of)(&back, n);
}

static bool turns(const struct ln__conv *conv)
{
    return conv->stride == 1 && conv->top < conv->kh && conv->left < conv->kw;
}

static struct depth phases_of(const struct ln__conv *conv, int n)
{
    struct depth d = {.conv = *conv, .n = n, .blocks = ln__blocks(conv->ci, LN_V)};
    int top = (conv->kh - 1) / conv->stride, left = (conv->kw - 1) / conv->stride;
    int last_y = (conv->hi - 1 + conv->top) / conv->stride, last_x = (conv->wi - 1 + conv->left) / conv->stride;
    set_pad(&d, top + max_int(last_y + 1, 1), left + max_int(last_x + 1, 1), top, left);
    return d;
}

struct depth LN_K(depth_back_of)(const struct ln__conv *conv, int n)
{
    struct depth d = turns(conv) ? turned_of(conv, n) : phases_of(conv, n);
    d.turned = turns(conv);
    return d;
}

void LN_K(depth_turn)(const struct depth *d, const float *w, float *to)
{
    int taps = d->conv.kh * d->conv.kw;
    for (int tap = 0; tap < taps; tap++)
        store(to + tap * LN_V, load(w + (d->turned ? taps - 1 - tap : tap) * LN_V));
}

void LN_K(depth_inputs)(const struct depth *d, const float *dy, const float *w, float *dx)
{
    if (d->turned)
        LN_K(depth_outputs)(d, dy, w, NULL, dx);
    else
        phase_rows(d, dy, w, dx);
}

static void input_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct depth *d = context;
    const struct ln__conv *c = &d->conv;
    int hi = d->turned ? c->ho : c->hi, wi = d->turned ? c->wo : c->wi, ho = d->turned ? c->hi : c->ho, wo = d->turned ? c->wi : c->wo;
    for (size_t plane = chunk * d->grain; plane < d->planes && plane < (chunk + 1) * d->grain; plane++) {
        const float *dy = padded(d, d->dy + plane * (size_t)(ho * wo) * LN_V, ho, wo, worker);
        const float *w = d->w + plane % (size_t)d->blocks * (size_t)(c->kh * c->kw) * LN_V;
        LN_K(depth_inputs)(d, dy, w, d->out + plane * (size_t)(hi * wi) * LN_V);
    }
}

void LN_K(depthwise_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                                struct ln__pool *pool)
{
    size_t filter = (size_t)(conv->kh * conv->kw) * LN_V;
    struct depth d = LN_K(depth_back_of)(conv, n);
    for (size_t block = 0; block < (size_t)d.blocks; block++)
        LN_K(depth_turn)(&d, w + block * filter, scratch + block * filter);
    d.dy = dy;
    d.w = scratch;
    d.out = dx;
    d.add = add;
    d.scratch = scratch + (size_t)d.blocks * filter;
    ln__pool_for(pool, (d.planes + d.grain - 1) / d.grain, input_chunk, &d);
}

/* ---- weight gradient ---- */

/* Rows [first, first + some) of taps over one plane. */
INLINE void tap_rows(const int k, const int some, const int stride, const struct ln__conv *c, const float *x, int pad_w, const float *dy, float *dw)
{
    vf sum[25];
    UNROLL for (int i = 0; i < some * k; i++) sum[i] = load(dw + i * LN_V);
    for (int oy = 0; oy < c->ho; oy++) {
        const float *row = x + (size_t)(oy * stride * pad_w) * LN_V;
        for (int ox = 0; ox < c->wo; ox++, dy += LN_V, row += stride * LN_V) {
            vf g = load(dy);
            UNROLL for (int ky = 0; ky < some; ky++)
            {
                UNROLL for (int kx = 0; kx < k; kx++) sum[ky * k + kx] += load(row + (ky * pad_w + kx) * LN_V) * g;
            }
        }
    }
    UNROLL for (int i = 0; i < some * k; i++) store(dw + i * LN_V, sum[i]);
}

INLINE void tap_square(const int k, const int stride, const struct ln__conv *c, const float *x, int pad_w, const float *dy, float *dw)
{
    if (k == 3 || LN_V == 16) {
        tap_rows(k, k, stride, c, x, pad_w, dy, dw);
        return;
    }
    tap_rows(k, 2, stride, c, x, pad_w, dy, dw);
    tap_rows(k, 2, stride, c, x + 2 * pad_w * LN_V, pad_w, dy, dw + 2 * k * LN_V);
    tap_rows(k, 1, stride, c, x + 4 * pad_w * LN_V, pad_w, dy, dw + 4 * k * LN_V);
}

static void tap_any(const struct depth *d, const float *x, const float *dy, float *dw)
{
    const struct ln__conv *c = &d->conv;
    for (int tap = 0; tap < c->kh * c->kw; tap++) {
        vf sum = load(dw + tap * LN_V);
        for (int o = 0; o < c->ho * c->wo; o++) {
            int at = (o / c->wo * c->stride + tap / c->kw) * d->pad_w + o % c->wo * c->stride + tap % c->kw;
            sum += load(x + (size_t)at * LN_V) * load(dy + o * LN_V);
        }
        store(dw + tap * LN_V, sum);
    }
}

void LN_K(depth_taps)(const struct depth *d, const float *x, const float *dy, float *dw)
{
    const struct ln__conv *c = &d->conv;
    bool square = c->kh == c->kw;
    if (square && c->kw == 3 && c->stride == 1)
        tap_square(3, 1, c, x, d->pad_w, dy, dw);
    else if (square && c->kw == 3 && c->stride == 2)
        tap_square(3, 2, c, x, d->pad_w, dy, dw);
    else if (square && c->kw == 5 && c->stride == 1)
        tap_square(5, 1, c, x, d->pad_w, dy, dw);
    else if (square && c->kw == 5 && c->stride == 2)
        tap_square(5, 2, c, x, d->pad_w, dy, dw);
    else
        tap_any(d, x, dy, dw);
}

static void weight_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct depth *d = context;
    const struct ln__conv *c = &d->conv;
    int block = (int)chunk % d->blocks, part = (int)chunk / d->blocks;
    size_t filter = (size_t)(c->kh * c->kw) * LN_V;
    float *dw = d->sums + (size_t)part * (size_t)d->blocks * filter + (size_t)block * filter;
    memset(dw, 0, filter * sizeof *dw);
    for (int s = d->n * part / d->parts; s < d->n * (part + 1) / d->parts; s++) {
        size_t plane = (size_t)s * (size_t)d->blocks + (size_t)block;
        const float *x = padded(d, d->x + plane * (size_t)(c->hi * c->wi) * LN_V, c->hi, c->wi, worker);
        LN_K(depth_taps)(d, x, d->dy + plane * (size_t)(c->ho * c->wo) * LN_V, dw);
    }
}

static int parts_of(const struct ln__conv *conv, int n)
{
    int blocks = ln__blocks(conv->ci, LN_V);
    return max_int(1, min_int(n, (15 + blocks) / blocks));
}

void LN_K(depthwise_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *scratch,
                                 struct ln__pool *pool)
{
    struct depth d = LN_K(depth_forward_of)(conv, n);
    size_t floats = (size_t)(d.blocks * conv->kh * conv->kw) * LN_V;
    d.parts = parts_of(conv, n);
    d.x = x;
    d.dy = dy;
    d.sums = d.parts > 1 ? scratch : dw;
    d.scratch = d.parts > 1 ? scratch + (size_t)d.parts * floats : scratch;
    ln__pool_for(pool, (size_t)(d.blocks * d.parts), weight_chunk, &d);
    if (d.parts > 1)
        LN_K(sum_parts)(floats, d.parts, d.sums, dw, pool);
}

size_t LN_K(depthwise_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    size_t filters = (size_t)(ln__blocks(conv->ci, LN_V) * conv->kh * conv->kw) * LN_V;
    if (pass == LN__INPUT_GRAD)
        return filters + LN_K(depth_back_of)(conv, n).pad_floats * width;
    return LN_K(depth_forward_of)(conv, n).pad_floats * width + (pass == LN__WEIGHT_GRAD ? (size_t)parts_of(conv, n) * filters : 0);
}
