/* A bf16 set: the products of bf16_gather.c and bf16_spread.c in the places of the float set's; the rest is the float set. */
#include "kernels/vec/bf16.h"
#if defined(LN_BF16_NATIVE) && defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

static size_t scratch_for(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    if (pass == LN__WEIGHT_GRAD)
        return LN_B(spread_scratch)(conv, n, width);
    if (pass == LN__INPUT_GRAD)
        return LN_K(phases_scratch)(conv, n, width, LN_B(gather_scratch));
    struct gather g = LN_K(gather_forward)(conv, n);
    return LN_B(gather_scratch)(&g, width);
}

const char *LN_B(conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass)
{
    return ln__bf16_takes(conv) ? "direct-bf16" : LN_K(conv_algorithm)(conv, pass);
}

/* Fewer samples may be cut otherwise: enough for any number up to n. */
size_t LN_B(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    size_t most = 0;
    if (!ln__bf16_takes(conv))
        return LN_K(conv_scratch)(conv, pass, n, width);
    for (int fewer = 1; fewer <= n; fewer++) {
        size_t size = scratch_for(conv, pass, fewer, width);
        most = size > most ? size : most;
    }
    return most;
}

void LN_B(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                        struct ln__pool *pool)
{
    if (!ln__bf16_takes(conv)) {
        LN_K(conv_forward)(conv, n, x, w, bias, y, scratch, pool);
        return;
    }
    struct gather g = LN_K(gather_forward)(conv, n);
    g.in = x;
    g.w = w;
    g.bias = bias;
    g.out = y;
    g.scratch = scratch;
    LN_B(gather)(&g, pool);
}

void LN_B(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                           struct ln__pool *pool)
{
    if (ln__bf16_takes(conv))
        LN_K(phases)(conv, n, dy, w, dx, add, scratch, pool, LN_B(gather));
    else
        LN_K(conv_input_grad)(conv, n, dy, w, dx, add, scratch, pool);
}

void LN_B(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                            struct ln__pool *pool)
{
    if (!ln__bf16_takes(conv)) {
        LN_K(conv_weight_grad)(conv, n, x, dy, dw, dbias, scratch, pool);
        return;
    }
    LN_B(spread)(conv, n, x, dy, dw, scratch, pool);
    if (dbias)
        LN_K(bias_grad)(conv, n, dy, dbias, pool);
}

#define FLOAT_SET LN__JOIN(ln__kset_, LN_ISA)
#define SET LN__JOIN(ln__kset_bf16_, LN_B_ISA)
#ifdef LN_BF16_NATIVE
#define NAME LN__TEXT(LN_ISA) "-bf16"
#else
#define NAME LN__TEXT(LN_ISA) "-bf16-emulated"
#endif
extern const struct ln__kset FLOAT_SET, SET;

/* Whether this CPU has what the instruction set's float kernels need, and the products' instruction. */
static bool usable(void)
{
#ifndef LN_BF16_NATIVE
    return FLOAT_SET.usable();
#elif defined(__AVX512BF16__)
    return FLOAT_SET.usable() && __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__) && defined(__linux__)
    return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
#else
    return false;
#endif
}

#define FLOAT_ROW(op) .op = LN_K(op),
#define ROW(op) .op = LN_B(op),
const struct ln__kset SET = {.name = NAME, .lanes = LN_V, .bf16 = true, .usable = usable, LN__REST(FLOAT_ROW) LN__PRODUCTS(ROW)};
