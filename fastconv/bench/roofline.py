"""The roofline: the effective rate of each kernel at each instruction set, beside what one core can do at most.

The kernels run by :mod:`fastconv.functional` on real names, on one thread: the second convolution gets what the first
one and its ReLU give, the dense layer what the second gives, and gradients are noise where the ReLU lets them pass.
Alone, a kernel skips zeros but does not know where a name ends; in the whole update it does.
"""

import contextlib
import statistics
import time
from typing import NamedTuple

import numpy as np

from fastconv import engine, functional
from fastconv.arrays import positive
from fastconv.bench import contestants, peak, timing
from fastconv.engine import cpu

BANDWIDTHS = {"L2 cache": peak.SECOND_LEVEL, "memory": peak.MEMORY}
"""Bytes of the arrays whose copies give the bandwidths."""
UPDATES, BATCH_SIZE = 20, 100
"""Of the whole update that is timed."""


class Case(NamedTuple):
    """A kernel with its data: what is called, and what is counted."""

    name: str
    call: object
    operations: float
    bytes: int


def run(codes, labels, names=1000, filters=(30, 30), widths=(5, 5), seconds=0.02, repeats=7, quick=False, echo=print):
    """Time the kernels at every instruction set that the processor runs, in turn with the peak of that level.

    Parameters
    ----------
    codes : (N, L) int16
    labels : (N,) int
    names : int
        Names of a call, the given ones again and again.
    filters, widths : pair of int
        Of the two convolutions.
    seconds : float
        Time of a measurement, which is of many calls.
    repeats : int
        Measurements of each; the median counts.
    quick : bool
        One short measurement each: to try the path, not to measure.
    echo : callable
        Is given lines of text on the progress.

    Returns
    -------
    dict
        ``settings``, ``machine``, ``peaks`` (GFLOP/s by level), ``bandwidths`` (GB/s by name, copies by one core) and
        ``rows``: ``kernel``, ``level``, ``seconds`` of a call, ``operations``, ``bytes``, ``intensity`` (FLOP a byte),
        ``gflops`` and ``percent_of_peak`` of that level.

    Notes
    -----
    Operations are counted as if nothing were skipped, a multiply-add as two: 2 P F K C for a convolution of P
    positions, F filters, width K and C channels, 2 D U for a dense layer, twice that backward (by the input and by the
    weights), P F K additions for one-hot columns either way, and three times the forward pass for an update. So a
    kernel that skips zeros can lie above the roof. Bytes are those of all inputs and outputs once: codes, activations
    and their gradients, weights and theirs; for an update codes, labels and rows of the batch, and parameters and
    velocities read and written.
    """
    names, repeats = positive("bench: names", names), positive("bench: repeats", repeats)
    if quick:
        names, seconds, repeats = min(names, 50), 0.001, 1
    task = timing.make_task(np.asarray(codes, np.int16), np.asarray(labels, np.int64), filters, widths)
    levels = cpu.supported()
    measured, peaks = {}, {level: [] for level in levels}
    bandwidths = {name: [] for name in BANDWIDTHS}
    cases = {level: _cases(task, level, names) for level in levels}
    for turn in range(repeats):
        for name, size in BANDWIDTHS.items():
            bandwidths[name].append(peak.copy_bandwidth(size, seconds))
        for level in levels:
            peaks[level].append(peak.multiply_add(level, seconds))
            with at_level(level):
                for case in cases[level]:
                    measured.setdefault((level, case), []).append(_seconds(case.call, seconds))
        echo(f"round {turn + 1} of {repeats}")
    peaks = {level: statistics.median(found) for level, found in peaks.items()}
    rows = []
    for (level, case), found in measured.items():
        took = statistics.median(found)
        gflops = 1e-9 * case.operations / took
        rows.append(
            {
                "kernel": case.name,
                "level": level,
                "seconds": took,
                "operations": case.operations,
                "bytes": case.bytes,
                "intensity": case.operations / case.bytes,
                "gflops": gflops,
                "percent_of_peak": 100 * gflops / peaks[level],
            }
        )
    return {
        "settings": {
            "names": names, "batch_size": BATCH_SIZE, "filters": list(filters), "widths": list(widths),
            "length": task.codes.shape[1], "dtype": "float32", "threads": 1, "repeats": repeats,
        },
        "machine": timing.machine(),
        "peaks": peaks,
        "bandwidths": {name: statistics.median(found) for name, found in bandwidths.items()},
        "rows": rows,
    }  # fmt: skip


@contextlib.contextmanager
def at_level(level):
    """Context in which every network and every function is lowered for an instruction set.

    Parameters
    ----------
    level : {"base", "avx2", "avx512"}

    Examples
    --------
    >>> from fastconv import engine
    >>> from fastconv.bench import roofline
    >>> with roofline.at_level("base"):
    ...     engine.Program.__module__
    'fastconv.engine._base'
    """
    saved = engine.Program
    engine.Program = engine.load(level).Program
    try:
        yield
    finally:
        engine.Program = saved


def layer_data(task, names):
    """Return the data of each layer for a number of real names.

    Parameters
    ----------
    task : fastconv.bench.contestants.Task
    names : int

    Returns
    -------
    codes : (N, L) int16
    x2, x3 : (N, P1, F1) and (N, P2 * F2) float32
        Inputs of the second convolution and of the dense layer.
    dy1, dy2, dy3 : (N, P1, F1), (N, P2, F2) and (N, classes) float32
        Gradients by the outputs of the layers: noise, zero where a ReLU is.
    """
    rng = np.random.default_rng(2)
    codes = np.resize(task.codes, (names, task.codes.shape[1]))
    x2 = functional.relu(functional.onehot_conv1d(codes, task.w1))
    y2 = functional.relu(functional.conv1d(x2, task.w2))

    def noise(shape):
        return rng.normal(size=shape).astype(np.float32)

    dy3 = noise((names, task.w3.shape[1]))
    return codes, x2, y2.reshape(names, -1), noise(x2.shape) * (x2 > 0), noise(y2.shape) * (y2 > 0), dy3


def _cases(task, level, names):
    """Return the kernels of a level with their data."""
    w1, w2, w3 = task.w1, task.w2, task.w3
    codes, x2, x3, dy1, dy2, dy3 = layer_data(task, names)
    first, second, dense = dy1.size * w1.shape[0], 2 * dy2.size * w2[..., 0].size, 2 * x3.size * w3.shape[1]
    with at_level(level):
        trainee = contestants.Fastconv(task, 1)
    batches = np.random.default_rng(1).integers(0, len(task.codes), (UPDATES, BATCH_SIZE))
    state = 4 * trainee.net.parameters.nbytes + BATCH_SIZE * (codes[0].nbytes + 16)
    f = functional

    def update():
        trainee.restart()
        trainee.run(batches)

    def case(name, function, arguments, operations, *outputs):
        size = sum(a.nbytes for a in (*arguments, *outputs))
        return Case(name, lambda: function(*arguments, threads=1), operations, size)

    return [
        case("onehot_conv1d", f.onehot_conv1d, (codes, w1), first, dy1),
        case("onehot_conv1d backward", f.onehot_conv1d_backward, (dy1, codes, w1), first, w1),
        case("conv1d", f.conv1d, (x2, w2), second, dy2),
        case("conv1d backward", f.conv1d_backward, (dy2, x2, w2), 2 * second, x2, w2),
        case("dense", f.dense, (x3, w3), dense, dy3),
        case("dense backward", f.dense_backward, (dy3, x3, w3), 2 * dense, x3, w3),
        Case("whole update", update, UPDATES * timing.update_operations(task, BATCH_SIZE), UPDATES * state),
    ]


def _seconds(call, seconds):
    """Return the mean time of a call over about some seconds, after one that is not counted."""
    call()
    calls, start = 0, time.perf_counter()
    while not calls or time.perf_counter() - start < seconds:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def table(result):
    """Return the lines of the table, for printing."""
    lines = timing.columns(
        ["kernel", "instruction set", "a call", "MFLOP", "FLOP/byte", "GFLOP/s", "% of peak"],
        [
            [
                row["kernel"],
                row["level"],
                f"{row['seconds'] * 1e6:,.0f} us",
                f"{row['operations'] / 1e6:,.1f}",
                f"{row['intensity']:,.1f}",
                f"{row['gflops']:,.1f}",
                f"{row['percent_of_peak']:,.0f}",
            ]
            for row in result["rows"]
        ],
    )
    settings = result["settings"]
    lines.append(f"{settings['names']:,} names a call, one thread; whole update: {UPDATES} of batch {BATCH_SIZE}")
    lines += [f"peak, {level}: {gflops:.0f} GFLOP/s" for level, gflops in result["peaks"].items()]
    lines += [f"copies, {name}: {rate:.0f} GB/s" for name, rate in result["bandwidths"].items()]
    return lines
