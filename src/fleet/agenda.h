/* Everything that will happen in a simulated fleet: sums that were closed, alarms, tasks, clients that come and go, in a heap ordered by (time, kind, number).
 * An item stands in one heap of all, and while it is a task that waits to be computed, in a second one of those. */
#ifndef LINNET_FLEET_AGENDA_H
#define LINNET_FLEET_AGENDA_H

#include "base/pool.h"
#include "fed/fleet.h"

enum ln__item_state { WAITING, SUBMITTED, COMPUTED, CANCELLED };
enum ln__item_rank { RANK_SUM, RANK_ALARM, RANK_TASK, RANK_ROSTER }; /* what ends when its device leaves ends before it is told */

struct ln__item {
    struct ln__job job; /* first: the pool gives it back */
    struct ln__fleet *fleet;
    double time_s; /* of the event, or the earliest it can be */
    enum ln__item_rank rank;
    uint64_t number; /* among items of that time and rank */
    size_t at[2];    /* place in either heap */
    size_t run;      /* place among the running */
    enum ln__item_state state;
    uint64_t tag;
    struct ln__task task;
    struct ln__result result;
    struct ln__ledger ledger;
    double estimate_s;
    double leaves_s; /* when the device is away next */
    double busy_s;   /* of the thread that computed it */
    struct ln_sum_id sum;
    struct ln_blob *model;
    unsigned place; /* the rank that computes it */
    bool came;      /* from another rank */
};

/* A binary heap; which of the item's places is its own. */
struct ln__agenda {
    struct ln__item **item;
    size_t count, room;
    enum { ALL, WAITING_ONLY } kind;
};

int ln__agenda_add(struct ln__agenda *agenda, struct ln__item *item) LN_MUST_CHECK; /* LN_ENOMEM */
void ln__agenda_remove(struct ln__agenda *agenda, size_t at);
void ln__agenda_moved(struct ln__agenda *agenda, size_t at); /* the item there has another time */
void ln__item_free(struct ln__item *item);                   /* and drops what it holds; NULL is fine */

#endif
