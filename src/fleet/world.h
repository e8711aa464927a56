/* The simulated world: which device every client has, over which path, and how that changes. Pure: whatever is asked for a client,
 * a turn and a time is a function of the recipe and the seed, so nothing of it has to be kept for a client, or saved. */
#ifndef LINNET_FLEET_WORLD_H
#define LINNET_FLEET_WORLD_H

#include "fleet/timeline.h"

/* One row of fleet.devices: a class of clients. */
struct ln__device_class {
    const char *profile, *path;
    int64_t count;             /* 0: all that are left over */
    double gflops;             /* 0: the profile's */
    double up_mbit, down_mbit; /* 0: the path's */
    double rtt_ms;             /* below 0: the path's */
    double compute_s;          /* above 0: a task's computing takes that long for an epoch, whatever its work */
    struct ln_reals extra_s;   /* none, or least and most: drawn once a client, added to every task */
    double jitter;             /* standard deviation of the logarithm of a task's duration */
    double failure;            /* probability that the device vanishes in the middle of a task */
};
extern const struct ln_option ln__device_class_options[];

struct ln__world_options {
    struct ln_rows devices; /* of struct ln__device_class */
    int assign;             /* order | random | label */
    struct {
        double gflops;
        int64_t slots; /* tasks that share it at a time; 0: train.sample */
    } server;
    struct {
        double every_s, every_rounds, fraction; /* that part of the clients draws its class anew; by time or by the run's progress */
    } change;
};

struct ln__world;
int ln__world_new(const struct ln__world_options *options, const struct ln__env *env, struct ln__world **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__world_free(struct ln__world *world);

/* How long a task takes that is dispatched at task->dispatched_s and leaves that trace; fills the ledger (or NULL). With a least trace: a lower
 * bound. *fails_s (or NULL): when above 0, the device vanishes that long after the dispatch instead. */
double ln__world_takes(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, struct ln__ledger *ledger,
                       double *fails_s);
/* The ledger of such a task that ends until_s after its dispatch, whatever is left. */
void ln__world_spent(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, double until_s,
                     struct ln__ledger *ledger);
/* When the lanes of such a task were busy, on the run's clock. */
void ln__world_spans(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, const struct ln__watch *watch);
/* Seconds the server needs for the trace of a gather; fills the ledger. */
double ln__world_server_takes(const struct ln__world *world, const struct ln__trace *trace, struct ln__ledger *ledger);
/* The row of fleet.devices that client belongs to at that time and progress of the run (rounds). */
size_t ln__world_class(const struct ln__world *world, uint32_t client, double time_s, double progress);

#endif
