# The bias is added in the epilogue of its operation; its gradient is a sum over rows.

from libc.string cimport memset

from fastconv.kernels.real cimport padded, real


cdef inline void bias_backward(
    Py_ssize_t n, Py_ssize_t positions, Py_ssize_t filters, Py_ssize_t y_sample,
    const real *dy,  # (n, positions, padded filters)
    bint add,
    real *db,        # OUT (padded filters,), IN too if add
) noexcept nogil:
    """db[f] = sum_{i, p} dy[i, p, f], added to db if add."""
    cdef Py_ssize_t i, p, f, row = padded(filters, sizeof(real))
    if not add:
        memset(db, 0, row * sizeof(real))
    for i in range(n):
        for p in range(positions):
            for f in range(row):
                db[f] += dy[i * y_sample + p * row + f]
