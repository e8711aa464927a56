/* Vectors of LN_V floats in GNU vector extensions; everything in vec/ is compiled once for each instruction set. */
#ifndef LINNET_KERNELS_VEC_H
#define LINNET_KERNELS_VEC_H

#include "kernels/ops.h"
#include <string.h>
#if defined(__AVX2__) && defined(__clang__)
#include <immintrin.h>
#define LN__OF_16(name, ...) _mm512_##name##_ps(__VA_ARGS__)
#define LN__OF_8(name, ...) _mm256_##name##_ps(__VA_ARGS__)
#else /* what gcc's <immintrin.h> makes of the same, which takes it longer to read than to compile most of these files */
#define LN__OF_16(name, ...) __builtin_ia32_##name##ps512_mask(__VA_ARGS__, (vf){0}, (short)-1, 4)
#define LN__OF_8(name, ...) __builtin_ia32_##name##ps256(__VA_ARGS__)
#endif

typedef float vf __attribute__((vector_size(LN_V * 4)));
typedef float vfu __attribute__((vector_size(LN_V * 4), aligned(4))); /* of canonical vectors, which begin anywhere */
typedef int32_t vi __attribute__((vector_size(LN_V * 4)));
typedef double vd __attribute__((vector_size(LN_V * 8)));
typedef uint8_t vb __attribute__((vector_size(LN_V)));

#define INLINE static inline __attribute__((always_inline, unused))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL4 _Pragma("GCC unroll 4")
#define UNROLL _Pragma("GCC unroll 32")
#endif

INLINE vf load(const float *p)
{
    return *(const vf *)p;
}

INLINE void store(float *p, vf v)
{
    *(vf *)p = v;
}

/* Fetches what a loop of stores over a tensor, at p now, comes to in 2 KiB: of itself the processor fetches ahead what is read, and a store that
 * misses waits for memory. */
INLINE void soon(const float *p)
{
    __builtin_prefetch(p + 512, 1);
}

INLINE vf set1(float v)
{
    return v - (vf){0};
}

INLINE vf pick(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* a > b ? a : b, and a < b ? a : b: of a NaN in b, b. */
INLINE vf vmax(vf a, vf b)
{
#if LN_V == 16 && defined(__AVX512F__)
    return (vf)LN__OF_16(max, a, b);
#elif LN_V == 8 && defined(__AVX2__)
    return (vf)LN__OF_8(max, a, b);
#else
    return pick(a > b, a, b);
#endif
}

INLINE vf vmin(vf a, vf b)
{
#if LN_V == 16 && defined(__AVX512F__)
    return (vf)LN__OF_16(min, a, b);
#elif LN_V == 8 && defined(__AVX2__)
    return (vf)LN__OF_8(min, a, b);
#else
    return pick(a < b, a, b);
#endif
}

INLINE vf vsqrt(vf a)
{
#if LN_V == 16 && defined(__AVX512F__)
    return (vf)LN__OF_16(sqrt, a);
#elif LN_V == 8 && defined(__AVX2__)
    return (vf)LN__OF_8(sqrt, a);
#else
    for (int l = 0; l < LN_V; l++)
        a[l] = __builtin_sqrtf(a[l]);
    return a;
#endif
}

/* The lanes of channel block `block` that hold a channel. */
INLINE int real_lanes(int c, int block)
{
    return c - block * LN_V < LN_V ? c - block * LN_V : LN_V;
}

INLINE int min_int(int a, int b)
{
    return a < b ? a : b;
}

INLINE int max_int(int a, int b)
{
    return a > b ? a : b;
}

/* Elementwise work over `size` floats, cut in spans of a fixed length. */
#define LN__SPAN 16384
struct spans {
    size_t size;
    const float *a, *b, *c;
    float *y, *m, *v;
    const void *more;
    void (*run)(const struct spans *spans, size_t first, size_t count);
};

INLINE void spans_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct spans *spans = context;
    size_t first = chunk * LN__SPAN, left = spans->size - first;
    spans->run(spans, first, left < LN__SPAN ? left : LN__SPAN);
}

INLINE void spans_for(struct spans *spans, struct ln__pool *pool)
{
    ln__pool_for(pool, (spans->size + LN__SPAN - 1) / LN__SPAN, spans_chunk, spans);
}

/* Work over planes: [n][cb] of hw vectors each, some planes a chunk. */
struct planes {
    int n, c, hw, cb;
    size_t grain; /* planes a chunk */
    const float *a, *b, *x, *y;
    float *out, *out2;
    bool add;
    float number;
    enum ln__act act;
    const void *more;
    void (*run)(const struct planes *planes, size_t plane); /* plane = sample * cb + block */
};

INLINE void planes_chunk(void *context, size_t chunk, unsigned worker)
{
    (void)worker;
    const struct planes *planes = context;
    size_t all = (size_t)planes->n * (size_t)planes->cb, end = (chunk + 1) * planes->grain;
    for (size_t plane = chunk * planes->grain; plane < (end < all ? end : all); plane++)
        planes->run(planes, plane);
}

INLINE void planes_for(struct planes *planes, struct ln__pool *pool)
{
    planes->cb = ln__blocks(planes->c, LN_V);
    size_t all = (size_t)planes->n * (size_t)planes->cb;
    size_t grain = LN__SPAN / ((size_t)planes->hw * LN_V) + 1;
    planes->grain = grain;
    ln__pool_for(pool, (all + grain - 1) / grain, planes_chunk, planes);
}

#endif
