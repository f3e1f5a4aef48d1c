"""A NumPy twin of every kernel, by an obvious algorithm.

Nothing here is fast on purpose: one-hot columns are made dense and multiplied, and a
convolution is a sum over the filter's taps of a shifted slice times a matrix. Every function
returns new arrays, leaves its inputs alone and keeps their dtype (float32 or float64).

Convolutions, poolings, and normalisation with dropout have modules of their own; their names are
here too.

Letters in shapes: N batch, L length, C channels, K filter width, F filters, V alphabet size.
"""

import numpy as np
from scipy.special import expit

from fastconv.reference.convolution import (
    col2im,
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    embedding,
    embedding_backward,
    im2col,
    one_hot,
    onehot_conv1d,
    onehot_conv1d_backward,
    require_shape,
)
from fastconv.reference.normalisation import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    dropout,
    dropout_mask,
)
from fastconv.reference.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    global_max_pool1d,
    global_max_pool1d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
)

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "col2im",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "dense",
    "dense_backward",
    "dropout",
    "dropout_mask",
    "embedding",
    "embedding_backward",
    "encode",
    "global_max_pool1d",
    "global_max_pool1d_backward",
    "im2col",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "one_hot",
    "onehot_conv1d",
    "onehot_conv1d_backward",
    "relu",
    "relu_backward",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_cross_entropy",
    "tanh",
    "tanh_backward",
]


def encode(strings, symbols, length, keep="start", markers=False, byte_fallback=False):
    """Turn cleaned strings into rows of character codes.

    Parameters
    ----------
    strings : sequence of str
        N strings.
    symbols : str or sequence of str
        The alphabet: the i-th symbol has code i.
    length : int
        Length L of a row.
    keep : {"start", "end"}
        Which part of longer codes is kept.
    markers : bool
        Put the code behind the symbols' in front of a string, and the next one behind it.
    byte_fallback : bool
        Let a character outside the alphabet be the bytes of its UTF-8, of the 256 codes behind all others.

    Returns
    -------
    ndarray of int16, shape (N, length)
        -1 after a string's end and for characters outside the alphabet.

    Raises
    ------
    ValueError
        If a symbol is not one character, or appears twice.

    Examples
    --------
    >>> encode(["ab", "b?abb"], "ab", length=4)
    array([[ 0,  1, -1, -1],
           [ 1, -1,  0,  1]], dtype=int16)
    """
    symbols = list(symbols)
    for symbol in symbols:
        if len(symbol) != 1:
            raise ValueError(f"encode: symbol {symbol!r} has {len(symbol)} characters, expected 1")
        if symbols.count(symbol) > 1:
            raise ValueError(f"encode: symbol {symbol!r} appears {symbols.count(symbol)} times")
    codes = np.full((len(strings), length), -1, np.int16)
    marker, first_byte = len(symbols), len(symbols) + 2 * markers
    for row, string in zip(codes, strings, strict=True):
        found = [marker] if markers else []
        for character in string:
            if character in symbols:
                found.append(symbols.index(character))
            elif byte_fallback:
                found.extend(first_byte + byte for byte in character.encode("utf-8", "surrogatepass"))
            else:
                found.append(-1)
        if markers:
            found.append(marker + 1)
        kept = found[:length] if keep == "start" else found[-length:]
        row[: len(kept)] = kept
    return codes


def dense(x, w, b=None):
    """Affine map of every row.

    Parameters
    ----------
    x : ndarray of float, shape (N, in)
    w : ndarray of float, shape (in, out)
    b : ndarray of float, shape (out,), optional

    Returns
    -------
    ndarray of float, shape (N, out)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    array([[11.5]])
    """
    require_shape("dense", "x", x, (x.shape[0], w.shape[0]))
    y = np.einsum("ni,io->no", x, w)
    if b is not None:
        require_shape("dense", "b", b, (w.shape[1],))
        y += b
    return y


def dense_backward(dy, x, w):
    """Gradients of `dense` with respect to its input, weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, out)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, in)
    w : ndarray of float, shape (in, out)

    Returns
    -------
    dx : ndarray, shape (N, in)
    dw : ndarray, shape (in, out)
    db : ndarray, shape (out,)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> dx, dw, db = dense_backward(np.array([[10.0]]), x, w)
    >>> dx, dw.ravel(), db
    (array([[30., 40.]]), array([10., 20.]), array([10.]))
    """
    require_shape("dense_backward", "x", x, (x.shape[0], w.shape[0]))
    require_shape("dense_backward", "dy", dy, (x.shape[0], w.shape[1]))
    return np.einsum("no,io->ni", dy, w), np.einsum("ni,no->io", x, dy), dy.sum(axis=0)


def relu(x):
    """Rectified linear unit, max(0, x); NaN stays NaN.

    Parameters
    ----------
    x : ndarray of float, any shape

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return np.maximum(x, 0)


def relu_backward(dy, y):
    """Gradient of `relu` with respect to its input, from its output.

    Parameters
    ----------
    dy : ndarray of float
        Gradient with respect to the output.
    y : ndarray of float, same shape
        Output of `relu`.

    Returns
    -------
    ndarray, same shape and dtype as `dy`
        `dy` where y > 0, else zero (the gradient at 0 is taken as 0).

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> relu_backward(np.array([5.0, 7.0]), np.array([0.0, 2.0]))
    array([0., 7.])
    """
    require_shape("relu_backward", "dy", dy, y.shape)
    return np.where(y > 0, dy, 0)


def sigmoid(x):
    """Logistic function, 1 / (1 + exp(-x)).

    Parameters
    ----------
    x : ndarray of float, any shape

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> sigmoid(np.array([0.0, -1000.0]))
    array([0.5, 0. ])
    """
    return expit(x)


def sigmoid_backward(dy, y):
    """Gradient of `sigmoid` with respect to its input, from its output: dy y (1 - y).

    Parameters
    ----------
    dy : ndarray of float
        Gradient with respect to the output.
    y : ndarray of float, same shape
        Output of `sigmoid`.

    Returns
    -------
    ndarray, same shape and dtype

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> sigmoid_backward(np.array([8.0]), np.array([0.5]))
    array([2.])
    """
    require_shape("sigmoid_backward", "dy", dy, y.shape)
    return dy * y * (1 - y)


def tanh(x):
    """Hyperbolic tangent.

    Parameters
    ----------
    x : ndarray of float, any shape

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> tanh(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    return np.tanh(x)


def tanh_backward(dy, y):
    """Gradient of `tanh` with respect to its input, from its output: dy (1 - y^2).

    Parameters
    ----------
    dy : ndarray of float
        Gradient with respect to the output.
    y : ndarray of float, same shape
        Output of `tanh`.

    Returns
    -------
    ndarray, same shape and dtype

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> tanh_backward(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    require_shape("tanh_backward", "dy", dy, y.shape)
    return dy * (1 - y * y)


def softmax(z):
    """Softmax along the last axis, the maximum subtracted first.

    Parameters
    ----------
    z : ndarray of float, shape (..., classes)

    Returns
    -------
    ndarray, same shape and dtype
        Positive, summing to 1 along the last axis.

    Examples
    --------
    >>> softmax(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(logits, labels, sample_weight=None):
    """Weighted cross-entropy of the softmax of `logits`, and its gradient.

    Parameters
    ----------
    logits : ndarray of float, shape (N, classes)
    labels : ndarray of int, shape (N,)
        Index of the true class.
    sample_weight : ndarray of float, shape (N,), optional
        Weight of each example; 1 if not given.

    Returns
    -------
    loss : scalar of the dtype of `logits`
        Mean over the batch of weight times cross-entropy: divided by N, not by the sum of the
        weights. Zero for an empty batch.
    dlogits : ndarray, shape (N, classes)
        Gradient of `loss`.

    Raises
    ------
    ValueError
        If a label lies outside [0, classes) or a shape is wrong.

    Notes
    -----
    With p = softmax(logits): loss = -(1/N) sum over n of weight[n] log p[n, labels[n]], and
    dlogits[n] = weight[n] (p[n] - onehot(labels[n])) / N. The weights are those of eq. 47.

    Examples
    --------
    >>> loss, dlogits = softmax_cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(float(loss), 6), dlogits
    (0.693147, array([[ 0.5, -0.5]]))
    """
    n, classes = logits.shape
    labels = np.asarray(labels)
    require_shape("softmax_cross_entropy", "labels", labels, (n,))
    if n and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"softmax_cross_entropy: labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )
    weight = np.ones(n, logits.dtype)
    if sample_weight is not None:
        weight = np.asarray(sample_weight, logits.dtype)
        require_shape("softmax_cross_entropy", "sample_weight", weight, (n,))
    if n == 0:
        return logits.dtype.type(0), np.zeros_like(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    rows = np.arange(n)
    cross_entropy = np.log(total[:, 0]) - shifted[rows, labels]
    dlogits = e / total
    dlogits[rows, labels] -= 1
    dlogits *= weight[:, None] / n
    return (weight * cross_entropy).sum() / n, dlogits


def sgd(params, grads, velocity, learning_rate, momentum):
    """One update of stochastic gradient descent with momentum.

    Parameters
    ----------
    params, grads, velocity : ndarray of float, all of one shape
    learning_rate : float
    momentum : float

    Returns
    -------
    params, velocity : ndarray
        The new values; the inputs are left alone.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    v <- momentum v + learning_rate g; p <- p - v.

    Examples
    --------
    >>> p, v = sgd(np.array([1.0]), np.array([2.0]), np.array([0.5]), 0.25, 0.5)
    >>> p, v
    (array([0.25]), array([0.75]))
    """
    require_shape("sgd", "grads", grads, params.shape)
    require_shape("sgd", "velocity", velocity, params.shape)
    velocity = float(momentum) * velocity + float(learning_rate) * grads
    return params - velocity, velocity
