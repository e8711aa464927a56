/* A run's metrics, as commands print them. */
#ifndef LINNET_CLI_METRICS_H
#define LINNET_CLI_METRICS_H

#include "cli/cli.h"

/* The evaluations in metrics.jsonl as a table, at most `most` of them, evenly chosen, and how many those are; JSON holds all. */
int ln__metrics_table(const struct ln__cli *cli, const char *dir, size_t most, struct ln_fault *fault) LN_MUST_CHECK;

/* What ended the run, from summary.json: "stop.accuracy", "stop.bytes_mb" or "stop.time_s"; NULL where it was its last round. */
const char *ln__metrics_ended(const char *dir);

#endif
