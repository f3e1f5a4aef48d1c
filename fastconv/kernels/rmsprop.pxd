# RMSprop (Hinton's lecture 6e, 2012) with momentum, one pass over flat vectors.

from fastconv.kernels.real cimport real, square_root


cdef inline void rmsprop(
    Py_ssize_t size, double learning_rate, double momentum, double beta, double eps, double decay,
    const real *gradient,
    real *velocity,  # IN and OUT
    real *square,    # IN and OUT
    real *p,         # IN and OUT
) noexcept nogil:
    """square = beta * square + (1 - beta) * gradient^2;
    velocity = momentum * velocity + learning_rate * gradient / (sqrt(square) + eps); p = p - decay * p - velocity.
    """
    cdef Py_ssize_t i
    cdef real rate = <real> learning_rate, rho = <real> momentum, shrink = <real> decay
    cdef real old = <real> beta, new = <real> (1 - beta), least = <real> eps
    for i in range(size):
        square[i] = old * square[i] + new * (gradient[i] * gradient[i])
        velocity[i] = rho * velocity[i] + rate * gradient[i] / (square_root(square[i]) + least)
        p[i] -= shrink * p[i] + velocity[i]
