"""Optimisers: descriptions; the engine makes the update in one pass over the flat vectors.

Every optimiser has ``weight_decay``, the decoupled one: an update also takes lr * weight_decay * w off every weight, of
which neither the gradient nor the momentum nor the loss knows. Biases, gamma and beta are spared. L2 in the cost is a
setting of the loss, ``l2``. With plain SGD the two are the same for weight_decay = 2 l2; with momentum or adaptive
rates they are not (Loshchilov and Hutter, 2019).
"""

import inspect
import math
from numbers import Real

from fastconv.errors import RangeError


class Optimizer:
    """What all optimisers share: the learning rate and weight decay."""

    states = 1
    """Vectors of state, each laid out as the parameters."""

    def __init__(self, learning_rate, weight_decay):
        self.learning_rate = learning_rate
        if not callable(learning_rate):
            self.learning_rate = self.rate(0)
        if isinstance(weight_decay, bool) or not isinstance(weight_decay, Real) or not 0 <= weight_decay < math.inf:
            raise RangeError(f"{type(self).__name__}: weight_decay is a finite number >= 0, got {weight_decay!r}")
        self.weight_decay = float(weight_decay)

    def _share(self, name, value):
        """Return `value` as a float, or raise RangeError if it does not lie in [0, 1)."""
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
            raise RangeError(f"{type(self).__name__}: {name} lies in [0, 1), got {value!r}")
        return float(value)

    def _eps(self, value):
        """Return `value` as a float, or raise RangeError if float32 might take it for zero or infinity."""
        if isinstance(value, bool) or not isinstance(value, Real) or not 1e-30 <= value <= 1e30:
            raise RangeError(f"{type(self).__name__}: eps lies in [1e-30, 1e30], got {value!r}")
        return float(value)

    def __repr__(self):
        _, *parameters = inspect.signature(type(self)).parameters.values()
        changed = {p.name: getattr(self, p.name) for p in parameters if getattr(self, p.name) != p.default}
        settings = "".join(f", {name}={value!r}" for name, value in changed.items())
        return f"{type(self).__name__}({self.learning_rate!r}{settings})"

    def rate(self, update):
        """Return the learning rate of an update, counted from 0."""
        rate = self.learning_rate(update) if callable(self.learning_rate) else self.learning_rate
        try:
            good = not isinstance(rate, bool) and math.isfinite(rate) and rate > 0
        except (TypeError, OverflowError):
            good = False
        if not good:
            raise RangeError(f"{type(self).__name__}: the learning rate must be positive and finite, got {rate!r}")
        return float(rate)

    def lower(self):
        """Return the optimiser as the engine reads it."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v = momentum * v + lr * g; p = p - v.

    Parameters
    ----------
    learning_rate : float or callable
        Positive and finite; a callable is given the index of the update, from 0, and returns the rate: a schedule of
        :mod:`fastconv.schedules`, or any function.
    momentum : float
        In [0, 1).
    nesterov : bool
        Step by momentum * v + lr * g, where v is already the new one: the velocity after another update, if the
        gradient were the same again.
    weight_decay : float
        Also p = p - lr * weight_decay * p, for weights. Not L2 in the cost: see :mod:`fastconv.optim`.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, for Nesterov's
    momentum; in the form that evaluates the gradient where the parameters are.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SGD(0.001, momentum=0.9).rate(0)
    0.001
    """

    def __init__(self, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
        super().__init__(learning_rate, weight_decay)
        self.momentum = self._share("momentum", momentum)
        self.nesterov = bool(nesterov)

    def lower(self):
        return "sgd", self.weight_decay, self.momentum, self.nesterov


class RMSprop(Optimizer):
    """RMSprop: s = rho * s + (1 - rho) * g^2; v = momentum * v + lr * g / (sqrt(s) + eps); p = p - v.

    Parameters
    ----------
    learning_rate : float or callable
        As for :class:`SGD`.
    rho : float
        In [0, 1): how much of the mean square stays.
    momentum : float
        In [0, 1).
    eps : float
        At least 1e-30.
    weight_decay : float
        As for :class:`SGD`.

    References
    ----------
    Hinton, "Neural networks for machine learning", lecture 6e, 2012.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.RMSprop(0.01, momentum=0.5)
    RMSprop(0.01, momentum=0.5)
    """

    states = 2

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, eps=1e-8, weight_decay=0.0):
        super().__init__(learning_rate, weight_decay)
        self.rho = self._share("rho", rho)
        self.momentum = self._share("momentum", momentum)
        self.eps = self._eps(eps)

    def lower(self):
        return "rmsprop", self.weight_decay, self.momentum, self.rho, self.eps


class Adam(Optimizer):
    """Adam: m = beta1 * m + (1 - beta1) * g; s = beta2 * s + (1 - beta2) * g^2; p = p - lr * m' / (sqrt(s') + eps).

    In update t = 1, 2, ... m' = m / (1 - beta1^t) and s' = s / (1 - beta2^t), which takes away that both begin at zero.

    Parameters
    ----------
    learning_rate : float or callable
        As for :class:`SGD`.
    betas : (float, float)
        beta1 and beta2, in [0, 1).
    eps : float
        At least 1e-30.
    weight_decay : float
        As for :class:`SGD`; :class:`AdamW` is Adam with 0.01.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Adam(fc.schedules.Cosine(1e-3, updates=1000))
    Adam(Cosine(rate=0.001, updates=1000, minimum=0.0, warm_up=0))
    """

    states = 2

    def __init__(self, learning_rate=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(learning_rate, weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise RangeError(f"{type(self).__name__}: betas is a pair, got {betas!r}")
        self.betas = self._share("beta1", betas[0]), self._share("beta2", betas[1])
        self.eps = self._eps(eps)

    def lower(self):
        return "adam", self.weight_decay, *self.betas, self.eps


class AdamW(Adam):
    """Adam with decoupled weight decay: also p = p - lr * weight_decay * p, for weights.

    Parameters
    ----------
    learning_rate, betas, eps, weight_decay
        As for :class:`Adam`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; its eta_t lambda is
    lr * weight_decay here.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AdamW(0.002).weight_decay
    0.01
    """

    def __init__(self, learning_rate=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(learning_rate, betas, eps, weight_decay)
