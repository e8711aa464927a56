#include "data/formula.h"
#include "base/pool.h"

#define CHUNK 64 /* pictures */

struct drawing {
    const struct ln__formula *formula;
    enum ln__split split;
    uint32_t count, classes;
    size_t pixels;
    uint8_t *byte, *scratch;
    int32_t *label;
};

static void draw_chunk(void *context, size_t chunk, unsigned worker)
{
    const struct drawing *d = context;
    const struct ln__formula *f = d->formula;
    for (uint32_t i = (uint32_t)chunk * CHUNK; i < d->count && i < (chunk + 1) * CHUNK; i++) {
        d->label[i] = (int32_t)(i % d->classes);
        f->draw(f->self, d->split, i, d->scratch + worker * f->scratch, d->byte + i * d->pixels);
    }
}

static int fill_split(struct drawing *d, struct ln__set *set, struct ln__pool *pool, struct ln_fault *fault)
{
    d->count = d->classes * (uint32_t)d->formula->per_class[d->split];
    int code = ln__own_block(set, d->count, d->pixels, &d->byte, fault);
    if (code == 0)
        code = ln__own_block(set, d->count, sizeof *d->label, &d->label, fault);
    if (code)
        return code;
    ln__pool_for(pool, (d->count + CHUNK - 1) / CHUNK, draw_chunk, d);
    set->split[d->split] = (struct ln__samples){.count = d->count, .byte = d->byte, .label = d->label};
    return 0;
}

int ln__formula_fits(const struct ln__formula *formula, const struct ln__set *set, struct ln_fault *fault)
{
    double each = (double)set->c * set->h * set->w * set->classes;
    if (each * (double)(formula->per_class[LN__TRAIN] + formula->per_class[LN__TEST]) > 8e9)
        return ln_fault_set(fault, LN_ECONFIG, "data.set: %s: more than 8 GB of pixels; lower classes, per_class or size", set->name);
    return 0;
}

int ln__formula_open(const struct ln__formula *formula, struct ln__set *set, struct ln_fault *fault)
{
    struct drawing d = {.formula = formula, .classes = (uint32_t)set->classes, .pixels = (size_t)(set->c * set->h * set->w)};
    struct ln__pool *pool = NULL;
    unsigned width = ln__data_width();
    int code = ln__own_block(set, width, formula->scratch, &d.scratch, fault);
    if (code == 0 && ln__pool_new(width, &pool))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %u threads", set->name, width);
    for (d.split = LN__TRAIN; code == 0 && d.split < LN__SPLITS; d.split++)
        code = fill_split(&d, set, pool, fault);
    ln__pool_free(pool);
    if (code)
        return code;
    ln__own_drop(set, d.scratch);
    ln__set_measure(set);
    return 0;
}

struct ln__rng ln__formula_picture(int64_t seed, enum ln__split split, uint32_t number)
{
    return ln__rng_at((struct ln__key){.seed = (uint64_t)seed, .round = (uint32_t)split, .client = number, .purpose = LN__FOR_FORMULA});
}

struct ln__rng ln__formula_class(int64_t seed, uint32_t class)
{
    return ln__rng_at((struct ln__key){.seed = (uint64_t)seed, .round = UINT32_MAX, .client = class, .purpose = LN__FOR_FORMULA});
}

float ln__formula_unit(struct ln__rng *rng)
{
    return (float)(ln__rng_u32(rng) >> 8) * 0x1p-24F;
}

void ln__formula_turn(struct ln__rng *rng, float *c, float *s)
{
    float t = 2 * ln__formula_unit(rng) - 1, d = 1 + t * t, sign = ln__rng_u32(rng) & 1 ? -1.0F : 1.0F;
    *c = sign * (1 - t * t) / d;
    *s = sign * 2 * t / d;
}
