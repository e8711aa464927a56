/* Sub-models: smaller networks cut out of a graph by leaving channels out, for devices that do not carry the whole (Federated Dropout: Caldas et al., 2018;
 * FjORD: Horvath et al., NeurIPS 2021). A sub-model is a graph of its own, with fewer channels a layer, so that its training, its bytes and its work
 * are those of a small network; nothing is masked.
 *
 *     tensor of the whole   [out][in][rest]   a convolution's rest: its taps; of a linear layer behind a flatten: positions; vectors: [out]
 *     of the sub-model      the rows and columns of the channels that are kept, in their order
 *
 * Channels are kept by *groups*: what one convolution or linear layer puts out, with all that norms, activations, pools and depthwise convolutions make of
 * it, channel by channel. Tensors that are added to or scaled by one another are of one group, so both sides of a residual connection keep the same. The
 * input, the logits and both sides of a grouped convolution stay whole. */
#ifndef LINNET_NN_SUBMODEL_H
#define LINNET_NN_SUBMODEL_H

#include "nn/sparsity.h"

struct ln__submodel;

struct ln__submodel_args {
    const struct ln__graph *graph; /* the whole; must outlive it */
    struct ln__sub_how how;        /* a group of n channels keeps ceil(share n), one at least */
    struct ln__key key;            /* how.random: of the draw; purpose is overwritten */
    /* A wider sub-model of that graph, or NULL: take and give then go between its tensors and this one's. Only where all that is kept here is kept
     * there, as leading channels are. */
    const struct ln__submodel *within;
};
/* Same arguments, same channels. LN_ENOMEM. LN_EINVALID: within does not hold it. */
int ln__submodel_new(const struct ln__submodel_args *args, struct ln__submodel **out, struct ln_fault *fault) LN_MUST_CHECK;
/* One of the same shapes that does not need the other: its graph is what counts, it cannot take or give. */
int ln__submodel_copy(const struct ln__submodel *of, struct ln__submodel **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__submodel_free(struct ln__submodel *submodel);

/* The small network: tensors in the whole one's order, with the same names. Belongs to the sub-model. */
const struct ln__graph *ln__submodel_graph(const struct ln__submodel *submodel);
/* Whether both are networks of the same shapes, whatever channels they keep. */
bool ln__submodel_alike(const struct ln__submodel *a, const struct ln__submodel *b);

/* One tensor: the part of the whole one, and back; what is not kept stays as it is in whole. */
void ln__submodel_take(const struct ln__submodel *submodel, size_t param, const float *whole, float *part);
void ln__submodel_give(const struct ln__submodel *submodel, size_t param, const float *part, float *whole);
/* 1 for what is kept, into the tensor's flags; the rest stays. */
void ln__submodel_mark(const struct ln__submodel *submodel, size_t param, unsigned char *whole);
/* All tensors of a state. */
void ln__submodel_take_all(const struct ln__submodel *submodel, const float *whole, float *part);
void ln__submodel_give_all(const struct ln__submodel *submodel, const float *part, float *whole);

#endif
