#include "nn/plan.h"
#include "nn/sparsity.h"
#include <math.h>
#include <string.h>

/* ---- which layers, how sparse ---- */

static bool how_of(const struct ln_choice *choice, struct ln__sparse_how *out)
{
    const struct ln__sparsity *sparsity = choice ? (const struct ln__sparsity *)choice->plugin : NULL;
    if (!sparsity || !sparsity->how)
        return false;
    sparsity->how(choice->options, out);
    return true;
}

/* The layer as a convolution, if it may be sparse at all. */
static bool conv_of(const struct ln__node *node, struct ln__conv *conv)
{
    return node->layer && node->layer->conv && node->layer->conv(node, conv) && conv->groups == 1;
}

static bool is_linear(const struct ln__node *node)
{
    return strcmp(node->layer->name, "linear") == 0;
}

static double weights_of(const struct ln__conv *conv)
{
    return (double)conv->co * conv->ci * conv->kh * conv->kw;
}

/* Marks the layers that the sparsity is for with 0, the others with LN__DENSE. */
static bool mark_nodes(const struct ln__graph *graph, const struct ln__sparse_how *how, double *of_node)
{
    struct ln__conv conv;
    int first = -1, last = -1, convs = 0;
    for (int i = 0; i < graph->nodes; i++) {
        const struct ln__node *node = &graph->node[i];
        of_node[i] = LN__DENSE;
        if (!node->layer || !node->layer->conv)
            continue;
        last = i;
        if (is_linear(node))
            continue;
        first = first < 0 ? i : first;
        convs++;
    }
    bool dense_first = how->first == LN__FIRST_DENSE || (how->first == LN__FIRST_AUTO && convs > 2), any = false;
    for (int i = 0; i < graph->nodes; i++) {
        const struct ln__node *node = &graph->node[i];
        if (!conv_of(node, &conv) || i == last || (i == first && dense_first) || (!is_linear(node) && conv.kh * conv.kw == 1 && !how->pointwise))
            continue;
        of_node[i] = 0;
        any = true;
    }
    return any;
}

/* Of a linear layer, whose input's plane conv has for a kernel: features and outputs. */
static double spread_of(const struct ln__node *node, const struct ln__conv *conv)
{
    double area = (double)conv->kh * conv->kw;
    return is_linear(node) ? conv->ci * area + conv->co : (double)conv->ci + conv->co + conv->kh + conv->kw;
}

#define FULL (-2) /* while layers are shared out: one that keeps all */

/* Erdos-Renyi kernel (Evci et al., "Rigging the lottery", 2020): a layer's density grows with (ci + co + kh + kw) / (ci co kh kw), of a linear
 * layer with (ci + co) / (ci co), by a factor that gives the whole the wanted density. Layers that would pass 1 keep all of their weights: they
 * are `full`. */
static void share_erk(const struct ln__graph *graph, double density, double full, double *of_node)
{
    struct ln__conv conv;
    double left = 0, factor = 0;
    for (int i = 0; i < graph->nodes; i++)
        left += of_node[i] == 0 && conv_of(&graph->node[i], &conv) ? density * weights_of(&conv) : 0;
    for (bool more = true; more;) {
        double spread = 0;
        more = false;
        for (int i = 0; i < graph->nodes; i++)
            spread += of_node[i] == 0 && conv_of(&graph->node[i], &conv) ? spread_of(&graph->node[i], &conv) : 0;
        factor = spread > 0 && left > 0 ? left / spread : 0;
        for (int i = 0; i < graph->nodes; i++) {
            if (of_node[i] != 0 || !conv_of(&graph->node[i], &conv) || factor * spread_of(&graph->node[i], &conv) < weights_of(&conv))
                continue;
            of_node[i] = FULL;
            left -= weights_of(&conv);
            more = true;
        }
    }
    for (int i = 0; i < graph->nodes; i++) {
        if (of_node[i] == 0 && conv_of(&graph->node[i], &conv))
            of_node[i] = 1 - factor * spread_of(&graph->node[i], &conv) / weights_of(&conv);
        else if (of_node[i] == FULL)
            of_node[i] = full;
    }
}

bool ln__sparse_nodes(const struct ln__graph *graph, const struct ln_choice *choice, double *of_node)
{
    struct ln__sparse_how how;
    bool any = how_of(choice, &how) && (how.sparsity > 0 || how.power != 1) && mark_nodes(graph, &how, of_node);
    if (any && how.distribution == LN__ERK)
        share_erk(graph, 1 - how.sparsity, how.power != 1 ? 0 : LN__DENSE, of_node); /* the power is for full layers too */
    for (int i = 0; i < graph->nodes; i++) {
        if (!any)
            of_node[i] = LN__DENSE;
        else if (how.distribution != LN__ERK && of_node[i] == 0)
            of_node[i] = how.sparsity;
    }
    return any;
}

double ln__sparse_param(const struct ln__graph *graph, const struct ln_choice *choice, size_t param)
{
    double of_node[LN__NODES];
    if (param >= (size_t)graph->params || !ln__sparse_nodes(graph, choice, of_node))
        return 0;
    const struct ln__node *node = &graph->node[graph->param[param].node];
    double sparsity = of_node[graph->param[param].node];
    return node->param[0] == (int)param && sparsity > 0 ? sparsity : 0;
}

void ln__sparse_init(const struct ln__graph *graph, const struct ln_choice *choice, float *state)
{
    double of_node[LN__NODES];
    struct ln__sparse_how how;
    if (!how_of(choice, &how) || how.power == 1 || !ln__sparse_nodes(graph, choice, of_node))
        return;
    for (int i = 0; i < graph->nodes; i++) {
        if (of_node[i] < 0)
            continue;
        const struct ln__param *param = &graph->param[graph->node[i].param[0]];
        for (size_t k = param->offset; k < param->offset + param->count; k++)
            state[k] = copysignf((float)pow(fabs((double)state[k]), 1 / how.power), state[k]);
    }
}

/* ---- work ---- */

/* Multiply-adds of one pass of a node over what is kept of its weights or, in the weight gradient, of its activations: as many. */
static uint64_t kept_macs(const struct ln__node *node, double sparsity)
{
    struct ln__conv conv;
    if (sparsity <= 0 || !conv_of(node, &conv))
        return node->macs;
    size_t count = (size_t)weights_of(&conv);
    return (uint64_t)((double)node->macs * (double)ln__sparse_keep(count, sparsity) / (double)count);
}

uint64_t ln__sparse_macs(const struct ln__graph *graph, struct ln__segment segment, const struct ln_choice *choice)
{
    double of_node[LN__NODES];
    int from, to;
    uint64_t macs = 0;
    if (ln__graph_range(graph, segment, &from, &to))
        return 0;
    ln__sparse_nodes(graph, choice, of_node);
    for (int i = from + 1; i <= to; i++)
        macs += kept_macs(&graph->node[i], of_node[i]);
    return macs;
}

uint64_t ln__sparse_macs_train(const struct ln__graph *graph, struct ln__segment segment, const struct ln_choice *choice)
{
    double of_node[LN__NODES];
    bool wanted[LN__NODES] = {false}; /* a parameter lies at or before the node, so its gradient is wanted */
    int from, to;
    uint64_t macs = 0;
    if (ln__graph_range(graph, segment, &from, &to))
        return 0;
    ln__sparse_nodes(graph, choice, of_node);
    for (int i = from + 1; i <= to; i++) {
        const struct ln__node *node = &graph->node[i];
        bool input = false;
        for (int k = 0; k < node->inputs; k++)
            input |= wanted[node->in[k]];
        wanted[i] = input || node->params;
        macs += kept_macs(node, of_node[i]) * (1 + (node->params ? 1 : 0) + (input ? 1 : 0));
    }
    return macs;
}

void ln__sparse_share(size_t count, const struct ln__sparse_step *const *step, const float *const *momentum, struct ln__sparse_levels *const *levels)
{
    double left = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        levels[i]->keep = 0; /* undecided */
        left += (double)step[i]->keep;
    }
    double mean[LN__NODES] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t floats = step[i]->set->dense.conv_weights(&step[i]->conv);
        for (size_t k = 0; k < floats; k++)
            mean[i] += fabs((double)momentum[i][k]);
        mean[i] /= (double)step[i]->weights;
        sum += mean[i];
    }
    for (size_t i = 0; i < count && !(sum > 0 && isfinite(sum)); i++)
        mean[i] = (double)step[i]->keep; /* no momentum yet: as it was */
    for (bool more = true; more;) {
        more = false;
        sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += levels[i]->keep ? 0 : mean[i];
        for (size_t i = 0; i < count && sum > 0; i++) {
            if (levels[i]->keep || left * mean[i] / sum < (double)step[i]->weights)
                continue;
            levels[i]->keep = step[i]->weights;
            left -= (double)step[i]->weights;
            more = true;
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!levels[i]->keep && sum > 0 && left > 0)
            levels[i]->keep = (size_t)(left * mean[i] / sum);
    }
}

/* ---- a step ---- */

#define CHUNK 16384

/* All floats that are not zero reach it. */
static float least_positive(void)
{
    const uint32_t bit = 1;
    float least;
    memcpy(&least, &bit, sizeof least);
    return least;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t packed_weights(const struct ln__sparse_step *step)
{
    return step->set->dense.conv_weights(&step->conv);
}

/* What is ranked: weights as they lie, padding and all, or the sums over channels or blocks. */
static size_t groups_of(const struct ln__sparse_step *step)
{
    const struct ln__conv *conv = &step->conv;
    if (step->how.structure == LN__CHANNELS)
        return (size_t)conv->ci;
    return (size_t)(conv->ci * conv->kh * conv->kw) * (size_t)ln__blocks(conv->co, LN__SPARSE_BLOCK);
}

static size_t whole_lines(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Weights of a masked set lie in an order of their own: sums over groups are of a canonical copy. */
static size_t canonical_floats(const struct ln__sparse_step *step)
{
    return step->set->masked ? whole_lines(step->weights) : 0;
}

static size_t rank_scratch(const struct ln__sparse_step *step, unsigned width)
{
    if (step->how.structure == LN__UNSTRUCTURED)
        return step->set->topk_scratch(packed_weights(step), width);
    return canonical_floats(step) + whole_lines(groups_of(step)) + step->set->topk_scratch(groups_of(step), width);
}

/* Of the real channels, and floats as they lie. */
static size_t inputs_of(const struct ln__conv *conv, int n)
{
    return (size_t)n * (size_t)conv->ci * (size_t)conv->hi * (size_t)conv->wi;
}
static size_t input_floats(const struct ln__sparse_step *step, int n)
{
    return ln__layout_floats(&step->set->dense, (struct ln__shape){step->conv.ci, step->conv.hi, step->conv.wi}, n);
}

/* A masked set has a list of its own only where there is no copy. */
static size_t list_bytes(const struct ln__sparse_step *step, int n)
{
    return step->set->masked && step->copy ? 0 : step->set->list_bytes(&step->conv, n, step->cap);
}
static void *list_of(const struct ln__call *call)
{
    return (unsigned char *)call->saved + call->sparse->copy;
}

void ln__sparse_needs(const struct ln__need_args *args, struct ln__needs *out)
{
    const struct ln__sparse_step *step = args->sparse;
    const struct ln__sparse_kset *set = step->set;
    const struct ln__conv *conv = &step->conv;
    out->x[0] = true;
    out->saved = step->copy + list_bytes(step, args->batch);
    out->scratch_forward = larger(set->scratch(conv, LN__FORWARD, args->batch, args->width), rank_scratch(step, args->width));
    if (!args->train)
        return;
    out->scratch_forward = larger(out->scratch_forward, set->topk_scratch(input_floats(step, args->batch), args->width));
    out->scratch_backward =
        larger(set->scratch(conv, LN__INPUT_GRAD, args->batch, args->width), set->scratch(conv, LN__WEIGHT_GRAD, args->batch, args->width));
}

/* Weights of a sparse set lie [co / V][ci][kh kw][V]: floats in a register. */
static size_t lanes_of(const struct ln__sparse_step *step)
{
    return step->set->dense.conv_weights(&(const struct ln__conv){1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1});
}

/* Of weights in a sparse set's order or, lanes being 1, canonical ones. */
struct copying {
    const struct ln__sparse_step *step;
    const float *w, *sum;
    float *to;
    float threshold;
    size_t rows, taps, lanes;
};

static size_t group_of(const struct copying *c, size_t o, size_t row)
{
    return c->step->how.structure == LN__CHANNELS ? row / c->taps : o / LN__SPARSE_BLOCK * c->rows + row;
}

static size_t packed_at(const struct copying *c, size_t o, size_t row)
{
    return (o / c->lanes * c->rows + row) * c->lanes + o % c->lanes;
}

static void sum_groups(const struct copying *c, float *sum)
{
    memset(sum, 0, groups_of(c->step) * sizeof *sum);
    for (size_t o = 0; o < (size_t)c->step->conv.co; o++) {
        for (size_t row = 0; row < c->rows; row++)
            sum[group_of(c, o, row)] += fabsf(c->w[packed_at(c, o, row)]);
    }
}

static float raised(float w, double power)
{
    float size = fabsf(w);
    if (power == 1)
        return w;
    if (power == 1.25)
        return w * sqrtf(sqrtf(size));
    return power == 2 ? w * size : copysignf(powf(size, (float)power), w);
}

/* Output channels of one register. */
static void copy_groups(void *context, size_t chunk, unsigned worker)
{
    const struct copying *c = context;
    (void)worker;
    for (size_t o = chunk * c->lanes; o < (chunk + 1) * c->lanes; o++) {
        for (size_t row = 0; row < c->rows; row++) {
            size_t at = packed_at(c, o, row);
            bool kept = o < (size_t)c->step->conv.co && !(c->sum[group_of(c, o, row)] < c->threshold);
            c->to[at] = kept ? raised(c->w[at], c->step->how.power) : 0;
        }
    }
}

static void copy_weights(void *context, size_t chunk, unsigned worker)
{
    const struct copying *c = context;
    size_t end = packed_weights(c->step), first = chunk * CHUNK;
    (void)worker;
    for (size_t i = first; i < end && i < first + CHUNK; i++)
        c->to[i] = c->w[i] < c->threshold && -c->w[i] < c->threshold ? 0 : raised(c->w[i], c->step->how.power);
}

static void copy_kept_groups(const struct ln__call *call, struct copying *c, float *sum, float *threshold, size_t keep, bool rank)
{
    const struct ln__sparse_step *step = c->step;
    size_t groups = groups_of(step), share = ln__sparse_keep(groups, 1 - (double)keep / (double)step->weights);
    sum_groups(c, sum);
    if (rank)
        step->set->topk(groups, sum, share, threshold, sum + whole_lines(groups), call->pool);
    c->sum = sum;
    c->threshold = *threshold;
    ln__pool_for(call->pool, ((size_t)step->conv.co + c->lanes - 1) / c->lanes, copy_groups, c);
}

/* The weights the kernels are to see, all of their non-zeros; what is ranked is sums of the weights themselves. */
static void make_copy(const struct ln__call *call, float *threshold, size_t keep, bool rank)
{
    const struct ln__sparse_step *step = call->sparse;
    const struct ln__conv *conv = &step->conv;
    struct copying c = {.step = step,
                        .w = call->param[0],
                        .to = call->saved,
                        .rows = (size_t)(conv->ci * conv->kh * conv->kw),
                        .taps = (size_t)(conv->kh * conv->kw),
                        .lanes = lanes_of(step)};
    if (step->how.structure == LN__UNSTRUCTURED) {
        if (rank)
            step->set->topk(packed_weights(step), c.w, keep, threshold, call->scratch, call->pool);
        c.threshold = *threshold;
        ln__pool_for(call->pool, (packed_weights(step) + CHUNK - 1) / CHUNK, copy_weights, &c);
        return;
    }
    float *canonical = call->scratch, *sum = canonical + canonical_floats(step);
    if (step->set->masked) {
        step->set->dense.conv_unpack(conv, c.w, canonical);
        c.w = c.to = canonical;
        c.lanes = 1;
    }
    copy_kept_groups(call, &c, sum, threshold, keep, rank);
    if (step->set->masked)
        step->set->dense.conv_pack(conv, canonical, call->saved);
}

/* The weights and threshold the kernels are given. */
static const float *seen_weights(const struct ln__call *call, float *threshold)
{
    *threshold = call->sparse->copy ? least_positive() : call->train ? call->levels->weights : call->levels->tested;
    return call->sparse->copy ? call->saved : call->param[0];
}

/* Of the activations: the layer's sparsity itself, since the share of the weights is rounded already; momentum moves it. */
static double resting_share(const struct ln__call *call)
{
    const struct ln__sparse_step *step = call->sparse;
    return call->levels->keep == step->keep ? step->sparsity : 1 - (double)call->levels->keep / (double)step->weights;
}

void ln__sparse_forward(const struct ln__call *call)
{
    const struct ln__sparse_step *step = call->sparse;
    const struct ln__sparse_kset *set = step->set;
    const struct ln__conv *conv = &step->conv;
    const float *bias = call->node->params > 1 ? call->param[1] : NULL;
    void *list = list_of(call);
    float *level = call->train ? &call->levels->weights : &call->levels->tested, threshold;
    bool copied = step->copy > 0;
    if (!call->anew && copied)
        make_copy(call, level, call->train ? call->levels->keep : step->keep, call->rank);
    else if (!call->anew && call->rank)
        set->topk(packed_weights(step), call->param[0], call->train ? call->levels->keep : step->keep, level, call->scratch, call->pool);
    const float *w = seen_weights(call, &threshold);
    if (!call->anew && call->rank && call->train)
        set->topk(input_floats(step, call->n), call->x[0], ln__sparse_keep(inputs_of(conv, call->n), resting_share(call)), &call->levels->activations,
                  call->scratch, call->pool);
    if (!call->anew && !(set->masked && copied))
        set->compact(conv, call->n, w, threshold, step->cap, list, call->pool);
    set->forward(conv, call->n, call->x[0], w, threshold, list, bias, call->y, call->scratch, call->pool);
}

struct raising {
    const float *w;
    float *grad;
    size_t count;
    double power;
};

/* d raised(w) / dw = power |w|^(power - 1) */
static void raise_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct raising *r = context;
    (void)worker;
    for (size_t i = chunk * CHUNK; i < r->count && i < (chunk + 1) * CHUNK; i++) {
        float size = fabsf(r->w[i]);
        r->grad[i] *= (float)r->power * (r->power == 1.25 ? sqrtf(sqrtf(size)) : powf(size, (float)(r->power - 1)));
    }
}

void ln__sparse_backward(const struct ln__call *call)
{
    const struct ln__sparse_step *step = call->sparse;
    const struct ln__sparse_kset *set = step->set;
    float *dbias = call->node->params > 1 ? call->grad[1] : NULL, threshold;
    const float *w = seen_weights(call, &threshold);
    set->weight_grad(&step->conv, call->n, call->x[0], call->levels->activations, call->dy, call->grad[0], dbias, call->scratch, call->pool);
    if (step->how.power != 1) {
        struct raising r = {call->param[0], call->grad[0], packed_weights(step), step->how.power};
        ln__pool_for(call->pool, (r.count + CHUNK - 1) / CHUNK, raise_chunk, &r);
    }
    if (call->dx[0])
        set->input_grad(&step->conv, call->n, call->dy, w, threshold, list_of(call), call->dx[0], call->add[0], call->scratch, call->pool);
}

/* ---- the plan ---- */

/* "sparse-avx2" of "avx2". */
static const struct ln__sparse_kset *set_named(const char *way, const struct ln__kset *kset)
{
    char name[32];
    snprintf(name, sizeof name, "%s-%.20s", way, kset->name);
    return ln__sparse_kset_named(name);
}

/* A node of the segment that sparse kernels cannot run; NULL: there is none. */
static const struct ln__node *unknown_node(const struct ln__plan *plan)
{
    struct ln__conv conv;
    for (int i = plan->from + 1; i <= plan->to; i++) {
        const struct ln__node *node = &plan->args.graph->node[i];
        if (node->layer->conv && node->layer->conv(node, &conv) && !ln__sparse_takes(&conv))
            return node;
    }
    return NULL;
}

/* What the segment's layers cost in all. */
static bool masked_is_cheaper(const struct ln__plan *plan, const struct ln__sparse_how *how, const double *of_node)
{
    double sparse = 0, masked = 0;
    struct ln__conv conv;
    for (int i = plan->from + 1; i <= plan->to; i++) {
        const struct ln__node *node = &plan->args.graph->node[i];
        if (!node->layer->conv || !node->layer->conv(node, &conv))
            continue;
        struct ln__sparse_layer_cost cost = ln__sparse_cost(plan->args.kset->name, &conv, plan->args.batch, of_node[i], how);
        sparse += cost.sparse;
        masked += cost.masked;
    }
    return masked < sparse;
}

int ln__sparse_choose(struct ln__plan *plan, struct ln_fault *fault)
{
    double of_node[LN__NODES];
    struct ln__sparse_how how;
    bool any = ln__sparse_nodes(plan->args.graph, plan->args.sparsity, of_node), here = false;
    for (int i = plan->from + 1; i <= plan->to && any; i++)
        here |= of_node[i] >= 0;
    if (!here || !how_of(plan->args.sparsity, &how))
        return 0;
    const char *name = plan->sparsity.plugin->name;
    if (plan->args.kset->bf16)
        return ln_fault_set(fault, LN_ECONFIG, "sparsity %s: sparse kernels multiply in float; train.compute must be f32", name);
    const struct ln__sparse_kset *sparse = set_named("sparse", plan->args.kset), *masked = set_named("masked", plan->args.kset);
    const struct ln__node *unknown = unknown_node(plan);
    if (!sparse || !masked)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "sparsity %s: there are no sparse kernels for the set %s", name, plan->args.kset->name);
    if (unknown && how.kernels == LN__KERNELS_SPARSE)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "sparsity %s: %s is a convolution that sparse kernels do not know; masked ones do", name,
                            unknown->name);
    if (how.distribution == LN__MOMENTUM && plan->args.train && plan->slots == 0)
        return ln_fault_set(fault, LN_ECONFIG, "sparsity %s: distribution momentum needs an optimizer that has momentum", name);
    bool cheaper = how.kernels == LN__KERNELS_AUTO && (unknown || masked_is_cheaper(plan, &how, of_node));
    plan->sparse = cheaper || how.kernels == LN__KERNELS_MASKED ? masked : sparse;
    plan->args.kset = &plan->sparse->dense;
    return 0;
}

static struct ln__sparse_step step_of(const struct ln__plan *plan, const struct ln__node *node, const struct ln__sparse_how *how, double sparsity)
{
    struct ln__sparse_step step = {.set = plan->sparse, .how = *how, .sparsity = sparsity};
    conv_of(node, &step.conv);
    step.weights = (size_t)weights_of(&step.conv);
    step.keep = ln__sparse_keep(step.weights, sparsity);
    if (!plan->sparse->masked)
        step.cap = ln__sparse_cap(step.weights, how->distribution == LN__MOMENTUM ? step.weights : step.keep);
    if (how->structure != LN__UNSTRUCTURED || how->power != 1)
        step.copy = (plan->sparse->dense.conv_weights(&step.conv) * sizeof(float) + LN_ALIGN - 1) / LN_ALIGN * LN_ALIGN;
    return step;
}

void ln__sparse_plan(struct ln__plan *plan)
{
    const struct ln__graph *graph = plan->args.graph;
    double of_node[LN__NODES];
    struct ln__sparse_how how;
    if (!plan->sparse || !ln__sparse_nodes(graph, plan->args.sparsity, of_node) || !how_of(plan->args.sparsity, &how))
        return;
    for (int s = 0; s < plan->steps; s++) {
        struct ln__plan_step *step = &plan->step[s];
        if (of_node[step->node] >= 0)
            step->sparse = step_of(plan, &graph->node[step->node], &how, of_node[step->node]);
    }
}
