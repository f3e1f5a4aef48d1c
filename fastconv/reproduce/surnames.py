"""The surname ConvNet of KTH's course DD2424, assignment 3, and a student's report on it of 2019.

Two convolutions and a dense layer tell a surname's language from its letters. Six parts: the gradient check, training
with and without compensation for classes of unequal size, the best network, its guesses for six names, the time of 100
updates, and what the course proposes to add to the network.
"""

import math
import time
from dataclasses import asdict

import numpy as np
from sklearn.metrics import confusion_matrix

from fastconv import models
from fastconv.datasets import load_surnames
from fastconv.errors import DataError
from fastconv.gradient_check import check_gradients
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import layer_shapes
from fastconv.optim import SGD
from fastconv.reproduce.base import Study, middle, points
from fastconv.reproduce.data import data_folder
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.text import Alphabet
from fastconv.training import Trainer

GOAL = 1e-6
"""The gradient check's largest allowed error."""
BATCH, RATE, MOMENTUM = 19, 0.001, 0.9
PARAMETERS = {"F1": "0.w", "F2": "2.w", "W": "5.w"}
"""The original's names of the parameters, and the network's."""
GRADIENT_SETTINGS = {"filters": (5, 5), "widths": (5, 5), "step": 1e-5}
BALANCE_NET = {"filters": (20, 20), "widths": (5, 3)}
BEST_NET = {"filters": (30, 30), "widths": (5, 5)}
EXTRAS = {
    "best network": {},
    "biases": {"bias": True},
    "max-pooling": {"pool_size": 2},
    "a third convolution": {"filters": (30, 30, 30), "widths": (5, 5, 5)},
    "dilation": {"dilations": (1, 2)},
    "128 filters": {"filters": (128, 128)},
}
"""By label, what the network has instead of or besides the settings of the best one."""
SHORTEST = 16
"""Characters that all these networks need."""
NAMES = ("huang", "maria", "akeel", "andreas", "gonzales", "woods")
LANGUAGES = (
    "Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek", "Irish", "Italian", "Japanese",
    "Korean", "Polish", "Portuguese", "Russian", "Scottish", "Spanish", "Vietnamese",
)  # fmt: skip
"""The original's classes, 1 to 18."""
COURSE = (20_050, 252)
"""Names, and those for validation, of the course's files."""
RUNS = {
    "plain": ("no compensation", {}, {}),
    "weighted": ("loss weighted by class", {"class_weight": "balanced"}, {}),
    "undersampled": ("effective epoch", {}, {"sampling": "undersample"}),
}
"""Label, arguments of the loss and of the trainer."""

ORIGINAL = {
    "gradient_errors": {
        "batches": [2, 18, 118, 1062],
        "F1": [2.54e-11, 6.89e-10, 2.07e-04, 7.77e-05],
        "F2": [5.90e-10, 3.99e-09, 9.21e-06, 7.48e-08],
        "W": [6.61e-09, 1.05e-07, 2.11e-07, 1.87e-06],
    },
    "balance": {
        "plain": {"seconds": 258, "train": "over 70 %", "validation": "under 30 %"},
        "weighted": {"seconds": 240, "train": "about 45 %", "validation": "about 45 %"},
    },
    "best": {
        "accuracy": 0.5119,
        "seconds": 567,
        "by_class": [
            71.43, 52.38, 42.86, 53.33, 30.77, 35.71, 50.00, 55.56, 39.13, 42.11, 73.34, 66.67, 78.57, 12.50, 81.82,
            33.33, 20.00, 60.00,
        ],
    },
    "guesses": {
        "huang": [(2, 0.46), (18, 0.34), (12, 0.19)],
        "maria": [(17, 0.43), (10, 0.21), (6, 0.12)],
        "akeel": [(4, 0.23), (5, 0.18), (3, 0.11)],
        "andreas": [(8, 0.25), (4, 0.18), (14, 0.17)],
        "gonzales": [(17, 0.64), (8, 0.11), (6, 0.08)],
        "woods": [(5, 0.30), (16, 0.19), (3, 0.11)],
    },
    "true": dict(zip(NAMES, (2, 15, 1, 7, 17, 5), strict=True)),
    "timing": {"updates": 114, "batch_size": 521, "optimised_seconds": 35, "naive_seconds": 2700},
}  # fmt: skip
"""What the student's report found, on the course's files; classes count from 1."""


class Surnames(Study):
    """The study of the surname ConvNet."""

    NAME = "surnames"
    TITLE = "Surnames and their languages: a small ConvNet, reproduced"
    DATA = "surnames"
    ORIGINAL = ORIGINAL
    PARTS = (
        ("gradient check", "gradient_check"),
        ("training with and without compensation", "balance"),
        ("best network", "best"),
        ("timing", "timing"),
        ("extras", "extras"),
    )

    def __init__(self, data, options):
        super().__init__(data, options)
        names, quick = load_surnames(data_folder(data, self.DATA)), self.quick
        if len(names.target_names) < 3 or not len(names.train) or not len(names.validation):
            raise DataError("surnames: needs three languages, and names to train and to validate")
        self.names = names
        self.alphabet = Alphabet.from_strings(names.data)
        self.length = max(SHORTEST, *map(len, names.data))
        self.x, self.y = self.alphabet.encode(names.data, self.length), names.target
        self.classes = list(names.target_names)
        self.course = (len(names.data), len(names.validation)) == COURSE and len(self.classes) == 18
        self.train = self.x[names.train], self.y[names.train]
        self.validation = self.x[names.validation], self.y[names.validation]
        self.updates = (
            {"balance": 60, "best": 60, "timing": 10} if quick else {"balance": 20_840, "best": 30_218, "timing": 100}
        )
        self.timing_batch = 10 if quick else 100
        self.evaluate_every = 20 if quick else 1042
        self.batches = (2, 18) if quick else (2, 18, 118, 1062)
        self.seeds = self.seeds_of(5)
        kept = np.bincount(self.train[1], minlength=len(self.classes))
        self.results["data"] = {
            "source": "the course's files" if self.course else "the bundled names" if data is None else "a folder",
            "names": len(names.data), "train": len(names.train), "validation": len(names.validation),
            "alphabet": self.alphabet.symbols, "length": self.length, "classes": self.classes,
            "train_names_by_class": kept.tolist(),
        }  # fmt: skip
        self.results["settings"] |= {
            "seeds": self.seeds, "batch_size": BATCH, "learning_rate": RATE, "momentum": MOMENTUM,
            "updates": self.updates, "gradient_check": GRADIENT_SETTINGS, "gradient_batches": list(self.batches),
            "balance_network": BALANCE_NET, "best_network": BEST_NET, "extras": EXTRAS,
            "initial_weights": "normal, sigma sqrt(2/(d n_len)), sqrt(2/(n1 n_len1)), sqrt(2/(n2 n_len2))",
        }  # fmt: skip

    def network(self, settings, seed, dtype="float32"):
        """Return a network with the original's initial weights: normal, of its own sigmas."""
        sizes = {name: settings[name] for name in settings if name != "step"}
        net = models.surname_convnet(len(self.alphabet), self.length, len(self.classes), dtype=dtype, **sizes)
        initialise(net, seed)
        return net

    # The parts

    def gradient_check(self):
        """Part 1."""
        started = time.perf_counter()
        net = self.network(GRADIENT_SETTINGS, self.seed, "float64")
        rows = []
        found = self.results["gradient_check"] = {"rows": rows, "step": GRADIENT_SETTINGS["step"], "goal": GOAL}
        for batch in self.batches:
            rng = np.random.default_rng([self.seed, batch])
            chosen = rng.choice(len(self.train[0]), min(batch, len(self.train[0])), replace=False)
            checked = check_gradients(net, self.train[0][chosen], self.train[1][chosen], step=GRADIENT_SETTINGS["step"])
            rows.append({"batch": batch, **{name: asdict(checked[key]) for name, key in PARAMETERS.items()}})
        found["largest_error"] = max(row[name]["error"] for row in rows for name in PARAMETERS)
        found["goal_met"] = found["largest_error"] <= GOAL
        found["seconds"] = time.perf_counter() - started
        return self.gradient_section(found)

    def balance(self):
        """Part 2."""
        runs = self.results["balance"] = {}
        for name, (label, loss, trainer) in RUNS.items():
            self.running = label
            net = self.network(BALANCE_NET, self.seed)
            runs[name] = {"label": label, **self.fit(net, "balance", self.seed, loss, trainer)}
            self.note(
                f"{label}: validation accuracy {runs[name]['validation_accuracy']:.1%} in {runs[name]['seconds']:.1f} s"
            )
        return self.balance_section(runs)

    def best(self):
        """Parts 3 and 4."""
        best = self.results["best"] = {"seeds": []}
        nets = {}
        for seed in self.seeds:
            self.running = f"best network, seed {seed}"
            nets[seed] = self.network(BEST_NET, seed)
            best["seeds"].append({"seed": seed, **self.fit(nets[seed], "best", seed, {"class_weight": "balanced"}, {})})
            self.note(
                f"seed {seed}: {best['seeds'][-1]['validation_accuracy']:.2%} in {best['seeds'][-1]['seconds']:.1f} s"
            )
        shown = best["seeds"][middle(best["seeds"], "validation_accuracy")]
        best["shown_seed"] = shown["seed"]
        best["median_accuracy"] = shown["validation_accuracy"]
        best["recall"], best["precision"] = shares_by_class(shown["confusion"])
        self.results["guesses"] = self.guesses(nets[shown["seed"]])
        return self.best_section(best, shown)

    def timing(self):
        """Part 5."""
        try:
            result = time_updates(
                self.updates["timing"], self.timing_batch, self.x, self.y, quick=self.quick, echo=self.echo
            )
        except (OSError, RuntimeError) as error:
            self.results["timing"] = {"unavailable": str(error)}
            return Section("5. The timing", [f"It did not run: {error}"])
        self.results["timing"] = result
        return self.timing_section(result)

    def extras(self):
        """Part 6."""
        networks = self.results["extras"] = {}
        for label, changes in EXTRAS.items():
            runs = []
            for seed in self.seeds:
                self.running = f"{label}, seed {seed}"
                net = self.network(BEST_NET | changes, seed)
                run = self.fit(net, "best", seed, {"class_weight": "balanced"}, {})
                runs.append({name: run[name] for name in ("validation_accuracy", "train_accuracy", "seconds")})
            found = {name: [run[name] for run in runs] for name in runs[0]}
            mean = float(np.mean(found["validation_accuracy"]))
            networks[label] = {"weights": net.parameters.size, **found, "mean": mean}
            self.note(f"{label}: mean validation accuracy {mean:.2%}, {sum(found['seconds']):.1f} s")
        return self.extras_section(networks)

    def fit(self, net, part, seed, loss, trainer):
        """Train a network and return what is known of it then."""
        trainer = Trainer(
            net, SoftmaxCrossEntropy(**loss), SGD(RATE, MOMENTUM), BATCH, threads=self.threads, seed=seed, **trainer
        )
        history = trainer.fit(
            *self.train, updates=self.updates[part], validation=self.validation, evaluate_every=self.evaluate_every,
            progress=self.progress,
        )  # fmt: skip
        classes = range(len(self.classes))
        confusion, training = (
            confusion_matrix(y, net.predict(x), labels=classes) for x, y in (self.validation, self.train)
        )
        return {
            "updates": trainer.updates,
            "epochs": history.records[-1]["epoch"],
            "seconds": history.records[-1]["seconds"],
            "validation_accuracy": float(np.trace(confusion) / confusion.sum()),
            "validation_loss": history.records[-1]["validation_loss"],
            "train_accuracy": float(np.trace(training) / training.sum()),
            "train_accuracy_class_mean": float(np.mean([r for r in shares_by_class(training)[0] if r is not None])),
            "confusion": confusion.tolist(),
            "records": history.records,
        }

    def guesses(self, net):
        """Return a network's three best guesses for each of the six names; classes count from 1."""
        codes = self.alphabet.encode(list(NAMES), self.length)
        seen = {self.names.data[i] for i in self.names.train}
        found = {}
        for name, p in zip(NAMES, net.predict_proba(codes), strict=True):
            order = np.argsort(-p, kind="stable")[:3]
            found[name] = {"here": [[int(c) + 1, float(p[c])] for c in order], "in_training": name in seen}
        return found

    # The sections

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        if self.course:
            return "The original's figures were found on these same files."
        return (
            "The original's figures belong to the course's files (20,050 names), not to these names: they stand beside "
            "the figures found here for orientation, and are not what these names should give."
        )

    def introduction(self):
        """Return the question and the setting."""
        facts = self.results["data"]
        parts = [
            "Can a small convolutional network tell from which of 18 languages a surname comes? A student's report of "
            "2019 on assignment 3 of KTH's course DD2424 answered it in MATLAB, in minutes. Here the same study is run "
            "again.",
            f"Data: {facts['source']}, {facts['names']:,} names of {len(self.classes)} languages, {facts['train']:,} "
            f"to train and {facts['validation']} to validate, of at most {self.length} characters from an alphabet of "
            f"{len(self.alphabet)}. {self.whose()}",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def gradient_section(self, found):
        """Return the section on the gradient check."""
        original = ORIGINAL["gradient_errors"]
        rows = [
            (
                f"{row['batch']:,}",
                *(
                    f"{errors[original['batches'].index(row['batch'])]:.2e}"
                    for errors in (original[n] for n in PARAMETERS)
                ),
                *(f"{row[name]['error']:.2e}" for name in PARAMETERS),
                str(sum(row[name]["repeated"] for name in PARAMETERS)),
                f"{max(row[name]['plain_error'] for name in PARAMETERS):.2e}",
            )
            for row in found["rows"]
        ]
        entries = sum(row[name]["entries"] for row in found["rows"] for name in PARAMETERS)
        repeated = sum(row[name]["repeated"] for row in found["rows"] for name in PARAMETERS)
        unresolved = sum(row[name]["unresolved"] for row in found["rows"] for name in PARAMETERS)
        plain = max(row[name]["plain_error"] for row in found["rows"] for name in PARAMETERS)
        kinks = (
            "Where the step of 1e-5 switches a ReLU on or off, the difference quotient is not the derivative; such an "
            f"entry is repeated with a smaller step. Of {entries:,} entries here {repeated} were"
            + (f", and for {unresolved} the smallest step of 1e-8 still switches one" if unresolved else "")
            + f"; without that the largest error would be {plain:.2e}. No entry is left out of the means."
        )
        here = {name: [row[name]["error"] for row in found["rows"]] for name in PARAMETERS}
        there = {name: original[name][: len(here[name])] for name in PARAMETERS}
        seen = (
            f"The largest error here is {found['largest_error']:.2e}, "
            + (f"within the goal of {GOAL:.0e}" if found["goal_met"] else f"beyond the goal of {GOAL:.0e}")
            + f"; the original's largest at these batch sizes is {max(max(v) for v in there.values()):.2e}."
        )
        return Section(
            "1. Gradient check",
            [
                "Analytic gradients against central differences in float64, step 1e-5, two layers of 5 filters of "
                "width 5: |ga - gn| / max(eps, |ga| + |gn|), averaged over the entries of each parameter.",
                Table(
                    "Mean relative error",
                    (
                        *("batch", "F1 orig.", "F2 orig.", "W orig.", "F1 here", "F2 here", "W here"),
                        *("repeated", "largest without"),
                    ),
                    rows,
                ),
                kinks,
                Picture(
                    "gradient-errors", seen, lambda plots: plots.gradient_errors(list(self.batches), here, there, GOAL)
                ),
            ],
        )  # fmt: skip

    def balance_section(self, runs):
        """Return the section on training with and without compensation."""
        rows = []
        for name, run in runs.items():
            there = ORIGINAL["balance"].get(name, {"seconds": "-", "train": "-", "validation": "-"})
            rows.append(
                (
                    run["label"],
                    there["train"],
                    f"{run['train_accuracy']:.1%}",
                    f"{run['train_accuracy_class_mean']:.1%}",
                    there["validation"],
                    f"{run['validation_accuracy']:.1%}",
                    str(there["seconds"]),
                    f"{run['seconds']:.2f}",
                )
            )
        final = [
            (
                run["label"],
                f"{run['epochs']:.1f}",
                f"{run['records'][-1]['train_loss']:.3f}",
                f"{run['validation_loss']:.3f}",
            )
            for run in runs.values()
        ]
        gaps = {run["label"]: run["train_accuracy"] - run["validation_accuracy"] for run in runs.values()}
        pictures = [
            Picture(
                "losses",
                self.loss_sentence(runs),
                lambda plots: plots.loss_curves({run["label"]: run["records"] for run in runs.values()}),
            )
        ]
        for name, run in runs.items():
            title = f"Validation names, {run['label']}: {run['validation_accuracy']:.1%}"
            pictures.append(
                Picture(
                    f"confusion-{name}",
                    self.confusion_sentence(run),
                    lambda plots, run=run, title=title: plots.confusion_matrix(run["confusion"], self.classes, title),
                )
            )
        return Section(
            "2. With and without compensation for unequal classes",
            [
                f"{self.updates['balance']:,} updates of {BATCH} names, two layers of 20 filters of widths 5 and 3, "
                f"SGD with rate {RATE} and momentum {MOMENTUM}. Compensation: each name's loss weighted by N / (K n_y) "
                "or an effective epoch, which draws as many names from every class as the smallest has, anew "
                "each time. Without compensation the original's guesses were mostly English and Russian.",
                Table(
                    "Accuracy after the last update, and seconds of training",
                    ("run", "train orig.", "train", "class mean", "valid. orig.", "valid.", "s orig.", "s"),
                    rows,
                ),
                "From the training to the validation names the accuracy falls by "
                + ", ".join(f"{100 * gap:.1f} points ({label})" for label, gap in gaps.items())
                + "; in the original by over 40 without compensation, hardly with weighted losses.",
                Table("Losses", ("run", "epochs", "training batches", "validation"), final),
                *pictures,
            ],
        )  # fmt: skip

    def loss_sentence(self, runs):
        """Return what is seen in the loss curves."""
        parts = []
        for run in runs.values():
            lowest = min(run["records"], key=lambda record: record["validation_loss"])
            trend = "at its end" if lowest is run["records"][-1] else f"after {lowest['update']:,} updates"
            parts.append(
                f"{run['label'].capitalize()}: the validation loss is lowest, {lowest['validation_loss']:.2f}, {trend}"
            )
        return (
            ". ".join(parts) + ". The training loss is that of the batches since the last point; where it is weighted, "
            "with its weights."
        )

    def confusion_sentence(self, run):
        """Return what is seen in a confusion matrix."""
        matrix = np.array(run["confusion"])
        guessed = matrix.sum(axis=0)
        first, second = np.argsort(-guessed, kind="stable")[:2]
        wrong = matrix - np.diag(np.diag(matrix))
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        never = int(np.sum(guessed == 0))
        return (
            f"{run['label'].capitalize()}: {self.classes[first]} and {self.classes[second]} take "
            f"{(guessed[first] + guessed[second]) / guessed.sum():.0%} of the guesses for "
            f"{(matrix[first].sum() + matrix[second].sum()) / matrix.sum():.0%} of the names; the commonest mistake is "
            f"{self.classes[column]} for {self.classes[row]} ({wrong[row, column]} of {matrix[row].sum()})"
            + (f"; {never} of {len(self.classes)} languages are never guessed." if never else ".")
        )

    def best_section(self, best, shown):
        """Return the section on the best network."""
        original = ORIGINAL["best"]
        seeds = [
            (
                f"{entry['seed']}" + (" (shown)" if entry["seed"] == best["shown_seed"] else ""),
                f"{entry['validation_accuracy']:.2%}",
                f"{entry['train_accuracy']:.2%}",
                f"{entry['seconds']:.2f}",
            )
            for entry in best["seeds"]
        ]
        accuracies = [entry["validation_accuracy"] for entry in best["seeds"]]
        counts = np.sum(shown["confusion"], axis=1)
        by_class = [
            (
                name,
                str(counts[i]),
                _percent(best["recall"][i]),
                _percent(best["precision"][i]),
                _original_of_class(name, i),
            )
            for i, name in enumerate(self.classes)
        ]
        shares = {
            "here, of the language's names": best["recall"],
            "here, of the guesses of the language": best["precision"],
        }
        if self.classes_are_the_originals():
            shares["original"] = [value / 100 for value in original["by_class"]]
        recall = best["recall"]
        order = sorted((i for i in range(len(recall)) if recall[i] is not None), key=lambda i: recall[i])
        seen = (
            f"Seed {best['shown_seed']} recognises most names of {self.classes[order[-1]]} ({recall[order[-1]]:.0%}) "
            f"and {self.classes[order[-2]]} ({recall[order[-2]]:.0%}), fewest of {self.classes[order[0]]} "
            f"({recall[order[0]]:.0%}) and {self.classes[order[1]]} ({recall[order[1]]:.0%})."
        )
        title = f"Validation names, best network, seed {best['shown_seed']}: {shown['validation_accuracy']:.2%}"
        seconds = float(np.median([entry["seconds"] for entry in best["seeds"]]))
        count = len(accuracies)
        what = f"median of {count} seeds" if count > 1 else "one seed"
        return Section(
            "3. The best network, and 4. its guesses",
            [
                f"{self.updates['best']:,} updates of {BATCH} names, two layers of 30 filters of width 5, the loss "
                "weighted by class. The network shown below is that of the median seed.",
                Table(
                    "Original and here",
                    ("", "original", "here"),
                    [
                        (f"accuracy ({what})", f"{original['accuracy']:.2%}", f"{best['median_accuracy']:.2%}"),
                        ("lowest and highest", "-", f"{min(accuracies):.2%} to {max(accuracies):.2%}"),
                        ("seconds of training (median)", str(original["seconds"]), f"{seconds:.2f}"),
                    ],
                ),
                f"The {what} is {points(best['median_accuracy'], original['accuracy'])} the original"
                + f", the best seed {points(max(accuracies), original['accuracy'])}" * (count > 1)
                + ".",
                Table("Every seed", ("seed", "validation", "training", "seconds"), seeds),
                Table(
                    "Shares that are right, by language (%)",
                    ("language", "names", "of the names", "of the guesses", "original"),
                    by_class,
                ),
                "The original's values by language cannot be shares of the 14 validation names of each: most are "
                "no multiples of 1/14, and their mean is 49.97, not 51.19. As shares of the guesses of a language that "
                "are right they are possible; compare them with that column.",
                Picture(
                    "accuracy-by-class",
                    seen,
                    lambda plots: plots.accuracy_by_class(self.classes, shares, "Best network, validation names"),
                ),
                Picture(
                    "confusion-best",
                    self.confusion_sentence({**shown, "label": f"seed {best['shown_seed']}"}),
                    lambda plots: plots.confusion_matrix(shown["confusion"], self.classes, title),
                ),
                *self.guess_parts(),
            ],
        )  # fmt: skip

    def classes_are_the_originals(self):
        """Return whether the languages are the original's, in its order."""
        return tuple(self.classes) == LANGUAGES

    def guess_parts(self):
        """Return the table of the six names' guesses and the sentence on it."""
        found = self.results["guesses"]
        rows = []
        for name in NAMES:
            true = LANGUAGES[ORIGINAL["true"][name] - 1]
            for i, (there, here) in enumerate(zip(ORIGINAL["guesses"][name], found[name]["here"], strict=True)):
                first = (name, true) if i == 0 else ("", "")
                rows.append(
                    (*first, f"{LANGUAGES[there[0] - 1]} {there[1]:.2f}", f"{self.classes[here[0] - 1]} {here[1]:.2f}")
                )
        right = [n for n in NAMES if self.classes[found[n]["here"][0][0] - 1] == LANGUAGES[ORIGINAL["true"][n] - 1]]
        there = [n for n in NAMES if ORIGINAL["guesses"][n][0][0] == ORIGINAL["true"][n]]
        seen = [n for n in NAMES if found[n]["in_training"]]
        return [
            Table("Three best guesses and their probabilities", ("name", "true", "original", "here"), rows, left=4),
            f"The first guess is right for {len(right)} of {len(NAMES)} names here, for {len(there)} in the original. "
            + (f"Among the training names are {', '.join(seen)}." if seen else "None is among the training names."),
        ]

    def timing_section(self, result):
        """Return the section on the timing."""
        rows = [
            (
                row["name"],
                str(row["threads"]),
                f"{1000 * row['seconds']:,.1f}" + (f" ({row['scaled_from']} timed)" if row["scaled_from"] else ""),
                f"{row['ratio_to_naive']:,.1f}",
                f"{row['ratio_to_best_peer']:.2g}",
                f"{row['loss']:.4f}",
            )
            for row in result["rows"]
        ]
        updates, there = self.updates["timing"], ORIGINAL["timing"]
        title = f"5. The time of {updates} updates"
        own = [row for row in result["rows"] if row["name"] == "fastconv"]
        seen = "; ".join(
            f"fastconv with {row['threads']} thread{'s' * (row['threads'] > 1)}: {1000 * row['seconds']:.1f} ms for "
            f"{updates} updates, {row['ratio_to_naive']:,.0f} times as fast as the naive network and "
            f"{row['ratio_to_best_peer']:.1f} times as fast as the best of the others"
            for row in own
        )
        parts = [
            f"{updates} updates of {self.timing_batch} names, two layers of 30 filters of width 5, float32, every "
            f"implementation in turn. The original's comparison, {there['updates']} updates of {there['batch_size']} "
            f"names on its machine: {there['naive_seconds']:,} s with the naive matrices, {there['optimised_seconds']} "
            f"s with both efficiency gains, {there['naive_seconds'] / there['optimised_seconds']:.0f} times as fast.",
            Table(
                f"Milliseconds for {updates} updates",
                ("implementation", "threads", "ms", "x naive", "x best other", "last loss"),
                rows,
            ),
        ]
        if any(row["scaled_from"] for row in result["rows"]):
            parts.append("Where fewer updates were timed, the time is scaled and the loss is that after those.")
        if result.get("missing"):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in result["missing"].items())
            parts.append(f"Left out: {reasons}.")
        parts.append(Picture("timing", seen + ".", lambda plots: plots.timing_bars(result["rows"], updates)))
        return Section(title, parts)

    def extras_section(self, networks):
        """Return the section on what the course proposes to add."""
        (base, best), *others = networks.items()
        rows, shares = [], {"lowest seed": [], "mean": [], "highest seed": []}
        for label, network in networks.items():
            accuracies, seconds = network["validation_accuracy"], float(np.median(network["seconds"]))
            for name, value in zip(shares, (min(accuracies), network["mean"], max(accuracies)), strict=True):
                shares[name].append(value)
            rows.append(
                (
                    label if label == base else f"with {label}",
                    f"{network['weights']:,}",
                    f"{ORIGINAL['best']['accuracy']:.2%}" if label == base else "-",
                    f"{network['mean']:.2%}",
                    f"{min(accuracies):.2%} to {max(accuracies):.2%}",
                    f"{np.mean(network['train_accuracy']):.2%}",
                    f"{seconds:.2f}",
                    f"{self.updates['best'] * BATCH / seconds:,.0f}",
                )
            )

        def beyond(sign):
            """The networks that every seed puts on one side of the best one."""
            gains = {label: np.subtract(n["validation_accuracy"], best["validation_accuracy"]) for label, n in others}
            return ", ".join(label for label, gain in gains.items() if np.all(sign * gain > 0)) or "none"

        top, bottom = (pick(others, key=lambda entry: entry[1]["mean"]) for pick in (max, min))
        widest = max(max(n["validation_accuracy"]) - min(n["validation_accuracy"]) for n in networks.values())
        seen = (
            f"The mean accuracy is highest with {top[0]}, {top[1]['mean']:.2%}, and lowest with {bottom[0]}, "
            f"{bottom[1]['mean']:.2%}; the {base} has {best['mean']:.2%}. Better than it with every seed: {beyond(1)}; "
            f"worse with every seed: {beyond(-1)}. A network's seeds differ by up to {100 * widest:.1f} points; one "
            f"validation name is {100 / len(self.validation[1]):.1f} points."
        )
        count = len(self.seeds)
        title = f"What is added to the best network, {count} seed{'s' * (count > 1)} each"
        limits = (
            10 * math.floor(10 * min(shares["lowest seed"])),
            10 * math.floor(10 * max(shares["highest seed"])) + 10,
        )
        return Section(
            "6. What the course proposes to add",
            [
                f"The best network again, {self.updates['best']:,} updates of {BATCH} names, one change at a time: "
                "biases in all layers, max-pooling over 2 positions after each convolution, a third convolution of 30 "
                "filters of width 5, dilation 2 in the second convolution, or 128 filters in place of 30. All else is "
                "the same, the learning rate too: nothing is tuned for the change. Seconds are those of training, "
                "evaluations included (median); names a second follow from them.",
                Table(
                    "Original and here",
                    (
                        *("network", "weights", "valid. orig.", "valid. mean", "lowest to highest", "train mean"),
                        *("s", "names/s"),
                    ),
                    rows,
                ),
                Picture(
                    "extras",
                    seen,
                    lambda plots: plots.accuracy_by_class(
                        list(networks), shares, title, limits, "validation accuracy (%)"
                    ),
                ),
            ],
        )  # fmt: skip

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        results, rows = self.results, []
        ratio = ORIGINAL["timing"]["naive_seconds"] / ORIGINAL["timing"]["optimised_seconds"]
        if "goal_met" in results.get("gradient_check", {}):
            most = max(max(ORIGINAL["gradient_errors"][name]) for name in PARAMETERS)
            rows.append(("largest gradient error", f"{most:.2e}", f"{results['gradient_check']['largest_error']:.2e}"))
        for name, run in results.get("balance", {}).items():
            there = ORIGINAL["balance"].get(name, {"seconds": "-", "validation": "-"})
            rows.append(
                (f"validation accuracy, {run['label']}", there["validation"], f"{run['validation_accuracy']:.1%}")
            )
            rows.append((f"seconds, {run['label']}", str(there["seconds"]), f"{run['seconds']:.2f}"))
        if "median_accuracy" in results.get("best", {}):
            best, there = results["best"], ORIGINAL["best"]
            seconds = float(np.median([entry["seconds"] for entry in best["seeds"]]))
            rows.append(
                ("validation accuracy, best network", f"{there['accuracy']:.2%}", f"{best['median_accuracy']:.2%}")
            )
            rows.append(("seconds, best network", str(there["seconds"]), f"{seconds:.2f}"))
        for row in results.get("timing", {}).get("rows", ()):
            if row["name"] == "fastconv":
                label = f"times as fast as the naive network, {row['threads']} thread{'s' * (row['threads'] > 1)}"
                rows.append((label, f"{ratio:.0f}", f"{row['ratio_to_naive']:,.0f}"))
        for label, network in list(results.get("extras", {}).items())[1:]:
            rows.append((f"validation accuracy (mean), best network with {label}", "-", f"{network['mean']:.2%}"))
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return (
            f"Seed {self.seed}. Initial weights as in the original: {self.results['settings']['initial_weights']}, d "
            "being the alphabet's size."
        )


def initialise(net, seed):
    """Set a surname network's weights as the original did: normal, of variance 2 / (rows x columns of a layer's input).

    Parameters
    ----------
    net : Sequential
        Changed in place; biases stay zero.
    seed : int
        Layer i is drawn by a generator seeded with (seed, i).

    Examples
    --------
    >>> import fastconv as fc
    >>> from fastconv.reproduce.surnames import initialise
    >>> net = fc.models.surname_convnet(28, 19, 18)
    >>> initialise(net, seed=0)
    >>> bool(abs(net.params["2.w"].std() - (2 / (20 * 15)) ** 0.5) < 0.01)
    True
    """
    shapes = layer_shapes(net.layers, net.input)
    for key, w in net.params.items():
        layer, kind = key.split(".")
        if kind == "w":
            rng = np.random.default_rng([seed, int(layer)])
            w[...] = rng.normal(0, np.sqrt(2 / math.prod(shapes[int(layer)])), w.shape)


def shares_by_class(confusion):
    """Return recall and precision of each class, lists of float, None where there is nothing to divide by.

    Examples
    --------
    >>> from fastconv.reproduce.surnames import shares_by_class
    >>> shares_by_class([[1, 1], [0, 0]])
    ([0.5, None], [1.0, 0.0])
    """
    confusion = np.asarray(confusion)
    right = np.diag(confusion)
    return tuple(
        [float(r / n) if n else None for r, n in zip(right, confusion.sum(axis=axis), strict=True)] for axis in (1, 0)
    )


def time_updates(updates, batch_size, codes, labels, quick, echo):
    """Return the timing of all implementations at hand; see :func:`fastconv.bench.timing.run`."""
    from fastconv.bench import timing

    return timing.run(
        updates=updates, batch_size=batch_size, threads=(1, 2), codes=codes, labels=labels, quick=quick, echo=echo
    )


def _percent(share):
    return "-" if share is None else f"{100 * share:.2f}"


def _original_of_class(name, i):
    return f"{ORIGINAL['best']['by_class'][i]:.2f}" if LANGUAGES[i : i + 1] == (name,) else "-"


STUDY = Surnames
