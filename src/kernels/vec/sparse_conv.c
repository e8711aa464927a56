/* Forward and input gradient on [c][n][h][w]: sums of shifted planes, tile by tile. For each block of input planes the shifted copies of a tile
 * are laid into a bank in L1; then every output takes its kept weights of the block (sparse) or all of them (dense) from the bank. */
#include "kernels/vec/sparse_vec.h"

#if LN_V == 16
#define OCTET 8 /* outputs a dense step makes at once, times SPAN vectors: accumulators in registers */
#elif LN_V == 8
#define OCTET 4
#else
#define OCTET 4
#endif
#define SPAN 3

struct run {
    const struct gather *p;
    const float *in;
    float *out;
    const float *bias;
    bool add;
    const struct nz_list *list; /* NULL: dense, from w */
    const float *w;
    float *scratch;
    size_t worker_floats, bank_floats, acc_floats;
};

/* Where a tile lies: count floats from first of each plane; in rows mode row y0 of an image. */
struct tile {
    size_t first, count;
    int y0, image;
};

static struct tile tile_at(const struct gather *p, size_t number)
{
    const struct geo *g = p->geo;
    struct tile t = {0};
    if (p->rows) {
        t.image = (int)number / p->tiles_image;
        t.y0 = (int)number % p->tiles_image * p->tile_rows;
        int rows = p->tile_rows < g->gh - t.y0 ? p->tile_rows : g->gh - t.y0;
        t.first = (size_t)(t.image * g->gh + t.y0) * (size_t)g->gw;
        t.count = (size_t)rows * (size_t)g->gw;
    } else {
        t.first = number * (size_t)p->vectors * LN_V;
        t.count = t.first >= g->positions ? 0 : least((size_t)p->vectors * LN_V, g->positions - t.first);
    }
    return t;
}

/* Per group: the lanes that may be read. Rows mode: of a row's first and last vector; else of each vector of the tile. */
static void make_masks(const struct gather *p, const struct tile *tile, int32_t *mask)
{
    const struct geo *g = p->geo;
    for (int i = 0; i < p->groups; i++) {
        const struct gather_group *group = &p->group[i];
        if (p->rows) {
            for (int lane = 0; lane < LN_V; lane++) {
                mask[(2 * i) * LN_V + lane] = lane + group->dx >= 0 ? -1 : 0;
                mask[(2 * i + 1) * LN_V + lane] = lane + group->dx < LN_V ? -1 : 0;
            }
            continue;
        }
        size_t at = tile->first;
        int x = (int)(at % (size_t)g->gw), y = (int)(at / (size_t)g->gw % (size_t)g->gh);
        for (size_t k = 0; k < (size_t)p->vectors * LN_V; k++, at++) {
            bool in = x + group->dx >= 0 && x + group->dx < g->gw && y + group->dy >= 0 && y + group->dy < g->gh && at < g->positions;
            mask[(size_t)i * (size_t)p->vectors * LN_V + k] = in ? -1 : 0;
            if (++x == g->gw) {
                x = 0;
                y = y + 1 == g->gh ? 0 : y + 1;
            }
        }
    }
}

/* from[0 .. LN_V) where the mask says so; at the edges of the array nothing outside it is touched. */
static vf edge_load(const float *from, vi mask)
{
    vf v = {0};
    for (int i = 0; i < LN_V; i++)
        v[i] = mask[i] ? from[i] : 0;
    return v;
}

/* Rows of one shifted copy; `vectors` to a row. `ahead` is where the same rows of a plane needed soon lie, from here; 0: nowhere. */
LN_INLINE void fill_rows_of(const float *image, const float *base, const float *end, int y, int rows, const struct geo *g, int dx,
                            const int32_t *mask, size_t ahead, float *to, const int vectors)
{
    vi left = *(const vi *)mask, right = *(const vi *)(mask + LN_V), middle = vi_set(-1);
    for (int i = 0; i < rows; i++, y++, to += vectors * LN_V) {
        if (y < 0 || y >= g->gh) {
            for (int v = 0; v < vectors; v++)
                *(vf *)(to + v * LN_V) = (vf){0};
            continue;
        }
        const float *from = image + y * g->gw + dx;
        if (from < base || from + vectors * LN_V > end) {
            for (int v = 0; v < vectors; v++)
                *(vf *)(to + v * LN_V) = edge_load(from + v * LN_V, (v == 0 ? left : middle) & (v == vectors - 1 ? right : middle));
            continue;
        }
        for (int b = 0; ahead && b < vectors * LN_V; b += 16)
            __builtin_prefetch(from + ahead + b);
        for (int v = 0; v < vectors; v++)
            *(vf *)(to + v * LN_V) = vf_and(vf_load(from + v * LN_V), (v == 0 ? left : middle) & (v == vectors - 1 ? right : middle));
    }
}

static void fill_rows(const struct run *r, const struct tile *tile, const struct gather_group *group, const int32_t *mask, size_t plane, size_t ahead,
                      float *to)
{
    const struct geo *g = r->p->geo;
    const float *base = r->in, *end = base + (size_t)r->p->ins * (size_t)r->p->in_phases * g->positions;
    const float *image = base + (plane * (size_t)g->n + (size_t)tile->image) * (size_t)(g->gh * g->gw);
    int y = tile->y0 + group->dy, vectors = g->gw / LN_V;
    if (vectors == 1)
        fill_rows_of(image, base, end, y, group->rows, g, group->dx, mask, ahead, to, 1);
    else if (vectors == 2)
        fill_rows_of(image, base, end, y, group->rows, g, group->dx, mask, ahead, to, 2);
    else if (vectors == 4)
        fill_rows_of(image, base, end, y, group->rows, g, group->dx, mask, ahead, to, 4);
    else
        fill_rows_of(image, base, end, y, group->rows, g, group->dx, mask, ahead, to, vectors);
}

static void fill_run(const struct run *r, const struct tile *tile, const struct gather_group *group, const int32_t *mask, size_t plane, float *to)
{
    const struct geo *g = r->p->geo;
    const float *base = r->in, *end = base + (size_t)r->p->ins * (size_t)r->p->in_phases * g->positions;
    const float *from = base + plane * g->positions + tile->first + group->dy * g->gw + group->dx;
    int vectors = r->p->vectors;
    bool edge = from < base || from + (size_t)vectors * LN_V > end;
    for (int v = 0; v < vectors; v++) {
        vi keep = *(const vi *)(mask + v * LN_V);
        *(vf *)(to + v * LN_V) = edge ? edge_load(from + v * LN_V, keep) : vf_and(vf_load(from + v * LN_V), keep);
    }
}

static void fill_bank(const struct run *r, const struct tile *tile, const int32_t *mask, int block, float *bank)
{
    const struct gather *p = r->p;
    int first = block * p->block, end = first + p->block < p->ins ? first + p->block : p->ins;
    for (int c = first; c < end; c++, bank += p->channel_vectors * LN_V) {
        for (int i = 0; i < p->groups; i++) {
            const struct gather_group *group = &p->group[i];
            size_t plane = (size_t)group->phase * (size_t)p->ins + (size_t)c;
            size_t ahead = group->dx == 0 && c + p->block < p->ins ? (size_t)p->block * p->geo->positions : 0;
            if (p->rows)
                fill_rows(r, tile, group, mask + 2 * i * LN_V, plane, ahead, bank + group->at * LN_V);
            else
                fill_run(r, tile, group, mask + i * p->vectors * LN_V, plane, bank + group->at * LN_V);
        }
    }
}

/* One block's part of a tile. acc [output - from][vectors][LN_V] carries sums from block to block; a whole last tile goes straight out. */
struct step {
    const struct run *run;
    const float *bank;
    float *acc;
    size_t from, to; /* outputs */
    int block;
    bool first, last; /* of the blocks; last also means: straight to out */
    size_t at;        /* of the tile in a plane of out */
};

LN_INLINE void sparse_step(const struct step *s, const int vectors)
{
    const struct run *r = s->run;
    size_t outs = (size_t)r->p->outs, positions = r->p->geo->positions;
    const uint32_t *order = r->list->order + (size_t)s->block * outs, *start = r->list->start + (size_t)s->block * outs;
    const char *bank = (const char *)s->bank;
    for (size_t j = s->from; j < s->to; j++) {
        const struct nz *z = r->list->entry + start[j], *end = r->list->entry + start[j + 1];
        if (z == end && !s->first && !s->last)
            continue;
        size_t m = order[j];
        if (s->last && j + 3 < s->to) {
            for (int v = 0; v < vectors * LN_V; v += 16)
                __builtin_prefetch(r->out + order[j + 3] * positions + s->at + v, 1);
        }
        vf sum[LN__TILE];
        vf *acc = (vf *)(s->acc + (m - s->from) * (size_t)vectors * LN_V);
        if (s->first) {
            vf bias = vf_set(r->bias ? r->bias[m] : 0);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[v] = bias;
        } else {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[v] = acc[v];
        }
        for (; z < end; z++) {
            vf w = vf_set(z->w);
            const vf *b = (const vf *)(bank + z->at);
            LN_PLAIN(b); /* base + index operands would cost two micro-operations each */
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[v] += w * b[v];
        }
        if (!s->last) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                acc[v] = sum[v];
            continue;
        }
        float *out = r->out + m * positions + s->at;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            vf_store(out + v * LN_V, r->add ? sum[v] + vf_load(out + v * LN_V) : sum[v]);
    }
}

#define SPARSE_STEP(n)                                                                                                                               \
    static void sparse_step_##n(const struct step *s)                                                                                                \
    {                                                                                                                                                \
        sparse_step(s, n);                                                                                                                           \
    }
SPARSE_STEP(1)
SPARSE_STEP(2)
SPARSE_STEP(3)
SPARSE_STEP(4)
SPARSE_STEP(5)
SPARSE_STEP(6)
SPARSE_STEP(7)
SPARSE_STEP(8)

static void (*const sparse_steps[])(const struct step *) = {NULL,          sparse_step_1, sparse_step_2, sparse_step_3, sparse_step_4,
                                                            sparse_step_5, sparse_step_6, sparse_step_7, sparse_step_8};

/* Dense: k runs over (channel of the block, tap). */
struct dense_k {
    uint32_t at; /* bytes in the bank */
    uint32_t w;  /* floats from the octet's first weight */
};

/* sum[i][v] over k of weights i * stride apart times bank vectors; stride 1 where outputs lie side by side. */
LN_INLINE void dense_block(const struct dense_k *k, const struct dense_k *end, const float *w, const float *bank, float *acc, size_t pitch,
                           const int vectors)
{
    vf sum[OCTET][SPAN];
#pragma GCC unroll 8
    for (int i = 0; i < OCTET; i++) {
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            sum[i][v] = *(vf *)(acc + (size_t)i * pitch + v * LN_V);
    }
    for (; k < end; k++) {
        const vf *b = (const vf *)((const char *)bank + k->at);
        vf x[SPAN];
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            x[v] = b[v];
        const float *from = w + k->w;
#pragma GCC unroll 8
        for (int i = 0; i < OCTET; i++) {
            vf one = vf_set(from[i]);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                sum[i][v] += one * x[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < OCTET; i++) {
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            *(vf *)(acc + (size_t)i * pitch + v * LN_V) = sum[i][v];
    }
}

static void dense_span(const struct dense_k *k, const struct dense_k *end, const float *w, const float *bank, float *acc, size_t pitch, int vectors)
{
    if (vectors == 3)
        dense_block(k, end, w, bank, acc, pitch, 3);
    else if (vectors == 2)
        dense_block(k, end, w, bank, acc, pitch, 2);
    else
        dense_block(k, end, w, bank, acc, pitch, 1);
}

/* The k of one phase's taps (backward), or of all (forward). */
static size_t dense_table(const struct run *r, int block, int phase, struct dense_k *k)
{
    const struct gather *p = r->p;
    const struct geo *g = p->geo;
    int first = block * p->block, end = first + p->block < p->ins ? first + p->block : p->ins;
    size_t n = 0;
    for (int c = first; c < end; c++) {
        for (int t = 0; t < g->taps; t++) {
            if (p->backward && g->tap[t].phase != phase)
                continue;
            k[n].at = (uint32_t)((c - first) * p->channel_vectors + p->tap_at[t]) * LN_V * 4;
            k[n].w = p->backward ? (uint32_t)(n * OCTET) : (uint32_t)(c * g->taps + t) * LN_V;
            n++;
        }
    }
    return n;
}

/* For the dense input gradient the kept weights are laid [phase][ci / OCTET][o][tap of the phase][OCTET] once a call. */
struct panels {
    const struct geo *g;
    const float *w;
    float threshold, *to;
};

static size_t octets(const struct geo *g)
{
    return ((size_t)g->ci + OCTET - 1) / OCTET;
}

static size_t panel_at(const struct geo *g, int phase, size_t octet)
{
    const struct geo_phase *p = &g->phase[phase]; /* first counts the taps of the phases before */
    return ((size_t)p->first * octets(g) + octet * (size_t)p->taps) * (size_t)g->co * OCTET;
}

static void pack_panels(void *context, size_t octet, unsigned worker)
{
    const struct panels *k = context;
    const struct geo *g = k->g;
    (void)worker;
    for (int p = 0; p < g->phases; p++) {
        const struct geo_phase *phase = &g->phase[p];
        float *to = k->to + panel_at(g, p, octet);
        for (int i = 0; i < OCTET; i++) {
            int c = (int)octet * OCTET + i;
            for (int t = 0; t < phase->taps; t++) {
                for (int o = 0; o < g->co; o++) {
                    float w = c < g->ci ? k->w[weight_at(g, c, g->order[phase->first + t], o)] : 0;
                    to[((size_t)o * (size_t)phase->taps + (size_t)t) * OCTET + (size_t)i] = __builtin_fabsf(w) < k->threshold ? 0 : w;
                }
            }
        }
    }
}

/* All outputs in [from, to) of one phase. Octets may run over the end: acc has room. */
static void dense_outputs(const struct step *s, size_t from, size_t to, int phase, struct dense_k *k)
{
    const struct run *r = s->run;
    const struct gather *p = r->p;
    const struct geo *g = p->geo;
    size_t n = dense_table(r, s->block, phase, k), pitch = (size_t)p->vectors * LN_V;
    int spans = (p->vectors + SPAN - 1) / SPAN;
    for (size_t m = from; m < to; m += OCTET) {
        const float *w = r->w;
        if (p->backward) /* parts begin at whole octets: see gather_make */
            w += panel_at(g, phase, (m - (size_t)phase * (size_t)g->ci) / OCTET) +
                 (size_t)(s->block * p->block) * (size_t)g->phase[phase].taps * OCTET;
        else
            w += weight_at(g, 0, 0, (int)m);
        for (int i = 0; i < spans; i++) {
            int v = p->vectors * i / spans, vectors = p->vectors * (i + 1) / spans - v;
            dense_span(k, k + n, w, s->bank + v * LN_V, s->acc + (m - s->from) * pitch + (size_t)v * LN_V, pitch, vectors);
        }
    }
}

static void dense_step(const struct step *s, struct dense_k *k)
{
    const struct run *r = s->run;
    const struct gather *p = r->p;
    size_t wide = (size_t)p->vectors * LN_V;
    for (size_t m = s->from; s->first && m < s->to; m++) {
        vf bias = vf_set(r->bias ? r->bias[m] : 0);
        for (size_t v = 0; v < wide; v += LN_V)
            *(vf *)(s->acc + (m - s->from) * wide + v) = bias;
    }
    if (!p->backward) {
        dense_outputs(s, s->from, s->to, 0, k);
        return;
    }
    for (size_t from = s->from; from < s->to;) { /* an octet never spans two phases, so what runs over is cleared before it is made */
        size_t ci = (size_t)p->geo->ci, phase = from / ci, to = least(s->to, (phase + 1) * ci);
        dense_outputs(s, from, to, (int)phase, k);
        from = to;
    }
}

/* Sums to their places: what of the tile is inside the plane. */
static void write_out(const struct step *s, size_t count)
{
    const struct run *r = s->run;
    size_t wide = (size_t)r->p->vectors * LN_V;
    for (size_t m = s->from; m < s->to; m++) {
        const float *from = s->acc + (m - s->from) * wide;
        float *to = r->out + m * r->p->geo->positions + s->at;
        size_t i = 0;
        for (; i + LN_V <= count; i += LN_V)
            vf_store(to + i, r->add ? vf_load(to + i) + vf_load(from + i) : vf_load(from + i));
        for (; i < count; i++)
            to[i] = r->add ? to[i] + from[i] : from[i];
    }
}

static void run_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct run *r = context;
    const struct gather *p = r->p;
    struct tile tile = tile_at(p, chunk / (size_t)p->parts);
    if (tile.count == 0)
        return;
    size_t part = chunk % (size_t)p->parts;
    float *bank = r->scratch + (size_t)worker * r->worker_floats, *acc = bank + r->bank_floats;
    int32_t *mask = (void *)(acc + r->acc_floats);
    struct dense_k *k = (void *)(mask + LN__TAPS_MAX * LN__TILE * LN_V);
    make_masks(p, &tile, mask);
    bool straight = r->list && tile.count == (size_t)p->vectors * LN_V;
    struct step s = {.run = r, .bank = bank, .acc = acc, .at = tile.first};
    s.from = part_first((size_t)p->outs, (size_t)p->parts, part);
    s.to = part_first((size_t)p->outs, (size_t)p->parts, part + 1);
    for (s.block = 0; s.block < p->blocks; s.block++) {
        fill_bank(r, &tile, mask, s.block, bank);
        s.first = s.block == 0;
        s.last = straight && s.block == p->blocks - 1;
        if (r->list)
            sparse_steps[p->vectors](&s);
        else
            dense_step(&s, k);
    }
    if (!straight)
        write_out(&s, tile.count);
}

/* A worker: bank, acc, masks, dense table. */
static void size_run(const struct gather *p, struct run *r)
{
    size_t channel = (size_t)p->channel_vectors * LN_V;
    if (!p->rows)
        channel = (size_t)p->groups * LN__TILE * LN_V;
    r->bank_floats = round_up(channel > LN__BANK_BYTES / 4 ? channel : LN__BANK_BYTES / 4, 16);
    r->acc_floats = ((size_t)p->outs + 2 * OCTET) * LN__TILE * LN_V;
    /* a block's (channel, tap) pairs */
    size_t pairs = (size_t)p->ins * (size_t)p->geo->taps;
    size_t channels = p->rows ? (size_t)p->block : r->bank_floats / LN_V / (size_t)p->groups + 1;
    size_t table = least(pairs, channels * (size_t)p->geo->taps);
    r->worker_floats = r->bank_floats + r->acc_floats + LN__TAPS_MAX * LN__TILE * LN_V + round_up(table * 2, 16) + 64;
}

struct need {
    size_t x, y, masked, worker; /* floats */
};

static struct need needs(const struct ln__conv *conv, const struct geo *g, bool backward, bool sparse)
{
    struct gather p;
    struct run r;
    gather_make(g, backward, true, &p);
    size_run(&p, &r);
    (void)conv;
    struct need need = {.worker = r.worker_floats};
    need.x = g->x_staged ? round_up((size_t)g->phases * (size_t)g->ci * g->positions, 16) : 0;
    need.y = g->y_staged ? round_up((size_t)g->co * g->positions, 16) : 0;
    if (backward)
        need.masked = round_up(octets(g) * OCTET * (size_t)g->co * (size_t)g->taps, 16);
    else
        need.masked = sparse ? (size_t)g->ci * (size_t)g->taps * (size_t)g->pitch : 0;
    return need;
}

/* w where it is kept: for the dense kernels, when there are too many for the list. */
static const float *masked(const struct geo *g, const float *w, float threshold, float *copy)
{
    size_t size = (size_t)g->ci * (size_t)g->taps * (size_t)g->pitch;
    for (size_t i = 0; i < size; i += LN_V) {
        vf v = *(const vf *)(w + i);
        *(vf *)(copy + i) = vf_and(v, ~(vi)(vf_abs(v) < vf_set(threshold)));
    }
    return copy;
}

struct call {
    const struct ln__conv *conv;
    int n;
    const float *x, *w;
    float threshold;
    const void *list; /* NULL: dense */
    float *scratch;
    struct ln__pool *pool;
};

static void gather_run(const struct call *call, const struct geo *g, bool backward, const float *in, float *out, const float *bias, bool add,
                       float *scratch)
{
    struct gather p;
    gather_make(g, backward, false, &p);
    struct need need = needs(call->conv, g, backward, call->list != NULL);
    struct run r = {.p = &p, .in = in, .out = out, .bias = bias, .add = add, .w = call->w, .scratch = scratch + need.masked};
    size_run(&p, &r);
    r.worker_floats = need.worker;
    struct nz_list list;
    const struct list_head *head = call->list;
    if (head && head->kept <= head->cap) {
        list = list_open(&p, (void *)(uintptr_t)call->list, backward ? head->backward : head->forward, head->cap);
        r.list = &list;
    } else if (backward) {
        struct panels panels = {.g = g, .w = call->w, .threshold = head ? call->threshold : 0, .to = scratch};
        ln__pool_for(call->pool, octets(g), pack_panels, &panels);
        r.w = scratch;
    } else if (head) {
        r.w = masked(g, call->w, call->threshold, scratch);
    }
    ln__pool_for(call->pool, (size_t)p.tiles * (size_t)p.parts, run_chunk, &r);
}

static void forward(const struct call *call, const float *x, const float *bias, float *y)
{
    struct geo g;
    geo_make(call->conv, call->n, &g);
    struct need need = needs(call->conv, &g, false, call->list != NULL);
    float *planes = call->scratch, *outs = planes + need.x;
    if (g.x_staged)
        geo_stage_x(call->conv, &g, x, planes, call->pool);
    gather_run(call, &g, false, g.x_staged ? planes : x, g.y_staged ? outs : y, bias, false, outs + need.y);
    if (g.y_staged)
        geo_unstage_y(call->conv, &g, outs, y, call->pool);
}

static void input_grad(const struct call *call, const float *dy, float *dx, bool add)
{
    struct geo g;
    geo_make(call->conv, call->n, &g);
    struct need need = needs(call->conv, &g, true, call->list != NULL);
    float *planes = call->scratch, *outs = planes + need.x;
    if (g.y_staged)
        geo_stage_y(call->conv, &g, dy, outs, call->pool);
    gather_run(call, &g, true, g.y_staged ? outs : dy, g.x_staged ? planes : dx, NULL, add && !g.x_staged, outs + need.y);
    if (g.x_staged)
        geo_unstage_x(call->conv, &g, planes, dx, add, call->pool);
}

static size_t scratch_floats(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width, bool sparse)
{
    struct geo g;
    geo_make(conv, n, &g);
    if (pass == LN__WEIGHT_GRAD)
        return weight_grad_floats(conv, n, width);
    struct need need = needs(conv, &g, pass == LN__INPUT_GRAD, sparse);
    return need.x + need.y + need.masked + (size_t)width * need.worker;
}

size_t LN_KS(scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    return scratch_floats(conv, pass, n, width, true);
}

void LN_KS(forward)(const struct ln__conv *conv, int n, const float *x, const float *w, float threshold, const void *list, const float *bias,
                    float *y, float *scratch, struct ln__pool *pool)
{
    forward(&(struct call){.conv = conv, .n = n, .w = w, .threshold = threshold, .list = list, .scratch = scratch, .pool = pool}, x, bias, y);
}

void LN_KS(input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float threshold, const void *list, float *dx, bool add,
                       float *scratch, struct ln__pool *pool)
{
    input_grad(&(struct call){.conv = conv, .n = n, .w = w, .threshold = threshold, .list = list, .scratch = scratch, .pool = pool}, dy, dx, add);
}

/* ---- dense: the kset's own entries. Groups run one after the other on their channels. ---- */

static struct ln__conv one_group(const struct ln__conv *conv)
{
    struct ln__conv one = *conv;
    one.ci /= conv->groups;
    one.co /= conv->groups;
    one.groups = 1;
    return one;
}

static size_t group_weights(const struct ln__conv *one)
{
    return (size_t)one->ci * (size_t)(one->kh * one->kw) * round_up((size_t)one->co, LN_V);
}

size_t LN_KS(conv_weights)(const struct ln__conv *conv)
{
    struct ln__conv one = one_group(conv);
    return (size_t)conv->groups * group_weights(&one);
}

void LN_KS(conv_pack)(const struct ln__conv *conv, const float *canonical, float *w)
{
    struct ln__conv one = one_group(conv);
    size_t rows = (size_t)one.ci * (size_t)(one.kh * one.kw), co = (size_t)one.co;
    for (int group = 0; group < conv->groups; group++, canonical += rows * co, w += group_weights(&one)) {
        memset(w, 0, group_weights(&one) * sizeof *w);
        for (size_t o = 0; o < co; o++) {
            for (size_t k = 0; k < rows; k++)
                w[(o / LN_V * rows + k) * LN_V + o % LN_V] = canonical[o * rows + k];
        }
    }
}

void LN_KS(conv_unpack)(const struct ln__conv *conv, const float *w, float *canonical)
{
    struct ln__conv one = one_group(conv);
    size_t rows = (size_t)one.ci * (size_t)(one.kh * one.kw), co = (size_t)one.co;
    for (int group = 0; group < conv->groups; group++, canonical += rows * co, w += group_weights(&one)) {
        for (size_t o = 0; o < co; o++) {
            for (size_t k = 0; k < rows; k++)
                canonical[o * rows + k] = w[(o / LN_V * rows + k) * LN_V + o % LN_V];
        }
    }
}

size_t LN_KS(conv_scratch)(const struct ln__conv *conv, enum ln__pass pass, int n, unsigned width)
{
    struct ln__conv one = one_group(conv);
    return scratch_floats(&one, pass, n, width, false);
}

void LN_KS(conv_forward)(const struct ln__conv *conv, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                         struct ln__pool *pool)
{
    struct ln__conv one = one_group(conv);
    size_t in = (size_t)(one.ci * n * one.hi * one.wi), out = (size_t)(one.co * n * one.ho * one.wo);
    for (size_t i = 0; i < (size_t)conv->groups; i++) {
        struct call call = {.conv = &one, .n = n, .w = w + i * group_weights(&one), .scratch = scratch, .pool = pool};
        forward(&call, x + i * in, bias ? bias + i * (size_t)one.co : NULL, y + i * out);
    }
}

void LN_KS(conv_input_grad)(const struct ln__conv *conv, int n, const float *dy, const float *w, float *dx, bool add, float *scratch,
                            struct ln__pool *pool)
{
    struct ln__conv one = one_group(conv);
    size_t in = (size_t)(one.ci * n * one.hi * one.wi), out = (size_t)(one.co * n * one.ho * one.wo);
    for (size_t i = 0; i < (size_t)conv->groups; i++) {
        struct call call = {.conv = &one, .n = n, .w = w + i * group_weights(&one), .scratch = scratch, .pool = pool};
        input_grad(&call, dy + i * out, dx + i * in, add);
    }
}

void LN_KS(conv_weight_grad)(const struct ln__conv *conv, int n, const float *x, const float *dy, float *dw, float *dbias, float *scratch,
                             struct ln__pool *pool)
{
    struct ln__conv one = one_group(conv);
    size_t in = (size_t)(one.ci * n * one.hi * one.wi), out = (size_t)(one.co * n * one.ho * one.wo);
    for (size_t i = 0; i < (size_t)conv->groups; i++)
        LN_KS(weight_grad)
    (&one, n, x + i * in, 0, dy + i * out, dw + i * group_weights(&one), dbias ? dbias + i * (size_t)one.co : NULL, scratch, pool);
}

/* ---- linear: the convolution whose kernel is its whole input ---- */

size_t LN_KS(linear_weights)(const struct ln__linear *linear)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    return LN_KS(conv_weights)(&conv);
}

void LN_KS(linear_pack)(const struct ln__linear *linear, const float *canonical, float *w)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    LN_KS(conv_pack)(&conv, canonical, w);
}

void LN_KS(linear_unpack)(const struct ln__linear *linear, const float *w, float *canonical)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    LN_KS(conv_unpack)(&conv, w, canonical);
}

static size_t linear_work(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    size_t size = LN_KS(conv_scratch)(&conv, pass, n, width);
    return (size + LN_V - 1) / LN_V * LN_V;
}

/* Backward: both passes', and in front of it the weight gradient that a sink takes. */
size_t LN_KS(linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width)
{
    if (pass == LN__FORWARD)
        return linear_work(linear, pass, n, width);
    size_t input = linear_work(linear, LN__INPUT_GRAD, n, width), weight = linear_work(linear, LN__WEIGHT_GRAD, n, width);
    return LN_KS(linear_weights)(linear) + (input > weight ? input : weight);
}

void LN_KS(linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                           struct ln__pool *pool)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    LN_KS(conv_forward)(&conv, n, x, w, bias, y, scratch, pool);
}

void LN_KS(linear_backward)(const struct ln__linear *linear, int n, const float *x, const float *dy, const float *w, float *dx, bool add, float *dw,
                            float *dbias, const struct ln__sink *sink, float *scratch, struct ln__pool *pool)
{
    struct ln__conv conv = ln__sparse_linear(linear);
    size_t weights = LN_KS(linear_weights)(linear);
    if (dx)
        LN_KS(conv_input_grad)(&conv, n, dy, w, dx, add, scratch + weights, pool);
    if (!dw && sink) /* zero in the lanes of no channel */
        memset(scratch, 0, weights * sizeof *scratch);
    if (dw || sink)
        LN_KS(conv_weight_grad)(&conv, n, x, dy, dw ? dw : scratch, dbias, scratch + weights, pool);
    if (!dw && sink)
        sink->take(sink, 0, weights, scratch);
}
