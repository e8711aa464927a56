/* Sets made by formula: a picture is a function of its number alone, so all processors draw, and the bytes are the same everywhere. For the
 * latter no function of libm may be used but sqrtf, which is exact. */
#ifndef LINNET_DATA_FORMULA_H
#define LINNET_DATA_FORMULA_H

#include "data/own.h"

struct ln__formula {
    const void *self;              /* the plug-in's, for draw */
    int64_t per_class[LN__SPLITS]; /* pictures; number i is of class i modulo set->classes */
    size_t scratch;                /* bytes for draw, a worker each */
    void (*draw)(const void *self, enum ln__split split, uint32_t number, void *scratch, uint8_t *pixel);
};
/* LN_ECONFIG: more than 8 GB. */
int ln__formula_fits(const struct ln__formula *formula, const struct ln__set *set, struct ln_fault *fault) LN_MUST_CHECK;
/* Makes both splits of a set whose name, shape and classes are known, and measures it. */
int ln__formula_open(const struct ln__formula *formula, struct ln__set *set, struct ln_fault *fault) LN_MUST_CHECK;

/* The stream of one picture, and of what a class's pictures have in common. */
struct ln__rng ln__formula_picture(int64_t seed, enum ln__split split, uint32_t number);
struct ln__rng ln__formula_class(int64_t seed, uint32_t class);

float ln__formula_unit(struct ln__rng *rng);                    /* [0, 1), 24 bits */
void ln__formula_turn(struct ln__rng *rng, float *c, float *s); /* a direction, nearly uniform: the half angle's tangent is drawn */

#endif
