/* Geometry of convolutions on [c][n][h][w], and the copies between images and phase planes. */
#include "kernels/vec/sparse_vec.h"

static int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

void geo_make(const struct ln__conv *conv, int n, struct geo *g)
{
    memset(g, 0, sizeof *g);
    int s = conv->stride;
    g->n = n;
    g->co = conv->co;
    g->pitch = (int)round_up((size_t)conv->co, LN_V);
    g->flat = ln__sparse_whole(conv);
    if (g->flat) {
        g->ci = conv->ci * conv->hi * conv->wi;
        g->taps = g->gh = g->gw = g->phases = 1;
        g->phase[0] = (struct geo_phase){.taps = 1}; /* order[0] is 0 */
        g->positions = (size_t)n;
        g->x_staged = conv->hi * conv->wi > 1;
        return;
    }
    g->ci = conv->ci;
    g->taps = conv->kh * conv->kw;
    g->gh = most(conv->ho, (conv->hi + s - 1) / s);
    g->gw = most(conv->wo, (conv->wi + s - 1) / s);
    g->positions = (size_t)n * (size_t)(g->gh * g->gw);
    for (int t = 0; t < g->taps; t++) {
        int ky = t / conv->kw - conv->top, kx = t % conv->kw - conv->left, dy = floor_div(ky, s), dx = floor_div(kx, s);
        int py = ky - s * dy, px = kx - s * dx, p = 0;
        while (p < g->phases && (g->phase[p].py != py || g->phase[p].px != px))
            p++;
        if (p == g->phases) {
            g->phase[p].py = py;
            g->phase[p].px = px;
            g->phases++;
        }
        g->phase[p].taps++;
        g->tap[t] = (struct geo_tap){p, dy, dx};
    }
    for (int p = 0, at = 0; p < g->phases; p++) {
        g->phase[p].first = at;
        for (int t = 0; t < g->taps; t++) {
            if (g->tap[t].phase == p)
                g->order[at++] = t;
        }
    }
    g->x_staged = s > 1 || conv->hi != g->gh || conv->wi != g->gw;
    g->y_staged = conv->ho != g->gh || conv->wo != g->gw;
}

struct stage {
    const struct ln__conv *conv;
    const struct geo *g;
    const float *from;
    float *to;
    bool add;
};

/* Even and odd floats of 2 * LN_V, and the way back. */
#if LN_V == 16
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LN_V == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* One row of an image (wi floats, stride apart from first) to one row of a phase plane. */
static void gather_row(const float *from, int first, int wi, int s, float *to, int gw)
{
    int b = 0;
    if (s == 2) {
        for (; 2 * (b + LN_V) <= wi; b += LN_V) {
            vf low = vf_load(from + 2 * b), high = vf_load(from + 2 * b + LN_V);
            vf_store(to + b, first ? ODD(low, high) : EVEN(low, high));
        }
        if (2 * b + LN_V <= wi) {
            vf low = vf_load(from + 2 * b), half = first ? ODD(low, low) : EVEN(low, low);
            memcpy(to + b, &half, LN_V / 2 * sizeof *to);
            b += LN_V / 2;
        }
    }
    for (; b < gw; b++)
        to[b] = b * s + first < wi ? from[b * s + first] : 0;
}

static void stage_plane(void *context, size_t c, unsigned worker)
{
    const struct stage *st = context;
    const struct ln__conv *conv = st->conv;
    const struct geo *g = st->g;
    (void)worker;
    size_t image = (size_t)(conv->hi * conv->wi);
    if (g->flat) {
        const float *from = st->from + c * (size_t)g->n * image;
        for (size_t i = 0; i < (size_t)g->n; i++) {
            for (size_t p = 0; p < image; p++)
                st->to[(c * image + p) * (size_t)g->n + i] = from[i * image + p];
        }
        return;
    }
    for (int p = 0; p < g->phases; p++) {
        float *to = st->to + ((size_t)p * (size_t)g->ci + c) * g->positions;
        for (int i = 0; i < g->n; i++) {
            const float *from = st->from + (c * (size_t)g->n + (size_t)i) * image;
            for (int a = 0; a < g->gh; a++, to += g->gw) {
                int y = a * conv->stride + g->phase[p].py;
                if (y < conv->hi)
                    gather_row(from + y * conv->wi, g->phase[p].px, conv->wi, conv->stride, to, g->gw);
                else
                    memset(to, 0, (size_t)g->gw * sizeof *to);
            }
        }
    }
}

void geo_stage_x(const struct ln__conv *conv, const struct geo *g, const float *x, float *planes, struct ln__pool *pool)
{
    struct stage st = {.conv = conv, .g = g, .from = x, .to = planes};
    ln__pool_for(pool, (size_t)conv->ci, stage_plane, &st);
}

static void stage_out(void *context, size_t o, unsigned worker)
{
    const struct stage *st = context;
    const struct ln__conv *conv = st->conv;
    const struct geo *g = st->g;
    (void)worker;
    float *to = st->to + o * g->positions;
    const float *from = st->from + o * (size_t)g->n * (size_t)(conv->ho * conv->wo);
    for (int i = 0; i < g->n; i++) {
        for (int a = 0; a < g->gh; a++, to += g->gw) {
            int keep = a < conv->ho ? conv->wo : 0;
            memcpy(to, from, (size_t)keep * sizeof *to);
            memset(to + keep, 0, (size_t)(g->gw - keep) * sizeof *to);
            from += keep;
        }
    }
}

void geo_stage_y(const struct ln__conv *conv, const struct geo *g, const float *y, float *planes, struct ln__pool *pool)
{
    struct stage st = {.conv = conv, .g = g, .from = y, .to = planes};
    ln__pool_for(pool, (size_t)conv->co, stage_out, &st);
}

static void unstage_out(void *context, size_t o, unsigned worker)
{
    const struct stage *st = context;
    const struct ln__conv *conv = st->conv;
    const struct geo *g = st->g;
    (void)worker;
    const float *from = st->from + o * g->positions;
    float *to = st->to + o * (size_t)g->n * (size_t)(conv->ho * conv->wo);
    for (int i = 0; i < g->n; i++) {
        for (int a = 0; a < g->gh; a++, from += g->gw) {
            if (a < conv->ho) {
                memcpy(to, from, (size_t)conv->wo * sizeof *to);
                to += conv->wo;
            }
        }
    }
}

void geo_unstage_y(const struct ln__conv *conv, const struct geo *g, const float *planes, float *y, struct ln__pool *pool)
{
    struct stage st = {.conv = conv, .g = g, .from = planes, .to = y};
    ln__pool_for(pool, (size_t)conv->co, unstage_out, &st);
}

/* One row of an image from the s phase rows that hold it; a NULL row is zero. */
static void scatter_row(const float *const *rows, int s, float *to, int wi, bool add)
{
    int b = 0;
    if (s == 2) {
        for (; 2 * (b + LN_V) <= wi; b += LN_V) {
            vf even = rows[0] ? vf_load(rows[0] + b) : vf_set(0), odd = rows[1] ? vf_load(rows[1] + b) : vf_set(0);
            vf low = ZIP_LOW(even, odd), high = ZIP_HIGH(even, odd);
            if (add) {
                low += vf_load(to + 2 * b);
                high += vf_load(to + 2 * b + LN_V);
            }
            vf_store(to + 2 * b, low);
            vf_store(to + 2 * b + LN_V, high);
        }
        if (2 * b + LN_V <= wi) {
            vf even = {0}, odd = {0};
            if (rows[0])
                memcpy(&even, rows[0] + b, LN_V / 2 * sizeof *to);
            if (rows[1])
                memcpy(&odd, rows[1] + b, LN_V / 2 * sizeof *to);
            vf low = ZIP_LOW(even, odd);
            vf_store(to + 2 * b, add ? low + vf_load(to + 2 * b) : low);
            b += LN_V / 2;
        }
    }
    for (int px = 0; px < s; px++) {
        const float *row = rows[px];
        for (int i = b, x = b * s + px; x < wi; i++, x += s) {
            float v = row ? row[i] : 0;
            to[x] = add ? to[x] + v : v;
        }
    }
}

static void unstage_plane(void *context, size_t c, unsigned worker)
{
    const struct stage *st = context;
    const struct ln__conv *conv = st->conv;
    const struct geo *g = st->g;
    (void)worker;
    size_t image = (size_t)(conv->hi * conv->wi);
    float *to = st->to + c * (size_t)g->n * image;
    if (g->flat) {
        for (size_t i = 0; i < (size_t)g->n; i++) {
            for (size_t p = 0; p < image; p++, to++) {
                float v = st->from[(c * image + p) * (size_t)g->n + i];
                *to = st->add ? *to + v : v;
            }
        }
        return;
    }
    int s = conv->stride;
    const float *rows[LN__STRIDE_MAX], *start[LN__STRIDE_MAX][LN__STRIDE_MAX] = {0};
    for (int p = 0; p < g->phases; p++)
        start[g->phase[p].py][g->phase[p].px] = st->from + ((size_t)p * (size_t)g->ci + c) * g->positions;
    for (int i = 0; i < g->n; i++) {
        for (int a = 0, y = 0; y < conv->hi; a++) {
            size_t at = ((size_t)i * (size_t)g->gh + (size_t)a) * (size_t)g->gw;
            for (int py = 0; py < s && y < conv->hi; py++, y++, to += conv->wi) {
                for (int px = 0; px < s; px++)
                    rows[px] = start[py][px] ? start[py][px] + at : NULL;
                scatter_row(rows, s, to, conv->wi, st->add);
            }
        }
    }
}

void geo_unstage_x(const struct ln__conv *conv, const struct geo *g, const float *planes, float *dx, bool add, struct ln__pool *pool)
{
    struct stage st = {.conv = conv, .g = g, .from = planes, .to = dx, .add = add};
    ln__pool_for(pool, (size_t)conv->ci, unstage_plane, &st);
}

/* Shifted copies of an input channel: by rows one for each (phase, dx), tall enough for all its dy; else one for each tap. */
static void make_groups(struct gather *p)
{
    const struct geo *g = p->geo;
    for (int t = 0; t < g->taps; t++) {
        int sign = p->backward ? -1 : 1, dy = sign * g->tap[t].dy, dx = sign * g->tap[t].dx, phase = p->backward ? 0 : g->tap[t].phase, i = 0;
        while (i < p->groups && (p->group[i].phase != phase || p->group[i].dx != dx || (!p->rows && p->group[i].dy != dy)))
            i++;
        if (i == p->groups) {
            p->group[i] = (struct gather_group){.phase = phase, .dx = dx, .dy = dy, .rows = 1};
            p->groups++;
        }
        struct gather_group *group = &p->group[i];
        if (dy < group->dy) {
            group->rows += group->dy - dy;
            group->dy = dy;
        } else if (dy - group->dy + 1 > group->rows) {
            group->rows = dy - group->dy + 1;
        }
        p->tap_at[t] = i;
    }
    int at = 0;
    for (int i = 0; i < p->groups; i++) {
        p->group[i].at = at;
        p->group[i].rows += p->tile_rows - 1;
        at += p->rows ? p->group[i].rows * (g->gw / LN_V) : p->vectors;
    }
    p->channel_vectors = at;
    for (int t = 0; t < g->taps; t++) {
        const struct gather_group *group = &p->group[p->tap_at[t]];
        int dy = (p->backward ? -1 : 1) * g->tap[t].dy;
        p->tap_at[t] = group->at + (p->rows ? (dy - group->dy) * (g->gw / LN_V) : 0);
    }
}

void gather_make(const struct geo *g, bool backward, bool worst, struct gather *p)
{
    memset(p, 0, sizeof *p);
    p->geo = g;
    p->backward = backward;
    p->ins = backward ? g->co : g->ci;
    p->outs = backward ? g->ci * g->phases : g->co;
    p->in_phases = backward ? 1 : g->phases;
    p->rows = g->gw % LN_V == 0 && g->gw / LN_V <= LN__TILE;
    for (int t = 0; t < g->taps; t++)
        p->rows &= g->tap[t].dx < LN_V && g->tap[t].dx > -LN_V;
    if (p->rows) {
        int fit = LN__TILE / (g->gw / LN_V);
        p->tiles_image = (g->gh + fit - 1) / fit;
        p->tile_rows = (g->gh + p->tiles_image - 1) / p->tiles_image;
        p->vectors = p->tile_rows * (g->gw / LN_V);
        p->tiles = p->tiles_image * g->n;
    } else {
        int vectors = (int)((g->positions + LN_V - 1) / LN_V);
        p->tiles = (vectors + LN__TILE - 1) / LN__TILE;
        p->vectors = worst ? LN__TILE : (vectors + p->tiles - 1) / p->tiles;
        p->tile_rows = 1;
    }
    make_groups(p);
    p->block = LN__BANK_BYTES / (p->channel_vectors * LN_V * 4);
    p->block = p->block < 1 ? 1 : p->block > p->ins ? p->ins : p->block;
    p->blocks = (p->ins + p->block - 1) / p->block;
    p->block = (p->ins + p->blocks - 1) / p->blocks;
    p->blocks = (p->ins + p->block - 1) / p->block;
    if (backward && g->phases > 1 && g->ci % 16 != 0) { /* a part would begin inside an octet of the dense kernel */
        p->parts = 1;
        return;
    }
    p->parts = p->tiles >= 4 ? 1 : (4 + p->tiles - 1) / p->tiles;
    if (p->parts > (p->outs + 15) / 16)
        p->parts = (p->outs + 15) / 16;
}

struct nz_list list_open(const struct gather *p, void *list, size_t at, size_t cap)
{
    (void)cap;
    char *base = (char *)list + at;
    size_t places = (size_t)p->blocks * (size_t)p->outs;
    struct nz_list out;
    out.start = (void *)base;
    out.order = (void *)(base + round_up((places + 1) * 4, 64));
    out.entry = (void *)(base + round_up((places + 1) * 4, 64) + round_up(places * 4, 64));
    return out;
}
