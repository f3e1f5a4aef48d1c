"""The study of the ConvNet on CIFAR-10: settings, figures that are measured, sentences that follow from them."""

import math
import re

import numpy as np
import pytest
from reproduce_tools import (
    as_json,
    check_report,
    make,
    run_interrupted,
    run_quickly,
    stored,
    untimed,
    unwrapped,
    write_cifar10,
)

import fastconv as fc
from fastconv.reproduce import cifar_convnet, report
from fastconv.reproduce.base import Options
from fastconv.reproduce.cifar_convnet import RUNS, CifarConvnet

PICTURES = {
    f"{part}-{measure}"
    for part in ("preprocessing", "augmentation", "optimisers", "regularisation")
    for measure in ("loss", "accuracy")
} | {"rates", "batch-sizes", "inputs"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    return run_quickly("cifar-convnet", tmp_path_factory.mktemp("quick") / "report")


def known(label, test_losses=(1.0,), train_accuracy=0.9, test_accuracy=0.5):
    """What a training is said to have found."""
    records = [
        {"epoch": 1.0 + i, "train_loss": 0.5, "train_accuracy": train_accuracy, "validation_loss": loss,
         "validation_accuracy": test_accuracy}
        for i, loss in enumerate(test_losses)
    ]  # fmt: skip
    return {
        "label": label, "updates": 4, "seconds": 2.0, "images_per_second": 160.0, "first_loss": 2.3,
        "train_accuracy": train_accuracy, "test_accuracy": test_accuracy, "test_loss": test_losses[-1],
        "lowest_test_loss": min(test_losses), "lowest_after": 1.0 + int(np.argmin(test_losses)), "records": records,
    }  # fmt: skip


def with_accuracies(accuracies):
    """A study whose trainings find the given test accuracies, by the runs' names."""
    study = make(CifarConvnet)
    study.fit = lambda run, epochs, **settings: known(
        run.label, test_accuracy=accuracies[next(name for name, each in RUNS.items() if each is run)]
    )
    study.train_runs("plain", "standardised", "augmented", "decaying", "adam")
    return study


# Settings


def test_a_full_run_s_settings():
    study = CifarConvnet(None, Options())
    assert (study.epochs, study.short) == (12, 3)
    assert (cifar_convnet.BATCH, cifar_convnet.RATE) == (128, 0.1)
    assert len(study.train) == 1438 and len(study.test) == 359
    assert not set(study.train) & set(study.test)


@pytest.mark.parametrize("quick", [False, True])
def test_epochs_scale_all_trainings(quick):
    study = CifarConvnet(None, Options(quick=quick, epochs=8))
    assert (study.epochs, study.short) == (8, 2)


def test_each_improvement_changes_one_thing_of_the_run_it_is_compared_with():
    for name, run in RUNS.items():
        if run.base:
            fields = "inputs", "augmented", "decaying", "optimizer", "network"
            changed = [field for field in fields if getattr(run, field) != getattr(RUNS[run.base], field)]
            assert len(changed) == 1, name
    order = ["plain", "standardised", "augmented", "decaying", "adam"]
    assert [RUNS[name].base for name in (*order[1:], "dropout", "batch-norm")] == [*order, "adam"]


def test_the_original_s_weights_are_filters_times_the_input_s_size_and_one():
    sizes = [(32, 32), (64, 16), (64, 8)]
    assert cifar_convnet.ORIGINAL["weights"] == [n * (side * side + 1) for n, side in sizes]


def test_test_images_are_transformed_by_what_the_training_images_gave():
    study = make(CifarConvnet)
    x, x_test = study.inputs("standardised")
    raw = study.images.data[study.train].astype(np.float64)
    mean, deviation = raw.mean(axis=(0, 1, 2)), raw.std(axis=(0, 1, 2))
    np.testing.assert_allclose(x, (raw - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(x_test, (study.images.data[study.test] - mean) / deviation, atol=1e-5)
    plain, _ = study.inputs("plain")
    assert plain.dtype == np.float32 and plain.max() == 1.0


def test_the_rate_decays_and_images_are_augmented_only_where_a_run_says_so(monkeypatch):
    seen = []

    class Seen(fc.Trainer):
        def fit(self, *args, **kwargs):
            seen.append((self.optimizer, self.augment, self.net))
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(cifar_convnet, "Trainer", Seen)
    study = make(CifarConvnet)
    study.train_runs("standardised", "momentum", "dropout", "batch-norm")
    (plain, _, _), (momentum, _, _), (adam, _, _), _ = seen
    assert [len(augment) for _, augment, _ in seen] == [0, 2, 2, 2]
    assert isinstance(adam, fc.Adam) and momentum.momentum == 0.9
    updates = 2 * math.ceil(160 / 128)
    assert [plain.rate(0), plain.rate(updates)] == [0.1, 0.1]
    assert [momentum.rate(0), momentum.rate(updates)] == pytest.approx([0.02, 0.001])
    kinds = [[type(layer).__name__ for layer in net.layers] for _, _, net in seen]
    assert ["Dropout" in kind for kind in kinds] == [False, False, True, False]
    assert ["BatchNorm" in kind for kind in kinds] == [False, False, False, True]


# The run


def test_a_quick_run_finishes_every_part(quick):
    results, _, _ = quick
    assert results["complete"] and results["study"] == "cifar-convnet"
    assert list(results["runs"]) == list(RUNS)
    assert [(run["rate"], run["batch_size"]) for run in results["rates"].values()] == [
        (0.001, 128), (0.01, 128), (0.1, 128), (1.0, 128), (0.1, 32), (0.1, 512),
    ]  # fmt: skip
    for run in results["runs"].values():
        assert [record["epoch"] for record in run["records"]] == [1, 2]
        assert run["updates"] == 4
        assert run["images_per_second"] == pytest.approx(2 * 160 / run["seconds"])


def test_the_table_of_layers_has_the_right_figures(quick):
    results, printed, _ = quick
    rows = [(row["output_shape"], row["parameters"]) for row in results["network"]["layers"] if row["parameters"]]
    assert rows == [
        ((32, 32, 32), 5 * 5 * 3 * 32 + 32),
        ((16, 16, 64), 5 * 5 * 32 * 64 + 64),
        ((8, 8, 64), 5 * 5 * 64 * 64 + 64),
        ((1000,), 1024 * 1000 + 1000),
        ((10,), 1000 * 10 + 10),
    ]
    assert re.search(r"Conv2D +16 x 16 x 64 +14 x 14 +16,448 +51,264", printed)
    assert "miscounts" in printed


def test_the_error_before_the_first_update_is_about_that_of_a_guess(quick):
    results, printed, _ = quick
    assert results["network"]["untrained_loss"] == pytest.approx(math.log(10), abs=0.1)
    assert f"{results['network']['untrained_loss']:.3f}" in printed
    for name in ("plain", "standardised", "zca"):
        assert results["runs"][name]["first_loss"] == pytest.approx(math.log(10), abs=0.1)


def test_the_printed_figures_are_those_of_the_results(quick):
    results, printed, folder = quick
    for run in results["runs"].values():
        words = re.escape(run["label"])
        assert re.search(
            rf"{words} .* {run['train_accuracy']:.1%} +{run['test_accuracy']:.1%} +{run['seconds']:.1f}", printed
        )
        assert (f"test accuracy, {run['label']}", "-", f"{run['test_accuracy']:.1%}") in results["comparison"]
    assert stored(folder) == as_json(results)


def test_the_report_stands_alone_and_is_light(quick):
    results, _, folder = quick
    assert set(results["figures"]) == PICTURES
    check_report(folder, PICTURES)


def test_on_the_digits_it_says_whose_the_original_s_figures_are(quick):
    results, printed, _ = quick
    assert results["data"]["name"] == "digits"
    assert "belong to CIFAR-10, and not" in unwrapped(printed)
    assert "figures mean nothing" in printed


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads(quick):
    study = make(CifarConvnet, threads=2)
    study.train_runs("dropout", "batch-norm")
    for name, found in study.results["runs"].items():
        assert as_json(untimed(found)) == as_json(untimed(quick[0]["runs"][name]))
    other = make(CifarConvnet, seed=1)
    other.train_runs("dropout")
    assert other.results["runs"]["dropout"]["first_loss"] != quick[0]["runs"]["dropout"]["first_loss"]


# What is seen follows from the figures


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((1.5, 1.0, 1.25), "lowest after epoch 2 of 2, -6 from the original's, and 0.25 nats higher at the end"),
        ((1.5, 1.0), "not overfit"),
    ],
)
def test_overfitting_is_the_rise_of_the_plain_network_s_test_loss(losses, words):
    study = make(CifarConvnet)
    study.shown = {"plain": np.zeros((5, 32, 32, 3)), "ZCA": np.zeros((5, 32, 32, 3))}
    study.fit = lambda run, epochs: known(run.label, losses)
    assert words in unwrapped(study.preprocessing().text())
    row = next(row for row in study.comparison() if row[0].startswith("plain"))
    assert row[1:] == ("about 8", "2 of 2")


def test_what_dropout_gives_is_said_and_what_it_lacks():
    accuracies = dict.fromkeys(RUNS, 0.5) | {"dropout-alone": 0.525, "dropout": 0.512, "batch-norm": 0.6}
    study = with_accuracies(accuracies)
    text = unwrapped(study.regularisation().text())
    assert "Dropout gives +2.5 points to the standardised run and +1.2 points (0.8 fewer than the original's)" in text
    assert "Best of all runs: with batch norm., at 60.0%, as in the original" in text
    rows = {row[0]: row[1:] for row in study.comparison()}
    assert rows["points by dropout, against standardised"] == ("2 to 3", "+2.5")
    assert rows["points by dropout, against Adam"] == ("2 to 3", "+1.2")


def test_it_says_how_far_batch_normalisation_is_behind():
    study = with_accuracies(dict.fromkeys(RUNS, 0.5) | {"adam": 0.62, "batch-norm": 0.6})
    text = unwrapped(study.regularisation().text())
    assert "Best of all runs: Adam, at 62.0%; batch normalisation is 2.0 behind" in text


def test_a_rate_at_which_training_diverges_is_said_and_the_others_are_run(monkeypatch):
    monkeypatch.setattr(cifar_convnet, "RATES", (0.1, 1e30))
    monkeypatch.setattr(cifar_convnet, "BATCHES", (128,))
    study = make(CifarConvnet)
    section = study.rates()
    assert list(study.results["rates"]) == ["rate 0.1", "rate 1e+30"]
    assert "diverged" in study.results["rates"]["rate 1e+30"] and "records" in study.results["rates"]["rate 0.1"]
    assert "diverged: rate 1e+30" in unwrapped(section.text())
    for picture in section.pictures():
        assert report.png(picture.draw(fc.plots)).startswith(b"\x89PNG")


# What goes wrong


def test_on_ctrl_c_the_runs_that_are_done_are_written_and_said(tmp_path, monkeypatch):
    def fit(self, run, *args, **settings):
        if run is RUNS["zca"]:
            raise KeyboardInterrupt
        return known(run.label)

    monkeypatch.setattr(CifarConvnet, "fit", fit)
    results, printed = run_interrupted("cifar-convnet", tmp_path)
    assert results["interrupted_in"] == "preprocessing"
    assert list(results["runs"]) == ["plain", "standardised"] and len(results["rates"]) == 6
    assert ["test accuracy, standardised", "-", "50.0%"] in results["comparison"]
    assert "Finished before: plain: test accuracy 50.0%" in unwrapped(printed)


def test_the_images_of_a_folder_are_learnt_from_all_five_training_batches(tmp_path):
    write_cifar10(tmp_path, 10)
    study = CifarConvnet(tmp_path, Options())
    assert study.train.tolist() == list(range(50)) and study.test.tolist() == list(range(50, 60))
    assert "were found on CIFAR-10" in study.introduction().text()
