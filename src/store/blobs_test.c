#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/blobs.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/linnet-blobs-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int files(bool remove)
{
    int count = 0;
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (remove)
            unlinkat(dirfd(list), entry->d_name, 0);
    }
    closedir(list);
    return count;
}

static int remove_folder(void **state)
{
    (void)state;
    files(true);
    return rmdir(folder);
}

static struct ln__blobs *store_of(const char *dir, uint64_t budget)
{
    struct ln__blobs *store;
    struct ln_fault fault = {0};
    int code = ln__blobs_open(dir, budget, &store, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    return store;
}

static struct ln_blob *blob_of(struct ln__blobs *store, unsigned char value, size_t size)
{
    void *buffer = ln__blob_alloc(store, size);
    assert_non_null(buffer);
    memset(buffer, value, size);
    struct ln_blob *blob;
    assert_int_equal(ln__blob_take(store, buffer, size, &blob, NULL), LN_OK);
    return blob;
}

static void check_bytes(struct ln_blob *blob, unsigned char value, size_t size)
{
    const void *data;
    struct ln_fault fault = {0};
    int code = ln__blob_pin(blob, &data, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    assert_int_equal((uintptr_t)data % LN_ALIGN, 0);
    assert_int_equal(ln__blob_size(blob), size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const unsigned char *)data)[i], value);
    ln__blob_unpin(blob);
}

static struct ln__blobs_stats stats_of(struct ln__blobs *store)
{
    struct ln__blobs_stats stats;
    ln__blobs_stats(store, &stats);
    return stats;
}

static void in_memory(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    struct ln__blobs *store = store_of(NULL, 10);
    struct ln_blob *a, *b = blob_of(store, 7, 1000), *empty = blob_of(store, 0, 0);
    assert_int_equal(ln__blob_put(store, "abc", 3, &a, NULL), LN_OK);
    assert_int_equal(stats_of(store).bytes, 1003); /* over the budget, and nowhere to go */
    assert_int_equal(stats_of(store).hashes, 0);
    struct ln__blob_id id, back;
    assert_int_equal(ln__blob_id(a, &id, NULL), LN_OK);
    assert_int_equal(ln__blob_id(a, &id, NULL), LN_OK);
    assert_int_equal(stats_of(store).hashes, 1);
    char text[65];
    ln__blob_id_text(&id, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(ln__blob_id_parse(text, &back), LN_OK);
    assert_memory_equal(&id, &back, sizeof id);
    text[3] = 'A';
    assert_int_equal(ln__blob_id_parse(text, &back), LN_ECORRUPT);
    assert_int_equal(ln__blob_id_parse("ba78", &back), LN_ECORRUPT);
    struct ln_blob *found;
    assert_int_equal(ln__blob_open(store, &id, &found, NULL), LN_OK);
    assert_ptr_equal(found, a);
    ln__blob_unref(found);
    id.byte[0] ^= 1;
    struct ln_fault fault = {0};
    assert_int_equal(ln__blob_open(store, &id, &found, &fault), LN_ENOENT);
    assert_int_equal(ln__blob_persist(a, &fault), LN_EUNSUPPORTED);
    check_bytes(b, 7, 1000);
    check_bytes(empty, 0, 0);
    assert_ptr_equal(ln__blob_ref(b), b);
    ln__blob_unref(b);
    check_bytes(b, 7, 1000);
    ln__blob_unref(b);
    ln__blob_unref(a);
    ln__blob_unref(empty);
    ln__blob_unref(NULL);
    assert_null(ln__blob_ref(NULL));
    assert_int_equal(stats_of(store).blobs, 0);
    assert_int_equal(stats_of(store).bytes, 0);
    assert_int_equal(stats_of(store).bytes_peak, 1003);
    ln__blobs_close(store);
    assert_true(ln__mem_live() == live);
}

static void spilled_and_back(void **state)
{
    (void)state;
    struct ln__blobs *store = store_of(folder, 2500);
    struct ln_blob *blob[5];
    const void *data;
    blob[0] = blob_of(store, 0, 1000);
    assert_int_equal(ln__blob_pin(blob[0], &data, NULL), LN_OK); /* stays */
    for (unsigned char i = 1; i < 5; i++)
        blob[i] = blob_of(store, i, 1000);
    assert_int_equal(stats_of(store).bytes, 2000);
    assert_int_equal(stats_of(store).spills, 3);
    assert_int_equal(files(false), 3);
    for (unsigned char i = 0; i < 5; i++)
        check_bytes(blob[i], i, 1000);
    assert_true(stats_of(store).loads >= 3);
    assert_true(stats_of(store).bytes <= 2500);
    assert_int_equal(((const unsigned char *)data)[999], 0);
    ln__blob_unpin(blob[0]);
    for (int i = 0; i < 5; i++)
        ln__blob_unref(blob[i]);
    assert_int_equal(files(false), 0); /* what was only spilled goes */
    ln__blobs_close(store);
}

static void persisted_and_collected(void **state)
{
    (void)state;
    struct ln__blobs *store = store_of(folder, 0);
    struct ln_blob *a = blob_of(store, 1, 5000), *b = blob_of(store, 2, 10), *empty = blob_of(store, 0, 0), *found;
    struct ln__blob_id id_a, id_b, id_empty;
    struct ln_fault fault = {0};
    assert_int_equal(ln__blob_persist(a, &fault), LN_OK);
    assert_int_equal(ln__blob_persist(a, &fault), LN_OK);
    assert_int_equal(ln__blob_persist(b, &fault), LN_OK);
    assert_int_equal(ln__blob_persist(empty, &fault), LN_OK);
    assert_int_equal(ln__blob_id(a, &id_a, &fault), LN_OK);
    assert_int_equal(ln__blob_id(b, &id_b, &fault), LN_OK);
    assert_int_equal(ln__blob_id(empty, &id_empty, &fault), LN_OK);
    ln__blob_unref(a);
    ln__blob_unref(b);
    ln__blob_unref(empty);
    ln__blobs_close(store);
    assert_int_equal(files(false), 3);

    char torn[200], text[65];
    ln__blob_id_text(&id_a, text);
    snprintf(torn, sizeof torn, "%s/%s.abc123", folder, text);
    FILE *file = fopen(torn, "w");
    assert_non_null(file);
    fclose(file);
    store = store_of(folder, 100);
    assert_int_equal(files(false), 3); /* the torn one is gone */
    assert_int_equal(ln__blob_open(store, &id_a, &a, &fault), LN_OK);
    check_bytes(a, 1, 5000);
    assert_int_equal(ln__blob_open(store, &id_empty, &empty, &fault), LN_OK);
    check_bytes(empty, 0, 0);
    ln__blob_unref(empty);
    assert_int_equal(ln__blobs_gc(store, &id_b, 1, &fault), LN_OK); /* a is referenced, b is kept, the empty one goes */
    assert_int_equal(files(false), 2);
    ln__blob_unref(a);
    assert_int_equal(files(false), 2);
    assert_int_equal(ln__blobs_gc(store, &id_b, 1, &fault), LN_OK);
    assert_int_equal(files(false), 1);
    assert_int_equal(ln__blob_open(store, &id_a, &found, &fault), LN_ENOENT);
    assert_string_equal(fault.text + strlen(fault.text) - 25, "No such file or directory");
    ln__blobs_close(store);
}

/* One that is filled after it was taken goes to the disk as it was filled, however small the budget. */
static void filled_when_taken(void **state)
{
    (void)state;
    struct ln__blobs *store = store_of(folder, 1);
    struct ln_blob *blob;
    unsigned char *buffer = ln__blob_alloc(store, 100);
    assert_non_null(buffer);
    memset(buffer, 0, 100);
    assert_int_equal(ln__blob_take_open(store, buffer, 100, &blob, NULL), LN_OK);
    assert_int_equal(stats_of(store).spills, 0);
    memset(buffer, 7, 100);
    ln__blob_unpin(blob);
    assert_int_equal(stats_of(store).spills, 1);
    check_bytes(blob, 7, 100);
    ln__blob_unref(blob);
    ln__blobs_close(store);
}

/* Equal bytes in several blobs share one name: none may take another's file away. */
static void equal_bytes(void **state)
{
    (void)state;
    struct ln__blobs *store = store_of(folder, 1);
    struct ln_blob *kept = blob_of(store, 5, 100), *a, *b;
    struct ln__blob_id id;
    assert_int_equal(ln__blob_persist(kept, NULL), LN_OK);
    assert_int_equal(ln__blob_id(kept, &id, NULL), LN_OK);
    ln__blob_unref(kept);
    a = blob_of(store, 5, 100); /* goes to the disk at once */
    ln__blob_unref(a);
    assert_int_equal(files(false), 1); /* durable as before */
    a = blob_of(store, 6, 100);
    b = blob_of(store, 6, 100);
    ln__blob_unref(a);
    check_bytes(b, 6, 100);
    ln__blob_unref(b);
    a = blob_of(store, 7, 100); /* only spilled */
    b = blob_of(store, 7, 100);
    assert_int_equal(ln__blob_persist(b, NULL), LN_OK);
    ln__blob_unref(b);
    ln__blob_unref(a); /* the last one: but the file is b's too, which a record may name */
    assert_int_equal(files(false), 3);
    assert_int_equal(ln__blobs_gc(store, &id, 1, NULL), LN_OK);
    assert_int_equal(files(false), 1);
    ln__blobs_close(store);
}

static void damaged_file(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct ln__blobs *store = store_of(folder, 0);
        struct ln_blob *a = blob_of(store, 1, 5000);
        struct ln__blob_id id;
        assert_int_equal(ln__blob_persist(a, NULL), LN_OK);
        assert_int_equal(ln__blob_id(a, &id, NULL), LN_OK);
        ln__blob_unref(a);
        char path[200], text[65];
        ln__blob_id_text(&id, text);
        snprintf(path, sizeof path, "%s/%s", folder, text);
        struct ln_fault fault = {0};
        int expected = LN_ECORRUPT;
        const void *data = &path;
        if (how == 0) {
            FILE *file = fopen(path, "r+");
            assert_non_null(file);
            fputc(9, file);
            fclose(file);
            assert_int_equal(ln__blob_open(store, &id, &a, &fault), LN_OK);
        } else {
            assert_int_equal(ln__blob_open(store, &id, &a, &fault), LN_OK);
            if (how == 1)
                assert_int_equal(truncate(path, 4999), 0);
            else
                assert_int_equal(unlink(path), 0);
            expected = how == 1 ? LN_ECORRUPT : LN_ENOENT;
        }
        assert_int_equal(ln__blob_pin(a, &data, &fault), expected);
        assert_null(data);
        assert_non_null(strstr(fault.text, path));
        ln__blob_unref(a);
        ln__blobs_close(store);
        files(true);
    }
}

/* In a child whose files may hold no more than 1000 bytes, as on a full disk. */
static int on_full_disk(void)
{
    struct rlimit limit = {1000, 1000};
    signal(SIGXFSZ, SIG_IGN);
    struct ln__blobs *store;
    struct ln_blob *a;
    struct ln_fault fault = {0};
    if (setrlimit(RLIMIT_FSIZE, &limit) || ln__blobs_open(folder, 1, &store, NULL))
        return 1;
    void *buffer = ln__blob_alloc(store, 5000);
    memset(buffer, 3, 5000);
    if (ln__blob_take(store, buffer, 5000, &a, NULL)) /* cannot be spilled: stays in memory */
        return 2;
    if (ln__blob_persist(a, &fault) != LN_EFULL)
        return 3;
    const void *data;
    if (ln__blob_pin(a, &data, NULL) || ((const char *)data)[4999] != 3)
        return 4;
    ln__blob_unpin(a);
    ln__blob_unref(a);
    ln__blobs_close(store);
    return 0;
}

static void full_disk(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(on_full_disk());
    int status;
    assert_true(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(files(false), 0); /* nothing is left behind */
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        struct ln__blobs *store;
        struct ln_blob *a = NULL, *b = NULL;
        const void *data;
        bool pinned = false;
        ln__mem_fail_at(nth);
        int code = ln__blobs_open(folder, 150, &store, NULL);
        if (code == LN_OK)
            code = ln__blob_put(store, "some bytes of it", 16, &a, NULL);
        void *buffer = code == LN_OK ? ln__blob_alloc(store, 140) : NULL;
        if (code == LN_OK && !buffer)
            code = LN_ENOMEM;
        if (buffer) {
            memset(buffer, 1, 140);
            code = ln__blob_take(store, buffer, 140, &b, NULL);
        }
        if (code == LN_OK) {
            code = ln__blob_pin(a, &data, NULL);
            pinned = code == LN_OK;
        }
        if (pinned) {
            assert_memory_equal(data, "some bytes of it", 16);
            ln__blob_unpin(a);
        }
        ln__mem_fail_at(0);
        done = code == LN_OK;
        if (!done)
            assert_int_equal(code, LN_ENOMEM);
        ln__blob_unref(a);
        ln__blob_unref(b);
        ln__blobs_close(store);
        assert_true(ln__mem_live() == live);
    }
    assert_int_equal(files(false), 0);
}

#define THREADS 4
#define ROUNDS 150
struct shared {
    struct ln__blobs *store;
    struct ln_blob *common[4];
    int number;
};

static void *worker(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char value = (unsigned char)((i + shared->number) % 5 + 10); /* the same bytes here and there */
        struct ln_blob *mine = blob_of(shared->store, value, 900), *again;
        struct ln_blob *common = ln__blob_ref(shared->common[(i * 7 + shared->number) % 4]);
        check_bytes(common, (unsigned char)((i * 7 + shared->number) % 4), 2000);
        struct ln__blob_id id;
        assert_int_equal(ln__blob_id(mine, &id, NULL), LN_OK);
        if (i % 16 == 0)
            assert_int_equal(ln__blob_persist(common, NULL), LN_OK);
        assert_int_equal(ln__blob_open(shared->store, &id, &again, NULL), LN_OK);
        check_bytes(mine, value, 900);
        ln__blob_unref(mine);
        check_bytes(again, value, 900);
        ln__blob_unref(again);
        ln__blob_unref(common);
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    struct shared shared[THREADS];
    pthread_t thread[THREADS];
    struct ln__blobs *store = store_of(folder, 4000);
    struct ln_blob *common[4];
    for (unsigned char i = 0; i < 4; i++)
        common[i] = blob_of(store, i, 2000);
    for (int i = 0; i < THREADS; i++) {
        shared[i] = (struct shared){.store = store, .number = i};
        memcpy(shared[i].common, common, sizeof common);
        assert_int_equal(pthread_create(&thread[i], NULL, worker, &shared[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    struct ln__blobs_stats stats = stats_of(store);
    assert_int_equal(stats.blobs, 4);
    assert_true(stats.bytes <= 4000);
    assert_true(stats.spills > 0 && stats.loads > 0);
    for (unsigned char i = 0; i < 4; i++) {
        check_bytes(common[i], i, 2000);
        ln__blob_unref(common[i]);
    }
    ln__blobs_close(store);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory), WITH_FOLDER(spilled_and_back), WITH_FOLDER(filled_when_taken), WITH_FOLDER(persisted_and_collected),
        WITH_FOLDER(equal_bytes),    WITH_FOLDER(damaged_file),     WITH_FOLDER(full_disk),         WITH_FOLDER(every_allocation_may_fail),
        WITH_FOLDER(many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
