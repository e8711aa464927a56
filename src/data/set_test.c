#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data_scratch.h>

#include <fcntl.h>

extern const struct ln__dataset ln__dataset_cifar10, ln__dataset_cifar100, ln__dataset_mnist, ln__dataset_fashion_mnist, ln__dataset_synthetic,
    ln__dataset_csv, ln__dataset_folder;

/* A file of zeros that takes no space. */
static void sparse_file(const char *name, off_t size)
{
    scratch_file(name, "", 0);
    assert_int_equal(truncate(scratch_path(name), size), 0);
}

static void poke(const char *name, off_t at, unsigned char value)
{
    int file = open(scratch_path(name), O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, &value, 1, at), 1);
    close(file);
}

static void put_cifar10(const char *folder)
{
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                        "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
    for (int i = 0; i < 6; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        sparse_file(name, 30730000);
        poke(name, 0, (unsigned char)(i + 1));
        poke(name, 1, (unsigned char)(100 + i));
    }
}

static void opens_cifar10(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_cifar10, "", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "cifar10/data_batch_1.bin: not found; run: linnet data get cifar10");
    static const char *const places[] = {"cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin", "."};
    for (int i = 0; i < 4; i++) {
        put_cifar10(places[i]);
        int64_t live = ln__mem_live();
        assert_int_equal(scratch_open(&ln__dataset_cifar10, "", &set, &fault), 0);
        assert_true(set.c == 3 && set.h == 32 && set.w == 32 && set.classes == 10);
        assert_true(set.split[LN__TRAIN].count == 50000 && set.split[LN__TEST].count == 10000);
        assert_true(set.split[LN__TRAIN].label[20000] == 3 && set.split[LN__TRAIN].byte[(size_t)20000 * 3072] == 102);
        assert_true(set.split[LN__TEST].label[0] == 6 && set.split[LN__TEST].byte[0] == 105);
        assert_string_equal(set.class_name[9], "truck");
        ln__set_close(&set);
        assert_int_equal(ln__mem_live(), live);
        if (i < 3) {
            char command[600];
            snprintf(command, sizeof command, "rm -r '%s/%s'", scratch_dir, places[i]);
            assert_int_equal(system(command), 0);
        }
    }
    assert_int_equal(truncate(scratch_path("data_batch_4.bin"), 30000000), 0);
    assert_int_equal(scratch_open(&ln__dataset_cifar10, "", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "data_batch_4.bin: 30000000 bytes; expected 30730000");
    assert_int_equal(truncate(scratch_path("data_batch_4.bin"), 30730000), 0);
    poke("test_batch.bin", 3073 * 7, 10);
    assert_int_equal(scratch_open(&ln__dataset_cifar10, "", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "test_batch.bin: record 7 has label 10");
}

static void opens_cifar100(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_cifar100, "{}", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "official CIFAR-100 binary archive");
    sparse_file("cifar100/train.bin", 3074 * 50000);
    sparse_file("cifar100/test.bin", 3074 * 10000);
    poke("cifar100/train.bin", 0, 19);
    poke("cifar100/train.bin", 1, 99);
    assert_int_equal(scratch_open(&ln__dataset_cifar100, "{}", &set, &fault), 0);
    assert_true(set.classes == 100 && set.split[LN__TRAIN].label[0] == 99);
    assert_string_equal(set.class_name[99], "worm");
    ln__set_close(&set);
    assert_int_equal(scratch_open(&ln__dataset_cifar100, "{labels: coarse}", &set, &fault), 0);
    assert_true(set.classes == 20 && set.split[LN__TRAIN].label[0] == 19);
    ln__set_close(&set);
    assert_int_equal(truncate(scratch_path("cifar100/test.bin"), 5), 0);
    assert_int_equal(scratch_open(&ln__dataset_cifar100, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "expected 30740000");
    struct scratch_options options = scratch_bind(&ln__dataset_cifar100.plugin, "{}");
    fault = (struct ln_fault){0};
    assert_int_equal(ln__set_get(&options.choice, scratch_dir, &fault), LN_EUNSUPPORTED);
    assert_fault_has(fault, "by hand");
    scratch_unbind(&options);
}

static void put_idx(const char *folder, unsigned char label)
{
    char name[128];
    unsigned char images[16 + 2 * 6] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7}, labels[10] = {0, 0, 8, 1, 0, 0, 0, 2, label, 4};
    static const char *const kind[2] = {"train", "t10k"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s-images-idx3-ubyte", folder, kind[i]);
        scratch_file(name, images, sizeof images);
        snprintf(name, sizeof name, "%s/%s-labels-idx1-ubyte", folder, kind[i]);
        scratch_file(name, labels, sizeof labels);
    }
}

static void opens_idx_sets(void **state)
{
    (void)state;
    static const struct ln__dataset *const sets[2] = {&ln__dataset_mnist, &ln__dataset_fashion_mnist};
    for (int i = 0; i < 2; i++) {
        struct ln__set set;
        struct ln_fault fault;
        char name[128];
        const char *folder = sets[i]->plugin.name;
        snprintf(name, sizeof name, "%s/train-images-idx3-ubyte.gz", folder);
        scratch_file(name, "x", 1);
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), LN_ENOENT);
        assert_fault_has(fault, "gunzip");
        assert_int_equal(unlink(scratch_path(name)), 0);
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), LN_ENOENT);
        assert_fault_has(fault, "linnet data get");
        put_idx(folder, 7);
        int64_t live = ln__mem_live();
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), 0);
        assert_true(set.c == 1 && set.h == 2 && set.w == 3 && set.split[LN__TRAIN].count == 2 && set.split[LN__TEST].count == 2);
        assert_true(set.split[LN__TRAIN].byte[1] == 8 && set.split[LN__TRAIN].label[0] == 7 && set.split[LN__TEST].label[1] == 4);
        ln__set_close(&set);
        assert_int_equal(ln__mem_live(), live);
        put_idx(folder, 10);
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), LN_ECORRUPT);
        assert_fault_has(fault, "label 0 is 10; expected 0 to 9");
        const unsigned char one[9] = {0, 0, 8, 1, 0, 0, 0, 1, 3};
        snprintf(name, sizeof name, "%s/train-labels-idx1-ubyte", folder);
        scratch_file(name, one, sizeof one);
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), LN_ECORRUPT);
        assert_fault_has(fault, "1 labels; expected 2");
        put_idx(folder, 1);
        const unsigned char other[17] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 3};
        snprintf(name, sizeof name, "%s/t10k-images-idx3-ubyte", folder);
        scratch_file(name, other, sizeof other);
        assert_int_equal(scratch_open(sets[i], "", &set, &fault), LN_ECORRUPT);
        assert_fault_has(fault, "expected 2 x 3 as in the training files");
    }
}

static void makes_synthetic_pictures(void **state)
{
    (void)state;
    struct ln__set a, b;
    struct ln_fault fault;
    static const char small[] = "{channels: 2, height: 9, width: 7, classes: 5, train: 200, test: 50, owners: 8, noise: 0.1}";
    assert_int_equal(scratch_open(&ln__dataset_synthetic, small, &a, &fault), 0);
    assert_int_equal(scratch_open(&ln__dataset_synthetic, small, &b, &fault), 0);
    assert_true(a.c == 2 && a.h == 9 && a.w == 7 && a.classes == 5 && a.split[LN__TRAIN].count == 200 && a.split[LN__TEST].count == 50);
    assert_memory_equal(a.split[LN__TRAIN].byte, b.split[LN__TRAIN].byte, 200 * 126);
    assert_memory_not_equal(a.split[LN__TRAIN].byte, a.split[LN__TEST].byte, 50 * 126);
    assert_true(a.split[LN__TRAIN].owner[0] == 0 && a.split[LN__TRAIN].owner[199] == 7);
    /* Learnable: the nearest class mean of the training pictures is right for most test pictures. */
    static double mean[5][126];
    memset(mean, 0, sizeof mean);
    for (uint32_t i = 0; i < 200; i++)
        for (int j = 0; j < 126; j++)
            mean[a.split[LN__TRAIN].label[i]][j] += a.split[LN__TRAIN].byte[i * 126 + (uint32_t)j] / 40.0;
    int right = 0;
    for (uint32_t i = 0; i < 50; i++) {
        double best = 1e300;
        int guess = 0;
        for (int k = 0; k < 5; k++) {
            double far = 0;
            for (int j = 0; j < 126; j++) {
                double d = mean[k][j] - a.split[LN__TEST].byte[i * 126 + (uint32_t)j];
                far += d * d;
            }
            guess = far < best ? k : guess;
            best = far < best ? far : best;
        }
        right += guess == a.split[LN__TEST].label[i];
    }
    assert_true(right >= 40);
    ln__set_close(&a);
    ln__set_close(&b);
    assert_int_equal(scratch_open(&ln__dataset_synthetic, "{height: 1024, width: 1024, train: 100000}", &a, &fault), LN_ECONFIG);
}

/* Each allocation of each set made to fail in turn: an error, and nothing left. */
static void survives_no_memory(void **state)
{
    (void)state;
    static const struct {
        const struct ln__dataset *set;
        const char *yaml;
    } row[] = {{&ln__dataset_mnist, ""},
               {&ln__dataset_synthetic, "{train: 10, test: 5, owners: 2}"},
               {&ln__dataset_csv, "{owner: who}"},
               {&ln__dataset_folder, "{}"}};
    put_idx("mnist", 1);
    static const char table[] = "x,who,kind\n1,a,b\n2,a,b\n3,b,c\n4,b,c\n", picture[] = "P6 1 1 255\nabc";
    scratch_file("csv/train.csv", table, sizeof table - 1);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "folder/%s/%d.ppm", i % 2 ? "a" : "b", i);
        scratch_file(name, picture, sizeof picture - 1);
    }
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        struct scratch_options options = scratch_bind(&row[i].set->plugin, row[i].yaml);
        int64_t live = ln__mem_live();
        int code = LN_ENOMEM;
        uint64_t nth = 0;
        while (code) {
            struct ln__set set;
            struct ln_fault fault = {0};
            ln__mem_fail_at(++nth);
            code = ln__set_open(&options.choice, scratch_dir, &set, &fault);
            ln__mem_fail_at(0);
            assert_true(code == 0 || (code == LN_ENOMEM && fault.code == LN_ENOMEM));
            if (code == 0)
                ln__set_close(&set);
            assert_int_equal(ln__mem_live(), live);
        }
        assert_true(nth > 3);
        scratch_unbind(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_cifar10), cmocka_unit_test(opens_cifar100), cmocka_unit_test(opens_idx_sets),
                                       cmocka_unit_test(makes_synthetic_pictures), cmocka_unit_test(survives_no_memory)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
