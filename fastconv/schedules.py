"""Schedules: the learning rate of every update, counted from 0, as a callable.

Any optimiser takes one, or any other function of the update, in place of a number. What is counted in updates may come
from epochs: ``epochs * -(-n // batch_size)``.
"""

import math
from dataclasses import dataclass, fields
from numbers import Real

from fastconv.arrays import positive
from fastconv.errors import RangeError


class Schedule:
    """What all schedules share: rates and factors are finite numbers, the rest whole numbers of updates."""

    _zero = ()  # fields that may be 0 too

    def __post_init__(self):
        for field in fields(self):
            name, value = f"{type(self).__name__}: {field.name}", getattr(self, field.name)
            zero = field.name in self._zero and not isinstance(value, bool) and value == 0
            if field.type is int and not zero:
                positive(name, value)
            elif field.type is float:
                real = isinstance(value, Real) and not isinstance(value, bool)
                if not zero and not (real and 0 < value < math.inf):
                    raise RangeError(f"{name} must be positive and finite, got {value!r}")
            if field.type in (int, float):  # NumPy's small integers overflow in products
                object.__setattr__(self, field.name, field.type(value))


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate always.

    Parameters
    ----------
    rate : float

    Examples
    --------
    >>> from fastconv.schedules import Constant
    >>> Constant(0.1)(1000)
    0.1
    """

    rate: float

    def __call__(self, update):
        return self.rate


@dataclass(frozen=True)
class Cyclical(Schedule):
    """From the lowest rate to the highest in `step_size` updates and back in as many, again and again.

    Parameters
    ----------
    eta_min, eta_max : float
        The rate of update 0, and of update `step_size`.
    step_size : int
        n_s: a cycle is 2 n_s updates.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017: the triangular policy.

    Examples
    --------
    >>> from fastconv.schedules import Cyclical
    >>> rate = Cyclical(1.0, 3.0, step_size=2)
    >>> [rate(update) for update in range(6)]
    [1.0, 2.0, 3.0, 2.0, 1.0, 2.0]
    """

    eta_min: float
    eta_max: float
    step_size: int

    def __call__(self, update):
        way = update % (2 * self.step_size) / self.step_size
        return self.eta_min + min(way, 2 - way) * (self.eta_max - self.eta_min)


@dataclass(frozen=True)
class Step(Schedule):
    """A rate that is multiplied with a factor at each milestone, after a warm-up.

    Parameters
    ----------
    rate : float
    milestones : tuple of int
        Updates, ascending, that are the first with a new rate.
    factor : float
    warm_up : int
        Updates in which the rate climbs linearly, from rate / warm_up to `rate`.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2016, section 4.2, for the steps; Goyal et al.,
    "Accurate, large minibatch SGD", 2017, section 2.2, for the warm-up.

    Examples
    --------
    >>> from fastconv.schedules import Step
    >>> rate = Step(1.0, milestones=(4, 6), factor=0.5, warm_up=2)
    >>> [rate(update) for update in range(8)]
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    rate: float
    milestones: tuple
    factor: float = 0.1
    warm_up: int = 0

    _zero = ("warm_up",)

    def __post_init__(self):
        super().__post_init__()
        milestones = tuple(positive("Step: milestones", milestone) for milestone in self.milestones)
        if list(milestones) != sorted(set(milestones)):
            raise RangeError(f"Step: milestones must ascend, got {milestones}")
        object.__setattr__(self, "milestones", milestones)

    def __call__(self, update):
        passed = sum(update >= milestone for milestone in self.milestones)
        return _warm(self.rate, update, self.warm_up) * self.factor**passed


@dataclass(frozen=True)
class Exponential(Schedule):
    """rate * factor^(update / every).

    Parameters
    ----------
    rate : float
    factor : float
    every : int
        Updates in which the rate is multiplied with `factor`, little by little.

    Examples
    --------
    >>> from fastconv.schedules import Exponential
    >>> Exponential(0.5, factor=0.25, every=100)(50)
    0.25
    """

    rate: float
    factor: float
    every: int = 1

    def __call__(self, update):
        return self.rate * self.factor ** (update / self.every)


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """rate / sqrt(1 + (before + update) / every): for training of which nobody knows how long it will go on.

    Parameters
    ----------
    rate : float
    every : int
        Updates until the rate has fallen to 0.71 of what it was at first; after three times as many it is half.
    before : int
        Updates that were made already.

    References
    ----------
    Bottou, Curtis and Nocedal, "Optimization methods for large-scale machine learning", 2018, section 4: why the rate
    has to fall.

    Examples
    --------
    >>> from fastconv.schedules import InverseSquareRoot
    >>> schedule = InverseSquareRoot(0.1, every=100)
    >>> schedule(0), schedule(300), InverseSquareRoot(0.1, every=100, before=300)(0)
    (0.1, 0.05, 0.05)
    """

    rate: float
    every: int
    before: int = 0
    _zero = ("before",)

    def __call__(self, update):
        return self.rate / math.sqrt(1 + (self.before + update) / self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from a rate down to the minimum, after a warm-up.

    Parameters
    ----------
    rate : float
    updates : int
        The update, warm-up included, at which the minimum is reached; it holds from there on.
    minimum : float
        May be 0: no update is made at such a rate, so training must end with update `updates` - 1.
    warm_up : int
        Updates in which the rate climbs linearly, from rate / warm_up to `rate`; less than `updates`.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, equation (5), without restarts.

    Examples
    --------
    >>> from fastconv.schedules import Cosine
    >>> rate = Cosine(1.0, updates=4, minimum=0.5)
    >>> [round(rate(update), 3) for update in range(6)]
    [1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
    """

    rate: float
    updates: int
    minimum: float = 0.0
    warm_up: int = 0

    _zero = ("minimum", "warm_up")

    def __post_init__(self):
        super().__post_init__()
        if self.warm_up >= self.updates:
            raise RangeError(f"Cosine: warm_up must be less than updates, got {self.warm_up} and {self.updates}")

    def __call__(self, update):
        if update < self.warm_up:
            return _warm(self.rate, update, self.warm_up)
        way = (update - self.warm_up) / (self.updates - self.warm_up)
        return _cosine(self.rate, self.minimum, way)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One cycle: up to the highest rate and down to next to nothing, each along half a cosine wave.

    Parameters
    ----------
    eta_max : float
        The highest rate.
    updates : int
        Of the whole training; the lowest rate is that of update `updates` - 1 and holds from there on.
    divide : float
        The first rate is eta_max / divide.
    final_divide : float
        The last rate is the first / final_divide.
    climb : float
        The share of the updates that climb, below 1.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> from fastconv.schedules import OneCycle
    >>> rate = OneCycle(1.0, updates=5, divide=10, final_divide=10, climb=0.6)
    >>> [round(rate(update), 3) for update in range(5)]
    [0.1, 0.55, 1.0, 0.505, 0.01]
    """

    eta_max: float
    updates: int
    divide: float = 25.0
    final_divide: float = 1e4
    climb: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        if not self.climb < 1:
            raise RangeError(f"OneCycle: climb lies below 1, got {self.climb!r}")

    def __call__(self, update):
        first = self.eta_max / self.divide
        top, last = self.climb * self.updates - 1, self.updates - 1
        if update < top:
            return _cosine(first, self.eta_max, update / top)
        return _cosine(self.eta_max, first / self.final_divide, (update - top) / (last - top))


def _warm(rate, update, warm_up):
    """Return the rate in a linear warm-up, and after it."""
    return rate * (update + 1) / warm_up if update < warm_up else rate


def _cosine(start, end, way):
    """Return what lies between two rates along half a cosine wave; the end after a way of 1."""
    return end + (start - end) * (1 + math.cos(math.pi * min(way, 1))) / 2
