/* Linear layers under a mask: forward and input gradient of linear.c, whose register tiles these are, on weights that are masked on their way into
 * the first-level cache. Small weights are read as often as by the dense kernels, and no copy is ever written to memory. */
#include "kernels/vec/linear.h"
#include "kernels/vec/masked.h"
#include "kernels/vec/transpose.h"

#define RUN 64 /* features of a run in forward, as in linear.c */
#define LIN_WIDE (LIN_K * LN_V)
#define LIN_F (4 * LIN_WIDE) /* features of a chunk in backward */
#define PACK 8               /* panels a chunk */

struct masked {
    int n, cob, inputs; /* output blocks; vectors of a sample of x, each of V features */
    size_t column;      /* floats of an output block's weights */
    const float *from, *w, *bias;
    float threshold;
    float *to; /* y or dx */
    bool add;
    float *panels, *work; /* of x or dy [block][sample][V]; work: for each worker */
};

static struct masked masked_of(const struct ln__linear *linear, int n, const float *w, float threshold)
{
    struct masked m = {.n = n, .cob = ln__blocks(linear->co, LN_V), .w = w, .threshold = threshold};
    m.inputs = ln__blocks(linear->ci, LN_V) * linear->hi * linear->wi;
    m.column = (size_t)m.inputs * LN_V * LN_V;
    return m;
}

static size_t panel_floats(const struct masked *m)
{
    return (size_t)m->n * LN_V;
}

/* Vectors `stride` to a sample become panels. */
static void make_panels(const struct masked *m, size_t chunk, int count, float *to)
{
    for (int p = (int)chunk * PACK; p < min_int((int)(chunk + 1) * PACK, count); p++) {
        for (int s = 0; s < m->n; s++)
            store(to + ((size_t)p * (size_t)m->n + (size_t)s) * LN_V, load(m->from + ((size_t)s * (size_t)count + (size_t)p) * LN_V));
    }
}

static void x_panels(void *context, size_t chunk, unsigned worker)
{
    const struct masked *m = context;
    (void)worker;
    make_panels(m, chunk, m->inputs, m->panels);
}

static void dy_panels(void *context, size_t chunk, unsigned worker)
{
    const struct masked *m = context;
    (void)worker;
    make_panels(m, chunk, m->cob, m->panels);
}

/* `rows` vectors of weights; those `ahead` floats on are fetched meanwhile. A NaN is kept. */
INLINE void mask_rows(const float *from, int rows, float threshold, size_t ahead, float *to)
{
    vf least = set1(threshold);
    for (int i = 0; i < rows; i++, from += LN_V, to += LN_V) {
        __builtin_prefetch(from + ahead);
        vf v = load(from);
        vi small = (vi)((vf)((vi)v & 0x7fffffff) < least);
        store(to, (vf)((vi)v & ~small));
    }
}

static void forward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct masked *m = context;
    size_t panel = panel_floats(m);
    float *sums = m->work + worker * (LIN_K * panel), weights[LIN_K * RUN * LN_V] __attribute__((aligned(64)));
    int out = (int)chunk * LIN_K, k = min_int(LIN_K, m->cob - out), features = m->inputs * LN_V;
    for (int j = 0; j < k; j++) {
        vf start = m->bias ? load(m->bias + (out + j) * LN_V) : (vf){0};
        for (int s = 0; s < m->n; s++)
            store(sums + (size_t)j * panel + (size_t)s * LN_V, start);
    }
    struct strip strip = {.x_panel = panel, .w = weights, .wk = (size_t)RUN * LN_V, .y = sums, .yk = panel};
    for (int f = 0; f < features; f += RUN) {
        strip.count = min_int(RUN, features - f);
        for (int j = 0; j < k; j++)
            mask_rows(m->w + (size_t)(out + j) * m->column + (size_t)f * LN_V, strip.count, m->threshold, (size_t)RUN * LN_V,
                      weights + j * RUN * LN_V);
        strip.x = m->panels + (size_t)(f / LN_V) * panel;
        LN_K(strips)(&strip, m->n, k);
    }
    for (int s = 0; s < m->n; s++) {
        for (int j = 0; j < k; j++)
            store(m->to + ((size_t)s * (size_t)m->cob + (size_t)(out + j)) * LN_V, load(sums + (size_t)j * panel + (size_t)s * LN_V));
    }
}

void LN_KM(linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, float threshold, const float *bias, float *y,
                           float *scratch, struct ln__pool *pool)
{
    struct masked m = masked_of(linear, n, w, threshold);
    m.from = x;
    m.bias = bias;
    m.to = y;
    m.panels = scratch;
    m.work = scratch + (size_t)m.inputs * panel_floats(&m);
    ln__pool_for(pool, (size_t)ln__blocks(m.inputs, PACK), x_panels, &m);
    ln__pool_for(pool, (size_t)ln__blocks(m.cob, LIN_K), forward_chunk, &m);
}

/* dx of `panels` panels, the first one `at`, from output blocks [out, out + k). */
static void add_inputs(const struct masked *m, int at, int panels, int out, int k, float *dx)
{
    float kept[LN_V * LN_V] __attribute__((aligned(64))), turned[LIN_WIDE * LIN_WIDE] __attribute__((aligned(64)));
    for (int p = 0; p < panels; p++) {
        for (int j = 0; j < k; j++) {
            mask_rows(m->w + (size_t)(out + j) * m->column + (size_t)(at + p) * LN_V * LN_V, LN_V, m->threshold, LIN_K * m->column, kept);
            transpose(kept, turned + (size_t)(p * LIN_K + j) * LN_V * LN_V);
        }
    }
    size_t panel = panel_floats(m);
    struct strip strip = {
        .x = m->panels + (size_t)out * panel, .x_panel = panel, .w = turned, .wk = (size_t)LIN_WIDE * LN_V, .count = k * LN_V, .y = dx, .yk = panel};
    LN_K(strips)(&strip, m->n, panels);
}

static void backward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct masked *m = context;
    size_t panel = panel_floats(m);
    int first = (int)chunk * LIN_F / LN_V, panels = min_int(LIN_F / LN_V, m->inputs - first);
    float *dx = m->work + worker * (LIN_F / LN_V) * panel;
    memset(dx, 0, (size_t)panels * panel * sizeof *dx);
    for (int out = 0; out < m->cob; out += LIN_K) {
        for (int p = 0; p < panels; p += LIN_K)
            add_inputs(m, first + p, min_int(LIN_K, panels - p), out, min_int(LIN_K, m->cob - out), dx + (size_t)p * panel);
    }
    for (int p = 0; p < panels; p++) {
        for (int s = 0; s < m->n; s++) {
            float *at = m->to + ((size_t)s * (size_t)m->inputs + (size_t)(first + p)) * LN_V;
            vf sum = load(dx + (size_t)p * panel + (size_t)s * LN_V);
            store(at, m->add ? load(at) + sum : sum);
        }
    }
}

void LN_KM(linear_input_grad)(const struct ln__linear *linear, int n, const float *dy, const float *w, float threshold, float *dx, bool add,
                              float *scratch, struct ln__pool *pool)
{
    struct masked m = masked_of(linear, n, w, threshold);
    m.from = dy;
    m.to = dx;
    m.add = add;
    m.panels = scratch;
    m.work = scratch + (size_t)m.cob * panel_floats(&m);
    ln__pool_for(pool, (size_t)ln__blocks(m.cob, PACK), dy_panels, &m);
    ln__pool_for(pool, (size_t)ln__blocks(m.inputs * LN_V, LIN_F), backward_chunk, &m);
}

size_t LN_KM(linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width)
{
    struct masked m = masked_of(linear, n, NULL, 0);
    if (pass == LN__FORWARD)
        return ((size_t)m.inputs + (size_t)width * LIN_K) * panel_floats(&m);
    return ((size_t)m.cob + (size_t)width * (LIN_F / LN_V)) * panel_floats(&m);
}
