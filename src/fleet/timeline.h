/* From what happened to how long it took: a task's trace laid over a device, a path and a share of the server.
 *
 *     device   |work|work      |wait|work|        wait for a pull or a call; a post goes on beside the work
 *     up            |post|call |                  one transfer at a time, in order
 *     server                |serve|               one request of this task at a time
 *     down                        |reply|
 *
 * Pure arithmetic in double, always in the same order: the same trace gives the same bits everywhere. A trace that is nowhere larger never ends
 * later, so the timeline of a task's least trace is a lower bound of its own. */
#ifndef LINNET_FLEET_TIMELINE_H
#define LINNET_FLEET_TIMELINE_H

#include "fed/fleet.h"
#include "fleet/profiles.h"

struct ln__place {
    double gflops;        /* of the device */
    double server_gflops; /* the share one task gets */
    struct ln__path path;
    double idle_w, compute_w, network_w;
};

/* Seconds from the start until the device has nothing left to do and the server has all it sent, and worked on it. Fills the
 * ledger (which may be NULL): bytes, MACs, where the time went, joules. Transfers take the wire's bytes. idle_s is when the device neither
 * works nor transfers. */
double ln__timeline(const struct ln__place *place, const struct ln__trace *trace, struct ln__ledger *ledger);
/* The same of a task that ends until_s seconds after its start, whatever is left: the ledger has what was done by then. Of what is under way at that moment,
 * computing or a transfer, it has the share that has passed; whole bytes and multiply-adds, rounded down. The seconds returned are those of the whole. */
double ln__timeline_until(const struct ln__place *place, const struct ln__trace *trace, double until_s, struct ln__ledger *ledger);
/* The same as the first, and says (where watch is not NULL) when each lane was busy, in seconds from the start; a lane's spans come in order. */
double ln__timeline_watch(const struct ln__place *place, const struct ln__trace *trace, const struct ln__watch *watch, struct ln__ledger *ledger);

#endif
