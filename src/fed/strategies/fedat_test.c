/* The source itself: its options are its own. */
#include "fed/strategies/fedat.c"
#define TESTED ln__strategy_fedat
#include "strategy_testing.h"

/* Three tiers of one client, 1, 2.2 and 5 s; all begin at t = 0.5, when the slowest probe is back. */
static void arrivals_by_hand(void **unused)
{
    (void)unused;
    options.tiers = 3;
    struct ln_run *run = fake_new(3, 1);
    run->train = step_up;
    run->latency[0] = 2.2, run->latency[1] = 5, run->latency[2] = 1; /* tiers: client 2, 0, 1 */
    fake_start(run);
    fake_until_version(run, 1); /* t = 1.5, tier 1: w_1 = 3, T = 1 0 0; all the weight is on tier 3's, which is still the initial model */
    near(run, 0);
    fake_until_version(run, 2); /* t = 2.5, tier 1 */
    near(run, 0);
    fake_until_version(run, 3); /* t = 2.7, tier 2: w_2 = 1, T = 2 1 0: w = 0 w_1 + 1/3 w_2 + 2/3 w_3 */
    assert_true(fabs(run->now - 2.7) < 1e-9);
    near(run, 1.0 / 3);
    fake_until_version(run, 4); /* t = 3.5, tier 1 from 0: w_1 = 3, T = 3 1 0 */
    near(run, 1.0 / 4);
    fake_until_version(run, 5); /* t = 4.5, tier 1 from 1/4: w_1 = 3.25, T = 4 1 0 */
    near(run, 1.0 / 5);
    fake_until_version(run, 6); /* t = 4.9, tier 2 from 1/3: w_2 = 4/3, T = 4 2 0 */
    near(run, 2.0 / 6 * 4 / 3);
    fake_until_version(run, 7); /* t = 5.5, tier 3 from 0: w_3 = 2, T = 4 2 1: the slowest counts most */
    near(run, 1.0 / 7 * 3.25 + 2.0 / 7 * 4 / 3 + 4.0 / 7 * 2);
    assert_true(run->last_mu == 0.4);
    fake_free(run);
}

static void inside_a_tier_samples_weigh(void **unused)
{
    (void)unused;
    options.tiers = 1;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->samples[0] = 10, run->samples[1] = 20, run->samples[2] = 50;
    fake_start(run);
    fake_until_version(run, 1);
    near(run, (10 * 1 + 20 * 2 + 50 * 3) / 80.0);
    assert_true(run->progress == 1);
    fake_free(run);
}

/* Folds that take longer than a round of the fast tier: tiers wait for a sum that has their result in it, none is lost. */
static void slow_folds(void **unused)
{
    (void)unused;
    options.tiers = 3;
    struct ln_run *run = fake_new(9, 3);
    run->sum_delay_s = 3;
    for (uint32_t i = 0; i < 9; i++)
        run->latency[i] = 1 + i / 3;
    fake_start(run);
    fake_until_version(run, 50);
    struct state *self = run->self;
    double rounds = 0;
    for (int t = 0; t < 3; t++)
        rounds += (double)self->updates[t] - (self->cohort[t].phase == LN__COHORT_READY || self->cohort[t].phase == LN__COHORT_MIXING);
    assert_true(run->progress == rounds);
    fake_free(run);
}

static void the_device_half(void **unused)
{
    (void)unused;
    struct ln_local step = {.epoch = 0, .mu = 0.4};
    ln__strategy_fedat.local(&options, &step);
    assert_true(step.proximal == 0.4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(arrivals_by_hand, defaults),
        cmocka_unit_test_setup(inside_a_tier_samples_weigh, defaults),
        cmocka_unit_test_setup(slow_folds, defaults),
        cmocka_unit_test_setup(the_device_half, defaults),
        cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),
        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),
        cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
