# 2-D convolution of channels-last images, direct: the pixels under a row of a filter lie side by side, so that a row of
# outputs is a sum of matrix products with overlapping rows, and nothing is copied. A sequence is an image of one line.

from libc.string cimport memset

from fastconv.kernels.bias cimport bias_backward
from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.relu cimport relu_mask
from fastconv.kernels.tile cimport fc_product, multiply, multiply_pooled

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) nogil

cdef extern from "weights.h" nogil:
    ctypedef struct fc_weights:
        Py_ssize_t rows, cols
        Py_ssize_t first, lines, width
        Py_ssize_t x_line, x_step
        Py_ssize_t y_line, y_row
        Py_ssize_t w_line
        Py_ssize_t c_row
    void fc_weights_add_float(const fc_weights *, const float *, const float *, const float *, float *, float *)
    void fc_weights_add_double(
        const fc_weights *, const double *, const double *, const double *, double *, double *)

cdef enum:
    FEW = 8             # channels
    STRIP_BYTES = 8192  # of the lines of dy that are worked on at a time, about


cdef inline void reached(
    Py_ssize_t size, Py_ssize_t outputs, Py_ssize_t stride, Py_ssize_t offset,
    Py_ssize_t *first, Py_ssize_t *count,  # OUT
) noexcept nogil:
    """The p < outputs with 0 <= p*stride + offset < size: `count` of them from `first` on."""
    cdef Py_ssize_t start = 0 if offset >= 0 else (stride - 1 - offset) // stride
    cdef Py_ssize_t stop = 0 if offset >= size else min(outputs, (size - 1 - offset) // stride + 1)
    first[0], count[0] = start, max(stop - start, <Py_ssize_t> 0)


cdef inline fc_product product_of(const Grid *gx, const Grid *gy, const Window *k, int relu) noexcept nogil:
    """A line of y as a product; how many lines, and how many lines of the filter they see, is still to be said."""
    cdef fc_product p
    p.lines, p.rows, p.cols = 0, gy.width, gy.channels
    p.outer, p.segments, p.depth, p.depths, p.reach = 0, k.kw, gx.channels, NULL, NULL
    if gx.row == gx.channels and k.dw == 1:  # a row of the filter is one segment
        p.segments, p.depth = 1, k.kw * gx.channels
    p.a_line, p.a_row = k.sh * gx.line, k.sw * gx.row
    p.a_outer, p.a_segment, p.a_step = k.dh * gx.line, k.dw * gx.row, 1
    p.b_outer, p.b_segment, p.b_row = k.kw * gx.channels * gy.row, gx.channels * gy.row, gy.row
    p.c_line, p.c_row, p.add, p.relu = gy.line, gy.row, 0, relu
    return p


cdef inline void correlate(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x,     # pixel (0, 0) of the first sample; zeros around each sample as far as the windows reach
    const real *w,     # (kh, kw, channels, padded filters)
    const real *b,     # (padded filters,) or NULL
    int relu,
    const real *mask,  # laid out as y, or NULL: y = 0 where mask <= 0
    real *y,           # OUT
) noexcept nogil:
    """y[i, p, q, f] = b[f] + sum_{u, v, c} x[i, p*sh + u*dh - top, q*sw + v*dw - left, c] w[u, v, c, f]

    Lines of the filter that lie in the padding are left out.
    """
    cdef Py_ssize_t i, line, end = 0, first, count, next_first, next_count
    cdef fc_product p = product_of(gx, gy, k, relu)
    while end < gy.height:  # lines of outputs that see the same lines of the filter
        line = end
        reached(gx.height, k.kh, k.dh, line * k.sh - k.top, &first, &count)
        next_first, next_count = first, count
        while end < gy.height and next_first == first and next_count == count:
            end += 1
            reached(gx.height, k.kh, k.dh, end * k.sh - k.top, &next_first, &next_count)
        p.lines, p.outer = end - line, count
        for i in range(n):
            multiply(&p, x + i * gx.sample + (line * k.sh + first * k.dh - k.top) * gx.line - k.left * gx.row,
                     w + first * p.b_outer, b, mask + i * gy.sample + line * gy.line if mask != NULL else mask,
                     y + i * gy.sample + line * gy.line)


cdef inline void conv2d_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x,  # pixel (0, 0) of the first sample; its padding lies around it
    const real *w,  # (kh, kw, channels, padded filters)
    const real *b,  # (padded filters,) or NULL
    int relu,
    real *y,        # OUT
) noexcept nogil:
    """y[i, p, q, f] = b[f] + sum_{u, v, c} x[i, p*sh + u*dh - top, q*sw + v*dw - left, c] w[u, v, c, f];
    then max(0, y) if relu.
    """
    correlate(n, gx, gy, k, x, w, b, relu, <const real *> NULL, y)


cdef inline bint pooled_suits(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Whether conv2d_pooled can be used: all lines of outputs see all lines of the filter."""
    return k.top == 0 and (gy.height - 1) * k.sh + (k.kh - 1) * k.dh < gx.height


cdef inline void conv2d_pooled(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x, const real *w, const real *b, int relu,
    real *y,       # OUT, half as high and as wide as that of conv2d_forward
    real *winner,  # OUT (n, height, width, row) of y: which of the four it is, or NULL
) noexcept nogil:
    """y = the largest of 2 by 2 outputs of conv2d_forward."""
    cdef Py_ssize_t i, size = gy.height * gy.width * gy.row
    cdef fc_product p = product_of(gx, gy, k, relu)
    p.outer, p.rows, p.lines = k.kh, gy.width, gy.height
    for i in range(n):
        multiply_pooled(&p, x + i * gx.sample - k.left * gx.row, w, b, y + i * gy.sample,
                        winner + i * size if winner != NULL else winner)


cdef inline Window transposed(const Window *k) noexcept nogil:
    """The window of the full correlation of dy, for stride 1."""
    cdef Window full = k[0]
    full.top, full.left = (k.kh - 1) * k.dh - k.top, (k.kw - 1) * k.dw - k.left
    return full


cdef inline bint full_suits(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """Whether dx is best the full correlation of dy, which also multiplies the zeros left and right of it."""
    return k.sh == 1 and k.sw == 1 and 8 * gx.width <= 9 * gy.width


cdef inline void conv2d_backward_x(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *dy,    # pixel (0, 0) of the first sample; zeros around it
    const real *wt,    # (kh, kw, filters, padded channels): w with its taps in reverse, each transposed
    const real *mask,  # laid out as dx, or NULL: dx = 0 where mask <= 0
    real *dx,          # OUT
) noexcept nogil:
    """dx[i, p*sh + u*dh - top, q*sw + v*dw - left, c] = sum_{u, v, f} dy[i, p, q, f] w[u, v, c, f]"""
    cdef Window full = transposed(k)
    cdef Py_ssize_t i, h
    if full_suits(gx, gy, k):
        correlate(n, gy, gx, &full, dy, wt, <const real *> NULL, 0, mask, dx)
        return
    for i in range(n):
        for h in range(gx.height):
            memset(dx + i * gx.sample + h * gx.line, 0, gx.width * gx.row * sizeof(real))
        spread(gx, gy, k, dy + i * gy.sample, wt, dx + i * gx.sample)
    if mask != NULL:
        relu_mask(n, gx, mask, dx)


cdef inline void spread(
    const Grid *gx, const Grid *gy, const Window *k, const real *dy, const real *wt,
    real *dx,  # IN and OUT
) noexcept nogil:
    """dx[p*sh + u*dh - top, q*sw + v*dw - left, c] += dy[p, q, f] w[u, v, c, f], one tap after the other."""
    cdef Py_ssize_t u, v, line, pixel, at
    cdef const real *none = NULL
    cdef fc_product p
    p.cols, p.outer, p.segments, p.depth, p.depths, p.reach = gx.channels, 1, 1, gy.channels, NULL, NULL
    p.a_line, p.a_row, p.a_outer, p.a_segment, p.a_step = gy.line, gy.row, 0, 0, 1
    p.b_outer, p.b_segment, p.b_row = 0, 0, gx.row
    p.c_line, p.c_row, p.add, p.relu = k.sh * gx.line, k.sw * gx.row, 1, 0
    for u in range(k.kh):
        reached(gx.height, gy.height, k.sh, u * k.dh - k.top, &line, &p.lines)
        for v in range(k.kw):
            reached(gx.width, gy.width, k.sw, v * k.dw - k.left, &pixel, &p.rows)
            if p.lines and p.rows:
                at = (line * k.sh + u * k.dh - k.top) * gx.line + (pixel * k.sw + v * k.dw - k.left) * gx.row
                multiply(&p, dy + line * gy.line + pixel * gy.row,
                         wt + ((k.kh - 1 - u) * k.kw + k.kw - 1 - v) * gy.channels * gx.row, none, none, dx + at)


cdef inline void fetch(const real *a, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Prefetch a[start:stop], which need not exist, as far as whole cache lines go."""
    cdef Py_ssize_t j, step = 64 // <Py_ssize_t> sizeof(real)
    for j in range(start // step, stop // step):
        prefetch(a + j * step)


cdef inline void add_weights(
    const Grid *gx, const Grid *gy, const Grid *given, const Window *k, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t u,
    const real *x, const real *dy, const real *winner,
    real *dw, real *db,  # IN and OUT, db may be NULL
) noexcept nogil:
    """Add to line u of dw, and to db, what comes of the lines start : stop of y's gradient, of one sample."""
    cdef Py_ssize_t v, first, count, products = k.kw, taps = 1
    cdef const real *under
    cdef real *line
    cdef fc_weights p
    if gx.row == gx.channels and k.dw == 1:  # the weights of a row of the filter are one product
        products, taps = 1, k.kw
    reached(gx.height, gy.height, k.sh, u * k.dh - k.top, &first, &count)
    p.first = max(first, start)
    p.rows, p.cols, p.lines, p.width = taps * gx.channels, gy.channels, min(first + count, stop) - p.first, gy.width
    p.x_line, p.x_step, p.c_row = k.sh * gx.line, k.sw * gx.row, gy.row
    p.y_line, p.y_row, p.w_line = given.line, given.row, given.width * given.row
    for v in range(products):
        under = x + (p.first * k.sh + u * k.dh - k.top) * gx.line + (v * k.dw - k.left) * gx.row
        line = dw + (u * k.kw + v) * gx.channels * gy.row
        if real is float:
            fc_weights_add_float(&p, under, dy, winner, line, db if v == 0 else <real *> NULL)
        else:
            fc_weights_add_double(&p, under, dy, winner, line, db if v == 0 else <real *> NULL)


cdef inline void strips_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Grid *given, const Window *k,
    const real *x,
    const real *dy,      # of what is pooled, if winner is not NULL; laid out as `given` says
    const real *winner,  # (n, height, width, row) of what is pooled, or NULL
    const real *far,     # where in memory dy, laid out alike, goes on behind the last sample, or NULL
    bint add,
    real *dw,            # OUT, IN too if add
    real *db,            # the same, or NULL
) noexcept nogil:
    """conv2d_backward_w and conv2d_pooled_backward_w for few channels: a few lines of dy at a time stay in the cache
    for all lines of the filter, while the next sample's come out of the memory.
    """
    cdef Py_ssize_t i, u, start, stop, done, total = gy.height * k.kh, size = given.height * given.width * given.row
    cdef Py_ssize_t strip = max(<Py_ssize_t> 1, STRIP_BYTES // (given.line * <Py_ssize_t> sizeof(real)))
    cdef Py_ssize_t first, count, whole = -1  # a line of the filter that sees all lines of y
    cdef const real *won = winner
    if not add:
        memset(dw, 0, k.kh * k.kw * gx.channels * gy.row * sizeof(real))
    if db != NULL:
        for u in range(k.kh):
            reached(gx.height, gy.height, k.sh, u * k.dh - k.top, &first, &count)
            whole = u if count == gy.height else whole
        if whole < 0:
            bias_backward(n, gy, dy, add, db)
        elif not add:
            memset(db, 0, gy.row * sizeof(real))
    for i in range(n):
        start = done = 0
        while start < gy.height:
            stop = min(gy.height, start + strip)
            for u in range(k.kh):
                if winner != NULL:
                    won = winner + i * size
                    fetch(won + size, size // total * done, size // total * (done + stop - start))
                if far != NULL:
                    fetch(far + (i + 1) * given.sample, given.sample // total * done,
                          given.sample // total * (done + stop - start))
                done += stop - start
                add_weights(gx, gy, given, k, start, stop, u, x + i * gx.sample, dy + i * given.sample, won, dw,
                            db if u == whole else <real *> NULL)
            start = stop


cdef inline void conv2d_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x,   # pixel (0, 0) of the first sample; its padding lies around it
    const real *dy,  # pixel (0, 0) of the first sample
    const real *far, # dy if it lies in memory rather than in a cache, and goes on behind the last sample, or NULL
    bint add,
    real *dw,        # OUT (kh, kw, channels, padded filters), IN too if add
    real *db,        # OUT (padded filters,), IN too if add; or NULL
) noexcept nogil:
    """dw[u, v, c, f] = sum_{i, p, q} x[i, p*sh + u*dh - top, q*sw + v*dw - left, c] dy[i, p, q, f],
    db[f] = sum_{i, p, q} dy[i, p, q, f], added to dw and db if add.
    """
    cdef Py_ssize_t i, u, v, first, products = k.kw, taps = 1
    cdef const real *none = NULL
    cdef fc_product p
    if gx.channels <= FEW:
        strips_backward_w(n, gx, gy, gy, k, x, dy, none, far, add, dw, db)
        return
    if db != NULL:
        bias_backward(n, gy, dy, add, db)
    if gx.row == gx.channels and k.dw == 1:  # the weights of a row of the filter are one product
        products, taps = 1, k.kw
    p.lines, p.rows, p.cols, p.a_line, p.c_line = 1, taps * gx.channels, gy.channels, 0, 0
    p.segments, p.depth, p.depths, p.reach = 1, gy.width, NULL, NULL
    p.a_row, p.a_outer, p.a_segment, p.a_step = 1, k.sh * gx.line, 0, k.sw * gx.row
    p.b_outer, p.b_segment, p.b_row = gy.line, 0, gy.row
    p.c_row, p.relu = gy.row, 0
    for i in range(n):
        p.add = add or i > 0
        for u in range(k.kh):
            reached(gx.height, gy.height, k.sh, u * k.dh - k.top, &first, &p.outer)
            for v in range(products):
                multiply(&p, x + i * gx.sample + (first * k.sh + u * k.dh - k.top) * gx.line
                         + (v * k.dw - k.left) * gx.row, dy + i * gy.sample + first * gy.line, none, none,
                         dw + (u * k.kw + v) * gx.channels * gy.row)


cdef inline bint two_by_two(const Window *pool) noexcept nogil:
    """Whether a pooling takes 2 by 2 pixels, each once."""
    return pool.kh == 2 and pool.kw == 2 and pool.sh == 2 and pool.sw == 2


cdef inline void conv2d_pooled_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Grid *pooled, const Window *k,
    const real *x,       # pixel (0, 0) of the first sample; its padding lies around it
    const real *dy,      # of what is pooled, half as high and as wide as y
    const real *winner,  # (n, height, width, row) of what is pooled: that of max_pool_forward
    const real *far,     # where in memory dy, laid out alike, goes on behind the last sample, or NULL
    bint add,
    real *dw,            # OUT (kh, kw, channels, padded filters), IN too if add
) noexcept nogil:
    """dw of conv2d_backward_w, where max-pooling of 2 by 2 makes of its dy the one given here."""
    strips_backward_w(n, gx, gy, pooled, k, x, dy, winner, far, add, dw, <real *> NULL)
