/* An append-only file of records, the memory of a run: each record is a whole state, or a step, as its writer likes. What was appended
 * successfully survives a crash at any later moment; a record torn by a crash is dropped when the file is opened again, and everything
 * before it is intact.
 *
 *     file:   "LNJRNL1\n"  record  record ...
 *     record: size u32 | number u32 | first 8 bytes of SHA-256 over (size, number, payload) | payload      little endian
 *
 * number counts records from 0 since the last compaction, so that a record copied to another place is not taken for valid.
 * One writer at a time (a lock on the file says so); a journal belongs to one thread. */
#ifndef LINNET_STORE_JOURNAL_H
#define LINNET_STORE_JOURNAL_H

#include <linnet/error.h>
#include <stddef.h>
#include <stdint.h>

#define LN__JOURNAL_RECORD_MAX (1u << 30)

struct ln__journal;

/* Called for each valid record in order; data lives until it returns. Any code but 0 ends the reading with that code. */
typedef int ln__journal_visit(void *context, const void *data, size_t size);

/* Opens path for appending (made where absent), after visiting its records (visit may be NULL). A torn tail is cut off; its length goes to
 * *torn (may be NULL). LN_ECORRUPT when path is not a journal; LN_EREFUSED when another process has it open. */
int ln__journal_open(const char *path, ln__journal_visit *visit, void *context, uint64_t *torn, struct ln__journal **out,
                     struct ln_fault *fault) LN_MUST_CHECK;
void ln__journal_close(struct ln__journal *journal); /* NULL is fine */

/* Reads without opening for writing and cuts nothing: for looking at a run. LN_ENOENT. */
int ln__journal_read(const char *path, ln__journal_visit *visit, void *context, uint64_t *torn, struct ln_fault *fault) LN_MUST_CHECK;

/* Appends and waits until it is on the disk. On failure (LN_EFULL, LN_EIO) the file holds what it held before; after LN_EFULL the
 * journal can be used further. size 1..LN__JOURNAL_RECORD_MAX. */
int ln__journal_append(struct ln__journal *journal, const void *data, size_t size, struct ln_fault *fault) LN_MUST_CHECK;

/* Replaces all records by these one or none (data NULL), through a new file, path.next, and a rename: a crash leaves the old journal or the new one. On
 * failure the old one stands, and can be used further, as long as ln__journal_sound says so. */
int ln__journal_compact(struct ln__journal *journal, const void *data, size_t size, struct ln_fault *fault) LN_MUST_CHECK;

/* LN_EIO when a failed write left it open which records are on the disk, those before or those with the new one: nothing more can be written, and
 * neither may be relied on until it is opened again. */
int ln__journal_sound(const struct ln__journal *journal, struct ln_fault *fault) LN_MUST_CHECK;

uint64_t ln__journal_size(const struct ln__journal *journal);    /* bytes of the file */
uint64_t ln__journal_records(const struct ln__journal *journal); /* since the last compaction */

#endif
