/* Training with bfloat16 products: close to float and not the same, the same bits for any threads, no allocation, memory in the plan. */
#include "emulated.h"
#include "kernels/bf16.h"
#include "nn/nn_testing.h"

extern const struct ln__model ln__model_resnet9;
extern const struct ln__optimizer ln__optimizer_sgd;

#define BATCH 8
#define STEPS 12
#define STEPS_EMULATED 1
#define CLASSES 10

static struct ln_choice sgd(void *options, double lr)
{
    test_options(&ln__optimizer_sgd.plugin, options, "lr", lr, NULL);
    return (struct ln_choice){&ln__optimizer_sgd.plugin, options};
}

/* Images whose class is the row that is bright, so that there is something to learn. */
static void batch_of(const struct ln__graph *graph, uint64_t seed, float *x, int32_t *label)
{
    struct ln__shape in = ln__graph_input(graph);
    fill_random(x, (size_t)BATCH * shape_size(in), 1, seed);
    fill_labels(label, BATCH, CLASSES, seed);
    for (int i = 0; i < BATCH * in.c; i++)
        for (int w = 0; w < in.w; w++)
            x[(i * in.h + label[i / in.c] % in.h) * in.w + w] += 1.5F;
}

/* The losses of some steps, and the state after them. allocations: of all steps together. */
struct trained {
    double loss[STEPS];
    float *state;
    uint64_t allocations;
    struct ln__plan_memory memory;
};

static struct trained train(const struct ln__graph *graph, const struct ln__kset *kset, unsigned width, double lr)
{
    const int steps = emulated() ? STEPS_EMULATED : STEPS;
    _Alignas(double) unsigned char options[256];
    const struct ln_choice optimizer = sgd(options, lr);
    struct ln__pool *pool = NULL;
    struct trained out = {.state = test_floats(ln__graph_state(graph))};
    assert_int_equal(ln__pool_new(width, &pool), 0);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = BATCH, .train = true, .kset = kset, .width = width, .optimizer = &optimizer};
    struct test_net net = test_net(&args, true, true, pool);
    ln__plan_memory(net.plan, &out.memory);
    float *x = test_floats((size_t)BATCH * shape_size(ln__graph_input(graph)));
    int32_t label[BATCH];
    ln__graph_init(graph, 1, out.state);
    ln__net_load(net.net, out.state);
    poison(&net);
    uint64_t before = ln__mem_count();
    for (int step = 0; step < steps; step++) {
        const struct ln__net_draw draw = {.key = {.seed = 8}, .step = (uint64_t)step};
        struct ln__loss loss;
        batch_of(graph, (uint64_t)step, x, label);
        ln__net_forward(net.net, BATCH, x, true, &draw);
        ln__net_loss(net.net, BATCH, label, &loss);
        ln__net_backward(net.net, BATCH, NULL, NULL);
        ln__net_update(net.net, lr);
        out.loss[step] = loss.sum / BATCH;
    }
    out.allocations = ln__mem_count() - before;
    ln__net_store(net.net, out.state);
    ln__mem_free(x);
    test_net_free(&net);
    ln__pool_free(pool);
    return out;
}

static void check_model(const struct ln__model *model, struct ln__shape input, double lr, double bound)
{
    struct ln__graph *graph = plugin_graph(model, input, CLASSES, LN__NORM_RUNNING);
    size_t floats = ln__graph_state(graph), count;
    struct trained single = train(graph, ln__kset_best(), 1, lr);
    const struct ln__kset *const *set = ln__kset_bf16_list(&count);
    for (size_t i = 0; i < count; i++) {
        if (!set[i]->usable() || set[i]->lanes == 1)
            continue;
        struct trained one = train(graph, set[i], 1, lr), three = train(graph, set[i], 3, lr);
        assert_memory_equal(one.state, three.state, floats * sizeof(float));
        assert_memory_equal(one.loss, three.loss, sizeof one.loss);
        assert_int_equal(one.allocations + three.allocations, 0);
        for (int step = 0; step < STEPS; step++) {
            if (!(fabs(one.loss[step] - single.loss[step]) <= bound * fmax(1, single.loss[step])))
                fail_msg("%s, %s: step %d has a loss of %.4f, in float %.4f", model->plugin.name, set[i]->name, step, one.loss[step],
                         single.loss[step]);
        }
        assert_true(difference(one.state, single.state, floats) > 1e-6); /* it did round */
        ln__mem_free(one.state);
        ln__mem_free(three.state);
    }
    ln__mem_free(single.state);
    ln__graph_free(graph);
}

static void losses_stay_close_to_those_of_float(void **state)
{
    (void)state;
    check_model(&ln__model_resnet9, (struct ln__shape){3, 16, 16}, 0.0005, 0.15);
}

/* The copies that kernels round into are the plan's: bytes of scratch for what the set asks for, and within a budget or refused. */
static void rounded_copies_are_planned(void **state)
{
    (void)state;
    _Alignas(double) unsigned char options[256];
    const struct ln_choice optimizer = sgd(options, 0.02);
    const struct ln__kset *kset = ln__kset_bf16(ln__kset_best());
    struct ln__graph *graph = plugin_graph(&ln__model_resnet9, ln__model_resnet9.input, CLASSES, LN__NORM_BATCH);
    struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = 32, .train = true, .kset = kset, .width = 2, .optimizer = &optimizer};
    const struct ln__conv shortcut = {256, 4, 4, 512, 2, 2, 1, 1, 2, 0, 0, 1};
    struct ln__plan *plan;
    struct ln_fault fault = {0};
    struct ln__plan_memory memory;
    assert_int_equal(ln__plan_new(&args, &plan, &fault), 0);
    ln__plan_memory(plan, &memory);
    size_t copies = kset->conv_scratch(&shortcut, LN__WEIGHT_GRAD, 32, 2);
    assert_true(ln__bf16_takes(&shortcut) && copies > 0);
    assert_true(memory.activations + memory.scratch >= copies * sizeof(float));
    ln__plan_free(plan);
    args.memory_max = memory.total;
    assert_int_equal(ln__plan_new(&args, &plan, &fault), 0);
    ln__plan_free(plan);
    args.memory_max = memory.weights;
    assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_EBUDGET);
    ln__graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_stay_close_to_those_of_float), cmocka_unit_test(rounded_copies_are_planned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
