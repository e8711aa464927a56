/* Rows of numbers with a class each. A sample is [features][1][1]. */
#include "base/text.h"
#include "data/formats.h"
#include "data/own.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASSES_MAX 65536

struct options {
    const char *path, *test_path, *label, *owner;
    int header, separator;
    double test;
    bool standardize;
    int64_t seed;
};
static const struct ln_option options[] = {{.key = "path",
                                            .type = LN_OPT_TEXT,
                                            .offset = offsetof(struct options, path),
                                            .fallback = "train.csv",
                                            .help = "the file; relative to the set's folder, data.dir/csv"},
                                           {.key = "test_path",
                                            .type = LN_OPT_TEXT,
                                            .offset = offsetof(struct options, test_path),
                                            .fallback = "",
                                            .help = "a second file for the test split; empty: a part of the first"},
                                           {.key = "test",
                                            .type = LN_OPT_REAL,
                                            .offset = offsetof(struct options, test),
                                            .fallback = "0.2",
                                            .min = 0.001,
                                            .max = 0.999,
                                            .help = "part of each class kept for testing when there is no second file"},
                                           {.key = "label",
                                            .type = LN_OPT_TEXT,
                                            .offset = offsetof(struct options, label),
                                            .fallback = "",
                                            .help = "the label's column, by name or number from 1; empty: the last"},
                                           {.key = "owner",
                                            .type = LN_OPT_TEXT,
                                            .offset = offsetof(struct options, owner),
                                            .fallback = "",
                                            .help = "the column that says whose row it is, for the partition writer; empty: none"},
                                           {.key = "header",
                                            .type = LN_OPT_ENUM,
                                            .offset = offsetof(struct options, header),
                                            .fallback = "auto",
                                            .choices = "auto|yes|no",
                                            .help = "whether the first line holds names; auto: when none of its cells is a number"},
                                           {.key = "separator",
                                            .type = LN_OPT_ENUM,
                                            .offset = offsetof(struct options, separator),
                                            .fallback = "comma",
                                            .choices = "comma|semicolon|tab",
                                            .help = "between cells"},
                                           {.key = "standardize",
                                            .type = LN_OPT_BOOL,
                                            .offset = offsetof(struct options, standardize),
                                            .fallback = "true",
                                            .help = "bring each feature to mean 0 and deviation 1 over the training rows"},
                                           {.key = "seed",
                                            .type = LN_OPT_INT,
                                            .offset = offsetof(struct options, seed),
                                            .fallback = "1",
                                            .min = 0,
                                            .max = 9e15,
                                            .help = "of the draw of test rows; apart from the run's seed"},
                                           {0}};

/* Sorted distinct cells. */
struct names {
    struct ln__csv_cell *cell;
    uint32_t count;
};

static int cell_order(const void *a, const void *b)
{
    return ln__csv_cell_order(a, b);
}

static int names_of(const struct ln__buf *cells, uint32_t rows, struct names *out, const char *path, struct ln_fault *fault)
{
    out->cell = ln__mem_alloc(rows * sizeof *out->cell);
    out->count = 0;
    if (!out->cell)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %u rows", path, rows);
    memcpy(out->cell, cells->data, rows * sizeof *out->cell);
    qsort(out->cell, rows, sizeof *out->cell, cell_order);
    for (uint32_t i = 0; i < rows; i++)
        if (out->count == 0 || cell_order(&out->cell[i], &out->cell[out->count - 1]))
            out->cell[out->count++] = out->cell[i];
    return 0;
}

static int32_t name_index(const struct names *names, const struct ln__csv_cell *cell)
{
    const struct ln__csv_cell *found = bsearch(cell, names->cell, names->count, sizeof *cell, cell_order);
    return found ? (int32_t)(found - names->cell) : -1;
}

static int keep_class_names(struct ln__set *set, const struct names *names, struct ln_fault *fault)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < names->count; i++)
        bytes += names->cell[i].size + 1;
    char *text;
    const char **list;
    int code = ln__own_block(set, bytes, 1, &text, fault);
    if (code == 0)
        code = ln__own_block(set, names->count, sizeof *list, (void *)&list, fault);
    if (code)
        return code;
    for (uint32_t i = 0; i < names->count; i++) {
        list[i] = text;
        memcpy(text, names->cell[i].text, names->cell[i].size);
        text += names->cell[i].size + 1;
    }
    set->class_name = list;
    set->classes = (int)names->count;
    return 0;
}

struct table {
    char path[4096];
    struct ln__map map;
    struct ln__csv csv;
    int32_t *label;  /* [rows] */
    uint32_t *owner; /* [rows] or NULL */
};

static int table_read(const struct options *o, const char *dir, const char *file, struct table *out, struct ln_fault *fault)
{
    *out = (struct table){0};
    int code = file[0] == '/' ? ln__file_join(out->path, sizeof out->path, "/", file + 1) : ln__file_join(out->path, sizeof out->path, dir, file);
    if (code)
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", file);
    if (!ln__file_exists(out->path))
        return ln_fault_set(fault, LN_ENOENT, "%s: not found; put the CSV file there or name it in data.set.path", out->path);
    code = ln__file_map(out->path, &out->map, fault);
    struct ln__csv_args args = {.separator = ",;\t"[o->separator], .header = (enum ln__csv_header)o->header, .label = o->label, .owner = o->owner};
    return code ? code : ln__csv_parse(out->map.data, out->map.size, out->path, &args, &out->csv, fault);
}

static int table_index(struct table *table, const struct names *classes, const struct names *owners, struct ln_fault *fault)
{
    uint32_t rows = table->csv.rows;
    table->label = ln__mem_alloc(rows * sizeof *table->label);
    table->owner = owners->count ? ln__mem_alloc(rows * sizeof *table->owner) : NULL;
    if (!table->label || (owners->count && !table->owner))
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %u rows", table->path, rows);
    const struct ln__csv_cell *cell = (const void *)table->csv.label.data, *whose = (const void *)table->csv.owner.data;
    for (uint32_t i = 0; i < rows; i++) {
        table->label[i] = name_index(classes, &cell[i]);
        if (table->label[i] < 0)
            return ln_fault_set(fault, LN_ECORRUPT, "%s: row %u: class \"%s\" is not in the training file", table->path, i + 1,
                                ln__shown_part(cell[i].text, cell[i].size).text);
        if (table->owner) {
            int32_t who = name_index(owners, &whose[i]);
            table->owner[i] = who < 0 ? 0 : (uint32_t)who;
        }
    }
    return 0;
}

static void table_fini(struct table *table)
{
    ln__csv_fini(&table->csv);
    ln__mem_free(table->label);
    ln__mem_free(table->owner);
    ln__file_unmap(&table->map);
}

/* Rows of table whose mark is wanted (mark NULL: all) become a split of the set. */
static int keep_rows(struct ln__set *set, const struct table *table, const uint8_t *mark, uint8_t wanted, const struct names *owners,
                     struct ln__samples *out, struct ln_fault *fault)
{
    size_t features = table->csv.features;
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->csv.rows; i++)
        count += !mark || mark[i] == wanted;
    if (count == 0)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: no row is left for the %s split; expected at least two rows of a class", table->path,
                            wanted ? "test" : "training");
    float *real;
    int32_t *label;
    uint32_t *owner = NULL;
    int code = ln__own_block(set, count, features * sizeof *real, &real, fault);
    if (code == 0)
        code = ln__own_block(set, count, sizeof *label, &label, fault);
    if (code == 0 && table->owner)
        code = ln__own_block(set, count, sizeof *owner, &owner, fault);
    if (code)
        return code;
    const float *from = (const void *)table->csv.value.data;
    for (uint32_t i = 0, at = 0; i < table->csv.rows; i++) {
        if (mark && mark[i] != wanted)
            continue;
        memcpy(real + at * features, from + i * features, features * sizeof *real);
        label[at] = table->label[i];
        if (owner)
            owner[at] = table->owner[i];
        at++;
    }
    *out = (struct ln__samples){.count = count, .real = real, .label = label, .owner = owner, .owners = owner ? owners->count : 0};
    return 0;
}

static void standardize(struct ln__set *set, size_t features)
{
    const struct ln__samples *train = &set->split[LN__TRAIN];
    for (size_t k = 0; k < features; k++) {
        double sum = 0, square = 0;
        for (uint32_t i = 0; i < train->count; i++)
            sum += (double)train->real[i * features + k];
        double mean = sum / train->count;
        for (uint32_t i = 0; i < train->count; i++) {
            double d = (double)train->real[i * features + k] - mean;
            square += d * d;
        }
        double std = sqrt(square / train->count);
        for (int s = 0; s < LN__SPLITS; s++) {
            float *real = (float *)(uintptr_t)set->split[s].real; /* ours, made above */
            for (uint32_t i = 0; i < set->split[s].count; i++)
                real[i * features + k] = std > 0 ? (float)(((double)real[i * features + k] - mean) / std) : 0.0F;
        }
    }
}

static int fill(const struct options *o, struct ln__set *set, struct table *train, struct table *test, struct names *classes, struct names *owners,
                struct ln_fault *fault)
{
    bool second = o->test_path[0] != 0;
    int code = names_of(&train->csv.label, train->csv.rows, classes, train->path, fault);
    if (code == 0 && train->csv.owner.size)
        code = names_of(&train->csv.owner, train->csv.rows, owners, train->path, fault);
    if (code == 0 && (classes->count < 2 || classes->count > CLASSES_MAX))
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: %u distinct labels; expected 2 to %d classes (is it the right column?)", train->path,
                            classes->count, CLASSES_MAX);
    if (code == 0)
        code = table_index(train, classes, owners, fault);
    if (code == 0 && second && test->csv.features != train->csv.features)
        code =
            ln_fault_set(fault, LN_ESHAPE, "%s: %u features; expected %u as in %s", test->path, test->csv.features, train->csv.features, train->path);
    if (code == 0 && second)
        code = table_index(test, classes, owners, fault);
    uint8_t *mark = NULL;
    if (code == 0 && !second) {
        mark = ln__mem_alloc(train->csv.rows);
        code = mark ? ln__split_by_class(train->label, train->csv.rows, (int)classes->count, o->test, (uint64_t)o->seed, mark, fault)
                    : ln_fault_set(fault, LN_ENOMEM, "%s: no memory", train->path);
    }
    if (code == 0)
        code = keep_class_names(set, classes, fault);
    if (code == 0)
        code = keep_rows(set, train, mark, 0, owners, &set->split[LN__TRAIN], fault);
    if (code == 0)
        code = keep_rows(set, second ? test : train, mark, 1, owners, &set->split[LN__TEST], fault);
    ln__mem_free(mark);
    return code;
}

static int open_set(const void *chosen, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct options *o = chosen;
    int code = ln__own_init(out, "csv", fault);
    if (code)
        return code;
    struct table *table = ln__mem_zero(2, sizeof *table);
    struct names classes = {0}, owners = {0};
    if (!table)
        return ln_fault_set(fault, LN_ENOMEM, "csv: no memory");
    code = table_read(o, dir, o->path, &table[0], fault);
    if (code == 0 && o->test_path[0])
        code = table_read(o, dir, o->test_path, &table[1], fault);
    if (code == 0)
        code = fill(o, out, &table[0], &table[1], &classes, &owners, fault);
    if (code == 0) {
        out->c = (int)table[0].csv.features;
        out->h = out->w = 1;
        if (o->standardize)
            standardize(out, table[0].csv.features);
    }
    ln__mem_free(classes.cell);
    ln__mem_free(owners.cell);
    table_fini(&table[0]);
    table_fini(&table[1]);
    ln__mem_free(table);
    return code;
}

const struct ln__dataset ln__dataset_csv = {.plugin = {.name = "csv",
                                                       .summary = "rows of numbers with a class each, from a CSV file",
                                                       .options = options,
                                                       .options_size = sizeof(struct options)},
                                            .source = "your CSV file, put there by hand",
                                            .open = open_set};
