#include <linnet/run.h>

#include "api/federation.h"
#include <string.h>

struct ln_recipe {
    struct ln__conf *conf;
};

static int wrap(int code, struct ln__conf *conf, struct ln_recipe **out, struct ln_fault *fault)
{
    *out = NULL;
    if (code)
        return code;
    *out = ln__mem_zero(1, sizeof **out);
    if (!*out) {
        ln__conf_free(conf);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a recipe");
    }
    (*out)->conf = conf;
    return LN_OK;
}

int ln_recipe_load(const char *path, struct ln_recipe **out, struct ln_fault *fault)
{
    struct ln__conf *conf = NULL;
    int code = ln__conf_load(path, &conf, fault);
    return wrap(code, conf, out, fault);
}

int ln_recipe_parse(const char *text, struct ln_recipe **out, struct ln_fault *fault)
{
    struct ln__conf *conf = NULL;
    int code = ln__conf_parse(text, strlen(text), "recipe", &conf, fault);
    return wrap(code, conf, out, fault);
}

int ln_recipe_set(struct ln_recipe *recipe, const char *assignment, struct ln_fault *fault)
{
    return ln__conf_set(recipe->conf, assignment, fault);
}

void ln_recipe_free(struct ln_recipe *recipe)
{
    if (!recipe)
        return;
    ln__conf_free(recipe->conf);
    ln__mem_free(recipe);
}

static struct ln_figures figures_of(const struct ln__metrics *m)
{
    return (struct ln_figures){.round = m->round,
                               .time_s = m->time_s,
                               .wall_s = m->wall_s,
                               .accuracy = m->accuracy,
                               .loss = m->loss,
                               .client_mean = m->client.mean,
                               .client_median = m->client.median,
                               .client_worst10 = m->client.worst10,
                               .bytes_up = m->bytes_up,
                               .bytes_down = m->bytes_down,
                               .tasks = m->tasks,
                               .dropped = m->dropped,
                               .refused = m->refused};
}

static void evaluated(void *context, const struct ln__metrics *now)
{
    const struct ln_run_args *args = context;
    const struct ln_figures figures = figures_of(now);
    args->progress(args->context, &figures);
}

int ln_recipe_run(const struct ln_recipe *recipe, const struct ln_run_args *args, struct ln_run_end *out, struct ln_fault *fault)
{
    struct ln_run_args own = args ? *args : (struct ln_run_args){0};
    struct ln__recipe bound;
    struct ln__metrics last = {0};
    struct ln__rundir folder = {.dir = own.dir, .kset = ln__kset_best()};
    *out = (struct ln_run_end){0};
    if (!own.catalog)
        own.catalog = ln_catalog_builtin();
    struct ln__conf *view; /* the recipe may be running in another thread */
    int code = ln__conf_view(recipe->conf, &view, fault);
    if (code)
        return code;
    code = ln__conf_bind(view, own.catalog, ln__recipe_options, sizeof bound, &bound, fault);
    if (!code && own.dir)
        code = ln__rundir_open(&folder, own.resume ? LN__RUNDIR_RESUME : LN__RUNDIR_NEW, &bound, NULL, fault);
    if (code) {
        ln__conf_free(view);
        return code;
    }
    const struct ln__federation federation = {.recipe = &bound,
                                              .catalog = own.catalog,
                                              .folder = folder,
                                              .quiet = true,
                                              .stop = own.stop,
                                              .evaluated = own.progress ? evaluated : NULL,
                                              .context = &own,
                                              .model = &out->model,
                                              .state = &out->state};
    code = ln__federation_run(&federation, &last, fault);
    ln__conf_free(view);
    out->figures = figures_of(&last);
    return code;
}

void ln_run_end_fini(struct ln_run_end *end)
{
    ln__mem_free(end->model);
    *end = (struct ln_run_end){0};
}
