/* Ranks: processes under mpirun (Open MPI) that share the simulated fleet's work. Rank 0 runs the loop and is the only one that decides anything; the others
 * train what they are sent, keep the updates they made, and add them up where they lie.
 *
 *     rank 0                                   rank r
 *     model ------------- MPI_Bcast ---------> models
 *     task, keep -------------------------->   trains on its threads
 *     stand-in of the update <------------- samples, loss, trace, keep; the update stays
 *     "add task 17 to sum 3, times 60" ---->   adds to its part of the sum
 *     sum's end <--- MPI_Reduce, MPI_SUM, int64 --- parts
 *
 * Integer sums make the result independent of the number of ranks. A stand-in is a blob of a few bytes that has the update's place in the loop's books; when
 * nobody holds it any more, or only the loop that asks (ln__ranks_sole), the update goes too, and models likewise. Each rank has the data set and one copy of every model in use. All calls come from one thread a process.
 *
 * A rank that dies: mpirun ends all others; rank 0 saves if it can, and --resume goes on from the last checkpoint, on any number of ranks. */
#ifndef LINNET_FLEET_RANKS_H
#define LINNET_FLEET_RANKS_H

#include "fleet/sums.h"

/* Of this process: 0 also outside of mpirun. Costs nothing: mpirun says it in the environment. */
unsigned ln__ranks_number(void);
unsigned ln__ranks_total(void);      /* 1 outside of mpirun */
const char *ln__ranks_version(void); /* of Open MPI; NULL: built without */

/* ---- rank 0 ---- */
struct ln__ranks;
/* *out NULL: there is one rank only. LN_EUNSUPPORTED: under mpirun, but built without. stop: see ln__fleet_plugin.next, may be set later. */
int ln__ranks_open(const struct ln__env *env, struct ln__ranks **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__ranks_close(struct ln__ranks *ranks); /* the others end */
void ln__ranks_stop_at(struct ln__ranks *ranks, const volatile int *stop);
unsigned ln__ranks_count(const struct ln__ranks *ranks); /* 1 for NULL */

int ln__ranks_submit(struct ln__ranks *ranks, unsigned rank, const struct ln__task *task) LN_MUST_CHECK;
/* A result that has come, as ln__task_run and ln__result_check left it but for the update, which is a stand-in. LN_ENOENT: none has. Others: a rank is in
 * trouble. */
int ln__ranks_take(struct ln__ranks *ranks, struct ln_task_id *id, struct ln__result *result, double *busy_s, struct ln_fault *fault) LN_MUST_CHECK;
void ln__ranks_rest(void); /* before the next look: some microseconds of sleep */

/* Whether the blob is a stand-in; then its update is added where it lies. */
bool ln__ranks_hold(const struct ln__ranks *ranks, const struct ln_blob *blob);
/* Whether nobody but the caller holds the blob, other ranks' copies aside, which then go: see ln__fleet_plugin.sole. */
bool ln__ranks_sole(struct ln__ranks *ranks, struct ln_blob *blob);
int ln__ranks_add(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, struct ln_blob *blob,
                  const struct ln__sum_entry *entry) LN_MUST_CHECK;
/* Brings the parts to rank 0's sum. end: there will be no more. LN_EIO: a rank does not answer. */
int ln__ranks_collect(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, bool end, struct ln_fault *fault) LN_MUST_CHECK;

int ln__ranks_collect_all(struct ln__ranks *ranks, struct ln__sums *sums) LN_MUST_CHECK; /* of all open sums */

struct ln__ranks_times {
    double broadcast_s, reduce_s; /* seconds rank 0 spent in them */
    uint64_t broadcasts, reduces;
};
void ln__ranks_times(const struct ln__ranks *ranks, struct ln__ranks_times *out);

/* ---- the others ---- */
/* Trains on so many threads until rank 0 ends. */
int ln__ranks_serve(const struct ln__env *env, unsigned threads, struct ln_fault *fault) LN_MUST_CHECK;

/* At the program's end. */
void ln__ranks_end(void);

#endif
