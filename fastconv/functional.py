"""Functions on arrays: every kernel by itself, forward and backward, with checked shapes.

Each runs a plan of one operation on the engine, so what is checked here is what a network runs. Only :func:`im2col`
and :func:`col2im` are kernels that no network needs.

Dimensions: N samples, L positions, C channels, K filter width, V alphabet, F filters, P = L - K + 1. Arrays are
float32 or float64; mixed dtypes become float64. No input is modified.
"""

import math
import operator
import sys

import numpy as np

from fastconv import engine
from fastconv.arrays import aligned_zeros, codes_array, contiguous, floats_array, labels_array
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.geometry import paddings, pair, windows
from fastconv.kernels import im2col as columns

__all__ = [
    "col2im",
    "conv1d",
    "conv1d_backward",
    "dense",
    "dense_backward",
    "im2col",
    "onehot_conv1d",
    "onehot_conv1d_backward",
    "relu",
    "relu_backward",
    "sgd",
    "softmax",
    "softmax_cross_entropy",
]  # fmt: skip


def _floats(function, **arrays):
    """Return the given arrays as one floating-point dtype, None staying None."""
    given = {name: np.asarray(a) for name, a in arrays.items() if a is not None}
    single = all(a.dtype in (np.float32, np.float16) for a in given.values())
    dtype = np.float32 if single else np.float64
    return [None if a is None else floats_array(given[name], dtype, function, name) for name, a in arrays.items()]


def _shape(function, name, array, expected):
    """Check a shape against one that holds numbers and, for what is free, letters."""
    fits = array.ndim == len(expected)
    fits = fits and all(isinstance(e, str) or e == n for e, n in zip(expected, array.shape, strict=True))
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ShapeError(f"{function}: expected {name} of shape ({wanted}), got {array.shape}")


class _Op:
    """A plan of one operation, the parameters in one vector, and calls that take and give arrays."""

    def __init__(self, ops, shape, dtype, parameters=(), codes=False):
        self.program = engine.Program(ops, *shape, codes, dtype == np.float32, not codes)
        self.parameters = aligned_zeros(self.program.size, dtype)
        np.concatenate([p.ravel() for p in parameters] or [self.parameters], out=self.parameters)

    def forward(self, x, threads, probabilities=False):
        y = np.empty((len(x), *self.program.output_shape), self.parameters.dtype)
        self.program.forward(x, self.parameters, y, probabilities, engine.threads(threads))
        return y

    def backward(self, dy, x, threads, dx=None):
        flat = aligned_zeros(self.program.size, self.parameters.dtype)
        self.program.backward(x, self.parameters, dy, flat, dx, engine.threads(threads))
        return [flat[at : at + int(np.prod(shape))].reshape(shape) for _, _, at, shape in self.program.slots]


def _codes(function, codes, depth, width):
    codes = np.asarray(codes)
    _shape(function, "codes", codes, ("N", "L"))
    _wide_enough(function, "codes", codes, width)
    return codes_array(codes, depth, function)


def _wide_enough(function, name, x, width):
    if x.shape[1] < width:
        raise ShapeError(f"{function}: the filters are {width} wide, {name} has {x.shape[1]} positions")


def _convolution(function, x, w, b):
    """Check a convolution's operands; return them and its plan."""
    codes = function.startswith("onehot")
    if codes:
        w, b = _floats(function, w=w, b=b)
    else:
        x, w, b = _floats(function, x=x, w=w, b=b)
    _shape(function, "w", w, ("K", "V" if codes else "C", "F"))
    width, channels, filters = w.shape
    if min(w.shape) < 1:
        raise ShapeError(f"{function}: w has an empty axis: {w.shape}")
    if codes:
        x = _codes(function, x, channels, width)
    else:
        _shape(function, "x", x, ("N", "L", channels))
        _wide_enough(function, "x", x, width)
    if b is not None:
        _shape(function, "b", b, (filters,))
    kind = "onehot_conv1d" if codes else "conv1d"
    parameters = [w] if b is None else [w, b]
    op = _Op([(kind, filters, width, b is not None)], (x.shape[1], channels), w.dtype, parameters, codes)
    return x, w, op


def onehot_conv1d(codes, w, b=None, threads=None):
    """Convolve one-hot columns, given as codes, with filters: valid, stride 1.

    Parameters
    ----------
    codes : (N, L) int
        Indices in 0..V-1; -1 is an all-zero column.
    w : (K, V, F) float32 or float64
    b : (F,), optional
    threads : int, optional

    Returns
    -------
    (N, P, F) array
        y[i, p, f] = b[f] + sum_k w[k, codes[i, p + k], f].

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
    x, _, op = _convolution("onehot_conv1d", codes, w, b)
    return op.forward(x, threads)


def onehot_conv1d_backward(dy, codes, w, threads=None):
    """Return the gradients (dw, db) of :func:`onehot_conv1d`.

    Parameters
    ----------
    dy : (N, P, F)
        Gradient by the output.
    codes : (N, L) int
    w : (K, V, F)
    threads : int, optional

    Returns
    -------
    dw : (K, V, F)
    db : (F,)
    """
    name = "onehot_conv1d_backward"
    dy, w = _floats(name, dy=dy, w=w)
    x, w, op = _convolution(name, codes, w, np.zeros(w.shape[-1], w.dtype))
    _shape(name, "dy", dy, (len(x), *op.program.output_shape))
    return tuple(op.backward(dy, x, threads))


def conv1d(x, w, b=None, threads=None):
    """Convolve sequences with filters: cross-correlation, valid, stride 1.

    Parameters
    ----------
    x : (N, L, C) float32 or float64
    w : (K, C, F)
    b : (F,), optional
    threads : int, optional

    Returns
    -------
    (N, P, F) array
        y[i, p, f] = b[f] + sum_{k, c} x[i, p + k, c] w[k, c, f].

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.functional import conv1d
    >>> conv1d(np.array([[[1.0], [2.0], [4.0]]]), np.array([[[1.0]], [[-1.0]]])).tolist()
    [[[-1.0], [-2.0]]]
    """
    x, _, op = _convolution("conv1d", x, w, b)
    return op.forward(x, threads)


def conv1d_backward(dy, x, w, threads=None):
    """Return the gradients (dx, dw, db) of :func:`conv1d`.

    Parameters
    ----------
    dy : (N, P, F)
        Gradient by the output.
    x : (N, L, C)
    w : (K, C, F)
    threads : int, optional

    Returns
    -------
    dx : (N, L, C)
        M_F^T g in the assignment's notation.
    dw : (K, C, F)
        The assignment's equation (46), V = M_x^T G.
    db : (F,)
    """
    name = "conv1d_backward"
    dy, x, w = _floats(name, dy=dy, x=x, w=w)
    x, w, op = _convolution(name, x, w, np.zeros(w.shape[-1], w.dtype))
    _shape(name, "dy", dy, (len(x), *op.program.output_shape))
    dx = np.empty_like(x)
    return (dx, *op.backward(dy, x, threads, dx))


def _product(function, x, w, b):
    x, w, b = _floats(function, x=x, w=w, b=b)
    _shape(function, "w", w, ("D", "U"))
    if min(w.shape) < 1:
        raise ShapeError(f"{function}: w has an empty axis: {w.shape}")
    _shape(function, "x", x, ("N", w.shape[0]))
    if b is not None:
        _shape(function, "b", b, (w.shape[1],))
    op = _Op([("dense", w.shape[1], b is not None)], (1, w.shape[0]), w.dtype, [w] if b is None else [w, b])
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
    return op.forward(x, threads)[:, 0]


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


def _rows(x):
    """A view of x as (N, 1, n) and the plan's shape for it."""
    rows = x.reshape(len(x), -1) if x.ndim > 1 else x.reshape(1, -1)
    return rows, (1, rows.shape[1])


def relu(x, threads=None):
    """Return max(0, x), of any shape; a NaN stays a NaN.

    Examples
    --------
    >>> from fastconv.functional import relu
    >>> relu([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    (x,) = _floats("relu", x=x)
    if x.size == 0:
        return x.copy()
    rows, shape = _rows(x)
    return _Op([("relu",)], shape, x.dtype).forward(rows, threads).reshape(x.shape)


def relu_backward(dy, x, threads=None):
    """Return the gradient of :func:`relu` by its input: dy where x > 0, else 0."""
    dy, x = _floats("relu_backward", dy=dy, x=x)
    _shape("relu_backward", "dy", dy, x.shape)
    dx = np.empty_like(x)
    if x.size:
        rows, shape = _rows(x)
        _Op([("relu",)], shape, x.dtype).backward(dy, rows, threads, dx)
    return dx


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
    return _Op([], (1, x.shape[1]), x.dtype).forward(x, threads, probabilities=True)[:, 0]


def softmax_cross_entropy(logits, labels, sample_weight=None, label_smoothing=0.0, threads=None):
    """Return the loss and its gradient by the logits, computed in one pass.

    Parameters
    ----------
    logits : (N, K) float32 or float64
        At least one sample.
    labels : (N,) int
        0..K-1.
    sample_weight : (N,), optional
    label_smoothing : float
        Share of the target spread evenly over the classes, in [0, 1).
    threads : int, optional

    Returns
    -------
    loss : float
        Mean over the N samples of weight x cross-entropy.
    dlogits : (N, K)

    Examples
    --------
    >>> from fastconv.functional import softmax_cross_entropy
    >>> loss, dlogits = softmax_cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 4), dlogits.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    name = "softmax_cross_entropy"
    (logits,) = _floats(name, logits=logits)
    _shape(name, "logits", logits, ("N", "K"))
    if min(logits.shape) < 1:
        raise ShapeError(f"{name}: logits are empty: {logits.shape}")
    if not 0 <= label_smoothing < 1:
        raise RangeError(f"{name}: label_smoothing lies in [0, 1), got {label_smoothing!r}")
    labels = labels_array(labels, *logits.shape, name)
    if sample_weight is not None:
        sample_weight = floats_array(np.asarray(sample_weight), logits.dtype, name, "sample_weight")
        _shape(name, "sample_weight", sample_weight, (len(logits),))
    op = _Op([], (1, logits.shape[1]), logits.dtype)  # a network without layers: no parameters, no gradient by them
    dlogits = np.empty_like(logits)
    loss, _ = op.program.gradient(
        logits, op.parameters, labels, sample_weight, label_smoothing, op.parameters, dlogits, engine.threads(threads)
    )
    return loss, dlogits


def sgd(params, grads, velocity, learning_rate, momentum=0.0):
    """Return parameters and velocity after an update: v = momentum * v + lr * g; p = p - v.

    Parameters
    ----------
    params, grads, velocity : arrays of one shape, float32 or float64
    learning_rate, momentum : float

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
    params, grads, velocity = _floats("sgd", params=params, grads=grads, velocity=velocity)
    _shape("sgd", "grads", grads, params.shape)
    _shape("sgd", "velocity", velocity, params.shape)
    params, velocity = params.copy(), velocity.copy()
    engine.Program.sgd(params, velocity, grads, learning_rate, momentum)
    return params, velocity


AXES = {1: ("L",), 2: ("H", "W")}


def _slides(function, name, shape, kernel, stride, padding, dilation):
    """Return the engine's window for the positions or pixels of `shape`."""
    rank = len(kernel)
    stride, dilation = pair(f"{function}: stride", stride, rank), pair(f"{function}: dilation", dilation, rank)
    try:
        return windows(shape, kernel, stride, paddings(f"{function}: padding", padding, rank), dilation)
    except ShapeError as error:
        raise ShapeError(f"{function}: {name} of {shape} does not fit filters of {kernel}: {error}") from None


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
