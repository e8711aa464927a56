/* bfloat16 products: what every set agrees on.
 *
 * A bf16 set is a whole kernel set (kernels.h) of which only some products differ: where ln__bf16_takes says so, convolutions round both
 * operands of a product to bfloat16 (activations, output gradients, weights) and add the products up in float. What comes in and goes out
 * stays float: weights, gradients, biases and their gradients, norms, loss and optimiser; so do linear layers, which memory holds up: their
 * weights are read once a step, and to round them is to read and write them once more. Layouts are those of the float set.
 *
 * Rounding is to nearest, ties to even, the same bits in every set; a NaN stays one and becomes quiet, what is beyond the largest bfloat16
 * becomes infinite. The sums differ in their last bits: the reference adds in double; the portable form ("-emulated") with two fused
 * multiply-adds a pair, the odd one first, as AVX-512's vdpbf16ps, which takes denormals for zero; ARM's bfdot rounds to odd in between. The
 * name of the set in a run's record says which it was. */
#ifndef LINNET_KERNELS_BF16_H
#define LINNET_KERNELS_BF16_H

#include "kernels/kernels.h"
#include <string.h>

static inline uint16_t ln__bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float ln__bf16_float(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Whether this convolution multiplies in bfloat16, in all its passes: a fixed function of the shape, the same for every set. */
bool ln__bf16_takes(const struct ln__conv *conv);

#endif
