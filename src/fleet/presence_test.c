#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fleet/presence.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/linnet-presence-XXXXXX";

static void write_rows(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_rows_in_order(void **state)
{
    (void)state;
    struct ln__presence *presence;
    const struct ln__presence_row *row;
    write_rows("client,time_s,available\n2, 30, 0\n0,10,0 # sleeps\n\n# nobody\n0,20.5,1\r\n2,0,1\n0,40,0");
    assert_int_equal(ln__presence_read(path, 3, &presence, NULL), 0);
    assert_int_equal(ln__presence_rows(presence, &row), 5);
    const struct ln__presence_row expected[] = {{0, 2, true}, {10, 0, false}, {20.5, 0, true}, {30, 2, false}, {40, 0, false}};
    for (size_t i = 0; i < 5; i++)
        assert_true(row[i].time_s == expected[i].time_s && row[i].client == expected[i].client && row[i].available == expected[i].available);
    assert_true(ln__presence_leaves(presence, 0, 0) == 10);
    assert_true(ln__presence_leaves(presence, 0, 10) == 40);
    assert_true(ln__presence_leaves(presence, 0, 40) == INFINITY);
    assert_true(ln__presence_leaves(presence, 1, 0) == INFINITY);
    assert_true(ln__presence_leaves(presence, 2, 29) == 30);
    ln__presence_free(presence);
}

static void test_bad_rows_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {{"0,1,1\n3,1,1\n", ":2:"}, {"0,-1,1\n", ":1:"},  {"0,1\n", ":1:"},     {"0,1,2\n", ":1:"},        {"0,1,1,1\n", ":1:"},
               {"a\nb\n", ":2:"},         {"0,nan,1\n", ":1:"}, {"0.5,1,1\n", ":1:"}, {"1,5,1\n1,5,0\n", "same"}};
    struct ln__presence *presence;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ln_fault fault = {0};
        write_rows(bad[i].text);
        assert_int_equal(ln__presence_read(path, 3, &presence, &fault), LN_ECONFIG);
        assert_null(presence);
        if (!strstr(fault.text, bad[i].says))
            fail_msg("%s: %s", bad[i].text, fault.text);
    }
    struct ln_fault fault = {0};
    FILE *file = fopen(path, "w"); /* a line behind a zero byte would not be seen */
    assert_non_null(file);
    assert_int_equal(fwrite("0,1,1\n\0\n2,1,0\n", 1, 14, file), 14);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ln__presence_read(path, 3, &presence, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "zero byte"));
    fault = (struct ln_fault){0};
    assert_int_equal(ln__presence_read("/nowhere", 3, &presence, &fault), LN_ENOENT);
    assert_int_equal(ln__mem_live(), 0);
}

static int make(void **state)
{
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_in_order), cmocka_unit_test(test_bad_rows_are_named)};
    return cmocka_run_group_tests(tests, make, clean);
}
