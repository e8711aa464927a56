/* The recipe: a YAML file read into a tree, changed by --set, then bound to C structs by option tables (linnet/plugin.h).
 * Each node knows its file and line, so that every complaint reads
 *     quickstart.yaml:7: train.epoch: unknown key; did you mean train.epochs?
 * The parser is libyaml's; anchors, aliases, tags, duplicate keys and more than one document are refused; depth, nodes and
 * bytes are bounded: a recipe may come from a stranger. */
#ifndef LINNET_BASE_CONF_H
#define LINNET_BASE_CONF_H

#include "base/mem.h"
#include <linnet/plugin.h>

struct ln__conf;

int ln__conf_load(const char *path, struct ln__conf **out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__conf_parse(const char *text, size_t size, const char *name, struct ln__conf **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__conf_free(struct ln__conf *conf); /* with it goes all that was bound from it */

/* The same tree with memory of its own: what is bound from the view goes with the view, and conf, which must outlive it and not be changed meanwhile, is only
 * read. So one recipe is bound in several threads. */
int ln__conf_view(const struct ln__conf *conf, struct ln__conf **out, struct ln_fault *fault) LN_MUST_CHECK;

/* "train.rounds=3", "method={kind: ecofed, cut: 2}", "fleet.devices.0.count=5": the value is YAML. Makes the path where it is absent. Complaints
 * name the place "--set". */
int ln__conf_set(struct ln__conf *conf, const char *assignment, struct ln_fault *fault) LN_MUST_CHECK;

/* Fills out (row_size bytes, zeroed first) from the whole tree by the table. Unknown keys, wrong types, values out of range, missing keys
 * and unknown plug-ins (all that exist are named) are LN_ECONFIG. Choosing another plug-in of a kind by --set x.kind=... where the file gave options of the
 * former one is an unknown key like any other.
 *
 * The plug-in's name is under `kind`; `name` does as well for a model and `set` for a data set: {name: vgg11, classes: 10}. A table without a name
 * changes options of the default choice: with the default {kind: sgd, momentum: 0.9}, {lr: 1} is sgd with both. Where the default is "", null or a
 * "none" that is no plug-in, the choice may be absent: both members NULL. null is "" for texts, [] for lists, {} for tables. */
int ln__conf_bind(struct ln__conf *conf, const struct ln_catalog *catalog, const struct ln_option *table, size_t size, void *out,
                  struct ln_fault *fault) LN_MUST_CHECK;

/* The place of a key for a later complaint: "quickstart.yaml:7: method.cut" (into text, always ended by 0); the key
 * with "by default" where the file does not hold it. */
void ln__conf_where(const struct ln__conf *conf, const char *key, char *text, size_t room);

/* A bound struct back as YAML with every default filled in: loads again to the same struct. */
int ln__conf_print(const struct ln_option *table, const void *bound, struct ln__buf *out) LN_MUST_CHECK;

/* The schema: each key with type, default, range and help; plug-in kinds with each plug-in's own keys. */
int ln__conf_schema(const struct ln_catalog *catalog, const struct ln_option *table, struct ln__buf *out) LN_MUST_CHECK;

/* The nearest of names to text by edit distance, or NULL when none is near. */
const char *ln__conf_nearest(const char *text, const char *const *names, size_t count);

#endif
