#include "nn/plan.h"
#include "nn/offsets.h"
#include <string.h>

/* ---- steps ---- */

/* One step a node, views left out: whoever reads a view reads what it shows. */
static int make_steps(struct ln__plan *plan)
{
    const struct ln__graph *graph = plan->args.graph;
    plan->step = ln__mem_zero((size_t)(plan->to - plan->from), sizeof *plan->step);
    int *shows = ln__mem_zero((size_t)graph->nodes, sizeof *shows);
    if (!plan->step || !shows) {
        ln__mem_free(shows);
        return LN_ENOMEM;
    }
    shows[plan->from] = plan->from;
    for (int i = plan->from + 1; i <= plan->to; i++) {
        const struct ln__node *node = &graph->node[i];
        shows[i] = i;
        if (node->layer->view) {
            shows[i] = shows[node->in[0]];
            continue;
        }
        struct ln__plan_step *step = &plan->step[plan->steps++];
        *step = (struct ln__plan_step){.layer = node->layer, .node = i, .inputs = node->inputs, .out = i};
        for (int k = 0; k < node->inputs; k++)
            step->in[k] = shows[node->in[k]];
    }
    plan->output = shows[plan->to];
    ln__mem_free(shows);
    return 0;
}

int ln__plan_readers(const struct ln__plan *plan, int tensor)
{
    int readers = plan->output == tensor;
    for (int i = 0; i < plan->steps; i++)
        for (int k = 0; k < plan->step[i].inputs && plan->step[i].layer; k++)
            readers += plan->step[i].in[k] == tensor;
    return readers;
}

/* Which gradients are wanted, who writes each first (the rest add), and what every step needs. */
static int make_needs(struct ln__plan *plan)
{
    const struct ln__graph *graph = plan->args.graph;
    bool *wanted = ln__mem_zero((size_t)graph->nodes * 2, sizeof *wanted), *written = wanted + graph->nodes;
    if (!wanted)
        return LN_ENOMEM;
    wanted[plan->from] = plan->args.train && plan->args.input_grad;
    for (int i = 0; i < plan->steps; i++) {
        struct ln__plan_step *step = &plan->step[i];
        const struct ln__node *node = &graph->node[step->node];
        step->backward = plan->args.train && node->params > 0;
        for (int k = 0; k < step->inputs; k++) {
            step->grad[k] = wanted[step->in[k]];
            step->backward |= step->grad[k];
        }
        wanted[step->out] = step->backward;
        const struct ln__need_args args = {.node = node,
                                           .kset = plan->args.kset,
                                           .act = step->act,
                                           .inputs = step->inputs,
                                           .set = ln__plan_own(plan),
                                           .batch = plan->args.batch,
                                           .width = plan->args.width,
                                           .train = plan->args.train,
                                           .grad = {step->grad[0], step->grad[1]},
                                           .sparse = step->sparse.set ? &step->sparse : NULL};
        step->layer->needs(&args, &step->needs);
    }
    for (int i = plan->steps - 1; i >= 0; i--) {
        struct ln__plan_step *step = &plan->step[i];
        for (int k = 0; k < step->inputs; k++) {
            step->add[k] = written[step->in[k]];
            written[step->in[k]] |= step->grad[k];
        }
    }
    ln__mem_free(wanted);
    return 0;
}

/* ---- memory ---- */

/* The ranges of a plan: value, gradient and second value of each tensor, then what each step saves, its scratch forward, backward and anew, and
 * the gradient of its parameters. A buffer that lies in another's memory has that one as its home. */
#define TENSOR_BUFFERS 3
#define STEP_BUFFERS 5
struct ranges {
    struct ln__range *range;
    int *home;
    size_t count;
    int nodes;
};

static struct ln__range *range_of(struct ranges *all, int buffer)
{
    while (all->home[buffer] != buffer)
        buffer = all->home[buffer];
    return &all->range[buffer];
}

static void lives(struct ranges *all, int buffer, int moment)
{
    struct ln__range *range = &all->range[buffer];
    if (range->to < 0 || moment < range->from)
        range->from = moment;
    if (moment > range->to)
        range->to = moment;
}

/* First buffer of a step. */
static int step_buffer(const struct ranges *all, int step)
{
    return TENSOR_BUFFERS * all->nodes + STEP_BUFFERS * step;
}

static bool is_scratch(const struct ranges *all, size_t buffer)
{
    size_t first = TENSOR_BUFFERS * (size_t)all->nodes;
    return buffer >= first && (buffer - first) % STEP_BUFFERS != 0;
}

static int backward_at(const struct ln__plan *plan, int step)
{
    return plan->steps + 1 + 2 * (plan->steps - step);
}

/* The value of a tensor is read in backward. */
static void lives_later(const struct ln__plan *plan, struct ranges *all, int tensor, int moment)
{
    if (!plan->dropped[tensor]) {
        lives(all, tensor, moment);
        return;
    }
    int later = 2 * all->nodes + tensor;
    all->range[later].size = all->range[tensor].size;
    lives(all, later, moment);
}

static size_t tensor_bytes(const struct ln__plan *plan, int tensor)
{
    return ln__layout_floats(plan->args.kset, plan->args.graph->node[tensor].shape, plan->args.batch) * sizeof(float);
}

static void make_forward_ranges(const struct ln__plan *plan, struct ranges *all)
{
    all->range[plan->from].size = tensor_bytes(plan, plan->from);
    lives(all, plan->from, 0);
    lives(all, plan->output, plan->steps + 1);
    for (int s = 0; s < plan->steps; s++) {
        const struct ln__plan_step *step = &plan->step[s];
        int forward = s + 1, saved = step_buffer(all, s);
        all->range[step->out].size = tensor_bytes(plan, step->out);
        lives(all, step->out, forward);
        all->range[saved].size = step->needs.saved;
        lives(all, saved, forward);
        all->range[saved + 1].size = step->needs.scratch_forward * sizeof(float);
        lives(all, saved + 1, forward);
        for (int k = 0; k < step->inputs; k++)
            lives(all, step->in[k], forward);
    }
}

static void make_backward_ranges(const struct ln__plan *plan, struct ranges *all)
{
    int nodes = all->nodes, loss = plan->steps + 1;
    for (int s = 0; s < plan->steps; s++) {
        const struct ln__plan_step *step = &plan->step[s];
        int backward = backward_at(plan, s), saved = step_buffer(all, s);
        if (plan->anew[s] >= 0) { /* it runs once more */
            int moment = backward_at(plan, plan->anew[s]) - 1;
            lives(all, saved, moment);
            all->range[saved + 3].size = step->needs.scratch_forward * sizeof(float);
            lives(all, saved + 3, moment);
            lives_later(plan, all, step->out, moment);
            for (int k = 0; k < step->inputs; k++)
                lives_later(plan, all, step->in[k], moment);
        }
        if (!step->backward)
            continue;
        lives(all, saved, backward);
        all->range[saved + 2].size = step->needs.scratch_backward * sizeof(float);
        lives(all, saved + 2, backward);
        all->range[saved + 4].size = step->gradient_floats * sizeof(float);
        lives(all, saved + 4, backward);
        all->range[nodes + step->out].size = all->range[step->out].size;
        lives(all, nodes + step->out, backward);
        if (step->out == plan->output)
            lives(all, nodes + step->out, loss);
        if (step->needs.y)
            lives_later(plan, all, step->out, backward);
        for (int k = 0; k < step->inputs; k++) {
            if (step->needs.x[k])
                lives_later(plan, all, step->in[k], backward);
            if (step->grad[k]) {
                all->range[nodes + step->in[k]].size = all->range[step->in[k]].size;
                lives(all, nodes + step->in[k], backward);
            }
        }
    }
    if (plan->args.train && plan->args.input_grad)
        lives(all, nodes + plan->from, loss + 2 * plan->steps + 1);
}

static void make_ranges(const struct ln__plan *plan, struct ranges *all)
{
    for (size_t i = 0; i < all->count; i++) {
        all->range[i] = (struct ln__range){.from = -1, .to = -1};
        all->home[i] = (int)i;
    }
    make_forward_ranges(plan, all);
    make_backward_ranges(plan, all);
}

/* Lays `inner` into `outer`'s memory, which then lives as long as both. */
static void settle(struct ranges *all, int inner, int outer)
{
    struct ln__range *home = range_of(all, outer);
    const struct ln__range *range = &all->range[inner];
    home->from = range->from < home->from ? range->from : home->from;
    home->to = range->to > home->to ? range->to : home->to;
    all->home[inner] = all->home[outer];
    while (all->home[all->home[inner]] != all->home[inner])
        all->home[inner] = all->home[all->home[inner]];
}

/* y over x where x dies in this step; dx over dy where this step is the only one to write dx. */
static void share_in_place(const struct ln__plan *plan, struct ranges *all)
{
    int nodes = all->nodes;
    for (int s = 0; s < plan->steps; s++) {
        const struct ln__plan_step *step = &plan->step[s];
        for (int k = 0; k < step->inputs && step->needs.forward_over; k++) {
            const struct ln__range *x = range_of(all, step->in[k]);
            if (x->to == s + 1 && x->size == all->range[step->out].size) {
                settle(all, step->out, step->in[k]);
                break;
            }
        }
    }
    for (int s = plan->steps - 1; s >= 0; s--) {
        const struct ln__plan_step *step = &plan->step[s];
        for (int k = 0; k < step->inputs && step->needs.backward_over && step->backward; k++) {
            int writers = 0;
            for (int i = 0; i < plan->steps; i++)
                for (int j = 0; j < plan->step[i].inputs; j++)
                    writers += plan->step[i].in[j] == step->in[k] && plan->step[i].grad[j];
            if (step->grad[k] && writers == 1 && all->range[nodes + step->in[k]].size == all->range[nodes + step->out].size) {
                settle(all, nodes + step->in[k], nodes + step->out);
                break;
            }
        }
    }
}

static size_t padded(size_t bytes)
{
    return (bytes + LN_ALIGN - 1) / LN_ALIGN * LN_ALIGN;
}

/* Offsets for the ranges of [0, count) that are homes, the rest follow theirs. */
static int place(struct ranges *all, bool shared, bool scratch, size_t *bytes)
{
    struct ln__range *range = ln__mem_zero(all->count, sizeof *range);
    if (!range)
        return LN_ENOMEM;
    size_t end = 0;
    for (size_t i = 0; i < all->count; i++) {
        range[i] = all->range[i];
        if (all->home[i] != (int)i || (is_scratch(all, i) && !scratch))
            range[i].size = 0;
        range[i].offset = end;
        if (!shared)
            end += padded(range[i].size);
    }
    int rc = shared ? ln__offsets_fit(range, all->count, bytes) : 0;
    if (!shared)
        *bytes = end;
    for (size_t i = 0; i < all->count; i++)
        all->range[i].offset = range[i].offset;
    ln__mem_free(range);
    return rc;
}

static size_t offset_of(const struct ln__range *range)
{
    return range->size ? range->offset : LN__NOWHERE;
}

static void keep_offsets(struct ln__plan *plan, struct ranges *all)
{
    int nodes = all->nodes;
    for (int i = 0; i < nodes; i++) {
        plan->value[i] = all->range[i].size ? range_of(all, i)->offset : LN__NOWHERE;
        plan->grad[i] = all->range[nodes + i].size ? range_of(all, nodes + i)->offset : LN__NOWHERE;
        plan->later[i] = plan->dropped[i] ? offset_of(&all->range[2 * nodes + i]) : plan->value[i];
    }
    for (int s = 0; s < plan->steps; s++) {
        const struct ln__range *range = &all->range[step_buffer(all, s)];
        plan->step[s].saved = offset_of(&range[0]);
        plan->step[s].scratch_forward = offset_of(&range[1]);
        plan->step[s].scratch_backward = offset_of(&range[2]);
        plan->step[s].scratch_anew = offset_of(&range[3]);
        plan->step[s].gradient = offset_of(&range[4]);
    }
}

/* Where everything lies, for what is dropped at present. */
static int make_arena(struct ln__plan *plan, bool shared)
{
    int nodes = plan->args.graph->nodes;
    struct ranges all = {.count = TENSOR_BUFFERS * (size_t)nodes + STEP_BUFFERS * (size_t)plan->steps, .nodes = nodes};
    all.range = ln__mem_zero(all.count, sizeof *all.range);
    all.home = ln__mem_zero(all.count, sizeof *all.home);
    int rc = !all.range || !all.home ? LN_ENOMEM : 0;
    size_t without = 0, unshared = 0;
    if (!rc) {
        make_ranges(plan, &all);
        for (size_t i = 0; i < all.count; i++)
            unshared += is_scratch(&all, i) ? 0 : padded(all.range[i].size);
        if (shared)
            share_in_place(plan, &all);
        rc = place(&all, shared, false, &without);
    }
    if (!rc)
        rc = place(&all, shared, true, &plan->arena_bytes);
    if (!rc) {
        struct ln__plan_memory *memory = &plan->memory;
        keep_offsets(plan, &all);
        memory->activations_unshared = unshared;
        memory->activations = without < plan->arena_bytes ? without : plan->arena_bytes;
        memory->scratch = plan->arena_bytes - memory->activations;
        memory->total = memory->weights + memory->gradients + memory->optimizer + memory->activations + memory->scratch;
    }
    ln__mem_free(all.range);
    ln__mem_free(all.home);
    return rc;
}

/* The arena, with as little dropped as the budget allows. Over the budget whatever is dropped: the smallest that was found. */
static int fit_arena(struct ln__plan *plan, bool shared)
{
    size_t nodes = (size_t)plan->args.graph->nodes;
    plan->value = ln__mem_alloc(nodes * sizeof *plan->value);
    plan->grad = ln__mem_alloc(nodes * sizeof *plan->grad);
    plan->later = ln__mem_alloc(nodes * sizeof *plan->later);
    plan->dropped = ln__mem_zero(nodes, sizeof *plan->dropped);
    plan->anew = ln__mem_alloc((size_t)plan->steps * sizeof *plan->anew);
    if (!plan->value || !plan->grad || !plan->later || !plan->dropped || !plan->anew)
        return LN_ENOMEM;
    for (int s = 0; s < plan->steps; s++)
        plan->anew[s] = -1;
    int rc = make_arena(plan, shared), best = 0;
    size_t least = plan->memory.total, most = plan->args.memory_max;
    bool more = plan->args.train && most;
    for (int round = 1; !rc && more && plan->memory.total > most; round++) {
        rc = ln__plan_drop(plan, round, &more);
        if (rc || !more)
            break;
        plan->rounds = round;
        rc = make_arena(plan, shared);
        if (!rc && plan->memory.total < least) {
            least = plan->memory.total;
            best = round;
        }
    }
    if (!rc && plan->memory.total > least) { /* nothing fits: tell of the smallest */
        rc = ln__plan_drop(plan, best, &more);
        rc = rc ? rc : make_arena(plan, shared);
    }
    return rc;
}

static int make_weights(struct ln__plan *plan)
{
    const struct ln__graph *graph = plan->args.graph;
    plan->place = ln__mem_alloc((size_t)graph->params * sizeof *plan->place);
    if (!plan->place)
        return LN_ENOMEM;
    for (int i = 0; i < graph->params; i++) {
        plan->place[i] = LN__NOWHERE;
        if (graph->param[i].node <= plan->from || graph->param[i].node > plan->to)
            continue;
        size_t *end = graph->param[i].buffer ? &plan->buffer_floats : &plan->weight_floats;
        plan->place[i] = *end;
        *end += padded(ln__param_floats(graph, i, plan->args.kset) * sizeof(float)) / sizeof(float);
    }
    struct ln__plan_memory *memory = &plan->memory;
    memory->weights = (plan->weight_floats + plan->buffer_floats) * sizeof(float);
    memory->gradients = plan->args.train && !plan->args.learn ? plan->weight_floats * sizeof(float) : 0;
    memory->optimizer = (size_t)plan->slots * plan->weight_floats * sizeof(float);
    return 0;
}

/* The parameters of one of a step's nodes from number `first` on: trainable ones come first, and lie one behind the other. */
static void learn_node(const struct ln__plan *plan, struct ln__plan_step *step, int node, int first, struct ln__learnt *out)
{
    const struct ln__graph *graph = plan->args.graph;
    const struct ln__node *of = &graph->node[node];
    for (int i = first; node && i < of->params && !graph->param[of->param[i]].buffer; i++) {
        size_t floats = padded(ln__param_floats(graph, of->param[i], plan->args.kset) * sizeof(float)) / sizeof(float);
        if (!out->floats)
            *out = (struct ln__learnt){.place = plan->place[of->param[i]], .offset = step->gradient_floats};
        out->floats = plan->place[of->param[i]] - out->place + floats;
        out->gaps |= floats > graph->param[of->param[i]].count;
    }
    step->gradient_floats += out->floats;
}

/* What of a step's gradient needs memory between its backward and the update that follows it. */
static void make_learnt(struct ln__plan *plan)
{
    for (int s = 0; s < plan->steps && plan->args.learn; s++) {
        struct ln__plan_step *step = &plan->step[s];
        step->sinks = step->needs.sinks;
        learn_node(plan, step, step->node, step->sinks, &step->learnt[0]);
        learn_node(plan, step, step->before.node, 0, &step->learnt[1]);
        learn_node(plan, step, step->behind.node, 0, &step->learnt[2]);
    }
}

/* ---- the whole ---- */

static int check_args(const struct ln__plan_args *args, int *from, int *to, struct ln_fault *fault)
{
    const struct ln__graph *graph = args->graph;
    if (ln__graph_range(graph, args->segment, from, to))
        return ln_fault_set(fault, LN_EINVALID, "%s has no layers between cuts %d and %d; its cuts are 0 to %d", graph->name, args->segment.from,
                            args->segment.to, graph->cuts + 1);
    int error = args->train && args->optimizer ? ln__optimizer_check(args->optimizer, fault) : LN_OK;
    if (error)
        return error;
    if (args->batch < 1 || args->batch > 1 << 20)
        return ln_fault_set(fault, LN_EINVALID, "%s: a batch of %d; expected 1 to 1048576", graph->name, args->batch);
    return 0;
}

static int check_budget(const struct ln__plan *plan, struct ln_fault *fault)
{
    const struct ln__plan_memory *memory = &plan->memory;
    if (!plan->args.memory_max || memory->total <= plan->args.memory_max)
        return 0;
    const double mib = 1024 * 1024;
    return ln_fault_set(
        fault, LN_EBUDGET,
        "%s with batch %d needs %.2f MiB%s (weights %.2f, gradients %.2f, optimiser %.2f, activations %.2f, scratch %.2f) but may have "
        "%.2f MiB",
        plan->args.graph->name, plan->args.batch, (double)memory->total / mib, plan->rounds ? " with all recomputed that can be" : "",
        (double)memory->weights / mib, (double)memory->gradients / mib, (double)memory->optimizer / mib, (double)memory->activations / mib,
        (double)memory->scratch / mib, (double)plan->args.memory_max / mib);
}

int ln__plan_new_as(const struct ln__plan_args *args, bool shared, bool fused, struct ln__plan **out, struct ln_fault *fault)
{
    int from, to, unfit = 0, rc = check_args(args, &from, &to, fault);
    if (rc)
        return rc;
    struct ln__plan *plan = ln__mem_zero(1, sizeof *plan);
    if (!plan)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for the plan", args->graph->name);
    plan->args = *args;
    plan->from = from;
    plan->to = to;
    if (args->optimizer)
        plan->optimizer = *args->optimizer;
    if (args->sparsity)
        plan->sparsity = *args->sparsity;
    plan->args.optimizer = args->optimizer ? &plan->optimizer : NULL;
    plan->args.sparsity = args->sparsity ? &plan->sparsity : NULL;
    plan->args.learn = args->train && args->optimizer && args->learn;
    if (args->train && args->optimizer)
        plan->slots = ((const struct ln__optimizer *)plan->optimizer.plugin)->slots(plan->optimizer.options);
    if (plan->args.sparsity)
        unfit = rc = ln__sparse_choose(plan, fault);
    if (!rc)
        rc = make_steps(plan);
    if (!rc && fused)
        ln__plan_fuse(plan);
    if (!rc) {
        ln__sparse_plan(plan);
        rc = make_needs(plan);
    }
    if (!rc)
        rc = make_weights(plan);
    if (!rc)
        make_learnt(plan);
    if (!rc)
        rc = fit_arena(plan, shared);
    if (rc) {
        ln__plan_free(plan);
        return unfit ? rc : ln_fault_set(fault, rc, "%s: no memory for the plan", args->graph->name);
    }
    rc = check_budget(plan, fault);
    if (rc) {
        ln__plan_free(plan);
        return rc;
    }
    *out = plan;
    return 0;
}

int ln__plan_new(const struct ln__plan_args *args, struct ln__plan **out, struct ln_fault *fault)
{
    return ln__plan_new_as(args, true, true, out, fault);
}

void ln__plan_free(struct ln__plan *plan)
{
    if (!plan)
        return;
    ln__mem_free(plan->step);
    ln__mem_free(plan->value);
    ln__mem_free(plan->grad);
    ln__mem_free(plan->later);
    ln__mem_free(plan->dropped);
    ln__mem_free(plan->anew);
    ln__mem_free(plan->place);
    ln__mem_free(plan);
}

void ln__plan_memory(const struct ln__plan *plan, struct ln__plan_memory *out)
{
    *out = plan->memory;
}

const char *ln__plan_kernels(const struct ln__plan *plan)
{
    return plan->args.kset->name;
}
