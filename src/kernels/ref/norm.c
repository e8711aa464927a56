/* Batch normalisation (Ioffe and Szegedy 2015) with a residual and an activation folded in. */
#include "kernels/ref/ref.h"
#include <math.h>

static void stats(int n, int c, int hw, const float *x, float *mean, float *var)
{
    for (int ch = 0; ch < c; ch++) {
        double sum = 0, square = 0, count = (double)n * hw;
        for (int s = 0; s < n; s++) {
            for (int p = 0; p < hw; p++)
                sum += (double)x[((size_t)s * (size_t)c + (size_t)ch) * (size_t)hw + (size_t)p];
        }
        for (int s = 0; s < n; s++) {
            for (int p = 0; p < hw; p++) {
                double d = (double)x[((size_t)s * (size_t)c + (size_t)ch) * (size_t)hw + (size_t)p] - sum / count;
                square += d * d;
            }
        }
        mean[ch] = (float)(sum / count);
        var[ch] = (float)(square / count);
    }
}

void LN_K(norm_apply)(int n, int c, int hw, const float *x, const float *mean, const float *var, const float *gamma, const float *beta, float eps,
                      enum ln__act act, const float *residual, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (int s = 0; s < n; s++) {
        for (int ch = 0; ch < c; ch++) {
            double scale = (double)gamma[ch] / sqrt((double)var[ch] + (double)eps);
            for (int p = 0; p < hw; p++) {
                size_t at = ((size_t)s * (size_t)c + (size_t)ch) * (size_t)hw + (size_t)p;
                double v = ((double)x[at] - (double)mean[ch]) * scale + (double)beta[ch] + (residual ? (double)residual[at] : 0);
                y[at] = (float)ref_act(act, v);
            }
        }
    }
}

void LN_K(norm_forward)(int n, int c, int hw, const float *x, const float *gamma, const float *beta, float eps, enum ln__act act,
                        const float *residual, float *y, float *mean, float *var, struct ln__pool *pool)
{
    stats(n, c, hw, x, mean, var);
    LN_K(norm_apply)(n, c, hw, x, mean, var, gamma, beta, eps, act, residual, y, pool);
}

void LN_K(norm_grad)(int n, int c, int hw, const float *x, const float *y, const float *dy, const float *mean, const float *var, const float *gamma,
                     const float *beta, float eps, enum ln__act act, bool frozen, float *dx, bool add, float *dresidual, bool add_residual,
                     float *dgamma, float *dbeta, struct ln__pool *pool)
{
    (void)pool;
    for (int ch = 0; ch < c; ch++) {
        double inv = 1 / sqrt((double)var[ch] + (double)eps), sum = 0, dot = 0, count = (double)n * hw, scale = (double)gamma[ch] * inv;
        for (int s = 0; s < n; s++) {
            for (int p = 0; p < hw; p++) {
                size_t at = ((size_t)s * (size_t)c + (size_t)ch) * (size_t)hw + (size_t)p;
                double v = y ? (double)y[at] : ((double)x[at] - (double)mean[ch]) * scale + (double)beta[ch];
                double g = (double)dy[at] * ref_slope(act, v, v);
                sum += g;
                dot += g * ((double)x[at] - (double)mean[ch]) * inv;
            }
        }
        dgamma[ch] = (float)dot;
        dbeta[ch] = (float)sum;
        for (int s = 0; s < n; s++) {
            for (int p = 0; p < hw; p++) {
                size_t at = ((size_t)s * (size_t)c + (size_t)ch) * (size_t)hw + (size_t)p;
                double v = y ? (double)y[at] : ((double)x[at] - (double)mean[ch]) * scale + (double)beta[ch];
                double g = (double)dy[at] * ref_slope(act, v, v), hat = ((double)x[at] - (double)mean[ch]) * inv;
                double d = scale * (frozen ? g : g - sum / count - hat * dot / count);
                dx[at] = (float)(d + (add ? (double)dx[at] : 0));
                if (dresidual)
                    dresidual[at] = (float)(g + (add_residual ? (double)dresidual[at] : 0));
            }
        }
    }
}

/* ---- norm, depthwise convolution, norm: one after the other ---- */

struct sandwich {
    int in, out; /* positions */
    size_t inner, outer;
    float *a, *b; /* before the convolution, behind it */
};

static struct sandwich sandwich_of(const struct ln__conv *conv, int n, float *scratch)
{
    struct sandwich k = {.in = conv->hi * conv->wi, .out = conv->ho * conv->wo};
    k.inner = (size_t)(n * conv->ci * k.in + 15) / 16 * 16;
    k.outer = (size_t)(n * conv->co * k.out + 15) / 16 * 16;
    k.a = scratch;
    k.b = scratch ? scratch + k.inner : NULL;
    return k;
}

size_t LN_K(sandwich_scratch)(const struct ln__conv *conv, bool backward, int n, unsigned width)
{
    (void)backward;
    (void)width;
    struct sandwich k = sandwich_of(conv, n, NULL);
    return k.inner + k.outer;
}

static void norm_of(const struct ln__norm_of *norm, bool fixed, int n, int c, int hw, const float *x, float *y)
{
    if (!fixed)
        stats(n, c, hw, x, norm->mean, norm->var);
    LN_K(norm_apply)(n, c, hw, x, norm->mean, norm->var, norm->gamma, norm->beta, norm->eps, norm->act, NULL, y, NULL);
}

void LN_K(sandwich_forward)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], bool fixed, const float *w,
                            float *y, float *scratch, struct ln__pool *pool)
{
    struct sandwich k = sandwich_of(conv, n, scratch);
    norm_of(&norm[0], fixed, n, conv->ci, k.in, x, k.a);
    LN_K(conv_forward)(conv, n, k.a, w, NULL, k.b, NULL, pool);
    norm_of(&norm[1], fixed, n, conv->co, k.out, k.b, y);
}

void LN_K(sandwich_grad)(const struct ln__conv *conv, int n, const float *x, const struct ln__norm_of norm[2], const float *w, const float *dy,
                         float *dx, float *dw, float *scratch, struct ln__pool *pool)
{
    struct sandwich k = sandwich_of(conv, n, scratch);
    const struct ln__norm_of *at = &norm[1];
    norm_of(&norm[0], true, n, conv->ci, k.in, x, k.a);
    LN_K(conv_forward)(conv, n, k.a, w, NULL, k.b, NULL, pool);
    LN_K(norm_grad)
    (n, conv->co, k.out, k.b, NULL, dy, at->mean, at->var, at->gamma, at->beta, at->eps, at->act, false, k.b, false, NULL, false, at->dgamma,
     at->dbeta, pool);
    LN_K(conv_weight_grad)(conv, n, k.a, k.b, dw, NULL, NULL, pool);
    LN_K(conv_input_grad)(conv, n, k.b, w, dx, false, NULL, pool);
    at = &norm[0];
    LN_K(norm_grad)
    (n, conv->ci, k.in, x, NULL, dx, at->mean, at->var, at->gamma, at->beta, at->eps, at->act, false, dx, false, NULL, false, at->dgamma, at->dbeta,
     pool);
}
