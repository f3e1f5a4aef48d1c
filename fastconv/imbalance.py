"""Remedies for classes of unequal size."""

import numpy as np

from fastconv.errors import DataError


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

    Examples
    --------
    >>> from fastconv.imbalance import balanced_weights
    >>> balanced_weights([30, 10]).tolist()
    [0.6666666666666666, 2.0]
    """
    counts = np.asarray(counts, np.float64)
    present = counts > 0
    return np.divide(counts.sum(), present.sum() * counts, out=np.zeros_like(counts), where=present)


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
    labels = np.asarray(labels)
    if labels.size == 0:
        raise DataError("undersample: there are no labels")
    counts = np.bincount(labels)
    smallest = counts[counts > 0].min()
    # random order first, then by class: the first `smallest` of each class are a random draw from it
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])[counts > 0]
    return rng.permutation(by_class[(first[:, None] + np.arange(smallest)).ravel()])
