# Softmax, and softmax with cross-entropy: loss and gradient in one pass.

from libc.math cimport exp, expf, log
from libc.stdint cimport int64_t

from fastconv.kernels.real cimport real


cdef inline double softmax(
    Py_ssize_t classes, const real *z,
    real *p,  # OUT (classes,), may be z
) noexcept nogil:
    """p[c] = exp(z[c] - m) / sum_c exp(z[c] - m) with m = max z; returns m + log(sum), the log-partition."""
    cdef Py_ssize_t c
    cdef real m = z[0], total = 0, scale
    for c in range(1, classes):
        m = z[c] if z[c] > m else m
    for c in range(classes):
        p[c] = expf(z[c] - m) if real is float else exp(z[c] - m)
        total += p[c]
    scale = 1 / total
    for c in range(classes):
        p[c] *= scale
    return m + log(<double> total)


cdef inline double softmax_cross_entropy(
    Py_ssize_t n, Py_ssize_t classes, Py_ssize_t z_row, const real *z,
    const int64_t *labels,    # (n,) each in 0..classes-1
    const real *weight,       # (n,) or NULL: one
    double smoothing, double scale,
    Py_ssize_t *correct,      # OUT: samples whose largest logit is the label's, added
    real *dz,                 # OUT (n, z_row), may be z
) noexcept nogil:
    """J = scale * sum_i weight[i] * (-sum_c t[i, c] log p[i, c]) with p = softmax(z); dz = dJ/dz.

    t is 1 - smoothing at the label plus smoothing / classes everywhere. Returns J.
    """
    cdef Py_ssize_t i, c, best
    cdef real share = <real> (smoothing / classes), factor
    cdef real label_share = <real> (1 - smoothing)
    cdef double loss = 0, partition, sample, spread
    cdef const real *zi
    cdef real *dzi
    for i in range(n):
        zi, dzi = z + i * z_row, dz + i * z_row
        best = 0
        spread = 0
        for c in range(1, classes):
            best = c if zi[c] > zi[best] else best
        if smoothing > 0:
            for c in range(classes):
                spread += zi[c]
        correct[0] += best == labels[i]
        sample = -(label_share * <double> zi[labels[i]] + share * spread)
        partition = softmax(classes, zi, dzi)
        factor = <real> scale if weight == NULL else <real> (scale * weight[i])
        loss += factor * (partition + sample)
        for c in range(classes):
            dzi[c] = factor * (dzi[c] - share)
        dzi[labels[i]] -= factor * label_share
    return loss
