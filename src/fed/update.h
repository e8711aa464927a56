/* Updates: which entries of a result are sent, and the message they travel in.
 *
 *     update message:  head | tensor rows (index, meaning, bytes) | encoded tensors
 *
 * A tensor that is absent stands for "as in the model the task started from"; meaning says whether values are weights or differences to what the client
 * got of it, through codec.down. So whatever was sent, an update stands for a full set of weights: those the client ended with. For a strategy that sums
 * changes they are the model's, moved by as much as the client's moved, and not at all where an entry was not sent; with a codec.down that is not exact
 * the two differ.
 *
 * Where devices have parts of the network (ln__env_submodels), a tensor is the part that the head's client had in that turn, which the server draws
 * again; what it had not is as in the base, and not sent. */
#ifndef LINNET_FED_UPDATE_H
#define LINNET_FED_UPDATE_H

#include "fed/env.h"
#include <linnet/codec.h>

enum ln__meaning { LN__WEIGHTS, LN__DIFFERENCE };
#define LN__PLAIN 0x100u /* with a meaning in a message: floats as they are, whatever codec.up is (a server half's part) */

struct ln__update_args {
    const struct ln__param *param;
    const float *before, *after; /* param->count floats each */
    float *residual;             /* error feedback, read and written; NULL where the plug-in keeps none */
    struct ln__key key;
    double sparsity; /* of the run's sparsity plug-in for this tensor; 0: dense */
    float threshold; /* of `threshold`, where the plug-in has it */
};

/* The whole result, for those that rank over all tensors. */
struct ln__update_whole {
    const struct ln__env *env;
    struct ln__segment segment;
    const float *before, *after; /* states */
    const float *residual;       /* a state, before the first select changes it; NULL where the plug-in keeps none */
};
struct ln__update {
    struct ln_plugin plugin;
    int (*check)(const void *options, const struct ln__env *env, struct ln_fault *fault); /* before a run; NULL: goes with everything */
    bool (*keeps)(const void *options);                                                   /* wants a residual; NULL: never */
    /* The mean of an entry is over those who sent it (not zero); where nobody did the model stays. NULL: over all, zeros counting. In the
     * changes that some strategies sum, a zero among the weights of a sparse tensor is, with an update that has this, one that was not sent. */
    bool (*contributors)(const void *options);
    int (*threshold)(const void *options, const struct ln__update_whole *whole, float *out); /* before the first select; NULL: none */
    /* Fills out (zeros are not sent by sparse codecs, and count as zeros in the mean). */
    int (*select)(const void *options, const struct ln__update_args *args, float *out, enum ln__meaning *meaning);
    /* What select made of a tensor, taken back in place after decoding, with the key it had; NULL: it is what is meant. Then sent (or NULL) gets
     * whether each entry was. */
    int (*restore)(const void *options, const struct ln__param *param, struct ln__key key, float *values, unsigned char *sent);
};

/* ---- messages ---- */
/* Whose result it is: (client, turn) is unique in a run, so no two messages are the same bytes. */
struct ln__update_head {
    uint32_t magic, rows;
    uint32_t client, turn;
};
struct ln__update_row {
    uint32_t param, meaning;
    uint64_t bytes;
};
#define LN__UPDATE_MAGIC 0x31554e4cu /* "LNU1" */

/* The head and row of each tensor; the most bytes a whole message takes. */
size_t ln__update_bound(const struct ln__env *env, const struct ln_choice *codec);
/* How a codec sees a tensor of the state: weights [co][rest][1]. */
struct ln_codec_shape ln__param_shape(const struct ln__param *param);

/* Encodes tensor after tensor, each at most once, into out, which begin empties; coded payload bytes are counted apart from the rest. */
int ln__update_begin(const struct ln__env *env, uint32_t client, uint32_t turn, struct ln__buf *out) LN_MUST_CHECK;
/* Tensor number `index`; param: itself or the part of it that is sent, values are of that. codec NULL: plain floats, of the whole tensor.
 * LN_EREFUSED as ln__tensor_send. */
int ln__update_add(const struct ln__env *env, const struct ln_choice *codec, size_t index, const struct ln__param *param, enum ln__meaning meaning,
                   const float *values, struct ln__buf *out, uint64_t *payload, struct ln_fault *fault) LN_MUST_CHECK;
int ln__update_end(const struct ln__env *env, struct ln__buf *out) LN_MUST_CHECK;

/* Hostile bytes to full weights: tensors in any order, each at most once, every one checked against the graph, then decoded; base fills what is absent. Allocates nothing that the
 * message alone can make large. */
int ln__update_read(const struct ln__env *env, const void *message, size_t size, const float *base, float *state,
                    struct ln_fault *fault) LN_MUST_CHECK;

/* The same; sent (state-sized, or NULL) gets 1 where an entry came, which in a tensor that is not plain is one that is not zero; of a part: all it has. */
int ln__update_read_sent(const struct ln__env *env, const void *message, size_t size, const float *base, float *state, unsigned char *sent,
                         struct ln_fault *fault) LN_MUST_CHECK;

/* Whether the message is of that task and stands for finite weights within the fold's range of base (both decoded state-size vectors; state is
 * filled as by read): LN_EREFUSED, LN_ECORRUPT. What comes from a device goes through here before anybody else sees it. */
int ln__update_check(const struct ln__env *env, uint32_t client, uint32_t turn, const void *message, size_t size, const float *base, float *state,
                     struct ln_fault *fault) LN_MUST_CHECK;

/* One tensor by a codec, for other messages than updates. */
int ln__tensor_encode(const struct ln_choice *codec, const struct ln_codec_shape *shape, const float *x, struct ln__buf *out,
                      struct ln_fault *fault) LN_MUST_CHECK;
/* The same for values of a task's own: those the codec has no bytes for (no number, or too large) are LN_EREFUSED, since the task has diverged. */
int ln__tensor_send(const struct ln_choice *codec, const struct ln_codec_shape *shape, const float *x, struct ln__buf *out,
                    struct ln_fault *fault) LN_MUST_CHECK;
/* A tensor of the model as a device gets it: x through codec.down into y (which may be x). buf is scratch with ln__update_bound's room; *bytes: what crosses. */
int ln__down_tensor(const struct ln__env *env, const struct ln__param *param, const float *x, float *y, struct ln__buf *buf, uint64_t *bytes,
                    struct ln_fault *fault) LN_MUST_CHECK;
bool ln__codec_exact(const struct ln_choice *codec); /* what arrives is what was sent, and its bytes are the floats */

#endif
