/* Masked updates (ZeroFL, Qiu et al., ICLR 2022, section 3.3): of each layer the entries of largest magnitude are sent, rho = 1 - sparsity + mask_ratio
 * of them. Dense layers are sent whole. A mask_ratio equal to the sparsity is the whole result. */
#ifndef LINNET_FED_MASK_H
#define LINNET_FED_MASK_H

#include "fed/update.h"

struct ln__mask_options {
    double mask_ratio;
    int average; /* 0: all; 1: contributors */
    int scope;   /* 0: layer; 1: global */
    bool error_feedback;
};
extern const struct ln_option ln__mask_weights_options[], ln__mask_options[]; /* without and with error_feedback */

int ln__mask_check(const void *options, const struct ln__env *env, struct ln_fault *fault);
bool ln__mask_keeps(const void *options);
bool ln__mask_contributors(const void *options);

/* Threshold of the entries of largest magnitude among count, so that the share rho of them is kept; FLT_MAX's successor where none is. */
int ln__mask_threshold(const float *x, size_t count, double rho, float *out) LN_MUST_CHECK;
/* scope global: the same over all sparse layers together; difference: of what changed and what was not sent before, not of the result. 0 for scope layer. */
int ln__mask_whole(const void *options, const struct ln__update_whole *whole, bool difference, float *out) LN_MUST_CHECK;

/* Fills out with value where |rank| is in the top of its layer, with zero elsewhere. out may be rank or value. */
int ln__mask_select(const struct ln__mask_options *options, const struct ln__update_args *args, const float *rank, const float *value,
                    float *out) LN_MUST_CHECK;

/* The paper's file size of an update in bytes: value and int32 index, 8 bytes, for every entry sent and for every value of the dense layers, of the
 * whole result 4. Running statistics count, whether or not the recipe's norm has them. A ratio below 0: of a dense run. It is told when a run
 * begins, beside the real bytes of metrics.jsonl; MB of the paper's table are 1,024,000. */
#define LN__PAPER_MB 1024000.0
double ln__mask_paper_bytes(const struct ln__env *env, double mask_ratio);

#endif
