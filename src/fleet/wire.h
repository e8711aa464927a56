/* Messages between ranks: what rank 0 (fleet/ranks.c) and the others (fleet/follow.c) share. Only where Open MPI is there. */
#ifndef LINNET_FLEET_WIRE_H
#define LINNET_FLEET_WIRE_H

#include "fed/env.h"
#include <mpi.h>

enum { TAG_ORDER = 1, TAG_RESULT, TAG_PART };
enum kind { KIND_MODEL = 1, KIND_DROP, KIND_TASK, KIND_ADD, KIND_FORGET, KIND_COLLECT, KIND_QUIT, KIND_RESULT, KIND_TROUBLE };

#define PATIENCE_S 2.0 /* for a rank's answer once the run is to end: it may have died */
#define DIFFERENT "the ranks do not work on the same: all need the same program, recipe, data and kind of processor"

/* One message: this, then the parts whose sizes it names. */
struct ln__wire_head {
    uint64_t kind, id, other; /* id: task, model or sum; other: the model of a task, the task of an add, a model's bytes */
    double number[4];
    uint64_t size[4]; /* of what follows, in bytes */
    int64_t code;
    uint64_t flag;
};

/* What both sides must agree on. */
struct ln__wire_oath {
    char kernels[32];
    uint64_t state, clients, samples, seed;
};

struct ln__wire_sent { /* a message on its way */
    struct ln__wire_sent *next;
    MPI_Request request;
    unsigned char *bytes;
};

struct ln__wire_outbox {
    struct ln__wire_sent *first;
};

struct ln__wire_known_model {
    struct ln_blob *blob;
    uint64_t id;
};

int ln__wire_init(struct ln_fault *fault) LN_MUST_CHECK; /* MPI, once a process */
struct ln__wire_oath ln__wire_oath(const struct ln__env *env);
/* Sends a copy of head and parts; the outbox holds it until it is gone. */
int ln__wire_post(struct ln__wire_outbox *box, int rank, int tag, const struct ln__wire_head *head, const void *const part[4]) LN_MUST_CHECK;
void ln__wire_reap(struct ln__wire_outbox *box, bool all); /* frees what is gone; all: waits */
/* The next message of that tag into buf, into which part[i] point. LN_ENOENT: there is none. */
int ln__wire_receive(int tag, struct ln__buf *buf, struct ln__wire_head *head, const unsigned char *part[4], int *from) LN_MUST_CHECK;

#endif
