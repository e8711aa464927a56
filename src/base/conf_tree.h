/* What the files of the recipe share: the tree, places in it and complaints. Private to src/base/conf*.c. */
#ifndef LINNET_BASE_CONF_TREE_H
#define LINNET_BASE_CONF_TREE_H

#include "base/conf.h"
#include <stdbool.h>

#define CONF_DEPTH_MAX 32
#define CONF_NODES_MAX 100000
#define CONF_KEYS_MAX 1024 /* of one table: duplicates are looked for among all of them */
#define CONF_BYTES_MAX (16u << 20)
#define CONF_MEMORY_MAX (128u << 20)

enum conf_type { CONF_SCALAR, CONF_LIST, CONF_TABLE };

struct conf_node {
    enum conf_type type;
    const char *key;  /* in a table, else NULL */
    const char *text; /* of a scalar */
    bool quoted;      /* "3" is text, 3 a number */
    const char *file;
    unsigned line;                  /* from 1; 0: none */
    struct conf_node *child, *last; /* of lists and tables */
    struct conf_node *next;
    size_t count;
};

struct ln__conf {
    struct ln__arena arena; /* the nodes and all that is bound */
    const char *name;
    struct conf_node *root; /* a table */
    size_t nodes;
};

/* Where a complaint points: a key below another place, or an item. The root is NULL. */
struct conf_place {
    const struct conf_place *up;
    const char *key; /* NULL: item number `index` */
    size_t index;
};

const char *ln__conf_article(const char *noun); /* "a" or "an" */

void ln__conf_bound(double value, char *out, size_t room); /* an end of a range: 1000000, 0.5 */

void ln__conf_path(const struct conf_place *place, char *out, size_t room);

/* "file:line: a.b.c: ..." into the fault; returns code. node gives file and line and may be NULL. */
int ln__conf_fail(struct ln_fault *fault, int code, const struct ln__conf *conf, const struct conf_node *node, const struct conf_place *place,
                  const char *format, ...) LN_PRINTF(6, 7);

bool ln__conf_is_null(const struct conf_node *node); /* nothing, ~ or null, not quoted */
struct conf_node *ln__conf_child(const struct conf_node *table, const char *key);
struct conf_node *ln__conf_node(struct ln__conf *conf, enum conf_type type, const char *file, unsigned line); /* NULL: no memory */
void ln__conf_append(struct conf_node *parent, struct conf_node *child);

/* Reads one YAML value; nothing at all is a null scalar. about: what complaints begin with after the place ("" or "a.b: "). */
int ln__conf_read(struct ln__conf *conf, const char *text, size_t size, const char *file, const char *about, struct conf_node **out,
                  struct ln_fault *fault) LN_MUST_CHECK;

#endif
