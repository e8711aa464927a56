/* Batch norm on one plane: hw vectors of one channel block of one sample. What norm.c does over a tensor and sandwich.c around a depthwise
 * convolution is made of these. */
#ifndef LINNET_KERNELS_VEC_NORM_H
#define LINNET_KERNELS_VEC_NORM_H

#include "kernels/vec/act.h"

/* One channel block: y = act((x - mean) * scale + shift [+ residual]), scale = gamma * inv. */
struct bn {
    vf mean, inv, scale, shift;
    enum ln__act act;
};

/* dx = g * scale + (x - mean) * slope + offset, where g = dy behind the activation. */
struct bn_slope {
    vf slope, offset;
};

/* All vectors of the tensors [.][c] begin at channel block `block`. */
INLINE struct bn bn_at(int block, const float *mean, const float *var, const float *gamma, const float *beta, float eps, enum ln__act act)
{
    struct bn bn = {.mean = load(mean + block * LN_V), .inv = set1(1) / vsqrt(load(var + block * LN_V) + eps), .act = act};
    bn.scale = load(gamma + block * LN_V) * bn.inv;
    bn.shift = load(beta + block * LN_V);
    return bn;
}

/* Mean and variance from the sums of x - shift and of its square. */
INLINE void bn_finish(float count, vf shift, const vf sums[2], float *mean, float *var)
{
    vf m = sums[0] / count;
    store(mean, m + shift);
    store(var, vmax((vf){0}, sums[1] / count - m * m));
}

/* dbeta and dgamma from the sums of g and of g (x - mean), and what follows for dx. */
INLINE struct bn_slope bn_slope_of(const struct bn *bn, float count, bool frozen, const vf sums[2], float *dgamma, float *dbeta)
{
    vf gamma = sums[1] * bn->inv;
    store(dbeta, sums[0]);
    store(dgamma, gamma);
    if (frozen)
        return (struct bn_slope){{0}, {0}};
    return (struct bn_slope){-(bn->scale * bn->inv * gamma) / count, -(bn->scale * sums[0]) / count};
}

/* Whether the derivative costs so much more than a pass over memory that g is kept between the two passes of a gradient. */
INLINE bool bn_keeps(enum ln__act act)
{
    return act == LN__ACT_HARDSWISH || act == LN__ACT_SILU;
}

/* Adds to sums: x - shift, and its square. */
void LN_K(bn_moments)(const float *x, int hw, const vf *shift, vf sums[2]);
/* residual may be NULL; y may be x. */
void LN_K(bn_apply)(const struct bn *bn, const float *x, const float *residual, float *y, int hw);
/* Adds to sums: g, and g (x - mean). y NULL: the activation's argument is made from x. g: where it is kept, or NULL; may be dy. */
void LN_K(bn_dots)(const struct bn *bn, const float *x, const float *y, const float *dy, float *g, int hw, vf sums[2]);

struct bn_grad {
    const float *x, *y, *dy; /* as bn_dots; x and dy may be dx */
    float *dx, *dresidual;   /* dresidual: NULL, or gets g */
    bool add, add_residual;
};
void LN_K(bn_grad)(const struct bn *bn, const struct bn_slope *slope, const struct bn_grad *to, int hw);

#endif
