/* One harness for all kernels of all sets: checks each against the reference on random inputs, and times it. The unit test runs the
 * check, `linnet bench kernels` prints the times. */
#ifndef LINNET_KERNELS_CHECK_H
#define LINNET_KERNELS_CHECK_H

#include "kernels/kernels.h"

/* What a check or a timing found. Names live until the callback returns. A bf16 set is held to the reference that rounds the same, and only
 * where it has kernels of its own. */
struct ln__kernel_row {
    const char *kernel; /* conv_forward */
    const char *shape;  /* "n10 64x32x32 -> 64, 3x3" */
    bool ok;            /* checks: within 1e-4 of the output's scale, zero lanes zero, the same bits for pools of width 1, 2 and 3 */
    double error;       /* checks: largest difference to the reference over the largest output */
    const char *what;   /* checks that fail: "differs", "lanes", "threads" */
    double seconds;     /* times: of one call, the best of several */
    double gflops;      /* times: 1e9 multiply or add a second; 0 for kernels bound by memory */
    double gbytes;      /* times: 1e9 bytes read and written a second, each operand counted once */
};
typedef void ln__kernel_report(void *context, const struct ln__kernel_row *row);

/* Checks every kernel whose name contains filter (NULL: all) on many shapes. Returns how many failed, or LN_ENOMEM. report may be NULL. */
int ln__kernels_check(const struct ln__kset *set, const char *filter, ln__kernel_report *report, void *context);

/* Times every kernel whose name or shape contains filter (NULL: all) on the shapes of the papers' networks, at this batch. Returns 0 or
 * LN_ENOMEM. */
int ln__kernels_time(const struct ln__kset *set, const char *filter, int batch, struct ln__pool *pool, ln__kernel_report *report, void *context);

/* 1e9 multiplies and adds a second of nothing but fused multiply-adds in this set's vectors, on all threads of the pool: the
 * roof that the convolutions are measured against. */
double ln__kernels_peak(const struct ln__kset *set, struct ln__pool *pool);

#endif
