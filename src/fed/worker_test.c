#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "method_testing.h"

/* train.memory_mb is a budget of training: a client's evaluation, of larger batches, does not fall under it. */
static void test_the_budget_is_of_training(void **unused)
{
    (void)unused;
    static struct method_testing m;
    struct ln__result result;
    method_testing_open(&m, (const char *const[]){"method=full", "train.memory_mb=8", "train.epochs=1", "eval.batch=4000", NULL});
    method_testing_run(&m, &result, NULL);
    ln__result_fini(&result);
    m.task.kind = LN_TASK_EVAL;
    ln__task_run(m.worker, &m.task, &result);
    if (result.error)
        print_error("%s\n", result.fault.text);
    assert_int_equal(result.error, 0);
    assert_true(result.samples == 23);
    ln__result_fini(&result);
    method_testing_close(&m);
}

/* Tests on clients run in float, whatever training multiplies in. */
static void test_evaluation_is_in_float(void **unused)
{
    (void)unused;
    static struct method_testing m;
    double trained[2], tested[2];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const char *compute = bf16 ? "train.compute=bf16" : "train.compute=f32";
        method_testing_open(&m, (const char *const[]){"method=full", "model.name=resnet18", compute, "data.set.train=10", "train.epochs=1", NULL});
        struct ln__result result;
        method_testing_run(&m, &result, NULL);
        trained[bf16] = result.loss;
        ln__result_fini(&result);
        m.task.kind = LN_TASK_EVAL;
        ln__task_run(m.worker, &m.task, &result);
        assert_int_equal(result.error, 0);
        tested[bf16] = result.loss;
        ln__result_fini(&result);
        method_testing_close(&m);
    }
    assert_true(trained[0] != trained[1]);
    assert_true(tested[0] == tested[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_budget_is_of_training), cmocka_unit_test(test_evaluation_is_in_float)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
