"""Search for settings: random search in parallel, coarse to fine, and the test for the range of the learning rate."""

import copy
import math
import time
import warnings
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import loguniform
from sklearn.model_selection import ParameterSampler

from fastconv import engine
from fastconv.arrays import checked_seed, positive
from fastconv.errors import DTypeError, NonFiniteLossError, RangeError
from fastconv.schedules import Exponential
from fastconv.training import Trainer


def random_search(function, space, trials, seed=0, jobs=None, callback=None):
    """Try settings drawn at random, several at once, and return what each gave, the best first.

    Parameters
    ----------
    function : callable
        Is given a setting as keyword arguments. Returns its score, of which the largest is the best, or a dict with
        ``score`` and whatever else is to be kept.
    space : dict of str to (low, high), list or distribution
        What to draw by name: from low to high, uniform in the logarithm; an entry of a list; or a number of any
        distribution of ``scipy.stats``.
    trials : int
    seed : int
        Of the settings.
    jobs : int, optional
        Trials at once, by default as many as there are threads for one. They run in threads of this process and share
        the data: `function` should train with ``threads=1``, and change nothing that another call of it sees.
    callback : callable, optional
        Is given each result, in the order in which the settings were drawn, as soon as it and those before are known.

    Returns
    -------
    list of dict
        ``settings``, ``score``, ``seconds`` and what else `function` returned; of equal scores the first drawn is the
        first, and what is not a number comes last. The same for the same seed, whatever `jobs` is, but for the seconds.
        A training that ended in a :class:`NonFiniteLossError` has the score -inf, and its message as ``error``.

    Raises
    ------
    RangeError
        If `space`, `trials`, `seed` or `jobs` does not fit.
    DTypeError
        If `function` returns no score.

    References
    ----------
    Bergstra and Bengio, "Random search for hyper-parameter optimization", 2012.

    Examples
    --------
    >>> import fastconv as fc
    >>> digits = fc.datasets.load_digits()
    >>> x = digits.data.reshape(len(digits.data), -1)
    >>> train, held_out = ((x[rows], digits.target[rows]) for rows in (digits.train, digits.validation))
    >>> def accuracy(l2, units):
    ...     net = fc.Sequential([fc.Dense(units), fc.ReLU(), fc.Dense(10)], input=fc.VectorInput(64))
    ...     fc.Trainer(net, fc.SoftmaxCrossEntropy(l2=l2), fc.SGD(0.5), threads=1).fit(*train, epochs=3)
    ...     return net.evaluate(*held_out, threads=1)[1]
    >>> space = {"l2": (1e-6, 1e-1), "units": [20, 50]}
    >>> coarse = fc.search.random_search(accuracy, space, trials=6)
    >>> fine = fc.search.random_search(accuracy, fc.search.narrowed(space, coarse), trials=6, seed=1)
    >>> fine[0]["score"] > 0.8
    True
    """
    sampler = ParameterSampler(
        {name: _distribution(name, values) for name, values in space.items()},
        positive("random_search: trials", trials),
        random_state=checked_seed("random_search", seed) % 2**32,
    )
    jobs = engine.threads(None) if jobs is None else positive("random_search: jobs", jobs)
    results = []
    parallel = Parallel(n_jobs=jobs, backend="threading", return_as="generator")
    found = parallel(delayed(_trial)(function, settings) for settings in sampler)
    try:
        for result in found:
            results.append(result)
            if callback is not None:
                callback(result)
    finally:
        with warnings.catch_warnings(action="ignore"):  # joblib's, of trials that Ctrl-C cuts short
            found.close()
    return sorted(results, key=lambda result: (math.isnan(result["score"]), -result["score"]))


def narrowed(space, results, keep=3):
    """Return a space for a finer search: each range is what the best results of a coarser one span.

    Parameters
    ----------
    space : dict
        Of the coarser search; only its ranges (low, high) are narrowed.
    results : list of dict
        Of :func:`random_search`.
    keep : int
        How many of them, at least 2.

    Examples
    --------
    >>> from fastconv.search import narrowed
    >>> results = [{"settings": {"l2": l2, "units": 20}} for l2 in (0.002, 0.001, 0.003, 0.1)]
    >>> narrowed({"l2": (1e-5, 1.0), "units": [20, 50]}, results)
    {'l2': (0.001, 0.003), 'units': [20, 50]}
    """
    if positive("narrowed: keep", keep) < 2 or len(results) < 2:
        raise RangeError(f"narrowed: expected two results at least, got {min(keep, len(results))}")
    best = [result["settings"] for result in results[:keep]]
    spans = {name: [settings[name] for settings in best] for name, values in space.items() if isinstance(values, tuple)}
    return space | {name: (min(values), max(values)) for name, values in spans.items()}


@dataclass(frozen=True, eq=False)
class RateRange:
    """What :func:`rate_range` found.

    Attributes
    ----------
    rates, losses : (updates,) float64
        The learning rate of every update, and the loss of its batch; fewer where it ended early.
    smooth : (updates,) float64
        The losses' mean, each counting 0.9 times what the next one does.
    low, high : float
        Between them the rate is worth to be varied: the last with less than a tenth of the fall of the smooth loss,
        from the mean of the first tenth of the losses, and that of its lowest point. Beyond it training gets worse:
        choose rates somewhat below.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    low: float
    high: float


def rate_range(trainer, x, y, low=1e-6, high=1.0, updates=200):
    """Train with a rate that grows from update to update, to see between which rates a network learns.

    Parameters
    ----------
    trainer : Trainer
        As it would train; it and its network are not changed.
    x, y : arrays
        As for :meth:`Trainer.fit`.
    low, high : float
        The rate of the first and of the last update; it grows by a constant factor.
    updates : int
        At least 2. It ends earlier where the smooth loss is more than four times its lowest, or is not finite.

    Returns
    -------
    RateRange

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3, with a rate that grows by a factor
    where the paper adds a constant: it covers several powers of ten.

    Examples
    --------
    >>> import fastconv as fc
    >>> digits = fc.datasets.load_digits()
    >>> x, y = digits.data[digits.train].reshape(-1, 64), digits.target[digits.train]
    >>> net = fc.Sequential([fc.Dense(50), fc.ReLU(), fc.Dense(10)], input=fc.VectorInput(64))
    >>> found = fc.search.rate_range(fc.Trainer(net), x, y, low=1e-5, high=100.0)
    >>> 1e-4 < found.low < found.high < 10
    True
    >>> schedule = fc.schedules.Cyclical(found.low, found.high / 2, step_size=500)
    """
    if not isinstance(trainer, Trainer):
        raise DTypeError(f"rate_range: expected a trainer, got {trainer!r}")
    updates = positive("rate_range: updates", updates)
    if updates < 2:
        raise RangeError(f"rate_range: expected two updates at least, got {updates}")
    if not 0 < low < high < math.inf:
        raise RangeError(f"rate_range: expected 0 < low < high, got {low!r} and {high!r}")
    optimizer = copy.copy(trainer.optimizer)
    optimizer.learning_rate = Exponential(low, high / low, every=updates - 1)
    trial = Trainer(
        copy.deepcopy(trainer.net), trainer.loss, optimizer, trainer.batch_size, trainer.threads, trainer.seed,
        trainer.sampling, trainer.augment or None,
    )  # fmt: skip

    def diverged(trainer, record):
        smooth = _smooth(trainer.history.batch_losses)
        return bool(smooth[-1] > 4 * smooth.min())

    try:
        trial.fit(x, y, updates=updates, evaluate_every=1, callbacks=[diverged], progress=False)
    except NonFiniteLossError:
        if not trial.updates:
            raise
    losses = np.array(trial.history.batch_losses)
    rates = np.array([optimizer.rate(update) for update in range(len(losses))])
    smooth = _smooth(losses)
    lowest = int(smooth.argmin())
    start = losses[: max(1, len(losses) // 10)].mean()
    high_before = np.flatnonzero(smooth[: lowest + 1] > start - 0.1 * (start - smooth[lowest]))
    first = high_before[-1] if len(high_before) else 0
    return RateRange(rates, losses, smooth, float(rates[first]), float(rates[lowest]))


def _distribution(name, values):
    """Return what scikit-learn draws from: a list, or an object with ``rvs``."""
    if isinstance(values, tuple):
        if len(values) != 2 or not 0 < values[0] < values[1] < math.inf:
            raise RangeError(f"random_search: {name}: expected 0 < low < high, got {values!r}")
        return loguniform(*values)
    if not hasattr(values, "rvs") and not (isinstance(values, list) and values):
        raise DTypeError(f"random_search: {name}: expected (low, high), a list or a distribution, got {values!r}")
    return values


def _trial(function, settings):
    """Return what a setting gave."""
    settings = {name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()}
    started = time.perf_counter()
    try:
        found = function(**settings)
    except NonFiniteLossError as error:
        found = {"score": -math.inf, "error": str(error)}
    found = found if isinstance(found, dict) else {"score": found}
    try:
        found = {**found, "score": float(found["score"])}
    except (KeyError, TypeError, ValueError):
        raise DTypeError(
            f"random_search: expected a score, or a dict with one, got {found.get('score', found)!r}"
        ) from None
    return {"settings": settings, "seconds": time.perf_counter() - started, **found}


def _smooth(losses, keep=0.9):
    """Return the weighted mean of the losses up to each, one counting `keep` times what the next does."""
    total = weight = 0.0
    means = []
    for loss in losses:
        total, weight = keep * total + loss, keep * weight + 1
        means.append(total / weight)
    return np.array(means)
