/* The activations and their derivatives, on one vector. */
#ifndef LINNET_KERNELS_VEC_ACT_H
#define LINNET_KERNELS_VEC_ACT_H

#include "kernels/vec/vec.h"

/* e^x by 2^k * e^r, r in [-ln 2 / 2, ln 2 / 2], a polynomial of degree 6; relative error below 2e-7. */
INLINE vf vexp(vf x)
{
    x = vmin(set1(88.0F), vmax(set1(-87.0F), x));
    vf magic = set1(12582912.0F), k = x * 1.44269504F + magic;
    vi exponent = (vi)k - (vi)magic;
    k -= magic;
    vf r = x - k * 0.693145752F - k * 1.42860677e-6F;
    vf p = set1(1.0F / 720) * r + 1.0F / 120;
    p = p * r + 1.0F / 24;
    p = p * r + 1.0F / 6;
    p = p * r + 0.5F;
    p = p * r + 1.0F;
    p = p * r + 1.0F;
    return (vf)((vi)p + (exponent << 23));
}

INLINE vf sigmoid(vf x)
{
    return set1(1) / (vexp(-x) + 1.0F);
}

INLINE vf clamp6(vf x)
{
    return vmin(set1(6), vmax(set1(0), x));
}

INLINE vf act(const enum ln__act kind, vf x)
{
    switch (kind) {
    case LN__ACT_RELU:
        return vmax(set1(0), x);
    case LN__ACT_RELU6:
        return clamp6(x);
    case LN__ACT_HARDSWISH:
        return x * clamp6(x + 3.0F) * (1.0F / 6);
    case LN__ACT_SILU:
        return x * sigmoid(x);
    case LN__ACT_HARDSIGMOID:
        return clamp6(x + 3.0F) * (1.0F / 6);
    case LN__ACT_SIGMOID:
        return sigmoid(x);
    case LN__ACT_NONE:
        break;
    }
    return x;
}

/* dy times the derivative at x, whose activation is y. Only SIGMOID needs y itself; RELU and RELU6 take x in its place. */
INLINE vf slope(const enum ln__act kind, vf x, vf y, vf dy)
{
    vf s;
    switch (kind) {
    case LN__ACT_RELU:
        return pick(y > 0.0F, dy, set1(0));
    case LN__ACT_RELU6:
        return pick((y > 0.0F) & (y < 6.0F), dy, set1(0));
    case LN__ACT_HARDSWISH:
        s = pick(x >= 3.0F, set1(1), x * (1.0F / 3) + 0.5F);
        return dy * pick(x <= -3.0F, set1(0), s);
    case LN__ACT_SILU:
        s = sigmoid(x);
        return dy * (s * (1.0F + x * (1.0F - s)));
    case LN__ACT_HARDSIGMOID:
        return pick((x > -3.0F) & (x < 3.0F), dy * (1.0F / 6), set1(0));
    case LN__ACT_SIGMOID:
        return dy * (y * (1.0F - y));
    case LN__ACT_NONE:
        break;
    }
    return dy;
}

#endif
