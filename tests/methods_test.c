/* The joints between loop, fleet, method and link, tried with methods and a fleet that exist only here: a split training whose halves meet in a session gives
 * the bits of a whole one; poisoned and repeated results are refused and counted; the books agree with the formulas. */
#include "conformance/federation.h"
#include <math.h>

#include "fed/update.h"

#define CNN_RECIPE                                                                                                                                   \
    "model: {name: cnn5x5}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 3, height: 16, width: 16, train: 48, test: 20}, clients: 4, augment: [crop, flip]}\n"                   \
    "train: {rounds: 2, sample: 2, batch: 5, epochs: 2, optimizer: {kind: sgd, lr: 0.02, momentum: 0.9}}\neval: {every: 2, batch: 20}\n"             \
    "fleet: {kind: sim, threads: 2}\n"
#define LOGREG_RECIPE                                                                                                                                \
    "model: {name: logreg}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 240, test: 60}, clients: 12}\n"                                          \
    "train: {rounds: 6, sample: 4, optimizer: {kind: sgd, lr: 0.1}}\nfleet: {kind: sim, threads: 2}\n"

/* ---- split: layers up to the cut on the device, the rest in a session of the server; a call a batch ---- */

#define CUT 1
static const struct ln__segment split_front = {0, CUT}, split_back = {CUT, -1};

struct split_head {
    int32_t n;
};

static struct ln_codec_shape split_shape(const struct ln__env *env, int n)
{
    struct ln__cut cut;
    assert_int_equal(ln__graph_cut(env->graph, CUT, &cut), 0);
    return (struct ln_codec_shape){.outer = (size_t)n, .channels = (size_t)cut.shape.c, .inner = (size_t)cut.shape.h * (size_t)cut.shape.w};
}

static size_t split_floats(const struct ln__env *env, int n)
{
    struct ln_codec_shape shape = split_shape(env, n);
    return shape.outer * shape.channels * shape.inner;
}

/* head | labels | activations */
static int split_encode(const struct ln__env *env, int n, const int32_t *label, const float *x, struct ln__message *message, struct ln_fault *fault)
{
    const struct split_head head = {n};
    struct ln_codec_shape shape = split_shape(env, n);
    ln__buf_clear(&message->bytes);
    int error = ln__buf_add(&message->bytes, &head, sizeof head);
    if (!error && label)
        error = ln__buf_add(&message->bytes, label, (size_t)n * sizeof *label);
    if (!error)
        error = ln__tensor_encode(&env->recipe->codec.act, &shape, x, &message->bytes, fault);
    message->payload = message->bytes.size - sizeof head;
    return error;
}

static int split_decode(const struct ln__env *env, const struct ln__message *message, int most, int32_t *label, float *x, int *n)
{
    struct split_head head;
    const unsigned char *at = message->bytes.data;
    size_t left = message->bytes.size;
    if (left < sizeof head)
        return LN_ECORRUPT;
    memcpy(&head, at, sizeof head);
    size_t labels = label && head.n > 0 ? (size_t)head.n * sizeof *label : 0;
    if (head.n < 1 || head.n > most || left - sizeof head < labels)
        return LN_ECORRUPT;
    if (label)
        memcpy(label, at + sizeof head, labels);
    struct ln_codec_shape shape = split_shape(env, head.n);
    const struct ln_codec *codec = (const struct ln_codec *)(const void *)env->recipe->codec.act.plugin;
    *n = head.n;
    return codec->decode(env->recipe->codec.act.options, &shape, at + sizeof head + labels, left - sizeof head - labels, x, NULL);
}

struct split_server {
    struct ln__net *net;
    float *x, *dx, *state;
    int32_t *label;
    double rate;
};

static int split_open(const void *plan, struct ln__session *session)
{
    (void)plan;
    const struct ln__env *env = session->env;
    int batch = (int)env->recipe->train.batch;
    struct split_server *server = ln__mem_zero(1, sizeof *server);
    const void *model;
    assert_non_null(server);
    session->own = server;
    server->x = ln__mem_zero(split_floats(env, batch), sizeof(float));
    server->dx = ln__mem_zero(split_floats(env, batch), sizeof(float));
    server->label = ln__mem_zero((size_t)batch, sizeof(int32_t));
    server->state = ln__mem_zero(env->state, sizeof(float));
    server->rate = ln__task_rate(env, session->task->progress);
    const struct ln__net_wish wish = {.segment = split_back, .batch = batch, .train = true, .input_grad = true, .copy = 1};
    int error = ln__worker_net(session->worker, &wish, &server->net, &session->result->fault);
    if (!error)
        error = ln__blob_pin(session->task->model, &model, &session->result->fault);
    if (error)
        return error;
    ln__net_load(server->net, model);
    ln__blob_unpin(session->task->model);
    return LN_OK;
}

static int split_answer(const void *plan, struct ln__session *session, const struct ln__message *message, struct ln__message *reply)
{
    (void)plan;
    struct split_server *server = session->own;
    const struct ln__env *env = session->env;
    struct ln__loss loss;
    int n, error = split_decode(env, message, (int)env->recipe->train.batch, server->label, server->x, &n);
    if (error || !reply)
        return error ? error : LN_ECORRUPT;
    ln__net_forward(server->net, n, server->x, true, &(struct ln__net_draw){.key = session->key});
    ln__net_loss(server->net, n, server->label, &loss);
    ln__net_learn(server->net, n, NULL, server->dx, server->rate, 0);
    session->macs += (uint64_t)n * 3 * ln__segment_macs(env->graph, split_back);
    return split_encode(env, n, NULL, server->dx, reply, &session->result->fault);
}

static int split_close(const void *plan, struct ln__session *session, bool failed)
{
    (void)plan;
    struct split_server *server = session->own;
    int error = LN_OK;
    if (!failed) {
        ln__net_store(server->net, server->state);
        error = ln__session_push(session, split_back, server->state);
    }
    ln__mem_free(server->x);
    ln__mem_free(server->dx);
    ln__mem_free(server->label);
    ln__mem_free(server->state);
    ln__mem_free(server);
    return error;
}

struct split_device {
    struct ln__net *net;
    float *before, *after, *x, *act;
    int32_t *label;
    uint32_t *order;
    struct ln__message out, in;
};

static int split_batch(struct ln__device *device, struct split_device *own, uint32_t epoch, uint32_t at, int n)
{
    const struct ln__env *env = device->env;
    const struct ln__batch_args args = {.set = &env->set,
                                        .split = LN__TRAIN,
                                        .index = device->index,
                                        .order = own->order + at,
                                        .augment = &env->augment,
                                        .key = device->key,
                                        .epoch = epoch};
    ln__batch_fill(&args, n, own->x, own->label);
    ln__net_forward(own->net, n, own->x, true, &(struct ln__net_draw){.key = device->key});
    ln__net_output(own->net, n, own->act);
    ln__device_worked(device, (uint64_t)n * ln__segment_macs(env->graph, split_front));
    int back, error = split_encode(env, n, own->label, own->act, &own->out, &device->result->fault);
    if (!error)
        error = ln__link_call(device->link, &own->out, &own->in);
    if (!error)
        error = split_decode(env, &own->in, n, NULL, own->act, &back);
    if (error)
        return error;
    ln__net_learn(own->net, n, own->act, NULL, ln__task_rate(env, device->task->progress), 0);
    ln__device_worked(device, (uint64_t)n * 2 * ln__segment_macs(env->graph, split_front));
    return LN_OK;
}

static int split_device(const void *plan, struct ln__device *device)
{
    (void)plan;
    const struct ln__env *env = device->env;
    int batch = (int)env->recipe->train.batch;
    const struct ln__net_wish wish = {.segment = split_front, .batch = batch, .train = true};
    struct split_device own = {.before = ln__worker_state(device->worker, 0), .after = ln__worker_state(device->worker, 1)};
    own.x = ln__mem_zero((size_t)batch * 3 * 32 * 32, sizeof(float));
    own.act = ln__mem_zero(split_floats(env, batch), sizeof(float));
    own.label = ln__mem_zero((size_t)batch, sizeof(int32_t));
    own.order = ln__mem_zero(device->samples, sizeof(uint32_t));
    ln__buf_init(&own.out.bytes, 1u << 24);
    ln__buf_init(&own.in.bytes, 1u << 24);
    int error = ln__device_pull(device, split_front, own.before);
    if (!error)
        error = ln__worker_net(device->worker, &wish, &own.net, &device->result->fault);
    if (!error)
        ln__net_load(own.net, own.before);
    for (uint32_t epoch = 0; epoch < device->task->epochs && !error; epoch++) {
        ln__epoch_order(device->key, epoch, own.order, device->samples);
        for (uint32_t at = 0; at < device->samples && !error; at += (uint32_t)batch)
            error = split_batch(device, &own, epoch, at, device->samples - at < (uint32_t)batch ? (int)(device->samples - at) : batch);
    }
    if (!error) {
        ln__net_store(own.net, own.after);
        error = ln__device_push(device, split_front, own.before, own.after);
    }
    device->result->samples = device->samples;
    ln__buf_fini(&own.out.bytes);
    ln__buf_fini(&own.in.bytes);
    ln__mem_free(own.x);
    ln__mem_free(own.act);
    ln__mem_free(own.label);
    ln__mem_free(own.order);
    return error;
}

static const struct ln__method split_method = {
    .plugin = {.name = "test-split", .summary = "both halves of a split training"},
    .device = split_device,
    .open = split_open,
    .answer = split_answer,
    .close = split_close,
};

/* ---- poison: some clients send what is no number; some say nothing but nonsense to the server half ---- */

static int poison_device(const void *plan, struct ln__device *device)
{
    (void)plan;
    static const struct ln__segment whole = {0, -1};
    float *before = ln__worker_state(device->worker, 0), *after = ln__worker_state(device->worker, 1);
    int error = ln__device_pull(device, whole, before);
    if (!error)
        error = ln__device_train(device, before, after);
    if (!error && device->task->client % 3 == 0)
        after[device->env->state / 2] = NAN;
    if (!error && device->task->client % 3 == 1)
        after[0] = 1e30f;
    return error ? error : ln__device_push(device, whole, before, after);
}

static const struct ln__method poison_method = {.plugin = {.name = "test-poison", .summary = "bad results"}, .device = poison_device};

static int babble_device(const void *plan, struct ln__device *device)
{
    if (device->task->client % 2)
        return split_device(plan, device);
    struct ln__message out = {.payload = 1}, in = {.payload = 0};
    ln__buf_init(&out.bytes, 64);
    ln__buf_init(&in.bytes, 64);
    assert_int_equal(ln__buf_add(&out.bytes, "nonsense", 8), 0);
    int error = ln__link_call(device->link, &out, &in);
    ln__buf_fini(&out.bytes);
    ln__buf_fini(&in.bytes);
    return error;
}

static const struct ln__method babble_method = {
    .plugin = {.name = "test-babble", .summary = "nonsense for the server half"},
    .device = babble_device,
    .open = split_open,
    .answer = split_answer,
    .close = split_close,
};

/* The built-in catalog and the methods above. */
static const struct ln_plugin *methods[32];

static struct ln_catalog catalog_with_tests(void)
{
    struct ln_catalog catalog = *ln_catalog_builtin();
    size_t count = catalog.of[LN_KIND_METHOD].count;
    assert_true(count + 3 <= sizeof methods / sizeof *methods);
    memcpy(methods, catalog.of[LN_KIND_METHOD].item, count * sizeof *methods);
    methods[count++] = &split_method.plugin;
    methods[count++] = &poison_method.plugin;
    methods[count++] = &babble_method.plugin;
    catalog.of[LN_KIND_METHOD].item = methods;
    catalog.of[LN_KIND_METHOD].count = count;
    return catalog;
}

static void test_split_training_has_the_bits_of_a_whole_one(void **state)
{
    (void)state;
    struct ln_catalog catalog = catalog_with_tests();
    struct federation federation;
    federation_open(&federation);
    federation.catalog = &catalog;
    federation_finish(&federation, CNN_RECIPE, "method=full");
    float *whole = federation.model;
    size_t size = federation.state;
    federation.model = NULL;
    federation_clean(&federation);
    federation_finish(&federation, CNN_RECIPE, "method=test-split");
    assert_int_equal(federation.state, size);
    assert_memory_equal(federation.model, whole, size * sizeof *whole);
    assert_true(federation.last.server_macs > 0);
    /* with half-precision activations it is another training */
    federation_clean(&federation);
    federation_finish(&federation, CNN_RECIPE "method: test-split\n", "codec.act=f16");
    assert_memory_not_equal(federation.model, whole, size * sizeof *whole);
    ln__mem_free(whole);
    federation_close(&federation);
}

static void test_poisoned_results_are_refused_and_counted(void **state)
{
    (void)state;
    struct ln_catalog catalog = catalog_with_tests();
    struct federation federation;
    const char *strategies[] = {"strategy=fedavg", "strategy=fedasync"};
    for (int s = 0; s < 2; s++) {
        federation_open(&federation);
        federation.catalog = &catalog;
        federation_finish(&federation, LOGREG_RECIPE "method: test-poison\n", strategies[s]);
        assert_true(federation.last.refused > 0);
        assert_int_equal(federation.last.refused, federation.last.dropped);
        assert_true(federation.last.tasks > 0);
        for (size_t i = 0; i < federation.state; i++)
            assert_true(fabsf(federation.model[i]) < 100);
        federation_close(&federation);
    }
}

static void test_nonsense_closes_that_session_only(void **state)
{
    (void)state;
    struct ln_catalog catalog = catalog_with_tests();
    struct federation federation;
    federation_open(&federation);
    federation.catalog = &catalog;
    federation_finish(&federation, CNN_RECIPE, "method=test-babble");
    assert_true(federation.last.refused > 0);
    assert_true(federation.last.round >= 2);
    federation_close(&federation);
}

/* ---- a fleet that delivers everything twice, and things nobody asked for ---- */

struct echo {
    struct ln__fleet_head head;
    const struct ln__fleet_plugin *on;
    struct ln__fleet *inner;
    struct ln__fleet_event again; /* to be delivered next */
    bool pending;
    uint64_t repeats;
};
static struct ln__fleet_plugin echo_plugin;
static uint64_t echo_repeats;

static struct echo *echo_of(struct ln__fleet *fleet)
{
    return (struct echo *)(void *)fleet;
}

static int echo_next(struct ln__fleet *fleet, const volatile int *stop, struct ln__fleet_event *event)
{
    struct echo *echo = echo_of(fleet);
    if (echo->pending) {
        *event = echo->again;
        echo->pending = false;
        echo_repeats++;
        return LN_OK;
    }
    int error = echo->on->next(echo->inner, stop, event);
    if (error || event->kind != LN_EVENT_DONE)
        return error;
    echo->again = *event;
    echo->again.result.trace = (struct ln__trace){0};
    echo->again.result.keep = NULL;
    ln__blob_ref(event->result.update);
    ln__blob_ref(event->task.model);
    echo->again.task.keep = NULL;
    if (echo_repeats % 3 == 1)
        echo->again.task.id.value += 1000000; /* a task that never was */
    if (echo_repeats % 3 == 2)
        echo->again.task.client = UINT32_MAX;
    echo->pending = true;
    return LN_OK;
}

static void echo_close(struct ln__fleet *fleet)
{
    struct echo *echo = echo_of(fleet);
    if (echo->pending) {
        ln__blob_unref(echo->again.result.update);
        ln__blob_unref(echo->again.task.model);
    }
    echo->on->close(echo->inner);
    ln__mem_free(echo);
}

static struct ln__pool *echo_pool(struct ln__fleet *fleet)
{
    return echo_of(fleet)->on->pool(echo_of(fleet)->inner);
}
static int echo_dispatch(struct ln__fleet *fleet, const struct ln__task *task)
{
    return echo_of(fleet)->on->dispatch(echo_of(fleet)->inner, task);
}
static double echo_now(struct ln__fleet *fleet)
{
    return echo_of(fleet)->on->now(echo_of(fleet)->inner);
}
static bool echo_present(struct ln__fleet *fleet, uint32_t client)
{
    return echo_of(fleet)->on->present(echo_of(fleet)->inner, client);
}
static int echo_sum_open(struct ln__fleet *fleet, double bound, struct ln_blob *range_of, struct ln_sum_id id)
{
    return echo_of(fleet)->on->sum_open(echo_of(fleet)->inner, bound, range_of, id);
}
static int echo_sum_add(struct ln__fleet *fleet, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry)
{
    return echo_of(fleet)->on->sum_add(echo_of(fleet)->inner, id, blob, entry);
}
static int echo_sum_close(struct ln__fleet *fleet, struct ln_sum_id id, double divisor, double progress, uint64_t tag)
{
    return echo_of(fleet)->on->sum_close(echo_of(fleet)->inner, id, divisor, progress, tag);
}
static int echo_sum_drop(struct ln__fleet *fleet, struct ln_sum_id id)
{
    return echo_of(fleet)->on->sum_drop(echo_of(fleet)->inner, id);
}
static int echo_archive(struct ln__fleet *fleet, struct ln_archive *archive)
{
    return echo_of(fleet)->on->archive(echo_of(fleet)->inner, archive);
}
static double echo_parallelism(struct ln__fleet *fleet)
{
    return echo_of(fleet)->on->parallelism(echo_of(fleet)->inner);
}

static int echo_open(const struct ln__recipe *recipe, const struct ln__env *env, struct ln__fleet **fleet, struct ln_fault *fault)
{
    struct echo *echo = ln__mem_zero(1, sizeof *echo);
    assert_non_null(echo);
    echo->on = (const struct ln__fleet_plugin *)(const void *)recipe->fleet.plugin;
    int error = echo->on->open(recipe->fleet.options, env, &echo->inner, fault);
    echo_plugin = (struct ln__fleet_plugin){.close = echo_close,
                                            .pool = echo_pool,
                                            .dispatch = echo_dispatch,
                                            .next = echo_next,
                                            .now = echo_now,
                                            .present = echo_present,
                                            .sum_open = echo_sum_open,
                                            .sum_add = echo_sum_add,
                                            .sum_close = echo_sum_close,
                                            .sum_drop = echo_sum_drop,
                                            .archive = echo_archive,
                                            .parallelism = echo_parallelism};
    echo->head = (struct ln__fleet_head){&echo_plugin, env};
    *fleet = (struct ln__fleet *)(void *)echo;
    return error;
}

static void test_duplicates_and_strangers_change_nothing(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    federation_finish(&federation, LOGREG_RECIPE, NULL);
    float *model = federation.model;
    size_t size = federation.state;
    struct ln__metrics last = federation.last;
    federation.model = NULL;
    federation_clean(&federation);
    echo_repeats = 0;
    assert_int_equal(federation_run_on(&federation, LOGREG_RECIPE, NULL, 0, echo_open), 0);
    assert_true(echo_repeats >= 20);
    assert_int_equal(federation.last.refused, echo_repeats);
    assert_int_equal(federation.last.tasks, last.tasks);
    assert_int_equal(federation.last.bytes_up, last.bytes_up);
    assert_memory_equal(federation.model, model, size * sizeof *model);
    ln__mem_free(model);
    federation_close(&federation);
}

/* ---- the books ---- */

/* FL = 2 S 4 |W| a round (facts of EcoFed's Table): counted in a run, and for VGG11 by the least of its tasks, which is exact for f32. */
static void test_books_equal_the_formula(void **state)
{
    (void)state;
    struct federation federation;
    federation_open(&federation);
    federation_finish(&federation, CNN_RECIPE, NULL);
    assert_int_equal(federation.last.bytes_up, 2ull * 2 * 4 * 583626); /* 2 rounds of 2 clients; weights of cnn5x5 at 16 x 16 */
    assert_int_equal(federation.last.bytes_down, 2ull * 2 * 4 * 583626);
    assert_true(federation.last.wire_up > federation.last.bytes_up && federation.last.wire_up < federation.last.bytes_up + 4 * 400);
    federation_clean(&federation);

    const char *vgg = "model: {name: vgg11}\ndata: {set: {kind: synthetic, train: 200, test: 10}, clients: 100}\ntrain: {sample: 20}\n";
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    assert_int_equal(federation_env(&federation, vgg, NULL, &conf, &recipe, &blobs, &env), 0);
    uint64_t bytes = 0;
    for (uint32_t c = 0; c < 20; c++) {
        struct ln__trace trace = {0};
        assert_int_equal(ln__task_foretell(&env, &(struct ln__task){.kind = LN_TASK_TRAIN, .client = c, .epochs = 1}, LN__LEAST, &trace), 0);
        for (size_t r = 0; r < trace.count; r++)
            bytes += (trace.row[r].bytes_up + trace.row[r].bytes_down) * trace.row[r].times;
        ln__trace_fini(&trace);
    }
    assert_int_equal(bytes, 2ull * 20 * 4 * 34440970);
    assert_true(fabs((double)bytes / 1048576 - 5255.3) < 0.05);
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    federation_close(&federation);
}

/* More batches, no more allocations: a step makes none. */
static void test_steps_allocate_nothing(void **state)
{
    (void)state;
    struct federation federation;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln__worker *worker;
    uint64_t count[3];
    federation_open(&federation);
    assert_int_equal(federation_env(&federation, CNN_RECIPE, NULL, &conf, &recipe, &blobs, &env), 0);
    assert_int_equal(ln__worker_new(&env, NULL, &worker, NULL), 0);
    struct ln__task task = {.kind = LN_TASK_TRAIN, .site = LN__DEVICE, .client = 1, .epochs = 1};
    assert_int_equal(ln__blob_put(blobs, env.initial, env.state * sizeof(float), &task.model, NULL), 0);
    for (int k = 0; k < 3; k++) { /* the first makes the network */
        struct ln__result result;
        task.epochs = k == 2 ? 4 : 1;
        uint64_t before = ln__mem_count();
        ln__task_run(worker, &task, &result);
        count[k] = ln__mem_count() - before;
        assert_int_equal(result.error, 0);
        ln__result_fini(&result);
    }
    assert_int_equal(count[1], count[2]);
    ln__blob_unref(task.model);
    ln__worker_free(worker);
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    federation_close(&federation);
}

/* What would have no effect, or the wrong one, of devices that send no weights. */
static void test_ecofed_refuses_what_it_ignores(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {{"method: {kind: ecofed, server: shared}\nstrategy: fedprox\n", "server: copies goes with it"},
                                           {"method: {kind: ecofed, server: shared}\nstrategy: fedasync\n", "server: copies goes with it"},
                                           {"method: ecofed\nupdate: random_mask\n", "update all goes with it"},
                                           {"method: ecofed\nupdate: {kind: topk_diff, mask_ratio: 0}\n", "update all goes with it"}};
    struct federation federation;
    federation_open(&federation);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char yaml[2048];
        snprintf(yaml, sizeof yaml, "%s%s", CNN_RECIPE, wrong[i][0]);
        int error = federation_run(&federation, yaml, NULL, 0);
        if (error != LN_ECONFIG || !strstr(federation.fault.text, wrong[i][1]))
            print_error("%s%s: %s\n", wrong[i][0], ln_error_name(error), federation.fault.text);
        assert_int_equal(error, LN_ECONFIG);
        assert_non_null(strstr(federation.fault.text, wrong[i][1]));
    }
    federation_close(&federation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_training_has_the_bits_of_a_whole_one),
        cmocka_unit_test(test_poisoned_results_are_refused_and_counted),
        cmocka_unit_test(test_nonsense_closes_that_session_only),
        cmocka_unit_test(test_duplicates_and_strangers_change_nothing),
        cmocka_unit_test(test_books_equal_the_formula),
        cmocka_unit_test(test_steps_allocate_nothing),
        cmocka_unit_test(test_ecofed_refuses_what_it_ignores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
