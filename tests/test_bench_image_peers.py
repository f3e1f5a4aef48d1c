"""Every peer trains the same image network: losses and weights agree with a plain NumPy loop."""

import subprocess
import sys

import numpy as np
import pytest

from fastconv.bench import frameworks, image_peers
from fastconv.reference.networks import VectorisedImageNetwork

N, CLASSES, BATCH, UPDATES = 20, 4, 6, 8
RATE, MOMENTUM = 0.05, 0.9
MODULES = {"PyTorch": "torch", "JAX": "jax"}
pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")


def problem(dtype, padding):
    """Images of 11 x 10 pixels, two convolutions and two dense layers; pooling drops a row and a column."""
    rng = np.random.default_rng(3)
    height, width = (2, 2) if padding else (1, 1)
    shapes = [(3, 3, 2, 5), (5,), (3, 3, 5, 6), (6,), (height * width * 6, 7), (7,), (7, CLASSES), (CLASSES,)]
    weights = [rng.normal(0, 0.3, shape).astype(dtype) for shape in shapes]
    images = rng.normal(size=(N, 11, 10, 2)).astype(dtype)
    return images, rng.integers(0, CLASSES, N), weights, rng.integers(0, N, (UPDATES, BATCH))


def make(peer, images, labels, weights, padding):
    pytest.importorskip(MODULES[peer.framework], reason=f"{peer.framework} is not installed")
    if peer.unavailable_reason() is not None:
        pytest.skip(peer.unavailable_reason())
    return peer(images, labels, weights, padding)


each_peer = pytest.mark.parametrize("peer", image_peers.PEERS, ids=lambda peer: peer.__name__)


@each_peer
@pytest.mark.parametrize("padding, dtype, tolerance", [(1, np.float64, 1e-10), (0, np.float32, 1e-4)])
def test_losses_weights_and_predictions_equal_the_numpy_network(peer, padding, dtype, tolerance):
    images, labels, weights, batches = problem(dtype, padding)
    truth = VectorisedImageNetwork(images.astype(np.float64), labels, [w.astype(np.float64) for w in weights], padding)
    made = make(peer, images, labels, weights, padding)
    np.testing.assert_allclose(made.predict_proba(images), truth.predict_proba(images), rtol=0, atol=tolerance)
    expected = [truth.step(rows, RATE, MOMENTUM) for rows in batches]
    made.warm_up(batches[:1])
    losses = made.run(batches, RATE, MOMENTUM)
    assert losses.dtype == dtype and np.ptp(expected) > 0.1
    np.testing.assert_allclose(losses, expected, rtol=0, atol=tolerance)
    for w, e, initial in zip(made.weights(), truth.weights, weights, strict=True):
        assert w.dtype == dtype and np.abs(e - initial).max() > 1e-3
        np.testing.assert_allclose(w, e, rtol=0, atol=tolerance)


def test_a_missing_framework_is_a_reason(monkeypatch):
    monkeypatch.setattr(frameworks.importlib.util, "find_spec", lambda name: None)
    assert image_peers.available() == []
    assert set(image_peers.unavailable().values()) == {"PyTorch: not installed", "JAX: not installed"}
    assert len(image_peers.unavailable()) == len(image_peers.PEERS)


def test_the_module_imports_neither_framework():
    code = "import sys, fastconv.bench.image_peers as p; p.available(); p.unavailable()\n"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'jax')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
