/* Who holds what, as a drawing, a table and a summary. */
#ifndef LINNET_DATA_SHOW_H
#define LINNET_DATA_SHOW_H

#include "data/data.h"
#include <stdio.h>

struct ln__show_summary {
    uint32_t clients, classes;
    uint64_t held;                /* indices in all shares */
    uint32_t samples;             /* of the training split */
    uint32_t least, median, most; /* samples a client */
    double classes_mean;          /* classes a client holds at least one sample of */
    uint32_t classes_least, classes_most;
    double divergence; /* mean over clients of JS(client's classes || all shares' classes) / ln 2: 0 everyone alike, towards 1 nothing in common */
};
int ln__show_summarise(const struct ln__set *set, const struct ln__shares *shares, struct ln__show_summary *out,
                       struct ln_fault *fault) LN_MUST_CHECK;

struct ln__show_args {
    const char *title; /* or NULL */
    int columns;       /* of the terminal; 0: 80 */
    int rows;          /* clients (or groups of clients) drawn at most; 0: 40 */
    bool ascii;        /* no block characters */
};
/* A row a client, a column a class (neighbouring classes share one where the terminal is too narrow); the height of a block is the part of the
 * client's samples. With more clients than rows, clients are drawn that lie evenly over the list, and a last row for all together. */
int ln__show_text(FILE *to, const struct ln__set *set, const struct ln__shares *shares, const struct ln__show_args *args,
                  struct ln_fault *fault) LN_MUST_CHECK;
/* client,samples,<class names or numbers>: all clients. */
int ln__show_csv(FILE *to, const struct ln__set *set, const struct ln__shares *shares, struct ln_fault *fault) LN_MUST_CHECK;
/* {"set": .., "clients": .., summary .., "classes": [names], "counts": [[..], ..]}: at most max clients in counts (0: all), evenly chosen, then
 * "client" lists which. */
int ln__show_json(struct ln__buf *out, const struct ln__set *set, const struct ln__shares *shares, uint32_t max,
                  struct ln_fault *fault) LN_MUST_CHECK;

#endif
