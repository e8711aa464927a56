/* The reference set: plain NCHW loops, one lane, sums in double. Written to be read; every other set is checked against it. */
#ifndef LINNET_KERNELS_REF_H
#define LINNET_KERNELS_REF_H

#define LN_ISA ref
#define LN_V 1
#include "kernels/ops.h"
#include <math.h>

static inline double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static inline double ref_act(enum ln__act kind, double x)
{
    switch (kind) {
    case LN__ACT_RELU:
        return x < 0 ? 0 : x;
    case LN__ACT_RELU6:
        return clamp(x, 0, 6);
    case LN__ACT_HARDSWISH:
        return x * clamp(x + 3, 0, 6) / 6;
    case LN__ACT_SILU:
        return x / (1 + exp(-x));
    case LN__ACT_HARDSIGMOID:
        return clamp(x + 3, 0, 6) / 6;
    case LN__ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case LN__ACT_NONE:
        break;
    }
    return x;
}

/* The derivative at x, whose activation is y. */
static inline double ref_slope(enum ln__act kind, double x, double y)
{
    switch (kind) {
    case LN__ACT_RELU:
        return y > 0;
    case LN__ACT_RELU6:
        return y > 0 && y < 6;
    case LN__ACT_HARDSWISH:
        return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5;
    case LN__ACT_SILU:
        return (1 + x * (1 - 1 / (1 + exp(-x)))) / (1 + exp(-x));
    case LN__ACT_HARDSIGMOID:
        return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case LN__ACT_SIGMOID:
        return y * (1 - y);
    case LN__ACT_NONE:
        break;
    }
    return 1;
}

#endif
