/* Max-pooling of one sample, a vector of channels at a time: what Cython cannot say is the choice between vectors. */
#ifndef FASTCONV_POOL_H
#define FASTCONV_POOL_H

#include "tile.h"

typedef struct {
    ptrdiff_t height, width, row; /* of y: lines, pixels of a line, elements of a pixel */
    ptrdiff_t kh, kw;             /* the window */
    ptrdiff_t x_down, x_right;    /* from a window to the next in x */
    ptrdiff_t x_line, x_pixel;    /* from a line to the next, from a pixel */
    ptrdiff_t y_line, winner_line;
    int disjoint; /* no two windows share a pixel */
} fc_pool;

#define FC_REAL float
#define FC_NAME(name) name##_float
#include "pool_template.h"

#define FC_REAL double
#define FC_NAME(name) name##_double
#include "pool_template.h"

#endif
