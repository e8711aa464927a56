/* Linear layers. A feature is a row of the weights, as it lies in x: [output block][feature][V outputs]; with fewer input channels than V only
 * the real lanes are features.
 *
 * All three passes are products of panels [block][sample][V], in which the samples of one block are neighbours: x, dy and dx are copied to and
 * from such panels, since samples that lie a power of two apart would share a few lines of the first-level cache.
 *
 *     forward      y[o block][s]  = bias + sum over f of x[s][f] w[o block][f]      a chunk: LIN_K output blocks, all features
 *     backward     dx[f block][s] = sum over o of dy[s][o] w'[f block][o]           a chunk: LIN_F features, all outputs
 *                  dw[o block][f] = sum over s of x[s][f] dy[o block][s]
 *
 * Both strip kernels are the same, the weights of backward being turned block by block. Weights are read once a pass, from first to last, and
 * backward makes both gradients of a piece of weights while it is in the cache; a sink takes the weight gradient from there. */
#include "kernels/vec/linear.h"
#include "kernels/vec/transpose.h"

#define RUN 64               /* features of a run in forward, whose weights stay in the first-level cache while the samples pass by */
#define LIN_F (4 * LIN_WIDE) /* features of a chunk in backward */
#define LIN_WIDE (LIN_K * LN_V)

/* A linear layer as rows and columns. */
struct shape {
    int n, lanes, features, panels; /* panels: of V features */
    int inputs;                     /* vectors of a sample of x */
    int cob;
    size_t column; /* floats of an output block's weights */
};

static struct shape shape_of(const struct ln__linear *linear, int n)
{
    struct shape shape = {.n = n, .lanes = min_int(linear->ci, LN_V), .cob = ln__blocks(linear->co, LN_V)};
    shape.inputs = ln__blocks(linear->ci, LN_V) * linear->hi * linear->wi;
    shape.features = shape.inputs * shape.lanes;
    shape.panels = ln__blocks(shape.features, LN_V);
    shape.column = (size_t)shape.features * LN_V;
    return shape;
}

/* ---- panels ---- */

static size_t panel_floats(const struct shape *shape)
{
    return (size_t)shape->n * LN_V;
}

/* Panel `panel` of x. */
static void fill_panel(const struct shape *shape, const float *x, int panel, float *to)
{
    for (int s = 0; s < shape->n; s++, to += LN_V) {
        const float *sample = x + (size_t)s * (size_t)shape->inputs * LN_V;
        if (shape->lanes == LN_V) {
            store(to, load(sample + (size_t)panel * LN_V));
            continue;
        }
        for (int l = 0; l < LN_V; l++) {
            int feature = panel * LN_V + l;
            to[l] = feature < shape->features ? sample[feature / shape->lanes * LN_V + feature % shape->lanes] : 0;
        }
    }
}

/* The contrary: panel `panel` becomes, or is added to, what dx holds; lanes past the real ones are zero. */
static void spill_panel(const struct shape *shape, const float *from, int panel, bool add, float *dx)
{
    for (int s = 0; s < shape->n; s++, from += LN_V) {
        float *sample = dx + (size_t)s * (size_t)shape->inputs * LN_V;
        if (shape->lanes == LN_V) {
            float *at = sample + (size_t)panel * LN_V;
            store(at, add ? load(at) + load(from) : load(from));
            continue;
        }
        for (int l = 0; l < LN_V && panel * LN_V + l < shape->features; l++) {
            int feature = panel * LN_V + l, lane = feature % shape->lanes;
            float *at = sample + feature / shape->lanes * LN_V;
            at[lane] = add ? at[lane] + from[l] : from[l];
            for (int rest = shape->lanes; lane == shape->lanes - 1 && rest < LN_V; rest++)
                at[rest] = 0;
        }
    }
}

/* ---- forward ---- */

struct forward {
    struct shape shape;
    const float *x, *w, *bias;
    float *y, *panels, *sums; /* sums: for each worker LIN_K panels */
};

#define PACK 8 /* panels a chunk */

static void pack_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct forward *fw = context;
    for (int p = (int)chunk * PACK; p < min_int((int)(chunk + 1) * PACK, fw->shape.panels); p++)
        fill_panel(&fw->shape, fw->x, p, fw->panels + (size_t)p * panel_floats(&fw->shape));
}

static void forward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct forward *fw = context;
    const struct shape *shape = &fw->shape;
    size_t panel = panel_floats(shape);
    float *sums = fw->sums + worker * (LIN_K * panel);
    int out = (int)chunk * LIN_K, k = min_int(LIN_K, shape->cob - out);
    for (int j = 0; j < k; j++) {
        vf start = fw->bias ? load(fw->bias + (out + j) * LN_V) : (vf){0};
        for (int s = 0; s < shape->n; s++)
            store(sums + (size_t)j * panel + (size_t)s * LN_V, start);
    }
    struct strip strip = {.x_panel = panel, .wk = shape->column, .y = sums, .yk = panel};
    for (int f = 0; f < shape->features; f += RUN) {
        strip.x = fw->panels + (size_t)(f / LN_V) * panel;
        strip.w = fw->w + (size_t)out * shape->column + (size_t)f * LN_V;
        strip.count = min_int(RUN, shape->features - f);
        LN_K(strips)(&strip, shape->n, k);
    }
    for (int s = 0; s < shape->n; s++) {
        for (int j = 0; j < k; j++)
            store(fw->y + ((size_t)s * (size_t)shape->cob + (size_t)(out + j)) * LN_V, load(sums + (size_t)j * panel + (size_t)s * LN_V));
    }
}

void LN_K(linear_forward)(const struct ln__linear *linear, int n, const float *x, const float *w, const float *bias, float *y, float *scratch,
                          struct ln__pool *pool)
{
    struct forward fw = {.shape = shape_of(linear, n), .x = x, .w = w, .bias = bias, .y = y, .panels = scratch};
    fw.sums = scratch + (size_t)fw.shape.panels * panel_floats(&fw.shape);
    ln__pool_for(pool, (size_t)ln__blocks(fw.shape.panels, PACK), pack_chunk, &fw);
    ln__pool_for(pool, (size_t)ln__blocks(fw.shape.cob, LIN_K), forward_chunk, &fw);
}

/* ---- backward ---- */

struct backward {
    struct shape shape;
    const float *x, *dy, *w;
    float *dx, *dw, *dbias; /* or NULL: not wanted; the gradient of the weights may go to the sink */
    bool add;
    const struct ln__sink *sink;
    float *panels, *work; /* dy's panels; work: for each worker */
};

/* What a worker has: x and dx of a chunk, turned weights of LIN_K x LIN_K blocks, a piece of the weight gradient. */
struct work {
    float *x, *dx, *turned, *dw;
};

static size_t work_floats(const struct shape *shape)
{
    return 2 * (LIN_F / LN_V) * panel_floats(shape) + (size_t)LIN_WIDE * LIN_WIDE + (size_t)LIN_K * LIN_F * LN_V;
}

static struct work work_of(const struct backward *bw, unsigned worker)
{
    size_t panels = (LIN_F / LN_V) * panel_floats(&bw->shape);
    float *at = bw->work + worker * work_floats(&bw->shape);
    return (struct work){at, at + panels, at + 2 * panels, at + 2 * panels + (size_t)LIN_WIDE * LIN_WIDE};
}

static void dy_chunk(void *context, size_t block, unsigned worker)
{
    (void)worker;
    const struct backward *bw = context;
    float *to = bw->panels + block * panel_floats(&bw->shape);
    vf sum = {0};
    for (int s = 0; s < bw->shape.n; s++) {
        vf d = load(bw->dy + ((size_t)s * (size_t)bw->shape.cob + block) * LN_V);
        store(to + s * LN_V, d);
        sum += d;
    }
    if (bw->dbias)
        store(bw->dbias + block * LN_V, sum);
}

/* Turns `rows` features of one output block; the rest of the V are zero. Those of a later block, `ahead` floats on, are fetched meanwhile. */
static void turn(const float *from, int rows, size_t ahead, float *to)
{
    for (int l = 0; l < rows; l += 64 / (int)sizeof(vf))
        __builtin_prefetch(from + ahead + (size_t)l * LN_V);
    float part[LN_V * LN_V] __attribute__((aligned(64)));
    if (rows < LN_V) {
        memset(part, 0, sizeof part);
        memcpy(part, from, (size_t)rows * LN_V * sizeof *from);
        from = part;
    }
    transpose(from, to);
}

/* dx of the features [f, f + count), at most LIN_WIDE, from output blocks [out, out + k). */
static void add_inputs(const struct backward *bw, const struct work *work, int first, int f, int count, int out, int k)
{
    const struct shape *shape = &bw->shape;
    size_t panel = panel_floats(shape);
    int panels = ln__blocks(count, LN_V);
    for (int p = 0; p < panels; p++) {
        for (int j = 0; j < k; j++)
            turn(bw->w + (size_t)(out + j) * shape->column + (size_t)(f + p * LN_V) * LN_V, min_int(LN_V, count - p * LN_V), LIN_K * shape->column,
                 work->turned + (size_t)(p * LIN_K + j) * LN_V * LN_V);
    }
    struct strip strip = {.x = bw->panels + (size_t)out * panel,
                          .x_panel = panel,
                          .w = work->turned,
                          .wk = (size_t)LIN_WIDE * LN_V,
                          .count = k * LN_V,
                          .y = work->dx + (size_t)((f - first) / LN_V) * panel,
                          .yk = panel};
    LN_K(strips)(&strip, shape->n, panels);
}

/* A chunk's piece of output blocks [out, out + k): their weights lie one run each, `count` rows from feature `first` on. */
static void take_weights(const struct backward *bw, const struct work *work, int first, int count, int out, int k)
{
    const struct shape *shape = &bw->shape;
    size_t at = (size_t)out * shape->column + (size_t)first * LN_V;
    struct block block = {.x = work->x,
                          .x_panel = panel_floats(shape),
                          .dy = bw->panels + (size_t)out * panel_floats(shape),
                          .n = shape->n,
                          .count = count,
                          .dw = bw->dw ? bw->dw + at : work->dw,
                          .wk = bw->dw ? shape->column : (size_t)LIN_F * LN_V};
    LN_K(blocks)(&block, k);
    for (int j = 0; !bw->dw && j < k; j++)
        bw->sink->take(bw->sink, at + (size_t)j * shape->column, (size_t)count * LN_V, block.dw + (size_t)j * block.wk);
}

static void backward_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct backward *bw = context;
    const struct shape *shape = &bw->shape;
    struct work work = work_of(bw, worker);
    size_t panel = panel_floats(shape);
    int first = (int)chunk * LIN_F, count = min_int(LIN_F, shape->features - first), panels = ln__blocks(count, LN_V);
    for (int p = 0; p < panels && (bw->dw || bw->sink); p++)
        fill_panel(shape, bw->x, first / LN_V + p, work.x + (size_t)p * panel);
    if (bw->dx)
        memset(work.dx, 0, (size_t)panels * panel * sizeof *work.dx);
    for (int out = 0; out < shape->cob; out += LIN_K) {
        int k = min_int(LIN_K, shape->cob - out);
        for (int f = first; bw->dx && f < first + count; f += LIN_WIDE)
            add_inputs(bw, &work, first, f, min_int(LIN_WIDE, first + count - f), out, k);
        if (bw->dw || bw->sink)
            take_weights(bw, &work, first, count, out, k);
    }
    for (int p = 0; p < panels && bw->dx; p++)
        spill_panel(shape, work.dx + (size_t)p * panel, first / LN_V + p, bw->add, bw->dx);
}

static void backward(struct backward *bw, float *scratch, struct ln__pool *pool)
{
    bw->panels = scratch;
    bw->work = scratch + (size_t)bw->shape.cob * panel_floats(&bw->shape);
    ln__pool_for(pool, (size_t)bw->shape.cob, dy_chunk, bw);
    ln__pool_for(pool, (size_t)ln__blocks(bw->shape.features, LIN_F), backward_chunk, bw);
}

void LN_K(linear_backward)(const struct ln__linear *linear, int n, const float *x, const float *dy, const float *w, float *dx, bool add, float *dw,
                           float *dbias, const struct ln__sink *sink, float *scratch, struct ln__pool *pool)
{
    struct backward bw = {shape_of(linear, n), x, dy, w, dx, dw, dbias, add, sink, NULL, NULL};
    backward(&bw, scratch, pool);
}

size_t LN_K(linear_scratch)(const struct ln__linear *linear, enum ln__pass pass, int n, unsigned width)
{
    struct shape shape = shape_of(linear, n);
    if (pass == LN__FORWARD)
        return (size_t)shape.panels * panel_floats(&shape) + width * (LIN_K * panel_floats(&shape));
    return (size_t)shape.cob * panel_floats(&shape) + width * work_floats(&shape);
}
