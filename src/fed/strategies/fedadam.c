/* FedAdam (Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2): FedAvg's mean, less the model, is a pseudo-gradient d for
 * Adam on the server:
 *
 *     m <- beta1 m + (1 - beta1) d;   v <- beta2 v + (1 - beta2) d^2;   w <- w + eta m / (sqrt v + tau)
 *
 * m starts at 0, v at tau^2; no bias correction, as there. Running statistics of norms are no parameters: they take the mean, and so does
 * what a method has beside the model (the auxiliary heads of localloss and fedgkt). */
#include <math.h>
#include <string.h>

#include "fed/rounds.h"

struct options {
    double eta, beta1, beta2, tau, deadline_s;
};

static const struct ln_option options_table[] = {{.key = "eta",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, eta),
                                                  .fallback = "0.01",
                                                  .min = 0,
                                                  .max = 1e6,
                                                  .help = "the server's learning rate (10^-2: the paper's best for CIFAR-10 within 10^-3..1)"},
                                                 {.key = "beta1",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, beta1),
                                                  .fallback = "0.9",
                                                  .min = 0,
                                                  .max = 0.999999,
                                                  .help = "decay of the first moment (0.9: the paper's)"},
                                                 {.key = "beta2",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, beta2),
                                                  .fallback = "0.99",
                                                  .min = 0,
                                                  .max = 0.999999,
                                                  .help = "decay of the second moment (0.99: the paper's)"},
                                                 {.key = "tau",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, tau),
                                                  .fallback = "0.001",
                                                  .min = 1e-12,
                                                  .max = 1e6,
                                                  .help = "adaptivity (10^-3: the paper's)"},
                                                 {.key = "deadline_s",
                                                  .type = LN_OPT_REAL,
                                                  .offset = offsetof(struct options, deadline_s),
                                                  .fallback = "0",
                                                  .min = 0,
                                                  .max = 1e9,
                                                  .help = "seconds after which a round goes on without who has not answered; 0: it waits"},
                                                 {0}};

struct state {
    struct ln__rounds rounds;
    struct ln_blob *moments[2]; /* m and v, as models; NULL before the first round */
};

static int begin(struct state *self, const struct options *o, struct ln_run *run)
{
    return ln__rounds_begin(&self->rounds, run, &(struct ln_order){.deadline_s = o->deadline_s});
}

static int start(void *state, const void *options, struct ln_run *run)
{
    return begin(state, options, run);
}

/* What the step reads and writes, state-sized each; old moments NULL at first. */
struct step {
    const float *w, *mean, *m, *v;
    float *new_w, *new_m, *new_v;
};

static void step_values(const struct options *o, const struct step *s, size_t trainable, size_t size)
{
    for (size_t i = 0; i < trainable; i++) {
        double d = (double)s->mean[i] - (double)s->w[i];
        double m = o->beta1 * (s->m ? (double)s->m[i] : 0) + (1 - o->beta1) * d;
        double v = o->beta2 * (s->v ? (double)s->v[i] : o->tau * o->tau) + (1 - o->beta2) * d * d;
        s->new_m[i] = (float)m;
        s->new_v[i] = (float)v;
        s->new_w[i] = (float)((double)s->w[i] + o->eta * m / (sqrt(v) + o->tau));
    }
    memcpy(s->new_w + trainable, s->mean + trainable, (size - trainable) * sizeof *s->mean);
}

static int adam(struct state *self, const struct options *o, struct ln_run *run, struct ln_blob *mean)
{
    struct step s = {0};
    struct ln_blob *model = NULL, *moments[2] = {NULL, NULL}, *newest = ln_run_model(run);
    int error = ln_run_make(run, &s.new_w, &model);
    if (!error)
        error = ln_run_make(run, &s.new_m, &moments[0]);
    if (!error)
        error = ln_run_make(run, &s.new_v, &moments[1]);
    if (!error) {
        s.w = ln_blob_read(run, newest);
        s.mean = ln_blob_read(run, mean);
        s.m = self->moments[0] ? ln_blob_read(run, self->moments[0]) : NULL;
        s.v = self->moments[1] ? ln_blob_read(run, self->moments[1]) : NULL;
        bool all = s.w && s.mean && (s.m || !self->moments[0]) && (s.v || !self->moments[1]);
        if (all)
            step_values(o, &s, ln_run_trainable_size(run), ln_run_state_size(run));
        else
            error = LN_EIO;
        if (s.w)
            ln_blob_release(run, newest);
        if (s.mean)
            ln_blob_release(run, mean);
        for (int k = 0; k < 2; k++) {
            if (k ? s.v != NULL : s.m != NULL)
                ln_blob_release(run, self->moments[k]);
        }
    }
    if (!error)
        error = ln_run_publish(run, model, 1);
    ln_blob_unref(model);
    for (int k = 0; k < 2; k++) {
        ln_blob_unref(error ? moments[k] : self->moments[k]);
        if (!error)
            self->moments[k] = moments[k];
    }
    return error;
}

static int event(void *state, const void *options, struct ln_run *run, const struct ln_event *event)
{
    struct state *self = state;
    struct ln_blob *mean;
    int error = ln__rounds_event(&self->rounds, run, event, &mean);
    if (!error && mean)
        error = mean == ln_run_model(run) ? ln_run_publish(run, mean, 1) : adam(self, options, run, mean);
    return error ? error : begin(self, options, run);
}

static int archive(void *state, const void *options, struct ln_run *run, struct ln_archive *archive)
{
    struct state *self = state;
    (void)options, (void)run;
    ln__rounds_archive(&self->rounds, archive);
    ln_archive_blob(archive, &self->moments[0]);
    ln_archive_blob(archive, &self->moments[1]);
    return LN_OK;
}

static void stop(void *state, const void *options, struct ln_run *run)
{
    struct state *self = state;
    (void)options, (void)run;
    for (int k = 0; k < 2; k++) {
        ln_blob_unref(self->moments[k]);
        self->moments[k] = NULL;
    }
}

const struct ln_strategy ln__strategy_fedadam = {
    .plugin = {.name = "fedadam",
               .summary = "fedavg's mean as a gradient for Adam on the server",
               .options = options_table,
               .options_size = sizeof(struct options)},
    .state_size = sizeof(struct state),
    .start = start,
    .event = event,
    .archive = archive,
    .stop = stop,
};
