"""Networks drawn at random: the engine's gradients against numerical ones, and against the NumPy twin."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import ShapeError
from fastconv.network import layer_shapes
from fastconv.reference.sequential import NumpyNet

SIZES = st.integers(1, 3)
FILTERS = st.sampled_from([1, 2, 3, 5, 8, 9, 17])
STEPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def number(strategy):
    """For both axes of an image, and for the only one of a sequence."""
    return strategy


def either(strategy):
    """A number for both axes, or a pair."""
    return st.one_of(strategy, st.tuples(strategy, strategy))


def convolutions(kind, each):
    padding = st.one_of(st.sampled_from(["same", "valid"]), each(st.integers(0, 2)))
    return st.builds(
        kind, FILTERS, each(st.integers(1, 4)), stride=each(SIZES), padding=padding, dilation=each(SIZES),
        bias=st.booleans(),
    )  # fmt: skip


def pools(kind, each):
    return st.builds(kind, each(SIZES), stride=st.one_of(st.none(), each(SIZES)))


ANYWHERE = [
    st.builds(fc.ReLU), st.builds(fc.Tanh), st.builds(fc.Sigmoid),
    st.builds(fc.Dropout, st.sampled_from([0.0, 0.2, 0.5])), st.builds(fc.BatchNorm, eps=st.sampled_from([1e-5, 1e-2])),
]  # fmt: skip
# by the number of axes of a sample
LAYERS = {
    1: st.one_of(st.builds(fc.Dense, FILTERS, bias=st.booleans()), *ANYWHERE),
    2: st.one_of(
        convolutions(fc.Conv1D, number), convolutions(fc.Conv1D, number), pools(fc.MaxPool1D, number), *ANYWHERE,
        st.builds(fc.GlobalMaxPool1D), st.builds(fc.Flatten),
    ),
    3: st.one_of(
        convolutions(fc.Conv2D, either), convolutions(fc.Conv2D, either), pools(fc.MaxPool2D, either),
        pools(fc.AvgPool2D, either), *ANYWHERE, st.builds(fc.Flatten),
    ),
}  # fmt: skip
INPUTS = st.one_of(
    st.builds(fc.OneHotInput, st.integers(1, 9), st.integers(1, 5)),
    st.builds(fc.SequenceInput, st.integers(1, 9), st.integers(1, 5)),
    st.builds(fc.ImageInput, st.integers(1, 7), st.integers(1, 7), st.integers(1, 5)),
    st.builds(fc.ImageInput, st.integers(4, 7), st.integers(4, 7), st.integers(1, 5)),
    st.builds(fc.VectorInput, st.integers(1, 9)),
)


@st.composite
def networks(draw):
    """A float64 network of up to seven layers and the dense one that gives logits.

    No parameter is near zero: a batch normalisation behind one with a tiny gamma magnifies rounding by its inverse.
    """
    input = draw(INPUTS)
    layers = [fc.Embedding(draw(SIZES))] if input.codes else []
    if input.codes and draw(st.booleans()):
        layers = fitting([], draw(convolutions(fc.OneHotConv1D, number)), input) or layers
    for _ in range(draw(st.integers(0, 6))):
        layers = fitting(layers, draw(LAYERS[len(layer_shapes(layers, input)[-1])]), input)
    if len(layer_shapes(layers, input)[-1]) > 1:
        layers.append(fc.Flatten())
    net = fc.Sequential([*layers, fc.Dense(draw(st.integers(2, 4)))], input=input, dtype="float64")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    net.parameters[:] = rng.uniform(0.2, 1, net.parameters.size) * rng.choice([-1, 1], net.parameters.size)
    net.statistics[:] = rng.uniform(0.2, 1, net.statistics.size)
    return net


def fitting(layers, layer, input):
    """Add a layer unless its window is larger than what comes in."""
    try:
        layer_shapes([*layers, layer], input)
    except ShapeError:
        return layers
    return [*layers, layer]


def batch(net, n, rng):
    """Random samples and labels of a network."""
    if net.input.codes:
        x = rng.integers(0, net.input.depth, (n, net.input.length)).astype(np.int16)
        x[np.arange(net.input.length) >= rng.integers(0, net.input.length + 1, n)[:, None]] = -1
    else:
        x = rng.normal(size=(n, *net.input.shape))
    return x, rng.integers(0, net.output_shape[0], n)


def slope_error(net, x, y, seed, name, slope, direction):
    """The relative error of the loss's slope along a direction of a parameter; infinite if every step meets a kink.

    Central differences of fourth order, with smaller and smaller steps: a large one is spoilt by curvature and kinks,
    a small one by rounding, and a wrong gradient by all.
    """
    value, at = net.params[name].copy(), net.params[name]
    here, error = NumpyNet(net).forward(x, True, seed)[1].switches, np.inf
    for step in STEPS:
        losses, switched = [], False
        for times in (-2, 2, -1, 1):
            at[...] = value + times * step * direction
            losses.append(net.loss_and_gradients(x, y, seed=seed)[0])
            there = NumpyNet(net).forward(x, True, seed)[1].switches if abs(times) == 2 else here
            switched = switched or any(np.any(a != b) for a, b in zip(here, there, strict=True))
        at[...] = value
        if not switched:
            found = (losses[0] - losses[1] + 8 * (losses[3] - losses[2])) / (12 * step)
            # a slope that is zero is found as such but for the rounding of the loss
            error = min(error, abs(found - slope) / max(abs(found) + abs(slope), 1e-4 * (1 + abs(losses[0]))))
            if error <= 1e-6:
                break
    return error


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(net=networks(), n=st.sampled_from([1, 2, 3, 5, 70]), seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 2))
def test_gradients(net, n, seed, threads):
    rng = np.random.default_rng(seed)
    x, y = batch(net, n, rng)
    np.testing.assert_allclose(net.forward(x, threads), NumpyNet(net).forward(x)[0], rtol=1e-10, atol=1e-12)
    loss, gradients = net.loss_and_gradients(x, y, seed=seed, threads=threads)
    expected_loss, expected = NumpyNet(net).loss_and_gradients(x, y, seed=seed)
    assert loss == pytest.approx(expected_loss, rel=1e-10)
    atol = 1e-10
    if any(isinstance(layer, fc.BatchNorm) for layer in net.layers):  # gradients that it makes zero: but for rounding
        atol += 1e-9 * max(np.abs(gradient).max(initial=0) for gradient in expected.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-8, atol=atol, err_msg=name)
    for name, gradient in gradients.items():
        direction = np.abs(rng.normal(size=gradient.shape)) * np.where(gradient < 0, -1, 1)
        direction /= np.linalg.norm(direction)
        error = slope_error(net, x, y, seed, name, np.vdot(gradient, direction), direction)
        assert error <= 1e-6, name
