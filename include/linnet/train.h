/* Training one model on this machine: a model of the catalog, batches of the program's own, logits back.
 *
 * A trainer is used by one thread at a time; the same seed and batches give the same bits whatever the threads. */
#ifndef LINNET_TRAIN_H
#define LINNET_TRAIN_H

#include <linnet/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ln_trainer_args {
    const struct ln_catalog *catalog; /* NULL: the built-in one */
    const char *model;                /* "cnn5x5", or with options as in a recipe: "{kind: vgg11, ...}" */
    const char *optimizer;            /* "adam", "{kind: sgd, lr: 0.05, momentum: 0.9}"; NULL: sgd with its defaults */
    int channels, height, width, classes;
    int batch;        /* most samples a step */
    unsigned threads; /* up to 256; 0: one */
    uint64_t seed;    /* of the first weights and of dropout */
    /* How x was made of pixels, [channels] each: (byte / 255 - mean) / std. Both or neither; `linnet predict` needs a file that says it. */
    const float *mean, *std;
};

struct ln_trainer;
int ln_trainer_new(const struct ln_trainer_args *args, struct ln_trainer **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln_trainer_free(struct ln_trainer *trainer); /* NULL is fine */

/* One step of the optimiser over samples x[n][channels][height][width] with labels in [0, classes). lr 0: the optimiser's own. loss
 * and accuracy of the batch before the step; either may be NULL. LN_EINVALID: n out of 1..batch, a label out of range. Allocates nothing. */
int ln_trainer_step(struct ln_trainer *trainer, int n, const float *x, const int32_t *label, double lr, double *loss, double *accuracy,
                    struct ln_fault *fault) LN_MUST_CHECK;
/* logits[n][classes], as in a test: no dropout. */
int ln_trainer_logits(struct ln_trainer *trainer, int n, const float *x, float *logits, struct ln_fault *fault) LN_MUST_CHECK;

size_t ln_trainer_parameters(const struct ln_trainer *trainer); /* trainable */
/* The weights as one vector (parameters, then buffers), and as a file that `linnet eval`, `export` and, with mean and std, `predict` understand. load takes any safetensors
 * file whose names and shapes fit; the optimiser begins anew. */
size_t ln_trainer_state(const struct ln_trainer *trainer); /* floats */
void ln_trainer_read(const struct ln_trainer *trainer, float *state);
void ln_trainer_write(struct ln_trainer *trainer, const float *state);
int ln_trainer_save(const struct ln_trainer *trainer, const char *path, struct ln_fault *fault) LN_MUST_CHECK;
int ln_trainer_load(struct ln_trainer *trainer, const char *path, struct ln_fault *fault) LN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
