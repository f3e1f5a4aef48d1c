"""NumPy twins of the poolings: every window as a row of numbers, and its maximum or mean.

Letters in shapes: N batch, H lines, W pixels of a line, L length, C channels, (KH, KW) or K the window, (PH, PW) or P
outputs. The stride is that of the window if None is given; an incomplete last window is dropped. Every function
returns new arrays and keeps the dtype.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastconv.reference.convolution import require_shape


def _pair(value):
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def windows(function, x, pool_size=2, stride=None):
    """Return the numbers of every window of images (N, H, W, C), (N, PH, PW, C, KH * KW), and the stride."""
    size = _pair(pool_size)
    stride = size if stride is None else _pair(stride)
    if x.ndim != 4 or x.shape[1] < size[0] or x.shape[2] < size[1]:
        raise ValueError(f"{function}: x has shape {x.shape}, expected (N, H, W, C) with windows of {size}")
    seen = sliding_window_view(x, size, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    return seen.reshape(*seen.shape[:4], size[0] * size[1]), stride


def _spread(shares, shape, pool_size, stride):
    """Add what is given back to each number of every window, (N, PH, PW, C, KH * KW), to a zero array of `shape`."""
    dx = np.zeros(shape, shares.dtype)
    height, width = shares.shape[1:3]
    for tap, (u, v) in enumerate(np.ndindex(*_pair(pool_size))):
        lines, pixels = u + stride[0] * np.arange(height), v + stride[1] * np.arange(width)
        dx[:, lines[:, None], pixels] += shares[..., tap]
    return dx


def max_pool2d(x, pool_size=2, stride=None):
    """Largest number of each window, channel by channel.

    Parameters
    ----------
    x : ndarray of float, shape (N, H, W, C)
    pool_size : int or (int, int)
    stride : int or (int, int), optional

    Returns
    -------
    ndarray, shape (N, PH, PW, C)

    Raises
    ------
    ValueError
        If `x` is not (N, H, W, C), or smaller than the window.

    Examples
    --------
    >>> max_pool2d(np.arange(10.0).reshape(1, 2, 5, 1)).ravel()
    array([6., 8.])
    """
    return windows("max_pool2d", x, pool_size, stride)[0].max(axis=-1)


def max_pool2d_backward(dy, x, pool_size=2, stride=None):
    """Gradient of `max_pool2d` with respect to its input: `dy` goes to the first of the largest of a window.

    Parameters
    ----------
    dy : ndarray of float, shape (N, PH, PW, C)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, H, W, C)
    pool_size, stride
        As for `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> max_pool2d_backward(np.full((1, 1, 1, 1), 3.0), np.array([1.0, 5.0, 5.0, 2.0]).reshape(1, 2, 2, 1)).ravel()
    array([0., 3., 0., 0.])
    """
    seen, stride = windows("max_pool2d_backward", x, pool_size, stride)
    require_shape("max_pool2d_backward", "dy", dy, seen.shape[:4])
    won = seen.argmax(axis=-1)[..., None] == np.arange(seen.shape[-1])
    return _spread(np.where(won, dy[..., None], 0), x.shape, pool_size, stride)


def avg_pool2d(x, pool_size=2, stride=None):
    """Mean of each window, channel by channel.

    Parameters
    ----------
    x : ndarray of float, shape (N, H, W, C)
    pool_size : int or (int, int)
    stride : int or (int, int), optional

    Returns
    -------
    ndarray, shape (N, PH, PW, C)

    Raises
    ------
    ValueError
        If `x` is not (N, H, W, C), or smaller than the window.

    Examples
    --------
    >>> avg_pool2d(np.arange(10.0).reshape(1, 2, 5, 1)).ravel()
    array([3., 5.])
    """
    return windows("avg_pool2d", x, pool_size, stride)[0].mean(axis=-1)


def avg_pool2d_backward(dy, x_shape, pool_size=2, stride=None):
    """Gradient of `avg_pool2d` with respect to its input: each number of a window gets an equal share of `dy`.

    Parameters
    ----------
    dy : ndarray of float, shape (N, PH, PW, C)
        Gradient with respect to the output.
    x_shape : tuple of int, (N, H, W, C)
        Shape of the input, whose values are not needed.
    pool_size, stride
        As for `avg_pool2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> avg_pool2d_backward(np.full((1, 1, 1, 1), 6.0), (1, 2, 3, 1)).reshape(2, 3)
    array([[1.5, 1.5, 0. ],
           [1.5, 1.5, 0. ]])
    """
    seen, stride = windows("avg_pool2d_backward", np.zeros(x_shape, dy.dtype), pool_size, stride)
    require_shape("avg_pool2d_backward", "dy", dy, seen.shape[:4])
    taps = seen.shape[-1]
    return _spread(np.repeat(dy[..., None] / taps, taps, axis=-1), x_shape, pool_size, stride)


def max_pool1d(x, pool_size=2, stride=None):
    """Largest number of each window of positions, channel by channel.

    Parameters
    ----------
    x : ndarray of float, shape (N, L, C)
    pool_size : int
    stride : int, optional

    Returns
    -------
    ndarray, shape (N, P, C)

    Raises
    ------
    ValueError
        If `x` is not (N, L, C), or shorter than the window.

    Examples
    --------
    >>> max_pool1d(np.array([[[3.0], [1.0], [2.0], [4.0], [9.0]]])).ravel()
    array([3., 4.])
    """
    return max_pool2d(x[:, None], (1, pool_size), (1, pool_size if stride is None else stride))[:, 0]


def max_pool1d_backward(dy, x, pool_size=2, stride=None):
    """Gradient of `max_pool1d` with respect to its input: `dy` goes to the first of the largest of a window.

    Parameters
    ----------
    dy : ndarray of float, shape (N, P, C)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, L, C)
    pool_size, stride
        As for `max_pool1d`.

    Returns
    -------
    ndarray, shape (N, L, C)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> max_pool1d_backward(np.array([[[1.0], [2.0]]]), np.array([[[3.0], [1.0], [2.0], [4.0]]])).ravel()
    array([1., 0., 0., 2.])
    """
    stride = pool_size if stride is None else stride
    return max_pool2d_backward(dy[:, None], x[:, None], (1, pool_size), (1, stride))[:, 0]


def _lengths(function, x, lengths):
    """Return how many positions of each sequence count."""
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    require_shape(function, "lengths", lengths, x.shape[:1])
    if np.any(lengths < 0) or np.any(lengths > x.shape[1]):
        raise ValueError(f"{function}: lengths are {lengths}, expected 0 to {x.shape[1]}")
    return lengths


def global_max_pool1d(x, lengths=None):
    """Largest number of each channel over the positions of a sequence.

    Parameters
    ----------
    x : ndarray of float, shape (N, L, C)
    lengths : ndarray of int, shape (N,), optional
        How many of the leading positions count; all if not given.

    Returns
    -------
    ndarray, shape (N, C)
        Zero where no position counts.

    Raises
    ------
    ValueError
        If a length lies outside [0, L].

    Examples
    --------
    >>> x = np.array([[[-3.0], [-1.0], [5.0]]])
    >>> global_max_pool1d(x), global_max_pool1d(x, [2])
    (array([[5.]]), array([[-1.]]))
    """
    y = np.zeros((len(x), x.shape[2]), x.dtype)
    for i, length in enumerate(_lengths("global_max_pool1d", x, lengths)):
        if length:
            y[i] = x[i, :length].max(axis=0)
    return y


def global_max_pool1d_backward(dy, x, lengths=None):
    """Gradient of `global_max_pool1d` with respect to its input: `dy` goes to the first of the largest.

    Parameters
    ----------
    dy : ndarray of float, shape (N, C)
        Gradient with respect to the output.
    x : ndarray of float, shape (N, L, C)
    lengths : ndarray of int, shape (N,), optional

    Returns
    -------
    ndarray, shape (N, L, C)

    Raises
    ------
    ValueError
        If the shapes do not belong together, or a length lies outside [0, L].

    Examples
    --------
    >>> global_max_pool1d_backward(np.array([[2.0]]), np.array([[[-3.0], [-1.0], [5.0]]]), [2]).ravel()
    array([0., 2., 0.])
    """
    require_shape("global_max_pool1d_backward", "dy", dy, (len(x), x.shape[2]))
    dx = np.zeros_like(x)
    for i, length in enumerate(_lengths("global_max_pool1d_backward", x, lengths)):
        if length:
            dx[i, x[i, :length].argmax(axis=0), np.arange(x.shape[2])] = dy[i]
    return dx
