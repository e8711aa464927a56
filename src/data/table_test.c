#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/formats.h"
#include <string.h>

static int parse(const char *text, const struct ln__csv_args *args, struct ln__csv *out, struct ln_fault *fault)
{
    static const struct ln__csv_args plain = {.separator = ','};
    *fault = (struct ln_fault){0};
    return ln__csv_parse(text, strlen(text), "t.csv", args ? args : &plain, out, fault);
}

static void reads_csv(void **state)
{
    (void)state;
    struct ln__csv csv;
    struct ln_fault fault;
    assert_int_equal(parse("\xef\xbb\xbfx,y,kind\r\n1,2.5,cat\r\n\r\n-3e2, 4 ,\"dog, big\"\n", NULL, &csv, &fault), 0);
    assert_true(csv.rows == 2 && csv.features == 2);
    const float expected[4] = {1, 2.5F, -300, 4};
    assert_memory_equal(csv.value.data, expected, sizeof expected);
    const struct ln__csv_cell *label = (const void *)csv.label.data;
    assert_true(label[0].size == 3 && memcmp(label[0].text, "cat", 3) == 0);
    assert_true(label[1].size == 8 && memcmp(label[1].text, "dog, big", 8) == 0);
    ln__csv_fini(&csv);
}

static void finds_columns(void **state)
{
    (void)state;
    struct ln__csv csv;
    struct ln_fault fault;
    struct ln__csv_args args = {.separator = ';', .label = "kind", .owner = "who"};
    assert_int_equal(parse("who;kind;x\n7;2;1.5\n8;1;2.5\n", &args, &csv, &fault), 0);
    assert_true(csv.rows == 2 && csv.features == 1);
    assert_true(((const struct ln__csv_cell *)(const void *)csv.owner.data)[1].text[0] == '8');
    assert_true(((const struct ln__csv_cell *)(const void *)csv.label.data)[0].text[0] == '2');
    ln__csv_fini(&csv);
    args = (struct ln__csv_args){.separator = ',', .label = "1"};
    assert_int_equal(parse("0,1.5,2\n1,2.5,3\n", &args, &csv, &fault), 0);
    assert_true(csv.rows == 2 && csv.features == 2);
    ln__csv_fini(&csv);
    args.label = "colour";
    assert_int_equal(parse("a,b\n1,2\n", &args, &csv, &fault), LN_ECONFIG);
    ln__csv_fini(&csv);
    assert_non_null(strstr(fault.text, "no column \"colour\""));
    args = (struct ln__csv_args){.separator = ',', .label = "1", .owner = "1"};
    assert_int_equal(parse("1,2\n", &args, &csv, &fault), LN_ECONFIG);
    ln__csv_fini(&csv);
}

/* Whatever the file's size bounds, the row that is cut is named. */
static void names_a_short_row(void **state)
{
    (void)state;
    struct ln__csv csv;
    struct ln_fault fault;
    char text[1000] = "";
    for (size_t row = 0; row < 2; row++)
        for (size_t i = 0; i < 101; i++)
            memcpy(text + 202 * row + 2 * i, i < 100 ? "1," : "a\n", 3);
    memcpy(text + 404, "1,2\n", 5);
    assert_int_equal(parse(text, NULL, &csv, &fault), LN_ECORRUPT);
    assert_string_equal(fault.text, "t.csv:3: 2 cells; expected 101 as in the first line");
    ln__csv_fini(&csv);
}

static void names_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"1,2,a\n3,oops,b\n", "t.csv:2: column 2: \"oops\" is not a number"},
        {"x,y,l\n1,2,a\n\n1,,b\n", "t.csv:4: column 2: \"\" is not a number"},
        {"1,nan,a\n", "t.csv:1: column 2: \"nan\" is not a number"},
        {"1,1e999,a\n", "\"1e999\" is not a number"},
        {"1,0x10,a\n", "\"0x10\" is not a number"},
        {"1,2,a\n1,2\n", "t.csv:2: 2 cells; expected 3"},
        {"1,2,a\n1,2,3,a\n", "t.csv:2: more than 3 cells"},
        {"1,2,a\n1,2,\n", "t.csv:2: column 3: the label is empty"},
        {"1,2,a\n1,\"2,a\n", "t.csv:2: column 2: a quote is not closed"},
        {"1,2,a\n1,\"2\"x,a\n", "t.csv:2: column 2: a quote is not closed or text follows it"},
        {"a,b\n", "a header line but no rows"},
        {"5\n6\n", "expected 2 to 65536 cells"},
        {"\n \n", "no line with data"},
        {"", "no line with data"},
    };
    int64_t live = ln__mem_live();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ln__csv csv;
        struct ln_fault fault;
        assert_int_equal(parse(bad[i].text, NULL, &csv, &fault), LN_ECORRUPT);
        ln__csv_fini(&csv);
        if (!strstr(fault.text, bad[i].says))
            fail_msg("\"%s\" does not hold \"%s\"", fault.text, bad[i].says);
    }
    struct ln__csv csv;
    struct ln_fault fault = {0};
    const struct ln__csv_args args = {.separator = ','};
    assert_int_equal(ln__csv_parse("1,\0,3\n", 6, "t.csv", &args, &csv, &fault), LN_ECORRUPT);
    ln__csv_fini(&csv);
    assert_int_equal(ln__mem_live(), live);
}

static void orders_labels(void **state)
{
    (void)state;
    const struct ln__csv_cell two = {"2", 1}, ten = {"10", 2}, cat = {"cat", 3}, category = {"category", 8};
    assert_true(ln__csv_cell_order(&two, &ten) < 0);
    assert_true(ln__csv_cell_order(&ten, &cat) < 0);
    assert_true(ln__csv_cell_order(&cat, &category) < 0);
    assert_true(ln__csv_cell_order(&cat, &cat) == 0);
    assert_true(ln__csv_cell_order(&category, &two) > 0);
}

struct seen {
    uint32_t rows, values, sum;
};

static int see(void *context, uint32_t number, const uint8_t *value, uint32_t count)
{
    struct seen *seen = context;
    assert_int_equal(number, seen->rows++);
    seen->values += count;
    for (uint32_t i = 0; i < count; i++)
        seen->sum += value[i];
    return number == 9 ? LN_EREFUSED : 0;
}

static void reads_json_rows(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct ln_fault fault = {0};
    const char good[] = " {\"data\" : [[1,2, 255],[],[ 0 ]] }\n";
    assert_int_equal(ln__json_rows(good, sizeof good - 1, "f", 3, see, &seen, &fault), 0);
    assert_true(seen.rows == 3 && seen.values == 4 && seen.sum == 258);
    const char none[] = "{\"data\":[]}";
    assert_int_equal(ln__json_rows(none, sizeof none - 1, "f", 3, see, &seen, &fault), 0);
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"data\"}",
                                      "{\"data\":[[256]]}",
                                      "{\"data\":[[-1]]}",
                                      "{\"data\":[[1 2]]}",
                                      "{\"data\":[[1,2,3,4]]}",
                                      "{\"data\":[[1],]}",
                                      "{\"data\":[[1]]",
                                      "{\"data\":[[1]]} x",
                                      "{\"data\":[[1],2]}",
                                      "{\"data\":[[99999999999]]}",
                                      "{\"atad\":[[1]]}"};
    int64_t live = ln__mem_live();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        seen = (struct seen){0};
        fault = (struct ln_fault){0};
        assert_int_equal(ln__json_rows(bad[i], strlen(bad[i]), "f", 3, see, &seen, &fault), LN_ECORRUPT);
    }
    seen = (struct seen){.rows = 0};
    fault = (struct ln_fault){0};
    const char ten[] = "{\"data\":[[1],[1],[1],[1],[1],[1],[1],[1],[1],[1],[1]]}";
    assert_int_equal(ln__json_rows(ten, sizeof ten - 1, "f", 3, see, &seen, &fault), LN_EREFUSED);
    assert_int_equal(seen.rows, 10);
    assert_int_equal(ln__mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_csv),         cmocka_unit_test(finds_columns),
                                       cmocka_unit_test(names_a_short_row), cmocka_unit_test(names_line_and_column),
                                       cmocka_unit_test(orders_labels),     cmocka_unit_test(reads_json_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
