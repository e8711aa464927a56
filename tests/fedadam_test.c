/* FedAdam's first step by hand: FedAvg's mean after one round of the same run is what its pseudo-gradient is made of. */
#include "conformance/federation.h"
#include <math.h>

#define RECIPE                                                                                                                                       \
    "model: {name: logreg}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 240, test: 60}, clients: 12}\n"                                          \
    "train: {rounds: 1, sample: 4, optimizer: {kind: sgd, lr: 0.1}}\nfleet: {kind: sim, threads: 1}\n"

static void test_first_step(void **state)
{
    (void)state;
    struct federation federation;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    federation_open(&federation);
    federation_finish(&federation, RECIPE, "strategy=fedavg");
    float *mean = federation.model;
    size_t size = federation.state;
    federation.model = NULL;
    federation_clean(&federation);
    federation_finish(&federation, RECIPE, "strategy={kind: fedadam, eta: 0.05, beta1: 0.8, beta2: 0.9, tau: 0.01}");
    federation.fault = (struct ln_fault){0};
    assert_int_equal(federation_env(&federation, RECIPE, NULL, &conf, &recipe, &blobs, &env), 0);
    assert_int_equal(env.state, size);
    const struct ln__param *param;
    size_t count = ln__graph_params(env.graph, &param), at = 0;
    assert_int_equal(count, 2);
    for (size_t p = 0; p < count; p++) { /* the file holds the tensors in this order */
        for (size_t i = 0; i < param[p].count; i++, at++) {
            double w = (double)env.initial[param[p].offset + i], d = (double)mean[at] - w;
            double m = (1 - 0.8) * d, v = 0.9 * 0.01 * 0.01 + (1 - 0.9) * d * d;
            assert_true(fabs(w + 0.05 * m / (sqrt(v) + 0.01) - (double)federation.model[at]) < 1e-6);
        }
    }
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    ln__mem_free(mean);
    federation_close(&federation);
}

/* Models that the strategy makes, in a store that keeps nothing in memory. */
static void test_without_room_for_a_model(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    federation_finish(&federation, RECIPE, "strategy=fedadam");
    float *model = federation.model;
    federation.model = NULL;
    federation_clean(&federation);
    federation.budget = 1;
    federation_finish(&federation, RECIPE, "strategy=fedadam");
    assert_memory_equal(federation.model, model, federation.state * sizeof *model);
    ln__mem_free(model);
    federation_close(&federation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_step), cmocka_unit_test(test_without_room_for_a_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
