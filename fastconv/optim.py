"""Optimisers: descriptions; the engine makes the update in one pass over the flat vectors."""

import math
from numbers import Real

from fastconv.errors import RangeError


class SGD:
    """Stochastic gradient descent with momentum: v = momentum * v + lr * g; p = p - v.

    Parameters
    ----------
    learning_rate : float or callable
        Positive and finite; a callable is given the index of the update, from 0, and returns the rate.
    momentum : float
        In [0, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SGD(0.001, momentum=0.9).rate(0)
    0.001
    """

    def __init__(self, learning_rate, momentum=0.0):
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            self.rate(0)
        if isinstance(momentum, bool) or not isinstance(momentum, Real) or not 0 <= momentum < 1:
            raise RangeError(f"SGD: momentum lies in [0, 1), got {momentum!r}")
        self.momentum = float(momentum)

    def __repr__(self):
        return f"SGD({self.learning_rate!r}, momentum={self.momentum})"

    def rate(self, update):
        """Return the learning rate of an update, counted from 0."""
        rate = self.learning_rate(update) if callable(self.learning_rate) else self.learning_rate
        try:
            good = not isinstance(rate, bool) and math.isfinite(rate) and rate > 0
        except (TypeError, OverflowError):
            good = False
        if not good:
            raise RangeError(f"SGD: the learning rate must be positive and finite, got {rate!r}")
        return float(rate)
