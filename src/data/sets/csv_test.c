#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data_scratch.h>

#include <math.h>

extern const struct ln__dataset ln__dataset_csv;

static void put(const char *name, const char *text)
{
    scratch_file(name, text, strlen(text));
}

static void opens_csv(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_csv, "{}", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "csv/train.csv: not found");
    put("csv/train.csv", "w,h,who,kind\n1,10,ann,b\n2,20,bob,a\n3,30,ann,b\n4,40,eve,a\n5,50,bob,b\n6,60,eve,a\n");
    int64_t live = ln__mem_live();
    assert_int_equal(scratch_open(&ln__dataset_csv, "{owner: who, test: 0.34, standardize: false}", &set, &fault), 0);
    assert_true(set.c == 2 && set.h == 1 && set.w == 1 && set.classes == 2);
    assert_string_equal(set.class_name[0], "a");
    assert_true(set.split[LN__TRAIN].count == 4 && set.split[LN__TEST].count == 2 && set.split[LN__TRAIN].owners == 3);
    for (int s = 0; s < LN__SPLITS; s++)
        for (uint32_t i = 0; i < set.split[s].count; i++) { /* features, label and owner stayed together */
            float w = set.split[s].real[2 * i];
            assert_true(set.split[s].real[2 * i + 1] == 10 * w);
            assert_int_equal(set.split[s].label[i], (int)w % 2);
            assert_int_equal(set.split[s].owner[i], w == 1 || w == 3 ? 0 : w == 2 || w == 5 ? 1 : 2);
        }
    ln__set_close(&set);
    assert_int_equal(ln__mem_live(), live);
}

static void standardises(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    put("csv/train.csv", "1,7,0\n3,7,1\n5,7,10\n7,7,2\n");
    put("csv/more.csv", "9,8,10\n");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{test_path: more.csv}", &set, &fault), 0);
    assert_true(set.classes == 4 && set.split[LN__TEST].count == 1);
    assert_string_equal(set.class_name[3], "10"); /* numbers by value */
    assert_int_equal(set.split[LN__TEST].label[0], 3);
    const float *x = set.split[LN__TRAIN].real;
    assert_true(fabsf(x[0] + x[2] + x[4] + x[6]) < 1e-5F && fabsf(x[6] * x[6] - 9.0F / 5) < 1e-5F);
    assert_true(x[1] == 0 && set.split[LN__TEST].real[1] == 0); /* a constant feature says nothing */
    assert_true(fabsf(set.split[LN__TEST].real[0] - 5 / sqrtf(5)) < 1e-5F);
    ln__set_close(&set);
}

static void refuses_bad_files(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    put("csv/train.csv", "1,2,a\n1,two,b\n");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "csv/train.csv:2: column 2: \"two\" is not a number");
    put("csv/train.csv", "1,2,a\n1,2,a\n");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "1 distinct labels");
    put("csv/train.csv", "1,2,a\n1,2,caf\xE9\n1,2,a\n1,2,caf\xE9\n");
    int64_t live = ln__mem_live();
    assert_int_equal(scratch_open(&ln__dataset_csv, "{}", &set, &fault), LN_ECORRUPT);
    assert_string_equal(fault.text, "csv: the name of class 1, \"caf?\", is no printable UTF-8; rename it, or bring the file to UTF-8");
    assert_int_equal(ln__mem_live(), live);
    put("csv/train.csv", "1,2,a\n1,2,b\n");
    put("csv/more.csv", "1,2,c\n");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{test_path: more.csv}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "row 1: class \"c\" is not in the training file");
    put("csv/more.csv", "1,2,3,a\n");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{test_path: more.csv}", &set, &fault), LN_ESHAPE);
    assert_fault_has(fault, "3 features; expected 2");
    assert_int_equal(scratch_open(&ln__dataset_csv, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "no row is left for the test split");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_csv), cmocka_unit_test(standardises), cmocka_unit_test(refuses_bad_files)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
