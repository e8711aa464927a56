/* Astraea (Duan et al., TPDS 2021, Algorithms 1 and 3): the clients of a round are put behind mediators so that each mediator's joint labels come near the
 * uniform distribution; greedily: to the mediator goes the client with the least KL(P_m + P_i || uniform), until it has gamma of them, then the next
 * one is filled. A mediator's clients train one after another, each from the model its predecessor left, `passes` times around (E_m). Then
 *
 *     w <- w + sum over mediators of (n_m / n) (w_m - w)
 *
 * n_m: samples behind mediator m, n: all of the round's. All mediators start from the same w, so this is the weighted mean of the w_m.
 *
 * A client that fails is passed over: its successor starts from the predecessor's model, and its samples do not count. Unlike the
 * paper's, no augmentation of rare classes happens here: that is the data's business (a strategy sees no samples). */
#include <math.h>
#include <string.h>

#include "fed/grouping.h"

struct options {
    int64_t gamma, passes, clients;
};

static const struct ln_option options_table[] = {{.key = "gamma",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, gamma),
                                                  .fallback = "10",
                                                  .min = 1,
                                                  .max = 1e6,
                                                  .help = "most clients behind a mediator (10: the paper's)"},
                                                 {.key = "passes",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, passes),
                                                  .fallback = "2",
                                                  .min = 1,
                                                  .max = 1e6,
                                                  .help = "times a mediator goes through its clients, E_m (2: the paper's)"},
                                                 {.key = "clients",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, clients),
                                                  .fallback = "0",
                                                  .min = 0,
                                                  .max = 1e6,
                                                  .help = "clients of a round, all mediators together; 0: train.sample"},
                                                 {0}};

struct mediator {
    struct ln_blob *model; /* what its next client starts from; NULL: the newest */
    uint64_t first, count; /* its part of members */
    uint64_t at;           /* tasks begun or passed over; the end: count * passes */
    double samples;
};

struct state {
    uint64_t room, mediators_room; /* clients and mediators memory is for */
    uint64_t mediators, running;   /* of this round */
    uint64_t folding, round;
    uint32_t *member, *chosen; /* by mediator; scratch */
    uint32_t *present;         /* scratch: everyone */
    double *labels;            /* scratch: (room + 2) * classes */
    struct mediator *mediator;
};

#define FOLD_TAG UINT64_MAX

static int allocate(struct state *self, const struct options *o, struct ln_run *run)
{
    uint64_t want = o->clients ? (uint64_t)o->clients : ln_run_sample_size(run);
    self->room = want < ln_run_clients(run) ? want : ln_run_clients(run);
    self->room += self->room == 0;
    self->mediators_room = (self->room + (uint64_t)o->gamma - 1) / (uint64_t)o->gamma;
    self->member = ln_run_alloc(run, self->room * sizeof *self->member);
    self->chosen = ln_run_alloc(run, self->room * sizeof *self->chosen);
    self->present = ln_run_alloc(run, ln_run_clients(run) * sizeof *self->present);
    self->labels = ln_run_alloc(run, (self->room + 2) * (size_t)ln_run_classes(run) * sizeof *self->labels);
    self->mediator = ln_run_alloc(run, self->mediators_room * sizeof *self->mediator);
    return self->member && self->chosen && self->present && self->labels && self->mediator ? LN_OK : LN_ENOMEM;
}

/* Puts count clients of chosen behind mediators. */
static void arrange(struct state *self, const struct options *o, struct ln_run *run, size_t count)
{
    int classes = ln_run_classes(run);
    double *joint = self->labels + self->room * (size_t)classes, *with = joint + classes;
    for (size_t i = 0; i < count; i++)
        ln__labels(run, self->chosen[i], self->labels + i * (size_t)classes);
    uint64_t placed = 0;
    self->mediators = 0;
    while (placed < count) {
        struct mediator *m = &self->mediator[self->mediators++];
        *m = (struct mediator){.first = placed};
        memset(joint, 0, (size_t)classes * sizeof *joint);
        while (m->count < (uint64_t)o->gamma && placed < count) {
            size_t best = count;
            double least = INFINITY;
            for (size_t i = 0; i < count; i++) {
                if (self->chosen[i] == LN__CLIENT_NONE)
                    continue;
                for (int c = 0; c < classes; c++)
                    with[c] = joint[c] + self->labels[i * (size_t)classes + (size_t)c];
                double kl = ln__kl_uniform(with, classes);
                if (kl < least) {
                    least = kl;
                    best = i;
                }
            }
            for (int c = 0; c < classes; c++)
                joint[c] += self->labels[best * (size_t)classes + (size_t)c];
            self->member[placed++] = self->chosen[best];
            self->chosen[best] = LN__CLIENT_NONE;
            m->count++;
        }
        ln_run_trace(run, "mediator_skew", (uint32_t)(self->mediators - 1), ln__kl_uniform(joint, classes));
    }
}

/* The mediator's next client that can be asked; at the end of the chain one mediator less is running. */
static int next_client(struct state *self, const struct options *o, struct ln_run *run, uint64_t number)
{
    struct mediator *m = &self->mediator[number];
    uint64_t end = m->count * (uint64_t)o->passes;
    while (m->at < end) {
        uint32_t client = self->member[m->first + m->at++ % m->count];
        struct ln_order order = {.kind = LN_TASK_TRAIN, .client = client, .round = (uint32_t)self->round, .model = m->model, .tag = number};
        bool sent;
        int error = ln__dispatch(run, &order, &sent);
        if (error || sent)
            return error;
    }
    self->running--;
    return LN_OK;
}

static void forget(struct state *self)
{
    for (uint64_t i = 0; i < self->mediators; i++) {
        ln_blob_unref(self->mediator[i].model);
        self->mediator[i].model = NULL;
    }
    self->mediators = 0;
}

static int begin(struct state *self, const struct options *o, struct ln_run *run)
{
    if (self->mediators > 0 || self->folding || ln_run_finished(run))
        return LN_OK;
    size_t count = ln__present(run, NULL, 0, &self->round, self->present);
    count = ln_run_pick(run, (uint32_t)self->round, self->present, count, self->room, self->chosen);
    if (count == 0)
        return LN_OK;
    arrange(self, o, run, count);
    int error = LN_OK;
    self->running = self->mediators;
    for (uint64_t i = 0; i < self->mediators && !error; i++)
        error = next_client(self, o, run, i);
    if (!error && self->running == 0)
        forget(self); /* nobody could be asked: the next event tries again */
    return error;
}

/* When no mediator is running any more: folds what they have, or gives the round up. */
static int finish(struct state *self, struct ln_run *run)
{
    if (self->mediators == 0 || self->running > 0 || self->folding)
        return LN_OK;
    double total = 0;
    for (uint64_t i = 0; i < self->mediators; i++)
        total += self->mediator[i].model ? self->mediator[i].samples : 0;
    self->round++;
    if (!(total > 0)) {
        forget(self);
        return LN_OK;
    }
    struct ln_sum_id sum;
    int error = ln_run_sum_open(run, total, &sum);
    for (uint64_t i = 0; i < self->mediators && !error; i++) {
        if (self->mediator[i].model)
            error = ln_run_sum_add(run, sum, self->mediator[i].model, self->mediator[i].samples);
    }
    self->folding = 1;
    return error ? error : ln_run_sum_close(run, sum, total, FOLD_TAG);
}

static int answered(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (event->tag >= self->mediators)
        return LN_OK;
    if (event->kind != LN_EVENT_DONE || !event->update || !(event->samples > 0))
        return next_client(self, o, run, event->tag);
    /* The update as a model: a sum of itself alone. */
    struct ln_sum_id sum;
    int error = ln_run_sum_open(run, 1, &sum);
    if (!error)
        error = ln_run_sum_add(run, sum, event->update, 1);
    if (error == LN_EREFUSED) {
        error = ln_run_sum_drop(run, sum);
        return error ? error : next_client(self, o, run, event->tag);
    }
    if (error)
        return error;
    self->mediator[event->tag].samples += event->samples;
    return ln_run_sum_close(run, sum, 1, event->tag);
}

static int summed(struct state *self, const struct options *o, struct ln_run *run, const struct ln_event *event)
{
    if (event->tag == FOLD_TAG) {
        ln_run_note(run, "mediators", (double)self->mediators);
        forget(self);
        self->folding = 0;
        return ln_run_publish(run, event->model, 1);
    }
    if (event->tag >= self->mediators)
        return LN_OK;
    struct mediator *m = &self->mediator[event->tag];
    ln_blob_unref(m->model);
    m->model = ln_blob_ref(event->model);
    return next_client(self, o, run, event->tag);
}

static int start(void *state, const void *options, struct ln_run *run)
{
    int error = allocate(state, options, run);
    return error ? error : begin(state, options, run);
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    int error = LN_OK;
    if (ln_run_finished(run))
        return LN_OK;
    switch (event->kind) {
    case LN_EVENT_DONE:
    case LN_EVENT_FAILED:
    case LN_EVENT_CANCELLED:
        error = answered(self, options, run, event);
        break;
    case LN_EVENT_SUM:
        error = summed(self, options, run, event);
        break;
    default:
        break;
    }
    if (!error)
        error = finish(self, run);
    return error ? error : begin(self, options, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    if (ln_archive_reading(archive)) {
        int error = allocate(self, options, run);
        if (error)
            return error;
    }
    ln_archive_u64(archive, &self->mediators);
    ln_archive_u64(archive, &self->running);
    ln_archive_u64(archive, &self->folding);
    ln_archive_u64(archive, &self->round);
    if (self->mediators > self->mediators_room) {
        self->mediators = 0; /* stop lets go of as many */
        return LN_ECORRUPT;
    }
    ln_archive_bytes(archive, self->member, self->room * sizeof *self->member);
    for (uint64_t i = 0; i < self->mediators; i++) {
        struct mediator *m = &self->mediator[i];
        ln_archive_blob(archive, &m->model);
        ln_archive_u64(archive, &m->first);
        ln_archive_u64(archive, &m->count);
        ln_archive_u64(archive, &m->at);
        ln_archive_real(archive, &m->samples);
        if (m->count == 0 || m->first > self->room || m->count > self->room - m->first)
            return LN_ECORRUPT;
    }
    return LN_OK;
}

static void stop(void *state, const void *options, struct ln_run *run)
{
    (void)options, (void)run;
    forget(state);
}

extern const struct ln_strategy ln__strategy_astraea;
const struct ln_strategy ln__strategy_astraea = {
    .plugin = {.name = "astraea",
               .summary = "mediators whose clients' labels complete one another; sequential inside, synchronous across",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .stop = stop,
};
