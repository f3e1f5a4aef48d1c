"""The timing of training: all implementations train the same network on the same batches, in turn, in one run."""

import contextlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

from fastconv import engine
from fastconv.arrays import positive
from fastconv.bench import contestants, frameworks, peak, peers
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
LIBRARIES = {"NumPy": "numpy", "SciPy": "scipy", "PyTorch": "torch", "JAX": "jax"}
"""What the implementations are built on: the packages by name."""
PAUSE = 0.1
"""Seconds before each request to a process."""
PEAK_SECONDS = 0.1
"""That each measurement of the multiply-add peak takes; there is one before the first round and one after each."""


class Contest(NamedTuple):
    """Settings of :func:`run` under the name of a task."""

    updates: int
    batch_size: int
    filters: tuple
    widths: tuple
    repeats: int
    peer_updates: int | None = None
    slow: bool = False


CONTESTS = {
    "updates": Contest(100, 100, (30, 30), (5, 5), repeats=15, slow=True),
    "small": Contest(20_000, 19, (20, 20), (5, 3), repeats=3, peer_updates=2000),
    "batch521": Contest(100, 521, (30, 30), (5, 5), repeats=5),
    "large": Contest(20, 521, (128, 128), (5, 5), repeats=5),
}
"""The tasks of ``fastconv bench`` that train; see :data:`fastconv.bench.TASKS`."""


def run(
    updates=100, batch_size=100, threads=(1, 2), codes=None, labels=None, filters=(30, 30), widths=(5, 5), repeats=7,
    quick=False, echo=print, frameworks=True, peer_updates=None, slow=True,
):  # fmt: skip
    """Time a number of updates for every implementation at hand.

    Each implementation runs in a process of its own; the runs alternate, each after a pause (in which the threads of
    the process before go to sleep: OpenBLAS's and OpenMP's spin for a while) and a run of its own that is not counted
    (so that caches are warm and threads awake), and the median counts. All start from the same weights and make the
    same updates on the same batches in float32, and gathering a batch from the data set is part of the work. The losses
    are compared at the end. Between the rounds the multiply-add peak of one core is measured, and the median counts.

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
    peer_updates : int, optional
        Updates that the others really make at most; their time is scaled. By default all.
    slow : bool
        Time the naive network and the optimised script too, on a few updates.

    Returns
    -------
    dict
        ``settings``, ``machine``, ``peak`` (``level``, ``rounds``: each measurement of the multiply-add peak of one
        core in GFLOP/s, ``gflops``: their median), ``rows``, ``missing`` (reason by name) and ``loss_difference`` (the
        largest relative difference of a loss from the vectorised NumPy network's, over the updates that both made).

        A row is of an implementation and a number of threads: ``name``, ``threads``, ``seconds`` for all the updates,
        ``fastest``, ``scaled_from``: updates really timed, or None, ``loss``: the last batch's; ``gflops``: the
        effective rate, see :func:`update_operations`, and ``percent_of_peak``, of one core;
        ``ratio_to_naive`` (None without the naive network), ``ratio_to_best_peer`` and
        ``ratio_to_equal_threads``: how many times faster than the naive network, than the fastest other implementation
        at that number of threads or fewer, and at that number of threads; ``speedup``: over the same implementation on
        one thread (None where that was not timed).
    """
    updates, batch_size = positive("bench: updates", updates), positive("bench: batch_size", batch_size)
    threads = thread_counts(threads)
    repeats = 1 if quick else positive("bench: repeats", repeats)
    if codes is None:
        data = load_surnames()
        codes, labels = Alphabet.from_strings(data.data).encode(data.data), data.target
    task = make_task(np.asarray(codes, np.int16), np.asarray(labels, np.int64), filters, widths)
    batches = np.random.default_rng(1).integers(0, len(codes), (updates, batch_size))
    peer_updates = updates if peer_updates is None else min(updates, positive("bench: peer_updates", peer_updates))
    most = dict.fromkeys(contestants.NAMES, peer_updates) | {"fastconv": updates}
    most |= {name: min(updates, few) for name, few in SLOW.items()}
    missing = peers.unavailable() if frameworks else {}
    entrants = [
        Entrant(name, count, most[name], name in SLOW)
        for name in contestants.OWN
        if slow or name not in SLOW
        for count in (threads[:1] if name in SLOW else threads)
    ]
    if frameworks:
        entrants += [Entrant(kind.name, count, most[kind.name]) for kind in peers.available() for count in threads]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "task.npz")
        np.savez(path, batches=batches, **task._asdict())
        results, peaks, ended = compete("training", entrants, path, repeats, echo)
    missing |= ended
    operations, gflops = update_operations(task, batch_size), statistics.median(peaks)
    return {
        "settings": {
            "updates": updates, "batch_size": batch_size, "names": len(codes), "length": int(codes.shape[1]),
            "alphabet": int(task.w1.shape[1]), "filters": list(filters), "widths": list(widths), "dtype": "float32",
            "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "repeats": repeats,
            "operations_per_update": operations, "counted": "nothing skipped, layer 1 as gathered additions",
        },
        "machine": machine(),
        "peak": {"level": engine.LEVEL, "gflops": gflops, "rounds": peaks},
        "rows": rows(results, updates, operations, gflops),
        "missing": missing,
        "loss_difference": loss_difference(results),
    }  # fmt: skip


class Entrant(NamedTuple):
    """Who runs in :func:`compete`: a contestant's name, its threads, the updates of a run, and how it is started."""

    name: str
    threads: int
    updates: int
    slow: bool = False
    environment: dict = {}  # noqa: RUF012  never written to


def compete(kind, entrants, path, repeats, echo):
    """Let contestants that train run in turn, each in a process of its own, and measure the peak between the rounds.

    Parameters
    ----------
    kind : str
        What the processes are; see :data:`fastconv.bench.worker.KINDS`.
    entrants : iterable of Entrant
        A slow one makes a single update to warm up, and :data:`SLOW_REPEATS` runs at most.
    path : str
        File of the task.
    repeats : int
    echo : callable

    Returns
    -------
    results : dict of Trainee to list
        Seconds and losses of each run.
    peaks : list of float
        GFLOP/s of one core, before the first round and after each.
    missing : dict of str to str
        Reason by the name of who could not run.
    """
    results, peaks, missing = {}, [], {}
    with contextlib.ExitStack() as stack:
        workers = []
        for entrant in entrants:
            echo(f"starting {entrant.name}, {entrant.threads} thread{'s' * (entrant.threads > 1)}")
            worker = Trainee(kind, entrant, path)
            stack.callback(worker.close)
            if worker.unavailable:
                missing[entrant.name] = worker.unavailable
            else:
                workers.append(worker)
        peaks.append(peak.multiply_add(seconds=PEAK_SECONDS))
        for turn in range(repeats):
            for worker in workers:
                if not worker.slow or turn < SLOW_REPEATS:
                    results.setdefault(worker, []).append(worker.run())
            peaks.append(peak.multiply_add(seconds=PEAK_SECONDS))
            echo(f"round {turn + 1} of {repeats}")
    return results, peaks, missing


def thread_counts(threads):
    """Return numbers of threads as a list, or raise RangeError."""
    threads = [positive("bench: threads", n) for n in threads]
    if not threads:
        raise RangeError("bench: threads is empty")
    return threads


def make_task(codes, labels, filters, widths):
    """Return the data with initial weights in the library's layout, float32, He's deviations."""
    depth, classes = int(codes.max()) + 1, int(labels.max()) + 1
    (n1, n2), (k1, k2) = filters, widths
    positions = codes.shape[1] - k1 - k2 + 2
    rng = np.random.default_rng(0)
    shapes = ((k1, depth, n1), k1), ((k2, n1, n2), k2 * n1), ((positions * n2, classes), positions * n2)
    weights = [rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32) for shape, fan_in in shapes]
    return Task(codes, labels, *weights, LEARNING_RATE, MOMENTUM)


def update_operations(task, batch_size):
    """Return the floating-point operations of an update, from which the effective rate is reckoned.

    Three times the forward pass of the batch (backward, each product has two: by its input and by its weights), nothing
    skipped; a multiply-add counts as two and the first layer as the additions of the rows that it gathers. An
    implementation that skips zeros makes fewer, one that multiplies one-hot columns makes more.

    Examples
    --------
    >>> import numpy as np
    >>> task = make_task(np.zeros((1, 19), np.int16) + 27, np.array([17]), (30, 30), (5, 5))
    >>> round(update_operations(task, 100) / 1e6, 1)
    33.9
    """
    return 3 * batch_size * task.network().program.operations


class WorkerError(RuntimeError):
    """A contestant's process came to an end before it gave its result."""


class Worker:
    """The parent's side of a contestant's process; see :mod:`fastconv.bench.worker`.

    Parameters
    ----------
    kind, name : str
        What contest, and the contestant's name in it.
    threads : int
    path : str
        File of the task.
    environment : mapping of str to str
        Variables that the process is started with, beside those that set its threads.
    request
        The first one.

    Attributes
    ----------
    first : dict
        The answer to the first request.
    unavailable : str or None
        Why the contestant cannot run here.
    """

    def __init__(self, kind, name, threads, path, environment=None, **request):
        self.name, self.threads = name, threads
        environment = {**frameworks.subprocess_environment(threads), **(environment or {})}
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fastconv.bench.worker", kind, name, str(threads), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.first = self._answer(request)
        self.unavailable = self.first.get("unavailable")

    def _answer(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            return {"unavailable": f"its process ended with exit status {self.process.wait()}"}

    def ask(self, **request):
        """Return the answer to a request, after a pause, or raise WorkerError if the process cannot give it."""
        time.sleep(PAUSE)
        answer = self._answer(request)
        if "unavailable" in answer:
            raise WorkerError(f"bench: {self.name}: {answer['unavailable']}")
        return answer

    def close(self):
        """End the process."""
        self.process.kill()
        self.process.communicate()


class Trainee(Worker):
    """A contestant that makes a number of updates."""

    def __init__(self, kind, entrant, path):
        self.updates, self.slow = entrant.updates, entrant.slow
        first = {"warm": 1 if entrant.slow else entrant.updates, "timed": 0}
        super().__init__(kind, entrant.name, entrant.threads, path, entrant.environment, **first)

    def run(self):
        """Return the seconds and losses of a run."""
        answer = self.ask(warm=0 if self.slow else self.updates, timed=self.updates)
        return answer["seconds"], answer["losses"]


def rows(results, updates, operations, peak_gflops):
    """Return the table's rows from the runs of each worker; see :func:`run`."""
    table = []
    for worker, runs in results.items():
        scale = updates / worker.updates
        seconds = statistics.median(seconds for seconds, _ in runs) * scale
        gflops = 1e-9 * operations * updates / seconds
        table.append(
            {
                "name": worker.name,
                "threads": worker.threads,
                "seconds": seconds,
                "fastest": min(seconds for seconds, _ in runs) * scale,
                "scaled_from": worker.updates if worker.updates < updates else None,
                "gflops": gflops,
                "percent_of_peak": 100 * gflops / peak_gflops,
                "loss": runs[-1][1][-1],
            }
        )
    naive = next((row["seconds"] for row in table if row["name"] == "naive kron"), None)
    alone = {row["name"]: row["seconds"] for row in table if row["threads"] == 1}
    for row in table:
        others = [r for r in table if r["name"] != "fastconv" and r["threads"] <= row["threads"]]
        equals = [r["seconds"] for r in others if r["threads"] == row["threads"]]
        row["ratio_to_naive"] = naive / row["seconds"] if naive else None
        row["ratio_to_best_peer"] = min(r["seconds"] for r in others) / row["seconds"]
        row["ratio_to_equal_threads"] = min(equals) / row["seconds"]
        row["speedup"] = alone[row["name"]] / row["seconds"] if row["name"] in alone else None
    return table


def loss_difference(results):
    """Return the largest relative difference of any loss from the vectorised NumPy network's, where both have one."""
    truth = next(np.array(runs[0][1]) for worker, runs in results.items() if worker.name == "vectorised NumPy")
    largest = 0.0
    for runs in results.values():
        for _, losses in runs:
            n = min(len(losses), len(truth))
            largest = max(largest, float(np.max(np.abs(np.array(losses[:n]) / truth[:n] - 1))))
    return largest


def machine():
    """Return the machine's facts, the versions of the libraries that are there, and the load."""
    facts = {**config(), "cores": os.cpu_count()}
    for name, package in LIBRARIES.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            facts[name] = importlib.metadata.version(package)
    if hasattr(os, "getloadavg"):
        facts["load before"] = round(os.getloadavg()[0], 2)
    return facts


def table(result):
    """Return the lines of the table, for printing."""
    settings, peak = result["settings"], result["peak"]
    naive = any(row["ratio_to_naive"] for row in result["rows"])
    head = [
        "implementation",
        "threads",
        f"{settings['updates']:,} updates",
        "an update",
        "GFLOP/s",
        "% of peak",
        "x 1 thread",
        *["x naive"] * naive,
        "x best peer",
        "equal threads",
        "loss",
    ]
    body = [
        [
            row["name"],
            str(row["threads"]),
            f"{row['seconds'] * 1e3:,.1f} ms" + (" *" if row["scaled_from"] else "  "),
            f"{row['seconds'] / settings['updates'] * 1e6:,.0f} us",
            f"{row['gflops']:,.3g}",
            f"{row['percent_of_peak']:,.3g}",
            f"{row['speedup']:.2f}" if row["speedup"] else "",
            *[f"{row['ratio_to_naive'] or 0:,.0f}"] * naive,
            f"{row['ratio_to_best_peer']:.2f}",
            f"{row['ratio_to_equal_threads']:.2f}",
            f"{row['loss']:.4f}" + (" *" if row["scaled_from"] else "  "),
        ]
        for row in result["rows"]
    ]
    lines = columns(head, body)
    for names, updates in scaled(result["rows"]):
        lines.append(f"* {names}: timed on {updates:,} updates and scaled; the loss is after those")
    lines.append(
        "x best peer: against the fastest other implementation at that number of threads or fewer, and at equal threads"
    )
    lines.append(
        f"GFLOP/s: effective, of {settings['operations_per_update'] / 1e6:,.1f} MFLOP an update, {settings['counted']}"
    )
    lines.append(f"% of peak: of one core's multiply-adds ({peak['level']}), {peak['gflops']:.0f} GFLOP/s in this run")
    lines.append(f"losses agree to {result['loss_difference']:.1e} (relative, float32)")
    lines += [f"{name}: left out: {reason}" for name, reason in result["missing"].items()]
    return lines


def scaled(rows):
    """Return (names, updates) of the implementations that were timed on fewer updates, by number of updates."""
    names = {}
    for row in rows:
        if row["scaled_from"]:
            names.setdefault(row["scaled_from"], {})[row["name"]] = None
    return [("; ".join(found), updates) for updates, found in names.items()]


def columns(head, body):
    """Return lines of text: the first column flush left, the others flush right, under a head and a rule."""
    widths = [max(len(line[c]) for line in [head, *body]) for c in range(len(head))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(line[c].rjust(widths[c]) for c in range(1, len(head)))]).rstrip()
        for line in [head, *body]
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return lines
