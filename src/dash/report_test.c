#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "dash/report.h"
#include "dash/web.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/linnet-report-XXXXXX";
static const char *const files[] = {"metrics.jsonl", "summary.json", "recipe.yaml", "shares.json", "trace.jsonl", "report.html"};

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/linnet-report-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    char path[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(ln__file_replace(path, &(struct ln__piece){text, strlen(text)}, 1, NULL), LN_OK);
}

static size_t count(const char *text, const char *part)
{
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

static const char *make(struct ln__buf *page)
{
    struct ln_fault fault = {0};
    ln__buf_init(page, 16 << 20);
    assert_int_equal(ln__report_make(dir, page, &fault), LN_OK);
    assert_int_equal(ln__buf_add(page, "", 1), LN_OK);
    return (const char *)page->data;
}

#define LINE "{\"round\": 1, \"time_s\": 2.5, \"accuracy\": 0.5, \"loss\": 1.25}\n"

static void hostile_text_cannot_leave_its_block(void **state)
{
    (void)state;
    put("metrics.jsonl", "{\"round\": 1, \"accuracy\": 0.5, \"</script><script>evil(1)</script>\": 3}\n");
    put("recipe.yaml", "name: \"</script><script>evil(2)</script>\"\n# <!-- \xE2\x80\xA8 & @@CSS@@ -->\n");
    put("shares.json", "{\"classes\": [\"<img src=x onerror=evil(3)>\"], \"counts\": [[1]]}");
    struct ln__buf page;
    const char *text = make(&page);
    assert_null(strstr(text, "<script>evil"));
    assert_null(strstr(text, "<img"));
    assert_null(strstr(text, "\xE2\x80\xA8"));
    assert_non_null(strstr(text, "\\u003cimg src=x onerror=evil(3)\\u003e"));
    assert_non_null(strstr(text, "\\u2028"));
    assert_int_equal(count(text, "</script>"), 4); /* the template's own */
    assert_int_equal(count(text, "@@CSS@@"), 1);   /* the recipe's text: marks in data are not filled */
    ln__buf_fini(&page);
}

static void page_holds_its_parts_and_no_address_to_load(void **state)
{
    (void)state;
    put("metrics.jsonl", LINE);
    struct ln__buf page;
    const char *text = make(&page);
    assert_non_null(strstr(text, "uPlot"));
    assert_non_null(strstr(text, "Leon Sorokin"));
    assert_null(strstr(text, "@@"));
    assert_null(strstr(text, "src=\"http"));
    assert_null(strstr(text, "href="));
    assert_non_null(strstr(text, "\"accuracy\":0.5"));
    assert_non_null(strstr(text, "\"recipe\":null"));
    ln__buf_fini(&page);
}

static void torn_last_line_is_left_out(void **state)
{
    (void)state;
    put("metrics.jsonl", LINE LINE "{\"round\": 77, \"accu");
    struct ln__buf page;
    const char *text = make(&page);
    assert_int_equal(count(text, "\"time_s\":2.5"), 2);
    assert_null(strstr(text, ":77"));
    ln__buf_fini(&page);
}

/* A long trace makes no page impossible: the newest lines are in it. */
static void of_many_lines_the_newest(void **state)
{
    (void)state;
    struct ln__buf many;
    ln__buf_init(&many, 16 << 20);
    for (int i = 0; i < 200003; i++)
        assert_int_equal(ln__buf_print(&many, "{\"value\":%d}\n", i), LN_OK);
    put("metrics.jsonl", LINE);
    put("trace.jsonl", (const char *)many.data);
    struct ln__buf page;
    const char *text = make(&page);
    assert_non_null(strstr(text, "\"left_out\":{\"metrics\":0,\"trace\":3,\"gantt\":0}"));
    assert_non_null(strstr(text, "\"trace\":[{\"value\":3},"));
    assert_non_null(strstr(text, ",{\"value\":200002}],"));
    ln__buf_fini(&page);
    assert_int_equal(ln__buf_print(&many, "[]\n{}\n"), LN_OK);
    put("trace.jsonl", (const char *)many.data);
    ln__buf_init(&page, 16 << 20);
    struct ln_fault fault = {0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_ECORRUPT);
    assert_non_null(strstr(fault.text, "trace.jsonl:200004"));
    ln__buf_fini(&page);
    ln__buf_fini(&many);
}

static void damage_is_named(void **state)
{
    (void)state;
    struct ln__buf page;
    ln__buf_init(&page, 16 << 20);
    struct ln_fault fault = {0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_ENOENT);
    assert_non_null(strstr(fault.text, "metrics.jsonl"));
    put("metrics.jsonl", "{\"round\"");
    fault = (struct ln_fault){0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_ENOENT);
    put("metrics.jsonl", LINE "[1]\n" LINE);
    fault = (struct ln_fault){0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_ECORRUPT);
    assert_non_null(strstr(fault.text, "metrics.jsonl:2"));
    put("metrics.jsonl", LINE);
    put("shares.json", "{\"counts\": ");
    fault = (struct ln_fault){0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_ECORRUPT);
    assert_non_null(strstr(fault.text, "shares.json"));
    ln__buf_fini(&page);
}

static void page_over_its_maximum_is_refused(void **state)
{
    (void)state;
    put("metrics.jsonl", LINE);
    struct ln__buf page;
    ln__buf_init(&page, 1000);
    struct ln_fault fault = {0};
    assert_int_equal(ln__report_make(dir, &page, &fault), LN_EBUDGET);
    assert_non_null(strstr(fault.text, "1000"));
    ln__buf_fini(&page);
}

static void written_beside_the_run(void **state)
{
    (void)state;
    put("metrics.jsonl", LINE);
    struct ln_fault fault = {0};
    int64_t live = ln__mem_live();
    assert_int_equal(ln__report_write(dir, &fault), LN_OK);
    assert_int_equal(ln__mem_live(), live);
    char path[256];
    snprintf(path, sizeof path, "%s/report.html", dir);
    assert_true(ln__file_exists(path));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    put("metrics.jsonl", LINE);
    put("recipe.yaml", "name: x\n");
    int64_t live = ln__mem_live();
    int code = LN_ENOMEM;
    for (uint64_t nth = 1; code != LN_OK; nth++) {
        assert_true(nth < 1000);
        ln__mem_fail_at(nth);
        code = ln__report_write(dir, NULL);
        ln__mem_fail_at(0);
        assert_int_equal(ln__mem_live(), live);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, drop_dir)
int main(void)
{
    const struct CMUnitTest tests[] = {TEST(hostile_text_cannot_leave_its_block),
                                       TEST(page_holds_its_parts_and_no_address_to_load),
                                       TEST(torn_last_line_is_left_out),
                                       TEST(of_many_lines_the_newest),
                                       TEST(damage_is_named),
                                       TEST(page_over_its_maximum_is_refused),
                                       TEST(written_beside_the_run),
                                       TEST(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
