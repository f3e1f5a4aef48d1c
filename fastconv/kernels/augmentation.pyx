"""Augmentation of arrays of images outside training, by the engine's own kernels; random words."""

import numpy as np

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastconv.kernels.augment cimport (COLOR_JITTER, CUTMIX, HORIZONTAL_FLIP, MIXUP, RANDOM_CROP, RANDOM_ERASING,
                                       Augmentation, Recipe, augment_sample)
from fastconv.kernels.random cimport fc_philox
from fastconv.kernels.real cimport real

KINDS = {
    "HorizontalFlip": HORIZONTAL_FLIP,
    "RandomCrop": RANDOM_CROP,
    "ColorJitter": COLOR_JITTER,
    "RandomErasing": RANDOM_ERASING,
    "MixUp": MIXUP,
    "CutMix": CUTMIX,
}

cdef Augmentation[1] _one
DTYPE = np.asarray(<Augmentation[:1]> _one).dtype
"""The kernels' structure Augmentation."""


def augment(
    const real[:, :, :, ::1] x, const Augmentation[::1] augmentations, uint64_t seed, uint32_t update,
    real[:, :, :, ::1] work, real[:, :, :, ::1] y, int64_t[::1] partners, double[::1] weights,
):
    """Write the augmented images of one batch.

    Parameters
    ----------
    x : (N, H, W, C) float32 or float64
    augmentations : (A,)
        As :func:`fastconv.augment.lowered` makes them.
    seed : int
        Below 2**64.
    update : int
        Below 2**32.
    work : (3, H, W, C)
    y : (N, H, W, C), written
    partners : (N,) int64, written
        The image that each one is mixed with.
    weights : (N,) float64, written
        The partner's weight; 0 where nothing mixes.
    """
    cdef Recipe recipe
    cdef Py_ssize_t i, partner = 0, n = x.shape[0], size = x.shape[1] * x.shape[2] * x.shape[3]
    if n == 0 or size == 0:
        return
    recipe.augmentations, recipe.count = &augmentations[0], augmentations.shape[0]
    recipe.height, recipe.width, recipe.channels = x.shape[1], x.shape[2], x.shape[3]
    recipe.seed, recipe.update = seed, update
    with nogil:
        for i in range(n):
            memcpy(&y[i, 0, 0, 0],
                   augment_sample(&recipe, &x[0, 0, 0, 0], NULL, 0, n, i, &work[0, 0, 0, 0], &partner, &weights[i]),
                   size * sizeof(real))
            partners[i] = partner


def random_words(counter, key):
    """Return the four random words of Philox4x32-10 for a counter of four words and a key of two.

    Examples
    --------
    >>> from fastconv.kernels.augmentation import random_words
    >>> [f"{word:08x}" for word in random_words([0, 0, 0, 0], [0, 0])]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    cdef uint32_t[4] c = counter
    cdef uint32_t[2] k = key
    cdef uint32_t[4] words
    fc_philox(c, k, words)
    return [words[0], words[1], words[2], words[3]]
