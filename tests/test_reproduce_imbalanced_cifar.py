"""The study of rare classes: its settings are the original's, its figures are measured, its sentences follow them."""

import re

import numpy as np
import pytest
from reproduce_tools import as_json, check_report, interrupt, make, run_interrupted, run_quickly, stored, untimed

import fastconv as fc
from fastconv.imbalance import effective_number_weights
from fastconv.reproduce import data, imbalanced_cifar
from fastconv.reproduce.base import Options
from fastconv.reproduce.imbalanced_cifar import ORIGINAL, ImbalancedCifar

pytestmark = pytest.mark.usefixtures("undrawn")  # but for the module's quick run

COUNTS = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
"""Training images of the long-tailed CIFAR-10."""
LOSSES = ["cross-entropy", "focal, beta 0", "focal, beta 0.8", "focal, beta 0.9999"]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick run: its results, what it printed and its folder."""
    return run_quickly("imbalanced-cifar", tmp_path_factory.mktemp("quick") / "report")


@pytest.fixture
def study():
    """A quick study on the embedded images, of which nothing has been run."""
    return make(ImbalancedCifar)


# Settings


def test_a_full_run_has_the_original_s_settings_and_betas_nearer_to_1():
    study = ImbalancedCifar(None, Options(seed=3))
    assert study.epochs == 80
    assert study.betas == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.999, 0.9999)
    settings = study.results["settings"]
    assert (settings["batch_size"], settings["learning_rate"], settings["momentum"]) == (32, 0.01, 0.9)
    assert (settings["l2"], settings["factor"], settings["gamma"]) == (0.0005, 100, 1)
    assert ImbalancedCifar(None, Options(epochs=7)).epochs == 7


def test_the_rate_climbs_in_the_first_epoch_and_falls_twice(study, monkeypatch):
    made = []
    monkeypatch.setattr(imbalanced_cifar, "SGD", lambda rate, momentum: made.append(rate) or fc.SGD(rate, momentum))
    study.epochs = 10
    monkeypatch.setattr(fc.Trainer, "fit", lambda self, *args, **kwargs: self.history)
    study.fit((np.zeros((64, 32, 32, 3), np.float32), np.zeros(64, int)), None, 0)
    (rate,) = made
    rates = [rate(update) for update in range(20)]
    assert rates == pytest.approx([0.005, *[0.01] * 11, *[0.001] * 4, *[0.0001] * 4])


def test_what_is_learnt_is_long_tailed_and_never_tested(study):
    images = study.images
    learnt = np.bincount(images.target[np.concatenate([images.train, images.validation])])
    assert learnt.min() <= study.counts[0] <= learnt[0]
    assert study.counts[0] // 100 == study.counts[-1] == 1
    assert np.all(np.diff(study.counts) < 0)
    assert not np.intersect1d(images.test, np.concatenate([study.train, study.validation, study.tail])).size
    assert not np.intersect1d(study.train, study.validation).size


def test_images_are_standardised_by_those_that_are_learnt(study):
    (train, _), (test, labels) = data.standardised(study.images, (study.tail, study.images.test))
    assert train.mean() == pytest.approx(0, abs=1e-4) and train.std() == pytest.approx(1, abs=1e-3)
    assert abs(test.mean()) > 1e-3
    np.testing.assert_array_equal(labels, study.images.target[study.images.test])


def test_up_to_beta_0_9_the_weights_on_cifar_10_are_all_but_equal():
    weights = [effective_number_weights(COUNTS, beta) for beta in imbalanced_cifar.BETAS]
    ratios = np.array([w.max() / w.min() for w in weights])
    assert np.all(ratios[:10] <= imbalanced_cifar.ALIKE)
    assert ratios[10:] == pytest.approx([2.53, 20.4, 79], rel=0.02)


# The run


def test_a_quick_run_finishes_both_parts(quick):
    results, _, _ = quick
    assert results["complete"] and results["study"] == "imbalanced-cifar"
    assert len(results["balanced"]["records"]) == 2
    assert list(results["long_tailed"]) == LOSSES
    assert [run["seed"] for run in results["long_tailed"].values()] == [0, 1, 2, 3]
    ratios = [run["weight_ratio"] for run in results["long_tailed"].values()]
    assert ratios[:2] == [1, 1] and ratios[2] == pytest.approx(5) and ratios[3] == pytest.approx(141, rel=0.01)


def test_accuracies_are_shares_of_the_test_images(quick, study):
    results, _, _ = quick
    counts = np.bincount(study.images.target[study.images.test])
    for found in (results["balanced"], *results["long_tailed"].values()):
        right = np.array(found["by_class"]) * counts
        np.testing.assert_allclose(right, np.rint(right), atol=1e-9)
        assert found["accuracy"] == pytest.approx(right.sum() / counts.sum())
        assert found["rare"] == pytest.approx(np.mean(found["by_class"][5:]))
        assert found["frequent"] == pytest.approx(np.mean(found["by_class"][:5]))


def test_the_network_of_the_best_epoch_is_tested_not_that_of_the_last(study, monkeypatch):
    fit = ImbalancedCifar.fit

    def spoilt(self, *args, **kwargs):
        net, records = fit(self, *args, **kwargs)
        net.parameters[:] = 0
        return net, records

    monkeypatch.setattr(ImbalancedCifar, "fit", spoilt)
    study.balanced()
    found = study.results["balanced"]
    assert found["last_accuracy"] < 0.15 < found["accuracy"]
    best = max(found["records"], key=lambda record: record["validation_accuracy"])
    assert (found["best_epoch"], found["validation_accuracy"]) == (best["epoch"], best["validation_accuracy"])


def test_results_json_holds_the_results_and_the_tables_show_them(quick):
    results, printed, folder = quick
    assert stored(folder) == as_json(results)
    here = re.escape(f"{results['balanced']['accuracy']:.1%}")
    assert re.search(rf"test accuracy, all classes alike +80\.7% +{here}", printed)
    there = r"89.8 +92.0 +55.3 +63.4 +31.4 +15.1 +26.6 +13.5 +0.6 +0.1 +38.8 +11.2 +-"
    assert re.search(rf"original, focal, beta 0.8 +{there}", printed)
    for label, found in results["long_tailed"].items():
        cells = [f"{100 * share:.1f}" for share in (*found["by_class"], found["accuracy"], found["rare"])]
        assert re.search(rf"^{re.escape(label)} +" + " +".join(map(re.escape, cells)), printed, re.MULTILINE)


def test_the_report_stands_alone_and_is_light(quick):
    check_report(quick[2], {"balanced", "by-class", "beta"})


def test_the_same_seed_gives_the_same_figures_at_any_number_of_threads(quick, tmp_path):
    again, _, _ = run_quickly("imbalanced-cifar", tmp_path, threads=2)
    assert untimed(again) == untimed(quick[0])


@pytest.mark.parametrize(("fits", "finished", "rows"), [(0, None, 0), (1, [], 1), (3, LOSSES[:2], 3)])
def test_on_ctrl_c_what_is_done_so_far_is_written_and_said(tmp_path, monkeypatch, fits, finished, rows):
    interrupt(monkeypatch, fc.Trainer, "fit", fits)
    results, _ = run_interrupted("imbalanced-cifar", tmp_path)
    assert ("balanced" in results) == (fits > 0)
    assert (list(results["long_tailed"]) if fits else None) == finished
    assert len(results["comparison"]) == rows


# What is said


def found(beta, ratio, rare, accuracy):
    return {"beta": beta, "weight_ratio": ratio, "rare": rare, "accuracy": accuracy}


def test_betas_are_compared_with_the_range_that_chance_has(study):
    alike = [found(0.0, 1.0, 0.10, 0.40), found(0.9, 1.005, 0.14, 0.44)]
    said = study.beta_sentence([*alike, found(0.99, 2.5, 0.12, 0.455), found(0.999, 20.4, 0.2, 0.38)])
    assert "Up to beta 0.9 the largest weight is at most 1.005 times the smallest" in said
    assert "2: 10.0% to 14.0% of the rare classes, 40.0% to 44.0% of all" in said
    assert "12.0% of the rare classes, within that range, and 45.5% of all, 1.5 points above that range." in said
    assert "20.0% of the rare classes, 6.0 points above that range, and 38.0% of all, 2.0 points below that" in said
    assert "The original's best" not in said
    assert "all). The original's best, beta 0.8, is one of these." in study.beta_sentence([found(0.8, 1.0, 0.1, 0.4)])


def test_it_is_said_by_how_much_and_for_which_classes_the_original_is_missed(study):
    there = ORIGINAL["long_tailed"]
    runs = {label: {"by_class": by_class, "accuracy": np.mean(by_class)} for label, by_class in there.items()}
    assert study.original_sentence(runs).count("fewer than there of no class.") == 2
    less = [*there["cross-entropy"][:3], 0.2, *there["cross-entropy"][4:]]
    runs["cross-entropy"] = {"by_class": less, "accuracy": np.mean(less)}
    said = study.original_sentence(runs)
    assert "22.9% of the test images are found, 0.4 points below the original's 23.3%" in said
    assert "fewer than there of 3 (4.4 points)." in said


def test_classes_of_which_less_than_a_tenth_is_found_are_counted(study):
    runs = {"cross-entropy": {"by_class": [0.9, 0.05, 0.0]}, "focal, beta 0.9": {"by_class": [0.8, 0.1, 0.0]}}
    said = study.fading_sentence(runs)
    assert "less than a tenth of 2 of 10 classes (original: 6)" in said
    assert said.endswith("the fewest, 1, are lost with focal, beta 0.9.")
