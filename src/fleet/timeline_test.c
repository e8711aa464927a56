#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "fleet/timeline.h"

/* 1 GFLOP/s and 8 Mbit/s: half a gigaMAC and a megabyte take a second each. */
static const struct ln__place place = {.gflops = 1, .server_gflops = 10, .path = {8, 16, 100}, .idle_w = 2, .compute_w = 5, .network_w = 3};

static void near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-9))
        fail_msg("%.12g is not %.12g", value, expected);
}

static double run(const struct ln__trace_row *row, size_t count, struct ln__ledger *ledger)
{
    struct ln__trace trace = {.row = (struct ln__trace_row *)row, .count = count, .room = count};
    return ln__timeline(&place, &trace, ledger);
}

static void work_and_pull_follow_each_other(void **state)
{
    (void)state;
    struct ln__ledger ledger;
    const struct ln__trace_row rows[] = {{.mark = LN__MARK_PULL, .times = 1, .bytes_down = 2000000, .wire_down = 2000000},
                                         {.mark = LN__MARK_WORK, .times = 3, .macs = 500000000},
                                         {.mark = LN__MARK_POST, .times = 1, .bytes_up = 990000, .wire_up = 1000000}};
    near(run(rows, 3, &ledger), 0.1 + 1 + 3 + 1 + 0.05);
    near(ledger.down_s, 1);
    near(ledger.device_s, 3);
    near(ledger.up_s, 1);
    near(ledger.idle_s, 0.15);
    near(ledger.joules, 2 * 5.15 + 3 * 3 + 1 * 2);
    assert_int_equal(ledger.bytes_up, 990000);
    assert_int_equal(ledger.wire_up, 1000000);
    assert_int_equal(ledger.device_macs, 1500000000);
}

static void posts_overlap_with_work(void **state)
{
    (void)state;
    struct ln__ledger ledger;
    /* two batches: work 1 s, post 1 s: the second batch is computed while the first is sent */
    const struct ln__trace_row rows[] = {{.mark = LN__MARK_WORK, .times = 1, .macs = 500000000},
                                         {.mark = LN__MARK_POST, .times = 1, .wire_up = 1000000, .server_macs = 2500000000},
                                         {.mark = LN__MARK_WORK, .times = 1, .macs = 500000000},
                                         {.mark = LN__MARK_POST, .times = 1, .wire_up = 1000000, .server_macs = 2500000000}};
    /* sent at 3, there at 3.05, served half a second */
    near(run(rows, 4, &ledger), 3.55);
    near(ledger.server_s, 1);
    near(ledger.idle_s, 0.55);
}

static void calls_wait_for_the_reply(void **state)
{
    (void)state;
    struct ln__ledger ledger;
    const struct ln__trace_row rows[] = {{.mark = LN__MARK_WORK, .times = 1, .macs = 500000000},
                                         {.mark = LN__MARK_CALL, .times = 1, .wire_up = 1000000, .wire_down = 2000000, .server_macs = 2500000000},
                                         {.mark = LN__MARK_WORK, .times = 1, .macs = 500000000}};
    near(run(rows, 3, &ledger), 1 + 1 + 0.05 + 0.5 + 0.05 + 1 + 1);
    near(ledger.idle_s, 0.6);
}

static void the_server_alone_costs_the_device_nothing(void **state)
{
    (void)state;
    struct ln__ledger ledger;
    const struct ln__trace_row row = {.mark = LN__MARK_SERVER, .times = 4, .server_macs = 5000000000};
    near(run(&row, 1, &ledger), 4);
    near(ledger.joules, 0);
    near(ledger.idle_s, 0);
    near(ledger.server_s, 4);
}

/* Second by second: a pull of 2 s, 3 s of work, a call of which 1 s goes up, the server works 1 s and 1 s comes down. */
static void what_was_done_by_then(void **state)
{
    (void)state;
    const struct ln__place no_rtt = {.gflops = 1, .server_gflops = 10, .path = {8, 16, 0}, .idle_w = 2, .compute_w = 5, .network_w = 3};
    struct ln__trace_row row[] = {{.mark = LN__MARK_PULL, .times = 1, .bytes_down = 3000000, .wire_down = 4000000, .wire_up = 10},
                                  {.mark = LN__MARK_WORK, .times = 3, .macs = 500000000},
                                  {.mark = LN__MARK_CALL,
                                   .times = 1,
                                   .bytes_up = 990000,
                                   .wire_up = 1000000,
                                   .server_macs = 5000000000,
                                   .bytes_down = 1000000,
                                   .wire_down = 2000000}};
    const struct ln__trace trace = {.row = row, .count = 3, .room = 3};
    static const struct {
        double until, down_s, device_s, up_s, server_s, idle_s;
        uint64_t bytes_down, wire_down, bytes_up, wire_up;
    } expected[] = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 10},
                    {0.5, 0.5, 0, 0, 0, 0, 750000, 1000000, 0, 10},
                    {2, 2, 0, 0, 0, 0, 3000000, 4000000, 0, 10},
                    {3.5, 2, 1.5, 0, 0, 0, 3000000, 4000000, 0, 10},
                    {5.25, 2, 3, 0.25, 0, 0, 3000000, 4000000, 247500, 250010},
                    {6.75, 2, 3, 1, 0.75, 0.75, 3000000, 4000000, 990000, 1000010},
                    {7.5, 2.5, 3, 1, 1, 1, 3500000, 5000000, 990000, 1000010},
                    {9, 3, 3, 1, 1, 1, 4000000, 6000000, 990000, 1000010}};
    struct ln__ledger whole, ledger;
    near(ln__timeline(&no_rtt, &trace, &whole), 8);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        near(ln__timeline_until(&no_rtt, &trace, expected[i].until, &ledger), 8);
        near(ledger.down_s, expected[i].down_s);
        near(ledger.device_s, expected[i].device_s);
        near(ledger.up_s, expected[i].up_s);
        near(ledger.server_s, expected[i].server_s);
        near(ledger.idle_s, expected[i].idle_s);
        near(ledger.joules, 5 * ledger.device_s + 3 * (ledger.up_s + ledger.down_s) + 2 * ledger.idle_s);
        assert_int_equal(ledger.bytes_down, expected[i].bytes_down);
        assert_int_equal(ledger.wire_down, expected[i].wire_down);
        assert_int_equal(ledger.bytes_up, expected[i].bytes_up);
        assert_int_equal(ledger.wire_up, expected[i].wire_up);
        assert_int_equal(ledger.device_macs, (uint64_t)(expected[i].device_s * 500000000));
        assert_int_equal(ledger.server_macs, (uint64_t)(expected[i].server_s * 5000000000));
    }
    assert_memory_equal(&whole, &ledger, sizeof whole);
}

static void less_never_ends_later(void **state)
{
    (void)state;
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 7, .purpose = LN__FOR_TEST});
    for (int trial = 0; trial < 500; trial++) {
        struct ln__trace_row large[12], small[12];
        for (int i = 0; i < 12; i++) {
            large[i] = (struct ln__trace_row){.mark = (enum ln__mark)ln__rng_below(&rng, 5),
                                              .times = 1 + ln__rng_below(&rng, 3),
                                              .macs = ln__rng_below(&rng, 1000000000),
                                              .server_macs = ln__rng_below(&rng, 1000000000),
                                              .wire_up = ln__rng_below(&rng, 2000000),
                                              .wire_down = ln__rng_below(&rng, 2000000)};
            small[i] = large[i];
            small[i].macs -= small[i].macs / (1 + ln__rng_below(&rng, 4));
            small[i].server_macs -= small[i].server_macs / (1 + ln__rng_below(&rng, 4));
            small[i].wire_up -= small[i].wire_up / (1 + ln__rng_below(&rng, 4));
            small[i].wire_down -= small[i].wire_down / (1 + ln__rng_below(&rng, 4));
        }
        assert_true(run(small, 12, NULL) <= run(large, 12, NULL));
    }
}

static void every_profile_is_whole_and_sourced(void **state)
{
    (void)state;
    size_t count;
    const struct ln__device_profile *device = ln__device_profiles(&count);
    assert_true(count >= 7);
    for (size_t i = 0; i < count; i++) {
        assert_true(device[i].gflops > 0 && device[i].idle_w > 0 && device[i].memory_mb > 0);
        assert_true(device[i].idle_w < device[i].network_w && device[i].network_w <= device[i].compute_w);
        assert_true(device[i].speed_source[0] && device[i].power_source[0]);
        assert_ptr_equal(ln__device_profile_named(device[i].name), &device[i]);
    }
    assert_null(ln__device_profile_named("abacus"));
    const struct ln__path_profile *path = ln__path_profiles(&count);
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(ln__path_profile_named(path[i].name), &path[i]);
    assert_null(ln__path_profile_named("pigeon"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_and_pull_follow_each_other),
        cmocka_unit_test(posts_overlap_with_work),
        cmocka_unit_test(calls_wait_for_the_reply),
        cmocka_unit_test(the_server_alone_costs_the_device_nothing),
        cmocka_unit_test(what_was_done_by_then),
        cmocka_unit_test(less_never_ends_later),
        cmocka_unit_test(every_profile_is_whole_and_sourced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
