#include "fed/run.h"

#include "base/log.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRATEGY_MEMORY ((size_t)4 << 30)
#define CHANGES_MAX 4096 /* of the list of idle clients; with more it is made anew */
#define ALMOST 1e-9      /* shares of a round add up to whole ones but for rounding */

/* ---- making and ending ---- */

double ln__run_wall(const struct ln_run *run)
{
    return run->wall_before + ln__clock_mono() - run->wall_start;
}

int ln__run_open(struct ln_run *run, const struct ln__loop_args *args, struct ln_fault *fault)
{
    const struct ln__env *env = args->env;
    *run = (struct ln_run){.env = env,
                           .fleet = args->fleet,
                           .on = ((struct ln__fleet_head *)(void *)args->fleet)->plugin,
                           .strategy = (const struct ln_strategy *)env->recipe->strategy.plugin,
                           .options = env->recipe->strategy.options,
                           .args = args,
                           .fault = fault,
                           .clients = env->shares.clients,
                           .lost_any = true,
                           .metrics_file = -1,
                           .trace_file = -1,
                           .gantt_file = -1,
                           .wall_start = ln__clock_mono(),
                           .saved_at = ln__clock_mono()};
    ln__arena_init(&run->memory, STRATEGY_MEMORY);
    ln__buf_init(&run->saved, (size_t)1 << 30);
    size_t n = run->clients;
    run->self = ln__mem_zero(1, run->strategy->state_size + 1);
    run->busy = ln__mem_zero(n, sizeof *run->busy);
    run->turn = ln__mem_zero(n, sizeof *run->turn);
    run->keep = ln__mem_zero(n, sizeof *run->keep);
    run->keep_round = ln__mem_zero(n, sizeof *run->keep_round);
    run->traffic = ln__mem_zero(n, sizeof *run->traffic);
    run->took_part = ln__mem_zero(n, sizeof *run->took_part);
    run->lost_by = ln__mem_zero(n, sizeof *run->lost_by);
    run->list = ln__mem_zero(n, sizeof *run->list);
    run->drawn = ln__mem_zero(n, sizeof *run->drawn);
    run->changed = ln__mem_zero(CHANGES_MAX, sizeof *run->changed);
    if (!run->changed || !run->self || !run->busy || !run->turn || !run->keep || !run->keep_round || !run->traffic || !run->took_part ||
        !run->lost_by || !run->list || !run->drawn)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for %zu clients", n);
    int error = ln__overlap_new(env, &run->overlap, fault);
    return error ? error : ln__evaluator_new(env, run->on->pool(run->fleet), &run->evaluator, fault);
}

void ln__run_close(struct ln_run *run)
{
    if (run->self && run->strategy->stop)
        run->strategy->stop(run->self, run->options, run);
    for (size_t i = 0; i < run->freshs; i++)
        ln__blob_unpin(run->fresh[i]);
    for (size_t i = 0; i < run->freshs; i++)
        ln__blob_unref(run->fresh[i]);
    for (size_t i = 0; i < run->knowns; i++) {
        ln__blob_unref(run->known[i].blob);
        ln__blob_unref(run->known[i].base);
    }
    for (uint32_t c = 0; run->keep && c < run->clients; c++)
        ln__blob_unref(run->keep[c]);
    ln__blob_unref(run->model);
    ln__mem_free(run->known);
    ln__mem_free(run->fresh);
    ln__mem_free(run->self);
    ln__mem_free(run->busy);
    ln__mem_free(run->turn);
    ln__mem_free(run->keep);
    ln__mem_free(run->keep_round);
    ln__mem_free(run->traffic);
    ln__mem_free(run->took_part);
    ln__mem_free(run->lost_by);
    ln__mem_free(run->list);
    ln__mem_free(run->drawn);
    ln__mem_free(run->changed);
    ln__evaluator_free(run->evaluator);
    ln__overlap_free(run->overlap);
    ln__journal_close(run->journal);
    ln__buf_fini(&run->saved);
    ln__output_close(run);
    ln__arena_fini(&run->memory);
}

static void forget_keep(struct ln_run *run, uint32_t client)
{
    if (!run->keep[client])
        return;
    run->kept_bytes -= ln__blob_size(run->keep[client]);
    run->kept_clients--;
    ln__blob_unref(run->keep[client]);
    run->keep[client] = NULL;
}

void ln__run_keep(struct ln_run *run, uint32_t client, uint64_t round, struct ln_blob *keep)
{
    forget_keep(run, client);
    if (keep) {
        run->keep[client] = keep;
        run->keep_round[client] = round;
        run->kept_bytes += ln__blob_size(keep);
        run->kept_clients++;
    }
    while (run->env->keep_max && run->kept_bytes > run->env->keep_max) {
        uint32_t oldest = run->clients;
        for (uint32_t c = 0; c < run->clients; c++) {
            if (run->keep[c] && (oldest == run->clients || run->keep_round[c] < run->keep_round[oldest]))
                oldest = c;
        }
        forget_keep(run, oldest);
    }
}

int ln__run_know(struct ln_run *run, const struct ln__known *known)
{
    struct ln__known *grown = ln__mem_more(run->known, run->knowns, &run->known_room, sizeof *grown);
    if (!grown)
        return ln_fault_set(run->fault, LN_ENOMEM, "no memory to remember an update");
    run->known = grown;
    run->known[run->knowns] = *known;
    ln__blob_ref(known->blob);
    ln__blob_ref(known->base);
    run->knowns++;
    return LN_OK;
}

/* The youngest entry of a blob: equal bytes may share one after a restart, but whose they are is part of them. */
static const struct ln__known *find(const struct ln_run *run, const struct ln_blob *blob)
{
    for (size_t i = run->knowns; i > 0; i--) {
        if (run->known[i - 1].blob == blob)
            return &run->known[i - 1];
    }
    return NULL;
}

void ln__run_settle(struct ln_run *run)
{
    for (size_t i = 0; i < run->freshs; i++) {
        ln__blob_unpin(run->fresh[i]);
        ln__blob_unref(run->fresh[i]);
    }
    run->freshs = 0;
    size_t left = 0;
    for (size_t i = 0; i < run->knowns; i++) {
        struct ln_blob *blob = run->known[i].blob;
        if (run->on->sole ? run->on->sole(run->fleet, blob) : ln__blob_sole(blob)) {
            ln__blob_unref(blob);
            ln__blob_unref(run->known[i].base);
        } else {
            run->known[left++] = run->known[i];
        }
    }
    run->knowns = left;
}

/* ---- questions ---- */

uint32_t ln_run_clients(const struct ln_run *run)
{
    return run->clients;
}

double ln_run_samples(const struct ln_run *run, uint32_t client)
{
    return client < run->clients ? (double)(run->env->shares.start[client + 1] - run->env->shares.start[client]) : 0;
}

int ln_run_classes(const struct ln_run *run)
{
    return run->env->set.classes;
}

/* The same noise whenever it is asked: a client reports once, so asking often averages nothing out. */
static void add_laplace(const struct ln__env *env, uint32_t client, double *counts)
{
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = (uint64_t)env->recipe->seed, .client = client, .purpose = LN__FOR_NOISE});
    for (int k = 0; k < env->set.classes; k++) {
        double u = ln__rng_unit(&rng) - 0.5, tail = 1 - 2 * fabs(u);
        counts[k] -= copysign(log(tail > 0x1p-53 ? tail : 0x1p-53) / env->recipe->privacy.label_epsilon, u);
    }
}

void ln_run_histogram(const struct ln_run *run, uint32_t client, double *counts)
{
    const struct ln__env *env = run->env;
    for (int k = 0; k < env->set.classes; k++)
        counts[k] = 0;
    for (uint64_t i = client < run->clients ? env->shares.start[client] : 0; client < run->clients && i < env->shares.start[client + 1]; i++)
        counts[env->set.split[LN__TRAIN].label[env->shares.index[i]]]++;
    if (env->recipe->privacy.label_epsilon > 0)
        add_laplace(env, client, counts);
}

static enum ln__site site_of(const struct ln_run *run, uint32_t client, uint32_t round)
{
    const struct ln__env *env = run->env;
    return env->method->site ? env->method->site(env->method_plan, env, run->keep[client] != NULL, client, round) : LN__DEVICE;
}

static bool is_available(const struct ln_run *run, uint32_t client, uint32_t round)
{
    return run->busy[client] == 0 && ln_run_samples(run, client) > 0 && run->on->present(run->fleet, client) &&
           site_of(run, client, round) != LN__NOWHERE;
}

void ln__run_changed(struct ln_run *run, uint32_t client)
{
    if (run->changes == CHANGES_MAX)
        run->list_stands = false;
    else if (run->list_stands)
        run->changed[run->changes++] = client;
}

/* Puts one client where it belongs in the sorted list: a few microseconds for 100,000, where asking everyone takes a millisecond. */
static void mend(struct ln_run *run, uint32_t client, bool available)
{
    size_t from = 0, to = run->listed;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (run->list[middle] < client)
            from = middle + 1;
        else
            to = middle;
    }
    bool listed = from < run->listed && run->list[from] == client;
    uint32_t *at = run->list + from;
    if (listed && !available)
        memmove(at, at + 1, (--run->listed - from) * sizeof *at);
    if (listed || !available)
        return;
    memmove(at + 1, at, (run->listed++ - from) * sizeof *at);
    *at = client;
}

size_t ln_run_available(struct ln_run *run, uint32_t round, const uint32_t **clients)
{
    *clients = run->list;
    if (run->list_stands && !run->env->method->site) {
        for (size_t i = 0; i < run->changes; i++)
            mend(run, run->changed[i], is_available(run, run->changed[i], round));
        run->changes = 0;
        uint32_t client;
        for (size_t i = 0; run->on->due && run->on->due(run->fleet, i, &client); i++)
            mend(run, client, is_available(run, client, round));
        return run->listed;
    }
    run->listed = 0;
    for (uint32_t c = 0; c < run->clients; c++) {
        if (is_available(run, c, round))
            run->list[run->listed++] = c;
    }
    run->changes = 0;
    run->list_stands = true;
    return run->listed;
}

uint32_t ln_run_sample_size(const struct ln_run *run)
{
    return (uint32_t)run->env->recipe->train.sample;
}

double ln_run_now(const struct ln_run *run)
{
    return run->on->now(run->fleet);
}

uint64_t ln_run_version(const struct ln_run *run)
{
    return run->version;
}

struct ln_blob *ln_run_model(const struct ln_run *run)
{
    return run->model;
}

bool ln_run_finished(const struct ln_run *run)
{
    return run->finished;
}

double ln_run_progress(const struct ln_run *run)
{
    return run->progress;
}

double ln_run_rounds(const struct ln_run *run)
{
    return (double)run->env->recipe->train.rounds;
}

uint32_t ln_run_draw(const struct ln_run *run, uint32_t round, uint32_t client, uint64_t index)
{
    const struct ln__key key = {.seed = (uint64_t)run->env->recipe->seed, .round = round, .client = client, .purpose = LN__FOR_STRATEGY};
    uint32_t word[4];
    ln__rng_block(&key, index / 4, word);
    return word[index % 4];
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* A shuffle's first steps over a list too long to be copied: only the places that were exchanged are written down. */
#define SPARSE 64
struct exchanged {
    size_t place[2 * SPARSE];
    uint32_t client[2 * SPARSE];
    size_t count;
};

static uint32_t *at_place(struct exchanged *list, const uint32_t *from, size_t place)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->place[i] == place)
            return &list->client[i];
    }
    list->place[list->count] = place;
    list->client[list->count] = from[place];
    return &list->client[list->count++];
}

size_t ln_run_pick(const struct ln_run *run, uint32_t round, const uint32_t *from, size_t from_count, size_t count, uint32_t *out)
{
    if (from_count > run->clients) /* more than there are: somebody is named twice */
        from_count = run->clients;
    if (count > from_count)
        count = from_count;
    bool sparse = count <= SPARSE && from_count > (size_t)16 * SPARSE;
    struct exchanged exchanged;
    exchanged.count = 0;
    if (!sparse)
        memcpy(run->drawn, from, from_count * sizeof *from);
    struct ln__rng rng =
        ln__rng_at((struct ln__key){.seed = (uint64_t)run->env->recipe->seed, .round = round, .client = UINT32_MAX, .purpose = LN__FOR_SAMPLE});
    for (size_t i = 0; i < count; i++) {
        size_t j = i + ln__rng_below(&rng, (uint32_t)(from_count - i));
        uint32_t *a = sparse ? at_place(&exchanged, from, i) : &run->drawn[i], *b = sparse ? at_place(&exchanged, from, j) : &run->drawn[j];
        uint32_t swap = *a;
        *a = *b;
        *b = swap;
        out[i] = *a;
    }
    qsort(out, count, sizeof *out, by_number);
    return count;
}

/* ---- orders ---- */

static uint64_t version_of(const struct ln_run *run, const struct ln_blob *model)
{
    const struct ln__known *known = model == run->model ? NULL : find(run, model);
    return known && !known->base ? known->version : run->version;
}

int ln_run_dispatch(struct ln_run *run, const struct ln_order *order, struct ln_task_id *id)
{
    uint32_t c = order->client;
    if (run->finished)
        return LN_EREFUSED;
    if (c < run->clients)
        ln__run_changed(run, c); /* whatever comes of it */
    if (c >= run->clients || run->busy[c] || order->kind > LN_TASK_PROBE || !run->on->present(run->fleet, c))
        return LN_EINVALID;
    struct ln_blob *model = order->model ? order->model : run->model;
    if (ln__blob_size(model) != run->env->state * sizeof(float))
        return LN_EINVALID;
    struct ln__task task = {.id = {run->next_task + 1},
                            .kind = order->kind,
                            .site = order->kind == LN_TASK_TRAIN ? site_of(run, c, order->round) : LN__DEVICE,
                            .client = c,
                            .round = order->round,
                            .turn = run->turn[c],
                            .epochs = order->epochs ? order->epochs : (uint32_t)run->env->recipe->train.epochs,
                            .progress = run->progress,
                            .mu = order->mu,
                            .dispatched_s = run->on->now(run->fleet),
                            .deadline_s = order->deadline_s,
                            .tag = order->tag,
                            .base_version = version_of(run, model),
                            .model = model,
                            .keep = run->keep[c]};
    if (task.site == LN__NOWHERE)
        return LN_EINVALID;
    int error = run->on->dispatch(run->fleet, &task);
    if (error)
        return error;
    run->next_task++;
    run->turn[c]++;
    run->busy[c] = task.id.value;
    run->under_way++;
    *id = task.id;
    return LN_OK;
}

void ln_run_cancel(struct ln_run *run, struct ln_task_id id)
{
    int error = run->on->cancel(run->fleet, id);
    (void)error; /* an unknown task: nothing to cancel */
}

int ln_run_alarm(struct ln_run *run, double at_s, uint64_t tag)
{
    return run->on->alarm(run->fleet, at_s, tag);
}

/* ---- sums ---- */

int ln_run_sum_open(struct ln_run *run, double bound, struct ln_sum_id *sum)
{
    sum->value = run->next_sum + 1;
    int error = run->on->sum_open(run->fleet, bound, run->model, *sum);
    if (!error)
        run->next_sum++;
    return error;
}

int ln_run_sum_add(struct ln_run *run, struct ln_sum_id sum, struct ln_blob *blob, double coefficient)
{
    const struct ln__known *known = blob ? find(run, blob) : NULL;
    struct ln__sum_entry entry = {.client = UINT32_MAX, .coefficient = coefficient};
    if (!blob || !isfinite(coefficient))
        return LN_EINVALID;
    if (known && known->base) {
        entry.base = known->base;
        entry.client = known->client;
        entry.keep = run->keep[known->client];
    } else if (ln__blob_size(blob) != run->env->state * sizeof(float)) {
        return LN_EINVALID;
    }
    return run->on->sum_add(run->fleet, sum, blob, &entry);
}

int ln_run_sum_close(struct ln_run *run, struct ln_sum_id sum, double divisor, uint64_t tag)
{
    return run->on->sum_close(run->fleet, sum, divisor, run->progress, tag);
}

int ln_run_sum_drop(struct ln_run *run, struct ln_sum_id sum)
{
    return run->on->sum_drop(run->fleet, sum);
}

int ln_run_publish(struct ln_run *run, struct ln_blob *model, double progress)
{
    if (run->finished)
        return LN_EREFUSED;
    if (!model || ln__blob_size(model) != run->env->state * sizeof(float) || !(progress >= 0))
        return LN_EINVALID;
    const struct ln__known *known = find(run, run->model);
    if (!known) { /* tasks that started from it are to be told its version */
        int error = ln__run_know(run, &(struct ln__known){.blob = run->model, .version = run->version});
        if (error)
            return error;
    }
    ln__blob_ref(model);
    ln__blob_unref(run->model);
    run->model = model;
    run->version++;
    run->progress += progress;
    run->finished = run->progress >= (double)run->env->recipe->train.rounds - ALMOST;
    run->published = true;
    return LN_OK;
}

/* ---- models ---- */

size_t ln_run_state_size(const struct ln_run *run)
{
    return run->env->state;
}

size_t ln_run_trainable_size(const struct ln_run *run)
{
    return run->env->trainable;
}

const float *ln_blob_read(struct ln_run *run, struct ln_blob *model)
{
    const void *data;
    if (!model || ln__blob_size(model) != run->env->state * sizeof(float) || ln__blob_pin(model, &data, run->fault))
        return NULL;
    return data;
}

void ln_blob_release(struct ln_run *run, struct ln_blob *model)
{
    (void)run;
    ln__blob_unpin(model);
}

int ln_run_make(struct ln_run *run, float **values, struct ln_blob **model)
{
    size_t size = run->env->state * sizeof(float);
    *model = NULL;
    struct ln_blob **grown = ln__mem_more(run->fresh, run->freshs, &run->fresh_room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    run->fresh = grown;
    float *buffer = ln__blob_alloc(run->env->blobs, size);
    if (!buffer)
        return ln_fault_set(run->fault, LN_ENOMEM, "no memory for a model of %zu values", run->env->state);
    memset(buffer, 0, size);
    int error = ln__blob_take_open(run->env->blobs, buffer, size, model, run->fault);
    if (error)
        return error;
    run->fresh[run->freshs++] = ln__blob_ref(*model);
    *values = buffer; /* nobody has seen it yet */
    return LN_OK;
}

struct ln_blob *ln_blob_ref(struct ln_blob *blob)
{
    return ln__blob_ref(blob);
}

void ln_blob_unref(struct ln_blob *blob)
{
    ln__blob_unref(blob);
}

/* ---- words for the report ---- */

void ln_run_note(struct ln_run *run, const char *name, double value)
{
    for (size_t i = 0; i < run->notes; i++) {
        if (strncmp(run->note[i].name, name, sizeof run->note[i].name - 1) == 0) {
            run->note[i].value = value;
            return;
        }
    }
    if (run->notes == sizeof run->note / sizeof run->note[0])
        return;
    struct ln__note *note = &run->note[run->notes++];
    *note = (struct ln__note){.value = value};
    memcpy(note->name, name, strnlen(name, sizeof note->name - 1));
}

void *ln_run_alloc(struct ln_run *run, size_t size)
{
    return ln__arena_alloc(&run->memory, size);
}
