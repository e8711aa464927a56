/* Federated Dropout's choice: the same number of channels for every client and round, which ones by (seed, turn, client) alone. */
#include "nn/nn_testing.h"
#include "nn/submodel.h"

extern const struct ln__sparsity ln__sparsity_feddropout;
extern const struct ln__model ln__model_cnn5x5;

static void filters(const struct ln__graph *graph, double keep, struct ln__key key, unsigned char *mark)
{
    const struct ln__param *param;
    const struct ln__sub_draw draw = {.key = key, .clients = 100, .step = LN__SUB_TASK};
    struct ln__submodel *part;
    struct ln__submodel_args args = {.graph = graph, .key = key};
    ln__sparsity_feddropout.submodel(&keep, &draw, &args.how);
    assert_true(args.how.share == keep && args.how.random);
    assert_true(ln__sparsity_feddropout.narrowest(&keep) == keep);
    assert_int_equal(ln__submodel_new(&args, &part, NULL), 0);
    ln__graph_params(graph, &param);
    assert_string_equal(param[2].name, "conv2.weight");
    unsigned char *all = ln__mem_zero(param[2].count, 1);
    ln__submodel_mark(part, 2, all);
    for (size_t f = 0; f < 64; f++) {
        mark[f] = 0;
        for (size_t i = 0; i < param[2].count / 64; i++)
            mark[f] |= all[f * (param[2].count / 64) + i];
    }
    ln__mem_free(all);
    ln__submodel_free(part);
}

static size_t count_of(const unsigned char *mark)
{
    size_t count = 0;
    for (int f = 0; f < 64; f++)
        count += mark[f];
    return count;
}

static void test_draws(void **state)
{
    (void)state;
    struct ln__graph *graph = plugin_graph(&ln__model_cnn5x5, (struct ln__shape){1, 16, 16}, 10, LN__NORM_BATCH);
    const struct ln__key key = {.seed = 3, .round = 5, .client = 9}, turn = {.seed = 3, .round = 6, .client = 9},
                         client = {.seed = 3, .round = 5, .client = 10}, seed = {.seed = 4, .round = 5, .client = 9};
    unsigned char a[64], b[64];
    size_t times[64] = {0};
    filters(graph, 0.75, key, a);
    filters(graph, 0.75, key, b);
    assert_memory_equal(a, b, 64);
    assert_int_equal(count_of(a), 48);
    filters(graph, 0.75, turn, b);
    assert_memory_not_equal(a, b, 64);
    filters(graph, 0.75, client, b);
    assert_memory_not_equal(a, b, 64);
    filters(graph, 0.75, seed, b);
    assert_memory_not_equal(a, b, 64);
    filters(graph, 0.001, key, a);
    assert_int_equal(count_of(a), 1);
    filters(graph, 1, key, a);
    assert_int_equal(count_of(a), 64);
    for (uint32_t c = 0; c < 400; c++) { /* every filter as often as any other: 200 times, and some six standard deviations of 10 */
        filters(graph, 0.5, (struct ln__key){.seed = 1, .client = c}, a);
        assert_int_equal(count_of(a), 32);
        for (int f = 0; f < 64; f++)
            times[f] += a[f];
    }
    for (int f = 0; f < 64; f++)
        assert_in_range(times[f], 140, 260);
    ln__graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_draws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
