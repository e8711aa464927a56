#include "kernels/bf16.h"

/* Where products in float are as quick at half the rate. What Winograd computes: F(4x4, 3x3) and F(4x4, 5x5) have a quarter and a sixth of the
 * products, which is worth as much as twice the rate and more. 1x1 convolutions to few channels: to round an input costs as much as it
 * saves. Grouped and depthwise ones: there is nothing to pair. */
bool ln__bf16_takes(const struct ln__conv *conv, enum ln__pass pass)
{
    int outs = pass == LN__INPUT_GRAD ? conv->ci : conv->co;
    bool square = conv->kh == conv->kw && conv->stride == 1 && conv->top < conv->kh && conv->left < conv->kw;
    if (conv->groups > 1)
        return false;
    if (square && (conv->kh == 3 || conv->kh == 5) && conv->ci >= 16 && conv->co >= 16 && conv->ho >= 4 && conv->wo >= 4)
        return false;
    return pass == LN__WEIGHT_GRAD || conv->kh * conv->kw > 1 || outs >= 64;
}
