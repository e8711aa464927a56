/* Flatten: only a word. The tensor stays as it lies, and linear takes it so. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"

static void flatten_onnx(struct ln__onnx_call *call)
{
    struct ln__onnx_name flat = ln__onnx_flat(call, 0);
    ln__onnx_op(call, "Identity", (const char *[]){flat.text, NULL}, call->y, NULL);
    call->y_flat = true;
}

static const struct ln__layer layer_flatten = {.name = "flatten", .view = true, .onnx = flatten_onnx};

int ln__build_flatten(struct ln__graph *graph, int x)
{
    struct ln__node *node = ln__node_new(graph, &layer_flatten, "flatten", x, -1);
    if (!node)
        return -1;
    struct ln__node *from = &graph->node[x];
    int64_t features = (int64_t)from->shape.c * from->shape.h * from->shape.w;
    if (!from->layer && graph->nodes == 2 && features <= INT32_MAX) { /* a model that begins so: its input comes as features, which lie densely */
        from->shape = (struct ln__shape){(int)features, 1, 1};
        from->flat = true;
    }
    node->shape = from->shape;
    node->nonnegative = graph->node[x].nonnegative;
    node->flat = true;
    return ln__node_done(graph, node);
}
