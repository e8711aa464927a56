/* What the commands share: arguments, tables, complaints, recipes. Every command prints its result on standard output, as a table for
 * people or, with --json, as one JSON document; everything else (log, progress, complaints) goes to standard error. */
#ifndef LINNET_CLI_CLI_H
#define LINNET_CLI_CLI_H

#include "base/conf.h"
#include "cli/command.h"
#include "fed/env.h"
#include <stdio.h>

enum { LN__EXIT_DONE = 0, LN__EXIT_FAILED = 1, LN__EXIT_USAGE = 2 };

/* Says the fault (or, where it is empty, the code's text) and returns the exit code: usage for a bad recipe or argument, failed otherwise. */
int ln__cli_fail(int code, const struct ln_fault *fault);
/* A complaint about the command line; names `linnet help NAME`. Returns LN__EXIT_USAGE. */
int ln__cli_usage(const char *command, const char *format, ...) LN_PRINTF(2, 3);

/* From now on SIGINT and SIGTERM set *cli->stop; the second one, of either, ends the program at once. */
void ln__cli_catch_signals(void);

/* One more word of a command that a person is to copy: quoted as a shell wants it. */
int ln__cli_word(struct ln__buf *command, const char *word) LN_MUST_CHECK;
#define LN__COMMAND_MAX (1u << 16) /* bytes of it */

/* ---- arguments ---- */
#define LN__ARGS_MAX 256
struct ln__list {
    const char *item[LN__ARGS_MAX];
    size_t count;
};
enum ln__flag_type { LN__FLAG_SET, LN__FLAG_TEXT, LN__FLAG_LIST, LN__FLAG_COUNT };
/* "--name", "--name value" (one that does not begin with "--") or "--name=value"; ended by {0}. */
struct ln__flag {
    const char *name; /* without dashes */
    enum ln__flag_type type;
    union {
        bool *set;
        const char **text;
        struct ln__list *list;
        long *count; /* a whole number, 1 or more */
    } to;
};
/* Splits argv[1..] in flags and the rest. 0, or the exit code after a complaint. words NULL: none are taken. */
int ln__cli_args(const char *command, int argc, char **argv, const struct ln__flag *flags, struct ln__list *words, size_t least, size_t most);

/* ---- tables ---- */
struct ln__table;
/* columns: "name" is text, ">name" a number on the right. NULL: no memory, and everything below does nothing. */
struct ln__table *ln__table_new(const char *const *columns, size_t count);
void ln__table_text(struct ln__table *table, const char *format, ...) LN_PRINTF(2, 3);
/* shown is printed in tables ("1.2 MiB"), value goes into JSON; shown NULL prints the value. */
void ln__table_number(struct ln__table *table, double value, const char *shown);
size_t ln__table_rows(const struct ln__table *table);
/* Without rows nothing for people. JSON: an array of objects, keyed by the columns' names. Both free the table. Failing is LN_ENOMEM or LN_EIO, already
 * said. */
int ln__table_print(struct ln__table *table, const struct ln__cli *cli);
void ln__table_free(struct ln__table *table); /* unprinted */

/* 1536 is "1.5 KiB", 12.5e6 is "12.5 M", 3725 s is "1:02:05". */
const char *ln__show_bytes(double bytes, char out[32]);
const char *ln__show_count(double count, char out[32]);
const char *ln__show_time(double seconds, char out[32]);

/* ---- recipes ---- */
struct ln__loaded {
    struct ln__conf *conf;
    struct ln__recipe recipe; /* lives as long as conf */
};
/* A recipe's file, read: of a pipe that is possible only once. */
struct ln__source {
    const char *path; /* borrowed */
    struct ln__buf text;
};
int ln__source_read(const char *path, struct ln__source *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__source_close(struct ln__source *source); /* also of a zeroed one, and after a failed read */

/* Reads path, or takes what was read, then the assignments, then binds and checks. */
int ln__loaded_open(const struct ln__cli *cli, const char *path, const struct ln__list *sets, struct ln__loaded *out,
                    struct ln_fault *fault) LN_MUST_CHECK;
int ln__loaded_parse(const struct ln__cli *cli, const struct ln__source *source, const struct ln__list *sets, struct ln__loaded *out,
                     struct ln_fault *fault) LN_MUST_CHECK;
void ln__loaded_close(struct ln__loaded *loaded);

/* One plug-in by itself, with its default options; it lives as long as *conf, which the caller frees. An unknown name lists those that exist. */
int ln__choice_open(const struct ln__cli *cli, enum ln_kind kind, const char *name, struct ln__conf **conf, struct ln_choice *out,
                    struct ln_fault *fault) LN_MUST_CHECK;

/* Threads to use where nothing says otherwise: the processors this process may run on. */
unsigned ln__cli_threads(void);

#endif
