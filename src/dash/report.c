#include "dash/report.h"
#include "base/file.h"
#include "dash/page.h"
#include <limits.h>
#include <string.h>

#define FILE_MAX ((size_t)256 << 20)
#define LINES_MAX 200000

/* Reads dir/name; LN_ENOENT leaves the fault alone where the file may be absent. */
static int read_part(const char *dir, const char *name, struct ln__buf *out, struct ln_fault *fault)
{
    char path[PATH_MAX];
    ln__buf_init(out, FILE_MAX);
    if (ln__file_join(path, sizeof path, dir, name))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (!ln__file_exists(path))
        return LN_ENOENT;
    return ln__file_read(path, FILE_MAX, out, fault);
}

/* Each line one JSON object; of more than LINES_MAX the newest, and *left_out is how many came before. The last line may be torn by a crash: then it is left
 * out. */
static int read_lines(const char *dir, const char *name, json_t *rows, size_t *left_out, struct ln_fault *fault)
{
    char path[PATH_MAX];
    struct ln__map map;
    if (ln__file_join(path, sizeof path, dir, name))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (!ln__file_exists(path))
        return LN_ENOENT;
    int code = ln__file_map(path, &map, fault);
    const char *at = (const char *)map.data, *end = at ? at + map.size : at;
    size_t lines = 0;
    for (const char *stop = at; stop && stop < end; lines++)
        stop = (stop = memchr(stop, '\n', (size_t)(end - stop))) ? stop + 1 : end;
    *left_out = lines > LINES_MAX ? lines - LINES_MAX : 0;
    for (size_t line = 1; !code && at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop ? stop + 1 : end;
        size_t size = (size_t)((stop ? stop : end) - at);
        json_error_t about;
        json_t *row = size && line > *left_out ? json_loadb(at, size, 0, &about) : NULL;
        at = next;
        if (!size || line <= *left_out || (!row && at == end))
            continue;
        if (!json_is_object(row))
            code = ln_fault_set(fault, LN_ECORRUPT, "%s:%zu: not a JSON object", path, line);
        if (code)
            json_decref(row);
        else if (json_array_append_new(rows, row))
            code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory", path);
    }
    ln__file_unmap(&map);
    return code;
}

/* One JSON value, or null where the file is absent. */
static int read_value(const char *dir, const char *name, json_t **out, struct ln_fault *fault)
{
    struct ln__buf text;
    int code = read_part(dir, name, &text, fault);
    *out = NULL;
    if (!code) {
        json_error_t about;
        *out = json_loadb((const char *)text.data, text.size, 0, &about);
        if (!*out)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s/%s:%d: %.120s", dir, name, about.line, about.text);
    }
    ln__buf_fini(&text);
    if (code == LN_ENOENT) {
        *out = json_null();
        code = LN_OK;
    }
    return code;
}

/* A text file as a JSON string; bytes that are no UTF-8 make it null rather than an error: the recipe is an ornament here. */
static int read_text(const char *dir, const char *name, json_t **out, struct ln_fault *fault)
{
    struct ln__buf text;
    int code = read_part(dir, name, &text, fault);
    *out = NULL;
    if (!code)
        *out = json_stringn((const char *)text.data, text.size);
    if (!*out)
        *out = json_null();
    ln__buf_fini(&text);
    return code == LN_ENOENT ? LN_OK : code;
}

static int gather(const char *dir, json_t *all, struct ln_fault *fault)
{
    static const char *const lines[] = {"metrics", "trace", "gantt"}, *const lines_file[] = {"metrics.jsonl", "trace.jsonl", "gantt.jsonl"};
    json_t *value = NULL, *left_out = json_object();
    int code = LN_OK;
    json_object_set_new(all, "left_out", left_out);
    for (int i = 0; i < 3 && !code; i++) {
        size_t before = 0;
        json_object_set_new(all, lines[i], value = json_array());
        code = read_lines(dir, lines_file[i], value, &before, fault);
        if (i == 0 && (code == LN_ENOENT || (!code && json_array_size(value) == 0)))
            return ln_fault_set(fault, LN_ENOENT, "%s: no metrics.jsonl with an evaluation in it; is this the folder of a run?", dir);
        code = code == LN_ENOENT ? LN_OK : code;
        json_object_set_new(left_out, lines[i], json_integer((json_int_t)before));
    }
    static const char *const part[] = {"summary", "shares", "leak"};
    static const char *const file[] = {"summary.json", "shares.json", "leak.json"};
    for (int i = 0; i < 3 && !code; i++) {
        code = read_value(dir, file[i], &value, fault);
        if (!code)
            json_object_set_new(all, part[i], value);
    }
    if (!code && !(code = read_text(dir, "recipe.yaml", &value, fault)))
        json_object_set_new(all, "recipe", value);
    if (!code)
        json_object_set_new(all, "program", json_string("linnet " LINNET_VERSION));
    return code;
}

int ln__report_make(const char *dir, struct ln__buf *out, struct ln_fault *fault)
{
    json_t *all = json_object();
    if (!all)
        return ln_fault_set(fault, LN_ENOMEM, "report: no memory");
    int code = gather(dir, all, fault);
    if (!code)
        code = ln__page_make(&ln__web_report_html, &ln__web_report_js, all, dir, out, fault);
    json_decref(all);
    return code;
}

int ln__report_write(const char *dir, struct ln_fault *fault)
{
    struct ln__buf page;
    ln__buf_init(&page, LN__PAGE_MAX);
    int code = ln__report_make(dir, &page, fault);
    if (!code)
        code = ln__page_write(dir, "report.html", &page, fault);
    ln__buf_fini(&page);
    return code;
}
