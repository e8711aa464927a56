/* Documents for --json that are no table. */
#ifndef LINNET_CLI_JSON_H
#define LINNET_CLI_JSON_H

#include "cli/cli.h"
#include <jansson.h>

/* Prints the document and takes it. NULL is LN_ENOMEM; that and LN_EIO are already said. */
int ln__json_print(json_t *document);

/* The rows of a table, as ln__table_print prints them; takes the table. */
json_t *ln__json_table(struct ln__table *table);

/* What may be given: of each key its type, default, range, choices and help; the plug-ins of a kind with theirs; and what was given, by the same tables. */
json_t *ln__json_options(const struct ln_option *table);
json_t *ln__json_plugins(const struct ln_catalog *catalog, enum ln_kind kind);
json_t *ln__json_bound(const struct ln_option *table, const void *bound);

#endif
