/* Rows of numbers: optimisers, halves, the fold, the loss. */
#include "kernels/checking.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct args {
    int n, c; /* of the loss */
    const int32_t *label;
    size_t size;
    bool residual;
    struct ln__operand a, b, d, out, out2, out3;
    struct ln__sgd sgd;
    struct ln__adam adam;
    double scale;
    void *side; /* halves or integers beside the floats */
};

static void run_sgd(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->sgd(p->size, &p->sgd, AT(p->a), AT(p->out), p->residual ? AT(p->out2) : NULL, pool);
}

static void run_adam(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->adam(p->size, &p->adam, AT(p->a), AT(p->out), AT(p->out2), AT(p->out3), pool);
}

static void run_proximal(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    set->proximal(p->size, 0.1F, AT(p->a), AT(p->b), AT(p->out), pool);
}

static void run_loss(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    (void)pool;
    const struct args *p = args;
    int correct = 0;
    double loss = set->softmax_loss(p->n, p->c, AT(p->a), p->label, AT(p->out), &correct);
    AT(p->d)[0] = (float)loss;
    AT(p->d)[1] = (float)correct;
}

static void run_f16(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    uint16_t *half = p->side;
    set->to_f16(p->size, AT(p->a) + 1, half, pool);
    set->from_f16(p->size, half, AT(p->out), pool);
    for (size_t i = 0; i < p->size; i++)
        AT(p->out2)[i] = (float)half[i];
}

static void run_fold(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    int64_t *sum = p->side;
    memset(sum, 0, p->size * sizeof *sum);
    for (int i = 0; i < 3; i++)
        set->fold_add(p->size, AT(p->a) + i, p->scale * (i + 1), sum, pool);
    set->fold_read(p->size, sum, 1 / p->scale, AT(p->out), pool);
    for (size_t i = 0; i < p->size; i++)
        AT(p->out2)[i] = (float)(sum[i] & 0xffff);
}

static void run_limits(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct args *p = args;
    float *out = AT(p->out), *x = AT(p->a) + 1;
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

void ln__check_loss(struct ln__check *check)
{
    static const int classes[] = {10, 16, 3, 100, 37};
    for (size_t s = 0; s < sizeof classes / sizeof classes[0] && ln__check_wants(check, "softmax_loss"); s++) {
        struct args p = {.n = 13, .c = classes[s]};
        int32_t label[13];
        for (int i = 0; i < 13; i++)
            label[i] = i * 7 % classes[s];
        p.label = label;
        char shape[96];
        snprintf(shape, sizeof shape, "n13, %d classes", classes[s]);
        p.a = ln__check_activation(check, p.n, p.c, 1);
        p.out = ln__check_activation(check, p.n, p.c, 1);
        p.d = ln__check_raw(check, 2);
        if (check->poor)
            return;
        ln__check_stretch(check, &p.a, 20);
        ln__check_compare(check, "softmax_loss", shape, LN__CHECK_TOLERANCE, (struct ln__operand[]){p.out, p.d}, 2, run_loss, &p);
        ln__check_drop(check);
    }
}

void ln__check_vectors(struct ln__check *check)
{
    static const size_t sizes[] = {1, 7, 64, 1000, 70001};
    static const struct {
        const char *kernel;
        ln__check_run *run;
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
        p.a = ln__check_raw(check, p.size + 8);
        p.b = ln__check_raw(check, p.size);
        p.out = ln__check_raw(check, p.size + 16);
        p.out2 = ln__check_raw(check, p.size);
        p.out3 = ln__check_raw(check, p.size);
        p.side = ln__check_take(check, p.size * 8);
        if (check->poor)
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
            if (ln__check_wants(check, kernels[k].kernel) && tame)
                ln__check_compare(check, kernels[k].kernel, shape, kernels[k].tolerance, (struct ln__operand[]){p.out, p.out2, p.out3},
                                  kernels[k].outs, kernels[k].run, &p);
        }
        ln__check_drop(check);
    }
}
