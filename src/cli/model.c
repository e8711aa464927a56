#include "cli/model.h"
#include "base/log.h"
#include "nn/plan.h"
#include <stdlib.h>
#include <string.h>

int ln__bench_open(const struct ln__cli *cli, const struct ln__bench_args *args, struct ln__bench *out, struct ln_fault *fault)
{
    *out = (struct ln__bench){.batch = args->batch};
    int code = ln__choice_open(cli, LN_KIND_MODEL, args->model, &out->model_conf, &out->model, fault);
    if (!code)
        code = ln__choice_open(cli, LN_KIND_OPTIMIZER, "sgd", &out->optimizer_conf, &out->optimizer, fault);
    if (code)
        return code;
    const struct ln__model *model = (const struct ln__model *)(const void *)out->model.plugin;
    const struct ln__model_args shape = {.input = model->input, .classes = args->classes ? args->classes : 10, .norm = LN__NORM_BATCH};
    code = ln__model_graph(&out->model, &shape, &out->graph, fault);
    if (!code && ln__pool_new(args->threads, &out->pool))
        code = ln_fault_set(fault, LN_ENOMEM, "%u threads: no memory", args->threads);
    if (!code) {
        const struct ln__plan_args plan = {.graph = out->graph,
                                           .segment = {0, -1},
                                           .batch = args->batch,
                                           .train = true,
                                           .learn = true,
                                           .kset = args->kset,
                                           .width = args->threads,
                                           .optimizer = &out->optimizer,
                                           .sparsity = args->sparsity,
                                           .memory_max = args->memory_max};
        code = ln__plan_new(&plan, &out->plan, fault);
    }
    if (!code)
        code = ln__net_new(out->plan, out->pool, &out->net, fault);
    if (!code)
        code = ln__net_init(out->net, 1, fault);
    if (code)
        return code;
    struct ln__shape in = ln__graph_input(out->graph);
    size_t size = (size_t)args->batch * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    out->x = ln__mem_alloc(size * sizeof(float));
    out->label = ln__mem_alloc((size_t)args->batch * sizeof *out->label);
    if (!out->x || !out->label)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for a batch of %d", args->model, args->batch);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 1, .purpose = LN__FOR_TEST});
    for (size_t i = 0; i < size; i++)
        out->x[i] = (float)ln__rng_normal(&rng);
    for (int i = 0; i < args->batch; i++)
        out->label[i] = (int32_t)ln__rng_below(&rng, (uint32_t)shape.classes);
    return LN_OK;
}

void ln__bench_step(struct ln__bench *bench, uint64_t number)
{
    const struct ln__net_draw draw = {.key = {.seed = 1}, .step = number};
    struct ln__loss loss;
    ln__net_forward(bench->net, bench->batch, bench->x, true, &draw);
    ln__net_loss(bench->net, bench->batch, bench->label, &loss);
    ln__net_learn(bench->net, bench->batch, NULL, NULL, 1e-4, 0);
}

void ln__bench_forward(struct ln__bench *bench)
{
    ln__net_forward(bench->net, bench->batch, bench->x, false, NULL);
}

void ln__bench_close(struct ln__bench *bench)
{
    ln__net_free(bench->net);
    ln__plan_free(bench->plan);
    ln__pool_free(bench->pool);
    ln__graph_free(bench->graph);
    ln__mem_free(bench->timed);
    ln__mem_free(bench->inner);
    ln__mem_free(bench->x);
    ln__mem_free(bench->label);
    ln__conf_free(bench->model_conf);
    ln__conf_free(bench->optimizer_conf);
    *bench = (struct ln__bench){0};
}

#define TIMES_MAX 4096

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double ln__bench_time(void (*run)(void *context, uint64_t number), void *context, double for_s)
{
    double took[TIMES_MAX], begun = ln__clock_mono();
    size_t count = 0;
    run(context, 0);
    run(context, 1);
    while (count < TIMES_MAX && (count < 3 || ln__clock_mono() - begun < for_s)) {
        double from = ln__clock_mono();
        run(context, count + 2);
        took[count++] = ln__clock_mono() - from;
    }
    qsort(took, count, sizeof *took, by_value);
    return took[count / 2];
}

static struct {
    const struct ln__bench *bench;
    double *forward, *backward;
} clockwork;

static void timed_forward(const struct ln__call *call)
{
    double from = ln__clock_mono();
    ptrdiff_t node = call->node - clockwork.bench->graph->node;
    clockwork.bench->inner[node]->forward(call);
    clockwork.forward[node] += ln__clock_mono() - from;
}

static void timed_backward(const struct ln__call *call)
{
    double from = ln__clock_mono();
    ptrdiff_t node = call->node - clockwork.bench->graph->node;
    clockwork.bench->inner[node]->backward(call);
    clockwork.backward[node] += ln__clock_mono() - from;
}

static int put_clocks(struct ln__bench *bench)
{
    struct ln__plan *plan = bench->plan;
    if (bench->timed && bench->inner)
        return LN_OK;
    bench->timed = ln__mem_zero((size_t)plan->steps + 1, sizeof *bench->timed);
    bench->inner = ln__mem_zero((size_t)bench->graph->nodes, sizeof *bench->inner);
    if (!bench->timed || !bench->inner)
        return LN_ENOMEM;
    for (int i = 0; i < plan->steps; i++) {
        bench->timed[i] = *plan->step[i].layer;
        bench->inner[plan->step[i].node] = plan->step[i].layer;
        bench->timed[i].forward = timed_forward;
        bench->timed[i].backward = timed_backward;
        plan->step[i].layer = &bench->timed[i];
    }
    return LN_OK;
}

int ln__bench_layers(struct ln__bench *bench, uint64_t steps, double *forward, double *backward, double *whole)
{
    size_t nodes = (size_t)bench->graph->nodes;
    int code = put_clocks(bench);
    if (code)
        return code;
    memset(forward, 0, nodes * sizeof *forward);
    memset(backward, 0, nodes * sizeof *backward);
    clockwork.bench = bench;
    clockwork.forward = forward;
    clockwork.backward = backward;
    double from = ln__clock_mono();
    for (uint64_t k = 0; k < steps; k++)
        ln__bench_step(bench, k);
    *whole = (ln__clock_mono() - from) / (double)steps;
    for (size_t i = 0; i < nodes; i++) {
        forward[i] /= (double)steps;
        backward[i] /= (double)steps;
    }
    return LN_OK;
}
