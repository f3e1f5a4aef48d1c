# The mean squared error of a row of outputs.

from fastconv.kernels.real cimport real


cdef inline double mean_squared_error(
    Py_ssize_t outputs, const real *z,
    Py_ssize_t label,         # 0..outputs-1
    const real *t,            # (outputs,), or NULL: 1 at the label, else 0
    double scale,
    real *dz,                 # OUT (outputs,), may be z
) noexcept nogil:
    """J = scale / outputs * sum_c (z[c] - t[c])^2; dz = dJ/dz = 2 scale / outputs * (z - t). Returns J."""
    cdef Py_ssize_t c
    cdef real factor = <real> (2 * scale / outputs), error
    cdef double loss = 0
    for c in range(outputs):
        error = z[c] - (t[c] if t != NULL else <real> (c == label))
        loss += <double> error * error
        dz[c] = factor * error
    return <real> scale * loss / outputs
