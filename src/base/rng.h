/* Randomness is a pure function of (seed, round, client, purpose, index): Philox4x32-10 (Salmon et al., SC 2011). There is
 * no state to share or save, so any thread, rank or device draws the same numbers in any order. */
#ifndef LINNET_BASE_RNG_H
#define LINNET_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a number is drawn for; two purposes never share a stream. Append only: the order is part of every run's bits. */
enum ln__purpose {
    LN__FOR_INIT,      /* weights; client is the tensor's index */
    LN__FOR_PARTITION, /* who holds what */
    LN__FOR_SAMPLE,    /* which clients take part */
    LN__FOR_SHUFFLE,   /* order of samples in an epoch */
    LN__FOR_AUGMENT,   /* crop, flip */
    LN__FOR_DROPOUT,
    LN__FOR_WORLD,    /* latency, jitter, failures of the simulated fleet */
    LN__FOR_STRATEGY, /* a strategy's own draws */
    LN__FOR_UPDATE,   /* random masks, sketches */
    LN__FOR_METHOD,   /* a method's own draws */
    LN__FOR_CODEC,    /* stochastic rounding */
    LN__FOR_FORMULA,  /* images made by formula */
    LN__FOR_NOISE,    /* privacy: on label counts */
    LN__FOR_TEST,
    LN__FOR_SUBMODEL, /* a task's part of the network */
    LN__FOR_REPLAY,   /* crop, flip of activations that were kept */
    LN__FOR_BLUR      /* privacy: on activations */
};

struct ln__key {
    uint64_t seed;
    uint32_t round, client;
    enum ln__purpose purpose;
};

/* Four 32-bit words of the stream at index. */
void ln__rng_block(const struct ln__key *key, uint64_t index, uint32_t out[4]);

/* A reader of one stream, from its start; a value, copied freely. */
struct ln__rng {
    struct ln__key key;
    uint64_t index;
    uint32_t word[4];
    unsigned left;
};
struct ln__rng ln__rng_at(struct ln__key key);
uint32_t ln__rng_u32(struct ln__rng *rng);
uint64_t ln__rng_u64(struct ln__rng *rng);
uint32_t ln__rng_below(struct ln__rng *rng, uint32_t n); /* unbiased, n > 0 */
double ln__rng_unit(struct ln__rng *rng);                /* [0, 1), 53 bits */
double ln__rng_normal(struct ln__rng *rng);              /* mean 0, variance 1 (Box-Muller) */
double ln__rng_gamma(struct ln__rng *rng, double shape); /* scale 1 (Marsaglia and Tsang 2000); shape > 0 */
void ln__rng_shuffle(struct ln__rng *rng, uint32_t *item, size_t count);

#endif
