/* The gradient by the weights of a convolution whose output's gradient is mostly zero, as behind max-pooling, where one
 * pixel of a window hands it back: for each filter the pixels that are not zero are listed, and the windows of x under
 * them are added up in registers. */
#ifndef FASTCONV_SPARSE_H
#define FASTCONV_SPARSE_H

#include "tile.h"

#define FC_PIECE 12 /* vectors of a window at a time */

typedef struct {
    ptrdiff_t height, width, filters; /* of dy */
    ptrdiff_t row, line;              /* of dy: from a pixel to the next, from a line to the next */
    ptrdiff_t x_down, x_right;        /* in x, from a window to the one below and the next */
    ptrdiff_t most;                   /* places in a list */
} fc_sparse;

#define FC_REAL float
#define FC_NAME(name) name##_float
#define FC_FMA FC_FMA_float
#include "sparse_template.h"

#define FC_REAL double
#define FC_NAME(name) name##_double
#define FC_FMA FC_FMA_double
#include "sparse_template.h"

#endif
