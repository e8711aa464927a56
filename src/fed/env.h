/* What every part of a run may read and nothing may change: the recipe, bound; the graph; the data; who holds what. Made once,
 * shared by all threads. */
#ifndef LINNET_FED_ENV_H
#define LINNET_FED_ENV_H

#include "base/conf.h"
#include "base/pool.h"
#include "data/data.h"
#include "nn/submodel.h"
#include "store/blobs.h"

enum ln__compute { LN__COMPUTE_F32, LN__COMPUTE_BF16 };
enum ln__init { LN__INIT_RANDOM, LN__INIT_PARTIAL, LN__INIT_HOLISTIC, LN__INIT_ALL };

/* The recipe, as its option table (ln__recipe_options) binds it. */
struct ln__recipe {
    const char *name;
    int64_t seed;
    struct {
        struct ln_choice name; /* MODEL */
        int64_t classes;       /* 0: the data set's */
        int norm;              /* enum ln__norm */
        struct {
            int kind;         /* enum ln__init: random | partial | holistic | all */
            const char *from; /* a safetensors file */
            int64_t cut;      /* partial: where the device layers end; 0: at the method's cut */
        } init;
    } model;
    struct {
        struct ln_choice set; /* DATASET */
        const char *dir;
        int64_t clients, per_client;
        struct ln_choice partition;
        struct ln_texts augment; /* crop, flip */
    } data;
    struct {
        int64_t rounds, sample, epochs, batch;
        struct ln_choice optimizer, schedule;
        int64_t memory_mb; /* 0: any */
        int compute;       /* enum ln__compute */
    } train;
    struct ln_choice method, sparsity, update, strategy, fleet;
    struct {
        struct ln_choice up, down, act;
    } codec;
    struct {
        double every;   /* rounds between tests; 0: tests go by the clock alone */
        double every_s; /* seconds of the fleet's clock between tests; 0: tests go by rounds alone */
        int64_t batch;
        bool per_client, masks;
        struct ln_reals widths;
    } eval;
    struct {
        double accuracy, bytes_mb, time_s; /* 0: none */
    } stop;
    struct {
        double label_epsilon; /* 0: exact */
    } privacy;
    struct {
        double every_s; /* wall seconds between checkpoints; 0: after every event that publishes */
    } checkpoint;
};
extern const struct ln_option ln__recipe_options[];

struct ln__method; /* fed/method.h */

struct ln__env {
    const struct ln__recipe *recipe;
    const struct ln_catalog *catalog;
    const struct ln__kset *kset; /* of training steps; tests are in float */
    const char
        *sparse_kernels; /* the set that a plan of the whole network trains on with the recipe's sparsity; NULL: it has none that acts in plans */
    struct ln__set set;
    struct ln__shares shares;
    struct ln__graph *graph;
    struct ln__blobs *blobs;
    struct ln__augment augment;
    const struct ln__method *method;
    void *method_plan;       /* the method's own, from plan */
    struct ln__graph *side;  /* a graph of the method's own beside the model, on the device (an auxiliary head), or NULL */
    struct ln__param *param; /* all tensors that travel and are averaged: the graph's, then the side's, whose offsets follow */
    size_t params;
    uint64_t keep_max;       /* bytes of clients' keeps at most, those of the oldest rounds go first; 0: any */
    uint32_t peers;          /* clients of the run, also where this process has one of them only */
    double *sparsity;        /* [params] share of the weights that rest in training; 0: dense */
    float *initial;          /* the initial state */
    size_t state, trainable; /* floats: of both graphs; of the model's parameters */
};

/* The tensors of the run's state; count. */
size_t ln__env_params(const struct ln__env *env, const struct ln__param **out);
/* Whether the tensor travels with the segment: the side's go with those that begin at the input, where the device is. */
bool ln__env_holds(const struct ln__env *env, struct ln__segment segment, size_t param);

/* Whether devices have parts of the network (recipe key sparsity: nn/submodel.h). */
bool ln__env_submodels(const struct ln__env *env);
/* The share of each layer's channels of that task, or of a step of it. */
double ln__env_share(const struct ln__env *env, uint32_t client, uint32_t turn, int64_t step);
/* The part that a task is for; with within (the task's), that of a step with that share. */
int ln__env_submodel(const struct ln__env *env, uint32_t client, uint32_t turn, struct ln__submodel **out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__env_leading(const struct ln__env *env, double share, const struct ln__submodel *within, struct ln__submodel **out,
                    struct ln_fault *fault) LN_MUST_CHECK;
/* The kernel set that the recipe's training steps run on, where the program chose `kset`: train.compute says whether the one of bfloat16 products. */
const struct ln__kset *ln__recipe_kset(const struct ln__recipe *recipe, const struct ln__kset *kset);

/* Opens data, graph and partition, binds the method, and refuses by name what cannot go together. blobs is borrowed. */
int ln__env_open(const struct ln__recipe *recipe, const struct ln_catalog *catalog, const struct ln__kset *kset, struct ln__blobs *blobs,
                 struct ln__env *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__env_close(struct ln__env *env);
/* What ln__env_open and the fleet's open would refuse, tried on the recipe's data set, which is open, and without drawing weights. */
int ln__env_check(const struct ln__recipe *recipe, const struct ln_catalog *catalog, const struct ln__kset *kset, const struct ln__set *set,
                  struct ln_fault *fault) LN_MUST_CHECK;

#endif
