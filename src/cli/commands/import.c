#include "base/log.h"
#include "cli/cli.h"
#include "nn/weights.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NAMED 12 /* of each fate, in the text for people */

struct wish {
    const char *file, *model, *norm, *only, *out, *input, *mean, *std;
    long classes, seed;
    bool missing_ok;
};

struct tally {
    size_t count[4];
    json_t *name[4];
};

static const char *const fate_name[] = {"loaded", "random", "missing", "ignored"};

static void tell(void *context, enum ln__weights_fate fate, const char *name)
{
    struct tally *tally = context;
    tally->count[fate]++;
    json_array_append_new(tally->name[fate], json_string(name));
}

/* "MODEL" or "{kind: resnet18, stem: 7x7}". */
static int open_model(const struct ln__cli *cli, const char *text, struct ln__conf **conf, struct ln_choice *out, struct ln_fault *fault)
{
    if (text[0] != '{')
        return ln__choice_open(cli, LN_KIND_MODEL, text, conf, out, fault);
    static const struct ln_option table[] = {{.key = "model", .type = LN_OPT_PLUGIN, .kind = LN_KIND_MODEL}, {0}};
    char line[1024];
    int size = snprintf(line, sizeof line, "model: %s\n", text);
    if (size < 0 || (size_t)size >= sizeof line)
        return ln_fault_set(fault, LN_ECONFIG, "--model: longer than %zu characters", sizeof line);
    int code = ln__conf_parse(line, (size_t)size, "--model", conf, fault);
    return code ? code : ln__conf_bind(*conf, cli->catalog, table, sizeof *out, out, fault);
}

/* Lists the cut points, as far as there is room. */
static int bad_part(const char *only, const struct ln__graph *graph, struct ln_fault *fault)
{
    char cuts[LN_FAULT_TEXT - 120] = "";
    size_t used = 0;
    for (int i = 1; i <= ln__graph_cuts(graph) && used < sizeof cuts; i++) {
        struct ln__cut cut;
        if (ln__graph_cut(graph, i, &cut) == LN_OK)
            used += (size_t)snprintf(cuts + used, sizeof cuts - used, ", %d (%s)", i, cut.name);
    }
    return ln_fault_set(fault, LN_ECONFIG, "--only %.20s: expected all, body (not the classifier) or a cut point%s", only, cuts);
}

/* all, body, or the number of a cut. */
static int read_part(const char *only, const struct ln__graph *graph, struct ln__weights_part *out, struct ln_fault *fault)
{
    int cut, end = 0;
    *out = (struct ln__weights_part){.segment = {0, -1}};
    if (!only || strcmp(only, "all") == 0)
        return LN_OK;
    out->body = strcmp(only, "body") == 0;
    if (out->body)
        return LN_OK;
    if (sscanf(only, "%5d%n", &cut, &end) != 1 || only[end] || cut < 1 || cut > ln__graph_cuts(graph))
        return bad_part(only, graph, fault);
    out->segment.to = cut;
    return LN_OK;
}

/* "0.5,0.5,0.5" */
static int read_numbers(const char *flag, const char *text, int count, float *out, struct ln_fault *fault)
{
    const char *at = text;
    for (int i = 0; i < count; i++) {
        double value;
        int end = 0;
        if (sscanf(at, i ? ",%20lf%n" : "%20lf%n", &value, &end) != 1 || !(value > -1e9 && value < 1e9))
            return ln_fault_set(fault, LN_ECONFIG, "--%s %.60s: expected %d numbers with commas between them", flag, text, count);
        out[i] = (float)value;
        at += end;
    }
    return *at ? ln_fault_set(fault, LN_ECONFIG, "--%s %.60s: expected %d numbers with commas between them", flag, text, count) : LN_OK;
}

static int fill_about(const struct wish *wish, struct ln__weights_about *about, struct ln_fault *fault)
{
    int end = 0, code = LN_OK;
    struct ln__shape *in = &about->args.input;
    const struct ln__model *model = (const struct ln__model *)(const void *)about->model.plugin;
    *in = model->input;
    if (wish->input &&
        (sscanf(wish->input, "%5dx%5dx%5d%n", &in->c, &in->h, &in->w, &end) != 3 || wish->input[end] || in->c < 1 || in->h < 1 || in->w < 1))
        return ln_fault_set(fault, LN_ECONFIG, "--input %.40s: expected channels, height and width, as 3x32x32", wish->input);
    if (wish->norm && strcmp(wish->norm, "batch") != 0 && strcmp(wish->norm, "running") != 0)
        return ln_fault_set(fault, LN_ECONFIG, "--norm %.20s: expected batch or running", wish->norm);
    about->args.norm = wish->norm && strcmp(wish->norm, "batch") == 0 ? LN__NORM_BATCH : LN__NORM_RUNNING;
    about->args.classes = (int)wish->classes;
    if (!wish->mean != !wish->std)
        return ln_fault_set(fault, LN_ECONFIG, "--mean and --std: one without the other");
    if (!wish->mean)
        return LN_OK;
    if (in->c > 4)
        return ln_fault_set(fault, LN_ECONFIG, "--mean: an input of %d channels is no picture", in->c);
    about->channels = in->c;
    code = read_numbers("mean", wish->mean, in->c, about->mean, fault);
    if (!code)
        code = read_numbers("std", wish->std, in->c, about->std, fault);
    if (!code && !ln__weights_pixels(about))
        code = ln_fault_set(fault, LN_ECONFIG, "--mean %.60s --std %.60s: expected " LN__WEIGHTS_PIXELS_EXPECTED, wish->mean, wish->std);
    return code;
}

static void print_tally(const struct ln__cli *cli, const struct tally *tally, const char *out, size_t params)
{
    if (cli->json) {
        json_t *all = json_pack("{s:s, s:I, s:O, s:O, s:O, s:O}", "file", out, "parameters", (json_int_t)params, fate_name[0], tally->name[0],
                                fate_name[1], tally->name[1], fate_name[2], tally->name[2], fate_name[3], tally->name[3]);
        json_dumpf(all, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(all);
        return;
    }
    char text[32];
    printf("%s: %zu tensors loaded, %zu left at random, %zu missing, %zu of the file ignored; %s parameters\n", out, tally->count[LN__WEIGHTS_LOADED],
           tally->count[LN__WEIGHTS_LEFT], tally->count[LN__WEIGHTS_MISSING], tally->count[LN__WEIGHTS_IGNORED],
           ln__show_count((double)params, text));
    for (int fate = LN__WEIGHTS_LEFT; fate <= LN__WEIGHTS_IGNORED; fate++) {
        for (size_t i = 0; i < tally->count[fate] && i < NAMED; i++)
            printf("%s %s", i ? "," : fate_name[fate], json_string_value(json_array_get(tally->name[fate], i)));
        if (tally->count[fate] > NAMED)
            printf(" and %zu more", tally->count[fate] - NAMED);
        if (tally->count[fate])
            putchar('\n');
    }
}

static int import_wish(struct ln__cli *cli, const struct wish *wish, struct tally *tally, struct ln_fault *fault)
{
    struct ln__weights_about about = {0};
    struct ln__conf *conf = NULL;
    struct ln__graph *graph = NULL;
    float *state = NULL;
    struct ln__weights_load load = {.missing_ok = wish->missing_ok, .tell = tell, .context = tally};
    int code = open_model(cli, wish->model, &conf, &about.model, fault);
    if (!code)
        code = fill_about(wish, &about, fault);
    if (!code)
        code = ln__model_graph(&about.model, &about.args, &graph, fault);
    if (!code)
        code = read_part(wish->only, graph, &load.part, fault);
    if (!code && !(state = ln__mem_zero(ln__graph_state(graph), sizeof *state)))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its weights", wish->model);
    if (!code) {
        load.graph = graph;
        ln__graph_init(graph, (uint64_t)wish->seed, state);
        code = ln__weights_load(wish->file, &load, state, fault);
    }
    if (!code && tally->count[LN__WEIGHTS_LOADED] == 0)
        code = ln_fault_set(fault, LN_ENOENT, "%s: none of its tensors is one of %s", wish->file, about.model.plugin->name);
    if (!code)
        code = ln__weights_save(wish->out, graph, &about, state, fault);
    if (!code)
        print_tally(cli, tally, wish->out, ln__graph_trainable(graph));
    ln__mem_free(state);
    ln__graph_free(graph);
    ln__conf_free(conf);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct wish wish = {.classes = 10, .seed = 1};
    struct ln__list words = {0};
    const struct ln__flag flags[] = {{"model", LN__FLAG_TEXT, {.text = &wish.model}},
                                     {"out", LN__FLAG_TEXT, {.text = &wish.out}},
                                     {"classes", LN__FLAG_COUNT, {.count = &wish.classes}},
                                     {"norm", LN__FLAG_TEXT, {.text = &wish.norm}},
                                     {"input", LN__FLAG_TEXT, {.text = &wish.input}},
                                     {"only", LN__FLAG_TEXT, {.text = &wish.only}},
                                     {"missing-ok", LN__FLAG_SET, {.set = &wish.missing_ok}},
                                     {"seed", LN__FLAG_COUNT, {.count = &wish.seed}},
                                     {"mean", LN__FLAG_TEXT, {.text = &wish.mean}},
                                     {"std", LN__FLAG_TEXT, {.text = &wish.std}},
                                     {0}};
    int failed = ln__cli_args("import", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    wish.file = words.item[0];
    if (!wish.model || !wish.out)
        return ln__cli_usage("import", "import: --model NAME and --out FILE must be given");
    struct tally tally = {.name = {json_array(), json_array(), json_array(), json_array()}};
    struct ln_fault fault = {0};
    int code = import_wish(cli, &wish, &tally, &fault);
    for (int i = 0; i < 4; i++)
        json_decref(tally.name[i]);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

const struct ln__command ln__command_import = {
    .name = "import",
    .usage = "import FILE --model NAME -o OUT [--classes N] [--norm batch|running] [--input CxHxW] [--only all|body|CUT] [--missing-ok] [--seed N]\n"
             "                   [--mean A,B,C --std A,B,C]",
    .summary = "makes a checked file of published weights",
    .help = "FILE is safetensors with torchvision's or timm's names, F32, F16 or BF16; the model may have options, as in\n"
            "--model '{kind: resnet18, stem: 7x7}'. OUT says which model it is, so that `eval`, `predict`, `export` and recipes need nothing else.\n"
            "--only body leaves the classifier at random (its classes may then be others than the file's), --only 2 all behind cut point 2;\n"
            "--only 0 lists those. The norm is running unless said. A missing tensor is an error unless --missing-ok; what the model does not have\n"
            "is ignored and listed. --mean and --std say how pixels (0 to 1) are normalised.\n",
    .run = run,
};
