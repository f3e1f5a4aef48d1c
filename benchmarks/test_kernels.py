"""Each kernel by itself, forward and backward, on one thread, at the sizes of network and batch of conftest.py.

With "real" data a kernel gets what real names make of the layers before it, with "noise" numbers none of which is zero:
the difference is what is skipped behind a ReLU. The NumPy twins, obvious and slow, run at the smallest size.
"""

import unicodedata

import numpy as np
import pytest

from fastconv import Alphabet, functional
from fastconv.engine import cpu
from fastconv.reference import kernels as twin
from fastconv.reference import learning

KINDS = {"fastconv": functional, "NumPy twin": twin}
LENGTH = 19


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kernels(request):
    """The library's kernels, and their obvious NumPy twins."""
    return request.param


def run(benchmark, kernels, name, layers, *arguments):
    """Time a function of either kind; the twins at the smallest size only."""
    if kernels is functional:
        return benchmark(getattr(functional, name), *arguments, threads=1)
    if len(layers.codes) > 19:
        pytest.skip("the NumPy twins run at the smallest size")
    return benchmark(getattr(twin, name), *arguments)


def rate(benchmark, operations):
    """Note the effective rate of what was timed."""
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["GFLOP/s"] = round(1e-9 * operations / benchmark.stats.stats.median, 1)


@pytest.mark.benchmark(group="onehot_conv1d forward", max_time=0.3)
def test_onehot_conv1d(benchmark, kernels, layers):
    w = layers.task.w1
    assert run(benchmark, kernels, "onehot_conv1d", layers, layers.codes, w).shape == layers.dy1.shape
    rate(benchmark, layers.dy1.size * len(w))


@pytest.mark.benchmark(group="onehot_conv1d backward", max_time=0.3)
def test_onehot_conv1d_backward(benchmark, kernels, layers):
    w = layers.task.w1
    last = w if kernels is functional else w.shape
    run(benchmark, kernels, "onehot_conv1d_backward", layers, layers.dy1, layers.codes, last)
    rate(benchmark, layers.dy1.size * len(w))


@pytest.mark.benchmark(group="conv1d forward", max_time=0.3)
def test_conv1d(benchmark, kernels, layers):
    w = layers.task.w2
    assert run(benchmark, kernels, "conv1d", layers, layers.x2, w).shape == layers.dy2.shape
    rate(benchmark, 2 * layers.dy2.size * w[..., 0].size)


@pytest.mark.benchmark(group="conv1d backward", max_time=0.3)
def test_conv1d_backward(benchmark, kernels, layers):
    w = layers.task.w2
    run(benchmark, kernels, "conv1d_backward", layers, layers.dy2, layers.x2, w)
    rate(benchmark, 4 * layers.dy2.size * w[..., 0].size)


@pytest.mark.benchmark(group="dense forward", max_time=0.3)
def test_dense(benchmark, kernels, layers):
    w = layers.task.w3
    assert run(benchmark, kernels, "dense", layers, layers.x3, w).shape == layers.dy3.shape
    rate(benchmark, 2 * layers.x3.size * w.shape[1])


@pytest.mark.benchmark(group="dense backward", max_time=0.3)
def test_dense_backward(benchmark, kernels, layers):
    w = layers.task.w3
    run(benchmark, kernels, "dense_backward", layers, layers.dy3, layers.x3, w)
    rate(benchmark, 4 * layers.x3.size * w.shape[1])


@pytest.mark.benchmark(group="relu forward", max_time=0.3)
def test_relu(benchmark, kernels, layers):
    run(benchmark, kernels, "relu", layers, layers.dy1)


@pytest.mark.benchmark(group="relu backward", max_time=0.3)
def test_relu_backward(benchmark, kernels, layers):
    run(benchmark, kernels, "relu_backward", layers, layers.dy1, layers.x2)


@pytest.mark.benchmark(group="softmax", max_time=0.3)
def test_softmax(benchmark, kernels, layers):
    run(benchmark, kernels, "softmax", layers, layers.dy3)


@pytest.mark.benchmark(group="softmax_cross_entropy", max_time=0.3)
def test_softmax_cross_entropy(benchmark, rng, kernels, layers):
    labels = rng.integers(0, layers.dy3.shape[1], len(layers.dy3))
    run(benchmark, kernels, "softmax_cross_entropy", layers, layers.dy3, labels)


LOSSES = {
    "focal_loss": (functional.focal_loss, lambda z, t: learning.focal_loss(z, t, 2.0)),
    "mean_squared_error": (functional.mean_squared_error, learning.mean_squared_error),
    "multi_class_hinge": (functional.multi_class_hinge, learning.multi_class_hinge),
}


@pytest.mark.benchmark(group="other losses", max_time=0.3)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_losses(benchmark, rng, layers, name, kind):
    labels = rng.integers(0, layers.dy3.shape[1], len(layers.dy3))
    mine, theirs = LOSSES[name]
    if kind == "fastconv":
        benchmark(mine, layers.dy3, labels, threads=1)
    elif len(layers.codes) > 19:
        pytest.skip("the NumPy twins run at the smallest size")
    else:
        benchmark(theirs, layers.dy3, learning.one_hot(labels, layers.dy3.shape[1], layers.dy3.dtype))


@pytest.mark.benchmark(group="sgd", max_time=0.3)
def test_sgd(benchmark, rng, kernels):
    """As many parameters as the network with 30/30 filters has."""
    p, g, v = (rng.normal(size=14_640).astype(np.float32) for _ in range(3))
    benchmark(kernels.sgd, p, g, v, 0.001, 0.9)


OPTIMISERS = {
    "rmsprop": (functional.rmsprop, lambda p, g, v, s: learning.rmsprop(p, g, [v, s], 0.001)),
    "adam": (functional.adam, lambda p, g, m, s: learning.adam(p, g, [m, s], 0.001, 0)),
}


@pytest.mark.benchmark(group="other optimisers", max_time=0.3)
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("kind", KINDS)
def test_optimisers(benchmark, rng, name, kind):
    """As many parameters as the network with 30/30 filters has."""
    arrays = [rng.uniform(size=14_640).astype(np.float32) for _ in range(4)]
    mine, theirs = OPTIMISERS[name]
    if kind == "fastconv":
        benchmark(mine, *arrays, 0.001)
    else:
        benchmark(theirs, *arrays)


@pytest.mark.benchmark(group="multiply-add peak", max_time=0.3)
@pytest.mark.parametrize("level", cpu.supported())
def test_peak(benchmark, level):
    """What the rates are to be held against."""
    from fastconv.bench import peak

    benchmark.extra_info["GFLOP/s"] = round(benchmark(peak.multiply_add, level, 0.01), 1)


@pytest.mark.benchmark(group="encode", max_time=0.3)
def test_encode(benchmark, names):
    """Python strings to codes; divide the characters by the time: 5 million a second at least."""
    alphabet = Alphabet.from_strings(names[0])
    benchmark.extra_info["characters"] = sum(map(len, names[0]))
    assert benchmark(alphabet.encode, names[0], LENGTH).shape == (len(names[0]), LENGTH)


@pytest.mark.benchmark(group="encode", max_time=0.3)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_encode_accents(benchmark, names, form):
    """Composed accents have codes of their own; strings with combining ones are cleaned in Python."""
    strings = [unicodedata.normalize(form, name.replace("a", "\xe1")) for name in names[0]]
    alphabet = Alphabet.from_strings(strings)
    assert benchmark(alphabet.encode, strings, LENGTH).shape == (len(strings), LENGTH)


@pytest.mark.benchmark(group="encode", max_time=0.3)
def test_encode_twin(benchmark, names):
    benchmark(twin.encode, names[0], Alphabet.from_strings(names[0]).symbols, LENGTH)
