"""The kernels of the layers for images and of strided, padded and dilated convolutions, through fastconv.functional.

Against their NumPy twins, int64 arithmetic, scipy and PyTorch.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from fastconv import functional
from fastconv.errors import RangeError, ShapeError
from fastconv.reference import kernels as twin

DTYPES = (np.float32, np.float64)
# (samples, height, width, channels, filters): around the edges of vectors and tiles
SHAPES = [(1, 6, 7, 1, 1), (2, 9, 11, 3, 16), (3, 7, 8, 17, 33), (0, 6, 6, 3, 4), (70, 6, 7, 5, 7), (2, 17, 15, 32, 30)]
# (kernel, window)
WINDOWS = [
    ((3, 3), {}),
    ((1, 1), dict(stride=2)),
    ((5, 5), dict(padding="same")),
    ((3, 2), dict(stride=(1, 3), padding=(2, 0), dilation=(1, 2))),
    ((2, 3), dict(stride=2, padding="same", dilation=2)),
    ((4, 4), dict(stride=3, padding=3)),
]
LINES = [
    (3, dict(padding=1)),
    (2, dict(stride=2, dilation=3)),
    (4, dict(stride=3, padding="same")),
    (1, dict(padding=2)),
]


def tolerance(dtype, terms):
    """A bound on the relative error of a sum of so many rounded products."""
    return dict(rtol=4 * terms * np.finfo(dtype).eps, atol=4 * terms * np.finfo(dtype).eps)


def normal(rng, shape, dtype=np.float64):
    """Read-only normal numbers."""
    x = rng.normal(size=shape).astype(dtype)
    x.flags.writeable = False
    return x


def assert_all_close(found, expected, dtype, terms):
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, theirs, **tolerance(dtype, terms))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel, window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv2d_equals_its_twin(level, rng, shape, kernel, window, dtype):
    *images, filters = shape
    x, w = normal(rng, images, dtype), normal(rng, (*kernel, images[-1], filters), dtype)
    b = normal(rng, filters, dtype)
    y = functional.conv2d(x, w, b, **window)
    assert_all_close([y], [twin.conv2d(x, w, b, **window)], dtype, w[..., 0].size)
    np.testing.assert_array_equal(functional.conv2d(x, w, **window), functional.conv2d(x, w, 0 * b, **window))
    dy = normal(rng, y.shape, dtype)
    found, expected = (k.conv2d_backward(dy, x, w, **window) for k in (functional, twin))
    assert_all_close(found, expected, dtype, w[0, 0].size * 25 + y[..., 0].size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width, window", LINES, ids=str)
@pytest.mark.parametrize("shape", [(2, 9, 3, 5), (3, 13, 17, 33), (0, 6, 3, 4), (70, 7, 5, 2)], ids=str)
def test_conv1d_with_any_window_equals_its_twin(level, rng, shape, width, window, dtype):
    *sequences, filters = shape
    x, w, b = normal(rng, sequences, dtype), normal(rng, (width, shape[2], filters), dtype), normal(rng, filters, dtype)
    y = functional.conv1d(x, w, b, **window)
    assert_all_close([y], [twin.conv1d(x, w, b, **window)], dtype, w[..., 0].size)
    dy = normal(rng, y.shape, dtype)
    found, expected = (k.conv1d_backward(dy, x, w, **window) for k in (functional, twin))
    assert_all_close(found, expected, dtype, w[0].size * 4 + y[..., 0].size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width, window", LINES, ids=str)
@pytest.mark.parametrize("shape", [(2, 9, 3, 5), (3, 13, 17, 33), (0, 6, 3, 4), (70, 7, 5, 2)], ids=str)
def test_onehot_conv1d_with_any_window_equals_its_twin(level, rng, shape, width, window, dtype):
    n, length, depth, filters = shape
    codes = rng.integers(-1, depth, (n, length)).astype(np.int16)
    codes[np.arange(length) >= rng.integers(0, length + 1, n)[:, None]] = -1
    codes.flags.writeable = False
    w, b = normal(rng, (width, depth, filters), dtype), normal(rng, filters, dtype)
    y = functional.onehot_conv1d(codes, w, b, **window)
    assert_all_close([y], [twin.onehot_conv1d(codes, w, b, **window)], dtype, width + 1)
    dy = normal(rng, y.shape, dtype)
    found = functional.onehot_conv1d_backward(dy, codes, w, **window)
    assert_all_close(found, twin.onehot_conv1d_backward(dy, codes, w.shape, **window), dtype, y[..., 0].size + 1)


@st.composite
def convolutions(draw):
    """Shapes of images and filters, and a window that fits them."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, n), st.integers(1, n))) for n in (4, 3, 3))
    padding = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 4), st.integers(0, 4))))
    zeros = (0, 0) if padding == "same" else padding
    least = [max((k - 1) * d + 1 - 2 * p, 1) for k, d, p in zip(kernel, dilation, zeros, strict=True)]
    channels, filters = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    shape = draw(st.integers(0, 4)), *(draw(st.integers(n, n + 9)) for n in least), channels
    return shape, (*kernel, channels, filters), dict(stride=stride, padding=padding, dilation=dilation)


@settings(max_examples=150, deadline=None)
@given(drawn=convolutions(), seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3))
def test_integers_in_float32_are_exact(drawn, seed, threads):
    """Small integers: float32 sums have no rounding, so int64 arithmetic gives the very same numbers."""
    shape, filters, window = drawn
    rng = np.random.default_rng(seed)
    x, w, b = rng.integers(-8, 9, shape), rng.integers(-8, 9, filters), rng.integers(-8, 9, filters[-1])
    single = [a.astype(np.float32) for a in (x, w, b)]
    y = twin.conv2d(x, w, b, **window)
    np.testing.assert_array_equal(functional.conv2d(*single, **window, threads=threads), y)
    dy = rng.integers(-8, 9, y.shape)
    found = functional.conv2d_backward(dy.astype(np.float32), *single[:2], **window, threads=threads)
    for mine, theirs in zip(found, twin.conv2d_backward(dy, x, w, **window), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=60, deadline=None)
@given(drawn=convolutions(), seed=st.integers(0, 2**32 - 1), threads=st.integers(1, 3))
def test_integers_are_exact_along_one_axis_too(drawn, seed, threads):
    (n, _, length, channels), (_, width, _, filters), window = drawn
    window = {name: value if value == "same" else value[1] for name, value in window.items()}
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-8, 9, (n, length, channels)), rng.integers(-8, 9, (width, channels, filters))
    codes = rng.integers(-1, channels, (n, length))
    y, looked_up = twin.conv1d(x, w, **window), twin.onehot_conv1d(codes, w, **window)
    single = [a.astype(np.float32) for a in (x, w)]
    np.testing.assert_array_equal(functional.conv1d(*single, **window, threads=threads), y)
    np.testing.assert_array_equal(functional.onehot_conv1d(codes, single[1], **window, threads=threads), looked_up)
    dy = rng.integers(-8, 9, y.shape)
    found = functional.conv1d_backward(dy.astype(np.float32), *single, **window, threads=threads)
    for mine, theirs in zip(found, twin.conv1d_backward(dy, x, w, **window), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    found = functional.onehot_conv1d_backward(dy.astype(np.float32), codes, single[1], **window, threads=threads)
    for mine, theirs in zip(found, twin.onehot_conv1d_backward(dy, codes, w.shape, **window), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_conv2d_is_scipys_correlation(level, rng):
    x, w = rng.normal(size=(2, 13, 12, 4)), rng.normal(size=(5, 3, 4, 3))
    expected = [[correlate(image, w[..., f], mode="valid")[..., 0] for f in range(3)] for image in x]
    np.testing.assert_allclose(functional.conv2d(x, w), np.moveaxis(expected, 1, -1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel, window", WINDOWS, ids=str)
def test_adjoint_identities(level, rng, kernel, window):
    """<dy, A x> = <A^T dy, x>, in the images and in the filters."""
    x, w = rng.normal(size=(3, 9, 10, 5)), rng.normal(size=(*kernel, 5, 6))
    y = functional.conv2d(x, w, **window)
    dy = rng.normal(size=y.shape)
    dx, dw, _ = functional.conv2d_backward(dy, x, w, **window)
    product = np.vdot(dy, y)
    assert np.vdot(dx, x) == pytest.approx(product, rel=1e-10, abs=1e-10)
    assert np.vdot(dw, w) == pytest.approx(product, rel=1e-10, abs=1e-10)
    pooled = functional.avg_pool2d(x, 3, 2)
    dy = rng.normal(size=pooled.shape)
    dx = functional.avg_pool2d_backward(dy, x, 3, 2)
    assert np.vdot(dx, x) == pytest.approx(np.vdot(dy, pooled), rel=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size, stride", [(2, None), (3, 2), ((2, 3), (3, 1)), (1, None), ((5, 4), None)], ids=str)
@pytest.mark.parametrize("shape", [(1, 5, 4, 1), (3, 9, 11, 17), (0, 6, 6, 3), (70, 8, 8, 5)], ids=str)
def test_pools_of_images_equal_their_twins(level, rng, shape, size, stride, dtype):
    x = normal(rng, shape, dtype)
    y = functional.max_pool2d(x, size, stride)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, twin.max_pool2d(x, size, stride))
    dy = normal(rng, y.shape, dtype)
    found = functional.max_pool2d_backward(dy, x, size, stride)
    assert_all_close([found], [twin.max_pool2d_backward(dy, x, size, stride)], dtype, 9)
    assert_all_close([functional.avg_pool2d(x, size, stride)], [twin.avg_pool2d(x, size, stride)], dtype, 20)
    found = functional.avg_pool2d_backward(dy, x, size, stride)
    assert_all_close([found], [twin.avg_pool2d_backward(dy, x.shape, size, stride)], dtype, 20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 4, 1), (3, 11, 17), (0, 6, 3), (70, 8, 5)], ids=str)
def test_pools_of_sequences_equal_their_twins(level, rng, shape, dtype):
    x = normal(rng, shape, dtype)
    for size, stride in [(2, None), (3, 2), (2, 3)]:
        y = functional.max_pool1d(x, size, stride)
        np.testing.assert_array_equal(y, twin.max_pool1d(x, size, stride))
        dy = normal(rng, y.shape, dtype)
        found = functional.max_pool1d_backward(dy, x, size, stride)
        assert_all_close([found], [twin.max_pool1d_backward(dy, x, size, stride)], dtype, 3)
    for lengths in (None, rng.integers(0, shape[1] + 1, shape[0])):
        y = functional.global_max_pool1d(x, lengths)
        np.testing.assert_array_equal(y, twin.global_max_pool1d(x, lengths))
        dy = normal(rng, y.shape, dtype)
        found = functional.global_max_pool1d_backward(dy, x, lengths)
        np.testing.assert_array_equal(found, twin.global_max_pool1d_backward(dy, x, lengths))


def test_of_equal_numbers_the_first_gets_the_gradient(level):
    """As in a ReLU's zeros, of which a window may hold nothing else."""
    x, dy = np.zeros((1, 4, 4, 3)), np.ones((1, 2, 2, 3))
    np.testing.assert_array_equal(functional.max_pool2d_backward(dy, x), twin.max_pool2d_backward(dy, x))
    assert functional.global_max_pool1d_backward(dy[0, :1, 0], x[0, :1]).sum(axis=2).tolist() == [[3, 0, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 3), (5, 6, 17), (70, 5, 4, 9), (300, 33)], ids=str)
def test_batch_norm_equals_its_twin(level, rng, shape, dtype):
    """In float32 too, statistics are summed in double precision: hold them against the twin's in float64."""
    x, gamma, beta = normal(rng, shape, dtype), normal(rng, shape[-1], dtype), normal(rng, shape[-1], dtype)
    double = [a.astype(np.float64) for a in (x, gamma, beta)]
    found, expected = functional.batch_norm(x, gamma, beta, 1e-3), twin.batch_norm(*double, 1e-3)
    assert_all_close(found, expected, dtype, 20)
    dy = normal(rng, shape, dtype)
    found = functional.batch_norm_backward(dy, x, gamma, 1e-3)
    expected = twin.batch_norm_backward(dy.astype(np.float64), *double[:2], 1e-3)
    assert_all_close(found, expected, dtype, x.size // shape[-1] + 20)


def test_batch_norm_of_numbers_far_from_zero_keeps_their_variance(level, rng):
    """A mean a million times the deviation: the sum of squares minus the square of the sum would lose it all."""
    x = rng.normal(size=(500, 4)) + 1e6
    _, mean, var = functional.batch_norm(x, np.ones(4), np.zeros(4))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(var, x.var(0), rtol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (5, 33), (2, 3, 4, 17), (0, 4)], ids=str)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_activations_equal_their_twins(level, rng, name, shape, dtype):
    x = normal(rng, shape, dtype) * dtype(4)
    y = getattr(functional, name)(x)
    assert_all_close([y], [getattr(twin, name)(x.astype(np.float64))], dtype, 2)
    dy = normal(rng, shape, dtype)
    found = getattr(functional, f"{name}_backward")(dy, x)
    assert_all_close([found], [getattr(twin, f"{name}_backward")(dy, y)], dtype, 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name, ends", [("sigmoid", (0, 1)), ("tanh", (-1, 1))])
def test_activations_at_their_ends(level, name, ends, dtype):
    """They saturate, and a NaN is a NaN."""
    with np.errstate(over="ignore"):
        y = getattr(functional, name)(np.array([-np.inf, -1e30, 1e30, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(y, [ends[0], ends[0], ends[1], ends[1], np.nan])


@pytest.mark.parametrize("dtype", DTYPES)
def test_embedding_equals_its_twin(level, rng, dtype):
    codes, w = rng.integers(-1, 9, (70, 11)), normal(rng, (9, 17), dtype)
    y = functional.embedding(codes, w)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, twin.embedding(codes, w))
    dy = normal(rng, y.shape, dtype)
    found = functional.embedding_backward(dy, codes, w)
    assert_all_close([found], [twin.embedding_backward(dy, codes, w.shape)], dtype, codes.size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 5), (3, 4, 5, 3), (2, 7, 17)], ids=str)
def test_dropout_drops_what_its_twin_drops(level, rng, shape, dtype):
    x = normal(rng, shape, dtype)
    for rate, seed in ((0.0, 0), (0.3, 5), (0.9, 2**40 + 1)):
        y = functional.dropout(x, rate, seed)
        assert_all_close([y], [twin.dropout(x, twin.dropout_mask(shape, rate, seed), rate)], dtype, 2)


THREADED = {
    "conv2d": lambda x, w, **options: functional.conv2d(x, w, padding=1, **options),
    "conv2d_backward": lambda x, w, **options: functional.conv2d_backward(x, x, w, padding="same", **options)[1],
    "max_pool2d": lambda x, w, **options: functional.max_pool2d(x, **options),
    "batch_norm": lambda x, w, **options: functional.batch_norm(x, w[0, 0, 0], w[0, 0, 1], **options)[0],
    "batch_norm_backward": lambda x, w, **options: functional.batch_norm_backward(x, x, w[0, 0, 0], **options)[1],
    "dropout": lambda x, w, **options: functional.dropout(x, 0.5, **options),
}


@pytest.mark.parametrize("call", THREADED.values(), ids=THREADED)
def test_threads_give_the_same_bits(level, rng, call):
    x, w = normal(rng, (150, 12, 13, 9), np.float32), normal(rng, (3, 3, 9, 9), np.float32)
    expected = call(x, w, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(call(x, w, threads=threads), expected)


def test_it_is_pytorchs_convolution(rng):
    torch = pytest.importorskip("torch")
    x, w, b = (normal(rng, shape, np.float32) for shape in [(4, 32, 32, 3), (5, 5, 3, 32), (32,)])
    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in (x, w, b)]
    images, filters = tensors[0].permute(0, 3, 1, 2), tensors[1].permute(3, 2, 0, 1)
    y = torch.nn.functional.conv2d(images, filters, tensors[2], padding=2).permute(0, 2, 3, 1)
    found = functional.conv2d(x, w, b, padding=2)
    np.testing.assert_allclose(found, y.detach().numpy(), **tolerance(np.float32, 75))
    dy = normal(rng, found.shape, np.float32)
    y.backward(torch.from_numpy(dy.copy()))
    for mine, theirs in zip(functional.conv2d_backward(dy, x, w, padding=2), tensors, strict=True):
        np.testing.assert_allclose(mine, theirs.grad.numpy(), rtol=1e-3, atol=2e-3)


X, W = np.ones((2, 8, 9, 3)), np.ones((3, 3, 3, 4))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: functional.conv2d(X, np.ones((3, 3, 4, 4))), ShapeError, "x of shape (N, H, W, 4), got (2, 8, 9, 3)"),
        (lambda: functional.conv2d(X[0], W), ShapeError, "conv2d: expected x of shape (N, H, W, 3), got (8, 9, 3)"),
        (lambda: functional.conv2d(X, W, dilation=4), ShapeError, "a window of 9 needs 9 positions at least, got 8"),
        (lambda: functional.conv2d(X, W, np.ones(5)), ShapeError, "conv2d: expected b of shape (4,), got (5,)"),
        (lambda: functional.conv2d(X, W, stride=0), RangeError, "conv2d: stride: expected a positive integer, got 0"),
        (lambda: functional.conv2d(X, W, padding="full"), RangeError, "conv2d: padding: expected"),
        (lambda: functional.conv2d_backward(X, X, W), ShapeError, "dy of shape (2, 6, 7, 4), got (2, 8, 9, 3)"),
        (lambda: functional.max_pool2d(X, (9, 2)), ShapeError, "a window of 9 needs 9 positions at least, got 8"),
        (lambda: functional.max_pool2d(X[0]), ShapeError, "expected x of shape (N, H, W, C), got (8, 9, 3)"),
        (lambda: functional.avg_pool2d_backward(X, X), ShapeError, "expected dy of shape (2, 4, 4, 3)"),
        (lambda: functional.global_max_pool1d(X[0], [10] * 8), RangeError, "10 at index 0 is outside 0..9"),
        (lambda: functional.batch_norm(X, [1.0], [1.0]), ShapeError, "expected gamma of shape (3,), got (1,)"),
        (lambda: functional.batch_norm(X[:0], [1.0] * 3, [1.0] * 3), ShapeError, "without an empty axis"),
        (lambda: functional.batch_norm(X, [1.0] * 3, [1.0] * 3, eps=0), RangeError, "eps is positive, got 0"),
        (lambda: functional.dropout(X, 1.0), RangeError, "dropout: rate lies in [0, 1), got 1.0"),
        (lambda: functional.embedding([[3]], np.ones((3, 2))), RangeError, "lie in -1..2, got 3..3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
