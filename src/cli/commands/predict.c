#include "base/file.h"
#include "base/log.h"
#include "cli/classify.h"
#include "data/formats.h"
#include "nn/layer.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>

#define BATCH 64
#define TOP 5

/* One picture's pixels as the model takes them. */
static int read_picture(const char *path, const struct ln__weights_about *about, bool resize, float *x, struct ln_fault *fault)
{
    struct ln__buf bytes;
    struct ln__image image = {0};
    struct ln__shape in = about->args.input;
    size_t plane = (size_t)in.h * (size_t)in.w, pixels = plane * (size_t)in.c;
    uint8_t *byte = NULL;
    float scale[4] = {0}, shift[4] = {0}; /* as ln__batch_fill does it */
    for (int c = 0; c < in.c && c < 4; c++) {
        scale[c] = 1.0F / (255.0F * about->std[c]);
        shift[c] = -about->mean[c] / about->std[c];
    }
    ln__buf_init(&bytes, LN__IMAGE_BYTES_MAX);
    int code = ln__file_read(path, LN__IMAGE_BYTES_MAX, &bytes, fault);
    if (!code)
        code = ln__image_decode(bytes.data, bytes.size, path, &image, fault);
    if (!code && !resize && (image.h != in.h || image.w != in.w))
        code = ln_fault_set(fault, LN_ESHAPE, "%s: %d x %d pixels where the model takes %d x %d (height x width); --resize brings it to that", path,
                            image.h, image.w, in.h, in.w);
    if (!code && !(byte = ln__mem_alloc(pixels)))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its pixels", path);
    if (!code)
        ln__image_planes(&image, in.c, in.h, in.w, byte);
    for (size_t i = 0; i < pixels && !code; i++)
        x[i] = (float)byte[i] * scale[i / plane] + shift[i / plane];
    ln__mem_free(byte);
    ln__image_fini(&image);
    ln__buf_fini(&bytes);
    return code;
}

static void add_rows(struct ln__table *table, const char *path, const struct ln__weights_about *about, const float *logits, double *share)
{
    int classes = about->args.classes;
    double most = -INFINITY, sum = 0;
    for (int c = 0; c < classes; c++)
        most = (double)logits[c] > most ? (double)logits[c] : most;
    for (int c = 0; c < classes; c++)
        sum += share[c] = exp((double)logits[c] - most);
    for (int rank = 0; rank < TOP && rank < classes; rank++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = share[c] > share[best] ? c : best;
        char text[32];
        snprintf(text, sizeof text, "%.2f %%", 100 * share[best] / sum);
        ln__table_text(table, "%s", path);
        ln__table_number(table, rank + 1, NULL);
        ln__table_number(table, best, NULL);
        ln__table_text(table, "%s", about->class_name ? about->class_name[best] : "");
        ln__table_number(table, share[best] / sum, text);
        share[best] = -1;
    }
}

/* Whether a norm uses the statistics of the pictures themselves. */
static bool sees_batch(const struct ln__graph *graph)
{
    bool found = false;
    for (int i = 0; i < graph->nodes; i++)
        found |= graph->node[i].layer == &ln__layer_batchnorm;
    return found && graph->norm == LN__NORM_BATCH;
}

static int predict(const struct ln__cli *cli, const struct ln__weights *weights, const struct ln__list *words, bool resize, struct ln_fault *fault)
{
    static const char *const columns[] = {"image", ">rank", ">class", "name", ">probability"};
    const struct ln__weights_about *about = &weights->about;
    struct ln__shape in = about->args.input;
    size_t pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w, classes = (size_t)about->args.classes, count = words->count - 1;
    if (in.c != 1 && in.c != 3)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "%s: the model takes %d channels; pictures have 1 (grey) or 3 (colour)", words->item[0], in.c);
    if (about->channels != in.c)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "%s: does not say how pixels are normalised; import it with --mean and --std", words->item[0]);
    if (sees_batch(weights->graph))
        ln__log(LN__LOG_WARN,
                "norm batch: what is said of a picture depends on the others given with it (%zu, %d at a time); many do better than few", count,
                BATCH);
    struct ln__pool *pool = NULL;
    struct ln__classify classify = {0};
    double *share = ln__mem_zero(classes, sizeof *share);
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    int code = share && !ln__pool_new(ln__cli_threads(), &pool) ? LN_OK : ln_fault_set(fault, LN_ENOMEM, "no memory to begin");
    if (!code)
        code = ln__classify_open(weights->graph, &weights->about.sparsity, cli->kset, pool, count < BATCH ? (int)count : BATCH, &classify, fault);
    if (!code)
        ln__net_load(classify.net, weights->state);
    for (size_t from = 0; from < count && !code;) {
        int n = 0;
        for (; n < classify.batch && from + (size_t)n < count && !code; n++)
            code = read_picture(words->item[1 + from + (size_t)n], about, resize, classify.x + (size_t)n * pixels, fault);
        if (!code)
            ln__classify_run(&classify, n);
        for (int i = 0; i < n && !code; i++)
            add_rows(table, words->item[1 + from + (size_t)i], about, classify.logits + (size_t)i * classes, share);
        from += (size_t)n;
    }
    if (code)
        ln__table_free(table);
    else
        code = ln__table_print(table, cli);
    ln__mem_free(share);
    ln__classify_close(&classify);
    ln__pool_free(pool);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    bool resize = false;
    const struct ln__flag flags[] = {{"resize", LN__FLAG_SET, {.set = &resize}}, {0}};
    int failed = ln__cli_args("predict", argc, argv, flags, &words, 2, LN__ARGS_MAX);
    if (failed)
        return failed;
    char path[PATH_MAX];
    struct ln_fault fault = {0};
    struct ln__weights weights = {0};
    int code = ln__model_path(words.item[0], path, sizeof path, &fault);
    if (!code)
        code = ln__weights_open(path, cli->catalog, &weights, &fault);
    if (!code)
        code = predict(cli, &weights, &words, resize, &fault);
    ln__weights_close(&weights);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

const struct ln__command ln__command_predict = {
    .name = "predict",
    .usage = "predict FILE|RUN_DIR IMAGE... [--resize]",
    .summary = "says what is in pictures: the five likeliest classes",
    .help =
        "Pictures are PNG or PPM/PGM. One of another size than the model's is an error unless --resize (bilinear; the shape is not kept). Grey and\n"
        "colour become what the model takes. A model of norm batch uses the statistics of the pictures given: name many (255 at\n"
        "most), or train with norm running.\n",
    .run = run,
};
