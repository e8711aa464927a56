/* bfloat16 sets: the rounding bit by bit, each against the reference that rounds the same, and how sets are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/bf16.h"
#include "kernels/bf16_trap.h"
#include "kernels/check.h"
#include <math.h>

/* Sets that this processor can run, if need be with the instruction done by hand. */
static bool trapped;
static bool runs(const struct ln__kset *set)
{
    return set->usable() || (trapped && strcmp(set->name, "avx512-bf16") == 0);
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const struct {
    uint32_t bits;
    uint16_t rounded;
} known[] = {
    {0x3f800000, 0x3f80},                                                                   /* 1 */
    {0x3f808000, 0x3f80},                                                                   /* half way, to the even one below */
    {0x3f818000, 0x3f82},                                                                   /* and above */
    {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0xbf818000, 0xbf82}, {0x3fffffff, 0x4000}, /* into the next power of two */
    {0x7f7f7fff, 0x7f7f},                                                                   /* the largest that stays finite */
    {0x7f7f8000, 0x7f80},                                                                   /* and what does not */
    {0xff7fffff, 0xff80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, /* a NaN of low bits only stays one */
    {0x7fc12345, 0x7fc1}, {0xffbfffff, 0xffff}, {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x00000001, 0x0000}, /* denormals round like the rest */
    {0x00008000, 0x0000}, {0x00018000, 0x0002}, {0x007fffff, 0x0080}, {0x80008001, 0x8001},
};
#define KNOWN ((int)(sizeof known / sizeof *known))

static void known_roundings(void **state)
{
    (void)state;
    for (int i = 0; i < KNOWN; i++)
        assert_int_equal(ln__bf16_of(of_bits(known[i].bits)), known[i].rounded);
    for (uint32_t high = 0; high < 0x10000; high++) { /* every bfloat16 is itself, and NaNs stay NaNs */
        float value = ln__bf16_float((uint16_t)high);
        uint16_t back = ln__bf16_of(value);
        assert_true(isnan(value) ? isnan(ln__bf16_float(back)) : back == high);
    }
}

/* y = x * 1 in the first channel of a 1x1 convolution, the others being zero, shows how an operand was rounded: as a pixel of a tile or of a pair. */
#define SAMPLES 4096
#define CHANNELS 64

static struct ln__conv line_of(int pixels)
{
    return (struct ln__conv){CHANNELS, 1, pixels, CHANNELS, 1, pixels, 1, 1, 1, 0, 0, 1};
}

struct row {
    const struct ln__kset *set;
    float *x, *y, *w, *one, *canonical, *scratch;
};

static void row_open(const struct ln__kset *set, struct row *out)
{
    const struct ln__conv conv = line_of(SAMPLES);
    assert_true(ln__bf16_takes(&conv));
    size_t scratch = 1, floats = (size_t)SAMPLES * CHANNELS;
    *out = (struct row){.set = set};
    for (int pass = 0; pass < 3; pass++) {
        size_t size = set->conv_scratch(&conv, (enum ln__pass)pass, 1, 1);
        scratch = size > scratch ? size : scratch;
    }
    out->x = ln__mem_zero(floats, sizeof(float));
    out->y = ln__mem_zero(floats, sizeof(float));
    out->one = ln__mem_zero(floats, sizeof(float));
    out->w = ln__mem_zero(set->conv_weights(&conv), sizeof(float));
    out->canonical = ln__mem_zero(CHANNELS * CHANNELS, sizeof(float));
    out->scratch = ln__mem_zero(scratch, sizeof(float));
    assert_true(out->x && out->y && out->one && out->w && out->canonical && out->scratch);
}

static void row_close(struct row *row)
{
    float *all[] = {row->x, row->y, row->w, row->one, row->canonical, row->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ln__mem_free(all[i]);
}

/* The weight between the first channels; the gradient of it that is there. */
static void set_weight(struct row *row, float value)
{
    const struct ln__conv conv = line_of(SAMPLES);
    memset(row->canonical, 0, CHANNELS * CHANNELS * sizeof(float));
    row->canonical[0] = value;
    row->set->conv_pack(&conv, row->canonical, row->w);
}

static float weight_grad(struct row *row, int pixels, const float *x, const float *dy)
{
    const struct ln__conv conv = line_of(pixels);
    row->set->conv_weight_grad(&conv, 1, x, dy, row->w, NULL, row->scratch, NULL);
    row->set->conv_unpack(&conv, row->w, row->canonical);
    return row->canonical[0];
}

/* Whether a product gave what was rounded times one. Instructions may take denormals for zero: then so is the product. */
static void expect(const struct ln__kset *set, uint32_t bits, float got)
{
    float rounded = ln__bf16_float(ln__bf16_of(of_bits(bits)));
    bool flushed = fpclassify(rounded) == FP_SUBNORMAL && got == 0 && !strstr(set->name, "emulated") && set->lanes > 1;
    if (!(isnan(rounded) ? isnan(got) : got == rounded || flushed))
        fail_msg("%s: %08x becomes %g, not %g", set->name, bits, (double)got, (double)rounded);
}

static uint32_t sample_bits(int i)
{
    return i < KNOWN ? known[i].bits : (uint32_t)i * 2654435761U;
}

static void set_rounds(const struct ln__kset *set)
{
    const struct ln__conv all = line_of(SAMPLES), single = line_of(1);
    const size_t lanes = (size_t)set->lanes;
    struct row row;
    row_open(set, &row);
    for (size_t i = 0; i < SAMPLES; i++) {
        row.x[i * lanes] = of_bits(sample_bits((int)i));
        row.one[i * lanes] = 1;
    }
    set_weight(&row, 1);
    set->conv_forward(&all, 1, row.x, row.w, NULL, row.y, row.scratch, NULL);
    for (size_t i = 0; i < SAMPLES; i++)
        expect(set, sample_bits((int)i), row.y[i * lanes]);
    set->conv_input_grad(&all, 1, row.x, row.w, row.y, false, row.scratch, NULL);
    for (size_t i = 0; i < SAMPLES; i++)
        expect(set, sample_bits((int)i), row.y[i * lanes]);
    memset(row.x, 0, (size_t)SAMPLES * CHANNELS * sizeof *row.x);
    for (int i = 0; i < KNOWN; i++) { /* a weight; then both operands of its gradient, alone and as the second of a pair */
        const uint32_t bits = known[i].bits;
        set_weight(&row, of_bits(bits));
        set->conv_forward(&single, 1, row.one, row.w, NULL, row.y, row.scratch, NULL);
        expect(set, bits, row.y[0]);
        set->conv_input_grad(&single, 1, row.one, row.w, row.y, false, row.scratch, NULL);
        expect(set, bits, row.y[0]);
        row.x[0] = of_bits(bits);
        expect(set, bits, weight_grad(&row, 1, row.x, row.one));
        expect(set, bits, weight_grad(&row, 1, row.one, row.x));
        row.x[0] = 0;
        row.x[lanes] = of_bits(bits);
        expect(set, bits, weight_grad(&row, 2, row.x, row.one));
        row.x[lanes] = 0;
    }
    row_close(&row);
}

static void every_set_rounds_the_same(void **state)
{
    (void)state;
    trapped = trap_set(); /* cmocka catches signals anew for each test */
    size_t count;
    const struct ln__kset *const *set = ln__kset_bf16_list(&count);
    for (size_t i = 0; i < count; i++) {
        if (runs(set[i]))
            set_rounds(set[i]);
    }
}

static void tell(void *context, const struct ln__kernel_row *row)
{
    int *rows = context;
    ++*rows;
    if (!row->ok)
        print_error("%s, %s: %s (%.3g)\n", row->kernel, row->shape, row->what, row->error);
}

static void sets_agree_with_the_reference(void **state)
{
    (void)state;
    size_t count;
    const struct ln__kset *const *set = ln__kset_bf16_list(&count);
    for (size_t i = 0; i < count; i++) {
        int rows = 0;
        print_message("%s%s\n", set[i]->name, set[i]->usable() ? "" : ": not on this processor");
        if (!set[i]->usable() || set[i]->lanes == 1)
            continue;
        assert_int_equal(ln__kernels_check(set[i], NULL, tell, &rows), 0);
        assert_true(rows > 60);
    }
}

/* The outputs of the three passes of one convolution. */
static void passes(const struct ln__kset *set, float *out, size_t room)
{
    const struct ln__conv conv = {40, 3, 3, 40, 3, 3, 3, 3, 1, 1, 1, 1};
    const int n = 3;
    size_t plane = (size_t)(n * 9 * ln__blocks(40, set->lanes) * set->lanes), weights = set->conv_weights(&conv), scratch = 1;
    assert_true(2 * plane + weights <= room);
    for (int pass = 0; pass < 3; pass++) {
        size_t size = set->conv_scratch(&conv, (enum ln__pass)pass, n, 1);
        scratch = size > scratch ? size : scratch;
        assert_true(ln__bf16_takes(&conv));
    }
    float *canonical = ln__mem_zero(40 * 40 * 9, sizeof(float)), *x = ln__mem_zero(plane, sizeof(float)), *dy = ln__mem_zero(plane, sizeof(float));
    float *w = ln__mem_zero(weights, sizeof(float)), *work = ln__mem_zero(scratch, sizeof(float));
    assert_true(canonical && x && dy && w && work);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = 1, .purpose = LN__FOR_TEST});
    for (int k = 0; k < 40 * 40 * 9; k++)
        canonical[k] = (float)ln__rng_normal(&rng);
    set->conv_pack(&conv, canonical, w);
    set->pack(n, 40, 9, canonical, x, NULL);
    set->pack(n, 40, 9, canonical + 7000, dy, NULL);
    set->conv_forward(&conv, n, x, w, NULL, out, work, NULL);
    set->conv_input_grad(&conv, n, dy, w, out + plane, false, work, NULL);
    set->conv_weight_grad(&conv, n, x, dy, out + 2 * plane, NULL, work, NULL);
    void *blocks[] = {canonical, x, dy, w, work};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        ln__mem_free(blocks[i]);
}

/* The portable form adds as vdpbf16ps does, so without denormals the bits are the same. On a processor without the instruction it is done by hand. */
static void avx512_gives_the_bits_of_its_portable_form(void **state)
{
    (void)state;
    trapped = trap_set();
    size_t count, room = 60000;
    const struct ln__kset *const *set = ln__kset_bf16_list(&count), *by_hand = ln__kset_named("avx512-bf16-emulated");
    float *one = ln__mem_zero(room, sizeof(float)), *other = ln__mem_zero(room, sizeof(float));
    assert_true(one && other);
    for (size_t i = 0; i < count && by_hand; i++) {
        if (strcmp(set[i]->name, "avx512-bf16") != 0 || !runs(set[i]))
            continue;
        print_message("%s%s\n", set[i]->name, set[i]->usable() ? "" : ", its instruction done by hand");
        passes(by_hand, one, room);
        passes(set[i], other, room);
        assert_memory_equal(one, other, room * sizeof(float));
    }
    ln__mem_free(one);
    ln__mem_free(other);
}

static void every_set_has_one_of_bfloat16(void **state)
{
    (void)state;
    size_t count;
    const struct ln__kset *const *set = ln__kset_list(&count);
    for (size_t i = 0; i < count; i++) {
        assert_false(set[i]->bf16);
        assert_ptr_equal(ln__kset_float(set[i]), set[i]);
        if (!set[i]->usable())
            continue;
        const struct ln__kset *bf16 = ln__kset_bf16(set[i]);
        assert_true(bf16->bf16 && bf16->usable());
        assert_int_equal(bf16->lanes, set[i]->lanes);
        assert_ptr_equal(ln__kset_bf16(bf16), bf16);
        assert_ptr_equal(ln__kset_float(bf16), set[i]);
        assert_ptr_equal(ln__kset_named(bf16->name), bf16);
    }
}

/* Which shapes: what is said in docs/architecture.md. */
static void shapes_that_are_taken(void **state)
{
    (void)state;
    const struct {
        struct ln__conv conv;
        bool taken;
    } shapes[] = {
        {{64, 32, 32, 64, 32, 32, 3, 3, 1, 1, 1, 1}, false}, /* Winograd */
        {{512, 2, 2, 512, 2, 2, 3, 3, 1, 1, 1, 1}, true},    /* too small for it */
        {{64, 32, 32, 128, 16, 16, 3, 3, 2, 1, 1, 1}, true}, /* strided */
        {{3, 32, 32, 32, 16, 16, 3, 3, 2, 1, 1, 1}, false},  /* a first layer */
        {{96, 16, 16, 96, 16, 16, 3, 3, 2, 1, 1, 96}, false}, {{64, 8, 8, 384, 8, 8, 1, 1, 1, 0, 0, 1}, true},
        {{96, 16, 16, 24, 16, 16, 1, 1, 1, 0, 0, 1}, false},  {{24, 16, 16, 144, 16, 16, 1, 1, 1, 0, 0, 1}, false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        assert_int_equal(ln__bf16_takes(&shapes[i].conv), shapes[i].taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_roundings),
        cmocka_unit_test(every_set_rounds_the_same),
        cmocka_unit_test(sets_agree_with_the_reference),
        cmocka_unit_test(avx512_gives_the_bits_of_its_portable_form),
        cmocka_unit_test(every_set_has_one_of_bfloat16),
        cmocka_unit_test(shapes_that_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
