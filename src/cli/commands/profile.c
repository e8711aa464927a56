#include "base/log.h"
#include "cli/bench_steps.h"
#include "cli/json.h"
#include "cli/model.h"
#include "nn/plan.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

struct times {
    double *forward, *backward; /* seconds, per node */
};

static double resident_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? 1024.0 * (double)usage.ru_maxrss : 0;
}

static void step(void *context, uint64_t number)
{
    ln__bench_step(context, number);
}

static void forward(void *context, uint64_t number)
{
    (void)number;
    ln__bench_forward(context);
}

static struct ln__table *layers_of(const struct ln__cli *cli, const struct ln__bench *bench, const struct times *times)
{
    static const char *const columns[] = {"layer", "kind", "output", ">parameters", ">MACs", ">forward", ">backward", ">share"};
    const struct ln__graph *graph = bench->graph;
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    double all = 0;
    for (int i = 1; i < graph->nodes; i++)
        all += times->forward[i] + times->backward[i];
    for (int i = 1; i < graph->nodes; i++) {
        const struct ln__node *node = &graph->node[i];
        double params = 0, both = times->forward[i] + times->backward[i];
        char shown[32];
        for (int k = 0; k < node->params; k++)
            params += graph->param[node->param[k]].buffer ? 0 : (double)graph->param[node->param[k]].count;
        if (node->layer->view && !cli->json)
            continue;
        ln__table_text(table, "%s", node->name);
        ln__table_text(table, "%s", bench->inner[i] ? bench->inner[i]->name : node->layer->name);
        ln__table_text(table, "%dx%dx%d", node->shape.c, node->shape.h, node->shape.w);
        ln__table_number(table, params, params > 0 ? NULL : "");
        ln__table_number(table, (double)node->macs, node->macs ? ln__show_count((double)node->macs, shown) : "");
        ln__table_number(table, times->forward[i], both > 0 ? ln__show_time(times->forward[i], shown) : "fused");
        ln__table_number(table, times->backward[i], both > 0 ? ln__show_time(times->backward[i], shown) : "");
        snprintf(shown, sizeof shown, "%.1f %%", all > 0 ? 100 * both / all : 0);
        ln__table_number(table, all > 0 ? both / all : 0, both > 0 ? shown : "");
    }
    return table;
}

/* Seconds and bytes. */
struct totals {
    double step, test, before, peak;
    struct ln__plan_memory plan;
    uint64_t macs, macs_train;
    size_t parameters;
};

static int print_json(const struct ln__bench_args *args, const struct ln__bench *bench, struct ln__table *layers, const struct totals *totals)
{
    const struct ln__plan_memory *plan = &totals->plan;
    json_t *planned =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)plan->total, "weights", (json_int_t)plan->weights, "gradients",
                  (json_int_t)plan->gradients, "optimizer", (json_int_t)plan->optimizer, "activations", (json_int_t)plan->activations,
                  "activations_unshared", (json_int_t)plan->activations_unshared, "scratch", (json_int_t)plan->scratch);
    return ln__json_print(json_pack("{s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:f, s:f, s:o, s:f, s:f, s:o}", "model", args->model, "batch", args->batch,
                                    "kernels", ln__plan_kernels(bench->plan), "threads", (int)args->threads, "parameters",
                                    (json_int_t)totals->parameters, "macs", (json_int_t)totals->macs, "macs_train", (json_int_t)totals->macs_train,
                                    "step_s", totals->step, "test_s", totals->test, "planned", planned, "peak_bytes", totals->peak,
                                    "peak_bytes_before", totals->before, "layers", ln__json_table(layers)));
}

static int print_people(const struct ln__cli *cli, const struct ln__bench_args *args, const struct ln__bench *bench, struct ln__table *layers,
                        const struct totals *totals)
{
    const struct ln__plan_memory *plan = &totals->plan;
    char text[6][32];
    int code = ln__table_print(layers, cli);
    if (code)
        return code;
    printf("\n%s: %zu parameters, %s MACs forward and %s a training step, per sample\n", args->model, totals->parameters,
           ln__show_count((double)totals->macs, text[0]), ln__show_count((double)totals->macs_train, text[1]));
    printf("batch %d, %s kernels, %u thread%s: step %s (%.0f images/s, %.1f GMAC/s), test %s (%.0f images/s)\n", args->batch,
           ln__plan_kernels(bench->plan), args->threads, args->threads == 1 ? "" : "s", ln__show_time(totals->step, text[0]),
           args->batch / totals->step, (double)totals->macs_train * args->batch / totals->step / 1e9, ln__show_time(totals->test, text[1]),
           args->batch / totals->test);
    printf("planned memory: %s = weights %s + gradients %s + optimiser %s + activations %s (%s unshared) + scratch",
           ln__show_bytes((double)plan->total, text[0]), ln__show_bytes((double)plan->weights, text[1]),
           ln__show_bytes((double)plan->gradients, text[2]), ln__show_bytes((double)plan->optimizer, text[3]),
           ln__show_bytes((double)plan->activations, text[4]), ln__show_bytes((double)plan->activations_unshared, text[5]));
    printf(" %s\nreal peak memory: %s, of which %s before the model and the batch\n", ln__show_bytes((double)plan->scratch, text[0]),
           ln__show_bytes(totals->peak, text[1]), ln__show_bytes(totals->before, text[2]));
    return LN_OK;
}

/* *unsaid: the result could not be printed, which is said. */
static int profile(struct ln__cli *cli, const struct ln__bench_args *args, bool *unsaid, struct ln_fault *fault)
{
    struct ln__bench bench;
    struct times times = {0};
    struct totals totals = {.before = resident_peak()};
    int code = ln__bench_open(cli, args, &bench, fault);
    if (!code) {
        double timed;
        const struct ln__segment whole = {0, -1};
        totals.step = ln__bench_time(step, &bench, 1);
        totals.peak = resident_peak();
        totals.test = ln__bench_time(forward, &bench, 0.5);
        totals.macs = ln__segment_macs(bench.graph, whole);
        totals.macs_train = ln__segment_macs_train(bench.graph, whole);
        totals.parameters = ln__graph_trainable(bench.graph);
        ln__plan_memory(bench.plan, &totals.plan);
        times.forward = ln__mem_zero((size_t)bench.graph->nodes, sizeof(double));
        times.backward = ln__mem_zero((size_t)bench.graph->nodes, sizeof(double));
        code = times.forward && times.backward ? LN_OK : LN_ENOMEM;
        if (!code)
            code = ln__bench_layers(&bench, totals.step < 0.05 ? 20 : 5, times.forward, times.backward, &timed);
        if (!code && cli->json)
            *unsaid = print_json(args, &bench, layers_of(cli, &bench, &times), &totals);
        else if (!code)
            *unsaid = print_people(cli, args, &bench, layers_of(cli, &bench, &times), &totals);
    }
    ln__bench_close(&bench);
    ln__mem_free(times.forward);
    ln__mem_free(times.backward);
    return code;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0};
    long batch = 32, threads = 1, classes = 10;
    const char *isa = NULL, *sparsity = NULL, *kernels = NULL;
    const struct ln__flag flags[] = {{"batch", LN__FLAG_COUNT, {.count = &batch}},
                                     {"threads", LN__FLAG_COUNT, {.count = &threads}},
                                     {"classes", LN__FLAG_COUNT, {.count = &classes}},
                                     {"isa", LN__FLAG_TEXT, {.text = &isa}},
                                     {"sparsity", LN__FLAG_TEXT, {.text = &sparsity}},
                                     {"kernels", LN__FLAG_TEXT, {.text = &kernels}},
                                     {0}};
    int failed = ln__cli_args("profile", argc, argv, flags, &words, 1, 1);
    if (failed)
        return failed;
    if (threads > 256 || batch > 65536 || classes > 100000)
        return ln__cli_usage("profile", "at most 256 threads, batches of 65536 and 100000 classes");
    if (kernels && !sparsity)
        return ln__cli_usage("profile", "--kernels: says how --sparsity runs, which is not given");
    const struct ln__kset *kset = isa ? ln__kset_named(isa) : cli->kset;
    if (!kset)
        return ln__cli_usage("profile", "--isa: no kernels named %.40s on this processor", isa);
    struct ln_fault fault = {0};
    struct ln__conf *conf = NULL;
    struct ln_choice swat;
    int code = sparsity ? ln__bench_swat(cli, sparsity, kernels, LN__BENCH_PERIOD, &conf, &swat, &fault) : LN_OK;
    const struct ln__bench_args args = {.model = words.item[0],
                                        .classes = (int)classes,
                                        .batch = (int)batch,
                                        .threads = (unsigned)threads,
                                        .kset = kset,
                                        .sparsity = sparsity ? &swat : NULL};
    bool unsaid = false;
    code = code ? code : profile(cli, &args, &unsaid, &fault);
    ln__conf_free(conf);
    return code ? ln__cli_fail(code, &fault) : unsaid ? LN__EXIT_FAILED : LN__EXIT_DONE;
}

const struct ln__command ln__command_profile = {
    .name = "profile",
    .usage = "profile MODEL [--batch N] [--threads N] [--isa NAME] [--classes N] [--sparsity S [--kernels WAY]]",
    .summary = "a model's layers, their time on this machine, and the memory a training step takes",
    .help =
        "Times are of a training step (SGD) as it runs, with layers fused (\"norm-conv-norm\": a\n"
        "depthwise convolution with the norms and activations around it); MACs are of one sample's forward pass. The memory planned before the run\n"
        "stands beside the process's real peak. --sparsity: under swat, thresholds every ten steps; WAY is its option kernels.\n",
    .run = run,
};
