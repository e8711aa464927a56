/* Sparse training and masked updates in a small federation: the same bits for one, two and three threads and after stops, with what a client keeps and
 * means over contributors; and the ledger: less work, fewer bytes, less time than a dense run. */
#include "fed/overlap.h"
#include "part_testing.h"

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const runs[] = {
        "sparsity: {kind: swat, sparsity: 0.9, period: 2}\nupdate: {kind: topk_weights, mask_ratio: 0.1, average: contributors}\ncodec: {up: "
        "sparse}\n",
        "sparsity: {kind: swat, sparsity: 0.9}\nupdate: {kind: diff_on_topk_weights, mask_ratio: 0, average: contributors}\ncodec: {up: sparse}\n",
        "sparsity: {kind: swat, sparsity: 0.9, distribution: erk}\nupdate: {kind: topk_diff, error_feedback: true}\ncodec: {up: {kind: sparse, "
        "values: q8}}\n",
        "sparsity: {kind: powerprop, sparsity: 0.8}\nupdate: {kind: topk_diff, scope: global}\nstrategy: fedadam\n",
        "sparsity: {kind: swat, sparsity: 0.9, distribution: momentum, structured: blocks}\nupdate: random_mask\ncodec: {up: sparse}\n",
        "sparsity: {kind: swat, sparsity: 0.7, distribution: erk, structured: channels}\nupdate: {kind: topk_diff, mask_ratio: 0.2}\ncodec: {up: "
        "sparse, "
        "down: q8}\n",
        "method: {kind: splitfed, cut: 1}\nsparsity: {kind: swat, sparsity: 0.9}\nupdate: sketch\n"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        part_same_bits(runs[i]);
}

static void test_ledger(void **state)
{
    (void)state;
    struct ln__metrics dense = part_last("sparsity: none\n"), full = part_last("sparsity: {kind: swat, sparsity: 0.9}\n"),
                       masked = part_last("sparsity: {kind: swat, sparsity: 0.9}\nupdate: topk_weights\ncodec: {up: sparse}\n"),
                       sparser = part_last("sparsity: {kind: swat, sparsity: 0.95}\nupdate: topk_weights\ncodec: {up: sparse}\n");
    assert_true(full.device_macs < 0.25 * dense.device_macs && sparser.device_macs < full.device_macs);
    assert_true(full.time_s < dense.time_s && masked.time_s < full.time_s);
    assert_true((double)masked.bytes_up < 0.4 * (double)full.bytes_up && sparser.bytes_up < masked.bytes_up);
    assert_int_equal(full.bytes_up, dense.bytes_up);
}

/* What is kept back is counted where the largest are found: as many entries are sent with it as without. */
static void test_error_feedback_sends_no_more(void **state)
{
    (void)state;
    const char *run =
        "sparsity: {kind: swat, sparsity: 0.9}\ncodec: {up: sparse}\nupdate: {kind: topk_diff, mask_ratio: 0, scope: global, error_feedback: ";
    char yaml[2][256];
    snprintf(yaml[0], sizeof yaml[0], "%sfalse}\n", run);
    snprintf(yaml[1], sizeof yaml[1], "%strue}\n", run);
    struct ln__metrics without = part_last(yaml[0]), with = part_last(yaml[1]);
    print_message("bytes up: %llu and %llu\n", (unsigned long long)without.bytes_up, (unsigned long long)with.bytes_up);
    assert_true((double)with.bytes_up < 1.02 * (double)without.bytes_up);
}

static void test_refused(void **state)
{
    (void)state;
    part_refused("sparsity: {kind: swat, sparsity: 0.5}\nupdate: {kind: topk_diff, mask_ratio: 0.6}\n", NULL, "above the sparsity");
    part_refused("update: topk_diff\n", NULL, "above the sparsity");
    part_refused("sparsity: {kind: swat, distribution: momentum}\n", "train.optimizer.momentum=0", "momentum");
}

/* Nothing rests, next to everything, and everything: where nothing is kept and zeros are sent for the rest, layers are zero from the first round on. */
static void test_edges(void **state)
{
    (void)state;
    static const double sparsity[] = {0, 0.999, 1};
    static const char *const update[] = {"topk_weights", "diff_on_topk_weights", "topk_diff"};
    for (size_t i = 0; i < 9; i++) {
        struct federation federation;
        char more[256], text[2048];
        federation_open(&federation);
        snprintf(more, sizeof more, "sparsity: {kind: swat, sparsity: %g}\nupdate: {kind: %s, mask_ratio: 0}\ncodec: {up: sparse}\n", sparsity[i / 3],
                 update[i % 3]);
        part_recipe(text, sizeof text, 2, more);
        federation_finish(&federation, text, NULL);
        assert_int_equal(federation.last.refused, 0);
        size_t moved = 0;
        for (size_t k = 0; k < federation.state; k++) {
            assert_true(isfinite(federation.model[k]));
            moved += federation.model[k] != 0;
        }
        assert_true(i == 3 || i == 6 ? moved < 10000
                                     : moved > federation.state / 2); /* weights that are not sent are zeros; the classifier is dense */
        federation_close(&federation);
    }
}

/* A step that multiplies weights by -999, under a mask: what is no number is sent, seen and refused, and the model stays what it was. */
static void test_no_number_passes(void **state)
{
    (void)state;
    static const char *const update[] = {"topk_weights", "diff_on_topk_weights", "topk_diff", "random_mask", "sketch"};
    for (size_t i = 0; i < sizeof update / sizeof *update; i++) {
        struct federation federation;
        char more[256], text[2048];
        federation_open(&federation);
        snprintf(more, sizeof more, "sparsity: {kind: swat, sparsity: 0.9}\nupdate: %s\n", update[i]);
        part_recipe(text, sizeof text, 2, more);
        int error = federation_run(&federation, text, "train.optimizer={kind: sgd, lr: 1000, weight_decay: 1}", 40);
        if (error)
            assert_true(error == LN_EINVALID || error == LN_EINTERRUPTED);
        assert_true(federation.last.refused >= 2 && federation.last.refused == federation.last.dropped);
        for (size_t k = 0; k < federation.state; k++)
            assert_true(isfinite(federation.model[k]));
        federation_close(&federation);
    }
}

/* ---- how far masks agree ---- */

/* Of each sparse layer the k largest weights begin at `from` k's half: the others are small. Adds to what two such models share and have. */
static void put_top(const struct ln__env *env, size_t halves, float *model)
{
    for (size_t i = 0; i < env->state; i++)
        model[i] = 0.001f;
    for (size_t p = 0; p < env->params; p++) {
        const struct ln__param *param = &env->param[p];
        size_t keep = (size_t)ceil((1 - env->sparsity[p]) * (double)param->count - 1e-9);
        for (size_t i = 0; i < keep && env->sparsity[p] > 0; i++)
            model[param->offset + halves * (keep / 2) + i] = 1 + (float)i;
    }
}

static void test_overlap_by_hand(void **state)
{
    (void)state;
    struct federation federation;
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln__overlap *overlap;
    char text[2048];
    double clients, rounds, both = 0, either = 0;
    federation_open(&federation);
    part_recipe(text, sizeof text, 1, "sparsity: {kind: swat, sparsity: 0.9}\n");
    assert_int_equal(federation_env(&federation, text, "eval.masks=true", &conf, &recipe, &blobs, &env), 0);
    assert_int_equal(ln__overlap_new(&env, &overlap, NULL), 0);
    float *model = ln__mem_alloc(env.state * sizeof *model);
    for (size_t p = 0; p < env.params; p++) {
        size_t keep = (size_t)ceil((1 - env.sparsity[p]) * (double)env.param[p].count - 1e-9);
        both += env.sparsity[p] > 0 ? (double)(keep - keep / 2) : 0;
        either += env.sparsity[p] > 0 ? (double)(keep + keep / 2) : 0;
    }
    put_top(&env, 0, model);
    assert_int_equal(ln__overlap_test(overlap, model, &clients, &rounds, NULL), 0);
    assert_true(isnan(clients) && isnan(rounds));
    assert_int_equal(ln__overlap_test(overlap, model, &clients, &rounds, NULL), 0);
    assert_true(rounds == 1);
    put_top(&env, 1, model);
    assert_int_equal(ln__overlap_test(overlap, model, &clients, &rounds, NULL), 0);
    assert_true(fabs(rounds - both / either) < 1e-12 && fabs(rounds - 1.0 / 3) < 0.01);
    ln__mem_free(model);
    ln__overlap_free(overlap);
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    federation_close(&federation);
}

/* The value of a key in the last line of metrics.jsonl; NAN: null or absent. */
static double last_metric(const struct federation *federation, const char *key)
{
    char path[300], name[64];
    struct ln__buf file;
    snprintf(path, sizeof path, "%s/metrics.jsonl", federation->dir);
    snprintf(name, sizeof name, "\"%s\":", key);
    ln__buf_init(&file, 1u << 20);
    assert_int_equal(ln__file_read(path, 1u << 20, &file, NULL), 0);
    assert_int_equal(ln__buf_add(&file, "", 1), 0);
    const char *at = (const char *)file.data, *found = NULL;
    while ((at = strstr(at, name)) != NULL)
        found = at += strlen(name);
    double value = found && *found != 'n' ? strtod(found, NULL) : (double)NAN;
    ln__buf_fini(&file);
    return value;
}

static void test_overlap_of_a_run(void **state)
{
    (void)state;
    static const char *const runs[] = {"sparsity: {kind: swat, sparsity: 0.9}\n", "sparsity: {kind: swat, sparsity: 0.9}\nupdate: topk_diff\n",
                                       "sparsity: {kind: feddropout, keep: 0.5}\n", "sparsity: none\n"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct federation federation;
        char text[2048];
        double clients[2], rounds[2];
        for (int stopped = 0; stopped < 2; stopped++) {
            int error;
            federation_open(&federation);
            part_recipe(text, sizeof text, 2, runs[i]);
            while ((error = federation_run(&federation, text, "eval.masks=true", stopped ? 2 : 0)) == LN_EINTERRUPTED)
                assert_true(stopped);
            assert_int_equal(error, 0);
            clients[stopped] = last_metric(&federation, "mask_overlap_clients");
            rounds[stopped] = last_metric(&federation, "mask_overlap_rounds");
            federation_close(&federation);
        }
        if (i < 3) /* of clients whose parts are drawn: half of the rows and half of the columns each; a quarter of the whole is in both, and less */
            assert_true(clients[0] == clients[1] && clients[0] > (i == 2 ? 0.05 : 0.3) && clients[0] < (i == 2 ? 0.3 : 1));
        else
            assert_true(isnan(clients[0]));
        if (i < 2)
            assert_true(rounds[0] == rounds[1] && rounds[0] > 0.3 && rounds[0] <= 1);
        else
            assert_true(isnan(rounds[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_ledger),          cmocka_unit_test(test_error_feedback_sends_no_more),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_edges),           cmocka_unit_test(test_no_number_passes),
        cmocka_unit_test(test_overlap_by_hand), cmocka_unit_test(test_overlap_of_a_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
