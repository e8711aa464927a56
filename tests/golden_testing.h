/* What the tests against PyTorch's numbers share: a golden file and its model, the formulas' weights and batches, summaries of tensors, and the first
 * step's logits and gradients. Included by those tests only. */
#ifndef LINNET_TESTS_GOLDEN_TESTING_H
#define LINNET_TESTS_GOLDEN_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "golden_formulas.h"
#include "nn/nn.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define GOLDEN_DIR LINNET_SOURCE_DIR "/tests/golden"
#define PROJECTIONS 8
#define LARGE 100000 /* elements of a tensor: above, two of the projections are enough */

struct golden {
    const char *file, *streams; /* streams: in front of the names of inputs and labels */
    json_t *root;
    struct ln__conf *conf;
    struct ln__graph *graph;
    const struct ln__param *param;
    size_t params, state_size;
    struct ln__shape input;
    int n;
    float *before, *after, *x;
    int32_t *y;
};

static void fill_initial(const struct golden *golden, float *state)
{
    for (size_t i = 0; i < golden->params; i++) {
        const struct ln__param *param = &golden->param[i];
        float *to = state + param->offset;
        const char *dot = strrchr(param->name, '.');
        bool variance = dot && strcmp(dot, ".running_var") == 0;
        int64_t fan_in = 1;
        for (int d = 1; d < param->dims; d++)
            fan_in *= param->dim[d];
        uint32_t stream = stream_of(param->name);
        for (size_t k = 0; k < param->count; k++)
            to[k] = param->buffer ? (float)variance : initial_weight(param->name, stream, param->dims, fan_in, (uint32_t)k);
    }
}

static void fill_batch(const struct golden *golden, int step)
{
    char name[64];
    snprintf(name, sizeof name, "%sx%d", golden->streams, step);
    size_t count = (size_t)golden->n * (size_t)(golden->input.c * golden->input.h * golden->input.w);
    for (size_t i = 0; i < count; i++)
        golden->x[i] = unit_at(stream_of(name), (uint32_t)i);
    snprintf(name, sizeof name, "%sy%d", golden->streams, step);
    for (int i = 0; i < golden->n; i++)
        golden->y[i] = (int32_t)(word_at(stream_of(name), (uint32_t)i) % 10);
}

/* Norm and projections of values against the golden row, all relative to the golden norm. Weights of a convolution in front of a norm and
 * the like have gradients that are zero but for rounding: `floor` says what counts as nothing. */
static void check_summary(const struct golden *golden, const char *what, const char *name, const json_t *row, const float *value, const float *minus,
                          size_t count, double tolerance, double floor)
{
    double norm = 0, projection[PROJECTIONS] = {0};
    char stream[LN__NAME + 8];
    for (size_t i = 0; i < count; i++) {
        double v = (double)value[i] - (minus ? (double)minus[i] : 0.0);
        norm += v * v;
    }
    norm = sqrt(norm);
    int projections = count > LARGE ? 2 : PROJECTIONS;
    const double side[2] = {1, -1}; /* looked up: half of all branches would be foretold wrongly */
    for (int k = 0; k < projections; k++) {
        snprintf(stream, sizeof stream, "%s/%d", name, k);
        uint32_t signs = stream_of(stream);
        for (size_t i = 0; i < count; i++)
            projection[k] += side[word_at(signs, (uint32_t)i) & 1] * ((double)value[i] - (minus ? (double)minus[i] : 0.0));
    }
    double golden_norm = json_real_value(json_array_get(row, 0));
    double allowed = tolerance * golden_norm + floor;
    double worst = fabs(norm - golden_norm);
    for (int k = 0; k < projections; k++)
        worst = fmax(worst, fabs(projection[k] - json_real_value(json_array_get(row, (size_t)k + 1))));
    if (!(worst <= allowed))
        fail_msg("%s: %s of %s is off by %g, allowed are %g (norm %g, PyTorch %g)", golden->file, what, name, worst, allowed, norm, golden_norm);
}

/* How close a step comes to PyTorch's in float: logits to a part of the largest, the loss, gradients to a part of each tensor's norm and of
 * the largest norm. A bfloat16 operand is off by at most a part in 512; gradients of weights in front of a norm are small differences of large sums,
 * hence the part of the largest. */
struct bounds {
    double logit, loss, gradient, floor;
};
static const struct bounds float_bounds = {1e-4, 1e-4, 1e-3, 5e-6};
static const struct bounds bf16_bounds __attribute__((unused)) = {1e-2, 1e-2, 5e-2, 5e-2};

/* Logits and mean loss of the first step, after its forward pass. */
static void check_logits(const struct golden *golden, struct ln__net *net, const struct bounds *bounds)
{
    float logits[64 * 16];
    struct ln__loss loss;
    int classes = ln__graph_classes(golden->graph);
    ln__net_output(net, golden->n, logits);
    const json_t *rows = json_object_get(golden->root, "logits");
    double scale = 0;
    for (int i = 0; i < golden->n * classes; i++)
        scale = fmax(scale, fabs(json_number_value(json_array_get(json_array_get(rows, (size_t)(i / classes)), (size_t)(i % classes)))));
    for (int i = 0; i < golden->n * classes; i++) {
        double expected = json_number_value(json_array_get(json_array_get(rows, (size_t)(i / classes)), (size_t)(i % classes)));
        if (!(fabs(expected - (double)logits[i]) <= bounds->logit * scale))
            fail_msg("%s: logit %d is %g, PyTorch's %g", golden->file, i, (double)logits[i], expected);
    }
    ln__net_loss(net, golden->n, golden->y, &loss);
    assert_true(fabs(loss.sum / golden->n - json_number_value(json_object_get(golden->root, "loss"))) < bounds->loss);
}

/* Every gradient of the first step, after its backward pass. */
static void check_gradients(const struct golden *golden, struct ln__net *net, const struct bounds *bounds)
{
    ln__net_gradients(net, golden->after);
    const json_t *gradients = json_object_get(golden->root, "gradients");
    size_t seen = 0;
    double largest = 0;
    const char *key;
    json_t *row;
    json_object_foreach((json_t *)gradients, key, row) largest = fmax(largest, json_real_value(json_array_get(row, 0)));
    for (size_t i = 0; i < golden->params; i++) {
        const struct ln__param *param = &golden->param[i];
        if (param->buffer)
            continue;
        row = json_object_get(gradients, param->name);
        if (!row)
            fail_msg("%s: PyTorch has no parameter %s", golden->file, param->name);
        check_summary(golden, "gradient", param->name, row, golden->after + param->offset, NULL, param->count, bounds->gradient,
                      bounds->floor * largest);
        seen++;
    }
    assert_int_equal(seen, json_object_size(gradients));
}

/* A plug-in as a recipe writes it: "{kind: sgd, lr: 0.1}". It lives as long as *conf. */
static struct ln_choice golden_choice(const char *key, enum ln_kind kind, const char *text, struct ln__conf **conf)
{
    const struct ln_option table[] = {{.key = key, .type = LN_OPT_PLUGIN, .kind = kind}, {0}};
    struct ln_choice choice;
    struct ln_fault fault = {0};
    char line[256];
    snprintf(line, sizeof line, "%s: %s", key, text);
    assert_int_equal(ln__conf_parse(line, strlen(line), "golden", conf, &fault), 0);
    if (ln__conf_bind(*conf, ln_catalog_builtin(), table, sizeof choice, &choice, &fault) != 0)
        fail_msg("%s", fault.text);
    return choice;
}

static struct ln_choice model_of(const struct golden *golden, struct ln__conf **conf)
{
    const char *name = json_string_value(json_object_get(golden->root, "model"));
    char text[128];
    /* PyTorch's draws of dropout and stochastic depth are not ours: models that have them are compared without. */
    const char *form = strcmp(name, "cnn3x3") == 0            ? "{kind: %s, dropout: [0, 0]}"
                       : strcmp(name, "efficientnet-b0") == 0 ? "{kind: %s, dropout: 0, stochastic_depth: 0}"
                       : strncmp(name, "mobilenet", 9) == 0   ? "{kind: %s, dropout: 0}"
                                                              : "%s";
    snprintf(text, sizeof text, form, name);
    return golden_choice("model", LN_KIND_MODEL, text, conf);
}

/* file: under tests/golden. */
static void golden_open(struct golden *golden, const char *file)
{
    char path[512];
    json_error_t error;
    *golden = (struct golden){.file = file};
    snprintf(path, sizeof path, "%s/%s", GOLDEN_DIR, file);
    golden->root = json_load_file(path, 0, &error);
    if (!golden->root)
        fail_msg("%s: %s", path, error.text);
    struct ln_choice model = model_of(golden, &golden->conf);
    const json_t *input = json_object_get(golden->root, "input"), *norm = json_object_get(golden->root, "norm");
    const json_t *streams = json_object_get(golden->root, "streams");
    golden->streams = streams ? json_string_value(streams) : "";
    golden->input = (struct ln__shape){(int)json_integer_value(json_array_get(input, 0)), (int)json_integer_value(json_array_get(input, 1)),
                                       (int)json_integer_value(json_array_get(input, 2))};
    golden->n = (int)json_integer_value(json_object_get(golden->root, "batch"));
    bool running = norm && strcmp(json_string_value(norm), "running") == 0;
    struct ln__model_args args = {.input = golden->input, .classes = 10, .norm = running ? LN__NORM_RUNNING : LN__NORM_BATCH};
    struct ln_fault fault = {0};
    if (ln__model_graph(&model, &args, &golden->graph, &fault) != 0)
        fail_msg("%s", fault.text);
    golden->params = ln__graph_params(golden->graph, &golden->param);
    golden->state_size = ln__graph_state(golden->graph);
    size_t floats = (size_t)golden->n * (size_t)(golden->input.c * golden->input.h * golden->input.w);
    golden->before = ln__mem_zero(golden->state_size, sizeof(float));
    golden->after = ln__mem_zero(golden->state_size, sizeof(float));
    golden->x = ln__mem_zero(floats, sizeof(float));
    golden->y = ln__mem_zero((size_t)golden->n, sizeof(int32_t));
    assert_true(golden->before && golden->after && golden->x && golden->y);
    fill_initial(golden, golden->before);
}

static void golden_close(struct golden *golden)
{
    ln__mem_free(golden->before);
    ln__mem_free(golden->after);
    ln__mem_free(golden->x);
    ln__mem_free(golden->y);
    ln__graph_free(golden->graph);
    ln__conf_free(golden->conf);
    json_decref(golden->root);
}

#endif
