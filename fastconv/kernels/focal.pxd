# The focal loss (Lin et al., 2017): cross-entropy that counts less where the class is already likely.

from libc.math cimport expm1, pow

from fastconv.kernels.real cimport real
from fastconv.kernels.softmax_cross_entropy cimport softmax


cdef inline double focal_term(
    double log_p, double gamma,
    double *slope,  # OUT
) noexcept nogil:
    """L = -(1 - p)^gamma log p, which it returns; slope = p dL/dp."""
    cdef double rest = -expm1(log_p), power
    if rest <= 0:  # p = 1: the limit
        slope[0] = -(gamma == 0)
        return 0
    power = pow(rest, gamma)
    slope[0] = gamma * power / rest * (1 - rest) * log_p - power
    return -power * log_p


cdef inline double focal(
    Py_ssize_t classes, const real *z,
    Py_ssize_t label,         # 0..classes-1
    const real *t,            # (classes,), or NULL: 1 at the label, else 0
    double gamma, double scale,
    real *dz,                 # OUT (padded classes,)
) noexcept nogil:
    """J = scale * (-sum_c t[c] (1 - p[c])^gamma log p[c]) with p = softmax(z); dz = dJ/dz. Returns J.

    dz[c] = scale * (t[c] s[c] - p[c] sum_k t[k] s[k]) with the slopes s[c] = p[c] d/dp[c] (-(1 - p[c])^gamma log p[c]).
    """
    cdef Py_ssize_t c, first = label if t == NULL else 0, last = label + 1 if t == NULL else classes
    cdef double partition = softmax(classes, z, dz), loss = 0, slopes = 0, slope, share
    cdef real factor = <real> scale, total
    for c in range(first, last):
        share = 1 if t == NULL else t[c]
        if share != 0:
            loss += share * focal_term(z[c] - partition, gamma, &slope)
            slopes += share * slope
    total = <real> slopes
    for c in range(classes):
        dz[c] *= -factor * total
    for c in range(first, last):
        share = 1 if t == NULL else t[c]
        if share != 0:
            focal_term(z[c] - partition, gamma, &slope)
            dz[c] += factor * <real> (share * slope)
    return factor * loss
