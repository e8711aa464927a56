/* Tests of clients that train or send a part of the network: cnn5x5 on 1 x 16 x 16 pictures, four clients of 30, three rounds of two. `more` is what a test
 * adds to that recipe, in lines of YAML. */
#ifndef LINNET_TESTS_PART_TESTING_H
#define LINNET_TESTS_PART_TESTING_H

#include "conformance/federation.h"
#include <math.h>

#define PART_DATA                                                                                                                                    \
    "model: {name: cnn5x5}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 16, width: 16, train: 120, test: 40}, clients: 4}\n"

static void part_recipe(char *to, size_t room, int threads, const char *more)
{
    int size = snprintf(to, room,
                        PART_DATA "train: {rounds: 3, sample: 2, batch: 10, optimizer: {kind: sgd, lr: 0.05, momentum: 0.9}}\n"
                                  "eval: {every: 1}\ncheckpoint: {every_s: 1e9}\n"
                                  "fleet: {kind: sim, threads: %d, devices: [{profile: rpi4, count: 4, up_mbit: 1, down_mbit: 10, rtt_ms: 10}]}\n%s",
                        threads, more);
    assert_true(size > 0 && (size_t)size < room);
}

/* One and three threads, and two in a run that stops after every second event, end with the same model, of numbers. */
static void part_same_bits(const char *more)
{
    struct federation federation;
    char text[2048];
    int error;
    federation_open(&federation);
    part_recipe(text, sizeof text, 1, more);
    federation_finish(&federation, text, NULL);
    float *model = federation.model;
    size_t state = federation.state;
    federation.model = NULL;
    for (size_t i = 0; i < state; i++)
        assert_true(isfinite(model[i]));
    federation_clean(&federation);
    part_recipe(text, sizeof text, 3, more);
    federation_finish(&federation, text, NULL);
    assert_memory_equal(federation.model, model, state * sizeof *model);
    federation_clean(&federation);
    part_recipe(text, sizeof text, 2, more);
    while ((error = federation_run(&federation, text, NULL, 2)) == LN_EINTERRUPTED)
        assert_true(federation.events > 0);
    assert_int_equal(error, 0);
    assert_memory_equal(federation.model, model, state * sizeof *model);
    ln__mem_free(model);
    federation_close(&federation);
}

static struct ln__metrics part_last(const char *more)
{
    struct federation federation;
    char text[2048];
    federation_open(&federation);
    part_recipe(text, sizeof text, 1, more);
    federation_finish(&federation, text, NULL);
    struct ln__metrics last = federation.last;
    federation_close(&federation);
    return last;
}

/* The recipe, with one setting more or NULL, is refused before the run by a sentence that holds `part`. */
static void part_refused(const char *more, const char *set, const char *part)
{
    struct federation federation;
    char text[2048];
    federation_open(&federation);
    part_recipe(text, sizeof text, 1, more);
    int error = federation_run(&federation, text, set, 0);
    if (error != LN_ECONFIG || !strstr(federation.fault.text, part))
        print_error("%s: %s\n", ln_error_name(error), federation.fault.text);
    assert_int_equal(error, LN_ECONFIG);
    assert_non_null(strstr(federation.fault.text, part));
    federation_close(&federation);
}

#endif
