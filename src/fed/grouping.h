/* Groups of clients by latency and by labels: what tifl, fedat, astraea and ecofl share.
 *
 * A census measures everyone who is there by a probe; clients that come later are probed when they come. Tiers are made once the first
 * probes have all come back. */
#ifndef LINNET_FED_GROUPING_H
#define LINNET_FED_GROUPING_H

#include "fed/cohort.h"

/* ---- measures ---- */
/* Kullback-Leibler divergence of the normalised counts from the uniform distribution, in nats: 0 .. ln classes. Negative counts (noise) are
 * zeros; without any, the worst value. */
double ln__kl_uniform(const double *counts, int classes);
/* Jensen-Shannon divergence of two normalised count vectors over ln 2: 0 (equal) .. 1 (nothing in common). Nothing at all has 1. */
double ln__js(const double *a, const double *b, int classes);
/* The client's histogram with negative counts cut off. */
void ln__labels(const struct ln_run *run, uint32_t client, double *counts);

/* Moves to the front of list the `want` clients that go together: the first stays; each next one is that with which the joint labels of those in front come nearest
 * to `all` (least ln__js, the first of equals). scratch: 2 * classes. */
void ln__balance(const struct ln_run *run, uint32_t *list, size_t count, size_t want, const double *all, double *scratch);

/* ---- one-dimensional clusters ---- */
/* Exact k-means of the values (the least sum of squared distances) by dynamic programming; centre[k] ascending. Where there are fewer different values
 * than k, the last centres are repeated from the first ones, and *different says how many differ. count, k > 0. LN_ENOMEM. */
int ln__kmeans_line(const double *value, size_t count, uint32_t k, double *centre, uint32_t *different) LN_MUST_CHECK;

/* ---- census ---- */
struct ln__probing {
    double every_s, deadline_s;
};
/* Its rows in a strategy's option table. */
/* clang-format off */
#define LN__PROBING_OPTIONS(owner, part)                                                                                                            \
    {.key = "probe_every_s", .type = LN_OPT_REAL, .offset = offsetof(owner, part.every_s), .fallback = "30", .min = 1e-3, .max = 1e9,               \
     .help = "seconds between probes of clients that belong to no group (derived)"},                                                                \
    {.key = "probe_deadline_s", .type = LN_OPT_REAL, .offset = offsetof(owner, part.deadline_s), .fallback = "120", .min = 0, .max = 1e9,           \
     .help = "a probe not answered by then has failed: one silent client does not hold up the start; 0: none (derived)"}
/* clang-format on */
#define LN__CENSUS_TAG (UINT64_C(1) << 63) /* of its alarms */
struct ln__census {
    uint64_t clients, waiting, known;
    uint64_t alarmed; /* an alarm is set */
    struct ln__probing probing;
    double *latency;  /* seconds a training task takes; negative: not known */
    uint32_t *member; /* scratch: clients each */
    uint32_t *chosen;
};
int ln__census_init(struct ln__census *census, struct ln_run *run, const struct ln__probing *probing) LN_MUST_CHECK; /* memory only */
int ln__census_ask(struct ln__census *census, struct ln_run *run, uint32_t client) LN_MUST_CHECK; /* probes one client, if it is there and idle */
int ln__census_probe(struct ln__census *census, struct ln_run *run) LN_MUST_CHECK;                /* everyone present whose latency is not known */
/* To be given all events but SUM. Counts the answer to a probe; a client that comes and whose latency is not known is probed. */
int ln__census_event(struct ln__census *census, struct ln_run *run, const struct ln_event *event) LN_MUST_CHECK;
void ln__census_archive(struct ln__census *census, struct ln_archive *archive); /* after ln__census_init, when reading */

/* ---- tiers: equal numbers of clients by latency, 0 the fastest ---- */
struct ln__tiers {
    struct ln__census census;
    uint64_t count; /* 0 until the census is over; fewer than asked for where there are fewer clients */
    uint64_t asked;
    double latency[LN__GROUPS_MAX]; /* mean of the tier when it was made: who comes later goes to the nearest */
    uint64_t size[LN__GROUPS_MAX];
    uint32_t *tier_of; /* LN__NO_GROUP: not known yet */
};
int ln__tiers_start(struct ln__tiers *tiers, struct ln_run *run, uint32_t count, const struct ln__probing *probing) LN_MUST_CHECK;
/* To be given all events but SUM. */
int ln__tiers_event(struct ln__tiers *tiers, struct ln_run *run, const struct ln_event *event) LN_MUST_CHECK;
int ln__tiers_archive(struct ln__tiers *tiers, struct ln_run *run, struct ln_archive *archive) LN_MUST_CHECK;
/* The clients of list that are of that group, in its order, into out; returns how many. */
size_t ln__of_group(const uint32_t *group_of, const uint32_t *list, size_t count, uint32_t group, uint32_t *out);

/* ---- who can train ---- */
#define LN__ROUNDS_AHEAD 16
/* Clients of that group (group_of NULL: of all) that may be given a task of *round, into out. Where there is none, later rounds are tried and *round moves on to
 * the first that has any: a method may have no work for anybody in a round (EcoFed's replay rounds want a buffer), and nobody would ever come to change that. */
size_t ln__present(struct ln_run *run, const uint32_t *group_of, uint32_t group, uint64_t *round, uint32_t *out);

#endif
