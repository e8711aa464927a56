#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "env_testing.h"
#include "fed/run.h"

/* A strategy from elsewhere may name more clients than there are: no more are drawn than that, and nothing is written behind them. */
static void test_a_pick_from_too_many(void **state)
{
    (void)state;
    struct env_testing t;
    env_testing_open(&t);
    uint32_t from[20], drawn[6], out[20];
    for (uint32_t i = 0; i < 20; i++) {
        from[i] = i % 6;
        out[i] = 77;
    }
    const struct ln_run run = {.env = &t.env, .clients = 6, .drawn = drawn};
    assert_int_equal(ln_run_pick(&run, 0, from, 20, 9, out), 6);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(out[i], i < 6 ? i : 77);
    env_testing_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_pick_from_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
