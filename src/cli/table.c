/* Tables for people, JSON for programs. */
#include "base/log.h"
#include "base/text.h"
#include "cli/json.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

#define CELL_MAX 400
#define TABLE_BYTES (64u << 20)

struct ln__table {
    struct ln__arena arena;
    const char *const *column;
    size_t columns, cells, room;
    struct cell {
        const char *text;
        double number;
        bool is_number;
    } * cell;
    bool failed;
};

struct ln__table *ln__table_new(const char *const *columns, size_t count)
{
    struct ln__table *table = ln__mem_zero(1, sizeof *table);
    if (!table)
        return NULL;
    ln__arena_init(&table->arena, TABLE_BYTES);
    table->column = columns;
    table->columns = count;
    return table;
}

static void add_cell(struct ln__table *table, const char *text, double number, bool is_number)
{
    struct cell *grown = ln__mem_more(table->cell, table->cells, &table->room, sizeof *grown);
    if (!grown) {
        table->failed = true;
        return;
    }
    table->cell = grown;
    char *copy = ln__arena_text(&table->arena, text);
    table->failed = table->failed || !copy;
    if (copy)
        ln__text_clean(copy);
    table->cell[table->cells++] = (struct cell){copy ? copy : "", number, is_number};
}

void ln__table_text(struct ln__table *table, const char *format, ...)
{
    if (!table)
        return;
    char text[CELL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_cell(table, text, 0, false);
}

void ln__table_number(struct ln__table *table, double value, const char *shown)
{
    if (!table)
        return;
    char text[40];
    snprintf(text, sizeof text, "%.10g", value);
    add_cell(table, shown ? shown : text, value, true);
}

size_t ln__table_rows(const struct ln__table *table)
{
    return table ? table->cells / table->columns : 0;
}

static const char *column_name(const struct ln__table *table, size_t column)
{
    const char *name = table->column[column];
    return *name == '>' ? name + 1 : name;
}

/* Columns on a terminal of text in UTF-8 (no wide characters are printed). */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xC0) != 0x80;
    return width;
}

static void print_plain(const struct ln__table *table)
{
    int width[64];
    if (table->cells == 0)
        return;
    for (size_t c = 0; c < table->columns && c < 64; c++) {
        width[c] = text_width(column_name(table, c));
        for (size_t i = c; i < table->cells; i += table->columns) {
            int size = text_width(table->cell[i].text);
            width[c] = size > width[c] ? size : width[c];
        }
    }
    for (size_t row = 0; row <= table->cells / table->columns; row++) {
        for (size_t c = 0; c < table->columns; c++) {
            const char *text = row == 0 ? column_name(table, c) : table->cell[(row - 1) * table->columns + c].text;
            int gap = width[c] - text_width(text);
            bool right = table->column[c][0] == '>', last = c + 1 == table->columns;
            printf("%s%*s%s%*s", c ? "  " : "", right ? gap : 0, "", text, right || last ? 0 : gap, "");
        }
        putchar('\n');
    }
}

static json_t *rows_of(const struct ln__table *table)
{
    json_t *rows = json_array(), *row = NULL;
    for (size_t i = 0; i < table->cells; i++) {
        const struct cell *cell = &table->cell[i];
        if (i % table->columns == 0) {
            row = json_object();
            json_array_append_new(rows, row);
        }
        char key[64];
        snprintf(key, sizeof key, "%s", column_name(table, i % table->columns));
        for (char *at = key; *at; at++)
            *at = *at == ' ' || *at == '/' ? '_' : *at;
        json_object_set_new(row, key, !cell->is_number ? json_string(cell->text) : isfinite(cell->number) ? json_real(cell->number) : json_null());
    }
    return rows;
}

void ln__table_free(struct ln__table *table)
{
    if (!table)
        return;
    ln__mem_free(table->cell);
    ln__arena_fini(&table->arena);
    ln__mem_free(table);
}

json_t *ln__json_table(struct ln__table *table)
{
    json_t *rows = !table || table->failed ? NULL : rows_of(table);
    ln__table_free(table);
    return rows;
}

int ln__table_print(struct ln__table *table, const struct ln__cli *cli)
{
    if (cli->json)
        return ln__json_print(ln__json_table(table));
    int code = !table || table->failed ? LN_ENOMEM : LN_OK;
    if (code)
        ln__cli_fail(code, NULL);
    else
        print_plain(table);
    ln__table_free(table);
    return code;
}

const char *ln__show_bytes(double bytes, char out[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t i = 0;
    for (; bytes >= 1024 && i < 5; i++)
        bytes /= 1024;
    snprintf(out, 32, i == 0 ? "%.0f %s" : bytes < 10 ? "%.2f %s" : "%.1f %s", bytes, unit[i]);
    return out;
}

const char *ln__show_count(double count, char out[32])
{
    static const char *const unit[] = {"", " k", " M", " G", " T", " P"};
    size_t i = 0;
    for (; count >= 10000 && i < 5; i++)
        count /= 1000;
    snprintf(out, 32, i == 0 ? "%.10g%s" : count < 100 ? "%.2f%s" : "%.0f%s", count, unit[i]);
    return out;
}

const char *ln__show_time(double seconds, char out[32])
{
    if (!(seconds >= 0) || seconds > 1e11)
        snprintf(out, 32, "?");
    else if (seconds < 60)
        snprintf(out, 32,
                 seconds < 1e-3 ? "%.1f us"
                 : seconds < 1  ? "%.2f ms"
                                : "%.1f s",
                 seconds < 1e-3 ? seconds * 1e6
                 : seconds < 1  ? seconds * 1e3
                                : seconds);
    else {
        long all = lround(seconds);
        long days = all / 86400;
        if (days)
            snprintf(out, 32, "%ldd %ld:%02ld:%02ld", days, all / 3600 % 24, all / 60 % 60, all % 60);
        else if (all >= 3600)
            snprintf(out, 32, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
        else
            snprintf(out, 32, "%ld:%02ld", all / 60, all % 60);
    }
    return out;
}
