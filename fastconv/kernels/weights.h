/* The gradient by one line of a convolution's weights, or by one tap of it: for rows i and columns j
 *
 *     dW[i, j] += sum over lines l and pixels q of X[(l - first)*x_line + q*x_step + i] * dY[l, q, j]
 *
 * with first <= l < first + lines and q < width.  Behind max-pooling of 2 x 2 the gradient G of what is pooled and the
 * winners W are given, half as high and as wide; then
 *
 *     dY[l, q, j] = G[l/2, q/2, j] where W[l/2, q/2, j] == l%2 * 2 + q%2, else 0
 *
 * lies nowhere, each vector of it is made where it is multiplied.  A tile of dW stays in registers over the whole sum,
 * and every element is one chain of multiply-adds in the order of (l, q). */
#ifndef FASTCONV_WEIGHTS_H
#define FASTCONV_WEIGHTS_H

#include "tile.h"

#if defined(__AVX512F__)
#define FC_WEIGHTS_ROWS 10 /* x 2 vectors: 20 of 32 registers */
#else
#define FC_WEIGHTS_ROWS 5
#endif

typedef struct {
    ptrdiff_t rows, cols;          /* of dW */
    ptrdiff_t first, lines, width; /* of dY; behind max-pooling width is even */
    ptrdiff_t x_line, x_step;
    ptrdiff_t y_line, y_row; /* of dY or G, from a line to the next, from a pixel; y_row is W's too */
    ptrdiff_t w_line;        /* of W */
    ptrdiff_t c_row;         /* of dW */
} fc_weights;

#define FC_REAL float
#define FC_NAME(name) name##_float
#define FC_FMA FC_FMA_float
#include "weights_template.h"

#define FC_REAL double
#define FC_NAME(name) name##_double
#define FC_FMA FC_FMA_double
#include "weights_template.h"

#endif
