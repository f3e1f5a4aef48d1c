# 1-D convolution of channels-last sequences: a matrix product whose rows, the windows, overlap in memory.

from libc.stdint cimport int16_t
from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport fc_product, fc_window, multiply, slide, slides


cdef inline void conv1d_forward(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    const Py_ssize_t *active_x,  # (n,) positions of x that can differ from zero
    const Py_ssize_t *active,  # (n,) positions of y to compute; the others become 0
    const real *w,             # (width, channels, padded filters)
    const real *b,             # (padded filters,) or NULL
    int relu, Py_ssize_t y_sample,
    real *y,                   # OUT (n, positions, padded filters)
) noexcept nogil:
    """y[i, p, f] = b[f] + sum_{k, c} x[i, p + k, c] w[k, c, f]; then max(0, y) if relu."""
    cdef Py_ssize_t i, positions = length - width + 1
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef fc_product p
    cdef fc_window s
    p.cols, p.segments, p.depth, p.depths, p.reach = filters, width, channels, NULL, NULL
    p.a_row, p.a_segment, p.a_step = x_row, x_row, 1
    p.b_segment, p.b_row, p.c_row, p.relu = channels * y_row, y_row, y_row, relu
    s.taps, s.channels, s.x_row, s.cols, s.c_row = width, channels, x_row, filters, y_row
    s.w_tap, s.w_row, s.relu = -channels * y_row, y_row, relu
    for i in range(n):
        if slides(width, channels):
            s.positions, s.outputs = active_x[i], active[i]
            slide(&s, <const int16_t *> NULL, x + i * x_sample, w + (width - 1) * channels * y_row, b, none, y + i * y_sample)
        else:
            p.rows = active[i]
            multiply(&p, x + i * x_sample, w, b, none, y + i * y_sample)
        memset(y + i * y_sample + active[i] * y_row, 0, (positions - active[i]) * y_row * sizeof(real))


cdef inline void conv1d_backward_x(
    Py_ssize_t n, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters), between margins of width - 1 zero rows
    const Py_ssize_t *active,  # (n,) positions of dx to compute
    const real *wt,            # (width, filters, padded channels): w, each w[k] transposed
    const real *mask,          # laid out as dx, or NULL: dx = 0 where mask <= 0
    Py_ssize_t x_sample,
    real *dx,                  # OUT (n, length, padded channels)
) noexcept nogil:
    """dx[i, q, c] = sum_{k, f} dy[i, q - k, f] w[k, c, f]: the assignment's M_F^T g.

    The window slides backwards, from the last position to the first.
    """
    cdef Py_ssize_t i, last
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef fc_product p
    cdef fc_window s
    p.cols, p.segments, p.depth, p.depths, p.reach = channels, width, filters, NULL, NULL
    p.a_row, p.a_segment, p.a_step = y_row, -y_row, 1
    p.b_segment, p.b_row, p.c_row, p.relu = filters * x_row, x_row, x_row, 0
    s.taps, s.channels, s.x_row, s.cols, s.c_row = width, filters, -y_row, channels, -x_row
    s.w_tap, s.w_row, s.relu = -filters * x_row, x_row, 0
    for i in range(n):
        if slides(width, filters):
            last = active[i] - 1  # a position of dy that is in the margin, if it is not active
            s.positions = s.outputs = active[i]
            slide(&s, <const int16_t *> NULL, dy + i * y_sample + last * y_row, wt + (width - 1) * filters * x_row, none,
                  mask + i * x_sample + last * x_row if mask != NULL else mask, dx + i * x_sample + last * x_row)
        else:
            p.rows = active[i]
            multiply(&p, dy + i * y_sample, wt, none, mask + i * x_sample if mask != NULL else mask, dx + i * x_sample)


cdef inline void conv1d_backward_w(
    Py_ssize_t n, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters,
    Py_ssize_t x_sample,
    const real *x,             # (n, length, padded channels)
    const Py_ssize_t *active_x,  # (n,) positions of x that can differ from zero
    const Py_ssize_t *active,  # (n,) positions of dy that count
    Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters)
    Py_ssize_t *depths,        # (n,) to work in
    real *dw,                  # OUT (width, channels, padded filters)
) noexcept nogil:
    """dw[k, c, f] = sum_{i, p} x[i, p + k, c] dy[i, p, f]: equation (46), V = M_x^T G."""
    cdef Py_ssize_t i, k
    cdef Py_ssize_t x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef fc_product p
    p.rows, p.cols, p.segments, p.depth, p.depths = channels, filters, n, 0, depths
    p.reach = NULL
    p.a_row, p.a_segment, p.a_step = 1, x_sample, x_row
    p.b_segment, p.b_row, p.c_row, p.relu = y_sample, y_row, y_row, 0
    for k in range(width):
        for i in range(n):
            depths[i] = max(0, min(active[i], active_x[i] - k))
        multiply(&p, x + k * x_row, dy, <const real *> NULL, <const real *> NULL, dw + k * channels * y_row)
