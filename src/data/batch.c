#include "data/data.h"

#include <string.h>

void ln__epoch_order(struct ln__key key, uint32_t epoch, uint32_t *order, uint32_t count)
{
    key.purpose = LN__FOR_SHUFFLE;
    struct ln__rng rng = ln__rng_at(key);
    rng.index = (uint64_t)epoch << 34; /* an epoch draws fewer than 2^34 blocks: epochs never overlap */
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    ln__rng_shuffle(&rng, order, count);
}

struct ln__frame ln__frame_draw(const struct ln__augment *augment, const struct ln__key *key, uint64_t index)
{
    struct ln__frame at = {0};
    if (augment->crop <= 0 && !augment->flip)
        return at;
    uint32_t word[4];
    ln__rng_block(key, index, word);
    if (augment->crop > 0) {
        uint64_t places = 2 * (uint64_t)augment->crop + 1;
        at.dy = (int)(word[0] * places >> 32) - augment->crop;
        at.dx = (int)(word[1] * places >> 32) - augment->crop;
    }
    at.flip = augment->flip && (word[2] >> 31);
    return at;
}

static void row_bytes(const uint8_t *restrict from, float *restrict to, int n, float scale, float shift)
{
    for (int i = 0; i < n; i++)
        to[i] = (float)from[i] * scale + shift;
}

static void row_reverse(float *row, int n)
{
    for (int i = 0, j = n - 1; i < j; i++, j--) {
        float keep = row[i];
        row[i] = row[j];
        row[j] = keep;
    }
}

static void row_fill(float *row, int n, float value)
{
    for (int i = 0; i < n; i++)
        row[i] = value;
}

/* One channel [h][w] through the window. What lies outside the picture is blank: a byte 0 or a float 0. */
static void plane_fill(int h, int w, const uint8_t *byte, const float *real, struct ln__frame at, float scale, float shift, float *x)
{
    float blank = byte ? shift : 0.0F;
    int left = at.dx < 0 ? -at.dx : 0, right = at.dx > 0 ? at.dx : 0; /* blank columns on each side */
    if (left > w)
        left = w;
    if (right > w - left)
        right = w - left;
    int middle = w - left - right;
    for (int y = 0; y < h; y++, x += w) {
        int from = y + at.dy;
        if (from < 0 || from >= h) {
            row_fill(x, w, blank);
            continue;
        }
        size_t offset = (size_t)from * (size_t)w + (size_t)right;
        row_fill(x, left, blank);
        if (byte)
            row_bytes(byte + offset, x + left, middle, scale, shift);
        else if (middle)
            memcpy(x + left, real + offset, (size_t)middle * sizeof *x);
        row_fill(x + left + middle, right, blank);
        if (at.flip)
            row_reverse(x, w);
    }
}

void ln__frame_apply(struct ln__frame frame, int h, int w, const float *from, float *to)
{
    plane_fill(h, w, NULL, from, frame, 1, 0, to);
}

void ln__batch_fill(const struct ln__batch_args *args, int n, float *x, int32_t *y)
{
    const struct ln__set *set = args->set;
    const struct ln__samples *samples = &set->split[args->split];
    struct ln__key key = args->key;
    key.purpose = LN__FOR_AUGMENT;
    size_t plane = (size_t)set->h * (size_t)set->w, pixels = plane * (size_t)set->c;
    float scale[4] = {0}, shift[4] = {0};
    for (int k = 0; samples->byte && k < set->c && k < 4; k++) {
        scale[k] = 1.0F / (255.0F * set->std[k]);
        shift[k] = -set->mean[k] / set->std[k];
    }
    for (int i = 0; i < n; i++, x += pixels) {
        uint32_t place = args->order ? args->order[i] : (uint32_t)i;
        if (!args->index)
            place += args->first;
        size_t sample = args->index ? args->index[place] : place;
        y[i] = samples->label[sample];
        struct ln__frame at = {0};
        if (args->augment)
            at = ln__frame_draw(args->augment, &key, (uint64_t)args->epoch << 32 | place);
        bool whole = at.dy == 0 && at.dx == 0 && !at.flip;
        if (samples->real && whole) {
            memcpy(x, samples->real + sample * pixels, pixels * sizeof *x);
            continue;
        }
        for (int k = 0; k < set->c; k++) {
            size_t offset = sample * pixels + (size_t)k * plane;
            if (samples->real)
                ln__frame_apply(at, set->h, set->w, samples->real + offset, x + (size_t)k * plane);
            else if (whole)
                row_bytes(samples->byte + offset, x + (size_t)k * plane, (int)plane, scale[k], shift[k]);
            else
                plane_fill(set->h, set->w, samples->byte + offset, NULL, at, scale[k], shift[k], x + (size_t)k * plane);
        }
    }
}
