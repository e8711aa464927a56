#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static const unsigned char magic[8] = {'L', 'N', 'J', 'R', 'N', 'L', '1', '\n'};
#define HEAD 16 /* of a record */

struct ln__journal {
    int file;
    char *path;
    uint64_t size;
    uint32_t records;
    bool broken; /* what the disk holds is not known since a failed write could not be undone: nothing may be written */
};

static void put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void make_head(unsigned char head[HEAD], uint32_t number, const void *data, size_t size)
{
    struct sha256_ctx context;
    put_u32(head, (uint32_t)size);
    put_u32(head + 4, number);
    sha256_init(&context);
    sha256_update(&context, 8, head);
    sha256_update(&context, size, data);
    sha256_digest(&context, 8, head + 8);
}

/* Visits the valid records of the mapped file; *valid: bytes up to their end; *records: how many. */
static int visit_all(const char *path, const struct ln__map *map, ln__journal_visit *visit, void *context, uint64_t *valid, uint32_t *records,
                     struct ln_fault *fault)
{
    *valid = 0;
    *records = 0;
    /* A crash while the file was made leaves a part of the magic: no record is lost. */
    if (memcmp(map->size ? map->data : magic, magic, map->size < sizeof magic ? map->size : sizeof magic) != 0)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: not a journal; expected it to begin with LNJRNL1", path);
    if (map->size < sizeof magic)
        return LN_OK;
    *valid = sizeof magic;
    while (map->size - *valid > HEAD) {
        const unsigned char *head = map->data + *valid, *data = head + HEAD;
        uint32_t size = get_u32(head);
        unsigned char expected[HEAD];
        if (size == 0 || size > LN__JOURNAL_RECORD_MAX || size > map->size - *valid - HEAD || get_u32(head + 4) != *records)
            break;
        make_head(expected, *records, data, size);
        if (memcmp(head, expected, HEAD) != 0)
            break;
        int code = visit ? visit(context, data, size) : LN_OK;
        if (code)
            return code;
        *valid += HEAD + (uint64_t)size;
        ++*records;
    }
    return LN_OK;
}

int ln__journal_read(const char *path, ln__journal_visit *visit, void *context, uint64_t *torn, struct ln_fault *fault)
{
    struct ln__map map;
    int code = ln__file_map(path, &map, fault);
    if (code)
        return code;
    uint64_t valid;
    uint32_t records;
    code = visit_all(path, &map, visit, context, &valid, &records, fault);
    if (torn)
        *torn = map.size - valid;
    ln__file_unmap(&map);
    return code;
}

static int write_at(int file, const void *data, size_t size, uint64_t offset)
{
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t put = pwrite(file, at, size < (1u << 30) ? size : 1u << 30, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put == 0 ? EIO : errno;
            return -1;
        }
        at += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

/* An advisory lock on the open file: it goes with the process. One that was killed a moment ago, in the middle of a large write, can
 * hold it a little longer: so there is some patience before another writer is complained of. */
static int lock_file(int file, const char *path, struct ln_fault *fault)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    for (int tries = 0; tries < 100; tries++) {
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            return LN_OK;
        if (errno != EWOULDBLOCK)
            return ln_fault_errno(fault, "%s: cannot lock", path);
        nanosleep(&pause, NULL);
    }
    return ln_fault_set(fault, LN_EREFUSED, "%s: in use by another process; expected to be its only writer", path);
}

/* Cuts what is torn and writes the magic where it is missing. */
static int settle(struct ln__journal *journal, uint64_t valid, uint64_t size, struct ln_fault *fault)
{
    if (valid == 0) {
        if (write_at(journal->file, magic, sizeof magic, 0) != 0)
            return ln_fault_errno(fault, "%s: cannot write", journal->path);
        valid = sizeof magic;
    }
    if (size > valid && ftruncate(journal->file, (off_t)valid) != 0)
        return ln_fault_errno(fault, "%s: cannot cut its torn end", journal->path);
    if (size != valid && fsync(journal->file) != 0)
        return ln_fault_errno(fault, "%s: cannot sync", journal->path);
    journal->size = valid;
    return LN_OK;
}

static int begin(struct ln__journal *journal, ln__journal_visit *visit, void *context, uint64_t *torn, struct ln_fault *fault)
{
    const char *path = journal->path;
    bool fresh = !ln__file_exists(path);
    if (fresh) { /* made whole, so that its name is durable before the first record is */
        struct ln__piece piece = {magic, sizeof magic};
        int code = ln__file_replace(path, &piece, 1, fault);
        if (code)
            return code;
    }
    journal->file = open(path, O_RDWR | O_CLOEXEC);
    if (journal->file < 0)
        return ln_fault_errno(fault, "%s: cannot open", path);
    int code = lock_file(journal->file, path, fault);
    if (code)
        return code;
    struct ln__map map;
    code = ln__file_map(path, &map, fault);
    if (code)
        return code;
    uint64_t valid, size = map.size;
    code = visit_all(path, &map, visit, context, &valid, &journal->records, fault);
    ln__file_unmap(&map);
    if (code)
        return code;
    if (torn)
        *torn = size - valid;
    return settle(journal, valid, size, fault);
}

int ln__journal_open(const char *path, ln__journal_visit *visit, void *context, uint64_t *torn, struct ln__journal **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__journal *journal = ln__mem_zero(1, sizeof *journal);
    char *copy = journal ? ln__mem_text(path) : NULL;
    if (!copy) {
        ln__mem_free(journal);
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory to open it", path);
    }
    *journal = (struct ln__journal){.file = -1, .path = copy};
    int code = begin(journal, visit, context, torn, fault);
    if (code) {
        ln__journal_close(journal);
        return code;
    }
    *out = journal;
    return LN_OK;
}

void ln__journal_close(struct ln__journal *journal)
{
    if (!journal)
        return;
    if (journal->file >= 0)
        close(journal->file);
    ln__mem_free(journal->path);
    ln__mem_free(journal);
}

int ln__journal_sound(const struct ln__journal *journal, struct ln_fault *fault)
{
    if (journal->broken)
        return ln_fault_set(fault, LN_EIO, "%s: closed to writing since a failed write could not be undone", journal->path);
    return LN_OK;
}

static int check_size(const struct ln__journal *journal, size_t size, struct ln_fault *fault)
{
    if (size < 1 || size > LN__JOURNAL_RECORD_MAX)
        return ln_fault_set(fault, LN_EINVALID, "%s: a record of %zu bytes; expected 1 to %u", journal->path, size, LN__JOURNAL_RECORD_MAX);
    return ln__journal_sound(journal, fault);
}

int ln__journal_append(struct ln__journal *journal, const void *data, size_t size, struct ln_fault *fault)
{
    int code = check_size(journal, size, fault);
    if (code)
        return code;
    unsigned char head[HEAD];
    make_head(head, journal->records, data, size);
    bool written = write_at(journal->file, head, HEAD, journal->size) == 0 && write_at(journal->file, data, size, journal->size + HEAD) == 0;
    if (!written) {
        code = ln_fault_errno(fault, "%s: cannot append %zu bytes", journal->path, size);
        journal->broken = ftruncate(journal->file, (off_t)journal->size) != 0;
        return code;
    }
    if (fsync(journal->file) != 0) {
        /* What the disk holds is unknown now, and a second fsync may claim success falsely: no more appends. */
        code = ln_fault_errno(fault, "%s: cannot sync", journal->path);
        journal->broken = ftruncate(journal->file, (off_t)journal->size) != 0 || code != LN_EFULL;
        return code;
    }
    journal->size += HEAD + size;
    journal->records++;
    return LN_OK;
}

/* Opens the file that is to take the journal's place, with its rights, locked before it has its name. */
static int open_next(const struct ln__journal *journal, const char *path, int *out, struct ln_fault *fault)
{
    struct stat old;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot open", path);
    int code = LN_OK;
    if (fstat(journal->file, &old) != 0 || fchmod(file, old.st_mode & 07777) != 0)
        code = ln_fault_errno(fault, "%s: cannot have the rights of the one before", path);
    if (!code)
        code = lock_file(file, path, fault);
    if (code)
        close(file);
    else
        *out = file;
    return code;
}

int ln__journal_compact(struct ln__journal *journal, const void *data, size_t size, struct ln_fault *fault)
{
    int code = check_size(journal, data ? size : 1, fault);
    if (code)
        return code;
    unsigned char head[HEAD];
    if (data)
        make_head(head, 0, data, size);
    const struct ln__piece piece[3] = {{magic, sizeof magic}, {head, HEAD}, {data, size}};
    char next[PATH_MAX];
    if (snprintf(next, sizeof next, "%s.next", journal->path) >= (int)sizeof next)
        return ln_fault_set(fault, LN_EINVALID, "%.100s...: the path is too long", journal->path);
    int file = -1;
    code = ln__file_replace(next, piece, data ? 3 : 1, fault);
    if (!code)
        code = open_next(journal, next, &file, fault);
    if (!code && rename(next, journal->path) != 0) {
        code = ln_fault_errno(fault, "%s: cannot write", journal->path);
        close(file);
    }
    if (code) {
        unlink(next);
        return code;
    }
    /* From here on the old file has no name: the new one must be what is appended to. */
    close(journal->file);
    journal->file = file;
    journal->records = data ? 1 : 0;
    journal->size = sizeof magic + (data ? HEAD + (uint64_t)size : 0);
    code = ln__file_sync_folder(journal->path, fault);
    journal->broken = code != LN_OK;
    return code;
}

uint64_t ln__journal_size(const struct ln__journal *journal)
{
    return journal->size;
}

uint64_t ln__journal_records(const struct ln__journal *journal)
{
    return journal->records;
}
