#include "fed/env.h"

#include "fed/fleet.h"
#include "fed/update.h"
#include "nn/layer.h"
#include "nn/sparsity.h"
#include "nn/weights.h"

#include <math.h>
#include <string.h>

#define SIDE_SEED 0x5349444500000000u /* apart from the model's tensors of the same numbers */

size_t ln__env_params(const struct ln__env *env, const struct ln__param **out)
{
    *out = env->param;
    return env->params;
}

bool ln__env_holds(const struct ln__env *env, struct ln__segment segment, size_t param)
{
    const struct ln__param *of_graph;
    size_t graphs = ln__graph_params(env->graph, &of_graph);
    return param < graphs ? ln__segment_holds(env->graph, segment, param) : param < env->params && segment.from == 0;
}

/* ---- parts of the network ---- */

static const struct ln__sparsity *sparsity_of(const struct ln__env *env)
{
    return (const struct ln__sparsity *)env->recipe->sparsity.plugin;
}

bool ln__env_submodels(const struct ln__env *env)
{
    return sparsity_of(env)->submodel != NULL;
}

static struct ln__sub_how sub_how(const struct ln__env *env, uint32_t client, uint32_t turn, int64_t step)
{
    const struct ln__sub_draw draw = {
        .key = {.seed = (uint64_t)env->recipe->seed, .round = turn, .client = client}, .clients = env->peers, .step = step};
    struct ln__sub_how how = {.share = 1};
    sparsity_of(env)->submodel(env->recipe->sparsity.options, &draw, &how);
    return how;
}

double ln__env_share(const struct ln__env *env, uint32_t client, uint32_t turn, int64_t step)
{
    return sub_how(env, client, turn, step).share;
}

int ln__env_submodel(const struct ln__env *env, uint32_t client, uint32_t turn, struct ln__submodel **out, struct ln_fault *fault)
{
    const struct ln__submodel_args args = {.graph = env->graph,
                                           .how = sub_how(env, client, turn, LN__SUB_TASK),
                                           .key = {.seed = (uint64_t)env->recipe->seed, .round = turn, .client = client}};
    return ln__submodel_new(&args, out, fault);
}

int ln__env_leading(const struct ln__env *env, double share, const struct ln__submodel *within, struct ln__submodel **out, struct ln_fault *fault)
{
    return ln__submodel_new(&(struct ln__submodel_args){.graph = env->graph, .how = {.share = share}, .within = within}, out, fault);
}

/* The tensors of both graphs in one list. */
static int list_params(struct ln__env *env, struct ln_fault *fault)
{
    const struct ln__param *graph, *side = NULL;
    size_t graphs = ln__graph_params(env->graph, &graph), sides = env->side ? ln__graph_params(env->side, &side) : 0;
    env->param = ln__mem_zero(graphs + sides, sizeof *env->param);
    env->sparsity = ln__mem_zero(graphs + sides, sizeof *env->sparsity);
    if (!env->param || !env->sparsity)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the list of %zu tensors", graphs + sides);
    for (size_t i = 0; i < graphs; i++)
        env->sparsity[i] = ln__sparse_param(env->graph, &env->recipe->sparsity, i);
    for (size_t i = 0; i < sides; i++)
        env->sparsity[graphs + i] = ln__sparse_param(env->side, &env->recipe->sparsity, i);
    env->params = graphs + sides;
    memcpy(env->param, graph, graphs * sizeof *graph);
    for (size_t i = 0; i < sides; i++) {
        env->param[graphs + i] = side[i];
        env->param[graphs + i].offset += ln__graph_state(env->graph);
        env->param[graphs + i].node = -1;
    }
    env->state = ln__graph_state(env->graph) + (env->side ? ln__graph_state(env->side) : 0);
    return LN_OK;
}

/* ---- the first weights ---- */

static int init_from(const struct ln__env *env, const char *path, struct ln__segment device, struct ln_fault *fault)
{
    int kind = env->recipe->model.init.kind;
    struct ln_fault why = {0};
    const struct ln__weights_load load = {.graph = env->graph,
                                          .part = {.segment = {0, kind == LN__INIT_PARTIAL ? device.to : -1}, .body = kind == LN__INIT_HOLISTIC},
                                          .buffers_ok = true};
    int error = ln__weights_load(path, &load, env->initial, &why);
    return error ? ln_fault_set(fault, error, "model.init.from: %s", why.text) : LN_OK;
}

static int init(struct ln__env *env, int method_cut, bool draw, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    env->initial = ln__mem_zero(env->state, sizeof(float));
    if (!env->initial)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", env->state);
    if (draw) {
        ln__graph_init(env->graph, (uint64_t)recipe->seed, env->initial);
        ln__sparse_init(env->graph, &recipe->sparsity, env->initial);
    }
    if (draw && env->side)
        ln__graph_init(env->side, (uint64_t)recipe->seed ^ SIDE_SEED, env->initial + ln__graph_state(env->graph));
    if (recipe->model.init.kind == LN__INIT_RANDOM)
        return recipe->model.init.from[0]
                   ? ln_fault_set(fault, LN_ECONFIG, "model.init: from: %s with kind: random; say kind: partial, holistic or all",
                                  recipe->model.init.from)
                   : LN_OK;
    if (!recipe->model.init.from[0])
        return ln_fault_set(fault, LN_ECONFIG, "model.init.from: a safetensors file is needed unless kind is random");
    struct ln__segment device = {0, recipe->model.init.cut ? (int)recipe->model.init.cut : method_cut};
    if (recipe->model.init.kind == LN__INIT_PARTIAL && ln__graph_cuts(env->graph) == 0)
        return ln_fault_set(fault, LN_ECONFIG, "model.init: kind: partial: %s has no cut points; say kind: all", recipe->model.name.plugin->name);
    if (recipe->model.init.kind == LN__INIT_PARTIAL && device.to == 0)
        return ln_fault_set(fault, LN_ECONFIG, "model.init: kind: partial needs to know where the device layers end: give model.init.cut (1..%d)",
                            ln__graph_cuts(env->graph));
    if (recipe->model.init.kind == LN__INIT_PARTIAL && device.to > ln__graph_cuts(env->graph))
        return ln_fault_set(fault, LN_ECONFIG, "model.init.cut: %d; this model has the cut points 1..%d", device.to, ln__graph_cuts(env->graph));
    return init_from(env, recipe->model.init.from, device, fault);
}

/* ---- opening ---- */

const struct ln__kset *ln__recipe_kset(const struct ln__recipe *recipe, const struct ln__kset *kset)
{
    return recipe->train.compute == LN__COMPUTE_BF16 ? ln__kset_bf16(kset) : ln__kset_float(kset);
}

static int open_data(struct ln__env *env, const struct ln__set *set, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    int error = ln__optimizer_check(&recipe->train.optimizer, fault);
    if (error)
        return error;
    if (recipe->train.sample > recipe->data.clients)
        return ln_fault_set(fault, LN_ECONFIG, "train.sample: %lld clients a round of %lld (data.clients)", (long long)recipe->train.sample,
                            (long long)recipe->data.clients);
    error = set ? LN_OK : ln__set_open(&recipe->data.set, recipe->data.dir, &env->set, fault);
    if (error)
        return error;
    if (set) {
        env->set = *set;
        env->set.own = NULL; /* whoever opened it closes it */
        env->set.close = NULL;
    }
    if (recipe->model.classes && recipe->model.classes < env->set.classes)
        return ln_fault_set(fault, LN_ECONFIG, "model.classes: %lld; data set %s has %d", (long long)recipe->model.classes, env->set.name,
                            env->set.classes);
    const struct ln__partition_args args = {.samples = &env->set.split[LN__TRAIN],
                                            .classes = env->set.classes,
                                            .clients = (uint32_t)recipe->data.clients,
                                            .per_client = (uint32_t)recipe->data.per_client,
                                            .seed = (uint64_t)recipe->seed};
    error = ln__shares_make(&recipe->data.partition, &args, &env->shares, fault);
    for (size_t i = 0; i < recipe->data.augment.count; i++) {
        if (strcmp(recipe->data.augment.item[i], "crop") == 0)
            env->augment.crop = 4;
        else
            env->augment.flip = true;
    }
    return error;
}

static int open_model(struct ln__env *env, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    const struct ln__model_args args = {.input = {env->set.c, env->set.h, env->set.w},
                                        .classes = recipe->model.classes ? (int)recipe->model.classes : env->set.classes,
                                        .norm = (enum ln__norm)recipe->model.norm};
    struct ln_fault why = {0};
    int error = ln__model_graph(&recipe->model.name, &args, &env->graph, &why);
    if (error) /* a shape that the recipe put together */
        return ln_fault_set(fault, error == LN_ESHAPE ? LN_ECONFIG : error, "model.name: %s on pictures of %d x %d x %d: %s",
                            recipe->model.name.plugin->name, args.input.c, args.input.h, args.input.w, why.text);
    env->state = ln__graph_state(env->graph);
    env->trainable = ln__graph_trainable(env->graph);
    return LN_OK;
}

static int open_method(struct ln__env *env, struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    env->method = (const struct ln__method *)recipe->method.plugin;
    if (!env->method->plan)
        return list_params(env, fault);
    int error = env->method->plan(recipe->method.options, env, &env->method_plan, needs, fault);
    env->side = needs->side;
    env->keep_max = needs->keep_max;
    return error ? error : list_params(env, fault);
}

static int check_update(const struct ln__env *env, const struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct ln_choice *choice = &env->recipe->update;
    const struct ln__update *update = (const struct ln__update *)choice->plugin;
    if (needs->frozen && strcmp(update->plugin.name, "all") != 0)
        return ln_fault_set(fault, LN_ECONFIG, "update: the devices of method %s send no weights of which %s could select; update all goes with it",
                            env->method->plugin.name, update->plugin.name);
    if (update->keeps && update->keeps(choice->options) && env->method->site)
        return ln_fault_set(fault, LN_ECONFIG, "update.error_feedback: method %s keeps something else of its clients", env->method->plugin.name);
    if (update->keeps && update->keeps(choice->options) && ln__env_submodels(env))
        return ln_fault_set(fault, LN_ECONFIG,
                            "update.error_feedback: with sparsity %s a client has another part of the network in its next task, "
                            "so what it did not send may have no place there",
                            sparsity_of(env)->plugin.name);
    return update->check ? update->check(choice->options, env, fault) : LN_OK;
}

/* A sparsity that would do nothing is a mistake. */
static int check_sparsity(const struct ln__env *env, struct ln_fault *fault)
{
    const struct ln_choice *choice = &env->recipe->sparsity;
    const struct ln__sparsity *sparsity = (const struct ln__sparsity *)choice->plugin;
    struct ln__sparse_how how;
    double of_node[LN__NODES];
    if (sparsity->submodel && env->method->open)
        return ln_fault_set(fault, LN_ECONFIG,
                            "sparsity: with %s a client has a part of every layer, but the server's half of method %s has its layers "
                            "whole; method full goes with it",
                            sparsity->plugin.name, env->method->plugin.name);
    if (!sparsity->how)
        return LN_OK;
    sparsity->how(choice->options, &how);
    if ((how.sparsity > 0 || how.power != 1) && !ln__sparse_nodes(env->graph, choice, of_node))
        return ln_fault_set(fault, LN_ECONFIG, "sparsity: %s has no layer that %s makes sparse%s", env->recipe->model.name.plugin->name,
                            sparsity->plugin.name, how.pointwise ? "" : "; 1 x 1 convolutions are with pointwise: true");
    return LN_OK;
}

static int check_plan(const struct ln__plan_args *args, const char **kernels, struct ln_fault *fault)
{
    struct ln__plan *plan;
    struct ln_fault why = {0};
    int error = ln__plan_new(args, &plan, &why);
    if (error)
        return ln_fault_set(fault, error == LN_EBUDGET ? LN_ECONFIG : error, "%s%s", args->memory_max ? "train.memory_mb: " : "", why.text);
    if (kernels)
        *kernels = ln__plan_kernels(plan);
    ln__plan_free(plan);
    return LN_OK;
}

/* A training network (of methods with a server half, the device's half of it and the head behind that) that is over the budget, or that sparse kernels
 * cannot run, is said before the run. */
static int check_memory(struct ln__env *env, const struct ln__method_needs *needs, struct ln_fault *fault)
{
    const struct ln__recipe *recipe = env->recipe;
    const size_t memory_max = (size_t)recipe->train.memory_mb * 1000000;
    if (!recipe->train.memory_mb && !sparsity_of(env)->how)
        return LN_OK;
    struct ln__submodel *widest = NULL;
    int error = LN_OK;
    if (ln__env_submodels(env)) {
        double share = 0;
        for (uint32_t c = 0; c < env->shares.clients; c++)
            share = fmax(share, ln__env_share(env, c, 0, LN__SUB_TASK));
        error = ln__env_leading(env, share, NULL, &widest, fault);
    }
    if (error)
        return error;
    struct ln__plan_args args = {.graph = widest ? ln__submodel_graph(widest) : env->graph,
                                 .segment = {0, -1},
                                 .batch = (int)recipe->train.batch,
                                 .train = true,
                                 .learn = true,
                                 .kset = env->kset,
                                 .width = 1,
                                 .optimizer = &recipe->train.optimizer,
                                 .sparsity = &recipe->sparsity,
                                 .memory_max = env->method->open ? 0 : memory_max};
    error = check_plan(&args, sparsity_of(env)->how ? &env->sparse_kernels : NULL, fault);
    if (!error && env->method->open) { /* the device's half is what the budget is for */
        args.segment.to = needs->cut;
        args.train = !needs->frozen;
        args.memory_max = memory_max;
        error = check_plan(&args, NULL, fault);
    }
    if (!error && env->side) {
        args.graph = env->side;
        args.segment.to = -1;
        args.input_grad = true;
        error = check_plan(&args, NULL, fault);
    }
    ln__submodel_free(widest);
    return error;
}

/* set, draw: as in ln__env_check; a set of its own, and the first weights, are what a run needs. */
static int open_all(struct ln__env *out, const struct ln__set *set, bool draw, struct ln_fault *fault)
{
    struct ln__method_needs needs = {0};
    int error = open_data(out, set, fault);
    if (!error)
        error = open_model(out, fault);
    if (!error)
        error = open_method(out, &needs, fault);
    if (!error)
        error = init(out, needs.cut, draw, fault);
    if (!error)
        error = check_sparsity(out, fault);
    if (!error)
        error = check_update(out, &needs, fault);
    if (!error)
        error = check_memory(out, &needs, fault);
    if (error)
        ln__env_close(out);
    return error;
}

int ln__env_open(const struct ln__recipe *recipe, const struct ln_catalog *catalog, const struct ln__kset *kset, struct ln__blobs *blobs,
                 struct ln__env *out, struct ln_fault *fault)
{
    *out = (struct ln__env){
        .recipe = recipe, .catalog = catalog, .kset = ln__recipe_kset(recipe, kset), .blobs = blobs, .peers = (uint32_t)recipe->data.clients};
    return open_all(out, NULL, true, fault);
}

int ln__env_check(const struct ln__recipe *recipe, const struct ln_catalog *catalog, const struct ln__kset *kset, const struct ln__set *set,
                  struct ln_fault *fault)
{
    struct ln__env env = {.recipe = recipe, .catalog = catalog, .kset = ln__recipe_kset(recipe, kset), .peers = (uint32_t)recipe->data.clients};
    int error = open_all(&env, set, false, fault);
    if (error)
        return error;
    const struct ln__fleet_plugin *fleet = (const struct ln__fleet_plugin *)(const void *)recipe->fleet.plugin;
    if (fleet->check)
        error = fleet->check(recipe->fleet.options, &env, fault);
    ln__env_close(&env);
    return error;
}

void ln__env_close(struct ln__env *env)
{
    if (env->method && env->method->unplan)
        env->method->unplan(env->method_plan);
    ln__mem_free(env->initial);
    ln__mem_free(env->param);
    ln__mem_free(env->sparsity);
    ln__graph_free(env->side);
    ln__graph_free(env->graph);
    ln__shares_free(&env->shares);
    if (env->set.close || env->set.own)
        ln__set_close(&env->set);
    *env = (struct ln__env){0};
}
