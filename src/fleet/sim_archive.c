/* What is computed ahead is not saved: it comes out the same again. */
#include "fleet/sim.h"

#include "fed/archive.h"

static void archive_task(const struct ln__env *env, struct ln_archive *archive, struct ln__task *task)
{
    uint64_t kind = task->kind, site = task->site, client = task->client, round = task->round, turn = task->turn, epochs = task->epochs;
    ln_archive_u64(archive, &task->id.value);
    ln_archive_u64(archive, &kind);
    ln_archive_u64(archive, &site);
    ln_archive_u64(archive, &client);
    ln_archive_u64(archive, &round);
    ln_archive_u64(archive, &turn);
    ln_archive_u64(archive, &epochs);
    ln_archive_real(archive, &task->progress);
    ln_archive_real(archive, &task->mu);
    ln_archive_real(archive, &task->dispatched_s);
    ln_archive_real(archive, &task->deadline_s);
    ln_archive_u64(archive, &task->tag);
    ln_archive_u64(archive, &task->base_version);
    ln_archive_blob(archive, &task->model);
    ln_archive_blob(archive, &task->keep);
    if (!ln_archive_reading(archive)) /* it may be running */
        return;
    if (!archive->error && (client >= env->shares.clients || kind > LN_TASK_PROBE || site < LN__DEVICE || site > LN__SERVER || !task->model ||
                            ln__blob_size(task->model) != env->state * sizeof(float)))
        ln__archive_fail(archive, LN_ECORRUPT, "a task that cannot be");
    if (archive->error)
        return;
    task->kind = (enum ln_task_kind)kind;
    task->site = (enum ln__site)site;
    task->client = (uint32_t)client;
    task->round = (uint32_t)round;
    task->turn = (uint32_t)turn;
    task->epochs = (uint32_t)epochs;
}

/* One item: its rank, then what that needs. A cancelled task is known by its time. */
static int archive_item(struct ln__fleet *fleet, struct ln_archive *archive, struct ln__item *saved)
{
    struct ln__item blank = {0}, *item = saved ? saved : &blank;
    uint64_t rank = item->rank, cancelled = item->state == CANCELLED;
    ln_archive_u64(archive, &rank);
    ln_archive_real(archive, &item->time_s);
    if (rank == RANK_TASK) {
        ln_archive_u64(archive, &cancelled);
        archive_task(fleet->head.env, archive, &item->task);
        if (saved)
            return archive->error;
        int error = archive->error ? archive->error : ln__sim_dispatch(fleet, &item->task);
        if (!error && cancelled) {
            double now = fleet->now_s;
            fleet->now_s = item->time_s;
            error = ln__sim_cancel(fleet, item->task.id);
            fleet->now_s = now;
        }
        ln__blob_unref(item->task.model); /* dispatch took its own */
        ln__blob_unref(item->task.keep);
        return error;
    }
    ln_archive_u64(archive, &item->number);
    ln_archive_u64(archive, &item->tag);
    ln_archive_u64(archive, &item->sum.value);
    ln_archive_blob(archive, &item->model);
    ln_archive_u64(archive, &item->ledger.server_macs);
    ln_archive_real(archive, &item->ledger.server_s);
    if (saved || rank == RANK_ROSTER || archive->error) {
        if (!saved)
            ln__blob_unref(item->model);
        return archive->error;
    }
    struct ln__item *made = ln__sim_item(fleet, item->time_s, rank == RANK_SUM ? RANK_SUM : RANK_ALARM, item->number);
    if (!made) {
        ln__blob_unref(item->model);
        return LN_ENOMEM;
    }
    made->ledger = item->ledger;
    made->tag = item->tag;
    made->sum = item->sum;
    made->model = item->model;
    return 0;
}

/* The trace itself is not in the archive, only how much of it was told. */
static int restore_presence(struct ln__fleet *fleet, size_t told)
{
    const struct ln__presence_row *row;
    if (!fleet->presence || told > ln__presence_rows(fleet->presence, &row))
        return told ? LN_ECORRUPT : 0;
    for (size_t i = 0; i < fleet->all.count; i++) {
        struct ln__item *item = fleet->all.item[i];
        if (item->rank == RANK_ROSTER) { /* the first one, from opening */
            ln__agenda_remove(&fleet->all, i);
            ln__item_free(item);
            break;
        }
    }
    return told < fleet->present_at ? LN_ECORRUPT : ln__sim_tell_rows(fleet, told);
}

int ln__sim_archive(struct ln__fleet *fleet, struct ln_archive *archive)
{
    uint64_t count = fleet->all.count;
    ln_archive_real(archive, &fleet->now_s);
    ln_archive_u64(archive, &fleet->alarms);
    ln_archive_u64(archive, &fleet->closes);
    ln_archive_u64(archive, &count);
    bool reading = ln_archive_reading(archive);
    uint64_t told = fleet->present_at;
    ln_archive_u64(archive, &told);
    int error = archive->error ? archive->error : reading ? restore_presence(fleet, told) : 0;
    for (uint64_t i = 0; !error && i < count; i++)
        error = archive_item(fleet, archive, reading ? NULL : fleet->all.item[i]);
    if (!error && !reading) /* parts of open sums are brought here first */
        error = ln__ranks_collect_all(fleet->ranks, fleet->sums);
    if (!error)
        ln__sums_archive(fleet->sums, archive);
    return error;
}
