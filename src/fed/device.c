/* What device halves are made of: the model comes, a training, the result goes; and the link between the halves. */
#include "fed/worker.h"
#include "nn/sparsity.h"

#include <string.h>

/* ---- traces ---- */

int ln__trace_reserve(struct ln__trace *trace, size_t more)
{
    size_t room = trace->count + more;
    if (room <= trace->room)
        return LN_OK;
    struct ln__trace_row *grown = ln__mem_grow(trace->row, trace->count * sizeof *grown, room * sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    trace->row = grown;
    trace->room = room;
    return LN_OK;
}

int ln__trace_add(struct ln__trace *trace, const struct ln__trace_row *row)
{
    if (trace->count > 0) {
        struct ln__trace_row *last = &trace->row[trace->count - 1];
        if (last->mark == row->mark && last->macs == row->macs && last->server_macs == row->server_macs && last->bytes_up == row->bytes_up &&
            last->bytes_down == row->bytes_down && last->wire_up == row->wire_up && last->wire_down == row->wire_down) {
            last->times += row->times;
            return LN_OK;
        }
    }
    int error = trace->count == trace->room ? ln__trace_reserve(trace, trace->room ? trace->room : 4) : LN_OK;
    if (error)
        return error;
    trace->row[trace->count++] = *row;
    return LN_OK;
}

void ln__trace_fini(struct ln__trace *trace)
{
    ln__mem_free(trace->row);
    *trace = (struct ln__trace){0};
}

static int traced(struct ln__result *result, const struct ln__trace_row *row)
{
    int error = ln__trace_add(&result->trace, row);
    return error ? ln_fault_set(&result->fault, error, "no memory for a task's trace") : LN_OK;
}

void ln__device_worked(struct ln__device *device, uint64_t macs)
{
    if (macs == 0)
        return;
    int error = traced(device->result, &(struct ln__trace_row){.mark = LN__MARK_WORK, .times = 1, .macs = macs});
    if (error && !device->result->error)
        device->result->error = error;
}

/* ---- the model comes ---- */

/* The tensors of what the client has. */
static size_t device_params(const struct ln__device *device, const struct ln__param **out)
{
    return device->part ? ln__graph_params(ln__submodel_graph(device->part), out) : ln__env_params(device->env, out);
}

/* A whole model through the codec, once for all tasks that start from it. */
static int decode_down(struct ln__worker *worker, struct ln_blob *blob, const float *model, struct ln_fault *fault)
{
    if (worker->down == blob)
        return LN_OK;
    const struct ln__env *env = worker->env;
    if (!worker->down_state)
        worker->down_state = ln__mem_zero(env->state, sizeof(float));
    if (!worker->down_bytes)
        worker->down_bytes = ln__mem_zero(env->params, sizeof *worker->down_bytes);
    if (!worker->down_state || !worker->down_bytes)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", env->state);
    ln__blob_unref(worker->down);
    worker->down = NULL;
    for (size_t i = 0; i < env->params; i++) {
        const struct ln__param *param = &env->param[i];
        int error =
            ln__down_tensor(env, param, model + param->offset, worker->down_state + param->offset, &worker->through, &worker->down_bytes[i], fault);
        if (error)
            return error;
    }
    worker->down = ln__blob_ref(blob);
    return LN_OK;
}

/* One tensor as the client gets it; its bytes. A part goes through the codec by itself. */
static int pull_tensor(struct ln__device *device, const float *model, size_t i, float *state, uint64_t *bytes)
{
    struct ln__worker *worker = device->worker;
    const struct ln__env *env = device->env;
    const struct ln__param *whole = &env->param[i], *param;
    device_params(device, &param);
    float *to = state + param[i].offset;
    bool exact = ln__codec_exact(&env->recipe->codec.down);
    if (device->part) {
        ln__submodel_take(device->part, i, model + whole->offset, to);
        return ln__down_tensor(env, &param[i], to, to, &worker->through, bytes, &device->result->fault);
    }
    *bytes = exact ? whole->count * sizeof *to : worker->down_bytes[i];
    memcpy(to, (exact ? model : worker->down_state) + whole->offset, whole->count * sizeof *to);
    return LN_OK;
}

int ln__device_pull(struct ln__device *device, struct ln__segment segment, float *state)
{
    const struct ln__env *env = device->env;
    const void *model;
    int error = ln__blob_pin(device->task->model, &model, &device->result->fault);
    if (error)
        return error;
    if (!device->part && !ln__codec_exact(&env->recipe->codec.down))
        error = decode_down(device->worker, device->task->model, model, &device->result->fault);
    size_t rows = 0;
    uint64_t payload = 0, bytes = 0;
    for (size_t i = 0; i < env->params && !error; i++) {
        if (!ln__env_holds(env, segment, i))
            continue;
        error = pull_tensor(device, model, i, state, &bytes);
        payload += bytes;
        rows++;
    }
    ln__blob_unpin(device->task->model);
    if (error)
        return error;
    uint64_t wire = payload + sizeof(struct ln__update_head) + rows * sizeof(struct ln__update_row) + LN__ENVELOPE;
    return traced(device->result,
                  &(struct ln__trace_row){.mark = LN__MARK_PULL, .times = 1, .bytes_down = payload, .wire_up = LN__ENVELOPE, .wire_down = wire});
}

/* ---- the result goes ---- */

/* Error feedback: what was not sent so far, the client's keep. */
static int residual_open(struct ln__device *device, float **out)
{
    *out = ln__worker_state(device->worker, 3);
    if (!*out)
        return ln_fault_set(&device->result->fault, LN_ENOMEM, "no memory for a residual");
    size_t size = device->env->state * sizeof(float);
    struct ln_blob *keep = device->task->keep;
    const void *data;
    memset(*out, 0, size);
    if (!keep || ln__blob_size(keep) != size)
        return LN_OK;
    int error = ln__blob_pin(keep, &data, &device->result->fault);
    if (error)
        return error;
    memcpy(*out, data, size);
    ln__blob_unpin(keep);
    return LN_OK;
}

int ln__device_push(struct ln__device *device, struct ln__segment segment, const float *before, const float *after)
{
    struct ln__worker *worker = device->worker;
    const struct ln__env *env = device->env;
    const struct ln_choice *choice = &env->recipe->update;
    const struct ln__update *update = (const struct ln__update *)choice->plugin;
    float *residual = NULL;
    int error = ln__worker_update(worker, device->task, &device->result->fault);
    if (!error && update->keeps && update->keeps(choice->options))
        error = residual_open(device, &residual);
    const struct ln__param *param;
    size_t count = device_params(device, &param), rows = 0;
    uint64_t payload = 0;
    float threshold = 0;
    const struct ln__update_whole whole = {env, segment, before, after, residual};
    if (!error && update->threshold && (error = update->threshold(choice->options, &whole, &threshold)))
        ln_fault_set(&device->result->fault, error, "no memory to rank a result");
    for (size_t i = 0; i < count && !error; i++) {
        if (!ln__env_holds(env, segment, i))
            continue;
        enum ln__meaning meaning = LN__WEIGHTS;
        const struct ln__update_args args = {
            .param = &param[i],
            .before = before + param[i].offset,
            .after = after + param[i].offset,
            .residual = residual ? residual + param[i].offset : NULL,
            .key = {.seed = (uint64_t)env->recipe->seed, .round = device->task->turn, .client = device->task->client},
            .sparsity = env->sparsity[i],
            .threshold = threshold};
        error = update->select(choice->options, &args, worker->values, &meaning);
        if (!error)
            error =
                ln__update_add(env, &env->recipe->codec.up, i, &param[i], meaning, worker->values, &worker->update, &payload, &device->result->fault);
        rows++;
    }
    if (!error && residual) {
        error = ln__blob_put(env->blobs, residual, env->state * sizeof(float), &device->result->keep, &device->result->fault);
        device->result->keep_changed = !error;
    }
    if (error)
        return error;
    uint64_t wire = payload + sizeof(struct ln__update_head) + rows * sizeof(struct ln__update_row) + LN__ENVELOPE;
    return traced(device->result, &(struct ln__trace_row){.mark = LN__MARK_POST, .times = 1, .bytes_up = payload, .wire_up = wire});
}

int ln__session_push(struct ln__session *session, struct ln__segment segment, const float *state)
{
    const struct ln__env *env = session->env;
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param);
    uint64_t payload = 0;
    int error = ln__worker_update(session->worker, session->task, &session->result->fault);
    for (size_t i = 0; i < count && !error; i++) {
        if (ln__env_holds(env, segment, i))
            error = ln__update_add(env, NULL, i, &param[i], LN__WEIGHTS, state + param[i].offset, &session->worker->update, &payload,
                                   &session->result->fault);
    }
    return error;
}

/* ---- the link, both ends in this thread ---- */

static int deliver(struct ln__link *link, const struct ln__message *message, struct ln__message *reply, enum ln__mark mark)
{
    const struct ln__method *method = link->worker->env->method;
    struct ln__trace_row row = {.mark = mark, .times = 1, .bytes_up = message->payload, .wire_up = message->bytes.size + LN__ENVELOPE};
    if (link->session && method->answer) {
        link->session->macs = 0;
        int error = method->answer(link->plan, link->session, message, reply);
        if (error)
            return ln_fault_set(link->fault, error, "the server refused a message of %zu bytes", message->bytes.size);
        row.server_macs = link->session->macs;
        link->session->macs = 0; /* in the trace: not again when the session ends */
    }
    if (reply) {
        row.bytes_down = reply->payload;
        row.wire_down = reply->bytes.size + LN__ENVELOPE;
    }
    int error = ln__trace_add(link->trace, &row);
    return error ? ln_fault_set(link->fault, error, "no memory for a task's trace") : LN_OK;
}

int ln__link_post(struct ln__link *link, const struct ln__message *message)
{
    return deliver(link, message, NULL, LN__MARK_POST);
}

int ln__link_call(struct ln__link *link, const struct ln__message *request, struct ln__message *reply)
{
    ln__buf_clear(&reply->bytes);
    reply->payload = 0;
    return deliver(link, request, reply, LN__MARK_CALL);
}

/* ---- the training ---- */

double ln__task_rate(const struct ln__env *env, double progress)
{
    const struct ln_choice *choice = &env->recipe->train.schedule;
    const struct ln__schedule *schedule = (const struct ln__schedule *)choice->plugin;
    return ln__optimizer_lr(&env->recipe->train.optimizer) * schedule->rate(choice->options, progress, (double)env->recipe->train.rounds);
}

#define STEP_PARTS 8 /* widths of one task that are remembered */

/* A task's training: epoch after epoch, step after step. */
struct training {
    struct ln__device *device;
    struct ln__trainer *trainer;
    uint32_t epoch;
    uint64_t step;
    double rate, loss; /* loss, correct: of the epoch */
    uint64_t correct;
    double share; /* of the channels, of what the client has */
    struct {
        double share;
        struct ln__submodel *part;
    } narrow[STEP_PARTS]; /* of the steps so far */
    size_t narrows;
};

/* The part of what the client has that this step is for; NULL: all of it. */
static int step_part(struct training *training, const struct ln__submodel **out)
{
    const struct ln__device *device = training->device;
    *out = NULL;
    if (!device->part)
        return LN_OK;
    double share = ln__env_share(device->env, device->task->client, device->task->turn, (int64_t)training->step);
    if (share >= training->share)
        return LN_OK;
    for (size_t i = 0; i < STEP_PARTS && i < training->narrows; i++) {
        *out = training->narrow[i].part;
        if (training->narrow[i].share == share)
            return LN_OK;
    }
    size_t at = training->narrows++ % STEP_PARTS;
    ln__submodel_free(training->narrow[at].part);
    training->narrow[at].part = NULL;
    int error = ln__env_leading(device->env, share, device->part, &training->narrow[at].part, &device->result->fault);
    training->narrow[at].share = share;
    *out = training->narrow[at].part;
    return error;
}

static uint64_t step_macs(const struct ln__device *device, const struct ln__submodel *part)
{
    const struct ln__segment whole = {0, -1};
    if (!part)
        part = device->part;
    return part ? ln__segment_macs_train(ln__submodel_graph(part), whole)
                : ln__sparse_macs_train(device->env->graph, whole, &device->env->recipe->sparsity);
}

static int one_step(struct training *training, uint32_t at, int n, uint64_t macs)
{
    struct ln__device *device = training->device;
    const struct ln__env *env = device->env;
    struct ln__worker *worker = device->worker;
    const struct ln_strategy *strategy = (const struct ln_strategy *)env->recipe->strategy.plugin;
    const struct ln__batch_args args = {.set = &env->set,
                                        .split = LN__TRAIN,
                                        .index = device->index,
                                        .order = worker->order + at,
                                        .augment = env->augment.crop || env->augment.flip ? &env->augment : NULL,
                                        .key = device->key,
                                        .epoch = training->epoch};
    ln__batch_fill(&args, n, worker->x, worker->y);
    struct ln_local local = {.epoch = training->epoch, .mu = device->task->mu};
    if (strategy->local)
        strategy->local(env->recipe->strategy.options, &local);
    struct ln__trainer_step step = {.n = n, .x = worker->x, .label = worker->y, .lr = training->rate, .mu = local.proximal};
    struct ln__loss loss = {0};
    int error = step_part(training, &step.part);
    step.draw = (struct ln__net_draw){.key = device->key, .step = training->step++};
    if (!error)
        error = ln__trainer_step(training->trainer, &step, &loss, &device->result->fault);
    if (error)
        return error;
    training->loss += loss.sum;
    training->correct += (uint64_t)loss.correct;
    ln__device_worked(device, (step.part ? step_macs(device, step.part) : macs) * (uint64_t)n);
    return LN_OK;
}

static int one_epoch(struct training *training)
{
    struct ln__device *device = training->device;
    uint32_t batch = (uint32_t)device->env->recipe->train.batch;
    uint64_t macs = step_macs(device, NULL);
    ln__epoch_order(device->key, training->epoch, device->worker->order, device->samples);
    training->loss = 0;
    training->correct = 0;
    for (uint32_t at = 0; at < device->samples; at += batch) {
        if (ln__worker_stopped(device->worker))
            return LN_EINTERRUPTED;
        int error = one_step(training, at, (int)(device->samples - at < batch ? device->samples - at : batch), macs);
        if (error)
            return error;
    }
    return LN_OK;
}

int ln__device_train(struct ln__device *device, const float *start, float *end)
{
    struct ln__result *result = device->result;
    const struct ln__task *task = device->task;
    struct training training = {.device = device, .rate = ln__task_rate(device->env, task->progress)};
    if (device->part)
        training.share = ln__env_share(device->env, task->client, task->turn, LN__SUB_TASK);
    int error = ln__worker_order(device->worker, device->samples, &result->fault);
    if (!error)
        error = ln__worker_trainer(device->worker, device->part, &training.trainer, &result->fault);
    if (!error && ln__trace_reserve(&result->trace, 2 * (size_t)task->epochs + 2)) /* whole batches and the rest, and what follows */
        error = ln_fault_set(&result->fault, LN_ENOMEM, "no memory for a task's trace");
    if (!error)
        error = ln__trainer_load(training.trainer, start, &result->fault);
    for (uint32_t e = 0; e < task->epochs && !error; e++) {
        training.epoch = e;
        error = one_epoch(&training);
    }
    if (!error)
        error = ln__trainer_store(training.trainer, end, &result->fault);
    for (size_t i = 0; i < STEP_PARTS; i++)
        ln__submodel_free(training.narrow[i].part);
    if (error)
        return error;
    result->samples = device->samples;
    result->loss = device->samples ? training.loss / device->samples : 0;
    result->accuracy = device->samples ? (double)training.correct / device->samples : 0;
    return LN_OK;
}

size_t ln__tensor_foretell(const struct ln_choice *choice, const struct ln_codec_shape *shape, enum ln__outlook outlook)
{
    const struct ln_codec *codec = (const struct ln_codec *)choice->plugin;
    return (outlook == LN__LEAST ? codec->least : codec->bound)(choice->options, shape);
}

void ln__segment_foretell(const struct ln__env *env, const struct ln__submodel *part, const struct ln_choice *codec, struct ln__segment segment,
                          enum ln__outlook outlook, uint64_t *payload, uint64_t *wire)
{
    const struct ln__param *param = env->param;
    size_t rows = 0;
    if (part)
        ln__graph_params(ln__submodel_graph(part), &param);
    *payload = 0;
    for (size_t i = 0; i < env->params; i++) {
        if (!ln__env_holds(env, segment, i))
            continue;
        struct ln_codec_shape shape = ln__param_shape(&param[i]);
        *payload += ln__tensor_foretell(codec, &shape, outlook);
        rows++;
    }
    *wire = *payload + sizeof(struct ln__update_head) + rows * sizeof(struct ln__update_row) + LN__ENVELOPE;
}
