/* exp and softmax of a row of logits, 64 bytes at a time at every instruction-set level: the same operations on the
 * same elements in the same order, so the bits are the same too.  Rows are padded to a multiple of 64 bytes.
 */
#ifndef FASTCONV_SOFTMAX_H
#define FASTCONV_SOFTMAX_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef float fc_row_float __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t fc_row_bits_float __attribute__((vector_size(64)));
typedef float fc_quarter_float __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t fc_quarter_bits_float __attribute__((vector_size(16)));
typedef int64_t fc_quarter_bits_double __attribute__((vector_size(16)));
typedef double fc_row_double __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t fc_row_bits_double __attribute__((vector_size(64)));
typedef double fc_quarter_double __attribute__((vector_size(16), aligned(8), may_alias));

static const fc_row_bits_float fc_lane_float = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const fc_row_bits_double fc_lane_double = {0, 1, 2, 3, 4, 5, 6, 7};

/* x = exp(x) for x <= 0, within 2 units in the last place; 0 below -87; a NaN stays a NaN.
 *
 * x = n log 2 + r with |r| <= log(2) / 2, exp(x) = 2^n exp(r): the polynomial and the two parts of log 2 are those of
 * Cephes' expf (Moshier).
 */
static inline void fc_exp_float(fc_row_float *x /* IN and OUT */)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const fc_row_bits_float small = *x < -87.0f;
    const fc_row_float a = (fc_row_float)((fc_row_bits_float)*x & ~small);
    const fc_row_float n = (a * 1.44269504f + shift) - shift;
    const fc_row_float r = (a - n * 0.693359375f) - n * -2.12194440e-4f;
    fc_row_float y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y *= (fc_row_float)((__builtin_convertvector(n, fc_row_bits_float) + 127) << 23);
    *x = (fc_row_float)((fc_row_bits_float)y & ~small);
}

static inline void fc_exp_double(fc_row_double *x /* IN and OUT */)
{
    for (int i = 0; i < 8; i++)
        (*x)[i] = exp((*x)[i]);
}

#define FC_REAL float
#define FC_NAME(name) name##_float
#include "softmax_template.h"

#define FC_REAL double
#define FC_NAME(name) name##_double
#include "softmax_template.h"

#endif
