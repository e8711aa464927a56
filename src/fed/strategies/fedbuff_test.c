/* The source itself: its options are its own. */
#include "fed/strategies/fedbuff.c"
#define TESTED ln__strategy_fedbuff
#include "strategy_testing.h"

/* K = 2, three clients that are always busy; eta = 1/2. */
static void three_arrivals_by_hand(void **unused)
{
    (void)unused;
    options.buffer = 2;
    options.eta = 0.5;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->latency[0] = 1, run->latency[1] = 1.5, run->latency[2] = 10;
    fake_start(run);
    assert_true(fake_step(run)); /* t = 1: client 0, difference 1 */
    assert_int_equal(run->version, 0);
    near(run, 0);
    fake_until_version(run, 1); /* t = 1.5: client 1, difference 2 */
    near(run, 0.5 * (1 + 2) / 2);
    /* t = 2: client 0 began at t = 1 from version 0, one version late: 1/sqrt 2. t = 3: client 1 began at 1.5 from version 0 as well. The mean is over K,
     * not over the sum of the factors. */
    fake_until_version(run, 2);
    assert_true(run->now == 3);
    near(run, 0.75 + 0.5 * (1 + 2) / sqrt(2) / 2);
    assert_true(fabs(run->progress - 4.0 / 3) < 1e-12);
    fake_free(run);
}

/* What arrives while a buffer is being folded belongs to the next one, and is a version later than it looks. */
static void arrivals_during_a_fold(void **unused)
{
    (void)unused;
    options.buffer = 1;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->sum_delay_s = 5;
    run->latency[0] = 1, run->latency[1] = 2, run->latency[2] = 100;
    fake_start(run);
    fake_until_version(run, 1); /* closed at t = 1, published at t = 6 with client 0 alone */
    near(run, 1);
    /* The second: clients 0 and 1 at t = 2, from version 0, one version late; both count, with their mean. Full, it lets nobody begin until 6. */
    fake_until_version(run, 2);
    assert_true(run->now == 11);
    near(run, 1 + (1 + 2) / 2.0 / sqrt(2));
    fake_free(run);
}

static void in_flight_is_kept(void **unused)
{
    (void)unused;
    options.in_flight = 300;
    options.buffer = 1000; /* no fold in between */
    struct ln_run *run = fake_new(400, 10);
    fake_start(run);
    assert_int_equal(run->tasks, 300);
    for (int i = 0; i < 100; i++) {
        assert_true(fake_step(run));
        uint32_t busy = 0;
        for (int c = 0; c < 400; c++)
            busy += run->busy[c];
        assert_int_equal(busy, 300);
    }
    fake_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(three_arrivals_by_hand, defaults), cmocka_unit_test_setup(arrivals_during_a_fold, defaults),
        cmocka_unit_test_setup(in_flight_is_kept, defaults),      cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),           cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),    cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
