# Average pooling.

from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.max_pool cimport clear
from fastconv.kernels.real cimport real


cdef inline void avg_pool_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x,
    real *y,  # OUT
) noexcept nogil:
    """y[i, p, q, c] = sum_{u, v} x[i, p*sh + u, q*sw + v, c] / (kh kw)"""
    cdef Py_ssize_t i, p, q, u, v, c
    cdef real share = <real> (1.0 / (k.kh * k.kw))
    cdef const real *at
    cdef real *to
    for i in range(n):
        clear(gy, y + i * gy.sample)
        for p in range(gy.height):
            for q in range(gy.width):
                to = y + i * gy.sample + p * gy.line + q * gy.row
                for u in range(k.kh):
                    for v in range(k.kw):
                        at = x + i * gx.sample + (p * k.sh + u) * gx.line + (q * k.sw + v) * gx.row
                        for c in range(gy.row):
                            to[c] += at[c]
                for c in range(gy.row):
                    to[c] *= share


cdef inline void avg_pool_backward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *dy,
    real *dx,  # OUT
) noexcept nogil:
    """dx[i, p*sh + u, q*sw + v, c] = the sum of dy[i, p, q, c] / (kh kw) over the windows that hold it."""
    cdef Py_ssize_t i, p, q, u, v, c
    cdef real share = <real> (1.0 / (k.kh * k.kw))
    cdef const real *at
    cdef real *to
    for i in range(n):
        clear(gx, dx + i * gx.sample)
        for p in range(gy.height):
            for q in range(gy.width):
                at = dy + i * gy.sample + p * gy.line + q * gy.row
                for u in range(k.kh):
                    for v in range(k.kw):
                        to = dx + i * gx.sample + (p * k.sh + u) * gx.line + (q * k.sw + v) * gx.row
                        for c in range(gy.row):
                            to[c] += share * at[c]
