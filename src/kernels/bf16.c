#include "kernels/bf16.h"

/* Where products in float are as quick at half the rate (measured with vdpbf16ps on a Zen 5: docs/results.md). What Winograd computes: F(4x4, 3x3)
 * and F(4x4, 5x5) have a quarter and a sixth of the products, which is worth as much as twice the rate and more. Few channels on either
 * side, of 1x1 convolutions fewer than 64: to round an input costs more than it saves. Grouped and depthwise ones: there is nothing to pair. */
bool ln__bf16_takes(const struct ln__conv *conv)
{
    int area = conv->kh * conv->kw, least = area > 1 ? 16 : 64;
    if (conv->groups > 1 || conv->ci < least || conv->co < least)
        return false;
    bool square = conv->kh == conv->kw && conv->stride == 1 && conv->top < conv->kh && conv->left < conv->kw;
    return !(square && (conv->kh == 3 || conv->kh == 5) && conv->ho >= 4 && conv->wo >= 4);
}
