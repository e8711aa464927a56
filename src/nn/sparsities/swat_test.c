#include "emulated.h"
#include "nn/nn_testing.h"

extern const struct ln__sparsity ln__sparsity_swat, ln__sparsity_powerprop, ln__sparsity_none;
extern const struct ln__optimizer ln__optimizer_sgd;
extern const struct ln__model ln__model_mobilenetv2, ln__model_resnet9, ln__model_resnet18, ln__model_femnist_cnn, ln__model_cnn3x3;

struct swat { /* as in swat.c */
    double sparsity;
    int64_t period;
    int distribution, structured, skip_first;
    bool pointwise;
    int kernels;
};
struct power { /* as in powerprop.c */
    double sparsity, power;
    int64_t period;
    int distribution, kernels;
};

/* Both ways of running a sparse plan. */
static const int ways[] = {LN__KERNELS_SPARSE, LN__KERNELS_MASKED};

static const struct ln__kset *best(void)
{
    return ln__kset_best();
}

/* A choice of an optimiser, its options in room. */
static struct ln_choice sgd(double *room, double momentum)
{
    test_options(&ln__optimizer_sgd.plugin, room, "lr", 0.05, "momentum", momentum, NULL);
    return (struct ln_choice){&ln__optimizer_sgd.plugin, room};
}

static struct ln__plan_args args_of(const struct ln__graph *graph, const struct ln__kset *kset, const struct ln_choice *sparsity,
                                    const struct ln_choice *optimizer)
{
    return (struct ln__plan_args){
        .graph = graph, .segment = {0, -1}, .batch = 5, .train = true, .kset = kset, .width = 1, .optimizer = optimizer, .sparsity = sparsity};
}

static void one_step(struct test_net *net, const struct ln__graph *graph, int n, uint64_t seed)
{
    size_t size = shape_size(ln__graph_input(graph)) * (size_t)n;
    float *x = test_floats(size);
    int32_t label[64];
    struct ln__loss loss;
    fill_random(x, size, 1, seed);
    fill_labels(label, n, ln__graph_classes(graph), seed);
    ln__net_forward(net->net, n, x, true, NULL);
    ln__net_loss(net->net, n, label, &loss);
    ln__net_backward(net->net, n, NULL, NULL);
    ln__mem_free(x);
}

/* ---- which layers ---- */

static int sparse_tensors(const struct ln__model *model, struct ln__shape input, int classes, const struct ln_choice *choice, char *out, size_t room)
{
    struct ln__graph *graph = plugin_graph(model, input, classes, LN__NORM_BATCH);
    int count = 0;
    out[0] = 0;
    for (int i = 0; i < graph->params; i++) {
        if (ln__sparse_param(graph, choice, (size_t)i) == 0)
            continue;
        snprintf(out + strlen(out), room - strlen(out), "%s ", graph->param[i].name);
        count++;
    }
    ln__graph_free(graph);
    return count;
}

static void test_layers(void **state)
{
    (void)state;
    char names[4096];
    const struct swat how = {.sparsity = 0.9, .period = 1};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    assert_int_equal(sparse_tensors(&ln__model_resnet18, (struct ln__shape){3, 32, 32}, 10, &choice, names, sizeof names), 16);
    assert_null(strstr(names, "downsample"));
    assert_true(strncmp(names, "layer1.0.conv1.weight ", 22) == 0);
    assert_int_equal(sparse_tensors(&ln__model_femnist_cnn, (struct ln__shape){1, 28, 28}, 62, &choice, names, sizeof names), 3);
    assert_string_equal(names, "conv1.weight conv2.weight fc1.weight ");
    assert_int_equal(sparse_tensors(&ln__model_resnet9, (struct ln__shape){3, 32, 32}, 10, &choice, names, sizeof names), 7);
    assert_int_equal(sparse_tensors(&ln__model_mobilenetv2, (struct ln__shape){3, 32, 32}, 10, &choice, names, sizeof names), 0);
    const struct swat points = {.sparsity = 0.9, .period = 1, .pointwise = true};
    const struct ln_choice pointwise = {&ln__sparsity_swat.plugin, &points};
    assert_int_equal(sparse_tensors(&ln__model_mobilenetv2, (struct ln__shape){3, 32, 32}, 10, &pointwise, names, sizeof names), 34);
    const struct ln_choice none = {&ln__sparsity_none.plugin, NULL};
    assert_int_equal(sparse_tensors(&ln__model_resnet9, (struct ln__shape){3, 32, 32}, 10, &none, names, sizeof names), 0);
    const struct swat zero = {.sparsity = 0, .period = 1};
    const struct ln_choice dense = {&ln__sparsity_swat.plugin, &zero};
    assert_int_equal(sparse_tensors(&ln__model_resnet9, (struct ln__shape){3, 32, 32}, 10, &dense, names, sizeof names), 0);
}

static void test_erk(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_resnet18, (struct ln__shape){3, 32, 32}, 10, LN__NORM_BATCH);
    const struct swat how = {.sparsity = 0.9, .period = 1, .distribution = LN__ERK};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    double kept = 0, all = 0, first = 0, last = 0;
    for (int i = 0; i < graph->params; i++) {
        double sparsity = ln__sparse_param(graph, &choice, (size_t)i);
        if (graph->param[i].dims != 4 || graph->param[i].dim[2] != 3 || graph->param[i].dim[1] == 3)
            continue;
        all += (double)graph->param[i].count;
        kept += (1 - sparsity) * (double)graph->param[i].count;
        first = all == (double)graph->param[i].count ? sparsity : first;
        last = sparsity;
    }
    assert_true(all == 10985472);
    assert_true(fabs(kept / all - 0.1) < 1e-6);
    assert_true(first < 0.5 && last > 0.9);
    ln__graph_free(graph);
}

/* A linear layer counts features and outputs (Evci et al., 2020), not the sides of the map in front of it; layers that keep all of their weights
 * have the power too. At a density of a tenth the spreads 107, 2698 and 138 of convolutions and linear layer share what is left of the first, which is full. */
static void test_erk_linear(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_cnn3x3, (struct ln__shape){1, 28, 28}, 10, LN__NORM_BATCH);
    const struct swat how = {.sparsity = 0.9, .period = 1, .distribution = LN__ERK, .skip_first = LN__FIRST_SPARSE};
    const struct power full = {.sparsity = 0, .power = 2, .period = 1, .distribution = LN__ERK};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how}, power = {&ln__sparsity_powerprop.plugin, &full};
    double of_node[LN__NODES], weights[3], spread[3], sparsity[3], left = 0, factor;
    int layers = 0, raised = 0;
    assert_true(ln__sparse_nodes(graph, &choice, of_node));
    for (int i = 0; i < graph->params; i++) {
        const struct ln__param *param = &graph->param[i];
        if (param->dims < 2 || layers == 3)
            continue;
        weights[layers] = (double)param->count;
        spread[layers] =
            param->dims == 4 ? (double)(param->dim[0] + param->dim[1] + param->dim[2] + param->dim[3]) : (double)(param->dim[0] + param->dim[1]);
        sparsity[layers++] = of_node[param->node];
        left += 0.1 * (double)param->count;
    }
    assert_int_equal(layers, 3);
    assert_true(sparsity[0] == LN__DENSE); /* it would keep more than it has */
    factor = (left - weights[0]) / (spread[1] + spread[2]);
    for (int k = 1; k < 3; k++)
        assert_true(fabs(sparsity[k] - (1 - factor * spread[k] / weights[k])) < 1e-9);
    assert_true(ln__sparse_nodes(graph, &power, of_node));
    for (int i = 0; i < graph->nodes; i++)
        raised += of_node[i] == 0;
    assert_int_equal(raised, 3);
    ln__graph_free(graph);
}

/* ---- one step against the masked reference ---- */

/* Gradients of one step from state on a kernel set, and the thresholds of each sparse layer. */
static int gradients_of(const struct ln__graph *graph, const struct ln__kset *kset, const struct ln_choice *sparsity, const float *from, int n,
                        uint64_t seed, float *gradient, float *threshold)
{
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    const struct ln__plan_args args = args_of(graph, kset, sparsity, &optimizer);
    struct test_net net = test_net(&args, true, true, NULL);
    int layers = 0;
    poison(&net);
    ln__net_load(net.net, from);
    one_step(&net, graph, n, seed);
    ln__net_gradients(net.net, gradient);
    for (int i = 0; i < net.plan->steps; i++) {
        if (net.plan->step[i].sparse.set)
            threshold[layers++] = net.net->levels[i].weights;
    }
    test_net_free(&net);
    return layers;
}

/* Relative to the largest gradient of the parameter's layer: a bias in front of a norm has none but rounding. */
static double layer_difference(const struct ln__graph *graph, int param, const float *a, const float *b)
{
    const struct ln__node *node = &graph->node[graph->param[param].node];
    double scale = 1e-3, worst = 0;
    for (int p = 0; p < node->params; p++) {
        const struct ln__param *of = &graph->param[node->param[p]];
        for (size_t k = of->offset; k < of->offset + of->count && !of->buffer; k++)
            scale = fabs((double)b[k]) > scale ? fabs((double)b[k]) : scale; /* with fmax gcc 12 for ARM fails here */
    }
    for (size_t k = graph->param[param].offset; k < graph->param[param].offset + graph->param[param].count; k++) {
        double off = fabs((double)a[k] - (double)b[k]);
        worst = isnan(off) ? INFINITY : fmax(worst, off);
    }
    return worst / scale;
}

/* The fast set's gradients of one step are the reference's, either way. */
static void match(const struct ln__graph *graph, const struct swat *how, const float *from, int n, int step, const float *truth, int layers,
                  const float *threshold)
{
    float *a = test_floats(graph->state), found[64];
    for (int way = 0; way < 2; way++) {
        struct swat one = *how;
        one.kernels = ways[way];
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &one};
        assert_int_equal(gradients_of(graph, best(), &choice, from, n, (uint64_t)step, a, found), layers);
        for (int l = 0; l < layers; l++)
            assert_true(found[l] == threshold[l]); /* of the same weights, so exactly */
        for (int i = 0; i < graph->trainable_params; i++) {
            double off = layer_difference(graph, i, a, truth);
            if (off > 1e-3)
                fail_msg("step %d, way %d: the gradient of %s differs by %g", step, way, graph->param[i].name, off);
        }
    }
    ln__mem_free(a);
}

/* Each step begins at the reference's state: thresholds, so masks, are equal and gradients within 1e-3. */
static void follow(const struct ln__graph *graph, const struct swat *how, int steps, int n)
{
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    const struct ln_choice sparsity = {&ln__sparsity_swat.plugin, how};
    const struct ln__plan_args args = args_of(graph, ln__kset_named("ref"), &sparsity, &optimizer);
    struct test_net ref = test_net(&args, true, true, NULL);
    float *from = test_floats(graph->state), *b = test_floats(graph->state), tb[64];
    ln__graph_init(graph, 11, from);
    for (int i = 0; i < graph->trainable_params; i++) { /* a channel all of whose weights rest must not lie on the kink of a ReLU */
        for (size_t k = 0; k < graph->param[i].count && strncmp(graph->param[i].name, "norm", 4) == 0 && strstr(graph->param[i].name, ".bias"); k++)
            from[graph->param[i].offset + k] = 0.25f;
    }
    for (int s = 0; s < steps; s++) {
        ln__net_load(ref.net, from);
        one_step(&ref, graph, n, (uint64_t)s);
        ln__net_gradients(ref.net, b);
        int layers = 0;
        for (int i = 0; i < ref.plan->steps; i++) {
            if (ref.plan->step[i].sparse.set)
                tb[layers++] = ref.net->levels[i].weights;
        }
        assert_true(layers > 0);
        match(graph, how, from, n, s, b, layers, tb);
        ln__net_update(ref.net, 0.05);
        ln__net_store(ref.net, from);
    }
    ln__mem_free(from);
    ln__mem_free(b);
    test_net_free(&ref);
}

static void test_follows_reference(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_cnn3x3, (struct ln__shape){3, 16, 16}, 10, LN__NORM_BATCH);
    const double sparsities[] = {0.9, 0.95};
    for (int i = 0; i < 2; i++) {
        const struct swat how = {.sparsity = sparsities[i], .period = 1};
        follow(graph, &how, emulated() ? 3 : 50, 5);
    }
    ln__graph_free(graph);
    if (emulated())
        return;
    graph = plugin_graph(&ln__model_resnet9, (struct ln__shape){3, 16, 16}, 10, LN__NORM_BATCH);
    const struct swat how = {.sparsity = 0.95, .period = 1};
    follow(graph, &how, 2, 4);
    ln__graph_free(graph);
}

/* ---- edges ---- */

static int two_convs(struct ln__graph *graph, int x, const void *how)
{
    (void)how;
    x = ln__build_conv2d(graph, x, "a", (struct ln__conv2d){.out = 20, .k = 3, .pad = 1, .bias = true});
    x = ln__build_relu(graph, ln__build_batchnorm(graph, x, "norm"));
    x = ln__build_conv2d(graph, x, "b", (struct ln__conv2d){.out = 24, .k = 3, .stride = 2, .pad = 1});
    x = ln__build_relu(graph, ln__build_batchnorm(graph, x, "norm2"));
    x = ln__build_linear(graph, ln__build_flatten(graph, x), "fc", 30, true);
    return ln__build_relu(graph, x);
}

static struct ln__graph *small_graph(void)
{
    static const struct test_model model = {.layers = two_convs};
    return test_graph(&model, (struct ln__shape){3, 8, 8}, 4, LN__NORM_BATCH);
}

/* Some steps from the start; *loss is the last one's. */
static float *trained(const struct ln__graph *graph, const struct ln_choice *sparsity, const float *from, int steps, unsigned width,
                      size_t memory_max, double *loss)
{
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    struct ln__plan_args args = args_of(graph, best(), sparsity, &optimizer);
    struct ln__pool *pool = NULL;
    assert_int_equal(ln__pool_new(width, &pool), 0);
    args.width = width;
    args.memory_max = memory_max;
    struct test_net net = test_net(&args, true, true, pool);
    float *x = test_floats(5 * shape_size(graph->input)), *out = test_floats(graph->state);
    int32_t label[5];
    struct ln__loss last = {0};
    poison(&net);
    ln__net_load(net.net, from);
    int64_t live = ln__mem_live();
    for (int s = 0; s < steps; s++) {
        fill_random(x, 5 * shape_size(graph->input), 1, (uint64_t)s % 3);
        fill_labels(label, 5, graph->classes, (uint64_t)s % 3);
        ln__net_forward(net.net, 5, x, true, NULL);
        ln__net_loss(net.net, 5, label, &last);
        ln__net_backward(net.net, 5, NULL, NULL);
        ln__net_update(net.net, 0.02);
    }
    assert_int_equal(ln__mem_live(), live);
    ln__net_store(net.net, out);
    *loss = last.sum;
    if (memory_max)
        assert_true(net.plan->memory.total <= memory_max);
    test_net_free(&net);
    ln__pool_free(pool);
    ln__mem_free(x);
    return out;
}

static void test_edges(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state);
    const double sparsities[] = {0, 0.3, 0.5, 0.9, 0.999, 1};
    for (int zeros = 0; zeros < 2; zeros++) {
        ln__graph_init(graph, 5, from);
        if (zeros)
            memset(from + graph->param[4].offset, 0, graph->param[4].count * sizeof *from); /* b.weight */
        for (int i = 0; i < 12; i++) {
            const struct swat how = {.sparsity = sparsities[i / 2], .period = 3, .kernels = ways[i % 2]};
            const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
            double loss, other;
            float *a = trained(graph, &choice, from, 7, 1, 0, &loss), *b = trained(graph, &choice, from, 7, 3, 0, &other);
            assert_true(isfinite(loss) && loss == other);
            assert_memory_equal(a, b, graph->state * sizeof *a); /* whatever the threads */
            ln__mem_free(b);
            if (sparsities[i / 2] == 0) { /* dense, to the bit */
                b = trained(graph, NULL, from, 7, 1, 0, &other);
                assert_memory_equal(a, b, graph->state * sizeof *a);
                ln__mem_free(b);
            }
            ln__mem_free(a);
        }
    }
    ln__mem_free(from);
    ln__graph_free(graph);
}

/* Sparsity 1: outputs of a layer are its bias, and no gradient reaches its weights. */
static void test_nothing_kept(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state), *gradient = test_floats(graph->state), threshold[8];
    ln__graph_init(graph, 5, from);
    for (int way = 0; way < 2; way++) {
        const struct swat how = {.sparsity = 1, .period = 1, .kernels = ways[way]};
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
        assert_int_equal(gradients_of(graph, best(), &choice, from, 5, 1, gradient, threshold), 3);
        for (int i = 0; i < graph->trainable_params; i++) {
            bool sparse = ln__sparse_param(graph, &choice, (size_t)i) > 0;
            for (size_t k = 0; k < graph->param[i].count && sparse; k++)
                assert_true(gradient[graph->param[i].offset + k] == 0);
        }
        assert_true(isinf(threshold[0]));
    }
    ln__mem_free(from);
    ln__mem_free(gradient);
    ln__graph_free(graph);
}

/* A weight that is not a number is not hidden by the mask: the loss shows it. */
static void test_not_a_number(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state);
    ln__graph_init(graph, 5, from);
    from[graph->param[4].offset + 3] = NAN;
    for (int way = 0; way < 2; way++) {
        const struct swat how = {.sparsity = 0.9, .period = 10, .kernels = ways[way]};
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
        double loss;
        ln__mem_free(trained(graph, &choice, from, 1, 1, 0, &loss));
        assert_true(isnan(loss));
    }
    ln__mem_free(from);
    ln__graph_free(graph);
}

static void test_recomputed(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state);
    ln__graph_init(graph, 5, from);
    for (int i = 0; i < 6; i++) {
        const struct swat how = {.sparsity = 0.9, .period = 2, .structured = i / 2, .kernels = ways[i % 2]};
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
        double room[16], loss, other;
        struct ln_choice optimizer = sgd(room, 0.9);
        const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
        struct test_net net = test_net(&args, true, true, NULL);
        size_t total = net.plan->memory.total;
        test_net_free(&net);
        float *a = trained(graph, &choice, from, 5, 1, 0, &loss), *b = trained(graph, &choice, from, 5, 1, total - 1, &other);
        assert_memory_equal(a, b, graph->state * sizeof *a);
        ln__mem_free(a);
        ln__mem_free(b);
    }
    ln__mem_free(from);
    ln__graph_free(graph);
}

/* Tests see the top weights: what was masked by hand runs dense to the same logits. */
static void evaluate(int kernels)
{
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state), *x = test_floats(5 * shape_size(graph->input)), a[20], b[20];
    ln__graph_init(graph, 5, from);
    fill_random(x, 5 * shape_size(graph->input), 1, 3);
    const struct swat how = {.sparsity = 0.8, .period = 1, .kernels = kernels};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = 5, .kset = best(), .width = 1, .sparsity = &choice};
    struct test_net sparse = test_net(&args, true, true, NULL);
    args.sparsity = NULL;
    struct test_net dense = test_net(&args, true, true, NULL);
    const struct ln__sparse_kset *ref = ln__sparse_kset_named("sparse-ref");
    for (int round = 0; round < 2; round++) {
        ln__net_load(sparse.net, from);
        for (int i = 0; i < graph->trainable_params; i++) {
            float *w = from + graph->param[i].offset, threshold;
            if (ln__sparse_param(graph, &choice, (size_t)i) == 0)
                continue;
            ref->topk(graph->param[i].count, w, ln__sparse_keep(graph->param[i].count, 0.8), &threshold, NULL, NULL);
            for (size_t k = 0; k < graph->param[i].count; k++)
                w[k] = fabsf(w[k]) >= threshold ? w[k] : 0;
        }
        ln__net_load(dense.net, from);
        ln__net_forward(sparse.net, 5, x, false, NULL);
        ln__net_output(sparse.net, 5, a);
        ln__net_forward(dense.net, 5, x, false, NULL);
        ln__net_output(dense.net, 5, b);
        assert_true(difference(a, b, 20) < 1e-4);
        ln__graph_init(graph, 6, from); /* and after another load */
    }
    test_net_free(&sparse);
    test_net_free(&dense);
    ln__mem_free(from);
    ln__mem_free(x);
    ln__graph_free(graph);
}

static void test_evaluation(void **state)
{
    (void)state;
    evaluate(LN__KERNELS_SPARSE);
    evaluate(LN__KERNELS_MASKED);
}

static int with_depth(struct ln__graph *graph, int x, const void *how)
{
    (void)how;
    x = ln__build_conv2d(graph, x, "a", (struct ln__conv2d){.out = 8, .k = 3, .pad = 1, .bias = true});
    x = ln__build_conv2d(graph, x, "b", (struct ln__conv2d){.out = 8, .k = 3, .pad = 1, .bias = true});
    x = ln__build_stochastic_depth(graph, x, 0.5);
    return ln__build_conv2d(graph, x, "c", (struct ln__conv2d){.out = 8, .k = 3, .pad = 1, .bias = true});
}

/* Which samples a layer drops, and that it drops whole ones, has nothing to do with the layout. */
static void test_depth(void **state)
{
    (void)state;
    static const struct test_model model = {.layers = with_depth};
    struct ln__graph *graph = test_graph(&model, (struct ln__shape){3, 8, 8}, 4, LN__NORM_BATCH);
    float *from = test_floats(graph->state), *x = test_floats(5 * shape_size(graph->input)), *gradient[2];
    int32_t label[5];
    struct ln__loss loss[2];
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    ln__graph_init(graph, 5, from);
    fill_random(x, 5 * shape_size(graph->input), 1, 3);
    fill_labels(label, 5, graph->classes, 3);
    for (int way = 0; way < 2; way++) {
        const struct swat how = {.sparsity = 0.5, .period = 1, .kernels = ways[way]};
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
        const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
        const struct ln__net_draw draw = {.key = {.seed = 9}};
        struct test_net net = test_net(&args, true, true, NULL);
        gradient[way] = test_floats(graph->state);
        poison(&net);
        ln__net_load(net.net, from);
        ln__net_forward(net.net, 5, x, true, &draw);
        ln__net_loss(net.net, 5, label, &loss[way]);
        ln__net_backward(net.net, 5, NULL, NULL);
        ln__net_gradients(net.net, gradient[way]);
        test_net_free(&net);
    }
    assert_true(fabs(loss[0].sum - loss[1].sum) < 1e-4);
    assert_true(difference(gradient[0], gradient[1], graph->state) < 1e-3);
    ln__mem_free(gradient[0]);
    ln__mem_free(gradient[1]);
    ln__mem_free(from);
    ln__mem_free(x);
    ln__graph_free(graph);
}

/* ---- variants ---- */

static void test_variants(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state);
    ln__graph_init(graph, 5, from);
    for (int distribution = 0; distribution < 3; distribution++) {
        for (int structured = 0; structured < 3; structured++) {
            const struct swat how = {.sparsity = 0.8, .period = 2, .distribution = distribution, .structured = structured};
            const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
            follow(graph, &how, 4, 5);
            double loss, other;
            float *a = trained(graph, &choice, from, 60, 1, 0, &loss);
            ln__mem_free(trained(graph, &choice, from, 3, 1, 0, &other));
            assert_true(loss < other); /* it learns */
            ln__mem_free(a);
        }
    }
    ln__mem_free(from);
    ln__graph_free(graph);
}

/* Layers share what is kept by the mean magnitude of their momentum (Dettmers and Zettlemoyer, 2019): of 540, 4320 and 11520 weights a fifth, 3276.
 * At 1 to 1 to 2 a quarter is more than the first layer has, so it keeps all 540, and the others share the 2736 that are left. */
static void test_momentum_shares(void **state)
{
    (void)state;
    static const float mean[] = {1, 1, 2};
    static const size_t expected[] = {540, 912, 1824};
    struct ln__graph *graph = small_graph();
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    float *from = test_floats(graph->state), *momentum = test_floats(graph->state);
    ln__graph_init(graph, 5, from);
    for (int way = 0; way < 2; way++) {
        const struct swat how = {.sparsity = 0.8, .period = 1, .distribution = LN__MOMENTUM, .kernels = ways[way]};
        const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
        const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
        struct test_net net = test_net(&args, true, true, NULL);
        int layers = 0;
        for (int i = 0; i < graph->trainable_params; i++) {
            if (ln__sparse_param(graph, &choice, (size_t)i) == 0)
                continue;
            for (size_t k = 0; k < graph->param[i].count; k++) /* magnitudes count */
                momentum[graph->param[i].offset + k] = k % 2 ? mean[layers] : -mean[layers];
            layers++;
        }
        assert_int_equal(layers, 3);
        ln__net_load(net.net, from);
        ln__net_slot_restore(net.net, 0, momentum);
        one_step(&net, graph, 5, 1);
        layers = 0;
        for (int i = 0; i < net.plan->steps; i++) {
            if (net.plan->step[i].sparse.set)
                assert_int_equal(net.net->levels[i].keep, expected[layers++]);
        }
        assert_int_equal(layers, 3);
        test_net_free(&net);
    }
    ln__mem_free(from);
    ln__mem_free(momentum);
    ln__graph_free(graph);
}

/* A momentum distribution needs an optimiser that has momentum. */
static void test_momentum_missing(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    double room[16];
    struct ln_choice optimizer = sgd(room, 0);
    const struct swat how = {.sparsity = 0.8, .period = 2, .distribution = LN__MOMENTUM};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
    struct ln__plan *plan;
    struct ln_fault fault = {0};
    assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "momentum"));
    ln__graph_free(graph);
}

/* Powerprop of power p on w is SWAT on sign(w)|w|^p, its gradient times p |w|^(p-1). */
static void test_powerprop(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state), *raised = test_floats(graph->state), *a = test_floats(graph->state), *b = test_floats(graph->state);
    float threshold[8];
    const double powers[] = {1.25, 1.5, 2};
    for (int p = 0; p < 6; p++) {
        const double by = powers[p / 2];
        const struct power how = {.sparsity = 0.8, .power = by, .period = 1, .kernels = ways[p % 2]};
        const struct swat plain = {.sparsity = 0.8, .period = 1, .kernels = ways[p % 2]};
        const struct ln_choice power = {&ln__sparsity_powerprop.plugin, &how}, swat = {&ln__sparsity_swat.plugin, &plain};
        ln__graph_init(graph, 5, from);
        memcpy(raised, from, graph->state * sizeof *from);
        for (int i = 0; i < graph->trainable_params; i++) {
            float *w = raised + graph->param[i].offset;
            for (size_t k = 0; k < graph->param[i].count && ln__sparse_param(graph, &swat, (size_t)i) > 0; k++)
                w[k] = copysignf(powf(fabsf(w[k]), (float)by), w[k]);
        }
        gradients_of(graph, best(), &power, from, 5, 1, a, threshold);
        gradients_of(graph, best(), &swat, raised, 5, 1, b, threshold);
        for (int i = 0; i < graph->trainable_params; i++) {
            size_t at = graph->param[i].offset, count = graph->param[i].count;
            for (size_t k = at; k < at + count && ln__sparse_param(graph, &swat, (size_t)i) > 0; k++)
                b[k] *= (float)by * powf(fabsf(from[k]), (float)(by - 1));
            assert_true(difference(a + at, b + at, count) < 1e-3);
        }
    }
    ln__mem_free(from);
    ln__mem_free(raised);
    ln__mem_free(a);
    ln__mem_free(b);
    ln__graph_free(graph);
}

/* Thresholds stay for `period` steps and begin anew with a load. */
static void test_period(void **state)
{
    (void)state;
    struct ln__graph *graph = small_graph();
    float *from = test_floats(graph->state), seen[9];
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    const struct swat how = {.sparsity = 0.9, .period = 4};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
    struct test_net net = test_net(&args, true, true, NULL);
    int first = 0;
    while (!net.plan->step[first].sparse.set)
        first++;
    ln__graph_init(graph, 5, from);
    for (int load = 0; load < 2; load++) {
        ln__net_load(net.net, from);
        for (int s = 0; s < 9 - 3 * load; s++) { /* the second load comes in the middle of a period */
            one_step(&net, graph, 5, (uint64_t)s);
            ln__net_update(net.net, 0.05);
            if (load && s < 6)
                assert_true(seen[s] == net.net->levels[first].weights);
            seen[s] = net.net->levels[first].weights;
        }
        assert_true(seen[0] == seen[3] && seen[3] != seen[4]);
    }
    test_net_free(&net);
    ln__mem_free(from);
    ln__graph_free(graph);
}

/* ---- lists or masks ---- */

static const char *kernels_of(const struct ln__model *model, struct ln__shape input, int classes, int batch, unsigned width, const struct swat *how)
{
    struct ln__graph *graph = plugin_graph(model, input, classes, LN__NORM_BATCH);
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, how};
    struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
    args.batch = batch;
    args.width = width;
    struct ln__plan *plan;
    struct ln_fault fault = {0};
    assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_OK);
    const char *name = ln__plan_kernels(plan);
    ln__plan_free(plan);
    ln__graph_free(graph);
    return name;
}

/* Large convolutions are faster by lists, small networks and wide linear layers by masks (with NEON's four lanes cnn3x3's are large enough for
 * lists); threads do not matter; the option decides where it is given. The reference costs the same. */
static void test_choice(void **state)
{
    (void)state;
    const struct ln__shape colour = {3, 32, 32}, digit = {1, 28, 28};
    struct swat how = {.sparsity = 0.9, .period = 10};
    bool fast = strcmp(best()->name, "ref") != 0, neon = strcmp(best()->name, "neon") == 0;
    for (unsigned width = 1; width < 3; width++) {
        assert_memory_equal(kernels_of(&ln__model_resnet18, colour, 10, 10, width, &how), "sparse-", 7);
        assert_memory_equal(kernels_of(&ln__model_resnet9, colour, 10, 10, width, &how), "sparse-", 7);
        assert_memory_equal(kernels_of(&ln__model_femnist_cnn, digit, 62, 10, width, &how), fast ? "masked-" : "sparse-", 7);
        assert_memory_equal(kernels_of(&ln__model_cnn3x3, digit, 10, 10, width, &how), fast && !neon ? "masked-" : "sparse-", 7);
    }
    how.pointwise = true; /* with depthwise ones in between, which only the dense layout is fast at */
    assert_memory_equal(kernels_of(&ln__model_mobilenetv2, colour, 10, 10, 1, &how), fast ? "masked-" : "sparse-", 7);
    how.pointwise = false;
    how.kernels = LN__KERNELS_MASKED;
    assert_memory_equal(kernels_of(&ln__model_resnet9, colour, 10, 10, 1, &how), "masked-", 7);
    how.kernels = LN__KERNELS_SPARSE;
    assert_memory_equal(kernels_of(&ln__model_femnist_cnn, digit, 62, 10, 1, &how), "sparse-", 7);
}

/* In every table: the sparser, the cheaper the lists; what masks cost stays; at 0.9 a middle layer of ResNet-18 goes by lists, LEAF's wide linear
 * layer by masks. */
static void test_costs(void **state)
{
    (void)state;
    static const char *const isas[] = {"avx512", "avx2", "neon"};
    const struct ln__conv middle = {128, 16, 16, 128, 16, 16, 3, 3, 1, 1, 1, 1};
    const struct ln__linear linear = {64, 7, 7, 2048};
    const struct ln__conv wide = ln__sparse_linear(&linear);
    const struct ln__sparse_how how = {.sparsity = 0.9, .power = 1};
    for (int i = 0; i < 3; i++) {
        struct ln__sparse_layer_cost before = ln__sparse_cost(isas[i], &middle, 10, 0.6, &how);
        for (double sparsity = 0.7; sparsity < 0.99; sparsity += 0.1) {
            struct ln__sparse_layer_cost cost = ln__sparse_cost(isas[i], &middle, 10, sparsity, &how);
            assert_true(cost.sparse > 0 && cost.sparse < before.sparse && cost.masked == before.masked);
            before = cost;
        }
        assert_true(before.sparse < before.masked);
        struct ln__sparse_layer_cost cost = ln__sparse_cost(isas[i], &wide, 10, 0.9, &how);
        assert_true(cost.masked < cost.sparse);
    }
}

/* A kernel that no list knows is masked, unless lists are asked for. */
static int large_kernel(struct ln__graph *graph, int x, const void *how)
{
    (void)how;
    x = ln__build_relu(graph, ln__build_conv2d(graph, x, "a", (struct ln__conv2d){.out = 8, .k = 3, .pad = 1}));
    x = ln__build_relu(graph, ln__build_conv2d(graph, x, "b", (struct ln__conv2d){.out = 8, .k = 13, .pad = 6}));
    return ln__build_globalpool(graph, x);
}

static void test_large_kernel(void **state)
{
    (void)state;
    static const struct test_model model = {.layers = large_kernel};
    struct ln__graph *graph = test_graph(&model, (struct ln__shape){3, 16, 16}, 4, LN__NORM_BATCH);
    struct swat how = {.sparsity = 0.9, .period = 1};
    const struct ln_choice either = {&ln__sparsity_swat.plugin, &how};
    float *from = test_floats(graph->state), *a = test_floats(graph->state), *b = test_floats(graph->state), found[8];
    ln__graph_init(graph, 11, from);
    gradients_of(graph, ln__kset_named("ref"), &either, from, 5, 1, b, found);
    gradients_of(graph, best(), &either, from, 5, 1, a, found);
    for (int i = 0; i < graph->trainable_params; i++)
        assert_true(layer_difference(graph, i, a, b) < 1e-3);
    ln__mem_free(from);
    ln__mem_free(a);
    ln__mem_free(b);
    how.kernels = LN__KERNELS_SPARSE;
    double room[16];
    struct ln_choice optimizer = sgd(room, 0.9);
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    const struct ln__plan_args args = args_of(graph, best(), &choice, &optimizer);
    struct ln__plan *plan;
    struct ln_fault fault = {0};
    assert_int_equal(ln__plan_new(&args, &plan, &fault), LN_EUNSUPPORTED);
    assert_non_null(strstr(fault.text, "masked"));
    ln__graph_free(graph);
}

static void test_macs(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_resnet18, (struct ln__shape){3, 32, 32}, 10, LN__NORM_BATCH);
    const struct swat how = {.sparsity = 0.9, .period = 1};
    const struct ln_choice choice = {&ln__sparsity_swat.plugin, &how};
    const struct ln__segment whole = {0, -1};
    double dense = (double)ln__segment_macs_train(graph, whole), sparse = (double)ln__sparse_macs_train(graph, whole, &choice);
    assert_true(ln__sparse_macs_train(graph, whole, NULL) == ln__segment_macs_train(graph, whole));
    assert_true(ln__sparse_macs(graph, whole, NULL) == ln__segment_macs(graph, whole));
    assert_true(sparse < 0.13 * dense && sparse > 0.1 * dense);
    ln__graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),         cmocka_unit_test(test_erk),          cmocka_unit_test(test_follows_reference),
        cmocka_unit_test(test_edges),          cmocka_unit_test(test_nothing_kept), cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_recomputed),     cmocka_unit_test(test_evaluation),   cmocka_unit_test(test_variants),
        cmocka_unit_test(test_period),         cmocka_unit_test(test_powerprop),    cmocka_unit_test(test_momentum_missing),
        cmocka_unit_test(test_macs),           cmocka_unit_test(test_choice),       cmocka_unit_test(test_costs),
        cmocka_unit_test(test_large_kernel),   cmocka_unit_test(test_erk_linear),   cmocka_unit_test(test_depth),
        cmocka_unit_test(test_momentum_shares)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
