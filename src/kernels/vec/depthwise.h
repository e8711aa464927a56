/* A depthwise convolution, plane by plane: what depthwise.c does over a tensor and sandwich.c between two norms is made of these. */
#ifndef LINNET_KERNELS_VEC_DEPTHWISE_H
#define LINNET_KERNELS_VEC_DEPTHWISE_H

#include "kernels/vec/conv.h"

struct depth {
    struct ln__conv conv; /* turned: the transposed one, which has stride 1 */
    int n, blocks, parts;
    size_t planes, grain;           /* planes [n][block] in all, and in a chunk */
    int pad_h, pad_w, top, left;    /* the padded plane, and its padding before */
    size_t pad_floats;              /* of one */
    const float *x, *dy, *w, *bias; /* w: may be turned round */
    float *out, *scratch, *sums;
    bool add, turned;
};

/* The geometry of the forward pass and the weight gradient; of the input gradient, which for stride 1 is a forward pass with the filter turned
 * round. The plane to be padded is the input's, or that of the outputs' gradient. */
struct depth LN_K(depth_forward_of)(const struct ln__conv *conv, int n);
struct depth LN_K(depth_back_of)(const struct ln__conv *conv, int n);

/* The zeros around a plane of h x w vectors; such a plane with them. */
void LN_K(depth_frame)(const struct depth *d, int h, int w, float *to);
void LN_K(depth_pad)(const struct depth *d, const float *plane, int h, int w, float *to);
/* One plane of outputs from a padded one; bias: V floats, or NULL. */
void LN_K(depth_outputs)(const struct depth *d, const float *x, const float *w, const float *bias, float *y);
/* The filter of one block as depth_inputs wants it. */
void LN_K(depth_turn)(const struct depth *d, const float *w, float *to);
/* One plane of input gradients from a padded plane of gradients. */
void LN_K(depth_inputs)(const struct depth *d, const float *dy, const float *w, float *dx);
/* Adds one plane's part of the weight gradient: a padded plane of inputs, a bare one of gradients. */
void LN_K(depth_taps)(const struct depth *d, const float *x, const float *dy, float *dw);

#endif
