# Stochastic gradient descent with momentum, one pass over flat vectors.

from fastconv.kernels.real cimport real


cdef inline void sgd(
    Py_ssize_t size, double learning_rate, double momentum, bint nesterov, double decay, const real *gradient,
    real *velocity,  # IN and OUT
    real *p,         # IN and OUT
) noexcept nogil:
    """velocity = momentum * velocity + learning_rate * gradient; p = p - decay * p - step.

    The step is the velocity, or that of the next update if its gradient were the same again (Nesterov).
    """
    cdef Py_ssize_t i
    cdef real rate = <real> learning_rate, rho = <real> momentum, shrink = <real> decay
    cdef real of_velocity = rho if nesterov else 1, of_gradient = rate if nesterov else 0
    for i in range(size):
        velocity[i] = rho * velocity[i] + rate * gradient[i]
        p[i] -= shrink * p[i] + (of_velocity * velocity[i] + of_gradient * gradient[i])
