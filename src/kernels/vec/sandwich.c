/* A depthwise convolution between two norms. Channels do not meet in it, so one chunk is one channel block over all samples, and what lies between,
 * normalised input and convolution, lives in the cache: backward makes both tensors anew from x. The second norm's sums must be there before its
 * gradient: the convolution's output of the block waits in scratch for them, or, where the cache could not hold it, is made once more, which costs
 * nine or 25 multiplies an output and spares it the way to memory and back. */
#include "kernels/vec/depthwise.h"
#include "kernels/vec/norm.h"

/* A worker's scratch. Forward: the convolution's output of all samples, a padded normalised plane. Backward: the output of all samples or of one, padded
 * planes (one, or those of all samples where making them anew costs more than reading them), one padded plane of gradients, a filter. */
#define OUT_KEPT (512 << 10) /* bytes of output that backward keeps: half of a usual second-level cache */

struct sandwich {
    struct depth forward, back;
    const struct ln__norm_of *norm; /* before, behind */
    bool fixed, whole;              /* whole: the output of all samples is in scratch */
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
    k.whole = !backward || (size_t)n * k.outer * sizeof(float) <= OUT_KEPT;
    k.padded_at = (k.whole ? (size_t)n : 1) * k.outer;
    k.back_at = k.padded_at + (backward ? (size_t)n : 1) * k.forward.pad_floats;
    k.turn_at = k.back_at + (backward ? k.back.pad_floats : 0);
    k.all = k.turn_at + (backward ? (size_t)(conv->kh * conv->kw) * LN_V : 0);
    return k;
}

size_t LN_K(sandwich_scratch)(const struct ln__conv *conv, bool backward, int n, unsigned width)
{
    size_t most = 0;
    for (int fewer = 1; fewer <= n; fewer++) { /* fewer samples may be kept whole where more are not */
        size_t all = sandwich_of(conv, fewer, backward).all;
        most = all > most ? all : most;
    }
    return most * width;
}

/* act(norm(x)) with zeros around it. */
static void pad_normed(const struct sandwich *k, const struct bn *bn, const float *x, float *to)
{
    const struct depth *d = &k->forward;
    int w = d->conv.wi, kept = min_int(w, d->pad_w - d->left);
    LN_K(depth_frame)(d, d->conv.hi, w, to);
    for (int y = max_int(0, d->top); y < d->pad_h && y - d->top < d->conv.hi; y++)
        LN_K(bn_apply)(bn, x + (size_t)((y - d->top) * w) * LN_V, NULL, to + (size_t)(y * d->pad_w + d->left) * LN_V, kept);
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

/* One chunk of backward, and where it is. */
struct back {
    const struct sandwich *k;
    struct bn before, behind;
    int block;
    float *out, *padded, *gradient, *turned;
};

/* The padded plane of a sample; anew: made, unless it was kept. */
static float *plane_of(const struct back *b, int sample, bool anew)
{
    const struct sandwich *k = b->k;
    bool kept = keeps_planes(b->before.act);
    float *to = b->padded + (kept ? (size_t)sample * k->forward.pad_floats : 0);
    if (anew || !kept)
        pad_normed(k, &b->before, k->x + sample_at(k, sample, b->block, k->inner), to);
    return to;
}

/* The convolution's output of a sample, from its padded plane; anew as above. */
static float *output_of(const struct back *b, int sample, const float *padded, bool anew)
{
    const struct sandwich *k = b->k;
    const struct depth *d = &k->forward;
    float *to = b->out + (k->whole ? (size_t)sample * k->outer : 0);
    if (anew || !k->whole)
        LN_K(depth_outputs)(d, padded, k->w + (size_t)(b->block * d->conv.kh * d->conv.kw) * LN_V, NULL, to);
    return to;
}

/* Sums of the norm behind. */
static void behind_sums(const struct back *b, vf sums[2])
{
    const struct sandwich *k = b->k;
    for (int s = 0; s < k->forward.n; s++) {
        vf plane[2] = {{0}};
        const float *y = output_of(b, s, plane_of(b, s, true), true);
        LN_K(bn_dots)(&b->behind, y, NULL, k->dy + sample_at(k, s, b->block, k->outer), NULL, (int)(k->outer / LN_V), plane);
        sums[0] += plane[0];
        sums[1] += plane[1];
    }
}

/* One sample's gradient of the convolution, and with it its parts of dw, of dx before the norm in front, and of that norm's sums. dx may be dy. */
static void sample_grad(const struct back *b, int sample, const struct bn_slope *slope, float *dw, vf sums[2])
{
    const struct sandwich *k = b->k;
    const struct depth *d = &k->forward;
    const float *padded = plane_of(b, sample, false), *x = k->x + sample_at(k, sample, b->block, k->inner);
    float *dx = k->dx + sample_at(k, sample, b->block, k->inner), *y = output_of(b, sample, padded, false);
    const struct bn_grad to = {.x = y, .dy = k->dy + sample_at(k, sample, b->block, k->outer), .dx = y};
    vf plane[2] = {{0}};
    LN_K(bn_grad)(&b->behind, slope, &to, (int)(k->outer / LN_V));
    LN_K(depth_taps)(d, padded, y, dw);
    LN_K(depth_pad)(&k->back, y, d->conv.ho, d->conv.wo, b->gradient);
    LN_K(depth_inputs)(&k->back, b->gradient, b->turned, dx);
    LN_K(bn_dots)(&b->before, x, NULL, dx, dx, (int)(k->inner / LN_V), plane);
    sums[0] += plane[0];
    sums[1] += plane[1];
}

static void grad_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct sandwich *k = context;
    const struct ln__norm_of *norm = k->norm;
    int block = (int)chunk, n = k->forward.n, inner = (int)(k->inner / LN_V), outer = (int)(k->outer / LN_V);
    size_t filter = (size_t)(k->forward.conv.kh * k->forward.conv.kw) * LN_V;
    float *out = k->scratch + worker * k->all, *dw = k->dw + (size_t)block * filter;
    struct back b = {k, bn_behind(&norm[0], block), bn_behind(&norm[1], block), block, out, out + k->padded_at, out + k->back_at, out + k->turn_at};
    vf sums[2] = {{0}};
    behind_sums(&b, sums);
    struct bn_slope slope = bn_slope_of(&b.behind, (float)n * (float)outer, false, sums, norm[1].dgamma + block * LN_V, norm[1].dbeta + block * LN_V);
    sums[0] = sums[1] = (vf){0};
    memset(dw, 0, filter * sizeof *dw);
    LN_K(depth_turn)(&k->back, k->w + (size_t)block * filter, b.turned);
    for (int s = n - 1; s >= 0; s--)
        sample_grad(&b, s, &slope, dw, sums);
    slope = bn_slope_of(&b.before, (float)n * (float)inner, false, sums, norm[0].dgamma + block * LN_V, norm[0].dbeta + block * LN_V);
    if (bn_keeps(b.before.act)) /* dx holds the gradient in front of the activation */
        b.before.act = LN__ACT_NONE;
    for (int s = 0; s < n; s++) {
        float *dx = k->dx + sample_at(k, s, block, k->inner);
        const struct bn_grad to = {.x = k->x + sample_at(k, s, block, k->inner), .dy = dx, .dx = dx};
        LN_K(bn_grad)(&b.before, &slope, &to, inner);
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
