/* FedAsync (Xie et al., "Asynchronous Federated Optimization", 2019, Algorithm 1): a fixed number of clients train at any time; each arrival becomes part of
 * the model at once,
 *
 *     w <- (1 - a_t) w + a_t w_k,   a_t = alpha s(t - tau)
 *
 * tau: the version the client started from, t: the newest. a_t is made afresh from alpha for each arrival. Clients minimise F_k + rho/2 ||w - w_tau||^2. A
 * client that answers is replaced at once by another, drawn evenly from those that are idle. */
#include "fed/grouping.h"
#include "fed/staleness.h"

struct options {
    double alpha, rho;
    struct ln__staleness staleness;
    int64_t in_flight;
};

static const struct ln_option options_table[] = {{.key = "alpha",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, alpha),
                                                  .fallback = "0.6",
                                                  .min = 1e-6,
                                                  .max = 1,
                                                  .help = "share of a fresh arrival in the new model (0.6: the paper's; also 0.9)"},
                                                 LN__STALENESS_OPTIONS(struct options, staleness, "how much less a late arrival counts"),
                                                 {.key = "rho",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, rho),
                                                  .fallback = "0.005",
                                                  .min = 0,
                                                  .max = 1e6,
                                                  .help = "weight of the clients' proximal term (0.005: the paper's)"},
                                                 {.key = "in_flight",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, in_flight),
                                                  .fallback = "0",
                                                  .min = 0,
                                                  .max = 1e7,
                                                  .help = "clients that train at a time; 0: train.sample"},
                                                 {0}};

struct arrival {
    struct ln_blob *update;
    uint64_t version;
};

struct state {
    uint64_t in_flight, draws;
    uint64_t mixing;      /* a sum is closed, its model is to come: who arrives meanwhile waits */
    uint64_t waiting;     /* arrivals, oldest first: a ring of `room` */
    uint64_t first, room; /* room: in_flight of the options */
    struct arrival *arrival;
    uint32_t *present; /* scratch: everyone */
};

static size_t wanted(const struct options *o, const struct ln_run *run)
{
    size_t want = o->in_flight ? (size_t)o->in_flight : ln_run_sample_size(run);
    return want < ln_run_clients(run) ? want : ln_run_clients(run);
}

/* An idle client for every one that is missing; who replaces an arrival starts from the model with it mixed in. */
static int refill(struct state *self, const struct options *o, struct ln_run *run)
{
    uint64_t round = ln_run_version(run);
    size_t want = wanted(o, run);
    while (!ln_run_finished(run) && self->in_flight + self->waiting + self->mixing < want) {
        const uint32_t *list = self->present;
        bool waits = self->in_flight + self->waiting + self->mixing > 0; /* for a version, whose round may have work where this one has none */
        size_t count = waits ? ln_run_available(run, (uint32_t)round, &list) : ln__present(run, NULL, 0, &round, self->present);
        uint32_t chosen[256];
        size_t missing = want - self->in_flight - self->waiting - self->mixing;
        size_t drawn = ln_run_pick(run, (uint32_t)self->draws++, list, count, missing < 256 ? missing : 256, chosen);
        uint64_t before = self->in_flight;
        for (size_t i = 0; i < drawn; i++) {
            bool sent;
            int error =
                ln__dispatch(run, &(struct ln_order){.kind = LN_TASK_TRAIN, .client = chosen[i], .round = (uint32_t)round, .mu = o->rho}, &sent);
            if (error)
                return error;
            self->in_flight += sent;
        }
        if (self->in_flight == before)
            break;
    }
    return LN_OK;
}

static int make_room(struct state *self, const struct options *o, struct ln_run *run)
{
    self->room = wanted(o, run);
    self->arrival = ln_run_alloc(run, self->room * sizeof *self->arrival);
    self->present = ln_run_alloc(run, ln_run_clients(run) * sizeof *self->present);
    return self->arrival && self->present ? LN_OK : LN_ENOMEM;
}

static int start(void *state, const void *options, struct ln_run *run)
{
    int error = make_room(state, options, run);
    return error ? error : refill(state, options, run);
}

/* (1 - share) model + share update. *refused: nothing comes of it. */
static int mix_one(struct ln_run *run, struct ln_blob *update, double share, bool *refused)
{
    struct ln_sum_id sum;
    *refused = false;
    int error = ln_run_sum_open(run, 1.5, &sum);
    if (error)
        return error;
    error = ln_run_sum_add(run, sum, ln_run_model(run), 1 - share);
    if (error)
        return error;
    error = ln_run_sum_add(run, sum, update, share);
    *refused = error == LN_EREFUSED;
    if (*refused)
        return ln_run_sum_drop(run, sum);
    return error ? error : ln_run_sum_close(run, sum, 1, 0);
}

/* Mixes the oldest arrival in, unless another is being mixed. */
static int mix(struct state *self, const struct options *o, struct ln_run *run)
{
    while (!self->mixing && self->waiting > 0 && !ln_run_finished(run)) {
        struct arrival arrival = self->arrival[self->first];
        self->arrival[self->first] = (struct arrival){0};
        self->first = (self->first + 1) % self->room;
        self->waiting--;
        double late = ln_run_version(run) > arrival.version ? (double)(ln_run_version(run) - arrival.version) : 0;
        double share = o->alpha * ln__staleness(&o->staleness, late);
        bool refused;
        int error = mix_one(run, arrival.update, share, &refused);
        ln_blob_unref(arrival.update);
        if (error)
            return error;
        if (refused)
            continue;
        self->mixing = 1;
        ln_run_note(run, "staleness", late);
    }
    return LN_OK;
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    int error = LN_OK;
    switch (event->kind) {
    case LN_EVENT_DONE:
        self->in_flight--;
        if (event->update) {
            self->arrival[(self->first + self->waiting) % self->room] =
                (struct arrival){.update = ln_blob_ref(event->update), .version = event->base_version};
            self->waiting++;
        }
        break;
    case LN_EVENT_FAILED:
    case LN_EVENT_CANCELLED:
        self->in_flight--;
        break;
    case LN_EVENT_SUM:
        self->mixing = 0;
        error = ln_run_publish(run, event->model, 1.0 / ln_run_sample_size(run));
        break;
    default:
        break;
    }
    if (!error)
        error = mix(self, options, run);
    return error ? error : refill(self, options, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    if (ln_archive_reading(archive)) {
        int error = make_room(self, options, run);
        if (error)
            return error;
    }
    ln_archive_u64(archive, &self->in_flight);
    ln_archive_u64(archive, &self->draws);
    ln_archive_u64(archive, &self->mixing);
    ln_archive_u64(archive, &self->waiting);
    ln_archive_u64(archive, &self->first);
    if (self->waiting > self->room || self->first >= self->room)
        return LN_ECORRUPT;
    for (uint64_t i = 0; i < self->waiting; i++) {
        struct arrival *arrival = &self->arrival[(self->first + i) % self->room];
        ln_archive_blob(archive, &arrival->update);
        ln_archive_u64(archive, &arrival->version);
    }
    return LN_OK;
}

static void stop(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    (void)options, (void)run;
    for (uint64_t i = 0; self->arrival && i < self->room; i++)
        ln_blob_unref(self->arrival[i].update);
    self->waiting = self->room = 0;
}

static void local(const void *options, struct ln_local *local)
{
    (void)options;
    ln_local_proximal(local, ln_local_mu(local));
}

const struct ln_strategy ln__strategy_fedasync = {
    .plugin = {.name = "fedasync",
               .summary = "every arrival is mixed into the model at once, less the later it is",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .stop = stop,
    .local = local,
};
