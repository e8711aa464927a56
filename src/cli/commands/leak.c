#include "cli/leak.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dash/report.h"
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wish {
    const char *recipe, *out, *noise;
    long cuts, steps, samples;
    struct ln__list sets;
};

static const char *const codecs[] = {"f32", "q8", "q4"};

/* Bytes as text for JSON: four characters for three bytes. */
static json_t *coded(const unsigned char *bytes, size_t size)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = ln__mem_alloc((size + 2) / 3 * 4 + 1), *at = text;
    if (!text)
        return json_null();
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) | (i + 2 < size ? bytes[i + 2] : 0);
        for (int k = 0; k < 4; k++)
            *at++ = i + (size_t)k > size ? '=' : digit[three >> (18 - 6 * k) & 63];
    }
    *at = 0;
    json_t *value = json_string(text);
    ln__mem_free(text);
    return value;
}

struct job {
    struct ln__cli *cli;
    const struct wish *wish;
    const struct ln__env *env;
    struct ln__pool *pool;
    struct ln_choice optimizer;
    double noise;
    struct ln__table *table;
    json_t *rows, *original;
};

static int probe(struct job *job, int cut, const char *name, double noise, struct ln_fault *fault)
{
    struct ln__conf *conf;
    struct ln_choice codec;
    struct ln__leak leak;
    struct ln__cut at;
    char shown[32];
    int code = ln__graph_cut(job->env->graph, cut, &at);
    if (!code)
        code = ln__choice_open(job->cli, LN_KIND_CODEC, name, &conf, &codec, fault);
    if (code)
        return code;
    const struct ln__leak_args args = {.env = job->env,
                                       .pool = job->pool,
                                       .stop = job->cli->stop,
                                       .cut = cut,
                                       .codec = &codec,
                                       .noise = noise,
                                       .optimizer = &job->optimizer,
                                       .steps = (uint32_t)job->wish->steps,
                                       .samples = (uint32_t)job->wish->samples};
    code = ln__leak_measure(&args, &leak, fault);
    ln__conf_free(conf);
    if (code)
        return code;
    size_t size = (size_t)LN__LEAK_SHOWN * 3 * (size_t)job->env->set.h * (size_t)job->env->set.w;
    ln__table_number(job->table, cut, NULL);
    ln__table_text(job->table, "%s", at.name);
    ln__table_text(job->table, "%s", name);
    ln__table_number(job->table, noise, NULL);
    snprintf(shown, sizeof shown, "%.1f dB", leak.psnr);
    ln__table_number(job->table, leak.psnr, shown);
    snprintf(shown, sizeof shown, "%.3f", leak.ssim);
    ln__table_number(job->table, leak.ssim, shown);
    if (!job->original)
        job->original = coded(leak.original, size);
    json_array_append_new(job->rows, json_pack("{s:i, s:s, s:s, s:f, s:f, s:f, s:f, s:o}", "cut", cut, "name", at.name, "codec", name, "noise", noise,
                                               "bits", leak.bits, "psnr", leak.psnr, "ssim", leak.ssim, "pictures", coded(leak.drawn, size)));
    ln__mem_free(leak.original);
    ln__mem_free(leak.drawn);
    return LN_OK;
}

static int probe_all(struct job *job, struct ln_fault *fault)
{
    int cuts = ln__graph_cuts(job->env->graph), levels = job->noise > 0 ? 2 : 1, done = 0;
    cuts = cuts < job->wish->cuts ? cuts : (int)job->wish->cuts;
    for (int cut = 1; cut <= cuts; cut++) {
        for (int level = 0; level < levels; level++) {
            for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
                struct ln_fault why = {0};
                ln__progress("leak", "decoders", done++, (double)cuts * levels * 3, codecs[c]);
                int code = probe(job, cut, codecs[c], level ? job->noise : 0, &why);
                if (code == LN_ESHAPE && c == 0 && level == 0)
                    ln__log(LN__LOG_WARN, "%s: passed over", why.text);
                if (code && code != LN_ESHAPE)
                    return ln_fault_set(fault, code, "%s", why.text);
            }
        }
    }
    return LN_OK;
}

/* leak.json in the folder, and the report again where one can be made. */
static int save(const struct job *job, struct ln_fault *fault)
{
    char path[PATH_MAX];
    const char *dir = job->wish->out;
    json_t *all = json_pack("{s:i, s:i, s:i, s:I, s:I, s:O, s:O}", "height", job->env->set.h, "width", job->env->set.w, "shown", LN__LEAK_SHOWN,
                            "steps", (json_int_t)job->wish->steps, "samples", (json_int_t)job->wish->samples, "original",
                            job->original ? job->original : json_null(), "rows", job->rows);
    char *text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(all);
    int code = text ? ln__file_mkdirs(dir, fault) : ln_fault_set(fault, LN_ENOMEM, "no memory for the pictures");
    if (!code && ln__file_join(path, sizeof path, dir, "leak.json"))
        code = ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (!code)
        code = ln__file_replace(path, &(struct ln__piece){text, strlen(text)}, 1, fault);
    ln__mem_free_outer(text);
    if (!code && !ln__file_join(path, sizeof path, dir, "metrics.jsonl") && ln__file_exists(path))
        code = ln__report_write(dir, fault);
    return code;
}

static int run_wish(struct ln__cli *cli, const struct wish *wish, double noise, struct ln_fault *fault)
{
    static const char *const columns[] = {">cut", "where", "codec", ">noise", ">PSNR", ">SSIM"};
    struct ln__loaded loaded;
    struct ln__conf *conf = NULL;
    struct ln__blobs *blobs = NULL;
    struct ln__env env = {0};
    struct job job = {.cli = cli, .wish = wish, .env = &env, .noise = noise};
    char path[PATH_MAX];
    if (wish->out && (ln__file_join(path, sizeof path, wish->out, "recipe.yaml") || !ln__file_exists(path)))
        return ln_fault_set(fault, LN_ECONFIG, "--out %.200s: no run's folder, it has no recipe.yaml", wish->out);
    int code = ln__loaded_open(cli, wish->recipe, &wish->sets, &loaded, fault);
    if (code)
        return code;
    code = ln__blobs_open(NULL, 0, &blobs, fault);
    if (!code)
        code = ln__env_open(&loaded.recipe, cli->catalog, cli->kset, blobs, &env, fault);
    if (!code)
        code = ln__choice_open(cli, LN_KIND_OPTIMIZER, "adam", &conf, &job.optimizer, fault);
    if (!code && ln__pool_new(ln__cli_threads(), &job.pool))
        code = ln_fault_set(fault, LN_ENOMEM, "no memory for threads");
    if (!code) {
        job.table = ln__table_new(columns, sizeof columns / sizeof *columns);
        job.rows = json_array();
        code = probe_all(&job, fault);
        ln__progress_end();
        if (!code && json_array_size(job.rows) == 0)
            code = ln_fault_set(fault, LN_ECONFIG, "%s has no cut point from whose activations pictures can be drawn",
                                loaded.recipe.model.name.plugin->name);
        int unsaid = ln__table_print(job.table, cli);
        if (!code && wish->out)
            code = save(&job, fault);
        if (!code && wish->out)
            ln__log(LN__LOG_INFO, "%s/leak.json and report.html", wish->out);
        code = code ? code : unsaid;
        json_decref(job.rows);
        json_decref(job.original);
    }
    ln__pool_free(job.pool);
    ln__conf_free(conf);
    if (env.graph)
        ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__loaded_close(&loaded);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct wish wish = {.cuts = 4, .steps = 400, .samples = 5000};
    struct ln__list words = {0};
    const struct ln__flag flags[] = {{"set", LN__FLAG_LIST, {.list = &wish.sets}},
                                     {"out", LN__FLAG_TEXT, {.text = &wish.out}},
                                     {"noise", LN__FLAG_TEXT, {.text = &wish.noise}},
                                     {"cuts", LN__FLAG_COUNT, {.count = &wish.cuts}},
                                     {"steps", LN__FLAG_COUNT, {.count = &wish.steps}},
                                     {"samples", LN__FLAG_COUNT, {.count = &wish.samples}},
                                     {0}};
    int failed = ln__cli_args("leak", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    char *end = NULL;
    double noise = wish.noise ? strtod(wish.noise, &end) : 0;
    if (wish.noise && (end == wish.noise || *end || !(noise >= 0 && noise <= 100)))
        return ln__cli_usage("leak", "--noise %.40s: expected a number from 0 to 100", wish.noise);
    wish.recipe = words.item[0];
    struct ln_fault fault = {0};
    ln__cli_catch_signals();
    int code = run_wish(cli, &wish, noise, &fault);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

const struct ln__command ln__command_leak = {
    .name = "leak",
    .usage = "leak RECIPE [--set KEY=VALUE]... [--cuts N] [--noise X] [--steps N] [--samples N] [--out RUN]",
    .summary = "what activations give away: pictures drawn from them by a small decoder",
    .help =
        "For the first cuts of the recipe's model, with its first weights, as 32-bit floats, bytes and half bytes: a decoder of three convolutions "
        "learns\n"
        "to draw pictures from what crosses, on training pictures, and draws test pictures it never saw. PSNR and SSIM say how well: high is bad. "
        "What a\n"
        "better decoder could draw is not measured. --noise X adds rows with noise on the activations, X parts of their root mean square (method\n"
        "ecofed's noise). --out writes leak.json into a run's folder and the pictures into its report.\n",
    .run = run,
};
