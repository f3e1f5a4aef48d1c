"""Samples that end alike share what two convolutions make of that: nobody can tell, but by the time it takes."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import engine
from fastconv.engine import cpu

SUPPORTED = cpu.supported()


def strings(rng, n, length=19, depth=28, gaps=0.02):
    """Codes of which many end alike: random beginnings before one of a few ends, duplicates, empty and full ones."""
    ends = [rng.integers(0, depth, rng.integers(0, length // 2)) for _ in range(12)]
    codes = np.full((n, length), -1, np.int16)
    for row in codes:
        head = rng.integers(0, depth, rng.integers(0, length // 2))
        text = np.concatenate([head, ends[rng.integers(len(ends))]])
        row[: len(text)] = np.where(rng.random(len(text)) < gaps, -1, text)
    codes[rng.integers(n, size=n // 8)] = codes[rng.integers(n, size=n // 8)]
    codes[rng.integers(n, size=2)] = -1
    codes[rng.integers(n, size=n // 20 + 1)] = rng.integers(0, depth, length)
    return codes


def network(
    length=19, depth=28, filters=(20, 24), widths=(5, 5), dtype="float64", behind=(), bias=False, **first
):  # fmt: skip
    layers = [fc.OneHotConv1D(filters[0], widths[0], bias=bias, **first), fc.ReLU()]
    layers += [fc.Conv1D(filters[1], widths[1], bias=bias), fc.ReLU(), *behind, fc.Flatten(), fc.Dense(7, bias=False)]
    return fc.Sequential(layers, input=fc.OneHotInput(length, depth), dtype=dtype, seed=3)


def without_sharing(net, make):
    """The same function with biases, which are zero: what lies behind a sample is then computed, not taken for zero."""
    other = make(bias=True)
    for key, value in other.params.items():
        value[...] = net.params.get(key, 0)
    return other


CASES = [
    {},
    {"filters": (17, 33), "widths": (3, 4)},
    {"filters": (32, 32), "widths": (2, 6)},
    {"filters": (38, 17), "widths": (1, 5)},
    {"filters": (17, 17), "widths": (4, 7)},  # too wide to share
    {"length": 9, "widths": (4, 4)},
    {"length": 40, "depth": 3},
    {"depth": 100},  # more characters than are sorted by
    {"depth": 255},
    {"depth": 300},  # more than are told apart
    {"dilation": 3},
    {"padding": 2},
    {"stride": 2},
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_does_not_depend_on_the_others(level, rng, dtype, case):
    net = network(dtype=dtype, **case)
    codes = strings(rng, 300, case.get("length", 19), case.get("depth", 28))
    alone = np.concatenate([net.forward(codes[i : i + 1]) for i in range(len(codes))])
    for threads in (1, 2, 3, 8):
        np.testing.assert_array_equal(net.forward(codes, threads=threads), alone)
    order = rng.permutation(len(codes))
    np.testing.assert_array_equal(net.forward(codes[order]), alone[order])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_without_sharing(level, rng, case):
    net = network(**case)
    plain = without_sharing(net, lambda bias: network(bias=bias, **case))
    codes, labels = strings(rng, 260, case.get("length", 19), case.get("depth", 28)), rng.integers(0, 7, 260)
    for n in (1, 2, 5, 49, 260):
        loss, gradients = net.loss_and_gradients(codes[:n], labels[:n])
        expected, plain_gradients = plain.loss_and_gradients(codes[:n], labels[:n])
        assert loss == pytest.approx(expected, rel=1e-12)
        for key, gradient in gradients.items():
            np.testing.assert_allclose(gradient, plain_gradients[key], rtol=1e-10, atol=1e-13, err_msg=f"{key}, {n}")


@pytest.mark.parametrize(
    "behind",
    [[fc.Dropout(0.4)], [fc.BatchNorm()], [fc.Conv1D(18, 4, bias=False)], [fc.MaxPool1D(2)], [fc.GlobalMaxPool1D()]],
    ids=str,
)
def test_whatever_follows_sees_no_difference(level, rng, behind):
    """Dropout draws for the same places of the batch, normalisation sees the same channels, ..."""
    net = network(behind=behind)
    plain = without_sharing(net, lambda bias: network(bias=bias, behind=behind))
    codes, labels = strings(rng, 130), rng.integers(0, 7, 130)
    loss, gradients = net.loss_and_gradients(codes, labels, seed=5)
    expected, plain_gradients = plain.loss_and_gradients(codes, labels, seed=5)
    assert loss == pytest.approx(expected, rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, plain_gradients[key], rtol=1e-9, atol=1e-12, err_msg=key)


def test_more_samples_than_are_sorted_at_a_time(level, rng):
    net = network(length=8, filters=(17, 17), widths=(2, 4), dtype="float32")
    codes = np.resize(strings(rng, 3000, 8), (40_000, 8))
    few = net.forward(codes[:3000])
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(net.forward(codes, threads=threads), np.resize(few, (40_000, 7)))


def test_a_batch_that_is_not_sorted(level, rng):
    """Above 16,384 samples a batch shares nothing."""
    net = network(length=8, filters=(17, 17), widths=(2, 4))
    codes, labels = strings(rng, 500, 8), rng.integers(0, 7, 500)
    loss, gradients = net.loss_and_gradients(codes, labels)
    large, many = net.loss_and_gradients(np.tile(codes, (40, 1)), np.tile(labels, 40), threads=2)
    assert large == pytest.approx(loss, rel=1e-12)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(many[key], gradient, rtol=1e-9, atol=1e-12)


def train(threads, dtype="float32"):
    rng = np.random.default_rng(1)
    codes, labels = strings(rng, 900), rng.integers(0, 7, 900)
    net = network(dtype=dtype)
    trainer = fc.Trainer(net, optimizer=fc.SGD(0.01, 0.9), batch_size=130, threads=threads)
    return net.parameters.tobytes() + np.array(trainer.fit(codes, labels, updates=20).batch_losses).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(level, dtype):
    assert len({train(threads, dtype) for threads in (1, 2, 3, 8)}) == 1


@pytest.mark.skipif("avx512" not in SUPPORTED, reason="the processor has no AVX-512")
def test_avx2_and_avx512_give_the_same_bits(monkeypatch):
    found = set()
    for name in ("avx2", "avx512"):
        monkeypatch.setattr(engine, "Program", engine.load(name).Program)
        found.add(train(2))
    assert len(found) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_reaches_those_it_belongs_to(level, rng, value):
    """A weight of the first layer that is not finite shows in the samples with its character, and in no other."""
    net = network(depth=5, widths=(1, 4), dtype="float32")
    net.params["0.w"][0, 2] = value
    codes = strings(rng, 200, depth=5)
    out, alone = net.forward(codes), [net.forward(codes[i : i + 1])[0] for i in range(len(codes))]
    np.testing.assert_array_equal(out, alone)
    np.testing.assert_array_equal(np.isnan(out).any(1), np.isnan(alone).any(1))
    assert np.isfinite(out[(codes != 2).all(1)]).all()
