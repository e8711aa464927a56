/* The loop: the one thread that changes a run. It hands events to the strategy in order of (time, id), commits keeps, keeps the ledger, publishes,
 * evaluates, writes metrics and checkpoints. A checkpoint falls between two events; resuming from any of them gives the same bits. */
#ifndef LINNET_FED_LOOP_H
#define LINNET_FED_LOOP_H

#include "fed/fleet.h"

/* Accuracy over the clients, each counted once. A client's is that of the test samples weighted by the labels it holds: the sum over classes of its share of
 * the class times the accuracy within the class; classes the test split lacks are left out. Clients without samples are left out. */
struct ln__spread {
    double mean, median, worst10; /* worst10: mean of the worst tenth, one at least */
};

#define LN__WIDTHS 8 /* of the model that are tested too, at most (recipe: eval.widths) */

/* A line of metrics.jsonl; the last one is the summary's. */
struct ln__metrics {
    double round, time_s, wall_s, accuracy, loss;
    uint64_t version;
    uint64_t bytes_up, bytes_down, wire_up, wire_down; /* cumulative */
    uint64_t device_macs, server_macs;
    double joules, parallelism;
    struct ln__spread client; /* with eval.per_client */
    double width[LN__WIDTHS]; /* accuracy, of the widths that eval.widths names */
    uint64_t tasks, dropped, refused;
};

struct ln__loop_args {
    const struct ln__env *env;
    struct ln__fleet *fleet;
    const char *dir; /* the run directory; NULL: nothing is written */
    bool resume;
    const volatile int *stop; /* set by a signal: save and return LN_EINTERRUPTED */
    bool quiet;
    void (*evaluated)(void *context, const struct ln__metrics *now); /* after each test; or NULL */
    void *context;
    struct ln_blob **model; /* or NULL: gets a reference to the newest model when the loop ends, also where it fails; NULL where there is none */
};
int ln__loop_run(const struct ln__loop_args *args, struct ln__metrics *last, struct ln_fault *fault) LN_MUST_CHECK;

/* Accuracy and mean loss of a state on the test split. */
struct ln__evaluation {
    double accuracy, loss;
    struct ln__spread client; /* with eval.per_client */
    double width[LN__WIDTHS]; /* accuracy */
};

#endif
