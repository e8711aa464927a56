#include "fed/overlap.h"

#include "fed/mask.h"
#include <linnet/strategy.h>
#include <math.h>
#include <string.h>

struct ln__overlap {
    const struct ln__env *env;
    bool parts;                                /* of networks, not of weights */
    size_t bytes;                              /* of a mask: a bit an entry of the state */
    unsigned char *tested, *came, *now, *flag; /* of the last test, of the last result, scratch, and that a byte an entry */
    float *state;
    uint64_t version; /* of came, */
    uint64_t has;     /* 1: there is a came, 2: a tested */
    double sum, count;
};
enum { HAS_CAME = 1, HAS_TESTED = 2 };

void ln__overlap_free(struct ln__overlap *overlap)
{
    if (!overlap)
        return;
    ln__mem_free(overlap->tested);
    ln__mem_free(overlap->came);
    ln__mem_free(overlap->now);
    ln__mem_free(overlap->flag);
    ln__mem_free(overlap->state);
    ln__mem_free(overlap);
}

int ln__overlap_new(const struct ln__env *env, struct ln__overlap **out, struct ln_fault *fault)
{
    *out = NULL;
    bool masks = ln__env_submodels(env);
    for (size_t p = 0; p < env->params; p++)
        masks |= env->sparsity[p] > 0;
    if (!env->recipe->eval.masks || !masks)
        return LN_OK;
    struct ln__overlap *overlap = ln__mem_zero(1, sizeof *overlap);
    if (overlap) {
        overlap->env = env;
        overlap->parts = ln__env_submodels(env);
        overlap->bytes = (env->state + 7) / 8;
        overlap->tested = ln__mem_zero(overlap->bytes, 1);
        overlap->came = ln__mem_zero(overlap->bytes, 1);
        overlap->now = ln__mem_zero(overlap->bytes, 1);
        overlap->flag = ln__mem_zero(env->state, 1);
        overlap->state = ln__mem_alloc(env->state * sizeof *overlap->state);
    }
    if (!overlap || !overlap->tested || !overlap->came || !overlap->now || !overlap->flag || !overlap->state) {
        ln__overlap_free(overlap);
        return ln_fault_set(fault, LN_ENOMEM, "no memory to compare masks of %zu entries", env->state);
    }
    *out = overlap;
    return LN_OK;
}

static void pack(struct ln__overlap *overlap)
{
    memset(overlap->now, 0, overlap->bytes);
    for (size_t i = 0; i < overlap->env->state; i++)
        overlap->now[i / 8] |= (unsigned char)(overlap->flag[i] << i % 8);
}

/* The top weights of each sparse layer. */
static int mask_weights(struct ln__overlap *overlap, const float *state, struct ln_fault *fault)
{
    const struct ln__env *env = overlap->env;
    memset(overlap->flag, 0, env->state);
    for (size_t p = 0; p < env->params; p++) {
        const struct ln__param *param = &env->param[p];
        float threshold;
        if (env->sparsity[p] <= 0)
            continue;
        if (ln__mask_threshold(state + param->offset, param->count, 1 - env->sparsity[p], &threshold))
            return ln_fault_set(fault, LN_ENOMEM, "no memory to rank %s", param->name);
        for (size_t i = param->offset; i < param->offset + param->count; i++)
            overlap->flag[i] = fabsf(state[i]) >= threshold && state[i] != 0;
    }
    pack(overlap);
    return LN_OK;
}

static int mask_part(struct ln__overlap *overlap, const struct ln__update_head *head, struct ln_fault *fault)
{
    const struct ln__env *env = overlap->env;
    struct ln__submodel *part;
    int error = ln__env_submodel(env, head->client, head->turn, &part, fault);
    if (error)
        return error;
    memset(overlap->flag, 0, env->state);
    for (size_t p = 0; p < env->params; p++)
        ln__submodel_mark(part, p, overlap->flag + env->param[p].offset);
    ln__submodel_free(part);
    pack(overlap);
    return LN_OK;
}

static unsigned bits(unsigned char byte)
{
    unsigned count = 0;
    for (; byte; byte &= (unsigned char)(byte - 1))
        count++;
    return count;
}

/* 1 where both are empty: they agree. */
static double jaccard(const unsigned char *a, const unsigned char *b, size_t bytes)
{
    double both = 0, either = 0;
    for (size_t i = 0; i < bytes; i++) {
        both += bits(a[i] & b[i]);
        either += bits(a[i] | b[i]);
    }
    return either > 0 ? both / either : 1;
}

static void swap(unsigned char **a, unsigned char **b)
{
    unsigned char *kept = *a;
    *a = *b;
    *b = kept;
}

static int mask_update(struct ln__overlap *overlap, struct ln_blob *update, struct ln_blob *base, struct ln_fault *fault)
{
    const void *message, *from;
    size_t size = ln__blob_size(update);
    struct ln__update_head head;
    int error = ln__blob_pin(update, &message, fault);
    if (error)
        return error;
    if (size < sizeof head) { /* the loop has looked at it before */
        error = ln_fault_set(fault, LN_ECORRUPT, "an update of %zu bytes is none", size);
    } else if (overlap->parts) {
        memcpy(&head, message, sizeof head);
        error = mask_part(overlap, &head, fault);
    } else if ((error = ln__blob_pin(base, &from, fault)) == 0) {
        error = ln__update_read(overlap->env, message, size, from, overlap->state, fault);
        ln__blob_unpin(base);
        if (!error)
            error = mask_weights(overlap, overlap->state, fault);
    }
    ln__blob_unpin(update);
    return error;
}

int ln__overlap_update(struct ln__overlap *overlap, struct ln_blob *update, struct ln_blob *base, uint64_t version, struct ln_fault *fault)
{
    int error = mask_update(overlap, update, base, fault);
    if (error)
        return error;
    if (overlap->has & HAS_CAME && overlap->version == version) {
        overlap->sum += jaccard(overlap->came, overlap->now, overlap->bytes);
        overlap->count++;
    }
    swap(&overlap->came, &overlap->now);
    overlap->has |= HAS_CAME;
    overlap->version = version;
    return LN_OK;
}

int ln__overlap_test(struct ln__overlap *overlap, const float *model, double *clients, double *rounds, struct ln_fault *fault)
{
    *clients = overlap->count > 0 ? overlap->sum / overlap->count : (double)NAN;
    *rounds = (double)NAN;
    overlap->sum = overlap->count = 0;
    if (overlap->parts)
        return LN_OK;
    int error = mask_weights(overlap, model, fault);
    if (error)
        return error;
    if (overlap->has & HAS_TESTED)
        *rounds = jaccard(overlap->tested, overlap->now, overlap->bytes);
    swap(&overlap->tested, &overlap->now);
    overlap->has |= HAS_TESTED;
    return LN_OK;
}

void ln__overlap_archive(struct ln__overlap *overlap, struct ln_archive *archive)
{
    ln_archive_u64(archive, &overlap->version);
    ln_archive_u64(archive, &overlap->has);
    ln_archive_real(archive, &overlap->sum);
    ln_archive_real(archive, &overlap->count);
    ln_archive_bytes(archive, overlap->came, overlap->bytes);
    ln_archive_bytes(archive, overlap->tested, overlap->bytes);
}
