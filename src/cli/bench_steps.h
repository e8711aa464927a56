/* `linnet bench steps`: whole training steps of models, each measured in a process of its own. */
#ifndef LINNET_CLI_BENCH_STEPS_H
#define LINNET_CLI_BENCH_STEPS_H

#include "cli/cli.h"

struct ln__bench_steps {
    const char *const *model; /* none: every model there is */
    size_t models;
    long batch; /* 0: 10, 32 and 100 in turn */
    long threads;
    long seconds;                /* of measuring a row; 0: 2 */
    const char *sparsity;        /* of swat, as text: "0.9"; NULL: dense */
    const char *kernels;         /* of swat; NULL: auto */
    const struct ln__list *sets; /* "train.compute=bf16", "train.memory_mb=200", as for a recipe */
};

/* Prints a row a model and batch: median seconds of a step, images a second, GFLOP/s (a multiply-add is two, counted as a direct convolution does
 * them, of what is kept) and their share of the fused multiply-adds this processor did just before and after, and the process's peak memory, the weights,
 * the batch and the program itself among it; and how much of its processors it had, which tells whether other programs were in the way. */
int ln__bench_steps(struct ln__cli *cli, const struct ln__bench_steps *args, struct ln_fault *fault) LN_MUST_CHECK;

#define LN__BENCH_PERIOD 10 /* steps between two searches for thresholds */

/* The sparsity swat with these options (kernels: auto, sparse or masked; NULL: auto); *out lives as long as *conf, which the caller frees. */
int ln__bench_swat(const struct ln__cli *cli, const char *sparsity, const char *kernels, int period, struct ln__conf **conf, struct ln_choice *out,
                   struct ln_fault *fault) LN_MUST_CHECK;

#endif
