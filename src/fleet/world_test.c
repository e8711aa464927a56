#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "env_testing.h"
#include "fleet/world.h"
#include <math.h>

#define CLIENTS 600

static struct ln__device_class classes[] = {{.profile = "rpi3", .path = "wifi", .count = 200, .rtt_ms = -1},
                                            {.profile = "rpi4", .path = "wifi", .count = 200, .rtt_ms = -1},
                                            {.profile = "rpi5", .path = "wifi", .count = 200, .rtt_ms = -1}};

static struct ln__world *open_world(struct env_testing *t, struct ln__world_options *options)
{
    struct ln__world *world;
    *options = (struct ln__world_options){.devices = {.item = classes, .count = 3}, .server = {.gflops = 100}, .change = options->change};
    t->env.shares.clients = CLIENTS; /* the world looks at no share where classes go by number */
    assert_int_equal(ln__world_new(options, &t->env, &world, &t->fault), 0);
    return world;
}

/* How many clients are of another class than at the start. */
static int moved(const struct ln__world *world, double time_s, double progress)
{
    int count = 0;
    for (uint32_t c = 0; c < CLIENTS; c++)
        count += ln__world_class(world, c, time_s, progress) != c / 200;
    return count;
}

static void test_a_tenth_changes_every_few_rounds(void **state)
{
    (void)state;
    struct env_testing t;
    env_testing_open(&t);
    struct ln__world_options options = {.change = {.every_rounds = 5, .fraction = 0.1}};
    struct ln__world *world = open_world(&t, &options);
    assert_int_equal(moved(world, 1e6, 4.9), 0);
    int once = moved(world, 0, 5), later = moved(world, 0, 9.99), twice = moved(world, 0, 10), often = moved(world, 0, 500);
    assert_in_range(once, 20, 60); /* 60 draw anew, a third of them the class they had: 40, deviation 6 */
    assert_int_equal(once, later);
    assert_true(twice > once);
    assert_in_range(often, 350, 450);
    for (uint32_t c = 0; c < CLIENTS; c++) /* pure: asked in any order, at any time of the clock */
        assert_int_equal(ln__world_class(world, c, 3, 10), ln__world_class(world, c, 77, 10.5));
    ln__world_free(world);
    options.change.every_s = 5;
    options.change.every_rounds = 0;
    world = open_world(&t, &options);
    assert_int_equal(moved(world, 4.9, 1e6), 0);
    assert_int_equal(moved(world, 5, 0), once);
    ln__world_free(world);
    options.change.every_rounds = 5;
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), LN_ECONFIG);
    t.env.shares.clients = 6;
    env_testing_close(&t);
}

/* A fixed computing time is spread evenly over the task: at half of it half of that time has passed, and the trace's middle is reached. */
static void test_half_a_task_is_spent(void **state)
{
    (void)state;
    struct env_testing t;
    env_testing_open(&t);
    struct ln__device_class fixed = {.profile = "rpi4", .path = "wifi", .compute_s = 3, .up_mbit = 8, .down_mbit = 8, .extra_s = {0}};
    struct ln__world_options options = {.devices = {.item = &fixed, .count = 1}, .server = {.gflops = 100}};
    struct ln__world *world;
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), 0);
    struct ln__trace_row row[] = {{.mark = LN__MARK_PULL, .times = 1, .bytes_down = 1000000, .wire_down = 1000000},
                                  {.mark = LN__MARK_WORK, .times = 1, .macs = 1000},
                                  {.mark = LN__MARK_POST, .times = 1, .bytes_up = 2000000, .wire_up = 2000000}};
    const struct ln__trace trace = {.row = row, .count = 3, .room = 3};
    const struct ln__task task = {.kind = LN_TASK_TRAIN, .site = LN__DEVICE, .epochs = 2};
    struct ln__ledger whole, half;
    double takes = ln__world_takes(world, &task, &trace, &whole, NULL);
    assert_true(fabs(takes - 9) < 1e-9);
    ln__world_spent(world, &task, &trace, takes / 2, &half);
    assert_true(fabs(half.device_s - 3) < 1e-9 && fabs(half.down_s - 1) < 1e-9 && fabs(half.up_s - 0.5) < 1e-9);
    assert_true(fabs(half.joules - whole.joules / 2) < 1e-9);
    assert_int_equal(half.bytes_down, 1000000);
    assert_int_equal(half.bytes_up, 500000);
    ln__world_spent(world, &task, &trace, takes, &half);
    assert_memory_equal(&whole, &half, sizeof whole);
    ln__world_free(world);
    env_testing_close(&t);
}

/* Jitter stretches all that a device does, seconds and joules; what extra_s adds it waits, at idle watts. The server alone has neither. */
static void test_longer_tasks_cost_more(void **state)
{
    (void)state;
    struct env_testing t;
    env_testing_open(&t);
    double extra[] = {20, 20};
    struct ln__device_class class = {.profile = "rpi4", .path = "wifi", .rtt_ms = -1};
    struct ln__world_options options = {.devices = {.item = &class, .count = 1}, .server = {.gflops = 100}};
    struct ln__trace_row row[] = {{.mark = LN__MARK_PULL, .times = 1, .bytes_down = 1000000, .wire_down = 1000000},
                                  {.mark = LN__MARK_WORK, .times = 1, .macs = 1000000000},
                                  {.mark = LN__MARK_POST, .times = 1, .bytes_up = 2000000, .wire_up = 2000000}};
    const struct ln__trace trace = {.row = row, .count = 3, .room = 3};
    struct ln__task task = {.kind = LN_TASK_TRAIN, .site = LN__DEVICE, .epochs = 1};
    struct ln__ledger plain, jittery, late;
    struct ln__world *world;
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), 0);
    double takes = ln__world_takes(world, &task, &trace, &plain, NULL);
    ln__world_free(world);
    class.jitter = 0.5;
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), 0);
    double factor = ln__world_takes(world, &task, &trace, &jittery, NULL) / takes;
    assert_true(fabs(factor - 1) > 0.01);
    assert_true(fabs(jittery.device_s / plain.device_s - factor) < 1e-9 && fabs(jittery.idle_s / plain.idle_s - factor) < 1e-9);
    assert_true(fabs(jittery.joules / plain.joules - factor) < 1e-9);
    ln__world_free(world);
    class.jitter = 0;
    class.extra_s = (struct ln_reals){.item = extra, .count = 2};
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), 0);
    double idle_w = ln__device_profile_named("rpi4")->idle_w;
    assert_true(fabs(ln__world_takes(world, &task, &trace, &late, NULL) - takes - 20) < 1e-9);
    assert_true(fabs(late.idle_s - plain.idle_s - 20) < 1e-9 && late.device_s == plain.device_s);
    assert_true(fabs(late.joules - plain.joules - 20 * idle_w) < 1e-9);
    ln__world_spent(world, &task, &trace, (takes + 20) / 2, &late);
    assert_true(late.idle_s >= 10 && late.idle_s < 10 + plain.idle_s);
    task.site = LN__SERVER;
    ln__world_takes(world, &task, &(struct ln__trace){0}, &late, NULL);
    assert_true(late.idle_s == 0 && late.joules == 0);
    ln__world_free(world);
    env_testing_close(&t);
}

struct drawn {
    double from[LN__LANE_DOWN + 1], to[LN__LANE_DOWN + 1];
};

static void draw(void *context, enum ln__lane lane, double from_s, double to_s)
{
    struct drawn *drawn = context;
    drawn->from[lane] = from_s;
    drawn->to[lane] = to_s;
}

/* A fixed computing time is the device's in the picture, and the links are as busy as they are. */
static void test_a_fixed_time_is_drawn_as_work(void **state)
{
    (void)state;
    struct env_testing t;
    env_testing_open(&t);
    struct ln__device_class fixed = {.profile = "rpi4", .path = "wifi", .compute_s = 3, .up_mbit = 8, .down_mbit = 8};
    struct ln__world_options options = {.devices = {.item = &fixed, .count = 1}, .server = {.gflops = 100}};
    struct ln__world *world;
    assert_int_equal(ln__world_new(&options, &t.env, &world, &t.fault), 0);
    struct ln__trace_row row[] = {{.mark = LN__MARK_PULL, .times = 1, .bytes_down = 1000000, .wire_down = 1000000},
                                  {.mark = LN__MARK_WORK, .times = 1, .macs = 1000},
                                  {.mark = LN__MARK_POST, .times = 1, .bytes_up = 2000000, .wire_up = 2000000}};
    const struct ln__trace trace = {.row = row, .count = 3, .room = 3};
    const struct ln__task task = {.kind = LN_TASK_TRAIN, .site = LN__DEVICE, .epochs = 2, .dispatched_s = 100};
    struct drawn drawn = {{0}, {0}};
    ln__world_spans(world, &task, &trace, &(struct ln__watch){draw, &drawn});
    static const enum ln__lane lanes[] = {LN__LANE_DOWN, LN__LANE_DEVICE, LN__LANE_UP};
    static const double at[] = {100, 101, 107, 109};
    for (int i = 0; i < 3; i++)
        assert_true(fabs(drawn.from[lanes[i]] - at[i]) < 1e-9 && fabs(drawn.to[lanes[i]] - at[i + 1]) < 1e-9);
    ln__world_free(world);
    env_testing_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_tenth_changes_every_few_rounds), cmocka_unit_test(test_half_a_task_is_spent),
                                       cmocka_unit_test(test_longer_tasks_cost_more), cmocka_unit_test(test_a_fixed_time_is_drawn_as_work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
