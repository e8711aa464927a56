/* Parts of networks: which channels go together, tensors cut out and put back, and that a part computes what the whole computes when all else is zero. */
#include "nn/submodel.h"

#include "nn/layer.h"
#include "nn/nn_testing.h"
#include "nn/trainer.h"

extern const struct ln__model ln__model_cnn5x5, ln__model_resnet18, ln__model_mobilenetv2, ln__model_mobilenetv3_large, ln__model_efficientnet_b0;
extern const struct ln__optimizer ln__optimizer_sgd;

enum { BATCH = 3, CLASSES = 10 };

static struct ln__submodel *part_of(const struct ln__graph *graph, double share, bool random, uint32_t client, const struct ln__submodel *within)
{
    struct ln__submodel *part;
    struct ln_fault fault = {0};
    const struct ln__submodel_args args = {.graph = graph, .how = {share, random}, .key = {.seed = 7, .client = client}, .within = within};
    if (ln__submodel_new(&args, &part, &fault))
        fail_msg("%s", fault.text);
    return part;
}

static const struct ln__param *named(const struct ln__graph *graph, const char *name)
{
    const struct ln__param *param;
    size_t count = ln__graph_params(graph, &param);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(param[i].name, name) == 0)
            return &param[i];
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void check_dims(const struct ln__graph *graph, const char *name, int64_t a, int64_t b, int64_t c)
{
    const struct ln__param *param = named(graph, name);
    assert_int_equal(param->dim[0], a);
    assert_int_equal(param->dims > 1 ? param->dim[1] : 1, b);
    assert_int_equal(param->count, a * b * c);
}

/* Hand counted: half of 32, 64 and 512; the input's channel, the logits and the 4 x 4 positions of the flattened tensor stay. */
static void test_shapes(void **state)
{
    (void)state;
    struct ln__graph *whole = plugin_graph(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, CLASSES, LN__NORM_BATCH);
    struct ln__submodel *part = part_of(whole, 0.5, true, 1, NULL);
    const struct ln__graph *graph = ln__submodel_graph(part);
    check_dims(graph, "conv1.weight", 16, 1, 25);
    check_dims(graph, "conv1.bias", 16, 1, 1);
    check_dims(graph, "conv2.weight", 32, 16, 25);
    check_dims(graph, "fc1.weight", 256, 32 * 16, 1);
    check_dims(graph, "fc2.weight", CLASSES, 256, 1);
    check_dims(graph, "fc2.bias", CLASSES, 1, 1);
    assert_int_equal(ln__graph_state(graph), 147146);
    const uint64_t macs = 16 * 25 * 256 + 32 * 16 * 25 * 64 + 256 * 32 * 16 + CLASSES * 256;
    assert_int_equal(ln__segment_macs(graph, (struct ln__segment){0, -1}), macs);
    ln__submodel_free(part);
    ln__graph_free(whole);
}

/* A residual stage's tensors are one group: all convolutions that end in the additions of a stage keep the same filters, those in between have their own. */
static void test_residual(void **state)
{
    (void)state;
    struct ln__graph *whole = plugin_graph(&ln__model_resnet18, (struct ln__shape){3, 32, 32}, CLASSES, LN__NORM_RUNNING);
    struct ln__submodel *part = part_of(whole, 0.3, true, 2, NULL);
    check_dims(ln__submodel_graph(part), "layer2.0.conv1.weight", 39, 20, 9); /* ceil of 38.4 and 19.2 */
    check_dims(ln__submodel_graph(part), "layer4.1.bn2.running_var", 154, 1, 1);
    static const char *const same[][2] = {{"bn1.weight", "layer1.0.bn2.weight"},
                                          {"bn1.weight", "layer1.1.bn2.bias"},
                                          {"layer3.0.bn2.weight", "layer3.0.downsample.1.weight"},
                                          {"layer3.0.bn2.running_mean", "layer3.1.bn2.weight"}};
    static const char *const other[][2] = {{"layer1.0.bn1.weight", "layer1.0.bn2.weight"}, {"layer1.0.bn1.weight", "layer1.1.bn1.weight"}};
    unsigned char *mark = ln__mem_zero(ln__graph_state(whole), 1);
    const struct ln__param *param;
    size_t count = ln__graph_params(whole, &param);
    for (size_t p = 0; p < count; p++)
        ln__submodel_mark(part, p, mark + param[p].offset);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_memory_equal(mark + named(whole, same[i][0])->offset, mark + named(whole, same[i][1])->offset, named(whole, same[i][0])->count);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_memory_not_equal(mark + named(whole, other[i][0])->offset, mark + named(whole, other[i][1])->offset, named(whole, other[i][0])->count);
    ln__mem_free(mark);
    ln__submodel_free(part);
    ln__graph_free(whole);
}

static void run(const struct ln__graph *graph, bool train, const float *state, const float *x, const int32_t *label, float *logits, float *gradient)
{
    const struct ln__plan_args args = {.graph = graph, .segment = {0, -1}, .batch = BATCH, .train = true, .kset = ln__kset_best(), .width = 1};
    struct test_net net = test_net(&args, true, true, NULL);
    struct ln__loss loss;
    ln__net_load(net.net, state);
    ln__net_forward(net.net, BATCH, x, train, NULL);
    ln__net_output(net.net, BATCH, logits);
    if (train) {
        ln__net_loss(net.net, BATCH, label, &loss);
        ln__net_backward(net.net, BATCH, NULL, NULL);
        ln__net_gradients(net.net, gradient);
    }
    test_net_free(&net);
}

/* The part's logits are the whole one's with every tensor outside of it zero, and so are its gradients. Norms of channels that are all zero give their shift:
 * zero too; a gate of a channel that is not there scales zeros. train false: no gradients, for models with dropout, whose draws are by place. */
static void check_computes(const struct ln__model *model, struct ln__shape input, bool random, bool train)
{
    struct ln__graph *whole = plugin_graph(model, input, CLASSES, LN__NORM_BATCH);
    struct ln__submodel *part = part_of(whole, 0.4, random, 3, NULL);
    const struct ln__graph *graph = ln__submodel_graph(part);
    size_t all = ln__graph_state(whole), few = ln__graph_state(graph), pixels = shape_size(input);
    float *state = test_floats(all), *zeros = test_floats(all), *small = test_floats(few), *x = test_floats(BATCH * pixels);
    float *g = test_floats(all), *g_small = test_floats(few), *g_part = test_floats(few), y[2][BATCH * CLASSES];
    int32_t label[BATCH];
    assert_true(few < all / 3);
    fill_random(x, BATCH * pixels, 1, 5);
    fill_labels(label, BATCH, CLASSES, 6);
    ln__graph_init(whole, 9, state);
    ln__submodel_take_all(part, state, small);
    ln__submodel_give_all(part, small, zeros);
    run(graph, train, small, x, label, y[0], g_small);
    run(whole, train, zeros, x, label, y[1], g);
    ln__submodel_take_all(part, g, g_part);
    assert_true(difference(y[0], y[1], BATCH * CLASSES) < 1e-4);
    assert_true(difference(g_small, g_part, ln__graph_trainable(graph)) < 1e-3);
    float *const all_of_them[] = {state, zeros, small, x, g, g_small, g_part};
    for (size_t i = 0; i < sizeof all_of_them / sizeof *all_of_them; i++)
        ln__mem_free(all_of_them[i]);
    ln__submodel_free(part);
    ln__graph_free(whole);
}

static void test_computes_as_the_whole(void **state)
{
    (void)state;
    check_computes(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, true, true);
    check_computes(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, false, true);
    check_computes(&ln__model_resnet18, (struct ln__shape){3, 16, 16}, true, true);
    check_computes(&ln__model_mobilenetv2, (struct ln__shape){3, 64, 64}, true, false);
    check_computes(&ln__model_mobilenetv3_large, (struct ln__shape){3, 64, 64}, true, false);
}

/* Models with depthwise convolutions, squeezing and scaling are cut like the others, and taken apart and put together they are what they were. */
static void test_round_trip(void **state)
{
    (void)state;
    const struct ln__model *const model[] = {&ln__model_mobilenetv2, &ln__model_mobilenetv3_large, &ln__model_efficientnet_b0};
    for (size_t m = 0; m < sizeof model / sizeof *model; m++) {
        struct ln__graph *whole = plugin_graph(model[m], (struct ln__shape){3, 32, 32}, CLASSES, LN__NORM_RUNNING);
        struct ln__submodel *part = part_of(whole, 0.25, true, 4, NULL), *again = part_of(whole, 0.25, true, 4, NULL),
                            *other = part_of(whole, 0.25, true, 5, NULL);
        size_t all = ln__graph_state(whole), few = ln__graph_state(ln__submodel_graph(part));
        float *x = test_floats(all), *y = test_floats(all), *a = test_floats(few), *b = test_floats(few);
        fill_random(x, all, 1, 3);
        memcpy(y, x, all * sizeof *x);
        ln__submodel_take_all(part, x, a);
        ln__submodel_take_all(again, x, b);
        assert_memory_equal(a, b, few * sizeof *a);
        ln__submodel_take_all(other, x, b);
        assert_true(ln__submodel_alike(part, other) && memcmp(a, b, few * sizeof *a) != 0);
        for (size_t i = 0; i < few; i++)
            b[i] = -a[i];
        ln__submodel_give_all(part, b, y);
        size_t changed = 0;
        for (size_t i = 0; i < all; i++)
            changed += y[i] != x[i];
        assert_int_equal(changed, few);
        ln__submodel_give_all(part, a, y);
        assert_memory_equal(x, y, all * sizeof *x);
        ln__mem_free(x);
        ln__mem_free(y);
        ln__mem_free(a);
        ln__mem_free(b);
        ln__submodel_free(part);
        ln__submodel_free(again);
        ln__submodel_free(other);
        ln__graph_free(whole);
    }
}

/* A step of a narrower part inside of a part: what a step of that part by itself does to it (plain SGD), and nothing elsewhere. */
static void test_step_of_a_part(void **state)
{
    (void)state;
    struct ln__graph *whole = plugin_graph(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, CLASSES, LN__NORM_BATCH);
    struct ln__submodel *wide = part_of(whole, 0.5, false, 0, NULL), *narrow = part_of(whole, 0.25, false, 0, NULL),
                        *within = part_of(whole, 0.25, false, 0, wide), *stray;
    const struct ln__submodel_args none = {.graph = whole, .how = {0.6, false}, .within = wide};
    assert_int_equal(ln__submodel_new(&none, &stray, NULL), LN_EINVALID);
    unsigned char options[64];
    test_options(&ln__optimizer_sgd.plugin, options, "lr", 0.1, NULL);
    const struct ln_choice sgd = {&ln__optimizer_sgd.plugin, options};
    struct ln__plan_args args = {.graph = ln__submodel_graph(wide), .batch = BATCH, .kset = ln__kset_best(), .width = 1, .optimizer = &sgd};
    struct ln__trainer *trainer, *alone;
    assert_int_equal(ln__trainer_local(&args, false, NULL, &trainer, NULL), 0);
    args.graph = ln__submodel_graph(narrow);
    assert_int_equal(ln__trainer_local(&args, false, NULL, &alone, NULL), 0);
    size_t all = ln__graph_state(whole), some = ln__graph_state(ln__submodel_graph(wide)), few = ln__graph_state(ln__submodel_graph(narrow));
    float *x = test_floats(BATCH * 256), *start = test_floats(all), *a = test_floats(some), *b = test_floats(some), *c = test_floats(few);
    int32_t label[BATCH];
    fill_random(x, BATCH * 256, 1, 5);
    fill_labels(label, BATCH, CLASSES, 6);
    ln__graph_init(whole, 9, start);
    ln__submodel_take_all(wide, start, a);
    ln__submodel_take_all(narrow, start, c);
    struct ln__trainer_step step = {.n = BATCH, .x = x, .label = label, .lr = 0.1, .part = within};
    struct ln__loss loss[2];
    assert_int_equal(ln__trainer_load(trainer, a, NULL), 0);
    assert_int_equal(ln__trainer_load(alone, c, NULL), 0);
    for (int i = 0; i < 2; i++) {
        step.part = within;
        assert_int_equal(ln__trainer_step(trainer, &step, &loss[0], NULL), 0);
        step.part = NULL;
        assert_int_equal(ln__trainer_step(alone, &step, &loss[1], NULL), 0);
        assert_true(loss[0].sum == loss[1].sum);
    }
    assert_int_equal(ln__trainer_store(trainer, b, NULL), 0);
    assert_int_equal(ln__trainer_store(alone, c, NULL), 0);
    ln__submodel_give_all(within, c, a);
    assert_memory_equal(a, b, some * sizeof *a);
    ln__trainer_free(trainer);
    ln__trainer_free(alone);
    float *const all_of_them[] = {x, start, a, b, c};
    for (size_t i = 0; i < sizeof all_of_them / sizeof *all_of_them; i++)
        ln__mem_free(all_of_them[i]);
    ln__submodel_free(wide);
    ln__submodel_free(narrow);
    ln__submodel_free(within);
    ln__graph_free(whole);
}

static void test_lack_of_memory(void **state)
{
    (void)state;
    struct ln__graph *whole = plugin_graph(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, CLASSES, LN__NORM_BATCH);
    int64_t live = ln__mem_live();
    int error = LN_ENOMEM;
    for (int64_t n = 1; error; n++) {
        struct ln__submodel *part = NULL;
        ln__mem_fail_at(n);
        error = ln__submodel_new(&(struct ln__submodel_args){.graph = whole, .how = {0.5, true}}, &part, NULL);
        ln__mem_fail_at(0);
        assert_true(error == 0 || (error == LN_ENOMEM && !part));
        ln__submodel_free(part);
        assert_int_equal(ln__mem_live(), live);
    }
    ln__graph_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),     cmocka_unit_test(test_residual),       cmocka_unit_test(test_computes_as_the_whole),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_step_of_a_part), cmocka_unit_test(test_lack_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
