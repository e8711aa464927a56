/* The battery every strategy must pass: tests/every_strategy_test.c runs all there are with their default options; other options take one line:
 *
 *     ln_conform_strategy("fedbuff", "buffer: 4")
 *
 * On a tiny federation of uneven clients with slow, jittery and failing devices: it ends, it publishes, it learns; one, two and three threads give the same
 * bits; stopped after every single event and resumed it gives the same bits; all tasks failing, it ends or says why. */
#ifndef LINNET_TESTS_CONFORMANCE_STRATEGY_H
#define LINNET_TESTS_CONFORMANCE_STRATEGY_H

#include "federation.h"
#include <math.h>

static inline void conform_recipe(char *yaml, size_t room, const char *strategy, const char *options, const char *failure, int rounds)
{
    int size =
        snprintf(yaml, room,
                 "model: {name: logreg}\n" FEDERATION_DATA "train: {rounds: %d, sample: 4, batch: 10, epochs: 2, optimizer: {kind: sgd, lr: 0.1}}\n"
                 "eval: {every: 1}\ncheckpoint: {every_s: 1e9}\nstrategy: {kind: %s%s%s}\n" FEDERATION_FLEET,
                 rounds, strategy, options[0] ? ", " : "", options, failure, failure);
    assert_true(size > 0 && (size_t)size < room);
}

static inline void ln_conform_strategy(const char *strategy, const char *options)
{
    char yaml[2048];
    struct federation federation;
    federation_open(&federation);
    conform_recipe(yaml, sizeof yaml, strategy, options, "0.2", 8);

    federation_finish(&federation, yaml, "fleet.threads=1");
    struct ln__metrics last = federation.last;
    float *model = federation.model;
    size_t state = federation.state;
    uint64_t events = federation.events;
    federation.model = NULL;
    assert_true(last.version > 0);
    assert_true(last.round >= 8 - 1e-6);
    assert_true(last.accuracy > 0.2); /* 0.1 is a guess */
    assert_true(last.tasks > 0 && last.refused == 0);
    for (size_t i = 0; i < state; i++)
        assert_true(isfinite(model[i]));

    const char *threads[] = {"fleet.threads=2", "fleet.threads=3"};
    for (int t = 0; t < 2; t++) {
        federation_clean(&federation);
        federation_finish(&federation, yaml, threads[t]);
        assert_memory_equal(federation.model, model, state * sizeof *model);
        assert_true(federation.last.time_s == last.time_s);
    }

    federation_clean(&federation);
    int error;
    uint64_t resumed = 0, seen = 0;
    while ((error = federation_run(&federation, yaml, "fleet.threads=2", 1)) == LN_EINTERRUPTED) {
        assert_true(++resumed < 10 * events + 10);
        seen += federation.events;
    }
    if (error)
        print_error("%s\n", federation.fault.text);
    assert_int_equal(error, 0);
    assert_int_equal(seen + federation.events, events);
    assert_memory_equal(federation.model, model, state * sizeof *model);
    assert_true(federation.last.time_s == last.time_s);
    assert_int_equal(federation.last.bytes_up, last.bytes_up);

    federation_clean(&federation);
    conform_recipe(yaml, sizeof yaml, strategy, options, "1", 2);
    error = federation_run(&federation, yaml, NULL, 2000);
    assert_true(error == 0 || error == LN_EINVALID || error == LN_EGONE);
    assert_true(federation.last.dropped > 0);

    ln__mem_free(model);
    federation_close(&federation);
}

#endif
