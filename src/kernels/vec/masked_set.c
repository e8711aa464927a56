/* The masked set of these instructions: SWAT on the dense set's layout and kernels. The list is the masked weights, and behind them how many each
 * chunk of them kept; linear layers have none, but mask as they go. */
#include "kernels/vec/masked.h"
#include "kernels/vec/sparse_vec.h"

#define SET LN__JOIN(ln__masked_kset_, LN_ISA)
extern const struct ln__sparse_kset SET;
extern const struct ln__kset LN__JOIN(ln__kset_, LN_ISA);

static bool usable(void)
{
    return LN__JOIN(ln__kset_, LN_ISA).usable();
}

/* ---- the dense part: the dense set's, but for convolutions that are linear layers ---- */

static bool is_linear(const struct ln__conv *conv)
{
    return ln__sparse_whole(conv) && conv->groups == 1;
}

static struct ln__linear linear_of(const struct ln__conv *conv)
{
    return (struct ln__linear){conv->ci, conv->hi, conv->wi, conv->co};
}

static size_t LN_KM(conv_weights)(const struct ln__conv *conv)
{
    struct ln__linear linear = linear_of(conv);
    return is_linear(conv) ? LN_K(linear_weights)(&linear) : LN_K(conv_weights)(conv);
}

static void LN_KM(conv_pack)(const struct ln__conv *conv, const float *canonical, float *w)
{
    struct ln__linear linear = linear_of(conv);
    if (is_linear(conv))
        LN_K(linear_pack)(&linear, canonical, w);
    else
        LN_K(conv_pack)(conv, canonical, w);
}

static void LN_KM(conv_unpack)(const struct ln__conv *conv, const float *w, float *canonical)
{
    struct ln__linear linear = linear_of(conv);
    if (is_linear(conv))
        LN_K(linear_unpack)(&linear, w, canonical);
    else
        LN_K(conv_unpack)(conv, w, canonical);
}

static const char *LN_KM(conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass)
{
    return is_linear(conv) ? "linear" : LN_K(conv_algorithm)(conv, pass);
}

static size_t LN_KM(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    struct ln__linear linear = linear_of(conv);
    return is_linear(conv) ? LN_K(linear_scratch)(&linear, pass, n, width) : LN_K(conv_scratch)(conv, pass, n, width);
}

static void LN_KM(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                                struct ln__pool *pool)
{
    struct ln__linear linear = linear_of(conv);
    if (is_linear(conv))
        LN_K(linear_forward)(&linear, n, x, w, bias, y, scratch, pool);
    else
        LN_K(conv_forward)(conv, n, x, w, bias, y, scratch, pool);
}

static void LN_KM(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                                   struct ln__pool *pool)
{
    struct ln__linear linear = linear_of(conv);
    if (is_linear(conv))
        LN_K(linear_backward)(&linear, n, NULL, dy, w, dx, add, NULL, NULL, NULL, scratch, pool);
    else
        LN_K(conv_input_grad)(conv, n, dy, w, dx, add, scratch, pool);
}

static void LN_KM(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                                    struct ln__pool *pool)
{
    struct ln__linear linear = linear_of(conv);
    if (is_linear(conv))
        LN_K(linear_backward)(&linear, n, x, dy, NULL, NULL, false, dw, dbias, NULL, scratch, pool);
    else
        LN_K(conv_weight_grad)(conv, n, x, dy, dw, dbias, scratch, pool);
}

/* ---- masks ---- */

#define CHUNK 16384

struct masking {
    size_t size;
    const float *x;
    float threshold, *to;
    uint32_t *kept; /* of each chunk */
};

static size_t chunks_of(size_t size)
{
    return (size + CHUNK - 1) / CHUNK;
}

/* Floats of a masked copy and its counts. */
static size_t copy_floats(size_t size)
{
    return round_up(size, 16) + round_up(chunks_of(size), 16);
}

/* Buffers are whole vectors. A NaN is kept. */
static void mask_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct masking *m = context;
    (void)worker;
    size_t end = least(m->size, (chunk + 1) * CHUNK);
    vf threshold = vf_set(m->threshold);
    vi kept = {0};
    for (size_t i = chunk * CHUNK; i < end; i += LN_V) {
        vf v = *(const vf *)(m->x + i);
        vi keep = ~(vi)(vf_abs(v) < threshold);
        *(vf *)(m->to + i) = vf_and(v, keep);
        kept -= keep;
    }
    uint32_t count = 0;
    for (int i = 0; i < LN_V; i++)
        count += (uint32_t)kept[i];
    m->kept[chunk] = count;
}

/* Returns how many were kept; zeros, the padding among them, never are. */
static size_t mask(size_t size, const float *x, float threshold, float *to, struct ln__pool *pool)
{
    struct masking m = {size, x, threshold < SPARSE_TINY ? SPARSE_TINY : threshold, to, (uint32_t *)(void *)(to + round_up(size, 16))};
    size_t kept = 0;
    ln__pool_for(pool, chunks_of(size), mask_chunk, &m);
    for (size_t i = 0; i < chunks_of(size); i++)
        kept += m.kept[i];
    return kept;
}

static size_t inputs_of(const struct ln__conv *conv, int n)
{
    return (size_t)n * (size_t)(ln__blocks(conv->ci, LN_V) * LN_V) * (size_t)(conv->hi * conv->wi);
}

/* Linear layers of few input channels, whose features lie otherwise, take the copy. */
static bool masks_as_it_goes(const struct ln__conv *conv)
{
    return is_linear(conv) && conv->ci >= LN_V;
}

static size_t LN_KM(list_bytes)(const struct ln__conv *conv, int n, size_t cap)
{
    (void)n, (void)cap;
    return masks_as_it_goes(conv) ? 64 : copy_floats(LN_KM(conv_weights)(conv)) * sizeof(float);
}

static size_t LN_KM(compact)(const struct ln__conv *conv, int n, const float *w, float threshold, size_t cap, void *list, struct ln__pool *pool)
{
    (void)n, (void)cap;
    return masks_as_it_goes(conv) ? LN__SPARSE_UNCOUNTED : mask(LN_KM(conv_weights)(conv), w, threshold, list, pool);
}

static size_t LN_KM(scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    struct ln__linear linear = linear_of(conv);
    size_t dense = LN_KM(conv_scratch)(conv, pass, n, width);
    if (pass == LN__WEIGHT_GRAD)
        return copy_floats(inputs_of(conv, n)) + dense;
    size_t own = masks_as_it_goes(conv) ? LN_KM(linear_scratch)(&linear, pass, n, width) : 0;
    return own > dense ? own : dense;
}

/* Weights that are masked already, all of whose non-zeros are kept, are not masked again. */
static bool is_masked(float threshold)
{
    return threshold <= SPARSE_TINY;
}

static void LN_KM(forward)(const struct ln__conv *conv, int n, const float *x, const float *w, float threshold, const void *list, const float *bias,
                           float *y, float *scratch, struct ln__pool *pool)
{
    struct ln__linear linear = linear_of(conv);
    if (masks_as_it_goes(conv) && !is_masked(threshold))
        LN_KM(linear_forward)(&linear, n, x, w, threshold, bias, y, scratch, pool);
    else
        LN_KM(conv_forward)(conv, n, x, is_masked(threshold) ? w : list, bias, y, scratch, pool);
}

static void LN_KM(input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float threshold, const void *list, float *dx,
                              bool add, float *scratch, struct ln__pool *pool)
{
    struct ln__linear linear = linear_of(conv);
    if (masks_as_it_goes(conv) && !is_masked(threshold))
        LN_KM(linear_input_grad)(&linear, n, dy, w, threshold, dx, add, scratch, pool);
    else
        LN_KM(conv_input_grad)(conv, n, dy, is_masked(threshold) ? w : list, dx, add, scratch, pool);
}

static size_t LN_KM(weight_grad)(const struct ln__conv *conv, int n, const float *x, float threshold, const float *dy, float *dw, float *dbias,
                                 float *scratch, struct ln__pool *pool)
{
    size_t size = inputs_of(conv, n), kept = mask(size, x, threshold, scratch, pool);
    LN_KM(conv_weight_grad)(conv, n, scratch, dy, dw, dbias, scratch + copy_floats(size), pool);
    return kept;
}

/* ---- the set ---- */

#define OWN(op) .op = LN_KM(op),
#define SAME(op) .op = LN_K(op),
const struct ln__sparse_kset SET = {
    .dense = {.name = "masked-" LN__TEXT(LN_ISA), .lanes = LN_V, .usable = usable, LN__PRODUCTS(OWN) LN__CONV_WEIGHTS(OWN) LN__COMMON(SAME)},
    .masked = true,
    .topk_scratch = LN_KS(topk_scratch),
    .topk = LN_KS(topk),
    .list_bytes = LN_KM(list_bytes),
    .compact = LN_KM(compact),
    .scratch = LN_KM(scratch),
    .forward = LN_KM(forward),
    .input_grad = LN_KM(input_grad),
    .weight_grad = LN_KM(weight_grad)};
