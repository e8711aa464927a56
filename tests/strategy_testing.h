/* The test's side of a strategy. Included after the source under test, whose options it reads:
 *
 *     #include "fed/strategies/fedbuff.c"
 *     #define TESTED ln__strategy_fedbuff
 *     #include "strategy_testing.h"
 *
 * `options` are then the strategy's, at their defaults before each test that is set up by `defaults`. A world is made by fake_new, changed, begun by fake_start
 * and goes on by fake_step. The last part is what every strategy must do: tests to be listed beside its own. */
#ifndef LINNET_TESTS_STRATEGY_TESTING_H
#define LINNET_TESTS_STRATEGY_TESTING_H

#include "fake_run.h"

static struct options options;

/* ---- options ---- */

/* An options struct with the table's defaults. */
static inline void fake_defaults(const struct ln_option *table, void *out)
{
    for (; table->key; table++) {
        char *member = (char *)out + table->offset;
        switch (table->type) {
        case LN_OPT_INT:
            *(int64_t *)(void *)member = strtoll(table->fallback, NULL, 10);
            break;
        case LN_OPT_REAL:
            *(double *)(void *)member = strtod(table->fallback, NULL);
            break;
        case LN_OPT_BOOL:
            *(bool *)member = strcmp(table->fallback, "true") == 0;
            break;
        case LN_OPT_ENUM: {
            const char *at = strstr(table->choices, table->fallback);
            assert_non_null(at);
            int index = 0;
            for (const char *c = table->choices; c < at; c++)
                index += *c == '|';
            *(int *)(void *)member = index;
            break;
        }
        default:
            fail_msg("%s: a type of option the fake run does not know", table->key);
        }
    }
}

static inline int defaults(void **unused)
{
    (void)unused;
    options = (struct options){0};
    fake_defaults(TESTED.plugin.options, &options);
    return 0;
}

/* ---- a world, event by event ---- */

/* A run whose world is even: 10 samples and 1 s a client, uniform labels; change it, then fake_start. */
static inline struct ln_run *fake_new(uint32_t clients, uint32_t sample)
{
    struct ln_run *run = ln__mem_zero(1, sizeof *run);
    assert_non_null(run);
    assert_true(clients <= FAKE_CLIENTS);
    run->strategy = &TESTED;
    run->options = &options;
    run->clients = clients;
    run->sample = sample;
    run->classes = FAKE_CLASSES;
    run->rounds = 200;
    run->seed = 1;
    for (uint32_t i = 0; i < clients; i++) {
        run->samples[i] = 10;
        run->latency[i] = 1;
        run->accuracy[i] = 0.5;
        for (int c = 0; c < FAKE_CLASSES; c++)
            run->histogram[i][c] = 1;
    }
    run->model = fake_blob(run, (double[FAKE_DIM]){0}, false);
    run->self = ln__mem_zero(1, TESTED.state_size);
    assert_non_null(run->self);
    return run;
}

static inline void fake_start(struct ln_run *run)
{
    assert_int_equal(run->strategy->start(run->self, run->options, run), LN_OK);
}

/* Delivers the next event; false where nothing will ever come. */
static inline bool fake_step(struct ln_run *run)
{
    struct fake_event *next = NULL;
    for (size_t i = 0; i < run->events; i++) {
        struct fake_event *slot = &run->event[i];
        if (!slot->used)
            continue;
        if (!next || slot->event.time_s < next->event.time_s || (slot->event.time_s == next->event.time_s && slot->sequence < next->sequence))
            next = slot;
    }
    if (!next)
        return false;
    struct ln_event event = next->event;
    next->used = false;
    run->now = event.time_s;
    if (event.task.value)
        run->busy[event.client] = false;
    run->error = run->strategy->event(run->self, run->options, run, &event);
    assert_int_equal(run->error, LN_OK);
    ln_blob_unref(event.update);
    ln_blob_unref(event.base);
    ln_blob_unref(event.model);
    return true;
}

static inline void fake_until_version(struct ln_run *run, uint64_t version)
{
    for (int i = 0; run->version < version; i++) {
        assert_true(i < 1000000);
        assert_true(fake_step(run));
    }
}

static inline void fake_free(struct ln_run *run)
{
    if (run->strategy->stop)
        run->strategy->stop(run->self, run->options, run);
    for (size_t i = 0; i < run->events; i++) {
        if (!run->event[i].used)
            continue;
        ln_blob_unref(run->event[i].event.update);
        ln_blob_unref(run->event[i].event.base);
        ln_blob_unref(run->event[i].event.model);
    }
    ln_blob_unref(run->model);
    assert_int_equal(run->blobs, 0);
    for (size_t i = 0; i < run->allocs; i++)
        ln__mem_free(run->alloc[i].block);
    ln__mem_free(run->trace);
    ln__mem_free(run->self);
    ln__mem_free(run);
}

/* Saves the strategy, forgets it, and restores it into fresh memory. The old memory is poisoned. */
static inline void fake_checkpoint(struct ln_run *run)
{
    struct ln_archive archive = {0};
    ln__buf_init(&archive.bytes, 1 << 24);
    assert_int_equal(run->strategy->archive(run->self, run->options, run, &archive), LN_OK);
    size_t old = run->allocs;
    void *self = ln__mem_zero(1, run->strategy->state_size);
    assert_non_null(self);
    archive.reading = true;
    assert_int_equal(run->strategy->archive(self, run->options, run, &archive), LN_OK);
    assert_int_equal(archive.at, archive.bytes.size);
    if (run->strategy->stop)
        run->strategy->stop(run->self, run->options, run);
    memset(run->self, 0xdd, run->strategy->state_size);
    ln__mem_free(run->self);
    run->self = self;
    for (size_t i = 0; i < old; i++) {
        memset(run->alloc[i].block, 0xdd, run->alloc[i].size);
        ln__mem_free(run->alloc[i].block);
    }
    memmove(run->alloc, run->alloc + old, (run->allocs - old) * sizeof *run->alloc);
    run->allocs -= old;
    ln__buf_fini(&archive.bytes);
}

/* Weights lie on a grid of 2^-32. */
static inline void near(const struct ln_run *run, double expected)
{
    for (int d = 0; d < FAKE_DIM; d++)
        assert_true(fabs(run->model->x[d] - expected) < 1e-8);
}

/* Each client adds its number plus one. */
static inline void step_up(struct ln_run *run, uint32_t client, const double *from, double *to)
{
    (void)run;
    for (int d = 0; d < FAKE_DIM; d++)
        to[d] = from[d] + client + 1;
}

/* A world to get lost in: latencies over two decades, two labels a client, failures, slow folds. */
static inline void fake_wild(struct ln_run *run, uint64_t seed)
{
    struct ln__rng rng = ln__rng_at((struct ln__key){seed, 0, 0, LN__FOR_TEST});
    run->seed = seed;
    run->fail_chance = 0.1;
    run->refuse_every = seed % 2 ? 7 : 0;
    run->sum_delay_s = seed % 3 ? 0.25 * (double)(seed % 3) : 0;
    for (uint32_t i = 0; i < run->clients; i++) {
        run->latency[i] = 0.3 * exp(4 * ln__rng_unit(&rng));
        run->samples[i] = 1 + ln__rng_below(&rng, 50);
        run->accuracy[i] = ln__rng_unit(&rng);
        run->absent[i] = ln__rng_unit(&rng) < 0.1;
        memset(run->histogram[i], 0, sizeof run->histogram[i]);
        run->histogram[i][ln__rng_below(&rng, FAKE_CLASSES)] += run->samples[i] / 2;
        run->histogram[i][ln__rng_below(&rng, FAKE_CLASSES)] += run->samples[i] / 2;
    }
}

/* Something happens to somebody, perhaps. */
static inline void fake_shake(struct ln_run *run, struct ln__rng *rng)
{
    double what = ln__rng_unit(rng);
    uint32_t client = ln__rng_below(rng, run->clients);
    if (what < 0.02)
        fake_roster(run, client, false);
    else if (what < 0.05)
        fake_roster(run, client, true);
    else if (what < 0.08)
        run->latency[client] = 0.3 * exp(4 * ln__rng_unit(rng));
}

/* ---- what every strategy must do ---- */

/* Checkpoint and restore at random points change nothing, whatever happens to the world. */
static inline void checkpoints_change_nothing(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct ln_run *plain = fake_new(40, 5), *broken = fake_new(40, 5);
        fake_wild(plain, seed);
        fake_wild(broken, seed);
        struct ln__rng rng_a = ln__rng_at((struct ln__key){seed, 1, 0, LN__FOR_TEST}), rng_b = rng_a;
        struct ln__rng when = ln__rng_at((struct ln__key){seed, 2, 0, LN__FOR_TEST});
        fake_start(plain);
        fake_start(broken);
        for (int i = 0; i < 2000; i++) {
            fake_shake(plain, &rng_a);
            fake_shake(broken, &rng_b);
            bool more = fake_step(plain);
            assert_int_equal(fake_step(broken), more);
            if (ln__rng_below(&when, 8) == 0)
                fake_checkpoint(broken);
            assert_true(plain->now == broken->now);
            assert_int_equal(plain->tasks, broken->tasks);
            assert_int_equal(plain->version, broken->version);
            assert_memory_equal(plain->model->x, broken->model->x, sizeof plain->model->x);
        }
        assert_true(plain->version > 0);
        fake_free(plain);
        fake_free(broken);
    }
}

/* In a wild world that calms down, work goes on: every client that is there trains again. */
static inline void work_goes_on(void **unused)
{
    (void)unused;
    enum { CLIENTS = 40 };
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct ln_run *run = fake_new(CLIENTS, 5);
        fake_wild(run, seed);
        struct ln__rng rng = ln__rng_at((struct ln__key){seed, 1, 0, LN__FOR_TEST});
        fake_start(run);
        for (int i = 0; i < 4000; i++) {
            fake_shake(run, &rng);
            if (!fake_step(run))
                fake_roster(run, ln__rng_below(&rng, CLIENTS), true);
        }
        for (uint32_t i = 0; i < CLIENTS; i++)
            fake_roster(run, i, true);
        run->fail_chance = 0;
        uint64_t trained[CLIENTS], version = run->version;
        memcpy(trained, run->trained, sizeof trained);
        for (int i = 0; i < 400 * CLIENTS; i++)
            assert_true(fake_step(run));
        assert_true(run->version > version);
        for (uint32_t i = 0; i < CLIENTS; i++)
            assert_true(run->trained[i] > trained[i]);
        fake_free(run);
    }
}

/* One client, fewer clients than groups, equal latencies, everyone away at first, a run that ends. */
static inline void small_worlds(void **unused)
{
    (void)unused;
    for (uint32_t clients = 1; clients <= 6; clients++) {
        struct ln_run *run = fake_new(clients, 10);
        for (uint32_t i = 0; i < clients; i++)
            run->absent[i] = true;
        fake_start(run);
        assert_int_equal(run->tasks, 0);
        for (uint32_t i = 0; i < clients; i++)
            fake_roster(run, i, true);
        run->publish_limit = 30;
        fake_until_version(run, 30);
        uint64_t tasks = run->tasks;
        while (fake_step(run))
            ;
        assert_int_equal(run->tasks, tasks);
        assert_int_equal(run->version, 30);
        fake_free(run);
    }
}

/* What is refused leaves nothing behind: no sum stays open but the one that is being gathered, and the model is what it was. */
static inline void refusals_leave_nothing(void **unused)
{
    (void)unused;
    struct ln_run *run = fake_new(20, 5);
    run->refuse_every = 1;
    for (uint32_t i = 0; i < 20; i++)
        run->latency[i] = 1 + i;
    fake_start(run);
    for (int i = 0; i < 1000; i++) {
        assert_true(fake_step(run));
        int open = 0;
        for (int s = 0; s < FAKE_SUMS; s++)
            open += run->sum[s].open;
        assert_true(open <= 5);
    }
    for (int d = 0; d < FAKE_DIM; d++)
        assert_true(run->model->x[d] == 0);
    fake_free(run);
}

/* As a method whose replay rounds want a buffer that nobody has. */
static inline bool fake_every_third_round(const struct ln_run *run, uint32_t client, uint32_t round)
{
    (void)run, (void)client;
    return round % 3 == 0;
}

/* Rounds in which a method has no work for anybody hold nothing up. */
static inline void rounds_without_work(void **unused)
{
    (void)unused;
    struct ln_run *run = fake_new(20, 5);
    for (uint32_t i = 0; i < 20; i++)
        run->latency[i] = 1 + i;
    run->works = fake_every_third_round;
    fake_start(run);
    fake_until_version(run, 20);
    fake_free(run);
}

#endif
