#include "base/log.h"
#include "cli/bench_sparse.h"
#include "cli/bench_steps.h"
#include "fed/loop.h"
#include "fleet/ranks.h"
#include "kernels/check.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* ---- kernels: checked, then timed ---- */
struct kernel_rows {
    struct ln__table *table;
    const char *set;
};

static void add_kernel(void *context, const struct ln__kernel_row *row)
{
    struct kernel_rows *rows = context;
    char shown[32];
    ln__table_text(rows->table, "%s", rows->set);
    ln__table_text(rows->table, "%s", row->kernel);
    ln__table_text(rows->table, "%s", row->shape);
    ln__table_number(rows->table, row->seconds, ln__show_time(row->seconds, shown));
    snprintf(shown, sizeof shown, "%.1f", row->gflops);
    ln__table_number(rows->table, row->gflops, row->gflops > 0 ? shown : "");
    snprintf(shown, sizeof shown, "%.1f", row->gbytes);
    ln__table_number(rows->table, row->gbytes, row->gbytes > 0 ? shown : "");
}

static void say_wrong(void *context, const struct ln__kernel_row *row)
{
    if (!row->ok)
        ln__log(LN__LOG_ERROR, "%s %s %s: %s, error %.3g", (const char *)context, row->kernel, row->shape, row->what, row->error);
}

/* Checks and times one set; of a bf16 set the products. */
static int bench_set(const struct ln__kset *set, const char *filter, int batch, struct ln__pool *pool, struct ln__table *table,
                     struct ln_fault *fault)
{
    char name[32];
    snprintf(name, sizeof name, "%s", set->name);
    int wrong = ln__kernels_check(set, filter, say_wrong, name);
    if (wrong)
        return wrong < 0 ? wrong : ln_fault_set(fault, LN_ECORRUPT, "%s: %d checks of kernels failed", name, wrong);
    unsigned threads = ln__pool_width(pool);
    size_t before = ln__table_rows(table);
    struct kernel_rows rows = {table, set->name};
    int code = ln__kernels_time(set, filter, batch, pool, add_kernel, &rows);
    if (code || ln__table_rows(table) == before)
        return code;
    if (set->bf16)
        ln__log(LN__LOG_INFO, "%s: bfloat16 products agree with the reference", name);
    else
        ln__log(LN__LOG_INFO, "%s: all kernels agree with the reference; peak of %u thread%s %.0f GFLOP/s", name, threads, threads == 1 ? "" : "s",
                ln__kernels_peak(set, pool));
    return LN_OK;
}

static int bench_kernels(struct ln__cli *cli, const char *filter, int batch, long threads, struct ln_fault *fault)
{
    static const char *const columns[] = {"set", "kernel", "shape", ">time", ">GFLOP/s", ">GB/s"};
    struct ln__pool *pool = NULL;
    if (ln__pool_new((unsigned)threads, &pool))
        return ln_fault_set(fault, LN_ENOMEM, "%ld threads: no memory", threads);
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    size_t count;
    const struct ln__kset *const *set = ln__kset_list(&count);
    int code = LN_OK;
    for (size_t i = 0; i < count && !code; i++) {
        if (!set[i]->usable() || (set[i]->lanes == 1 && count > 1))
            continue;
        code = bench_set(set[i], filter, batch, pool, table, fault);
        if (!code)
            code = bench_set(ln__kset_bf16(set[i]), filter, batch, pool, table, fault);
    }
    ln__pool_free(pool);
    if (!code && filter && ln__table_rows(table) == 0)
        code = ln_fault_set(fault, LN_ECONFIG, "bench kernels %.40s: no kernel's name has that in it", filter);
    int unsaid = ln__table_print(table, cli);
    return code ? code : unsaid;
}

/* ---- sim: a federation of small models, where the machinery is what costs ---- */
#define SIM_RECIPE                                                                                                                                   \
    "name: bench-sim\nseed: 1\nmodel: {name: logreg}\ndata: {set: mnist, clients: 1000, partition: iid}\n"                                           \
    "train: {rounds: 100, sample: 10, epochs: 1, batch: 10, optimizer: {kind: sgd, lr: 0.03}}\neval: {every: 100}\nfleet: {kind: sim}\n"

/* One run; rank 0 under mpirun, or all there is, adds its row. */
static int bench_sim_env(struct ln__cli *cli, const struct ln__recipe *recipe, const struct ln__env *env, long threads, struct ln__table *table,
                         struct ln_fault *fault)
{
    const struct ln__fleet_plugin *plugin = (const struct ln__fleet_plugin *)(const void *)recipe->fleet.plugin;
    struct ln__fleet *fleet = NULL;
    struct ln__metrics last = {0};
    char shown[32];
    if (ln__ranks_number() > 0)
        return plugin->serve ? plugin->serve(recipe->fleet.options, env, fault) : LN_OK;
    double began = ln__clock_mono();
    int code = plugin->open(recipe->fleet.options, env, &fleet, fault);
    if (code)
        return code;
    const struct ln__loop_args args = {.env = env, .fleet = fleet, .stop = cli->stop, .quiet = true};
    code = ln__loop_run(&args, &last, fault);
    double took = ln__clock_mono() - began;
    plugin->close(fleet);
    if (code)
        return code;
    ln__table_number(table, (double)threads, NULL);
    ln__table_number(table, ln__ranks_total(), NULL);
    ln__table_number(table, (double)last.tasks, NULL);
    ln__table_number(table, took, ln__show_time(took, shown));
    snprintf(shown, sizeof shown, "%.0f", (double)last.tasks / took);
    ln__table_number(table, (double)last.tasks / took, shown);
    snprintf(shown, sizeof shown, "%.2f", last.parallelism);
    ln__table_number(table, last.parallelism, shown);
    snprintf(shown, sizeof shown, "%.2f %%", 100 * last.accuracy);
    ln__table_number(table, last.accuracy, shown);
    struct rusage used;
    double most = getrusage(RUSAGE_SELF, &used) ? 0 : (double)used.ru_maxrss * 1024; /* of the process, so far */
    ln__table_number(table, most, ln__show_bytes(most, shown));
    return LN_OK;
}

static int bench_sim_once(struct ln__cli *cli, const struct ln__list *sets, const char *dir, long threads, struct ln__table *table,
                          struct ln_fault *fault)
{
    char assignment[1024], of_threads[64];
    snprintf(assignment, sizeof assignment, "data.dir=\"%.900s\"", dir);
    snprintf(of_threads, sizeof of_threads, "fleet.threads=%ld", threads);
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    struct ln__blobs *blobs = NULL;
    struct ln__env env;
    int code = ln__conf_parse(SIM_RECIPE, strlen(SIM_RECIPE), "bench sim", &conf, fault);
    if (!code)
        code = ln__conf_set(conf, assignment, fault);
    for (size_t i = 0; i < sets->count && !code; i++)
        code = ln__conf_set(conf, sets->item[i], fault);
    if (!code)
        code = ln__conf_set(conf, of_threads, fault);
    if (!code)
        code = ln__conf_bind(conf, cli->catalog, ln__recipe_options, sizeof recipe, &recipe, fault);
    if (!code)
        code = ln__blobs_open(NULL, 0, &blobs, fault);
    if (!code)
        code = ln__env_open(&recipe, cli->catalog, cli->kset, blobs, &env, fault);
    if (!code) {
        code = bench_sim_env(cli, &recipe, &env, threads, table, fault);
        ln__env_close(&env);
    }
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    return code;
}

static int bench_sim(struct ln__cli *cli, const struct ln__list *sets, const char *dir, long threads, struct ln_fault *fault)
{
    static const char *const columns[] = {">threads", ">ranks", ">clients trained", ">time", ">clients/s", ">at a time", ">accuracy", ">memory"};
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    int code = LN_OK;
    for (long t = threads ? threads : 1; t <= (threads ? threads : 2) && !code; t++)
        code = bench_sim_once(cli, sets, dir, t, table, fault);
    int unsaid = ln__ranks_number() > 0 ? LN_OK : ln__table_print(table, cli);
    return code ? code : unsaid;
}

static int run(struct ln__cli *cli, int argc, char **argv)
{
    struct ln__list words = {0}, sets = {0};
    long threads = 0, batch = 0, seconds = 0;
    const char *dir = "data", *sparsity = NULL, *kernels = NULL;
    const struct ln__flag flags[] = {{"threads", LN__FLAG_COUNT, {.count = &threads}}, {"batch", LN__FLAG_COUNT, {.count = &batch}},
                                     {"set", LN__FLAG_LIST, {.list = &sets}},          {"dir", LN__FLAG_TEXT, {.text = &dir}},
                                     {"sparsity", LN__FLAG_TEXT, {.text = &sparsity}}, {"kernels", LN__FLAG_TEXT, {.text = &kernels}},
                                     {"seconds", LN__FLAG_COUNT, {.count = &seconds}}, {0}};
    int failed = ln__cli_args("bench", argc, argv, flags, &words, 1, 64);
    if (failed)
        return failed;
    if (threads > 256 || batch > 65536 || seconds > 3600)
        return ln__cli_usage("bench", "at most 256 threads, batches of 65536 and 3600 seconds");
    if (kernels && !sparsity)
        return ln__cli_usage("bench", "--kernels: says how --sparsity runs, which is not given");
    struct ln_fault fault = {0};
    int code;
    if (strcmp(words.item[0], "steps") == 0)
        code = ln__bench_steps(cli,
                               &(struct ln__bench_steps){.model = words.item + 1,
                                                         .models = words.count - 1,
                                                         .batch = batch,
                                                         .threads = threads ? threads : 1,
                                                         .seconds = seconds,
                                                         .sparsity = sparsity,
                                                         .kernels = kernels,
                                                         .sets = &sets},
                               &fault);
    else if (strcmp(words.item[0], "kernels") == 0)
        code = bench_kernels(cli, words.count > 1 ? words.item[1] : NULL, batch ? (int)batch : 32, threads ? threads : 1, &fault);
    else if (strcmp(words.item[0], "sparse") == 0 && words.count > 1 && strcmp(words.item[1], "layers") == 0)
        code = ln__bench_sparse_layers(cli, threads, batch, &fault);
    else if (strcmp(words.item[0], "sparse") == 0 && words.count == 1)
        code = ln__bench_sparse_steps(cli, threads, batch, &fault);
    else if (strcmp(words.item[0], "sim") == 0)
        code = bench_sim(cli, &sets, dir, threads, &fault);
    else if (strcmp(words.item[0], "sparse") == 0)
        return ln__cli_usage("bench", "sparse %.40s: expected nothing or layers behind sparse", words.item[1]);
    else
        return ln__cli_usage("bench", "%.40s: no such bench; there are kernels, sim, sparse, sparse layers and steps", words.item[0]);
    return code ? ln__cli_fail(code, &fault) : LN__EXIT_DONE;
}

const struct ln__command ln__command_bench = {
    .name = "bench",
    .usage = "bench kernels [FILTER] [--batch N] [--threads N] | sim [--dir DATA] [--set KEY=VALUE]... [--threads N] | sparse [layers] [--batch N] "
             "[--threads N] | "
             "steps [MODEL]... [--batch N] [--threads N] [--set KEY=VALUE]... [--sparsity S [--kernels WAY]] [--seconds N]",
    .summary = "kernels checked and timed; clients trained a second; images a second",
    .help =
        "kernels  every kernel of every set this processor can run, checked against the reference and timed; bfloat16 products too, \"emulated\"\n"
        "         where the processor has no instruction for them\n"
        "sim      logistic regression on MNIST, 1000 clients, 10 a round, 100 rounds: what the machinery around the training costs\n"
        "sparse   ResNet-18's training step, dense and 90 and 95 % sparse; layers: its convolutions, part by part\n"
        "steps    training steps of each model, batches of 10, 32 and 100 unless told: images a second, GFLOP/s and their share of what fused\n"
        "         multiply-adds alone reach here, and the peak memory of a process that does nothing else; --sparsity 0.9: under swat,\n"
        "         by its option kernels: auto, sparse or masked;\n"
        "         --set train.compute=bf16: with bfloat16 products; --set train.memory_mb=200: within a budget, some values computed twice\n",
    .run = run,
};
