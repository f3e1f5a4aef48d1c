# The register tile of tile.h, for either element type.

from fastconv.kernels.real cimport real

cdef extern from "tile.h" nogil:
    ctypedef struct fc_product:
        Py_ssize_t rows, cols
        Py_ssize_t segments, depth
        const Py_ssize_t *depths
        Py_ssize_t a_row, a_segment, a_step
        Py_ssize_t b_segment, b_row
        Py_ssize_t c_row
        int relu

    const char *FC_LEVEL
    void fc_multiply_float(const fc_product *, const float *, const float *, const float *, const float *, float *)
    void fc_multiply_double(const fc_product *, const double *, const double *, const double *, const double *, double *)


cdef inline void multiply(
    const fc_product *p, const real *a, const real *b, const real *bias, const real *mask,
    real *c,  # OUT
) noexcept nogil:
    """c[i, j] = bias[j] + sum_{s, k} a[i*a_row + s*a_segment + k*a_step] b[s*b_segment + k*b_row + j]

    then max(0, c) where p.relu is set, then 0 where mask (laid out as c) is not positive.
    """
    if real is float:
        fc_multiply_float(p, a, b, bias, mask, c)
    else:
        fc_multiply_double(p, a, b, bias, mask, c)
