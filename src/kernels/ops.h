/* The kernels of a set by name: LN_K(op) is the function of this set, ln_k_f32_<op>__<isa>, of the type kernels.h gives it.
 * Both the reference and the vector sources include this, after saying which set they are: LN_ISA and LN_V.
 * LN_B(op) is that of a bf16 set, ln_k_bf16_<op>__<isa>, for those that say LN_B_ISA too. */
#ifndef LINNET_KERNELS_OPS_H
#define LINNET_KERNELS_OPS_H

#include "kernels/kernels.h"

#define LN__JOIN2(a, b) a##b
#define LN__JOIN(a, b) LN__JOIN2(a, b)
#define LN__TEXT2(a) #a
#define LN__TEXT(a) LN__TEXT2(a)
#define LN_K(op) LN__JOIN(ln_k_f32_##op##__, LN_ISA)
#define LN_B(op) LN__JOIN(ln_k_bf16_##op##__, LN_B_ISA)

/* clang-format off */
#define LN__PRODUCTS(X) X(conv_algorithm) X(conv_scratch) X(conv_forward) X(conv_input_grad) X(conv_weight_grad) /* what bf16 sets have of their own */
#define LN__CONV_WEIGHTS(X) X(conv_weights) X(conv_pack) X(conv_unpack)                                           /* and masked sets, with the products */
#define LN__COMMON(X) \
    X(pack) X(unpack) X(linear_scratch) X(linear_forward) X(linear_backward) X(linear_weights) X(linear_pack) X(linear_unpack) \
    X(norm_forward) X(norm_apply) X(norm_grad) X(sandwich_scratch) X(sandwich_forward) X(sandwich_grad) \
    X(act_forward) X(act_grad) X(add) X(scale_forward) X(scale_grad) \
    X(maxpool_forward) X(relu_maxpool_forward) X(maxpool_grad) X(avgpool_forward) X(avgpool_grad) X(globalpool_forward) X(globalpool_grad) \
    X(dropout_forward) X(dropout_grad) X(softmax_loss) \
    X(sgd) X(adam) X(proximal) \
    X(fold_check) X(fold_add) X(fold_read) X(max_abs) X(to_f16) X(from_f16) X(peak)
#define LN__REST(X) LN__CONV_WEIGHTS(X) LN__COMMON(X)
#define LN__OPS(X) LN__PRODUCTS(X) LN__REST(X)
/* clang-format on */
#define LN__DECLARE(op) __typeof__(*((struct ln__kset *)0)->op) LN_K(op);
LN__OPS(LN__DECLARE)
#undef LN__DECLARE
#define LN__DECLARE_PRODUCT(op) __typeof__(*((struct ln__kset *)0)->op) LN_B(op);
#define LN__DECLARE_PRODUCTS LN__PRODUCTS(LN__DECLARE_PRODUCT)

#endif
