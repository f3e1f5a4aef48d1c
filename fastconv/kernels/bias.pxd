# The bias is added in the epilogue of its operation; its gradient is a sum over rows.

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.real cimport real
from fastconv.kernels.tile cimport fc_product, multiply


cdef inline void bias_backward(
    Py_ssize_t n, const Grid *g, const real *dy,
    bint add,
    real *db,  # OUT (padded channels,), IN too if add
) noexcept nogil:
    """db[f] = the sum of dy[i, p, q, f] over all pixels, added to db if add."""
    cdef Py_ssize_t i
    cdef real one = 1
    cdef const real *none = NULL
    cdef fc_product p
    p.lines, p.rows, p.cols, p.a_line, p.a_row, p.c_line, p.c_row = 1, 1, g.channels, 0, 0, 0, 0
    p.outer, p.segments, p.depth, p.depths, p.reach = g.height, 1, g.width, NULL, NULL
    p.a_outer, p.a_segment, p.a_step, p.b_outer, p.b_segment, p.b_row = 0, 0, 0, g.line, 0, g.row
    p.relu = 0
    for i in range(n):  # a row of ones times dy
        p.add = add or i > 0
        multiply(&p, &one, dy + i * g.sample, none, none, db)
