/* Recipes and single plug-ins, for commands. */
#include "base/file.h"
#include "cli/cli.h"
#include <string.h>

#define SOURCE_MAX (16u << 20) /* as the reader of recipes has it */

int ln__source_read(const char *path, struct ln__source *out, struct ln_fault *fault)
{
    *out = (struct ln__source){.path = path};
    ln__buf_init(&out->text, SOURCE_MAX);
    return ln__file_read(path, SOURCE_MAX, &out->text, fault);
}

void ln__source_close(struct ln__source *source)
{
    ln__buf_fini(&source->text);
    *source = (struct ln__source){0};
}

int ln__loaded_open(const struct ln__cli *cli, const char *path, const struct ln__list *sets, struct ln__loaded *out, struct ln_fault *fault)
{
    struct ln__source source;
    *out = (struct ln__loaded){0};
    int code = ln__source_read(path, &source, fault);
    if (!code)
        code = ln__loaded_parse(cli, &source, sets, out, fault);
    ln__source_close(&source);
    return code;
}

int ln__loaded_parse(const struct ln__cli *cli, const struct ln__source *source, const struct ln__list *sets, struct ln__loaded *out,
                     struct ln_fault *fault)
{
    *out = (struct ln__loaded){0};
    int code = ln__conf_parse(source->text.data ? (const char *)source->text.data : "", source->text.size, source->path, &out->conf, fault);
    for (size_t i = 0; sets && i < sets->count && !code; i++)
        code = ln__conf_set(out->conf, sets->item[i], fault);
    if (!code)
        code = ln__conf_bind(out->conf, cli->catalog, ln__recipe_options, sizeof out->recipe, &out->recipe, fault);
    if (code)
        ln__loaded_close(out);
    return code;
}

void ln__loaded_close(struct ln__loaded *loaded)
{
    ln__conf_free(loaded->conf);
    *loaded = (struct ln__loaded){0};
}

int ln__choice_open(const struct ln__cli *cli, enum ln_kind kind, const char *name, struct ln__conf **conf, struct ln_choice *out,
                    struct ln_fault *fault)
{
    *conf = NULL;
    if (!ln_catalog_find(cli->catalog, kind, name)) {
        char all[LN_FAULT_TEXT - 150];
        size_t used = 0;
        const char *names[128];
        size_t count = 0;
        for (size_t i = 0; i < cli->catalog->of[kind].count && count < 128 && used < sizeof all; i++) {
            names[count++] = cli->catalog->of[kind].item[i]->name;
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
        }
        const char *near = ln__conf_nearest(name, names, count);
        return ln_fault_set(fault, LN_ECONFIG, "%.60s: no such %s%s%s; there are %s", name, ln_kind_name(kind), near ? ", did you mean " : "",
                            near ? near : "", count ? all : "none");
    }
    struct bound {
        struct ln_choice choice;
    } bound;
    const struct ln_option table[] = {{.key = "kind", .type = LN_OPT_PLUGIN, .offset = offsetof(struct bound, choice), .kind = kind}, {0}};
    char text[160];
    int size = snprintf(text, sizeof text, "kind: \"%s\"\n", name); /* a name of the catalog holds no quotes */
    int code = ln__conf_parse(text, (size_t)size, "arguments", conf, fault);
    if (!code)
        code = ln__conf_bind(*conf, cli->catalog, table, sizeof bound, &bound, fault);
    if (code) {
        ln__conf_free(*conf);
        *conf = NULL;
        return code;
    }
    *out = bound.choice;
    return LN_OK;
}
