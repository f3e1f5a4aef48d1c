"""Losses: descriptions; the engine computes them together with their gradient.

A loss is what training makes small: the mean over the batch of weight x loss of a sample, plus ``l2`` times the sum of
the squares of all weights, J = mean + lambda ||W||^2. Biases, gamma and beta do not count. That is L2 in the cost: it
is part of what :meth:`Sequential.loss_and_gradients` and :meth:`Sequential.evaluate` return, and its gradient,
2 lambda w, goes through the optimiser with the rest. ``weight_decay`` of an optimiser is something else: it shrinks the
weights after the optimiser has made its step, and no loss shows it. (``weight_decay`` of ``torch.optim.SGD`` is L2 in
the cost with lambda = weight_decay / 2.)

What is learnt is either labels, (N,) int, or soft targets, (N, K) numbers: one-hot rows, or the mixtures of MixUp and
CutMix. The loss of a mixture is the mixture of the losses, sum_y t_y L(y), and each L(y) has the weight of its class;
only :class:`MeanSquaredError` takes the numbers for what they are.
"""

import copy
import inspect
import math
from numbers import Real

import numpy as np

from fastconv.arrays import floats_array, labels_array
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.imbalance import balanced_weights


def checked(loss, function):
    """Return `loss`, the default for None, or raise DTypeError if it is not a loss."""
    if loss is not None and not isinstance(loss, Loss):
        raise DTypeError(f"{function}: expected a loss, got {loss!r}")
    return SoftmaxCrossEntropy() if loss is None else loss


class Loss:
    """What all losses share: weights of classes and samples, soft targets, and L2 in the cost."""

    _signed = False  # whether targets may be negative

    def __init__(self, class_weight, l2):
        name = type(self).__name__
        if class_weight is not None and not (isinstance(class_weight, str) and class_weight == "balanced"):
            if isinstance(class_weight, str):
                raise RangeError(f"{name}: class_weight is 'balanced', an array or None, got {class_weight!r}")
            try:
                class_weight = np.array(class_weight, np.float64)
            except (TypeError, ValueError):
                raise DTypeError(
                    f"{name}: class_weight is 'balanced', an array or None, got {class_weight!r}"
                ) from None
            if class_weight.ndim != 1 or not np.all(np.isfinite(class_weight)) or np.any(class_weight < 0):
                raise RangeError(f"{name}: class_weight must be one finite number >= 0 a class")
        self.class_weight = class_weight
        self.l2 = self._number("l2", l2)

    def _number(self, name, value):
        """Return `value` as a float, or raise RangeError if it is not a finite number >= 0."""
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
            raise RangeError(f"{type(self).__name__}: {name} is a finite number >= 0, got {value!r}")
        return float(value)

    def __repr__(self):
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in inspect.signature(type(self)).parameters)
        return f"{type(self).__name__}({settings})"

    def resolve(self, labels, n_classes):
        """Return this loss with "balanced" replaced by the weights for `labels`, or for soft targets (N, K)."""
        if not isinstance(self.class_weight, str):
            return self
        labels = np.asarray(labels)
        counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=n_classes)
        resolved = copy.copy(self)
        resolved.class_weight = balanced_weights(counts)
        return resolved

    def _class_weights(self, labels, n_classes):
        """Return the weight of each class, or None where all are one."""
        weights = self.resolve(labels, n_classes).class_weight
        if weights is not None and len(weights) != n_classes:
            raise ShapeError(f"{type(self).__name__}: class_weight has {len(weights)} entries, expected {n_classes}")
        return weights

    def sample_weights(self, labels, n_classes, sample_weight=None):
        """Return the weight of every sample, (N,) float64, or None where all are one.

        Parameters
        ----------
        labels : (N,) int
        n_classes : int
        sample_weight : (N,) array, optional
            Multiplied with the class's weight; finite and >= 0.
        """
        labels = np.asarray(labels)
        weights, given = self._class_weights(labels, n_classes), _checked_weights(sample_weight, len(labels))
        if weights is None or given is None:
            return given if weights is None else weights[labels]
        return given * weights[labels]

    def arrays(self, y, n, n_classes, dtype, sample_weight, function):
        """Return what the engine reads of the targets of `n` samples, or raise an error that names what is wrong.

        Parameters
        ----------
        y : (N,) int or (N, K) numbers
        n, n_classes : int
        dtype : dtype
            Of targets and weights.
        sample_weight : (N,) array or None
        function : str
            Named in errors.

        Returns
        -------
        labels : (N,) int64
            The largest of each row of soft targets.
        targets : (N, K) array or None
            Soft targets, times the weights of the classes.
        weights : (N,) array or None
        """
        y = np.asarray(y)
        if y.ndim != 2:
            labels, targets = labels_array(y, n, n_classes, function), None
            weights = self.sample_weights(labels, n_classes, sample_weight)
        else:
            if y.shape != (n, n_classes):
                raise ShapeError(
                    f"{function}: x has {n} samples, y has shape {y.shape}, expected ({n},) or ({n}, {n_classes})"
                )
            targets = floats_array(y, dtype, function, "y")
            if not np.all(np.isfinite(targets)) or (targets.size and targets.min() < 0 and not self._signed):
                raise RangeError(f"{function}: expected finite targets{'' if self._signed else ' >= 0'}")
            labels = np.ascontiguousarray(targets.argmax(axis=1), np.int64)
            class_weights = self._class_weights(targets, n_classes)
            if class_weights is not None:
                targets = floats_array(targets * class_weights, dtype, function, "y times class_weight")
            weights = _checked_weights(sample_weight, n)
        return labels, targets, None if weights is None else floats_array(weights, dtype, function, "sample_weight")

    def penalty(self, params):
        """Return l2 times the sum of the squares of all weights among the named parameters.

        Examples
        --------
        >>> import numpy as np
        >>> import fastconv as fc
        >>> fc.MeanSquaredError(l2=0.5).penalty({"0.w": np.array([[1.0, 3.0]]), "0.b": np.array([9.0, 9.0])})
        5.0
        """
        squares = (np.square(w, dtype=np.float64).sum() for name, w in params.items() if name.endswith(".w"))
        return float(self.l2 * sum(squares)) if self.l2 else 0.0

    def lower(self):
        """Return the loss as the engine reads it."""
        raise NotImplementedError


class SoftmaxCrossEntropy(Loss):
    """Softmax and cross-entropy: the mean over the batch of weight x cross-entropy.

    Parameters
    ----------
    class_weight : None, "balanced" or (K,) array
        The weight of each class; "balanced" is N / (K n_y) for the N labels that the loss is used on, of which n_y
        are of class y: the training labels in training, the validation labels in validation.
    label_smoothing : float
        The share of the target that is spread evenly over the classes, in [0, 1).
    l2 : float
        Times the sum of the squares of all weights is added: L2 in the cost, which is not weight decay.

    Notes
    -----
    The batch's sum is divided by its number of samples, not by the sum of their weights. The weighting by class is
    the assignment's equation (47) with p_y = 1 / (K n_y), times N.

    Soft targets t cost -sum_y t_y log p_y; with class weights w_y, -sum_y w_y t_y log p_y.

    Examples
    --------
    >>> import fastconv as fc
    >>> loss = fc.SoftmaxCrossEntropy(class_weight="balanced")
    >>> loss.sample_weights([0, 0, 0, 1], n_classes=2)
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """

    def __init__(self, class_weight=None, label_smoothing=0.0, l2=0.0):
        super().__init__(class_weight, l2)
        if not isinstance(label_smoothing, Real) or not 0 <= label_smoothing < 1:
            raise RangeError(f"SoftmaxCrossEntropy: label_smoothing lies in [0, 1), got {label_smoothing!r}")
        self.label_smoothing = float(label_smoothing)

    def lower(self):
        return "softmax_cross_entropy", self.l2, self.label_smoothing


class FocalLoss(Loss):
    """Cross-entropy of a softmax that counts less the likelier the right class is already: -(1 - p_y)^gamma log p_y.

    Parameters
    ----------
    gamma : float
        The focus, finite and >= 0; 0 is cross-entropy.
    class_weight, l2
        As for :class:`SoftmaxCrossEntropy`; the weights are the paper's alpha.

    Notes
    -----
    The paper has a sigmoid for each class; with a softmax over exclusive classes the same factor stands before the
    cross-entropy.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", 2017, equation (5).

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1), dtype="float64")
    >>> net.parameters[:] = 0
    >>> loss, _ = net.loss_and_gradients([[1.0]], [0], loss=fc.FocalLoss(gamma=2.0))
    >>> round(loss, 4)  # log(2) / 4
    0.1733
    """

    def __init__(self, gamma=2.0, class_weight=None, l2=0.0):
        self.gamma = self._number("gamma", gamma)
        super().__init__(class_weight, l2)

    def lower(self):
        return "focal", self.l2, self.gamma


class MeanSquaredError(Loss):
    """The mean over batch and outputs of the squared error, sum_k (z_k - t_k)^2 / K.

    Parameters
    ----------
    l2 : float
        As for :class:`SoftmaxCrossEntropy`.

    Notes
    -----
    Targets are (N, K) finite numbers; labels stand for one-hot rows.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1), dtype="float64")
    >>> net.parameters[:] = 0
    >>> net.loss_and_gradients([[1.0]], [[1.0, -3.0]], loss=fc.MeanSquaredError())[0]
    5.0
    """

    _signed = True

    def __init__(self, l2=0.0):
        super().__init__(None, l2)

    def lower(self):
        return "mean_squared_error", self.l2


class MultiClassHinge(Loss):
    """The hinge loss of a linear support vector machine of K classes: sum over c != y of max(0, 1 + z_c - z_y).

    Parameters
    ----------
    class_weight, l2
        As for :class:`SoftmaxCrossEntropy`. A dense layer with this loss and l2 = 1 / (2 N C) is the support vector
        machine with the constant C.

    Notes
    -----
    Every class that comes too near counts (Weston and Watkins), not only the nearest one (Crammer and Singer); for two
    classes that is the same.

    References
    ----------
    Weston and Watkins, "Support vector machines for multi-class pattern recognition", 1999, equation (3), with a
    margin of 1 where the paper has 2.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(3)], input=fc.VectorInput(1), dtype="float64")
    >>> net.parameters[:] = 0
    >>> net.loss_and_gradients([[1.0]], [0], loss=fc.MultiClassHinge())[0]
    2.0
    """

    def __init__(self, class_weight=None, l2=0.0):
        super().__init__(class_weight, l2)

    def lower(self):
        return "multi_class_hinge", self.l2


def _checked_weights(sample_weight, n):
    """Return the weights of `n` samples as float64, or raise an error that names what is wrong; None stays None."""
    if sample_weight is None:
        return None
    sample_weight = np.asarray(sample_weight)
    if sample_weight.dtype.kind not in "fiub":
        raise DTypeError(f"sample_weight: expected numbers, got dtype {sample_weight.dtype}")
    if sample_weight.shape != (n,):
        raise ShapeError(f"sample_weight: expected shape {(n,)}, got {sample_weight.shape}")
    if not np.all(np.isfinite(sample_weight)) or np.any(sample_weight < 0):
        raise RangeError("sample_weight: expected finite numbers >= 0")
    return sample_weight.astype(np.float64)
