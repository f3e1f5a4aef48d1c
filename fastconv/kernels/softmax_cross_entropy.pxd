# Softmax, and softmax with cross-entropy: loss and gradient in one pass.

from libc.math cimport log

from fastconv.kernels.real cimport real

cdef extern from "softmax.h" nogil:
    float fc_softmax_float(Py_ssize_t, const float *, float *, float *)
    double fc_softmax_double(Py_ssize_t, const double *, double *, double *)


cdef inline double softmax(
    Py_ssize_t classes, const real *z,
    real *p,  # OUT (padded classes,), may be z
) noexcept nogil:
    """p[c] = exp(z[c] - m) / sum_c exp(z[c] - m) with m = max z; returns m + log(sum), the log-partition."""
    cdef real m, total
    if real is float:
        m = fc_softmax_float(classes, z, &total, p)
    else:
        m = fc_softmax_double(classes, z, &total, p)
    return m + log(<double> total)


cdef inline double softmax_cross_entropy(
    Py_ssize_t classes, const real *z,
    Py_ssize_t label,         # 0..classes-1
    double smoothing, double scale,
    real *dz,                 # OUT (padded classes,), may be z
) noexcept nogil:
    """J = scale * (-sum_c t[c] log p[c]) with p = softmax(z); dz = dJ/dz = scale * (p - t). Returns J.

    t is 1 - smoothing at the label plus smoothing / classes everywhere.
    """
    cdef Py_ssize_t c
    cdef real share = <real> (smoothing / classes), rest = <real> (1 - smoothing), factor = <real> scale
    cdef double loss = -(rest * <double> z[label])
    if smoothing > 0:
        for c in range(classes):
            loss -= share * <double> z[c]
    loss += softmax(classes, z, dz)
    for c in range(classes):
        dz[c] = factor * (dz[c] - share)
    dz[label] -= factor * rest
    return factor * loss


cdef inline bint is_largest(Py_ssize_t classes, const real *z, Py_ssize_t label) noexcept nogil:
    """Whether argmax z, the first of equals, is the label."""
    cdef Py_ssize_t c
    for c in range(classes):
        if not (z[c] < z[label] or (c >= label and z[c] == z[label])):
            return False
    return True
