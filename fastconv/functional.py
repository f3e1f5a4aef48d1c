"""Functions on arrays: every kernel by itself, forward and backward, with checked shapes.

Each runs a plan of one operation on the engine, so what is checked here is what a network runs.

Dimensions: N samples, L positions, C channels, K filter width, V alphabet, F filters, P = L - K + 1. Arrays are
float32 or float64; mixed dtypes become float64. No input is modified.
"""

import numpy as np

from fastconv import engine, losses, optim
from fastconv.arrays import aligned_zeros, codes_array, floats_array, whole
from fastconv.errors import ShapeError

__all__ = [
    "adam",
    "conv1d",
    "conv1d_backward",
    "dense",
    "dense_backward",
    "focal_loss",
    "mean_squared_error",
    "multi_class_hinge",
    "onehot_conv1d",
    "onehot_conv1d_backward",
    "relu",
    "relu_backward",
    "rmsprop",
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


def run_loss(loss, outputs, labels, targets, weights, threads):
    """Return a loss and its gradient by the outputs, (N, K), given the arrays of :meth:`losses.Loss.arrays`.

    L2 in the cost is left out: there are no weights.
    """
    op = _Op([], (1, outputs.shape[1]), outputs.dtype)  # no layers: no parameters, no gradient by them
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
