"""Where a study's data come from: the original's in a folder, or what comes with the package in its place."""

import os

import numpy as np

from fastconv.datasets import load_cifar10, load_digits
from fastconv.datasets.dataset import Dataset, hold_out_share
from fastconv.preprocess import Standardize

SCALE = 4
"""Each of the digits' 8 x 8 pixels becomes so many by so many, to have CIFAR-10's 32 x 32."""
FIRST_LABELS = (6, 9, 9, 4, 1, 1, 2, 7, 8, 3)
"""Of CIFAR-10's first batch, as it was published."""


def data_folder(data, name):
    """Return the folder of a data set: `data` itself, or the folder in it that has the data set's usual name.

    Parameters
    ----------
    data : str, path-like or None
    name : str
        As in ``surnames``, ``cifar10``, ``mnist``.

    Returns
    -------
    str or None
        None for None.

    Examples
    --------
    >>> from fastconv.reproduce.data import data_folder
    >>> data_folder("nowhere", "mnist"), data_folder(None, "mnist")
    ('nowhere', None)
    """
    if data is None:
        return None
    inner = os.path.join(data, name)
    return inner if os.path.isdir(inner) else os.fspath(data)


def colour_images(data):
    """Return CIFAR-10 from a folder, or without one scikit-learn's digits in its shape.

    Parameters
    ----------
    data : str, path-like or None
        See :func:`data_folder`.

    Returns
    -------
    Dataset
        Images (N, 32, 32, 3) uint8 with rows to train, to validate and to test. Of the digits each pixel is drawn 4 x
        4, in three equal channels; a fifth of each class is for the test, a tenth of the rest for validation.

    Raises
    ------
    DataError
        If the folder does not hold CIFAR-10; what is expected and how to get it is said.

    Examples
    --------
    >>> from fastconv.reproduce.data import colour_images
    >>> colour_images(None)
    Dataset(digits: 1797 samples of 10 classes, 1295 to train, 143 to validate, 359 to test)
    """
    if data is not None:
        return load_cifar10(data_folder(data, "cifar10"))
    digits = load_digits()
    grey = np.rint(255 * digits.data).astype(np.uint8)
    large = np.repeat(np.repeat(np.repeat(grey, SCALE, axis=1), SCALE, axis=2), 3, axis=3)
    inner, validation = hold_out_share(digits.target[digits.train], 0.1, "colour_images")
    rows = digits.train[inner], digits.train[validation], digits.validation
    return Dataset("digits", large, digits.target, digits.target_names, *rows)


def first_batches(images):
    """Return the rows to train, to validate and to test on if CIFAR-10's first batch trains and its second validates.

    Examples
    --------
    >>> from fastconv.reproduce.data import colour_images, first_batches
    >>> [len(rows) for rows in first_batches(colour_images(None))]  # of other images, their own split
    [1295, 143, 359]
    """
    if images.name != "CIFAR-10":
        return images.train, images.validation, images.test
    size = (len(images.target) - len(images.test)) // 5
    return np.arange(size), np.arange(size, 2 * size), images.test


def standardised(images, rows, per="channel"):
    """Return images standardised by the mean and deviation of the training set.

    Parameters
    ----------
    images : Dataset
    rows : sequence of (n,) int64
        Of each set; the first is the training set.
    per : {"channel", "pixel"}
        See :class:`fastconv.preprocess.Standardize`.

    Returns
    -------
    list of (x, y)
        For each set (n, H, W, C) float32 and (n,) int64.

    Examples
    --------
    >>> from fastconv.reproduce.data import colour_images, standardised
    >>> images = colour_images(None)
    >>> (x, y), _ = standardised(images, (images.train, images.test))
    >>> x.shape, bool(abs(x.std() - 1) < 1e-3)
    ((1295, 32, 32, 3), True)
    """
    standardize = Standardize(per).fit(images.data[rows[0]])
    return [(standardize.transform(images.data[r]), images.target[r]) for r in rows]


def standardised_vectors(images, rows):
    """Return images as vectors, each dimension standardised by the mean and deviation of the training set.

    Parameters
    ----------
    images : Dataset
    rows : sequence of (n,) int64
        Of each set; the first is the training set.

    Returns
    -------
    list of (x, y)
        For each set (n, H * W * C) float32 and (n,) int64.

    Examples
    --------
    >>> from fastconv.reproduce.data import colour_images, first_batches, standardised_vectors
    >>> images = colour_images(None)
    >>> train, validation, test = standardised_vectors(images, first_batches(images))
    >>> train[0].shape, test[1].shape, bool(abs(train[0].mean()) < 1e-6)
    ((1295, 3072), (359,), True)
    """
    return [(x.reshape(len(x), -1), y) for x, y in standardised(images, rows, "pixel")]


def colour_words(images):
    """Return the sentences on what images they are and whose the original's figures are."""
    if images.name == "CIFAR-10":
        words = "The original's figures were found on CIFAR-10."
        published = tuple(images.target[: len(FIRST_LABELS)]) == FIRST_LABELS
        return words + " This folder has its images in another order than the published batches." * (not published)
    return (
        "The original's figures belong to CIFAR-10, and not to scikit-learn's digits, which stand in for it here (each "
        "of their 8 x 8 pixels drawn 4 x 4, in three equal channels): they stand beside the figures found here for "
        "orientation, and are not what the digits should give."
    )
