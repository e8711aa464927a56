#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cli/leak.h"
#include "env_testing.h"
#include <math.h>

extern const struct ln_plugin ln__optimizer_adam;

static void test_similarity(void **state)
{
    (void)state;
    float a[256], b[256];
    for (int i = 0; i < 256; i++) {
        a[i] = (float)((i * 37) % 101) / 101;
        b[i] = 1 - a[i];
    }
    assert_true(fabs(ln__ssim(a, a, 16, 16) - 1) < 1e-12);
    assert_true(ln__ssim(a, b, 16, 16) < -0.5);
    for (int i = 0; i < 256; i++)
        b[i] = a[i] + 0.1F;
    double brighter = ln__ssim(a, b, 16, 16);
    assert_true(brighter > 0.9 && brighter < 1);
}

/* Pictures of a formula, seen through random layers: nearly all of it is in front of the first cut, less behind the second, and noise takes some away. */
static void test_deeper_and_noisier_give_away_less(void **state)
{
    (void)state;
    struct env_testing t;
    const char *set[] = {"model.name=cnn5x5", "data.set={kind: synthetic, train: 200, test: 40, noise: 0.1}", NULL};
    struct ln__conf *conf;
    struct ln_choice adam, codec = {.plugin = &ln__codec_f32};
    struct ln_fault fault = {0};
    int64_t live = ln__mem_live();
    assert_int_equal(env_testing_try_all(&t, set), 0);
    const struct ln_plugin *const optimizers[] = {&ln__optimizer_adam};
    struct ln_catalog catalog = t.catalog;
    catalog.of[LN_KIND_OPTIMIZER].item = optimizers;
    const struct ln__cli cli = {.catalog = &catalog};
    assert_int_equal(ln__choice_open(&cli, LN_KIND_OPTIMIZER, "adam", &conf, &adam, &fault), 0);
    struct ln__leak found[3];
    for (int i = 0; i < 3; i++) {
        const struct ln__leak_args args = {
            .env = &t.env, .cut = i == 1 ? 2 : 1, .codec = &codec, .noise = i == 2 ? 2 : 0, .optimizer = &adam, .steps = 60, .samples = 200};
        assert_int_equal(ln__leak_measure(&args, &found[i], &fault), 0);
        assert_true(found[i].bits == 32);
        ln__mem_free(found[i].original);
        ln__mem_free(found[i].drawn);
    }
    print_message("cut 1: %.1f dB, %.3f; cut 2: %.1f dB, %.3f; noise: %.1f dB, %.3f\n", found[0].psnr, found[0].ssim, found[1].psnr, found[1].ssim,
                  found[2].psnr, found[2].ssim);
    assert_true(found[0].psnr > found[1].psnr && found[0].psnr > found[2].psnr && found[0].ssim > found[2].ssim);
    const struct ln__leak_args none = {.env = &t.env, .cut = 9, .codec = &codec, .optimizer = &adam, .steps = 1, .samples = 200};
    assert_int_equal(ln__leak_measure(&none, &found[0], &fault), LN_EINVALID);
    /* Too few pictures to look at are said before a decoder is trained, which this signal would end. */
    const volatile int stop = 1;
    struct ln__leak_args few = none;
    few.cut = 1;
    few.stop = &stop;
    t.env.set.split[LN__TEST].count = LN__LEAK_BATCH - 1;
    fault = (struct ln_fault){0};
    assert_int_equal(ln__leak_measure(&few, &found[0], &fault), LN_EINVALID);
    assert_non_null(strstr(fault.text, "31 pictures; 32 are needed"));
    ln__conf_free(conf);
    env_testing_close(&t);
    assert_int_equal(ln__mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_similarity), cmocka_unit_test(test_deeper_and_noisier_give_away_less)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
