#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data_scratch.h>

extern const struct ln__dataset ln__dataset_fractals;

static void same_seed_same_pictures(void **state)
{
    (void)state;
    struct ln__set one, two, other;
    struct ln_fault fault;
    int64_t live = ln__mem_live();
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 5, per_class: 8, test_per_class: 3}", &one, &fault), 0);
    assert_true(one.c == 3 && one.h == 32 && one.w == 32 && one.classes == 5);
    assert_true(one.split[LN__TRAIN].count == 40 && one.split[LN__TEST].count == 15);
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 5, per_class: 8, test_per_class: 3}", &two, &fault), 0);
    assert_memory_equal(one.split[LN__TRAIN].byte, two.split[LN__TRAIN].byte, 40 * 3072);
    assert_memory_equal(one.split[LN__TEST].byte, two.split[LN__TEST].byte, 15 * 3072);
    assert_memory_not_equal(one.split[LN__TRAIN].byte, one.split[LN__TEST].byte, 3072);
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 5, per_class: 8, test_per_class: 3, seed: 2}", &other, &fault), 0);
    assert_memory_not_equal(one.split[LN__TRAIN].byte, other.split[LN__TRAIN].byte, 3072);
    int of[5] = {0};
    for (uint32_t i = 0; i < 40; i++)
        of[one.split[LN__TRAIN].label[i]]++;
    for (int k = 0; k < 5; k++)
        assert_int_equal(of[k], 8);
    ln__set_close(&one);
    ln__set_close(&two);
    ln__set_close(&other);
    assert_int_equal(ln__mem_live(), live);
}

/* A class's pictures are alike and those of others are not: the nearest training picture, by the density of points alone, is of the right
 * class more often than not, where chance is one in eight. And no picture is empty. */
static void classes_differ(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 8, per_class: 40, test_per_class: 10, colour: false}", &set, &fault), 0);
    assert_int_equal(set.c, 1);
    const struct ln__samples *train = &set.split[LN__TRAIN], *test = &set.split[LN__TEST];
    uint32_t right = 0;
    for (uint32_t t = 0; t < test->count; t++) {
        int64_t nearest = INT64_MAX;
        int32_t label = -1, lit = 0;
        for (uint32_t i = 0; i < train->count; i++) {
            int64_t far = 0;
            for (int j = 0; j < 1024; j++) {
                int64_t d = (int64_t)train->byte[i * 1024 + (uint32_t)j] - test->byte[t * 1024 + (uint32_t)j];
                far += d * d;
            }
            if (far < nearest) {
                nearest = far;
                label = train->label[i];
            }
        }
        for (int j = 0; j < 1024; j++)
            lit += test->byte[t * 1024 + (uint32_t)j] > 64;
        assert_true(lit > 10);
        right += label == test->label[t];
    }
    assert_true(2 * right > test->count);
    ln__set_close(&set);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 10000, per_class: 100000}", &set, &fault), LN_ECONFIG);
    assert_fault_has(fault, "lower classes");
    ln__mem_fail_at(4);
    assert_int_equal(scratch_open(&ln__dataset_fractals, "{classes: 2, per_class: 1}", &set, &fault), LN_ENOMEM);
    ln__mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_seed_same_pictures), cmocka_unit_test(classes_differ),
                                       cmocka_unit_test(refuses_what_cannot_be)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
