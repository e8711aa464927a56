/* Inside of the simulated fleet (fleet/fleets/sim.c, which says how it works): its state, and what the parts of its source ask of one another. */
#ifndef LINNET_FLEET_SIM_H
#define LINNET_FLEET_SIM_H

#include "fleet/agenda.h"
#include "fleet/presence.h"
#include "fleet/ranks.h"
#include "fleet/sums.h"
#include "fleet/world.h"

struct ln__sim_options {
    int64_t threads, window;
    const char *trace;
    struct ln__world_options world;
};

struct ln__fleet {
    struct ln__fleet_head head;
    const struct ln__sim_options *options;
    struct ln__pool *pool;
    struct ln__world *world;
    struct ln__sums *sums;
    struct ln__presence *presence; /* NULL: all are always there */
    size_t present_at;             /* rows told; the next one is in the heap */
    size_t present_to;             /* rows whose moment has come, told or not */
    bool *away;                    /* [clients] by the latter */

    struct ln__ranks *ranks;    /* NULL: this process is all */
    size_t *load;               /* [ranks] tasks submitted there */
    struct ln__worker **worker; /* [threads], made at first use by the thread itself */
    struct ln__worker *own;     /* the loop's, for gathers */
    struct ln__agenda all;      /* everything to come */
    struct ln__agenda waiting;  /* of these, the tasks that are not submitted */
    struct ln__item **running;  /* of these, the tasks that are submitted and not settled; any order */
    size_t runs, runs_room;
    size_t ahead, window; /* submitted or computed, and not delivered */
    size_t busy;          /* submitted and not computed, to keep all threads at work */
    const volatile int *stop;
    double now_s, busy_s, began;
    uint64_t alarms, closes; /* numbers of the next ones */
};

/* ---- fleets/sim.c ---- */
/* A new item of the agenda; NULL: no memory. */
struct ln__item *ln__sim_item(struct ln__fleet *fleet, double time_s, enum ln__item_rank rank, uint64_t number);
int ln__sim_dispatch(struct ln__fleet *fleet, const struct ln__task *task) LN_MUST_CHECK;
int ln__sim_cancel(struct ln__fleet *fleet, struct ln_task_id id) LN_MUST_CHECK;
int ln__sim_tell_rows(struct ln__fleet *fleet, size_t told) LN_MUST_CHECK; /* of the trace; the next one is something to come */

/* ---- sim_compute.c: tasks become results, here or on other ranks ---- */
int ln__sim_submit(struct ln__fleet *fleet, struct ln__item *item) LN_MUST_CHECK; /* one that waits */
/* Waits for one that is submitted. LN_EINTERRUPTED: a rank that has died never answers, but then mpirun asks to stop. */
int ln__sim_await(struct ln__fleet *fleet, struct ln__item *item) LN_MUST_CHECK;
int ln__sim_take_from_ranks(struct ln__fleet *fleet) LN_MUST_CHECK;    /* what has come from there */
void ln__sim_settle(struct ln__fleet *fleet, struct ln__item *item);   /* its real time takes the place of its earliest one */
void ln__sim_settle_done(struct ln__fleet *fleet);                     /* all that are computed */
void ln__sim_put_back(struct ln__fleet *fleet, struct ln__item *item); /* a stop came while it ran: it waits again, as if it had not begun */
void ln__sim_unlist(struct ln__fleet *fleet, struct ln__item *item);   /* it runs no longer */

/* ---- sim_archive.c ---- */
int ln__sim_archive(struct ln__fleet *fleet, struct ln_archive *archive) LN_MUST_CHECK;

#endif
