/* localloss: local-loss split learning (LGL; Han et al., 2021; EcoFed's local-loss DPFL pipeline). The device trains its part behind an auxiliary head (a
 * linear layer from the activation to the classes) and sends activations and labels; no gradient comes down. The head is averaged and
 * travels like the device part, but is no part of the saved model. */
#include "fed/activations.h"

struct options {
    struct ln__split_options split;
};
static const struct ln_option options_table[] = {LN__SPLIT_OPTIONS(struct options), {0}};

static int localloss_plan(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct options *o = options;
    struct ln__halves *split = ln__mem_zero(1, sizeof *split);
    *plan = split;
    if (!split)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a method");
    int error = ln__split_plan(env, &o->split, split, needs, fault);
    return error ? error : ln__split_head(split, &needs->side, fault);
}

/* The device part, and the head with the gradient of its input, which the device part's last layers begin from. */
static uint64_t device_macs(const struct ln__halves *split)
{
    return split->device_train + 3 * split->values * (uint64_t)split->classes;
}

static int batch_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t pass, uint32_t n, enum ln__outlook outlook,
                          struct ln__trace *trace)
{
    (void)task, (void)pass;
    struct ln__trace_row forward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * split->device_forward};
    struct ln__trace_row post = {.mark = LN__MARK_POST, .times = 1, .server_macs = n * split->server_train};
    struct ln__trace_row rest = {.mark = LN__MARK_WORK, .times = 1, .macs = n * (device_macs(split) - split->device_forward)};
    ln__activations_foretell(split, n, false, outlook, &post.bytes_up, &post.wire_up);
    int error = ln__trace_add(trace, &forward);
    if (!error)
        error = ln__trace_add(trace, &post);
    return error ? error : ln__trace_add(trace, &rest);
}

static int localloss_foretell(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
                              struct ln__trace *trace)
{
    (void)env;
    return ln__split_foretell(plan, task, samples, task->epochs, false, batch_foretell, outlook, trace);
}

/* ---- the device half ---- */

static int one_batch(struct ln__device_half *half)
{
    const struct ln__walk *walk = &half->walk;
    const struct ln__halves *split = walk->split;
    struct ln__device *device = walk->device;
    uint32_t n = walk->n;
    struct ln__loss loss;
    int error = ln__device_half_forward(half);
    if (!error)
        error = ln__link_post(device->link, &half->up);
    if (error)
        return error;
    ln__net_forward(half->head, (int)n, half->x, true, &walk->draw);
    ln__net_loss(half->head, (int)n, device->worker->y, &loss);
    ln__device_half_learn(half, NULL);
    ln__device_worked(device, n * (device_macs(split) - split->device_forward));
    return LN_OK;
}

static int localloss_device(const void *plan, struct ln__device *device)
{
    return ln__split_device(device, plan, one_batch);
}

/* ---- the server half ---- */

static int localloss_open(const void *plan, struct ln__session *session)
{
    return ln__split_open(plan, session, false);
}

static int localloss_answer(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply)
{
    struct ln__server_half *half = session->own;
    struct ln_fault *fault = &session->result->fault;
    struct ln__activations batch = {.label = half->label, .x = half->x};
    if (reply)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations that wants an answer; local loss gives none");
    int error = ln__activations_read(plan, message->bytes.data, message->bytes.size, &batch, fault);
    if (error)
        return error;
    ln__server_train(half, session, &batch, NULL);
    return LN_OK;
}

const struct ln__method ln__method_localloss = {
    .plugin = {.name = "localloss",
               .summary = "the device trains its part on an auxiliary head's loss; activations up, no gradients (LGL)",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .plan = localloss_plan,
    .unplan = ln__mem_free,
    .foretell = localloss_foretell,
    .device = localloss_device,
    .open = localloss_open,
    .answer = localloss_answer,
    .close = ln__split_close,
};
