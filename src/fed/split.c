#include "fed/split.h"

#include "fed/activations.h"
#include "nn/graph.h"
#include "nn/sparsity.h"
#include <stdio.h>
#include <string.h>

/* ---- the cut ---- */

/* "1 (after pool 1), 2 (after pool 2)", as far as there is room. */
static void list_cuts(const struct ln__graph *graph, char *text, size_t room)
{
    size_t at = 0;
    text[0] = 0;
    for (int c = 1; c <= ln__graph_cuts(graph) && at + 1 < room; c++) {
        struct ln__cut cut;
        if (ln__graph_cut(graph, c, &cut))
            return;
        int more = snprintf(text + at, room - at, "%s%d (%s)", c > 1 ? ", " : "", c, cut.name);
        at += more > 0 ? (size_t)more : 0;
    }
}

int ln__split_plan(const struct ln__env *env, const struct ln__split_options *options, struct ln__halves *out, struct ln__method_needs *needs,
                   struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    struct ln__cut cut;
    char cuts[400];
    int classes = ln__graph_classes(env->graph);
    if (options->cut < 1 || options->cut > ln__graph_cuts(env->graph) || ln__graph_cut(env->graph, (int)options->cut, &cut)) {
        list_cuts(env->graph, cuts, sizeof cuts);
        return ln_fault_set(fault, LN_ECONFIG, "method.cut: %lld is no cut point of %s; %s%s", (long long)options->cut,
                            recipe->model.name.plugin->name, cuts[0] ? "it has " : "it has none", cuts);
    }
    if (options->labels == 1 && classes > 256)
        return ln_fault_set(fault, LN_ECONFIG, "method.labels: byte holds up to 256 classes; there are %d", classes);
    struct ln__segment device = {0, (int)options->cut}, server = {(int)options->cut, -1}, whole = {0, -1};
    uint64_t train = ln__sparse_macs_train(env->graph, device, &env->recipe->sparsity);
    *out = (struct ln__halves){.env = env,
                               .cut = (int)options->cut,
                               .classes = classes,
                               .device = device,
                               .server = server,
                               .shape = cut.shape,
                               .values = (size_t)cut.shape.c * (size_t)cut.shape.h * (size_t)cut.shape.w,
                               .nonnegative = cut.nonnegative,
                               .act = &recipe->codec.act,
                               .batch = (uint32_t)recipe->train.batch,
                               .label_bytes = options->labels == 1 ? 1 : 8,
                               .device_forward = ln__sparse_macs(env->graph, device, &env->recipe->sparsity),
                               .device_train = train,
                               .server_train = ln__sparse_macs_train(env->graph, server, &env->recipe->sparsity),
                               .server_train_input = ln__sparse_macs_train(env->graph, whole, &env->recipe->sparsity) - train};
    needs->cut = out->cut;
    return LN_OK;
}

int ln__split_head(const struct ln__halves *split, struct ln__graph **out, struct ln_fault *fault)
{
    const struct ln__model_args args = {.input = split->shape, .classes = split->classes};
    struct ln__graph *graph;
    int error = ln__graph_new("auxiliary head", &args, &graph);
    if (error)
        return ln_fault_set(fault, error, "no memory for an auxiliary head");
    ln__build_linear(graph, ln__build_flatten(graph, ln__build_input(graph)), "aux", split->classes, true);
    error = ln__graph_finish(graph, fault);
    if (error) {
        ln__graph_free(graph);
        return error;
    }
    *out = graph;
    return LN_OK;
}

/* ---- a device's batches ---- */

int ln__walk_begin(struct ln__walk *walk, struct ln__device *device, const struct ln__halves *split, uint32_t passes)
{
    *walk = (struct ln__walk){.device = device, .split = split, .passes = passes, .rate = ln__task_rate(device->env, device->task->progress)};
    return ln__worker_order(device->worker, device->samples, &device->result->fault);
}

int ln__walk_next(struct ln__walk *walk)
{
    struct ln__device *device = walk->device;
    struct ln__worker *worker = device->worker;
    const struct ln__env *env = device->env;
    if (ln__worker_stopped(worker))
        return LN_EINTERRUPTED;
    if (walk->n > 0)
        walk->step++;
    if (walk->at >= device->samples && walk->n > 0) {
        walk->epoch++;
        walk->at = 0;
    }
    if (walk->epoch >= walk->passes || device->samples == 0)
        return 0;
    if (walk->at == 0)
        ln__epoch_order(device->key, walk->epoch, worker->order, device->samples);
    uint32_t left = device->samples - walk->at;
    walk->n = left < walk->split->batch ? left : walk->split->batch;
    const struct ln__batch_args args = {.set = &env->set,
                                        .split = LN__TRAIN,
                                        .index = device->index,
                                        .order = worker->order + walk->at,
                                        .augment = env->augment.crop || env->augment.flip ? &env->augment : NULL,
                                        .key = device->key,
                                        .epoch = walk->epoch};
    ln__batch_fill(&args, (int)walk->n, worker->x, worker->y);
    walk->at += walk->n;
    walk->draw = (struct ln__net_draw){.key = device->key, .step = walk->step};
    return 1;
}

double ln__split_proximal(const struct ln__env *env, const struct ln__task *task, uint32_t epoch)
{
    const struct ln_strategy *strategy = (const struct ln_strategy *)env->recipe->strategy.plugin;
    struct ln_local local = {.epoch = epoch, .mu = task->mu};
    if (strategy->local)
        strategy->local(env->recipe->strategy.options, &local);
    return local.proximal;
}

/* ---- a device that trains its part ---- */

static int half_begin(struct ln__device_half *half, struct ln__device *device, const struct ln__halves *split)
{
    const struct ln_strategy *strategy = (const struct ln_strategy *)device->env->recipe->strategy.plugin;
    const struct ln__net_wish wish = {.segment = split->device, .batch = (int)split->batch, .train = true};
    const struct ln__net_wish head = {.segment = {0, -1}, .batch = (int)split->batch, .train = true, .input_grad = true, .side = true};
    struct ln_fault *fault = &device->result->fault;
    size_t values = split->batch * split->values, logits = (size_t)split->batch * (size_t)split->classes;
    *half = (struct ln__device_half){0};
    ln__buf_init(&half->up.bytes, ln__activations_bound(split));
    ln__buf_init(&half->down.bytes, ln__activations_bound(split));
    half->x = ln__mem_alloc(values * sizeof *half->x);
    half->dx = ln__mem_alloc(values * sizeof *half->dx);
    half->logits = ln__mem_alloc(logits * sizeof *half->logits);
    half->taught = ln__mem_alloc(logits * sizeof *half->taught);
    int error = half->x && half->dx && half->logits && half->taught ? LN_OK : ln_fault_set(fault, LN_ENOMEM, "no memory for a batch at the cut");
    if (!error)
        error = ln__worker_net(device->worker, &wish, &half->net, fault);
    if (!error && device->env->side)
        error = ln__worker_net(device->worker, &head, &half->head, fault);
    if (!error && strategy->local)
        error = ln__net_anchor(half->net, fault);
    if (!error && strategy->local && half->head)
        error = ln__net_anchor(half->head, fault);
    return error ? error : ln__walk_begin(&half->walk, device, split, device->task->epochs);
}

static void half_fini(struct ln__device_half *half)
{
    ln__buf_fini(&half->up.bytes);
    ln__buf_fini(&half->down.bytes);
    ln__mem_free(half->x);
    ln__mem_free(half->dx);
    ln__mem_free(half->logits);
    ln__mem_free(half->taught);
}

void ln__device_half_learn(struct ln__device_half *half, const float *dlogits)
{
    const struct ln__walk *walk = &half->walk;
    double mu = ln__split_proximal(walk->device->env, walk->device->task, walk->epoch);
    if (half->head)
        ln__net_learn(half->head, (int)walk->n, dlogits, half->dx, walk->rate, mu);
    ln__net_learn(half->net, (int)walk->n, half->dx, NULL, walk->rate, mu);
}

int ln__split_device(struct ln__device *device, const struct ln__halves *split, ln__device_batch *batch)
{
    float *before = ln__worker_state(device->worker, 0), *after = ln__worker_state(device->worker, 1);
    struct ln__device_half half;
    if (!before || !after)
        return ln_fault_set(&device->result->fault, LN_ENOMEM, "no memory for a client's part of the model");
    int error = ln__device_pull(device, split->device, before), more = 0;
    if (error)
        return error;
    error = half_begin(&half, device, split);
    if (!error) {
        ln__net_load(half.net, before);
        if (half.head)
            ln__net_load(half.head, ln__split_side(split, before));
        while (!error && (more = ln__walk_next(&half.walk)) > 0)
            error = batch(&half);
        error = error ? error : more;
        ln__net_store(half.net, after);
        if (half.head)
            ln__net_store(half.head, ln__split_side(split, after));
    }
    half_fini(&half);
    device->result->samples = device->samples;
    return error ? error : ln__device_push(device, split->device, before, after);
}

int ln__device_half_forward(struct ln__device_half *half)
{
    const struct ln__walk *walk = &half->walk;
    struct ln__device *device = walk->device;
    const struct ln__activations batch = {.n = walk->n, .epoch = walk->epoch, .step = (uint32_t)walk->step, .label = device->worker->y, .x = half->x};
    ln__net_forward(half->net, (int)walk->n, device->worker->x, true, &walk->draw);
    ln__net_output(half->net, (int)walk->n, half->x);
    ln__device_worked(device, walk->n * walk->split->device_forward);
    return ln__activations_write(walk->split, &batch, &half->up, &device->result->fault);
}

/* ---- the server's copy ---- */

int ln__server_begin(struct ln__server_half *half, const struct ln__halves *split, struct ln__worker *worker, const float *state, bool input_grad,
                     double progress, struct ln_fault *fault)
{
    const struct ln_strategy *strategy = (const struct ln_strategy *)split->env->recipe->strategy.plugin;
    const struct ln__net_wish wish = {.segment = split->server, .batch = (int)split->batch, .train = true, .input_grad = input_grad, .copy = 1};
    size_t values = split->batch * split->values, logits = (size_t)split->batch * (size_t)split->classes;
    *half = (struct ln__server_half){.split = split,
                                     .rate = ln__task_rate(split->env, progress),
                                     .proximal = strategy->local != NULL,
                                     .label = ln__mem_alloc(split->batch * sizeof *half->label),
                                     .x = ln__mem_alloc(values * sizeof *half->x),
                                     .dx = ln__mem_alloc(values * sizeof *half->dx),
                                     .logits = ln__mem_alloc(logits * sizeof *half->logits),
                                     .taught = ln__mem_alloc(logits * sizeof *half->taught)};
    if (!half->label || !half->x || !half->dx || !half->logits || !half->taught)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a client's copy of the server part");
    int error = ln__worker_net(worker, &wish, &half->net, fault);
    if (!error && half->proximal)
        error = ln__net_anchor(half->net, fault);
    if (!error)
        ln__net_load(half->net, state);
    return error;
}

void ln__server_fini(struct ln__server_half *half)
{
    ln__mem_free(half->label);
    ln__mem_free(half->x);
    ln__mem_free(half->dx);
    ln__mem_free(half->logits);
    ln__mem_free(half->taught);
}

int ln__server_open(struct ln__server_half *half, const struct ln__halves *split, struct ln__session *session, bool input_grad)
{
    const void *model;
    int error = ln__blob_pin(session->task->model, &model, &session->result->fault);
    if (error)
        return error;
    error = ln__server_begin(half, split, session->worker, model, input_grad, session->task->progress, &session->result->fault);
    ln__blob_unpin(session->task->model);
    return error;
}

int ln__server_push(struct ln__server_half *half, struct ln__session *session)
{
    float *state = ln__worker_state(session->worker, 2);
    if (!state)
        return ln_fault_set(&session->result->fault, LN_ENOMEM, "no memory for a client's copy of the server part");
    ln__net_store(half->net, state);
    session->result->loss = half->samples ? half->loss / (double)half->samples : 0;
    session->result->accuracy = half->samples ? (double)half->correct / (double)half->samples : 0;
    return ln__session_push(session, half->split->server, state);
}

int ln__split_open(const struct ln__halves *split, struct ln__session *session, bool input_grad)
{
    struct ln__server_half *half = session->own = ln__mem_zero(1, sizeof *half);
    if (!half)
        return ln_fault_set(&session->result->fault, LN_ENOMEM, "no memory for a client's copy of the server part");
    return ln__server_open(half, split, session, input_grad);
}

int ln__split_close(const void *plan, struct ln__session *session, bool failed)
{
    (void)plan;
    struct ln__server_half *half = session->own;
    int error = half && !failed ? ln__server_push(half, session) : LN_OK;
    if (half)
        ln__server_fini(half);
    ln__mem_free(half);
    session->own = NULL;
    return error;
}

void ln__server_step(struct ln__server_half *half, const struct ln__server_batch *batch)
{
    struct ln__loss loss = {.sum = batch->sum, .correct = batch->correct};
    const struct ln__net_draw draw = {.key = batch->key, .step = half->step++};
    if (!batch->dlogits) {
        ln__net_forward(half->net, (int)batch->n, batch->x, true, &draw);
        ln__net_loss(half->net, (int)batch->n, batch->label, &loss);
    }
    ln__net_learn(half->net, (int)batch->n, batch->dlogits, batch->dx, half->rate, half->proximal ? batch->mu : 0);
    if (batch->epoch != half->epoch) {
        half->epoch = batch->epoch;
        half->samples = half->correct = 0;
        half->loss = 0;
    }
    half->samples += batch->n;
    half->loss += loss.sum;
    half->correct += (uint64_t)loss.correct;
}

void ln__server_train(struct ln__server_half *half, struct ln__session *session, const struct ln__activations *batch, float *dx)
{
    ln__server_step(half, &(struct ln__server_batch){.n = batch->n,
                                                     .epoch = batch->epoch,
                                                     .x = batch->x,
                                                     .label = batch->label,
                                                     .key = session->key,
                                                     .mu = ln__split_proximal(session->env, session->task, batch->epoch),
                                                     .dx = dx});
    session->macs += batch->n * (dx ? half->split->server_train_input : half->split->server_train);
}

/* ---- what is foretold ---- */

int ln__split_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t samples, uint32_t passes, bool frozen,
                       ln__split_batch_foretell *batch, enum ln__outlook outlook, struct ln__trace *trace)
{
    const struct ln__recipe *recipe = split->env->recipe;
    struct ln__trace_row pull = {.mark = LN__MARK_PULL, .times = 1, .wire_up = LN__ENVELOPE, .wire_down = LN__ENVELOPE};
    struct ln__trace_row push = {.mark = LN__MARK_POST, .times = 1};
    if (!frozen) {
        ln__segment_foretell(split->env, NULL, &recipe->codec.down, split->device, outlook, &pull.bytes_down, &pull.wire_down);
        ln__segment_foretell(split->env, NULL, &recipe->codec.up, split->device, outlook, &push.bytes_up, &push.wire_up);
    }
    int error = ln__trace_add(trace, &pull);
    for (uint32_t pass = 0; pass < passes; pass++) {
        for (uint32_t at = 0; at < samples && !error; at += split->batch)
            error = batch(split, task, pass, samples - at < split->batch ? samples - at : split->batch, outlook, trace);
    }
    return error || frozen ? error : ln__trace_add(trace, &push);
}
