#include "data/show.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JS(P || Q) / ln 2 of two count vectors; 0 for an empty one. */
static double divergence(const uint32_t *p, const uint64_t *q, uint32_t n)
{
    double p_sum = 0, q_sum = 0, out = 0;
    for (uint32_t k = 0; k < n; k++) {
        p_sum += p[k];
        q_sum += (double)q[k];
    }
    if (p_sum <= 0 || q_sum <= 0)
        return 0;
    for (uint32_t k = 0; k < n; k++) {
        double a = p[k] / p_sum, b = (double)q[k] / q_sum, m = (a + b) / 2;
        out += a > 0 ? a * log(a / m) / 2 : 0;
        out += b > 0 ? b * log(b / m) / 2 : 0;
    }
    return out > 0 ? out / log(2.0) : 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void total_counts(const struct ln__set *set, const struct ln__shares *shares, uint64_t *total)
{
    memset(total, 0, (size_t)set->classes * sizeof *total);
    for (uint64_t i = 0; i < shares->start[shares->clients]; i++)
        total[set->split[LN__TRAIN].label[shares->index[i]]]++;
}

int ln__show_summarise(const struct ln__set *set, const struct ln__shares *shares, struct ln__show_summary *out, struct ln_fault *fault)
{
    uint32_t classes = (uint32_t)set->classes, clients = shares->clients;
    uint32_t *count = ln__mem_alloc(classes * sizeof *count), *size = ln__mem_alloc(clients * sizeof *size);
    uint64_t *total = ln__mem_alloc(classes * sizeof *total);
    int code = 0;
    *out = (struct ln__show_summary){.clients = clients, .classes = classes, .samples = set->split[LN__TRAIN].count, .held = shares->start[clients]};
    if (!count || !size || !total)
        code = ln_fault_set(fault, LN_ENOMEM, "no memory to look at %u clients", clients);
    if (code == 0) {
        total_counts(set, shares, total);
        out->classes_least = UINT32_MAX;
        for (uint32_t c = 0; c < clients; c++) {
            uint32_t held = 0;
            ln__shares_histogram(shares, &set->split[LN__TRAIN], set->classes, c, count);
            for (uint32_t k = 0; k < classes; k++)
                held += count[k] > 0;
            size[c] = (uint32_t)(shares->start[c + 1] - shares->start[c]);
            out->classes_mean += (double)held / clients;
            out->classes_least = held < out->classes_least ? held : out->classes_least;
            out->classes_most = held > out->classes_most ? held : out->classes_most;
            out->divergence += divergence(count, total, classes) / clients;
        }
        qsort(size, clients, sizeof *size, by_value);
        out->least = size[0];
        out->median = size[clients / 2];
        out->most = size[clients - 1];
    }
    ln__mem_free(count);
    ln__mem_free(size);
    ln__mem_free(total);
    return code;
}

/* Level 0 (none) to 8 of a part; what is there at all shows. */
static int level_of(double part)
{
    int level = (int)ceil(part * 8 - 1e-9);
    return level < 0 ? 0 : level > 8 ? 8 : level;
}

static void draw_cells(FILE *to, const double *part, uint32_t columns, int wide, bool ascii, double full)
{
    static const char *const block[9] = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letter[9] = {".", "1", "2", "3", "4", "5", "6", "7", "8"};
    for (uint32_t k = 0; k < columns; k++) {
        const char *mark = (ascii ? letter : block)[level_of(part[k] / full)];
        for (int i = 0; i < wide; i++)
            fputs(mark, to);
        if (wide > 1)
            fputc(' ', to);
    }
}

struct drawing {
    uint32_t columns, per_column; /* class columns, classes in each */
    int wide;                     /* characters of one */
    double full;                  /* the part that fills a block */
};

static struct drawing plan_drawing(uint32_t classes, int terminal)
{
    struct drawing d = {.per_column = 1};
    int room = terminal - 28;
    room = room < 10 ? 10 : room;
    while ((classes + d.per_column - 1) / d.per_column > (uint32_t)room)
        d.per_column++;
    d.columns = (classes + d.per_column - 1) / d.per_column;
    d.wide = d.columns * 3 <= (uint32_t)room ? 2 : 1;
    return d;
}

static void parts_of(const struct drawing *d, const uint64_t *count, uint32_t classes, double *part)
{
    double sum = 0;
    memset(part, 0, d->columns * sizeof *part);
    for (uint32_t k = 0; k < classes; k++) {
        part[k / d->per_column] += (double)count[k];
        sum += (double)count[k];
    }
    for (uint32_t k = 0; k < d->columns && sum > 0; k++)
        part[k] /= sum;
}

static void client_counts(const struct ln__set *set, const struct ln__shares *shares, uint32_t client, uint32_t *narrow, uint64_t *count)
{
    ln__shares_histogram(shares, &set->split[LN__TRAIN], set->classes, client, narrow);
    for (int k = 0; k < set->classes; k++)
        count[k] = narrow[k];
}

static void draw_heading(FILE *to, const struct ln__set *set, const struct drawing *d)
{
    fprintf(to, "%8s  ", "client");
    for (uint32_t k = 0; k < d->columns; k++) {
        char text[16];
        const char *name = set->class_name && d->per_column == 1 ? set->class_name[k] : NULL;
        if (d->wide == 1)
            snprintf(text, sizeof text, "%u", k * d->per_column / 10 % 10 ? k * d->per_column / 10 % 10 : 0);
        else if (name)
            snprintf(text, sizeof text, "%.2s", name);
        else
            snprintf(text, sizeof text, "%u", k * d->per_column);
        ln__text_clean(text); /* a name may have been cut within a character */
        fprintf(to, d->wide == 1 ? "%s" : "%-3.3s", d->wide == 1 ? (k % 10 ? " " : text) : text);
    }
    fprintf(to, "  samples\n");
}

static void draw_summary(FILE *to, const struct ln__set *set, const struct ln__show_summary *s, const struct drawing *d)
{
    fprintf(to, "\n%u clients hold %llu of %u samples: %u least, %u median, %u most\n", s->clients, (unsigned long long)s->held, s->samples, s->least,
            s->median, s->most);
    fprintf(to, "classes a client: %.1f mean, %u least, %u most, of %u\n", s->classes_mean, s->classes_least, s->classes_most, s->classes);
    fprintf(to, "label skew (mean Jensen-Shannon divergence from all, 0 to 1): %.3f\n", s->divergence);
    if (d->wide > 1 && set->class_name && d->per_column == 1) {
        int column = 0;
        fputs("classes:", to);
        for (int k = 0; k < set->classes; k++) {
            int n = (int)strlen(set->class_name[k]) + 2;
            if (column + n > 70) {
                fputs("\n        ", to);
                column = 0;
            }
            fprintf(to, " %s%s", set->class_name[k], k + 1 < set->classes ? "," : "");
            column += n;
        }
        fputc('\n', to);
    }
}

int ln__show_text(FILE *to, const struct ln__set *set, const struct ln__shares *shares, const struct ln__show_args *args, struct ln_fault *fault)
{
    struct ln__show_summary summary;
    int code = ln__show_summarise(set, shares, &summary, fault);
    if (code)
        return code;
    uint32_t classes = summary.classes, rows = args->rows > 0 ? (uint32_t)args->rows : 40;
    struct drawing d = plan_drawing(classes, args->columns > 0 ? args->columns : 80);
    rows = rows < shares->clients ? rows : shares->clients;
    uint32_t *narrow = ln__mem_alloc(classes * sizeof *narrow);
    uint64_t *count = ln__mem_alloc(classes * sizeof *count);
    double *part = ln__mem_alloc(d.columns * sizeof *part);
    if (!narrow || !count || !part)
        code = ln_fault_set(fault, LN_ENOMEM, "no memory to draw %u classes", classes);
    for (uint32_t r = 0; code == 0 && r < rows; r++) { /* the fullest cell is a whole block */
        client_counts(set, shares, (uint32_t)((uint64_t)r * shares->clients / rows), narrow, count);
        parts_of(&d, count, classes, part);
        for (uint32_t k = 0; k < d.columns; k++)
            d.full = part[k] > d.full ? part[k] : d.full;
    }
    if (code == 0) {
        d.full = d.full > 0 ? d.full : 1;
        if (args->title)
            fprintf(to, "%s\n", ln__shown(args->title).text);
        if (d.per_column > 1)
            fprintf(to, "(%u classes a column)\n", d.per_column);
        draw_heading(to, set, &d);
        for (uint32_t r = 0; r < rows; r++) {
            uint32_t client = (uint32_t)((uint64_t)r * shares->clients / rows);
            client_counts(set, shares, client, narrow, count);
            parts_of(&d, count, classes, part);
            fprintf(to, "%8u  ", client);
            draw_cells(to, part, d.columns, d.wide, args->ascii, d.full);
            fprintf(to, "  %llu\n", (unsigned long long)(shares->start[client + 1] - shares->start[client]));
        }
        total_counts(set, shares, count);
        parts_of(&d, count, classes, part);
        fprintf(to, "%8s  ", "all");
        draw_cells(to, part, d.columns, d.wide, args->ascii, d.full);
        fprintf(to, "  %llu\n", (unsigned long long)summary.held);
        fprintf(to, "%8s  a full block is %.0f %% of the client's samples%s\n", "", d.full * 100,
                rows < shares->clients ? "; clients evenly chosen" : "");
        draw_summary(to, set, &summary, &d);
    }
    ln__mem_free(narrow);
    ln__mem_free(count);
    ln__mem_free(part);
    if (code == 0 && ferror(to))
        code = ln_fault_set(fault, LN_EIO, "cannot write the drawing");
    return code;
}

int ln__show_csv(FILE *to, const struct ln__set *set, const struct ln__shares *shares, struct ln_fault *fault)
{
    uint32_t *count = ln__mem_alloc((size_t)set->classes * sizeof *count);
    if (!count)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for %d classes", set->classes);
    fputs("client,samples", to);
    for (int k = 0; k < set->classes; k++) {
        if (!set->class_name) {
            fprintf(to, ",%d", k);
            continue;
        }
        fputs(",\"", to);
        for (const char *at = set->class_name[k]; *at; at++) {
            if (*at == '"')
                fputc('"', to);
            fputc(*at, to);
        }
        fputc('"', to);
    }
    fputc('\n', to);
    for (uint32_t c = 0; c < shares->clients; c++) {
        ln__shares_histogram(shares, &set->split[LN__TRAIN], set->classes, c, count);
        fprintf(to, "%u,%llu", c, (unsigned long long)(shares->start[c + 1] - shares->start[c]));
        for (int k = 0; k < set->classes; k++)
            fprintf(to, ",%u", count[k]);
        fputc('\n', to);
    }
    ln__mem_free(count);
    return ferror(to) ? ln_fault_set(fault, LN_EIO, "cannot write the table") : 0;
}

#define TRY(call)                                                                                                                                    \
    do {                                                                                                                                             \
        int failed_ = (call);                                                                                                                        \
        if (failed_)                                                                                                                                 \
            return failed_;                                                                                                                          \
    } while (0)

/* A printable text. */
static int json_text(struct ln__buf *out, const char *text)
{
    TRY(ln__buf_add(out, "\"", 1));
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            TRY(ln__buf_add(out, "\\", 1));
        TRY(ln__buf_add(out, text, 1));
    }
    return ln__buf_add(out, "\"", 1);
}

static int json_all(struct ln__buf *out, const struct ln__set *set, const struct ln__shares *shares, const struct ln__show_summary *s, uint32_t rows,
                    uint32_t *count)
{
    TRY(ln__buf_print(out, "{\"set\": "));
    TRY(json_text(out, set->name));
    TRY(ln__buf_print(out,
                      ", \"clients\": %u, \"samples\": %u, \"held\": %llu, \"least\": %u, \"median\": %u, \"most\": %u, \"classes_mean\": %.6g, "
                      "\"classes_least\": %u, \"classes_most\": %u, \"divergence\": %.6g, \"classes\": [",
                      s->clients, s->samples, (unsigned long long)s->held, s->least, s->median, s->most, s->classes_mean, s->classes_least,
                      s->classes_most, s->divergence));
    for (int k = 0; k < set->classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        TRY(ln__buf_print(out, "%s", k ? ", " : ""));
        TRY(json_text(out, set->class_name ? set->class_name[k] : number));
    }
    TRY(ln__buf_print(out, "], \"client\": ["));
    for (uint32_t r = 0; r < rows; r++)
        TRY(ln__buf_print(out, "%s%u", r ? ", " : "", (uint32_t)((uint64_t)r * shares->clients / rows)));
    TRY(ln__buf_print(out, "], \"counts\": ["));
    for (uint32_t r = 0; r < rows; r++) {
        ln__shares_histogram(shares, &set->split[LN__TRAIN], set->classes, (uint32_t)((uint64_t)r * shares->clients / rows), count);
        TRY(ln__buf_print(out, "%s[", r ? ", " : ""));
        for (int k = 0; k < set->classes; k++)
            TRY(ln__buf_print(out, "%s%u", k ? ", " : "", count[k]));
        TRY(ln__buf_print(out, "]"));
    }
    return ln__buf_print(out, "]}\n");
}

int ln__show_json(struct ln__buf *out, const struct ln__set *set, const struct ln__shares *shares, uint32_t max, struct ln_fault *fault)
{
    struct ln__show_summary s;
    int code = ln__show_summarise(set, shares, &s, fault);
    if (code)
        return code;
    uint32_t *count = ln__mem_alloc((size_t)set->classes * sizeof *count);
    code = count ? json_all(out, set, shares, &s, max && max < shares->clients ? max : shares->clients, count) : LN_ENOMEM;
    ln__mem_free(count);
    return code ? ln_fault_set(fault, code, "no memory for a table of %d classes, or it would be larger than %zu bytes", set->classes, out->max) : 0;
}
