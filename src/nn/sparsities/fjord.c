/* FjORD (Horvath et al., NeurIPS 2021): ordered dropout. Of each layer a client has the leading ceil(p n) of n channels, for the largest p its device can
 * carry, p_max; in every step it trains the leading part for a p drawn evenly from the widths up to p_max, so that the first channels learn to be a network of
 * their own. Batch norm's scales and shifts are shared by all widths and its statistics are the width's own batch's (model.norm: batch); the authors' code
 * keeps a norm for each width. Self-distillation, which the paper adds as an option, is left out. */
#include "nn/sparsity.h"

struct fjord_options {
    struct ln_reals widths;
    int assign;
    bool nested;
};
enum { BY_NUMBER, AT_RANDOM };

static const struct ln_option fjord_options[] = {
    {.key = "widths",
     .type = LN_OPT_REALS,
     .offset = offsetof(struct fjord_options, widths),
     .fallback = "[0.2, 0.4, 0.6, 0.8, 1]",
     .min = 0.001,
     .max = 1,
     .help = "shares of each layer's channels; every tier of devices has one for its most (the paper's p_max)"},
    {.key = "assign",
     .type = LN_OPT_ENUM,
     .offset = offsetof(struct fjord_options, assign),
     .fallback = "random",
     .choices = "order|random",
     .help = "which client has which width: by number, equal parts, as fleet.devices with assign: order deals classes; or drawn once a client"},
    {.key = "nested",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct fjord_options, nested),
     .fallback = "true",
     .help = "every step draws a width up to the client's; false: always the client's (HeteroFL)"},
    {0}};

/* The i-th width from below. */
static double ranked(const struct ln_reals *widths, size_t i)
{
    for (size_t k = 0; k < widths->count; k++) {
        size_t below = 0;
        for (size_t j = 0; j < widths->count; j++)
            below += widths->item[j] < widths->item[k] || (widths->item[j] == widths->item[k] && j < k);
        if (below == i)
            return widths->item[k];
    }
    return 1;
}

/* The place of the client's width: its device's, so it does not depend on the turn. */
static size_t most_of(const struct fjord_options *fjord, const struct ln__sub_draw *draw)
{
    size_t count = fjord->widths.count;
    if (fjord->assign == BY_NUMBER)
        return draw->clients ? (size_t)draw->key.client * count / draw->clients : 0;
    struct ln__rng rng =
        ln__rng_at((struct ln__key){.seed = draw->key.seed, .round = UINT32_MAX, .client = draw->key.client, .purpose = LN__FOR_SUBMODEL});
    return ln__rng_below(&rng, (uint32_t)count);
}

static void fjord_submodel(const void *options, const struct ln__sub_draw *draw, struct ln__sub_how *out)
{
    const struct fjord_options *fjord = options;
    if (fjord->widths.count == 0) {
        *out = (struct ln__sub_how){.share = 1};
        return;
    }
    size_t at = most_of(fjord, draw);
    if (draw->step != LN__SUB_TASK && fjord->nested) {
        struct ln__key key = draw->key;
        key.purpose = LN__FOR_SUBMODEL;
        struct ln__rng rng = ln__rng_at(key);
        rng.index = (uint64_t)draw->step;
        at = ln__rng_below(&rng, (uint32_t)at + 1);
    }
    *out = (struct ln__sub_how){.share = ranked(&fjord->widths, at)};
}

static double fjord_narrowest(const void *options)
{
    const struct fjord_options *fjord = options;
    return ranked(&fjord->widths, 0);
}

const struct ln__sparsity ln__sparsity_fjord = {.plugin = {.name = "fjord",
                                                           .summary = "clients have as much of each layer's front as they can carry (FjORD)",
                                                           .options = fjord_options,
                                                           .options_size = sizeof(struct fjord_options)},
                                                .submodel = fjord_submodel,
                                                .narrowest = fjord_narrowest};
