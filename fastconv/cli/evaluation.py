"""What is told of a classifier on labelled strings: accuracy by class, confusions, calibration."""

import unicodedata

import numpy as np

from fastconv.classifier import visible

SMALL = 20
"""Classes whose confusion matrix is shown whole; of more the most frequent confusions are."""
CONFUSIONS = 20
BINS = 15
"""Of the calibration error."""


class Evaluation:
    """What becomes of labelled strings, added up a block at a time.

    Parameters
    ----------
    names : list of str
        Of the classes.

    Attributes
    ----------
    matrix : (K + 1, K) int64
        Row: true class, the last one for labels that are no class; column: predicted class.
    gaps : (K + 1, 15) float64
        Of each true class and bin of confidence, the sum of (right or not) - confidence.

    Examples
    --------
    >>> from fastconv.cli.evaluation import Evaluation
    >>> evaluation = Evaluation(["no", "yes"])
    >>> evaluation.add([0, 1, 1, -1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    >>> evaluation.accuracy, round(evaluation.macro_f1, 3), round(evaluation.calibration_error(), 3)
    (0.5, 0.389, 0.4)
    """

    def __init__(self, names):
        self.names = list(map(visible, names))
        self.matrix = np.zeros((len(names) + 1, len(names)), np.int64)
        self.gaps = np.zeros((len(names) + 1, BINS))

    def add(self, codes, probabilities):
        """Add the indices of strings' classes, (N,), -1 for labels that are no class, and probabilities, (N, K)."""
        codes, probabilities = np.asarray(codes), np.asarray(probabilities)
        found, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1).astype(np.float64)
        bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
        np.add.at(self.matrix, (codes, found), 1)
        np.add.at(self.gaps, (codes, bins), (found == codes) - confidence)

    @property
    def accuracy(self):
        """The share of the strings that are classified right."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    def by_class(self):
        """Return how many strings each class has, the share of them that is found, that of the finds, and F1, (K,)."""
        hits, strings, finds = np.diag(self.matrix), self.matrix[:-1].sum(axis=1), self.matrix.sum(axis=0)
        with np.errstate(invalid="ignore"):  # classes without strings or finds
            return strings, hits / strings, hits / finds, 2 * hits / (strings + finds)

    @property
    def macro_f1(self):
        """The mean F1 of the classes that occur or are found; labels that are no class are together one more, of 0."""
        f1 = self.by_class()[3]
        return float(np.nansum(f1) / (np.count_nonzero(~np.isnan(f1)) + self.matrix[-1].any()))

    def calibration_error(self, balanced=False):
        """Return the expected calibration error, with all true classes counting alike if `balanced`.

        References
        ----------
        Guo et al., "On calibration of modern neural networks", 2017, equation (3).
        """
        strings = self.matrix.sum(axis=1)
        occur = strings > 0
        weights = 1 / strings[occur] if balanced else np.ones(occur.sum())
        return float(np.abs(weights @ self.gaps[occur]).sum() / (weights @ strings[occur]))

    def report(self):
        """Return it all as text."""
        lines = [
            f"accuracy           {self.accuracy:6.1%} of {self.matrix.sum()} strings",
            f"macro-F1           {self.macro_f1:6.1%}",
            f"calibration error  {self.calibration_error():6.1%}, "
            f"{self.calibration_error(balanced=True):.1%} with all classes counting alike",
        ]
        return "\n".join([*lines, "", *self._class_table(), "", *self._confusions()])

    def _class_table(self):
        width = max(5, *map(_cells, self.names))
        yield f"{'class':<{width}}  strings  accuracy  precision      F1"
        for name, strings, *shares in zip(self.names, *self.by_class(), strict=True):
            accuracy, precision, f1 = ("" if np.isnan(share) else f"{share:.1%}" for share in shares)
            yield f"{_padded(name, width)}  {strings:7}  {accuracy:>8}  {precision:>9}  {f1:>6}".rstrip()

    def _confusions(self):
        known = self.matrix[:-1]
        if len(self.names) > SMALL:
            yield f"most frequent confusions ({len(self.names)} classes)"
            wrong = known - np.diag(np.diag(known))
            order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
            for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
                if n := wrong[row, column]:
                    of_these = f"{n / known[row].sum():.1%} of these"
                    yield f"{n:7}  {self.names[row]} taken for {self.names[column]} ({of_these})"
            return
        yield "confusion matrix: a row for each true class, a column for each predicted one"
        name, cell = max(map(_cells, self.names)), max(3, len(str(known.max())))
        yield " " * (name + 4) + "".join(f" {column:>{cell}}" for column in range(1, len(self.names) + 1))
        for row, counts in enumerate(known):
            cells = "".join(f" {n or '.':>{cell}}" for n in counts)
            yield f"{row + 1:2}  {_padded(self.names[row], name)}{cells}"


def _padded(name, width):
    """Return a name with spaces behind it, so that it fills so many cells of a terminal."""
    return name + " " * (width - _cells(name))


def _cells(name):
    """Return how many cells of a terminal a name fills: two for each wide character, none for a combining one."""
    return sum(not unicodedata.combining(c) and 1 + (unicodedata.east_asian_width(c) in "FW") for c in name)
