/* Pictures made by a formula: each class is a sum of four coloured blobs at places drawn from the seed; a sample moves them a little
 * and adds noise. Learnable, of any shape, and there without a download. */
#include "data/own.h"

#include <math.h>
#include <string.h>

#define BLOBS 4

struct options {
    int64_t channels, height, width, classes, train, test, owners, seed;
    double noise;
};
#define INT_OPTION(name, value, least, most, text)                                                                                                   \
    {                                                                                                                                                \
        .key = #name, .type = LN_OPT_INT, .offset = offsetof(struct options, name), .fallback = value, .min = least, .max = most, .help = text       \
    }
static const struct ln_option options[] = {INT_OPTION(channels, "3", 1, 4, "planes of a picture"),
                                           INT_OPTION(height, "32", 1, 1024, "pixels"),
                                           INT_OPTION(width, "32", 1, 1024, "pixels"),
                                           INT_OPTION(classes, "10", 2, 65536, "number of classes; sample i is of class i mod classes"),
                                           INT_OPTION(train, "10000", 1, 16777216, "training samples"),
                                           INT_OPTION(test, "2000", 1, 16777216, "test samples"),
                                           INT_OPTION(owners, "0", 0, 16777216, "writers, for the partition of that name; 0: none"),
                                           INT_OPTION(seed, "1", 0, 9e15, "of the pictures; apart from the run's seed"),
                                           {.key = "noise",
                                            .type = LN_OPT_REAL,
                                            .offset = offsetof(struct options, noise),
                                            .fallback = "0.2",
                                            .min = 0,
                                            .max = 10,
                                            .help = "standard deviation of the noise on pixels of 0 to 1"},
                                           {0}};

struct blob {
    float y, x, reach, height[4];
};

static void draw_class(const struct options *o, uint32_t class, struct blob blob[BLOBS])
{
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = (uint64_t)o->seed, .round = UINT32_MAX, .client = class, .purpose = LN__FOR_FORMULA});
    for (int b = 0; b < BLOBS; b++) {
        blob[b].y = (float)ln__rng_unit(&rng);
        blob[b].x = (float)ln__rng_unit(&rng);
        blob[b].reach = 0.1F + 0.2F * (float)ln__rng_unit(&rng);
        for (int k = 0; k < 4; k++)
            blob[b].height[k] = (float)ln__rng_unit(&rng) - 0.5F;
    }
}

static void draw_sample(const struct options *o, const struct blob blob[BLOBS], enum ln__split split, uint32_t number, uint8_t *pixel)
{
    struct ln__rng rng =
        ln__rng_at((struct ln__key){.seed = (uint64_t)o->seed, .round = (uint32_t)split, .client = number, .purpose = LN__FOR_FORMULA});
    float dy = 0.2F * ((float)ln__rng_unit(&rng) - 0.5F), dx = 0.2F * ((float)ln__rng_unit(&rng) - 0.5F);
    for (int k = 0; k < o->channels; k++)
        for (int y = 0; y < o->height; y++)
            for (int x = 0; x < o->width; x++) {
                float value = 0.5F;
                for (int b = 0; b < BLOBS; b++) {
                    float ry = ((float)y + 0.5F) / (float)o->height - blob[b].y - dy, rx = ((float)x + 0.5F) / (float)o->width - blob[b].x - dx;
                    float far = (ry * ry + rx * rx) / (blob[b].reach * blob[b].reach);
                    value += blob[b].height[k] / (1 + far * far); /* no libm: the same bytes everywhere */
                }
                uint32_t word = ln__rng_u32(&rng); /* the sum of four bytes is nearly normal: deviation 147.8 */
                float noise = (float)((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24)) - 510.0F;
                value = (value + (float)o->noise * noise / 147.8F) * 255.0F + 0.5F;
                *pixel++ = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
            }
}

static int fill_split(const struct options *o, struct ln__set *set, enum ln__split split, const struct blob *blob, struct ln_fault *fault)
{
    struct ln__samples *out = &set->split[split];
    size_t pixels = (size_t)(o->channels * o->height * o->width);
    uint8_t *byte;
    int32_t *label;
    uint32_t *owner = NULL;
    out->count = (uint32_t)(split == LN__TRAIN ? o->train : o->test);
    int code = ln__own_block(set, out->count, pixels, &byte, fault);
    if (code == 0)
        code = ln__own_block(set, out->count, sizeof *label, &label, fault);
    if (code == 0 && o->owners)
        code = ln__own_block(set, out->count, sizeof *owner, &owner, fault);
    if (code)
        return code;
    for (uint32_t i = 0; i < out->count; i++) {
        label[i] = (int32_t)(i % (uint32_t)o->classes);
        if (owner)
            owner[i] = (uint32_t)((uint64_t)i * (uint64_t)o->owners / out->count);
        draw_sample(o, blob + (size_t)label[i] * BLOBS, split, i, byte + i * pixels);
    }
    out->byte = byte;
    out->label = label;
    out->owner = owner;
    out->owners = (uint32_t)o->owners;
    return 0;
}

static int open_set(const void *chosen, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct options *o = chosen;
    (void)dir;
    struct blob *blob;
    int code = ln__own_init(out, "synthetic", fault);
    if (code == 0 && (double)(o->train + o->test) * (double)(o->channels * o->height * o->width) > 8e9)
        code = ln_fault_set(fault, LN_ECONFIG, "data.set: synthetic: more than 8 GB of pixels; lower train, test or the size");
    if (code == 0)
        code = ln__own_block(out, (size_t)o->classes * BLOBS, sizeof *blob, &blob, fault);
    if (code)
        return code;
    for (int64_t k = 0; k < o->classes; k++)
        draw_class(o, (uint32_t)k, blob + (size_t)k * BLOBS);
    for (int s = 0; code == 0 && s < LN__SPLITS; s++)
        code = fill_split(o, out, (enum ln__split)s, blob, fault);
    ln__own_drop(out, blob);
    out->c = (int)o->channels;
    out->h = (int)o->height;
    out->w = (int)o->width;
    out->classes = (int)o->classes;
    for (int k = 0; k < 4; k++) {
        out->mean[k] = 0.5F;
        out->std[k] = 0.25F;
    }
    return code;
}

const struct ln__dataset ln__dataset_synthetic = {
    .plugin = {.name = "synthetic",
               .summary = "coloured blobs by formula, of any shape and number of classes; needs no files",
               .options = options,
               .options_size = sizeof(struct options)},
    .source = "made by formula, nothing to fetch",
    .open = open_set};
