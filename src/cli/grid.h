/* What `linnet compare` runs: the product of all values given to --vary, each with several seeds. */
#ifndef LINNET_CLI_GRID_H
#define LINNET_CLI_GRID_H

#include "cli/cli.h"

#define LN__GRID_KEYS 8
#define LN__GRID_CELLS 256
#define LN__GRID_TEXT 256

struct ln__grid {
    size_t keys, cells;
    struct {
        char *text;         /* "strategy.kind=fedavg,fedprox", cut up: the key, */
        const char *key;    /*                                                  */
        const char **value; /* and its values                                   */
        size_t values;
    } of[LN__GRID_KEYS];
};
/* Values are separated by commas outside of brackets and quotes. LN_ECONFIG: no "=", an empty value, the same key twice, too many. */
int ln__grid_open(const struct ln__list *vary, struct ln__grid *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__grid_close(struct ln__grid *grid); /* also after a failed open */

/* Of cell 0..cells-1 (the last key moves fastest): the value of a key, the name for people ("fedavg · 0.1"), and the folder's ("fedavg_0.1", alone in the grid). */
const char *ln__grid_value(const struct ln__grid *grid, size_t cell, size_t key);
void ln__grid_label(const struct ln__grid *grid, size_t cell, char out[LN__GRID_TEXT]);
void ln__grid_folder(const struct ln__grid *grid, size_t cell, char out[LN__GRID_TEXT]);

/* The cell's recipe: sets, then the cell's values, then seed + the number of the run. */
int ln__grid_load(const struct ln__cli *cli, const struct ln__grid *grid, size_t cell, unsigned run, const struct ln__source *recipe,
                  const struct ln__list *sets, struct ln__loaded *out, struct ln_fault *fault) LN_MUST_CHECK;

#endif
