"""What every loader returns, and how samples are held out."""

from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from fastconv.errors import RangeError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their classes, and a split.

    Attributes
    ----------
    name : str
    data : list of str, or (N, ...) array
        The samples. Images are (N, H, W, C): uint8 0..255 where they are published so, which takes a quarter of the
        memory of float32. ``data[rows] / np.float32(255)`` has them in float32 from 0 to 1;
        :mod:`fastconv.preprocess` takes them as they are.
    target : (N,) int64
        The index of each sample's class.
    target_names : list of str
        The classes.
    train, validation, test : (n,) int64
        Indices of the samples to train on, to validate on, and to test on in the end: together all, none in two of
        them. Data that are published without a test set have none here either.
    """

    name: str
    data: list | np.ndarray
    target: np.ndarray
    target_names: list
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __repr__(self):
        parts = f"{len(self.train)} to train, {len(self.validation)} to validate"
        parts += f", {len(self.test)} to test" if len(self.test) else ""
        return f"Dataset({self.name}: {len(self.data)} samples of {len(self.target_names)} classes, {parts})"


def hold_out(target, sizes, rank):
    """Return the rows that stay, and those that are held out: of class k the `sizes[k]` of the lowest ranks.

    Parameters
    ----------
    target : (N,) int64
    sizes : (K,) int
    rank : (N,) int

    Returns
    -------
    train, held_out : (n,) int64
        Sorted.
    """
    counts = np.bincount(target, minlength=len(sizes))
    order = np.lexsort((rank, target))
    position = np.empty(len(target), np.int64)  # in the order of the ranks of its class
    position[order] = np.arange(len(target)) - np.repeat(np.cumsum(counts) - counts, counts)
    held_out = position < np.asarray(sizes)[target]
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def hold_out_share(target, share, function):
    """Return the rows that stay, and a fixed random share of each class that is held out, rounded.

    Parameters
    ----------
    target : (N,) int64
    share : float
        In [0, 1); of every class at least one sample stays.
    function : str
        For the error.

    Returns
    -------
    train, held_out : (n,) int64
        Sorted. The same for the same `target`, on every platform and with every release of NumPy.
    """
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share < 1:
        raise RangeError(f"{function}: validation is a share in [0, 1), got {share!r}")
    counts = np.bincount(target)
    sizes = np.minimum(np.rint(share * counts), counts - 1)
    return hold_out(target, sizes, np.random.PCG64(0).random_raw(len(target)))


def with_test_set(name, train, test, target_names, validation, function):
    """Return the data set of a training and a test set, each (data, target), a share of the first held out."""
    data, target = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    n = len(train[1])
    rows, held_out = hold_out_share(target[:n], validation, function)
    return Dataset(name, data, target, target_names, rows, held_out, np.arange(n, len(target)))
