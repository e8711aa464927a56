/* How much masks agree (recipe key eval.masks; ZeroFL's question which weights are on top where): the Jaccard index of two masks, entries in both over
 * entries in either. A mask is, of each sparse layer, the weights of largest magnitude that training and tests see; where clients have parts of the network,
 * what they have.
 *
 *     clients   of results that lead from the same version, each with the one before it: its mean since the last test
 *     rounds    of the model at a test and at the test before (masks of weights only) */
#ifndef LINNET_FED_OVERLAP_H
#define LINNET_FED_OVERLAP_H

#include "fed/env.h"

struct ln_archive;
struct ln__overlap;

/* *out NULL: the recipe does not ask, or there are no masks. */
int ln__overlap_new(const struct ln__env *env, struct ln__overlap **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__overlap_free(struct ln__overlap *overlap);

/* A result that has come: its update (a message) over the model it started from, which was that version. */
int ln__overlap_update(struct ln__overlap *overlap, struct ln_blob *update, struct ln_blob *base, uint64_t version,
                       struct ln_fault *fault) LN_MUST_CHECK;
/* At a test of the model: both means, NAN for what there is none of; those of clients begin anew. */
int ln__overlap_test(struct ln__overlap *overlap, const float *model, double *clients, double *rounds, struct ln_fault *fault) LN_MUST_CHECK;

void ln__overlap_archive(struct ln__overlap *overlap, struct ln_archive *archive);

#endif
