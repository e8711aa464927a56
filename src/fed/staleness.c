#include "fed/staleness.h"

#include <math.h>

double ln__staleness(const struct ln__staleness *how, double x)
{
    if (x < 0)
        x = 0;
    switch (how->kind) {
    case LN__STALENESS_POLYNOMIAL:
        /* The square root is exactly rounded everywhere, pow is not. */
        return how->a == 0.5 ? 1 / sqrt(1 + x) : pow(1 + x, -how->a);
    case LN__STALENESS_HINGE:
        return x <= how->b ? 1 : 1 / (how->a * (x - how->b) + 1);
    default:
        return 1;
    }
}
