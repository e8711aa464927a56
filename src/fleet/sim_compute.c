#include "fleet/sim.h"

#include <string.h>

#include "base/log.h"

static void compute(struct ln__job *job, unsigned index)
{
    struct ln__item *item = (struct ln__item *)job;
    struct ln__fleet *fleet = item->fleet;
    double began = ln__clock_mono();
    struct ln__worker **worker = &fleet->worker[index];
    if (!*worker) {
        item->result.error = ln__worker_new(fleet->head.env, NULL, worker, &item->result.fault);
        if (*worker)
            ln__worker_stop_at(*worker, fleet->stop);
    }
    if (*worker) {
        ln__task_run(*worker, &item->task, &item->result);
        ln__result_check(*worker, &item->task, &item->result); /* the device is not trusted: what a real server does when it arrives */
    }
    item->busy_s = ln__clock_mono() - began;
}

void ln__sim_unlist(struct ln__fleet *fleet, struct ln__item *item)
{
    struct ln__item *last = fleet->running[--fleet->runs];
    fleet->running[item->run] = last;
    last->run = item->run;
    if (fleet->ranks)
        fleet->load[item->place]--;
}

int ln__sim_submit(struct ln__fleet *fleet, struct ln__item *item)
{
    struct ln__item **grown = ln__mem_more(fleet->running, fleet->runs, &fleet->runs_room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    fleet->running = grown;
    ln__agenda_remove(&fleet->waiting, item->at[WAITING_ONLY]);
    item->run = fleet->runs;
    fleet->running[fleet->runs++] = item;
    item->state = SUBMITTED;
    fleet->ahead++;
    if (fleet->ranks) {
        unsigned ranks = ln__ranks_count(fleet->ranks);
        item->place = (unsigned)(item->task.id.value % ranks);
        for (unsigned i = 0; i < ranks; i++)
            item->place = fleet->load[i] < fleet->load[item->place] ? i : item->place;
        fleet->load[item->place]++;
        if (item->place)
            return ln__ranks_submit(fleet->ranks, item->place, &item->task);
    }
    item->job.run = compute;
    item->job.order = item->time_s;
    item->job.tie = item->number;
    ln__pool_submit(fleet->pool, &item->job);
    return 0;
}

void ln__sim_settle(struct ln__fleet *fleet, struct ln__item *item)
{
    struct ln__task *task = &item->task;
    double takes = ln__world_takes(fleet->world, task, &item->result.trace, &item->ledger, NULL); /* also of a result that is to be refused */
    fleet->busy_s += item->busy_s;
    ln__sim_unlist(fleet, item);
    item->state = COMPUTED;
    double at = task->dispatched_s + takes;
    if (task->deadline_s > 0 && takes > task->deadline_s) {
        at = task->dispatched_s + task->deadline_s;
        item->result.error = LN_ETIMEOUT;
    }
    if (at > item->leaves_s) {
        at = item->leaves_s;
        item->result.error = LN_EGONE;
    }
    if (at < task->dispatched_s + takes)
        ln__world_spent(fleet->world, task, &item->result.trace, at - task->dispatched_s, &item->ledger);
    item->time_s = at > item->time_s ? at : item->time_s;
    ln__agenda_moved(&fleet->all, item->at[ALL]);
}

void ln__sim_put_back(struct ln__fleet *fleet, struct ln__item *item)
{
    ln__result_fini(&item->result);
    memset(&item->result, 0, sizeof item->result);
    memset(&item->job, 0, sizeof item->job);
    ln__sim_unlist(fleet, item);
    item->state = WAITING;
    fleet->ahead--;
    int error = ln__agenda_add(&fleet->waiting, item); /* it was there before: there is room */
    (void)error;
}

int ln__sim_take_from_ranks(struct ln__fleet *fleet)
{
    struct ln_fault fault = {0};
    struct ln_task_id id;
    struct ln__result result;
    double busy_s;
    int error;
    while ((error = ln__ranks_take(fleet->ranks, &id, &result, &busy_s, &fault)) == 0) {
        size_t i = 0;
        while (i < fleet->runs && fleet->running[i]->task.id.value != id.value)
            i++;
        if (i == fleet->runs) { /* nobody waits for it */
            ln__result_fini(&result);
            continue;
        }
        fleet->running[i]->result = result;
        fleet->running[i]->busy_s = busy_s;
        fleet->running[i]->came = true;
    }
    if (error == LN_ENOENT)
        return 0;
    ln__log(LN__LOG_ERROR, "%s", fault.text);
    return error;
}

static bool is_done(const struct ln__fleet *fleet, const struct ln__item *item)
{
    return item->place ? item->came : ln__pool_done(fleet->pool, &item->job);
}

int ln__sim_await(struct ln__fleet *fleet, struct ln__item *item)
{
    int error = 0;
    if (!item->place)
        ln__pool_wait(fleet->pool, &item->job);
    while (!error && item->place && !item->came) {
        error = ln__sim_take_from_ranks(fleet);
        if (!error && !item->came && fleet->stop && *fleet->stop)
            return LN_EINTERRUPTED;
        if (!error && !item->came)
            ln__ranks_rest();
    }
    return error;
}

void ln__sim_settle_done(struct ln__fleet *fleet)
{
    for (size_t i = fleet->runs; i > 0; i--) {
        struct ln__item *item = fleet->running[i - 1];
        if (is_done(fleet, item))
            ln__sim_settle(fleet, item); /* the last one takes its place, and was looked at */
    }
}
