#include "cli/bench_steps.h"

#include "base/log.h"
#include "cli/model.h"
#include "kernels/check.h"
#include "nn/sparsity.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int ln__bench_swat(const struct ln__cli *cli, const char *sparsity, const char *kernels, int period, struct ln__conf **conf, struct ln_choice *out,
                   struct ln_fault *fault)
{
    const struct ln_option table[] = {{.key = "swat", .type = LN_OPT_PLUGIN, .kind = LN_KIND_SPARSITY}, {0}};
    char text[128];
    int size = snprintf(text, sizeof text, "swat: {kind: swat, sparsity: %.40s, period: %d, kernels: %.10s}\n", sparsity, period,
                        kernels ? kernels : "auto");
    int code = ln__conf_parse(text, (size_t)size, "arguments", conf, fault);
    return code ? code : ln__conf_bind(*conf, cli->catalog, table, sizeof *out, out, fault);
}

/* What the process of a row tells the one that prints. */
struct row {
    int code;
    struct ln_fault fault;
    double step_s, gflops, peak_gflops, memory, parameters;
    char kernels[24]; /* the plan's set */
    double had;       /* processor seconds over seconds and threads */
};

static void one_step(void *context, uint64_t number)
{
    ln__bench_step(context, number);
}

static void one_period(void *context, uint64_t number)
{
    for (uint64_t i = 0; i < LN__BENCH_PERIOD; i++)
        ln__bench_step(context, number * LN__BENCH_PERIOD + i);
}

static double processor_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) ? 0 : (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void measure(const struct ln__cli *cli, const struct ln__bench_args *args, double for_s, struct row *row)
{
    struct ln__bench bench;
    row->code = ln__bench_open(cli, args, &bench, &row->fault);
    if (!row->code) {
        double before = ln__kernels_peak(args->kset, bench.pool);
        double clock = ln__clock_mono(), processor = processor_s();
        row->step_s = args->sparsity ? ln__bench_time(one_period, &bench, for_s) / LN__BENCH_PERIOD : ln__bench_time(one_step, &bench, for_s);
        row->had = (processor_s() - processor) / (ln__clock_mono() - clock) / args->threads;
        snprintf(row->kernels, sizeof row->kernels, "%s", ln__plan_kernels(bench.plan));
        double after = ln__kernels_peak(args->kset, bench.pool);
        uint64_t macs = ln__sparse_macs_train(bench.graph, (struct ln__segment){0, -1}, args->sparsity);
        row->gflops = 2e-9 * (double)macs * args->batch / row->step_s;
        row->peak_gflops = before > after ? before : after;
        row->parameters = (double)ln__graph_trainable(bench.graph);
        struct rusage used;
        row->memory = getrusage(RUSAGE_SELF, &used) ? 0 : (double)used.ru_maxrss * 1024;
    }
    ln__bench_close(&bench);
}

/* A new process begins with what is resident here, some megabytes, and not with the peak of the row before. */
static int measure_apart(const struct ln__cli *cli, const struct ln__bench_args *args, double for_s, struct row *out, struct ln_fault *fault)
{
    int end[2], status = 0;
    if (pipe(end) != 0)
        return ln_fault_set(fault, LN_EIO, "%s: no pipe to a process of its own", args->model);
    pid_t child = fork();
    if (child == 0) {
        struct row row = {0};
        measure(cli, args, for_s, &row);
        _exit(write(end[1], &row, sizeof row) == (ssize_t)sizeof row ? 0 : 1);
    }
    close(end[1]);
    ssize_t got = child > 0 ? read(end[0], out, sizeof *out) : 0; /* a row is less than what a pipe takes at once */
    close(end[0]);
    if (child < 0)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no process of its own", args->model);
    if (waitpid(child, &status, 0) != child || got != (ssize_t)sizeof *out)
        return ln_fault_set(fault, LN_EIO, "%s at batch %d: the process that measured it ended early (%s %d)", args->model, args->batch,
                            WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (out->code)
        *fault = out->fault;
    return out->code;
}

static void add_row(struct ln__table *table, const struct ln__bench_args *args, const char *sparsity, const struct row *row)
{
    char shown[32];
    ln__table_text(table, "%s", args->model);
    ln__table_number(table, args->batch, NULL);
    ln__table_number(table, args->threads, NULL);
    ln__table_text(table, "%s", row->kernels);
    ln__table_number(table, sparsity ? strtod(sparsity, NULL) : 0, sparsity ? sparsity : "dense");
    ln__table_number(table, row->parameters, NULL);
    ln__table_number(table, row->step_s, ln__show_time(row->step_s, shown));
    snprintf(shown, sizeof shown, "%.0f", args->batch / row->step_s);
    ln__table_number(table, args->batch / row->step_s, shown);
    snprintf(shown, sizeof shown, "%.1f", row->gflops);
    ln__table_number(table, row->gflops, shown);
    snprintf(shown, sizeof shown, "%.0f %%", 100 * row->gflops / row->peak_gflops);
    ln__table_number(table, row->gflops / row->peak_gflops, shown);
    ln__table_number(table, row->memory, ln__show_bytes(row->memory, shown));
    snprintf(shown, sizeof shown, "%.0f %%", 100 * row->had);
    ln__table_number(table, row->had, shown);
}

/* What --set may say of the steps: keys of train, as in a recipe. */
struct steps_wish {
    struct {
        int compute;
        int64_t memory_mb;
    } train;
};
static const struct ln_option steps_train[] = {{.key = "compute",
                                                .type = LN_OPT_ENUM,
                                                .offset = offsetof(struct steps_wish, train.compute),
                                                .fallback = "f32",
                                                .choices = "f32|bf16",
                                                .help = "how training steps multiply"},
                                               {.key = "memory_mb",
                                                .type = LN_OPT_INT,
                                                .offset = offsetof(struct steps_wish, train.memory_mb),
                                                .fallback = "0",
                                                .min = 0,
                                                .max = 1e9,
                                                .help = "most megabytes a network may take; 0: any"},
                                               {0}};
static const struct ln_option steps_options[] = {{.key = "train",
                                                  .type = LN_OPT_TABLE,
                                                  .offset = 0,
                                                  .fallback = "{}",
                                                  .table = steps_train,
                                                  .row_size = sizeof(struct steps_wish),
                                                  .help = "the training"},
                                                 {0}};

static int read_wish(const struct ln__cli *cli, const struct ln__list *sets, struct steps_wish *out, struct ln_fault *fault)
{
    struct ln__conf *conf = NULL;
    int code = ln__conf_parse("{}", 2, "bench steps", &conf, fault);
    for (size_t i = 0; i < sets->count && !code; i++)
        code = ln__conf_set(conf, sets->item[i], fault);
    if (!code)
        code = ln__conf_bind(conf, cli->catalog, steps_options, sizeof *out, out, fault);
    ln__conf_free(conf);
    return code;
}

int ln__bench_steps(struct ln__cli *cli, const struct ln__bench_steps *args, struct ln_fault *fault)
{
    static const char *const columns[] = {"model", ">batch",    ">threads", "kernels",        ">sparsity", ">parameters",
                                          ">step", ">images/s", ">GFLOP/s", ">share of peak", ">memory",   ">processor had"};
    static const int usual[] = {10, 32, 100};
    size_t batches = args->batch ? 1 : sizeof usual / sizeof *usual, models = args->models ? args->models : cli->catalog->of[LN_KIND_MODEL].count;
    struct ln__conf *conf = NULL;
    struct ln_choice swat;
    struct steps_wish wish = {0};
    int code = read_wish(cli, args->sets, &wish, fault);
    if (!code && args->sparsity)
        code = ln__bench_swat(cli, args->sparsity, args->kernels, LN__BENCH_PERIOD, &conf, &swat, fault);
    struct ln__table *table = ln__table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < models * batches && !code; i++) {
        const struct ln__bench_args of = {.model = args->models ? args->model[i / batches] : cli->catalog->of[LN_KIND_MODEL].item[i / batches]->name,
                                          .batch = args->batch ? (int)args->batch : usual[i % batches],
                                          .threads = (unsigned)args->threads,
                                          .kset = wish.train.compute == LN__COMPUTE_BF16 ? ln__kset_bf16(cli->kset) : cli->kset,
                                          .sparsity = args->sparsity ? &swat : NULL,
                                          .memory_max = (size_t)wish.train.memory_mb * 1000000};
        struct row row;
        ln__progress("bench", "models", (double)i / (double)batches, (double)models, of.model);
        code = measure_apart(cli, &of, args->seconds ? (double)args->seconds : 2, &row, fault);
        if (!code)
            add_row(table, &of, args->sparsity, &row);
    }
    ln__progress_end();
    ln__conf_free(conf);
    int unsaid = ln__table_print(table, cli);
    return code ? code : unsaid;
}
