"""A network of two layers at a cyclical learning rate: KTH's course DD2424, assignment 2, and a student's report on it.

h = max(0, W1 x + b1), p = softmax(W2 h + b2) on CIFAR-10. Six parts: the gradient check, the check that the network can
learn a few images by heart, the learning rate, three ways to record the cost, the search for lambda, and the final
network.
"""

import math
import time
from dataclasses import asdict
from functools import cached_property

import numpy as np

from fastconv import search
from fastconv.errors import NonFiniteLossError
from fastconv.gradient_check import check_gradients
from fastconv.layers import Dense, ReLU, VectorInput
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import Sequential
from fastconv.optim import SGD
from fastconv.reproduce.base import Study, line, middle, points
from fastconv.reproduce.data import colour_images, colour_words, first_batches, standardised_vectors
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.schedules import Cyclical
from fastconv.training import Trainer

GOAL = 1e-11
"""The gradient check's largest allowed mean absolute difference."""
CHECKS = ((20, 50, 20), (None, 10, 5))
"""Dimensions (None: all), hidden units and images of the gradient checks."""
PARAMETERS = {"W1": "0.w", "b1": "0.b", "W2": "2.w", "b2": "2.b"}
BATCH, UNITS, PENALTY, RATES, KEEP = 100, 50, 0.01, (1e-5, 1e-1), 0.99
FEW = {"images": 100, "epochs": 200, "rate": 0.001, "goal": 0.8}
"""The images that are to be learnt by heart."""
ALL, MEAN, RUNNING = WAYS = ("all data", "batch mean", "running mix")
ROWS = (
    (ALL, 1, 500, 50), (MEAN, 1, 500, 50), (RUNNING, 1, 500, 50), (ALL, 3, 800, 50), (MEAN, 3, 800, 50),
    (RUNNING, 3, 800, 50), (MEAN, 3, 800, 100),
)  # fmt: skip
"""How the cost is recorded, cycles, n_s, hidden units."""
SEARCHES = {"coarse": ((1e-5, 1e-1), 8), "fine": ((1e-5, 1e-4), 16)}
"""Range of lambda, and how many are tried."""
FINAL = {"units": 200, "penalty": 3.5447e-5, "cycles": 3, "n_s": 800, "batches": [200, 100, 50, 10]}
ORIGINAL = {
    "rows": {
        "accuracy": [0.454, 0.4612, 0.4526, 0.4599, 0.4641, 0.4636, 0.4763],
        "seconds": [159, 83, 85, 479, 254, 255, 287],
    },
    "coarse": {"penalty": [0.0013, 9.2e-5], "accuracy": [0.5022, 0.5020]},
    "fine": {"penalty": [3.54e-5], "accuracy": [0.5056]},
    "final": [0.5336, 0.5186, 0.5051, 0.4141],
}
"""What the student's report found: the rows above; the best of each search; the final network for each batch size."""


class CyclicalMLP(Study):
    """The study of the network of two layers."""

    NAME = "cyclical-mlp"
    TITLE = "Two layers and a cyclical learning rate, reproduced"
    DATA = "cifar10"
    ORIGINAL = ORIGINAL
    PARTS = (
        ("gradient check", "gradient_check"),
        ("a few images by heart", "by_heart"),
        ("learning rate", "rates"),
        ("three ways to record the cost", "recording"),
        ("search for lambda", "searches"),
        ("final network", "final"),
    )

    def __init__(self, data, options):
        super().__init__(data, options)
        self.images = colour_images(data)
        self.sets = standardised_vectors(self.images, first_batches(self.images))
        self.size, self.classes = self.sets[0][0].shape[1], len(self.images.target_names)
        few = self.quick
        self.shorter = 100 if few else 1  # n_s is divided by that
        self.evaluate_every = 5 if few else 100
        self.seeds = self.seeds_of(5)
        self.checks = [(n or self.size, *rest) for n, *rest in (CHECKS[:1] if few else CHECKS)]
        self.trials = {name: 3 if few else count for name, (_, count) in SEARCHES.items()}
        self.search_step = 5 if few else 2 * (len(self.images.train) // BATCH)
        self.results["data"] = {
            "source": self.images.name, "first_batches": [len(y) for _, y in self.sets],
            "all": [len(rows) for rows in (self.images.train, self.images.validation, self.images.test)],
        }  # fmt: skip
        self.results["settings"] |= {
            "seeds": self.seeds, "batch_size": BATCH, "penalty": PENALTY, "rates": RATES, "keep": KEEP, "few": FEW,
            "rows": ROWS, "n_s_divided_by": self.shorter, "searches": SEARCHES, "search_n_s": self.search_step,
            "trials": self.trials, "final": FINAL, "initial_weights": "W1 normal, sigma^2 1/d; W2 1/m; biases 0",
        }  # fmt: skip

    @cached_property
    def all_images(self):
        """All images to train but those that validate, those, and those to test."""
        rows = self.images.train, self.images.validation, self.images.test
        return standardised_vectors(self.images, rows)

    def network(self, units, seed, dtype="float32", size=None):
        """Return a network with the original's initial weights: of variance 1 / d and 1 / m, without biases."""
        d = size or self.size
        layers = [Dense(units, init=d**-0.5), ReLU(), Dense(self.classes, init=units**-0.5)]
        return Sequential(layers, input=VectorInput(d), dtype=dtype, seed=seed)

    # The parts

    def gradient_check(self):
        """Part 1."""
        found = self.results["gradient_check"] = {"rows": [], "goal": GOAL}
        for size, units, images in self.checks:
            x, y = (array[:images] for array in self.sets[0])
            net = self.network(units, self.seed, "float64", size)
            checked = check_gradients(net, x[:, :size], y, SoftmaxCrossEntropy(l2=PENALTY))
            row = {"dimensions": size, "units": units, "images": images}
            found["rows"].append(row | {name: asdict(checked[key]) for name, key in PARAMETERS.items()})
            largest = max(found["rows"][-1][name]["difference"] for name in PARAMETERS)
            self.note(f"gradients on {size:,} dimensions: mean absolute difference {largest:.1e}")
        found["largest"] = max(row[name]["difference"] for row in found["rows"] for name in PARAMETERS)
        return self.gradient_section(found)

    def by_heart(self):
        """Part 2."""
        x, y = (array[: FEW["images"]] for array in self.sets[0])
        net = self.network(UNITS, self.seed)
        trainer = Trainer(net, None, SGD(FEW["rate"]), BATCH, threads=self.threads, seed=self.seed)
        records = trainer.fit(x, y, epochs=FEW["epochs"], progress=self.progress).records
        cost, accuracy = net.evaluate(x, y, threads=self.threads)
        found = self.results["by_heart"] = {"accuracy": accuracy, "cost": cost, "records": records}
        self.note(f"{FEW['images']} images by heart: accuracy {accuracy:.0%}")
        return self.by_heart_section(found)

    def rates(self):
        """Part 3."""
        trainer = Trainer(
            self.network(UNITS, self.seed), SoftmaxCrossEntropy(l2=PENALTY), SGD(RATES[0]), BATCH,
            threads=self.threads, seed=self.seed,
        )  # fmt: skip
        found = search.rate_range(trainer, *self.sets[0], low=1e-6, high=10.0, updates=20 if self.quick else 400)
        self.results["rates"] = {name: np.asarray(value).tolist() for name, value in asdict(found).items()}
        self.note(f"range test: the cost falls from a rate of {found.low:.1e} to {found.high:.1e}")
        return self.rates_section(self.results["rates"])

    def recording(self):
        """Part 4."""
        rows = self.results.setdefault("rows", [])
        for (way, cycles, step, units), accuracy in zip(ROWS, ORIGINAL["rows"]["accuracy"], strict=True):
            self.running = label({"way": way, "cycles": cycles, "units": units})
            tried = [
                self.fit(self.sets, units, PENALTY, BATCH, cycles, step // self.shorter, seed, way)
                for seed in self.seeds
            ]
            shown = tried[middle(tried, "test_accuracy")]
            seeds = [{name: value for name, value in entry.items() if name != "records"} for entry in tried]
            rows.append({"way": way, "cycles": cycles, "n_s": step // self.shorter, "units": units, **shown})
            rows[-1] |= {"seconds": float(np.median([entry["seconds"] for entry in tried])), "seeds": seeds}
            self.note(
                f"{label(rows[-1])}: test accuracy {shown['test_accuracy']:.2%} (original {accuracy:.2%}) in "
                f"{rows[-1]['seconds']:.2f} s"
            )
        return self.recording_section(rows)

    def searches(self):
        """Part 5."""
        found = self.results.setdefault("searches", {})
        train, validation, test = self.all_images

        def trial(penalty):
            entry = self.fit(
                (train, validation, test), UNITS, penalty, BATCH, 1, self.search_step, self.seed, threads=1, quiet=True
            )
            return {"score": entry["validation_accuracy"], "test_accuracy": entry["test_accuracy"]}

        for i, (name, (limits, _)) in enumerate(SEARCHES.items()):
            known = found[name] = {"results": []}

            def tell(result, known=known, name=name):
                known["results"].append(result)
                self.note(
                    f"{name} search, lambda {result['settings']['penalty']:.2e}: validation accuracy "
                    f"{result['score']:.2%} in {result['seconds']:.1f} s"
                )

            started = time.perf_counter()
            space = {"penalty": limits}
            known["results"] = search.random_search(
                trial, space, self.trials[name], self.seed + i, self.threads, callback=tell
            )
            known["seconds"] = time.perf_counter() - started
        return self.search_section(found)

    def final(self):
        """Part 6."""
        rows = self.results.setdefault("final", [])
        step = FINAL["n_s"] // self.shorter
        for batch, accuracy in zip(FINAL["batches"], ORIGINAL["final"], strict=True):
            self.running = f"final network, batch {batch}"
            entry = self.fit(self.all_images, FINAL["units"], FINAL["penalty"], batch, FINAL["cycles"], step, self.seed)
            rows.append({"batch": batch, **entry})
            self.note(
                f"final network, batch {batch}: test accuracy {entry['test_accuracy']:.2%} (original {accuracy:.2%}) "
                f"in {entry['seconds']:.1f} s"
            )
        return self.final_section(rows)

    def fit(self, sets, units, penalty, batch, cycles, step, seed, way=MEAN, threads=None, quiet=False):
        """Train a network at the cyclical rate and return what is known of it then."""
        train, validation, test = sets
        threads = threads or self.threads
        net, loss = self.network(units, seed), SoftmaxCrossEntropy(l2=penalty)
        trainer = Trainer(net, loss, SGD(Cyclical(*RATES, step)), batch, threads=threads, seed=seed)

        def on_all(trainer, record):
            record["train_loss"], record["train_accuracy"] = net.evaluate(*train, loss, threads=threads)

        found, started = {}, time.perf_counter()
        try:
            trainer.fit(
                *train, updates=2 * cycles * step, validation=validation, evaluate_every=self.evaluate_every,
                callbacks=[on_all] if way == ALL else (), progress=False if quiet else self.progress,
            )  # fmt: skip
        except NonFiniteLossError as error:
            found["error"] = str(error)
        seconds = time.perf_counter() - started
        records, losses = trainer.history.records, np.array(trainer.history.batch_losses)
        if way == RUNNING:
            running = trainer.history.running_loss(KEEP)
            for record in records:
                record["train_loss"] = float(running[record["update"] - 1])
        cost, accuracy = net.evaluate(*test, loss, threads=threads)
        highest = int(losses.argmax())
        return found | {
            "seed": seed, "seconds": seconds, "images_per_second": len(losses) * batch / seconds,
            "validation_accuracy": records[-1]["validation_accuracy"] if records else 0.0,
            "test_accuracy": accuracy, "test_cost": cost if math.isfinite(cost) else None,
            "highest": {"cost": float(losses[highest]), "update": highest + 1, "rate": trainer.optimizer.rate(highest)},
            "records": records,
        }  # fmt: skip

    # The sections

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        return colour_words(self.images)

    def introduction(self):
        """Return the question and the setting."""
        facts = self.results["data"]
        first, every = ([f"{count:,}" for count in facts[name]] for name in ("first_batches", "all"))
        parts = [
            "What does a hidden layer bring on small photographs when the learning rate goes up and down, how much "
            "does it cost to watch the training, and how strong should the penalty be? A student's report on "
            "assignment 2 of KTH's course DD2424 answered it: h = max(0, W1 x + b1), p = softmax(W2 h + b2), "
            "and the cost J = mean cross-entropy + lambda (||W1||^2 + ||W2||^2). Here the same study is run again.",
            f"Data: {facts['source']}. Parts 1 to 4 take {first[0]} images to train, {first[1]} to validate and "
            f"{first[2]} to test, parts 5 and 6 {every[0]}, {every[1]} and {every[2]}, of {self.size:,} numbers each, "
            f"every one standardised by mean and deviation over the training images. {self.whose()}",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def gradient_section(self, found):
        """Return the section on the gradient check."""
        rows = [
            (
                *(f"{row['dimensions']:,}", str(row["units"]), str(row["images"]), f"{GOAL:.0e}"),
                *(f"{row[name]['difference']:.2e}" for name in PARAMETERS),
            )
            for row in found["rows"]
        ]
        repeated = sum(row[name]["repeated"] for row in found["rows"] for name in PARAMETERS)
        seen = f"The largest is {found['largest']:.2e}, " + (
            f"within the original's {GOAL:.0e}."
            if found["largest"] <= GOAL
            else f"{found['largest'] / GOAL:.1f} times the original's {GOAL:.0e}."
        )
        words = (
            f"Analytic gradients of the cost against central differences in float64, step 1e-5, lambda {PENALTY:g}: "
            f"|ga - gn|, averaged over the entries. {repeated} entries whose step switches a ReLU were repeated with "
            "a smaller one."
        )
        head = ("dimensions", "m", "images", "original, at most", *(f"{name} here" for name in PARAMETERS))
        return Section("1. Gradient check", [words, Table("Mean absolute difference", head, rows, left=0), seen])

    def by_heart_section(self, found):
        """Return the section on learning a few images by heart."""
        records, goal = found["records"], FEW["goal"]
        over = [record["epoch"] for record in records if record["train_accuracy"] >= goal]
        seen = (
            f"The accuracy reaches {goal:.0%} after {over[0]:.0f} epochs and is {found['accuracy']:.0%} at the end."
            if over
            else f"The accuracy is {found['accuracy']:.0%}, {100 * (goal - found['accuracy']):.0f} points too low."
        )
        lines = {"": line(records, "train_accuracy", 100)}
        return Section(
            "2. A few images by heart",
            [
                f"{FEW['images']} images, {FEW['epochs']} epochs of one batch, m {UNITS}, rate {FEW['rate']:g}, no "
                "penalty: a network that is right can learn them.",
                Table(
                    "Original and here",
                    ("", "original", "here"),
                    [("accuracy on these images", f"at least {goal:.0%}", f"{found['accuracy']:.0%}")],
                ),
                Picture(
                    "by-heart",
                    seen,
                    lambda plots: plots.curves({"": lines}, "epochs", "training accuracy (%)", columns=1),
                ),
            ],
        )  # fmt: skip

    def rates_section(self, found):
        """Return the section on the learning rate."""
        policies = dict.fromkeys((cycles, step // self.shorter) for _, cycles, step, _ in ROWS)
        lines = {}
        for cycles, step in policies:
            updates, rate = np.arange(2 * cycles * step + 1), Cyclical(*RATES, step)
            lines[f"{cycles} cycle{'s' * (cycles > 1)}, n_s {step}"] = updates, [rate(update) for update in updates]
        low, high = RATES
        tested, smooth = found["rates"], found["smooth"]
        seen = (
            f"A tenth of the cost's fall is made at a rate of {found['low']:.1e}, its lowest point, {min(smooth):.2f}, "
            f"is at {found['high']:.1e}. The original's highest rate, {high:g}, is {high / found['high']:.2g} times "
            "that."
        )
        ranges = {"batches": (tested, found["losses"]), "running mean": (tested, smooth)}
        return Section(
            "3. The learning rate",
            [
                f"In a cycle the rate climbs from {low:g} to {high:g} in n_s updates and falls back in as many. A "
                f"range test (Smith, 2017) shows which rates are worth it: {len(tested)} updates with a rate that "
                f"grows from {tested[0]:.0e} by a constant factor, to where the cost is four times as high.",
                Picture(
                    "rate",
                    f"The rate goes up and down {' and '.join(f'{c} time' + 's' * (c > 1) for c, _ in policies)}, in "
                    f"{' and '.join(f'{2 * c * s:,}' for c, s in policies)} updates.",
                    lambda plots: plots.curves({"": lines}, "updates", "learning rate", columns=1),
                ),
                Picture(
                    "range-test",
                    seen,
                    lambda plots: plots.curves(
                        {"": ranges},
                        "learning rate (logarithmic)", "cost (nats, logarithmic)", columns=1, logarithmic=True,
                        rates=True,
                    ),
                ),
            ],
        )  # fmt: skip

    def recording_section(self, rows):
        """Return the section on the three ways to record the cost."""
        table, behind = [], []
        for row, accuracy, seconds in zip(rows, *ORIGINAL["rows"].values(), strict=True):
            found = [entry["test_accuracy"] for entry in row["seeds"]]
            table.append(
                (
                    *(row["way"], str(row["cycles"]), str(row["n_s"]), str(row["units"]), f"{accuracy:.2%}"),
                    *(f"{row['test_accuracy']:.2%}", f"{min(found):.2%} to {max(found):.2%}"),
                    *(f"{seconds}", f"{row['seconds']:.2f}", f"{seconds / row['seconds']:.0f}"),
                )
            )
            if row["test_accuracy"] < accuracy:
                behind.append(f"{label(row)} by {100 * (accuracy - row['test_accuracy']):.2f} points")
        count = len(self.seeds)
        which = f"median of {count} seeds, and all of them" if count > 1 else "one seed"
        head = (
            "cost recorded by", "cycles", "n_s", "m", "test orig.", "test", "lowest to highest", "s orig.", "s",
            "times as fast",
        )  # fmt: skip
        pictures = []
        for cycles in dict.fromkeys(row["cycles"] for row in rows):
            those = [row for row in rows if row["cycles"] == cycles]
            title = f"{cycles} cycle{'s' * (cycles > 1)}"
            costs, accuracies = recorded(those)
            style = {"columns": len(costs), "dashed": ["validation"]}
            pictures += [
                Picture(
                    f"costs-{cycles}",
                    costs_sentence(title, those),
                    lambda plots, lines=costs, style=style: plots.curves(lines, "updates", "cost (nats)", **style),
                ),
                Picture(
                    f"accuracies-{cycles}",
                    accuracies_sentence(title, those),
                    lambda plots, lines=accuracies, style=style: plots.curves(
                        lines, "updates", "accuracy (%)", **style
                    ),
                ),
            ]
        return Section(
            "4. Three ways to record the cost",
            [
                f"Batches of {BATCH}, lambda {PENALTY:g}. Every {self.evaluate_every} updates cost and accuracy are "
                "recorded: over all training images; as the mean over the batches since the last record, before their "
                f"updates; or as a running mix, {KEEP:g} of itself and {1 - KEEP:.2g} of each batch. The validation "
                "images are evaluated in all three.",
                Table(f"Test images after the last update ({which}), and seconds", head, table),
                f"Below the original: {'; '.join(behind)}." if behind else "No row is below the original.",
                times_sentence(rows),
                *pictures,
            ],
        )  # fmt: skip

    def search_section(self, found):
        """Return the section on the search for lambda."""
        parts, shares = [], {}
        for name, known in found.items():
            (low, high), _ = SEARCHES[name]
            original, results = ORIGINAL[name], known["results"]
            rows = [
                (f"{penalty:.2e}", f"{accuracy:.2%}", f"{best['settings']['penalty']:.2e}", f"{best['score']:.2%}",
                 f"{best['test_accuracy']:.2%}")
                for penalty, accuracy, best in zip(original["penalty"], original["accuracy"], results, strict=False)
            ]  # fmt: skip
            head = ("lambda orig.", "valid. orig.", "lambda", "valid.", "test")
            by = points(results[0]["score"], original["accuracy"][0])
            training = sum(result["seconds"] for result in results)
            parts += [
                Table(f"The best of the {name} search: {len(results)} from {low:g} to {high:g}", head, rows, left=0),
                f"The best is {by} the original's; the {len(results)} networks took {known['seconds']:.1f} s, "
                f"{training / known['seconds']:.1f} at once.",
            ]
            here = sorted((result["settings"]["penalty"], 100 * result["score"]) for result in results)
            shares[f"{name}, here"] = tuple(zip(*here, strict=True))
            shares[f"{name}, original's best"] = original["penalty"], [100 * value for value in original["accuracy"]]
        results = [result for known in found.values() for result in known["results"]]
        results.sort(key=lambda result: result["settings"]["penalty"])
        third = len(results) // 3
        best = max(results, key=lambda result: result["score"])["settings"]["penalty"]
        small, large = (np.mean([result["score"] for result in some]) for some in (results[:third], results[-third:]))
        seen = (
            f"The third of the networks with the smallest lambda has {small:.2%} on average, the third with the "
            f"largest {large:.2%}; the best of all is at {best:.2e}."
        )
        return Section(
            "5. The search for lambda",
            [
                f"lambda = 10^l with l uniform; m {UNITS}, one cycle, batches of {BATCH}, n_s {self.search_step}: in "
                "the assignment it is two epochs, the original's is not said. Each network is trained on one thread, "
                "as many at once as there are threads.",
                *parts,
                Picture(
                    "lambda",
                    seen,
                    lambda plots: plots.curves(
                        {"": shares}, "lambda (logarithmic)", "validation accuracy (%)", columns=1, rates=True,
                        points=shares,
                    ),
                ),
            ],
        )  # fmt: skip

    def final_section(self, rows):
        """Return the section on the final network."""
        table, seen = [], []
        lines = {f"batch {row['batch']}": line(row["records"], "validation_accuracy", 100, "update") for row in rows}
        for row, accuracy in zip(rows, ORIGINAL["final"], strict=True):
            highest = row["highest"]
            table.append(
                (
                    *(str(row["batch"]), f"{accuracy:.2%}", f"{row['test_accuracy']:.2%}", f"{highest['cost']:.3g}"),
                    *(f"{row['seconds']:.1f}", f"{row['images_per_second']:,.0f}"),
                )
            )
            seen.append(f"batch {row['batch']}: {points(row['test_accuracy'], accuracy)} the original")
            if highest["cost"] > 2 * rows[0]["highest"]["cost"]:
                seen[-1] += (
                    f"; a batch's cost climbs to {highest['cost']:.3g} at update {highest['update']:,}, at a rate of "
                    f"{highest['rate']:.3f}"
                )
            if "error" in row:
                seen[-1] += f"; it ended early ({row['error']})"
        order = sorted(rows, key=lambda row: -row["validation_accuracy"])
        return Section(
            "6. The final network",
            [
                f"m {FINAL['units']}, lambda {FINAL['penalty']:g} as the original chose it, {FINAL['cycles']} cycles "
                f"of n_s {FINAL['n_s'] // self.shorter} as above; the original's n_s is not said. All batch sizes make "
                "the same number of updates, so that smaller batches see fewer images.",
                Table(
                    "Test images after the last update, and seconds of training",
                    ("batch", "test orig.", "test", "highest cost of a batch", "s", "images/s"),
                    table,
                    left=0,
                ),
                "; ".join(seen) + ".",
                Picture(
                    "final",
                    "Validation accuracy at the end, from the best: "
                    + "; ".join(f"batch {row['batch']} {row['validation_accuracy']:.1%}" for row in order) + ".",
                    lambda plots: plots.curves({"": lines}, "updates", "validation accuracy (%)", columns=1),
                ),
            ],
        )  # fmt: skip

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        results, rows = self.results, []
        if "largest" in results.get("gradient_check", {}):
            rows.append(
                (
                    "mean absolute gradient difference",
                    f"at most {GOAL:.0e}",
                    f"{results['gradient_check']['largest']:.2e}",
                )
            )
        if "by_heart" in results:
            there, here = FEW["goal"], results["by_heart"]["accuracy"]
            rows.append((f"accuracy on {FEW['images']} images learnt", f"at least {there:.0%}", f"{here:.0%}"))
        for row, accuracy, seconds in zip(results.get("rows", ()), *ORIGINAL["rows"].values(), strict=False):
            rows.append((f"test accuracy, {label(row)}", f"{accuracy:.2%}", f"{row['test_accuracy']:.2%}"))
            rows.append((f"seconds, {label(row)}", str(seconds), f"{row['seconds']:.2f}"))
        for name, known in results.get("searches", {}).items():
            if "seconds" in known:
                there, best = ORIGINAL[name]["accuracy"][0], known["results"][0]
                rows.append((f"best validation accuracy, {name} search", f"{there:.2%}", f"{best['score']:.2%}"))
        for row, accuracy in zip(results.get("final", ()), ORIGINAL["final"], strict=False):
            what = f"test accuracy, final network, batch {row['batch']}"
            rows.append((what, f"{accuracy:.2%}", f"{row['test_accuracy']:.2%}"))
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return (
            f"Seeds {', '.join(map(str, self.seeds))}. Initial weights as in the original: W1 ~ N(0, 1/d), "
            "W2 ~ N(0, 1/m), biases 0."
        )


def label(row):
    """Return what a row is called."""
    return f"{row['way']}, {row['cycles']} cycle{'s' * (row['cycles'] > 1)}, m {row['units']}"


def recorded(rows):
    """Return the lines of costs and of accuracies by update, in a panel for each number of hidden units."""
    costs, accuracies = {}, {}
    for row in rows:
        panel, records = f"m {row['units']}", row["records"]
        costs.setdefault(panel, {})[row["way"]] = line(records, "train_loss", by="update")
        kind = "training, all data" if row["way"] == ALL else "training, batches"
        accuracies.setdefault(panel, {})[kind] = line(records, "train_accuracy", 100, "update")
        costs[panel]["validation"] = line(records, "validation_loss", by="update")
        accuracies[panel]["validation"] = line(records, "validation_accuracy", 100, "update")
    return costs, accuracies


def costs_sentence(title, rows):
    """Return what is seen in the recorded costs."""
    ends = "; ".join(f"{row['way']} {row['records'][-1]['train_loss']:.2f} (m {row['units']})" for row in rows)
    return f"{title.capitalize()}: the training cost recorded last is {ends}."


def accuracies_sentence(title, rows):
    """Return what is seen in the recorded accuracies."""
    parts = []
    for row in {row["units"]: row for row in rows}.values():
        train, validation = (row["records"][-1][f"{kind}_accuracy"] for kind in ("train", "validation"))
        parts.append(f"m {row['units']}: {train:.1%} of the training images at the end, {validation:.1%} to validate")
    return f"{title.capitalize()}: {'; '.join(parts)}."


def times_sentence(rows):
    """Return what the ways to record cost, and whether they change the network."""
    parts, same, seconds = [], True, ORIGINAL["rows"]["seconds"]
    for row, there in zip(rows, seconds, strict=True):
        for other, shorter in zip(rows, seconds, strict=True):
            if (other["cycles"], other["units"]) == (row["cycles"], row["units"]):
                same &= other["test_cost"] == row["test_cost"]
                if (row["way"], other["way"]) == (ALL, MEAN):
                    here, cycles = row["seconds"] / other["seconds"], row["cycles"]
                    times = f"{here:.1f} in {cycles} cycle{'s' * (cycles > 1)} (original {there / shorter:.1f})"
                    parts.append(times)
    change = "do not change the network: with the same seed it is the same" if same else "gave other networks"
    return f"Times as long to record on all data as by the batches' mean: {', '.join(parts)}. The three ways {change}."


STUDY = CyclicalMLP
