/* Weights in files: safetensors under torchvision's names, timm's translated by a table (weights_names.c).
 *
 * What Linnet writes says of itself, in the file's notes, all that is needed to use it: the model with its options, the input's shape,
 * classes and their names, the norm mode, how pixels are normalised, the data set and the sparsity it learnt under. Files from elsewhere lack that;
 * `linnet import` adds it.
 *
 *     format   "linnet"                        norm     "batch" or "running"
 *     recipe   YAML: model, set, sparsity      classes  "10"          class_names  JSON list, where known
 *     model    its name, for people            input    "3x32x32"     mean, std    JSON lists, where pixels are bytes */
#ifndef LINNET_NN_WEIGHTS_H
#define LINNET_NN_WEIGHTS_H

#include "nn/nn.h"

/* ---- tensors of a file into a state ---- */

/* Which tensors of the state come from the file. */
struct ln__weights_part {
    struct ln__segment segment; /* {0, -1}: of the whole graph */
    bool body;                  /* but not the classifier: the last layer that has parameters */
};

enum ln__weights_fate {
    LN__WEIGHTS_LOADED,
    LN__WEIGHTS_LEFT,    /* not of the part: the state keeps what it held */
    LN__WEIGHTS_MISSING, /* of the part, not in the file: only told with missing_ok */
    LN__WEIGHTS_IGNORED  /* in the file, and no tensor of the model (its own name) */
};

struct ln__weights_load {
    const struct ln__graph *graph;
    struct ln__weights_part part;
    bool buffers_ok; /* missing running statistics leave the state as it is: the file is of a model without */
    bool missing_ok; /* a missing tensor leaves the state as it is instead of failing */
    void (*tell)(void *context, enum ln__weights_fate fate, const char *name); /* or NULL; once a tensor, only when all fits */
    void *context;
};

/* Fills those floats of state (canonical, the graph's whole) that the file gives; nothing is written unless all fits. F32, F16 and BF16. LN_ESHAPE
 * names the tensor and both shapes; LN_ENOENT a missing one; LN_ECORRUPT one that holds NaN or infinity; LN_EUNSUPPORTED integers; and what
 * ln__safe_open returns. */
int ln__weights_load(const char *path, const struct ln__weights_load *load, float *state, struct ln_fault *fault) LN_MUST_CHECK;

/* The model's name of a file's tensor: its own, or translated from timm's or a wrapper's. Returns name, or out filled. */
const char *ln__weights_name(const char *model, const char *name, char out[LN__NAME]);

/* ---- files that say what they are ---- */

struct ln__weights_about {
    struct ln_choice model;
    struct ln__model_args args;
    struct ln_choice set;          /* DATASET it learnt from; plugin NULL: unknown */
    struct ln_choice sparsity;     /* it was trained under, and is to be tested under; plugin NULL: none */
    const char *const *class_name; /* [args.classes], or NULL */
    int channels;                  /* pixels are (byte / 255 - mean) / std in that many channels; 0: floats as they are */
    float mean[4], std[4];
};

/* Whether pixels can be so: what is written and what is read have one limit. */
bool ln__weights_pixels(const struct ln__weights_about *about);
#define LN__WEIGHTS_PIXELS_EXPECTED "a mean within a million, and a std from 1e-6 to a million"

/* Writes the whole state. Pointers of about are borrowed. LN_EFULL, LN_EIO; the old file stays then. */
int ln__weights_save(const char *path, const struct ln__graph *graph, const struct ln__weights_about *about, const float *state,
                     struct ln_fault *fault) LN_MUST_CHECK;

/* Such a file, read and checked. Everything lives until close. */
struct ln__weights {
    struct ln__weights_about about;
    struct ln__graph *graph;
    float *state;
    struct ln__conf *conf;  /* holds the choices */
    struct ln__arena arena; /* holds the names */
};
/* LN_EUNSUPPORTED: no notes of Linnet's, so what it is cannot be known (the sentence names `linnet import`). */
int ln__weights_open(const char *path, const struct ln_catalog *catalog, struct ln__weights *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__weights_close(struct ln__weights *weights); /* also of a zeroed one */

#endif
