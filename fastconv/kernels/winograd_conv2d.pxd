# 2-D convolution with stride 1 by Winograd's algorithm along the lines: four outputs of a row of the filter take 6
# products where the plain sum takes 12 (3 taps), or 8 where it takes 20 (5 taps), and so does their share of dw.

from fastconv.kernels.conv2d cimport reached, transposed
from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.real cimport padded
from fastconv.kernels.relu cimport relu_mask
from fastconv.kernels.tile cimport fc_product, multiply

cdef extern from "winograd.h" nogil:
    enum: FC_OUTPUTS
    void fc_winograd_weights(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t, float *)
    void fc_winograd_input(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t,
                           Py_ssize_t, float *)
    void fc_winograd_output(Py_ssize_t, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                            const float *, const float *, int, Py_ssize_t, float *, float *)
    void fc_winograd_input_back(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                Py_ssize_t, const float *, Py_ssize_t, float *)
    void fc_winograd_gradients(Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, Py_ssize_t,
                               Py_ssize_t, float *)
    void fc_winograd_taps(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float *, int, Py_ssize_t, float *)

cdef enum:
    WINOGRAD_BYTES = 512 * 1024  # of the transforms of the images that are worked on at a time, about
    SUMS_BYTES = 128 * 1024      # of the sums of their products that dw is taken of at a time, about


cdef inline Py_ssize_t points_of(const Window *k) noexcept nogil:
    """Products of a tile."""
    return FC_OUTPUTS + k.kw - 1


cdef inline Py_ssize_t tiles_of(Py_ssize_t width) noexcept nogil:
    """Tiles of a line of outputs."""
    return (width + FC_OUTPUTS - 1) // FC_OUTPUTS


cdef inline bint winograd_suits_x(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Whether dx is faster so: enough channels and filters to pay for the transforms, and at most 3/4 of the plain
    sum's products, which leaves the zeros around the narrower of both out.
    """
    return (k.sh == 1 and k.sw == 1 and k.dh == 1 and k.dw == 1 and (k.kw == 3 or k.kw == 5)
            and gx.channels >= 32 and gy.channels >= 32
            and 4 * points_of(k) * tiles_of(gy.width) <= 3 * min(gx.width, gy.width) * k.kw)


cdef inline bint winograd_suits(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Whether the forward pass is faster so, which reads whole vectors of channels."""
    return winograd_suits_x(gx, gy, k) and gx.channels == padded(gx.channels, sizeof(float))


cdef inline Py_ssize_t sample_size(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Elements of the transform of a sample and of its products."""
    return points_of(k) * tiles_of(gy.width) * (gx.height * padded(gx.channels, sizeof(float))
                                                + gy.height * padded(gy.channels, sizeof(float)))


cdef inline Py_ssize_t samples_at_a_time(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Samples whose transforms fit in a cache."""
    return max(<Py_ssize_t> 1, WINOGRAD_BYTES // <Py_ssize_t> sizeof(float) // sample_size(gx, gy, k))


cdef inline Py_ssize_t winograd_scratch(Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Elements of scratch for up to n samples."""
    return min(n, samples_at_a_time(gx, gy, k)) * sample_size(gx, gy, k)


cdef inline void winograd_line(
    const Window *k, Py_ssize_t line, Py_ssize_t channels, Py_ssize_t row, Py_ssize_t tap, const float *w,
    float *u,  # OUT (points, kh, channels, padded filters)
) noexcept nogil:
    """Transform line `line` of the filters, whose taps (channels, padded filters) lie `tap` apart."""
    fc_winograd_weights(k.kw, channels * row, tap, w, k.kh * channels * row, u + line * channels * row)


cdef inline void winograd_products(
    Py_ssize_t rows, const Grid *gx, const Grid *gy, const Window *k,
    const float *v,  # (points, height of x, rows, padded channels)
    const float *u,  # (points, kh, channels, padded filters)
    float *m,        # OUT (points, height of y, rows, padded filters)
) noexcept nogil:
    """m[t, p] = sum_u v[t, p + u - top] u[t, u], for each of `rows` tiles of a line"""
    cdef Py_ssize_t t, line, end = 0, first, count, next_first, next_count
    cdef const float *none = NULL
    cdef fc_product p
    p.a_line, p.c_line = 0, 0
    p.lines, p.cols, p.segments, p.depth, p.depths, p.reach = 1, gy.row, 1, gx.channels, NULL, NULL
    p.a_row, p.a_outer, p.a_segment, p.a_step = gx.row, rows * gx.row, 0, 1
    p.b_outer, p.b_segment, p.b_row = gx.channels * gy.row, 0, gy.row
    p.c_row, p.add, p.relu = gy.row, 0, 0
    while end < gy.height:  # lines of outputs that see the same lines of the filter
        line = end
        reached(gx.height, k.kh, 1, line - k.top, &first, &count)
        next_first, next_count = first, count
        while end < gy.height and next_first == first and next_count == count:
            end += 1
            reached(gx.height, k.kh, 1, end - k.top, &next_first, &next_count)
        p.rows, p.outer = (end - line) * rows, count
        for t in range(points_of(k)):
            multiply(&p, v + (t * gx.height + line + first - k.top) * rows * gx.row,
                     u + (t * k.kh + first) * gx.channels * gy.row, none, none,
                     m + (t * gy.height + line) * rows * gy.row)


cdef inline void winograd_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const float *x,  # pixel (0, 0) of the first sample; zeros left and right of each line, as far as the tiles reach
    const float *u,  # (points, kh, channels, padded filters)
    const float *b,  # (padded filters,) or NULL
    int relu,
    const Grid *pooled,  # NULL, or how y lies that is the largest of 2 by 2 outputs; gy.height and gy.width are even
    float *scratch,  # (winograd_scratch,) to work in
    float *y,        # OUT
    float *winner,   # OUT, if pooled: that of max_pool_forward, or NULL
) noexcept nogil:
    """y of conv2d_forward, but for rounding; and then perhaps of max_pool_forward."""
    cdef Py_ssize_t i, start = 0, count, most = samples_at_a_time(gx, gy, k), tiles = tiles_of(gy.width)
    cdef Py_ssize_t line_x, line_y, plane_x, plane_y
    cdef const Grid *g = pooled if pooled != NULL else gy
    cdef float *products
    cdef float *won = winner
    while start < n:
        count = min(most, n - start)
        line_x, line_y = count * tiles * gx.row, count * tiles * gy.row
        plane_x, plane_y = gx.height * line_x, gy.height * line_y
        products = scratch + points_of(k) * plane_x
        for i in range(count):
            fc_winograd_input(k.kw, gx.height, tiles, gx.channels, gx.line,
                              x + (start + i) * gx.sample - k.left * gx.row, line_x, plane_x,
                              scratch + i * tiles * gx.row)
        winograd_products(count * tiles, gx, gy, k, scratch, u, products)
        for i in range(count):
            if winner != NULL:
                won = winner + (start + i) * g.height * g.width * g.row
            fc_winograd_output(k.kw, pooled != NULL, gy.height, tiles, gy.width, gy.row, line_y, plane_y,
                               products + i * tiles * gy.row, b, relu, g.line, y + (start + i) * g.sample, won)
        start += count


cdef inline void winograd_backward_x(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const float *dy,    # pixel (0, 0) of the first sample; zeros right of each line, as far as the tiles reach
    const float *ut,    # (points, kh, filters, padded channels): u with its lines in reverse, each transposed
    const float *mask,  # laid out as dx, or NULL: dx = 0 where mask <= 0
    float *scratch,     # (winograd_scratch,) to work in
    float *dx,          # OUT
) noexcept nogil:
    """dx of conv2d_backward_x, but for rounding: the transpose of the forward pass, each step."""
    cdef Window full = transposed(k)
    cdef Py_ssize_t i, start = 0, count, most = samples_at_a_time(gx, gy, k), tiles = tiles_of(gy.width)
    cdef Py_ssize_t line_x, line_y, plane_x, plane_y
    cdef float *products
    while start < n:
        count = min(most, n - start)
        line_x, line_y = count * tiles * gx.row, count * tiles * gy.row
        plane_x, plane_y = gx.height * line_x, gy.height * line_y
        products = scratch + points_of(k) * plane_y
        for i in range(count):
            fc_winograd_gradients(k.kw, gy.height, tiles, gy.row, gy.line, dy + (start + i) * gy.sample, line_y,
                                  plane_y, scratch + i * tiles * gy.row)
        winograd_products(count * tiles, gy, gx, &full, scratch, ut, products)
        for i in range(count):
            fc_winograd_input_back(k.kw, gx.height, tiles, gx.width, k.left, gx.row, line_x, plane_x,
                                   products + i * tiles * gx.row, gx.line, dx + (start + i) * gx.sample)
        start += count
    if mask != NULL:
        relu_mask(n, gx, mask, dx)


cdef inline bint winograd_suits_w(const Grid *gx, const Grid *gy, const Window *k, Py_ssize_t places) noexcept nogil:
    """Whether dw is faster so, where the forward pass is and at most one of `places` pixels of dy is not zero: unless
    skipping zeros is better, as it is where many are, or where lists and the lines of the filter are long.
    """
    return places == 1 or places < 9 and (gy.height * gy.width < 9 * places or k.kw * gx.channels < 128)


cdef inline Py_ssize_t sums_at_a_time(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Channels whose sums fit in a cache."""
    return min(gx.channels, max(<Py_ssize_t> 12, SUMS_BYTES // <Py_ssize_t> sizeof(float) // (points_of(k) * gy.row)))


cdef inline Py_ssize_t winograd_sums_scratch(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Elements of scratch for the sums."""
    return points_of(k) * sums_at_a_time(gx, gy, k) * gy.row


cdef inline void winograd_sums(
    Py_ssize_t n, Py_ssize_t most, const Grid *gx, const Grid *gy, const Window *k,
    const float *v,  # (points, height of x, most, tiles, channels)
    const float *m,  # (points, height of y, most, tiles, padded filters)
    bint add,
    float *sums,     # (winograd_sums_scratch,) to work in
    float *dw,       # OUT (kh, kw, channels, padded filters), IN too if add
) noexcept nogil:
    """dw of the first n samples of v and m, added to dw if add."""
    cdef Py_ssize_t t, u, c, first, rows = most * tiles_of(gy.width), plane, tap = gx.channels * gy.row
    cdef const float *none = NULL
    cdef fc_product p
    p.lines, p.cols, p.segments, p.depth, p.depths, p.reach = 1, gy.row, 1, n * tiles_of(gy.width), NULL, NULL
    p.a_line, p.a_row, p.a_outer, p.a_segment, p.a_step = 0, 1, rows * gx.row, 0, gx.row
    p.b_outer, p.b_segment, p.b_row = rows * gy.row, 0, gy.row
    p.c_line, p.c_row, p.add, p.relu = 0, gy.row, 0, 0
    for u in range(k.kh):
        reached(gx.height, gy.height, 1, u - k.top, &first, &p.outer)
        c = 0
        while c < gx.channels:
            p.rows = min(gx.channels - c, sums_at_a_time(gx, gy, k))
            plane = p.rows * gy.row
            for t in range(points_of(k)):
                multiply(&p, v + (t * gx.height + first + u - k.top) * rows * gx.row + c,
                         m + (t * gy.height + first) * rows * gy.row, none, none, sums + t * plane)
            fc_winograd_taps(k.kw, plane, plane, sums, add, tap, dw + u * k.kw * tap + c * gy.row)
            c += p.rows


cdef inline void winograd_backward_w(
    Py_ssize_t first, Py_ssize_t n, bint last, Py_ssize_t most, const Grid *gx, const Grid *gy, const Window *k,
    const float *x,   # pixel (0, 0) of the first sample; zeros left and right of each line, as far as the tiles reach
    const float *dy,  # pixel (0, 0) of the first sample; zeros right of each line, as far as the tiles reach
    bint add,
    float *kept,      # IN and OUT (winograd_scratch,) for `most` samples: what is still to be summed
    float *sums,      # (winograd_sums_scratch,) to work in
    float *dw,        # OUT (kh, kw, channels, padded filters), IN too if add
) noexcept nogil:
    """dw of conv2d_backward_w, but for rounding, of the samples first : first + n of a chunk, perhaps the last ones.

    The transforms of `most` samples are kept and then multiplied at once, so that the sums are long.
    """
    cdef Py_ssize_t i, slot, tiles = tiles_of(gy.width)
    cdef Py_ssize_t line_x = most * tiles * gx.row, line_y = most * tiles * gy.row
    cdef float *m = kept + points_of(k) * gx.height * line_x
    for i in range(n):
        slot = (first + i) % most
        fc_winograd_input(k.kw, gx.height, tiles, gx.channels, gx.line, x + i * gx.sample - k.left * gx.row, line_x,
                          gx.height * line_x, kept + slot * tiles * gx.row)
        fc_winograd_gradients(k.kw, gy.height, tiles, gy.row, gy.line, dy + i * gy.sample, line_y, gy.height * line_y,
                              m + slot * tiles * gy.row)
        if slot == most - 1 or last and i == n - 1:
            winograd_sums(slot + 1, most, gx, gy, k, kept, m, add or first + i > slot, sums, dw)
