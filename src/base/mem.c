#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE ((size_t)16 << 20) /* bytes from which a block lies in huge pages */

static atomic_uint_least64_t count;
static atomic_int_least64_t live;
static atomic_uint_least64_t fail_at; /* allocations until the one that fails, itself included; 0: none */

static int fails_now(void)
{
    uint_least64_t left = atomic_load_explicit(&fail_at, memory_order_relaxed);
    while (left != 0) {
        if (atomic_compare_exchange_weak(&fail_at, &left, left - 1))
            return left == 1;
    }
    return 0;
}

/* A block of many pages is read with fewer misses of the address cache, and faulted in with fewer faults, where the kernel makes its pages huge. What is
 * left over at its end, less than such a page, is not asked for, so that no memory is taken that the block does not have. */
static void *take_large(size_t size)
{
    void *block = size > SIZE_MAX - HUGE_PAGE ? NULL : aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (block)
        (void)madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a kernel without them refuses, and all is as before */
    return block;
}

void *ln__mem_alloc(size_t size)
{
    if (size == 0 || size > SIZE_MAX / 2)
        return NULL;
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    if (fails_now())
        return NULL;
    size_t rounded = (size + LN_ALIGN - 1) / LN_ALIGN * LN_ALIGN; /* as aligned_alloc wants it */
    void *block = rounded >= LARGE ? take_large(rounded) : aligned_alloc(LN_ALIGN, rounded);
    if (block)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return block;
}

void *ln__mem_zero(size_t items, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(items, size, &bytes))
        return NULL;
    void *block = ln__mem_alloc(bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

void *ln__mem_grow(void *block, size_t old_size, size_t size)
{
    void *grown = ln__mem_alloc(size);
    if (!grown)
        return NULL;
    if (block) {
        memcpy(grown, block, old_size < size ? old_size : size);
        ln__mem_free(block);
    }
    return grown;
}

void *ln__mem_more(void *array, size_t items, size_t *room, size_t size)
{
    size_t wanted = *room ? 2 * *room : 16, bytes;
    if (items < *room)
        return array;
    if (__builtin_mul_overflow(wanted, size, &bytes))
        return NULL;
    void *grown = ln__mem_grow(array, *room * size, bytes);
    if (grown)
        *room = wanted;
    return grown;
}

char *ln__mem_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ln__mem_alloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void ln__mem_free(void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(block);
}

void ln__mem_free_outer(void *block)
{
    free(block);
}

uint64_t ln__mem_count(void)
{
    return atomic_load(&count);
}

int64_t ln__mem_live(void)
{
    return atomic_load(&live);
}

void ln__mem_fail_at(uint64_t nth)
{
    atomic_store(&fail_at, nth);
}

/* ---- arena ---- */

#define CHUNK_LEAST 4096

struct ln__arena_chunk {
    struct ln__arena_chunk *before;
    size_t used, room; /* bytes behind this head */
    _Alignas(16) unsigned char data[];
};

void ln__arena_init(struct ln__arena *arena, size_t max_bytes)
{
    *arena = (struct ln__arena){.max_bytes = max_bytes};
}

void *ln__arena_alloc(struct ln__arena *arena, size_t size)
{
    if (size > arena->max_bytes - arena->used_bytes)
        return NULL;
    size_t rounded = (size + 15) / 16 * 16;
    if (rounded > arena->max_bytes - arena->used_bytes)
        rounded = size; /* the last few bytes of the allowance */
    struct ln__arena_chunk *chunk = arena->last;
    size_t from = chunk ? (chunk->used + 15) / 16 * 16 : 0;
    if (!chunk || from > chunk->room || rounded > chunk->room - from) {
        size_t room = CHUNK_LEAST - sizeof *chunk;
        if (chunk && chunk->room * 2 > room)
            room = chunk->room * 2 < (1u << 20) ? chunk->room * 2 : 1u << 20;
        if (room < rounded)
            room = rounded;
        chunk = ln__mem_zero(1, sizeof *chunk + room);
        if (!chunk)
            return NULL;
        *chunk = (struct ln__arena_chunk){.before = arena->last, .room = room};
        arena->last = chunk;
        from = 0;
    }
    chunk->used = from + rounded;
    arena->used_bytes += rounded;
    return chunk->data + from;
}

char *ln__arena_text(struct ln__arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ln__arena_alloc(arena, size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void ln__arena_fini(struct ln__arena *arena)
{
    while (arena->last) {
        struct ln__arena_chunk *before = arena->last->before;
        ln__mem_free(arena->last);
        arena->last = before;
    }
    arena->used_bytes = 0;
}

/* ---- buffer ---- */

void ln__buf_init(struct ln__buf *buf, size_t max)
{
    *buf = (struct ln__buf){.max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4};
}

/* Room for size more bytes and a 0 behind them. */
static int make_room(struct ln__buf *buf, size_t size)
{
    if (size > buf->max - buf->size)
        return LN_EBUDGET;
    size_t need = buf->size + size + 1;
    if (need <= buf->room)
        return LN_OK;
    size_t room = buf->room < 128 ? 256 : buf->room * 2;
    if (room > buf->max + 1)
        room = buf->max + 1;
    if (room < need)
        room = need;
    unsigned char *data = ln__mem_grow(buf->data, buf->size, room);
    if (!data)
        return LN_ENOMEM;
    buf->data = data;
    buf->room = room;
    return LN_OK;
}

int ln__buf_room(struct ln__buf *buf, size_t size, unsigned char **at)
{
    int code = make_room(buf, size);
    if (code)
        return code;
    *at = buf->data + buf->size;
    buf->size += size;
    buf->data[buf->size] = 0;
    return LN_OK;
}

int ln__buf_add(struct ln__buf *buf, const void *data, size_t size)
{
    unsigned char *at;
    int code = ln__buf_room(buf, size, &at);
    if (code == LN_OK && size > 0)
        memcpy(at, data, size);
    return code;
}

int ln__buf_print(struct ln__buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0)
        return LN_EINVALID;
    unsigned char *at;
    int code = ln__buf_room(buf, (size_t)size, &at);
    if (code)
        return code;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)size + 1, format, args);
    va_end(args);
    return LN_OK;
}

void ln__buf_clear(struct ln__buf *buf)
{
    buf->size = 0;
    if (buf->data)
        buf->data[0] = 0;
}

void ln__buf_fini(struct ln__buf *buf)
{
    ln__mem_free(buf->data);
    *buf = (struct ln__buf){.max = buf->max};
}
