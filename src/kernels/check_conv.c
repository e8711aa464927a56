/* Convolutions and linear layers. */
#include "kernels/bf16.h"
#include "kernels/checking.h"
#include <stdio.h>

struct conv_args {
    struct ln__conv conv;
    struct ln__linear linear;
    int n;
    bool add, bias, input, keep, move; /* the last three: which gradients a linear layer's backward makes, and where */
    struct ln__operand x, w, b, y, dx, dw;
    float *scratch, *spare; /* the set's, the reference's */
};

static void run_conv_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_forward(&a->conv, a->n, AT(a->x), AT(a->w), a->bias ? AT(a->b) : NULL, AT(a->y), a->scratch, pool);
}

static void run_conv_input_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_input_grad(&a->conv, a->n, AT(a->y), AT(a->w), AT(a->x), a->add, a->scratch, pool);
}

static void run_conv_weight_grad(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->conv_weight_grad(&a->conv, a->n, AT(a->x), AT(a->y), AT(a->w), a->bias ? AT(a->b) : NULL, a->scratch, pool);
}

static void run_linear_forward(const void *args, const struct ln__kset *set, int which, struct ln__pool *pool)
{
    const struct conv_args *a = args;
    set->linear_forward(&a->linear, a->n, AT(a->x), AT(a->w), a->bias ? AT(a->b) : NULL, AT(a->y), which ? a->scratch : a->spare, pool);
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
    struct moves moves = {{move}, AT(a->w)};
    set->linear_backward(&a->linear, a->n, AT(a->x), AT(a->y), AT(a->w), a->input ? AT(a->dx) : NULL, a->add, a->keep ? AT(a->dw) : NULL,
                         a->bias ? AT(a->b) : NULL, a->move ? &moves.sink : NULL, which ? a->scratch : a->spare, pool);
}

/* Samples, shape, and channels; scratch is asked for two samples more, as a net does whose last batch is short. */
static void conv_case(struct ln__check *check, int n, struct ln__conv conv)
{
    static const struct {
        const char *kernel;
        enum ln__pass pass;
        ln__check_run *run;
    } pass[] = {{"conv_forward", LN__FORWARD, run_conv_forward},
                {"conv_input_grad", LN__INPUT_GRAD, run_conv_input_grad},
                {"conv_weight_grad", LN__WEIGHT_GRAD, run_conv_weight_grad}};
    char shape[128];
    snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %dx%dx%d, %dx%d stride %d groups %d", n, conv.ci, conv.hi, conv.wi, conv.co, conv.ho, conv.wo,
             conv.kh, conv.kw, conv.stride, conv.groups);
    for (int p = 0; p < 3; p++) {
        bool own = !check->set->bf16 || ln__bf16_takes(&conv); /* else it is the float set's */
        for (int option = 0; option < 2 && own && ln__check_wants(check, pass[p].kernel); option++) {
            struct conv_args a = {.conv = conv, .n = n, .add = option, .bias = !option};
            a.x = ln__check_activation(check, n, conv.ci, conv.hi * conv.wi);
            a.y = ln__check_activation(check, n, conv.co, conv.ho * conv.wo);
            a.w = ln__check_operand(check, (struct ln__operand){.kind = LN__CONV, .conv = &conv});
            a.b = ln__check_activation(check, 1, conv.co, 1);
            size_t sets = check->set->conv_scratch(&conv, pass[p].pass, n + 2, 3), refs = check->ref->conv_scratch(&conv, pass[p].pass, n, 1);
            a.scratch = ln__check_take(check, (sets > refs ? sets : refs) * sizeof(float));
            struct ln__operand out[2] = {p == 0 ? a.y : p == 1 ? a.x : a.w, a.b};
            if (!check->poor)
                ln__check_compare(check, pass[p].kernel, shape, LN__CHECK_TOLERANCE, out, p == 2 && a.bias ? 2 : 1, pass[p].run, &a);
            ln__check_drop(check);
        }
    }
}

/* Forward with and without bias; backward with all gradients, with dx alone, with dw alone, and with weights that move meanwhile. */
static void linear_case(struct ln__check *check, int n, struct ln__linear linear)
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
        if (!ln__check_wants(check, kernel))
            continue;
        snprintf(shape, sizeof shape, "n%d %dx%dx%d -> %d, way %d", n, linear.ci, linear.hi, linear.wi, linear.co, h);
        a.linear = linear;
        a.n = n;
        a.x = ln__check_activation(check, n, linear.ci, linear.hi * linear.wi);
        a.y = ln__check_activation(check, n, linear.co, 1);
        a.dx = ln__check_activation(check, n, linear.ci, linear.hi * linear.wi);
        a.w = ln__check_operand(check, (struct ln__operand){.kind = LN__LINEAR, .linear = &linear});
        a.dw = ln__check_operand(check, (struct ln__operand){.kind = LN__LINEAR, .linear = &linear});
        a.b = ln__check_activation(check, 1, linear.co, 1);
        enum ln__pass pass = h < 2 ? LN__FORWARD : LN__WEIGHT_GRAD;
        a.scratch = ln__check_take(check, check->set->linear_scratch(&linear, pass, n + 2, 3) * sizeof(float));
        a.spare = ln__check_take(check, check->ref->linear_scratch(&linear, pass, n, 1) * sizeof(float));
        if (!check->poor && h < 2)
            ln__check_compare(check, kernel, shape, LN__CHECK_TOLERANCE, &a.y, 1, run_linear_forward, &a);
        else if (!check->poor)
            ln__check_compare(check, kernel, shape, LN__CHECK_TOLERANCE, (struct ln__operand[]){a.dx, a.dw, a.w, a.b}, 4, run_linear_backward, &a);
        ln__check_drop(check);
    }
}

static struct ln__conv square(int ci, int hi, int co, int k, int stride, int pad, int groups)
{
    int ho = (hi + 2 * pad - k) / stride + 1;
    return (struct ln__conv){ci, hi, hi, co, ho, ho, k, k, stride, pad, pad, groups};
}

void ln__check_convs(struct ln__check *check)
{
    conv_case(check, 2, square(3, 12, 20, 3, 1, 1, 1));
    conv_case(check, 3, square(3, 17, 32, 5, 1, 2, 1));
    conv_case(check, 2, square(1, 14, 7, 5, 1, 0, 1));
    conv_case(check, 2, square(32, 16, 64, 5, 1, 2, 1));
    conv_case(check, 3, square(20, 11, 40, 5, 1, 2, 1));
    conv_case(check, 1, square(80, 9, 24, 5, 1, 0, 1));
    conv_case(check, 3, square(64, 8, 64, 3, 1, 1, 1));
    conv_case(check, 9, square(256, 4, 40, 3, 1, 1, 1));
    conv_case(check, 2, square(16, 32, 48, 3, 1, 1, 1));
    conv_case(check, 10, square(40, 4, 72, 3, 1, 1, 1));
    conv_case(check, 5, square(64, 2, 64, 3, 1, 1, 1));
    conv_case(check, 2, square(256, 8, 48, 3, 1, 1, 1));
    conv_case(check, 3, square(33, 7, 17, 3, 1, 1, 1));
    conv_case(check, 3, square(40, 14, 36, 3, 1, 0, 1));
    conv_case(check, 2, square(32, 11, 33, 3, 1, 2, 1));
    conv_case(check, 2, square(64, 13, 40, 3, 1, 1, 1));
    conv_case(check, 4, square(48, 6, 32, 3, 1, 1, 1));
    conv_case(check, 7, square(64, 1, 32, 3, 1, 1, 1));
    conv_case(check, 2, square(24, 9, 40, 3, 2, 1, 1));
    conv_case(check, 3, square(32, 8, 64, 3, 2, 1, 1));
    conv_case(check, 1, square(3, 30, 16, 7, 2, 3, 1));
    conv_case(check, 2, square(3, 23, 16, 11, 4, 2, 1));
    conv_case(check, 2, square(20, 11, 20, 2, 3, 0, 1));
    conv_case(check, 3, square(64, 8, 96, 1, 1, 0, 1));
    conv_case(check, 2, square(24, 13, 144, 1, 1, 0, 1));
    conv_case(check, 5, square(260, 4, 70, 1, 1, 0, 1));
    conv_case(check, 11, square(100, 2, 30, 1, 1, 0, 1));
    conv_case(check, 2, square(32, 9, 64, 1, 2, 0, 1));
    conv_case(check, 17, square(70, 1, 65, 1, 1, 0, 1));
    conv_case(check, 2, square(68, 9, 72, 1, 2, 0, 1));
    conv_case(check, 2, square(33, 3, 17, 3, 1, 1, 1));
    conv_case(check, 2, square(18, 20, 16, 7, 2, 3, 1));
    conv_case(check, 2, square(12, 6, 12, 1, 1, 1, 1));
    conv_case(check, 2, (struct ln__conv){10, 7, 13, 18, 9, 6, 1, 5, 2, 5, 1, 1}); /* not square, uneven padding */
    conv_case(check, 2, (struct ln__conv){18, 9, 9, 18, 5, 5, 3, 3, 2, 0, 0, 1});  /* "same": padding after only */
    conv_case(check, 2, (struct ln__conv){4, 20, 150, 6, 20, 150, 3, 3, 1, 1, 1, 1});
    conv_case(check, 2, square(24, 9, 24, 3, 1, 1, 24));
    conv_case(check, 3, square(40, 8, 40, 3, 2, 1, 40));
    conv_case(check, 2, square(17, 11, 17, 5, 1, 2, 17));
    conv_case(check, 2, square(96, 4, 96, 5, 2, 2, 96));
    conv_case(check, 2, square(33, 2, 33, 5, 1, 2, 33));
    conv_case(check, 2, square(9, 10, 9, 4, 3, 1, 9));
    conv_case(check, 2, (struct ln__conv){32, 16, 16, 32, 8, 8, 3, 3, 2, 0, 0, 32});
    conv_case(check, 2, square(64, 8, 128, 3, 1, 1, 2));
    conv_case(check, 2, square(64, 6, 64, 3, 2, 1, 4));
    conv_case(check, 2, square(48, 5, 24, 3, 1, 1, 3));
    conv_case(check, 2, square(24, 5, 60, 3, 1, 1, 12));
    conv_case(check, 2, square(10, 5, 30, 1, 1, 0, 10));
    if (check->set->bf16) /* its linear layers are its float set's */
        return;
    linear_case(check, 10, (struct ln__linear){64, 1, 1, 10});
    linear_case(check, 3, (struct ln__linear){100, 1, 1, 200});
    linear_case(check, 17, (struct ln__linear){40, 3, 2, 33});
    linear_case(check, 5, (struct ln__linear){1, 28, 28, 10});
    linear_case(check, 4, (struct ln__linear){3, 5, 5, 7});
    linear_case(check, 32, (struct ln__linear){64, 4, 4, 128});
    linear_case(check, 1, (struct ln__linear){300, 1, 1, 301});
}
