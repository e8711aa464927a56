/* Maximum over k x k windows; the index of the first maximum in row order is kept for backward. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"

LN__ATTR_FITS(struct ln__window);

int ln__build_maxpool(struct ln__graph *graph, int x, int k, int stride, int pad)
{
    struct ln__node *node = ln__node_new(graph, &ln__layer_maxpool, "maxpool", x, -1);
    if (!node)
        return -1;
    struct ln__shape in = graph->node[x].shape;
    if (graph->node[x].flat || k < 1 || k > 15 || stride < 1 || pad < 0 || 2 * pad > k || in.h + 2 * pad < k || in.w + 2 * pad < k)
        return ln__graph_fail(graph, LN_ESHAPE, "a maximum over windows of %d (stride %d, padding %d) does not fit %d x %d x %d", k, stride, pad,
                              in.c, in.h, in.w);
    node->shape = (struct ln__shape){in.c, (in.h + 2 * pad - k) / stride + 1, (in.w + 2 * pad - k) / stride + 1};
    node->nonnegative = graph->node[x].nonnegative;
    struct ln__window *window = ln__node_attr(node);
    *window = (struct ln__window){in.c, in.h, in.w, node->shape.h, node->shape.w, k, stride, pad, pad};
    return ln__node_done(graph, node);
}

static void maxpool_narrow(struct ln__node *node, int in)
{
    ((struct ln__window *)ln__node_attr(node))->c = in;
}

static void maxpool_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    out->saved = ln__layout_floats(args->kset, args->node->shape, args->batch);
}

static void maxpool_forward(const struct ln__call *call)
{
    if (call->act == LN__ACT_RELU)
        call->kset->relu_maxpool_forward(ln__node_attr_of(call->node), call->n, call->x[0], call->y, call->saved, call->pool);
    else
        call->kset->maxpool_forward(ln__node_attr_of(call->node), call->n, call->x[0], call->y, call->saved, call->pool);
}

static void maxpool_backward(const struct ln__call *call)
{
    if (call->dx[0])
        call->kset->maxpool_grad(ln__node_attr_of(call->node), call->n, call->saved, call->dy, call->dx[0], call->add[0], call->pool);
}

static void maxpool_onnx(struct ln__onnx_call *call)
{
    const struct ln__window *w = ln__node_attr_of(call->node);
    struct ln__onnx_name x = ln__onnx_spatial(call, 0);
    int below = (w->ho - 1) * w->stride + w->k - w->hi - w->top, right = (w->wo - 1) * w->stride + w->k - w->wi - w->left;
    const struct ln__onnx_attr attr[] = {{"kernel_shape", LN__ONNX_INTS, .ints = {w->k, w->k}, .count = 2},
                                         {"strides", LN__ONNX_INTS, .ints = {w->stride, w->stride}, .count = 2},
                                         {"pads", LN__ONNX_INTS, .ints = {w->top, w->left, below > 0 ? below : 0, right > 0 ? right : 0}, .count = 4},
                                         {0}};
    ln__onnx_op(call, "MaxPool", (const char *[]){x.text, NULL}, call->y, attr);
    call->y_flat = false;
}

const struct ln__layer ln__layer_maxpool = {.name = "maxpool",
                                            .narrow = maxpool_narrow,
                                            .needs = maxpool_needs,
                                            .forward = maxpool_forward,
                                            .backward = maxpool_backward,
                                            .onnx = maxpool_onnx};
