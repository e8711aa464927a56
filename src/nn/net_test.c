/* Training whole networks: allocations, kernel sets, threads, segments, convergence, the proximal term. */
#include "emulated.h"
#include "nn/nn_testing.h"
#include "nn/trainer.h"

extern const struct ln__model ln__model_logreg, ln__model_cnn5x5, ln__model_cnn3x3, ln__model_vgg11, ln__model_resnet9, ln__model_resnet18,
    ln__model_resnet12, ln__model_mobilenetv2, ln__model_mobilenetv3_large, ln__model_efficientnet_b0;
extern const struct ln__optimizer ln__optimizer_sgd, ln__optimizer_adam;

#define OPTIONS_MAX 256
struct optimizer {
    _Alignas(double) unsigned char options[OPTIONS_MAX];
    struct ln_choice choice;
};

static void sgd(struct optimizer *out, double lr)
{
    assert_true(ln__optimizer_sgd.plugin.options_size <= OPTIONS_MAX);
    test_options(&ln__optimizer_sgd.plugin, out->options, "lr", lr, NULL);
    out->choice = (struct ln_choice){&ln__optimizer_sgd.plugin, out->options};
}

struct batch {
    int n;
    float *x;
    int32_t *label;
};

static struct batch make_batch(const struct ln__graph *graph, int n, uint64_t seed)
{
    size_t size = (size_t)n * shape_size(ln__graph_input(graph));
    struct batch out = {n, test_floats(size), ln__mem_zero((size_t)n, sizeof(int32_t))};
    fill_random(out.x, size, 1, seed);
    fill_labels(out.label, n, ln__graph_classes(graph), seed);
    return out;
}

static void batch_free(struct batch *batch)
{
    ln__mem_free(batch->x);
    ln__mem_free(batch->label);
}

static void train_step(struct ln__net *net, const struct batch *batch, uint64_t step, double lr, struct ln__loss *loss)
{
    const struct ln__net_draw draw = {.key = {.seed = 8, .round = 2}, .step = step};
    ln__net_forward(net, batch->n, batch->x, true, &draw);
    ln__net_loss(net, batch->n, batch->label, loss);
    ln__net_backward(net, batch->n, NULL, NULL);
    ln__net_update(net, lr);
}

static void test_no_allocation(void **state)
{
    (void)state;
    struct ln__pool *pool;
    struct optimizer optimizer;
    sgd(&optimizer, 0.01);
    assert_int_equal(ln__pool_new(2, &pool), 0);
    const struct ln__model *model = emulated() ? &ln__model_cnn5x5 : &ln__model_resnet9;
    struct ln__graph *graph = plugin_graph(model, model->input, 10, LN__NORM_RUNNING);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = 32, .train = true, .kset = ln__kset_best(), .width = 2, .optimizer = &optimizer.choice};
    struct test_net net = test_net(&args, true, true, pool);
    struct batch batch = make_batch(graph, emulated() ? 1 : 32, 1);
    float *values = test_floats(ln__graph_state(graph));
    ln__graph_init(graph, 1, values);
    ln__net_load(net.net, values);
    struct ln__loss loss;
    uint64_t before = ln__mem_count();
    train_step(net.net, &batch, 0, 0.01, &loss);
    ln__net_store(net.net, values);
    assert_int_equal(ln__mem_count(), before);
    assert_true(loss.sum > 0 && isfinite(loss.sum));
    ln__mem_free(values);
    batch_free(&batch);
    test_net_free(&net);
    ln__graph_free(graph);
    ln__pool_free(pool);
}

/* State after a few steps of a model with a set and a pool. */
static float *trained(const struct ln__graph *graph, const struct ln__kset *kset, unsigned width, int steps, float *first_gradient)
{
    struct ln__pool *pool = NULL;
    struct optimizer optimizer;
    sgd(&optimizer, 0.05);
    if (width > 1)
        assert_int_equal(ln__pool_new(width, &pool), 0);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = 6, .train = true, .kset = kset, .width = width, .optimizer = &optimizer.choice};
    struct test_net net = test_net(&args, true, true, pool);
    float *values = test_floats(ln__graph_state(graph));
    ln__graph_init(graph, 1, values);
    ln__net_load(net.net, values);
    poison(&net);
    for (int i = 0; i < steps; i++) {
        struct batch batch = make_batch(graph, 6 - i % 2, (uint64_t)i);
        struct ln__loss loss;
        train_step(net.net, &batch, (uint64_t)i, 0.05, &loss);
        if (i == 0 && first_gradient)
            ln__net_gradients(net.net, first_gradient);
        batch_free(&batch);
    }
    ln__net_store(net.net, values);
    test_net_free(&net);
    ln__pool_free(pool);
    return values;
}

static const struct {
    const struct ln__model *model;
    struct ln__shape input; /* small, for the reference set's sake */
} small[] = {{&ln__model_logreg, {1, 9, 9}},           {&ln__model_cnn3x3, {1, 10, 10}},
             {&ln__model_cnn5x5, {3, 12, 12}},         {&ln__model_resnet9, {3, 16, 16}},
             {&ln__model_resnet18, {3, 8, 8}},         {&ln__model_resnet12, {3, 16, 16}},
             {&ln__model_mobilenetv2, {3, 16, 16}},    {&ln__model_mobilenetv3_large, {3, 16, 16}},
             {&ln__model_efficientnet_b0, {3, 16, 16}}};

/* The resnets and the mobile nets: plan_test and layers_test have their pieces. */
static bool too_slow(size_t i)
{
    return emulated() && i >= 3;
}

static void test_widths(void **state)
{
    (void)state;
    size_t sets;
    const struct ln__kset *const *set = ln__kset_list(&sets);
    for (size_t s = 0; s < sets; s++) {
        size_t models = set[s]->lanes > 1 ? sizeof small / sizeof *small : 3; /* resnet9 is long for the reference set */
        for (size_t i = 0; i < models && set[s]->usable(); i++) {
            if ((i >= 4 && i + 1 < models) || too_slow(i)) /* the last one has every kind of layer */
                continue;
            struct ln__graph *graph = plugin_graph(small[i].model, small[i].input, 10, LN__NORM_RUNNING);
            float *one = trained(graph, set[s], 1, 2, NULL);
            for (unsigned width = 2; width <= 3; width++) {
                float *more = trained(graph, set[s], width, 2, NULL);
                assert_memory_equal(one, more, ln__graph_state(graph) * sizeof *one);
                ln__mem_free(more);
            }
            ln__mem_free(one);
            ln__graph_free(graph);
        }
    }
}

static void test_sets_agree(void **state)
{
    (void)state;
    size_t sets;
    const struct ln__kset *const *set = ln__kset_list(&sets);
    for (size_t i = 0; i < 4 && !too_slow(i); i++) { /* resnet18 and resnet12 are long for the reference set; plan_test has their pieces */
        struct ln__graph *graph = plugin_graph(small[i].model, small[i].input, 10, LN__NORM_BATCH);
        size_t size = ln__graph_state(graph);
        float *reference_gradient = test_floats(size), *gradient = test_floats(size);
        float *reference = trained(graph, ln__kset_named("ref"), 1, 1, reference_gradient);
        for (size_t s = 0; s < sets; s++) {
            if (!set[s]->usable())
                continue;
            float *other = trained(graph, set[s], 1, 1, gradient);
            assert_true(difference(other, reference, size) < 1e-4);
            assert_true(difference(gradient, reference_gradient, size) < 1e-3);
            ln__mem_free(other);
        }
        ln__mem_free(reference);
        ln__mem_free(reference_gradient);
        ln__mem_free(gradient);
        ln__graph_free(graph);
    }
}

/* A device's half and a server's, the activation and its gradient carried between: the same bits as the whole. from: what both begin with; whole:
 * what three steps of trained() make of it. */
static void check_split(const struct ln__graph *graph, const struct ln__kset *kset, int cut, const float *from, const float *whole)
{
    struct optimizer optimizer;
    sgd(&optimizer, 0.05);
    struct ln__plan_args args = {
        .graph = graph, .segment = {0, cut}, .batch = 6, .train = true, .kset = kset, .width = 1, .optimizer = &optimizer.choice};
    struct test_net device = test_net(&args, true, true, NULL);
    args.segment = (struct ln__segment){cut, -1};
    args.input_grad = true;
    struct test_net server = test_net(&args, true, true, NULL);
    struct ln__cut at;
    assert_int_equal(ln__graph_cut(graph, cut, &at), 0);
    float *values = test_floats(ln__graph_state(graph)), *a = test_floats(6 * shape_size(at.shape)), *da = test_floats(6 * shape_size(at.shape));
    ln__net_load(device.net, from);
    ln__net_load(server.net, from);
    for (int i = 0; i < 3; i++) {
        struct batch batch = make_batch(graph, 6 - i % 2, (uint64_t)i);
        const struct ln__net_draw draw = {.key = {.seed = 8, .round = 2}, .step = (uint64_t)i};
        struct ln__loss loss;
        ln__net_forward(device.net, batch.n, batch.x, true, &draw);
        ln__net_output(device.net, batch.n, a);
        ln__net_forward(server.net, batch.n, a, true, &draw);
        ln__net_loss(server.net, batch.n, batch.label, &loss);
        ln__net_backward(server.net, batch.n, NULL, da);
        ln__net_update(server.net, 0.05);
        ln__net_backward(device.net, batch.n, da, NULL);
        ln__net_update(device.net, 0.05);
        batch_free(&batch);
    }
    ln__net_store(device.net, values);
    ln__net_store(server.net, values);
    assert_memory_equal(values, whole, ln__graph_state(graph) * sizeof *values);
    ln__mem_free(values);
    ln__mem_free(a);
    ln__mem_free(da);
    test_net_free(&device);
    test_net_free(&server);
}

static void check_splits(const struct ln__graph *graph, const struct ln__kset *kset, const int *cut, int cuts)
{
    float *from = test_floats(ln__graph_state(graph)), *whole = trained(graph, kset, 1, 3, NULL);
    ln__graph_init(graph, 1, from);
    for (int i = 0; i < cuts; i++)
        check_split(graph, kset, cut[i], from, whole);
    ln__mem_free(from);
    ln__mem_free(whole);
}

static void test_split(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof small / sizeof *small && !too_slow(i); i++) {
        struct ln__graph *graph = plugin_graph(small[i].model, small[i].input, 10, LN__NORM_RUNNING);
        check_splits(graph, ln__kset_best(), (const int[]){1, 2, ln__graph_cuts(graph)}, 3);
        ln__graph_free(graph);
    }
    struct ln__graph *graph = plugin_graph(&ln__model_cnn3x3, small[1].input, 10, LN__NORM_BATCH);
    check_splits(graph, ln__kset_named("ref"), (const int[]){1}, 1);
    ln__graph_free(graph);
}

/* Images whose class is the row that is bright. */
static struct batch bright_rows(const struct ln__graph *graph, int n, uint64_t seed)
{
    struct batch out = make_batch(graph, n, seed);
    struct ln__shape in = ln__graph_input(graph);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < in.c; c++)
            for (int w = 0; w < in.w; w++)
                out.x[((i * in.c + c) * in.h + out.label[i] % in.h) * in.w + w] += 1.5f;
    return out;
}

/* Convolution, norm, ReLU, pool, and a residual block: what the larger models are made of. */
static int small_residual(struct ln__graph *graph, int x, const void *how)
{
    (void)how;
    const struct ln__conv2d conv = {.out = 12, .k = 3, .pad = 1};
    x = ln__build_relu(graph, ln__build_batchnorm(graph, ln__build_conv2d(graph, x, "conv1", conv), "bn1"));
    x = ln__build_maxpool(graph, x, 2, 2, 0);
    int y = ln__build_relu(graph, ln__build_batchnorm(graph, ln__build_conv2d(graph, x, "conv2", conv), "bn2"));
    y = ln__build_batchnorm(graph, ln__build_conv2d(graph, y, "conv3", conv), "bn3");
    return ln__build_relu(graph, ln__build_add(graph, y, x));
}

/* The same behind layers of its size, so that values made anew save memory. */
static int small_deep(struct ln__graph *graph, int x, const void *how)
{
    static const char *const conv[] = {"deep1", "deep2", "deep3", "deep4"}, *const norm[] = {"deepbn1", "deepbn2", "deepbn3", "deepbn4"};
    for (int i = 0; i < 4; i++) {
        x = ln__build_conv2d(graph, x, conv[i], (struct ln__conv2d){.out = 12, .k = 3, .pad = 1});
        x = ln__build_relu(graph, ln__build_batchnorm(graph, x, norm[i]));
    }
    return small_residual(graph, x, how);
}

/* A depthwise convolution between norms: one step with the parameters of three nodes. */
static int small_mobile(struct ln__graph *graph, int x, const void *how)
{
    (void)how;
    const struct ln__conv2d first = {.out = 9, .k = 3, .pad = 1, .bias = true}, wide = {.out = 20, .k = 1}, narrow = {.out = 9, .k = 1};
    const struct ln__conv2d deep = {.out = 20, .k = 3, .pad = 1, .groups = 20};
    x = ln__build_conv2d(graph, x, "conv1", first);
    int y = ln__build_relu(graph, ln__build_batchnorm(graph, ln__build_conv2d(graph, x, "wide", wide), "bn1"));
    y = ln__build_relu(graph, ln__build_batchnorm(graph, ln__build_conv2d(graph, y, "deep", deep), "bn2"));
    return ln__build_add(graph, ln__build_batchnorm(graph, ln__build_conv2d(graph, y, "narrow", narrow), "bn3"), x);
}

static void check_learns(const struct ln__graph *graph, const struct ln__optimizer *plugin, double lr)
{
    struct optimizer optimizer;
    assert_true(plugin->plugin.options_size <= OPTIONS_MAX);
    test_options(&plugin->plugin, optimizer.options, "lr", lr, NULL);
    optimizer.choice = (struct ln_choice){&plugin->plugin, optimizer.options};
    assert_true(ln__optimizer_lr(&optimizer.choice) == lr);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = 16, .train = true, .kset = ln__kset_best(), .width = 1, .optimizer = &optimizer.choice};
    struct test_net net = test_net(&args, true, true, NULL);
    float *values = test_floats(ln__graph_state(graph));
    ln__graph_init(graph, 1, values);
    ln__net_load(net.net, values);
    struct ln__loss loss;
    double first = 0;
    for (uint64_t step = 0; step < 60; step++) {
        struct batch batch = bright_rows(graph, 16, step);
        train_step(net.net, &batch, step, lr, &loss);
        first = step ? first : loss.sum;
        batch_free(&batch);
    }
    struct batch batch = bright_rows(graph, 16, 1000);
    ln__net_forward(net.net, 16, batch.x, false, NULL);
    ln__net_loss(net.net, 16, batch.label, &loss);
    if (!(loss.sum < 0.8 * first && loss.correct > 4))
        fail_msg("%s with %s: loss %g at first, %g at last, %d of 16 right", graph->name, plugin->plugin.name, first, loss.sum, loss.correct);
    batch_free(&batch);
    ln__mem_free(values);
    test_net_free(&net);
}

/* The loss falls, and what was learnt holds for images not seen, without training, with either norm. */
static void test_learns(void **state)
{
    (void)state;
    for (int i = emulated() ? 3 : 0; i < 5; i++) {
        const struct test_model residual = {small_residual, NULL, false};
        struct ln__graph *graph = i < 3 ? plugin_graph(small[i].model, small[i].input, 8, LN__NORM_BATCH)
                                        : test_graph(&residual, (struct ln__shape){1, 8, 8}, 8, i == 3 ? LN__NORM_BATCH : LN__NORM_RUNNING);
        check_learns(graph, &ln__optimizer_sgd, 0.02);
        check_learns(graph, &ln__optimizer_adam, 2e-3);
        ln__graph_free(graph);
    }
}

/* g += mu (w - anchor), where anchor is what was loaded. */
static void test_proximal(void **state)
{
    (void)state;
    struct optimizer optimizer;
    sgd(&optimizer, 0.1);
    struct ln__graph *graph = plugin_graph(&ln__model_cnn5x5, small[2].input, 10, LN__NORM_BATCH);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = 6, .train = true, .kset = ln__kset_best(), .width = 1, .optimizer = &optimizer.choice};
    struct test_net net = test_net(&args, true, true, NULL);
    size_t size = ln__graph_state(graph);
    float *start = test_floats(size), *now = test_floats(size), *before = test_floats(size), *after = test_floats(size);
    struct batch batch = make_batch(graph, 6, 1);
    struct ln__loss loss;
    ln__graph_init(graph, 1, start);
    assert_int_equal(ln__net_anchor(net.net, NULL), 0);
    ln__net_load(net.net, start);
    train_step(net.net, &batch, 0, 0.1, &loss);
    ln__net_store(net.net, now);
    ln__net_forward(net.net, 6, batch.x, true, NULL);
    ln__net_loss(net.net, 6, batch.label, &loss);
    ln__net_backward(net.net, 6, NULL, NULL);
    ln__net_gradients(net.net, before);
    ln__net_proximal(net.net, 0.3);
    ln__net_gradients(net.net, after);
    for (size_t i = 0; i < size; i++)
        before[i] += 0.3f * (now[i] - start[i]);
    assert_true(difference(after, before, size) < 1e-5);
    assert_memory_not_equal(now, start, size * sizeof *now);
    ln__net_load(net.net, now); /* the anchor follows */
    ln__net_forward(net.net, 6, batch.x, true, NULL);
    ln__net_loss(net.net, 6, batch.label, &loss);
    ln__net_backward(net.net, 6, NULL, NULL);
    ln__net_gradients(net.net, before);
    ln__net_proximal(net.net, 0.3);
    ln__net_gradients(net.net, after);
    assert_memory_equal(before, after, size * sizeof *before);
    batch_free(&batch);
    ln__mem_free(start);
    ln__mem_free(now);
    ln__mem_free(before);
    ln__mem_free(after);
    test_net_free(&net);
    ln__graph_free(graph);
}

/* The trainer of one device does what its net does by hand; a load begins anew. */
static void test_trainer(void **state)
{
    (void)state;
    struct optimizer optimizer;
    sgd(&optimizer, 0.05);
    struct ln__graph *graph = plugin_graph(&ln__model_cnn3x3, small[1].input, 10, LN__NORM_BATCH);
    size_t size = ln__graph_state(graph);
    float *hand = trained(graph, ln__kset_best(), 1, 3, NULL), *values = test_floats(size), *start = test_floats(size);
    ln__graph_init(graph, 1, start);
    const struct ln__plan_args args = {.graph = graph, .batch = 6, .kset = ln__kset_best(), .width = 1, .optimizer = &optimizer.choice};
    struct ln__trainer *trainer;
    struct ln_fault fault = {0};
    assert_int_equal(ln__trainer_local(&args, true, NULL, &trainer, &fault), 0);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(ln__trainer_load(trainer, start, &fault), 0);
        for (int i = 0; i < 3; i++) {
            struct batch batch = make_batch(graph, 6 - i % 2, (uint64_t)i);
            const struct ln__trainer_step step = {
                .n = batch.n, .x = batch.x, .label = batch.label, .lr = 0.05, .draw = {.key = {.seed = 8, .round = 2}, .step = (uint64_t)i}};
            struct ln__loss loss;
            assert_int_equal(ln__trainer_step(trainer, &step, &loss, &fault), 0);
            batch_free(&batch);
        }
        assert_int_equal(ln__trainer_store(trainer, values, &fault), 0);
        assert_memory_equal(values, hand, size * sizeof *values);
    }
    const struct ln__trainer_step large = {.n = 7};
    struct ln__loss loss;
    assert_int_equal(ln__trainer_step(trainer, &large, &loss, &fault), LN_EINVALID);
    struct ln__plan_memory memory;
    ln__trainer_memory(trainer, &memory);
    assert_true(memory.total > 3 * size * sizeof(float));
    ln__trainer_free(trainer);
    int64_t live = ln__mem_live();
    for (uint64_t nth = 1;; nth++) {
        struct ln_fault out = {0};
        ln__mem_fail_at(nth);
        int rc = ln__trainer_local(&args, true, NULL, &trainer, &out);
        ln__mem_fail_at(0);
        if (!rc)
            break;
        assert_int_equal(rc, LN_ENOMEM);
        assert_int_equal(ln__mem_live(), live);
    }
    ln__trainer_free(trainer);
    ln__mem_free(hand);
    ln__mem_free(values);
    ln__mem_free(start);
    ln__graph_free(graph);
}

/* Three steps of a plan that keeps gradients, or of one that is to learn: the state and the optimiser's slots behind each other. */
static float *learnt(const struct ln__plan_args *args, const struct batch *batch, double mu, struct ln__pool *pool)
{
    size_t size = ln__graph_state(args->graph), trainable = ln__graph_trainable(args->graph);
    float *out = test_floats(size + 2 * trainable);
    struct test_net net = test_net(args, true, true, pool);
    struct ln__loss loss;
    assert_int_equal(net.plan->memory.gradients, args->learn ? 0 : net.plan->memory.weights - net.plan->buffer_floats * sizeof(float));
    assert_true(!args->memory_max || net.plan->rounds > 0);
    ln__graph_init(args->graph, 3, out);
    assert_int_equal(ln__net_anchor(net.net, NULL), 0);
    ln__net_load(net.net, out);
    for (uint64_t step = 0; step < 3; step++) {
        const struct ln__net_draw draw = {.key = {.seed = 8}, .step = step};
        poison(&net);
        ln__net_forward(net.net, batch->n, batch->x, true, &draw);
        ln__net_loss(net.net, batch->n, batch->label, &loss);
        if (step == 2 && mu != 0)
            assert_int_equal(ln__net_keep_gradients(net.net, NULL), 0);
        ln__net_learn(net.net, batch->n, NULL, NULL, 0.05, mu);
    }
    assert_true(isfinite(loss.sum));
    ln__net_store(net.net, out);
    for (int slot = 0; slot < ln__net_slots(net.net); slot++)
        ln__net_slot_store(net.net, slot, out + size + (size_t)slot * trainable);
    test_net_free(&net);
    return out;
}

/* A layer that moves as soon as its gradient is known ends with the bits of one that waits: for every set, with the proximal term, with values made
 * anew meanwhile, where gradients are kept from some step on, and for any number of threads. */
#define MODELS 5
static void test_learn(void **state)
{
    (void)state;
    static const struct ln__optimizer *const optimizers[] = {&ln__optimizer_sgd, &ln__optimizer_adam};
    struct ln__pool *pool;
    size_t sets;
    const struct ln__kset *const *set = ln__kset_list(&sets);
    assert_int_equal(ln__pool_new(3, &pool), 0);
    for (size_t i = 0; i < MODELS * sets * 2; i++) {
        const struct ln__optimizer *plugin = optimizers[i % 2];
        const struct ln__kset *kset = set[i / (2 * MODELS)];
        const struct test_model built = {i / 2 % MODELS == 3 ? small_deep : small_mobile, NULL, false};
        size_t m = i / 2 % MODELS;
        struct ln__graph *graph = m < 3 ? plugin_graph(small[m].model, small[m].input, 10, LN__NORM_RUNNING)
                                        : test_graph(&built, (struct ln__shape){3, 12, 12}, 10, LN__NORM_RUNNING);
        struct optimizer optimizer;
        test_options(&plugin->plugin, optimizer.options, "lr", 0.05, "weight_decay", 0.01, NULL);
        optimizer.choice = (struct ln_choice){&plugin->plugin, optimizer.options};
        struct ln__plan_args args = {
            .graph = graph, .segment = {0, -1}, .batch = 7, .train = true, .kset = kset, .width = 3, .optimizer = &optimizer.choice};
        struct batch batch = make_batch(graph, 7, 5);
        size_t floats = ln__graph_state(graph) + 2 * ln__graph_trainable(graph);
        double mu = i % 3 ? 0 : 0.2;
        float *waits = kset->usable() ? learnt(&args, &batch, mu, NULL) : NULL;
        args.learn = true;
        for (int way = 0; waits && way < (m == 3 ? 2 : 1); way++) {
            struct ln__plan *plan;
            struct ln__plan_memory memory;
            assert_int_equal(ln__plan_new(&args, &plan, NULL), 0);
            ln__plan_memory(plan, &memory);
            ln__plan_free(plan);
            args.memory_max = way ? memory.total - LN_ALIGN : 0;
            float *moves = learnt(&args, &batch, mu, pool);
            assert_memory_equal(waits, moves, floats * sizeof *waits);
            ln__mem_free(moves);
        }
        ln__mem_free(waits);
        batch_free(&batch);
        ln__graph_free(graph);
    }
    ln__pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_widths), cmocka_unit_test(test_sets_agree),
                                       cmocka_unit_test(test_split),         cmocka_unit_test(test_learns), cmocka_unit_test(test_proximal),
                                       cmocka_unit_test(test_trainer),       cmocka_unit_test(test_learn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
