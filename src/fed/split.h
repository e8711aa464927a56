/* What the methods that cut the model have in common: the cut, checked and measured; the walk of a device over its batches; the server's copy of the
 * rest and one step of it; what a task's trace will be. */
#ifndef LINNET_FED_SPLIT_H
#define LINNET_FED_SPLIT_H

#include "fed/worker.h"

/* A checked cut. */
struct ln__halves {
    const struct ln__env *env;
    int cut, classes;
    struct ln__segment device, server;
    struct ln__shape shape; /* of what crosses, one sample */
    size_t values;          /* floats of it */
    bool nonnegative;
    const struct ln_choice *act;                                             /* codec.act */
    uint32_t batch;                                                          /* most samples a message */
    unsigned label_bytes;                                                    /* 8, as EcoFed's authors send labels, or 1 */
    uint64_t device_forward, device_train, server_train, server_train_input; /* multiply-adds a sample; input: with the gradient that goes down */
};

/* Options every cutting method begins with. */
struct ln__split_options {
    int64_t cut;
    int labels; /* 0: int64, 1: byte */
};
#define LN__SPLIT_OPTIONS(options)                                                                                                                   \
    {.key = "cut",                                                                                                                                   \
     .type = LN_OPT_INT,                                                                                                                             \
     .offset = offsetof(options, split.cut),                                                                                                         \
     .fallback = "2",                                                                                                                                \
     .min = 0,                                                                                                                                       \
     .max = 1e6,                                                                                                                                     \
     .help = "the cut point where the device part ends (`linnet list models` shows them); EcoFed's VGG11 and ResNet9: 2"},                           \
    {                                                                                                                                                \
        .key = "labels", .type = LN_OPT_ENUM, .offset = offsetof(options, split.labels), .fallback = "int64", .choices = "int64|byte",               \
        .help = "bytes a label takes on the wire: 8, as EcoFed's authors count, or 1 (up to 256 classes)"                                            \
    }

/* LN_ECONFIG lists the valid cuts, or says that labels do not fit a byte. Fills needs->cut. */
int ln__split_plan(const struct ln__env *env, const struct ln__split_options *options, struct ln__halves *out, struct ln__method_needs *needs,
                   struct ln_fault *fault) LN_MUST_CHECK;

/* A head of a flattening and a linear layer from the cut's shape to the classes: "aux.weight", "aux.bias". */
int ln__split_head(const struct ln__halves *split, struct ln__graph **out, struct ln_fault *fault) LN_MUST_CHECK;
/* The side's own part of a state. */
static inline float *ln__split_side(const struct ln__halves *split, float *state)
{
    return state + ln__graph_state(split->env->graph);
}

/* ---- a device's batches, as ln__device_train draws them: the same samples, order, augmentation and dropout ---- */
struct ln__walk {
    struct ln__device *device;
    const struct ln__halves *split;
    uint32_t passes; /* over the client's samples */
    uint32_t epoch;  /* of this batch, from 0 */
    uint64_t step;   /* of this batch, from 0 */
    uint32_t n;      /* samples in the worker's x and y */
    double rate;     /* learning rate */
    struct ln__net_draw draw;
    uint32_t at; /* of the next batch */
};
int ln__walk_begin(struct ln__walk *walk, struct ln__device *device, const struct ln__halves *split, uint32_t passes) LN_MUST_CHECK;
/* Fills the worker's batch: 1, or 0 after the last one, or LN_EINTERRUPTED. */
int ln__walk_next(struct ln__walk *walk) LN_MUST_CHECK;

/* What a strategy's device half asks of a step. */
double ln__split_proximal(const struct ln__env *env, const struct ln__task *task, uint32_t epoch);

/* ---- a device that trains its part, and the side behind it where there is one ---- */
struct ln__device_half {
    struct ln__walk walk;
    struct ln__net *net, *head; /* head: the side's, or NULL */
    float *x, *dx;              /* [batch][values] each */
    float *logits, *taught;     /* [batch][classes] each */
    struct ln__message up, down;
};
/* Forward of the part; what crosses the cut lies in x and, with the labels, as a message in up. */
int ln__device_half_forward(struct ln__device_half *half) LN_MUST_CHECK;
/* What is done with one batch, which lies in the worker's x and y. */
typedef int ln__device_batch(struct ln__device_half *half);
/* The device part comes, is trained for the task's epochs, and goes. */
int ln__split_device(struct ln__device *device, const struct ln__halves *split, ln__device_batch *batch) LN_MUST_CHECK;
/* Backward and update, with what the strategy's device half asks for: of the head, if there is one, from dlogits (NULL: from its loss) to dx, and of
 * net from dx. */
void ln__device_half_learn(struct ln__device_half *half, const float *dlogits);

/* ---- the server's copy of the layers behind the cut ---- */
struct ln__server_half {
    const struct ln__halves *split;
    struct ln__net *net;
    double rate;
    uint64_t step;
    uint64_t samples; /* trained on in the last epoch, */
    double loss;      /* and what came of it */
    uint64_t correct;
    uint32_t epoch;
    bool proximal;
    int32_t *label;         /* [batch] */
    float *x, *dx;          /* [batch][values] each */
    float *logits, *taught; /* [batch][classes] each */
};
/* From state (borrowed for the call), with a fresh optimiser, in a net of the worker's. input_grad: ln__server_step may be asked for dx. fini also where
 * begin failed. */
int ln__server_begin(struct ln__server_half *half, const struct ln__halves *split, struct ln__worker *worker, const float *state, bool input_grad,
                     double progress, struct ln_fault *fault) LN_MUST_CHECK;
void ln__server_fini(struct ln__server_half *half);
/* begin from the task's model; what the copy has become is the session's part of the update, its loss and accuracy the result's. */
int ln__server_open(struct ln__server_half *half, const struct ln__halves *split, struct ln__session *session, bool input_grad) LN_MUST_CHECK;
int ln__server_push(struct ln__server_half *half, struct ln__session *session) LN_MUST_CHECK;
/* A session that is such a copy and nothing else (splitfed, localloss, fedgkt): it is session->own; the second one is a method's close. */
int ln__split_open(const struct ln__halves *split, struct ln__session *session, bool input_grad) LN_MUST_CHECK;
int ln__split_close(const void *plan, struct ln__session *session, bool failed) LN_MUST_CHECK;
struct ln__server_batch {
    uint32_t n, epoch;
    const float *x;
    const int32_t *label;
    const float *dlogits; /* the loss's gradient where the caller has it (its forward is done), or NULL: cross-entropy */
    double sum;           /* with dlogits: the loss */
    int correct;
    struct ln__key key;
    double mu; /* proximal */
    float *dx; /* or NULL */
};
/* Forward, loss, backward, update. */
void ln__server_step(struct ln__server_half *half, const struct ln__server_batch *batch);
/* A step on what the session's device has sent; dx: its gradient, or NULL. */
struct ln__activations;
void ln__server_train(struct ln__server_half *half, struct ln__session *session, const struct ln__activations *batch, float *dx);

/* ---- what is foretold ---- */
/* What one batch of n samples of that pass adds. */
typedef int ln__split_batch_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t pass, uint32_t n, enum ln__outlook outlook,
                                     struct ln__trace *trace);
/* The device part comes down (unless frozen), `passes` passes of batches, the device part goes up (unless frozen). */
int ln__split_foretell(const struct ln__halves *split, const struct ln__task *task, uint32_t samples, uint32_t passes, bool frozen,
                       ln__split_batch_foretell *batch, enum ln__outlook outlook, struct ln__trace *trace) LN_MUST_CHECK;

#endif
