"""Preprocessing against scikit-learn and direct linear algebra."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import inv, sqrtm
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from fastconv import modelfile, preprocess
from fastconv.datasets import load_digits
from fastconv.errors import DataError, DTypeError, ModelFormatError, NotFittedError, RangeError, ShapeError
from fastconv.preprocess import ZCA, MeanImage, Standardize

KINDS = [MeanImage(), Standardize("channel"), Standardize("pixel"), ZCA(0.01)]
kinds = pytest.mark.parametrize("kind", KINDS, ids=repr)
SHAPES = [(6,), (7, 3), (5, 4, 3), (8, 8, 1)]


@pytest.fixture(params=[np.uint8, np.int64, np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def images(request, rng):
    """Return a function that draws samples whose pixels differ in mean and deviation."""

    def draw(n, shape):
        centre, width = rng.uniform(60, 190, shape), rng.uniform(5, 20, shape)
        return np.clip(rng.normal(centre, width, (n, *shape)), 0, 255).astype(request.param)

    return draw


def flat(x):
    return x.reshape(len(x), -1).astype(np.float64)


# Standardisation and the mean image


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_standardisation_by_pixel_is_scikit_learn_s(images, shape):
    x, other = images(50, shape), images(9, shape)
    scaler, found = StandardScaler().fit(flat(x)), Standardize(per="pixel").fit(x)
    np.testing.assert_allclose(found.mean.ravel(), scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.deviation.ravel(), scaler.scale_, rtol=1e-12)
    for samples in (x, other):
        y = found.transform(samples)
        assert y.dtype == np.float32 and y.shape == samples.shape
        np.testing.assert_allclose(flat(y), scaler.transform(flat(samples)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_standardisation_by_channel_is_scikit_learn_s_on_all_pixels(images, shape):
    x, other = images(50, shape), images(9, shape)
    by_channel = [samples.reshape(-1, shape[-1]).astype(np.float64) for samples in (x, other)]
    scaler, found = StandardScaler().fit(by_channel[0]), Standardize().fit(x)
    np.testing.assert_allclose(found.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(found.deviation, scaler.scale_, rtol=1e-12)
    expected = scaler.transform(by_channel[1]).reshape(other.shape)
    np.testing.assert_allclose(found.transform(other), expected, rtol=1e-6, atol=1e-6)


def test_channels_may_be_standardised_at_another_size(images):
    found = Standardize(per="channel").fit(images(20, (5, 4, 3)))
    x = images(2, (9, 6, 3))
    np.testing.assert_allclose(found.transform(x), (x - found.mean) / found.deviation, rtol=1e-6)


def test_the_mean_image_is_subtracted(images):
    x, other = images(50, (5, 4, 3)), images(9, (5, 4, 3))
    expected = other - x.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(MeanImage().fit(x).transform(other), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("per", ["pixel", "channel"])
def test_what_is_constant_is_only_centred(per):
    x = np.full((40, 3, 3, 2), 0.1, np.float32)
    x[..., 1] = np.random.default_rng(0).normal(size=(40, 3, 3))
    found = Standardize(per).fit(x)
    assert np.all(found.deviation[..., 0] == 1) and np.all(found.deviation[..., 1] != 1)
    np.testing.assert_allclose(found.transform(x)[..., 0], 0, atol=1e-16)
    np.testing.assert_allclose(found.transform(x + 1)[..., 0], 1, rtol=1e-6)


@pytest.mark.parametrize("per", ["channel", "pixel"])
def test_what_hardly_varies_is_only_centred(per):
    x = np.array([[1e-200, 1.0], [-1e-200, 3.0]])  # the variance of the first is 1e-400: zero
    found = Standardize(per).fit(x)
    np.testing.assert_array_equal(found.deviation, [1, 1])
    np.testing.assert_array_equal(found.transform(x), [[0, -1], [0, 1]])


def test_a_large_offset_does_not_spoil_the_deviation(rng):
    noise = rng.integers(-3, 4, (400, 5)).astype(np.float64)
    found = Standardize().fit(noise + 2.0**40)
    np.testing.assert_allclose(found.deviation, noise.std(axis=0), rtol=1e-8)  # the mean is rounded to 2^-13
    np.testing.assert_allclose(found.transform(noise + 2.0**40), (noise - noise.mean(0)) / noise.std(0), rtol=1e-3)


@pytest.mark.parametrize("shape", [(3000, 10, 10, 1), (3, 150_000)], ids=["many rows a block", "a row is a block"])
def test_many_samples_are_taken_in_blocks(rng, shape):
    x = rng.integers(0, 256, shape, np.uint8)
    assert x.size > 2 * preprocess.BLOCK
    found = Standardize(per="pixel").fit(x)
    np.testing.assert_array_equal(found.mean, x.mean(axis=0))  # whole numbers are summed exactly
    np.testing.assert_allclose(found.deviation, x.std(axis=0) + (x.std(axis=0) == 0), rtol=1e-12)
    np.testing.assert_allclose(found.transform(x), (x - found.mean) / found.deviation, rtol=1e-6)


# Whitening


@pytest.mark.parametrize("eps", [1e-6, 0.1, 3])
def test_whitening_is_the_inverse_root_of_the_covariance(images, eps):
    x, other = images(80, (3, 2, 4)), images(9, (3, 2, 4))
    covariance = np.cov(flat(x).T, bias=True)
    root = inv(sqrtm(covariance + eps * np.trace(covariance) / 24 * np.eye(24)))
    expected = (flat(other) - flat(x).mean(axis=0)) @ root
    found = ZCA(eps).fit(x)
    assert found.transform(other).dtype == np.float32
    np.testing.assert_allclose(flat(found.transform(other)), expected, rtol=1e-4, atol=1e-5)


def test_whitened_samples_have_the_covariance_one(images):
    y = flat(ZCA(eps=1e-9).fit_transform(images(500, (2, 3, 2))))
    np.testing.assert_allclose(np.cov(y.T, bias=True), np.eye(12), atol=1e-5)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)


def test_components_are_scikit_learn_s_principal_components(rng):
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    pca, found = PCA(svd_solver="full").fit(x), ZCA().fit(x)
    np.testing.assert_allclose(found.variances, pca.explained_variance_ * 199 / 200, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(found.components * pca.components_, axis=1)), 1, rtol=1e-10)


def test_eps_means_the_same_on_every_scale():
    x = load_digits().data
    np.testing.assert_allclose(ZCA(0.05).fit_transform(x), ZCA(0.05).fit_transform(255 * x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n", [1 + 5, 2])
def test_fewer_samples_than_pixels_and_constant_pixels_can_be_whitened(rng, n):
    x = rng.normal(size=(n, 4, 4, 1))
    x[:, 0] = 7
    y = ZCA(eps=1e-3).fit_transform(x)
    assert np.all(np.isfinite(y))
    np.testing.assert_allclose(y[:, 0], 0, atol=1e-5)
    assert np.linalg.matrix_rank(flat(y), tol=1e-3) == n - 1


# All


@kinds
def test_the_inverse_gives_the_samples_back(images, kind):
    x, other = images(60, (4, 3, 2)), images(5, (4, 3, 2))
    found = replace(kind).fit(x)
    back = found.inverse_transform(found.transform(other))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, other, rtol=1e-4)


@kinds
def test_each_sample_is_transformed_by_itself(images, kind):
    x = images(40, (4, 3, 2))
    found = replace(kind).fit(x)
    y = found.transform(x)
    np.testing.assert_array_equal(np.concatenate([found.transform(x[i : i + 3]) for i in range(0, 40, 3)]), y)
    assert found.transform(x[:0]).shape == (0, 4, 3, 2)


@kinds
def test_samples_may_be_read_only_or_a_view_and_stay_as_they_are(images, kind):
    x = images(40, (4, 3, 4))[::2, ..., ::2]
    x.flags.writeable = False
    before = x.copy()
    y = replace(kind).fit_transform(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, replace(kind).fit_transform(before))


@kinds
def test_a_second_fit_forgets_the_first(images, kind):
    x, other = images(40, (4, 3, 2)), images(30, (3, 3, 2))
    np.testing.assert_array_equal(
        replace(kind).fit(x).fit(other).transform(other), replace(kind).fit(other).transform(other)
    )


@kinds
def test_a_fitted_one_goes_through_a_model_file_without_a_bit_changed(images, kind, tmp_path):
    x = images(40, (4, 3, 2))
    found = replace(kind).fit(x)
    described = found.to_dict()
    modelfile.write(tmp_path / "p.safetensors", described.pop("arrays"), json.loads(json.dumps(described)))
    arrays, description = modelfile.read(tmp_path / "p.safetensors")
    again = preprocess.from_dict({**description, "arrays": arrays})
    assert repr(again) == repr(kind)
    np.testing.assert_array_equal(again.transform(x), found.transform(x))
    np.testing.assert_array_equal(again.inverse_transform(x), found.inverse_transform(x))


# Errors


@kinds
@pytest.mark.parametrize("method", ["transform", "inverse_transform", "to_dict"])
def test_what_is_not_fitted_says_so(kind, method):
    with pytest.raises(NotFittedError, match=rf"{type(kind).__name__}\.{method}: fit has not been called"):
        getattr(replace(kind), method)(*[np.zeros((1, 2))] * (method != "to_dict"))


@pytest.mark.parametrize(
    "x, error, message",
    [
        (np.zeros((0, 3)), DataError, r"the training set is empty, its shape \(0, 3\)"),
        (np.zeros((3, 0)), DataError, r"the training set is empty, its shape \(3, 0\)"),
        ([1, 2], ShapeError, r"expected x of shape \(N, \.\.\.\), got \(2,\)"),
        ([[1, np.nan]], RangeError, "x holds numbers that are not finite"),
        ([[1, np.inf]], RangeError, "x holds numbers that are not finite"),
        ([[1e200], [-1e200]], RangeError, "x holds numbers that are not finite, or beyond 1e100"),
        (np.array([[1, np.inf]], np.float16), RangeError, "x holds numbers that are not finite"),
        ([["a"]], DTypeError, "expected numbers, got dtype <U1"),
        ([[1j]], DTypeError, "expected numbers, got dtype complex128"),
    ],
    ids=range(9),
)
@kinds
def test_fit_refuses_what_is_no_training_set(kind, x, error, message):
    with pytest.raises(error, match=rf"{type(kind).__name__}\.fit: {message}"):
        replace(kind).fit(x)


@kinds
def test_samples_of_another_shape_are_refused(images, kind):
    found = replace(kind).fit(images(20, (4, 3, 2)))
    for x in (np.zeros((2, 4, 3, 3)), np.zeros((2, 24))):
        with pytest.raises(ShapeError, match=rf"{type(kind).__name__}\.transform: x has samples of shape \("):
            found.transform(x)


def test_equal_samples_cannot_be_whitened():
    with pytest.raises(DataError, match=r"ZCA\.fit: all samples of the training set are equal"):
        ZCA().fit(np.full((5, 3), 2))


@pytest.mark.parametrize("eps", [0, -1, np.inf, np.nan, None, "1", True], ids=repr)
def test_eps_is_positive(eps):
    with pytest.raises(RangeError, match="ZCA: eps is a finite number > 0, got"):
        ZCA(eps)


@pytest.mark.parametrize("per", ["image", "", None], ids=repr)
def test_standardisation_is_by_channel_or_pixel(per):
    with pytest.raises(RangeError, match="Standardize: per is 'channel' or 'pixel', got"):
        Standardize(per)


GOOD = {"type": "Standardize", "settings": {"per": "channel"}, "arrays": {"mean": [0, 1], "deviation": [1, 2]}}
WRONG = {
    "type": {"type": "Normalize"},
    "no type": {"type": None},
    "setting": {"settings": {"per": "image"}},
    "settings": {"settings": {"eps": 1}},
    "missing": {"arrays": {"mean": [0, 1]}},
    "too many": {"arrays": {**GOOD["arrays"], "variances": [1]}},
    "shape": {"arrays": {"mean": [0, 1], "deviation": [1]}},
    "axes": {"arrays": {"mean": [[0, 1]], "deviation": [[1, 1]]}},
    "zero": {"arrays": {"mean": [0, 1], "deviation": [1, 0]}},
    "not finite": {"arrays": {"mean": [0, np.nan], "deviation": [1, 1]}},
    "words": {"arrays": {"mean": "a", "deviation": "b"}},
    "components": {"type": "ZCA", "settings": {}, "arrays": {"mean": [0], "components": [[1, 1]], "variances": [1]}},
    "variances": {"type": "ZCA", "settings": {}, "arrays": {"mean": [0], "components": [[1]], "variances": [-1]}},
    "no variance": {"type": "ZCA", "settings": {}, "arrays": {"mean": [0], "components": [[1]], "variances": [0]}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_damaged_description_is_refused(wrong):
    assert preprocess.from_dict(GOOD).transform([[3, 3]]).tolist() == [[3, 1]]
    with pytest.raises(ModelFormatError, match="from_dict: not a description of preprocessing"):
        preprocess.from_dict({**GOOD, **wrong})
