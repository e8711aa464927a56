/* Batch normalisation (Ioffe and Szegedy, 2015) over batch and positions, as PyTorch's BatchNorm2d. norm: batch uses this batch's
 * statistics always (track_running_stats=False); norm: running keeps averages, the unbiased variance among them, and uses them
 * when it does not train. The plan may fuse an addition and an activation behind it: x[1] is then the other summand. */
#include "nn/graph.h"
#include "nn/layer.h"
#include "nn/onnx.h"

struct batchnorm_attr {
    float eps, momentum;
};
LN__ATTR_FITS(struct batchnorm_attr);

int ln__build_batchnorm(struct ln__graph *graph, int x, const char *name)
{
    return ln__build_batchnorm_as(graph, x, name, (struct ln__batchnorm){0});
}

int ln__build_batchnorm_as(struct ln__graph *graph, int x, const char *name, struct ln__batchnorm how)
{
    struct ln__node *node = ln__node_new(graph, &ln__layer_batchnorm, name, x, -1);
    if (!node)
        return -1;
    if (graph->node[x].flat && graph->node[x].shape.h * graph->node[x].shape.w > 1)
        return ln__graph_fail(graph, LN_ESHAPE, "%s: a normalisation of a flattened tensor", node->name);
    node->shape = graph->node[x].shape;
    struct batchnorm_attr *attr = ln__node_attr(node);
    attr->eps = how.eps != 0 ? (float)how.eps : 1e-5f;
    attr->momentum = how.momentum != 0 ? (float)how.momentum : 0.1f;
    if (!(attr->eps > 0 && attr->momentum > 0 && attr->momentum <= 1))
        return ln__graph_fail(graph, LN_EINVALID, "%s: epsilon %g and momentum %g; expected above 0, and the momentum at most 1", node->name, how.eps,
                              how.momentum);
    const int64_t c[] = {node->shape.c};
    ln__node_param(graph, node, "weight", 1, c, false, (struct ln__param_start){.fill = 1});
    ln__node_param(graph, node, "bias", 1, c, false, (struct ln__param_start){.fill = 0});
    if (graph->norm == LN__NORM_RUNNING) {
        ln__node_param(graph, node, "running_mean", 1, c, true, (struct ln__param_start){.fill = 0});
        ln__node_param(graph, node, "running_var", 1, c, true, (struct ln__param_start){.fill = 1});
    }
    return ln__node_done(graph, node);
}

float ln__batchnorm_eps(const struct ln__node *node)
{
    return ((const struct batchnorm_attr *)ln__node_attr_of(node))->eps;
}

void ln__batchnorm_learn(const struct ln__node *node, float *const param[LN__NODE_PARAMS], int count, const float *mean, const float *var)
{
    const struct batchnorm_attr *attr = ln__node_attr_of(node);
    float all = (float)count, unbiased = all > 1 ? all / (all - 1) : 1;
    for (int c = 0; c < node->shape.c; c++) {
        param[2][c] = (1 - attr->momentum) * param[2][c] + attr->momentum * mean[c];
        param[3][c] = (1 - attr->momentum) * param[3][c] + attr->momentum * unbiased * var[c];
    }
}

/* Whether the derivative of the activation is taken from y: where the summand, which is not kept, was added, and always in sparse sets. */
static bool from_y(enum ln__act act, bool summand, const struct ln__sparse_kset *set)
{
    return act != LN__ACT_NONE && (summand || set);
}

static void batchnorm_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    out->x[0] = true;
    out->y = from_y(args->act, args->inputs == 2, args->set);
    out->saved = 2 * ln__vector_floats(args->kset, args->node->shape.c) * sizeof(float); /* mean, variance */
    out->forward_over = out->backward_over = !args->set;
}

static void batchnorm_forward(const struct ln__call *call)
{
    const struct batchnorm_attr *attr = ln__node_attr_of(call->node);
    struct ln__shape shape = call->node->shape;
    int hw = shape.h * shape.w;
    bool running = call->norm == LN__NORM_RUNNING, fixed = running && !call->train;
    float *mean = fixed ? call->param[2] : call->saved, *var = fixed ? call->param[3] : mean + ln__vector_floats(call->kset, shape.c);
    if (fixed || call->anew) {
        call->kset->norm_apply(call->n, shape.c, hw, call->x[0], mean, var, call->param[0], call->param[1], attr->eps, call->act, call->x[1], call->y,
                               call->pool);
        return;
    }
    call->kset->norm_forward(call->n, shape.c, hw, call->x[0], call->param[0], call->param[1], attr->eps, call->act, call->x[1], call->y, mean, var,
                             call->pool);
    if (running)
        ln__batchnorm_learn(call->node, call->param, call->n * hw, mean, var);
}

static void batchnorm_backward(const struct ln__call *call)
{
    struct ln__shape shape = call->node->shape;
    const float *mean = call->saved, *var = mean + ln__vector_floats(call->kset, shape.c);
    const float *y = from_y(call->act, call->x[1] != NULL, call->set) ? call->y : NULL;
    call->kset->norm_grad(call->n, shape.c, shape.h * shape.w, call->x[0], y, call->dy, mean, var, call->param[0], call->param[1],
                          ln__batchnorm_eps(call->node), call->act, false, call->dx[0], call->add[0], call->dx[1], call->add[1], call->grad[0],
                          call->grad[1], call->pool);
}

/* With running statistics ONNX's own operator; with those of the batch, which it lacks, the formula. */
static void batchnorm_onnx(struct ln__onnx_call *call)
{
    const struct batchnorm_attr *attr = ln__node_attr_of(call->node);
    if (call->graph->norm == LN__NORM_RUNNING) {
        const char *in[] = {call->x[0], NULL, NULL, NULL, NULL, NULL};
        for (int i = 0; i < 4; i++)
            in[i + 1] = ln__onnx_param(call, i, 0, NULL);
        ln__onnx_op(call, "BatchNormalization", in, call->y, (const struct ln__onnx_attr[]){{"epsilon", LN__ONNX_FLOAT, .f = attr->eps}, {0}});
        return;
    }
    const int64_t dim[] = {call->node->shape.c, 1, 1};
    int dims = call->flat[0] ? 1 : 3;
    const struct ln__onnx_attr over[] = {{"axes", LN__ONNX_INTS, .ints = {0, 2, 3}, .count = (size_t)dims}, {"keepdims", LN__ONNX_INT, .i = 1}, {0}};
    const char *gamma = ln__onnx_param(call, 0, dims, dim), *beta = ln__onnx_param(call, 1, dims, dim);
    struct ln__onnx_name mean = ln__onnx_between(call, "mean"), centred = ln__onnx_between(call, "centred");
    struct ln__onnx_name square = ln__onnx_between(call, "square"), var = ln__onnx_between(call, "var"), above = ln__onnx_between(call, "above");
    struct ln__onnx_name std = ln__onnx_between(call, "std"), whitened = ln__onnx_between(call, "whitened");
    struct ln__onnx_name scaled = ln__onnx_between(call, "scaled"), eps = ln__onnx_real(call, "eps", attr->eps);
    ln__onnx_op(call, "ReduceMean", (const char *[]){call->x[0], NULL}, mean.text, over);
    ln__onnx_op(call, "Sub", (const char *[]){call->x[0], mean.text, NULL}, centred.text, NULL);
    ln__onnx_op(call, "Mul", (const char *[]){centred.text, centred.text, NULL}, square.text, NULL);
    ln__onnx_op(call, "ReduceMean", (const char *[]){square.text, NULL}, var.text, over);
    ln__onnx_op(call, "Add", (const char *[]){var.text, eps.text, NULL}, above.text, NULL);
    ln__onnx_op(call, "Sqrt", (const char *[]){above.text, NULL}, std.text, NULL);
    ln__onnx_op(call, "Div", (const char *[]){centred.text, std.text, NULL}, whitened.text, NULL);
    ln__onnx_op(call, "Mul", (const char *[]){whitened.text, gamma, NULL}, scaled.text, NULL);
    ln__onnx_op(call, "Add", (const char *[]){scaled.text, beta, NULL}, call->y, NULL);
}

const struct ln__layer ln__layer_batchnorm = {
    .name = "batchnorm", .needs = batchnorm_needs, .forward = batchnorm_forward, .backward = batchnorm_backward, .onnx = batchnorm_onnx};
