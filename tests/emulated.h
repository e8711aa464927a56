/* Whether this test runs under emulation, where arithmetic takes ten times as long (cmake/aarch64.cmake says so): then it takes fewer steps, and leaves out
 * networks that are large but made of the pieces that other cases have. */
#ifndef LINNET_TESTS_EMULATED_H
#define LINNET_TESTS_EMULATED_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool emulated(void)
{
    return getenv("LINNET_EMULATED") != NULL;
}

#endif
