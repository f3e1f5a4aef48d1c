"""Numerical against analytic gradients."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv.errors import RangeError
from fastconv.geometry import pair
from fastconv.layers import BatchNorm, Dropout, GlobalMaxPool1D, MaxPool1D, MaxPool2D, ReLU
from fastconv.losses import FocalLoss, MeanSquaredError, MultiClassHinge, SoftmaxCrossEntropy, checked
from fastconv.network import Sequential

SMALLER_STEPS = (0.1, 0.01, 0.001)
"""What a step is multiplied with, one after the other, while a kink lies within it."""


def relative_error(analytic, numerical, eps=1e-12):
    """Return |analytic - numerical| / max(eps, |analytic| + |numerical|), averaged over the entries.

    Parameters
    ----------
    analytic, numerical : array
        Of one shape.
    eps : float
        What is too small to count; two zeros differ by nothing.

    References
    ----------
    KTH DD2424, assignment 3.

    Examples
    --------
    >>> from fastconv.gradient_check import relative_error
    >>> relative_error([1.0, 0.0], [3.0, 0.0])
    0.25
    """
    analytic, numerical = np.asarray(analytic), np.asarray(numerical)
    return float(np.mean(np.abs(analytic - numerical) / np.maximum(eps, np.abs(analytic) + np.abs(numerical))))


@dataclass(frozen=True)
class CheckedParameter:
    """What :func:`check_gradients` found for one parameter array.

    Attributes
    ----------
    error : float
        The mean relative error over all entries.
    plain_error : float
        The same if no entry had been repeated with a smaller step.
    difference : float
        The mean absolute difference, |analytic - numerical|, over all entries.
    entries : int
        Entries of the array; every one of them is in both means.
    repeated : int
        Entries whose step met a kink and was therefore made smaller.
    unresolved : int
        Those of them whose smallest step still does.
    """

    error: float
    plain_error: float
    difference: float
    entries: int
    repeated: int
    unresolved: int


def gradcheck(net, x, y, loss=None, step=1e-5, sample_weight=None, eps=1e-12):
    """Compare the gradient of the loss with central differences, parameter by parameter.

    Parameters
    ----------
    net : Sequential
        Unchanged; a float32 network is checked as a float64 copy.
    x, y : arrays
        A labelled batch, as for :meth:`Sequential.loss_and_gradients`.
    loss : Loss, optional
        By default :class:`SoftmaxCrossEntropy`.
    step : float
        Of the differences: (J(p + step) - J(p - step)) / (2 step).
    sample_weight : (N,) array, optional
    eps : float
        See :func:`relative_error`.

    Returns
    -------
    dict of str to float
        The mean relative error for each of `net.params`.

    See Also
    --------
    check_gradients : the method, and how many entries needed a smaller step.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(3)], input=fc.VectorInput(2))
    >>> errors = fc.gradcheck(net, [[1.0, 2.0], [0.5, -1.0]], [0, 2])
    >>> max(errors.values()) < 1e-8
    True
    """
    found = check_gradients(net, x, y, loss, step, sample_weight, eps)
    return {name: parameter.error for name, parameter in found.items()}


def check_gradients(net, x, y, loss=None, step=1e-5, sample_weight=None, eps=1e-12):
    """Compare the gradient of the loss with central differences and say where the step had to be smaller.

    Parameters
    ----------
    net, x, y, loss, step, sample_weight, eps
        As for :func:`gradcheck`.

    Returns
    -------
    dict of str to CheckedParameter
        For each of `net.params`.

    Raises
    ------
    RangeError
        If the step is not positive and finite.

    Notes
    -----
    The network is differentiated as in a step of training: with the batch's statistics, and with what dropout drops for
    seed 0. Three things spoil a difference quotient although the gradient is right.

    *Kinks.* A loss with ReLUs, maxima or hinges is differentiable almost everywhere, but its quotient over an interval
    that holds a kink is not its derivative; the larger the batch, the more entries meet one. Whether a step switches
    any ReLU, the number that any maximum is, or any margin is read off the activations of all samples at its two ends.
    An entry for which one does is repeated with a tenth, a hundredth and a thousandth of the step, until none does. No
    entry is left out, and the gradient that is checked plays no part in the choice.

    *Rounding.* J(p + step) and J(p - step) agree in most of their digits. Their difference is formed sample by sample
    from the outputs z+ and z-; for cross-entropy as log(sum_k p_k exp(d_k)) - sum_k t_k d_k, with d = z+ - z-,
    p = softmax(z-) and the target t. It is evaluated with log1p and expm1, so that nothing cancels but the outputs
    themselves; likewise for the other losses. The loss's value is thus that of its definition, not of the compiled
    kernel; the gradient that it is compared with is the kernel's.

    *Zeros.* A bias before a batch normalisation changes nothing. What the quotient shows of it is rounding, divided by
    the step: an entry whose gradient is below 2^-50 / step, and its quotient below 2^-42 / step, counts as two zeros.

    Examples
    --------
    The ReLU of this network switches on at a weight of 0, within the step:

    >>> import fastconv as fc
    >>> from fastconv.gradient_check import check_gradients
    >>> net = fc.Sequential([fc.Dense(1, bias=False), fc.ReLU(), fc.Dense(2)], input=fc.VectorInput(1))
    >>> net.params["0.w"][...] = 2e-6
    >>> checked = check_gradients(net, [[1.0]], [0])["0.w"]
    >>> checked.repeated, checked.plain_error > 0.1, checked.error < 1e-8
    (1, True, True)
    """
    if not 0 < step < np.inf:
        raise RangeError(f"gradcheck: step must be positive and finite, got {step!r}")
    net = net.astype("float64")
    loss = checked(loss, "gradcheck")
    _, analytic = net.loss_and_gradients(x, y, loss, sample_weight)
    x, size = net.check_input(x, "gradcheck"), net.parameters.size
    labels, targets, weights = net.check_targets(loss, y, len(x), sample_weight, "gradcheck")
    targets = np.eye(net.output_shape[0])[labels] if targets is None else targets
    weights = np.ones(len(x)) if weights is None else weights
    l2 = np.zeros(size)  # of each parameter
    for name, part in net.views(l2).items():
        part[...] = loss.l2 * name.endswith(".w")
    owner = np.empty(size, np.int64)  # the index of each parameter's layer
    for name, part in net.views(owner).items():
        part[...] = int(name.split(".")[0])
    kinks = [
        i for i, layer in enumerate(net.layers) if isinstance(layer, (ReLU, MaxPool1D, MaxPool2D, GlobalMaxPool1D))
    ]
    networks = _beginnings(net, kinks)

    plain, final = np.empty(size), np.empty(size)
    repeated, unresolved = np.zeros(size, bool), np.zeros(size, bool)
    for p, value in enumerate(net.parameters.copy()):
        moved = {length: network for length, network in networks.items() if length > owner[p]}
        behind = [i for i in kinks if i > owner[p]]
        for scale in (1.0, *SMALLER_STEPS):
            above, below = value + step * scale, value - step * scale
            z_above, on_above = _at(above, p, moved, behind, x)
            z_below, on_below = _at(below, p, moved, behind, x)
            final[p] = _loss_difference(loss, z_above, z_below, targets, weights) / (above - below)
            final[p] += l2[p] * (above + below)
            if isinstance(loss, MultiClassHinge):
                on_above.append((_margins(z_above) > 0) & (targets[:, :, None] > 0))
                on_below.append((_margins(z_below) > 0) & (targets[:, :, None] > 0))
            unresolved[p] = any(np.any(a != b) for a, b in zip(on_above, on_below, strict=True))
            if scale == 1.0:
                plain[p], repeated[p] = final[p], unresolved[p]
            if not unresolved[p]:
                break
        for network in moved.values():
            network.parameters[p] = value
    plain, final, repeated, unresolved = map(net.views, (plain, final, repeated, unresolved))
    return {
        name: CheckedParameter(
            error=_error(analytic[name], final[name], step, eps),
            plain_error=_error(analytic[name], plain[name], step, eps),
            difference=float(np.mean(np.abs(analytic[name] - final[name]))),
            entries=analytic[name].size,
            repeated=int(repeated[name].sum()),
            unresolved=int(unresolved[name].sum()),
        )
        for name in net.params
    }


def _error(analytic, numerical, step, eps):
    """Return the relative error, with what rounding may have made of two zeros taken for that."""
    zeros = np.maximum(np.abs(analytic), np.abs(numerical) / 2**8) <= 2**-50 / step  # a NaN is none
    return relative_error(np.where(zeros, 0, analytic), np.where(zeros, 0, numerical), eps)


def _beginnings(net, kinks):
    """Return the network and those beginnings of it that its kinks are read off, by their number of layers."""
    lengths = {len(net.layers)}
    for i in kinks:
        before = set() if isinstance(net.layers[i], ReLU) else {i}
        lengths |= before | ({i + 1} if isinstance(net.layers[i], (ReLU, GlobalMaxPool1D)) else set())
    networks = {length: Sequential(net.layers[:length], net.input, net.dtype, net.seed) for length in lengths}
    for network in networks.values():
        network.parameters[:] = net.parameters[: network.parameters.size]
    return networks


def _at(value, p, networks, kinks, x):
    """Return the network's outputs in training and the switches of its kinked layers, with parameter `p` at `value`."""
    outputs = {}
    for length, network in networks.items():
        network.parameters[p] = value
        outputs[length] = y = np.empty((len(x), *network.output_shape))
        if any(isinstance(layer, (BatchNorm, Dropout)) for layer in network.layers):
            network.program.backward(x, network.parameters, None, np.empty(network.program.size), y=y)
        else:  # training and inference are one; this is the faster
            network.program.forward(x, network.parameters, y)
    layers = networks[max(networks)].layers
    return outputs[max(networks)], [_switches(layers[i], outputs.get(i), outputs.get(i + 1)) for i in kinks]


def _switches(layer, x, y):
    """Return where a ReLU is on, or which number of `x` each maximum `y` is: they change at a kink."""
    if isinstance(layer, ReLU):
        return y > 0
    if isinstance(layer, GlobalMaxPool1D):  # some positions do not count
        return np.argmax(x == y[:, None], axis=1)
    axes = tuple(range(1, layer.rank + 1))
    windows = sliding_window_view(x, pair("pool_size", layer.pool_size, layer.rank), axes)
    windows = windows[:, *(slice(None, None, stride) for stride in pair("stride", layer.stride, layer.rank))]
    return windows.reshape(*windows.shape[: x.ndim], -1).argmax(axis=-1)


def _loss_difference(loss, above, below, targets, weights):
    """Return the loss for the outputs `above` minus that for `below`, each (N, K), without cancellation."""
    moved = np.flatnonzero(np.any(above != below, axis=1))
    change = DIFFERENCES[type(loss)](loss, below[moved], above[moved] - below[moved], targets[moved])
    return float(weights[moved] @ change) / len(weights)


def _log_partition_change(z, difference):
    """Return log(sum exp(z + difference)) - log(sum exp(z)) of each row, and the logarithm of softmax(z)."""
    log_p = z - z.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return np.log1p(np.sum(np.exp(log_p) * np.expm1(difference), axis=1)), log_p


def _cross_entropy_change(loss, z, difference, targets):
    """The change of -sum s log p, s being the smoothed targets: sum s (that of the log-partition) - s . difference."""
    mass = targets.sum(axis=1)
    smoothed = (1 - loss.label_smoothing) * targets + loss.label_smoothing / z.shape[1] * mass[:, None]
    change, _ = _log_partition_change(z, difference)
    return mass * change - np.sum(smoothed * difference, axis=1)


def _focal_change(loss, z, difference, targets):
    """The change of -sum t q^gamma log p with q = 1 - p: by the product rule for differences."""
    partition, log_p = _log_partition_change(z, difference)
    by = difference - partition[:, None]  # that of log p
    rest = np.maximum(-np.expm1(log_p), np.finfo(z.dtype).tiny)
    growth = np.expm1(loss.gamma * np.log1p(-np.exp(log_p) * np.expm1(by) / rest))  # of q^gamma, relative to it
    return -np.sum(targets * rest**loss.gamma * (growth * log_p + (1 + growth) * by), axis=1)


def _squared_error_change(loss, z, difference, targets):
    return np.mean(difference * (2 * (z - targets) + difference), axis=1)


def _margins(z):
    """Return 1 + z_c - z_y for each class y, along the second axis, and c, along the third; 0 where they are one."""
    return (1 + z[:, None, :] - z[:, :, None]) * (1 - np.eye(z.shape[1]))


def _hinge_change(loss, z, difference, targets):
    before, after = _margins(z), _margins(z + difference)
    apart = difference[:, None, :] - difference[:, :, None]
    change = np.where((before > 0) & (after > 0), apart, np.maximum(after, 0) - np.maximum(before, 0))
    return np.sum(targets * change.sum(axis=2), axis=1)


DIFFERENCES = {
    SoftmaxCrossEntropy: _cross_entropy_change,
    FocalLoss: _focal_change,
    MeanSquaredError: _squared_error_change,
    MultiClassHinge: _hinge_change,
}
"""How the loss of each sample changes with its outputs."""
