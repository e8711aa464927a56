/* PNG through libpng's row interface (not the simplified one, which would apply a file's gamma), PNM by hand. */
#include "data/formats.h"

#include <assert.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

void ln__image_fini(struct ln__image *image)
{
    ln__mem_free(image->pixel);
    *image = (struct ln__image){0};
}

static int image_alloc(struct ln__image *out, const char *name, uint32_t w, uint32_t h, int c, struct ln_fault *fault)
{
    if (w == 0 || h == 0 || w > LN__IMAGE_SIDE_MAX || h > LN__IMAGE_SIDE_MAX || (size_t)w * h * (size_t)c > LN__IMAGE_BYTES_MAX)
        return ln_fault_set(fault, LN_EBUDGET, "%s: %u x %u pixels; expected 1 to %d a side and at most %zu MiB", name, w, h, LN__IMAGE_SIDE_MAX,
                            LN__IMAGE_BYTES_MAX >> 20);
    *out = (struct ln__image){.c = c, .h = (int)h, .w = (int)w, .pixel = ln__mem_alloc((size_t)w * h * (size_t)c)};
    return out->pixel ? 0 : ln_fault_set(fault, LN_ENOMEM, "%s: no memory for %u x %u pixels", name, w, h);
}

/* ---- PNG ---- */
struct png_source {
    const unsigned char *at;
    size_t left;
    char text[128]; /* libpng's complaint */
};

static void png_from_memory(png_structp png, png_bytep to, size_t size)
{
    struct png_source *source = png_get_io_ptr(png);
    if (size > source->left)
        png_error(png, "the file ends too early");
    memcpy(to, source->at, size);
    source->at += size;
    source->left -= size;
}

static void png_failed(png_structp png, png_const_charp text)
{
    struct png_source *source = png_get_error_ptr(png);
    size_t n = strlen(text);
    if (n >= sizeof source->text)
        n = sizeof source->text - 1;
    memcpy(source->text, text, n);
    source->text[n] = 0;
    png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static png_voidp png_take(png_structp png, png_alloc_size_t size)
{
    (void)png;
    return ln__mem_alloc(size);
}

static void png_give(png_structp png, png_voidp block)
{
    (void)png;
    ln__mem_free(block);
}

/* Header and transformations; returns the channels of a decoded row, or 0 after setting the fault. Runs under the caller's setjmp. */
static int png_begin(png_structp png, png_infop info)
{
    png_set_user_limits(png, LN__IMAGE_SIDE_MAX, LN__IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(png, 1 << 20);
    png_set_chunk_cache_max(png, 16);
    png_read_info(png, info);
    png_set_expand(png); /* palette to colour, 1-4 bits to 8, transparency to alpha */
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    return png_get_channels(png, info);
}

int ln__png_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault)
{
    struct png_source source = {.at = data, .left = size};
    *out = (struct ln__image){0};
    png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &source, png_failed, png_warned, NULL, png_take, png_give);
    if (!png)
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for the PNG reader", name);
    png_infop info = png_create_info_struct(png);
    if (!info) {
        png_destroy_read_struct(&png, NULL, NULL);
        return ln_fault_set(fault, LN_ENOMEM, "%s: no memory for the PNG reader", name);
    }
    volatile int code = 0;
    if (setjmp(png_jmpbuf(png))) {
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: not a readable PNG: %s", name, source.text);
    } else {
        png_set_read_fn(png, &source, png_from_memory);
        int c = png_begin(png, info);
        if (c != 1 && c != 3)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: PNG of %d channels; expected grey or colour", name, c);
        else
            code = image_alloc(out, name, png_get_image_width(png, info), png_get_image_height(png, info), c, fault);
        if (code == 0) {
            size_t stride = (size_t)out->w * (size_t)out->c;
            int passes = png_get_interlace_type(png, info) == PNG_INTERLACE_NONE ? 1 : 7;
            for (int pass = 0; pass < passes; pass++)
                for (int y = 0; y < out->h; y++)
                    png_read_row(png, out->pixel + (size_t)y * stride, NULL);
        }
    }
    png_destroy_read_struct(&png, &info, NULL);
    if (code)
        ln__image_fini(out);
    return code;
}

/* ---- PNM ---- */
struct pnm {
    const unsigned char *at, *end;
};

/* The next number of the header (or of the plain formats): blanks and # comments first. -1: none, or over 65535. */
static int pnm_number(struct pnm *in)
{
    for (; in->at < in->end; in->at++) {
        if (*in->at == '#') {
            while (in->at < in->end && *in->at != '\n')
                in->at++;
            if (in->at == in->end)
                return -1;
        } else if (*in->at != ' ' && (*in->at < '\t' || *in->at > '\r')) {
            break;
        }
    }
    int value = -1;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        value = (value < 0 ? 0 : value) * 10 + (*in->at - '0');
        if (value > 65535)
            return -1;
    }
    return value;
}

static uint8_t to_byte(unsigned value, unsigned most)
{
    return most == 255 ? (uint8_t)value : (uint8_t)((value * 255u + most / 2) / most);
}

static int pnm_values(struct pnm *in, const char *name, bool plain, unsigned most, struct ln__image *out, struct ln_fault *fault)
{
    size_t count = (size_t)out->w * (size_t)out->h * (size_t)out->c, wide = most > 255 ? 2 : 1;
    if (!plain && (size_t)(in->end - in->at) < count * wide)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: %zu bytes of pixels; expected %zu for %d x %d", name, (size_t)(in->end - in->at), count * wide,
                            out->w, out->h);
    for (size_t i = 0; i < count; i++) {
        unsigned value;
        if (plain) {
            int number = pnm_number(in);
            if (number < 0)
                return ln_fault_set(fault, LN_ECORRUPT, "%s: value %zu of %zu is missing or no number", name, i + 1, count);
            value = (unsigned)number;
        } else {
            value = wide == 2 ? (unsigned)in->at[2 * i] << 8 | in->at[2 * i + 1] : in->at[i];
        }
        if (value > most)
            return ln_fault_set(fault, LN_ECORRUPT, "%s: pixel value %u at %zu is over the file's maximum %u", name, value, i, most);
        out->pixel[i] = to_byte(value, most);
    }
    return 0;
}

int ln__ppm_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault)
{
    *out = (struct ln__image){0};
    struct pnm in = {.at = data, .end = (const unsigned char *)data + size};
    if (size < 3 || in.at[0] != 'P' || !strchr("2356", in.at[1]))
        return ln_fault_set(fault, LN_ECORRUPT, "%s: not a PNM picture: expected P2, P3, P5 or P6 at its start", name);
    bool plain = in.at[1] == '2' || in.at[1] == '3';
    int c = in.at[1] == '3' || in.at[1] == '6' ? 3 : 1;
    in.at += 2;
    int w = pnm_number(&in), h = pnm_number(&in), most = pnm_number(&in);
    if (w < 0 || h < 0 || most < 1)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: broken PNM header: expected width, height and a maximum of 1 to 65535", name);
    if (!plain) {
        if (in.at == in.end)
            return ln_fault_set(fault, LN_ECORRUPT, "%s: the file ends behind the header", name);
        in.at++; /* exactly one blank */
    }
    if (plain && (size_t)w * (size_t)h * (size_t)c > size) /* a value takes at least a byte: refuse before allocating */
        return ln_fault_set(fault, LN_ECORRUPT, "%s: too short for %d x %d values", name, w, h);
    int code = image_alloc(out, name, (uint32_t)w, (uint32_t)h, c, fault);
    if (code == 0)
        code = pnm_values(&in, name, plain, (unsigned)most, out, fault);
    if (code)
        ln__image_fini(out);
    return code;
}

int ln__image_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault)
{
    const unsigned char *byte = data;
    *out = (struct ln__image){0};
    if (size >= 8 && png_sig_cmp(byte, 0, 8) == 0)
        return ln__png_decode(data, size, name, out, fault);
    if (size >= 2 && byte[0] == 'P' && byte[1] >= '1' && byte[1] <= '7')
        return ln__ppm_decode(data, size, name, out, fault);
    return ln_fault_set(fault, LN_ECORRUPT, "%s: neither a PNG nor a PNM (PPM, PGM) picture", name);
}

static unsigned channel_at(const struct ln__image *image, int c, int wanted, int y, int x)
{
    const uint8_t *p = image->pixel + ((size_t)y * (size_t)image->w + (size_t)x) * (size_t)image->c;
    if (image->c == 1)
        return p[0];
    if (wanted == 1)
        return (299u * p[0] + 587u * p[1] + 114u * p[2] + 500u) / 1000u;
    return p[c];
}

/* Source position of output i in 1/65536 pixel, clamped to the picture. */
static int64_t source_at(int i, int from, int to)
{
    int64_t at = ((int64_t)(2 * i + 1) * from * 65536) / (2 * to) - 32768;
    int64_t last = (int64_t)(from - 1) * 65536;
    return at < 0 ? 0 : at > last ? last : at;
}

void ln__image_planes(const struct ln__image *image, int c, int h, int w, uint8_t *out)
{
    bool same = h == image->h && w == image->w;
    assert(c == 1 || c == 3);
    for (int k = 0; k < c; k++) {
        for (int y = 0; y < h; y++) {
            int64_t sy = source_at(y, image->h, h);
            int y0 = (int)(sy >> 16), y1 = y0 + 1 < image->h ? y0 + 1 : y0;
            uint64_t fy = (uint64_t)(sy & 65535);
            for (int x = 0; x < w; x++) {
                if (same) {
                    *out++ = (uint8_t)channel_at(image, k, c, y, x);
                    continue;
                }
                int64_t sx = source_at(x, image->w, w);
                int x0 = (int)(sx >> 16), x1 = x0 + 1 < image->w ? x0 + 1 : x0;
                uint64_t fx = (uint64_t)(sx & 65535);
                uint64_t top = channel_at(image, k, c, y0, x0) * (65536 - fx) + channel_at(image, k, c, y0, x1) * fx;
                uint64_t low = channel_at(image, k, c, y1, x0) * (65536 - fx) + channel_at(image, k, c, y1, x1) * fx;
                *out++ = (uint8_t)((top * (65536 - fy) + low * fy + (UINT64_C(1) << 31)) >> 32);
            }
        }
    }
}
