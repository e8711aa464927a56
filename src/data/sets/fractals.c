/* Fractals by formula, in the manner of FractalDB (Kataoka et al., ACCV 2020): a class is an iterated function system, a few affine maps drawn
 * at random and each taken with probability ~ |det|; systems whose picture fills too little are drawn again (section 3.2). A picture of the
 * class scales one of the six kinds of coefficient by 0.8 to 1.2, turns, mirrors and shifts the attractor and colours it. Two things differ, since at
 * 32 x 32 most of FractalDB's systems are clouds: the maps are contractions with singular values chosen as by Anderson and Farrell
 * (WACV 2022, section 3.1), and points are spread over four pixels instead of stamped with a 3 x 3 patch. Only + - * / on floats: the
 * same bytes everywhere. */
#include "data/formula.h"

#include <string.h>

#define MAPS_MAX 4
#define TRIES 20000
#define WARM 16  /* points until the attractor is reached */
#define FAR 1e4F /* a point out there will not come back */
#define POINTS_MAX 65536
#define POINTS_OF_CLASS 3072 /* when a system is judged */
#define PROBE 32             /* on a grid of this size */

struct options {
    int64_t classes, per_class, test_per_class, size, points, seed;
    bool colour;
    double fill;
};
#define INT_OPTION(name, value, least, most, text)                                                                                                   \
    {                                                                                                                                                \
        .key = #name, .type = LN_OPT_INT, .offset = offsetof(struct options, name), .fallback = value, .min = least, .max = most, .help = text       \
    }
static const struct ln_option options[] = {
    INT_OPTION(classes, "60", 2, 10000, "iterated function systems (FractalDB-60)"),
    INT_OPTION(per_class, "500", 1, 100000, "training pictures of each"),
    INT_OPTION(test_per_class, "20", 1, 100000, "test pictures of each"),
    INT_OPTION(size, "32", 8, 512, "pixels a side"),
    INT_OPTION(points, "0", 0, 65536, "of a picture; 0: three a pixel, at most 65536"),
    INT_OPTION(seed, "1", 0, 9e15, "of the pictures; apart from the run's seed"),
    {.key = "colour",
     .type = LN_OPT_BOOL,
     .offset = offsetof(struct options, colour),
     .fallback = "true",
     .help = "three planes, random colours of ground and maps for each picture; false: one plane, white on black as FractalDB"},
    {.key = "fill",
     .type = LN_OPT_REAL,
     .offset = offsetof(struct options, fill),
     .fallback = "0.2",
     .min = 0.01,
     .max = 0.6,
     .help = "least part of a 32 x 32 grid that a class's picture must touch (FractalDB: 0.2)"},
    {0}};

/* x' = a x + b y + e, y' = c x + d y + f; pick[random byte] is the map. */
struct ifs {
    int maps;
    float map[MAPS_MAX][6]; /* a b c d e f */
    uint8_t pick[256];
};

struct cloud {
    uint32_t count;
    float x[POINTS_MAX], y[POINTS_MAX];
    uint8_t map[POINTS_MAX]; /* the last one taken */
};

/* Singular values 1 > s1 > s2 of all maps with sum(s1 + 2 s2) between (5 + n) / 2 and (6 + n) / 2: less is dust, more is a cloud. */
static void draw_singular(struct ln__rng *rng, int maps, float (*value)[2])
{
    float sum;
    do {
        sum = 0;
        for (int m = 0; m < maps; m++) {
            value[m][0] = 0.97F * ln__formula_unit(rng);
            value[m][1] = value[m][0] * ln__formula_unit(rng);
            sum += value[m][0] + 2 * value[m][1];
        }
    } while (!(2 * sum > (float)(5 + maps) && 2 * sum < (float)(6 + maps)));
}

static void draw_system(struct ln__rng *rng, struct ifs *ifs)
{
    float weight[MAPS_MAX], sum = 0, value[MAPS_MAX][2];
    ifs->maps = 2 + (int)ln__rng_below(rng, MAPS_MAX - 1);
    draw_singular(rng, ifs->maps, value);
    for (int m = 0; m < ifs->maps; m++) {
        float *p = ifs->map[m], c, s, k, z;
        ln__formula_turn(rng, &c, &s);
        ln__formula_turn(rng, &k, &z);
        float u = value[m][0], v = ln__rng_u32(rng) & 1 ? -value[m][1] : value[m][1];
        p[0] = c * u * k - s * v * z;
        p[1] = -c * u * z - s * v * k;
        p[2] = s * u * k + c * v * z;
        p[3] = -s * u * z + c * v * k;
        p[4] = 2 * ln__formula_unit(rng) - 1;
        p[5] = 2 * ln__formula_unit(rng) - 1;
        weight[m] = u * value[m][1] + 0.01F;
        sum += weight[m];
    }
    float up_to = 0;
    for (int m = 0, at = 0; m < ifs->maps; m++) {
        up_to += weight[m];
        for (; at < 256 && (m == ifs->maps - 1 || (float)at < 256 * up_to / sum); at++)
            ifs->pick[at] = (uint8_t)m;
    }
}

/* count points of the system with coefficients of kind `which` (0..5; -1: none) scaled. False when it runs away. */
static bool play(const struct ifs *ifs, int which, float scale, struct ln__rng *rng, uint32_t count, struct cloud *out)
{
    struct ifs played = *ifs;
    for (int m = 0; m < ifs->maps && which >= 0; m++)
        played.map[m][which] *= scale;
    float x = 0, y = 0;
    uint32_t word = 0;
    out->count = count;
    for (uint32_t i = 0; i < count + WARM; i++) {
        word = i % 4 ? word >> 8 : ln__rng_u32(rng);
        uint8_t m = played.pick[word & 255];
        const float *p = played.map[m];
        float next = p[0] * x + p[1] * y + p[4];
        y = p[2] * x + p[3] * y + p[5];
        x = next;
        if (!(x > -FAR && x < FAR && y > -FAR && y < FAR))
            return false;
        if (i >= WARM) {
            out->x[i - WARM] = x;
            out->y[i - WARM] = y;
            out->map[i - WARM] = m;
        }
    }
    return true;
}

/* Brings the points to [0, 1] x [0, 1], the larger side filling it. False when they are all in one place. */
static bool fit(struct cloud *cloud)
{
    float x0 = cloud->x[0], x1 = x0, y0 = cloud->y[0], y1 = y0;
    for (uint32_t i = 1; i < cloud->count; i++) {
        x0 = cloud->x[i] < x0 ? cloud->x[i] : x0;
        x1 = cloud->x[i] > x1 ? cloud->x[i] : x1;
        y0 = cloud->y[i] < y0 ? cloud->y[i] : y0;
        y1 = cloud->y[i] > y1 ? cloud->y[i] : y1;
    }
    float side = x1 - x0 > y1 - y0 ? x1 - x0 : y1 - y0;
    if (!(side > 1e-3F))
        return false;
    float scale = 0.999F / side, mx = 0.5F - 0.5F * (x0 + x1) * scale, my = 0.5F - 0.5F * (y0 + y1) * scale;
    for (uint32_t i = 0; i < cloud->count; i++) {
        cloud->x[i] = cloud->x[i] * scale + mx;
        cloud->y[i] = cloud->y[i] * scale + my;
    }
    return true;
}

static bool fills(const struct cloud *cloud, double least)
{
    uint8_t hit[PROBE * PROBE] = {0};
    int touched = 0;
    for (uint32_t i = 0; i < cloud->count; i++)
        hit[(int)(cloud->y[i] * PROBE) * PROBE + (int)(cloud->x[i] * PROBE)] = 1;
    for (int i = 0; i < PROBE * PROBE; i++)
        touched += hit[i];
    return touched >= least * PROBE * PROBE;
}

static int draw_class(const struct options *o, uint32_t class, struct cloud *cloud, struct ifs *out, struct ln_fault *fault)
{
    struct ln__rng rng = ln__formula_class(o->seed, class);
    for (int try = 0; try < TRIES; try++) {
        draw_system(&rng, out);
        if (play(out, -1, 1, &rng, POINTS_OF_CLASS, cloud) && fit(cloud) && fills(cloud, o->fill))
            return 0;
    }
    return ln_fault_set(fault, LN_ECONFIG, "fractals: no system of %d fills %g of its picture; lower fill", TRIES, o->fill);
}

/* Turned by up to 45 degrees either way (half the angle's tangent is drawn: no libm), mirrored, made smaller, shifted. */
static void place(struct cloud *cloud, struct ln__rng *rng)
{
    float t = (2 * ln__formula_unit(rng) - 1) * 0.414F, c = (1 - t * t) / (1 + t * t), s = 2 * t / (1 + t * t);
    uint32_t mirror = ln__rng_u32(rng);
    float size = 0.7F + 0.25F * ln__formula_unit(rng), room = 1 - size;
    float dx = room * ln__formula_unit(rng), dy = room * ln__formula_unit(rng);
    for (uint32_t i = 0; i < cloud->count; i++) {
        float x = cloud->x[i] - 0.5F, y = cloud->y[i] - 0.5F;
        cloud->x[i] = (mirror & 1 ? -1 : 1) * (c * x - s * y);
        cloud->y[i] = (mirror & 2 ? -1 : 1) * (s * x + c * y);
    }
    (void)fit(cloud);
    for (uint32_t i = 0; i < cloud->count; i++) {
        cloud->x[i] = cloud->x[i] * size + dx;
        cloud->y[i] = cloud->y[i] * size + dy;
    }
}

/* Light of the points, a pixel: three colours and how much there is in all. */
typedef float light_at __attribute__((vector_size(16)));

static void shine(const struct options *o, const struct cloud *cloud, const light_at tint[MAPS_MAX], light_at *light)
{
    int size = (int)o->size;
    memset(light, 0, (size_t)(size * size) * sizeof *light);
    light_at colour = {0.5F, 0.5F, 0.5F, 1};
    for (uint32_t i = 0; i < cloud->count; i++) {
        float x = cloud->x[i] * (float)(size - 1), y = cloud->y[i] * (float)(size - 1);
        int column = (int)x, row = (int)y;
        float fx = x - (float)column, fy = y - (float)row;
        int right = column + 1 < size, below = row + 1 < size ? size : 0;
        light_at *at = light + row * size + column;
        colour = 0.5F * (colour + tint[cloud->map[i]]); /* the maps' colours mix along the orbit */
        at[0] += (1 - fx) * (1 - fy) * colour;
        at[right] += fx * (1 - fy) * colour;
        at[below] += (1 - fx) * fy * colour;
        at[below + right] += fx * fy * colour;
    }
}

static void draw_picture(const struct options *o, const struct ifs *ifs, enum ln__split split, uint32_t number, struct cloud *cloud, light_at *light,
                         uint8_t *pixel)
{
    struct ln__rng rng = ln__formula_picture(o->seed, split, number);
    uint32_t points = (uint32_t)(o->points ? o->points : 3 * o->size * o->size);
    points = points < POINTS_MAX ? points : POINTS_MAX;
    int which = (int)ln__rng_below(&rng, 6);
    float scale = 0.8F + 0.1F * (float)ln__rng_below(&rng, 5);
    if (!play(ifs, which, scale, &rng, points, cloud) || !fit(cloud)) {
        (void)play(ifs, -1, 1, &rng, points, cloud); /* a class's own system was seen to stay and to spread */
        (void)fit(cloud);
    }
    place(cloud, &rng);
    light_at tint[MAPS_MAX];
    float ground[3] = {0};
    for (int m = 0; m < MAPS_MAX; m++)
        for (int k = 0; k < 4; k++)
            tint[m][k] = k < 3 && o->colour ? ln__formula_unit(&rng) : 1;
    for (int k = 0; k < 3 && o->colour; k++)
        ground[k] = ln__formula_unit(&rng);
    shine(o, cloud, tint, light);
    size_t plane = (size_t)(o->size * o->size), lit = 0;
    for (size_t i = 0; i < plane; i++)
        lit += light[i][3] > 0;
    /* Of the mean light where there is any: dense parts keep their form. */
    float knee = (0.1F + 0.4F * ln__formula_unit(&rng)) * (float)points / (float)lit;
    for (int k = 0; k < (o->colour ? 3 : 1); k++)
        for (size_t i = 0; i < plane; i++) {
            float all = light[i][3], cover = all / (all + knee), own = all > 0 ? light[i][k] / all : 0;
            *pixel++ = (uint8_t)(255 * (ground[k] * (1 - cover) + own * cover) + 0.5F);
        }
}

struct scratch {
    struct cloud cloud;
    light_at light[]; /* size * size */
};

struct book {
    const struct options *o;
    const struct ifs *ifs; /* a class each */
};

static void draw(const void *self, enum ln__split split, uint32_t number, void *scratch, uint8_t *pixel)
{
    const struct book *book = self;
    struct scratch *s = scratch;
    draw_picture(book->o, book->ifs + number % (uint32_t)book->o->classes, split, number, &s->cloud, s->light, pixel);
}

static int open_set(const void *chosen, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct options *o = chosen;
    (void)dir;
    struct ifs *ifs;
    struct cloud *cloud;
    struct book book = {.o = o};
    struct ln__formula formula = {.self = &book,
                                  .per_class = {[LN__TRAIN] = o->per_class, [LN__TEST] = o->test_per_class},
                                  .scratch = sizeof(struct scratch) + (size_t)(o->size * o->size) * sizeof(light_at),
                                  .draw = draw};
    int code = ln__own_init(out, "fractals", fault);
    out->c = o->colour ? 3 : 1;
    out->h = out->w = (int)o->size;
    out->classes = (int)o->classes;
    if (code == 0)
        code = ln__formula_fits(&formula, out, fault);
    if (code == 0)
        code = ln__own_block(out, (size_t)o->classes, sizeof *ifs, &ifs, fault);
    if (code == 0)
        code = ln__own_block(out, 1, sizeof *cloud, &cloud, fault);
    for (int64_t k = 0; code == 0 && k < o->classes; k++)
        code = draw_class(o, (uint32_t)k, cloud, &ifs[k], fault);
    if (code)
        return code;
    book.ifs = ifs;
    ln__own_drop(out, cloud);
    code = ln__formula_open(&formula, out, fault);
    ln__own_drop(out, ifs);
    return code;
}

const struct ln__dataset ln__dataset_fractals = {
    .plugin = {.name = "fractals",
               .summary = "iterated function systems by formula, in the manner of FractalDB: to pre-train without anybody's pictures",
               .options = options,
               .options_size = sizeof(struct options)},
    .source = "made by formula, nothing to fetch",
    .open = open_set};
