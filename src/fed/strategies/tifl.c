/* TiFL (Chai et al., HPDC 2020, Algorithm 2): M tiers of equal size by latency; every round is synchronous FedAvg among clients of one tier, so that
 * nobody waits for a much slower one. The tier is drawn with probabilities that follow the accuracy of the newest model on the tiers' own data: with n
 * tiers that have credits left, the i-th worst (i from 0) gets
 *
 *     p = (n - i) / D,   D = n (n + 1) / 2
 *
 * recomputed every `every` rounds. Being chosen costs a tier a credit, which bounds how often a slow tier slows the run; a tier without credits
 * is not drawn. When no tier that could train has any left, all get theirs again.
 *
 * Accuracy is measured by evaluation tasks on a sample of the tier's clients, beside the training; the paper's server holds test data for each tier
 * and does so at no cost. The paper's condition, that the probabilities change only when the current tier has not improved, is the option `stalled`. */
#include <math.h>
#include <string.h>

#include "fed/grouping.h"

struct options {
    int64_t tiers, clients, every, credits, evaluate;
    bool stalled;
    struct ln__probing probing;
};

static const struct ln_option options_table[] = {
    {.key = "tiers",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, tiers),
     .fallback = "5",
     .min = 1,
     .max = LN__GROUPS_MAX,
     .help = "latency tiers of equal size (5: the paper's)"},
    {.key = "clients",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, clients),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "clients of a round; 0: train.sample"},
    {.key = "every",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, every),
     .fallback = "10",
     .min = 1,
     .max = 1e6,
     .help = "rounds between two evaluations of the tiers (10: authors' code)"},
    {.key = "credits",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, credits),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "rounds a tier may be chosen for; 0: the run's rounds over the tiers, rounded up (code that follows the paper)"},
    {.key = "evaluate",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, evaluate),
     .fallback = "5",
     .min = 1,
     .max = 1e9,
     .help = "clients of each tier that evaluate the model (derived)"},
    {.key = "stalled",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct options, stalled),
     .fallback = "false",
     .help = "change probabilities only when the last tier's accuracy has not risen since the last evaluation (the paper's text)"},
    LN__PROBING_OPTIONS(struct options, probing),
    {0}};

struct tier {
    uint64_t credits;
    double probability;
    double accuracy;           /* of the last evaluation; 0 before */
    double correct, evaluated; /* samples of the evaluation under way */
};

struct state {
    struct ln__tiers tiers;
    struct ln__cohort cohort;
    struct tier tier[LN__GROUPS_MAX];
    uint64_t begun, current, done, evaluating, draws;
};

static void credit_all(struct state *self, const struct options *o, const struct ln_run *run)
{
    uint64_t each = o->credits ? (uint64_t)o->credits : (uint64_t)ceil(ln_run_rounds(run) / (double)self->tiers.count);
    for (uint64_t t = 0; t < self->tiers.count; t++)
        self->tier[t].credits = each;
}

static void change_probabilities(struct state *self)
{
    uint64_t count = self->tiers.count, n = 0;
    for (uint64_t t = 0; t < count; t++)
        n += self->tier[t].credits > 0;
    for (uint64_t t = 0; t < count; t++) {
        struct tier *tier = &self->tier[t];
        uint64_t worse = 0; /* tiers that rank below this one; equal ones in order of number */
        for (uint64_t u = 0; u < count; u++) {
            const struct tier *other = &self->tier[u];
            bool below = other->accuracy < tier->accuracy || (other->accuracy == tier->accuracy && u < t);
            worse += other->credits > 0 && below;
        }
        tier->probability = tier->credits > 0 ? (double)(n - worse) / ((double)n * (double)(n + 1) / 2) : 0;
    }
}

/* Whether an evaluation has changed the probabilities, which all begin as even shares. */
static bool ranked(const struct state *self)
{
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        if (self->tier[t].probability != 1.0 / (double)self->tiers.count)
            return true;
    }
    return false;
}

/* A tier among those that could train and have credits; count when nobody is there. */
static uint64_t choose(struct state *self, const struct options *o, struct ln_run *run, const uint32_t *list, size_t available)
{
    uint64_t count = self->tiers.count;
    uint64_t present[LN__GROUPS_MAX] = {0};
    for (size_t i = 0; i < available; i++) {
        uint32_t t = self->tiers.tier_of[list[i]];
        if (t < count)
            present[t]++;
    }
    bool anyone = false, anyone_paid = false;
    for (uint64_t t = 0; t < count; t++) {
        anyone = anyone || present[t];
        anyone_paid = anyone_paid || (present[t] && self->tier[t].credits);
    }
    if (!anyone)
        return count;
    if (!anyone_paid) {
        credit_all(self, o, run);
        if (ranked(self))
            change_probabilities(self); /* those without credits had none */
    }
    double weight[LN__GROUPS_MAX], total = 0;
    for (int pass = 0; pass < 2 && !(total > 0); pass++) {
        for (uint64_t t = 0; t < count; t++) {
            bool may = present[t] && self->tier[t].credits;
            /* The second pass: those that may train are those that had no probability. */
            weight[t] = may ? pass ? 1 : self->tier[t].probability : 0;
            total += weight[t];
        }
    }
    double at = ln_run_draw(run, (uint32_t)self->draws++, LN__CLIENT_NONE, 0) / 4294967296.0 * total;
    uint64_t last = count;
    for (uint64_t t = 0; t < count; t++) {
        if (!(weight[t] > 0))
            continue;
        last = t;
        if (at < weight[t])
            break;
        at -= weight[t];
    }
    return last;
}

static int begin(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->cohort.phase != LN__COHORT_IDLE || self->tiers.count == 0 || ln_run_finished(run))
        return LN_OK;
    uint32_t *list = self->tiers.census.member;
    size_t available = ln__present(run, NULL, 0, &self->cohort.round, list);
    uint64_t t = choose(self, o, run, list, available);
    if (t == self->tiers.count)
        return LN_OK;
    size_t count = ln__of_group(self->tiers.tier_of, list, available, (uint32_t)t, list); /* in place: it only leaves some out */
    size_t want = o->clients ? (size_t)o->clients : ln_run_sample_size(run);
    int error =
        ln__cohort_begin(&self->cohort, run, &(struct ln_order){.tag = t}, list, count, want, (uint32_t)self->draws++, self->tiers.census.chosen);
    if (error || self->cohort.phase == LN__COHORT_IDLE)
        return error;
    self->current = t;
    self->tier[t].credits--;
    return LN_OK;
}

static int evaluate(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->evaluating || ln_run_finished(run))
        return LN_OK;
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        const uint32_t *list;
        size_t count = ln_run_available(run, (uint32_t)self->cohort.round, &list);
        count = ln__of_group(self->tiers.tier_of, list, count, (uint32_t)t, self->tiers.census.member);
        count = ln_run_pick(run, (uint32_t)self->draws++, self->tiers.census.member, count, (size_t)o->evaluate, self->tiers.census.chosen);
        self->tier[t].correct = self->tier[t].evaluated = 0;
        for (size_t i = 0; i < count; i++) {
            struct ln_order order = {.kind = LN_TASK_EVAL, .client = self->tiers.census.chosen[i], .round = (uint32_t)self->cohort.round, .tag = t};
            bool sent;
            int error = ln__dispatch(run, &order, &sent);
            if (error)
                return error;
            self->evaluating += sent;
        }
    }
    return LN_OK;
}

static void evaluated(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (event->kind == LN_EVENT_DONE && event->tag < self->tiers.count && event->samples > 0) {
        self->tier[event->tag].correct += event->accuracy * event->samples;
        self->tier[event->tag].evaluated += event->samples;
    }
    if (self->evaluating == 0 || --self->evaluating > 0)
        return;
    double before = self->tier[self->current].accuracy;
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        struct tier *tier = &self->tier[t];
        if (tier->evaluated > 0)
            tier->accuracy = tier->correct / tier->evaluated;
    }
    if (!o->stalled || self->tier[self->current].accuracy <= before)
        change_probabilities(self);
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        ln_run_trace(run, "tier_accuracy", (uint32_t)t, self->tier[t].accuracy);
        ln_run_trace(run, "tier_probability", (uint32_t)t, self->tier[t].probability);
    }
}

static int publish(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    self->cohort.phase = LN__COHORT_IDLE;
    ln_run_note(run, "tier", (double)self->current);
    int error = ln_run_publish(run, event->model, 1);
    if (!error && ++self->done % (uint64_t)o->every == 0)
        error = evaluate(self, o, run);
    return error;
}

static int start(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    const struct options *o = options;
    return ln__tiers_start(&self->tiers, run, (uint32_t)o->tiers, &o->probing);
}

static void begun(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->begun || self->tiers.count == 0)
        return;
    self->begun = 1;
    credit_all(self, o, run);
    for (uint64_t t = 0; t < self->tiers.count; t++)
        self->tier[t].probability = 1.0 / (double)self->tiers.count;
    for (uint32_t i = 0; i < self->tiers.census.clients; i++) {
        if (self->tiers.tier_of[i] != LN__NO_GROUP)
            ln_run_trace(run, "group", i, self->tiers.tier_of[i]);
    }
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    const struct options *o = options;
    int error = LN_OK;
    if (ln_run_finished(run))
        return LN_OK;
    if (event->kind == LN_EVENT_SUM) {
        error = publish(self, o, run, event);
    } else {
        error = ln__tiers_event(&self->tiers, run, event);
        begun(self, o, run);
        bool ended = event->kind == LN_EVENT_DONE || event->kind == LN_EVENT_FAILED || event->kind == LN_EVENT_CANCELLED;
        if (!error && ended && event->task_kind == LN_TASK_TRAIN)
            error = ln__cohort_take(&self->cohort, run, event, 0);
        if (!error && ended && event->task_kind == LN_TASK_EVAL)
            evaluated(self, o, run, event);
    }
    return error ? error : begin(self, o, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    (void)options;
    int error = ln__tiers_archive(&self->tiers, run, archive);
    if (error)
        return error;
    ln__cohort_archive(&self->cohort, archive);
    for (uint64_t t = 0; t < self->tiers.count; t++) {
        struct tier *tier = &self->tier[t];
        ln_archive_u64(archive, &tier->credits);
        ln_archive_real(archive, &tier->probability);
        ln_archive_real(archive, &tier->accuracy);
        ln_archive_real(archive, &tier->correct);
        ln_archive_real(archive, &tier->evaluated);
    }
    ln_archive_u64(archive, &self->begun);
    ln_archive_u64(archive, &self->current);
    ln_archive_u64(archive, &self->done);
    ln_archive_u64(archive, &self->evaluating);
    ln_archive_u64(archive, &self->draws);
    return self->current < LN__GROUPS_MAX ? LN_OK : LN_ECORRUPT;
}

extern const struct ln_strategy ln__strategy_tifl;
const struct ln_strategy ln__strategy_tifl = {
    .plugin = {.name = "tifl",
               .summary = "synchronous rounds in one latency tier at a time, the worse its accuracy the more often",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
};
