"""The kernels, one by one, through fastconv.functional: against their NumPy twins and against outside truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from fastconv import functional
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.reference import kernels as twin

DTYPES = (np.float32, np.float64)
W = np.ones((2, 3, 6))
# (samples, length, channels, width, filters): odd sizes around the vectors' and the tile's edges
SHAPES = [
    (1, 1, 1, 1, 1),
    (3, 7, 2, 3, 5),
    (2, 9, 17, 2, 16),
    (5, 19, 30, 5, 30),
    (4, 13, 31, 13, 33),
    (2, 40, 8, 4, 65),
    (0, 6, 3, 2, 4),
    (300, 5, 3, 2, 7),
]


def tolerance(dtype, terms):
    """A bound on the relative error of a sum of so many rounded products."""
    return dict(rtol=4 * terms * np.finfo(dtype).eps, atol=4 * terms * np.finfo(dtype).eps)


def frozen(array):
    array.flags.writeable = False
    return array


def codes_of(rng, n, length, depth):
    """Names: random lengths, padding behind, some unknown characters within."""
    codes = rng.integers(-1, depth, (n, length)).astype(np.int16)
    codes[np.arange(length) >= rng.integers(0, length + 1, n)[:, None]] = -1
    return codes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_conv1d_equals_its_twin(level, rng, shape, dtype, biased):
    n, length, channels, width, filters = shape
    x = frozen(rng.normal(size=(n, length, channels)).astype(dtype))
    w = frozen(rng.normal(size=(width, channels, filters)).astype(dtype))
    b = frozen(rng.normal(size=filters).astype(dtype)) if biased else None
    y = functional.conv1d(x, w, b)
    dy = frozen(rng.normal(size=y.shape).astype(dtype))
    assert y.dtype == dtype and y.shape == (n, length - width + 1, filters)
    np.testing.assert_allclose(y, twin.conv1d(x, w, b), **tolerance(dtype, width * channels))
    terms = width * filters + n * length
    for found, expected in zip(functional.conv1d_backward(dy, x, w), twin.conv1d_backward(dy, x, w), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **tolerance(dtype, terms))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [False, True])
def test_onehot_conv1d_equals_its_twin(level, rng, shape, dtype, biased):
    n, length, depth, width, filters = shape
    codes = frozen(codes_of(rng, n, length, depth))
    w = frozen(rng.normal(size=(width, depth, filters)).astype(dtype))
    b = frozen(rng.normal(size=filters).astype(dtype)) if biased else None
    y = functional.onehot_conv1d(codes, w, b)
    dy = frozen(rng.normal(size=y.shape).astype(dtype))
    assert y.dtype == dtype and y.shape == (n, length - width + 1, filters)
    np.testing.assert_allclose(y, twin.onehot_conv1d(codes, w, b), **tolerance(dtype, width + 1))
    dw, db = functional.onehot_conv1d_backward(dy, codes, w)
    expected_dw, expected_db = twin.onehot_conv1d_backward(dy, codes, w.shape)
    np.testing.assert_allclose(dw, expected_dw, **tolerance(dtype, n * length + 1))
    np.testing.assert_allclose(db, expected_db, **tolerance(dtype, n * length + 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 7, 18), (300, 33, 17), (0, 4, 3), (40, 330, 18)])
@pytest.mark.parametrize("biased", [False, True])
def test_dense_equals_its_twin(level, rng, shape, dtype, biased):
    n, inputs, units = shape
    x = frozen(rng.normal(size=(n, inputs)).astype(dtype))
    w = frozen(rng.normal(size=(inputs, units)).astype(dtype))
    b = frozen(rng.normal(size=units).astype(dtype)) if biased else None
    dy = frozen(rng.normal(size=(n, units)).astype(dtype))
    np.testing.assert_allclose(functional.dense(x, w, b), twin.dense(x, w, b), **tolerance(dtype, inputs))
    for found, expected in zip(functional.dense_backward(dy, x, w), twin.dense_backward(dy, x, w), strict=True):
        np.testing.assert_allclose(found, expected, **tolerance(dtype, inputs + n))


def test_tiles_of_every_height_and_width_are_exact(level, rng):
    """Small integers, as below: each number of rows, and of vectors in a row, has a tile or several of its own."""
    x, w = rng.integers(-8, 9, (14, 3)), rng.integers(-8, 9, (3, 70))
    for dtype in DTYPES:
        for n in range(1, 15):
            for units in range(1, 71):
                y = functional.dense(x[:n].astype(dtype), w[:, :units].astype(dtype))
                np.testing.assert_array_equal(y, x[:n] @ w[:, :units])


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 6), length=st.integers(1, 30), channels=st.integers(1, 40), filters=st.integers(1, 40),
    width=st.integers(1, 30), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_integers_in_float32_are_exact(n, length, channels, filters, width, seed):
    """Small integers: float32 sums have no rounding, so int64 arithmetic gives the very same numbers."""
    width = min(width, length)
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-8, 9, (n, length, channels)), rng.integers(-8, 9, (width, channels, filters))
    windows = np.lib.stride_tricks.sliding_window_view(x, width, axis=1)  # (n, positions, channels, width)
    y = np.einsum("npck,kcf->npf", windows, w)
    dy = rng.integers(-8, 9, y.shape)
    np.testing.assert_array_equal(functional.conv1d(x.astype(np.float32), w.astype(np.float32)), y)
    dx, dw, db = functional.conv1d_backward(*(a.astype(np.float32) for a in (dy, x, w)))
    np.testing.assert_array_equal(dw, np.einsum("npck,npf->kcf", windows, dy))
    np.testing.assert_array_equal(db, dy.sum((0, 1)))
    expected = np.zeros_like(x)
    for k in range(width):
        expected[:, k : k + y.shape[1]] += dy @ w[k].T
    np.testing.assert_array_equal(dx, expected)


def test_conv1d_is_scipys_correlation(level, rng):
    x, w = rng.normal(size=(1, 23, 4)), rng.normal(size=(6, 4, 3))
    expected = np.stack([correlate(x[0], w[:, :, f], mode="valid")[:, 0] for f in range(3)], axis=1)
    np.testing.assert_allclose(functional.conv1d(x, w)[0], expected, rtol=1e-12)


def test_a_code_is_a_one_hot_column(level, rng):
    codes, w = codes_of(rng, 9, 12, 6), rng.normal(size=(4, 6, 5))
    columns = (codes[:, :, None] == np.arange(6)).astype(float)
    np.testing.assert_allclose(
        functional.onehot_conv1d(codes, w), functional.conv1d(columns, w), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("shape", SHAPES[1:6])
def test_adjoint_identities(level, rng, shape):
    """<dy, A x> = <A^T dy, x>, in x and in w, for the linear kernels."""
    n, length, channels, width, filters = shape
    x, w = rng.normal(size=(n, length, channels)), rng.normal(size=(width, channels, filters))
    y = functional.conv1d(x, w)
    dy = rng.normal(size=y.shape)
    dx, dw, _ = functional.conv1d_backward(dy, x, w)
    product = np.vdot(dy, y)
    assert np.vdot(dx, x) == pytest.approx(product, rel=1e-10, abs=1e-10)
    assert np.vdot(dw, w) == pytest.approx(product, rel=1e-10, abs=1e-10)
    codes = codes_of(rng, n, length, channels)
    y = functional.onehot_conv1d(codes, w)
    dw, _ = functional.onehot_conv1d_backward(dy, codes, w)
    assert np.vdot(dw, w) == pytest.approx(np.vdot(dy, y), rel=1e-10, abs=1e-10)
    flat, v = x.reshape(n, -1), rng.normal(size=(length * channels, filters))
    u = rng.normal(size=(n, filters))
    dflat, dv, _ = functional.dense_backward(u, flat, v)
    product = np.vdot(u, functional.dense(flat, v))
    assert np.vdot(dflat, flat) == pytest.approx(product, rel=1e-10, abs=1e-10)
    assert np.vdot(dv, v) == pytest.approx(product, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5,), (4, 33), (2, 3, 17), (0, 4)])
def test_relu_equals_its_twin_exactly(level, rng, shape, dtype):
    x, dy = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    np.testing.assert_array_equal(functional.relu(frozen(x)), twin.relu(x))
    np.testing.assert_array_equal(functional.relu_backward(dy, x), twin.relu_backward(dy, twin.relu(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_and_cross_entropy_equal_their_twins(level, rng, dtype):
    logits = frozen((rng.normal(size=(40, 18)) * 5).astype(dtype))
    labels, weight = rng.integers(0, 18, 40), rng.uniform(size=40).astype(dtype)
    close = {key: float(value) for key, value in tolerance(dtype, 40).items()}
    np.testing.assert_allclose(functional.softmax(logits), twin.softmax(logits), **close)
    for weights in (None, weight):
        loss, dlogits = functional.softmax_cross_entropy(logits, labels, weights)
        expected, expected_dlogits = twin.softmax_cross_entropy(logits, labels, weights)
        assert loss == pytest.approx(expected, rel=close["rtol"])
        np.testing.assert_allclose(dlogits, expected_dlogits, **close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_is_accurate_over_the_range_of_exp(level, dtype):
    """Down to exp(-87), the least that float32 holds to full precision; beyond, a probability may be 0."""
    x = np.linspace(0, 120, 10_001).astype(dtype)
    small = functional.softmax(np.stack([np.zeros_like(x), -x], axis=1))[:, 1]
    exact = np.exp(-x.astype(float)) / (1 + np.exp(-x.astype(float)))
    inside = x <= 87
    np.testing.assert_allclose(small[inside], exact[inside], rtol=4 * np.finfo(dtype).eps)
    assert (np.abs(small[~inside] - exact[~inside]) < 2e-38).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_of_huge_logits_is_finite(level, dtype):
    big = np.finfo(dtype).max / 4
    np.testing.assert_array_equal(functional.softmax(np.array([[big, -big], [big, big]], dtype)), [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_survive(level, value):
    """What is not finite is still not finite at the end: an error can be reported, not hidden."""
    x, w = np.ones((1, 6, 3)), np.ones((2, 3, 4))
    x[0, 2, 1] = value
    y = functional.conv1d(x, w)
    touched = [1, 2]
    assert not np.isfinite(y[0, touched]).any() and np.isfinite(np.delete(y[0], touched, axis=0)).all()
    assert np.isnan(functional.relu(np.array([np.nan]))).all()
    loss, dlogits = functional.softmax_cross_entropy(np.array([[value, np.nan]]), [0])
    assert np.isnan(loss) and np.isnan(dlogits).all()


def test_a_relu_behind_a_convolution_keeps_nan(level):
    import fastconv as fc

    net = fc.Sequential([fc.Conv1D(3, 2), fc.ReLU()], input=fc.SequenceInput(4, 2))
    x = np.zeros((1, 4, 2), np.float32)
    x[0, 0, 0] = np.nan
    assert np.isnan(net.forward(x)[0, 0]).all() and np.isfinite(net.forward(x)[0, 1:]).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_change_no_bit(level, rng, threads):
    x, w = rng.normal(size=(700, 12, 9)).astype(np.float32), rng.normal(size=(3, 9, 11)).astype(np.float32)
    dy = rng.normal(size=(700, 10, 11)).astype(np.float32)
    np.testing.assert_array_equal(functional.conv1d(x, w, threads=threads), functional.conv1d(x, w, threads=1))
    many, one = (functional.conv1d_backward(dy, x, w, threads=t) for t in (threads, 1))
    for a, b in zip(many, one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_inputs_may_be_strided_and_of_mixed_types(rng):
    x = rng.normal(size=(6, 9, 4))[::2, ::-1]
    w = np.arange(24).reshape(2, 4, 3)
    np.testing.assert_allclose(
        functional.conv1d(x, w), twin.conv1d(np.ascontiguousarray(x), w.astype(float)), rtol=1e-12
    )
    assert functional.conv1d(x.astype(np.float32), w.astype(np.float32)).dtype == np.float32
    assert functional.conv1d(x.astype(np.float32), w).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: functional.conv1d(np.ones((1, 5, 3)), np.ones((2, 4, 6))), ValueError, "x of shape (N, L, 4)"),
        (lambda: functional.conv1d(np.ones((1, 2, 3)), np.ones((4, 3, 6))), ValueError, "a window of 4 needs 4"),
        (lambda: functional.conv1d(np.ones((5, 3)), np.ones((2, 3, 6))), ValueError, "expected x of shape"),
        (lambda: functional.conv1d(np.ones((1, 5, 3)), np.ones((2, 3))), ValueError, "w of shape (K, C, F)"),
        (lambda: functional.conv1d(np.ones((1, 5, 3)), W, np.ones(5)), ValueError, "b of shape (6,)"),
        (lambda: functional.conv1d([["a"]], np.ones((2, 3, 6))), TypeError, "expected x of numbers"),
        (lambda: functional.conv1d_backward(np.ones((1, 5, 6)), np.ones((1, 5, 3)), W), ValueError, "dy"),
        (lambda: functional.onehot_conv1d([[0, 7]], np.ones((1, 7, 2))), ValueError, "lie in -1..6, got 0..7"),
        (lambda: functional.onehot_conv1d([[-2]], np.ones((1, 7, 2))), ValueError, "codes must lie in -1..6"),
        (lambda: functional.onehot_conv1d([[0.5]], np.ones((1, 7, 2))), TypeError, "integer dtype"),
        (lambda: functional.dense(np.ones((2, 3)), np.ones((4, 5))), ValueError, "shape (N, 4), got (2, 3)"),
        (lambda: functional.softmax_cross_entropy(np.ones((2, 3)), [0, 3]), ValueError, "label 3 at index 1"),
        (lambda: functional.softmax_cross_entropy(np.ones((2, 3)), [0]), ValueError, "y has shape (1,)"),
        (lambda: functional.softmax_cross_entropy(np.ones((0, 3)), []), ValueError, "logits are empty"),
        (lambda: functional.relu_backward(np.ones(3), np.ones(4)), ValueError, "expected dy of shape (4,)"),
        (lambda: functional.conv1d(np.ones((1, 5, 3)), np.ones((2, 3, 6)), threads=0), ValueError, "threads"),
        (lambda: functional.conv1d(None, W), DTypeError, "conv1d: expected x of numbers"),
        (lambda: functional.dense(np.ones((2, 3)), None), DTypeError, "dense: expected w of numbers"),
        (lambda: functional.sgd(np.ones(3), np.ones(3), None, 0.1), DTypeError, "sgd: expected velocity of numbers"),
        (lambda: functional.conv1d(np.ones((1, 0, 3)), W, padding=1), ShapeError, "x has an empty axis: (1, 0, 3)"),
        (lambda: functional.onehot_conv1d(np.ones((2, 0), int), W, padding="same"), ShapeError, "codes has an empty"),
        (lambda: functional.max_pool1d(np.ones((1, 4, 0))), ShapeError, "max_pool1d: x has an empty axis: (1, 4, 0)"),
        (lambda: functional.avg_pool2d(np.ones((1, 4, 4, 0))), ShapeError, "avg_pool2d: x has an empty axis"),
        (lambda: functional.dropout(np.ones(3), "0.5"), RangeError, "dropout: rate lies in [0, 1), got '0.5'"),
        (lambda: functional.batch_norm(W, np.ones(6), np.ones(6), None), RangeError, "batch_norm: eps is positive"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_padding_behind_a_nan_is_not_read(level, dtype):
    """30 channels lie in rows of 32 numbers: a NaN spreads to what it touches, and to nothing else."""
    import fastconv as fc

    layers = [fc.Conv1D(30, 2, bias=False), fc.Conv1D(30, 2, bias=False)]
    net = fc.Sequential(layers, input=fc.SequenceInput(9, 30), dtype=dtype)
    x = np.ones((2, 9, 30), dtype)
    x[0, 3, 5] = np.nan
    y = net.forward(x)
    assert np.isnan(y[0, 1:4]).all()
    y[0, 1:4] = 0
    assert np.isfinite(y).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 17), (5, 28, 30)])
def test_sgd_equals_its_twin(level, rng, dtype, shape):
    p, g, v = (frozen(rng.normal(size=shape).astype(dtype)) for _ in range(3))
    found, expected = functional.sgd(p, g, v, 0.01, 0.9), twin.sgd(p, g, v, 0.01, 0.9)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, theirs, **tolerance(dtype, 2))


def test_sgd_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"sgd: expected velocity of shape \(3,\), got \(4,\)"):
        functional.sgd(np.ones(3), np.ones(3), np.ones(4), 0.1)
