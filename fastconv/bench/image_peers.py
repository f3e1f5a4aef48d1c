"""The peers of the image ConvNets' timing: PyTorch and JAX, each at its best settings.

Every class trains the same network from the same arrays::

    peer = Peer(images, labels, weights, padding=0, sample_weight=None, threads=1)

and is run as `fastconv.bench.frameworks` says.

The network: ``images (N, H, W, C)`` -> convolutions ``w (KH, KW, C, F)`` with biases ``b (F,)``,
each followed by ReLU and 2x2 max-pooling -> flatten, row-major -> dense layers ``w (D, U)``,
``b (U,)`` with ReLU between them. How many there are of each is read off `weights`, which are
``w, b, w, b, ...``; `padding` is that of every convolution, at either end of both axes.
Cross-correlation, stride 1; pooling drops an incomplete last window.

Notes
-----
What makes these the best settings found:

- *Pooling first.* The largest of four is taken before the ReLU, which is the same function with the
  same gradient: the ReLU then has a quarter of the work. PyTorch's training step of net G, channels
  last, takes three quarters of the time.
- *Layout, PyTorch.* Channels last is the data's own layout, and the dense layer then reads rows that
  lie as they are. Contiguous (channels first) is there for comparison.
- *Pooling, PyTorch.* ``max_pool2d``: the maximum of four slices takes three times the step's time.
- *Huge pages, PyTorch.* glibc takes the pages of large arrays from the system and gives them back at
  every step; with ``glibc.malloc.hugetlb=1`` they are 2 MB each.
- *Convolution, JAX.* XLA's own. One product over concatenated windows takes five sixths of the time for
  net G on two threads, but more everywhere else, and twice the time for net R on one. Pooling is by a
  reshape and a maximum, faster, backward above all, than ``reduce_window``.
"""

from functools import partial
from types import MappingProxyType

import numpy as np

from fastconv.bench import frameworks
from fastconv.bench.frameworks import CompiledPeer, JaxPeer, Peer, TorchPeer

__all__ = [
    "PEERS",
    "JaxImages",
    "TorchChannelsLast",
    "TorchChannelsLastHugePages",
    "TorchCompiledChannelsLast",
    "TorchCompiledContiguous",
    "TorchContiguous",
    "available",
    "unavailable",
]


class _ImagePeer(Peer):
    """The network's description.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C)
        The data set, of the dtype of the weights.
    labels : ndarray of int, shape (N,)
        Classes.
    weights : sequence of ndarray
        ``w`` and ``b`` of each layer in turn.
    padding : int
        Zeros at either end of both axes of each convolution.
    sample_weight, threads
        As for every peer.
    """

    def __init__(self, images, labels, weights, padding=0, sample_weight=None, threads=1):
        self.padding = padding
        super().__init__(images, labels, weights, sample_weight, threads)


def _torch_logits(channels_last, padding, params, images):
    """Forward pass in PyTorch, images (n, C, H, W) in either layout."""
    import torch
    from torch.nn import functional

    hidden, n = images, len(params)
    for i in range(0, n, 2):
        w, b = params[i : i + 2]
        if w.ndim == 4:
            hidden = functional.relu(functional.max_pool2d(functional.conv2d(hidden, w, b, padding=padding), 2))
        else:
            if hidden.ndim == 4:
                hidden = (hidden.permute(0, 2, 3, 1) if channels_last else hidden).flatten(1)
            hidden = torch.addmm(b, hidden, w)
            if i + 2 < n:
                hidden = functional.relu(hidden)
    return hidden


def _torch_probabilities(channels_last, padding, params, images):
    """Prediction in PyTorch, images (n, H, W, C)."""
    import torch

    images = images.permute(0, 3, 1, 2)
    return torch.softmax(_torch_logits(channels_last, padding, params, images), 1)


class _TorchImages(_ImagePeer, TorchPeer):
    channels_last = False

    def _parameter(self, w):
        w = self._torch.from_numpy(np.ascontiguousarray(w))
        if w.ndim == 4 and self.channels_last:
            w = w.contiguous(memory_format=self._torch.channels_last)
        return w.requires_grad_()

    def _to_peer(self, *weights):
        weights = [w.transpose(3, 2, 0, 1) if w.ndim == 4 else w for w in weights]
        return weights if self.channels_last else self._first_dense(weights, (1, 0, 2), -1, self._filters(weights))

    def _to_library(self, *weights):
        if not self.channels_last:
            weights = self._first_dense(weights, (1, 0, 2), self._filters(weights), -1)
        return [w.transpose(2, 3, 1, 0) if w.ndim == 4 else w for w in weights]

    @staticmethod
    def _filters(weights):
        """Filters of the last convolution: channels of what is flattened."""
        return [len(w) for w in weights if w.ndim == 4][-1]

    @staticmethod
    def _first_dense(weights, axes, *shape):
        """The weights, the rows of the first dense layer in another order: pixels and channels change places."""
        first = [w.ndim for w in weights].index(2)
        weights = list(weights)
        w = weights[first]
        weights[first] = w.reshape(*shape, w.shape[1]).transpose(axes).reshape(w.shape)
        return weights

    def _inputs(self, images):
        images = self._torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        return images if self.channels_last else images.contiguous()

    def _logits(self, inputs):
        return _torch_logits(self.channels_last, self.padding, self._params, inputs)


class TorchContiguous(_TorchImages):
    """PyTorch, eager, channels first.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager, contiguous"


class TorchChannelsLast(_TorchImages):
    """PyTorch, eager, channels last.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager, channels_last"
    channels_last = True


class TorchChannelsLastHugePages(TorchChannelsLast):
    """PyTorch, eager, channels last, its memory in huge pages.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch eager, huge pages"
    environment = MappingProxyType({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})


class TorchCompiledContiguous(_TorchImages, CompiledPeer):
    """PyTorch, compiled, channels first.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch compiled, contiguous"

    def _parameter(self, w):
        return super()._parameter(w).requires_grad_(False)

    @property
    def _logits_function(self):
        return partial(_torch_logits, self.channels_last, self.padding)

    @property
    def _probabilities_function(self):
        return partial(_torch_probabilities, self.channels_last, self.padding)


class TorchCompiledChannelsLast(TorchCompiledContiguous):
    """PyTorch, compiled, channels last.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch compiled, channels_last"
    channels_last = True


def _jax_logits(padding, weights, images):
    """Forward pass in JAX."""
    import jax

    hidden, n = images, len(weights)
    for i in range(0, n, 2):
        w, b = weights[i : i + 2]
        if w.ndim == 4:
            pads = [(padding, padding)] * 2
            layouts = ("NHWC", "HWIO", "NHWC")
            hidden = jax.lax.conv_general_dilated(hidden, w, (1, 1), pads, dimension_numbers=layouts) + b
            count, height, width, channels = hidden.shape
            windows = hidden[:, : height // 2 * 2, : width // 2 * 2]
            hidden = windows.reshape(count, height // 2, 2, width // 2, 2, channels).max((2, 4))
        else:
            hidden = hidden.reshape(len(hidden), -1) @ w + b
        if i + 2 < n:
            hidden = jax.nn.relu(hidden)
    return hidden


def _jax_probabilities(padding, weights, images):
    """Prediction in JAX."""
    import jax

    return jax.nn.softmax(_jax_logits(padding, weights, images), 1)


class JaxImages(_ImagePeer, JaxPeer):
    """JAX: the whole update in one ``jit``, channels last.

    Parameters and methods: see `Peer`.
    """

    name = "JAX jit"

    @property
    def _logits_function(self):
        return partial(_jax_logits, self.padding)

    @property
    def _probabilities_function(self):
        return partial(_jax_probabilities, self.padding)

    def _inputs(self, images):
        return images


PEERS = (
    TorchContiguous,
    TorchChannelsLast,
    TorchChannelsLastHugePages,
    TorchCompiledContiguous,
    TorchCompiledChannelsLast,
    JaxImages,
)
available = partial(frameworks.available, PEERS)
unavailable = partial(frameworks.unavailable, PEERS)
