/* The harness of ln__kernels_check: operands in two layouts, a kernel run by the reference and by the set, outputs compared. The kernels themselves are called
 * from check_conv.c, check_norm.c, check_map.c and check_vector.c. Where memory runs out `poor` is set, and what comes then does nothing. */
#ifndef LINNET_KERNELS_CHECKING_H
#define LINNET_KERNELS_CHECKING_H

#include "kernels/check.h"

#define LN__CHECK_TOLERANCE 1e-4
#define LN__CHECK_WIDTHS 2 /* of pools: 2 and 3 */
#define LN__CHECK_BLOCKS 192

enum ln__operand_kind { LN__ACTIVATION, LN__RAW, LN__CONV, LN__LINEAR };

/* One operand in both layouts: [0] the reference's (canonical), [1] the set's. */
struct ln__operand {
    enum ln__operand_kind kind;
    int n, c, hw;
    const struct ln__conv *conv;
    const struct ln__linear *linear;
    float *at[2], *start[2]; /* start: what an output holds before each run */
    size_t size[2];
};
#define AT(operand) ((operand).at[which])

struct ln__check {
    const struct ln__kset *set, *ref;
    struct ln__pool *pool[LN__CHECK_WIDTHS];
    const char *filter;
    ln__kernel_report *report;
    void *context;
    struct ln__key key;
    void *block[LN__CHECK_BLOCKS];
    size_t blocks;
    bool poor; /* no memory */
    int failed;
};

/* Calls a kernel of a set on the operands of that layout. */
typedef void ln__check_run(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool);

/* ---- memory and operands: of random numbers in (-1, 1), until ln__check_drop ---- */
void *ln__check_take(struct ln__check *check, size_t size);
void ln__check_drop(struct ln__check *check);
struct ln__operand ln__check_operand(struct ln__check *check, struct ln__operand operand); /* of that kind and shape */
struct ln__operand ln__check_activation(struct ln__check *check, int n, int c, int hw);
struct ln__operand ln__check_raw(struct ln__check *check, size_t size);
void ln__check_to_set(const struct ln__check *check, const struct ln__operand *operand, const float *from, float *to);
void ln__check_restore(const struct ln__operand *out, int outs, int which);
void ln__check_stretch(struct ln__check *check, struct ln__operand *operand, float by); /* both layouts times that */

/* ---- comparing ---- */
bool ln__check_wants(const struct ln__check *check, const char *kernel);
/* Runs a kernel of the reference and of the set on the same operands and compares outs outputs (at most six), and reports. */
void ln__check_compare(struct ln__check *check, const char *kernel, const char *shape, double tolerance, const struct ln__operand *out, int outs,
                       ln__check_run *run, const void *args);

#define LN__CHECK_SHAPES 7
extern const int ln__check_shapes[LN__CHECK_SHAPES][3]; /* samples, channels, pixels */

/* ---- what is checked ---- */
void ln__check_convs(struct ln__check *check);
void ln__check_norms(struct ln__check *check);
void ln__check_sandwiches(struct ln__check *check);
void ln__check_acts(struct ln__check *check);
void ln__check_pointwise(struct ln__check *check);
void ln__check_pools(struct ln__check *check);
void ln__check_loss(struct ln__check *check);
void ln__check_vectors(struct ln__check *check);

#endif
