/* The source itself: its options are its own. */
#include "fed/strategies/fedavg.c"
#define TESTED ln__strategy_fedavg
#include "strategy_testing.h"

static double after_two_rounds(void)
{
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->samples[0] = 10, run->samples[1] = 20, run->samples[2] = 70;
    fake_start(run);
    fake_until_version(run, 2);
    double x = run->model->x[0];
    assert_true(run->progress == 2);
    fake_free(run);
    return x;
}

static void weighted_by_samples(void **unused)
{
    (void)unused;
    assert_true(fabs(after_two_rounds() - 2 * (0.1 * 1 + 0.2 * 2 + 0.7 * 3)) < 1e-8);
}

static void all_the_same(void **unused)
{
    (void)unused;
    options.uniform = true;
    assert_true(fabs(after_two_rounds() - 2 * 2.0) < 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(weighted_by_samples, defaults),
        cmocka_unit_test_setup(all_the_same, defaults),
        cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),
        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),
        cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
