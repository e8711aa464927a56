#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "cli/cli.h"
#include <string.h>

struct given {
    bool set;
    const char *text;
    struct ln__list list, words;
    long count;
};

static int parse(struct given *given, size_t least, size_t most, int argc, char **argv)
{
    *given = (struct given){0};
    const struct ln__flag flags[] = {{"resume", LN__FLAG_SET, {.set = &given->set}},
                                     {"out", LN__FLAG_TEXT, {.text = &given->text}},
                                     {"set", LN__FLAG_LIST, {.list = &given->list}},
                                     {"batch", LN__FLAG_COUNT, {.count = &given->count}},
                                     {0}};
    return ln__cli_args("run", argc, argv, flags, &given->words, least, most);
}
#define PARSE(given, least, most, ...)                                                                                                               \
    parse(given, least, most, (int)(sizeof((char *[]){"run", __VA_ARGS__}) / sizeof(char *)), (char *[]){"run", __VA_ARGS__})

static void flags_take_values_in_both_forms(void **state)
{
    (void)state;
    struct given given;
    assert_int_equal(PARSE(&given, 1, 2, "a.yaml", "--resume", "--out", "dir", "--set", "x=1", "--set=y=a=b", "--batch=12", "--", "--resume"), 0);
    assert_true(given.set);
    assert_string_equal(given.text, "dir");
    assert_int_equal(given.list.count, 2);
    assert_string_equal(given.list.item[1], "y=a=b");
    assert_int_equal(given.count, 12);
    assert_int_equal(given.words.count, 2);
    assert_string_equal(given.words.item[1], "--resume");
    assert_int_equal(PARSE(&given, 0, 1, "-"), 0); /* a lone dash is a word */
    assert_int_equal(PARSE(&given, 0, 1, "--out=--resume"), 0);
    assert_string_equal(given.text, "--resume");
}

static void words_as_a_shell_reads_them(void **state)
{
    (void)state;
    struct ln__buf command;
    ln__buf_init(&command, LN__COMMAND_MAX);
    static const char *const word[] = {"linnet", "a/b-c.yaml", "two words", "it's", "", "{kind: sgd}"};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        assert_int_equal(ln__cli_word(&command, word[i]), LN_OK);
    assert_string_equal((const char *)command.data, "linnet a/b-c.yaml 'two words' 'it'\\''s' '' '{kind: sgd}'");
    ln__buf_fini(&command);
}

static void what_does_not_fit_is_usage(void **state)
{
    (void)state;
    struct given given;
    assert_int_equal(PARSE(&given, 1, 1, "a", "b"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 1, 1, "--resume"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 0, 1, "--out"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 0, 1, "--out", "--resume"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 0, 1, "--resume=yes"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 0, 1, "--res"), LN__EXIT_USAGE);
    assert_int_equal(PARSE(&given, 0, 1, "-x"), LN__EXIT_USAGE);
    static char *const bad[] = {"0", "-1", "", "3x", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(PARSE(&given, 0, 1, "--batch", bad[i]), LN__EXIT_USAGE);
}

static void only_a_bad_recipe_is_usage(void **state)
{
    (void)state;
    struct ln_fault fault = {LN_ECONFIG, "x"};
    assert_int_equal(ln__cli_fail(LN_ECONFIG, &fault), LN__EXIT_USAGE);
    assert_int_equal(ln__cli_fail(LN_EIO, NULL), LN__EXIT_FAILED);
    assert_int_equal(ln__cli_fail(LN_EINTERRUPTED, NULL), LN__EXIT_FAILED);
}

static void amounts_as_people_read_them(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(ln__show_bytes(1023, text), "1023 B");
    assert_string_equal(ln__show_bytes(1536, text), "1.50 KiB");
    assert_string_equal(ln__show_bytes(5255.3 * 1048576, text), "5.13 GiB");
    assert_string_equal(ln__show_count(5120, text), "5120");
    assert_string_equal(ln__show_count(34440970, text), "34.44 M");
    assert_string_equal(ln__show_time(0.0000125, text), "12.5 us");
    assert_string_equal(ln__show_time(0.0125, text), "12.50 ms");
    assert_string_equal(ln__show_time(59.96, text), "60.0 s");
    assert_string_equal(ln__show_time(3725, text), "1:02:05");
    assert_string_equal(ln__show_time(90061, text), "1d 1:01:01");
    assert_string_equal(ln__show_time(-1, text), "?");
}

static void failing_allocations_end_a_table_cleanly(void **state)
{
    (void)state;
    static const char *const columns[] = {"name", ">size"};
    const struct ln__cli cli = {.json = true};
    int64_t live = ln__mem_live();
    int code = LN_ENOMEM;
    uint64_t nth = 1;
    for (; code != LN_OK && nth < 100; nth++) {
        ln__mem_fail_at(nth);
        struct ln__table *table = ln__table_new(columns, 2);
        for (int i = 0; i < 50; i++) {
            ln__table_text(table, "row \"%d\"", i);
            ln__table_number(table, i / 3.0, NULL);
        }
        code = ln__table_print(table, &cli);
        ln__mem_fail_at(0);
        assert_int_equal(ln__mem_live(), live);
    }
    assert_int_equal(code, LN_OK);
    assert_true(nth > 3);
}

int main(void)
{
    ln__log_setup(LN__LOG_ERROR, LN__LOG_PLAIN);
    const struct CMUnitTest tests[] = {cmocka_unit_test(flags_take_values_in_both_forms), cmocka_unit_test(words_as_a_shell_reads_them),
                                       cmocka_unit_test(what_does_not_fit_is_usage),      cmocka_unit_test(only_a_bad_recipe_is_usage),
                                       cmocka_unit_test(amounts_as_people_read_them),     cmocka_unit_test(failing_allocations_end_a_table_cleanly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
