#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static char folder[64], path[100];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/linnet-file-XXXXXX");
    int failed = mkdtemp(folder) ? 0 : -1;
    snprintf(path, sizeof path, "%s/f", folder);
    return failed;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when a test left anything else behind */
}

static void check_content(const char *expected)
{
    struct ln__buf text;
    ln__buf_init(&text, 1000);
    assert_int_equal(ln__file_read(path, 1000, &text, NULL), LN_OK);
    assert_int_equal(text.size, strlen(expected));
    if (text.size > 0)
        assert_memory_equal(text.data, expected, text.size);
    ln__buf_fini(&text);
    struct ln__map map;
    assert_int_equal(ln__file_map(path, &map, NULL), LN_OK);
    assert_int_equal(map.size, strlen(expected));
    if (map.size > 0)
        assert_memory_equal(map.data, expected, map.size);
    else
        assert_null(map.data);
    ln__file_unmap(&map);
    assert_null(map.data);
}

static void replaced(void **state)
{
    (void)state;
    assert_false(ln__file_exists(path));
    const struct ln__piece piece[] = {{"one ", 4}, {NULL, 0}, {"two", 3}};
    mode_t mask = umask(027);
    assert_int_equal(ln__file_replace(path, piece, 3, NULL), LN_OK);
    umask(mask);
    assert_true(ln__file_exists(path));
    check_content("one two");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(ln__file_replace(path, piece, 0, NULL), LN_OK);
    check_content("");
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600); /* a private file stays private */
}

static void too_large_and_absent(void **state)
{
    (void)state;
    const struct ln__piece piece = {"12345", 5};
    struct ln_fault fault = {0};
    assert_int_equal(ln__file_replace(path, &piece, 1, &fault), LN_OK);
    struct ln__buf text;
    ln__buf_init(&text, 1000);
    assert_int_equal(ln__file_read(path, 5, &text, &fault), LN_OK);
    ln__buf_clear(&text);
    assert_int_equal(ln__file_read(path, 4, &text, &fault), LN_EBUDGET);
    assert_non_null(strstr(fault.text, "/f: larger than 4 bytes"));
    struct ln__map map;
    assert_int_equal(ln__file_map("/nonexistent", &map, NULL), LN_ENOENT);
    assert_int_equal(ln__file_map(folder, &map, NULL), LN_EIO);
    assert_int_equal(ln__file_read("/nonexistent", 4, &text, NULL), LN_ENOENT);
    assert_int_equal(ln__file_read(folder, 4, &text, NULL), LN_EIO);
    ln__buf_fini(&text);
    assert_int_equal(ln__file_replace("/nonexistent/f", &piece, 1, NULL), LN_ENOENT);
    fault = (struct ln_fault){0};
    assert_int_equal(ln__file_replace(folder, &piece, 1, &fault), LN_EIO); /* not over a folder, and nothing is left beside it */
}

/* A rename over a pipe or a device would leave a file in its place; over a link it would leave the link's file as it was. */
static void not_a_file(void **state)
{
    (void)state;
    const struct ln__piece old = {"old", 3}, new = {"new", 3};
    char link[120];
    struct stat about;
    struct ln_fault fault = {0};
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ln__file_replace(path, &old, 1, &fault), LN_EIO);
    assert_non_null(strstr(fault.text, "/f: not a regular file"));
    assert_int_equal(stat(path, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ln__file_replace(path, &old, 1, NULL), LN_OK);
    assert_int_equal(ln__file_join(link, sizeof link, folder, "link"), LN_OK);
    assert_int_equal(symlink("f", link), 0);
    assert_int_equal(ln__file_replace(link, &new, 1, NULL), LN_OK);
    check_content("new");
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(unlink(link), 0);
}

/* In a child whose files may hold no more than 100 bytes, as on a full disk. */
static int on_full_disk(void)
{
    static char big[200];
    struct rlimit limit = {100, 100};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit))
        return 1;
    const struct ln__piece piece = {big, sizeof big};
    return ln__file_replace(path, &piece, 1, NULL) == LN_EFULL ? 0 : 2;
}

static void full_disk(void **state)
{
    (void)state;
    const struct ln__piece piece = {"old", 3};
    assert_int_equal(ln__file_replace(path, &piece, 1, NULL), LN_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(on_full_disk());
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_content("old");
}

static void folders(void **state)
{
    (void)state;
    char deep[200];
    struct ln_fault fault = {0};
    assert_int_equal(ln__file_join(deep, sizeof deep, folder, "a/b//c/"), LN_OK);
    assert_int_equal(ln__file_mkdirs(deep, &fault), LN_OK);
    assert_int_equal(ln__file_mkdirs(deep, &fault), LN_OK);
    assert_true(ln__file_exists(deep));
    assert_int_equal(ln__file_mkdirs("", &fault), LN_EINVALID);
    assert_int_equal(ln__file_mkdirs("/dev/null/x", NULL), LN_EIO);
    for (const char *part = "a/b/c\0a/b\0a\0"; *part; part += strlen(part) + 1) {
        assert_int_equal(ln__file_join(deep, sizeof deep, folder, part), LN_OK);
        assert_int_equal(rmdir(deep), 0);
    }
    assert_int_equal(ln__file_join(deep, 5, "ab", "cd"), LN_EBUDGET);
    assert_int_equal(ln__file_join(deep, 6, "ab", "cd"), LN_OK);
    assert_string_equal(deep, "ab/cd");
    assert_int_equal(ln__file_join(deep, 6, "ab/", "cd"), LN_OK);
    assert_string_equal(deep, "ab/cd");
    assert_int_equal(ln__file_join(deep, 6, "", "cd"), LN_OK);
    assert_string_equal(deep, "cd");
}

/* FIPS 180-2, appendix B. */
static void hashes(void **state)
{
    (void)state;
    struct ln__sha256 hash;
    char hex[65];
    ln__sha256_of("abc", 3, &hash);
    ln__sha256_hex(&hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ln__sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &hash);
    ln__sha256_hex(&hash, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    ln__sha256_of(NULL, 0, &hash);
    ln__sha256_hex(&hash, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_FOLDER(replaced), WITH_FOLDER(too_large_and_absent), WITH_FOLDER(not_a_file), WITH_FOLDER(full_disk),
                                       WITH_FOLDER(folders),  cmocka_unit_test(hashes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
