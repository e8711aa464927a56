/* y[n][o] = bias[o] + sum over f of w[o][f] * x[n][f]; features f run over c, h, w. */
#include "kernels/ref/ref.h"
#include <string.h>

static size_t features(const struct ln__linear *linear)
{
    return (size_t)linear->ci * (size_t)linear->hi * (size_t)linear->wi;
}

size_t LN_K(linear_weights)(const struct ln__linear *linear)
{
    return (size_t)linear->co * features(linear);
}

void LN_K(linear_pack)(const struct ln__linear *linear, const float *canonical, float *w)
{
    memcpy(w, canonical, LN_K(linear_weights)(linear) * sizeof *w);
}

void LN_K(linear_unpack)(const struct ln__linear *linear, const float *w, float *canonical)
{
    memcpy(canonical, w, LN_K(linear_weights)(linear) * sizeof *w);
}

/* Backward: the weight gradient that a sink takes. */
size_t LN_K(linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width)
{
    (void)n, (void)width;
    return pass == LN__FORWARD ? 0 : LN_K(linear_weights)(linear);
}

void LN_K(linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                          struct ln__pool *pool)
{
    (void)scratch, (void)pool;
    size_t size = features(linear), co = (size_t)linear->co;
    for (size_t s = 0; s < (size_t)n; s++) {
        for (size_t o = 0; o < co; o++) {
            double sum = bias ? (double)bias[o] : 0;
            for (size_t f = 0; f < size; f++)
                sum += (double)w[o * size + f] * (double)x[s * size + f];
            y[s * co + o] = (float)sum;
        }
    }
}

static void input_grad(const struct ln__linear *linear, int n, const float *dy, const float *w, float *dx, bool add)
{
    size_t size = features(linear), co = (size_t)linear->co;
    for (size_t s = 0; s < (size_t)n; s++) {
        for (size_t f = 0; f < size; f++) {
            double sum = add ? (double)dx[s * size + f] : 0;
            for (size_t o = 0; o < co; o++)
                sum += (double)w[o * size + f] * (double)dy[s * co + o];
            dx[s * size + f] = (float)sum;
        }
    }
}

static void weight_grad(const struct ln__linear *linear, int n, const float *x, const float *dy, float *dw, float *dbias)
{
    size_t size = features(linear), co = (size_t)linear->co;
    for (size_t o = 0; o < co; o++) {
        for (size_t f = 0; f < size; f++) {
            double sum = 0;
            for (size_t s = 0; s < (size_t)n; s++)
                sum += (double)x[s * size + f] * (double)dy[s * co + o];
            dw[o * size + f] = (float)sum;
        }
        double total = 0;
        for (size_t s = 0; s < (size_t)n; s++)
            total += (double)dy[s * co + o];
        if (dbias)
            dbias[o] = (float)total;
    }
}

void LN_K(linear_backward)(const struct ln__linear *linear, int n, const float *x, const float *dy, const float *w, float *dx, bool add, float *dw,
                           float *dbias, const struct ln__sink *sink, float *scratch, struct ln__pool *pool)
{
    (void)pool;
    if (dx)
        input_grad(linear, n, dy, w, dx, add);
    if (dw || sink)
        weight_grad(linear, n, x, dy, dw ? dw : scratch, dbias);
    if (!dw && sink)
        sink->take(sink, 0, LN_K(linear_weights)(linear), scratch);
}
