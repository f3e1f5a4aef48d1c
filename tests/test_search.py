"""Random search, coarse to fine, and the test for the range of the learning rate."""

import math
import threading
import time

import numpy as np
import pytest
from scipy.stats import randint

import fastconv as fc
from fastconv.errors import DTypeError, NonFiniteLossError, RangeError
from fastconv.search import narrowed, random_search, rate_range


def closeness(rate, **others):
    """A score that is the largest at 0.01."""
    return -abs(math.log10(rate) + 2)


def task(seed=0):
    """A trainer and what it learns."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    net = fc.Sequential([fc.Dense(8), fc.ReLU(), fc.Dense(3)], input=fc.VectorInput(6), seed=seed)
    return fc.Trainer(net, optimizer=fc.SGD(0.1, momentum=0.5), batch_size=40, seed=seed), x, x[:, :3].argmax(axis=1)


# Random search


def test_results_are_sorted_the_best_first_and_have_their_settings():
    results = random_search(closeness, {"rate": (1e-5, 1.0)}, trials=10)
    scores = [result["score"] for result in results]
    assert len(results) == 10 and scores == sorted(scores, reverse=True)
    assert all(result["score"] == closeness(**result["settings"]) for result in results)
    assert all(result["seconds"] >= 0 for result in results)


def test_a_range_is_drawn_uniformly_in_the_logarithm():
    rates = [result["settings"]["rate"] for result in random_search(closeness, {"rate": (1e-5, 1e-1)}, trials=2000)]
    exponents = np.log10(rates)
    assert -5 <= exponents.min() < -4.99 and -1.01 < exponents.max() <= -1
    np.testing.assert_allclose(np.histogram(exponents, bins=4, range=(-5, -1))[0], 500, rtol=0.2)


def test_lists_and_distributions_are_drawn_from_too():
    space = {"rate": (0.001, 0.1), "units": [20, 50], "depth": randint(1, 4)}
    settings = [result["settings"] for result in random_search(closeness, space, trials=60)]
    assert {each["units"] for each in settings} == {20, 50}
    assert {each["depth"] for each in settings} == {1, 2, 3}
    assert all(type(each["rate"]) is float and type(each["depth"]) is int for each in settings)


def test_an_entry_of_a_list_may_be_an_array():
    weights = [np.array([1.0, 2.0]), np.array([3.0])]
    results = random_search(lambda weight: weight.sum(), {"weight": weights}, trials=2)
    assert sorted(result["settings"]["weight"].tolist() for result in results) == [[1, 2], [3]]


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_same_seed_gives_the_same_results_whatever_is_first_done(jobs):
    def slow_or_not(rate):
        time.sleep(0.02 if rate > 0.01 else 0)
        return round(closeness(rate))  # many are equal

    def found(seed, jobs):
        results = random_search(slow_or_not, {"rate": (1e-5, 1.0)}, trials=12, seed=seed, jobs=jobs)
        return [(result["settings"], result["score"]) for result in results]

    assert found(5, 1) == found(5, jobs)
    assert found(5, 1) != found(6, 1)


def test_trials_train_the_same_networks_at_once_as_one_by_one():
    def accuracy(rate):
        trainer, x, y = task()
        trainer.optimizer = fc.SGD(rate)
        trainer.threads = 1
        trainer.fit(x, y, epochs=2, progress=False)
        return {"score": trainer.net.evaluate(x, y, threads=1)[1], "weights": trainer.net.parameters.tolist()}

    one, two = (random_search(accuracy, {"rate": (0.01, 1.0)}, trials=6, jobs=jobs) for jobs in (1, 2))
    assert [result["weights"] for result in one] == [result["weights"] for result in two]


def test_as_many_trials_run_at_once_as_there_are_jobs():
    both = threading.Barrier(2, timeout=30)

    def wait(rate):
        return float(both.wait())

    assert {result["score"] for result in random_search(wait, {"rate": (0.1, 1.0)}, trials=2, jobs=2)} == {0.0, 1.0}


def test_what_else_a_trial_returns_is_kept():
    def trial(rate):
        return {"score": 1.0, "loss": 2 * rate}

    for result in random_search(trial, {"rate": (0.1, 1.0)}, trials=3):
        assert result["loss"] == 2 * result["settings"]["rate"]


def test_a_training_that_diverges_comes_last_with_its_message_and_nan_behind_it():
    def trial(kind):
        if kind == "diverges":
            raise NonFiniteLossError("fit: the loss is nan at update 3")
        return math.nan if kind == "nan" else 0.5

    results = random_search(trial, {"kind": ["diverges", "nan", "good"]}, trials=3)
    assert [result["settings"]["kind"] for result in results] == ["good", "diverges", "nan"]
    assert results[1]["score"] == -math.inf
    assert results[1]["error"] == "fit: the loss is nan at update 3"


@pytest.mark.parametrize("found, shown", [(None, "None"), ("good", "'good'"), ({"loss": 1}, "{'loss': 1}")], ids=str)
def test_a_function_returns_a_score(found, shown):
    with pytest.raises(DTypeError, match=f"random_search: expected a score, or a dict with one, got {shown}"):
        random_search(lambda rate: found, {"rate": (0.1, 1.0)}, trials=2)


def test_other_errors_are_raised():
    def fail(rate):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        random_search(fail, {"rate": (0.1, 1.0)}, trials=4, jobs=2)


def test_results_are_told_in_the_order_of_the_draws():
    begun = []

    def slow_first(rate):
        begun.append(rate)
        time.sleep(0.05 if len(begun) == 1 else 0)
        return closeness(rate)

    told = {}
    for jobs in (1, 2):
        told[jobs] = []
        begun.clear()
        random_search(slow_first, {"rate": (1e-5, 1.0)}, trials=8, jobs=jobs, callback=told[jobs].append)
    assert [result["settings"] for result in told[1]] == [result["settings"] for result in told[2]]


def test_ctrl_c_ends_the_search_and_no_further_trial_begins():
    begun, told = [], []

    def trial(rate):
        begun.append(rate)
        time.sleep(0.01)
        return 0.0

    def interrupt(result):
        told.append(result)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        random_search(trial, {"rate": (0.1, 1.0)}, trials=200, jobs=2, callback=interrupt)
    ended = len(begun)
    time.sleep(0.1)
    assert len(told) == 2 and len(begun) == ended < 100


@pytest.mark.parametrize(
    ("space", "error", "words"),
    [
        ({"rate": (1.0, 0.1)}, RangeError, r"rate: expected 0 < low < high, got \(1.0, 0.1\)"),
        ({"rate": (0.0, 1.0)}, RangeError, "expected 0 < low < high"),
        ({"rate": (0.1, math.inf)}, RangeError, "expected 0 < low < high"),
        ({"rate": (0.1, 0.2, 0.3)}, RangeError, "expected 0 < low < high"),
        ({"rate": []}, DTypeError, "expected .low, high., a list or a distribution"),
        ({"rate": 0.1}, DTypeError, "expected .low, high., a list or a distribution, got 0.1"),
    ],
)
def test_a_space_that_cannot_be_drawn_from_is_told(space, error, words):
    with pytest.raises(error, match=words):
        random_search(closeness, space, trials=2)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": 2, "jobs": 0}, {"trials": 2, "seed": -1}])
def test_numbers_out_of_range_are_told(wrong):
    with pytest.raises(RangeError, match="random_search"):
        random_search(closeness, {"rate": (0.1, 1.0)}, **wrong)


# Coarse to fine


def test_a_finer_space_is_what_the_best_span():
    space = {"rate": (1e-5, 1.0), "units": [20, 50]}
    results = random_search(closeness, space, trials=20)
    rates = [result["settings"]["rate"] for result in results[:4]]
    assert narrowed(space, results, keep=4) == {"rate": (min(rates), max(rates)), "units": [20, 50]}
    assert space["rate"] == (1e-5, 1.0)


def test_a_finer_search_is_nearer_to_the_best():
    space = {"rate": (1e-5, 1.0)}
    coarse = random_search(closeness, space, trials=10)
    fine = random_search(closeness, narrowed(space, coarse), trials=10, seed=1)
    assert np.mean([result["score"] for result in fine]) > np.mean([result["score"] for result in coarse])


def test_one_result_spans_nothing():
    with pytest.raises(RangeError, match="expected two results at least, got 1"):
        narrowed({"rate": (0.1, 1.0)}, [{"settings": {"rate": 0.2}}])


# The range test


def test_the_rate_grows_by_a_constant_factor_and_losses_are_those_of_a_training_at_it():
    trainer, x, y = task()
    found = rate_range(trainer, x, y, low=1e-4, high=1e-1, updates=31)
    np.testing.assert_allclose(found.rates, np.logspace(-4, -1, 31))
    same, x, y = task()
    same.optimizer = fc.SGD(lambda update: found.rates[update], momentum=0.5)
    assert same.fit(x, y, updates=31, progress=False).batch_losses == found.losses.tolist()


def test_the_number_of_updates_may_be_a_small_integer_of_numpy():
    assert len(rate_range(*task(), low=1e-6, high=1e-3, updates=np.int8(100)).rates) == 100


def test_the_trainer_and_its_network_are_not_changed():
    trainer, x, y = task()
    before = trainer.net.parameters.copy()
    rate_range(trainer, x, y)
    np.testing.assert_array_equal(trainer.net.parameters, before)
    assert (trainer.updates, trainer.optimizer.learning_rate, len(trainer.history)) == (0, 0.1, 0)


def test_the_range_lies_where_the_loss_falls():
    trainer, x, y = task()
    found = rate_range(trainer, x, y, low=1e-6, high=100.0, updates=300)
    assert 1e-4 < found.low < found.high < 10
    start, lowest = found.losses[: len(found.losses) // 10].mean(), found.smooth.min()
    between = (found.rates > found.low) & (found.rates <= found.high)
    assert found.smooth[between].max() <= start - 0.1 * (start - lowest) < found.smooth[found.rates == found.low]
    assert found.smooth[found.rates == found.high] == found.smooth.min()


def test_it_ends_where_the_loss_is_four_times_its_lowest_or_not_finite():
    trainer, x, y = task()
    found = rate_range(trainer, x, y, low=1e-3, high=1e6, updates=200)
    assert len(found.rates) == len(found.losses) == len(found.smooth) < 200
    assert np.isfinite(found.losses).all()
    assert all(found.smooth[:-1] <= 4 * np.minimum.accumulate(found.smooth[:-1]))
    sudden = rate_range(task()[0], x, y, low=1e-3, high=1e300, updates=3)
    assert len(sudden.losses) == 2


def test_the_smooth_loss_is_the_weighted_mean():
    trainer, x, y = task()
    found = rate_range(trainer, x, y, low=1e-4, high=1e-3, updates=5)
    weights = 0.9 ** np.arange(5)[::-1]
    assert found.smooth[0] == found.losses[0]
    assert found.smooth[4] == pytest.approx(np.average(found.losses, weights=weights))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"low": 1.0, "high": 0.1}, "expected 0 < low < high, got 1.0 and 0.1"),
        ({"low": 0.0}, "expected 0 < low < high"),
        ({"high": math.inf}, "expected 0 < low < high"),
        ({"updates": 1}, "expected two updates at least, got 1"),
    ],
)
def test_a_range_that_cannot_be_tested_is_told(arguments, words):
    trainer, x, y = task()
    with pytest.raises(RangeError, match=words):
        rate_range(trainer, x, y, **arguments)


def test_it_wants_a_trainer():
    with pytest.raises(DTypeError, match="expected a trainer"):
        rate_range(task()[0].net, *task()[1:])
