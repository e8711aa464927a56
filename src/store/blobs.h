/* Big things: models, updates, what a task leaves behind. A blob is an immutable run of bytes with a reference count.
 * Within the process a blob is its pointer; its name across runs is the SHA-256 of its bytes, computed when it is first asked for, persisted or
 * spilled, and then remembered. Blobs in memory are kept within a budget: those pinned by nobody and used longest ago go to
 * <folder>/<64 hex digits> and come back when pinned.
 *
 *     made ----> in memory <----pin/spill----> on disk only
 *                 |  ^ pinned: its bytes do not move
 *                 v
 *              persisted: in memory or not, its file is durable and stays until ln__blobs_gc
 *
 * All functions may be called from any thread, without a lock of the caller's; a reference belongs to who got it. Only
 * ln__blob_pin, ln__blob_id, ln__blob_persist and putting over the budget touch the disk. A file whose bytes do not hash to its name is LN_ECORRUPT,
 * never data. */
#ifndef LINNET_STORE_BLOBS_H
#define LINNET_STORE_BLOBS_H

#include <linnet/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ln__blobs; /* the store */
struct ln_blob;   /* a blob in it */

struct ln__blob_id {
    unsigned char byte[32];
};

/* dir: made where absent; NULL: memory only. budget: bytes of blobs in memory, 0: any. Without a folder, or while pinned
 * blobs alone exceed it, the budget is exceeded rather than anything refused (ln__blobs_stats tells). Files left by an earlier run are found by
 * ln__blob_open; half-written ones are removed. */
int ln__blobs_open(const char *dir, uint64_t budget, struct ln__blobs **out, struct ln_fault *fault) LN_MUST_CHECK;

/* All references must have been given back. Files that were only spilled are removed, persisted ones stay. NULL is fine. */
void ln__blobs_close(struct ln__blobs *store);

/* A buffer of size bytes to be filled and then given to ln__blob_take: the way without a copy. 64-byte aligned. NULL: no
 * memory. size may be 0. Given back unused by ln__blob_drop. */
void *ln__blob_alloc(struct ln__blobs *store, size_t size);
void ln__blob_drop(void *buffer);

/* Makes a blob, with one reference for the caller. take: the buffer is from ln__blob_alloc, of that size; it belongs to the store
 * afterwards, on failure too. put: copies. Bytes already held under another pointer are not looked for. LN_ENOMEM; a spill that fails on
 * the way is no failure of the put. */
int ln__blob_take(struct ln__blobs *store, void *buffer, size_t size, struct ln_blob **out, struct ln_fault *fault) LN_MUST_CHECK;
/* The same of a buffer that its maker, who has its address, is still to fill: pinned once. It is an immutable blob like others from the unpin on; until then
 * nobody asks for its id. */
int ln__blob_take_open(struct ln__blobs *store, void *buffer, size_t size, struct ln_blob **out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__blob_put(struct ln__blobs *store, const void *data, size_t size, struct ln_blob **out, struct ln_fault *fault) LN_MUST_CHECK;

/* The blob of that id, with one more reference: one that is held and whose id is known, or a file of an earlier run. LN_ENOENT. Its bytes are checked
 * against the id when they are first pinned. */
int ln__blob_open(struct ln__blobs *store, const struct ln__blob_id *id, struct ln_blob **out, struct ln_fault *fault) LN_MUST_CHECK;

struct ln_blob *ln__blob_ref(struct ln_blob *blob); /* one more reference; NULL gives NULL */
void ln__blob_unref(struct ln_blob *blob);          /* NULL is fine; with the last one the memory goes, and the file unless persisted */

/* Whether one reference is all there is. Only its owner may draw conclusions: nobody else can make it more. */
bool ln__blob_sole(const struct ln_blob *blob);

size_t ln__blob_size(const struct ln_blob *blob);

/* The bytes, where they stay until as many unpins. Never NULL on success, 64-byte aligned. LN_ECORRUPT, LN_EIO, LN_ENOMEM. */
int ln__blob_pin(struct ln_blob *blob, const void **data, struct ln_fault *fault) LN_MUST_CHECK;
void ln__blob_unpin(struct ln_blob *blob);

/* SHA-256 of the bytes; the first call hashes: 0.65 ms a MB where the processor has SHA instructions, several times that without. */
int ln__blob_id(struct ln_blob *blob, struct ln__blob_id *out, struct ln_fault *fault) LN_MUST_CHECK;

/* Makes the blob durable under its id: temporary file, fsync, rename, fsync of the folder. Does nothing the second time. LN_EFULL leaves
 * nothing behind. A memory-only store refuses (LN_EUNSUPPORTED). */
int ln__blob_persist(struct ln_blob *blob, struct ln_fault *fault) LN_MUST_CHECK;

/* Removes the files of all blobs that are neither in keep nor referenced now. */
int ln__blobs_gc(struct ln__blobs *store, const struct ln__blob_id *keep, size_t count, struct ln_fault *fault) LN_MUST_CHECK;

struct ln__blobs_stats {
    uint64_t blobs;                 /* referenced now */
    uint64_t bytes, bytes_peak;     /* of blobs in memory */
    uint64_t spills, loads, hashes; /* so far */
};
void ln__blobs_stats(struct ln__blobs *store, struct ln__blobs_stats *out);

/* 64 hex digits and a 0; back: LN_ECORRUPT when text is anything but 64 lower-case hex digits. */
void ln__blob_id_text(const struct ln__blob_id *id, char text[65]);
int ln__blob_id_parse(const char *text, struct ln__blob_id *out) LN_MUST_CHECK;

#endif
