#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "fed/fold.h"
#include "fed/mask.h"
#include "fed/thin.h"
#include "nn/sparsity.h"
#include <math.h>
#include <string.h>

extern const struct ln__sparsity ln__sparsity_swat, ln__sparsity_none;
extern const struct ln__model ln__model_resnet18, ln__model_logreg;
extern const struct ln__update ln__update_topk_weights, ln__update_diff_on_topk_weights, ln__update_topk_diff, ln__update_random_mask,
    ln__update_sketch;
extern const struct ln_codec ln__codec_sparse;

struct swat { /* as in swat.c */
    double sparsity;
    int64_t period;
    int distribution, structured, skip_first;
    bool pointwise;
    int kernels;
};

/* No more of an environment than updates look at: a model, a sparsity. */
struct world {
    struct ln__recipe recipe;
    struct ln__env env;
    struct swat swat;
};

static void world_open(struct world *world, const struct ln__model *model, double sparsity, const struct ln_plugin *update, const void *options)
{
    struct ln_fault fault = {0};
    const struct ln_choice choice = {&model->plugin, NULL};
    const struct ln__model_args args = {{3, 32, 32}, 10, LN__NORM_BATCH};
    assert_int_equal(ln__sparsity_swat.plugin.options_size, sizeof world->swat);
    *world = (struct world){.swat = {.sparsity = sparsity, .period = 10}};
    world->recipe.sparsity = (struct ln_choice){&ln__sparsity_swat.plugin, &world->swat};
    world->recipe.update = (struct ln_choice){update, options};
    struct ln__env *env = &world->env;
    env->recipe = &world->recipe;
    env->kset = ln__kset_best();
    assert_int_equal(ln__model_graph(&choice, &args, &env->graph, &fault), 0);
    const struct ln__param *param;
    env->params = ln__graph_params(env->graph, &param);
    env->param = ln__mem_zero(env->params, sizeof *param);
    env->sparsity = ln__mem_zero(env->params, sizeof(double));
    memcpy(env->param, param, env->params * sizeof *param);
    for (size_t i = 0; i < env->params; i++)
        env->sparsity[i] = ln__sparse_param(env->graph, &world->recipe.sparsity, i);
    env->state = ln__graph_state(env->graph);
    env->trainable = ln__graph_trainable(env->graph);
}

static void world_close(struct world *world)
{
    ln__mem_free(world->env.param);
    ln__mem_free(world->env.sparsity);
    ln__graph_free(world->env.graph);
}

static float *normal(size_t count, uint32_t seed)
{
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = seed, .purpose = LN__FOR_TEST});
    float *x = ln__mem_alloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(0.05 * ln__rng_normal(&rng));
    return x;
}

/* ---- sizes ---- */

static const struct {
    double sparsity, ratio, mb;
} sizes[] = {{0.95, 0, 5.84},     {0.9, 0, 10.13},   {0.95, 0.05, 10.13}, {0.95, 0.1, 14.42}, {0.9, 0.05, 14.42},
             {0.95, 0.15, 18.71}, {0.9, 0.1, 18.71}, {0.95, 0.2, 23.00},  {0.9, 0.15, 23.00}, {0.9, 0.2, 27.29}};

static void test_sizes_of_the_paper(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct world world;
        world_open(&world, &ln__model_resnet18, sizes[i].sparsity, &ln__update_topk_weights.plugin, NULL);
        double mb = ln__mask_paper_bytes(&world.env, sizes[i].ratio) / LN__PAPER_MB;
        if (fabs(mb - sizes[i].mb) > 0.01)
            fail_msg("sparsity %g, ratio %g: %.3f MB, not %.2f", sizes[i].sparsity, sizes[i].ratio, mb, sizes[i].mb);
        assert_true(fabs(ln__mask_paper_bytes(&world.env, sizes[i].sparsity) / LN__PAPER_MB - 43.69) < 0.01);
        assert_true(fabs(ln__mask_paper_bytes(&world.env, -1) / LN__PAPER_MB - 43.69) < 0.01);
        world_close(&world);
    }
}

/* Real bytes of a whole update against the formula, running statistics put at their dense price on our side too. */
static void test_real_bytes(void **state)
{
    (void)state;
    struct coding { /* as in codec/codecs/sparse.c */
        int index, values;
    };
    static const double most[] = {0.6, 0.35, 0.25};
    static const double bytes[] = {4, 2, 1};
    const size_t tried[] = {0, 1, 3, 5, 7, 9}; /* each density once */
    float *w = NULL;
    for (size_t i = 0; i < 6; i++) {
        const struct ln__mask_options mask = {.mask_ratio = sizes[tried[i]].ratio};
        struct world world;
        world_open(&world, &ln__model_resnet18, sizes[tried[i]].sparsity, &ln__update_topk_weights.plugin, &mask);
        struct ln__env *env = &world.env;
        w = w ? w : normal(env->state, 3); /* the same eleven million each time */
        float *out = ln__mem_alloc(env->state * sizeof *out);
        uint64_t real[3] = {0};
        double paper = ln__mask_paper_bytes(env, mask.mask_ratio);
        for (size_t p = 0; p < env->params; p++) {
            const struct ln__param *param = &env->param[p];
            const struct ln__update_args args = {
                .param = param, .before = w + param->offset, .after = w + param->offset, .sparsity = env->sparsity[p]};
            enum ln__meaning meaning;
            assert_int_equal(ln__update_topk_weights.select(&mask, &args, out, &meaning), 0);
            for (int v = 0; v < 3; v++) {
                const struct coding coding = {0, v};
                const struct ln_choice codec = {&ln__codec_sparse.plugin, &coding};
                struct ln_codec_shape shape = ln__param_shape(param);
                struct ln__buf buf;
                ln__buf_init(&buf, ln__codec_sparse.bound(&coding, &shape));
                assert_int_equal(ln__tensor_encode(&codec, &shape, out, &buf, NULL), 0);
                real[v] += buf.size;
                ln__buf_fini(&buf);
            }
        }
        for (int v = 0; v < 3; v++) {
            double share = ((double)real[v] + 9600 * bytes[v]) / paper;
            print_message("rho %.2f values %d: %.2f MB, %.1f %% of the formula's %.2f\n", 1 - sizes[tried[i]].sparsity + mask.mask_ratio, v,
                          (double)real[v] / LN__PAPER_MB, 100 * share, paper / LN__PAPER_MB);
            assert_true(share <= most[v]);
        }
        ln__mem_free(out);
        world_close(&world);
    }
    ln__mem_free(w);
}

/* ---- what is selected ---- */

#define COUNT ((size_t)4000)

struct case_of {
    struct ln__param param;
    float *before, *after, *out, *residual;
};

static void case_open(struct case_of *c)
{
    *c = (struct case_of){.param = {.name = "w", .dims = 2, .dim = {40, 100}, .count = COUNT}};
    c->before = normal(COUNT, 1);
    c->after = normal(COUNT, 2);
    c->out = ln__mem_zero(COUNT, sizeof(float));
    c->residual = ln__mem_zero(COUNT, sizeof(float));
}

static void case_close(struct case_of *c)
{
    ln__mem_free(c->before);
    ln__mem_free(c->after);
    ln__mem_free(c->out);
    ln__mem_free(c->residual);
}

static struct ln__update_args args_of(const struct case_of *c, double sparsity)
{
    return (struct ln__update_args){
        .param = &c->param, .before = c->before, .after = c->after, .key = {.seed = 4, .client = 2}, .sparsity = sparsity};
}

static size_t sent(const float *x)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++)
        count += x[i] != 0;
    return count;
}

static void test_variants(void **state)
{
    (void)state;
    struct case_of c;
    case_open(&c);
    const struct ln__mask_options mask = {.mask_ratio = 0.1}, whole = {.mask_ratio = 0.95};
    const struct ln__update_args args = args_of(&c, 0.95), dense = args_of(&c, 0);
    enum ln__meaning meaning;
    assert_int_equal(ln__update_topk_weights.select(&mask, &args, c.out, &meaning), 0);
    assert_int_equal(meaning, LN__WEIGHTS);
    assert_int_equal(sent(c.out), 600); /* 15 % */
    float least = INFINITY, most = 0;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(c.out[i] == 0 || c.out[i] == c.after[i]);
        least = c.out[i] != 0 ? fminf(least, fabsf(c.after[i])) : least;
        most = c.out[i] == 0 ? fmaxf(most, fabsf(c.after[i])) : most;
    }
    assert_true(least >= most);
    float *places = normal(COUNT, 9);
    memcpy(places, c.out, COUNT * sizeof *places);
    assert_int_equal(ln__update_diff_on_topk_weights.select(&mask, &args, c.out, &meaning), 0);
    assert_int_equal(meaning, LN__DIFFERENCE);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(c.out[i] == (places[i] != 0 ? c.after[i] - c.before[i] : 0));
    assert_int_equal(ln__update_topk_diff.select(&mask, &args, c.out, &meaning), 0);
    assert_int_equal(meaning, LN__DIFFERENCE);
    assert_int_equal(sent(c.out), 600);
    const struct ln__update *all[] = {&ln__update_topk_weights, &ln__update_diff_on_topk_weights, &ln__update_topk_diff};
    for (int i = 0; i < 3; i++) { /* a dense layer, and the ratio that is the sparsity: everything */
        assert_int_equal(all[i]->select(&mask, &dense, c.out, &meaning), 0);
        assert_int_equal(sent(c.out), COUNT);
        assert_int_equal(all[i]->select(&whole, &args, c.out, &meaning), 0);
        assert_int_equal(sent(c.out), COUNT);
    }
    ln__mem_free(places);
    case_close(&c);
}

/* What was sent and what is kept are together all that changed, over and over; what is not a number goes out, to be refused there. */
static void test_error_feedback(void **state)
{
    (void)state;
    const struct ln__update *all[] = {&ln__update_diff_on_topk_weights, &ln__update_topk_diff};
    const struct ln__mask_options mask = {.mask_ratio = 0.05, .error_feedback = true};
    for (int v = 0; v < 2; v++) {
        struct case_of c;
        case_open(&c);
        float *sum = ln__mem_zero(COUNT, sizeof *sum);
        struct ln__update_args args = args_of(&c, 0.95);
        enum ln__meaning meaning;
        args.residual = c.residual;
        assert_true(all[v]->keeps(&mask));
        for (int round = 1; round <= 4; round++) {
            assert_int_equal(all[v]->select(&mask, &args, c.out, &meaning), 0);
            for (size_t i = 0; i < COUNT; i++) {
                sum[i] += c.out[i];
                assert_true(fabsf(sum[i] + c.residual[i] - (float)round * (c.after[i] - c.before[i])) < 1e-5);
            }
        }
        c.after[7] = NAN;
        assert_int_equal(all[v]->select(&mask, &args, c.out, &meaning), 0);
        assert_true(isnan(c.out[7]));
        ln__mem_free(sum);
        case_close(&c);
    }
}

static void test_ratio_above_sparsity(void **state)
{
    (void)state;
    const struct ln__mask_options mask = {.mask_ratio = 0.6};
    struct ln_fault fault = {0};
    struct world world;
    world_open(&world, &ln__model_resnet18, 0.5, &ln__update_topk_diff.plugin, &mask);
    assert_int_equal(ln__update_topk_diff.check(&mask, &world.env, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "0.6 is above the sparsity of 0.5"));
    world.recipe.sparsity = (struct ln_choice){&ln__sparsity_none.plugin, NULL};
    assert_int_equal(ln__update_topk_diff.check(&mask, &world.env, &fault), LN_ECONFIG);
    world_close(&world);
}

/* The same share over all layers together: small layers give way to the large changes of others. */
static void test_global(void **state)
{
    (void)state;
    const struct ln__mask_options mask = {.mask_ratio = 0, .scope = 1};
    struct world world;
    world_open(&world, &ln__model_resnet18, 0.95, &ln__update_topk_weights.plugin, &mask);
    struct ln__env *env = &world.env;
    float *w = normal(env->state, 3), *out = ln__mem_alloc(env->state * sizeof *out), threshold;
    size_t kept = 0, all = 0;
    for (size_t p = 0; p < env->params; p++) {
        for (size_t i = 0; i < env->param[p].count; i++)
            w[env->param[p].offset + i] *= p % 2 ? 3 : 1;
    }
    const struct ln__update_whole whole = {env, {0, -1}, w, w, NULL};
    assert_int_equal(ln__update_topk_weights.threshold(&mask, &whole, &threshold), 0);
    for (size_t p = 0; p < env->params; p++) {
        if (env->sparsity[p] == 0)
            continue;
        const struct ln__param *param = &env->param[p];
        const struct ln__update_args args = {
            .param = param, .before = w, .after = w + param->offset, .sparsity = env->sparsity[p], .threshold = threshold};
        enum ln__meaning meaning;
        assert_int_equal(ln__update_topk_weights.select(&mask, &args, out, &meaning), 0);
        all += param->count;
        for (size_t i = 0; i < param->count; i++)
            kept += out[i] != 0;
    }
    assert_true(fabs((double)kept / (double)all - 0.05) < 1e-5);
    ln__mem_free(w);
    ln__mem_free(out);
    world_close(&world);
}

/* What was not sent before counts where the threshold is found: the share stays the same however much has gathered. */
static void test_global_with_error_feedback(void **state)
{
    (void)state;
    const struct ln__mask_options mask = {.mask_ratio = 0, .scope = 1, .error_feedback = true};
    struct world world;
    world_open(&world, &ln__model_logreg, 0.95, &ln__update_topk_diff.plugin, &mask);
    struct ln__env *env = &world.env;
    float *before = normal(env->state, 3), *after = normal(env->state, 4), *residual = ln__mem_zero(env->state, sizeof *residual);
    float *out = ln__mem_alloc(env->state * sizeof *out);
    env->sparsity[0] = 0.95;
    for (int round = 0; round < 5; round++) {
        const struct ln__update_whole whole = {env, {0, -1}, before, after, residual};
        const struct ln__param *param = &env->param[0];
        struct ln__update_args args = {.param = param,
                                       .before = before + param->offset,
                                       .after = after + param->offset,
                                       .residual = residual + param->offset,
                                       .sparsity = env->sparsity[0]};
        enum ln__meaning meaning;
        size_t kept = 0;
        assert_int_equal(ln__update_topk_diff.threshold(&mask, &whole, &args.threshold), 0);
        assert_int_equal(ln__update_topk_diff.select(&mask, &args, out, &meaning), 0);
        for (size_t i = 0; i < param->count; i++)
            kept += out[i] != 0;
        assert_true(fabs((double)kept / (double)param->count - 0.05) < 1e-3);
    }
    ln__mem_free(before);
    ln__mem_free(after);
    ln__mem_free(residual);
    ln__mem_free(out);
    world_close(&world);
}

/* ---- random masks and sketches ---- */

struct random_options { /* as in random_mask.c and sketch.c */
    double share;
    bool flag;
};

static void test_random(void **state)
{
    (void)state;
    const struct ln__update *all[] = {&ln__update_random_mask, &ln__update_sketch};
    for (int v = 0; v < 2; v++) {
        struct case_of c;
        case_open(&c);
        float *mean = ln__mem_zero(COUNT, sizeof *mean);
        struct ln__update_args args = args_of(&c, 0);
        const struct random_options whole = {1, true}, some = {0.25, true};
        enum ln__meaning meaning;
        assert_int_equal(all[v]->select(&whole, &args, c.out, &meaning), 0);
        assert_int_equal(meaning, LN__DIFFERENCE);
        assert_int_equal(all[v]->restore(&whole, &c.param, args.key, c.out, NULL), 0);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(fabsf(c.out[i] - (c.after[i] - c.before[i])) < 1e-6);
        const int rounds = 400;
        double off = 0, size = 0;
        for (int round = 0; round < rounds; round++) { /* right on average */
            args.key.round = (uint32_t)round;
            assert_int_equal(all[v]->select(&some, &args, c.out, &meaning), 0);
            size_t sent_now = sent(c.out);
            assert_true(sent_now > 850 && sent_now < 1150 && c.out[sent_now] == 0); /* without gaps, in front */
            assert_int_equal(all[v]->restore(&some, &c.param, args.key, c.out, NULL), 0);
            for (size_t i = 0; i < COUNT; i++)
                mean[i] += c.out[i] / (float)rounds;
        }
        for (size_t i = 0; i < COUNT; i++) {
            double change = (double)c.after[i] - (double)c.before[i];
            off += (mean[i] - change) * (mean[i] - change);
            size += change * change;
        }
        assert_true(off / size < 1.5 * 3 / rounds); /* variance (1 - p) / p of each draw */
        ln__mem_free(mean);
        case_close(&c);
    }
}

/* ---- means over contributors ---- */

static void test_contributors(void **state)
{
    (void)state;
    struct world world;
    const struct ln__mask_options mask = {.average = 1};
    world_open(&world, &ln__model_logreg, 0.5, &ln__update_topk_weights.plugin, &mask);
    size_t size = world.env.state;
    float *base = normal(size, 1), *x = normal(size, 2), *y = normal(size, 3), *z = ln__mem_zero(size, sizeof *z);
    unsigned char *of_x = ln__mem_zero(size, 1), *of_y = ln__mem_zero(size, 1);
    struct ln__fold *fold;
    for (size_t i = 0; i < size; i++) {
        of_x[i] = i % 4 == 0 || i % 4 == 1;
        of_y[i] = i % 4 == 0 || i % 4 == 2;
    }
    assert_true(ln__update_topk_weights.contributors(&mask));
    assert_int_equal(ln__fold_new(&world.env, 40, base, &fold, NULL), 0);
    assert_int_equal(ln__fold_add_sent(fold, x, of_x, base, 10, NULL, NULL), 0);
    assert_int_equal(ln__fold_add_sent(fold, y, of_y, base, 30, NULL, NULL), 0);
    assert_int_equal(ln__fold_add_sent(fold, y, of_y, base, -1, NULL, NULL), LN_EINVALID);
    assert_int_equal(ln__fold_read(fold, 40, z, NULL, NULL), 0);
    for (size_t i = 0; i < size; i++) {
        float want = i % 4 == 0 ? (10 * x[i] + 30 * y[i]) / 40 : i % 4 == 1 ? x[i] : i % 4 == 2 ? y[i] : base[i];
        assert_true(fabsf(z[i] - want) < 1e-6);
    }
    ln__fold_free(fold);
    ln__mem_free(base);
    ln__mem_free(x);
    ln__mem_free(y);
    ln__mem_free(z);
    ln__mem_free(of_x);
    ln__mem_free(of_y);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes_of_the_paper),
                                       cmocka_unit_test(test_real_bytes),
                                       cmocka_unit_test(test_variants),
                                       cmocka_unit_test(test_error_feedback),
                                       cmocka_unit_test(test_ratio_above_sparsity),
                                       cmocka_unit_test(test_global),
                                       cmocka_unit_test(test_global_with_error_feedback),
                                       cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_contributors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
