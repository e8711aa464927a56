/* A model by its name, ready to train by itself: for `profile` and `bench`. */
#ifndef LINNET_CLI_MODEL_H
#define LINNET_CLI_MODEL_H

#include "cli/cli.h"
#include "nn/nn.h"

struct ln__bench_args {
    const char *model;
    int classes; /* 0: 10 */
    int batch;
    unsigned threads;
    const struct ln__kset *kset;
    const struct ln_choice *sparsity; /* or NULL */
    size_t memory_max;                /* bytes of the plan; 0: any */
};
struct ln__bench {
    struct ln__conf *model_conf, *optimizer_conf;
    struct ln_choice model, optimizer;
    struct ln__graph *graph;
    struct ln__pool *pool;
    struct ln__plan *plan;
    struct ln__net *net;
    float *x;
    int32_t *label;
    int batch;
    struct ln__layer *timed;        /* ln__bench_layers: the plan's, with a clock around; */
    const struct ln__layer **inner; /* per node what runs there; NULL: another's step does its work */
};
int ln__bench_open(const struct ln__cli *cli, const struct ln__bench_args *args, struct ln__bench *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__bench_step(struct ln__bench *bench, uint64_t number); /* forward, loss, backward, update */
void ln__bench_forward(struct ln__bench *bench);               /* as in a test */
void ln__bench_close(struct ln__bench *bench);                 /* also after a failed open */

/* Median seconds of one call, from as many as fit in `for_s` (three at least), after two that do not count. */
double ln__bench_time(void (*run)(void *context, uint64_t number), void *context, double for_s);

/* Mean seconds forward and backward of each node over some steps, and of a whole one. The layers of the plan are replaced by ones that look at the
 * clock around the real ones, so what is timed is the step as it runs, fused and planned. One bench at a time in a process. LN_ENOMEM. */
int ln__bench_layers(struct ln__bench *bench, uint64_t steps, double *forward, double *backward, double *whole) LN_MUST_CHECK;

#endif
