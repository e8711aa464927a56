/* A whole federation, opened and closed in order: blobs, environment, fleet, loop. */
#ifndef LINNET_API_FEDERATION_H
#define LINNET_API_FEDERATION_H

#include "api/rundir.h"
#include "fed/loop.h"

struct ln__federation {
    const struct ln__recipe *recipe;
    const struct ln_catalog *catalog;
    struct ln__rundir folder; /* opened by ln__rundir_open; dir NULL: nothing is written, and only kset counts */
    bool quiet;
    const volatile int *stop;
    void (*evaluated)(void *context, const struct ln__metrics *now);
    void *context;
    float **model; /* or NULL: gets the newest weights, *state floats, ln__mem_free by the caller; NULL where there are none */
    size_t *state;
    bool *saved; /* or NULL: gets whether the folder holds a checkpoint of this run */
};

/* Runs to the end, or until *stop: LN_EINTERRUPTED. Where it ended before its first checkpoint (bad data, parts that do not go together, a full disk) the
 * folder is again as it was. */
int ln__federation_run(const struct ln__federation *federation, struct ln__metrics *last, struct ln_fault *fault) LN_MUST_CHECK;

#endif
