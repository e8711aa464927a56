/* 2-D convolution: y[o] = bias[o] + sum over the group's inputs and taps of x * w; zeros outside. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"
#include <math.h>

struct conv2d_attr {
    struct ln__conv conv;
    bool bias;
};
LN__ATTR_FITS(struct conv2d_attr);

static const struct ln__layer layer_conv2d;

/* Outputs of one extent, and zeros in front of it. */
static int outputs(const struct ln__conv2d *conv, int stride, int in, int *before)
{
    if (!conv->same) {
        *before = conv->pad;
        return (in + 2 * conv->pad - conv->k) / stride + 1;
    }
    int out = (in + stride - 1) / stride, zeros = (out - 1) * stride + conv->k - in;
    *before = zeros > 0 ? zeros / 2 : 0;
    return out;
}

int ln__build_conv2d(struct ln__graph *graph, int x, const char *name, struct ln__conv2d conv)
{
    struct ln__node *node = ln__node_new(graph, &layer_conv2d, name, x, -1);
    if (!node)
        return -1;
    struct ln__shape in = graph->node[x].shape;
    int stride = conv.stride ? conv.stride : 1, groups = conv.groups ? conv.groups : 1, k = conv.k;
    if (graph->node[x].flat && (in.h > 1 || in.w > 1))
        return ln__graph_fail(graph, LN_ESHAPE, "%s: a convolution of a flattened tensor", node->name);
    if (k < 1 || stride < 1 || groups < 1 || conv.out < 1 || conv.pad < 0 || conv.pad >= k || in.c % groups || conv.out % groups)
        return ln__graph_fail(graph, LN_ESHAPE, "%s: %d -> %d channels, kernel %d, stride %d, padding %d, %d groups is not possible", node->name,
                              in.c, conv.out, k, stride, conv.pad, groups);
    if (!conv.same && (in.h + 2 * conv.pad < k || in.w + 2 * conv.pad < k))
        return ln__graph_fail(graph, LN_ESHAPE, "%s: a %d x %d kernel does not fit an input of %d x %d", node->name, k, k, in.h, in.w);
    int top, left, ho = outputs(&conv, stride, in.h, &top), wo = outputs(&conv, stride, in.w, &left);
    node->shape = (struct ln__shape){conv.out, ho, wo};
    struct conv2d_attr *attr = ln__node_attr(node);
    *attr = (struct conv2d_attr){.conv = {.ci = in.c,
                                          .hi = in.h,
                                          .wi = in.w,
                                          .co = conv.out,
                                          .ho = node->shape.h,
                                          .wo = node->shape.w,
                                          .kh = k,
                                          .kw = k,
                                          .stride = stride,
                                          .top = top,
                                          .left = left,
                                          .groups = groups},
                                 .bias = conv.bias};
    int fan_in = in.c / groups * k * k;
    node->macs = (uint64_t)fan_in * (uint64_t)conv.out * (uint64_t)node->shape.h * (uint64_t)node->shape.w;
    struct ln__param_start start = {.bound = (float)(1 / sqrt(fan_in))};
    ln__node_param(graph, node, "weight", 4, (const int64_t[]){conv.out, in.c / groups, k, k}, false, start);
    if (conv.bias)
        ln__node_param(graph, node, "bias", 1, (const int64_t[]){conv.out}, false, start);
    return ln__node_done(graph, node);
}

static const struct ln__conv *conv_of(const struct ln__node *node)
{
    return &((const struct conv2d_attr *)ln__node_attr_of(node))->conv;
}

static bool conv2d_conv(const struct ln__node *node, struct ln__conv *out)
{
    *out = *conv_of(node);
    return true;
}

static void conv2d_narrow(struct ln__node *node, int in)
{
    struct ln__conv *conv = &((struct conv2d_attr *)ln__node_attr(node))->conv;
    if (conv->groups == conv->ci && conv->groups == conv->co) /* depthwise */
        conv->groups = in;
    conv->ci = in;
    conv->co = node->shape.c;
    node->macs = (uint64_t)(in / conv->groups * conv->kh * conv->kw) * (uint64_t)conv->co * (uint64_t)conv->ho * (uint64_t)conv->wo;
}

static size_t conv2d_weight_size(const struct ln__node *node, const struct ln__kset *kset)
{
    return kset->conv_weights(conv_of(node));
}

static void conv2d_weight_pack(const struct ln__node *node, const struct ln__kset *kset, const float *canonical, float *packed)
{
    kset->conv_pack(conv_of(node), canonical, packed);
}

static void conv2d_weight_unpack(const struct ln__node *node, const struct ln__kset *kset, const float *packed, float *canonical)
{
    kset->conv_unpack(conv_of(node), packed, canonical);
}

static void conv2d_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    const struct ln__conv *conv = conv_of(args->node);
    if (args->sparse) {
        ln__sparse_needs(args, out);
        return;
    }
    out->x[0] = true;
    out->scratch_forward = args->kset->conv_scratch(conv, LN__FORWARD, args->batch, args->width);
    if (!args->train)
        return;
    size_t input = args->kset->conv_scratch(conv, LN__INPUT_GRAD, args->batch, args->width);
    size_t weight = args->kset->conv_scratch(conv, LN__WEIGHT_GRAD, args->batch, args->width);
    out->scratch_backward = input > weight ? input : weight;
}

static void conv2d_forward(const struct ln__call *call)
{
    if (call->sparse) {
        ln__sparse_forward(call);
        return;
    }
    const float *bias = call->node->params > 1 ? call->param[1] : NULL;
    call->kset->conv_forward(conv_of(call->node), call->n, call->x[0], call->param[0], bias, call->y, call->scratch, call->pool);
}

static void conv2d_backward(const struct ln__call *call)
{
    if (call->sparse) {
        ln__sparse_backward(call);
        return;
    }
    const struct ln__conv *conv = conv_of(call->node);
    float *dbias = call->node->params > 1 ? call->grad[1] : NULL;
    call->kset->conv_weight_grad(conv, call->n, call->x[0], call->dy, call->grad[0], dbias, call->scratch, call->pool);
    if (call->dx[0])
        call->kset->conv_input_grad(conv, call->n, call->dy, call->param[0], call->dx[0], call->add[0], call->scratch, call->pool);
}

static void conv2d_onnx(struct ln__onnx_call *call)
{
    const struct ln__conv *conv = conv_of(call->node);
    struct ln__onnx_name x = ln__onnx_spatial(call, 0);
    /* what is padded below and right may be less than above and left, and what the last window does not reach is nothing */
    int below = (conv->ho - 1) * conv->stride + conv->kh - conv->hi - conv->top,
        right = (conv->wo - 1) * conv->stride + conv->kw - conv->wi - conv->left;
    const struct ln__onnx_attr attr[] = {
        {"kernel_shape", LN__ONNX_INTS, .ints = {conv->kh, conv->kw}, .count = 2},
        {"strides", LN__ONNX_INTS, .ints = {conv->stride, conv->stride}, .count = 2},
        {"pads", LN__ONNX_INTS, .ints = {conv->top, conv->left, below > 0 ? below : 0, right > 0 ? right : 0}, .count = 4},
        {"group", LN__ONNX_INT, .i = conv->groups},
        {0}};
    const char *weight = ln__onnx_param(call, 0, 0, NULL), *bias = call->node->params > 1 ? ln__onnx_param(call, 1, 0, NULL) : NULL;
    ln__onnx_op(call, "Conv", (const char *[]){x.text, weight, bias, NULL}, call->y, attr);
    call->y_flat = false;
}

static const struct ln__layer layer_conv2d = {.name = "conv2d",
                                              .weight_size = conv2d_weight_size,
                                              .weight_pack = conv2d_weight_pack,
                                              .weight_unpack = conv2d_weight_unpack,
                                              .narrow = conv2d_narrow,
                                              .conv = conv2d_conv,
                                              .needs = conv2d_needs,
                                              .forward = conv2d_forward,
                                              .backward = conv2d_backward,
                                              .onnx = conv2d_onnx};
