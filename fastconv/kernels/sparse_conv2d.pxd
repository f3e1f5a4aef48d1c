# The gradients of a 2-D convolution with stride 1 in front of max-pooling: of the pixels of a window at most one hands
# a gradient back, and nothing is multiplied with the zeros of the others.

from libc.stdint cimport int32_t
from libc.string cimport memset

from fastconv.kernels.conv2d cimport reached
from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.max_pool cimport clear
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.relu cimport relu_mask
from fastconv.kernels.tile cimport FC_CHANNELS, FC_TAPS, fc_window, slide, transpose_rows

cdef extern from "sparse.h" nogil:
    ctypedef struct fc_sparse:
        Py_ssize_t height, width, filters, row, line
        Py_ssize_t x_down, x_right
        Py_ssize_t most
    void fc_list_float(const fc_sparse *, const float *, int32_t *, int32_t *, float *)
    void fc_list_double(const fc_sparse *, const double *, int32_t *, int32_t *, double *)
    void fc_gather_windows_float(
        Py_ssize_t, Py_ssize_t, const int32_t *, const float *, const float *, float *)
    void fc_gather_windows_double(
        Py_ssize_t, Py_ssize_t, const int32_t *, const double *, const double *, double *)


cdef enum:
    LONGEST = 1 << 27  # elements of a sample that a list can point into, but for its margins


cdef inline bint sparse_suits(const Grid *gx, const Window *k, Py_ssize_t itemsize) noexcept nogil:
    """Whether the kernels below take such a convolution: windows of whole vectors without gaps."""
    return (k.sh == 1 and k.sw == 1 and k.dh == 1 and k.dw == 1 and k.kw <= FC_TAPS
            and gx.channels == padded(gx.channels, itemsize) and gx.height * gx.width * gx.channels < LONGEST)


cdef inline Py_ssize_t sparse_scratch(const Grid *gx, const Grid *gy, const Window *k, Py_ssize_t itemsize) noexcept nogil:
    """Elements of scratch: the gradient filter by filter, then a sample's lists."""
    cdef Py_ssize_t places = gy.height * gy.width * gy.channels
    cdef Py_ssize_t numbers = places + (gy.height + 1) * gy.channels + 2 * gy.width * k.kh
    return k.kh * k.kw * gx.channels * gy.row + places + (numbers * sizeof(int32_t) + itemsize - 1) // itemsize + 16


cdef inline void sparse_begin(
    const Grid *gx, const Grid *gy, const Window *k, bint add, const real *dw,
    real *dwt,  # OUT (filters, kh, kw, channels)
) noexcept nogil:
    """Start from nothing, or from dw if add."""
    cdef Py_ssize_t size = k.kh * k.kw * gx.channels
    if add:
        transpose_rows(size, gy.channels, gy.row, size, dw, dwt)
    else:
        memset(dwt, 0, gy.channels * size * sizeof(real))


cdef inline void sparse_end(
    const Grid *gx, const Grid *gy, const Window *k, const real *dwt,
    real *dw,  # OUT (kh, kw, channels, padded filters)
) noexcept nogil:
    """dw = dwt, transposed."""
    cdef Py_ssize_t size = k.kh * k.kw * gx.channels
    transpose_rows(gy.channels, size, size, gy.row, dwt, dw)


cdef inline void sparse_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x, const real *dy,
    real *dwt,  # IN and OUT (filters, kh, kw, channels), then room for the lists
) noexcept nogil:
    """dwt[f, u, v, c] += sum_{i, p, q} x[i, p + u - top, q + v - left, c] dy[i, p, q, f]"""
    cdef Py_ssize_t i, u, f, first, count, size = k.kw * gx.channels
    cdef fc_sparse p
    p.height, p.width, p.filters, p.row, p.line = gy.height, gy.width, gy.channels, gy.row, gy.line
    p.x_down, p.x_right, p.most = gx.line, gx.row, gy.height * gy.width
    cdef real *value = dwt + k.kh * size * gy.row
    cdef int32_t *where = <int32_t *> (value + p.most * p.filters)
    cdef int32_t *ends = where + p.most * p.filters
    cdef const real *under
    for i in range(n):
        if real is float:
            fc_list_float(&p, dy + i * gy.sample, ends, where, value)
        else:
            fc_list_double(&p, dy + i * gy.sample, ends, where, value)
        for f in range(p.filters):
            for u in range(k.kh):  # the lines of dy whose windows have line u inside x
                reached(gx.height, gy.height, 1, u - k.top, &first, &count)
                under = x + i * gx.sample + (u - k.top) * gx.line - k.left * gx.row
                count = ends[(first + count) * p.filters + f] - ends[first * p.filters + f]
                first = f * p.most + ends[first * p.filters + f]
                if real is float:
                    fc_gather_windows_float(size, count, where + first, value + first, under,
                                            dwt + (f * k.kh + u) * size)
                else:
                    fc_gather_windows_double(size, count, where + first, value + first, under,
                                             dwt + (f * k.kh + u) * size)


cdef inline void sparse_backward_x(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *dy,         # zeros left and right of each line, as far as the filters reach
    const real *wt,         # (kh, kw, filters, padded channels): w with its taps in reverse, each transposed
    const real *mask,       # laid out as dx, or NULL: dx = 0 where mask <= 0
    Py_ssize_t *positions,  # (2 height of dy,) to work in
    real *dx,               # OUT
) noexcept nogil:
    """dx[i, p + u - top, q + v - left, c] = sum_{u, v, f} dy[i, p, q, f] w[u, v, c, f]

    A window of kw pixels of dx slides along each line of dy, for each line of the filter.
    """
    cdef Py_ssize_t i, u, h, f, first, tap = gy.channels * gx.row
    cdef Py_ssize_t left = k.kw - 1 - k.left
    cdef const real *none = NULL
    cdef fc_window s
    for h in range(gy.height):
        positions[h], positions[gy.height + h] = gx.width + k.kw - 1, gx.width
    s.taps, s.cols, s.positions, s.outputs = k.kw, gx.channels, positions, positions + gy.height
    s.x_sample, s.x_row, s.c_sample, s.c_row, s.w_tap, s.w_row = gy.line, gy.row, gx.line, gx.row, -tap, gx.row
    s.relu, s.add, s.suffixes = 0, 1, NULL
    for i in range(n):
        clear(gx, dx + i * gx.sample)
        for u in range(k.kh):
            reached(gx.height, gy.height, 1, u - k.top, &first, &s.samples)
            f = 0
            while f < gy.channels:
                s.channels = min(gy.channels - f, <Py_ssize_t> FC_CHANNELS)
                slide(&s, dy + i * gy.sample + first * gy.line - left * gy.row + f,
                      wt + ((k.kh - u) * k.kw - 1) * tap + f * gx.row, none, none,
                      dx + i * gx.sample + (first + u - k.top) * gx.line, <real *> NULL)
                f += FC_CHANNELS
    if mask != NULL:
        relu_mask(n, gx, mask, dx)
