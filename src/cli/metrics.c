#include "cli/metrics.h"
#include "base/file.h"
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>

static void add_row(struct ln__table *table, const json_t *row)
{
    char text[32], shown[40];
    double accuracy = json_number_value(json_object_get(row, "accuracy"));
    ln__table_number(table, json_number_value(json_object_get(row, "round")), NULL);
    snprintf(shown, sizeof shown, "%.2f %%", 100 * accuracy);
    ln__table_number(table, accuracy, shown);
    const json_t *found = json_object_get(row, "loss"); /* null: it was no number */
    double loss = json_is_number(found) ? json_number_value(found) : NAN;
    snprintf(shown, sizeof shown, isfinite(loss) ? "%.4f" : "-", loss);
    ln__table_number(table, loss, shown);
    static const char *const bytes[] = {"bytes_up", "bytes_down"}, *const seconds[] = {"time_s", "wall_s"};
    for (int i = 0; i < 2; i++) {
        double value = json_number_value(json_object_get(row, bytes[i]));
        ln__table_number(table, value, ln__show_bytes(value, text));
    }
    for (int i = 0; i < 2; i++) {
        double value = json_number_value(json_object_get(row, seconds[i]));
        ln__table_number(table, value, ln__show_time(value, text));
    }
}

int ln__metrics_table(const struct ln__cli *cli, const char *dir, size_t most, struct ln_fault *fault)
{
    static const char *const columns[] = {">round", ">accuracy", ">loss", ">up", ">down", ">fleet time", ">real time"};
    char path[PATH_MAX];
    if (ln__file_join(path, sizeof path, dir, "metrics.jsonl"))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    FILE *file = fopen(path, "re");
    if (!file)
        return ln_fault_errno(fault, "%s: cannot open", path);
    json_t *rows = json_array();
    for (json_t *row; (row = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL));)
        json_array_append_new(rows, row);
    fclose(file);
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    size_t count = json_array_size(rows), shown = count < most || cli->json ? count : most;
    for (size_t i = 0; i < shown; i++)
        add_row(table, json_array_get(rows, shown < 2 ? count - 1 : i * (count - 1) / (shown - 1)));
    json_decref(rows);
    int code = ln__table_print(table, cli);
    if (!code && shown < count)
        printf("%zu of %zu tests; all are in %s\n", shown, count, path);
    return code;
}

const char *ln__metrics_ended(const char *dir)
{
    static const char *const why[][2] = {{"accuracy", "stop.accuracy"}, {"bytes", "stop.bytes_mb"}, {"time", "stop.time_s"}};
    char path[PATH_MAX];
    json_t *summary = ln__file_join(path, sizeof path, dir, "summary.json") ? NULL : json_load_file(path, 0, NULL);
    const char *ended = json_string_value(json_object_get(summary, "ended_by")), *key = NULL;
    for (size_t i = 0; ended && i < sizeof why / sizeof *why; i++)
        key = strcmp(ended, why[i][0]) == 0 ? why[i][1] : key;
    json_decref(summary);
    return key;
}
