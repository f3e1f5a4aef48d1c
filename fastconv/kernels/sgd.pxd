# Stochastic gradient descent with momentum, one pass over flat vectors.

from fastconv.kernels.real cimport real


cdef inline void sgd(
    Py_ssize_t size, double learning_rate, double momentum, const real *gradient,
    real *velocity,  # IN and OUT
    real *p,         # IN and OUT
) noexcept nogil:
    """velocity = momentum * velocity + learning_rate * gradient; p = p - velocity."""
    cdef Py_ssize_t i
    cdef real rate = <real> learning_rate, rho = <real> momentum
    for i in range(size):
        velocity[i] = rho * velocity[i] + rate * gradient[i]
        p[i] -= velocity[i]
