"""Convolution written as matrix products, in the notation of the assignment.

Equation numbers are those of DD2424, assignment 3. A sequence is a matrix X (d, n_len): one
column for each position. F (d, k, n_f) holds n_f filters of width k, F[:, :, i] being the
i-th: the library's weights w (K, V, F) are ``F = w.transpose(1, 0, 2)``. The convolution is a
cross-correlation with stride 1 and no padding, and its output S (n_f, n_len - k + 1) is::

    S[i, j] = sum over c, t of F[c, t, i] X[c, j + t]

`vec` stacks columns, so the same S can be had from the filters or from the data::

    vec(S) = M_F vec(X) = M_X vec(F)

The first product is linear in X and carries gradients back to the input; the second is linear
in F and gives the gradient of the filters.
"""

import numpy as np
import scipy.sparse as sp


def _require_ndim(function, name, array, axes):
    """Return `array` as an ndarray, or raise ValueError if it does not have these axes."""
    array = np.asarray(array)
    if array.ndim != len(axes.split(",")):
        raise ValueError(f"{function}: {name} has shape {array.shape}, expected ({axes})")
    return array


def _require_positive(function, name, value):
    if value < 1:
        raise ValueError(f"{function}: {name} is {value}, expected at least 1")


def vec(a):
    """Stack the columns of an array into one vector, the first index running fastest.

    Parameters
    ----------
    a : array_like of any shape and dtype

    Returns
    -------
    ndarray, shape (a.size,)
        Same dtype as `a`.

    Examples
    --------
    >>> vec([[1, 3], [2, 4]])
    array([1, 2, 3, 4])
    """
    return np.asarray(a).reshape(-1, order="F")


def one_hot(codes, depth, dtype=np.float64):
    """Write one row of character codes as the matrix X of one-hot columns.

    Parameters
    ----------
    codes : array_like of int, shape (n_len,)
        Index of each character; -1 means no character and gives a zero column.
    depth : int
        Size of the alphabet, d.
    dtype : dtype, default float64

    Returns
    -------
    ndarray, shape (depth, n_len)

    Raises
    ------
    ValueError
        If `codes` is not one row, or a code lies outside [-1, depth).

    Examples
    --------
    >>> one_hot([1, 0, -1], 2, dtype=int)
    array([[0, 1, 0],
           [1, 0, 0]])
    """
    codes = _require_ndim("one_hot", "codes", codes, "n_len")
    if codes.size and (codes.min() < -1 or codes.max() >= depth):
        raise ValueError(
            f"one_hot: codes run from {codes.min()} to {codes.max()}, expected -1 to {depth - 1} for depth {depth}"
        )
    return (np.arange(depth)[:, None] == codes).astype(dtype)


def mf(F, n_len):
    """Matrix M_F of a convolution with the filters `F`: vec(S) = M_F vec(X).

    Parameters
    ----------
    F : array_like, shape (d, k, n_f)
        Filters.
    n_len : int
        Number of columns of the input X.

    Returns
    -------
    ndarray, shape ((n_len - k + 1) * n_f, n_len * d)
        Same dtype as `F`.

    Raises
    ------
    ValueError
        If `F` is not three-dimensional, or wider than the input.

    Notes
    -----
    Eq. 8-17. Block row j holds V_F (n_f, d k), whose row i is vec(F_i)^T, shifted right by
    j d columns (j counted from 0).

    Examples
    --------
    >>> mf(np.array([[[1], [2]]]), n_len=4)
    array([[1, 2, 0, 0],
           [0, 1, 2, 0],
           [0, 0, 1, 2]])
    """
    F = _require_ndim("mf", "F", F, "d, k, n_f")
    d, k, n_f = F.shape
    _require_positive("mf", "filter width", k)
    if n_len < k:
        raise ValueError(f"mf: n_len is {n_len}, less than the filter width {k}")
    v_f = F.reshape(d * k, n_f, order="F").T
    out = np.zeros(((n_len - k + 1) * n_f, n_len * d), F.dtype)
    for j in range(n_len - k + 1):
        out[j * n_f : (j + 1) * n_f, j * d : (j + k) * d] = v_f
    return out


def _require_window(function, x, k):
    """Return `x` as a matrix with room for a filter of width `k`."""
    x = _require_ndim(function, "x", x, "d, n_len")
    _require_positive(function, "filter width", k)
    if x.shape[1] < k:
        raise ValueError(f"{function}: x has {x.shape[1]} columns, fewer than the filter width {k}")
    return x


def mx(x, k, n_f):
    """Matrix M_X of a convolution of the data `x`: vec(S) = M_X vec(F).

    Parameters
    ----------
    x : array_like, shape (d, n_len)
        One sequence.
    k : int
        Filter width.
    n_f : int
        Number of filters.

    Returns
    -------
    ndarray, shape ((n_len - k + 1) * n_f, k * n_f * d)
        Same dtype as `x`.

    Raises
    ------
    ValueError
        If `x` is not a matrix or has fewer than `k` columns, or `k` or `n_f` is below 1.

    Notes
    -----
    Eq. 19-26. Block row j is the Kronecker product of the identity I (n_f, n_f) and
    vec(X[:, j : j + k])^T. The gradient of the filters follows as
    dL/dvec(F) = dL/dvec(S) M_X. All but one entry in n_f is zero by construction, which makes
    this the slow way; see `vx`.

    Examples
    --------
    >>> mx(np.array([[1, 2, 3]]), k=2, n_f=2)
    array([[1, 2, 0, 0],
           [0, 0, 1, 2],
           [2, 3, 0, 0],
           [0, 0, 2, 3]])
    """
    x = _require_window("mx", x, k)
    _require_positive("mx", "n_f", n_f)
    identity = np.eye(n_f, dtype=x.dtype)
    starts = range(x.shape[1] - k + 1)
    return np.vstack([np.kron(identity, vec(x[:, j : j + k])[None, :]) for j in starts])


def vx(x, k):
    """Matrix V_X: the windows of `x` as rows, M_X without its Kronecker product.

    Parameters
    ----------
    x : array_like, shape (d, n_len)
        One sequence.
    k : int
        Filter width.

    Returns
    -------
    ndarray, shape (n_len - k + 1, d * k)
        Same dtype as `x`.

    Raises
    ------
    ValueError
        If `x` is not a matrix or has fewer than `k` columns, or `k` is below 1.

    Notes
    -----
    Eq. 45-46. Row j is vec(X[:, j : j + k])^T. With G (n_len - k + 1, n_f) the gradient
    g = dL/dvec(S) written as a matrix, one row for each position, V = V_X^T G satisfies
    vec(V)^T = g^T M_X: the gradient of the filters without M_X.

    Examples
    --------
    >>> vx(np.array([[1, 2, 3]]), k=2)
    array([[1, 2],
           [2, 3]])
    """
    x = _require_window("vx", x, k)
    return np.stack([vec(x[:, j : j + k]) for j in range(x.shape[1] - k + 1)])


def vx_to_mx(vx, n_f):
    """Make M_X from V_X by writing each window once for every filter.

    Parameters
    ----------
    vx : array_like, shape (n_windows, d * k)
        V_X, as `vx` makes it.
    n_f : int
        Number of filters.

    Returns
    -------
    ndarray, shape (n_windows * n_f, n_f * d * k)
        Same dtype as `vx`; equal to `mx` of the same data.

    Raises
    ------
    ValueError
        If `vx` is not a matrix or `n_f` is below 1.

    Examples
    --------
    >>> vx_to_mx(np.array([[1, 2]]), n_f=2)
    array([[1, 2, 0, 0],
           [0, 0, 1, 2]])
    """
    vx = _require_ndim("vx_to_mx", "vx", vx, "n_windows, d * k")
    _require_positive("vx_to_mx", "n_f", n_f)
    n_windows, width = vx.shape
    out = np.zeros((n_windows, n_f, n_f, width), vx.dtype)
    for i in range(n_f):
        out[:, i, i, :] = vx
    return out.reshape(n_windows * n_f, n_f * width)


def sparse_mx(x, k, n_f):
    """Sparse M_X: only what is not zero in `x`, once for every filter.

    Parameters
    ----------
    x : array_like, shape (d, n_len)
        One sequence, usually one-hot.
    k : int
        Filter width.
    n_f : int
        Number of filters.

    Returns
    -------
    scipy.sparse.csr_array, shape ((n_len - k + 1) * n_f, k * n_f * d)
        Same dtype as `x`; equal to `mx` of the same data.

    Raises
    ------
    ValueError
        If `x` is not a matrix or has fewer than `k` columns, or `k` or `n_f` is below 1.

    Notes
    -----
    The first gain of "Background 5": the first layer's M_X depends on the data alone, so it
    can be made once, before training. A row holds at most k entries when `x` is one-hot.

    Examples
    --------
    >>> m = sparse_mx(one_hot([0, 2, -1], 3, dtype=int), k=2, n_f=2)
    >>> m.shape, m.nnz
    ((4, 12), 6)
    """
    x = _require_window("sparse_mx", x, k)
    _require_positive("sparse_mx", "n_f", n_f)
    windows = vx(x, k)
    n_windows, width = windows.shape
    window, entry = (index.astype(np.int32) for index in np.nonzero(windows))
    filters = np.arange(n_f, dtype=np.int32)
    rows = window[:, None] * n_f + filters
    columns = entry[:, None] + filters * width
    values = np.repeat(windows[window, entry], n_f)
    return sp.csr_array((values, (rows.ravel(), columns.ravel())), shape=(n_windows * n_f, n_f * width))
