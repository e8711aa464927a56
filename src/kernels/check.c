#include "kernels/check.h"
#include "base/mem.h"
#include "kernels/checking.h"
#include <math.h>
#include <string.h>

#define OUTPUTS 6

const int ln__check_shapes[LN__CHECK_SHAPES][3] = {{2, 16, 64}, {3, 24, 49}, {10, 5, 1}, {1, 33, 7}, {4, 64, 256}, {5, 200, 4}, {9, 16, 100}};

void *ln__check_take(struct ln__check *check, size_t size)
{
    static float spare[64];
    void *block = check->blocks < LN__CHECK_BLOCKS ? ln__mem_alloc(size > 0 ? size : 64) : NULL;
    if (!block) {
        check->poor = true;
        return spare;
    }
    memset(block, 0xff, size);
    check->block[check->blocks++] = block;
    return block;
}

void ln__check_drop(struct ln__check *check)
{
    while (check->blocks > 0)
        ln__mem_free(check->block[--check->blocks]);
}

static void fill(struct ln__check *check, float *x, size_t size)
{
    struct ln__rng rng = ln__rng_at(check->key);
    check->key.round++;
    for (size_t i = 0; i < size; i++)
        x[i] = (float)(int32_t)ln__rng_u32(&rng) / 2147483648.0F;
}

void ln__check_to_set(const struct ln__check *check, const struct ln__operand *operand, const float *from, float *to)
{
    if (operand->kind == LN__ACTIVATION)
        check->set->pack(operand->n, operand->c, operand->hw, from, to, NULL);
    else if (operand->kind == LN__CONV)
        check->set->conv_pack(operand->conv, from, to);
    else if (operand->kind == LN__LINEAR)
        check->set->linear_pack(operand->linear, from, to);
    else
        memcpy(to, from, operand->size[0] * sizeof *to);
}

static void from_set(const struct ln__check *check, const struct ln__operand *operand, const float *from, float *to)
{
    if (operand->kind == LN__ACTIVATION)
        check->set->unpack(operand->n, operand->c, operand->hw, from, to, NULL);
    else if (operand->kind == LN__CONV)
        check->set->conv_unpack(operand->conv, from, to);
    else if (operand->kind == LN__LINEAR)
        check->set->linear_unpack(operand->linear, from, to);
    else
        memcpy(to, from, operand->size[0] * sizeof *to);
}

struct ln__operand ln__check_operand(struct ln__check *check, struct ln__operand operand)
{
    for (int which = 0; which < 2 && !check->poor; which++) {
        const struct ln__kset *set = which ? check->set : check->ref;
        if (operand.kind == LN__ACTIVATION)
            operand.size[which] = (size_t)operand.n * (size_t)ln__blocks(operand.c, set->lanes) * (size_t)set->lanes * (size_t)operand.hw;
        else if (operand.kind == LN__CONV)
            operand.size[which] = set->conv_weights(operand.conv);
        else if (operand.kind == LN__LINEAR)
            operand.size[which] = set->linear_weights(operand.linear);
        operand.at[which] = ln__check_take(check, operand.size[which] * sizeof(float));
        operand.start[which] = ln__check_take(check, operand.size[which] * sizeof(float));
    }
    if (check->poor)
        return operand;
    fill(check, operand.at[0], operand.size[0]);
    ln__check_to_set(check, &operand, operand.at[0], operand.at[1]);
    for (int which = 0; which < 2; which++)
        memcpy(operand.start[which], operand.at[which], operand.size[which] * sizeof(float));
    return operand;
}

struct ln__operand ln__check_activation(struct ln__check *check, int n, int c, int hw)
{
    return ln__check_operand(check, (struct ln__operand){.kind = LN__ACTIVATION, .n = n, .c = c, .hw = hw});
}

struct ln__operand ln__check_raw(struct ln__check *check, size_t size)
{
    return ln__check_operand(check, (struct ln__operand){.kind = LN__RAW, .size = {size, size}});
}

void ln__check_restore(const struct ln__operand *out, int outs, int which)
{
    for (int i = 0; i < outs; i++)
        memcpy(out[i].at[which], out[i].start[which], out[i].size[which] * sizeof(float));
}

/* The largest difference over the largest output; NaN and infinity must be where the reference has them. */
static double difference(const float *a, const float *b, size_t size)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isfinite(b[i])) {
            if (memcmp(&a[i], &b[i], sizeof a[i]) != 0)
                return INFINITY;
            continue;
        }
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= 1e30))
            return INFINITY;
        most = d > most ? d : most;
        scale = fabs((double)b[i]) > scale ? fabs((double)b[i]) : scale;
    }
    return most > 0 ? most / (scale > 0 ? scale : 1) : 0;
}

/* Runs a kernel of the reference and of the set on the same operands and compares outs outputs (at most OUTPUTS). */
void ln__check_compare(struct ln__check *check, const char *kernel, const char *shape, double tolerance, const struct ln__operand *out, int outs,
                       ln__check_run *run, const void *args)
{
    struct ln__kernel_row row = {.kernel = kernel, .shape = shape, .ok = true, .what = ""};
    float *first[OUTPUTS] = {NULL}, *back = NULL, *again = NULL;
    for (int i = 0; i < outs && !check->poor; i++)
        first[i] = ln__check_take(check, out[i].size[1] * sizeof(float));
    if (check->poor)
        return;
    ln__check_restore(out, outs, 0);
    run(args, check->ref, 0, NULL);
    for (int width = 0; width <= LN__CHECK_WIDTHS; width++) {
        ln__check_restore(out, outs, 1);
        run(args, check->set, 1, width ? check->pool[width - 1] : NULL);
        for (int i = 0; i < outs; i++) {
            if (width == 0)
                memcpy(first[i], out[i].at[1], out[i].size[1] * sizeof(float));
            else if (memcmp(first[i], out[i].at[1], out[i].size[1] * sizeof(float)) != 0) {
                row.ok = false;
                row.what = "threads";
            }
        }
    }
    for (int i = 0; i < outs; i++) {
        back = ln__check_take(check, out[i].size[0] * sizeof(float));
        again = ln__check_take(check, out[i].size[1] * sizeof(float));
        if (check->poor)
            return;
        from_set(check, &out[i], first[i], back);
        ln__check_to_set(check, &out[i], back, again);
        if (memcmp(again, first[i], out[i].size[1] * sizeof(float)) != 0) {
            for (size_t j = 0; j < out[i].size[1]; j++) {
                if (!(again[j] == first[i][j])) { /* -0 in a zero lane is a zero */
                    row.ok = false;
                    row.what = "lanes";
                }
            }
        }
        double error = difference(back, out[i].at[0], out[i].size[0]);
        row.error = error > row.error ? error : row.error;
    }
    if (!(row.error <= tolerance)) {
        row.ok = false;
        row.what = "differs";
    }
    check->failed += !row.ok;
    if (check->report)
        check->report(check->context, &row);
}

bool ln__check_wants(const struct ln__check *check, const char *kernel)
{
    return !check->filter || strstr(kernel, check->filter);
}

void ln__check_stretch(struct ln__check *check, struct ln__operand *operand, float by)
{
    for (size_t i = 0; i < operand->size[0]; i++)
        operand->at[0][i] *= by;
    ln__check_to_set(check, operand, operand->at[0], operand->at[1]);
}

int ln__kernels_check(const struct ln__kset *set, const char *filter, ln__kernel_report *report, void *context)
{
    struct ln__check check = {
        .set = set, .ref = ln__kset_named(set->bf16 ? "ref-bf16" : "ref"), .filter = filter, .report = report, .context = context};
    check.key = (struct ln__key){.seed = 1, .purpose = LN__FOR_TEST};
    for (unsigned i = 0; i < LN__CHECK_WIDTHS; i++) {
        if (ln__pool_new(i + 2, &check.pool[i]) < 0)
            check.poor = true;
    }
    if (!check.poor)
        ln__check_convs(&check);
    if (!check.poor && !set->bf16) { /* the rest of a bf16 set is its float set's */
        ln__check_norms(&check);
        if (set->sandwich_forward)
            ln__check_sandwiches(&check);
        ln__check_acts(&check);
        ln__check_pointwise(&check);
        ln__check_pools(&check);
        ln__check_loss(&check);
        ln__check_vectors(&check);
    }
    ln__check_drop(&check);
    for (int i = 0; i < LN__CHECK_WIDTHS; i++)
        ln__pool_free(check.pool[i]);
    return check.poor ? LN_ENOMEM : check.failed;
}
