/* Every kernel of every set that this CPU can run, against the reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/check.h"

static void tell(void *context, const struct ln__kernel_row *row)
{
    int *rows = context;
    ++*rows;
    if (!row->ok)
        print_error("%s, %s: %s (%.3g)\n", row->kernel, row->shape, row->what, row->error);
}

static void sets_agree_with_the_reference(void **state)
{
    (void)state;
    size_t count = 0;
    const struct ln__kset *const *sets = ln__kset_list(&count);
    for (size_t i = 0; i < count; i++) {
        if (!sets[i]->usable() || (sets[i] == ln__kset_named("ref") && count > 1)) /* compared with itself it says little, and takes longest */
            continue;
        int rows = 0;
        print_message("%s\n", sets[i]->name);
        assert_int_equal(ln__kernels_check(sets[i], NULL, tell, &rows), 0);
        assert_true(rows > 400);
    }
}

static void the_best_set_is_usable_and_found_by_name(void **state)
{
    (void)state;
    const struct ln__kset *best = ln__kset_best();
    assert_true(best->usable());
    assert_ptr_equal(ln__kset_named(best->name), best);
    assert_non_null(ln__kset_named("ref"));
    assert_null(ln__kset_named("sparc"));
}

/* No pointer of a vector set's table is the reference's, and on ARM it is the vector set that runs. */
static void no_set_falls_back_to_the_reference(void **state)
{
    (void)state;
    size_t count = 0;
    const struct ln__kset *const *sets = ln__kset_list(&count), *ref = ln__kset_named("ref");
    for (size_t i = 0; i < count; i++) {
        const char *at = (const char *)sets[i], *of_ref = (const char *)ref;
        for (size_t k = offsetof(struct ln__kset, pack); sets[i] != ref && k < sizeof *ref; k += sizeof(void (*)(void)))
            assert_memory_not_equal(at + k, of_ref + k, sizeof(void (*)(void)));
    }
#if defined(__aarch64__)
    assert_string_equal(ln__kset_best()->name, "neon");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_agree_with_the_reference),
        cmocka_unit_test(no_set_falls_back_to_the_reference),
        cmocka_unit_test(the_best_set_is_usable_and_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
