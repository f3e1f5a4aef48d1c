"""The three networks of the readable twin, and the kernels below them.

The naive network is checked against central differences of its loss and, for its forward pass,
against SciPy; the other two must then train exactly as it does.
"""

import numpy as np
import pytest
import scipy.signal
import scipy.special

from fastconv.reference import kernels
from fastconv.reference.networks import NaiveNetwork, OptimisedNetwork, VectorisedImageNetwork, VectorisedNetwork

NETWORKS = [NaiveNetwork, OptimisedNetwork, VectorisedNetwork]
FASTER = [OptimisedNetwork, VectorisedNetwork]
SYMBOLS = "abcdefg"
NAMES = ["abacad", "ge", "fad?bag", "?bcd", "", "cabbage", "d", "faced??a", "gabfeed", "decade"]
CLASSES = 4

# length, k1, f1, k2, f2
SHAPES = [(9, 3, 5, 2, 4), (8, 2, 1, 3, 6), (7, 1, 3, 1, 2), (6, 3, 2, 4, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_network = pytest.mark.parametrize("network_class", NETWORKS)
with_and_without_weights = pytest.mark.parametrize("weighted", [False, True])


def arguments(shape, weighted=False, dtype=np.float64):
    """Data and weights: names with padding, unknown characters, and one that is empty."""
    length, k1, f1, k2, f2 = shape
    rng = np.random.default_rng(shape)
    codes = kernels.encode(NAMES, SYMBOLS, length)
    assert (codes == -1).any()
    length2 = length - k1 - k2 + 2
    return dict(
        codes=codes,
        labels=rng.integers(0, CLASSES, len(NAMES)),
        w1=rng.normal(size=(k1, len(SYMBOLS), f1)).astype(dtype),
        w2=rng.normal(size=(k2, f1, f2)).astype(dtype),
        w3=rng.normal(size=(length2 * f2, CLASSES)).astype(dtype),
        sample_weight=rng.uniform(0.2, 3.0, len(NAMES)) if weighted else None,
    )


def weights(network):
    return (network.w1, network.w2, network.w3)


# Networks


def scipy_logits(codes, w1, w2, w3):
    """One name through the network, with SciPy's correlation for each pair of channels."""

    def layer(x, w):
        return np.maximum(scipy_conv1d(x[None], w)[0], 0)

    x = np.zeros((len(codes), w1.shape[1]))
    for position, code in enumerate(codes):
        if code >= 0:
            x[position, code] = 1
    return layer(layer(x, w1), w2).ravel() @ w3


@every_network
@every_shape
@with_and_without_weights
def test_loss_is_the_weighted_mean_of_the_cross_entropy(network_class, shape, weighted):
    a = arguments(shape, weighted)
    indices = np.array([7, 2, 2, 4, 0])
    losses = []
    for i in indices:
        log_p = scipy.special.log_softmax(scipy_logits(a["codes"][i], a["w1"], a["w2"], a["w3"]))
        weight = a["sample_weight"][i] if weighted else 1.0
        losses.append(-weight * log_p[a["labels"][i]])
    loss, _ = network_class(**a).gradients(indices)
    assert loss == pytest.approx(np.mean(losses), rel=1e-12)


@every_network
@every_shape
@with_and_without_weights
def test_gradients_are_the_central_differences_of_the_loss(network_class, shape, weighted):
    network = network_class(**arguments(shape, weighted))
    indices = np.arange(len(NAMES))
    _, gradients = network.gradients(indices)
    step = 1e-6
    for w, dw in zip(weights(network), gradients, strict=True):
        assert dw.shape == w.shape
        assert np.abs(dw).max() > 1e-3
        flat = w.reshape(-1)
        for entry in range(0, w.size, max(1, w.size // 15)):
            value, losses = flat[entry], []
            for shifted in (value + step, value - step):
                flat[entry] = shifted
                losses.append(network.gradients(indices)[0])
            flat[entry] = value
            numerical = (losses[0] - losses[1]) / (2 * step)
            assert dw.reshape(-1)[entry] == pytest.approx(numerical, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("network_class", FASTER)
@every_shape
@with_and_without_weights
def test_training_follows_the_naive_network(network_class, shape, weighted):
    a = arguments(shape, weighted)
    naive, faster = NaiveNetwork(**a), network_class(**a)
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, len(NAMES), 6) for _ in range(6)]
    expected = [naive.step(batch, 0.05, 0.9) for batch in batches]
    found = [faster.step(batch, 0.05, 0.9) for batch in batches]
    assert len(set(expected)) == 6
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for w, reference, start in zip(weights(faster), weights(naive), (a["w1"], a["w2"], a["w3"]), strict=True):
        assert not np.allclose(reference, start)
        np.testing.assert_allclose(w, reference, rtol=1e-10, atol=1e-12)


@every_network
def test_steps_are_momentum_sgd_on_the_gradients(network_class):
    network = network_class(**arguments(SHAPES[0]))
    expected = [w.copy() for w in weights(network)]
    velocity = [np.zeros_like(w) for w in expected]
    for batch in (np.array([0, 3, 5]), np.array([1, 2])):
        loss, gradients = network.gradients(batch)
        for i, dw in enumerate(gradients):
            expected[i], velocity[i] = kernels.sgd(expected[i], dw, velocity[i], 0.1, 0.8)
        assert network.step(batch, 0.1, 0.8) == loss
        for w, e in zip(weights(network), expected, strict=True):
            np.testing.assert_array_equal(w, e)


@every_network
def test_gradients_leave_the_network_alone(network_class):
    network = network_class(**arguments(SHAPES[0], weighted=True))
    before = [w.copy() for w in weights(network)]
    first_loss, first = network.gradients(np.array([0, 1, 2]))
    kept = [dw.copy() for dw in first]
    network.gradients(np.array([5, 6, 7]))
    for dw, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(dw, copy)
    for w, copy in zip(weights(network), before, strict=True):
        np.testing.assert_array_equal(w, copy)
    assert network.gradients(np.array([0, 1, 2]))[0] == first_loss


@every_network
def test_the_caller_keeps_its_weights(network_class):
    a = arguments(SHAPES[0])
    given = [a[name] for name in ("w1", "w2", "w3")]
    copies = [w.copy() for w in given]
    for w in given:
        w.flags.writeable = False
    network_class(**a).step(np.arange(5), 0.1, 0.9)
    for w, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(w, copy)


@every_network
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_has_the_dtype_of_w1(network_class, dtype):
    a = arguments(SHAPES[0], weighted=True)
    network = network_class(**{**a, "w1": a["w1"].astype(dtype)})
    _, gradients = network.gradients(np.arange(4))
    network.step(np.arange(4), np.float64(0.1), np.float64(0.9))
    assert [array.dtype for array in (*gradients, *weights(network))] == [dtype] * 6


@every_network
def test_float32_agrees_with_float64(network_class):
    indices = np.arange(len(NAMES))
    loss64, gradients64 = network_class(**arguments(SHAPES[0])).gradients(indices)
    loss32, gradients32 = network_class(**arguments(SHAPES[0], dtype=np.float32)).gradients(indices)
    assert loss32 == pytest.approx(loss64, rel=1e-5)
    for g32, g64 in zip(gradients32, gradients64, strict=True):
        np.testing.assert_allclose(g32, g64, atol=1e-5 * np.abs(g64).max())


@every_network
def test_a_zero_sample_weight_is_as_if_the_example_gave_no_gradient(network_class):
    a = arguments(SHAPES[0])
    a["sample_weight"] = np.where(np.arange(len(NAMES)) == 3, 0.0, 1.0)
    network = network_class(**a)
    loss, gradients = network.gradients(np.array([0, 3]))
    alone_loss, alone = network.gradients(np.array([0]))
    assert loss == pytest.approx(alone_loss / 2, rel=1e-12)
    for dw, dw_alone in zip(gradients, alone, strict=True):
        assert dw_alone.any()
        np.testing.assert_allclose(dw, dw_alone / 2, rtol=1e-12, atol=1e-15)


@every_network
def test_an_unknown_character_counts_as_no_character(network_class):
    a = arguments(SHAPES[0])
    a["codes"] = kernels.encode(["ab?c", "abc"], SYMBOLS, 9)
    a["labels"] = np.array([1, 1])
    network = network_class(**a)
    dw1 = network.gradients(np.array([0]))[1][0]
    used = [SYMBOLS.index(character) for character in "abc"]
    unused = [i for i in range(len(SYMBOLS)) if i not in used]
    assert dw1[:, used].any()
    assert not dw1[:, unused].any()
    assert network.gradients(np.array([0]))[0] != network.gradients(np.array([1]))[0]


@every_network
@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(w1=np.ones((3, 7, 5), int)), TypeError, "w1 has dtype int64, expected float32 or"),
        (dict(w1=np.ones((3, 7))), ValueError, "w1 has shape (3, 7), expected (K1, V, F1)"),
        (dict(w2=np.ones((2, 9, 4))), ValueError, "9 channels in w2, expected 5"),
        (dict(w3=np.ones((3, 4))), ValueError, "3 rows in w3, expected 24"),
        (dict(codes=np.zeros((10, 3), int)), ValueError, "codes have length 3, expected at least"),
        (dict(codes=np.full((10, 9), 7)), ValueError, "codes run from 7 to 7, expected -1 to 6"),
        (dict(labels=np.full(10, 4)), ValueError, "labels run from 4 to 4, expected 0 to 3"),
        (dict(labels=np.zeros(3, int)), ValueError, "(3,) labels, expected (10,)"),
        (dict(sample_weight=np.ones(2)), ValueError, "(2,) weights in sample_weight, expected"),
    ],
)
def test_wrong_arguments_are_named(network_class, changes, error, message):
    with pytest.raises(error) as raised:
        network_class(**{**arguments(SHAPES[0]), **changes})
    assert str(raised.value).startswith(f"{network_class.__name__}: {message}")


# Kernels


def scipy_conv1d(x, w):
    """SciPy's correlation for each sample, channel and filter, summed over channels."""
    n, length, channels = x.shape
    width, _, filters = w.shape
    y = np.zeros((n, length - width + 1, filters))
    for i in range(n):
        for c in range(channels):
            for f in range(filters):
                y[i, :, f] += scipy.signal.correlate(x[i, :, c], w[:, c, f], "valid", "direct")
    return y


# N, L, C, K, F
CONV_SHAPES = [(3, 7, 4, 3, 5), (1, 1, 1, 1, 1), (2, 5, 3, 5, 2), (0, 4, 2, 2, 3)]
every_conv_shape = pytest.mark.parametrize("shape", CONV_SHAPES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def conv_case(shape, dtype=np.float64):
    """Integer-valued x, w, b, dy, so that sums are exact in either precision."""
    n, length, channels, width, filters = shape
    rng = np.random.default_rng(shape)
    shapes = [
        (n, length, channels),
        (width, channels, filters),
        (filters,),
        (n, length - width + 1, filters),
    ]
    return [rng.integers(-5, 6, s).astype(dtype) for s in shapes]


def inner(a, b):
    return float(np.sum(a * b))


@every_conv_shape
@every_dtype
def test_conv1d_is_scipys_correlation(shape, dtype):
    x, w, b, _ = conv_case(shape, dtype)
    y = kernels.conv1d(x, w, b)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, scipy_conv1d(x, w) + b)
    np.testing.assert_array_equal(kernels.conv1d(x, w), y - b)


@every_conv_shape
@every_dtype
def test_conv1d_backward_is_the_adjoint(shape, dtype):
    x, w, b, dy = conv_case(shape, dtype)
    dx, dw, db = kernels.conv1d_backward(dy, x, w)
    assert [a.dtype for a in (dx, dw, db)] == [dtype] * 3
    rng = np.random.default_rng(3)
    x2, w2, b2 = (rng.integers(-5, 6, a.shape).astype(dtype) for a in (x, w, b))
    assert inner(dx, x2) == inner(dy, kernels.conv1d(x2, w))
    assert inner(dw, w2) == inner(dy, kernels.conv1d(x, w2))
    assert inner(db, b2) == inner(dy, np.broadcast_to(b2, dy.shape))


@every_conv_shape
@every_dtype
def test_onehot_conv1d_adds_the_weights_of_the_characters(shape, dtype):
    n, length, depth, width, _ = shape
    _, w, b, dy = conv_case(shape, dtype)
    codes = np.random.default_rng(4).integers(-1, depth, (n, length)).astype(np.int16)
    expected, expected_dw = np.zeros(dy.shape) + b, np.zeros(w.shape)
    for i, position, k in np.ndindex(n, dy.shape[1], width):
        code = codes[i, position + k]
        if code >= 0:
            expected[i, position] += w[k, code]
            expected_dw[k, code] += dy[i, position]
    y = kernels.onehot_conv1d(codes, w, b)
    dw, db = kernels.onehot_conv1d_backward(dy, codes, w.shape)
    assert [a.dtype for a in (y, dw, db)] == [dtype] * 3
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dw, expected_dw)
    np.testing.assert_array_equal(db, dy.sum(axis=(0, 1)))


@every_dtype
def test_dense_and_its_backward_are_matrix_products(dtype):
    rng = np.random.default_rng(5)
    x, w, b, dy = (rng.integers(-5, 6, s).astype(dtype) for s in ((3, 4), (4, 2), (2,), (3, 2)))
    np.testing.assert_array_equal(kernels.dense(x, w, b), x @ w + b)
    np.testing.assert_array_equal(kernels.dense(x, w), x @ w)
    dx, dw, db = kernels.dense_backward(dy, x, w)
    assert [a.dtype for a in (kernels.dense(x, w, b), dx, dw, db)] == [dtype] * 4
    np.testing.assert_array_equal(dx, dy @ w.T)
    np.testing.assert_array_equal(dw, x.T @ dy)
    np.testing.assert_array_equal(db, np.ones(3) @ dy)


@every_dtype
def test_relu_and_its_backward(dtype):
    x = np.array([-2, -0.0, 0, 3, np.nan, np.inf, -np.inf], dtype)
    y = kernels.relu(x)
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 3, np.nan, np.inf, 0], dtype))
    dx = kernels.relu_backward(np.array([1, 2, np.nan, 4, 5, 6, np.inf], dtype), y)
    np.testing.assert_array_equal(dx, np.array([0, 0, 0, 4, 0, 6, 0], dtype))
    assert y.dtype == dx.dtype == dtype


def test_softmax_is_scipys_and_does_not_overflow():
    z = np.random.default_rng(6).normal(size=(4, 5)) * 10
    np.testing.assert_allclose(kernels.softmax(z), scipy.special.softmax(z, axis=1), rtol=1e-13)
    np.testing.assert_array_equal(kernels.softmax(np.array([1e30, -1e30])), [1, 0])


@with_and_without_weights
def test_softmax_cross_entropy_and_its_gradient(weighted):
    rng = np.random.default_rng(7)
    logits, labels = rng.normal(size=(6, 5)) * 3, rng.integers(0, 5, 6)
    weight = rng.uniform(0, 3, 6) if weighted else None
    loss, dlogits = kernels.softmax_cross_entropy(logits, labels, weight)
    log_p = scipy.special.log_softmax(logits, axis=1)[np.arange(6), labels]
    assert loss == pytest.approx(-np.mean((1 if weight is None else weight) * log_p), rel=1e-13)
    for entry in np.ndindex(logits.shape):
        bump = np.zeros_like(logits)
        bump[entry] = 1e-6
        high, low = (kernels.softmax_cross_entropy(logits + sign * bump, labels, weight)[0] for sign in (1, -1))
        assert dlogits[entry] == pytest.approx((high - low) / 2e-6, rel=1e-6, abs=1e-8)


@every_dtype
def test_softmax_cross_entropy_of_huge_logits_and_of_no_examples(dtype):
    loss, dlogits = kernels.softmax_cross_entropy(np.array([[1e4, 0]], dtype), np.array([1]))
    assert loss == 1e4
    np.testing.assert_array_equal(dlogits, [[1, -1]])
    assert loss.dtype == dlogits.dtype == dtype
    loss, dlogits = kernels.softmax_cross_entropy(np.zeros((0, 3), dtype), np.zeros(0, int))
    assert loss == 0
    assert loss.dtype == dlogits.dtype == dtype
    assert dlogits.shape == (0, 3)


@every_dtype
def test_sgd_returns_new_arrays(dtype):
    p, g, v = np.array([1, 2], dtype), np.array([4, 8], dtype), np.array([2, 0], dtype)
    for a in (p, g, v):
        a.flags.writeable = False
    new_p, new_v = kernels.sgd(p, g, v, np.float64(0.25), np.float64(0.5))
    np.testing.assert_array_equal(new_v, [2, 2])
    np.testing.assert_array_equal(new_p, [-1, 0])
    assert new_p.dtype == new_v.dtype == dtype


def test_encode_pads_cuts_and_marks_unknown_characters():
    codes = kernels.encode(["cab", "", "a?bcab", "AB"], ["a", "b", "c"], length=4)
    expected = [[2, 0, 1, -1], [-1, -1, -1, -1], [0, -1, 1, 2], [-1, -1, -1, -1]]
    np.testing.assert_array_equal(codes, expected)
    assert codes.dtype == np.int16
    assert kernels.encode([], "abc", 4).shape == (0, 4)


def test_encode_keeps_an_end_marks_and_falls_back_to_bytes():
    assert kernels.encode(["abc"], "abc", 2, keep="end").tolist() == [[1, 2]]
    assert kernels.encode(["ab", ""], "ab", 5, markers=True).tolist() == [[2, 0, 1, 3, -1], [2, 3, -1, -1, -1]]
    assert kernels.encode(["a\xe9"], "a", 3, byte_fallback=True).tolist() == [[0, 1 + 0xC3, 1 + 0xA9]]


X, W = np.ones((1, 3, 2)), np.ones((2, 2, 4))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: kernels.conv1d(X, np.ones((2, 5, 4))),
            "conv1d: x has 2 channels, w expects 5",
        ),
        (
            lambda: kernels.conv1d(X, np.ones((4, 2, 4))),
            "conv1d: x has length 3, less than the filter width 4",
        ),
        (
            lambda: kernels.conv1d(X[0], W),
            "conv1d: x has shape (3, 2) and w (2, 2, 4), expected (N, L, C) and (K, C, F)",
        ),
        (lambda: kernels.conv1d(X, W, np.ones(1)), "conv1d: b has shape (1,), expected (4,)"),
        (
            lambda: kernels.conv1d_backward(np.ones((1, 1, 4)), X, W),
            "conv1d_backward: dy has shape (1, 1, 4), expected (1, 2, 4)",
        ),
        (
            lambda: kernels.onehot_conv1d(np.array([[0, 2, 1]]), W),
            "one_hot: codes run from 0 to 2, expected -1 to 1 for an alphabet of 2",
        ),
        (lambda: kernels.one_hot([1], 2), "one_hot: codes has shape (1,), expected (N, L)"),
        (
            lambda: kernels.dense(np.ones((1, 3)), np.ones((2, 1))),
            "dense: x has shape (1, 3), expected (1, 2)",
        ),
        (
            lambda: kernels.relu_backward(np.ones(1), np.ones(3)),
            "relu_backward: dy has shape (1,), expected (3,)",
        ),
        (
            lambda: kernels.softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])),
            "softmax_cross_entropy: labels run from 0 to 3, expected 0 to 2",
        ),
        (
            lambda: kernels.softmax_cross_entropy(np.ones((2, 3)), np.array([0])),
            "softmax_cross_entropy: labels has shape (1,), expected (2,)",
        ),
        (
            lambda: kernels.sgd(np.ones(2), np.ones(1), np.ones(2), 0.1, 0.9),
            "sgd: grads has shape (1,), expected (2,)",
        ),
        (
            lambda: kernels.encode(["a"], ["ab"], 2),
            "encode: symbol 'ab' has 2 characters, expected 1",
        ),
        (lambda: kernels.encode(["a"], "aba", 2), "encode: symbol 'a' appears 2 times"),
    ],
)
def test_kernel_errors_name_function_expectation_and_what_came(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message


@every_shape
def test_predictions_are_the_softmax_of_the_logits_in_batches_of_any_size(shape):
    a = arguments(shape)
    logits = np.array([scipy_logits(row, a["w1"], a["w2"], a["w3"]) for row in a["codes"]])
    network = VectorisedNetwork(**{**a, "codes": a["codes"][:2], "labels": a["labels"][:2]})
    for batch_size in (None, 4, 100):
        found = network.predict_proba(a["codes"], batch_size)
        np.testing.assert_allclose(found, scipy.special.softmax(logits, axis=1), rtol=1e-12)


# Images


def image_problem(padding):
    """Images of 9 x 8 pixels, filters of two shapes, pooling that drops a row or a column, two dense layers."""
    rng = np.random.default_rng(5)
    height, width = (9 + 2 * padding - 2) // 2, (8 + 2 * padding - 1) // 2
    height, width = (height + 2 * padding - 1) // 2, (width + 2 * padding - 2) // 2
    shapes = [(3, 2, 2, 3), (3,), (2, 3, 3, 4), (4,), (height * width * 4, 5), (5,), (5, CLASSES), (CLASSES,)]
    weights = [rng.normal(0, 0.5, shape) for shape in shapes]
    return rng.normal(size=(6, 9, 8, 2)), rng.integers(0, CLASSES, 6), weights


def scipy_image_logits(image, weights, padding):
    """One image through the network, with SciPy's correlation for each pair of channels."""
    x = image
    for layer, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        if w.ndim == 4:
            x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
            channels = range(x.shape[2])
            y = [sum(scipy.signal.correlate(x[..., c], w[..., c, f], "valid") for c in channels) for f in range(len(b))]
            y = np.maximum(np.stack(y, 2) + b, 0)
            rows, columns = range(0, y.shape[0] - 1, 2), range(0, y.shape[1] - 1, 2)
            x = np.array([[y[i : i + 2, j : j + 2].max(axis=(0, 1)) for j in columns] for i in rows])
        else:
            x = x.reshape(-1) @ w + b
            x = np.maximum(x, 0) if layer < len(weights) // 2 - 1 else x
    return x


@pytest.mark.parametrize("padding", [0, 1])
def test_the_image_network_is_scipy_s_correlation_with_pooling_and_products(padding):
    images, labels, weights = image_problem(padding)
    network = VectorisedImageNetwork(images, labels, weights, padding)
    expected = scipy.special.softmax([scipy_image_logits(image, weights, padding) for image in images], axis=1)
    for batch_size in (None, 4):
        np.testing.assert_allclose(network.predict_proba(images, batch_size), expected, rtol=1e-10)
    assert network.predict_proba(images[:0]).shape == (0, CLASSES)


@pytest.mark.parametrize("padding", [0, 1])
def test_the_image_network_s_gradients_are_the_numerical_ones(padding):
    images, labels, weights = image_problem(padding)
    network = VectorisedImageNetwork(images, labels, weights, padding)
    rows = np.array([0, 3, 3, 5])
    _, gradients = network.gradients(rows)
    rng = np.random.default_rng(0)
    for w, gradient in zip(network.weights, gradients, strict=True):
        direction, start, losses = rng.normal(size=w.shape), w.copy(), []
        for step in (1e-6, -1e-6):
            w[...] = start + step * direction
            losses.append(network.gradients(rows)[0])
        w[...] = start
        assert np.vdot(gradient, direction) == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-6, abs=1e-9)


def test_the_image_network_steps_by_momentum_and_restarts():
    images, labels, weights = image_problem(1)
    network = VectorisedImageNetwork(images, labels, weights, 1)
    rows = np.arange(4)
    _, first = network.gradients(rows)
    loss = network.step(rows, 0.1, 0.9)
    np.testing.assert_allclose(network.weights[0], weights[0] - 0.1 * first[0])
    _, second = network.gradients(rows)
    network.step(rows, 0.1, 0.9)
    np.testing.assert_allclose(network.weights[0], weights[0] - 0.1 * (1.9 * first[0] + second[0]))
    network.restart(*weights)
    assert network.step(rows, 0.1, 0.9) == loss
    np.testing.assert_allclose(network.weights[0], weights[0] - 0.1 * first[0])


def test_the_image_network_wants_floating_point_weights():
    images, labels, weights = image_problem(0)
    with pytest.raises(TypeError, match="expected float32 or float64"):
        VectorisedImageNetwork(images, labels, [w.astype(int) for w in weights])
