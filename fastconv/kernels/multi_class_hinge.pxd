# The hinge loss of a linear support vector machine of several classes (Weston and Watkins, 1999).

from libc.string cimport memset

from fastconv.kernels.real cimport real


cdef inline double hinge_add(
    Py_ssize_t classes, const real *z, Py_ssize_t label, real factor,
    real *dz,  # IN and OUT (classes,)
) noexcept nogil:
    """L = sum_{c != label} max(0, 1 + z[c] - z[label]), which it returns; dz += factor * dL/dz."""
    cdef Py_ssize_t c
    cdef real margin, violations = 0
    cdef double loss = 0
    for c in range(classes):
        margin = 1 + z[c] - z[label]
        if c != label and not margin <= 0:  # a NaN stays a NaN
            loss += margin
            dz[c] += factor
            violations += 1
    dz[label] -= factor * violations
    return loss


cdef inline double multi_class_hinge(
    Py_ssize_t classes, const real *z,
    Py_ssize_t label,         # 0..classes-1
    const real *t,            # (classes,), or NULL: 1 at the label, else 0
    double scale,
    real *dz,                 # OUT (classes,)
) noexcept nogil:
    """J = scale * sum_y t[y] sum_{c != y} max(0, 1 + z[c] - z[y]); dz = dJ/dz. Returns J."""
    cdef Py_ssize_t y
    cdef real factor = <real> scale
    cdef double loss = 0
    memset(dz, 0, classes * sizeof(real))
    if t == NULL:
        return factor * hinge_add(classes, z, label, factor, dz)
    for y in range(classes):
        if t[y] != 0:
            loss += t[y] * hinge_add(classes, z, y, factor * t[y], dz)
    return factor * loss
