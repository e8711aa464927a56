#include "dash/report.h"
#include "cli/json.h"
#include "dash/compare.h"
#include <limits.h>
#include <stdio.h>

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    int failed = ln__cli_args("report", argc, argv, (const struct ln__flag[]){{0}}, &words, 1, 1);
    if (failed)
        return failed;
    struct ln_fault fault = {0};
    int code = ln__compare_is(words.item[0]) ? ln__compare_write(words.item[0], &fault) : ln__report_write(words.item[0], &fault);
    if (code)
        return ln__cli_fail(code, &fault);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/report.html", words.item[0]);
    if (cli->json)
        return ln__json_print(json_pack("{s:s}", "report", path)) ? LN__EXIT_FAILED : LN__EXIT_DONE;
    printf("%s\n", path);
    return LN__EXIT_DONE;
}

const struct ln__command ln__command_report = {
    .name = "report",
    .usage = "report DIR",
    .summary = "makes the report.html of a run or a comparison again, from what lies in its folder",
    .help =
        "One file that needs nothing else: accuracy against rounds, time and bytes, loss, who holds what, the recipe. Also while a run goes on.\n",
    .run = run,
};
