/* Inside of a worker: what fed/worker.c makes and fed/device.c, fed/task.c use. */
#ifndef LINNET_FED_WORKER_H
#define LINNET_FED_WORKER_H

#include "fed/method.h"
#include "fed/update.h"
#include "nn/trainer.h"

#define LN__WORKER_NETS 8
#define LN__WORKER_STATES 4
#define LN__WORKER_PARTS 8 /* widths whose trainers are kept */

struct ln__worker {
    const struct ln__env *env;
    struct ln__pool *pool;
    const volatile int *stop;
    float *state[LN__WORKER_STATES];
    struct {
        struct ln__net_wish wish;
        struct ln__plan *plan;
        struct ln__net *net;
    } made[LN__WORKER_NETS];
    size_t nets;
    struct ln__trainer *trainer;
    struct {
        struct ln__submodel *like; /* whose graph it trains */
        struct ln__trainer *trainer;
    } part[LN__WORKER_PARTS];
    size_t parts;
    int batch; /* room of x and y */
    float *x;
    int32_t *y;
    uint32_t *order; /* room of a client's samples */
    uint32_t orders;
    float *values;         /* the largest tensor */
    struct ln__buf update; /* the message under construction */
    bool updating;
    struct ln__trace *trace; /* of the task that runs */
    /* the last whole model that went through a codec that is not exact */
    struct ln_blob *down;
    float *down_state;
    uint64_t *down_bytes; /* [tensors] */
    struct ln__buf through;
};

struct ln__link {
    struct ln__worker *worker;
    struct ln__session *session; /* NULL: the method has no server half */
    const void *plan;
    struct ln__trace *trace;
    struct ln_fault *fault;
};

struct ln_local {
    uint32_t epoch;
    double mu, proximal;
};

/* part: one for its graph; NULL: for the whole. */
int ln__worker_trainer(struct ln__worker *worker, const struct ln__submodel *part, struct ln__trainer **out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__worker_order(struct ln__worker *worker, uint32_t samples, struct ln_fault *fault) LN_MUST_CHECK;
bool ln__worker_stopped(const struct ln__worker *worker);
/* Starts the update message of a task where none is begun. */
int ln__worker_update(struct ln__worker *worker, const struct ln__task *task, struct ln_fault *fault) LN_MUST_CHECK;

#endif
