/* Dead leaves by formula: a picture is what opaque shapes that fell on each other leave to see, their radii with density r^-3, which gives edges,
 * occlusion and a spectrum like those of photographs (Lee, Mumford and Huang, IJCV 2001). The more natural the statistics, the better what
 * is learnt from such pictures (Baradad et al., NeurIPS 2021): so leaves have textures, shades and soft edges, and colours differ much in
 * light and little in tint. A class is a few leaves of its own, seen from somewhere in some light in front of leaves that are new in each picture, as
 * exemplars are with Dosovitskiy et al. (NeurIPS 2014): neither mean colour nor place gives it away. Only + - * / and square roots
 * of floats, and no two draws in one expression: the same bytes everywhere. */
#include "data/formula.h"

#include <math.h>

#define OWN_MAX 64
#define FALL 400   /* leaves behind them: they cover nearly all */
#define GREY 0.48F /* mean light */
#define CORNERS 6

struct options {
    int64_t classes, per_class, test_per_class, size, seed, own;
    bool colour;
    double chroma;
};
#define INT_OPTION(name, value, least, most, text)                                                                                                   \
    {                                                                                                                                                \
        .key = #name, .type = LN_OPT_INT, .offset = offsetof(struct options, name), .fallback = value, .min = least, .max = most, .help = text       \
    }
static const struct ln_option options[] = {INT_OPTION(classes, "60", 2, 10000, "things to see"),
                                           INT_OPTION(per_class, "500", 1, 100000, "training pictures of each"),
                                           INT_OPTION(test_per_class, "20", 1, 100000, "test pictures of each"),
                                           INT_OPTION(size, "32", 8, 512, "pixels a side"),
                                           INT_OPTION(seed, "1", 0, 9e15, "of the pictures; apart from the run's seed"),
                                           INT_OPTION(own, "8", 1, OWN_MAX, "leaves of a class; fewer are harder to find"),
                                           {.key = "colour",
                                            .type = LN_OPT_BOOL,
                                            .offset = offsetof(struct options, colour),
                                            .fallback = "true",
                                            .help = "three planes; false: one, without tints"},
                                           {.key = "chroma",
                                            .type = LN_OPT_REAL,
                                            .offset = offsetof(struct options, chroma),
                                            .fallback = "1",
                                            .min = 0,
                                            .max = 4,
                                            .help = "how far colours are from grey; 1: about as in photographs"},
                                           {0}};

enum shape { ROUND, LOBES, BOX, POLYGON, RING, SHAPES };
enum texture { PLAIN, STRIPES, CHECKS, NOISE, TEXTURES };

/* Lengths are in sides of the picture, colours in [0, 1] or a little beyond. */
struct leaf {
    float x, y, c, s, ru, rv; /* middle, direction of the first half axis, half axes */
    enum shape shape;
    float lobe;
    int lobes;
    float corner[CORNERS][2]; /* normals of a polygon's sides over their distance */
    enum texture texture;
    float wave, turn[2], phase, shade[2];
    uint32_t grain;
    float colour[2][3]; /* the texture goes from one to the other */
    float soft;         /* width of the edge */
};

/* What a picture's leaves have in common, or those of a class. */
struct law {
    float least, most; /* radius */
    float stretch;     /* longest axis over the shortest, at most */
    float grain[2];    /* direction of all, if aligned */
    bool aligned;
    enum shape shape;     /* of every second one, if any */
    enum texture texture; /* likewise */
    float wave;           /* stripes a side */
    float light, range, tint[2], chroma, soft;
};

struct thing {
    struct leaf leaf[OWN_MAX]; /* x, y: from the middle of the thing */
};

static float between(struct ln__rng *rng, float a, float b)
{
    return a + (b - a) * ln__formula_unit(rng);
}

/* Mean 0, deviation 1, never beyond 3.5: four uniform numbers. */
static float bell(struct ln__rng *rng)
{
    float sum = 0;
    for (int k = 0; k < 4; k++)
        sum += ln__formula_unit(rng);
    return (sum - 2) * 1.7320508F;
}

/* In [0, 1), a quarter on average. */
static float often_small(struct ln__rng *rng)
{
    float a = ln__formula_unit(rng);
    return a * ln__formula_unit(rng);
}

/* Radius with density ~ r^-3 between two. */
static float draw_radius(struct ln__rng *rng, float least, float most)
{
    float a = 1 / (least * least), b = 1 / (most * most);
    return 1 / sqrtf(b + (a - b) * ln__formula_unit(rng));
}

/* Light varies much, tints little and most of that from blue to yellow, as in photographs. */
static void draw_colour(struct ln__rng *rng, float light, const float tint[2], float chroma, float out[3])
{
    float by = tint[0] + chroma * 0.07F * bell(rng), rg = tint[1] + chroma * 0.05F * bell(rng);
    out[0] = light + by + rg;
    out[1] = light + 0.3F * by - rg;
    out[2] = light - 1.3F * by + 0.2F * rg;
}

static void draw_law(struct ln__rng *rng, const struct options *o, struct law *law)
{
    law->least = between(rng, 0.02F, 0.08F);
    law->most = between(rng, 0.2F, 0.7F);
    law->stretch = 1 + 5 * often_small(rng);
    ln__formula_turn(rng, &law->grain[0], &law->grain[1]);
    law->aligned = ln__rng_u32(rng) & 1;
    law->shape = (enum shape)ln__rng_below(rng, 2 * SHAPES);
    law->texture = (enum texture)ln__rng_below(rng, 2 * TEXTURES);
    law->wave = between(rng, 3, 13);
    law->light = GREY + 0.12F * bell(rng);
    law->range = between(rng, 0.12F, 0.3F);
    law->chroma = (float)o->chroma * between(rng, 0.3F, 1.3F);
    law->tint[0] = (float)o->chroma * 0.06F * bell(rng);
    law->tint[1] = (float)o->chroma * 0.03F * bell(rng);
    law->soft = between(rng, 0.03F, 0.1F);
}

static void draw_leaf(struct ln__rng *rng, const struct law *law, struct leaf *leaf)
{
    float r = draw_radius(rng, law->least, law->most), stretch = 1 + (law->stretch - 1) * often_small(rng), turn[2];
    float longer = sqrtf(stretch);
    leaf->x = between(rng, -0.3F, 1.3F);
    leaf->y = between(rng, -0.3F, 1.3F);
    leaf->ru = r * longer;
    leaf->rv = r / longer;
    ln__formula_turn(rng, &turn[0], &turn[1]);
    leaf->c = law->aligned ? law->grain[0] : turn[0];
    leaf->s = law->aligned ? law->grain[1] : turn[1];
    leaf->shape = law->shape < SHAPES && ln__rng_u32(rng) & 1 ? law->shape : (enum shape)ln__rng_below(rng, SHAPES);
    leaf->lobe = between(rng, 0.1F, 0.35F);
    leaf->lobes = 2 + (int)ln__rng_below(rng, 3);
    for (int k = 0; k < CORNERS; k++) { /* three sides around, the others cut corners off */
        static const float around[3][2] = {{0, 1}, {0.8660254F, -0.5F}, {-0.8660254F, -0.5F}};
        float distance = between(rng, k < 3 ? 0.5F : 0.6F, 1), any[2];
        ln__formula_turn(rng, &any[0], &any[1]);
        leaf->corner[k][0] = (k < 3 ? around[k][0] : any[0]) / distance;
        leaf->corner[k][1] = (k < 3 ? around[k][1] : any[1]) / distance;
    }
    leaf->texture = law->texture < TEXTURES && ln__rng_u32(rng) & 1 ? law->texture : (enum texture)ln__rng_below(rng, TEXTURES);
    leaf->wave = law->wave * between(rng, 0.8F, 1.2F);
    ln__formula_turn(rng, &leaf->turn[0], &leaf->turn[1]);
    if (law->aligned) {
        leaf->turn[0] = law->grain[0];
        leaf->turn[1] = law->grain[1];
    }
    leaf->phase = ln__formula_unit(rng);
    leaf->shade[0] = 0.15F * bell(rng);
    leaf->shade[1] = 0.15F * bell(rng);
    leaf->grain = ln__rng_u32(rng);
    float light = law->light + law->range * bell(rng);
    draw_colour(rng, light, law->tint, law->chroma, leaf->colour[0]);
    draw_colour(rng, light + 0.2F * bell(rng), law->tint, 0.5F * law->chroma, leaf->colour[1]);
    leaf->soft = law->soft * between(rng, 0.7F, 2);
}

static float floor_of(float x)
{
    float whole = (float)(int)x;
    return whole > x ? whole - 1 : whole;
}

/* Period 1, from 0 to 1 and back, smooth: a sine's stand-in. */
static float wave_at(float x)
{
    float t = 2 * (x - floor_of(x)) - 1;
    t = t < 0 ? -t : t;
    return t * t * (3 - 2 * t);
}

static float grain_at(uint32_t seed, int x, int y)
{
    uint32_t h = seed ^ (uint32_t)x * 0x9E3779B1U ^ (uint32_t)y * 0x85EBCA77U;
    h = (h ^ h >> 15) * 0x2C1B3C6DU;
    h = (h ^ h >> 12) * 0x297A2D39U;
    return (float)(h >> 8) * 0x1p-24F;
}

/* Random values on a grid with smooth ways between, three octaves: near 1/f. */
static float noise_at(uint32_t seed, float x, float y)
{
    float sum = 0, weight = 0.5F;
    for (int octave = 0; octave < 3; octave++, weight *= 0.5F, x *= 2, y *= 2) {
        float fx = floor_of(x), fy = floor_of(y), u = x - fx, v = y - fy;
        int i = (int)fx, j = (int)fy;
        u = u * u * (3 - 2 * u);
        v = v * v * (3 - 2 * v);
        float top = grain_at(seed, i, j) * (1 - u) + grain_at(seed, i + 1, j) * u;
        float low = grain_at(seed, i, j + 1) * (1 - u) + grain_at(seed, i + 1, j + 1) * u;
        sum += weight * (top * (1 - v) + low * v);
    }
    return sum * 8 / 7;
}

/* Signed distance from the edge in units of the half axes, about; negative inside. */
static float beyond(const struct leaf *leaf, float u, float v)
{
    float q = sqrtf(u * u + v * v) + 1e-6F, c = u / q, s = v / q;
    switch (leaf->shape) {
    case LOBES: {
        float c2 = c * c - s * s, wavy = leaf->lobes == 2 ? c2 : leaf->lobes == 3 ? c * (c2 - 2 * s * s) : 2 * c2 * c2 - 1;
        return q - 1 - leaf->lobe * wavy;
    }
    case BOX: {
        float a = u < 0 ? -u : u, b = v < 0 ? -v : v;
        return (a > b ? a : b) - 0.9F;
    }
    case POLYGON: {
        float most = -1;
        for (int k = 0; k < CORNERS; k++) {
            float d = leaf->corner[k][0] * u + leaf->corner[k][1] * v - 1;
            most = d > most ? d : most;
        }
        return 0.8F * most;
    }
    case RING: {
        float d = q - 0.75F;
        return (d < 0 ? -d : d) - 0.25F;
    }
    case ROUND:
    case SHAPES:
        break;
    }
    return q - 1;
}

static void colour_at(const struct leaf *leaf, float u, float v, float x, float y, float out[3])
{
    float along = leaf->turn[0] * x + leaf->turn[1] * y, across = leaf->turn[0] * y - leaf->turn[1] * x, t = 0;
    if (leaf->texture == STRIPES)
        t = wave_at(along * leaf->wave + leaf->phase);
    else if (leaf->texture == CHECKS)
        t = wave_at(along * leaf->wave + leaf->phase) * wave_at(across * leaf->wave);
    else if (leaf->texture == NOISE)
        t = noise_at(leaf->grain, along * leaf->wave + 64, across * leaf->wave + 64);
    float shade = leaf->shade[0] * u + leaf->shade[1] * v;
    for (int k = 0; k < 3; k++)
        out[k] = leaf->colour[0][k] + t * (leaf->colour[1][k] - leaf->colour[0][k]) + shade;
}

/* A pixel so far: three colours and how much still shows through. */
typedef float light_at __attribute__((vector_size(16)));

/* Lays a leaf under what lies there. */
static void lay(int size, const struct leaf *leaf, light_at *light)
{
    float pixel = 1 / (float)size, r = leaf->ru > leaf->rv ? leaf->ru : leaf->rv, thin = leaf->ru > leaf->rv ? leaf->rv : leaf->ru;
    float soft = leaf->soft > pixel ? leaf->soft : pixel, reach = 2 * r + soft;
    float x0 = (leaf->x - reach) * (float)size, x1 = (leaf->x + reach) * (float)size + 1;
    float y0 = (leaf->y - reach) * (float)size, y1 = (leaf->y + reach) * (float)size + 1;
    int left = x0 > 0 ? (int)x0 : 0, right = x1 < (float)size ? (int)x1 : size;
    int top = y0 > 0 ? (int)y0 : 0, below = y1 < (float)size ? (int)y1 : size;
    for (int row = top; row < below; row++)
        for (int column = left; column < right; column++) {
            light_at *at = light + row * size + column;
            if (!((*at)[3] > 0))
                continue;
            float x = ((float)column + 0.5F) * pixel - leaf->x, y = ((float)row + 0.5F) * pixel - leaf->y;
            float u = (leaf->c * x + leaf->s * y) / leaf->ru, v = (leaf->c * y - leaf->s * x) / leaf->rv, colour[3];
            float cover = 0.5F - beyond(leaf, u, v) * thin / soft;
            if (!(cover > 0))
                continue;
            cover = (cover < 1 ? cover : 1) * (*at)[3];
            colour_at(leaf, u, v, x, y, colour);
            *at += cover * (light_at){colour[0], colour[1], colour[2], -1};
            if ((*at)[3] < 0.004F)
                (*at)[3] = 0;
        }
}

/* From where a class's leaves are seen: turned up to 30 degrees, from near or far, not always in the middle. Mirroring is the augmentation's. */
struct view {
    float c, s, zoom, x, y;
};

static struct view draw_view(struct ln__rng *rng)
{
    struct view view;
    float t = (2 * ln__formula_unit(rng) - 1) * 0.268F; /* the half angle's tangent */
    view.c = (1 - t * t) / (1 + t * t);
    view.s = 2 * t / (1 + t * t);
    view.zoom = between(rng, 0.7F, 1.4F);
    view.x = between(rng, 0.3F, 0.7F);
    view.y = between(rng, 0.3F, 0.7F);
    return view;
}

static struct leaf seen(const struct leaf *leaf, const struct view *view, float brighter)
{
    struct leaf out = *leaf;
    out.x = view->x + view->zoom * (view->c * leaf->x - view->s * leaf->y);
    out.y = view->y + view->zoom * (view->s * leaf->x + view->c * leaf->y);
    out.c = view->c * leaf->c - view->s * leaf->s;
    out.s = view->s * leaf->c + view->c * leaf->s;
    out.turn[0] = view->c * leaf->turn[0] - view->s * leaf->turn[1];
    out.turn[1] = view->s * leaf->turn[0] + view->c * leaf->turn[1];
    out.ru *= view->zoom;
    out.rv *= view->zoom;
    out.wave /= view->zoom;
    for (int k = 0; k < 3; k++) {
        out.colour[0][k] += brighter;
        out.colour[1][k] += brighter;
    }
    return out;
}

/* A class's leaves are larger than most and none of its shapes or textures is frequent. */
static void draw_class(const struct options *o, uint32_t number, struct thing *thing)
{
    struct ln__rng rng = ln__formula_class(o->seed, number);
    struct law law;
    draw_law(&rng, o, &law);
    law.least = 0.06F;
    law.most = 0.3F;
    law.texture = TEXTURES;
    law.shape = SHAPES;
    for (int64_t k = 0; k < o->own; k++) {
        draw_leaf(&rng, &law, &thing->leaf[k]);
        thing->leaf[k].x = 0.16F * bell(&rng); /* around the middle of the thing */
        thing->leaf[k].y = 0.16F * bell(&rng);
    }
}

/* The light: how strong, how bright, which tint, from where. What no leaf covers is grey. */
static void expose(const struct options *o, struct ln__rng *rng, const light_at *light, uint8_t *pixel)
{
    const float none[2] = {0};
    float contrast = between(rng, 0.7F, 1.3F), bright = 0.08F * bell(rng), across = 0.3F * bell(rng), down = 0.3F * bell(rng), cast[3];
    int size = (int)o->size;
    draw_colour(rng, 1, none, (float)o->chroma, cast);
    for (int k = 0; k < (o->colour ? 3 : 1); k++)
        for (int row = 0; row < size; row++)
            for (int column = 0; column < size; column++, pixel++) {
                const light_at *at = light + row * size + column;
                float x = (float)column / (float)size - 0.5F, y = (float)row / (float)size - 0.5F, bare = (*at)[3] * GREY;
                float own = o->colour ? ((*at)[k] + bare) * cast[k] : ((*at)[0] + (*at)[1] + (*at)[2]) / 3 + bare;
                float lit = own * (1 + across * x + down * y), value = GREY + contrast * (lit - GREY) + bright;
                *pixel = (uint8_t)(255 * (value > 0 ? value < 1 ? value : 1 : 0) + 0.5F);
            }
}

static void draw_picture(const struct options *o, const struct thing *thing, enum ln__split split, uint32_t number, light_at *light, uint8_t *pixel)
{
    struct ln__rng rng = ln__formula_picture(o->seed, split, number);
    int size = (int)o->size;
    for (int i = 0; i < size * size; i++)
        light[i] = (light_at){0, 0, 0, 1};
    struct view view = draw_view(&rng);
    for (int64_t k = 0; k < o->own; k++) {
        struct leaf leaf = seen(&thing->leaf[k], &view, 0.05F * bell(&rng));
        lay(size, &leaf, light);
    }
    struct law law;
    draw_law(&rng, o, &law);
    for (int k = 0; k < FALL; k++) {
        struct leaf leaf;
        draw_leaf(&rng, &law, &leaf);
        lay(size, &leaf, light);
    }
    expose(o, &rng, light, pixel);
}

struct book {
    const struct options *o;
    const struct thing *thing; /* each */
};

static void draw(const void *self, enum ln__split split, uint32_t number, void *scratch, uint8_t *pixel)
{
    const struct book *book = self;
    draw_picture(book->o, book->thing + number % (uint32_t)book->o->classes, split, number, scratch, pixel);
}

static int open_set(const void *chosen, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct options *o = chosen;
    (void)dir;
    struct thing *thing;
    struct book book = {.o = o};
    struct ln__formula formula = {.self = &book,
                                  .per_class = {[LN__TRAIN] = o->per_class, [LN__TEST] = o->test_per_class},
                                  .scratch = (size_t)(o->size * o->size) * sizeof(light_at),
                                  .draw = draw};
    int code = ln__own_init(out, "dead-leaves", fault);
    out->c = o->colour ? 3 : 1;
    out->h = out->w = (int)o->size;
    out->classes = (int)o->classes;
    if (code == 0)
        code = ln__formula_fits(&formula, out, fault);
    if (code == 0)
        code = ln__own_block(out, (size_t)o->classes, sizeof *thing, &thing, fault);
    if (code)
        return code;
    for (int64_t k = 0; k < o->classes; k++)
        draw_class(o, (uint32_t)k, &thing[k]);
    book.thing = thing;
    code = ln__formula_open(&formula, out, fault);
    ln__own_drop(out, thing);
    return code;
}

const struct ln__dataset ln__dataset_dead_leaves = {
    .plugin = {.name = "dead-leaves",
               .summary = "shapes that occlude each other, by formula: to pre-train on pictures with natural statistics without anybody's",
               .options = options,
               .options_size = sizeof(struct options)},
    .source = "made by formula, nothing to fetch",
    .open = open_set};
