/* SWAT (Raihan and Aamodt, NeurIPS 2020), the sparse training of ZeroFL (Qiu et al., ICLR 2022): see nn/sparsity.h. */
#include "nn/sparsity.h"

struct swat_options {
    double sparsity;
    int64_t period;
    int distribution, structured, skip_first;
    bool pointwise;
    int kernels;
};

static const struct ln_option swat_options[] = {
    {.key = "sparsity",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct swat_options, sparsity),
     .fallback = "0.9",
     .min = 0,
     .max = 1,
     .help = "share of a sparse layer's weights and activations that rest; ZeroFL: 0.9, 0.95"},
    {.key = "period",
     .type = LN_OPT_INT,
     .offset = offsetof(struct swat_options, period),
     .fallback = "10",
     .min = 1,
     .max = 1e9,
     .help = "steps from one search for thresholds to the next, from a task's start on; SWAT: 10 or 20"},
    {.key = "distribution",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct swat_options, distribution),
     .fallback = "uniform",
     .choices = "uniform|erk|momentum",
     .help = "over the layers: the same for all; more in large ones; by the momentum they had (tested as uniform)"},
    {.key = "structured",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct swat_options, structured),
     .fallback = "none",
     .choices = "none|channels|blocks",
     .help = "what rests: single weights, whole input channels, blocks of 8 output channels (by sum of magnitudes)"},
    {.key = "skip_first",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct swat_options, skip_first),
     .fallback = "auto",
     .choices = "auto|yes|no",
     .help = "the first convolution stays dense; auto: where there are more than two"},
    {.key = "pointwise",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct swat_options, pointwise),
     .fallback = "false",
     .help = "1 x 1 convolutions are sparse too; ZeroFL keeps them dense, mobile networks are made of them"},
    {.key = "kernels",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct swat_options, kernels),
     .fallback = "auto",
     .choices = LN__KERNELS_CHOICES,
     .help = LN__KERNELS_HELP},
    {0}};

static void swat_how(const void *options, struct ln__sparse_how *out)
{
    const struct swat_options *swat = options;
    *out = (struct ln__sparse_how){.sparsity = swat->sparsity,
                                   .period = (uint64_t)swat->period,
                                   .distribution = swat->distribution,
                                   .structure = swat->structured,
                                   .first = swat->skip_first,
                                   .pointwise = swat->pointwise,
                                   .kernels = swat->kernels,
                                   .power = 1};
}

const struct ln__sparsity ln__sparsity_swat = {.plugin = {.name = "swat",
                                                          .summary = "top weights forward, top activations backward, dense updates",
                                                          .options = swat_options,
                                                          .options_size = sizeof(struct swat_options)},
                                               .how = swat_how};
