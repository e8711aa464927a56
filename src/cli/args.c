/* Arguments and complaints. */
#include "base/log.h"
#include "cli/cli.h"
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int ln__cli_fail(int code, const struct ln_fault *fault)
{
    ln__log(LN__LOG_ERROR, "%s", fault && fault->text[0] ? fault->text : ln_error_text(code));
    return code == LN_ECONFIG ? LN__EXIT_USAGE : LN__EXIT_FAILED;
}

int ln__cli_usage(const char *command, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ln__log(LN__LOG_ERROR, "%s; see `linnet help %s`", text, command);
    return LN__EXIT_USAGE;
}

int ln__cli_word(struct ln__buf *command, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+@%-";
    const char *between = command->size ? " " : "";
    if (*word && word[strspn(word, plain)] == 0)
        return ln__buf_print(command, "%s%s", between, word);
    int code = ln__buf_print(command, "%s'", between);
    for (; *word && !code; word++)
        code = *word == '\'' ? ln__buf_print(command, "'\\''") : ln__buf_add(command, word, 1);
    return code ? code : ln__buf_print(command, "'");
}

static int unknown_flag(const char *command, const char *name, size_t size, const struct ln__flag *flags)
{
    char given[64];
    snprintf(given, sizeof given, "%.*s", (int)size, name);
    const char *names[32];
    size_t count = 0;
    for (; flags[count].name && count < 32; count++)
        names[count] = flags[count].name;
    const char *near = ln__conf_nearest(given, names, count);
    if (near)
        return ln__cli_usage(command, "--%s: unknown option, did you mean --%s?", given, near);
    return ln__cli_usage(command, "--%s: unknown option", given);
}

static int give_value(const char *command, const struct ln__flag *flag, const char *value)
{
    switch (flag->type) {
    case LN__FLAG_TEXT:
        *flag->to.text = value;
        return 0;
    case LN__FLAG_LIST:
        if (flag->to.list->count == LN__ARGS_MAX)
            return ln__cli_usage(command, "--%s: given more than %d times", flag->name, LN__ARGS_MAX);
        flag->to.list->item[flag->to.list->count++] = value;
        return 0;
    case LN__FLAG_COUNT: {
        char *end;
        errno = 0;
        long number = strtol(value, &end, 10);
        if (errno || end == value || *end || number < 1 || number > 1000000000)
            return ln__cli_usage(command, "--%s: \"%.40s\" is not a whole number from 1", flag->name, value);
        *flag->to.count = number;
        return 0;
    }
    case LN__FLAG_SET:
        break;
    }
    return 0;
}

int ln__cli_args(const char *command, int argc, char **argv, const struct ln__flag *flags, struct ln__list *words, size_t least, size_t most)
{
    size_t found = 0;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!ended && strcmp(arg, "--") == 0) {
            ended = true;
            continue;
        }
        if (ended || arg[0] != '-' || !arg[1]) {
            if (found == LN__ARGS_MAX)
                return ln__cli_usage(command, "\"%.80s\": expected at most %d arguments", arg, LN__ARGS_MAX);
            if (found == most)
                return ln__cli_usage(command, "\"%.80s\": one argument too many", arg);
            words->item[found++] = arg;
            words->count = found;
            continue;
        }
        if (strcmp(arg, "-o") == 0)
            arg = "--out";
        if (arg[1] != '-')
            return ln__cli_usage(command, "%.80s: unknown option", arg);
        const char *name = arg + 2;
        size_t size = strcspn(name, "=");
        const struct ln__flag *flag = flags;
        while (flag->name && (strlen(flag->name) != size || strncmp(flag->name, name, size) != 0))
            flag++;
        if (!flag->name)
            return unknown_flag(command, name, size, flags);
        if (flag->type == LN__FLAG_SET) {
            if (name[size])
                return ln__cli_usage(command, "--%s: takes no value", flag->name);
            *flag->to.set = true;
            continue;
        }
        const char *value = name[size] ? name + size + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value || (!name[size] && strncmp(value, "--", 2) == 0)) /* "--out --resume": a folder of that name is --out=--resume */
            return ln__cli_usage(command, "--%s: a value is missing%s%.80s", flag->name, value ? " before " : "", value ? value : "");
        int failed = give_value(command, flag, value);
        if (failed)
            return failed;
    }
    if (found < least)
        return ln__cli_usage(command, "%s: %zu more argument%s needed", command, least - found, least - found == 1 ? " is" : "s are");
    return 0;
}

unsigned ln__cli_threads(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > 256 ? 256 : (unsigned)count;
}
