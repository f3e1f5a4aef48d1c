# Convolution of one-hot columns, which are never formed: a code selects a row of the filters.
# The assignment's equation (26), vec(S) = M_X vec(F), for the sparse M_X of the input.

from libc.stdint cimport int16_t
from libc.string cimport memset

from fastconv.kernels.real cimport padded, real
from fastconv.kernels.tile cimport FC_TAPS, fc_window, slide


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
    cdef Py_ssize_t i, p, k, f, row = padded(filters, sizeof(real))
    cdef Py_ssize_t positions = length - width + 1
    cdef int16_t code
    cdef const real *none = NULL
    cdef const real *wk
    cdef real *yp
    cdef fc_window s
    s.taps, s.channels, s.cols, s.c_row, s.x_row = width, depth, filters, row, 0
    s.w_tap, s.w_row, s.relu = -depth * row, row, relu
    for i in range(n):
        if width <= FC_TAPS:
            s.positions, s.outputs = active_x[i], active[i]
            slide(&s, codes + i * length, none, w + (width - 1) * depth * row, b, none, y + i * y_sample)
        else:
            for p in range(active[i]):
                yp = y + i * y_sample + p * row
                for f in range(row):
                    yp[f] = 0 if b == NULL else b[f]
                for k in range(width):
                    code = codes[i * length + p + k]
                    if code >= 0:
                        wk = w + (k * depth + code) * row
                        for f in range(row):
                            yp[f] += wk[f]
                if relu:
                    for f in range(row):
                        yp[f] = 0 if yp[f] < 0 else yp[f]
        memset(y + i * y_sample + active[i] * row, 0, (positions - active[i]) * row * sizeof(real))


cdef inline void onehot_conv1d_backward_w(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t width, Py_ssize_t depth, Py_ssize_t filters,
    const int16_t *codes, const Py_ssize_t *active, Py_ssize_t y_sample,
    const real *dy,            # (n, positions, padded filters)
    real *dw,                  # OUT (width, depth, padded filters)
) noexcept nogil:
    """dw[k, v, f] = sum over the (i, p) with codes[i, p + k] = v of dy[i, p, f]."""
    cdef Py_ssize_t i, p, k, f, row = padded(filters, sizeof(real))
    cdef int16_t code
    cdef const real *dyp
    cdef real *dwk
    memset(dw, 0, width * depth * row * sizeof(real))
    for i in range(n):
        for p in range(active[i]):
            dyp = dy + i * y_sample + p * row
            for k in range(width):
                code = codes[i * length + p + k]
                if code >= 0:
                    dwk = dw + (k * depth + code) * row
                    for f in range(row):
                        dwk[f] += dyp[f]
