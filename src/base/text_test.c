#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/text.h"
#include <linnet/error.h>
#include <stdio.h>
#include <string.h>

static void printable_is_utf8_without_control_characters(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "plain ~", "caf\xC3\xA9", "\xC2\xA0", "\xE6\x97\xA5\xE6\x9C\xAC", "\xEF\xBF\xBF", "\xF0\x9F\x90\xA6", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x1b[2J",
                                      "tab\t",
                                      "\x7f",
                                      "caf\xE9",
                                      "\xC2\x9B",
                                      "\xC0\xAF",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF8\x88\x80\x80\x80",
                                      "\x80",
                                      "cut \xE6\x97"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(ln__text_printable(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(ln__text_printable(bad[i]));
        char text[32];
        snprintf(text, sizeof text, "%s", bad[i]);
        assert_true(ln__text_printable(ln__text_clean(text)));
        assert_int_equal(strlen(text), strlen(bad[i]));
    }
    char text[] = "a\x1b[31m caf\xC3\xA9 \xC2\x9B \xE9!";
    assert_string_equal(ln__text_clean(text), "a?[31m caf\xC3\xA9 ?? ?!");
}

static void long_ones_are_cut_between_characters(void **state)
{
    (void)state;
    char text[201];
    assert_string_equal(ln__shown("short\n").text, "short?");
    assert_string_equal(ln__shown_part("cell,next", 4).text, "cell");
    memset(text, 'x', 60);
    text[60] = 0;
    assert_string_equal(ln__shown(text).text, text);
    for (int i = 0; i < 100; i++)
        memcpy(text + 2 * i, "\xC3\xA9", 3);
    struct ln__shown shown = ln__shown(text);
    assert_int_equal(strlen(shown.text), 56 + 3);
    assert_memory_equal(shown.text, text, 56);
    assert_string_equal(shown.text + 56, "...");
    memset(text, '\x80', 200); /* nowhere to cut */
    assert_string_equal(ln__shown(text).text, "...");
}

static void a_fault_is_clean(void **state)
{
    (void)state;
    struct ln_fault fault = {0};
    assert_int_equal(ln_fault_set(&fault, LN_ECORRUPT, "a.csv: \"%s\"", "\x1b]0;mine\x07"), LN_ECORRUPT);
    assert_string_equal(fault.text, "a.csv: \"?]0;mine?\"");
    fault = (struct ln_fault){0};
    errno = EIO;
    assert_int_equal(ln_fault_errno(&fault, "\x1b%s", "caf\xE9"), LN_EIO);
    assert_memory_equal(fault.text, "?caf?: ", 7);
    char text[600];
    for (size_t i = 0; i < 299; i++)
        memcpy(text + 2 * i, "\xC3\xA9", 3);
    fault = (struct ln_fault){0};
    assert_int_equal(ln_fault_set(&fault, LN_ECORRUPT, "%s", text), LN_ECORRUPT);
    assert_true(ln__text_printable(fault.text)); /* it was cut in the middle of one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(printable_is_utf8_without_control_characters),
                                       cmocka_unit_test(long_ones_are_cut_between_characters), cmocka_unit_test(a_fault_is_clean)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
