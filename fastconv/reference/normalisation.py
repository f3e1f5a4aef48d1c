"""NumPy twins of batch normalisation and dropout, and of the random numbers of the latter.

Letters in shapes: N batch, C channels; a channel's numbers are those of all axes but the last.
"""

import numpy as np

from fastconv.reference.convolution import require_shape


def batch_norm(x, gamma, beta, eps=1e-5):
    """Batch normalisation in training: each channel by its own mean and variance.

    Parameters
    ----------
    x : ndarray of float, shape (N, ..., C)
    gamma, beta : ndarray of float, shape (C,)
    eps : float

    Returns
    -------
    y : ndarray, shape of `x`
        gamma (x - mean) / sqrt(var + eps) + beta.
    mean, var : ndarray, shape (C,)
        The variance is divided by the number of elements, not by one less.

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Notes
    -----
    Ioffe and Szegedy (2015), algorithm 1.

    Examples
    --------
    >>> batch_norm(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([1.0]), eps=0)
    (array([[-1.],
           [ 3.]]), array([2.]), array([1.]))
    """
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return batch_norm_inference(x, gamma, beta, mean, var, eps), mean, var


def batch_norm_inference(x, gamma, beta, mean, var, eps=1e-5):
    """Batch normalisation in prediction: each channel by a mean and a variance that are given.

    Parameters
    ----------
    x : ndarray of float, shape (N, ..., C)
    gamma, beta, mean, var : ndarray of float, shape (C,)
    eps : float

    Returns
    -------
    ndarray, shape of `x`

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> batch_norm_inference(np.array([[5.0]]), 2 * one, one, 3 * one, 4 * one, eps=0)
    array([[3.]])
    """
    for name, array in (("gamma", gamma), ("beta", beta), ("mean", mean), ("var", var)):
        require_shape("batch_norm", name, array, x.shape[-1:])
    return gamma * ((x - mean) / np.sqrt(var + x.dtype.type(eps))) + beta


def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Gradients of `batch_norm` with respect to its input, gamma and beta.

    Parameters
    ----------
    dy : ndarray of float, shape of `x`
        Gradient with respect to the output.
    x : ndarray of float, shape (N, ..., C)
    gamma : ndarray of float, shape (C,)
    eps : float

    Returns
    -------
    dx : ndarray, shape of `x`
    dgamma, dbeta : ndarray, shape (C,)

    Raises
    ------
    ValueError
        If the shapes do not belong together.

    Notes
    -----
    The chain rule as in section 3 of Ioffe and Szegedy (2015), by way of the gradients of the variance and the mean.

    Examples
    --------
    >>> dy, x = np.array([[1.0], [0.0], [0.0]]), np.array([[-1.0], [0.0], [1.0]])
    >>> dx, dgamma, dbeta = batch_norm_backward(dy, x, np.array([1.0]), eps=1 / 3)
    >>> dx.ravel().round(3), dgamma, dbeta
    (array([ 0.333, -0.333,  0.   ]), array([-1.]), array([1.]))
    """
    require_shape("batch_norm_backward", "dy", dy, x.shape)
    require_shape("batch_norm_backward", "gamma", gamma, x.shape[-1:])
    axes, eps = tuple(range(x.ndim - 1)), x.dtype.type(eps)
    n = x.size // x.shape[-1]
    mean, var = x.mean(axes), x.var(axes)
    normal = (x - mean) / np.sqrt(var + eps)
    dnormal = dy * gamma
    dvar = (dnormal * (x - mean)).sum(axes) * -0.5 * (var + eps) ** x.dtype.type(-1.5)
    dmean = -dnormal.sum(axes) / np.sqrt(var + eps)
    dx = dnormal / np.sqrt(var + eps) + dvar * 2 * (x - mean) / n + dmean / n
    return dx, (dy * normal).sum(axes), dy.sum(axes)


def dropout(x, mask, rate):
    """Inverted dropout with a mask that is given; of dy it is the gradient.

    Parameters
    ----------
    x : ndarray of float
    mask : ndarray of bool, shape of `x`
        What is kept.
    rate : float
        Probability of an element to be dropped, in [0, 1).

    Returns
    -------
    ndarray, shape of `x`
        x / (1 - rate) where it is kept, else zero.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> dropout(np.array([1.0, 2.0]), np.array([True, False]), 0.75)
    array([4., 0.])
    """
    require_shape("dropout", "mask", mask, x.shape)
    return np.where(mask, x / x.dtype.type(1 - rate), 0)


def philox(counter, key):
    """Philox4x32-10: four random words for each counter.

    Parameters
    ----------
    counter : ndarray of int, shape (..., 4)
        Words of 32 bits.
    key : (int, int)
        Words of 32 bits.

    Returns
    -------
    ndarray of uint64, shape (..., 4)
        Words of 32 bits.

    Notes
    -----
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), section 3.3: ten rounds, each of which
    multiplies two of the words by constants and mixes the halves of the products with the other two and the key.

    Examples
    --------
    >>> [hex(word) for word in philox([0, 0, 0, 0], (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b, c, d = np.moveaxis(np.asarray(counter, np.uint64), -1, 0)
    for step in range(10):
        first, second = (np.uint64((k + step * w) % 2**32) for k, w in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True))
        p, q = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (q >> shift) ^ b ^ first, q & low, (p >> shift) ^ d ^ second, p & low
    return np.stack([a, b, c, d], axis=-1)


def dropout_mask(shape, rate, seed=0, layer=0, update=0):
    """What dropout keeps of a batch.

    Parameters
    ----------
    shape : tuple of int, (N, ...)
        Of the batch; a sample's elements are numbered in row-major order.
    rate : float
        Probability of an element to be dropped, in [0, 1).
    seed : int
        Below 2^64, the key of `philox`.
    layer, update : int
        Index of the layer in its network, and number of the update.

    Returns
    -------
    ndarray of bool, of `shape`
        Element e of sample n is kept if word e mod 4 for the counter (e div 4, n, layer, update) is at least
        rate 2^32.

    Examples
    --------
    >>> dropout_mask((1, 4), 0.5)
    array([[False,  True,  True,  True]])
    """
    n, size = shape[0], int(np.prod(shape[1:]))
    counter = np.zeros((n, -(-size // 4), 4), np.uint64)
    counter[..., 0], counter[..., 1] = np.arange(counter.shape[1]), np.arange(n)[:, None]
    counter[..., 2], counter[..., 3] = layer, update
    words = philox(counter, (seed % 2**32, seed >> 32)).reshape(n, -1)[:, :size]
    return (words >= int(rate * 2**32)).reshape(shape)
