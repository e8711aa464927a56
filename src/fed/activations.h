/* The message that crosses a cut: a batch of activations with labels, and with logits where a method wants them.
 *
 *     head (32 bytes) | labels, 8 or 1 bytes each | logits, f32 [n][classes], or none | activations by codec.act
 *
 * All but the head is payload. Reading meets hostile bytes: every size and label is checked before use, and values that are not finite are
 * refused, whatever the codec lets through. */
#ifndef LINNET_FED_ACTIVATIONS_H
#define LINNET_FED_ACTIVATIONS_H

#include "fed/split.h"

#define LN__ACTIVATIONS_MAGIC 0x31414e4cu /* "LNA1" */

struct ln__activations_head {
    uint32_t magic, n;
    uint32_t epoch, step;          /* step: of the task, from 0 */
    uint32_t has_logits, reserved; /* 0 or 1; 0 */
    uint64_t bytes;                /* of the activations as coded */
};

/* A batch; on reading the arrays are the caller's, of room for split->batch samples; logits NULL: none are wanted. */
struct ln__activations {
    uint32_t n, epoch, step;
    int32_t *label;
    float *x;      /* [n][values] */
    float *logits; /* [n][classes] or NULL */
};

struct ln_codec_shape ln__activations_shape(const struct ln__halves *split, uint32_t n);
size_t ln__activations_bound(const struct ln__halves *split); /* the largest message */
/* Payload and wire bytes of a message of n samples. */
void ln__activations_foretell(const struct ln__halves *split, uint32_t n, bool logits, enum ln__outlook outlook, uint64_t *payload, uint64_t *wire);

/* LN_EREFUSED: values that are not finite. message begins empty. */
int ln__activations_write(const struct ln__halves *split, const struct ln__activations *batch, struct ln__message *message,
                          struct ln_fault *fault) LN_MUST_CHECK;
/* Checks head and sizes of the message at bytes and says how long it is; its end need not be that of the bytes. */
int ln__activations_peek(const struct ln__halves *split, const void *bytes, size_t size, struct ln__activations_head *head, size_t *whole,
                         struct ln_fault *fault) LN_MUST_CHECK;
/* Exactly one message. */
int ln__activations_read(const struct ln__halves *split, const void *bytes, size_t size, struct ln__activations *out,
                         struct ln_fault *fault) LN_MUST_CHECK;

/* The gradient of a batch of activations, by codec.act; the message is nothing else, all of it payload. */
int ln__gradient_write(const struct ln__halves *split, uint32_t n, const float *dx, struct ln__message *message,
                       struct ln_fault *fault) LN_MUST_CHECK;
int ln__gradient_read(const struct ln__halves *split, uint32_t n, const struct ln__message *message, float *dx, struct ln_fault *fault) LN_MUST_CHECK;
uint64_t ln__gradient_foretell(const struct ln__halves *split, uint32_t n, enum ln__outlook outlook);

bool ln__all_finite(const float *x, size_t count);

#endif
