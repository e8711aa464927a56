#include "cli/json.h"
#include <stdio.h>

static json_t *schema(const struct ln_catalog *catalog)
{
    json_t *plugins = json_object();
    for (int kind = 0; kind < LN_KIND_COUNT; kind++)
        json_object_set_new(plugins, ln_kind_name((enum ln_kind)kind), ln__json_plugins(catalog, (enum ln_kind)kind));
    return json_pack("{s:o, s:o}", "keys", ln__json_options(ln__recipe_options), "plugins", plugins);
}

/* The recipe, or, of NULL, the schema. */
static int print_text(const struct ln_catalog *catalog, const struct ln__recipe *recipe)
{
    struct ln__buf text;
    ln__buf_init(&text, 16 << 20);
    int code = recipe ? ln__conf_print(ln__recipe_options, recipe, &text) : ln__conf_schema(catalog, ln__recipe_options, &text);
    if (!code)
        fwrite(text.data, 1, text.size, stdout);
    ln__buf_fini(&text);
    return code ? ln__cli_fail(code, NULL) : LN__EXIT_DONE;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0}, sets = {0};
    const struct ln__flag flags[] = {{"set", LN__FLAG_LIST, {.list = &sets}}, {0}};
    int failed = ln__cli_args("recipe", argc, argv, flags, &words, 0, 1);
    if (failed)
        return failed;
    struct ln_fault fault = {0};
    struct ln__loaded loaded = {0};
    int code = words.count ? ln__loaded_open(cli, words.item[0], &sets, &loaded, &fault) : LN_OK;
    if (code)
        return ln__cli_fail(code, &fault);
    int end;
    if (cli->json)
        end =
            ln__json_print(words.count ? ln__json_bound(ln__recipe_options, &loaded.recipe) : schema(cli->catalog)) ? LN__EXIT_FAILED : LN__EXIT_DONE;
    else
        end = print_text(cli->catalog, words.count ? &loaded.recipe : NULL);
    ln__loaded_close(&loaded);
    return end;
}

const struct ln__command ln__command_recipe = {
    .name = "recipe",
    .usage = "recipe [RECIPE [--set KEY=VALUE]...]",
    .summary = "prints every key a recipe may hold, or a recipe with all its defaults",
    .help = "Without an argument: the schema, each key with its type, default, range and meaning, and each plug-in's own keys.\n"
            "With a recipe: what it comes to once the defaults and --set are in; that loads again to the same run.\n"
            "With --json the schema is {keys, plugins}, and a recipe an object of its keys.\n",
    .run = run,
};
