/* What lies in a folder, in an order that does not depend on the file system. */
#ifndef LINNET_DATA_NAMES_H
#define LINNET_DATA_NAMES_H

#include <linnet/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ln__names {
    char **name; /* [count], sorted by byte */
    uint32_t count;
    size_t room;
};

/* Files that `want` takes, or, with want NULL, folders; names that start with a dot are left out. LN_EBUDGET over max. */
int ln__names_read(const char *folder, bool (*want)(const char *name), uint32_t max, struct ln__names *out, struct ln_fault *fault) LN_MUST_CHECK;
int64_t ln__names_find(const struct ln__names *names, const char *name); /* its number, or -1 */
void ln__names_fini(struct ln__names *names);

#endif
