"""Losses: descriptions; the engine computes them together with their gradient."""

import numpy as np

from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.imbalance import balanced_weights


def checked(loss, function):
    """Return `loss`, the default for None, or raise DTypeError if it is not a loss."""
    if loss is not None and not isinstance(loss, SoftmaxCrossEntropy):
        raise DTypeError(f"{function}: expected a loss, got {loss!r}")
    return SoftmaxCrossEntropy() if loss is None else loss


class SoftmaxCrossEntropy:
    """Softmax and cross-entropy: the mean over the batch of weight x cross-entropy.

    Parameters
    ----------
    class_weight : None, "balanced" or (K,) array
        The weight of each class; "balanced" is N / (K n_y) for the N labels that the loss is used on, of which n_y
        are of class y: the training labels in training, the validation labels in validation.
    label_smoothing : float
        The share of the target that is spread evenly over the classes, in [0, 1).

    Notes
    -----
    The batch's sum is divided by its number of samples, not by the sum of their weights. The weighting by class is
    the assignment's equation (47) with p_y = 1 / (K n_y), times N.

    Examples
    --------
    >>> import fastconv as fc
    >>> loss = fc.SoftmaxCrossEntropy(class_weight="balanced")
    >>> loss.sample_weights([0, 0, 0, 1], n_classes=2)
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """

    def __init__(self, class_weight=None, label_smoothing=0.0):
        if class_weight is not None and not (isinstance(class_weight, str) and class_weight == "balanced"):
            if isinstance(class_weight, str):
                raise RangeError(
                    f"SoftmaxCrossEntropy: class_weight is 'balanced', an array or None, got {class_weight!r}"
                )
            class_weight = np.array(class_weight, np.float64)
            if class_weight.ndim != 1 or not np.all(np.isfinite(class_weight)) or np.any(class_weight < 0):
                raise RangeError("SoftmaxCrossEntropy: class_weight must be one finite number >= 0 a class")
        if not 0 <= label_smoothing < 1:
            raise RangeError(f"SoftmaxCrossEntropy: label_smoothing lies in [0, 1), got {label_smoothing!r}")
        self.class_weight = class_weight
        self.label_smoothing = float(label_smoothing)

    def __repr__(self):
        return f"SoftmaxCrossEntropy(class_weight={self.class_weight!r}, label_smoothing={self.label_smoothing})"

    def resolve(self, labels, n_classes):
        """Return this loss with "balanced" replaced by the weights for `labels`."""
        if isinstance(self.class_weight, str):
            counts = np.bincount(labels, minlength=n_classes)
            return SoftmaxCrossEntropy(balanced_weights(counts), self.label_smoothing)
        return self

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
        weights = None
        if self.class_weight is not None:
            class_weight = self.resolve(labels, n_classes).class_weight
            if len(class_weight) != n_classes:
                raise ShapeError(
                    f"SoftmaxCrossEntropy: class_weight has {len(class_weight)} entries, expected {n_classes}"
                )
            weights = class_weight[labels]
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
            if sample_weight.dtype.kind not in "fiub":
                raise DTypeError(f"sample_weight: expected numbers, got dtype {sample_weight.dtype}")
            if sample_weight.shape != labels.shape:
                raise ShapeError(f"sample_weight: expected shape {labels.shape}, got {sample_weight.shape}")
            if not np.all(np.isfinite(sample_weight)) or np.any(sample_weight < 0):
                raise RangeError("sample_weight: expected finite numbers >= 0")
            weights = sample_weight.astype(np.float64) * (1.0 if weights is None else weights)
        return weights
