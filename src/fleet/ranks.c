#include "fleet/ranks.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "fed/worker.h"

static unsigned number_in(const char *open_mpi, const char *other, unsigned fallback)
{
    const char *text = getenv(open_mpi);
    if (!text)
        text = getenv(other);
    return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

unsigned ln__ranks_number(void)
{
    return number_in("OMPI_COMM_WORLD_RANK", "PMI_RANK", 0);
}

unsigned ln__ranks_total(void)
{
    return number_in("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", 1);
}

void ln__ranks_rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 30000}, NULL);
}

#ifndef LINNET_HAVE_MPI

static int absent(struct ln_fault *fault)
{
    return ln_fault_set(fault, LN_EUNSUPPORTED,
                        "this program was built without Open MPI: install libopenmpi-dev and build again to run on several ranks");
}

const char *ln__ranks_version(void)
{
    return NULL;
}

int ln__ranks_open(const struct ln__env *env, struct ln__ranks **out, struct ln_fault *fault)
{
    (void)env;
    *out = NULL;
    return ln__ranks_total() > 1 ? absent(fault) : LN_OK;
}

int ln__ranks_serve(const struct ln__env *env, unsigned threads, struct ln_fault *fault)
{
    (void)env, (void)threads;
    return absent(fault);
}

void ln__ranks_close(struct ln__ranks *ranks)
{
    (void)ranks;
}

void ln__ranks_stop_at(struct ln__ranks *ranks, const volatile int *stop)
{
    (void)ranks, (void)stop;
}

unsigned ln__ranks_count(const struct ln__ranks *ranks)
{
    (void)ranks;
    return 1;
}

int ln__ranks_submit(struct ln__ranks *ranks, unsigned rank, const struct ln__task *task)
{
    (void)ranks, (void)rank, (void)task;
    return LN_EUNSUPPORTED;
}

int ln__ranks_take(struct ln__ranks *ranks, struct ln_task_id *id, struct ln__result *result, double *busy_s, struct ln_fault *fault)
{
    (void)ranks, (void)id, (void)result, (void)busy_s, (void)fault;
    return LN_ENOENT;
}

bool ln__ranks_hold(const struct ln__ranks *ranks, const struct ln_blob *blob)
{
    (void)ranks, (void)blob;
    return false;
}

bool ln__ranks_sole(struct ln__ranks *ranks, struct ln_blob *blob)
{
    (void)ranks;
    return ln__blob_sole(blob);
}

int ln__ranks_add(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry)
{
    (void)ranks, (void)sums, (void)id, (void)blob, (void)entry;
    return LN_EUNSUPPORTED;
}

int ln__ranks_collect(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, bool end, struct ln_fault *fault)
{
    (void)ranks, (void)sums, (void)id, (void)end, (void)fault;
    return LN_OK;
}

int ln__ranks_collect_all(struct ln__ranks *ranks, struct ln__sums *sums)
{
    (void)ranks, (void)sums;
    return LN_OK;
}

void ln__ranks_times(const struct ln__ranks *ranks, struct ln__ranks_times *out)
{
    (void)ranks;
    *out = (struct ln__ranks_times){0};
}

void ln__ranks_end(void)
{
}

#else

#include "fleet/wire.h"

#define LN_TEXT_OF(x) #x
#define LN_TEXT(x) LN_TEXT_OF(x)
const char *ln__ranks_version(void)
{
    return LN_TEXT(OMPI_MAJOR_VERSION) "." LN_TEXT(OMPI_MINOR_VERSION) "." LN_TEXT(OMPI_RELEASE_VERSION);
}

void ln__ranks_end(void)
{
    int begun, ended;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    if (begun && !ended)
        MPI_Finalize();
}

struct held { /* an update elsewhere */
    struct ln_blob *stand_in;
    unsigned rank;
    uint64_t task;
    float *most; /* [tensors] the largest absolute value: whether a sum takes it is decided here */
};

struct part_of_sum {
    uint64_t id;
    unsigned char *touched; /* [ranks] */
    unsigned count;
};

struct ln__ranks {
    const struct ln__env *env;
    const volatile int *stop;
    unsigned count;
    bool bring; /* updates come to rank 0: sparse ones, whose means need not be linear, and where every sum has one update only */
    struct ln__wire_outbox box;
    struct ln__buf buf;
    struct held *held;
    struct ln__wire_known_model *model;
    struct part_of_sum *sum;
    size_t helds, held_room, models, model_room, sums, sum_room;
    uint64_t next_model;
    struct ln__ranks_times times;
};

unsigned ln__ranks_count(const struct ln__ranks *ranks)
{
    return ranks ? ranks->count : 1;
}

void ln__ranks_stop_at(struct ln__ranks *ranks, const volatile int *stop)
{
    if (ranks)
        ranks->stop = stop;
}

int ln__ranks_open(const struct ln__env *env, struct ln__ranks **out, struct ln_fault *fault)
{
    *out = NULL;
    if (ln__ranks_total() < 2)
        return LN_OK;
    int size, error = ln__wire_init(fault);
    if (error)
        return error;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    struct ln__ranks *ranks = ln__mem_zero(1, sizeof *ranks);
    if (!ranks)
        MPI_Abort(MPI_COMM_WORLD, 1); /* the others wait */
    ranks->env = env;
    ranks->count = (unsigned)size;
    ranks->bring = strcmp(env->recipe->update.plugin->name, "all") != 0 || ln__env_submodels(env) || env->recipe->eval.masks ||
                   strcmp(env->recipe->strategy.plugin->name, "fedasync") == 0;
    ln__buf_init(&ranks->buf, INT_MAX);
    struct ln__wire_oath oath = ln__wire_oath(env);
    MPI_Bcast(&oath, sizeof oath, MPI_BYTE, 0, MPI_COMM_WORLD);
    int agree = 1, all = 0;
    MPI_Allreduce(&agree, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (!all) {
        ln__ranks_close(ranks);
        return ln_fault_set(fault, LN_EINVALID, DIFFERENT);
    }
    *out = ranks;
    return LN_OK;
}

static int to_all(struct ln__ranks *ranks, const struct ln__wire_head *head)
{
    int error = LN_OK;
    for (unsigned r = 1; r < ranks->count && !error; r++)
        error = ln__wire_post(&ranks->box, (int)r, TAG_ORDER, head, NULL);
    return error;
}

void ln__ranks_close(struct ln__ranks *ranks)
{
    if (!ranks)
        return;
    if (to_all(ranks, &(struct ln__wire_head){.kind = KIND_QUIT}))
        MPI_Abort(MPI_COMM_WORLD, 1);
    unsigned gone = 1;
    for (double since = ln__clock_mono(); gone < ranks->count && ln__clock_mono() - since < PATIENCE_S;) { /* what they had sent before is let in */
        struct ln__wire_head head;
        const unsigned char *part[4];
        int from, error = ln__wire_receive(TAG_RESULT, &ranks->buf, &head, part, &from);
        gone += !error && head.kind == KIND_QUIT;
        if (error == LN_ENOENT)
            ln__ranks_rest();
    }
    ln__wire_reap(&ranks->box, gone == ranks->count);
    for (size_t i = 0; i < ranks->helds; i++) {
        ln__blob_unref(ranks->held[i].stand_in);
        ln__mem_free(ranks->held[i].most);
    }
    for (size_t i = 0; i < ranks->models; i++)
        ln__blob_unref(ranks->model[i].blob);
    for (size_t i = 0; i < ranks->sums; i++) {
        ln__mem_free(ranks->sum[i].touched);
    }
    ln__mem_free(ranks->held);
    ln__mem_free(ranks->model);
    ln__mem_free(ranks->sum);
    ln__buf_fini(&ranks->buf);
    ln__mem_free(ranks);
}

/* Forgotten everywhere; the last one takes its place. Without memory for the order a copy stays there. */
static int forget_update(struct ln__ranks *ranks, size_t at)
{
    struct held held = ranks->held[at];
    int error = ln__wire_post(&ranks->box, (int)held.rank, TAG_ORDER, &(struct ln__wire_head){.kind = KIND_FORGET, .id = held.task}, NULL);
    ranks->held[at] = ranks->held[--ranks->helds];
    ln__blob_unref(held.stand_in);
    ln__mem_free(held.most);
    return error;
}

static int forget_model(struct ln__ranks *ranks, size_t at)
{
    struct ln__wire_known_model model = ranks->model[at];
    int error = to_all(ranks, &(struct ln__wire_head){.kind = KIND_DROP, .id = model.id});
    ranks->model[at] = ranks->model[--ranks->models];
    ln__blob_unref(model.blob);
    return error;
}

/* What nobody but this table holds goes. */
static int sweep(struct ln__ranks *ranks)
{
    int error = LN_OK;
    for (size_t i = ranks->helds; i > 0 && !error; i--) {
        if (ln__blob_sole(ranks->held[i - 1].stand_in))
            error = forget_update(ranks, i - 1);
    }
    for (size_t i = ranks->models; i > 0 && !error; i--) {
        if (ln__blob_sole(ranks->model[i - 1].blob))
            error = forget_model(ranks, i - 1);
    }
    return error;
}

bool ln__ranks_sole(struct ln__ranks *ranks, struct ln_blob *blob)
{
    size_t update = 0, model = 0;
    while (ranks && update < ranks->helds && ranks->held[update].stand_in != blob)
        update++;
    while (ranks && model < ranks->models && ranks->model[model].blob != blob)
        model++;
    bool is_update = ranks && update < ranks->helds, is_model = ranks && model < ranks->models;
    if (!is_update && !is_model)
        return ln__blob_sole(blob);
    ln__blob_unref(blob); /* for a look without this table's; the caller's is still there */
    bool sole = ln__blob_sole(blob);
    ln__blob_ref(blob);
    int error = !sole ? LN_OK : is_update ? forget_update(ranks, update) : forget_model(ranks, model);
    if (error)
        ln__log(LN__LOG_WARN, "another rank keeps what nobody needs: %s", ln_error_text(error));
    return sole;
}

/* The model's number, after it has gone to everybody. */
static int send_model(struct ln__ranks *ranks, struct ln_blob *blob, uint64_t *id)
{
    for (size_t i = ranks->models; i > 0; i--) {
        if (ranks->model[i - 1].blob == blob) {
            *id = ranks->model[i - 1].id;
            return LN_OK;
        }
    }
    int error = sweep(ranks);
    if (error)
        return error;
    if (ln__blob_size(blob) > INT_MAX)
        return LN_EUNSUPPORTED;
    struct ln__wire_known_model *grown = ln__mem_more(ranks->model, ranks->models, &ranks->model_room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    *id = ++ranks->next_model;
    ranks->model = grown;
    ranks->model[ranks->models++] = (struct ln__wire_known_model){ln__blob_ref(blob), *id};
    const void *data;
    double began = ln__clock_mono();
    error = to_all(ranks, &(struct ln__wire_head){.kind = KIND_MODEL, .id = *id, .other = ln__blob_size(blob)});
    if (!error)
        error = ln__blob_pin(blob, &data, NULL);
    if (error)
        return error;
    MPI_Bcast((void *)(uintptr_t)data, (int)ln__blob_size(blob), MPI_BYTE, 0, MPI_COMM_WORLD);
    ln__blob_unpin(blob);
    ranks->times.broadcasts++;
    ranks->times.broadcast_s += ln__clock_mono() - began;
    return LN_OK;
}

int ln__ranks_submit(struct ln__ranks *ranks, unsigned rank, const struct ln__task *task)
{
    struct ln__wire_head head = {.kind = KIND_TASK, .id = task->id.value, .flag = ranks->bring};
    int error = send_model(ranks, task->model, &head.other);
    if (error)
        return error;
    struct ln__task plain = *task;
    plain.model = plain.keep = NULL;
    const void *keep = NULL;
    if (task->keep && (error = ln__blob_pin(task->keep, &keep, NULL)) != 0)
        return error;
    head.size[0] = sizeof plain;
    head.size[1] = task->keep ? ln__blob_size(task->keep) : 0;
    error = ln__wire_post(&ranks->box, (int)rank, TAG_ORDER, &head, (const void *const[4]){&plain, keep});
    if (task->keep)
        ln__blob_unpin(task->keep);
    return error;
}

static int stand_in(struct ln__ranks *ranks, const struct ln__wire_head *head, const void *most, int from, struct ln_blob **out)
{
    const uint64_t bytes[3] = {0x304e494e41545331u, head->id, (uint64_t)from}; /* no two alike */
    size_t size = ranks->env->params * sizeof(float);
    struct held *grown = head->size[2] == size ? ln__mem_more(ranks->held, ranks->helds, &ranks->held_room, sizeof *grown) : NULL;
    if (!grown)
        return LN_ENOMEM;
    ranks->held = grown;
    float *copy = ln__mem_alloc(size);
    if (!copy || ln__blob_put(ranks->env->blobs, bytes, sizeof bytes, out, NULL)) {
        ln__mem_free(copy);
        return LN_ENOMEM;
    }
    memcpy(copy, most, size);
    ranks->held[ranks->helds++] = (struct held){ln__blob_ref(*out), (unsigned)from, head->id, copy};
    return LN_OK;
}

/* parts: trace, keep, most or the update itself */
int ln__ranks_take(struct ln__ranks *ranks, struct ln_task_id *id, struct ln__result *result, double *busy_s, struct ln_fault *fault)
{
    struct ln__wire_head head;
    const unsigned char *part[4];
    int from, error = ln__wire_receive(TAG_RESULT, &ranks->buf, &head, part, &from);
    if (error)
        return error;
    if (head.kind == KIND_TROUBLE)
        return ln_fault_set(fault, (int)head.code, "rank %d: %.*s", from, (int)head.size[0], (const char *)part[0]);
    *result = (struct ln__result){
        .error = (int)head.code, .keep_changed = head.flag & 1, .samples = head.number[0], .loss = head.number[1], .accuracy = head.number[2]};
    *busy_s = head.number[3];
    id->value = head.id;
    struct ln__blobs *blobs = ranks->env->blobs;
    size_t rows = head.size[0] / sizeof(struct ln__trace_row);
    if (rows && (error = ln__trace_reserve(&result->trace, rows)) == 0) {
        memcpy(result->trace.row, part[0], head.size[0]);
        result->trace.count = rows;
    }
    if (!error && result->error) /* the sentence in the keep's place */
        ln_fault_set(&result->fault, result->error, "%.*s", (int)head.size[1], (const char *)part[1]);
    else if (!error && head.size[1])
        error = ln__blob_put(blobs, part[1], head.size[1], &result->keep, NULL);
    if (!error && head.size[2] && (head.flag & 2))
        error = ln__blob_put(blobs, part[2], head.size[2], &result->update, NULL);
    else if (!error && head.size[2])
        error = stand_in(ranks, &head, part[2], from, &result->update);
    if (error)
        ln__result_fini(result);
    return error ? ln_fault_set(fault, error, "a result of rank %d cannot be read", from) : LN_OK;
}

static struct held *find_held(const struct ln__ranks *ranks, const struct ln_blob *blob)
{
    for (size_t i = ranks ? ranks->helds : 0; i > 0; i--) {
        if (ranks->held[i - 1].stand_in == blob)
            return &ranks->held[i - 1];
    }
    return NULL;
}

bool ln__ranks_hold(const struct ln__ranks *ranks, const struct ln_blob *blob)
{
    return find_held(ranks, blob) != NULL;
}

static struct part_of_sum *find_sum(struct ln__ranks *ranks, uint64_t id)
{
    for (size_t i = 0; i < ranks->sums; i++) {
        if (ranks->sum[i].id == id)
            return &ranks->sum[i];
    }
    return NULL;
}

static struct part_of_sum *new_sum(struct ln__ranks *ranks, uint64_t id)
{
    struct part_of_sum *grown = ln__mem_more(ranks->sum, ranks->sums, &ranks->sum_room, sizeof *grown);
    if (!grown)
        return NULL;
    ranks->sum = grown;
    unsigned char *touched = ln__mem_zero(ranks->count, 1);
    if (!touched)
        return NULL;
    ranks->sum[ranks->sums] = (struct part_of_sum){id, touched, 0};
    return &ranks->sum[ranks->sums++];
}

int ln__ranks_add(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry)
{
    const struct held *held = find_held(ranks, blob);
    struct part_of_sum *sum = find_sum(ranks, id.value);
    const int32_t *range;
    if (!held)
        return LN_EINVALID;
    int error = ln__sums_admit(sums, id, held->most, entry, NULL);
    if (!error && !sum) {
        sum = new_sum(ranks, id.value);
        error = sum ? LN_OK : LN_ENOMEM;
    }
    if (error)
        return error;
    struct ln__wire_head head = {
        .kind = KIND_ADD, .id = id.value, .other = held->task, .number = {entry->coefficient, ln__sums_frame(sums, id, &range)}};
    head.size[0] = ranks->env->params * sizeof *range;
    sum->count += !sum->touched[held->rank];
    sum->touched[held->rank] = 1;
    return ln__wire_post(&ranks->box, (int)held->rank, TAG_ORDER, &head, (const void *const[4]){range});
}

/* Ends the request; where the run is to stop, waits no longer than PATIENCE_S. */
static int finish(const struct ln__ranks *ranks, MPI_Request *request)
{
    double since = 0;
    for (int done = 0;;) {
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (done)
            return LN_OK;
        if (ranks->stop && *ranks->stop) {
            since = since > 0 ? since : ln__clock_mono();
            if (ln__clock_mono() - since > PATIENCE_S)
                return LN_EIO;
        }
        ln__ranks_rest();
    }
}

/* With one rank its part comes alone; with more all join in one reduction. */
int ln__ranks_collect(struct ln__ranks *ranks, struct ln__sums *sums, struct ln_sum_id id, bool end, struct ln_fault *fault)
{
    struct part_of_sum *sum = ranks ? find_sum(ranks, id.value) : NULL;
    if (!sum)
        return LN_OK;
    size_t count;
    int64_t *value = ln__sums_values(sums, id, &count);
    int error = value && count <= INT_MAX ? LN_OK : LN_EINVALID;
    double began = ln__clock_mono();
    struct ln__wire_head head = {.kind = KIND_COLLECT, .id = id.value, .flag = sum->count > 1, .code = end};
    MPI_Request request;
    if (!error && sum->count > 1) {
        error = to_all(ranks, &head);
        if (!error) {
            MPI_Ireduce(MPI_IN_PLACE, value, (int)count, MPI_INT64_T, MPI_SUM, 0, MPI_COMM_WORLD, &request);
            error = finish(ranks, &request);
        }
    } else if (!error && sum->count == 1) {
        unsigned rank = 1;
        while (!sum->touched[rank])
            rank++;
        int64_t *part = ln__mem_alloc(count * sizeof *part);
        error = part ? ln__wire_post(&ranks->box, (int)rank, TAG_ORDER, &head, NULL) : LN_ENOMEM;
        if (!error) {
            MPI_Irecv(part, (int)count, MPI_INT64_T, (int)rank, TAG_PART, MPI_COMM_WORLD, &request);
            error = finish(ranks, &request);
        }
        for (size_t i = 0; i < count && !error; i++)
            value[i] += part[i];
        if (error != LN_EIO) /* else it may still be written to; the process ends soon */
            ln__mem_free(part);
    }
    ranks->times.reduces++;
    ranks->times.reduce_s += ln__clock_mono() - began;
    sum->count = 0;
    memset(sum->touched, 0, ranks->count);
    if (end) {
        ln__mem_free(sum->touched);
        *sum = ranks->sum[--ranks->sums];
    }
    return error ? ln_fault_set(fault, error, "a rank does not answer; it may have died") : LN_OK;
}

int ln__ranks_collect_all(struct ln__ranks *ranks, struct ln__sums *sums)
{
    int error = LN_OK;
    for (size_t i = 0; ranks && i < ranks->sums && !error; i++)
        error = ln__ranks_collect(ranks, sums, (struct ln_sum_id){ranks->sum[i].id}, false, NULL);
    return error;
}

void ln__ranks_times(const struct ln__ranks *ranks, struct ln__ranks_times *out)
{
    *out = ranks ? ranks->times : (struct ln__ranks_times){0};
}

#endif
