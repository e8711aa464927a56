/* Pooling; a vector is V channels of one pixel. */
#include "kernels/vec/vec.h"
#include <math.h>

struct pools {
    struct ln__window win;
    const uint8_t *index;
    uint8_t *index_out;
};

/* The part of the k x k window at (oy, ox) that lies inside: taps [*ky, *ky_end) x [*kx, *kx_end). */
static void inside(const struct ln__window *win, int at, int size, int *first, int *end)
{
    *first = at < 0 ? -at : 0;
    *end = min_int(win->k, size - at);
}

/* One input against the largest so far; a NaN wins. */
INLINE void higher(vf v, int tap, vf *best, vi *which)
{
    vi more = (v > *best) | (v != v);
    *which = (more & tap) | (~more & *which);
    *best = pick(more, v, *best);
}

INLINE void keep_max(float *y, uint8_t *index, vf best, vi which)
{
    store(y, best);
    vb bytes = __builtin_convertvector(which, vb);
    memcpy(index, &bytes, sizeof bytes);
}

/* Windows of 2 x 2 that touch neither each other nor the border. */
static bool in_pairs(const struct ln__window *win)
{
    return win->k == 2 && win->stride == 2 && win->top == 0 && win->left == 0 && 2 * win->ho <= win->hi && 2 * win->wo <= win->wi;
}

INLINE void max_pairs(const struct ln__window *win, const vf least, const vi none, const float *x, float *y, uint8_t *index)
{
    size_t row = (size_t)win->wi * LN_V;
    for (int oy = 0; oy < win->ho; oy++, x += 2 * row) {
        const float *at = x;
        for (int ox = 0; ox < win->wo; ox++, at += 2 * LN_V, y += LN_V, index += LN_V) {
            vf best = least;
            vi which = none;
            higher(load(at), 0, &best, &which);
            higher(load(at + LN_V), 1, &best, &which);
            higher(load(at + row), 2, &best, &which);
            higher(load(at + row + LN_V), 3, &best, &which);
            keep_max(y, index, best, which);
        }
    }
}

static void max_windows(const struct ln__window *win, const vf least, const vi none, const float *x, float *y, uint8_t *index)
{
    for (int o = 0; o < win->ho * win->wo; o++, y += LN_V, index += LN_V) {
        int iy = o / win->wo * win->stride - win->top, ix = o % win->wo * win->stride - win->left, ky, ky_end, kx, kx_end;
        inside(win, iy, win->hi, &ky, &ky_end);
        inside(win, ix, win->wi, &kx, &kx_end);
        vf best = least;
        vi which = none;
        for (; ky < ky_end; ky++) {
            for (int k = kx; k < kx_end; k++)
                higher(load(x + ((iy + ky) * win->wi + ix + k) * LN_V), ky * win->k + k, &best, &which);
        }
        keep_max(y, index, best, which);
    }
}

/* number: what the maximum is at least. */
static void max_plane(const struct planes *planes, size_t plane)
{
    const struct pools *pools = planes->more;
    const struct ln__window *win = &pools->win;
    size_t out = plane * (size_t)(win->ho * win->wo) * LN_V;
    const float *x = planes->a + plane * (size_t)(win->hi * win->wi) * LN_V;
    vf least = set1(planes->number);
    vi none = (vi){0} + (planes->number == 0 ? LN__POOL_NONE : 0);
    if (in_pairs(win))
        max_pairs(win, least, none, x, planes->out + out, pools->index_out + out);
    else
        max_windows(win, least, none, x, planes->out + out, pools->index_out + out);
}

static void max_forward(const struct ln__window *window, int n, float least, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    struct pools pools = {.win = *window, .index_out = index};
    struct planes planes = {
        .n = n, .c = window->c, .hw = window->hi * window->wi, .a = x, .out = y, .number = least, .more = &pools, .run = max_plane};
    planes_for(&planes, pool);
}

void LN_K(maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    max_forward(window, n, -INFINITY, x, y, index, pool);
}

void LN_K(relu_maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    max_forward(window, n, 0, x, y, index, pool);
}

INLINE vi index_at(const uint8_t *index)
{
    vb bytes;
    memcpy(&bytes, index, sizeof bytes);
    return __builtin_convertvector(bytes, vi);
}

/* Every input is of one window: each is written once, where dx is not added to. */
INLINE void spread_pairs(const struct ln__window *win, const bool add, const uint8_t *index, const float *dy, float *dx)
{
    size_t row = (size_t)win->wi * LN_V;
    for (int oy = 0; oy < win->ho; oy++, dx += 2 * row) {
        float *at = dx;
        for (int ox = 0; ox < win->wo; ox++, at += 2 * LN_V, dy += LN_V, index += LN_V) {
            vi which = index_at(index);
            vf d = load(dy);
            UNROLL for (int t = 0; t < 4; t++)
            {
                float *to = at + (size_t)(t / 2) * row + t % 2 * LN_V;
                vf share = pick(which == t, d, (vf){0});
                store(to, add ? load(to) + share : share);
            }
        }
    }
}

static void spread_windows(const struct ln__window *win, const uint8_t *index, const float *dy, float *dx)
{
    for (int o = 0; o < win->ho * win->wo; o++, dy += LN_V, index += LN_V) {
        int iy = o / win->wo * win->stride - win->top, ix = o % win->wo * win->stride - win->left, ky, ky_end, kx, kx_end;
        inside(win, iy, win->hi, &ky, &ky_end);
        inside(win, ix, win->wi, &kx, &kx_end);
        vi which = index_at(index);
        vf d = load(dy);
        for (; ky < ky_end; ky++) {
            for (int k = kx; k < kx_end; k++) {
                float *at = dx + ((iy + ky) * win->wi + ix + k) * LN_V;
                store(at, load(at) + pick(which == ky * win->k + k, d, (vf){0}));
            }
        }
    }
}

static void max_grad_plane(const struct planes *planes, size_t plane)
{
    const struct pools *pools = planes->more;
    const struct ln__window *win = &pools->win;
    size_t in = (size_t)(win->hi * win->wi) * LN_V, out = plane * (size_t)(win->ho * win->wo) * LN_V;
    float *dx = planes->out + plane * in;
    const float *dy = planes->a + out;
    bool pairs = in_pairs(win), covered = pairs && 2 * win->ho == win->hi && 2 * win->wo == win->wi;
    if (!planes->add && !covered)
        memset(dx, 0, in * sizeof *dx);
    if (covered && !planes->add)
        spread_pairs(win, false, pools->index + out, dy, dx);
    else if (pairs)
        spread_pairs(win, true, pools->index + out, dy, dx);
    else
        spread_windows(win, pools->index + out, dy, dx);
}

void LN_K(maxpool_grad)(const struct ln__window *window, int n, const uint8_t *index, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct pools pools = {.win = *window, .index = index};
    struct planes planes = {
        .n = n, .c = window->c, .hw = window->hi * window->wi, .a = dy, .out = dx, .add = add, .more = &pools, .run = max_grad_plane};
    planes_for(&planes, pool);
}

static void avg_plane(const struct planes *planes, size_t plane)
{
    const struct pools *pools = planes->more;
    const struct ln__window *win = &pools->win;
    const float *x = planes->a + plane * (size_t)(win->hi * win->wi) * LN_V;
    float *y = planes->out + plane * (size_t)(win->ho * win->wo) * LN_V;
    for (int o = 0; o < win->ho * win->wo; o++, y += LN_V) {
        int iy = o / win->wo * win->stride - win->top, ix = o % win->wo * win->stride - win->left, ky, ky_end, kx, kx_end;
        inside(win, iy, win->hi, &ky, &ky_end);
        inside(win, ix, win->wi, &kx, &kx_end);
        vf sum = {0};
        for (; ky < ky_end; ky++) {
            for (int k = kx; k < kx_end; k++)
                sum += load(x + ((iy + ky) * win->wi + ix + k) * LN_V);
        }
        store(y, sum / (float)(win->k * win->k));
    }
}

void LN_K(avgpool_forward)(const struct ln__window *window, int n, const float *x, float *y, struct ln__pool *pool)
{
    struct pools pools = {.win = *window};
    struct planes planes = {.n = n, .c = window->c, .hw = window->hi * window->wi, .a = x, .out = y, .more = &pools, .run = avg_plane};
    planes_for(&planes, pool);
}

static void avg_grad_plane(const struct planes *planes, size_t plane)
{
    const struct pools *pools = planes->more;
    const struct ln__window *win = &pools->win;
    size_t in = (size_t)(win->hi * win->wi) * LN_V;
    float *dx = planes->out + plane * in;
    const float *dy = planes->a + plane * (size_t)(win->ho * win->wo) * LN_V;
    if (!planes->add)
        memset(dx, 0, in * sizeof *dx);
    for (int o = 0; o < win->ho * win->wo; o++, dy += LN_V) {
        int iy = o / win->wo * win->stride - win->top, ix = o % win->wo * win->stride - win->left, ky, ky_end, kx, kx_end;
        inside(win, iy, win->hi, &ky, &ky_end);
        inside(win, ix, win->wi, &kx, &kx_end);
        vf d = load(dy) / (float)(win->k * win->k);
        for (; ky < ky_end; ky++) {
            for (int k = kx; k < kx_end; k++) {
                float *at = dx + ((iy + ky) * win->wi + ix + k) * LN_V;
                store(at, load(at) + d);
            }
        }
    }
}

void LN_K(avgpool_grad)(const struct ln__window *window, int n, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct pools pools = {.win = *window};
    struct planes planes = {
        .n = n, .c = window->c, .hw = window->hi * window->wi, .a = dy, .out = dx, .add = add, .more = &pools, .run = avg_grad_plane};
    planes_for(&planes, pool);
}

static void global_plane(const struct planes *planes, size_t plane)
{
    const float *x = planes->a + plane * (size_t)planes->hw * LN_V;
    vf sum = {0};
    for (int p = 0; p < planes->hw * LN_V; p += LN_V)
        sum += load(x + p);
    store(planes->out + plane * LN_V, sum / (float)planes->hw);
}

void LN_K(globalpool_forward)(int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = x, .out = y, .run = global_plane};
    planes_for(&planes, pool);
}

static void global_grad_plane(const struct planes *planes, size_t plane)
{
    float *dx = planes->out + plane * (size_t)planes->hw * LN_V;
    vf d = load(planes->a + plane * LN_V) / (float)planes->hw;
    for (int p = 0; p < planes->hw * LN_V; p += LN_V) {
        soon(dx + p);
        store(dx + p, planes->add ? load(dx + p) + d : d);
    }
}

void LN_K(globalpool_grad)(int n, int c, int hw, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = dy, .out = dx, .add = add, .run = global_grad_plane};
    planes_for(&planes, pool);
}
