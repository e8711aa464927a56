/* FedBuff (Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022, Algorithm 1): a fixed number of clients train at
 * any time; their differences are gathered in a buffer, and every K of them
 *
 *     w <- w + eta / K * sum over the buffer of s(tau_k) (w_k - base_k)
 *
 * base_k: the model client k started from; tau_k: versions published between that one and the one this buffer is added to; s(tau) = 1/sqrt(1 + tau).
 * Not weighted by samples, as in the paper. A client that answers is replaced at once by another, drawn evenly from those that are idle. */
#include "fed/grouping.h"
#include "fed/staleness.h"

struct options {
    int64_t buffer;
    double eta;
    int64_t in_flight;
    struct ln__staleness staleness;
};

static const struct ln_option options_table[] = {
    {.key = "buffer",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, buffer),
     .fallback = "10",
     .min = 1,
     .max = 1e6,
     .help = "differences that make a new version, K (10: the paper's)"},
    {.key = "eta",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, eta),
     .fallback = "1",
     .min = 1e-6,
     .max = 1e3,
     .help = "server's learning rate (1: a buffer of fresh results is then their plain mean, as in FedAvg)"},
    {.key = "in_flight",
     .type = LN_OPT_INT,
     .offset = offsetof(struct options, in_flight),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "clients that train at a time, the paper's concurrency; 0: train.sample"},
    LN__STALENESS_OPTIONS(struct options, staleness, "how much less a late difference counts (the paper: polynomial with a = 0.5)"),
    {0}};

struct state {
    uint64_t in_flight;
    uint64_t gathered;        /* in the open buffer */
    uint64_t opened, closing; /* closing: an earlier buffer's SUM is to come */
    struct ln_sum_id sum;
    uint64_t draws;
    uint32_t *present, *chosen; /* scratch: everyone */
};

static size_t wanted(const struct options *o, const struct ln_run *run)
{
    return o->in_flight ? (size_t)o->in_flight : ln_run_sample_size(run);
}

/* Replaces whoever is missing; not while a full buffer waits for the one before it to be folded: what is on its way then is all that can still join it. */
static int refill(struct state *self, const struct options *o, struct ln_run *run)
{
    size_t want = wanted(o, run);
    if (ln_run_finished(run) || self->in_flight >= want || (self->closing && self->gathered >= (uint64_t)o->buffer))
        return LN_OK;
    uint64_t round = ln_run_version(run);
    const uint32_t *list = self->present;
    size_t count;
    if (self->in_flight > 0)
        count = ln_run_available(run, (uint32_t)round, &list);
    else
        count = ln__present(run, NULL, 0, &round, self->present);
    count = ln_run_pick(run, (uint32_t)self->draws++, list, count, want - self->in_flight, self->chosen);
    for (size_t i = 0; i < count; i++) {
        bool sent;
        int error = ln__dispatch(run, &(struct ln_order){.kind = LN_TASK_TRAIN, .client = self->chosen[i], .round = (uint32_t)round}, &sent);
        if (error)
            return error;
        self->in_flight += sent;
    }
    return LN_OK;
}

static int allocate(struct state *self, struct ln_run *run)
{
    self->present = ln_run_alloc(run, ln_run_clients(run) * sizeof *self->present);
    self->chosen = ln_run_alloc(run, ln_run_clients(run) * sizeof *self->chosen);
    return self->present && self->chosen ? LN_OK : LN_ENOMEM;
}

static int start(void *state, const void *options, struct ln_run *run)
{
    int error = allocate(state, run);
    return error ? error : refill(state, options, run);
}

/* One buffer at a time is on its way to become the model: the next one is added to that. */
static int close_if_full(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->closing || self->gathered < (uint64_t)o->buffer)
        return LN_OK;
    /* (G w / eta + sum) / (G / eta) = w + eta / G * sum: only now is it known how many there are. */
    double weight = (double)self->gathered / o->eta;
    int error = ln_run_sum_add(run, self->sum, ln_run_model(run), weight);
    if (!error)
        error = ln_run_sum_close(run, self->sum, weight, self->gathered);
    self->closing = 1;
    self->opened = self->gathered = 0;
    return error;
}

static int gather(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (!event->update || !event->base)
        return LN_OK;
    int error = LN_OK;
    if (!self->opened) {
        /* While an earlier buffer is being folded this one may grow beyond K: the bound leaves room for all that can arrive meanwhile. */
        double most = (double)o->buffer + (double)wanted(o, run);
        error = ln_run_sum_open(run, most * (2 + 1 / o->eta), &self->sum);
        if (error)
            return error;
        self->opened = 1;
    }
    uint64_t version = ln_run_version(run) + self->closing;
    double late = version > event->base_version ? (double)(version - event->base_version) : 0;
    double coefficient = ln__staleness(&o->staleness, late);
    error = ln_run_sum_add(run, self->sum, event->update, coefficient);
    if (error == LN_EREFUSED)
        return LN_OK;
    if (!error)
        error = ln_run_sum_add(run, self->sum, event->base, -coefficient);
    self->gathered++;
    return error ? error : close_if_full(self, o, run);
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
        self->in_flight -= self->in_flight > 0;
        if (event->kind == LN_EVENT_DONE)
            error = gather(self, o, run, event);
        break;
    case LN_EVENT_SUM: {
        uint32_t sample = ln_run_sample_size(run);
        error = ln_run_publish(run, event->model, sample ? (double)event->tag / sample : 1);
        self->closing = 0;
        if (!error && !ln_run_finished(run))
            error = close_if_full(self, o, run);
        break;
    }
    default:
        break;
    }
    return error ? error : refill(self, o, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    (void)options;
    if (ln_archive_reading(archive)) {
        int error = allocate(self, run);
        if (error)
            return error;
    }
    ln_archive_u64(archive, &self->in_flight);
    ln_archive_u64(archive, &self->gathered);
    ln_archive_u64(archive, &self->opened);
    ln_archive_u64(archive, &self->closing);
    ln_archive_u64(archive, &self->sum.value);
    ln_archive_u64(archive, &self->draws);
    return LN_OK;
}

extern const struct ln_strategy ln__strategy_fedbuff;
const struct ln_strategy ln__strategy_fedbuff = {
    .plugin = {.name = "fedbuff",
               .summary = "asynchronous: differences are gathered in a buffer, every K of them make a version",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .changes = true,
};
