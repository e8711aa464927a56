#include "cli/json.h"
#include <math.h>
#include <string.h>

int ln__json_print(json_t *document)
{
    int code = !document ? LN_ENOMEM : json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) ? LN_EIO : LN_OK;
    putchar('\n');
    json_decref(document);
    if (code)
        ln__cli_fail(code, NULL);
    return code;
}

/* ---- what may be given ---- */

static json_t *choices_of(const char *choices)
{
    json_t *all = json_array();
    for (const char *at = choices; at;) {
        size_t size = strcspn(at, "|");
        json_array_append_new(all, json_stringn(at, size));
        at = at[size] ? at + size + 1 : NULL;
    }
    return all;
}

static json_t *bound_of(double value)
{
    return value == rint(value) && fabs(value) < 9e15 ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *option_of(const struct ln_option *option)
{
    static const char *const type[] = {"",         "integer", "number", "boolean", "text",  "choice",
                                       "integers", "numbers", "texts",  "plugin",  "table", "tables"};
    json_t *one = json_pack("{s:s, s:s}", "key", option->key, "type", type[option->type]);
    if (option->fallback)
        json_object_set_new(one, "default", json_string(option->fallback));
    json_object_set_new(one, "required", json_boolean(!option->fallback));
    if (option->min != 0 || option->max != 0) {
        json_object_set_new(one, "min", bound_of(option->min));
        json_object_set_new(one, "max", bound_of(option->max));
    }
    if (option->choices)
        json_object_set_new(one, "choices", choices_of(option->choices));
    if (option->type == LN_OPT_PLUGIN)
        json_object_set_new(one, "kind", json_string(ln_kind_name(option->kind)));
    if (option->type == LN_OPT_TABLE || option->type == LN_OPT_TABLES)
        json_object_set_new(one, "options", ln__json_options(option->table));
    if (option->help)
        json_object_set_new(one, "help", json_string(option->help));
    return one;
}

json_t *ln__json_options(const struct ln_option *table)
{
    json_t *all = json_array();
    for (const struct ln_option *option = table; option && option->key; option++)
        json_array_append_new(all, option_of(option));
    return all;
}

json_t *ln__json_plugins(const struct ln_catalog *catalog, enum ln_kind kind)
{
    json_t *all = json_array();
    for (size_t i = 0; i < catalog->of[kind].count; i++) {
        const struct ln_plugin *plugin = catalog->of[kind].item[i];
        json_array_append_new(
            all, json_pack("{s:s, s:s?, s:o}", "name", plugin->name, "summary", plugin->summary, "options", ln__json_options(plugin->options)));
    }
    return all;
}

/* ---- what was given ---- */

static json_t *choice_of(const char *choices, int index)
{
    for (; index > 0; index--)
        choices += strcspn(choices, "|") + 1;
    return json_stringn(choices, strcspn(choices, "|"));
}

static json_t *plugin_of(const struct ln_choice *choice)
{
    if (!choice->plugin)
        return json_null();
    json_t *one = json_pack("{s:s}", "kind", choice->plugin->name);
    json_t *options = choice->options ? ln__json_bound(choice->plugin->options, choice->options) : NULL;
    json_object_update(one, options);
    json_decref(options);
    return one;
}

static json_t *list_of(const struct ln_option *option, const struct ln_rows *rows)
{
    json_t *all = json_array();
    for (size_t i = 0; i < rows->count; i++) {
        if (option->type == LN_OPT_INTS)
            json_array_append_new(all, json_integer(((const int64_t *)rows->item)[i]));
        else if (option->type == LN_OPT_REALS)
            json_array_append_new(all, json_real(((const double *)rows->item)[i]));
        else if (option->type == LN_OPT_TEXTS)
            json_array_append_new(all, json_string(((const char *const *)rows->item)[i]));
        else
            json_array_append_new(all, ln__json_bound(option->table, (const unsigned char *)rows->item + i * option->row_size));
    }
    return all;
}

static json_t *value_of(const struct ln_option *option, const void *member)
{
    switch (option->type) {
    case LN_OPT_INT:
        return json_integer(*(const int64_t *)member);
    case LN_OPT_REAL:
        return json_real(*(const double *)member);
    case LN_OPT_BOOL:
        return json_boolean(*(const bool *)member);
    case LN_OPT_TEXT:
        return json_string(*(const char *const *)member);
    case LN_OPT_ENUM:
        return choice_of(option->choices, *(const int *)member);
    case LN_OPT_PLUGIN:
        return plugin_of(member);
    case LN_OPT_TABLE:
        return ln__json_bound(option->table, member);
    default:
        return list_of(option, member);
    }
}

json_t *ln__json_bound(const struct ln_option *table, const void *bound)
{
    json_t *all = json_object();
    for (const struct ln_option *option = table; option && option->key; option++)
        json_object_set_new(all, option->key, value_of(option, (const unsigned char *)bound + option->offset));
    return all;
}
