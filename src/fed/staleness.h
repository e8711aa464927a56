/* How much less a late result counts: s(x) of FedAsync (Xie et al., 2019), shared by all asynchronous strategies. x is the number of versions published
 * between the model a task started from and the arrival of its result, so s(0) = 1 for all of them. */
#ifndef LINNET_FED_STALENESS_H
#define LINNET_FED_STALENESS_H

#include <linnet/plugin.h>

enum ln__staleness_kind { LN__STALENESS_CONSTANT, LN__STALENESS_POLYNOMIAL, LN__STALENESS_HINGE };

/* Three options of a strategy, whose options are an `owner` with this as `part`; help: of the first. */
struct ln__staleness {
    int kind; /* enum ln__staleness_kind */
    double a, b;
};
#define LN__STALENESS_OPTIONS(owner, part, what)                                                                                                     \
    {.key = "staleness",                                                                                                                             \
     .type = LN_OPT_ENUM,                                                                                                                            \
     .offset = offsetof(owner, part.kind),                                                                                                           \
     .fallback = "polynomial",                                                                                                                       \
     .choices = "constant|polynomial|hinge",                                                                                                         \
     .help = what},                                                                                                                                  \
        {.key = "a",                                                                                                                                 \
         .type = LN_OPT_REAL,                                                                                                                        \
         .offset = offsetof(owner, part.a),                                                                                                          \
         .fallback = "0.5",                                                                                                                          \
         .min = 0,                                                                                                                                   \
         .max = 1e3,                                                                                                                                 \
         .help = "exponent of polynomial (0.5: FedAsync's), slope of hinge (there 10)"},                                                             \
    {                                                                                                                                                \
        .key = "b", .type = LN_OPT_REAL, .offset = offsetof(owner, part.b), .fallback = "4", .min = 0, .max = 1e6,                                   \
        .help = "versions of delay without loss, of hinge (4: FedAsync's)"                                                                           \
    }

/* constant: 1. polynomial: (1 + x)^-a. hinge: 1 up to b, then 1 / (a (x - b) + 1). A negative x counts as 0. */
double ln__staleness(const struct ln__staleness *how, double x);

#endif
