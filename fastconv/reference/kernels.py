"""A NumPy twin of every kernel, by an obvious algorithm.

Nothing here is fast on purpose: one-hot columns are made dense and multiplied, and a
convolution is a sum over the filter's taps of a shifted slice times a matrix. Every function
returns new arrays, leaves its inputs alone and keeps their dtype (float32 or float64).

Letters in shapes: N batch, L length, C channels, K filter width, F filters, V alphabet size.
"""

import numpy as np


def _require_codes(function, codes, depth):
    """Return `codes` as an (N, L) array with every code in [-1, depth)."""
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise ValueError(f"{function}: codes has shape {codes.shape}, expected (N, L)")
    if codes.size and (codes.min() < -1 or codes.max() >= depth):
        raise ValueError(
            f"{function}: codes run from {codes.min()} to {codes.max()}, "
            f"expected -1 to {depth - 1} for an alphabet of {depth}"
        )
    return codes


def _require_conv1d(function, x_shape, w_shape):
    """Check that a convolution of these shapes exists."""
    if len(x_shape) != 3 or len(w_shape) != 3:
        raise ValueError(f"{function}: x has shape {x_shape} and w {w_shape}, expected (N, L, C) and (K, C, F)")
    if x_shape[2] != w_shape[1]:
        raise ValueError(f"{function}: x has {x_shape[2]} channels, w expects {w_shape[1]}")
    if x_shape[1] < w_shape[0]:
        raise ValueError(f"{function}: x has length {x_shape[1]}, less than the filter width {w_shape[0]}")


def _require_shape(function, name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{function}: {name} has shape {array.shape}, expected {shape}")


def encode(strings, symbols, length):
    """Turn strings into rows of character codes.

    Parameters
    ----------
    strings : sequence of str
        N strings. Longer ones are cut at the end.
    symbols : str or sequence of str
        The alphabet: the i-th symbol has code i.
    length : int
        Length L of a row.

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
    for row, string in zip(codes, strings, strict=True):
        for position, character in enumerate(string[:length]):
            if character in symbols:
                row[position] = symbols.index(character)
    return codes


def one_hot(codes, depth, dtype=np.float32):
    """Write codes as a dense batch of one-hot sequences.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        Index of each character; -1 gives a zero row.
    depth : int
        Size V of the alphabet.
    dtype : dtype, default float32

    Returns
    -------
    ndarray, shape (N, L, V)

    Raises
    ------
    ValueError
        If `codes` is not (N, L), or a code lies outside [-1, depth).

    Examples
    --------
    >>> one_hot([[1, -1]], 2)
    array([[[0., 1.],
            [0., 0.]]], dtype=float32)
    """
    codes = _require_codes("one_hot", codes, depth)
    return (codes[:, :, None] == np.arange(depth)).astype(dtype)


def conv1d(x, w, b=None):
    """Valid cross-correlation along the length, stride 1.

    Parameters
    ----------
    x : ndarray of float, shape (N, L, C)
    w : ndarray of float, shape (K, C, F)
    b : ndarray of float, shape (F,), optional

    Returns
    -------
    ndarray of float, shape (N, L - K + 1, F)

    Raises
    ------
    ValueError
        If the channels differ, the filter is longer than `x`, or a shape is wrong.

    Notes
    -----
    y[n, l, f] = b[f] + sum over k, c of x[n, l + k, c] w[k, c, f].

    Examples
    --------
    >>> x = np.array([[[1.0], [2.0], [3.0]]])
    >>> conv1d(x, np.array([[[1.0]], [[10.0]]])).ravel()
    array([21., 32.])
    """
    _require_conv1d("conv1d", x.shape, w.shape)
    width, _, filters = w.shape
    n_out = x.shape[1] - width + 1
    y = np.zeros((x.shape[0], n_out, filters), x.dtype)
    for k in range(width):
        y += np.einsum("nlc,cf->nlf", x[:, k : k + n_out], w[k])
    if b is not None:
        _require_shape("conv1d", "b", b, (filters,))
        y += b
    return y


def conv1d_backward(dy, x, w):
    """Gradients of `conv1d` with respect to its input, weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, L - K + 1, F)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, L, C)
    w : ndarray of float, shape (K, C, F)

    Returns
    -------
    dx : ndarray, shape (N, L, C)
    dw : ndarray, shape (K, C, F)
    db : ndarray, shape (F,)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Notes
    -----
    dx[n, l + k, c] gathers dy[n, l, f] w[k, c, f]; dw[k, c, f] is the sum over n and l of
    x[n, l + k, c] dy[n, l, f]; db[f] is the sum of dy over n and l.

    Examples
    --------
    >>> x, w = np.array([[[1.0], [2.0]]]), np.array([[[3.0]], [[4.0]]])
    >>> dx, dw, db = conv1d_backward(np.array([[[1.0]]]), x, w)
    >>> dx.ravel(), dw.ravel(), db
    (array([3., 4.]), array([1., 2.]), array([1.]))
    """
    _require_conv1d("conv1d_backward", x.shape, w.shape)
    n_out = x.shape[1] - w.shape[0] + 1
    _require_shape("conv1d_backward", "dy", dy, (x.shape[0], n_out, w.shape[2]))
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(w.shape[0]):
        dx[:, k : k + n_out] += np.einsum("nlf,cf->nlc", dy, w[k])
        dw[k] = np.einsum("nlc,nlf->cf", x[:, k : k + n_out], dy)
    return dx, dw, dy.sum(axis=(0, 1))


def onehot_conv1d(codes, w, b=None):
    """Convolution of one-hot sequences given by their codes: `one_hot`, then `conv1d`.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        -1 means no character.
    w : ndarray of float, shape (K, V, F)
    b : ndarray of float, shape (F,), optional

    Returns
    -------
    ndarray of float, shape (N, L - K + 1, F)
        Same dtype as `w`.

    Raises
    ------
    ValueError
        If a code lies outside [-1, V), the filter is longer than a row, or a shape is wrong.

    Notes
    -----
    y[n, l, f] = b[f] + sum over k of w[k, codes[n, l + k], f], a code of -1 adding nothing.

    Examples
    --------
    >>> w = np.array([[[1.0], [2.0]], [[10.0], [20.0]]])
    >>> onehot_conv1d(np.array([[1, 0, -1]]), w).ravel()
    array([12.,  1.])
    """
    return conv1d(one_hot(codes, w.shape[1], w.dtype), w, b)


def onehot_conv1d_backward(dy, codes, w_shape):
    """Gradients of `onehot_conv1d` with respect to its weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, L - K + 1, F)
        Gradient with respect to the output.
    codes : ndarray of int, shape (N, L)
    w_shape : tuple of int, (K, V, F)
        Shape of the weights, whose values are not needed.

    Returns
    -------
    dw : ndarray, shape (K, V, F)
    db : ndarray, shape (F,)

    Raises
    ------
    ValueError
        If a code lies outside [-1, V) or the shapes do not belong together.

    Examples
    --------
    >>> dy = np.array([[[5.0], [7.0]]])
    >>> dw, db = onehot_conv1d_backward(dy, np.array([[1, 0, -1]]), (2, 2, 1))
    >>> dw[..., 0], db
    (array([[7., 5.],
           [5., 0.]]), array([12.]))
    """
    x = one_hot(codes, w_shape[1], dy.dtype)
    _, dw, db = conv1d_backward(dy, x, np.zeros(w_shape, dy.dtype))
    return dw, db


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
    _require_shape("dense", "x", x, (x.shape[0], w.shape[0]))
    y = np.einsum("ni,io->no", x, w)
    if b is not None:
        _require_shape("dense", "b", b, (w.shape[1],))
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
    _require_shape("dense_backward", "x", x, (x.shape[0], w.shape[0]))
    _require_shape("dense_backward", "dy", dy, (x.shape[0], w.shape[1]))
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
    _require_shape("relu_backward", "dy", dy, y.shape)
    return np.where(y > 0, dy, 0)


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
    _require_shape("softmax_cross_entropy", "labels", labels, (n,))
    if n and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"softmax_cross_entropy: labels run from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )
    weight = np.ones(n, logits.dtype)
    if sample_weight is not None:
        weight = np.asarray(sample_weight, logits.dtype)
        _require_shape("softmax_cross_entropy", "sample_weight", weight, (n,))
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
    _require_shape("sgd", "grads", grads, params.shape)
    _require_shape("sgd", "velocity", velocity, params.shape)
    velocity = float(momentum) * velocity + float(learning_rate) * grads
    return params - velocity, velocity
