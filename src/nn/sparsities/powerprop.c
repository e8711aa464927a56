/* Powerpropagation (Schwarz et al., NeurIPS 2021) over SWAT, as SparsyFed trains (ICLR 2025): a layer runs on sign(w) |w|^power, so that large
 * weights learn faster than small ones and the same ones stay on top. The weights that travel and are stored are those in front of the power. */
#include "nn/sparsity.h"

struct powerprop_options {
    double sparsity, power;
    int64_t period;
    int distribution, kernels;
};

static const struct ln_option powerprop_options[] = {
    {.key = "sparsity",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct powerprop_options, sparsity),
     .fallback = "0.95",
     .min = 0,
     .max = 1,
     .help = "share of a sparse layer's weights and activations that rest; SparsyFed: 0.95 and more"},
    {.key = "power",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct powerprop_options, power),
     .fallback = "1.25",
     .min = 1,
     .max = 8,
     .help = "1 is SWAT; SparsyFed: 1.25"},
    {.key = "period",
     .type = LN_OPT_INT,
     .offset = offsetof(struct powerprop_options, period),
     .fallback = "10",
     .min = 1,
     .max = 1e9,
     .help = "steps from one search for thresholds to the next, from a task's start on"},
    {.key = "distribution",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct powerprop_options, distribution),
     .fallback = "uniform",
     .choices = "uniform|erk",
     .help = "over the layers: the same for all; more in large ones"},
    {.key = "kernels",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct powerprop_options, kernels),
     .fallback = "auto",
     .choices = LN__KERNELS_CHOICES,
     .help = LN__KERNELS_HELP},
    {0}};

static void powerprop_how(const void *options, struct ln__sparse_how *out)
{
    const struct powerprop_options *how = options;
    *out = (struct ln__sparse_how){
        .sparsity = how->sparsity, .period = (uint64_t)how->period, .distribution = how->distribution, .power = how->power, .kernels = how->kernels};
}

const struct ln__sparsity ln__sparsity_powerprop = {.plugin = {.name = "powerprop",
                                                               .summary = "SWAT on weights raised to a power (SparsyFed)",
                                                               .options = powerprop_options,
                                                               .options_size = sizeof(struct powerprop_options)},
                                                    .how = powerprop_how};
