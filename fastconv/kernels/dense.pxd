# The dense layer on a flattened (length, channels) sample; the padded rows are flattened by stepping over the padding.

from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport fc_product, multiply


cdef inline void dense_forward(
    Py_ssize_t n, Py_ssize_t channels, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of x that can differ from zero, descending
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    const real *w,             # (length, channels, padded units)
    const real *b,             # (padded units,) or NULL
    int relu, Py_ssize_t y_sample,
    real *y,                   # OUT (n, padded units)
) noexcept nogil:
    """y[i, u] = b[u] + sum_{p, c} x[i, p, c] w[p, c, u]; then max(0, y) if relu."""
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), w_row = padded(units, sizeof(real))
    cdef fc_product p
    p.rows, p.cols, p.segments, p.depth, p.depths, p.reach = n, units, 0, channels, NULL, active
    p.a_row, p.a_segment, p.a_step = x_sample, x_row, 1
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = channels * w_row, w_row, y_sample, 0, relu
    multiply(&p, x, w, b, <const real *> NULL, y)


cdef inline void dense_backward_x(
    Py_ssize_t n, Py_ssize_t channels, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of x that can differ from zero, descending
    Py_ssize_t y_sample,
    const real *dy,            # (n, padded units)
    const real *wt,            # (length, units, padded channels): w, each w[p] transposed
    const real *mask,          # laid out as dx, or NULL: dx = 0 where mask <= 0
    Py_ssize_t x_sample,
    real *dx,                  # OUT (n, length, padded channels), the active positions of it
) noexcept nogil:
    """dx[i, p, c] = sum_u dy[i, u] w[p, c, u]."""
    cdef Py_ssize_t at, x_row = padded(channels, sizeof(real))
    cdef fc_product p
    p.rows, p.cols, p.segments, p.depth, p.depths, p.reach = n, channels, 1, units, NULL, NULL
    p.a_row, p.a_segment, p.a_step = y_sample, 0, 1
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = 0, x_row, x_sample, 0, 0
    for at in range(active[0]):
        while active[p.rows - 1] <= at:
            p.rows -= 1
        multiply(&p, dy, wt + at * units * x_row, <const real *> NULL,
                 mask + at * x_row if mask != NULL else mask, dx + at * x_row)


cdef inline void dense_backward_w(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t units,
    const Py_ssize_t *active,  # (n,) positions of x that can differ from zero, descending
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    Py_ssize_t y_sample,
    const real *dy,            # (n, padded units)
    bint add,
    real *dw,                  # OUT (length, channels, padded units), IN too if add
) noexcept nogil:
    """dw[p, c, u] = sum_i x[i, p, c] dy[i, u], added to dw if add."""
    cdef Py_ssize_t at
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), w_row = padded(units, sizeof(real))
    cdef fc_product p
    p.rows, p.cols, p.segments, p.depth, p.depths, p.reach = channels, units, 1, n, NULL, NULL
    p.a_row, p.a_segment, p.a_step = 1, 0, x_sample
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = 0, y_sample, w_row, add, 0
    for at in range(active[0]):
        while active[p.depth - 1] <= at:
            p.depth -= 1
        multiply(&p, x + at * x_row, dy, <const real *> NULL, <const real *> NULL, dw + at * channels * w_row)
    if not add:
        memset(dw + active[0] * channels * w_row, 0, (length - active[0]) * channels * w_row * sizeof(real))
