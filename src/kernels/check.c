#include "kernels/check.h"
#include "base/mem.h"
#include "kernels/bf16.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOLERANCE 1e-4
#define OPERANDS 24
#define OUTPUTS 6
#define WIDTHS 2

enum kind { ACTIVATION, RAW, CONV, LINEAR };

/* One operand in both layouts: [0] the reference's (canonical), [1] the set's. */
struct both {
    enum kind kind;
    int n, c, hw;
    const struct ln__conv *conv;
    const struct ln__linear *linear;
    float *at[2], *start[2]; /* start: what an output holds before each run */
    size_t size[2];
};

struct env {
    const struct ln__kset *set, *ref;
    struct ln__pool *pool[WIDTHS];
    const char *filter;
    ln__kernel_report *report;
    void *context;
    struct ln__key key;
    void *block[OPERANDS * 8];
    size_t blocks;
    bool poor; /* no memory */
    int failed;
};

typedef void run_fn(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool);

static void *take(struct env *env, size_t size)
{
    static float spare[64];
    void *block = env->blocks < OPERANDS * 8 ? ln__mem_alloc(size > 0 ? size : 64) : NULL;
    if (!block) {
        env->poor = true;
        return spare;
    }
    memset(block, 0xff, size);
    env->block[env->blocks++] = block;
    return block;
}

static void drop_all(struct env *env)
{
    while (env->blocks > 0)
        ln__mem_free(env->block[--env->blocks]);
}

static void fill(struct env *env, float *x, size_t size)
{
    struct ln__rng rng = ln__rng_at(env->key);
    env->key.round++;
    for (size_t i = 0; i < size; i++)
        x[i] = (float)(int32_t)ln__rng_u32(&rng) / 2147483648.0F;
}

static void to_set(const struct env *env, const struct both *both, const float *from, float *to)
{
    if (both->kind == ACTIVATION)
        env->set->pack(both->n, both->c, both->hw, from, to, NULL);
    else if (both->kind == CONV)
        env->set->conv_pack(both->conv, from, to);
    else if (both->kind == LINEAR)
        env->set->linear_pack(both->linear, from, to);
    else
        memcpy(to, from, both->size[0] * sizeof *to);
}

static void from_set(const struct env *env, const struct both *both, const float *from, float *to)
{
    if (both->kind == ACTIVATION)
        env->set->unpack(both->n, both->c, both->hw, from, to, NULL);
    else if (both->kind == CONV)
        env->set->conv_unpack(both->conv, from, to);
    else if (both->kind == LINEAR)
        env->set->linear_unpack(both->linear, from, to);
    else
        memcpy(to, from, both->size[0] * sizeof *to);
}

static struct both make(struct env *env, struct both both)
{
    for (int which = 0; which < 2 && !env->poor; which++) {
        const struct ln__kset *set = which ? env->set : env->ref;
        if (both.kind == ACTIVATION)
            both.size[which] = (size_t)both.n * (size_t)ln__blocks(both.c, set->lanes) * (size_t)set->lanes * (size_t)both.hw;
        else if (both.kind == CONV)
            both.size[which] = set->conv_weights(both.conv);
        else if (both.kind == LINEAR)
            both.size[which] = set->linear_weights(both.linear);
        both.at[which] = take(env, both.size[which] * sizeof(float));
        both.start[which] = take(env, both.size[which] * sizeof(float));
    }
    if (env->poor)
        return both;
    fill(env, both.at[0], both.size[0]);
    to_set(env, &both, both.at[0], both.at[1]);
    for (int which = 0; which < 2; which++)
        memcpy(both.start[which], both.at[which], both.size[which] * sizeof(float));
    return both;
}

static struct both activation(struct env *env, int n, int c, int hw)
{
    return make(env, (struct both){.kind = ACTIVATION, .n = n, .c = c, .hw = hw});
}

static struct both raw(struct env *env, size_t size)
{
    return make(env, (struct both){.kind = RAW, .size = {size, size}});
}

static void restore(const struct both *out, int outs, int which)
{
    for (int i = 0; i < outs; i++)
        memcpy(out[i].at[which], out[i].start[which], out[i].size[which] * sizeof(float));
}

/* The largest difference over the largest output; NaN and infinity must be where the reference has them. */
static double difference(const float *a, const float *b, size_t size)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < size; i++) {
        if (!isfinite(b[i])) {
            if (memcmp(&a[i], &b[i], sizeof a[i]) != 0)
                return INFINITY;
            continue;
        }
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= 1e30))
            return INFINITY;
        most = d > most ? d : most;
        scale = fabs((double)b[i]) > scale ? fabs((double)b[i]) : scale;
    }
    return most > 0 ? most / (scale > 0 ? scale : 1) : 0;
}

/* Runs a kernel of the reference and of the set on the same operands and compares outs outputs (at most OUTPUTS). */
static void compare(struct env *env, const char *kernel, const char *shape, double tolerance, const struct both *out, int outs, run_fn *run,
                    const void *args)
{
    struct ln__kernel_row row = {.kernel = kernel, .shape = shape, .ok = true, .what = ""};
    float *first[OUTPUTS] = {NULL}, *back = NULL, *again = NULL;
    for (int i = 0; i < outs && !env->poor; i++)
        first[i] = take(env, out[i].size[1] * sizeof(float));
    if (env->poor)
        return;
    restore(out, outs, 0);
    run(args, env->ref, 0, NULL);
    for (int width = 0; width <= WIDTHS; width++) {
        restore(out, outs, 1);
        run(args, env->set, 1, width ? env->pool[width - 1] : NULL);
        for (int i = 0; i < outs; i++) {
            if (width == 0)
                memcpy(first[i], out[i].at[1], out[i].size[1] * sizeof(float));
            else if (memcmp(first[i], out[i].at[1], out[i].size[1] * sizeof(float)) != 0) {
                row.ok = false;
                row.what = "threads";
            }
        }
    }
    for (int i = 0; i < outs; i++) {
        back = take(env, out[i].size[0] * sizeof(float));
        again = take(env, out[i].size[1] * sizeof(float));
        if (env->poor)
            return;
        from_set(env, &out[i], first[i], back);
        to_set(env, &out[i], back, again);
        if (memcmp(again, first[i], out[i].size[1] * sizeof(float)) != 0) {
            for (size_t j = 0; j < out[i].size[1]; j++) {
                if (!(again[j] == first[i][j])) { /* -0 in a zero lane is a zero */
                    row.ok = false;
                    row.what = "lanes";
                }
            }
        }
        double error = difference(back, out[i].at[0], out[i].size[0]);
        row.error = error > row.error ? error : row.error;
    }
    if (!(row.error <= tolerance)) {
        row.ok = false;
        row.what = "differs";
    }
    env->failed += !row.ok;
    if (env->report)
        env->report(env->context, &row);
}

static bool wanted(const struct env *env, const char *kernel)
{
    return !env->filter || strstr(kernel, env->filter);
}

#define A(both) ((both).at[which])

/* ---- convolution and linear ---- */
struct conv_args {
    struct ln__conv conv;
    struct ln__linear linear;
    int n;
    bool add, bias, input, keep, move; /* the last three: which gradients a linear layer's backward makes, and where */
    struct both x, w, b, y, dx, dw;
    float *scratch, *spare; /* the set's, the reference's */
};

static void run_conv_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_forward(&a->conv, a->n, A(a->x), A(a->w), a->bias ? A(a->b) : NULL, A(a->y), a->scratch, pool);
}

static void run_conv_input_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_input_grad(&a->conv, a->n, A(a->y), A(a->w), A(a->x), a->add, a->scratch, pool);
}

static void run_conv_weight_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_weight_grad(&a->conv, a->n, A(a->x), A(a->y), A(a->w), a->bias ? A(a->b) : NULL, a->scratch, pool);
}

static void run_linear_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->linear_forward(&a->linear, a->n, A(a->x), A(a->w), a->bias ? A(a->b) : NULL, A(a->y), which ? a->scratch : a->spare, pool);
}

/* As an optimiser: each weight moves by its gradient as soon as it is taken. */
struct moves {
    struct ln__sink sink;
    float *w;
};

static void move(const struct ln__sink *sink, size_t first, size_t count, float *g)
{
    float *w = ((const struct moves *)sink)->w + first;
    for (size_t i = 0; i < count; i++)
        w[i] -= g[i];
}

static void run_linear_backward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    struct moves moves = {{move}, A(a->w)};
    set->linear_backward(&a->linear, a->n, A(a->x), A(a->y), A(a->w), a->input ? A(a->dx) : NULL, a->add, a->keep ? A(a->dw) : NULL,
                         a->bias ? A(a->b) : NULL, a->move ? &moves.sink : NULL, which ? a->scratch : a->spare, pool);
}

/* Samples, shape, and channels; scratch is asked for two samples more, as a net does whose last batch is short. */
static void conv_case(struct env *env, int n, struct ln__conv conv)
{
    static const struct {
        const char *kernel;
        enum ln__pass pass;
        run_fn *run;
    } pass[] = {{"conv_forward", LN__FORWARD, run_conv_forward},
                {"conv_input_grad", LN__INPUT_GRAD, run_conv_input_grad},
                {"conv_weight_grad", LN__WEIGHT_GRAD, run_conv_weight_grad}};
    char shape[128];
    snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %dx%dx%d, %dx%d stride %d groups %d", n, conv.ci, conv.hi, conv.wi, conv.co, conv.ho, conv.wo,
             conv.kh, conv.kw, conv.stride, conv.groups);
    for (int p = 0; p < 3; p++) {
        bool own = !env->set->bf16 || ln__bf16_takes(&conv, pass[p].pass); /* else it is the float set's */
        for (int option = 0; option < 2 && own && wanted(env, pass[p].kernel); option++) {
            struct conv_args a = {.conv = conv, .n = n, .add = option, .bias = !option};
            a.x = activation(env, n, conv.ci, conv.hi * conv.wi);
            a.y = activation(env, n, conv.co, conv.ho * conv.wo);
            a.w = make(env, (struct both){.kind = CONV, .conv = &conv});
            a.b = activation(env, 1, conv.co, 1);
            size_t sets = env->set->conv_scratch(&conv, pass[p].pass, n + 2, 3), refs = env->ref->conv_scratch(&conv, pass[p].pass, n, 1);
            a.scratch = take(env, (sets > refs ? sets : refs) * sizeof(float));
            struct both out[2] = {p == 0 ? a.y : p == 1 ? a.x : a.w, a.b};
            if (!env->poor)
                compare(env, pass[p].kernel, shape, TOLERANCE, out, p == 2 && a.bias ? 2 : 1, pass[p].run, &a);
            drop_all(env);
        }
    }
}

/* Forward with and without bias; backward with all gradients, with dx alone, with dw alone, and with weights that move meanwhile. */
static void linear_case(struct env *env, int n, struct ln__linear linear)
{
    static const struct conv_args how[] = {{.bias = true},
                                           {.bias = false},
                                           {.bias = true, .input = true, .keep = true},
                                           {.input = true, .add = true},
                                           {.bias = true, .keep = true},
                                           {.bias = true, .input = true, .add = true, .move = true},
                                           {.move = true}};
    char shape[128];
    for (int h = 0; h < 7; h++) {
        const char *kernel = h < 2 ? "linear_forward" : "linear_backward";
        struct conv_args a = how[h];
        if (!wanted(env, kernel))
            continue;
        snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %d, way %d", n, linear.ci, linear.hi, linear.wi, linear.co, h);
        a.linear = linear;
        a.n = n;
        a.x = activation(env, n, linear.ci, linear.hi * linear.wi);
        a.y = activation(env, n, linear.co, 1);
        a.dx = activation(env, n, linear.ci, linear.hi * linear.wi);
        a.w = make(env, (struct both){.kind = LINEAR, .linear = &linear});
        a.dw = make(env, (struct both){.kind = LINEAR, .linear = &linear});
        a.b = activation(env, 1, linear.co, 1);
        enum ln__pass pass = h < 2 ? LN__FORWARD : LN__WEIGHT_GRAD;
        a.scratch = take(env, env->set->linear_scratch(&linear, pass, n + 2, 3) * sizeof(float));
        a.spare = take(env, env->ref->linear_scratch(&linear, pass, n, 1) * sizeof(float));
        if (!env->poor && h < 2)
            compare(env, kernel, shape, TOLERANCE, &a.y, 1, run_linear_forward, &a);
        else if (!env->poor)
            compare(env, kernel, shape, TOLERANCE, (struct both[]){a.dx, a.dw, a.w, a.b}, 4, run_linear_backward, &a);
        drop_all(env);
    }
}

static struct ln__conv square(int ci, int hi, int co, int k, int stride, int pad, int groups)
{
    int ho = (hi + 2 * pad - k) / stride + 1;
    return (struct ln__conv){ci, hi, hi, co, ho, ho, k, k, stride, pad, pad, groups};
}

static void check_convs(struct env *env)
{
    conv_case(env, 2, square(3, 12, 20, 3, 1, 1, 1));
    conv_case(env, 3, square(3, 17, 32, 5, 1, 2, 1));
    conv_case(env, 2, square(1, 14, 7, 5, 1, 0, 1));
    conv_case(env, 2, square(32, 16, 64, 5, 1, 2, 1));
    conv_case(env, 3, square(20, 11, 40, 5, 1, 2, 1));
    conv_case(env, 1, square(80, 9, 24, 5, 1, 0, 1));
    conv_case(env, 3, square(64, 8, 64, 3, 1, 1, 1));
    conv_case(env, 9, square(256, 4, 40, 3, 1, 1, 1));
    conv_case(env, 2, square(16, 32, 48, 3, 1, 1, 1));
    conv_case(env, 10, square(40, 4, 72, 3, 1, 1, 1));
    conv_case(env, 5, square(64, 2, 64, 3, 1, 1, 1));
    conv_case(env, 2, square(256, 8, 48, 3, 1, 1, 1));
    conv_case(env, 3, square(33, 7, 17, 3, 1, 1, 1));
    conv_case(env, 3, square(40, 14, 36, 3, 1, 0, 1));
    conv_case(env, 2, square(32, 11, 33, 3, 1, 2, 1));
    conv_case(env, 2, square(64, 13, 40, 3, 1, 1, 1));
    conv_case(env, 4, square(48, 6, 32, 3, 1, 1, 1));
    conv_case(env, 7, square(64, 1, 32, 3, 1, 1, 1));
    conv_case(env, 2, square(24, 9, 40, 3, 2, 1, 1));
    conv_case(env, 3, square(32, 8, 64, 3, 2, 1, 1));
    conv_case(env, 1, square(3, 30, 16, 7, 2, 3, 1));
    conv_case(env, 2, square(3, 23, 16, 11, 4, 2, 1));
    conv_case(env, 2, square(20, 11, 20, 2, 3, 0, 1));
    conv_case(env, 3, square(64, 8, 96, 1, 1, 0, 1));
    conv_case(env, 2, square(24, 13, 144, 1, 1, 0, 1));
    conv_case(env, 5, square(260, 4, 70, 1, 1, 0, 1));
    conv_case(env, 11, square(100, 2, 30, 1, 1, 0, 1));
    conv_case(env, 2, square(32, 9, 64, 1, 2, 0, 1));
    conv_case(env, 2, square(12, 6, 12, 1, 1, 1, 1));
    conv_case(env, 2, (struct ln__conv){10, 7, 13, 18, 9, 6, 1, 5, 2, 5, 1, 1}); /* not square, uneven padding */
    conv_case(env, 2, (struct ln__conv){18, 9, 9, 18, 5, 5, 3, 3, 2, 0, 0, 1});  /* "same": padding after only */
    conv_case(env, 2, (struct ln__conv){4, 20, 150, 6, 20, 150, 3, 3, 1, 1, 1, 1});
    conv_case(env, 2, square(24, 9, 24, 3, 1, 1, 24));
    conv_case(env, 3, square(40, 8, 40, 3, 2, 1, 40));
    conv_case(env, 2, square(17, 11, 17, 5, 1, 2, 17));
    conv_case(env, 2, square(96, 4, 96, 5, 2, 2, 96));
    conv_case(env, 2, square(33, 2, 33, 5, 1, 2, 33));
    conv_case(env, 2, square(9, 10, 9, 4, 3, 1, 9));
    conv_case(env, 2, (struct ln__conv){32, 16, 16, 32, 8, 8, 3, 3, 2, 0, 0, 32});
    conv_case(env, 2, square(64, 8, 128, 3, 1, 1, 2));
    conv_case(env, 2, square(64, 6, 64, 3, 2, 1, 4));
    conv_case(env, 2, square(48, 5, 24, 3, 1, 1, 3));
    conv_case(env, 2, square(24, 5, 60, 3, 1, 1, 12));
    conv_case(env, 2, square(10, 5, 30, 1, 1, 0, 10));
    linear_case(env, 10, (struct ln__linear){64, 1, 1, 10});
    linear_case(env, 3, (struct ln__linear){100, 1, 1, 200});
    linear_case(env, 17, (struct ln__linear){40, 3, 2, 33});
    linear_case(env, 5, (struct ln__linear){1, 28, 28, 10});
    linear_case(env, 4, (struct ln__linear){3, 5, 5, 7});
    linear_case(env, 32, (struct ln__linear){64, 4, 4, 128});
    linear_case(env, 1, (struct ln__linear){300, 1, 1, 301});
}

/* ---- everything that works on activations ---- */
struct args {
    int n, c, hw;
    size_t size;
    enum ln__act act;
    bool add, frozen, residual, in_place, from_y, relu;
    struct both a, b, d, e, f, g, h, out, out2, out3, out4;
    struct ln__window win;
    struct ln__sgd sgd;
    struct ln__adam adam;
    float number;
    double scale;
    const int32_t *label;
    void *side[2]; /* bytes, halves or integers beside the floats */
    const struct ln__key *key;
};

static void run_norm_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_forward(p->n, p->c, p->hw, p->in_place ? A(p->out) : A(p->a), A(p->f), A(p->g), 1e-5F, p->act, p->residual ? A(p->b) : NULL, A(p->out),
                      A(p->out2), A(p->out3), pool);
}

static void run_norm_apply(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_apply(p->n, p->c, p->hw, A(p->a), A(p->d), A(p->e), A(p->f), A(p->g), 1e-5F, p->act, p->residual ? A(p->b) : NULL, A(p->out), pool);
}

static void run_norm_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_grad(p->n, p->c, p->hw, A(p->a), p->from_y ? A(p->b) : NULL, p->in_place ? A(p->out) : A(p->g), A(p->d), A(p->e), A(p->f), A(p->h),
                   1e-5F, p->act, p->frozen, A(p->out), p->add, p->residual ? A(p->out2) : NULL, p->add, A(p->out3), A(p->out4), pool);
}

static void absolute(struct env *env, struct both *both)
{
    for (size_t i = 0; i < both->size[0]; i++)
        both->at[0][i] = fabsf(both->at[0][i]) + 0.1F;
    to_set(env, both, both->at[0], both->at[1]);
}

static void stretch(struct env *env, struct both *both, float by)
{
    for (size_t i = 0; i < both->size[0]; i++)
        both->at[0][i] *= by;
    to_set(env, both, both->at[0], both->at[1]);
}

static const int shapes[][3] = {{2, 16, 64}, {3, 24, 49}, {10, 5, 1}, {1, 33, 7}, {4, 64, 256}, {5, 200, 4}, {9, 16, 100}};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static void check_norm(struct env *env, struct args p)
{
    char shape[96];
    snprintf(shape, sizeof shape, "n%d %dx%d act %d residual %d add %d", p.n, p.c, p.hw, (int)p.act, p.residual, p.add);
    p.a = activation(env, p.n, p.c, p.hw);
    p.b = activation(env, p.n, p.c, p.hw);
    p.out = activation(env, p.n, p.c, p.hw);
    struct both *vec[] = {&p.d, &p.e, &p.f, &p.g, &p.h, &p.out2, &p.out3, &p.out4};
    for (int i = 0; i < 8; i++)
        *vec[i] = activation(env, 1, p.c, 1);
    if (env->poor)
        return;
    absolute(env, &p.e);
    if (wanted(env, "norm_apply"))
        compare(env, "norm_apply", shape, TOLERANCE, (struct both[]){p.out}, 1, run_norm_apply, &p);
    if (wanted(env, "norm_forward"))
        compare(env, "norm_forward", shape, TOLERANCE, (struct both[]){p.out, p.out2, p.out3}, 3, run_norm_forward, &p);
    p.g = activation(env, p.n, p.c, p.hw);
    p.out2 = activation(env, p.n, p.c, p.hw);
    if (env->poor)
        return;
    stretch(env, &p.b, 7);
    if (wanted(env, "norm_grad"))
        compare(env, "norm_grad", shape, TOLERANCE, (struct both[]){p.out, p.out3, p.out4, p.out2}, p.residual ? 4 : 3, run_norm_grad, &p);
    drop_all(env);
}

static void check_norms(struct env *env)
{
    static const enum ln__act acts[] = {LN__ACT_NONE, LN__ACT_RELU, LN__ACT_RELU6, LN__ACT_HARDSWISH, LN__ACT_SILU};
    for (size_t s = 0; s < SHAPES * 10; s++) {
        struct args p = {.n = shapes[s / 10][0], .c = shapes[s / 10][1], .hw = shapes[s / 10][2], .act = acts[s % 5], .add = s % 10 > 5};
        bool plain = !env->set->sandwich_forward; /* a sparse set: the derivative always follows from y */
        if (plain && p.act > LN__ACT_RELU6)
            continue;
        p.residual = s % 2 && s % 5 < 3;
        p.from_y = p.act && (p.residual || plain || (s % 3 == 0 && s % 5 < 3));
        p.frozen = s % 4 == 3;
        p.in_place = !p.add && s % 3 == 1;
        check_norm(env, p);
    }
}

static struct ln__norm_of norm_of(const struct both vec[6], int which, enum ln__act act)
{
    return (struct ln__norm_of){vec[0].at[which], vec[1].at[which], 1e-3F,           act, vec[2].at[which],
                                vec[3].at[which], vec[4].at[which], vec[5].at[which]};
}

/* Operands of a sandwich: beside the convolution's, of each norm gamma, beta, mean, variance, dgamma, dbeta. */
struct sandwich_args {
    struct conv_args conv;
    struct both dx, dy, dw, vec[2][6];
    enum ln__act act[2];
    bool fixed, in_place;
};

static void run_sandwich_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct sandwich_args *p = args;
    const struct ln__norm_of norm[2] = {norm_of(p->vec[0], which, p->act[0]), norm_of(p->vec[1], which, p->act[1])};
    set->sandwich_forward(&p->conv.conv, p->conv.n, A(p->conv.x), norm, p->fixed, A(p->conv.w), A(p->conv.y), p->conv.scratch, pool);
}

static void run_sandwich_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct sandwich_args *p = args;
    const struct ln__norm_of norm[2] = {norm_of(p->vec[0], which, p->act[0]), norm_of(p->vec[1], which, p->act[1])};
    set->sandwich_grad(&p->conv.conv, p->conv.n, A(p->conv.x), norm, A(p->conv.w), p->in_place ? A(p->dx) : A(p->dy), A(p->dx), A(p->dw),
                       p->conv.scratch, pool);
}

static void check_sandwich(struct env *env, struct sandwich_args p)
{
    const struct ln__conv *conv = &p.conv.conv;
    int n = p.conv.n, inner = conv->hi * conv->wi, outer = conv->ho * conv->wo;
    char shape[128];
    snprintf(shape, sizeof shape, "n%d %dx%dx%d k%d stride %d acts %d %d", n, conv->ci, conv->hi, conv->wi, conv->kh, conv->stride, (int)p.act[0],
             (int)p.act[1]);
    p.conv.x = activation(env, n, conv->ci, inner);
    p.conv.y = activation(env, n, conv->ci, outer);
    p.conv.w = make(env, (struct both){.kind = CONV, .conv = conv});
    p.dw = make(env, (struct both){.kind = CONV, .conv = conv});
    p.dx = activation(env, n, conv->ci, inner);
    p.dy = activation(env, n, conv->ci, outer);
    for (int i = 0; i < 12; i++)
        p.vec[i / 6][i % 6] = activation(env, 1, conv->ci, 1);
    size_t scratch = 0;
    for (int i = 0; i < 4; i++) {
        size_t one = (i % 2 ? env->set : env->ref)->sandwich_scratch(conv, i / 2, n, 4);
        scratch = one > scratch ? one : scratch;
    }
    p.conv.scratch = take(env, scratch * sizeof(float));
    if (env->poor)
        return;
    for (int i = 0; i < 2; i++)
        absolute(env, &p.vec[i][3]);
    struct both forward[] = {p.conv.y, p.vec[0][2], p.vec[0][3], p.vec[1][2], p.vec[1][3]};
    if (wanted(env, "sandwich_forward"))
        compare(env, "sandwich_forward", shape, TOLERANCE, forward, p.fixed ? 1 : 5, run_sandwich_forward, &p);
    struct both grad[] = {p.dx, p.dw, p.vec[0][4], p.vec[0][5], p.vec[1][4], p.vec[1][5]};
    for (int i = 0; i < 2; i++) { /* backward wants the statistics that belong to x */
        p.fixed = false;
        run_sandwich_forward(&p, i ? env->set : env->ref, i, NULL);
    }
    if (wanted(env, "sandwich_grad"))
        compare(env, "sandwich_grad", shape, TOLERANCE, grad, 6, run_sandwich_grad, &p);
    drop_all(env);
}

static void check_sandwiches(struct env *env)
{
    static const enum ln__act acts[] = {LN__ACT_RELU6, LN__ACT_SILU, LN__ACT_HARDSWISH, LN__ACT_NONE, LN__ACT_RELU};
    static const int sizes[][6] = {/* samples, channels, height, width, kernel, stride */
                                   {3, 24, 9, 9, 3, 1}, {2, 40, 8, 8, 5, 1}, {4, 16, 12, 12, 3, 2}, {3, 33, 10, 10, 5, 2}, {5, 7, 4, 4, 3, 1},
                                   {4, 20, 2, 2, 5, 1}, {3, 18, 7, 5, 3, 2}, {2, 9, 6, 11, 2, 1},   {36, 4, 32, 32, 3, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int *size = sizes[i];
        struct sandwich_args p = {.act = {acts[i % 5], acts[(i + 1 + i / 5) % 5]}, .fixed = i == 4, .in_place = size[5] == 1 && size[4] % 2};
        int pad = size[4] / 2, ho = (size[2] + 2 * pad - size[4]) / size[5] + 1, wo = (size[3] + 2 * pad - size[4]) / size[5] + 1;
        p.conv.n = size[0];
        p.conv.conv = (struct ln__conv){size[1], size[2], size[3], size[1], ho, wo, size[4], size[4], size[5], pad, pad, size[1]};
        check_sandwich(env, p);
    }
}

static void run_act_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->act_forward(p->act, p->n, p->c, p->hw, p->in_place ? A(p->out) : A(p->a), A(p->out), pool);
}

static void run_act_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    bool from_y = p->act == LN__ACT_RELU || p->act == LN__ACT_RELU6;
    set->act_grad(p->act, p->n, p->c, p->hw, from_y ? NULL : A(p->a), A(p->b), p->in_place ? A(p->out) : A(p->d), A(p->out), p->add, pool);
}

static void run_add(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->add(p->out.size[which], A(p->a), A(p->b), A(p->out), pool);
}

static void run_scale_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->scale_forward(p->n, p->c, p->hw, A(p->a), A(p->out2), A(p->out), pool);
}

static void run_scale_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->scale_grad(p->n, p->c, p->hw, A(p->a), A(p->out3), A(p->b), A(p->out), p->add, A(p->out2), pool);
}

static void run_global_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->globalpool_forward(p->n, p->c, p->hw, A(p->a), A(p->out2), pool);
}

static void run_global_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->globalpool_grad(p->n, p->c, p->hw, A(p->out2), A(p->out), p->add, pool);
}

static void run_dropout_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->dropout_forward(p->n, p->c, p->hw, 0.3F, p->key, 5, A(p->a), A(p->out), p->side[which], pool);
}

static void run_dropout_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->dropout_grad(p->n, p->c, p->hw, 0.3F, p->side[which], A(p->a), A(p->out), p->add, pool);
}

static void run_pack(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->pack(p->n, p->c, p->hw, p->a.at[0], A(p->out), pool);
}

static void run_unpack(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->unpack(p->n, p->c, p->hw, A(p->a), A(p->d), pool);
}

static void check_pointwise(struct env *env)
{
    static const struct {
        const char *kernel;
        run_fn *run;
        int outs; /* 1: out; 2: out and out2; -2: out2 only */
    } kernels[] = {{"add", run_add, 1},
                   {"scale_forward", run_scale_forward, 1},
                   {"scale_grad", run_scale_grad, 2},
                   {"globalpool_forward", run_global_forward, -2},
                   {"globalpool_grad", run_global_grad, 1},
                   {"dropout_forward", run_dropout_forward, 1},
                   {"dropout_grad", run_dropout_grad, 1},
                   {"pack", run_pack, 1},
                   {"unpack", run_unpack, -3}};
    for (size_t s = 0; s < SHAPES * 2; s++) {
        struct args p = {.n = shapes[s / 2][0], .c = shapes[s / 2][1], .hw = shapes[s / 2][2], .add = s % 2, .key = &env->key};
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%d add %d", p.n, p.c, p.hw, p.add);
        p.a = activation(env, p.n, p.c, p.hw);
        p.b = activation(env, p.n, p.c, p.hw);
        p.out = activation(env, p.n, p.c, p.hw);
        p.out2 = activation(env, p.n, p.c, 1);
        p.out3 = activation(env, p.n, p.c, 1);
        p.d = raw(env, (size_t)p.n * (size_t)p.c * (size_t)p.hw);
        for (int which = 0; which < 2; which++)
            p.side[which] = take(env, p.out.size[which]);
        if (env->poor)
            return;
        run_dropout_forward(&p, env->ref, 0, NULL);
        run_dropout_forward(&p, env->set, 1, NULL);
        for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
            struct both out[2] = {kernels[k].outs == -2 ? p.out2 : kernels[k].outs == -3 ? p.d : p.out, p.out2};
            if (wanted(env, kernels[k].kernel))
                compare(env, kernels[k].kernel, shape, TOLERANCE, out, kernels[k].outs == 2 ? 2 : 1, kernels[k].run, &p);
            restore(&p.out2, 1, 0);
            restore(&p.out2, 1, 1);
        }
        drop_all(env);
    }
}

static void check_acts(struct env *env)
{
    for (size_t s = 0; s < SHAPES * 7; s++) {
        struct args p = {.n = shapes[s / 7][0], .c = shapes[s / 7][1], .hw = shapes[s / 7][2], .act = (enum ln__act)(s % 7), .add = s % 3 == 0};
        p.in_place = s % 3 == 1;
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%d act %d add %d", p.n, p.c, p.hw, (int)p.act, p.add);
        p.a = activation(env, p.n, p.c, p.hw);
        p.b = activation(env, p.n, p.c, p.hw);
        p.d = activation(env, p.n, p.c, p.hw);
        p.out = activation(env, p.n, p.c, p.hw);
        if (env->poor)
            return;
        stretch(env, &p.a, 7);
        stretch(env, &p.b, 7);
        if (wanted(env, "act_forward"))
            compare(env, "act_forward", shape, TOLERANCE, &p.out, 1, run_act_forward, &p);
        if (wanted(env, "act_grad"))
            compare(env, "act_grad", shape, TOLERANCE, &p.out, 1, run_act_grad, &p);
        drop_all(env);
    }
}

/* ---- pooling ---- */
static void run_max_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    int plane = p->win.ho * p->win.wo, blocks = ln__blocks(p->c, set->lanes);
    uint8_t *index = p->side[which];
    (p->relu ? set->relu_maxpool_forward : set->maxpool_forward)(&p->win, p->n, A(p->a), A(p->out), index, pool);
    for (size_t i = 0; i < p->out.size[which]; i++) { /* indices as numbers; those of zero lanes mean nothing */
        size_t lanes = (size_t)set->lanes, channel = i / (lanes * (size_t)plane) % (size_t)blocks * lanes + i % lanes;
        A(p->out2)[i] = channel < (size_t)p->c ? (float)index[i] : 0;
    }
}

static void run_max_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->maxpool_grad(&p->win, p->n, p->side[which], A(p->out), A(p->d), p->add, pool);
}

static void run_avg_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->avgpool_forward(&p->win, p->n, A(p->a), A(p->out), pool);
}

static void run_avg_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->avgpool_grad(&p->win, p->n, A(p->out), A(p->d), p->add, pool);
}

static void check_pools(struct env *env)
{
    static const struct ln__window windows[] = {{16, 8, 8, 4, 4, 2, 2, 0, 0}, {24, 7, 9, 3, 4, 2, 2, 0, 0}, {3, 11, 11, 6, 6, 3, 2, 1, 1},
                                                {40, 5, 5, 5, 5, 3, 1, 1, 1}, {33, 4, 4, 1, 1, 4, 4, 0, 0}, {16, 32, 32, 16, 16, 2, 2, 0, 0}};
    for (size_t s = 0; s < 4 * sizeof windows / sizeof windows[0]; s++) {
        struct args p = {.win = windows[s / 4], .n = 3, .c = windows[s / 4].c, .add = s % 2, .relu = s / 2 % 2};
        if (p.relu && !env->set->relu_maxpool_forward)
            continue;
        int in = p.win.hi * p.win.wi, out = p.win.ho * p.win.wo;
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %dx%d, window %d%s", p.n, p.c, p.win.hi, p.win.wi, p.win.ho, p.win.wo, p.win.k,
                 p.relu ? ", relu" : "");
        p.a = activation(env, p.n, p.c, in);
        p.d = activation(env, p.n, p.c, in);
        p.out = activation(env, p.n, p.c, out);
        p.out2 = activation(env, p.n, p.c, out);
        for (int which = 0; which < 2; which++)
            p.side[which] = take(env, p.out.size[which]);
        if (env->poor)
            return;
        p.a.at[0][in / 2] = p.a.at[0][in] = NAN; /* of the first channels, a plane each */
        to_set(env, &p.a, p.a.at[0], p.a.at[1]);
        run_max_forward(&p, env->ref, 0, NULL);
        run_max_forward(&p, env->set, 1, NULL);
        if (wanted(env, "maxpool_forward"))
            compare(env, p.relu ? "relu_maxpool_forward" : "maxpool_forward", shape, 0, (struct both[]){p.out, p.out2}, 2, run_max_forward, &p);
        if (wanted(env, "maxpool_grad"))
            compare(env, "maxpool_grad", shape, TOLERANCE, &p.d, 1, run_max_grad, &p);
        if (wanted(env, "avgpool_forward"))
            compare(env, "avgpool_forward", shape, TOLERANCE, &p.out, 1, run_avg_forward, &p);
        if (wanted(env, "avgpool_grad"))
            compare(env, "avgpool_grad", shape, TOLERANCE, &p.d, 1, run_avg_grad, &p);
        drop_all(env);
    }
}

/* ---- vectors ---- */
static void run_sgd(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->sgd(p->size, &p->sgd, A(p->a), A(p->out), p->residual ? A(p->out2) : NULL, pool);
}

static void run_adam(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->adam(p->size, &p->adam, A(p->a), A(p->out), A(p->out2), A(p->out3), pool);
}

static void run_proximal(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->proximal(p->size, 0.1F, A(p->a), A(p->b), A(p->out), pool);
}

static void run_loss(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    (void)pool;
    const struct args *p = args;
    int correct = 0;
    double loss = set->softmax_loss(p->n, p->c, A(p->a), p->label, A(p->out), &correct);
    A(p->d)[0] = (float)loss;
    A(p->d)[1] = (float)correct;
}

static void run_f16(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    uint16_t *half = p->side[0];
    set->to_f16(p->size, A(p->a) + 1, half, pool);
    set->from_f16(p->size, half, A(p->out), pool);
    for (size_t i = 0; i < p->size; i++)
        A(p->out2)[i] = (float)half[i];
}

static void run_fold(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    int64_t *sum = p->side[0];
    memset(sum, 0, p->size * sizeof *sum);
    for (int i = 0; i < 3; i++)
        set->fold_add(p->size, A(p->a) + i, p->scale * (i + 1), sum, pool);
    set->fold_read(p->size, sum, 1 / p->scale, A(p->out), pool);
    for (size_t i = 0; i < p->size; i++)
        A(p->out2)[i] = (float)(sum[i] & 0xffff);
}

static void run_limits(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    float *out = A(p->out), *x = A(p->a) + 1;
    out[0] = set->max_abs(p->size, x, pool);
    out[1] = set->fold_check(p->size, x, out[0], pool);
    out[2] = set->fold_check(p->size, x, out[0] * 0.999F, pool);
    size_t place = p->size * 2 / 3;
    float kept = x[place];
    for (int i = 0; i < 3; i++) {
        x[place] = i == 0 ? NAN : i == 1 ? -INFINITY : -NAN;
        out[3 + 2 * i] = set->fold_check(p->size, x, INFINITY, pool);
        out[4 + 2 * i] = set->max_abs(p->size, x, pool);
    }
    x[place] = kept;
}

static void check_loss(struct env *env)
{
    static const int classes[] = {10, 16, 3, 100, 37};
    for (size_t s = 0; s < sizeof classes / sizeof classes[0] && wanted(env, "softmax_loss"); s++) {
        struct args p = {.n = 13, .c = classes[s]};
        int32_t label[13];
        for (int i = 0; i < 13; i++)
            label[i] = i * 7 % classes[s];
        p.label = label;
        char shape[96];
        snprintf(shape, sizeof shape, "n13, %d classes", classes[s]);
        p.a = activation(env, p.n, p.c, 1);
        p.out = activation(env, p.n, p.c, 1);
        p.d = raw(env, 2);
        if (env->poor)
            return;
        stretch(env, &p.a, 20);
        compare(env, "softmax_loss", shape, TOLERANCE, (struct both[]){p.out, p.d}, 2, run_loss, &p);
        drop_all(env);
    }
}

static void check_vectors(struct env *env)
{
    static const size_t sizes[] = {1, 7, 64, 1000, 70001};
    static const struct {
        const char *kernel;
        run_fn *run;
        int outs;
        double tolerance;
    } kernels[] = {{"sgd", run_sgd, 2, 1e-6}, {"adam", run_adam, 3, 1e-5},  {"proximal", run_proximal, 1, 1e-6},
                   {"f16", run_f16, 2, 0},    {"fold_add", run_fold, 2, 0}, {"fold_check", run_limits, 1, 0}};
    for (size_t s = 0; s < 4 * sizeof sizes / sizeof sizes[0]; s++) {
        struct args p = {.size = sizes[s / 4], .residual = s % 4 != 3, .scale = s % 2 ? 1 << 20 : 0x1p52};
        p.sgd = (struct ln__sgd){.lr = 0.1F, .momentum = s % 4 == 3 ? 0 : 0.9F, .weight_decay = s % 2 ? 5e-4F : 0, .nesterov = s % 4 == 2};
        p.adam = (struct ln__adam){.lr = 0.01F, .beta1 = 0.9F, .beta2 = 0.999F, .eps = 1e-8F, .weight_decay = s % 2 ? 0.01F : 0, .step = s + 1};
        char shape[96];
        snprintf(shape, sizeof shape, "%zu floats, options %zu", p.size, s % 4);
        p.a = raw(env, p.size + 8);
        p.b = raw(env, p.size);
        p.out = raw(env, p.size + 16);
        p.out2 = raw(env, p.size);
        p.out3 = raw(env, p.size);
        p.side[0] = take(env, p.size * 8);
        if (env->poor)
            return;
        for (size_t i = 0; i < p.size && s % 4 == 1; i++) { /* all of binary16's range, and beyond */
            uint32_t bits = (uint32_t)(i * 2654435761U);
            memcpy(&p.a.at[0][i + 1], &bits, sizeof bits);
            if (s / 4 < 3 && !isfinite(p.a.at[0][i + 1]))
                p.a.at[0][i + 1] = 70000;
        }
        memcpy(p.a.at[1], p.a.at[0], p.a.size[0] * sizeof(float));
        for (size_t i = 0; i < p.size; i++)
            p.out3.start[0][i] = p.out3.start[1][i] = fabsf(p.out3.start[0][i]);
        for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
            bool tame = k == 3 || (k == 5 && p.size > 1) || s % 4 != 1;
            if (wanted(env, kernels[k].kernel) && tame)
                compare(env, kernels[k].kernel, shape, kernels[k].tolerance, (struct both[]){p.out, p.out2, p.out3}, kernels[k].outs, kernels[k].run,
                        &p);
        }
        drop_all(env);
    }
}

int ln__kernels_check(const struct ln__kset *set, const char *filter, ln__kernel_report *report, void *context)
{
    struct env env = {.set = set, .ref = ln__kset_named(set->bf16 ? "ref-bf16" : "ref"), .filter = filter, .report = report, .context = context};
    env.key = (struct ln__key){.seed = 1, .purpose = LN__FOR_TEST};
    for (unsigned i = 0; i < WIDTHS; i++) {
        if (ln__pool_new(i + 2, &env.pool[i]) < 0)
            env.poor = true;
    }
    if (!env.poor)
        check_convs(&env);
    if (!env.poor && !set->bf16) { /* the rest of a bf16 set is its float set's */
        check_norms(&env);
        if (set->sandwich_forward)
            check_sandwiches(&env);
        check_acts(&env);
        check_pointwise(&env);
        check_pools(&env);
        check_loss(&env);
        check_vectors(&env);
    }
    drop_all(&env);
    for (int i = 0; i < WIDTHS; i++)
        ln__pool_free(env.pool[i]);
    return env.poor ? LN_ENOMEM : env.failed;
}
