"""The commands for classifiers of strings: train, test, predict, explain, info."""

import html
import json
import os
import re
import sys
import time
import warnings
from collections import Counter

import numpy as np

from fastconv.classifier import load_classifier
from fastconv.cli.evaluation import Evaluation
from fastconv.cli.options import check_target, command, positive, put, rate, seed, share, tell, threads
from fastconv.errors import DataError, ModelFormatError, RangeError
from fastconv.files import write_atomically
from fastconv.textfiles import FORMATS, SURROGATES, TextFile

LABELS = 100_000
"""Characters of all labels together, at most: they have to fit in a model file's header."""
UNKNOWN = 5
"""Labels that the model does not know of which is told."""
NUMBERS = {
    "epochs": "passes over the data (default: by the number of strings)",
    "filters": "filters of each network of the ensemble",
    "kernel-size": "characters that a filter sees",
    "members": "networks of the ensemble",
    "batch-size": "strings of a batch",
    "max-length": "characters of a string that are read at most",
}
"""Parameters of CharConvClassifier, which has their defaults."""
BREAKS = re.compile("[\t\n\r]")

FILES = """files:
  {}
  .tsv              string<TAB>label; with --text and --label the first line names the columns
  .csv              the first row names the columns: text and label, or what --text and --label say
  .jsonl, .ndjson   a JSON object a line with the keys text and label, or what --text and --label say
  .ft               fastText's lines: __label__NAME string
  .gz behind it     the same, compressed
  --text 1 --label 2 counts the columns of files that do not name them. Text is UTF-8; lines are of 16 MiB at most.
"""
LABELLED = FILES.format("other suffixes and standard input (-) are told by their first line")
TRAIN = f"""{LABELLED}
Lines that are empty are passed over and counted. The model file is written when all is done, whole or not at all.

examples:
  fastconv train names.tsv --model names.safetensors
  fastconv train reviews.csv --text title --label stars --model stars.safetensors --validation 0.2 --chart stars.png
  zcat domains.tsv.gz | fastconv train - --model domains.safetensors --seed 1 --epochs 5
"""
TEST = f"""{LABELLED}
Labels that the model does not know count as wrong.

examples:
  fastconv test others.tsv --model names.safetensors
  fastconv test reviews.jsonl --text title --label stars --model stars.safetensors --chart confusions.png
"""
PREDICT = f"""{FILES.format("other suffixes and standard input: a string a line, all of it")}
There is a line for each string, an empty one too: string<TAB>label<TAB>probability, with --top-k label and probability
K times. Tabs and line ends inside strings come out as spaces; --format jsonl keeps them. Below --reject-below the first
label is that of --reject-label, by default none (null in JSON).

examples:
  echo Nakamura | fastconv predict --model names.safetensors
  fastconv predict names.txt --model names.safetensors --top-k 3 > predicted.tsv
  fastconv predict names.csv --text surname --model names.safetensors --reject-below 0.6 --format jsonl
"""
EXPLAIN = """A character contributes as much as the logarithm of the label's probability falls when it is hidden.

examples:
  fastconv explain Nakamura --model names.safetensors
  fastconv explain Nakamura --model names.safetensors --label Polish --html nakamura.html
"""
INFO = """examples:
  fastconv info
  fastconv info names.safetensors
"""


def add(commands):
    """Add the commands to a parser."""
    p = command(commands, "train", train, "train a classifier of strings on a file of strings and labels", TRAIN)
    _labelled_data(p)
    p.add_argument("--model", required=True, metavar="FILE", help="the model file to write")
    p.add_argument(
        "--validation", type=share, default=0.1, metavar="SHARE",
        help="of each class held out to test on, 0 for none (default: 0.1)",
    )  # fmt: skip
    p.add_argument("--chart", metavar="FILE", help="draw the confusion matrix of what is held out into a PNG file")
    for name, text in NUMBERS.items():
        p.add_argument(f"--{name}", type=positive, metavar="N", help=text)
    p.add_argument("--learning-rate", type=rate, metavar="RATE", help="the highest of the one-cycle schedule")
    p.add_argument("--keep", choices=["start", "end"], help="which part is read of longer strings (default: start)")
    p.add_argument("--keep-case", dest="lowercase", action="store_const", const=False, help="let case matter")
    p.add_argument("--strip-accents", action="store_const", const=True, help="let accents not matter")
    p.add_argument(
        "--class-weight", choices=["balanced", "none"], default="balanced",
        help="balanced: all classes count alike; none: all strings do (default: balanced)",
    )  # fmt: skip
    seed(p)
    threads(p)

    p = command(commands, "test", test, "tell how well a model does on a file of strings and labels", TEST)
    _labelled_data(p)
    _model(p)
    p.add_argument("--chart", metavar="FILE", help="draw the confusion matrix into a PNG file")
    threads(p)

    p = command(commands, "predict", predict, "print the label and its probability for each string of a file", PREDICT)
    p.add_argument("data", nargs="?", default="-", metavar="FILE", help="the strings (default: standard input)")
    _reading(p, FORMATS)
    _model(p)
    p.add_argument("--top-k", type=positive, default=1, metavar="K", help="likeliest labels to print (default: 1)")
    p.add_argument("--reject-below", type=share, metavar="P", help="give no label where it is less probable")
    p.add_argument("--reject-label", metavar="LABEL", help="what to print then instead")
    p.add_argument("--format", choices=["tsv", "jsonl"], default="tsv", help="of what is printed (default: tsv)")
    threads(p)

    p = command(commands, "explain", explain, "print what each character of a string contributes", EXPLAIN)
    p.add_argument("string")
    _model(p)
    p.add_argument("--label", help="the label to explain (default: the likeliest)")
    p.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="default: auto, in a terminal")
    p.add_argument("--html", metavar="FILE", help="write it as a page, too")

    p = command(commands, "info", info, "print what a model file holds, or what this build is", INFO)
    p.add_argument("model", nargs="?", metavar="FILE", help="a model file")


def _labelled_data(p):
    p.add_argument("data", metavar="DATA", help="the file of strings and labels; - is standard input")
    _reading(p, FORMATS[1:])
    p.add_argument("--label", metavar="COLUMN", help="the column or key of the label")


def _reading(p, formats):
    p.add_argument("--input-format", choices=formats, help="of the file (default: what its suffix says)")
    p.add_argument("--text", metavar="COLUMN", help="the column or key of the string")
    p.add_argument(
        "--errors", choices=["strict", "replace"], default="strict",
        help="what is not UTF-8 is an error, or is read as U+FFFD (default: strict)",
    )  # fmt: skip


def _model(p):
    p.add_argument("--model", required=True, metavar="FILE", help="a model file that train wrote")


def _labelled(options):
    return TextFile(options.data, options.input_format, options.text, options.label, options.errors)


def _tell_skipped(file):
    if file.skipped:
        tell(f"{file.shown}: {file.skipped} empty lines passed over")


def train(options):
    """Train on a file and write a model."""
    from fastconv.datasets.dataset import hold_out
    from fastconv.estimators import CharConvClassifier

    check_target("--model", options.model)
    _check_chart(options)
    if options.validation == 1:
        raise RangeError("--validation: expected a share below 1, got 1")
    if options.chart and not options.validation:
        raise RangeError("--chart: expected a share to hold out, got --validation 0")
    strings, labels = _examples(_labelled(options))
    index = {name: k for k, name in enumerate(sorted(set(labels)))}
    codes = np.array([index[label] for label in labels])
    strings, labels = np.array(strings, object), np.array(labels, object)
    counts = np.bincount(codes)
    sizes = np.minimum(np.rint(options.validation * counts), counts - 1)
    rows, held_out = hold_out(codes, sizes, np.random.default_rng(options.seed).permutation(len(codes)))
    tell(f"{len(rows)} strings to train, {len(held_out)} to validate, {len(index)} classes")
    names = [name.replace("-", "_") for name in NUMBERS]
    names += ["learning_rate", "keep", "lowercase", "strip_accents"]
    settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    clf = CharConvClassifier(
        class_weight=None if options.class_weight == "none" else options.class_weight, random_state=options.seed,
        threads=options.threads, verbose=sys.stderr.isatty(), **settings,
    )  # fmt: skip
    start = time.perf_counter()
    validation = (strings[held_out], labels[held_out]) if len(held_out) else None
    clf.fit(strings[rows], labels[rows], validation=validation)
    clf.set_params(verbose=False)  # the file does not tell whether there was a terminal
    tell(clf.predictor_.info())
    tell(f"{clf.n_iter_} epochs in {time.perf_counter() - start:.1f} s, temperature {clf.temperature_:.2f}")
    if len(held_out):
        evaluation = Evaluation(list(index))
        evaluation.add(codes[held_out], clf.predict_proba(strings[held_out]))
        tell(f"\nof what was held out:\n{evaluation.report()}\n")
        _draw(options, evaluation, "Confusion matrix of what was held out")
    clf.save(options.model)
    tell(f"written: {options.model}")


def _examples(file):
    """Return the strings and labels of a file, of two classes at least."""
    strings, labels = [], []
    for block in file:
        strings += block.strings
        labels += map(sys.intern, block.labels)
    _tell_skipped(file)
    if not strings:
        raise DataError(f"{file.shown}: no lines")
    names = set(labels)
    if len(names) < 2:
        raise DataError(f"{file.shown}: all labels are {labels[0]!r:.80}; a classifier needs two classes at least")
    if sum(map(len, names)) > LABELS:
        raise DataError(
            f"{file.shown}: expected labels of {LABELS} characters in all, got {len(names)} of "
            f"{sum(map(len, names))}; is what stands for the label the string?"
        )
    return strings, labels


def _check_chart(options):
    if options.chart:
        check_target("--chart", options.chart)
        from fastconv import plots  # noqa: F401  says what to install before there is work to be lost


def _draw(options, evaluation, title):
    if options.chart:
        from fastconv import plots
        from fastconv.reproduce.report import png

        figure = plots.confusion_matrix(evaluation.matrix[:-1], evaluation.names, title)
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", message="Glyph .* missing from")
            write_atomically(options.chart, png(figure))
        if caught:
            tell("the chart's font lacks characters of the classes' names: there are boxes in their place")
        tell(f"written: {options.chart}")


def _name(label):
    """Return the text of a label, as files have it."""
    return label if isinstance(label, str) else json.dumps(label)


def _probabilities(model, strings, options):
    p = model.predict_proba(strings, options.threads)
    if not np.isfinite(p).all():
        raise ModelFormatError(f"{options.model}: gives probabilities that are not finite numbers")
    return p


def test(options):
    """Tell how well a model does on a file."""
    _check_chart(options)
    model = load_classifier(options.model)
    names = list(map(_name, model.classes))
    index, file = {name: k for k, name in enumerate(names)}, _labelled(options)
    evaluation, unknown = Evaluation(names), Counter()
    for block in file:
        codes = [index.get(label, -1) for label in block.labels]
        evaluation.add(codes, _probabilities(model, block.strings, options))
        for k, label in zip(codes, block.labels, strict=True):
            if k < 0 and (label in unknown or len(unknown) < UNKNOWN):
                unknown[label] += 1
    _tell_skipped(file)
    if not evaluation.matrix.any():
        raise DataError(f"{file.shown}: no lines")
    if unknown:
        shown = ", ".join(f"{label!r:.80} ({n})" for label, n in unknown.items())
        n = int(evaluation.matrix[-1].sum())
        shown += ", ..." * (unknown.total() < n)
        tell(f"{n} strings have labels that the model does not know, all wrong: {shown}")
    put(evaluation.report() + "\n")
    _draw(options, evaluation, "Confusion matrix")


def predict(options):
    """Classify the strings of a file, a block at a time, each as soon as it has come."""
    if options.reject_label is not None and options.reject_below is None:
        raise RangeError("--reject-label: expected --reject-below with it")
    model = load_classifier(options.model)
    file = TextFile(options.data, options.input_format, options.text, errors=options.errors, labelled=False)
    output = (Table if options.format == "tsv" else JsonLines)(model.classes, options.reject_label)
    k = min(options.top_k, len(model.classes))
    for block in file:
        p = _probabilities(model, block.strings, options)
        best = p.argmax(axis=1)[:, None] if k == 1 else np.argsort(-p, axis=1, kind="stable")[:, :k]
        p = np.take_along_axis(p, best, 1)
        first = best[:, 0]
        if options.reject_below is not None:
            first = np.where(p[:, 0] < options.reject_below, len(model.classes), first)
        columns = output.columns(block.strings, first, best, np.rint(p * np.float64(10_000)).astype(np.intp))
        parts = np.empty((len(first), len(columns)), object)
        for place, column in enumerate(columns):
            parts[:, place] = column
        put("".join(parts.ravel().tolist()))


class Table:
    """Lines string<TAB>label<TAB>probability, as columns of parts of text."""

    def __init__(self, classes, reject_label):
        names = [*map(_name, classes), reject_label or ""]
        self._labels = np.array([f"\t{BREAKS.sub(' ', name)}\t" for name in names], object)
        self._numbers = _numbers()

    def columns(self, strings, first, best, numbers):
        """Return what stands one after the other in a line: a list or an array of it for all lines, or one str."""
        if BREAKS.search("".join(strings)):
            strings = [BREAKS.sub(" ", string) for string in strings]
        columns = [strings, self._labels[first], self._numbers[numbers[:, 0]]]
        for place in range(1, best.shape[1]):
            columns += [self._labels[best[:, place]], self._numbers[numbers[:, place]]]
        return [*columns, "\n"]


class JsonLines:
    """JSON objects with the keys text, label, probability, and top if there are several labels, as columns of parts."""

    def __init__(self, classes, reject_label):
        self._encode = json.JSONEncoder(ensure_ascii=False).encode
        self._labels = np.array([self._encode(label) for label in (*classes, reject_label)], object)
        self._numbers = _numbers()

    def columns(self, strings, first, best, numbers):
        """Return what stands one after the other in a line: a list or an array of it for all lines, or one str."""
        columns = ['{"text": ', list(map(self._encode, strings)), ', "label": ', self._labels[first]]
        columns += [', "probability": ', self._numbers[numbers[:, 0]]]
        if best.shape[1] > 1:
            for place in range(best.shape[1]):
                columns += [', {"label": ' if place else ', "top": [{"label": ', self._labels[best[:, place]]]
                columns += [', "probability": ', self._numbers[numbers[:, place]], "}"]
            columns += ["]"]
        return [*columns, "}\n"]


def _numbers():
    """Return the text of each number from 0 to 1 of four decimals."""
    return np.array([f"{n / 10_000:.4f}" for n in range(10_001)], object)


def explain(options):
    """Tell what each character of a string contributes."""
    if SURROGATES.search(options.string):
        raise DataError(f"explain: expected a string of UTF-8, got {options.string!r:.80}")
    if options.html:
        check_target("--html", options.html)
    model = load_classifier(options.model)
    label = options.label
    if label is not None:
        index = {_name(known): known for known in model.classes}
        if label not in index:
            raise RangeError(f"--label: expected one of {', '.join(index)}, got {label!r}")
        label = index[label]
    explanation = model.explain(options.string, label)
    coloured = options.color == "always"
    if options.color == "auto":
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    put(f"{explanation.ansi() if coloured else explanation}\n")
    if options.html:
        title = html.escape(options.string)
        page = f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        page += f'<body style="font: 1.2em sans-serif; margin: 2em">\n{explanation._repr_html_()}\n</body>\n</html>\n'
        write_atomically(options.html, page.encode("utf-8", "xmlcharrefreplace"))
        tell(f"written: {options.html}")


def info(options):
    """Describe the build or a model file."""
    from fastconv import load, show_config

    if options.model is None:
        show_config()
        return
    try:
        put(load_classifier(options.model).info() + "\n")
    except ModelFormatError:
        net = load(options.model)  # of images, or a network alone
        lines = [net.summary(), f"dtype               {net.dtype}"]
        for name, value in net.metadata.items():
            lines.append(f"{name:<20}{', '.join(map(str, value)) if isinstance(value, list) else repr(value)}")
        put("\n".join(lines) + "\n")
