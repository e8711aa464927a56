/* ecofed: EcoFed (Wu et al., IEEE TPDS 35(3), 2024). The device part is pre-trained and frozen: devices run it forward only, and only in one round of every
 * `period`; they send quantised activations and labels, and nothing comes down. The server keeps what each client sent last and in
 * the rounds between trains on it while the devices idle.
 *
 *     update round   device  |forward|post|forward|post ...          server  keeps and trains on each batch as it comes
 *     replay round   device  idle                                    server  trains on the kept batches of the buffered clients
 *
 * server: copies   a fresh copy of the server part for each client of a round, then the strategy's mean (the paper)
 *         shared   one copy, trained on all clients' activations pooled (after Ampere, 2507.07130), when the strategy closes its sum
 *
 * Beyond the paper: batches are drawn anew across the buffer (reshuffle), period: once, a bounded buffer, noise on what is sent, and two answers to the
 * server's training again and again on samples that were augmented but once: several augmented copies of a client's samples in one upload (augmented), which
 * costs their bytes, and shifting and mirroring kept activations anew in every epoch (replay_augment), which costs none. Only what is decoded from a keep
 * is so augmented: a batch trained on as it comes has just been augmented on the device, as a picture, which is the better way. */
#include "fed/replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COPIES, SHARED };
enum { CROP = 4 }; /* pixels of the picture, as data.augment */

struct options {
    struct ln__split_options split;
    const char *period;
    int server;
    int64_t augmented, buffer_mb;
    bool reshuffle;
    struct ln_texts replay_augment;
    double noise;
};
static const struct ln_option options_table[] = {
    LN__SPLIT_OPTIONS(struct options),
    {.key = "period",
     .type = LN_OPT_TEXT,
     .offset = offsetof(struct options, period),
     .fallback = "2",
     .help = "rounds from one upload to the next (2: the paper; 1: no replay), or once: a client sends when it takes part for the first time"},
    {.key = "server",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct options, server),
     .fallback = "copies",
     .choices = "copies|shared",
     .help = "a copy of the server part for each client, averaged (the paper), or one trained on all clients' activations pooled"},
    {.key = "augmented",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, augmented),
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .help = "copies of each sample in an upload, each augmented in its own way; epochs take them in turn"},
    {.key = "reshuffle",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct options, reshuffle),
     .fallback = "true",
     .help = "replay draws batches anew across the buffer; false: the same batches in the same order, as the authors"},
    {.key = "replay_augment",
     .type = LN_OPT_TEXTS,
     .offset = offsetof(struct options, replay_augment),
     .fallback = "[]",
     .choices = "shift|flip",
     .help = "kept activation maps are changed anew each time they are trained on: moved by up to what a crop of 4 pixels moves them, mirrored"},
    {.key = "buffer_mb",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, buffer_mb),
     .fallback = "0",
     .max = 1e9,
     .help = "most megabytes of kept activations; those of the oldest rounds go first; 0: any"},
    {.key = "noise",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, noise),
     .fallback = "0",
     .max = 100,
     .help = "standard deviation of noise on activations before they are sent, in parts of a batch's root mean square"},
    {0}};

struct plan {
    struct ln__halves split; /* first */
    uint32_t period;         /* 0: once */
    uint32_t passes;
    bool shared, reshuffle;
    struct ln__augment augment; /* of what is kept; crop in pixels of the map */
    double noise;
};

/* ---- planning ---- */

static int read_period(const char *text, uint32_t *period, struct ln_fault *fault)
{
    char *end;
    long value = strtol(text, &end, 10);
    *period = 0;
    if (strcmp(text, "once") == 0)
        return LN_OK;
    if (end == text || *end || value < 1 || value > 1000000)
        return ln_fault_set(fault, LN_ECONFIG, "method.period: %s; expected a number of rounds from 1, or once", text);
    *period = (uint32_t)value;
    return LN_OK;
}

/* A crop of the picture as data.augment has it, in pixels of the map; at least one. */
static int read_augment(const struct ln_texts *list, const struct ln__env *env, struct plan *plan, struct ln_fault *fault)
{
    const struct ln__shape *map = &plan->split.shape;
    if (list->count > 0 && (map->h < 2 || map->w < 2))
        return ln_fault_set(fault, LN_ECONFIG, "method.replay_augment: what crosses cut %d is %d x %d x %d, not maps that could be moved",
                            plan->split.cut, map->c, map->h, map->w);
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->item[i], "flip") == 0) {
            plan->augment.flip = true;
        } else {
            int crop = (2 * CROP * map->w + env->set.w) / (2 * env->set.w);
            plan->augment.crop = crop > 1 ? crop : 1;
        }
    }
    return LN_OK;
}

/* Bytes of the largest client's keep. */
static uint64_t keep_bytes(const struct plan *plan, const struct ln__env *env)
{
    uint64_t most = 0, batch = plan->split.batch;
    for (uint32_t c = 0; c < env->shares.clients; c++) {
        uint64_t samples = env->shares.start[c + 1] - env->shares.start[c];
        most = samples > most ? samples : most;
    }
    return sizeof(struct ln__keep_head) + plan->passes * ((most + batch - 1) / batch) * ln__activations_bound(&plan->split);
}

/* A result of the shared copy is the word that a client took part: the model it started from, which those that mix it in late (fedasync, fedat, ecofl) would
 * take for its work. They have a proximal term too, which the joint training knows nothing of. */
static int check_shared(const struct ln__env *env, struct ln_fault *fault)
{
    const struct ln_strategy *strategy = (const struct ln_strategy *)env->recipe->strategy.plugin;
    if (!strategy->local)
        return LN_OK;
    return ln_fault_set(fault, LN_ECONFIG,
                        "method.server: shared: strategy %s adds a term to each client's own steps, but one copy is trained for all clients at once; "
                        "server: copies goes with it",
                        strategy->plugin.name);
}

static int ecofed_plan(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct options *o = options;
    struct plan *own = ln__mem_zero(1, sizeof *own);
    *plan = own;
    if (!own)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a method");
    int error = ln__split_plan(env, &o->split, &own->split, needs, fault);
    if (!error)
        error = read_period(o->period, &own->period, fault);
    if (!error)
        error = read_augment(&o->replay_augment, env, own, fault);
    if (error)
        return error;
    if (o->server == SHARED && (error = check_shared(env, fault)) != 0)
        return error;
    own->passes = (uint32_t)o->augmented;
    own->shared = o->server == SHARED;
    own->reshuffle = o->reshuffle;
    own->noise = o->noise;
    needs->frozen = true;
    needs->keep_max = (uint64_t)o->buffer_mb * 1000000;
    uint64_t round = keep_bytes(own, env) * (uint64_t)env->recipe->train.sample;
    if (own->shared && needs->keep_max && needs->keep_max < round) /* a round's own uploads would be evicted before they are trained on */
        return ln_fault_set(fault, LN_ECONFIG, "method.buffer_mb: %lld; with server: shared it must hold one round's uploads, %.0f MB",
                            (long long)o->buffer_mb, ceil((double)round / 1e6));
    return LN_OK;
}

static enum ln__site ecofed_site(const void *plan, const struct ln__env *env, bool has_keep, uint32_t client, uint32_t round)
{
    (void)env, (void)client;
    const struct plan *own = plan;
    if (own->period == 0)
        return has_keep ? LN__SERVER : LN__DEVICE;
    if (round % own->period == 0)
        return LN__DEVICE;
    return has_keep ? LN__SERVER : LN__NOWHERE;
}

/* ---- what is foretold ---- */

/* Passes of an upload that are trained on as they come; the epochs that are left follow on the kept batches. */
static uint32_t at_once(const struct plan *plan, const struct ln__task *task)
{
    return plan->shared ? 0 : task->epochs < plan->passes ? task->epochs : plan->passes;
}

static int batch_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t pass, uint32_t n, enum ln__outlook outlook,
                          struct ln__trace *trace)
{
    bool trains = pass < at_once((const struct plan *)split, task);
    struct ln__trace_row forward = {.mark = LN__MARK_WORK, .times = 1, .macs = n * split->device_forward};
    struct ln__trace_row post = {.mark = LN__MARK_POST, .times = 1, .server_macs = trains ? n * split->server_train : 0};
    ln__activations_foretell(split, n, false, outlook, &post.bytes_up, &post.wire_up);
    int error = ln__trace_add(trace, &forward);
    return error ? error : ln__trace_add(trace, &post);
}

static int ecofed_foretell(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
                           struct ln__trace *trace)
{
    (void)env;
    const struct plan *own = plan;
    uint32_t left = own->shared ? 0 : task->epochs;
    if (task->site != LN__SERVER) {
        int error = ln__split_foretell(&own->split, task, samples, own->passes, true, batch_foretell, outlook, trace);
        if (error)
            return error;
        left -= at_once(own, task);
    }
    struct ln__trace_row alone = {.mark = LN__MARK_SERVER, .times = 1, .server_macs = (uint64_t)left * samples * own->split.server_train};
    return alone.server_macs ? ln__trace_add(trace, &alone) : LN_OK;
}

/* ---- the device half ---- */

static void add_noise(const struct plan *plan, const struct ln__walk *walk, float *x)
{
    size_t count = walk->n * plan->split.values;
    double square = 0;
    for (size_t i = 0; i < count; i++)
        square += (double)x[i] * (double)x[i];
    double size = plan->noise * sqrt(square / (double)count);
    struct ln__key key = walk->device->key;
    key.purpose = LN__FOR_BLUR;
    struct ln__rng rng = ln__rng_at(key);
    rng.index = walk->step << 40;
    for (size_t i = 0; i < count; i++) {
        x[i] += (float)(size * ln__rng_normal(&rng));
        if (plan->split.nonnegative && x[i] < 0)
            x[i] = 0;
    }
}

static int send(struct ln__walk *walk, struct ln__net *net, struct ln__message *message, float *x)
{
    struct ln__device *device = walk->device;
    const struct ln__halves *split = walk->split;
    const struct plan *plan = (const struct plan *)split;
    const struct ln__activations batch = {.n = walk->n, .epoch = walk->epoch, .step = (uint32_t)walk->step, .label = device->worker->y, .x = x};
    ln__net_forward(net, (int)walk->n, device->worker->x, false, NULL);
    ln__net_output(net, (int)walk->n, x);
    ln__device_worked(device, walk->n * split->device_forward);
    if (plan->noise > 0)
        add_noise(plan, walk, x);
    int error = ln__activations_write(split, &batch, message, &device->result->fault);
    return error ? error : ln__link_post(device->link, message);
}

/* The frozen part lies on the device from the beginning: what comes is the order to begin. */
static int ecofed_device(const void *plan, struct ln__device *device)
{
    const struct plan *own = plan;
    const struct ln__halves *split = &own->split;
    const struct ln__net_wish wish = {.segment = split->device, .batch = (int)split->batch};
    const struct ln__trace_row order = {.mark = LN__MARK_PULL, .times = 1, .wire_up = LN__ENVELOPE, .wire_down = LN__ENVELOPE};
    struct ln_fault *fault = &device->result->fault;
    struct ln__message message = {.payload = 0};
    struct ln__walk walk;
    struct ln__net *net;
    float *x = ln__mem_alloc(split->batch * split->values * sizeof *x);
    ln__buf_init(&message.bytes, ln__activations_bound(split));
    int error = x ? ln__trace_add(&device->result->trace, &order) : LN_ENOMEM, more = 0;
    if (error)
        ln_fault_set(fault, error, "no memory for a batch at the cut");
    if (!error)
        error = ln__worker_net(device->worker, &wish, &net, fault);
    if (!error)
        error = ln__walk_begin(&walk, device, split, own->passes);
    if (!error) {
        ln__net_load(net, device->env->initial);
        while (!error && (more = ln__walk_next(&walk)) > 0)
            error = send(&walk, net, &message, x);
        error = error ? error : more;
    }
    ln__buf_fini(&message.bytes);
    ln__mem_free(x);
    device->result->samples = device->samples;
    return error;
}

/* ---- the server half ---- */

struct own {
    struct ln__server_half half;
    struct ln__buf keep; /* head and messages, as they come */
    struct ln__keep_head head;
    uint64_t samples_max; /* of a client's upload */
};

static const struct ln__augment *augment_of(const struct plan *plan)
{
    return plan->augment.crop > 0 || plan->augment.flip ? &plan->augment : NULL;
}

/* One epoch over what is added to the replay. */
static int train_epoch(const struct plan *plan, struct ln__replay *replay, struct ln__server_half *half, const struct ln__replay_pass *pass,
                       double mu, struct ln__worker *worker, uint64_t *macs, struct ln_fault *fault)
{
    int n, error = ln__replay_begin(replay, pass, fault);
    if (error)
        return error;
    while ((n = ln__replay_next(replay, half->x, half->label, fault)) > 0) {
        if (ln__worker_stopped(worker))
            return LN_EINTERRUPTED;
        ln__server_step(
            half, &(struct ln__server_batch){.n = (uint32_t)n, .epoch = pass->epoch, .x = half->x, .label = half->label, .key = pass->key, .mu = mu});
        *macs += (uint64_t)n * plan->split.server_train;
    }
    return n;
}

/* Epochs from `from` on, over the client's keep: a blob, or the bytes that have just come. */
static int train_kept(const struct plan *plan, struct ln__session *session, struct ln__server_half *half, uint32_t from, const struct ln__buf *bytes)
{
    struct ln_fault *fault = &session->result->fault;
    struct ln__replay *replay;
    int error = ln__replay_new(&plan->split, &replay, fault);
    if (!error)
        error = bytes ? ln__replay_add(replay, bytes->data, bytes->size, fault) : ln__replay_add_blob(replay, session->task->keep, fault);
    for (uint32_t epoch = from; epoch < session->task->epochs && !error; epoch++) {
        const struct ln__replay_pass pass = {
            .key = session->key, .epoch = epoch, .pass = session->task->turn + epoch, .shuffle = plan->reshuffle, .augment = augment_of(plan)};
        double mu = ln__split_proximal(session->env, session->task, epoch);
        error = train_epoch(plan, replay, half, &pass, mu, session->worker, &session->macs, fault);
    }
    ln__replay_free(replay);
    return error;
}

static int ecofed_open(const void *plan, struct ln__session *session)
{
    const struct plan *own_plan = plan;
    const struct ln__halves *split = &own_plan->split;
    const struct ln__env *env = session->env;
    const struct ln__task *task = session->task;
    struct ln_fault *fault = &session->result->fault;
    struct own *own = session->own = ln__mem_zero(1, sizeof *own);
    if (!own)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a client's session");
    uint64_t samples = env->shares.start[task->client + 1] - env->shares.start[task->client];
    own->samples_max = samples * own_plan->passes;
    own->head = (struct ln__keep_head){.magic = LN__KEEP_MAGIC, .client = task->client, .passes = own_plan->passes};
    ln__buf_init(&own->keep, (size_t)keep_bytes(own_plan, env));
    if (task->site == LN__SERVER) {
        session->result->samples = (double)samples;
        if (own_plan->shared)
            return LN_OK;
        if (!task->keep)
            return ln_fault_set(fault, LN_EREFUSED, "client %u: nothing of it is buffered", task->client);
    }
    int error = LN_OK;
    if (own_plan->shared) { /* messages are looked at and kept, nothing is trained */
        own->half.label = ln__mem_alloc(split->batch * sizeof *own->half.label);
        own->half.x = ln__mem_alloc(split->batch * split->values * sizeof *own->half.x);
        if (!own->half.label || !own->half.x)
            error = ln_fault_set(fault, LN_ENOMEM, "no memory for a client's session");
    } else {
        error = ln__server_open(&own->half, split, session, false);
    }
    if (!error && task->site != LN__SERVER)
        error = ln__buf_add(&own->keep, &own->head, sizeof own->head);
    if (!error && task->site == LN__SERVER)
        error = train_kept(own_plan, session, &own->half, 0, NULL);
    return error;
}

static int ecofed_answer(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply)
{
    const struct plan *own_plan = plan;
    struct own *own = session->own;
    struct ln_fault *fault = &session->result->fault;
    struct ln__activations batch = {.label = own->half.label, .x = own->half.x};
    if (reply)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations that wants an answer; EcoFed gives none");
    int error = ln__activations_read(&own_plan->split, message->bytes.data, message->bytes.size, &batch, fault);
    if (error)
        return error;
    if (batch.epoch >= own_plan->passes || own->head.samples + batch.n > own->samples_max)
        return ln_fault_set(fault, LN_ECORRUPT, "client %u sends more than its %llu samples", session->task->client,
                            (unsigned long long)own->samples_max);
    error = ln__buf_add(&own->keep, message->bytes.data, message->bytes.size);
    if (error)
        return ln_fault_set(fault, error, "no memory to keep a client's activations");
    own->head.messages++;
    own->head.samples += batch.n;
    if (batch.epoch >= at_once(own_plan, session->task))
        return LN_OK;
    ln__server_train(&own->half, session, &batch, NULL);
    return LN_OK;
}

/* What a device sent becomes its keep; the copy has its remaining epochs and becomes the update. */
static int finish(const struct plan *plan, struct ln__session *session, struct own *own)
{
    struct ln__result *result = session->result;
    int error = LN_OK;
    if (session->task->site != LN__SERVER && own->head.messages > 0) {
        memcpy(own->keep.data, &own->head, sizeof own->head);
        if (!plan->shared && session->task->epochs > plan->passes)
            error = train_kept(plan, session, &own->half, plan->passes, &own->keep);
        if (!error)
            error = ln__blob_put(session->env->blobs, own->keep.data, own->keep.size, &result->keep, &result->fault);
        result->keep_changed = !error;
    }
    if (error)
        return error;
    return plan->shared ? ln__worker_update(session->worker, session->task, &result->fault) : ln__server_push(&own->half, session);
}

static int ecofed_close(const void *plan, struct ln__session *session, bool failed)
{
    struct own *own = session->own;
    int error = LN_OK;
    if (own) {
        error = failed ? LN_OK : finish(plan, session, own);
        ln__server_fini(&own->half);
        ln__buf_fini(&own->keep);
    }
    ln__mem_free(own);
    session->own = NULL;
    return error;
}

/* ---- the shared copy ---- */

static int train_pool(const struct plan *plan, struct ln__gather *gather, struct ln__replay *replay, struct ln__server_half *half,
                      struct ln_fault *fault)
{
    const struct ln__recipe *recipe = gather->env->recipe;
    uint64_t macs = 0;
    int error = ln__server_begin(half, &plan->split, gather->worker, gather->state, false, gather->progress, fault);
    for (uint32_t epoch = 0; epoch < (uint32_t)recipe->train.epochs && !error; epoch++) {
        const struct ln__replay_pass pass = {
            .key = gather->key, .epoch = epoch, .pass = (uint32_t)gather->progress + epoch, .shuffle = plan->reshuffle, .augment = augment_of(plan)};
        error = train_epoch(plan, replay, half, &pass, 0, gather->worker, &macs, fault);
    }
    if (!error)
        ln__net_store(half->net, gather->state);
    const struct ln__trace_row row = {.mark = LN__MARK_SERVER, .times = 1, .server_macs = macs};
    return error || !macs ? error : ln__trace_add(gather->trace, &row);
}

static int ecofed_gather(const void *plan, struct ln__gather *gather)
{
    const struct plan *own = plan;
    struct ln_fault fault = {0};
    struct ln__server_half half = {0};
    struct ln__replay *replay;
    if (!own->shared)
        return LN_OK;
    int error = ln__replay_new(&own->split, &replay, &fault);
    for (size_t i = 0; i < gather->count && !error; i++) {
        if (gather->keep[i])
            error = ln__replay_add_blob(replay, gather->keep[i], &fault);
    }
    if (!error)
        error = train_pool(own, gather, replay, &half, &fault);
    ln__server_fini(&half);
    ln__replay_free(replay);
    return error;
}

const struct ln__method ln__method_ecofed = {
    .plugin = {.name = "ecofed",
               .summary = "a frozen device part; quantised activations up in one round of a period, replayed in the others (EcoFed)",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .plan = ecofed_plan,
    .unplan = ln__mem_free,
    .site = ecofed_site,
    .foretell = ecofed_foretell,
    .device = ecofed_device,
    .open = ecofed_open,
    .answer = ecofed_answer,
    .close = ecofed_close,
    .gather = ecofed_gather,
};
