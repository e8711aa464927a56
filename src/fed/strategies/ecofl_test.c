/* The source itself: its options are its own. */
#include "fed/strategies/ecofl.c"
#define TESTED ln__strategy_ecofl
#include "strategy_testing.h"

/* Two groups of one client, 1 and 2.2 s; both begin at t = 0.22, when the slower probe is back. */
static void arrivals_by_hand(void **unused)
{
    (void)unused;
    options.groups = 2;
    struct ln_run *run = fake_new(2, 1);
    run->train = step_up;
    run->latency[1] = 2.2;
    fake_start(run);
    double w = 0, fast = 0;
    fake_until_version(run, 1); /* t = 1.22: the fast group from version 0 at version 0 */
    w = 0.4 * w + 0.6 * (fast + 1);
    near(run, w);
    fast = w;
    fake_until_version(run, 2); /* t = 2.22: from 1 at 1; alpha does not shrink from one arrival to the next */
    w = 0.4 * w + 0.6 * (fast + 1);
    near(run, w);
    fast = w;
    fake_until_version(run, 3); /* t = 2.42: the slow group from 0 at 2: s = (1 + 2)^-1/2 */
    double share = 0.6 / sqrt(3);
    w = (1 - share) * w + share * (0 + 2);
    near(run, w);
    fake_until_version(run, 4); /* t = 3.22: the fast one from 2 at 3 */
    share = 0.6 / sqrt(2);
    w = (1 - share) * w + share * (fast + 1);
    near(run, w);
    assert_true(run->progress == 4 && run->last_mu == 0.05);
    fake_free(run);
}

static void inside_a_group_samples_weigh(void **unused)
{
    (void)unused;
    options.groups = 1;
    options.alpha = 1;
    struct ln_run *run = fake_new(3, 3);
    run->train = step_up;
    run->samples[0] = 10, run->samples[1] = 20, run->samples[2] = 50;
    fake_start(run);
    fake_until_version(run, 1);
    near(run, (10 * 1 + 20 * 2 + 50 * 3) / 80.0);
    fake_free(run);
}

static void the_device_half(void **unused)
{
    (void)unused;
    struct ln_local step = {.epoch = 0, .mu = 0.05};
    ln__strategy_ecofl.local(&options, &step);
    assert_true(step.proximal == 0);
    step.epoch = 1;
    ln__strategy_ecofl.local(&options, &step);
    assert_true(step.proximal == 0.05);
}

/* What must hold between any two events: every client in one group or outside, and the groups' sums are their members'. */
static void check(struct ln_run *run)
{
    struct state *self = run->self;
    uint64_t outside = 0, members[LN__GROUPS_MAX] = {0};
    double latency[LN__GROUPS_MAX] = {0}, labels[LN__GROUPS_MAX][FAKE_CLASSES] = {{0}};
    for (uint32_t i = 0; i < run->clients; i++) {
        uint32_t g = self->group_of[i];
        if (g == LN__NO_GROUP) {
            outside++;
            continue;
        }
        assert_true(g < self->groups && self->census.latency[i] >= 0);
        members[g]++;
        latency[g] += self->census.latency[i];
        for (int c = 0; c < run->classes; c++)
            labels[g][c] += run->histogram[i][c];
    }
    assert_int_equal(outside, self->outside);
    for (uint64_t g = 0; g < self->groups; g++) {
        assert_int_equal(members[g], self->group[g].members);
        assert_true(fabs(latency[g] - self->group[g].latency_sum) < 1e-6 * (1 + latency[g]));
        for (int c = 0; c < run->classes; c++)
            assert_true(fabs(labels[g][c] - self->group[g].labels[c]) < 1e-6);
    }
}

/* The story of one client as the traces tell it: "joined 0 moved 1 dropped 100 ..." */
static void story(const struct ln_run *run, uint32_t client, char *out, size_t room)
{
    static const char *const told[] = {"joined", "moved", "dropped", "rejoined"};
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < run->traces; i++) {
        for (size_t k = 0; k < 4; k++) {
            if (run->trace[i].client == client && strcmp(run->trace[i].what, told[k]) == 0)
                at += (size_t)snprintf(out + at, room - at, "%s %g ", told[k], run->trace[i].value);
        }
        assert_true(at < room);
    }
}

static void until(struct ln_run *run, double time_s)
{
    while (run->now < time_s) {
        assert_true(fake_step(run));
        check(run);
    }
}

static const struct group *group_of(const struct ln_run *run, uint32_t client)
{
    const struct state *self = run->self;
    return &self->group[self->group_of[client]];
}

/* Groups at 1, 4 and 10 s: RT = 3, 6 (the farther neighbour) and 6. */
static struct ln_run *three_groups(void)
{
    options.groups = 3;
    options.ewma = 1;
    struct ln_run *run = fake_new(12, 4);
    for (uint32_t i = 0; i < 12; i++)
        run->latency[i] = i < 4 ? 1 : i < 8 ? 4 : 10;
    fake_start(run);
    until(run, 1.5);
    const struct state *self = run->self;
    assert_int_equal(self->groups, 3);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(self->group_of[i], i / 4);
    assert_true(self->group[0].threshold == 3 && self->group[1].threshold == 6 && self->group[2].threshold == 6);
    return run;
}

static void algorithm_1(void **unused)
{
    (void)unused;
    char text[256];
    struct ln_run *run = three_groups();
    /* A little slower: (3.5 + 3) / 4 = 1.625 is within 3 of 3.5. It stays. */
    run->latency[0] = 3.5;
    until(run, 20);
    story(run, 0, text, sizeof text);
    assert_string_equal(text, "joined 0 ");
    /* (5.5 + 3) / 4 = 2.125 is not within 3 of 5.5. Both others admit it, at costs 1.5 / 6 and 4.5 / 6. */
    run->latency[0] = 5.5;
    until(run, 60);
    story(run, 0, text, sizeof text);
    assert_string_equal(text, "joined 0 moved 1 ");
    assert_int_equal(group_of(run, 0)->members, 5);
    assert_true(fabs(group_latency(group_of(run, 0)) - 21.5 / 5) < 1e-9);
    /* Beyond all: dropped, and given no more training. */
    run->latency[0] = 100;
    until(run, 200);
    story(run, 0, text, sizeof text);
    assert_string_equal(text, "joined 0 moved 1 dropped 100 ");
    uint64_t trained = run->trained[0], probed = run->probed[0];
    until(run, 500);
    assert_int_equal(run->trained[0], trained);
    assert_true(run->probed[0] >= probed + 6); /* every 30 s and the 10 the probe takes */
    /* Recovered: the next probe brings it back to where it fits. */
    run->latency[0] = 1;
    until(run, 600);
    story(run, 0, text, sizeof text);
    assert_string_equal(text, "joined 0 moved 1 dropped 100 rejoined 0 ");
    assert_true(run->trained[0] > trained);
    for (uint32_t i = 1; i < 12; i++)
        assert_true(group_of(run, i) == &((struct state *)run->self)->group[i / 4]);
    fake_free(run);
}

/* A client at 7.5 s fits the groups at 4 and at 10; latency alone says 10, the labels say 4. */
static void labels_decide_with_lambda(void **unused)
{
    (void)unused;
    for (int pass = 0; pass < 2; pass++) {
        defaults(NULL);
        options.lambda = pass ? 60 : 0;
        options.groups = 3;
        options.ewma = 1;
        struct ln_run *run = fake_new(12, 4);
        for (uint32_t i = 0; i < 12; i++) {
            run->latency[i] = i < 4 ? 1 : i < 8 ? 4 : 10;
            memset(run->histogram[i], 0, sizeof run->histogram[i]);
            run->histogram[i][i < 4 || i >= 8 ? 0 : 1] = 10; /* 0 where the client and the slow are, 1 in the middle */
        }
        run->latency[0] = 7.5;
        fake_start(run);
        until(run, 1.5);
        struct state *self = run->self;
        /* Groups as they would be: all but client 0 by speed. */
        for (uint32_t i = 0; i < 12; i++)
            remove_member(self, run, i);
        for (uint32_t i = 1; i < 12; i++)
            add_member(self, run, i / 4, i);
        assert_int_equal(best_group(self, &options, run, 0, UINT64_MAX), pass ? 1 : 2);
        /* JS by hand: 10 of label 0 with 40 of label 1, against 80 and 40. */
        double a[2] = {10, 40}, b[2] = {80, 40};
        double js = 0.5 *
                    (0.2 * log(0.2 / (13.0 / 30)) + 0.8 * log(0.8 / (17.0 / 30)) + 2 / 3.0 * log(2 / 3.0 / (13.0 / 30)) +
                     1 / 3.0 * log(1 / 3.0 / (17.0 / 30))) /
                    log(2);
        assert_true(fabs(ln__js(a, b, 2) - js) < 1e-12);
        ln__labels(run, 0, self->labels);
        double wanted = 3.5 / self->group[1].threshold + (pass ? 60 * js : 0);
        assert_true(fabs(cost(self, &options, run, 1, 7.5, self->labels) - wanted) < 1e-12);
        fake_free(run);
    }
}

static struct {
    uint32_t client[128];
    size_t count;
} sent; /* who was sent out, one after the other */

static void note_client(struct ln_run *run, uint32_t client, const double *from, double *to)
{
    (void)run, (void)from, (void)to;
    if (sent.count < sizeof sent.client / sizeof *sent.client)
        sent.client[sent.count++] = client;
}

/* Thirty clients of one label of three each, three a round: at random they seldom have all labels, chosen among all of them always. Chosen or not, different
 * clients have their turn. */
static void candidates_even_a_round(void **unused)
{
    (void)unused;
    for (int pass = 0; pass < 2; pass++) {
        int whole = 0;
        bool met[30] = {false};
        options.groups = 1;
        options.candidates = pass ? 10 : 1;
        struct ln_run *run = fake_new(30, 3);
        for (uint32_t i = 0; i < 30; i++) {
            memset(run->histogram[i], 0, sizeof run->histogram[i]);
            run->histogram[i][i % 3] = 10;
        }
        run->train = note_client;
        sent.count = 0;
        fake_start(run);
        fake_until_version(run, 40);
        for (size_t i = 0; i + 3 <= 120; i += 3)
            whole += (1 << sent.client[i] % 3 | 1 << sent.client[i + 1] % 3 | 1 << sent.client[i + 2] % 3) == 7;
        int different = 0;
        for (size_t i = 0; i < 120; i++) {
            different += !met[sent.client[i]];
            met[sent.client[i]] = true;
        }
        assert_true(sent.count >= 120);
        assert_true(pass ? whole == 40 : whole < 20);
        assert_true(different > 20);
        fake_free(run);
    }
}

/* The authors' setting, but latency classes in order of labels: COST mixes labels that latency alone would keep apart. */
static void grouping_lowers_skew(void **unused)
{
    (void)unused;
    double mean[2] = {0};
    for (int pass = 0; pass < 2; pass++) {
        options.lambda = pass ? 5 : 0;
        struct ln_run *run = fake_new(300, 10);
        struct ln__rng rng = ln__rng_at((struct ln__key){3, 0, 0, LN__FOR_TEST});
        static const double low[5] = {2, 2, 8, 13, 22}, high[5] = {2, 7, 12, 17, 32};
        for (uint32_t i = 0; i < 300; i++) {
            run->latency[i] = low[i / 60] + (high[i / 60] - low[i / 60]) * ln__rng_unit(&rng);
            memset(run->histogram[i], 0, sizeof run->histogram[i]);
            run->histogram[i][i / 30] = run->histogram[i][(i / 30 + 1) % 10] = 5;
        }
        fake_start(run);
        fake_until_version(run, 1);
        struct state *self = run->self;
        assert_int_equal(self->outside, 0);
        for (uint64_t g = 0; g < self->groups; g++) {
            if (self->group[g].members)
                mean[pass] += skew(self, run, self->group[g].labels) * (double)self->group[g].members / 300;
        }
        check(run);
        fake_free(run);
    }
    assert_true(mean[1] < 0.8 * mean[0]);
}

static bool two_rounds_of_three(const struct ln_run *run, uint32_t client, uint32_t round)
{
    (void)run, (void)client;
    return round % 3 != 0;
}

static void a_deadline_lets_go(void **unused)
{
    (void)unused;
    options.deadline = 2;
    struct ln_run *run = three_groups();
    run->latency[0] = 1000;
    until(run, 40); /* (1 + 3) * 2 = 8 s each, not 1,000 */
    assert_true(run->version > 8);
    struct state *self = run->self;
    assert_int_not_equal(self->group_of[0], 0);
    fake_free(run);
}

/* Rounds in which the server works alone take a millisecond for everybody, which tells nothing of a client: nobody moves, no latency changes. */
static void replay_tells_no_latency(void **unused)
{
    (void)unused;
    struct ln_run *run = three_groups();
    run->replays = two_rounds_of_three;
    fake_until_version(run, 60);
    struct state *self = run->self;
    assert_int_equal(self->moves + self->drops, 0);
    for (uint32_t i = 0; i < run->clients; i++)
        assert_true(self->census.latency[i] == run->latency[i]);
    fake_free(run);
}

static void no_client_lost(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        defaults(NULL);
        options.lambda = (double)(seed % 4);
        options.deadline = seed % 2 ? 0 : 3;
        struct ln_run *run = fake_new(40, 5);
        fake_wild(run, seed);
        struct ln__rng rng = ln__rng_at((struct ln__key){seed, 1, 0, LN__FOR_TEST});
        fake_start(run);
        for (int i = 0; i < 6000; i++) {
            fake_shake(run, &rng);
            if (!fake_step(run))
                fake_roster(run, ln__rng_below(&rng, 40), true);
            check(run);
        }
        struct state *self = run->self;
        assert_true(self->moves > 0);
        run->fail_chance = 0;
        for (uint32_t i = 0; i < 40; i++)
            fake_roster(run, i, true);
        uint64_t trained[40], probed[40], version = run->version;
        memcpy(trained, run->trained, sizeof trained);
        memcpy(probed, run->probed, sizeof probed);
        for (int i = 0; i < 20000; i++) {
            assert_true(fake_step(run));
            check(run);
        }
        /* All train again, but for those that fit nowhere, and they are asked. */
        assert_true(run->version > version + 100);
        for (uint32_t i = 0; i < 40; i++)
            assert_true(self->group_of[i] == LN__NO_GROUP ? run->probed[i] > probed[i] : run->trained[i] > trained[i]);
        fake_free(run);
    }
}

/* All members have gone for good and the rest fits no group: groups are made anew from those. */
static void a_world_that_is_gone(void **unused)
{
    (void)unused;
    options.groups = 2;
    struct ln_run *run = fake_new(6, 3);
    for (uint32_t i = 0; i < 6; i++) {
        run->latency[i] = i < 3 ? 1 + i : 500 + i;
        run->absent[i] = i >= 3;
    }
    fake_start(run);
    fake_until_version(run, 3);
    for (uint32_t i = 0; i < 6; i++)
        fake_roster(run, i, i >= 3);
    fake_until_version(run, run->version + 20);
    check(run);
    for (uint32_t i = 3; i < 6; i++)
        assert_true(run->trained[i] > 0);
    fake_free(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(arrivals_by_hand, defaults),
        cmocka_unit_test_setup(inside_a_group_samples_weigh, defaults),
        cmocka_unit_test_setup(the_device_half, defaults),
        cmocka_unit_test_setup(algorithm_1, defaults),
        cmocka_unit_test_setup(labels_decide_with_lambda, defaults),
        cmocka_unit_test_setup(candidates_even_a_round, defaults),
        cmocka_unit_test_setup(grouping_lowers_skew, defaults),
        cmocka_unit_test_setup(a_deadline_lets_go, defaults),
        cmocka_unit_test_setup(replay_tells_no_latency, defaults),
        cmocka_unit_test_setup(no_client_lost, defaults),
        cmocka_unit_test_setup(a_world_that_is_gone, defaults),
        cmocka_unit_test_setup(checkpoints_change_nothing, defaults),
        cmocka_unit_test_setup(small_worlds, defaults),
        cmocka_unit_test_setup(rounds_without_work, defaults),
        cmocka_unit_test_setup(refusals_leave_nothing, defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
