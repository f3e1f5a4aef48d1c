# 2-D convolution with stride 1 by Winograd's algorithm along the lines: a row of the filter takes 6 products where the
# plain sum takes 12 (3 taps) or 10 (5 taps).

from fastconv.kernels.conv2d cimport reached
from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.real cimport padded
from fastconv.kernels.tile cimport fc_product, multiply

cdef extern from "winograd.h" nogil:
    enum: FC_POINTS
    void fc_winograd_weights(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t, float *)
    void fc_winograd_input(
        Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t, float *)
    void fc_winograd_output(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *,
                            const float *, int, Py_ssize_t, float *)


cdef inline bint winograd_suits(Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t width, const Window *k) noexcept nogil:
    """Whether such a convolution is faster so: enough channels and filters to pay for the transforms."""
    return (k.sh == 1 and k.sw == 1 and k.dh == 1 and k.dw == 1 and (k.kw == 3 or k.kw == 5)
            and channels == padded(channels, sizeof(float)) and channels >= 32 and filters >= 32
            and width >= outputs_of(k))


cdef inline Py_ssize_t outputs_of(const Window *k) noexcept nogil:
    """Outputs of a tile."""
    return FC_POINTS + 1 - k.kw


cdef inline Py_ssize_t tiles_of(Py_ssize_t width, const Window *k) noexcept nogil:
    """Tiles of a line of outputs."""
    return (width + outputs_of(k) - 1) // outputs_of(k)


cdef inline Py_ssize_t winograd_scratch(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Elements of scratch: a sample's transform and its products."""
    return FC_POINTS * tiles_of(gy.width, k) * (gx.height * gx.row + gy.height * gy.row)


cdef inline void winograd_line(
    const Window *k, Py_ssize_t line, Py_ssize_t channels, Py_ssize_t row, const float *w,
    float *u,  # OUT (FC_POINTS, kh, channels, padded filters)
) noexcept nogil:
    """Transform line `line` of the filters, (kw, channels, padded filters)."""
    fc_winograd_weights(k.kw, channels * row, channels * row, w, k.kh * channels * row, u + line * channels * row)


cdef inline void winograd_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const float *x,  # pixel (0, 0) of the first sample; zeros left and right of each line, as far as the tiles reach
    const float *u,  # (FC_POINTS, kh, channels, padded filters)
    const float *b,  # (padded filters,) or NULL
    int relu,
    float *scratch,  # (winograd_scratch,) to work in
    float *y,        # OUT
) noexcept nogil:
    """y of conv2d_forward, but for rounding."""
    cdef Py_ssize_t i, t, line, end, first, count, next_first, next_count
    cdef Py_ssize_t tiles = tiles_of(gy.width, k), outputs = outputs_of(k)
    cdef Py_ssize_t plane_x = gx.height * tiles * gx.row, plane_y = gy.height * tiles * gy.row
    cdef float *products = scratch + FC_POINTS * plane_x
    cdef const float *none = NULL
    cdef fc_product p
    p.a_line, p.c_line = 0, 0
    p.lines, p.cols, p.segments, p.depth, p.depths, p.reach = 1, gy.channels, 1, gx.channels, NULL, NULL
    p.a_row, p.a_outer, p.a_segment, p.a_step = gx.row, tiles * gx.row, 0, 1
    p.b_outer, p.b_segment, p.b_row = gx.channels * gy.row, 0, gy.row
    p.c_row, p.add, p.relu = gy.row, 0, 0
    for i in range(n):
        fc_winograd_input(gx.height, tiles, outputs, gx.channels, gx.line, x + i * gx.sample - k.left * gx.row, plane_x,
                          scratch)
        end = 0
        while end < gy.height:  # lines of outputs that see the same lines of the filter
            line = end
            reached(gx.height, k.kh, 1, line - k.top, &first, &count)
            next_first, next_count = first, count
            while end < gy.height and next_first == first and next_count == count:
                end += 1
                reached(gx.height, k.kh, 1, end - k.top, &next_first, &next_count)
            p.rows, p.outer = (end - line) * tiles, count
            for t in range(FC_POINTS):
                multiply(&p, <const float *> scratch + t * plane_x + (line + first - k.top) * tiles * gx.row,
                         u + (t * k.kh + first) * gx.channels * gy.row, none, none,
                         products + t * plane_y + line * tiles * gy.row)
        fc_winograd_output(gy.height, tiles, outputs, gy.width, gy.row, plane_y, products, b, relu, gy.line,
                           y + i * gy.sample)
