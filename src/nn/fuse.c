/* Rewriting a plan: batch norm [+ addition] [+ activation], and ReLU + maximum, become one step, one pass over memory each way; and of norm,
 * depthwise convolution, norm one step is made. Only where no other step (nor the caller) reads what is in between. */
#include "nn/plan.h"

/* Behind a sum only activations whose derivative follows from their output; sparse layouts have no others. */
static bool fusible(const struct ln__plan *plan, const struct ln__plan_step *norm, enum ln__act act)
{
    bool smooth = act == LN__ACT_HARDSWISH || act == LN__ACT_SILU;
    return act == LN__ACT_RELU || act == LN__ACT_RELU6 || (smooth && norm->inputs == 1 && !ln__plan_own(plan));
}

/* The only step that reads a tensor, at index above `after`; -1 when there is none or more than one. */
static int only_reader(const struct ln__plan *plan, int tensor, int after)
{
    if (ln__plan_readers(plan, tensor) != 1)
        return -1;
    for (int i = after + 1; i < plan->steps; i++)
        for (int k = 0; k < plan->step[i].inputs && plan->step[i].layer; k++)
            if (plan->step[i].in[k] == tensor)
                return i;
    return -1;
}

/* norm -> addition: the norm moves to the addition's place, where the other summand is ready. Of two norms the later one moves. */
static int fuse_add(struct ln__plan *plan, int at)
{
    struct ln__plan_step *norm = &plan->step[at];
    int next = only_reader(plan, norm->out, at);
    if (next < 0 || plan->step[next].layer != &ln__layer_add)
        return at;
    struct ln__plan_step *add = &plan->step[next];
    int other = add->in[0] == norm->out ? add->in[1] : add->in[0];
    if (other == norm->in[0]) /* the kernel would have two gradients for one tensor */
        return at;
    for (int i = at + 1; i < next; i++) { /* leave it to a later norm that feeds the same addition, if it can be fused */
        const struct ln__plan_step *later = &plan->step[i];
        if (later->layer == &ln__layer_batchnorm && later->inputs == 1 && later->act == LN__ACT_NONE && later->out == other &&
            ln__plan_readers(plan, other) == 1)
            return at;
    }
    int out = add->out;
    *add = *norm;
    add->inputs = 2;
    add->in[1] = other;
    add->out = out;
    norm->layer = NULL;
    return next;
}

static void fuse_activation(struct ln__plan *plan, int at)
{
    struct ln__plan_step *norm = &plan->step[at];
    int next = only_reader(plan, norm->out, at);
    if (next < 0 || plan->step[next].layer != &ln__layer_activation)
        return;
    struct ln__plan_step *activation = &plan->step[next];
    enum ln__act act = plan->args.graph->node[activation->node].act;
    if (!fusible(plan, norm, act))
        return;
    norm->act = act;
    norm->out = activation->out;
    activation->layer = NULL;
}

static bool is_depthwise(const struct ln__plan *plan, const struct ln__plan_step *step)
{
    const struct ln__node *node = &plan->args.graph->node[step->node];
    struct ln__conv conv;
    return step->layer && step->layer->conv && step->layer->conv(node, &conv) && conv.groups > 1 && conv.groups == conv.ci && conv.ci == conv.co &&
           node->params == 1;
}

/* The step in front makes what the norm reads, and nobody else does: the gradient then is the sandwich's alone. */
static bool made_for(const struct ln__plan *plan, int tensor, int at)
{
    bool made = false;
    for (int i = 0; i < at; i++)
        made |= plan->step[i].layer && plan->step[i].out == tensor;
    return made && ln__plan_readers(plan, tensor) == 1;
}

/* norm, depthwise convolution, norm -> one step in the place of the last. */
static void fuse_sandwich(struct ln__plan *plan, int at)
{
    struct ln__plan_step *before = &plan->step[at];
    int middle = only_reader(plan, before->out, at);
    if (middle < 0 || !is_depthwise(plan, &plan->step[middle]) || !made_for(plan, before->in[0], at) || ln__plan_at_cut(plan, before->out))
        return;
    struct ln__plan_step *conv = &plan->step[middle];
    int last = only_reader(plan, conv->out, middle);
    if (last < 0 || plan->step[last].layer != &ln__layer_batchnorm || plan->step[last].inputs != 1 || ln__plan_at_cut(plan, conv->out))
        return;
    struct ln__plan_step *behind = &plan->step[last];
    struct ln__plan_norm norms[] = {{before->node, before->act}, {behind->node, behind->act}};
    *behind = (struct ln__plan_step){.layer = &ln__layer_sandwich,
                                     .node = conv->node,
                                     .inputs = 1,
                                     .in = {before->in[0]},
                                     .out = behind->out,
                                     .before = norms[0],
                                     .behind = norms[1]};
    before->layer = conv->layer = NULL;
}

static void fuse_pools(struct ln__plan *plan)
{
    for (int i = 0; i < plan->steps; i++) {
        struct ln__plan_step *relu = &plan->step[i];
        if (relu->layer != &ln__layer_activation || plan->args.graph->node[relu->node].act != LN__ACT_RELU)
            continue;
        int next = only_reader(plan, relu->out, i);
        if (next < 0 || plan->step[next].layer != &ln__layer_maxpool)
            continue;
        plan->step[next].act = LN__ACT_RELU;
        plan->step[next].in[0] = relu->in[0];
        relu->layer = NULL;
    }
}

void ln__plan_fuse(struct ln__plan *plan)
{
    for (int i = 0; i < plan->steps; i++) {
        const struct ln__plan_step *step = &plan->step[i];
        if (step->layer != &ln__layer_batchnorm || step->inputs != 1 || step->act != LN__ACT_NONE)
            continue;
        int at = fuse_add(plan, i);
        if (at == i || plan->step[at].act == LN__ACT_NONE)
            fuse_activation(plan, at);
    }
    for (int i = 0; i < plan->steps && plan->args.kset->sandwich_forward; i++)
        if (plan->step[i].layer == &ln__layer_batchnorm && plan->step[i].inputs == 1)
            fuse_sandwich(plan, i);
    if (plan->args.kset->relu_maxpool_forward)
        fuse_pools(plan);
    int kept = 0;
    for (int i = 0; i < plan->steps; i++)
        if (plan->step[i].layer)
            plan->step[kept++] = plan->step[i];
    plan->steps = kept;
}
