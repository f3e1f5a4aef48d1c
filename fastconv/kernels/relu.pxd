# ReLU as an operation of its own; behind a convolution or a dense layer it is done in the tile instead.

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.real cimport real


cdef inline void relu_forward(
    Py_ssize_t size, const real *x,
    real *y,  # OUT, may be x
) noexcept nogil:
    """y = max(0, x), a NaN staying a NaN."""
    cdef Py_ssize_t j
    for j in range(size):
        y[j] = 0 if x[j] < 0 else x[j]


cdef inline void relu_backward(
    Py_ssize_t size, const real *y, const real *dy,
    real *dx,  # OUT, may be dy
) noexcept nogil:
    """dx = dy where y > 0, else 0."""
    cdef Py_ssize_t j
    for j in range(size):
        dx[j] = 0 if y[j] <= 0 else dy[j]


cdef inline void relu_masked(
    Py_ssize_t n, const Grid *g, const real *y, const real *dy,
    real *dx,  # OUT, may be dy; all laid out alike
) noexcept nogil:
    """dx = dy where y > 0, else 0, in n samples."""
    cdef Py_ssize_t i, h, at
    for i in range(n):
        for h in range(g.height):
            at = i * g.sample + h * g.line
            relu_backward(g.width * g.row, y + at, dy + at, dx + at)


cdef inline void relu_mask(
    Py_ssize_t n, const Grid *g, const real *y,
    real *dx,  # IN and OUT, laid out as y
) noexcept nogil:
    """dx = 0 where y <= 0, in n samples."""
    relu_masked(n, g, y, dx, dx)
