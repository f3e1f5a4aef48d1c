"""Windows of images as rows of a matrix, and the adjoint: the copy that a direct convolution does without."""

from cython.parallel cimport parallel
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cdef extern from "team.h" nogil:
    ctypedef struct fc_team:
        int next
    void fc_join(fc_team *)
    int fc_take(fc_team *)
    void fc_wait(fc_team *)

ctypedef fused element:
    float
    double
    uint8_t

ctypedef struct Windows:
    Py_ssize_t height, width, channels  # of an image
    Py_ssize_t lines, columns           # of its windows
    Py_ssize_t kh, kw                   # taps
    Py_ssize_t sh, sw                   # stride
    Py_ssize_t top, left                # padding before the first line and pixel
    Py_ssize_t dh, dw                   # dilation

cdef Py_ssize_t LARGEST = 1 << 30   # strides, paddings and dilations: products of two do not overflow
cdef Py_ssize_t THREADED = 1 << 18  # bytes of a matrix that make threads worth their start
cdef Py_ssize_t PIECE = 1 << 15     # bytes that a thread takes at a time
cdef Py_ssize_t SHORT = 256         # bytes of a run that are copied faster than a window is looked at


cdef inline void copy(Py_ssize_t size, const char *x, char *y) noexcept nogil:
    """Copy `size` bytes, most often a few dozen: in vectors, of which the last one overlaps what is copied already."""
    cdef Py_ssize_t i = 0
    if size >= 16:
        while i < size - 64:
            memcpy(y + i, x + i, 64)
            i += 64
        while i < size - 16:
            memcpy(y + i, x + i, 16)
            i += 16
        memcpy(y + size - 16, x + size - 16, 16)
    elif size >= 8:
        memcpy(y, x, 8)
        memcpy(y + size - 8, x + size - 8, 8)
    elif size >= 4:
        memcpy(y, x, 4)
        memcpy(y + size - 4, x + size - 4, 4)
    else:
        for i in range(size):
            y[i] = x[i]


cdef inline void copy_runs(
    Py_ssize_t n, Py_ssize_t size, Py_ssize_t x_step, Py_ssize_t y_step, const char *x, char *y
) noexcept nogil:
    """Copy n runs of `size` bytes, `x_step` and `y_step` bytes apart."""
    cdef Py_ssize_t i
    for i in range(n):
        copy(size, x + i * x_step, y + i * y_step)


cdef inline void clip(const Windows *k, Py_ssize_t at, Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    """The taps first : last at the pixels at, at + dw, ... that lie within a line."""
    if at >= 0 and at + (k.kw - 1) * k.dw < k.width:
        first[0], last[0] = 0, k.kw
    else:
        first[0] = min(k.kw, (k.dw - 1 - at) // k.dw) if at < 0 else 0
        last[0] = max(first[0], min(k.kw, (k.width - at + k.dw - 1) // k.dw) if at < k.width else <Py_ssize_t> 0)


cdef inline void gather_line(
    const Windows *k, Py_ssize_t p, const element *x,
    element *cols,  # OUT (columns, kh, kw, channels)
) noexcept nogil:
    """cols[q, u, v, c] = x[p*sh - top + u*dh, q*sw - left + v*dw, c], or 0 outside the image."""
    cdef Py_ssize_t q = 0, u, v, first, last, at, line, run, n, size = k.channels * sizeof(element)
    cdef Py_ssize_t window = k.kh * k.kw * size
    cdef char *to = <char *> cols
    cdef const element *source
    while q < k.columns:
        at = q * k.sw - k.left
        clip(k, at, &first, &last)
        n = 1
        if last - first == k.kw and k.kw * size < SHORT:  # take the windows behind it along, up to the end of the line
            n = min(k.columns - q, (k.width - 1 - at - (k.kw - 1) * k.dw) // k.sw + 1)
        run = last - first if k.dw == 1 else 1  # taps side by side
        for u in range(k.kh):
            line = p * k.sh - k.top + u * k.dh
            if line < 0 or line >= k.height or last - first < k.kw:
                for v in range(n):
                    memset(to + v * window, 0, k.kw * size)
            if 0 <= line < k.height:
                source = x + (line * k.width + at) * k.channels
                v = first
                while v < last:
                    copy_runs(n, run * size, k.sw * size, window, <const char *> (source + v * k.dw * k.channels),
                              to + v * size)
                    v += run
            to += k.kw * size
        to += (n - 1) * window
        q += n


cdef inline void scatter_line(
    const Windows *k, Py_ssize_t line, const element *cols,
    element *x,  # OUT (width, channels)
) noexcept nogil:
    """x[j, c] = the sum of cols[p, q, u, v, c] over p*sh - top + u*dh = line and q*sw - left + v*dw = j."""
    cdef Py_ssize_t p, q, u, v, c, first, last, at, run
    cdef const element *source
    cdef element *to
    memset(x, 0, k.width * k.channels * sizeof(element))
    for u in range(k.kh):
        p = line + k.top - u * k.dh
        if p < 0 or p % k.sh or p // k.sh >= k.lines:
            continue
        for q in range(k.columns):
            at = q * k.sw - k.left
            clip(k, at, &first, &last)
            run = last - first if k.dw == 1 else 1
            v = first
            while v < last:
                source = cols + (((p // k.sh * k.columns + q) * k.kh + u) * k.kw + v) * k.channels
                to = x + (at + v * k.dw) * k.channels
                for c in range(run * k.channels):
                    to[c] += source[c]
                v += run


cdef void share(
    const Windows *k, bint adjoint, Py_ssize_t n, Py_ssize_t piece, const element *x,
    fc_team *team,
    element *y,  # OUT
) noexcept nogil:
    """What one thread does of the n lines of y: some at a time, until none is left."""
    cdef Py_ssize_t i, at, pixels = k.width * k.channels, cols = k.columns * k.kh * k.kw * k.channels
    fc_join(team)
    at = fc_take(team) * piece
    while at < n:
        for i in range(at, min(n, at + piece)):
            if adjoint:
                scatter_line(k, i % k.height, x + i // k.height * k.lines * cols, y + i * pixels)
            else:
                gather_line(k, i % k.lines, x + i // k.lines * k.height * pixels, y + i * cols)
        at = fc_take(team) * piece
    fc_wait(team)


cdef void run(
    const Windows *k, bint adjoint, Py_ssize_t images, int threads, const element *x,
    element *y,  # OUT
) noexcept nogil:
    """All lines of y, on threads where that pays."""
    cdef Py_ssize_t n = images * (k.height if adjoint else k.lines)
    cdef Py_ssize_t size = images * k.lines * k.columns * k.kh * k.kw * k.channels * <Py_ssize_t> sizeof(element)
    cdef fc_team team
    memset(&team, 0, sizeof(team))
    threads = threads if size >= THREADED else 1
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        share(k, adjoint, n, n // (size // PIECE + 1) + 1, x, &team, y)


cdef int describe(const Py_ssize_t *images, const Py_ssize_t *cols, stride, before, dilation, Windows *k) except -1:
    """The windows of images (N, H, W, C) that fill cols (N, OH, OW, KH, KW, C)."""
    if images[0] != cols[0] or images[3] != cols[5]:
        raise ValueError(f"im2col: {images[0]} images of {images[3]} channels, cols of {cols[0]} of {cols[5]}")
    if min(*stride, *dilation) < 1 or min(before) < 0 or max(*stride, *before, *dilation) > LARGEST:
        raise ValueError(f"im2col: no windows with stride {stride}, padding {before} and dilation {dilation}")
    if max(images[1], images[2], cols[1], cols[2], cols[3], cols[4]) > LARGEST:
        raise ValueError("im2col: an axis is too long")
    k.height, k.width, k.channels = images[1], images[2], images[3]
    k.lines, k.columns, k.kh, k.kw = cols[1], cols[2], cols[3], cols[4]
    k.sh, k.sw = stride
    k.top, k.left = before
    k.dh, k.dw = dilation
    return 0


def im2col(
    const element[:, :, :, ::1] x, stride, before, dilation, int threads, element[:, :, :, :, :, ::1] cols
):
    """Write the pixels under every window of every image to `cols`.

    Parameters
    ----------
    x : (N, H, W, C) float32, float64 or uint8
    stride, before, dilation : (int, int)
        Lines and pixels; `before` is the padding with zeros above and left.
    threads : int
    cols : (N, OH, OW, KH, KW, C), written

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels.im2col import im2col
    >>> cols = np.empty((1, 1, 2, 1, 2, 1))
    >>> im2col(np.array([[[[1.0], [2.0], [3.0]]]]), (1, 1), (0, 0), (1, 1), 1, cols)
    >>> cols.reshape(2, 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    cdef Windows k
    describe(x.shape, cols.shape, stride, before, dilation, &k)
    if cols.size:
        with nogil:
            run(&k, False, x.shape[0], threads, &x[0, 0, 0, 0], &cols[0, 0, 0, 0, 0, 0])


def col2im(
    const element[:, :, :, :, :, ::1] cols, stride, before, dilation, int threads, element[:, :, :, ::1] x
):
    """Write to each pixel of `x` the sum of what stands for it in `cols`: the adjoint of :func:`im2col`.

    Parameters
    ----------
    cols : (N, OH, OW, KH, KW, C) float32, float64 or uint8
    stride, before, dilation, threads
        As in :func:`im2col`.
    x : (N, H, W, C), written
        Sums of uint8 are taken modulo 256.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels.im2col import col2im
    >>> x = np.empty((1, 1, 3, 1))
    >>> col2im(np.array([[1.0, 2.0], [2.0, 3.0]]).reshape(1, 1, 2, 1, 2, 1), (1, 1), (0, 0), (1, 1), 1, x)
    >>> x.ravel().tolist()
    [1.0, 4.0, 3.0]
    """
    cdef Windows k
    describe(x.shape, cols.shape, stride, before, dilation, &k)
    if x.size:
        with nogil:
            run(&k, True, x.shape[0], threads, &cols[0, 0, 0, 0, 0, 0], &x[0, 0, 0, 0])
