"""im2col and its adjoint: against the twin, the assignment's V_X, scipy's correlation and PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from fastconv import functional
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.kernels import im2col as kernel
from fastconv.reference import kernels as twin
from fastconv.reference import matrices

DTYPES = (np.float32, np.float64, np.uint8)


def pixels(rng, shape, dtype):
    """Whole numbers: their sums are exact. Read-only."""
    x = rng.integers(0, 256, shape).astype(dtype)
    x.flags.writeable = False
    return x


@st.composite
def windows(draw):
    """The shape of images, and a window that fits them."""
    kernel, stride, dilation = (draw(st.tuples(st.integers(1, n), st.integers(1, n))) for n in (4, 3, 3))
    padding = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 3), st.integers(0, 3))))
    zeros = (0, 0) if padding == "same" else padding
    least = [max((k - 1) * d + 1 - 2 * p, 1) for k, d, p in zip(kernel, dilation, zeros, strict=True)]
    shape = draw(st.integers(0, 3)), *(draw(st.integers(n, n + 6)) for n in least), draw(st.integers(0, 20))
    return shape, dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)


@settings(max_examples=200, deadline=None)
@given(drawn=windows(), dtype=st.sampled_from(DTYPES), threads=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_both_equal_their_twins(drawn, dtype, threads, seed):
    """Bit for bit: im2col copies, and sums of whole numbers are exact, those of uint8 modulo 256."""
    shape, window = drawn
    rng = np.random.default_rng(seed)
    x = pixels(rng, shape, dtype)
    cols = functional.im2col(x, **window, threads=threads)
    expected = twin.im2col(x, **window)
    assert cols.dtype == dtype and cols.flags.c_contiguous
    np.testing.assert_array_equal(cols, expected)
    g = pixels(rng, cols.shape, dtype)
    dx = functional.col2im(g, shape, **window, threads=threads)
    assert dx.dtype == dtype and dx.shape == shape
    np.testing.assert_array_equal(dx, twin.col2im(g, shape, **window))


@pytest.mark.parametrize("window", [{}, dict(stride=2, padding="same"), dict(padding=(1, 3), dilation=(2, 1))])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_give_the_same_bits(rng, dtype, window):
    """As many bytes as threads are started for."""
    x = pixels(rng, (100, 16, 17, 5), dtype)
    cols = functional.im2col(x, 3, threads=1, **window)
    assert cols.nbytes > 2**18
    g = cols if dtype == np.uint8 else rng.normal(size=cols.shape).astype(dtype)
    dx = functional.col2im(g, x.shape, 3, threads=1, **window)
    for threads in (2, 5):
        np.testing.assert_array_equal(functional.im2col(x, 3, threads=threads, **window), cols)
        np.testing.assert_array_equal(functional.col2im(g, x.shape, 3, threads=threads, **window), dx)


def test_the_product_with_the_filters_is_scipys_correlation(rng):
    x, w = rng.normal(size=(2, 9, 8, 3)), rng.normal(size=(3, 2, 3, 4))
    y = functional.im2col(x, (3, 2)) @ w.reshape(-1, 4)
    expected = [[correlate(image, w[..., f], mode="valid")[..., 0] for f in range(4)] for image in x]
    np.testing.assert_allclose(y, np.moveaxis(expected, 1, -1), rtol=1e-12, atol=1e-12)


def test_adjoint_identity(rng):
    """<g, A x> = <A^T g, x>, for the matrix in the shape that a product takes."""
    x, window = rng.normal(size=(3, 11, 9, 4)), dict(kernel_size=(3, 5), stride=(2, 1), padding="same", dilation=(1, 2))
    cols = functional.im2col(x, **window)
    g = rng.normal(size=(cols.size // 60, 60))
    assert np.vdot(functional.col2im(g, x.shape, **window), x) == pytest.approx(np.vdot(g, cols), rel=1e-12)


def test_of_a_sequence_it_is_the_assignments_v_x(rng):
    x = rng.normal(size=(3, 12, 5))
    cols = functional.im2col(x, 4)
    for rows, sequence in zip(cols, x, strict=True):
        np.testing.assert_array_equal(rows, matrices.vx(sequence.T, 4))
    g = rng.normal(size=cols.shape)
    images = functional.col2im(g, (3, 1, 12, 5), (1, 4))
    np.testing.assert_array_equal(functional.col2im(g, x.shape, 4), images[:, 0])


def test_other_numbers_become_float64():
    assert functional.im2col(np.ones((1, 3, 3, 1), np.int32), 2).dtype == np.float64
    assert functional.im2col(np.ones((1, 3, 3, 1), np.float16), 2).dtype == np.float32


def test_any_view_is_read_as_numpy_reads_it(rng):
    x = rng.normal(size=(2, 3, 8, 10))
    channels_last = x.transpose(0, 2, 3, 1)[:, ::2, ::-1]
    expected = functional.im2col(channels_last.copy(), 3)
    np.testing.assert_array_equal(functional.im2col(channels_last, 3), expected)


def test_it_is_pytorchs_unfold(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(3, 10, 9, 4)).astype(np.float32)
    window = dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3))
    cols = functional.im2col(x, **window)

    def rows(unfolded):  # (N, C KH KW, PH PW), channels first
        return unfolded.reshape(3, 4, 6, -1).permute(0, 3, 2, 1).reshape(cols.shape).numpy()

    np.testing.assert_array_equal(
        cols, rows(torch.nn.functional.unfold(torch.from_numpy(x).permute(0, 3, 1, 2), **window))
    )
    g = rng.normal(size=cols.shape).astype(np.float32)
    unfolded = torch.from_numpy(g).reshape(3, -1, 6, 4).permute(0, 3, 2, 1).reshape(3, 24, -1)
    dx = torch.nn.functional.fold(unfolded, (10, 9), **window).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(functional.col2im(g, x.shape, **window), dx, rtol=1e-5, atol=1e-5)


IMAGES = np.ones((2, 5, 6, 3))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: functional.im2col(np.ones((5, 6)), 3), ShapeError, "expected x of shape (N, H, W, C) or (N, L, C)"),
        (lambda: functional.im2col(IMAGES, 7), ShapeError, "im2col: x of (5, 6) does not fit filters of (7, 7)"),
        (lambda: functional.im2col(IMAGES, 0), RangeError, "im2col: kernel_size: expected a positive integer, got 0"),
        (lambda: functional.im2col(IMAGES, 3, stride=-1), RangeError, "im2col: stride: expected a positive"),
        (lambda: functional.im2col(IMAGES, 3, padding="full"), RangeError, "im2col: padding: expected"),
        (lambda: functional.im2col(IMAGES, 3, threads=0), RangeError, "threads: expected a positive integer"),
        (lambda: functional.im2col(IMAGES.astype("U1"), 3), DTypeError, "im2col: expected x of numbers"),
        (lambda: functional.im2col(IMAGES, 3, padding=2**40), RangeError, "is too large"),
        (lambda: functional.im2col(IMAGES, 1, stride=2**31), RangeError, "is too large"),
        (lambda: functional.im2col(IMAGES, 2**15, padding=2**15), RangeError, "32768 x 32768 x 3 numbers is too large"),
        (lambda: functional.im2col(IMAGES[:0], 2**15, padding=2**15), RangeError, "is too large"),
        (lambda: functional.col2im(IMAGES, (2, 5, 6, 3), 3), ShapeError, "size of (2, 3, 4, 27), got (2, 5, 6, 3)"),
        (lambda: functional.col2im(IMAGES, (2, 5, 6), 7), ShapeError, "col2im: x of (5,) does not fit filters of (7,)"),
        (lambda: functional.col2im(IMAGES, (2, 5, 6, -3), 3), ShapeError, "col2im: expected x of shape (N, H, W, C)"),
        (lambda: functional.col2im(IMAGES, (2, 5.0, 6, 3), 3), DTypeError, "col2im: expected shape of integers"),
        (lambda: functional.col2im(IMAGES, (1, 2**29, 2**29, 99), 1, 2**30), RangeError, "is too large"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


COLS = np.empty((2, 3, 4, 3, 3, 3))


@pytest.mark.parametrize(
    "x, window, cols",
    [
        (IMAGES[:1], ((1, 1), (0, 0), (1, 1)), COLS),
        (IMAGES[..., :2].copy(), ((1, 1), (0, 0), (1, 1)), COLS),
        (IMAGES, ((0, 1), (0, 0), (1, 1)), COLS),
        (IMAGES, ((1, 1), (0, -1), (1, 1)), COLS),
        (IMAGES, ((1, 1), (0, 0), (1, 2**40)), COLS),
        (np.empty((1, 2**31, 0, 1)), ((1, 1), (0, 0), (1, 1)), np.empty((1, 0, 0, 1, 1, 1))),
    ],
)
def test_the_kernels_refuse_what_they_could_not_bound(x, window, cols):
    with pytest.raises(ValueError, match="im2col"):
        kernel.im2col(x, *window, 1, cols)
    with pytest.raises(ValueError, match="im2col"):
        kernel.col2im(cols, *window, 1, x.copy())


def test_windows_that_reach_beyond_the_image_read_zeros():
    """The kernels take any window: whatever lies outside counts as padding."""
    cols = np.empty((1, 3, 2, 2, 2, 1))
    kernel.im2col(np.ones((1, 2, 2, 1)), (2, 5), (1, 1), (1, 1), 1, cols)
    np.testing.assert_array_equal(cols[0, ..., 0].sum((2, 3)), [[1, 0], [1, 0], [0, 0]])
