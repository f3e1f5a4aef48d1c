"""The linear classifier's study: its settings are the original's, its figures measured, its report stands alone."""

import re

import numpy as np
import pytest
from reproduce_tools import (
    as_json,
    check_report,
    interrupt,
    make,
    run_interrupted,
    run_quickly,
    spoil_gradients,
    stored,
    untimed,
    unwrapped,
    write_cifar10,
)

from fastconv.reproduce import data, linear_softmax
from fastconv.reproduce.base import Options
from fastconv.reproduce.linear_softmax import LinearSoftmax

pytestmark = pytest.mark.usefixtures("undrawn")  # but for the module's quick run

PICTURES = ("costs", "accuracies", *(f"templates-{number}" for number in (1, 2, 3, 4)))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    return run_quickly("linear-softmax", tmp_path_factory.mktemp("quick") / "report")


@pytest.fixture
def cifar(tmp_path):
    """A folder with six small batches in CIFAR-10's format."""
    write_cifar10(tmp_path, 40)
    return tmp_path


# Settings


def test_a_full_run_has_the_original_s_settings():
    study = LinearSoftmax(None, Options(seed=3))
    assert (study.epochs, study.dimensions, study.seeds) == (40, (20, 3072), [3, 4, 5, 6, 7])
    assert linear_softmax.RUNS == ((0, 0.1), (0, 0.001), (0.1, 0.001), (1, 0.001))
    assert (linear_softmax.BATCH, linear_softmax.GOAL) == (100, 1e-6)


def test_epochs_scale_it():
    assert LinearSoftmax(None, Options(epochs=7)).epochs == 7


def test_initial_weights_and_biases_have_deviation_one_hundredth():
    nets = [linear_softmax.network(3072, 10, seed) for seed in (0, 0, 1)]
    biases = np.concatenate([linear_softmax.network(1, 10, seed).params["0.b"] for seed in range(100)])
    assert nets[0].params["0.w"].std() == pytest.approx(0.01, rel=0.02)
    assert biases.std() == pytest.approx(0.01, rel=0.1)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert not np.any(nets[0].parameters == nets[2].parameters)


def test_the_penalty_is_lambda_times_the_squared_weights_without_biases():
    study = make(LinearSoftmax)
    found, net = study.fit(1, 0.001, seed=0)
    plain, _ = net.evaluate(*study.test)
    penalty = np.square(net.params["0.w"], dtype=np.float64).sum()
    assert found["test_cost"] == pytest.approx(plain + penalty)


# Data


def test_the_first_batch_trains_and_the_second_validates(cifar):
    images = data.colour_images(cifar)
    train, validation, test = data.first_batches(images)
    assert (train.tolist(), validation.tolist()) == (list(range(40)), list(range(40, 80)))
    np.testing.assert_array_equal(test, images.test)


def test_each_dimension_is_standardised_by_the_training_images_alone(cifar):
    images = data.colour_images(cifar)
    rows = data.first_batches(images)
    (train, _), (validation, labels), _ = data.standardised_vectors(images, rows)
    raw = images.data[rows[0]].reshape(40, -1).astype(np.float64)
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-5)
    expected = (images.data[rows[1]].reshape(40, -1) - raw.mean(axis=0)) / raw.std(axis=0)
    np.testing.assert_allclose(validation, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(labels, images.target[40:80])


def test_a_folder_in_another_order_than_the_published_one_is_said(cifar):
    images = data.colour_images(cifar)
    assert "another order" in data.colour_words(images)
    images.target[:10] = data.FIRST_LABELS
    assert data.colour_words(images) == "The original's figures were found on CIFAR-10."


def test_it_runs_on_a_folder(cifar, tmp_path):
    results, _, _ = run_quickly("linear-softmax", tmp_path / "out", data=cifar)
    assert results["complete"] and results["data"]["source"] == "CIFAR-10"
    assert [results["data"][name] for name in ("train", "validation", "test")] == [40, 40, 40]


# The run


def test_gradients_meet_the_threshold(quick):
    found = quick[0]["gradient_check"]
    assert found["goal_met"] and found["largest_error"] <= 1e-6
    assert [row["W"]["entries"] for row in found["rows"]] == [200, 1000]


def test_a_wrong_gradient_does_not_meet_it(monkeypatch):
    spoil_gradients(monkeypatch, lambda gradients: {name: 1.001 * each for name, each in gradients.items()})
    study = make(LinearSoftmax)
    study.dimensions = (20,)
    words = study.gradient_check().text()
    assert study.results["gradient_check"]["goal_met"] is False
    assert re.search(r"\d times the original's\s+threshold", words)


def test_figures_are_those_of_the_trained_network(quick):
    results, _, _ = quick
    study = make(LinearSoftmax)
    _, net = study.fit(0.1, 0.001, seed=0)
    run = results["runs"][2]
    hits = net.predict(study.test[0]) == study.test[1]
    assert run["test_accuracy"] == np.mean(hits)
    weights = net.params["0.w"].T.reshape(10, 32, 32, 3)
    assert run["roughness"] == linear_softmax.roughness(weights)


def test_results_json_and_the_tables_hold_the_same_figures(quick):
    results, printed, folder = quick
    assert stored(folder) == as_json(results)
    original = ("30.29%", "39.75%", "39.69%", "37.91%")
    for (penalty, rate), run, there in zip(linear_softmax.RUNS, results["runs"], original, strict=True):
        here = re.escape(f"{run['test_accuracy']:.2%}")
        assert re.search(rf"test accuracy, lambda {penalty:g}, rate {rate:g} +{there} +{here}", printed)


def test_it_is_said_how_far_each_cost_is_from_the_original_s(quick):
    results, printed, _ = quick
    for run, there in zip(results["runs"], (6.4767, 1.7548, 1.8668, 1.9292), strict=True):
        side = "above" if run["test_cost"] >= there else "below"
        words = rf"{linear_softmax.label(run)}: [^;]* the cost {abs(run['test_cost'] - there):.3f} {side} its"
        assert re.search(words, unwrapped(printed))


def test_the_report_stands_alone_and_is_light(quick):
    check_report(quick[2], PICTURES)


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads_and_another_others(quick, tmp_path):
    again, _, _ = run_quickly("linear-softmax", tmp_path / "two", threads=2)
    assert untimed(again) == untimed(quick[0])
    other, _, _ = run_quickly("linear-softmax", tmp_path / "other", seed=1)
    assert other["runs"][0]["test_cost"] != quick[0]["runs"][0]["test_cost"]


def test_the_median_seed_is_shown(monkeypatch):
    accuracies = iter([0.3, 0.5, 0.1, 0.4, 0.2] * 4)
    fit = LinearSoftmax.fit

    def known(self, penalty, rate, seed):
        found, net = fit(self, penalty, rate, seed)
        return found | {"test_accuracy": next(accuracies)}, net

    monkeypatch.setattr(LinearSoftmax, "fit", known)
    study = make(LinearSoftmax, epochs=1)
    study.seeds = [0, 1, 2, 3, 4]
    words = study.runs().text()
    assert [(run["seed"], run["test_accuracy"]) for run in study.results["runs"]] == [(0, 0.3)] * 4
    assert "10.00% to 50.00%" in words
    assert "lambda 0, rate 0.1: 0.29 points below the original (the best seed 19.71 points above)" in unwrapped(words)


def test_on_ctrl_c_the_runs_that_are_done_are_written(tmp_path, monkeypatch):
    interrupt(monkeypatch, LinearSoftmax, "fit", 2)
    results, printed = run_interrupted("linear-softmax", tmp_path / "out")
    assert (results["interrupted_in"], len(results["runs"])) == ("four runs", 2)
    assert "Finished before: lambda 0, rate 0.1: test accuracy" in unwrapped(printed)
