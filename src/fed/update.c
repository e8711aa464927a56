#include "fed/update.h"

#include "codec/codec.h"
#include "fed/fold.h"
#include <linnet/strategy.h>

#include <string.h>

/* head | rows, as many as the model has tensors while it is written, those used at the end | payload */

struct ln_codec_shape ln__param_shape(const struct ln__param *param)
{
    size_t outer = param->dims > 1 && param->dim[0] > 0 ? (size_t)param->dim[0] : 1;
    return (struct ln_codec_shape){.outer = outer, .channels = param->count / outer, .inner = 1};
}

size_t ln__update_bound(const struct ln__env *env, const struct ln_choice *codec)
{
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param);
    size_t bytes = sizeof(struct ln__update_head) + count * sizeof(struct ln__update_row);
    for (size_t i = 0; i < count; i++) {
        struct ln_codec_shape shape = ln__param_shape(&param[i]);
        bytes += ((const struct ln_codec *)codec->plugin)->bound(codec->options, &shape);
    }
    return bytes;
}

int ln__update_begin(const struct ln__env *env, uint32_t client, uint32_t turn, struct ln__buf *out)
{
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param);
    unsigned char *at;
    ln__buf_clear(out);
    int error = ln__buf_room(out, sizeof(struct ln__update_head) + count * sizeof(struct ln__update_row), &at);
    if (error)
        return error;
    memcpy(at, &(struct ln__update_head){.magic = LN__UPDATE_MAGIC, .client = client, .turn = turn}, sizeof(struct ln__update_head));
    return LN_OK;
}

int ln__tensor_encode(const struct ln_choice *choice, const struct ln_codec_shape *shape, const float *x, struct ln__buf *out, struct ln_fault *fault)
{
    const struct ln_codec *codec = (const struct ln_codec *)choice->plugin;
    size_t bound = codec->bound(choice->options, shape), size = 0, before = out->size;
    unsigned char *at;
    int error = ln__buf_room(out, bound, &at);
    if (error)
        return ln_fault_set(fault, error, "codec %s: no room for a tensor of %zu bytes", codec->plugin.name, bound);
    error = codec->encode(choice->options, shape, x, at, &size, fault);
    out->size = before + (error ? 0 : size);
    return error;
}

int ln__tensor_send(const struct ln_choice *choice, const struct ln_codec_shape *shape, const float *x, struct ln__buf *out, struct ln_fault *fault)
{
    int error = ln__tensor_encode(choice, shape, x, out, fault);
    if (error != LN_EINVALID)
        return error;
    if (fault && fault->code == error)
        fault->code = LN_EREFUSED;
    return LN_EREFUSED;
}

int ln__down_tensor(const struct ln__env *env, const struct ln__param *param, const float *x, float *y, struct ln__buf *buf, uint64_t *bytes,
                    struct ln_fault *fault)
{
    const struct ln_choice *choice = &env->recipe->codec.down;
    const struct ln_codec *codec = (const struct ln_codec *)choice->plugin;
    const struct ln_codec_shape shape = ln__param_shape(param);
    *bytes = param->count * sizeof *x;
    if (ln__codec_exact(choice)) {
        if (y != x)
            memcpy(y, x, param->count * sizeof *x);
        return LN_OK;
    }
    ln__buf_clear(buf);
    int error = ln__tensor_encode(choice, &shape, x, buf, fault);
    *bytes = buf->size;
    return error ? error : codec->decode(choice->options, &shape, buf->data, buf->size, y, fault);
}

bool ln__codec_exact(const struct ln_choice *codec)
{
    const struct ln__then *then = codec->options;
    return strcmp(codec->plugin->name, "f32") == 0 && (!then || then->kind == LN__THEN_NONE);
}

int ln__update_add(const struct ln__env *env, const struct ln_choice *codec, size_t index, const struct ln__param *param, enum ln__meaning meaning,
                   const float *values, struct ln__buf *out, uint64_t *payload, struct ln_fault *fault)
{
    struct ln__update_head head;
    memcpy(&head, out->data, sizeof head);
    if (index >= env->params || head.rows >= env->params)
        return ln_fault_set(fault, LN_EINVALID, "an update of more tensors than the model's %zu", env->params);
    struct ln_codec_shape shape = ln__param_shape(param);
    size_t before = out->size;
    int error = codec ? ln__tensor_send(codec, &shape, values, out, fault) : ln__buf_add(out, values, param->count * sizeof *values);
    if (error)
        return ln_fault_set(fault, error, "%s: no room in the update", param->name);
    const struct ln__update_row row = {.param = (uint32_t)index, .meaning = (uint32_t)meaning | (codec ? 0 : LN__PLAIN), .bytes = out->size - before};
    memcpy(out->data + sizeof head + head.rows * sizeof row, &row, sizeof row);
    head.rows++;
    memcpy(out->data, &head, sizeof head);
    *payload += row.bytes;
    return LN_OK;
}

int ln__update_end(const struct ln__env *env, struct ln__buf *out)
{
    const struct ln__param *param;
    size_t count = ln__env_params(env, &param), room = sizeof(struct ln__update_head) + count * sizeof(struct ln__update_row);
    struct ln__update_head head;
    memcpy(&head, out->data, sizeof head);
    size_t used = sizeof head + head.rows * sizeof(struct ln__update_row);
    if (used < room) {
        memmove(out->data + used, out->data + room, out->size - room);
        out->size -= room - used;
    }
    return LN_OK;
}

/* A message being read. */
struct reading {
    const struct ln__env *env;
    struct ln__update_head head;
    struct ln__submodel *part;     /* what the client had; NULL: all */
    const struct ln__param *param; /* of the part, or of the run */
    float *values, *from, *got;    /* of one tensor: a part's values, what of the model it begins at, and that as it went down; as needed */
    struct ln__buf through;
};

static size_t largest(const struct ln__env *env)
{
    size_t most = 1;
    for (size_t i = 0; i < env->params; i++)
        most = env->param[i].count > most ? env->param[i].count : most;
    return most;
}

static void reading_fini(struct reading *reading)
{
    ln__submodel_free(reading->part);
    ln__mem_free(reading->values);
    ln__buf_fini(&reading->through);
}

static int reading_init(const struct ln__env *env, const struct ln__update_head *head, struct reading *out, struct ln_fault *fault)
{
    *out = (struct reading){.env = env, .head = *head, .param = env->param};
    ln__buf_init(&out->through, ln__update_bound(env, &env->recipe->codec.down));
    if (!ln__env_submodels(env) && ln__codec_exact(&env->recipe->codec.down))
        return LN_OK;
    size_t most = largest(env);
    out->values = ln__mem_alloc(3 * most * sizeof *out->values);
    if (!out->values)
        return ln_fault_set(fault, LN_ENOMEM, "no memory to read an update");
    out->from = out->values + most;
    out->got = out->from + most;
    if (!ln__env_submodels(env))
        return LN_OK;
    int error = ln__env_submodel(env, head->client, head->turn, &out->part, fault);
    if (!error)
        ln__graph_params(ln__submodel_graph(out->part), &out->param);
    return error;
}

/* Weights or differences, decoded and taken back; sent: of each entry, or NULL. */
static int decode_tensor(const struct reading *reading, const struct ln__update_row *row, const unsigned char *bytes, float *to, unsigned char *sent,
                         struct ln_fault *fault)
{
    const struct ln__recipe *recipe = reading->env->recipe;
    const struct ln__update *update = (const struct ln__update *)recipe->update.plugin;
    const struct ln_choice *codec = &recipe->codec.up;
    const struct ln__param *param = &reading->param[row->param];
    struct ln_codec_shape shape = ln__param_shape(param);
    int error = ((const struct ln_codec *)codec->plugin)->decode(codec->options, &shape, bytes, row->bytes, to, fault);
    for (size_t i = 0; i < param->count && sent && !error; i++)
        sent[i] = to[i] != 0;
    if (error || !update->restore)
        return error;
    const struct ln__key key = {.seed = (uint64_t)recipe->seed, .round = reading->head.turn, .client = reading->head.client};
    error = update->restore(recipe->update.options, param, key, to, sent);
    return error ? ln_fault_set(fault, error, "%s: an update of %s cannot be taken back", param->name, update->plugin.name) : LN_OK;
}

/* From what was sent to the weights it stands for; from: the model's there. */
static int place(struct reading *reading, const struct ln__update_row *row, const float *from, float *values, struct ln_fault *fault)
{
    const struct ln__env *env = reading->env;
    const struct ln__param *param = &reading->param[row->param];
    bool changes = ((const struct ln_strategy *)env->recipe->strategy.plugin)->changes, exact = ln__codec_exact(&env->recipe->codec.down);
    bool difference = row->meaning == LN__DIFFERENCE;
    const float *got = from;
    uint64_t crossed;
    if (!exact && difference != changes) { /* differences lead from what was got, weights moved as far from it as they are */
        int error = ln__down_tensor(env, param, from, reading->got, &reading->through, &crossed, fault);
        if (error)
            return error;
        got = reading->got;
    }
    bool thinned = changes && env->sparsity[row->param] > 0 && ((const struct ln__update *)env->recipe->update.plugin)->contributors;
    for (size_t i = 0; i < param->count && difference; i++)
        values[i] += got[i];
    for (size_t i = 0; i < param->count && !difference && (got != from || thinned); i++)
        values[i] = thinned && values[i] == 0 ? from[i] : values[i] + (from[i] - got[i]); /* a weight that was not sent has not changed */
    return LN_OK;
}

/* The part of a tensor that the client had. */
static int read_part(struct reading *reading, const struct ln__update_row *row, const unsigned char *bytes, const float *base, float *to,
                     unsigned char *sent, struct ln_fault *fault)
{
    size_t count = reading->env->param[row->param].count;
    int error = decode_tensor(reading, row, bytes, reading->values, NULL, fault);
    ln__submodel_take(reading->part, row->param, base, reading->from);
    if (!error)
        error = place(reading, row, reading->from, reading->values, fault);
    if (error)
        return error;
    memcpy(to, base, count * sizeof *to);
    ln__submodel_give(reading->part, row->param, reading->values, to);
    if (sent)
        ln__submodel_mark(reading->part, row->param, sent);
    return LN_OK;
}

/* A tensor's weights from its row. */
static int read_tensor(struct reading *reading, const struct ln__update_row *row, const unsigned char *bytes, const float *base, float *state,
                       unsigned char *sent, struct ln_fault *fault)
{
    const struct ln__param *param = &reading->env->param[row->param];
    float *to = state + param->offset;
    const float *from = base + param->offset;
    if (sent)
        sent += param->offset;
    if (!(row->meaning & LN__PLAIN)) {
        if (reading->part)
            return read_part(reading, row, bytes, from, to, sent, fault);
        int error = decode_tensor(reading, row, bytes, to, sent, fault);
        return error ? error : place(reading, row, from, to, fault);
    }
    if (row->bytes != param->count * sizeof *to)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: %llu bytes of plain floats for %zu values", param->name, (unsigned long long)row->bytes,
                            param->count);
    memcpy(to, bytes, row->bytes);
    if (sent)
        memset(sent, 1, param->count);
    for (size_t i = 0; i < param->count && row->meaning == (LN__PLAIN | LN__DIFFERENCE); i++)
        to[i] += from[i];
    return LN_OK;
}

static struct ln__update_row row_at(const unsigned char *bytes, size_t r)
{
    struct ln__update_row row;
    memcpy(&row, bytes + sizeof(struct ln__update_head) + r * sizeof row, sizeof row);
    return row;
}

/* Whether one of the first `rows` rows is of that tensor. */
static bool has_row(const unsigned char *bytes, size_t rows, uint32_t param)
{
    for (size_t r = 0; r < rows; r++) {
        if (row_at(bytes, r).param == param)
            return true;
    }
    return false;
}

int ln__update_read(const struct ln__env *env, const void *message, size_t size, const float *base, float *state, struct ln_fault *fault)
{
    return ln__update_read_sent(env, message, size, base, state, NULL, fault);
}

static int read_rows(struct reading *reading, const unsigned char *bytes, size_t size, const float *base, float *state, unsigned char *sent,
                     struct ln_fault *fault)
{
    const struct ln__env *env = reading->env;
    const struct ln__update_head *head = &reading->head;
    size_t at = sizeof *head + head->rows * sizeof(struct ln__update_row), ascending = 0;
    bool sorted = true; /* they mostly are; a device's part and a server's may follow each other */
    for (uint32_t r = 0; r < head->rows; r++) {
        struct ln__update_row row = row_at(bytes, r);
        sorted &= row.param >= ascending;
        ascending = (size_t)row.param + 1;
        if (row.param >= env->params || (row.meaning & ~LN__PLAIN) > LN__DIFFERENCE || row.bytes > size - at ||
            (!sorted && has_row(bytes, r, row.param)))
            return ln_fault_set(fault, LN_ECORRUPT, "an update's row %u is damaged: tensor %u, %llu bytes", r, row.param,
                                (unsigned long long)row.bytes);
        int error = read_tensor(reading, &row, bytes + at, base, state, sent, fault);
        if (error)
            return error;
        at += row.bytes;
    }
    for (size_t i = 0; i < env->params && head->rows < env->params; i++) {
        const struct ln__param *param = &env->param[i];
        if (!has_row(bytes, head->rows, (uint32_t)i))
            memcpy(state + param->offset, base + param->offset, param->count * sizeof *state);
    }
    return at == size ? LN_OK : ln_fault_set(fault, LN_ECORRUPT, "an update has %zu bytes too many", size - at);
}

int ln__update_read_sent(const struct ln__env *env, const void *message, size_t size, const float *base, float *state, unsigned char *sent,
                         struct ln_fault *fault)
{
    struct ln__update_head head = {0};
    if (size >= sizeof head)
        memcpy(&head, message, sizeof head);
    if (head.magic != LN__UPDATE_MAGIC || head.rows > env->params || size < sizeof head + head.rows * sizeof(struct ln__update_row))
        return ln_fault_set(fault, LN_ECORRUPT, "an update of %zu bytes is none: its head is damaged", size);
    if (sent)
        memset(sent, 0, env->state);
    struct reading reading;
    int error = reading_init(env, &head, &reading, fault);
    if (!error)
        error = read_rows(&reading, message, size, base, state, sent, fault);
    reading_fini(&reading);
    return error;
}

int ln__update_check(const struct ln__env *env, uint32_t client, uint32_t turn, const void *message, size_t size, const float *base, float *state,
                     struct ln_fault *fault)
{
    struct ln__update_head head = {0};
    if (size >= sizeof head)
        memcpy(&head, message, sizeof head);
    if (head.client != client || head.turn != turn)
        return ln_fault_set(fault, LN_ECORRUPT, "an update of client %u, task %u, says it is of client %u, task %u", client, turn, head.client,
                            head.turn);
    int error = ln__update_read(env, message, size, base, state, fault);
    return error ? error : ln__fold_check(env, base, state, NULL, fault);
}
