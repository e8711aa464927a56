#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data_scratch.h>

#include <png.h>

extern const struct ln__dataset ln__dataset_folder;

static void put_ppm(const char *name, int w, int h, int value)
{
    unsigned char file[4096];
    int n = snprintf((char *)file, sizeof file, "P6 %d %d 255\n", w, h);
    for (int i = 0; i < 3 * w * h; i++)
        file[n + i] = (unsigned char)(value + i % 3);
    scratch_file(name, file, (size_t)(n + 3 * w * h));
}

static void put_png(const char *name, unsigned w, unsigned h, unsigned char value)
{
    unsigned char pixel[1024], file[4096];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = w, .height = h, .format = PNG_FORMAT_GRAY};
    png_alloc_size_t size = sizeof file;
    memset(pixel, value, sizeof pixel);
    assert_true(png_image_write_to_memory(&image, file, &size, 0, pixel, 0, NULL));
    scratch_file(name, file, size);
}

static void clear(void)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s/folder'", scratch_dir);
    assert_int_equal(system(command), 0);
}

static void opens_train_and_test(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "folder: not found");
    put_ppm("folder/train/dog/1.ppm", 4, 3, 10);
    put_ppm("folder/train/cat/b.PPM", 4, 3, 20);
    put_ppm("folder/train/cat/a.ppm", 4, 3, 30);
    put_ppm("folder/test/dog/x.ppm", 4, 3, 40);
    scratch_file("folder/train/cat/notes.txt", "x", 1);
    scratch_file("folder/train/cat/.hidden.png", "x", 1);
    int64_t live = ln__mem_live();
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), 0);
    assert_true(set.c == 3 && set.h == 3 && set.w == 4 && set.classes == 2);
    assert_string_equal(set.class_name[0], "cat");
    assert_true(set.split[LN__TRAIN].count == 3 && set.split[LN__TEST].count == 1);
    assert_true(set.split[LN__TRAIN].byte[0] == 30 && set.split[LN__TRAIN].byte[12] == 31 && set.split[LN__TRAIN].byte[36] == 20);
    assert_true(set.split[LN__TRAIN].label[2] == 1 && set.split[LN__TEST].label[0] == 1);
    assert_true(set.mean[0] > 0.078F && set.mean[0] < 0.079F); /* (30 + 20 + 10) / 3 / 255 */
    ln__set_close(&set);
    assert_int_equal(ln__mem_live(), live);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{channels: 1}", &set, &fault), 0);
    assert_int_equal(set.c, 1);
    ln__set_close(&set);
    put_ppm("folder/test/cow/x.ppm", 4, 3, 40);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "test/cow: no such class");
}

static void keeps_a_part_for_testing(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    clear();
    for (int i = 0; i < 10; i++) {
        char name[64];
        snprintf(name, sizeof name, "folder/%s/%d.png", i % 2 ? "odd" : "even", i);
        put_png(name, 5, 5, (unsigned char)i);
    }
    assert_int_equal(scratch_open(&ln__dataset_folder, "{test: 0.4}", &set, &fault), 0);
    assert_true(set.c == 1 && set.split[LN__TRAIN].count == 6 && set.split[LN__TEST].count == 4);
    int sum = 0;
    for (int s = 0; s < LN__SPLITS; s++)
        for (uint32_t i = 0; i < set.split[s].count; i++) {
            sum += set.split[s].byte[25 * i];
            assert_int_equal(set.split[s].label[i], set.split[s].byte[25 * i] % 2);
        }
    assert_int_equal(sum, 45);
    ln__set_close(&set);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    clear();
    put_png("folder/a/1.png", 5, 5, 1);
    put_png("folder/a/2.png", 5, 5, 1);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "1 class folders; expected two or more");
    scratch_file("folder/b/readme.txt", "x", 1);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "folder/b: the class folder holds no picture");
    put_png("folder/b/1.png", 6, 5, 1);
    put_png("folder/b/2.png", 5, 5, 1);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ESHAPE);
    assert_fault_has(fault, "b/1.png: 6 x 5 pixels; expected 5 x 5 as the first picture");
    assert_int_equal(scratch_open(&ln__dataset_folder, "{size: 7}", &set, &fault), LN_ESHAPE);
    assert_fault_has(fault, "expected 7 x 7 by the option size");
    assert_int_equal(scratch_open(&ln__dataset_folder, "{size: 7, resize: true}", &set, &fault), 0);
    assert_true(set.h == 7 && set.w == 7 && set.split[LN__TRAIN].byte[48] == 1);
    ln__set_close(&set);
    put_ppm("folder/b/1.ppm", 5, 5, 1);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{resize: true}", &set, &fault), LN_ESHAPE);
    assert_fault_has(fault, "b/1.ppm: colour, but the first picture is grey; set channels to 1 or 3");
    scratch_file("folder/b/1.ppm", "P6 5 5 255\nabc", 14);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{resize: true}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "b/1.ppm: 3 bytes of pixels; expected 75");
    clear();
    put_png("folder/a/1.png", 5, 5, 1);
    put_png("folder/a/2.png", 5, 5, 1);
    put_png("folder/red\x1b[31m/1.png", 5, 5, 1);
    assert_int_equal(scratch_open(&ln__dataset_folder, "{}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "folder: the name of class 1, \"red?[31m\", is no printable UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opens_train_and_test), cmocka_unit_test(keeps_a_part_for_testing),
                                       cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
