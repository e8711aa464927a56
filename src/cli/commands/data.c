#include "base/file.h"
#include "cli/json.h"
#include "data/show.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define JSON_MAX ((size_t)16 << 30)

static int data_get(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    const char *dir = "data";
    int failed = ln__cli_args("data", argc, argv, (const struct ln__flag[]){{"dir", LN__FLAG_TEXT, {.text = &dir}}, {0}}, &words, 1, 32);
    json_t *found = json_array();
    for (size_t i = 0; i < words.count && !failed; i++) {
        char folder[PATH_MAX] = "";
        struct ln_fault fault = {0};
        struct ln__conf *conf = NULL;
        struct ln_choice set;
        int code = ln__choice_open(cli, LN_KIND_DATASET, words.item[i], &conf, &set, &fault);
        if (!code)
            code = ln__set_get(&set, dir, &fault);
        if (!code && ln__file_join(folder, sizeof folder, dir, set.plugin->name))
            code = ln_fault_set(&fault, LN_EINVALID, "%.100s: the path is too long", dir);
        if (code)
            failed = ln__cli_fail(code, &fault);
        else if (cli->json)
            json_array_append_new(found, json_pack("{s:s, s:s}", "set", words.item[i], "folder", folder));
        else
            printf("%s is in %s\n", words.item[i], folder);
        ln__conf_free(conf);
    }
    if (cli->json && !failed)
        return ln__json_print(found) ? LN__EXIT_FAILED : LN__EXIT_DONE;
    json_decref(found);
    return failed;
}

static int data_list(struct ln__cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"set", "summary", "from"};
    struct ln__list words = {0};
    int failed = ln__cli_args("data", argc, argv, (const struct ln__flag[]){{0}}, &words, 0, 0);
    if (failed)
        return failed;
    struct ln__table *table = ln__table_new(columns, 3);
    for (size_t i = 0; i < cli->catalog->of[LN_KIND_DATASET].count; i++) {
        const struct ln__dataset *set = (const struct ln__dataset *)(const void *)cli->catalog->of[LN_KIND_DATASET].item[i];
        ln__table_text(table, "%s", set->plugin.name);
        ln__table_text(table, "%s", set->plugin.summary);
        ln__table_text(table, "%s", set->source ? set->source : "");
    }
    return ln__table_print(table, cli) ? LN__EXIT_FAILED : LN__EXIT_DONE;
}

static int show_json(const struct ln__set *set, const struct ln__shares *shares, struct ln_fault *fault)
{
    struct ln__buf text;
    ln__buf_init(&text, JSON_MAX);
    int code = ln__show_json(&text, set, shares, 0, fault);
    if (!code && fwrite(text.data, 1, text.size, stdout) != text.size)
        code = ln_fault_set(fault, LN_EIO, "cannot write the table");
    ln__buf_fini(&text);
    return code;
}

static int show(const struct ln__cli *cli, const struct ln__recipe *recipe, int rows, bool csv, struct ln_fault *fault)
{
    struct ln__set set = {0};
    struct ln__shares shares = {0};
    int code = ln__set_open(&recipe->data.set, recipe->data.dir, &set, fault);
    if (!code) {
        const struct ln__partition_args args = {&set.split[LN__TRAIN], set.classes, (uint32_t)recipe->data.clients, (uint32_t)recipe->data.per_client,
                                                (uint64_t)recipe->seed};
        code = ln__shares_make(&recipe->data.partition, &args, &shares, fault);
    }
    struct winsize window = {0};
    if (isatty(STDOUT_FILENO))
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
    const struct ln__show_args args = {.title = recipe->name, .columns = window.ws_col >= 40 ? window.ws_col : 100, .rows = rows};
    if (!code && csv)
        code = ln__show_csv(stdout, &set, &shares, fault);
    else if (!code && cli->json)
        code = show_json(&set, &shares, fault);
    else if (!code)
        code = ln__show_text(stdout, &set, &shares, &args, fault);
    ln__shares_free(&shares);
    ln__set_close(&set);
    return code;
}

static int data_show(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0}, sets = {0};
    bool csv = false;
    long rows = 40;
    const struct ln__flag flags[] = {
        {"set", LN__FLAG_LIST, {.list = &sets}}, {"rows", LN__FLAG_COUNT, {.count = &rows}}, {"csv", LN__FLAG_SET, {.set = &csv}}, {0}};
    int failed = ln__cli_args("data", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    if (csv && cli->json)
        return ln__cli_usage("data", "--csv and --json: one or the other");
    struct ln_fault fault = {0};
    struct ln__loaded loaded;
    int code = ln__loaded_open(cli, words.item[0], &sets, &loaded, &fault);
    if (!code) {
        code = show(cli, &loaded.recipe, rows < 1000000 ? (int)rows : 1000000, csv, &fault);
        ln__loaded_close(&loaded);
    }
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct ln__cli *cli, int argc, char **argv);
    } part[] = {{"get", data_get}, {"show", data_show}, {"list", data_list}};
    if (argc < 2)
        return ln__cli_usage("data", "data: get, show or list?");
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (strcmp(argv[1], part[i].name) == 0)
            return part[i].run(cli, argc - 1, argv + 1);
    }
    return ln__cli_usage("data", "data %.40s: unknown; there are get, show and list", argv[1]);
}

const struct ln__command ln__command_data = {
    .name = "data",
    .usage = "data get SET... [--dir DIR] | data show RECIPE [--set KEY=VALUE]... [--rows N] [--csv] | data list",
    .summary = "fetches and verifies data sets; draws who holds what",
    .help = "get   fetches into DIR/SET (DIR is data unless given): resumable, checked by hash, converted to the official layout.\n"
            "show  draws a recipe's clients and the classes they hold; --csv and --json give all counts.\n"
            "list  says which sets there are and where each comes from.\n",
    .run = run,
};
