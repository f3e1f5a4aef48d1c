/* exp and softmax of a row of logits, 64 bytes at a time at every instruction-set level, in as many vectors as that
 * takes: the same operations on the same elements in the same order, so the bits are the same too.  Rows are padded to a
 * multiple of 64 bytes.
 */
#ifndef FASTCONV_SOFTMAX_H
#define FASTCONV_SOFTMAX_H

#include <math.h>

#include "tile.h"

#define FC_ROW_VECTORS (64 / FC_VECTOR_BYTES)

typedef float fc_quarter_float __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t fc_quarter_bits_float __attribute__((vector_size(16)));
typedef double fc_quarter_double __attribute__((vector_size(16), aligned(8), may_alias));
typedef int64_t fc_quarter_bits_double __attribute__((vector_size(16)));

static const int32_t fc_lane_float[16] __attribute__((aligned(64))) = {0, 1, 2,  3,  4,  5,  6,  7,
                                                                       8, 9, 10, 11, 12, 13, 14, 15};
static const int64_t fc_lane_double[8] __attribute__((aligned(64))) = {0, 1, 2, 3, 4, 5, 6, 7};

/* exp(x) for x <= 0, within 2 units in the last place; 0 below -87; a NaN stays a NaN.
 *
 * x = n log 2 + r with |r| <= log(2) / 2, exp(x) = 2^n exp(r): the polynomial and the two parts of log 2 are those of
 * Cephes' expf (Moshier).
 */
static inline fc_vec_float fc_exp_float(fc_vec_float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const fc_bits_float small = x < -87.0f;
    const fc_vec_float a = (fc_vec_float)((fc_bits_float)x & ~small);
    const fc_vec_float n = (a * 1.44269504f + shift) - shift;
    const fc_vec_float r = (a - n * 0.693359375f) - n * -2.12194440e-4f;
    fc_vec_float y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y *= (fc_vec_float)((__builtin_convertvector(n, fc_bits_float) + 127) << 23);
    return (fc_vec_float)((fc_bits_float)y & ~small);
}

static inline fc_vec_double fc_exp_double(fc_vec_double x)
{
    for (size_t i = 0; i < FC_VECTOR_BYTES / sizeof(double); i++)
        x[i] = exp(x[i]);
    return x;
}

#define FC_REAL float
#define FC_NAME(name) name##_float
#include "softmax_template.h"

#define FC_REAL double
#define FC_NAME(name) name##_double
#include "softmax_template.h"

#endif
