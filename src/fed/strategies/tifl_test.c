/* The source itself: its options are its own. */
#include "fed/strategies/tifl.c"
#define TESTED ln__strategy_tifl
#include "strategy_testing.h"

static void ranks_make_probabilities(void **unused)
{
    (void)unused;
    struct state self = {.tiers.count = 3};
    double accuracy[3] = {0.5, 0.2, 0.9};
    for (int t = 0; t < 3; t++)
        self.tier[t] = (struct tier){.accuracy = accuracy[t], .credits = 1};
    change_probabilities(&self);
    assert_true(self.tier[0].probability == 2.0 / 6 && self.tier[1].probability == 3.0 / 6 && self.tier[2].probability == 1.0 / 6);
    self.tier[1].credits = 0;
    change_probabilities(&self);
    assert_true(self.tier[0].probability == 2.0 / 3 && self.tier[1].probability == 0 && self.tier[2].probability == 1.0 / 3);
    self.tier[0].credits = 0;
    change_probabilities(&self);
    assert_true(self.tier[2].probability == 1);
}

/* Two tiers of three; whichever is drawn first, its round is the weighted mean of its own clients alone, and lasts as long as its slowest. */
static void a_round_is_fedavg_in_a_tier(void **unused)
{
    (void)unused;
    options.tiers = 2;
    struct ln_run *run = fake_new(6, 3);
    run->train = step_up;
    for (uint32_t i = 0; i < 6; i++) {
        run->samples[i] = 10 * (i + 1);
        run->latency[i] = i < 3 ? 1 : 10;
    }
    fake_start(run);
    double before = 0, started = 1;
    bool seen[2] = {false};
    for (uint64_t version = 1; version <= 12; version++) {
        fake_until_version(run, version);
        bool slow = run->now - started > 5;
        assert_true(fabs(run->now - started - (slow ? 10 : 1)) < 1e-9);
        seen[slow] = true;
        double fast_mean = (10 * 1 + 20 * 2 + 30 * 3) / 60.0, slow_mean = (40 * 4 + 50 * 5 + 60 * 6) / 150.0;
        before += slow ? slow_mean : fast_mean;
        assert_true(fabs(run->model->x[0] - before) < 1e-7);
        started = run->now;
        if (version == 10)
            break; /* the evaluation that follows takes clients away */
    }
    assert_true(seen[0] && seen[1]);
    assert_true(run->progress == 10);
    fake_free(run);
}

/* The tier with the worst accuracy is drawn most; nobody more often than credits allow before all have been spent. */
static void worse_tiers_train_more(void **unused)
{
    (void)unused;
    options.tiers = 3;
    options.every = 5;
    options.credits = 1000;
    struct ln_run *run = fake_new(30, 5);
    for (uint32_t i = 0; i < 30; i++) {
        run->latency[i] = 1 + i / 10;
        run->accuracy[i] = i / 10 == 1 ? 0.1 : i / 10 == 0 ? 0.5 : 0.9;
    }
    fake_start(run);
    fake_until_version(run, 600);
    struct state *self = run->self;
    uint64_t used[3];
    for (int t = 0; t < 3; t++)
        used[t] = 1000 - self->tier[t].credits;
    assert_int_equal(used[0] + used[1] + used[2], 601); /* the one under way */
    assert_true(used[1] > used[0] && used[0] > used[2]);
    assert_true(fabs((double)used[1] - 300) < 60 && fabs((double)used[2] - 100) < 40);
    fake_free(run);
}

/* Four each: by the option, or as the run's twelve rounds over three tiers. */
static void credits_bound_a_tier(bool by_option)
{
    options.credits = by_option ? 4 : 0;
    options.tiers = 3;
    options.every = 1000; /* no evaluation takes clients away */
    struct ln_run *run = fake_new(9, 3);
    run->rounds = by_option ? 1000 : 12;
    for (uint32_t i = 0; i < 9; i++)
        run->latency[i] = 1 + i / 3;
    fake_start(run);
    fake_until_version(run, 11);
    struct state *self = run->self;
    for (int t = 0; t < 3; t++)
        assert_int_equal(self->tier[t].credits, 0); /* the twelfth round is under way */
    fake_until_version(run, 12);
    assert_int_equal(self->tier[0].credits + self->tier[1].credits + self->tier[2].credits, 11);
    fake_free(run);
}

static void credits_of_the_option(void **unused)
{
    (void)unused;
    credits_bound_a_tier(true);
}

static void credits_of_the_runs_length(void **unused)
{
    (void)unused;
    credits_bound_a_tier(false);
}

/* Tiers that had no credits at the last evaluation are drawn by their accuracy again as soon as they have some; without an evaluation all stay even. */
static void credits_bring_probabilities(void **unused)
{
    (void)unused;
    options.tiers = 3;
    struct ln_run *run = fake_new(9, 3);
    for (uint32_t i = 0; i < 9; i++)
        run->latency[i] = 1 + i / 3;
    fake_start(run);
    fake_until_version(run, 1);
    struct state *self = run->self;
    static const double accuracy[3] = {0.5, 0.2, 0.9}, before[3][3] = {{1.0 / 3, 1.0 / 3, 1.0 / 3}, {0, 0, 1}, {0, 0, 0}};
    for (int i = 0; i < 3; i++) {
        uint32_t all[9];
        for (uint32_t c = 0; c < 9; c++)
            all[c] = c;
        for (int t = 0; t < 3; t++)
            self->tier[t] = (struct tier){.accuracy = accuracy[t], .probability = before[i][t]};
        assert_true(choose(self, &options, run, all, 9) < 3);
        assert_true(self->tier[0].probability == (i == 0 ? 1.0 / 3 : 2.0 / 6));
        assert_true(self->tier[1].probability == (i == 0 ? 1.0 / 3 : 3.0 / 6));
        assert_true(self->tier[2].probability == (i == 0 ? 1.0 / 3 : 1.0 / 6));
    }
    fake_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ranks_make_probabilities, defaults),
        cmocka_unit_test_setup(a_round_is_fedavg_in_a_tier, defaults),
        cmocka_unit_test_setup(worse_tiers_train_more, defaults),
        cmocka_unit_test_setup(credits_of_the_option, defaults),
        cmocka_unit_test_setup(credits_of_the_runs_length, defaults),
        cmocka_unit_test_setup(credits_bring_probabilities, defaults),
        cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(work_goes_on, defaults),
        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),
        cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
