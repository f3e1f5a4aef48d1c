# 1-D convolution of channels-last sequences: a matrix product whose rows, the windows, overlap in memory.

from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport fc_product, fc_window, multiply, slide, slides


cdef inline void conv1d_forward(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    const Py_ssize_t *active_x,  # (n,) positions of x that can differ from zero, descending
    const Py_ssize_t *active,  # (n,) positions of y to compute, descending; the others become 0
    const real *w,             # (width, channels, padded filters)
    const real *b,             # (padded filters,) or NULL
    int relu, Py_ssize_t y_sample,
    Py_ssize_t *reach,         # (n,) to work in
    real *y,                   # OUT (n, positions, padded filters)
) noexcept nogil:
    """y[i, p, f] = b[f] + sum_{k, c} x[i, p + k, c] w[k, c, f]; then max(0, y) if relu.

    Where `slides`, the filters slide over one sample after the other, from its last position to its first; else the
    samples at a position are one product.
    """
    cdef Py_ssize_t i, at, positions = length - width + 1
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef fc_product p
    cdef fc_window s
    p.lines, p.rows, p.cols, p.outer = 1, n, filters, 1
    p.segments, p.depth, p.depths, p.reach = width, channels, NULL, reach
    p.a_line, p.a_outer, p.b_outer, p.c_line = 0, 0, 0, 0
    p.a_row, p.a_segment, p.a_step = x_sample, x_row, 1
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = channels * y_row, y_row, y_sample, 0, relu
    s.taps, s.samples, s.channels, s.cols, s.positions, s.outputs = width, n, channels, filters, reach, active
    s.x_sample, s.x_row, s.c_sample, s.c_row = x_sample, -x_row, y_sample, -y_row
    s.w_tap, s.w_row, s.relu, s.add, s.suffixes = channels * y_row, y_row, relu, 0, NULL
    if slides(width, channels, filters, sizeof(real)):
        for i in range(n):
            reach[i] = max(active_x[i], active[i])
        slide(&s, x, w, b, none, y, <real *> NULL)
    else:
        for at in range(active[0]):
            while active[p.rows - 1] <= at:
                p.rows -= 1
            for i in range(p.rows):
                reach[i] = max(0, min(width, active_x[i] - at))
            multiply(&p, x + at * x_row, w, b, none, y + at * y_row)
    for i in range(n):
        memset(y + i * y_sample + active[i] * y_row, 0, (positions - active[i]) * y_row * sizeof(real))


cdef inline void conv1d_backward_x(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters), then a margin of width - 1 zero rows
    const Py_ssize_t *active,  # (n,) positions of dx to compute, descending
    const real *wt,            # (width, filters, padded channels): w, each w[k] transposed
    const real *mask,          # laid out as dx, or NULL: dx = 0 where mask <= 0
    Py_ssize_t x_sample,
    Py_ssize_t *reach,         # (n,) to work in
    real *dx,                  # OUT (n, length, padded channels)
) noexcept nogil:
    """dx[i, q, c] = sum_{k, f} dy[i, q - k, f] w[k, c, f]: the assignment's M_F^T g.

    Where `slides`, the filters slide from the first position to the last.
    """
    cdef Py_ssize_t i, at, k
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef fc_product p
    cdef fc_window s
    p.lines, p.rows, p.cols, p.outer, p.depth, p.depths, p.reach = 1, n, channels, 1, filters, NULL, NULL
    p.a_line, p.a_outer, p.b_outer, p.c_line = 0, 0, 0, 0
    p.a_row, p.a_segment, p.a_step = y_sample, -y_row, 1
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = filters * x_row, x_row, x_sample, 0, 0
    s.taps, s.samples, s.channels, s.cols, s.positions, s.outputs = width, n, filters, channels, reach, active
    s.x_sample, s.x_row, s.c_sample, s.c_row = y_sample, y_row, x_sample, x_row
    s.w_tap, s.w_row, s.relu, s.add, s.suffixes = filters * x_row, x_row, 0, 0, NULL
    if slides(width, filters, channels, sizeof(real)):
        for i in range(n):
            reach[i] = min(active[i], length - width + 1)
        slide(&s, dy, wt, none, mask, dx, <real *> NULL)
    else:
        for at in range(active[0]):
            while active[p.rows - 1] <= at:
                p.rows -= 1
            k = max(0, at - (length - width))  # the first that reaches a position of dy
            p.segments = min(width, at + 1) - k
            multiply(&p, dy + (at - k) * y_row, wt + k * filters * x_row, none,
                     mask + at * x_row if mask != NULL else mask, dx + at * x_row)


cdef inline void conv1d_backward_w(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    const Py_ssize_t *active,  # (n,) positions of x that can differ from zero, descending
    Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters)
    Py_ssize_t *depths,        # (length,) to work in
    bint add,
    real *dw,                  # OUT (width, channels, padded filters), IN too if add
) noexcept nogil:
    """dw[k, c, f] = sum_{i, p} x[i, p + k, c] dy[i, p, f]: equation (46), V = M_x^T G; added to dw if add."""
    cdef Py_ssize_t at, k, i = n
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef fc_product p
    p.lines, p.rows, p.cols, p.outer, p.depth, p.reach = 1, channels, filters, 1, 0, NULL
    p.a_line, p.a_outer, p.b_outer, p.c_line = 0, 0, 0, 0
    p.a_row, p.a_segment, p.a_step = 1, x_row, x_sample
    p.b_segment, p.b_row, p.c_row, p.add, p.relu = y_row, y_sample, y_row, add, 0
    for at in range(active[0]):  # the samples that have x at a position
        while active[i - 1] <= at:
            i -= 1
        depths[at] = i
    for k in range(width):
        p.depths, p.segments = depths + k, max(<Py_ssize_t> 0, min(active[0] - k, length - width + 1))
        multiply(&p, x + k * x_row, dy, <const real *> NULL, <const real *> NULL, dw + k * channels * y_row)
