/* full: the device trains the whole network (classic federated learning: McMahan et al., AISTATS 2017; EcoFed's FL pipeline). The model comes
 * down, what `update` selects of the result goes up: 2 * 4 bytes a parameter and client with f32 both ways. */
#include "fed/method.h"
#include "nn/sparsity.h"

struct options {
    int64_t cut;
};
static const struct ln_option options_table[] = {{.key = "cut",
                                                  .type = LN_OPT_INT,
                                                  .offset = offsetof(struct options, cut),
                                                  .fallback = "0",
                                                  .max = 1e6,
                                                  .help = "where another method would cut: only model.init.kind partial follows it; 0: nowhere"},
                                                 {0}};

static const struct ln__segment whole = {0, -1};

static int full_plan(const void *options, const struct ln__env *env, void **plan, struct ln__method_needs *needs, struct ln_fault *fault)
{
    (void)env, (void)fault;
    *plan = NULL;
    needs->cut = (int)((const struct options *)options)->cut;
    return LN_OK;
}

static int full_foretell(const void *plan, const struct ln__env *env, const struct ln__task *task, uint32_t samples, enum ln__outlook outlook,
                         struct ln__trace *trace)
{
    (void)plan;
    struct ln__trace_row pull = {.mark = LN__MARK_PULL, .times = 1, .wire_up = LN__ENVELOPE}, post = {.mark = LN__MARK_POST, .times = 1};
    struct ln__submodel *part = NULL, *narrowest = NULL;
    int error = LN_OK;
    if (ln__env_submodels(env)) {
        const struct ln__sparsity *sparsity = (const struct ln__sparsity *)env->recipe->sparsity.plugin;
        error = ln__env_submodel(env, task->client, task->turn, &part, NULL);
        if (!error && outlook == LN__LEAST) /* steps may be of less than the client has */
            error = ln__env_leading(env, sparsity->narrowest(env->recipe->sparsity.options), NULL, &narrowest, NULL);
    }
    if (!error) {
        ln__segment_foretell(env, part, &env->recipe->codec.down, whole, outlook, &pull.bytes_down, &pull.wire_down);
        ln__segment_foretell(env, part, &env->recipe->codec.up, whole, outlook, &post.bytes_up, &post.wire_up);
    }
    const struct ln__submodel *works = narrowest ? narrowest : part;
    uint64_t macs =
        works ? ln__segment_macs_train(ln__submodel_graph(works), whole) : ln__sparse_macs_train(env->graph, whole, &env->recipe->sparsity);
    ln__submodel_free(part);
    ln__submodel_free(narrowest);
    struct ln__trace_row work = {.mark = LN__MARK_WORK, .times = task->epochs, .macs = samples * macs};
    if (!error)
        error = ln__trace_add(trace, &pull);
    if (!error && work.macs)
        error = ln__trace_add(trace, &work);
    return error ? error : ln__trace_add(trace, &post);
}

static int full_device(const void *plan, struct ln__device *device)
{
    (void)plan;
    float *before = ln__worker_state(device->worker, 0), *after = ln__worker_state(device->worker, 1);
    if (!before || !after)
        return ln_fault_set(&device->result->fault, LN_ENOMEM, "no memory for a client's model");
    int error = ln__device_pull(device, whole, before);
    if (!error)
        error = ln__device_train(device, before, after);
    return error ? error : ln__device_push(device, whole, before, after);
}

const struct ln__method ln__method_full = {
    .plugin = {.name = "full", .summary = "the device trains the whole network", .options = options_table, .options_size = sizeof(struct options)},
    .plan = full_plan,
    .foretell = full_foretell,
    .device = full_device,
};
