#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/weights.h"
#include <linnet/client.h>
#include <linnet/run.h>
#include <linnet/train.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 60, FEATURES = 6, CLASSES = 3 };
static float x[COUNT * FEATURES];
static int32_t label[COUNT];

static int fill_samples(void **state)
{
    (void)state;
    ln__log_setup(LN__LOG_ERROR, LN__LOG_PLAIN);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 5, .purpose = LN__FOR_TEST});
    for (int i = 0; i < COUNT; i++) {
        label[i] = i % CLASSES;
        for (int f = 0; f < FEATURES; f++)
            x[i * FEATURES + f] = (f % CLASSES == label[i] ? 1.0F : 0.0F) + 0.3F * (float)ln__rng_normal(&rng);
    }
    return 0;
}

#define RECIPE(more) "{model: {name: logreg}, data: {set: synthetic}, train: {batch: 8, optimizer: {kind: sgd, lr: 0.1}}" more "}"

static struct ln_client_args args_of(const char *recipe)
{
    return (struct ln_client_args){
        .recipe = recipe, .id = 2, .channels = 1, .height = 1, .width = FEATURES, .classes = CLASSES, .count = COUNT, .x = x, .label = label};
}

static struct ln_client *open_client(const struct ln_client_args *args)
{
    struct ln_client *client;
    struct ln_fault fault = {0};
    if (ln_client_open(args, &client, &fault))
        fail_msg("%s", fault.text);
    return client;
}

/* The same task again gives the same bytes, also where an error feedback moved on; another turn gives others; training helps. */
static void test_tasks_are_pure(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    const struct ln_client_args args = args_of(RECIPE(", codec: {up: q8}"));
    struct ln_client *client = open_client(&args);
    size_t floats = ln_client_state(client), size;
    assert_int_equal(floats, (FEATURES + 1) * CLASSES);
    float model[(FEATURES + 1) * CLASSES], after[(FEATURES + 1) * CLASSES];
    const void *packed;
    struct ln_client_result result, before;
    struct ln_fault fault = {0};
    ln_client_first(client, model);
    assert_int_equal(ln_client_pack(client, model, &packed, &size, &fault), 0);
    assert_int_equal(ln_client_test(client, packed, size, &before, &fault), 0);
    assert_null(before.update);
    assert_int_equal(before.samples, COUNT);
    unsigned char first[1024];
    size_t first_size = 0;
    for (uint32_t turn = 0, k = 0; k < 3; turn = k++ == 1 ? 1 : 0) { /* 0, 0, 1 */
        assert_int_equal(ln_client_train(client, &(struct ln_client_task){.turn = turn, .epochs = 4}, packed, size, &result, &fault), 0);
        assert_true(result.size < sizeof first);
        if (k == 0) {
            first_size = result.size;
            memcpy(first, result.update, first_size);
        } else {
            assert_int_equal(result.size, first_size);
            assert_int_equal(memcmp(first, result.update, first_size) == 0, k == 1);
        }
    }
    assert_int_equal(ln_client_unpack(client, 2, 1, result.update, result.size, model, after, &fault), 0);
    assert_int_equal(ln_client_pack(client, after, &packed, &size, &fault), 0);
    assert_int_equal(ln_client_test(client, packed, size, &result, &fault), 0);
    assert_true(result.loss < before.loss);
    ln_client_close(client);
    assert_int_equal(ln__mem_live(), live);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    const struct ln_client_args args = args_of(RECIPE(""));
    struct ln_client *client = open_client(&args);
    float model[(FEATURES + 1) * CLASSES], out[(FEATURES + 1) * CLASSES];
    const void *packed;
    size_t size;
    struct ln_client_result result;
    ln_client_first(client, model);
    assert_int_equal(ln_client_pack(client, model, &packed, &size, NULL), 0);
    unsigned char *bytes = ln__mem_alloc(size + 1);
    assert_non_null(bytes);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        struct ln_fault fault = {0};
        if (cut == size)
            continue;
        memcpy(bytes, packed, size);
        bytes[size] = 0;
        assert_true(ln_client_train(client, &(struct ln_client_task){0}, bytes, cut, &result, &fault) < 0);
        assert_true(fault.text[0] != 0);
        assert_true(ln_client_unpack(client, UINT32_MAX, 0, bytes, cut, model, out, NULL) < 0);
    }
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 9, .purpose = LN__FOR_TEST});
    for (int k = 0; k < 300; k++) {
        memcpy(bytes, packed, size);
        bytes[ln__rng_below(&rng, (uint32_t)size)] ^= (unsigned char)(1u << ln__rng_below(&rng, 8));
        assert_true(ln_client_test(client, bytes, size, &result, NULL) <= 0); /* a flipped bit of a weight is a weight */
    }
    model[3] = NAN;
    struct ln_fault fault = {0};
    assert_int_equal(ln_client_pack(client, model, &packed, &size, NULL), 0);
    assert_int_equal(ln_client_train(client, &(struct ln_client_task){0}, packed, size, &result, &fault), LN_EREFUSED);
    ln__mem_free(bytes);
    ln_client_close(client);
    assert_int_equal(ln__mem_live(), live);
}

static void test_refusals(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    const struct {
        const char *recipe;
        int code;
        const char *says;
    } of[] = {{RECIPE(", method: {kind: splitfed}"), LN_EUNSUPPORTED, "splitfed"},
              {"{model: {name: logrge}, data: {set: synthetic}}", LN_ECONFIG, "logreg"},
              {"[", LN_ECONFIG, "recipe"},
              {NULL, LN_EINVALID, "recipe"}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const struct ln_client_args args = args_of(of[i].recipe);
        struct ln_client *client;
        struct ln_fault fault = {0};
        assert_int_equal(ln_client_open(&args, &client, &fault), of[i].code);
        assert_null(client);
        assert_non_null(strstr(fault.text, of[i].says));
    }
    const struct ln_client_args bare = args_of("{model: {name: logreg}}"); /* the samples are the application's: no set is needed */
    ln_client_close(open_client(&bare));
    label[7] = CLASSES;
    const struct ln_client_args args = args_of(RECIPE(""));
    struct ln_client *client;
    struct ln_fault fault = {0};
    assert_int_equal(ln_client_open(&args, &client, &fault), LN_EINVALID);
    assert_non_null(strstr(fault.text, "label 3 of sample 7"));
    label[7] = 7 % CLASSES;
    assert_int_equal(ln__mem_live(), live);
}

/* A model trained, saved, and read by another trainer gives the same logits; what does not fit is refused and changes nothing. */
static void test_trainer(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    char path[] = "/tmp/linnet-api-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    struct ln_trainer_args args = {.model = "logreg", .channels = 1, .height = 1, .width = FEATURES, .classes = CLASSES, .batch = COUNT, .seed = 1};
    struct ln_trainer *one, *two;
    struct ln_fault fault = {0};
    double before = 0, after = 0;
    float a[COUNT * CLASSES], b[COUNT * CLASSES];
    if (ln_trainer_new(&args, &one, &fault))
        fail_msg("%s", fault.text);
    args.seed = 2;
    args.threads = 2;
    args.optimizer = "{kind: adam, lr: 0.01}";
    assert_int_equal(ln_trainer_new(&args, &two, &fault), 0);
    assert_int_equal(ln_trainer_step(one, COUNT, x, label, 0.5, &before, NULL, &fault), 0);
    for (int k = 0; k < 20; k++)
        assert_int_equal(ln_trainer_step(one, COUNT, x, label, 0.5, &after, NULL, &fault), 0);
    assert_true(after < before);
    assert_int_equal(ln_trainer_save(one, path, &fault), 0);
    assert_int_equal(ln_trainer_load(two, path, &fault), 0);
    assert_int_equal(ln_trainer_logits(one, COUNT, x, a, &fault), 0);
    assert_int_equal(ln_trainer_logits(two, COUNT, x, b, &fault), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(ln_trainer_step(one, COUNT + 1, x, label, 0, NULL, NULL, &fault), LN_EINVALID);
    fault = (struct ln_fault){0};
    args.width = FEATURES - 1;
    ln_trainer_free(two);
    assert_int_equal(ln_trainer_new(&args, &two, &fault), 0);
    assert_int_equal(ln_trainer_load(two, path, &fault), LN_ESHAPE);
    assert_non_null(strstr(fault.text, "fc.weight"));
    fault = (struct ln_fault){0};
    /* What predict needs, and what it could not read again. */
    const float mean[] = {0.5F}, std[] = {0.25F}, flat[] = {1e-8F};
    struct ln__weights weights;
    assert_int_equal(ln__weights_open(path, ln_catalog_builtin(), &weights, &fault), 0);
    assert_int_equal(weights.about.channels, 0);
    ln__weights_close(&weights);
    ln_trainer_free(two);
    args.mean = mean;
    args.std = std;
    assert_int_equal(ln_trainer_new(&args, &two, &fault), 0);
    assert_int_equal(ln_trainer_save(two, path, &fault), 0);
    assert_int_equal(ln__weights_open(path, ln_catalog_builtin(), &weights, &fault), 0);
    assert_int_equal(weights.about.channels, 1);
    assert_true(weights.about.mean[0] == mean[0] && weights.about.std[0] == std[0]);
    ln__weights_close(&weights);
    struct ln_trainer *none;
    const float *const wrong[] = {NULL, flat};
    for (int k = 0; k < 2; k++) {
        fault = (struct ln_fault){0};
        args.std = wrong[k];
        assert_int_equal(ln_trainer_new(&args, &none, &fault), LN_EINVALID);
        assert_non_null(strstr(fault.text, "mean and std"));
    }
    args.mean = args.std = NULL;
    args.threads = 300;
    fault = (struct ln_fault){0};
    assert_int_equal(ln_trainer_new(&args, &none, &fault), LN_EINVALID);
    assert_non_null(strstr(fault.text, "expected 1 to 256"));
    args.threads = 2;
    args.optimizer = "{kind: adma}";
    fault = (struct ln_fault){0};
    assert_int_equal(ln_trainer_new(&args, &none, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "adam"));
    ln_trainer_free(one);
    ln_trainer_free(two);
    unlink(path);
    assert_int_equal(ln__mem_live(), live);
}

static int whole_task(void)
{
    const struct ln_client_args args = args_of(RECIPE(", codec: {up: f16}"));
    struct ln_client *client;
    struct ln_client_result result;
    float model[(FEATURES + 1) * CLASSES];
    const void *packed;
    size_t size;
    struct ln_fault fault = {0};
    int code = ln_client_open(&args, &client, &fault);
    if (code)
        return code;
    ln_client_first(client, model);
    code = ln_client_pack(client, model, &packed, &size, &fault);
    if (!code)
        code = ln_client_train(client, &(struct ln_client_task){0}, packed, size, &result, &fault);
    ln_client_close(client);
    return code;
}

static int whole_trainer(void)
{
    const struct ln_trainer_args args = {
        .model = "logreg", .channels = 1, .height = 1, .width = FEATURES, .classes = CLASSES, .batch = COUNT, .threads = 2};
    struct ln_trainer *trainer;
    int code = ln_trainer_new(&args, &trainer, NULL);
    if (!code)
        code = ln_trainer_step(trainer, COUNT, x, label, 0.5, NULL, NULL, NULL);
    ln_trainer_free(trainer);
    return code;
}

/* Each allocation is made to fail in turn: no memory is said, nothing is left. */
static void test_no_memory(void **state)
{
    (void)state;
    int (*const whole[])(void) = {whole_task, whole_trainer};
    for (int k = 0; k < 2; k++) {
        int code = LN_ENOMEM;
        for (uint64_t n = 1; code; n++) {
            int64_t live = ln__mem_live();
            assert_true(n < 20000);
            ln__mem_fail_at(n);
            code = whole[k]();
            ln__mem_fail_at(0);
            assert_true(code == 0 || code == LN_ENOMEM);
            assert_int_equal(ln__mem_live(), live);
        }
    }
}

static void count_tests(void *context, const struct ln_figures *now)
{
    assert_true(now->accuracy >= 0 && now->accuracy <= 1);
    ++*(int *)context;
}

struct thread {
    pthread_t id;
    const struct ln_recipe *recipe;
    struct ln_run_end end;
    int code;
};

static void *run_thread(void *context)
{
    struct thread *self = context;
    self->code = ln_recipe_run(self->recipe, NULL, &self->end, NULL);
    return NULL;
}

/* One recipe in several threads: it is read only, and holds no more after a run than before. */
static void test_one_recipe_in_threads(void **state)
{
    (void)state;
    struct ln_recipe *recipe;
    struct thread thread[4];
    struct ln_fault fault = {0};
    assert_int_equal(ln_recipe_parse("{model: {name: logreg}, data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 240, test: 60}, "
                                     "clients: 6}, train: {rounds: 2, sample: 3}}",
                                     &recipe, &fault),
                     0);
    int64_t live = ln__mem_live();
    for (int i = 0; i < 4; i++) {
        thread[i] = (struct thread){.recipe = recipe};
        assert_int_equal(pthread_create(&thread[i].id, NULL, run_thread, &thread[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(thread[i].id, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(thread[i].code, 0);
        assert_int_equal(thread[i].end.state, thread[0].end.state);
        assert_memory_equal(thread[i].end.model, thread[0].end.model, thread[0].end.state * sizeof(float));
    }
    for (int i = 0; i < 4; i++)
        ln_run_end_fini(&thread[i].end);
    assert_int_equal(ln__mem_live(), live);
    ln_recipe_free(recipe);
}

static void test_run(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    struct ln_recipe *recipe;
    struct ln_run_end end[2];
    struct ln_fault fault = {0};
    int tests = 0;
    assert_int_equal(ln_recipe_parse("{model: {name: logreg}, data: {set: {kind: synthetic, channels: 1, height: 6, width: 6, train: 240, test: 60}, "
                                     "clients: 6}, train: {rounds: 4, sample: 3}}",
                                     &recipe, &fault),
                     0);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(ln_recipe_set(recipe, k ? "fleet.threads=3" : "fleet.threads=1", &fault), 0);
        assert_int_equal(ln_recipe_run(recipe, &(struct ln_run_args){.progress = count_tests, .context = &tests}, &end[k], &fault), 0);
    }
    assert_int_equal(tests, 10);
    assert_int_equal(end[0].state, 370);
    assert_memory_equal(end[0].model, end[1].model, end[0].state * sizeof(float));
    const volatile int stop = 1;
    struct ln_run_end stopped;
    assert_int_equal(ln_recipe_run(recipe, &(struct ln_run_args){.stop = &stop}, &stopped, &fault), LN_EINTERRUPTED);
    ln_run_end_fini(&stopped);
    fault = (struct ln_fault){0};
    assert_int_equal(ln_recipe_set(recipe, "train.round=3", &fault), 0);
    assert_int_equal(ln_recipe_run(recipe, NULL, &stopped, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "rounds"));
    ln_run_end_fini(&stopped);
    ln_run_end_fini(&end[0]);
    ln_run_end_fini(&end[1]);
    ln_recipe_free(recipe);
    assert_int_equal(ln__mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_are_pure), cmocka_unit_test(test_hostile_bytes), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_trainer),        cmocka_unit_test(test_run),           cmocka_unit_test(test_one_recipe_in_threads),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, fill_samples, NULL);
}
