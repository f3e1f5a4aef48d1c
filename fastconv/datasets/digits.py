"""Handwritten digits of 8 x 8 pixels: the images that come with scikit-learn."""

import numpy as np

from fastconv.datasets.dataset import Dataset, hold_out_share


def load_digits():
    """Return scikit-learn's digits: 1,797 real images of handwritten digits.

    Returns
    -------
    Dataset
        Images (1797, 8, 8, 1) float32 from 0 to 1, in steps of 1/16. A fixed random fifth of each class is for
        validation.

    Notes
    -----
    The test set of the UCI machine learning repository's "Optical Recognition of Handwritten Digits"
    (Alpaydin and Kaynak, 1998).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.datasets.load_digits()
    Dataset(digits: 1797 samples of 10 classes, 1438 to train, 359 to validate)
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    target = bunch.target.astype(np.int64)
    data = (bunch.images[..., None] / 16).astype(np.float32)
    return Dataset("digits", data, target, [str(k) for k in range(10)], *hold_out_share(target, 0.2, "load_digits"))
