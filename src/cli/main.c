/* The program: global flags, the choice of the kernel set, and the command's name. */
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "fleet/ranks.h"
#include "kernels/kernels.h"
#include <jansson.h>
#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>
#include <zstd.h>

static volatile int stop_asked;

static bool in_json;

/* A second signal, of either kind, finds the default: the end. */
static void on_signal(int number)
{
    static const char text[] = "\nstopping after this step; once more to end at once\n",
                      object[] = "{\"level\":\"warning\",\"text\":\"stopping after this step; once more to end at once\"}\n";
    (void)number;
    stop_asked = 1;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    ssize_t ignored = in_json ? write(STDERR_FILENO, object, sizeof object - 1) : write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
}

void ln__cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int print_version(bool json)
{
    size_t count;
    const struct ln__kset *const *set = ln__kset_list(&count);
    int major, minor, patch;
    yaml_get_version(&major, &minor, &patch);
    if (json) {
        json_t *sets = json_array();
        for (size_t i = 0; i < count; i++) {
            if (set[i]->usable())
                json_array_append_new(sets, json_string(set[i]->name));
        }
        json_t *all = json_pack("{s:s, s:o, s:{s:s, s:s, s:s, s:s, s:s?}}", "version", LINNET_VERSION, "kernels", sets, "libraries", "yaml",
                                yaml_get_version_string(), "jansson", jansson_version_str(), "zstd", ZSTD_versionString(), "png",
                                png_get_libpng_ver(NULL), "open-mpi", ln__ranks_version());
        int failed = !all || json_dumpf(all, stdout, JSON_INDENT(1)) != 0;
        putchar('\n');
        json_decref(all);
        return failed ? LN__EXIT_FAILED : LN__EXIT_DONE;
    }
    printf("linnet %s\nkernels:", LINNET_VERSION);
    for (size_t i = 0; i < count; i++)
        printf(" %s%s", set[i]->name, set[i]->usable() ? "" : " (not on this processor)");
    set = ln__kset_bf16_list(&count);
    printf("\nbfloat16:");
    for (size_t i = 0; i < count; i++)
        printf(" %s%s", set[i]->name, set[i]->usable() ? "" : " (not on this processor)");
    const char *mpi = ln__ranks_version();
    printf("\nlibraries: yaml %d.%d.%d, jansson %s, zstd %s, png %s, nettle, %s%s\n", major, minor, patch, jansson_version_str(),
           ZSTD_versionString(), png_get_libpng_ver(NULL), mpi ? "open mpi " : "no open mpi: one rank only", mpi ? mpi : "");
    return LN__EXIT_DONE;
}

static int choose_kernels(const struct ln__kset **out)
{
    const char *wanted = getenv("LINNET_ISA");
    *out = wanted && *wanted ? ln__kset_named(wanted) : ln__kset_best();
    if (*out) {
        ln__log(LN__LOG_DEBUG, "kernels: %s", (*out)->name);
        return LN__EXIT_DONE;
    }
    char names[256] = "";
    size_t count;
    const struct ln__kset *const *set = ln__kset_list(&count);
    for (size_t i = 0, used = 0; i < count && used < sizeof names; i++) {
        if (set[i]->usable())
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", set[i]->name);
    }
    ln__log(LN__LOG_ERROR, "LINNET_ISA=%.40s: no such kernel set on this processor; there are %s", wanted ? wanted : "", names);
    return LN__EXIT_USAGE;
}

static const struct ln__command *find_command(const char *name)
{
    for (size_t i = 0; ln__commands[i]; i++) {
        if (strcmp(ln__commands[i]->name, name) == 0)
            return ln__commands[i];
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (; ln__commands[count] && count < 64; count++)
        names[count] = ln__commands[count]->name;
    const char *near = ln__conf_nearest(name, names, count);
    ln__log(LN__LOG_ERROR, "%.80s: unknown command%s%s%s", name, near ? "; did you mean " : "; see `linnet help`", near ? near : "", near ? "?" : "");
    return LN__EXIT_USAGE;
}

/* Takes the flags that every command knows out of argv. Behind "--" nothing is taken. */
struct global {
    bool json, quiet, verbose, version, help;
};
static int take_globals(int argc, char **argv, struct global *out)
{
    const struct {
        const char *name;
        bool *to;
    } flag[] = {{"--json", &out->json},       {"--quiet", &out->quiet}, {"--verbose", &out->verbose},
                {"--version", &out->version}, {"--help", &out->help},   {"-h", &out->help}};
    int kept = 1;
    bool ended = false;
    for (int i = 1; i < argc; i++) {
        bool taken = false;
        ended = ended || strcmp(argv[i], "--") == 0;
        for (size_t k = 0; k < sizeof flag / sizeof *flag && !taken && !ended; k++) {
            taken = strcmp(argv[i], flag[k].name) == 0;
            *flag[k].to = *flag[k].to || taken;
        }
        if (!taken)
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

static int act(const struct global *global, int argc, char **argv)
{
    if (global->version)
        return print_version(global->json);
    struct ln__cli cli = {.catalog = ln_catalog_builtin(), .stop = &stop_asked, .json = global->json, .quiet = global->quiet};
    int failed = choose_kernels(&cli.kset);
    if (failed)
        return failed;
    const struct ln__command *help = find_command("help");
    if (argc < 2) {
        help->run(&cli, 1, (char *[]){"help", NULL});
        return global->help ? LN__EXIT_DONE : LN__EXIT_USAGE;
    }
    const struct ln__command *command = find_command(argv[1]);
    if (!command && argv[1][0] == '-') {
        ln__log(LN__LOG_ERROR, "%.80s: unknown option; see `linnet help`", argv[1]);
        return LN__EXIT_USAGE;
    }
    if (!command)
        return unknown_command(argv[1]);
    if (global->help)
        return help->run(&cli, 2, (char *[]){"help", argv[1], NULL});
    int code = command->run(&cli, argc - 1, argv + 1);
    ln__ranks_end();
    return code;
}

int main(int argc, char **argv)
{
    struct global global = {0};
    argc = take_globals(argc, argv, &global);
    enum ln__log_level level = global.quiet ? LN__LOG_WARN : global.verbose ? LN__LOG_DEBUG : LN__LOG_INFO;
    in_json = global.json;
    ln__log_setup(level, global.json ? LN__LOG_JSON : LN__LOG_AUTO);
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error like a full disk, not the end of the process */
    int code = act(&global, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ln__log(LN__LOG_ERROR, "standard output: cannot write");
        return code ? code : LN__EXIT_FAILED;
    }
    return code;
}
