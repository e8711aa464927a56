#include <linnet/client.h>

#include "fed/method.h"
#include "fed/update.h"
#include <string.h>

#define NOBODY UINT32_MAX /* whose message a packed model is */

struct ln_client {
    struct ln_client_args args;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    bool opened;
    struct ln__worker *worker;
    struct ln_blob *keep;   /* what the last task left behind, */
    struct ln_blob *before; /* and what it found: the same turn again begins from it */
    uint32_t turn;
    bool trained;
    struct ln_blob *update;
    bool pinned;
    struct ln__buf packed;
    float *scratch; /* a state */
};

/* ---- the application's samples as a data set ---- */

static int open_samples(const void *options, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct ln_client_args *args = options;
    (void)dir, (void)fault;
    *out = (struct ln__set){.name = "application", .c = args->channels, .h = args->height, .w = args->width, .classes = args->classes};
    static const int32_t none = 0; /* a server's one sample, which nobody reads: the shares must not be empty */
    out->split[LN__TRAIN] = (struct ln__samples){.count = args->count ? args->count : 1, .real = args->x, .label = args->count ? args->label : &none};
    return LN_OK;
}

static const struct ln__dataset application = {.plugin = {.name = "application", .summary = "the application's own samples"}, .open = open_samples};

static int split_nothing(const void *options, const struct ln__partition_args *args, struct ln__shares *out, struct ln_fault *fault)
{
    (void)options;
    out->clients = args->clients;
    out->start = ln__mem_zero((size_t)args->clients + 1, sizeof *out->start);
    out->index = ln__mem_zero((size_t)args->samples->count + 1, sizeof *out->index);
    if (!out->start || !out->index) {
        ln__shares_free(out);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for %u samples", args->samples->count);
    }
    for (uint32_t i = 0; i < args->samples->count; i++)
        out->index[i] = i;
    out->start[args->clients] = args->samples->count; /* the last one's, whose number is the client's */
    return LN_OK;
}

static const struct ln__partition all_mine = {.plugin = {.name = "application", .summary = "all samples are the client's"}, .split = split_nothing};

/* ---- opening ---- */

static int check_args(const struct ln_client_args *args, struct ln_fault *fault)
{
    if (!args->recipe || args->channels < 1 || args->height < 1 || args->width < 1 || args->classes < 2 ||
        (args->count && (!args->x || !args->label)))
        return ln_fault_set(fault, LN_EINVALID, "a client needs a recipe, channels, height, width, two or more classes, and samples with labels");
    if (args->id >= 10000000)
        return ln_fault_set(fault, LN_EINVALID, "client %u; at most 10000000 are numbered", args->id);
    for (uint32_t i = 0; i < args->count; i++) {
        if (args->label[i] < 0 || args->label[i] >= args->classes)
            return ln_fault_set(fault, LN_EINVALID, "label %d of sample %u; there are classes 0 to %d", (int)args->label[i], i, args->classes - 1);
    }
    return LN_OK;
}

static int open_client(struct ln_client *client, struct ln_fault *fault)
{
    struct ln__recipe *recipe = &client->recipe;
    int code = ln__conf_parse(client->args.recipe, strlen(client->args.recipe), "recipe", &client->conf, fault);
    if (!code && ln_catalog_find(client->args.catalog, LN_KIND_DATASET, "synthetic"))
        code = ln__conf_set(client->conf, "data.set=synthetic", fault); /* the key must be there, whatever it says */
    if (!code)
        code = ln__conf_bind(client->conf, client->args.catalog, ln__recipe_options, sizeof *recipe, recipe, fault);
    if (!code && ((const struct ln__method *)(const void *)recipe->method.plugin)->open)
        code = ln_fault_set(fault, LN_EUNSUPPORTED, "method %s needs a server's half, which a client by itself has not", recipe->method.plugin->name);
    if (!code)
        code = ln__blobs_open(NULL, 0, &client->blobs, fault);
    if (code)
        return code;
    recipe->data.set = (struct ln_choice){&application.plugin, &client->args};
    recipe->data.partition = (struct ln_choice){&all_mine.plugin, NULL};
    const uint32_t peers = (uint32_t)recipe->data.clients;
    recipe->data.clients = (int64_t)client->args.id + 1;
    recipe->data.per_client = 0;
    recipe->train.sample = 1;
    code = ln__env_open(recipe, client->args.catalog, ln__kset_best(), client->blobs, &client->env, fault);
    client->opened = code == LN_OK;
    client->env.peers = peers;
    if (!code)
        code = ln__worker_new(&client->env, NULL, &client->worker, fault);
    if (!code) {
        ln__buf_init(&client->packed, ln__update_bound(&client->env, &recipe->codec.up) + client->env.state * sizeof(float));
        client->scratch = ln__mem_zero(client->env.state, sizeof *client->scratch);
        code = client->scratch ? LN_OK : ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", client->env.state);
    }
    return code;
}

int ln_client_open(const struct ln_client_args *args, struct ln_client **out, struct ln_fault *fault)
{
    *out = NULL;
    int code = check_args(args, fault);
    if (code)
        return code;
    struct ln_client *client = ln__mem_zero(1, sizeof *client);
    if (!client)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a client");
    client->args = *args;
    if (!client->args.catalog)
        client->args.catalog = ln_catalog_builtin();
    code = open_client(client, fault);
    if (code)
        ln_client_close(client);
    else
        *out = client;
    return code;
}

static void drop_update(struct ln_client *client)
{
    if (client->pinned)
        ln__blob_unpin(client->update);
    ln__blob_unref(client->update);
    client->update = NULL;
    client->pinned = false;
}

void ln_client_close(struct ln_client *client)
{
    if (!client)
        return;
    drop_update(client);
    ln__blob_unref(client->keep);
    ln__blob_unref(client->before);
    ln__worker_free(client->worker);
    ln__buf_fini(&client->packed);
    ln__mem_free(client->scratch);
    if (client->opened)
        ln__env_close(&client->env);
    ln__blobs_close(client->blobs);
    ln__conf_free(client->conf);
    ln__mem_free(client);
}

/* ---- tasks ---- */

static int run_task(struct ln_client *client, struct ln__task *task, const void *model, size_t size, struct ln__result *result,
                    struct ln_fault *fault)
{
    task->client = client->args.id;
    task->site = LN__DEVICE;
    if (client->args.count == 0)
        return ln_fault_set(fault, LN_EINVALID, "a client without samples has nothing to do");
    int code = ln__update_check(&client->env, NOBODY, 0, model, size, client->env.initial, client->scratch, fault);
    if (!code)
        code = ln__blob_put(client->blobs, client->scratch, client->env.state * sizeof(float), &task->model, fault);
    if (code)
        return code;
    ln__task_run(client->worker, task, result);
    ln__result_check(client->worker, task, result);
    ln__blob_unref(task->model);
    return result->error ? ln_fault_set(fault, result->error, "%s", result->fault.text[0] ? result->fault.text : ln_error_text(result->error))
                         : LN_OK;
}

int ln_client_train(struct ln_client *client, const struct ln_client_task *task, const void *model, size_t size, struct ln_client_result *out,
                    struct ln_fault *fault)
{
    struct ln__result result = {0};
    *out = (struct ln_client_result){0};
    drop_update(client);
    bool again = client->trained && client->turn == task->turn;
    struct ln_blob *found = again ? client->before : client->keep;
    struct ln__task run = {.kind = LN_TASK_TRAIN,
                           .id = {1},
                           .turn = task->turn,
                           .round = task->turn,
                           .epochs = task->epochs ? task->epochs : (uint32_t)client->recipe.train.epochs,
                           .progress = task->progress,
                           .mu = task->mu,
                           .keep = found};
    int code = run_task(client, &run, model, size, &result, fault);
    const void *bytes = NULL;
    if (!code && !result.update)
        code = ln_fault_set(fault, LN_EUNSUPPORTED, "method %s yields no update on the device alone", client->recipe.method.plugin->name);
    if (!code)
        code = ln__blob_pin(result.update, &bytes, fault);
    if (!code) {
        client->update = ln__blob_ref(result.update);
        client->pinned = true;
        struct ln_blob *kept = ln__blob_ref(result.keep_changed ? result.keep : found), *before = ln__blob_ref(found);
        ln__blob_unref(client->keep);
        ln__blob_unref(client->before);
        client->keep = kept;
        client->before = before;
        client->turn = task->turn;
        client->trained = true;
        *out = (struct ln_client_result){
            .update = bytes, .size = ln__blob_size(client->update), .samples = result.samples, .loss = result.loss, .accuracy = result.accuracy};
    }
    ln__result_fini(&result);
    return code;
}

int ln_client_test(struct ln_client *client, const void *model, size_t size, struct ln_client_result *out, struct ln_fault *fault)
{
    struct ln__result result = {0};
    struct ln__task run = {.kind = LN_TASK_EVAL, .id = {1}};
    *out = (struct ln_client_result){0};
    int code = run_task(client, &run, model, size, &result, fault);
    if (!code)
        *out = (struct ln_client_result){.samples = result.samples, .loss = result.loss, .accuracy = result.accuracy};
    ln__result_fini(&result);
    return code;
}

/* ---- the server's side ---- */

size_t ln_client_state(const struct ln_client *client)
{
    return client->env.state;
}

void ln_client_first(const struct ln_client *client, float *state)
{
    memcpy(state, client->env.initial, client->env.state * sizeof *state);
}

int ln_client_pack(struct ln_client *client, const float *state, const void **bytes, size_t *size, struct ln_fault *fault)
{
    const struct ln__param *param;
    size_t count = ln__env_params(&client->env, &param);
    uint64_t payload = 0;
    *bytes = NULL;
    *size = 0;
    int code = ln__update_begin(&client->env, NOBODY, 0, &client->packed);
    for (size_t i = 0; i < count && !code; i++)
        code = ln__update_add(&client->env, NULL, i, &param[i], LN__WEIGHTS, state + param[i].offset, &client->packed, &payload, fault);
    if (!code)
        code = ln__update_end(&client->env, &client->packed);
    if (code)
        return ln_fault_set(fault, code, "no memory to pack a model of %zu values", client->env.state);
    *bytes = client->packed.data;
    *size = client->packed.size;
    return LN_OK;
}

int ln_client_unpack(struct ln_client *client, uint32_t id, uint32_t turn, const void *update, size_t size, const float *base, float *state,
                     struct ln_fault *fault)
{
    return ln__update_check(&client->env, id, turn, update, size, base, state, fault);
}
