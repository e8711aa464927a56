#include "api/federation.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/metrics.h"
#include "dash/compare.h"
#include "dash/report.h"
#include "fleet/ranks.h"
#include <limits.h>
#include <stdio.h>

#define TABLE_ROWS 24

struct wish {
    const char *recipe, *out;
    bool resume, force;
    struct ln__list sets;
};

static void print_end(const struct ln__cli *cli, const char *dir, const struct ln__metrics *last, bool reported)
{
    char up[32], down[32], fleet[32], here[32];
    if (cli->json)
        return;
    const char *ended = ln__metrics_ended(dir);
    printf("accuracy %.2f %% after %g rounds%s%s%s, %s up, %s down, %s on the fleet's clock, %s here (%.2f tasks at a time): %s%s\n",
           100 * last->accuracy, last->round, ended ? " (" : "", ended ? ended : "", ended ? " is reached)" : "",
           ln__show_bytes((double)last->bytes_up, up), ln__show_bytes((double)last->bytes_down, down), ln__show_time(last->time_s, fleet),
           ln__show_time(last->wall_s, here), last->parallelism, dir, reported ? "/report.html" : "");
}

/* The recipe in the folder is the resolved one, so nothing that was set is to be said again. */
static void say_how_to_go_on(enum ln__log_level level, const char *what, const char *dir)
{
    char recipe[PATH_MAX];
    struct ln__buf command;
    ln__buf_init(&command, LN__COMMAND_MAX);
    const char *const words[] = {"linnet", "run", recipe, "--out", dir, "--resume"};
    int code = ln__file_join(recipe, sizeof recipe, dir, "recipe.yaml");
    for (size_t i = 0; i < sizeof words / sizeof *words && !code; i++)
        code = ln__cli_word(&command, words[i]);
    ln__log(level, "%s; go on with: %s", what, code ? "the same command and --resume" : (const char *)command.data);
    ln__buf_fini(&command);
}

static int finish(struct ln__cli *cli, const char *dir, int code, bool saved, const struct ln__metrics *last, const struct ln_fault *why)
{
    struct ln_fault fault = {0};
    if (!code) {
        struct ln_fault unmade = {0};
        bool reported = ln__report_write(dir, &unmade) == LN_OK;
        if (!reported)
            ln__log(LN__LOG_WARN, "the run is whole, but not its report: %s", unmade.text);
        code = cli->quiet && !cli->json ? LN_OK : ln__metrics_table(cli, dir, TABLE_ROWS, &fault);
        if (code)
            return ln__cli_fail(code, &fault);
        print_end(cli, dir, last, reported);
        return LN__EXIT_DONE;
    }
    if (code == LN_EINTERRUPTED && !saved) {
        ln__log(LN__LOG_ERROR, "stopped before the first checkpoint, so nothing of it is kept; the same command begins anew");
    } else if (code == LN_EINTERRUPTED) {
        if (ln__report_write(dir, &fault))
            fault.code = LN_OK; /* stopped before the first evaluation: nothing to draw yet */
        char what[64];
        snprintf(what, sizeof what, "stopped at round %g, saved", last->round);
        say_how_to_go_on(LN__LOG_ERROR, what, dir);
    } else {
        ln__cli_fail(code, why);
        if (saved && (code == LN_EFULL || code == LN_EIO || code == LN_ENOMEM))
            say_how_to_go_on(LN__LOG_INFO, "the last checkpoint stays", dir);
    }
    return code == LN_ECONFIG ? LN__EXIT_USAGE : LN__EXIT_FAILED;
}

/* A rank other than 0 under mpirun: no folder, no words. */
static int follow(struct ln__cli *cli, struct ln__loaded *loaded)
{
    struct ln_fault fault = {0};
    struct ln__metrics last;
    const struct ln__federation federation = {.recipe = &loaded->recipe, .catalog = cli->catalog, .folder = {.kset = cli->kset}, .quiet = true};
    int code = ln__federation_run(&federation, &last, &fault);
    ln__loaded_close(loaded);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

static int run_wish(struct ln__cli *cli, const struct wish *wish)
{
    char own[PATH_MAX];
    struct ln_fault fault = {0};
    struct ln__loaded loaded;
    int code = ln__loaded_open(cli, wish->recipe, &wish->sets, &loaded, &fault);
    if (code)
        return ln__cli_fail(code, &fault);
    if (ln__ranks_number() > 0)
        return follow(cli, &loaded);
    const char *dir = wish->out;
    if (!dir) {
        code = ln__rundir_default(&loaded.recipe, own, sizeof own, &fault);
        dir = own;
    }
    struct ln__rundir folder = {.dir = dir, .kset = cli->kset};
    enum ln__rundir_mode mode = wish->resume ? LN__RUNDIR_RESUME : wish->force ? LN__RUNDIR_FORCE : LN__RUNDIR_NEW;
    if (!code && ln__compare_is(dir))
        code = ln_fault_set(&fault, LN_ECONFIG, "%s: holds a comparison (compare.json); a run has a folder of its own", dir);
    if (!code)
        code = ln__rundir_open(&folder, mode, &loaded.recipe, wish->recipe, &fault);
    if (code) {
        ln__loaded_close(&loaded);
        return ln__cli_fail(code, &fault);
    }
    ln__cli_catch_signals();
    ln__log(LN__LOG_INFO, "%s%s in %s, %s kernels", folder.resume ? "going on with " : "", loaded.recipe.name, dir, folder.kset->name);
    struct ln__metrics last = {0};
    bool saved = false;
    const struct ln__federation federation = {
        .recipe = &loaded.recipe, .catalog = cli->catalog, .folder = folder, .quiet = cli->quiet, .stop = cli->stop, .saved = &saved};
    code = ln__federation_run(&federation, &last, &fault);
    ln__progress_end();
    ln__loaded_close(&loaded);
    return finish(cli, dir, code, saved, &last, &fault);
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct wish wish = {0};
    struct ln__list words = {0};
    const struct ln__flag flags[] = {{"set", LN__FLAG_LIST, {.list = &wish.sets}},
                                     {"out", LN__FLAG_TEXT, {.text = &wish.out}},
                                     {"resume", LN__FLAG_SET, {.set = &wish.resume}},
                                     {"force", LN__FLAG_SET, {.set = &wish.force}},
                                     {0}};
    int failed = ln__cli_args("run", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    if (wish.resume && wish.force)
        return ln__cli_usage("run", "--resume and --force: one or the other");
    wish.recipe = words.item[0];
    return run_wish(cli, &wish);
}

const struct ln__command ln__command_run = {
    .name = "run",
    .usage = "run RECIPE [--set KEY=VALUE]... [--out DIR] [--resume | --force]",
    .summary = "trains: a whole federation in this process",
    .help = "The folder of the run is runs/NAME, or DIR. One that holds something is refused, unless --resume goes on with the run in it or --force\n"
            "puts a new one in its place, once that has a checkpoint; a run that another process works on, and files that no run wrote, are\n"
            "refused. A run killed at any moment ends, resumed, with the same bits. Ctrl-C saves and stops; the second one ends at once. Any key\n"
            "can be set: --set train.rounds=3 --set 'strategy={kind: fedprox, mu: 0.1}'. The folder holds recipe.yaml (resolved), metrics.jsonl\n"
            "(a line an evaluation), shares.json, trace.jsonl, gantt.jsonl, model.safetensors, summary.json, report.html and checkpoint/.\n",
    .run = run,
};
