/* Layout, activations, addition, channel scaling, dropout. */
#include "kernels/ref/ref.h"
#include <math.h>
#include <string.h>

void LN_K(pack)(int n, int c, int hw, const float *nchw, float *x, struct ln__pool *pool)
{
    (void)pool;
    memcpy(x, nchw, (size_t)n * (size_t)c * (size_t)hw * sizeof *x);
}

void LN_K(unpack)(int n, int c, int hw, const float *x, float *nchw, struct ln__pool *pool)
{
    (void)pool;
    memcpy(nchw, x, (size_t)n * (size_t)c * (size_t)hw * sizeof *x);
}

void LN_K(act_forward)(enum ln__act kind, int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (size_t i = 0; i < (size_t)n * (size_t)c * (size_t)hw; i++)
        y[i] = (float)ref_act(kind, (double)x[i]);
}

void LN_K(act_grad)(enum ln__act kind, int n, int c, int hw, const float *x, const float *y, const float *dy, float *dx, bool add,
                    struct ln__pool *pool)
{
    (void)pool;
    for (size_t i = 0; i < (size_t)n * (size_t)c * (size_t)hw; i++)
        dx[i] = (float)((double)dy[i] * ref_slope(kind, x ? (double)x[i] : 0, (double)y[i]) + (add ? (double)dx[i] : 0));
}

void LN_K(add)(size_t size, const float *a, const float *b, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (size_t i = 0; i < size; i++)
        y[i] = a[i] + b[i];
}

void LN_K(scale_forward)(int n, int c, int hw, const float *x, const float *s, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (int i = 0; i < n * c; i++) {
        for (int p = 0; p < hw; p++)
            y[(size_t)i * (size_t)hw + (size_t)p] = x[(size_t)i * (size_t)hw + (size_t)p] * s[i];
    }
}

void LN_K(scale_grad)(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx, bool add, float *ds, struct ln__pool *pool)
{
    (void)pool;
    for (int i = 0; i < n * c; i++) {
        double sum = 0;
        for (int p = 0; p < hw; p++) {
            size_t at = (size_t)i * (size_t)hw + (size_t)p;
            sum += (double)x[at] * (double)dy[at];
            dx[at] = dy[at] * s[i] + (add ? dx[at] : 0);
        }
        ds[i] = (float)sum;
    }
}

void LN_K(dropout_forward)(int n, int c, int hw, float rate, const struct ln__key *key, uint64_t first, const float *x, float *y, uint8_t *mask,
                           struct ln__pool *pool)
{
    (void)pool;
    double limit = (double)rate * 4294967296.0;
    float scale = 1 / (1 - rate);
    for (size_t i = 0; i < (size_t)n * (size_t)c * (size_t)hw; i++) {
        uint32_t word[4];
        ln__rng_block(key, (first + i) / 4, word);
        mask[i] = (double)word[(first + i) % 4] >= limit;
        y[i] = mask[i] ? x[i] * scale : 0;
    }
}

void LN_K(dropout_grad)(int n, int c, int hw, float rate, const uint8_t *mask, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    (void)pool;
    float scale = 1 / (1 - rate);
    for (size_t i = 0; i < (size_t)n * (size_t)c * (size_t)hw; i++)
        dx[i] = (mask[i] ? dy[i] * scale : 0) + (add ? dx[i] : 0);
}
