/* Devices that come and go by a trace, change class and report noised labels: the same bits for any number of threads and after any stop. */
#include "conformance/federation.h"

static char trace[] = "/tmp/linnet-trace-XXXXXX";

static void recipe_of(char *yaml, size_t room, const char *strategy)
{
    int size =
        snprintf(yaml, room,
                 "model: {name: logreg}\n" FEDERATION_DATA "train: {rounds: 6, sample: 4, batch: 10, epochs: 2, optimizer: {kind: sgd, lr: 0.1}}\n"
                 "checkpoint: {every_s: 1e9}\nstrategy: %s\nprivacy: {label_epsilon: 1}\n"
                 "fleet: {kind: sim, trace: %s, change: {every_rounds: 2, fraction: 0.3}, devices: [{profile: rpi4, count: 6, compute_s: 1}, "
                 "{profile: rpi3, compute_s: 2, jitter: 0.5}]}\n",
                 strategy, trace);
    assert_true(size > 0 && (size_t)size < room);
}

/* Client 0 never, 1..3 in the middle of their work, 4 comes back and goes once more, 5 comes late. */
static int write_trace(void **state)
{
    (void)state;
    int file = mkstemp(trace);
    FILE *out = file < 0 ? NULL : fdopen(file, "w");
    if (!out)
        return -1;
    fprintf(out, "client,time_s,available\n0,0,0\n5,0,0\n5,6,1\n");
    for (int i = 0; i < 40; i++)
        fprintf(out, "%d,%g,%d\n", 1 + i % 4, 0.7 * (i + 1), i / 4 % 2);
    return fclose(out);
}

static int remove_trace(void **state)
{
    (void)state;
    return unlink(trace);
}

static void test_coming_and_going(void **state)
{
    (void)state;
    static const char *const strategies[] = {"fedavg",
                                             "fedasync",
                                             "{kind: fedbuff, buffer: 3}",
                                             "{kind: tifl, tiers: 2}",
                                             "{kind: fedat, tiers: 2}",
                                             "astraea",
                                             "{kind: ecofl, groups: 2}"};
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        char yaml[2048];
        struct federation federation;
        federation_open(&federation);
        recipe_of(yaml, sizeof yaml, strategies[i]);
        federation_finish(&federation, yaml, "fleet.threads=1");
        float *model = federation.model;
        size_t state_size = federation.state;
        uint64_t events = federation.events, dropped = federation.last.dropped;
        double time_s = federation.last.time_s;
        federation.model = NULL;
        assert_true(dropped > 0);
        federation_clean(&federation);
        federation_finish(&federation, yaml, "fleet.threads=3");
        assert_memory_equal(federation.model, model, state_size * sizeof *model);
        assert_true(federation.last.time_s == time_s);
        federation_clean(&federation);
        int error;
        uint64_t seen = 0;
        while ((error = federation_run(&federation, yaml, "fleet.threads=2", 1)) == LN_EINTERRUPTED) {
            seen += federation.events;
            assert_true(seen < 10 * events);
        }
        if (error)
            print_error("%s: %s\n", strategies[i], federation.fault.text);
        assert_int_equal(error, 0);
        assert_memory_equal(federation.model, model, state_size * sizeof *model);
        assert_true(federation.last.time_s == time_s);
        assert_int_equal(federation.last.dropped, dropped);
        ln__mem_free(model);
        federation_close(&federation);
    }
}

#define MODEL_BYTES (4 * (36 * 10 + 10)) /* up, and down */
#define FLAT                                                                                                                                         \
    "model: {name: logreg}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 60, test: 20}, clients: %d}\n"                                           \
    "train: {rounds: 500, sample: 2, batch: 10, optimizer: {kind: sgd, lr: %s}}\nstop: {time_s: 50}\nstrategy: %s\n"                                 \
    "fleet: {kind: sim, trace: '%s', devices: [{compute_s: 1, rtt_ms: 0, up_mbit: 1, down_mbit: 1%s}]}\n"

static void run_flat(struct federation *federation, int clients, const char *lr, const char *strategy, const char *trace_path, const char *device)
{
    char yaml[2048];
    int size = snprintf(yaml, sizeof yaml, FLAT, clients, lr, strategy, trace_path, device);
    assert_true(size > 0 && (size_t)size < sizeof yaml);
    federation_open(federation);
    federation_finish(federation, yaml, NULL);
}

/* All leave together, two of them in the middle of their third task: it fails, and nobody begins another one at that moment, a third client that idles neither.
 * What had come down of the model by then was paid for. */
static void test_who_leaves_is_gone(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-trace-XXXXXX";
    int file = mkstemp(path);
    FILE *out = file < 0 ? NULL : fdopen(file, "w");
    assert_non_null(out);
    for (int client = 0; client < 3; client++)
        fprintf(out, "%d,2.5,0\n%d,100,1\n", client, client);
    assert_int_equal(fclose(out), 0);
    static const char *const strategies[] = {"fedavg", "fedasync", "{kind: fedbuff, buffer: 2}"};
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        struct federation federation;
        run_flat(&federation, 3, "0.1", strategies[i], path, "");
        assert_int_equal(federation.last.tasks, 4);
        assert_int_equal(federation.last.dropped, 2);
        assert_int_equal(federation.last.bytes_up, 4 * MODEL_BYTES);
        assert_true(federation.last.bytes_down > 4 * MODEL_BYTES && federation.last.bytes_down < 6 * MODEL_BYTES);
        federation_close(&federation);
    }
    unlink(path);
}

/* Nobody is left and nobody comes: a run with a horizon ends there, tested, with its model; one without says how many are away. */
static void test_all_leave_for_good(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-trace-XXXXXX", yaml[2048];
    int file = mkstemp(path);
    FILE *out = file < 0 ? NULL : fdopen(file, "w");
    assert_non_null(out);
    fprintf(out, "0,2.5,0\n1,2.5,0\n2,3,0\n");
    assert_int_equal(fclose(out), 0);
    struct federation federation;
    run_flat(&federation, 3, "0.1", "fedasync", path, "");
    assert_true(federation.last.time_s == 50 && federation.last.version > 0);
    federation_clean(&federation);
    snprintf(yaml, sizeof yaml, FLAT, 3, "0.1", "fedasync", path, "");
    assert_int_equal(federation_run(&federation, yaml, "stop.time_s=0", 0), LN_EINVALID);
    assert_non_null(strstr(federation.fault.text, "3 of 3 clients are away"));
    federation_close(&federation);
    unlink(path);
}

/* A refused result has cost what a good one does; one that is late, or whose device vanishes, what was done by then. */
static void test_what_fails_costs(void **state)
{
    (void)state;
    struct federation refused, late, vanished;
    run_flat(&refused, 2, "1000, weight_decay: 1000", "fedavg", "", "");
    uint64_t count = refused.last.refused;
    assert_in_range(count, 90, 100);
    assert_int_equal(refused.last.tasks, 0);
    assert_int_equal(refused.last.bytes_up, count * MODEL_BYTES);
    assert_int_equal(refused.last.bytes_down, count * MODEL_BYTES);
    assert_true(refused.last.joules > 0 && refused.last.device_macs > 0);
    federation_close(&refused);

    run_flat(&late, 2, "0.1", "{kind: fedavg, deadline_s: 0.9}", "", "");
    count = late.last.dropped;
    assert_in_range(count, 100, 110);
    assert_int_equal(late.last.tasks, 0);
    assert_int_equal(late.last.bytes_down, count * MODEL_BYTES);
    assert_true(late.last.bytes_up < late.last.bytes_down);
    assert_true(late.last.joules > 0 && late.last.device_macs > 0);
    federation_close(&late);

    /* by what can be foretold, in time: the update that packs so badly is known when it is there */
    run_flat(&late, 2, "0.1", "{kind: fedavg, deadline_s: 1.02}\ncodec: {up: {kind: f32, then: zstd}}", "", "");
    count = late.last.dropped;
    assert_in_range(count, 90, 100);
    assert_int_equal(late.last.tasks, 0);
    assert_int_equal(late.last.bytes_down, count * MODEL_BYTES);
    assert_true(late.last.bytes_up > count * MODEL_BYTES / 2 && late.last.bytes_up < late.last.bytes_down);
    federation_close(&late);

    run_flat(&vanished, 2, "0.1", "fedavg", "", ", failure: 1");
    count = vanished.last.dropped;
    assert_true(count > 50);
    assert_int_equal(vanished.last.tasks, 0);
    assert_true(vanished.last.bytes_down > 0 && vanished.last.bytes_down < count * MODEL_BYTES);
    assert_true(vanished.last.bytes_up > 0 && vanished.last.bytes_up < vanished.last.bytes_down);
    federation_close(&vanished);
}

/* What a probe says a training would take: by what codecs may write at the most, where the look-ahead has the least. */
static double estimate_of(const char *set)
{
    struct federation federation;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln__fleet *fleet;
    struct ln__fleet_event event;
    char yaml[2048];
    snprintf(yaml, sizeof yaml, FLAT, 2, "0.1", "fedavg", "", "");
    federation_open(&federation);
    assert_int_equal(federation_env(&federation, yaml, set, &conf, &recipe, &blobs, &env), 0);
    const struct ln__fleet_plugin *plugin = (const struct ln__fleet_plugin *)(const void *)recipe.fleet.plugin;
    assert_int_equal(plugin->open(recipe.fleet.options, &env, &fleet, NULL), 0);
    struct ln_blob *model;
    assert_int_equal(ln__blob_put(blobs, env.initial, env.state * sizeof(float), &model, NULL), 0);
    const struct ln__task probe = {.id = {1}, .kind = LN_TASK_PROBE, .site = LN__DEVICE, .epochs = 1, .model = model};
    assert_int_equal(plugin->dispatch(fleet, &probe), 0);
    assert_int_equal(plugin->next(fleet, NULL, &event), 0);
    assert_int_equal(event.kind, LN_EVENT_DONE);
    double estimate_s = event.estimate_s;
    ln__blob_unref(event.task.model);
    ln__result_fini(&event.result);
    ln__blob_unref(model);
    plugin->close(fleet);
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    federation_close(&federation);
    return estimate_s;
}

static void test_estimates_are_of_the_likely(void **state)
{
    (void)state;
    double plain = estimate_of(NULL), transfer_s = 2 * 8 * MODEL_BYTES / 1e6;
    assert_true(plain > 1 + transfer_s && plain < 1 + 1.1 * transfer_s);
    assert_true(estimate_of("codec={up: {kind: f32, then: zstd}, down: f32}") >= plain);
    assert_true(estimate_of("codec={up: {kind: sparse}, down: f32}") >= plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_coming_and_going), cmocka_unit_test(test_who_leaves_is_gone),
                                       cmocka_unit_test(test_what_fails_costs), cmocka_unit_test(test_all_leave_for_good),
                                       cmocka_unit_test(test_estimates_are_of_the_likely)};
    return cmocka_run_group_tests(tests, write_trace, remove_trace);
}
