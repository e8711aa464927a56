/* Strategies: who trains when, and how results become the model. A strategy is one file: a constant struct ln_strategy.
 *
 * It is driven by events and never blocks; it sees no clock but the run's, draws no randomness but ln_run_draw, and does no
 * input or output. So the same strategy runs in a simulation and on a real fleet, and a run gives the same bits wherever it is computed. All
 * calls come from one thread.
 *
 *     start -> dispatch(order) ... -> event DONE -> sum_add ... -> sum_close -> event SUM -> publish -> dispatch ...
 *
 * The loop has refused, before a strategy hears of it: values that are NaN, infinite or out of range, duplicates, updates of a
 * version never sent, results after the end. */
#ifndef LINNET_STRATEGY_H
#define LINNET_STRATEGY_H

#include <linnet/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ln_run;
struct ln_blob; /* an immutable model or update; reference-counted */
struct ln_task_id {
    uint64_t value;
};
struct ln_sum_id {
    uint64_t value;
};

enum ln_task_kind {
    LN_TASK_TRAIN, /* train from the model; DONE brings an update */
    LN_TASK_EVAL,  /* test the model on the client's own samples; DONE brings loss and accuracy */
    LN_TASK_PROBE  /* a small exchange that measures; DONE brings estimate_s */
};

struct ln_order {
    enum ln_task_kind kind;
    uint32_t client;
    uint32_t round;        /* which round of the strategy's own counting this belongs to */
    struct ln_blob *model; /* what to start from, borrowed; NULL: the newest published model */
    uint32_t epochs;       /* 0: the recipe's */
    double mu;             /* for the device half: weight of a proximal term; 0: none */
    double deadline_s;     /* FAILED after that long; 0: none */
    uint64_t tag;          /* comes back with the event */
};

enum ln_event_kind {
    LN_EVENT_DONE,      /* a task's result has arrived */
    LN_EVENT_FAILED,    /* it never will: refused, timed out, the client vanished */
    LN_EVENT_CANCELLED, /* as asked */
    LN_EVENT_ALARM,     /* ln_run_alarm's time has come */
    LN_EVENT_SUM,       /* a closed sum's model */
    LN_EVENT_ROSTER     /* clients came or went: client and available say which */
};

/* Pointers are borrowed for the call; ln_blob_ref keeps one. */
struct ln_event {
    enum ln_event_kind kind;
    double time_s;
    uint64_t tag;           /* of the order, alarm or sum */
    struct ln_task_id task; /* DONE, FAILED, CANCELLED */
    enum ln_task_kind task_kind;
    uint32_t client, round;
    struct ln_blob *update; /* DONE of TRAIN */
    struct ln_blob *base;   /* the model the task started from */
    uint64_t base_version;  /* its version; of a model never published: the newest version when it was dispatched */
    double samples;         /* n_k */
    double loss, accuracy;  /* mean over the client's samples: in its last epoch (TRAIN) or of the model (EVAL) */
    double took_s;          /* from dispatch to arrival: the response latency, */
    bool device;            /* where the device took part: false when the server worked alone on what it keeps of the client */
    double estimate_s;      /* PROBE: what a training task would take now */
    int error;              /* FAILED: LN_E... */
    bool available;         /* ROSTER */
    struct ln_sum_id sum;   /* SUM */
    struct ln_blob *model;  /* SUM */
};

/* ---- what a strategy may ask of the run ---- */
uint32_t ln_run_clients(const struct ln_run *run);                /* all there are; ids 0..n-1 */
double ln_run_samples(const struct ln_run *run, uint32_t client); /* training samples it holds */
int ln_run_classes(const struct ln_run *run);
/* Label counts as the client reports them (noised where the recipe says so): counts[classes]. */
void ln_run_histogram(const struct ln_run *run, uint32_t client, double *counts);
/* Ids, ascending, of the clients that may be given a training task of that round now: present, idle, with samples, and with work to do
 * by the method. The list is valid until the next call. */
size_t ln_run_available(struct ln_run *run, uint32_t round, const uint32_t **clients);
uint32_t ln_run_sample_size(const struct ln_run *run); /* train.sample: clients a round */

double ln_run_now(const struct ln_run *run);            /* seconds of the run's clock */
uint64_t ln_run_version(const struct ln_run *run);      /* of the newest published model; 0 is the initial one */
struct ln_blob *ln_run_model(const struct ln_run *run); /* borrowed */
bool ln_run_finished(const struct ln_run *run);         /* no more orders are taken */

/* Randomness: word number index of the strategy's stream (seed, round, client, index). */
uint32_t ln_run_draw(const struct ln_run *run, uint32_t round, uint32_t client, uint64_t index);
/* count of the listed clients, drawn without replacement by round's stream, ascending, into out; returns how many (fewer when the list is shorter). */
size_t ln_run_pick(const struct ln_run *run, uint32_t round, const uint32_t *from, size_t from_count, size_t count, uint32_t *out);

/* LN_EINVALID: no such client, or one that is busy. LN_EREFUSED: finished. */
int ln_run_dispatch(struct ln_run *run, const struct ln_order *order, struct ln_task_id *id) LN_MUST_CHECK;
void ln_run_cancel(struct ln_run *run, struct ln_task_id id); /* its event still comes: CANCELLED, or what was already under way */
int ln_run_alarm(struct ln_run *run, double at_s, uint64_t tag) LN_MUST_CHECK;

/* The fold: an exact linear combination of blobs, sum of coefficient * x over divisor. Updates stand for the weights they lead to
 * (a difference is added to the model it started from). Integers inside, so neither the order of adding nor the place changes a bit. bound: at least the sum of
 * |coefficient| to come. sum_add with the negative coefficient takes a contribution out again. sum_close is answered by one SUM event; sum_drop, of a sum
 * nothing shall come of, by none. */
int ln_run_sum_open(struct ln_run *run, double bound, struct ln_sum_id *sum) LN_MUST_CHECK;
int ln_run_sum_add(struct ln_run *run, struct ln_sum_id sum, struct ln_blob *blob, double coefficient) LN_MUST_CHECK;
int ln_run_sum_close(struct ln_run *run, struct ln_sum_id sum, double divisor, uint64_t tag) LN_MUST_CHECK;
int ln_run_sum_drop(struct ln_run *run, struct ln_sum_id sum) LN_MUST_CHECK;

/* Makes model the newest version. progress: how much of a round this was: 1 for a synchronous one, 1/sample for one asynchronous arrival;
 * evaluation, learning-rate schedule and the run's end follow its total. */
int ln_run_publish(struct ln_run *run, struct ln_blob *model, double progress) LN_MUST_CHECK;
double ln_run_progress(const struct ln_run *run);
double ln_run_rounds(const struct ln_run *run); /* the progress at which the run ends at the latest: train.rounds */

/* Models as floats, for rules that are not linear (FedAdam). The state's layout: the model's trainable parameters, then its buffers, then what the
 * method has beside it (an auxiliary head). */
size_t ln_run_state_size(const struct ln_run *run);
size_t ln_run_trainable_size(const struct ln_run *run);
const float *ln_blob_read(struct ln_run *run, struct ln_blob *model); /* of models, not updates; valid until ln_blob_release */
void ln_blob_release(struct ln_run *run, struct ln_blob *model);
int ln_run_make(struct ln_run *run, float **values,
                struct ln_blob **model) LN_MUST_CHECK; /* fill values before anything else; caller owns a reference */
struct ln_blob *ln_blob_ref(struct ln_blob *blob);
void ln_blob_unref(struct ln_blob *blob);

/* Figures a strategy adds to metrics.jsonl's next line ("groups": 5), and events it tells the report ("moved", client, group; client UINT32_MAX: of none). */
void ln_run_note(struct ln_run *run, const char *name, double value);
void ln_run_trace(struct ln_run *run, const char *what, uint32_t client, double value);

/* Memory of the run: zeroed, freed with it. NULL: none left. */
void *ln_run_alloc(struct ln_run *run, size_t size);

/* ---- checkpoints: written and read in the same order; a short or foreign record is an error at the end ---- */
struct ln_archive;
void ln_archive_u64(struct ln_archive *archive, uint64_t *value);
void ln_archive_real(struct ln_archive *archive, double *value);
void ln_archive_bytes(struct ln_archive *archive, void *data, size_t size);
void ln_archive_blob(struct ln_archive *archive, struct ln_blob **blob); /* reading: a reference of its own; NULL is fine */
bool ln_archive_reading(const struct ln_archive *archive);

/* ---- the device half ---- */
/* One training step on a device, between backward and update. It sees the order's mu, the epoch (from 0) and can edit the gradient. */
struct ln_local;
uint32_t ln_local_epoch(const struct ln_local *local);
double ln_local_mu(const struct ln_local *local);
void ln_local_proximal(struct ln_local *local, double mu); /* gradient += mu (w - w at the task's start) */

/* ---- the plug-in ---- */
struct ln_strategy {
    struct ln_plugin plugin;
    size_t state_size; /* of self: zeroed before start */
    /* All of self that outlives a call is in self or in ln_run_alloc's memory. 0, or a negative code that ends the run. */
    int (*start)(void *self, const void *options, struct ln_run *run);
    int (*event)(void *self, const void *options, struct ln_run *run, const struct ln_event *event);
    /* Both ways of a checkpoint. When reading, start has not been called on this self; open sums and tasks are the loop's to keep. */
    int (*archive)(void *self, const void *options, struct ln_run *run, struct ln_archive *archive);
    void (*stop)(void *self, const void *options, struct ln_run *run); /* drop references held; may be NULL */
    /* Pure: runs on devices, many at a time. NULL: no device half. */
    void (*local)(const void *options, struct ln_local *local);
    /* Its sums are of changes: with every update its base is added the other way. Then what a client did not send is a change of zero that counts, also
     * where updates ask for means over those who sent an entry. */
    bool changes;
};

#ifdef __cplusplus
}
#endif
#endif
