#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "tensor/safetensors.h"

static const float weight[12] = {1, -2.5f, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const int8_t small[3] = {-1, 0, 1};
static const int64_t wide[2] = {INT64_MIN, INT64_MAX};
static const uint16_t half[2] = {0x3c00, 0xc000};
static const uint8_t byte[1] = {200};
static const int32_t word[1] = {-7};

static const struct ln__safe_tensor tensors[] = {{"small", LN__I8, 1, {3}, small, 3}, {"conv1.weight", LN__F32, 2, {3, 4}, weight, 48},
                                                 {"wide", LN__I64, 1, {2}, wide, 16}, {"half \"q\" \\ \xc3\xa4", LN__F16, 2, {1, 2}, half, 4},
                                                 {"byte", LN__U8, 0, {0}, byte, 1},   {"none", LN__F32, 3, {2, 0, 5}, NULL, 0},
                                                 {"word", LN__I32, 1, {1}, word, 4}};
#define COUNT (sizeof tensors / sizeof tensors[0])
static const struct ln__safe_note notes[] = {{"format", "pt"}, {"made by", "a test"}};

static void check_all(const struct ln__safe *safe)
{
    assert_int_equal(ln__safe_count(safe), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct ln__safe_tensor *found = ln__safe_find(safe, tensors[i].name);
        assert_non_null(found);
        assert_string_equal(found->name, tensors[i].name);
        assert_int_equal(found->dtype, tensors[i].dtype);
        assert_int_equal(found->rank, tensors[i].rank);
        for (unsigned d = 0; d < found->rank; d++)
            assert_int_equal(found->shape[d], tensors[i].shape[d]);
        assert_int_equal(found->size, tensors[i].size);
        assert_int_equal((uintptr_t)found->data % ln__dtype_size(found->dtype), 0);
        if (found->size > 0)
            assert_memory_equal(found->data, tensors[i].data, found->size);
    }
    assert_null(ln__safe_find(safe, "absent"));
    assert_null(ln__safe_find(safe, ""));
    assert_null(ln__safe_at(safe, COUNT));
    assert_string_equal(ln__safe_at(safe, COUNT - 1)->name, "byte"); /* small types at the end */
    assert_string_equal(ln__safe_note(safe, "made by"), "a test");
    assert_null(ln__safe_note(safe, "absent"));
}

/* Another reader, from the format's definition: u64 length, JSON, data. */
static void read_otherwise(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    unsigned char head[8];
    assert_int_equal(fread(head, 1, 8, file), 8);
    uint64_t size = 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | head[i];
    assert_in_range(size, 1, 5000);
    assert_int_equal((8 + size) % 64, 0);
    char text[5001] = "";
    assert_int_equal(fread(text, 1, size, file), size);
    json_t *header = json_loads(text, 0, NULL);
    assert_non_null(header);
    assert_int_equal(json_object_size(header), COUNT + 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(header, "__metadata__"), "format")), "pt");
    json_t *entry = json_object_get(header, "conv1.weight"), *offsets = json_object_get(entry, "data_offsets");
    assert_string_equal(json_string_value(json_object_get(entry, "dtype")), "F32");
    assert_int_equal(json_integer_value(json_array_get(json_object_get(entry, "shape"), 0)), 3);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(entry, "shape"), 1)), 4);
    long begin = (long)json_integer_value(json_array_get(offsets, 0));
    assert_int_equal(json_integer_value(json_array_get(offsets, 1)), begin + 48);
    float read[12];
    assert_int_equal(fseek(file, (long)(8 + size) + begin, SEEK_SET), 0);
    assert_int_equal(fread(read, 4, 12, file), 12);
    assert_memory_equal(read, weight, sizeof read);
    json_decref(header);
    fclose(file);
}

static void round_trip(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-safe-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    struct ln_fault fault = {0};
    assert_int_equal(ln__safe_write(path, tensors, COUNT, notes, 2, &fault), LN_OK);
    read_otherwise(path);
    struct ln__safe *safe;
    assert_int_equal(ln__safe_open(path, &safe, &fault), LN_OK);
    check_all(safe);
    ln__safe_close(safe);
    struct ln__buf out;
    ln__buf_init(&out, 10000);
    assert_int_equal(ln__safe_encode(&out, tensors, COUNT, notes, 2, &fault), LN_OK);
    assert_int_equal(ln__safe_parse(out.data, out.size, "memory", &safe, &fault), LN_OK);
    check_all(safe);
    ln__safe_close(safe);
    for (size_t size = 0; size < out.size; size++) { /* every truncation is found out */
        fault = (struct ln_fault){0};
        assert_int_equal(ln__safe_parse(out.data, size, "cut", &safe, &fault), LN_ECORRUPT);
        assert_null(safe);
        assert_non_null(strstr(fault.text, "truncated"));
    }
    ln__buf_clear(&out);
    assert_int_equal(ln__safe_encode(&out, NULL, 0, NULL, 0, NULL), LN_OK);
    assert_int_equal(ln__safe_parse(out.data, out.size, "empty", &safe, NULL), LN_OK);
    assert_int_equal(ln__safe_count(safe), 0);
    ln__safe_close(safe);
    ln__buf_fini(&out);
    unlink(path);
    fault = (struct ln_fault){0};
    assert_int_equal(ln__safe_open(path, &safe, &fault), LN_ENOENT);
}

static void refused_to_write(void **state)
{
    (void)state;
    struct ln__buf out;
    ln__buf_init(&out, 1000);
    struct ln__safe_tensor bad[2] = {tensors[0], tensors[1]};
    struct ln_fault fault = {0};
    bad[1].size = 40;
    assert_int_equal(ln__safe_encode(&out, bad, 2, NULL, 0, &fault), LN_EINVALID);
    assert_string_equal(fault.text, "tensors: tensor \"conv1.weight\": 40 bytes do not match shape [3, 4] of F32");
    bad[1] = tensors[0];
    fault.code = 0;
    assert_int_equal(ln__safe_encode(&out, bad, 2, NULL, 0, &fault), LN_EINVALID);
    assert_string_equal(fault.text, "tensors: tensor \"small\" is given twice");
    static const char *const names[] = {"", "__metadata__", "a\nb", "\xff\xfe"};
    for (size_t i = 0; i < 4; i++) {
        bad[0].name = names[i];
        assert_int_equal(ln__safe_encode(&out, bad, 1, NULL, 0, NULL), LN_EINVALID);
    }
    bad[0] = tensors[0];
    bad[0].rank = 9;
    assert_int_equal(ln__safe_encode(&out, bad, 1, NULL, 0, NULL), LN_EINVALID);
    bad[0] = tensors[0];
    bad[0].shape[0] = -3;
    assert_int_equal(ln__safe_encode(&out, bad, 1, NULL, 0, NULL), LN_EINVALID);
    assert_int_equal(out.size, 0);
    static char many[2000];
    bad[0] = (struct ln__safe_tensor){"many", LN__U8, 1, {2000}, many, 2000};
    assert_int_equal(ln__safe_encode(&out, bad, 1, NULL, 0, NULL), LN_EBUDGET);
    assert_int_equal(out.size, 0);
    ln__buf_fini(&out);
    fault.code = 0;
    assert_int_equal(ln__safe_write("/dev/full/x", tensors, COUNT, NULL, 0, &fault), LN_EIO);
    assert_int_equal(ln__safe_write("/nonexistent/x", tensors, COUNT, NULL, 0, NULL), LN_ENOENT);
}

#define T(shape, offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(one, two)                                                                                                                                \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" one "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" two "}}"

static const struct {
    const char *header;
    size_t data;
    int code;
    const char *complaint;
} wrong[] = {
    {T("[3,4]", "[0,40]"), 40, LN_ECORRUPT, "x: tensor \"a\": offsets 0..40 do not match shape [3, 4] of F32 (48 bytes)"},
    {T("[3,4]", "[0,48]"), 40, LN_ECORRUPT, "x: truncated: tensor \"a\" ends at byte 48 of the data, which has 40"},
    {T("[3,4]", "[0,48]"), 49, LN_ECORRUPT, "x: bytes 48..49 of the data belong to no tensor"},
    {T("[2]", "[4,12]"), 12, LN_ECORRUPT, "x: bytes 0..4 of the data belong to no tensor"},
    {T("[2]", "[8,0]"), 8, LN_ECORRUPT, "x: tensor \"a\": offsets 8..0; expected a range from 0"},
    {T("[2]", "[-8,0]"), 8, LN_ECORRUPT, "x: tensor \"a\": offsets -8..0; expected a range from 0"},
    {T("[2]", "[0,8,9]"), 8, LN_ECORRUPT, "x: tensor \"a\": data_offsets; expected two integers"},
    {T("[2]", "[0,8.0]"), 8, LN_ECORRUPT, "x: tensor \"a\": data_offsets; expected two integers"},
    {T("[2]", "8"), 8, LN_ECORRUPT, "x: tensor \"a\": data_offsets; expected two integers"},
    {T("[-2]", "[0,8]"), 8, LN_ECORRUPT, "x: tensor \"a\": extent 0 of its shape is no integer from 0"},
    {T("[\"2\"]", "[0,8]"), 8, LN_ECORRUPT, "x: tensor \"a\": extent 0 of its shape is no integer from 0"},
    {T("2", "[0,8]"), 8, LN_ECORRUPT, "x: tensor \"a\": no shape; expected a list of at most 8 extents"},
    {T("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, LN_ECORRUPT, "x: tensor \"a\": no shape; expected a list of at most 8 extents"},
    {T("[4611686018427387904,4]", "[0,0]"), 0, LN_ECORRUPT,
     "x: tensor \"a\": shape [4611686018427387904, 4] of F32 has more bytes than can be counted"},
    {T("[9223372036854775807]", "[0,8]"), 8, LN_ECORRUPT, "x: tensor \"a\": shape [9223372036854775807] of F32 has more bytes than can be counted"},
    {T("[2]", "[9223372036854775800,9223372036854775807]"), 8, LN_ECORRUPT,
     "x: tensor \"a\": offsets 9223372036854775800..9223372036854775807 do not match shape [2] of F32 (8 bytes)"},
    {T("[2]", "[99999999999999999999,8]"), 8, LN_ECORRUPT, NULL},
    {TWO("[0,4]", "[2,6]"), 6, LN_ECORRUPT, "x: tensor \"b\" begins at 2, inside tensor \"a\""},
    {TWO("[0,4]", "[0,4]"), 4, LN_ECORRUPT, "x: tensor \"b\" begins at 0, inside tensor \"a\""},
    {TWO("[0,4]", "[5,9]"), 9, LN_ECORRUPT, "x: bytes 4..5 of the data belong to no tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     LN_ECORRUPT, NULL},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, LN_EUNSUPPORTED,
     "x: tensor \"a\": type F64; expected F32, F16, BF16, I64, I32, U8 or I8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", 8, LN_ECORRUPT,
     "x: tensor \"a\": expected dtype, shape and data_offsets and nothing else"},
    {"{\"a\":{\"dtype\":3,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LN_ECORRUPT,
     "x: tensor \"a\": expected dtype, shape and data_offsets and nothing else"},
    {"{\"a\":[]}", 0, LN_ECORRUPT, "x: tensor \"a\": expected dtype, shape and data_offsets and nothing else"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, LN_ECORRUPT,
     "x: tensor name \"\"; expected 1 to 256 bytes of printable UTF-8"},
    {"{\"\\u001b[31m\":{}}", 0, LN_ECORRUPT, "x: tensor name \"?[31m\"; expected 1 to 256 bytes of printable UTF-8"},
    {"{\"a\\u0000b\":{}}", 0, LN_ECORRUPT, NULL},
    {"{\"__metadata__\":{\"a\":1}}", 0, LN_ECORRUPT, "x: __metadata__: \"a\" is no text"},
    {"{\"__metadata__\":[]}", 0, LN_ECORRUPT, "x: __metadata__ is no table; expected texts by key"},
    {"{\"a\":", 0, LN_ECORRUPT, NULL},
    {"[]", 0, LN_ECORRUPT, "x: not safetensors: its header does not begin with {"},
    {"", 0, LN_ECORRUPT, "x: not safetensors: its header does not begin with {"},
    {" {}", 0, LN_ECORRUPT, "x: not safetensors: its header does not begin with {"},
    {"{} x", 0, LN_ECORRUPT, NULL},
    {"{}", 3, LN_ECORRUPT, "x: bytes 0..3 of the data belong to no tensor"},
};

static void malformed(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        unsigned char file[1000] = {0};
        size_t size = strlen(wrong[i].header);
        file[0] = (unsigned char)size;
        file[1] = (unsigned char)(size >> 8);
        memcpy(file + 8, wrong[i].header, size);
        struct ln__safe *safe;
        struct ln_fault fault = {0};
        assert_int_equal(ln__safe_parse(file, 8 + size + wrong[i].data, "x", &safe, &fault), wrong[i].code);
        assert_null(safe);
        if (wrong[i].complaint)
            assert_string_equal(fault.text, wrong[i].complaint);
        else
            assert_non_null(strstr(fault.text, "x: its header is not JSON: "));
    }
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct ln__safe *safe;
    struct ln_fault fault = {0};
    assert_int_equal(ln__safe_parse(huge, sizeof huge, "x", &safe, &fault), LN_ECORRUPT);
    assert_string_equal(fault.text, "x: not safetensors: a header of 18446744073709551615 bytes; expected at most 100000000");
    assert_true(ln__mem_live() == live);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    int code = LN_ENOMEM;
    for (uint64_t nth = 1; code != LN_OK; nth++) {
        struct ln__safe *safe = NULL;
        struct ln__buf out;
        ln__buf_init(&out, 10000);
        ln__mem_fail_at(nth);
        code = ln__safe_encode(&out, tensors, COUNT, notes, 2, NULL);
        if (code == LN_OK)
            code = ln__safe_parse(out.data, out.size, "memory", &safe, NULL);
        ln__mem_fail_at(0);
        ln__safe_close(safe);
        ln__buf_fini(&out);
        assert_true(ln__mem_live() == live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trip), cmocka_unit_test(refused_to_write), cmocka_unit_test(malformed),
                                       cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
