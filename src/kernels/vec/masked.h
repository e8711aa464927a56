/* What the sources of a masked set share: names, and linear layers that mask as they go (masked_linear.c), since a masked copy of the weights would
 * cost a small batch more than the products. */
#ifndef LINNET_KERNELS_VEC_MASKED_H
#define LINNET_KERNELS_VEC_MASKED_H

#include "kernels/ops.h"
#include "kernels/sparse.h"

#define LN_KM(op) LN__JOIN(ln_k_f32_##op##_masked__, LN_ISA)

/* Of at least LN_V input channels. */
size_t LN_KM(linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width);
void LN_KM(linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, float threshold, const float *bias, float *y,
                           float *scratch, struct ln__pool *pool);
void LN_KM(linear_input_grad)(const struct ln__linear *linear, int n, const float *dy, const float *w, float threshold, float *dx, bool add,
                              float *scratch, struct ln__pool *pool);

#endif
