"""A linear classifier of images: KTH's course DD2424, assignment 1, and a student's report on it of 2020.

p = softmax(W x + b) on one batch of CIFAR-10. Two parts: the gradient check, and four runs of different penalty and
rate, with the ten templates that each learns.
"""

import time
from dataclasses import asdict

import numpy as np

from fastconv.gradient_check import check_gradients
from fastconv.layers import Dense, VectorInput
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import Sequential
from fastconv.optim import SGD
from fastconv.reproduce.base import Study, line, middle, points
from fastconv.reproduce.data import colour_images, colour_words, first_batches, standardised_vectors
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.training import Trainer

GOAL = 1e-6
"""The gradient check's largest allowed error."""
CHECK = {"images": 20, "penalty": 0.1, "step": 1e-5}
BATCH, EPOCHS, DEVIATION = 100, 40, 0.01
RUNS = ((0, 0.1), (0, 0.001), (0.1, 0.001), (1, 0.001))
"""Penalty lambda and learning rate."""
ORIGINAL = {"accuracy": [0.3029, 0.3975, 0.3969, 0.3791], "cost": [6.4767, 1.7548, 1.8668, 1.9292]}
"""What the student's report found on the test batch, for each of the runs; the cost has the penalty in it."""
PARAMETERS = {"W": "0.w", "b": "0.b"}


class LinearSoftmax(Study):
    """The study of the linear classifier."""

    NAME = "linear-softmax"
    TITLE = "A linear classifier of images, reproduced"
    DATA = "cifar10"
    ORIGINAL = ORIGINAL
    PARTS = (("gradient check", "gradient_check"), ("four runs", "runs"))
    EPOCHS = True

    def __init__(self, data, options):
        super().__init__(data, options)
        self.images = colour_images(data)
        self.classes = list(self.images.target_names)
        self.train, self.validation, self.test = standardised_vectors(self.images, first_batches(self.images))
        self.dimensions = (20, 100) if self.quick else (20, self.train[0].shape[1])
        self.seeds = self.seeds_of(5)
        self.epochs = self.epochs_of(EPOCHS, quick=2)
        self.results["data"] = {
            "source": self.images.name, "classes": self.classes, "train": len(self.train[1]),
            "validation": len(self.validation[1]), "test": len(self.test[1]),
        }  # fmt: skip
        self.results["settings"] |= {
            "seeds": self.seeds, "batch_size": BATCH, "training_epochs": self.epochs,
            "runs": [list(run) for run in RUNS],
            "gradient_check": CHECK | {"dimensions": list(self.dimensions)},
            "initial_weights": f"W and b normal, sigma {DEVIATION}",
        }  # fmt: skip

    # The parts

    def gradient_check(self):
        """Part 1."""
        started = time.perf_counter()
        found = self.results["gradient_check"] = {"rows": [], "goal": GOAL}
        x, y = (array[: CHECK["images"]] for array in self.train)
        loss = SoftmaxCrossEntropy(l2=CHECK["penalty"])
        for dimensions in self.dimensions:
            net = network(dimensions, len(self.classes), self.seed, "float64")
            checked = check_gradients(net, x[:, :dimensions], y, loss, CHECK["step"])
            row = {"dimensions": dimensions, **{name: asdict(checked[key]) for name, key in PARAMETERS.items()}}
            found["rows"].append(row)
            self.note(f"gradients on {dimensions:,} dimensions: error {max(row[n]['error'] for n in PARAMETERS):.1e}")
        found["largest_error"] = max(row[name]["error"] for row in found["rows"] for name in PARAMETERS)
        found["goal_met"] = found["largest_error"] <= GOAL
        found["seconds"] = time.perf_counter() - started
        return self.gradient_section(found)

    def runs(self):
        """Part 2."""
        runs, templates = self.results.setdefault("runs", []), []
        for (penalty, rate), accuracy in zip(RUNS, ORIGINAL["accuracy"], strict=True):
            self.running = f"lambda {penalty:g}, rate {rate:g}"
            tried, nets = zip(*(self.fit(penalty, rate, seed) for seed in self.seeds), strict=True)
            shown = middle(tried, "test_accuracy")
            weights = nets[shown].params["0.w"].T.reshape(-1, *self.images.data.shape[1:])
            templates.append(weights)
            seeds = [{name: value for name, value in entry.items() if name != "records"} for entry in tried]
            runs.append({"penalty": penalty, "rate": rate, **tried[shown], "seeds": seeds})
            runs[-1]["roughness"] = roughness(weights)
            self.note(
                f"{label(runs[-1])}: test accuracy {tried[shown]['test_accuracy']:.2%} (original {accuracy:.2%}), cost "
                f"{tried[shown]['test_cost']:.3f}, in {tried[shown]['seconds']:.1f} s"
            )
        return self.runs_section(runs, templates)

    def fit(self, penalty, rate, seed):
        """Train a classifier; return what is known of it then, and the classifier."""
        net = network(self.train[0].shape[1], len(self.classes), seed)
        loss = SoftmaxCrossEntropy(l2=penalty)
        trainer = Trainer(net, loss, SGD(rate), BATCH, threads=self.threads, seed=seed)
        history = trainer.fit(*self.train, epochs=self.epochs, validation=self.validation, progress=self.progress)
        cost, accuracy = net.evaluate(*self.test, loss, threads=self.threads)
        found = {"seed": seed, "seconds": history.records[-1]["seconds"], "test_accuracy": accuracy, "test_cost": cost}
        return found | {"records": history.records}, net

    # The sections

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        return colour_words(self.images)

    def introduction(self):
        """Return the question and the setting."""
        facts = self.results["data"]
        parts = [
            "How far does a linear classifier come on small photographs, and what do penalty and learning rate make of "
            "it? A student's report of 2020 on assignment 1 of KTH's course DD2424 answered it: p = softmax(W x + b), "
            "and the cost J = mean cross-entropy + lambda ||W||^2. Here the same study is run again.",
            f"Data: {facts['source']}, {facts['train']:,} images to train, {facts['validation']:,} to validate and "
            f"{facts['test']:,} to test, of {self.train[0].shape[1]:,} numbers each, every one standardised by mean "
            f"and deviation over the training images. {self.whose()}",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def gradient_section(self, found):
        """Return the section on the gradient check."""
        rows = [
            (f"{row['dimensions']:,}", f"{GOAL:.0e}", *(f"{row[name]['error']:.2e}" for name in PARAMETERS))
            for row in found["rows"]
        ]
        seen = f"The largest error is {found['largest_error']:.2e}, " + (
            f"within the original's threshold of {GOAL:.0e}."
            if found["goal_met"]
            else f"{found['largest_error'] / GOAL:.1f} times the original's threshold."
        )
        words = (
            f"Analytic gradients of the cost on {CHECK['images']} images against central differences in float64, step "
            f"{CHECK['step']:.0e}, lambda {CHECK['penalty']}: |ga - gn| / max(eps, |ga| + |gn|), averaged over the "
            "entries; on the first dimensions of the images and on all."
        )
        head = ("dimensions", "original, at most", "W here", "b here")
        return Section("1. Gradient check", [words, Table("Mean relative error", head, rows), seen])

    def runs_section(self, runs, templates):
        """Return the section on the four runs."""
        rows, seen = [], []
        for run, accuracy, cost in zip(runs, ORIGINAL["accuracy"], ORIGINAL["cost"], strict=True):
            found = [entry["test_accuracy"] for entry in run["seeds"]]
            rows.append(
                (
                    *(f"{run['penalty']:g}", f"{run['rate']:g}", f"{accuracy:.2%}", f"{run['test_accuracy']:.2%}"),
                    *(f"{min(found):.2%} to {max(found):.2%}", f"{cost:.4f}", f"{run['test_cost']:.4f}"),
                    *(f"{run['seconds']:.2f}", f"{self.epochs * len(self.train[1]) / run['seconds']:,.0f}"),
                )
            )
            median, best = (points(share, accuracy) for share in (run["test_accuracy"], max(found)))
            higher = run["test_cost"] - cost
            seen.append(
                f"{label(run)}: {median} the original"
                + f" (the best seed {best})" * (len(found) > 1)
                + f", the cost {abs(higher):.3f} {'above' if higher >= 0 else 'below'} its"
            )
        count = len(self.seeds)
        which = f"median of {count} seeds, and all of them" if count > 1 else "one seed"
        head = ("lambda", "rate", "test orig.", "test", "lowest to highest", "cost orig.", "cost", "s", "images/s")
        panels = {label(run): run["records"] for run in runs}
        return Section(
            "2. Four runs",
            [
                f"{self.epochs} epochs of batches of {BATCH}, SGD without momentum, at a constant rate. The cost has "
                "the penalty in it.",
                Table(f"Test images after the last update ({which}), and seconds of training", head, rows, left=0),
                "; ".join(seen) + ".",
                Picture(
                    "costs",
                    self.costs_sentence(runs),
                    lambda plots: plots.curves(
                        lines(panels, "loss"), "epochs", "cost (nats, logarithmic)", logarithmic=True,
                        dashed=["validation"],
                    ),
                ),
                Picture(
                    "accuracies",
                    self.accuracies_sentence(runs),
                    lambda plots: plots.curves(
                        lines(panels, "accuracy", 100), "epochs", "accuracy (%)", dashed=["validation"]
                    ),
                ),
                *(
                    Picture(
                        f"templates-{number}",
                        f"The rows of W as images, {label(run)}: neighbouring pixels differ by {run['roughness']:.2f} "
                        f"of the deviation of a template's pixels{'' if number == 1 else rougher(runs[0], run)}.",
                        lambda plots, images=images: plots.image_grid(images, self.classes),
                    )
                    for number, (run, images) in enumerate(zip(runs, templates, strict=True), 1)
                ),
            ],
        )  # fmt: skip

    def costs_sentence(self, runs):
        """Return what is seen in the curves of the cost."""
        parts = []
        for run in runs:
            last, lowest = run["records"][-1], min(run["records"], key=lambda record: record["validation_loss"])
            words = f"{label(run)}: the validation cost is lowest, {lowest['validation_loss']:.2f}, "
            late = f"after {lowest['epoch']:.0f} epochs, and {last['validation_loss']:.2f} at its end"
            parts.append(words + ("at its end" if lowest is last else late))
        return "; ".join(parts) + ". The training cost is the mean over the batches of an epoch, before their updates."

    def accuracies_sentence(self, runs):
        """Return what is seen in the curves of the accuracy."""
        gaps = [run["records"][-1]["train_accuracy"] - run["records"][-1]["validation_accuracy"] for run in runs]
        parts = (f"{label(run)} {100 * gap:.1f}" for run, gap in zip(runs, gaps, strict=True))
        return f"Points between training and validation accuracy at the end: {'; '.join(parts)}."

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        rows = []
        if "goal_met" in self.results.get("gradient_check", {}):
            error = self.results["gradient_check"]["largest_error"]
            rows.append(("largest gradient error", f"at most {GOAL:.0e}", f"{error:.2e}"))
        runs = self.results.get("runs", ())
        for run, accuracy, cost in zip(runs, ORIGINAL["accuracy"], ORIGINAL["cost"], strict=False):
            rows.append((f"test accuracy, {label(run)}", f"{accuracy:.2%}", f"{run['test_accuracy']:.2%}"))
            rows.append((f"test cost, {label(run)}", f"{cost:.4f}", f"{run['test_cost']:.4f}"))
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return f"Seeds {', '.join(map(str, self.seeds))}. Initial weights as in the original: W and b ~ N(0, 0.01^2)."


def network(dimensions, classes, seed, dtype="float32"):
    """Return the classifier with the original's initial weights: W and b normal, of deviation 0.01.

    Examples
    --------
    >>> from fastconv.reproduce.linear_softmax import network
    >>> net = network(dimensions=20, classes=10, seed=0)
    >>> bool(net.params["0.b"].any()), bool(abs(net.params["0.w"].std() - 0.01) < 0.002)
    (True, True)
    """
    net = Sequential([Dense(classes, init=DEVIATION)], input=VectorInput(dimensions), dtype=dtype, seed=seed)
    net.params["0.b"][...] = np.random.default_rng([seed, 0, 1]).normal(0, DEVIATION, classes)
    return net


def roughness(templates):
    """Return the mean absolute difference of neighbouring pixels of (K, H, W, C), over each template's deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reproduce.linear_softmax import roughness
    >>> board = np.indices((8, 8)).sum(axis=0) % 2
    >>> roughness(board[None, :, :, None]), roughness(np.arange(64.0).reshape(1, 8, 8, 1)) < 0.3
    (2.0, True)
    """
    deviations = templates.std(axis=(1, 2, 3), dtype=np.float64)
    steps = [np.abs(np.diff(templates, axis=axis)).mean(axis=(1, 2, 3), dtype=np.float64) for axis in (1, 2)]
    return float(np.mean(sum(steps) / 2 / deviations))


def rougher(first, run):
    """Return the words that compare a run's templates with those of the first run."""
    ratio = first["roughness"] / run["roughness"]
    return f", {max(ratio, 1 / ratio):.1f} times {'less' if ratio >= 1 else 'more'} than in the first run"


def label(run):
    """Return what a run is called."""
    return f"lambda {run['penalty']:g}, rate {run['rate']:g}"


def lines(panels, what, factor=1):
    """Return the training and validation lines of each panel's records, by epoch."""
    return {
        title: {
            words: line(records, f"{kind}_{what}", factor)
            for words, kind in (("training", "train"), ("validation", "validation"))
        }
        for title, records in panels.items()
    }


STUDY = LinearSoftmax
