"""What the peers of every contest share: PyTorch and JAX, each at its best setting, whatever the network.

A peer trains one network from given arrays and has this interface::

    peer = Peer(data, labels, weights, sample_weight=None, threads=1)
    peer.warm_up(index_batches)                          # compiles; leaves the state as it was
    losses = peer.run(index_batches, learning_rate, momentum)
    arrays = peer.weights()
    probabilities = peer.predict_proba(data, batch_size)

The loss is the mean over the batch of ``sample_weight * softmax cross-entropy``; the update is
``v = momentum * v + learning_rate * g``, ``p -= v``. The dtype of the weights (float32 or float64)
is the dtype of everything. The networks are in `fastconv.bench.peers` and
`fastconv.bench.image_peers`.

Neither framework is imported before a peer is constructed.

Notes
-----
What makes these the best settings found:

- *Optimiser, PyTorch.* The backward pass is seeded with the learning rate instead of 1, so the
  gradients arrive multiplied by it, and one call of the fused operator behind
  ``torch.optim.SGD(fused=True)`` at rate 1 is exactly the update above, for a changing rate too.
  It is faster than the optimiser class (fused or foreach), than three foreach calls, and than a
  flat parameter vector.
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
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

__all__ = [
    "CompiledPeer",
    "JaxPeer",
    "Peer",
    "PeerUnavailable",
    "TorchPeer",
    "available",
    "set_threads",
    "subprocess_environment",
    "unavailable",
]


class PeerUnavailable(RuntimeError):
    """A peer cannot run here; the message says why."""


class Peer:
    """The interface all peers share; a framework's class and a network's class fill in the rest.

    Parameters
    ----------
    data : ndarray, shape (N, ...)
        What the network is trained on.
    labels : ndarray of int, shape (N,)
        Classes.
    weights : sequence of ndarray of float32 or float64
        The network's parameters in the library's layout; the dtype of the first is that of the
        computation.
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
    environment = MappingProxyType({})
    """Variables that a process for this peer is to be started with."""

    def __init__(self, data, labels, weights, sample_weight=None, threads=1):
        reason = self.unavailable_reason()
        if reason is not None:
            raise PeerUnavailable(reason)
        self.threads = threads
        self.dtype = np.dtype(weights[0].dtype)
        weights = [np.array(w, dtype=self.dtype) for w in weights]
        if sample_weight is not None:
            sample_weight = np.array(sample_weight, dtype=self.dtype)
        self._build(np.asarray(data), np.array(labels, dtype=np.int64), weights, sample_weight)

    def _to_peer(self, *weights):
        """The weights as the framework wants them."""
        return weights

    def _to_library(self, *weights):
        """The way back."""
        return weights

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

    def predict_proba(self, data, batch_size=None):
        """Probabilities of the classes.

        Parameters
        ----------
        data : ndarray, shape (n, ...)
            Of the kind given to the constructor. What the peer makes of it is part of the work.
        batch_size : int, optional
            Samples at a time; all at once if left out. A batch of a new size may compile again.

        Returns
        -------
        ndarray, shape (n, classes)
            Of the dtype of the computation.
        """
        size = batch_size or max(1, len(data))
        if len(data) <= size:
            return self._probabilities(data)
        return np.concatenate([self._probabilities(data[i : i + size]) for i in range(0, len(data), size)])

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


class TorchPeer(Peer):
    """A peer in PyTorch, eager: a network's class gives `_inputs` and `_logits`.

    Parameters and methods: see `Peer`.
    """

    framework = "PyTorch"

    def _build(self, data, labels, weights, sample_weight):
        import torch

        self._torch = torch
        set_threads(self.threads)
        self._labels = torch.from_numpy(labels)
        self._sample_weight = None if sample_weight is None else torch.from_numpy(sample_weight)
        self._params = [self._parameter(w) for w in self._to_peer(*weights)]
        self._velocities = [torch.zeros_like(p, requires_grad=False) for p in self._params]
        self._prepare(data)

    def _prepare(self, data):
        self._data = self._inputs(data)

    def _parameter(self, w):
        return self._torch.from_numpy(np.ascontiguousarray(w)).requires_grad_()

    def weights(self):
        """The weights, copied into the library's layout.

        Returns
        -------
        tuple of ndarray
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

    def _probabilities(self, data):
        set_threads(self.threads)
        with self._torch.inference_mode():
            return self._torch.softmax(self._logits(self._inputs(data)), 1).numpy()


def compiled_step(logits):
    """One whole update for ``torch.compile``: gather, forward, backward, optimiser.

    Parameters
    ----------
    logits : callable
        The network's forward pass, of its parameters and a batch's inputs.

    Returns
    -------
    callable
        Of parameters, velocities, data, labels, sample weights, a batch's rows, rate and momentum;
        returns the loss.
    """
    import torch
    from torch.nn import functional

    def step(params, velocities, data, labels, sample_weight, indices, rate, momentum):
        def batch_loss(params):
            found = logits(params, data[indices])
            if sample_weight is None:
                return functional.cross_entropy(found, labels[indices])
            losses = functional.cross_entropy(found, labels[indices], reduction="none")
            return (losses * sample_weight[indices]).mean()

        gradients, loss = torch.func.grad_and_value(batch_loss)(params)
        for p, v, g in zip(params, velocities, gradients, strict=True):
            v.mul_(momentum).add_(rate * g)
            p.sub_(v)
        return loss

    return step


class CompiledPeer(TorchPeer):
    """A peer in PyTorch, compiled: gather, forward, backward and optimiser in one ``torch.compile``.

    A network's class gives `_inputs`, and as functions of the module `_logits_function`, of
    parameters and inputs, and `_probabilities_function`, of parameters and data. Needs a C++
    compiler and Python's headers; a batch of a new size compiles again.

    Parameters and methods: see `Peer`.
    """

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

    def _prepare(self, data):
        super()._prepare(data)
        settings = {"fullgraph": True, "dynamic": False}
        self._compiled = self._torch.compile(compiled_step(self._logits_function), **settings)
        self._compiled_probabilities = self._torch.compile(self._probabilities_function, **settings)

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

    def _probabilities(self, data):
        set_threads(self.threads)
        data = self._torch.from_numpy(np.ascontiguousarray(data))
        with self._torch.inference_mode(), self._compiling():
            return self._compiled_probabilities(self._params, data).numpy()

    def warm_up(self, index_batches):
        with self._compiling():
            super().warm_up(index_batches)

    warm_up.__doc__ = Peer.warm_up.__doc__


def _jax_update(logits, state, data, indices, rate, momentum):
    """One update in JAX: ``(weights, velocities)`` -> the next, and the loss before it."""
    import jax
    import jax.numpy as jnp

    inputs, labels, sample_weight = data

    def batch_loss(weights):
        found = logits(weights, inputs[indices])
        true_logits = jnp.take_along_axis(found, labels[indices][:, None], 1)[:, 0]
        losses = jax.nn.logsumexp(found, 1) - true_logits
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


class JaxPeer(Peer):
    """A peer in JAX: the whole update in one ``jit``, one call an update, buffers donated.

    A network's class gives `_inputs`, and as functions of the module `_logits_function`, of weights
    and inputs, and `_probabilities_function`, of weights and data. 64-bit numbers are enabled
    within its own calls only, and only for float64 weights.

    Parameters and methods: see `Peer`.
    """

    framework = "JAX"

    def _build(self, data, labels, weights, sample_weight):
        _start_jax(self.threads)
        import jax
        import jax.numpy as jnp

        self._jax = jax
        weights = self._to_peer(*weights)
        with self._precision():
            self._data = (
                jnp.asarray(self._inputs(data)),
                jnp.asarray(labels.astype(np.int32)),
                None if sample_weight is None else jnp.asarray(sample_weight),
            )
        self.set_state((weights, [np.zeros_like(w) for w in weights]))
        self._predict = jax.jit(self._probabilities_function)
        self._one_update = partial(_jax_update, self._logits_function)
        self._compile()

    def _compile(self):
        self._update = self._jax.jit(self._one_update, donate_argnums=0)

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
        tuple of ndarray
            Shapes and dtype as given to the constructor.
        """
        return tuple(np.array(w) for w in self._to_library(*self._state[0]))

    def get_state(self):
        return tuple([np.array(a) for a in arrays] for arrays in self._state)

    def set_state(self, state):
        with self._context():
            self._state = tuple([self._jax.numpy.array(a) for a in arrays] for arrays in state)

    def losses(self, results):
        return np.array(self._jax.device_get(results), dtype=self.dtype)

    def _probabilities(self, data):
        with self._context():
            return np.asarray(self._predict(self._state[0], data))

    def _updates(self, index_batches, learning_rate, momentum):
        rate, momentum = self.dtype.type(learning_rate), self.dtype.type(momentum)
        results = []
        with self._context():
            for indices in index_batches.astype(np.int32):
                self._state, loss = self._update(self._state, self._data, indices, rate, momentum)
                results.append(loss)
        self._jax.block_until_ready(self._state)
        return results


def available(peers):
    """The peers that can run here.

    Parameters
    ----------
    peers : sequence of type

    Returns
    -------
    list of type
        Classes, in the given order.

    Examples
    --------
    >>> available([])
    []
    """
    return [peer for peer in peers if peer.unavailable_reason() is None]


def unavailable(peers):
    """The peers that cannot run here, and why.

    Parameters
    ----------
    peers : sequence of type

    Returns
    -------
    dict of str to str
        Reason by the peer's name, such as ``"PyTorch: not installed"``.

    Examples
    --------
    >>> unavailable([])
    {}
    """
    reasons = {peer.name: peer.unavailable_reason() for peer in peers}
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
