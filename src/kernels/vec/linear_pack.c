/* Weights of linear layers between canonical order, [output][c][h][w], and packed order, [output block][c block][h][w][c lanes][V outputs]: runs of
 * features that follow each other in canonical order are turned V by V. */
#include "kernels/vec/linear.h"
#include "kernels/vec/transpose.h"

size_t LN_K(linear_weights)(const struct ln__linear *linear)
{
    int lanes = min_int(linear->ci, LN_V);
    return (size_t)(ln__blocks(linear->co, LN_V) * LN_V) * (size_t)(ln__blocks(linear->ci, LN_V) * lanes) * (size_t)(linear->hi * linear->wi);
}

/* `count` features of `outputs` rows of canonical weights, and the packed rows, `step` floats apart, that hold them. */
struct run {
    int count, outputs;
    size_t features, step;
};

static void pack_run(const struct run *run, const float *canonical, float *w)
{
    int i = 0;
    for (; run->outputs == LN_V && i + LN_V <= run->count; i += LN_V) {
        float part[LN_V * LN_V] __attribute__((aligned(64))), turned[LN_V * LN_V] __attribute__((aligned(64)));
        for (int l = 0; l < LN_V; l++)
            store(part + l * LN_V, *(const vfu *)(canonical + (size_t)l * run->features + i));
        transpose(part, turned);
        for (int j = 0; j < LN_V; j++)
            store(w + (size_t)(i + j) * run->step, load(turned + j * LN_V));
    }
    for (; i < run->count; i++) {
        for (int l = 0; l < LN_V; l++)
            w[(size_t)i * run->step + (size_t)l] = l < run->outputs ? canonical[(size_t)l * run->features + (size_t)i] : 0;
    }
}

static void unpack_run(const struct run *run, const float *w, float *canonical)
{
    int i = 0;
    for (; run->outputs == LN_V && i + LN_V <= run->count; i += LN_V) {
        float part[LN_V * LN_V] __attribute__((aligned(64))), turned[LN_V * LN_V] __attribute__((aligned(64)));
        for (int j = 0; j < LN_V; j++)
            store(part + j * LN_V, load(w + (size_t)(i + j) * run->step));
        transpose(part, turned);
        for (int l = 0; l < LN_V; l++)
            *(vfu *)(canonical + (size_t)l * run->features + i) = load(turned + l * LN_V);
    }
    for (; i < run->count; i++) {
        for (int l = 0; l < run->outputs; l++)
            canonical[(size_t)l * run->features + (size_t)i] = w[(size_t)i * run->step + (size_t)l];
    }
}

/* Run r of output block `block`: with one position a run is a block's channels, else a channel's positions. Returns false past the last one;
 * *from: where its features begin in a canonical row; *to: where its first packed row begins. */
static bool run_at(const struct ln__linear *linear, int block, int r, struct run *run, size_t *from, size_t *to)
{
    int hw = linear->hi * linear->wi, lanes = min_int(linear->ci, LN_V), blocks = ln__blocks(linear->ci, LN_V);
    size_t column = (size_t)(blocks * hw * lanes) * LN_V;
    run->features = (size_t)linear->ci * (size_t)hw;
    run->outputs = real_lanes(linear->co, block);
    run->count = hw == 1 ? real_lanes(linear->ci, r) : hw;
    run->step = hw == 1 ? LN_V : (size_t)lanes * LN_V;
    *from = (size_t)(block * LN_V) * run->features + (size_t)r * (size_t)(hw == 1 ? LN_V : hw);
    *to = (size_t)block * column + (hw == 1 ? (size_t)(r * LN_V) : (size_t)(r / LN_V * hw * lanes + r % LN_V)) * LN_V;
    return r < (hw == 1 ? blocks : linear->ci);
}

void LN_K(linear_pack)(const struct ln__linear *linear, const float *canonical, float *w)
{
    struct run run;
    size_t from, to;
    if (linear->ci > LN_V && linear->ci % LN_V != 0)
        memset(w, 0, LN_K(linear_weights)(linear) * sizeof *w);
    for (int block = 0; block < ln__blocks(linear->co, LN_V); block++) {
        for (int r = 0; run_at(linear, block, r, &run, &from, &to); r++)
            pack_run(&run, canonical + from, w + to);
    }
}

void LN_K(linear_unpack)(const struct ln__linear *linear, const float *w, float *canonical)
{
    struct run run;
    size_t from, to;
    for (int block = 0; block < ln__blocks(linear->co, LN_V); block++) {
        for (int r = 0; run_at(linear, block, r, &run, &from, &to); r++)
            unpack_run(&run, w + to, canonical + from);
    }
}
