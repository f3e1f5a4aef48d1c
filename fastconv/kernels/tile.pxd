# The register tile of tile.h, for either element type.

from libc.stdint cimport int16_t, uint64_t

from fastconv.kernels.real cimport real

cdef extern from "tile.h" nogil:
    ctypedef struct fc_product:
        Py_ssize_t lines, rows, cols
        Py_ssize_t outer, segments, depth
        const Py_ssize_t *depths
        const Py_ssize_t *reach
        Py_ssize_t a_line, a_row, a_outer, a_segment, a_step
        Py_ssize_t b_outer, b_segment, b_row
        Py_ssize_t c_line, c_row
        int add
        int relu

    ctypedef struct fc_suffixes:
        const Py_ssize_t *sequence
        const Py_ssize_t *shared
        const uint64_t *joins

    ctypedef struct fc_window:
        Py_ssize_t taps
        Py_ssize_t samples, channels, cols
        const Py_ssize_t *positions
        const Py_ssize_t *outputs
        Py_ssize_t x_sample, x_row
        Py_ssize_t c_sample, c_row
        Py_ssize_t w_tap, w_row
        int relu, add
        const fc_suffixes *suffixes

    ctypedef struct fc_table:
        Py_ssize_t width, stride, before, dilation, cols
        Py_ssize_t w_tap, w_row, y_row
        int relu

    const Py_ssize_t FC_TAPS, FC_SHARED, FC_CHANNELS
    const char *FC_LEVEL
    void fc_slide_float(const fc_window *, const float *, const float *, const float *, const float *, float *,
                       float *)
    void fc_slide_double(const fc_window *, const double *, const double *, const double *, const double *, double *,
                         double *)
    void fc_multiply_float(const fc_product *, const float *, const float *, const float *, const float *, float *)
    void fc_multiply_double(
        const fc_product *, const double *, const double *, const double *, const double *, double *)
    void fc_multiply_pooled_float(const fc_product *, const float *, const float *, const float *, float *, float *)
    void fc_multiply_pooled_double(
        const fc_product *, const double *, const double *, const double *, double *, double *)
    void fc_lookup_float(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const float *, const float *, float *)
    void fc_lookup_double(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const double *, const double *, double *)
    void fc_scatter_float(const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const float *, float *)
    void fc_scatter_double(const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const double *, double *)
    void fc_lookup_largest_float(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const float *, const float *, float *, float *)
    void fc_lookup_largest_double(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const double *, const double *, double *, double *)
    void fc_scatter_largest_float(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const float *, const float *, float *)
    void fc_scatter_largest_double(
        const fc_table *, Py_ssize_t, Py_ssize_t, const int16_t *, const double *, const double *, double *)
    void fc_transpose_float(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, float *)
    void fc_transpose_double(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const double *, double *)


cdef enum:
    TWO_VECTORS = 128  # bytes; the longest vectors count at every level, since the choice shows where a weight is inf
    CACHE = 24576      # bytes of a first-level cache that weights may take
    FEW_TAPS = 3


cdef inline void multiply(
    const fc_product *p, const real *a, const real *b, const real *bias, const real *mask,
    real *c,  # OUT
) noexcept nogil:
    """c[h, i, j] = bias[j] + sum_{o, s, k} a[h*a_line + i*a_row + o*a_outer + s*a_segment + k*a_step]
    b[o*b_outer + s*b_segment + k*b_row + j]

    (c[h, i, j] in place of bias[j] where p.add is set), then max(0, c) where p.relu is set, then 0 where mask (laid out
    as c) is not positive.
    """
    if real is float:
        fc_multiply_float(p, a, b, bias, mask, c)
    else:
        fc_multiply_double(p, a, b, bias, mask, c)


cdef inline void multiply_pooled(
    const fc_product *p, const real *a, const real *b, const real *bias,
    real *c,       # OUT
    real *winner,  # OUT (lines, rows, row of c), or NULL
) noexcept nogil:
    """c[h, i, j] = the largest of what multiply gives at the lines 2h and 2h + 1 and the rows 2i and 2i + 1, and
    winner[h, i, j] which of these four it is.
    """
    if real is float:
        fc_multiply_pooled_float(p, a, b, bias, c, winner)
    else:
        fc_multiply_pooled_double(p, a, b, bias, c, winner)


cdef inline void slide(
    const fc_window *p, const real *x, const real *w, const real *bias, const real *mask,
    real *c,     # OUT
    real *kept,  # IN and OUT: to work in, or NULL without p.suffixes
) noexcept nogil:
    """c[s, i + j - least, f] = bias[f] + sum_{i, j < taps, channel} x[s, i, channel] w[j*w_tap + channel*w_row + f]
    for each sample s, with least = max(0, positions[s] - outputs[s]),

    without the terms whose x is zero; then max(0, c) where p.relu is set, then 0 where mask (laid out as c) is not
    positive.
    """
    if real is float:
        fc_slide_float(p, x, w, bias, mask, c, kept)
    else:
        fc_slide_double(p, x, w, bias, mask, c, kept)


cdef inline void lookup(
    const fc_table *t, Py_ssize_t positions, Py_ssize_t length, const int16_t *codes, const real *w, const real *bias,
    real *y,  # OUT
) noexcept nogil:
    """y[p*y_row + f] = bias[f] + sum over k < width of w[k*w_tap + codes[q]*w_row + f], with
    q = p*stride + k*dilation - before, where 0 <= q < length and codes[q] >= 0, for p < positions; then max(0, y)
    where t.relu is set.
    """
    if real is float:
        fc_lookup_float(t, positions, length, codes, w, bias, y)
    else:
        fc_lookup_double(t, positions, length, codes, w, bias, y)


cdef inline void scatter(
    const fc_table *t, Py_ssize_t positions, Py_ssize_t length, const int16_t *codes, const real *y,
    real *w,  # IN and OUT
) noexcept nogil:
    """w[k*w_tap + codes[q]*w_row + f] += y[p*y_row + f], for the p, k and q of lookup."""
    if real is float:
        fc_scatter_float(t, positions, length, codes, y, w)
    else:
        fc_scatter_double(t, positions, length, codes, y, w)


cdef inline void lookup_largest(
    const fc_table *t, Py_ssize_t positions, Py_ssize_t length, const int16_t *codes, const real *w, const real *bias,
    real *y,       # OUT
    real *winner,  # OUT, or NULL
) noexcept nogil:
    """y[f] = the largest over p < positions of what lookup gives, the first of equals, 0 of none; a NaN is the largest.
    winner[f] = that p.
    """
    if real is float:
        fc_lookup_largest_float(t, positions, length, codes, w, bias, y, winner)
    else:
        fc_lookup_largest_double(t, positions, length, codes, w, bias, y, winner)


cdef inline void scatter_largest(
    const fc_table *t, Py_ssize_t positions, Py_ssize_t length, const int16_t *codes, const real *y, const real *winner,
    real *w,  # IN and OUT
) noexcept nogil:
    """w[k*w_tap + codes[q]*w_row + f] += y[f], for p = winner[f] and the k and q of lookup."""
    if real is float:
        fc_scatter_largest_float(t, positions, length, codes, y, winner, w)
    else:
        fc_scatter_largest_double(t, positions, length, codes, y, winner, w)


cdef inline bint slides(Py_ssize_t width, Py_ssize_t channels, Py_ssize_t cols, Py_ssize_t itemsize) noexcept nogil:
    """Whether sliding pays: the weights, two vectors of filters at a time, fit in the first-level cache, and a channel
    has enough sums to work on side by side.
    """
    return (FEW_TAPS < width <= FC_TAPS and channels <= FC_CHANNELS and 2 * cols * itemsize > TWO_VECTORS
            and width * channels * TWO_VECTORS <= CACHE)


cdef inline void transpose_rows(
    Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t a_row, Py_ssize_t t_row, const real *a,
    real *t,  # OUT
) noexcept nogil:
    """t[j*t_row + i] = a[i*a_row + j], for padded rows."""
    if real is float:
        fc_transpose_float(rows, cols, a_row, t_row, a, t)
    else:
        fc_transpose_double(rows, cols, a_row, t_row, a, t)
