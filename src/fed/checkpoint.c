/* Checkpoints: first every blob the run holds becomes durable (those that are already cost nothing), then one record of the journal says all the rest. A crash
 * or a full disk between leaves the record before. The journal is cut to its last record when older ones outweigh it. */
#include "fed/run.h"

#include "base/log.h"
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT 6
#define RECORD_MAX ((size_t)LN__JOURNAL_RECORD_MAX)
#define SLACK ((uint64_t)4 << 20) /* bytes of old records that may lie in the journal */

static void books(struct ln_run *run, struct ln_archive *archive)
{
    struct ln__metrics *m = &run->total;
    double wall = ln__run_wall(run);
    double *reals[] = {&m->round,          &m->time_s,      &m->wall_s,      &m->accuracy,     &m->loss,   &m->client.mean, &m->client.median,
                       &m->client.worst10, &m->joules,      &m->parallelism, &run->device_s,   &run->up_s, &run->down_s,    &run->server_s,
                       &run->idle_s,       &run->evaluated, &run->best,      &run->best_round, &wall};
    uint64_t *counts[] = {&m->version, &m->bytes_up, &m->bytes_down, &m->wire_up,        &m->wire_down,      &m->device_macs,  &m->server_macs,
                          &m->tasks,   &m->dropped,  &m->refused,    &run->participants, &run->metrics_size, &run->trace_size, &run->gantt_size};
    ln__archive_mark(archive, "books");
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        ln_archive_real(archive, reals[i]);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        ln_archive_u64(archive, counts[i]);
    if (archive->reading)
        run->wall_before = wall;
    ln_archive_bytes(archive, run->drawn_tasks, sizeof run->drawn_tasks);
    ln__archive_count(archive, &run->notes, sizeof run->note / sizeof run->note[0]);
    ln_archive_bytes(archive, run->note, run->notes * sizeof run->note[0]);
    for (size_t i = 0; i < run->notes; i++)
        run->note[i].name[sizeof run->note[i].name - 1] = 0;
}

static void known(struct ln_run *run, struct ln_archive *archive)
{
    size_t count = run->knowns;
    ln__archive_mark(archive, "known");
    ln__archive_count(archive, &count, UINT32_MAX);
    for (size_t i = 0; i < count && !archive->error; i++) {
        struct ln__known entry = archive->reading ? (struct ln__known){0} : run->known[i];
        ln_archive_blob(archive, &entry.blob);
        ln_archive_blob(archive, &entry.base);
        ln_archive_u64(archive, &entry.version);
        ln__archive_u32(archive, &entry.client);
        if (!archive->reading)
            continue;
        if (!archive->error && (!entry.blob || entry.client >= run->clients))
            ln__archive_fail(archive, LN_ECORRUPT, "an update of nobody");
        int error = archive->error ? LN_OK : ln__run_know(run, &entry);
        if (error)
            ln__archive_fail(archive, error, "no memory");
        ln__blob_unref(entry.blob);
        ln__blob_unref(entry.base);
    }
}

/* 64 to a word. */
static void flags(struct ln_archive *archive, bool *flag, size_t count)
{
    for (size_t at = 0; at < count; at += 64) {
        uint64_t word = 0;
        for (size_t b = 0; b < 64 && at + b < count; b++)
            word |= (uint64_t)flag[at + b] << b;
        ln_archive_u64(archive, &word);
        for (size_t b = 0; b < 64 && at + b < count; b++)
            flag[at + b] = word >> b & 1;
    }
}

static void clients(struct ln_run *run, struct ln_archive *archive)
{
    size_t n = run->clients;
    ln__archive_mark(archive, "clients");
    ln_archive_bytes(archive, run->busy, n * sizeof *run->busy);
    ln_archive_bytes(archive, run->turn, n * sizeof *run->turn);
    ln_archive_bytes(archive, run->keep_round, n * sizeof *run->keep_round);
    ln_archive_bytes(archive, run->traffic, n * sizeof *run->traffic);
    flags(archive, run->took_part, n);
    ln_archive_bytes(archive, run->lost, sizeof run->lost);
    flags(archive, run->lost_by, n);
    size_t keeps = 0;
    for (size_t c = 0; c < n; c++)
        keeps += run->keep[c] != NULL;
    ln__archive_count(archive, &keeps, n);
    uint32_t at = 0;
    for (size_t k = 0; k < keeps && !archive->error; k++) {
        while (!archive->reading && !run->keep[at])
            at++;
        ln__archive_u32(archive, &at);
        if (at >= n || (archive->reading && run->keep[at]))
            ln__archive_fail(archive, LN_ECORRUPT, "a keep of nobody");
        else
            ln_archive_blob(archive, &run->keep[at]);
        if (archive->reading && !archive->error && run->keep[at]) {
            run->kept_bytes += ln__blob_size(run->keep[at]);
            run->kept_clients++;
        }
        at++;
    }
}

/* Frozen parts go on with the weights the run began with, which are read from their file again. */
static void origin(struct ln_run *run, struct ln_archive *archive)
{
    struct ln__sha256 found = run->origin;
    ln_archive_bytes(archive, found.byte, sizeof found.byte);
    if (!archive->error && memcmp(found.byte, run->origin.byte, sizeof found.byte) != 0)
        ln__archive_fail(archive, LN_ECORRUPT, "model.init.from holds other weights than when the run began");
}

static void all(struct ln_run *run, struct ln_archive *archive)
{
    uint64_t format = FORMAT, state = run->env->state, n = run->clients, finished = run->finished, untested = run->untested;
    ln__archive_mark(archive, "linnet");
    ln_archive_u64(archive, &format);
    ln_archive_u64(archive, &state);
    ln_archive_u64(archive, &n);
    if (format != FORMAT || state != run->env->state || n != run->clients)
        ln__archive_fail(archive, LN_ECORRUPT, "it is of another recipe or another version of the program");
    origin(run, archive);
    ln_archive_u64(archive, &finished);
    ln_archive_u64(archive, &untested);
    run->finished = finished != 0;
    run->untested = untested != 0;
    ln_archive_u64(archive, &run->version);
    ln_archive_real(archive, &run->progress);
    ln_archive_u64(archive, &run->next_task);
    ln_archive_u64(archive, &run->next_sum);
    ln_archive_u64(archive, &run->under_way);
    ln_archive_blob(archive, &run->model);
    if (!archive->error && !run->model)
        ln__archive_fail(archive, LN_ECORRUPT, "it holds no model");
    books(run, archive);
    for (size_t i = 0; i < run->env->recipe->eval.widths.count && i < LN__WIDTHS; i++)
        ln_archive_real(archive, &run->total.width[i]);
    if (run->overlap) {
        ln_archive_real(archive, &run->overlap_clients);
        ln_archive_real(archive, &run->overlap_rounds);
        ln__overlap_archive(run->overlap, archive);
    }
    known(run, archive);
    clients(run, archive);
    ln__archive_mark(archive, "fleet");
    if (!archive->error) {
        int error = run->on->archive(run->fleet, archive);
        if (error)
            ln__archive_fail(archive, error, "the fleet's part");
    }
    ln__archive_mark(archive, "strategy");
    if (!archive->error && run->strategy->archive) {
        int error = run->strategy->archive(run->self, run->options, run, archive);
        if (error)
            ln__archive_fail(archive, error, "the strategy's part");
    }
    ln__archive_mark(archive, "end");
}

/* Keeps the last record. */
struct last {
    struct ln__buf record;
    bool found;
};

static int visit(void *context, const void *data, size_t size)
{
    struct last *last = context;
    ln__buf_clear(&last->record);
    last->found = true;
    return ln__buf_add(&last->record, data, size);
}

/* A run that shall go on, without a whole record. It may have been killed before or in its first one, but not before it had a journal. */
static int without_record(const struct ln_run *run, bool had_journal)
{
    char path[PATH_MAX];
    if (ln__file_join(path, sizeof path, run->args->dir, "metrics.jsonl") || !ln__file_exists(path))
        return LN_OK;
    if (!had_journal)
        return ln_fault_set(run->fault, LN_ECORRUPT, "%s/checkpoint/journal: lost, so the run cannot go on; --force starts anew", run->args->dir);
    ln__log(LN__LOG_WARN, "%s: no checkpoint is complete; the run begins anew", run->args->dir);
    return LN_OK;
}

int ln__checkpoint_open(struct ln_run *run, bool *found)
{
    *found = false;
    if (!run->args->dir)
        return LN_OK;
    if (run->env->recipe->model.init.kind != LN__INIT_RANDOM)
        ln__sha256_of(run->env->initial, run->env->state * sizeof(float), &run->origin);
    char folder[PATH_MAX], path[PATH_MAX];
    if (ln__file_join(folder, sizeof folder, run->args->dir, "checkpoint") || ln__file_join(path, sizeof path, folder, "journal"))
        return ln_fault_set(run->fault, LN_EINVALID, "%.100s: the path is too long", run->args->dir);
    int error = ln__file_mkdirs(folder, run->fault);
    if (error)
        return error;
    struct stat about;
    bool had_journal = stat(path, &about) == 0 && about.st_size > 0;
    struct last last = {0};
    ln__buf_init(&last.record, RECORD_MAX);
    error = ln__journal_open(path, visit, &last, NULL, &run->journal, run->fault);
    if (!error && run->args->resume && !last.found)
        error = without_record(run, had_journal);
    if (!error && last.found && run->args->resume) {
        struct ln_archive archive;
        ln__archive_read(&archive, run->env->blobs, last.record.data, last.record.size, run->fault);
        all(run, &archive);
        error = archive.ids.size ? ln__buf_add(&run->saved, archive.ids.data, archive.ids.size) : LN_OK;
        int ended = ln__archive_end(&archive);
        error = ended ? ended : error;
        *found = true;
    }
    ln__buf_fini(&last.record);
    return error;
}

static int write_record(struct ln_run *run, const struct ln__buf *record)
{
    if (ln__journal_size(run->journal) <= SLACK + 2 * (uint64_t)record->size) {
        int error = ln__journal_append(run->journal, record->data, record->size, NULL);
        if (error != LN_EFULL)
            return error ? ln_fault_set(run->fault, error, "%s: the checkpoint's record cannot be written", run->args->dir) : LN_OK;
        /* perhaps without the older records */
    }
    return ln__journal_compact(run->journal, record->data, record->size, run->fault);
}

/* Takes away what no record needs: after success all but the new one's blobs, after a failure that left the journal as it was all but the old one's. */
static int tidy(struct ln_run *run, struct ln_fault *fault)
{
    return ln__blobs_gc(run->env->blobs, (const struct ln__blob_id *)(const void *)run->saved.data, run->saved.size / sizeof(struct ln__blob_id),
                        fault);
}

static int save(struct ln_run *run, struct ln__buf *record, struct ln_archive *archive)
{
    int error = ln__journal_sound(run->journal, run->fault);
    if (error) /* before blobs are written that could not be taken away again */
        return error;
    all(run, archive);
    error = archive->error ? archive->error : ln__output_sync(run);
    if (!error)
        error = write_record(run, record);
    if (error) {
        if (ln__journal_sound(run->journal, NULL) == LN_OK && tidy(run, NULL))
            ln__log(LN__LOG_DEBUG, "%s: blobs of a checkpoint that failed are left", run->args->dir);
        return error;
    }
    ln__buf_clear(&run->saved);
    error = archive->ids.size ? ln__buf_add(&run->saved, archive->ids.data, archive->ids.size) : LN_OK;
    return error ? error : tidy(run, run->fault);
}

int ln__checkpoint_save(struct ln_run *run)
{
    run->saved_at = ln__clock_mono();
    if (!run->journal)
        return LN_OK;
    ln__run_settle(run); /* what the last event brought and nobody kept */
    struct ln__buf record;
    struct ln_archive archive;
    ln__buf_init(&record, RECORD_MAX);
    ln__archive_write(&archive, run->env->blobs, &record, run->fault);
    int error = save(run, &record, &archive);
    int ended = ln__archive_end(&archive);
    ln__buf_fini(&record);
    return error ? error : ended;
}
