/* Layout, activations, addition, channel scaling, dropout. */
#include "kernels/vec/act.h"
#include "kernels/vec/transpose.h"

/* Blocks of V channels by V pixels are turned in registers; what is left goes one by one. */
static void pack_plane(const struct planes *planes, size_t plane)
{
    int block = (int)(plane % (size_t)planes->cb), lanes = real_lanes(planes->c, block), hw = planes->hw;
    const float *from = planes->a + ((size_t)(plane / (size_t)planes->cb) * (size_t)planes->c + (size_t)(block * LN_V)) * (size_t)hw;
    float *to = planes->out + plane * (size_t)hw * LN_V;
    int p = 0;
    for (; lanes == LN_V && p + LN_V <= hw; p += LN_V) {
        float part[LN_V * LN_V] __attribute__((aligned(64)));
        for (int l = 0; l < LN_V; l++)
            store(part + l * LN_V, *(const vfu *)(from + l * hw + p));
        transpose(part, to + p * LN_V);
    }
    for (; p < hw; p++) {
        for (int l = 0; l < LN_V; l++)
            to[p * LN_V + l] = l < lanes ? from[l * hw + p] : 0;
    }
}

void LN_K(pack)(int n, int c, int hw, const float *nchw, float *x, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = nchw, .out = x, .run = pack_plane};
    planes_for(&planes, pool);
}

static void unpack_plane(const struct planes *planes, size_t plane)
{
    int block = (int)(plane % (size_t)planes->cb), lanes = real_lanes(planes->c, block), hw = planes->hw;
    float *to = planes->out + ((size_t)(plane / (size_t)planes->cb) * (size_t)planes->c + (size_t)(block * LN_V)) * (size_t)hw;
    const float *from = planes->a + plane * (size_t)hw * LN_V;
    int p = 0;
    for (; lanes == LN_V && p + LN_V <= hw; p += LN_V) {
        float part[LN_V * LN_V] __attribute__((aligned(64)));
        transpose(from + p * LN_V, part);
        for (int l = 0; l < LN_V; l++)
            *(vfu *)(to + l * hw + p) = load(part + l * LN_V);
    }
    for (; p < hw; p++) {
        for (int l = 0; l < lanes; l++)
            to[l * hw + p] = from[p * LN_V + l];
    }
}

void LN_K(unpack)(int n, int c, int hw, const float *x, float *nchw, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = x, .out = nchw, .run = unpack_plane};
    planes_for(&planes, pool);
}

/* All ones in the real lanes of a block. */
static vi lane_mask(int lanes)
{
    vi mask;
    for (int l = 0; l < LN_V; l++)
        mask[l] = l < lanes ? -1 : 0;
    return mask;
}

INLINE void act_loop(const enum ln__act kind, const float *x, float *y, int hw, vi mask)
{
    for (int p = 0; p < hw * LN_V; p += LN_V)
        store(y + p, (vf)((vi)act(kind, load(x + p)) & mask));
}

static void act_plane(const struct planes *planes, size_t plane)
{
    const float *x = planes->a + plane * (size_t)planes->hw * LN_V;
    float *y = planes->out + plane * (size_t)planes->hw * LN_V;
    vi mask = lane_mask(real_lanes(planes->c, (int)(plane % (size_t)planes->cb)));
    switch (planes->act) {
    case LN__ACT_RELU:
        act_loop(LN__ACT_RELU, x, y, planes->hw, mask);
        break;
    case LN__ACT_RELU6:
        act_loop(LN__ACT_RELU6, x, y, planes->hw, mask);
        break;
    case LN__ACT_HARDSWISH:
        act_loop(LN__ACT_HARDSWISH, x, y, planes->hw, mask);
        break;
    case LN__ACT_SILU:
        act_loop(LN__ACT_SILU, x, y, planes->hw, mask);
        break;
    case LN__ACT_HARDSIGMOID:
        act_loop(LN__ACT_HARDSIGMOID, x, y, planes->hw, mask);
        break;
    case LN__ACT_SIGMOID:
        act_loop(LN__ACT_SIGMOID, x, y, planes->hw, mask);
        break;
    case LN__ACT_NONE:
        act_loop(LN__ACT_NONE, x, y, planes->hw, mask);
        break;
    }
}

void LN_K(act_forward)(enum ln__act kind, int n, int c, int hw, const float *x, float *y, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = x, .out = y, .act = kind, .run = act_plane};
    planes_for(&planes, pool);
}

INLINE void grad_loop(const enum ln__act kind, const float *x, const float *y, const float *dy, float *dx, bool add, int hw)
{
    for (int p = 0; p < hw * LN_V; p += LN_V) {
        vf d = slope(kind, load(x + p), load(y + p), load(dy + p));
        store(dx + p, add ? load(dx + p) + d : d);
    }
}

static void grad_plane(const struct planes *planes, size_t plane)
{
    size_t at = plane * (size_t)planes->hw * LN_V;
    const float *y = planes->y + at, *x = planes->x ? planes->x + at : y, *dy = planes->b + at;
    float *dx = planes->out + at;
    switch (planes->act) {
    case LN__ACT_RELU:
        grad_loop(LN__ACT_RELU, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_RELU6:
        grad_loop(LN__ACT_RELU6, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_HARDSWISH:
        grad_loop(LN__ACT_HARDSWISH, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_SILU:
        grad_loop(LN__ACT_SILU, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_HARDSIGMOID:
        grad_loop(LN__ACT_HARDSIGMOID, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_SIGMOID:
        grad_loop(LN__ACT_SIGMOID, x, y, dy, dx, planes->add, planes->hw);
        break;
    case LN__ACT_NONE:
        grad_loop(LN__ACT_NONE, x, y, dy, dx, planes->add, planes->hw);
        break;
    }
}

void LN_K(act_grad)(enum ln__act kind, int n, int c, int hw, const float *x, const float *y, const float *dy, float *dx, bool add,
                    struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .x = x, .y = y ? y : x, .b = dy, .out = dx, .add = add, .act = kind, .run = grad_plane};
    planes_for(&planes, pool);
}

static void add_span(const struct spans *spans, size_t first, size_t count)
{
    size_t i = first, end = first + count;
    for (; i + LN_V <= end; i += LN_V)
        store(spans->y + i, load(spans->a + i) + load(spans->b + i));
    for (; i < end; i++)
        spans->y[i] = spans->a[i] + spans->b[i];
}

void LN_K(add)(size_t size, const float *a, const float *b, float *y, struct ln__pool *pool)
{
    struct spans spans = {.size = size, .a = a, .b = b, .y = y, .run = add_span};
    spans_for(&spans, pool);
}

static void scale_plane(const struct planes *planes, size_t plane)
{
    const float *x = planes->a + plane * (size_t)planes->hw * LN_V;
    float *y = planes->out + plane * (size_t)planes->hw * LN_V;
    vf s = load(planes->b + plane * LN_V);
    for (int p = 0; p < planes->hw * LN_V; p += LN_V) {
        soon(y + p);
        store(y + p, load(x + p) * s);
    }
}

void LN_K(scale_forward)(int n, int c, int hw, const float *x, const float *s, float *y, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = x, .b = s, .out = y, .run = scale_plane};
    planes_for(&planes, pool);
}

static void scale_grad_plane(const struct planes *planes, size_t plane)
{
    size_t at = plane * (size_t)planes->hw * LN_V;
    vf s = load(planes->b + plane * LN_V), sum = {0};
    for (size_t p = at; p < at + (size_t)planes->hw * LN_V; p += LN_V) {
        vf dy = load(planes->y + p), d = dy * s;
        sum += load(planes->x + p) * dy;
        soon(planes->out + p);
        store(planes->out + p, planes->add ? load(planes->out + p) + d : d);
    }
    store(planes->out2 + plane * LN_V, sum);
}

void LN_K(scale_grad)(int n, int c, int hw, const float *x, const float *s, const float *dy, float *dx, bool add, float *ds, struct ln__pool *pool)
{
    struct planes planes = {.n = n, .c = c, .hw = hw, .x = x, .b = s, .y = dy, .out = dx, .add = add, .out2 = ds, .run = scale_grad_plane};
    planes_for(&planes, pool);
}

struct drop {
    const struct ln__key *key;
    uint64_t first;
    double limit;
    uint8_t *mask;
};

static void drop_plane(const struct planes *planes, size_t plane)
{
    const struct drop *drop = planes->more;
    int block = (int)(plane % (size_t)planes->cb), lanes = real_lanes(planes->c, block), hw = planes->hw;
    uint8_t *mask = drop->mask + plane * (size_t)hw * LN_V;
    memset(mask, 0, (size_t)hw * LN_V);
    uint32_t word[4];
    bool first = true;
    for (int l = 0; l < lanes; l++) { /* canonical order: each lane goes on where the last one ended */
        uint64_t at = drop->first + (plane / (size_t)planes->cb * (uint64_t)planes->c + (uint64_t)(block * LN_V + l)) * (uint64_t)hw;
        for (int p = 0; p < hw; p++, at++, first = false) {
            if (first || at % 4 == 0)
                ln__rng_block(drop->key, at / 4, word);
            mask[p * LN_V + l] = (double)word[at % 4] >= drop->limit;
        }
    }
    const float *x = planes->a + plane * (size_t)hw * LN_V;
    float *y = planes->out + plane * (size_t)hw * LN_V;
    for (int i = 0; i < hw * LN_V; i++)
        y[i] = mask[i] ? x[i] * planes->number : 0;
}

void LN_K(dropout_forward)(int n, int c, int hw, float rate, const struct ln__key *key, uint64_t first, const float *x, float *y, uint8_t *mask,
                           struct ln__pool *pool)
{
    struct drop drop = {key, first, (double)rate * 4294967296.0, mask};
    struct planes planes = {.n = n, .c = c, .hw = hw, .a = x, .out = y, .number = 1 / (1 - rate), .more = &drop, .run = drop_plane};
    planes_for(&planes, pool);
}

static void drop_grad_span(const struct spans *spans, size_t first, size_t count)
{
    const struct drop *drop = spans->more;
    float scale = (float)drop->limit;
    for (size_t i = first; i < first + count; i++)
        spans->y[i] = (drop->mask[i] ? spans->a[i] * scale : 0) + (spans->b ? spans->b[i] : 0);
}

void LN_K(dropout_grad)(int n, int c, int hw, float rate, const uint8_t *mask, const float *dy, float *dx, bool add, struct ln__pool *pool)
{
    struct drop drop = {.limit = 1.0 / (1.0 - (double)rate), .mask = (uint8_t *)mask};
    size_t size = (size_t)n * (size_t)ln__blocks(c, LN_V) * (size_t)hw * LN_V;
    struct spans spans = {.size = size, .a = dy, .b = add ? dx : NULL, .y = dx, .more = &drop, .run = drop_grad_span};
    spans_for(&spans, pool);
}
