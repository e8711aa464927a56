/* From C structs back to YAML, and the schema of option tables. */
#include "base/conf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"

#define TRY(expression)                                                                                                                              \
    do {                                                                                                                                             \
        int try_code = (expression);                                                                                                                 \
        if (try_code)                                                                                                                                \
            return try_code;                                                                                                                         \
    } while (0)

/* ---- a bound struct as YAML ---- */

/* A bare word that no YAML reader takes for anything but text; all else is quoted. */
static bool is_plain(const char *text)
{
    static const char *const special[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "none", "inf", "nan"};
    bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
    if (!letter || text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")])
        return false;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        if (strcasecmp(text, special[i]) == 0)
            return false;
    }
    return true;
}

static int print_text(const char *text, struct ln__buf *out)
{
    if (is_plain(text))
        return ln__buf_print(out, "%s", text);
    TRY(ln__buf_add(out, "\"", 1));
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            TRY(ln__buf_print(out, "\\%c", *at));
        else if (*at < 0x20 || *at == 0x7f)
            TRY(ln__buf_print(out, "\\x%02x", *at));
        else
            TRY(ln__buf_add(out, at, 1));
    }
    return ln__buf_add(out, "\"", 1);
}

/* The shortest digits that read back as the same double. */
static int print_real(double value, struct ln__buf *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return ln__buf_print(out, "%s", text);
}

static int print_choice(const char *choices, int index, struct ln__buf *out)
{
    for (; index > 0 && choices; index--) {
        choices = strchr(choices, '|');
        choices = choices ? choices + 1 : NULL;
    }
    if (index < 0 || !choices)
        return LN_EINVALID;
    return ln__buf_print(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

static int print_list(const struct ln_option *option, const struct ln_rows *rows, struct ln__buf *out)
{
    TRY(ln__buf_print(out, "["));
    for (size_t i = 0; i < rows->count; i++) {
        if (i > 0)
            TRY(ln__buf_print(out, ", "));
        if (option->type == LN_OPT_INTS)
            TRY(ln__buf_print(out, "%" PRId64, ((const int64_t *)rows->item)[i]));
        else if (option->type == LN_OPT_REALS)
            TRY(print_real(((const double *)rows->item)[i], out));
        else
            TRY(print_text(((const char *const *)rows->item)[i], out));
    }
    return ln__buf_print(out, "]");
}

static int print_rows(const struct ln_option *table, const unsigned char *bound, int indent, bool dashed, struct ln__buf *out);

static int print_plugin(const struct ln_choice *choice, int indent, struct ln__buf *out)
{
    if (!choice->plugin)
        return ln__buf_print(out, " null\n");
    if (!choice->options || !choice->plugin->options[0].key)
        return ln__buf_print(out, " %s\n", choice->plugin->name);
    TRY(ln__buf_print(out, "\n%*skind: %s\n", indent + 2, "", choice->plugin->name));
    return print_rows(choice->plugin->options, choice->options, indent + 2, false, out);
}

static int print_tables(const struct ln_option *option, const struct ln_rows *rows, int indent, struct ln__buf *out)
{
    if (rows->count == 0)
        return ln__buf_print(out, " []\n");
    TRY(ln__buf_print(out, "\n"));
    for (size_t i = 0; i < rows->count; i++) {
        TRY(ln__buf_print(out, "%*s- ", indent + 2, ""));
        if (!option->table[0].key)
            TRY(ln__buf_print(out, "{}\n"));
        TRY(print_rows(option->table, (const unsigned char *)rows->item + i * option->row_size, indent + 4, true, out));
    }
    return LN_OK;
}

static int print_scalar(const struct ln_option *option, const void *member, struct ln__buf *out)
{
    switch (option->type) {
    case LN_OPT_INT:
        return ln__buf_print(out, "%" PRId64, *(const int64_t *)member);
    case LN_OPT_REAL:
        return print_real(*(const double *)member, out);
    case LN_OPT_BOOL:
        return ln__buf_print(out, "%s", *(const bool *)member ? "true" : "false");
    case LN_OPT_TEXT:
        return print_text(*(const char *const *)member ? *(const char *const *)member : "", out);
    case LN_OPT_ENUM:
        return print_choice(option->choices, *(const int *)member, out);
    case LN_OPT_INTS:
    case LN_OPT_REALS:
    case LN_OPT_TEXTS:
        return print_list(option, member, out);
    default:
        return LN_EINVALID;
    }
}

/* dashed: the first key stands behind a list's dash. */
static int print_rows(const struct ln_option *table, const unsigned char *bound, int indent, bool dashed, struct ln__buf *out)
{
    for (const struct ln_option *option = table; option->key; option++, dashed = false) {
        const void *member = bound + option->offset;
        TRY(ln__buf_print(out, "%*s%s:", dashed ? 0 : indent, "", option->key));
        if (option->type == LN_OPT_PLUGIN) {
            TRY(print_plugin(member, indent, out));
        } else if (option->type == LN_OPT_TABLES) {
            TRY(print_tables(option, member, indent, out));
        } else if (option->type == LN_OPT_TABLE) {
            TRY(ln__buf_print(out, option->table[0].key ? "\n" : " {}\n"));
            TRY(print_rows(option->table, member, indent + 2, false, out));
        } else {
            TRY(ln__buf_print(out, " "));
            TRY(print_scalar(option, member, out));
            TRY(ln__buf_print(out, "\n"));
        }
    }
    return LN_OK;
}

int ln__conf_print(const struct ln_option *table, const void *bound, struct ln__buf *out)
{
    return print_rows(table, bound, 0, false, out);
}

/* ---- the schema ---- */

static int describe_range(const struct ln_option *option, struct ln__buf *out)
{
    if (option->min == 0 && option->max == 0)
        return LN_OK;
    char low[40], high[40];
    ln__conf_bound(option->min, low, sizeof low);
    ln__conf_bound(option->max, high, sizeof high);
    return ln__buf_print(out, " from %s to %s", low, high);
}

static int describe_choices(const char *choices, struct ln__buf *out)
{
    for (const char *at = choices; *at; at++)
        TRY(ln__buf_print(out, *at == '|' ? " | " : "%c", *at));
    return LN_OK;
}

static int describe_type(const struct ln_option *option, struct ln__buf *out)
{
    switch (option->type) {
    case LN_OPT_INT:
    case LN_OPT_INTS:
        TRY(ln__buf_print(out, option->type == LN_OPT_INT ? "integer" : "list of integers"));
        return describe_range(option, out);
    case LN_OPT_REAL:
    case LN_OPT_REALS:
        TRY(ln__buf_print(out, option->type == LN_OPT_REAL ? "number" : "list of numbers"));
        return describe_range(option, out);
    case LN_OPT_BOOL:
        return ln__buf_print(out, "true | false");
    case LN_OPT_TEXT:
        if (!option->choices)
            return ln__buf_print(out, "text");
        return describe_choices(option->choices, out);
    case LN_OPT_ENUM:
        return describe_choices(option->choices, out);
    case LN_OPT_TEXTS:
        TRY(ln__buf_print(out, option->choices ? "list of " : "list of texts"));
        return option->choices ? describe_choices(option->choices, out) : LN_OK;
    case LN_OPT_PLUGIN:
        return ln__buf_print(out, "%s %s (see below)", ln__conf_article(ln_kind_name(option->kind)), ln_kind_name(option->kind));
    case LN_OPT_TABLE:
        return ln__buf_print(out, "table");
    default:
        return ln__buf_print(out, "list of tables");
    }
}

static int describe_rows(const struct ln_option *table, int indent, struct ln__buf *out)
{
    for (const struct ln_option *option = table; option->key; option++) {
        TRY(ln__buf_print(out, "%*s%s: ", indent, "", option->key));
        TRY(describe_type(option, out));
        bool structure = option->type == LN_OPT_TABLE || (option->fallback && !*option->fallback && option->type != LN_OPT_TEXT);
        if (!option->fallback)
            TRY(ln__buf_print(out, "; required"));
        else if (!structure)
            TRY(ln__buf_print(out, "; default %s", *option->fallback ? option->fallback : "\"\""));
        TRY(ln__buf_print(out, "\n"));
        if (option->help)
            TRY(ln__buf_print(out, "%*s# %s\n", indent + 4, "", option->help));
        if (option->type == LN_OPT_TABLE || option->type == LN_OPT_TABLES)
            TRY(describe_rows(option->table, indent + 2, out));
    }
    return LN_OK;
}

static void mark_kinds(const struct ln_catalog *catalog, const struct ln_option *table, bool seen[LN_KIND_COUNT])
{
    for (const struct ln_option *option = table; option && option->key; option++) {
        if (option->type == LN_OPT_TABLE || option->type == LN_OPT_TABLES)
            mark_kinds(catalog, option->table, seen);
        if (option->type != LN_OPT_PLUGIN || seen[option->kind])
            continue;
        seen[option->kind] = true;
        for (size_t i = 0; catalog && i < catalog->of[option->kind].count; i++)
            mark_kinds(catalog, catalog->of[option->kind].item[i]->options, seen);
    }
}

int ln__conf_schema(const struct ln_catalog *catalog, const struct ln_option *table, struct ln__buf *out)
{
    TRY(describe_rows(table, 0, out));
    bool seen[LN_KIND_COUNT] = {false};
    mark_kinds(catalog, table, seen);
    for (int kind = 0; kind < LN_KIND_COUNT; kind++) {
        if (!seen[kind])
            continue;
        TRY(ln__buf_print(out, "\n%s: %s\n", ln_kind_name((enum ln_kind)kind), ln_kind_help((enum ln_kind)kind)));
        for (size_t i = 0; catalog && i < catalog->of[kind].count; i++) {
            const struct ln_plugin *plugin = catalog->of[kind].item[i];
            TRY(ln__buf_print(out, "  kind: %s\n      # %s\n", plugin->name, plugin->summary ? plugin->summary : ""));
            if (plugin->options)
                TRY(describe_rows(plugin->options, 4, out));
        }
    }
    return LN_OK;
}
