#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "fed/replay.h"
#include "method_testing.h"
#include <math.h>

static struct method_testing m;

/* Training of the whole network whose device part is put back after each step: plain SGD has no memory that would notice. */
static void frozen_training(float *state)
{
    const struct ln__env *env = &m.t.env;
    const struct ln__net_wish wish = {.segment = {0, -1}, .batch = 10, .train = true, .copy = 7};
    const struct ln__task *task = &m.task;
    struct ln__key key = {.seed = (uint64_t)m.t.recipe.seed, .round = task->turn, .client = task->client};
    const uint32_t *index = env->shares.index + env->shares.start[task->client];
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param);
    struct ln__net *net;
    uint32_t order[23];
    float *x = ln__mem_alloc(10 * 768 * sizeof *x);
    int32_t y[10];
    assert_int_equal(ln__worker_net(m.worker, &wish, &net, NULL), 0);
    memcpy(state, env->initial, env->state * sizeof *state);
    ln__epoch_order(key, 0, order, 23);
    for (uint32_t at = 0; at < 23; at += 10) {
        int n = at + 10 <= 23 ? 10 : (int)(23 - at);
        struct ln__loss loss;
        ln__batch_fill(&(struct ln__batch_args){.set = &env->set, .split = LN__TRAIN, .index = index, .order = order + at, .key = key}, n, x, y);
        ln__net_load(net, state);
        ln__net_forward(net, n, x, true, &(struct ln__net_draw){.key = key});
        ln__net_loss(net, n, y, &loss);
        ln__net_learn(net, n, NULL, NULL, ln__task_rate(env, 0), 0);
        ln__net_store(net, state);
        for (size_t i = 0; i < count; i++) {
            if (ln__env_holds(env, (struct ln__segment){0, 2}, i))
                memcpy(state + param[i].offset, env->initial + param[i].offset, param[i].count * sizeof *state);
        }
    }
    ln__mem_free(x);
}

static void test_period_1_is_training_with_a_frozen_part(void **unused)
{
    (void)unused;
    method_testing_open(
        &m, (const char *const[]){"method={kind: ecofed, period: 1}", "train.epochs=1", "train.optimizer={kind: sgd, lr: 0.02, momentum: 0}", NULL});
    float *found = method_testing_state(&m), *expected = method_testing_state(&m);
    struct ln__result result;
    method_testing_run(&m, &result, found);
    frozen_training(expected);
    assert_memory_equal(found, expected, m.t.env.state * sizeof *found);
    assert_memory_not_equal(found, m.t.env.initial, m.t.env.state * sizeof *found);
    method_testing_least(&m, &result);
    assert_non_null(result.keep);
    ln__result_fini(&result);
    ln__mem_free(found);
    ln__mem_free(expected);
    method_testing_close(&m);
}

/* The same batches from the buffer are the same training; the device has no part in it. */
static void test_a_replay_is_the_update_round_again(void **unused)
{
    (void)unused;
    static const char *const codecs[] = {"codec.act=f32", "codec.act=q8", "codec.act={kind: q8, signed: false, scale: channel, then: zstd}"};
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        method_testing_open(&m, (const char *const[]){"method={kind: ecofed, reshuffle: false, labels: byte}", "train.epochs=1", codecs[c], NULL});
        float *first = method_testing_state(&m), *again = method_testing_state(&m);
        struct ln__result sent, replayed;
        method_testing_run(&m, &sent, first);
        m.task.site = LN__SERVER;
        m.task.round = 1;
        m.task.turn = 1;
        m.task.keep = sent.keep;
        method_testing_run(&m, &replayed, again);
        assert_memory_equal(first, again, m.t.env.state * sizeof *first);
        assert_true(replayed.loss == sent.loss && replayed.samples == 23 && !replayed.keep_changed);
        assert_int_equal(replayed.trace.count, 1);
        assert_int_equal(replayed.trace.row[0].mark, LN__MARK_SERVER);
        method_testing_least(&m, &replayed);
        ln__result_fini(&sent);
        ln__result_fini(&replayed);
        ln__mem_free(first);
        ln__mem_free(again);
        method_testing_close(&m);
    }
}

static void test_where_the_work_is(void **unused)
{
    (void)unused;
    static const struct {
        const char *set;
        enum ln__site empty[4], kept[4];
    } row[] = {
        {"method={kind: ecofed}", {LN__DEVICE, LN__NOWHERE, LN__DEVICE, LN__NOWHERE}, {LN__DEVICE, LN__SERVER, LN__DEVICE, LN__SERVER}},
        {"method={kind: ecofed, period: 1}", {LN__DEVICE, LN__DEVICE, LN__DEVICE, LN__DEVICE}, {LN__DEVICE, LN__DEVICE, LN__DEVICE, LN__DEVICE}},
        {"method={kind: ecofed, period: 3}", {LN__DEVICE, LN__NOWHERE, LN__NOWHERE, LN__DEVICE}, {LN__DEVICE, LN__SERVER, LN__SERVER, LN__DEVICE}},
        {"method={kind: ecofed, period: once}", {LN__DEVICE, LN__DEVICE, LN__DEVICE, LN__DEVICE}, {LN__SERVER, LN__SERVER, LN__SERVER, LN__SERVER}}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        method_testing_open(&m, (const char *const[]){row[i].set, NULL});
        for (uint32_t round = 0; round < 4; round++) {
            assert_int_equal(m.t.env.method->site(m.t.env.method_plan, &m.t.env, false, 1, round), row[i].empty[round]);
            assert_int_equal(m.t.env.method->site(m.t.env.method_plan, &m.t.env, true, 1, round), row[i].kept[round]);
        }
        method_testing_close(&m);
    }
}

/* Every sample of a pass comes once, whatever batches are drawn; another epoch draws others, the same one the same. */
static void test_replay_draws_anew(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method={kind: ecofed, augmented: 2}", "data.augment=[crop]", NULL});
    const struct ln__halves *split = m.t.env.method_plan;
    struct ln__replay *replay;
    struct ln__result result[2];
    for (uint32_t c = 0; c < 2; c++) {
        m.task.client = c;
        method_testing_run(&m, &result[c], NULL);
    }
    assert_int_equal(ln__replay_new(split, &replay, NULL), 0);
    for (int c = 0; c < 2; c++)
        assert_int_equal(ln__replay_add_blob(replay, result[c].keep, NULL), 0);
    float *x = ln__mem_alloc(10 * split->values * sizeof *x);
    double sum[5];
    float first[5];
    int32_t label[10];
    for (uint32_t pass = 0; pass < 5; pass++) {
        const struct ln__replay_pass of = {.key = {.seed = 5}, .epoch = pass == 3 ? 0 : pass, .pass = pass == 3 ? 0 : pass, .shuffle = pass != 4};
        int n, total = 0, batches = 0;
        sum[pass] = 0;
        assert_int_equal(ln__replay_begin(replay, &of, NULL), 0);
        while ((n = ln__replay_next(replay, x, label, NULL)) > 0) {
            first[pass] = total == 0 ? x[0] + 10 * x[100] : first[pass];
            for (size_t i = 0; i < (size_t)n * split->values; i++)
                sum[pass] += (double)x[i];
            total += n;
            batches++;
        }
        assert_int_equal(n, 0);
        assert_int_equal(total, 46);
        assert_int_equal(batches, pass == 4 ? 6 : 5);
    }
    assert_true(fabs(sum[0] - sum[2]) < 1e-6 * sum[0] && fabs(sum[0] - sum[4]) < 1e-6 * sum[0]); /* the same copies in another order */
    assert_true(fabs(sum[0] - sum[1]) > 1e-6 * sum[0]);                                          /* the other copies */
    assert_true(sum[3] == sum[0] && first[3] == first[0] && first[2] != first[0]);
    ln__mem_free(x);
    ln__replay_free(replay);
    for (int c = 0; c < 2; c++)
        ln__result_fini(&result[c]);
    method_testing_close(&m);
}

/* Where a sample's maps lie after a move: every channel alike, zeros outside, mirrored after it. */
static bool moved(const struct ln__halves *split, const float *from, const float *to, int dy, int dx, bool flip)
{
    int h = split->shape.h, w = split->shape.w;
    for (int c = 0; c < split->shape.c; c++) {
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                int sy = y + dy, sx = (flip ? w - 1 - x : x) + dx;
                bool inside = sy >= 0 && sy < h && sx >= 0 && sx < w;
                if (to[(c * h + y) * w + x] != (inside ? from[(c * h + sy) * w + sx] : 0.0F))
                    return false;
            }
        }
    }
    return true;
}

/* The whole of a pass, in the order of its batches. */
static void read_pass(struct ln__replay *replay, const struct ln__replay_pass *pass, size_t values, float *x, int32_t *label)
{
    int n;
    assert_int_equal(ln__replay_begin(replay, pass, NULL), 0);
    for (size_t at = 0; (n = ln__replay_next(replay, x + at * values, label + at, NULL)) > 0; at += (size_t)n)
        assert_true(at + (size_t)n <= 23);
    assert_int_equal(n, 0);
}

/* Each sample lies where one of the fifty moves puts it, and which one is drawn by key and epoch alone, whatever batches are drawn. */
static void test_augments_what_is_kept(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method={kind: ecofed, cut: 1}", NULL});
    const struct ln__halves *split = m.t.env.method_plan;
    const struct ln__augment augment = {.crop = 2, .flip = true};
    struct ln__replay *replay;
    struct ln__result result;
    size_t values = split->values;
    float *plain = ln__mem_zero(5 * 23 * values, sizeof *plain);
    int32_t label[5][23];
    method_testing_run(&m, &result, NULL);
    assert_int_equal(ln__replay_new(split, &replay, NULL), 0);
    assert_int_equal(ln__replay_add_blob(replay, result.keep, NULL), 0);
    const struct ln__replay_pass pass[5] = {{.key = {.seed = 5, .round = 1, .client = 1}},
                                            {.key = {.seed = 5, .round = 1, .client = 1}, .augment = &augment},
                                            {.key = {.seed = 5, .round = 1, .client = 1}, .augment = &augment},
                                            {.key = {.seed = 5, .round = 1, .client = 1}, .epoch = 1, .augment = &augment},
                                            {.key = {.seed = 5, .round = 2, .client = 1}, .augment = &augment}};
    for (int i = 0; i < 5; i++) {
        read_pass(replay, &pass[i], values, plain + (size_t)i * 23 * values, label[i]);
        assert_memory_equal(label[i], label[0], sizeof label[i]);
    }
    int moves[5][5][2] = {0}, different = 0;
    for (size_t s = 0; s < 23; s++) {
        int found = 0;
        for (int place = 0; place < 50; place++) {
            int dy = place / 10 - 2, dx = place / 2 % 5 - 2;
            if (moved(split, plain + s * values, plain + (23 + s) * values, dy, dx, place % 2)) {
                found++;
                different += moves[dy + 2][dx + 2][place % 2]++ == 0;
            }
        }
        assert_int_equal(found, 1);
    }
    assert_true(different > 10); /* of 50, by 23 draws */
    size_t bytes = 23 * values * sizeof *plain;
    assert_memory_equal(plain + 23 * values, plain + (size_t)2 * 23 * values, bytes);
    assert_memory_not_equal(plain + 23 * values, plain + (size_t)3 * 23 * values, bytes);
    assert_memory_not_equal(plain + 23 * values, plain + (size_t)4 * 23 * values, bytes);

    /* Batches drawn anew hold the same samples in the same places. */
    struct ln__replay_pass shuffled = pass[1];
    float *other = plain + (size_t)2 * 23 * values;
    shuffled.shuffle = true;
    read_pass(replay, &shuffled, values, other, label[2]);
    for (size_t s = 0; s < 23; s++) {
        int found = 0;
        for (size_t t = 0; t < 23; t++)
            found += memcmp(other + s * values, plain + (23 + t) * values, values * sizeof *plain) == 0 && label[2][s] == label[1][t];
        assert_int_equal(found, 1);
    }
    ln__mem_free(plain);
    ln__replay_free(replay);
    ln__result_fini(&result);
    method_testing_close(&m);
}

/* What comes from a device is trained on as it comes: the option first changes the replay. */
static void test_the_first_pass_is_not_augmented_again(void **unused)
{
    (void)unused;
    static const char *const method[] = {"method={kind: ecofed, cut: 1}", "method={kind: ecofed, cut: 1, replay_augment: [shift, flip]}",
                                         "method={kind: ecofed, cut: 1, replay_augment: [shift, flip]}",
                                         "method={kind: ecofed, cut: 1, replay_augment: flip}"};
    float *state[4][2];
    for (size_t i = 0; i < 4; i++) {
        struct ln__result sent, replayed;
        method_testing_open(&m, (const char *const[]){method[i], "train.epochs=1", "codec.act=q8", NULL});
        state[i][0] = method_testing_state(&m);
        state[i][1] = method_testing_state(&m);
        method_testing_run(&m, &sent, state[i][0]);
        m.task.site = LN__SERVER;
        m.task.round = m.task.turn = 1;
        m.task.keep = sent.keep;
        method_testing_run(&m, &replayed, state[i][1]);
        method_testing_least(&m, &replayed);
        ln__result_fini(&sent);
        ln__result_fini(&replayed);
        size_t bytes = m.t.env.state * sizeof(float);
        assert_memory_equal(state[0][0], state[i][0], bytes);
        if (i == 2)
            assert_memory_equal(state[1][1], state[2][1], bytes);
        for (size_t j = 0; j < i && !(i == 2 && j == 1); j++)
            assert_memory_not_equal(state[j][1], state[i][1], bytes);
        method_testing_close(&m);
    }
    for (size_t i = 0; i < 4; i++) {
        ln__mem_free(state[i][0]);
        ln__mem_free(state[i][1]);
    }
}

static void test_damaged_buffers(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method=ecofed", NULL});
    struct ln__result result;
    struct ln__replay *replay;
    const void *bytes;
    method_testing_run(&m, &result, NULL);
    size_t size = ln__blob_size(result.keep);
    unsigned char *copy = ln__mem_alloc(size);
    assert_int_equal(ln__blob_pin(result.keep, &bytes, NULL), 0);
    for (size_t at = 0; at < 24 + 32 + 1; at++) {
        memcpy(copy, bytes, size);
        copy[at % 56] ^= 0x41;
        assert_int_equal(ln__replay_new(m.t.env.method_plan, &replay, NULL), 0);
        int error = ln__replay_add(replay, copy, at == 56 ? size - 1 : size, NULL);
        bool counts =
            (at >= 4 && at < 8) || (at >= 12 && at < 16) || (at >= 24 + 12 && at < 24 + 16); /* client, more passes, step: nothing depends on them */
        assert_int_equal(error, counts ? 0 : LN_ECORRUPT);
        ln__replay_free(replay);
    }
    ln__blob_unpin(result.keep);
    ln__mem_free(copy);
    ln__result_fini(&result);
    method_testing_close(&m);
}

/* Two batches of three come, then nothing: what they changed goes, the keep before stays. */
static void test_a_client_that_vanishes(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method=ecofed", NULL});
    const struct ln__method *method = m.t.env.method;
    const struct ln__halves *split = m.t.env.method_plan;
    struct ln__result result;
    method_testing_run(&m, &result, NULL);
    ln__result_fini(&result);
    int64_t live = ln__mem_live();
    struct ln__session session = {.env = &m.t.env, .worker = m.worker, .task = &m.task, .result = &result};
    float *x = ln__mem_zero(10 * split->values, sizeof *x);
    int32_t label[10] = {0};
    struct ln__message message = {.payload = 0}, reply = {.payload = 0};
    ln__buf_init(&message.bytes, 1 << 24);
    assert_int_equal(method->open(m.t.env.method_plan, &session), 0);
    for (uint32_t step = 0; step < 2; step++) {
        assert_int_equal(ln__activations_write(split, &(struct ln__activations){.n = 10, .step = step, .label = label, .x = x}, &message, NULL), 0);
        assert_int_equal(method->answer(m.t.env.method_plan, &session, &message, NULL), 0);
    }
    assert_int_equal(method->answer(m.t.env.method_plan, &session, &message, &reply), LN_ECORRUPT); /* nothing is answered */
    assert_int_equal(method->answer(m.t.env.method_plan, &session, &message, NULL), LN_ECORRUPT);   /* 30 samples of 23 */
    assert_int_equal(method->close(m.t.env.method_plan, &session, true), 0);
    assert_true(!result.keep && !result.update && !result.keep_changed);
    ln__buf_fini(&message.bytes);
    ln__mem_free(x);
    assert_int_equal(ln__mem_live(), live);
    method_testing_close(&m);
}

static void test_refuses_activations_that_are_not_finite(void **unused)
{
    (void)unused;
    static const char *const codecs[] = {"codec.act=f32", "codec.act=q8"};
    for (int c = 0; c < 2; c++) {
        method_testing_open(&m, (const char *const[]){"method=ecofed", codecs[c], NULL});
        struct ln__result result;
        m.t.env.initial[m.t.env.param[1].offset] = INFINITY; /* conv1's bias */
        ln__task_run(m.worker, &m.task, &result);
        assert_int_equal(result.error, LN_EREFUSED);
        assert_non_null(strstr(result.fault.text, "cut 2"));
        assert_true(!result.keep && !result.update);
        ln__result_fini(&result);
        method_testing_close(&m);
    }
}

/* One client alone: pooled training is that client's, with batches drawn by the sum's key. Two clients: all their samples. */
static void test_one_shared_model(void **unused)
{
    (void)unused;
    method_testing_open(&m, (const char *const[]){"method={kind: ecofed, server: shared}", "train.epochs=1", "codec.act=q8", NULL});
    const struct ln__env *env = &m.t.env;
    struct ln__result result[2];
    struct ln_blob *keep[3] = {NULL};
    float *state = method_testing_state(&m), *again = method_testing_state(&m);
    for (uint32_t c = 0; c < 2; c++) {
        m.task.client = c;
        method_testing_run(&m, &result[c], state);
        assert_memory_equal(state, env->initial, env->state * sizeof *state); /* the update says: as it was */
        method_testing_least(&m, &result[c]);
        keep[c] = result[c].keep;
    }
    for (int turn = 0; turn < 2; turn++) {
        struct ln__trace trace = {0};
        struct ln__gather gather = {.env = env,
                                    .worker = m.worker,
                                    .client = (const uint32_t[]){0, 1, 2},
                                    .weight = (const double[]){23, 23, 23},
                                    .keep = keep, /* the third has none any more */
                                    .count = 3,
                                    .key = {.seed = 1, .round = 4},
                                    .state = turn ? again : state,
                                    .trace = &trace};
        memcpy(gather.state, env->initial, env->state * sizeof *state);
        assert_int_equal(env->method->gather(env->method_plan, &gather), 0);
        assert_int_equal(trace.count, 1);
        assert_int_equal(trace.row[0].server_macs, 46 * ((const struct ln__halves *)env->method_plan)->server_train);
        ln__trace_fini(&trace);
    }
    assert_memory_equal(state, again, env->state * sizeof *state);
    for (size_t i = 0; i < env->params; i++) {
        size_t size = env->param[i].count * sizeof *state;
        if (ln__env_holds(env, (struct ln__segment){0, 2}, i))
            assert_memory_equal(state + env->param[i].offset, env->initial + env->param[i].offset, size);
        else
            assert_memory_not_equal(state + env->param[i].offset, env->initial + env->param[i].offset, size);
    }
    for (int c = 0; c < 2; c++)
        ln__result_fini(&result[c]);
    ln__mem_free(state);
    ln__mem_free(again);
    method_testing_close(&m);
}

/* Batches of the pool are drawn anew each time, or, without reshuffle, are as they came whatever the key. */
static void test_reshuffle_of_the_shared_model(void **unused)
{
    (void)unused;
    for (int reshuffle = 0; reshuffle < 2; reshuffle++) {
        const char *method = reshuffle ? "method={kind: ecofed, server: shared}" : "method={kind: ecofed, server: shared, reshuffle: false}";
        method_testing_open(&m, (const char *const[]){method, "train.epochs=1", NULL});
        const struct ln__env *env = &m.t.env;
        size_t size = env->state * sizeof(float);
        struct ln__result result;
        float *state[2];
        method_testing_run(&m, &result, NULL);
        for (uint32_t turn = 0; turn < 2; turn++) {
            struct ln__trace trace = {0};
            state[turn] = method_testing_state(&m);
            struct ln__gather gather = {.env = env,
                                        .worker = m.worker,
                                        .client = (const uint32_t[]){1},
                                        .weight = (const double[]){23},
                                        .keep = &result.keep,
                                        .count = 1,
                                        .key = {.seed = 1, .round = turn},
                                        .state = state[turn],
                                        .trace = &trace};
            memcpy(gather.state, env->initial, size);
            assert_int_equal(env->method->gather(env->method_plan, &gather), 0);
            ln__trace_fini(&trace);
        }
        assert_int_equal(memcmp(state[0], state[1], size) != 0, reshuffle);
        ln__mem_free(state[0]);
        ln__mem_free(state[1]);
        ln__result_fini(&result);
        method_testing_close(&m);
    }
}

/* Noise on activations is not that on label counts, which is drawn for the same client in its first turn. */
static void test_noise_of_its_own(void **unused)
{
    (void)unused;
    float *x[2];
    int32_t label[23];
    size_t values = 0, noised = 0, alike = 0;
    for (int i = 0; i < 2; i++) {
        const struct ln__replay_pass pass = {.key = {.seed = 5}};
        struct ln__result result;
        struct ln__replay *replay;
        method_testing_open(&m, (const char *const[]){i ? "method={kind: ecofed, noise: 0.5}" : "method=ecofed", NULL});
        const struct ln__halves *split = m.t.env.method_plan;
        values = split->values;
        x[i] = ln__mem_zero(23 * values, sizeof **x);
        method_testing_run(&m, &result, NULL);
        assert_int_equal(ln__replay_new(split, &replay, NULL), 0);
        assert_int_equal(ln__replay_add_blob(replay, result.keep, NULL), 0);
        read_pass(replay, &pass, values, x[i], label);
        ln__replay_free(replay);
        ln__result_fini(&result);
        method_testing_close(&m);
    }
    double square = 0;
    for (size_t i = 0; i < 10 * values; i++) /* the first batch */
        square += (double)x[0][i] * (double)x[0][i];
    double size = 0.5 * sqrt(square / (double)(10 * values));
    struct ln__rng rng =
        ln__rng_at((struct ln__key){.seed = (uint64_t)m.t.recipe.seed, .round = m.task.turn, .client = m.task.client, .purpose = LN__FOR_NOISE});
    for (size_t i = 0; i < 10 * values; i++) {
        float other = x[0][i] + (float)(size * ln__rng_normal(&rng));
        noised += x[1][i] > 0 && x[1][i] != x[0][i];
        alike += x[1][i] > 0 && fabsf(x[1][i] - other) < 1e-6F;
    }
    assert_true(noised > 3 * values);
    assert_true(alike < noised / 100);
    ln__mem_free(x[0]);
    ln__mem_free(x[1]);
}

static void test_refuses_by_name(void **unused)
{
    (void)unused;
    method_testing_refuses("method={kind: ecofed, period: two}", "method.period: two");
    method_testing_refuses("method={kind: ecofed, period: 0}", "method.period: 0");
    method_testing_refuses("method={kind: ecofed, cut: 3, replay_augment: shift}",
                           "method.replay_augment: what crosses cut 3 is 512 x 1 x 1, not maps");
    method_testing_refuses("method={kind: ecofed, server: shared, buffer_mb: 1, augmented: 100}", "method.buffer_mb: 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_period_1_is_training_with_a_frozen_part),
        cmocka_unit_test(test_a_replay_is_the_update_round_again),
        cmocka_unit_test(test_where_the_work_is),
        cmocka_unit_test(test_replay_draws_anew),
        cmocka_unit_test(test_augments_what_is_kept),
        cmocka_unit_test(test_the_first_pass_is_not_augmented_again),
        cmocka_unit_test(test_damaged_buffers),
        cmocka_unit_test(test_a_client_that_vanishes),
        cmocka_unit_test(test_refuses_activations_that_are_not_finite),
        cmocka_unit_test(test_one_shared_model),
        cmocka_unit_test(test_reshuffle_of_the_shared_model),
        cmocka_unit_test(test_noise_of_its_own),
        cmocka_unit_test(test_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
