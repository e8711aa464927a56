#include "fed/run.h"

#include "base/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALMOST 1e-9
#define LOST_MAX 4 /* times the clients, or those of a round: so many tasks of a kind that fail in a row end a run */

/* ---- what a task's end means for the books ---- */

static void book(struct ln_run *run, const struct ln__fleet_event *event)
{
    const struct ln__ledger *ledger = &event->ledger;
    struct ln__metrics *m = &run->total;
    m->bytes_up += ledger->bytes_up;
    m->bytes_down += ledger->bytes_down;
    m->wire_up += ledger->wire_up;
    m->wire_down += ledger->wire_down;
    m->device_macs += ledger->device_macs;
    m->server_macs += ledger->server_macs;
    m->joules += ledger->joules;
    run->device_s += ledger->device_s;
    run->up_s += ledger->up_s;
    run->down_s += ledger->down_s;
    run->server_s += ledger->server_s;
    run->idle_s += ledger->idle_s;
    run->traffic[event->task.client][0] += ledger->bytes_up;
    run->traffic[event->task.client][1] += ledger->bytes_down;
}

static int commit(struct ln_run *run, struct ln__fleet_event *event)
{
    uint32_t c = event->task.client;
    struct ln__result *result = &event->result;
    run->total.tasks++;
    if (event->task.kind != LN_TASK_TRAIN)
        return LN_OK;
    if (!run->took_part[c])
        run->participants++;
    run->took_part[c] = true;
    if (result->keep_changed) {
        ln__run_keep(run, c, event->task.round, result->keep);
        result->keep = NULL;
    }
    if (!result->update)
        return LN_OK;
    if (run->overlap) {
        int error = ln__overlap_update(run->overlap, result->update, event->task.model, event->task.base_version, run->fault);
        if (error)
            return error;
    }
    return ln__run_know(run,
                        &(struct ln__known){.blob = result->update, .base = event->task.model, .version = event->task.base_version, .client = c});
}

/* Whether the strategy is to hear of it: an answer to a task that is under way, to be counted once. */
static bool admitted(struct ln_run *run, const struct ln__fleet_event *event)
{
    uint32_t c = event->task.client;
    if (c < run->clients && event->task.id.value != 0 && run->busy[c] == event->task.id.value && event->task.base_version <= run->version) {
        run->busy[c] = 0;
        run->under_way--;
        ln__run_changed(run, c);
        return true;
    }
    run->total.refused++;
    ln__log(LN__LOG_WARN, "client %u: a result of task %llu from version %llu, which it is not working on, is refused", c,
            (unsigned long long)event->task.id.value, (unsigned long long)event->task.base_version);
    return false;
}

static int tell(struct ln_run *run, const struct ln_event *event)
{
    int error = run->strategy->event(run->self, run->options, run, event);
    ln__run_settle(run);
    if (error)
        return ln_fault_set(run->fault, error, "strategy %s: %s", run->strategy->plugin.name, ln_error_text(error));
    return LN_OK;
}

static bool was_refused(const struct ln__result *result)
{
    return result->error == LN_EREFUSED || result->error == LN_ECORRUPT;
}

/* What became of a task that failed: a sentence's end. */
static void why_lost(const struct ln__fleet_event *event, char *text, size_t room)
{
    uint32_t client = event->task.client;
    const struct ln__result *result = &event->result;
    if (was_refused(result))
        snprintf(text, room, "client %u's result is refused: %s", client, result->fault.text[0] ? result->fault.text : ln_error_text(result->error));
    else if (result->error == LN_ETIMEOUT)
        snprintf(text, room, "client %u has not answered within the deadline of %g s", client, event->task.deadline_s);
    else
        snprintf(text, room, "client %u has vanished or left in the middle of it", client);
}

/* A strategy that waits for results would ask for ever where none comes: a run that has diverged, a deadline nobody meets, devices that all fail. While
 * somebody is under way of whom nothing was lost there is hope: one bad client that answers often ends nothing. */
static int count_lost(struct ln_run *run, const struct ln__fleet_event *event)
{
    static const char *const of_kind[] = {[LN_TASK_TRAIN] = "trainings", [LN_TASK_EVAL] = "tests on clients", [LN_TASK_PROBE] = "probes"};
    uint64_t sample = ln_run_sample_size(run), most = LOST_MAX * (sample > run->clients ? sample : run->clients);
    enum ln_task_kind kind = event->task.kind;
    char why[LN_FAULT_TEXT];
    run->lost_any = run->lost_by[event->task.client] = true;
    if (++run->lost[kind] < most)
        return LN_OK;
    for (uint32_t c = 0; c < run->clients; c++) {
        if (run->busy[c] && !run->lost_by[c])
            return LN_OK;
    }
    why_lost(event, why, sizeof why);
    return ln_fault_set(run->fault, event->result.error, "round %g: the last %llu %s have all failed; the last one: %s", run->progress,
                        (unsigned long long)run->lost[kind], of_kind[kind], why);
}

static void forget_lost(struct ln_run *run)
{
    if (!run->lost_any)
        return;
    memset(run->lost, 0, sizeof run->lost);
    memset(run->lost_by, 0, run->clients * sizeof *run->lost_by);
    run->lost_any = false;
}

static int take_task(struct ln_run *run, struct ln__fleet_event *event)
{
    const struct ln__task *task = &event->task;
    struct ln__result *result = &event->result;
    if (!admitted(run, event))
        return LN_OK;
    book(run, event);
    enum ln_event_kind kind = event->kind == LN_EVENT_DONE && result->error ? LN_EVENT_FAILED : event->kind;
    if (kind == LN_EVENT_FAILED && was_refused(result)) {
        run->total.refused++;
        ln__log(LN__LOG_WARN, "client %u: its result is refused: %s", task->client, result->fault.text);
    } else if (kind == LN_EVENT_FAILED && result->error != LN_ETIMEOUT && result->error != LN_EGONE) {
        /* our own trouble, not the device's: memory, disk, parts that do not work together */
        return ln_fault_set(run->fault, result->error ? result->error : LN_EIO, "%s",
                            result->fault.text[0] ? result->fault.text : ln_error_text(result->error));
    }
    if (kind == LN_EVENT_FAILED) {
        run->total.dropped++;
        int error = count_lost(run, event);
        if (error)
            return error;
    }
    if (kind == LN_EVENT_DONE) {
        run->lost[task->kind] = 0;
        if (result->update)
            forget_lost(run);
        ln__output_gantt(run, event);
        int error = commit(run, event);
        if (error)
            return error;
    }
    return tell(run, &(struct ln_event){.kind = kind,
                                        .time_s = event->time_s,
                                        .tag = task->tag,
                                        .task = task->id,
                                        .task_kind = task->kind,
                                        .client = task->client,
                                        .round = task->round,
                                        .update = kind == LN_EVENT_DONE ? result->update : NULL,
                                        .base = task->model,
                                        .base_version = task->base_version,
                                        .samples = ln_run_samples(run, task->client),
                                        .loss = result->loss,
                                        .accuracy = result->accuracy,
                                        .took_s = event->time_s - task->dispatched_s,
                                        .device = task->site == LN__DEVICE,
                                        .estimate_s = event->estimate_s,
                                        .error = kind == LN_EVENT_FAILED ? result->error : LN_OK});
}

static int take(struct ln_run *run, struct ln__fleet_event *event)
{
    switch (event->kind) {
    case LN_EVENT_DONE:
    case LN_EVENT_FAILED:
    case LN_EVENT_CANCELLED:
        return take_task(run, event);
    default:
        if (event->kind == LN_EVENT_ROSTER)
            ln__run_changed(run, event->client);
        run->total.server_macs += event->ledger.server_macs; /* a gather is nobody's task */
        run->server_s += event->ledger.server_s;
        return tell(run, &(struct ln_event){.kind = event->kind,
                                            .time_s = event->time_s,
                                            .tag = event->tag,
                                            .client = event->client,
                                            .available = event->available,
                                            .sum = event->sum,
                                            .model = event->model});
    }
}

/* It comes after the horizon, so the run had ended before it, and a last test follows. After any other end the fleet is asked for nothing more. */
static void come_too_late(struct ln_run *run, const struct ln__fleet_event *event)
{
    run->finished = run->published = true;
    if (event->kind != LN_EVENT_DONE)
        return;
    run->total.refused++;
    ln__log(LN__LOG_INFO, "client %u: a result at %g s, after the end, is refused", event->task.client, event->time_s);
}

static void event_fini(struct ln__fleet_event *event)
{
    ln__blob_unref(event->task.model);
    ln__blob_unref(event->task.keep);
    ln__blob_unref(event->model);
    ln__result_fini(&event->result);
}

/* ---- tests, metrics, checkpoints ---- */

double ln__run_time(const struct ln_run *run)
{
    double now = run->on->now(run->fleet), horizon = run->env->recipe->stop.time_s;
    return horizon > 0 && now > horizon ? horizon : now;
}

/* By what will end the run, as far as can be seen; nearly level, by what was shown before, for the bar's rate begins anew with another unit. */
static void show(struct ln_run *run)
{
    char note[48];
    if (run->args->quiet)
        return;
    snprintf(note, sizeof note, "accuracy %.1f %%", 100 * run->total.accuracy);
    const struct ln__recipe *recipe = run->env->recipe;
    double horizon = recipe->stop.time_s, rounds = (double)recipe->train.rounds;
    run->by_clock = horizon > 0 && ln__run_time(run) / horizon - run->progress / rounds > (run->by_clock ? -0.01 : 0.01);
    if (run->by_clock)
        ln__progress("training", "fleet s", ln__run_time(run), horizon, note);
    else
        ln__progress("training", "rounds", run->progress, rounds, note);
}

static int evaluate(struct ln_run *run)
{
    struct ln__evaluation found;
    const void *state;
    int error = ln__blob_pin(run->model, &state, run->fault);
    if (error)
        return error;
    bool show_it = run->evaluated < 0 && !run->args->quiet; /* later ones would break the bar of the training */
    error = ln__evaluator_run(run->evaluator, state, run->args->stop, show_it, &found, run->fault);
    if (!error && run->overlap)
        error = ln__overlap_test(run->overlap, state, &run->overlap_clients, &run->overlap_rounds, run->fault);
    ln__blob_unpin(run->model);
    if (error)
        return error;
    struct ln__metrics *m = &run->total;
    m->round = run->progress;
    m->time_s = ln__run_time(run);
    m->wall_s = ln__run_wall(run);
    m->accuracy = found.accuracy;
    m->loss = found.loss;
    m->client = found.client;
    memcpy(m->width, found.width, sizeof m->width);
    m->version = run->version;
    m->parallelism = run->on->parallelism(run->fleet);
    if (run->evaluated < 0 || found.accuracy > run->best) {
        run->best = found.accuracy;
        run->best_round = run->progress;
    }
    run->evaluated = run->progress;
    ln__output_metrics(run);
    if (run->args->evaluated)
        run->args->evaluated(run->args->context, m);
    return LN_OK;
}

/* ---- what ends a run early (recipe: stop) ---- */

static bool enough_bytes(const struct ln_run *run)
{
    double most = run->env->recipe->stop.bytes_mb;
    return most > 0 && (double)(run->total.bytes_up + run->total.bytes_down) >= most * 1e6;
}

static bool enough_accuracy(const struct ln_run *run)
{
    double wanted = run->env->recipe->stop.accuracy;
    return wanted > 0 && run->evaluated >= 0 && run->total.accuracy >= wanted;
}

/* From the books alone: a run that is resumed after its end says the same. */
const char *ln__run_ended_by(const struct ln_run *run)
{
    double horizon = run->env->recipe->stop.time_s;
    if (run->progress >= (double)run->env->recipe->train.rounds - ALMOST)
        return "rounds";
    return enough_accuracy(run) ? "accuracy" : enough_bytes(run) ? "bytes" : horizon > 0 && run->total.time_s >= horizon ? "time" : "";
}

static bool passed(double every, double before, double now)
{
    return every > 0 && floor((now + ALMOST) / every) > floor((before + ALMOST) / every);
}

static bool test_due(const struct ln_run *run)
{
    const struct ln__recipe *recipe = run->env->recipe;
    if (!run->published)
        return false;
    return run->finished || passed(recipe->eval.every, run->evaluated, run->progress) ||
           passed(recipe->eval.every_s, run->total.time_s, ln__run_time(run));
}

/* A disk that is full or failing does not end the run: the checkpoint before stays, the next one is tried in its time. */
static int checkpoint(struct ln_run *run, bool must)
{
    struct ln_fault fault = {0}, *before = run->fault;
    run->fault = &fault;
    int error = ln__checkpoint_save(run);
    run->fault = before;
    if (!error) {
        run->warned.checkpoint = false;
        return LN_OK;
    }
    if (must || (error != LN_EFULL && error != LN_EIO))
        return ln_fault_set(run->fault, error, "%s", fault.text);
    if (!run->warned.checkpoint)
        ln__log(LN__LOG_WARN, "no checkpoint: %s; the one before stays, the run goes on", fault.text);
    run->warned.checkpoint = true;
    return LN_OK;
}

static int after_event(struct ln_run *run)
{
    int error = LN_OK;
    if (!run->finished && enough_bytes(run))
        run->finished = run->published = true; /* with a last test */
    if (test_due(run))
        error = evaluate(run);
    run->untested = error == LN_EINTERRUPTED;
    if (error)
        return error;
    run->finished = run->finished || enough_accuracy(run);
    if (run->published) {
        forget_lost(run);
        show(run);
    }
    bool due =
        run->published && (run->env->recipe->checkpoint.every_s == 0 || ln__clock_mono() - run->saved_at >= run->env->recipe->checkpoint.every_s);
    run->published = false;
    return due && !run->finished ? checkpoint(run, false) : LN_OK;
}

/* ---- the loop ---- */

static int begin(struct ln_run *run)
{
    int error = ln__blob_put(run->env->blobs, run->env->initial, run->env->state * sizeof(float), &run->model, run->fault);
    if (error)
        return error;
    run->evaluated = -1;
    error = evaluate(run); /* round 0: the model all begin with */
    if (error)
        return error;
    show(run);
    error = run->strategy->start(run->self, run->options, run);
    ln__run_settle(run);
    if (error)
        return ln_fault_set(run->fault, error, "strategy %s cannot start: %s", run->strategy->plugin.name, ln_error_text(error));
    return run->journal ? checkpoint(run, true) : LN_OK; /* says at once where a disk cannot hold one */
}

static int stopped(struct ln_run *run)
{
    *run->fault = (struct ln_fault){0}; /* of the test that was interrupted, perhaps: what is told is how saving went */
    int error = checkpoint(run, true);
    if (error)
        return error;
    run->total.round = run->progress;
    return ln_fault_set(run->fault, LN_EINTERRUPTED, "stopped at round %g", run->progress);
}

/* Nothing will ever happen again: the run ends at its horizon, by an alarm behind it. Without one it would wait for ever. */
static int nothing_to_come(struct ln_run *run)
{
    double horizon = run->env->recipe->stop.time_s;
    uint32_t away = 0;
    if (horizon > 0)
        return run->on->alarm(run->fleet, nextafter(horizon, INFINITY), 0);
    for (uint32_t c = 0; c < run->clients; c++)
        away += !run->on->present(run->fleet, c);
    if (away > 0)
        return ln_fault_set(run->fault, LN_EINVALID,
                            "round %g: nothing is under way and strategy %s waits: %u of %u clients are away and none will come back", run->progress,
                            run->strategy->plugin.name, away, run->clients);
    return ln_fault_set(run->fault, LN_EINVALID, "round %g: nothing is under way and strategy %s waits: are there clients with samples?",
                        run->progress, run->strategy->plugin.name);
}

static int drive(struct ln_run *run)
{
    while (!run->finished) {
        struct ln__fleet_event event = {0};
        if (run->args->stop && *run->args->stop)
            return stopped(run);
        int error = run->on->next(run->fleet, run->args->stop, &event);
        if (error == LN_EINTERRUPTED)
            return stopped(run);
        if (error == LN_ENOENT && (error = nothing_to_come(run)) == LN_OK)
            continue;
        if (error)
            return ln_fault_set(run->fault, error, "the fleet: %s", ln_error_text(error));
        double horizon = run->env->recipe->stop.time_s;
        if (horizon > 0 && event.time_s > horizon)
            come_too_late(run, &event);
        else
            error = take(run, &event);
        event_fini(&event);
        if (!error && (error = after_event(run)) == LN_EINTERRUPTED)
            return stopped(run);
        if (error)
            return error;
    }
    int error = ln__output_end(run);
    return error || !run->journal ? error : checkpoint(run, true);
}

static int resumed(struct ln_run *run)
{
    if (!run->args->quiet)
        ln__log(LN__LOG_INFO, "going on at round %g", run->progress);
    if (run->finished && !run->untested)
        return ln__output_end(run);
    run->published = run->untested;
    int error = run->untested ? after_event(run) : LN_OK;
    if (error == LN_EINTERRUPTED)
        return stopped(run);
    return error ? error : drive(run);
}

int ln__loop_run(const struct ln__loop_args *args, struct ln__metrics *last, struct ln_fault *fault)
{
    struct ln_fault own = {0};
    struct ln_run run;
    bool found = false;
    *last = (struct ln__metrics){0};
    int error = ln__run_open(&run, args, fault ? fault : &own);
    if (!error)
        error = ln__checkpoint_open(&run, &found);
    if (!error)
        error = ln__output_open(&run);
    if (!error && found) {
        error = resumed(&run);
    } else if (!error) {
        error = begin(&run);
        if (!error)
            error = drive(&run);
    }
    if (!args->quiet)
        ln__progress_end();
    *last = run.total;
    last->wall_s = ln__run_wall(&run);
    if (args->model)
        *args->model = run.model ? ln__blob_ref(run.model) : NULL;
    ln__run_close(&run);
    return error;
}
