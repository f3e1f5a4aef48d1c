"""The command line: fastconv reproduce | bench | train | predict | info."""

import argparse
import functools
import json
import os
import sys

from fastconv.errors import DataError, FastconvError, RangeError
from fastconv.files import write_atomically

EXAMPLES = """examples:
  fastconv reproduce surnames                        the surname ConvNet on the bundled names
  fastconv reproduce surnames --data FOLDER          the same on the course's files
  fastconv reproduce all --data FOLDER --out reports every study, on the data in FOLDER's folders
  fastconv bench --chart bench.png --json bench.json the 100-update timing
  fastconv bench --task prediction                   names a second
  fastconv train names.tsv --model names.safetensors
  echo Nakamura | fastconv predict --model names.safetensors
"""


def main(arguments=None):
    """Run the command line; return the exit status.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.
    """
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (FastconvError, OSError, ImportError) as error:
        if isinstance(error, BrokenPipeError):
            # nobody reads on: leave quietly, and let nothing be flushed into the closed pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"fastconv: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fastconv: interrupted", file=sys.stderr)
        return 130


def parser():
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="fastconv",
        description="Small convolutional networks on the CPU, fast.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from fastconv import __version__
    from fastconv.bench import TASKS

    top.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    p = _command(commands, "reproduce", reproduce, "reproduce a study: train, check, time, and write a report")
    p.add_argument("study", nargs="?", help="the study, or all; --list names them")
    p.add_argument("--list", action="store_true", help="list the studies")
    p.add_argument("--data", metavar="FOLDER", help="the original's data (default: what comes with the package)")
    p.add_argument("--out", metavar="FOLDER", help="where figures, results.json and report.html go")
    p.add_argument("--quick", action="store_true", help="the same path with a few updates, to try it")
    p.add_argument("--epochs", type=_positive, help="epochs of a training, where that scales (default: the original's)")
    p.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    p.add_argument("--seed", type=_count, default=0, help="seed of the random numbers (default: 0)")
    _threads(p)

    p = _command(
        commands, "bench", bench, "time every implementation at hand on the surname ConvNet, or on nets over images"
    )
    p.epilog = "tasks:\n" + "\n".join(f"  {name:<13}{text}" for name, text in TASKS.items())
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.add_argument("--task", choices=[*TASKS, "all"], default="updates", help="what is timed (default: updates)")
    p.add_argument("--threads", type=_list, default=[1, 2], help="numbers of threads, as in 1,2 (the default)")
    p.add_argument("--repeats", type=_positive, help="runs of each, the median counts (default: the task's)")
    p.add_argument("--filters", type=_pair, help="filters of the two convolutions over names (default: the task's)")
    p.add_argument("--widths", type=_pair, help="their widths (default: the task's)")
    p.add_argument("--updates", type=_positive, help="updates of a run, where the task trains (default: the task's)")
    p.add_argument("--batch-size", type=_positive, help="samples of a batch, where it trains (default: the task's)")
    p.add_argument("--many", type=_positive, help="names of the largest prediction (default: 20,000,000)")
    p.add_argument("--data", metavar="FOLDER", help="the course's files (default: the bundled names)")
    p.add_argument("--json", metavar="FILE", help="write the results to a file")
    p.add_argument(
        "--chart", metavar="FILE", help="draw the results into a PNG file; with --task all one for each task"
    )
    p.add_argument("--quick", action="store_true", help="one run each, to try it")

    p = _command(commands, "train", train, "train the surname ConvNet on a file of strings and labels")
    p.add_argument("file", help="lines string<TAB>label, UTF-8; - is standard input")
    p.add_argument("--model", required=True, metavar="FILE", help="the model file to write")
    p.add_argument("--epochs", type=_positive, default=30, help="passes over the data (default: 30)")
    p.add_argument("--batch-size", type=_positive, default=19, help="strings of a batch (default: 19)")
    p.add_argument("--learning-rate", type=float, default=0.001, help="of SGD with momentum 0.9 (default: 0.001)")
    p.add_argument("--filters", type=_pair, default=(30, 30), help="filters of the two convolutions (default: 30,30)")
    p.add_argument("--widths", type=_pair, default=(5, 5), help="their widths (default: 5,5)")
    p.add_argument("--validation", type=float, default=0.1, help="share of each class held out (default: 0.1)")
    p.add_argument("--seed", type=_count, default=0, help="seed of the random numbers (default: 0)")
    _threads(p)

    p = _command(commands, "predict", predict, "print string, label and probability for each line of a file")
    p.add_argument("file", nargs="?", default="-", help="a string a line, UTF-8 (default: standard input)")
    p.add_argument("--model", required=True, metavar="FILE", help="a model file that train wrote")
    _threads(p)

    p = _command(commands, "info", info, "print what this build is, or what a model file holds")
    p.add_argument("model", nargs="?", help="a model file")
    return top


def _command(commands, name, run, text):
    p = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    p.set_defaults(run=run)
    return p


def _threads(p):
    p.add_argument("--threads", type=_positive, help="threads (default: all that are allowed)")


def _count(text):
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, got {text!r}")
    return value


def _positive(text):
    value = _count(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a positive integer, got 0")
    return value


def _list(text):
    return [_positive(part) for part in text.split(",")]


def _pair(text):
    values = _list(text)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"expected two numbers, as in 30,30, got {text!r}")
    return tuple(values)


def _tell(line):
    print(line, file=sys.stderr)


def reproduce(options):
    """Reproduce a study."""
    from fastconv import reproduce as studies

    if options.list:
        for name, text in studies.STUDIES.items():
            print(f"{name:<18}{text} (data folder: {studies.study(name).DATA})")
        return 0
    if options.study is None:
        raise RangeError(f"reproduce: expected a study, one of {', '.join(studies.STUDIES)}, or all")
    settings = ("data", "out", "quick", "threads", "seed", "epochs", "force")
    settings = {name: getattr(options, name) for name in settings}
    settings["echo"] = functools.partial(print, flush=True)  # into a file too, while it runs
    if options.study == "all":
        studies.run_all(**settings)
    else:
        studies.run(options.study, **settings)
    return 0


def bench(options):
    """Run tasks of the benchmark suite: tables on standard output, charts and JSON into files."""
    from fastconv.bench import TASKS, images, suite, timing

    for option, path in (("--json", options.json), ("--chart", options.chart)):
        if path and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise DataError(f"{option}: the folder of {path} does not exist")
    if options.chart:
        from fastconv import plots  # noqa: F401  says what to install before anything is timed
        from fastconv.reproduce.report import png
    tasks = list(TASKS) if options.task == "all" else [options.task]
    results = {}
    for task in tasks:
        trains, over_images = task in timing.CONTESTS or task in images.CONTESTS, task in images.TASKS
        names = ["repeats"] + ["filters", "widths"] * (not over_images)
        names += (
            ["updates"] * trains + ["batch_size"] * (trains or task == "images") + ["many"] * (task == "prediction")
        )
        settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
        _tell(f"{task}: {TASKS[task]}")
        try:
            result = results[task] = suite.run(task, options.data, options.threads, options.quick, _tell, **settings)
        except timing.WorkerError as error:
            _tell(f"fastconv: error: {error}")
            return 2
        if task == tasks[0]:
            print("\n".join(f"{name:<20}{value}" for name, value in result["machine"].items()))
        print("\n" + "\n".join(suite.table(result)))
        if options.json:  # after each task, so that an interruption loses one at most
            write_atomically(options.json, json.dumps(results if len(tasks) > 1 else result, indent=2))
        if options.chart:
            stem, suffix = os.path.splitext(options.chart)
            path = f"{stem}-{task}{suffix}" if len(tasks) > 1 else options.chart
            write_atomically(path, png(suite.chart(result)))
            _tell(f"written: {path}")
    return 0


def _lines(name):
    """Yield (number, line) of a UTF-8 file or of standard input."""
    file = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115
    with file:
        for number, line in enumerate(file, 1):
            try:
                yield number, line.rstrip(b"\r\n").decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{name}, line {number}: not UTF-8: byte {error.start}") from None


def read_examples(name):
    """Return the strings and labels of a file of lines ``string<TAB>label``."""
    strings, labels = [], []
    for number, line in _lines(name):
        string, tab, label = line.rpartition("\t")
        if not tab or not label.strip():
            raise DataError(f"{name}, line {number}: expected string<TAB>label, got {line!r}")
        if not string.strip():
            raise DataError(f"{name}, line {number}: the string is empty")
        strings.append(string)
        labels.append(label.strip())
    if not strings:
        raise DataError(f"{name}: no lines")
    if len(set(labels)) < 2:
        raise DataError(f"{name}: all labels are {labels[0]!r}; a classifier needs two classes at least")
    return strings, labels


def train(options):
    """Train on a file and write a model."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    from fastconv import Alphabet, SoftmaxCrossEntropy, Trainer, models
    from fastconv.optim import SGD

    strings, labels = read_examples(options.file)
    if not os.path.isdir(os.path.dirname(os.path.abspath(options.model))):
        raise DataError(f"--model: the folder of {options.model} does not exist")
    if not 0 <= options.validation < 1:
        raise DataError(f"--validation: expected a share in [0, 1), got {options.validation}")
    optimizer = SGD(options.learning_rate, momentum=0.9)
    classes, y = np.unique(labels, return_inverse=True)
    alphabet = Alphabet.from_strings(strings)
    length = max(sum(options.widths) - 1, max(map(len, strings)))
    codes = alphabet.encode(strings, length)
    rows, held_out = np.arange(len(y)), None
    if options.validation:
        n = max(len(classes), round(options.validation * len(y)))
        stratify = y if np.bincount(y).min() >= 2 and len(y) - n >= len(classes) else None
        if n >= len(y):
            raise DataError(f"{options.file}: {len(y)} lines are too few to hold {n} out; see --validation")
        rows, held_out = train_test_split(rows, test_size=n, random_state=options.seed, stratify=stratify)
    net = models.surname_convnet(
        len(alphabet), length, len(classes), options.filters, options.widths, bias=False, seed=options.seed
    )
    net.metadata = {"alphabet": alphabet.symbols, "lower": alphabet.lower, "classes": classes.tolist()}
    trainer = Trainer(
        net, SoftmaxCrossEntropy("balanced"), optimizer, options.batch_size, threads=options.threads, seed=options.seed
    )
    _tell(f"{len(rows)} strings to train, {len(y) - len(rows)} to validate, {len(classes)} classes")
    _tell(net.summary())
    validation = None if held_out is None else (codes[held_out], y[held_out])
    history = trainer.fit(codes[rows], y[rows], epochs=options.epochs, validation=validation)
    last = history.records[-1]
    _tell(f"{last['update']} updates in {last['seconds']:.1f} s, training accuracy {last['train_accuracy']:.1%}")
    if held_out is not None:
        _tell(f"validation accuracy {last['validation_accuracy']:.1%}")
        found = net.predict(codes[held_out])
        for k, name in enumerate(classes):
            mine = y[held_out] == k
            if mine.any():
                _tell(f"  {name:<20} {np.mean(found[mine] == k):6.1%} of {mine.sum()}")
    net.save(options.model)
    _tell(f"written: {options.model}")


def load_classifier(path):
    """Return the network, alphabet and classes of a model file that ``train`` wrote."""
    from fastconv import Alphabet, load
    from fastconv.errors import ModelFormatError

    net = load(path)
    try:
        alphabet = Alphabet(net.metadata["alphabet"], net.metadata["lower"])
        classes = list(net.metadata["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{path}: holds no alphabet and classes: {error}") from None
    if net.output_shape != (len(classes),) or getattr(net.input, "depth", None) != len(alphabet):
        raise ModelFormatError(f"{path}: alphabet and classes do not fit the network")
    return net, alphabet, classes


def predict(options):
    """Classify the lines of a file, a block at a time."""
    from itertools import islice

    net, alphabet, classes = load_classifier(options.model)
    lines = (line for _, line in _lines(options.file))
    while block := list(islice(lines, 10_000)):
        p = net.predict_proba(alphabet.encode(block, net.input.length), threads=options.threads)
        best = p.argmax(axis=1)
        sys.stdout.write(
            "".join(f"{s}\t{classes[k]}\t{q:.4f}\n" for s, k, q in zip(block, best, p.max(axis=1), strict=True))
        )
    sys.stdout.flush()


def info(options):
    """Describe the build or a model file."""
    from fastconv import load, show_config

    if options.model is None:
        show_config()
        return
    net = load(options.model)
    print(net.summary())
    print(f"dtype               {net.dtype}")
    for name, value in net.metadata.items():
        print(f"{name:<20}{', '.join(map(str, value)) if isinstance(value, list) else value!r}")


if __name__ == "__main__":
    sys.exit(main())
