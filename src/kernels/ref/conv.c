/* Convolution as its definition says: y[n][o][oy][ox] = bias[o] + sum over (i, ky, kx) of w[o][i][ky][kx] * x at the tap. */
#include "kernels/ref/ref.h"
#include <string.h>

size_t LN_K(conv_weights)(const struct ln__conv *conv)
{
    return (size_t)conv->co * (size_t)(conv->ci / conv->groups) * (size_t)conv->kh * (size_t)conv->kw;
}

void LN_K(conv_pack)(const struct ln__conv *conv, const float *canonical, float *w)
{
    memcpy(w, canonical, LN_K(conv_weights)(conv) * sizeof *w);
}

void LN_K(conv_unpack)(const struct ln__conv *conv, const float *w, float *canonical)
{
    memcpy(canonical, w, LN_K(conv_weights)(conv) * sizeof *w);
}

const char *LN_K(conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass)
{
    (void)conv, (void)pass;
    return "definition";
}

size_t LN_K(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    (void)conv, (void)pass, (void)n, (void)width;
    return 0;
}

/* Sums are kept in double for so many places of a row at a time. */
#define STRIP 64

/* The outputs o in [first, end) of [0, outputs), along one side, whose tap lies inside: 0 <= o * stride + offset < inputs. */
struct span {
    int first, end;
};

static struct span inside(int offset, int stride, int inputs, int outputs)
{
    int first = offset < 0 ? (stride - 1 - offset) / stride : 0, end = offset < inputs ? (inputs - 1 - offset) / stride + 1 : 0;
    return (struct span){first, end < outputs ? end : outputs};
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* sum[k] = what output (oy, ox + k) of one sample receives from `in` channels. */
static void outputs(const struct ln__conv *conv, const float *x, const float *w, int in, int oy, int ox, int count, double *sum)
{
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (int ky = 0; ky < conv->kh; ky++) {
        int iy = oy * conv->stride + ky - conv->top;
        if (iy < 0 || iy >= conv->hi)
            continue;
        for (int kx = 0; kx < conv->kw; kx++) {
            const int offset = ox * conv->stride + kx - conv->left;
            const struct span span = inside(offset, conv->stride, conv->wi, count);
            for (int i = 0; i < in; i++) {
                const double tap = (double)w[(i * conv->kh + ky) * conv->kw + kx];
                const float *row = x + (i * conv->hi + iy) * conv->wi;
                for (int k = span.first; k < span.end; k++)
                    sum[k] += tap * (double)row[k * conv->stride + offset];
            }
        }
    }
}

void LN_K(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                        struct ln__pool *pool)
{
    (void)scratch, (void)pool;
    int in = conv->ci / conv->groups, out = conv->co / conv->groups;
    size_t filter = (size_t)(in * conv->kh * conv->kw), plane = (size_t)(conv->hi * conv->wi);
    double sum[STRIP];
    for (int s = 0; s < n; s++) {
        for (int o = 0; o < conv->co; o++) {
            const float *group = x + ((size_t)s * (size_t)conv->ci + (size_t)(o / out * in)) * plane;
            for (int oy = 0; oy < conv->ho; oy++) {
                for (int ox = 0; ox < conv->wo; ox += STRIP) {
                    int count = least(STRIP, conv->wo - ox);
                    outputs(conv, group, w + (size_t)o * filter, in, oy, ox, count, sum);
                    for (int k = 0; k < count; k++)
                        *y++ = (float)(sum[k] + (bias ? (double)bias[o] : 0));
                }
            }
        }
    }
}

/* sum[k] = what input (iy, ix + k) of channel i of one sample receives from every output that read it. */
static void inputs(const struct ln__conv *conv, const float *dy, const float *w, int i, int iy, int ix, int count, double *sum)
{
    int in = conv->ci / conv->groups, out = conv->co / conv->groups, first = i / in * out;
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (int ky = 0; ky < conv->kh; ky++) {
        int ty = iy + conv->top - ky, oy = ty / conv->stride;
        if (ty < 0 || ty % conv->stride || oy >= conv->ho)
            continue;
        for (int kx = 0; kx < conv->kw; kx++) {
            const int offset = kx - conv->left - ix;
            const struct span span = inside(offset, conv->stride, count, conv->wo);
            for (int o = first; o < first + out; o++) {
                const double tap = (double)w[((o * in + i % in) * conv->kh + ky) * conv->kw + kx];
                const float *row = dy + (o * conv->ho + oy) * conv->wo;
                for (int ox = span.first; ox < span.end; ox++)
                    sum[ox * conv->stride + offset] += tap * (double)row[ox];
            }
        }
    }
}

void LN_K(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                           struct ln__pool *pool)
{
    (void)scratch, (void)pool;
    double sum[STRIP];
    for (int s = 0; s < n; s++) {
        const float *dys = dy + (size_t)s * (size_t)(conv->co * conv->ho * conv->wo);
        for (int i = 0; i < conv->ci; i++) {
            for (int iy = 0; iy < conv->hi; iy++) {
                for (int ix = 0; ix < conv->wi; ix += STRIP) {
                    int count = least(STRIP, conv->wi - ix);
                    inputs(conv, dys, w, i, iy, ix, count, sum);
                    for (int k = 0; k < count; k++, dx++)
                        *dx = (float)(sum[k] + (add ? (double)*dx : 0));
                }
            }
        }
    }
}

/* A tap: output (oy, ox) reads input (oy * stride + y, ox * stride + x), where that is inside. */
struct tap {
    int y, x;
    struct span rows, cols;
};

/* The sum over samples and outputs of the gradient times what a tap read: down the columns of a strip, then over them. x and dy: the planes of
 * the first sample. */
static double weight(const struct ln__conv *conv, const struct tap *tap, int n, const float *x, const float *dy)
{
    double total = 0, sum[STRIP];
    for (int ox = tap->cols.first; ox < tap->cols.end; ox += STRIP) {
        const int count = least(STRIP, tap->cols.end - ox);
        memset(sum, 0, (size_t)count * sizeof *sum);
        for (int s = 0; s < n; s++) {
            const float *from = x + (size_t)s * (size_t)conv->ci * (size_t)(conv->hi * conv->wi);
            const float *grad = dy + (size_t)s * (size_t)conv->co * (size_t)(conv->ho * conv->wo);
            for (int oy = tap->rows.first; oy < tap->rows.end; oy++) {
                const float *row = from + (oy * conv->stride + tap->y) * conv->wi + ox * conv->stride + tap->x;
                for (int k = 0; k < count; k++)
                    sum[k] += (double)grad[oy * conv->wo + ox + k] * (double)row[k * conv->stride];
            }
        }
        for (int k = 0; k < count; k++)
            total += sum[k];
    }
    return total;
}

static void tap_grad(const struct ln__conv *conv, int n, const float *x, const float *dy, int ky, int kx, float *dw)
{
    const int in = conv->ci / conv->groups, out = conv->co / conv->groups, y = ky - conv->top, left = kx - conv->left;
    const struct tap tap = {y, left, inside(y, conv->stride, conv->hi, conv->ho), inside(left, conv->stride, conv->wi, conv->wo)};
    for (int o = 0; o < conv->co; o++) {
        for (int i = 0; i < in; i++) {
            const float *plane = x + (o / out * in + i) * conv->hi * conv->wi;
            dw[((o * in + i) * conv->kh + ky) * conv->kw + kx] = (float)weight(conv, &tap, n, plane, dy + o * conv->ho * conv->wo);
        }
    }
}

void LN_K(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                            struct ln__pool *pool)
{
    (void)scratch, (void)pool;
    size_t plane = (size_t)(conv->ho * conv->wo);
    for (int ky = 0; ky < conv->kh; ky++) {
        for (int kx = 0; kx < conv->kw; kx++)
            tap_grad(conv, n, x, dy, ky, kx, dw);
    }
    for (int o = 0; dbias && o < conv->co; o++) {
        double sum = 0;
        for (int s = 0; s < n; s++) {
            for (size_t p = 0; p < plane; p++)
                sum += (double)dy[((size_t)s * (size_t)conv->co + (size_t)o) * plane + p];
        }
        dbias[o] = (float)sum;
    }
}
