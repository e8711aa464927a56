#include "fed/replay.h"

#include <string.h>

#define WINDOW ((size_t)32 << 20) /* bytes of decoded samples */
#define WINDOW_LEAST 4            /* messages */

struct row {
    const unsigned char *bytes;
    size_t size;
    uint64_t first; /* sample, of all that were added */
    uint32_t pass, passes;
};

struct ln__replay {
    const struct ln__halves *split;
    struct row *row;
    size_t rows, room;
    uint64_t samples;
    struct ln_blob **pinned;
    size_t pins, pin_room;
    /* the pass under way */
    struct ln__rng rng;
    bool shuffle;
    const struct ln__augment *augment;
    struct ln__key draw; /* of the augmentation */
    uint32_t epoch;
    float *plain;    /* [values]: one sample as it came */
    uint32_t *order; /* rows of it */
    size_t order_room, count, at;
    /* the window */
    size_t window; /* messages */
    float *x, *spare;
    int32_t *label, *spare_label;
    uint32_t *place; /* where in the window the samples that come lie */
    size_t filled, taken;
};

int ln__replay_new(const struct ln__halves *split, struct ln__replay **out, struct ln_fault *fault)
{
    struct ln__replay *replay = ln__mem_zero(1, sizeof *replay);
    *out = replay;
    if (!replay)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a replay");
    replay->split = split;
    size_t message = split->batch * split->values * sizeof(float);
    replay->window = WINDOW / message > WINDOW_LEAST ? WINDOW / message : WINDOW_LEAST;
    return LN_OK;
}

void ln__replay_free(struct ln__replay *replay)
{
    if (!replay)
        return;
    for (size_t i = 0; i < replay->pins; i++)
        ln__blob_unpin(replay->pinned[i]);
    ln__mem_free(replay->row);
    ln__mem_free(replay->pinned);
    ln__mem_free(replay->order);
    ln__mem_free(replay->plain);
    ln__mem_free(replay->x);
    ln__mem_free(replay->spare);
    ln__mem_free(replay->label);
    ln__mem_free(replay->spare_label);
    ln__mem_free(replay->place);
    ln__mem_free(replay);
}

static int no_memory(const struct ln__replay *replay, struct ln_fault *fault)
{
    return ln_fault_set(fault, LN_ENOMEM, "no memory for a replay of %zu messages", replay->rows);
}

static int add_row(struct ln__replay *replay, const struct row *row, struct ln_fault *fault)
{
    struct row *grown = ln__mem_more(replay->row, replay->rows, &replay->room, sizeof *grown);
    if (!grown)
        return no_memory(replay, fault);
    replay->row = grown;
    replay->row[replay->rows++] = *row;
    return LN_OK;
}

int ln__replay_add(struct ln__replay *replay, const void *keep, size_t size, struct ln_fault *fault)
{
    const unsigned char *bytes = keep;
    struct ln__keep_head head = {0};
    if (size >= sizeof head)
        memcpy(&head, bytes, sizeof head);
    if (head.magic != LN__KEEP_MAGIC || head.passes < 1)
        return ln_fault_set(fault, LN_ECORRUPT, "a client's buffer of %zu bytes is none: its head is damaged", size);
    size_t at = sizeof head;
    uint64_t samples = 0;
    for (uint32_t i = 0; i < head.messages; i++) {
        struct ln__activations_head message;
        size_t whole;
        int error = ln__activations_peek(replay->split, bytes + at, size - at, &message, &whole, fault);
        if (!error && message.epoch >= head.passes)
            error = ln_fault_set(fault, LN_ECORRUPT, "a client's buffer of %u passes holds a message of pass %u", head.passes, message.epoch);
        const struct row row = {.bytes = bytes + at, .size = whole, .first = replay->samples + samples, .pass = message.epoch, .passes = head.passes};
        if (!error)
            error = add_row(replay, &row, fault);
        if (error)
            return error;
        samples += message.n;
        at += whole;
    }
    if (at != size || samples != head.samples)
        return ln_fault_set(fault, LN_ECORRUPT, "a client's buffer has %zu bytes and %llu samples; its head speaks of %llu samples", size,
                            (unsigned long long)samples, (unsigned long long)head.samples);
    replay->samples += samples;
    return LN_OK;
}

int ln__replay_add_blob(struct ln__replay *replay, struct ln_blob *keep, struct ln_fault *fault)
{
    const void *bytes;
    struct ln_blob **grown = ln__mem_more(replay->pinned, replay->pins, &replay->pin_room, sizeof *grown);
    if (!grown)
        return no_memory(replay, fault);
    replay->pinned = grown;
    int error = ln__blob_pin(keep, &bytes, fault);
    if (error)
        return error;
    replay->pinned[replay->pins++] = keep;
    return ln__replay_add(replay, bytes, ln__blob_size(keep), fault);
}

static int make_window(struct ln__replay *replay, struct ln_fault *fault)
{
    if (replay->x)
        return LN_OK;
    size_t batch = replay->split->batch, values = replay->split->values;
    size_t messages = replay->window < replay->rows ? replay->window : replay->rows, samples = (messages + 1) * batch;
    replay->window = messages;
    replay->x = ln__mem_alloc(samples * values * sizeof *replay->x);
    replay->label = ln__mem_alloc(samples * sizeof *replay->label);
    replay->place = ln__mem_alloc(samples * sizeof *replay->place);
    replay->spare = ln__mem_alloc(batch * values * sizeof *replay->spare);
    replay->spare_label = ln__mem_alloc(batch * sizeof *replay->spare_label);
    if (!replay->x || !replay->label || !replay->place || !replay->spare || !replay->spare_label)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a window of %zu samples", samples);
    return LN_OK;
}

int ln__replay_begin(struct ln__replay *replay, const struct ln__replay_pass *pass, struct ln_fault *fault)
{
    if (replay->order_room < replay->rows) {
        ln__mem_free(replay->order);
        replay->order = ln__mem_alloc(replay->rows * sizeof *replay->order);
        replay->order_room = replay->order ? replay->rows : 0;
        if (!replay->order)
            return no_memory(replay, fault);
    }
    replay->count = replay->at = replay->filled = replay->taken = 0;
    for (size_t i = 0; i < replay->rows; i++) {
        if (replay->row[i].pass == pass->pass % replay->row[i].passes)
            replay->order[replay->count++] = (uint32_t)i;
    }
    replay->shuffle = pass->shuffle;
    replay->augment = pass->augment;
    replay->draw = pass->key;
    replay->draw.purpose = LN__FOR_REPLAY;
    replay->epoch = pass->epoch;
    if (replay->augment && !replay->plain) {
        replay->plain = ln__mem_alloc(replay->split->values * sizeof *replay->plain);
        if (!replay->plain)
            return ln_fault_set(fault, LN_ENOMEM, "no memory for a sample at the cut");
    }
    if (!pass->shuffle || replay->count == 0)
        return LN_OK;
    struct ln__key key = pass->key;
    key.purpose = LN__FOR_METHOD;
    replay->rng = ln__rng_at(key);
    replay->rng.index = (uint64_t)pass->epoch << 40;
    ln__rng_shuffle(&replay->rng, replay->order, replay->count);
    return make_window(replay, fault);
}

static void augment(struct ln__replay *replay, uint64_t index, float *x)
{
    const struct ln__shape *shape = &replay->split->shape;
    size_t plane = (size_t)shape->h * (size_t)shape->w;
    struct ln__frame frame = ln__frame_draw(replay->augment, &replay->draw, index);
    memcpy(replay->plain, x, replay->split->values * sizeof *x);
    for (size_t c = 0; c < (size_t)shape->c; c++)
        ln__frame_apply(frame, shape->h, shape->w, replay->plain + c * plane, x + c * plane);
}

static int decode(struct ln__replay *replay, float *x, int32_t *label, uint32_t *n, struct ln_fault *fault)
{
    const struct row *row = &replay->row[replay->order[replay->at++]];
    struct ln__activations batch = {.x = x, .label = label};
    int error = ln__activations_read(replay->split, row->bytes, row->size, &batch, fault);
    *n = batch.n;
    for (uint32_t i = 0; i < batch.n && replay->augment && !error; i++)
        augment(replay, (uint64_t)replay->epoch << 32 | (row->first + i), x + i * replay->split->values);
    return error;
}

/* Takes n samples off the window's order. */
static void take(struct ln__replay *replay, size_t n, float *x, int32_t *label)
{
    size_t values = replay->split->values;
    for (size_t i = 0; i < n; i++) {
        size_t from = replay->place[replay->taken + i];
        memcpy(x + i * values, replay->x + from * values, values * sizeof *x);
        label[i] = replay->label[from];
    }
    replay->taken += n;
}

/* What is left over, less than a batch, and then as many messages as the window holds, shuffled. */
static int refill(struct ln__replay *replay, struct ln_fault *fault)
{
    size_t values = replay->split->values, left = replay->filled - replay->taken;
    take(replay, left, replay->spare, replay->spare_label);
    memcpy(replay->x, replay->spare, left * values * sizeof *replay->x);
    memcpy(replay->label, replay->spare_label, left * sizeof *replay->label);
    replay->filled = left;
    replay->taken = 0;
    for (size_t i = 0; i < replay->window && replay->at < replay->count; i++) {
        uint32_t n;
        int error = decode(replay, replay->x + replay->filled * values, replay->label + replay->filled, &n, fault);
        if (error)
            return error;
        replay->filled += n;
    }
    for (size_t i = 0; i < replay->filled; i++)
        replay->place[i] = (uint32_t)i;
    ln__rng_shuffle(&replay->rng, replay->place, replay->filled);
    return LN_OK;
}

int ln__replay_next(struct ln__replay *replay, float *x, int32_t *label, struct ln_fault *fault)
{
    uint32_t n = 0;
    if (!replay->shuffle) {
        int error = replay->at < replay->count ? decode(replay, x, label, &n, fault) : LN_OK;
        return error ? error : (int)n;
    }
    while (replay->filled - replay->taken < replay->split->batch && replay->at < replay->count) {
        int error = refill(replay, fault);
        if (error)
            return error;
    }
    size_t left = replay->filled - replay->taken;
    n = left < replay->split->batch ? (uint32_t)left : replay->split->batch;
    take(replay, n, x, label);
    return (int)n;
}
