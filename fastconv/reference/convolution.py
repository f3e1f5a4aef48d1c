"""NumPy twins of the convolutions: over the filter's taps, a sum of slices of the padded input times a matrix.

One-hot columns are made dense and multiplied, and a sequence is an image of one line. With integers instead of floats
the functions are exact.

Letters in shapes: N batch, H lines, W pixels of a line, L length, C channels, K (KH, KW) filter width, P (PH, PW)
outputs, F filters, V alphabet size. `stride`, `padding` and `dilation` are one number or a pair (lines, pixels);
padding "same" gives ceil(size / stride) outputs, an odd zero below or right, and "valid" is 0.
"""

import numpy as np


def require_shape(function, name, array, shape):
    """Raise ValueError if an array is not of this shape."""
    if array.shape != shape:
        raise ValueError(f"{function}: {name} has shape {array.shape}, expected {shape}")


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


def _require_operands(function, x_shape, w_shape, letters):
    """Check that a convolution of these shapes exists."""
    axes = len(letters.split("and")[1].split(","))
    if len(x_shape) != axes or len(w_shape) != axes:
        raise ValueError(f"{function}: x has shape {x_shape} and w {w_shape}, expected {letters}")
    if x_shape[-1] != w_shape[-2]:
        raise ValueError(f"{function}: x has {x_shape[-1]} channels, w expects {w_shape[-2]}")


def axis(function, n, width, stride, padding, dilation):
    """Return the zeros before and after an axis, and the padded positions that each tap meets, (width, outputs)."""
    span = (width - 1) * dilation + 1
    before = after = 0 if isinstance(padding, str) else padding
    if padding == "same":
        missing = max((-(-n // stride) - 1) * stride + span - n, 0)
        before, after = missing // 2, missing - missing // 2
    padded = before + n + after
    if padded < span:
        raise ValueError(f"{function}: x has length {padded}, less than the filter width {span}")
    return (before, after), np.arange(0, padded - span + 1, stride) + dilation * np.arange(width)[:, None]


def _pair(value):
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _taps(function, shape, kernel, stride, padding, dilation):
    """Return what np.pad takes for images of `shape`, and for each tap the lines and pixels that it meets."""
    sizes = (shape[1:3], kernel, *map(_pair, (stride, padding, dilation)))
    (vertical, lines), (horizontal, pixels) = (axis(function, *size) for size in zip(*sizes, strict=True))
    at = {(u, v): (slice(None), lines[u][:, None], pixels[v]) for u, v in np.ndindex(*kernel)}
    return ((0, 0), vertical, horizontal, (0, 0)), at, (len(lines.T), len(pixels.T))


def _crop(padded, pads):
    """Return the array without what np.pad put around it."""
    return padded[tuple(slice(before, n - after) for n, (before, after) in zip(padded.shape, pads, strict=True))]


def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Write the pixels under each window of an image in a row.

    Parameters
    ----------
    x : ndarray, shape (N, H, W, C)
    kernel_size, stride, padding, dilation
        See the top of the module.

    Returns
    -------
    ndarray, shape (N, PH, PW, KH * KW * C)

    Raises
    ------
    ValueError
        If the window is larger than a padded image.

    Examples
    --------
    >>> im2col(np.arange(6).reshape(1, 2, 3, 1), 2).tolist()
    [[[[0, 1, 3, 4], [1, 2, 4, 5]]]]
    """
    kernel = _pair(kernel_size)
    pads, taps, _ = _taps("im2col", x.shape, kernel, stride, padding, dilation)
    padded = np.pad(x, pads)
    return np.concatenate([padded[at] for at in taps.values()], axis=-1)


def col2im(cols, shape, kernel_size, stride=1, padding=0, dilation=1):
    """Add the numbers in each row of windows to their pixels: the adjoint of `im2col`.

    Parameters
    ----------
    cols : ndarray, shape (N, PH, PW, KH * KW * C), or any other of this size
    shape : tuple of int, (N, H, W, C)
    kernel_size, stride, padding, dilation
        As for `im2col`.

    Returns
    -------
    ndarray of `shape`

    Examples
    --------
    >>> col2im(np.array([[0, 1, 3, 4], [1, 2, 4, 5]]), (1, 2, 3, 1), 2).ravel()
    array([0, 2, 2, 3, 8, 5])
    """
    kernel = _pair(kernel_size)
    pads, taps, outputs = _taps("col2im", shape, kernel, stride, padding, dilation)
    padded = np.pad(np.zeros(shape, cols.dtype), pads)
    for tap, at in zip(
        np.moveaxis(cols.reshape(shape[0], *outputs, len(taps), shape[3]), 3, 0), taps.values(), strict=True
    ):
        padded[at] += tap
    return _crop(padded, pads)


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1):
    """Cross-correlation of images.

    Parameters
    ----------
    x : ndarray of float, shape (N, H, W, C)
    w : ndarray of float, shape (KH, KW, C, F)
    b : ndarray of float, shape (F,), optional
    stride, padding, dilation
        See the top of the module.

    Returns
    -------
    ndarray of float, shape (N, PH, PW, F)

    Raises
    ------
    ValueError
        If the channels differ, the filter is larger than a padded image, or a shape is wrong.

    Notes
    -----
    y[n, p, q, f] = b[f] + sum over u, v, c of x'[n, p stride + u dilation, q stride + v dilation, c] w[u, v, c, f],
    where x' is x with its padding.

    Examples
    --------
    >>> conv2d(np.arange(6).reshape(1, 2, 3, 1), np.array([[1, 10]]).reshape(1, 2, 1, 1)).ravel()
    array([10, 21, 43, 54])
    """
    _require_operands("conv2d", x.shape, w.shape, "(N, H, W, C) and (KH, KW, C, F)")
    return _convolve("conv2d", x, w, b, stride, padding, dilation)


def _convolve(function, x, w, b, stride, padding, dilation):
    pads, taps, outputs = _taps(function, x.shape, w.shape[:2], stride, padding, dilation)
    padded = np.pad(x, pads)
    y = np.zeros((len(x), *outputs, w.shape[3]), x.dtype)
    for tap, at in taps.items():
        y += np.einsum("npqc,cf->npqf", padded[at], w[tap])
    if b is not None:
        require_shape(function, "b", b, w.shape[3:])
        y += b
    return y


def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1):
    """Gradients of `conv2d` with respect to its input, weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, PH, PW, F)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, H, W, C)
    w : ndarray of float, shape (KH, KW, C, F)
    stride, padding, dilation
        As for `conv2d`.

    Returns
    -------
    dx : ndarray, shape (N, H, W, C)
    dw : ndarray, shape (KH, KW, C, F)
    db : ndarray, shape (F,)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Notes
    -----
    Where a tap took a slice of the padded input, it gives dy w^T back to that slice, and its weights' gradient is the
    slice's product with dy, summed over samples and outputs.

    Examples
    --------
    >>> x, w = np.array([1, 2]).reshape(1, 1, 2, 1), np.array([3, 4]).reshape(1, 2, 1, 1)
    >>> dx, dw, db = conv2d_backward(np.ones((1, 1, 1, 1), int), x, w)
    >>> dx.ravel(), dw.ravel(), db
    (array([3, 4]), array([1, 2]), array([1]))
    """
    _require_operands("conv2d_backward", x.shape, w.shape, "(N, H, W, C) and (KH, KW, C, F)")
    return _convolve_backward("conv2d_backward", 2, dy, x, w, stride, padding, dilation)


def _convolve_backward(function, axes, dy, x, w, stride, padding, dilation):
    pads, taps, outputs = _taps(function, x.shape, w.shape[:2], stride, padding, dilation)
    require_shape(function, "dy", dy, (len(x), *outputs[2 - axes :], w.shape[3]))
    dy = dy.reshape(len(x), *outputs, w.shape[3])
    padded = np.pad(x, pads)
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for tap, at in taps.items():
        dpadded[at] += np.einsum("npqf,cf->npqc", dy, w[tap])
        dw[tap] = np.einsum("npqc,npqf->cf", padded[at], dy)
    return _crop(dpadded, pads), dw, dy.sum(axis=(0, 1, 2))


def conv1d(x, w, b=None, stride=1, padding=0, dilation=1):
    """Cross-correlation along the length.

    Parameters
    ----------
    x : ndarray of float, shape (N, L, C)
    w : ndarray of float, shape (K, C, F)
    b : ndarray of float, shape (F,), optional
    stride, dilation : int
    padding : int, "valid" or "same"

    Returns
    -------
    ndarray of float, shape (N, P, F)

    Raises
    ------
    ValueError
        If the channels differ, the filter is longer than the padded `x`, or a shape is wrong.

    Notes
    -----
    y[n, p, f] = b[f] + sum over k, c of x'[n, p stride + k dilation, c] w[k, c, f], where x' is x with its padding.

    Examples
    --------
    >>> x = np.array([[[1.0], [2.0], [3.0]]])
    >>> conv1d(x, np.array([[[1.0]], [[10.0]]])).ravel()
    array([21., 32.])
    """
    _require_operands("conv1d", x.shape, w.shape, "(N, L, C) and (K, C, F)")
    return _convolve("conv1d", x[:, None], w[None], b, (1, stride), (0, padding), (1, dilation))[:, 0]


def conv1d_backward(dy, x, w, stride=1, padding=0, dilation=1):
    """Gradients of `conv1d` with respect to its input, weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, P, F)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, L, C)
    w : ndarray of float, shape (K, C, F)
    stride, padding, dilation
        As for `conv1d`.

    Returns
    -------
    dx : ndarray, shape (N, L, C)
    dw : ndarray, shape (K, C, F)
    db : ndarray, shape (F,)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> x, w = np.array([[[1.0], [2.0]]]), np.array([[[3.0]], [[4.0]]])
    >>> dx, dw, db = conv1d_backward(np.array([[[1.0]]]), x, w)
    >>> dx.ravel(), dw.ravel(), db
    (array([3., 4.]), array([1., 2.]), array([1.]))
    """
    _require_operands("conv1d_backward", x.shape, w.shape, "(N, L, C) and (K, C, F)")
    window = (1, stride), (0, padding), (1, dilation)
    dx, dw, db = _convolve_backward("conv1d_backward", 1, dy, x[:, None], w[None], *window)
    return dx[:, 0], dw[0], db


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


def onehot_conv1d(codes, w, b=None, stride=1, padding=0, dilation=1):
    """Convolution of one-hot sequences given by their codes: `one_hot`, then `conv1d`.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        -1 means no character.
    w : ndarray of float, shape (K, V, F)
    b : ndarray of float, shape (F,), optional
    stride, padding, dilation
        As for `conv1d`; padding is like a code of -1.

    Returns
    -------
    ndarray of float, shape (N, P, F)
        Same dtype as `w`.

    Raises
    ------
    ValueError
        If a code lies outside [-1, V), the filter is longer than a padded row, or a shape is wrong.

    Examples
    --------
    >>> w = np.array([[[1.0], [2.0]], [[10.0], [20.0]]])
    >>> onehot_conv1d(np.array([[1, 0, -1]]), w).ravel()
    array([12.,  1.])
    """
    return conv1d(one_hot(codes, w.shape[1], w.dtype), w, b, stride, padding, dilation)


def onehot_conv1d_backward(dy, codes, w_shape, stride=1, padding=0, dilation=1):
    """Gradients of `onehot_conv1d` with respect to its weights and bias.

    Parameters
    ----------
    dy : ndarray of float, shape (N, P, F)
        Gradient with respect to the output.
    codes : ndarray of int, shape (N, L)
    w_shape : tuple of int, (K, V, F)
        Shape of the weights, whose values are not needed.
    stride, padding, dilation
        As for `conv1d`.

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
    _, dw, db = conv1d_backward(dy, x, np.zeros(w_shape, dy.dtype), stride, padding, dilation)
    return dw, db


def embedding(codes, w):
    """Vector of each code.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        -1 means no character.
    w : ndarray of float, shape (V, D)

    Returns
    -------
    ndarray of float, shape (N, L, D)
        Row `codes[n, l]` of `w`, or zeros.

    Raises
    ------
    ValueError
        If a code lies outside [-1, V).

    Examples
    --------
    >>> embedding([[1, -1]], np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[[3., 4.],
            [0., 0.]]])
    """
    codes = _require_codes("embedding", codes, len(w))
    return np.where(codes[:, :, None] >= 0, w[codes], 0)


def embedding_backward(dy, codes, w_shape):
    """Gradient of `embedding` with respect to its vectors.

    Parameters
    ----------
    dy : ndarray of float, shape (N, L, D)
        Gradient with respect to the output.
    codes : ndarray of int, shape (N, L)
    w_shape : tuple of int, (V, D)

    Returns
    -------
    ndarray, shape (V, D)

    Raises
    ------
    ValueError
        If a code lies outside [-1, V) or the shapes do not belong together.

    Examples
    --------
    >>> embedding_backward(np.array([[[1.0], [2.0], [4.0]]]), [[1, -1, 1]], (2, 1))
    array([[0.],
           [5.]])
    """
    codes = _require_codes("embedding_backward", codes, w_shape[0])
    require_shape("embedding_backward", "dy", dy, (*codes.shape, w_shape[1]))
    dw = np.zeros(w_shape, dy.dtype)
    np.add.at(dw, codes[codes >= 0], dy[codes >= 0])
    return dw
