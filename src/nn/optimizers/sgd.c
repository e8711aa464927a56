/* Stochastic gradient descent as PyTorch defines it: g += weight_decay * w; m = momentum * m + g; w -= lr * m, or with nesterov
 * w -= lr * (g + momentum * m). */
#include "nn/nn.h"
#include <stddef.h>

struct sgd_options {
    double lr, momentum, weight_decay;
    bool nesterov;
};

static const struct ln_option sgd_options[] = {
    {.key = "lr", .type = LN_OPT_REAL, .offset = offsetof(struct sgd_options, lr), .fallback = "0.01", .min = 0, .max = 1e3, .help = "learning rate"},
    {.key = "momentum",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct sgd_options, momentum),
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .help = "share of the former step that is kept; 0 needs no memory for it"},
    {.key = "weight_decay",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct sgd_options, weight_decay),
     .fallback = "0",
     .min = 0,
     .max = 1e3,
     .help = "added to the gradient, times the weight"},
    {.key = "nesterov",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct sgd_options, nesterov),
     .fallback = "false",
     .help = "look ahead by the momentum"},
    {0}};

static int sgd_check(const void *options, struct ln_fault *fault)
{
    const struct sgd_options *sgd = options;
    if (sgd->nesterov && sgd->momentum == 0)
        return ln_fault_set(fault, LN_ECONFIG, "optimizer sgd: nesterov looks ahead by the momentum, and momentum is 0");
    return LN_OK;
}

static int sgd_slots(const void *options)
{
    const struct sgd_options *sgd = options;
    return sgd->momentum != 0;
}

static void sgd_update(const void *options, const struct ln__kset *kset, double lr, uint64_t step, size_t size, const float *g, float *w,
                       float *slot0, float *slot1, struct ln__pool *pool)
{
    const struct sgd_options *sgd = options;
    (void)step;
    (void)slot1;
    const struct ln__sgd how = {(float)lr, (float)sgd->momentum, (float)sgd->weight_decay, sgd->nesterov};
    kset->sgd(size, &how, g, w, slot0, pool);
}

const struct ln__optimizer ln__optimizer_sgd = {.plugin = {.name = "sgd",
                                                           .summary = "stochastic gradient descent with momentum",
                                                           .options = sgd_options,
                                                           .options_size = sizeof(struct sgd_options)},
                                                .check = sgd_check,
                                                .slots = sgd_slots,
                                                .update = sgd_update};
