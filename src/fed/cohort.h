/* A synchronous round inside a group: some members train from the newest model, their results are folded as they arrive, weighted by their samples, and
 * when the last one has answered or failed the sum is closed.
 *
 *     IDLE --begin--> TRAINING --last answer--> SUMMING --the strategy takes the SUM event--> IDLE
 *       ^--------- nobody answered, or all were refused
 *
 * READY and MIXING are left to strategies that keep the group's model for a second fold. A round is finished by whoever answers: failures never hold
 * it up. */
#ifndef LINNET_FED_COHORT_H
#define LINNET_FED_COHORT_H

#include <linnet/strategy.h>

#define LN__GROUPS_MAX 64
#define LN__NO_GROUP UINT32_MAX
#define LN__CLIENT_NONE UINT32_MAX /* the client of draws and of told events that belong to no client */

enum ln__cohort_phase { LN__COHORT_IDLE, LN__COHORT_TRAINING, LN__COHORT_SUMMING, LN__COHORT_READY, LN__COHORT_MIXING };

struct ln__cohort {
    uint64_t phase;   /* enum ln__cohort_phase */
    uint64_t round;   /* rounds begun so far */
    uint64_t version; /* newest when this one began */
    uint64_t picked, waiting, folded;
    uint64_t opened; /* sum is open */
    struct ln_sum_id sum;
    double bound, weight; /* samples asked, samples folded */
    bool uniform;         /* every client counts 1 instead of its samples; set by the strategy before each call, not archived */
};

/* Draws want of the listed clients (which must be available) by stream draw, and gives each a training task: like's mu, epochs, deadline_s and tag; kind,
 * client, round and model are set here. chosen: scratch of want. Stays IDLE where nobody could be asked. */
int ln__cohort_begin(struct ln__cohort *cohort, struct ln_run *run, const struct ln_order *like, const uint32_t *from, size_t from_count, size_t want,
                     uint32_t draw, uint32_t *chosen) LN_MUST_CHECK;

/* One of the cohort's training tasks has come to an end; tag is that of the closed sum. IDLE after the last one where nothing came of any. */
int ln__cohort_take(struct ln__cohort *cohort, struct ln_run *run, const struct ln_event *event, uint64_t tag) LN_MUST_CHECK;

void ln__cohort_archive(struct ln__cohort *cohort, struct ln_archive *archive);

/* The share of a round that this one was: clients asked over train.sample. */
double ln__cohort_progress(const struct ln__cohort *cohort, const struct ln_run *run);

/* ln_run_dispatch for strategies that carry on without a client: *sent is false where it is gone or busy or the run is over. */
int ln__dispatch(struct ln_run *run, const struct ln_order *order, bool *sent) LN_MUST_CHECK;

#endif
