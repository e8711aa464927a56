/* What works on activations alone: functions of one value, sums, scales, dropout, layouts, pools. */
#include "kernels/checking.h"
#include <math.h>
#include <stdio.h>

struct args {
    int n, c, hw;
    enum ln__act act;
    bool add, in_place, relu;
    struct ln__operand a, b, d, out, out2, out3;
    struct ln__window win;
    const struct ln__key *key;
    void *side[2]; /* bytes beside the floats */
};

static void run_act_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->act_forward(p->act, p->n, p->c, p->hw, p->in_place ? AT(p->out) : AT(p->a), AT(p->out), pool);
}

static void run_act_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    bool from_y = p->act == LN__ACT_RELU || p->act == LN__ACT_RELU6;
    set->act_grad(p->act, p->n, p->c, p->hw, from_y ? NULL : AT(p->a), AT(p->b), p->in_place ? AT(p->out) : AT(p->d), AT(p->out), p->add, pool);
}

static void run_add(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->add(p->out.size[which], AT(p->a), AT(p->b), AT(p->out), pool);
}

static void run_scale_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->scale_forward(p->n, p->c, p->hw, AT(p->a), AT(p->out2), AT(p->out), pool);
}

static void run_scale_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->scale_grad(p->n, p->c, p->hw, AT(p->a), AT(p->out3), AT(p->b), AT(p->out), p->add, AT(p->out2), pool);
}

static void run_global_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->globalpool_forward(p->n, p->c, p->hw, AT(p->a), AT(p->out2), pool);
}

static void run_global_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->globalpool_grad(p->n, p->c, p->hw, AT(p->out2), AT(p->out), p->add, pool);
}

static void run_dropout_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->dropout_forward(p->n, p->c, p->hw, 0.3F, p->key, 5, AT(p->a), AT(p->out), p->side[which], pool);
}

static void run_dropout_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->dropout_grad(p->n, p->c, p->hw, 0.3F, p->side[which], AT(p->a), AT(p->out), p->add, pool);
}

static void run_pack(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->pack(p->n, p->c, p->hw, p->a.at[0], AT(p->out), pool);
}

static void run_unpack(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->unpack(p->n, p->c, p->hw, AT(p->a), AT(p->d), pool);
}

void ln__check_pointwise(struct ln__check *check)
{
    static const struct {
        const char *kernel;
        ln__check_run *run;
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
    for (size_t s = 0; s < LN__CHECK_SHAPES * 2; s++) {
        struct args p = {
            .n = ln__check_shapes[s / 2][0], .c = ln__check_shapes[s / 2][1], .hw = ln__check_shapes[s / 2][2], .add = s % 2, .key = &check->key};
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%d add %d", p.n, p.c, p.hw, p.add);
        p.a = ln__check_activation(check, p.n, p.c, p.hw);
        p.b = ln__check_activation(check, p.n, p.c, p.hw);
        p.out = ln__check_activation(check, p.n, p.c, p.hw);
        p.out2 = ln__check_activation(check, p.n, p.c, 1);
        p.out3 = ln__check_activation(check, p.n, p.c, 1);
        p.d = ln__check_raw(check, (size_t)p.n * (size_t)p.c * (size_t)p.hw);
        for (int which = 0; which < 2; which++)
            p.side[which] = ln__check_take(check, p.out.size[which]);
        if (check->poor)
            return;
        run_dropout_forward(&p, check->ref, 0, NULL);
        run_dropout_forward(&p, check->set, 1, NULL);
        for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++) {
            struct ln__operand out[2] = {kernels[k].outs == -2 ? p.out2 : kernels[k].outs == -3 ? p.d : p.out, p.out2};
            if (ln__check_wants(check, kernels[k].kernel))
                ln__check_compare(check, kernels[k].kernel, shape, LN__CHECK_TOLERANCE, out, kernels[k].outs == 2 ? 2 : 1, kernels[k].run, &p);
            ln__check_restore(&p.out2, 1, 0);
            ln__check_restore(&p.out2, 1, 1);
        }
        ln__check_drop(check);
    }
}

void ln__check_acts(struct ln__check *check)
{
    for (size_t s = 0; s < LN__CHECK_SHAPES * 7; s++) {
        struct args p = {.n = ln__check_shapes[s / 7][0],
                         .c = ln__check_shapes[s / 7][1],
                         .hw = ln__check_shapes[s / 7][2],
                         .act = (enum ln__act)(s % 7),
                         .add = s % 3 == 0};
        p.in_place = s % 3 == 1;
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%d act %d add %d", p.n, p.c, p.hw, (int)p.act, p.add);
        p.a = ln__check_activation(check, p.n, p.c, p.hw);
        p.b = ln__check_activation(check, p.n, p.c, p.hw);
        p.d = ln__check_activation(check, p.n, p.c, p.hw);
        p.out = ln__check_activation(check, p.n, p.c, p.hw);
        if (check->poor)
            return;
        ln__check_stretch(check, &p.a, 7);
        ln__check_stretch(check, &p.b, 7);
        if (ln__check_wants(check, "act_forward"))
            ln__check_compare(check, "act_forward", shape, LN__CHECK_TOLERANCE, &p.out, 1, run_act_forward, &p);
        if (ln__check_wants(check, "act_grad"))
            ln__check_compare(check, "act_grad", shape, LN__CHECK_TOLERANCE, &p.out, 1, run_act_grad, &p);
        ln__check_drop(check);
    }
}

/* ---- pooling ---- */
static void run_max_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    int plane = p->win.ho * p->win.wo, blocks = ln__blocks(p->c, set->lanes);
    uint8_t *index = p->side[which];
    (p->relu ? set->relu_maxpool_forward : set->maxpool_forward)(&p->win, p->n, AT(p->a), AT(p->out), index, pool);
    for (size_t i = 0; i < p->out.size[which]; i++) { /* indices as numbers; those of zero lanes mean nothing */
        size_t lanes = (size_t)set->lanes, channel = i / (lanes * (size_t)plane) % (size_t)blocks * lanes + i % lanes;
        AT(p->out2)[i] = channel < (size_t)p->c ? (float)index[i] : 0;
    }
}

static void run_max_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->maxpool_grad(&p->win, p->n, p->side[which], AT(p->out), AT(p->d), p->add, pool);
}

static void run_avg_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->avgpool_forward(&p->win, p->n, AT(p->a), AT(p->out), pool);
}

static void run_avg_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->avgpool_grad(&p->win, p->n, AT(p->out), AT(p->d), p->add, pool);
}

void ln__check_pools(struct ln__check *check)
{
    static const struct ln__window windows[] = {{16, 8, 8, 4, 4, 2, 2, 0, 0}, {24, 7, 9, 3, 4, 2, 2, 0, 0}, {3, 11, 11, 6, 6, 3, 2, 1, 1},
                                                {40, 5, 5, 5, 5, 3, 1, 1, 1}, {33, 4, 4, 1, 1, 4, 4, 0, 0}, {16, 32, 32, 16, 16, 2, 2, 0, 0}};
    for (size_t s = 0; s < 4 * sizeof windows / sizeof windows[0]; s++) {
        struct args p = {.win = windows[s / 4], .n = 3, .c = windows[s / 4].c, .add = s % 2, .relu = s / 2 % 2};
        if (p.relu && !check->set->relu_maxpool_forward)
            continue;
        int in = p.win.hi * p.win.wi, out = p.win.ho * p.win.wo;
        char shape[96];
        snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %dx%d, window %d%s", p.n, p.c, p.win.hi, p.win.wi, p.win.ho, p.win.wo, p.win.k,
                 p.relu ? ", relu" : "");
        p.a = ln__check_activation(check, p.n, p.c, in);
        p.d = ln__check_activation(check, p.n, p.c, in);
        p.out = ln__check_activation(check, p.n, p.c, out);
        p.out2 = ln__check_activation(check, p.n, p.c, out);
        for (int which = 0; which < 2; which++)
            p.side[which] = ln__check_take(check, p.out.size[which]);
        if (check->poor)
            return;
        p.a.at[0][in / 2] = p.a.at[0][in] = NAN; /* of the first channels, a plane each */
        ln__check_to_set(check, &p.a, p.a.at[0], p.a.at[1]);
        run_max_forward(&p, check->ref, 0, NULL);
        run_max_forward(&p, check->set, 1, NULL);
        if (ln__check_wants(check, "maxpool_forward"))
            ln__check_compare(check, p.relu ? "relu_maxpool_forward" : "maxpool_forward", shape, 0, (struct ln__operand[]){p.out, p.out2}, 2,
                              run_max_forward, &p);
        if (ln__check_wants(check, "maxpool_grad"))
            ln__check_compare(check, "maxpool_grad", shape, LN__CHECK_TOLERANCE, &p.d, 1, run_max_grad, &p);
        if (ln__check_wants(check, "avgpool_forward"))
            ln__check_compare(check, "avgpool_forward", shape, LN__CHECK_TOLERANCE, &p.out, 1, run_avg_forward, &p);
        if (ln__check_wants(check, "avgpool_grad"))
            ln__check_compare(check, "avgpool_grad", shape, LN__CHECK_TOLERANCE, &p.d, 1, run_avg_grad, &p);
        ln__check_drop(check);
    }
}
