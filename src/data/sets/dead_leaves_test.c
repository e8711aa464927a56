#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data_scratch.h>

extern const struct ln__dataset ln__dataset_dead_leaves;

static void same_seed_same_pictures(void **state)
{
    (void)state;
    struct ln__set one, two, other;
    struct ln_fault fault;
    int64_t live = ln__mem_live();
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 5, per_class: 8, test_per_class: 3}", &one, &fault), 0);
    assert_true(one.c == 3 && one.h == 32 && one.w == 32 && one.classes == 5);
    assert_true(one.split[LN__TRAIN].count == 40 && one.split[LN__TEST].count == 15);
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 5, per_class: 8, test_per_class: 3}", &two, &fault), 0);
    assert_memory_equal(one.split[LN__TRAIN].byte, two.split[LN__TRAIN].byte, 40 * 3072);
    assert_memory_equal(one.split[LN__TEST].byte, two.split[LN__TEST].byte, 15 * 3072);
    assert_memory_not_equal(one.split[LN__TRAIN].byte, one.split[LN__TEST].byte, 3072);
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 5, per_class: 8, test_per_class: 3, seed: 2}", &other, &fault), 0);
    assert_memory_not_equal(one.split[LN__TRAIN].byte, other.split[LN__TRAIN].byte, 3072);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(one.split[LN__TRAIN].label[i], i % 5);
    ln__set_close(&one);
    ln__set_close(&two);
    ln__set_close(&other);
    assert_int_equal(ln__mem_live(), live);
}

/* The bytes themselves, so that another compiler or processor that makes others is found out. */
static void same_bytes_everywhere(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 8, per_class: 16, test_per_class: 1}", &set, &fault), 0);
    uint64_t sum = 0xCBF29CE484222325U; /* FNV-1a */
    for (size_t i = 0; i < (size_t)128 * 3072; i++)
        sum = (sum ^ set.split[LN__TRAIN].byte[i]) * 0x100000001B3U;
    assert_true(sum == 0x7388AE1708E01C7AU);
    ln__set_close(&set);
}

/* Mean square difference of neighbours `step` apart over twice the variance: 0 for a plane, 1 for white noise. */
static double roughness(const struct ln__samples *samples, int step)
{
    double difference = 0, sum = 0, square = 0;
    for (size_t i = 0; i < samples->count; i++)
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < 32; x++) {
                double value = samples->byte[i * 1024 + (size_t)(y * 32 + x)];
                sum += value;
                square += value * value;
                double d = x + step < 32 ? samples->byte[i * 1024 + (size_t)(y * 32 + x + step)] - value : 0;
                difference += d * d * 32 / (32 - step);
            }
    double n = 1024.0 * samples->count;
    return difference / n / 2 / (square / n - sum / n * sum / n);
}

/* Statistics as of photographs: neighbours are alike and less so the farther apart, light varies more than colour, few pixels are at an end. */
static void pictures_are_natural(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 50, per_class: 6, test_per_class: 1, colour: false}", &set, &fault), 0);
    assert_int_equal(set.c, 1);
    double near = roughness(&set.split[LN__TRAIN], 1), far = roughness(&set.split[LN__TRAIN], 8);
    assert_true(near > 0.03 && near < 0.15);
    assert_true(far > 3 * near && far < 1);
    assert_true(set.std[0] > 0.15F && set.std[0] < 0.3F && set.mean[0] > 0.4F && set.mean[0] < 0.6F);
    ln__set_close(&set);
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 50, per_class: 6, test_per_class: 1}", &set, &fault), 0);
    double light = 0, tint = 0;
    size_t ends = 0, pixels = (size_t)300 * 1024;
    for (size_t i = 0; i < 300; i++)
        for (size_t j = 0; j < 1024; j++) {
            const uint8_t *at = set.split[LN__TRAIN].byte + i * 3072 + j;
            double r = at[0], g = at[1024], b = at[2048], grey = (r + g + b) / 3;
            light += 3 * (grey - 120) * (grey - 120);
            tint += (r - grey) * (r - grey) + (g - grey) * (g - grey) + (b - grey) * (b - grey);
            ends += grey < 1 || grey > 254;
        }
    assert_true(tint > 0.02 * light && tint < 0.3 * light);
    assert_true(ends < pixels / 20);
    ln__set_close(&set);
}

/* Mean colour must not tell the class: the class whose mean is nearest is right seldom, though classes are ten. */
static void colour_tells_little(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 10, per_class: 100, test_per_class: 50}", &set, &fault), 0);
    double mean[10][3] = {0};
    const struct ln__samples *train = &set.split[LN__TRAIN], *test = &set.split[LN__TEST];
    for (size_t i = 0; i < train->count; i++)
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 1024; j++)
                mean[train->label[i]][k] += train->byte[i * 3072 + (size_t)(k * 1024 + j)] / 102400.0;
    uint32_t right = 0;
    for (size_t i = 0; i < test->count; i++) {
        double own[3] = {0}, least = 1e9;
        int32_t label = -1;
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < 1024; j++)
                own[k] += test->byte[i * 3072 + (size_t)(k * 1024 + j)] / 1024.0;
        for (int32_t c = 0; c < 10; c++) {
            double far = 0;
            for (int k = 0; k < 3; k++)
                far += (own[k] - mean[c][k]) * (own[k] - mean[c][k]);
            label = far < least ? c : label;
            least = far < least ? far : least;
        }
        right += label == test->label[i];
    }
    assert_true(right < test->count * 3 / 10);
    ln__set_close(&set);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 10000, per_class: 100000}", &set, &fault), LN_ECONFIG);
    assert_fault_has(fault, "lower classes");
    ln__mem_fail_at(4);
    assert_int_equal(scratch_open(&ln__dataset_dead_leaves, "{classes: 2, per_class: 1}", &set, &fault), LN_ENOMEM);
    ln__mem_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_seed_same_pictures), cmocka_unit_test(same_bytes_everywhere),
                                       cmocka_unit_test(pictures_are_natural), cmocka_unit_test(colour_tells_little),
                                       cmocka_unit_test(refuses_what_cannot_be)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
