#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "method_testing.h"

static struct method_testing m;

static void run(float *start, float *end)
{
    struct ln__result result;
    struct ln_blob *before = m.task.model;
    assert_int_equal(ln__blob_put(m.t.blobs, start, m.t.env.state * sizeof *start, &m.task.model, NULL), 0);
    method_testing_run(&m, &result, end);
    method_testing_least(&m, &result);
    ln__result_fini(&result);
    ln__blob_unref(m.task.model);
    m.task.model = before;
}

static void test_each_side_learns_from_its_own_loss(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method=localloss", NULL});
    const struct ln__env *env = &m.t.env;
    size_t graph = ln__graph_state(env->graph), head = 1024 * 10 + 10;
    assert_int_equal(env->state, graph + head);
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param);
    assert_string_equal(param[count - 2].name, "aux.weight");
    assert_string_equal(param[count - 1].name, "aux.bias");
    float *start = method_testing_state(&m), *end = method_testing_state(&m), *other = method_testing_state(&m);
    memcpy(start, env->initial, env->state * sizeof *start);
    run(start, end);
    for (size_t i = 0; i < count; i++) /* every tensor is trained */
        assert_memory_not_equal(start + param[i].offset, end + param[i].offset, param[i].count * sizeof *start);

    /* Other layers behind the cut: the device part and the head do not notice. */
    for (size_t i = 0; i < count; i++) {
        if (ln__env_holds(env, (struct ln__segment){2, -1}, i))
            start[param[i].offset] += 0.5F;
    }
    run(start, other);
    for (size_t i = 0; i < count; i++) {
        if (ln__env_holds(env, (struct ln__segment){0, 2}, i))
            assert_memory_equal(end + param[i].offset, other + param[i].offset, param[i].count * sizeof *end);
        else
            assert_memory_not_equal(end + param[i].offset, other + param[i].offset, param[i].count * sizeof *end);
    }
    ln__mem_free(start);
    ln__mem_free(end);
    ln__mem_free(other);
    method_testing_close(&m);
}

static void test_bytes_as_the_formula(void **unused)
{
    (void)unused;
    struct ln__result result;
    struct ln__cut cut;
    uint64_t bytes = 0;
    method_testing_open(&m, (const char *const[]){"method=localloss", "train.epochs=1", NULL});
    method_testing_run(&m, &result, NULL);
    assert_int_equal(ln__graph_cut(m.t.env.graph, 2, &cut), 0);
    for (size_t i = 0; i < result.trace.count; i++)
        bytes += result.trace.row[i].times * (result.trace.row[i].bytes_up + result.trace.row[i].bytes_down);
    assert_int_equal(bytes, 23 * (4 * 1024 + 8) + 8 * (cut.state_before + 10250));
    ln__result_fini(&result);
    method_testing_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_side_learns_from_its_own_loss), cmocka_unit_test(test_bytes_as_the_formula)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
