/* Tables as text: CSV of features, and JSON rows of bytes. */
#include "base/text.h"
#include "data/formats.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX 63 /* characters of a number */
#define COLUMNS_MAX 65536
#define ROWS_MAX (1u << 30)

struct lines {
    const char *at, *end;
    const char *name;
    char separator;
    unsigned line; /* from 1: that of the record last begun */
};

/* The next line that is not empty, without its end; false at the end of the file. */
static bool line_next(struct lines *in, const char **from, const char **to)
{
    while (in->at < in->end) {
        const char *stop = memchr(in->at, '\n', (size_t)(in->end - in->at));
        *from = in->at;
        *to = stop ? stop : in->end;
        in->at = stop ? stop + 1 : in->end;
        in->line++;
        while (*to > *from && ((*to)[-1] == '\r' || (*to)[-1] == ' '))
            (*to)--;
        if (*to > *from)
            return true;
    }
    return false;
}

/* The next cell of the line at *at; *at becomes NULL behind the last one. False: an open quote. A quoted cell ends on its line. */
static bool cell_next(const char **at, const char *end, char separator, struct ln__csv_cell *out)
{
    const char *from = *at, *to;
    while (from < end && *from == ' ')
        from++;
    if (from < end && *from == '"') {
        const char *close = ++from;
        while (close < end && (*close != '"' || (close + 1 < end && close[1] == '"')))
            close += *close == '"' ? 2 : 1;
        if (close >= end)
            return false;
        out->text = from;
        out->size = (uint32_t)(close - from);
        for (to = close + 1; to < end && *to == ' '; to++) {}
        if (to < end && *to != separator)
            return false;
    } else {
        to = memchr(from, separator, (size_t)(end - from));
        if (!to)
            to = end;
        const char *last = to;
        while (last > from && last[-1] == ' ')
            last--;
        out->text = from;
        out->size = (uint32_t)(last - from);
    }
    *at = to < end ? to + 1 : NULL;
    return true;
}

static bool cell_number(const struct ln__csv_cell *cell, double *out)
{
    char text[CELL_MAX + 1];
    if (cell->size == 0 || cell->size > CELL_MAX || isspace((unsigned char)cell->text[0]))
        return false;
    memcpy(text, cell->text, cell->size);
    text[cell->size] = 0;
    char *stop;
    *out = strtod(text, &stop);
    return stop == text + cell->size && strpbrk(text, "xXnNiI") == NULL; /* no hexadecimal, nan, inf */
}

int ln__csv_cell_order(const struct ln__csv_cell *a, const struct ln__csv_cell *b)
{
    double x = 0, y = 0;
    bool x_is = cell_number(a, &x), y_is = cell_number(b, &y);
    if (x_is != y_is)
        return x_is ? -1 : 1;
    if (x_is && x != y)
        return x < y ? -1 : 1;
    uint32_t least = a->size < b->size ? a->size : b->size;
    int order = least ? memcmp(a->text, b->text, least) : 0;
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

struct columns {
    uint32_t count, label, owner; /* owner == count: none */
};

static uint32_t count_cells(const struct lines *in, const char *from, const char *to, bool *numbers)
{
    uint32_t count = 0;
    *numbers = false;
    for (const char *at = from; at && count <= COLUMNS_MAX; count++) {
        struct ln__csv_cell cell;
        double value;
        if (!cell_next(&at, to, in->separator, &cell))
            return 0;
        *numbers |= cell_number(&cell, &value);
    }
    return count;
}

/* A column by name in the header, or by its number from 1. */
static int find_column(const struct lines *in, const char *from, const char *to, bool header, const char *wanted, uint32_t count, uint32_t *out,
                       struct ln_fault *fault)
{
    if (header) {
        uint32_t i = 0;
        for (const char *at = from; at; i++) {
            struct ln__csv_cell cell;
            if (!cell_next(&at, to, in->separator, &cell))
                break;
            if (cell.size == strlen(wanted) && memcmp(cell.text, wanted, cell.size) == 0) {
                *out = i;
                return 0;
            }
        }
    }
    char *stop;
    unsigned long number = strtoul(wanted, &stop, 10);
    if (wanted[0] >= '0' && wanted[0] <= '9' && *stop == 0 && number >= 1 && number <= count) {
        *out = (uint32_t)number - 1;
        return 0;
    }
    return ln_fault_set(fault, LN_ECONFIG, "%s: no column \"%s\"; expected a name of the header line%s or a number from 1 to %u", in->name, wanted,
                        header ? "" : " (this file has none)", count);
}

static int csv_columns(struct lines *in, const struct ln__csv_args *args, struct columns *out, struct ln_fault *fault)
{
    struct lines start = *in;
    const char *from, *to;
    if (!line_next(in, &from, &to))
        return ln_fault_set(fault, LN_ECORRUPT, "%s: no line with data in it", in->name);
    bool numbers;
    out->count = count_cells(in, from, to, &numbers);
    if (out->count < 2 || out->count > COLUMNS_MAX)
        return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: expected 2 to %d cells separated by '%c' (features and a label), quotes closed", in->name,
                            in->line, COLUMNS_MAX, in->separator);
    bool header = args->header == LN__CSV_YES || (args->header == LN__CSV_AUTO && !numbers);
    out->label = out->count - 1;
    out->owner = out->count;
    int code = 0;
    if (args->label && args->label[0])
        code = find_column(in, from, to, header, args->label, out->count, &out->label, fault);
    if (code == 0 && args->owner && args->owner[0])
        code = find_column(in, from, to, header, args->owner, out->count, &out->owner, fault);
    if (code == 0 && out->owner == out->label)
        code = ln_fault_set(fault, LN_ECONFIG, "%s: column %u is both label and owner", in->name, out->label + 1);
    if (code == 0 && out->count - 1 - (out->owner < out->count) < 1)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: no feature column is left", in->name);
    if (!header)
        *in = start;
    return code;
}

static int csv_row(const struct lines *in, const char *from, const char *to, const struct columns *columns, struct ln__csv *out,
                   struct ln_fault *fault)
{
    unsigned char *room;
    if (ln__buf_room(&out->value, out->features * sizeof(float), &room))
        return ln_fault_set(fault, LN_ENOMEM, "%s:%u: no memory for more rows", in->name, in->line);
    float *value = (float *)(void *)room;
    uint32_t i = 0;
    for (const char *at = from; at; i++) {
        struct ln__csv_cell cell;
        if (!cell_next(&at, to, in->separator, &cell))
            return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: column %u: a quote is not closed or text follows it", in->name, in->line, i + 1);
        if (i >= columns->count)
            return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: more than %u cells; expected as many as in the first line", in->name, in->line,
                                columns->count);
        if (i == columns->label || i == columns->owner) {
            if (cell.size == 0)
                return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: column %u: the %s is empty", in->name, in->line, i + 1,
                                    i == columns->label ? "label" : "owner");
            if (ln__buf_add(i == columns->label ? &out->label : &out->owner, &cell, sizeof cell))
                return ln_fault_set(fault, LN_ENOMEM, "%s:%u: no memory for more rows", in->name, in->line);
            continue;
        }
        double number;
        if (!cell_number(&cell, &number) || !(fabs(number) <= 3e38))
            return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: column %u: \"%s\" is not a number", in->name, in->line, i + 1,
                                ln__shown_part(cell.text, cell.size).text);
        *value++ = (float)number;
    }
    if (i != columns->count)
        return ln_fault_set(fault, LN_ECORRUPT, "%s:%u: %u cells; expected %u as in the first line", in->name, in->line, i, columns->count);
    return 0;
}

int ln__csv_parse(const void *data, size_t size, const char *name, const struct ln__csv_args *args, struct ln__csv *out, struct ln_fault *fault)
{
    struct lines in = {.at = data, .end = (const char *)data + size, .name = name, .separator = args->separator};
    struct columns columns;
    *out = (struct ln__csv){0};
    /* A feature takes two characters at least, a row three: so the file's size bounds what is kept, whatever it says. */
    ln__buf_init(&out->value, 2 * size + 8 * sizeof(float));
    ln__buf_init(&out->label, (size / 3 + 2) * sizeof(struct ln__csv_cell));
    ln__buf_init(&out->owner, (size / 3 + 2) * sizeof(struct ln__csv_cell));
    if (size > UINT32_MAX)
        return ln_fault_set(fault, LN_EBUDGET, "%s: %zu bytes; expected less than 4 GiB", name, size);
    if (size && memchr(data, 0, size))
        return ln_fault_set(fault, LN_ECORRUPT, "%s: holds a zero byte; expected text", name);
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        in.at += 3; /* byte order mark of some spreadsheets */
    int code = csv_columns(&in, args, &columns, fault);
    if (code)
        return code;
    out->features = columns.count - 1 - (columns.owner < columns.count);
    out->value.max += out->features * sizeof(float); /* a row has its room before its cells are seen: the last may be short */
    const char *from, *to;
    while (line_next(&in, &from, &to)) {
        if (out->rows == ROWS_MAX)
            return ln_fault_set(fault, LN_EBUDGET, "%s: more than %u rows", name, ROWS_MAX);
        code = csv_row(&in, from, to, &columns, out, fault);
        if (code)
            return code;
        out->rows++;
    }
    return out->rows ? 0 : ln_fault_set(fault, LN_ECORRUPT, "%s: a header line but no rows", name);
}

void ln__csv_fini(struct ln__csv *csv)
{
    ln__buf_fini(&csv->value);
    ln__buf_fini(&csv->label);
    ln__buf_fini(&csv->owner);
    csv->rows = 0;
}

/* ---- JSON rows ---- */
struct json {
    const char *at, *start, *end;
};

static int json_next(struct json *in) /* the next character that is no blank, or -1 */
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t'))
        in->at++;
    return in->at < in->end ? (unsigned char)*in->at : -1;
}

static bool json_take(struct json *in, char c)
{
    if (json_next(in) != (unsigned char)c)
        return false;
    in->at++;
    return true;
}

static bool json_byte(struct json *in, uint8_t *out)
{
    json_next(in);
    unsigned value = 0, digits = 0;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9' && digits < 4; in->at++, digits++)
        value = value * 10 + (unsigned)(*in->at - '0');
    *out = (uint8_t)value;
    return digits > 0 && value <= 255;
}

static bool json_row(struct json *in, uint32_t max, uint8_t *value, uint32_t *count)
{
    *count = 0;
    if (!json_take(in, '['))
        return false;
    if (json_take(in, ']'))
        return true;
    do {
        if (*count == max || !json_byte(in, &value[*count]))
            return false;
        ++*count;
    } while (json_take(in, ','));
    return json_take(in, ']');
}

int ln__json_rows(const void *data, size_t size, const char *name, uint32_t max,
                  int (*row)(void *context, uint32_t number, const uint8_t *value, uint32_t count), void *context, struct ln_fault *fault)
{
    struct json in = {.at = data, .start = data, .end = (const char *)data + size};
    uint8_t *value = ln__mem_alloc(max);
    if (!value)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for a row", name);
    bool good = json_take(&in, '{') && json_next(&in) == '"' && in.end - in.at > 6 && memcmp(in.at, "\"data\"", 6) == 0;
    int code = 0;
    if (good) {
        in.at += 6;
        good = json_take(&in, ':') && json_take(&in, '[');
    }
    bool empty = good && json_take(&in, ']');
    for (uint32_t number = 0; good && !empty; number++) {
        uint32_t count;
        good = json_row(&in, max, value, &count);
        if (good)
            code = row(context, number, value, count);
        if (code || !good || !json_take(&in, ','))
            break;
    }
    if (good && code == 0 && !empty)
        good = json_take(&in, ']');
    if (good && code == 0)
        good = json_take(&in, '}') && json_next(&in) == -1;
    ln__mem_free(value);
    if (code)
        return ln_fault_set(fault, code, "%s: a row was refused", name);
    if (!good)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: at byte %zu: expected {\"data\": [[0 to 255, ...], ...]} with at most %u values a row", name,
                            (size_t)(in.at - in.start), max);
    return 0;
}
