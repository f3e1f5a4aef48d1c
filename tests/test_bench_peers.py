"""Every peer trains the same network: losses and weights agree with a plain NumPy loop."""

import subprocess
import sys

import numpy as np
import pytest

from fastconv.bench import frameworks, peers

N, L, V, CLASSES, BATCH, UPDATES = 60, 11, 7, 5, 9, 20
FILTERS, WIDTHS = (6, 4), (3, 5)
RATE, MOMENTUM = 0.05, 0.9
pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")
MODULES = {"PyTorch": "torch", "JAX": "jax"}


def problem(dtype, weighted):
    rng = np.random.default_rng(3)
    lengths = rng.integers(0, L + 1, N)
    codes = np.where(np.arange(L) < lengths[:, None], rng.integers(0, V, (N, L)), -1)
    positions = L - WIDTHS[0] - WIDTHS[1] + 2
    shapes = [
        (WIDTHS[0], V, FILTERS[0]),
        (WIDTHS[1], *FILTERS),
        (positions * FILTERS[1], CLASSES),
    ]
    weights = [rng.normal(0, 0.5, shape).astype(dtype) for shape in shapes]
    labels = rng.integers(0, CLASSES, N)
    sample_weight = rng.uniform(0.2, 3.0, N).astype(dtype) if weighted else None
    batches = rng.integers(0, N, (UPDATES, BATCH))
    return codes.astype(np.int16), labels, weights, sample_weight, batches


def convolve(x, w):
    """Cross-correlation of ``x (n, l, c)`` with ``w (k, c, f)``, output position by position."""
    n_positions = x.shape[1] - len(w) + 1
    out = [np.einsum("nkc,kcf->nf", x[:, j : j + len(w)], w) for j in range(n_positions)]
    return np.stack(out, 1)


def convolve_backward(x, w, g):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for j in range(g.shape[1]):
        dx[:, j : j + len(w)] += np.einsum("nf,kcf->nkc", g[:, j], w)
        dw += np.einsum("nkc,nf->kcf", x[:, j : j + len(w)], g[:, j])
    return dx, dw


def numpy_loop(codes, labels, weights, sample_weight, batches):
    """Losses and final weights in float64, by the equations alone."""
    w1, w2, w3 = weights = [w.astype(np.float64) for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    one_hot = (codes[:, :, None] == np.arange(V)).astype(np.float64)
    scale = np.ones(len(codes)) if sample_weight is None else sample_weight.astype(np.float64)
    losses = []
    for rows in batches:
        x, y, n = one_hot[rows], labels[rows], len(rows)
        s1 = convolve(x, w1)
        s2 = convolve(np.maximum(s1, 0), w2)
        flat = np.maximum(s2, 0).reshape(n, -1)
        logits = flat @ w3
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        losses.append(np.mean(-scale[rows] * np.log(p[np.arange(n), y])))
        g = (p - np.eye(CLASSES)[y]) * scale[rows, None] / n
        d3 = flat.T @ g
        g, d2 = convolve_backward(np.maximum(s1, 0), w2, (g @ w3.T).reshape(s2.shape) * (s2 > 0))
        _, d1 = convolve_backward(x, w1, g * (s1 > 0))
        for w, v, d in zip(weights, velocities, (d1, d2, d3), strict=True):
            v *= MOMENTUM
            v += RATE * d
            w -= v
    return np.array(losses), weights


def make(peer, codes, labels, weights, sample_weight):
    pytest.importorskip(MODULES[peer.framework], reason=f"{peer.framework} is not installed")
    if peer.unavailable_reason() is not None:
        pytest.skip(peer.unavailable_reason())
    return peer(codes, labels, *weights, sample_weight=sample_weight, threads=1)


each_peer = pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.__name__)


def test_the_numpy_loop_descends_its_own_loss_along_the_numerical_gradient():
    codes, labels, weights, sample_weight, batches = problem(np.float64, True)
    batch = batches[:1]
    _, after = numpy_loop(codes, labels, weights, sample_weight, batch)
    rng = np.random.default_rng(0)
    for i, w in enumerate(weights):
        gradient = (w - after[i]) / RATE
        direction = rng.normal(size=w.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = [u + step * direction if j == i else u for j, u in enumerate(weights)]
            ends.append(numpy_loop(codes, labels, moved, sample_weight, batch)[0][0])
        numerical = (ends[0] - ends[1]) / 2e-6
        assert np.vdot(gradient, direction) == pytest.approx(numerical, rel=1e-6)


@each_peer
@pytest.mark.parametrize("weighted", [False, True], ids=["mean", "weighted"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-8), (np.float32, 1e-4)])
def test_losses_and_weights_after_20_updates_equal_the_numpy_loop(peer, weighted, dtype, tolerance):
    codes, labels, weights, sample_weight, batches = problem(dtype, weighted)
    expected, expected_weights = numpy_loop(codes, labels, weights, sample_weight, batches)
    assert np.abs(np.diff(expected)).max() > 0.01
    trained = make(peer, codes, labels, weights, sample_weight)
    losses = trained.run(batches, RATE, MOMENTUM)
    assert isinstance(losses, np.ndarray) and losses.dtype == dtype and losses.shape == (UPDATES,)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=tolerance)
    for w, e, initial in zip(trained.weights(), expected_weights, weights, strict=True):
        assert w.dtype == dtype and np.abs(e - initial).max() > 0.01
        np.testing.assert_allclose(w, e, rtol=0, atol=tolerance)


@each_peer
def test_warm_up_restores_weights_and_velocities(peer):
    codes, labels, weights, sample_weight, batches = problem(np.float64, True)
    expected, _ = numpy_loop(codes, labels, weights, sample_weight, batches)
    trained = make(peer, codes, labels, weights, sample_weight)
    first = trained.run(batches[:10], RATE, MOMENTUM)
    trained.warm_up(batches[:10])
    rest = trained.run(batches[10:], RATE, MOMENTUM)
    np.testing.assert_allclose(np.concatenate([first, rest]), expected, rtol=0, atol=1e-8)


@each_peer
def test_steps_are_a_run(peer):
    codes, labels, weights, sample_weight, batches = problem(np.float64, False)
    expected, _ = numpy_loop(codes, labels, weights, sample_weight, batches)
    trained = make(peer, codes, labels, weights, sample_weight)
    results = [trained.step(batch, RATE, MOMENTUM) for batch in batches[:3]]
    np.testing.assert_allclose(trained.losses(results), expected[:3], rtol=0, atol=1e-8)


@each_peer
def test_the_given_weights_are_not_written_to(peer):
    codes, labels, weights, sample_weight, batches = problem(np.float32, False)
    for w in weights:
        w.flags.writeable = False
    before = [w.copy() for w in weights]
    make(peer, codes, labels, weights, sample_weight).run(batches, RATE, MOMENTUM)
    for w, b in zip(weights, before, strict=True):
        np.testing.assert_array_equal(w, b)


def test_every_peer_is_either_available_or_has_a_reason():
    names = [peer.name for peer in peers.available()]
    assert sorted([*names, *peers.unavailable()]) == sorted(peer.name for peer in peers.PEERS)
    assert len({peer.name for peer in peers.PEERS}) == len(peers.PEERS)


def test_a_missing_framework_is_a_reason_and_an_error(monkeypatch):
    monkeypatch.setattr(frameworks.importlib.util, "find_spec", lambda name: None)
    assert peers.available() == []
    assert peers.unavailable()["JAX jit"] == "JAX: not installed"
    assert peers.unavailable()["PyTorch eager"] == "PyTorch: not installed"
    codes, labels, weights, _, _ = problem(np.float32, False)
    with pytest.raises(frameworks.PeerUnavailable, match="PyTorch: not installed"):
        peers.TorchEager(codes, labels, *weights)


def test_a_missing_compiler_is_a_reason(monkeypatch):
    monkeypatch.setattr(frameworks.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert "no C++ compiler (no-such-compiler)" in peers.TorchCompiled.unavailable_reason()


def test_jax_refuses_a_second_thread_count_in_one_process():
    codes, labels, weights, sample_weight, _ = problem(np.float32, False)
    make(peers.JaxJit, codes, labels, weights, sample_weight)
    with pytest.raises(frameworks.PeerUnavailable, match="start another process"):
        peers.JaxJit(codes, labels, *weights, threads=2)


def test_the_module_imports_neither_framework():
    code = "import sys, fastconv.bench.peers as p; p.available(); p.unavailable()\n"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'jax')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_environment_of_a_subprocess_sets_every_thread_count():
    environment = frameworks.subprocess_environment(2, {"HOME": "x", "OMP_NUM_THREADS": "8"})
    assert environment.pop("HOME") == "x"
    assert set(environment.values()) == {"2"} and "PJRT_NPROC" in environment
    with pytest.raises(ValueError, match="got 0"):
        frameworks.subprocess_environment(0)


@each_peer
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_predictions_equal_the_forward_pass_in_batches_of_any_size(peer, dtype, tolerance):
    codes, labels, weights, sample_weight, _ = problem(dtype, False)
    w1, w2, w3 = (w.astype(np.float64) for w in weights)
    one_hot = (codes[:, :, None] == np.arange(V)).astype(np.float64)
    hidden = np.maximum(convolve(np.maximum(convolve(one_hot, w1), 0), w2), 0)
    logits = hidden.reshape(N, -1) @ w3
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    made = make(peer, codes[:7], labels[:7], weights, sample_weight)  # its data set is not what is predicted
    for batch_size in (None, 25, 1000):
        found = made.predict_proba(codes, batch_size)
        assert isinstance(found, np.ndarray) and found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
