/* FjORD's widths: a client's own is its device's, a step's is drawn from those up to it. */
#include "nn/nn_testing.h"
#include "nn/sparsity.h"

extern const struct ln__sparsity ln__sparsity_fjord;

struct options { /* as the plug-in's */
    struct ln_reals widths;
    int assign;
    bool nested;
};
static const double widths[] = {1, 0.25, 0.5};

static double share(const struct options *options, uint32_t turn, uint32_t client, int64_t step)
{
    struct ln__sub_how how = {0};
    const struct ln__sub_draw draw = {.key = {.seed = 2, .round = turn, .client = client}, .clients = 9, .step = step};
    ln__sparsity_fjord.submodel(options, &draw, &how);
    assert_false(how.random);
    return how.share;
}

static void test_by_number(void **state)
{
    (void)state;
    const struct options options = {{widths, 3}, 0, true};
    static const double wanted[9] = {0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 1, 1, 1};
    for (uint32_t c = 0; c < 9; c++) {
        assert_true(share(&options, 0, c, LN__SUB_TASK) == wanted[c]);
        assert_true(share(&options, 7, c, LN__SUB_TASK) == wanted[c]); /* whatever the turn */
    }
    assert_true(ln__sparsity_fjord.narrowest(&options) == 0.25);
}

static void test_at_random(void **state)
{
    (void)state;
    const struct options options = {{widths, 3}, 1, true};
    int times[3] = {0};
    for (uint32_t c = 0; c < 3000; c++) {
        double own = share(&options, 0, c, LN__SUB_TASK);
        assert_true(own == share(&options, 1, c, LN__SUB_TASK));
        times[own == 0.25 ? 0 : own == 0.5 ? 1 : 2]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(times[i], 850, 1150);
}

static void test_steps(void **state)
{
    (void)state;
    const struct options nested = {{widths, 3}, 0, true}, fixed = {{widths, 3}, 0, false};
    int times[3] = {0};
    for (int64_t step = 0; step < 3000; step++) {
        double drawn = share(&nested, 4, 8, step);
        assert_true(drawn == share(&nested, 4, 8, step));
        times[drawn == 0.25 ? 0 : drawn == 0.5 ? 1 : 2]++;
        assert_true(share(&nested, 4, 3, step) <= 0.5 && share(&nested, 4, 0, step) == 0.25);
        assert_true(share(&fixed, 4, 8, step) == 1 && share(&fixed, 4, 3, step) == 0.5);
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(times[i], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_number), cmocka_unit_test(test_at_random), cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
