"""Layers and networks: shapes, parameters, what does not fit, and the mathematics of the readable twin."""

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.reference import kernels

random_networks = settings(deadline=None, derandomize=True, database=None)
NAMES = fc.OneHotInput(length=9, depth=5)


def convnet(dtype="float32", seed=0, bias=True):
    return fc.models.surname_convnet(5, 9, 4, filters=(7, 6), widths=(3, 2), bias=bias, dtype=dtype, seed=seed)


def random_codes(rng, n, length, depth):
    """Names of every length from nothing to full, with unknown characters in them."""
    codes = rng.integers(0, depth, (n, length)).astype(np.int16)
    codes[rng.random(codes.shape) < 0.1] = -1
    codes[np.arange(length) >= rng.integers(0, length + 1, (n, 1))] = -1
    return codes


# Shapes and parameters


def test_parameters_are_named_by_layer_and_have_the_documented_shapes():
    net = fc.models.surname_convnet(28, 19, 18, filters=(20, 30), widths=(5, 3))
    assert {name: array.shape for name, array in net.params.items()} == {
        "0.w": (5, 28, 20),
        "2.w": (3, 20, 30),
        "5.w": (13 * 30, 18),
    }
    assert net.output_shape == (18,)
    assert net.forward(np.zeros((3, 19), np.int16)).shape == (3, 18)


def test_biases_follow_their_weights():
    net = fc.Sequential(
        [fc.Conv1D(4, 2), fc.Conv1D(3, 3, bias=False), fc.Flatten(), fc.ReLU(), fc.Dense(5), fc.Dense(2)],
        input=fc.SequenceInput(8, 6),
    )
    assert {name: array.shape for name, array in net.params.items()} == {
        "0.w": (2, 6, 4),
        "0.b": (4,),
        "1.w": (3, 4, 3),
        "4.w": (15, 5),
        "4.b": (5,),
        "5.w": (5, 2),
        "5.b": (2,),
    }


@pytest.mark.parametrize(
    "layers, input, shape",
    [
        ([fc.OneHotConv1D(4, 3)], NAMES, (7, 4)),
        ([fc.OneHotConv1D(4, 9)], NAMES, (1, 4)),
        ([fc.Conv1D(4, 1)], fc.SequenceInput(9, 2), (9, 4)),
        ([fc.Conv1D(4, 3), fc.Flatten()], fc.SequenceInput(9, 2), (28,)),
        ([fc.Flatten()], fc.SequenceInput(9, 2), (18,)),
        ([fc.ReLU()], fc.VectorInput(3), (3,)),
        ([fc.Flatten(), fc.Dense(4)], fc.VectorInput(3), (4,)),
        ([], fc.VectorInput(3), (3,)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_outputs_have_the_described_shape_for_empty_batches_too(layers, input, shape, n):
    net = fc.Sequential(layers, input=input, dtype="float64")
    assert net.output_shape == shape
    x = np.zeros((n, input.length), np.int16) if input.codes else np.ones((n, *input.shape))
    for y in (net.forward(x), net.predict_proba(x)):
        assert y.shape == (n, *shape) and y.dtype == np.float64
    assert net.predict(x).shape == (n, *shape[:-1])
    assert net.predict(x).dtype == np.int64


def test_flatten_is_row_major():
    x = np.arange(12.0).reshape(1, 3, 4)
    net = fc.Sequential([fc.Flatten()], input=fc.SequenceInput(3, 4), dtype="float64")
    np.testing.assert_array_equal(net.forward(x), x.reshape(1, 12))


def test_parameters_are_views_into_one_aligned_vector():
    net = convnet()
    assert net.parameters.ctypes.data % 64 == 0
    assert net.parameters.size == sum(array.size for array in net.params.values())
    before = net.forward(np.zeros((1, 9), np.int16))
    for name, array in net.params.items():
        assert np.shares_memory(array, net.parameters), name
    np.testing.assert_array_equal(net.parameters, np.concatenate([array.ravel() for array in net.params.values()]))
    net.params["5.b"][...] += 2
    assert net.parameters[-1] == 2
    np.testing.assert_allclose(net.forward(np.zeros((1, 9), np.int16)), before + 2, rtol=1e-6)


def test_views_name_the_parts_of_any_vector_of_that_layout():
    net = convnet()
    flat = np.arange(net.parameters.size)
    parts = net.views(flat)
    assert {name: part.shape for name, part in parts.items()} == {name: a.shape for name, a in net.params.items()}
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in parts.values()]), flat)


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("float64")], ids=str)
def test_a_network_has_one_dtype(dtype):
    net = convnet(dtype)
    assert net.dtype == net.parameters.dtype == np.dtype(dtype)
    loss, gradients = net.loss_and_gradients(np.zeros((2, 9), np.int16), [0, 1])
    assert isinstance(loss, float)
    assert {array.dtype for array in gradients.values()} == {np.dtype(dtype)}
    assert {name: array.shape for name, array in gradients.items()} == {name: a.shape for name, a in net.params.items()}


def test_an_array_that_is_assigned_to_a_name_is_what_the_network_uses():
    net, other = convnet(seed=0), convnet(seed=1)
    for name, array in other.params.items():
        net.params[name] = array
    assert (net.parameters == other.parameters).all()
    kept = deepcopy(net.params)
    net.params.update(convnet(seed=0).params)
    assert (net.parameters == convnet(seed=0).parameters).all()
    net.params.update(pickle.loads(pickle.dumps(kept)))
    assert (net.parameters == other.parameters).all()
    with pytest.raises(KeyError, match="w"):
        net.params["w"] = array
    with pytest.raises(ValueError, match="broadcast"):
        net.params["0.w"] = np.ones((2, 2))


def test_a_vector_that_is_assigned_is_what_the_network_uses():
    net, other = convnet(seed=0), convnet(seed=1)
    mine = net.params["0.w"]
    net.parameters = other.parameters
    assert net.parameters is not other.parameters
    assert (net.parameters == other.parameters).all()
    assert (mine == other.params["0.w"]).all()
    net.parameters *= 2
    assert (mine == 2 * other.params["0.w"]).all()
    with pytest.raises(ValueError, match="broadcast"):
        net.parameters = np.ones(3)
    norm = fc.Sequential([fc.BatchNorm()], input=fc.VectorInput(2))
    norm.statistics = [1, 2, 3, 4]
    assert [norm.state[name].tolist() for name in ("0.mean", "0.var")] == [[1, 2], [3, 4]]


def test_astype_keeps_the_parameters_and_leaves_the_network_alone():
    net = convnet()
    net.params["0.b"][...] = 3
    double = net.astype("float64")
    assert double.dtype == np.float64
    np.testing.assert_array_equal(double.parameters, net.parameters)
    double.parameters[:] = 0
    assert net.params["0.b"].max() == 3
    assert net.dtype == np.float32


# Initial parameters


def test_initial_weights_have_the_deviation_of_he():
    net = fc.Sequential(
        [fc.OneHotConv1D(200, 5), fc.ReLU(), fc.Conv1D(100, 3), fc.ReLU(), fc.Flatten(), fc.Dense(50)],
        input=fc.OneHotInput(length=19, depth=28),
        seed=1,
    )
    # terms of a sum that are not zero: of a one-hot column it is one
    for name, fan_in in {"0.w": 5, "2.w": 3 * 200, "5.w": 13 * 100}.items():
        w = net.params[name]
        expected = np.sqrt(2 / fan_in)
        assert abs(w.std() / expected - 1) < 5 / np.sqrt(2 * w.size), name
        assert abs(w.mean()) < 5 * expected / np.sqrt(w.size), name
    for name in ("0.b", "2.b", "5.b"):
        assert not net.params[name].any()


@pytest.mark.parametrize("zero", [0, 0.0, -0.0], ids=repr)
def test_weights_of_no_deviation_are_zero(zero):
    assert not fc.Sequential([fc.Dense(2, init=zero)], fc.VectorInput(3)).parameters.any()


def test_initial_weights_keep_the_size_of_the_activations():
    net = fc.Sequential(
        [fc.OneHotConv1D(256, 4), fc.ReLU(), fc.Conv1D(256, 4), fc.ReLU(), fc.Conv1D(256, 4)],
        input=fc.OneHotInput(length=12, depth=8),
        seed=2,
    )
    x = np.random.default_rng(0).integers(0, 8, (50, 12)).astype(np.int16)
    assert 1.5 < np.mean(net.forward(x) ** 2) < 2.5  # twice the mean square of what comes in


def test_the_seed_gives_the_bits():
    assert convnet(seed=3).parameters.tobytes() == convnet(seed=3).parameters.tobytes()
    np.testing.assert_array_equal(convnet("float64", seed=3).parameters.astype("f4"), convnet(seed=3).parameters)
    different = convnet(seed=3), convnet(seed=4)
    for name in ("0.w", "2.w", "5.w"):
        assert not np.any(different[0].params[name] == different[1].params[name])


def test_layers_of_one_shape_start_differently():
    net = fc.Sequential([fc.Dense(4), fc.Dense(4)], input=fc.VectorInput(4))
    assert not np.any(net.params["0.w"] == net.params["1.w"])


# Summary


def test_summary_tells_shapes_parameters_and_receptive_fields():
    net = fc.Sequential(
        [fc.OneHotConv1D(20, 5), fc.ReLU(), fc.Conv1D(30, 3), fc.Conv1D(4, 2), fc.Flatten(), fc.Dense(18), fc.ReLU()],
        input=fc.OneHotInput(length=19, depth=28),
    )
    rows = [line.replace("(", " (").split("  ") for line in net.summary().splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert rows[0] == ["layer", "output shape", "parameters", "receptive field", "MFLOP"]
    assert [row[:4] for row in rows[1:-1]] == [
        ["input OneHotInput", "(19, 28)", "0", "1"],
        ["0 OneHotConv1D", "(15, 20)", str(5 * 28 * 20 + 20), "5"],
        ["1 ReLU", "(15, 20)", "0", "5"],
        ["2 Conv1D", "(13, 30)", str(3 * 20 * 30 + 30), "7"],
        ["3 Conv1D", "(12, 4)", str(2 * 30 * 4 + 4), "8"],
        ["4 Flatten", "(48,)", "0", "19"],
        ["5 Dense", "(18,)", str(48 * 18 + 18), "19"],
        ["6 ReLU", "(18,)", "0", "19"],
    ]
    assert rows[-1][:2] == ["total", str(net.parameters.size)]
    # a look-up adds, a product multiplies and adds
    flop = 15 * 20 * 5 + 2 * (13 * 30 * 3 * 20 + 12 * 4 * 2 * 30 + 48 * 18)
    assert rows[-1][2] == f"{flop / 1e6:.4f}"


def test_a_receptive_field_is_what_an_output_depends_on():
    net = fc.Sequential([fc.Conv1D(3, 4), fc.Conv1D(2, 3)], input=fc.SequenceInput(12, 2), dtype="float64")
    x = np.zeros((12, 12, 2))
    x[np.arange(12), np.arange(12)] = 1  # sample i: position i alone is not zero
    seen = np.flatnonzero(net.forward(x)[:, 3].any(axis=1))
    assert seen.tolist() == [3, 4, 5, 6, 7, 8]
    assert net.summary().splitlines()[3].split()[-2] == "6"


# What does not fit


@pytest.mark.parametrize(
    "layers, input, message",
    [
        (
            [fc.OneHotConv1D(4, 10)],
            NAMES,
            r"layer 0, OneHotConv1D: a window of 10 needs 10 positions at least, got 9 \(kernel 10, input \(9, 5\)\)",
        ),
        (
            [fc.OneHotConv1D(4, 5), fc.ReLU(), fc.Conv1D(3, 6)],
            NAMES,
            "layer 2, Conv1D: a window of 6 needs 6 positions at least, got 5",
        ),
        (
            [fc.OneHotConv1D(4, 5), fc.Dense(3)],
            NAMES,
            r"layer 1, Dense: expected a vector, got shape \(5, 4\); put Flatten before",
        ),
        ([fc.Dense(3)], NAMES, "layer 0, Dense: expected a vector, got codes"),
        ([fc.Conv1D(3, 2)], NAMES, "layer 0, Conv1D: .*got codes; use OneHotConv1D or Embedding first"),
        (
            [fc.OneHotConv1D(3, 2)],
            fc.SequenceInput(9, 5),
            "layer 0, OneHotConv1D: expected codes, got numbers; use Conv1D here",
        ),
        ([fc.OneHotConv1D(3, 2), fc.OneHotConv1D(3, 2)], NAMES, "layer 1, OneHotConv1D: .*use Conv1D here"),
        ([fc.ReLU()], NAMES, "layer 0, ReLU: expected numbers, got codes; the first layer is OneHotConv1D"),
        ([fc.Flatten()], NAMES, "layer 0, Flatten: expected numbers, got codes; the first layer is OneHotConv1D"),
        ([fc.Conv1D(3, 2)], fc.VectorInput(9), r"layer 0, Conv1D: expected a sequence \(length, channels\), got shape"),
        ([fc.OneHotConv1D(4, 5), fc.Flatten(), fc.Conv1D(3, 2)], NAMES, "layer 2, Conv1D: expected a sequence"),
        ([], NAMES, "codes need a first layer OneHotConv1D"),
    ],
    ids=range(12),
)
def test_a_layer_that_does_not_fit_is_named_with_what_would(layers, input, message):
    with pytest.raises(ShapeError, match=message):
        fc.Sequential(layers, input=input)


@pytest.mark.parametrize("layer", [None, "Dense", fc.Dense, len, 3], ids=repr)
def test_what_is_no_layer_is_named_with_its_place(layer):
    with pytest.raises(DTypeError, match=f"layer 1 is {type(layer).__name__}, expected a layer"):
        fc.Sequential([fc.Dense(3), layer], input=fc.VectorInput(2))


@pytest.mark.parametrize("input", [None, (19, 28), 3, fc.Dense(3), fc.VectorInput], ids=repr)
def test_the_input_is_a_description(input):
    with pytest.raises(DTypeError, match=r"Sequential: input is one of OneHotInput, .*got"):
        fc.Sequential([fc.Dense(3)], input=input)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", "number", ">f4", object, None, 3], ids=repr)
def test_the_dtype_is_float32_or_float64(dtype):
    with pytest.raises(DTypeError, match="Sequential: dtype is float32 or float64, got"):
        fc.Sequential([fc.Dense(3)], input=fc.VectorInput(2), dtype=dtype)


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "0"], ids=repr)
def test_the_seed_is_an_integer(seed):
    with pytest.raises(RangeError, match="Sequential: seed is an integer >= 0, got"):
        fc.Sequential([fc.Dense(3)], input=fc.VectorInput(2), seed=seed)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "3"], ids=repr)
@pytest.mark.parametrize(
    "make, name",
    [
        (lambda n: fc.Dense(n), "Dense: units"),
        (lambda n: fc.Conv1D(n, 2), "Conv1D: filters"),
        (lambda n: fc.Conv1D(2, n), "Conv1D: kernel_size"),
        (lambda n: fc.OneHotConv1D(n, 2), "OneHotConv1D: filters"),
        (lambda n: fc.OneHotConv1D(2, n), "OneHotConv1D: kernel_size"),
        (lambda n: fc.OneHotInput(n, 2), "OneHotInput: length"),
        (lambda n: fc.OneHotInput(2, n), "OneHotInput: depth"),
        (lambda n: fc.SequenceInput(n, 2), "SequenceInput: length"),
        (lambda n: fc.SequenceInput(2, n), "SequenceInput: channels"),
        (lambda n: fc.VectorInput(n), "VectorInput: n"),
    ],
)
def test_sizes_are_positive_integers(make, name, value):
    with pytest.raises(RangeError, match=f"{name}: expected a positive integer, got {value!r}"):
        make(value)


@pytest.mark.parametrize("make", [lambda b: fc.Dense(2, b), lambda b: fc.Conv1D(2, 2, bias=b)], ids=["Dense", "Conv1D"])
@pytest.mark.parametrize("bias", [0, 1, None, "yes"])
def test_bias_is_true_or_false(make, bias):
    with pytest.raises(DTypeError, match="bias is True or False"):
        make(bias)


def test_an_alphabet_s_size_fits_int16():
    assert fc.OneHotInput(3, 32767).shape == (3, 32767)
    with pytest.raises(RangeError, match="depth is at most 32767, got 32768"):
        fc.OneHotInput(3, 32768)


# The mathematics: any small network against the twin


def twin(net, x, y=None, weight=None):
    """Return what the twin makes of a network in float64: the logits, and with labels the loss and the gradients."""
    params = {name: array.astype(np.float64) for name, array in net.params.items()}
    values = [np.asarray(x) if net.input.codes else np.asarray(x, np.float64)]
    for i, layer in enumerate(net.layers):
        v, w, b = values[-1], params.get(f"{i}.w"), params.get(f"{i}.b")
        if isinstance(layer, fc.OneHotConv1D):
            values.append(kernels.onehot_conv1d(v, w, b))
        elif isinstance(layer, fc.Conv1D):
            values.append(kernels.conv1d(v, w, b))
        elif isinstance(layer, fc.Dense):
            values.append(kernels.dense(v, w, b))
        elif isinstance(layer, fc.ReLU):
            values.append(kernels.relu(v))
        else:
            values.append(v.reshape(len(v), -1))
    if y is None:
        return values[-1]
    loss, d = kernels.softmax_cross_entropy(values[-1], np.asarray(y), weight)
    gradients = {}
    for i, layer in reversed(list(enumerate(net.layers))):
        v, w = values[i], params.get(f"{i}.w")
        if isinstance(layer, fc.OneHotConv1D):
            gradients[f"{i}.w"], gradients[f"{i}.b"] = kernels.onehot_conv1d_backward(d, v, w.shape)
        elif isinstance(layer, fc.Conv1D):
            d, gradients[f"{i}.w"], gradients[f"{i}.b"] = kernels.conv1d_backward(d, v, w)
        elif isinstance(layer, fc.Dense):
            d, gradients[f"{i}.w"], gradients[f"{i}.b"] = kernels.dense_backward(d, v, w)
        elif isinstance(layer, fc.ReLU):
            d = kernels.relu_backward(d, values[i + 1])
        else:
            d = d.reshape(v.shape)
    return values[-1], loss, {name: gradients[name] for name in net.params}


@st.composite
def networks(draw, dtype):
    """A network of one to three convolutions, a batch, labels, and weights or None."""
    codes, bias = draw(st.booleans()), st.booleans()
    length, depth = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    layers, left = [], length
    for i in range(draw(st.integers(1, 3))):
        width = draw(st.integers(1, min(left, 5)))
        kind = fc.OneHotConv1D if codes and i == 0 else fc.Conv1D
        layers.append(kind(draw(st.integers(1, 18)), width, bias=draw(bias)))
        left -= width - 1
        if draw(st.booleans()):
            layers.append(fc.ReLU())
    layers.append(fc.Flatten())
    if draw(st.booleans()):
        layers += [fc.Dense(draw(st.integers(1, 17)), bias=draw(bias)), *([fc.ReLU()] if draw(st.booleans()) else [])]
    classes = draw(st.integers(1, 9))
    layers.append(fc.Dense(classes, bias=draw(bias)))
    input = fc.OneHotInput(length, depth) if codes else fc.SequenceInput(length, depth)
    net = fc.Sequential(layers, input=input, dtype=dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    net.parameters[:] = rng.normal(0, 0.5, net.parameters.size)
    n = draw(st.integers(1, 9))
    x = random_codes(rng, n, length, depth) if codes else rng.normal(size=(n, length, depth)).astype(dtype)
    weight = rng.uniform(0, 3, n) if draw(st.booleans()) else None
    return net, x, rng.integers(0, classes, n), weight


def check_against_twin(case, tolerance):
    net, x, y, weight = case
    logits, loss, gradients = twin(net, x, y, weight)
    found_loss, found = net.loss_and_gradients(x, y, sample_weight=weight)
    scale = max(1e-3, np.abs(logits).max())
    np.testing.assert_allclose(net.forward(x), logits, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(net.predict_proba(x), kernels.softmax(logits), rtol=0, atol=tolerance * max(1, scale))
    np.testing.assert_allclose(found_loss, loss, rtol=tolerance, atol=tolerance * scale)
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = max(1e-3, np.abs(gradient).max())
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=tolerance * scale, err_msg=name)


@settings(random_networks, max_examples=150)
@given(networks("float64"))
def test_a_float64_network_is_the_twin_s(case):
    check_against_twin(case, 1e-10)


@settings(random_networks, max_examples=150)
@given(networks("float32"))
def test_a_float32_network_is_the_twin_s_within_its_precision(case):
    check_against_twin(case, 1e-4)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("bias", [False, True])
def test_many_chunks_are_the_twin_s(dtype, tolerance, bias):
    rng = np.random.default_rng(5)
    net = convnet(dtype, bias=bias)
    net.parameters[:] = rng.normal(0, 0.5, net.parameters.size)
    check_against_twin((net, random_codes(rng, 700, 9, 5), rng.integers(0, 4, 700), rng.uniform(0, 2, 700)), tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize(
    "channels, units", [(30, 18), (17, 1), (32, 17), (20, 18), (16, 33), (130, 3), (600, 2)], ids=str
)
def test_a_dense_layer_is_the_twin_s_however_its_weights_are_packed(level, rng, channels, units, dtype, tolerance):
    """Few units of many channels are packed transposed; in a batch of one chunk, of two, and of more."""
    layers = [fc.Conv1D(channels, 2), fc.ReLU(), fc.Flatten(), fc.Dense(units)]
    net = fc.Sequential(layers, input=fc.SequenceInput(5, 3), dtype=dtype)
    net.parameters[:] = rng.normal(0, 0.5, net.parameters.size)
    for n in (1, 150, 600):
        x = rng.normal(size=(n, 5, 3)).astype(dtype)
        check_against_twin((net, x, rng.integers(0, units, n), None), tolerance)


@pytest.mark.parametrize("bias", [False, True])
def test_names_of_nothing_but_padding(bias):
    net = convnet("float64", bias=bias)
    net.parameters[:] = np.random.default_rng(6).normal(size=net.parameters.size)
    check_against_twin((net, np.full((3, 9), -1, np.int16), np.array([0, 1, 3]), None), 1e-10)
    if not bias:
        assert not net.forward(np.full((3, 9), -1, np.int16)).any()


def test_an_unknown_character_in_a_name_is_a_zero_column():
    net = convnet("float64")
    rng = np.random.default_rng(7)
    net.parameters[:] = rng.normal(size=net.parameters.size)
    codes = np.array([[0, -1, 2, -1, -1, 3, 4, -1, -1], [-1, -1, -1, 1, -1, -1, -1, -1, -1], [-1] * 8 + [2]], np.int16)
    check_against_twin((net, codes, np.array([0, 1, 2]), None), 1e-10)


def test_a_network_that_ends_in_flatten_gives_logits():
    rng = np.random.default_rng(8)
    net = fc.Sequential([fc.Conv1D(3, 2), fc.Flatten()], input=fc.SequenceInput(4, 2), dtype="float64")
    x, y = rng.normal(size=(5, 4, 2)), np.array([0, 8, 3, 4, 1])
    np.testing.assert_allclose(net.predict_proba(x).sum(axis=1), 1)
    np.testing.assert_allclose(net.predict_proba(x), kernels.softmax(twin(net, x)), atol=1e-12)
    check_against_twin((net, x, y, None), 1e-10)


def test_a_network_that_ends_in_relu_trains_through_it():
    rng = np.random.default_rng(9)
    for layers in ([fc.Dense(4), fc.ReLU()], [fc.ReLU(), fc.Dense(4)], [fc.Dense(4), fc.ReLU(), fc.ReLU()]):
        net = fc.Sequential(layers, input=fc.VectorInput(3), dtype="float64")
        check_against_twin((net, rng.normal(size=(6, 3)), rng.integers(0, 4, 6), None), 1e-10)


# Predictions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [False, True])
def test_predictions_do_not_depend_on_the_batch(dtype, bias):
    rng = np.random.default_rng(10)
    net = convnet(dtype, bias=bias)
    x = random_codes(rng, 600, 9, 5)
    whole = {call: getattr(net, call)(x) for call in ("forward", "predict_proba", "predict")}
    parts = [np.arange(i, i + 1) for i in range(40)] + [
        rng.permutation(600),
        rng.integers(0, 600, 300),
        np.arange(7, 599),
    ]
    for call, expected in whole.items():
        for rows in parts:
            assert getattr(net, call)(x[rows]).tobytes() == expected[rows].tobytes(), call


def test_predictions_of_sequences_do_not_depend_on_the_batch():
    rng = np.random.default_rng(11)
    net = fc.Sequential([fc.Conv1D(9, 3), fc.ReLU(), fc.Flatten(), fc.Dense(5)], input=fc.SequenceInput(8, 6))
    x = rng.normal(size=(500, 8, 6)).astype(np.float32)
    expected = net.forward(x)
    for rows in (np.arange(1), np.arange(3, 8), rng.permutation(500)):
        assert net.forward(x[rows]).tobytes() == expected[rows].tobytes()


def test_a_prediction_is_the_most_probable_class():
    net = convnet("float64")
    x = random_codes(np.random.default_rng(12), 50, 9, 5)
    logits = net.forward(x)
    np.testing.assert_array_equal(net.predict(x), logits.argmax(axis=1))
    np.testing.assert_allclose(net.predict_proba(x), kernels.softmax(logits), atol=1e-14)
    assert len(np.unique(net.predict(x))) > 1


def test_evaluate_gives_loss_and_accuracy():
    net = convnet("float64")
    rng = np.random.default_rng(13)
    x, y = random_codes(rng, 50, 9, 5), rng.integers(0, 4, 50)
    loss, accuracy = net.evaluate(x, y)
    assert loss == pytest.approx(kernels.softmax_cross_entropy(twin(net, x), y)[0], rel=1e-12)
    assert accuracy == np.mean(net.predict(x) == y)
    assert 0 < accuracy < 1


# Arrays that come in


def every_call(net, x, y, weight):
    loss, gradients = net.loss_and_gradients(x, y, sample_weight=weight)
    evaluated = net.evaluate(x, y, sample_weight=weight)
    return [net.forward(x), net.predict_proba(x), net.predict(x), loss, evaluated, *gradients.values()]


@pytest.mark.parametrize("codes", [True, False])
def test_read_only_arrays_are_accepted_and_nothing_is_modified(codes):
    rng = np.random.default_rng(14)
    if codes:
        net, x = convnet(), random_codes(rng, 20, 9, 5)
    else:
        net = fc.Sequential([fc.Conv1D(9, 3), fc.ReLU(), fc.Flatten(), fc.Dense(4)], input=fc.SequenceInput(9, 6))
        x = rng.normal(size=(20, 9, 6)).astype(np.float32)
    y, weight = rng.integers(0, 4, 20), rng.uniform(size=20).astype(np.float32)
    arrays = x, y, weight, net.parameters
    copies = [array.copy() for array in arrays]
    expected = every_call(net, x, y, weight)
    for array in arrays:
        array.setflags(write=False)
    for found, value in zip(every_call(net, x, y, weight), expected, strict=True):
        np.testing.assert_array_equal(found, value)
    for array, copy in zip(arrays, copies, strict=True):
        assert array.tobytes() == copy.tobytes()


def misaligned(array):
    """A copy one byte beyond where its elements should begin."""
    copy = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.tolist(),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: a[::-1][::-1],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a.astype(np.int64 if a.dtype.kind == "i" else np.float64),
        misaligned,
    ],
    ids=["list", "Fortran", "strided", "reversed", "big-endian", "wide", "misaligned"],
)
def test_arrays_may_lie_in_memory_as_they_like(convert):
    rng = np.random.default_rng(15)
    codes, y = random_codes(rng, 20, 9, 5), rng.integers(0, 4, 20)
    weight = rng.uniform(size=20).astype(np.float32)
    numbers = rng.normal(size=(20, 9, 6)).astype(np.float32)
    sequences = fc.Sequential([fc.Conv1D(9, 3), fc.Flatten(), fc.Dense(4)], input=fc.SequenceInput(9, 6))
    for net, x in ((convnet(), codes), (sequences, numbers)):
        expected = every_call(net, x, y, weight)
        for found, value in zip(every_call(net, convert(x), convert(y), convert(weight)), expected, strict=True):
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_codes_may_be_any_integers(dtype):
    x = np.random.default_rng(16).integers(0, 5, (20, 9))
    net = convnet()
    np.testing.assert_array_equal(net.forward(x.astype(dtype)), net.forward(x.astype(np.int16)))


def test_nan_and_infinity_come_through():
    net = fc.Sequential([fc.Dense(3), fc.ReLU(), fc.Dense(2)], input=fc.VectorInput(2), dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = net.forward([[np.nan, 1], [0, 1], [np.inf, -np.inf]])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert not np.isfinite(found[2]).any()
