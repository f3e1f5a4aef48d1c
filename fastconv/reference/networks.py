"""The surname ConvNet trained in three ways, from the naive matrices to vectorised NumPy, and one over images.

The three compute the same network, without biases, and share one interface::

    codes -> one-hot -> conv w1 -> ReLU -> conv w2 -> ReLU -> flatten -> dense w3 -> softmax

- `NaiveNetwork` is the assignment as first written: M_X by Kronecker product, for every
  sample, layer and update.
- `OptimisedNetwork` adds the two gains of the assignment's "Background 5".
- `VectorisedNetwork` handles the whole batch at once with sparse one-hot windows, strided
  windows and matrix products: the yardstick for the compiled library.

`VectorisedImageNetwork` is such a yardstick for images.

A matrix product of a batch holds one sample in each column in the first two, as in the
assignment, and one in each row in the third.
"""

import numpy as np
import scipy.sparse as sp
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from fastconv.reference.kernels import one_hot, softmax, softmax_cross_entropy
from fastconv.reference.matrices import mf, mx, sparse_mx, vec, vx


class _SurnameNetwork:
    """Data, weights and momentum SGD; a subclass computes `gradients`.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        The whole data set: character indices in [0, V), -1 for no character.
    labels : ndarray of int, shape (N,)
        Index of each name's class.
    w1 : ndarray of float32 or float64, shape (K1, V, F1)
        First convolution. Its dtype is the network's.
    w2 : ndarray, shape (K2, F1, F2)
        Second convolution.
    w3 : ndarray, shape ((L - K1 - K2 + 2) * F2, classes)
        Dense layer.
    sample_weight : ndarray of float, shape (N,), optional
        Weight of each example's cross-entropy; 1 if not given.

    Attributes
    ----------
    w1, w2, w3 : ndarray
        Copies of the weights, updated in place by `step`.

    Raises
    ------
    TypeError
        If `w1` is neither float32 nor float64.
    ValueError
        If shapes do not belong together, or codes or labels are out of range.
    """

    def __init__(self, codes, labels, w1, w2, w3, sample_weight=None):
        name = type(self).__name__
        dtype = np.asarray(w1).dtype
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"{name}: w1 has dtype {dtype}, expected float32 or float64")
        self.dtype = dtype
        self.w1, self.w2, self.w3 = (np.array(w, dtype, order="C") for w in (w1, w2, w3))
        self.codes = np.asarray(codes)
        self.labels = np.asarray(labels)
        n = len(self.codes)
        self.sample_weight = np.ones(n, dtype)
        if sample_weight is not None:
            self.sample_weight = np.array(sample_weight, dtype)
        self._check_shapes(name)
        self._velocities = [np.zeros_like(w) for w in (self.w1, self.w2, self.w3)]

    def _check_shapes(self, name):
        for what, array, axes in (
            ("codes", self.codes, "N, L"),
            ("w1", self.w1, "K1, V, F1"),
            ("w2", self.w2, "K2, F1, F2"),
            ("w3", self.w3, "L2 * F2, classes"),
        ):
            if array.ndim != len(axes.split(",")):
                raise ValueError(f"{name}: {what} has shape {array.shape}, expected ({axes})")
        n, length = self.codes.shape
        (k1, depth, f1), (k2, channels, f2), (units_in, classes) = (w.shape for w in (self.w1, self.w2, self.w3))
        self._length1 = length - k1 + 1
        self._length2 = self._length1 - k2 + 1
        if self._length2 < 1:
            raise ValueError(f"{name}: codes have length {length}, expected at least {k1 + k2 - 1}")
        for what, found, expected in (
            ("channels in w2", channels, f1),
            ("rows in w3", units_in, self._length2 * f2),
            ("labels", self.labels.shape, (n,)),
            ("weights in sample_weight", self.sample_weight.shape, (n,)),
        ):
            if found != expected:
                raise ValueError(f"{name}: {found} {what}, expected {expected}")
        for what, values, low, high in (
            ("codes", self.codes, -1, depth),
            ("labels", self.labels, 0, classes),
        ):
            if values.size and (values.min() < low or values.max() >= high):
                raise ValueError(
                    f"{name}: {what} run from {values.min()} to {values.max()}, expected {low} to {high - 1}"
                )

    def gradients(self, indices):
        """Loss of the rows `indices` of the data, and its gradients.

        Parameters
        ----------
        indices : ndarray of int, shape (n,)

        Returns
        -------
        loss : float
            Mean over the n rows of weight times cross-entropy.
        (dw1, dw2, dw3) : tuple of ndarray
            New arrays with the shapes of w1, w2 and w3.
        """
        raise NotImplementedError

    def step(self, indices, learning_rate, momentum):
        """One update of momentum SGD: v <- momentum v + learning_rate g; w <- w - v.

        Parameters
        ----------
        indices : ndarray of int, shape (n,)
            Rows of the data that make the batch.
        learning_rate, momentum : float

        Returns
        -------
        float
            The loss before the update.
        """
        loss, gradients = self.gradients(indices)
        weights = (self.w1, self.w2, self.w3)
        for w, v, dw in zip(weights, self._velocities, gradients, strict=True):
            v *= float(momentum)
            v += float(learning_rate) * dw
            w -= v
        return loss

    def restart(self, w1, w2, w3):
        """Go back to given weights and zero velocities, keeping what was made of the data.

        Parameters
        ----------
        w1, w2, w3 : ndarray
            Of the shapes that the network was made with.
        """
        for mine, given in zip((self.w1, self.w2, self.w3), (w1, w2, w3), strict=True):
            mine[...] = given
        for v in self._velocities:
            v[...] = 0

    def _loss(self, logits, indices):
        """Loss and its gradient with respect to `logits` (n, classes)."""
        loss, dlogits = softmax_cross_entropy(logits, self.labels[indices], self.sample_weight[indices])
        return float(loss), dlogits


def _filters(w):
    """F (d, k, n_f) of the library's weights w (K, C, F)."""
    return w.transpose(1, 0, 2)


def _weights(vec_f, w_shape):
    """Weights (K, C, F) whose filters F (C, K, F) have vec(F) = `vec_f`."""
    k, c, f = w_shape
    return vec_f.reshape(f, k, c).transpose(1, 2, 0)


class _MatrixNetwork(_SurnameNetwork):
    """The assignment's passes: M_F times the batch, filter gradients sample by sample.

    The batch is a matrix with vec(X) of one sample in each column. A subclass says how a
    sample's gradient g = dL/dvec(S) becomes the gradient of the filters, dL/dvec(F) = g^T M_X.
    """

    def _filters1_gradient(self, g, index):
        """dL/dvec(F1) of one sample, the row `index` of the data."""
        raise NotImplementedError

    def _filters2_gradient(self, g, x1):
        """dL/dvec(F2) of one sample, from its first layer's output X1 (n1, n_len1)."""
        raise NotImplementedError

    def gradients(self, indices):
        n = len(indices)
        m_f1 = mf(_filters(self.w1), self.codes.shape[1])
        m_f2 = mf(_filters(self.w2), self._length1)

        x = one_hot(self.codes[indices], self.w1.shape[1], self.dtype).reshape(n, -1).T
        x1 = np.maximum(m_f1 @ x, 0)
        x2 = np.maximum(m_f2 @ x1, 0)
        loss, dlogits = self._loss((self.w3.T @ x2).T, indices)

        dw3 = x2 @ dlogits
        g2 = (self.w3 @ dlogits.T) * (x2 > 0)
        g1 = (m_f2.T @ g2) * (x1 > 0)
        n1 = self.w1.shape[2]
        d_f1, d_f2 = np.zeros(self.w1.size, self.dtype), np.zeros(self.w2.size, self.dtype)
        for i, index in enumerate(indices):
            d_f1 += self._filters1_gradient(g1[:, i], index)
            d_f2 += self._filters2_gradient(g2[:, i], x1[:, i].reshape(n1, -1, order="F"))
        return loss, (_weights(d_f1, self.w1.shape), _weights(d_f2, self.w2.shape), dw3)


class NaiveNetwork(_MatrixNetwork):
    """The naive code: M_X by Kronecker product for every sample, layer and update.

    Notes
    -----
    Forward and back-propagation by M_F (eq. 8-17), gradients of the filters by M_X
    (eq. 19-26, 31-44).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> w1, w2, w3 = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 5)), np.zeros((10, 2))
    >>> network = NaiveNetwork(np.array([[0, 2, 1, -1]]), np.array([1]), w1, w2, w3)
    >>> round(network.step(np.array([0]), learning_rate=0.1, momentum=0.9), 6)
    0.693147
    """

    def _filters1_gradient(self, g, index):
        k, depth, filters = self.w1.shape
        x = one_hot(self.codes[index][None], depth, self.dtype)[0].T
        return g @ mx(x, k, filters)

    def _filters2_gradient(self, g, x1):
        return g @ mx(x1, self.w2.shape[0], self.w2.shape[2])


class OptimisedNetwork(_MatrixNetwork):
    """The optimised code of "Background 5": sparse M_X for the data, V_X for the second layer.

    Notes
    -----
    The first layer's M_X depends on the data alone: it is made once, sparse, for every name of
    the data set. The second layer's gradient is V = V_X^T G (eq. 45-46), where G holds g with
    one row for each position.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> w1, w2, w3 = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 5)), np.zeros((10, 2))
    >>> network = OptimisedNetwork(np.array([[0, 2, 1, -1]]), np.array([1]), w1, w2, w3)
    >>> round(network.step(np.array([0]), learning_rate=0.1, momentum=0.9), 6)
    0.693147
    """

    def __init__(self, codes, labels, w1, w2, w3, sample_weight=None):
        super().__init__(codes, labels, w1, w2, w3, sample_weight)
        k, depth, filters = self.w1.shape
        self._m_x1 = [sparse_mx(one_hot(row[None], depth, self.dtype)[0].T, k, filters) for row in self.codes]

    def _filters1_gradient(self, g, index):
        return g @ self._m_x1[index]

    def _filters2_gradient(self, g, x1):
        k, _, filters = self.w2.shape
        return vec(vx(x1, k).T @ g.reshape(-1, filters))


def _windows(x, width):
    """Copy every window of x (N, L, C) into a row: (N * (L - width + 1), width * C).

    In a contiguous array a window is contiguous too, and neighbours lie C values apart.
    """
    x = np.ascontiguousarray(x)
    n, length, channels = x.shape
    shape = (n, length - width + 1, width * channels)
    return as_strided(x, shape, x.strides).reshape(-1, width * channels)


class VectorisedNetwork(_SurnameNetwork):
    """The whole batch at once: sparse one-hot windows, strided windows and matrix products.

    Notes
    -----
    First layer: a window of K1 characters is a row of a sparse matrix with K1 ones, one in
    each block of V + 1 columns; the last column of a block stands for no character. Their
    column numbers are made once for the data set (N (L - K1 + 1) K1 int32 values: 6 MB for
    20,050 names of 19), so a batch is a gather of rows.

    Second layer: a window of K2 positions is contiguous in a channels-last array, so all
    windows are one strided view, copied for a single matrix product and kept for the gradient
    of the weights. Back-propagation is the same product again: the windows of the padded
    gradient times the flipped weights.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> w1, w2, w3 = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 4, 5)), np.zeros((10, 2))
    >>> network = VectorisedNetwork(np.array([[0, 2, 1, -1]]), np.array([1]), w1, w2, w3)
    >>> round(network.step(np.array([0]), learning_rate=0.1, momentum=0.9), 6)
    0.693147
    """

    def __init__(self, codes, labels, w1, w2, w3, sample_weight=None):
        super().__init__(codes, labels, w1, w2, w3, sample_weight)
        self._columns = self._window_columns(self.codes)

    def _window_columns(self, codes):
        """Columns of the ones in the one-hot windows of each name, (N, L1 * K1) int32."""
        k, depth, _ = self.w1.shape
        symbols = np.where(codes < 0, depth, codes).astype(np.int32)
        blocks = np.arange(k, dtype=np.int32) * (depth + 1)
        return (sliding_window_view(symbols, k, axis=1) + blocks).reshape(len(codes), -1)

    def _onehot_windows(self, columns):
        """Sparse one-hot windows of a batch, (n * L1, K1 * (V + 1)), K1 ones in each row."""
        k, depth, _ = self.w1.shape
        row_starts = np.arange(0, columns.size + 1, k, dtype=np.int32)
        ones = np.ones(columns.size, self.dtype)
        shape = (len(columns) * self._length1, k * (depth + 1))
        return sp.csr_array((ones, columns.ravel(), row_starts), shape=shape)

    def _forward(self, columns):
        """Windows and outputs of both convolutions, the second one's flat, from the columns of a batch."""
        n = len(columns)
        k1, _, f1 = self.w1.shape
        k2, _, f2 = self.w2.shape
        windows1 = self._onehot_windows(columns)
        no_character = np.zeros((k1, 1, f1), self.dtype)
        x1 = windows1 @ np.concatenate((self.w1, no_character), axis=1).reshape(-1, f1)
        np.maximum(x1, 0, out=x1)
        x1 = x1.reshape(n, self._length1, f1)
        windows2 = _windows(x1, k2)
        x2 = windows2 @ self.w2.reshape(-1, f2)
        np.maximum(x2, 0, out=x2)
        return windows1, x1, windows2, x2.reshape(n, -1)

    def predict_proba(self, codes, batch_size=None):
        """Probabilities of the classes.

        Parameters
        ----------
        codes : ndarray of int, shape (n, L)
        batch_size : int, optional
            Names at a time; all at once if not given.

        Returns
        -------
        ndarray, shape (n, classes)
            Of the dtype of the weights.
        """
        size = batch_size or max(1, len(codes))
        result = np.empty((len(codes), self.w3.shape[1]), self.dtype)
        for i in range(0, len(codes), size):
            *_, flat = self._forward(self._window_columns(codes[i : i + size]))
            result[i : i + size] = softmax(flat @ self.w3)
        return result

    def gradients(self, indices):
        n, length1 = len(indices), self._length1
        k1, depth, f1 = self.w1.shape
        k2, _, f2 = self.w2.shape
        windows1, x1, windows2, flat = self._forward(self._columns[indices])
        loss, dlogits = self._loss(flat @ self.w3, indices)

        dw3 = flat.T @ dlogits
        dx2 = dlogits @ self.w3.T
        dx2 *= flat > 0
        dx2 = dx2.reshape(-1, f2)
        dw2 = (windows2.T @ dx2).reshape(self.w2.shape)

        padded = np.zeros((n, length1 + k2 - 1, f2), self.dtype)
        padded[:, k2 - 1 : length1] = dx2.reshape(n, -1, f2)
        dx1 = _windows(padded, k2) @ self.w2[::-1].swapaxes(1, 2).reshape(-1, f1)
        dx1 *= x1.reshape(-1, f1) > 0
        dw1 = (windows1.T @ dx1).reshape(k1, depth + 1, f1)[:, :depth]
        return loss, (dw1, dw2, dw3)


class VectorisedImageNetwork:
    """A ConvNet over images, the whole batch at once: im2col by strided windows, and matrix products.

    Convolutions with biases, each followed by ReLU and 2x2 max-pooling, then dense layers with biases and ReLU between
    them; trained by momentum SGD on the mean cross-entropy.

    Parameters
    ----------
    images : ndarray of float32 or float64, shape (N, H, W, C)
        The whole data set.
    labels : ndarray of int, shape (N,)
        Index of each image's class.
    weights : sequence of ndarray
        ``w`` and ``b`` of each layer in turn: convolutions (KH, KW, C, F) and (F,), dense layers (D, U) and (U,). The
        dtype of the first is the network's.
    padding : int
        Zeros at either end of both axes of each convolution.

    Attributes
    ----------
    weights : list of ndarray
        Copies of the weights, updated in place by `step`.

    Notes
    -----
    Pooling drops an incomplete last window; the gradient of a maximum goes to the first entry that reaches it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> weights = [rng.normal(size=(3, 3, 1, 2)), np.zeros(2), np.zeros((8, 4)), np.zeros(4)]
    >>> network = VectorisedImageNetwork(rng.normal(size=(5, 6, 6, 1)), np.arange(5) % 4, weights)
    >>> round(network.step(np.array([0, 3]), learning_rate=0.1, momentum=0.9), 6)
    1.386294
    """

    def __init__(self, images, labels, weights, padding=0):
        self.dtype = np.asarray(weights[0]).dtype
        if self.dtype not in (np.float32, np.float64):
            raise TypeError(f"{type(self).__name__}: weights have dtype {self.dtype}, expected float32 or float64")
        self.images, self.labels, self.padding = np.asarray(images, self.dtype), np.asarray(labels), padding
        self.weights = [np.array(w, self.dtype) for w in weights]
        self._velocities = [np.zeros_like(w) for w in self.weights]

    def restart(self, *weights):
        """Go back to given weights and zero velocities."""
        for mine, given in zip(self.weights, weights, strict=True):
            mine[...] = given
        for v in self._velocities:
            v[...] = 0

    def _pairs(self):
        return list(zip(self.weights[::2], self.weights[1::2], strict=True))

    def _forward(self, x):
        """Logits of a batch, and what the way back needs of each layer."""
        kept = []
        for layer, (w, b) in enumerate(self._pairs()):
            if w.ndim == 4:
                x = _pad(x, (self.padding, self.padding))
                columns, shape = _columns(x, w.shape[:2]), x.shape
                y = np.maximum(columns @ w.reshape(-1, w.shape[3]) + b, 0)
                y = y.reshape(len(x), shape[1] - w.shape[0] + 1, shape[2] - w.shape[1] + 1, -1)
                x = np.maximum.reduce(_corners(y))
                kept.append((columns, shape, y, x))
            else:
                kept.append((x.reshape(len(x), -1), x.shape, None, None))
                x = kept[-1][0] @ w + b
                if layer + 1 < len(self._pairs()):
                    np.maximum(x, 0, out=x)
        return x, kept

    def predict_proba(self, images, batch_size=None):
        """Probabilities of the classes.

        Parameters
        ----------
        images : ndarray, shape (n, H, W, C)
        batch_size : int, optional
            Images at a time; all at once if not given.

        Returns
        -------
        ndarray, shape (n, classes)
            Of the dtype of the weights.
        """
        size = batch_size or max(1, len(images))
        images = np.asarray(images, self.dtype)
        blocks = [softmax(self._forward(images[i : i + size])[0]) for i in range(0, len(images), size)]
        return np.concatenate([np.empty((0, len(self.weights[-1])), self.dtype), *blocks])

    def gradients(self, indices):
        """Loss of the rows `indices` of the data, and its gradients, in the order of the weights."""
        logits, kept = self._forward(self.images[indices])
        loss, dx = softmax_cross_entropy(logits, self.labels[indices], np.ones(len(indices), self.dtype))
        found = []
        for layer, (w, _) in reversed(list(enumerate(self._pairs()))):
            columns, shape, y, pooled = kept[layer]
            if w.ndim == 4:
                dy = np.zeros_like(y)
                dx, sought = dx.reshape(pooled.shape), pooled > 0
                for corner, gradient in zip(_corners(y), _corners(dy), strict=True):
                    hit = sought & (corner == pooled)
                    gradient[hit] = dx[hit]
                    sought &= ~hit
                found += [dy.sum(axis=(0, 1, 2)), (columns.T @ dy.reshape(len(columns), -1)).reshape(w.shape)]
                if layer:
                    flipped = w[::-1, ::-1].swapaxes(2, 3).reshape(-1, w.shape[2])
                    around = _pad(dy, (w.shape[0] - 1, w.shape[1] - 1))
                    dx = (_columns(around, w.shape[:2]) @ flipped).reshape(shape)
                    dx = dx[:, self.padding : shape[1] - self.padding, self.padding : shape[2] - self.padding]
            else:
                found += [dx.sum(axis=0), columns.T @ dx]
                dx = dx @ w.T
                if layer and kept[layer - 1][2] is None:
                    dx *= columns > 0
        return float(loss), found[::-1]

    def step(self, indices, learning_rate, momentum):
        """One update of momentum SGD: v <- momentum v + learning_rate g; w <- w - v; return the loss before it."""
        loss, gradients = self.gradients(indices)
        for w, v, dw in zip(self.weights, self._velocities, gradients, strict=True):
            v *= float(momentum)
            v += float(learning_rate) * dw
            w -= v
        return loss


def _pad(x, padding):
    """Images x (N, H, W, C) with lines and columns of zeros around them."""
    lines, columns = padding
    return np.pad(x, ((0, 0), (lines, lines), (columns, columns), (0, 0)))


def _columns(x, kernel):
    """Copy every window of x (N, H, W, C) into a row: (N * outputs, KH * KW * C)."""
    windows = sliding_window_view(x, kernel, axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def _corners(y):
    """The four entries of each 2x2 window of y (N, H, W, C) as views (N, H // 2, W // 2, C)."""
    height, width = (size // 2 * 2 for size in y.shape[1:3])
    return [y[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
