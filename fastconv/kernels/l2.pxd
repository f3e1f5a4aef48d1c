# The squared length of weights as a part of the cost.

from fastconv.kernels.real cimport real


cdef inline double l2_squares(Py_ssize_t size, const real *w) noexcept nogil:
    """sum_i w[i]^2, `size` being a multiple of 8: as eight sums, then their sum in order."""
    cdef Py_ssize_t i, j
    cdef double sums[8]
    cdef double total = 0
    for j in range(8):
        sums[j] = 0
    for i in range(0, size, 8):
        for j in range(8):
            sums[j] += <double> w[i + j] * w[i + j]
    for j in range(8):
        total += sums[j]
    return total


cdef inline void l2_backward_add(
    Py_ssize_t size, double l2, const real *w,
    real *dw,  # IN and OUT
) noexcept nogil:
    """dw += d/dw (l2 * sum_i w[i]^2) = 2 l2 w."""
    cdef Py_ssize_t i
    cdef real factor = <real> (2 * l2)
    for i in range(size):
        dw[i] += factor * w[i]
