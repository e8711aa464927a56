#include "cli/leak.h"

#include "codec/codec.h"
#include "nn/graph.h"
#include <math.h>
#include <string.h>

#define HIDDEN 48
#define RATE 0.001
#define BATCH ((size_t)LN__LEAK_BATCH)

struct probe {
    const struct ln__leak_args *args;
    struct ln__cut cut;
    int c, h, w, down, right; /* the picture; pixels a value of the cut stands for */
    size_t pixels, values;
    struct ln__graph *graph; /* the decoder */
    struct ln__plan *seen_plan, *plan;
    struct ln__net *seen, *net;
    float *x, *act, *want, *drawn, *state;
    int32_t *label;
    unsigned char *bytes;
    double coded; /* bytes of the last batch */
};

/* ---- pictures ---- */

double ln__ssim(const float *a, const float *b, int h, int w)
{
    const double c1 = 1e-4, c2 = 9e-4;
    const int size = h < 8 || w < 8 ? (h < w ? h : w) : 8, step = size > 1 ? size / 2 : 1;
    double sum = 0;
    int windows = 0;
    for (int y = 0; y + size <= h; y += step) {
        for (int x = 0; x + size <= w; x += step) {
            double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0, n = (double)size * size;
            for (int i = 0; i < size * size; i++) {
                double p = (double)a[(y + i / size) * w + x + i % size], q = (double)b[(y + i / size) * w + x + i % size];
                ma += p, mb += q, aa += p * p, bb += q * q, ab += p * q;
            }
            ma /= n, mb /= n;
            double va = aa / n - ma * ma, vb = bb / n - mb * mb, cov = ab / n - ma * mb;
            sum += (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
            windows++;
        }
    }
    return windows ? sum / windows : 1;
}

/* A normalised value as a pixel from 0 to 1. */
static float pixel_of(const struct probe *probe, int plane, float value)
{
    const struct ln__set *set = &probe->args->env->set;
    float pixel = set->split[LN__TRAIN].byte ? value * set->std[plane] + set->mean[plane] : value;
    return pixel < 0 ? 0 : pixel > 1 ? 1 : pixel;
}

/* Pictures to the decoder's channels and back: a value of the cut stands for down x right pixels of each plane. */
static size_t place_of(const struct probe *probe, size_t sample, int plane, int y, int x)
{
    int h = probe->cut.shape.h, w = probe->cut.shape.w;
    size_t channel = ((size_t)plane * (size_t)probe->down + (size_t)(y % probe->down)) * (size_t)probe->right + (size_t)(x % probe->right);
    return sample * probe->pixels + (channel * (size_t)h + (size_t)(y / probe->down)) * (size_t)w + (size_t)(x / probe->right);
}

static void rearrange(const struct probe *probe, bool back, float *picture, float *channels)
{
    for (size_t s = 0; s < BATCH; s++) {
        for (size_t i = 0; i < probe->pixels; i++) {
            int plane = (int)(i / ((size_t)probe->h * (size_t)probe->w)), rest = (int)(i % ((size_t)probe->h * (size_t)probe->w));
            size_t place = place_of(probe, s, plane, rest / probe->w, rest % probe->w);
            if (back)
                picture[s * probe->pixels + i] = channels[place];
            else
                channels[place] = picture[s * probe->pixels + i];
        }
    }
}

/* ---- what crosses ---- */

static void add_noise(const struct probe *probe, struct ln__key key, float *x, size_t count)
{
    double square = 0;
    for (size_t i = 0; i < count; i++)
        square += (double)x[i] * (double)x[i];
    double size = probe->args->noise * sqrt(square / (double)count);
    struct ln__rng rng = ln__rng_at(key);
    for (size_t i = 0; i < count; i++) {
        x[i] += (float)(size * ln__rng_normal(&rng));
        if (probe->cut.nonnegative && x[i] < 0)
            x[i] = 0;
    }
}

/* The batch in x through the device part, noise and codec. */
static int observe(struct probe *probe, uint32_t number, struct ln_fault *fault)
{
    const struct ln_codec *codec = (const struct ln_codec *)probe->args->codec->plugin;
    const void *options = probe->args->codec->options;
    const struct ln_codec_shape shape = {.outer = BATCH,
                                         .channels = (size_t)probe->cut.shape.c,
                                         .inner = (size_t)probe->cut.shape.h * (size_t)probe->cut.shape.w,
                                         .nonnegative = probe->cut.nonnegative};
    size_t size = 0;
    ln__net_forward(probe->seen, LN__LEAK_BATCH, probe->x, false, NULL);
    ln__net_output(probe->seen, LN__LEAK_BATCH, probe->act);
    if (probe->args->noise > 0)
        add_noise(probe, (struct ln__key){.seed = (uint64_t)probe->args->env->recipe->seed, .round = number, .purpose = LN__FOR_NOISE}, probe->act,
                  BATCH * probe->values);
    int code = codec->encode(options, &shape, probe->act, probe->bytes, &size, fault);
    probe->coded = (double)size;
    return code ? code : codec->decode(options, &shape, probe->bytes, size, probe->act, fault);
}

/* ---- the decoder ---- */

static int build(struct probe *probe, struct ln_fault *fault)
{
    const struct ln__env *env = probe->args->env;
    const struct ln__model_args like = {.input = probe->cut.shape, .classes = probe->c * probe->down * probe->right};
    const struct ln__conv2d hidden = {.out = HIDDEN, .k = 3, .pad = 1, .bias = true},
                            last = {.out = probe->c * probe->down * probe->right, .k = 3, .pad = 1, .bias = true};
    if (ln__graph_new("decoder", &like, &probe->graph))
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a decoder");
    int x = ln__build_input(probe->graph);
    x = ln__build_relu(probe->graph, ln__build_conv2d(probe->graph, x, "conv1", hidden));
    x = ln__build_relu(probe->graph, ln__build_conv2d(probe->graph, x, "conv2", hidden));
    x = ln__build_conv2d(probe->graph, x, "conv3", last);
    ln__build_cut(probe->graph, x, "picture");
    ln__build_globalpool(probe->graph, x); /* never run: a graph ends in logits */
    int code = ln__graph_finish(probe->graph, fault);
    const struct ln__plan_args seen = {.graph = env->graph,
                                       .segment = {0, probe->args->cut},
                                       .batch = LN__LEAK_BATCH,
                                       .kset = env->kset,
                                       .width = ln__pool_width(probe->args->pool),
                                       .sparsity = &env->recipe->sparsity};
    struct ln__plan_args own = seen;
    own.graph = probe->graph;
    own.segment = (struct ln__segment){0, 1};
    own.train = true;
    own.optimizer = probe->args->optimizer;
    own.sparsity = NULL;
    if (!code)
        code = ln__plan_new(&seen, &probe->seen_plan, fault);
    if (!code)
        code = ln__net_new(probe->seen_plan, probe->args->pool, &probe->seen, fault);
    if (!code)
        code = ln__plan_new(&own, &probe->plan, fault);
    return code ? code : ln__net_new(probe->plan, probe->args->pool, &probe->net, fault);
}

static int rooms(struct probe *probe, struct ln_fault *fault)
{
    const struct ln_codec_shape shape = {.outer = BATCH,
                                         .channels = (size_t)probe->cut.shape.c,
                                         .inner = (size_t)probe->cut.shape.h * (size_t)probe->cut.shape.w,
                                         .nonnegative = probe->cut.nonnegative};
    const struct ln_codec *codec = (const struct ln_codec *)probe->args->codec->plugin;
    probe->x = ln__mem_zero(BATCH * probe->pixels, sizeof *probe->x);
    probe->want = ln__mem_zero(BATCH * probe->pixels, sizeof *probe->want);
    probe->drawn = ln__mem_zero(BATCH * probe->pixels, sizeof *probe->drawn);
    probe->act = ln__mem_zero(BATCH * probe->values, sizeof *probe->act);
    probe->label = ln__mem_zero(BATCH, sizeof *probe->label);
    probe->state = ln__mem_zero(ln__graph_state(probe->graph), sizeof *probe->state);
    probe->bytes = ln__mem_alloc(codec->bound(probe->args->codec->options, &shape));
    if (!probe->x || !probe->want || !probe->drawn || !probe->act || !probe->label || !probe->state || !probe->bytes)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a decoder");
    return LN_OK;
}

static int train(struct probe *probe, struct ln_fault *fault)
{
    const struct ln__env *env = probe->args->env;
    struct ln__key key = {.seed = (uint64_t)env->recipe->seed, .purpose = LN__FOR_TEST};
    struct ln__rng rng = ln__rng_at(key);
    uint32_t index[LN__LEAK_BATCH], samples = env->set.split[LN__TRAIN].count;
    samples = probe->args->samples < samples ? probe->args->samples : samples;
    float scale = 2.0F / (float)(BATCH * probe->pixels);
    for (uint32_t step = 0; step < probe->args->steps; step++) {
        if (probe->args->stop && *probe->args->stop)
            return LN_EINTERRUPTED;
        for (size_t i = 0; i < BATCH; i++)
            index[i] = ln__rng_below(&rng, samples);
        ln__batch_fill(&(struct ln__batch_args){.set = &env->set, .split = LN__TRAIN, .index = index}, LN__LEAK_BATCH, probe->x, probe->label);
        rearrange(probe, false, probe->x, probe->want);
        int code = observe(probe, step, fault);
        if (code)
            return code;
        ln__net_forward(probe->net, LN__LEAK_BATCH, probe->act, true, &(struct ln__net_draw){.step = step});
        ln__net_output(probe->net, LN__LEAK_BATCH, probe->drawn);
        for (size_t i = 0; i < BATCH * probe->pixels; i++)
            probe->drawn[i] = scale * (probe->drawn[i] - probe->want[i]);
        ln__net_backward(probe->net, LN__LEAK_BATCH, probe->drawn, NULL);
        ln__net_update(probe->net, RATE * (step < probe->args->steps * 3 / 4 ? 1 : 0.2));
    }
    return LN_OK;
}

/* ---- the figures ---- */

static int look(struct probe *probe, struct ln__leak *out, struct ln_fault *fault)
{
    const struct ln__env *env = probe->args->env;
    size_t plane = (size_t)probe->h * (size_t)probe->w, shown = LN__LEAK_SHOWN * plane * 3;
    ln__batch_fill(&(struct ln__batch_args){.set = &env->set, .split = LN__TEST}, LN__LEAK_BATCH, probe->x, probe->label);
    int code = observe(probe, UINT32_MAX, fault);
    out->original = ln__mem_zero(1, shown);
    out->drawn = ln__mem_zero(1, shown);
    if (!code && (!out->original || !out->drawn))
        code = ln_fault_set(fault, LN_ENOMEM, "no memory for pictures");
    if (code)
        return code;
    ln__net_forward(probe->net, LN__LEAK_BATCH, probe->act, false, NULL);
    ln__net_output(probe->net, LN__LEAK_BATCH, probe->want);
    rearrange(probe, true, probe->drawn, probe->want);
    out->bits = 8 * probe->coded / (double)(BATCH * probe->values);
    for (size_t s = 0; s < BATCH; s++) {
        float *a = probe->x + s * probe->pixels, *b = probe->drawn + s * probe->pixels;
        double error = 0;
        for (size_t i = 0; i < probe->pixels; i++) {
            a[i] = pixel_of(probe, (int)(i / plane), a[i]);
            b[i] = pixel_of(probe, (int)(i / plane), b[i]);
            error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        }
        out->psnr += 10 * log10((double)probe->pixels / fmax(error, 1e-10 * (double)probe->pixels)) / LN__LEAK_BATCH;
        for (int c = 0; c < probe->c; c++)
            out->ssim += ln__ssim(a + (size_t)c * plane, b + (size_t)c * plane, probe->h, probe->w) / (LN__LEAK_BATCH * probe->c);
        for (size_t i = 0; s < LN__LEAK_SHOWN && i < 3 * plane; i++) {
            size_t from = (i % 3 < (size_t)probe->c ? i % 3 : 0) * plane + i / 3;
            out->original[s * 3 * plane + i] = (unsigned char)(255 * a[from] + 0.5F);
            out->drawn[s * 3 * plane + i] = (unsigned char)(255 * b[from] + 0.5F);
        }
    }
    return LN_OK;
}

static void close_probe(struct probe *probe)
{
    ln__net_free(probe->seen);
    ln__net_free(probe->net);
    ln__plan_free(probe->seen_plan);
    ln__plan_free(probe->plan);
    ln__graph_free(probe->graph);
    ln__mem_free(probe->x);
    ln__mem_free(probe->want);
    ln__mem_free(probe->drawn);
    ln__mem_free(probe->act);
    ln__mem_free(probe->label);
    ln__mem_free(probe->state);
    ln__mem_free(probe->bytes);
}

int ln__leak_measure(const struct ln__leak_args *args, struct ln__leak *out, struct ln_fault *fault)
{
    const struct ln__set *set = &args->env->set;
    struct probe probe = {.args = args, .c = set->c, .h = set->h, .w = set->w, .pixels = (size_t)set->c * (size_t)set->h * (size_t)set->w};
    *out = (struct ln__leak){0};
    if (set->split[LN__TEST].count < LN__LEAK_BATCH)
        return ln_fault_set(fault, LN_EINVALID, "the test split has %u pictures; %d are needed", set->split[LN__TEST].count, LN__LEAK_BATCH);
    int code = ln__graph_cut(args->env->graph, args->cut, &probe.cut);
    if (code)
        return ln_fault_set(fault, code, "there is no cut %d", args->cut);
    struct ln__shape at = probe.cut.shape;
    if (set->h % at.h || set->w % at.w)
        return ln_fault_set(fault, LN_ESHAPE, "cut %d (%s) is %d x %d, which does not divide %d x %d", args->cut, probe.cut.name, at.h, at.w, set->h,
                            set->w);
    probe.down = set->h / at.h;
    probe.right = set->w / at.w;
    probe.values = (size_t)at.c * (size_t)at.h * (size_t)at.w;
    code = build(&probe, fault);
    if (!code)
        code = rooms(&probe, fault);
    if (!code) {
        ln__net_load(probe.seen, args->env->initial);
        ln__graph_init(probe.graph, (uint64_t)args->env->recipe->seed, probe.state);
        ln__net_load(probe.net, probe.state);
        code = train(&probe, fault);
    }
    if (!code)
        code = look(&probe, out, fault);
    close_probe(&probe);
    if (code) {
        ln__mem_free(out->original);
        ln__mem_free(out->drawn);
        *out = (struct ln__leak){0};
    }
    return code;
}
