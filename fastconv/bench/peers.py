"""The peers of the surname ConvNet's timing: PyTorch and JAX, each at its best setting.

Every class trains the same network from the same arrays and has the same interface::

    peer = Peer(codes, labels, w1, w2, w3, sample_weight=None, threads=1)
    peer.warm_up(index_batches)                          # compiles; leaves the state as it was
    losses = peer.run(index_batches, learning_rate, momentum)
    w1, w2, w3 = peer.weights()
    probabilities = peer.predict_proba(codes, batch_size)

The network: ``codes (N, L)`` int16 (-1 is no character) -> one-hot -> conv1 ``w1 (K1, V, F1)`` ->
ReLU -> conv2 ``w2 (K2, F1, F2)`` -> ReLU -> flatten, row-major -> dense
``w3 (L2 * F2, n_classes)``; cross-correlation, stride 1, no padding, no
biases. The loss is the mean over the batch of ``sample_weight * softmax cross-entropy``; the update
is ``v = momentum * v + learning_rate * g``, ``p -= v``. The dtype of ``w1`` (float32 or float64) is
the dtype of everything.

Neither framework is imported before a peer is constructed.

Notes
-----
What makes these the best settings found:

- *Optimiser, PyTorch.* The backward pass is seeded with the learning rate instead of 1, so the
  gradients arrive multiplied by it, and one call of the fused operator behind
  ``torch.optim.SGD(fused=True)`` at rate 1 is exactly the update above, for a changing rate too.
  It is faster than the optimiser class (fused or foreach), than three foreach calls, and than a
  flat parameter vector.
- *Layer 1.* Row numbers of the filters, one for each position and letter, are made once for the
  whole data set; a batch gathers them. A row of zeros stands for "no character".
- *Threads, JAX.* The CPU backend takes its thread count from ``PJRT_NPROC`` when it starts, and
  never again: one process, one count. `subprocess_environment` gives the environment for another.
  The usual ``XLA_FLAGS`` (``--xla_cpu_multi_thread_eigen=false``) do not limit it in current
  versions; restricting the process's affinity before the backend starts does.
"""

import contextlib
import importlib.util
import os
import shlex
import shutil
import sysconfig
from pathlib import Path

import numpy as np

__all__ = [
    "PEERS",
    "JaxJit",
    "JaxScan",
    "Peer",
    "PeerUnavailable",
    "TorchCompiled",
    "TorchDense",
    "TorchEager",
    "TorchGather",
    "available",
    "set_threads",
    "subprocess_environment",
    "unavailable",
]


class PeerUnavailable(RuntimeError):
    """A peer cannot run here; the message says why."""


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


class Peer:
    """The interface all peers share; a framework's base class fills in the rest.

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
    sample_weight : ndarray, shape (N,), optional
        Weight of each sample's cross-entropy; 1 if left out.
    threads : int
        CPU threads the framework may use.

    Raises
    ------
    PeerUnavailable
        If the framework, a compiler it needs, or the thread count cannot be had.
    """

    name = ""
    framework = ""

    def __init__(self, codes, labels, w1, w2, w3, sample_weight=None, threads=1):
        reason = self.unavailable_reason()
        if reason is not None:
            raise PeerUnavailable(reason)
        self.threads = threads
        self.dtype = np.dtype(w1.dtype)
        self.kernel_sizes = w1.shape[0], w2.shape[0]
        self.alphabet_size = w1.shape[1]
        self.filters = w1.shape[2], w2.shape[2]
        weights = [np.array(w, dtype=self.dtype) for w in (w1, w2, w3)]
        if sample_weight is not None:
            sample_weight = np.array(sample_weight, dtype=self.dtype)
        self._build(np.asarray(codes), np.array(labels, dtype=np.int64), weights, sample_weight)

    @classmethod
    def unavailable_reason(cls):
        """Why this peer cannot run here, without importing the framework.

        Returns
        -------
        str or None
            The reason, or None if nothing speaks against it.
        """
        module = cls.framework.lower().replace("pytorch", "torch")
        if importlib.util.find_spec(module) is None:
            return f"{cls.framework}: not installed"
        return None

    def step(self, indices, learning_rate, momentum):
        """One update on one batch.

        Parameters
        ----------
        indices : ndarray of int, shape (batch,)
            Rows of the data set.
        learning_rate, momentum : float
            Settings of the update.

        Returns
        -------
        object
            The batch's loss before the update, in the framework's own type; see `losses`.
        """
        return self._updates(np.asarray(indices)[None], learning_rate, momentum)[0]

    def losses(self, results):
        """Losses as a NumPy array; returns when they are all computed.

        Parameters
        ----------
        results : sequence
            What `step` returned, one entry an update.

        Returns
        -------
        ndarray of float, shape (updates,)
            The losses.
        """
        return np.array([np.asarray(result) for result in results], dtype=self.dtype)

    def run(self, index_batches, learning_rate, momentum):
        """Train on batch after batch: the timed entry.

        Parameters
        ----------
        index_batches : ndarray of int, shape (updates, batch)
            Rows of the data set, a batch an update; gathering them is part of the work.
        learning_rate, momentum : float
            Settings of the update.

        Returns
        -------
        ndarray of float, shape (updates,)
            Each batch's loss before its update. All work is finished on return.
        """
        return self.losses(self._updates(np.asarray(index_batches), learning_rate, momentum))

    def predict_proba(self, codes, batch_size=None):
        """Probabilities of the classes.

        Parameters
        ----------
        codes : ndarray of int16, shape (n, L)
            Characters; -1 is no character. What the peer makes of them is part of the work.
        batch_size : int, optional
            Names at a time; all at once if left out. A batch of a new size may compile again.

        Returns
        -------
        ndarray, shape (n, classes)
            Of the dtype of the computation.
        """
        size = batch_size or max(1, len(codes))
        if len(codes) <= size:
            return self._probabilities(codes)
        return np.concatenate([self._probabilities(codes[i : i + size]) for i in range(0, len(codes), size)])

    def warm_up(self, index_batches):
        """Compile and warm every path that `run` takes, and restore the state.

        Parameters
        ----------
        index_batches : ndarray of int, shape (updates, batch) or (batch,)
            Batches of the shape that `run` will get. `JaxScan` compiles for one number of updates,
            the others for one batch size.
        """
        state = self.get_state()
        try:
            self.run(np.atleast_2d(index_batches), 1e-3, 0.9)
        finally:
            self.set_state(state)


def _torch_filter_rows(codes, kernel_size, alphabet_size):
    """`filter_rows` of a tensor."""
    import torch

    windows = codes.to(torch.int64).unfold(1, kernel_size, 1)
    rows = windows + torch.arange(kernel_size) * alphabet_size
    return torch.where(windows < 0, kernel_size * alphabet_size, rows)


class _TorchPeer(Peer):
    framework = "PyTorch"

    def _build(self, codes, labels, weights, sample_weight):
        import torch

        self._torch = torch
        set_threads(self.threads)
        self._labels = torch.from_numpy(labels)
        self._sample_weight = None if sample_weight is None else torch.from_numpy(sample_weight)
        self._params = [self._parameter(w) for w in self._to_peer(*weights)]
        self._velocities = [torch.zeros_like(p, requires_grad=False) for p in self._params]
        self._prepare(codes)

    def _prepare(self, codes):
        self._data = self._inputs(codes)

    def _parameter(self, w):
        return self._torch.from_numpy(np.ascontiguousarray(w)).requires_grad_()

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

    def weights(self):
        """The weights, copied into the library's layout.

        Returns
        -------
        w1, w2, w3 : ndarray
            Shapes and dtype as given to the constructor.
        """
        arrays = self._to_library(*(p.detach().numpy() for p in self._params))
        return tuple(np.array(w, order="C") for w in arrays)

    def get_state(self):
        return [t.detach().clone() for t in (*self._params, *self._velocities)]

    def set_state(self, state):
        with self._torch.no_grad():
            for tensor, saved in zip((*self._params, *self._velocities), state, strict=True):
                tensor.copy_(saved)

    def _updates(self, index_batches, learning_rate, momentum):
        torch = self._torch
        set_threads(self.threads)
        batches = torch.from_numpy(index_batches.astype(np.int64, copy=False))
        seed = torch.tensor(learning_rate, dtype=self._params[0].dtype)
        results = []
        for indices in batches.unbind(0):
            loss = self._loss(indices)
            gradients = torch.autograd.grad(loss, self._params, seed)
            # The fused update walks raw memory: a gradient needs the strides of its parameter.
            gradients = [
                g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
                for p, g in zip(self._params, gradients, strict=True)
            ]
            with torch.no_grad():
                torch._fused_sgd_(
                    self._params,
                    gradients,
                    self._velocities,
                    weight_decay=0.0,
                    momentum=momentum,
                    lr=1.0,
                    dampening=0.0,
                    nesterov=False,
                    maximize=False,
                    is_first_step=False,
                )
            results.append(loss.detach())
        return results

    def losses(self, results):
        return self._torch.stack(list(results)).numpy() if len(results) else np.empty(0, self.dtype)

    def _loss(self, indices):
        functional = self._torch.nn.functional
        logits, labels = self._logits(self._data[indices]), self._labels[indices]
        if self._sample_weight is None:
            return functional.cross_entropy(logits, labels)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        return (losses * self._sample_weight[indices]).mean()

    def _logits(self, inputs):
        functional = self._torch.nn.functional
        hidden = functional.relu(self._first_layer(inputs))
        hidden = functional.relu(functional.conv1d(hidden, self._params[1]))
        return hidden.flatten(1) @ self._params[2]

    def _probabilities(self, codes):
        set_threads(self.threads)
        with self._torch.inference_mode():
            return self._torch.softmax(self._logits(self._inputs(codes)), 1).numpy()

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


def _compiled_step(params, velocities, rows, labels, sample_weight, indices, rate, momentum):
    """One whole update for ``torch.compile``: gather, forward, backward, optimiser."""
    import torch
    from torch.nn import functional

    def batch_loss(params):
        logits = _compiled_logits(params, rows[indices])
        if sample_weight is None:
            return functional.cross_entropy(logits, labels[indices])
        losses = functional.cross_entropy(logits, labels[indices], reduction="none")
        return (losses * sample_weight[indices]).mean()

    gradients, loss = torch.func.grad_and_value(batch_loss)(params)
    for p, v, g in zip(params, velocities, gradients, strict=True):
        v.mul_(momentum).add_(rate * g)
        p.sub_(v)
    return loss


class TorchCompiled(_TorchPeer):
    """PyTorch, compiled: gather, forward, backward and optimiser in one ``torch.compile``.

    Layer 1 adds up filter rows, layer 2 is one matrix product over concatenated windows.
    Needs a C++ compiler and Python's headers; a batch of a new size compiles again.

    Parameters and methods: see `Peer`.
    """

    name = "PyTorch compiled"

    @classmethod
    def unavailable_reason(cls):
        reason = super().unavailable_reason()
        if reason is not None:
            return reason
        compiler = shlex.split(os.environ.get("CXX", "g++"))[0]
        if shutil.which(compiler) is None:
            return f"{cls.framework}: torch.compile finds no C++ compiler ({compiler})"
        if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
            return f"{cls.framework}: torch.compile finds no Python headers (Python.h)"
        return None

    def _parameter(self, w):
        return self._torch.from_numpy(np.ascontiguousarray(w))

    def _to_peer(self, w1, w2, w3):
        return w1, w2, w3

    _to_library = _to_peer

    def _inputs(self, codes):
        return self._rows(codes)

    def _prepare(self, codes):
        super()._prepare(codes)
        self._compiled = self._torch.compile(_compiled_step, fullgraph=True, dynamic=False)
        self._compiled_probabilities = self._torch.compile(_compiled_probabilities, fullgraph=True, dynamic=False)

    def _updates(self, index_batches, learning_rate, momentum):
        torch = self._torch
        set_threads(self.threads)
        batches = torch.from_numpy(index_batches.astype(np.int64, copy=False))
        dtype = self._params[0].dtype
        rate, momentum = (torch.tensor(x, dtype=dtype) for x in (learning_rate, momentum))
        with torch.no_grad():
            return [
                self._compiled(
                    self._params,
                    self._velocities,
                    self._data,
                    self._labels,
                    self._sample_weight,
                    indices,
                    rate,
                    momentum,
                )
                for indices in batches.unbind(0)
            ]

    @contextlib.contextmanager
    def _compiling(self):
        """Context in which a failure to compile becomes a reason for being unavailable."""
        from torch._dynamo.exc import BackendCompilerFailed
        from torch._inductor.exc import InductorError

        try:
            yield
        except (BackendCompilerFailed, InductorError) as error:
            reason = " ".join(str(error).split()[:20])
            raise PeerUnavailable(f"{self.framework}: torch.compile failed: {reason}") from error

    def _probabilities(self, codes):
        set_threads(self.threads)
        codes = self._torch.from_numpy(np.ascontiguousarray(codes))
        with self._torch.inference_mode(), self._compiling():
            return self._compiled_probabilities(self._params, codes).numpy()

    def warm_up(self, index_batches):
        with self._compiling():
            super().warm_up(index_batches)

    warm_up.__doc__ = Peer.warm_up.__doc__


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


def _jax_update(state, data, indices, rate, momentum):
    """One update in JAX: ``(weights, velocities)`` -> the next, and the loss before it."""
    import jax
    import jax.numpy as jnp

    rows, labels, sample_weight = data

    def batch_loss(weights):
        batch_rows = rows[indices]
        logits = _jax_logits(weights, [batch_rows[:, :, k] for k in range(rows.shape[2])])
        true_logits = jnp.take_along_axis(logits, labels[indices][:, None], 1)[:, 0]
        losses = jax.nn.logsumexp(logits, 1) - true_logits
        return jnp.mean(losses if sample_weight is None else losses * sample_weight[indices])

    weights, velocities = state
    loss, gradients = jax.value_and_grad(batch_loss)(weights)
    velocities = [momentum * v + rate * g for v, g in zip(velocities, gradients, strict=True)]
    weights = [w - v for w, v in zip(weights, velocities, strict=True)]
    return (weights, velocities), loss


_jax_threads = None


def _start_jax(threads):
    """Start JAX's CPU backend with this many threads, or check that it was."""
    global _jax_threads
    if _jax_threads is None:
        saved = os.environ.get("PJRT_NPROC")
        os.environ["PJRT_NPROC"] = str(threads)
        try:
            import jax

            jax.devices("cpu")
        finally:
            if saved is None:
                del os.environ["PJRT_NPROC"]
            else:
                os.environ["PJRT_NPROC"] = saved
        _jax_threads = threads
    elif _jax_threads != threads:
        raise PeerUnavailable(
            f"JAX: runs with {_jax_threads} thread(s) in this process, {threads} asked for; start another process"
        )


class _JaxPeer(Peer):
    framework = "JAX"

    def _build(self, codes, labels, weights, sample_weight):
        _start_jax(self.threads)
        import jax
        import jax.numpy as jnp

        self._jax = jax
        rows = filter_rows(codes, self.kernel_sizes[0], self.alphabet_size)
        with self._precision():
            self._data = (
                jnp.asarray(rows.astype(np.int32)),
                jnp.asarray(labels.astype(np.int32)),
                None if sample_weight is None else jnp.asarray(sample_weight),
            )
        self.set_state((weights, [np.zeros_like(w) for w in weights]))
        self._predict = jax.jit(_jax_probabilities)
        self._compile()

    def _precision(self):
        """Context of 64-bit numbers for float64 and of 32-bit numbers otherwise."""
        if not hasattr(self._jax, "enable_x64"):
            from jax.experimental import enable_x64

            return enable_x64(self.dtype == np.float64)
        return self._jax.enable_x64(self.dtype == np.float64)

    def _device(self):
        return self._jax.default_device(self._jax.devices("cpu")[0])

    @contextlib.contextmanager
    def _context(self):
        with self._precision(), self._device():
            yield

    def weights(self):
        """The weights, copied into the library's layout.

        Returns
        -------
        w1, w2, w3 : ndarray
            Shapes and dtype as given to the constructor.
        """
        return tuple(np.array(w) for w in self._state[0])

    def get_state(self):
        return tuple([np.array(a) for a in arrays] for arrays in self._state)

    def set_state(self, state):
        with self._context():
            self._state = tuple([self._jax.numpy.array(a) for a in arrays] for arrays in state)

    def losses(self, results):
        return np.array(self._jax.device_get(results), dtype=self.dtype)

    def _probabilities(self, codes):
        with self._context():
            return np.asarray(self._predict(self._state[0], codes))


class JaxJit(_JaxPeer):
    """JAX: the whole update in one ``jit``, one call an update, buffers donated.

    64-bit numbers are enabled within its own calls only, and only for float64 weights.

    Parameters and methods: see `Peer`.
    """

    name = "JAX jit"

    def _compile(self):
        self._update = self._jax.jit(_jax_update, donate_argnums=0)

    def _updates(self, index_batches, learning_rate, momentum):
        rate, momentum = self.dtype.type(learning_rate), self.dtype.type(momentum)
        results = []
        with self._context():
            for indices in index_batches.astype(np.int32):
                self._state, loss = self._update(self._state, self._data, indices, rate, momentum)
                results.append(loss)
        self._jax.block_until_ready(self._state)
        return results


class JaxScan(_JaxPeer):
    """JAX: all the updates in one ``jit`` call, by ``lax.scan``, buffers donated.

    64-bit numbers are enabled within its own calls only, and only for float64 weights.
    Another number of updates compiles again.

    Parameters and methods: see `Peer`.
    """

    name = "JAX scan"

    def _compile(self):
        jax = self._jax

        def updates(state, data, index_batches, rate, momentum):
            def update(state, indices):
                return _jax_update(state, data, indices, rate, momentum)

            return jax.lax.scan(update, state, index_batches)

        self._scan = jax.jit(updates, donate_argnums=0)

    def _updates(self, index_batches, learning_rate, momentum):
        rate, momentum = self.dtype.type(learning_rate), self.dtype.type(momentum)
        with self._context():
            self._state, results = self._scan(self._state, self._data, index_batches.astype(np.int32), rate, momentum)
        self._jax.block_until_ready(self._state)
        return results


PEERS = (TorchEager, TorchDense, TorchGather, TorchCompiled, JaxJit, JaxScan)


def available():
    """The peers that can run here.

    Returns
    -------
    list of type
        Classes, in the order of a table.

    Examples
    --------
    >>> len(available()) + len(unavailable()) == len(PEERS)
    True
    """
    return [peer for peer in PEERS if peer.unavailable_reason() is None]


def unavailable():
    """The peers that cannot run here, and why.

    Returns
    -------
    dict of str to str
        Reason by the peer's name, such as ``"PyTorch: not installed"``.

    Examples
    --------
    >>> all(isinstance(reason, str) for reason in unavailable().values())
    True
    """
    reasons = {peer.name: peer.unavailable_reason() for peer in PEERS}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def set_threads(n):
    """Set PyTorch's number of threads, for the whole process.

    Its peers call this before they compute. JAX cannot change its number: see
    `subprocess_environment`.

    Parameters
    ----------
    n : int
        Threads, at least 1.

    Raises
    ------
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> set_threads(0)
    Traceback (most recent call last):
    ValueError: set_threads: expected at least 1 thread, got 0
    """
    if n < 1:
        raise ValueError(f"set_threads: expected at least 1 thread, got {n}")
    import torch

    if torch.get_num_threads() != n:
        torch.set_num_threads(n)


def subprocess_environment(n, environment=None):
    """Environment in which a new process's JAX, PyTorch and OpenMP take ``n`` threads.

    Parameters
    ----------
    n : int
        Threads, at least 1.
    environment : mapping of str to str, optional
        What to start from; this process's environment if left out.

    Returns
    -------
    dict of str to str
        A copy with the thread counts set.

    Raises
    ------
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> subprocess_environment(2, {})["PJRT_NPROC"]
    '2'
    """
    if n < 1:
        raise ValueError(f"subprocess_environment: expected at least 1 thread, got {n}")
    counts = dict.fromkeys(("PJRT_NPROC", "NPROC", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(n))
    return {**(os.environ if environment is None else environment), **counts}
