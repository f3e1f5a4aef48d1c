"""Two concentric circles: points of a plane that no line separates."""

import numpy as np

from fastconv.arrays import checked_seed, positive
from fastconv.datasets.dataset import Dataset, hold_out_share


def make_circles(n=400, noise=0.1, factor=0.5, seed=0):
    """Return points on two concentric circles, drawn by scikit-learn.

    Parameters
    ----------
    n : int
        Points, half of them on each circle.
    noise : float
        Deviation of the normal noise on each coordinate, >= 0; the outer circle's radius is 1.
    factor : float
        Radius of the inner circle, in [0, 1).
    seed : int

    Returns
    -------
    Dataset
        Points (n, 2) float32, in random order; half of each class is for validation.

    Raises
    ------
    ValueError
        If an argument lies outside its range.

    Examples
    --------
    >>> import fastconv as fc
    >>> d = fc.datasets.make_circles(n=400, noise=0.1, factor=0.5, seed=0)
    >>> d, d.target_names
    (Dataset(circles: 400 samples of 2 classes, 200 to train, 200 to validate), ['outer', 'inner'])
    """
    from sklearn import datasets

    n, seed = positive("make_circles: n", n), checked_seed("make_circles", seed)
    data, target = datasets.make_circles(n, noise=noise, factor=factor, random_state=seed)
    target = target.astype(np.int64)
    split = hold_out_share(target, 0.5, "make_circles")
    return Dataset("circles", data.astype(np.float32), target, ["outer", "inner"], *split)
