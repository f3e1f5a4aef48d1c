"""The study of two layers: its settings are the original's, its figures measured, its report stands alone."""

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
)

import fastconv as fc
from fastconv.errors import NonFiniteLossError, RangeError
from fastconv.reproduce import cyclical_mlp
from fastconv.reproduce.base import Options
from fastconv.reproduce.cyclical_mlp import CyclicalMLP

pytestmark = pytest.mark.usefixtures("undrawn")  # but for the module's quick run

PICTURES = {
    "by-heart", "rate", "range-test", "costs-1", "accuracies-1", "costs-3", "accuracies-3", "lambda", "final"
}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    return run_quickly("cyclical-mlp", tmp_path_factory.mktemp("quick") / "report")


@pytest.fixture
def study():
    """A quick study on the embedded images, of which nothing has been run."""
    return make(CyclicalMLP)


# Settings


def test_a_full_run_has_the_original_s_settings():
    study = CyclicalMLP(None, Options(seed=3))
    assert study.checks == [(20, 50, 20), (3072, 10, 5)]
    assert (study.seeds, study.shorter, study.trials) == ([3, 4, 5, 6, 7], 1, {"coarse": 8, "fine": 16})
    assert study.search_step == 2 * (1295 // 100)
    assert [row[1:] for row in cyclical_mlp.ROWS] == [(1, 500, 50)] * 3 + [(3, 800, 50)] * 3 + [(3, 800, 100)]
    assert (cyclical_mlp.BATCH, cyclical_mlp.PENALTY, cyclical_mlp.RATES) == (100, 0.01, (1e-5, 1e-1))
    assert cyclical_mlp.SEARCHES == {"coarse": ((1e-5, 1e-1), 8), "fine": ((1e-5, 1e-4), 16)}
    final = cyclical_mlp.FINAL
    assert (final["units"], final["penalty"], final["cycles"]) == (200, 3.5447e-5, 3)
    assert final["batches"] == [200, 100, 50, 10]


def test_initial_weights_have_the_original_s_variances_and_biases_are_zero(study):
    params = study.network(100, seed=0).params
    assert params["0.w"].std() == pytest.approx(3072**-0.5, rel=0.02)
    assert params["2.w"].std() == pytest.approx(100**-0.5, rel=0.05)
    assert not params["0.b"].any() and not params["2.b"].any()


def test_it_takes_no_number_of_epochs(tmp_path):
    with pytest.raises(RangeError, match="cyclical-mlp takes no number of epochs"):
        run_quickly("cyclical-mlp", tmp_path / "out", epochs=3)


# The parts


def test_gradients_differ_by_less_than_the_original_s(quick):
    found = quick[0]["gradient_check"]
    assert 0 < found["largest"] <= 1e-11
    assert {name: found["rows"][0][name]["entries"] for name in cyclical_mlp.PARAMETERS} == {
        "W1": 1000, "b1": 50, "W2": 500, "b2": 10
    }  # fmt: skip


def test_a_gradient_that_is_too_far_off_is_said(study, monkeypatch):
    spoil_gradients(monkeypatch, lambda gradients: gradients | {"2.w": gradients["2.w"] + 3e-10})
    assert "is 3.00e-10, 30.0 times the original's" in unwrapped(study.gradient_check().text())


def test_a_hundred_images_are_learnt_by_heart(quick):
    found = quick[0]["by_heart"]
    assert found["accuracy"] >= 0.8
    assert (found["records"][-1]["update"], found["records"][-1]["lr"]) == (200, 0.001)


def test_the_rate_goes_up_and_down(study):
    found = study.fit(study.sets, 5, 0.01, 100, cycles=2, step=10, seed=0)
    rates = {record["update"]: record["lr"] for record in found["records"]}  # of the update made last
    assert rates == pytest.approx({5: 0.040006, 10: 0.090001, 15: 0.060004, 20: 0.010009} | {
        25: 0.040006, 30: 0.090001, 35: 0.060004, 40: 0.010009
    })  # fmt: skip


def test_the_three_ways_record_what_they_say(study):
    train = study.sets[0]
    every, mean, running = (study.fit(study.sets, 5, 0.01, 100, 1, 10, 0, way) for way in cyclical_mlp.WAYS)
    net = study.network(5, seed=0)
    loss = fc.SoftmaxCrossEntropy(l2=0.01)
    trainer = fc.Trainer(net, loss, fc.SGD(fc.schedules.Cyclical(1e-5, 1e-1, 10)), 100, threads=1, seed=0)
    mixture = None
    for update in range(1, 21):
        (batch,) = trainer.fit(*train, updates=1, progress=False).batch_losses[-1:]
        mixture = batch if mixture is None else 0.99 * mixture + 0.01 * batch
        if update % 5 == 0:
            record = update // 5 - 1
            recent = trainer.history.batch_losses[-5:]
            assert (every["records"][record]["train_loss"], every["records"][record]["train_accuracy"]) == net.evaluate(
                *train, loss
            )
            assert mean["records"][record]["train_loss"] == pytest.approx(np.mean(recent))
            assert running["records"][record]["train_loss"] == pytest.approx(mixture)
    assert every["test_cost"] == mean["test_cost"] == running["test_cost"] == net.evaluate(*study.sets[2], loss)[0]


def test_every_row_has_its_accuracy_and_its_time(quick):
    results, printed, _ = quick
    assert len(results["rows"]) == 7
    original = zip(("45.40%", "46.12%", "45.26%", "45.99%", "46.41%", "46.36%", "47.63%"),
                   (159, 83, 85, 479, 254, 255, 287), strict=True)  # fmt: skip
    for row, (accuracy, seconds) in zip(results["rows"], original, strict=True):
        label = re.escape(cyclical_mlp.label(row))
        assert re.search(rf"test accuracy, {label} +{accuracy} +{row['test_accuracy']:.2%}", printed)
        assert re.search(rf"seconds, {label} +{seconds} +{row['seconds']:.2f}", printed)
    assert "with the same seed it is the same" in unwrapped(printed)


def test_the_searches_draw_lambda_from_their_ranges(quick):
    for name, (low, high) in {"coarse": (1e-5, 1e-1), "fine": (1e-5, 1e-4)}.items():
        results = quick[0]["searches"][name]["results"]
        scores = [result["score"] for result in results]
        assert len(results) == 3 and scores == sorted(scores, reverse=True)
        assert all(low <= result["settings"]["penalty"] <= high for result in results)


def test_the_final_network_has_a_row_for_each_batch_size(quick):
    rows = quick[0]["final"]
    assert [row["batch"] for row in rows] == [200, 100, 50, 10]
    assert {row["records"][-1]["update"] for row in rows} == {48}


def test_a_training_that_diverges_is_told_and_the_study_goes_on(study, monkeypatch):
    train = fc.Trainer.fit

    def diverges(self, *args, **kwargs):
        train(self, *args, **kwargs)
        if self.batch_size == 10:
            self.net.parameters[:] = np.nan
            raise NonFiniteLossError("fit: the loss is nan at update 49")

    monkeypatch.setattr(fc.Trainer, "fit", diverges)
    section = study.final()
    last = study.results["final"][-1]
    assert (last["batch"], last["error"], last["test_cost"]) == (10, "fit: the loss is nan at update 49", None)
    assert "it ended early (fit: the loss is nan at update 49)" in unwrapped(section.text())
    assert as_json(study.results)["final"][-1]["test_cost"] is None


# The run


def test_results_json_holds_the_results(quick):
    results, _, folder = quick
    assert results["complete"]
    assert stored(folder) == as_json(results)


def test_the_report_stands_alone_and_is_light(quick):
    check_report(quick[2], PICTURES)


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads(quick, tmp_path):
    again, _, _ = run_quickly("cyclical-mlp", tmp_path / "two", threads=2)
    assert untimed(again) == untimed(quick[0])


@pytest.mark.parametrize(
    ("part", "fits", "rows", "searched"),
    [("three ways to record the cost", 3, 3, []), ("search for lambda", 9, 7, [2])],
)
def test_on_ctrl_c_what_is_done_is_written(tmp_path, monkeypatch, part, fits, rows, searched):
    interrupt(monkeypatch, CyclicalMLP, "fit", fits)
    results, _ = run_interrupted("cyclical-mlp", tmp_path / "out")
    assert (results["interrupted_in"], len(results.get("rows", ()))) == (part, rows)
    assert [len(known["results"]) for known in results.get("searches", {}).values()] == searched
