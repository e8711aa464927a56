#include "tensor/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define DATA_ALIGN 64 /* of the bytes behind the header, in the file */
#define META "__metadata__"

/* ---- shapes ---- */

/* Bytes of the shape; false when they overflow or an extent is negative. */
static bool shape_bytes(const struct ln__safe_tensor *tensor, uint64_t *out)
{
    uint64_t bytes = ln__dtype_size(tensor->dtype);
    bool empty = false;
    for (unsigned i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 0)
            return false;
        if (tensor->shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(bytes, (uint64_t)tensor->shape[i], &bytes))
            return false;
    }
    *out = empty ? 0 : bytes;
    return true;
}

/* "[3, 4]" */
static void shape_text(const struct ln__safe_tensor *tensor, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "[");
    for (unsigned i = 0; i < tensor->rank && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%" PRId64, i ? ", " : "", tensor->shape[i]);
    if (used < room)
        snprintf(out + used, room - used, "]");
}

static bool good_name(const char *name)
{
    return *name && strlen(name) <= LN__SAFE_NAME_MAX && strcmp(name, META) != 0 && ln__text_printable(name);
}

/* ---- writing ---- */

static int append_json(const char *data, size_t size, void *buf)
{
    return ln__buf_add(buf, data, size) ? -1 : 0;
}

static int check_tensor(const struct ln__safe_tensor *tensor, const char *path, struct ln_fault *fault)
{
    uint64_t bytes;
    char shape[128];
    if (!tensor->name || !good_name(tensor->name))
        return ln_fault_set(fault, LN_EINVALID, "%s: tensor name \"%s\"; expected 1 to %d bytes of printable UTF-8", path,
                            tensor->name ? ln__shown(tensor->name).text : "", LN__SAFE_NAME_MAX);
    if ((unsigned)tensor->dtype >= LN__DTYPE_COUNT || tensor->rank > LN__SAFE_RANK_MAX)
        return ln_fault_set(fault, LN_EINVALID, "%s: tensor \"%s\": unknown type or more than %d dimensions", path, tensor->name, LN__SAFE_RANK_MAX);
    shape_text(tensor, shape, sizeof shape);
    if (!shape_bytes(tensor, &bytes) || bytes != tensor->size)
        return ln_fault_set(fault, LN_EINVALID, "%s: tensor \"%s\": %zu bytes do not match shape %s of %s", path, tensor->name, tensor->size, shape,
                            ln__dtype_name(tensor->dtype));
    return LN_OK;
}

/* Adds one tensor's entry; *offset moves behind its bytes. */
static int add_entry(json_t *header, const struct ln__safe_tensor *tensor, uint64_t *offset)
{
    json_t *shape = json_array();
    for (unsigned i = 0; i < tensor->rank; i++) {
        if (json_array_append_new(shape, json_integer(tensor->shape[i])))
            break;
    }
    uint64_t end = *offset + tensor->size;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", ln__dtype_name(tensor->dtype), "shape", shape, "data_offsets", (json_int_t)*offset,
                              (json_int_t)end);
    *offset = end;
    return entry && json_array_size(shape) == tensor->rank && json_object_set_new(header, tensor->name, entry) == 0 ? LN_OK : LN_ENOMEM;
}

/* The first 8 bytes and the header into head, and the pieces of the whole file, of which there is room for count + 1. */
static int compose(const char *path, const struct ln__safe_tensor *tensor, size_t count, const struct ln__safe_note *note, size_t notes,
                   json_t *header, struct ln__buf *head, struct ln__piece *piece, struct ln_fault *fault)
{
    if (notes > 0) {
        json_t *meta = json_object();
        for (size_t i = 0; i < notes; i++) {
            if (json_object_set_new(meta, note[i].key, json_string(note[i].text))) {
                json_decref(meta);
                return ln_fault_set(fault, LN_EINVALID, "%s: note %zu: expected a key and a text in UTF-8", path, i);
            }
        }
        if (json_object_set_new(header, META, meta))
            return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its header", path);
    }
    uint64_t offset = 0;
    size_t pieces = 1;
    for (size_t size = 8; size > 0; size /= 2) {
        for (size_t i = 0; i < count; i++) {
            if (size == 8) {
                int code = check_tensor(&tensor[i], path, fault);
                if (code)
                    return code;
            }
            if (ln__dtype_size(tensor[i].dtype) != size)
                continue;
            if (json_object_get(header, tensor[i].name))
                return ln_fault_set(fault, LN_EINVALID, "%s: tensor \"%s\" is given twice", path, tensor[i].name);
            if (add_entry(header, &tensor[i], &offset))
                return ln_fault_set(fault, LN_EINVALID, "%s: tensor \"%s\": no memory", path, ln__shown(tensor[i].name).text);
            piece[pieces++] = (struct ln__piece){tensor[i].data, tensor[i].size};
        }
    }
    static const unsigned char zero[8];
    if (ln__buf_add(head, zero, sizeof zero) || json_dump_callback(header, append_json, head, JSON_COMPACT))
        return ln_fault_set(fault, LN_EBUDGET, "%s: no memory for its header, or it is longer than %u bytes", path, LN__SAFE_HEADER_MAX);
    while (head->size % DATA_ALIGN) {
        if (ln__buf_add(head, " ", 1))
            return ln_fault_set(fault, LN_EBUDGET, "%s: its header is longer than %u bytes", path, LN__SAFE_HEADER_MAX);
    }
    uint64_t size = head->size - 8;
    for (int i = 0; i < 8; i++)
        head->data[i] = (unsigned char)(size >> (8 * i));
    piece[0] = (struct ln__piece){head->data, head->size};
    return LN_OK;
}

/* To path, or to out where path is only a name. */
static int write_to(struct ln__buf *out, const char *path, const struct ln__safe_tensor *tensor, size_t count, const struct ln__safe_note *note,
                    size_t notes, struct ln_fault *fault)
{
    struct ln__buf head;
    ln__buf_init(&head, LN__SAFE_HEADER_MAX + 8);
    json_t *header = json_object();
    struct ln__piece *piece = ln__mem_zero(count + 1, sizeof *piece);
    int code = header && piece ? compose(path, tensor, count, note, notes, header, &head, piece, fault)
                               : ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its header", path);
    if (code == LN_OK && !out)
        code = ln__file_replace(path, piece, count + 1, fault);
    for (size_t i = 0; code == LN_OK && out && i <= count; i++) {
        code = ln__buf_add(out, piece[i].data, piece[i].size);
        if (code)
            ln_fault_set(fault, code, "%s: no room for tensor %zu of %zu bytes", path, i, piece[i].size);
    }
    json_decref(header);
    ln__mem_free(piece);
    ln__buf_fini(&head);
    return code;
}

int ln__safe_write(const char *path, const struct ln__safe_tensor *tensor, size_t count, const struct ln__safe_note *note, size_t notes,
                   struct ln_fault *fault)
{
    return write_to(NULL, path, tensor, count, note, notes, fault);
}

int ln__safe_encode(struct ln__buf *out, const struct ln__safe_tensor *tensor, size_t count, const struct ln__safe_note *note, size_t notes,
                    struct ln_fault *fault)
{
    size_t before = out->size;
    int code = write_to(out, "tensors", tensor, count, note, notes, fault);
    if (code)
        out->size = before;
    return code;
}

/* ---- reading ---- */

struct ln__safe {
    struct ln__map map; /* of ln__safe_open */
    char *name;
    json_t *header; /* owns names and texts */
    struct ln__safe_tensor *tensor;
    size_t *by_name; /* indices of tensor, sorted */
    size_t count;
    const unsigned char *data; /* behind the header */
    uint64_t data_size;
};

#define BAD(...) ln_fault_set(fault, LN_ECORRUPT, __VA_ARGS__)

static int read_shape(const struct ln__safe *safe, const json_t *shape, struct ln__safe_tensor *tensor, struct ln_fault *fault)
{
    if (!json_is_array(shape) || json_array_size(shape) > LN__SAFE_RANK_MAX)
        return BAD("%s: tensor \"%s\": no shape; expected a list of at most %d extents", safe->name, tensor->name, LN__SAFE_RANK_MAX);
    tensor->rank = (unsigned)json_array_size(shape);
    for (unsigned i = 0; i < tensor->rank; i++) {
        const json_t *extent = json_array_get(shape, i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return BAD("%s: tensor \"%s\": extent %u of its shape is no integer from 0", safe->name, tensor->name, i);
        tensor->shape[i] = json_integer_value(extent);
    }
    return LN_OK;
}

static int read_tensor(const struct ln__safe *safe, const char *name, const json_t *entry, struct ln__safe_tensor *tensor, struct ln_fault *fault)
{
    *tensor = (struct ln__safe_tensor){.name = name};
    if (!good_name(name))
        return BAD("%s: tensor name \"%s\"; expected 1 to %d bytes of printable UTF-8", safe->name, ln__shown(name).text, LN__SAFE_NAME_MAX);
    const json_t *dtype = json_object_get(entry, "dtype"), *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !json_is_string(dtype) || !offsets)
        return BAD("%s: tensor \"%s\": expected dtype, shape and data_offsets and nothing else", safe->name, name);
    if (ln__dtype_find(json_string_value(dtype), &tensor->dtype))
        return ln_fault_set(fault, LN_EUNSUPPORTED, "%s: tensor \"%s\": type %s; expected F32, F16, BF16, I64, I32, U8 or I8", safe->name, name,
                            ln__shown(json_string_value(dtype)).text);
    int code = read_shape(safe, json_object_get(entry, "shape"), tensor, fault);
    if (code)
        return code;
    const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return BAD("%s: tensor \"%s\": data_offsets; expected two integers", safe->name, name);
    int64_t begin = json_integer_value(first), end = json_integer_value(second);
    if (begin < 0 || end < begin)
        return BAD("%s: tensor \"%s\": offsets %" PRId64 "..%" PRId64 "; expected a range from 0", safe->name, name, begin, end);
    char shape[128];
    uint64_t bytes;
    shape_text(tensor, shape, sizeof shape);
    if (!shape_bytes(tensor, &bytes))
        return BAD("%s: tensor \"%s\": shape %s of %s has more bytes than can be counted", safe->name, name, shape, ln__dtype_name(tensor->dtype));
    if ((uint64_t)(end - begin) != bytes)
        return BAD("%s: tensor \"%s\": offsets %" PRId64 "..%" PRId64 " do not match shape %s of %s (%" PRIu64 " bytes)", safe->name, name, begin,
                   end, shape, ln__dtype_name(tensor->dtype), bytes);
    if ((uint64_t)end > safe->data_size)
        return BAD("%s: truncated: tensor \"%s\" ends at byte %" PRId64 " of the data, which has %" PRIu64, safe->name, name, end, safe->data_size);
    tensor->data = safe->data + begin;
    tensor->size = (size_t)bytes;
    return LN_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct ln__safe_tensor *x = a, *y = b;
    uintptr_t x_at = (uintptr_t)x->data, y_at = (uintptr_t)y->data;
    if (x_at != y_at)
        return x_at < y_at ? -1 : 1;
    if (x->size != y->size) /* an empty one before what begins where it stands */
        return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int check_cover(const struct ln__safe *safe, struct ln_fault *fault)
{
    uint64_t end = 0;
    for (size_t i = 0; i < safe->count; i++) {
        const struct ln__safe_tensor *tensor = &safe->tensor[i];
        uint64_t begin = (uint64_t)((const unsigned char *)tensor->data - safe->data);
        if (begin < end)
            return BAD("%s: tensor \"%s\" begins at %" PRIu64 ", inside tensor \"%s\"", safe->name, tensor->name, begin, safe->tensor[i - 1].name);
        if (begin > end)
            return BAD("%s: bytes %" PRIu64 "..%" PRIu64 " of the data belong to no tensor", safe->name, end, begin);
        end = begin + tensor->size;
    }
    if (end != safe->data_size)
        return BAD("%s: bytes %" PRIu64 "..%" PRIu64 " of the data belong to no tensor", safe->name, end, safe->data_size);
    return LN_OK;
}

static int by_name(const void *a, const void *b, void *tensor)
{
    const struct ln__safe_tensor *all = tensor;
    return strcmp(all[*(const size_t *)a].name, all[*(const size_t *)b].name);
}

static int check_notes(const struct ln__safe *safe, const json_t *notes, struct ln_fault *fault)
{
    const char *key;
    json_t *value;
    if (!json_is_object(notes))
        return BAD("%s: %s is no table; expected texts by key", safe->name, META);
    json_object_foreach((json_t *)notes, key, value)
    {
        if (!json_is_string(value))
            return BAD("%s: %s: \"%s\" is no text", safe->name, META, ln__shown(key).text);
    }
    return LN_OK;
}

static int read_entries(struct ln__safe *safe, struct ln_fault *fault)
{
    const json_t *notes = json_object_get(safe->header, META);
    int code = notes ? check_notes(safe, notes, fault) : LN_OK;
    size_t room = json_object_size(safe->header) - (notes != NULL);
    if (code == LN_OK && room > 0) {
        safe->tensor = ln__mem_zero(room, sizeof *safe->tensor);
        safe->by_name = ln__mem_zero(room, sizeof *safe->by_name);
        if (!safe->tensor || !safe->by_name)
            return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %zu tensors", safe->name, room);
    }
    const char *name;
    json_t *entry;
    json_object_foreach(safe->header, name, entry)
    {
        if (code)
            return code;
        if (entry == notes)
            continue;
        code = read_tensor(safe, name, entry, &safe->tensor[safe->count], fault);
        safe->count++;
    }
    if (code)
        return code;
    if (safe->count > 0)
        qsort(safe->tensor, safe->count, sizeof *safe->tensor, by_offset);
    for (size_t i = 0; i < safe->count; i++)
        safe->by_name[i] = i;
    if (safe->count > 0)
        qsort_r(safe->by_name, safe->count, sizeof *safe->by_name, by_name, safe->tensor);
    return check_cover(safe, fault);
}

static int read_file(struct ln__safe *safe, const unsigned char *data, size_t size, struct ln_fault *fault)
{
    if (size < 8)
        return BAD("%s: truncated: %zu bytes; expected at least 8", safe->name, size);
    uint64_t header = 0;
    for (int i = 0; i < 8; i++)
        header |= (uint64_t)data[i] << (8 * i);
    if (memcmp(data, "PK\3\4", 4) == 0)
        return BAD("%s: not safetensors: a zip archive, as PyTorch's .pt and .pth are; safetensors.torch.save_file writes what is read here",
                   safe->name);
    if (header > LN__SAFE_HEADER_MAX)
        return BAD("%s: not safetensors: a header of %" PRIu64 " bytes; expected at most %u", safe->name, header, LN__SAFE_HEADER_MAX);
    if (header > size - 8)
        return BAD("%s: truncated: its header takes %" PRIu64 " bytes, the file holds %zu behind the first 8", safe->name, header, size - 8);
    safe->data = data + 8 + header;
    safe->data_size = size - 8 - header;
    if (header == 0 || data[8] != '{')
        return BAD("%s: not safetensors: its header does not begin with {", safe->name);
    json_error_t problem;
    safe->header = json_loadb((const char *)data + 8, (size_t)header, JSON_REJECT_DUPLICATES, &problem);
    if (!safe->header)
        return BAD("%s: its header is not JSON: %.120s at byte %d", safe->name, problem.text, problem.position);
    if (!json_is_object(safe->header))
        return BAD("%s: its header is no table; expected tensors by name", safe->name);
    return read_entries(safe, fault);
}

int ln__safe_parse(const void *data, size_t size, const char *name, struct ln__safe **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__safe *safe = ln__mem_zero(1, sizeof *safe);
    if (safe)
        safe->name = ln__mem_text(name);
    int code = safe && safe->name ? read_file(safe, data, size, fault) : ln_fault_set(fault, LN_ENOMEM, "%s: no memory to read it", name);
    if (code) {
        ln__safe_close(safe);
        return code;
    }
    *out = safe;
    return LN_OK;
}

int ln__safe_open(const char *path, struct ln__safe **out, struct ln_fault *fault)
{
    *out = NULL;
    struct ln__map map;
    int code = ln__file_map(path, &map, fault);
    if (code == LN_OK)
        code = ln__safe_parse(map.data, map.size, path, out, fault);
    if (code)
        ln__file_unmap(&map);
    else
        (*out)->map = map;
    return code;
}

void ln__safe_close(struct ln__safe *safe)
{
    if (!safe)
        return;
    json_decref(safe->header);
    ln__file_unmap(&safe->map);
    ln__mem_free(safe->tensor);
    ln__mem_free(safe->by_name);
    ln__mem_free(safe->name);
    ln__mem_free(safe);
}

size_t ln__safe_count(const struct ln__safe *safe)
{
    return safe->count;
}

const struct ln__safe_tensor *ln__safe_at(const struct ln__safe *safe, size_t index)
{
    return index < safe->count ? &safe->tensor[index] : NULL;
}

const struct ln__safe_tensor *ln__safe_find(const struct ln__safe *safe, const char *name)
{
    size_t low = 0, high = safe->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ln__safe_tensor *tensor = &safe->tensor[safe->by_name[middle]];
        int order = strcmp(name, tensor->name);
        if (order == 0)
            return tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *ln__safe_note(const struct ln__safe *safe, const char *key)
{
    return json_string_value(json_object_get(json_object_get(safe->header, META), key));
}
