/* SWAT as PyTorch computes it (tests/golden/make_swat.py) against the masked reference and every vector set, for ResNet-18 and FEMNIST's network with the
 * papers' sparse layers: logits, thresholds, masks of weights and activations, every gradient, and the weights after some steps of momentum, some of
 * them under thresholds found before. */
#include "golden_testing.h"
#include "nn/net.h"

#define NEAR 1e-6f          /* of a threshold: what lies so close may fall on either side of it */
#define LARGE_STATE 8000000 /* floats: above, the reference is slow, and takes a forward pass at one sparsity only */

static const char *const files[] = {"swat/resnet18-0.9.json", "swat/resnet18-0.95.json", "swat/femnist-cnn-0.9.json", "swat/femnist-cnn-0.95.json",
                                    "swat/femnist-cnn-0.4.json"};

/* A mask against its row: threshold, how many are kept, projections of the mask on random signs. */
static void check_mask(const struct golden *golden, const char *name, const char *what, const json_t *row, const float *x, size_t count, float level)
{
    double expected = json_number_value(json_array_get(row, 0));
    if (!(fabs((double)level - expected) <= 1e-5 * expected + 1e-30))
        fail_msg("%s: the threshold of %s, %s, is %g, PyTorch's %g", golden->file, name, what, (double)level, expected);
    int64_t kept = 0, close = 0, projection[PROJECTIONS] = {0};
    char stream[LN__NAME + 8];
    uint32_t signs[PROJECTIONS];
    for (int k = 0; k < PROJECTIONS; k++) {
        snprintf(stream, sizeof stream, "%s/%c/%d", name, what[0] == 'w' ? 'w' : 'x', k);
        signs[k] = stream_of(stream);
    }
    for (size_t i = 0; i < count; i++) {
        float size = fabsf(x[i]);
        close += size > 0 && fabsf(size - level) <= NEAR * level && size != level;
        if (!(size >= level) || size == 0)
            continue;
        kept++;
        for (int k = 0; k < PROJECTIONS; k++)
            projection[k] += word_at(signs[k], (uint32_t)i) & 1 ? -1 : 1;
    }
    int64_t off = llabs(kept - json_integer_value(json_array_get(row, 1)));
    for (int k = 0; k < PROJECTIONS; k++) {
        int64_t by = llabs(projection[k] - json_integer_value(json_array_get(row, (size_t)k + 2)));
        off = by > off ? by : off;
    }
    if (off > close)
        fail_msg("%s: the mask of %s, %s, differs in %lld elements or more; %lld lie at the threshold", golden->file, name, what, (long long)off,
                 (long long)close);
}

/* Thresholds and masks of the sparse layers, after a training forward pass; the layers are those of the file and no others. */
static void check_masks(const struct golden *golden, const struct ln__plan *plan, const struct ln__net *net)
{
    const json_t *masks = json_object_get(golden->root, "masks");
    size_t seen = 0;
    for (int i = 0; i < plan->steps; i++) {
        const struct ln__plan_step *step = &plan->step[i];
        if (!step->sparse.set)
            continue;
        const struct ln__graph *graph = golden->graph;
        const struct ln__node *node = &graph->node[step->node];
        const struct ln__param *param = &graph->param[node->param[0]];
        struct ln__shape shape = graph->node[step->in[0]].shape;
        size_t count = (size_t)golden->n * (size_t)(shape.c * shape.h * shape.w);
        char name[LN__NAME];
        snprintf(name, sizeof name, "%.*s", (int)(strlen(param->name) - strlen(".weight")), param->name);
        const json_t *row = json_object_get(masks, name);
        if (!row)
            fail_msg("%s: %s is sparse here and not in PyTorch", golden->file, name);
        check_mask(golden, name, "weights", json_object_get(row, "weights"), golden->before + param->offset, param->count, net->levels[i].weights);
        float *x = ln__mem_alloc(count * sizeof *x);
        assert_non_null(x);
        const float *lies = (const float *)(const void *)(net->arena + plan->value[step->in[0]]);
        plan->args.kset->unpack(golden->n, shape.c, shape.h * shape.w, lies, x, NULL);
        check_mask(golden, name, "activations", json_object_get(row, "activations"), x, count, net->levels[i].activations);
        ln__mem_free(x);
        seen++;
    }
    assert_int_equal(seen, json_object_size(masks));
}

static void check_steps(const struct golden *golden, struct ln__net *net, double lr)
{
    struct ln__loss loss = {0};
    int steps = (int)json_integer_value(json_object_get(golden->root, "steps"));
    ln__net_load(net, golden->before);
    for (int step = 0; step < steps; step++) {
        fill_batch(golden, step);
        ln__net_forward(net, golden->n, golden->x, true, NULL);
        ln__net_loss(net, golden->n, golden->y, &loss);
        ln__net_backward(net, golden->n, NULL, NULL);
        ln__net_update(net, lr);
    }
    double expected = json_number_value(json_object_get(golden->root, "last_loss"));
    if (!(fabs(loss.sum / golden->n - expected) <= 2e-3 * fmax(1, fabs(expected))))
        fail_msg("%s: loss of the last step is %g, PyTorch's %g", golden->file, loss.sum / golden->n, expected);
    ln__net_store(net, golden->after);
    const json_t *moved = json_object_get(golden->root, "moved");
    for (size_t i = 0; i < golden->params; i++) {
        const struct ln__param *param = &golden->param[i];
        const json_t *row = json_object_get(moved, param->name);
        assert_non_null(row);
        double norm = 0;
        for (size_t k = 0; k < param->count; k++)
            norm += (double)golden->before[param->offset + k] * (double)golden->before[param->offset + k];
        /* As in golden_test.c: some tensors move by rounding alone, so whatever the way, weights agree to a part of their own norm. */
        check_summary(golden, "way", param->name, row, golden->after + param->offset, golden->before + param->offset, param->count, 2e-2,
                      1e-4 * sqrt(norm));
    }
    fill_batch(golden, steps);
    ln__net_forward(net, golden->n, golden->x, false, NULL);
    ln__net_loss(net, golden->n, golden->y, &loss);
    expected = json_number_value(json_object_get(golden->root, "eval_loss"));
    if (!(fabs(loss.sum / golden->n - expected) <= 1e-2 * fmax(1, fabs(expected))))
        fail_msg("%s: loss of the evaluation is %g, PyTorch's %g", golden->file, loss.sum / golden->n, expected);
}

static void check_on(const struct golden *golden, const struct ln__kset *kset)
{
    char text[128];
    double sparsity = json_number_value(json_object_get(golden->root, "sparsity"));
    bool slow = kset->lanes == 1 && golden->state_size > LARGE_STATE;
    if (slow && sparsity != 0.9)
        return;
    print_message("%s on %s%s\n", golden->file, kset->name, slow ? ": a forward pass" : "");
    snprintf(text, sizeof text, "{kind: swat, sparsity: %g, period: %d}", sparsity, (int)json_integer_value(json_object_get(golden->root, "period")));
    struct ln__conf *of_sparsity, *of_optimizer;
    struct ln_choice swat = golden_choice("sparsity", LN_KIND_SPARSITY, text, &of_sparsity);
    struct ln_choice sgd =
        golden_choice("optimizer", LN_KIND_OPTIMIZER, "{kind: sgd, lr: 0.001, momentum: 0.9, weight_decay: 5.0e-4}", &of_optimizer);
    struct ln__plan_args args = {.graph = golden->graph,
                                 .segment = {0, -1},
                                 .batch = golden->n,
                                 .train = true,
                                 .kset = kset,
                                 .width = 1,
                                 .optimizer = &sgd,
                                 .sparsity = &swat};
    struct ln__plan *plan;
    struct ln__net *net;
    struct ln_fault fault = {0};
    if (ln__plan_new_as(&args, false, true, &plan, &fault) != 0 || ln__net_new(plan, NULL, &net, &fault) != 0)
        fail_msg("%s", fault.text);
    fill_batch(golden, 0);
    ln__net_load(net, golden->before);
    ln__net_forward(net, golden->n, golden->x, true, NULL);
    check_logits(golden, net, &float_bounds);
    check_masks(golden, plan, net);
    if (!slow) {
        ln__net_backward(net, golden->n, NULL, NULL);
        check_gradients(golden, net, &float_bounds);
        check_steps(golden, net, ln__optimizer_lr(&sgd));
    }
    ln__net_free(net);
    ln__plan_free(plan);
    ln__conf_free(of_sparsity);
    ln__conf_free(of_optimizer);
}

static void swat_is_what_pytorch_computes(void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        struct golden golden;
        size_t count;
        golden_open(&golden, files[f]);
        const struct ln__kset *const *list = ln__kset_list(&count);
        for (size_t i = 0; i < count; i++) {
            if (list[i]->usable())
                check_on(&golden, list[i]);
        }
        golden_close(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(swat_is_what_pytorch_computes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
