#include "nn/graph.h"
#include "nn/layer.h"
#include <stdarg.h>
#include <string.h>

int ln__graph_new(const char *name, const struct ln__model_args *args, struct ln__graph **out)
{
    struct ln__graph *graph = ln__mem_zero(1, sizeof *graph);
    if (!graph)
        return LN_ENOMEM;
    graph->name = name;
    graph->input = args->input;
    graph->classes = args->classes;
    graph->norm = args->norm;
    *out = graph;
    return 0;
}

void ln__graph_free(struct ln__graph *graph)
{
    if (!graph)
        return;
    ln__mem_free(graph->node);
    ln__mem_free(graph->param);
    ln__mem_free(graph->start);
    ln__mem_free(graph->cut);
    ln__mem_free(graph);
}

int ln__model_graph(const struct ln_choice *model, const struct ln__model_args *args, struct ln__graph **out, struct ln_fault *fault)
{
    const struct ln__model *plugin = (const struct ln__model *)model->plugin;
    struct ln__shape in = args->input;
    if (in.c < 1 || in.h < 1 || in.w < 1 || in.c > 1 << 16 || in.h > 1 << 14 || in.w > 1 << 14)
        return ln_fault_set(fault, LN_ESHAPE, "%s: an input of %d x %d x %d is not possible", plugin->plugin.name, in.c, in.h, in.w);
    if (args->classes < 1 || args->classes > 1 << 20)
        return ln_fault_set(fault, LN_EINVALID, "%s: %d classes; expected 1 to 1048576", plugin->plugin.name, args->classes);
    struct ln__graph *graph;
    int rc = ln__graph_new(plugin->plugin.name, args, &graph);
    if (rc)
        return ln_fault_set(fault, rc, "%s: no memory for the graph", plugin->plugin.name);
    rc = plugin->build(model->options, args, graph, fault);
    if (!rc)
        rc = ln__graph_finish(graph, fault);
    if (rc) {
        ln__graph_free(graph);
        return rc;
    }
    *out = graph;
    return 0;
}

/* ---- building ---- */

int ln__graph_fail(struct ln__graph *graph, int code, const char *format, ...)
{
    if (!graph->fault.code) {
        char text[LN_FAULT_TEXT];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        ln_fault_set(&graph->fault, code, "%s: %s", graph->name, text);
    }
    return -1;
}

/* ln__mem_more; NULL is the graph's fault. */
static void *room_for(struct ln__graph *graph, void *array, int items, size_t *room, size_t size)
{
    void *grown = ln__mem_more(array, (size_t)items, room, size);
    if (!grown)
        ln__graph_fail(graph, LN_ENOMEM, "no memory for the graph");
    return grown;
}

struct ln__node *ln__node_new(struct ln__graph *graph, const struct ln__layer *layer, const char *name, int x, int y)
{
    if (graph->fault.code)
        return NULL;
    if (graph->nodes >= LN__NODES || (layer && (x < 0 || x >= graph->nodes || y >= graph->nodes))) {
        ln__graph_fail(graph, LN_EINVALID, "%s%s: its input does not exist, or the graph has over %d layers", graph->prefix, name, LN__NODES);
        return NULL;
    }
    struct ln__node *grown = room_for(graph, graph->node, graph->nodes, &graph->node_room, sizeof *grown);
    if (!grown)
        return NULL;
    graph->node = grown;
    struct ln__node *node = &graph->node[graph->nodes];
    memset(node, 0, sizeof *node);
    node->layer = layer;
    node->in[0] = x;
    node->in[1] = y;
    node->inputs = !layer ? 0 : y < 0 ? 1 : 2;
    if (snprintf(node->name, sizeof node->name, "%s%s", graph->prefix, name) >= (int)sizeof node->name) {
        ln__graph_fail(graph, LN_EINVALID, "%s%s: the name is too long", graph->prefix, name);
        return NULL;
    }
    graph->nodes++;
    return node;
}

void ln__node_param(struct ln__graph *graph, struct ln__node *node, const char *name, int dims, const int64_t *dim, bool buffer,
                    struct ln__param_start start)
{
    if (graph->fault.code)
        return;
    if (node->params == LN__NODE_PARAMS) {
        ln__graph_fail(graph, LN_EINVALID, "%s: over %d parameters", node->name, LN__NODE_PARAMS);
        return;
    }
    size_t room = graph->param_room; /* of both arrays, which grow together or not at all */
    struct ln__param *params = room_for(graph, graph->param, graph->params, &room, sizeof *params);
    if (!params)
        return;
    graph->param = params;
    room = graph->param_room;
    struct ln__param_start *starts = room_for(graph, graph->start, graph->params, &room, sizeof *starts);
    if (!starts)
        return;
    graph->start = starts;
    graph->param_room = room;
    struct ln__param *param = &graph->param[graph->params];
    memset(param, 0, sizeof *param);
    if (snprintf(param->name, sizeof param->name, "%s.%s", node->name, name) >= (int)sizeof param->name) {
        ln__graph_fail(graph, LN_EINVALID, "%s.%s: the name is too long", node->name, name);
        return;
    }
    param->dims = dims;
    param->count = 1;
    for (int i = 0; i < dims; i++) {
        param->dim[i] = dim[i];
        param->count *= (size_t)dim[i];
    }
    param->buffer = buffer;
    param->node = (int)(node - graph->node);
    graph->start[graph->params] = start;
    node->param[node->params++] = graph->params++;
}

int ln__node_done(struct ln__graph *graph, const struct ln__node *node)
{
    return graph->fault.code ? -1 : (int)(node - graph->node);
}

int ln__build_input(struct ln__graph *graph)
{
    if (graph->nodes)
        return ln__graph_fail(graph, LN_EINVALID, "a graph has one input");
    struct ln__node *node = ln__node_new(graph, NULL, "input", -1, -1);
    if (!node)
        return -1;
    node->shape = graph->input;
    return ln__node_done(graph, node);
}

void ln__build_prefix(struct ln__graph *graph, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(graph->prefix, sizeof graph->prefix, format, args);
    va_end(args);
    if (length >= (int)sizeof graph->prefix)
        ln__graph_fail(graph, LN_EINVALID, "%s: the name is too long", graph->prefix);
}

void ln__build_cut(struct ln__graph *graph, int x, const char *format, ...)
{
    if (graph->fault.code)
        return;
    struct ln__graph_cut *grown = room_for(graph, graph->cut, graph->cuts, &graph->cut_room, sizeof *grown);
    if (!grown)
        return;
    graph->cut = grown;
    struct ln__graph_cut *cut = &graph->cut[graph->cuts++];
    cut->node = x;
    va_list args;
    va_start(args, format);
    vsnprintf(cut->name, sizeof cut->name, format, args);
    va_end(args);
}

struct ln__shape ln__build_shape(const struct ln__graph *graph, int x)
{
    return graph->fault.code || x < 0 || x >= graph->nodes ? (struct ln__shape){0, 0, 0} : graph->node[x].shape;
}

/* ---- the whole ---- */

static int check_nodes(struct ln__graph *graph)
{
    if (graph->nodes < 2)
        return ln__graph_fail(graph, LN_EINVALID, "no layers");
    for (int i = 0; i + 1 < graph->nodes; i++) {
        bool used = false;
        for (int j = i + 1; j < graph->nodes && !used; j++)
            used = graph->node[j].in[0] == i || (graph->node[j].inputs > 1 && graph->node[j].in[1] == i);
        if (!used)
            return ln__graph_fail(graph, LN_EINVALID, "the output of layer %s is not used", graph->node[i].name);
    }
    struct ln__shape out = graph->node[graph->nodes - 1].shape;
    if (out.c != graph->classes || out.h != 1 || out.w != 1)
        return ln__graph_fail(graph, LN_ESHAPE, "the last layer gives %d x %d x %d; expected %d classes", out.c, out.h, out.w, graph->classes);
    return 0;
}

/* Nodes after a cut may reach back to its tensor and no further. */
static int check_cuts(struct ln__graph *graph)
{
    int before = 0;
    for (int c = 0; c < graph->cuts; c++) {
        int at = graph->cut[c].node;
        if (at <= before || at >= graph->nodes - 1)
            return ln__graph_fail(graph, LN_EINVALID, "cut %s is out of order", graph->cut[c].name);
        before = at;
        for (int j = at + 1; j < graph->nodes; j++)
            for (int k = 0; k < graph->node[j].inputs; k++)
                if (graph->node[j].in[k] < at)
                    return ln__graph_fail(graph, LN_EINVALID, "more than one tensor crosses the cut %s", graph->cut[c].name);
    }
    return 0;
}

/* Trainable parameters first, buffers behind, both in graph order. */
static int order_params(struct ln__graph *graph)
{
    int count = graph->params;
    if (!count)
        return ln__graph_fail(graph, LN_EINVALID, "nothing to train");
    struct ln__param *param = ln__mem_zero((size_t)count, sizeof *param);
    struct ln__param_start *start = ln__mem_zero((size_t)count, sizeof *start);
    if (!param || !start) {
        ln__mem_free(param);
        ln__mem_free(start);
        return ln__graph_fail(graph, LN_ENOMEM, "no memory for the graph");
    }
    for (int i = 0; i < graph->nodes; i++)
        graph->node[i].params = 0; /* counted again below, in the new order: a node's buffers stay behind its parameters */
    size_t offset = 0;
    int at = 0;
    for (int buffer = 0; buffer < 2; buffer++) {
        for (int i = 0; i < count; i++) {
            if (graph->param[i].buffer != (buffer == 1))
                continue;
            param[at] = graph->param[i];
            start[at] = graph->start[i];
            param[at].offset = offset;
            offset += param[at].count;
            struct ln__node *node = &graph->node[param[at].node];
            node->param[node->params++] = at++;
        }
        if (!buffer) {
            graph->trainable = offset;
            graph->trainable_params = at;
        }
    }
    graph->state = offset;
    ln__mem_free(graph->param);
    ln__mem_free(graph->start);
    graph->param = param;
    graph->start = start;
    graph->param_room = (size_t)count;
    return 0;
}

int ln__graph_finish(struct ln__graph *graph, struct ln_fault *fault)
{
    if (graph->fault.code || check_nodes(graph) || check_cuts(graph) || order_params(graph))
        return ln_fault_set(fault, graph->fault.code, "%s", graph->fault.text);
    return 0;
}

size_t ln__graph_params(const struct ln__graph *graph, const struct ln__param **out)
{
    *out = graph->param;
    return (size_t)graph->params;
}

size_t ln__graph_state(const struct ln__graph *graph)
{
    return graph->state;
}

size_t ln__graph_trainable(const struct ln__graph *graph)
{
    return graph->trainable;
}

struct ln__shape ln__graph_input(const struct ln__graph *graph)
{
    return graph->input;
}

int ln__graph_classes(const struct ln__graph *graph)
{
    return graph->classes;
}

int ln__graph_cuts(const struct ln__graph *graph)
{
    return graph->cuts;
}

/* The node of a cut's tensor; -1: no such cut. */
static int cut_node(const struct ln__graph *graph, int cut)
{
    if (cut < 0 || cut > graph->cuts + 1)
        return -1;
    return cut == 0 ? 0 : cut > graph->cuts ? graph->nodes - 1 : graph->cut[cut - 1].node;
}

int ln__graph_cut(const struct ln__graph *graph, int cut, struct ln__cut *out)
{
    int at = cut_node(graph, cut);
    if (at < 0)
        return LN_EINVALID;
    *out = (struct ln__cut){.name = cut == 0            ? "input"
                                    : cut > graph->cuts ? "logits"
                                                        : graph->cut[cut - 1].name,
                            .shape = graph->node[at].shape,
                            .nonnegative = graph->node[at].nonnegative};
    for (int i = 0; i < graph->trainable_params; i++)
        if (graph->param[i].node <= at)
            out->state_before += graph->param[i].count;
    for (int i = 0; i <= at; i++)
        out->macs_before += graph->node[i].macs;
    return 0;
}

int ln__graph_range(const struct ln__graph *graph, struct ln__segment segment, int *from, int *to)
{
    *from = cut_node(graph, segment.from);
    *to = cut_node(graph, segment.to == -1 ? graph->cuts + 1 : segment.to);
    return *from < 0 || *to < 0 || *from >= *to ? LN_EINVALID : 0;
}

bool ln__segment_holds(const struct ln__graph *graph, struct ln__segment segment, size_t param)
{
    int from, to;
    if (param >= (size_t)graph->params || ln__graph_range(graph, segment, &from, &to))
        return false;
    return graph->param[param].node > from && graph->param[param].node <= to;
}

uint64_t ln__segment_macs(const struct ln__graph *graph, struct ln__segment segment)
{
    int from, to;
    uint64_t macs = 0;
    if (ln__graph_range(graph, segment, &from, &to))
        return 0;
    for (int i = from + 1; i <= to; i++)
        macs += graph->node[i].macs;
    return macs;
}

uint64_t ln__segment_macs_train(const struct ln__graph *graph, struct ln__segment segment)
{
    int from, to;
    uint64_t macs = 0;
    if (ln__graph_range(graph, segment, &from, &to))
        return 0;
    bool needs[LN__NODES] = {false}; /* a parameter lies at or before the node, so its gradient is wanted */
    for (int i = from + 1; i <= to; i++) {
        const struct ln__node *node = &graph->node[i];
        bool input = false;
        for (int k = 0; k < node->inputs; k++)
            input |= needs[node->in[k]];
        needs[i] = input || node->params;
        macs += node->macs * (1 + (node->params ? 1 : 0) + (input ? 1 : 0));
    }
    return macs;
}

void ln__param_init(const struct ln__graph *graph, int param, uint64_t seed, float *to)
{
    size_t count = graph->param[param].count;
    float bound = graph->start[param].bound, fill = graph->start[param].fill;
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = seed, .client = (uint32_t)param, .purpose = LN__FOR_INIT});
    for (size_t i = 0; i < count; i++)
        to[i] = bound == 0 ? fill : bound * ((float)(ln__rng_u32(&rng) >> 8) * 0x1p-23f - 1.0f);
}

void ln__graph_init(const struct ln__graph *graph, uint64_t seed, float *state)
{
    for (int i = 0; i < graph->params; i++)
        ln__param_init(graph, i, seed, state + graph->param[i].offset);
}

/* ---- parameters in a set's layout ---- */

static bool own_layout(const struct ln__graph *graph, int param)
{
    const struct ln__node *node = &graph->node[graph->param[param].node];
    return node->layer->weight_size && node->param[0] == param;
}

size_t ln__param_floats(const struct ln__graph *graph, int param, const struct ln__kset *kset)
{
    const struct ln__node *node = &graph->node[graph->param[param].node];
    return own_layout(graph, param) ? node->layer->weight_size(node, kset) : ln__vector_floats(kset, (int)graph->param[param].count);
}

void ln__param_pack(const struct ln__graph *graph, int param, const struct ln__kset *kset, const float *canonical, float *packed)
{
    const struct ln__node *node = &graph->node[graph->param[param].node];
    size_t count = graph->param[param].count;
    if (own_layout(graph, param)) {
        node->layer->weight_pack(node, kset, canonical, packed);
        return;
    }
    memcpy(packed, canonical, count * sizeof *packed);
    memset(packed + count, 0, (ln__vector_floats(kset, (int)count) - count) * sizeof *packed);
}

void ln__param_unpack(const struct ln__graph *graph, int param, const struct ln__kset *kset, const float *packed, float *canonical)
{
    const struct ln__node *node = &graph->node[graph->param[param].node];
    if (own_layout(graph, param))
        node->layer->weight_unpack(node, kset, packed, canonical);
    else
        memcpy(canonical, packed, graph->param[param].count * sizeof *canonical);
}
