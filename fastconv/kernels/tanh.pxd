# The hyperbolic tangent.

from libc.math cimport tanh

from fastconv.kernels.real cimport real


cdef inline void tanh_forward(
    Py_ssize_t size, const real *x,
    real *y,  # OUT, may be x
) noexcept nogil:
    """y = tanh(x)"""
    cdef Py_ssize_t j
    for j in range(size):
        y[j] = <real> tanh(<double> x[j])


cdef inline void tanh_backward(
    Py_ssize_t size, const real *y, const real *dy,
    real *dx,  # OUT, may be dy
) noexcept nogil:
    """dx = dy (1 - y^2)"""
    cdef Py_ssize_t j
    for j in range(size):
        dx[j] = dy[j] * (1 - y[j] * y[j])
