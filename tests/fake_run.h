/* A run for tests of strategies: defines all of ln_run_*, ln_blob_*, ln_archive_*, ln_local_* over a small scripted world in one process. Included by one file
 * of a test program; the linker then has no need of the real ones. tests/strategy_testing.h drives it.
 *
 * A client's tasks take latency[client] seconds (a probe: a tenth, and it tells latency), its updates are what `train` says. What the API forbids
 * is asserted: a sum beyond its bound, a model that is an update, work after the end, a client that is busy. */
#ifndef LINNET_TESTS_FAKE_RUN_H
#define LINNET_TESTS_FAKE_RUN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <linnet/strategy.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

#define FAKE_DIM 3
#define FAKE_CLIENTS 512
#define FAKE_CLASSES 10
#define FAKE_EVENTS 8192
#define FAKE_SUMS 256

struct ln_blob {
    struct ln_run *run;
    int refs;
    bool update;
    double x[FAKE_DIM]; /* weights, or the weights an update leads to */
};

struct fake_event {
    struct ln_event event;
    uint64_t sequence;
    bool used;
};

struct fake_sum {
    bool open;
    double bound, given;
    int64_t q[FAKE_DIM];
};

struct fake_trace {
    char what[24];
    uint32_t client;
    double value, time_s;
};

struct ln_run {
    const struct ln_strategy *strategy;
    void *self;
    const void *options;

    /* the world */
    uint32_t clients, sample;
    int classes;
    double samples[FAKE_CLIENTS], latency[FAKE_CLIENTS], histogram[FAKE_CLIENTS][FAKE_CLASSES];
    bool absent[FAKE_CLIENTS];
    double accuracy[FAKE_CLIENTS];
    double fail_chance; /* of a task */
    double rounds;      /* what the run says its length is; publish_limit ends it */
    double sum_delay_s;
    uint64_t refuse_every;        /* every so many-th update that is added to a sum is refused; 0: none */
    uint64_t seed, publish_limit; /* finished after so many versions; 0: never */
    void (*train)(struct ln_run *run, uint32_t client, const double *from, double *to); /* NULL: half way to the client's number */
    bool (*works)(const struct ln_run *run, uint32_t client, uint32_t round);           /* NULL: everyone has work in every round */
    bool (*replays)(const struct ln_run *run, uint32_t client, uint32_t round);         /* whether the server works alone, 1 ms; NULL: never */

    /* what happens */
    double now;
    uint64_t version, sequence, tasks, sums, updates;
    double progress;
    struct ln_blob *model;
    bool busy[FAKE_CLIENTS];
    uint64_t trained[FAKE_CLIENTS], probed[FAKE_CLIENTS], turn[FAKE_CLIENTS];
    double last_mu, last_deadline_s;
    uint32_t last_round;
    struct fake_event event[FAKE_EVENTS];
    size_t events; /* places of event that were ever used */
    struct fake_sum sum[FAKE_SUMS];
    uint32_t available[FAKE_CLIENTS];
    int blobs;
    struct {
        void *block;
        size_t size;
    } alloc[256];
    size_t allocs;
    struct fake_trace *trace;
    size_t traces, trace_room;
    int error; /* the strategy's */
};

/* ---- blobs ---- */

static inline struct ln_blob *fake_blob(struct ln_run *run, const double *x, bool update)
{
    struct ln_blob *blob = ln__mem_zero(1, sizeof *blob);
    assert_non_null(blob);
    *blob = (struct ln_blob){.run = run, .refs = 1, .update = update};
    memcpy(blob->x, x, sizeof blob->x);
    run->blobs++;
    return blob;
}

struct ln_blob *ln_blob_ref(struct ln_blob *blob)
{
    if (blob)
        blob->refs++;
    return blob;
}

void ln_blob_unref(struct ln_blob *blob)
{
    if (!blob)
        return;
    assert_true(blob->refs > 0);
    if (--blob->refs == 0) {
        blob->run->blobs--;
        ln__mem_free(blob);
    }
}

/* ---- what a strategy may ask ---- */

uint32_t ln_run_clients(const struct ln_run *run)
{
    return run->clients;
}

double ln_run_samples(const struct ln_run *run, uint32_t client)
{
    return run->samples[client];
}

int ln_run_classes(const struct ln_run *run)
{
    return run->classes;
}

void ln_run_histogram(const struct ln_run *run, uint32_t client, double *counts)
{
    assert_true(client < run->clients);
    memcpy(counts, run->histogram[client], (size_t)run->classes * sizeof *counts);
}

size_t ln_run_available(struct ln_run *run, uint32_t round, const uint32_t **clients)
{
    size_t count = 0;
    for (uint32_t i = 0; i < run->clients; i++) {
        if (run->works && !run->works(run, i, round))
            continue;
        if (!run->absent[i] && !run->busy[i] && run->samples[i] > 0)
            run->available[count++] = i;
    }
    *clients = run->available;
    return count;
}

uint32_t ln_run_sample_size(const struct ln_run *run)
{
    return run->sample;
}

double ln_run_now(const struct ln_run *run)
{
    return run->now;
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
    return run->publish_limit && run->version >= run->publish_limit;
}

uint32_t ln_run_draw(const struct ln_run *run, uint32_t round, uint32_t client, uint64_t index)
{
    struct ln__key key = {run->seed, round, client, LN__FOR_STRATEGY};
    uint32_t word[4];
    ln__rng_block(&key, index, word);
    return word[0];
}

static inline int fake_by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t ln_run_pick(const struct ln_run *run, uint32_t round, const uint32_t *from, size_t from_count, size_t count, uint32_t *out)
{
    uint32_t list[FAKE_CLIENTS];
    struct ln__rng rng = ln__rng_at((struct ln__key){run->seed, round, 0, LN__FOR_SAMPLE});
    memcpy(list, from, from_count * sizeof *list);
    if (count > from_count)
        count = from_count;
    for (size_t i = 0; i < count; i++) {
        size_t j = i + ln__rng_below(&rng, (uint32_t)(from_count - i));
        uint32_t swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
    memcpy(out, list, count * sizeof *list);
    qsort(out, count, sizeof *out, fake_by_id);
    return count;
}

/* ---- events ---- */

static inline struct ln_event *fake_post(struct ln_run *run, enum ln_event_kind kind, double at)
{
    for (size_t i = 0; i < FAKE_EVENTS; i++) {
        struct fake_event *slot = &run->event[i];
        if (slot->used)
            continue;
        run->events = i < run->events ? run->events : i + 1;
        *slot = (struct fake_event){.event = {.kind = kind, .time_s = at > run->now ? at : run->now}, .sequence = run->sequence++, .used = true};
        return &slot->event;
    }
    fail_msg("the fake run has no room for another event");
    return NULL;
}

static inline double fake_unit(struct ln_run *run, uint32_t client, uint64_t index)
{
    struct ln__key key = {run->seed, (uint32_t)run->turn[client], client, LN__FOR_WORLD};
    struct ln__rng rng = ln__rng_at(key);
    double x = 0;
    for (uint64_t i = 0; i <= index; i++)
        x = ln__rng_unit(&rng);
    return x;
}

int ln_run_dispatch(struct ln_run *run, const struct ln_order *order, struct ln_task_id *id)
{
    if (ln_run_finished(run))
        return LN_EREFUSED;
    if (order->client >= run->clients || run->busy[order->client] || run->absent[order->client])
        return LN_EINVALID;
    uint32_t client = order->client;
    struct ln_blob *base = order->model ? order->model : run->model;
    assert_false(base->update);
    bool fails = fake_unit(run, client, 0) < run->fail_chance;
    double took = run->latency[client] * (order->kind == LN_TASK_PROBE ? 0.1 : 1) * (fails ? 0.5 : 1);
    if (order->deadline_s > 0 && took > order->deadline_s) {
        took = order->deadline_s;
        fails = true;
    }
    struct ln_event *event = fake_post(run, fails ? LN_EVENT_FAILED : LN_EVENT_DONE, run->now + took);
    event->tag = order->tag;
    event->task = *id = (struct ln_task_id){++run->tasks};
    event->task_kind = order->kind;
    event->client = client;
    event->round = order->round;
    event->base = ln_blob_ref(base);
    event->base_version = run->version;
    event->samples = run->samples[client];
    event->took_s = took;
    event->device = true;
    if (order->kind == LN_TASK_TRAIN && run->replays && run->replays(run, client, order->round)) {
        event->device = false;
        event->took_s = 1e-3;
        event->time_s = run->now + event->took_s;
    }
    event->error = fails ? LN_EIO : LN_OK;
    event->accuracy = run->accuracy[client];
    event->estimate_s = run->latency[client];
    if (order->kind == LN_TASK_TRAIN && !fails) {
        double to[FAKE_DIM];
        for (int d = 0; d < FAKE_DIM; d++)
            to[d] = 0.5 * base->x[d] + 0.5 * (client + d + 0.25 * (double)(run->turn[client] % 4));
        if (run->train)
            run->train(run, client, base->x, to);
        event->update = fake_blob(run, to, true);
    }
    run->busy[client] = true;
    run->turn[client]++;
    run->trained[client] += order->kind == LN_TASK_TRAIN;
    run->probed[client] += order->kind == LN_TASK_PROBE;
    run->last_mu = order->mu;
    run->last_deadline_s = order->deadline_s;
    run->last_round = order->round;
    return LN_OK;
}

void ln_run_cancel(struct ln_run *run, struct ln_task_id id)
{
    (void)run, (void)id;
}

int ln_run_alarm(struct ln_run *run, double at_s, uint64_t tag)
{
    fake_post(run, LN_EVENT_ALARM, at_s)->tag = tag;
    return LN_OK;
}

/* A client leaves or comes back; what it was doing is lost. */
static inline void fake_roster(struct ln_run *run, uint32_t client, bool available)
{
    if (run->absent[client] == !available)
        return;
    run->absent[client] = !available;
    struct ln_event *event = fake_post(run, LN_EVENT_ROSTER, run->now);
    event->client = client;
    event->available = available;
    for (size_t i = 0; i < run->events && !available; i++) {
        struct ln_event *task = &run->event[i].event;
        if (!run->event[i].used || task->kind != LN_EVENT_DONE || task->client != client)
            continue;
        task->kind = LN_EVENT_FAILED;
        task->error = LN_EIO;
        task->took_s -= task->time_s - run->now;
        task->time_s = run->now;
        ln_blob_unref(task->update);
        task->update = NULL;
    }
}

#include "fake_archive.h"
#include "fake_fold.h"

/* ---- what it keeps ---- */

void ln_run_note(struct ln_run *run, const char *name, double value)
{
    (void)run, (void)name;
    assert_true(isfinite(value));
}

void ln_run_trace(struct ln_run *run, const char *what, uint32_t client, double value)
{
    if (run->traces == run->trace_room) {
        size_t room = run->trace_room ? 2 * run->trace_room : 1024;
        run->trace = ln__mem_grow(run->trace, run->traces * sizeof *run->trace, room * sizeof *run->trace);
        assert_non_null(run->trace);
        run->trace_room = room;
    }
    struct fake_trace *trace = &run->trace[run->traces++];
    *trace = (struct fake_trace){.client = client, .value = value, .time_s = run->now};
    snprintf(trace->what, sizeof trace->what, "%s", what);
}

void *ln_run_alloc(struct ln_run *run, size_t size)
{
    assert_true(run->allocs < sizeof run->alloc / sizeof *run->alloc);
    void *block = ln__mem_zero(1, size);
    run->alloc[run->allocs].block = block;
    run->alloc[run->allocs++].size = size;
    return block;
}

/* ---- the device half ---- */

struct ln_local {
    uint32_t epoch;
    double mu, proximal;
};

uint32_t ln_local_epoch(const struct ln_local *local)
{
    return local->epoch;
}

double ln_local_mu(const struct ln_local *local)
{
    return local->mu;
}

void ln_local_proximal(struct ln_local *local, double mu)
{
    local->proximal += mu;
}

#endif
