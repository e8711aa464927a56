/* Batch norm, depthwise convolution, batch norm, each norm with its activation, in one step: what the blocks of mobile networks are made of.
 * No graph has it; the plan makes it of the three (fuse.c). node is the convolution, before and behind are the norms. Only the input is
 * kept for backward. */
#include "nn/layer.h"

static struct ln__conv conv_of(const struct ln__node *node)
{
    struct ln__conv conv;
    node->layer->conv(node, &conv);
    return conv;
}

static void sandwich_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    struct ln__conv conv = conv_of(args->node);
    out->x[0] = true;
    out->forward_over = out->backward_over = true;
    out->saved = 4 * ln__vector_floats(args->kset, conv.ci) * sizeof(float); /* mean and variance of both norms */
    out->scratch_forward = args->kset->sandwich_scratch(&conv, false, args->batch, args->width);
    if (args->train)
        out->scratch_backward = args->kset->sandwich_scratch(&conv, true, args->batch, args->width);
}

/* fixed: with the running statistics. */
static struct ln__norm_of norm_of(const struct ln__call_norm *norm, float *saved, size_t floats, bool fixed)
{
    return (struct ln__norm_of){.gamma = norm->param[0],
                                .beta = norm->param[1],
                                .eps = ln__batchnorm_eps(norm->node),
                                .act = norm->act,
                                .mean = fixed ? norm->param[2] : saved,
                                .var = fixed ? norm->param[3] : saved + floats,
                                .dgamma = norm->grad[0],
                                .dbeta = norm->grad[1]};
}

static void sandwich_forward(const struct ln__call *call)
{
    struct ln__conv conv = conv_of(call->node);
    size_t floats = ln__vector_floats(call->kset, conv.ci);
    bool running = call->norm == LN__NORM_RUNNING, fixed = running && !call->train;
    float *saved = call->saved;
    const struct ln__norm_of norm[2] = {norm_of(&call->before, saved, floats, fixed), norm_of(&call->behind, saved + 2 * floats, floats, fixed)};
    call->kset->sandwich_forward(&conv, call->n, call->x[0], norm, fixed || call->anew, call->param[0], call->y, call->scratch, call->pool);
    if (!running || fixed || call->anew)
        return;
    ln__batchnorm_learn(call->before.node, call->before.param, call->n * conv.hi * conv.wi, norm[0].mean, norm[0].var);
    ln__batchnorm_learn(call->behind.node, call->behind.param, call->n * conv.ho * conv.wo, norm[1].mean, norm[1].var);
}

static void sandwich_backward(const struct ln__call *call)
{
    struct ln__conv conv = conv_of(call->node);
    size_t floats = ln__vector_floats(call->kset, conv.ci);
    float *saved = call->saved;
    const struct ln__norm_of norm[2] = {norm_of(&call->before, saved, floats, false), norm_of(&call->behind, saved + 2 * floats, floats, false)};
    call->kset->sandwich_grad(&conv, call->n, call->x[0], norm, call->param[0], call->dy, call->dx[0], call->grad[0], call->scratch, call->pool);
}

const struct ln__layer ln__layer_sandwich = {
    .name = "norm-conv-norm", .needs = sandwich_needs, .forward = sandwich_forward, .backward = sandwich_backward};
