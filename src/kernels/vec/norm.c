/* Batch normalisation. Sums over samples and pixels are made in parts fixed by the shape and added in order; a part of many pixels is itself
 * summed sample by sample, so that errors stay small. Where a channel block is one part, its sums and what is made of them follow each other
 * block by block, the last sample first: what was read for the sums is still in the cache. */
#include "kernels/vec/norm.h"

#define PARTS 16 /* chunks wanted: blocks times parts */

/* ---- one plane ---- */

/* A statement for each activation that may be folded in. */
#define BY_ACT(kind, RUN)                                                                                                                            \
    switch (kind) {                                                                                                                                  \
    case LN__ACT_RELU:                                                                                                                               \
        RUN(LN__ACT_RELU);                                                                                                                           \
        break;                                                                                                                                       \
    case LN__ACT_RELU6:                                                                                                                              \
        RUN(LN__ACT_RELU6);                                                                                                                          \
        break;                                                                                                                                       \
    case LN__ACT_HARDSWISH:                                                                                                                          \
        RUN(LN__ACT_HARDSWISH);                                                                                                                      \
        break;                                                                                                                                       \
    case LN__ACT_SILU:                                                                                                                               \
        RUN(LN__ACT_SILU);                                                                                                                           \
        break;                                                                                                                                       \
    default:                                                                                                                                         \
        RUN(LN__ACT_NONE);                                                                                                                           \
    }

void LN_K(bn_moments)(const float *x, int hw, const vf *shift, vf sums[2])
{
    vf from = *shift, a[4] = {{0}}, b[4] = {{0}};
    int p = 0;
    for (; p + 4 <= hw; p += 4) {
        UNROLL for (int j = 0; j < 4; j++)
        {
            vf d = load(x + (p + j) * LN_V) - from;
            a[j] += d;
            b[j] += d * d;
        }
    }
    for (; p < hw; p++) {
        vf d = load(x + p * LN_V) - from;
        a[0] += d;
        b[0] += d * d;
    }
    sums[0] += (a[0] + a[1]) + (a[2] + a[3]);
    sums[1] += (b[0] + b[1]) + (b[2] + b[3]);
}

INLINE void apply_loop(const enum ln__act kind, const bool residual, const struct bn *bn, const float *x, const float *r, float *y, int hw)
{
    vf mean = bn->mean, scale = bn->scale, shift = bn->shift;
    for (int p = 0; p < hw * LN_V; p += LN_V) {
        vf v = (load(x + p) - mean) * scale + shift;
        soon(y + p);
        store(y + p, act(kind, residual ? v + load(r + p) : v));
    }
}

void LN_K(bn_apply)(const struct bn *bn, const float *x, const float *residual, float *y, int hw)
{
#define WITH(kind) apply_loop(kind, true, bn, x, residual, y, hw)
#define WITHOUT(kind) apply_loop(kind, false, bn, x, NULL, y, hw)
    if (residual)
        BY_ACT(bn->act, WITH)
    else
        BY_ACT(bn->act, WITHOUT)
#undef WITH
#undef WITHOUT
}

/* dy in front of the activation. */
INLINE vf before(const enum ln__act kind, const struct bn *bn, vf x, const float *y, vf dy)
{
    if (kind == LN__ACT_NONE)
        return dy;
    vf v = y ? load(y) : (x - bn->mean) * bn->scale + bn->shift;
    return slope(kind, v, v, dy);
}

INLINE void dots_loop(const enum ln__act kind, const struct bn *bn, const float *x, const float *y, const float *dy, float *g, int hw, vf sums[2])
{
    struct bn own = *bn;
    vf a[4] = {{0}}, b[4] = {{0}};
    int p = 0;
    for (; p + 4 <= hw; p += 4) {
        UNROLL for (int j = 0; j < 4; j++)
        {
            int at = (p + j) * LN_V;
            vf v = load(x + at), d = before(kind, &own, v, y ? y + at : NULL, load(dy + at));
            if (bn_keeps(kind) && g)
                store(g + at, d);
            a[j] += d;
            b[j] += d * (v - own.mean);
        }
    }
    for (int at = p * LN_V; p < hw; p++, at += LN_V) {
        vf v = load(x + at), d = before(kind, &own, v, y ? y + at : NULL, load(dy + at));
        if (bn_keeps(kind) && g)
            store(g + at, d);
        a[0] += d;
        b[0] += d * (v - own.mean);
    }
    sums[0] += (a[0] + a[1]) + (a[2] + a[3]);
    sums[1] += (b[0] + b[1]) + (b[2] + b[3]);
}

void LN_K(bn_dots)(const struct bn *bn, const float *x, const float *y, const float *dy, float *g, int hw, vf sums[2])
{
#define WITH(kind) dots_loop(kind, bn, x, y, dy, g, hw, sums)
#define WITHOUT(kind) dots_loop(kind, bn, x, NULL, dy, g, hw, sums)
    if (y)
        BY_ACT(bn->act, WITH)
    else
        BY_ACT(bn->act, WITHOUT)
#undef WITH
#undef WITHOUT
}

INLINE void grad_loop(const enum ln__act kind, const bool residual, const bool from_y, const struct bn *bn, const struct bn_slope *by,
                      const struct bn_grad *to, int hw)
{
    struct bn own = *bn;
    vf slope = by->slope, offset = by->offset;
    for (int p = 0; p < hw * LN_V; p += LN_V) {
        vf x = load(to->x + p), g = before(kind, &own, x, from_y && kind != LN__ACT_NONE ? to->y + p : NULL, load(to->dy + p));
        vf d = g * own.scale + ((x - own.mean) * slope + offset);
        if (to->add)
            d += load(to->dx + p);
        if (residual)
            store(to->dresidual + p, to->add_residual ? load(to->dresidual + p) + g : g);
        store(to->dx + p, d);
    }
}

void LN_K(bn_grad)(const struct bn *bn, const struct bn_slope *by, const struct bn_grad *to, int hw)
{
#define WITH(kind) grad_loop(kind, true, true, bn, by, to, hw)
#define FROM_Y(kind) grad_loop(kind, false, true, bn, by, to, hw)
#define FROM_X(kind) grad_loop(kind, false, false, bn, by, to, hw)
    if (to->dresidual)
        BY_ACT(bn->act, WITH)
    else if (to->y)
        BY_ACT(bn->act, FROM_Y)
    else
        BY_ACT(bn->act, FROM_X)
#undef WITH
#undef FROM_Y
#undef FROM_X
}

/* ---- a tensor ---- */

struct norm {
    int n, c, hw, cb, parts;
    float eps, count;
    enum ln__act act;
    bool frozen, add, add_residual;
    const float *x, *y, *dy, *gamma, *beta, *residual;
    const float *mean, *var;
    float *to_mean, *to_var, *to, *dresidual, *dgamma, *dbeta;
    float sums[PARTS][2][LN_V] __attribute__((aligned(64))); /* where there is more than one part */
};

static void cut(struct norm *norm)
{
    norm->cb = ln__blocks(norm->c, LN_V);
    norm->parts = norm->cb >= 4 ? 1 : min_int(norm->n, PARTS / norm->cb);
    norm->count = (float)norm->n * (float)norm->hw;
}

INLINE size_t plane_at(const struct norm *norm, int sample, int block)
{
    return ((size_t)sample * (size_t)norm->cb + (size_t)block) * (size_t)norm->hw * LN_V;
}

INLINE struct bn bn_of(const struct norm *norm, int block)
{
    return bn_at(block, norm->mean, norm->var, norm->gamma, norm->beta, norm->eps, norm->act);
}

/* Two sums of a block, its parts added in order. */
static void total(const struct norm *norm, int block, vf sums[2])
{
    sums[0] = sums[1] = (vf){0};
    for (int part = 0; part < norm->parts; part++) {
        sums[0] += load(norm->sums[part * norm->cb + block][0]);
        sums[1] += load(norm->sums[part * norm->cb + block][1]);
    }
}

static void apply_plane(const struct norm *norm, const struct bn *bn, size_t at)
{
    LN_K(bn_apply)(bn, norm->x + at, norm->residual ? norm->residual + at : NULL, norm->to + at, norm->hw);
}

static void apply_planes(const struct planes *planes, size_t plane)
{
    const struct norm *norm = planes->more;
    struct bn bn = bn_of(norm, (int)(plane % (size_t)norm->cb));
    apply_plane(norm, &bn, plane * (size_t)norm->hw * LN_V);
}

static void stats_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    struct norm *norm = context;
    int block = (int)chunk % norm->cb, part = (int)chunk / norm->cb;
    vf shift = load(norm->x + plane_at(norm, 0, block)), sums[2] = {{0}};
    for (int s = norm->n * part / norm->parts; s < norm->n * (part + 1) / norm->parts; s++) {
        vf plane[2] = {{0}};
        LN_K(bn_moments)(norm->x + plane_at(norm, s, block), norm->hw, &shift, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    if (norm->parts > 1) {
        store(norm->sums[chunk][0], sums[0]);
        store(norm->sums[chunk][1], sums[1]);
        return;
    }
    bn_finish(norm->count, shift, sums, norm->to_mean + block * LN_V, norm->to_var + block * LN_V);
    struct bn bn = bn_of(norm, block);
    for (int s = norm->n - 1; s >= 0; s--)
        apply_plane(norm, &bn, plane_at(norm, s, block));
}

void LN_K(norm_forward)(int n, int c, int hw, const float *x, const float *gamma, const float *beta, float eps, enum ln__act act,
                        const float *residual, float *y, float *mean, float *var, struct ln__pool *pool)
{
    struct norm norm = {.n = n, .c = c, .hw = hw, .x = x, .gamma = gamma, .beta = beta, .residual = residual, .eps = eps, .act = act, .to = y};
    norm.mean = norm.to_mean = mean;
    norm.var = norm.to_var = var;
    cut(&norm);
    ln__pool_for(pool, (size_t)(norm.cb * norm.parts), stats_chunk, &norm);
    if (norm.parts == 1)
        return;
    for (int block = 0; block < norm.cb; block++) {
        vf sums[2];
        total(&norm, block, sums);
        bn_finish(norm.count, load(x + plane_at(&norm, 0, block)), sums, mean + block * LN_V, var + block * LN_V);
    }
    struct planes planes = {.n = n, .c = c, .hw = hw, .more = &norm, .run = apply_planes};
    planes_for(&planes, pool);
}

void LN_K(norm_apply)(int n, int c, int hw, const float *x, const float *mean, const float *var, const float *gamma, const float *beta, float eps,
                      enum ln__act act, const float *residual, float *y, struct ln__pool *pool)
{
    struct norm norm = {.n = n, .c = c, .hw = hw, .x = x, .mean = mean, .var = var, .gamma = gamma, .beta = beta, .residual = residual};
    norm.eps = eps;
    norm.act = act;
    norm.to = y;
    cut(&norm);
    struct planes planes = {.n = n, .c = c, .hw = hw, .more = &norm, .run = apply_planes};
    planes_for(&planes, pool);
}

/* g is kept where dx will be. */
static bool keeps(const struct norm *norm)
{
    return bn_keeps(norm->act) && !norm->add;
}

static void grad_plane(const struct norm *norm, const struct bn *bn, const struct bn_slope *slope, size_t at)
{
    struct bn_grad to = {.x = norm->x + at, .y = norm->y ? norm->y + at : NULL, .dy = norm->dy + at, .dx = norm->to + at, .add = norm->add};
    to.dresidual = norm->dresidual ? norm->dresidual + at : NULL;
    to.add_residual = norm->add_residual;
    if (!keeps(norm)) {
        LN_K(bn_grad)(bn, slope, &to, norm->hw);
        return;
    }
    struct bn linear = *bn;
    linear.act = LN__ACT_NONE;
    to.dy = to.dx;
    LN_K(bn_grad)(&linear, slope, &to, norm->hw);
}

static void grad_planes(const struct planes *planes, size_t plane)
{
    const struct norm *norm = planes->more;
    int block = (int)(plane % (size_t)norm->cb);
    struct bn bn = bn_of(norm, block);
    vf sums[2];
    total(norm, block, sums);
    float spare[2][LN_V] __attribute__((aligned(64)));
    struct bn_slope slope = bn_slope_of(&bn, norm->count, norm->frozen, sums, spare[0], spare[1]);
    grad_plane(norm, &bn, &slope, plane * (size_t)norm->hw * LN_V);
}

static void dots_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    struct norm *norm = context;
    int block = (int)chunk % norm->cb, part = (int)chunk / norm->cb;
    struct bn bn = bn_of(norm, block);
    vf sums[2] = {{0}};
    for (int s = norm->n * part / norm->parts; s < norm->n * (part + 1) / norm->parts; s++) {
        size_t at = plane_at(norm, s, block);
        vf plane[2] = {{0}};
        LN_K(bn_dots)(&bn, norm->x + at, norm->y ? norm->y + at : NULL, norm->dy + at, keeps(norm) ? norm->to + at : NULL, norm->hw, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    if (norm->parts > 1) {
        store(norm->sums[chunk][0], sums[0]);
        store(norm->sums[chunk][1], sums[1]);
        return;
    }
    struct bn_slope slope = bn_slope_of(&bn, norm->count, norm->frozen, sums, norm->dgamma + block * LN_V, norm->dbeta + block * LN_V);
    for (int s = norm->n - 1; s >= 0; s--)
        grad_plane(norm, &bn, &slope, plane_at(norm, s, block));
}

void LN_K(norm_grad)(int n, int c, int hw, const float *x, const float *y, const float *dy, const float *mean, const float *var, const float *gamma,
                     const float *beta, float eps, enum ln__act act, bool frozen, float *dx, bool add, float *dresidual, bool add_residual,
                     float *dgamma, float *dbeta, struct ln__pool *pool)
{
    struct norm norm = {.n = n, .c = c, .hw = hw, .x = x, .y = y, .dy = dy, .mean = mean, .var = var, .gamma = gamma, .beta = beta, .eps = eps};
    norm.act = act;
    norm.frozen = frozen;
    norm.add = add;
    norm.add_residual = add_residual;
    norm.to = dx;
    norm.dresidual = dresidual;
    norm.dgamma = dgamma;
    norm.dbeta = dbeta;
    cut(&norm);
    ln__pool_for(pool, (size_t)(norm.cb * norm.parts), dots_chunk, &norm);
    if (norm.parts == 1)
        return;
    for (int block = 0; block < norm.cb; block++) {
        struct bn bn = bn_of(&norm, block);
        vf sums[2];
        total(&norm, block, sums);
        bn_slope_of(&bn, norm.count, frozen, sums, dgamma + block * LN_V, dbeta + block * LN_V);
    }
    struct planes planes = {.n = n, .c = c, .hw = hw, .more = &norm, .run = grad_planes};
    planes_for(&planes, pool);
}
