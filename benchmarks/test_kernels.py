"""Each kernel at the surname network's shapes: batch 100, 28 characters, 30 filters of width 5, one thread.

The sequences are as dense as noise: what a network skips behind a ReLU and behind a name's end is not skipped here.
"""

import numpy as np
import pytest

from fastconv import functional
from fastconv.reference import kernels as twin

KINDS = {"fastconv": functional, "NumPy twin": twin}


def threads(module):
    return {"threads": 1} if module is functional else {}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kernels(request):
    """The library's kernels, and their obvious NumPy twins."""
    return request.param


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.benchmark(group="onehot_conv1d forward")
def test_onehot_conv1d(benchmark, rng, names, kernels):
    benchmark(kernels.onehot_conv1d, names[1][:100], normal(rng, 5, 28, 30), **threads(kernels))


@pytest.mark.benchmark(group="onehot_conv1d backward")
def test_onehot_conv1d_backward(benchmark, rng, names, kernels):
    w = normal(rng, 5, 28, 30)
    last = w if kernels is functional else w.shape
    benchmark(kernels.onehot_conv1d_backward, normal(rng, 100, 15, 30), names[1][:100], last, **threads(kernels))


@pytest.mark.benchmark(group="conv1d forward")
def test_conv1d(benchmark, rng, kernels):
    benchmark(kernels.conv1d, normal(rng, 100, 15, 30), normal(rng, 5, 30, 30), **threads(kernels))


@pytest.mark.benchmark(group="conv1d backward")
def test_conv1d_backward(benchmark, rng, kernels):
    x, w, dy = normal(rng, 100, 15, 30), normal(rng, 5, 30, 30), normal(rng, 100, 11, 30)
    benchmark(kernels.conv1d_backward, dy, x, w, **threads(kernels))


@pytest.mark.benchmark(group="dense forward")
def test_dense(benchmark, rng, kernels):
    benchmark(kernels.dense, normal(rng, 100, 330), normal(rng, 330, 18), **threads(kernels))


@pytest.mark.benchmark(group="dense backward")
def test_dense_backward(benchmark, rng, kernels):
    x, w, dy = normal(rng, 100, 330), normal(rng, 330, 18), normal(rng, 100, 18)
    benchmark(kernels.dense_backward, dy, x, w, **threads(kernels))


@pytest.mark.benchmark(group="relu forward")
def test_relu(benchmark, rng, kernels):
    benchmark(kernels.relu, normal(rng, 100, 450), **threads(kernels))


@pytest.mark.benchmark(group="relu backward")
def test_relu_backward(benchmark, rng, kernels):
    x, dy = normal(rng, 100, 450), normal(rng, 100, 450)
    benchmark(kernels.relu_backward, dy, np.maximum(x, 0), **threads(kernels))


@pytest.mark.benchmark(group="softmax")
def test_softmax(benchmark, rng, kernels):
    benchmark(kernels.softmax, normal(rng, 100, 18), **threads(kernels))


@pytest.mark.benchmark(group="softmax_cross_entropy")
def test_softmax_cross_entropy(benchmark, rng, kernels):
    benchmark(kernels.softmax_cross_entropy, normal(rng, 100, 18), rng.integers(0, 18, 100), **threads(kernels))


@pytest.mark.benchmark(group="sgd")
def test_sgd(benchmark, rng, kernels):
    p, g, v = (normal(rng, 14_640) for _ in range(3))
    benchmark(kernels.sgd, p, g, v, 0.001, 0.9)


@pytest.mark.benchmark(group="encode")
def test_encode(benchmark, names):
    """Python strings to codes; divide the characters by the time: 5 million a second at least."""
    from fastconv import Alphabet

    alphabet = Alphabet.from_strings(names[0])
    benchmark.extra_info["characters"] = sum(map(len, names[0]))
    assert benchmark(alphabet.encode, names[0], 19).shape == (len(names[0]), 19)


@pytest.mark.benchmark(group="encode")
def test_encode_twin(benchmark, names):
    from fastconv import Alphabet

    benchmark(twin.encode, names[0], Alphabet.from_strings(names[0]).symbols, 19)
