"""The peers of the surname ConvNet's timing: PyTorch and JAX, each at its best setting.

Every class trains the same network from the same arrays::

    peer = Peer(codes, labels, w1, w2, w3, sample_weight=None, threads=1)

and is run as `fastconv.bench.frameworks` says.

The network: ``codes (N, L)`` int16 (-1 is no character) -> one-hot -> conv1 ``w1 (K1, V, F1)`` ->
ReLU -> conv2 ``w2 (K2, F1, F2)`` -> ReLU -> flatten, row-major -> dense
``w3 (L2 * F2, n_classes)``; cross-correlation, stride 1, no padding, no biases.

Notes
-----
Layer 1, at its best: row numbers of the filters, one for each position and letter, are made once
for the whole data set; a batch gathers them. A row of zeros stands for "no character".
"""

from functools import partial

import numpy as np

from fastconv.bench import frameworks
from fastconv.bench.frameworks import CompiledPeer, JaxPeer, Peer, TorchPeer

__all__ = [
    "PEERS",
    "JaxJit",
    "JaxScan",
    "TorchCompiled",
    "TorchDense",
    "TorchEager",
    "TorchGather",
    "available",
    "unavailable",
]


def filter_rows(codes, kernel_size, alphabet_size):
    """Rows of the flattened first filters that each output position adds up.

    Parameters
    ----------
    codes : ndarray of int, shape (N, L)
        Characters; -1 is no character.
    kernel_size : int
        Width ``K`` of the filters.
    alphabet_size : int
        Number of characters ``V``.

    Returns
    -------
    ndarray of int64, shape (N, L - K + 1, K)
        ``k * V + codes[n, l + k]``, and ``K * V`` (a row of zeros) where there is no character.

    Examples
    --------
    >>> filter_rows(np.array([[2, 0, -1]]), 2, 3)
    array([[[2, 3],
            [0, 6]]])
    """
    windows = np.lib.stride_tricks.sliding_window_view(codes, kernel_size, axis=1).astype(np.int64)
    rows = windows + np.arange(kernel_size) * alphabet_size
    return np.where(windows < 0, kernel_size * alphabet_size, rows)


class _SurnamePeer(Peer):
    """The network's sizes.

    Parameters
    ----------
    codes : ndarray of int16, shape (N, L)
        The data set's characters; -1 is no character.
    labels : ndarray of int, shape (N,)
        Classes.
    w1 : ndarray of float32 or float64, shape (K1, V, F1)
        First filters; their dtype is the dtype of the computation.
    w2 : ndarray, shape (K2, F1, F2)
        Second filters.
    w3 : ndarray, shape (L2 * F2, n_classes)
        Dense layer.
    sample_weight, threads
        As for every peer.
    """

    def __init__(self, codes, labels, w1, w2, w3, sample_weight=None, threads=1):
        self.kernel_sizes = w1.shape[0], w2.shape[0]
        self.alphabet_size = w1.shape[1]
        self.filters = w1.shape[2], w2.shape[2]
        super().__init__(codes, labels, (w1, w2, w3), sample_weight, threads)


def _torch_filter_rows(codes, kernel_size, alphabet_size):
    """`filter_rows` of a tensor."""
    import torch

    windows = codes.to(torch.int64).unfold(1, kernel_size, 1)
    rows = windows + torch.arange(kernel_size) * alphabet_size
    return torch.where(windows < 0, kernel_size * alphabet_size, rows)


class _TorchPeer(_SurnamePeer, TorchPeer):
    def _to_peer(self, w1, w2, w3):
        f2 = self.filters[1]
        return (
            w1.transpose(2, 1, 0),
            w2.transpose(2, 1, 0),
            w3.reshape(-1, f2, w3.shape[1]).transpose(1, 0, 2).reshape(w3.shape),
        )

    def _to_library(self, w1, w2, w3):
        f2 = self.filters[1]
        return (
            w1.transpose(2, 1, 0),
            w2.transpose(2, 1, 0),
            w3.reshape(f2, -1, w3.shape[1]).transpose(1, 0, 2).reshape(w3.shape),
        )

    def _logits(self, inputs):
        functional = self._torch.nn.functional
        hidden = functional.relu(self._first_layer(inputs))
        hidden = functional.relu(functional.conv1d(hidden, self._params[1]))
        return hidden.flatten(1) @ self._params[2]

    def _rows(self, codes):
        """`filter_rows` in PyTorch."""
        torch, (width, _) = self._torch, self.kernel_sizes
        return _torch_filter_rows(torch.from_numpy(np.ascontiguousarray(codes)), width, self.alphabet_size)


class TorchEager(_TorchPeer):
    """PyTorch, eager: a batch's one-hot columns are looked up in an identity, then conv1d.

    Faster than ``one_hot`` with a conversion to floating point. Channels first.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager"

    def _prepare(self, codes):
        super()._prepare(codes)
        identity = np.eye(self.alphabet_size + 1, dtype=self.dtype)[:, 1:]
        self._one_hot = self._torch.from_numpy(np.ascontiguousarray(identity))

    def _inputs(self, codes):
        return self._torch.from_numpy(codes.astype(np.int64) + 1)

    def _first_layer(self, inputs):
        functional = self._torch.nn.functional
        columns = functional.embedding(inputs, self._one_hot).transpose(1, 2)
        return functional.conv1d(columns, self._params[0])


class TorchDense(_TorchPeer):
    """PyTorch, eager: rows of a one-hot data set made beforehand, then conv1d.

    The data set takes ``N * V * L`` numbers of memory.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager, one-hot data set"

    def _inputs(self, codes):
        one_hot = codes[:, None, :] == np.arange(self.alphabet_size, dtype=codes.dtype)[:, None]
        return self._torch.from_numpy(one_hot.astype(self.dtype))

    def _first_layer(self, inputs):
        return self._torch.nn.functional.conv1d(inputs, self._params[0])


class TorchGather(_TorchPeer):
    """PyTorch, eager: layer 1 adds up looked-up filter rows, layer 2 is a channels-last conv2d.

    Channels last, the sums of rows go into the convolution as they are, with a height of 1.
    Faster than ``embedding_bag``, than conv1d, and than unfolding and one matrix product.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager, gather"

    def _parameter(self, w):
        parameter = self._torch.from_numpy(np.ascontiguousarray(w))
        if w.ndim == 4:
            parameter = parameter.to(memory_format=self._torch.channels_last)
        return parameter.requires_grad_()

    def _to_peer(self, w1, w2, w3):
        return w1.reshape(-1, w1.shape[2]), w2.transpose(2, 1, 0)[:, :, None], w3

    def _to_library(self, w1, w2, w3):
        w1 = w1.reshape(self.kernel_sizes[0], self.alphabet_size, self.filters[0])
        return w1, w2[:, :, 0].transpose(2, 1, 0), w3

    def _inputs(self, codes):
        return self._rows(codes)

    def _logits(self, inputs):
        functional = self._torch.nn.functional
        w1, w2, w3 = self._params
        table = self._torch.cat([w1, w1.new_zeros(1, w1.shape[1])])
        rows = functional.embedding(inputs, table, padding_idx=len(w1))
        hidden = functional.relu(rows.sum(2)).transpose(1, 2).unsqueeze(2)
        hidden = functional.relu(functional.conv2d(hidden, w2))
        return hidden.squeeze(2).transpose(1, 2).flatten(1) @ w3


def _compiled_logits(params, rows):
    """Forward pass for ``torch.compile``, from the rows of the first filters."""
    import torch
    from torch.nn import functional

    w1, w2, w3 = params
    table = torch.cat([w1.flatten(0, 1), w1.new_zeros(1, w1.shape[2])])
    hidden = table[rows[:, :, 0]]
    for k in range(1, w1.shape[0]):
        hidden = hidden + table[rows[:, :, k]]
    hidden = functional.relu(hidden)
    n_positions = hidden.shape[1] - w2.shape[0] + 1
    windows = [hidden[:, k : k + n_positions] for k in range(w2.shape[0])]
    unfolded = torch.cat(windows, 2).flatten(0, 1)
    hidden = functional.relu(unfolded @ w2.flatten(0, 1))
    return hidden.view(rows.shape[0], -1) @ w3


def _compiled_probabilities(params, codes):
    """Prediction for ``torch.compile``, from the codes."""
    import torch

    rows = _torch_filter_rows(codes, *params[0].shape[:2])
    return torch.softmax(_compiled_logits(params, rows), 1)


class TorchCompiled(_SurnamePeer, CompiledPeer):
    """PyTorch, compiled: layer 1 adds up filter rows, layer 2 is one matrix product over concatenated windows.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch compiled"
    _logits_function = staticmethod(_compiled_logits)
    _probabilities_function = staticmethod(_compiled_probabilities)

    def _inputs(self, codes):
        codes = self._torch.from_numpy(np.ascontiguousarray(codes))
        return _torch_filter_rows(codes, self.kernel_sizes[0], self.alphabet_size)


def _jax_logits(weights, rows):
    """Forward pass in JAX; ``rows[k]`` holds the rows of the first filters at their position ``k``."""
    import jax
    import jax.numpy as jnp

    w1, w2, w3 = weights
    filters = w1.shape[2]
    table = jnp.concatenate([w1.reshape(-1, filters), jnp.zeros((1, filters), w1.dtype)])
    hidden = jax.nn.relu(sum(table.at[row].get(mode="promise_in_bounds") for row in rows))
    n_positions = hidden.shape[1] - w2.shape[0] + 1
    windows = [hidden[:, k : k + n_positions] for k in range(w2.shape[0])]
    unfolded = jnp.concatenate(windows, 2).reshape(-1, w2.shape[0] * w2.shape[1])
    hidden = jax.nn.relu(unfolded @ w2.reshape(-1, w2.shape[2]))
    return hidden.reshape(len(rows[0]), -1) @ w3


def _jax_batch_logits(weights, rows):
    """Forward pass in JAX from the rows of a batch, (n, P, K)."""
    return _jax_logits(weights, [rows[:, :, k] for k in range(rows.shape[2])])


def _jax_probabilities(weights, codes):
    """Prediction in JAX, from the codes."""
    import jax
    import jax.numpy as jnp

    width, depth, _ = weights[0].shape
    n_positions = codes.shape[1] - width + 1
    symbols = codes.astype(jnp.int32)
    windows = [symbols[:, k : k + n_positions] for k in range(width)]
    rows = [jnp.where(window < 0, width * depth, window + k * depth) for k, window in enumerate(windows)]
    return jax.nn.softmax(_jax_logits(weights, rows), 1)


class JaxJit(_SurnamePeer, JaxPeer):
    """JAX: the whole update in one ``jit``, one call an update, buffers donated.

    64-bit numbers are enabled within its own calls only, and only for float64 weights.

    Parameters and methods: see `Peer`.
    """

    name = "JAX jit"
    _logits_function = staticmethod(_jax_batch_logits)
    _probabilities_function = staticmethod(_jax_probabilities)

    def _inputs(self, codes):
        return filter_rows(codes, self.kernel_sizes[0], self.alphabet_size).astype(np.int32)


class JaxScan(JaxJit):
    """JAX: all the updates in one ``jit`` call, by ``lax.scan``, buffers donated.

    64-bit numbers are enabled within its own calls only, and only for float64 weights.
    Another number of updates compiles again.

    Parameters and methods: see `Peer`.
    """

    name = "JAX scan"

    def _compile(self):
        jax, one = self._jax, self._one_update

        def updates(state, data, index_batches, rate, momentum):
            def update(state, indices):
                return one(state, data, indices, rate, momentum)

            return jax.lax.scan(update, state, index_batches)

        self._scan = jax.jit(updates, donate_argnums=0)

    def _updates(self, index_batches, learning_rate, momentum):
        rate, momentum = self.dtype.type(learning_rate), self.dtype.type(momentum)
        with self._context():
            self._state, results = self._scan(self._state, self._data, index_batches.astype(np.int32), rate, momentum)
        self._jax.block_until_ready(self._state)
        return results


PEERS = (TorchEager, TorchDense, TorchGather, TorchCompiled, JaxJit, JaxScan)
available = partial(frameworks.available, PEERS)
unavailable = partial(frameworks.unavailable, PEERS)
