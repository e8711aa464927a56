#include "fed/mask.h"
#include "base/log.h"
#include "nn/sparsity.h"

#include <math.h>

#define AT(member) offsetof(struct ln__mask_options, member)
#define ROW_RATIO                                                                                                                                    \
    {                                                                                                                                                \
        .key = "mask_ratio", .type = LN_OPT_REAL, .offset = AT(mask_ratio), .fallback = "0.1", .min = 0, .max = 1,                                   \
        .help = "sent of each layer beyond 1 - sparsity, at most the sparsity; ZeroFL: 0, 0.1, 0.2"                                                  \
    }
#define ROW_AVERAGE                                                                                                                                  \
    {                                                                                                                                                \
        .key = "average", .type = LN_OPT_ENUM, .offset = AT(average), .fallback = "all", .choices = "all|contributors",                              \
        .help = "an entry's mean is over all clients, zeros counting (ZeroFL), or over those who sent it (FLASH)"                                    \
    }
#define ROW_SCOPE                                                                                                                                    \
    {                                                                                                                                                \
        .key = "scope", .type = LN_OPT_ENUM, .offset = AT(scope), .fallback = "layer", .choices = "layer|global",                                    \
        .help = "largest of each layer (ZeroFL), or of all sparse layers together (SparsyFed)"                                                       \
    }

const struct ln_option ln__mask_weights_options[] = {ROW_RATIO, ROW_AVERAGE, ROW_SCOPE, {0}};
const struct ln_option ln__mask_options[] = {ROW_RATIO,
                                             ROW_AVERAGE,
                                             ROW_SCOPE,
                                             {.key = "error_feedback",
                                              .type = LN_OPT_BOOL,
                                              .offset = AT(error_feedback),
                                              .fallback = "false",
                                              .help = "the client keeps what it did not send and adds it the next time"},
                                             {0}};

/* The sparsity that the recipe asks for; 0: dense. */
static double target_of(const struct ln__env *env)
{
    const struct ln__sparsity *sparsity = (const struct ln__sparsity *)env->recipe->sparsity.plugin;
    struct ln__sparse_how how = {0};
    if (sparsity->how)
        sparsity->how(env->recipe->sparsity.options, &how);
    return how.sparsity;
}

int ln__mask_check(const void *options, const struct ln__env *env, struct ln_fault *fault)
{
    const struct ln__mask_options *mask = options;
    double sparsity = target_of(env);
    if (mask->mask_ratio > sparsity + 1e-12)
        return ln_fault_set(fault, LN_ECONFIG, "update.mask_ratio: %g is above the sparsity of %g (sparsity %s); at most all can be sent",
                            mask->mask_ratio, sparsity, env->recipe->sparsity.plugin->name);
    ln__log(LN__LOG_INFO, "update %s: %.2f MB each by the formula of ZeroFL's paper, %.2f MB whole (MB of 1,024,000 bytes)",
            env->recipe->update.plugin->name, ln__mask_paper_bytes(env, mask->mask_ratio) / LN__PAPER_MB,
            ln__mask_paper_bytes(env, -1) / LN__PAPER_MB);
    return LN_OK;
}

bool ln__mask_keeps(const void *options)
{
    return ((const struct ln__mask_options *)options)->error_feedback;
}

bool ln__mask_contributors(const void *options)
{
    return ((const struct ln__mask_options *)options)->average == 1;
}

int ln__mask_threshold(const float *x, size_t count, double rho, float *out)
{
    const struct ln__sparse_kset *set = ln__sparse_kset_best();
    float *scratch = ln__mem_alloc((set->topk_scratch(count, 1) + 1) * sizeof *scratch);
    if (!scratch)
        return LN_ENOMEM;
    set->topk(count, x, ln__sparse_keep(count, 1 - rho), out, scratch, NULL);
    ln__mem_free(scratch);
    return LN_OK;
}

int ln__mask_whole(const void *options, const struct ln__update_whole *whole, bool difference, float *out)
{
    const struct ln__mask_options *mask = options;
    const struct ln__env *env = whole->env;
    *out = 0;
    if (mask->scope == 0)
        return LN_OK;
    size_t count = 0;
    float *all = ln__mem_alloc(env->state * sizeof *all);
    if (!all)
        return LN_ENOMEM;
    double sent = 0;
    for (size_t p = 0; p < env->params; p++) {
        const struct ln__param *param = &env->param[p];
        if (env->sparsity[p] == 0 || !ln__env_holds(env, whole->segment, p))
            continue;
        for (size_t i = param->offset; i < param->offset + param->count; i++)
            all[count++] = difference ? whole->after[i] - whole->before[i] + (whole->residual ? whole->residual[i] : 0) : whole->after[i];
        sent += fmin(1 - env->sparsity[p] + mask->mask_ratio, 1) * (double)param->count;
    }
    int error = count ? ln__mask_threshold(all, count, sent / (double)count, out) : LN_OK;
    ln__mem_free(all);
    return error;
}

int ln__mask_select(const struct ln__mask_options *mask, const struct ln__update_args *args, const float *rank, const float *value, float *out)
{
    double rho = args->sparsity > 0 ? 1 - args->sparsity + mask->mask_ratio : 1;
    float threshold = args->threshold;
    int error = rho < 1 && mask->scope == 0 ? ln__mask_threshold(rank, args->param->count, rho, &threshold) : LN_OK;
    if (error)
        return error;
    for (size_t i = 0; i < args->param->count; i++) /* what is not a number is sent, and refused there */
        out[i] = rho < 1 && fabsf(rank[i]) < threshold ? 0 : value[i];
    return LN_OK;
}

double ln__mask_paper_bytes(const struct ln__env *env, double mask_ratio)
{
    double sent = 0, sparse = 0, dense = 0;
    const struct ln__param *param = env->param;
    bool buffers = ln__graph_state(env->graph) > ln__graph_trainable(env->graph);
    for (size_t p = 0; p < env->params; p++) {
        double count = (double)param[p].count;
        sparse += env->sparsity[p] > 0 ? count : 0;
        sent += env->sparsity[p] > 0 ? fmin(1 - env->sparsity[p] + mask_ratio, 1) * count : 0;
        dense += env->sparsity[p] > 0 ? 0 : count;
        bool norm = p + 1 < env->params && param[p].dims == 1 && param[p + 1].dims == 1 && param[p].node == param[p + 1].node;
        dense += norm && !buffers ? 2 * count : 0; /* mean and variance */
    }
    return sent >= sparse || mask_ratio < 0 ? 4 * (sparse + dense) : 8 * (sent + dense);
}
