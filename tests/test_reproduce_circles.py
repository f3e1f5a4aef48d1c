"""The study of circles and digits: the original's settings, the figures of results.json, and what goes wrong."""

import gzip

import numpy as np
import pytest
from reproduce_tools import (
    Page,
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
from fastconv.errors import RangeError
from fastconv.reproduce import circles
from fastconv.reproduce.base import Options
from fastconv.reproduce.circles import Circles

pytestmark = pytest.mark.usefixtures("undrawn")  # but for the module's quick run

PICTURES = {
    "regions-svm", "loss", "regions-network", "learning-rates", "batch-sizes", "digits-accuracy", "digits",
}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    return run_quickly("circles", tmp_path_factory.mktemp("quick") / "report")


# Settings


def test_a_full_run_has_the_original_s_settings():
    study = Circles(None, Options(seed=3))
    settings = study.results["settings"]
    assert (settings["iterations"], settings["learning_rate"], settings["batch_size"]) == (150, 0.03, 10)
    assert settings["learning_rates"] == (0.001, 0.03, 0.1, 0.3, 0.5)
    assert study.shown == (1, 19, 150)
    assert study.seeds == list(range(3, 103))
    for train, test in study.points.values():
        assert len(train[0]) == len(test[0]) == 200
        assert train[1].mean() == test[1].mean() == 0.5


def test_the_original_s_figures():
    assert circles.ORIGINAL["svm"] == {"linear": 0.53, "rbf": 0.94}
    assert circles.ORIGINAL["network"] == {"train": 0.965, "test": 0.935, "best_test": 0.945, "best_iteration": 18}


def test_points_are_drawn_anew_with_every_seed():
    study = make(Circles)
    (first, _), (second, _) = study.points.values()
    assert not np.any(first[0] == second[0])


def test_the_points_are_as_hard_for_support_vector_machines_as_the_original_s():
    study = Circles(None, Options(seed=circles.CALIBRATION["seeds"][0], echo=lambda line: None))
    study.seeds = list(range(*circles.CALIBRATION["seeds"]))
    study.points = {seed: circles.circles(seed) for seed in study.seeds}
    study.machines()
    for kernel, share in circles.ORIGINAL["svm"].items():
        found = np.mean(study.results["svm"][kernel])
        assert round(found, 3) == circles.CALIBRATION[kernel]
        assert found == pytest.approx(share, abs=0.01)


def test_the_network_is_also_compared_with_the_radial_kernel_on_the_same_points(quick):
    results = quick[0]
    gaps = 100 * np.subtract(results["network"][circles.SUMMED_PASSES]["test"], results["svm"]["rbf"])
    (row,) = [row for row in results["comparison"] if "less RBF" in row[0]]
    assert row[1] == "-0.5" and row[2].startswith(f"{np.mean(gaps):+.1f} ±")


def test_150_passes_with_summed_gradients_reach_the_original_s_test_accuracy():
    study = Circles(None, Options(progress=False))
    run = circles.summary([study.fit(seed) for seed in study.seeds[:4]], study.compared)
    assert np.mean(run["test"]) > 0.92
    assert np.mean(run["best_test"]) > 0.935


@pytest.mark.parametrize(("passes", "updates"), [(True, 60), (False, 3)])
def test_an_iteration_is_a_pass_or_an_update_and_each_is_recorded(passes, updates):
    study = make(Circles)
    history = study.fit(0, passes=passes)
    assert (len(history), history.records[-1]["update"]) == (3, updates)


def test_summed_gradients_are_the_mean_s_at_a_rate_that_is_larger_by_the_batch_size():
    study = make(Circles)
    summed, averaged = study.fit(0, rate=0.01, batch=5), study.fit(0, rate=0.05, batch=5, summed=False)
    assert summed.batch_losses == averaged.batch_losses
    assert summed.records[0]["lr"] == pytest.approx(0.05)


# The equations


def test_gradients_by_hand_agree_with_differences_of_the_loss(rng):
    net = circles.network(3, 4, 5, seed=1, dtype="float64")
    x, y = rng.normal(size=(6, 3)), rng.integers(0, 5, 6)
    by_hand = circles.gradients_by_hand(net.params, x, y)
    assert by_hand.keys() == net.params.keys()
    for name, array in net.params.items():
        place = tuple(n // 2 for n in array.shape)
        sides = []
        for step in (1e-5, -1e-5):
            moved = net.astype("float64")
            moved.params[name][place] += step
            sides.append(moved.evaluate(x, y)[0])
        assert by_hand[name][place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_a_wrong_gradient_is_told(monkeypatch):
    spoil_gradients(monkeypatch, lambda gradients: gradients | {"0.w": 1.01 * gradients["0.w"]})
    study = make(Circles)
    words = study.gradient_check().text()
    found = study.results["gradient_check"]
    assert not found["goal_met"] and found["numerical"] > 1e-5 and found["by_hand"] > 1e-5
    assert "beyond the goal" in words


# The run


def test_a_quick_run_finishes_every_part(quick):
    results, _, _ = quick
    assert results["complete"] and results["study"] == "circles"
    assert results["gradient_check"]["goal_met"] and results["gradient_check"]["by_hand"] < 1e-12
    assert list(results["network"]) == list(circles.READINGS)
    assert list(results["sweep"]["learning_rates"]) == ["0.001", "0.03", "0.1", "0.3", "0.5"]
    assert list(results["sweep"]["batch_sizes"]) == [str(size) for size in circles.BATCHES]
    assert [net["units"] for net in results["digits"]["networks"]] == [10, 100]


def test_the_original_s_rate_and_batch_size_give_the_same_run_in_every_part(quick):
    results, _, _ = quick
    runs = [
        results["network"][circles.SUMMED_PASSES], results["sweep"]["learning_rates"]["0.03"],
        results["sweep"]["batch_sizes"]["10"],
    ]  # fmt: skip
    assert all(run["test_curve"] == runs[0]["test_curve"] and run["train"] == runs[0]["train"] for run in runs)


def test_the_figures_in_the_tables_are_those_in_results_json(quick):
    results, page = stored(quick[2]), Page(quick[2])
    assert results == as_json(quick[0])
    run = results["network"][circles.SUMMED_PASSES]
    assert ["test accuracy, RBF SVC", "94%", circles.spread(results["svm"]["rbf"])] in page.rows
    assert ["training accuracy, network", "96.5%", circles.spread(run["train"])] in page.rows
    assert ["test accuracy, network", "93.5%", circles.spread(run["test"])] in page.rows
    rate = results["sweep"]["learning_rates"]["0.1"]
    (row,) = [row for row in page.rows if row[0] == "0.1"]
    assert row[1:5] == ["-", *(circles.spread(rate[name]) for name in ("train", "test", "best_test"))]
    for net in results["digits"]["networks"]:
        assert f"{net['test']:.2%}" in next(row for row in page.rows if row[0] == f"{net['units']} units")


def test_best_figures_are_those_of_the_curves(quick):
    for run in quick[0]["network"].values():
        assert np.mean(run["test"]) == pytest.approx(run["test_curve"][-1])
        assert np.mean(run["at_compared"]) == pytest.approx(run["test_curve"][2])
        assert np.mean(run["best_test"]) >= max(run["test_curve"])
        assert all(1 <= i <= 3 for i in run["best_iteration"])


def test_the_report_stands_alone_and_is_light(quick):
    check_report(quick[2], PICTURES)


def test_it_says_whose_the_original_s_figures_are_and_what_stands_in_for_mnist(quick):
    printed = unwrapped(quick[1])
    assert "The original's points are not at hand; these are drawn anew, 2 times." in printed
    assert "scikit-learn's digits in the place of MNIST, 1,438 images to train and 359 to test" in printed
    assert "This is a quick run" in printed


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads(quick, tmp_path):
    again, _, _ = run_quickly("circles", tmp_path / "two", threads=2)
    assert untimed(again) == untimed(quick[0])
    assert run_quickly("circles", tmp_path / "other", seed=5)[0]["svm"] != again["svm"]


def test_mnist_is_read_from_a_folder_and_its_test_images_are_the_test(tmp_path, rng):
    data = tmp_path / "mnist"
    data.mkdir()
    for name, n in (("train", 60), ("t10k", 50)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images_head = np.array([0x803, n, 28, 28], ">u4").tobytes()
        (data / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images_head + images.tobytes()))
        labels_head = np.array([0x801, n], ">u4").tobytes()
        (data / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels_head + labels.tobytes()))
    results, printed, _ = run_quickly("circles", tmp_path / "report", data=tmp_path)
    assert (results["digits"]["data"], results["digits"]["train"], results["digits"]["test"]) == ("MNIST", 60, 50)
    assert "5. The same network on MNIST" in printed
    assert len(results["digits"]["sheet"]) == circles.SHEET


# Sentences


def test_an_accuracy_reaches_the_original_s_at_the_precision_that_is_shown():
    assert circles.against(0.935, [0.9346, 0.9348]) == "93.5% reaches the original's 93.5%"
    assert "93.4% is 0.1 points below" in circles.against(0.935, [0.9342, 0.9344])
    assert "more than the deviation" in circles.against(0.935, [0.90, 0.901])


def test_sentences_follow_the_numbers():
    study = make(Circles)
    study.network()
    found = study.results["network"]
    run = found[circles.SUMMED_PASSES]
    text = unwrapped(study.network_section(found, {}).text())
    assert f"{100 * np.mean(run['train']):.1f}% is" in text and "below the original's 96.5%" in text
    updates = found["updates with averaged gradients"]
    updates |= {"train": [0.96, 0.97], "test": [0.93, 0.94], "at_compared": [0.94, 0.95], "best_test": [0.94, 0.95]}
    text = unwrapped(study.network_section(found, {}).text())
    assert "come updates with averaged gradients (0.0 points from it)" in text


def test_errors_on_the_sheet_are_marked(quick, monkeypatch):
    from fastconv import plots

    study = make(Circles)
    found = quick[0]["digits"]
    shown = study.images.validation[: circles.SHEET]
    calls = []
    monkeypatch.setattr(plots, "image_grid", lambda *args, **kwargs: calls.append(args))
    sheet = study.digit_section(found, shown).pictures()[-1]
    sheet.draw(plots)
    ((images, titles, wrong),) = [(args[0], args[1], args[2]) for args in calls]
    true = study.images.target[shown]
    assert len(images) == len(titles) == circles.SHEET
    assert list(wrong) == np.flatnonzero(np.array(found["sheet"]) != true).tolist()
    for i, (title, guess, label) in enumerate(zip(titles, found["sheet"], true, strict=True)):
        assert title == (f"{guess}, is {label}" if i in wrong else str(label))
    assert f"{len(wrong)} of them wrong" in sheet.sentence


# What goes wrong


def test_a_number_of_epochs_is_refused(tmp_path):
    with pytest.raises(RangeError, match="circles takes no number of epochs"):
        run_quickly("circles", tmp_path / "report", epochs=3)


@pytest.mark.parametrize(("fits", "readings", "rates"), [(0, 0, 0), (2, 1, 0), (8, 4, 0), (11, 4, 1)])
def test_on_ctrl_c_what_is_done_so_far_is_written_and_said(tmp_path, monkeypatch, fits, readings, rates):
    interrupt(monkeypatch, fc.Trainer, "fit", fits)
    results, _ = run_interrupted("circles", tmp_path)
    assert len(results["svm"]["rbf"]) == 2
    assert len(results.get("network", {})) == readings
    assert len(results.get("sweep", {}).get("learning_rates", {})) == rates
