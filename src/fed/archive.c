#include "fed/archive.h"

#include <string.h>

#define RECORD_MAX ((size_t)1 << 30)
#define LUMP ((size_t)4 << 20) /* what is larger does not go into the record but into a blob that it names: open sums are as large as models */

void ln__archive_write(struct ln_archive *archive, struct ln__blobs *blobs, struct ln__buf *out, struct ln_fault *fault)
{
    *archive = (struct ln_archive){.blobs = blobs, .out = out, .fault = fault};
    ln__buf_init(&archive->ids, RECORD_MAX);
}

void ln__archive_read(struct ln_archive *archive, struct ln__blobs *blobs, const void *data, size_t size, struct ln_fault *fault)
{
    *archive = (struct ln_archive){.reading = true, .blobs = blobs, .data = data, .size = size, .fault = fault};
    ln__buf_init(&archive->ids, RECORD_MAX);
}

void ln__archive_fail(struct ln_archive *archive, int code, const char *what)
{
    if (!archive->error)
        archive->error = ln_fault_set(archive->fault, code, "checkpoint: %s", what);
}

int ln__archive_end(struct ln_archive *archive)
{
    if (archive->reading && archive->at != archive->size)
        ln__archive_fail(archive, LN_ECORRUPT, "a record of another version: bytes are left over");
    ln__buf_fini(&archive->ids);
    return archive->error;
}

static void lump(struct ln_archive *archive, void *data, size_t size)
{
    struct ln_blob *blob = NULL;
    const void *bytes = NULL;
    if (!archive->reading && !archive->error && ln__blob_put(archive->blobs, data, size, &blob, archive->fault))
        ln__archive_fail(archive, LN_ENOMEM, "no memory for a blob of the run's state");
    ln_archive_blob(archive, &blob);
    if (archive->reading) {
        if (!archive->error && (!blob || ln__blob_size(blob) != size))
            ln__archive_fail(archive, LN_ECORRUPT, "a record of another version: a blob of it has another size");
        int error = archive->error ? archive->error : ln__blob_pin(blob, &bytes, archive->fault);
        if (error)
            ln__archive_fail(archive, error, "a blob of the run's state cannot be read");
        if (bytes) {
            memcpy(data, bytes, size);
            ln__blob_unpin(blob);
        } else {
            memset(data, 0, size);
        }
    }
    ln__blob_unref(blob);
}

void ln_archive_bytes(struct ln_archive *archive, void *data, size_t size)
{
    if (size > LUMP) {
        lump(archive, data, size);
        return;
    }
    if (!archive->reading) {
        int error = archive->error || size == 0 ? LN_OK : ln__buf_add(archive->out, data, size);
        if (error)
            ln__archive_fail(archive, error, "the run's state is too large for a record, or memory is short");
        return;
    }
    if (!archive->error && size > archive->size - archive->at)
        ln__archive_fail(archive, LN_ECORRUPT, "a record of another version: it is too short");
    if (archive->error) {
        if (size)
            memset(data, 0, size);
        return;
    }
    if (size)
        memcpy(data, archive->data + archive->at, size);
    archive->at += size;
}

void ln_archive_u64(struct ln_archive *archive, uint64_t *value)
{
    ln_archive_bytes(archive, value, sizeof *value);
}

void ln__archive_u32(struct ln_archive *archive, uint32_t *value)
{
    ln_archive_bytes(archive, value, sizeof *value);
}

void ln_archive_real(struct ln_archive *archive, double *value)
{
    ln_archive_bytes(archive, value, sizeof *value);
}

bool ln_archive_reading(const struct ln_archive *archive)
{
    return archive->reading;
}

void ln__archive_count(struct ln_archive *archive, size_t *count, size_t max)
{
    uint64_t value = *count;
    ln_archive_u64(archive, &value);
    if (archive->reading && value > max) {
        ln__archive_fail(archive, LN_ECORRUPT, "a count is out of range");
        value = 0;
    }
    *count = (size_t)value;
}

void ln__archive_mark(struct ln_archive *archive, const char *name)
{
    char mark[8] = {0};
    size_t length = strlen(name);
    memcpy(mark, name, length < sizeof mark ? length : sizeof mark);
    char found[8];
    memcpy(found, mark, sizeof found);
    ln_archive_bytes(archive, found, sizeof found);
    if (archive->reading && memcmp(found, mark, sizeof mark) != 0)
        ln__archive_fail(archive, LN_ECORRUPT, "a record of another version, or of another recipe");
}

void ln_archive_blob(struct ln_archive *archive, struct ln_blob **blob)
{
    struct ln__blob_id id = {{0}};
    uint64_t there = !archive->reading && *blob != NULL;
    ln_archive_u64(archive, &there);
    if (archive->reading) {
        *blob = NULL;
        if (archive->error || !there)
            return;
        ln_archive_bytes(archive, &id, sizeof id);
        if (archive->error)
            return;
        int error = ln__blob_open(archive->blobs, &id, blob, archive->fault);
        if (!error)
            error = ln__buf_add(&archive->ids, &id, sizeof id);
        if (error)
            ln__archive_fail(archive, error, "a blob it names is missing");
        return;
    }
    if (archive->error || !there)
        return;
    int error = ln__blob_persist(*blob, archive->fault);
    if (!error)
        error = ln__blob_id(*blob, &id, archive->fault);
    if (!error)
        error = ln__buf_add(&archive->ids, &id, sizeof id);
    if (error)
        ln__archive_fail(archive, error, "a blob could not be written");
    else
        ln_archive_bytes(archive, &id, sizeof id);
}
