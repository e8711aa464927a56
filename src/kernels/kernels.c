#include "kernels/kernels.h"
#include <string.h>

extern const struct ln__kset ln__kset_ref, ln__kset_bf16_ref;
#ifdef LN_HAVE_avx512
extern const struct ln__kset ln__kset_avx512, ln__kset_bf16_avx512_emulated;
#endif
#ifdef LN_HAVE_avx2
extern const struct ln__kset ln__kset_avx2, ln__kset_bf16_avx2_emulated;
#endif
#ifdef LN_HAVE_neon
extern const struct ln__kset ln__kset_neon, ln__kset_bf16_neon_emulated;
#endif
#ifdef LN_HAVE_avx512_bf16
extern const struct ln__kset ln__kset_bf16_avx512;
#endif
#ifdef LN_HAVE_neon_bf16
extern const struct ln__kset ln__kset_bf16_neon;
#endif

static const struct ln__kset *const sets[] = {
#ifdef LN_HAVE_avx512
    &ln__kset_avx512,
#endif
#ifdef LN_HAVE_avx2
    &ln__kset_avx2,
#endif
#ifdef LN_HAVE_neon
    &ln__kset_neon,
#endif
    &ln__kset_ref,
};

static const struct ln__kset *const bf16_sets[] = {
#ifdef LN_HAVE_avx512_bf16
    &ln__kset_bf16_avx512,
#endif
#ifdef LN_HAVE_avx512
    &ln__kset_bf16_avx512_emulated,
#endif
#ifdef LN_HAVE_avx2
    &ln__kset_bf16_avx2_emulated,
#endif
#ifdef LN_HAVE_neon_bf16
    &ln__kset_bf16_neon,
#endif
#ifdef LN_HAVE_neon
    &ln__kset_bf16_neon_emulated,
#endif
    &ln__kset_bf16_ref,
};
#define BF16_SETS (sizeof bf16_sets / sizeof bf16_sets[0])

const struct ln__kset *const *ln__kset_list(size_t *count)
{
    *count = sizeof sets / sizeof sets[0];
    return sets;
}

const struct ln__kset *ln__kset_best(void)
{
    const struct ln__kset *const *set = sets;
    while (!(*set)->usable())
        set++;
    return *set;
}

static const struct ln__kset *named(const struct ln__kset *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i]->name, name) == 0)
            return list[i]->usable() ? list[i] : NULL;
    }
    return NULL;
}

const struct ln__kset *ln__kset_named(const char *name)
{
    const struct ln__kset *set = named(sets, sizeof sets / sizeof sets[0], name);
    return set ? set : named(bf16_sets, BF16_SETS, name);
}

const struct ln__kset *const *ln__kset_bf16_list(size_t *count)
{
    *count = BF16_SETS;
    return bf16_sets;
}

/* They share every kernel but the products. */
static bool beside(const struct ln__kset *a, const struct ln__kset *b)
{
    return a->pack == b->pack;
}

const struct ln__kset *ln__kset_bf16(const struct ln__kset *set)
{
    size_t i = 0;
    if (set->bf16)
        return set;
    while (!beside(bf16_sets[i], set) || !bf16_sets[i]->usable())
        i++;
    return bf16_sets[i];
}

const struct ln__kset *ln__kset_float(const struct ln__kset *set)
{
    size_t i = 0;
    while (!beside(sets[i], set))
        i++;
    return sets[i];
}
