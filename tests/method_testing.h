/* One client's task by a method, without a fleet: cnn5x5 on 3 x 16 x 16 synthetic pictures, five clients of 23 samples. */
#ifndef LINNET_TESTS_METHOD_TESTING_H
#define LINNET_TESTS_METHOD_TESTING_H

#include "env_testing.h"
#include "fed/worker.h"

struct method_testing {
    struct env_testing t;
    struct ln__worker *worker;
    struct ln_blob *model;
    struct ln__task task;
};

/* set: up to eight more settings, ended by NULL. */
__attribute__((unused)) static void method_testing_open(struct method_testing *m, const char *const *set)
{
    const char *all[16] = {"model.name=cnn5x5", "data.set={kind: synthetic, height: 16, width: 16, train: 115, test: 20}", "data.clients=5",
                           "train.optimizer={kind: sgd, lr: 0.02, momentum: 0.9}", "train.epochs=2"};
    for (int i = 0; set && set[i]; i++)
        all[5 + i] = set[i];
    int error = env_testing_try_all(&m->t, all);
    if (error)
        print_error("%s\n", m->t.fault.text);
    assert_int_equal(error, 0);
    assert_int_equal(ln__worker_new(&m->t.env, NULL, &m->worker, NULL), 0);
    assert_int_equal(ln__blob_put(m->t.blobs, m->t.env.initial, m->t.env.state * sizeof(float), &m->model, NULL), 0);
    m->task = (struct ln__task){
        .id = {1}, .kind = LN_TASK_TRAIN, .site = LN__DEVICE, .client = 1, .epochs = (uint32_t)m->t.recipe.train.epochs, .model = m->model};
}

__attribute__((unused)) static void method_testing_close(struct method_testing *m)
{
    ln__worker_free(m->worker);
    ln__blob_unref(m->model);
    env_testing_close(&m->t);
}

/* Runs the task; the weights it leads to go into state (or NULL). The result is the caller's. */
__attribute__((unused)) static void method_testing_run(struct method_testing *m, struct ln__result *result, float *state)
{
    const void *message, *base;
    ln__task_run(m->worker, &m->task, result);
    if (result->error)
        print_error("%s\n", result->fault.text);
    assert_int_equal(result->error, 0);
    assert_non_null(result->update);
    if (!state)
        return;
    assert_int_equal(ln__blob_pin(result->update, &message, NULL), 0);
    assert_int_equal(ln__blob_pin(m->task.model, &base, NULL), 0);
    assert_int_equal(ln__update_check(&m->t.env, m->task.client, m->task.turn, message, ln__blob_size(result->update), base, state, NULL), 0);
    ln__blob_unpin(m->task.model);
    ln__blob_unpin(result->update);
}

__attribute__((unused)) static float *method_testing_state(const struct method_testing *m)
{
    float *state = ln__mem_zero(m->t.env.state, sizeof *state);
    assert_non_null(state);
    return state;
}

/* The trace of a task is its least one, row by row (codecs of fixed size). */
__attribute__((unused)) static void method_testing_least(struct method_testing *m, const struct ln__result *result)
{
    struct ln__trace least = {0};
    assert_int_equal(ln__task_foretell(&m->t.env, &m->task, LN__LEAST, &least), 0);
    assert_int_equal(least.count, result->trace.count);
    for (size_t i = 0; i < least.count; i++) {
        const struct ln__trace_row *a = &least.row[i], *b = &result->trace.row[i];
        if (a->mark != b->mark || a->times != b->times || a->macs != b->macs || a->server_macs != b->server_macs || a->bytes_up != b->bytes_up ||
            a->bytes_down != b->bytes_down || a->wire_up != b->wire_up || a->wire_down != b->wire_down)
            print_error("row %zu: mark %d, %u times, up %lu, down %lu against mark %d, %u times, up %lu, down %lu\n", i, a->mark, a->times,
                        (unsigned long)a->wire_up, (unsigned long)a->wire_down, b->mark, b->times, (unsigned long)b->wire_up,
                        (unsigned long)b->wire_down);
        assert_int_equal(a->mark, b->mark);
        assert_int_equal(a->times, b->times);
        assert_int_equal(a->macs, b->macs);
        assert_int_equal(a->server_macs, b->server_macs);
        assert_int_equal(a->bytes_up, b->bytes_up);
        assert_int_equal(a->bytes_down, b->bytes_down);
        assert_int_equal(a->wire_up, b->wire_up);
        assert_int_equal(a->wire_down, b->wire_down);
    }
    ln__trace_fini(&least);
}

/* What a method refuses before a run. */
__attribute__((unused)) static void method_testing_refuses(const char *set, const char *part)
{
    struct env_testing t;
    const char *all[] = {"model.name=cnn5x5", "data.set={kind: synthetic, train: 115, test: 20}", set, NULL};
    int64_t live = ln__mem_live();
    int error = env_testing_try_all(&t, all);
    if (error != LN_ECONFIG || !strstr(t.fault.text, part))
        print_error("%s: %s: %s\n", set, ln_error_name(error), t.fault.text);
    assert_int_equal(error, LN_ECONFIG);
    assert_non_null(strstr(t.fault.text, part));
    env_testing_close(&t);
    assert_int_equal(ln__mem_live(), live);
}

#endif
