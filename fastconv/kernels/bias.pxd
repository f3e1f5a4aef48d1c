# The bias is added in the epilogue of its operation; its gradient is a sum over rows.

from libc.string cimport memset

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.real cimport real


cdef inline void bias_backward(
    Py_ssize_t n, const Grid *g, const real *dy,
    bint add,
    real *db,  # OUT (padded channels,), IN too if add
) noexcept nogil:
    """db[f] = the sum of dy[i, p, q, f] over all pixels, added to db if add."""
    cdef Py_ssize_t i, h, q, f
    cdef const real *at
    if not add:
        memset(db, 0, g.row * sizeof(real))
    for i in range(n):
        for h in range(g.height):
            at = dy + i * g.sample + h * g.line
            for q in range(g.width):
                for f in range(g.row):
                    db[f] += at[q * g.row + f]
