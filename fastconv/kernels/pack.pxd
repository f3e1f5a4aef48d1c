# Between the flat, unpadded vectors that users see and the padded rows that the kernels work on.

from libc.string cimport memcpy

from fastconv.kernels.real cimport padded, real


cdef inline void pack_rows(
    Py_ssize_t rows, Py_ssize_t cols, const real *a,
    real *packed,  # OUT (rows, padded cols)
) noexcept nogil:
    """packed[i, j] = a[i, j]; the padding is zero from the start and stays so."""
    cdef Py_ssize_t i, row = padded(cols, sizeof(real))
    for i in range(rows):
        memcpy(packed + i * row, a + i * cols, cols * sizeof(real))


cdef inline void unpack_rows(
    Py_ssize_t rows, Py_ssize_t cols, const real *packed,
    real *a,  # OUT (rows, cols)
) noexcept nogil:
    """a[i, j] = packed[i, j]."""
    cdef Py_ssize_t i, row = padded(cols, sizeof(real))
    for i in range(rows):
        memcpy(a + i * cols, packed + i * row, cols * sizeof(real))


cdef inline void sum_rows(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t parts, Py_ssize_t part, const real *packed, bint add,
    real *a,  # OUT (rows, cols)
) noexcept nogil:
    """a[i, j] = sum over q < parts, in this order, of packed[q*part + (i, j)]; added to a if `add`."""
    cdef Py_ssize_t i, j, q, row = padded(cols, sizeof(real))
    if not add:
        unpack_rows(rows, cols, packed, a)
    for q in range(0 if add else 1, parts):
        for i in range(rows):
            for j in range(cols):
                a[i * cols + j] += packed[q * part + i * row + j]
