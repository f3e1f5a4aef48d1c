"""Circles and digits: practical 2-ab of Sorbonne Université's course RDFIA.

A hidden layer with tanh and a softmax, on two noisy circles that no line separates. Five parts: the gradients against
numerical ones and against the practical's equations, support vector machines on the same points, the network and its
decision regions, learning rates and batch sizes, and the same network on handwritten digits.
"""

import numpy as np
from sklearn.svm import SVC

from fastconv.datasets import load_digits, load_mnist, make_circles
from fastconv.gradient_check import check_gradients, relative_error
from fastconv.layers import Dense, Tanh, VectorInput
from fastconv.network import Sequential
from fastconv.optim import SGD
from fastconv.reproduce.base import Study
from fastconv.reproduce.data import data_folder
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.training import Trainer

GOAL = 1e-6
"""The gradient check's largest allowed error."""
UNITS, RATE, BATCH, ITERATIONS = 10, 0.03, 10, 150
POINTS, NOISE, FACTOR = 400, 0.15, 0.5
"""Half of the points to train, half to test; deviation of the noise, radius of the inner circle."""
DRAWS = 100
"""Of points and weights: the mean of ten still varies by half a point."""
CALIBRATION = {"seeds": (1000, 1300), "linear": 0.524, "rbf": 0.943}
"""Mean test accuracies of the two support vector machines on points of these seeds, by which the noise was chosen."""
SHOWN = (1, 19, ITERATIONS)
"""Iterations after which the decision regions are drawn."""
RATES = (0.001, 0.03, 0.1, 0.3, 0.5)
BATCHES = (1, 5, 10, 20, 50, 200)
LEVEL = 0.9
"""The test accuracy that the learning rates and batch sizes race for."""
READINGS = {
    "passes with summed gradients": (True, True),
    "passes with averaged gradients": (True, False),
    "updates with summed gradients": (False, True),
    "updates with averaged gradients": (False, False),
}
"""What the original's 150 iterations and its rate may mean: passes or updates, sum or mean over the batch."""
SUMMED_PASSES = next(iter(READINGS))
DIGIT_UNITS, DIGIT_EPOCHS, SHEET = (UNITS, 100), 20, 40
CLASSES = ("outer", "inner")
PARAMETERS = {"Wh": "0.w", "bh": "0.b", "Wy": "2.w", "by": "2.b"}
"""The original's names of the parameters, and the network's."""

ORIGINAL = {
    "svm": {"linear": 0.53, "rbf": 0.94},
    "network": {"train": 0.965, "test": 0.935, "best_test": 0.945, "best_iteration": 18},
}
"""What the practical's report found, on points that are not at hand."""
KERNELS = {"linear": "linear SVM", "rbf": "RBF SVC"}


class Circles(Study):
    """The study of the circles, and of digits with the same network."""

    NAME = "circles"
    TITLE = "Two circles, and digits: one hidden layer, reproduced"
    DATA = "mnist"
    ORIGINAL = ORIGINAL
    PARTS = (
        ("gradient check", "gradient_check"),
        ("support vector machines", "machines"),
        ("the network", "network"),
        ("learning rates and batch sizes", "sweep"),
        ("digits", "digits"),
    )

    def __init__(self, data, options):
        super().__init__(data, options)
        self.images = load_digits() if data is None else load_mnist(data_folder(data, self.DATA), validation=0)
        self.mnist = data is not None
        self.seeds = self.seeds_of(DRAWS, quick=2)
        self.iterations, self.shown = (3, (1, 2, 3)) if self.quick else (ITERATIONS, SHOWN)
        self.compared = min(ORIGINAL["network"]["best_iteration"], self.iterations)
        self.digit_epochs = 1 if self.quick else DIGIT_EPOCHS
        self.points = {seed: circles(seed) for seed in self.seeds}
        self.results["settings"] |= {
            "seeds": self.seeds, "points": POINTS, "noise": NOISE, "factor": FACTOR, "units": UNITS,
            "batch_size": BATCH, "learning_rate": RATE, "iterations": self.iterations, "shown": self.shown,
            "compared_at": self.compared, "learning_rates": RATES, "batch_sizes": BATCHES,
            "digit_units": DIGIT_UNITS, "digit_epochs": self.digit_epochs,
        }  # fmt: skip

    # The parts

    def gradient_check(self):
        """Part 1."""
        found = self.results["gradient_check"] = {"rows": [], "goal": GOAL}
        net = network(2, UNITS, 2, self.seed, "float64")
        (x, y), _ = self.points[self.seed]
        for n in (BATCH, len(x)):
            numerical = check_gradients(net, x[:n], y[:n])
            _, compiled = net.loss_and_gradients(x[:n], y[:n])
            written = gradients_by_hand(net.params, x[:n], y[:n])
            found["rows"] += [
                {
                    "batch": n,
                    "parameter": name,
                    "entries": numerical[key].entries,
                    "numerical": numerical[key].error,
                    "by_hand": relative_error(compiled[key], written[key]),
                }
                for name, key in PARAMETERS.items()
            ]
        found |= {kind: max(row[kind] for row in found["rows"]) for kind in ("numerical", "by_hand")}
        found["goal_met"] = max(found["numerical"], found["by_hand"]) <= GOAL
        return self.gradient_section(found)

    def machines(self):
        """Part 2."""
        found = self.results["svm"] = {kernel: [] for kernel in KERNELS}
        shown = {}
        for seed in self.seeds:
            train, test = self.points[seed]
            for kernel, label in KERNELS.items():
                machine = SVC(kernel=kernel).fit(*train)
                found[kernel].append(machine.score(*test))
                if seed == self.seed:
                    shown[f"{label}: {found[kernel][-1]:.1%}"] = machine.predict
        self.note("; ".join(f"{label}: {spread(found[kernel])}" for kernel, label in KERNELS.items()))
        return self.machine_section(found, shown)

    def network(self):
        """Part 3."""
        found, shown = {}, {}
        for label, (passes, summed) in READINGS.items():
            fits = [self.fit(seed, passes=passes, summed=summed, shown=shown) for seed in self.seeds]
            found[label] = summary(fits, self.compared)
            self.results["network"] = found
            self.note(f"{label}: {spread(found[label]['train'])} training, {spread(found[label]['test'])} test")
            if label == SUMMED_PASSES:
                snapshots, shown = shown, None
        return self.network_section(found, snapshots)

    def sweep(self):
        """Part 4."""
        found = self.results["sweep"] = {"learning_rates": {}, "batch_sizes": {}}
        for rate in RATES:
            found["learning_rates"][str(rate)] = summary(
                [self.fit(seed, rate=rate) for seed in self.seeds], self.compared
            )
            self.note(f"rate {rate}: {spread(found['learning_rates'][str(rate)]['test'])} test")
        for batch in BATCHES:
            found["batch_sizes"][str(batch)] = summary(
                [self.fit(seed, batch=batch) for seed in self.seeds], self.compared
            )
            self.note(f"batches of {batch}: {spread(found['batch_sizes'][str(batch)]['test'])} test")
        return self.sweep_section(found)

    def digits(self):
        """Part 5."""
        images = self.images
        held_out = images.test if self.mnist else images.validation
        scale = np.float32(255 if images.data.dtype == np.uint8 else 1)
        x, y = images.data.reshape(len(images.data), -1) / scale, images.target
        found = self.results["digits"] = {
            "data": images.name, "train": len(images.train), "test": len(held_out), "networks": [],
        }  # fmt: skip
        for units in DIGIT_UNITS:
            net = network(x.shape[1], units, len(images.target_names), self.seed)
            trainer = Trainer(net, optimizer=SGD(RATE * BATCH), batch_size=BATCH, threads=self.threads, seed=self.seed)
            history = trainer.fit(
                x[images.train], y[images.train], epochs=self.digit_epochs, validation=(x[held_out], y[held_out]),
                progress=self.progress,
            )  # fmt: skip
            seconds = history.records[-1]["seconds"]
            found["networks"].append(
                {
                    "units": units,
                    "test": history.records[-1]["validation_accuracy"],
                    "train": net.evaluate(x[images.train], y[images.train], threads=self.threads)[1],
                    "by_epoch": history["validation_accuracy"].tolist(),
                    "seconds": seconds,
                    "images_per_second": self.digit_epochs * len(images.train) / seconds,
                }
            )
            if units == UNITS:
                found["sheet"] = net.predict(x[held_out[:SHEET]]).tolist()
            self.note(f"{units} units: {found['networks'][-1]['test']:.2%} in {seconds:.1f} s")
        return self.digit_section(found, held_out[:SHEET])

    def fit(self, seed, rate=RATE, batch=BATCH, passes=True, summed=True, shown=None):
        """Train on a seed's points; return the records, one for each iteration, and put copies of the net in `shown`.

        The first seed's network is copied after the iterations that are drawn.
        """
        train, test = self.points[seed]
        net = network(2, UNITS, 2, seed)

        def look(trainer, record):
            record["loss"], record["accuracy"] = net.evaluate(*train, threads=self.threads)
            if shown is not None and seed == self.seed and len(trainer.history) in self.shown:
                shown[len(trainer.history)] = net.astype(net.dtype)

        rate = rate * batch if summed else rate  # the library's gradients are means over the batch
        trainer = Trainer(net, optimizer=SGD(rate), batch_size=batch, threads=self.threads, seed=seed)
        length = {"epochs": self.iterations} if passes else {"updates": self.iterations, "evaluate_every": 1}
        return trainer.fit(*train, **length, validation=test, callbacks=[look], progress=self.progress)

    # The sections

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        return (
            "The original's points are not at hand; these are drawn anew, "
            f"{len(self.seeds)} times. An accuracy of 94% on 200 points has a standard deviation of 1.7 points by "
            "chance alone: no closer agreement is to be expected."
        )

    def introduction(self):
        """Return the question and the setting."""
        digits = (
            f"MNIST, {len(self.images.train):,} images to train and {len(self.images.test):,} to test"
            if self.mnist
            else f"scikit-learn's digits in the place of MNIST, {len(self.images.train):,} images to train and "
            f"{len(self.images.validation)} to test"
        )
        first, end = CALIBRATION["seeds"]
        parts = [
            "What does one hidden layer add? Two concentric, noisy circles cannot be separated by a line. Practical "
            "2-ab of Sorbonne Université's course RDFIA separates them with y = softmax(Wy tanh(Wh x + bh) + by), its "
            "gradients written by hand, and then gives the same network handwritten digits.",
            f"Data: {POINTS // 2} points to train and {POINTS // 2} to test, on circles of radius 1 and {FACTOR} with "
            f"normal noise of deviation {NOISE}. The noise was chosen by two support vector machines, whose training "
            f"leaves nothing open: on the {end - first} draws of seeds {first} to {end - 1} they are right for "
            f"{CALIBRATION['linear']:.1%} (linear) and {CALIBRATION['rbf']:.1%} (radial) of the test points, in the "
            f"original for {ORIGINAL['svm']['linear']:.0%} and {ORIGINAL['svm']['rbf']:.0%}. {self.whose()} "
            f"Digits: {digits}.",
            f"Setting: {ITERATIONS} iterations with learning rate {RATE} and batches of {BATCH}, as in the original; "
            f"{UNITS} hidden units and weights by He's rule, which its figures leave open, chosen among a few others "
            "to learn as early as there. Every figure on the circles is the mean of "
            f"{len(self.seeds)} draws of points and weights, ± the deviation between them.",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def gradient_section(self, found):
        """Return the section on the gradient check."""
        rows = [
            (
                row["parameter"],
                str(row["batch"]),
                str(row["entries"]),
                f"{row['numerical']:.1e}",
                f"{row['by_hand']:.1e}",
            )
            for row in found["rows"]
        ]
        return Section(
            "1. Gradients",
            [
                "The gradients of the compiled network in float64, against central differences (step 1e-5) and against "
                "the practical's equations in NumPy: from the error of the outputs, softmax(z) - y, back through "
                "1 - tanh^2. The original gives no figure.",
                Table(
                    "Mean relative error",
                    ("parameter", "batch", "entries", "against differences", "against equations"),
                    rows,
                ),
                f"The largest error is {found['numerical']:.1e} against differences and {found['by_hand']:.1e} against "
                f"the equations, {'within' if found['goal_met'] else 'beyond'} the goal of {GOAL:.0e}.",
            ],
        )

    def machine_section(self, found, shown):
        """Return the section on the support vector machines."""
        there = ORIGINAL["svm"]
        rows = [(label, f"{there[kernel]:.0%}", spread(found[kernel])) for kernel, label in KERNELS.items()]
        mean = {kernel: 100 * np.mean(found[kernel]) for kernel in KERNELS}
        apart = (f"{mean[kernel] - 100 * there[kernel]:+.1f} points ({label})" for kernel, label in KERNELS.items())
        _, test = self.points[self.seed]
        ease = mean["rbf"] - 100 * CALIBRATION["rbf"]
        return Section(
            "2. Support vector machines",
            [
                "scikit-learn's, with its default settings (C = 1): they say how hard the points are.",
                Table("Test accuracy", ("", "original", "here"), rows),
                f"From the original's figures these differ by {' and '.join(apart)}. The line is right "
                f"{mean['linear'] - 50:+.1f} points from chance, the radial kernel {mean['rbf'] - 50:+.1f}; for it "
                f"these {len(self.seeds)} draws are {abs(ease):.1f} points {'easier' if ease > 0 else 'harder'} than "
                "those by which the noise was chosen. The network is compared with it on the same points, too.",
                Picture(
                    "regions-svm",
                    f"The decisions of both on the points of seed {self.seed}, with the test points.",
                    lambda plots: plots.decision_regions(shown, *test, CLASSES),
                ),
            ],
        )

    def network_section(self, found, snapshots):
        """Return the section on the network's training and its decision regions."""
        there, run = ORIGINAL["network"], found[SUMMED_PASSES]
        there = there | {"at_compared": there["best_test"]}
        names = ("train", "test", "at_compared", "best_test")
        rows = [
            (f"original, {ITERATIONS} iterations", *(f"{there[name]:.1%}" for name in names), "-"),
            *(
                (
                    f"{self.iterations} {label}",
                    *(spread(each[name]) for name in names),
                    f"{each['seconds']:.2f}",
                )
                for label, each in found.items()
            ),
        ]
        apart = {
            label: 100 * np.mean([abs(np.mean(each[name]) - there[name]) for name in names])
            for label, each in found.items()
        }
        order = sorted(apart, key=apart.get)
        _, (x, y) = self.points[self.seed]
        shares = {i: net.evaluate(x, y)[1] for i, net in snapshots.items()}
        panels = {
            f"iteration {i}: {shares[i]:.1%}": lambda p, net=net: net.predict_proba(p)[:, 1]
            for i, net in snapshots.items()
        }
        reached = first_at(run["test_curve"], LEVEL)
        count = range(1, self.iterations + 1)
        lines = {"training": (count, run["train_loss_curve"]), "test": (count, run["test_loss_curve"])}
        return Section(
            "3. The network",
            [
                "The original's figures leave open whether an iteration is a pass over the points or one update, and "
                "whether a batch's gradient is a sum or a mean, at which the same rate makes smaller steps. All four "
                "were tried. The best test accuracy is picked on the test points themselves, there as here; the "
                f"original's is that after {there['best_iteration']} iterations.",
                Table(
                    f"Accuracy after {self.iterations} iterations, after {self.compared}, and the best of a run",
                    ("", "training", "test", f"test after {self.compared}", "best test", "s"),
                    rows,
                ),
                f"Nearest to the original, on the mean of these figures, come {order[0]} ({apart[order[0]]:.1f} points "
                f"from it), then {order[1]} ({apart[order[1]]:.1f}); farthest are {order[-1]} "
                f"({apart[order[-1]]:.1f}). What follows is for {SUMMED_PASSES}. The training accuracy of "
                f"{against(there['train'], run['train'])}; the test accuracy of "
                f"{against(there['test'], run['test'])}; the runs' best of "
                f"{against(there['best_test'], run['best_test'])}. That best comes at iteration "
                f"{there['best_iteration']} there, at {np.median(run['best_iteration']):.0f} (median) here. A run "
                f"learns {self.iterations * POINTS / 2 / run['seconds']:,.0f} points a second, evaluation included.",
                Picture(
                    "loss",
                    f"The loss, mean of {len(self.seeds)} draws, falls to {run['train_loss_curve'][-1]:.3f} on the "
                    f"training and {run['test_loss_curve'][-1]:.3f} on the test points, where it is lowest after "
                    f"{int(np.argmin(run['test_loss_curve'])) + 1} iterations; the mean test accuracy "
                    + (f"first reaches {LEVEL:.0%} after {reached}." if reached else f"does not reach {LEVEL:.0%}."),
                    lambda plots: plots.curves({"": lines}, "iterations (passes)", "loss (nats)", dashed=["test"]),
                ),
                Picture(
                    "regions-network",
                    f"Decision regions of seed {self.seed} with the test points: "
                    + ", ".join(f"{share:.1%} of them are right after iteration {i}" for i, share in shares.items())
                    + ".",
                    lambda plots: plots.decision_regions(panels, x, y, CLASSES),
                ),
            ],
        )

    def sweep_section(self, found):
        """Return the section on learning rates and batch sizes."""
        words = {"learning_rates": ("learning rate", "rate {}"), "batch_sizes": ("batch size", "batches of {}")}
        parts = [
            f"{self.iterations} passes, gradients summed over the batch: first the learning rate varies, with batches "
            f"of {BATCH}, then the batch size, with rate {RATE}."
        ]
        for kind, (what, title) in words.items():
            runs, count = found[kind], range(1, self.iterations + 1)
            usual = str(RATE if kind == "learning_rates" else BATCH)
            rows = [
                (
                    value,
                    f"{ORIGINAL['network']['test']:.1%}" if value == usual else "-",
                    *(spread(run[name]) for name in ("train", "test", "best_test")),
                    str(first_at(run["test_curve"], LEVEL) or "-"),
                    f"{run['seconds']:.2f}",
                )
                for value, run in runs.items()
            ]
            ordered = sorted(runs, key=lambda value: np.mean(runs[value]["test"]))
            best, worst = ordered[-1], ordered[0]
            reached = {value: first_at(run["test_curve"], LEVEL) for value, run in runs.items()}
            quickest = min(filter(reached.get, reached), key=reached.get, default=None)
            panels = {
                title.format(value): {
                    "training": (count, np.multiply(100, run["train_curve"])),
                    "test": (count, np.multiply(100, run["test_curve"])),
                }
                for value, run in runs.items()
            }
            parts += [
                Table(
                    f"Accuracy by {what}",
                    (what, "test orig.", "training", "test", "best test", f"first {LEVEL:.0%}", "s a run"),
                    rows,
                ),
                Picture(
                    kind.replace("_", "-"),
                    f"The test accuracy at the end is highest for a {what} of {best} "
                    f"({np.mean(runs[best]['test']):.1%}), lowest for {worst} ({np.mean(runs[worst]['test']):.1%}); "
                    + (
                        f"{LEVEL:.0%} is first reached with {quickest}, after iteration {reached[quickest]}."
                        if quickest
                        else f"none reaches {LEVEL:.0%}."
                    ),
                    lambda plots, panels=panels: plots.curves(
                        panels, "iterations (passes)", "accuracy (%)", columns=3, dashed=["test"]
                    ),
                ),
            ]
        return Section("4. Learning rates and batch sizes", parts)

    def digit_section(self, found, shown):
        """Return the section on the digits."""
        rows = [
            (
                f"{net['units']} units",
                "-",
                f"{net['test']:.2%}",
                f"{net['train']:.2%}",
                f"{net['seconds']:.1f}",
                f"{net['images_per_second']:,.0f}",
            )
            for net in found["networks"]
        ]
        small, large = found["networks"][0], found["networks"][-1]
        true = self.images.target[shown]
        wrong = [i for i, (guess, label) in enumerate(zip(found["sheet"], true, strict=True)) if guess != label]
        titles = [
            str(guess) if guess == y else f"{guess}, is {y}" for guess, y in zip(found["sheet"], true, strict=True)
        ]
        count = range(1, self.digit_epochs + 1)
        lines = {f"{net['units']} units": (count, np.multiply(100, net["by_epoch"])) for net in found["networks"]}
        return Section(
            f"5. The same network on {'MNIST' if self.mnist else 'digits'}",
            [
                f"{found['train']:,} images of {found['data']} to train, {found['test']:,} to test, pixels from 0 to 1 "
                f"as one vector; epochs: {self.digit_epochs}, in batches of {BATCH}, rate {RATE}, gradients summed, "
                f"with the circles' {small['units']} hidden units and with {large['units']}. No accuracy of the "
                "original is known.",
                Table("Accuracy", ("", "test orig.", "test", "training", "seconds", "images/s"), rows),
                Picture(
                    "digits-accuracy",
                    f"From {small['units']} to {large['units']} hidden units the test accuracy changes by "
                    f"{100 * (large['test'] - small['test']):+.1f} points, from {small['test']:.1%} to "
                    f"{large['test']:.1%}.",
                    lambda plots: plots.curves({"": lines}, "epochs", "test accuracy (%)"),
                ),
                Picture(
                    "digits",
                    f"The first {len(shown)} test images and what the network with {small['units']} hidden units reads "
                    f"in them; red: {len(wrong)} of them wrong, {len(wrong) / len(shown):.0%} here, "
                    f"{1 - small['test']:.0%} of all test images.",
                    lambda plots: plots.image_grid(self.images.data[shown], titles, wrong, columns=8),
                ),
            ],
        )

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        results, rows, there = self.results, [], ORIGINAL["network"]
        if "goal_met" in results.get("gradient_check", {}):
            check = results["gradient_check"]
            rows.append(("largest gradient error, against differences", "-", f"{check['numerical']:.1e}"))
            rows.append(("largest gradient error, against equations", "-", f"{check['by_hand']:.1e}"))
        for kernel, label in KERNELS.items():
            if len(results.get("svm", {}).get(kernel, ())) == len(self.seeds):
                rows.append(
                    (f"test accuracy, {label}", f"{ORIGINAL['svm'][kernel]:.0%}", spread(results["svm"][kernel]))
                )
        if SUMMED_PASSES in results.get("network", {}):
            run = results["network"][SUMMED_PASSES]
            rows.append(("training accuracy, network", f"{there['train']:.1%}", spread(run["train"])))
            rows.append(("test accuracy, network", f"{there['test']:.1%}", spread(run["test"])))
            gaps = 100 * np.subtract(run["test"], results["svm"]["rbf"])
            less = 100 * (there["test"] - ORIGINAL["svm"]["rbf"])
            found = f"{np.mean(gaps):+.1f} ± {np.std(gaps, ddof=1):.1f}"
            rows.append(("test accuracy, network less RBF SVC (points)", f"{less:+.1f}", found))
            rows.append(("best test accuracy of a run", f"{there['best_test']:.1%}", spread(run["best_test"])))
            median = f"{np.median(run['best_iteration']):.0f} (median)"
            rows.append(("iteration of the best", str(there["best_iteration"]), median))
        for net in results.get("digits", {}).get("networks", ()):
            rows.append(
                (f"{results['digits']['data']}, test accuracy, {net['units']} units", "-", f"{net['test']:.2%}")
            )
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return (
            f"Seeds {self.seeds[0]} to {self.seeds[-1]}, of points and weights alike. Weights by He's rule, biases "
            "zero; plain gradient descent; the points are shuffled anew in every pass."
        )


def circles(seed):
    """Return the points of a seed, to train and to test: each (x, y), x (n, 2) float32.

    Examples
    --------
    >>> from fastconv.reproduce.circles import circles
    >>> (x, y), test = circles(0)
    >>> x.shape, float(y.mean())
    ((200, 2), 0.5)
    """
    d = make_circles(POINTS, NOISE, FACTOR, seed)
    return tuple((d.data[rows], d.target[rows]) for rows in (d.train, d.validation))


def network(inputs, units, classes, seed, dtype="float32"):
    """Return the practical's network: a hidden layer with tanh and a linear one, for a softmax.

    Examples
    --------
    >>> from fastconv.reproduce.circles import network
    >>> network(2, 10, 2, seed=0).parameters.size
    52
    """
    return Sequential([Dense(units), Tanh(), Dense(classes)], input=VectorInput(inputs), dtype=dtype, seed=seed)


def gradients_by_hand(params, x, y):
    """Return the gradients of the mean cross-entropy by the practical's equations, in NumPy.

    Parameters
    ----------
    params : dict of str to array
        Of :func:`network`, float64.
    x : (N, n) array
    y : (N,) int

    Returns
    -------
    dict of str to array
        With the keys and shapes of `params`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.reproduce.circles import gradients_by_hand, network
    >>> net, x = network(2, 3, 2, seed=0, dtype="float64"), np.array([[1.0, 2.0]])
    >>> by_hand = gradients_by_hand(net.params, x, np.array([1]))
    >>> bool(np.allclose(by_hand["0.w"], net.loss_and_gradients(x, [1])[1]["0.w"], rtol=1e-10))
    True
    """
    x = np.asarray(x, np.float64)
    h = np.tanh(x @ params["0.w"] + params["0.b"])
    p = np.exp(h @ params["2.w"] + params["2.b"])
    p /= p.sum(axis=1, keepdims=True)
    outer = (p - np.eye(p.shape[1])[y]) / len(x)
    inner = outer @ params["2.w"].T * (1 - h**2)
    return {"0.w": x.T @ inner, "0.b": inner.sum(axis=0), "2.w": h.T @ outer, "2.b": outer.sum(axis=0)}


def summary(histories, compared):
    """Return what is kept of trainings with several seeds: their figures, and the means of their curves.

    Parameters
    ----------
    histories : list of History
        One for each seed, with ``loss`` and ``accuracy`` of the whole training set in each record.
    compared : int
        Another iteration of which the test accuracies are kept.

    Returns
    -------
    dict
        ``train``, ``test`` (after the last iteration), ``at_compared``, ``best_test`` and ``best_iteration`` are lists
        with an entry for each seed; the curves have an entry for each iteration; ``seconds`` is the mean of a training.
    """
    test = np.array([history["validation_accuracy"] for history in histories])
    curves = {
        name: np.mean([history[key] for history in histories], axis=0).tolist()
        for name, key in (
            ("train_curve", "accuracy"),
            ("test_curve", "validation_accuracy"),
            ("train_loss_curve", "loss"),
            ("test_loss_curve", "validation_loss"),
        )
    }
    return {
        "train": [history.records[-1]["accuracy"] for history in histories],
        "test": test[:, -1].tolist(),
        "at_compared": test[:, compared - 1].tolist(),
        "best_test": test.max(axis=1).tolist(),
        "best_iteration": (1 + test.argmax(axis=1)).tolist(),
        "seconds": float(np.mean([history.records[-1]["seconds"] for history in histories])),
        **curves,
    }


def spread(shares):
    """Return mean and standard deviation of some shares in words.

    Examples
    --------
    >>> from fastconv.reproduce.circles import spread
    >>> spread([0.93, 0.95])
    '94.0% ± 1.4'
    """
    return f"{np.mean(shares):.1%} ± {100 * np.std(shares, ddof=1):.1f}"


def against(there, shares):
    """Return in words whether the mean of some shares reaches the original's, or by how much it does not.

    Examples
    --------
    >>> from fastconv.reproduce.circles import against
    >>> against(0.935, [0.93, 0.95])
    "94.0% reaches the original's 93.5%"
    >>> against(0.945, [0.93, 0.95])
    "94.0% is 0.5 points below the original's 94.5%: less than the deviation between draws, 1.4"
    """
    mean, deviation = 100 * np.mean(shares), 100 * np.std(shares, ddof=1)
    below = round(100 * there - mean, 1)
    if below <= 0:
        return f"{mean:.1f}% reaches the original's {there:.1%}"
    size = "less" if below <= deviation else "more"
    return (
        f"{mean:.1f}% is {below:.1f} points below the original's {there:.1%}: {size} than the deviation between draws, "
        f"{deviation:.1f}"
    )


def first_at(curve, level):
    """Return the iteration, counted from 1, after which a curve first reaches a level, or None.

    Examples
    --------
    >>> from fastconv.reproduce.circles import first_at
    >>> first_at([0.5, 0.9, 0.8], 0.9), first_at([0.5], 0.9)
    (2, None)
    """
    return next((i for i, value in enumerate(curve, 1) if value >= level), None)


STUDY = Circles
