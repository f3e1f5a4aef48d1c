"""CIFAR-10, balanced and long-tailed, of a Georgia Tech course, assignment 2, after Cui et al., 2019.

Net G learns all classes alike, then classes that become rarer, one after the other: by cross-entropy, and by
class-balanced focal loss for betas from 0 to near 1, where they matter and where the original did not look.
"""

import numpy as np
from sklearn.metrics import confusion_matrix

from fastconv import models
from fastconv.augment import HorizontalFlip, RandomCrop
from fastconv.imbalance import effective_number_weights, long_tailed
from fastconv.losses import FocalLoss, SoftmaxCrossEntropy
from fastconv.optim import SGD
from fastconv.reproduce.base import Study, line
from fastconv.reproduce.data import colour_images, colour_words, standardised
from fastconv.reproduce.report import Picture, Section, Table
from fastconv.schedules import Step
from fastconv.training import EarlyStopping, Trainer

EPOCHS, BATCH, RATE, MOMENTUM, L2 = 80, 32, 0.01, 0.9, 0.0005
STEPS = (0.6, 0.8)
"""Shares of the updates after which the learning rate is divided by 10."""
AUGMENT = (RandomCrop(padding=4), HorizontalFlip())
FACTOR, GAMMA = 100, 1.0
BETAS = (*(i / 10 for i in range(10)), 0.99, 0.999, 0.9999)
ALIKE = 1.01
"""Weights of which the largest is no more than so many times the smallest count as no weights."""
RARE = 5
"""Classes, the last, that are called rare."""

ORIGINAL = {
    "balanced": {"accuracy": 0.807, "epochs": 80},
    "best_beta": 0.8,
    "long_tailed": {
        "cross-entropy": [0.829, 0.650, 0.604, 0.244, 0.004, 0.0, 0.001, 0.0, 0.0, 0.0],
        "focal, beta 0.8": [0.898, 0.920, 0.553, 0.634, 0.314, 0.151, 0.266, 0.135, 0.006, 0.001],
    },
}
"""What the original found on CIFAR-10: the accuracy on all test images, and by class."""


class ImbalancedCifar(Study):
    """The study of classes of unequal size."""

    NAME = "imbalanced-cifar"
    TITLE = "CIFAR-10 with rare classes: class-balanced focal loss, reproduced"
    DATA = "cifar10"
    ORIGINAL = ORIGINAL
    PARTS = (("all classes alike", "balanced"), ("classes that become rarer", "long_tailed"))
    EPOCHS = True

    def __init__(self, data, options):
        super().__init__(data, options)
        images = self.images = colour_images(data)
        self.classes = list(images.target_names)
        self.epochs = self.epochs_of(EPOCHS, quick=2)
        self.betas = (0.0, 0.8, 0.9999) if self.quick else BETAS
        few = slice(2000) if self.quick else slice(None)
        self.train, self.validation = images.train[few], images.validation[few]
        learnt = np.sort(np.concatenate([images.train, images.validation]))[few]
        self.tail = learnt[long_tailed(images.target[learnt], FACTOR, self.seed)]
        self.counts = np.bincount(images.target[self.tail])
        self.results["data"] = {
            "source": images.name, "train": len(self.train), "validation": len(self.validation),
            "test": len(images.test), "classes": self.classes, "long_tailed": self.counts.tolist(),
        }  # fmt: skip
        self.results["settings"] |= {
            "training_epochs": self.epochs, "batch_size": BATCH, "learning_rate": RATE, "steps": STEPS,
            "momentum": MOMENTUM, "l2": L2, "augmentation": [repr(each) for each in AUGMENT],
            "factor": FACTOR, "gamma": GAMMA, "betas": self.betas,
        }  # fmt: skip

    def fit(self, train, loss, seed, **options):
        """Train a network; return it and the training's records."""
        net = models.imbalanced_cifar_convnet(n_classes=len(self.classes), seed=seed)
        batches = -(-len(train[0]) // BATCH)
        rate = Step(RATE, [round(share * self.epochs * batches) for share in STEPS], warm_up=batches)
        trainer = Trainer(net, loss, SGD(rate, MOMENTUM), BATCH, threads=self.threads, seed=seed, augment=AUGMENT)
        return net, trainer.fit(*train, epochs=self.epochs, progress=self.progress, **options).records

    def tested(self, net, test):
        """Return a network's accuracies on the test images: of all, by class, and the mean of the rare classes."""
        matrix = confusion_matrix(test[1], net.predict(test[0]), labels=range(len(self.classes)))
        by_class = np.diag(matrix) / matrix.sum(axis=1)
        return {
            "accuracy": float(np.trace(matrix) / matrix.sum()), "by_class": by_class.tolist(),
            "frequent": float(by_class[:-RARE].mean()), "rare": float(by_class[-RARE:].mean()),
        }  # fmt: skip

    # The parts

    def balanced(self):
        """Part 1."""
        train, validation, test = standardised(self.images, (self.train, self.validation, self.images.test))
        best = EarlyStopping(patience=self.epochs)  # keeps the best, and never stops
        net, records = self.fit(train, SoftmaxCrossEntropy(l2=L2), self.seed, validation=validation, callbacks=[best])
        last = self.tested(net, test)["accuracy"]
        best.restore(net)
        found = self.results["balanced"] = {
            **self.tested(net, test), "best_epoch": best.best["epoch"], "last_accuracy": last,
            "validation_accuracy": best.best["validation_accuracy"], "seconds": records[-1]["seconds"],
            "images_per_second": self.epochs * len(train[0]) / records[-1]["seconds"], "records": records,
        }  # fmt: skip
        self.note(f"all classes alike: {found['accuracy']:.1%} of the test images, {found['seconds']:.1f} s")
        return self.balanced_section(found)

    def long_tailed(self):
        """Part 2."""
        train, test = standardised(self.images, (self.tail, self.images.test))
        runs = self.results["long_tailed"] = {}
        for i, beta in enumerate((None, *self.betas)):
            weights = None if beta is None else effective_number_weights(self.counts, beta)
            loss = SoftmaxCrossEntropy(l2=L2) if beta is None else FocalLoss(GAMMA, weights, L2)
            self.running = label = "cross-entropy" if beta is None else f"focal, beta {beta:g}"
            net, records = self.fit(train, loss, self.seed + i)
            run = runs[label] = {
                "beta": beta, "seed": self.seed + i,
                "weight_ratio": 1.0 if beta is None else float(weights.max() / weights.min()),
                **self.tested(net, test), "train_accuracy": records[-1]["train_accuracy"],
                "seconds": records[-1]["seconds"],
            }  # fmt: skip
            self.note(
                f"{label}: {run['accuracy']:.1%} of the test images, {run['rare']:.1%} of those of the rare classes, "
                f"{run['seconds']:.1f} s"
            )
        return self.long_tailed_section(runs)

    # The sections

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        return colour_words(self.images)

    def introduction(self):
        """Return the question and the setting."""
        facts = self.results["data"]
        parts = [
            "What becomes of classes of which there are few examples, and does a loss that weights them help? A course "
            "of Georgia Tech (assignment 2) tried the class-balanced focal loss of Cui et al. on a long-tailed "
            "CIFAR-10. Here it is run again, and with the betas near 1 that it left out.",
            f"Data: {facts['source']}, images of 32 x 32 pixels of {len(self.classes)} classes, {facts['train']:,} to "
            f"train, {facts['validation']:,} to validate and {facts['test']:,} to test; long-tailed "
            f"{len(self.tail):,} to train. {self.whose()}",
            "Net G: three valid convolutions of 3 x 3 (32, 64 and 128 filters), each with ReLU and 2 x 2 max-pooling, "
            f"and dense layers of 256, 128, 64 and {len(self.classes)}. {self.epochs} epochs of batches of {BATCH}, "
            f"SGD with momentum {MOMENTUM}, L2 {L2}; the rate climbs to {RATE} in the first epoch and is divided by 10 "
            f"after {STEPS[0]:.0%} and {STEPS[1]:.0%} of the updates. Where the original put the steps, whether it "
            "augmented the images and how many epochs it gave the long-tailed ones is not known: here every image is "
            "standardised by channel, shifted by up to 4 pixels each way and flipped at random, and the epochs are as "
            "many for all.",
        ]
        return Section("Question and setting", parts + self.quick_words())

    def balanced_section(self, found):
        """Return the section on all classes alike."""
        there = ORIGINAL["balanced"]["accuracy"]
        verdict = f"{_reached(found['accuracy'], there)} the original's {there:.1%}"
        rows = [
            ("test accuracy", f"{there:.1%}", f"{found['accuracy']:.1%}"),
            ("test accuracy after the last epoch", "-", f"{found['last_accuracy']:.1%}"),
            ("validation accuracy", "-", f"{found['validation_accuracy']:.1%}"),
            ("epochs", str(ORIGINAL["balanced"]["epochs"]), str(self.epochs)),
            ("best epoch", "-", f"{found['best_epoch']:g}"),
            ("seconds of training", "-", f"{found['seconds']:.1f}"),
            ("images a second, validation included", "-", f"{found['images_per_second']:,.0f}"),
        ]
        records = found["records"]
        lines = {
            label: line(records, f"{key}_accuracy", 100)
            for label, key in (("training, augmented", "train"), ("validation", "validation"))
        }
        seen = (
            f"The validation accuracy is highest, {found['validation_accuracy']:.1%}, after epoch "
            f"{found['best_epoch']:g}. In the last epoch the network is right on {records[-1]['train_accuracy']:.1%} "
            f"of the augmented training images and {records[-1]['validation_accuracy']:.1%} of those to validate."
        )
        return Section(
            "1. All classes alike",
            [
                f"Cross-entropy on {len(self.train):,} images; what counts is the network of the epoch that was best "
                "on the validation images.",
                Table("Original and here", ("", "original", "here"), rows),
                f"The test accuracy of {found['accuracy']:.1%} is {verdict}.",
                Picture(
                    "balanced",
                    seen,
                    lambda plots: plots.curves({"": lines}, "epochs", "accuracy (%)", dashed=["validation"]),
                ),
            ],
        )

    def long_tailed_section(self, runs):
        """Return the section on classes that become rarer."""
        shares = {f"original, {label}": by_class for label, by_class in ORIGINAL["long_tailed"].items()}
        shares |= {label: run["by_class"] for label, run in runs.items()}
        rows = [("training images", *(f"{n:,}" for n in self.counts), f"{len(self.tail):,}", "", "")]
        for label, by_class in shares.items():
            run = runs.get(label, {"accuracy": np.mean(by_class), "rare": np.mean(by_class[-RARE:])})
            seconds = f"{run['seconds']:.1f}" if "seconds" in run else "-"
            cells = [f"{100 * share:.1f}" for share in (*by_class, run["accuracy"], run["rare"])]
            rows.append((label, *cells, seconds))
        columns = [f"{name}: {n:,}" for name, n in zip(self.classes, self.counts, strict=True)]
        focal = [run for run in runs.values() if run["beta"] is not None]
        nearness = [-np.log10(1 - run["beta"]) for run in focal]
        lines = {
            f"the {len(self.classes) - RARE} most frequent": [100 * run["frequent"] for run in focal],
            "all classes": [100 * run["accuracy"] for run in focal],
            f"the {RARE} rarest": [100 * run["rare"] for run in focal],
        }
        return Section(
            "2. Classes that become rarer",
            [
                f"Of class k there are n_0 {FACTOR}^(-k/{len(self.classes) - 1}) images to learn from, "
                f"{self.counts[0]:,} to {self.counts[-1]:,}; the test has them all. Cross-entropy, then the focal loss "
                f"with gamma {GAMMA:g} and weights in proportion to (1 - beta) / (1 - beta^n). The network after the "
                "last epoch is tested; every run has its own seed. Rare are the last "
                f"{RARE} classes.",
                Table(
                    "Test accuracy by class, of all, and the mean of the rare (%)",
                    ("loss", *self.classes, "all", "rare", "s"),
                    rows,
                ),
                self.original_sentence(runs),
                Picture(
                    "by-class",
                    self.fading_sentence(runs),
                    lambda plots: plots.heat_map(
                        list(shares.values()), list(shares), columns, "class: training images", "loss",
                        "accuracy on the test images (%)",
                    ),
                ),
                Picture(
                    "beta",
                    self.beta_sentence(focal),
                    lambda plots: plots.curves(
                        {"": {label: (nearness, line) for label, line in lines.items()}},
                        "-log10(1 - beta): 0 is beta 0, 1 is 0.9, 4 is 0.9999",
                        "accuracy on the test images (%)",
                    ),
                ),
            ],
        )  # fmt: skip

    def original_sentence(self, runs):
        """Return how the runs that the original made too compare with it."""
        parts = []
        for label, there in ORIGINAL["long_tailed"].items():
            here, mean = runs[label]["accuracy"], float(np.mean(there))
            classes = zip(self.classes, runs[label]["by_class"], there, strict=True)
            below = [f"{name} ({100 * (b - a):.1f} points)" for name, a, b in classes if a < b]
            parts.append(
                f"{label[0].upper()}{label[1:]}: {here:.1%} of the test images are found, {_reached(here, mean)} the "
                f"original's {mean:.1%}; fewer than there of {', '.join(below) or 'no class'}."
            )
        return " ".join(parts)

    def fading_sentence(self, runs):
        """Return how many classes are all but lost with each loss."""
        lost = {label: _lost(run["by_class"]) for label, run in runs.items()}
        fewest = min(lost.values())
        return (
            f"Trained by cross-entropy, the network finds less than a tenth of {lost['cross-entropy']} of "
            f"{len(self.classes)} classes (original: {_lost(ORIGINAL['long_tailed']['cross-entropy'])}); the fewest, "
            f"{fewest}, are lost with {'; '.join(label for label, n in lost.items() if n == fewest)}."
        )

    def beta_sentence(self, focal):
        """Return whether betas help the rare classes by more than runs without weights differ."""
        alike = [run for run in focal if run["weight_ratio"] <= ALIKE]
        rare, every = ([run[share] for run in alike] for share in ("rare", "accuracy"))
        parts = [
            f"Up to beta {alike[-1]['beta']:g} the largest weight is at most {alike[-1]['weight_ratio']:.3f} times the "
            f"smallest: only chance tells the runs apart ({len(alike)}: {min(rare):.1%} to {max(rare):.1%} of the rare "
            f"classes, {min(every):.1%} to {max(every):.1%} of all)."
        ]
        if ORIGINAL["best_beta"] in [run["beta"] for run in alike]:
            parts.append(f"The original's best, beta {ORIGINAL['best_beta']}, is one of these.")
        for run in focal[len(alike) :]:
            parts.append(
                f"Beta {run['beta']:g}, with weights up to {run['weight_ratio']:.1f} to 1, finds {run['rare']:.1%} of "
                f"the rare classes, {_beside(run['rare'], rare)}, and {run['accuracy']:.1%} of all, "
                f"{_beside(run['accuracy'], every)}."
            )
        return " ".join(parts)

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        rows, runs = [], self.results.get("long_tailed", {})
        if "balanced" in self.results:
            here = self.results["balanced"]["accuracy"]
            rows.append(("test accuracy, all classes alike", f"{ORIGINAL['balanced']['accuracy']:.1%}", f"{here:.1%}"))
        for label, there in ORIGINAL["long_tailed"].items():
            if label in runs:
                words, mean, rare = f"long-tailed, {label}", np.mean(there), np.mean(there[-RARE:])
                rows.append((f"test accuracy, {words}", f"{mean:.1%}", f"{runs[label]['accuracy']:.1%}"))
                rows.append((f"of the {RARE} rarest classes, {words}", f"{rare:.1%}", f"{runs[label]['rare']:.1%}"))
        if len(runs) > len(self.betas):
            best = max(runs, key=lambda label: runs[label]["rare"])
            rows.append((f"of the {RARE} rarest classes, most: {best}", "-", f"{runs[best]['rare']:.1%}"))
        return rows

    def setting_words(self):
        """Return the paragraph on the settings."""
        return f"Seed {self.seed}; the runs on the long-tailed images have this and the following seeds."


def _reached(here, there):
    return "at least" if here >= there else f"{100 * (there - here):.1f} points below"


def _lost(by_class):
    return sum(share < 0.1 for share in by_class)


def _beside(share, others):
    """Return where a share lies beside the range of others."""
    above, below = 100 * (share - max(others)), 100 * (min(others) - share)
    if max(above, below) <= 0:
        return "within that range"
    return f"{above:.1f} points above that range" if above > 0 else f"{below:.1f} points below that range"


STUDY = ImbalancedCifar
