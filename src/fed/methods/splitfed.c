/* splitfed: vanilla split federated learning (SplitFed V1, Thapa et al., AAAI 2022; EcoFed's DPFL pipeline). The server holds a copy of the layers behind the
 * cut for every client. For each batch activations and labels go up and the gradient comes down; the device part travels at both ends of a
 * round. With exact codecs this is the training of the whole network, bit for bit. */
#include "fed/activations.h"

struct options {
    struct ln__split_options split;
};
static const struct ln_option options_table[] = {LN__SPLIT_OPTIONS(struct options), {0}};

static int splitfed_plan(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct options *o = options;
    struct ln__halves *split = ln__mem_zero(1, sizeof *split);
    *plan = split;
    if (!split)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a method");
    return ln__split_plan(env, &o->split, split, needs, fault);
}

static int batch_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t pass, uint32_t n, enum ln__outlook outlook,
                          struct ln__trace *trace)
{
    (void)task, (void)pass;
    struct ln__trace_row forward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * split->device_forward};
    struct ln__trace_row call = {.mark = LN__MARK_CALL, .times = 1, .server_macs = n * split->server_train_input};
    struct ln__trace_row backward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * (split->device_train - split->device_forward)};
    ln__activations_foretell(split, n, false, outlook, &call.bytes_up, &call.wire_up);
    call.bytes_down = ln__gradient_foretell(split, n, outlook);
    call.wire_down = call.bytes_down + LN__ENVELOPE;
    int error = ln__trace_add(trace, &forward);
    if (!error)
        error = ln__trace_add(trace, &call);
    return error ? error : ln__trace_add(trace, &backward);
}

static int splitfed_foretell(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
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
    struct ln_fault *fault = &device->result->fault;
    uint32_t n = walk->n;
    int error = ln__device_half_forward(half);
    if (!error)
        error = ln__link_call(device->link, &half->up, &half->down);
    if (!error)
        error = ln__gradient_read(split, n, &half->down, half->dx, fault);
    if (error)
        return error;
    ln__device_half_learn(half, NULL);
    ln__device_worked(device, n * (split->device_train - split->device_forward));
    return LN_OK;
}

static int splitfed_device(const void *plan, struct ln__device *device)
{
    return ln__split_device(device, plan, one_batch);
}

/* ---- the server half ---- */

static int splitfed_open(const void *plan, struct ln__session *session)
{
    return ln__split_open(plan, session, true);
}

static int splitfed_answer(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply)
{
    const struct ln__halves *split = plan;
    struct ln__server_half *half = session->own;
    struct ln_fault *fault = &session->result->fault;
    struct ln__activations batch = {.label = half->label, .x = half->x};
    if (!reply)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations that wants no answer");
    int error = ln__activations_read(split, message->bytes.data, message->bytes.size, &batch, fault);
    if (error)
        return error;
    ln__server_train(half, session, &batch, half->dx);
    return ln__gradient_write(split, batch.n, half->dx, reply, fault);
}

const struct ln__method ln__method_splitfed = {
    .plugin = {.name = "splitfed",
               .summary = "device part and a server copy for each client: activations up, gradients down (SplitFed V1)",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .plan = splitfed_plan,
    .unplan = ln__mem_free,
    .foretell = splitfed_foretell,
    .device = splitfed_device,
    .open = splitfed_open,
    .answer = splitfed_answer,
    .close = ln__split_close,
};
