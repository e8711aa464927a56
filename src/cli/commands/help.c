#include "cli/json.h"
#include <string.h>

static json_t *about(const struct ln__command *command)
{
    return json_pack("{s:s, s:s, s:s, s:s?}", "name", command->name, "usage", command->usage, "summary", command->summary, "help", command->help);
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    int failed = ln__cli_args("help", argc, argv, (const struct ln__flag[]){{0}}, &words, 0, 1);
    if (failed)
        return failed;
    if (words.count == 0 && cli->json) {
        json_t *all = json_array();
        for (size_t i = 0; ln__commands[i]; i++)
            json_array_append_new(all, about(ln__commands[i]));
        return ln__json_print(all) ? LN__EXIT_FAILED : LN__EXIT_DONE;
    }
    if (words.count == 0) {
        printf("linnet %s: trains neural networks across devices that have little\n\n", LINNET_VERSION);
        for (size_t i = 0; ln__commands[i]; i++)
            printf("  linnet %-9s %s\n", ln__commands[i]->name, ln__commands[i]->summary);
        printf("\nEvery command takes --json (results and log for programs), --quiet, --verbose and --help; `linnet --version` says what this\n"
               "program was built with. LINNET_ISA chooses the kernel set. Exit codes: 0 done, 1 failed, 2 usage or a bad recipe.\n");
        return LN__EXIT_DONE;
    }
    const char *names[64];
    size_t count = 0;
    for (; ln__commands[count] && count < 64; count++) {
        const struct ln__command *command = ln__commands[count];
        names[count] = command->name;
        if (strcmp(command->name, words.item[0]) == 0) {
            if (cli->json)
                return ln__json_print(about(command)) ? LN__EXIT_FAILED : LN__EXIT_DONE;
            printf("usage: linnet %s\n\n%s\n", command->usage, command->summary);
            if (command->help)
                printf("\n%s", command->help);
            return LN__EXIT_DONE;
        }
    }
    const char *near = ln__conf_nearest(words.item[0], names, count);
    return ln__cli_usage("help", "%.80s: unknown command%s%s", words.item[0], near ? ", did you mean " : "", near ? near : "");
}

const struct ln__command ln__command_help = {
    .name = "help",
    .usage = "help [COMMAND]",
    .summary = "says what a command does and takes",
    .run = run,
};
