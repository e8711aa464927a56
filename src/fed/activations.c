#include "fed/activations.h"

#include "codec/codec.h"
#include <string.h>

bool ln__all_finite(const float *x, size_t count)
{
    uint32_t worst = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffu;
        worst = bits > worst ? bits : worst;
    }
    return worst < 0x7f800000u;
}

struct ln_codec_shape ln__activations_shape(const struct ln__halves *split, uint32_t n)
{
    return (struct ln_codec_shape){
        .outer = n, .channels = (size_t)split->shape.c, .inner = (size_t)split->shape.h * (size_t)split->shape.w, .nonnegative = split->nonnegative};
}

static struct ln_codec_shape gradient_shape(const struct ln__halves *split, uint32_t n)
{
    struct ln_codec_shape shape = ln__activations_shape(split, n);
    shape.nonnegative = false;
    return shape;
}

static size_t labels_size(const struct ln__halves *split, uint32_t n)
{
    return (size_t)n * split->label_bytes;
}

static size_t logits_size(const struct ln__halves *split, uint32_t n)
{
    return (size_t)n * (size_t)split->classes * sizeof(float);
}

size_t ln__activations_bound(const struct ln__halves *split)
{
    struct ln_codec_shape shape = ln__activations_shape(split, split->batch);
    return sizeof(struct ln__activations_head) + labels_size(split, split->batch) + logits_size(split, split->batch) +
           ln__codec_of(split->act)->bound(split->act->options, &shape);
}

void ln__activations_foretell(const struct ln__halves *split, uint32_t n, bool logits, enum ln__outlook outlook, uint64_t *payload, uint64_t *wire)
{
    struct ln_codec_shape shape = ln__activations_shape(split, n);
    *payload = labels_size(split, n) + (logits ? logits_size(split, n) : 0) + ln__tensor_foretell(split->act, &shape, outlook);
    *wire = *payload + sizeof(struct ln__activations_head) + LN__ENVELOPE;
}

/* ---- writing ---- */

static int put_labels(const struct ln__halves *split, const struct ln__activations *batch, struct ln__buf *out)
{
    unsigned char *at;
    int error = ln__buf_room(out, labels_size(split, batch->n), &at);
    for (uint32_t i = 0; i < batch->n && !error; i++) {
        if (split->label_bytes == 1) {
            at[i] = (unsigned char)batch->label[i];
        } else {
            int64_t wide = batch->label[i];
            memcpy(at + i * sizeof wide, &wide, sizeof wide);
        }
    }
    return error;
}

int ln__activations_write(const struct ln__halves *split, const struct ln__activations *batch, struct ln__message *message, struct ln_fault *fault)
{
    struct ln__activations_head head = {
        .magic = LN__ACTIVATIONS_MAGIC, .n = batch->n, .epoch = batch->epoch, .step = batch->step, .has_logits = batch->logits != NULL};
    struct ln_codec_shape shape = ln__activations_shape(split, batch->n);
    if (!ln__all_finite(batch->x, batch->n * split->values) ||
        (batch->logits && !ln__all_finite(batch->logits, (size_t)batch->n * (size_t)split->classes)))
        return ln_fault_set(fault, LN_EREFUSED, "the activations at cut %d are not finite numbers", split->cut);
    ln__buf_clear(&message->bytes);
    int error = ln__buf_add(&message->bytes, &head, sizeof head);
    if (!error)
        error = put_labels(split, batch, &message->bytes);
    if (!error && batch->logits)
        error = ln__buf_add(&message->bytes, batch->logits, logits_size(split, batch->n));
    if (error)
        return ln_fault_set(fault, error, "no memory for a message of activations");
    size_t before = message->bytes.size;
    error = ln__tensor_send(split->act, &shape, batch->x, &message->bytes, fault);
    if (error)
        return error;
    head.bytes = message->bytes.size - before;
    memcpy(message->bytes.data, &head, sizeof head);
    message->payload = message->bytes.size - sizeof head;
    return LN_OK;
}

/* ---- reading ---- */

int ln__activations_peek(const struct ln__halves *split, const void *bytes, size_t size, struct ln__activations_head *head, size_t *whole,
                         struct ln_fault *fault)
{
    *head = (struct ln__activations_head){0};
    if (size >= sizeof *head)
        memcpy(head, bytes, sizeof *head);
    if (head->magic != LN__ACTIVATIONS_MAGIC || head->reserved != 0 || head->has_logits > 1)
        return ln_fault_set(fault, LN_ECORRUPT, "%zu bytes that are no message of activations", size);
    if (head->n < 1 || head->n > split->batch)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of %u samples; expected 1 to %u", head->n, split->batch);
    size_t rest = sizeof *head + labels_size(split, head->n) + (head->has_logits ? logits_size(split, head->n) : 0);
    if (size < rest || head->bytes > size - rest)
        return ln_fault_set(fault, LN_ECORRUPT, "a message of %u samples has %zu bytes; its head speaks of %llu more", head->n, size,
                            (unsigned long long)head->bytes);
    *whole = rest + (size_t)head->bytes;
    return LN_OK;
}

static int get_labels(const struct ln__halves *split, const unsigned char *at, uint32_t n, int32_t *label, struct ln_fault *fault)
{
    for (uint32_t i = 0; i < n; i++) {
        int64_t value = at[i];
        if (split->label_bytes != 1)
            memcpy(&value, at + i * sizeof value, sizeof value);
        if (value < 0 || value >= split->classes)
            return ln_fault_set(fault, LN_ECORRUPT, "label %lld; expected 0 to %d", (long long)value, split->classes - 1);
        label[i] = (int32_t)value;
    }
    return LN_OK;
}

int ln__activations_read(const struct ln__halves *split, const void *bytes, size_t size, struct ln__activations *out, struct ln_fault *fault)
{
    struct ln__activations_head head;
    const unsigned char *at = bytes;
    size_t whole;
    int error = ln__activations_peek(split, bytes, size, &head, &whole, fault);
    if (error)
        return error;
    if (whole != size || (head.has_logits != 0) != (out->logits != NULL))
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations of %zu bytes, %s logits; expected %zu, %s", size,
                            head.has_logits ? "with" : "without", whole, out->logits ? "with" : "without");
    out->n = head.n;
    out->epoch = head.epoch;
    out->step = head.step;
    at += sizeof head;
    error = get_labels(split, at, head.n, out->label, fault);
    if (error)
        return error;
    at += labels_size(split, head.n);
    if (out->logits) {
        memcpy(out->logits, at, logits_size(split, head.n));
        at += logits_size(split, head.n);
    }
    struct ln_codec_shape shape = ln__activations_shape(split, head.n);
    error = ln__codec_of(split->act)->decode(split->act->options, &shape, at, (size_t)head.bytes, out->x, fault);
    if (error)
        return error;
    if (!ln__all_finite(out->x, head.n * split->values) || (out->logits && !ln__all_finite(out->logits, (size_t)head.n * (size_t)split->classes)))
        return ln_fault_set(fault, LN_ECORRUPT, "a message of activations holds values that are not finite numbers");
    return LN_OK;
}

/* ---- the way down ---- */

int ln__gradient_write(const struct ln__halves *split, uint32_t n, const float *dx, struct ln__message *message, struct ln_fault *fault)
{
    struct ln_codec_shape shape = gradient_shape(split, n);
    if (!ln__all_finite(dx, n * split->values))
        return ln_fault_set(fault, LN_EREFUSED, "the gradient at cut %d is not of finite numbers", split->cut);
    ln__buf_clear(&message->bytes);
    int error = ln__tensor_send(split->act, &shape, dx, &message->bytes, fault);
    message->payload = message->bytes.size;
    return error;
}

int ln__gradient_read(const struct ln__halves *split, uint32_t n, const struct ln__message *message, float *dx, struct ln_fault *fault)
{
    struct ln_codec_shape shape = gradient_shape(split, n);
    int error = ln__codec_of(split->act)->decode(split->act->options, &shape, message->bytes.data, message->bytes.size, dx, fault);
    if (!error && !ln__all_finite(dx, n * split->values))
        error = ln_fault_set(fault, LN_ECORRUPT, "a gradient holds values that are not finite numbers");
    return error;
}

uint64_t ln__gradient_foretell(const struct ln__halves *split, uint32_t n, enum ln__outlook outlook)
{
    struct ln_codec_shape shape = gradient_shape(split, n);
    return ln__tensor_foretell(split->act, &shape, outlook);
}
