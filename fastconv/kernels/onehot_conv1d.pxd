# Convolution of one-hot columns, which are never formed: a code selects a row of the filters.
# The assignment's equation (26), vec(S) = M_X vec(F), for the sparse M_X of the input.

from libc.stdint cimport int16_t
from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport fc_table, lookup, scatter


cdef inline void onehot_conv1d_forward(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t width, Py_ssize_t depth, Py_ssize_t filters,
    const int16_t *codes,        # (n, length), -1 = no character
    const Py_ssize_t *active_x,  # (n,) positions up to the last character
    const Py_ssize_t *active,    # (n,) positions of y to compute; the others become 0
    const real *w,               # (width, depth, padded filters)
    const real *b,               # (padded filters,) or NULL
    int relu, Py_ssize_t y_sample,
    real *y,                     # OUT (n, positions, padded filters)
) noexcept nogil:
    """y[i, p, f] = b[f] + sum_k w[k, codes[i, p + k], f], where codes >= 0; then max(0, y) if relu."""
    cdef Py_ssize_t i, row = padded(filters, sizeof(real)), positions = length - width + 1
    cdef fc_table t
    t.width, t.cols, t.w_tap, t.w_row, t.y_row, t.relu = width, filters, depth * row, row, row, relu
    for i in range(n):
        lookup(&t, active[i], active_x[i], codes + i * length, w, b, y + i * y_sample)
        memset(y + i * y_sample + active[i] * row, 0, (positions - active[i]) * row * sizeof(real))


cdef inline void onehot_conv1d_backward_w(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t width, Py_ssize_t depth, Py_ssize_t filters,
    const int16_t *codes, const Py_ssize_t *active_x, const Py_ssize_t *active, Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters)
    bint add,
    real *dw,                  # OUT (width, depth, padded filters), IN too if add
) noexcept nogil:
    """dw[k, v, f] = sum over the (i, p) with codes[i, p + k] = v of dy[i, p, f], added to dw if add."""
    cdef Py_ssize_t i, row = padded(filters, sizeof(real))
    cdef fc_table t
    t.width, t.cols, t.w_tap, t.w_row, t.y_row, t.relu = width, filters, depth * row, row, row, 0
    if not add:
        memset(dw, 0, width * depth * row * sizeof(real))
    for i in range(n):
        scatter(&t, active[i], active_x[i], codes + i * length, dy + i * y_sample, dw)
