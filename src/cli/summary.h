/* What several runs come to: their curves, mean and spread over the seeds, as compare.json and as a table. */
#ifndef LINNET_CLI_SUMMARY_H
#define LINNET_CLI_SUMMARY_H

#include "cli/grid.h"

struct ln__summary;
#define LN__TARGETS 8 /* at most */

/* target: accuracies 0..1 to which the time is told (may be NULL); grid and target are borrowed. */
int ln__summary_new(const struct ln__grid *grid, unsigned seeds, const double *target, size_t targets, struct ln__summary **out,
                    struct ln_fault *fault) LN_MUST_CHECK;
void ln__summary_free(struct ln__summary *summary);

/* A finished run of a cell, from its folder. */
int ln__summary_add(struct ln__summary *summary, size_t cell, const struct ln__recipe *recipe, const char *dir, struct ln_fault *fault) LN_MUST_CHECK;

/* dir/compare.json:
 *
 *     name, program, keys [], seeds, cells [{label, values {key: value}, folder, rounds, horizon_s,
 *         runs [{seed, dir (below DIR), ended_by, rows [a line of metrics.jsonl], late {accuracy}}],
 *         checkpoints [{at (share), round {mean, std}, accuracy {mean, std}, ...}], end {the same},
 *         late {accuracy {mean, std}}, targets [{target, n, time_s {mean, std}, bytes_up {mean, std}, ...}]}]
 *
 * A checkpoint is each run's first test at or after that share of its rounds (of its time, where the recipe has a horizon), a target its first test
 * of at least that accuracy, over the runs that came so far (n); late is the mean over the tests of a run's last quarter; std is over the seeds,
 * n - 1 in the divisor, null for one. */
int ln__summary_write(struct ln__summary *summary, const char *dir, struct ln_fault *fault) LN_MUST_CHECK;
/* A row a cell; or, with --json, compare.json. */
int ln__summary_table(struct ln__summary *summary, const struct ln__cli *cli) LN_MUST_CHECK;

#endif
