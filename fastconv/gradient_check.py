"""Numerical against analytic gradients."""

from dataclasses import dataclass

import numpy as np

from fastconv.errors import RangeError
from fastconv.layers import ReLU
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
    entries : int
        Entries of the array; every one of them is in both means.
    repeated : int
        Entries whose step switched a ReLU or a hinge on or off and was therefore made smaller.
    unresolved : int
        Those of them whose smallest step still does.
    """

    error: float
    plain_error: float
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
        If the step is not positive.

    Notes
    -----
    Two things spoil a difference quotient although the gradient is right.

    *Kinks.* A loss with ReLUs or hinges is differentiable almost everywhere, but its quotient over an interval that
    holds a kink is not its derivative; the larger the batch, the more entries meet one. Whether a step switches any of
    any sample is read off the activations and margins at its two ends. An entry for which one does is repeated with a
    tenth, a hundredth and a thousandth of the step, until none does. No entry is left out, and the gradient that is
    checked plays no part in the choice.

    *Rounding.* J(p + step) and J(p - step) agree in most of their digits. Their difference is formed sample by sample
    from the outputs z+ and z-; for cross-entropy as log(sum_k p_k exp(d_k)) - sum_k t_k d_k, with d = z+ - z-,
    p = softmax(z-) and the target t. It is evaluated with log1p and expm1, so that nothing cancels but the outputs
    themselves; likewise for the other losses. The loss's value is thus that of its definition, not of the compiled
    kernel; the gradient that it is compared with is the kernel's.

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
    if not step > 0:
        raise RangeError(f"gradcheck: step must be positive, got {step!r}")
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
    probes = _probes(net)

    plain, final = np.empty(size), np.empty(size)
    repeated, unresolved = np.zeros(size, bool), np.zeros(size, bool)
    for i, value in enumerate(net.parameters.copy()):
        behind = [probe for layer, probe in probes if layer > owner[i]]
        for scale in (1.0, *SMALLER_STEPS):
            above, below = value + step * scale, value - step * scale
            z_above, on_above = _at(above, i, net, behind, x)
            z_below, on_below = _at(below, i, net, behind, x)
            final[i] = _loss_difference(loss, z_above, z_below, targets, weights) / (above - below)
            final[i] += l2[i] * (above + below)
            if isinstance(loss, MultiClassHinge):
                on_above.append((_margins(z_above) > 0) & (targets[:, :, None] > 0))
                on_below.append((_margins(z_below) > 0) & (targets[:, :, None] > 0))
            unresolved[i] = any(np.any(a != b) for a, b in zip(on_above, on_below, strict=True))
            if scale == 1.0:
                plain[i], repeated[i] = final[i], unresolved[i]
            if not unresolved[i]:
                break
        for network in (net, *behind):
            network.parameters[i] = value
    plain, final, repeated, unresolved = map(net.views, (plain, final, repeated, unresolved))
    return {
        name: CheckedParameter(
            error=relative_error(analytic[name], final[name], eps),
            plain_error=relative_error(analytic[name], plain[name], eps),
            entries=analytic[name].size,
            repeated=int(repeated[name].sum()),
            unresolved=int(unresolved[name].sum()),
        )
        for name in net.params
    }


def _probes(net):
    """Return (index, network) for each ReLU of `net`: the layers up to it, with the same parameters."""
    probes = []
    for i, layer in enumerate(net.layers):
        if isinstance(layer, ReLU):
            probe = Sequential(net.layers[: i + 1], net.input, net.dtype, net.seed)
            probe.parameters[:] = net.parameters[: probe.parameters.size]
            probes.append((i, probe))
    return probes


def _at(value, i, net, probes, x):
    """Return the outputs, and for each probe where its ReLU is on, with parameter `i` set to `value`."""
    for network in (net, *probes):
        network.parameters[i] = value
    return net.forward(x), [probe.forward(x) > 0 for probe in probes]


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
