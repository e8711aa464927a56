/* Batch normalisation on [c][n][h][w]: a channel is one run of n * hw floats, read from memory once and from cache after that. */
#include "kernels/vec/sparse_vec.h"
#include <math.h>

struct norm {
    size_t run;
    const float *x, *y, *dy, *gamma, *beta, *residual;
    float *mean, *var, eps;
    enum ln__act act;
    float *out, *dresidual, *dgamma, *dbeta;
    bool frozen, add, add_residual;
};

/* Sums are of what lies above the first value: a constant channel, as one all of whose weights rest, has that mean to the bit and no variance. */
static void stats(const float *x, size_t n, float *mean, float *var)
{
    vf sum[4] = {0}, above = vf_set(x[0]);
    size_t i = 0;
    for (; i + 4 * LN_V <= n; i += 4 * LN_V) {
        for (size_t j = 0; j < 4; j++)
            sum[j] += vf_load(x + i + j * LN_V) - above;
    }
    float total = vf_sum(sum[0] + sum[1] + (sum[2] + sum[3]));
    for (size_t j = i; j < n; j++)
        total += x[j] - x[0];
    float m = (float)((double)x[0] + (double)total / (double)n);
    vf centre = vf_set(m), square[4] = {0};
    for (i = 0; i + 4 * LN_V <= n; i += 4 * LN_V) {
        for (size_t j = 0; j < 4; j++) {
            vf d = vf_load(x + i + j * LN_V) - centre;
            square[j] += d * d;
        }
    }
    total = vf_sum(square[0] + square[1] + (square[2] + square[3]));
    for (; i < n; i++)
        total += (x[i] - m) * (x[i] - m);
    *mean = m;
    *var = (float)((double)total / (double)n);
}

LN_INLINE vf act_of(vf v, const enum ln__act act)
{
    vf zero = {0};
    if (act == LN__ACT_RELU || act == LN__ACT_RELU6)
        v = vf_pick((vi)(v <= zero), zero, v); /* NaN stays */
    if (act == LN__ACT_RELU6)
        v = vf_pick((vi)(v > vf_set(6)), vf_set(6), v);
    return v;
}

LN_INLINE void apply(const struct norm *k, size_t c, const enum ln__act act, const bool residual)
{
    float scale = (float)((double)k->gamma[c] / sqrt((double)k->var[c] + (double)k->eps));
    vf mean = vf_set(k->mean[c]), factor = vf_set(scale), beta = vf_set(k->beta[c]);
    const float *x = k->x + c * k->run, *r = residual ? k->residual + c * k->run : NULL;
    float *y = k->out + c * k->run;
    size_t i = 0;
    for (; i + LN_V <= k->run; i += LN_V) {
        vf v = (vf_load(x + i) - mean) * factor + beta;
        if (residual)
            v += vf_load(r + i);
        vf_store(y + i, act_of(v, act));
    }
    for (; i < k->run; i++) {
        vf v = vf_set((x[i] - k->mean[c]) * scale + k->beta[c] + (residual ? r[i] : 0));
        y[i] = act_of(v, act)[0];
    }
}

static void apply_channel(const struct norm *k, size_t c)
{
    if (k->act == LN__ACT_NONE && k->residual)
        apply(k, c, LN__ACT_NONE, true);
    else if (k->act == LN__ACT_NONE)
        apply(k, c, LN__ACT_NONE, false);
    else if (k->act == LN__ACT_RELU && k->residual)
        apply(k, c, LN__ACT_RELU, true);
    else if (k->act == LN__ACT_RELU)
        apply(k, c, LN__ACT_RELU, false);
    else if (k->residual)
        apply(k, c, LN__ACT_RELU6, true);
    else
        apply(k, c, LN__ACT_RELU6, false);
}

static void stats_chunk(void *context, size_t c, unsigned worker)
{
    const struct norm *k = context;
    (void)worker;
    stats(k->x + c * k->run, k->run, k->mean + c, k->var + c);
}

static void apply_chunk(void *context, size_t c, unsigned worker)
{
    (void)worker;
    apply_channel(context, c);
}

static void both_chunk(void *context, size_t c, unsigned worker)
{
    stats_chunk(context, c, worker);
    apply_channel(context, c);
}

/* mean and var are only read. */
static float *given(const float *x)
{
    return (float *)(uintptr_t)x;
}

void LN_KS(norm_apply)(int n, int c, int hw, const float *x, const float *mean, const float *var, const float *gamma, const float *beta, float eps,
                       enum ln__act act, const float *residual, float *y, struct ln__pool *pool)
{
    struct norm k = {.run = (size_t)n * (size_t)hw, .x = x, .gamma = gamma, .beta = beta, .residual = residual, .eps = eps, .act = act, .out = y};
    k.mean = given(mean);
    k.var = given(var);
    ln__pool_for(pool, (size_t)c, apply_chunk, &k);
}

void LN_KS(norm_forward)(int n, int c, int hw, const float *x, const float *gamma, const float *beta, float eps, enum ln__act act,
                         const float *residual, float *y, float *mean, float *var, struct ln__pool *pool)
{
    struct norm k = {.run = (size_t)n * (size_t)hw, .x = x, .gamma = gamma, .beta = beta, .residual = residual, .eps = eps, .act = act, .out = y};
    k.mean = mean;
    k.var = var;
    ln__pool_for(pool, (size_t)c, both_chunk, &k);
}

/* The gradient in front of the activation: it passes where the activation was not flat. */
LN_INLINE vf before(vf dy, vf y, const enum ln__act act)
{
    if (act == LN__ACT_RELU || act == LN__ACT_RELU6)
        dy = vf_and(dy, (vi)(y > (vf){0}));
    if (act == LN__ACT_RELU6)
        dy = vf_and(dy, (vi)(y < vf_set(6)));
    return dy;
}

LN_INLINE vf tail(const float *x, size_t count)
{
    vf v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = x[i];
    return v;
}

LN_INLINE void put(float *to, vf v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = v[i];
}

/* dx = a g + b + d (x - mean): the three factors of a channel. */
struct factors {
    float mean, a, b, d;
};

LN_INLINE void grad_sums(const struct norm *k, size_t c, const enum ln__act act, double *sum, double *dot)
{
    size_t at = c * k->run, n = k->run, i = 0;
    const float *x = k->x + at, *dy = k->dy + at, *y = act == LN__ACT_NONE ? dy : k->y + at;
    vf mean = vf_set(k->mean[c]), s[2] = {0}, t[2] = {0};
    for (; i + 2 * LN_V <= n; i += 2 * LN_V) {
        for (size_t j = 0; j < 2; j++) {
            vf g = before(vf_load(dy + i + j * LN_V), vf_load(y + i + j * LN_V), act);
            s[j] += g;
            t[j] += g * (vf_load(x + i + j * LN_V) - mean);
        }
    }
    for (; i < n; i += LN_V) {
        size_t count = least(LN_V, n - i);
        vf g = before(tail(dy + i, count), tail(y + i, count), act);
        s[0] += g;
        t[0] += g * (tail(x + i, count) - mean);
    }
    *sum = (double)vf_sum(s[0] + s[1]);
    *dot = (double)vf_sum(t[0] + t[1]);
}

LN_INLINE void grad_write(const struct norm *k, size_t c, const enum ln__act act, const struct factors *f, const bool residual, const bool add)
{
    size_t at = c * k->run, n = k->run, i = 0;
    const float *x = k->x + at, *dy = k->dy + at, *y = act == LN__ACT_NONE ? dy : k->y + at;
    float *dx = k->out + at, *dr = residual ? k->dresidual + at : NULL;
    vf mean = vf_set(f->mean), a = vf_set(f->a), b = vf_set(f->b), d = vf_set(f->d);
    for (; i + LN_V <= n; i += LN_V) {
        vf g = before(vf_load(dy + i), vf_load(y + i), act), out = a * g + (d * (vf_load(x + i) - mean) + b);
        vf_store(dx + i, add ? out + vf_load(dx + i) : out);
        if (residual)
            vf_store(dr + i, k->add_residual ? g + vf_load(dr + i) : g);
    }
    size_t count = n - i;
    if (count > 0) {
        vf g = before(tail(dy + i, count), tail(y + i, count), act), out = a * g + (d * (tail(x + i, count) - mean) + b);
        put(dx + i, add ? out + tail(dx + i, count) : out, count);
        if (residual)
            put(dr + i, k->add_residual ? g + tail(dr + i, count) : g, count);
    }
}

LN_INLINE void grad_channel(const struct norm *k, size_t c, const enum ln__act act)
{
    double sum, dot, inv = 1 / sqrt((double)k->var[c] + (double)k->eps), count = (double)k->run;
    grad_sums(k, c, act, &sum, &dot);
    dot *= inv;
    k->dgamma[c] = (float)dot;
    k->dbeta[c] = (float)sum;
    double a = (double)k->gamma[c] * inv;
    struct factors f = {.mean = k->mean[c], .a = (float)a};
    if (!k->frozen) {
        f.b = (float)(-a * sum / count);
        f.d = (float)(-a * inv * dot / count);
    }
    if (k->dresidual && k->add)
        grad_write(k, c, act, &f, true, true);
    else if (k->dresidual)
        grad_write(k, c, act, &f, true, false);
    else if (k->add)
        grad_write(k, c, act, &f, false, true);
    else
        grad_write(k, c, act, &f, false, false);
}

static void grad_chunk(void *context, size_t c, unsigned worker)
{
    const struct norm *k = context;
    (void)worker;
    if (k->act == LN__ACT_RELU)
        grad_channel(k, c, LN__ACT_RELU);
    else if (k->act == LN__ACT_RELU6)
        grad_channel(k, c, LN__ACT_RELU6);
    else
        grad_channel(k, c, LN__ACT_NONE);
}

void LN_KS(norm_grad)(int n, int c, int hw, const float *x, const float *y, const float *dy, const float *mean, const float *var, const float *gamma,
                      const float *beta, float eps, enum ln__act act, bool frozen, float *dx, bool add, float *dresidual, bool add_residual,
                      float *dgamma, float *dbeta, struct ln__pool *pool)
{
    (void)beta; /* y is always there */
    struct norm k = {.run = (size_t)n * (size_t)hw, .x = x, .y = y, .dy = dy, .gamma = gamma, .eps = eps, .act = act, .out = dx, .add = add};
    k.mean = given(mean);
    k.var = given(var);
    k.frozen = frozen;
    k.dresidual = dresidual;
    k.add_residual = add_residual;
    k.dgamma = dgamma;
    k.dbeta = dbeta;
    ln__pool_for(pool, (size_t)c, grad_chunk, &k);
}
