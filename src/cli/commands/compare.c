/* Several runs: the product of the varied values, each with several seeds, in folders of their own below one. */
#include "dash/compare.h"
#include "api/federation.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/grid.h"
#include "cli/summary.h"
#include "dash/report.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA_MAX (1u << 20)

struct job {
    struct ln__cli *cli;
    const char *recipe, *out;
    long seeds;
    bool resume, force;
    struct ln__list sets, vary;
    double target[LN__TARGETS];
    size_t targets;
    struct ln__grid grid;
    char dir[PATH_MAX];
    struct ln__source source;
};

/* DIR/fedavg/seed-1 */
static int run_folder(const struct job *job, size_t cell, int64_t seed, char out[PATH_MAX], struct ln_fault *fault)
{
    char folder[LN__GRID_TEXT];
    ln__grid_folder(&job->grid, cell, folder);
    int size = snprintf(out, PATH_MAX, "%s/%s/seed-%" PRId64, job->dir, folder, seed);
    return size < 0 || size >= PATH_MAX ? ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", job->dir) : LN_OK;
}

/* The hash of the keys that say which data set it is and where. */
static int data_of(const struct ln__recipe *recipe, struct ln__sha256 *out, struct ln_fault *fault)
{
    struct data {
        struct ln_choice set;
        const char *dir;
    } data = {recipe->data.set, recipe->data.dir};
    static const struct ln_option table[] = {{.key = "set", .type = LN_OPT_PLUGIN, .offset = offsetof(struct data, set), .kind = LN_KIND_DATASET},
                                             {.key = "dir", .type = LN_OPT_TEXT, .offset = offsetof(struct data, dir)},
                                             {0}};
    struct ln__buf text;
    ln__buf_init(&text, DATA_MAX);
    int code = ln__conf_print(table, &data, &text);
    if (code)
        code = ln_fault_set(fault, code, "data: no memory for it");
    else
        ln__sha256_of(text.data, text.size, out);
    ln__buf_fini(&text);
    return code;
}

/* Every recipe is read before the first run begins: a misspelt value is said at once. */
static int read_all(struct job *job, struct ln__sha256 *data, struct ln_fault *fault)
{
    for (size_t cell = 0; cell < job->grid.cells; cell++) {
        struct ln__loaded loaded;
        int code = ln__grid_load(job->cli, &job->grid, cell, 0, &job->source, &job->sets, &loaded, fault);
        if (!code && cell == 0 && !job->out) {
            char own[PATH_MAX - 16];
            code = ln__rundir_default(&loaded.recipe, own, sizeof own, fault);
            snprintf(job->dir, sizeof job->dir, "%s-compare", own);
        } else if (!code && cell == 0) {
            snprintf(job->dir, sizeof job->dir, "%s", job->out);
        }
        if (!code)
            code = data_of(&loaded.recipe, &data[cell], fault);
        ln__loaded_close(&loaded);
        if (code)
            return code;
    }
    return LN_OK;
}

static bool finished(const char *dir)
{
    char path[PATH_MAX];
    return ln__file_join(path, sizeof path, dir, "summary.json") == 0 && ln__file_exists(path);
}

static bool all_finished(const struct job *job, size_t cell, int64_t seed)
{
    char dir[PATH_MAX];
    for (long number = 0; number < job->seeds; number++) {
        if (run_folder(job, cell, seed + number, dir, NULL) || !finished(dir))
            return false;
    }
    return true;
}

/* What a run of the cell would refuse before it trains. *set is opened by the first cell that needs it. */
static int check_cell(struct job *job, size_t cell, struct ln__set *set, bool *opened, struct ln_fault *fault)
{
    struct ln__loaded loaded;
    int code = ln__grid_load(job->cli, &job->grid, cell, 0, &job->source, &job->sets, &loaded, fault);
    if (!code && !(job->resume && all_finished(job, cell, loaded.recipe.seed))) {
        if (!*opened)
            code = ln__set_open(&loaded.recipe.data.set, loaded.recipe.data.dir, set, fault);
        *opened = !code;
        enum ln__log_level level = ln__log_level(LN__LOG_ERROR); /* the run will say the rest */
        if (!code)
            code = ln__env_check(&loaded.recipe, job->cli->catalog, job->cli->kset, set, fault);
        ln__log_level(level);
    }
    ln__loaded_close(&loaded);
    return code;
}

/* Cells that cannot go together, or whose data are missing, are said before the first run begins too. A data set is opened once for all its cells. */
static int check_all(struct job *job, const struct ln__sha256 *data, struct ln_fault *fault)
{
    bool done[LN__GRID_CELLS] = {false};
    char label[LN__GRID_TEXT];
    int code = LN_OK;
    for (size_t first = 0; first < job->grid.cells && !code; first++) {
        struct ln__set set = {0};
        bool opened = false;
        for (size_t cell = first; cell < job->grid.cells && !code; cell++) {
            if (done[cell] || memcmp(&data[cell], &data[first], sizeof *data) != 0)
                continue;
            done[cell] = true;
            code = check_cell(job, cell, &set, &opened, fault);
            ln__progress_end();
            ln__grid_label(&job->grid, cell, label);
            if (code)
                ln__log(LN__LOG_INFO, "cannot be run: %s", label);
        }
        if (opened)
            ln__set_close(&set);
    }
    return code;
}

static int run_one(struct job *job, size_t cell, unsigned number, struct ln__summary *summary, struct ln_fault *fault)
{
    char dir[PATH_MAX], label[LN__GRID_TEXT];
    struct ln__loaded loaded;
    struct ln__metrics last;
    struct ln__rundir folder = {.dir = dir, .kset = job->cli->kset};
    int code = ln__grid_load(job->cli, &job->grid, cell, number, &job->source, &job->sets, &loaded, fault);
    if (code)
        return code;
    code = run_folder(job, cell, loaded.recipe.seed, dir, fault);
    enum ln__rundir_mode mode = job->resume ? LN__RUNDIR_RESUME : job->force ? LN__RUNDIR_FORCE : LN__RUNDIR_NEW;
    if (!code)
        code = ln__rundir_open(&folder, mode, &loaded.recipe, job->recipe, fault);
    ln__grid_label(&job->grid, cell, label);
    if (!code && !(folder.resume && finished(dir))) {
        ln__log(LN__LOG_INFO, "run %zu of %zu: %s, seed %" PRId64 "%s", cell * (size_t)job->seeds + number + 1, job->grid.cells * (size_t)job->seeds,
                label, loaded.recipe.seed, folder.resume ? ", going on" : "");
        const struct ln__federation federation = {
            .recipe = &loaded.recipe, .catalog = job->cli->catalog, .folder = folder, .quiet = job->cli->quiet, .stop = job->cli->stop};
        code = ln__federation_run(&federation, &last, fault);
        ln__progress_end();
        if (!code) {
            struct ln_fault unmade = {0};
            if (ln__report_write(dir, &unmade))
                ln__log(LN__LOG_WARN, "the run is whole, but not its report: %s", unmade.text);
        } else if (code != LN_EINTERRUPTED) {
            ln__log(LN__LOG_INFO, "it was %s, seed %" PRId64, label, loaded.recipe.seed);
        }
    }
    if (!code)
        code = ln__summary_add(summary, cell, &loaded.recipe, dir, fault);
    ln__loaded_close(&loaded);
    return code;
}

static int write_all(struct job *job, struct ln__summary *summary, struct ln_fault *fault)
{
    int code = ln__summary_write(summary, job->dir, fault);
    return code ? code : ln__compare_write(job->dir, fault);
}

static int run_all(struct job *job, struct ln_fault *fault)
{
    struct ln__summary *summary = NULL;
    int code = ln__summary_new(&job->grid, (unsigned)job->seeds, job->target, job->targets, &summary, fault);
    for (unsigned number = 0; number < job->seeds && !code; number++) { /* seed by seed, so that a comparison cut short is even */
        for (size_t cell = 0; cell < job->grid.cells && !code; cell++)
            code = run_one(job, cell, number, summary, fault);
        if (!code)
            code = write_all(job, summary, fault);
    }
    if (code == LN_EINTERRUPTED)
        ln__log(LN__LOG_ERROR, "stopped, saved; the same command with --resume goes on (in %s)", job->dir);
    if (!code)
        code = ln__summary_table(summary, job->cli);
    if (!code && !job->cli->json)
        printf("%zu runs: %s/report.html\n", job->grid.cells * (size_t)job->seeds, job->dir);
    ln__summary_free(summary);
    return code;
}

static bool is_run(const char *dir)
{
    char path[PATH_MAX];
    return ln__file_join(path, sizeof path, dir, "metrics.jsonl") == 0 && ln__file_exists(path);
}

static int compare(struct job *job)
{
    struct ln_fault fault = {0};
    struct ln__sha256 data[LN__GRID_CELLS];
    int code = ln__grid_open(&job->vary, &job->grid, &fault);
    if (!code)
        code = ln__source_read(job->recipe, &job->source, &fault);
    if (!code)
        code = read_all(job, data, &fault);
    if (!code && is_run(job->dir))
        code = ln_fault_set(&fault, LN_ECONFIG, "%s: holds a run (metrics.jsonl); a comparison has a folder of its own", job->dir);
    if (!code && !job->resume && !job->force && ln__compare_is(job->dir))
        code = ln_fault_set(&fault, LN_ECONFIG, "%s: holds a comparison; --resume goes on with it, --force starts anew", job->dir);
    if (!code)
        code = check_all(job, data, &fault);
    if (!code) {
        ln__cli_catch_signals();
        code = run_all(job, &fault);
    }
    ln__grid_close(&job->grid);
    ln__source_close(&job->source);
    if (code == LN_EINTERRUPTED)
        return LN__EXIT_FAILED;
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

/* --target 0.6 */
static int read_targets(struct job *job, const struct ln__list *words)
{
    for (size_t i = 0; i < words->count; i++) {
        char *end;
        double target = strtod(words->item[i], &end);
        if (end == words->item[i] || *end || !(target > 0 && target <= 1))
            return ln__cli_usage("compare", "--target: an accuracy above 0 and up to 1 expected");
        if (i == LN__TARGETS)
            return ln__cli_usage("compare", "--target: at most 8 of them");
        job->target[job->targets++] = target;
    }
    return 0;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct job job = {.cli = cli, .seeds = 1};
    struct ln__list words = {0}, targets = {0};
    const struct ln__flag flags[] = {{"vary", LN__FLAG_LIST, {.list = &job.vary}},  {"seeds", LN__FLAG_COUNT, {.count = &job.seeds}},
                                     {"target", LN__FLAG_LIST, {.list = &targets}}, {"set", LN__FLAG_LIST, {.list = &job.sets}},
                                     {"out", LN__FLAG_TEXT, {.text = &job.out}},    {"resume", LN__FLAG_SET, {.set = &job.resume}},
                                     {"force", LN__FLAG_SET, {.set = &job.force}},  {0}};
    int failed = ln__cli_args("compare", argc, argv, flags, &words, 1, 1);
    if (!failed)
        failed = read_targets(&job, &targets);
    if (failed)
        return failed;
    if (job.resume && job.force)
        return ln__cli_usage("compare", "--resume and --force: one or the other");
    if (job.vary.count == 0 && job.seeds == 1)
        return ln__cli_usage("compare", "nothing to compare: give --vary KEY=VALUE,VALUE,... or --seeds N");
    if (job.seeds > 1000)
        return ln__cli_usage("compare", "--seeds: at most 1000");
    job.recipe = words.item[0];
    return compare(&job);
}

const struct ln__command ln__command_compare = {
    .name = "compare",
    .usage = "compare RECIPE --vary KEY=VALUE,VALUE,... [--vary ...] [--seeds N] [--target ACCURACY]... [--set KEY=VALUE]... [--out DIR] [--resume | "
             "--force]",
    .summary = "trains several federations and lays them over each other: mean and spread",
    .help =
        "Runs the product of all values of --vary, each with the recipe's seed and N - 1 following ones, one after another, each in a folder of its\n"
        "own below DIR (runs/NAME-compare): DIR/fedavg/seed-1. The table gives mean and standard deviation over the seeds after a quarter, a half\n"
        "and three quarters of the rounds (of the horizon, with stop.time_s), over the last quarter's tests and at the end, and, with --target 0.6, "
        "the\n"
        "fleet's time until 60 % are reached; DIR/report.html lays the curves over each other; DIR/compare.json holds all of it.\n"
        "A comparison that was stopped goes on with --resume: finished runs are kept as they are. Values with commas of their own are put in\n"
        "braces: --vary 'strategy={kind: fedprox, mu: 0.1},{kind: fedprox, mu: 1}'.\n",
    .run = run,
};
