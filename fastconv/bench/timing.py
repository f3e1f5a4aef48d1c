"""The 100-update timing: all implementations train the same network on the same batches, in turn, in one run."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from fastconv.arrays import positive
from fastconv.bench import contestants, peers
from fastconv.bench.contestants import Task
from fastconv.config import config
from fastconv.datasets import load_surnames
from fastconv.errors import RangeError
from fastconv.text import Alphabet

LEARNING_RATE, MOMENTUM = 0.001, 0.9
SLOW = {"naive kron": 2, "optimised script": 20}
"""Updates that are really made of what would take too long; its time is scaled."""
SLOW_REPEATS = 3
"""Runs of those, at most."""


def run(
    updates=100, batch_size=100, threads=(1, 2), codes=None, labels=None, filters=(30, 30), widths=(5, 5), repeats=7,
    quick=False, echo=print, frameworks=True,
):  # fmt: skip
    """Time a number of updates for every implementation at hand.

    Each implementation runs in a process of its own; the runs alternate, each after one of its own that is not counted
    (so that caches are warm and threads awake), and the median counts. All start from the same weights and make the
    same updates on the same batches in float32, and gathering a batch from the data set is part of the work. The losses
    are compared at the end.

    Parameters
    ----------
    updates, batch_size : int
    threads : iterable of int
        Numbers of threads to give to every implementation that can use them.
    codes : (N, L) int16, optional
        The names; by default the bundled ones.
    labels : (N,) int, optional
    filters, widths : pair of int
        Of the two convolutions.
    repeats : int
        Runs of each implementation.
    quick : bool
        One run each: to try the path, not to measure.
    echo : callable
        Is given lines of text on the progress.
    frameworks : bool
        Time PyTorch and JAX too, where they are installed.

    Returns
    -------
    dict
        ``settings``, ``machine``, ``rows`` (for each implementation and number of threads: ``name``, ``threads``,
        ``seconds`` for all the updates, ``fastest``, ``scaled_from``: updates really timed, or None,
        ``ratio_to_naive``, ``ratio_to_best_peer``: how many times faster than the naive network and than the fastest
        peer at that number of threads or fewer, ``loss``: the last batch's), ``missing`` (reason by name) and
        ``loss_difference`` (the largest relative difference of a loss from the vectorised NumPy network's).
    """
    updates, batch_size = positive("bench: updates", updates), positive("bench: batch_size", batch_size)
    threads = [positive("bench: threads", n) for n in threads]
    repeats = 1 if quick else positive("bench: repeats", repeats)
    if not threads:
        raise RangeError("bench: threads is empty")
    if codes is None:
        data = load_surnames()
        codes, labels = Alphabet.from_strings(data.data).encode(data.data), data.target
    task = make_task(np.asarray(codes, np.int16), np.asarray(labels, np.int64), filters, widths)
    batches = np.random.default_rng(1).integers(0, len(codes), (updates, batch_size))
    missing = peers.unavailable() if frameworks else {}
    names = [(name, threads[:1] if name in SLOW else threads) for name in contestants.OWN]
    names += [(kind.name, threads) for kind in peers.available()] if frameworks else []
    results = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "task.npz")
        np.savez(path, batches=batches, **task._asdict())
        workers = []
        for name, counts in names:
            for count in counts:
                echo(f"starting {name}, {count} thread{'s' * (count > 1)}")
                worker = Worker(name, count, path, min(updates, SLOW.get(name, updates)))
                stack.callback(worker.close)
                if worker.unavailable:
                    missing[name] = worker.unavailable
                else:
                    workers.append(worker)
        for turn in range(repeats):
            for worker in workers:
                if worker.updates == updates or turn < SLOW_REPEATS:
                    results.setdefault(worker, []).append(worker.run())
            echo(f"round {turn + 1} of {repeats}")
    return {
        "settings": {
            "updates": updates, "batch_size": batch_size, "names": len(codes), "length": int(codes.shape[1]),
            "alphabet": int(task.w1.shape[1]), "filters": list(filters), "widths": list(widths), "dtype": "float32",
            "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "repeats": repeats,
        },
        "machine": machine(),
        "rows": rows(results, updates),
        "missing": missing,
        "loss_difference": loss_difference(results),
    }  # fmt: skip


def make_task(codes, labels, filters, widths):
    """Return the data with initial weights in the library's layout, float32, He's deviations."""
    depth, classes = int(codes.max()) + 1, int(labels.max()) + 1
    (n1, n2), (k1, k2) = filters, widths
    positions = codes.shape[1] - k1 - k2 + 2
    rng = np.random.default_rng(0)
    shapes = ((k1, depth, n1), k1), ((k2, n1, n2), k2 * n1), ((positions * n2, classes), positions * n2)
    weights = [rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32) for shape, fan_in in shapes]
    return Task(codes, labels, *weights, LEARNING_RATE, MOMENTUM)


class Worker:
    """The parent's side of a contestant's process."""

    def __init__(self, name, threads, path, updates):
        self.name, self.threads, self.updates = name, threads, updates
        environment = peers.subprocess_environment(threads)
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fastconv.bench.worker", name, str(threads), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.unavailable = self._ask(1 if name in SLOW else updates, 0).get("unavailable")

    def _ask(self, warm, timed):
        try:
            self.process.stdin.write(f"{warm} {timed}\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            return {"unavailable": f"its process ended with exit status {self.process.wait()}"}

    def run(self):
        """Return the seconds and losses of a run."""
        answer = self._ask(0 if self.name in SLOW else self.updates, self.updates)
        if "seconds" not in answer:
            raise RuntimeError(f"bench: {self.name}: {answer['unavailable']}")
        return answer["seconds"], answer["losses"]

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.communicate()


def rows(results, updates):
    """Return the table's rows from the runs of each worker."""
    table = []
    for worker, runs in results.items():
        scale = updates / worker.updates
        table.append(
            {
                "name": worker.name,
                "threads": worker.threads,
                "seconds": statistics.median(seconds for seconds, _ in runs) * scale,
                "fastest": min(seconds for seconds, _ in runs) * scale,
                "scaled_from": worker.updates if worker.updates < updates else None,
                "loss": runs[-1][1][-1],
            }
        )
    naive = next(row["seconds"] for row in table if row["name"] == "naive kron")
    for row in table:
        others = [r["seconds"] for r in table if r["name"] != "fastconv" and r["threads"] <= row["threads"]]
        row["ratio_to_naive"] = naive / row["seconds"]
        row["ratio_to_best_peer"] = min(others) / row["seconds"]
    return table


def loss_difference(results):
    """Return the largest relative difference of any loss from the vectorised NumPy network's."""
    truth = next(np.array(runs[0][1]) for worker, runs in results.items() if worker.name == "vectorised NumPy")
    losses = [np.array(found) for runs in results.values() for _, found in runs]
    return float(max(np.max(np.abs(found - truth[: len(found)]) / np.abs(truth[: len(found)])) for found in losses))


def machine():
    """Return the machine's facts and its load."""
    facts = {**config(), "cores": os.cpu_count()}
    if hasattr(os, "getloadavg"):
        facts["load before"] = round(os.getloadavg()[0], 2)
    return facts


def table(result):
    """Return the lines of the table, for printing."""
    settings = result["settings"]
    head = (
        "implementation",
        "threads",
        f"{settings['updates']} updates",
        "an update",
        "x naive",
        "x best peer",
        "loss",
    )
    body = [
        (
            row["name"],
            str(row["threads"]),
            f"{row['seconds'] * 1e3:,.1f} ms" + (" *" if row["scaled_from"] else "  "),
            f"{row['seconds'] / settings['updates'] * 1e6:,.0f} us",
            f"{row['ratio_to_naive']:,.0f}",
            f"{row['ratio_to_best_peer']:.2f}",
            f"{row['loss']:.4f}" + (" *" if row["scaled_from"] else "  "),
        )
        for row in result["rows"]
    ]
    widths = [max(len(line[c]) for line in [head, *body]) for c in range(len(head))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in [head, *body]
    ]
    lines.insert(1, "-" * len(lines[0]))
    for row in result["rows"]:
        if row["scaled_from"]:
            lines.append(f"* {row['name']}: timed on {row['scaled_from']} updates and scaled; its loss is after those")
    lines.append("x best peer: against the fastest other implementation at that number of threads or fewer")
    lines.append(f"losses agree to {result['loss_difference']:.1e} (relative, float32)")
    lines += [f"{name}: left out: {reason}" for name, reason in result["missing"].items()]
    return lines
