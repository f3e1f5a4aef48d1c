# The logistic function.

from libc.math cimport exp

from fastconv.kernels.real cimport real


cdef inline void sigmoid_forward(
    Py_ssize_t size, const real *x,
    real *y,  # OUT, may be x
) noexcept nogil:
    """y = 1 / (1 + exp(-x))"""
    cdef Py_ssize_t j
    for j in range(size):
        y[j] = <real> (1 / (1 + exp(-<double> x[j])))


cdef inline void sigmoid_backward(
    Py_ssize_t size, const real *y, const real *dy,
    real *dx,  # OUT, may be dy
) noexcept nogil:
    """dx = dy y (1 - y)"""
    cdef Py_ssize_t j
    for j in range(size):
        dx[j] = dy[j] * (y[j] * (1 - y[j]))
