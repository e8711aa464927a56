#include "base/log.h"
#include "base/mem.h"
#include "kernels/bf16.h"
#include "kernels/check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST 0.04 /* seconds a figure rests on */
#define ROUNDS 3   /* of which the best is reported */

struct bench {
    const struct ln__kset *set;
    struct ln__pool *pool;
    const char *filter;
    int batch;
    ln__kernel_report *report;
    void *context;
    float *x, *y, *z, *w, *scratch; /* operands, as large as the case needs */
    void *bytes;
};

struct call {
    const struct bench *bench;
    struct ln__conv conv;
    struct ln__linear linear;
    struct ln__window win;
    int c, hw;
    size_t size;
    void (*run)(const struct call *call);
};

/* A kernel, and what it does with the operands of a shape: products, and times that an operand is read or written. */
struct timed {
    const char *kernel;
    void (*run)(const struct call *call);
    double products, passes;
};

static bool wanted(const struct bench *bench, const char *shape, const char *kernel)
{
    return !bench->filter || strstr(shape, bench->filter) || strstr(kernel, bench->filter);
}

static bool any_wanted(const struct bench *bench, const char *shape, const struct timed *timed, size_t count)
{
    for (size_t k = 0; k < count; k++)
        if (wanted(bench, shape, timed[k].kernel))
            return true;
    return false;
}

static void measure(const struct bench *bench, const char *kernel, const char *shape, const struct call *call, double flops, double bytes)
{
    if (!wanted(bench, shape, kernel))
        return;
    struct ln__kernel_row row = {.kernel = kernel, .shape = shape, .ok = true, .what = "", .seconds = INFINITY};
    call->run(call);
    for (int round = 0; round < ROUNDS; round++) {
        double start = ln__clock_mono(), spent = 0;
        int calls = 0;
        while (spent < LEAST) {
            call->run(call);
            calls++;
            spent = ln__clock_mono() - start;
        }
        row.seconds = spent / calls < row.seconds ? spent / calls : row.seconds;
    }
    row.gflops = flops / row.seconds * 1e-9;
    row.gbytes = bytes / row.seconds * 1e-9;
    bench->report(bench->context, &row);
}

static bool room(struct bench *bench, size_t x, size_t y, size_t z, size_t w, size_t scratch)
{
    float **at[] = {&bench->x, &bench->y, &bench->z, &bench->w, &bench->scratch};
    size_t size[] = {x, y, z, w, scratch};
    uint32_t word = 1;
    for (int i = 0; i < 5; i++) {
        ln__mem_free(*at[i]);
        *at[i] = ln__mem_alloc((size[i] + 16) * sizeof(float));
        for (size_t j = 0; *at[i] && j < size[i]; j++) {
            word = word * 1664525U + 1013904223U;
            (*at[i])[j] = (float)(word >> 8) / 16777216.0F - 0.5F;
        }
    }
    return bench->x && bench->y && bench->z && bench->w && bench->scratch;
}

static void conv_forward(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->conv_forward(&call->conv, b->batch, b->x, b->w, NULL, b->y, b->scratch, b->pool);
}

static void conv_input_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->conv_input_grad(&call->conv, b->batch, b->y, b->w, b->x, false, b->scratch, b->pool);
}

static void conv_weight_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->conv_weight_grad(&call->conv, b->batch, b->x, b->y, b->w, NULL, b->scratch, b->pool);
}

static void linear_forward(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->linear_forward(&call->linear, b->batch, b->x, b->w, NULL, b->y, b->scratch, b->pool);
}

static void linear_input_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->linear_backward(&call->linear, b->batch, b->x, b->y, b->w, b->z, false, NULL, NULL, NULL, b->scratch, b->pool);
}

static void linear_weight_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->linear_backward(&call->linear, b->batch, b->x, b->y, b->w, NULL, false, b->bytes, NULL, NULL, b->scratch, b->pool);
}

/* An optimiser with momentum, which lies in bytes. */
struct learner {
    struct ln__sink sink;
    const struct bench *bench;
};

static void learn(const struct ln__sink *sink, size_t first, size_t count, float *g)
{
    const struct bench *b = ((const struct learner *)sink)->bench;
    struct ln__sgd rule = {.lr = 1e-6F, .momentum = 0.9F};
    b->set->sgd(count, &rule, g, b->w + first, (float *)b->bytes + first, NULL);
}

static void linear_learn(const struct call *call)
{
    const struct bench *b = call->bench;
    struct learner learner = {{learn}, b};
    b->set->linear_backward(&call->linear, b->batch, b->x, b->y, b->w, b->z, false, NULL, NULL, &learner.sink, b->scratch, b->pool);
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t floats(const struct bench *bench, int c, int hw)
{
    return (size_t)bench->batch * (size_t)(ln__blocks(c, bench->set->lanes) * bench->set->lanes) * (size_t)hw;
}

static bool time_conv(struct bench *bench, struct ln__conv conv)
{
    static const struct timed pass[] = {
        {"conv_forward", conv_forward, 1, 1}, {"conv_input_grad", conv_input_grad, 1, 1}, {"conv_weight_grad", conv_weight_grad, 1, 1}};
    char shape[128];
    snprintf(shape, sizeof shape, "%s%dx%dx%d -> %d, %dx%d%s", conv.groups > 1 ? "depthwise " : "", conv.ci, conv.hi, conv.wi, conv.co, conv.kh,
             conv.kw, conv.stride > 1 ? " stride 2" : "");
    size_t scratch = 0, x = floats(bench, conv.ci, conv.hi * conv.wi), y = floats(bench, conv.co, conv.ho * conv.wo);
    if (!any_wanted(bench, shape, pass, sizeof pass / sizeof pass[0]))
        return true;
    for (int p = 0; p < 3; p++)
        scratch = most(scratch, bench->set->conv_scratch(&conv, (enum ln__pass)p, bench->batch, ln__pool_width(bench->pool)));
    if (!room(bench, x, y, 0, bench->set->conv_weights(&conv), scratch))
        return false;
    double macs = (double)bench->batch * conv.ho * conv.wo * conv.co * (conv.ci / conv.groups) * conv.kh * conv.kw;
    for (int p = 0; p < 3; p++) {
        struct call call = {.bench = bench, .conv = conv, .run = pass[p].run};
        measure(bench, pass[p].kernel, shape, &call, 2 * macs, 4.0 * (double)(x + y));
    }
    return true;
}

static bool time_linear(struct bench *bench, struct ln__linear linear)
{
    static const struct timed how[] = {{"linear_forward", linear_forward, 1, 1},
                                       {"linear_backward dx", linear_input_grad, 1, 1},
                                       {"linear_backward dw", linear_weight_grad, 1, 1},
                                       {"linear_backward sgd", linear_learn, 2, 4}};
    char shape[128];
    snprintf(shape, sizeof shape, "%dx%dx%d -> %d", linear.ci, linear.hi, linear.wi, linear.co);
    if (!any_wanted(bench, shape, how, sizeof how / sizeof how[0]))
        return true;
    size_t scratch = 0, weights = bench->set->linear_weights(&linear);
    for (int p = 0; p < 3; p++)
        scratch = most(scratch, bench->set->linear_scratch(&linear, (enum ln__pass)p, bench->batch, ln__pool_width(bench->pool)));
    size_t x = floats(bench, linear.ci, linear.hi * linear.wi), y = floats(bench, linear.co, 1);
    if (!room(bench, x, y, x, weights, scratch))
        return false;
    ln__mem_free(bench->bytes);
    bench->bytes = ln__mem_zero(weights, sizeof(float));
    if (!bench->bytes)
        return false;
    double macs = (double)bench->batch * linear.co * linear.ci * linear.hi * linear.wi;
    for (size_t p = 0; p < sizeof how / sizeof how[0]; p++) {
        struct call call = {.bench = bench, .linear = linear, .run = how[p].run};
        measure(bench, how[p].kernel, shape, &call, 2 * macs * how[p].products, 4.0 * ((double)(x + y) + how[p].passes * (double)weights));
    }
    return true;
}

static void norm_forward(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->norm_forward(b->batch, call->c, call->hw, b->x, b->w + 8192, b->w + 8192, 1e-5F, LN__ACT_RELU, NULL, b->y, b->w, b->w + 4096, b->pool);
}

static void norm_apply(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->norm_apply(b->batch, call->c, call->hw, b->x, b->w, b->w + 4096, b->w + 8192, b->w + 8192, 1e-5F, LN__ACT_RELU, NULL, b->y, b->pool);
}

static void norm_apply_add(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->norm_apply(b->batch, call->c, call->hw, b->x, b->w, b->w + 4096, b->w + 8192, b->w + 8192, 1e-5F, LN__ACT_RELU, b->z, b->y, b->pool);
}

static void norm_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->norm_grad(b->batch, call->c, call->hw, b->x, b->y, b->z, b->w, b->w + 4096, b->w + 8192, b->w + 8192, 1e-5F, LN__ACT_RELU, false,
                      b->scratch, false, NULL, false, b->w + 12288, b->w + 16384, b->pool);
}

static void maxpool(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->maxpool_forward(&call->win, b->batch, b->x, b->y, b->bytes, b->pool);
}

static void relu_maxpool(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->relu_maxpool_forward(&call->win, b->batch, b->x, b->y, b->bytes, b->pool);
}

static void maxpool_grad(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->maxpool_grad(&call->win, b->batch, b->bytes, b->y, b->x, false, b->pool);
}

static void hardswish(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->act_forward(LN__ACT_HARDSWISH, b->batch, call->c, call->hw, b->x, b->y, b->pool);
}

static void silu(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->act_forward(LN__ACT_SILU, b->batch, call->c, call->hw, b->x, b->y, b->pool);
}

static bool time_planes(struct bench *bench, int c, int side)
{
    static const struct timed kernels[] = {
        {"norm_forward relu", norm_forward, 0, 3}, {"norm_apply relu", norm_apply, 0, 2},      {"norm_apply add relu", norm_apply_add, 0, 3},
        {"norm_grad relu", norm_grad, 0, 4},       {"maxpool_forward", maxpool, 0, 1.3},       {"relu_maxpool_forward", relu_maxpool, 0, 1.3},
        {"maxpool_grad", maxpool_grad, 0, 1.3},    {"act_forward hardswish", hardswish, 0, 2}, {"act_forward silu", silu, 0, 2}};
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", c, side, side);
    if (!any_wanted(bench, shape, kernels, sizeof kernels / sizeof kernels[0]))
        return true;
    size_t size = floats(bench, c, side * side);
    if (!room(bench, size, size, size, 32768, size))
        return false;
    memset(bench->w + 4096, 0, 4096 * sizeof(float));
    ln__mem_free(bench->bytes);
    bench->bytes = ln__mem_zero(size, 1);
    if (!bench->bytes)
        return false;
    struct call call = {.bench = bench, .c = c, .hw = side * side, .win = {c, side, side, side / 2, side / 2, 2, 2, 0, 0}};
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
        call.run = kernels[k].run;
        measure(bench, kernels[k].kernel, shape, &call, 0, kernels[k].passes * 4 * (double)size);
    }
    return true;
}

static void sgd(const struct call *call)
{
    const struct bench *b = call->bench;
    struct ln__sgd rule = {.lr = 1e-6F, .momentum = 0.9F};
    b->set->sgd(call->size, &rule, b->x, b->y, b->z, b->pool);
}

static void adam(const struct call *call)
{
    const struct bench *b = call->bench;
    struct ln__adam rule = {.lr = 1e-6F, .beta1 = 0.9F, .beta2 = 0.999F, .eps = 1e-8F, .step = 1};
    b->set->adam(call->size, &rule, b->x, b->y, b->z, b->w, b->pool);
}

static void fold_add(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->fold_add(call->size, b->x, 65536, b->bytes, b->pool);
}

static void fold_check(const struct call *call)
{
    const struct bench *b = call->bench;
    if (!b->set->fold_check(call->size, b->x, 1, b->pool))
        b->x[0] = 0;
}

static void to_f16(const struct call *call)
{
    const struct bench *b = call->bench;
    b->set->to_f16(call->size, b->x, b->bytes, b->pool);
}

static bool time_vectors(struct bench *bench, size_t size)
{
    static const struct timed kernels[] = {{"sgd momentum", sgd, 0, 5},
                                           {"adam", adam, 0, 7},
                                           {"fold_add", fold_add, 0, 5},
                                           {"fold_check", fold_check, 0, 1},
                                           {"to_f16", to_f16, 0, 1.5}};
    char shape[64];
    snprintf(shape, sizeof shape, "%zu floats", size);
    if (!any_wanted(bench, shape, kernels, sizeof kernels / sizeof kernels[0]))
        return true;
    if (!room(bench, size, size, size, size, 0))
        return false;
    for (size_t i = 0; i < size; i++)
        bench->w[i] = fabsf(bench->w[i]);
    ln__mem_free(bench->bytes);
    bench->bytes = ln__mem_zero(size, sizeof(int64_t));
    if (!bench->bytes)
        return false;
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
        struct call call = {.bench = bench, .size = size, .run = kernels[k].run};
        measure(bench, kernels[k].kernel, shape, &call, 0, kernels[k].passes * 4 * (double)size);
    }
    return true;
}

static struct ln__conv same(int ci, int side, int co, int k, int stride, int groups)
{
    return (struct ln__conv){ci, side, side, co, side / stride, side / stride, k, k, stride, k / 2, k / 2, groups};
}

static struct ln__conv valid(int ci, int side, int co, int k)
{
    return (struct ln__conv){ci, side, side, co, side - k + 1, side - k + 1, k, k, 1, 0, 0, 1};
}

int ln__kernels_time(const struct ln__kset *set, const char *filter, int batch, struct ln__pool *pool, ln__kernel_report *report, void *context)
{
    const struct ln__conv convs[] = {
        same(3, 32, 32, 5, 1, 1),     same(32, 16, 64, 5, 1, 1),    valid(1, 28, 32, 3),           valid(32, 26, 64, 3),        /* small cnns */
        same(3, 32, 64, 3, 1, 1),     same(64, 32, 64, 3, 1, 1),    same(64, 16, 128, 3, 1, 1),    same(128, 16, 128, 3, 1, 1), /* vgg11, */
        same(128, 8, 256, 3, 1, 1),   same(256, 8, 256, 3, 1, 1),   same(256, 4, 512, 3, 1, 1),    same(512, 4, 512, 3, 1, 1),  /* resnets */
        same(512, 2, 512, 3, 1, 1),   same(64, 32, 128, 3, 2, 1),   same(256, 8, 512, 3, 2, 1),    same(64, 32, 128, 1, 2, 1),  /* strides */
        same(16, 32, 96, 1, 1, 1),    same(96, 16, 24, 1, 1, 1),    same(24, 16, 144, 1, 1, 1),    same(144, 16, 24, 1, 1, 1),  /* mobile */
        same(64, 8, 384, 1, 1, 1),    same(384, 8, 64, 1, 1, 1),    same(160, 4, 960, 1, 1, 1),    same(960, 4, 160, 1, 1, 1),  /* nets */
        same(320, 4, 1280, 1, 1, 1),  same(96, 16, 96, 3, 1, 96),   same(144, 16, 144, 3, 2, 144), same(384, 8, 384, 3, 1, 384),
        same(960, 4, 960, 3, 1, 960), same(240, 8, 240, 5, 1, 240), same(672, 4, 672, 5, 1, 672),
    };
    struct bench bench = {.set = set, .pool = pool, .filter = filter, .batch = batch, .report = report, .context = context};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof convs / sizeof convs[0]; i++)
        ok = (set->bf16 && !ln__bf16_takes(&convs[i])) || time_conv(&bench, convs[i]);
    if (!set->bf16) /* the rest of a bf16 set is its float set's */
        ok = ok && time_linear(&bench, (struct ln__linear){64, 8, 8, 512}) && time_linear(&bench, (struct ln__linear){512, 1, 1, 10}) &&
             time_linear(&bench, (struct ln__linear){4096, 1, 1, 4096}) && time_planes(&bench, 64, 32) && time_planes(&bench, 96, 16) &&
             time_planes(&bench, 512, 4) && time_vectors(&bench, 100000) && time_vectors(&bench, 16 << 20);
    void *blocks[] = {bench.x, bench.y, bench.z, bench.w, bench.scratch, bench.bytes};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        ln__mem_free(blocks[i]);
    return ok ? 0 : LN_ENOMEM;
}

struct peak {
    const struct ln__kset *set;
    double flops[64];
};

static void peak_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    struct peak *peak = context;
    float out[64];
    peak->flops[chunk] = peak->set->peak(200000, out);
}

double ln__kernels_peak(const struct ln__kset *set, struct ln__pool *pool)
{
    double best = 0;
    size_t chunks = ln__pool_width(pool) < 64 ? ln__pool_width(pool) : 64;
    for (int round = 0; round < 9; round++) {
        struct peak peak = {.set = set};
        double start = ln__clock_mono(), flops = 0;
        ln__pool_for(pool, chunks, peak_chunk, &peak);
        double spent = ln__clock_mono() - start;
        for (size_t i = 0; i < chunks; i++)
            flops += peak.flops[i];
        best = flops / spent * 1e-9 > best ? flops / spent * 1e-9 : best;
    }
    return best;
}
