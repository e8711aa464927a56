/* A depthwise convolution between two norms. Channels do not meet in it, so one chunk is one channel block over all samples: it is read from
 * memory once, and everything between, statistics, normalised input and convolution, lives in scratch that the second-level cache holds
 * where the block is small enough. Neither of the two tensors in between is ever in memory; backward makes them anew from x. */
#include "kernels/vec/depthwise.h"
#include "kernels/vec/norm.h"

/* A worker's scratch: the convolution's output of all samples, padded normalised planes (of one sample, or of all where making them anew costs more
 * than reading them), one padded plane of gradients, a filter. */
struct sandwich {
    struct depth forward, back;
    const struct ln__norm_of *norm; /* before, behind */
    bool fixed;
    const float *x, *w, *dy;
    float *y, *dx, *dw, *scratch;
    size_t inner, outer;                     /* floats of a plane in front of and behind the convolution */
    size_t padded_at, back_at, turn_at, all; /* floats of scratch before the outputs (0), the padded planes, the gradients, the filter; in all */
};

/* Whether backward keeps the planes behind a norm with this activation. */
static bool keeps_planes(enum ln__act act)
{
    return act == LN__ACT_SILU;
}

static struct sandwich sandwich_of(const struct ln__conv *conv, int n, bool backward)
{
    struct sandwich k = {.forward = LN_K(depth_forward_of)(conv, n), .back = LN_K(depth_back_of)(conv, n)};
    k.inner = (size_t)(conv->hi * conv->wi) * LN_V;
    k.outer = (size_t)(conv->ho * conv->wo) * LN_V;
    k.padded_at = (size_t)n * k.outer;
    k.back_at = k.padded_at + (backward ? (size_t)n : 1) * k.forward.pad_floats;
    k.turn_at = k.back_at + (backward ? k.back.pad_floats : 0);
    k.all = k.turn_at + (backward ? (size_t)(conv->kh * conv->kw) * LN_V : 0);
    return k;
}

size_t LN_K(sandwich_scratch)(const struct ln__conv *conv, bool backward, int n, unsigned width)
{
    return sandwich_of(conv, n, backward).all * width;
}

/* act(norm(x)) with zeros around it; line by line, while it is in the first-level cache. */
static void pad_normed(const struct sandwich *k, const struct bn *bn, const float *x, float *to)
{
    const struct depth *d = &k->forward;
    int w = d->conv.wi, kept = min_int(w, d->pad_w - d->left);
    LN_K(depth_pad)(d, x, d->conv.hi, w, to);
    for (int y = max_int(0, d->top); y < d->pad_h && y - d->top < d->conv.hi; y++) {
        float *row = to + (size_t)(y * d->pad_w + d->left) * LN_V;
        LN_K(bn_apply)(bn, row, NULL, row, kept);
    }
}

INLINE struct bn bn_behind(const struct ln__norm_of *norm, int block)
{
    return bn_at(block, norm->mean, norm->var, norm->gamma, norm->beta, norm->eps, norm->act);
}

static size_t sample_at(const struct sandwich *k, int sample, int block, size_t plane)
{
    return ((size_t)sample * (size_t)k->forward.blocks + (size_t)block) * plane;
}

static void find_input_stats(const struct sandwich *k, int block)
{
    vf shift = load(k->x + sample_at(k, 0, block, k->inner)), sums[2] = {{0}};
    int hw = (int)(k->inner / LN_V), n = k->forward.n;
    for (int s = 0; s < n; s++) {
        vf plane[2] = {{0}};
        LN_K(bn_moments)(k->x + sample_at(k, s, block, k->inner), hw, &shift, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    bn_finish((float)n * (float)hw, shift, sums, k->norm[0].mean + block * LN_V, k->norm[0].var + block * LN_V);
}

static void forward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct sandwich *k = context;
    const struct depth *d = &k->forward;
    int block = (int)chunk, n = d->n, hw = (int)(k->outer / LN_V);
    float *out = k->scratch + worker * k->all, *padded = out + k->padded_at;
    if (!k->fixed)
        find_input_stats(k, block);
    struct bn before = bn_behind(&k->norm[0], block);
    vf shift = {0}, sums[2] = {{0}};
    for (int s = n - 1; s >= 0; s--) {
        float *y = out + (size_t)s * k->outer;
        vf plane[2] = {{0}};
        pad_normed(k, &before, k->x + sample_at(k, s, block, k->inner), padded);
        LN_K(depth_outputs)(d, padded, k->w + (size_t)(block * d->conv.kh * d->conv.kw) * LN_V, NULL, y);
        if (k->fixed)
            continue;
        shift = s == n - 1 ? load(y) : shift;
        LN_K(bn_moments)(y, hw, &shift, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    if (!k->fixed)
        bn_finish((float)n * (float)hw, shift, sums, k->norm[1].mean + block * LN_V, k->norm[1].var + block * LN_V);
    struct bn behind = bn_behind(&k->norm[1], block);
    for (int s = 0; s < n; s++)
        LN_K(bn_apply)(&behind, out + (size_t)s * k->outer, NULL, k->y + sample_at(k, s, block, k->outer), hw);
}

void LN_K(sandwich_forward)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], bool fixed, const float *w,
                            float *y, float *scratch, struct ln__pool *pool)
{
    struct sandwich k = sandwich_of(conv, n, false);
    k.norm = norm;
    k.fixed = fixed;
    k.x = x;
    k.w = w;
    k.y = y;
    k.scratch = scratch;
    ln__pool_for(pool, (size_t)k.forward.blocks, forward_chunk, &k);
}

/* The second norm's gradient, block by block: both tensors made anew, then the gradient of the convolution's output in its place. */
static void behind_grad(const struct sandwich *k, int block, float *out, float *padded)
{
    const struct depth *d = &k->forward;
    const struct ln__norm_of *norm = k->norm;
    struct bn before = bn_behind(&norm[0], block), behind = bn_behind(&norm[1], block);
    int n = d->n, hw = (int)(k->outer / LN_V);
    vf sums[2] = {{0}};
    for (int s = 0; s < n; s++) {
        float *to = padded + (keeps_planes(before.act) ? (size_t)s * d->pad_floats : 0), *y = out + (size_t)s * k->outer;
        vf plane[2] = {{0}};
        pad_normed(k, &before, k->x + sample_at(k, s, block, k->inner), to);
        LN_K(depth_outputs)(d, to, k->w + (size_t)(block * d->conv.kh * d->conv.kw) * LN_V, NULL, y);
        LN_K(bn_dots)(&behind, y, NULL, k->dy + sample_at(k, s, block, k->outer), NULL, hw, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    struct bn_slope slope = bn_slope_of(&behind, (float)n * (float)hw, false, sums, norm[1].dgamma + block * LN_V, norm[1].dbeta + block * LN_V);
    for (int s = n - 1; s >= 0; s--) {
        float *y = out + (size_t)s * k->outer;
        const struct bn_grad to = {.x = y, .dy = k->dy + sample_at(k, s, block, k->outer), .dx = y};
        LN_K(bn_grad)(&behind, &slope, &to, hw);
    }
}

static void grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct sandwich *k = context;
    const struct depth *d = &k->forward;
    const struct ln__norm_of *norm = k->norm;
    int block = (int)chunk, n = d->n, hw = (int)(k->inner / LN_V);
    size_t filter = (size_t)(d->conv.kh * d->conv.kw) * LN_V;
    float *out = k->scratch + worker * k->all, *padded = out + k->padded_at, *back = out + k->back_at, *turned = out + k->turn_at;
    float *dw = k->dw + (size_t)block * filter;
    behind_grad(k, block, out, padded);
    struct bn before = bn_behind(&norm[0], block);
    vf sums[2] = {{0}};
    memset(dw, 0, filter * sizeof *dw);
    LN_K(depth_turn)(&k->back, k->w + (size_t)block * filter, turned);
    for (int s = 0; s < n; s++) {
        const float *x = k->x + sample_at(k, s, block, k->inner), *dy = out + (size_t)s * k->outer;
        float *dx = k->dx + sample_at(k, s, block, k->inner);
        vf plane[2] = {{0}};
        if (!keeps_planes(before.act))
            pad_normed(k, &before, x, padded);
        LN_K(depth_taps)(d, padded + (keeps_planes(before.act) ? (size_t)s * d->pad_floats : 0), dy, dw);
        LN_K(depth_pad)(&k->back, dy, d->conv.ho, d->conv.wo, back);
        LN_K(depth_inputs)(&k->back, back, turned, dx);
        LN_K(bn_dots)(&before, x, NULL, dx, dx, hw, plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
    struct bn_slope slope = bn_slope_of(&before, (float)n * (float)hw, false, sums, norm[0].dgamma + block * LN_V, norm[0].dbeta + block * LN_V);
    if (bn_keeps(before.act)) /* dx holds the gradient in front of the activation */
        before.act = LN__ACT_NONE;
    for (int s = n - 1; s >= 0; s--) {
        float *dx = k->dx + sample_at(k, s, block, k->inner);
        const struct bn_grad to = {.x = k->x + sample_at(k, s, block, k->inner), .dy = dx, .dx = dx};
        LN_K(bn_grad)(&before, &slope, &to, hw);
    }
}

void LN_K(sandwich_grad)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], const float *w, const float *dy,
                         float *dx, float *dw, float *scratch, struct ln__pool *pool)
{
    struct sandwich k = sandwich_of(conv, n, true);
    k.norm = norm;
    k.x = x;
    k.w = w;
    k.dy = dy;
    k.dx = dx;
    k.dw = dw;
    k.scratch = scratch;
    ln__pool_for(pool, (size_t)k.forward.blocks, grad_chunk, &k);
}
