# The dense layer on a flattened (height, width, channels) sample; it steps over what lies between its pixels.

from libc.string cimport memset

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport fc_product, multiply


cdef inline void dense_forward(
    Py_ssize_t n, const Grid *gx, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of a line of x that can differ from zero, descending
    const real *x,
    const real *w,             # (height, width, channels, padded units)
    const real *b,             # (padded units,) or NULL
    int relu, Py_ssize_t y_sample,
    real *y,                   # OUT (n, padded units)
) noexcept nogil:
    """y[i, u] = b[u] + sum_{h, p, c} x[i, h, p, c] w[h, p, c, u]; then max(0, y) if relu."""
    cdef Py_ssize_t w_row = padded(units, sizeof(real))
    cdef fc_product p
    p.lines, p.rows, p.cols = 1, n, units
    p.outer, p.segments, p.depth, p.depths = gx.height, gx.width, gx.channels, NULL
    p.reach = active if gx.height == 1 else NULL
    p.a_line, p.c_line = 0, 0
    p.a_row, p.a_outer, p.a_segment, p.a_step = gx.sample, gx.line, gx.row, 1
    p.b_outer, p.b_segment, p.b_row = gx.width * gx.channels * w_row, gx.channels * w_row, w_row
    p.c_row, p.add, p.relu = y_sample, 0, relu
    multiply(&p, x, w, b, <const real *> NULL, y)


cdef inline void dense_backward_x(
    Py_ssize_t n, const Grid *gx, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of a line of x that can differ from zero, descending
    Py_ssize_t y_sample,
    const real *dy,            # (n, padded units)
    const real *wt,            # (height, width, units, padded channels): w, each w[h, p] transposed
    const real *mask,          # laid out as dx, or NULL: dx = 0 where mask <= 0
    real *dx,                  # OUT, the active positions of it
) noexcept nogil:
    """dx[i, h, p, c] = sum_u dy[i, u] w[h, p, c, u]."""
    cdef Py_ssize_t h, at, position
    cdef fc_product p
    p.lines, p.cols, p.outer, p.segments, p.depth, p.depths, p.reach = 1, gx.channels, 1, 1, units, NULL, NULL
    p.a_line, p.c_line = 0, 0
    p.a_row, p.a_outer, p.a_segment, p.a_step = y_sample, 0, 0, 1
    p.b_outer, p.b_segment, p.b_row, p.c_row, p.add, p.relu = 0, 0, gx.row, gx.sample, 0, 0
    for h in range(gx.height):
        p.rows = n
        for at in range(active[0]):
            while active[p.rows - 1] <= at:
                p.rows -= 1
            position = h * gx.line + at * gx.row
            multiply(&p, dy, wt + (h * gx.width + at) * units * gx.row, <const real *> NULL,
                     mask + position if mask != NULL else mask, dx + position)


cdef inline void dense_backward_w(
    Py_ssize_t n, const Grid *gx, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of a line of x that can differ from zero, descending
    const real *x,
    Py_ssize_t y_sample,
    const real *dy,            # (n, padded units)
    bint add, bint turned,
    real *dw,                  # OUT (height, width, channels, padded units), if turned (height, width, units, padded
) noexcept nogil:              # channels), IN too if add
    """dw[h, p, c, u] = sum_i x[i, h, p, c] dy[i, u], added to dw if add."""
    cdef Py_ssize_t h, at, size
    cdef const real *none = NULL
    cdef const real *pixel
    cdef fc_product p
    p.lines, p.outer, p.segments, p.depths, p.reach, p.add, p.relu = 1, 1, 1, NULL, NULL, add, 0
    p.a_line, p.c_line, p.a_row, p.a_outer, p.a_segment, p.b_outer, p.b_segment = 0, 0, 1, 0, 0, 0, 0
    if turned:
        p.rows, p.cols, p.a_step, p.b_row = units, gx.channels, y_sample, gx.sample
    else:
        p.rows, p.cols, p.a_step, p.b_row = gx.channels, units, gx.sample, y_sample
    p.c_row = padded(p.cols, sizeof(real))
    size = p.rows * p.c_row
    for h in range(gx.height):
        p.depth = n
        for at in range(active[0]):
            while active[p.depth - 1] <= at:
                p.depth -= 1
            pixel = x + h * gx.line + at * gx.row
            multiply(&p, dy if turned else pixel, pixel if turned else dy, none, none,
                     dw + (h * gx.width + at) * size)
        if not add:
            memset(dw + (h * gx.width + active[0]) * size, 0, (gx.width - active[0]) * size * sizeof(real))
