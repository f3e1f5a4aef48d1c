"""Calibration: whether probabilities mean what they say, and the temperature that makes them do so."""

import math

import numpy as np

from fastconv.arrays import floats_array, labels_array, positive
from fastconv.errors import DataError, RangeError, ShapeError
from fastconv.losses import SoftmaxCrossEntropy

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures between which the best one is looked for."""


def reliability(probabilities, labels, bins=15, sample_weight=None):
    """Return how confident predictions are and how often they are right, for bins of confidence of equal width.

    A prediction is the likeliest class, the first of equals; its confidence is that class's probability. Bin m of M
    holds the confidences in ((m - 1) / M, m / M].

    Parameters
    ----------
    probabilities : (N, K) array
        Of each class, at least one sample; each row sums to 1.
    labels : (N,) int
        0..K-1.
    bins : int
    sample_weight : (N,) array, optional
        Finite, >= 0, not all 0.

    Returns
    -------
    dict of str to (bins,) float64
        ``confidence`` and ``accuracy``, weighted means from 0 to 1, NaN where there are no samples; ``share``, of the
        samples' weight.

    Raises
    ------
    ShapeError, DTypeError, RangeError, DataError

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, section 2.

    Examples
    --------
    >>> from fastconv.calibration import reliability
    >>> table = reliability([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], [0, 0, 1], bins=2)
    >>> table["accuracy"].round(3).tolist(), table["share"].tolist()
    ([nan, 0.667], [0.0, 1.0])
    """
    probabilities, labels, weights = _checked(probabilities, "probabilities", labels, sample_weight, "reliability")
    bins = positive("reliability: bins", bins)
    inside = probabilities.min() >= 0 and probabilities.max() < 1.001
    if not inside or not np.allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise RangeError("reliability: expected probabilities >= 0 that sum to 1 in each row, got others")
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == labels
    bin_of = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)

    def sums(values):
        return np.bincount(bin_of, weights * values, bins)

    mass = sums(1.0)
    with np.errstate(invalid="ignore"):  # bins without samples
        means = {"confidence": sums(confidence) / mass, "accuracy": sums(hits) / mass}
    return {**means, "share": mass / mass.sum()}


def calibration_error(probabilities, labels, bins=15, sample_weight=None):
    """Return the expected calibration error: the mean over all samples of |accuracy - confidence| of their bin.

    Parameters
    ----------
    probabilities, labels, bins, sample_weight
        As for :func:`reliability`.

    Returns
    -------
    float
        From 0 to 1.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, equation (3).

    Examples
    --------
    >>> from fastconv.calibration import calibration_error
    >>> round(calibration_error([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], [0, 0, 1], bins=2), 3)
    0.1
    """
    table = reliability(probabilities, labels, bins, sample_weight)
    return float(np.nansum(table["share"] * np.abs(table["accuracy"] - table["confidence"])))


def fit_temperature(logits, labels, sample_weight=None):
    """Return the temperature T that minimises the weighted cross-entropy of softmax(logits / T).

    Parameters
    ----------
    logits : (N, K) array
        Of samples that were not trained on, at least one.
    labels : (N,) int
        0..K-1.
    sample_weight : (N,) array, optional
        Finite, >= 0, not all 0.

    Returns
    -------
    float
        From 0.05, as for samples that are all classified right, to 20. 1 where the logits of each sample are equal, so
        that no temperature changes anything.

    Raises
    ------
    ShapeError, DTypeError, RangeError, DataError

    Notes
    -----
    The cost is convex in 1 / T: its slope there is the weighted sum of E[z] - z_y, its curvature that of Var[z], with
    the logits z and their moments under the softmax. Newton's method finds where the slope is zero, and where a step
    leaves the interval that must hold this point, or does not halve the step before, the interval is halved.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, section 4.2.

    Examples
    --------
    >>> from fastconv.calibration import fit_temperature
    >>> round(fit_temperature([[4.0, 0.0]] * 3 + [[0.0, 4.0]], [0, 0, 0, 0]), 4)  # 4 / log(3)
    3.641
    """
    logits, labels, weights = _checked(logits, "logits", labels, sample_weight, "fit_temperature")
    if not np.all(np.abs(logits) <= 1e100):
        raise RangeError("fit_temperature: expected logits between -1e100 and 1e100, got others")
    gaps = (logits - logits[np.arange(len(labels)), labels, None])[weights > 0]
    weights = weights[weights > 0]

    def slope(inverse):
        """Return the first and the second derivative of the cost by 1 / T."""
        shares = inverse * gaps
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        parts = shares * gaps
        mean, square = parts.sum(axis=1), np.einsum("nk,nk->n", parts, gaps)
        return np.sum(weights * mean), np.sum(weights * (square - mean**2))

    if not gaps.any():
        return 1.0
    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(high)[0] <= 0:
        return LOWEST
    if slope(low)[0] >= 0:
        return HIGHEST
    inverse, step = 1.0, math.inf
    while abs(step) > 1e-12 * inverse:
        first, second = slope(inverse)
        low, high = (low, inverse) if first > 0 else (inverse, high)
        newton = -first / second if second > 0 else math.inf
        halves = low < inverse + newton < high and abs(newton) <= abs(step) / 2
        step = newton if halves else math.sqrt(low * high) - inverse
        inverse += step
    return float(1 / inverse)


def _checked(scores, name, labels, sample_weight, function):
    """Return scores of the classes, labels and weights of at least one sample, or raise an error."""
    scores = floats_array(np.asarray(scores), np.float64, function, name)
    if scores.ndim != 2 or min(scores.shape) < 1:
        raise ShapeError(f"{function}: expected {name} of shape (N, K), not empty, got {scores.shape}")
    labels = labels_array(labels, *scores.shape, function)
    weights = SoftmaxCrossEntropy().sample_weights(labels, scores.shape[1], sample_weight)
    if weights is None:
        return scores, labels, np.ones(len(labels))
    if not weights.any():
        raise DataError(f"{function}: sample_weight is zero for every sample")
    return scores, labels, weights / weights.max()
