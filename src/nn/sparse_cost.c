/* Lists or masks: what a layer of a training step costs by either, from its shape alone.
 *
 *     sparse, the layer itself     every weight is looked at, every kept one listed twice; forward and input gradient take it against vectors of
 *                                  positions, the weight gradient takes every kept activation and tap against vectors of outputs; x, y and their
 *                                  gradients are moved
 *     sparse, a layer left dense   products of vectors, and what is moved
 *     masked, any                  products of vectors, by the kind of algorithm; masking, transforms and traffic by the weight and by the input
 *
 * The numbers are nanoseconds of one thread, fitted (least mean of |log predicted / measured|) to the layers of femnist-cnn, cnn5x5, cnn3x3, resnet9
 * and resnet18 as they run inside a step (`linnet profile --sparsity`) at batches of 10 and 32 and sparsities of 0.8, 0.9 and 0.95 on a Cascade Lake
 * Xeon; GROUPED is of mobilenetv2. A layer's prediction was off by 8 to 19 % in the mean. Of 30 nets, batches and sparsities an instruction set, those
 * whose cheaper way was not the predicted one (four; three with AVX2) cost within 30 % the same either way. NEON was not measured: a vector costs
 * there what it does with AVX2, whose kernels it shares and whose two multiply-add pipes such cores have too, at half the width; what goes by the
 * weight or by the float is traffic, and taken over as it is. */
#include "nn/sparsity.h"
#include <string.h>

enum kind { THREE, DIRECT, STRIDED, POINT, LINEAR, GROUPED, KINDS };

static const struct costs {
    const char *isa;
    int lanes;
    double weight, kept, vector, moved;         /* sparse: a weight, a kept one, a product of a kept one and a vector, a float of x and of y */
    double own_vector, own_grouped, own_moved;  /* left dense there: a product of vectors, the same with groups, a float moved */
    double product[KINDS];                      /* masked: of two vectors; THREE: 3 x 3 of stride 1, which may go by Winograd */
    double masked_weight, linear_weight, input; /* a weight of a convolution, of a linear layer; a float of x as it lies, with padding */
} table[] = {
    {"avx512", 16, 2.09, 12.2, 0.455, 3.01, 0.60, 26, 1.10, {0.106, 0.102, 0.292, 0.277, 0.299, 2.8}, 2.90, 0.80, 3.16},
    {"avx2", 8, 2.09, 15.4, 0.308, 3.90, 0.35, 9.0, 1.77, {0.086, 0.093, 0.259, 0.268, 0.235, 1.8}, 4.63, 0.98, 5.07},
    {"neon", 4, 2.09, 15.4, 0.308, 3.90, 0.35, 9.0, 1.77, {0.086, 0.093, 0.259, 0.268, 0.235, 1.8}, 4.63, 0.98, 5.07},
};

#define STRUCTURED 4.0 /* ns a weight: the masked set's order has to be undone and made again to see channels and blocks */

static enum kind kind_of(const struct ln__conv *conv)
{
    if (conv->groups > 1)
        return GROUPED;
    if (ln__sparse_whole(conv))
        return LINEAR;
    if (conv->kh * conv->kw == 1)
        return POINT;
    return conv->stride > 1 ? STRIDED : conv->kh == 3 && conv->kw == 3 ? THREE : DIRECT;
}

static double vectors(double count, int lanes)
{
    double whole = (double)(int64_t)(count / lanes);
    return whole * lanes < count ? whole + 1 : whole;
}

struct ln__sparse_layer_cost ln__sparse_cost(const char *isa, const struct ln__conv *conv, int n, double sparsity, const struct ln__sparse_how *how)
{
    const struct costs *c = table, *end = table + sizeof table / sizeof *table;
    while (c < end && strcmp(c->isa, isa) != 0)
        c++;
    if (c == end) /* the reference masks either way */
        return (struct ln__sparse_layer_cost){0};
    bool dense = sparsity < 0;
    enum kind kind = kind_of(conv);
    double weights = (double)conv->co * conv->ci / conv->groups * conv->kh * conv->kw, share = dense ? 1 : 1 - sparsity;
    double places = (double)n * conv->ho * conv->wo, inputs = (double)n * conv->ci * conv->hi * conv->wi, outputs = places * conv->co;
    double products = weights * places / c->lanes * 3, kept = weights * share;
    double taps = kind == LINEAR ? 1 : (double)(conv->kh * conv->kw) / (conv->stride * conv->stride);
    double kept_vectors = 2 * kept * vectors(places, c->lanes) + inputs * share * taps * vectors(conv->co, c->lanes);
    struct ln__sparse_layer_cost cost;
    if (dense)
        cost.sparse = products * (kind == GROUPED ? c->own_grouped : c->own_vector) + (inputs + outputs) * c->own_moved;
    else
        cost.sparse = weights * c->weight + kept * c->kept + kept_vectors * c->vector + (inputs + outputs) * c->moved;
    cost.masked = products * c->product[kind] + weights * (kind == LINEAR ? c->linear_weight : c->masked_weight) +
                  inputs / conv->ci * vectors(conv->ci, c->lanes) * c->lanes * c->input;
    if (!dense && how->structure != LN__UNSTRUCTURED)
        cost.masked += weights * STRUCTURED;
    return cost;
}
