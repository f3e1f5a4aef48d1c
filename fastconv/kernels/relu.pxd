# ReLU as an operation of its own; behind a convolution or a dense layer it is done in the tile instead.

from fastconv.kernels.real cimport real


cdef inline void relu_forward(
    Py_ssize_t n, Py_ssize_t size, Py_ssize_t sample,
    const real *x,
    real *y,  # OUT
) noexcept nogil:
    """y = max(0, x), a NaN staying a NaN."""
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(size):
            y[i * sample + j] = 0 if x[i * sample + j] < 0 else x[i * sample + j]


cdef inline void relu_backward(
    Py_ssize_t n, Py_ssize_t size, Py_ssize_t sample,
    const real *y, const real *dy,
    real *dx,  # OUT, may be dy
) noexcept nogil:
    """dx = dy where y > 0, else 0."""
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(size):
            dx[i * sample + j] = 0 if y[i * sample + j] <= 0 else dy[i * sample + j]
