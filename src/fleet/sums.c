#include "fleet/sums.h"

#include <string.h>

#include "base/mem.h"
#include "fed/archive.h"
#include "fed/fold.h"
#include "fed/update.h"

/* What a gather needs of one added update. */
struct member {
    uint32_t client;
    double weight;
    struct ln_blob *keep;
};

struct sum {
    struct ln_sum_id id;
    struct ln__fold *fold;
    struct member *member;
    size_t members, room;
};

struct ln__sums {
    const struct ln__env *env;
    struct sum *sum;
    size_t count, room;
    float *state;        /* scratch: one decoded blob, */
    unsigned char *sent; /* and which entries it had; NULL: the update's mean is over all */
};

int ln__sums_new(const struct ln__env *env, struct ln__sums **out, struct ln_fault *fault)
{
    *out = NULL;
    bool parts = false;
    struct ln__sums *sums = ln__mem_zero(1, sizeof *sums);
    if (sums) {
        sums->env = env;
        sums->state = ln__mem_alloc(env->state * sizeof(float));
        const struct ln__update *update = (const struct ln__update *)env->recipe->update.plugin;
        parts = ln__env_submodels(env) || (update->contributors && update->contributors(env->recipe->update.options));
        parts = parts && !((const struct ln_strategy *)env->recipe->strategy.plugin)->changes;
        sums->sent = parts ? ln__mem_alloc(env->state) : NULL;
    }
    if (!sums || !sums->state || (parts && !sums->sent)) {
        ln__sums_free(sums);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the server's sums (%zu floats)", env->state);
    }
    *out = sums;
    return 0;
}

static void sum_fini(struct sum *sum)
{
    ln__fold_free(sum->fold);
    for (size_t i = 0; i < sum->members; i++)
        ln__blob_unref(sum->member[i].keep);
    ln__mem_free(sum->member);
}

void ln__sums_free(struct ln__sums *sums)
{
    if (!sums)
        return;
    for (size_t i = 0; i < sums->count; i++)
        sum_fini(&sums->sum[i]);
    ln__mem_free(sums->sum);
    ln__mem_free(sums->state);
    ln__mem_free(sums->sent);
    ln__mem_free(sums);
}

/* One more, empty; NULL: no memory. */
static struct sum *more_sums(struct ln__sums *sums)
{
    struct sum *grown = ln__mem_more(sums->sum, sums->count, &sums->room, sizeof *grown);
    if (!grown)
        return NULL;
    sums->sum = grown;
    grown[sums->count] = (struct sum){0};
    return &grown[sums->count++];
}

static struct member *more_members(struct sum *sum)
{
    struct member *grown = ln__mem_more(sum->member, sum->members, &sum->room, sizeof *grown);
    if (!grown)
        return NULL;
    sum->member = grown;
    grown[sum->members] = (struct member){0};
    return &grown[sum->members++];
}

static struct sum *sum_of(struct ln__sums *sums, struct ln_sum_id id)
{
    for (size_t i = 0; i < sums->count; i++) {
        if (sums->sum[i].id.value == id.value)
            return &sums->sum[i];
    }
    return NULL;
}

static int opened(struct ln__sums *sums, struct ln__fold *fold, struct ln_sum_id id, struct ln_fault *fault)
{
    struct sum *sum = more_sums(sums);
    if (!sum) {
        ln__fold_free(fold);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for another sum");
    }
    sum->id = id;
    sum->fold = fold;
    return 0;
}

int ln__sums_open(struct ln__sums *sums, double bound, struct ln_blob *range_of, struct ln_sum_id id, struct ln_fault *fault)
{
    if (sum_of(sums, id))
        return ln_fault_set(fault, LN_EEXISTS, "sum %llu is open already", (unsigned long long)id.value);
    const void *range;
    int error = ln__blob_pin(range_of, &range, fault);
    if (error)
        return error;
    struct ln__fold *fold = NULL;
    error = ln__fold_new(sums->env, bound, range, &fold, fault);
    ln__blob_unpin(range_of);
    if (error)
        return error;
    return opened(sums, fold, id, fault);
}

/* The weights a blob stands for: a model's own, or an update's over its base. */
static int read_state(struct ln__sums *sums, struct ln_blob *blob, struct ln_blob *base, const float **state, struct ln_fault *fault)
{
    const void *bytes, *from;
    size_t size = ln__blob_size(blob);
    int error = ln__blob_pin(blob, &bytes, fault);
    if (error)
        return error;
    *state = sums->state;
    if (!base) {
        if (size == sums->env->state * sizeof(float))
            memcpy(sums->state, bytes, size);
        else
            error = ln_fault_set(fault, LN_ESHAPE, "a blob of %zu bytes is no model of %zu floats", size, sums->env->state);
    } else if ((error = ln__blob_pin(base, &from, fault)) == 0) {
        error = ln__update_read_sent(sums->env, bytes, size, from, sums->state, sums->sent, fault);
        ln__blob_unpin(base);
    }
    ln__blob_unpin(blob);
    return error;
}

/* The part of an update that was sent, which read_state has just marked. */
static int add_sent(struct ln__sums *sums, struct sum *sum, const struct ln__sum_entry *entry, struct ln__pool *pool, struct ln_fault *fault)
{
    const void *base;
    int error = ln__blob_pin(entry->base, &base, fault);
    if (error)
        return error;
    error = ln__fold_add_sent(sum->fold, sums->state, sums->sent, base, entry->coefficient, pool, fault);
    ln__blob_unpin(entry->base);
    return error;
}

/* Room first: what was added to the fold must be in the list. */
static int add_member(struct ln__sums *sums, struct sum *sum, const struct ln__sum_entry *entry, struct ln_fault *fault)
{
    if (!entry->base || !sums->env->method->gather)
        return LN_OK;
    struct member *member = more_members(sum);
    if (!member)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the members of a sum");
    *member = (struct member){entry->client, entry->coefficient, ln__blob_ref(entry->keep)};
    return LN_OK;
}

int ln__sums_add(struct ln__sums *sums, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry, struct ln__pool *pool,
                 struct ln_fault *fault)
{
    struct sum *sum = sum_of(sums, id);
    if (!sum)
        return ln_fault_set(fault, LN_EINVALID, "sum %llu is not open", (unsigned long long)id.value);
    const float *state;
    int error = read_state(sums, blob, entry->base, &state, fault);
    if (error)
        return error;
    error = add_member(sums, sum, entry, fault);
    if (error)
        return error;
    error = sums->sent && entry->base ? add_sent(sums, sum, entry, pool, fault) : ln__fold_add(sum->fold, state, entry->coefficient, pool, fault);
    if (error && entry->base && sums->env->method->gather)
        ln__blob_unref(sum->member[--sum->members].keep);
    return error;
}

int ln__sums_open_framed(struct ln__sums *sums, double bound, const int32_t *range, struct ln_sum_id id, struct ln_fault *fault)
{
    struct ln__fold *fold;
    int error = ln__fold_framed(sums->env, bound, range, &fold, fault);
    return error ? error : opened(sums, fold, id, fault);
}

double ln__sums_frame(struct ln__sums *sums, struct ln_sum_id id, const int32_t **range)
{
    const struct sum *sum = sum_of(sums, id);
    return sum ? ln__fold_frame(sum->fold, range) : 0;
}

int64_t *ln__sums_values(struct ln__sums *sums, struct ln_sum_id id, size_t *count)
{
    struct sum *sum = sum_of(sums, id);
    return sum ? ln__fold_values(sum->fold, count) : NULL;
}

int ln__sums_admit(struct ln__sums *sums, struct ln_sum_id id, const float *most, const struct ln__sum_entry *entry, struct ln_fault *fault)
{
    struct sum *sum = sum_of(sums, id);
    if (!sum)
        return ln_fault_set(fault, LN_EINVALID, "sum %llu is not open", (unsigned long long)id.value);
    int error = add_member(sums, sum, entry, fault);
    if (!error && (error = ln__fold_admit(sum->fold, most, entry->coefficient, fault)) != 0 && sums->env->method->gather)
        ln__blob_unref(sum->member[--sum->members].keep);
    return error;
}

void ln__sums_drop(struct ln__sums *sums, struct ln_sum_id id)
{
    struct sum *sum = sum_of(sums, id);
    if (!sum)
        return;
    sum_fini(sum);
    *sum = sums->sum[--sums->count];
}

static int gather(struct ln__sums *sums, const struct sum *sum, double progress, struct ln__worker *worker, float *state, struct ln__trace *trace,
                  struct ln_fault *fault)
{
    size_t n = sum->members;
    uint32_t *client = ln__mem_zero(n, sizeof *client);
    double *weight = ln__mem_zero(n, sizeof *weight);
    struct ln_blob **keep = ln__mem_zero(n, sizeof(struct ln_blob *));
    int error = LN_ENOMEM;
    if (client && weight && keep) {
        for (size_t i = 0; i < n; i++) {
            client[i] = sum->member[i].client;
            weight[i] = sum->member[i].weight;
            keep[i] = sum->member[i].keep;
        }
        struct ln__gather all = {.env = sums->env,
                                 .worker = worker,
                                 .client = client,
                                 .weight = weight,
                                 .keep = keep,
                                 .count = n,
                                 .key = {.seed = (uint64_t)sums->env->recipe->seed, .round = (uint32_t)sum->id.value, .purpose = LN__FOR_METHOD},
                                 .progress = progress,
                                 .state = state,
                                 .trace = trace};
        error = sums->env->method->gather(sums->env->method_plan, &all);
    }
    ln__mem_free(client);
    ln__mem_free(weight);
    ln__mem_free(keep);
    return error ? ln_fault_set(fault, error, "the server's joint work over %zu results failed: %s", n, ln_error_text(error)) : 0;
}

int ln__sums_close(struct ln__sums *sums, struct ln_sum_id id, double divisor, double progress, struct ln__worker *worker, struct ln__pool *pool,
                   struct ln__trace *trace, struct ln_blob **model, struct ln_fault *fault)
{
    *model = NULL;
    struct sum *sum = sum_of(sums, id);
    if (!sum)
        return ln_fault_set(fault, LN_EINVALID, "sum %llu is not open", (unsigned long long)id.value);
    size_t size = sums->env->state * sizeof(float);
    float *state = ln__blob_alloc(sums->env->blobs, size);
    int error =
        state ? ln__fold_read(sum->fold, divisor, state, pool, fault) : ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu bytes", size);
    if (!error && sum->members > 0)
        error = gather(sums, sum, progress, worker, state, trace, fault);
    if (error)
        ln__blob_drop(state);
    else
        error = ln__blob_take(sums->env->blobs, state, size, model, fault);
    sum_fini(sum);
    *sum = sums->sum[--sums->count];
    return error;
}

static void archive_members(const struct ln__env *env, struct sum *sum, struct ln_archive *archive)
{
    uint64_t members = sum->members;
    ln_archive_u64(archive, &members);
    for (uint64_t i = 0; i < members && !archive->error; i++) {
        struct member *member = &sum->member[i];
        if (ln_archive_reading(archive) && !(member = more_members(sum)))
            return; /* the archive's end will not match */
        uint64_t client = member->client;
        ln_archive_u64(archive, &client);
        member->client = (uint32_t)client;
        ln_archive_real(archive, &member->weight);
        ln_archive_blob(archive, &member->keep);
        if (client >= env->shares.clients)
            ln__archive_fail(archive, LN_ECORRUPT, "a sum's member that cannot be");
    }
}

void ln__sums_archive(struct ln__sums *sums, struct ln_archive *archive)
{
    uint64_t count = sums->count;
    ln_archive_u64(archive, &count);
    for (uint64_t i = 0; i < count && !archive->error; i++) {
        uint64_t id = ln_archive_reading(archive) ? 0 : sums->sum[i].id.value;
        ln_archive_u64(archive, &id);
        struct sum *sum = ln_archive_reading(archive) ? more_sums(sums) : &sums->sum[i];
        if (!sum)
            return;
        sum->id.value = id;
        if (!ln_archive_reading(archive))
            ln__fold_archive(sum->fold, archive);
        else if (ln__fold_restore(sums->env, archive, &sum->fold, NULL) != 0)
            return;
        archive_members(sums->env, sum, archive);
    }
}
