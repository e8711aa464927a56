/* Clients with parts of the network, end to end: the same bits for one, two and three threads and after stops; the ledger's bytes and multiply-adds by
 * formula; two clients' different parts folded by hand; what does not go together; and what an update's differences lead from when the way down is lossy. */
#include "fed/update.h"
#include "fleet/sums.h"
#include "nn/submodel.h"
#include "part_testing.h"

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const runs[] = {
        "sparsity: {kind: feddropout, keep: 0.25}\ncodec: {up: q8, down: q8}\nupdate: sketch\n",
        "sparsity: {kind: fjord, widths: [0.1, 0.3]}\nstrategy: fedprox\n",
        "sparsity: {kind: fjord, widths: [0.1, 0.2], assign: order}\nstrategy: fedbuff\nupdate: random_mask\ncodec: {up: sparse, down: f16}\n",
        "sparsity: {kind: feddropout, keep: 0.2}\nstrategy: {kind: tifl, tiers: 2}\n"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        part_same_bits(runs[i]);
}

/* Of the cnn5x5 for 1 x 16 x 16 with a, b filters and c units. */
static uint64_t values_of(uint64_t a, uint64_t b, uint64_t c)
{
    return a * 25 + a + b * a * 25 + b + c * b * 16 + c + 10 * c + 10;
}

/* One sample's training: three passes, but for the first layer's input gradient. */
static uint64_t macs_of(uint64_t a, uint64_t b, uint64_t c)
{
    return 2 * a * 25 * 256 + 3 * (b * a * 25 * 64 + c * b * 16 + 10 * c);
}

static void test_ledger(void **state)
{
    (void)state;
    struct ln__metrics whole = part_last(""), half = part_last("sparsity: {kind: feddropout, keep: 0.5}\n"),
                       steps = part_last("sparsity: {kind: fjord, widths: [0.25, 0.5], assign: order}\n"),
                       fixed = part_last("sparsity: {kind: fjord, widths: [0.25, 0.5], assign: order, nested: false}\n");
    assert_int_equal(whole.tasks, 6);
    assert_int_equal(whole.bytes_up, 6 * 4 * values_of(32, 64, 512));
    assert_int_equal(half.bytes_up, 6 * 4 * values_of(16, 32, 256));
    assert_int_equal(half.bytes_down, half.bytes_up);
    assert_int_equal(half.device_macs, 6 * 30 * macs_of(16, 32, 256)); /* 120 samples of four clients, one epoch */
    assert_true((double)half.bytes_up < 0.27 * (double)whole.bytes_up && half.time_s < 0.3 * whole.time_s && half.joules < 0.3 * whole.joules);
    uint64_t narrow = 4 * values_of(8, 16, 128), wide = 4 * values_of(16, 32, 256), wides = (steps.bytes_up - 6 * narrow) / (wide - narrow);
    assert_int_equal(steps.bytes_up, (6 - wides) * narrow + wides * wide);
    assert_true(wides > 0 && wides < 6);
    assert_int_equal(fixed.bytes_up, steps.bytes_up);
    assert_int_equal(fixed.device_macs, 30 * ((6 - wides) * macs_of(8, 16, 128) + wides * macs_of(16, 32, 256)));
    assert_true(steps.device_macs < fixed.device_macs && steps.device_macs >= 6 * 30 * macs_of(8, 16, 128));
}

/* The model's narrower networks are tested beside it; width 1 is the model. */
static void test_widths_are_tested(void **state)
{
    (void)state;
    struct federation federation;
    char text[2048];
    federation_open(&federation);
    part_recipe(text, sizeof text, 2, "sparsity: {kind: fjord, widths: [0.25, 1]}\n");
    int error = federation_run(&federation, text, "eval.widths=[0.25, 1]", 3);
    assert_int_equal(error, LN_EINTERRUPTED);
    federation_finish(&federation, text, "eval.widths=[0.25, 1]");
    assert_true(federation.last.width[1] == federation.last.accuracy);
    assert_true(federation.last.width[0] > 0 && federation.last.width[0] <= 1);
    federation_clean(&federation);
    assert_int_equal(federation_run(&federation, text, "eval.widths=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]", 0), LN_ECONFIG);
    federation_close(&federation);
}

/* ---- inside ---- */

struct inside {
    struct federation federation;
    struct ln__conf *conf;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln_blob *base;
    float *model, *state;
};

static void inside_open(struct inside *in, const char *more)
{
    char text[1024];
    federation_open(&in->federation);
    in->conf = NULL;
    snprintf(text, sizeof text, PART_DATA "train: {sample: 2}\n%s", more);
    int error = federation_env(&in->federation, text, NULL, &in->conf, &in->recipe, &in->blobs, &in->env);
    if (error)
        fail_msg("%s", in->federation.fault.text);
    in->model = ln__mem_alloc(in->env.state * sizeof *in->model);
    in->state = ln__mem_alloc(in->env.state * sizeof *in->state);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 8, .purpose = LN__FOR_TEST});
    for (size_t i = 0; i < in->env.state; i++)
        in->model[i] = (float)(ln__rng_unit(&rng) - 0.5);
    assert_int_equal(ln__blob_put(in->blobs, in->model, in->env.state * sizeof *in->model, &in->base, NULL), 0);
}

static void inside_close(struct inside *in)
{
    ln__blob_unref(in->base);
    ln__mem_free(in->model);
    ln__mem_free(in->state);
    ln__env_close(&in->env);
    ln__blobs_close(in->blobs);
    ln__conf_free(in->conf);
    federation_close(&in->federation);
}

/* A client's update that has that value everywhere it has anything. */
static struct ln_blob *update_of(struct inside *in, uint32_t client, enum ln__meaning meaning, float value)
{
    struct ln__submodel *part = NULL;
    const struct ln__param *param = in->env.param;
    struct ln__buf message;
    struct ln_blob *blob;
    uint64_t payload = 0;
    float *values = ln__mem_alloc(in->env.state * sizeof *values);
    for (size_t i = 0; i < in->env.state; i++)
        values[i] = value;
    if (ln__env_submodels(&in->env)) {
        assert_int_equal(ln__env_submodel(&in->env, client, 0, &part, NULL), 0);
        ln__graph_params(ln__submodel_graph(part), &param);
    }
    ln__buf_init(&message, ln__update_bound(&in->env, &in->recipe.codec.up));
    assert_int_equal(ln__update_begin(&in->env, client, 0, &message), 0);
    for (size_t i = 0; i < in->env.params; i++)
        assert_int_equal(ln__update_add(&in->env, &in->recipe.codec.up, i, &param[i], meaning, values, &message, &payload, NULL), 0);
    assert_int_equal(ln__update_end(&in->env, &message), 0);
    assert_int_equal(ln__update_check(&in->env, client, 0, message.data, message.size, in->model, in->state, NULL), 0);
    assert_int_equal(ln__blob_put(in->blobs, message.data, message.size, &blob, NULL), 0);
    ln__buf_fini(&message);
    ln__submodel_free(part);
    ln__mem_free(values);
    return blob;
}

/* sum of coefficient x update (the first two) and base, over divisor. */
static void fold(struct inside *in, struct ln_blob *const *update, const double *coefficient, double of_base, double divisor, float *out)
{
    struct ln__sums *sums;
    struct ln_blob *model;
    const struct ln_sum_id id = {1};
    const void *data;
    assert_int_equal(ln__sums_new(&in->env, &sums, NULL), 0);
    assert_int_equal(ln__sums_open(sums, 200, in->base, id, NULL), 0);
    for (uint32_t c = 0; c < 2; c++) {
        const struct ln__sum_entry entry = {.base = in->base, .client = c, .coefficient = coefficient[c]};
        assert_int_equal(ln__sums_add(sums, id, update[c], &entry, NULL, NULL), 0);
    }
    if (of_base != 0)
        assert_int_equal(ln__sums_add(sums, id, in->base, &(struct ln__sum_entry){.coefficient = of_base}, NULL, NULL), 0);
    assert_int_equal(ln__sums_close(sums, id, divisor, 0, NULL, NULL, NULL, &model, NULL), 0);
    assert_int_equal(ln__blob_pin(model, &data, NULL), 0);
    memcpy(out, data, in->env.state * sizeof *out);
    ln__blob_unpin(model);
    ln__blob_unref(model);
    ln__sums_free(sums);
}

/* Which entries the client has, by the marks of its part. */
static unsigned char *marks_of(const struct inside *in, uint32_t client)
{
    unsigned char *mark = ln__mem_zero(in->env.state, 1);
    struct ln__submodel *part;
    assert_int_equal(ln__env_submodel(&in->env, client, 0, &part, NULL), 0);
    for (size_t p = 0; p < in->env.params; p++)
        ln__submodel_mark(part, p, mark + in->env.param[p].offset);
    ln__submodel_free(part);
    return mark;
}

/* 30 samples of a client that has everything at 2, 10 of one at 5: (30 x 2 + 10 x 5) / 40 = 2.75 where both are, either's value where one is, the model's
 * elsewhere. */
static void test_fold_of_two_parts(void **state)
{
    (void)state;
    struct inside in;
    inside_open(&in, "sparsity: {kind: feddropout, keep: 0.5}\n");
    struct ln_blob *const update[] = {update_of(&in, 0, LN__WEIGHTS, 2), update_of(&in, 1, LN__WEIGHTS, 5)};
    unsigned char *a = marks_of(&in, 0), *b = marks_of(&in, 1);
    size_t seen[4] = {0};
    fold(&in, update, (const double[]){30, 10}, 0, 40, in.state);
    for (size_t i = 0; i < in.env.state; i++) {
        double wanted = a[i] && b[i] ? 2.75 : a[i] ? 2 : b[i] ? 5 : (double)in.model[i];
        assert_true(fabs((double)in.state[i] - wanted) < 1e-6);
        seen[a[i] + 2 * b[i]]++;
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0 && seen[3] > 0);
    ln__mem_free(a);
    ln__mem_free(b);
    ln__blob_unref(update[0]);
    ln__blob_unref(update[1]);
    inside_close(&in);
}

/* Ordered: of conv2 [64][32][25] the narrow client has the first 16 filters of the first 8 channels. */
static void test_fold_of_widths(void **state)
{
    (void)state;
    struct inside in;
    inside_open(&in, "sparsity: {kind: fjord, widths: [0.25, 1], assign: order}\n");
    struct ln_blob *const update[] = {update_of(&in, 0, LN__WEIGHTS, 2), update_of(&in, 3, LN__WEIGHTS, 5)};
    fold(&in, update, (const double[]){30, 10}, 0, 40, in.state);
    const struct ln__param *conv2 = &in.env.param[2];
    assert_string_equal(conv2->name, "conv2.weight");
    for (size_t o = 0; o < 64; o++) {
        for (size_t i = 0; i < 32; i++) {
            for (size_t k = 0; k < 25; k++)
                assert_true(fabs((double)in.state[conv2->offset + (o * 32 + i) * 25 + k] - (o < 16 && i < 8 ? 2.75 : 5)) < 1e-6);
        }
    }
    ln__blob_unref(update[0]);
    ln__blob_unref(update[1]);
    inside_close(&in);
}

static uint64_t foretold_macs(struct inside *in, enum ln__outlook outlook)
{
    struct ln__trace trace = {0};
    uint64_t macs = 0;
    assert_int_equal(ln__task_foretell(&in->env, &(struct ln__task){.kind = LN_TASK_TRAIN, .client = 3, .epochs = 1}, outlook, &trace), 0);
    for (size_t i = 0; i < trace.count; i++)
        macs += trace.row[i].macs;
    ln__trace_fini(&trace);
    return macs;
}

/* A client is compared with others by its own width; that its steps may be narrower is for the look-ahead alone. */
static void test_the_own_width_is_foretold(void **state)
{
    (void)state;
    struct inside in;
    inside_open(&in, "sparsity: {kind: fjord, widths: [0.25, 0.5], assign: order}\n"); /* the last of four clients has the wide one */
    uint64_t samples = in.env.shares.start[4] - in.env.shares.start[3];
    assert_int_equal(foretold_macs(&in, LN__LEAST), samples * macs_of(8, 16, 128));
    assert_int_equal(foretold_macs(&in, LN__LIKELY), samples * macs_of(16, 32, 256));
    inside_close(&in);
}

/* FedBuff's sum: w + (sum of changes) / 2. Who has not an entry has not changed it. */
static void test_fold_of_changes(void **state)
{
    (void)state;
    struct inside in;
    inside_open(&in, "sparsity: {kind: feddropout, keep: 0.5}\nstrategy: fedbuff\n");
    struct ln_blob *const update[] = {update_of(&in, 0, LN__DIFFERENCE, 2), update_of(&in, 1, LN__DIFFERENCE, 5)};
    unsigned char *a = marks_of(&in, 0), *b = marks_of(&in, 1);
    fold(&in, update, (const double[]){1, 1}, 0, 2, in.state); /* 2 w + changes, over 2: as (2 w + sum (w_k - b_k)) / 2 */
    for (size_t i = 0; i < in.env.state; i++)
        assert_true(fabs((double)in.state[i] - (double)in.model[i] - (a[i] * 2 + b[i] * 5) / 2.0) < 1e-6);
    ln__mem_free(a);
    ln__mem_free(b);
    ln__blob_unref(update[0]);
    ln__blob_unref(update[1]);
    inside_close(&in);
}

/* A weight that a client did not send is zero in ZeroFL's mean; in a sum of changes it has not changed. Dense layers are sent whole, zeros too. */
static void check_unsent(const char *strategy, bool changes)
{
    struct inside in;
    size_t sparse = 0, dense = 0;
    char more[200];
    snprintf(more, sizeof more, "sparsity: {kind: swat, sparsity: 0.9}\nupdate: topk_weights\ncodec: {up: sparse, down: f16}\nstrategy: %s\n",
             strategy);
    inside_open(&in, more);
    ln__blob_unref(update_of(&in, 0, LN__WEIGHTS, 0)); /* in.state: what it stands for */
    for (size_t p = 0; p < in.env.params; p++) {
        const struct ln__param *param = &in.env.param[p];
        bool thinned = changes && in.env.sparsity[p] > 0;
        *(in.env.sparsity[p] > 0 ? &sparse : &dense) += param->count;
        for (size_t i = param->offset; i < param->offset + param->count && (thinned || !changes); i++)
            assert_true(in.state[i] == (thinned ? in.model[i] : 0));
    }
    assert_true(sparse > 0 && dense > 0);
    inside_close(&in);
}

static void test_unsent_weights(void **state)
{
    (void)state;
    check_unsent("fedavg", false);
    check_unsent("fedbuff", true);
}

/* ---- a way down that is lossy ---- */

/* What client 0 got of the model: as its device's pull. */
static void got_of(struct inside *in, float *got)
{
    struct ln__buf buf;
    uint64_t bytes;
    ln__buf_init(&buf, ln__update_bound(&in->env, &in->recipe.codec.down));
    for (size_t p = 0; p < in->env.params; p++) {
        const struct ln__param *param = &in->env.param[p];
        assert_int_equal(ln__down_tensor(&in->env, param, in->model + param->offset, got + param->offset, &buf, &bytes, NULL), 0);
    }
    ln__buf_fini(&buf);
}

/* An update stands for the weights the client ended with, whether it sends them or how they differ from what it got. */
static void check_base(const char *more, enum ln__meaning meaning, bool changes)
{
    struct inside in;
    inside_open(&in, more);
    float *got = ln__mem_alloc(in.env.state * sizeof *got);
    double moved = 0;
    got_of(&in, got);
    ln__blob_unref(update_of(&in, 0, meaning, 0.25f)); /* in.state: what it stands for */
    for (size_t i = 0; i < in.env.state; i++) {
        float ended = meaning == LN__WEIGHTS ? 0.25f : got[i] + 0.25f;
        double wanted = changes ? (double)in.model[i] + ((double)ended - (double)got[i]) : (double)ended;
        assert_true(fabs((double)in.state[i] - wanted) < 1e-6);
        moved = fmax(moved, fabs((double)got[i] - (double)in.model[i]));
    }
    assert_true(moved > 0.001); /* the codec is coarse */
    ln__mem_free(got);
    inside_close(&in);
}

static void test_base_is_what_was_got(void **state)
{
    (void)state;
    check_base("codec: {down: q4}\n", LN__DIFFERENCE, false);
    check_base("codec: {down: q4}\n", LN__WEIGHTS, false);
    check_base("codec: {down: q4}\nstrategy: fedbuff\n", LN__DIFFERENCE, true);
    check_base("codec: {down: q4}\nstrategy: fedbuff\n", LN__WEIGHTS, true);
    check_base("codec: {down: {kind: sparse, values: q8}}\n", LN__WEIGHTS, false);
}

/* A learning rate of next to nothing: a client ends where it began, at what it got. Then the model is that too, by weights or by differences. */
static void test_nothing_learnt(void **state)
{
    (void)state;
    static const char *const update[] = {"all", "{kind: topk_diff, mask_ratio: 0}"};
    float *model[2];
    struct federation federation;
    federation_open(&federation);
    for (int i = 0; i < 2; i++) {
        char text[1024];
        snprintf(text, sizeof text, PART_DATA "train: {rounds: 1, sample: 2, optimizer: {kind: sgd, lr: 1e-30}}\ncodec: {down: q4}\nupdate: %s\n",
                 update[i]);
        federation_clean(&federation);
        federation_finish(&federation, text, NULL);
        model[i] = federation.model;
        federation.model = NULL;
    }
    for (size_t i = 0; i < federation.state; i++)
        assert_true(fabsf(model[0][i] - model[1][i]) < 1e-6f);
    ln__mem_free(model[0]);
    ln__mem_free(model[1]);
    federation_close(&federation);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const runs[][2] = {{"sparsity: feddropout\nmethod: {kind: splitfed, cut: 1}\n", "method full goes with it"},
                                          {"sparsity: fjord\nmethod: {kind: ecofed, cut: 1}\n", "method full goes with it"},
                                          {"sparsity: fjord\nupdate: {kind: topk_diff, mask_ratio: 0, error_feedback: true}\n", "another part"},
                                          {"sparsity: {kind: fjord, widths: [0.5, 2]}\n", "widths"},
                                          {"sparsity: {kind: feddropout, keep: 0}\n", "keep"}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        part_refused(runs[i][0], NULL, runs[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits),         cmocka_unit_test(test_ledger),
                                       cmocka_unit_test(test_fold_of_two_parts), cmocka_unit_test(test_fold_of_widths),
                                       cmocka_unit_test(test_fold_of_changes),   cmocka_unit_test(test_base_is_what_was_got),
                                       cmocka_unit_test(test_nothing_learnt),    cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_widths_are_tested), cmocka_unit_test(test_the_own_width_is_foretold),
                                       cmocka_unit_test(test_unsent_weights)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
