/* Files, written so that a crash at any moment leaves the old content or the new, never a mixture. */
#ifndef LINNET_BASE_FILE_H
#define LINNET_BASE_FILE_H

#include "base/mem.h"
#include <linnet/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file mapped read-only; data is NULL for an empty one. */
struct ln__map {
    const unsigned char *data;
    size_t size;
};
int ln__file_map(const char *path, struct ln__map *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__file_unmap(struct ln__map *map);

int ln__file_read(const char *path, size_t max, struct ln__buf *out, struct ln_fault *fault) LN_MUST_CHECK; /* LN_EBUDGET over max */

/* Replaces path by the pieces one after another: temporary file beside it, fsync, rename, fsync of the folder. Of a symbolic link the file it leads to is
 * replaced. LN_EIO: path is a folder, a pipe or a device. */
struct ln__piece {
    const void *data;
    size_t size;
};
int ln__file_replace(const char *path, const struct ln__piece *piece, size_t pieces, struct ln_fault *fault) LN_MUST_CHECK;

/* Makes durable that path has its name. */
int ln__file_sync_folder(const char *path, struct ln_fault *fault) LN_MUST_CHECK;

int ln__file_mkdirs(const char *path, struct ln_fault *fault) LN_MUST_CHECK; /* parents too; existing is fine */
bool ln__file_exists(const char *path);
/* folder/name into out; LN_EBUDGET when longer than room. */
int ln__file_join(char *out, size_t room, const char *folder, const char *name) LN_MUST_CHECK;

struct ln__sha256 {
    unsigned char byte[32];
};
void ln__sha256_of(const void *data, size_t size, struct ln__sha256 *out);
void ln__sha256_hex(const struct ln__sha256 *hash, char out[65]);

#endif
