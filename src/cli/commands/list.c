#include "base/log.h"
#include "cli/json.h"
#include "fed/env.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MATRIX_MAX 64
#define WHY_MAX (4u << 20)

/* ---- what goes with what, by trying ---- */
/* The kinds that a run multiplies, and the recipe's key for each. The rest are open to all. */
static const struct {
    enum ln_kind kind;
    const char *key;
} factor[] = {{LN_KIND_METHOD, "method"}, {LN_KIND_STRATEGY, "strategy"}, {LN_KIND_SPARSITY, "sparsity"},
              {LN_KIND_UPDATE, "update"}, {LN_KIND_CODEC, "codec.up"},    {LN_KIND_MODEL, "model.name"}};
enum { FACTORS = sizeof factor / sizeof *factor };

struct member {
    int factor;
    const char *name;
    bool sparse; /* an update of trainings with a sparsity: it is tried with swat where the pair says nothing else */
};

struct matrix {
    struct ln__cli *cli;
    struct member member[MATRIX_MAX];
    int count;
    struct ln__set set; /* of all trials */
    enum ln__log_level level;
};

static int collect(const struct ln__cli *cli, struct member *out)
{
    int count = 0;
    for (int f = 0; f < FACTORS; f++) {
        for (size_t i = 0; i < cli->catalog->of[factor[f].kind].count && count < MATRIX_MAX; i++)
            out[count++] = (struct member){f, cli->catalog->of[factor[f].kind].item[i]->name, false};
    }
    return count;
}

/* The recipe of a trial; without members, that of all. */
static int bind_trial(const struct ln__cli *cli, const struct member *const member[2], struct ln__conf **conf, struct ln__recipe *recipe,
                      struct ln_fault *fault)
{
    static const char base[] =
        "model: {name: cnn5x5}\ndata: {set: {kind: synthetic, train: 64, test: 16}, clients: 4}\ntrain: {sample: 2, rounds: 1}\n";
    int code = ln__conf_parse(base, sizeof base - 1, "matrix", conf, fault);
    if (!code && member && (member[0]->sparse || member[1]->sparse))
        code = ln__conf_set(*conf, "sparsity=swat", fault);
    for (int i = 0; member && i < 2 && !code; i++) {
        char text[160];
        snprintf(text, sizeof text, "%s=%s", factor[member[i]->factor].key, member[i]->name);
        code = ln__conf_set(*conf, text, fault);
    }
    return code ? code : ln__conf_bind(*conf, cli->catalog, ln__recipe_options, sizeof *recipe, recipe, fault);
}

/* Whether a tiny run of both would be taken; the refusal goes into fault. */
static bool fits(const struct matrix *matrix, const struct member *a, const struct member *b, struct ln_fault *fault)
{
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    int code = bind_trial(matrix->cli, (const struct member *const[]){a, b}, &conf, &recipe, fault);
    if (!code)
        code = ln__env_check(&recipe, matrix->cli->catalog, matrix->cli->kset, &matrix->set, fault);
    ln__conf_free(conf);
    return code == LN_OK;
}

/* An update that is refused by itself, and taken with a sparsity, wants one. */
static void find_sparse(struct matrix *matrix)
{
    for (int i = 0; i < matrix->count; i++) {
        struct ln_fault fault = {0};
        struct member *one = &matrix->member[i];
        if (factor[one->factor].kind != LN_KIND_UPDATE || fits(matrix, one, one, &fault))
            continue;
        one->sparse = true;
        one->sparse = fits(matrix, one, one, &fault);
    }
}

static int open_matrix(struct ln__cli *cli, struct matrix *out, struct ln_fault *fault)
{
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    *out = (struct matrix){.cli = cli};
    int code = bind_trial(cli, NULL, &conf, &recipe, fault);
    if (!code)
        code = ln__set_open(&recipe.data.set, recipe.data.dir, &out->set, fault);
    ln__conf_free(conf);
    if (code)
        return code;
    out->level = ln__log_level(LN__LOG_ERROR); /* nothing is to be said of runs that will not be */
    out->count = collect(cli, out->member);
    find_sparse(out);
    return LN_OK;
}

static void close_matrix(struct matrix *matrix)
{
    ln__log_level(matrix->level);
    ln__set_close(&matrix->set);
}

static int print_pairs(const struct matrix *matrix)
{
    static const char *const columns[] = {"one", "other", "fits", "why not"};
    struct ln__table *table = ln__table_new(columns, 4);
    for (int i = 0; i < matrix->count; i++) {
        for (int k = 0; k < i; k++) {
            const struct member *one = &matrix->member[k], *other = &matrix->member[i];
            if (one->factor == other->factor)
                continue;
            struct ln_fault fault = {0};
            bool good = fits(matrix, one, other, &fault);
            ln__table_text(table, "%s %s", ln_kind_name(factor[one->factor].kind), one->name);
            ln__table_text(table, "%s %s", ln_kind_name(factor[other->factor].kind), other->name);
            ln__table_text(table, "%s", good ? "yes" : "no");
            ln__table_text(table, "%s", good ? "" : fault.text);
        }
    }
    return ln__table_print(table, matrix->cli) ? LN__EXIT_FAILED : LN__EXIT_DONE;
}

static int print_square(const struct matrix *matrix)
{
    struct ln__buf why;
    int width = 0, code = LN_OK;
    ln__buf_init(&why, WHY_MAX);
    for (int i = 0; i < matrix->count; i++) {
        int size = (int)strlen(matrix->member[i].name);
        width = size > width ? size : width;
    }
    printf("What goes with what, found by trying each pair on a tiny run: + taken, - refused, . of one kind. Updates that want a sparsity are tried "
           "with swat.\n\n");
    for (int i = 0; i < matrix->count; i++) {
        const struct member *other = &matrix->member[i];
        printf("%2d %-9s %-*s", i + 1, ln_kind_name(factor[other->factor].kind), width, other->name);
        for (int k = 0; k < i; k++) {
            const struct member *one = &matrix->member[k];
            if (one->factor == other->factor) {
                printf("  .");
                continue;
            }
            struct ln_fault fault = {0};
            bool good = fits(matrix, one, other, &fault);
            if (!good && !code)
                code = ln__buf_print(&why, "%s with %s: %s\n", other->name, one->name, fault.text);
            printf("  %c", good ? '+' : '-');
        }
        putchar('\n');
    }
    printf("%*s", 13 + width, "");
    for (int k = 0; k + 1 < matrix->count; k++)
        printf(" %2d", k + 1);
    putchar('\n');
    if (why.size)
        printf("\n%.*s", (int)why.size, (const char *)why.data);
    ln__buf_fini(&why);
    return code ? ln__cli_fail(code, NULL) : LN__EXIT_DONE;
}

static int print_matrix(struct ln__cli *cli)
{
    struct matrix matrix;
    struct ln_fault fault = {0};
    int code = open_matrix(cli, &matrix, &fault);
    if (code)
        return ln__cli_fail(code, &fault);
    int end = cli->json ? print_pairs(&matrix) : print_square(&matrix);
    close_matrix(&matrix);
    return end;
}

/* ---- what exists ---- */
static const char *const type_name[] = {"",        "whole number", "number",  "yes or no", "text", "one of", "whole numbers",
                                        "numbers", "texts",        "plug-in", "keys",      "list"};

static void print_options(const struct ln_option *option, int indent)
{
    for (; option && option->key; option++) {
        printf("%*s%s", indent, "", option->key);
        if (option->choices)
            printf(" (%s%s)", option->type == LN_OPT_TEXTS ? "list of " : "", option->choices);
        else
            printf(" (%s)", type_name[option->type]);
        printf(option->fallback ? " = %s" : " must be given", option->fallback);
        printf("%s%s\n", option->help ? ": " : "", option->help ? option->help : "");
        if (option->type == LN_OPT_TABLE || option->type == LN_OPT_TABLES)
            print_options(option->table, indent + 4);
    }
}

static int list_kind(struct ln__cli *cli, enum ln_kind kind)
{
    if (cli->json)
        return ln__json_print(ln__json_plugins(cli->catalog, kind)) ? LN__EXIT_FAILED : LN__EXIT_DONE;
    printf("%s: %s\n", ln_kind_name(kind), ln_kind_help(kind));
    for (size_t i = 0; i < cli->catalog->of[kind].count; i++) {
        const struct ln_plugin *plugin = cli->catalog->of[kind].item[i];
        printf("\n  %s  %s\n", plugin->name, plugin->summary);
        print_options(plugin->options, 6);
    }
    return LN__EXIT_DONE;
}

static int list_all(struct ln__cli *cli)
{
    static const char *const columns[] = {"kind", "name", "summary"};
    struct ln__table *table = ln__table_new(columns, 3);
    for (int kind = 0; kind < LN_KIND_COUNT; kind++) {
        for (size_t i = 0; i < cli->catalog->of[kind].count; i++) {
            ln__table_text(table, "%s", i == 0 || cli->json ? ln_kind_name((enum ln_kind)kind) : "");
            ln__table_text(table, "%s", cli->catalog->of[kind].item[i]->name);
            ln__table_text(table, "%s", cli->catalog->of[kind].item[i]->summary);
        }
    }
    return ln__table_print(table, cli) ? LN__EXIT_FAILED : LN__EXIT_DONE;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    bool matrix = false;
    int failed = ln__cli_args("list", argc, argv, (const struct ln__flag[]){{"matrix", LN__FLAG_SET, {.set = &matrix}}, {0}}, &words, 0, 1);
    if (failed)
        return failed;
    if (matrix)
        return print_matrix(cli);
    if (words.count == 0)
        return list_all(cli);
    const char *names[LN_KIND_COUNT];
    char all[256] = "";
    for (int kind = 0; kind < LN_KIND_COUNT; kind++) {
        names[kind] = ln_kind_name((enum ln_kind)kind);
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", kind ? ", " : "", names[kind]);
        if (strcmp(words.item[0], names[kind]) == 0)
            return list_kind(cli, (enum ln_kind)kind);
    }
    return ln__cli_usage("list", "%.60s: no such kind; there are %s", words.item[0], all);
}

const struct ln__command ln__command_list = {
    .name = "list",
    .usage = "list [KIND | --matrix]",
    .summary = "says which plug-ins exist, and what goes with what",
    .help = "With a kind (model, optimizer, schedule, sparsity, dataset, partition, codec, update, method, strategy, fleet): each with its options.\n"
            "--matrix tries every pair of methods, strategies, sparsities, updates, codecs and models on a tiny run and says which are refused.\n",
    .run = run,
};
