#include "fed/worker.h"

#include "fed/fold.h"
#include "nn/sparsity.h"
#include <math.h>
#include <string.h>

void ln__result_fini(struct ln__result *result)
{
    ln__blob_unref(result->update);
    ln__blob_unref(result->keep);
    ln__trace_fini(&result->trace);
    *result = (struct ln__result){0};
}

static struct ln__key task_key(const struct ln__env *env, const struct ln__task *task)
{
    return (struct ln__key){.seed = (uint64_t)env->recipe->seed, .round = task->turn, .client = task->client};
}

static int server_worked(struct ln__session *session)
{
    if (session->macs == 0)
        return LN_OK;
    const struct ln__trace_row row = {.mark = LN__MARK_SERVER, .times = 1, .server_macs = session->macs};
    session->macs = 0;
    int error = ln__trace_add(&session->result->trace, &row);
    return error ? ln_fault_set(&session->result->fault, error, "no memory for a task's trace") : LN_OK;
}

/* The message under construction becomes the result's update. */
static int finish_update(struct ln__worker *worker, struct ln__result *result)
{
    if (!worker->updating)
        return LN_OK;
    worker->updating = false;
    int error = ln__update_end(worker->env, &worker->update);
    return error ? error : ln__blob_put(worker->env->blobs, worker->update.data, worker->update.size, &result->update, &result->fault);
}

static int run_train(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result)
{
    const struct ln__env *env = worker->env;
    const struct ln__method *method = env->method;
    const void *plan = env->method_plan;
    struct ln__session session = {.env = env, .worker = worker, .task = task, .key = task_key(env, task), .result = result};
    struct ln__link link = {.worker = worker, .plan = plan, .trace = &result->trace, .fault = &result->fault};
    const uint32_t *index = env->shares.index + env->shares.start[task->client];
    struct ln__device device = {.env = env,
                                .worker = worker,
                                .task = task,
                                .key = task_key(env, task),
                                .index = index,
                                .samples = (uint32_t)(env->shares.start[task->client + 1] - env->shares.start[task->client]),
                                .link = &link,
                                .result = result};
    struct ln__submodel *part = NULL;
    int error = ln__env_submodels(env) ? ln__env_submodel(env, task->client, task->turn, &part, &result->fault) : LN_OK;
    device.part = part;
    worker->updating = false;
    if (!error && method->open) {
        error = method->open(plan, &session);
        link.session = error ? NULL : &session;
        if (!error)
            error = server_worked(&session);
    }
    if (!error && task->site != LN__SERVER)
        error = method->device(plan, &device);
    if (!error)
        error = result->error;
    if (method->open && method->close) { /* also where open failed half-way: own is to be freed */
        int closed = method->close(plan, &session, error != LN_OK);
        if (!closed)
            closed = server_worked(&session);
        error = error ? error : closed;
    }
    if (!error)
        error = finish_update(worker, result);
    worker->updating = false;
    ln__submodel_free(part);
    return error;
}

static int run_eval(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result)
{
    const struct ln__env *env = worker->env;
    const struct ln__segment whole = {0, -1};
    struct ln__device device = {.env = env, .worker = worker, .task = task, .result = result};
    const uint32_t *index = env->shares.index + env->shares.start[task->client];
    uint32_t samples = (uint32_t)(env->shares.start[task->client + 1] - env->shares.start[task->client]);
    float *state = ln__worker_state(worker, 0);
    struct ln__net *net;
    if (!state)
        return ln_fault_set(&result->fault, LN_ENOMEM, "no memory for a client's model");
    int error = ln__device_pull(&device, whole, state);
    const struct ln__net_wish wish = {.segment = whole, .batch = (int)env->recipe->eval.batch, .test = true};
    if (!error)
        error = ln__worker_net(worker, &wish, &net, &result->fault);
    if (error)
        return error;
    ln__net_load(net, state);
    uint64_t macs = ln__sparse_macs(env->graph, whole, &env->recipe->sparsity), correct = 0;
    double sum = 0;
    for (uint32_t at = 0; at < samples; at += (uint32_t)wish.batch) {
        if (ln__worker_stopped(worker))
            return LN_EINTERRUPTED;
        int n = (int)(samples - at < (uint32_t)wish.batch ? samples - at : (uint32_t)wish.batch);
        const struct ln__batch_args args = {.set = &env->set, .split = LN__TRAIN, .index = index + at};
        struct ln__loss loss;
        ln__batch_fill(&args, n, worker->x, worker->y);
        ln__net_forward(net, n, worker->x, false, NULL);
        ln__net_loss(net, n, worker->y, &loss);
        sum += loss.sum;
        correct += (uint64_t)loss.correct;
        ln__device_worked(&device, macs * (uint64_t)n);
    }
    result->samples = samples;
    result->loss = samples ? sum / samples : 0;
    result->accuracy = samples ? (double)correct / samples : 0;
    const struct ln__trace_row post = {.mark = LN__MARK_POST, .times = 1, .bytes_up = 16, .wire_up = 16 + LN__ENVELOPE};
    error = ln__trace_add(&result->trace, &post);
    return error ? ln_fault_set(&result->fault, error, "no memory for a task's trace") : LN_OK;
}

static int probe_trace(struct ln__trace *trace)
{
    return ln__trace_add(trace, &(struct ln__trace_row){.mark = LN__MARK_CALL, .times = 1, .wire_up = LN__ENVELOPE, .wire_down = LN__ENVELOPE});
}

void ln__task_run(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result)
{
    *result = (struct ln__result){0};
    switch (task->kind) {
    case LN_TASK_TRAIN:
        result->error = run_train(worker, task, result);
        break;
    case LN_TASK_EVAL:
        result->error = run_eval(worker, task, result);
        break;
    default:
        result->error = probe_trace(&result->trace);
        break;
    }
    if (!result->error && !(isfinite(result->loss) && isfinite(result->accuracy) && isfinite(result->samples)))
        result->error = ln_fault_set(&result->fault, LN_EREFUSED, "client %u: its loss is not a finite number: %g", task->client, result->loss);
    if (result->error) {
        ln__blob_unref(result->update);
        ln__blob_unref(result->keep);
        result->update = result->keep = NULL;
        result->keep_changed = false;
    }
}

void ln__result_check(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result)
{
    if (result->error || !result->update)
        return;
    float *state = ln__worker_state(worker, 3);
    const void *message, *base;
    int error = state ? LN_OK : ln_fault_set(&result->fault, LN_ENOMEM, "no memory to check an update");
    if (!error)
        error = ln__blob_pin(result->update, &message, &result->fault);
    if (!error) {
        error = ln__blob_pin(task->model, &base, &result->fault);
        if (!error) {
            error = ln__update_check(worker->env, task->client, task->turn, message, ln__blob_size(result->update), base, state, &result->fault);
            ln__blob_unpin(task->model);
        }
        ln__blob_unpin(result->update);
    }
    if (!error)
        return;
    result->error = error == LN_ENOMEM || error == LN_EIO ? error : LN_EREFUSED;
    ln__blob_unref(result->update);
    ln__blob_unref(result->keep);
    result->update = result->keep = NULL;
    result->keep_changed = false;
}

int ln__task_foretell(const struct ln__env *env, const struct ln__task *task, enum ln__outlook outlook, struct ln__trace *out)
{
    uint32_t samples = (uint32_t)(env->shares.start[task->client + 1] - env->shares.start[task->client]);
    if (task->kind == LN_TASK_PROBE)
        return probe_trace(out);
    if (task->kind == LN_TASK_TRAIN)
        return env->method->foretell ? env->method->foretell(env->method_plan, env, task, samples, outlook, out) : LN_OK;
    const struct ln__segment whole = {0, -1};
    struct ln__trace_row pull = {.mark = LN__MARK_PULL, .times = 1, .wire_up = LN__ENVELOPE};
    ln__segment_foretell(env, NULL, &env->recipe->codec.down, whole, outlook, &pull.bytes_down, &pull.wire_down);
    int error = ln__trace_add(out, &pull);
    if (!error && samples)
        error = ln__trace_add(
            out,
            &(struct ln__trace_row){.mark = LN__MARK_WORK, .times = 1, .macs = samples * ln__sparse_macs(env->graph, whole, &env->recipe->sparsity)});
    return error ? error
                 : ln__trace_add(out, &(struct ln__trace_row){.mark = LN__MARK_POST, .times = 1, .bytes_up = 16, .wire_up = 16 + LN__ENVELOPE});
}
