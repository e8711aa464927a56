#include "base/conf.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/conf_tree.h"
#include "base/file.h"
#include "base/text.h"

/* ---- places and complaints ---- */

const char *ln__conf_article(const char *noun)
{
    return strchr("aeiou", noun[0]) ? "an" : "a";
}

void ln__conf_bound(double value, char *out, size_t room)
{
    snprintf(out, room, value == rint(value) && fabs(value) < 1e16 ? "%.0f" : "%.15g", value);
}

void ln__conf_path(const struct conf_place *place, char *out, size_t room)
{
    out[0] = 0;
    if (!place)
        return;
    ln__conf_path(place->up, out, room);
    size_t used = strlen(out);
    const char *dot = used ? "." : "";
    if (place->key)
        snprintf(out + used, room - used, "%s%s", dot, ln__shown(place->key).text);
    else
        snprintf(out + used, room - used, "%s%zu", dot, place->index);
}

int ln__conf_fail(struct ln_fault *fault, int code, const struct ln__conf *conf, const struct conf_node *node, const struct conf_place *place,
                  const char *format, ...)
{
    char path[200], what[LN_FAULT_TEXT];
    ln__conf_path(place, path, sizeof path);
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *file = node ? node->file : conf->name;
    char line[16] = "";
    if (node && node->line)
        snprintf(line, sizeof line, ":%u", node->line);
    return ln_fault_set(fault, code, "%.100s%s: %s%s%s", file, line, path, path[0] ? ": " : "", what);
}

/* ---- the tree ---- */

bool ln__conf_is_null(const struct conf_node *node)
{
    return node->type == CONF_SCALAR && !node->quoted && (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

struct conf_node *ln__conf_child(const struct conf_node *table, const char *key)
{
    for (struct conf_node *child = table->child; child; child = child->next) {
        if (child->key && strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

struct conf_node *ln__conf_node(struct ln__conf *conf, enum conf_type type, const char *file, unsigned line)
{
    struct conf_node *node = ln__arena_alloc(&conf->arena, sizeof *node);
    if (node) {
        node->type = type;
        node->text = "";
        node->file = file;
        node->line = line;
    }
    return node;
}

void ln__conf_append(struct conf_node *parent, struct conf_node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->child = child;
    parent->last = child;
    parent->count++;
}

/* ---- reading YAML ---- */

struct reader {
    struct ln__conf *conf;
    yaml_parser_t parser;
    const char *file, *about;
    struct ln_fault *fault;
};

static int complain(struct reader *reader, int code, size_t line, const char *what)
{
    char at[24] = "";
    if (strcmp(reader->file, "--set") != 0)
        snprintf(at, sizeof at, ":%zu", line + 1);
    return ln_fault_set(reader->fault, code, "%.100s%s: %s%s", reader->file, at, reader->about, what);
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return LN_OK;
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return ln_fault_set(reader->fault, LN_ENOMEM, "%.100s: no memory to read it", reader->file);
    char what[256];
    snprintf(what, sizeof what, "not YAML at column %zu: %s%s%s", parser->problem_mark.column + 1, parser->context ? parser->context : "",
             parser->context ? ", " : "", parser->problem ? parser->problem : "unreadable");
    size_t line = parser->error == YAML_READER_ERROR ? parser->mark.line : parser->problem_mark.line;
    return complain(reader, LN_ECONFIG, line, what);
}

static int no_memory(struct reader *reader)
{
    return ln_fault_set(reader->fault, LN_ENOMEM, "%.100s: no memory to read it", reader->file);
}

/* What a recipe may not hold, in any node. */
static int check_node(struct reader *reader, size_t line, unsigned depth, const void *anchor, const void *tag)
{
    if (anchor)
        return complain(reader, LN_ECONFIG, line, "an anchor (&) is not allowed in a recipe; expected the value itself");
    if (tag)
        return complain(reader, LN_ECONFIG, line, "a tag (!) is not allowed in a recipe; expected the bare value");
    if (depth > CONF_DEPTH_MAX)
        return complain(reader, LN_ECONFIG, line, "nested more than 32 deep; expected fewer levels");
    if (++reader->conf->nodes > CONF_NODES_MAX)
        return complain(reader, LN_ECONFIG, line, "more than 100000 values; expected fewer");
    return LN_OK;
}

static int read_text(struct reader *reader, const yaml_event_t *event, const char **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    if (memchr(text, 0, size))
        return complain(reader, LN_ECONFIG, event->start_mark.line, "a text holds a zero byte; expected text without");
    char *copy = ln__arena_alloc(&reader->conf->arena, size + 1);
    if (!copy)
        return no_memory(reader);
    memcpy(copy, text, size);
    *out = copy;
    return LN_OK;
}

static int read_value(struct reader *reader, const yaml_event_t *event, unsigned depth, struct conf_node **out);

static int read_items(struct reader *reader, struct conf_node *list, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code)
            return code;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return LN_OK;
        }
        struct conf_node *item;
        code = read_value(reader, &event, depth + 1, &item);
        yaml_event_delete(&event);
        if (code)
            return code;
        ln__conf_append(list, item);
    }
}

static int read_key(struct reader *reader, const yaml_event_t *event, const struct conf_node *table, const char **key)
{
    size_t line = event->start_mark.line;
    if (event->type != YAML_SCALAR_EVENT)
        return complain(reader, LN_ECONFIG, line,
                        event->type == YAML_ALIAS_EVENT ? "an alias (*) is not allowed in a recipe; expected a key"
                                                        : "a key is a list or a table; expected a name");
    int code = check_node(reader, line, 0, event->data.scalar.anchor, event->data.scalar.tag);
    if (code == LN_OK)
        code = read_text(reader, event, key);
    if (code)
        return code;
    const struct conf_node *before = ln__conf_child(table, *key);
    if (before || table->count >= CONF_KEYS_MAX) {
        char what[160];
        if (before)
            snprintf(what, sizeof what, "key %s is given twice, first in line %u; expected once", ln__shown(*key).text, before->line);
        else
            snprintf(what, sizeof what, "more than %d keys in one table; expected fewer", CONF_KEYS_MAX);
        return complain(reader, LN_ECONFIG, line, what);
    }
    return LN_OK;
}

static int read_entries(struct reader *reader, struct conf_node *table, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code)
            return code;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return LN_OK;
        }
        const char *key = NULL;
        unsigned line = (unsigned)event.start_mark.line + 1;
        code = read_key(reader, &event, table, &key);
        yaml_event_delete(&event);
        if (code || (code = next_event(reader, &event)))
            return code;
        struct conf_node *value;
        code = read_value(reader, &event, depth + 1, &value);
        yaml_event_delete(&event);
        if (code)
            return code;
        value->key = key;
        if (value->line)
            value->line = line; /* where the key stands */
        ln__conf_append(table, value);
    }
}

/* The value that begins with the event, which stays the caller's. */
static int read_value(struct reader *reader, const yaml_event_t *event, unsigned depth, struct conf_node **out)
{
    size_t mark = event->start_mark.line;
    unsigned line = strcmp(reader->file, "--set") == 0 ? 0 : (unsigned)mark + 1;
    enum conf_type type = CONF_SCALAR;
    const void *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        type = CONF_LIST;
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        type = CONF_TABLE;
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        return complain(reader, LN_ECONFIG, mark, "an alias (*) is not allowed in a recipe; expected the value itself");
    }
    int code = check_node(reader, mark, depth, anchor, tag);
    if (code)
        return code;
    struct conf_node *node = ln__conf_node(reader->conf, type, reader->file, line);
    if (!node)
        return no_memory(reader);
    if (type == CONF_SCALAR) {
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        code = read_text(reader, event, &node->text);
    } else {
        code = type == CONF_LIST ? read_items(reader, node, depth) : read_entries(reader, node, depth);
    }
    *out = node;
    return code;
}

static int read_document(struct reader *reader, struct conf_node **out)
{
    bool any = false;
    for (;;) {
        yaml_event_t event;
        int code = next_event(reader, &event);
        if (code)
            return code;
        yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && any)
            code = complain(reader, LN_ECONFIG, event.start_mark.line, "a second document begins; expected one");
        else if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT) {
            any = true;
            code = read_value(reader, &event, 1, out);
        }
        yaml_event_delete(&event);
        if (code || type == YAML_STREAM_END_EVENT)
            return code;
    }
}

int ln__conf_read(struct ln__conf *conf, const char *text, size_t size, const char *file, const char *about, struct conf_node **out,
                  struct ln_fault *fault)
{
    struct reader reader = {.conf = conf, .file = file, .about = about, .fault = fault};
    if (size > CONF_BYTES_MAX)
        return ln_fault_set(fault, LN_ECONFIG, "%.100s: %s%zu bytes; expected at most %u", file, about, size, CONF_BYTES_MAX);
    *out = ln__conf_node(conf, CONF_SCALAR, file, 0);
    if (!*out || !yaml_parser_initialize(&reader.parser))
        return no_memory(&reader);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    int code = read_document(&reader, out);
    yaml_parser_delete(&reader.parser);
    return code;
}

/* ---- the public part ---- */

int ln__conf_parse(const char *text, size_t size, const char *name, struct ln__conf **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__conf *conf = ln__mem_zero(1, sizeof *conf);
    if (!conf)
        return ln_fault_set(fault, LN_ENOMEM, "%.100s: no memory to read it", name);
    ln__arena_init(&conf->arena, CONF_MEMORY_MAX);
    conf->name = ln__arena_text(&conf->arena, name);
    int code = conf->name ? ln__conf_read(conf, text, size, conf->name, "", &conf->root, fault)
                          : ln_fault_set(fault, LN_ENOMEM, "%.100s: no memory to read it", name);
    if (code == LN_OK && ln__conf_is_null(conf->root))
        conf->root->type = CONF_TABLE; /* an empty file: all by default */
    else if (code == LN_OK && conf->root->type != CONF_TABLE)
        code = ln__conf_fail(fault, LN_ECONFIG, conf, conf->root, NULL, "the recipe is a %s; expected a table of keys",
                             conf->root->type == CONF_LIST ? "list" : "single value");
    if (code) {
        ln__conf_free(conf);
        return code;
    }
    *out = conf;
    return LN_OK;
}

int ln__conf_view(const struct ln__conf *conf, struct ln__conf **out, struct ln_fault *fault)
{
    *out = ln__mem_zero(1, sizeof **out);
    if (!*out)
        return ln_fault_set(fault, LN_ENOMEM, "%.100s: no memory to hold it", conf->name);
    **out = *conf;
    ln__arena_init(&(*out)->arena, CONF_MEMORY_MAX);
    return LN_OK;
}

int ln__conf_load(const char *path, struct ln__conf **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__buf text;
    ln__buf_init(&text, CONF_BYTES_MAX);
    int code = ln__file_read(path, CONF_BYTES_MAX, &text, fault);
    if (code == LN_OK)
        code = ln__conf_parse(text.data ? (const char *)text.data : "", text.size, path, out, fault);
    ln__buf_fini(&text);
    return code;
}

void ln__conf_free(struct ln__conf *conf)
{
    if (!conf)
        return;
    ln__arena_fini(&conf->arena);
    ln__mem_free(conf);
}

/* ---- --set ---- */

static bool is_index(const char *text, size_t *out)
{
    if (!*text || strlen(text) > 6)
        return false;
    for (const char *at = text; *at; at++) {
        if (!isdigit((unsigned char)*at))
            return false;
    }
    *out = strtoul(text, NULL, 10);
    return true;
}

/* A scalar on the way becomes a table: nothing an empty one, a bare name {kind: name}. */
static int open_scalar(struct ln__conf *conf, struct conf_node *node, bool as_list)
{
    if (node->type != CONF_SCALAR)
        return LN_OK;
    struct conf_node *name = NULL;
    if (!ln__conf_is_null(node)) {
        name = ln__conf_node(conf, CONF_SCALAR, node->file, node->line);
        if (!name)
            return LN_ENOMEM;
        name->key = "kind";
        name->text = node->text;
        name->quoted = node->quoted;
    }
    node->type = as_list && !name ? CONF_LIST : CONF_TABLE;
    node->text = "";
    node->quoted = false;
    node->file = "--set"; /* which made it what it is now */
    node->line = 0;
    if (name)
        ln__conf_append(node, name);
    return LN_OK;
}

/* The child of that name or number, made where absent. */
static int step(struct ln__conf *conf, struct conf_node *node, const char *part, const char *path, struct conf_node **out, struct ln_fault *fault)
{
    size_t index = 0;
    bool number = is_index(part, &index);
    struct conf_node *child = NULL;
    if (open_scalar(conf, node, number))
        return ln_fault_set(fault, LN_ENOMEM, "--set: %s: no memory", ln__shown(path).text);
    if (node->type == CONF_TABLE) {
        child = ln__conf_child(node, part);
        if (!child && node->count >= CONF_KEYS_MAX)
            return ln_fault_set(fault, LN_ECONFIG, "--set: %s: more than %d keys in one table; expected fewer", ln__shown(path).text, CONF_KEYS_MAX);
    } else {
        if (!number || index > node->count)
            return ln_fault_set(fault, LN_ECONFIG, "--set: %s: \"%s\" is no item of this list; expected a number from 0 to %zu", ln__shown(path).text,
                                ln__shown(part).text, node->count);
        child = node->child;
        for (size_t i = 0; i < index && child; i++)
            child = child->next;
    }
    if (!child) {
        child = conf->nodes++ < CONF_NODES_MAX ? ln__conf_node(conf, CONF_SCALAR, "--set", 0) : NULL;
        const char *key = child && node->type == CONF_TABLE ? ln__arena_text(&conf->arena, part) : NULL;
        if (!child || (node->type == CONF_TABLE && !key))
            return ln_fault_set(fault, LN_ENOMEM, "--set: %s: no memory", ln__shown(path).text);
        child->key = key;
        ln__conf_append(node, child);
    }
    *out = child;
    return LN_OK;
}

int ln__conf_set(struct ln__conf *conf, const char *assignment, struct ln_fault *fault)
{
    const char *equals = strchr(assignment, '=');
    char path[256], part[256];
    if (!equals || equals == assignment || equals - assignment >= (ptrdiff_t)sizeof path)
        return ln_fault_set(fault, LN_ECONFIG, "--set: \"%s\": no assignment; expected a.b.c=value", ln__shown(assignment).text);
    size_t size = (size_t)(equals - assignment);
    memcpy(path, assignment, size);
    path[size] = 0;
    char about[80];
    snprintf(about, sizeof about, "%s: ", ln__shown(path).text);
    struct conf_node *value;
    int code = ln__conf_read(conf, equals + 1, strlen(equals + 1), "--set", about, &value, fault);
    if (code)
        return code;
    struct conf_node *node = conf->root;
    unsigned depth = 0;
    for (const char *at = path; at; depth++) {
        const char *dot = strchr(at, '.');
        size_t length = dot ? (size_t)(dot - at) : strlen(at);
        if (length == 0 || depth >= CONF_DEPTH_MAX)
            return ln_fault_set(fault, LN_ECONFIG, "--set: \"%s\": %s; expected a.b.c=value", ln__shown(path).text,
                                length == 0 ? "an empty key" : "more than 32 levels");
        memcpy(part, at, length);
        part[length] = 0;
        code = step(conf, node, part, path, &node, fault);
        if (code)
            return code;
        at = dot ? dot + 1 : NULL;
    }
    value->key = node->key;
    value->next = node->next;
    *node = *value; /* in its place among its neighbours */
    return LN_OK;
}

void ln__conf_where(const struct ln__conf *conf, const char *key, char *text, size_t room)
{
    const struct conf_node *node = conf->root;
    const char *at = key;
    while (at && node) {
        const char *dot = strchr(at, '.');
        size_t length = dot ? (size_t)(dot - at) : strlen(at), index = 0;
        char part[128];
        snprintf(part, sizeof part, "%.*s", (int)(length < sizeof part ? length : sizeof part - 1), at);
        if (node->type == CONF_TABLE) {
            node = ln__conf_child(node, part);
        } else if (node->type == CONF_LIST && is_index(part, &index)) {
            node = node->child;
            for (size_t i = 0; i < index && node; i++)
                node = node->next;
        } else {
            node = NULL;
        }
        at = dot ? dot + 1 : NULL;
    }
    if (!node)
        snprintf(text, room, "%s: %s (by default)", conf->name, key);
    else if (node->line)
        snprintf(text, room, "%s:%u: %s", node->file, node->line, key);
    else
        snprintf(text, room, "%s: %s", node->file, key);
}
