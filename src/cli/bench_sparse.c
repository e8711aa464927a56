#include "cli/bench_sparse.h"

#include "base/log.h"
#include "cli/bench_steps.h"
#include "cli/model.h"
#include "kernels/sparse_check.h"
#include "nn/layer.h"
#include "nn/plan.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 10 /* between two searches for thresholds, and in one measurement */
#define ROUNDS 3
#define REPEATS 5

/* The nets of one table: all train in turns, so that each meets the same machine. */
static const struct rival {
    const char *name;
    double sparsity;
    int period;
} rivals[] = {{"dense", 0, 10}, {"90 %", 0.9, 10}, {"90 %", 0.9, 1}, {"95 %", 0.95, 10}, {"95 %", 0.95, 1}};
#define RIVALS (sizeof rivals / sizeof *rivals)

/* Where a step's time goes. */
enum part { SPARSE_FORWARD, SPARSE_BACKWARD, DENSE, NORM, OTHER, UPDATE, PARTS };

static int open_net(const struct ln__cli *cli, int batch, unsigned threads, const struct rival *rival, struct ln__bench *out, struct ln_fault *fault)
{
    char text[16];
    snprintf(text, sizeof text, "%g", rival->sparsity);
    struct ln__conf *conf = NULL;
    struct ln_choice swat;
    int code = ln__bench_swat(cli, text, NULL, rival->period, &conf, &swat, fault);
    if (!code) {
        const struct ln__bench_args args = {.model = "resnet18", .batch = batch, .threads = threads, .kset = cli->kset, .sparsity = &swat};
        code = ln__bench_open(cli, &args, out, fault);
    }
    ln__conf_free(conf);
    return code;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(const double *x, size_t count)
{
    double sorted[ROUNDS];
    memcpy(sorted, x, count * sizeof *x);
    qsort(sorted, count, sizeof *sorted, by_value);
    return sorted[count / 2];
}

/* Seconds of a step of each rival: a search for thresholds and the steps it serves, then the next rival; a first round does not count. */
static void time_rivals(struct ln__bench *net, double took[RIVALS][ROUNDS])
{
    for (int round = -1; round < ROUNDS; round++) {
        for (size_t i = 0; i < RIVALS; i++) {
            double from = ln__clock_mono();
            int steps = round < 0 ? 2 : STEPS;
            for (int k = 0; k < steps; k++)
                ln__bench_step(&net[i], (uint64_t)k);
            if (round >= 0)
                took[i][round] = (ln__clock_mono() - from) / steps;
        }
    }
}

static int time_parts(struct ln__bench *net, double part[PARTS])
{
    double forward[LN__NODES], backward[LN__NODES], whole, rest;
    int code = ln__bench_layers(net, STEPS, forward, backward, &whole);
    rest = whole;
    for (int i = 0; i < PARTS; i++)
        part[i] = 0;
    for (int i = 0; i < net->plan->steps && !code; i++) {
        const struct ln__plan_step *step = &net->plan->step[i];
        const char *kind = net->graph->node[step->node].layer->name;
        double ahead = forward[step->node], back = backward[step->node];
        rest -= ahead + back;
        if (step->sparse.set) {
            part[SPARSE_FORWARD] += ahead;
            part[SPARSE_BACKWARD] += back;
        } else {
            part[strcmp(kind, "batchnorm") == 0 ? NORM : strcmp(kind, "conv2d") == 0 || strcmp(kind, "linear") == 0 ? DENSE : OTHER] += ahead + back;
        }
    }
    part[UPDATE] = rest;
    return code;
}

static void add_rival(struct ln__table *table, const struct rival *rival, const struct ln__bench *net, double took[RIVALS][ROUNDS], size_t i,
                      const double part[PARTS])
{
    char shown[32];
    double step = median(took[i], ROUNDS), gain[ROUNDS], sum = 0;
    for (int k = 0; k < ROUNDS; k++)
        gain[k] = took[0][k] / took[i][k];
    ln__table_text(table, "%s", rival->name);
    ln__table_text(table, "%s", ln__plan_kernels(net->plan));
    ln__table_number(table, net->batch, NULL);
    ln__table_number(table, ln__pool_width(net->pool), NULL);
    ln__table_number(table, rival->period, i == 0 ? "" : NULL);
    ln__table_number(table, step, ln__show_time(step, shown));
    snprintf(shown, sizeof shown, "%.2f", median(gain, ROUNDS));
    ln__table_number(table, median(gain, ROUNDS), shown);
    for (int k = 0; k < PARTS; k++)
        sum += part[k];
    for (int k = 0; k < PARTS; k++) {
        snprintf(shown, sizeof shown, "%.0f %%", 100 * part[k] / sum);
        ln__table_number(table, part[k] / sum, shown);
    }
}

static int bench_case(const struct ln__cli *cli, int batch, unsigned threads, struct ln__table *table, struct ln_fault *fault)
{
    struct ln__bench net[RIVALS] = {0};
    double took[RIVALS][ROUNDS], part[PARTS];
    int code = LN_OK;
    for (size_t i = 0; i < RIVALS && !code; i++)
        code = open_net(cli, batch, threads, &rivals[i], &net[i], fault);
    if (!code)
        time_rivals(net, took);
    for (size_t i = 0; i < RIVALS && !code; i++) {
        code = time_parts(&net[i], part);
        if (code)
            ln_fault_set(fault, code, "no memory to time the layers");
        else
            add_rival(table, &rivals[i], &net[i], took, i, part);
    }
    for (size_t i = 0; i < RIVALS; i++)
        ln__bench_close(&net[i]);
    return code;
}

int ln__bench_sparse_steps(struct ln__cli *cli, long threads, long batch, struct ln_fault *fault)
{
    static const char *const columns[] = {
        "resnet18",         "kernels",       ">batch", ">threads", ">period",      ">step", ">times dense", ">top-K, lists, forward",
        ">sparse backward", ">dense layers", ">norms", ">other",   ">update, loss"};
    const int batches[] = {batch ? (int)batch : 10, 32};
    const unsigned widths[] = {threads ? (unsigned)threads : 1, 2};
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    int code = LN_OK;
    for (int b = 0; b < (batch ? 1 : 2); b++) {
        for (int w = 0; w < (threads ? 1 : 2) && !code; w++) {
            ln__progress("bench", "cases", (double)(2 * b + w), 4, "resnet18");
            code = bench_case(cli, batches[b], widths[w], table, fault);
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
        snprintf(shown, sizeof shown, "%.3f (%.0f %%)", part[i], 100 * (i < 2 ? part[i] / STEPS : part[i]) / (rare + often));
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
