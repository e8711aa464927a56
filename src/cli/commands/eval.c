#include "base/log.h"
#include "cli/classify.h"
#include "tensor/safetensors.h"
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct wish {
    const char *file, *data, *logits;
    long batch, count;
    struct ln__list sets;
};

/* What --set may change. */
struct settings {
    struct {
        struct ln_choice set;
        const char *dir;
    } data;
    struct {
        int64_t batch;
    } eval;
};
#define IN_DATA(member) (offsetof(struct settings, data.member) - offsetof(struct settings, data))
static const struct ln_option data_options[] = {
    {.key = "set", .type = LN_OPT_PLUGIN, .offset = IN_DATA(set), .kind = LN_KIND_DATASET, .fallback = "", .help = "the data set"},
    {.key = "dir", .type = LN_OPT_TEXT, .offset = IN_DATA(dir), .fallback = "data", .help = "folder of the data sets"},
    {0}};
static const struct ln_option eval_options[] = {
    {.key = "batch", .type = LN_OPT_INT, .fallback = "100", .min = 1, .max = 65536, .help = "samples a batch"}, {0}};
static const struct ln_option settings_options[] = {{.key = "data",
                                                     .type = LN_OPT_TABLE,
                                                     .offset = offsetof(struct settings, data),
                                                     .fallback = "{}",
                                                     .table = data_options,
                                                     .row_size = sizeof(((struct settings *)0)->data),
                                                     .help = "what is tested on"},
                                                    {.key = "eval",
                                                     .type = LN_OPT_TABLE,
                                                     .offset = offsetof(struct settings, eval),
                                                     .fallback = "{}",
                                                     .table = eval_options,
                                                     .row_size = sizeof(((struct settings *)0)->eval),
                                                     .help = "how"},
                                                    {0}};

static int open_settings(const struct ln__cli *cli, const struct wish *wish, struct ln__conf **conf, struct settings *out, struct ln_fault *fault)
{
    int code = ln__conf_parse("{}", 2, "arguments", conf, fault);
    for (size_t i = 0; i < wish->sets.count && !code; i++)
        code = ln__conf_set(*conf, wish->sets.item[i], fault);
    if (!code)
        code = ln__conf_bind(*conf, cli->catalog, settings_options, sizeof *out, out, fault);
    if (!code && wish->data)
        out->data.dir = wish->data;
    if (!code && wish->batch)
        out->eval.batch = wish->batch;
    return code;
}

/* The first samples as the model saw them, and what it said: "input", "label", "logits". */
static int write_logits(struct ln__classify *classify, const struct ln__set *set, const char *path, uint32_t count, struct ln_fault *fault)
{
    struct ln__shape in = ln__graph_input(classify->graph);
    size_t classes = (size_t)ln__graph_classes(classify->graph), pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    count = count < set->split[LN__TEST].count ? count : set->split[LN__TEST].count;
    float *x = ln__mem_zero(count * pixels, sizeof *x), *logits = ln__mem_zero(count * classes, sizeof *logits);
    int32_t *label = ln__mem_zero(count, sizeof *label);
    int code = x && logits && label ? LN_OK : ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %u samples", path, count);
    for (uint32_t from = 0; from < count && !code;) {
        int n = count - from < (uint32_t)classify->batch ? (int)(count - from) : classify->batch;
        const struct ln__batch_args batch = {.set = set, .split = LN__TEST, .first = from};
        ln__batch_fill(&batch, n, classify->x, classify->label);
        ln__classify_run(classify, n);
        for (size_t i = 0; i < (size_t)n * pixels; i++)
            x[from * pixels + i] = classify->x[i];
        for (size_t i = 0; i < (size_t)n * classes; i++)
            logits[from * classes + i] = classify->logits[i];
        for (int i = 0; i < n; i++)
            label[from + (uint32_t)i] = classify->label[i];
        from += (uint32_t)n;
    }
    const struct ln__safe_tensor tensor[] = {{"input", LN__F32, 4, {count, in.c, in.h, in.w}, x, count * pixels * sizeof *x},
                                             {"logits", LN__F32, 2, {count, (int64_t)classes}, logits, count * classes * sizeof *logits},
                                             {"label", LN__I32, 1, {count}, label, count * sizeof *label}};
    if (!code)
        code = ln__safe_write(path, tensor, sizeof tensor / sizeof *tensor, NULL, 0, fault);
    ln__mem_free(x);
    ln__mem_free(logits);
    ln__mem_free(label);
    return code;
}

static int print_score(const struct ln__cli *cli, const struct ln__score *score, const struct ln__set *set, const struct ln__weights_about *about)
{
    double accuracy = score->samples ? (double)score->correct / score->samples : 0, loss = score->samples ? score->loss / score->samples : 0;
    const char *const *name = about->class_name ? about->class_name : set->classes == about->args.classes ? set->class_name : NULL;
    if (cli->json) {
        json_t *rows = json_array();
        for (int c = 0; c < set->classes; c++)
            json_array_append_new(rows, json_pack("{s:i, s:s, s:I, s:I}", "class", c, "name", name ? name[c] : "", "samples",
                                                  (json_int_t)score->of_class[c], "correct", (json_int_t)score->correct_of_class[c]));
        json_t *all = json_pack("{s:s, s:s, s:s, s:I, s:f, s:o, s:o}", "model", about->model.plugin->name, "norm",
                                about->args.norm == LN__NORM_RUNNING ? "running" : "batch", "set", set->name, "samples", (json_int_t)score->samples,
                                "accuracy", accuracy, "loss", isfinite(loss) ? json_real(loss) : json_null(), "classes", rows);
        int failed = !all || json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) != 0;
        putchar('\n');
        json_decref(all);
        return failed ? LN_EIO : LN_OK;
    }
    static const char *const columns[] = {">class", "name", ">samples", ">accuracy"};
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    for (int c = 0; c < set->classes; c++) {
        char text[32];
        double right = score->of_class[c] ? (double)score->correct_of_class[c] / score->of_class[c] : 0;
        snprintf(text, sizeof text, score->of_class[c] ? "%.2f %%" : "-", 100 * right);
        ln__table_number(table, c, NULL);
        ln__table_text(table, "%s", name ? name[c] : "");
        ln__table_number(table, score->of_class[c], NULL);
        ln__table_number(table, right, text);
    }
    int code = cli->quiet ? (ln__table_free(table), LN_OK) : ln__table_print(table, cli);
    char shown[40];
    snprintf(shown, sizeof shown, isfinite(loss) ? "%.4f" : "-", loss);
    printf("accuracy %.2f %% (%u of %u), loss %s: %s, norm %s, on %s\n", 100 * accuracy, score->correct, score->samples, shown,
           about->model.plugin->name, about->args.norm == LN__NORM_RUNNING ? "running" : "batch", set->name);
    return code;
}

static int score_set(const struct ln__cli *cli, const struct wish *wish, const struct ln__weights *weights, const struct ln__set *set, int batch,
                     struct ln_fault *fault)
{
    struct ln__pool *pool = NULL;
    struct ln__classify classify = {0};
    struct ln__score score = {0};
    int code = ln__set_fits(set, weights->graph, fault);
    if (!code && ln__pool_new(ln__cli_threads(), &pool))
        code = ln_fault_set(fault, LN_ENOMEM, "no memory for threads");
    if (!code)
        code = ln__classify_open(weights->graph, &weights->about.sparsity, cli->kset, pool, batch, &classify, fault);
    size_t classes = (size_t)ln__graph_classes(weights->graph);
    if (!code) {
        score.of_class = ln__mem_zero(2 * classes, sizeof *score.of_class);
        score.correct_of_class = score.of_class ? score.of_class + classes : NULL;
        code = score.of_class ? LN_OK : ln_fault_set(fault, LN_ENOMEM, "no memory for %zu classes", classes);
    }
    if (!code) {
        ln__net_load(classify.net, weights->state);
        code = ln__classify_score(&classify, set, cli->stop, !cli->quiet, &score);
        ln__progress_end();
    }
    if (!code && wish->logits)
        code = write_logits(&classify, set, wish->logits, (uint32_t)wish->count, fault);
    if (!code)
        code = print_score(cli, &score, set, &weights->about);
    ln__mem_free(score.of_class);
    ln__classify_close(&classify);
    ln__pool_free(pool);
    return code;
}

static int eval_wish(const struct ln__cli *cli, const struct wish *wish, struct ln_fault *fault)
{
    char path[PATH_MAX];
    struct ln__conf *conf = NULL;
    struct settings settings;
    struct ln__weights weights = {0};
    struct ln__set set = {0};
    int code = open_settings(cli, wish, &conf, &settings, fault);
    if (!code)
        code = ln__model_path(wish->file, path, sizeof path, fault);
    if (!code)
        code = ln__weights_open(path, cli->catalog, &weights, fault);
    const struct ln_choice *choice = !code && !settings.data.set.plugin ? &weights.about.set : &settings.data.set;
    if (!code && !choice->plugin)
        code = ln_fault_set(fault, LN_ECONFIG, "%s: does not say which data set it learnt from; name one with --set data.set=NAME", path);
    if (!code)
        code = ln__set_open(choice, settings.data.dir, &set, fault);
    if (!code && weights.about.channels == set.c) { /* as predict does: pixels reach the model as those it learnt from did */
        memcpy(set.mean, weights.about.mean, sizeof set.mean);
        memcpy(set.std, weights.about.std, sizeof set.std);
    }
    if (!code) {
        code = score_set(cli, wish, &weights, &set, (int)settings.eval.batch, fault);
        ln__set_close(&set);
    }
    ln__weights_close(&weights);
    ln__conf_free(conf);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct wish wish = {.count = 100};
    struct ln__list words = {0};
    const struct ln__flag flags[] = {{"set", LN__FLAG_LIST, {.list = &wish.sets}},      {"data", LN__FLAG_TEXT, {.text = &wish.data}},
                                     {"batch", LN__FLAG_COUNT, {.count = &wish.batch}}, {"logits", LN__FLAG_TEXT, {.text = &wish.logits}},
                                     {"count", LN__FLAG_COUNT, {.count = &wish.count}}, {0}};
    int failed = ln__cli_args("eval", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    if (wish.batch > 65536)
        return ln__cli_usage("eval", "--batch %ld: expected at most 65536", wish.batch);
    wish.file = words.item[0];
    ln__cli_catch_signals();
    struct ln_fault fault = {0};
    int code = eval_wish(cli, &wish, &fault);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

const struct ln__command ln__command_eval = {
    .name = "eval",
    .usage = "eval FILE|RUN_DIR [--set data.set=SET] [--data DIR] [--batch N] [--logits OUT [--count N]]",
    .summary = "tests a model: accuracy, loss, accuracy of each class",
    .help = "On the test split of the data set the model learnt from, or of SET (with options: --set 'data.set={kind: folder, path: pictures}').\n"
            "Pixels are normalised as FILE says. Batches are of 100 samples; with norm batch the size counts. --logits writes the inputs as the "
            "model takes them, labels and raw\n"
            "outputs of the first N samples (100) as safetensors.\n",
    .run = run,
};
