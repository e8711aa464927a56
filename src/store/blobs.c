#include "store/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* One lock guards lists, counts and states; it is never held over hashing, reading or writing. Whoever works on a blob outside the
 * lock marks it busy, and others that need it to change wait for `idle`. A busy blob's memory, id and files stay as they are
 * but for what its worker does; its worker holds it alive.
 *
 * Blobs in memory that nobody pins hang in a ring by time of last use. */
struct ln_blob {
    struct ln__blobs *store;
    void *data; /* NULL: on disk only, or empty */
    size_t size;
    unsigned refs, pins;
    bool busy, hashed;
    bool spilled;  /* a file of this run's making, which goes with the blob */
    bool durable;  /* a file that stays */
    bool resident; /* counted in bytes; data may still be NULL for an empty blob */
    struct ln__blob_id id;
    struct ln_blob *next, *before; /* all blobs */
    struct ln_blob *newer, *older; /* unpinned and in memory; NULL both: not in the ring */
};

struct ln__blobs {
    pthread_mutex_t lock;
    pthread_cond_t idle;
    char *dir;
    uint64_t budget;
    uint64_t leaving; /* bytes on their way to disk, which others need not make room for again */
    struct ln_blob *all;
    struct ln_blob ring; /* newer: the oldest, older: the newest */
    struct ln__blobs_stats stats;
};

/* ---- ids ---- */

void ln__blob_id_text(const struct ln__blob_id *id, char text[65])
{
    struct ln__sha256 hash;
    memcpy(hash.byte, id->byte, sizeof hash.byte);
    ln__sha256_hex(&hash, text);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int ln__blob_id_parse(const char *text, struct ln__blob_id *out)
{
    for (size_t i = 0; i < sizeof out->byte; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return LN_ECORRUPT;
        out->byte[i] = (unsigned char)(high << 4 | low);
    }
    return text[64] ? LN_ECORRUPT : LN_OK;
}

static bool same_id(const struct ln__blob_id *a, const struct ln__blob_id *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}

static int path_of(const struct ln__blobs *store, const struct ln__blob_id *id, char path[PATH_MAX])
{
    char name[65];
    ln__blob_id_text(id, name);
    return ln__file_join(path, PATH_MAX, store->dir, name);
}

/* ---- opening and closing ---- */

/* Half-written files of a run that died: "<64 hex digits>.XXXXXX". */
static void sweep_torn(const char *dir)
{
    DIR *folder = opendir(dir);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[65];
        struct ln__blob_id id;
        snprintf(name, sizeof name, "%.64s", entry->d_name);
        if (strlen(entry->d_name) == 71 && entry->d_name[64] == '.' && ln__blob_id_parse(name, &id) == LN_OK)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    closedir(folder);
}

int ln__blobs_open(const char *dir, uint64_t budget, struct ln__blobs **out, struct ln_fault *fault)
{
    *out = NULL;
    if (dir && strlen(dir) + 80 > PATH_MAX)
        return ln_fault_set(fault, LN_EINVALID, "%.100s...: the path is too long for a folder of blobs", dir);
    if (dir) {
        int code = ln__file_mkdirs(dir, fault);
        if (code)
            return code;
        sweep_torn(dir);
    }
    struct ln__blobs *store = ln__mem_zero(1, sizeof *store);
    char *copy = store && dir ? ln__mem_text(dir) : NULL;
    if (!store || (dir && !copy)) {
        ln__mem_free(store);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a store of blobs");
    }
    store->dir = copy;
    store->budget = budget;
    store->ring.newer = store->ring.older = &store->ring;
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->idle, NULL);
    *out = store;
    return LN_OK;
}

static void forget(struct ln_blob *blob);

void ln__blobs_close(struct ln__blobs *store)
{
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    while (store->all)
        forget(store->all);
    pthread_mutex_unlock(&store->lock);
    pthread_cond_destroy(&store->idle);
    pthread_mutex_destroy(&store->lock);
    ln__mem_free(store->dir);
    ln__mem_free(store);
}

void ln__blobs_stats(struct ln__blobs *store, struct ln__blobs_stats *out)
{
    pthread_mutex_lock(&store->lock);
    *out = store->stats;
    pthread_mutex_unlock(&store->lock);
}

/* ---- under the lock ---- */

static void ring_leave(struct ln_blob *blob)
{
    if (!blob->newer)
        return;
    blob->newer->older = blob->older;
    blob->older->newer = blob->newer;
    blob->newer = blob->older = NULL;
}

static void ring_enter(struct ln__blobs *store, struct ln_blob *blob)
{
    ring_leave(blob);
    blob->newer = &store->ring;
    blob->older = store->ring.older;
    blob->older->newer = blob;
    store->ring.older = blob;
}

static void count_in(struct ln__blobs *store, struct ln_blob *blob)
{
    blob->resident = true;
    store->stats.bytes += blob->size;
    if (store->stats.bytes > store->stats.bytes_peak)
        store->stats.bytes_peak = store->stats.bytes;
}

static void count_out(struct ln__blobs *store, struct ln_blob *blob)
{
    if (blob->resident)
        store->stats.bytes -= blob->size;
    blob->resident = false;
}

static void wait_idle(struct ln_blob *blob)
{
    while (blob->busy)
        pthread_cond_wait(&blob->store->idle, &blob->store->lock);
}

static void set_idle(struct ln_blob *blob)
{
    blob->busy = false;
    pthread_cond_broadcast(&blob->store->idle);
}

/* Another blob of the same bytes that needs the file, or will find it there when it has written its own. */
static bool file_shared(const struct ln_blob *blob)
{
    for (const struct ln_blob *other = blob->store->all; other; other = other->next) {
        if (other != blob && other->hashed && (other->spilled || other->durable || other->busy) && same_id(&other->id, &blob->id))
            return true;
    }
    return false;
}

/* The end of a blob: neither referenced nor busy. */
static void forget(struct ln_blob *blob)
{
    struct ln__blobs *store = blob->store;
    if (blob->spilled && !blob->durable && !file_shared(blob)) {
        char path[PATH_MAX];
        if (path_of(store, &blob->id, path) == LN_OK)
            unlink(path); /* if it stays, ln__blobs_gc takes it */
    }
    ring_leave(blob);
    count_out(store, blob);
    if (blob->before)
        blob->before->next = blob->next;
    else
        store->all = blob->next;
    if (blob->next)
        blob->next->before = blob->before;
    store->stats.blobs--;
    ln__mem_free(blob->data);
    ln__mem_free(blob);
}

static void link_blob(struct ln__blobs *store, struct ln_blob *blob)
{
    blob->next = store->all;
    if (blob->next)
        blob->next->before = blob;
    store->all = blob;
    store->stats.blobs++;
}

/* ---- hashing and files: with the lock held and the blob busy; the lock is released meanwhile ---- */

static void hash_busy(struct ln_blob *blob)
{
    struct ln__blobs *store = blob->store;
    if (blob->hashed)
        return;
    struct ln__sha256 hash;
    pthread_mutex_unlock(&store->lock);
    ln__sha256_of(blob->data, blob->size, &hash);
    pthread_mutex_lock(&store->lock);
    memcpy(blob->id.byte, hash.byte, sizeof blob->id.byte);
    blob->hashed = true;
    store->stats.hashes++;
}

/* A spilled file needs no fsync: it is not meant to outlive the run. The rename keeps a torn one from ever bearing an id. */
static int write_spilled(const char *path, const struct ln_blob *blob, struct ln_fault *fault)
{
    char temporary[PATH_MAX + 8];
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    int file = mkostemp(temporary, O_CLOEXEC);
    if (file < 0)
        return ln_fault_errno(fault, "%s: cannot write", path);
    const unsigned char *at = blob->data;
    int failed = 0;
    for (size_t left = blob->size; left > 0 && !failed;) {
        ssize_t put = write(file, at, left < (1u << 30) ? left : 1u << 30);
        if (put < 0 && errno == EINTR)
            continue;
        failed = put < 0;
        at += failed ? 0 : put;
        left -= failed ? 0 : (size_t)put;
    }
    int saved = errno;
    close(file);
    if (!failed && rename(temporary, path) != 0) {
        failed = 1;
        saved = errno;
    }
    if (failed)
        unlink(temporary);
    errno = saved;
    return failed ? ln_fault_errno(fault, "%s: cannot write", path) : LN_OK;
}

static int write_busy(struct ln_blob *blob, bool durable, struct ln_fault *fault)
{
    struct ln__blobs *store = blob->store;
    hash_busy(blob);
    if (blob->durable || (blob->spilled && !durable))
        return LN_OK;
    char path[PATH_MAX];
    int code = path_of(store, &blob->id, path);
    if (code)
        return ln_fault_set(fault, LN_EINVALID, "%.100s...: the path is too long for a blob", store->dir);
    pthread_mutex_unlock(&store->lock);
    /* A file that is there already may be durable, of a blob of the same bytes that is no longer referenced: then it must neither lose that by a
     * plain write nor go with this blob. Its bytes are written anew since nobody has checked them. */
    durable = durable || ln__file_exists(path);
    struct ln__piece piece = {blob->data, blob->size};
    code = durable ? ln__file_replace(path, &piece, 1, fault) : write_spilled(path, blob, fault);
    pthread_mutex_lock(&store->lock);
    if (code)
        return code;
    if (!durable)
        blob->spilled = true;
    for (struct ln_blob *other = store->all; other && durable; other = other->next) { /* none of the same bytes may take it away */
        if (other->hashed && same_id(&other->id, &blob->id))
            other->durable = true;
    }
    return LN_OK;
}

/* Sends the blobs used longest ago to disk until the budget holds. What cannot be written stays. */
static void shrink(struct ln__blobs *store)
{
    while (store->dir && store->budget > 0 && store->stats.bytes - store->leaving > store->budget) {
        struct ln_blob *blob = store->ring.newer;
        while (blob != &store->ring && (blob->busy || blob->size == 0))
            blob = blob->newer;
        if (blob == &store->ring)
            return;
        blob->busy = true;
        blob->refs++; /* its owner may let go meanwhile */
        store->leaving += blob->size;
        int code = write_busy(blob, false, NULL);
        store->leaving -= blob->size;
        set_idle(blob);
        if (code == LN_OK && blob->pins == 0 && blob->data) {
            ring_leave(blob);
            count_out(store, blob);
            ln__mem_free(blob->data);
            blob->data = NULL;
            store->stats.spills++;
        }
        if (--blob->refs == 0)
            forget(blob);
        if (code)
            return;
    }
}

static int load_busy(struct ln_blob *blob, struct ln_fault *fault)
{
    struct ln__blobs *store = blob->store;
    char path[PATH_MAX];
    int code = path_of(store, &blob->id, path);
    if (code)
        return ln_fault_set(fault, LN_EINVALID, "%.100s...: the path is too long for a blob", store->dir);
    pthread_mutex_unlock(&store->lock);
    struct ln__map map;
    void *data = NULL;
    code = ln__file_map(path, &map, fault);
    if (code == LN_OK) {
        data = map.size == blob->size ? ln__mem_alloc(blob->size ? blob->size : 1) : NULL;
        if (map.size != blob->size)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: %zu bytes; expected %zu", path, map.size, blob->size);
        else if (!data)
            code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %zu bytes", path, blob->size);
    }
    if (code == LN_OK) {
        struct ln__sha256 hash;
        if (blob->size > 0)
            memcpy(data, map.data, blob->size);
        ln__sha256_of(data, blob->size, &hash);
        if (memcmp(hash.byte, blob->id.byte, sizeof hash.byte) != 0)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: its bytes do not hash to its name", path);
    }
    ln__file_unmap(&map);
    pthread_mutex_lock(&store->lock);
    if (code) {
        ln__mem_free(data);
        return code;
    }
    blob->data = data;
    count_in(store, blob);
    store->stats.loads++;
    return LN_OK;
}

/* ---- making and finding ---- */

void *ln__blob_alloc(struct ln__blobs *store, size_t size)
{
    (void)store;
    return ln__mem_alloc(size ? size : 1);
}

void ln__blob_drop(void *buffer)
{
    ln__mem_free(buffer);
}

/* pins: so many from the beginning, so that it is not sent away before it has been filled. */
static int take(struct ln__blobs *store, void *buffer, size_t size, unsigned pins, struct ln_blob **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln_blob *blob = buffer ? ln__mem_zero(1, sizeof *blob) : NULL;
    if (!blob) {
        ln__mem_free(buffer);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a blob of %zu bytes", size);
    }
    blob->store = store;
    blob->data = buffer;
    blob->size = size;
    blob->refs = 1;
    blob->pins = pins;
    pthread_mutex_lock(&store->lock);
    link_blob(store, blob);
    count_in(store, blob);
    if (pins == 0)
        ring_enter(store, blob);
    shrink(store);
    pthread_mutex_unlock(&store->lock);
    *out = blob;
    return LN_OK;
}

int ln__blob_take(struct ln__blobs *store, void *buffer, size_t size, struct ln_blob **out, struct ln_fault *fault)
{
    return take(store, buffer, size, 0, out, fault);
}

int ln__blob_take_open(struct ln__blobs *store, void *buffer, size_t size, struct ln_blob **out, struct ln_fault *fault)
{
    return take(store, buffer, size, 1, out, fault);
}

int ln__blob_put(struct ln__blobs *store, const void *data, size_t size, struct ln_blob **out, struct ln_fault *fault)
{
    void *buffer = ln__blob_alloc(store, size);
    if (buffer && size > 0)
        memcpy(buffer, data, size);
    return ln__blob_take(store, buffer, size, out, fault);
}

/* The size of a file without reading it; a map costs no more than a stat here. */
static int file_size(const char *path, size_t *size, struct ln_fault *fault)
{
    struct ln__map map;
    int code = ln__file_map(path, &map, fault);
    *size = map.size;
    ln__file_unmap(&map);
    return code;
}

static struct ln_blob *find(const struct ln__blobs *store, const struct ln__blob_id *id)
{
    for (struct ln_blob *blob = store->all; blob; blob = blob->next) {
        if (blob->hashed && same_id(&blob->id, id))
            return blob;
    }
    return NULL;
}

int ln__blob_open(struct ln__blobs *store, const struct ln__blob_id *id, struct ln_blob **out, struct ln_fault *fault)
{
    *out = NULL;
    pthread_mutex_lock(&store->lock);
    struct ln_blob *blob = find(store, id);
    if (blob)
        blob->refs++;
    pthread_mutex_unlock(&store->lock);
    if (blob) {
        *out = blob;
        return LN_OK;
    }
    char name[65], path[PATH_MAX];
    ln__blob_id_text(id, name);
    if (!store->dir)
        return ln_fault_set(fault, LN_ENOENT, "blob %s: not in memory, and the store has no folder", name);
    size_t size;
    int code = ln__file_join(path, sizeof path, store->dir, name);
    if (code == LN_OK)
        code = file_size(path, &size, fault);
    if (code)
        return ln_fault_set(fault, code, "%s: cannot open", path);
    struct ln_blob *made = ln__mem_zero(1, sizeof *made);
    if (!made)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for blob %s", name);
    *made = (struct ln_blob){.store = store, .size = size, .refs = 1, .hashed = true, .durable = true, .id = *id};
    pthread_mutex_lock(&store->lock);
    blob = find(store, id); /* somebody else may have been faster */
    if (blob)
        blob->refs++;
    else
        link_blob(store, made);
    pthread_mutex_unlock(&store->lock);
    if (blob)
        ln__mem_free(made);
    *out = blob ? blob : made;
    return LN_OK;
}

struct ln_blob *ln__blob_ref(struct ln_blob *blob)
{
    if (!blob)
        return NULL;
    pthread_mutex_lock(&blob->store->lock);
    blob->refs++;
    pthread_mutex_unlock(&blob->store->lock);
    return blob;
}

void ln__blob_unref(struct ln_blob *blob)
{
    if (!blob)
        return;
    struct ln__blobs *store = blob->store;
    pthread_mutex_lock(&store->lock);
    if (--blob->refs == 0) /* a busy blob is held by its worker too */
        forget(blob);
    pthread_mutex_unlock(&store->lock);
}

bool ln__blob_sole(const struct ln_blob *blob)
{
    pthread_mutex_lock(&blob->store->lock);
    bool sole = blob->refs == 1;
    pthread_mutex_unlock(&blob->store->lock);
    return sole;
}

size_t ln__blob_size(const struct ln_blob *blob)
{
    return blob->size;
}

int ln__blob_pin(struct ln_blob *blob, const void **data, struct ln_fault *fault)
{
    *data = NULL;
    struct ln__blobs *store = blob->store;
    int code = LN_OK;
    pthread_mutex_lock(&store->lock);
    blob->pins++; /* from here on nobody sends it away */
    if (!blob->data) {
        wait_idle(blob);
        if (!blob->data) {
            blob->busy = true;
            code = load_busy(blob, fault);
            set_idle(blob);
        }
    }
    if (code) {
        blob->pins--;
    } else {
        ring_leave(blob);
        *data = blob->data;
        shrink(store);
    }
    pthread_mutex_unlock(&store->lock);
    return code;
}

void ln__blob_unpin(struct ln_blob *blob)
{
    struct ln__blobs *store = blob->store;
    pthread_mutex_lock(&store->lock);
    if (--blob->pins == 0 && blob->data)
        ring_enter(store, blob);
    shrink(store);
    pthread_mutex_unlock(&store->lock);
}

int ln__blob_id(struct ln_blob *blob, struct ln__blob_id *out, struct ln_fault *fault)
{
    (void)fault; /* a blob without an id is in memory: nothing can fail */
    struct ln__blobs *store = blob->store;
    pthread_mutex_lock(&store->lock);
    if (!blob->hashed) {
        wait_idle(blob);
        blob->busy = true;
        hash_busy(blob);
        set_idle(blob);
    }
    *out = blob->id;
    pthread_mutex_unlock(&store->lock);
    return LN_OK;
}

int ln__blob_persist(struct ln_blob *blob, struct ln_fault *fault)
{
    struct ln__blobs *store = blob->store;
    if (!store->dir)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "a blob cannot be persisted: the store has no folder");
    const void *data;
    int code = ln__blob_pin(blob, &data, fault);
    if (code)
        return code;
    pthread_mutex_lock(&store->lock);
    wait_idle(blob);
    blob->busy = true;
    code = write_busy(blob, true, fault);
    set_idle(blob);
    pthread_mutex_unlock(&store->lock);
    ln__blob_unpin(blob);
    return code;
}

/* ---- what nobody needs ---- */

int ln__blobs_gc(struct ln__blobs *store, const struct ln__blob_id *keep, size_t count, struct ln_fault *fault)
{
    if (!store->dir)
        return LN_OK;
    DIR *folder = opendir(store->dir);
    if (!folder)
        return ln_fault_errno(fault, "%s: cannot list", store->dir);
    int code = LN_OK;
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct ln__blob_id id;
        if (strlen(entry->d_name) != 64 || ln__blob_id_parse(entry->d_name, &id) != LN_OK)
            continue;
        bool kept = false;
        for (size_t i = 0; i < count && !kept; i++)
            kept = same_id(&keep[i], &id);
        pthread_mutex_lock(&store->lock); /* over the unlink too, so that no blob begins to rely on the file meanwhile */
        if (!kept && !find(store, &id) && unlinkat(dirfd(folder), entry->d_name, 0) != 0 && errno != ENOENT)
            code = ln_fault_errno(fault, "%s/%s: cannot remove", store->dir, entry->d_name);
        pthread_mutex_unlock(&store->lock);
    }
    closedir(folder);
    return code;
}
