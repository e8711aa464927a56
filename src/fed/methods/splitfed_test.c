#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "fed/activations.h"
#include "method_testing.h"
#include <math.h>

static struct method_testing m;

static void trained(const char *method, float **state, struct ln__result *result)
{
    method_testing_open(&m, (const char *const[]){method, NULL});
    *state = method_testing_state(&m);
    method_testing_run(&m, result, *state);
}

static void test_is_the_training_of_the_whole_network(void **unused)
{
    (void)unused;
    float *whole, *split;
    struct ln__result result;
    trained("method=full", &whole, &result);
    double loss = result.loss, accuracy = result.accuracy;
    size_t size = m.t.env.state * sizeof *whole;
    ln__result_fini(&result);
    method_testing_close(&m);
    for (int cut = 1; cut <= 3; cut++) {
        char set[64];
        snprintf(set, sizeof set, "method={kind: splitfed, cut: %d}", cut);
        trained(set, &split, &result);
        assert_memory_equal(whole, split, size);
        assert_true(result.loss == loss && result.accuracy == accuracy && result.samples == 23);
        method_testing_least(&m, &result);
        ln__result_fini(&result);
        method_testing_close(&m);
        ln__mem_free(split);
    }
    ln__mem_free(whole);
}

static void test_bytes_as_the_formula(void **unused)
{
    (void)unused;
    struct ln__result result;
    struct ln__cut cut;
    uint64_t up = 0, down = 0;
    method_testing_open(&m, (const char *const[]){"method=splitfed", "train.epochs=1", NULL});
    method_testing_run(&m, &result, NULL);
    assert_int_equal(ln__graph_cut(m.t.env.graph, 2, &cut), 0);
    uint64_t a = (uint64_t)cut.shape.c * (uint64_t)cut.shape.h * (uint64_t)cut.shape.w;
    for (size_t i = 0; i < result.trace.count; i++) {
        up += result.trace.row[i].times * result.trace.row[i].bytes_up;
        down += result.trace.row[i].times * result.trace.row[i].bytes_down;
    }
    assert_int_equal(up, 23 * (4 * a + 8) + 4 * cut.state_before);
    assert_int_equal(down, 23 * 4 * a + 4 * cut.state_before);
    ln__result_fini(&result);
    method_testing_close(&m);
}

/* One session that is sent a damaged message. */
static int answers(const unsigned char *bytes, size_t size)
{
    const struct ln__method *method = m.t.env.method;
    struct ln__result result = {0};
    struct ln__session session = {.env = &m.t.env, .worker = m.worker, .task = &m.task, .result = &result};
    struct ln__message message = {.payload = 0}, reply = {.payload = 0};
    ln__buf_init(&message.bytes, 1 << 24);
    ln__buf_init(&reply.bytes, 1 << 24);
    assert_int_equal(ln__buf_add(&message.bytes, bytes, size), 0);
    assert_int_equal(method->open(m.t.env.method_plan, &session), 0);
    int error = method->answer(m.t.env.method_plan, &session, &message, &reply);
    assert_int_equal(method->close(m.t.env.method_plan, &session, true), 0);
    assert_null(session.own);
    ln__buf_fini(&message.bytes);
    ln__buf_fini(&reply.bytes);
    ln__result_fini(&result);
    return error;
}

static void test_hostile_messages(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method=splitfed", NULL});
    const struct ln__halves *split = m.t.env.method_plan;
    float *x = ln__mem_zero(10 * split->values, sizeof *x);
    int32_t label[10] = {0};
    struct ln__message good = {.payload = 0};
    ln__buf_init(&good.bytes, 1 << 24);
    struct ln__activations batch = {.n = 10, .label = label, .x = x};
    assert_int_equal(ln__activations_write(split, &batch, &good, NULL), 0);
    size_t size = good.bytes.size;
    unsigned char *bytes = good.bytes.data;
    assert_int_equal(answers(bytes, size), 0);
    assert_int_equal(answers(bytes, size - 1), LN_ECORRUPT);
    assert_int_equal(answers(bytes, 7), LN_ECORRUPT);
    static const struct {
        size_t at;
        uint32_t value;
    } damage[] = {{0, 1},  {4, 0},  {4, 11},          {4, UINT32_MAX}, {16, 1},  {16, 7},
                  {20, 1}, {24, 3}, {24, UINT32_MAX}, {28, 1},         {32, 10}, {36, 0x80000000}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        uint32_t before;
        memcpy(&before, bytes + damage[i].at, sizeof before);
        memcpy(bytes + damage[i].at, &damage[i].value, sizeof before);
        assert_int_equal(answers(bytes, size), LN_ECORRUPT);
        memcpy(bytes + damage[i].at, &before, sizeof before);
    }
    float nan = NAN, endless = INFINITY;
    memcpy(bytes + size - 8, &nan, sizeof nan);
    assert_int_equal(answers(bytes, size), LN_ECORRUPT);
    memcpy(bytes + size - 8, &endless, sizeof endless);
    assert_int_equal(answers(bytes, size), LN_ECORRUPT);
    x[3] = NAN;
    struct ln_fault fault = {0};
    assert_int_equal(ln__activations_write(split, &batch, &good, &fault), LN_EREFUSED);
    assert_non_null(strstr(fault.text, "cut 2"));
    ln__buf_fini(&good.bytes);
    ln__mem_free(x);
    method_testing_close(&m);
}

static void test_a_client_without_samples_changes_nothing(void **unused)
{
    (void)unused;
    static const char *const methods[] = {"method=splitfed", "method=localloss", "method=fedgkt", "method=ecofed"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        method_testing_open(&m, (const char *const[]){methods[i], NULL});
        float *state = method_testing_state(&m);
        struct ln__result result;
        m.t.env.shares.start[1] = m.t.env.shares.start[2];
        method_testing_run(&m, &result, state);
        assert_memory_equal(state, m.t.env.initial, m.t.env.state * sizeof *state);
        assert_true(result.samples == 0 && !result.keep);
        method_testing_least(&m, &result);
        ln__result_fini(&result);
        ln__mem_free(state);
        method_testing_close(&m);
    }
}

static void test_refuses_what_is_no_cut(void **unused)
{
    (void)unused;
    method_testing_refuses("method={kind: splitfed, cut: 4}", "1 (after pool 1), 2 (after pool 2), 3 (after fc1)");
    method_testing_refuses("method={kind: ecofed, cut: 0}", "1 (after pool 1)");
    method_testing_refuses("method={kind: splitfed, labels: word}", "labels");
}

static void test_no_memory(void **unused)
{
    (void)unused;
    static const char *const methods[] = {"method=splitfed", "method=localloss", "method=fedgkt", "method=ecofed"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        method_testing_open(&m, (const char *const[]){methods[i], "train.epochs=1", NULL});
        int64_t live = -1;
        for (int64_t at = 1;; at++) {
            struct ln__result result;
            ln__mem_fail_at((uint64_t)at);
            ln__task_run(m.worker, &m.task, &result);
            ln__mem_fail_at(0);
            int error = result.error;
            ln__result_fini(&result);
            if (!error)
                break;
            assert_int_equal(error, LN_ENOMEM);
            assert_true(at < 1000);
        }
        struct ln__result result; /* all nets are made now: a task leaves nothing behind */
        live = ln__mem_live();
        method_testing_run(&m, &result, NULL);
        ln__result_fini(&result);
        assert_int_equal(ln__mem_live(), live);
        method_testing_close(&m);
    }
}

/* Finite, but above what 16 bits hold: first what goes up, then what comes down. */
static void test_values_no_codec_holds_are_refused(void **unused)
{
    (void)unused;
    for (int down = 0; down < 2; down++) {
        struct ln__result result;
        method_testing_open(&m, (const char *const[]){"method=splitfed", "codec.act=f16", NULL});
        const struct ln__env *env = &m.t.env;
        const struct ln__param *param = &env->param[down ? env->params - 2 : 1]; /* the classifier's weights; the first layer's bias */
        for (size_t i = 0; i < param->count; i++)
            env->initial[param->offset + i] = down ? 1e9F * env->initial[param->offset + i] : 1e6F;
        ln__blob_unref(m.model);
        assert_int_equal(ln__blob_put(m.t.blobs, env->initial, env->state * sizeof(float), &m.model, NULL), 0);
        m.task.model = m.model;
        ln__task_run(m.worker, &m.task, &result);
        assert_int_equal(result.error, LN_EREFUSED);
        assert_non_null(strstr(result.fault.text, "codec f16: a value is not a number or above 65504"));
        ln__result_fini(&result);
        method_testing_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_the_training_of_the_whole_network),
        cmocka_unit_test(test_bytes_as_the_formula),
        cmocka_unit_test(test_hostile_messages),
        cmocka_unit_test(test_a_client_without_samples_changes_nothing),
        cmocka_unit_test(test_refuses_what_is_no_cut),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_values_no_codec_holds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
