#include "cli/classify.h"
#include "cli/json.h"
#include "nn/onnx.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    const char *format = NULL, *out = NULL;
    const struct ln__flag flags[] = {{"format", LN__FLAG_TEXT, {.text = &format}}, {"out", LN__FLAG_TEXT, {.text = &out}}, {0}};
    int failed = ln__cli_args("export", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    const char *dot = out ? strrchr(out, '.') : NULL;
    if (!out)
        return ln__cli_usage("export", "export: --out FILE must be given");
    const char *wanted = format ? format : dot ? dot + 1 : "";
    bool onnx = strcmp(wanted, "onnx") == 0;
    if (!onnx && strcmp(wanted, "safetensors") != 0)
        return format ? ln__cli_usage("export", "--format %.40s: expected safetensors or onnx", format)
                      : ln__cli_usage("export", "--out %.100s: ends neither in .safetensors nor in .onnx; give --format", out);
    char path[PATH_MAX];
    struct ln_fault fault = {0};
    struct ln__weights weights = {0};
    int code = ln__model_path(words.item[0], path, sizeof path, &fault);
    if (!code)
        code = ln__weights_open(path, cli->catalog, &weights, &fault);
    if (!code && onnx)
        code = ln__onnx_save(out, weights.graph, &weights.about, weights.state, &fault);
    else if (!code)
        code = ln__weights_save(out, weights.graph, &weights.about, weights.state, &fault);
    struct stat about;
    char size[32];
    int unsaid = 0;
    if (!code && cli->json && stat(out, &about) == 0)
        unsaid = ln__json_print(json_pack("{s:s, s:s, s:s, s:I}", "file", out, "model", weights.about.model.plugin->name, "format", wanted, "bytes",
                                          (json_int_t)about.st_size));
    else if (!code && !cli->quiet && stat(out, &about) == 0)
        printf("%s: %s as %s, %s\n", out, weights.about.model.plugin->name, wanted, ln__show_bytes((double)about.st_size, size));
    ln__weights_close(&weights);
    return code ? ln__cli_fail(code, &fault) : unsaid ? LN__EXIT_FAILED : LN__EXIT_DONE;
}

const struct ln__command ln__command_export = {
    .name = "export",
    .usage = "export FILE|RUN_DIR -o OUT [--format safetensors|onnx]",
    .summary = "writes a model for other programs",
    .help =
        "safetensors keeps torchvision's names; onnx is operator set 13 with one input, \"input\" [batch, channels, height, width], and \"logits\".\n"
        "The format is that of OUT's ending unless given. A model of norm batch is exported as it is: its norms use the statistics of the batch\n"
        "they are given.\n",
    .run = run,
};
