/* A task and what it yields. A task is a pure function of its record, the model blob, the client's data and the client's keep
 * (what its last task left behind): it may run early, twice, or elsewhere. (client, turn) is unique in a run and keys both randomness and
 * idempotency; turn counts the tasks that client was given before, whatever a strategy calls its rounds.
 *
 * Values first, time later: running a task yields values and a trace; the fleet turns the trace into time. */
#ifndef LINNET_FED_TASK_H
#define LINNET_FED_TASK_H

#include "base/rng.h"
#include "fed/env.h"
#include "store/blobs.h"
#include <linnet/strategy.h>

enum ln__site {
    LN__NOWHERE, /* the client has no work in that round: it is not on the roster */
    LN__DEVICE,
    LN__SERVER /* the server works alone on the client's keep; the device idles */
};

struct ln__task {
    struct ln_task_id id; /* from 1, in order of dispatch */
    enum ln_task_kind kind;
    enum ln__site site;
    uint32_t client, round, turn;
    uint32_t epochs;
    double progress; /* of the run in rounds when it was dispatched: the learning-rate schedule's place */
    double mu;
    double dispatched_s, deadline_s;
    uint64_t tag, base_version;
    struct ln_blob *model; /* a reference of the task's */
    struct ln_blob *keep;  /* or NULL */
};

/* What happened, in order; the fleet's clock runs over it. */
enum ln__mark {
    LN__MARK_WORK,  /* the device computes: macs, sparse_macs of them skipped */
    LN__MARK_PULL,  /* the device waits for bytes_down from the server (the model) */
    LN__MARK_POST,  /* bytes_up leave; the device goes on at once; then the server works server_macs on them */
    LN__MARK_CALL,  /* bytes_up, server_macs, bytes_down; the device waits */
    LN__MARK_SERVER /* the server works alone */
};
struct ln__trace_row {
    enum ln__mark mark;
    uint32_t times; /* the row happens that often, one after another (batches of an epoch) */
    uint64_t macs, server_macs;
    uint64_t bytes_up, bytes_down; /* payload */
    uint64_t wire_up, wire_down;   /* with envelopes */
};
struct ln__trace {
    struct ln__trace_row *row; /* equal neighbours are one row with times */
    size_t count, room;
};
int ln__trace_add(struct ln__trace *trace, const struct ln__trace_row *row) LN_MUST_CHECK;
int ln__trace_reserve(struct ln__trace *trace, size_t more) LN_MUST_CHECK; /* the next so many rows allocate nothing */
void ln__trace_fini(struct ln__trace *trace);

struct ln__result {
    int error; /* 0, or why there is no result */
    struct ln_fault fault;
    struct ln_blob *update; /* TRAIN: an update message (fed/update.h); a reference of the result's */
    struct ln_blob *keep;   /* the new keep; NULL keeps the old one */
    bool keep_changed;
    double samples, loss, accuracy;
    struct ln__trace trace;
};
void ln__result_fini(struct ln__result *result);

/* The worker's part: nets, buffers and scratch it uses again from task to task. One a thread; never shared. pool (or NULL) helps inside
 * the kernels of a step. */
struct ln__worker;
int ln__worker_new(const struct ln__env *env, struct ln__pool *pool, struct ln__worker **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__worker_free(struct ln__worker *worker);
/* A task looks at *stop (NULL: never) between two steps and then ends with LN_EINTERRUPTED, as if it had not begun. */
void ln__worker_stop_at(struct ln__worker *worker, const volatile int *stop);

/* Runs a task to its result in this thread: device half, link and server half together. Never fails otherwise than in result->error. */
void ln__task_run(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result);

/* What came of a training task is looked at before anybody else sees it: an update that is not of this task, not finite or out of range becomes
 * result->error LN_EREFUSED. Uses the worker's last state buffer. */
void ln__result_check(struct ln__worker *worker, const struct ln__task *task, struct ln__result *result);

/* What can be said of a task before it has run, by bytes and work. */
enum ln__outlook {
    LN__LEAST, /* no such task undercuts it: the base of the earliest possible completion */
    LN__LIKELY /* what it is to be reckoned with: codecs' bounds, where what they write depends on the values, and the client's own width of the network */
};
int ln__task_foretell(const struct ln__env *env, const struct ln__task *task, enum ln__outlook outlook, struct ln__trace *out) LN_MUST_CHECK;

#endif
