/* bfloat16 products of the reference: operands are rounded, then it is the float reference. Biases and their gradients are not rounded. */
#include "kernels/bf16.h"
#define LN_B_ISA ref
#include "kernels/ref/ref.h"

LN__DECLARE_PRODUCTS

static size_t x_floats(const struct ln__conv *conv, int n)
{
    return (size_t)n * (size_t)conv->ci * (size_t)conv->hi * (size_t)conv->wi;
}

static size_t y_floats(const struct ln__conv *conv, int n)
{
    return (size_t)n * (size_t)conv->co * (size_t)conv->ho * (size_t)conv->wo;
}

/* A rounded copy; *to moves behind it. */
static const float *round_copy(size_t count, const float *from, float **to)
{
    float *copy = *to;
    for (size_t i = 0; i < count; i++)
        copy[i] = ln__bf16_float(ln__bf16_of(from[i]));
    *to += count;
    return copy;
}

static size_t scratch_for(const struct ln__conv *conv, enum ln__pass pass, int n)
{
    return (pass == LN__INPUT_GRAD ? 0 : x_floats(conv, n)) + (pass == LN__FORWARD ? 0 : y_floats(conv, n)) +
           (pass == LN__WEIGHT_GRAD ? 0 : LN_K(conv_weights)(conv));
}

static void forward(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch)
{
    x = round_copy(x_floats(conv, n), x, &scratch);
    w = round_copy(LN_K(conv_weights)(conv), w, &scratch);
    LN_K(conv_forward)(conv, n, x, w, bias, y, NULL, NULL);
}

static void input_grad(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch)
{
    dy = round_copy(y_floats(conv, n), dy, &scratch);
    w = round_copy(LN_K(conv_weights)(conv), w, &scratch);
    LN_K(conv_input_grad)(conv, n, dy, w, dx, add, NULL, NULL);
}

static void weight_grad(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch)
{
    size_t plane = (size_t)(conv->ho * conv->wo), co = (size_t)conv->co;
    for (size_t o = 0; dbias && o < co; o++) { /* from the gradient as it came */
        double sum = 0;
        for (size_t s = 0; s < (size_t)n; s++) {
            for (size_t p = 0; p < plane; p++)
                sum += (double)dy[(s * co + o) * plane + p];
        }
        dbias[o] = (float)sum;
    }
    x = round_copy(x_floats(conv, n), x, &scratch);
    dy = round_copy(y_floats(conv, n), dy, &scratch);
    LN_K(conv_weight_grad)(conv, n, x, dy, dw, NULL, NULL, NULL);
}

const char *LN_B(conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass)
{
    return ln__bf16_takes(conv) ? "definition-bf16" : LN_K(conv_algorithm)(conv, pass);
}

size_t LN_B(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    return ln__bf16_takes(conv) ? scratch_for(conv, pass, n) : LN_K(conv_scratch)(conv, pass, n, width);
}

void LN_B(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                        struct ln__pool *pool)
{
    if (ln__bf16_takes(conv))
        forward(conv, n, x, w, bias, y, scratch);
    else
        LN_K(conv_forward)(conv, n, x, w, bias, y, scratch, pool);
}

void LN_B(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                           struct ln__pool *pool)
{
    if (ln__bf16_takes(conv))
        input_grad(conv, n, dy, w, dx, add, scratch);
    else
        LN_K(conv_input_grad)(conv, n, dy, w, dx, add, scratch, pool);
}

void LN_B(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                            struct ln__pool *pool)
{
    if (ln__bf16_takes(conv))
        weight_grad(conv, n, x, dy, dw, dbias, scratch);
    else
        LN_K(conv_weight_grad)(conv, n, x, dy, dw, dbias, scratch, pool);
}

static bool usable(void)
{
    return true;
}

extern const struct ln__kset ln__kset_bf16_ref;

#define FLOAT_ROW(op) .op = LN_K(op),
#define ROW(op) .op = LN_B(op),
const struct ln__kset ln__kset_bf16_ref = {.name = "ref-bf16", .lanes = LN_V, .bf16 = true, .usable = usable, LN__REST(FLOAT_ROW) LN__PRODUCTS(ROW)};
