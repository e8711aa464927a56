#include "nn/submodel.h"

#include "base/mem.h"
#include "nn/layer.h"
#include <math.h>
#include <string.h>

#define ALMOST 1e-9 /* 0.2 of 5 channels are one, however 0.2 is rounded */

struct group {
    int *channel; /* [count] of those that are kept, ascending */
    int count, all;
    bool whole; /* nothing is left out */
};

/* A tensor as [out][in][rest]; groups -1: that extent is 1. */
struct tensor {
    int out, in;
    size_t rest;
};

struct ln__submodel {
    struct ln__graph *graph;
    const struct ln__param *outer; /* the tensors of what it is taken from */
    struct group *group;           /* [nodes]: those that are some node's */
    int *of_node;                  /* [nodes] */
    int *channels;                 /* of all groups */
    struct tensor *tensor;         /* [params] */
    int nodes, params;
};

/* ---- groups ---- */

static int root(int *of, int node)
{
    while (of[node] != node)
        node = of[node];
    return node;
}

/* The lower number stands for both, so the input's stays itself. */
static void join(int *of, int a, int b)
{
    a = root(of, a);
    b = root(of, b);
    of[a < b ? b : a] = a < b ? a : b;
}

static bool is_linear(const struct ln__node *node)
{
    return node->layer && strcmp(node->layer->name, "linear") == 0;
}

/* Its output's channels are its own; with conv where it is one. */
static bool is_source(const struct ln__node *node, struct ln__conv *conv)
{
    *conv = (struct ln__conv){.groups = 1};
    return !node->layer ||
           (node->layer->conv && node->layer->conv(node, conv) && !(conv->groups > 1 && conv->groups == conv->ci && conv->ci == conv->co));
}

static void find_groups(const struct ln__graph *graph, struct ln__submodel *out)
{
    for (int i = 0; i < graph->nodes; i++) {
        const struct ln__node *node = &graph->node[i];
        struct ln__conv conv;
        out->of_node[i] = i;
        for (int k = 0; k < node->inputs && !is_source(node, &conv); k++)
            join(out->of_node, i, node->in[k]);
    }
    for (int i = 0; i < graph->nodes; i++)
        out->of_node[i] = root(out->of_node, i);
    for (int i = 0; i < graph->nodes; i++) {
        const struct ln__node *node = &graph->node[i];
        struct ln__conv conv;
        struct group *group = &out->group[out->of_node[i]];
        group->all = node->shape.c;
        if (i == 0 || i == graph->nodes - 1)
            group->whole = true;
        if (is_source(node, &conv) && conv.groups > 1)
            group->whole = out->group[out->of_node[node->in[0]]].whole = true;
    }
}

/* ---- channels ---- */

static void choose(struct group *group, const struct ln__submodel_args *args, uint64_t stream)
{
    int wanted = (int)ceil(args->how.share * group->all - ALMOST);
    group->count = group->whole || wanted > group->all ? group->all : wanted < 1 ? 1 : wanted;
    for (int c = 0; c < group->all; c++)
        group->channel[c] = c;
    if (!args->how.random || group->count == group->all)
        return;
    struct ln__key key = args->key;
    key.purpose = LN__FOR_SUBMODEL;
    struct ln__rng rng = ln__rng_at(key);
    rng.index = stream << 32;
    /* those that are taken come in order: each with the chance that so many of the rest are still wanted */
    int taken = 0;
    for (int c = 0; c < group->all; c++) {
        if ((int)ln__rng_below(&rng, (uint32_t)(group->all - c)) < group->count - taken)
            group->channel[taken++] = c;
    }
}

/* The channels of `to` by their places among those of `from`. */
static bool relate(struct group *to, const struct group *from)
{
    int at = 0;
    for (int c = 0; c < to->count; c++, at++) {
        while (at < from->count && from->channel[at] < to->channel[c])
            at++;
        if (at == from->count || from->channel[at] != to->channel[c])
            return false;
        to->channel[c] = at;
    }
    to->all = from->count;
    return true;
}

/* ---- the small network ---- */

static void narrow_nodes(struct ln__submodel *out)
{
    struct ln__graph *graph = out->graph;
    for (int i = 1; i < graph->nodes; i++) {
        struct ln__node *node = &graph->node[i];
        node->shape.c = out->group[out->of_node[i]].count;
        if (node->layer->narrow)
            node->layer->narrow(node, out->group[out->of_node[node->in[0]]].count);
    }
}

static void narrow_params(const struct ln__graph *whole, struct ln__submodel *out)
{
    struct ln__graph *graph = out->graph;
    size_t offset = 0;
    for (int p = 0; p < graph->params; p++) {
        struct ln__param *param = &graph->param[p];
        const struct ln__node *node = &whole->node[param->node];
        struct ln__conv conv;
        struct tensor *tensor = &out->tensor[p];
        *tensor = (struct tensor){.out = out->of_node[param->node], .in = -1, .rest = 1};
        for (int d = 1; d < param->dims; d++)
            tensor->rest *= (size_t)param->dim[d];
        param->dim[0] = out->group[tensor->out].count;
        if (param->dims > 1 && is_source(node, &conv) && conv.groups == 1) {
            size_t channels = (size_t)whole->node[node->in[0]].shape.c;
            tensor->in = out->of_node[node->in[0]];
            tensor->rest /= channels;
            size_t kept = (size_t)out->group[tensor->in].count;
            param->dim[1] = (int64_t)(is_linear(node) ? kept * tensor->rest : kept);
        }
        param->count = 1;
        for (int d = 0; d < param->dims; d++)
            param->count *= (size_t)param->dim[d];
        param->offset = offset;
        offset += param->count;
        if (p + 1 == graph->trainable_params)
            graph->trainable = offset;
    }
    graph->state = offset;
}

static void *copied(const void *from, int count, size_t size)
{
    void *to = ln__mem_alloc((size_t)count * size);
    if (to)
        memcpy(to, from, (size_t)count * size);
    return to;
}

/* All that ln__graph_free frees is the copy's own. */
static bool copy_graph(const struct ln__graph *from, struct ln__submodel *out)
{
    struct ln__graph *graph = copied(from, 1, sizeof *from);
    out->graph = graph;
    if (!graph)
        return false;
    graph->node = copied(from->node, from->nodes, sizeof *from->node);
    graph->param = copied(from->param, from->params, sizeof *from->param);
    graph->start = copied(from->start, from->params, sizeof *from->start);
    graph->cut = from->cuts ? copied(from->cut, from->cuts, sizeof *from->cut) : NULL;
    return graph->node && graph->param && graph->start && (graph->cut || !from->cuts);
}

static int fill(const struct ln__submodel_args *args, struct ln__submodel *out)
{
    const struct ln__graph *graph = args->graph;
    size_t channels = 0;
    find_groups(graph, out);
    for (int i = 0; i < graph->nodes; i++)
        channels += out->of_node[i] == i ? (size_t)out->group[i].all : 0;
    out->channels = ln__mem_alloc(channels * sizeof *out->channels);
    if (!out->channels || !copy_graph(graph, out))
        return LN_ENOMEM;
    int *next = out->channels;
    for (int i = 0; i < graph->nodes; i++) {
        if (out->of_node[i] != i)
            continue;
        out->group[i].channel = next;
        next += out->group[i].all;
        choose(&out->group[i], args, (uint64_t)i);
    }
    narrow_nodes(out);
    narrow_params(graph, out);
    out->outer = args->within ? args->within->graph->param : graph->param;
    for (int i = 0; i < graph->nodes && args->within; i++) {
        if (out->of_node[i] == i && !relate(&out->group[i], &args->within->group[i]))
            return LN_EINVALID;
    }
    return LN_OK;
}

int ln__submodel_new(const struct ln__submodel_args *args, struct ln__submodel **out, struct ln_fault *fault)
{
    *out = NULL;
    size_t nodes = (size_t)args->graph->nodes;
    struct ln__submodel *made = ln__mem_zero(1, sizeof *made);
    int error = LN_ENOMEM;
    if (made) {
        made->nodes = args->graph->nodes;
        made->params = args->graph->params;
        made->group = ln__mem_zero(nodes, sizeof *made->group);
        made->of_node = ln__mem_zero(nodes, sizeof *made->of_node);
        made->tensor = ln__mem_zero((size_t)made->params, sizeof *made->tensor);
        if (made->group && made->of_node && made->tensor)
            error = fill(args, made);
    }
    if (error) {
        ln__submodel_free(made);
        return ln_fault_set(fault, error, error == LN_ENOMEM ? "%s: no memory for a sub-model" : "%s: a sub-model that is not within the other",
                            args->graph->name);
    }
    *out = made;
    return LN_OK;
}

int ln__submodel_copy(const struct ln__submodel *of, struct ln__submodel **out, struct ln_fault *fault)
{
    struct ln__submodel *made = ln__mem_zero(1, sizeof *made);
    *out = NULL;
    if (!made || !copy_graph(of->graph, made)) {
        ln__submodel_free(made);
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for a sub-model", of->graph->name);
    }
    made->nodes = of->nodes;
    *out = made;
    return LN_OK;
}

void ln__submodel_free(struct ln__submodel *submodel)
{
    if (!submodel)
        return;
    ln__graph_free(submodel->graph);
    ln__mem_free(submodel->group);
    ln__mem_free(submodel->of_node);
    ln__mem_free(submodel->channels);
    ln__mem_free(submodel->tensor);
    ln__mem_free(submodel);
}

const struct ln__graph *ln__submodel_graph(const struct ln__submodel *submodel)
{
    return submodel->graph;
}

bool ln__submodel_alike(const struct ln__submodel *a, const struct ln__submodel *b)
{
    bool alike = a->nodes == b->nodes;
    for (int i = 0; i < a->nodes && alike; i++)
        alike = a->graph->node[i].shape.c == b->graph->node[i].shape.c;
    return alike;
}

/* ---- tensors ---- */

enum way { TAKE, GIVE, MARK };

/* All that is kept of a tensor, in runs of `rest` values; from or to is the part, the other one whole. */
static void each(const struct ln__submodel *submodel, size_t param, enum way way, const float *from, float *to, unsigned char *mark)
{
    const struct tensor *tensor = &submodel->tensor[param];
    const struct group *rows = &submodel->group[tensor->out], *columns = tensor->in < 0 ? NULL : &submodel->group[tensor->in];
    size_t wide = columns ? (size_t)columns->all : 1, kept = columns ? (size_t)columns->count : 1, rest = tensor->rest;
    for (int o = 0; o < rows->count; o++) {
        for (size_t i = 0; i < kept; i++) {
            size_t at = ((size_t)rows->channel[o] * wide + (columns ? (size_t)columns->channel[i] : 0)) * rest;
            if (way == TAKE) {
                memcpy(to, from + at, rest * sizeof *to);
                to += rest;
            } else if (way == GIVE) {
                memcpy(to + at, from, rest * sizeof *to);
                from += rest;
            } else {
                memset(mark + at, 1, rest);
            }
        }
    }
}

void ln__submodel_take(const struct ln__submodel *submodel, size_t param, const float *whole, float *part)
{
    each(submodel, param, TAKE, whole, part, NULL);
}

void ln__submodel_give(const struct ln__submodel *submodel, size_t param, const float *part, float *whole)
{
    each(submodel, param, GIVE, part, whole, NULL);
}

void ln__submodel_mark(const struct ln__submodel *submodel, size_t param, unsigned char *whole)
{
    each(submodel, param, MARK, NULL, NULL, whole);
}

void ln__submodel_take_all(const struct ln__submodel *submodel, const float *whole, float *part)
{
    for (int p = 0; p < submodel->graph->params; p++)
        ln__submodel_take(submodel, (size_t)p, whole + submodel->outer[p].offset, part + submodel->graph->param[p].offset);
}

void ln__submodel_give_all(const struct ln__submodel *submodel, const float *part, float *whole)
{
    for (int p = 0; p < submodel->graph->params; p++)
        ln__submodel_give(submodel, (size_t)p, part + submodel->graph->param[p].offset, whole + submodel->outer[p].offset);
}
