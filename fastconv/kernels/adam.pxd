# Adam (Kingma and Ba, 2015), one pass over flat vectors; with decay AdamW (Loshchilov and Hutter, 2019).

from fastconv.kernels.real cimport real, square_root


cdef inline void adam(
    Py_ssize_t size, double learning_rate, double beta1, double beta2, double eps, double decay,
    double unbias1, double unbias2,  # 1 / (1 - beta1^t) and 1 / (1 - beta2^t) in update t = 1, 2, ...
    const real *gradient,
    real *mean,      # IN and OUT
    real *square,    # IN and OUT
    real *p,         # IN and OUT
) noexcept nogil:
    """mean = beta1 * mean + (1 - beta1) * gradient; square = beta2 * square + (1 - beta2) * gradient^2;
    p = p - decay * p - learning_rate * unbias1 * mean / (sqrt(unbias2 * square) + eps).
    """
    cdef Py_ssize_t i
    cdef real rate = <real> (learning_rate * unbias1), scale = <real> unbias2, shrink = <real> decay
    cdef real old1 = <real> beta1, new1 = <real> (1 - beta1), old2 = <real> beta2, new2 = <real> (1 - beta2)
    cdef real least = <real> eps
    for i in range(size):
        mean[i] = old1 * mean[i] + new1 * gradient[i]
        square[i] = old2 * square[i] + new2 * (gradient[i] * gradient[i])
        p[i] -= shrink * p[i] + rate * mean[i] / (square_root(scale * square[i]) + least)
