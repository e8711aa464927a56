/* Every model: its graph at its usual input, tensors with names of their own that fill the state, a plan, a step of training that leaves finite weights and
 * moves them, the same bits for one and two threads, and nothing left behind. */
#include "conformance/every.h"
#include "nn/nn.h"
#include <math.h>

enum { BATCH = 2, CLASSES = 10 };

static void check_params(const struct ln__graph *graph)
{
    const struct ln__param *param;
    size_t count = ln__graph_params(graph, &param), at = 0;
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        size_t floats = 1;
        for (int d = 0; d < param[i].dims; d++)
            floats *= (size_t)param[i].dim[d];
        assert_int_equal(floats, param[i].count);
        assert_true(param[i].offset + param[i].count <= ln__graph_state(graph));
        at += param[i].count;
        assert_true(param[i].name[0] != 0);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(param[i].name, param[k].name);
    }
    assert_int_equal(at, ln__graph_state(graph));
    assert_true(ln__graph_trainable(graph) <= at);
}

static void train(const struct ln__graph *graph, const struct ln_choice *optimizer, unsigned threads, float *state)
{
    struct ln__shape in = ln__graph_input(graph);
    size_t pixels = (size_t)in.c * (size_t)in.h * (size_t)in.w;
    struct ln__pool *pool;
    struct ln__plan *plan;
    struct ln__net *net;
    struct ln__loss loss;
    struct ln_fault fault = {0};
    const int32_t label[BATCH] = {1, CLASSES - 1};
    float *x = ln__mem_alloc(BATCH * pixels * sizeof *x);
    assert_non_null(x);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 3, .purpose = LN__FOR_TEST});
    for (size_t i = 0; i < BATCH * pixels; i++)
        x[i] = (float)ln__rng_normal(&rng);
    assert_int_equal(ln__pool_new(threads, &pool), 0);
    const struct ln__plan_args args = {
        .graph = graph, .segment = {0, -1}, .batch = BATCH, .train = true, .kset = ln__kset_best(), .width = threads, .optimizer = optimizer};
    if (ln__plan_new(&args, &plan, &fault) || ln__net_new(plan, pool, &net, &fault))
        fail_msg("%s", fault.text);
    ln__net_load(net, state);
    ln__net_forward(net, BATCH, x, true, &(struct ln__net_draw){.key = {.seed = 1}});
    ln__net_loss(net, BATCH, label, &loss);
    ln__net_backward(net, BATCH, NULL, NULL);
    ln__net_update(net, 0.001);
    ln__net_store(net, state);
    assert_true(isfinite(loss.sum) && loss.sum > 0);
    ln__net_free(net);
    ln__plan_free(plan);
    ln__pool_free(pool);
    ln__mem_free(x);
}

static void test_model(void **state)
{
    const struct ln__model *model = *state;
    struct every_bound bound, sgd;
    struct ln__graph *graph;
    struct ln_fault fault = {0};
    int64_t live = ln__mem_live();
    every_open(LN_KIND_MODEL, *state, &bound);
    assert_int_equal(every_bind(LN_KIND_OPTIMIZER, "sgd", "", &sgd, &fault), 0);
    const struct ln__model_args args = {.input = model->input, .classes = CLASSES};
    if (ln__model_graph(&bound.choice, &args, &graph, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(ln__graph_classes(graph), CLASSES);
    check_params(graph);
    size_t size = ln__graph_state(graph);
    float *first = ln__mem_alloc(size * sizeof *first), *one = ln__mem_alloc(size * sizeof *one), *two = ln__mem_alloc(size * sizeof *two);
    assert_true(first && one && two);
    ln__graph_init(graph, 1, first);
    memcpy(one, first, size * sizeof *one);
    memcpy(two, first, size * sizeof *two);
    train(graph, &sgd.choice, 1, one);
    train(graph, &sgd.choice, 2, two);
    size_t moved = 0;
    for (size_t i = 0; i < size; i++) {
        assert_true(isfinite(one[i]));
        moved += one[i] != first[i];
    }
    assert_true(moved > 0);
    assert_memory_equal(one, two, size * sizeof *one);
    ln__mem_free(first);
    ln__mem_free(one);
    ln__mem_free(two);
    ln__graph_free(graph);
    every_unbind(&bound);
    every_unbind(&sgd);
    assert_int_equal(ln__mem_live(), live);
}

int main(int argc, char **argv)
{
    return every_plugin(LN_KIND_MODEL, test_model, argc, argv);
}
