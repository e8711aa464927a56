/* Inside of a run: what the strategy's questions (fed/run.c), the loop (fed/loop.c), its files (fed/output.c) and its checkpoints
 * (fed/checkpoint.c) share. Touched by the loop's thread only. */
#ifndef LINNET_FED_RUN_H
#define LINNET_FED_RUN_H

#include "fed/archive.h"
#include "fed/evaluate.h"
#include "fed/loop.h"
#include "fed/overlap.h"
#include "store/journal.h"

/* A blob the strategy may hold on to: an update with the model it started from and whose it is, or a published model with its version. Forgotten when
 * nobody else holds it. */
struct ln__known {
    struct ln_blob *blob, *base; /* base NULL: a model */
    uint64_t version;
    uint32_t client;
};

struct ln__note {
    char name[32];
    double value;
};

#define LN__GANTT_ROUNDS 3 /* of which gantt.jsonl tells when devices, links and server were busy, */
#define LN__GANTT_TASKS 4  /* for the first so many tasks to end */

struct ln_run {
    const struct ln__env *env;
    struct ln__fleet *fleet;
    const struct ln__fleet_plugin *on;
    const struct ln_strategy *strategy;
    const void *options;
    void *self;
    const struct ln__loop_args *args;
    struct ln_fault *fault;
    struct ln__arena memory;

    /* the model */
    struct ln_blob *model;
    uint64_t version;
    double progress;
    bool finished;
    struct ln__known *known;
    size_t knowns, known_room;
    struct ln_blob **fresh; /* pinned until the strategy's call returns */
    size_t freshs, fresh_room;

    /* the clients */
    uint32_t clients;
    uint64_t *busy;        /* [clients] the task it works on; 0: none */
    uint32_t *turn;        /* [clients] tasks it was given */
    struct ln_blob **keep; /* [clients] */
    uint64_t *keep_round;  /* [clients] the round it comes from */
    uint64_t kept_bytes, kept_clients;
    uint64_t (*traffic)[2]; /* [clients] payload bytes up and down */
    bool *took_part;        /* [clients] */
    uint32_t *list, *drawn; /* [clients] scratch of available and pick */
    /* Where work does not depend on the round (no method.site), list stays and is mended: those whose state has changed since are noted. */
    size_t listed;
    bool list_stands;
    uint32_t *changed;
    size_t changes;
    uint64_t next_task, next_sum, under_way;

    /* the books; all of it cumulative */
    struct ln__metrics total;
    double device_s, up_s, down_s, server_s, idle_s;
    uint64_t participants;
    double evaluated; /* progress of the last test */
    double best, best_round;
    bool published;                         /* since the last look */
    bool by_clock;                          /* its progress was last shown in seconds of the fleet's clock */
    bool untested;                          /* stopped in the test that was due then: the first thing when the run goes on */
    uint64_t lost[LN_TASK_PROBE + 1];       /* tasks of each kind that have failed in a row since the last version or training */
    bool *lost_by;                          /* [clients] whose they are; */
    bool lost_any;                          /* one of them may be set */
    struct ln__overlap *overlap;            /* NULL: masks are not compared */
    double overlap_clients, overlap_rounds; /* at the last test */
    struct ln__note note[64];
    size_t notes;

    /* outside */
    struct ln__evaluator *evaluator;
    int metrics_file, trace_file, gantt_file; /* -1: none */
    uint64_t metrics_size, trace_size, gantt_size;
    uint64_t drawn_tasks[LN__GANTT_ROUNDS]; /* that are in gantt.jsonl */
    struct ln__journal *journal;
    struct ln__sha256 origin; /* of the weights from a file that the run began with; zeros: from none */
    struct ln__buf saved;     /* struct ln__blob_id of all blobs the last good checkpoint names */
    double wall_before, wall_start, saved_at;
    struct {
        bool checkpoint, metrics, trace, gantt;
    } warned; /* that they cannot be written */
};

/* fed/run.c */
int ln__run_open(struct ln_run *run, const struct ln__loop_args *args, struct ln_fault *fault) LN_MUST_CHECK;
void ln__run_close(struct ln_run *run);
void ln__run_settle(struct ln_run *run);                                           /* after each call of the strategy: unpins, forgets */
int ln__run_know(struct ln_run *run, const struct ln__known *known) LN_MUST_CHECK; /* takes references of its own */
double ln__run_wall(const struct ln_run *run);
void ln__run_changed(struct ln_run *run, uint32_t client); /* it has become busy or idle, it came or went */
/* Makes keep (a reference that passes; NULL: none) the client's, then drops those of the oldest rounds (of a round, the lowest client first) until all
 * fit env->keep_max. */
void ln__run_keep(struct ln_run *run, uint32_t client, uint64_t round, struct ln_blob *keep);

/* fed/loop.c */
double ln__run_time(const struct ln_run *run);          /* of the fleet's clock, never beyond the recipe's horizon */
const char *ln__run_ended_by(const struct ln_run *run); /* "rounds", "accuracy", "bytes" or "time" */

/* fed/output.c */
int ln__output_open(struct ln_run *run) LN_MUST_CHECK; /* cuts the files to the sizes the run knows */
void ln__output_close(struct ln_run *run);
void ln__output_metrics(struct ln_run *run);
void ln__output_gantt(struct ln_run *run, const struct ln__fleet_event *event); /* of a task that is done */
int ln__output_sync(struct ln_run *run) LN_MUST_CHECK;
int ln__output_end(struct ln_run *run) LN_MUST_CHECK; /* model.safetensors, summary.json */

/* fed/checkpoint.c */
int ln__checkpoint_open(struct ln_run *run, bool *found) LN_MUST_CHECK; /* reads the last one where the loop is to resume */
int ln__checkpoint_save(struct ln_run *run) LN_MUST_CHECK;

#endif
