"""The ConvNet for CIFAR-10 of Sorbonne Université's course RDFIA, practical 2-cd, and a student's report on it.

Three convolutions and two dense layers (net R), and what improves them, one after the other: preprocessing,
augmentation, a decaying learning rate, other optimisers, dropout, batch normalisation.
"""

import math
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from fastconv import augment, models
from fastconv.errors import NonFiniteLossError
from fastconv.optim import SGD, Adam, RMSprop
from fastconv.preprocess import ZCA, Standardize
from fastconv.reproduce.base import Study, line
from fastconv.reproduce.data import colour_images, colour_words
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.schedules import Exponential
from fastconv.training import Trainer

EPOCHS = 12
QUICK = (160, 64)
"""Images to train and to test in a quick run."""
BATCH, RATE = 128, 0.1
DECAY = 0.05
"""The share of its first value to which a decaying rate falls, in all epochs."""
CROP_FLIP = (augment.RandomCrop(4), augment.HorizontalFlip())
DROPOUT = 0.5
SHOWN = 5
"""Images that are shown as they go in."""
RATES, BATCHES = (0.001, 0.01, 0.1, 1.0), (32, 128, 512)
OPTIMIZERS = {
    "SGD": (SGD, RATE, {}),
    "momentum SGD": (SGD, 0.02, {"momentum": 0.9}),
    "RMSprop": (RMSprop, 0.0005, {}),
    "Adam": (Adam, 0.001, {}),
}
"""Class, learning rate and other arguments."""


@dataclass(frozen=True)
class Run:
    """A training: what is new in it, and on which one it is built.

    Parameters
    ----------
    label : str
    base : str
        The name of the run that it is compared with.
    inputs : {"plain", "standardised", "ZCA"}
    augmented, decaying : bool
        Crop and flip; let the learning rate decay.
    optimizer : str
        One of :data:`OPTIMIZERS`.
    network : dict
        Arguments of :func:`fastconv.models.cifar_convnet`.
    """

    label: str
    base: str = ""
    inputs: str = "standardised"
    augmented: bool = False
    decaying: bool = False
    optimizer: str = "SGD"
    network: dict = field(default_factory=dict)


AUGMENTED = Run("crop and flip", "standardised", augmented=True)
DECAYING = replace(AUGMENTED, label="decaying rate", base="augmented", decaying=True)
ADAM = replace(DECAYING, label="Adam", base="decaying", optimizer="Adam")
RUNS = {
    "plain": Run("plain", inputs="plain"),
    "standardised": Run("standardised", "plain"),
    "zca": Run("ZCA", "plain", inputs="ZCA"),
    "augmented": AUGMENTED,
    "decaying": DECAYING,
    "momentum": replace(ADAM, label="momentum SGD", optimizer="momentum SGD"),
    "rmsprop": replace(ADAM, label="RMSprop", optimizer="RMSprop"),
    "adam": ADAM,
    "dropout-alone": Run("dropout only", "standardised", network={"dropout": DROPOUT}),
    "dropout": replace(ADAM, label="with dropout", base="adam", network={"dropout": DROPOUT}),
    "batch-norm": replace(ADAM, label="with batch norm.", base="adam", network={"batch_norm": True}),
}

ORIGINAL = {
    "overfits_after": 8,
    "dropout_gain": [2, 3],
    "best": "batch normalisation",
    "weights": [32_800, 16_448, 4_160],
}
"""What the student's report found: epochs, points of accuracy, the best run, weights of the convolutions."""


class CifarConvnet(Study):
    """The study of the ConvNet for CIFAR-10."""

    NAME = "cifar-convnet"
    TITLE = "A ConvNet on CIFAR-10 and what improves it, reproduced"
    DATA = "cifar10"
    ORIGINAL = ORIGINAL
    PARTS = (
        ("network", "network"),
        ("learning rate and batch size", "rates"),
        ("preprocessing", "preprocessing"),
        ("augmentation and decay", "augmentation"),
        ("optimisers", "optimisers"),
        ("dropout and batch normalisation", "regularisation"),
    )
    EPOCHS = True

    def __init__(self, data, options):
        super().__init__(data, options)
        self.images = images = colour_images(data)
        sizes = QUICK if self.quick else (None, None)
        self.train = np.sort(np.concatenate([images.train, images.validation]))[: sizes[0]]
        self.test = images.test[: sizes[1]]
        self.epochs = self.epochs_of(EPOCHS, quick=2)
        self.short = max(1, self.epochs // 4)
        self.prepared, self.shown = {}, {}
        self.results["data"] = {
            "name": images.name, "train": len(self.train), "test": len(self.test), "classes": list(images.target_names),
        }  # fmt: skip
        self.results["settings"] |= {
            "training_epochs": self.epochs, "short_epochs": self.short, "batch_size": BATCH,
            "initial_weights": "xavier",
            "decay": DECAY, "padding": CROP_FLIP[0].padding, "rates": list(RATES), "batch_sizes": list(BATCHES),
            "runs": {name: asdict(run) for name, run in RUNS.items()},
            "optimizers": {name: {"rate": rate, **more} for name, (_, rate, more) in OPTIMIZERS.items()},
        }  # fmt: skip
        self.results["runs"] = {}

    def inputs(self, kind):
        """Return the training and the test images as a run sees them; fitted on the training images alone."""
        if kind not in self.prepared:
            self.prepared.clear()  # 740 MB a kind
            x, x_test = self.images.data[self.train], self.images.data[self.test]
            if kind == "plain":
                self.prepared[kind] = x / np.float32(255), x_test / np.float32(255)
            else:
                prepare = (ZCA() if kind == "ZCA" else Standardize()).fit(x)
                self.prepared[kind] = prepare.transform(x), prepare.transform(x_test)
            self.shown[kind] = self.prepared[kind][1][:SHOWN].copy()
        return self.prepared[kind]

    def fit(self, run, epochs, rate=None, batch_size=BATCH, records=1):
        """Train a network and return what is known of it then.

        Parameters
        ----------
        run : Run
        epochs : int
        rate : float, optional
            By default that of the run's optimiser.
        batch_size : int
        records : int
            To an epoch.
        """
        x, x_test = self.inputs(run.inputs)
        batches = -(-len(x) // batch_size)
        optimizer, usual, more = OPTIMIZERS[run.optimizer]
        rate = usual if rate is None else rate
        trainer = Trainer(
            models.cifar_convnet(seed=self.seed, init="xavier", **run.network),
            optimizer=optimizer(Exponential(rate, DECAY, epochs * batches) if run.decaying else rate, **more),
            batch_size=batch_size, threads=self.threads, seed=self.seed,
            augment=CROP_FLIP if run.augmented else None,
        )  # fmt: skip
        target = self.images.target
        history = trainer.fit(
            x, target[self.train], epochs=epochs, validation=(x_test, target[self.test]),
            evaluate_every=max(1, batches // records), progress=self.progress,
        )  # fmt: skip
        last, losses = history.records[-1], history["validation_loss"]
        return {
            "label": run.label,
            "updates": trainer.updates,
            "seconds": last["seconds"],
            "images_per_second": epochs * len(x) / last["seconds"],
            "first_loss": history.batch_losses[0],
            "train_accuracy": last["train_accuracy"],
            "test_accuracy": last["validation_accuracy"],
            "test_loss": last["validation_loss"],
            "lowest_test_loss": float(losses.min()),
            "lowest_after": history.records[int(losses.argmin())]["epoch"],
            "records": history.records,
        }

    def train_runs(self, *names):
        """Train some of the runs, one after the other."""
        for name in names:
            self.running = RUNS[name].label
            found = self.results["runs"][name] = self.fit(RUNS[name], self.epochs)
            self.note(
                f"{found['label']}: test accuracy {found['test_accuracy']:.1%} in {found['seconds']:.1f} s, "
                f"{found['images_per_second']:,.0f} images a second"
            )

    # The parts

    def network(self):
        """Part 1."""
        net = models.cifar_convnet(seed=self.seed, init="xavier")
        rows = [row for row in net.layer_table() if row["parameters"] or row["layer"] == "MaxPool2D"]
        _, x_test = self.inputs("plain")
        loss, _ = net.evaluate(x_test, self.images.target[self.test], threads=self.threads)
        self.results["network"] = {"layers": rows, "weights": net.parameters.size, "untrained_loss": loss}
        return self.network_section(rows)

    def rates(self):
        """Part 2."""
        found = self.results["rates"] = {}
        settings = {f"rate {rate:g}": (rate, BATCH) for rate in RATES}
        settings |= {f"batch {size}": (RATE, size) for size in BATCHES if size != BATCH}
        for label, (rate, size) in settings.items():
            self.running = label
            try:
                run = self.fit(RUNS["standardised"], self.short, rate, size, records=3)
                words = f"test accuracy {run['test_accuracy']:.1%} in {run['seconds']:.1f} s"
            except NonFiniteLossError as error:
                run, words = {"diverged": str(error)}, "diverged"
            found[label] = run | {"rate": rate, "batch_size": size, "label": label}
            self.note(f"{label}: {words}")
        return self.rates_section(found)

    def preprocessing(self):
        """Part 3."""
        names = "plain", "standardised", "zca"
        self.train_runs(*names)
        plain = self.results["runs"]["plain"]
        words = (
            "Plain: pixels from 0 to 1. Standardised: each channel's mean subtracted, divided by its deviation. ZCA: "
            "all pixels decorrelated. What that takes comes from the training images alone; the test images are "
            "transformed alike. The original's plain network overfits after about 8 epochs."
        )
        after, rise = plain["lowest_after"], plain["test_loss"] - plain["lowest_test_loss"]
        overfits = f"The plain network's test loss is lowest after epoch {after:g} of {self.epochs}" + (
            f", {after - ORIGINAL['overfits_after']:+g} from the original's, and {rise:.2f} nats higher at the end."
            if rise > 0
            else ": it does not overfit in so few."
        )
        section = self.section("3. Preprocessing", "preprocessing", words, names, overfits)
        sheet = [self.shown["plain"], self.shown["ZCA"], augment.apply(self.shown["plain"], CROP_FLIP, self.seed, 0)]
        seen = (
            "Test images as they are; after ZCA, each from its darkest to its brightest; cropped and flipped at random."
        )
        section.parts.append(
            Picture("inputs", seen, lambda plots: plots.image_grid(np.concatenate(sheet), columns=SHOWN))
        )
        return section

    def augmentation(self):
        """Part 4."""
        self.train_runs("augmented", "decaying")
        words = (
            f"Crop and flip: standardised images are shifted by up to {CROP_FLIP[0].padding} pixels each way and "
            "mirrored every other time, at random, anew in every epoch. Decaying rate: it then falls exponentially as "
            f"well, from {RATE:g} to {RATE * DECAY:g}."
        )
        gaps = [
            100 * (run["train_accuracy"] - run["test_accuracy"])
            for run in map(self.results["runs"].get, ("standardised", "augmented"))
        ]
        seen = (
            "In the last epoch the accuracy on the training images is above that on the test images by "
            f"{gaps[0]:.1f} points without crop and flip, and by {gaps[1]:.1f} with them."
        )
        names = "standardised", "augmented", "decaying"
        return self.section("4. Crop, flip and a decaying rate", "augmentation", words, names, seen)

    def optimisers(self):
        """Part 5."""
        self.train_runs("momentum", "rmsprop", "adam")
        others = ", ".join(f"{name} at {rate:g}" for name, (_, rate, _) in list(OPTIMIZERS.items())[1:])
        words = f"In place of SGD at {RATE:g}: {others}; all on cropped and flipped images, every rate decaying alike."
        names = "decaying", "momentum", "rmsprop", "adam"
        runs = self.results["runs"]
        order = sorted(names, key=lambda name: -runs[name]["test_accuracy"])
        seen = f"From the best to the worst on the test images: {', '.join(runs[name]['label'] for name in order)}."
        return self.section("5. Optimisers", "optimisers", words, names, seen)

    def regularisation(self):
        """Part 6."""
        self.train_runs("dropout-alone", "dropout", "batch-norm")
        words = (
            f"Dropout of {DROPOUT:.0%} before the last layer, on standardised images alone and on top of crop, flip, "
            "decay and Adam; and in its place on top of those, batch normalisation after each convolution. The "
            "original found 2 to 3 points more by dropout, and batch normalisation the best of all."
        )
        low, _ = ORIGINAL["dropout_gain"]
        only, top = (
            f"{gain:+.1f} points" + f" ({low - gain:.1f} fewer than the original's)" * (gain < low)
            for gain in map(self.gain, ("dropout-alone", "dropout"))
        )
        runs, best = self.results["runs"], self.best()
        behind = 100 * (runs[best]["test_accuracy"] - runs["batch-norm"]["test_accuracy"])
        seen = (
            f"Dropout gives {only} to the standardised run and {top} to that with Adam. Best of all runs: "
            f"{runs[best]['label']}, at {runs[best]['test_accuracy']:.1%}"
            + (", as in the original." if best == "batch-norm" else f"; batch normalisation is {behind:.1f} behind.")
        )
        names = "standardised", "dropout-alone", "adam", "dropout", "batch-norm"
        return self.section("6. Dropout and batch normalisation", "regularisation", words, names, seen)

    # What is seen

    def gain(self, name):
        """Return the points of test accuracy that a run has more than the one it is built on."""
        runs = self.results["runs"]
        return 100 * (runs[name]["test_accuracy"] - runs[RUNS[name].base]["test_accuracy"])

    def best(self):
        """Return the name of the run with the highest test accuracy at its end."""
        runs = self.results["runs"]
        return max(runs, key=lambda name: runs[name]["test_accuracy"])

    def section(self, title, picture, words, names, seen):
        """Return the section on some of the runs: their table, losses and accuracies."""
        runs = {name: self.results["runs"][name] for name in names}
        rows = [
            (
                run["label"],
                "2 to 3" if "dropout" in name else "-",
                f"{self.gain(name):+.1f}" if RUNS[name].base else "-",
                "about 8" if name == "plain" else "-",
                f"{run['lowest_after']:g}",
                f"{run['first_loss']:.3f}",
                f"{run['train_accuracy']:.1%}",
                f"{run['test_accuracy']:.1%}",
                f"{run['seconds']:.1f}",
                f"{run['images_per_second']:,.0f}",
            )
            for name, run in runs.items()
        ]
        head = (
            "run",
            "gain orig.",
            "gain",
            "overfits orig.",
            "lowest at",
            "first loss",
            "train",
            "test",
            "s",
            "images/s",
        )
        bases = ", ".join(f"{RUNS[n].label} against {RUNS[RUNS[n].base].label}" for n in names if RUNS[n].base)
        explained = (
            f"Gain: points of test accuracy, {bases}. Lowest at: the epoch after which the test loss was lowest, "
            "beside that after which the original overfits. First loss: of the first batch, before any update. Train: "
            "in the last epoch, while learning. Seconds and training images a second include the test after every "
            "epoch."
        )
        lines = {}
        for measure, factor in (("loss", 1), ("accuracy", 100)):
            lines[measure] = {
                run["label"]: {
                    label: line(run["records"], f"{key}_{measure}", factor)
                    for label, key in (("training", "train"), ("test", "validation"))
                }
                for run in runs.values()
            }
        accuracies = "; ".join(f"{run['label']}: {run['test_accuracy']:.1%}" for run in runs.values())
        lowest = min(runs.values(), key=lambda run: run["lowest_test_loss"])
        return Section(
            title,
            [
                words,
                Table("Original and here", head, rows),
                explained,
                seen,
                Picture(
                    f"{picture}-loss",
                    f"The lowest test loss is {lowest['lowest_test_loss']:.3f}, of the run {lowest['label']} after "
                    f"epoch {lowest['lowest_after']:g}.",
                    lambda plots: plots.curves(lines["loss"], "epochs", "loss (nats)", dashed=["test"]),
                ),
                Picture(
                    f"{picture}-accuracy",
                    f"Test accuracies after the last epoch: {accuracies}.",
                    lambda plots: plots.curves(lines["accuracy"], "epochs", "accuracy (%)", dashed=["test"]),
                ),
            ],
        )

    def introduction(self):
        """Return the question and the setting."""
        facts = self.results["data"]
        parts = [
            "What improves a small ConvNet on CIFAR-10, and by how much? A student's report on practical 2-cd of "
            "Sorbonne Université's course RDFIA answered it with three convolutions and two dense layers, to which "
            "preprocessing, augmentation, a decaying rate, dropout and batch normalisation were added one by one. Here "
            "the same study is run again.",
            f"Data: {facts['name']}, {facts['train']:,} images to train and {facts['test']:,} to test. {self.whose()}",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        return f"{colour_words(self.images)} The original gives neither accuracies nor times."

    def network_section(self, rows):
        """Return the section on the network's shapes and weights."""
        found = self.results["network"]
        counts = iter(ORIGINAL["weights"])
        table = [
            (
                row["layer"],
                " x ".join(map(str, row["output_shape"])),
                " x ".join(map(str, row["receptive_field"])),
                f"{next(counts):,}" if row["layer"] == "Conv2D" else "-",
                f"{row['parameters']:,}" if row["parameters"] else "-",
            )
            for row in rows
        ]
        dense = sum(row["parameters"] for row in rows if row["layer"] == "Dense")
        pooled = [row["receptive_field"] for row in rows if row["layer"] == "MaxPool2D"]
        guess, loss = math.log(len(self.results["data"]["classes"])), found["untrained_loss"]
        return Section(
            "1. The network",
            [
                "Three convolutions of 5 x 5 with ReLU, each halved by pooling, and two dense layers. A convolution of "
                "F filters over C channels has 5 x 5 x C x F weights and F biases. The original's table miscounts "
                "them: its figures are F x (H x W + 1), H x W being the size of the layer's input.",
                Table(
                    "Output sizes, receptive fields and weights to learn",
                    ("layer", "output", "sees", "orig.", "here"),
                    table,
                ),
                f"Of {found['weights']:,} weights in all, biases included, {dense / found['weights']:.0%} are the "
                f"dense layers'. After the poolings a unit sees {', '.join(f'{h} x {w}' for h, w in pooled)} pixels, "
                "as far as they lie within the image.",
                f"Before any update the loss on the test images is {loss:.3f}, {loss - guess:+.3f} from -log(1/10) = "
                f"{guess:.3f}, that of a guess.",
            ],
        )

    def rates_section(self, found):
        """Return the section on learning rate and batch size."""
        rates = {f"rate {run['rate']:g}": run for run in found.values() if run["batch_size"] == BATCH}
        sizes = {
            f"batch {run['batch_size']}": run
            for run in sorted(found.values(), key=lambda run: run["batch_size"])
            if run["rate"] == RATE
        }
        rows = [
            (
                f"{run['rate']:g}",
                f"{run['batch_size']}",
                "-",
                *(
                    (
                        f"{run['test_accuracy']:.1%}",
                        f"{run['test_loss']:.4g}",
                        f"{run['updates']:,}",
                        f"{run['seconds']:.1f}",
                        f"{run['images_per_second']:,.0f}",
                    )
                    if "records" in run
                    else ("diverged", *("-",) * 4)
                ),
            )
            for run in found.values()
        ]
        pictures = []
        for name, words, runs in (("rates", "learning rate", rates), ("batch-sizes", "batch size", sizes)):
            right = {label: run["test_accuracy"] for label, run in runs.items() if "records" in run}
            diverged = [label for label in runs if label not in right]
            best, worst = (f"{end(right, key=right.get)} ({end(right.values()):.1%})" for end in (max, min))
            seen = f"By {words}, most test images are right with {best}, fewest with {worst}"
            seen += f"; diverged: {', '.join(diverged)}" * bool(diverged)
            lines = {label: line(run.get("records", ()), "validation_accuracy", 100) for label, run in runs.items()}
            pictures.append(
                Picture(
                    name,
                    f"{seen}.",
                    lambda plots, lines=lines: plots.curves({"": lines}, "epochs", "test accuracy (%)"),
                )
            )
        return Section(
            "2. Learning rate and batch size",
            [
                f"Standardised images, SGD at a constant rate, epochs: {self.short}. Several rates with batches of "
                f"{BATCH}, and several batch sizes at {RATE:g}. The original's figures are not given.",
                Table(
                    "Original and here",
                    ("rate", "batch", "test orig.", "test", "test loss", "updates", "s", "images/s"),
                    rows,
                    left=2,
                ),
                *pictures,
            ],
        )

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        runs, rows = self.results["runs"], []
        if "network" in self.results:
            weights = [row["parameters"] for row in self.results["network"]["layers"] if row["layer"] == "Conv2D"]
            counts = (f"{', '.join(f'{n:,}' for n in numbers)}" for numbers in (ORIGINAL["weights"], weights))
            rows.append(("weights of the convolutions (the original's miscounted)", *counts))
            loss = self.results["network"]["untrained_loss"]
            guess = math.log(len(self.results["data"]["classes"]))
            rows.append((f"error before the first update (a guess has {guess:.3f})", "-", f"{loss:.3f}"))
        if "plain" in runs:
            after = f"{runs['plain']['lowest_after']:g} of {self.epochs}"
            rows.append(("plain: epochs to the lowest test loss", f"about {ORIGINAL['overfits_after']}", after))
        for name in ("dropout-alone", "dropout"):
            if name in runs:
                low, high = ORIGINAL["dropout_gain"]
                base = RUNS[RUNS[name].base].label
                rows.append((f"points by dropout, against {base}", f"{low} to {high}", f"{self.gain(name):+.1f}"))
        if len(runs) == len(RUNS):
            rows.append(("best of all", ORIGINAL["best"], runs[self.best()]["label"]))
        rows += [(f"test accuracy, {run['label']}", "-", f"{run['test_accuracy']:.1%}") for run in runs.values()]
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return (
            f"Seed {self.seed}. Batches of {BATCH} and SGD at {RATE:g} unless said otherwise, {self.epochs} epochs, "
            "Glorot's normal initial weights, biases of zero. The original's epochs, rates and batches are not given."
        )


STUDY = CifarConvnet
