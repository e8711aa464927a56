/* fedgkt: group knowledge transfer (He et al., NeurIPS 2020, 2007.14513), as EcoFed's authors compare with it: split for every batch. The device trains
 * its part behind an auxiliary head, the server its copy of the rest; each learns from the labels and from the other's logits of the same batch
 * (cross-entropy + alpha T^2 KL, both ways). Activations, labels and the device's logits go up, the server's logits come down; no gradient does. Device
 * part and head travel at both ends of a round. */
#include "fed/activations.h"
#include "fed/distil.h"

#include <string.h>

struct options {
    struct ln__split_options split;
    double alpha, temperature;
};
static const struct ln_option options_table[] = {LN__SPLIT_OPTIONS(struct options),
                                                 {.key = "alpha",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, alpha),
                                                  .fallback = "1",
                                                  .min = 0,
                                                  .max = 1e3,
                                                  .help = "weight of the other side's logits in the loss (1: the paper)"},
                                                 {.key = "temperature",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, temperature),
                                                  .fallback = "3",
                                                  .min = 0.01,
                                                  .max = 1e3,
                                                  .help = "that softens both sides' logits (3: the paper)"},
                                                 {0}};

struct plan {
    struct ln__halves split; /* first */
    double alpha, temperature;
};

static int fedgkt_plan(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct options *o = options;
    struct plan *own = ln__mem_zero(1, sizeof *own);
    *plan = own;
    if (!own)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a method");
    struct ln__halves *split = &own->split;
    own->alpha = o->alpha;
    own->temperature = o->temperature;
    int error = ln__split_plan(env, &o->split, split, needs, fault);
    return error ? error : ln__split_head(split, &needs->side, fault);
}

/* The device part, and the head with the gradient of its input, which the device part's last layers begin from. */
static uint64_t device_macs(const struct ln__halves *split)
{
    return split->device_train + 3 * split->values * (uint64_t)split->classes;
}

static uint64_t forward_macs(const struct ln__halves *split)
{
    return split->device_forward + split->values * (uint64_t)split->classes;
}

static size_t logits_size(const struct ln__halves *split, uint32_t n)
{
    return (size_t)n * (size_t)split->classes * sizeof(float);
}

static int batch_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t pass, uint32_t n, enum ln__outlook outlook,
                          struct ln__trace *trace)
{
    (void)task, (void)pass;
    struct ln__trace_row forward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * forward_macs(split)};
    struct ln__trace_row call = {.mark = LN__MARK_CALL, .times = 1, .server_macs = n * split->server_train, .bytes_down = logits_size(split, n)};
    struct ln__trace_row backward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * (device_macs(split) - forward_macs(split))};
    ln__activations_foretell(split, n, true, outlook, &call.bytes_up, &call.wire_up);
    call.wire_down = call.bytes_down + LN__ENVELOPE;
    int error = ln__trace_add(trace, &forward);
    if (!error)
        error = ln__trace_add(trace, &call);
    return error ? error : ln__trace_add(trace, &backward);
}

static int fedgkt_foretell(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
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
    const struct plan *plan = (const struct plan *)split;
    struct ln__device *device = walk->device;
    struct ln_fault *fault = &device->result->fault;
    uint32_t n = walk->n;
    struct ln__loss loss;
    const struct ln__activations batch = {
        .n = n, .epoch = walk->epoch, .step = (uint32_t)walk->step, .label = device->worker->y, .x = half->x, .logits = half->logits};
    ln__net_forward(half->net, (int)n, device->worker->x, true, &walk->draw);
    ln__net_output(half->net, (int)n, half->x);
    ln__net_forward(half->head, (int)n, half->x, true, &walk->draw);
    ln__net_output(half->head, (int)n, half->logits);
    ln__device_worked(device, n * forward_macs(split));
    int error = ln__activations_write(split, &batch, &half->up, fault);
    if (!error)
        error = ln__link_call(device->link, &half->up, &half->down);
    if (error)
        return error;
    if (half->down.bytes.size != logits_size(split, n))
        return ln_fault_set(fault, LN_ECORRUPT, "%zu bytes of logits; expected %zu", half->down.bytes.size, logits_size(split, n));
    memcpy(half->taught, half->down.bytes.data, half->down.bytes.size);
    if (!ln__all_finite(half->taught, (size_t)n * (size_t)split->classes))
        return ln_fault_set(fault, LN_ECORRUPT, "the server's logits are not finite numbers");
    ln__distil((int)n, split->classes, plan->alpha, plan->temperature, half->logits, half->taught, device->worker->y, half->logits, &loss);
    ln__device_half_learn(half, half->logits);
    ln__device_worked(device, n * (device_macs(split) - forward_macs(split)));
    return LN_OK;
}

static int fedgkt_device(const void *plan, struct ln__device *device)
{
    return ln__split_device(device, plan, one_batch);
}

/* ---- the server half ---- */

static int fedgkt_open(const void *plan, struct ln__session *session)
{
    return ln__split_open(&((const struct plan *)plan)->split, session, false);
}

static int fedgkt_answer(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply)
{
    const struct plan *own = plan;
    const struct ln__halves *split = &own->split;
    struct ln__server_half *half = session->own;
    struct ln_fault *fault = &session->result->fault;
    struct ln__activations batch = {.label = half->label, .x = half->x, .logits = half->taught};
    struct ln__loss loss;
    if (!reply)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations that wants no answer");
    int error = ln__activations_read(split, message->bytes.data, message->bytes.size, &batch, fault);
    if (error)
        return error;
    const struct ln__net_draw draw = {.key = session->key, .step = half->step};
    ln__net_forward(half->net, (int)batch.n, batch.x, true, &draw);
    ln__net_output(half->net, (int)batch.n, half->logits);
    if (!ln__all_finite(half->logits, (size_t)batch.n * (size_t)split->classes))
        return ln_fault_set(fault, LN_EREFUSED, "the server's logits are not finite numbers");
    ln__buf_clear(&reply->bytes);
    error = ln__buf_add(&reply->bytes, half->logits, logits_size(split, batch.n));
    reply->payload = reply->bytes.size;
    if (error)
        return ln_fault_set(fault, error, "no memory for a reply of logits");
    ln__distil((int)batch.n, split->classes, own->alpha, own->temperature, half->logits, half->taught, batch.label, half->logits, &loss);
    ln__server_step(half, &(struct ln__server_batch){.n = batch.n,
                                                     .epoch = batch.epoch,
                                                     .dlogits = half->logits,
                                                     .sum = loss.sum,
                                                     .correct = loss.correct,
                                                     .mu = ln__split_proximal(session->env, session->task, batch.epoch)});
    session->macs += batch.n * split->server_train;
    return LN_OK;
}

const struct ln__method ln__method_fedgkt = {
    .plugin = {.name = "fedgkt",
               .summary = "device part with a head and server part teach each other by logits (FedGKT)",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .plan = fedgkt_plan,
    .unplan = ln__mem_free,
    .foretell = fedgkt_foretell,
    .device = fedgkt_device,
    .open = fedgkt_open,
    .answer = fedgkt_answer,
    .close = ln__split_close,
};
