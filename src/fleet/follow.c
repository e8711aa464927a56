/* Ranks other than 0. */
#ifdef LINNET_HAVE_MPI

#include "fleet/ranks.h"

#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fed/worker.h"
#include "fleet/wire.h"

struct work {
    struct ln__job job; /* first */
    struct server *server;
    struct ln__task task;
    struct ln__result result;
    double busy_s;
    bool done, bring;
    float *most;
    struct work *next;
};

struct server {
    const struct ln__env *env;
    struct ln__pool *pool;
    struct ln__worker **worker;
    struct ln__sums *sums;
    struct ln__wire_outbox box;
    struct ln__buf buf;
    volatile int stop; /* the run has ended */
    struct ln__wire_known_model *model;
    size_t models, model_room;
    struct work *first; /* those that run, and those whose update is kept */
};

static void compute(struct ln__job *job, unsigned index)
{
    struct work *work = (struct work *)job;
    struct server *server = work->server;
    const struct ln__env *env = server->env;
    double began = ln__clock_mono();
    struct ln__worker **worker = &server->worker[index];
    if (!*worker)
        work->result.error = ln__worker_new(env, NULL, worker, &work->result.fault);
    if (*worker) {
        ln__worker_stop_at(*worker, &server->stop);
        ln__task_run(*worker, &work->task, &work->result);
        ln__result_check(*worker, &work->task, &work->result);
        const float *state = ln__worker_state(*worker, 3); /* where the check read it to */
        for (size_t i = 0; i < env->params && work->result.update; i++)
            work->most[i] = env->kset->max_abs(env->param[i].count, state + env->param[i].offset, NULL);
    }
    work->busy_s = ln__clock_mono() - began;
}

static void work_free(struct work *work)
{
    ln__blob_unref(work->task.model);
    ln__blob_unref(work->task.keep);
    ln__result_fini(&work->result);
    ln__mem_free(work->most);
    ln__mem_free(work);
}

static struct ln_blob *model_of(const struct server *server, uint64_t id)
{
    for (size_t i = 0; i < server->models; i++) {
        if (server->model[i].id == id)
            return server->model[i].blob;
    }
    return NULL;
}

static int take_model(struct server *server, const struct ln__wire_head *head)
{
    void *data = ln__blob_alloc(server->env->blobs, head->other);
    struct ln__wire_known_model *grown = data ? ln__mem_more(server->model, server->models, &server->model_room, sizeof *grown) : NULL;
    if (!grown)
        MPI_Abort(MPI_COMM_WORLD, 1); /* all others are in the broadcast */
    MPI_Bcast(data, (int)head->other, MPI_BYTE, 0, MPI_COMM_WORLD);
    server->model = grown;
    struct ln__wire_known_model *known = &grown[server->models];
    known->id = head->id;
    int error = ln__blob_take(server->env->blobs, data, head->other, &known->blob, NULL);
    server->models += error == LN_OK;
    return error;
}

static int take_task(struct server *server, const struct ln__wire_head *head, const unsigned char *const part[4])
{
    struct work *work = ln__mem_zero(1, sizeof *work);
    float *most = ln__mem_zero(server->env->params, sizeof *most);
    struct ln_blob *model = model_of(server, head->other);
    if (!work || !most || !model) {
        ln__mem_free(work);
        ln__mem_free(most);
        return model ? LN_ENOMEM : LN_ECORRUPT;
    }
    memcpy(&work->task, part[0], sizeof work->task);
    work->server = server;
    work->most = most;
    work->bring = head->flag;
    work->task.model = ln__blob_ref(model);
    work->next = server->first;
    server->first = work;
    if (head->size[1]) {
        int error = ln__blob_put(server->env->blobs, part[1], head->size[1], &work->task.keep, NULL);
        if (error)
            return error;
    }
    work->job.run = compute;
    work->job.tie = work->task.id.value;
    ln__pool_submit(server->pool, &work->job);
    return LN_OK;
}

static int answer(struct server *server, struct work *work)
{
    struct ln__result *result = &work->result;
    struct ln__wire_head head = {.kind = KIND_RESULT,
                                 .id = work->task.id.value,
                                 .number = {result->samples, result->loss, result->accuracy, work->busy_s},
                                 .code = result->error,
                                 .flag = (uint64_t)result->keep_changed | (uint64_t)(work->bring && result->update) << 1,
                                 .size = {result->trace.count * sizeof(struct ln__trace_row)}};
    const void *keep = NULL, *update = work->most;
    int error = LN_OK;
    if (result->error) {
        keep = result->fault.text;
        head.size[1] = strlen(result->fault.text);
    } else if (result->keep) {
        error = ln__blob_pin(result->keep, &keep, NULL);
        head.size[1] = ln__blob_size(result->keep);
    }
    if (!error && result->update) {
        head.size[2] = work->bring ? ln__blob_size(result->update) : server->env->params * sizeof(float);
        error = work->bring ? ln__blob_pin(result->update, &update, NULL) : LN_OK;
    }
    if (!error)
        error = ln__wire_post(&server->box, 0, TAG_RESULT, &head, (const void *const[4]){result->trace.row, keep, update});
    if (!error && work->bring && result->update)
        ln__blob_unpin(result->update);
    if (!error && !result->error && result->keep)
        ln__blob_unpin(result->keep);
    work->done = true;
    ln__blob_unref(result->keep);
    result->keep = NULL;
    ln__trace_fini(&result->trace);
    return error;
}

/* Answers what is done; what leaves nothing behind is forgotten at once. */
static int answer_all(struct server *server)
{
    for (struct work **at = &server->first; *at;) {
        struct work *work = *at;
        if (!work->done && ln__pool_done(server->pool, &work->job)) {
            int error = answer(server, work);
            if (error)
                return error;
            if (work->bring || !work->result.update) {
                *at = work->next;
                work_free(work);
                continue;
            }
        }
        at = &work->next;
    }
    return LN_OK;
}

static int add(struct server *server, const struct ln__wire_head *head, const unsigned char *const part[4], struct ln_fault *fault)
{
    const struct work *work = server->first;
    while (work && work->task.id.value != head->other)
        work = work->next;
    if (!work || !work->result.update || head->size[0] != server->env->params * sizeof(int32_t))
        return LN_ECORRUPT;
    struct ln_sum_id id = {head->id};
    size_t count;
    int error = LN_OK;
    if (!ln__sums_values(server->sums, id, &count)) {
        int32_t *range = ln__mem_alloc(head->size[0]); /* the message's bytes lie anyhow */
        if (!range)
            return LN_ENOMEM;
        memcpy(range, part[0], head->size[0]);
        error = ln__sums_open_framed(server->sums, head->number[1], range, id, fault);
        ln__mem_free(range);
    }
    const struct ln__sum_entry entry = {.base = work->task.model, .client = work->task.client, .coefficient = head->number[0]};
    return error ? error : ln__sums_add(server->sums, id, work->result.update, &entry, server->pool, fault);
}

static int give_part(struct server *server, const struct ln__wire_head *head)
{
    struct ln_sum_id id = {head->id};
    size_t count = server->env->state, have;
    int64_t *value = ln__sums_values(server->sums, id, &have), *zero = value ? NULL : ln__mem_zero(count, sizeof *zero);
    if (!value && !zero)
        MPI_Abort(MPI_COMM_WORLD, 1); /* all others are in the reduction */
    if (head->flag) {
        MPI_Request request;
        int done = 0;
        MPI_Ireduce(value ? value : zero, NULL, (int)count, MPI_INT64_T, MPI_SUM, 0, MPI_COMM_WORLD, &request);
        while (!done) {
            MPI_Test(&request, &done, MPI_STATUS_IGNORE);
            if (!done)
                ln__ranks_rest();
        }
    } else {
        MPI_Send(value ? value : zero, (int)count, MPI_INT64_T, 0, TAG_PART, MPI_COMM_WORLD);
    }
    ln__mem_free(zero);
    if (value && head->code)
        ln__sums_drop(server->sums, id);
    else if (value)
        memset(value, 0, count * sizeof *value);
    return LN_OK;
}

static void drop_model(struct server *server, uint64_t id)
{
    for (size_t i = 0; i < server->models; i++) {
        if (server->model[i].id == id) {
            ln__blob_unref(server->model[i].blob);
            server->model[i] = server->model[--server->models];
            return;
        }
    }
}

static void forget(struct server *server, uint64_t task)
{
    for (struct work **at = &server->first; *at; at = &(*at)->next) {
        if ((*at)->task.id.value == task) {
            struct work *gone = *at;
            *at = gone->next;
            work_free(gone);
            return;
        }
    }
}

static int obey(struct server *server, const struct ln__wire_head *head, const unsigned char *const part[4], struct ln_fault *fault)
{
    switch (head->kind) {
    case KIND_MODEL:
        return take_model(server, head);
    case KIND_DROP:
        drop_model(server, head->id);
        return LN_OK;
    case KIND_TASK:
        return take_task(server, head, part);
    case KIND_ADD:
        return add(server, head, part, fault);
    case KIND_FORGET:
        forget(server, head->id);
        return LN_OK;
    case KIND_COLLECT:
        return give_part(server, head);
    default:
        return LN_ECORRUPT;
    }
}

/* Rank 0 is told, and ends the run; until then orders are obeyed as well as can be. */
static void trouble(struct server *server, int error, const struct ln_fault *fault)
{
    const char *text = fault->text[0] ? fault->text : ln_error_text(error);
    struct ln__wire_head head = {.kind = KIND_TROUBLE, .code = error, .size = {strlen(text)}};
    if (ln__wire_post(&server->box, 0, TAG_RESULT, &head, (const void *const[4]){text}))
        MPI_Abort(MPI_COMM_WORLD, 1);
}

static int serve(struct server *server)
{
    for (;;) {
        struct ln__wire_head head;
        const unsigned char *part[4];
        struct ln_fault fault = {0};
        int from, error = ln__wire_receive(TAG_ORDER, &server->buf, &head, part, &from);
        if (!error && head.kind == KIND_QUIT) {
            __atomic_store_n(&server->stop, 1, __ATOMIC_RELAXED);
            return ln__wire_post(&server->box, 0, TAG_RESULT, &(struct ln__wire_head){.kind = KIND_QUIT}, NULL); /* the last one */
        }
        bool idle = error == LN_ENOENT;
        if (!error)
            error = obey(server, &head, part, &fault);
        int unsaid = answer_all(server);
        if (error && !idle)
            trouble(server, error, &fault);
        if (unsaid)
            trouble(server, unsaid, &fault);
        ln__wire_reap(&server->box, false);
        if (idle)
            ln__ranks_rest();
    }
}

int ln__ranks_serve(const struct ln__env *env, unsigned threads, struct ln_fault *fault)
{
    int error = ln__wire_init(fault);
    if (error)
        return error;
    struct server server = {.env = env};
    ln__buf_init(&server.buf, INT_MAX);
    server.worker = ln__mem_zero(threads, sizeof(struct ln__worker *));
    error = server.worker ? LN_OK : LN_ENOMEM;
    if (!error)
        error = ln__pool_new(threads + 1, &server.pool);
    if (!error)
        error = ln__sums_new(env, &server.sums, fault);
    struct ln__wire_oath ours = ln__wire_oath(env), theirs;
    MPI_Bcast(&theirs, sizeof theirs, MPI_BYTE, 0, MPI_COMM_WORLD);
    int agree = !error && memcmp(&ours, &theirs, sizeof ours) == 0, all = 0;
    MPI_Allreduce(&agree, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (!agree && !error)
        error = ln_fault_set(fault, LN_EINVALID, DIFFERENT);
    else if (!error) /* also where another one disagrees: rank 0 says when it ends */
        error = serve(&server);
    for (struct work *work = server.first; work; work = work->next) {
        if (!work->done && !ln__pool_cancel(server.pool, &work->job))
            ln__pool_wait(server.pool, &work->job);
    }
    while (server.first) {
        struct work *next = server.first->next;
        work_free(server.first);
        server.first = next;
    }
    ln__wire_reap(&server.box, true);
    ln__pool_free(server.pool);
    for (unsigned i = 0; server.worker && i < threads; i++)
        ln__worker_free(server.worker[i]);
    ln__mem_free(server.worker);
    ln__sums_free(server.sums);
    for (size_t i = 0; i < server.models; i++)
        ln__blob_unref(server.model[i].blob);
    ln__mem_free(server.model);
    ln__buf_fini(&server.buf);
    return error;
}

#endif
