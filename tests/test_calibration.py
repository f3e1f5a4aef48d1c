"""Calibration: bins of confidence against scikit-learn's, temperatures against SciPy's search and known solutions."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, log_loss

from fastconv.calibration import calibration_error, fit_temperature, reliability
from fastconv.errors import DataError, DTypeError, RangeError, ShapeError

# Four predictions in (0.5, 0.75] of which three are right, two in (0.75, 1] of which one is.
PROBABILITIES = np.array([[0.7, 0.3], [0.4, 0.6], [0.75, 0.25], [0.3, 0.7], [0.9, 0.1], [0.0, 1.0]])
LABELS = np.array([0, 1, 0, 0, 0, 0])


def samples(rng, n=400, classes=5, scale=3.0):
    """Logits, and labels drawn from the softmax of their half: the best temperature is 2, but for chance."""
    logits = rng.normal(size=(n, classes)) * scale
    shares = softmax(logits / 2, axis=1)
    return logits, np.array([rng.choice(classes, p=share) for share in shares])


def cost(logits, labels, temperature, sample_weight=None):
    shares = softmax(logits / temperature, axis=1)
    return log_loss(labels, shares, sample_weight=sample_weight, labels=range(logits.shape[1]))


# Reliability


def test_reliability_of_predictions_counted_by_hand():
    table = reliability(PROBABILITIES, LABELS, bins=4)
    np.testing.assert_allclose(table["accuracy"], [np.nan, np.nan, 0.75, 0.5])
    np.testing.assert_allclose(table["confidence"], [np.nan, np.nan, 2.75 / 4, 0.95])
    np.testing.assert_allclose(table["share"], [0, 0, 4 / 6, 2 / 6])
    assert calibration_error(PROBABILITIES, LABELS, bins=4) == pytest.approx((4 * 0.0625 + 2 * 0.45) / 6)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_reliability_is_scikit_learns_calibration_curve_of_the_likeliest_class(rng, bins):
    logits, labels = samples(rng)
    shares = softmax(logits, axis=1)
    right = shares.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, shares.max(axis=1), n_bins=bins)
    table = reliability(shares, labels, bins)
    there = table["share"] > 0
    np.testing.assert_allclose(table["accuracy"][there], accuracy)
    np.testing.assert_allclose(table["confidence"][there], confidence)
    assert table["share"].sum() == pytest.approx(1)


def test_one_bin_gives_the_accuracy_and_its_distance_from_the_mean_confidence(rng):
    logits, labels = samples(rng)
    shares = softmax(logits, axis=1)
    weights = rng.random(len(labels))
    accuracy = accuracy_score(labels, shares.argmax(axis=1), sample_weight=weights)
    table = reliability(shares, labels, 1, weights)
    assert table["accuracy"][0] == pytest.approx(accuracy)
    distance = abs(accuracy - np.average(shares.max(axis=1), weights=weights))
    assert calibration_error(shares, labels, 1, weights) == pytest.approx(distance)


def test_whole_weights_count_as_repetitions(rng):
    logits, labels = samples(rng)
    shares = softmax(logits, axis=1)
    weights = rng.integers(0, 4, len(labels))
    rows = np.repeat(np.arange(len(labels)), weights)
    weighted, repeated = reliability(shares, labels, 10, weights), reliability(shares[rows], labels[rows], 10)
    for name in ("confidence", "accuracy", "share"):
        np.testing.assert_allclose(weighted[name], repeated[name])
    assert fit_temperature(logits, labels, weights) == pytest.approx(fit_temperature(logits[rows], labels[rows]))


def test_probabilities_that_say_how_often_they_are_right_have_no_error():
    shares = np.repeat([[0.75, 0.25], [0.0, 1.0]], 4, axis=0)
    assert calibration_error(shares, [0, 0, 0, 1, 1, 1, 1, 1]) == 0
    assert calibration_error(shares, [1, 1, 1, 1, 0, 0, 0, 0]) == pytest.approx(0.875)


def test_float32_softmax_that_exceeds_one_by_rounding_is_in_the_last_bin():
    above = np.nextafter(np.float32(1), np.float32(2))
    assert reliability(np.array([[above, 0]], np.float32), [0], bins=3)["share"].tolist() == [0, 0, 1]


# Temperature


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_the_temperature_is_where_scipy_finds_the_smallest_log_loss(rng, scale, weighted):
    logits, labels = samples(rng)
    logits *= scale / 3
    weights = rng.random(len(labels)) if weighted else None
    found = minimize_scalar(
        lambda log: cost(logits, labels, np.exp(log), weights), bounds=np.log([0.05, 20]), options={"xatol": 1e-9}
    )
    temperature = fit_temperature(logits, labels, weights)
    assert temperature == pytest.approx(np.exp(found.x), rel=1e-5)
    assert temperature == pytest.approx(2 * scale / 3, rel=0.2)
    assert cost(logits, labels, temperature, weights) <= found.fun * (1 + 1e-12)


@pytest.mark.parametrize("margin", [1.0, 1e-3, 50.0])
@pytest.mark.parametrize("right", [51, 75, 99])
def test_two_classes_with_one_margin_have_a_known_solution(margin, right):
    labels = np.repeat([0, 1], [right, 100 - right])
    exact = margin / np.log(right / (100 - right))
    assert fit_temperature([[margin, 0.0]] * 100, labels) == pytest.approx(np.clip(exact, 0.05, 20), rel=1e-10)


def test_scaled_logits_have_a_temperature_of_that_scale(rng):
    logits, labels = samples(rng)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=1e-10)


def test_a_temperature_does_not_depend_on_what_is_added_to_a_samples_logits(rng):
    logits, labels = samples(rng)
    shifted = logits + rng.normal(size=(len(labels), 1)) * 100
    assert fit_temperature(shifted, labels) == pytest.approx(fit_temperature(logits, labels), rel=1e-9)


def test_a_temperature_makes_probabilities_mean_what_they_say(rng):
    logits, labels = samples(rng, 4000)
    before = calibration_error(softmax(logits, axis=1), labels)
    after = calibration_error(softmax(logits / fit_temperature(logits, labels), axis=1), labels)
    assert before > 0.1 and after < 0.03


@pytest.mark.parametrize("margin", [1e-6, 1.0, 1e6, 1e100])
def test_samples_that_are_all_right_or_all_wrong_give_a_bound(margin):
    logits = np.array([[margin, 0, 0], [0, margin, 0]])
    assert fit_temperature(logits, [0, 1]) == 0.05
    assert fit_temperature(-logits, [0, 1]) == 20


def test_one_sample_gives_a_bound_unless_its_label_lies_between():
    assert fit_temperature([[2.0, 1.0]], [0]) == 0.05
    assert fit_temperature([[2.0, 1.0]], [1]) == 20
    between = fit_temperature([[2.0, 1.0, -3.0]], [1])  # 1 e^(b) = 4 e^(-4 b): b = log(4) / 5
    assert between == pytest.approx(5 / np.log(4))


@pytest.mark.parametrize("logits", [np.zeros((3, 4)), [[5.0, 5.0], [-1.0, -1.0], [0.0, 0.0]], [[1.0], [2.0], [3.0]]])
def test_constant_logits_have_temperature_one(logits):
    assert fit_temperature(logits, [0, 0, 0]) == 1


def test_samples_of_weight_zero_do_not_count():
    logits = [[0.0, 1e50], [0.0, 0.0]]
    assert fit_temperature(logits, [0, 0], [0, 1]) == 1
    assert calibration_error([[0.0, 1.0], [1.0, 0.0]], [0, 0], sample_weight=[0.0, 1e-300]) == 0


@pytest.mark.parametrize("seed", range(5))
def test_margins_of_many_sizes_have_their_smallest_cost_at_the_temperature(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(300, 3)) * 10.0 ** rng.uniform(-6, 2, (300, 1))
    labels = np.where(rng.random(300) < 0.97, logits.argmax(axis=1), 0)

    def exact(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(300), labels].sum()

    temperature = fit_temperature(logits, labels)
    assert all(exact(temperature) <= exact(other) for other in np.geomspace(0.05, 20, 200))


def test_float32_logits_are_computed_with_in_float64_and_not_modified(rng):
    logits, labels = samples(rng)
    logits = logits.astype(np.float32)
    logits.flags.writeable = False
    assert fit_temperature(logits, labels) == fit_temperature(logits.astype(np.float64), labels)


# Arguments


@pytest.mark.parametrize("function", [reliability, calibration_error, fit_temperature])
@pytest.mark.parametrize(
    ("scores", "labels", "weights", "error", "message"),
    [
        (np.ones(3), [0, 0, 0], None, ShapeError, r"shape \(N, K\), not empty, got \(3,\)"),
        (np.ones((0, 2)), [], None, ShapeError, r"not empty, got \(0, 2\)"),
        ([["a", "b"]], [0], None, DTypeError, "of numbers, got dtype <U1"),
        ([[np.nan, 1.0]], [0], None, RangeError, "got others"),
        ([[np.inf, 0.0]], [0], None, RangeError, "got others"),
        ([[1.0, 0.0]], [2], None, RangeError, r"label 2 at index 0 is outside 0\.\.1"),
        ([[1.0, 0.0]], [0.0], None, DTypeError, "labels of an integer dtype"),
        ([[1.0, 0.0]], [0, 1], None, ShapeError, r"1 samples, y has shape \(2,\)"),
        ([[1.0, 0.0]], [0], [-1.0], RangeError, "finite numbers >= 0"),
        ([[1.0, 0.0]], [0], [1.0, 1.0], ShapeError, "sample_weight: expected shape"),
        ([[1.0, 0.0]], [0], [0.0], DataError, "sample_weight is zero for every sample"),
    ],
)
def test_wrong_arguments_raise_an_error_that_names_them(function, scores, labels, weights, error, message):
    with pytest.raises(error, match=message):
        function(scores, labels, sample_weight=weights)


@pytest.mark.parametrize("shares", [[[0.5, 0.6]], [[1.5, -0.5]], [[1e308, 1e308]], [[3.0, -1.0]]])
def test_what_are_no_probabilities_is_an_error(shares):
    with pytest.raises(RangeError, match="reliability: expected probabilities >= 0 that sum to 1 in each row"):
        calibration_error(shares, [0])


@pytest.mark.parametrize("bins", [0, -1, 2.0, True, "10"])
def test_bins_are_a_positive_integer(bins):
    with pytest.raises(RangeError, match="reliability: bins: expected a positive integer"):
        calibration_error([[1.0, 0.0]], [0], bins)


def test_calibration_needs_numpy_only():
    code = (
        "import sys, fastconv as fc; fc.calibration.fit_temperature([[1.0, 0.0]], [0]);"
        "assert not {'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
