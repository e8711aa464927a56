#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

static char text[8192];

/* What write() puts on standard error, into text. */
static void capture(void (*write_it)(void))
{
    fflush(stderr);
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    write_it();
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = 0;
    fclose(file);
}

/* The library is an application's guest: nothing but warnings, until the program says otherwise. */
static void first_lines(void)
{
    ln__log(LN__LOG_INFO, "not shown");
    ln__log(LN__LOG_WARN, "shown");
}

static void first(void **state)
{
    (void)state;
    capture(first_lines);
    assert_string_equal(text, "warning: shown\n");
}

static void plain_lines(void)
{
    ln__log_setup(LN__LOG_INFO, LN__LOG_AUTO); /* a file is no terminal */
    ln__log(LN__LOG_INFO, "%d rounds", 3);
    ln__log(LN__LOG_DEBUG, "not shown");
    ln__log(LN__LOG_WARN, "slow");
    for (int i = 0; i < 1000; i++)
        ln__progress("rounds", "rounds", i, 1000, "accuracy 61.3 %");
    ln__progress("rounds", "rounds", 1000, 1000, "");
    ln__progress_end();
    ln__progress("folder", "classes", 1, 1, "\033[2Jcaf\xC3\xA9 \xC2\x9B");
    ln__progress_end();
    ln__log_setup(LN__LOG_ERROR, LN__LOG_PLAIN);
    ln__log(LN__LOG_WARN, "not shown");
    ln__progress("silent", "rounds", 1, 2, "");
    ln__progress_end();
    ln__log(LN__LOG_ERROR, "bad\033c");
}

static void plain(void **state)
{
    (void)state;
    capture(plain_lines);
    assert_true(strncmp(text, "3 rounds\nwarning: slow\nrounds 0/1000, accuracy 61.3 %\n", 54) == 0);
    assert_non_null(strstr(text, "\nrounds 1000/1000"));
    assert_non_null(strstr(text, "\nfolder 1/1, ?[2Jcaf\xC3\xA9 ??\n"));
    assert_non_null(strstr(text, "\nerror: bad?c\n"));
    assert_null(strstr(text, "not shown"));
    assert_null(strstr(text, "silent"));
    assert_null(strchr(text, '\033'));
}

static void json_lines(void)
{
    ln__log_setup(LN__LOG_DEBUG, LN__LOG_JSON);
    ln__log(LN__LOG_ERROR, "a \"quoted\" \\ line\nand an\xE9ther\x01");
    ln__log(LN__LOG_DEBUG, "fine");
    ln__progress("bytes", "B", 10, 100, "note");
    ln__progress_end();
}

static void json(void **state)
{
    (void)state;
    capture(json_lines);
    int lines = 0;
    for (char *at = text, *end; *at; at = end + 1, lines++) {
        end = strchr(at, '\n');
        assert_non_null(end);
        *end = 0;
        json_t *object = json_loads(at, 0, NULL);
        assert_non_null(object);
        if (lines == 0)
            assert_string_equal(json_string_value(json_object_get(object, "text")), "a \"quoted\" \\ line?and an?ther?");
        if (lines == 2)
            assert_true(json_number_value(json_object_get(object, "done")) == 10);
        json_decref(object);
    }
    assert_int_equal(lines, 3);
}

static void bar_lines(void)
{
    ln__log_setup(LN__LOG_INFO, LN__LOG_BAR);
    for (int i = 0; i < 1000; i++)
        ln__progress("rounds", "rounds", 250, 500, "accuracy 61.3 %");
    ln__log(LN__LOG_INFO, "a line between");
    ln__progress_end();
    ln__progress_end();
    ln__progress("training", "rounds", 9000, 18000, "accuracy 61.3 %, 12345 of 67890 clients under way"); /* the note is whole, the bar gives way */
    ln__progress_end();
    ln__progress("training", "rounds", 9000, 18000, "accuracy 61.3 %, with words to fill all of the line and some more than fits");
    ln__progress_end();
}

static void bar(void **state)
{
    (void)state;
    capture(bar_lines);
    assert_true(strncmp(text, "rounds 250/500 |##########----------|", 37) == 0);
    assert_non_null(strstr(text, "\r\033[Ka line between\nrounds 250/500 |"));
    assert_non_null(strstr(text, "\ntraining 9000/18000 |###---|, accuracy 61.3 %, 12345 of 67890 clients under way\n"));
    assert_non_null(strstr(text, "\ntraining 9000/18000, accuracy 61.3 %, with words to fill all of the line and so\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void terminal_lines(void)
{
    ln__log_setup(LN__LOG_INFO, LN__LOG_AUTO);
    ln__progress("training", "rounds", 1, 2, "accuracy 61.3 %");
    ln__log(LN__LOG_INFO, "between");
    ln__progress_end();
}

/* What a terminal of that name and width gets, into text. */
static void show_on(const char *name, unsigned short columns)
{
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    int far, near, saved = dup(STDERR_FILENO);
    fflush(stderr);
    assert_int_equal(openpty(&far, &near, NULL, NULL, &size), 0);
    assert_int_equal(setenv("TERM", name, 1), 0);
    assert_true(dup2(near, STDERR_FILENO) >= 0);
    terminal_lines();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(near);
    size_t all = 0;
    ssize_t got;
    while ((got = read(far, text + all, sizeof text - 1 - all)) > 0) /* it comes in pieces; an error is its end */
        all += (size_t)got;
    assert_true(all > 0);
    text[all] = 0;
    close(far);
}

static void terminals(void **state)
{
    (void)state;
    show_on("xterm", 16);
    assert_non_null(strstr(text, "\r\033[Kbetween"));
    assert_true(strcspn(text, "\r") < 16); /* the bar does not wrap */
    show_on("dumb", 80);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "training 1/2, accuracy 61.3 %"));
}

/* Another unit under one bar: the count is rounded, the rate and what is left begin anew with it. */
static void unit_lines(void)
{
    ln__log_setup(LN__LOG_INFO, LN__LOG_JSON);
    ln__progress("training", "rounds", 0, 1e9, "");
    double begun = ln__clock_mono();
    while (!(ln__clock_mono() > begun)) /* else there is no rate */
        continue;
    ln__progress("training", "rounds", 1e9, 1e9, "");
    ln__progress("training", "fleet s", 50, 50, "");
    ln__progress_end();
    ln__log_setup(LN__LOG_INFO, LN__LOG_BAR);
    ln__progress("training", "fleet s", 0.00942768, 50, "accuracy 61.3 %");
    ln__progress_end();
    ln__progress("training", "rounds", 3.3333333333, 2000, "");
    ln__progress_end();
}

static void units(void **state)
{
    (void)state;
    capture(unit_lines);
    char *first = strstr(text, "\"done\":1000000000,"), *second = strstr(text, "\"done\":50,");
    assert_non_null(first);
    assert_non_null(second);
    assert_true(strtod(strstr(first, "\"rate\":") + 7, NULL) > 0);
    assert_true(strtod(strstr(second, "\"rate\":") + 7, NULL) == 0);
    assert_non_null(strstr(text, "\ntraining 0.01/50 |--------------------|, accuracy 61.3 %\n"));
    assert_non_null(strstr(text, "\ntraining 3/2000 |--------------------|\n"));
}

static void levels(void **state)
{
    (void)state;
    ln__log_setup(LN__LOG_DEBUG, LN__LOG_PLAIN);
    assert_int_equal(ln__log_level(LN__LOG_ERROR), LN__LOG_DEBUG);
    assert_int_equal(ln__log_level(LN__LOG_INFO), LN__LOG_ERROR);
}

static void clocks(void **state)
{
    (void)state;
    double mono = ln__clock_mono();
    assert_true(ln__clock_mono() >= mono);
    assert_true(ln__clock_wall() > 1.6e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first),     cmocka_unit_test(plain), cmocka_unit_test(json),   cmocka_unit_test(bar),
                                       cmocka_unit_test(terminals), cmocka_unit_test(units), cmocka_unit_test(levels), cmocka_unit_test(clocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
