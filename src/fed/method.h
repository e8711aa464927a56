/* Methods: which layers train where, and what crosses. A method has a device half, which speaks first, and a server half, which sees
 * only its session; they meet in the link. The same code runs in a simulation (both halves in one thread) and over a network.
 *
 *     device:  model -> train -> post(update)                                        full
 *     device:  model -> forward -> call(activation -> gradient) -> backward -> ...    splitfed
 *     device:  forward -> post(quantised activation)            server: keep, train   ecofed
 */
#ifndef LINNET_FED_METHOD_H
#define LINNET_FED_METHOD_H

#include "fed/task.h"
#include <linnet/codec.h>

/* A message between the halves: what of it is payload is counted by the ledger, the rest is envelope. */
struct ln__message {
    struct ln__buf bytes;
    uint64_t payload; /* bytes of tensors and labels */
};

/* The device's end. Both count bytes, add to the trace and return an error only when the link is gone for good. */
struct ln__link;
struct ln__session;
int ln__link_post(struct ln__link *link, const struct ln__message *message) LN_MUST_CHECK; /* ordered, resumable; returns at once */
int ln__link_call(struct ln__link *link, const struct ln__message *request, struct ln__message *reply) LN_MUST_CHECK;

/* What a device half works with. */
struct ln__device {
    const struct ln__env *env;
    struct ln__worker *worker;
    const struct ln__task *task;
    struct ln__key key;    /* seed, turn, client: set the purpose */
    const uint32_t *index; /* the client's samples in the training split */
    uint32_t samples;
    struct ln__link *link;
    struct ln__result *result;
    const struct ln__submodel *part; /* what the client has of the network: states are of its graph; NULL: all */
};

/* Helpers for device halves (fed/device.c). */
/* The state the device starts from: of segment, through codec.down; bytes are counted; the rest of state is left alone. */
int ln__device_pull(struct ln__device *device, struct ln__segment segment, float *state) LN_MUST_CHECK;
/* Sends what `update` selects of the segment's change, through codec.up, and makes it (part of) the result's update. */
int ln__device_push(struct ln__device *device, struct ln__segment segment, const float *before, const float *after) LN_MUST_CHECK;
void ln__device_worked(struct ln__device *device, uint64_t macs); /* device compute goes into the trace */
/* The usual training of the whole network: the task's epochs over the client's samples from start to end (state-sized), with the strategy's device half
 * and the run's learning rate; sets the result's samples, loss and accuracy. A step allocates nothing. */
int ln__device_train(struct ln__device *device, const float *start, float *end) LN_MUST_CHECK;
/* The server half's part of the result, as it is: no codec, it travels nowhere. After the device's, in order of layers. */
int ln__session_push(struct ln__session *session, struct ln__segment segment, const float *state) LN_MUST_CHECK;
/* Payload and wire bytes of a segment's tensors in a message of their own. part: of that; NULL: of the whole. */
void ln__segment_foretell(const struct ln__env *env, const struct ln__submodel *part, const struct ln_choice *codec, struct ln__segment segment,
                          enum ln__outlook outlook, uint64_t *payload, uint64_t *wire);
/* Bytes of a tensor of that shape. */
size_t ln__tensor_foretell(const struct ln_choice *codec, const struct ln_codec_shape *shape, enum ln__outlook outlook);
double ln__task_rate(const struct ln__env *env, double progress); /* the learning rate there */
#define LN__ENVELOPE 32                                           /* bytes around a message on the wire: kind, task, sequence, length, check */
/* A state-sized buffer of the worker's; slot 0..3, of which 3 is overwritten when a task has ended. NULL: no memory. */
float *ln__worker_state(struct ln__worker *worker, int slot);
/* The worker's net for that segment, made at first use. */
struct ln__net_wish {
    struct ln__segment segment;
    int batch;
    bool train, input_grad;
    int copy;  /* different numbers are different nets: device half 0, server half 1 */
    bool test; /* in float, as all tests of a model are */
    bool side; /* of the method's own graph (whole), instead of the model's */
};
int ln__worker_net(struct ln__worker *worker, const struct ln__net_wish *wish, struct ln__net **net, struct ln_fault *fault) LN_MUST_CHECK;

/* What a server half works with: one client's task. */
struct ln__session {
    const struct ln__env *env;
    struct ln__worker *worker; /* of the server's side */
    const struct ln__task *task;
    struct ln__key key;
    struct ln__result *result;
    uint64_t macs; /* the server half's work: open, answer and close add to it; the trace takes it after each */
    void *own;     /* the method's, made by open, freed by close */
};

/* Several clients' results joined by the server in one piece of work, when the strategy closes its sum. */
struct ln__gather {
    const struct ln__env *env;
    struct ln__worker *worker;
    const uint32_t *client;
    const double *weight;
    struct ln_blob *const *keep;
    size_t count;
    struct ln__key key;
    double progress;
    float *state; /* in: the sum's result; out: what takes its place */
    struct ln__trace *trace;
};

struct ln__method_needs {
    bool frozen;            /* the device part runs forward only: its memory is planned so */
    int cut;                /* where the device part ends: model.init.kind partial follows it; 0: the method does not cut */
    struct ln__graph *side; /* a graph of the method's own on the device (an auxiliary head): its tensors are averaged and travel with the device
                               part, but are no part of the saved model. The environment's from here on, also where plan fails. Or NULL */
    uint64_t keep_max;      /* bytes of all clients' keeps together; 0: any */
};

struct ln__method {
    struct ln_plugin plugin;
    /* Checks options (a cut that is none: names the valid ones) and prepares what the calls below share. *plan is read-only from then on. */
    int (*plan)(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault);
    void (*unplan)(void *plan);
    /* Where that client's work of that round happens; pure in (keep, client, round). NULL: always LN__DEVICE. */
    enum ln__site (*site)(const void *plan, const struct ln__env *env, bool has_keep, uint32_t client, uint32_t round);
    /* What the task will cost, at the least or likely: fills trace. */
    int (*foretell)(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
                    struct ln__trace *trace);
    /* The device half of a training task. */
    int (*device)(const void *plan, struct ln__device *device);
    /* The server half; all three NULL where the server only folds. open before the device begins (or, site SERVER, alone: then close follows). answer
     * may be called for any bytes a peer sends: LN_ECORRUPT closes that session. reply is NULL for a post. close always follows open, also a failed
     * one; it frees own (which may be NULL) and, unless failed, adds its part of the update to the result. */
    int (*open)(const void *plan, struct ln__session *session);
    int (*answer)(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply);
    int (*close)(const void *plan, struct ln__session *session, bool failed);
    /* NULL, or the server's joint work over all results of a sum. */
    int (*gather)(const void *plan, struct ln__gather *gather);
};

#endif
