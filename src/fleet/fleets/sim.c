/* The simulated fleet: tasks run in this process, time is computed.
 *
 * Everything that will happen is an item in one heap, ordered by (time, kind, number): sums that were closed, alarms, tasks. A task that is not computed
 * yet stands at the earliest time at which it can possibly be done (the timeline of its least trace); once computed it moves to its real time, which is never
 * earlier. So the heap's top, when it is not an uncomputed task, is the next event, whatever is still being computed.
 *
 *     dispatch -> waiting --submit--> on the pool --> computed --(top of the heap)--> delivered
 *
 * Under mpirun some are submitted to other ranks (fleet/ranks.h), whichever has least to do: what a task yields is the same everywhere.
 *
 * Tasks are submitted in the order of their earliest times, ahead of need, as long as fewer than a window of results lie undelivered: an
 * asynchronous strategy with a hundred tasks in flight keeps all threads busy, and memory stays bounded. Since a task is a pure function and the order of
 * events depends on computed times only, threads cannot change a bit. */
#include "fleet/sim.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define AT(member) offsetof(struct ln__sim_options, member)
#define WITHIN(outer, member) (offsetof(struct ln__sim_options, outer.member) - offsetof(struct ln__sim_options, outer))

static const struct ln_option server_options[] = {{.key = "gflops",
                                                   .type = LN_OPT_REAL,
                                                   .offset = WITHIN(world.server, gflops),
                                                   .fallback = "5000",
                                                   .min = 1e-3,
                                                   .max = 1e12,
                                                   .help = "GFLOP/s of the server in training (5000: a large GPU, as EcoFed's figures need)"},
                                                  {.key = "slots",
                                                   .type = LN_OPT_INT,
                                                   .offset = WITHIN(world.server, slots),
                                                   .fallback = "0",
                                                   .max = 1e6,
                                                   .help = "tasks that share the server evenly; 0: train.sample"},
                                                  {0}};
static const struct ln_option change_options[] = {{.key = "every_s",
                                                   .type = LN_OPT_REAL,
                                                   .offset = WITHIN(world.change, every_s),
                                                   .fallback = "0",
                                                   .max = 1e12,
                                                   .help = "seconds of the run between two changes; 0: devices stay as they are"},
                                                  {.key = "every_rounds",
                                                   .type = LN_OPT_REAL,
                                                   .offset = WITHIN(world.change, every_rounds),
                                                   .fallback = "0",
                                                   .max = 1e12,
                                                   .help = "in place of every_s: rounds of progress between two changes"},
                                                  {.key = "fraction",
                                                   .type = LN_OPT_REAL,
                                                   .offset = WITHIN(world.change, fraction),
                                                   .fallback = "0.1",
                                                   .max = 1,
                                                   .help = "part of the clients that draws its device class anew at each change"},
                                                  {0}};
static const struct ln_option sim_options[] = {
    {.key = "threads", .type = LN_OPT_INT, .offset = AT(threads), .fallback = "2", .min = 1, .max = 255, .help = "tasks computed at a time"},
    {.key = "window",
     .type = LN_OPT_INT,
     .offset = AT(window),
     .fallback = "0",
     .max = 1e6,
     .help = "most results computed ahead of their time; 0: 8 and four a thread"},
    {.key = "devices",
     .type = LN_OPT_TABLES,
     .offset = AT(world.devices),
     .fallback = "[]",
     .table = ln__device_class_options,
     .row_size = sizeof(struct ln__device_class),
     .help = "the clients' devices by class; none: a Raspberry Pi 4 on Wi-Fi for everyone"},
    {.key = "assign",
     .type = LN_OPT_ENUM,
     .offset = AT(world.assign),
     .fallback = "order",
     .choices = "order|random|label",
     .help = "which clients get which class: by number, at random, or sorted by the label they hold most of"},
    {.key = "server",
     .type = LN_OPT_TABLE,
     .offset = AT(world.server),
     .fallback = "{}",
     .table = server_options,
     .row_size = sizeof(((struct ln__sim_options *)0)->world.server),
     .help = "what server halves run on"},
    {.key = "change",
     .type = LN_OPT_TABLE,
     .offset = AT(world.change),
     .fallback = "{}",
     .table = change_options,
     .row_size = sizeof(((struct ln__sim_options *)0)->world.change),
     .help = "devices that change class in the course of the run"},
    {.key = "trace",
     .type = LN_OPT_TEXT,
     .offset = AT(trace),
     .fallback = "",
     .help = "file of rows client,time_s,available (1 or 0): who comes and goes when; a device that leaves drops its task"},
    {0}};

extern const struct ln__fleet_plugin ln__fleet_sim;

struct ln__item *ln__sim_item(struct ln__fleet *fleet, double time_s, enum ln__item_rank rank, uint64_t number)
{
    struct ln__item *item = ln__mem_zero(1, sizeof *item);
    if (!item)
        return NULL;
    item->fleet = fleet;
    item->time_s = time_s;
    item->rank = rank;
    item->number = number;
    item->state = rank == RANK_TASK ? WAITING : COMPUTED;
    if (ln__agenda_add(&fleet->all, item) != 0) {
        ln__mem_free(item);
        return NULL;
    }
    return item;
}

/* What a training task would take in a probe's place. */
static int estimate(struct ln__fleet *fleet, const struct ln__task *probe, double *estimate_s)
{
    struct ln__trace likely = {0};
    struct ln__task training = *probe;
    training.kind = LN_TASK_TRAIN;
    int error = ln__task_foretell(fleet->head.env, &training, LN__LIKELY, &likely);
    *estimate_s = error ? 0 : ln__world_takes(fleet->world, &training, &likely, NULL, NULL);
    ln__trace_fini(&likely);
    return error;
}

int ln__sim_dispatch(struct ln__fleet *fleet, const struct ln__task *task)
{
    struct ln__trace least = {0};
    int error = ln__task_foretell(fleet->head.env, task, LN__LEAST, &least);
    if (error) {
        ln__trace_fini(&least);
        return error;
    }
    double fails_s, takes = ln__world_takes(fleet->world, task, &least, NULL, &fails_s), estimate_s = 0;
    if (task->kind == LN_TASK_PROBE && (error = estimate(fleet, task, &estimate_s)) != 0) {
        ln__trace_fini(&least);
        return error;
    }
    bool fails = fails_s > 0 && fails_s < takes;
    double leaves_s = fleet->presence && task->site != LN__SERVER ? ln__presence_leaves(fleet->presence, task->client, task->dispatched_s) : INFINITY;
    if (task->dispatched_s + (fails ? fails_s : takes) > leaves_s) {
        fails = true;
        fails_s = leaves_s - task->dispatched_s;
    }
    if (task->deadline_s > 0 && (fails ? fails_s : takes) > task->deadline_s) { /* late already: nothing to compute */
        fails = true;
        fails_s = task->deadline_s;
    }
    struct ln__item *item = ln__sim_item(fleet, task->dispatched_s + (fails ? fails_s : takes), RANK_TASK, task->id.value);
    if (item && fails) /* it is not computed: by the least it would have done */
        ln__world_spent(fleet->world, task, &least, fails_s, &item->ledger);
    ln__trace_fini(&least);
    if (!item)
        return LN_ENOMEM;
    item->task = *task;
    item->task.model = ln__blob_ref(task->model);
    item->task.keep = ln__blob_ref(task->keep);
    item->estimate_s = estimate_s;
    item->leaves_s = leaves_s;
    if (fails) {
        item->state = COMPUTED;
        item->result.error = task->deadline_s > 0 && fails_s >= task->deadline_s ? LN_ETIMEOUT : LN_EGONE;
        fleet->ahead++; /* delivered like any computed one */
        return 0;
    }
    return ln__agenda_add(&fleet->waiting, item);
}

int ln__sim_cancel(struct ln__fleet *fleet, struct ln_task_id id)
{
    for (size_t i = 0; i < fleet->all.count; i++) {
        struct ln__item *item = fleet->all.item[i];
        if (item->rank != RANK_TASK || item->task.id.value != id.value)
            continue;
        if (item->state == WAITING)
            ln__agenda_remove(&fleet->waiting, item->at[WAITING_ONLY]);
        if (item->state == SUBMITTED) {
            int error = 0;
            if (item->place || !ln__pool_cancel(fleet->pool, &item->job))
                error = ln__sim_await(fleet, item);
            if (error)
                return error;
            ln__sim_unlist(fleet, item);
        }
        if (item->state == SUBMITTED || item->state == COMPUTED)
            fleet->ahead--;
        ln__result_fini(&item->result);
        memset(&item->result, 0, sizeof item->result);
        memset(&item->ledger, 0, sizeof item->ledger);
        item->state = CANCELLED;
        item->time_s = fleet->now_s;
        ln__agenda_moved(&fleet->all, item->at[ALL]);
        return 0;
    }
    return 0;
}

static int sim_alarm(struct ln__fleet *fleet, double at_s, uint64_t tag)
{
    struct ln__item *item = ln__sim_item(fleet, at_s > fleet->now_s ? at_s : fleet->now_s, RANK_ALARM, fleet->alarms++);
    if (!item)
        return LN_ENOMEM;
    item->tag = tag;
    return 0;
}

static int sim_sum_open(struct ln__fleet *fleet, double bound, struct ln_blob *range_of, struct ln_sum_id id)
{
    return ln__sums_open(fleet->sums, bound, range_of, id, NULL);
}

static int sim_sum_add(struct ln__fleet *fleet, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry)
{
    if (ln__ranks_hold(fleet->ranks, blob))
        return ln__ranks_add(fleet->ranks, fleet->sums, id, blob, entry);
    return ln__sums_add(fleet->sums, id, blob, entry, NULL, NULL);
}

static int sim_sum_close(struct ln__fleet *fleet, struct ln_sum_id id, double divisor, double progress, uint64_t tag)
{
    struct ln__trace trace = {0};
    struct ln_blob *model = NULL;
    int error = 0;
    if (fleet->head.env->method->gather && !fleet->own)
        error = ln__worker_new(fleet->head.env, fleet->pool, &fleet->own, NULL);
    if (!error)
        error = ln__ranks_collect(fleet->ranks, fleet->sums, id, true, NULL);
    if (!error)
        error = ln__sums_close(fleet->sums, id, divisor, progress, fleet->own, fleet->pool, &trace, &model, NULL);
    struct ln__ledger ledger;
    double takes = ln__world_server_takes(fleet->world, &trace, &ledger);
    ln__trace_fini(&trace);
    if (error)
        return error;
    struct ln__item *item = ln__sim_item(fleet, fleet->now_s + takes, RANK_SUM, fleet->closes++);
    if (!item) {
        ln__blob_unref(model);
        return LN_ENOMEM;
    }
    item->tag = tag;
    item->sum = id;
    item->model = model;
    item->ledger = ledger;
    return 0;
}

static int sim_sum_drop(struct ln__fleet *fleet, struct ln_sum_id id)
{
    int error = ln__ranks_collect(fleet->ranks, fleet->sums, id, true, NULL); /* the others let go of their parts */
    ln__sums_drop(fleet->sums, id);
    return error;
}

/* Who leaves at this moment is gone, whatever else happens in it: a task that began now would never be missed. */
static void reach_rows(struct ln__fleet *fleet, size_t told)
{
    const struct ln__presence_row *row;
    size_t rows = ln__presence_rows(fleet->presence, &row);
    for (; fleet->present_to < rows && (fleet->present_to < told || row[fleet->present_to].time_s <= fleet->now_s); fleet->present_to++)
        fleet->away[row[fleet->present_to].client] = !row[fleet->present_to].available;
}

int ln__sim_tell_rows(struct ln__fleet *fleet, size_t told)
{
    const struct ln__presence_row *row;
    size_t rows = ln__presence_rows(fleet->presence, &row);
    reach_rows(fleet, told);
    fleet->present_at = told;
    return told == rows || ln__sim_item(fleet, row[told].time_s, RANK_ROSTER, told) ? 0 : LN_ENOMEM;
}

static int open_presence(struct ln__fleet *fleet, struct ln_fault *fault)
{
    const char *path = fleet->options->trace;
    uint32_t clients = fleet->head.env->shares.clients;
    if (!path[0])
        return 0;
    int error = ln__presence_read(path, clients, &fleet->presence, fault);
    if (error)
        return error;
    fleet->away = ln__mem_zero(clients, sizeof *fleet->away);
    const struct ln__presence_row *row;
    size_t rows = ln__presence_rows(fleet->presence, &row), at_start = 0;
    while (at_start < rows && row[at_start].time_s <= 0)
        at_start++;
    if (!fleet->away || ln__sim_tell_rows(fleet, at_start))
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the presence of %u clients", clients);
    return 0;
}

static void deliver(struct ln__fleet *fleet, struct ln__item *item, struct ln__fleet_event *event)
{
    memset(event, 0, sizeof *event);
    ln__agenda_remove(&fleet->all, item->at[ALL]);
    fleet->now_s = item->time_s > fleet->now_s ? item->time_s : fleet->now_s;
    if (fleet->presence)
        reach_rows(fleet, fleet->present_at);
    event->time_s = fleet->now_s;
    event->tag = item->tag;
    if (item->rank == RANK_SUM) {
        event->kind = LN_EVENT_SUM;
        event->sum = item->sum;
        event->model = item->model;
        event->ledger = item->ledger;
    } else if (item->rank == RANK_ALARM) {
        event->kind = LN_EVENT_ALARM;
    } else if (item->rank == RANK_ROSTER) {
        const struct ln__presence_row *row;
        ln__presence_rows(fleet->presence, &row);
        event->kind = LN_EVENT_ROSTER;
        event->client = row[item->number].client;
        event->available = row[item->number].available;
    } else {
        event->kind = item->state == CANCELLED ? LN_EVENT_CANCELLED : item->result.error ? LN_EVENT_FAILED : LN_EVENT_DONE;
        event->tag = item->task.tag;
        event->task = item->task;
        event->result = item->result;
        event->ledger = item->ledger;
        event->estimate_s = item->estimate_s;
        event->client = item->task.client;
        fleet->ahead -= item->state == COMPUTED;
    }
    ln__mem_free(item); /* what it held is the caller's now */
}

static int sim_next(struct ln__fleet *fleet, const volatile int *stop, struct ln__fleet_event *event)
{
    if (fleet->stop != stop) { /* not written again while the threads read it */
        fleet->stop = stop;
        ln__ranks_stop_at(fleet->ranks, stop);
    }
    if (fleet->began == 0)
        fleet->began = ln__clock_mono();
    for (;;) {
        if (stop && *stop)
            return LN_EINTERRUPTED;
        if (fleet->all.count == 0)
            return LN_ENOENT;
        int error = fleet->ranks ? ln__sim_take_from_ranks(fleet) : 0;
        ln__sim_settle_done(fleet);
        struct ln__item *top = fleet->all.item[0];
        /* Nothing is delivered before the top is computed, and then before what stands next at its earliest time: whatever the window, that
         * much goes on beside it. */
        bool uncomputed = top->rank == RANK_TASK && top->state != COMPUTED && top->state != CANCELLED;
        while (!error && fleet->waiting.count > 0 && (fleet->ahead < fleet->window || (uncomputed && fleet->runs < fleet->busy)))
            error = ln__sim_submit(fleet, fleet->waiting.item[0]);
        if (error)
            return error;
        if (!uncomputed) {
            bool roster = top->rank == RANK_ROSTER;
            deliver(fleet, top, event);
            return roster ? ln__sim_tell_rows(fleet, fleet->present_at + 1) : 0;
        }
        if (top->state == WAITING && (error = ln__sim_submit(fleet, top)) != 0) /* the window is full of later ones */
            return error;
        if ((error = ln__sim_await(fleet, top)) != 0)
            return error;
        if (top->result.error == LN_EINTERRUPTED && stop && *stop)
            ln__sim_put_back(fleet, top);
        else
            ln__sim_settle(fleet, top);
    }
}

static double sim_now(struct ln__fleet *fleet)
{
    return fleet->now_s;
}

static bool sim_present(struct ln__fleet *fleet, uint32_t client)
{
    return client < fleet->head.env->shares.clients && !(fleet->away && fleet->away[client]);
}

static bool sim_due(struct ln__fleet *fleet, size_t at, uint32_t *client)
{
    const struct ln__presence_row *row;
    if (!fleet->presence || at >= fleet->present_to - fleet->present_at)
        return false;
    ln__presence_rows(fleet->presence, &row);
    *client = row[fleet->present_at + at].client;
    return true;
}

static bool sim_sole(struct ln__fleet *fleet, struct ln_blob *blob)
{
    return ln__ranks_sole(fleet->ranks, blob);
}

static struct ln__pool *sim_pool(struct ln__fleet *fleet)
{
    return fleet->pool;
}

static void sim_spans(struct ln__fleet *fleet, const struct ln__task *task, const struct ln__trace *trace, const struct ln__watch *watch)
{
    ln__world_spans(fleet->world, task, trace, watch);
}

static double sim_parallelism(struct ln__fleet *fleet)
{
    double took = ln__clock_mono() - fleet->began;
    return fleet->began > 0 && took > 0 ? fleet->busy_s / took : 0;
}

static void sim_close(struct ln__fleet *fleet)
{
    if (!fleet)
        return;
    for (size_t i = 0; i < fleet->runs; i++) {
        if (!fleet->running[i]->place && !ln__pool_cancel(fleet->pool, &fleet->running[i]->job))
            ln__pool_wait(fleet->pool, &fleet->running[i]->job);
    }
    for (size_t i = 0; i < fleet->all.count; i++)
        ln__item_free(fleet->all.item[i]);
    if (fleet->ranks) {
        struct ln__ranks_times times;
        ln__ranks_times(fleet->ranks, &times);
        ln__log(LN__LOG_INFO, "%u ranks: %llu broadcasts of models took %.3f s, %llu sums over ranks %.3f s", ln__ranks_count(fleet->ranks),
                (unsigned long long)times.broadcasts, times.broadcast_s, (unsigned long long)times.reduces, times.reduce_s);
    }
    ln__ranks_close(fleet->ranks);
    ln__mem_free(fleet->load);
    ln__pool_free(fleet->pool);
    for (int64_t i = 0; fleet->worker && i < fleet->options->threads; i++)
        ln__worker_free(fleet->worker[i]);
    ln__worker_free(fleet->own);
    ln__mem_free(fleet->worker);
    ln__mem_free(fleet->all.item);
    ln__mem_free(fleet->waiting.item);
    ln__mem_free(fleet->running);
    ln__sums_free(fleet->sums);
    ln__presence_free(fleet->presence);
    ln__mem_free(fleet->away);
    ln__world_free(fleet->world);
    ln__mem_free(fleet);
}

static int sim_open(const void *options, const struct ln__env *env, struct ln__fleet **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__fleet *fleet = ln__mem_zero(1, sizeof *fleet);
    if (!fleet)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the simulated fleet");
    fleet->head = (struct ln__fleet_head){.plugin = &ln__fleet_sim, .env = env};
    fleet->options = options;
    fleet->all.kind = ALL;
    fleet->waiting.kind = WAITING_ONLY;
    fleet->window = fleet->options->window > 0 ? (size_t)fleet->options->window : 8 + 4 * (size_t)fleet->options->threads;
    fleet->busy = 2 * (size_t)fleet->options->threads;
    fleet->worker = ln__mem_zero((size_t)fleet->options->threads, sizeof(struct ln__worker *));
    int error = fleet->worker ? 0 : ln_fault_set(fault, LN_ENOMEM, "no memory for the simulated fleet");
    if (!error && (error = ln__pool_new((unsigned)fleet->options->threads + 1, &fleet->pool)) != 0)
        ln_fault_set(fault, error, "fleet.threads: %lld threads cannot be started", (long long)fleet->options->threads);
    if (!error && (error = ln__ranks_open(env, &fleet->ranks, fault)) == 0) {
        unsigned ranks = ln__ranks_count(fleet->ranks);
        fleet->window *= ranks;
        fleet->busy *= ranks;
        fleet->load = ln__mem_zero(ranks, sizeof *fleet->load);
        if (!fleet->load)
            error = ln_fault_set(fault, LN_ENOMEM, "no memory for %u ranks", ranks);
    }
    if (!error)
        error = ln__world_new(&fleet->options->world, env, &fleet->world, fault);
    if (!error)
        error = ln__sums_new(env, &fleet->sums, fault);
    if (!error)
        error = open_presence(fleet, fault);
    if (error) {
        sim_close(fleet);
        return error;
    }
    *out = fleet;
    return 0;
}

static int sim_check(const void *options, const struct ln__env *env, struct ln_fault *fault)
{
    const struct ln__sim_options *o = options;
    struct ln__world *world = NULL;
    struct ln__presence *presence = NULL;
    int error = ln__world_new(&o->world, env, &world, fault);
    if (!error && o->trace[0])
        error = ln__presence_read(o->trace, env->shares.clients, &presence, fault);
    ln__presence_free(presence);
    ln__world_free(world);
    return error;
}

static int sim_serve(const void *options, const struct ln__env *env, struct ln_fault *fault)
{
    const struct ln__sim_options *o = options;
    return ln__ranks_serve(env, (unsigned)o->threads, fault);
}

const struct ln__fleet_plugin ln__fleet_sim = {
    .plugin = {.name = "sim",
               .summary = "this process, on threads; time, bytes and joules are computed from device and path profiles",
               .options = sim_options,
               .options_size = sizeof(struct ln__sim_options)},
    .open = sim_open,
    .close = sim_close,
    .check = sim_check,
    .serve = sim_serve,
    .pool = sim_pool,
    .dispatch = ln__sim_dispatch,
    .cancel = ln__sim_cancel,
    .alarm = sim_alarm,
    .next = sim_next,
    .now = sim_now,
    .present = sim_present,
    .due = sim_due,
    .sole = sim_sole,
    .sum_open = sim_sum_open,
    .sum_add = sim_sum_add,
    .sum_close = sim_sum_close,
    .sum_drop = sim_sum_drop,
    .spans = sim_spans,
    .archive = ln__sim_archive,
    .parallelism = sim_parallelism,
};
