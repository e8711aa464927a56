#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include <linnet/plugin.h>

static void blocks(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    uint64_t count = ln__mem_count();
    for (size_t size = 1; size < 300; size += 7) {
        unsigned char *block = ln__mem_alloc(size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % LN_ALIGN, 0);
        memset(block, 1, size);
        ln__mem_free(block);
    }
    unsigned char *large = ln__mem_alloc(((size_t)17 << 20) + 1); /* begins where a huge page may */
    assert_non_null(large);
    assert_int_equal((uintptr_t)large % ((size_t)2 << 20), 0);
    large[(size_t)17 << 20] = 1;
    ln__mem_free(large);
    assert_true(ln__mem_count() > count);
    assert_null(ln__mem_alloc(0));
    assert_null(ln__mem_alloc(SIZE_MAX));
    assert_null(ln__mem_zero(SIZE_MAX / 2, 3));
    assert_null(ln__mem_zero(0, 3));
    char *text = ln__mem_zero(2, 5);
    assert_non_null(text);
    for (int i = 0; i < 10; i++)
        assert_int_equal(text[i], 0);
    memcpy(text, "123456789", 10);
    text = ln__mem_grow(text, 10, 1000);
    assert_string_equal(text, "123456789");
    text = ln__mem_grow(text, 1000, 4);
    assert_memory_equal(text, "1234", 4);
    ln__mem_free(text);
    text = ln__mem_grow(NULL, 0, 8);
    assert_non_null(text);
    ln__mem_free(text);
    text = ln__mem_text("copy");
    assert_string_equal(text, "copy");
    assert_true(ln__mem_live() == live + 1);
    ln__mem_free(text);
    ln__mem_free(NULL);
    assert_true(ln__mem_live() == live);
}

static void arrays(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    uint32_t *list = NULL, *grown;
    size_t room = 0;
    for (size_t count = 0; count < 1000; count++) {
        size_t before = room;
        grown = ln__mem_more(list, count, &room, sizeof *list);
        assert_non_null(grown);
        assert_true(room > count && (grown == list ? room == before : count == before));
        list = grown;
        list[count] = (uint32_t)count;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    assert_int_equal(room, 1024);
    ln__mem_fail_at(1);
    assert_ptr_equal(ln__mem_more(list, 1000, &room, sizeof *list), list); /* nothing is asked for */
    assert_null(ln__mem_more(list, 1024, &room, sizeof *list));
    assert_int_equal(room, 1024); /* the old array stays */
    assert_int_equal(list[999], 999);
    ln__mem_fail_at(0);
    room = SIZE_MAX / 4;
    assert_null(ln__mem_more(list, room, &room, sizeof *list));
    ln__mem_free(list);
    assert_true(ln__mem_live() == live);
}

static void failing(void **state)
{
    (void)state;
    ln__mem_fail_at(2);
    char *first = ln__mem_alloc(8);
    assert_non_null(first);
    assert_null(ln__mem_grow(first, 8, 16)); /* the old block stays */
    first[7] = 1;
    first = ln__mem_grow(first, 8, 16);
    assert_non_null(first);
    assert_int_equal(first[7], 1);
    ln__mem_free(first);
    ln__mem_fail_at(0);
}

static void arena(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    struct ln__arena arena;
    ln__arena_init(&arena, 100000);
    size_t total = 0;
    for (size_t size = 1; total + size < 90000; size += 13) {
        unsigned char *at = ln__arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(at[i], 0);
        memset(at, 0xff, size);
        total += size + 15;
    }
    assert_string_equal(ln__arena_text(&arena, "text"), "text");
    assert_null(ln__arena_alloc(&arena, 100000));
    assert_null(ln__arena_alloc(&arena, SIZE_MAX));
    assert_true(arena.used_bytes <= arena.max_bytes);
    size_t rest = arena.max_bytes - arena.used_bytes;
    assert_non_null(ln__arena_alloc(&arena, rest));
    assert_null(ln__arena_alloc(&arena, 1));
    ln__arena_fini(&arena);
    assert_true(ln__mem_live() == live);
    ln__arena_init(&arena, 1000);
    ln__mem_fail_at(1);
    assert_null(ln__arena_alloc(&arena, 1));
    assert_non_null(ln__arena_alloc(&arena, 1));
    ln__arena_fini(&arena);
}

static void buffer(void **state)
{
    (void)state;
    struct ln__buf buf;
    ln__buf_init(&buf, 1000);
    assert_int_equal(ln__buf_print(&buf, "%d-%s", 7, "x"), LN_OK);
    assert_string_equal((char *)buf.data, "7-x");
    assert_int_equal(buf.size, 3);
    unsigned char *at;
    assert_int_equal(ln__buf_room(&buf, 997, &at), LN_OK);
    memset(at, 'y', 997);
    assert_int_equal(ln__buf_add(&buf, "z", 1), LN_EBUDGET);
    assert_int_equal(ln__buf_print(&buf, "z"), LN_EBUDGET);
    assert_int_equal(ln__buf_add(&buf, NULL, 0), LN_OK);
    assert_int_equal(ln__buf_room(&buf, SIZE_MAX, &at), LN_EBUDGET);
    assert_int_equal(buf.size, 1000);
    assert_int_equal(buf.data[1000], 0);
    ln__buf_clear(&buf);
    assert_int_equal(buf.size, 0);
    assert_string_equal((char *)buf.data, "");
    ln__buf_fini(&buf);
    ln__mem_fail_at(1);
    assert_int_equal(ln__buf_add(&buf, "z", 1), LN_ENOMEM);
    assert_int_equal(buf.size, 0);
    ln__buf_fini(&buf);
}

static void faults(void **state)
{
    (void)state;
    struct ln_fault fault = {0};
    assert_int_equal(ln_fault_set(&fault, LN_ESHAPE, "%s: 3 by 4", "w"), LN_ESHAPE);
    assert_string_equal(fault.text, "w: 3 by 4");
    assert_int_equal(ln_fault_set(&fault, LN_EIO, "later"), LN_EIO); /* the first stays */
    assert_int_equal(fault.code, LN_ESHAPE);
    assert_int_equal(ln_fault_set(NULL, LN_EIO, "nobody listens"), LN_EIO);
    fault = (struct ln_fault){0};
    errno = ENOSPC;
    assert_int_equal(ln_fault_errno(&fault, "f"), LN_EFULL);
    assert_string_equal(fault.text, "f: No space left on device");
    errno = ENOENT;
    assert_int_equal(ln_fault_errno(NULL, "f"), LN_ENOENT);
    errno = ENOMEM;
    assert_int_equal(ln_fault_errno(NULL, "f"), LN_ENOMEM);
    errno = EACCES;
    assert_int_equal(ln_fault_errno(NULL, "f"), LN_EIO);
    char wide[2 * LN_FAULT_TEXT];
    memset(wide, 'w', sizeof wide);
    wide[sizeof wide - 1] = 0;
    fault = (struct ln_fault){0};
    ln_fault_set(&fault, LN_EIO, "%s", wide);
    assert_string_equal(fault.text + LN_FAULT_TEXT - 5, "w...");
    assert_string_equal(ln_error_name(LN_ESHAPE), "SHAPE");
    assert_string_equal(ln_error_text(LN_ESHAPE), "shapes do not fit");
    assert_string_equal(ln_error_name(LN_OK), "OK");
    assert_string_equal(ln_error_name(-999), "UNKNOWN");
    assert_string_equal(ln_error_text(1), "unknown error");
}

static void catalog(void **state)
{
    (void)state;
    static const struct ln_plugin one = {.name = "one"}, two = {.name = "two"};
    static const struct ln_plugin *const table[] = {&one, &two};
    static const struct ln_catalog all = {{[LN_KIND_CODEC] = {table, 2}}};
    assert_ptr_equal(ln_catalog_find(&all, LN_KIND_CODEC, "two"), &two);
    assert_null(ln_catalog_find(&all, LN_KIND_CODEC, "three"));
    assert_null(ln_catalog_find(&all, LN_KIND_MODEL, "one"));
    assert_null(ln_catalog_find(NULL, LN_KIND_MODEL, "one"));
    assert_string_equal(ln_kind_name(LN_KIND_CODEC), "codec");
    assert_string_equal(ln_kind_help(LN_KIND_CODEC), "how tensors become bytes");
    assert_string_equal(ln_kind_name(LN_KIND_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks), cmocka_unit_test(arrays), cmocka_unit_test(failing), cmocka_unit_test(arena),
                                       cmocka_unit_test(buffer), cmocka_unit_test(faults), cmocka_unit_test(catalog)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
