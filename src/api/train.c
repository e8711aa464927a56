#include <linnet/train.h>

#include "nn/nn.h"
#include "nn/weights.h"
#include <string.h>

#define THREADS_MAX 256

struct ln_trainer {
    struct ln_trainer_args args;
    struct ln__conf *conf;
    struct chosen {
        struct ln_choice model, optimizer;
    } chosen;
    struct ln__model_args shape;
    struct ln__weights_about pixels; /* channels, mean and std only */
    struct ln__graph *graph;
    struct ln__pool *pool;
    struct ln__plan *plan;
    struct ln__net *net;
    uint64_t steps;
};

/* What the caller's arrays say, for files that are saved later. */
static int take_pixels(struct ln_trainer *trainer, struct ln_fault *fault)
{
    const struct ln_trainer_args *args = &trainer->args;
    if (!args->mean && !args->std)
        return LN_OK;
    if (!args->mean || !args->std || args->channels > 4)
        return ln_fault_set(fault, LN_EINVALID, "a trainer's mean and std are given both or not at all, and for 1 to 4 channels");
    trainer->pixels.channels = args->channels;
    memcpy(trainer->pixels.mean, args->mean, (size_t)args->channels * sizeof *args->mean);
    memcpy(trainer->pixels.std, args->std, (size_t)args->channels * sizeof *args->std);
    return ln__weights_pixels(&trainer->pixels) ? LN_OK
                                                : ln_fault_set(fault, LN_EINVALID, "a trainer's mean and std: expected " LN__WEIGHTS_PIXELS_EXPECTED);
}

static int choose(struct ln_trainer *trainer, struct ln_fault *fault)
{
    static const struct ln_option options[] = {
        {.key = "model", .type = LN_OPT_PLUGIN, .offset = offsetof(struct chosen, model), .kind = LN_KIND_MODEL},
        {.key = "optimizer", .type = LN_OPT_PLUGIN, .offset = offsetof(struct chosen, optimizer), .kind = LN_KIND_OPTIMIZER, .fallback = "sgd"},
        {0}};
    struct ln__buf text;
    ln__buf_init(&text, 1u << 20);
    const char *part[] = {"model: ", trainer->args.model, trainer->args.optimizer ? "\noptimizer: " : "", trainer->args.optimizer, "\n"};
    int code = LN_OK;
    for (size_t i = 0; i < sizeof part / sizeof *part && !code; i++)
        code = part[i] ? ln__buf_add(&text, part[i], strlen(part[i])) : LN_OK;
    if (code)
        ln_fault_set(fault, code, "no memory for a trainer");
    else
        code = ln__conf_parse((const char *)text.data, text.size, "arguments", &trainer->conf, fault);
    ln__buf_fini(&text);
    return code ? code : ln__conf_bind(trainer->conf, trainer->args.catalog, options, sizeof trainer->chosen, &trainer->chosen, fault);
}

static int build(struct ln_trainer *trainer, struct ln_fault *fault)
{
    const struct ln_trainer_args *args = &trainer->args;
    unsigned threads = args->threads ? args->threads : 1;
    trainer->shape = (struct ln__model_args){.input = {args->channels, args->height, args->width}, .classes = args->classes};
    int code = ln__model_graph(&trainer->chosen.model, &trainer->shape, &trainer->graph, fault);
    if (!code && ln__pool_new(threads, &trainer->pool))
        code = ln_fault_set(fault, LN_ENOMEM, "%u threads: no memory", threads);
    if (code)
        return code;
    const struct ln__plan_args plan = {.graph = trainer->graph,
                                       .segment = {0, -1},
                                       .batch = args->batch,
                                       .train = true,
                                       .learn = true,
                                       .kset = ln__kset_best(),
                                       .width = threads,
                                       .optimizer = &trainer->chosen.optimizer};
    code = ln__plan_new(&plan, &trainer->plan, fault);
    if (!code)
        code = ln__net_new(trainer->plan, trainer->pool, &trainer->net, fault);
    return code ? code : ln__net_init(trainer->net, args->seed, fault);
}

int ln_trainer_new(const struct ln_trainer_args *args, struct ln_trainer **out, struct ln_fault *fault)
{
    *out = NULL;
    if (!args->model || args->channels < 1 || args->height < 1 || args->width < 1 || args->classes < 1 || args->batch < 1)
        return ln_fault_set(fault, LN_EINVALID, "a trainer needs a model, channels, height, width, classes and a batch of 1 or more");
    if (args->threads > THREADS_MAX)
        return ln_fault_set(fault, LN_EINVALID, "a trainer with %u threads; expected 1 to %d", args->threads, THREADS_MAX);
    struct ln_trainer *trainer = ln__mem_zero(1, sizeof *trainer);
    if (!trainer)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a trainer");
    trainer->args = *args;
    if (!trainer->args.catalog)
        trainer->args.catalog = ln_catalog_builtin();
    int code = take_pixels(trainer, fault);
    if (!code)
        code = choose(trainer, fault);
    if (!code)
        code = build(trainer, fault);
    if (code)
        ln_trainer_free(trainer);
    else
        *out = trainer;
    return code;
}

void ln_trainer_free(struct ln_trainer *trainer)
{
    if (!trainer)
        return;
    ln__net_free(trainer->net);
    ln__plan_free(trainer->plan);
    ln__pool_free(trainer->pool);
    ln__graph_free(trainer->graph);
    ln__conf_free(trainer->conf);
    ln__mem_free(trainer);
}

static int check_batch(const struct ln_trainer *trainer, int n, struct ln_fault *fault)
{
    if (n < 1 || n > trainer->args.batch)
        return ln_fault_set(fault, LN_EINVALID, "a batch of %d; this trainer was made for 1 to %d", n, trainer->args.batch);
    return LN_OK;
}

int ln_trainer_step(struct ln_trainer *trainer, int n, const float *x, const int32_t *label, double lr, double *loss, double *accuracy,
                    struct ln_fault *fault)
{
    struct ln__loss found;
    int code = check_batch(trainer, n, fault);
    for (int i = 0; i < n && !code; i++) {
        if (label[i] < 0 || label[i] >= trainer->args.classes)
            code = ln_fault_set(fault, LN_EINVALID, "label %d of sample %d; there are classes 0 to %d", (int)label[i], i, trainer->args.classes - 1);
    }
    if (code)
        return code;
    const struct ln__net_draw draw = {.key = {.seed = trainer->args.seed}, .step = trainer->steps++};
    ln__net_forward(trainer->net, n, x, true, &draw);
    ln__net_loss(trainer->net, n, label, &found);
    ln__net_learn(trainer->net, n, NULL, NULL, lr > 0 ? lr : ln__optimizer_lr(&trainer->chosen.optimizer), 0);
    if (loss)
        *loss = found.sum / n;
    if (accuracy)
        *accuracy = (double)found.correct / n;
    return LN_OK;
}

int ln_trainer_logits(struct ln_trainer *trainer, int n, const float *x, float *logits, struct ln_fault *fault)
{
    int code = check_batch(trainer, n, fault);
    if (code)
        return code;
    ln__net_forward(trainer->net, n, x, false, NULL);
    ln__net_output(trainer->net, n, logits);
    return LN_OK;
}

size_t ln_trainer_parameters(const struct ln_trainer *trainer)
{
    return ln__graph_trainable(trainer->graph);
}

size_t ln_trainer_state(const struct ln_trainer *trainer)
{
    return ln__graph_state(trainer->graph);
}

void ln_trainer_read(const struct ln_trainer *trainer, float *state)
{
    ln__net_store(trainer->net, state);
}

void ln_trainer_write(struct ln_trainer *trainer, const float *state)
{
    ln__net_load(trainer->net, state);
}

int ln_trainer_save(const struct ln_trainer *trainer, const char *path, struct ln_fault *fault)
{
    struct ln__weights_about about = trainer->pixels;
    about.model = trainer->chosen.model;
    about.args = trainer->shape;
    float *state = ln__mem_zero(ln_trainer_state(trainer), sizeof *state);
    if (!state)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", ln_trainer_state(trainer));
    ln__net_store(trainer->net, state);
    int code = ln__weights_save(path, trainer->graph, &about, state, fault);
    ln__mem_free(state);
    return code;
}

int ln_trainer_load(struct ln_trainer *trainer, const char *path, struct ln_fault *fault)
{
    const struct ln__weights_load load = {.graph = trainer->graph, .part = {.segment = {0, -1}}, .buffers_ok = true};
    float *state = ln__mem_zero(ln_trainer_state(trainer), sizeof *state);
    if (!state)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", ln_trainer_state(trainer));
    ln__net_store(trainer->net, state);
    int code = ln__weights_load(path, &load, state, fault);
    if (!code)
        ln__net_load(trainer->net, state);
    ln__mem_free(state);
    return code;
}
