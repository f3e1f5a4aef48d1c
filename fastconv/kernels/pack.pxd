# Between the flat, unpadded vectors that users see and the padded rows that the kernels work on.

from libc.string cimport memcpy

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport transpose_rows

cdef enum:
    TURNED = 2048  # elements of a packed matrix that can be turned, at most


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


cdef inline void pack_turned(
    Py_ssize_t rows, Py_ssize_t cols, const real *a,
    real *packed,  # OUT (cols, padded rows)
) noexcept nogil:
    """packed[j, i] = a[i, j], for at most TURNED elements of padded rows."""
    cdef real whole[TURNED]
    pack_rows(rows, cols, a, whole)
    transpose_rows(rows, cols, padded(cols, sizeof(real)), padded(rows, sizeof(real)), whole, packed)


cdef inline void unpack_turned(
    Py_ssize_t rows, Py_ssize_t cols, const real *packed,
    real *a,  # OUT (rows, cols)
) noexcept nogil:
    """a[i, j] = packed[j, i], the reverse of pack_turned."""
    cdef real whole[TURNED]
    transpose_rows(cols, rows, padded(rows, sizeof(real)), padded(cols, sizeof(real)), packed, whole)
    unpack_rows(rows, cols, whole, a)


cdef inline void sum_parts(
    Py_ssize_t size, Py_ssize_t parts, Py_ssize_t part, const real *others,
    real *a,  # IN and OUT (size,)
) noexcept nogil:
    """a[i] += sum over q < parts, in this order, of others[q*part + i]."""
    cdef Py_ssize_t i, q
    for q in range(parts):
        for i in range(size):
            a[i] += others[q * part + i]
