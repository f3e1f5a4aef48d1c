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


def small(*shape):
    """Numbers of which no two are alike."""
    return np.random.default_rng(3).normal(size=shape)


IMAGES = small(6, 8, 8, 2)
EVERYTHING = {
    "images": (
        [
            fc.Conv2D(4, 3, padding="same"), fc.BatchNorm(), fc.ReLU(), fc.MaxPool2D(2, stride=1), fc.Dropout(0.3),
            fc.Conv2D(5, 2, stride=2, padding=1, dilation=2), fc.Tanh(), fc.AvgPool2D(2), fc.Flatten(), fc.Dense(6),
            fc.BatchNorm(), fc.Sigmoid(), fc.Dense(3),
        ],
        fc.ImageInput(8, 8, 2),
        IMAGES,
    ),
    "sequences": (
        [fc.Conv1D(4, 2, dilation=2), fc.MaxPool1D(3, stride=2), fc.BatchNorm(), fc.GlobalMaxPool1D(), fc.Dense(3)],
        fc.SequenceInput(8, 16),
        IMAGES.reshape(6, 8, 16),
    ),
    "strings": (
        [fc.Embedding(3), fc.Conv1D(4, 3, padding="same"), fc.GlobalMaxPool1D(), fc.Dropout(0.5), fc.Dense(3)],
        fc.OneHotInput(8, 5),
        np.concatenate([CODES, CODES[:2, ::-1]]),
    ),
}  # fmt: skip
everything = pytest.mark.parametrize("layers, input, x", EVERYTHING.values(), ids=EVERYTHING)


@everything
@pytest.mark.parametrize(
    "loss",
    [None, fc.FocalLoss(1.5, class_weight="balanced"), fc.MeanSquaredError(l2=0.1), fc.MultiClassHinge()],
    ids=lambda loss: type(loss).__name__,
)
def test_networks_of_all_layers_pass(layers, input, x, loss):
    """The bias before a batch normalisation among them: its gradient is zero, and rounding is not taken for another."""
    checked = check_gradients(network(layers, input), x, [0, 2, 1, 2, 0, 1], loss)
    for name, found in checked.items():
        assert found.unresolved == 0 and found.error <= 1e-6, name


@pytest.mark.parametrize(
    "layers, input",
    [
        ([fc.Conv2D(3, 3), fc.MaxPool2D(2), fc.Flatten()], fc.ImageInput(8, 8, 2)),
        ([fc.Conv2D(3, 3), fc.MaxPool2D((3, 2), stride=1), fc.Flatten()], fc.ImageInput(8, 8, 2)),
        ([fc.Conv1D(3, 3), fc.MaxPool1D(3, stride=2), fc.Flatten()], fc.SequenceInput(8, 16)),
        ([fc.Conv1D(3, 3), fc.GlobalMaxPool1D()], fc.SequenceInput(8, 16)),
    ],
    ids=lambda part: repr(part[1]) if isinstance(part, list) else "",
)
def test_a_step_that_makes_another_number_the_largest_is_made_smaller(layers, input):
    net = network([*layers, fc.Dense(3)], input)
    x, y = small(60, *input.shape), RNG.integers(0, 3, 60)
    found = check_gradients(net, x, y, step=1e-2)["0.w"]
    assert found.repeated > 0 and found.unresolved == 0
    assert found.error < 0.1 * found.plain_error


@pytest.mark.parametrize("name", ["0.w", "1.gamma", "1.beta", "5.w", "10.gamma"])
def test_a_wrong_gradient_behind_or_before_a_batch_normalisation_is_caught(monkeypatch, name):
    right = fc.Sequential.loss_and_gradients

    def loss_and_gradients(self, *args, **kwargs):
        loss, gradients = right(self, *args, **kwargs)
        return loss, {**gradients, name: 1.001 * gradients[name]}

    layers, input, x = EVERYTHING["images"]
    net = network(layers, input)
    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", loss_and_gradients)
    errors = fc.gradcheck(net, x, [0, 2, 1, 2, 0, 1])
    assert errors.pop(name) > 1e-4
    assert max(errors.values()) <= 1e-6


@pytest.mark.parametrize("wrong, error", [(0, 0), (1e-9, 1)], ids=str)
def test_zeros_are_told_from_rounding_but_not_from_small_numbers(monkeypatch, wrong, error):
    """The bias before a batch normalisation has no effect; its quotient is rounding, some 1e-11 for a step of 1e-5."""
    right = fc.Sequential.loss_and_gradients

    def loss_and_gradients(self, *args, **kwargs):
        loss, gradients = right(self, *args, **kwargs)
        return loss, {**gradients, "0.b": gradients["0.b"] + wrong}

    net = network([fc.Dense(3), fc.BatchNorm(), fc.Dense(3)], fc.VectorInput(16))
    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", loss_and_gradients)
    assert fc.gradcheck(net, small(6, 16), [0, 2, 1, 2, 0, 1])["0.b"] == pytest.approx(error, abs=0.1 * error)


def test_rounding_is_no_gradient_where_a_batch_normalisation_divides_by_small_deviations():
    """The pixels of digits are mostly black; of 40 images the quotient's rounding is some 1e-9 for a step of 1e-5."""
    digits = fc.datasets.load_digits()
    layers = [fc.Conv2D(4, 3), fc.BatchNorm(), fc.ReLU(), fc.MaxPool2D(2), fc.Flatten(), fc.Dense(10)]
    net = fc.Sequential(layers, input=fc.ImageInput(8, 8, 1), seed=0)
    assert max(fc.gradcheck(net, digits.data[:40], digits.target[:40]).values()) <= 1e-6


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


def test_what_is_not_a_number_does_not_pass():
    x = NUMBERS.copy()
    x[1, 2, 0] = np.nan
    checked = check_gradients(network(*SMOOTH["sequence"]), x, LABELS)
    assert all(np.isnan([each.error, each.plain_error, each.difference]).all() for each in checked.values())


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


@pytest.mark.parametrize("step", [0, -1e-5, np.nan, np.inf])
def test_the_step_is_positive(step):
    with pytest.raises(RangeError, match="gradcheck: step must be positive"):
        fc.gradcheck(network(*SMOOTH["names"]), CODES, LABELS, step=step)


def test_the_mean_absolute_difference_is_that_of_the_gradients(monkeypatch):
    right = fc.Sequential.loss_and_gradients

    def loss_and_gradients(self, *args, **kwargs):
        loss, gradients = right(self, *args, **kwargs)
        gradients["0.w"][0, 0] += 6e-3  # one of 6 entries
        return loss, gradients

    net = network([fc.Dense(3)], fc.VectorInput(2))
    monkeypatch.setattr(fc.Sequential, "loss_and_gradients", loss_and_gradients)
    found = check_gradients(net, small(6, 2), [0, 2, 1, 2, 0, 1])
    assert found["0.w"].difference == pytest.approx(1e-3, rel=1e-6)
    assert found["0.b"].difference <= 1e-11
