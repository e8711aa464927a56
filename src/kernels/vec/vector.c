/* Loss, optimiser updates, the fold and the conversions of codecs. Rounding to 64-bit integers and half precision have no form in vector
 * extensions: there are intrinsics where the instruction set has them, and plain C elsewhere. */
#include "kernels/vec/vec.h"
#include <math.h>
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__AVX2__)
#include <immintrin.h>
#endif

double LN_K(softmax_loss)(int n, int classes, const float *logits, const int32_t *label, float *dlogits, int *correct)
{
    int stride = ln__blocks(classes, LN_V) * LN_V;
    double total = 0;
    *correct = 0;
    for (int s = 0; s < n; s++, logits += stride) {
        int best = 0;
        for (int k = 1; k < classes; k++)
            best = logits[k] > logits[best] ? k : best;
        double sum = 0, top = (double)logits[best];
        for (int k = 0; k < classes; k++)
            sum += exp((double)logits[k] - top);
        total += log(sum) + top - (double)logits[label[s]];
        *correct += best == label[s];
        for (int k = 0; dlogits && k < stride; k++)
            dlogits[s * stride + k] = k < classes ? (float)((exp((double)logits[k] - top) / sum - (k == label[s])) / n) : 0;
    }
    return total;
}

INLINE void sgd_loop(const struct ln__sgd *sgd, const bool nesterov, const float *g, float *w, float *m, size_t count)
{
    float lr = sgd->lr, momentum = sgd->momentum, decay = sgd->weight_decay;
    size_t i = 0;
    for (; i + LN_V <= count; i += LN_V) {
        vf at = *(vfu *)(w + i), d = *(const vfu *)(g + i) + decay * at;
        if (m) {
            vf next = momentum * *(vfu *)(m + i) + d;
            *(vfu *)(m + i) = next;
            d = nesterov ? d + momentum * next : next;
        }
        *(vfu *)(w + i) = at - lr * d;
    }
    for (; i < count; i++) {
        float d = g[i] + decay * w[i];
        if (m) {
            m[i] = momentum * m[i] + d;
            d = nesterov ? d + momentum * m[i] : m[i];
        }
        w[i] -= lr * d;
    }
}

static void sgd_span(const struct spans *spans, size_t first, size_t count)
{
    const struct ln__sgd *sgd = spans->more;
    if (sgd->nesterov)
        sgd_loop(sgd, true, spans->a + first, spans->y + first, spans->m ? spans->m + first : NULL, count);
    else
        sgd_loop(sgd, false, spans->a + first, spans->y + first, spans->m ? spans->m + first : NULL, count);
}

void LN_K(sgd)(size_t size, const struct ln__sgd *sgd, const float *g, float *w, float *m, struct ln__pool *pool)
{
    struct spans spans = {.size = size, .a = g, .y = w, .m = m, .more = sgd, .run = sgd_span};
    spans_for(&spans, pool);
}

struct adam {
    const struct ln__adam *adam;
    float rate, root;
};

static void adam_span(const struct spans *spans, size_t first, size_t count)
{
    const struct adam *a = spans->more;
    float beta1 = a->adam->beta1, beta2 = a->adam->beta2, decay = a->adam->weight_decay, eps = a->adam->eps;
    size_t i = first, end = first + count;
    for (; i + LN_V <= end; i += LN_V) {
        vf w = *(vfu *)(spans->y + i), d = *(const vfu *)(spans->a + i) + decay * w;
        vf m = beta1 * *(vfu *)(spans->m + i) + (1 - beta1) * d, v = beta2 * *(vfu *)(spans->v + i) + (1 - beta2) * d * d;
        *(vfu *)(spans->m + i) = m;
        *(vfu *)(spans->v + i) = v;
        *(vfu *)(spans->y + i) = w - a->rate * m / (vsqrt(v) * a->root + eps);
    }
    for (; i < end; i++) {
        float d = spans->a[i] + decay * spans->y[i];
        spans->m[i] = beta1 * spans->m[i] + (1 - beta1) * d;
        spans->v[i] = beta2 * spans->v[i] + (1 - beta2) * d * d;
        spans->y[i] -= a->rate * spans->m[i] / (sqrtf(spans->v[i]) * a->root + eps);
    }
}

void LN_K(adam)(size_t size, const struct ln__adam *adam, const float *g, float *w, float *m, float *v, struct ln__pool *pool)
{
    double fix1 = 1 - pow((double)adam->beta1, (double)adam->step), fix2 = 1 - pow((double)adam->beta2, (double)adam->step);
    struct adam more = {adam, (float)((double)adam->lr / fix1), (float)(1 / sqrt(fix2))};
    struct spans spans = {.size = size, .a = g, .y = w, .m = m, .v = v, .more = &more, .run = adam_span};
    spans_for(&spans, pool);
}

static void proximal_span(const struct spans *spans, size_t first, size_t count)
{
    float mu = *(const float *)spans->more;
    for (size_t i = first; i < first + count; i++)
        spans->y[i] += mu * (spans->a[i] - spans->b[i]);
}

void LN_K(proximal)(size_t size, float mu, const float *w, const float *anchor, float *g, struct ln__pool *pool)
{
    struct spans spans = {.size = size, .a = w, .b = anchor, .y = g, .more = &mu, .run = proximal_span};
    spans_for(&spans, pool);
}

/* Largest magnitude by its bits: as an integer, NaN is above infinity is above every finite number. */
struct most {
    const float *x;
    size_t size;
    uint32_t bits[64];
};

static void most_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    struct most *most = context;
    size_t first = most->size / LN_V * chunk / 64 * LN_V, end = chunk == 63 ? most->size : most->size / LN_V * (chunk + 1) / 64 * LN_V, i = first;
    vi top = {0};
    for (; i + LN_V <= end; i += LN_V) {
        vi bits = (vi) * (const vfu *)(most->x + i) & 0x7fffffff, more = bits > top;
        top = (more & bits) | (~more & top);
    }
    uint32_t best = 0;
    for (int l = 0; l < LN_V; l++)
        best = (uint32_t)top[l] > best ? (uint32_t)top[l] : best;
    for (; i < end; i++) {
        uint32_t bits;
        memcpy(&bits, most->x + i, sizeof bits);
        bits &= 0x7fffffff;
        best = bits > best ? bits : best;
    }
    most->bits[chunk] = best;
}

static uint32_t most_bits(size_t size, const float *x, struct ln__pool *pool)
{
    struct most most = {.x = x, .size = size};
    ln__pool_for(pool, 64, most_chunk, &most);
    uint32_t best = 0;
    for (int i = 0; i < 64; i++)
        best = most.bits[i] > best ? most.bits[i] : best;
    return best;
}

bool LN_K(fold_check)(size_t size, const float *x, float limit, struct ln__pool *pool)
{
    uint32_t bits = most_bits(size, x, pool);
    float value;
    memcpy(&value, &bits, sizeof value);
    return bits < 0x7f800000 && value <= limit;
}

float LN_K(max_abs)(size_t size, const float *x, struct ln__pool *pool)
{
    uint32_t bits = most_bits(size, x, pool);
    float value;
    memcpy(&value, &bits, sizeof value);
    return bits > 0x7f800000 ? INFINITY : value;
}

struct fold {
    const float *x;
    float *y;
    const int64_t *from;
    int64_t *sum;
    double scale;
};

static void fold_add_span(const struct spans *spans, size_t first, size_t count)
{
    const struct fold *fold = spans->more;
    const float *x = fold->x + first;
    int64_t *sum = fold->sum + first;
    size_t i = 0;
#if defined(__AVX512DQ__)
    for (; i + 8 <= count; i += 8) {
        __m512d v = _mm512_mul_pd(_mm512_cvtps_pd(_mm256_loadu_ps(x + i)), _mm512_set1_pd(fold->scale));
        _mm512_storeu_si512(sum + i, _mm512_add_epi64(_mm512_loadu_si512(sum + i), _mm512_cvtpd_epi64(v)));
    }
#elif defined(__AVX2__)
    /* |v| < 2^51: adding 1.5 * 2^52 leaves the rounded integer in the low bits. Larger ones go one by one. */
    const __m256d magic = _mm256_set1_pd(6755399441055744.0), bound = _mm256_set1_pd(2251799813685248.0);
    for (; i + 4 <= count; i += 4) {
        __m256d v = _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i)), _mm256_set1_pd(fold->scale));
        __m256d size = _mm256_andnot_pd(_mm256_set1_pd(-0.0), v);
        if (_mm256_movemask_pd(_mm256_cmp_pd(size, bound, _CMP_LT_OQ)) == 15) {
            __m256i q = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(v, magic)), _mm256_castpd_si256(magic));
            __m256i *at = (__m256i *)(sum + i);
            _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), q));
        } else {
            for (size_t j = i; j < i + 4; j++)
                sum[j] += (int64_t)rint((double)x[j] * fold->scale);
        }
    }
#elif defined(__aarch64__)
    for (; i + 2 <= count; i += 2) {
        float64x2_t v = vmulq_n_f64(vcvt_f64_f32(vld1_f32(x + i)), fold->scale);
        vst1q_s64(sum + i, vaddq_s64(vld1q_s64(sum + i), vcvtnq_s64_f64(v)));
    }
#endif
    for (; i < count; i++)
        sum[i] += (int64_t)rint((double)x[i] * fold->scale);
}

void LN_K(fold_add)(size_t size, const float *x, double scale, int64_t *sum, struct ln__pool *pool)
{
    struct fold fold = {.x = x, .sum = sum, .scale = scale};
    struct spans spans = {.size = size, .more = &fold, .run = fold_add_span};
    spans_for(&spans, pool);
}

static void fold_read_span(const struct spans *spans, size_t first, size_t count)
{
    const struct fold *fold = spans->more;
    for (size_t i = first; i < first + count; i++)
        fold->y[i] = (float)((double)fold->from[i] * fold->scale);
}

void LN_K(fold_read)(size_t size, const int64_t *sum, double scale, float *y, struct ln__pool *pool)
{
    struct fold fold = {.from = sum, .y = y, .scale = scale};
    struct spans spans = {.size = size, .more = &fold, .run = fold_read_span};
    spans_for(&spans, pool);
}

/* IEEE 754 binary16, ties to even; overflow becomes infinite, NaN stays NaN (quiet). */
static uint16_t half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    if (rest >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) {
        float small;
        memcpy(&small, &rest, sizeof small);
        return (uint16_t)(sign | (uint32_t)rintf(small * 16777216.0F));
    }
    return (uint16_t)(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}

static float whole(uint16_t value)
{
    uint32_t sign = (uint32_t)(value & 0x8000) << 16, rest = value & 0x7fff, bits;
    if (rest >= 0x7c00)
        bits = sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 0x400000 : 0);
    else if (rest >= 0x400)
        bits = sign | ((rest << 13) + 0x38000000);
    else {
        float small = (float)rest / 16777216.0F;
        memcpy(&bits, &small, sizeof bits);
        bits |= sign;
    }
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

struct halves {
    const uint16_t *from;
    uint16_t *to;
};

static void to_f16_span(const struct spans *spans, size_t first, size_t count)
{
    const struct halves *halves = spans->more;
    const float *x = spans->a + first;
    uint16_t *to = halves->to + first;
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
    for (; i + 4 <= count; i += 4)
        vst1_u16(to + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
#endif
    for (; i < count; i++)
        to[i] = half(x[i]);
}

void LN_K(to_f16)(size_t size, const float *x, uint16_t *y, struct ln__pool *pool)
{
    struct halves halves = {.to = y};
    struct spans spans = {.size = size, .a = x, .more = &halves, .run = to_f16_span};
    spans_for(&spans, pool);
}

static void from_f16_span(const struct spans *spans, size_t first, size_t count)
{
    const struct halves *halves = spans->more;
    const uint16_t *from = halves->from + first;
    float *y = spans->y + first;
    size_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#elif defined(__aarch64__)
    for (; i + 4 <= count; i += 4)
        vst1q_f32(y + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from + i))));
#endif
    for (; i < count; i++)
        y[i] = whole(from[i]);
}

void LN_K(from_f16)(size_t size, const uint16_t *x, float *y, struct ln__pool *pool)
{
    struct halves halves = {.from = x};
    struct spans spans = {.size = size, .y = y, .more = &halves, .run = from_f16_span};
    spans_for(&spans, pool);
}

double LN_K(peak)(size_t rounds, float *out)
{
    vf sum[12], half = set1(0.5F), one = set1(1.0F);
    UNROLL for (int i = 0; i < 12; i++) sum[i] = set1((float)i);
    for (size_t r = 0; r < rounds; r++) {
        UNROLL for (int i = 0; i < 12; i++) sum[i] = sum[i] * half + one;
    }
    for (int i = 1; i < 12; i++)
        sum[0] += sum[i];
    *(vfu *)out = sum[0];
    return 2.0 * 12 * LN_V * (double)rounds;
}
