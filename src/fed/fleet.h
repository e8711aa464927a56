/* Fleets: the place where tasks run, and whose clock counts. The loop (fed/loop.c) talks to one through this table; a fleet is a
 * plug-in of src/fleet. All calls come from the loop's thread; only next may block.
 *
 * Ownership: dispatch takes a reference of its own to the task's blobs; the blobs of an event pass to the caller. */
#ifndef LINNET_FED_FLEET_H
#define LINNET_FED_FLEET_H

#include "fed/method.h"

struct ln__fleet; /* the plug-in's own struct, which begins with: */
struct ln__fleet_head {
    const struct ln__fleet_plugin *plugin;
    const struct ln__env *env;
};

/* What a task cost. One that is refused costs all it took; one that is late, or whose device has vanished, what was done by then; one that was cancelled,
 * nothing. */
struct ln__ledger {
    uint64_t bytes_up, bytes_down, wire_up, wire_down; /* payload and with envelopes */
    uint64_t device_macs, server_macs;
    double device_s, up_s, down_s, server_s, idle_s; /* where its time went */
    double joules;                                   /* the device's */
};

/* When the parts of a task were busy, for pictures. */
enum ln__lane { LN__LANE_DEVICE, LN__LANE_UP, LN__LANE_SERVER, LN__LANE_DOWN };
struct ln__watch {
    void (*span)(void *context, enum ln__lane lane, double from_s, double to_s);
    void *context;
};

struct ln__fleet_event {
    enum ln_event_kind kind;
    double time_s;
    uint64_t tag;         /* ALARM, SUM */
    struct ln__task task; /* DONE, FAILED, CANCELLED: as dispatched; its references pass to the caller */
    struct ln__result result;
    struct ln__ledger ledger; /* also of a SUM: the gather's */
    double estimate_s;        /* PROBE */
    uint32_t client;          /* ROSTER */
    bool available;
    struct ln_sum_id sum; /* SUM */
    struct ln_blob *model;
};

/* What is added to a sum. */
struct ln__sum_entry {
    struct ln_blob *base; /* an update: the model it started from; NULL: the blob is a model */
    struct ln_blob *keep; /* the client's committed keep, for the method's gather; or NULL */
    uint32_t client;
    double coefficient;
};

struct ln__fleet_plugin {
    struct ln_plugin plugin;
    int (*open)(const void *options, const struct ln__env *env, struct ln__fleet **out, struct ln_fault *fault);
    void (*close)(struct ln__fleet *fleet); /* drops what is under way */
    /* What open would refuse, for trials. NULL: nothing. */
    int (*check)(const void *options, const struct ln__env *env, struct ln_fault *fault);
    /* What a process does that another one leads (ranks 1.. under mpirun), in place of open: until that one ends. NULL: fleets of one process. */
    int (*serve)(const void *options, const struct ln__env *env, struct ln_fault *fault);
    struct ln__pool *(*pool)(struct ln__fleet *fleet); /* threads the loop may use, for evaluation and folds; may be NULL */

    int (*dispatch)(struct ln__fleet *fleet, const struct ln__task *task); /* later exactly one DONE, FAILED or CANCELLED */
    int (*cancel)(struct ln__fleet *fleet, struct ln_task_id id);          /* of an unknown or finished task: nothing */
    int (*alarm)(struct ln__fleet *fleet, double at_s, uint64_t tag);      /* a time in the past comes at once */
    /* The earliest event, by (time, kind of event, task id or tag). LN_ENOENT: nothing is under way, so nothing will ever come. LN_EINTERRUPTED: a
     * signal asked to stop (*stop became true). */
    int (*next)(struct ln__fleet *fleet, const volatile int *stop, struct ln__fleet_event *event);
    double (*now)(struct ln__fleet *fleet);
    /* Changes with the clock; the ROSTER event comes at the same moment, perhaps after others. */
    bool (*present)(struct ln__fleet *fleet, uint32_t client);
    /* The clients whose ROSTER event is still to come at this moment, one by one; false: there are no more. NULL: there never are. */
    bool (*due)(struct ln__fleet *fleet, size_t at, uint32_t *client);

    /* Whether the caller's reference is the last one, those aside by which the fleet finds what it has elsewhere; if so it has let go of that. NULL:
     * ln__blob_sole. */
    bool (*sole)(struct ln__fleet *fleet, struct ln_blob *blob);

    /* The fold, where the updates lie. add checks the whole blob first: LN_EREFUSED adds nothing. close is answered by a SUM event, after the
     * method's gather where there is one; progress is the run's, for its learning rate. */
    int (*sum_open)(struct ln__fleet *fleet, double bound, struct ln_blob *range_of, struct ln_sum_id id);
    int (*sum_add)(struct ln__fleet *fleet, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry);
    int (*sum_close)(struct ln__fleet *fleet, struct ln_sum_id id, double divisor, double progress, uint64_t tag);
    int (*sum_drop)(struct ln__fleet *fleet, struct ln_sum_id id); /* ends it without a model and without an event */

    void (*spans)(struct ln__fleet *fleet, const struct ln__task *task, const struct ln__trace *trace,
                  const struct ln__watch *watch);                        /* NULL: unknown */
    int (*archive)(struct ln__fleet *fleet, struct ln_archive *archive); /* clock, alarms, unfinished tasks, open sums, closed but undelivered ones */
    double (*parallelism)(struct ln__fleet *fleet);                      /* mean number of tasks that ran at a time */
};

#endif
