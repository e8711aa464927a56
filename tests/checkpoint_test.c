/* Checkpoints when the disk is full, and records that do not fit. */
#include "conformance/federation.h"

#include "store/journal.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define RECIPE                                                                                                                                       \
    "model: {name: logreg}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 12, width: 12, train: 240, test: 60}, clients: 12}\n"                                        \
    "train: {rounds: 6, sample: 4, optimizer: {kind: sgd, lr: 0.1}}\nfleet: {kind: sim, threads: 2}\ncheckpoint: {every_s: 0}\n"

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int count_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)where;
    federation_now->events += type == FTW_F && strstr(path, "/blobs/") != NULL;
    return 0;
}

/* Opens it; the model that the run ends with when nothing stops it. The folder is empty again. */
static float *undisturbed(struct federation *federation, const char *recipe, const char *set)
{
    federation_open(federation);
    federation_finish(federation, recipe, set);
    float *model = federation->model;
    federation->model = NULL;
    federation_clean(federation);
    return model;
}

static void test_a_full_disk_leaves_the_old_checkpoint(void **state)
{
    (void)state;
    struct federation federation;
    float *model = undisturbed(&federation, RECIPE, NULL);

    assert_int_equal(federation_run(&federation, RECIPE, NULL, 12), LN_EINTERRUPTED);
    signal(SIGXFSZ, SIG_IGN);
    for (int round = 0; round < 3; round++) {
        limit_files(2000); /* lines of metrics fit, a model does not */
        int error = federation_run(&federation, RECIPE, NULL, 3);
        limit_files(RLIM_INFINITY);
        assert_int_equal(error, LN_EFULL);
        assert_non_null(strstr(federation.fault.text, federation.dir));
    }
    assert_int_equal(federation_run(&federation, RECIPE, NULL, 3), LN_EINTERRUPTED);
    federation.events = 0;
    nftw(federation.dir, count_one, 16, FTW_PHYS);
    assert_in_range(federation.events, 1, 10); /* blobs of one checkpoint, not of all there were */
    federation_finish(&federation, RECIPE, NULL);
    assert_memory_equal(federation.model, model, federation.state * sizeof *model);
    ln__mem_free(model);
    federation_close(&federation);
}

/* Neither lines nor checkpoints can be written: the run goes on to its end, and only what it is for, its model, is missed there. */
static void test_lines_that_are_lost_end_nothing(void **state)
{
    (void)state;
    struct federation federation;
    float *model = undisturbed(&federation, RECIPE, NULL);
    assert_int_equal(federation_run(&federation, RECIPE, NULL, 7), LN_EINTERRUPTED);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1);
    int error = federation_run(&federation, RECIPE, NULL, 0);
    limit_files(RLIM_INFINITY);
    assert_int_equal(error, LN_EFULL);
    assert_non_null(strstr(federation.fault.text, "model.safetensors"));
    assert_true(federation.last.round == 6);
    federation_finish(&federation, RECIPE, NULL);
    assert_memory_equal(federation.model, model, federation.state * sizeof *model);
    ln__mem_free(model);
    federation_close(&federation);
}

/* Which sync of the checkpoint's folder fails, 0: none. Until then there is no room for another record; afterwards the journal cannot be synced. */
static int failing;
static bool failed;

/* In place of the C library's. */
int fsync(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = failing || failed ? readlink(link, path, sizeof path - 1) : 0;
    path[size > 0 ? size : 0] = 0;
    const char *name = strrchr(path, '/');
    int error = name && strncmp(name, "/journal", 8) == 0 && name[8] != '.' ? failed ? EIO : ENOSPC : 0;
    if (failing && name && strcmp(name, "/checkpoint") == 0 && --failing == 0) {
        failed = true;
        error = EIO;
    }
    errno = error;
    return error ? -1 : (int)syscall(SYS_fsync, file);
}

/* A compaction fails before its rename or behind it, and everything that follows: the record that is on the disk then has all its blobs. */
static void test_a_failed_compaction_leaves_a_checkpoint(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    federation_finish(&federation, RECIPE, NULL);
    float *model = federation.model;
    for (int which = 1; which <= 2; which++) {
        federation.model = NULL;
        federation_clean(&federation);
        assert_int_equal(federation_run(&federation, RECIPE, NULL, 7), LN_EINTERRUPTED);
        failing = which;
        int error = federation_run(&federation, RECIPE, NULL, 18);
        assert_true(failed);
        failed = false;
        assert_int_equal(error, LN_EIO);
        federation_finish(&federation, RECIPE, NULL);
        assert_memory_equal(federation.model, model, federation.state * sizeof *model);
        ln__mem_free(federation.model);
    }
    federation.model = model;
    federation_close(&federation);
}

static void test_a_record_of_another_recipe_is_refused(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    assert_int_equal(federation_run(&federation, RECIPE, NULL, 5), LN_EINTERRUPTED);
    const char *others[] = {"strategy=fedasync", "data.clients=11", "data.set.height=11"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(federation_run(&federation, RECIPE, others[i], 0), LN_ECORRUPT);
        assert_non_null(strstr(federation.fault.text, "checkpoint"));
    }
    federation_finish(&federation, RECIPE, NULL);
    federation_close(&federation);
}

static int last_record(void *context, const void *data, size_t size)
{
    struct ln__buf *record = context;
    ln__buf_clear(record);
    return ln__buf_add(record, data, size);
}

/* A record is bytes from outside: a task under way is changed in turn to be of no client, no kind, no site. */
static void test_a_task_that_cannot_be_is_refused(void **state)
{
    (void)state;
    enum { RANK, TIME, CANCELLED, ID, KIND, SITE, CLIENT };
    static const struct {
        int member;
        uint64_t value;
    } wrong[] = {{CLIENT, 12}, {CLIENT, 0xfffffff0u}, {CLIENT, 1ull << 32}, {KIND, 3}, {SITE, 0}, {SITE, 3}};
    struct federation federation;
    federation_open(&federation);
    assert_int_equal(federation_run(&federation, RECIPE, NULL, 5), LN_EINTERRUPTED);
    char path[300];
    snprintf(path, sizeof path, "%s/checkpoint/journal", federation.dir);
    struct ln__buf record, changed;
    ln__buf_init(&record, 1u << 24);
    ln__buf_init(&changed, 1u << 24);
    struct ln__journal *journal;
    assert_int_equal(ln__journal_open(path, last_record, &record, NULL, &journal, NULL), 0);
    size_t at = 0;
    while (memcmp(record.data + at, "fleet\0\0", 8) != 0)
        assert_true(++at + 8 <= record.size);
    at += 8 + 5 * 8; /* clock, alarms, sums, items, rows told */
    uint64_t rank, client;
    memcpy(&rank, record.data + at, sizeof rank);
    memcpy(&client, record.data + at + CLIENT * 8, sizeof client);
    assert_int_equal(rank, 2);
    assert_true(client < 12);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ln__buf_clear(&changed);
        assert_int_equal(ln__buf_add(&changed, record.data, record.size), 0);
        memcpy(changed.data + at + (size_t)wrong[i].member * 8, &wrong[i].value, 8);
        assert_int_equal(ln__journal_append(journal, changed.data, changed.size, NULL), 0);
        ln__journal_close(journal);
        assert_int_equal(federation_run(&federation, RECIPE, NULL, 0), LN_ECORRUPT);
        assert_non_null(strstr(federation.fault.text, "checkpoint: a task that cannot be"));
        assert_int_equal(ln__journal_open(path, NULL, NULL, NULL, &journal, NULL), 0);
    }
    assert_int_equal(ln__journal_append(journal, record.data, record.size, NULL), 0);
    ln__journal_close(journal);
    ln__buf_fini(&record);
    ln__buf_fini(&changed);
    federation_finish(&federation, RECIPE, NULL);
    federation_close(&federation);
}

/* A run whose first weights come from a file goes on with the same ones only: a frozen device part is read from there again. */
static void test_other_first_weights_are_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-weights-XXXXXX", from[300];
    int file = mkstemp(path);
    assert_true(file >= 0 && close(file) == 0);
    struct federation federation;
    struct ln__buf weights[2];
    federation_open(&federation);
    snprintf(from, sizeof from, "%s/model.safetensors", federation.dir);
    for (int i = 0; i < 2; i++) {
        federation_finish(&federation, RECIPE, i ? "seed=2" : NULL);
        ln__buf_init(&weights[i], 1u << 20);
        assert_int_equal(ln__file_read(from, 1u << 20, &weights[i], NULL), 0);
        federation_clean(&federation);
    }
    snprintf(from, sizeof from, "model.init={kind: all, from: %s}", path);
    for (int i = 0; i < 3; i++) {
        const struct ln__buf *now = &weights[i % 2];
        assert_int_equal(ln__file_replace(path, (struct ln__piece[]){{now->data, now->size}}, 1, NULL), 0);
        assert_int_equal(federation_run(&federation, RECIPE, from, 5), i % 2 ? LN_ECORRUPT : LN_EINTERRUPTED);
        if (i % 2)
            assert_non_null(strstr(federation.fault.text, "model.init.from holds other weights than when the run began"));
    }
    for (int i = 0; i < 2; i++)
        ln__buf_fini(&weights[i]);
    unlink(path);
    federation_close(&federation);
}

#define LARGE                                                                                                                                        \
    "model: {name: logreg}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 300, width: 300, train: 24, test: 12}, clients: 6}\n"                                        \
    "train: {rounds: 2, sample: 3, optimizer: {kind: sgd, lr: 0.01}}\nfleet: {kind: sim, threads: 2}\n"                                              \
    "strategy: {kind: fedbuff, buffer: 3}\ncheckpoint: {every_s: 1e9}\n"

/* An open sum as large as two models lies beside the record, which would overflow by a few of a large network's, and is gone when the run has ended. */
static void test_open_sums_are_not_in_the_record(void **state)
{
    (void)state;
    struct federation federation;
    float *model = undisturbed(&federation, LARGE, NULL);
    assert_int_equal(federation_run(&federation, LARGE, NULL, 2), LN_EINTERRUPTED);
    char path[300];
    struct ln__buf record;
    snprintf(path, sizeof path, "%s/checkpoint/journal", federation.dir);
    ln__buf_init(&record, 1u << 28);
    assert_int_equal(ln__journal_read(path, last_record, &record, NULL, NULL), 0);
    assert_true(record.size < (size_t)1 << 20);
    ln__buf_fini(&record);
    assert_int_equal(federation_run(&federation, LARGE, NULL, 1),
                     LN_EINTERRUPTED); /* its blobs were kept, though nothing but the record named them */
    federation_finish(&federation, LARGE, NULL);
    assert_memory_equal(federation.model, model, federation.state * sizeof *model);
    federation.events = 0;
    nftw(federation.dir, count_one, 16, FTW_PHYS);
    assert_in_range(federation.events, 1, 8);
    ln__mem_free(model);
    federation_close(&federation);
}

/* A run that has ended ends again at once, with the same figures and files. */
static void test_a_finished_run_is_resumed_to_its_end(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    federation_finish(&federation, RECIPE, NULL);
    struct ln__metrics last = federation.last;
    federation_finish(&federation, RECIPE, NULL);
    assert_int_equal(federation.events, 0);
    assert_true(federation.last.accuracy == last.accuracy && federation.last.bytes_up == last.bytes_up);
    federation_close(&federation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_disk_leaves_the_old_checkpoint),   cmocka_unit_test(test_lines_that_are_lost_end_nothing),
        cmocka_unit_test(test_a_failed_compaction_leaves_a_checkpoint), cmocka_unit_test(test_a_record_of_another_recipe_is_refused),
        cmocka_unit_test(test_a_task_that_cannot_be_is_refused),        cmocka_unit_test(test_other_first_weights_are_refused),
        cmocka_unit_test(test_open_sums_are_not_in_the_record),         cmocka_unit_test(test_a_finished_run_is_resumed_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
