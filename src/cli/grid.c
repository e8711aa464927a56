#include "cli/grid.h"
#include "base/text.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* The end of the value that begins at text: a comma outside of brackets and quotes, or the end. */
static char *value_end(char *text)
{
    int depth = 0;
    char quote = 0;
    for (; *text; text++) {
        if (quote)
            quote = *text == quote ? 0 : quote;
        else if (*text == '"' || *text == '\'')
            quote = *text;
        else if (*text == '{' || *text == '[')
            depth++;
        else if (*text == '}' || *text == ']')
            depth--;
        else if (*text == ',' && depth <= 0)
            break;
    }
    return text;
}

static int add_value(struct ln__grid *grid, size_t k, char *from, char *to, const char *vary, struct ln_fault *fault)
{
    while (isspace((unsigned char)*from) && from < to)
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    *to = 0;
    if (from == to)
        return ln_fault_set(fault, LN_ECONFIG, "--vary %.100s: an empty value", vary);
    for (size_t i = 0; i < grid->of[k].values; i++) {
        if (strcmp(grid->of[k].value[i], from) == 0)
            return ln_fault_set(fault, LN_ECONFIG, "--vary %.100s: %.60s twice", vary, from);
    }
    grid->of[k].value[grid->of[k].values++] = from;
    return LN_OK;
}

static int add_key(struct ln__grid *grid, const char *vary, struct ln_fault *fault)
{
    if (grid->keys == LN__GRID_KEYS)
        return ln_fault_set(fault, LN_ECONFIG, "--vary: more than %d keys", LN__GRID_KEYS);
    size_t k = grid->keys, size = strlen(vary) + 1;
    char *equals;
    grid->of[k].text = ln__mem_alloc(size);
    grid->of[k].value = ln__mem_zero(size, sizeof *grid->of[k].value);
    grid->keys++;
    if (!grid->of[k].text || !grid->of[k].value)
        return ln_fault_set(fault, LN_ENOMEM, "--vary: no memory");
    memcpy(grid->of[k].text, vary, size);
    grid->of[k].key = grid->of[k].text;
    equals = strchr(grid->of[k].text, '=');
    if (!equals || equals == grid->of[k].text)
        return ln_fault_set(fault, LN_ECONFIG, "--vary %.100s: expected KEY=VALUE,VALUE,...", vary);
    *equals = 0;
    if (strcmp(grid->of[k].key, "seed") == 0)
        return ln_fault_set(fault, LN_ECONFIG, "--vary seed: seeds are what a mean is taken over; give --seeds N");
    for (size_t i = 0; i < k; i++) {
        if (strcmp(grid->of[i].key, grid->of[k].key) == 0)
            return ln_fault_set(fault, LN_ECONFIG, "--vary %.60s: given twice", grid->of[k].key);
    }
    for (char *at = equals + 1;; at++) {
        char *end = value_end(at);
        bool last = *end == 0;
        int code = add_value(grid, k, at, end, vary, fault);
        if (code || last)
            return code;
        at = end;
    }
}

int ln__grid_open(const struct ln__list *vary, struct ln__grid *out, struct ln_fault *fault)
{
    *out = (struct ln__grid){.cells = 1};
    for (size_t i = 0; i < vary->count; i++) {
        int code = add_key(out, vary->item[i], fault);
        if (code)
            return code;
        out->cells *= out->of[i].values;
        if (out->cells > LN__GRID_CELLS)
            return ln_fault_set(fault, LN_ECONFIG, "--vary: more than %d combinations", LN__GRID_CELLS);
    }
    return LN_OK;
}

void ln__grid_close(struct ln__grid *grid)
{
    for (size_t k = 0; k < grid->keys; k++) {
        ln__mem_free(grid->of[k].text);
        ln__mem_free(grid->of[k].value);
    }
    *grid = (struct ln__grid){0};
}

const char *ln__grid_value(const struct ln__grid *grid, size_t cell, size_t key)
{
    for (size_t k = grid->keys; k-- > key + 1;)
        cell /= grid->of[k].values;
    return grid->of[key].value[cell % grid->of[key].values];
}

/* As much of it as there is room for, in whole characters. */
static void append(char out[LN__GRID_TEXT], const char *text)
{
    size_t used = strlen(out), size = strlen(text), room = LN__GRID_TEXT - 1 - used;
    size = size < room ? size : room;
    while (size > 0 && (text[size] & 0xC0) == 0x80)
        size--;
    memcpy(out + used, text, size);
    out[used + size] = 0;
}

void ln__grid_label(const struct ln__grid *grid, size_t cell, char out[LN__GRID_TEXT])
{
    out[0] = 0;
    for (size_t k = 0; k < grid->keys; k++) {
        append(out, k ? " · " : "");
        append(out, ln__grid_value(grid, cell, k));
    }
    if (grid->keys == 0)
        append(out, "as it is");
    ln__text_clean(out);
}

static void slug(const struct ln__grid *grid, size_t cell, char out[LN__GRID_TEXT])
{
    size_t used = 0;
    for (size_t k = 0; k < grid->keys; k++) {
        if (k && used < 80)
            out[used++] = '_';
        for (const char *at = ln__grid_value(grid, cell, k); *at && used < 80; at++) {
            bool good = isalnum((unsigned char)*at) || *at == '.' || *at == '-';
            if (good)
                out[used++] = *at;
            else if (used && out[used - 1] != '-')
                out[used++] = '-';
        }
        while (used && out[used - 1] == '-')
            used--;
    }
    out[used] = 0;
    if (used == 0 || out[0] == '.')
        snprintf(out, LN__GRID_TEXT, "run");
}

void ln__grid_folder(const struct ln__grid *grid, size_t cell, char out[LN__GRID_TEXT])
{
    char other[LN__GRID_TEXT];
    slug(grid, cell, out);
    for (size_t i = 0; i < grid->cells; i++) {
        slug(grid, i, other);
        if (i != cell && strcmp(other, out) == 0) {
            size_t used = strlen(out);
            snprintf(out + used, LN__GRID_TEXT - used, "_%zu", cell + 1);
            return;
        }
    }
}

int ln__grid_load(const struct ln__cli *cli, const struct ln__grid *grid, size_t cell, unsigned run, const struct ln__source *recipe,
                  const struct ln__list *sets, struct ln__loaded *out, struct ln_fault *fault)
{
    char text[LN__GRID_KEYS][LN__GRID_TEXT], seed[64];
    struct ln__list all = *sets;
    *out = (struct ln__loaded){0};
    if (all.count + grid->keys + 1 > LN__ARGS_MAX)
        return ln_fault_set(fault, LN_ECONFIG, "--set: too many");
    for (size_t k = 0; k < grid->keys; k++) {
        int size = snprintf(text[k], sizeof text[k], "%s=%s", grid->of[k].key, ln__grid_value(grid, cell, k));
        if (size < 0 || (size_t)size >= sizeof text[k])
            return ln_fault_set(fault, LN_ECONFIG, "--vary %.60s: a value longer than %d bytes", grid->of[k].key, LN__GRID_TEXT);
        all.item[all.count++] = text[k];
    }
    int code = ln__loaded_parse(cli, recipe, &all, out, fault);
    if (code || run == 0)
        return code;
    snprintf(seed, sizeof seed, "seed=%" PRId64, out->recipe.seed + run);
    all.item[all.count++] = seed;
    ln__loaded_close(out);
    return ln__loaded_parse(cli, recipe, &all, out, fault);
}
