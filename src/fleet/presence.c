#include "fleet/presence.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

#define FILE_MAX ((size_t)1 << 30)

struct leaving {
    uint32_t client;
    double time_s;
};

struct ln__presence {
    struct ln__presence_row *row; /* by time */
    struct leaving *leaving;      /* by client, then time */
    size_t count, leavings;
};

static int by_time(const void *left, const void *right)
{
    const struct ln__presence_row *a = left, *b = right;
    if (a->time_s != b->time_s)
        return a->time_s < b->time_s ? -1 : 1;
    return a->client < b->client ? -1 : a->client > b->client;
}

static int by_client(const void *left, const void *right)
{
    const struct leaving *a = left, *b = right;
    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return a->time_s < b->time_s ? -1 : a->time_s > b->time_s;
}

/* A number up to the character that must follow it, which becomes the next place. */
static bool number(const char **at, char end, double *out)
{
    char *stop;
    errno = 0;
    *out = strtod(*at, &stop);
    if (stop == *at || errno || !isfinite(*out))
        return false;
    while (*stop == ' ' || *stop == '\t' || *stop == '\r')
        stop++;
    if (end ? *stop != end : *stop && *stop != '#')
        return false;
    *at = stop + (end != 0);
    return true;
}

/* One line, ended by 0. *used is false for one without a row. */
static int parse_line(const char *line, bool first, uint32_t clients, struct ln__presence_row *row, bool *used)
{
    double client, time_s, available;
    while (*line == ' ' || *line == '\t' || *line == '\r')
        line++;
    *used = false;
    if (*line == 0 || *line == '#' || (first && isalpha((unsigned char)*line)))
        return LN_OK;
    if (!number(&line, ',', &client) || !number(&line, ',', &time_s) || !number(&line, 0, &available))
        return LN_ECORRUPT;
    if (client < 0 || client >= clients || client != floor(client) || time_s < 0 || (available != 0 && available != 1))
        return LN_EINVALID;
    *row = (struct ln__presence_row){time_s, (uint32_t)client, available == 1};
    *used = true;
    return LN_OK;
}

static int parse(struct ln__presence *presence, char *text, const char *path, uint32_t clients, struct ln_fault *fault)
{
    size_t number_of = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        bool used;
        int error = parse_line(line, ++number_of == 1, clients, &presence->row[presence->count], &used);
        if (error)
            return ln_fault_set(fault, LN_ECONFIG, "fleet.trace: %s:%zu: expected client (0 to %u), seconds (0 or more), 1 or 0, separated by commas",
                                path, number_of, clients - 1);
        presence->count += used;
    }
    return LN_OK;
}

static int index_leavings(struct ln__presence *presence)
{
    for (size_t i = 0; i < presence->count; i++) {
        if (!presence->row[i].available)
            presence->leaving[presence->leavings++] = (struct leaving){presence->row[i].client, presence->row[i].time_s};
    }
    if (presence->count)
        qsort(presence->row, presence->count, sizeof *presence->row, by_time);
    if (presence->leavings)
        qsort(presence->leaving, presence->leavings, sizeof *presence->leaving, by_client);
    for (size_t i = 1; i < presence->count; i++) {
        if (by_time(&presence->row[i - 1], &presence->row[i]) == 0 && presence->row[i - 1].available != presence->row[i].available)
            return LN_EINVALID;
    }
    return LN_OK;
}

int ln__presence_read(const char *path, uint32_t clients, struct ln__presence **out, struct ln_fault *fault)
{
    struct ln__buf text;
    struct ln_fault why = {0};
    *out = NULL;
    ln__buf_init(&text, FILE_MAX);
    int error = ln__file_read(path, FILE_MAX - 1, &text, &why);
    if (error) {
        ln__buf_fini(&text);
        return ln_fault_set(fault, error, "fleet.trace: %s", why.text);
    }
    if (text.size && memchr(text.data, 0, text.size)) {
        ln__buf_fini(&text);
        return ln_fault_set(fault, LN_ECONFIG, "fleet.trace: %s holds a zero byte; expected lines of text", path);
    }
    size_t lines = 1;
    for (size_t i = 0; i < text.size; i++)
        lines += text.data[i] == '\n';
    struct ln__presence *presence = ln__mem_zero(1, sizeof *presence);
    if (presence) {
        presence->row = ln__mem_zero(lines, sizeof *presence->row);
        presence->leaving = ln__mem_zero(lines, sizeof *presence->leaving);
    }
    if (!presence || !presence->row || !presence->leaving || ln__buf_add(&text, "", 1))
        error = ln_fault_set(fault, LN_ENOMEM, "fleet.trace: no memory for %zu rows", lines);
    if (!error)
        error = parse(presence, (char *)text.data, path, clients, fault);
    if (!error && index_leavings(presence))
        error = ln_fault_set(fault, LN_ECONFIG, "fleet.trace: %s: a client comes and goes at the same moment", path);
    ln__buf_fini(&text);
    if (error) {
        ln__presence_free(presence);
        return error;
    }
    *out = presence;
    return LN_OK;
}

void ln__presence_free(struct ln__presence *presence)
{
    if (!presence)
        return;
    ln__mem_free(presence->row);
    ln__mem_free(presence->leaving);
    ln__mem_free(presence);
}

size_t ln__presence_rows(const struct ln__presence *presence, const struct ln__presence_row **rows)
{
    *rows = presence->row;
    return presence->count;
}

double ln__presence_leaves(const struct ln__presence *presence, uint32_t client, double after_s)
{
    size_t from = 0, to = presence->leavings;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct leaving *at = &presence->leaving[middle];
        if (at->client < client || (at->client == client && at->time_s <= after_s))
            from = middle + 1;
        else
            to = middle;
    }
    return from < presence->leavings && presence->leaving[from].client == client ? presence->leaving[from].time_s : INFINITY;
}
