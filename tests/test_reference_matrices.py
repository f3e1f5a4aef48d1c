"""The assignment's matrices, against SciPy's correlation and against one another.

Inputs are small integers in float64, so every product and sum is exact and equality is `==`.
"""

import numpy as np
import pytest
import scipy.signal
import scipy.sparse as sp

from fastconv.reference.matrices import mf, mx, one_hot, sparse_mx, vec, vx, vx_to_mx

# d, n_len, k, n_f
SHAPES = [
    (4, 4, 2, 4),
    (28, 19, 5, 20),
    (3, 7, 3, 1),
    (1, 6, 2, 5),
    (5, 4, 1, 3),
    (2, 5, 5, 2),
    (1, 1, 1, 1),
]
every_shape = pytest.mark.parametrize("d, n_len, k, n_f", SHAPES)


def integers(rng, *shape):
    return rng.integers(-9, 10, shape).astype(float)


def case(d, n_len, k, n_f):
    rng = np.random.default_rng([d, n_len, k, n_f])
    return integers(rng, d, n_len), integers(rng, d, k, n_f)


def correlate(x, F):
    """S (n_f, n_len - k + 1): each filter with each channel by SciPy, summed over channels."""
    return np.array(
        [
            sum(scipy.signal.correlate(x[c], F[c, :, i], mode="valid", method="direct") for c in range(x.shape[0]))
            for i in range(F.shape[2])
        ]
    )


def test_vec_stacks_columns():
    np.testing.assert_array_equal(vec([[1, 2], [3, 4]]), [1, 3, 2, 4])
    a = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(vec(a)[:6], [0, 12, 4, 16, 8, 20])


def test_vec_of_channels_by_length_is_the_row_major_flattening_of_length_by_channels():
    x = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(vec(x), x.T.ravel())


def test_one_hot_puts_each_character_in_its_column_and_nothing_for_minus_one():
    x = one_hot([2, -1, 0], depth=3)
    np.testing.assert_array_equal(x, [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert x.dtype == np.float64
    assert one_hot([0], 1, dtype=np.float32).dtype == np.float32


@every_shape
def test_both_matrices_give_the_correlation(d, n_len, k, n_f):
    x, F = case(d, n_len, k, n_f)
    s = vec(correlate(x, F))
    assert s.any()
    np.testing.assert_array_equal(mf(F, n_len) @ vec(x), s)
    np.testing.assert_array_equal(mx(x, k, n_f) @ vec(F), s)


@every_shape
def test_filter_gradient_without_the_kronecker_product_is_the_same(d, n_len, k, n_f):
    x, _ = case(d, n_len, k, n_f)
    G = integers(np.random.default_rng(1), n_len - k + 1, n_f)
    g = G.ravel()  # one row for each position: the order of vec(S)
    v = g @ mx(x, k, n_f)
    assert v.any()
    np.testing.assert_array_equal(vec(vx(x, k).T @ G), v)


@every_shape
def test_mf_carries_gradients_back_as_the_full_convolution(d, n_len, k, n_f):
    _, F = case(d, n_len, k, n_f)
    G = integers(np.random.default_rng(2), n_f, n_len - k + 1)
    dx = np.array([sum(np.convolve(G[i], F[c, :, i]) for i in range(n_f)) for c in range(d)])
    np.testing.assert_array_equal(mf(F, n_len).T @ vec(G), vec(dx))


@every_shape
def test_vx_to_mx_makes_mx(d, n_len, k, n_f):
    x, _ = case(d, n_len, k, n_f)
    np.testing.assert_array_equal(vx_to_mx(vx(x, k), n_f), mx(x, k, n_f))


@every_shape
def test_sparse_mx_equals_mx(d, n_len, k, n_f):
    x, _ = case(d, n_len, k, n_f)
    sparse = sparse_mx(x, k, n_f)
    assert isinstance(sparse, sp.csr_array)
    np.testing.assert_array_equal(sparse.toarray(), mx(x, k, n_f))


def test_sparse_mx_of_a_name_stores_one_entry_for_each_letter_window_and_filter():
    x = one_hot([3, 1, -1, 4, -1, -1], depth=6)
    sparse = sparse_mx(x, k=3, n_f=7)
    letters_in_windows = 2 + 2 + 1 + 1
    assert sparse.nnz == 7 * letters_in_windows
    np.testing.assert_array_equal(sparse.toarray(), mx(x, 3, 7))


def test_sparse_mx_of_an_empty_name_is_all_zero():
    sparse = sparse_mx(one_hot([-1, -1, -1], depth=4), k=2, n_f=3)
    assert sparse.shape == (2 * 3, 2 * 3 * 4)
    assert sparse.nnz == 0


@every_shape
def test_shapes(d, n_len, k, n_f):
    x, F = case(d, n_len, k, n_f)
    n_out = n_len - k + 1
    assert mf(F, n_len).shape == (n_out * n_f, n_len * d)
    assert mx(x, k, n_f).shape == sparse_mx(x, k, n_f).shape == (n_out * n_f, k * n_f * d)
    assert vx(x, k).shape == (n_out, d * k)


@every_shape
def test_block_rows_of_mf_are_the_filters_shifted_by_d_columns(d, n_len, k, n_f):
    _, F = case(d, n_len, k, n_f)
    blocks = mf(F, n_len).reshape(n_len - k + 1, n_f, n_len * d)
    for j, block in enumerate(blocks):
        for i, row in enumerate(block):
            expected = np.zeros(n_len * d)
            expected[j * d : j * d + d * k] = vec(F[:, :, i])
            np.testing.assert_array_equal(row, expected)


@every_shape
def test_block_rows_of_mx_hold_one_window_on_the_diagonal(d, n_len, k, n_f):
    x, _ = case(d, n_len, k, n_f)
    blocks = mx(x, k, n_f).reshape(n_len - k + 1, n_f, n_f, d * k)
    for j, block in enumerate(blocks):
        for row in range(n_f):
            for column in range(n_f):
                expected = vec(x[:, j : j + k]) if row == column else np.zeros(d * k)
                np.testing.assert_array_equal(block[row, column], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    x, F = (a.astype(dtype) for a in case(3, 6, 2, 4))
    made = (mf(F, 6), mx(x, 2, 4), vx(x, 2), vx_to_mx(vx(x, 2), 4), sparse_mx(x, 2, 4))
    assert [m.dtype for m in made] == [dtype] * 5


X = np.ones((2, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: mx(X, 5, 1), "mx: x has 3 columns, fewer than the filter width 5"),
        (lambda: vx(X, 4), "vx: x has 3 columns, fewer than the filter width 4"),
        (lambda: sparse_mx(X, 4, 1), "sparse_mx: x has 3 columns, fewer than the filter width 4"),
        (lambda: mf(np.ones((2, 4, 1)), 3), "mf: n_len is 3, less than the filter width 4"),
        (lambda: mf(X, 3), "mf: F has shape (2, 3), expected (d, k, n_f)"),
        (lambda: mf(np.ones((2, 0, 1)), 3), "mf: filter width is 0, expected at least 1"),
        (lambda: mx(X[0], 1, 1), "mx: x has shape (3,), expected (d, n_len)"),
        (lambda: mx(X, 0, 1), "mx: filter width is 0, expected at least 1"),
        (lambda: mx(X, 1, 0), "mx: n_f is 0, expected at least 1"),
        (lambda: sparse_mx(X, 1, 0), "sparse_mx: n_f is 0, expected at least 1"),
        (lambda: vx_to_mx(X, -1), "vx_to_mx: n_f is -1, expected at least 1"),
        (lambda: vx_to_mx(X[0], 1), "vx_to_mx: vx has shape (3,), expected (n_windows, d * k)"),
        (lambda: one_hot(X, 2), "one_hot: codes has shape (2, 3), expected (n_len)"),
        (
            lambda: one_hot([0, 2], 2),
            "one_hot: codes run from 0 to 2, expected -1 to 1 for depth 2",
        ),
        (
            lambda: one_hot([-2, 1], 2),
            "one_hot: codes run from -2 to 1, expected -1 to 1 for depth 2",
        ),
    ],
)
def test_errors_name_function_expectation_and_what_came(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == message
