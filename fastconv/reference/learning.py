"""A NumPy twin of every loss and optimiser, by an obvious algorithm.

The gradient of a loss that is made of probabilities goes through the whole Jacobian matrix of the softmax, sample by
sample; that of the hinge is collected pair by pair. Every function returns new arrays, leaves its inputs alone and
keeps their dtype (float32 or float64).

Targets are (N, K) rows of numbers: `one_hot` rows for labels.
"""

import numpy as np

from fastconv.reference.kernels import softmax


def one_hot(labels, classes, dtype=np.float64):
    """Write labels as rows with a single one.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    classes : int
    dtype : dtype

    Returns
    -------
    ndarray, shape (N, classes)

    Examples
    --------
    >>> one_hot(np.array([1, 0]), 3)
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    return (np.asarray(labels)[:, None] == np.arange(classes)).astype(dtype)


def smoothed(targets, smoothing):
    """Take a share of every row's sum and spread it evenly over the row.

    Parameters
    ----------
    targets : ndarray, shape (N, K)
    smoothing : float
        The share, in [0, 1).

    Examples
    --------
    >>> smoothed(np.array([[0.0, 1.0]]), 0.5)
    array([[0.25, 0.75]])
    """
    return (1 - smoothing) * targets + smoothing * targets.mean(axis=1, keepdims=True)


def _through_softmax(p, dp):
    """Gradient by the logits of one sample: the Jacobian diag(p) - p p^T times that by the probabilities."""
    return (np.diag(p) - np.outer(p, p)) @ dp


def _mean(values, gradients, sample_weight):
    """Weighted mean of the samples' losses, and their gradients to match."""
    n = len(values)
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight)
    dtype = gradients.dtype
    return dtype.type(np.sum(weight * values) / n), (gradients * weight[:, None] / n).astype(dtype)


def focal_loss(logits, targets, gamma, sample_weight=None):
    """Focal loss, gamma = 0 being cross-entropy, and its gradient.

    Parameters
    ----------
    logits, targets : ndarray of float, shape (N, K)
    gamma : float
    sample_weight : ndarray of float, shape (N,), optional

    Returns
    -------
    loss : scalar of the dtype of `logits`
        -(1/N) sum_n weight[n] sum_k targets[n, k] (1 - p[n, k])^gamma log p[n, k], with p = softmax(logits).
    dlogits : ndarray, shape (N, K)

    Notes
    -----
    d/dp of -(1 - p)^gamma log p is gamma (1 - p)^(gamma - 1) log p - (1 - p)^gamma / p.

    Examples
    --------
    >>> loss, dlogits = focal_loss(np.zeros((1, 2)), np.array([[0.0, 1.0]]), gamma=0)
    >>> round(float(loss), 6), dlogits
    (0.693147, array([[ 0.5, -0.5]]))
    """
    p = softmax(logits)
    values = -np.sum(targets * (1 - p) ** gamma * np.log(p), axis=1)
    dp = targets * (gamma * (1 - p) ** (gamma - 1) * np.log(p) - (1 - p) ** gamma / p)
    return _mean(values, np.array([_through_softmax(*pair) for pair in zip(p, dp, strict=True)]), sample_weight)


def mean_squared_error(outputs, targets, sample_weight=None):
    """Mean squared error, and its gradient.

    Parameters
    ----------
    outputs, targets : ndarray of float, shape (N, K)
    sample_weight : ndarray of float, shape (N,), optional

    Returns
    -------
    loss : scalar of the dtype of `outputs`
        (1/N) sum_n weight[n] mean_k (outputs[n, k] - targets[n, k])^2.
    doutputs : ndarray, shape (N, K)

    Examples
    --------
    >>> loss, doutputs = mean_squared_error(np.array([[3.0, 1.0]]), np.array([[1.0, 1.0]]))
    >>> float(loss), doutputs
    (2.0, array([[2., 0.]]))
    """
    error = outputs - targets
    return _mean(np.mean(error**2, axis=1), 2 * error / outputs.shape[1], sample_weight)


def multi_class_hinge(scores, targets, sample_weight=None):
    """The hinge loss of Weston and Watkins, and its gradient.

    Parameters
    ----------
    scores, targets : ndarray of float, shape (N, K)
    sample_weight : ndarray of float, shape (N,), optional

    Returns
    -------
    loss : scalar of the dtype of `scores`
        (1/N) sum_n weight[n] sum_y targets[n, y] sum_{c != y} max(0, 1 + scores[n, c] - scores[n, y]).
    dscores : ndarray, shape (N, K)

    Examples
    --------
    >>> loss, dscores = multi_class_hinge(np.array([[0.5, 0.0]]), np.array([[1.0, 0.0]]))
    >>> float(loss), dscores
    (0.5, array([[-1.,  1.]]))
    """
    values, gradients = np.zeros(len(scores)), np.zeros_like(scores)
    for n, y, c in np.ndindex(*scores.shape, scores.shape[1]):
        margin = 1 + scores[n, c] - scores[n, y]
        if c != y and margin > 0:
            values[n] += targets[n, y] * margin
            gradients[n, c] += targets[n, y]
            gradients[n, y] -= targets[n, y]
    return _mean(values, gradients, sample_weight)


def sgd(p, g, state, rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    """One update of stochastic gradient descent with momentum.

    Parameters
    ----------
    p, g : ndarray of float
        Parameters and gradient, of one shape.
    state : list of ndarray
        The velocity.
    rate, momentum : float
    nesterov : bool
    weight_decay : float
        Decoupled: the weights shrink by rate * weight_decay of themselves.

    Returns
    -------
    p : ndarray
    state : list of ndarray

    Examples
    --------
    >>> sgd(np.array([1.0]), np.array([2.0]), [np.array([0.5])], 0.25, 0.5, nesterov=True)
    (array([0.125]), [array([0.75])])
    """
    (velocity,) = state
    velocity = momentum * velocity + rate * g
    step = momentum * velocity + rate * g if nesterov else velocity
    return (p - rate * weight_decay * p - step).astype(p.dtype), [velocity.astype(p.dtype)]


def rmsprop(p, g, state, rate, rho=0.9, momentum=0.0, eps=1e-8, weight_decay=0.0):
    """One update of RMSprop.

    Parameters
    ----------
    p, g : ndarray of float
    state : list of ndarray
        Velocity and mean square.
    rate, rho, momentum, eps, weight_decay : float

    Returns
    -------
    p : ndarray
    state : list of ndarray

    Examples
    --------
    >>> p, (v, s) = rmsprop(np.array([1.0]), np.array([2.0]), [np.array([0.0]), np.array([4.0])], 0.5, eps=0)
    >>> p, v, s
    (array([0.5]), array([0.5]), array([4.]))
    """
    velocity, square = state
    square = rho * square + (1 - rho) * g**2
    velocity = momentum * velocity + rate * g / (np.sqrt(square) + eps)
    state = [velocity.astype(p.dtype), square.astype(p.dtype)]
    return (p - rate * weight_decay * p - velocity).astype(p.dtype), state


def adam(p, g, state, rate, update, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """One update of Adam, or with weight decay of AdamW.

    Parameters
    ----------
    p, g : ndarray of float
    state : list of ndarray
        Mean and mean square of the gradients.
    rate : float
    update : int
        How many updates were made before.
    betas : (float, float)
    eps, weight_decay : float

    Returns
    -------
    p : ndarray
    state : list of ndarray

    Examples
    --------
    >>> p, (m, s) = adam(np.array([1.0]), np.array([3.0]), [np.zeros(1), np.zeros(1)], 0.5, 0, (0.5, 0.75), eps=0)
    >>> p, m, s
    (array([0.5]), array([1.5]), array([2.25]))
    """
    (mean, square), (beta1, beta2) = state, betas
    mean = beta1 * mean + (1 - beta1) * g
    square = beta2 * square + (1 - beta2) * g**2
    unbiased_mean, unbiased_square = mean / (1 - beta1 ** (update + 1)), square / (1 - beta2 ** (update + 1))
    step = rate * unbiased_mean / (np.sqrt(unbiased_square) + eps)
    return (p - rate * weight_decay * p - step).astype(p.dtype), [mean.astype(p.dtype), square.astype(p.dtype)]
