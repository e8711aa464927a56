/* Pooling. Padding never wins a maximum, a NaN always does, so that no window hides it; padding counts as zero in an average. */
#include "kernels/ref/ref.h"
#include <math.h>
#include <string.h>

/* The maximum of each window and `least`; which is `none` where nothing is above that. */
static void maxpool(const struct ln__window *win, int n, float least, int none, const float *x, float *y, uint8_t *index)
{
    for (int i = 0; i < n * win->c; i++, x += win->hi * win->wi) {
        for (int oy = 0; oy < win->ho; oy++) {
            for (int ox = 0; ox < win->wo; ox++) {
                float best = least;
                int which = none;
                for (int t = 0; t < win->k * win->k; t++) {
                    int iy = oy * win->stride + t / win->k - win->top, ix = ox * win->stride + t % win->k - win->left;
                    if (iy < 0 || iy >= win->hi || ix < 0 || ix >= win->wi)
                        continue;
                    float v = x[iy * win->wi + ix];
                    if (v > best || v != v) {
                        best = v;
                        which = t;
                    }
                }
                *y++ = best;
                *index++ = (uint8_t)which;
            }
        }
    }
}

void LN_K(maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    (void)pool;
    maxpool(window, n, -INFINITY, 0, x, y, index);
}

void LN_K(relu_maxpool_forward)(const struct ln__window *window, int n, const float *x, float *y, uint8_t *index, struct ln__pool *pool)
{
    (void)pool;
    maxpool(window, n, 0, LN__POOL_NONE, x, y, index);
}

void LN_K(maxpool_grad)(const struct ln__window *win, int n, const uint8_t *index, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    (void)pool;
    size_t plane = (size_t)(win->hi * win->wi);
    if (!add)
        memset(dx, 0, (size_t)n * (size_t)win->c * plane * sizeof *dx);
    for (int i = 0; i < n * win->c; i++, dx += plane) {
        for (int oy = 0; oy < win->ho; oy++) {
            for (int ox = 0; ox < win->wo; ox++, index++, dy++) {
                int iy = oy * win->stride + *index / win->k - win->top, ix = ox * win->stride + *index % win->k - win->left;
                if (*index != LN__POOL_NONE && iy >= 0 && iy < win->hi && ix >= 0 && ix < win->wi)
                    dx[iy * win->wi + ix] += *dy;
            }
        }
    }
}

void LN_K(avgpool_forward)(const struct ln__window *win, int n, const float *x, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (int i = 0; i < n * win->c; i++, x += win->hi * win->wi) {
        for (int oy = 0; oy < win->ho; oy++) {
            for (int ox = 0; ox < win->wo; ox++) {
                double sum = 0;
                for (int t = 0; t < win->k * win->k; t++) {
                    int iy = oy * win->stride + t / win->k - win->top, ix = ox * win->stride + t % win->k - win->left;
                    if (iy >= 0 && iy < win->hi && ix >= 0 && ix < win->wi)
                        sum += (double)x[iy * win->wi + ix];
                }
                *y++ = (float)(sum / (win->k * win->k));
            }
        }
    }
}

void LN_K(avgpool_grad)(const struct ln__window *win, int n, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    (void)pool;
    size_t plane = (size_t)(win->hi * win->wi);
    if (!add)
        memset(dx, 0, (size_t)n * (size_t)win->c * plane * sizeof *dx);
    for (int i = 0; i < n * win->c; i++, dx += plane) {
        for (int oy = 0; oy < win->ho; oy++) {
            for (int ox = 0; ox < win->wo; ox++, dy++) {
                for (int t = 0; t < win->k * win->k; t++) {
                    int iy = oy * win->stride + t / win->k - win->top, ix = ox * win->stride + t % win->k - win->left;
                    if (iy >= 0 && iy < win->hi && ix >= 0 && ix < win->wi)
                        dx[iy * win->wi + ix] += *dy / (float)(win->k * win->k);
                }
            }
        }
    }
}

void LN_K(globalpool_forward)(int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    (void)pool;
    for (int i = 0; i < n * c; i++) {
        double sum = 0;
        for (int p = 0; p < hw; p++)
            sum += (double)*x++;
        y[i] = (float)(sum / hw);
    }
}

void LN_K(globalpool_grad)(int n, int c, int hw, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    (void)pool;
    for (int i = 0; i < n * c; i++) {
        for (int p = 0; p < hw; p++, dx++)
            *dx = dy[i] / (float)hw + (add ? *dx : 0);
    }
}
