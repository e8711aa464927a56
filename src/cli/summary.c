#include "cli/summary.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALMOST 1e-9
#define LINE_MAX_BYTES ((size_t)64 << 20)

/* All of it is kept as the JSON it becomes. */
struct ln__summary {
    const struct ln__grid *grid;
    const double *target;
    size_t targets;
    json_t *all, *cells;
};

static const char *const figures[] = {"round",       "accuracy",      "loss",           "bytes_up",    "bytes_down", "time_s",
                                      "client_mean", "client_median", "client_worst10", "device_macs", "joules",     "wall_s"};
static const double shares[] = {0.25, 0.5, 0.75};
#define LATE 0.25

int ln__summary_new(const struct ln__grid *grid, unsigned seeds, const double *target, size_t targets, struct ln__summary **out,
                    struct ln_fault *fault)
{
    struct ln__summary *summary = ln__mem_zero(1, sizeof *summary);
    *out = summary;
    if (!summary)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the comparison");
    summary->grid = grid;
    summary->target = target;
    summary->targets = targets;
    summary->cells = json_array();
    json_t *keys = json_array();
    for (size_t k = 0; k < grid->keys; k++)
        json_array_append_new(keys, json_string(grid->of[k].key));
    for (size_t cell = 0; cell < grid->cells; cell++) {
        char label[LN__GRID_TEXT], folder[LN__GRID_TEXT];
        json_t *values = json_object();
        for (size_t k = 0; k < grid->keys; k++)
            json_object_set_new(values, grid->of[k].key, json_string(ln__grid_value(grid, cell, k)));
        ln__grid_label(grid, cell, label);
        ln__grid_folder(grid, cell, folder);
        json_array_append_new(summary->cells, json_pack("{s:s, s:s, s:o, s:[]}", "label", label, "folder", folder, "values", values, "runs"));
    }
    summary->all = json_pack("{s:s, s:o, s:i, s:O}", "program", "linnet " LINNET_VERSION, "keys", keys, "seeds", (int)seeds, "cells", summary->cells);
    if (!summary->all || json_array_size(summary->cells) != grid->cells) {
        ln__summary_free(summary);
        *out = NULL;
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the comparison");
    }
    return LN_OK;
}

void ln__summary_free(struct ln__summary *summary)
{
    if (!summary)
        return;
    json_decref(summary->cells);
    json_decref(summary->all);
    ln__mem_free(summary);
}

/* ---- reading a run ---- */

static int read_rows(const char *path, json_t *rows, struct ln_fault *fault)
{
    struct ln__buf text;
    ln__buf_init(&text, LINE_MAX_BYTES);
    int code = ln__file_read(path, LINE_MAX_BYTES, &text, fault);
    size_t at = 0;
    while (!code && at < text.size) {
        const char *line = (const char *)text.data + at, *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;
        json_t *row = json_loadb(line, size, 0, NULL);
        at += size + 1;
        if (!json_is_object(row) || json_array_append_new(rows, row))
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: a line is no JSON object", path);
    }
    ln__buf_fini(&text);
    if (!code && json_array_size(rows) == 0)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: no evaluation in it", path);
    return code;
}

/* The mean accuracy of the tests in the last quarter of the run's time (or rounds, where no clock ran): the end alone may be a lucky or an unlucky test. */
static json_t *late_of(const json_t *rows)
{
    const json_t *last = json_array_get(rows, json_array_size(rows) - 1);
    const char *key = json_number_value(json_object_get(last, "time_s")) > 0 ? "time_s" : "round";
    double from = (1 - LATE) * json_number_value(json_object_get(last, key)), sum = 0;
    size_t i, n = 0;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (json_number_value(json_object_get(row, key)) < from - ALMOST)
            continue;
        sum += json_number_value(json_object_get(row, "accuracy"));
        n++;
    }
    return json_pack("{s:f}", "accuracy", sum / (double)n);
}

int ln__summary_add(struct ln__summary *summary, size_t cell, const struct ln__recipe *recipe, const char *dir, struct ln_fault *fault)
{
    char path[PATH_MAX], below[LN__GRID_TEXT + 40], folder[LN__GRID_TEXT];
    json_t *into = json_array_get(summary->cells, cell), *rows = json_array();
    if (ln__file_join(path, sizeof path, dir, "metrics.jsonl")) {
        json_decref(rows);
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    }
    int code = read_rows(path, rows, fault);
    json_t *about = NULL;
    if (!code && !ln__file_join(path, sizeof path, dir, "summary.json"))
        about = json_load_file(path, 0, NULL);
    const char *ended = json_string_value(json_object_get(about, "ended_by"));
    ln__grid_folder(summary->grid, cell, folder);
    snprintf(below, sizeof below, "%s/seed-%" PRId64, folder, recipe->seed);
    if (!code) {
        json_t *run = json_pack("{s:I, s:s, s:s, s:O, s:o}", "seed", (json_int_t)recipe->seed, "dir", below, "ended_by", ended ? ended : "rounds",
                                "rows", rows, "late", late_of(rows));
        json_object_set_new(summary->all, "name", json_string(recipe->name));
        json_object_set_new(into, "rounds", json_integer((json_int_t)recipe->train.rounds));
        json_object_set_new(into, "horizon_s", json_real(recipe->stop.time_s));
        if (!run || json_array_append_new(json_object_get(into, "runs"), run))
            code = ln_fault_set(fault, LN_ENOMEM, "no memory for the comparison");
    }
    json_decref(about);
    json_decref(rows);
    return code;
}

/* ---- mean and spread ---- */

/* The first test whose `key` is at least `least`; NULL: the run ended before. Without a key the last test; "late": the mean of the last quarter. */
static const json_t *row_at(const json_t *run, const char *key, double least)
{
    const json_t *rows = json_object_get(run, "rows");
    size_t i;
    json_t *row;
    if (!key)
        return json_array_get(rows, json_array_size(rows) - 1);
    if (strcmp(key, "late") == 0)
        return json_object_get(run, key);
    json_array_foreach(rows, i, row)
    {
        if (json_number_value(json_object_get(row, key)) >= least - ALMOST)
            return row;
    }
    return NULL;
}

/* Mean and spread of every figure over the runs of a cell, each at the test that row_at picks. */
static json_t *moments(const json_t *cell, const char *key, double least)
{
    json_t *out = json_object();
    size_t reached = 0;
    for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
        double sum = 0, squares = 0;
        size_t i, n = 0;
        json_t *run;
        for (int pass = 0; pass < 2; pass++) {
            json_array_foreach(json_object_get(cell, "runs"), i, run)
            {
                const json_t *row = row_at(run, key, least), *value = json_object_get(row, figures[f]);
                if (!json_is_number(value))
                    continue;
                double x = json_number_value(value);
                n += pass == 0;
                sum += pass == 0 ? x : 0;
                squares += pass == 1 ? (x - sum / (double)n) * (x - sum / (double)n) : 0;
            }
        }
        if (n == 0)
            continue;
        reached = n > reached ? n : reached;
        json_object_set_new(
            out, figures[f],
            json_pack("{s:f, s:o}", "mean", sum / (double)n, "std", n > 1 ? json_real(sqrt(squares / (double)(n - 1))) : json_null()));
    }
    json_object_set_new(out, "n", json_integer((json_int_t)reached));
    return out;
}

static void summarise(struct ln__summary *summary)
{
    size_t i;
    json_t *cell;
    json_array_foreach(summary->cells, i, cell)
    {
        json_t *checkpoints = json_array();
        double rounds = json_number_value(json_object_get(cell, "rounds")), horizon = json_number_value(json_object_get(cell, "horizon_s"));
        for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
            json_t *at = horizon > 0 ? moments(cell, "time_s", shares[s] * horizon) : moments(cell, "round", shares[s] * rounds);
            json_object_set_new(at, "at", json_real(shares[s]));
            json_array_append_new(checkpoints, at);
        }
        json_t *targets = json_array();
        for (size_t t = 0; t < summary->targets; t++) {
            json_t *at = moments(cell, "accuracy", summary->target[t]);
            json_object_set_new(at, "target", json_real(summary->target[t]));
            json_array_append_new(targets, at);
        }
        json_object_set_new(cell, "checkpoints", checkpoints);
        json_object_set_new(cell, "targets", targets);
        json_object_set_new(cell, "late", moments(cell, "late", 0));
        json_object_set_new(cell, "end", moments(cell, NULL, 0));
    }
}

/* ---- out ---- */

int ln__summary_write(struct ln__summary *summary, const char *dir, struct ln_fault *fault)
{
    char path[PATH_MAX];
    summarise(summary);
    char *text = json_dumps(summary->all, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    if (!text)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for compare.json");
    int code = ln__file_join(path, sizeof path, dir, "compare.json")
                   ? ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir)
                   : ln__file_replace(path, (struct ln__piece[]){{text, strlen(text)}, {"\n", 1}}, 2, fault);
    ln__mem_free_outer(text);
    return code;
}

/* "61.23 ± 0.40 %" */
static void add_figure(struct ln__table *table, const json_t *at, const char *figure, const char *(*show)(double, char[32]))
{
    const json_t *value = json_object_get(at, figure), *std = json_object_get(value, "std");
    char text[96], one[32], two[32];
    double mean = json_number_value(json_object_get(value, "mean"));
    if (!value)
        snprintf(text, sizeof text, "-");
    else if (!show && json_is_number(std))
        snprintf(text, sizeof text, "%.2f ± %.2f %%", 100 * mean, 100 * json_number_value(std));
    else if (!show)
        snprintf(text, sizeof text, "%.2f %%", 100 * mean);
    else if (json_number_value(std) > 0)
        snprintf(text, sizeof text, "%s ± %s", show(mean, one), show(json_number_value(std), two));
    else
        snprintf(text, sizeof text, "%s", show(mean, one));
    ln__table_number(table, mean, text);
}

/* "5:23", and of how many runs where not all came so far */
static void add_target(struct ln__table *table, const json_t *at, size_t runs)
{
    char text[96], one[32];
    size_t n = (size_t)json_integer_value(json_object_get(at, "n"));
    double mean = json_number_value(json_object_get(json_object_get(at, "time_s"), "mean"));
    if (n == 0)
        snprintf(text, sizeof text, "-");
    else if (n < runs)
        snprintf(text, sizeof text, "%s (%zu of %zu)", ln__show_time(mean, one), n, runs);
    else
        snprintf(text, sizeof text, "%s", ln__show_time(mean, one));
    ln__table_number(table, n ? mean : INFINITY, text);
}

int ln__summary_table(struct ln__summary *summary, const struct ln__cli *cli)
{
    static const char *const fixed[] = {">at 25 %", ">at 50 %", ">at 75 %", ">last quarter", ">at the end", ">up", ">down", ">fleet time", ">runs"};
    static const char *const client[] = {">median client", ">worst tenth"};
    const char *columns[LN__GRID_KEYS + 12 + LN__TARGETS];
    char to[LN__TARGETS][24];
    size_t count = 0, i;
    if (cli->json) {
        int failed = json_dumpf(summary->all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
        putchar('\n');
        return failed ? LN_EIO : LN_OK;
    }
    json_t *cell;
    bool clients = json_object_get(json_object_get(json_array_get(summary->cells, 0), "end"), "client_median") != NULL;
    for (size_t k = 0; k < summary->grid->keys; k++)
        columns[count++] = summary->grid->of[k].key;
    for (size_t k = 0; k < 5; k++)
        columns[count++] = fixed[k];
    for (size_t t = 0; t < summary->targets; t++) {
        snprintf(to[t], sizeof to[t], ">time to %g %%", 100 * summary->target[t]);
        columns[count++] = to[t];
    }
    for (size_t k = 0; k < 2 && clients; k++)
        columns[count++] = client[k];
    for (size_t k = 5; k < sizeof fixed / sizeof *fixed; k++)
        columns[count++] = fixed[k];
    struct ln__table *table = ln__table_new(columns, count);
    json_array_foreach(summary->cells, i, cell)
    {
        const json_t *end = json_object_get(cell, "end"), *checkpoints = json_object_get(cell, "checkpoints");
        for (size_t k = 0; k < summary->grid->keys; k++)
            ln__table_text(table, "%s", ln__grid_value(summary->grid, i, k));
        for (size_t s = 0; s < sizeof shares / sizeof *shares; s++)
            add_figure(table, json_array_get(checkpoints, s), "accuracy", NULL);
        add_figure(table, json_object_get(cell, "late"), "accuracy", NULL);
        add_figure(table, end, "accuracy", NULL);
        for (size_t t = 0; t < summary->targets; t++)
            add_target(table, json_array_get(json_object_get(cell, "targets"), t), json_array_size(json_object_get(cell, "runs")));
        if (clients) {
            add_figure(table, end, "client_median", NULL);
            add_figure(table, end, "client_worst10", NULL);
        }
        add_figure(table, end, "bytes_up", ln__show_bytes);
        add_figure(table, end, "bytes_down", ln__show_bytes);
        add_figure(table, end, "time_s", ln__show_time);
        ln__table_number(table, (double)json_array_size(json_object_get(cell, "runs")), NULL);
    }
    return ln__table_print(table, cli);
}
