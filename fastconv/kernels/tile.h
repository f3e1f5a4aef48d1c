/* The register tile: the one thing that Cython cannot say.
 *
 * Every dense kernel of fastconv is the matrix product
 *
 *     C[i, j] = bias[j] + sum over s, k of  A[i*a_row + s*a_segment + k*a_step] * B[s*b_segment + k*b_row + j]
 *
 * with i < rows, j < cols, s < segments, k < depth.  The strides of A say which product it is: the overlapping
 * windows of a convolution, its gradients, or a plain matrix.  A tile of rows x vectors of C stays in registers
 * over the whole sum, and every element of C is one chain of multiply-adds in the order of (s, k): its bits
 * depend on neither the tile's shape nor the vector's length.
 *
 * B, bias, mask and C have rows padded to a multiple of 64 bytes; whole vectors are read and written.
 */
#ifndef FASTCONV_TILE_H
#define FASTCONV_TILE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define FC_LEVEL "avx512"
#define FC_VECTOR_BYTES 64
#define FC_TILE_ROWS 12 /* x 2 vectors: 24 of 32 registers */
#define FC_FMA_float(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FC_FMA_double(a, b, c) _mm512_fmadd_pd(a, b, c)
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define FC_LEVEL "avx2"
#define FC_VECTOR_BYTES 32
#define FC_TILE_ROWS 6 /* x 2 vectors: 12 of 16 registers */
#define FC_FMA_float(a, b, c) _mm256_fmadd_ps(a, b, c)
#define FC_FMA_double(a, b, c) _mm256_fmadd_pd(a, b, c)
#else
#define FC_LEVEL "base"
#define FC_VECTOR_BYTES 16
#define FC_TILE_ROWS 6
#define FC_FMA_float(a, b, c) ((a) * (b) + (c))
#define FC_FMA_double(a, b, c) ((a) * (b) + (c))
#endif

typedef struct {
    ptrdiff_t rows, cols;      /* of C */
    ptrdiff_t segments, depth; /* the sum: segments x depth terms */
    const ptrdiff_t *depths;   /* or NULL: the depth of each segment, where they differ */
    ptrdiff_t a_row, a_segment, a_step;
    ptrdiff_t b_segment, b_row;
    ptrdiff_t c_row; /* also the mask's row */
    int relu;        /* C = max(0, C) */
} fc_product;

#define FC_REAL float
#define FC_BITS int32_t
#define FC_NAME(name) name##_float
#define FC_FMA FC_FMA_float
#include "tile_template.h"
#undef FC_REAL
#undef FC_BITS
#undef FC_NAME
#undef FC_FMA

#define FC_REAL double
#define FC_BITS int64_t
#define FC_NAME(name) name##_double
#define FC_FMA FC_FMA_double
#include "tile_template.h"
#undef FC_REAL
#undef FC_BITS
#undef FC_NAME
#undef FC_FMA

#endif
