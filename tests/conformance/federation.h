/* A whole federation for tests: a recipe in a few lines of YAML, run in a folder of its own, stopped after so many events, resumed, and the model's
 * bytes afterwards. One at a time in a process. */
#ifndef LINNET_TESTS_CONFORMANCE_FEDERATION_H
#define LINNET_TESTS_CONFORMANCE_FEDERATION_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "fed/loop.h"

/* Small enough to train in a moment, uneven enough to make clients differ in size and speed. */
#define FEDERATION_DATA                                                                                                                              \
    "data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 240, test: 60}, clients: 12, partition: {kind: dirichlet, alpha: "       \
    "0.5}}\n"
#define FEDERATION_FLEET                                                                                                                             \
    "fleet: {kind: sim, devices: [{profile: rpi4, count: 6, up_mbit: 1, extra_s: [0, 0.05], failure: %s}, {profile: rpi3, jitter: 0.5, failure: "    \
    "%s}]}\n"

struct federation {
    char dir[256];
    const struct ln_catalog *catalog; /* NULL: the built-in one */
    struct ln__metrics last;
    struct ln_fault fault;
    uint64_t budget; /* bytes of blobs in memory; 0: any */
    float *model;    /* of the finished run */
    size_t state;
    /* stopping */
    uint64_t events, stop_after; /* 0: never */
    volatile int stop;
    const struct ln_strategy *strategy;
};

/* The strategy under test wears a counter: the only state of it that the plug-in interface has no place for. */
static struct federation *federation_now;

static int federation_event(void *self, const void *options, struct ln_run *run, const struct ln_event *event)
{
    int error = federation_now->strategy->event(self, options, run, event);
    if (++federation_now->events == federation_now->stop_after)
        __atomic_store_n(&federation_now->stop, 1, __ATOMIC_RELAXED);
    return error;
}

static inline void federation_open(struct federation *federation)
{
    *federation = (struct federation){0};
    const char *base = getenv("TMPDIR");
    if (!base && access("/dev/shm", W_OK) == 0)
        base = "/dev/shm"; /* hundreds of checkpoints, each waiting for the disk */
    snprintf(federation->dir, sizeof federation->dir, "%s/linnet-fed-XXXXXX", base && strlen(base) < 200 ? base : "/tmp");
    assert_non_null(mkdtemp(federation->dir));
    ln__log_setup(LN__LOG_ERROR, LN__LOG_PLAIN); /* refusals are warnings */
}

static int federation_remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type, (void)where;
    return remove(path);
}

/* Empties the folder: the next run begins anew. */
static inline void federation_clean(struct federation *federation)
{
    nftw(federation->dir, federation_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    ln__mem_free(federation->model);
    federation->model = NULL;
    assert_int_equal(mkdir(federation->dir, 0755), 0);
}

static inline void federation_close(struct federation *federation)
{
    federation_clean(federation);
    rmdir(federation->dir);
}

/* model.safetensors' floats, which lie behind the header. */
static inline void federation_read_model(struct federation *federation)
{
    char path[300];
    struct ln__buf file;
    snprintf(path, sizeof path, "%s/model.safetensors", federation->dir);
    ln__buf_init(&file, 1u << 28);
    assert_int_equal(ln__file_read(path, 1u << 28, &file, NULL), 0);
    uint64_t header;
    memcpy(&header, file.data, sizeof header);
    federation->state = (file.size - 8 - header) / sizeof(float);
    ln__mem_free(federation->model);
    federation->model = ln__mem_alloc(federation->state * sizeof(float));
    assert_non_null(federation->model);
    memcpy(federation->model, file.data + 8 + header, federation->state * sizeof(float));
    ln__buf_fini(&file);
}

/* Opens recipe, data and environment; the caller closes the three. */
static inline int federation_env(struct federation *federation, const char *yaml, const char *set, struct ln__conf **conf, struct ln__recipe *recipe,
                                 struct ln__blobs **blobs, struct ln__env *env)
{
    const struct ln_catalog *catalog = federation->catalog ? federation->catalog : ln_catalog_builtin();
    char folder[300];
    snprintf(folder, sizeof folder, "%s/checkpoint/blobs", federation->dir);
    federation->fault = (struct ln_fault){0};
    *blobs = NULL;
    int error = ln__conf_parse(yaml, strlen(yaml), "test.yaml", conf, &federation->fault);
    if (!error && set)
        error = ln__conf_set(*conf, set, &federation->fault);
    if (!error)
        error = ln__conf_bind(*conf, catalog, ln__recipe_options, sizeof *recipe, recipe, &federation->fault);
    if (!error)
        error = ln__blobs_open(folder, federation->budget, blobs, &federation->fault);
    if (!error)
        error = ln__env_open(recipe, catalog, ln__kset_best(), *blobs, env, &federation->fault);
    return error;
}

/* Runs or resumes until the end, or until stop_after events of this call: LN_EINTERRUPTED. fleet NULL: the recipe's. Nothing may leak. */
static inline int federation_run_on(struct federation *federation, const char *yaml, const char *set, uint64_t stop_after,
                                    int (*open_fleet)(const struct ln__recipe *recipe, const struct ln__env *env, struct ln__fleet **fleet,
                                                      struct ln_fault *fault))
{
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    int64_t live = ln__mem_live() - (federation->model != NULL);
    federation->events = 0;
    federation->stop_after = stop_after;
    federation->stop = 0;
    federation_now = federation;
    int error = federation_env(federation, yaml, set, &conf, &recipe, &blobs, &env);
    if (!error) {
        struct ln__fleet *fleet = NULL;
        federation->strategy = (const struct ln_strategy *)(const void *)recipe.strategy.plugin;
        struct ln_strategy counted = *federation->strategy;
        counted.event = federation_event;
        recipe.strategy.plugin = &counted.plugin;
        const struct ln__fleet_plugin *plugin = (const struct ln__fleet_plugin *)(const void *)recipe.fleet.plugin;
        error =
            open_fleet ? open_fleet(&recipe, &env, &fleet, &federation->fault) : plugin->open(recipe.fleet.options, &env, &fleet, &federation->fault);
        if (!error) {
            const struct ln__loop_args args = {
                .env = &env, .fleet = fleet, .dir = federation->dir, .resume = true, .stop = &federation->stop, .quiet = true};
            error = ln__loop_run(&args, &federation->last, &federation->fault);
            ((struct ln__fleet_head *)(void *)fleet)->plugin->close(fleet);
        }
        ln__env_close(&env);
    }
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    assert_int_equal(ln__mem_live(), live + (federation->model != NULL));
    if (!error)
        federation_read_model(federation);
    return error;
}

static inline int federation_run(struct federation *federation, const char *yaml, const char *set, uint64_t stop_after)
{
    return federation_run_on(federation, yaml, set, stop_after, NULL);
}

/* That must end well. */
static inline void federation_finish(struct federation *federation, const char *yaml, const char *set)
{
    int error = federation_run(federation, yaml, set, 0);
    if (error)
        print_error("%s: %s\n", ln_error_name(error), federation->fault.text);
    assert_int_equal(error, 0);
}

#endif
