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
    const real *t,            # (classes,), or NULL: 1 at the label, else 0
    double smoothing, double scale,
    real *dz,                 # OUT (padded classes,), may be z
) noexcept nogil:
    """J = scale * (-sum_c s[c] log p[c]) with p = softmax(z); dz = dJ/dz = scale * (p sum_c t[c] - s). Returns J.

    s = (1 - smoothing) t + smoothing / classes * sum_c t[c].
    """
    cdef Py_ssize_t c
    cdef real share = <real> (smoothing / classes), rest = <real> (1 - smoothing), factor = <real> scale, mass = 1
    cdef double loss = -(rest * <double> z[label])
    if t != NULL:
        loss, mass = 0, 0
        for c in range(classes):
            loss -= rest * t[c] * <double> z[c]
            mass += t[c]
        share *= mass
    if smoothing > 0:
        for c in range(classes):
            loss -= share * <double> z[c]
    loss += mass * softmax(classes, z, dz)
    for c in range(classes):
        dz[c] = factor * (mass * dz[c] - share)
    if t == NULL:
        dz[label] -= factor * rest
    else:
        for c in range(classes):
            dz[c] -= factor * rest * t[c]
    return factor * loss


cdef inline bint is_largest(Py_ssize_t classes, const real *z, Py_ssize_t label) noexcept nogil:
    """Whether argmax z, the first of equals, is the label."""
    cdef Py_ssize_t c
    for c in range(classes):
        if not (z[c] < z[label] or (c >= label and z[c] == z[label])):
            return False
    return True
