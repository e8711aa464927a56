#include "api/federation.h"
#include "fleet/ranks.h"
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Blobs may take a quarter of the machine's memory before they are spilled. */
static uint64_t blob_budget(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : (uint64_t)1 << 30;
}

static int copy_model(const struct ln__federation *federation, size_t state, struct ln_blob *model, struct ln_fault *fault)
{
    const void *data;
    float *copy = ln__mem_alloc(state * sizeof *copy);
    if (!copy)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a model of %zu values", state);
    int code = ln__blob_pin(model, &data, fault);
    if (code) {
        ln__mem_free(copy);
        return code;
    }
    memcpy(copy, data, state * sizeof *copy);
    ln__blob_unpin(model);
    *federation->model = copy;
    *federation->state = state;
    return LN_OK;
}

static void evaluated(void *context, const struct ln__metrics *now)
{
    const struct ln__federation *federation = context;
    if (federation->folder.dir)
        ln__rundir_begun(federation->folder.dir); /* at the second test: the first one comes before the first checkpoint */
    if (federation->evaluated)
        federation->evaluated(federation->context, now);
}

static int run_env(const struct ln__federation *federation, const struct ln__env *env, struct ln__metrics *last, struct ln_fault *fault)
{
    const struct ln_choice *choice = &federation->recipe->fleet;
    const struct ln__fleet_plugin *plugin = (const struct ln__fleet_plugin *)(const void *)choice->plugin;
    struct ln__fleet *fleet = NULL;
    struct ln_blob *model = NULL;
    if (ln__ranks_number() > 0)
        return plugin->serve ? plugin->serve(choice->options, env, fault)
                             : ln_fault_set(fault, LN_ECONFIG, "fleet %s does not run on several ranks", plugin->plugin.name);
    int code = federation->folder.dir ? ln__rundir_shares(federation->folder.dir, env, fault) : LN_OK;
    if (!code)
        code = plugin->open(choice->options, env, &fleet, fault);
    if (code)
        return code;
    const struct ln__loop_args args = {.env = env,
                                       .fleet = fleet,
                                       .dir = federation->folder.dir,
                                       .resume = federation->folder.resume,
                                       .stop = federation->stop,
                                       .quiet = federation->quiet,
                                       .evaluated = evaluated,
                                       .context = (void *)federation,
                                       .model = federation->model ? &model : NULL};
    code = ln__loop_run(&args, last, fault);
    if (model && (!code || code == LN_EINTERRUPTED)) {
        int uncopied = copy_model(federation, env->state, model, fault);
        code = code ? code : uncopied;
    }
    ln__blob_unref(model);
    plugin->close(fleet);
    return code;
}

int ln__federation_run(const struct ln__federation *federation, struct ln__metrics *last, struct ln_fault *fault)
{
    char folder[PATH_MAX];
    *last = (struct ln__metrics){0};
    if (federation->model)
        *federation->model = NULL;
    if (federation->folder.dir && ln__file_join(folder, sizeof folder, federation->folder.dir, "checkpoint/blobs"))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", federation->folder.dir);
    struct ln__blobs *blobs = NULL;
    struct ln__env env;
    int code = ln__blobs_open(federation->folder.dir ? folder : NULL, federation->folder.dir ? blob_budget() : 0, &blobs, fault);
    if (!code) {
        code = ln__env_open(federation->recipe, federation->catalog, federation->folder.kset, blobs, &env, fault);
        if (!code) {
            code = run_env(federation, &env, last, fault);
            ln__env_close(&env);
        }
        ln__blobs_close(blobs);
    }
    bool saved = federation->folder.dir && ln__rundir_saved(federation->folder.dir);
    if (saved)
        ln__rundir_begun(federation->folder.dir);
    else if (code && federation->folder.dir && !federation->folder.resume)
        ln__rundir_undo(&federation->folder);
    if (federation->saved)
        *federation->saved = saved;
    return code;
}
