/* A client inside an application: it has the recipe and its own samples, and does one task at a time. How the bytes come and go is
 * the application's business.
 *
 *     server: pack(model) ==bytes==> client: train ==update's bytes==> server: unpack against the same model -> weights to average
 *
 * Both sides open the same recipe; a server needs no samples. A task is a pure function of the recipe, (client, turn), the model, the samples and what the
 * client's last task left behind (kept inside), so sending one twice does no harm. A client is used by one thread at a time. */
#ifndef LINNET_CLIENT_H
#define LINNET_CLIENT_H

#include <linnet/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ln_client_args {
    const struct ln_catalog *catalog; /* NULL: the built-in one */
    const char
        *recipe; /* YAML; its data.set, which may be absent, and data.partition are not used. LN_EUNSUPPORTED: the method needs a server's half */
    uint32_t id; /* which client this is, from 0 */
    int channels, height, width, classes;
    uint32_t count;       /* samples; 0 for a server */
    const float *x;       /* [count][channels][height][width]; borrowed until close, as are */
    const int32_t *label; /* [count], in [0, classes) */
};

struct ln_client;
int ln_client_open(const struct ln_client_args *args, struct ln_client **out, struct ln_fault *fault) LN_MUST_CHECK;
void ln_client_close(struct ln_client *client); /* NULL is fine */

struct ln_client_task {
    uint32_t turn;   /* tasks this client was given before; the same number gives the same result again */
    uint32_t epochs; /* 0: the recipe's */
    double progress; /* rounds done: the learning-rate schedule's place */
    double mu;       /* proximal term of the strategy's device half; 0: none */
};
struct ln_client_result {
    const void *update; /* message for ln_client_unpack; lives until the client's next task or its end */
    size_t size;
    double samples, loss, accuracy; /* of the last epoch, or of the model where it was only tested */
};
/* Trains from a packed model; or tests it on the samples (no update). Hostile bytes are LN_ECORRUPT. */
int ln_client_train(struct ln_client *client, const struct ln_client_task *task, const void *model, size_t size, struct ln_client_result *out,
                    struct ln_fault *fault) LN_MUST_CHECK;
int ln_client_test(struct ln_client *client, const void *model, size_t size, struct ln_client_result *out, struct ln_fault *fault) LN_MUST_CHECK;

/* ---- the server's side ---- */
size_t ln_client_state(const struct ln_client *client);             /* floats of the model's weights */
void ln_client_first(const struct ln_client *client, float *state); /* the weights all begin with */
/* The model as bytes; they live until the next pack or the end. */
int ln_client_pack(struct ln_client *client, const float *state, const void **bytes, size_t *size, struct ln_fault *fault) LN_MUST_CHECK;
/* The weights an update of client `id`, turn `turn` stands for, given the model it started from. LN_EREFUSED, LN_ECORRUPT: not that client's, not finite, out
 * of range; state is undefined then. */
int ln_client_unpack(struct ln_client *client, uint32_t id, uint32_t turn, const void *update, size_t size, const float *base, float *state,
                     struct ln_fault *fault) LN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
