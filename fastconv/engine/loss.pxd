# From the outputs of a sample to its share of the loss and to their gradient.

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastconv.kernels.focal cimport focal
from fastconv.kernels.mean_squared_error cimport mean_squared_error
from fastconv.kernels.multi_class_hinge cimport multi_class_hinge
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.softmax_cross_entropy cimport is_largest, softmax_cross_entropy

cdef enum LossKind:
    SOFTMAX_CROSS_ENTROPY
    FOCAL
    MEAN_SQUARED_ERROR
    MULTI_CLASS_HINGE

ctypedef struct Loss:
    LossKind kind
    double smoothing        # of the cross-entropy's labels
    double gamma            # of the focal loss
    double l2               # times the squares of all weights is added to the loss of a batch
    const int64_t *labels   # (N,), what hits are counted by; NULL: there is no loss
    const void *targets     # (N, K), or NULL: the labels
    const void *weight      # (N,), or NULL: 1 each


cdef inline double mix_targets(
    const Loss *loss, Py_ssize_t row, Py_ssize_t partner, double share, Py_ssize_t classes,
    real *t,  # OUT (classes,)
) noexcept nogil:
    """The target of a row of the data with a share of another one, and their weight, which it returns.

    w = (1 - share) w_row + share w_partner;  t = ((1 - share) w_row t_row + share w_partner t_partner) / w.
    """
    cdef Py_ssize_t c
    cdef const real *targets = <const real *> loss.targets
    cdef const real *weight = <const real *> loss.weight
    cdef double own = 1 - share, w = 1
    if weight != NULL:
        own, share = own * weight[row], share * weight[partner]
        w = own + share
        if w > 0:
            own, share = own / w, share / w
    for c in range(classes):
        if targets != NULL:
            t[c] = <real> (own * targets[row * classes + c] + share * targets[partner * classes + c])
        else:
            t[c] = <real> (own * (c == loss.labels[row]) + share * (c == loss.labels[partner]))
    return w


cdef inline double sample_loss(
    const Loss *loss, Py_ssize_t n, Py_ssize_t row, Py_ssize_t partner, double share, Py_ssize_t classes,
    const real *z,
    Py_ssize_t *correct,  # IN and OUT
    real *mixture,        # OUT (classes,), where there is a share
    real *dz,             # OUT (padded classes,)
) noexcept nogil:
    """What the row of the data, mixed with a share of its partner, adds to the mean loss of a batch of n, and to its
    hits; dz is the gradient of that."""
    cdef Py_ssize_t label = loss.labels[row]
    cdef double scale = 1.0 / n if loss.weight == NULL else (<const real *> loss.weight)[row] / <double> n
    cdef const real *t = NULL
    if share != 0:
        scale, t = mix_targets(loss, row, partner, share, classes, mixture) / n, mixture
    elif loss.targets != NULL:
        t = <const real *> loss.targets + row * classes
    correct[0] += is_largest(classes, z, label)
    if loss.kind == SOFTMAX_CROSS_ENTROPY:
        return softmax_cross_entropy(classes, z, label, t, loss.smoothing, scale, dz)
    if loss.kind == FOCAL:
        return focal(classes, z, label, t, loss.gamma, scale, dz)
    memset(dz + classes, 0, (padded(classes, sizeof(real)) - classes) * sizeof(real))
    if loss.kind == MEAN_SQUARED_ERROR:
        return mean_squared_error(classes, z, label, t, scale, dz)
    return multi_class_hinge(classes, z, label, t, scale, dz)
