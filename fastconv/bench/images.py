"""The contests over images: training steps, predictions and the memory of a step of nets G and R.

Net G is :func:`fastconv.models.imbalanced_cifar_convnet`, net R :func:`fastconv.models.cifar_convnet`. The images are
noise, behind which a ReLU leaves few zeros to be skipped.
"""

import contextlib
import os
import statistics
import tempfile
from typing import NamedTuple

import numpy as np

from fastconv import engine
from fastconv.arrays import positive
from fastconv.bench import contestants, image_peers, prediction, timing
from fastconv.bench.contestants import ImageTask
from fastconv.bench.timing import Entrant, Worker, columns
from fastconv.reference.networks import VectorisedImageNetwork

LEARNING_RATE, MOMENTUM = 0.0001, 0.9
"""Small: sooner or later rounding turns a ReLU on or off, in PyTorch also between one thread and two, and from then on
the losses part: by some 1e-5 of their size within 40 updates, at a rate of 0.001 by up to 5e-3."""
IMAGES = 512
"""Of the data set."""
IN_MEMORY = ("fastconv", "PyTorch eager, contiguous", "PyTorch eager, channels_last")
"""Whose memory is looked at: a compiler's would be that of compiling."""
MEMORY_UPDATES = 20
"""That are made while the memory is looked at."""


class Contest(NamedTuple):
    """Settings of :func:`train` under the name of a task."""

    net: str
    updates: int
    batch_size: int
    repeats: int


CONTESTS = {
    "netg": Contest("G", 10, 128, repeats=9),
    "netg32": Contest("G", 40, 32, repeats=9),
    "netr": Contest("R", 5, 128, repeats=7),
}
"""The tasks of ``fastconv bench`` that train on images; see :data:`fastconv.bench.TASKS`."""
TASKS = (*CONTESTS, "images", "convolutions")
"""Those that have nothing to do with names."""


def train(net, updates, batch_size, threads=(1, 2), repeats=7, quick=False, echo=print, frameworks=True):
    """Time updates of a network over images for every implementation at hand.

    As :func:`fastconv.bench.timing.run`: same weights, same batches, a process each, runs in turn, medians, losses
    compared. PyTorch runs in both layouts, eager and compiled, and eager with huge pages.

    Parameters
    ----------
    net : {"G", "R"}
    updates, batch_size : int
    threads : iterable of int
    repeats : int
    quick : bool
        One run each: to try the path, not to measure.
    echo : callable
    frameworks : bool
        Time PyTorch and JAX too, where they are installed.

    Returns
    -------
    dict
        As :func:`fastconv.bench.timing.run`; GFLOP/s count three times the forward pass less the gradient by the
        images, which nobody needs, and nothing as skipped.
    """
    updates, batch_size = positive("bench: updates", updates), positive("bench: batch_size", batch_size)
    threads, repeats = timing.thread_counts(threads), 1 if quick else positive("bench: repeats", repeats)
    task = ImageTask.make(net, IMAGES, LEARNING_RATE, MOMENTUM)
    batches = np.random.default_rng(1).integers(0, IMAGES, (updates, batch_size))
    kinds = image_peers.available() if frameworks else []
    entrants = [Entrant("vectorised NumPy", count, updates, slow=True) for count in threads]
    entrants += [Entrant("fastconv", count, updates) for count in threads]
    entrants += [
        Entrant(kind.name, count, updates, environment=kind.environment) for kind in kinds for count in threads
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "task.npz")
        np.savez(path, batches=batches, **task.arrays())
        results, peaks, missing = timing.compete("images", entrants, path, repeats, echo)
    operations, gflops = update_operations(task, batch_size), statistics.median(peaks)
    return {
        "settings": {
            "net": net, "updates": updates, "batch_size": batch_size, "images": IMAGES, "dtype": "float32",
            "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "repeats": repeats,
            "operations_per_update": operations, "counted": "nothing skipped, no gradient by the images",
        },
        "machine": timing.machine(),
        "peak": {"level": engine.LEVEL, "gflops": gflops, "rounds": peaks},
        "rows": timing.rows(results, updates, operations, gflops),
        "missing": missing | (image_peers.unavailable() if frameworks else {}),
        "loss_difference": timing.loss_difference(results),
    }  # fmt: skip


def update_operations(task, batch_size):
    """Return the floating-point operations of an update, from which the effective rate is reckoned.

    Examples
    --------
    >>> from fastconv.bench import contestants, images
    >>> task = contestants.ImageTask.make("R", 1, 0.01, 0.9)
    >>> round(images.update_operations(task, 128) / 1e9, 2)
    17.15
    """
    net = task.network()
    first = engine.Program([net.layers[0].lower(net.input.shape)], net.input.shape, False, True)
    return batch_size * (3 * net.program.operations - first.operations)


def predict(threads=(1, 2), images=IMAGES, batch_size=128, repeats=9, quick=False, echo=print, frameworks=True):
    """Compare the predictions of nets G and R, and the memory of a training step.

    Each implementation takes the batch size that is fastest for it; probabilities are compared with those of a
    float64 network.

    Parameters
    ----------
    threads : iterable of int
    images : int
        Of a prediction.
    batch_size : int
        Of the training step whose memory is looked at, on one thread; see :class:`fastconv.bench.memory.StepMemory`.
    repeats, quick, echo, frameworks
        As in :func:`train`.

    Returns
    -------
    dict
        ``settings``, ``machine``, ``missing`` (reason by name) and

        - ``rows``: as those of :func:`fastconv.bench.prediction.run`, but ``images_per_second``, and with ``net``;
        - ``memory``: ``net``, ``name``, ``bytes`` (None where the system does not tell).
    """
    threads, images = timing.thread_counts(threads), positive("bench: images", images)
    batch_size, repeats = positive("bench: batch_size", batch_size), positive("bench: repeats", repeats)
    if quick:
        images, batch_size, repeats = min(images, 20), min(batch_size, 8), 1
    missing = image_peers.unavailable() if frameworks else {}
    kinds = [*contestants.IMAGE_OWN.values(), *(image_peers.available() if frameworks else [])]
    found, memory = [], []
    for net in contestants.IMAGE_NETS:
        task = ImageTask.make(net, images, LEARNING_RATE, MOMENTUM)
        runs, ended = _predictions(task, kinds, threads, repeats, echo)
        found += [{"net": net, **row} for row in prediction.rows(runs, images, "images")]
        memory += [{"net": net, **row} for row in _memory(net, kinds, batch_size, echo)]
        missing |= ended
    return {
        "settings": {
            "images": images, "batch_size": batch_size, "updates": MEMORY_UPDATES, "dtype": "float32",
            "repeats": repeats,
        },
        "machine": timing.machine(),
        "rows": found,
        "memory": memory,
        "missing": missing,
    }  # fmt: skip


def _predictions(task, kinds, threads, repeats, echo):
    """Return the answers of each worker, the runs in turn, and the reasons of those that cannot run."""
    weights = [w.astype(np.float64) for w in task.weights]
    truth = VectorisedImageNetwork(task.images[:1], task.labels[:1], weights, contestants.IMAGE_NETS[task.net].padding)
    missing = {}
    with contextlib.ExitStack() as stack:
        path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "task.npz")
        np.savez(path, data=task.images, expected=truth.predict_proba(task.images, 128), **task.arrays())
        runs = {}
        for kind in kinds:
            environment = getattr(kind, "environment", None)
            for count in threads:
                echo(f"net {task.net}: starting {kind.name}, {count} thread{'s' * (count > 1)}")
                worker = Worker("image prediction", kind.name, count, path, environment, what="warm_up")
                stack.callback(worker.close)
                if worker.unavailable:
                    missing[kind.name] = worker.unavailable
                else:
                    runs[worker] = []
        for turn in range(repeats):
            for worker, answers in runs.items():
                answers.append(worker.ask(what="many"))
            echo(f"net {task.net}: round {turn + 1} of {repeats}")
    return runs, missing


def _memory(net, kinds, batch_size, echo):
    """Return name and bytes of each implementation whose memory is looked at."""
    task = ImageTask.make(net, batch_size, LEARNING_RATE, MOMENTUM)
    batches = np.random.default_rng(1).integers(0, batch_size, (MEMORY_UPDATES, batch_size))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "task.npz")
        np.savez(path, batches=batches, **task.arrays())
        for kind in kinds:
            if kind.name in IN_MEMORY:
                echo(f"net {net}: the memory of {kind.name}")
                with contextlib.closing(Worker("step memory", kind.name, 1, path)) as worker:
                    found.append({"name": kind.name, "bytes": worker.first.get("memory")})
    return found


def table(result):
    """Return the lines of the tables of :func:`predict`, for printing."""
    settings = result["settings"]
    named = [row | {"name": f"net {row['net']}, {row['name']}"} for row in result["rows"]]
    setting = f"{settings['images']:,} images of 32 x 32 pixels in 3 channels"
    lines = [
        *prediction.speeds("prediction", named, "images", setting),
        "",
        *columns(
            [f"training steps of batch {settings['batch_size']}, 1 thread", "memory"],
            [
                [
                    f"net {row['net']}, {row['name']}",
                    "unknown" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.1f} MB",
                ]
                for row in result["memory"]
            ],
        ),
        f"memory: the process's anonymous pages at their most in {settings['updates']} updates, the network's own",
        "included, less those before it was built, with the framework imported and the data loaded",
    ]
    lines += [f"{name}: left out: {reason}" for name, reason in result["missing"].items()]
    return lines
