/* What PyTorch computed (tests/golden/make_goldens.py) against every kernel set of this program: logits, loss, every gradient, and the
 * weights after ten steps of each optimiser, for every model and both norm modes. Weights, inputs and labels are formulas of their
 * names, made anew here; of each tensor the file holds the norm and 8 projections on random signs. */
#include "golden_testing.h"

#include <dirent.h>

static const struct {
    const char *name, *recipe;
} optimizers[] = {
    {"sgd", "{kind: sgd, lr: 0.001, momentum: 0, weight_decay: 0}"},
    {"momentum", "{kind: sgd, lr: 0.001, momentum: 0.9, weight_decay: 5.0e-4}"},
    {"nesterov", "{kind: sgd, lr: 0.001, momentum: 0.9, weight_decay: 5.0e-4, nesterov: true}"},
    {"adam", "{kind: adam, lr: 1.0e-4, weight_decay: 1.0e-4}"},
};

static void check_first_step(const struct golden *golden, struct ln__net *net, const struct bounds *bounds)
{
    fill_batch(golden, 0);
    ln__net_load(net, golden->before);
    ln__net_forward(net, golden->n, golden->x, true, NULL);
    check_logits(golden, net, bounds);
    ln__net_backward(net, golden->n, NULL, NULL);
    check_gradients(golden, net, bounds);
}

static void check_ten_steps(const struct golden *golden, struct ln__net *net, const char *kind, double lr)
{
    struct ln__loss loss = {0};
    const json_t *steps = json_object_get(json_object_get(golden->root, "steps"), kind);
    ln__net_load(net, golden->before);
    for (int step = 0; step < 10; step++) {
        fill_batch(golden, step);
        ln__net_forward(net, golden->n, golden->x, true, NULL);
        ln__net_loss(net, golden->n, golden->y, &loss);
        ln__net_learn(net, golden->n, NULL, NULL, lr, 0);
    }
    double expected = json_number_value(json_object_get(steps, "last_loss"));
    if (!(fabs(loss.sum / golden->n - expected) <= 2e-3 * fmax(1, fabs(expected))))
        fail_msg("%s: %s: loss of the tenth step is %g, PyTorch's %g", golden->file, kind, loss.sum / golden->n, expected);
    ln__net_store(net, golden->after);
    const json_t *moved = json_object_get(steps, "moved");
    /* Rounding grows from step to step, most where Adam divides a tiny gradient by its own size. */
    double tolerance = strcmp(kind, "adam") == 0 ? 5e-2 : 2e-2;
    for (size_t i = 0; i < golden->params; i++) {
        const struct ln__param *param = &golden->param[i];
        const json_t *row = json_object_get(moved, param->name);
        assert_non_null(row);
        const float *minus = param->buffer ? NULL : golden->before + param->offset;
        /* Some tensors move by rounding alone (a bias in front of a norm), some after it has gone through fifty layers: so whatever the way,
         * the weights themselves agree to a part of their own norm. */
        double norm = 0;
        for (size_t k = 0; k < param->count; k++)
            norm += (double)golden->before[param->offset + k] * (double)golden->before[param->offset + k];
        double floor = 2e-3 * sqrt(norm) + (strcmp(kind, "adam") == 0 ? 2e-3 * sqrt((double)param->count) : 0);
        check_summary(golden, kind, param->name, row, golden->after + param->offset, minus, param->count, tolerance, floor);
    }
    fill_batch(golden, 10);
    ln__net_forward(net, golden->n, golden->x, false, NULL);
    ln__net_loss(net, golden->n, golden->y, &loss);
    expected = json_number_value(json_object_get(steps, "eval_loss"));
    if (!(fabs(loss.sum / golden->n - expected) <= 1e-2 * fmax(1, fabs(expected))))
        fail_msg("%s: %s: loss of the evaluation is %g, PyTorch's %g", golden->file, kind, loss.sum / golden->n, expected);
}

static void check_on(const struct golden *golden, const struct ln__kset *kset)
{
    struct ln_fault fault = {0};
    /* The reference is slow: of the large models it takes none, of the middling ones the first step. An optimiser goes over weights element by element, whatever
     * the model and its norms are: all of them on this machine's best set with norms by the batch, one elsewhere. Running norms differ from those in the
     * statistics, which are plain code: with them other sets than the best take the first step of small models only; of large ones they take it with norms by the
     * batch. */
    bool large = golden->state_size > 3000000, middling = golden->state_size > 100000, best = kset == ln__kset_best();
    bool running = strstr(golden->file, "-running") != NULL;
    if (large && (kset->lanes == 1 || (running && !best)))
        return;
    bool steps = best || (kset->lanes > 1 && !running && !large) || !middling, all = steps && best && !running;
    print_message("%s on %s: %s\n", golden->file, kset->name, !steps ? "the first step" : all ? "all optimisers" : "momentum");
    double rate = json_number_value(json_object_get(golden->root, "rate"));
    for (size_t k = 0; k < sizeof optimizers / sizeof *optimizers; k++) {
        bool first = k == 0, ten = steps && (all || strcmp(optimizers[k].name, "momentum") == 0);
        if (!first && !ten)
            continue;
        struct ln__conf *conf;
        struct ln_choice optimizer = golden_choice("optimizer", LN_KIND_OPTIMIZER, optimizers[k].recipe, &conf);
        struct ln__plan_args args = {.graph = golden->graph,
                                     .segment = {0, -1},
                                     .batch = golden->n,
                                     .train = true,
                                     .learn = !first, /* the first step's gradients are looked at */
                                     .kset = kset,
                                     .width = 1,
                                     .optimizer = &optimizer};
        struct ln__plan *plan;
        struct ln__net *net;
        if (ln__plan_new(&args, &plan, &fault) != 0 || ln__net_new(plan, NULL, &net, &fault) != 0)
            fail_msg("%s", fault.text);
        if (first)
            check_first_step(golden, net, &float_bounds);
        if (ten)
            check_ten_steps(golden, net, optimizers[k].name, rate * ln__optimizer_lr(&optimizer));
        ln__net_free(net);
        ln__plan_free(plan);
        ln__conf_free(conf);
    }
}

/* Products in bfloat16: the first step of every model. */
static void check_bf16(const struct golden *golden)
{
    struct ln_fault fault = {0};
    struct ln__conf *conf;
    struct ln_choice optimizer = golden_choice("optimizer", LN_KIND_OPTIMIZER, optimizers[0].recipe, &conf);
    const struct ln__kset *kset = ln__kset_bf16(ln__kset_best());
    struct ln__plan_args args = {
        .graph = golden->graph, .segment = {0, -1}, .batch = golden->n, .train = true, .kset = kset, .width = 1, .optimizer = &optimizer};
    struct ln__plan *plan;
    struct ln__net *net;
    if (ln__plan_new(&args, &plan, &fault) != 0 || ln__net_new(plan, NULL, &net, &fault) != 0)
        fail_msg("%s", fault.text);
    print_message("%s on %s: the first step\n", golden->file, kset->name);
    check_first_step(golden, net, &bf16_bounds);
    ln__net_free(net);
    ln__plan_free(plan);
    ln__conf_free(conf);
}

static void check_file(const char *file)
{
    struct golden golden;
    golden_open(&golden, file);
    assert_int_equal(ln__graph_trainable(golden.graph), json_integer_value(json_object_get(golden.root, "parameters")));
    size_t count;
    const struct ln__kset *const *list = ln__kset_list(&count);
    for (size_t i = 0; i < count; i++) {
        if (list[i]->usable()) {
            check_on(&golden, list[i]);
        }
    }
    check_bf16(&golden);
    golden_close(&golden);
}

static void every_model_has_a_golden_and_equals_it(void **state)
{
    (void)state;
    DIR *dir = opendir(GOLDEN_DIR);
    assert_non_null(dir);
    char seen[1024] = "";
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        check_file(entry->d_name);
        size_t used = strlen(seen);
        snprintf(seen + used, sizeof seen - used, "%s ", entry->d_name);
    }
    closedir(dir);
    const struct ln_catalog *catalog = ln_catalog_builtin();
    for (size_t i = 0; i < catalog->of[LN_KIND_MODEL].count; i++) {
        const char *name = catalog->of[LN_KIND_MODEL].item[i]->name;
        char file[64];
        snprintf(file, sizeof file, "%s-batch.json", name);
        if (!strstr(seen, file))
            fail_msg("model %s has no golden file", name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_model_has_a_golden_and_equals_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
