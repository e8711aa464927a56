/* Convolution: packing, and each pass put into the form that one of the files beside this computes. */
#include "kernels/vec/conv.h"

size_t LN_K(conv_weights)(const struct ln__conv *conv)
{
    struct pack pack = pack_of(conv);
    return is_depthwise(conv) ? (size_t)pack.cob * (size_t)pack.taps * LN_V : (size_t)pack.cob * pack.column;
}

/* Where canonical weight (o, i, tap) lies; i counts within o's group. */
static size_t place(const struct ln__conv *conv, const struct pack *pack, int o, int i, int tap)
{
    if (is_depthwise(conv))
        return (size_t)(o / LN_V * pack->taps + tap) * LN_V + (size_t)(o % LN_V);
    int in = o / (conv->co / conv->groups) * (conv->ci / conv->groups) + i;
    return (size_t)(o / LN_V) * pack->column + (size_t)(in / LN_V - span_first(conv, o / LN_V)) * pack->block + (size_t)tap * pack->tap +
           (size_t)(in % LN_V * LN_V + o % LN_V);
}

void LN_K(conv_pack)(const struct ln__conv *conv, const float *canonical, float *w)
{
    struct pack pack = pack_of(conv);
    memset(w, 0, LN_K(conv_weights)(conv) * sizeof *w);
    for (int o = 0; o < conv->co; o++) {
        for (int i = 0; i < conv->ci / conv->groups; i++) {
            for (int tap = 0; tap < pack.taps; tap++)
                w[place(conv, &pack, o, i, tap)] = *canonical++;
        }
    }
}

void LN_K(conv_unpack)(const struct ln__conv *conv, const float *w, float *canonical)
{
    struct pack pack = pack_of(conv);
    for (int o = 0; o < conv->co; o++) {
        for (int i = 0; i < conv->ci / conv->groups; i++) {
            for (int tap = 0; tap < pack.taps; tap++)
                *canonical++ = w[place(conv, &pack, o, i, tap)];
        }
    }
}

struct gather LN_K(gather_forward)(const struct ln__conv *conv, int n)
{
    struct gather g = {.n = n, .conv = conv, .os = 1, .is = conv->stride, .td = 1, .ks = 1};
    g.in_c = conv->ci;
    g.in_blocks = ln__blocks(conv->ci, LN_V);
    g.in_h = conv->hi;
    g.in_w = conv->wi;
    g.out_c = conv->co;
    g.out_blocks = ln__blocks(conv->co, LN_V);
    g.out_h = g.ny = conv->ho;
    g.out_w = g.nx = conv->wo;
    g.ta = conv->kh;
    g.tb = conv->kw;
    g.ty = -conv->top;
    g.tx = -conv->left;
    if (conv->kh * conv->kw == 1 && conv->stride == 1 && conv->top == 0 && conv->left == 0 && conv->hi == conv->ho && conv->wi == conv->wo) {
        g.in_w = g.out_w = g.nx = conv->wi * conv->hi;
        g.in_h = g.out_h = g.ny = 1;
    }
    return g;
}

/* Taps k with (p + pad - k) divisible by stride: the first one, their number, and the place it reads. */
static int phase_taps(int p, int pad, int size, int stride, int *first, int *at)
{
    int k = (p + pad) % stride;
    *first = k;
    *at = (p + pad - k) / stride;
    return k < size ? (size - k + stride - 1) / stride : 0;
}

/* Phase (py, px) of the input gradient: inputs py + q * stride. */
static struct gather phase_of(const struct ln__conv *conv, int n, int py, int px)
{
    struct gather g = {.n = n, .conv = conv, .os = conv->stride, .is = 1, .td = -1, .ks = conv->stride, .transposed = true};
    g.in_c = conv->co;
    g.in_blocks = ln__blocks(conv->co, LN_V);
    g.in_h = conv->ho;
    g.in_w = conv->wo;
    g.out_c = conv->ci;
    g.out_blocks = ln__blocks(conv->ci, LN_V);
    g.out_h = conv->hi;
    g.out_w = conv->wi;
    g.oy = py;
    g.ox = px;
    g.ny = (conv->hi - py + conv->stride - 1) / conv->stride;
    g.nx = (conv->wi - px + conv->stride - 1) / conv->stride;
    g.ta = phase_taps(py, conv->top, conv->kh, conv->stride, &g.ky, &g.ty);
    g.tb = phase_taps(px, conv->left, conv->kw, conv->stride, &g.kx, &g.tx);
    if (conv->kh * conv->kw == 1 && conv->stride == 1 && conv->top == 0 && conv->left == 0 && conv->hi == conv->ho && conv->wi == conv->wo) {
        g.in_w = g.out_w = g.nx = conv->wi * conv->hi;
        g.in_h = g.out_h = g.ny = 1;
    }
    return g;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t LN_K(phases_scratch)(const struct ln__conv *conv, int n, unsigned width, gather_size *size)
{
    size_t most = 0;
    for (int phase = 0; phase < conv->stride * conv->stride; phase++) {
        struct gather g = phase_of(conv, n, phase / conv->stride, phase % conv->stride);
        if (g.ta > 0 && g.tb > 0 && g.ny > 0 && g.nx > 0)
            most = max_size(most, size(&g, width));
    }
    return most;
}

static size_t scratch_for(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    if (is_depthwise(conv))
        return LN_K(depthwise_scratch)(conv, pass, n, width);
    if (is_narrow(conv) && pass != LN__INPUT_GRAD)
        return LN_K(narrow_scratch)(conv, pass, n, width);
    if (LN_K(one_tap)(conv))
        return LN_K(one_tap_scratch)(conv, pass, n);
    if (pass == LN__WEIGHT_GRAD)
        return LN_K(winograd_wins)(conv) ? LN_K(winograd_grad_scratch)(conv, n, width) : LN_K(spread_scratch)(conv, n);
    if (LN_K(winograd_wins)(conv))
        return LN_K(winograd_scratch)(conv, pass == LN__INPUT_GRAD, n, width);
    if (pass == LN__FORWARD) {
        struct gather g = LN_K(gather_forward)(conv, n);
        return LN_K(gather_scratch)(&g, width);
    }
    return LN_K(phases_scratch)(conv, n, width, LN_K(gather_scratch));
}

const char *LN_K(conv_algorithm)(const struct ln__conv *conv, enum ln__pass pass)
{
    if (is_depthwise(conv))
        return "depthwise";
    if (is_narrow(conv) && pass != LN__INPUT_GRAD)
        return "narrow";
    if (!LN_K(winograd_wins)(conv))
        return "direct";
    return pass == LN__WEIGHT_GRAD && conv->kh == 3 ? "winograd-3x3" : pass == LN__WEIGHT_GRAD ? "winograd-5x5" : "winograd-4x4";
}

/* Fewer samples may be cut otherwise: enough for any number up to n. */
size_t LN_K(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    size_t most = 0;
    for (int fewer = 1; fewer <= n; fewer++)
        most = max_size(most, scratch_for(conv, pass, fewer, width));
    return most;
}

void LN_K(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                        struct ln__pool *pool)
{
    if (is_depthwise(conv)) {
        LN_K(depthwise_forward)(conv, n, x, w, bias, y, scratch, pool);
        return;
    }
    if (is_narrow(conv)) {
        LN_K(narrow_forward)(conv, n, x, w, bias, y, scratch, pool);
        return;
    }
    if (LN_K(one_tap)(conv)) {
        LN_K(one_tap_forward)(conv, n, x, w, bias, y, pool);
        return;
    }
    if (LN_K(winograd_wins)(conv)) {
        LN_K(winograd)(conv, false, n, x, w, bias, y, false, scratch, pool);
        return;
    }
    struct gather g = LN_K(gather_forward)(conv, n);
    g.in = x;
    g.w = w;
    g.bias = bias;
    g.out = y;
    g.scratch = scratch;
    LN_K(gather)(&g, pool);
}

/* A phase that no output read: zeros. */
static void clear_phase(const struct gather *g)
{
    for (size_t plane = 0; plane < (size_t)g->n * (size_t)g->out_blocks; plane++) {
        for (int q = 0; q < g->ny * g->nx; q++) {
            int y = q / g->nx * g->os + g->oy, x = q % g->nx * g->os + g->ox;
            store(g->out + ((plane * (size_t)g->out_h + (size_t)y) * (size_t)g->out_w + (size_t)x) * LN_V, (vf){0});
        }
    }
}

void LN_K(phases)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch, struct ln__pool *pool,
                  gather_run *run)
{
    for (int phase = 0; phase < conv->stride * conv->stride; phase++) {
        struct gather g = phase_of(conv, n, phase / conv->stride, phase % conv->stride);
        g.in = dy;
        g.w = w;
        g.out = dx;
        g.add = add;
        g.scratch = scratch;
        if (g.ny < 1 || g.nx < 1)
            continue;
        if (g.ta > 0 && g.tb > 0)
            run(&g, pool);
        else if (!add)
            clear_phase(&g);
    }
}

void LN_K(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                           struct ln__pool *pool)
{
    if (is_depthwise(conv)) {
        LN_K(depthwise_input_grad)(conv, n, dy, w, dx, add, scratch, pool);
        return;
    }
    if (LN_K(one_tap)(conv)) {
        LN_K(one_tap_input_grad)(conv, n, dy, w, dx, add, scratch, pool);
        return;
    }
    if (LN_K(winograd_wins)(conv)) {
        LN_K(winograd)(conv, true, n, dy, w, NULL, dx, add, scratch, pool);
        return;
    }
    LN_K(phases)(conv, n, dy, w, dx, add, scratch, pool, LN_K(gather));
}

struct bias {
    int n, blocks, hw;
    const float *dy;
    float *dbias;
};

static void bias_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct bias *bias = context;
    vf sum = {0};
    for (int s = 0; s < bias->n; s++) {
        const float *dy = bias->dy + ((size_t)s * (size_t)bias->blocks + chunk) * (size_t)bias->hw * LN_V;
        vf part[4] = {{0}};
        int p = 0;
        for (; p + 4 <= bias->hw; p += 4) {
            UNROLL for (int j = 0; j < 4; j++) part[j] += load(dy + (p + j) * LN_V);
        }
        for (; p < bias->hw; p++)
            part[0] += load(dy + p * LN_V);
        sum += (part[0] + part[1]) + (part[2] + part[3]);
    }
    store(bias->dbias + chunk * LN_V, sum);
}

void LN_K(bias_grad)(const struct ln__conv *conv, int n, const float *dy, float *dbias, struct ln__pool *pool)
{
    struct bias bias = {n, ln__blocks(conv->co, LN_V), conv->ho * conv->wo, dy, dbias};
    ln__pool_for(pool, (size_t)bias.blocks, bias_chunk, &bias);
}

void LN_K(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                            struct ln__pool *pool)
{
    if (is_depthwise(conv))
        LN_K(depthwise_weight_grad)(conv, n, x, dy, dw, scratch, pool);
    else if (is_narrow(conv))
        LN_K(narrow_weight_grad)(conv, n, x, dy, dw, scratch, pool);
    else if (LN_K(one_tap)(conv))
        LN_K(one_tap_weight_grad)(conv, n, x, dy, dw, scratch, pool);
    else if (LN_K(winograd_wins)(conv))
        LN_K(winograd_grad)(conv, n, x, dy, dw, scratch, pool);
    else
        LN_K(spread)(conv, n, x, dy, dw, scratch, pool);
    if (dbias)
        LN_K(bias_grad)(conv, n, dy, dbias, pool);
}
