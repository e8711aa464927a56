#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "env_testing.h"
#include <math.h>

static struct env_testing t;

static int make(void **state)
{
    (void)state;
    env_testing_open(&t);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    env_testing_close(&t);
    return 0;
}

static float *state_of(float first)
{
    float *x = ln__mem_alloc(t.env.state * sizeof *x);
    for (size_t i = 0; i < t.env.state; i++)
        x[i] = first + (float)i / 64;
    return x;
}

/* A message of the named tensors, each with that meaning. */
static uint64_t message_of(const struct ln_choice *codec, enum ln__meaning meaning, unsigned tensors, const float *values, struct ln__buf *out)
{
    const struct ln__param *param;
    size_t count = ln__graph_params(t.env.graph, &param);
    uint64_t payload = 0;
    ln__buf_init(out, ln__update_bound(&t.env, &t.recipe.codec.up) + t.env.state * sizeof(float));
    assert_int_equal(ln__update_begin(&t.env, 4, 9, out), 0);
    for (size_t i = 0; i < count; i++) {
        if (tensors & 1u << i)
            assert_int_equal(ln__update_add(&t.env, codec, i, &param[i], meaning, values + param[i].offset, out, &payload, NULL), 0);
    }
    assert_int_equal(ln__update_end(&t.env, out), 0);
    return payload;
}

static void test_four_bytes_a_parameter(void **state)
{
    (void)state;
    float *x = state_of(1), *y = state_of(0), *base = state_of(5);
    struct ln__buf message;
    assert_int_equal(message_of(&t.recipe.codec.up, LN__WEIGHTS, 3, x, &message), 4 * ln__graph_trainable(t.env.graph));
    assert_int_equal(ln__update_read(&t.env, message.data, message.size, base, y, NULL), 0);
    assert_memory_equal(x, y, t.env.state * sizeof *x);
    assert_int_equal(ln__update_check(&t.env, 4, 9, message.data, message.size, base, y, NULL), 0);
    assert_int_equal(ln__update_check(&t.env, 4, 8, message.data, message.size, base, y, NULL), LN_ECORRUPT); /* of another task */
    assert_int_equal(ln__update_check(&t.env, 3, 9, message.data, message.size, base, y, NULL), LN_ECORRUPT); /* of another client */
    ln__buf_fini(&message);
    ln__mem_free(x);
    ln__mem_free(y);
    ln__mem_free(base);
}

static void test_absent_tensors_and_differences(void **state)
{
    (void)state;
    const struct ln__param *param;
    assert_int_equal(ln__graph_params(t.env.graph, &param), 2);
    float *x = state_of(1), *y = state_of(0), *base = state_of(5);
    struct ln__buf message;
    assert_int_equal(message_of(NULL, LN__DIFFERENCE, 2, x, &message), 4 * param[1].count);
    assert_int_equal(ln__update_read(&t.env, message.data, message.size, base, y, NULL), 0);
    assert_memory_equal(y, base, param[0].count * sizeof *y);
    for (size_t i = param[1].offset; i < t.env.state; i++)
        assert_true(y[i] == base[i] + x[i]);
    ln__buf_fini(&message);
    ln__mem_free(x);
    ln__mem_free(y);
    ln__mem_free(base);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    float *x = state_of(1), *y = state_of(0), *base = state_of(5);
    struct ln__buf message;
    message_of(&t.recipe.codec.up, LN__WEIGHTS, 3, x, &message);
    for (size_t cut = 0; cut < message.size; cut += cut < 64 ? 1 : 61)
        assert_true(ln__update_read(&t.env, message.data, cut, base, y, NULL) < 0);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 2, .purpose = LN__FOR_TEST});
    unsigned char *hit = ln__mem_alloc(message.size);
    int64_t live = ln__mem_live();
    int refused = 0;
    for (int round = 0; round < 2000; round++) {
        memcpy(hit, message.data, message.size);
        hit[ln__rng_below(&rng, 48)] ^= (unsigned char)(1 + ln__rng_below(&rng, 255)); /* head and rows */
        refused += ln__update_check(&t.env, 4, 9, hit, message.size, base, y, NULL) < 0;
    }
    assert_true(refused > 1900);
    assert_int_equal(ln__mem_live(), live);
    x[7] = NAN;
    ln__buf_fini(&message);
    message_of(&t.recipe.codec.up, LN__WEIGHTS, 3, x, &message);
    assert_int_equal(ln__update_check(&t.env, 4, 9, message.data, message.size, base, y, NULL), LN_EREFUSED);
    ln__buf_fini(&message);
    ln__mem_free(hit);
    ln__mem_free(x);
    ln__mem_free(y);
    ln__mem_free(base);
}

/* What a codec has no bytes for is the task's fault, not the run's. */
static void test_values_no_codec_holds_are_refused(void **state)
{
    (void)state;
    static const struct ln_plugin *const codecs[] = {&ln__codec_f16, &ln__codec_q8};
    const struct ln__param *param;
    ln__graph_params(t.env.graph, &param);
    for (size_t i = 0; i < 4; i++) {
        const struct ln_choice codec = {codecs[i / 2], NULL};
        struct ln_fault fault = {0};
        struct ln__buf message;
        uint64_t payload = 0;
        float *x = state_of(1);
        x[7] = i % 2 ? NAN : i / 2 ? INFINITY : 1e5F;
        ln__buf_init(&message, ln__update_bound(&t.env, &codec));
        assert_int_equal(ln__update_begin(&t.env, 4, 9, &message), 0);
        assert_int_equal(ln__update_add(&t.env, &codec, 0, param, LN__WEIGHTS, x, &message, &payload, &fault), LN_EREFUSED);
        assert_int_equal(fault.code, LN_EREFUSED);
        assert_non_null(strstr(fault.text, "not a number or above"));
        assert_int_equal(payload, 0);
        ln__buf_fini(&message);
        ln__mem_free(x);
    }
}

/* A chain behind f32 keeps the values, but what crosses is what it writes. */
static void test_what_crosses_of_a_packed_model(void **state)
{
    (void)state;
    struct env_testing packed;
    assert_int_equal(env_testing_try(&packed, "codec.down={kind: f32, then: zstd}"), 0);
    const struct ln__param *param;
    ln__env_params(&packed.env, &param);
    float *x = ln__mem_zero(packed.env.state, sizeof *x), *y = state_of(1);
    struct ln__buf buf;
    uint64_t bytes = 0;
    ln__buf_init(&buf, ln__update_bound(&packed.env, &packed.recipe.codec.down));
    assert_int_equal(ln__down_tensor(&packed.env, &param[0], x, y, &buf, &bytes, NULL), 0);
    assert_memory_equal(x, y, param[0].count * sizeof *x);
    assert_in_range(bytes, 1, 100); /* zeros */
    assert_int_equal(ln__down_tensor(&t.env, &param[0], x, y, &buf, &bytes, NULL), 0);
    assert_int_equal(bytes, param[0].count * sizeof *x);
    ln__buf_fini(&buf);
    ln__mem_free(x);
    ln__mem_free(y);
    env_testing_close(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_four_bytes_a_parameter),
        cmocka_unit_test(test_absent_tensors_and_differences),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_values_no_codec_holds_are_refused),
        cmocka_unit_test(test_what_crosses_of_a_packed_model),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
