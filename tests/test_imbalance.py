"""Remedies for imbalance: weights, what an epoch is, and subsets with a long tail."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.errors import DataError, DTypeError, RangeError, ShapeError
from fastconv.imbalance import (
    balance,
    balanced_weights,
    effective_number_weights,
    long_tailed,
    oversample,
    undersample,
)

# Undersampling

LABELS = np.repeat([0, 1, 3], [50, 8, 20])  # class 2 has no examples


def test_undersampling_draws_as_many_of_each_class_without_replacement():
    rows = undersample(LABELS, np.random.default_rng(0))
    assert rows.dtype == np.int64
    assert len(np.unique(rows)) == len(rows) == 24
    assert np.bincount(LABELS[rows]).tolist() == [8, 8, 0, 8]
    assert set(rows[LABELS[rows] == 1]) == set(range(50, 58))


def test_undersampling_draws_anew_each_time():
    rng = np.random.default_rng(0)
    first, second = undersample(LABELS, rng), undersample(LABELS, rng)
    assert set(first) != set(second)
    np.testing.assert_array_equal(first, undersample(LABELS, np.random.default_rng(0)))


def test_undersampling_draws_every_example_equally_often():
    rng = np.random.default_rng(1)
    counts = np.bincount(np.concatenate([undersample(LABELS, rng) for _ in range(2000)]), minlength=len(LABELS))
    for rows, share in ((slice(0, 50), 8 / 50), (slice(50, 58), 1), (slice(58, 78), 8 / 20)):
        deviation = np.sqrt(2000 * share * (1 - share))
        assert np.abs(counts[rows] - 2000 * share).max() <= 5 * deviation


def test_undersampling_shuffles_the_classes():
    rows = undersample(np.repeat([0, 1], 500), np.random.default_rng(2))
    ones = np.cumsum(np.repeat([0, 1], 500)[rows])
    # of a random order the count of ones in the first half is hypergeometric, deviation about 8
    assert abs(ones[499] - 250) < 40
    assert not np.array_equal(np.sort(rows), rows)


def test_undersampling_of_equal_classes_keeps_all():
    assert sorted(undersample([0, 1, 1, 0], np.random.default_rng(0))) == [0, 1, 2, 3]
    assert undersample(np.array([4]), np.random.default_rng(0)).tolist() == [0]


# Oversampling and balanced epochs


def test_oversampling_repeats_all_and_draws_the_rest():
    rows = oversample(LABELS, np.random.default_rng(0))
    assert rows.dtype == np.int64
    assert np.bincount(LABELS[rows]).tolist() == [50, 50, 0, 50]
    times = np.bincount(rows, minlength=len(LABELS))
    assert times[:50].tolist() == [1] * 50
    assert np.bincount(times[50:58]).tolist() == [0] * 6 + [6, 2]  # 50 = 6 x 8 + 2
    assert np.bincount(times[58:]).tolist() == [0, 0, 10, 10]  # 50 = 2 x 20 + 10


def test_a_balanced_epoch_is_as_long_as_a_plain_one():
    rows = balance(LABELS, np.random.default_rng(0))
    assert rows.dtype == np.int64
    assert np.bincount(LABELS[rows]).tolist() == [26, 26, 0, 26]
    times = np.bincount(rows, minlength=len(LABELS))
    assert np.bincount(times[:50]).tolist() == [24, 26]  # 26 of 50, none twice
    assert np.bincount(times[50:58]).tolist() == [0, 0, 0, 6, 2]  # 26 = 3 x 8 + 2


def test_the_rest_of_a_balanced_epoch_goes_to_classes_drawn_anew():
    labels, rng = np.repeat([0, 1, 2], [5, 2, 1]), np.random.default_rng(0)
    sizes = np.array([np.bincount(labels[balance(labels, rng)]) for _ in range(300)])
    assert np.all(np.sort(sizes, axis=1) == [2, 3, 3])
    assert np.abs((sizes == 2).mean(axis=0) - 1 / 3).max() < 0.14  # five deviations


@pytest.mark.parametrize("sample", [oversample, balance])
def test_balanced_epochs_draw_every_example_of_a_class_equally_often(sample):
    rng, epochs = np.random.default_rng(1), 2000
    counts = np.bincount(np.concatenate([sample(LABELS, rng) for _ in range(epochs)]), minlength=len(LABELS))
    size = len(sample(LABELS, rng)) // 3
    for rows, n in ((slice(0, 50), 50), (slice(50, 58), 8), (slice(58, 78), 20)):
        rest = size % n / n  # the probability that an example stands once more
        deviation = np.sqrt(epochs * rest * (1 - rest))
        assert np.abs(counts[rows] - epochs * size / n).max() <= 5 * deviation


@pytest.mark.parametrize("sample", [oversample, balance])
def test_balanced_epochs_shuffle_the_classes_and_draw_anew(sample):
    rng = np.random.default_rng(2)
    first, second = sample(LABELS, rng), sample(LABELS, rng)
    assert sorted(first) != sorted(second)
    ones = np.cumsum(LABELS[sample(np.repeat(LABELS, 10), rng) // 10] == 1)
    assert abs(ones[len(ones) // 2] / ones[-1] - 0.5) < 0.12  # deviation at most 0.02
    np.testing.assert_array_equal(first, sample(LABELS, np.random.default_rng(2)))


@pytest.mark.parametrize(
    "labels, error, message",
    [
        ([], DataError, "there are no labels"),
        ([0.0, 1.0], DTypeError, "expected labels of an integer dtype, got float64"),
        ([[0, 1]], ShapeError, r"expected labels of shape \(N,\), got \(1, 2\)"),
        ([0, -1], RangeError, "expected labels >= 0, got -1"),
    ],
    ids=["none", "floats", "two axes", "negative"],
)
@pytest.mark.parametrize("sample", [undersample, oversample, balance, long_tailed])
def test_samplings_need_labels(sample, labels, error, message):
    with pytest.raises(error, match=f"{sample.__name__}: {message}"):
        sample(labels, 1 if sample is long_tailed else np.random.default_rng(0))


@pytest.mark.parametrize("sampling, size", [("oversample", 150), ("balance", 78)])
def test_the_trainer_knows_balanced_epochs_by_name(sampling, size):
    net = fc.Sequential([fc.Dense(4)], input=fc.VectorInput(3))
    seen = []
    x, y = np.random.default_rng(0).normal(size=(len(LABELS), 3)), LABELS
    trainer = fc.Trainer(net, batch_size=30, sampling=sampling)
    trainer.fit(x, y, epochs=2, callbacks=[lambda trainer, record: seen.append(record["update"])])
    assert seen == [-(-size // 30), 2 * -(-size // 30)]


# Weights by the effective number of examples


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.999, 0.9999])
def test_the_effective_number_is_that_of_different_examples_drawn(beta):
    # of N = 1 / (1 - beta) examples, n drawn with replacement hit N (1 - beta^n) different ones: the sum of beta^i
    counts = np.array([1, 5, 50, 4000])
    effective = [np.sum(beta ** np.arange(n)) for n in counts]
    weights = effective_number_weights(counts, beta)
    np.testing.assert_allclose(weights, 1 / np.array(effective) * 4 / np.sum(1 / np.array(effective)), rtol=1e-12)
    assert weights.sum() == pytest.approx(4, rel=1e-14)


def test_beta_goes_from_no_weights_to_balanced_ones():
    counts = [1000, 10, 300]
    np.testing.assert_array_equal(effective_number_weights(counts, 0), [1, 1, 1])
    balanced = balanced_weights(counts)
    almost = effective_number_weights(counts, 1 - 1e-12)
    np.testing.assert_allclose(almost, balanced * 3 / balanced.sum(), rtol=1e-8)


@pytest.mark.parametrize("beta", [0, 0.9])
def test_a_class_without_examples_has_no_effective_number(beta):
    weights = effective_number_weights([30, 0, 10], beta)
    np.testing.assert_allclose(weights[[0, 2]], effective_number_weights([30, 10], beta), rtol=1e-15)
    assert weights[1] == 0
    assert effective_number_weights([0, 0], beta).tolist() == [0, 0]


@pytest.mark.parametrize("beta", [-0.1, 1, 1.0, np.nan], ids=repr)
def test_beta_lies_below_one(beta):
    with pytest.raises(RangeError, match=r"effective_number_weights: beta lies in \[0, 1\), got"):
        effective_number_weights([1, 2], beta)


@pytest.mark.parametrize("weights", [balanced_weights, effective_number_weights])
@pytest.mark.parametrize("counts, error", [([1, -1], RangeError), ([np.nan], RangeError), (3, ShapeError)], ids=str)
def test_counts_are_finite_and_not_negative(weights, counts, error):
    with pytest.raises(error, match=f"{weights.__name__}: expected .*counts"):
        weights(counts)


# Long tails


def test_long_tailed_cifar_10_has_the_published_counts():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    rows = long_tailed(labels, factor=100)
    assert rows.dtype == np.int64 and np.all(np.diff(rows) > 0)
    # Cao et al., "Learning imbalanced datasets with label-distribution-aware margin loss", 2019, and what came after
    assert np.bincount(labels[rows]).tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.mark.parametrize("factor", [1, 2, 10, 27.5, 1000])
@pytest.mark.parametrize("classes", [2, 4, 10])
def test_a_long_tail_falls_geometrically(factor, classes):
    labels = np.repeat(np.arange(classes), 2000)
    counts = np.bincount(labels[long_tailed(labels, factor)])
    exact = 2000 * factor ** (-np.arange(classes) / (classes - 1))
    assert np.all(counts <= exact + 1e-6) and np.all(counts > exact - 1)


def test_a_long_tail_is_drawn_by_its_seed():
    labels = np.repeat([0, 1], 100)
    first, again, other = (long_tailed(labels, 4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert first[:100].tolist() == other[:100].tolist() == list(range(100))
    assert set(first[100:]) != set(other[100:])
    drawn = np.bincount(np.concatenate([long_tailed(labels, 4, seed) for seed in range(400)]))[100:]
    assert np.abs(drawn - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_the_head_is_as_large_as_the_classes_behind_allow():
    labels = np.repeat([0, 1, 2], [1000, 120, 30])
    counts = np.bincount(labels[long_tailed(labels, 16)])  # mu = 1/4: 480 x (1, 1/4, 1/16)
    assert counts.tolist() == [480, 120, 30]


def test_one_class_has_no_tail():
    assert long_tailed([0, 0, 0], 5).tolist() == [0, 1, 2]


@pytest.mark.parametrize("factor", [0, 0.9, np.inf, np.nan, -2], ids=repr)
def test_the_factor_of_a_tail_is_at_least_one(factor):
    with pytest.raises(RangeError, match="long_tailed: factor is a finite number >= 1, got"):
        long_tailed([0, 1], factor)


def test_a_tail_leaves_no_class_without_examples():
    with pytest.raises(DataError, match="of 100 examples a factor of 101 leaves class 1 none"):
        long_tailed(np.repeat([0, 1], 100), 101)
    with pytest.raises(DataError, match="class 1 has no examples"):
        long_tailed([0, 2], 1)
