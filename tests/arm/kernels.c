/* Checks every kernel of every usable set against the reference, without a test library. Exit status 0: all agree. */
#include "kernels/check.h"
#include <stdio.h>

struct tally {
    int rows;
    double worst;
};

static void tell(void *context, const struct ln__kernel_row *row)
{
    struct tally *tally = context;
    tally->rows++;
    tally->worst = row->error > tally->worst ? row->error : tally->worst;
    if (!row->ok)
        printf("%s, %s: %s (%.3g)\n", row->kernel, row->shape, row->what, row->error);
}

static int check_sets(const struct ln__kset *const *sets, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        struct tally tally = {0, 0};
        if (!sets[i]->usable()) {
            printf("%s: not usable here\n", sets[i]->name);
            continue;
        }
        int got = ln__kernels_check(sets[i], NULL, tell, &tally);
        printf("%s: %d checks, %d failed, largest error %.2g of the output's scale\n", sets[i]->name, tally.rows, got, tally.worst);
        failed += got != 0;
    }
    return failed;
}

int main(void)
{
    size_t floats, bf16s;
    const struct ln__kset *const *sets = ln__kset_list(&floats);
    int failed = check_sets(sets, floats);
    sets = ln__kset_bf16_list(&bf16s);
    return failed + check_sets(sets, bf16s) > 0;
}
