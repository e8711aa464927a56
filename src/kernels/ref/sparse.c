/* SWAT as its definition says, on NCHW: mask, then the plain convolution. Also the list of sparse sets and the counts that all of them share. */
#include "kernels/sparse.h"
#include "kernels/ref/ref.h"
#include <math.h>
#include <string.h>

extern const struct ln__sparse_kset ln__sparse_kset_ref, ln__masked_kset_ref;

static uint32_t magnitude(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static size_t topk_scratch(size_t size, unsigned width)
{
    (void)size, (void)width;
    return 0;
}

static size_t at_least(size_t size, const float *x, uint32_t bits)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += magnitude(x[i]) >= bits;
    return count;
}

/* Magnitudes order as their bits do: the largest threshold that keeps enough, bit by bit. */
static bool topk(size_t size, const float *x, size_t keep, float *threshold, float *scratch, struct ln__pool *pool)
{
    (void)scratch, (void)pool;
    bool finite = at_least(size, x, 0x7f800000) == 0;
    uint32_t bits = 0;
    for (uint32_t bit = 1U << 30; bit > 0; bit >>= 1) {
        if (at_least(size, x, bits | bit) >= keep)
            bits |= bit;
    }
    if (keep == 0)
        bits = 0x7f800000;
    if (bits == 0)
        bits = 1;
    memcpy(threshold, &bits, sizeof bits);
    return finite;
}

static bool keeps(float x, float threshold)
{
    return !(fabsf(x) < threshold);
}

static size_t list_bytes(const struct ln__conv *conv, int n, size_t cap)
{
    (void)conv, (void)n, (void)cap;
    return 64;
}

static size_t compact(const struct ln__conv *conv, int n, const float *w, float threshold, size_t cap, void *list, struct ln__pool *pool)
{
    (void)n, (void)cap, (void)list, (void)pool;
    size_t kept = 0;
    for (size_t i = 0; i < LN_K(conv_weights)(conv); i++)
        kept += w[i] != 0 && keeps(w[i], threshold);
    return kept;
}

static size_t scratch(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    (void)width;
    return pass == LN__WEIGHT_GRAD ? (size_t)n * (size_t)(conv->ci * conv->hi * conv->wi) : LN_K(conv_weights)(conv);
}

static size_t mask(size_t size, const float *x, float threshold, float *to)
{
    size_t kept = 0;
    for (size_t i = 0; i < size; i++) {
        to[i] = keeps(x[i], threshold) ? x[i] : 0;
        kept += keeps(x[i], threshold);
    }
    return kept;
}

static void forward(const struct ln__conv *conv, int n, const float *x, const float *w, float threshold, const void *list, const float *bias,
                    float *y, float *room, struct ln__pool *pool)
{
    (void)list;
    mask(LN_K(conv_weights)(conv), w, threshold, room);
    LN_K(conv_forward)(conv, n, x, room, bias, y, NULL, pool);
}

static void input_grad(const struct ln__conv *conv, int n, const float *dy, const float *w, float threshold, const void *list, float *dx, bool add,
                       float *room, struct ln__pool *pool)
{
    (void)list;
    mask(LN_K(conv_weights)(conv), w, threshold, room);
    LN_K(conv_input_grad)(conv, n, dy, room, dx, add, NULL, pool);
}

static size_t weight_grad(const struct ln__conv *conv, int n, const float *x, float threshold, const float *dy, float *dw, float *dbias, float *room,
                          struct ln__pool *pool)
{
    size_t kept = mask((size_t)n * (size_t)(conv->ci * conv->hi * conv->wi), x, threshold, room);
    LN_K(conv_weight_grad)(conv, n, room, dy, dw, dbias, NULL, pool);
    return kept;
}

static bool usable(void)
{
    return true;
}

/* The reference masks in both; here a convolution's weights and those of the same as a linear layer lie alike. */
#define ROW(op) .op = LN_K(op),
#define REFERENCE(title, is_masked)                                                                                                                  \
    {                                                                                                                                                \
        .dense = {.name = (title), .lanes = LN_V, .usable = usable, LN__OPS(ROW)}, .masked = (is_masked), .topk_scratch = topk_scratch,              \
        .topk = topk, .list_bytes = list_bytes, .compact = compact, .scratch = scratch, .forward = forward, .input_grad = input_grad,                \
        .weight_grad = weight_grad                                                                                                                   \
    }
const struct ln__sparse_kset ln__sparse_kset_ref = REFERENCE("sparse-ref", false);
const struct ln__sparse_kset ln__masked_kset_ref = REFERENCE("masked-ref", true);

#ifdef LN_HAVE_avx512
extern const struct ln__sparse_kset ln__sparse_kset_avx512, ln__masked_kset_avx512;
#endif
#ifdef LN_HAVE_avx2
extern const struct ln__sparse_kset ln__sparse_kset_avx2, ln__masked_kset_avx2;
#endif
#ifdef LN_HAVE_neon
extern const struct ln__sparse_kset ln__sparse_kset_neon, ln__masked_kset_neon;
#endif

static const struct ln__sparse_kset *const sets[] = {
#ifdef LN_HAVE_avx512
    &ln__sparse_kset_avx512, &ln__masked_kset_avx512,
#endif
#ifdef LN_HAVE_avx2
    &ln__sparse_kset_avx2,   &ln__masked_kset_avx2,
#endif
#ifdef LN_HAVE_neon
    &ln__sparse_kset_neon,   &ln__masked_kset_neon,
#endif
    &ln__masked_kset_ref,    &ln__sparse_kset_ref,
};

const struct ln__sparse_kset *const *ln__sparse_kset_list(size_t *count)
{
    *count = sizeof sets / sizeof sets[0];
    return sets;
}

const struct ln__sparse_kset *ln__sparse_kset_best(void)
{
    const struct ln__sparse_kset *const *set = sets;
    while (!(*set)->dense.usable())
        set++;
    return *set;
}

const struct ln__sparse_kset *ln__sparse_kset_named(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if (strcmp(sets[i]->dense.name, name) == 0)
            return sets[i]->dense.usable() ? sets[i] : NULL;
    }
    return NULL;
}

size_t ln__sparse_keep(size_t count, double sparsity)
{
    double keep = ceil((1 - sparsity) * (double)count - 1e-9 * (double)count);
    return keep < 0 ? 0 : keep > (double)count ? count : (size_t)keep;
}

size_t ln__sparse_cap(size_t count, size_t keep)
{
    size_t cap = keep + keep / 4 + 64, most = (size_t)((double)count * (1 - LN__SPARSE_BREAK_EVEN));
    return cap < most ? cap : most;
}
