#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "env_testing.h"
#include "tensor/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct env_testing t;

static void refuses(const char *set, int code, const char *part)
{
    int64_t live = ln__mem_live();
    int error = env_testing_try(&t, set);
    if (error != code || !strstr(t.fault.text, part))
        print_error("%s: %s: %s\n", set, ln_error_name(error), t.fault.text);
    assert_int_equal(error, code);
    assert_non_null(strstr(t.fault.text, part));
    env_testing_close(&t);
    assert_int_equal(ln__mem_live(), live);
}

static void test_a_short_recipe_has_all_it_needs(void **state)
{
    (void)state;
    env_testing_open(&t);
    assert_int_equal(t.env.state, 370);
    assert_int_equal(t.env.trainable, 370);
    assert_int_equal(t.recipe.train.batch, 10);
    assert_string_equal(t.recipe.codec.up.plugin->name, "f32");
    assert_int_equal(t.env.shares.clients, 6);
    env_testing_close(&t);
}

static void test_refuses_by_name(void **state)
{
    (void)state;
    refuses("train.rounds=-1", LN_ECONFIG, "train.rounds");
    refuses("train.sample=7", LN_ECONFIG, "train.sample");
    refuses("model.classes=3", LN_ECONFIG, "model.classes");
    refuses("model.name=resnet9", LN_ECONFIG, "logreg");
    refuses("model.init.kind=all", LN_ECONFIG, "model.init.from");
    refuses("model.init.from=x.safetensors", LN_ECONFIG, "model.init");
    refuses("model.init={kind: partial, from: x.safetensors}", LN_ECONFIG, "no cut points");
    refuses("model.init={kind: all, from: /nowhere/x.safetensors}", LN_ENOENT, "/nowhere/x.safetensors");
    refuses("train.epoch=3", LN_ECONFIG, "train.epochs");
}

/* A model of ones in a file: what of it is taken says the kind. */
static void test_weights_from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-init-XXXXXX", set[200];
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    env_testing_open(&t);
    const struct ln__param *param;
    size_t count = ln__graph_params(t.env.graph, &param);
    float *ones = ln__mem_alloc(t.env.state * sizeof *ones);
    struct ln__safe_tensor tensor[2];
    for (size_t i = 0; i < t.env.state; i++)
        ones[i] = 1;
    for (size_t i = 0; i < count; i++) {
        tensor[i] = (struct ln__safe_tensor){
            .name = param[i].name, .dtype = LN__F32, .rank = (unsigned)param[i].dims, .data = ones, .size = param[i].count * sizeof *ones};
        for (int d = 0; d < param[i].dims; d++)
            tensor[i].shape[d] = param[i].dim[d];
    }
    assert_int_equal(ln__safe_write(path, tensor, count, NULL, 0, NULL), 0);
    env_testing_close(&t);

    snprintf(set, sizeof set, "model.init={kind: all, from: %s}", path);
    assert_int_equal(env_testing_try(&t, set), 0);
    for (size_t i = 0; i < t.env.state; i++)
        assert_true(t.env.initial[i] == 1);
    env_testing_close(&t);

    snprintf(set, sizeof set, "model.init={kind: holistic, from: %s}", path); /* logreg is nothing but a classifier */
    assert_int_equal(env_testing_try(&t, set), 0);
    for (size_t i = 0; i < t.env.state; i++)
        assert_true(t.env.initial[i] != 1);
    env_testing_close(&t);

    env_testing_open(&t);
    ln__graph_params(t.env.graph, &param);
    tensor[0].name = param[0].name;
    assert_int_equal(ln__safe_write(path, tensor, 1, NULL, 0, NULL), 0);
    env_testing_close(&t);
    snprintf(set, sizeof set, "model.init={kind: all, from: %s}", path);
    refuses(set, LN_ENOENT, "fc.bias");
    ln__mem_free(ones);
    unlink(path);
}

/* The budget is of what a device does: forward only of EcoFed's part, of local loss also the head behind it. */
static void test_memory_of_device_halves(void **state)
{
    (void)state;
    static const struct {
        const char *method, *batch, *memory;
        int error;
    } halves[] = {{"method={kind: ecofed, cut: 1}", "train.batch=16", "train.memory_mb=13", 0}, /* on every kernel set */
                  {"method={kind: splitfed, cut: 1}", "train.batch=16", "train.memory_mb=13", LN_ECONFIG},
                  {"method={kind: splitfed, cut: 1}", "train.batch=16", "train.memory_mb=18", 0},
                  {"method={kind: splitfed, cut: 1}", "train.batch=1", "train.memory_mb=3", 0},
                  {"method={kind: localloss, cut: 1}", "train.batch=1", "train.memory_mb=3", LN_ECONFIG},
                  {"method={kind: localloss, cut: 1}", "train.batch=1", "train.memory_mb=5", 0}};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        const char *const set[] = {"model.name=cnn5x5",
                                   "data.set={kind: synthetic, channels: 1, height: 64, width: 64, train: 60, test: 20}",
                                   "train.optimizer={kind: sgd, lr: 0.1, momentum: 0.9}",
                                   halves[i].batch,
                                   halves[i].method,
                                   halves[i].memory,
                                   NULL};
        int error = env_testing_try_all(&t, set);
        if (error != halves[i].error)
            print_error("%s, %s: %s\n", halves[i].method, halves[i].memory, t.fault.text);
        assert_int_equal(error, halves[i].error);
        assert_true(!error || strstr(t.fault.text, "train.memory_mb"));
        env_testing_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_recipe_has_all_it_needs),
        cmocka_unit_test(test_refuses_by_name),
        cmocka_unit_test(test_weights_from_a_file),
        cmocka_unit_test(test_memory_of_device_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
