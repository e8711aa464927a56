/* Replay: training on what clients sent before. A client's keep holds its messages as they came, quantised, in the order they came:
 *
 *     head (24 bytes) | message | message | ...        fed/activations.h
 *
 * One pass over one or several keeps draws batches anew across them: messages in random order go through a window of decoded samples (32 MiB), which is
 * shuffled whole each time it is filled. What fits the window at once is shuffled evenly.
 *
 * A pass may augment what it decodes. Each sample's maps, all channels alike, are shifted with zeros coming in and mirrored. A convolution moves with its
 * picture, so a shift of the maps is what a crop of the picture would have given, but for the rim (where the picture's padding would have left the
 * convolution's bias) and for steps that the strides in front of the cut do not divide. A mirrored map is what the mirrored picture would have given
 * through mirrored filters: near it only as far as the filters come in mirrored pairs. */
#ifndef LINNET_FED_REPLAY_H
#define LINNET_FED_REPLAY_H

#include "fed/activations.h"

#define LN__KEEP_MAGIC 0x314b4e4cu /* "LNK1" */

struct ln__keep_head {
    uint32_t magic, client;
    uint32_t messages, passes; /* passes: over the client's samples, each augmented in its own way */
    uint64_t samples;          /* of all passes */
};

struct ln__replay;
int ln__replay_new(const struct ln__halves *split, struct ln__replay **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__replay_free(struct ln__replay *replay);
/* Adds a keep, every message's head checked: LN_ECORRUPT. Bytes are borrowed until free; a blob stays pinned until then. */
int ln__replay_add(struct ln__replay *replay, const void *keep, size_t size, struct ln_fault *fault) LN_MUST_CHECK;
int ln__replay_add_blob(struct ln__replay *replay, struct ln_blob *keep, struct ln_fault *fault) LN_MUST_CHECK;

/* Begins a pass: of each keep the augmented pass `pass` (modulo how many it has). Not shuffled: the batches as they came. Shuffled: batches of
 * split->batch drawn by key and epoch, the last one smaller. */
struct ln__replay_pass {
    struct ln__key key; /* purpose is overwritten */
    uint32_t epoch, pass;
    bool shuffle;
    const struct ln__augment
        *augment; /* crop: in pixels of the map. Drawn by key, epoch and the sample's place in the replay. Borrowed; NULL: none */
};
int ln__replay_begin(struct ln__replay *replay, const struct ln__replay_pass *pass, struct ln_fault *fault) LN_MUST_CHECK;
/* The next batch into x [batch][values] and label [batch]: its samples, 0 after the last, or an error. */
int ln__replay_next(struct ln__replay *replay, float *x, int32_t *label, struct ln_fault *fault) LN_MUST_CHECK;

#endif
