# Batch normalisation (Ioffe and Szegedy, 2015): the statistics of a channel are taken over all pixels of a batch.

from libc.math cimport sqrt

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.real cimport real


cdef inline void batch_norm_moments(
    Py_ssize_t n, const Grid *g, const real *x,
    Py_ssize_t before,         # pixels that mean and squares hold already
    double *mean,              # IN and OUT (channels,)
    double *squares,           # IN and OUT (channels,): sums of (x - mean)^2
    double *sums,              # (channels,) to work in
) noexcept nogil:
    """Take the pixels of n samples into the mean and the squares of each channel (Chan et al., 1979)."""
    cdef Py_ssize_t i, h, q, c, pixels = n * g.height * g.width
    cdef const real *at
    cdef double d, share
    if pixels == 0:
        return
    for c in range(g.channels):
        sums[c] = 0
    for i in range(n):
        for h in range(g.height):
            at = x + i * g.sample + h * g.line
            for q in range(g.width):
                for c in range(g.channels):
                    sums[c] += at[q * g.row + c]
    share = <double> pixels / (before + pixels)
    for c in range(g.channels):
        sums[c] /= pixels
        d = sums[c] - mean[c] if before else 0
        squares[c] = squares[c] + d * d * before * share if before else 0
        mean[c] = mean[c] + d * share if before else sums[c]
    for i in range(n):
        for h in range(g.height):
            at = x + i * g.sample + h * g.line
            for q in range(g.width):
                for c in range(g.channels):
                    d = at[q * g.row + c] - sums[c]
                    squares[c] += d * d


cdef inline void batch_norm_merge(
    Py_ssize_t channels, Py_ssize_t before, Py_ssize_t pixels, const double *other_mean, const double *other_squares,
    double *mean, double *squares,  # IN and OUT (channels,)
) noexcept nogil:
    """Take the moments of other pixels into those of the pixels before."""
    cdef Py_ssize_t c
    cdef double d, share = <double> pixels / (before + pixels)
    for c in range(channels):
        d = other_mean[c] - mean[c] if before else 0
        mean[c] = mean[c] + d * share if before else other_mean[c]
        squares[c] = squares[c] + other_squares[c] + d * d * before * share if before else other_squares[c]


cdef inline void batch_norm_scale(
    Py_ssize_t channels, double eps, const double *variance,
    real *inverse,  # OUT (channels,)
) noexcept nogil:
    """inverse[c] = 1 / sqrt(variance[c] + eps)."""
    cdef Py_ssize_t c
    for c in range(channels):
        inverse[c] = <real> (1 / sqrt(variance[c] + eps))


cdef inline void batch_norm_forward(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const real *x,
    const real *mean, const real *inverse, const real *gamma, const real *beta,  # (channels,)
    int relu,
    real *y,  # OUT
) noexcept nogil:
    """y = gamma (x - mean) inverse + beta; then max(0, y) if relu."""
    cdef Py_ssize_t i, h, q, c
    cdef const real *at
    cdef real *to
    cdef real v
    for i in range(n):
        for h in range(gx.height):
            at, to = x + i * gx.sample + h * gx.line, y + i * gy.sample + h * gy.line
            for q in range(gx.width):
                for c in range(gx.channels):
                    v = gamma[c] * ((at[q * gx.row + c] - mean[c]) * inverse[c]) + beta[c]
                    to[q * gy.row + c] = 0 if relu and v < 0 else v


cdef inline void batch_norm_backward_w(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const real *x, const real *dy,
    const real *mean, const real *inverse,
    bint add,
    real *dgamma, real *dbeta,  # OUT (channels,), IN too if add
) noexcept nogil:
    """dgamma = sum of dy (x - mean) inverse and dbeta = sum of dy over all pixels, added to what is there if add."""
    cdef Py_ssize_t i, h, q, c
    cdef const real *at
    cdef const real *by
    if not add:
        for c in range(gx.channels):
            dgamma[c], dbeta[c] = 0, 0
    for i in range(n):
        for h in range(gx.height):
            at, by = x + i * gx.sample + h * gx.line, dy + i * gy.sample + h * gy.line
            for q in range(gx.width):
                for c in range(gx.channels):
                    dgamma[c] += by[q * gy.row + c] * ((at[q * gx.row + c] - mean[c]) * inverse[c])
                    dbeta[c] += by[q * gy.row + c]


cdef inline void batch_norm_backward_x(
    Py_ssize_t n, const Grid *gx, const Grid *gy, const real *x, const real *dy,
    const real *mean, const real *inverse, const real *gamma,
    double pixels,
    const real *dgamma, const real *dbeta,  # (channels,) of the whole batch
    real *dx,  # OUT
) noexcept nogil:
    """dx = gamma inverse (dy - dbeta / pixels - (x - mean) inverse dgamma / pixels)"""
    cdef Py_ssize_t i, h, q, c
    cdef real share = <real> (1 / pixels)
    cdef const real *at
    cdef const real *by
    cdef real *to
    for i in range(n):
        for h in range(gx.height):
            at, by = x + i * gx.sample + h * gx.line, dy + i * gy.sample + h * gy.line
            to = dx + i * gx.sample + h * gx.line
            for q in range(gx.width):
                for c in range(gx.channels):
                    to[q * gx.row + c] = gamma[c] * inverse[c] * (
                        by[q * gy.row + c] - share * dbeta[c]
                        - (at[q * gx.row + c] - mean[c]) * inverse[c] * (share * dgamma[c]))
