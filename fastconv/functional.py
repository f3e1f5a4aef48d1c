"""Functions on arrays: every kernel by itself, forward and backward, with checked shapes.

Each runs a plan of one operation on the engine, so what is checked here is what a network runs. Only :func:`im2col`
and :func:`col2im` are kernels that no network needs.

Dimensions: N samples, L positions, H lines, W pixels of a line, C channels, K (KH, KW) filter width, V alphabet, F
filters, P (PH, PW) outputs. Arrays are float32 or float64; mixed dtypes become float64. No input is modified.
"""

import math
import operator
import sys
from numbers import Real

import numpy as np

from fastconv import engine, losses, optim
from fastconv.arrays import aligned_zeros, checked_seed, codes_array, contiguous, floats_array, labels_array, whole
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.geometry import paddings, pair, windows
from fastconv.kernels import im2col as columns

__all__ = [
    "adam",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "col2im",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "dense",
    "dense_backward",
    "dropout",
    "embedding",
    "embedding_backward",
    "focal_loss",
    "global_max_pool1d",
    "global_max_pool1d_backward",
    "im2col",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mean_squared_error",
    "multi_class_hinge",
    "onehot_conv1d",
    "onehot_conv1d_backward",
    "relu",
    "relu_backward",
    "rmsprop",
    "sgd",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_cross_entropy",
    "tanh",
    "tanh_backward",
]  # fmt: skip


def _floats(function, **arrays):
    """Return the given arrays as one floating-point dtype; biases that are None stay None."""
    given = {name: np.asarray(a) for name, a in arrays.items() if a is not None or name != "b"}
    single = all(a.dtype in (np.float32, np.float16) for a in given.values())
    dtype = np.float32 if single else np.float64
    return [floats_array(given[name], dtype, function, name) if name in given else None for name in arrays]


def _shape(function, name, array, expected):
    """Check a shape against one that holds numbers and, for what is free, letters."""
    fits = array.ndim == len(expected)
    fits = fits and all(isinstance(e, str) or e == n for e, n in zip(expected, array.shape, strict=True))
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ShapeError(f"{function}: expected {name} of shape ({wanted}), got {array.shape}")


class _Op:
    """A plan of one operation, the parameters in one vector, and calls that take and give arrays."""

    def __init__(self, op, shape, dtype, parameters=(), codes=False, backward=True):
        self.program = engine.Program([op] if op else [], shape, codes, dtype == np.float32, backward and not codes)
        self.parameters = aligned_zeros(self.program.size, dtype)
        np.concatenate([p.ravel() for p in parameters] or [self.parameters], out=self.parameters)

    def forward(self, x, threads, **options):
        y = np.empty((len(x), *self.program.output_shape), self.parameters.dtype)
        self.program.forward(x, self.parameters, y, threads=engine.threads(threads), **options)
        return y

    def backward(self, dy, x, threads, dx=None, **options):
        flat = aligned_zeros(self.program.size, self.parameters.dtype)
        self.program.backward(x, self.parameters, dy, flat, dx, engine.threads(threads), **options)
        return [flat[at : at + math.prod(shape)].reshape(shape) for _, _, at, shape in self.program.slots]


AXES = {1: ("L",), 2: ("H", "W")}


def _slides(function, name, shape, kernel, stride, padding, dilation):
    """Return the outputs of each axis and the engine's window for the positions or pixels of `shape`."""
    rank = len(kernel)
    stride, dilation = pair(f"{function}: stride", stride, rank), pair(f"{function}: dilation", dilation, rank)
    try:
        return windows(shape, kernel, stride, paddings(f"{function}: padding", padding, rank), dilation)
    except ShapeError as error:
        raise ShapeError(f"{function}: {name} of {shape} does not fit filters of {kernel}: {error}") from None


def _convolution(function, x, w, b, stride, padding, dilation, backward=False):
    """Check a convolution's operands; return them and its plan."""
    codes = function.startswith("onehot")
    if codes:
        w, b = _floats(function, w=w, b=b)
    else:
        x, w, b = _floats(function, x=x, w=w, b=b)
    rank = 2 if "2d" in function else 1
    _shape(function, "w", w, ("K", "V" if codes else "C", "F") if rank == 1 else ("KH", "KW", "C", "F"))
    *kernel, channels, filters = w.shape
    if min(w.shape) < 1:
        raise ShapeError(f"{function}: w has an empty axis: {w.shape}")
    if codes:
        x = np.asarray(x)
        _shape(function, "codes", x, ("N", "L"))
        x = codes_array(x, channels, function)
    else:
        _shape(function, "x", x, ("N", *AXES[rank], channels))
    if min(x.shape[1:]) < 1:
        raise ShapeError(f"{function}: {'codes' if codes else 'x'} has an empty axis: {x.shape}")
    if b is not None:
        _shape(function, "b", b, (filters,))
    shape = x.shape[1 : rank + 1]
    _, window = _slides(function, "codes" if codes else "x", shape, tuple(kernel), stride, padding, dilation)
    op = (function.removesuffix("_backward"), filters, window, b is not None)
    return x, w, _Op(op, (*shape, channels), w.dtype, [w] if b is None else [w, b], codes, backward)


def _convolution_backward(function, dy, x, w, stride, padding, dilation, threads):
    """Return dx (None for codes), dw and db."""
    codes = function.startswith("onehot")
    if codes:
        dy, w = _floats(function, dy=dy, w=w)
    else:
        dy, x, w = _floats(function, dy=dy, x=x, w=w)
    x, w, op = _convolution(function, x, w, np.zeros(w.shape[-1:], w.dtype), stride, padding, dilation, True)
    _shape(function, "dy", dy, (len(x), *op.program.output_shape))
    dx = None if codes else np.empty_like(x)
    return (dx, *op.backward(dy, x, threads, dx))


def onehot_conv1d(codes, w, b=None, stride=1, padding=0, dilation=1, threads=None):
    """Convolve one-hot columns, given as codes, with filters.

    Parameters
    ----------
    codes : (N, L) int
        Indices in 0..V-1; -1 is an all-zero column.
    w : (K, V, F) float32 or float64
    b : (F,), optional
    stride, dilation : int
    padding : int, "valid" or "same"
        Zero columns at either end; "same": as many as give ceil(L / stride) outputs.
    threads : int, optional

    Returns
    -------
    (N, P, F) array
        y[i, p, f] = b[f] + sum_k w[k, codes[i, p * stride + k * dilation - padding], f].

    Raises
    ------
    ShapeError, DTypeError, RangeError

    Notes
    -----
    The assignment's equation (26) with the matrix of equation (23) never formed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import onehot_conv1d
    >>> onehot_conv1d([[0, 1, -1]], np.array([[[1.0], [2.0]], [[10.0], [20.0]]])).tolist()
    [[[21.0], [2.0]]]
    """
    x, _, op = _convolution("onehot_conv1d", codes, w, b, stride, padding, dilation)
    return op.forward(x, threads)


def onehot_conv1d_backward(dy, codes, w, stride=1, padding=0, dilation=1, threads=None):
    """Return the gradients (dw, db) of :func:`onehot_conv1d`.

    Parameters
    ----------
    dy : (N, P, F)
        Gradient by the output.
    codes : (N, L) int
    w : (K, V, F)
    stride, padding, dilation, threads
        As in :func:`onehot_conv1d`.

    Returns
    -------
    dw : (K, V, F)
    db : (F,)
    """
    return _convolution_backward("onehot_conv1d_backward", dy, codes, w, stride, padding, dilation, threads)[1:]


def conv1d(x, w, b=None, stride=1, padding=0, dilation=1, threads=None):
    """Convolve sequences with filters: cross-correlation.

    Parameters
    ----------
    x : (N, L, C) float32 or float64
    w : (K, C, F)
    b : (F,), optional
    stride, padding, dilation, threads
        As in :func:`onehot_conv1d`.

    Returns
    -------
    (N, P, F) array
        y[i, p, f] = b[f] + sum_{k, c} x[i, p * stride + k * dilation - padding, c] w[k, c, f].

    Raises
    ------
    ShapeError, DTypeError, RangeError

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import conv1d
    >>> conv1d(np.array([[[1.0], [2.0], [4.0]]]), np.array([[[1.0]], [[-1.0]]])).tolist()
    [[[-1.0], [-2.0]]]
    """
    x, _, op = _convolution("conv1d", x, w, b, stride, padding, dilation)
    return op.forward(x, threads)


def conv1d_backward(dy, x, w, stride=1, padding=0, dilation=1, threads=None):
    """Return the gradients (dx, dw, db) of :func:`conv1d`.

    Parameters
    ----------
    dy : (N, P, F)
        Gradient by the output.
    x : (N, L, C)
    w : (K, C, F)
    stride, padding, dilation, threads
        As in :func:`onehot_conv1d`.

    Returns
    -------
    dx : (N, L, C)
        M_F^T g in the assignment's notation.
    dw : (K, C, F)
        The assignment's equation (46), V = M_x^T G.
    db : (F,)
    """
    return _convolution_backward("conv1d_backward", dy, x, w, stride, padding, dilation, threads)


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, threads=None):
    """Convolve images with filters: cross-correlation.

    Parameters
    ----------
    x : (N, H, W, C) float32 or float64
    w : (KH, KW, C, F)
    b : (F,), optional
    stride, dilation : int or (int, int)
    padding : int, (int, int), "valid" or "same"
        Zero lines above and below, zero pixels left and right; "same": as many as give ceil(size / stride) outputs, an
        odd one below or right.
    threads : int, optional

    Returns
    -------
    (N, PH, PW, F) array
        y[i, p, q, f] = b[f] + sum_{u, v, c} x[i, p * stride + u * dilation - padding, ..., c] w[u, v, c, f].

    Raises
    ------
    ShapeError, DTypeError, RangeError

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import conv2d
    >>> conv2d(np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1)))[0, :, :, 0].tolist()
    [[8.0, 12.0], [20.0, 24.0]]
    """
    x, _, op = _convolution("conv2d", x, w, b, stride, padding, dilation)
    return op.forward(x, threads)


def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, threads=None):
    """Return the gradients (dx, dw, db) of :func:`conv2d`.

    Parameters
    ----------
    dy : (N, PH, PW, F)
        Gradient by the output.
    x : (N, H, W, C)
    w : (KH, KW, C, F)
    stride, padding, dilation, threads
        As in :func:`conv2d`.

    Returns
    -------
    dx : (N, H, W, C)
    dw : (KH, KW, C, F)
    db : (F,)
    """
    return _convolution_backward("conv2d_backward", dy, x, w, stride, padding, dilation, threads)


def embedding(codes, w, threads=None):
    """Return the vector of each code, zeros for -1.

    Parameters
    ----------
    codes : (N, L) int
        Indices in 0..V-1, or -1.
    w : (V, D) float32 or float64
    threads : int, optional

    Returns
    -------
    (N, L, D) array

    Examples
    --------
    >>> from fastconv.functional import embedding
    >>> embedding([[1, -1]], [[1.0, 2.0], [3.0, 4.0]]).tolist()
    [[[3.0, 4.0], [0.0, 0.0]]]
    """
    (w,) = _floats("embedding", w=w)
    _shape("embedding", "w", w, ("V", "D"))
    return onehot_conv1d(codes, w[None], threads=threads)


def embedding_backward(dy, codes, w, threads=None):
    """Return the gradient dw (V, D) of :func:`embedding` for dy (N, L, D)."""
    (w,) = _floats("embedding_backward", w=w)
    _shape("embedding_backward", "w", w, ("V", "D"))
    return onehot_conv1d_backward(dy, codes, w[None], threads=threads)[0][0]


def _pooling(function, x, size, stride):
    """Check a pooling's operands; return x and its plan."""
    (x,) = _floats(function, x=x)
    rank = 2 if "2d" in function else 1
    _shape(function, "x", x, ("N", *AXES[rank], "C"))
    if min(x.shape[1:]) < 1:
        raise ShapeError(f"{function}: x has an empty axis: {x.shape}")
    size = pair(f"{function}: pool_size", size, rank)
    _, window = _slides(function, "x", x.shape[1:-1], size, size if stride is None else stride, 0, 1)
    return x, _Op(("max_pool" if function.startswith("max") else "avg_pool", window), x.shape[1:], x.dtype)


def _pooling_backward(function, dy, x, size, stride, threads):
    dy, x = _floats(function, dy=dy, x=x)
    x, op = _pooling(function, x, size, stride)
    _shape(function, "dy", dy, (len(x), *op.program.output_shape))
    dx = np.empty_like(x)
    op.backward(dy, x, threads, dx)
    return dx


def max_pool1d(x, pool_size=2, stride=None, threads=None):
    """Return the largest of each window of positions, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    x : (N, L, C) float32 or float64
    pool_size : int
    stride : int, optional
        By default `pool_size`.
    threads : int, optional

    Returns
    -------
    (N, P, C) array

    Examples
    --------
    >>> from fastconv.functional import max_pool1d
    >>> max_pool1d([[[1.0], [3.0], [2.0], [0.0], [9.0]]]).tolist()
    [[[3.0], [2.0]]]
    """
    x, op = _pooling("max_pool1d", x, pool_size, stride)
    return op.forward(x, threads)


def max_pool1d_backward(dy, x, pool_size=2, stride=None, threads=None):
    """Return the gradient of :func:`max_pool1d` by x: dy goes to the first of the largest of each window."""
    return _pooling_backward("max_pool1d_backward", dy, x, pool_size, stride, threads)


def max_pool2d(x, pool_size=2, stride=None, threads=None):
    """Return the largest of each window of pixels, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    x : (N, H, W, C) float32 or float64
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        By default `pool_size`.
    threads : int, optional

    Returns
    -------
    (N, PH, PW, C) array

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import max_pool2d
    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    x, op = _pooling("max_pool2d", x, pool_size, stride)
    return op.forward(x, threads)


def max_pool2d_backward(dy, x, pool_size=2, stride=None, threads=None):
    """Return the gradient of :func:`max_pool2d` by x: dy goes to the first of the largest of each window."""
    return _pooling_backward("max_pool2d_backward", dy, x, pool_size, stride, threads)


def avg_pool2d(x, pool_size=2, stride=None, threads=None):
    """Return the mean of each window of pixels, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    x : (N, H, W, C) float32 or float64
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        By default `pool_size`.
    threads : int, optional

    Returns
    -------
    (N, PH, PW, C) array

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import avg_pool2d
    >>> avg_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    x, op = _pooling("avg_pool2d", x, pool_size, stride)
    return op.forward(x, threads)


def avg_pool2d_backward(dy, x, pool_size=2, stride=None, threads=None):
    """Return the gradient of :func:`avg_pool2d` by x."""
    return _pooling_backward("avg_pool2d_backward", dy, x, pool_size, stride, threads)


def _sequence(function, x, lengths):
    (x,) = _floats(function, x=x)
    _shape(function, "x", x, ("N", "L", "C"))
    if min(x.shape[1:]) < 1:
        raise ShapeError(f"{function}: x has an empty axis: {x.shape}")
    if lengths is not None:
        lengths = labels_array(lengths, len(x), x.shape[1] + 1, f"{function}: lengths")
    return x, lengths, _Op(("global_max_pool1d",), x.shape[1:], x.dtype)


def global_max_pool1d(x, lengths=None, threads=None):
    """Return the largest of each channel over the positions of a sequence.

    Parameters
    ----------
    x : (N, L, C) float32 or float64
    lengths : (N,) int, optional
        The positions of each sequence that count, 0..L; all by default. Of none the largest is 0.
    threads : int, optional

    Returns
    -------
    (N, C) array

    Examples
    --------
    >>> from fastconv.functional import global_max_pool1d
    >>> global_max_pool1d([[[1.0], [3.0], [9.0]]], lengths=[2]).tolist()
    [[3.0]]
    """
    x, lengths, op = _sequence("global_max_pool1d", x, lengths)
    return op.forward(x, threads, lengths=lengths)


def global_max_pool1d_backward(dy, x, lengths=None, threads=None):
    """Return the gradient of :func:`global_max_pool1d` by x: dy goes to the first of the largest."""
    name = "global_max_pool1d_backward"
    dy, x = _floats(name, dy=dy, x=x)
    x, lengths, op = _sequence(name, x, lengths)
    _shape(name, "dy", dy, (len(x), x.shape[2]))
    dx = np.empty_like(x)
    op.backward(dy, x, threads, dx, lengths=lengths)
    return dx


def _normalisation(function, x, gamma, beta, eps):
    """Check the operands of batch normalisation; return x as it came, as the plan reads it, and the plan."""
    if x.ndim < 2 or min(x.shape) < 1:
        raise ShapeError(f"{function}: expected x of shape (N, ..., C) without an empty axis, got {x.shape}")
    for name, array in (("gamma", gamma), ("beta", beta)):
        _shape(function, name, array, x.shape[-1:])
    if not isinstance(eps, Real) or not 0 < eps < math.inf:
        raise RangeError(f"{function}: eps is positive, got {eps!r}")
    rows = x.reshape(len(x), -1, x.shape[-1])
    return rows, _Op(("batch_norm", 0.0, float(eps)), rows.shape[1:], x.dtype, [gamma, beta])


def batch_norm(x, gamma, beta, eps=1e-5, threads=None):
    """Normalise each channel by the batch's mean and variance.

    Parameters
    ----------
    x : (N, ..., C) float32 or float64
    gamma, beta : (C,)
    eps : float
    threads : int, optional

    Returns
    -------
    y : array of x's shape
        gamma (x - mean) / sqrt(var + eps) + beta.
    mean, var : (C,)
        Over all axes but the last; the variance is divided by the number of elements n, not n - 1.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1.

    Examples
    --------
    >>> from fastconv.functional import batch_norm
    >>> y, mean, var = batch_norm([[1.0], [3.0]], [2.0], [1.0], eps=1e-12)
    >>> y.round(6).tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [3.0]], [2.0], [1.0])
    """
    x, gamma, beta = _floats("batch_norm", x=x, gamma=gamma, beta=beta)
    rows, op = _normalisation("batch_norm", x, gamma, beta, eps)
    y, state = np.empty_like(rows), aligned_zeros(2 * x.shape[-1], x.dtype)
    op.backward(None, rows, threads, y=y, state=state)
    return y.reshape(x.shape), *state.reshape(2, -1)


def batch_norm_backward(dy, x, gamma, eps=1e-5, threads=None):
    """Return the gradients (dx, dgamma, dbeta) of :func:`batch_norm` for dy of x's shape."""
    name = "batch_norm_backward"
    dy, x, gamma = _floats(name, dy=dy, x=x, gamma=gamma)
    _shape(name, "dy", dy, x.shape)
    rows, op = _normalisation(name, x, gamma, np.zeros_like(gamma), eps)
    dx = np.empty_like(rows)
    dgamma, dbeta = op.backward(dy.reshape(rows.shape), rows, threads, dx)
    return dx.reshape(x.shape), dgamma, dbeta


def _product(function, x, w, b):
    x, w, b = _floats(function, x=x, w=w, b=b)
    _shape(function, "w", w, ("D", "U"))
    if min(w.shape) < 1:
        raise ShapeError(f"{function}: w has an empty axis: {w.shape}")
    _shape(function, "x", x, ("N", w.shape[0]))
    if b is not None:
        _shape(function, "b", b, (w.shape[1],))
    op = _Op(("dense", w.shape[1], b is not None), w.shape[:1], w.dtype, [w] if b is None else [w, b])
    return x, op


def dense(x, w, b=None, threads=None):
    """Return x w + b.

    Parameters
    ----------
    x : (N, D) float32 or float64
    w : (D, U)
    b : (U,), optional
    threads : int, optional

    Returns
    -------
    (N, U) array

    Examples
    --------
    >>> from fastconv.functional import dense
    >>> dense([[1.0, 2.0]], [[1.0], [10.0]], [0.5]).tolist()
    [[21.5]]
    """
    x, op = _product("dense", x, w, b)
    return op.forward(x, threads)


def dense_backward(dy, x, w, threads=None):
    """Return the gradients (dx, dw, db) of :func:`dense`: dy w^T, x^T dy and the sum of dy over the samples.

    Parameters
    ----------
    dy : (N, U)
    x : (N, D)
    w : (D, U)
    threads : int, optional
    """
    dy, x, w = _floats("dense_backward", dy=dy, x=x, w=w)
    x, op = _product("dense_backward", x, w, np.zeros(w.shape[-1], w.dtype))
    _shape("dense_backward", "dy", dy, (len(x), w.shape[1]))
    dx = np.empty_like(x)
    return (dx, *op.backward(dy, x, threads, dx))


def _elementwise(op, x, threads, dy=None, **options):
    """Return the output of an operation on an array of any shape, or for dy the gradient by its input."""
    if x.size == 0:
        return x.copy()
    rows = x.reshape(len(x), -1) if x.ndim > 1 else x.reshape(1, -1)
    plan, result = _Op(op, rows.shape[1:], x.dtype), np.empty_like(rows)
    if dy is None:
        plan.backward(None, rows, threads, y=result, **options)
    else:
        plan.backward(dy, rows, threads, result, **options)
    return result.reshape(x.shape)


def _elementwise_backward(op, dy, x, threads):
    name = f"{op}_backward"
    dy, x = _floats(name, dy=dy, x=x)
    _shape(name, "dy", dy, x.shape)
    return _elementwise((op,), x, threads, dy)


def relu(x, threads=None):
    """Return max(0, x), of any shape; a NaN stays a NaN.

    Examples
    --------
    >>> from fastconv.functional import relu
    >>> relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    return _elementwise(("relu",), *_floats("relu", x=x), threads)


def relu_backward(dy, x, threads=None):
    """Return the gradient of :func:`relu` by its input: dy where x > 0, else 0."""
    return _elementwise_backward("relu", dy, x, threads)


def sigmoid(x, threads=None):
    """Return 1 / (1 + exp(-x)), of any shape.

    Examples
    --------
    >>> from fastconv.functional import sigmoid
    >>> sigmoid([0.0]).tolist()
    [0.5]
    """
    return _elementwise(("sigmoid",), *_floats("sigmoid", x=x), threads)


def sigmoid_backward(dy, x, threads=None):
    """Return the gradient of :func:`sigmoid` by its input: dy y (1 - y)."""
    return _elementwise_backward("sigmoid", dy, x, threads)


def tanh(x, threads=None):
    """Return the hyperbolic tangent of x, of any shape.

    Examples
    --------
    >>> from fastconv.functional import tanh
    >>> tanh([0.0]).tolist()
    [0.0]
    """
    return _elementwise(("tanh",), *_floats("tanh", x=x), threads)


def tanh_backward(dy, x, threads=None):
    """Return the gradient of :func:`tanh` by its input: dy (1 - y^2)."""
    return _elementwise_backward("tanh", dy, x, threads)


def dropout(x, rate=0.5, seed=0, threads=None):
    """Return x / (1 - rate) with each element zero with probability `rate`; it is its own gradient.

    Parameters
    ----------
    x : (N, ...) float32 or float64
    rate : float
        In [0, 1).
    seed : int
        The same seed drops the same elements of an array of the same shape.
    threads : int, optional

    References
    ----------
    Srivastava et al., "Dropout", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import dropout
    >>> sorted(set(dropout(np.ones((10, 10)), 0.5).ravel().tolist()))
    [0.0, 2.0]
    """
    (x,) = _floats("dropout", x=x)
    if not isinstance(rate, Real) or not 0 <= rate < 1:
        raise RangeError(f"dropout: rate lies in [0, 1), got {rate!r}")
    return _elementwise(("dropout", float(rate)), x, threads, seed=checked_seed("dropout", seed) % 2**64)


def softmax(x, threads=None):
    """Return exp(x - max x) / sum exp(x - max x) over the last axis of x (N, K).

    Examples
    --------
    >>> from fastconv.functional import softmax
    >>> softmax([[1000.0, 1000.0]]).tolist()
    [[0.5, 0.5]]
    """
    (x,) = _floats("softmax", x=x)
    _shape("softmax", "x", x, ("N", "K"))
    if x.shape[1] < 1:
        raise ShapeError(f"softmax: x has no classes: {x.shape}")
    return _Op(None, x.shape[1:], x.dtype).forward(x, threads, probabilities=True)


def run_loss(loss, outputs, labels, targets, weights, threads):
    """Return a loss and its gradient by the outputs, (N, K), given the arrays of :meth:`losses.Loss.arrays`.

    L2 in the cost is left out: there are no weights.
    """
    op = _Op(None, outputs.shape[1:], outputs.dtype)  # no layers: no parameters, no gradient by them
    gradient = np.empty_like(outputs)
    value, _ = op.program.gradient(
        outputs, op.parameters, loss.lower(), labels, targets, weights, op.parameters, gradient, engine.threads(threads)
    )
    return value, gradient


def _loss(function, loss, name, outputs, y, sample_weight, threads):
    (outputs,) = _floats(function, **{name: outputs})
    _shape(function, name, outputs, ("N", "K"))
    if min(outputs.shape) < 1:
        raise ShapeError(f"{function}: {name} are empty: {outputs.shape}")
    return run_loss(loss, outputs, *loss.arrays(y, *outputs.shape, outputs.dtype, sample_weight, function), threads)


def softmax_cross_entropy(logits, y, sample_weight=None, label_smoothing=0.0, threads=None):
    """Return the loss and its gradient by the logits, computed in one pass.

    Parameters
    ----------
    logits : (N, K) float32 or float64
        At least one sample.
    y : (N,) int or (N, K)
        Labels, 0..K-1, or soft targets >= 0.
    sample_weight : (N,), optional
        Finite, >= 0.
    label_smoothing : float
        Share of the target spread evenly over the classes, in [0, 1).
    threads : int, optional

    Returns
    -------
    loss : float
        Mean over the N samples of weight x cross-entropy.
    dlogits : (N, K)

    See Also
    --------
    fastconv.SoftmaxCrossEntropy : the equations, as of each loss below.

    Examples
    --------
    >>> from fastconv.functional import softmax_cross_entropy
    >>> loss, dlogits = softmax_cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 4), dlogits.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    loss = losses.SoftmaxCrossEntropy(label_smoothing=label_smoothing)
    return _loss("softmax_cross_entropy", loss, "logits", logits, y, sample_weight, threads)


def focal_loss(logits, y, sample_weight=None, gamma=2.0, threads=None):
    """Return the mean over the samples of weight x -(1 - p_y)^gamma log p_y, p = softmax(logits), and its gradient.

    Parameters
    ----------
    logits, y, sample_weight, threads
        As for :func:`softmax_cross_entropy`.
    gamma : float
        Finite, >= 0.

    Returns
    -------
    loss : float
    dlogits : (N, K)

    Examples
    --------
    >>> from fastconv.functional import focal_loss
    >>> loss, dlogits = focal_loss([[0.0, 0.0]], [1], gamma=1.0)
    >>> round(loss, 4), dlogits.round(4).tolist()
    (0.3466, [[0.4233, -0.4233]])
    """
    return _loss("focal_loss", losses.FocalLoss(gamma), "logits", logits, y, sample_weight, threads)


def mean_squared_error(outputs, y, sample_weight=None, threads=None):
    """Return the mean over the samples of weight x sum_k (outputs_k - y_k)^2 / K, and its gradient.

    Parameters
    ----------
    outputs : (N, K) float32 or float64
        At least one sample.
    y : (N, K) or (N,) int
        Finite numbers, or labels 0..K-1 that stand for one-hot rows.
    sample_weight, threads
        As for :func:`softmax_cross_entropy`.

    Returns
    -------
    loss : float
    doutputs : (N, K)

    Examples
    --------
    >>> from fastconv.functional import mean_squared_error
    >>> loss, doutputs = mean_squared_error([[1.0, 3.0]], [[1.0, -1.0]])
    >>> loss, doutputs.tolist()
    (8.0, [[0.0, 4.0]])
    """
    return _loss("mean_squared_error", losses.MeanSquaredError(), "outputs", outputs, y, sample_weight, threads)


def multi_class_hinge(scores, y, sample_weight=None, threads=None):
    """Return the mean over the samples of weight x sum_{c != y} max(0, 1 + scores_c - scores_y), and its gradient.

    Parameters
    ----------
    scores, y, sample_weight, threads
        As the arguments of :func:`softmax_cross_entropy`.

    Returns
    -------
    loss : float
    dscores : (N, K)

    Examples
    --------
    >>> from fastconv.functional import multi_class_hinge
    >>> loss, dscores = multi_class_hinge([[0.5, 0.0, -2.0]], [0])
    >>> loss, dscores.tolist()
    (0.5, [[-1.0, 1.0, 0.0]])
    """
    return _loss("multi_class_hinge", losses.MultiClassHinge(), "scores", scores, y, sample_weight, threads)


def _update(function, optimizer, params, grads, state, update=0):
    """Return the parameters and each array of the optimiser's state after an update."""
    params, grads, *arrays = _floats(function, params=params, grads=grads, **state)
    for name, array in zip(("grads", *state), (grads, *arrays), strict=True):
        _shape(function, name, array, params.shape)
    params, state = params.copy(), np.stack(arrays)
    engine.Program.update(optimizer.lower(), params, state, grads, optimizer.rate(update), update)
    return params, *state


def sgd(params, grads, velocity, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Return parameters and velocity after an update: v = momentum * v + lr * g; p = p - v.

    Parameters
    ----------
    params, grads, velocity : arrays of one shape, float32 or float64
    learning_rate, momentum : float
    nesterov : bool
        p = p - (momentum * v + lr * g) instead, with the new v.
    weight_decay : float
        Also p = p - lr * weight_decay * p.

    Returns
    -------
    params, velocity : arrays

    Examples
    --------
    >>> from fastconv.functional import sgd
    >>> p, v = sgd([1.0], [2.0], [4.0], learning_rate=0.25, momentum=0.5)
    >>> p.tolist(), v.tolist()
    ([-1.5], [2.5])
    """
    optimizer = optim.SGD(learning_rate, momentum, nesterov, weight_decay)
    return _update("sgd", optimizer, params, grads, dict(velocity=velocity))


def rmsprop(params, grads, velocity, square, learning_rate, rho=0.9, momentum=0.0, eps=1e-8, weight_decay=0.0):
    """Return parameters, velocity and mean square after an update.

    square = rho * square + (1 - rho) * g^2; v = momentum * v + lr * g / (sqrt(square) + eps); p = p - v.

    Parameters
    ----------
    params, grads, velocity, square : arrays of one shape, float32 or float64
    learning_rate, rho, momentum, eps : float
    weight_decay : float
        Also p = p - lr * weight_decay * p.

    Returns
    -------
    params, velocity, square : arrays

    Examples
    --------
    >>> from fastconv.functional import rmsprop
    >>> p, v, s = rmsprop([1.0], [2.0], [0.0], [4.0], learning_rate=0.5, rho=0.5)
    >>> p.round(6).tolist(), v.round(6).tolist(), s.tolist()
    ([0.5], [0.5], [4.0])
    """
    optimizer = optim.RMSprop(learning_rate, rho, momentum, eps, weight_decay)
    return _update("rmsprop", optimizer, params, grads, dict(velocity=velocity, square=square))


def adam(params, grads, mean, square, learning_rate, update=0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """Return parameters, mean and mean square after update t - 1, counted from 0.

    mean = beta1 * mean + (1 - beta1) * g; square = beta2 * square + (1 - beta2) * g^2;
    p = p - lr * mean / (1 - beta1^t) / (sqrt(square / (1 - beta2^t)) + eps).

    Parameters
    ----------
    params, grads, mean, square : arrays of one shape, float32 or float64
    learning_rate : float
    update : int
    betas : (float, float)
    eps : float
    weight_decay : float
        AdamW: also p = p - lr * weight_decay * p.

    Returns
    -------
    params, mean, square : arrays

    Examples
    --------
    >>> from fastconv.functional import adam
    >>> p, m, s = adam([1.0], [-3.0], [0.0], [0.0], learning_rate=0.5, betas=(0.5, 0.5))
    >>> p.round(6).tolist(), m.tolist(), s.tolist()
    ([1.5], [-1.5], [4.5])
    """
    optimizer = optim.Adam(learning_rate, betas, eps, weight_decay)
    update = whole("adam: update", update)
    return _update("adam", optimizer, params, grads, dict(mean=mean, square=square), update)


def _pixels(function, name, x):
    """Return `x` as contiguous uint8 if it is that, else as floating-point numbers."""
    x = np.asarray(x)
    return contiguous(x, np.uint8) if x.dtype == np.uint8 else _floats(function, **{name: x})[0]


def _columns(function, shape, kernel_size, stride, padding, dilation):
    """Return the shapes of images and of the matrix of their windows, and the outputs and the window of each axis."""
    rank = len(shape) - 2
    if rank not in AXES or min(shape) < 0:
        raise ShapeError(f"{function}: expected x of shape (N, H, W, C) or (N, L, C), got {shape}")
    kernel = pair(f"{function}: kernel_size", kernel_size, rank)
    outputs, window = _slides(function, "x", shape[1:-1], kernel, stride, padding, dilation)
    kernel, stride, before, _, dilation = window
    lines = (1,) * (2 - rank)
    images, cols = (shape[0], *lines, *shape[1:]), (shape[0], *lines, *outputs, *kernel, shape[-1])
    # bytes of doubles, no axis counted as empty: then nothing that is multiplied or added later overflows
    largest = max(math.prod(max(n, 1) for n in axes) for axes in (images, cols))
    if 8 * largest > sys.maxsize or max(*images, *cols, *stride, *before, *dilation) > 2**30:
        raise RangeError(f"{function}: a matrix of {' x '.join(map(str, cols))} numbers is too large")
    return images, cols, outputs, (stride, before, dilation)


def im2col(x, kernel_size, stride=1, padding=0, dilation=1, threads=None):
    """Write the pixels under each window of an image in a row, so that a convolution becomes a matrix product.

    Parameters
    ----------
    x : (N, H, W, C) or (N, L, C) array
        Images or sequences; float32, float64 and uint8 stay, other numbers become float64.
    kernel_size : int or (int, int)
        Lines and pixels of a window (KH, KW); positions K of a sequence.
    stride, dilation : int or (int, int)
    padding : int, (int, int), "valid" or "same"
        Zero lines above and below, zero pixels left and right; "same": as many as give ceil(size / stride) windows, an
        odd one below or right.
    threads : int, optional

    Returns
    -------
    (N, PH, PW, KH*KW*C) or (N, P, K*C) array
        cols[i, p, q, (u * KW + v) * C + c] = x[i, p * stride + u * dilation - padding, ..., c]; then
        ``im2col(x, ...) @ w.reshape(-1, F)`` is the convolution of x with w (KH, KW, C, F).

    Raises
    ------
    ShapeError, DTypeError, RangeError

    Notes
    -----
    Of one sequence it is the assignment's matrix V_X. A network does without it.

    References
    ----------
    Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import im2col
    >>> im2col(np.arange(6.0).reshape(1, 2, 3, 1), (2, 2))[0, 0].tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]]
    >>> im2col([[[1.0], [2.0], [3.0]]], 3, padding="same")[0].tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0]]
    """
    x = _pixels("im2col", "x", x)
    images, axes, outputs, window = _columns("im2col", x.shape, kernel_size, stride, padding, dilation)
    cols = np.empty(axes, x.dtype)
    columns.im2col(x.reshape(images), *window, engine.threads(threads), cols)
    return cols.reshape(len(x), *outputs, math.prod(axes[3:]))


def col2im(cols, shape, kernel_size, stride=1, padding=0, dilation=1, threads=None):
    """Add the numbers of a matrix of windows to the pixels that they stand for: the adjoint of :func:`im2col`.

    Parameters
    ----------
    cols : array
        As :func:`im2col` returns it, in any shape of that size, such as (N*PH*PW, KH*KW*C).
    shape : tuple of int
        (N, H, W, C) of the images, or (N, L, C) of the sequences.
    kernel_size, stride, padding, dilation, threads
        As in :func:`im2col`.

    Returns
    -------
    array of `shape`
        Of the dtype of `cols`; sums of uint8 are taken modulo 256.

    Raises
    ------
    ShapeError, DTypeError, RangeError

    Examples
    --------
    >>> from fastconv.functional import col2im
    >>> col2im([[1.0, 2.0], [2.0, 3.0]], (1, 3, 1), 2).tolist()
    [[[1.0], [4.0], [3.0]]]
    """
    try:
        shape = tuple(map(operator.index, shape))
    except TypeError:
        raise DTypeError(f"col2im: expected shape of integers, got {shape!r}") from None
    images, axes, outputs, window = _columns("col2im", shape, kernel_size, stride, padding, dilation)
    cols = _pixels("col2im", "cols", cols)
    if cols.size != math.prod(axes):
        expected = (shape[0], *outputs, math.prod(axes[3:]))
        raise ShapeError(f"col2im: expected cols of the size of {expected}, got {cols.shape}")
    x = np.empty(images, cols.dtype)
    columns.col2im(cols.reshape(axes), *window, engine.threads(threads), x)
    return x.reshape(shape)
