/* The source itself: its options are its own. */
#include "fed/strategies/fedasync.c"
#define TESTED ln__strategy_fedasync
#include "strategy_testing.h"

/* Three clients always at work. Arrivals at 1 (client 0, fresh), 1.5 (client 1, one version late), 2 (client 0 again, from version 1, one late), 10 (client 2,
 * from version 0). alpha is not multiplied up: the third arrival's share is as the second's. */
static void arrivals_by_hand(void **unused)
{
    (void)unused;
    options.staleness.kind = LN__STALENESS_POLYNOMIAL;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->latency[0] = 1, run->latency[1] = 1.5, run->latency[2] = 1.75;
    fake_start(run);
    fake_until_version(run, 1);
    double w1 = 0.4 * 0 + 0.6 * 1;
    near(run, w1);
    fake_until_version(run, 2); /* t = 1.5 */
    double late = 0.6 / sqrt(2), w2 = (1 - late) * w1 + late * 2;
    near(run, w2);
    fake_until_version(run, 3); /* t = 1.75: client 2 from version 0, two late */
    double later = 0.6 / sqrt(3), w3 = (1 - later) * w2 + later * 3;
    near(run, w3);
    fake_until_version(run, 4); /* t = 2: client 0 from version 1, two late */
    near(run, (1 - later) * w3 + later * (w1 + 1));
    assert_true(fabs(run->progress - 4.0 / 3) < 1e-12);
    fake_free(run);
}

static void hinge_by_hand(void **unused)
{
    (void)unused;
    options.staleness.kind = LN__STALENESS_HINGE;
    options.staleness.a = 10, options.staleness.b = 1, options.alpha = 0.9;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->latency[0] = 1, run->latency[1] = 1.5, run->latency[2] = 1.75;
    fake_start(run);
    fake_until_version(run, 3);
    double w1 = 0.9, w2 = 0.1 * w1 + 0.9 * 2, share = 0.9 / 11;
    near(run, (1 - share) * w2 + share * 3);
    fake_free(run);
}

static bool in_even_rounds(const struct ln_run *run, uint32_t client, uint32_t round)
{
    (void)run, (void)client;
    return round % 2 == 0;
}

/* A method that has no work in a round for clients it keeps nothing of: with nobody under way no version will come, and the round is passed over. */
static void rounds_without_work_are_passed_over(void **unused)
{
    (void)unused;
    struct ln_run *run = fake_new(3, 1);
    run->works = in_even_rounds;
    run->train = step_up;
    fake_start(run);
    fake_until_version(run, 20);
    fake_free(run);
}

/* While one arrival is being mixed in, others wait for it: none is lost, and each is mixed into the model before it. */
static void arrivals_during_a_sum_wait(void **unused)
{
    (void)unused;
    options.staleness.kind = LN__STALENESS_CONSTANT;
    options.alpha = 0.5;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->sum_delay_s = 5;
    run->latency[0] = 1, run->latency[1] = 2, run->latency[2] = 3;
    fake_start(run);
    fake_until_version(run, 3);
    near(run, 0.5 * (0.5 * (0.5 * 1) + 0.5 * 2) + 0.5 * 3);
    fake_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(arrivals_by_hand, defaults),
        cmocka_unit_test_setup(hinge_by_hand, defaults),
        cmocka_unit_test_setup(arrivals_during_a_sum_wait, defaults),
        cmocka_unit_test_setup(rounds_without_work_are_passed_over, defaults),
        cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),
        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),
        cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
