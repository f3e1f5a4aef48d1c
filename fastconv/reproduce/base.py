"""What every study does: run its parts one after the other, keep what they find, and write the report."""

import os
import sys
import time
from dataclasses import dataclass
from types import MappingProxyType

from fastconv import engine
from fastconv.arrays import positive
from fastconv.config import config
from fastconv.errors import RangeError
from fastconv.reproduce import report
from fastconv.reproduce.report import Section, Table


@dataclass(frozen=True)
class Options:
    """How a study is run, whichever it is; see :func:`fastconv.reproduce.run`."""

    quick: bool = False
    threads: int | None = None
    seed: int = 0
    epochs: int | None = None
    progress: bool | None = None
    echo: object = print


class Study:
    """A study: a question, parts that compute and tell, and the original's figures beside those found here.

    A study's own class names its parts and has a method for each, which computes, puts its figures into
    :attr:`results` as soon as they are known, and returns its section.

    Parameters
    ----------
    data : str, path-like or None
        The folder of the original's data; None takes what comes with the package.
    options : Options

    Attributes
    ----------
    NAME, TITLE : str
    ORIGINAL : dict
        The original's figures, of JSON's types.
    DATA : str
        The usual name of the data's folder.
    PARTS : tuple of (str, str)
        Words for a part, and the name of its method.
    EPOCHS : bool
        Whether ``epochs`` scales the study.
    results : dict
        What ``results.json`` will hold.
    running : str
        Words for what runs, for the progress bar: by default the part's; a part may say more.
    """

    NAME = TITLE = DATA = ""
    ORIGINAL = MappingProxyType({})
    PARTS = ()
    EPOCHS = False

    def __init__(self, data, options):
        engine.threads(options.threads)
        if options.epochs is not None and not self.EPOCHS:
            raise RangeError(f"reproduce: {self.NAME} takes no number of epochs, got {options.epochs}")
        if options.epochs is not None:
            positive("reproduce: epochs", options.epochs)
        self.options = options
        self.quick, self.threads, self.seed = options.quick, options.threads, options.seed
        self.echo = options.echo
        self.finished = []
        self.running = ""
        self.results = {
            "study": self.NAME,
            "complete": False,
            "settings": {"quick": self.quick, "seed": self.seed, "threads": self.threads, "epochs": options.epochs},
            "machine": config(),
            "original": dict(self.ORIGINAL),
        }

    @property
    def progress(self):
        """What :meth:`fastconv.Trainer.fit` is to be told: False, or the words in front of its progress bar."""
        shown = sys.stderr.isatty() if self.options.progress is None else self.options.progress
        return shown and ": ".join(filter(None, (self.NAME, self.running)))

    # What a study's own class says

    def introduction(self):
        """Return the question and the setting."""
        raise NotImplementedError

    def whose(self):
        """Return the sentence on the data that the original's figures belong to."""
        raise NotImplementedError

    def comparison(self):
        """Return the rows (what, original, here) of the parts that are finished."""
        raise NotImplementedError

    def setting_words(self):
        """Return the paragraph on settings that stands at the report's end."""
        return f"Seed {self.seed}."

    # What all studies do

    def epochs_of(self, full, quick):
        """Return the epochs of a training: those that were asked for, or those of a full or of a quick run."""
        return self.options.epochs or (quick if self.quick else full)

    def seeds_of(self, full, quick=1):
        """Return the seeds of trainings that are repeated, so many in a full or in a quick run, from the study's on."""
        return [self.seed + i for i in range(quick if self.quick else full)]

    def note(self, words):
        """Print a finished piece of the current part, and keep it for the case that the part is broken off."""
        self.finished.append(words)
        self.echo(words)

    def run(self, out):
        """Run the parts and write the report into a folder; return the results.

        Raises
        ------
        KeyboardInterrupt, Exception
            On Ctrl-C, or if a part fails, after what is done so far has been written.
        """
        os.makedirs(out, exist_ok=True)
        started = time.perf_counter()
        results, sections, stopped = self.results, [], None
        words = "introduction"
        try:
            self.echo(self.introduction().text())
            for words, method in self.PARTS:
                self.finished.clear()
                self.running = words
                sections.append(getattr(self, method)())
                self.echo("\n" + sections[-1].text())
        except (KeyboardInterrupt, Exception) as error:
            stopped, results["interrupted_in"] = error, words
            sections.append(self.broken_off(words, error))
            self.echo("\n" + sections[-1].text())
        results["complete"] = stopped is None
        results["seconds"] = time.perf_counter() - started
        summary = self.summary()
        self.echo("\n" + summary.text() + "\n")
        sections = [self.introduction(), summary, *sections, self.environment()]
        report.write(out, self.TITLE, sections, results, self.echo)
        if stopped:
            raise stopped
        return results

    def broken_off(self, words, error):
        """Return what stands in the place of a part that was interrupted, or that failed."""
        reason = "" if isinstance(error, KeyboardInterrupt) else f" by an error: {error}"
        text = f"Interrupted in this part ({words}){reason}; what comes after it was not run."
        return Section("Interrupted", [text + (f" Finished before: {'; '.join(self.finished)}." * bool(self.finished))])

    def summary(self):
        """Return the table of original and found figures, of the parts that were finished."""
        rows = self.results["comparison"] = self.comparison()
        self.results["original_data"] = self.whose()
        state = "The study" if self.results["complete"] else "Interrupted; what was done"
        parts = [Table("Original and here", ("", "original", "here"), rows)] if rows else []
        return Section("Result", [*parts, f"{state} took {self.results['seconds']:.1f} s. {self.whose()}"])

    def environment(self):
        """Return the section on settings and machine."""
        machine = [(name, str(value)) for name, value in self.results["machine"].items()]
        words = "Everything but the seconds comes out the same, bit for bit, at any number of threads."
        parts = [f"{self.setting_words()} {words}", Table("Machine", ("", ""), machine, left=2)]
        return Section("Settings and machine", parts)

    def quick_words(self):
        """Return the warning of a quick run as a list of paragraphs."""
        words = "This is a quick run: it tries the path with few updates, and its figures mean nothing."
        return [words] if self.quick else []


def line(records, name, factor=1, by="epoch"):
    """Return what the records of a training say of a figure as x and y, for :func:`fastconv.plots.curves`.

    Parameters
    ----------
    records : list of dict
    name : str
        The figure's key.
    factor : float
        By which it is multiplied: 100 for percent.
    by : {"epoch", "update"}

    Returns
    -------
    x, y : list

    Examples
    --------
    >>> from fastconv.reproduce.base import line
    >>> line([{"epoch": 1, "accuracy": 0.25}, {"epoch": 2, "accuracy": 0.5}], "accuracy", 100)
    ([1, 2], [25.0, 50.0])
    """
    return [record[by] for record in records], [factor * record[name] for record in records]


def middle(entries, name):
    """Return the place of the entry whose figure is the median; of an even number, the lower of the two in the middle.

    Examples
    --------
    >>> from fastconv.reproduce.base import middle
    >>> middle([{"accuracy": 0.5}, {"accuracy": 0.7}, {"accuracy": 0.6}], "accuracy")
    2
    """
    return sorted(range(len(entries)), key=lambda i: entries[i][name])[(len(entries) - 1) // 2]


def points(here, there):
    """Return in words how many points a share lies above or below another.

    Examples
    --------
    >>> from fastconv.reproduce.base import points
    >>> points(0.525, 0.5), points(0.4, 0.5)
    ('2.50 points above', '10.00 points below')
    """
    by = 100 * (here - there)
    return f"{abs(by):.2f} points {'above' if by >= 0 else 'below'}"
