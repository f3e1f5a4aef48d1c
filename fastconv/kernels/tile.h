/* The register tiles: the one thing that Cython cannot say.
 *
 * fc_multiply: every dense kernel of fastconv is the matrix product
 *
 *     C[h, i, j] = bias[j] + sum over o, s, k of
 *         A[h*a_line + i*a_row + o*a_outer + s*a_segment + k*a_step] * B[o*b_outer + s*b_segment + k*b_row + j]
 *
 * with h < lines, i < rows, j < cols, o < outer, s < segments, k < depth.  The strides of A say which product it is:
 * the overlapping windows of a convolution, its gradients, or a plain matrix.  A tile of rows x vectors of C stays in
 * registers over the whole sum, and every element of C is one chain of multiply-adds in the order of (o, s, k): its
 * bits depend on neither the tile's shape nor the vector's length.
 *
 * fc_multiply_pooled: the same, then max-pooling of 2 x 2.
 *
 * fc_slide: a convolution whose weights fit in the first-level cache, for inputs with many zeros, as behind a ReLU.
 * A window of `taps` output positions stays in registers and slides over the input, one sample after the other; each
 * input that is not zero is multiplied with its weights for all positions of the window:
 *
 *     C[i + j - least, :] += x[i, c] * W[j*w_tap + c*w_row + :]    for i < positions, c < channels, j < taps
 *
 * with least = max(0, positions - outputs), and only the `outputs` rows from 0 on stored.  Each element of C is one
 * chain, in the order of (i, c).  With a negative x_row the window slides backwards, from a sample's last position:
 * then the last rows of C come first.
 *
 * Samples that end alike can share what comes of their ends alone (fc_suffixes).  Backwards, a sample goes on with the
 * window as another one kept it at the end of what they have in common.  Forwards is the adjoint: the outputs that are
 * in common become the sum over these samples, in the row of the first of them.
 *
 * fc_lookup and fc_scatter: the convolution of one-hot columns and its gradient; a code selects a row of the weights.
 * fc_lookup_largest and fc_scatter_largest: the same where of all positions only the largest counts.
 *
 * B, W, bias, mask and C have rows padded to a multiple of 64 bytes; whole vectors are read and written.
 */
#ifndef FASTCONV_TILE_H
#define FASTCONV_TILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FC_COLUMNS 4 /* vectors of a row that are looked up at a time */

#if defined(__AVX512F__)
#include <immintrin.h>
#define FC_LEVEL "avx512"
#define FC_VECTOR_BYTES 64
#define FC_TILE_ROWS 12 /* x 2 vectors, or half as many x 4: 24 of 32 registers */
#define FC_TILE_WIDE 4  /* vectors at most */
#define FC_TILE_VECTORS(left) ((left) >= 4 ? 4 : (left) >= 2 ? 2 : 1) /* at a time, of those left of a row */
#define FC_SLIDE_WIDE 8 /* taps x 2 vectors at most */
#define FC_FMA_float(a, b, c) _mm512_fmadd_ps(a, b, c)
#define FC_FMA_double(a, b, c) _mm512_fmadd_pd(a, b, c)
#define FC_NONZERO_float(a) _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_NEQ_UQ)
#define FC_NONZERO_double(a) _mm512_cmp_pd_mask(a, _mm512_setzero_pd(), _CMP_NEQ_UQ)
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define FC_LEVEL "avx2"
#define FC_VECTOR_BYTES 32
#define FC_TILE_ROWS 6 /* x 2 vectors, or 4 x 3: 12 of 16 registers */
#define FC_TILE_WIDE 3
#define FC_TILE_VECTORS(left) ((left) >= 3 && (left) % 2 ? 3 : (left) >= 2 ? 2 : 1)
#define FC_SLIDE_WIDE 6
#define FC_FMA_float(a, b, c) _mm256_fmadd_ps(a, b, c)
#define FC_FMA_double(a, b, c) _mm256_fmadd_pd(a, b, c)
#define FC_IN_PLACE(a) __asm__("" : "+x"(a)) /* else gcc copies sums from register to register in a loop */
#define FC_NONZERO_float(a) _mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_NEQ_UQ))
#define FC_NONZERO_double(a) _mm256_movemask_pd(_mm256_cmp_pd(a, _mm256_setzero_pd(), _CMP_NEQ_UQ))
#else
#define FC_LEVEL "base"
#define FC_VECTOR_BYTES 16
#define FC_TILE_ROWS 6
#define FC_TILE_WIDE 3
#define FC_TILE_VECTORS(left) ((left) >= 3 && (left) % 2 ? 3 : (left) >= 2 ? 2 : 1)
#define FC_SLIDE_WIDE 6
#define FC_FMA_float(a, b, c) ((a) * (b) + (c))
#define FC_FMA_double(a, b, c) ((a) * (b) + (c))
#if defined(__SSE2__)
#include <emmintrin.h>
#define FC_NONZERO_float(a) _mm_movemask_ps(_mm_cmpneq_ps(a, _mm_setzero_ps()))
#define FC_NONZERO_double(a) _mm_movemask_pd(_mm_cmpneq_pd(a, _mm_setzero_pd()))
#else
#define FC_NONZERO_float(a) ((a)[0] != 0 | ((a)[1] != 0) << 1 | ((a)[2] != 0) << 2 | ((a)[3] != 0) << 3)
#define FC_NONZERO_double(a) ((a)[0] != 0 | ((a)[1] != 0) << 1)
#endif
#endif

#ifndef FC_IN_PLACE
#define FC_IN_PLACE(a)
#endif

#define FC_SHUFFLE __builtin_shufflevector
#define FC_TRANSPOSE_float(b)                                                                         \
    do {                                                                                              \
        const quad p = FC_SHUFFLE(b[0], b[1], 0, 4, 1, 5), q = FC_SHUFFLE(b[2], b[3], 0, 4, 1, 5);    \
        const quad r = FC_SHUFFLE(b[0], b[1], 2, 6, 3, 7), s = FC_SHUFFLE(b[2], b[3], 2, 6, 3, 7);    \
        b[0] = FC_SHUFFLE(p, q, 0, 1, 4, 5), b[1] = FC_SHUFFLE(p, q, 2, 3, 6, 7);                     \
        b[2] = FC_SHUFFLE(r, s, 0, 1, 4, 5), b[3] = FC_SHUFFLE(r, s, 2, 3, 6, 7);                     \
    } while (0)
#define FC_TRANSPOSE_double(b)                                                                        \
    do {                                                                                              \
        const quad p = FC_SHUFFLE(b[0], b[1], 0, 2), q = FC_SHUFFLE(b[0], b[1], 1, 3);                \
        b[0] = p, b[1] = q;                                                                           \
    } while (0)

typedef struct {
    ptrdiff_t lines, rows, cols;      /* of C */
    ptrdiff_t outer, segments, depth; /* the sum: outer x segments x depth terms */
    const ptrdiff_t *depths;          /* or NULL: the depth of each segment, where they differ */
    const ptrdiff_t *reach;           /* or NULL: the segments that count for each row, descending */
    ptrdiff_t a_line, a_row, a_outer, a_segment, a_step;
    ptrdiff_t b_outer, b_segment, b_row;
    ptrdiff_t c_line, c_row; /* also the mask's */
    int add;                 /* to what C holds; there is no bias then */
    int relu;                /* C = max(0, C) */
} fc_product;

/* Samples in a sequence in which neighbours may have their last positions in common. */
typedef struct {
    const ptrdiff_t *sequence; /* (samples,) */
    const ptrdiff_t *shared;   /* of each sample: how many positions the one before it has too */
    const uint64_t *joins;     /* of each sample: bit d: a later one has d of them in common with it, then its own */
} fc_suffixes;

typedef struct {
    ptrdiff_t taps; /* 1 to FC_TAPS */
    ptrdiff_t samples, channels, cols;
    const ptrdiff_t *positions, *outputs; /* of each sample */
    ptrdiff_t x_sample, x_row;
    ptrdiff_t c_sample, c_row; /* also the mask's */
    ptrdiff_t w_tap, w_row;
    int relu, add; /* max(0, C); to what C holds: there is no bias then */
    const fc_suffixes *suffixes; /* or NULL */
} fc_window;

/* What fc_slide does about what samples have in common. */
enum {
    FC_PLAIN,   /* nothing */
    FC_RESUMES, /* it goes on with a window that another sample has kept */
    FC_HANDS_ON /* it hands on what it has for outputs that are not its own, and takes what others have for its own */
};

/* How fc_slide goes over a sample: inputs from first to positions, outputs i + j, of which those up to reach are summed
 * and those from least to stop stored.  Bit i of joins: the window after input i is kept. */
typedef struct {
    ptrdiff_t first, positions, least, stop, reach;
    uint64_t joins;
} fc_way;

typedef struct {
    ptrdiff_t width, stride, before, dilation, cols;
    ptrdiff_t w_tap, w_row, y_row;
    int relu;
} fc_table;

#define FC_TAPS 8
#define FC_CHANNELS 64 /* of fc_slide's x at most */
#define FC_SHARED 6    /* taps of an fc_slide with suffixes: 4 to 6 */
#define FC_AHEAD 16    /* positions that fc_slide looks ahead; more than FC_TAPS */
#define FC_KEPT (2 * FC_LANES) /* elements of a row that fc_slide keeps */

#define FC_REAL float
#define FC_BITS int32_t
#define FC_NAME(name) name##_float
#define FC_FMA FC_FMA_float
#define FC_NONZERO FC_NONZERO_float
#define FC_TRANSPOSE FC_TRANSPOSE_float
#include "tile_template.h"

#define FC_REAL double
#define FC_BITS int64_t
#define FC_NAME(name) name##_double
#define FC_FMA FC_FMA_double
#define FC_NONZERO FC_NONZERO_double
#define FC_TRANSPOSE FC_TRANSPOSE_double
#include "tile_template.h"

#endif
