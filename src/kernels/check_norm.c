/* Batch norms with what is behind them, alone and around a depthwise convolution. */
#include "kernels/checking.h"
#include <math.h>
#include <stdio.h>

struct args {
    int n, c, hw;
    enum ln__act act;
    bool add, frozen, residual, in_place, from_y;
    struct ln__operand a, b, d, e, f, g, h, out, out2, out3, out4;
};

static void run_norm_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_forward(p->n, p->c, p->hw, p->in_place ? AT(p->out) : AT(p->a), AT(p->f), AT(p->g), 1e-5F, p->act, p->residual ? AT(p->b) : NULL,
                      AT(p->out), AT(p->out2), AT(p->out3), pool);
}

static void run_norm_apply(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_apply(p->n, p->c, p->hw, AT(p->a), AT(p->d), AT(p->e), AT(p->f), AT(p->g), 1e-5F, p->act, p->residual ? AT(p->b) : NULL, AT(p->out),
                    pool);
}

static void run_norm_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->norm_grad(p->n, p->c, p->hw, AT(p->a), p->from_y ? AT(p->b) : NULL, p->in_place ? AT(p->out) : AT(p->g), AT(p->d), AT(p->e), AT(p->f),
                   AT(p->h), 1e-5F, p->act, p->frozen, AT(p->out), p->add, p->residual ? AT(p->out2) : NULL, p->add, AT(p->out3), AT(p->out4), pool);
}

static void absolute(struct ln__check *check, struct ln__operand *operand)
{
    for (size_t i = 0; i < operand->size[0]; i++)
        operand->at[0][i] = fabsf(operand->at[0][i]) + 0.1F;
    ln__check_to_set(check, operand, operand->at[0], operand->at[1]);
}

static void check_norm(struct ln__check *check, struct args p)
{
    char shape[96];
    snprintf(shape, sizeof shape, "n%d %dx%d act %d residual %d add %d", p.n, p.c, p.hw, (int)p.act, p.residual, p.add);
    p.a = ln__check_activation(check, p.n, p.c, p.hw);
    p.b = ln__check_activation(check, p.n, p.c, p.hw);
    p.out = ln__check_activation(check, p.n, p.c, p.hw);
    struct ln__operand *vec[] = {&p.d, &p.e, &p.f, &p.g, &p.h, &p.out2, &p.out3, &p.out4};
    for (int i = 0; i < 8; i++)
        *vec[i] = ln__check_activation(check, 1, p.c, 1);
    if (check->poor)
        return;
    absolute(check, &p.e);
    if (ln__check_wants(check, "norm_apply"))
        ln__check_compare(check, "norm_apply", shape, LN__CHECK_TOLERANCE, (struct ln__operand[]){p.out}, 1, run_norm_apply, &p);
    if (ln__check_wants(check, "norm_forward"))
        ln__check_compare(check, "norm_forward", shape, LN__CHECK_TOLERANCE, (struct ln__operand[]){p.out, p.out2, p.out3}, 3, run_norm_forward, &p);
    p.g = ln__check_activation(check, p.n, p.c, p.hw);
    p.out2 = ln__check_activation(check, p.n, p.c, p.hw);
    if (check->poor)
        return;
    ln__check_stretch(check, &p.b, 7);
    if (ln__check_wants(check, "norm_grad"))
        ln__check_compare(check, "norm_grad", shape, LN__CHECK_TOLERANCE, (struct ln__operand[]){p.out, p.out3, p.out4, p.out2}, p.residual ? 4 : 3,
                          run_norm_grad, &p);
    ln__check_drop(check);
}

void ln__check_norms(struct ln__check *check)
{
    static const enum ln__act acts[] = {LN__ACT_NONE, LN__ACT_RELU, LN__ACT_RELU6, LN__ACT_HARDSWISH, LN__ACT_SILU};
    for (size_t s = 0; s < LN__CHECK_SHAPES * 10; s++) {
        struct args p = {.n = ln__check_shapes[s / 10][0],
                         .c = ln__check_shapes[s / 10][1],
                         .hw = ln__check_shapes[s / 10][2],
                         .act = acts[s % 5],
                         .add = s % 10 > 5};
        bool plain = !check->set->sandwich_forward; /* a sparse set: the derivative always follows from y */
        if (plain && p.act > LN__ACT_RELU6)
            continue;
        p.residual = s % 2 && s % 5 < 3;
        p.from_y = p.act && (p.residual || plain || (s % 3 == 0 && s % 5 < 3));
        p.frozen = s % 4 == 3;
        p.in_place = !p.add && s % 3 == 1;
        check_norm(check, p);
    }
}

static struct ln__norm_of norm_of(const struct ln__operand vec[6], int which, enum ln__act act)
{
    return (struct ln__norm_of){vec[0].at[which], vec[1].at[which], 1e-3F,           act, vec[2].at[which],
                                vec[3].at[which], vec[4].at[which], vec[5].at[which]};
}

/* Of each norm gamma, beta, mean, variance, dgamma, dbeta. */
struct sandwich_args {
    struct ln__conv conv;
    int n;
    struct ln__operand x, w, y, dx, dy, dw, vec[2][6];
    enum ln__act act[2];
    bool fixed, in_place;
    float *scratch;
};

static void run_sandwich_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct sandwich_args *p = args;
    const struct ln__norm_of norm[2] = {norm_of(p->vec[0], which, p->act[0]), norm_of(p->vec[1], which, p->act[1])};
    set->sandwich_forward(&p->conv, p->n, AT(p->x), norm, p->fixed, AT(p->w), AT(p->y), p->scratch, pool);
}

static void run_sandwich_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct sandwich_args *p = args;
    const struct ln__norm_of norm[2] = {norm_of(p->vec[0], which, p->act[0]), norm_of(p->vec[1], which, p->act[1])};
    set->sandwich_grad(&p->conv, p->n, AT(p->x), norm, AT(p->w), p->in_place ? AT(p->dx) : AT(p->dy), AT(p->dx), AT(p->dw), p->scratch, pool);
}

static void check_sandwich(struct ln__check *check, struct sandwich_args p)
{
    const struct ln__conv *conv = &p.conv;
    int n = p.n, inner = conv->hi * conv->wi, outer = conv->ho * conv->wo;
    char shape[128];
    snprintf(shape, sizeof shape, "n%d %dx%dx%d k%d stride %d acts %d %d", n, conv->ci, conv->hi, conv->wi, conv->kh, conv->stride, (int)p.act[0],
             (int)p.act[1]);
    p.x = ln__check_activation(check, n, conv->ci, inner);
    p.y = ln__check_activation(check, n, conv->ci, outer);
    p.w = ln__check_operand(check, (struct ln__operand){.kind = LN__CONV, .conv = conv});
    p.dw = ln__check_operand(check, (struct ln__operand){.kind = LN__CONV, .conv = conv});
    p.dx = ln__check_activation(check, n, conv->ci, inner);
    p.dy = ln__check_activation(check, n, conv->ci, outer);
    for (int i = 0; i < 12; i++)
        p.vec[i / 6][i % 6] = ln__check_activation(check, 1, conv->ci, 1);
    size_t scratch = 0;
    for (int i = 0; i < 4; i++) {
        size_t one = (i % 2 ? check->set : check->ref)->sandwich_scratch(conv, i / 2, n, 4);
        scratch = one > scratch ? one : scratch;
    }
    p.scratch = ln__check_take(check, scratch * sizeof(float));
    if (check->poor)
        return;
    for (int i = 0; i < 2; i++)
        absolute(check, &p.vec[i][3]);
    struct ln__operand forward[] = {p.y, p.vec[0][2], p.vec[0][3], p.vec[1][2], p.vec[1][3]};
    if (ln__check_wants(check, "sandwich_forward"))
        ln__check_compare(check, "sandwich_forward", shape, LN__CHECK_TOLERANCE, forward, p.fixed ? 1 : 5, run_sandwich_forward, &p);
    struct ln__operand grad[] = {p.dx, p.dw, p.vec[0][4], p.vec[0][5], p.vec[1][4], p.vec[1][5]};
    for (int i = 0; i < 2; i++) { /* backward wants the statistics that belong to x */
        p.fixed = false;
        run_sandwich_forward(&p, i ? check->set : check->ref, i, NULL);
    }
    if (ln__check_wants(check, "sandwich_grad"))
        ln__check_compare(check, "sandwich_grad", shape, LN__CHECK_TOLERANCE, grad, 6, run_sandwich_grad, &p);
    ln__check_drop(check);
}

void ln__check_sandwiches(struct ln__check *check)
{
    static const enum ln__act acts[] = {LN__ACT_RELU6, LN__ACT_SILU, LN__ACT_HARDSWISH, LN__ACT_NONE, LN__ACT_RELU};
    static const int sizes[][6] = {/* samples, channels, height, width, kernel, stride */
                                   {3, 24, 9, 9, 3, 1}, {2, 40, 8, 8, 5, 1}, {4, 16, 12, 12, 3, 2}, {3, 33, 10, 10, 5, 2}, {5, 7, 4, 4, 3, 1},
                                   {4, 20, 2, 2, 5, 1}, {3, 18, 7, 5, 3, 2}, {2, 9, 6, 11, 2, 1},   {36, 4, 32, 32, 3, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int *size = sizes[i];
        struct sandwich_args p = {.act = {acts[i % 5], acts[(i + 1 + i / 5) % 5]}, .fixed = i == 4, .in_place = size[5] == 1 && size[4] % 2};
        int pad = size[4] / 2, ho = (size[2] + 2 * pad - size[4]) / size[5] + 1, wo = (size[3] + 2 * pad - size[4]) / size[5] + 1;
        p.n = size[0];
        p.conv = (struct ln__conv){size[1], size[2], size[3], size[1], ho, wo, size[4], size[4], size[5], pad, pad, size[1]};
        check_sandwich(check, p);
    }
}
