/* Arbitrary bytes through every codec and set of options: the first byte chooses those, three more the tensor's shape. What is decoded must
 * encode again, within bound, and decode. */
#include <base/conf.h>
#include <codec/codec.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const recipes[] = {"f32",
                                      "{kind: f32, then: zstd}",
                                      "f16",
                                      "{kind: f16, then: zstd}",
                                      "q8",
                                      "{kind: q8, signed: false}",
                                      "{kind: q8, scale: channel}",
                                      "{kind: q8, signed: false, scale: channel, then: zstd}",
                                      "q4",
                                      "{kind: q4, signed: false}",
                                      "{kind: q4, scale: channel}",
                                      "{kind: q4, signed: false, scale: channel, then: zstd}",
                                      "sparse",
                                      "{kind: sparse, values: f16}",
                                      "{kind: sparse, values: q8}",
                                      "{kind: sparse, index: delta}"};
enum { RECIPES = sizeof recipes / sizeof recipes[0], COUNT_MAX = 4096 };

/* The codecs alone: with the built-in catalog a target would need all of the library. */
extern const struct ln_plugin ln__codec_f16, ln__codec_f32, ln__codec_q4, ln__codec_q8, ln__codec_sparse;
static const struct ln_plugin *const codecs[] = {&ln__codec_f16, &ln__codec_f32, &ln__codec_q4, &ln__codec_q8, &ln__codec_sparse};
static const struct ln_catalog catalog = {{[LN_KIND_CODEC] = {codecs, sizeof codecs / sizeof codecs[0]}}};

struct bound {
    struct ln_choice codec;
};
static const struct ln_option table[] = {
    {.key = "codec", .type = LN_OPT_PLUGIN, .offset = offsetof(struct bound, codec), .kind = LN_KIND_CODEC, .fallback = "f32"}, {0}};

static const struct ln_choice *choice_of(unsigned which)
{
    static struct ln__conf *conf[RECIPES];
    static struct bound bound[RECIPES];
    if (!conf[which]) {
        char text[256];
        struct ln_fault fault = {0};
        int n = snprintf(text, sizeof text, "codec: %s\n", recipes[which]);
        if (ln__conf_parse(text, (size_t)n, "fuzz", &conf[which], &fault) ||
            ln__conf_bind(conf[which], &catalog, table, sizeof bound[which], &bound[which], &fault)) {
            fprintf(stderr, "%s\n", fault.text);
            __builtin_trap();
        }
    }
    return &bound[which].codec;
}

static void again(const struct ln_choice *choice, const struct ln_codec_shape *shape, const float *x, float *y)
{
    const struct ln_codec *codec = ln__codec_of(choice);
    size_t bound = codec->bound(choice->options, shape), size = 0;
    struct ln_fault fault = {0};
    unsigned char *bytes = ln__mem_alloc(bound + 1);
    if (!bytes)
        return;
    bytes[bound] = 0xA5;
    int error = codec->encode(choice->options, shape, x, bytes, &size, &fault);
    if (error != 0 && error != LN_EINVALID) /* values that are not finite, or below 0, may be refused */
        __builtin_trap();
    if (error == 0 && (size > bound || size < codec->least(choice->options, shape) || codec->decode(choice->options, shape, bytes, size, y, &fault)))
        __builtin_trap();
    if (bytes[bound] != 0xA5)
        __builtin_trap();
    ln__mem_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    const struct ln_choice *choice = choice_of(data[0] % RECIPES);
    const struct ln_codec_shape shape = {data[1] % 8, 1 + data[2] % 16, 1 + data[3] % 32, data[0] & 128};
    size_t count = ln__codec_count(&shape);
    float x[COUNT_MAX], y[COUNT_MAX];
    struct ln_fault fault = {0};
    memset(x, 0, sizeof x);
    int error = ln__codec_of(choice)->decode(choice->options, &shape, data + 4, size - 4, x, &fault);
    for (size_t i = count; i < COUNT_MAX; i++)
        if (x[i] != 0)
            __builtin_trap();
    if (error == 0)
        again(choice, &shape, x, y);
    else if (fault.code != error || !fault.text[0])
        __builtin_trap();
    return 0;
}
