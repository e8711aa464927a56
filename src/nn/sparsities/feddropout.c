/* Federated Dropout (Caldas et al., "Expanding the reach of federated learning by reducing client resource requirements", 2018): each client of a round
 * gets, trains and sends back a smaller network, cut from the global one by keeping a fixed number of the units of each linear layer and of the filters of
 * each convolution, drawn anew for every client and round; the input and the logits stay. An entry's mean is over those who had it. Nothing is
 * scaled: the sub-model runs as the network it is. Tensors that are added keep the same channels (ours). */
#include "nn/sparsity.h"

struct feddropout_options {
    double keep;
};

static const struct ln_option feddropout_options[] = {{.key = "keep",
                                                       .type = LN_OPT_REAL,
                                                       .offset = offsetof(struct feddropout_options, keep),
                                                       .fallback = "0.75",
                                                       .min = 0.001,
                                                       .max = 1,
                                                       .help = "share of each layer's units and filters that a client has"},
                                                      {0}};

static double feddropout_narrowest(const void *options)
{
    return ((const struct feddropout_options *)options)->keep;
}

static void feddropout_submodel(const void *options, const struct ln__sub_draw *draw, struct ln__sub_how *out)
{
    (void)draw;
    *out = (struct ln__sub_how){.share = feddropout_narrowest(options), .random = true};
}

const struct ln__sparsity ln__sparsity_feddropout = {.plugin = {.name = "feddropout",
                                                                .summary = "clients have random parts of the network (Federated Dropout)",
                                                                .options = feddropout_options,
                                                                .options_size = sizeof(struct feddropout_options)},
                                                     .submodel = feddropout_submodel,
                                                     .narrowest = feddropout_narrowest};
