#include "nn/weights.h"
#include "base/text.h"
#include "nn/layer.h"
#include "tensor/safetensors.h"
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define ARENA_MAX (64u << 20)
#define NOTES_MAX (16u << 20)

/* ---- loading ---- */

/* An open file beside the graph it is read for. */
struct source {
    const struct ln__safe *safe;
    const char *path, *model;
    const char **name;                       /* [count of the file]: the model's names for its tensors */
    bool *used;                              /* same */
    const struct ln__safe_tensor **of_param; /* [params] or NULL */
    struct ln__arena arena;
};

static void source_fini(struct source *source)
{
    ln__mem_free(source->name);
    ln__mem_free(source->used);
    ln__mem_free(source->of_param);
    ln__arena_fini(&source->arena);
}

static int source_init(struct source *source, const struct ln__safe *safe, const char *path, const struct ln__graph *graph, struct ln_fault *fault)
{
    size_t count = ln__safe_count(safe);
    *source = (struct source){.safe = safe, .path = path, .model = graph->name};
    ln__arena_init(&source->arena, ARENA_MAX);
    source->name = ln__mem_zero(count + 1, sizeof *source->name);
    source->used = ln__mem_zero(count + 1, sizeof *source->used);
    source->of_param = ln__mem_zero((size_t)graph->params + 1, sizeof *source->of_param);
    bool failed = !source->name || !source->used || !source->of_param;
    for (size_t i = 0; i < count && !failed; i++) {
        char text[LN__NAME];
        const char *own = ln__safe_at(safe, i)->name, *name = ln__weights_name(graph->name, own, text);
        source->name[i] = name == own ? own : ln__arena_text(&source->arena, name);
        failed = !source->name[i];
    }
    return failed ? ln_fault_set(fault, LN_ENOMEM, "%s: no memory for the names of its %zu tensors", path, count) : LN_OK;
}

static const struct ln__safe_tensor *source_find(struct source *source, const char *name)
{
    const struct ln__safe_tensor *found = ln__safe_find(source->safe, name);
    for (size_t i = 0; i < ln__safe_count(source->safe); i++) {
        const struct ln__safe_tensor *tensor = ln__safe_at(source->safe, i);
        if (found ? tensor == found : strcmp(source->name[i], name) == 0) {
            source->used[i] = true;
            return tensor;
        }
    }
    return NULL;
}

static void shape_text(const int64_t *dim, size_t dims, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "[");
    for (size_t i = 0; i < dims && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%" PRId64, i ? ", " : "", dim[i]);
    if (used < room)
        snprintf(out + used, room - used, "]");
}

/* Extents of 1 at the end do not count: a 1 x 1 convolution of one position is a linear layer. */
static bool same_shape(const struct ln__safe_tensor *tensor, const struct ln__param *param)
{
    size_t rank = tensor->rank, dims = (size_t)param->dims;
    while (rank > dims && tensor->shape[rank - 1] == 1)
        rank--;
    while (dims > rank && param->dim[dims - 1] == 1)
        dims--;
    for (size_t i = 0; i < dims; i++)
        if (rank != dims || tensor->shape[i] != param->dim[i])
            return false;
    return rank == dims;
}

/* By the bits: this must hold whatever the compiler is told about floats. */
static bool all_finite(const float *x, size_t count)
{
    uint32_t bits, bad = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static int check_tensor(const struct source *source, const struct ln__safe_tensor *tensor, const struct ln__param *param, struct ln_fault *fault)
{
    enum { CHUNK = 1024 };
    float chunk[CHUNK];
    if (!same_shape(tensor, param)) {
        char theirs[120], ours[120];
        shape_text(tensor->shape, tensor->rank, theirs, sizeof theirs);
        shape_text(param->dim, (size_t)param->dims, ours, sizeof ours);
        return ln_fault_set(fault, LN_ESHAPE, "%s: tensor \"%.*s\" has shape %s where %s wants %s", source->path, LN__NAME, tensor->name, theirs,
                            source->model, ours);
    }
    size_t size = ln__dtype_size(tensor->dtype);
    for (size_t at = 0; at < param->count; at += CHUNK) {
        size_t n = param->count - at < CHUNK ? param->count - at : CHUNK;
        if (ln__dtype_floats(tensor->dtype, (const unsigned char *)tensor->data + at * size, n, chunk))
            return ln_fault_set(fault, LN_EUNSUPPORTED, "%s: tensor \"%.*s\" is of %s; expected F32, F16 or BF16", source->path, LN__NAME,
                                tensor->name, ln__dtype_name(tensor->dtype));
        if (!all_finite(chunk, n))
            return ln_fault_set(fault, LN_ECORRUPT, "%s: tensor \"%.*s\" holds NaN or infinity", source->path, LN__NAME, tensor->name);
    }
    return LN_OK;
}

/* The last layer with parameters. */
static int classifier_of(const struct ln__graph *graph)
{
    for (int i = graph->nodes - 1; i > 0; i--)
        if (graph->node[i].params > 0)
            return i;
    return 0;
}

static int find_all(struct source *source, const struct ln__weights_load *load, enum ln__weights_fate *fate, struct ln_fault *fault)
{
    const struct ln__graph *graph = load->graph;
    int classifier = classifier_of(graph);
    for (int i = 0; i < graph->params; i++) {
        const struct ln__param *param = &graph->param[i];
        const struct ln__safe_tensor *tensor = source_find(source, param->name);
        fate[i] = LN__WEIGHTS_LOADED;
        if (!ln__segment_holds(graph, load->part.segment, (size_t)i) || (load->part.body && param->node == classifier)) {
            fate[i] = LN__WEIGHTS_LEFT;
        } else if (!tensor && (load->missing_ok || (load->buffers_ok && param->buffer))) {
            fate[i] = LN__WEIGHTS_MISSING;
        } else if (!tensor) {
            const char *why = param->buffer ? "; a file without running statistics is for norm: batch" : "";
            return ln_fault_set(fault, LN_ENOENT, "%s: tensor \"%s\" of %s is missing (the file holds %zu tensors, the first is \"%.*s\")%s",
                                source->path, param->name, source->model, ln__safe_count(source->safe), LN__NAME,
                                ln__safe_count(source->safe) ? ln__safe_at(source->safe, 0)->name : "", why);
        } else {
            int code = check_tensor(source, tensor, param, fault);
            if (code)
                return code;
            source->of_param[i] = tensor;
        }
    }
    return LN_OK;
}

static int load_from(const struct ln__safe *safe, const char *path, const struct ln__weights_load *load, float *state, struct ln_fault *fault)
{
    const struct ln__graph *graph = load->graph;
    struct source source;
    enum ln__weights_fate *fate = ln__mem_zero((size_t)graph->params + 1, sizeof *fate);
    int code = source_init(&source, safe, path, graph, fault);
    if (!code && !fate)
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory to load it", path);
    if (!code)
        code = find_all(&source, load, fate, fault);
    for (int i = 0; i < graph->params && !code; i++) {
        const struct ln__safe_tensor *tensor = source.of_param[i];
        if (tensor)
            code = ln__dtype_floats(tensor->dtype, tensor->data, graph->param[i].count, state + graph->param[i].offset);
    }
    for (int i = 0; i < graph->params && !code && load->tell; i++)
        load->tell(load->context, fate[i], graph->param[i].name);
    for (size_t i = 0; i < ln__safe_count(safe) && !code && load->tell; i++)
        if (!source.used[i])
            load->tell(load->context, LN__WEIGHTS_IGNORED, ln__safe_at(safe, i)->name);
    ln__mem_free(fate);
    source_fini(&source);
    return code;
}

int ln__weights_load(const char *path, const struct ln__weights_load *load, float *state, struct ln_fault *fault)
{
    struct ln__safe *safe;
    int code = ln__safe_open(path, &safe, fault);
    if (code)
        return code;
    code = load_from(safe, path, load, state, fault);
    ln__safe_close(safe);
    return code;
}

/* ---- notes ---- */

struct recipe {
    struct ln_choice model, set, sparsity;
};
static const struct ln_option recipe_options[] = {
    {.key = "model", .type = LN_OPT_PLUGIN, .offset = offsetof(struct recipe, model), .kind = LN_KIND_MODEL, .help = "the network"},
    {.key = "set", .type = LN_OPT_PLUGIN, .offset = offsetof(struct recipe, set), .kind = LN_KIND_DATASET, .fallback = "", .help = "learnt from"},
    {.key = "sparsity",
     .type = LN_OPT_PLUGIN,
     .offset = offsetof(struct recipe, sparsity),
     .kind = LN_KIND_SPARSITY,
     .fallback = "",
     .help = "trained under"},
    {0}};

static int write_floats(struct ln__buf *out, const float *x, int count)
{
    int code = ln__buf_print(out, "[");
    for (int i = 0; i < count && !code; i++)
        code = ln__buf_print(out, "%s%.9g", i ? ", " : "", (double)x[i]);
    return code ? code : ln__buf_print(out, "]");
}

static int append_json(const char *data, size_t size, void *out)
{
    return ln__buf_add(out, data, size) ? -1 : 0;
}

/* A JSON text at the end of out. */
static int write_names(struct ln__buf *out, const char *const *name, int count)
{
    json_t *list = json_array();
    int code = list ? LN_OK : LN_ENOMEM;
    for (int i = 0; i < count && !code; i++)
        code = json_array_append_new(list, json_string(name[i])) ? LN_EINVALID : LN_OK;
    if (!code && json_dump_callback(list, append_json, out, JSON_COMPACT))
        code = LN_ENOMEM;
    json_decref(list);
    return code;
}

enum { FORMAT, RECIPE, MODEL, NORM, CLASSES, INPUT, NAMES, MEAN, STD, NOTES };
static const char *const note_key[NOTES] = {"format", "recipe", "model", "norm", "classes", "input", "class_names", "mean", "std"};

/* The texts one behind the other in out, each ended by 0; at[i] is where text i begins. */
static int write_notes(const struct ln__weights_about *about, struct ln__buf *out, size_t at[NOTES])
{
    const struct ln__model_args *args = &about->args;
    const struct recipe recipe = {about->model, about->set, about->sparsity};
    int code = LN_OK;
    for (int i = 0; i < NOTES && !code; i++) {
        at[i] = out->size;
        if (i == FORMAT)
            code = ln__buf_print(out, "linnet");
        else if (i == RECIPE)
            code = ln__conf_print(recipe_options, &recipe, out);
        else if (i == MODEL)
            code = ln__buf_print(out, "%s", about->model.plugin->name);
        else if (i == NORM)
            code = ln__buf_print(out, "%s", args->norm == LN__NORM_RUNNING ? "running" : "batch");
        else if (i == CLASSES)
            code = ln__buf_print(out, "%d", args->classes);
        else if (i == INPUT)
            code = ln__buf_print(out, "%dx%dx%d", args->input.c, args->input.h, args->input.w);
        else if (i == NAMES && about->class_name)
            code = write_names(out, about->class_name, args->classes);
        else if ((i == MEAN || i == STD) && about->channels > 0)
            code = write_floats(out, i == MEAN ? about->mean : about->std, about->channels < 4 ? about->channels : 4);
        if (!code)
            code = ln__buf_add(out, "", 1);
    }
    return code;
}

int ln__weights_save(const char *path, const struct ln__graph *graph, const struct ln__weights_about *about, const float *state,
                     struct ln_fault *fault)
{
    size_t at[NOTES], notes = 0;
    struct ln__safe_note note[NOTES];
    struct ln__buf text;
    ln__buf_init(&text, NOTES_MAX);
    struct ln__safe_tensor *tensor = ln__mem_zero((size_t)graph->params + 1, sizeof *tensor);
    int code = tensor ? write_notes(about, &text, at) : LN_ENOMEM;
    if (code)
        code = ln_fault_set(fault, code, "%s: cannot write what it says of itself: no memory, or a class name that is not UTF-8", path);
    for (int i = 0; i < NOTES && !code; i++)
        if (text.data[at[i]])
            note[notes++] = (struct ln__safe_note){note_key[i], (const char *)text.data + at[i]};
    for (int i = 0; i < graph->params && !code; i++) {
        const struct ln__param *param = &graph->param[i];
        tensor[i] = (struct ln__safe_tensor){.name = param->name,
                                             .dtype = LN__F32,
                                             .rank = (unsigned)param->dims,
                                             .data = state + param->offset,
                                             .size = param->count * sizeof(float)};
        memcpy(tensor[i].shape, param->dim, (size_t)param->dims * sizeof *param->dim);
    }
    if (!code)
        code = ln__safe_write(path, tensor, (size_t)graph->params, note, notes, fault);
    ln__mem_free(tensor);
    ln__buf_fini(&text);
    return code;
}

/* ---- opening ---- */

static int read_names(const char *text, const char *path, struct ln__weights *out, struct ln_fault *fault)
{
    json_t *list = json_loads(text, 0, NULL);
    size_t classes = (size_t)out->about.args.classes;
    const char **name = NULL;
    int code = LN_OK;
    if (!json_is_array(list) || json_array_size(list) != classes)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: class_names: %zu names; expected a list of %zu", path, json_array_size(list), classes);
    else if (!(name = ln__arena_alloc(&out->arena, classes * sizeof *name)))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %zu names of classes", path, classes);
    for (size_t i = 0; i < classes && !code; i++) {
        const json_t *item = json_array_get(list, i);
        char *copy;
        if (!json_is_string(item))
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: class_names: name %zu is no text", path, i);
        else if ((copy = ln__arena_text(&out->arena, json_string_value(item))))
            name[i] = ln__text_clean(copy);
        else
            code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %zu names of classes", path, classes);
    }
    json_decref(list);
    out->about.class_name = code ? NULL : name;
    return code;
}

bool ln__weights_pixels(const struct ln__weights_about *about)
{
    bool good = about->channels <= 4;
    for (int i = 0; i < about->channels && good; i++)
        good = about->mean[i] > -1e6F && about->mean[i] < 1e6F && about->std[i] >= 1e-6F && about->std[i] < 1e6F;
    return good;
}

static int read_pixels(const struct ln__safe *safe, const char *path, struct ln__weights_about *about, struct ln_fault *fault)
{
    const char *key[] = {note_key[MEAN], note_key[STD]};
    int channels = about->args.input.c;
    if (!ln__safe_note(safe, key[0]) && !ln__safe_note(safe, key[1]))
        return LN_OK;
    for (int k = 0; k < 2; k++) {
        const char *text = ln__safe_note(safe, key[k]);
        float *to = k ? about->std : about->mean;
        json_t *list = text ? json_loads(text, 0, NULL) : NULL;
        bool good = channels <= 4 && json_is_array(list) && json_array_size(list) == (size_t)channels;
        for (int i = 0; i < channels && good; i++) {
            const json_t *item = json_array_get(list, (size_t)i);
            double value = json_number_value(item);
            good = json_is_number(item) && value > -1e9 && value < 1e9;
            to[i] = good ? (float)value : 0;
        }
        json_decref(list);
        if (!good)
            return ln_fault_set(fault, LN_ECORRUPT, "%s: %s: expected a list of %d numbers", path, key[k], channels);
    }
    about->channels = channels;
    return ln__weights_pixels(about) ? LN_OK : ln_fault_set(fault, LN_ECORRUPT, "%s: mean and std: expected " LN__WEIGHTS_PIXELS_EXPECTED, path);
}

/* "10" and "3x32x32", no more and no less. */
static bool read_sizes(const char *classes, const char *input, struct ln__model_args *args)
{
    int end = 0, last = 0;
    struct ln__shape *in = &args->input;
    return classes && input && sscanf(classes, "%7d%n", &args->classes, &end) == 1 && !classes[end] && args->classes > 0 &&
           sscanf(input, "%5dx%5dx%5d%n", &in->c, &in->h, &in->w, &last) == 3 && !input[last];
}

static int read_about(const struct ln__safe *safe, const char *path, const struct ln_catalog *catalog, struct ln__weights *out,
                      struct ln_fault *fault)
{
    const char *format = ln__safe_note(safe, note_key[FORMAT]), *recipe = ln__safe_note(safe, note_key[RECIPE]);
    const char *norm = ln__safe_note(safe, note_key[NORM]), *names = ln__safe_note(safe, note_key[NAMES]);
    if (!format || strcmp(format, "linnet") != 0 || !recipe)
        return ln_fault_set(fault, LN_EUNSUPPORTED,
                            "%s: does not say which model it is; `linnet import %s --model NAME -o OUT` makes a file that does", path, path);
    struct recipe bound;
    int code = ln__conf_parse(recipe, strlen(recipe), path, &out->conf, fault);
    if (!code)
        code = ln__conf_bind(out->conf, catalog, recipe_options, sizeof bound, &bound, fault);
    if (code)
        return code;
    struct ln__weights_about *about = &out->about;
    about->model = bound.model;
    about->set = bound.set;
    about->sparsity = bound.sparsity;
    if (!norm || (strcmp(norm, "batch") != 0 && strcmp(norm, "running") != 0) ||
        !read_sizes(ln__safe_note(safe, note_key[CLASSES]), ln__safe_note(safe, note_key[INPUT]), &about->args))
        return ln_fault_set(fault, LN_ECORRUPT, "%s: norm, classes or input: expected \"batch\" or \"running\", a number, and \"CxHxW\"", path);
    about->args.norm = strcmp(norm, "running") == 0 ? LN__NORM_RUNNING : LN__NORM_BATCH;
    code = read_pixels(safe, path, about, fault);
    return !code && names ? read_names(names, path, out, fault) : code;
}

/* A file of some bytes shall not make this take the memory of a large model: one too small for it lacks a tensor, which is said. */
static int check_room(const struct ln__safe *safe, const char *path, const struct ln__graph *graph, struct ln_fault *fault)
{
    size_t bytes = 0;
    for (size_t i = 0; i < ln__safe_count(safe); i++)
        bytes += ln__safe_at(safe, i)->size;
    if (bytes / 2 >= ln__graph_state(graph))
        return LN_OK;
    enum ln__weights_fate *fate = ln__mem_zero((size_t)graph->params + 1, sizeof *fate);
    const struct ln__weights_load load = {.graph = graph, .part.segment = {0, -1}};
    struct source source;
    int code = source_init(&source, safe, path, graph, fault);
    if (!code && fate)
        code = find_all(&source, &load, fate, fault);
    if (!code)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: %zu bytes of tensors are not enough for %s", path, bytes, graph->name);
    ln__mem_free(fate);
    source_fini(&source);
    return code;
}

int ln__weights_open(const char *path, const struct ln_catalog *catalog, struct ln__weights *out, struct ln_fault *fault)
{
    struct ln__safe *safe;
    *out = (struct ln__weights){0};
    int code = ln__safe_open(path, &safe, fault);
    if (code)
        return code;
    ln__arena_init(&out->arena, ARENA_MAX);
    code = read_about(safe, path, catalog, out, fault);
    if (!code)
        code = ln__model_graph(&out->about.model, &out->about.args, &out->graph, fault);
    if (!code)
        code = check_room(safe, path, out->graph, fault);
    if (!code && !(out->state = ln__mem_zero(ln__graph_state(out->graph), sizeof *out->state)))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its weights", path);
    if (!code)
        code = load_from(safe, path, &(struct ln__weights_load){.graph = out->graph, .part.segment = {0, -1}}, out->state, fault);
    ln__safe_close(safe);
    if (code)
        ln__weights_close(out);
    return code;
}

void ln__weights_close(struct ln__weights *weights)
{
    ln__graph_free(weights->graph);
    ln__mem_free(weights->state);
    ln__conf_free(weights->conf);
    ln__arena_fini(&weights->arena);
    *weights = (struct ln__weights){0};
}
