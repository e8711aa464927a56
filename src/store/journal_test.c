#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/journal.h"

static char folder[64], path[100];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/linnet-journal-XXXXXX");
    int failed = mkdtemp(folder) ? 0 : -1;
    snprintf(path, sizeof path, "%s/j", folder);
    return failed;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when a test left anything else behind */
}

/* All records, one after another, each ended by a stroke. */
static int gather(void *context, const void *data, size_t size)
{
    char *all = context;
    size_t used = strlen(all);
    snprintf(all + used, 1000 - used, "%.*s|", (int)size, (const char *)data);
    return LN_OK;
}

static struct ln__journal *open_it(const char *records, uint64_t torn)
{
    char all[1000] = "";
    struct ln__journal *journal;
    struct ln_fault fault = {0};
    uint64_t cut = 99;
    int code = ln__journal_open(path, gather, all, &cut, &journal, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    assert_string_equal(all, records);
    assert_int_equal(cut, torn);
    return journal;
}

static void append(struct ln__journal *journal, const char *text)
{
    assert_int_equal(ln__journal_append(journal, text, strlen(text), NULL), LN_OK);
}

static void round_trip(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    struct ln__journal *journal = open_it("", 0), *second;
    append(journal, "one");
    append(journal, "second one");
    struct ln_fault fault = {0};
    assert_int_equal(ln__journal_append(journal, "", 0, &fault), LN_EINVALID);
    fault = (struct ln_fault){0};
    assert_int_equal(ln__journal_open(path, NULL, NULL, NULL, &second, &fault), LN_EREFUSED);
    assert_non_null(strstr(fault.text, "in use by another process"));
    assert_int_equal(ln__journal_records(journal), 2);
    assert_int_equal(ln__journal_size(journal), 8 + 16 + 3 + 16 + 10);
    ln__journal_close(journal);
    journal = open_it("one|second one|", 0);
    append(journal, "three");
    assert_int_equal(ln__journal_compact(journal, "all", 3, NULL), LN_OK);
    append(journal, "four");
    assert_int_equal(ln__journal_records(journal), 2);
    ln__journal_close(journal);
    journal = open_it("all|four|", 0);
    assert_int_equal(ln__journal_compact(journal, NULL, 0, NULL), LN_OK);
    ln__journal_close(journal);
    journal = open_it("", 0);
    ln__journal_close(journal);
    ln__journal_close(NULL);
    assert_true(ln__mem_live() == live);
}

static int stop(void *context, const void *data, size_t size)
{
    (void)data;
    (void)size;
    return ++*(int *)context == 2 ? LN_EINTERRUPTED : LN_OK;
}

static void visitor_stops(void **state)
{
    (void)state;
    struct ln__journal *journal = open_it("", 0);
    for (int i = 0; i < 4; i++)
        append(journal, "x");
    ln__journal_close(journal);
    int calls = 0;
    assert_int_equal(ln__journal_open(path, stop, &calls, NULL, &journal, NULL), LN_EINTERRUPTED);
    assert_null(journal);
    assert_int_equal(calls, 2);
    journal = open_it("x|x|x|x|", 0);
    ln__journal_close(journal);
}

static void write_file(const void *data, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(file >= 0);
    assert_true(write(file, data, size) == (ssize_t)size);
    close(file);
}

/* A crash leaves any number of the last record's bytes, or any of them wrong. */
static void torn_at_every_byte(void **state)
{
    (void)state;
    struct ln__journal *journal = open_it("", 0);
    append(journal, "first");
    append(journal, "second");
    size_t before = (size_t)ln__journal_size(journal);
    append(journal, "the last record");
    ln__journal_close(journal);
    struct ln__buf whole;
    ln__buf_init(&whole, 1 << 20);
    assert_int_equal(ln__file_read(path, 1 << 20, &whole, NULL), LN_OK);
    for (size_t size = before; size < whole.size; size++) {
        write_file(whole.data, size);
        char all[1000] = "";
        uint64_t torn;
        assert_int_equal(ln__journal_read(path, gather, all, &torn, NULL), LN_OK);
        assert_string_equal(all, "first|second|");
        assert_int_equal(torn, size - before);
        journal = open_it("first|second|", size - before);
        append(journal, "new");
        ln__journal_close(journal);
        journal = open_it("first|second|new|", 0);
        ln__journal_close(journal);
    }
    for (size_t at = before; at < whole.size; at++) {
        whole.data[at] ^= 0x10;
        write_file(whole.data, whole.size);
        whole.data[at] ^= 0x10;
        journal = open_it("first|second|", whole.size - before);
        ln__journal_close(journal);
    }
    for (size_t size = 0; size <= 8; size++) { /* a crash while it was made */
        write_file(whole.data, size);
        journal = open_it("", size % 8);
        append(journal, "new");
        ln__journal_close(journal);
        journal = open_it("new|", 0);
        ln__journal_close(journal);
    }
    /* A record copied behind the end has a number that does not follow. */
    struct ln__buf copy;
    ln__buf_init(&copy, 1 << 20);
    assert_int_equal(ln__buf_add(&copy, whole.data, whole.size), LN_OK);
    assert_int_equal(ln__buf_add(&copy, whole.data + before, whole.size - before), LN_OK);
    write_file(copy.data, copy.size);
    journal = open_it("first|second|the last record|", whole.size - before);
    ln__journal_close(journal);
    ln__buf_fini(&copy);
    ln__buf_fini(&whole);
}

static void not_a_journal(void **state)
{
    (void)state;
    write_file("hello, world", 12);
    struct ln__journal *journal;
    struct ln_fault fault = {0};
    assert_int_equal(ln__journal_open(path, NULL, NULL, NULL, &journal, &fault), LN_ECORRUPT);
    assert_non_null(strstr(fault.text, "not a journal"));
    assert_int_equal(ln__journal_read(folder, NULL, NULL, NULL, NULL), LN_EIO);
    unlink(path);
    assert_int_equal(ln__journal_read(path, NULL, NULL, NULL, NULL), LN_ENOENT);
    assert_int_equal(ln__journal_open("/dev/null/j", NULL, NULL, NULL, &journal, NULL), LN_EIO);
}

/* In a child whose files may hold 100 bytes, as on a full disk. */
static int on_full_disk(void)
{
    static char big[500];
    struct rlimit limit = {100, 100};
    signal(SIGXFSZ, SIG_IGN);
    struct ln__journal *journal;
    if (ln__journal_open(path, NULL, NULL, NULL, &journal, NULL) || setrlimit(RLIMIT_FSIZE, &limit))
        return 1;
    uint64_t size = ln__journal_size(journal);
    if (ln__journal_append(journal, big, sizeof big, NULL) != LN_EFULL || ln__journal_size(journal) != size)
        return 2;
    if (ln__journal_compact(journal, big, sizeof big, NULL) != LN_EFULL)
        return 3;
    if (ln__journal_append(journal, "fits", 4, NULL) != LN_OK)
        return 4;
    if (ln__journal_append(journal, big, 60, NULL) != LN_EFULL)
        return 5;
    ln__journal_close(journal);
    return 0;
}

static void full_disk(void **state)
{
    (void)state;
    struct ln__journal *journal = open_it("", 0);
    append(journal, "before");
    ln__journal_close(journal);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(on_full_disk());
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    journal = open_it("before|fits|", 0);
    ln__journal_close(journal);
}

/* Its owner has taken away its own right to write, which a compaction must not find out when the new records are in place. */
static int with_a_journal_nobody_may_open(void)
{
    struct ln__journal *journal;
    if ((geteuid() == 0 && (chown(folder, 65534, 65534) || setuid(65534))) || ln__journal_open(path, NULL, NULL, NULL, &journal, NULL))
        return 1;
    if (ln__journal_append(journal, "before", 6, NULL) || chmod(path, 0400))
        return 2;
    if (ln__journal_compact(journal, "all", 3, NULL) != LN_OK || ln__journal_sound(journal, NULL) != LN_OK)
        return 3;
    if (ln__journal_append(journal, "more", 4, NULL) != LN_OK)
        return 4;
    struct stat about;
    if (stat(path, &about) || (about.st_mode & 07777) != 0400)
        return 5;
    ln__journal_close(journal);
    return 0;
}

static void compaction_needs_no_right_to_open(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(with_a_journal_nobody_may_open());
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(chmod(path, 0600), 0);
    struct ln__journal *journal = open_it("all|more|", 0);
    ln__journal_close(journal);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    int code = LN_ENOMEM;
    for (uint64_t nth = 1; code != LN_OK; nth++) {
        struct ln__journal *journal;
        ln__mem_fail_at(nth);
        code = ln__journal_open(path, NULL, NULL, NULL, &journal, NULL);
        ln__mem_fail_at(0);
        if (code)
            assert_int_equal(code, LN_ENOMEM);
        ln__journal_close(journal);
        assert_true(ln__mem_live() == live);
    }
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_FOLDER(round_trip),
                                       WITH_FOLDER(visitor_stops),
                                       WITH_FOLDER(torn_at_every_byte),
                                       WITH_FOLDER(not_a_journal),
                                       WITH_FOLDER(full_disk),
                                       WITH_FOLDER(compaction_needs_no_right_to_open),
                                       WITH_FOLDER(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
