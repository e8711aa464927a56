#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int ln__file_map(const char *path, struct ln__map *out, struct ln_fault *fault)
{
    *out = (struct ln__map){0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot open", path);
    struct stat about;
    int code = LN_OK;
    if (fstat(file, &about) != 0)
        code = ln_fault_errno(fault, "%s: cannot look at it", path);
    else if (!S_ISREG(about.st_mode))
        code = ln_fault_set(fault, LN_EIO, "%s: not a regular file", path);
    else if ((uintmax_t)about.st_size > SIZE_MAX)
        code = ln_fault_set(fault, LN_EBUDGET, "%s: %jd bytes are too many for this machine", path, (intmax_t)about.st_size);
    else if (about.st_size > 0) {
        void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED)
            code = ln_fault_errno(fault, "%s: cannot map", path);
        else
            *out = (struct ln__map){data, (size_t)about.st_size};
    }
    close(file);
    return code;
}

void ln__file_unmap(struct ln__map *map)
{
    if (map->data)
        munmap((void *)map->data, map->size);
    *map = (struct ln__map){0};
}

int ln__file_read(const char *path, size_t max, struct ln__buf *out, struct ln_fault *fault)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot open", path);
    int code = LN_OK;
    size_t total = 0;
    while (code == LN_OK) {
        unsigned char block[16384];
        ssize_t got = read(file, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = ln_fault_errno(fault, "%s: cannot read", path);
        if (got <= 0)
            break;
        total += (size_t)got;
        code = total > max ? LN_EBUDGET : ln__buf_add(out, block, (size_t)got);
        if (code == LN_EBUDGET)
            ln_fault_set(fault, code, "%s: larger than %zu bytes", path, total > max ? max : out->max);
        else if (code)
            ln_fault_set(fault, code, "%s: no memory to read it", path);
    }
    close(file);
    return code;
}

static int write_all(int file, const void *data, size_t size)
{
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t put = write(file, at, size < (1u << 30) ? size : 1u << 30);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        at += put;
        size -= (size_t)put;
    }
    return 0;
}

/* The folder that holds path, into out (PATH_MAX bytes). */
static void folder_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, PATH_MAX, ".");
    else
        snprintf(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* A rename is durable only when the folder is. Some file systems cannot sync a folder (EINVAL): then there is nothing to wait for. */
int ln__file_sync_folder(const char *path, struct ln_fault *fault)
{
    char folder[PATH_MAX];
    folder_of(path, folder);
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = file < 0 || (fsync(file) != 0 && errno != EINVAL) ? ln_fault_errno(fault, "%s: cannot sync its folder", path) : LN_OK;
    if (file >= 0)
        close(file);
    return code;
}

/* A new file beside path, its name in temporary (PATH_MAX bytes): as mkostemp, but with the rights that the user's umask leaves. */
static int open_beside(const char *path, char *temporary)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned mark = (unsigned)now.tv_nsec ^ (unsigned)getpid() << 8 ^ (unsigned)(uintptr_t)temporary;
    int file = -1;
    for (int i = 0; i < 100; i++) {
        snprintf(temporary, PATH_MAX, "%s.%06x", path, mark++ & 0xffffff);
        file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0 || errno != EEXIST)
            break;
    }
    return file;
}

/* A rename would put a file in a symbolic link's place: what it leads to is replaced. behind has PATH_MAX bytes. */
static const char *follow(const char *path, char *behind)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISLNK(about.st_mode) && realpath(path, behind) ? behind : path;
}

int ln__file_replace(const char *path, const struct ln__piece *piece, size_t pieces, struct ln_fault *fault)
{
    char temporary[PATH_MAX], behind[PATH_MAX];
    struct stat old;
    bool exists = stat(path, &old) == 0;
    if (exists && !S_ISREG(old.st_mode))
        return ln_fault_set(fault, LN_EIO, "%s: not a regular file; expected one, or a name that is free", path);
    const char *to = follow(path, behind);
    if (strlen(to) + sizeof ".123456" > sizeof temporary)
        return ln_fault_set(fault, LN_EINVALID, "%s: the path is too long", path);
    int file = open_beside(to, temporary);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot make a file beside it", path);
    int failed = exists && fchmod(file, old.st_mode & 07777) != 0; /* a private file stays private */
    for (size_t i = 0; i < pieces && !failed; i++)
        failed = write_all(file, piece[i].data, piece[i].size);
    failed = failed || fsync(file) != 0;
    int saved = errno;
    if (close(file) != 0 && !failed) {
        failed = 1;
        saved = errno;
    }
    if (!failed && rename(temporary, to) != 0) {
        failed = 1;
        saved = errno;
    }
    if (failed) {
        unlink(temporary);
        errno = saved;
        return ln_fault_errno(fault, "%s: cannot write", path);
    }
    return ln__file_sync_folder(to, fault);
}

int ln__file_mkdirs(const char *path, struct ln_fault *fault)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof part)
        return ln_fault_set(fault, LN_EINVALID, "\"%.100s\": not a path of 1 to %d bytes", path, PATH_MAX - 1);
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        part[i] = 0;
        if (mkdir(part, 0755) != 0) {
            int saved = errno;
            struct stat about;
            if (stat(part, &about) != 0 || !S_ISDIR(about.st_mode)) {
                errno = saved == EEXIST ? ENOTDIR : saved;
                return ln_fault_errno(fault, "%s: cannot make the folder", part);
            }
        }
        if (i < size)
            part[i] = '/';
    }
    return LN_OK;
}

bool ln__file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

int ln__file_join(char *out, size_t room, const char *folder, const char *name)
{
    size_t size = strlen(folder);
    const char *between = size == 0 || folder[size - 1] == '/' ? "" : "/";
    int used = snprintf(out, room, "%s%s%s", folder, between, name);
    return used < 0 || (size_t)used >= room ? LN_EBUDGET : LN_OK;
}

void ln__sha256_of(const void *data, size_t size, struct ln__sha256 *out)
{
    struct sha256_ctx context;
    sha256_init(&context);
    if (size > 0)
        sha256_update(&context, size, data);
    sha256_digest(&context, sizeof out->byte, out->byte);
}

void ln__sha256_hex(const struct ln__sha256 *hash, char out[65])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof hash->byte; i++) {
        out[2 * i] = digit[hash->byte[i] >> 4];
        out[2 * i + 1] = digit[hash->byte[i] & 15];
    }
    out[64] = 0;
}
