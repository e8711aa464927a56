#include "base/file.h"
#include "base/log.h"
#include "cli/classify.h"
#include "fed/about.h"
#include "nn/sparsity.h"
#include "tensor/safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECIPE_MAX (1u << 20)
#define FORMAT "linnet-pretrain"

struct wish {
    const char *recipe, *out;
    bool resume, force;
    long threads;
    struct ln__list sets;
};

/* A line of the table: one epoch. Floats, as the checkpoint holds it. */
enum { RATE, TRAIN_LOSS, TRAIN_RIGHT, TEST_LOSS, TEST_RIGHT, FIGURES };

struct job {
    const struct ln__cli *cli;
    const struct wish *wish;
    const struct ln__kset *kset;
    struct ln__recipe recipe;
    struct ln__conf *conf;
    struct ln__buf text; /* the recipe, resolved, but for where the data lie */
    char checkpoint[PATH_MAX];
    struct ln__set set;
    struct ln__augment augment;
    struct ln__weights_about about;
    struct ln__graph *graph;
    struct ln__pool *pool;
    struct ln__plan *plan;
    struct ln__net *net;
    struct ln__classify classify;
    float *x, *state, *slot[2], *figure; /* figure [epochs][FIGURES] */
    int32_t *label;
    uint32_t *order;
    int64_t epoch; /* done */
};

/* ---- the recipe: those of its keys that mean something here; any other is unknown ---- */

enum { ROWS = 7 };
static void own_options(struct ln_option out[ROWS + 1])
{
    static const char *const wanted[ROWS] = {"name", "seed", "model", "data", "train", "sparsity", "eval"};
    for (int i = 0; i < ROWS; i++) {
        const struct ln_option *row = ln__recipe_options;
        while (row->type != LN_OPT_END && strcmp(row->key, wanted[i]) != 0)
            row++;
        out[i] = *row;
    }
    out[ROWS] = (struct ln_option){0};
}

static int read_recipe(struct job *job, struct ln_fault *fault)
{
    struct ln_option options[ROWS + 1];
    own_options(options);
    int code = ln__conf_load(job->wish->recipe, &job->conf, fault);
    for (size_t i = 0; i < job->wish->sets.count && !code; i++)
        code = ln__conf_set(job->conf, job->wish->sets.item[i], fault);
    if (!code)
        code = ln__conf_bind(job->conf, job->cli->catalog, options, sizeof job->recipe, &job->recipe, fault);
    if (code)
        return code;
    job->kset = ln__recipe_kset(&job->recipe, job->kset);
    struct ln__recipe moved = job->recipe;
    moved.data.dir = "";
    ln__buf_init(&job->text, RECIPE_MAX);
    code = ln__conf_print(options, &moved, &job->text);
    if (!code)
        code = ln__buf_add(&job->text, "", 1);
    for (size_t i = 0; i < job->recipe.data.augment.count; i++) {
        if (strcmp(job->recipe.data.augment.item[i], "crop") == 0)
            job->augment.crop = 4;
        else
            job->augment.flip = true;
    }
    return code ? ln_fault_set(fault, code, "%s: no memory for it", job->wish->recipe) : LN_OK;
}

/* ---- opening ---- */

static int first_weights(struct job *job, struct ln_fault *fault)
{
    const char *from = job->recipe.model.init.from;
    int kind = job->recipe.model.init.kind, cut = (int)job->recipe.model.init.cut;
    ln__graph_init(job->graph, (uint64_t)job->recipe.seed, job->state);
    ln__sparse_init(job->graph, &job->recipe.sparsity, job->state);
    if (kind == LN__INIT_RANDOM && !from[0])
        return LN_OK;
    if (kind == LN__INIT_RANDOM || !from[0])
        return ln_fault_set(fault, LN_ECONFIG, "model.init: kind random has no from, and the other kinds need one");
    if (kind == LN__INIT_PARTIAL && (cut < 1 || cut > ln__graph_cuts(job->graph)))
        return ln_fault_set(fault, LN_ECONFIG, "model.init.cut: %d; %s has the cut points 1..%d", cut, job->about.model.plugin->name,
                            ln__graph_cuts(job->graph));
    const struct ln__weights_load load = {.graph = job->graph,
                                          .part = {.segment = {0, kind == LN__INIT_PARTIAL ? cut : -1}, .body = kind == LN__INIT_HOLISTIC}};
    return ln__weights_load(from, &load, job->state, fault);
}

static int open_model(struct job *job, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = &job->recipe;
    struct ln__weights_about *about = &job->about;
    about->model = recipe->model.name;
    about->args = (struct ln__model_args){.input = {job->set.c, job->set.h, job->set.w},
                                          .classes = recipe->model.classes ? (int)recipe->model.classes : job->set.classes,
                                          .norm = (enum ln__norm)recipe->model.norm};
    ln__about_set(&job->set, &recipe->data.set, about);
    if (((const struct ln__sparsity *)(const void *)recipe->sparsity.plugin)->how)
        about->sparsity = recipe->sparsity;
    if (((const struct ln__sparsity *)(const void *)recipe->sparsity.plugin)->submodel)
        return ln_fault_set(fault, LN_ECONFIG, "sparsity: %s is which part of the network a client has; this training has no clients",
                            recipe->sparsity.plugin->name);
    int code = ln__model_graph(&about->model, &about->args, &job->graph, fault);
    if (!code)
        code = ln__set_fits(&job->set, job->graph, fault);
    unsigned threads = job->wish->threads ? (unsigned)job->wish->threads : ln__cli_threads();
    if (!code && ln__pool_new(threads, &job->pool))
        code = ln_fault_set(fault, LN_ENOMEM, "%u threads: no memory", threads);
    if (code)
        return code;
    const struct ln__plan_args plan = {.graph = job->graph,
                                       .segment = {0, -1},
                                       .batch = (int)recipe->train.batch,
                                       .train = true,
                                       .learn = true,
                                       .kset = job->kset,
                                       .width = threads,
                                       .optimizer = &recipe->train.optimizer,
                                       .sparsity = &recipe->sparsity,
                                       .memory_max = (size_t)recipe->train.memory_mb * 1000000};
    code = ln__plan_new(&plan, &job->plan, fault);
    if (!code)
        code = ln__net_new(job->plan, job->pool, &job->net, fault);
    if (!code)
        code = ln__classify_open(job->graph, &recipe->sparsity, ln__kset_float(job->kset), job->pool, (int)recipe->eval.batch, &job->classify, fault);
    return code;
}

static int open_job(struct job *job, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = &job->recipe;
    int code = ln__set_open(&recipe->data.set, recipe->data.dir, &job->set, fault);
    if (!code)
        code = open_model(job, fault);
    if (code)
        return code;
    size_t batch = (size_t)recipe->train.batch, pixels = (size_t)job->set.c * (size_t)job->set.h * (size_t)job->set.w;
    size_t state = ln__graph_state(job->graph);
    job->x = ln__mem_zero(batch * pixels, sizeof *job->x);
    job->label = ln__mem_zero(batch, sizeof *job->label);
    job->order = ln__mem_zero(job->set.split[LN__TRAIN].count, sizeof *job->order);
    job->state = ln__mem_zero(state, sizeof *job->state);
    job->figure = ln__mem_zero((size_t)recipe->train.epochs * FIGURES, sizeof *job->figure);
    bool failed = !job->x || !job->label || !job->order || !job->state || !job->figure;
    for (int i = 0; i < ln__net_slots(job->net); i++)
        failed |= !(job->slot[i] = ln__mem_zero(state, sizeof *job->state));
    return failed ? ln_fault_set(fault, LN_ENOMEM, "no memory for %s and a batch of %zu", job->about.model.plugin->name, batch) : LN_OK;
}

static void close_job(struct job *job)
{
    ln__classify_close(&job->classify);
    ln__net_free(job->net);
    ln__plan_free(job->plan);
    ln__pool_free(job->pool);
    ln__graph_free(job->graph);
    ln__set_close(&job->set);
    ln__mem_free(job->x);
    ln__mem_free(job->label);
    ln__mem_free(job->order);
    ln__mem_free(job->state);
    ln__mem_free(job->figure);
    ln__mem_free(job->slot[0]);
    ln__mem_free(job->slot[1]);
    ln__buf_fini(&job->text);
    ln__conf_free(job->conf);
}

/* ---- checkpoints: the weights, the optimiser's slots, the epochs done ---- */

/* The tensors of a checkpoint: of each parameter its weight and, where it is trained, "slot0/<name>" and "slot1/<name>"; then "figures". */
struct layout {
    struct ln__safe_tensor *tensor;
    char (*name)[LN__NAME + 8];
    float **at; /* what each holds, in the job */
    size_t count;
};

static void layout_fini(struct layout *layout)
{
    ln__mem_free(layout->tensor);
    ln__mem_free(layout->name);
    ln__mem_free(layout->at);
}

static int layout_make(struct job *job, struct layout *out, struct ln_fault *fault)
{
    const struct ln__param *param;
    size_t params = ln__graph_params(job->graph, &param), room = 3 * params + 1;
    *out = (struct layout){ln__mem_zero(room, sizeof *out->tensor), ln__mem_zero(room, sizeof *out->name), ln__mem_zero(room, sizeof *out->at), 0};
    if (!out->tensor || !out->name || !out->at)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory to write or read it", job->checkpoint);
    for (int k = -1; k < ln__net_slots(job->net); k++) {
        for (size_t i = 0; i < params; i++) {
            if (k >= 0 && param[i].buffer)
                continue;
            size_t n = out->count++;
            if (k < 0)
                snprintf(out->name[n], sizeof out->name[n], "%s", param[i].name);
            else
                snprintf(out->name[n], sizeof out->name[n], "slot%d/%s", k, param[i].name);
            out->at[n] = (k < 0 ? job->state : job->slot[k]) + param[i].offset;
            out->tensor[n] = (struct ln__safe_tensor){
                .name = out->name[n], .rank = (unsigned)param[i].dims, .data = out->at[n], .size = param[i].count * sizeof(float)};
            memcpy(out->tensor[n].shape, param[i].dim, (size_t)param[i].dims * sizeof *param[i].dim);
        }
    }
    size_t n = out->count++;
    out->at[n] = job->figure;
    out->tensor[n] = (struct ln__safe_tensor){.name = "figures",
                                              .rank = 2,
                                              .shape = {job->recipe.train.epochs, FIGURES},
                                              .data = job->figure,
                                              .size = (size_t)job->recipe.train.epochs * FIGURES * sizeof(float)};
    return LN_OK;
}

static int save_out(const struct job *job, struct ln_fault *fault)
{
    return ln__weights_save(job->wish->out, job->graph, &job->about, job->state, fault);
}

static int save(struct job *job, struct ln_fault *fault)
{
    char epoch[24], updates[24];
    struct layout layout;
    int code = layout_make(job, &layout, fault);
    ln__net_store(job->net, job->state);
    for (int i = 0; i < ln__net_slots(job->net); i++)
        ln__net_slot_store(job->net, i, job->slot[i]);
    snprintf(epoch, sizeof epoch, "%" PRId64, job->epoch);
    snprintf(updates, sizeof updates, "%" PRIu64, ln__net_updates(job->net));
    const struct ln__safe_note note[] = {
        {"format", FORMAT}, {"kernels", job->kset->name}, {"recipe", (const char *)job->text.data}, {"epoch", epoch}, {"updates", updates}};
    if (!code)
        code = ln__safe_write(job->checkpoint, layout.tensor, layout.count, note, sizeof note / sizeof *note, fault);
    if (!code)
        code = save_out(job, fault);
    layout_fini(&layout);
    return code;
}

/* Bits are those of a kernel set: a run goes on with the one it began with. */
static int adopt_kernels(struct job *job, const struct ln__safe *safe, struct ln_fault *fault)
{
    const char *name = ln__safe_note(safe, "kernels");
    const struct ln__kset *set = name ? ln__kset_named(name) : NULL;
    if (!set)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "%s: began with the %.30s kernels, which this processor or program lacks", job->checkpoint,
                            name ? name : "unknown");
    if (set != job->kset)
        ln__log(LN__LOG_INFO, "going on with the %s kernels, as the training began", name);
    job->kset = set;
    return LN_OK;
}

static int open_checkpoint(struct job *job, struct ln__safe **out, struct ln_fault *fault)
{
    int code = ln__safe_open(job->checkpoint, out, fault);
    if (code)
        return code;
    const char *format = ln__safe_note(*out, "format"), *recipe = ln__safe_note(*out, "recipe");
    if (!format || strcmp(format, FORMAT) != 0 || !recipe)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: not a checkpoint of a training", job->checkpoint);
    else if (strcmp(recipe, (const char *)job->text.data) != 0)
        code = ln_fault_set(fault, LN_ECONFIG, "%s: of another recipe; --resume goes on with the same only, --force starts anew", job->checkpoint);
    if (!code)
        code = adopt_kernels(job, *out, fault);
    if (code) {
        ln__safe_close(*out);
        *out = NULL;
    }
    return code;
}

static int restore(struct job *job, const struct ln__safe *safe, struct ln_fault *fault)
{
    struct layout layout;
    const char *epoch = ln__safe_note(safe, "epoch"), *updates = ln__safe_note(safe, "updates");
    int code = layout_make(job, &layout, fault);
    for (size_t i = 0; i < layout.count && !code; i++) {
        const struct ln__safe_tensor *tensor = ln__safe_find(safe, layout.tensor[i].name);
        if (!tensor || tensor->dtype != LN__F32 || tensor->size != layout.tensor[i].size)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: tensor %s is missing or of another size", job->checkpoint, layout.tensor[i].name);
        else
            memcpy(layout.at[i], tensor->data, tensor->size);
    }
    layout_fini(&layout);
    job->epoch = epoch ? strtoll(epoch, NULL, 10) : -1;
    if (!code && (job->epoch < 0 || job->epoch > job->recipe.train.epochs || !updates))
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: its epoch is not one of this training", job->checkpoint);
    if (code)
        return code;
    ln__net_load(job->net, job->state);
    for (int i = 0; i < ln__net_slots(job->net); i++)
        ln__net_slot_restore(job->net, i, job->slot[i]);
    ln__net_updates_restore(job->net, strtoull(updates, NULL, 10));
    return job->epoch == job->recipe.train.epochs ? save_out(job, fault) : LN_OK; /* it may have ended between its last checkpoint and OUT */
}

/* ---- training ---- */

static int train_epoch(struct job *job, float *figure, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = &job->recipe;
    const struct ln__schedule *schedule = (const struct ln__schedule *)(const void *)recipe->train.schedule.plugin;
    const struct ln__key key = {.seed = (uint64_t)recipe->seed};
    uint32_t count = job->set.split[LN__TRAIN].count, batch = (uint32_t)recipe->train.batch, batches = (count + batch - 1) / batch, correct = 0;
    double lr = ln__optimizer_lr(&recipe->train.optimizer), loss_sum = 0;
    ln__epoch_order(key, (uint32_t)job->epoch, job->order, count);
    ln__net_rank_anew(job->net); /* an epoch depends on nothing that a checkpoint between epochs lacks */
    for (uint32_t b = 0; b < batches; b++) {
        if (job->cli->stop && *job->cli->stop)
            return LN_EINTERRUPTED;
        uint32_t from = b * batch;
        int n = count - from < batch ? (int)(count - from) : (int)batch;
        const struct ln__batch_args args = {
            .set = &job->set, .split = LN__TRAIN, .order = job->order + from, .augment = &job->augment, .key = key, .epoch = (uint32_t)job->epoch};
        const struct ln__net_draw draw = {.key = key, .step = (uint64_t)job->epoch * batches + b};
        double progress = (double)job->epoch + (double)b / batches, total = (double)recipe->train.epochs;
        struct ln__loss loss;
        ln__batch_fill(&args, n, job->x, job->label);
        ln__net_forward(job->net, n, job->x, true, &draw);
        ln__net_loss(job->net, n, job->label, &loss);
        double rate = lr * schedule->rate(recipe->train.schedule.options, progress, total);
        figure[RATE] = (float)rate;
        ln__net_learn(job->net, n, NULL, NULL, rate, 0);
        loss_sum += loss.sum;
        correct += (uint32_t)loss.correct;
        if (!(fabs(loss_sum) < 1e30))
            return ln_fault_set(fault, LN_EINVALID, "training diverged in epoch %" PRId64 ": the loss is no number; a smaller learning rate may help",
                                job->epoch + 1);
        char note[80];
        snprintf(note, sizeof note, "loss %.4f, accuracy %.2f %%", loss_sum / (from + (uint32_t)n), 100.0 * correct / (from + (uint32_t)n));
        if (!job->cli->quiet)
            ln__progress("pretrain", "steps", (double)job->epoch * batches + b + 1, total * batches, note);
    }
    figure[TRAIN_LOSS] = (float)(loss_sum / count);
    figure[TRAIN_RIGHT] = (float)((double)correct / count);
    return LN_OK;
}

static int test_epoch(struct job *job, float *figure)
{
    struct ln__score score = {0};
    ln__net_store(job->net, job->state);
    ln__net_load(job->classify.net, job->state);
    int code = ln__classify_score(&job->classify, &job->set, job->cli->stop, false, &score);
    figure[TEST_LOSS] = score.samples ? (float)(score.loss / score.samples) : 0;
    figure[TEST_RIGHT] = score.samples ? (float)((double)score.correct / score.samples) : 0;
    return code;
}

static int train(struct job *job, struct ln_fault *fault)
{
    int code = LN_OK;
    while (job->epoch < job->recipe.train.epochs && !code) {
        float *figure = job->figure + job->epoch * FIGURES;
        double begun = ln__clock_mono();
        char took[32];
        code = train_epoch(job, figure, fault);
        if (!code)
            code = test_epoch(job, figure);
        if (code)
            break;
        job->epoch++;
        ln__log(LN__LOG_INFO, "epoch %" PRId64 " of %" PRId64 ": loss %.4f, accuracy %.2f %%; test %.4f, %.2f %%; %s", job->epoch,
                job->recipe.train.epochs, (double)figure[TRAIN_LOSS], 100 * (double)figure[TRAIN_RIGHT], (double)figure[TEST_LOSS],
                100 * (double)figure[TEST_RIGHT], ln__show_time(ln__clock_mono() - begun, took));
        code = save(job, fault);
    }
    ln__progress_end();
    return code;
}

static int print_table(const struct job *job)
{
    static const char *const columns[] = {">epoch", ">rate", ">loss", ">accuracy", ">test loss", ">test accuracy"};
    struct ln__table *table = ln__table_new(columns, FIGURES + 1);
    for (int64_t e = 0; e < job->recipe.train.epochs; e++) {
        const float *figure = job->figure + e * FIGURES;
        ln__table_number(table, (double)(e + 1), NULL);
        for (int i = 0; i < FIGURES; i++) {
            char text[32];
            bool right = i == TRAIN_RIGHT || i == TEST_RIGHT;
            snprintf(text, sizeof text, right ? "%.2f %%" : i == RATE ? "%.4g" : "%.4f", (right ? 100 : 1) * (double)figure[i]);
            ln__table_number(table, (double)figure[i], text);
        }
    }
    return ln__table_print(table, job->cli);
}

/* ---- the command ---- */

static int command_of(const struct wish *wish, struct ln__buf *out)
{
    char threads[24];
    snprintf(threads, sizeof threads, "%ld", wish->threads);
    const char *const head[] = {"linnet", "pretrain", wish->recipe, "-o", wish->out}, *const tail[] = {"--threads", threads};
    int code = LN_OK;
    for (size_t i = 0; i < sizeof head / sizeof *head && !code; i++)
        code = ln__cli_word(out, head[i]);
    for (size_t i = 0; i < wish->sets.count && !code; i++) {
        code = ln__cli_word(out, "--set");
        code = code ? code : ln__cli_word(out, wish->sets.item[i]);
    }
    for (size_t i = 0; wish->threads && i < sizeof tail / sizeof *tail && !code; i++)
        code = ln__cli_word(out, tail[i]);
    return code ? code : ln__cli_word(out, "--resume");
}

static void say_stopped(const struct job *job)
{
    if (job->epoch == 0) {
        ln__log(LN__LOG_ERROR, "stopped in the first epoch, so nothing of it is kept");
        return;
    }
    struct ln__buf command;
    ln__buf_init(&command, LN__COMMAND_MAX);
    bool whole = command_of(job->wish, &command) == LN_OK;
    ln__log(LN__LOG_ERROR, "stopped after epoch %" PRId64 ", saved; go on with: %s", job->epoch,
            whole ? (const char *)command.data : "the same command and --resume");
    ln__buf_fini(&command);
}

/* A file is made beside it and taken away again: nothing less tells of every folder whether it can be written to. */
static int check_out(const char *out, struct ln_fault *fault)
{
    char probe[PATH_MAX + 8];
    struct stat about;
    if (stat(out, &about) == 0 && !S_ISREG(about.st_mode))
        return ln_fault_set(fault, LN_ECONFIG, "%s: not a regular file; expected one, or a name that is free", out);
    snprintf(probe, sizeof probe, "%s.XXXXXX", out);
    int file = mkostemp(probe, O_CLOEXEC);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot write", out);
    close(file);
    unlink(probe);
    return LN_OK;
}

static int prepare(struct job *job, struct ln_fault *fault)
{
    struct ln__safe *safe = NULL;
    const char *out = job->wish->out;
    if ((size_t)snprintf(job->checkpoint, sizeof job->checkpoint, "%s.checkpoint", out) >= sizeof job->checkpoint)
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", out);
    bool begun = ln__file_exists(job->checkpoint), exists = ln__file_exists(out);
    if (!job->wish->resume && !job->wish->force && (begun || exists))
        return ln_fault_set(fault, LN_ECONFIG, "%s: exists; --resume goes on with that training, --force starts anew", out);
    if (job->wish->resume && exists && !begun)
        return ln_fault_set(fault, LN_ECONFIG, "%s: no such file, so no training to go on with; --force starts %s anew", job->checkpoint, out);
    int code = read_recipe(job, fault);
    if (!code)
        code = check_out(out, fault);
    if (!code && job->wish->resume && begun)
        code = open_checkpoint(job, &safe, fault);
    if (!code)
        code = open_job(job, fault);
    if (!code && safe)
        code = restore(job, safe, fault);
    else if (!code)
        code = first_weights(job, fault);
    if (!code && !safe)
        ln__net_load(job->net, job->state);
    ln__safe_close(safe);
    if (!code && job->wish->force && unlink(job->checkpoint) != 0 && errno != ENOENT) /* of the training before, which is not to be gone on with */
        code = ln_fault_errno(fault, "%s: cannot remove", job->checkpoint);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct wish wish = {0};
    struct ln__list words = {0};
    const struct ln__flag flags[] = {{"set", LN__FLAG_LIST, {.list = &wish.sets}},          {"out", LN__FLAG_TEXT, {.text = &wish.out}},
                                     {"resume", LN__FLAG_SET, {.set = &wish.resume}},       {"force", LN__FLAG_SET, {.set = &wish.force}},
                                     {"threads", LN__FLAG_COUNT, {.count = &wish.threads}}, {0}};
    int failed = ln__cli_args("pretrain", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    if (!wish.out)
        return ln__cli_usage("pretrain", "pretrain: --out FILE must be given");
    if (wish.resume && wish.force)
        return ln__cli_usage("pretrain", "--resume and --force: one or the other");
    if (wish.threads > 256)
        return ln__cli_usage("pretrain", "--threads %ld: expected at most 256", wish.threads);
    wish.recipe = words.item[0];
    struct job *job = ln__mem_zero(1, sizeof *job);
    struct ln_fault fault = {0};
    if (!job)
        return ln__cli_fail(LN_ENOMEM, &fault);
    job->cli = cli;
    job->wish = &wish;
    job->kset = cli->kset;
    ln__cli_catch_signals();
    int code = prepare(job, &fault);
    if (!code) {
        ln__log(LN__LOG_INFO, "%s%s on %s, %" PRIu32 " samples, %s kernels", job->epoch ? "going on with " : "", job->about.model.plugin->name,
                job->set.name, job->set.split[LN__TRAIN].count, job->kset->name);
        code = train(job, &fault);
    }
    bool unsaid = !code && (!cli->quiet || cli->json) && print_table(job);
    if (code == LN_EINTERRUPTED)
        say_stopped(job);
    else if (code)
        ln__cli_fail(code, &fault);
    close_job(job);
    ln__mem_free(job);
    return !code && !unsaid ? LN__EXIT_DONE : code == LN_ECONFIG ? LN__EXIT_USAGE : LN__EXIT_FAILED;
}

const struct ln__command ln__command_pretrain = {
    .name = "pretrain",
    .usage = "pretrain RECIPE -o OUT [--set KEY=VALUE]... [--threads N] [--resume | --force]",
    .summary = "trains one model on a whole data set, for others to start from",
    .help =
        "Of a recipe the keys name, seed, model, data (set, dir, augment), train (epochs, batch, optimizer, schedule, memory_mb), sparsity and\n"
        "eval.batch count; a key of federations is an error, their numbers in data and train are passed over. The schedule runs over epochs. OUT is\n"
        "written after every epoch, and beside it OUT.checkpoint, from which --resume goes on to the same bits, with any number of threads; it\n"
        "begins anew where neither is there, and refuses an OUT without its checkpoint.\n",
    .run = run,
};
