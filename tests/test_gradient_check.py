"""The gradient check: it passes what is right and catches what is wrong."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.errors import RangeError
from fastconv.gradient_check import check_gradients, relative_error

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 5, (4, 8)).astype(np.int16)
CODES[0, 5:] = CODES[1, 3] = CODES[2, :] = -1
NUMBERS = RNG.normal(size=(4, 8, 3))
LABELS = np.array([0, 2, 1, 2])

SMOOTH = {
    "dense": ([fc.Flatten(), fc.Dense(4), fc.Dense(3, bias=False)], fc.SequenceInput(8, 3)),
    "sequence": ([fc.Conv1D(4, 3), fc.Conv1D(3, 2), fc.Flatten(), fc.Dense(3)], fc.SequenceInput(8, 3)),
    "names": ([fc.OneHotConv1D(4, 3), fc.Conv1D(3, 2), fc.Flatten(), fc.Dense(3)], fc.OneHotInput(8, 5)),
}
smooth = pytest.mark.parametrize("layers, input", SMOOTH.values(), ids=SMOOTH)


def network(layers, input, dtype="float64"):
    return fc.Sequential(layers, input=input, dtype=dtype, seed=2)


def batch(input):
    return CODES if input.codes else NUMBERS


@smooth
@pytest.mark.parametrize("loss", [None, fc.SoftmaxCrossEntropy("balanced", 0.1)], ids=["plain", "weighted"])
def test_smooth_networks_pass(layers, input, loss):
    errors = fc.gradcheck(network(layers, input), batch(input), LABELS, loss, sample_weight=[0.5, 1, 2, 0.1])
    assert errors.keys() == network(layers, input).params.keys()
    assert max(errors.values()) <= 1e-7


def test_a_network_with_relu_passes_away_from_the_kinks():
    layers = [fc.OneHotConv1D(4, 3), fc.ReLU(), fc.Conv1D(3, 2), fc.ReLU(), fc.Flatten(), fc.Dense(3)]
    net = network(layers, fc.OneHotInput(8, 5))
    net.params["0.b"][...] = net.params["2.b"][...] = 0.1
    assert max(fc.gradcheck(net, CODES, LABELS).values()) <= 1e-6


def test_kinks_are_met_with_smaller_steps_and_no_entry_is_left_out():
    layers = [fc.OneHotConv1D(4, 3), fc.ReLU(), fc.Conv1D(3, 2), fc.ReLU(), fc.Flatten(), fc.Dense(3)]
    net = network(layers, fc.OneHotInput(8, 5))
    rng = np.random.default_rng(1)
    x, y = rng.integers(-1, 5, (100, 8)).astype(np.int16), rng.integers(0, 3, 100)
    checked = check_gradients(net, x, y, step=1e-3)
    assert {name: found.entries for name, found in checked.items()} == {name: a.size for name, a in net.params.items()}
    # 0.b and 2.b start at zero and a name of unknown characters stands on the kink itself: look at the weights
    for name in ("0.w", "2.w"):
        found = checked[name]
        assert found.repeated > 0 and found.unresolved == 0, name
        assert found.error < 0.1 * found.plain_error, name
    assert checked["5.w"].repeated == 0
    assert fc.gradcheck(net, x, y, step=1e-3) == {name: found.error for name, found in checked.items()}


@smooth
def test_a_float32_network_is_checked_in_float64_and_left_unchanged(layers, input):
    net = network(layers, input, "float32")
    before = net.parameters.tobytes()
    assert max(fc.gradcheck(net, batch(input), LABELS).values()) <= 1e-7
    assert net.parameters.tobytes() == before
    assert net.dtype == np.float32


def test_a_float64_network_is_left_unchanged():
    net = network(*SMOOTH["names"])
    before = net.parameters.tobytes()
    fc.gradcheck(net, CODES, LABELS)
    assert net.parameters.tobytes() == before


WRONG = {
    "a factor": lambda g: g * 1.01,
    "the sign": lambda g: -g,
    "nothing": np.zeros_like,
    "one entry": lambda g: np.where(np.arange(g.size).reshape(g.shape) == np.abs(g).argmax(), 2 * g, g),
    "the order": lambda g: g[::-1].copy(),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", ["0.w", "0.b", "3.w"])
def test_a_wrong_gradient_is_caught_and_named(monkeypatch, wrong, name):
    right = fc.Sequential.loss_and_gradients

    def loss_and_gradients(self, *args, **kwargs):
        loss, gradients = right(self, *args, **kwargs)
        return loss, {**gradients, name: wrong(gradients[name])}

    net = network(*SMOOTH["sequence"])
    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", loss_and_gradients)
    errors = fc.gradcheck(net, NUMBERS, LABELS)
    assert errors.pop(name) > 1e-4
    assert max(errors.values()) <= 1e-7


def test_relative_error_is_the_assignment_s():
    assert relative_error([1.0, 2.0], [1.0, 2.0]) == 0
    assert relative_error([0.0, 0.0], [0.0, 0.0]) == 0
    assert relative_error([1.0], [-1.0]) == 1
    assert relative_error([2.0, 1.0], [1.0, 1.0]) == pytest.approx((1 / 3) / 2)
    assert relative_error([1e-14], [-1e-14]) == pytest.approx(2e-14 / 1e-12)


@pytest.mark.parametrize("step", [0, -1e-5, np.nan])
def test_the_step_is_positive(step):
    with pytest.raises(RangeError, match="gradcheck: step must be positive"):
        fc.gradcheck(network(*SMOOTH["names"]), CODES, LABELS, step=step)
