#include "fake_run.h"

#include "fed/grouping.h"
#include "fed/staleness.h"

static void divergences(void **unused)
{
    (void)unused;
    const double even[4] = {5, 5, 5, 5}, one[4] = {9, 0, 0, 0}, half[4] = {2, 2, 0, 0}, other[4] = {0, 0, 1, 1}, noisy[4] = {9, -3, -0.5, 0};
    const double none[4] = {0, -1, 0, 0};
    assert_true(ln__kl_uniform(even, 4) == 0);
    assert_true(fabs(ln__kl_uniform(one, 4) - log(4)) < 1e-15);
    assert_true(fabs(ln__kl_uniform(half, 4) - log(2)) < 1e-15);
    assert_true(ln__kl_uniform(noisy, 4) == ln__kl_uniform(one, 4));
    assert_true(ln__kl_uniform(none, 4) == log(4));
    assert_true(ln__js(even, even, 4) == 0);
    assert_true(fabs(ln__js(half, other, 4) - 1) < 1e-15);
    assert_true(ln__js(noisy, one, 4) == 0);
    assert_true(ln__js(none, one, 4) == 1);
    assert_true(fabs(ln__js(half, even, 4) - ln__js(even, half, 4)) < 1e-15);
    /* half against even: 1/2 (log2 4/3) + 1/2 (1/2 log2 2/3 + 1/2 log2 2) */
    assert_true(fabs(ln__js(half, even, 4) - (0.5 * log2(4.0 / 3) + 0.25 * log2(2.0 / 3) + 0.25)) < 1e-15);
}

static void staleness(void **unused)
{
    (void)unused;
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_CONSTANT, 0.5, 4}, 100) == 1);
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_POLYNOMIAL, 0.5, 4}, 0) == 1); /* not 1/sqrt 0: the +1 */
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_POLYNOMIAL, 0.5, 4}, 3) == 0.5);
    assert_true(fabs(ln__staleness(&(struct ln__staleness){LN__STALENESS_POLYNOMIAL, 2, 4}, 3) - 1.0 / 16) < 1e-15);
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_HINGE, 10, 4}, 4) == 1);
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_HINGE, 10, 4}, 5) == 1.0 / 11);
    assert_true(ln__staleness(&(struct ln__staleness){LN__STALENESS_POLYNOMIAL, 0.5, 4}, -3) == 1);
}

/* The least cost of value[from..n) in k clusters, by trying every cut. */
static double try_all(const double *value, size_t from, size_t n, uint32_t k)
{
    double best = INFINITY;
    for (size_t to = from + 1; to <= n; to++) {
        double mean = 0, sum = 0;
        for (size_t i = from; i < to; i++)
            mean += value[i] / (double)(to - from);
        for (size_t i = from; i < to; i++)
            sum += (value[i] - mean) * (value[i] - mean);
        if (k == 1) {
            if (to == n && sum < best)
                best = sum;
        } else if (to < n) {
            sum += try_all(value, to, n, k - 1);
            best = sum < best ? sum : best;
        }
    }
    return best;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void clusters_against_brute_force(void **unused)
{
    (void)unused;
    struct ln__rng rng = ln__rng_at((struct ln__key){1, 0, 0, LN__FOR_TEST});
    for (int trial = 0; trial < 300; trial++) {
        double value[12], centre[5];
        size_t n = 5 + ln__rng_below(&rng, 8);
        uint32_t k = 1 + ln__rng_below(&rng, 5), different;
        for (size_t i = 0; i < n; i++)
            value[i] = exp(5 * ln__rng_unit(&rng));
        assert_int_equal(ln__kmeans_line(value, n, k, centre, &different), LN_OK);
        assert_int_equal(different, k);
        double cost = 0;
        for (size_t i = 0; i < n; i++) {
            double nearest = INFINITY;
            for (uint32_t c = 0; c < k; c++)
                nearest = fmin(nearest, (value[i] - centre[c]) * (value[i] - centre[c]));
            cost += nearest;
        }
        qsort(value, n, sizeof *value, by_value);
        double best = try_all(value, 0, n, k);
        assert_true(fabs(cost - best) <= 1e-9 * (1 + best));
    }
}

static void clusters_of_few_values(void **unused)
{
    (void)unused;
    const double value[6] = {3, 1, 3, 1, 1, 3}, same[3] = {2, 2, 2};
    double centre[4];
    uint32_t different;
    assert_int_equal(ln__kmeans_line(value, 6, 4, centre, &different), LN_OK);
    assert_int_equal(different, 2);
    assert_true(centre[0] == 1 && centre[1] == 1 && centre[2] == 3 && centre[3] == 3);
    assert_int_equal(ln__kmeans_line(same, 3, 2, centre, &different), LN_OK);
    assert_int_equal(different, 1);
    assert_true(centre[0] == 2 && centre[1] == 2);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        int64_t live = ln__mem_live();
        ln__mem_fail_at(nth);
        assert_int_equal(ln__kmeans_line(value, 6, 4, centre, &different), LN_ENOMEM);
        assert_int_equal(ln__mem_live(), live);
    }
    ln__mem_fail_at(0);
}

static void many_clusters_at_once(void **unused)
{
    (void)unused;
    size_t n = 100000;
    double *value = ln__mem_alloc(n * sizeof *value), centre[5];
    uint32_t different;
    for (size_t i = 0; i < n; i++)
        value[i] = (double)(i % 5) * 10 + (double)(i % 7) * 0.1;
    assert_int_equal(ln__kmeans_line(value, n, 5, centre, &different), LN_OK);
    for (int c = 0; c < 5; c++)
        assert_true(fabs(centre[c] - 10 * c - 0.3) < 1e-3);
    ln__mem_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divergences),
        cmocka_unit_test(staleness),
        cmocka_unit_test(clusters_against_brute_force),
        cmocka_unit_test(clusters_of_few_values),
        cmocka_unit_test(many_clusters_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
