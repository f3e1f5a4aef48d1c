# The convolution behind one-hot columns, of samples sorted from their ends: what it makes of a suffix that a sample has
# in common with the one before it is worked out once. It sees no more than the suffix as long as there is no bias: what
# lies behind a sample is zero.

from libc.stdint cimport uint64_t
from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.suffix cimport LETTERS
from fastconv.kernels.tile cimport FC_SHARED, fc_suffixes, fc_window, slide, slides

cdef enum:
    TWO_VECTORS = 128  # bytes of a row that a window keeps, at most


cdef inline bint suffix_suits(
    Py_ssize_t width, Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t itemsize
) noexcept nogil:
    """Whether such a convolution slides, to and fro."""
    return (width <= FC_SHARED and slides(width, channels, filters, itemsize)
            and slides(width, filters, channels, itemsize))


cdef inline Py_ssize_t suffix_scratch(Py_ssize_t length, Py_ssize_t width, Py_ssize_t itemsize) noexcept nogil:
    """Elements that windows are kept in."""
    return max(LETTERS * (width - 1), length + 1) * TWO_VECTORS // itemsize


cdef inline void find_joins(
    Py_ssize_t n, const Py_ssize_t *sequence,
    const Py_ssize_t *shared,  # (n,) characters that each sample has in common with the one before it in the sequence
    uint64_t *joins,           # OUT (n,) bit d: a later one has d in common with it, which are its own, and then others
) noexcept nogil:
    """Where other samples go on from what a sample has worked out."""
    cdef Py_ssize_t t, i
    cdef uint64_t open = 0, low
    for t in range(n - 1, -1, -1):
        i = sequence[t]
        low = (<uint64_t> 2 << shared[i]) - 1  # suffixes that are not its own
        joins[i] = open & ~low
        open = open & low | (<uint64_t> 1 << shared[i] & ~<uint64_t> 1)


cdef inline void suffix_conv1d_forward(
    Py_ssize_t n, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters, Py_ssize_t positions, Py_ssize_t x_sample,
    const real *x,               # (n, length, padded channels), each sample's own positions
    const Py_ssize_t *active_x,  # (n,) positions of x that can differ from zero
    const Py_ssize_t *active,    # (n,) positions of y to compute; the others become 0
    const fc_suffixes *suffixes,
    const real *w,               # (width, channels, padded filters)
    int relu, Py_ssize_t y_sample,
    real *kept,                  # to work in
    real *y,                     # OUT (n, positions, padded filters)
) noexcept nogil:
    """y as conv1d_forward gives it, without a bias."""
    cdef Py_ssize_t i, x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef fc_window s
    s.taps, s.samples, s.channels, s.cols, s.positions, s.outputs = width, n, channels, filters, active_x, active
    s.x_sample, s.x_row, s.c_sample, s.c_row = x_sample, -x_row, y_sample, -y_row
    s.w_tap, s.w_row, s.relu, s.add, s.suffixes = channels * y_row, y_row, relu, 0, suffixes
    slide(&s, x, w, none, none, y, kept)
    for i in range(n):
        memset(y + i * y_sample + active[i] * y_row, 0, (positions - active[i]) * y_row * sizeof(real))


cdef inline void suffix_conv1d_backward_x(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t filters, Py_ssize_t y_sample,
    const Py_ssize_t *active_x,  # (n,) positions of dx that can differ from zero
    const Py_ssize_t *active,    # (n,) positions of dy that can
    const fc_suffixes *suffixes,
    const real *wt,              # (width, filters, padded channels): w, each w[k] transposed
    const real *mask,            # laid out as dx, or NULL: dx = 0 where mask <= 0
    Py_ssize_t x_sample,
    real *kept,                  # to work in
    real *dy,                    # IN and OUT (n, positions, padded filters): becomes such a sum too
    real *dx,                    # OUT (n, length, padded channels), each sample's own positions
) noexcept nogil:
    """dx as conv1d_backward_x gives it, summed over the samples that have a position in common."""
    cdef Py_ssize_t t, i, before, j, x_row = padded(channels, sizeof(real)), y_row = padded(filters, sizeof(real))
    cdef const real *none = NULL
    cdef const real *a
    cdef real *b
    cdef fc_window s
    for t in range(n - 1, 0, -1):
        i, before = suffixes.sequence[t], suffixes.sequence[t - 1]
        a = dy + i * y_sample + (active[i] - suffixes.shared[i]) * y_row
        b = dy + before * y_sample + (active[before] - suffixes.shared[i]) * y_row
        for j in range(suffixes.shared[i] * y_row):
            b[j] += a[j]
    s.taps, s.samples, s.channels, s.cols, s.positions, s.outputs = width, n, filters, channels, active, active_x
    s.x_sample, s.x_row, s.c_sample, s.c_row = y_sample, y_row, x_sample, x_row
    s.w_tap, s.w_row, s.relu, s.add, s.suffixes = filters * x_row, x_row, 0, 0, suffixes
    memset(kept, 0, (length + 1) * TWO_VECTORS)
    slide(&s, dy, wt, none, mask, dx, kept)
