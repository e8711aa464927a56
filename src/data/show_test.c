#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/show.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[3] = {"cat", "say \"dog\"", "eel"};
static int32_t label[12] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
static struct ln__set set = {.name = "toy", .classes = 3, .class_name = names, .split = {{.count = 12, .label = label}}};
static uint64_t start[5] = {0, 4, 8, 9, 12};
static uint32_t held[12] = {0, 1, 2, 3, 4, 5, 8, 9, 6, 7, 10, 11};
static const struct ln__shares shares = {.clients = 4, .start = start, .index = held};

static void summarises(void **state)
{
    (void)state;
    struct ln__show_summary s;
    struct ln_fault fault = {0};
    assert_int_equal(ln__show_summarise(&set, &shares, &s, &fault), 0);
    assert_true(s.clients == 4 && s.held == 12 && s.least == 1 && s.median == 4 && s.most == 4);
    assert_true(s.classes_least == 1 && s.classes_most == 2 && fabs(s.classes_mean - 1.5) < 1e-12);
    assert_true(s.divergence > 0.2 && s.divergence < 0.6);
    /* One client with everything is like the whole; two with nothing in common are log 2 apart from half of it: JS = 0.3113. */
    uint64_t one[2] = {0, 12}, two[3] = {0, 4, 8};
    assert_int_equal(ln__show_summarise(&set, &(struct ln__shares){1, one, held}, &s, &fault), 0);
    assert_true(s.divergence < 1e-12);
    uint32_t apart[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_int_equal(ln__show_summarise(&set, &(struct ln__shares){2, two, apart}, &s, &fault), 0);
    assert_true(fabs(s.divergence - 0.311278) < 1e-5);
}

static void draws(void **state)
{
    (void)state;
    char *text;
    size_t size;
    struct ln_fault fault = {0};
    FILE *file = open_memstream(&text, &size);
    assert_int_equal(ln__show_text(file, &set, &shares, &(struct ln__show_args){.title = "toy\x1b[2J", .ascii = true}, &fault), 0);
    fclose(file);
    assert_int_equal(strncmp(text, "toy?[2J\n", 8), 0);
    assert_non_null(strstr(text, "       0  88 .. ..   4\n"));
    assert_non_null(strstr(text, "       1  .. 44 44   4\n"));
    assert_non_null(strstr(text, "     all  33 33 33   12\n"));
    assert_non_null(strstr(text, "4 clients hold 12 of 12 samples: 1 least, 4 median, 4 most"));
    free(text);
    /* Fewer rows than clients, and a terminal too narrow for a column a class. */
    static int32_t many[400];
    static uint32_t index[400];
    static uint64_t at[101];
    for (uint32_t i = 0; i < 400; i++) {
        many[i] = (int32_t)(i % 100);
        index[i] = i;
    }
    for (uint32_t i = 0; i <= 100; i++)
        at[i] = 4 * i;
    const struct ln__set wide = {.name = "wide", .classes = 100, .split = {{.count = 400, .label = many}}};
    file = open_memstream(&text, &size);
    assert_int_equal(
        ln__show_text(file, &wide, &(struct ln__shares){100, at, index}, &(struct ln__show_args){.rows = 10, .columns = 60, .ascii = true}, &fault),
        0);
    fclose(file);
    assert_non_null(strstr(text, "(4 classes a column)"));
    assert_non_null(strstr(text, "\n      90  "));
    assert_non_null(strstr(text, "clients evenly chosen"));
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL && line < strstr(text, "     all  "); line = end + 1)
        assert_true(end - line <= 60);
    free(text);
}

static void writes_tables(void **state)
{
    (void)state;
    char *text;
    size_t size;
    struct ln_fault fault = {0};
    FILE *file = open_memstream(&text, &size);
    assert_int_equal(ln__show_csv(file, &set, &shares, &fault), 0);
    fclose(file);
    assert_string_equal(text, "client,samples,\"cat\",\"say \"\"dog\"\"\",\"eel\"\n0,4,4,0,0\n1,4,0,2,2\n2,1,0,1,0\n3,3,0,1,2\n");
    free(text);
    struct ln__buf out;
    ln__buf_init(&out, 1000);
    assert_int_equal(ln__show_json(&out, &set, &shares, 2, &fault), 0);
    json_t *root = json_loadb((const char *)out.data, out.size, 0, NULL);
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "clients")), 4);
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "classes"), 1)), "say \"dog\"");
    assert_int_equal(json_array_size(json_object_get(root, "counts")), 2);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(root, "client"), 1)), 2);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(json_object_get(root, "counts"), 0), 0)), 4);
    json_decref(root);
    ln__buf_fini(&out);
    ln__buf_init(&out, 100);
    assert_int_equal(ln__show_json(&out, &set, &shares, 2, &fault), LN_EBUDGET);
    assert_non_null(strstr(fault.text, "larger than 100 bytes"));
    ln__buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(summarises), cmocka_unit_test(draws), cmocka_unit_test(writes_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
