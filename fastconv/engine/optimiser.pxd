# What an update does with the gradient.

from libc.math cimport pow

from fastconv.kernels.adam cimport adam
from fastconv.kernels.real cimport real
from fastconv.kernels.rmsprop cimport rmsprop
from fastconv.kernels.sgd cimport sgd

cdef enum OptimiserKind:
    SGD
    RMSPROP
    ADAM

ctypedef struct Optimiser:
    OptimiserKind kind
    Py_ssize_t states   # vectors of state, each laid out as the parameters
    double weight_decay
    double momentum     # Adam: beta1
    bint nesterov
    double beta, eps    # the share of the mean square that stays (Adam: beta2); what is added to its root
    double rate         # of the update at hand, like what follows
    double unbias1, unbias2


cdef inline void begin_update(Optimiser *o, double rate, Py_ssize_t update) noexcept nogil:
    """Set what changes from update to update, which count from 0."""
    o.rate = rate
    if o.kind == ADAM:
        o.unbias1 = 1 / (1 - pow(o.momentum, <double> update + 1))
        o.unbias2 = 1 / (1 - pow(o.beta, <double> update + 1))


cdef inline void update_strip(
    const Optimiser *o, Py_ssize_t size, bint decays, const real *gradient, Py_ssize_t part,
    real *state,  # IN and OUT: o.states vectors, `part` apart
    real *p,      # IN and OUT
) noexcept nogil:
    """Update `size` parameters, which weight decay shrinks or spares."""
    cdef double decay = o.rate * o.weight_decay if decays else 0
    if o.kind == SGD:
        sgd(size, o.rate, o.momentum, o.nesterov, decay, gradient, state, p)
    elif o.kind == RMSPROP:
        rmsprop(size, o.rate, o.momentum, o.beta, o.eps, decay, gradient, state, state + part, p)
    else:
        adam(size, o.rate, o.momentum, o.beta, o.eps, decay, o.unbias1, o.unbias2, gradient, state, state + part, p)
