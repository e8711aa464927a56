/* The source itself: its options are its own. */
#include "fed/strategies/astraea.c"
#define TESTED ln__strategy_astraea
#include "strategy_testing.h"

static void halve_and_add(struct ln_run *run, uint32_t client, const double *from, double *to)
{
    (void)run;
    for (int d = 0; d < FAKE_DIM; d++)
        to[d] = from[d] / 2 + client + 1;
}

/* Clients 0 and 1 hold the first label, 2 and 3 the second: mediators {0, 2} and {1, 3}. */
static struct ln_run *two_mediators(int64_t passes)
{
    options.gamma = 2;
    options.passes = passes;
    struct ln_run *run = fake_new(4, 4);
    run->classes = 2;
    run->train = halve_and_add;
    for (uint32_t i = 0; i < 4; i++) {
        run->samples[i] = 10 * (i + 1);
        run->histogram[i][0] = i < 2 ? 5 : 0;
        run->histogram[i][1] = i < 2 ? 0 : 5;
    }
    fake_start(run);
    return run;
}

static void one_pass_by_hand(void **unused)
{
    (void)unused;
    struct ln_run *run = two_mediators(1);
    const struct state *self = run->self;
    assert_int_equal(self->mediators, 2);
    const uint32_t expected[4] = {0, 2, 1, 3};
    assert_memory_equal(self->member, expected, sizeof expected);
    fake_until_version(run, 1);
    /* 0: 0 -> 1 -> 3.5; 1: 0 -> 2 -> 5; n_0 = 10 + 30, n_1 = 20 + 40 */
    near(run, (40 * 3.5 + 60 * 5) / 100);
    assert_true(run->now == 2 && run->progress == 1);
    fake_free(run);
}

static void two_passes_by_hand(void **unused)
{
    (void)unused;
    struct ln_run *run = two_mediators(2);
    fake_until_version(run, 1);
    /* 0: 1, 3.5, 2.75, 4.375; 1: 2, 5, 4.5, 6.25 */
    near(run, (40 * 4.375 + 60 * 6.25) / 100);
    assert_true(run->now == 4);
    fake_until_version(run, 2);
    assert_true(run->now == 8);
    fake_free(run);
}

/* A client that vanishes is passed over, with its samples. */
static void a_client_fails(void **unused)
{
    (void)unused;
    struct ln_run *run = two_mediators(1);
    fake_roster(run, 0, false); /* at work */
    fake_roster(run, 3, false); /* its turn has not come */
    fake_until_version(run, 1);
    near(run, (30 * 3 + 20 * 2) / 50.0);
    fake_free(run);
}

static void skewed_clients_complete_one_another(void **unused)
{
    (void)unused;
    options.gamma = 10;
    struct ln_run *run = fake_new(100, 100);
    for (uint32_t i = 0; i < 100; i++) {
        memset(run->histogram[i], 0, sizeof run->histogram[i]);
        run->histogram[i][i / 10] = 10;
    }
    fake_start(run);
    const struct state *self = run->self;
    assert_int_equal(self->mediators, 10);
    for (uint64_t m = 0; m < 10; m++) {
        bool has[10] = {false};
        for (int i = 0; i < 10; i++)
            has[self->member[m * 10 + (uint64_t)i] / 10] = true;
        for (int i = 0; i < 10; i++)
            assert_true(has[i]);
    }
    fake_free(run);
}

/* A record that speaks of more mediators than there can be: refused, and nothing of them is let go of. */
static void a_damaged_record(void **unused)
{
    (void)unused;
    struct ln_run *run = two_mediators(1);
    struct ln_archive archive = {0};
    const uint64_t many = 1000000;
    ln__buf_init(&archive.bytes, 1 << 20);
    assert_int_equal(TESTED.archive(run->self, &options, run, &archive), LN_OK);
    memcpy(archive.bytes.data, &many, sizeof many);
    struct state *self = ln__mem_zero(1, sizeof *self);
    archive.reading = true;
    assert_int_equal(TESTED.archive(self, &options, run, &archive), LN_ECORRUPT);
    assert_int_equal(self->mediators, 0);
    TESTED.stop(self, &options, run);
    ln__mem_free(self);
    ln__buf_fini(&archive.bytes);
    fake_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_pass_by_hand, defaults),    cmocka_unit_test_setup(two_passes_by_hand, defaults),
        cmocka_unit_test_setup(a_client_fails, defaults),      cmocka_unit_test_setup(skewed_clients_complete_one_another, defaults),
        cmocka_unit_test_setup(a_damaged_record, defaults),    cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults), cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
