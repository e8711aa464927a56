/* From the tree to C structs, by option tables. */
#include "base/conf.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_tree.h"
#include "base/text.h"

#define BIND_DEPTH_MAX 32 /* options within options within plug-ins */

struct binder {
    struct ln__conf *conf;
    const struct ln_catalog *catalog;
    struct ln_fault *fault;
    unsigned depth;
};

#define FAIL(node, place, ...) ln__conf_fail(binder->fault, LN_ECONFIG, binder->conf, node, place, __VA_ARGS__)

static int no_memory(struct binder *binder, const struct conf_node *node, const struct conf_place *place)
{
    return ln__conf_fail(binder->fault, LN_ENOMEM, binder->conf, node, place, "no memory to hold it");
}

/* ---- what is near ---- */

#define NEAR_MAX 48

/* Edit distance with swaps of neighbours (optimal string alignment); sizes up to NEAR_MAX. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t row[3][NEAR_MAX + 1];
    for (size_t j = 0; j <= b_size; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *now = row[i % 3], *above = row[(i + 2) % 3], *two_above = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < best)
                best = two_above[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[a_size % 3][b_size];
}

const char *ln__conf_nearest(const char *text, const char *const *names, size_t count)
{
    size_t size = strnlen(text, NEAR_MAX + 1), best = SIZE_MAX;
    const char *nearest = NULL;
    if (size > NEAR_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(names[i]);
        if (other > NEAR_MAX)
            continue;
        size_t far = distance(text, size, names[i], other);
        size_t longer = size > other ? size : other;
        if (far < best && far < longer && far <= (longer + 2) / 3) {
            best = far;
            nearest = names[i];
        }
    }
    return nearest;
}

/* "a, b, c" of at most 64 names into out, and the nearest to text. */
struct naming {
    const char *name[64];
    size_t count;
    char all[320];
};

static void naming_add(struct naming *naming, const char *name)
{
    if (naming->count < sizeof naming->name / sizeof naming->name[0])
        naming->name[naming->count++] = name;
    size_t used = strlen(naming->all);
    snprintf(naming->all + used, sizeof naming->all - used, "%s%s", used ? ", " : "", name);
}

/* "; did you mean x" or "". */
static void hint(const struct naming *naming, const char *text, char *out, size_t room)
{
    const char *near = ln__conf_nearest(text, naming->name, naming->count);
    snprintf(out, room, near ? "did you mean %s? " : "%s", near ? near : "");
}

/* ---- single values ---- */

/* "an integer from 1 to 100" */
static void expectation(const struct ln_option *option, char *out, size_t room)
{
    bool is_int = option->type == LN_OPT_INT || option->type == LN_OPT_INTS;
    const char *what = is_int ? "an integer" : "a number";
    if (option->min == 0 && option->max == 0) {
        snprintf(out, room, "%s", what);
        return;
    }
    char low[40], high[40];
    ln__conf_bound(option->min, low, sizeof low);
    ln__conf_bound(option->max, high, sizeof high);
    snprintf(out, room, "%s from %s to %s", what, low, high);
}

static const char *shape_name(const struct conf_node *node)
{
    return node->type == CONF_LIST ? "a list" : node->type == CONF_TABLE ? "a table" : ln__conf_is_null(node) ? "nothing" : "a single value";
}

static int refuse_number(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place,
                         const char *why)
{
    char expected[120];
    expectation(option, expected, sizeof expected);
    if (node->type != CONF_SCALAR || ln__conf_is_null(node))
        return FAIL(node, place, "%s given; expected %s", shape_name(node), expected);
    return FAIL(node, place, "\"%s\" %s; expected %s", ln__shown(node->text).text, why, expected);
}

static bool in_range(const struct ln_option *option, double value)
{
    return (option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max);
}

/* A finite decimal number in full; strtod also reads hexadecimal, nan and inf, which no recipe means. */
static bool read_real(const struct conf_node *node, double *out)
{
    const char *text = node->text;
    if (node->type != CONF_SCALAR || node->quoted || !*text || text[strspn(text, "0123456789+-.eE")])
        return false;
    char *end;
    *out = strtod(text, &end);
    return *end == 0 && isfinite(*out);
}

static int bind_int(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place, int64_t *out)
{
    double real;
    if (!read_real(node, &real))
        return refuse_number(binder, option, node, place, "is no integer");
    char *end;
    errno = 0;
    long long value = strtoll(node->text, &end, 10);
    if (*end != 0) { /* 1e6 is fine, 1.5 is not */
        if (real != rint(real) || fabs(real) > 9e15)
            return refuse_number(binder, option, node, place, "is no integer");
        value = (long long)real;
    } else if (errno == ERANGE) {
        return refuse_number(binder, option, node, place, "does not fit 64 bits");
    }
    if (!in_range(option, (double)value))
        return refuse_number(binder, option, node, place, "is out of range");
    *out = value;
    return LN_OK;
}

static int bind_real(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place, double *out)
{
    if (!read_real(node, out))
        return refuse_number(binder, option, node, place, "is no number");
    if (!in_range(option, *out))
        return refuse_number(binder, option, node, place, "is out of range");
    return LN_OK;
}

static int bind_bool(struct binder *binder, const struct conf_node *node, const struct conf_place *place, bool *out)
{
    bool yes = node->type == CONF_SCALAR && !node->quoted && strcmp(node->text, "true") == 0;
    bool no = node->type == CONF_SCALAR && !node->quoted && strcmp(node->text, "false") == 0;
    if (!yes && !no && (node->type != CONF_SCALAR || ln__conf_is_null(node)))
        return FAIL(node, place, "%s given; expected true or false", shape_name(node));
    if (!yes && !no)
        return FAIL(node, place, "\"%s\" is neither; expected true or false", ln__shown(node->text).text);
    *out = yes;
    return LN_OK;
}

/* The index of text in "a|b|c", or -1. */
static int choice_index(const char *choices, const char *text)
{
    size_t size = strlen(text);
    int index = 0;
    for (const char *at = choices; at; index++) {
        const char *bar = strchr(at, '|');
        size_t length = bar ? (size_t)(bar - at) : strlen(at);
        if (length == size && memcmp(at, text, size) == 0)
            return index;
        at = bar ? bar + 1 : NULL;
    }
    return -1;
}

static int bind_enum(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place, int *out)
{
    *out = node->type == CONF_SCALAR ? choice_index(option->choices, node->text) : -1;
    if (*out >= 0)
        return LN_OK;
    char copy[512], near[80];
    snprintf(copy, sizeof copy, "%s", option->choices);
    struct naming naming = {0};
    for (char *at = copy; at;) {
        char *bar = strchr(at, '|');
        if (bar)
            *bar = 0;
        naming_add(&naming, at);
        at = bar ? bar + 1 : NULL;
    }
    if (node->type != CONF_SCALAR || ln__conf_is_null(node))
        return FAIL(node, place, "%s given; expected one of %s", shape_name(node), naming.all);
    hint(&naming, node->text, near, sizeof near);
    return FAIL(node, place, "\"%s\" is none of its values; %sexpected one of %s", ln__shown(node->text).text, near, naming.all);
}

static int bind_text(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place,
                     const char **out)
{
    int index;
    int code = option->choices ? bind_enum(binder, option, node, place, &index) : LN_OK;
    if (code)
        return code;
    if (node->type != CONF_SCALAR)
        return FAIL(node, place, "%s given; expected a text", shape_name(node));
    *out = ln__conf_is_null(node) ? "" : node->text;
    return LN_OK;
}

/* ---- lists ---- */

/* One item of a list of numbers or texts, at slot. */
static int bind_item(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place, void *slot)
{
    switch (option->type) {
    case LN_OPT_INTS:
        return bind_int(binder, option, node, place, slot);
    case LN_OPT_REALS:
        return bind_real(binder, option, node, place, slot);
    default:
        return bind_text(binder, option, node, place, slot);
    }
}

static int bind_table(struct binder *binder, const struct ln_option *table, const struct conf_node *node, const struct conf_place *place,
                      const char *skip, void *out);

static int bind_list(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place, void *out)
{
    size_t size = option->type == LN_OPT_TABLES ? option->row_size : 8;
    _Static_assert(sizeof(int64_t) == 8 && sizeof(double) == 8 && sizeof(char *) <= 8, "items of at most 8 bytes");
    if (option->type == LN_OPT_TEXTS)
        size = sizeof(const char *);
    bool one = node->type != CONF_LIST && !ln__conf_is_null(node); /* a single item is a list of one */
    const struct conf_node *item = one ? node : node->child;
    size_t count = one ? 1 : node->count;
    unsigned char *at = NULL;
    if (count > 0) {
        at = size <= SIZE_MAX / count ? ln__arena_alloc(&binder->conf->arena, size * count) : NULL;
        if (!at)
            return no_memory(binder, node, place);
    }
    struct ln_rows rows = {at, count};
    for (size_t i = 0; i < count; i++, item = item->next) {
        struct conf_place below = {.up = place, .index = i};
        const struct conf_place *here = one ? place : &below;
        int code = option->type == LN_OPT_TABLES ? bind_table(binder, option->table, item, here, NULL, at + i * size)
                                                 : bind_item(binder, option, item, here, at + i * size);
        if (code)
            return code;
    }
    _Static_assert(sizeof(struct ln_rows) == sizeof(struct ln_ints) && sizeof(struct ln_rows) == sizeof(struct ln_texts), "lists look alike");
    memcpy(out, &rows, sizeof rows);
    return LN_OK;
}

/* ---- plug-ins ---- */

static int unknown_plugin(struct binder *binder, enum ln_kind kind, const struct conf_node *node, const struct conf_place *place)
{
    struct naming naming = {0};
    for (size_t i = 0; binder->catalog && i < binder->catalog->of[kind].count; i++)
        naming_add(&naming, binder->catalog->of[kind].item[i]->name);
    const char *all = naming.count ? naming.all : "(this build has none)";
    const char *what = ln_kind_name(kind);
    if (node->type == CONF_LIST || ln__conf_is_null(node))
        return FAIL(node, place, "%s given; expected %s %s: %s", shape_name(node), ln__conf_article(what), what, all);
    if (node->type == CONF_TABLE)
        return FAIL(node, place, "no kind given; expected {kind: ...} with %s %s: %s", ln__conf_article(what), what, all);
    char near[80];
    hint(&naming, node->text, near, sizeof near);
    return FAIL(node, place, "\"%s\" is no %s; %sexpected one of %s", ln__shown(node->text).text, what, near, all);
}

/* The key that holds the plug-in's name: kind, or what reads better for a model and a data set. */
static const struct conf_node *kind_node(enum ln_kind kind, const struct conf_node *node, const char **key)
{
    const char *other = kind == LN_KIND_MODEL ? "name" : kind == LN_KIND_DATASET ? "set" : "kind";
    *key = "kind";
    const struct conf_node *named = ln__conf_child(node, "kind");
    if (!named) {
        *key = other;
        named = ln__conf_child(node, other);
    }
    return named;
}

/* May the choice be absent? Its default then names nothing. */
static bool may_be_none(const struct binder *binder, const struct ln_option *option)
{
    const char *fallback = option->fallback;
    return fallback && (!*fallback || strcmp(fallback, "null") == 0 || strcmp(fallback, "~") == 0 ||
                        (strcmp(fallback, "none") == 0 && !ln_catalog_find(binder->catalog, option->kind, "none")));
}

static int read_fallback(struct binder *binder, const struct ln_option *option, const struct conf_place *place, struct conf_node **out)
{
    const char *text = option->fallback;
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.")] == 0) { /* a plain value needs no parser */
        *out = ln__conf_node(binder->conf, CONF_SCALAR, "default", 0);
        if (!*out)
            return no_memory(binder, NULL, place);
        (*out)->text = text;
        return LN_OK;
    }
    char path[200];
    ln__conf_path(place, path, sizeof path);
    return ln__conf_read(binder->conf, text, strlen(text), "default", path, out, binder->fault);
}

/* {lr: 0.1} without a kind changes options of the default choice: the rest of the default is filled in. */
static int complete(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place,
                    const struct conf_node **out)
{
    struct conf_node *fallback, *merged = ln__conf_node(binder->conf, CONF_TABLE, node->file, node->line);
    if (!merged)
        return no_memory(binder, node, place);
    int code = read_fallback(binder, option, place, &fallback);
    if (code)
        return code;
    if (fallback->type == CONF_SCALAR && !ln__conf_is_null(fallback)) {
        struct conf_node *table = ln__conf_node(binder->conf, CONF_TABLE, "default", 0);
        if (!table)
            return no_memory(binder, node, place);
        fallback->key = "kind";
        ln__conf_append(table, fallback);
        fallback = table;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (const struct conf_node *child = pass ? fallback->child : node->child; child; child = child->next) {
            if (pass && ln__conf_child(node, child->key))
                continue;
            struct conf_node *copy = ln__conf_node(binder->conf, CONF_SCALAR, "", 0);
            if (!copy)
                return no_memory(binder, node, place);
            *copy = *child;
            ln__conf_append(merged, copy);
        }
    }
    *out = merged;
    return LN_OK;
}

static int bind_plugin(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place,
                       struct ln_choice *out)
{
    *out = (struct ln_choice){0};
    bool none = may_be_none(binder, option);
    if (none && node->type == CONF_SCALAR && (ln__conf_is_null(node) || strcmp(node->text, "none") == 0))
        return LN_OK;
    const char *key = NULL;
    const struct conf_node *named = node;
    if (node->type == CONF_TABLE) {
        named = kind_node(option->kind, node, &key);
        if (!named && option->fallback) {
            int code = complete(binder, option, node, place, &node);
            if (code)
                return code;
            named = kind_node(option->kind, node, &key);
        }
        if (!named)
            return unknown_plugin(binder, option->kind, node, place);
    }
    struct conf_place below = {.up = place, .key = key};
    const struct conf_place *here = key ? &below : place;
    if (key && named->type != CONF_SCALAR)
        return FAIL(named, here, "%s given; expected the name of %s %s", shape_name(named), ln__conf_article(ln_kind_name(option->kind)),
                    ln_kind_name(option->kind));
    out->plugin = ln__conf_is_null(named) ? NULL : ln_catalog_find(binder->catalog, option->kind, named->text);
    if (!out->plugin)
        return unknown_plugin(binder, option->kind, named, here);
    static const struct ln_option no_options[] = {{0}};
    void *options = NULL;
    if (out->plugin->options && out->plugin->options_size > 0) {
        options = ln__arena_alloc(&binder->conf->arena, out->plugin->options_size);
        if (!options)
            return no_memory(binder, node, place);
    }
    out->options = options;
    struct conf_node bare = {.type = CONF_TABLE, .text = "", .file = node->file, .line = node->line};
    return bind_table(binder, options ? out->plugin->options : no_options, node->type == CONF_TABLE ? node : &bare, place, key, options);
}

/* ---- tables ---- */

static int bind_value(struct binder *binder, const struct ln_option *option, const struct conf_node *node, const struct conf_place *place,
                      void *member)
{
    switch (option->type) {
    case LN_OPT_INT:
        return bind_int(binder, option, node, place, member);
    case LN_OPT_REAL:
        return bind_real(binder, option, node, place, member);
    case LN_OPT_BOOL:
        return bind_bool(binder, node, place, member);
    case LN_OPT_TEXT:
        return bind_text(binder, option, node, place, member);
    case LN_OPT_ENUM:
        return bind_enum(binder, option, node, place, member);
    case LN_OPT_INTS:
    case LN_OPT_REALS:
    case LN_OPT_TEXTS:
    case LN_OPT_TABLES:
        return bind_list(binder, option, node, place, member);
    case LN_OPT_PLUGIN:
        return bind_plugin(binder, option, node, place, member);
    case LN_OPT_TABLE:
        return bind_table(binder, option->table, node, place, NULL, member);
    default:
        return FAIL(node, place, "its option table is broken (type %d)", (int)option->type);
    }
}

static int unknown_key(struct binder *binder, const struct ln_option *table, const char *skip, const struct conf_node *node,
                       const struct conf_place *place)
{
    struct naming naming = {0};
    if (skip)
        naming_add(&naming, skip);
    for (const struct ln_option *option = table; option->key; option++)
        naming_add(&naming, option->key);
    struct conf_place here = {.up = place, .key = node->key};
    const char *near = ln__conf_nearest(node->key, naming.name, naming.count);
    if (near) {
        char path[200];
        struct conf_place meant = {.up = place, .key = near};
        ln__conf_path(&meant, path, sizeof path);
        return FAIL(node, &here, "unknown key; did you mean %s?", path);
    }
    return FAIL(node, &here, "unknown key; expected one of %s", naming.count ? naming.all : "none at all");
}

static const char *type_name(const struct ln_option *option, char *out, size_t room)
{
    static const char *const name[] = {
        [LN_OPT_BOOL] = "true or false",    [LN_OPT_TEXT] = "a text",   [LN_OPT_INTS] = "a list of integers", [LN_OPT_REALS] = "a list of numbers",
        [LN_OPT_TEXTS] = "a list of texts", [LN_OPT_TABLE] = "a table", [LN_OPT_TABLES] = "a list of tables"};
    if (option->type == LN_OPT_INT || option->type == LN_OPT_REAL)
        expectation(option, out, room);
    else if (option->choices && option->type != LN_OPT_TEXTS)
        snprintf(out, room, "one of %s", option->choices);
    else if (option->type == LN_OPT_PLUGIN)
        snprintf(out, room, "%s %s", ln__conf_article(ln_kind_name(option->kind)), ln_kind_name(option->kind));
    else
        snprintf(out, room, "%s", option->type <= LN_OPT_TABLES && name[option->type] ? name[option->type] : "a value");
    return out;
}

static int bind_rows(struct binder *binder, const struct ln_option *table, const struct conf_node *node, const struct conf_place *place,
                     const char *skip, void *out)
{
    for (const struct conf_node *child = node->child; child; child = child->next) {
        const struct ln_option *option = table;
        while (option->key && strcmp(option->key, child->key) != 0)
            option++;
        if (!option->key && !(skip && strcmp(skip, child->key) == 0))
            return unknown_key(binder, table, skip, child, place);
    }
    for (const struct ln_option *option = table; option->key; option++) {
        struct conf_place here = {.up = place, .key = option->key};
        struct conf_node *value = ln__conf_child(node, option->key);
        if (skip && strcmp(skip, option->key) == 0)
            value = NULL;
        if (!value && !option->fallback) {
            char expected[200];
            type_name(option, expected, sizeof expected);
            return FAIL(node, &here, "missing; expected %s%s%s", expected, option->help ? ": " : "", option->help ? option->help : "");
        }
        int code = value ? LN_OK : read_fallback(binder, option, &here, &value);
        if (code == LN_OK)
            code = bind_value(binder, option, value, &here, (unsigned char *)out + option->offset);
        if (code)
            return code;
    }
    return LN_OK;
}

/* skip: the key that named the plug-in, not an option of its own. */
static int bind_table(struct binder *binder, const struct ln_option *table, const struct conf_node *node, const struct conf_place *place,
                      const char *skip, void *out)
{
    static const struct conf_node empty = {.type = CONF_TABLE, .text = "", .file = "default"};
    if (ln__conf_is_null(node))
        node = &empty;
    if (node->type != CONF_TABLE)
        return FAIL(node, place, "%s given; expected a table of keys", shape_name(node));
    if (binder->depth >= BIND_DEPTH_MAX)
        return FAIL(node, place, "options nest more than %d deep; expected fewer levels", BIND_DEPTH_MAX);
    binder->depth++;
    int code = bind_rows(binder, table, node, place, skip, out);
    binder->depth--;
    return code;
}

int ln__conf_bind(struct ln__conf *conf, const struct ln_catalog *catalog, const struct ln_option *table, size_t size, void *out,
                  struct ln_fault *fault)
{
    struct binder binder = {.conf = conf, .catalog = catalog, .fault = fault};
    memset(out, 0, size);
    return bind_table(&binder, table, conf->root, NULL, NULL, out);
}
