"""The surname study: its settings are the original's, its figures are measured, its report stands alone."""

import builtins
import os
import re
import subprocess
import sys

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
from fastconv import files
from fastconv.errors import DataError, RangeError
from fastconv.gradient_check import check_gradients, relative_error
from fastconv.reproduce import report, surnames
from fastconv.reproduce.base import Options
from fastconv.reproduce.report import Picture, Section, Table

PICTURES = (
    "gradient-errors", "losses", "confusion-plain", "confusion-weighted", "confusion-undersampled", "confusion-best",
    "accuracy-by-class", "timing", "extras",
)  # fmt: skip
TIMING = {
    "settings": {"updates": 10},
    "machine": {},
    "missing": {"JAX": "not installed"},
    "rows": [
        {"name": "naive kron", "threads": 1, "seconds": 7.0, "scaled_from": 3, "ratio_to_naive": 1.0,
         "ratio_to_best_peer": 0.01, "loss": 3.1},
        {"name": "fastconv", "threads": 1, "seconds": 0.002, "scaled_from": None, "ratio_to_naive": 3500.0,
         "ratio_to_best_peer": 5.0, "loss": 2.9},
    ],
}  # fmt: skip


@pytest.fixture
def timing(monkeypatch, undrawn):
    """A timing and figures that take no time; returns the calls for the timing."""
    calls = []

    def stand_in(updates, batch_size, codes, labels, quick, echo):
        calls.append({"updates": updates, "codes": codes, "labels": labels, "quick": quick})
        return TIMING

    monkeypatch.setattr(surnames, "time_updates", stand_in)
    return calls


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surnames, "time_updates", lambda *args, **kwargs: TIMING)
        return run_quickly("surnames", tmp_path_factory.mktemp("quick") / "report")


# The gradient check


def kinked(weight):
    """A network whose only ReLU switches at a weight of 0."""
    net = fc.Sequential([fc.Dense(1, bias=False), fc.ReLU(), fc.Dense(2)], input=fc.VectorInput(1), dtype="float64")
    net.params["0.w"][...] = weight
    return net


def test_an_entry_whose_step_crosses_a_kink_is_repeated_and_counted():
    found = check_gradients(kinked(2e-6), [[1.0]], [0])
    assert (found["0.w"].entries, found["0.w"].repeated, found["0.w"].unresolved) == (1, 1, 0)
    assert found["0.w"].plain_error > 0.1
    assert found["0.w"].error < 1e-8
    assert [found[name].repeated for name in ("2.w", "2.b")] == [0, 0]


def test_a_kink_nearer_than_the_smallest_step_is_reported_and_not_hidden():
    found = check_gradients(kinked(2e-9), [[1.0]], [0])["0.w"]
    assert (found.repeated, found.unresolved) == (1, 1)
    assert found.error > 0.1


def test_away_from_kinks_nothing_is_repeated_and_both_errors_agree():
    found = check_gradients(kinked(0.3), [[1.0]], [0])
    assert all(part.repeated == 0 and part.error == part.plain_error for part in found.values())
    assert fc.gradcheck(kinked(0.3), [[1.0]], [0]) == {name: part.error for name, part in found.items()}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_numerical_gradients_agree_with_differences_of_the_library_s_own_loss(smoothing, rng):
    net = fc.Sequential([fc.Dense(3)], input=fc.VectorInput(4), dtype="float64")
    x, y, weights = rng.normal(size=(7, 4)), rng.integers(0, 3, 7), rng.uniform(0.5, 2, 7)
    loss = fc.SoftmaxCrossEntropy(class_weight=[1.0, 2.0, 0.5], label_smoothing=smoothing)
    numerical = np.empty(net.parameters.size)
    for i in range(len(numerical)):
        sides = []
        for step in (1e-5, -1e-5):
            moved = net.astype("float64")
            moved.parameters[i] += step
            sides.append(moved.evaluate(x, y, loss, weights)[0])
        numerical[i] = (sides[0] - sides[1]) / 2e-5
    _, gradients = net.loss_and_gradients(x, y, loss, weights)
    coarse = {name: relative_error(gradients[name], part) for name, part in net.views(numerical).items()}
    fine = fc.gradcheck(net, x, y, loss, sample_weight=weights)
    assert all(value < 1e-8 for value in coarse.values())
    assert all(value < 1e-9 for value in fine.values())


def test_a_wrong_gradient_is_found(monkeypatch):
    spoil_gradients(monkeypatch, lambda gradients: gradients | {"2.w": 1.001 * gradients["2.w"]})
    errors = fc.gradcheck(kinked(0.3), [[1.0]], [0])
    assert errors["2.w"] > 1e-4
    assert errors["0.w"] < 1e-8


def test_the_network_is_left_as_it_was():
    net = kinked(2e-6)
    before = net.parameters.copy()
    fc.gradcheck(net, [[1.0]], [0])
    np.testing.assert_array_equal(net.parameters, before)


def test_a_network_for_names_meets_the_goal_on_a_batch_that_crosses_kinks():
    names = fc.datasets.load_surnames()
    alphabet = fc.Alphabet.from_strings(names.data)
    codes = alphabet.encode(names.data)
    net = fc.models.surname_convnet(len(alphabet), codes.shape[1], 18, (2, 2), (5, 5), dtype="float64")
    surnames.initialise(net, 3)
    rows = np.random.default_rng(3).choice(names.train, 250, replace=False)
    found = check_gradients(net, codes[rows], names.target[rows])
    assert max(part.error for part in found.values()) <= surnames.GOAL
    assert sum(part.repeated for part in found.values()) > 0
    assert max(part.plain_error for part in found.values()) > surnames.GOAL


# Settings


def test_initial_weights_have_the_original_s_deviations_and_depend_on_seed_and_layer():
    nets = [fc.models.surname_convnet(28, 19, 18, (30, 30), (5, 5)) for _ in range(3)]
    for net, seed in zip(nets, (4, 4, 5), strict=True):
        surnames.initialise(net, seed)
    expected = {"0.w": 2 / (28 * 19), "2.w": 2 / (30 * 15), "5.w": 2 / (30 * 11)}
    for name, variance in expected.items():
        assert nets[0].params[name].std() == pytest.approx(variance**0.5, rel=0.05)
    np.testing.assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert not np.any(nets[0].parameters == nets[2].parameters)
    assert nets[0].params["2.w"][0, 0, 0] / nets[0].params["0.w"][0, 0, 0] != pytest.approx((532 / 450) ** 0.5)


def test_a_full_run_has_the_original_s_settings():
    study = surnames.Surnames(None, Options(seed=3))
    assert study.updates == {"balance": 20 * 1042, "best": 30_218, "timing": 100}
    assert study.batches == (2, 18, 118, 1062)
    assert study.seeds == [3, 4, 5, 6, 7]
    assert (surnames.BATCH, surnames.RATE, surnames.MOMENTUM) == (19, 0.001, 0.9)
    assert surnames.EXTRAS["best network"] == {} and surnames.EXTRAS["128 filters"] == {"filters": (128, 128)}
    assert (surnames.BALANCE_NET, surnames.BEST_NET) == (
        {"filters": (20, 20), "widths": (5, 3)},
        {"filters": (30, 30), "widths": (5, 5)},
    )


def test_the_original_s_accuracies_by_language_are_not_of_fourteen_names_each():
    values = np.array(surnames.ORIGINAL["best"]["by_class"])
    distance = np.abs(values[:, None] - 100 * np.arange(15) / 14).min(axis=1)
    assert len(values) == 18
    assert np.mean(distance > 0.02) > 0.5
    assert round(values.mean(), 2) == 49.97


# The run


def test_a_quick_run_finishes_every_part(quick):
    results, _, _ = quick
    assert results["complete"] and results["study"] == "surnames"
    assert [row["batch"] for row in results["gradient_check"]["rows"]] == [2, 18]
    assert results["gradient_check"]["largest_error"] <= 1e-6
    assert list(results["balance"]) == ["plain", "weighted", "undersampled"]
    assert [entry["seed"] for entry in results["best"]["seeds"]] == [0]
    assert list(results["guesses"]) == list(surnames.NAMES)
    assert results["timing"]["rows"] == TIMING["rows"]
    assert list(results["extras"]) == list(surnames.EXTRAS)


def test_what_is_added_is_compared_with_the_same_best_network(quick):
    results, _, _ = quick
    best, *others = results["extras"].values()
    assert best["validation_accuracy"] == [entry["validation_accuracy"] for entry in results["best"]["seeds"]]
    assert best["mean"] == results["best"]["median_accuracy"]  # of one seed
    assert len({network["weights"] for network in (best, *others)}) == len(surnames.EXTRAS)
    assert all(network["seconds"][0] > 0 for network in others)


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([(0.5, 0.6), (0.6, 0.7), (0.4, 0.5)],
         "highest with up, 65.00%, and lowest with down, 45.00%; the best network has 55.00%. Better than it with "
         "every seed: up; worse with every seed: down. A network's seeds differ by up to 10.0 points; one validation "
         "name is 0.3 points."),
        ([(0.5, 0.6), (0.6, 0.5), (0.5, 0.7)],
         "highest with down, 60.00%, and lowest with up, 55.00%; the best network has 55.00%. Better than it with "
         "every seed: none; worse with every seed: none. A network's seeds differ by up to 20.0 points"),
    ],
)  # fmt: skip
def test_the_sentence_on_what_is_added_follows_from_the_accuracies(accuracies, words):
    study = surnames.Surnames(None, Options())
    networks = {
        label: {"weights": 9, "validation_accuracy": both, "train_accuracy": both, "seconds": [1.0, 3.0],
                "mean": sum(both) / 2}
        for label, both in zip(("best network", "up", "down"), accuracies, strict=True)
    }  # fmt: skip
    *_, table, picture = study.extras_section(networks).parts
    assert words in picture.sentence
    assert table.rows[0][2] == "51.19%" and table.rows[1][0] == "with up"
    assert table.rows[1][-2:] == ("2.00", f"{30_218 * 19 / 2:,.0f}")


def test_accuracies_are_those_of_the_confusion_matrices(quick):
    results, _, _ = quick
    for run in (*results["balance"].values(), *results["best"]["seeds"]):
        matrix = np.array(run["confusion"])
        assert matrix.sum(axis=1).tolist() == [20] * 18
        assert run["validation_accuracy"] == np.trace(matrix) / 360
        assert run["validation_accuracy"] == pytest.approx(run["records"][-1]["validation_accuracy"])
        assert run["updates"] == 60


def test_results_json_holds_the_results(quick):
    results, _, folder = quick
    assert stored(folder) == as_json(results)
    assert {"machine", "settings", "original", "data", "seconds"} <= set(results)


def test_the_report_stands_alone_and_is_light(quick):
    check_report(quick[2], PICTURES)


def test_on_the_bundled_names_it_says_whose_the_original_s_figures_are(quick):
    _, printed, folder = quick
    words = "The original's figures belong to the course's files (20,050 names), not to these names"
    assert words in unwrapped(printed)
    assert words.replace("'", "&#x27;") in (folder / "report.html").read_text()


def test_the_printed_tables_show_original_and_found(quick):
    results, printed, _ = quick
    best = f"{results['best']['median_accuracy']:.2%}"
    assert re.search(rf"accuracy, best network +51\.19% +{re.escape(best)}", printed)
    assert re.search(r"2\.54e-11 +5\.90e-10 +6\.61e-09 +\d\.\d\de-", printed)
    assert "JAX: not installed" in printed


def test_it_is_said_how_far_the_accuracies_are_from_the_original_s(quick):
    results, printed, _ = quick
    text = unwrapped(printed)
    by = 100 * (0.5119 - results["best"]["median_accuracy"])
    assert by > 0 and f"The one seed is {by:.2f} points below the original." in text
    for run in results["balance"].values():
        fall = 100 * (run["train_accuracy"] - run["validation_accuracy"])
        assert f"{fall:.1f} points ({run['label']})" in text


def test_the_timing_gets_the_names_that_were_read(tmp_path, timing):
    run_quickly("surnames", tmp_path)
    (call,) = timing
    assert call["quick"] is True
    assert len(call["codes"]) == len(call["labels"]) == len(fc.datasets.load_surnames().data)


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads(tmp_path, timing, quick):
    again, _, _ = run_quickly("surnames", tmp_path, threads=2)
    assert untimed(again) == untimed(quick[0])


def test_the_median_seed_is_shown_not_the_best(tmp_path, timing, monkeypatch):
    accuracies = iter([0.50, 0.56, 0.52, 0.58, 0.51])
    fit = surnames.Surnames.fit

    def known(self, net, part, seed, loss, trainer):
        found = fit(self, net, part, seed, loss, trainer)
        return {**found, "validation_accuracy": next(accuracies)} if part == "best" else found

    monkeypatch.setattr(surnames.Surnames, "fit", known)
    study = make(surnames.Surnames)
    study.seeds = [0, 1, 2, 3, 4]
    study.best()
    assert study.results["best"]["shown_seed"] == 2
    assert study.results["best"]["median_accuracy"] == 0.52
    assert [entry["validation_accuracy"] for entry in study.results["best"]["seeds"]] == [0.50, 0.56, 0.52, 0.58, 0.51]


def test_course_files_are_read_from_a_folder(tmp_path, timing):
    data = tmp_path / "data"
    data.mkdir()
    (data / "category_labels.txt").write_text("1 Left\n2 Middle\n3 Right\n")
    lines = [f"{name}{'abc'[i] * 3} {1 + i}\n" for name in (*surnames.NAMES, "smith") for i in range(3)]
    (data / "ascii_names.txt").write_text("".join(lines))
    (data / "Validation_Inds.txt").write_text("1 2 3 4\n")
    results, _, _ = run_quickly("surnames", tmp_path / "out", data=data)
    assert results["complete"]
    assert (results["data"]["names"], results["data"]["validation"]) == (21, 4)
    assert results["data"]["source"] == "a folder"


# What goes wrong


@pytest.fixture
def nothing_computed(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    for _, part in surnames.Surnames.PARTS:
        monkeypatch.setattr(surnames.Surnames, part, refuse)


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"study": "surnames"}'])
def test_a_folder_with_a_report_or_something_else_is_refused_before_anything_is_computed(
    tmp_path, nothing_computed, content
):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(DataError, match="not empty"):
        run_quickly("surnames", tmp_path)
    assert os.listdir(tmp_path) == ["results.json"]
    assert (tmp_path / "results.json").read_text() == content


def test_a_file_in_the_folder_s_place_is_refused(tmp_path, nothing_computed):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(DataError, match="expected a folder"):
        run_quickly("surnames", tmp_path / "report")


def test_missing_data_and_bad_threads_are_told_before_anything_is_computed(tmp_path, nothing_computed):
    with pytest.raises(DataError, match="ascii_names"):
        run_quickly("surnames", tmp_path / "out", data=tmp_path)
    (tmp_path / "category_labels.txt").write_text("1 Left\n2 Right\n")
    (tmp_path / "ascii_names.txt").write_text("ann 1\nbob 2\n")
    (tmp_path / "Validation_Inds.txt").write_text("2\n")
    with pytest.raises(DataError, match="three languages"):
        run_quickly("surnames", tmp_path / "out", data=tmp_path)
    with pytest.raises(RangeError, match="threads"):
        run_quickly("surnames", tmp_path / "out", threads=0)
    assert not (tmp_path / "out").exists()


def test_force_writes_beside_other_files_and_an_earlier_report_is_replaced(tmp_path, timing):
    (tmp_path / "mine.txt").write_text("mine")
    first, second = (run_quickly("surnames", tmp_path, seed=seed, force=True)[0] for seed in (0, 1))
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (first["settings"]["seed"], second["settings"]["seed"]) == (0, 1)
    assert stored(tmp_path)["settings"]["seed"] == 1


@pytest.mark.parametrize(
    ("fits", "finished"), [(0, []), (2, ["plain", "weighted"]), (3, ["plain", "weighted", "undersampled"])]
)
def test_on_ctrl_c_what_is_done_so_far_is_written_and_said(tmp_path, timing, monkeypatch, fits, finished):
    interrupt(monkeypatch, fc.Trainer, "fit", fits)
    results, _ = run_interrupted("surnames", tmp_path)
    assert list(results["balance"]) == finished
    assert results["gradient_check"]["largest_error"] <= 1e-6
    assert "extras" not in results
    assert not timing


def test_a_timing_that_fails_does_not_lose_the_rest(tmp_path, timing, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("bench: no worker")

    monkeypatch.setattr(surnames, "time_updates", fail)
    results, _, _ = run_quickly("surnames", tmp_path)
    assert results["complete"]
    assert results["timing"] == {"unavailable": "bench: no worker"}


def test_without_matplotlib_the_report_has_no_figures_and_says_so(tmp_path, timing, monkeypatch):
    run_quickly("surnames", tmp_path)
    assert (tmp_path / "losses.png").exists()
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "fastconv.plots", raising=False)
    monkeypatch.delattr(fc, "plots", raising=False)
    _, printed, _ = run_quickly("surnames", tmp_path, force=True)
    assert sorted(os.listdir(tmp_path)) == ["report.html", "results.json"]
    assert "pip install fastconv[plot]" in printed
    assert not Page(tmp_path).images


# The report's pieces


def test_a_text_table_is_aligned():
    text = Table("T", ("name", "n"), [("a", "1"), ("long name", "1,000")]).text()
    assert text.splitlines() == ["T", "name           n", "----------------", "a              1", "long name  1,000"]


def test_html_is_escaped():
    page = report.page("<t>", [Section("<s>", ["<p>", Table("<c>", ("<h>",), [("<r>",)])])], {})
    assert not re.search(r"<[tsc]>|<p><p>|<h>|<r>", page)
    assert page.count("&lt;") == 7  # the title stands twice


def test_a_picture_without_an_image_is_its_sentence():
    section = Section("S", [Picture("p", "Seen.", None)])
    assert "<p>Seen.</p>" in section.html({})
    assert "<img" in section.html({"p": b"png"}) and "<figcaption>Seen." in section.html({"p": b"png"})


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, "old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        files.write_atomically(tmp_path / "no" / "file", "new")
    assert caught.value.filename == str(tmp_path / "no" / "file")


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")
def test_files_have_the_usual_permissions(tmp_path):
    code = "import os, sys; from fastconv.files import write_atomically as write; os.umask(0o022); "
    code += "write(sys.argv[1], 'x')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
