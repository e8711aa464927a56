/* Plans of random graphs: memory shared by live range must not change a bit of what is computed. */
#include "emulated.h"
#include "nn/nn_testing.h"

extern const struct ln__model ln__model_vgg11, ln__model_resnet9, ln__model_resnet18, ln__model_cnn5x5, ln__model_mobilenetv2,
    ln__model_mobilenetv3_large, ln__model_efficientnet_b0;

#define BATCH 3
#define CLASSES 4
static const struct ln__shape input_shape = {3, 8, 8};

struct random_graph {
    uint64_t seed;
    int depth;
    bool uncut;
};

static int conv(struct ln__graph *graph, int x, int out, int k, int number)
{
    char name[16];
    snprintf(name, sizeof name, "conv%d", number);
    return ln__build_conv2d(graph, x, name, (struct ln__conv2d){.out = out, .k = k, .pad = k / 2, .bias = number % 2});
}

static int norm(struct ln__graph *graph, int x, int number)
{
    char name[16];
    snprintf(name, sizeof name, "bn%d", number);
    return ln__build_batchnorm(graph, x, name);
}

/* A branch that keeps the shape. */
static int branch(struct ln__graph *graph, int x, struct ln__rng *rng, int number)
{
    int c = ln__build_shape(graph, x).c;
    switch (ln__rng_below(rng, 8)) {
    case 0:
        return norm(graph, conv(graph, x, c, 3, number), number);
    case 1:
        return ln__build_relu(graph, x);
    case 2:
        return ln__build_dropout(graph, conv(graph, x, c, 1, number), 0.2);
    case 3:
        return ln__build_activation(graph, conv(graph, x, c, 3, number), LN__ACT_SILU);
    case 4:
        return norm(graph, x, number);
    case 5:
        return ln__build_stochastic_depth(graph, norm(graph, x, number), 0.3);
    case 6: {
        char name[16];
        snprintf(name, sizeof name, "se%d", number);
        return ln__build_squeeze_excite(graph, x, name, (struct ln__squeeze){2, LN__ACT_SILU, LN__ACT_SIGMOID});
    }
    default:
        return x;
    }
}

static int random_layers(struct ln__graph *graph, int x, const void *how)
{
    const struct random_graph *random = how;
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = random->seed, .purpose = LN__FOR_TEST});
    for (int i = 0; i < random->depth; i++) {
        struct ln__shape shape = ln__build_shape(graph, x);
        switch (ln__rng_below(&rng, 8)) {
        case 0:
            x = conv(graph, x, 1 + (int)ln__rng_below(&rng, 9), 3, 100 + i);
            break;
        case 1:
            x = ln__build_relu(graph, norm(graph, x, 100 + i));
            break;
        case 2:
            x = shape.h >= 4 ? ln__build_maxpool(graph, x, 2, 2, 0) : ln__build_relu(graph, x);
            break;
        case 3:
            x = ln__build_avgpool(graph, x, 3, 1, 1);
            break;
        case 4: {
            int a = branch(graph, x, &rng, 200 + i), b = branch(graph, x, &rng, 300 + i);
            x = ln__build_relu(graph, ln__build_add(graph, a, b));
            break;
        }
        case 5: {
            int a = branch(graph, x, &rng, 200 + i), b = branch(graph, a, &rng, 300 + i);
            x = ln__build_add(graph, ln__build_add(graph, a, b), x);
            break;
        }
        case 6:
            x = ln__build_activation(graph, x, LN__ACT_RELU6);
            break;
        default:
            x = branch(graph, x, &rng, 200 + i);
        }
        if (x && !random->uncut && (!graph->cuts || graph->cut[graph->cuts - 1].node != x))
            ln__build_cut(graph, x, "cut %d", i);
    }
    return conv(graph, x, 5, 3, 999);
}

struct result {
    float *y, *dx, *gradient, *state;
    struct ln__loss loss;
    size_t outputs, inputs, size;
};

static struct ln__plan_args run_args(const struct ln__graph *graph, const struct ln__kset *kset)
{
    return (struct ln__plan_args){.graph = graph, .segment = {0, -1}, .batch = BATCH, .train = true, .input_grad = true, .kset = kset, .width = 1};
}

static struct result run_within(const struct ln__plan_args *args, bool shared, bool fused)
{
    const struct ln__graph *graph = args->graph;
    struct test_net net = test_net(args, shared, fused, NULL);
    struct result out = {.outputs = BATCH * CLASSES, .inputs = BATCH * shape_size(input_shape), .size = ln__graph_state(graph)};
    float *x = test_floats(out.inputs);
    int32_t label[BATCH];
    out.y = test_floats(out.outputs);
    out.dx = test_floats(out.inputs);
    out.gradient = test_floats(out.size);
    out.state = test_floats(out.size);
    fill_random(x, out.inputs, 1, 1);
    fill_labels(label, BATCH, CLASSES, 1);
    ln__graph_init(graph, 3, out.state);
    ln__net_load(net.net, out.state);
    for (int pass = 0; pass < 2; pass++) { /* the second on what the first left */
        const struct ln__net_draw draw = {.key = {.seed = 4}, .step = (uint64_t)pass};
        poison(&net);
        ln__net_forward(net.net, BATCH, x, true, &draw);
        ln__net_output(net.net, BATCH, out.y);
        ln__net_loss(net.net, BATCH, label, &out.loss);
        ln__net_backward(net.net, BATCH, NULL, out.dx);
    }
    ln__net_gradients(net.net, out.gradient);
    ln__net_store(net.net, out.state);
    ln__mem_free(x);
    test_net_free(&net);
    return out;
}

static struct result run(const struct ln__graph *graph, const struct ln__kset *kset, bool shared, bool fused)
{
    const struct ln__plan_args args = run_args(graph, kset);
    return run_within(&args, shared, fused);
}

static void result_free(struct result *result)
{
    ln__mem_free(result->y);
    ln__mem_free(result->dx);
    ln__mem_free(result->gradient);
    ln__mem_free(result->state);
}

static void test_random_graphs(void **state)
{
    (void)state;
    size_t sets;
    const struct ln__kset *const *set = ln__kset_list(&sets);
    for (uint64_t seed = 0; seed < (emulated() ? 12 : 120); seed++) {
        const struct random_graph random = {seed, 2 + (int)(seed % 9), false};
        const struct test_model model = {random_layers, &random, false};
        struct ln__graph *graph = test_graph(&model, input_shape, CLASSES, seed % 2 ? LN__NORM_RUNNING : LN__NORM_BATCH);
        struct result reference = run(graph, ln__kset_named("ref"), true, true);
        for (size_t s = 0; s < sets; s++) {
            if (!set[s]->usable())
                continue;
            struct result a = run(graph, set[s], true, true), b = run(graph, set[s], false, true), c = run(graph, set[s], true, false);
            assert_memory_equal(a.y, b.y, a.outputs * sizeof *a.y);
            assert_memory_equal(a.dx, b.dx, a.inputs * sizeof *a.dx);
            assert_memory_equal(a.gradient, b.gradient, a.size * sizeof *a.gradient);
            assert_memory_equal(a.state, b.state, a.size * sizeof *a.state);
            assert_true(a.loss.sum == b.loss.sum && a.loss.correct == b.loss.correct && isfinite(a.loss.sum));
            assert_true(difference(c.y, a.y, a.outputs) < 1e-4); /* fused or not */
            assert_true(difference(c.dx, a.dx, a.inputs) < 1e-3);
            assert_true(difference(c.gradient, a.gradient, a.size) < 1e-3);
            assert_true(difference(a.y, reference.y, a.outputs) < 1e-4); /* whichever set */
            assert_true(difference(a.dx, reference.dx, a.inputs) < 1e-3);
            assert_true(difference(a.gradient, reference.gradient, a.size) < 1e-3);
            result_free(&a);
            result_free(&b);
            result_free(&c);
        }
        result_free(&reference);
        ln__graph_free(graph);
    }
}

static struct ln__plan_memory memory_of(const struct ln__plan_args *args, int *rounds)
{
    struct ln__plan *plan;
    struct ln__plan_memory memory = {0};
    *rounds = -1;
    if (ln__plan_new(args, &plan, NULL))
        return memory;
    ln__plan_memory(plan, &memory);
    *rounds = plan->rounds;
    ln__plan_free(plan);
    return memory;
}

/* Budgets from enough down to too little: the plans keep to them, and what is recomputed for it changes no bit. */
static void test_recompute(void **state)
{
    (void)state;
    int fitted = 0, refused = 0;
    for (uint64_t seed = 0; seed < 80; seed++) {
        const struct random_graph random = {seed, 3 + (int)(seed % 12), seed % 4 != 0};
        const struct test_model model = {random_layers, &random, false};
        struct ln__graph *graph = test_graph(&model, input_shape, CLASSES, seed % 2 ? LN__NORM_RUNNING : LN__NORM_BATCH);
        struct ln__plan_args args = run_args(graph, seed % 8 ? ln__kset_best() : ln__kset_named("ref"));
        int rounds;
        size_t whole = memory_of(&args, &rounds).total;
        assert_int_equal(rounds, 0);
        struct result a = run_within(&args, true, true);
        for (size_t step = 1; step < 12; step++) {
            args.memory_max = whole - whole * step / 12;
            struct ln__plan_memory memory = memory_of(&args, &rounds);
            if (rounds < 0) {
                refused++;
                break;
            }
            fitted++;
            assert_true(rounds > 0 && memory.total <= args.memory_max);
            struct result b = run_within(&args, true, true);
            assert_memory_equal(a.y, b.y, a.outputs * sizeof *a.y);
            assert_memory_equal(a.dx, b.dx, a.inputs * sizeof *a.dx);
            assert_memory_equal(a.gradient, b.gradient, a.size * sizeof *a.gradient);
            assert_memory_equal(a.state, b.state, a.size * sizeof *a.state);
            result_free(&b);
        }
        result_free(&a);
        ln__graph_free(graph);
    }
    if (fitted < 40 || refused <= 40) /* each set its own number: lanes and scratch differ */
        fail_msg("%d plans fitted, %d were refused", fitted, refused);
}

/* How far the models can go: at least this much below what they take without a budget, arena only. */
static void test_recompute_models(void **state)
{
    (void)state;
    static const struct {
        const struct ln__model *model;
        double least;
    } models[] = {{&ln__model_resnet18, 0.6}, {&ln__model_mobilenetv2, 0.4}, {&ln__model_mobilenetv3_large, 0.4}, {&ln__model_efficientnet_b0, 0.4}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct ln__graph *graph = plugin_graph(models[i].model, models[i].model->input, 10, LN__NORM_BATCH);
        struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = 8, .train = true, .kset = ln__kset_best(), .width = 1};
        int rounds;
        struct ln__plan_memory whole = memory_of(&args, &rounds);
        args.memory_max = whole.weights + whole.gradients + (size_t)(models[i].least * (double)(whole.activations + whole.scratch));
        struct ln__plan_memory less = memory_of(&args, &rounds);
        if (!(rounds > 0 && less.total <= args.memory_max))
            fail_msg("%s does not fit %.2f of its activations", graph->name, models[i].least);
        args.train = false; /* nothing to recompute */
        args.memory_max = 0;
        args.memory_max = memory_of(&args, &rounds).total - 1;
        memory_of(&args, &rounds);
        assert_int_equal(rounds, -1);
        ln__graph_free(graph);
    }
}

/* A plan that cannot train, and one that can but does not, compute the same. */
static void test_inference(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        const struct random_graph random = {seed, 2 + (int)(seed % 9), false};
        const struct test_model model = {random_layers, &random, false};
        struct ln__graph *graph = test_graph(&model, input_shape, CLASSES, seed % 2 ? LN__NORM_RUNNING : LN__NORM_BATCH);
        struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = BATCH, .kset = ln__kset_best(), .width = 1};
        float *values = test_floats(ln__graph_state(graph)), *x = test_floats(BATCH * shape_size(input_shape));
        float y[2][BATCH * CLASSES];
        fill_random(x, BATCH * shape_size(input_shape), 1, seed);
        ln__graph_init(graph, seed, values);
        for (int train = 0; train < 2; train++) {
            args.train = train;
            struct test_net net = test_net(&args, true, true, NULL);
            ln__net_load(net.net, values);
            poison(&net);
            ln__net_forward(net.net, BATCH, x, false, NULL);
            ln__net_output(net.net, BATCH, y[train]);
            test_net_free(&net);
        }
        assert_memory_equal(y[0], y[1], sizeof y[0]);
        assert_true(isfinite(y[0][0]));
        ln__mem_free(values);
        ln__mem_free(x);
        ln__graph_free(graph);
    }
}

/* Batch norm takes in what is behind it: a block of resnet18 is two convolutions and two norms. */
static void test_fusion(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_resnet18, ln__model_resnet18.input, 10, LN__NORM_BATCH);
    const struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = 2, .train = true, .kset = ln__kset_named("ref"), .width = 1};
    struct ln__plan *plan;
    assert_int_equal(ln__plan_new(&args, &plan, NULL), 0);
    assert_int_equal(plan->steps, 20 * 2 + 2); /* 20 convolutions and norms, pool, linear */
    int sums = 0;
    for (int i = 0; i < plan->steps; i++)
        sums += plan->step[i].layer == &ln__layer_batchnorm && plan->step[i].inputs == 2 && plan->step[i].act == LN__ACT_RELU;
    assert_int_equal(sums, 8);
    ln__plan_free(plan);
    ln__graph_free(graph);
}

/* Blocks of mobile networks: strides, kernels and activations that a sandwich is made of. */
static int mobile_layers(struct ln__graph *graph, int x, const void *how)
{
    static const enum ln__act acts[] = {LN__ACT_RELU6, LN__ACT_SILU, LN__ACT_HARDSWISH, LN__ACT_NONE, LN__ACT_RELU};
    int seed = *(const int *)how;
    x = conv(graph, x, 6, 3, 2);
    for (int i = 0; i < 3; i++) {
        int c = 7 + 5 * i, stride = (seed + i) % 2 + 1, k = (seed / 2 + i) % 2 ? 5 : 3, from = x;
        char name[16];
        x = ln__build_activation(graph, norm(graph, conv(graph, x, c, 1, 10 + 2 * i), 10 + i), acts[(seed + i) % 5]);
        snprintf(name, sizeof name, "depth%d", i);
        x = ln__build_conv2d(graph, x, name, (struct ln__conv2d){.out = c, .k = k, .stride = stride, .pad = k / 2, .groups = c});
        x = ln__build_activation(graph, norm(graph, x, 20 + i), acts[(seed + i + 1) % 5]);
        x = norm(graph, conv(graph, x, 6, 1, 20 + 2 * i), 30 + i);
        if (stride == 1)
            x = ln__build_add(graph, x, from);
    }
    return x;
}

/* A depthwise convolution and the norms around it are one step, which computes what the three do, whatever is recomputed. */
static void test_sandwich(void **state)
{
    (void)state;
    static const struct {
        const struct ln__model *model;
        int sandwiches; /* of the depthwise convolutions all but the first, whose norm lies behind a cut */
    } models[] = {{&ln__model_mobilenetv2, 16}, {&ln__model_mobilenetv3_large, 14}, {&ln__model_efficientnet_b0, 15}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct ln__graph *graph = plugin_graph(models[i].model, models[i].model->input, 10, LN__NORM_BATCH);
        const struct ln__plan_args args = run_args(graph, ln__kset_named("ref"));
        struct ln__plan *plan;
        int count = 0;
        assert_int_equal(ln__plan_new(&args, &plan, NULL), 0);
        for (int s = 0; s < plan->steps; s++)
            count += plan->step[s].layer == &ln__layer_sandwich;
        assert_int_equal(count, models[i].sandwiches);
        ln__plan_free(plan);
        ln__graph_free(graph);
    }
    int dropped = 0;
    for (int seed = 0; seed < 20; seed++) {
        const struct test_model model = {mobile_layers, &seed, false};
        struct ln__graph *graph = test_graph(&model, input_shape, CLASSES, seed % 2 ? LN__NORM_RUNNING : LN__NORM_BATCH);
        struct ln__plan_args args = run_args(graph, ln__kset_best());
        struct result reference = run(graph, ln__kset_named("ref"), true, false), a = run(graph, args.kset, true, true);
        assert_true(difference(a.y, reference.y, a.outputs) < 1e-4);
        assert_true(difference(a.dx, reference.dx, a.inputs) < 1e-3);
        assert_true(difference(a.gradient, reference.gradient, a.size) < 1e-3);
        assert_true(difference(a.state, reference.state, a.size) < 1e-4);
        int rounds;
        args.memory_max = memory_of(&args, &rounds).total - 1;
        memory_of(&args, &rounds);
        if (rounds < 0) { /* weights and gradients are most of it */
            args.memory_max = 0;
            rounds = 0;
        }
        dropped += rounds > 0;
        struct result b = run_within(&args, true, true);
        assert_memory_equal(a.y, b.y, a.outputs * sizeof *a.y);
        assert_memory_equal(a.gradient, b.gradient, a.size * sizeof *a.gradient);
        assert_memory_equal(a.state, b.state, a.size * sizeof *a.state);
        result_free(&reference);
        result_free(&a);
        result_free(&b);
        ln__graph_free(graph);
    }
    assert_true(dropped >= 10);
}

static const struct ln__optimizer two_slots;
static int two(const void *options)
{
    (void)options;
    return 2;
}
static const struct ln__optimizer two_slots = {.plugin = {.name = "two"}, .slots = two};

static void test_memory(void **state)
{
    (void)state;
    const struct ln__model *const models[] = {&ln__model_cnn5x5, &ln__model_vgg11, &ln__model_resnet9, &ln__model_resnet18};
    const struct ln_choice optimizer = {&two_slots.plugin, NULL};
    for (size_t i = 0; i < 4; i++) {
        struct ln__graph *graph = plugin_graph(models[i], models[i]->input, 10, LN__NORM_BATCH);
        struct ln__plan_args args = {
            .graph = graph, .segment = {0, -1}, .batch = 8, .train = true, .kset = ln__kset_named("ref"), .width = 2, .optimizer = &optimizer};
        struct ln__plan *plan;
        struct ln__plan_memory train, eval;
        struct ln_fault fault = {0};
        assert_int_equal(ln__plan_new(&args, &plan, &fault), 0);
        ln__plan_memory(plan, &train);
        ln__plan_free(plan);
        size_t floats = ln__graph_trainable(graph) * sizeof(float);
        assert_in_range(train.weights, floats, floats + floats / 50);
        assert_int_equal(train.gradients, train.weights);
        assert_int_equal(train.optimizer, 2 * train.weights);
        assert_int_equal(train.total, train.weights + train.gradients + train.optimizer + train.activations + train.scratch);
        assert_true(train.activations < train.activations_unshared * 3 / 4);
        args.memory_max = train.total;
        assert_int_equal(ln__plan_new(&args, &plan, &fault), 0);
        ln__plan_free(plan);
        args.memory_max = train.weights + train.gradients + train.optimizer;
        int64_t live = ln__mem_live();
        assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_EBUDGET);
        assert_int_equal(ln__mem_live(), live);
        assert_non_null(strstr(fault.text, graph->name));
        args.memory_max = 0;
        args.train = false;
        fault = (struct ln_fault){0};
        assert_int_equal(ln__plan_new(&args, &plan, &fault), 0);
        ln__plan_memory(plan, &eval);
        ln__plan_free(plan);
        assert_true(eval.gradients == 0 && eval.optimizer == 0);
        /* cnn5x5 keeps little more than its batch and indices: conv 1's output and what it reads are the most either way */
        assert_true(eval.activations < (models[i] == &ln__model_cnn5x5 ? train.activations : train.activations / 2));
        ln__graph_free(graph);
    }
}

static void test_wrong(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_cnn5x5, ln__model_cnn5x5.input, 10, LN__NORM_BATCH);
    static const struct ln__segment wrong[] = {{2, 2}, {2, 1}, {-1, 2}, {0, 5}, {4, -1}};
    struct ln__plan *plan;
    struct ln__plan_args args = {.graph = graph, .batch = 8, .kset = ln__kset_named("ref"), .width = 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ln_fault fault = {0};
        args.segment = wrong[i];
        assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_EINVALID);
        assert_non_null(strstr(fault.text, "cuts are 0 to 4"));
    }
    args.segment = (struct ln__segment){0, -1};
    args.batch = 0;
    assert_int_equal(ln__plan_new(&args, &plan, NULL), LN_EINVALID);
    ln__graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs),    cmocka_unit_test(test_recompute),
                                       cmocka_unit_test(test_recompute_models), cmocka_unit_test(test_inference),
                                       cmocka_unit_test(test_fusion),           cmocka_unit_test(test_sandwich),
                                       cmocka_unit_test(test_memory),           cmocka_unit_test(test_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
