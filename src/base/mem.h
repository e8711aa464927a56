/* All memory of the library comes through here: the only file that may name malloc. Blocks are counted and any
 * allocation can be made to fail, which is how the tests prove that failures leak nothing and that a training step
 * allocates nothing. Every block starts at a multiple of 64 bytes, so that vectors of any instruction set load aligned; large ones (from
 * 16 MiB on: nets) lie in huge pages where the kernel gives them. */
#ifndef LINNET_BASE_MEM_H
#define LINNET_BASE_MEM_H

#include <linnet/error.h>
#include <stddef.h>
#include <stdint.h>

#define LN_ALIGN 64

/* NULL when there is no memory, or size is 0 or overflows. ln__mem_zero returns zeroed memory for count items. */
void *ln__mem_alloc(size_t size);
void *ln__mem_zero(size_t count, size_t size);
/* Keeps min(old_size, size) bytes; on failure the old block stays. */
void *ln__mem_grow(void *block, size_t old_size, size_t size);
/* Room behind so many items of that size, *room of which an array holds: the array as it is, or where it lies now that its room has doubled (16 at first).
 * NULL: no memory, and the old array stays. */
void *ln__mem_more(void *array, size_t items, size_t *room, size_t size);
char *ln__mem_text(const char *text); /* a copy */
void ln__mem_free(void *block);
void ln__mem_free_outer(void *block); /* one that another library took from malloc and left to its caller: jansson's text */

/* For tests: allocations so far in this process; how many blocks are live; and "let the n-th allocation from now fail"
 * (0: none). Threads share the count. */
uint64_t ln__mem_count(void);
int64_t ln__mem_live(void);
void ln__mem_fail_at(uint64_t nth);

/* Bump allocator for things that die together: chunks of at least 4 KiB, at most max_bytes in all. */
struct ln__arena {
    struct ln__arena_chunk *last;
    size_t used_bytes, max_bytes;
};
void ln__arena_init(struct ln__arena *arena, size_t max_bytes);
void *ln__arena_alloc(struct ln__arena *arena, size_t size); /* zeroed, 16-byte aligned; NULL: no memory or over the maximum */
char *ln__arena_text(struct ln__arena *arena, const char *text);
void ln__arena_fini(struct ln__arena *arena);

/* Growing byte buffer; never exceeds the maximum it was made with (LN_EBUDGET). Text functions keep a 0 behind the end. */
struct ln__buf {
    unsigned char *data;
    size_t size, room, max;
};
void ln__buf_init(struct ln__buf *buf, size_t max);
int ln__buf_add(struct ln__buf *buf, const void *data, size_t size) LN_MUST_CHECK;
int ln__buf_room(struct ln__buf *buf, size_t size, unsigned char **at) LN_MUST_CHECK; /* size more bytes at *at, uninitialised, counted */
int ln__buf_print(struct ln__buf *buf, const char *format, ...) LN_PRINTF(2, 3) LN_MUST_CHECK;
void ln__buf_clear(struct ln__buf *buf); /* size 0, memory kept */
void ln__buf_fini(struct ln__buf *buf);

#endif
