"""How good and how fast CharConvClassifier is: ``python benchmarks/quality.py``.

Surnames, against what most people would take: scikit-learn's TF-IDF of character n-grams (char_wb, 1 to 3) with
logistic regression. Both see the same splits, take turns, and may have the same threads; scikit-learn leaves one of two
idle where that is faster. All settings are the defaults, but for a logistic regression that may take 1,000 steps.
``--readme`` writes the table into README.md, ``--json FILE`` all figures into a file.

- validation: the data set's own validation names, five seeds.
- balanced splits: ten; as many random names of each class held out (14, or a quarter of the smallest class if that is
  less), the rest learnt.
- unbalanced splits: ten; a random tenth of each class held out; with class_weight None and "balanced".
- times: the fit on the training names and the prediction of all names from strings, medians over the rounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import fastconv as fc
from fastconv.config import config
from fastconv.datasets.dataset import hold_out
from fastconv.errors import DataError
from fastconv.files import replace_section, write_atomically

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"
SPLITS, SEEDS, ROUNDS = 10, 5, 5
HELD_OUT, SHARE = 14, 0.1
OURS, PEER = "fastconv", "TF-IDF + logistic regression"


def classifier(name, class_weight, threads, seed):
    """Return an untrained classifier at its default settings."""
    if name == OURS:
        return fc.CharConvClassifier(class_weight=class_weight, threads=threads, random_state=seed)
    tfidf = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3))
    return make_pipeline(tfidf, LogisticRegression(class_weight=class_weight, max_iter=1000))


def split(target, sizes, seed):
    """Return the rows to learn and the rows held out, `sizes[k]` of class k."""
    return hold_out(target, sizes, np.random.default_rng(seed).permutation(len(target)))


def scores(data, target, splits, class_weight, metric):
    """Return the score of each classifier on each split, {name: [...]}."""
    found = {OURS: [], PEER: []}
    for k, (train, held_out) in enumerate(splits):
        for name, values in found.items():
            fitted = classifier(name, class_weight, None, k).fit(data[train], target[train])
            values.append(metric(target[held_out], fitted.predict(data[held_out])))
    return found


def macro_f1(target, predicted):
    """Return the mean of the classes' F1."""
    return f1_score(target, predicted, average="macro")


def times(d, data, threads, rounds):
    """Return the seconds of fits and predictions in turns, {name: {"fit": [...], "predict": [...]}}."""
    found = {name: {"fit": [], "predict": []} for name in (OURS, PEER)}
    strings = data.tolist()
    with threadpool_limits(threads):
        for _ in range(rounds):
            for name, seconds in found.items():
                started = time.perf_counter()
                fitted = classifier(name, "balanced", threads, 0).fit(data[d.train], d.target[d.train])
                seconds["fit"].append(time.perf_counter() - started)
                fitted.predict(strings[:100])
                started = time.perf_counter()
                fitted.predict(strings)
                seconds["predict"].append(time.perf_counter() - started)
    return found


def file_size(d, data):
    """Return the bytes of a model file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "names.safetensors")
        classifier(OURS, "balanced", None, 0).fit(data[d.train], d.target[d.train]).save(path)
        return os.path.getsize(path)


def measure(folder=None, quick=False):
    """Return all figures."""
    d = fc.datasets.load_surnames(folder) if folder else fc.datasets.load_surnames()
    data, target = np.array(d.data, object), d.target
    counts = np.bincount(target)
    splits, seeds, rounds = (2, 1, 1) if quick else (SPLITS, SEEDS, ROUNDS)
    held_out = np.full(len(counts), min(HELD_OUT, counts.min() // 4))
    share = np.maximum(1, np.rint(SHARE * counts))
    balanced = [split(target, held_out, seed) for seed in range(splits)]
    unbalanced = [split(target, share, seed) for seed in range(splits)]
    own = [(d.train, d.validation)] * seeds
    return {
        "machine": config(),
        "names": len(data),
        "classes": len(counts),
        "held out": int(held_out[0]),
        "validation": scores(data, target, own, "balanced", accuracy_score),
        "balanced": scores(data, target, balanced, "balanced", accuracy_score),
        "macro-F1, None": scores(data, target, unbalanced, None, macro_f1),
        "macro-F1, balanced": scores(data, target, unbalanced, "balanced", macro_f1),
        "times": {str(threads): times(d, data, threads, rounds) for threads in (1, 2)},
        "bytes": file_size(d, data),
    }


def table(found):
    """Return the figures as Markdown: for each goal both classifiers, and what is reached."""
    rows = [("", OURS, PEER, "difference or ratio", "goal")]

    def spread(values):
        return f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}"

    def add(what, key, goal):
        ours, peer = (np.array(found[key][name]) for name in (OURS, PEER))
        gain = 100 * (ours - peer)
        error = np.std(gain, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else 0
        rows.append((what, spread(ours), spread(peer), f"{np.mean(gain):+.1f} ± {error:.1f}", goal))

    n = len(found["balanced"][OURS])
    add(f"validation names, accuracy in %, {len(found['validation'][OURS])} seeds", "validation", "66")
    add(f"balanced splits, accuracy in %, {n} splits", "balanced", "64.5, +2")
    add("unbalanced splits, macro-F1 in %, class_weight None", "macro-F1, None", "above 0")
    add("unbalanced splits, macro-F1 in %, class_weight balanced", "macro-F1, balanced", "above 0")

    def seconds(name, what, threads):
        """The median, of the peer at the best number of threads up to this one."""
        numbers = found["times"] if name == PEER else [threads]
        return min(statistics.median(found["times"][n][name][what]) for n in numbers if int(n) <= int(threads))

    for threads in found["times"]:
        ours, peer = (seconds(name, "fit", threads) for name in (OURS, PEER))
        rows.append((f"fit, s, {threads} thread{'s' * (threads != '1')}", f"{ours:.2f}", f"{peer:.2f}",
                     f"{peer / ours:.2f} x as fast", "1" if threads == "1" else "above 1"))  # fmt: skip
    for threads in found["times"]:
        ours, peer = (found["names"] / seconds(name, "predict", threads) for name in (OURS, PEER))
        rows.append((f"prediction, names a second, {threads} thread{'s' * (threads != '1')}", f"{ours:,.0f}",
                     f"{peer:,.0f}", f"{ours / peer:.1f} x as fast", "5"))  # fmt: skip
    rows.append(("model file, KB", f"{found['bytes'] / 1000:.0f}", "", "", "at most 500"))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| :--- | ---: | ---: | ---: | ---: |", *lines[1:]])


def section(found):
    """Return what stands in the README."""
    facts = ", ".join(f"{value}" for value in (found["machine"]["processor"], found["machine"]["instruction set"]))
    return (
        f"{found['names']:,} surnames of {found['classes']} languages, {found['held out']} of each held out in a "
        f"balanced split; {facts}. Means and standard deviations; of differences, between the same splits, the "
        f"standard error. Of two threads scikit-learn may leave one idle, where that is faster.\n\n{table(found)}"
    )


def main(arguments=None):
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FOLDER", help="the course's files (default: the bundled names)")
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    parser.add_argument("--readme", metavar="FILE", nargs="?", const=README, type=pathlib.Path,
                        help="rewrite the table between the markers of a file (default: README.md)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="two splits, one round, to try it")
    options = parser.parse_args(arguments)
    found = measure(options.data, options.quick)
    print(section(found))
    if options.json:
        write_atomically(options.json, json.dumps(found, indent=1))
    if options.readme:
        text = options.readme.read_text(encoding="utf-8")
        try:
            write_atomically(options.readme, replace_section(text, BEGIN, END, section(found)))
        except DataError as error:
            parser.error(f"{options.readme}: {error}")


if __name__ == "__main__":
    main()
