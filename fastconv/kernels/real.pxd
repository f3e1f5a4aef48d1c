# The element type, and the padded row.

ctypedef fused real:
    float
    double


cdef inline Py_ssize_t padded(Py_ssize_t columns, Py_ssize_t itemsize) noexcept nogil:
    """Elements of a row of `columns`, padded to a multiple of 64 bytes."""
    cdef Py_ssize_t lanes = 64 // itemsize
    return (columns + lanes - 1) // lanes * lanes
