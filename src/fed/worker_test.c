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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_budget_is_of_training)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
