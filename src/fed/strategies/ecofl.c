/* Eco-FL's server (Ye et al., ICPP 2022): groups of clients that answer about equally fast and whose labels together look like everybody's; synchronous
 * inside a group, asynchronous across groups.
 *
 * L_n: client n's response latency, a moving average of what its training tasks took. L^g: mean of the group's members'. RT^g: how far a member
 * may be from that. P: normalised label counts; JS: Jensen-Shannon divergence.
 *
 *     COST_n^g = latency_weight |L^g - L_n| / RT^g + lambda JS(P_(g+n), P_all) / ln 2
 *
 * Start: everyone is probed; 1-D k-means of the latencies gives the centres, RT^g is `threshold` times the distance to the neighbouring
 * centre; in random order each client goes to the group of least COST that is within RT and below the size cap.
 *
 * Regroup (Algorithm 1): after each result of a member n of g, if |L^g - L_n| > RT^g, n moves to the group of least COST among those with
 * |L^g - L_n| <= RT^g; where there is none it is dropped. Who has been dropped, or is not known yet, is probed every probe_every_s until
 * L_n fits a group's threshold, and (re)joins the one of least COST.
 *
 * In a group: w_g = sum n_k w_k / sum n_k. Across: w <- (1 - a_t) w + a_t w_g, a_t = alpha s(t - tau), tau: the version the group's round started
 * from. From the `proximal_from`-th local epoch on, clients add mu (w - w_start) to their gradients.
 *
 * A client is in one group or in none (group_of); one that has left stays in its group and takes part again when it returns. The report reads the traces
 * grouped (all begins anew), skew, latency, joined, moved, dropped, rejoined (client) and group_size, group_latency, group_skew (client is the group's number). */
#include <math.h>
#include <string.h>

#include "fed/grouping.h"
#include "fed/staleness.h"

enum { NEARER, FARTHER };

struct options {
    int64_t groups, clients, candidates, sweeps;
    int neighbour;
    double lambda, latency_weight, threshold, threshold_floor, cap, ewma, deadline, alpha;
    struct ln__probing probing;
    struct ln__staleness staleness;
    double mu;
    int64_t proximal_from;
};

static const struct ln_option options_table[] = {
    {.key = "groups",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, groups),
     .fallback = "5",
     .min = 1,
     .max = LN__GROUPS_MAX,
     .help = "groups (5: authors' code)"},
    {.key = "clients",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, clients),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "clients of a group's round; 0: train.sample"},
    {.key = "candidates",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, candidates),
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .help = "a round's clients are chosen by labels among so many times as many, drawn at random; 1: at random (the paper; derived: a round of few "
             "clients "
             "is as skewed as they are, whatever its group)"},
    {.key = "lambda",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, lambda),
     .fallback = "5",
     .min = 0,
     .max = 1e6,
     .help =
         "weight of the labels in COST; 0: latency only (the slides give the term, not the value; derived: one more client changes JS by some 0.02)"},
    {.key = "latency_weight",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, latency_weight),
     .fallback = "1",
     .min = 0,
     .max = 1e6,
     .help = "weight of the latency in COST; 0 with a large threshold and cap 1: labels only (derived)"},
    {.key = "threshold",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, threshold),
     .fallback = "1",
     .min = 1e-3,
     .max = 1e12,
     .help = "RT over the distance to the neighbouring centre (derived: at 0.5 groups would not overlap and COST decide nothing)"},
    {.key = "neighbour",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct options, neighbour),
     .fallback = "farther",
     .choices = "nearer|farther",
     .help = "which of a centre's two neighbours RT reaches to (derived: with the farther one no latency between two centres fits nowhere)"},
    {.key = "threshold_floor",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, threshold_floor),
     .fallback = "0.1",
     .min = 0,
     .max = 1e6,
     .help = "RT is at least this share of the centre (derived: centres that nearly coincide shall not drop clients for jitter)"},
    {.key = "cap",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, cap),
     .fallback = "1.25",
     .min = 1,
     .max = 1e6,
     .help = "most members at the start, in units of clients / groups (derived)"},
    {.key = "sweeps",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, sweeps),
     .fallback = "3",
     .min = 0,
     .max = 1000,
     .help = "times that everyone's first choice is made again, knowing the others' (derived: the first to choose saw empty groups)"},
    {.key = "ewma",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, ewma),
     .fallback = "0.5",
     .min = 1e-3,
     .max = 1,
     .help = "weight of the newest latency in the moving average (derived)"},
    LN__PROBING_OPTIONS(struct options, probing),
    {.key = "deadline",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, deadline),
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .help = "results later than this many times L + RT of the group are not waited for; 0: all are (the paper)"},
    {.key = "alpha",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, alpha),
     .fallback = "0.6",
     .min = 1e-6,
     .max = 1,
     .help = "share of a fresh group model in the global one (0.6: authors' code of FedAsync)"},
    LN__STALENESS_OPTIONS(struct options, staleness, "how much less a late group model counts (derived: FedAsync's polynomial)"),
    {.key = "mu",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, mu),
     .fallback = "0.05",
     .min = 0,
     .max = 1e6,
     .help = "weight of the proximal term; 0: none (0.05: authors' code)"},
    {.key = "proximal_from",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, proximal_from),
     .fallback = "1",
     .min = 0,
     .max = 1e6,
     .help = "first local epoch with the proximal term, from 0 (1: authors' code)"},
    {0}};

struct group {
    struct ln__cohort cohort;
    struct ln_blob *model; /* READY, MIXING: w_g */
    uint64_t ticket;       /* READY: the order in which groups are mixed */
    uint64_t members;
    double latency_sum; /* of the members */
    double last;        /* L^g while there are none: the centre, or what it was */
    double threshold;   /* RT^g; infinite where there is no other centre */
    double *labels;     /* joint counts */
};

struct state {
    struct ln__census census; /* latency: L_n */
    uint64_t groups;          /* 0 until the first probes are back */
    struct group group[LN__GROUPS_MAX];
    uint32_t *group_of; /* LN__NO_GROUP: dropped or not known yet */
    uint8_t *was_in;    /* has been in a group: coming back is rejoining */
    double *labels, *all, *with, *pair;
    uint64_t outside; /* clients without a group */
    uint64_t mixing;  /* number of the group being mixed + 1; 0: none */
    uint64_t tickets, draws, alarmed;
    uint64_t moves, drops, rejoins;
};

#define MIX_TAG UINT64_C(0x10000)
#define PROBE_TAG 1

/* ---- members ---- */

static double group_latency(const struct group *g)
{
    return g->members ? g->latency_sum / (double)g->members : g->last;
}

static double skew(struct state *self, const struct ln_run *run, const double *labels)
{
    return ln__js(labels, self->all, ln_run_classes(run));
}

static void trace_group(struct state *self, struct ln_run *run, uint64_t number)
{
    const struct group *g = &self->group[number];
    ln_run_trace(run, "group_size", (uint32_t)number, (double)g->members);
    ln_run_trace(run, "group_latency", (uint32_t)number, group_latency(g));
    ln_run_trace(run, "group_skew", (uint32_t)number, skew(self, run, g->labels));
}

static void add_member(struct state *self, const struct ln_run *run, uint64_t number, uint32_t client)
{
    struct group *g = &self->group[number];
    ln__labels(run, client, self->labels);
    for (int c = 0; c < ln_run_classes(run); c++)
        g->labels[c] += self->labels[c];
    g->latency_sum += self->census.latency[client];
    g->members++;
    self->group_of[client] = (uint32_t)number;
    self->was_in[client] = 1;
    self->outside--;
}

static void remove_member(struct state *self, const struct ln_run *run, uint32_t client)
{
    struct group *g = &self->group[self->group_of[client]];
    g->last = group_latency(g);
    ln__labels(run, client, self->labels);
    g->members--;
    for (int c = 0; c < ln_run_classes(run); c++)
        g->labels[c] = g->members ? g->labels[c] - self->labels[c] : 0;
    g->latency_sum = g->members ? g->latency_sum - self->census.latency[client] : 0;
    self->group_of[client] = LN__NO_GROUP;
    self->outside++;
}

static void set_latency(struct state *self, uint32_t client, double latency)
{
    if (self->group_of[client] != LN__NO_GROUP)
        self->group[self->group_of[client]].latency_sum += latency - self->census.latency[client];
    self->census.known += self->census.latency[client] < 0;
    self->census.latency[client] = latency;
}

/* COST_n^g; labels: the client's. */
static double cost(struct state *self, const struct options *o, const struct ln_run *run, uint64_t number, double latency, const double *labels)
{
    const struct group *g = &self->group[number];
    double sum = isinf(g->threshold) ? 0 : o->latency_weight * fabs(group_latency(g) - latency) / g->threshold;
    if (o->lambda > 0) {
        for (int c = 0; c < ln_run_classes(run); c++)
            self->with[c] = g->labels[c] + labels[c];
        sum += o->lambda * skew(self, run, self->with);
    }
    return sum;
}

/* The group of least COST within its threshold and below cap members; groups where there is none. Equal ones: the first. */
static uint64_t best_group(struct state *self, const struct options *o, const struct ln_run *run, uint32_t client, uint64_t cap)
{
    double latency = self->census.latency[client], least = INFINITY;
    uint64_t best = self->groups;
    ln__labels(run, client, self->labels);
    for (uint64_t i = 0; i < self->groups; i++) {
        const struct group *g = &self->group[i];
        if (fabs(group_latency(g) - latency) > g->threshold || g->members >= cap)
            continue;
        double c = cost(self, o, run, i, latency, self->labels);
        if (c < least) {
            least = c;
            best = i;
        }
    }
    return best;
}

/* ---- the first grouping ---- */

static int set_centres(struct state *self, const struct options *o)
{
    struct ln__census *census = &self->census;
    uint64_t known = 0;
    double centre[LN__GROUPS_MAX], *value = self->with; /* with has room for a value a client, see allocate */
    for (uint64_t i = 0; i < census->clients; i++) {
        if (census->latency[i] >= 0)
            value[known++] = census->latency[i];
    }
    uint32_t different, wanted = (uint32_t)((uint64_t)o->groups < known ? (uint64_t)o->groups : known);
    int error = ln__kmeans_line(value, known, wanted, centre, &different);
    if (error)
        return error;
    self->groups = wanted;
    for (uint32_t i = 0; i < wanted; i++) {
        double below = INFINITY, above = INFINITY; /* to the next centres on both sides */
        for (uint32_t j = 0; j < wanted; j++) {
            if (centre[j] < centre[i])
                below = fmin(below, centre[i] - centre[j]);
            if (centre[j] > centre[i])
                above = fmin(above, centre[j] - centre[i]);
        }
        double gap = fmin(below, above);
        if (o->neighbour == FARTHER && isfinite(below) && isfinite(above))
            gap = fmax(below, above);
        struct group *g = &self->group[i];
        g->last = centre[i];
        g->threshold = fmax(o->threshold * gap, o->threshold_floor * centre[i]);
    }
    return LN_OK;
}

static uint64_t nearest(const double *centre, uint64_t count, double latency)
{
    uint64_t best = 0;
    for (uint64_t i = 1; i < count; i++) {
        if (fabs(centre[i] - latency) < fabs(centre[best] - latency))
            best = i;
    }
    return best;
}

/* Everyone whose latency is known, in random order, into census->member; returns how many. */
static uint64_t shuffle(struct state *self, struct ln_run *run)
{
    struct ln__census *census = &self->census;
    uint64_t known = 0;
    for (uint32_t i = 0; i < census->clients; i++) {
        if (census->latency[i] >= 0)
            census->member[known++] = i;
    }
    uint32_t draw = (uint32_t)self->draws++;
    for (uint64_t i = known; i > 1; i--) {
        uint64_t j = (uint64_t)ln_run_draw(run, draw, LN__CLIENT_NONE, i) * i >> 32;
        uint32_t swap = census->member[i - 1];
        census->member[i - 1] = census->member[j];
        census->member[j] = swap;
    }
    return known;
}

/* Each to the group of least COST below the cap, again and again. Distances are to the centres until all are placed: members so far are no mean yet. */
static void assign(struct state *self, const struct options *o, struct ln_run *run)
{
    uint64_t known = shuffle(self, run);
    uint64_t cap = (uint64_t)ceil(o->cap * (double)known / (double)self->groups);
    double sums[LN__GROUPS_MAX] = {0}, centres[LN__GROUPS_MAX];
    for (uint64_t g = 0; g < self->groups; g++)
        centres[g] = self->group[g].last;
    for (int64_t sweep = 0; sweep <= o->sweeps; sweep++) {
        for (uint64_t i = 0; i < known; i++) {
            uint32_t client = self->census.member[i];
            uint64_t from = self->group_of[client];
            if (from != LN__NO_GROUP) {
                remove_member(self, run, client);
                self->group[from].last = centres[from];
                self->group[from].latency_sum = centres[from] * (double)self->group[from].members;
            }
            uint64_t g = best_group(self, o, run, client, cap);
            if (g == self->groups)
                g = best_group(self, o, run, client, UINT64_MAX);
            if (g == self->groups)
                g = nearest(centres, self->groups, self->census.latency[client]);
            add_member(self, run, g, client);
            self->group[g].latency_sum = centres[g] * (double)self->group[g].members;
        }
    }
    for (uint64_t i = 0; i < known; i++)
        sums[self->group_of[self->census.member[i]]] += self->census.latency[self->census.member[i]];
    for (uint64_t g = 0; g < self->groups; g++)
        self->group[g].latency_sum = self->group[g].members ? sums[g] : 0;
}

static int make_groups(struct state *self, const struct options *o, struct ln_run *run)
{
    ln_run_trace(run, "grouped", LN__CLIENT_NONE, ln_run_now(run)); /* what was told of members before is void */
    for (uint32_t i = 0; i < self->census.clients; i++) {
        if (self->group_of[i] != LN__NO_GROUP)
            remove_member(self, run, i);
    }
    int error = set_centres(self, o);
    if (error)
        return error;
    assign(self, o, run);
    for (uint32_t i = 0; i < self->census.clients; i++) {
        if (self->group_of[i] == LN__NO_GROUP)
            continue;
        ln__labels(run, i, self->labels);
        ln_run_trace(run, "skew", i, skew(self, run, self->labels));
        ln_run_trace(run, "latency", i, self->census.latency[i]);
        ln_run_trace(run, "joined", i, self->group_of[i]);
    }
    for (uint64_t g = 0; g < self->groups; g++)
        trace_group(self, run, g);
    return LN_OK;
}

/* ---- Algorithm 1 ---- */

/* An alarm for the next probes of those without a group. One whom nothing could wake does not keep the run alive: without one
 * present no alarm is set. */
static int arm(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->alarmed || self->outside == 0 || ln_run_finished(run))
        return LN_OK;
    self->alarmed = 1;
    return ln_run_alarm(run, ln_run_now(run) + o->probing.every_s, PROBE_TAG);
}

static int probe_outside(struct state *self, struct ln_run *run)
{
    const uint32_t *list;
    size_t available = ln_run_available(run, 0, &list);
    size_t count = ln__of_group(self->group_of, list, available, LN__NO_GROUP, self->census.member);
    for (size_t i = 0; i < count; i++) {
        int error = ln__census_ask(&self->census, run, self->census.member[i]);
        if (error)
            return error;
    }
    return LN_OK;
}

static int regroup(struct state *self, const struct options *o, struct ln_run *run, uint32_t client)
{
    uint64_t from = self->group_of[client];
    const struct group *g = &self->group[from];
    double latency = self->census.latency[client];
    if (fabs(group_latency(g) - latency) <= g->threshold)
        return LN_OK;
    /* Its own group is out: its mean, seen with or without the client, is too far. */
    remove_member(self, run, client);
    uint64_t to = best_group(self, o, run, client, UINT64_MAX);
    ln_run_trace(run, "latency", client, latency);
    trace_group(self, run, from);
    if (to == self->groups) {
        self->drops++;
        ln_run_trace(run, "dropped", client, latency);
        return arm(self, o, run);
    }
    add_member(self, run, to, client);
    self->moves++;
    ln_run_trace(run, "moved", client, (double)to);
    trace_group(self, run, to);
    return LN_OK;
}

static bool resting(const struct state *self)
{
    for (uint64_t i = 0; i < self->groups; i++) {
        if (self->group[i].cohort.phase != LN__COHORT_IDLE)
            return false;
    }
    return true;
}

static int join(struct state *self, const struct options *o, struct ln_run *run, uint32_t client)
{
    uint64_t to = best_group(self, o, run, client, UINT64_MAX);
    if (to == self->groups) {
        /* No group works and this one fits nowhere: thresholds of a world that is gone. All groups are made anew. */
        if (resting(self) && self->census.waiting == 0)
            return make_groups(self, o, run);
        return arm(self, o, run);
    }
    bool back = self->was_in[client];
    self->rejoins += back;
    add_member(self, run, to, client);
    ln_run_trace(run, "latency", client, self->census.latency[client]);
    ln_run_trace(run, back ? "rejoined" : "joined", client, (double)to);
    trace_group(self, run, to);
    return LN_OK;
}

/* The answer to a probe, or that there is none. */
static int probed(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (self->census.waiting > 0)
        self->census.waiting--;
    bool answered = event->kind == LN_EVENT_DONE && event->estimate_s >= 0 && isfinite(event->estimate_s);
    if (answered)
        set_latency(self, event->client, event->estimate_s);
    if (self->groups == 0)
        return self->census.waiting == 0 && self->census.known > 0 ? make_groups(self, o, run) : arm(self, o, run);
    if (self->group_of[event->client] != LN__NO_GROUP)
        return LN_OK;
    return answered ? join(self, o, run, event->client) : arm(self, o, run);
}

/* A member's task has ended: its latency, whatever the result was worth. A failure tells only that it would have taken longer; what the server did alone
 * (EcoFed's replay) tells nothing. */
static int monitor(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    double before = self->census.latency[event->client];
    if (!event->device || self->group_of[event->client] == LN__NO_GROUP || !isfinite(event->took_s))
        return LN_OK;
    if (event->kind != LN_EVENT_DONE && !(event->kind == LN_EVENT_FAILED && event->took_s > before))
        return LN_OK;
    set_latency(self, event->client, before + o->ewma * (event->took_s - before));
    return regroup(self, o, run, event->client);
}

/* ---- rounds ---- */

/* Of the `count` members present (census.member): candidates drawn at random, and of them, beginning with a random one, those whose labels together come nearest
 * to everyone's. Returns how many now lead the list. */
static size_t choose(struct state *self, const struct options *o, struct ln_run *run, size_t count, size_t want)
{
    uint32_t *list = self->census.chosen, draw = (uint32_t)self->draws++;
    size_t pool = want < count / (size_t)o->candidates ? want * (size_t)o->candidates : count;
    pool = ln_run_pick(run, draw, self->census.member, count, pool, list);
    size_t first = (uint64_t)ln_run_draw(run, draw, LN__CLIENT_NONE, 0) * pool >> 32;
    uint32_t client = list[first];
    list[first] = list[0];
    list[0] = client;
    ln__balance(run, list, pool, want, self->all, self->pair);
    memcpy(self->census.member, list, pool * sizeof *list);
    return want < pool ? want : pool;
}

static int begin(struct state *self, const struct options *o, struct ln_run *run)
{
    for (uint64_t i = 0; i < self->groups; i++) {
        struct group *g = &self->group[i];
        if (g->cohort.phase != LN__COHORT_IDLE || g->members == 0 || ln_run_finished(run))
            continue;
        size_t count = ln__present(run, self->group_of, (uint32_t)i, &g->cohort.round, self->census.member);
        if (count == 0)
            continue;
        size_t want = o->clients ? (size_t)o->clients : ln_run_sample_size(run);
        if (o->candidates > 1)
            count = choose(self, o, run, count, want);
        struct ln_order like = {.mu = o->mu, .tag = i};
        if (o->deadline > 0 && isfinite(g->threshold))
            like.deadline_s = o->deadline * (group_latency(g) + g->threshold);
        int error = ln__cohort_begin(&g->cohort, run, &like, self->census.member, count, want, (uint32_t)self->draws++, self->census.chosen);
        /* While there is work, those without a group are looked after. */
        if (!error && g->cohort.phase != LN__COHORT_IDLE)
            error = arm(self, o, run);
        if (error)
            return error;
    }
    return LN_OK;
}

/* One group at a time goes into the global model, in the order they finished. */
static int mix(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->mixing || ln_run_finished(run))
        return LN_OK;
    uint64_t first = self->groups;
    for (uint64_t i = 0; i < self->groups; i++) {
        if (self->group[i].cohort.phase == LN__COHORT_READY && (first == self->groups || self->group[i].ticket < self->group[first].ticket))
            first = i;
    }
    if (first == self->groups)
        return LN_OK;
    struct group *g = &self->group[first];
    double late = (double)(ln_run_version(run) - g->cohort.version);
    double share = o->alpha * ln__staleness(&o->staleness, late);
    struct ln_sum_id sum;
    int error = ln_run_sum_open(run, 1 + 1e-9, &sum); /* share + (1 - share) may round above 1 */
    if (!error)
        error = ln_run_sum_add(run, sum, g->model, share);
    if (!error)
        error = ln_run_sum_add(run, sum, ln_run_model(run), 1 - share);
    g->cohort.phase = LN__COHORT_MIXING;
    self->mixing = first + 1;
    return error ? error : ln_run_sum_close(run, sum, 1, MIX_TAG);
}

static int group_model(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    struct group *g = &self->group[event->tag];
    g->model = ln_blob_ref(event->model);
    g->ticket = self->tickets++;
    g->cohort.phase = LN__COHORT_READY;
    return mix(self, o, run);
}

static int publish(struct state *self, const struct options *o, struct ln_run *run, struct ln_blob *model)
{
    struct group *g = &self->group[self->mixing - 1];
    self->mixing = 0;
    ln_blob_unref(g->model);
    g->model = NULL;
    g->cohort.phase = LN__COHORT_IDLE;
    uint64_t used = 0;
    double worst = 0;
    for (uint64_t i = 0; i < self->groups; i++) {
        used += self->group[i].members > 0;
        if (self->group[i].members > 0)
            worst = fmax(worst, skew(self, run, self->group[i].labels));
    }
    ln_run_note(run, "groups", (double)used);
    ln_run_note(run, "outside", (double)self->outside);
    ln_run_note(run, "moves", (double)self->moves);
    ln_run_note(run, "drops", (double)self->drops);
    ln_run_note(run, "rejoins", (double)self->rejoins);
    ln_run_note(run, "worst_group_skew", worst);
    int error = ln_run_publish(run, model, ln__cohort_progress(&g->cohort, run));
    return error ? error : mix(self, o, run);
}

/* ---- the plug-in ---- */

static int allocate(struct state *self, const struct options *o, struct ln_run *run)
{
    int error = ln__census_init(&self->census, run, &o->probing);
    if (error)
        return error;
    size_t clients = self->census.clients, classes = (size_t)ln_run_classes(run);
    self->outside = clients;
    self->group_of = ln_run_alloc(run, clients * sizeof *self->group_of);
    self->was_in = ln_run_alloc(run, clients);
    self->labels = ln_run_alloc(run, classes * sizeof(double));
    self->all = ln_run_alloc(run, classes * sizeof(double));
    self->with = ln_run_alloc(run, (clients > classes ? clients : classes) * sizeof(double));
    double *joint = ln_run_alloc(run, LN__GROUPS_MAX * classes * sizeof *joint);
    self->pair = ln_run_alloc(run, 2 * classes * sizeof(double));
    if (!self->group_of || !self->was_in || !self->labels || !self->all || !self->with || !self->pair || !joint)
        return LN_ENOMEM;
    for (size_t g = 0; g < LN__GROUPS_MAX; g++)
        self->group[g].labels = joint + g * classes;
    for (uint32_t i = 0; i < clients; i++) {
        self->group_of[i] = LN__NO_GROUP;
        ln__labels(run, i, self->labels);
        for (size_t c = 0; c < classes; c++)
            self->all[c] += self->labels[c];
    }
    return LN_OK;
}

static int start(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    int error = allocate(self, options, run);
    return error ? error : probe_outside(self, run);
}

static int ended(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (event->client >= self->census.clients)
        return LN_OK;
    if (event->task_kind == LN_TASK_PROBE)
        return probed(self, o, run, event);
    if (event->task_kind != LN_TASK_TRAIN || event->tag >= self->groups)
        return LN_OK;
    int error = ln__cohort_take(&self->group[event->tag].cohort, run, event, event->tag);
    return error ? error : monitor(self, o, run, event);
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    const struct options *o = options;
    int error = LN_OK;
    if (ln_run_finished(run))
        return LN_OK;
    switch (event->kind) {
    case LN_EVENT_DONE:
    case LN_EVENT_FAILED:
    case LN_EVENT_CANCELLED:
        error = ended(self, o, run, event);
        break;
    case LN_EVENT_SUM:
        if (event->tag == MIX_TAG && self->mixing)
            error = publish(self, o, run, event->model);
        else if (event->tag < self->groups)
            error = group_model(self, o, run, event);
        break;
    case LN_EVENT_ALARM:
        self->alarmed = 0;
        error = probe_outside(self, run);
        break;
    case LN_EVENT_ROSTER:
        if (event->available && event->client < self->census.clients && self->group_of[event->client] == LN__NO_GROUP)
            error = ln__census_ask(&self->census, run, event->client);
        break;
    }
    return error ? error : begin(self, o, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    if (ln_archive_reading(archive)) {
        int error = allocate(self, options, run);
        if (error)
            return error;
    }
    size_t clients = self->census.clients, classes = (size_t)ln_run_classes(run);
    ln__census_archive(&self->census, archive);
    ln_archive_u64(archive, &self->groups);
    if (self->groups > LN__GROUPS_MAX)
        return LN_ECORRUPT;
    for (uint64_t i = 0; i < self->groups; i++) {
        struct group *g = &self->group[i];
        ln__cohort_archive(&g->cohort, archive);
        ln_archive_blob(archive, &g->model);
        ln_archive_u64(archive, &g->ticket);
        ln_archive_u64(archive, &g->members);
        ln_archive_real(archive, &g->latency_sum);
        ln_archive_real(archive, &g->last);
        ln_archive_real(archive, &g->threshold);
        ln_archive_bytes(archive, g->labels, classes * sizeof *g->labels);
    }
    ln_archive_bytes(archive, self->group_of, clients * sizeof *self->group_of);
    ln_archive_bytes(archive, self->was_in, clients);
    ln_archive_u64(archive, &self->outside);
    ln_archive_u64(archive, &self->mixing);
    ln_archive_u64(archive, &self->tickets);
    ln_archive_u64(archive, &self->draws);
    ln_archive_u64(archive, &self->alarmed);
    ln_archive_u64(archive, &self->moves);
    ln_archive_u64(archive, &self->drops);
    ln_archive_u64(archive, &self->rejoins);
    for (size_t i = 0; i < clients; i++) {
        if (self->group_of[i] != LN__NO_GROUP && self->group_of[i] >= self->groups)
            return LN_ECORRUPT;
    }
    return self->mixing <= self->groups ? LN_OK : LN_ECORRUPT;
}

static void stop(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    (void)options, (void)run;
    for (int i = 0; i < LN__GROUPS_MAX; i++) {
        ln_blob_unref(self->group[i].model);
        self->group[i].model = NULL;
    }
}

static void local(const void *options, struct ln_local *local)
{
    const struct options *o = options;
    if (ln_local_mu(local) > 0 && ln_local_epoch(local) >= (uint32_t)o->proximal_from)
        ln_local_proximal(local, ln_local_mu(local));
}

extern const struct ln_strategy ln__strategy_ecofl;
const struct ln_strategy ln__strategy_ecofl = {
    .plugin = {.name = "ecofl",
               .summary = "groups by latency and labels that adapt; synchronous inside, asynchronous across",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .stop = stop,
    .local = local,
};
