/* y = x W' + bias. The input may be activations of any shape that were flattened: the kernel takes them as they lie. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"
#include <math.h>

LN__ATTR_FITS(struct ln__linear);

static const struct ln__layer layer_linear;

int ln__build_linear(struct ln__graph *graph, int x, const char *name, int out, bool bias)
{
    struct ln__node *node = ln__node_new(graph, &layer_linear, name, x, -1);
    if (!node)
        return -1;
    struct ln__shape in = graph->node[x].shape;
    if (!graph->node[x].flat && (in.h > 1 || in.w > 1))
        return ln__graph_fail(graph, LN_ESHAPE, "%s: a linear layer wants a flattened tensor, not %d x %d x %d", node->name, in.c, in.h, in.w);
    int64_t features = (int64_t)in.c * in.h * in.w;
    if (out < 1 || features > INT32_MAX)
        return ln__graph_fail(graph, LN_ESHAPE, "%s: %lld -> %d features is not possible", node->name, (long long)features, out);
    node->shape = (struct ln__shape){out, 1, 1};
    struct ln__linear *linear = ln__node_attr(node);
    *linear = (struct ln__linear){.ci = in.c, .hi = in.h, .wi = in.w, .co = out};
    node->macs = (uint64_t)features * (uint64_t)out;
    struct ln__param_start start = {.bound = (float)(1 / sqrt((double)features))};
    ln__node_param(graph, node, "weight", 2, (const int64_t[]){out, features}, false, start);
    if (bias)
        ln__node_param(graph, node, "bias", 1, (const int64_t[]){out}, false, start);
    return ln__node_done(graph, node);
}

static bool linear_conv(const struct ln__node *node, struct ln__conv *out)
{
    *out = ln__sparse_linear(ln__node_attr_of(node));
    return true;
}

static void linear_narrow(struct ln__node *node, int in)
{
    struct ln__linear *linear = ln__node_attr(node);
    linear->ci = in;
    linear->co = node->shape.c;
    node->macs = (uint64_t)linear->ci * (uint64_t)linear->hi * (uint64_t)linear->wi * (uint64_t)linear->co;
}

static size_t linear_weight_size(const struct ln__node *node, const struct ln__kset *kset)
{
    return kset->linear_weights(ln__node_attr_of(node));
}

static void linear_weight_pack(const struct ln__node *node, const struct ln__kset *kset, const float *canonical, float *packed)
{
    kset->linear_pack(ln__node_attr_of(node), canonical, packed);
}

static void linear_weight_unpack(const struct ln__node *node, const struct ln__kset *kset, const float *packed, float *canonical)
{
    kset->linear_unpack(ln__node_attr_of(node), packed, canonical);
}

static void linear_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    const struct ln__linear *linear = ln__node_attr_of(args->node);
    if (args->sparse) {
        ln__sparse_needs(args, out);
        return;
    }
    out->x[0] = true;
    out->scratch_forward = args->kset->linear_scratch(linear, LN__FORWARD, args->batch, args->width);
    if (!args->train)
        return;
    out->scratch_backward = args->kset->linear_scratch(linear, LN__WEIGHT_GRAD, args->batch, args->width);
    out->sinks = true;
}

static void linear_forward(const struct ln__call *call)
{
    if (call->sparse) {
        ln__sparse_forward(call);
        return;
    }
    const float *bias = call->node->params > 1 ? call->param[1] : NULL;
    call->kset->linear_forward(ln__node_attr_of(call->node), call->n, call->x[0], call->param[0], bias, call->y, call->scratch, call->pool);
}

static void linear_backward(const struct ln__call *call)
{
    if (call->sparse) {
        ln__sparse_backward(call);
        return;
    }
    const struct ln__linear *linear = ln__node_attr_of(call->node);
    float *dbias = call->node->params > 1 ? call->grad[1] : NULL;
    call->kset->linear_backward(linear, call->n, call->x[0], call->dy, call->param[0], call->dx[0], call->add[0], call->grad[0], dbias, call->sink,
                                call->scratch, call->pool);
}

static void linear_onnx(struct ln__onnx_call *call)
{
    struct ln__onnx_name x = ln__onnx_flat(call, 0);
    const char *weight = ln__onnx_param(call, 0, 0, NULL), *bias = call->node->params > 1 ? ln__onnx_param(call, 1, 0, NULL) : NULL;
    ln__onnx_op(call, "Gemm", (const char *[]){x.text, weight, bias, NULL}, call->y,
                (const struct ln__onnx_attr[]){{"transB", LN__ONNX_INT, .i = 1}, {0}});
    call->y_flat = true;
}

static const struct ln__layer layer_linear = {.name = "linear",
                                              .weight_size = linear_weight_size,
                                              .weight_pack = linear_weight_pack,
                                              .weight_unpack = linear_weight_unpack,
                                              .narrow = linear_narrow,
                                              .conv = linear_conv,
                                              .needs = linear_needs,
                                              .forward = linear_forward,
                                              .backward = linear_backward,
                                              .onnx = linear_onnx};
