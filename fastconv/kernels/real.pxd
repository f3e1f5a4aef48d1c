# The element type, its square root, and the padded row.

from libc.math cimport sqrt, sqrtf

ctypedef fused real:
    float
    double


cdef inline real square_root(real x) noexcept nogil:
    """sqrt(x), correctly rounded."""
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline Py_ssize_t padded(Py_ssize_t columns, Py_ssize_t itemsize) noexcept nogil:
    """Elements of a row of `columns`, padded to a multiple of 64 bytes."""
    cdef Py_ssize_t lanes = 64 // itemsize
    return (columns + lanes - 1) // lanes * lanes
