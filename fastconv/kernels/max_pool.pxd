# Max-pooling; which pixel of a window won is kept for the way back.

from libc.string cimport memset

from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.real cimport real

cdef extern from "pool.h" nogil:
    ctypedef struct fc_pool:
        Py_ssize_t height, width, row
        Py_ssize_t kh, kw
        Py_ssize_t x_down, x_right, x_line, x_pixel
        Py_ssize_t y_line, winner_line
        int disjoint
    void fc_max_pool_float(const fc_pool *, const float *, float *, float *)
    void fc_max_pool_double(const fc_pool *, const double *, double *, double *)
    void fc_max_pool_backward_float(const fc_pool *, const float *, const float *, float *)
    void fc_max_pool_backward_double(const fc_pool *, const double *, const double *, double *)


cdef inline fc_pool pooling(const Grid *gx, const Grid *gy, const Window *k) noexcept nogil:
    """How the windows of one sample lie."""
    cdef fc_pool p
    p.height, p.width, p.row, p.kh, p.kw = gy.height, gy.width, gy.row, k.kh, k.kw
    p.x_down, p.x_right, p.x_line, p.x_pixel = k.sh * gx.line, k.sw * gx.row, gx.line, gx.row
    p.y_line, p.winner_line = gy.line, gy.width * gy.row
    p.disjoint = k.sh >= k.kh and k.sw >= k.kw
    return p


cdef inline void clear(const Grid *g, real *x) noexcept nogil:
    """The pixels of one sample become zero."""
    cdef Py_ssize_t h
    for h in range(g.height):
        memset(x + h * g.line, 0, g.width * g.row * sizeof(real))


cdef inline void max_pool_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *x,
    real *y,       # OUT
    real *winner,  # OUT (n, height, width, row) of y: u*kw + v
) noexcept nogil:
    """y[i, p, q, c] = max_{u, v} x[i, p*sh + u, q*sw + v, c], the first of equals; a NaN is larger than all."""
    cdef Py_ssize_t i, size = gy.height * gy.width * gy.row
    cdef fc_pool p = pooling(gx, gy, k)
    for i in range(n):
        if real is float:
            fc_max_pool_float(&p, x + i * gx.sample, y + i * gy.sample, winner + i * size)
        else:
            fc_max_pool_double(&p, x + i * gx.sample, y + i * gy.sample, winner + i * size)


cdef inline void max_pool_backward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const Window *k,
    const real *dy, const real *winner,
    real *dx,  # OUT
) noexcept nogil:
    """dx[i, p*sh + u, q*sw + v, c] = the sum of dy[i, p, q, c] over the windows that (u, v) won."""
    cdef Py_ssize_t i, size = gy.height * gy.width * gy.row
    cdef fc_pool p = pooling(gx, gy, k)
    cdef bint covered = (k.sh == k.kh and k.sw == k.kw and gx.height == gy.height * k.sh
                         and gx.width == gy.width * k.sw)
    for i in range(n):
        if not covered:
            clear(gx, dx + i * gx.sample)
        if real is float:
            fc_max_pool_backward_float(&p, dy + i * gy.sample, winner + i * size, dx + i * gx.sample)
        else:
            fc_max_pool_backward_double(&p, dy + i * gy.sample, winner + i * size, dx + i * gx.sample)
