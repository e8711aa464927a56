/* FedAT (Chai et al., SC 2021, Algorithm 1): M tiers of equal size by latency, 1 the fastest. Each tier trains round after round by itself: some
 * of its clients, drawn at random, start from the global model with the local objective F_k(w) + lambda/2 ||w - w_global||^2. When the last one has answered
 *
 *     w_m = sum (n_k / N_c) w_k,   T_m <- T_m + 1,   T = sum T_m
 *     w   = sum over m of (T_(M+1-m) / T) w_m
 *
 * so that the slowest tier's model weighs as much as the fastest tier has updates: the weights are mirrored. All w_m begin as the initial model. The tier
 * then starts again from the new global model. Tiers that finish while the global sum is under way join the next one. */
#include <string.h>

#include "fed/grouping.h"

struct options {
    int64_t tiers, clients;
    double lambda;
    struct ln__probing probing;
};

static const struct ln_option options_table[] = {{.key = "tiers",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, tiers),
                                                  .fallback = "5",
                                                  .min = 1,
                                                  .max = LN__GROUPS_MAX,
                                                  .help = "latency tiers of equal size, M (5: the paper's)"},
                                                 {.key = "clients",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, clients),
                                                  .fallback = "0",
                                                  .min = 0,
                                                  .max = 1e9,
                                                  .help = "clients of a tier round; 0: train.sample (the paper: 10)"},
                                                 {.key = "lambda",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, lambda),
                                                  .fallback = "0.4",
                                                  .min = 0,
                                                  .max = 1e6,
                                                  .help = "weight of the proximal term of the local objective (0.4: the paper's)"},
                                                 LN__PROBING_OPTIONS(struct options, probing),
                                                 {0}};

struct state {
    struct ln__tiers tiers;
    struct ln__cohort cohort[LN__GROUPS_MAX];
    struct ln_blob *model[LN__GROUPS_MAX]; /* w_m */
    uint64_t updates[LN__GROUPS_MAX];      /* T_m */
    uint64_t begun;                        /* tiers have been made, models set */
    uint64_t mixing, draws;
};

#define MIX_TAG UINT64_C(0x10000)

/* Each tier that rests begins a round where somebody of it is there. */
static int begin(struct state *self, const struct options *o, struct ln_run *run)
{
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        struct ln__cohort *cohort = &self->cohort[t];
        if (cohort->phase != LN__COHORT_IDLE || ln_run_finished(run))
            continue;
        size_t count = ln__present(run, self->tiers.tier_of, (uint32_t)t, &cohort->round, self->tiers.census.member);
        if (count == 0)
            continue;
        size_t want = o->clients ? (size_t)o->clients : ln_run_sample_size(run);
        struct ln_order like = {.mu = o->lambda, .tag = t};
        int error = ln__cohort_begin(cohort, run, &like, self->tiers.census.member, count, want, (uint32_t)self->draws++, self->tiers.census.chosen);
        if (error)
            return error;
    }
    return LN_OK;
}

static int mix(struct state *self, struct ln_run *run)
{
    uint64_t count = self->tiers.count, total = 0;
    bool ready = false;
    for (uint64_t t = 0; t < count; t++) {
        total += self->updates[t];
        ready = ready || self->cohort[t].phase == LN__COHORT_READY;
    }
    if (self->mixing || !ready || ln_run_finished(run))
        return LN_OK;
    struct ln_sum_id sum;
    int error = ln_run_sum_open(run, (double)total, &sum);
    for (uint64_t t = 0; t < count && !error; t++) {
        uint64_t mirrored = self->updates[count - 1 - t];
        if (mirrored > 0)
            error = ln_run_sum_add(run, sum, self->model[t], (double)mirrored);
        if (self->cohort[t].phase == LN__COHORT_READY)
            self->cohort[t].phase = LN__COHORT_MIXING;
    }
    self->mixing = 1;
    return error ? error : ln_run_sum_close(run, sum, (double)total, MIX_TAG);
}

static int tier_model(struct state *self, struct ln_run *run, const struct ln_event *event)
{
    uint64_t t = event->tag;
    struct ln__cohort *cohort = &self->cohort[t];
    ln_blob_unref(self->model[t]);
    self->model[t] = ln_blob_ref(event->model);
    self->updates[t]++;
    cohort->phase = LN__COHORT_READY;
    return mix(self, run);
}

static int publish(struct state *self, struct ln_run *run, struct ln_blob *model)
{
    double progress = 0;
    self->mixing = 0;
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        if (self->cohort[t].phase != LN__COHORT_MIXING)
            continue;
        self->cohort[t].phase = LN__COHORT_IDLE;
        progress += ln__cohort_progress(&self->cohort[t], run);
    }
    ln_run_note(run, "tiers", (double)self->tiers.count);
    int error = ln_run_publish(run, model, progress);
    return error ? error : mix(self, run);
}

static int start(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    const struct options *o = options;
    return ln__tiers_start(&self->tiers, run, (uint32_t)o->tiers, &o->probing);
}

static void begun(struct state *self, struct ln_run *run)
{
    if (self->begun || self->tiers.count == 0)
        return;
    self->begun = 1;
    for (uint64_t t = 0; t < self->tiers.count; t++)
        self->model[t] = ln_blob_ref(ln_run_model(run));
    for (uint32_t i = 0; i < self->tiers.census.clients; i++) {
        if (self->tiers.tier_of[i] != LN__NO_GROUP)
            ln_run_trace(run, "group", i, self->tiers.tier_of[i]);
    }
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    int error = LN_OK;
    if (ln_run_finished(run))
        return LN_OK;
    if (event->kind == LN_EVENT_SUM) {
        if (event->tag == MIX_TAG)
            error = publish(self, run, event->model);
        else if (event->tag < self->tiers.count)
            error = tier_model(self, run, event);
    } else {
        error = ln__tiers_event(&self->tiers, run, event);
        begun(self, run);
        bool ended = event->kind == LN_EVENT_DONE || event->kind == LN_EVENT_FAILED || event->kind == LN_EVENT_CANCELLED;
        if (!error && ended && event->task_kind == LN_TASK_TRAIN && event->tag < self->tiers.count)
            error = ln__cohort_take(&self->cohort[event->tag], run, event, event->tag);
    }
    return error ? error : begin(self, options, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    (void)options;
    int error = ln__tiers_archive(&self->tiers, run, archive);
    if (error)
        return error;
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        ln__cohort_archive(&self->cohort[t], archive);
        ln_archive_blob(archive, &self->model[t]);
        ln_archive_u64(archive, &self->updates[t]);
    }
    ln_archive_u64(archive, &self->begun);
    ln_archive_u64(archive, &self->mixing);
    ln_archive_u64(archive, &self->draws);
    return LN_OK;
}

static void stop(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    (void)options, (void)run;
    for (int t = 0; t < LN__GROUPS_MAX; t++)
        ln_blob_unref(self->model[t]);
    memset(self->model, 0, sizeof self->model);
}

static void local(const void *options, struct ln_local *local)
{
    (void)options;
    if (ln_local_mu(local) > 0)
        ln_local_proximal(local, ln_local_mu(local));
}

extern const struct ln_strategy ln__strategy_fedat;
const struct ln_strategy ln__strategy_fedat = {
    .plugin = {.name = "fedat",
               .summary = "latency tiers, synchronous inside, asynchronous across, weighted by the mirrored tier's updates",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .stop = stop,
    .local = local,
};
