#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/mem.h"
#include "emulated.h"
#include "kernels/check.h"
#include "kernels/sparse_check.h"
#include <math.h>
#include <string.h>

/* Shapes: every tile mode of every width (rows of 4 to 64), odd sizes, strides, kernels, borders of none to full, one channel, linear. */
static const struct ln__conv shapes[] = {
    {3, 32, 32, 8, 32, 32, 3, 3, 1, 1, 1, 1}, {20, 16, 16, 24, 16, 16, 3, 3, 1, 1, 1, 1}, {33, 8, 8, 17, 8, 8, 3, 3, 1, 1, 1, 1},
    {40, 4, 4, 48, 4, 4, 3, 3, 1, 1, 1, 1},   {5, 32, 32, 7, 16, 16, 3, 3, 2, 1, 1, 1},   {16, 16, 16, 33, 8, 8, 3, 3, 2, 1, 1, 1},
    {9, 8, 8, 10, 4, 4, 3, 3, 2, 1, 1, 1},    {6, 32, 32, 11, 16, 16, 1, 1, 2, 0, 0, 1},  {13, 7, 9, 5, 7, 9, 1, 1, 1, 0, 0, 1},
    {4, 28, 28, 6, 28, 28, 5, 5, 1, 2, 2, 1}, {3, 14, 14, 9, 10, 10, 5, 5, 1, 0, 0, 1},   {2, 11, 13, 3, 6, 7, 3, 3, 2, 1, 1, 1},
    {2, 10, 10, 3, 5, 5, 3, 3, 2, 0, 0, 1},   {3, 5, 5, 4, 5, 5, 3, 5, 1, 1, 2, 1},       {2, 9, 64, 3, 9, 64, 3, 3, 1, 1, 1, 1},
    {1, 3, 200, 2, 3, 200, 3, 3, 1, 1, 1, 1}, {2, 6, 6, 3, 2, 2, 3, 3, 3, 1, 1, 1},       {37, 4, 4, 21, 1, 1, 4, 4, 1, 0, 0, 1},
    {130, 1, 1, 67, 1, 1, 1, 1, 1, 0, 0, 1},  {4, 4, 16, 5, 4, 16, 7, 7, 1, 3, 3, 1},     {2, 1, 1, 2, 1, 1, 3, 3, 1, 1, 1, 1},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static void check(const struct ln__sparse_case *layer, bool add, struct ln__pool *pool)
{
    size_t sets;
    const struct ln__sparse_kset *const *set = ln__sparse_kset_list(&sets);
    for (size_t i = 0; i < sets; i++) {
        if (!set[i]->dense.usable())
            continue;
        struct ln__sparse_error e;
        assert_int_equal(ln__sparse_check(set[i], layer, add, pool, &e), LN_OK);
        assert_true(e.thresholds);
        assert_true(e.counts);
        if (e.forward > 1e-5 || e.input_grad > 1e-5 || e.weight_grad > 1e-5 || e.bias_grad > 1e-5)
            print_message("%s: %d-%d @%dx%d k%d s%d n%d sparsity %g %g cap %zd: %g %g %g %g\n", set[i]->dense.name, layer->conv.ci, layer->conv.co,
                          layer->conv.hi, layer->conv.wi, layer->conv.kh, layer->conv.stride, layer->n, layer->weights, layer->activations,
                          (ptrdiff_t)layer->cap, e.forward, e.input_grad, e.weight_grad, e.bias_grad);
        assert_true(e.forward <= 1e-5 && e.input_grad <= 1e-5 && e.weight_grad <= 1e-5 && e.bias_grad <= 1e-5);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    static const int batches[] = {1, 3, 10};
    for (size_t i = 0; i < SHAPES; i++) {
        for (size_t b = 0; b < 3; b++) {
            struct ln__sparse_case layer = {shapes[i], batches[b], 0.9, 0.9, SIZE_MAX};
            check(&layer, b == 1, NULL);
        }
    }
}

static void test_sparsities(void **state)
{
    (void)state;
    static const double sparsities[] = {0, 0.3, 0.5, 0.8, 0.95, 0.999, 1};
    for (size_t i = 0; i < SHAPES; i++) {
        for (size_t s = 0; s < 7; s += emulated() ? 3 : 1) {
            struct ln__sparse_case layer = {shapes[i], 2, sparsities[s], sparsities[6 - s], SIZE_MAX};
            check(&layer, false, NULL);
            layer.cap = (size_t)shapes[i].ci * (size_t)shapes[i].co * (size_t)(shapes[i].kh * shapes[i].kw); /* all in the list */
            check(&layer, true, NULL);
            layer.cap = 0; /* none: the masked dense way */
            check(&layer, s % 2 == 0, NULL);
        }
    }
}

/* Every set that this machine runs; each is one call of the body with `set`. */
static void each_set(void (*body)(const struct ln__sparse_kset *set))
{
    size_t sets;
    const struct ln__sparse_kset *const *set = ln__sparse_kset_list(&sets);
    for (size_t i = 0; i < sets; i++) {
        if (set[i]->dense.usable())
            body(set[i]);
    }
}

static void report(void *context, const struct ln__kernel_row *row)
{
    const char *set = context;
    if (!row->ok)
        print_message("%s %s %s: %s by %g\n", set, row->kernel, row->shape, row->what, row->error);
}

static void dense_body(const struct ln__sparse_kset *set)
{
    if (set == ln__sparse_kset_named("sparse-ref"))
        return; /* its dense table is the reference itself, of kernels_test */
    char name[32] = "";
    memcpy(name, set->dense.name, strlen(set->dense.name));
    assert_int_equal(ln__kernels_check(&set->dense, set->masked ? "conv" : NULL, report, name), 0);
}

/* The dense table is held to what every kernel set is held to; a masked set has of its own only convolutions. */
static void test_dense(void **state)
{
    (void)state;
    each_set(dense_body);
}

#define MANY 100003
static float *numbers(size_t size, size_t room)
{
    struct ln__key key = {.seed = 3, .purpose = LN__FOR_TEST};
    float *x = ln__mem_zero(size + room + 64, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < size; i++) {
        uint32_t word[4];
        ln__rng_block(&key, i, word);
        x[i] = (float)(int32_t)word[0] * (word[1] % 3 == 0 ? 1e-12F : 1e-9F);
    }
    return x;
}

static size_t count_at(const float *x, size_t size, float threshold)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += !(fabsf(x[i]) < threshold);
    return count;
}

static void topk_body(const struct ln__sparse_kset *set)
{
    static const size_t sizes[] = {1, 2, 15, 16, 17, 1000, 32768, MANY};
    static const double sparsities[] = {0, 0.5, 0.9, 0.95, 0.999, 1};
    struct ln__pool *pool;
    assert_int_equal(ln__pool_new(3, &pool), LN_OK);
    float *x = numbers(MANY, 0), *scratch = numbers(0, set->topk_scratch(MANY, 3));
    for (size_t i = 0; i < 8; i++) {
        for (size_t s = 0; s < 6; s++) {
            float threshold, again;
            size_t size = sizes[i], keep = ln__sparse_keep(size, sparsities[s]);
            assert_true(set->topk(size, x, keep, &threshold, scratch, NULL));
            assert_int_equal(count_at(x, size, threshold), keep); /* all differ here */
            assert_true(set->topk(size, x, keep, &again, scratch, pool));
            assert_memory_equal(&threshold, &again, sizeof again);
        }
    }
    ln__mem_free(x);
    ln__mem_free(scratch);
    ln__pool_free(pool);
}

static void test_topk(void **state)
{
    (void)state;
    each_set(topk_body);
}

static void topk_odd_body(const struct ln__sparse_kset *set)
{
    float *x = numbers(MANY, 0), *scratch = numbers(0, set->topk_scratch(MANY, 1)), t;
    for (size_t i = 0; i < MANY; i++)
        x[i] = i % 4 == 0 ? -2.5F : 1.25F; /* ties: all of them are kept */
    assert_true(set->topk(MANY, x, 10, &t, scratch, NULL));
    assert_float_equal(t, 2.5F, 0);
    assert_true(set->topk(MANY, x, MANY / 2, &t, scratch, NULL));
    assert_float_equal(t, 1.25F, 0);
    for (size_t i = 0; i < MANY; i++)
        x[i] = i % 100 == 0 ? (float)i + 1 : 0; /* sparser than asked: the non-zeros, not everything */
    assert_true(set->topk(MANY, x, MANY / 10, &t, scratch, NULL));
    assert_true(t > 0);
    assert_int_equal(count_at(x, MANY, t), (MANY + 99) / 100);
    memset(x, 0, MANY * sizeof *x); /* all zero */
    assert_true(set->topk(MANY, x, MANY, &t, scratch, NULL));
    assert_true(t > 0);
    assert_int_equal(count_at(x, MANY, t), 0);
    assert_true(set->topk(MANY, x, 0, &t, scratch, NULL));
    assert_true(isinf(t));
    x[77] = NAN;
    assert_false(set->topk(MANY, x, 5, &t, scratch, NULL));
    x[77] = -INFINITY;
    assert_false(set->topk(MANY, x, 5, &t, scratch, NULL));
    x[77] = 1e-42F; /* smaller than any normal number, and still not zero */
    assert_true(set->topk(MANY, x, 1, &t, scratch, NULL));
    assert_int_equal(count_at(x, MANY, t), 1);
    ln__mem_free(x);
    ln__mem_free(scratch);
}

static void test_topk_odd(void **state)
{
    (void)state;
    each_set(topk_odd_body);
}

static void test_keep(void **state)
{
    (void)state;
    assert_int_equal(ln__sparse_keep(10, 0.9), 1); /* not 2 by rounding */
    assert_int_equal(ln__sparse_keep(11, 0.9), 2);
    assert_int_equal(ln__sparse_keep(2359296, 0.95), 117965);
    assert_int_equal(ln__sparse_keep(7, 0), 7);
    assert_int_equal(ln__sparse_keep(7, 1), 0);
    assert_int_equal(ln__sparse_keep(0, 0.5), 0);
    assert_true(ln__sparse_cap(1000000, 100000) >= 125000);
    assert_true(ln__sparse_cap(1000000, 900000) <= 400000); /* where dense is faster */
    assert_null(ln__sparse_kset_named("sparse-none"));
    assert_ptr_equal(ln__sparse_kset_named(ln__sparse_kset_best()->dense.name), ln__sparse_kset_best());
}

/* What one run of a layer leaves behind: y, dx, dw. */
static void run(const struct ln__sparse_kset *set, const struct ln__conv *conv, int n, unsigned width, bool poison, float *out, size_t *sizes)
{
    struct ln__pool *pool;
    assert_int_equal(ln__pool_new(width, &pool), LN_OK);
    int lanes = set->dense.lanes, hw = conv->hi * conv->wi, places = conv->ho * conv->wo;
    size_t in = (size_t)(n * ln__blocks(conv->ci, lanes) * lanes * hw), y = (size_t)(n * ln__blocks(conv->co, lanes) * lanes * places);
    size_t count = set->dense.conv_weights(conv), real = (size_t)(conv->ci * conv->co * conv->kh * conv->kw), scratch = 0;
    size_t keep = ln__sparse_keep(real, 0.9), cap = ln__sparse_cap(real, keep);
    for (int pass = LN__FORWARD; pass <= LN__WEIGHT_GRAD; pass++) {
        size_t need = set->scratch(conv, (enum ln__pass)pass, n, width);
        scratch = need > scratch ? need : scratch;
    }
    float *nchw = numbers(in > y ? in : y, 0), *x = numbers(0, in), *dy = numbers(0, y), *canonical = numbers(count, 0), *w = numbers(0, count),
          *room = numbers(0, scratch);
    float *top = numbers(0, set->topk_scratch(count, width));
    void *list = ln__mem_zero(1, set->list_bytes(conv, n, cap));
    assert_non_null(list);
    set->dense.pack(n, conv->ci, hw, nchw, x, NULL);
    set->dense.pack(n, conv->co, places, nchw, dy, NULL);
    set->dense.conv_pack(conv, canonical, w);
    float threshold;
    assert_true(set->topk(count, w, keep, &threshold, top, pool));
    if (poison)
        w[0] = NAN;
    size_t kept = set->compact(conv, n, w, threshold, cap, list, pool);
    assert_true(kept == LN__SPARSE_UNCOUNTED || (kept >= keep && kept <= keep + 1));
    size_t dx = (y + 15) / 16 * 16, dw = (dx + in + 15) / 16 * 16; /* aligned like all of a plan's buffers */
    set->forward(conv, n, x, w, threshold, list, NULL, out, room, pool);
    set->input_grad(conv, n, dy, w, threshold, list, out + dx, false, room, pool);
    set->weight_grad(conv, n, x, 0.5F, dy, out + dw, NULL, room, pool);
    sizes[0] = y;
    sizes[1] = dw + count;
    void *all[] = {nchw, x, dy, canonical, w, room, top, list};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        ln__mem_free(all[i]);
    ln__pool_free(pool);
}

static void threads_body(const struct ln__sparse_kset *set)
{
    for (size_t i = 0; i < SHAPES; i++) {
        float *a = numbers(0, 400000), *b = numbers(0, 400000);
        size_t sizes[2];
        run(set, &shapes[i], 5, 1, false, a, sizes);
        assert_true(sizes[1] <= 400000);
        for (unsigned width = 2; width < 5; width++) {
            run(set, &shapes[i], 5, width, false, b, sizes);
            assert_memory_equal(a, b, sizes[1] * sizeof *a);
        }
        ln__mem_free(a);
        ln__mem_free(b);
    }
}

static void test_threads(void **state)
{
    (void)state;
    each_set(threads_body);
}

static void nan_body(const struct ln__sparse_kset *set)
{
    float *out = numbers(0, 400000);
    size_t sizes[2], bad = 0;
    run(set, &shapes[1], 2, 1, true, out, sizes);
    for (size_t i = 0; i < sizes[0]; i++)
        bad += isnan(out[i]) != 0;
    assert_true(bad > 0);
    ln__mem_free(out);
}

/* A NaN weight is kept and shows; it is never taken for a zero. */
static void test_nan(void **state)
{
    (void)state;
    each_set(nan_body);
}

/* A list and scratch planned for the largest batch serve every smaller one. */
static void test_smaller_batches(void **state)
{
    (void)state;
    const struct ln__sparse_kset *set = ln__sparse_kset_best();
    for (size_t i = 0; i < SHAPES; i++) {
        size_t count = (size_t)shapes[i].ci * (size_t)shapes[i].co * (size_t)(shapes[i].kh * shapes[i].kw);
        for (size_t cap = 0; cap <= count; cap += count / 3 + 1) {
            for (int n = 1; n < 40; n++) {
                assert_true(set->list_bytes(&shapes[i], n, cap) <= set->list_bytes(&shapes[i], 40, cap));
                for (int pass = LN__FORWARD; pass <= LN__WEIGHT_GRAD; pass++)
                    assert_true(set->scratch(&shapes[i], (enum ln__pass)pass, n, 2) <= set->scratch(&shapes[i], (enum ln__pass)pass, 40, 2));
            }
        }
    }
}

static void norm_body(const struct ln__sparse_kset *set)
{
    if (set->masked) /* its norms are the dense set's */
        return;
    const int n = 3, c = 5, hw = 77;
    const size_t size = 3 * 5 * 77;
    float *x = numbers(size, 0), *r = numbers(size, 0), *y = numbers(0, size), *z = numbers(0, size), mean[5], var[5];
    static const float gamma[5] = {1, 2, -1, 0.5F, 0}, beta[5] = {0, 1, 2, -1, 0.25F};
    for (int act = LN__ACT_NONE; act <= LN__ACT_RELU6; act++) {
        for (int residual = 0; residual < 2; residual++) {
            const float *add = residual ? r : NULL;
            set->dense.norm_forward(n, c, hw, x, gamma, beta, 1e-5F, (enum ln__act)act, add, z, mean, var, NULL);
            set->dense.norm_apply(n, c, hw, x, mean, var, gamma, beta, 1e-5F, (enum ln__act)act, add, y, NULL);
            assert_memory_equal(y, z, size * sizeof *y);
        }
    }
    ln__mem_free(x);
    ln__mem_free(r);
    ln__mem_free(y);
    ln__mem_free(z);
}

/* A channel all of whose weights rest is constant, and stays so: beta, and no gradient from rounding. */
static void constant_body(const struct ln__sparse_kset *set)
{
    const int n = 3, c = set->dense.lanes, hw = 77;
    const size_t size = (size_t)(n * c * hw);
    float *x = numbers(0, size), *y = numbers(0, size), *one = numbers(0, (size_t)c), *zero = numbers(0, (size_t)c);
    float *mean = numbers(0, (size_t)c), *var = numbers(0, (size_t)c);
    for (size_t i = 0; i < size; i++)
        x[i] = -0.37F;
    for (int i = 0; i < c; i++)
        one[i] = 1;
    set->dense.norm_forward(n, c, hw, x, one, zero, 1e-5F, LN__ACT_NONE, NULL, y, mean, var, NULL);
    for (size_t i = 0; i < size; i++)
        assert_true(y[i] == 0);
    assert_true(mean[0] == -0.37F && var[0] == 0);
    float *all[] = {x, y, one, zero, mean, var};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ln__mem_free(all[i]);
}

static void test_norm_forward(void **state)
{
    (void)state;
    each_set(norm_body);
    each_set(constant_body);
}

static void test_times(void **state)
{
    (void)state;
    size_t layers;
    const struct ln__sparse_layer *layer = ln__sparse_resnet18(&layers);
    size_t weights = 0;
    for (size_t i = 0; i < layers; i++)
        weights += layer[i].dense ? 0 : (size_t)layer[i].count * (size_t)(layer[i].conv.ci * layer[i].conv.co * 9);
    assert_int_equal(weights, 10985472); /* the paper's */
    struct ln__sparse_case one = {shapes[1], 2, 0.9, 0.9, SIZE_MAX};
    struct ln__sparse_times times;
    assert_int_equal(ln__sparse_time(ln__sparse_kset_best(), ln__kset_best(), &one, 1, NULL, &times), LN_OK);
    assert_true(times.forward > 0 && times.dense_weight_grad > 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_shapes),          cmocka_unit_test(test_sparsities),   cmocka_unit_test(test_dense),   cmocka_unit_test(test_topk),
    cmocka_unit_test(test_topk_odd),        cmocka_unit_test(test_keep),         cmocka_unit_test(test_threads), cmocka_unit_test(test_nan),
    cmocka_unit_test(test_smaller_batches), cmocka_unit_test(test_norm_forward), cmocka_unit_test(test_times),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
