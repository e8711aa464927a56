/* An environment for tests of the fed room: logreg on 1 x 6 x 6 synthetic pictures, some codecs, blobs in memory. Only what the room may link. */
#ifndef LINNET_TESTS_ENV_TESTING_H
#define LINNET_TESTS_ENV_TESTING_H

#include "fed/fleet.h"
#include "fed/update.h"
#include <string.h>

#define ENV_PLUGINS(X)                                                                                                                               \
    X(MODEL, ln__model_logreg)                                                                                                                       \
    X(OPTIMIZER, ln__optimizer_sgd)                                                                                                                  \
    X(SCHEDULE, ln__schedule_constant)                                                                                                               \
    X(SPARSITY, ln__sparsity_none)                                                                                                                   \
    X(DATASET, ln__dataset_synthetic)                                                                                                                \
    X(PARTITION, ln__partition_iid)                                                                                                                  \
    X(UPDATE, ln__update_all)
#define ENV_EXTERN(kind, name) extern const struct ln_plugin name;
ENV_PLUGINS(ENV_EXTERN)
extern const struct ln_plugin ln__codec_f32, ln__codec_f16, ln__codec_q8, ln__model_cnn5x5, ln__model_resnet18;
extern const struct ln_plugin ln__method_full, ln__method_splitfed, ln__method_localloss, ln__method_fedgkt, ln__method_ecofed;
/* A strategy and a fleet that nobody calls; whole structs, since a device half looks whether the strategy has one. */
static const struct ln_strategy env_strategy = {.plugin = {.name = "fedavg"}};
static const struct ln__fleet_plugin env_fleet = {.plugin = {.name = "sim"}};

#define ENV_TABLE(kind, name) static const struct ln_plugin *const env_##kind##_table[] = {&name};
ENV_PLUGINS(ENV_TABLE)
static const struct ln_plugin *const env_CODEC_table[] = {&ln__codec_f32, &ln__codec_f16, &ln__codec_q8};
static const struct ln_plugin *const env_models[] = {&ln__model_logreg, &ln__model_cnn5x5, &ln__model_resnet18};
static const struct ln_plugin *const env_methods[] = {&ln__method_full, &ln__method_splitfed, &ln__method_localloss, &ln__method_fedgkt,
                                                      &ln__method_ecofed};

static const struct ln_plugin *const env_strategies[] = {&env_strategy.plugin}, *const env_fleets[] = {&env_fleet.plugin};

struct env_testing {
    struct ln_catalog catalog;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln_fault fault;
};

#define ENV_RECIPE                                                                                                                                   \
    "model: {name: logreg}\ndata: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 60, test: 20}, clients: 6}\n"                     \
    "train: {sample: 3, rounds: 3}\n"

/* With settings, ended by NULL. An error of the recipe or of ln__env_open is returned, its sentence is in fault; close in any case. */
__attribute__((unused)) static int env_testing_try_all(struct env_testing *t, const char *const *set)
{
    *t = (struct env_testing){0};
#define ENV_ROW(kind, name) t->catalog.of[LN_KIND_##kind].item = env_##kind##_table, t->catalog.of[LN_KIND_##kind].count = 1;
#define ENV_ROWS(kind, table) t->catalog.of[LN_KIND_##kind].item = table, t->catalog.of[LN_KIND_##kind].count = sizeof table / sizeof *table;
    ENV_PLUGINS(ENV_ROW)
    ENV_ROWS(MODEL, env_models)
    ENV_ROWS(CODEC, env_CODEC_table)
    ENV_ROWS(METHOD, env_methods)
    ENV_ROWS(STRATEGY, env_strategies)
    ENV_ROWS(FLEET, env_fleets)
    int error = ln__conf_parse(ENV_RECIPE, strlen(ENV_RECIPE), "test.yaml", &t->conf, &t->fault);
    for (; !error && set && *set; set++)
        error = ln__conf_set(t->conf, *set, &t->fault);
    if (!error)
        error = ln__conf_bind(t->conf, &t->catalog, ln__recipe_options, sizeof t->recipe, &t->recipe, &t->fault);
    if (!error)
        error = ln__blobs_open(NULL, 0, &t->blobs, &t->fault);
    if (!error)
        error = ln__env_open(&t->recipe, &t->catalog, ln__kset_best(), t->blobs, &t->env, &t->fault);
    return error;
}

__attribute__((unused)) static int env_testing_try(struct env_testing *t, const char *set)
{
    return env_testing_try_all(t, (const char *const[]){set, NULL});
}

__attribute__((unused)) static void env_testing_open(struct env_testing *t)
{
    int error = env_testing_try(t, NULL);
    if (error)
        print_error("%s\n", t->fault.text);
    assert_int_equal(error, 0);
}

__attribute__((unused)) static void env_testing_close(struct env_testing *t)
{
    if (t->env.graph)
        ln__env_close(&t->env);
    ln__blobs_close(t->blobs);
    ln__conf_free(t->conf);
}

#endif
