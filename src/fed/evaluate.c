#include "fed/evaluate.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One batch is one chunk; what each gave is added in order of batches. */
struct ln__evaluator {
    const struct ln__env *env;
    struct ln__pool *pool;
    unsigned width;
    uint32_t batch;
    size_t batches, first; /* first: of the slice under way */
    struct ln__plan *plan;
    struct ln__net **net; /* [width] */
    float **x;            /* [width] a batch */
    int32_t **y;
    double *loss; /* [batches] */
    int *correct;
    /* eval.per_client: whole numbers only, so the order of adding is free */
    int outputs;
    float **logits;          /* [width] a batch */
    uint32_t *right, *asked; /* [width][classes], [classes] */
    double *of_client;       /* [clients] */
    /* eval.widths: one of these for each, of a part of the network */
    struct ln__submodel *part;
    float *part_state;
    struct ln__evaluator *narrow[LN__WIDTHS];
    size_t narrows;
};

void ln__evaluator_free(struct ln__evaluator *evaluator)
{
    if (!evaluator)
        return;
    for (unsigned w = 0; w < evaluator->width; w++) {
        if (evaluator->net)
            ln__net_free(evaluator->net[w]);
        if (evaluator->x)
            ln__mem_free(evaluator->x[w]);
        if (evaluator->y)
            ln__mem_free(evaluator->y[w]);
        if (evaluator->logits)
            ln__mem_free(evaluator->logits[w]);
    }
    for (size_t i = 0; i < evaluator->narrows; i++)
        ln__evaluator_free(evaluator->narrow[i]);
    ln__mem_free(evaluator->part_state);
    ln__mem_free(evaluator->logits);
    ln__mem_free(evaluator->right);
    ln__mem_free(evaluator->asked);
    ln__mem_free(evaluator->of_client);
    ln__mem_free(evaluator->net);
    ln__mem_free(evaluator->x);
    ln__mem_free(evaluator->y);
    ln__mem_free(evaluator->loss);
    ln__mem_free(evaluator->correct);
    ln__plan_free(evaluator->plan);
    ln__submodel_free(evaluator->part);
    ln__mem_free(evaluator);
}

static int clients_make(struct ln__evaluator *evaluator, struct ln_fault *fault)
{
    const struct ln__env *env = evaluator->env;
    const struct ln__samples *test = &env->set.split[LN__TEST];
    size_t classes = (size_t)env->set.classes;
    evaluator->outputs = ln__graph_classes(env->graph);
    evaluator->logits = ln__mem_zero(evaluator->width, sizeof(float *));
    evaluator->right = ln__mem_zero(evaluator->width * classes, sizeof *evaluator->right);
    evaluator->asked = ln__mem_zero(classes, sizeof *evaluator->asked);
    evaluator->of_client = ln__mem_zero(env->shares.clients, sizeof *evaluator->of_client);
    bool made = evaluator->logits && evaluator->right && evaluator->asked && evaluator->of_client;
    for (unsigned w = 0; w < evaluator->width && made; w++) {
        evaluator->logits[w] = ln__mem_alloc(evaluator->batch * (size_t)evaluator->outputs * sizeof(float));
        made = evaluator->logits[w] != NULL;
    }
    if (!made)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the accuracy of %u clients", env->shares.clients);
    for (uint32_t i = 0; i < test->count; i++)
        evaluator->asked[test->label[i]]++;
    return LN_OK;
}

static int evaluator_make(struct ln__evaluator *evaluator, struct ln_fault *fault)
{
    const struct ln__env *env = evaluator->env;
    evaluator->net = ln__mem_zero(evaluator->width, sizeof(struct ln__net *));
    evaluator->x = ln__mem_zero(evaluator->width, sizeof(float *));
    evaluator->y = ln__mem_zero(evaluator->width, sizeof(int32_t *));
    evaluator->loss = ln__mem_zero(evaluator->batches + 1, sizeof *evaluator->loss);
    evaluator->correct = ln__mem_zero(evaluator->batches + 1, sizeof *evaluator->correct);
    if (!evaluator->net || !evaluator->x || !evaluator->y || !evaluator->loss || !evaluator->correct)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for tests");
    const struct ln__plan_args args = {.graph = evaluator->part ? ln__submodel_graph(evaluator->part) : env->graph,
                                       .segment = {0, -1},
                                       .batch = (int)evaluator->batch,
                                       .kset = ln__kset_float(env->kset), /* as whoever uses the model will run it */
                                       .width = 1,
                                       .sparsity = &env->recipe->sparsity};
    int error = ln__plan_new(&args, &evaluator->plan, fault);
    size_t sample = (size_t)env->set.c * (size_t)env->set.h * (size_t)env->set.w;
    for (unsigned w = 0; w < evaluator->width && !error; w++) {
        error = ln__net_new(evaluator->plan, NULL, &evaluator->net[w], fault);
        evaluator->x[w] = ln__mem_alloc(evaluator->batch * sample * sizeof(float));
        evaluator->y[w] = ln__mem_alloc(evaluator->batch * sizeof(int32_t));
        if (!error && (!evaluator->x[w] || !evaluator->y[w]))
            error = ln_fault_set(fault, LN_ENOMEM, "no memory for test batches of %u", evaluator->batch);
    }
    if (!error && env->recipe->eval.per_client && !evaluator->part)
        error = clients_make(evaluator, fault);
    return error;
}

/* part (the evaluator's from here on): of that network; NULL: of the whole. */
static int evaluator_new(const struct ln__env *env, struct ln__submodel *part, struct ln__pool *pool, struct ln__evaluator **out,
                         struct ln_fault *fault)
{
    *out = NULL;
    struct ln__evaluator *evaluator = ln__mem_zero(1, sizeof *evaluator);
    if (!evaluator) {
        ln__submodel_free(part);
        return ln_fault_set(fault, LN_ENOMEM, "no memory for tests");
    }
    evaluator->env = env;
    evaluator->part = part;
    evaluator->pool = pool;
    evaluator->width = ln__pool_width(pool);
    evaluator->batch = (uint32_t)env->recipe->eval.batch;
    evaluator->batches = ((size_t)env->set.split[LN__TEST].count + evaluator->batch - 1) / evaluator->batch;
    if (part)
        evaluator->part_state = ln__mem_alloc(ln__graph_state(ln__submodel_graph(part)) * sizeof(float));
    int error = part && !evaluator->part_state ? ln_fault_set(fault, LN_ENOMEM, "no memory for tests") : evaluator_make(evaluator, fault);
    if (error) {
        ln__evaluator_free(evaluator);
        return error;
    }
    *out = evaluator;
    return LN_OK;
}

int ln__evaluator_new(const struct ln__env *env, struct ln__pool *pool, struct ln__evaluator **out, struct ln_fault *fault)
{
    const struct ln_reals *widths = &env->recipe->eval.widths;
    *out = NULL;
    if (widths->count > LN__WIDTHS)
        return ln_fault_set(fault, LN_ECONFIG, "eval.widths: %zu of them; expected at most %d", widths->count, LN__WIDTHS);
    int error = evaluator_new(env, NULL, pool, out, fault);
    for (size_t i = 0; i < widths->count && !error; i++) {
        struct ln__submodel *part;
        error = ln__env_leading(env, widths->item[i], NULL, &part, fault);
        if (!error)
            error = evaluator_new(env, part, pool, &(*out)->narrow[i], fault);
        (*out)->narrows += !error;
    }
    if (error) {
        ln__evaluator_free(*out);
        *out = NULL;
    }
    return error;
}

static void count_classes(struct ln__evaluator *evaluator, int n, unsigned worker)
{
    const float *logits = evaluator->logits[worker];
    uint32_t *right = evaluator->right + worker * (size_t)evaluator->env->set.classes;
    ln__net_output(evaluator->net[worker], n, evaluator->logits[worker]);
    for (int i = 0; i < n; i++, logits += evaluator->outputs) {
        int best = 0;
        for (int k = 1; k < evaluator->outputs; k++)
            best = logits[k] > logits[best] ? k : best;
        right[best < evaluator->env->set.classes ? best : 0] += best == evaluator->y[worker][i];
    }
}

static void test_batch(void *context, size_t chunk, unsigned worker)
{
    struct ln__evaluator *evaluator = context;
    const struct ln__env *env = evaluator->env;
    chunk += evaluator->first;
    uint32_t first = (uint32_t)chunk * evaluator->batch, left = env->set.split[LN__TEST].count - first;
    int n = (int)(left < evaluator->batch ? left : evaluator->batch);
    const struct ln__batch_args args = {.set = &env->set, .split = LN__TEST, .first = first};
    struct ln__loss loss;
    ln__batch_fill(&args, n, evaluator->x[worker], evaluator->y[worker]);
    ln__net_forward(evaluator->net[worker], n, evaluator->x[worker], false, NULL);
    if (evaluator->of_client)
        count_classes(evaluator, n, worker);
    ln__net_loss(evaluator->net[worker], n, evaluator->y[worker], &loss);
    evaluator->loss[chunk] = loss.sum;
    evaluator->correct[chunk] = loss.correct;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct ln__spread spread_clients(struct ln__evaluator *evaluator)
{
    const struct ln__shares *shares = &evaluator->env->shares;
    const struct ln__samples *train = &evaluator->env->set.split[LN__TRAIN];
    size_t classes = (size_t)evaluator->env->set.classes, count = 0;
    uint32_t *right = evaluator->right;
    double *of = evaluator->of_client;
    struct ln__spread out = {0};
    for (size_t k = classes; k < evaluator->width * classes; k++)
        right[k % classes] += right[k];
    for (uint32_t c = 0; c < shares->clients; c++) {
        double sum = 0, samples = 0;
        for (uint64_t i = shares->start[c]; i < shares->start[c + 1]; i++) {
            int32_t label = train->label[shares->index[i]];
            if (evaluator->asked[label] == 0)
                continue;
            sum += (double)right[label] / evaluator->asked[label];
            samples++;
        }
        if (samples > 0)
            of[count++] = sum / samples;
    }
    if (count == 0)
        return out;
    qsort(of, count, sizeof *of, ascending);
    size_t worst = (count + 9) / 10;
    for (size_t i = 0; i < count; i++) {
        out.mean += of[i] / (double)count;
        out.worst10 += i < worst ? of[i] / (double)worst : 0;
    }
    out.median = (of[(count - 1) / 2] + of[count / 2]) / 2;
    return out;
}

#define SLICE 4 /* batches a worker between two looks at `stop` */

static int test_batches(struct ln__evaluator *evaluator, const volatile int *stop, bool show)
{
    for (evaluator->first = 0; evaluator->first < evaluator->batches;) {
        size_t left = evaluator->batches - evaluator->first, count = (size_t)SLICE * evaluator->width;
        if (stop && *stop)
            return LN_EINTERRUPTED;
        count = count < left ? count : left;
        ln__pool_for(evaluator->pool, count, test_batch, evaluator);
        evaluator->first += count;
        if (show)
            ln__progress("first test", "batches", (double)evaluator->first, (double)evaluator->batches, "");
    }
    return LN_OK;
}

int ln__evaluator_run(struct ln__evaluator *evaluator, const float *state, const volatile int *stop, bool show, struct ln__evaluation *out,
                      struct ln_fault *fault)
{
    double loss = 0, count = evaluator->env->set.split[LN__TEST].count;
    uint64_t correct = 0;
    if (evaluator->part) {
        ln__submodel_take_all(evaluator->part, state, evaluator->part_state);
        state = evaluator->part_state;
    }
    for (unsigned w = 0; w < evaluator->width; w++)
        ln__net_load(evaluator->net[w], state);
    if (evaluator->of_client)
        memset(evaluator->right, 0, evaluator->width * (size_t)evaluator->env->set.classes * sizeof *evaluator->right);
    int error = test_batches(evaluator, stop, show);
    if (error)
        return ln_fault_set(fault, error, "stopped in a test");
    for (size_t b = 0; b < evaluator->batches; b++) {
        loss += evaluator->loss[b];
        correct += (uint64_t)evaluator->correct[b];
    }
    *out = (struct ln__evaluation){.accuracy = count > 0 ? (double)correct / count : 0, .loss = count > 0 ? loss / count : 0};
    if (evaluator->of_client)
        out->client = spread_clients(evaluator);
    for (size_t i = 0; i < evaluator->narrows && !error; i++) {
        struct ln__evaluation narrow;
        error = ln__evaluator_run(evaluator->narrow[i], state, stop, show, &narrow, fault);
        out->width[i] = narrow.accuracy;
    }
    return error;
}
