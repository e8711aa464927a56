/* Checkpoints of a fake run, in memory. Included by fake_run.h. */
#ifndef LINNET_TESTS_FAKE_ARCHIVE_H
#define LINNET_TESTS_FAKE_ARCHIVE_H

struct ln_archive {
    bool reading;
    struct ln__buf bytes;
    size_t at;
};

void ln_archive_bytes(struct ln_archive *archive, void *data, size_t size)
{
    if (archive->reading) {
        assert_true(size <= archive->bytes.size - archive->at);
        memcpy(data, archive->bytes.data + archive->at, size);
        archive->at += size;
    } else {
        assert_int_equal(ln__buf_add(&archive->bytes, data, size), LN_OK);
    }
}

void ln_archive_u64(struct ln_archive *archive, uint64_t *value)
{
    ln_archive_bytes(archive, value, sizeof *value);
}

void ln_archive_real(struct ln_archive *archive, double *value)
{
    ln_archive_bytes(archive, value, sizeof *value);
}

void ln_archive_blob(struct ln_archive *archive, struct ln_blob **blob)
{
    ln_archive_bytes(archive, blob, sizeof *blob);
    if (archive->reading)
        ln_blob_ref(*blob);
}

bool ln_archive_reading(const struct ln_archive *archive)
{
    return archive->reading;
}

#endif
