/* Stochastic depth (Huang et al., 2016), torchvision's mode "row": in training a whole sample of a residual branch is zeroed with
 * probability rate and the others scaled by 1 / (1 - rate); else nothing happens. Sample i takes word i of the node's stream. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"
#include <string.h>

struct depth_attr {
    float rate;
};
LN__ATTR_FITS(struct depth_attr);

static const struct ln__layer layer_stochastic_depth;

int ln__build_stochastic_depth(struct ln__graph *graph, int x, double rate)
{
    struct ln__node *node = ln__node_new(graph, &layer_stochastic_depth, "stochastic_depth", x, -1);
    if (!node)
        return -1;
    if (!(rate >= 0 && rate < 1))
        return ln__graph_fail(graph, LN_EINVALID, "a stochastic depth rate of %g; expected 0 or more and below 1", rate);
    node->shape = graph->node[x].shape;
    node->flat = graph->node[x].flat;
    node->nonnegative = graph->node[x].nonnegative;
    struct depth_attr *attr = ln__node_attr(node);
    attr->rate = (float)rate;
    return ln__node_done(graph, node);
}

static void depth_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    out->saved = args->train ? (size_t)args->batch * sizeof(float) : 0; /* each sample's factor */
    out->forward_over = true;
    out->backward_over = true;
}

/* Of a sample, or in the sparse sets' layout, channels outermost, of a channel's plane of a sample. */
struct rows {
    size_t count, size, samples;
    const float *factor, *x;
    float *y;
    bool add;
};

static struct rows rows_of(const struct ln__call *call)
{
    const struct ln__shape shape = call->node->shape;
    const size_t samples = (size_t)call->n, planes = call->set ? (size_t)shape.c : 1;
    return (struct rows){
        .count = planes * samples, .size = ln__layout_floats(call->kset, shape, 1) / planes, .samples = samples, .factor = call->saved};
}

static void scale_row(void *context, size_t row, unsigned worker)
{
    (void)worker;
    const struct rows *rows = context;
    const float *x = rows->x + row * rows->size, factor = rows->factor[row % rows->samples];
    float *y = rows->y + row * rows->size;
    if (rows->add) {
        for (size_t i = 0; i < rows->size; i++)
            y[i] += factor * x[i];
    } else if (factor == 0) { /* a zero whatever x is */
        memset(y, 0, rows->size * sizeof *y);
    } else {
        for (size_t i = 0; i < rows->size; i++)
            y[i] = factor * x[i];
    }
}

static void depth_forward(const struct ln__call *call)
{
    const struct depth_attr *attr = ln__node_attr_of(call->node);
    size_t size = ln__layout_floats(call->kset, call->node->shape, 1);
    if (!call->train) {
        if (call->y != call->x[0])
            memcpy(call->y, call->x[0], (size_t)call->n * size * sizeof(float));
        return;
    }
    float *factor = call->saved;
    for (int i = 0; i < call->n; i++) {
        uint32_t word[4];
        ln__rng_block(&call->key, (call->first + (uint64_t)i) / 4, word);
        factor[i] = (double)word[(call->first + (uint64_t)i) % 4] >= (double)attr->rate * 4294967296.0 ? 1 / (1 - attr->rate) : 0;
    }
    struct rows rows = rows_of(call);
    rows.x = call->x[0];
    rows.y = call->y;
    ln__pool_for(call->pool, rows.count, scale_row, &rows);
}

static void depth_backward(const struct ln__call *call)
{
    struct rows rows = rows_of(call);
    rows.x = call->dy;
    rows.y = call->dx[0];
    rows.add = call->add[0];
    if (rows.y)
        ln__pool_for(call->pool, rows.count, scale_row, &rows);
}

static void depth_onnx(struct ln__onnx_call *call)
{
    ln__onnx_same(call);
}

static const struct ln__layer layer_stochastic_depth = {
    .name = "stochastic_depth", .draws = true, .needs = depth_needs, .forward = depth_forward, .backward = depth_backward, .onnx = depth_onnx};
