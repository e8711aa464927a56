#include "cli/bench_sparse.h"

#include "base/log.h"
#include "cli/bench_steps.h"
#include "cli/model.h"
#include "kernels/sparse_check.h"

#include <stdlib.h>

#define STEPS 10 /* between two searches for thresholds, and in one measurement */
#define FOR_S 2.0
#define REPEATS 5

static void ten_steps(void *context, uint64_t number)
{
    for (uint64_t i = 0; i < STEPS; i++)
        ln__bench_step(context, number * STEPS + i);
}

/* Seconds of one step, the searches in their share; sparsity 0: dense. Clients' nets train from a load on, so the first steps count too. */
static int time_step(const struct ln__cli *cli, int batch, unsigned threads, double sparsity, int period, double *out, struct ln_fault *fault)
{
    char text[16];
    snprintf(text, sizeof text, "%g", sparsity);
    struct ln__conf *conf = NULL;
    struct ln_choice swat;
    struct ln__bench bench = {0};
    int code = ln__bench_swat(cli, text, period, &conf, &swat, fault);
    if (!code) {
        const struct ln__bench_args args = {.model = "resnet18", .batch = batch, .threads = threads, .kset = cli->kset, .sparsity = &swat};
        code = ln__bench_open(cli, &args, &bench, fault);
    }
    if (!code)
        *out = ln__bench_time(ten_steps, &bench, FOR_S) / STEPS;
    ln__bench_close(&bench);
    ln__conf_free(conf);
    return code;
}

static void add_step(struct ln__table *table, const char *what, int batch, unsigned threads, const double *took, double dense)
{
    char shown[32];
    ln__table_text(table, "%s", what);
    ln__table_number(table, batch, NULL);
    ln__table_number(table, threads, NULL);
    for (int i = 0; i < 2; i++) {
        ln__table_number(table, took[i], ln__show_time(took[i], shown));
        snprintf(shown, sizeof shown, "%.2f", dense / took[i]);
        ln__table_number(table, dense / took[i], shown);
    }
}

int ln__bench_sparse_steps(struct ln__cli *cli, long threads, long batch, struct ln_fault *fault)
{
    static const char *const columns[] = {"resnet18", ">batch", ">threads", ">step, period 10", ">times dense", ">step, period 1", ">times dense "};
    static const double sparsities[] = {0, 0.9, 0.95};
    static const char *const names[] = {"dense", "90 %", "95 %"};
    const int batches[] = {batch ? (int)batch : 10, 32};
    const unsigned widths[] = {threads ? (unsigned)threads : 1, 2};
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    int code = LN_OK;
    for (int b = 0; b < (batch ? 1 : 2); b++) {
        for (int w = 0; w < (threads ? 1 : 2); w++) {
            double dense = 0;
            for (int s = 0; s < 3 && !code; s++) {
                double took[2];
                ln__progress("bench", "steps", (double)(b * 6 + w * 3 + s), 12, names[s]);
                code = time_step(cli, batches[b], widths[w], sparsities[s], STEPS, &took[0], fault);
                took[1] = took[0];
                if (!code && s > 0)
                    code = time_step(cli, batches[b], widths[w], sparsities[s], 1, &took[1], fault);
                dense = s == 0 ? took[0] : dense;
                if (!code)
                    add_step(table, names[s], batches[b], widths[w], took, dense);
            }
        }
    }
    ln__progress_end();
    int unsaid = ln__table_print(table, cli);
    return code ? code : unsaid;
}

static void add_times(struct ln__table *table, const struct ln__sparse_layer *layer, double sparsity, const struct ln__sparse_times *t)
{
    const double part[] = {t->topk_weights, t->topk_activations, t->compact, t->forward, t->input_grad, t->weight_grad};
    double rare = (part[0] + part[1]) / STEPS, often = part[2] + part[3] + part[4] + part[5];
    double dense = t->dense_forward + t->dense_input_grad + t->dense_weight_grad;
    char shown[32];
    ln__table_text(table, "%s", layer->name);
    ln__table_number(table, layer->count, NULL);
    snprintf(shown, sizeof shown, "%g %%", 100 * sparsity);
    ln__table_number(table, sparsity, shown);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        snprintf(shown, sizeof shown, "%.3f", part[i]);
        ln__table_number(table, part[i], shown);
    }
    const double sums[] = {dense, rare + often, dense / (rare + often), dense / (part[0] + part[1] + often)};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        snprintf(shown, sizeof shown, i < 2 ? "%.3f" : "%.2f", sums[i]);
        ln__table_number(table, sums[i], shown);
    }
}

int ln__bench_sparse_layers(struct ln__cli *cli, long threads, long batch, struct ln_fault *fault)
{
    static const char *const columns[] = {"layer",     ">times",      ">sparsity",    ">top-K w",  ">top-K x",  ">compact ms", ">forward ms",
                                          ">input ms", ">weights ms", ">dense all 3", ">all, p10", ">gain p10", ">gain p1"};
    char name[32];
    snprintf(name, sizeof name, "sparse-%.20s", cli->kset->name);
    const struct ln__sparse_kset *set = ln__sparse_kset_named(name);
    struct ln__pool *pool = NULL;
    if (!set || ln__pool_new(threads ? (unsigned)threads : 1, &pool))
        return ln_fault_set(fault, set ? LN_ENOMEM : LN_EUNSUPPORTED, "%s: no sparse kernels, or no memory for threads", cli->kset->name);
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    size_t count;
    const struct ln__sparse_layer *layer = ln__sparse_resnet18(&count);
    int code = LN_OK;
    for (size_t i = 0; i < count && !code; i++) {
        for (double sparsity = 0.9; sparsity < 0.96 && !code && !layer[i].dense; sparsity += 0.05) {
            const struct ln__sparse_case one = {
                .conv = layer[i].conv, .n = batch ? (int)batch : 32, .weights = sparsity, .activations = sparsity, .cap = SIZE_MAX};
            struct ln__sparse_times took;
            ln__progress("bench", "layers", (double)i, (double)count, layer[i].name);
            code = ln__sparse_time(set, cli->kset, &one, REPEATS, pool, &took);
            if (code)
                ln_fault_set(fault, code, "%s: no memory", layer[i].name);
            else
                add_times(table, &layer[i], sparsity, &took);
        }
    }
    ln__progress_end();
    ln__pool_free(pool);
    int unsaid = ln__table_print(table, cli);
    return code ? code : unsaid;
}
