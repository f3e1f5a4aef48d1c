"""Remedies for classes of unequal size: weights, what an epoch is, and subsets that need them."""

import numpy as np

from fastconv.arrays import checked_seed
from fastconv.errors import DataError, DTypeError, RangeError, ShapeError


def balanced_weights(counts):
    """Return a weight for each class, N / (K n_y): every class counts as much in total.

    Parameters
    ----------
    counts : (K,) int
        Examples of each class.

    Returns
    -------
    (K,) float64
        0 for a class without examples; K counts the others.

    See Also
    --------
    effective_number_weights : What lies between these and no weights.

    Examples
    --------
    >>> from fastconv.imbalance import balanced_weights
    >>> balanced_weights([30, 10]).tolist()
    [0.6666666666666666, 2.0]
    """
    counts = _checked_counts(counts, "balanced_weights")
    present = counts > 0
    return np.divide(counts.sum(), present.sum() * counts, out=np.zeros_like(counts), where=present)


def effective_number_weights(counts, beta=0.999):
    """Return a weight for each class, (1 - beta) / (1 - beta^n), normalised: the inverse effective number of examples.

    Parameters
    ----------
    counts : (K,) int
        Examples of each class, n.
    beta : float
        In [0, 1): (N - 1) / N where a class has no more than N examples that differ, so that what matters lies near 1.
        0 weights all classes alike; towards 1 the weights are in proportion to those of :func:`balanced_weights`.

    Returns
    -------
    (K,) float64
        Of sum K. 0 for a class without examples; K counts the others.

    Raises
    ------
    RangeError
        If beta or a count lies outside its range.

    References
    ----------
    Cui et al., "Class-balanced loss based on effective number of samples", 2019, proposition 1 and section 4.

    Examples
    --------
    >>> from fastconv.imbalance import effective_number_weights
    >>> effective_number_weights([5000, 50], beta=0.999).round(3).tolist()
    [0.094, 1.906]
    """
    counts = _checked_counts(counts, "effective_number_weights")
    if not 0 <= beta < 1:
        raise RangeError(f"effective_number_weights: beta lies in [0, 1), got {beta!r}")
    present, weights = counts > 0, np.zeros_like(counts)
    with np.errstate(divide="ignore"):  # beta 0
        weights[present] = -1 / np.expm1(counts[present] * np.log(beta))
    return weights * (present.sum() / weights.sum()) if present.any() else weights


def _checked_counts(counts, function):
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1:
        raise ShapeError(f"{function}: expected counts of shape (K,), got {counts.shape}")
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise RangeError(f"{function}: expected finite counts >= 0, got {counts.tolist()}")
    return counts


def _counts(labels, function):
    """Return `labels` as an array, and the examples of each class."""
    labels = np.asarray(labels)
    if labels.size == 0:
        raise DataError(f"{function}: there are no labels")
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{function}: expected labels of an integer dtype, got {labels.dtype}")
    if labels.ndim != 1:
        raise ShapeError(f"{function}: expected labels of shape (N,), got {labels.shape}")
    if labels.min() < 0:
        raise RangeError(f"{function}: expected labels >= 0, got {labels.min()}")
    return labels, np.bincount(labels)


def _draw(labels, counts, sizes, rng):
    """Return `sizes[k]` rows of each class k, shuffled: all its examples as often as they fit, the rest at random."""
    # random order first, then by class: the first of each class are a random draw from it
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    first = np.cumsum(counts) - counts
    rows = [by_class[first[k] + np.arange(sizes[k]) % counts[k]] for k in np.flatnonzero(counts)]
    return rng.permutation(np.concatenate(rows))


def undersample(labels, rng):
    """Return the rows of an effective epoch: from every class as many as the smallest has, drawn anew, shuffled.

    Parameters
    ----------
    labels : (N,) int
    rng : numpy.random.Generator

    Returns
    -------
    (classes x smallest,) int64

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.imbalance import undersample
    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> labels[undersample(labels, np.random.default_rng(0))].tolist()
    [0, 1, 0, 1]
    """
    labels, counts = _counts(labels, "undersample")
    return _draw(labels, counts, np.full(len(counts), counts[counts > 0].min()), rng)


def oversample(labels, rng):
    """Return the rows of an epoch with as many of every class as the largest has, shuffled.

    Every example of a class stands in it as often as it fits; the rest is drawn anew, none twice.

    Parameters
    ----------
    labels : (N,) int
    rng : numpy.random.Generator

    Returns
    -------
    (classes x largest,) int64

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.imbalance import oversample
    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> sorted(oversample(labels, np.random.default_rng(0)).tolist())
    [0, 1, 2, 3, 4, 4, 5, 5]
    """
    labels, counts = _counts(labels, "oversample")
    return _draw(labels, counts, np.full(len(counts), counts.max()), rng)


def balance(labels, rng):
    """Return the rows of an epoch as long as the plain one with as many of every class, shuffled.

    Large classes are under-, small ones oversampled: as with class weights, every class counts as much, and an epoch
    costs what it costs without.

    Parameters
    ----------
    labels : (N,) int
    rng : numpy.random.Generator

    Returns
    -------
    (N,) int64
        N / classes rows of each; where that is no integer, one more of some classes, drawn anew.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.imbalance import balance
    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> np.bincount(labels[balance(labels, np.random.default_rng(0))]).tolist()
    [3, 3]
    """
    labels, counts = _counts(labels, "balance")
    present = np.flatnonzero(counts)
    share, rest = divmod(len(labels), len(present))
    sizes = np.full(len(counts), share)
    sizes[rng.permutation(present)[:rest]] += 1
    return _draw(labels, counts, sizes, rng)


def long_tailed(labels, factor, seed=0):
    """Return the rows of a subset in which the classes become rarer, one after the other: n_k = n_0 mu^k.

    Parameters
    ----------
    labels : (N,) int
        Of classes 0 to K - 1, each with examples.
    factor : float
        The imbalance, n_0 / n_{K-1} = mu^(1 - K), at least 1.
    seed : int
        Of the draw from each class.

    Returns
    -------
    (n,) int64
        Sorted. n_0 is as large as the classes allow, all of class 0 where they are equally large; n_k is rounded down.

    Raises
    ------
    DataError
        If a class has no examples, in `labels` or in the subset.

    References
    ----------
    Cui et al., "Class-balanced loss based on effective number of samples", 2019, section 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.imbalance import long_tailed
    >>> labels = np.repeat(np.arange(4), 100)
    >>> np.bincount(labels[long_tailed(labels, factor=8)]).tolist()
    [100, 50, 25, 12]
    """
    labels, counts = _counts(labels, "long_tailed")
    if not 1 <= factor < np.inf:
        raise RangeError(f"long_tailed: factor is a finite number >= 1, got {factor!r}")
    if counts.min() == 0:
        raise DataError(f"long_tailed: class {counts.argmin()} has no examples")
    shares = float(factor) ** (-np.arange(len(counts)) / max(len(counts) - 1, 1))
    whole = 1 + 1e-12  # what is whole but for rounding stays whole
    n = np.floor(np.min(counts / shares) * whole)
    sizes = np.floor(n * shares * whole).astype(np.int64)
    if sizes[-1] == 0:
        raise DataError(f"long_tailed: of {n:g} examples a factor of {factor:g} leaves class {len(counts) - 1} none")
    return np.sort(_draw(labels, counts, sizes, np.random.default_rng(checked_seed("long_tailed", seed))))
