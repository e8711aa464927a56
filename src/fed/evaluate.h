/* Tests of a model on the test split. The networks are kept from one test to the next. */
#ifndef LINNET_FED_EVALUATE_H
#define LINNET_FED_EVALUATE_H

#include "fed/loop.h"

struct ln__evaluator;
int ln__evaluator_new(const struct ln__env *env, struct ln__pool *pool, struct ln__evaluator **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__evaluator_free(struct ln__evaluator *evaluator);

/* Whole batches of recipe->eval.batch in fixed chunks over the pool. stop (or NULL): where it is set, LN_EINTERRUPTED after some batches, and *out is
 * as it was. show: with a bar. */
int ln__evaluator_run(struct ln__evaluator *evaluator, const float *state, const volatile int *stop, bool show, struct ln__evaluation *out,
                      struct ln_fault *fault) LN_MUST_CHECK;

#endif
