/* Parsers of the files that data sets come in. The bytes may come from a stranger: every function here takes memory, checks each
 * size before it uses it, bounds what it allocates, and names the file, the place and what was expected in its fault. Nothing here
 * opens a file: tests/fuzz calls these functions directly. */
#ifndef LINNET_DATA_FORMATS_H
#define LINNET_DATA_FORMATS_H

#include "base/mem.h"
#include <linnet/error.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- pictures ---- */
#define LN__IMAGE_SIDE_MAX 16384
#define LN__IMAGE_BYTES_MAX ((size_t)64 << 20)

/* 8 bits a channel, c is 1 (grey) or 3 (red, green, blue); alpha is dropped, palettes and 16-bit samples are brought to 8 bits. */
struct ln__image {
    int c, h, w;
    uint8_t *pixel; /* [h][w][c], the image's own */
};
/* PNG (libpng) or PNM (P2, P3, P5, P6), told by the first bytes. LN_EBUDGET over the bounds above. */
int ln__image_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__png_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault) LN_MUST_CHECK;
int ln__ppm_decode(const void *data, size_t size, const char *name, struct ln__image *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln__image_fini(struct ln__image *image);
/* Copies as planes [c][h][w] with 1 or 3 channels (grey is repeated; colour becomes BT.601 luma) and size (bilinear, half-pixel centres). */
void ln__image_planes(const struct ln__image *image, int c, int h, int w, uint8_t *out);

/* ---- CIFAR binary: records of label bytes and 3072 pixel bytes (1024 red, 1024 green, 1024 blue) ---- */
#define LN__CIFAR_PIXELS 3072
struct ln__cifar_layout {
    int labels;       /* label bytes in front of the pixels: 1 (CIFAR-10) or 2 (CIFAR-100: coarse, fine) */
    int use;          /* which of them is the label */
    int classes;      /* of the used one */
    uint32_t records; /* the file must hold exactly these; 0: any whole number, at least one */
};
size_t ln__cifar_records(const struct ln__cifar_layout *layout, size_t size);
/* pixel [records][3072] and label [records] are the caller's. */
int ln__cifar_parse(const struct ln__cifar_layout *layout, const void *data, size_t size, const char *name, uint8_t *pixel, int32_t *label,
                    struct ln_fault *fault) LN_MUST_CHECK;

/* ---- IDX (MNIST): 0 0 type dims, then big-endian sizes, then the values; unsigned bytes only ---- */
#define LN__IDX_DIMS_MAX 4
struct ln__idx {
    int dims;
    uint32_t dim[LN__IDX_DIMS_MAX];
    const uint8_t *data; /* inside the parsed bytes */
};
int ln__idx_parse(const void *data, size_t size, const char *name, int dims, struct ln__idx *out, struct ln_fault *fault) LN_MUST_CHECK;

/* ---- CSV ---- */
enum ln__csv_header { LN__CSV_AUTO, LN__CSV_YES, LN__CSV_NO }; /* auto: the first line is a header when none of its cells is a number */
struct ln__csv_args {
    char separator;
    enum ln__csv_header header;
    const char *label; /* the label column's name or number from 1; "" or NULL: the last */
    const char *owner; /* the column that says who a row belongs to, as above; "" or NULL: none */
};
struct ln__csv_cell {
    const char *text; /* inside the parsed bytes, quotes and surrounding blanks off */
    uint32_t size;
};
struct ln__csv {
    uint32_t rows, features;
    struct ln__buf value; /* float [rows][features] */
    struct ln__buf label; /* struct ln__csv_cell [rows] */
    struct ln__buf owner; /* struct ln__csv_cell [rows], empty without an owner column */
};
/* out holds what was made also on failure: ln__csv_fini it in any case. */
int ln__csv_parse(const void *data, size_t size, const char *name, const struct ln__csv_args *args, struct ln__csv *out,
                  struct ln_fault *fault) LN_MUST_CHECK;
void ln__csv_fini(struct ln__csv *csv);
/* Numbers before texts; numbers by value. */
int ln__csv_cell_order(const struct ln__csv_cell *a, const struct ln__csv_cell *b);

/* ---- {"data": [[0, 255, ...], ...]}: rows of bytes as JSON, read without building a tree (a file of 16 MB would need 250 MB as one) ---- */
/* Calls row(context, number, values, count) for each inner list; its failure ends the parse. Lists of more than max values are refused. */
int ln__json_rows(const void *data, size_t size, const char *name, uint32_t max,
                  int (*row)(void *context, uint32_t number, const uint8_t *value, uint32_t count), void *context,
                  struct ln_fault *fault) LN_MUST_CHECK;

#endif
