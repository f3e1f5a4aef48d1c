# Convolution of one-hot columns, which are never formed: a code selects a row of the filters.
# The assignment's equation (26), vec(S) = M_X vec(F), for the sparse M_X of the input. The `largest` pair does the global
# max-pooling behind it in the same pass.

from libc.stdint cimport int16_t
from libc.string cimport memset

from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.real cimport real
from fastconv.kernels.tile cimport fc_table, lookup, lookup_largest, scatter, scatter_largest


cdef inline fc_table table(const Grid *gx, const Grid *gy, const Window *k, int relu) noexcept nogil:
    """How the weights (kw, depth, padded filters) lie."""
    cdef fc_table t
    t.width, t.stride, t.before, t.dilation, t.cols = k.kw, k.sw, k.left, k.dw, gy.channels
    t.w_tap, t.w_row, t.y_row, t.relu = gx.channels * gy.row, gy.row, gy.row, relu
    return t


cdef inline void onehot_conv1d_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const int16_t *codes,        # (n, length), -1 = no character
    const Py_ssize_t *active_x,  # (n,) positions up to the last character
    const Py_ssize_t *active,    # (n,) positions of y to compute; the others become 0 if clears
    bint clears,
    const real *w,               # (width, depth, padded filters)
    const real *b,               # (padded filters,) or NULL
    int relu,
    real *y,                     # OUT
) noexcept nogil:
    """y[i, p, f] = b[f] + sum_u w[u, codes[i, p*stride + u*dilation - before], f], where codes >= 0;
    then max(0, y) if relu.
    """
    cdef Py_ssize_t i
    cdef fc_table t = table(gx, gy, k, relu)
    for i in range(n):
        lookup(&t, active[i], active_x[i], codes + i * gx.width, w, b, y + i * gy.sample)
        if clears:
            memset(y + i * gy.sample + active[i] * gy.row, 0, (gy.width - active[i]) * gy.row * sizeof(real))


cdef inline void onehot_conv1d_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const int16_t *codes, const Py_ssize_t *active_x, const Py_ssize_t *active,
    const real *dy,
    bint add,
    real *dw,                    # OUT (width, depth, padded filters), IN too if add
) noexcept nogil:
    """dw[u, v, f] = sum over the (i, p) with codes[i, p*stride + u*dilation - before] = v of dy[i, p, f],
    added to dw if add.
    """
    cdef Py_ssize_t i
    cdef fc_table t = table(gx, gy, k, 0)
    if not add:
        memset(dw, 0, k.kw * gx.channels * gy.row * sizeof(real))
    for i in range(n):
        scatter(&t, active[i], active_x[i], codes + i * gx.width, dy + i * gy.sample, dw)


cdef inline void onehot_conv1d_largest(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const int16_t *codes,
    const Py_ssize_t *active_x,
    const Py_ssize_t *valid,     # (n,) positions that count
    const real *w,
    const real *b,
    int relu,
    real *y,                     # OUT (n, padded filters)
    real *winner,                # OUT (n, padded filters): the position, or NULL
) noexcept nogil:
    """y[i, f] = max_{p < valid[i]} of onehot_conv1d_forward's y[i, p, f], as global_max_pool1d_forward takes it."""
    cdef Py_ssize_t i
    cdef fc_table t = table(gx, gy, k, relu)
    for i in range(n):
        lookup_largest(&t, valid[i], active_x[i], codes + i * gx.width, w, b, y + i * gy.row,
                       winner + i * gy.row if winner != NULL else NULL)


cdef inline void onehot_conv1d_largest_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const int16_t *codes, const Py_ssize_t *active_x, const Py_ssize_t *valid,
    const real *dy,              # (n, padded filters)
    const real *winner,
    bint add,
    real *dw,                    # OUT (width, depth, padded filters), IN too if add
) noexcept nogil:
    """onehot_conv1d_backward_w for the dy[i, p, f] that is dy[i, f] at p = winner[i, f], and 0 elsewhere."""
    cdef Py_ssize_t i
    cdef fc_table t = table(gx, gy, k, 0)
    if not add:
        memset(dw, 0, k.kw * gx.channels * gy.row * sizeof(real))
    for i in range(n):
        scatter_largest(&t, valid[i], active_x[i], codes + i * gx.width, dy + i * gy.row, winner + i * gy.row, dw)
