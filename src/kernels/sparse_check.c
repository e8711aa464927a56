#include "kernels/sparse_check.h"
#include "base/log.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

#define THREE(ci, hi, co, ho, s)                                                                                                                     \
    {                                                                                                                                                \
        ci, hi, hi, co, ho, ho, 3, 3, s, 1, 1, 1                                                                                                     \
    }
#define ONE(ci, hi, co, ho)                                                                                                                          \
    {                                                                                                                                                \
        ci, hi, hi, co, ho, ho, 1, 1, 2, 0, 0, 1                                                                                                     \
    }
static const struct ln__sparse_layer resnet18[] = {
    {"3x3 3-64 @32", THREE(3, 32, 64, 32, 1), 1, true},        {"3x3 64-64 @32", THREE(64, 32, 64, 32, 1), 4, false},
    {"3x3/2 64-128 @16", THREE(64, 32, 128, 16, 2), 1, false}, {"3x3 128-128 @16", THREE(128, 16, 128, 16, 1), 3, false},
    {"3x3/2 128-256 @8", THREE(128, 16, 256, 8, 2), 1, false}, {"3x3 256-256 @8", THREE(256, 8, 256, 8, 1), 3, false},
    {"3x3/2 256-512 @4", THREE(256, 8, 512, 4, 2), 1, false},  {"3x3 512-512 @4", THREE(512, 4, 512, 4, 1), 3, false},
    {"1x1/2 64-128 @16", ONE(64, 32, 128, 16), 1, true},       {"1x1/2 128-256 @8", ONE(128, 16, 256, 8), 1, true},
    {"1x1/2 256-512 @4", ONE(256, 8, 512, 4), 1, true},
};

const struct ln__sparse_layer *ln__sparse_resnet18(size_t *count)
{
    *count = sizeof resnet18 / sizeof resnet18[0];
    return resnet18;
}

/* Numbers in (-1, 1); relu: half of them zero, few equal. */
static void draw(size_t size, uint32_t stream, bool relu, float *x)
{
    struct ln__key key = {.seed = 7, .client = stream, .purpose = LN__FOR_TEST};
    for (size_t i = 0; i < size; i++) {
        uint32_t word[4];
        if (i % 4 == 0)
            ln__rng_block(&key, i / 4, word);
        float v = (float)(int32_t)word[i % 4] / 2147483648.0F;
        x[i] = relu && v < 0 ? 0 : v;
    }
}

/* One side of a comparison: a set with a layer's buffers in its layout. */
struct side {
    const struct ln__sparse_kset *set;
    size_t in, out, weights, channels; /* floats as they lie */
    float *x, *dy, *w, *y, *dx, *dw, *dbias, *bias, *scratch, *topk;
    void *list, *block;
};

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t floats(size_t count)
{
    return (count + 15) / 16 * 16;
}

static size_t padded(const struct ln__sparse_kset *set, int c)
{
    return (size_t)ln__blocks(c, set->dense.lanes) * (size_t)set->dense.lanes;
}

static size_t inputs_of(const struct ln__sparse_case *layer)
{
    return (size_t)layer->n * (size_t)(layer->conv.ci * layer->conv.hi * layer->conv.wi);
}

/* nchw inputs come packed. */
static int side_open(const struct ln__sparse_kset *set, const struct ln__sparse_case *layer, size_t cap, unsigned width, struct side *s)
{
    const struct ln__conv *conv = &layer->conv;
    int n = layer->n;
    memset(s, 0, sizeof *s);
    s->set = set;
    s->in = (size_t)n * padded(set, conv->ci) * (size_t)(conv->hi * conv->wi);
    s->out = (size_t)n * padded(set, conv->co) * (size_t)(conv->ho * conv->wo);
    s->channels = padded(set, conv->co);
    s->weights = set->dense.conv_weights(conv);
    size_t scratch = 16;
    for (int pass = LN__FORWARD; pass <= LN__WEIGHT_GRAD; pass++) {
        scratch = most(scratch, set->scratch(conv, (enum ln__pass)pass, n, width));
        scratch = most(scratch, set->dense.conv_scratch(conv, (enum ln__pass)pass, n, width));
    }
    size_t topk = set->topk_scratch(most(s->in, s->weights), width) + 16, list = floats(set->list_bytes(conv, n, cap) / 4 + 1);
    size_t total = 2 * floats(s->in) + 2 * floats(s->out) + 2 * floats(s->weights) + 2 * floats(s->channels) + floats(scratch) + floats(topk) + list;
    float *at = ln__mem_zero(total, sizeof *at);
    if (!at)
        return LN_ENOMEM;
    s->block = at;
    float **piece[] = {&s->x, &s->dx, &s->dy, &s->y, &s->w, &s->dw, &s->bias, &s->dbias, &s->scratch, &s->topk, (float **)&s->list};
    size_t size[] = {s->in, s->in, s->out, s->out, s->weights, s->weights, s->channels, s->channels, scratch, topk, list};
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++) {
        *piece[i] = at;
        at += floats(size[i]);
    }
    return LN_OK;
}

struct passes {
    float tw, tx;
    size_t kept_w, kept_x;
    bool finite;
};

static size_t cap_of(const struct ln__sparse_case *layer, size_t count)
{
    return layer->cap == SIZE_MAX ? ln__sparse_cap(count, ln__sparse_keep(count, layer->weights)) : layer->cap;
}

static size_t weight_count(const struct ln__conv *conv)
{
    return (size_t)conv->ci * (size_t)conv->co * (size_t)(conv->kh * conv->kw);
}

static void run(struct side *s, const struct ln__sparse_case *layer, bool add, struct ln__pool *pool, struct passes *out)
{
    const struct ln__conv *conv = &layer->conv;
    size_t count = weight_count(conv), cap = cap_of(layer, count);
    out->finite = s->set->topk(s->weights, s->w, ln__sparse_keep(count, layer->weights), &out->tw, s->topk, pool);
    out->finite &= s->set->topk(s->in, s->x, ln__sparse_keep(inputs_of(layer), layer->activations), &out->tx, s->topk, pool);
    out->kept_w = s->set->compact(conv, layer->n, s->w, out->tw, cap, s->list, pool);
    s->set->forward(conv, layer->n, s->x, s->w, out->tw, s->list, s->bias, s->y, s->scratch, pool);
    s->set->input_grad(conv, layer->n, s->dy, s->w, out->tw, s->list, s->dx, add, s->scratch, pool);
    out->kept_x = s->set->weight_grad(conv, layer->n, s->x, out->tx, s->dy, s->dw, s->dbias, s->scratch, pool);
}

static double error(size_t size, const float *a, const float *b)
{
    double top = 0, worst = 0;
    for (size_t i = 0; i < size; i++) {
        top = fmax(top, fabs((double)b[i]));
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d > worst || isnan(d) ? d : worst; /* NaN stays: nothing is larger */
        if (isnan(d))
            return INFINITY;
    }
    return top > 0 ? worst / top : worst;
}

/* Canonical inputs and outputs of the layer. */
struct truth {
    float *x, *dy, *w, *bias, *dx, *a, *b, *block;
};

static int truth_open(const struct ln__sparse_case *layer, struct truth *t)
{
    const struct ln__conv *conv = &layer->conv;
    size_t in = inputs_of(layer), out = (size_t)layer->n * (size_t)(conv->co * conv->ho * conv->wo);
    size_t weights = weight_count(conv), big = most(most(in, out), weights), co = (size_t)conv->co;
    t->block = ln__mem_zero(2 * in + out + weights + co + 2 * big, sizeof *t->block);
    if (!t->block)
        return LN_ENOMEM;
    t->x = t->block;
    t->dx = t->x + in;
    t->dy = t->dx + in;
    t->w = t->dy + out;
    t->bias = t->w + weights;
    t->a = t->bias + co;
    t->b = t->a + big;
    draw(in, 1, true, t->x);
    draw(in, 5, false, t->dx);
    draw(out, 2, false, t->dy);
    draw(weights, 3, false, t->w);
    draw(co, 4, false, t->bias);
    return LN_OK;
}

static void fill(struct side *s, const struct ln__sparse_case *layer, const struct truth *t)
{
    const struct ln__conv *conv = &layer->conv;
    s->set->dense.pack(layer->n, conv->ci, conv->hi * conv->wi, t->x, s->x, NULL);
    s->set->dense.pack(layer->n, conv->ci, conv->hi * conv->wi, t->dx, s->dx, NULL);
    s->set->dense.pack(layer->n, conv->co, conv->ho * conv->wo, t->dy, s->dy, NULL);
    s->set->dense.conv_pack(conv, t->w, s->w);
    memcpy(s->bias, t->bias, (size_t)conv->co * sizeof *t->bias);
}

static double compare(const struct truth *t, const struct side *a, const struct side *b, int n, int c, int hw, const float *xa, const float *xb)
{
    a->set->dense.unpack(n, c, hw, xa, t->a, NULL);
    b->set->dense.unpack(n, c, hw, xb, t->b, NULL);
    return error((size_t)n * (size_t)c * (size_t)hw, t->a, t->b);
}

int ln__sparse_check(const struct ln__sparse_kset *set, const struct ln__sparse_case *layer, bool add, struct ln__pool *pool,
                     struct ln__sparse_error *out)
{
    const struct ln__conv *conv = &layer->conv;
    size_t count = 0;
    const struct ln__sparse_kset *ref = ln__sparse_kset_list(&count)[0];
    ref = ln__sparse_kset_list(&count)[count - 1];
    struct truth t = {0};
    struct side a = {0}, b = {0};
    size_t cap = cap_of(layer, weight_count(conv));
    int code = truth_open(layer, &t);
    if (code == LN_OK)
        code = side_open(set, layer, cap, ln__pool_width(pool), &a);
    if (code == LN_OK)
        code = side_open(ref, layer, cap, 1, &b);
    if (code == LN_OK) {
        struct passes pa, pb;
        fill(&a, layer, &t);
        fill(&b, layer, &t);
        run(&a, layer, add, pool, &pa);
        run(&b, layer, add, NULL, &pb);
        out->thresholds = pa.tw == pb.tw && pa.tx == pb.tx && pa.finite == pb.finite;
        out->counts = (pa.kept_w == pb.kept_w || pa.kept_w == LN__SPARSE_UNCOUNTED) && pa.kept_x <= pb.kept_x; /* a stride may pass over some */
        out->forward = compare(&t, &a, &b, layer->n, conv->co, conv->ho * conv->wo, a.y, b.y);
        out->input_grad = compare(&t, &a, &b, layer->n, conv->ci, conv->hi * conv->wi, a.dx, b.dx);
        a.set->dense.conv_unpack(conv, a.dw, t.a);
        b.set->dense.conv_unpack(conv, b.dw, t.b);
        out->weight_grad = error(weight_count(conv), t.a, t.b);
        out->bias_grad = error((size_t)conv->co, a.dbias, b.dbias);
    }
    ln__mem_free(t.block);
    ln__mem_free(a.block);
    ln__mem_free(b.block);
    return code;
}

#define BEST(to, repeats, what)                                                                                                                      \
    do {                                                                                                                                             \
        (to) = INFINITY;                                                                                                                             \
        for (int round_ = 0; round_ < (repeats); round_++) {                                                                                         \
            double start_ = ln__clock_mono();                                                                                                        \
            what;                                                                                                                                    \
            (to) = fmin((to), (ln__clock_mono() - start_) * 1e3);                                                                                    \
        }                                                                                                                                            \
    } while (0)

static void time_dense(const struct ln__kset *set, const struct ln__sparse_case *layer, int repeats, const struct side *s, float *const *room,
                       struct ln__pool *pool, double *out)
{
    const struct ln__conv *conv = &layer->conv;
    (void)s;
    BEST(out[0], repeats, set->conv_forward(conv, layer->n, room[0], room[2], NULL, room[1], room[4], pool));
    BEST(out[1], repeats, set->conv_input_grad(conv, layer->n, room[1], room[2], room[0], false, room[4], pool));
    BEST(out[2], repeats, set->conv_weight_grad(conv, layer->n, room[0], room[1], room[3], NULL, room[4], pool));
}

/* Buffers of a dense set, filled with something: x, y, w, dw, scratch. */
static int time_rival(const struct ln__kset *set, const struct ln__sparse_case *layer, int repeats, struct ln__pool *pool, double *out)
{
    const struct ln__conv *conv = &layer->conv;
    size_t lanes = (size_t)set->lanes, n = (size_t)layer->n, scratch = 16;
    size_t in = n * (size_t)ln__blocks(conv->ci, set->lanes) * lanes * (size_t)(conv->hi * conv->wi);
    size_t y = n * (size_t)ln__blocks(conv->co, set->lanes) * lanes * (size_t)(conv->ho * conv->wo);
    for (int pass = LN__FORWARD; pass <= LN__WEIGHT_GRAD; pass++)
        scratch = most(scratch, set->conv_scratch(conv, (enum ln__pass)pass, layer->n, ln__pool_width(pool)));
    size_t size[] = {in, y, set->conv_weights(conv), set->conv_weights(conv), scratch}, total = 0;
    for (size_t i = 0; i < 5; i++)
        total += floats(size[i]);
    float *block = ln__mem_zero(total, sizeof *block), *room[5], *at = block;
    if (!block)
        return LN_ENOMEM;
    for (size_t i = 0; i < 5; i++) {
        room[i] = at;
        at += floats(size[i]);
        if (i < 3)
            draw(size[i], (uint32_t)i, i == 0, room[i]);
    }
    time_dense(set, layer, repeats, NULL, room, pool, out);
    ln__mem_free(block);
    return LN_OK;
}

int ln__sparse_time(const struct ln__sparse_kset *set, const struct ln__kset *rival, const struct ln__sparse_case *layer, int repeats,
                    struct ln__pool *pool, struct ln__sparse_times *out)
{
    const struct ln__conv *conv = &layer->conv;
    struct truth t = {0};
    struct side s = {0};
    size_t count = weight_count(conv), cap = cap_of(layer, count), keep = ln__sparse_keep(count, layer->weights);
    int n = layer->n, code = truth_open(layer, &t);
    if (code == LN_OK)
        code = side_open(set, layer, cap, ln__pool_width(pool), &s);
    if (code == LN_OK) {
        float tw, tx;
        bool fine = true;
        size_t kept = 0;
        fill(&s, layer, &t);
        BEST(out->topk_weights, repeats, fine &= set->topk(s.weights, s.w, keep, &tw, s.topk, pool));
        BEST(out->topk_activations, repeats, fine &= set->topk(s.in, s.x, ln__sparse_keep(inputs_of(layer), layer->activations), &tx, s.topk, pool));
        BEST(out->compact, repeats, kept += set->compact(conv, n, s.w, tw, cap, s.list, pool));
        BEST(out->forward, repeats, set->forward(conv, n, s.x, s.w, tw, s.list, NULL, s.y, s.scratch, pool));
        BEST(out->input_grad, repeats, set->input_grad(conv, n, s.dy, s.w, tw, s.list, s.dx, false, s.scratch, pool));
        BEST(out->weight_grad, repeats, kept += set->weight_grad(conv, n, s.x, tx, s.dy, s.dw, s.dbias, s.scratch, pool));
        double own[3], other[3];
        float *room[] = {s.x, s.y, s.w, s.dw, s.scratch};
        time_dense(&set->dense, layer, repeats, &s, room, pool, own);
        out->own_forward = own[0];
        out->own_input_grad = own[1];
        out->own_weight_grad = own[2];
        code = fine && kept > 0 && rival ? time_rival(rival, layer, repeats, pool, other) : LN_OK;
        out->dense_forward = rival ? other[0] : 0;
        out->dense_input_grad = rival ? other[1] : 0;
        out->dense_weight_grad = rival ? other[2] : 0;
    }
    ln__mem_free(t.block);
    ln__mem_free(s.block);
    return code;
}
