"""The prediction contest: names a second from codes and from strings, one name at a time, and millions of names."""

import contextlib
import os
import statistics
import tempfile

import numpy as np

from fastconv.arrays import positive
from fastconv.bench import peers, predictors, timing
from fastconv.bench.predictors import BATCH_SIZES, SAMPLING
from fastconv.bench.timing import Worker, columns
from fastconv.reference.networks import VectorisedNetwork
from fastconv.text import Alphabet

BLOCK = 100_000
"""Names that are written to the file of codes at a time."""


def run(
    strings, labels, threads=(1, 2), filters=(30, 30), widths=(5, 5), length=19, names=20_000, calls=10_000,
    many=20_000_000, repeats=7, quick=False, echo=print, frameworks=True,
):  # fmt: skip
    """Compare predictions of every implementation at hand.

    Each implementation runs in a process of its own and takes the batch size that is fastest for it; the runs
    alternate, each after a pause and a run that is not counted, and the median counts. All have the same weights in
    float32, get the same int16 codes and give probabilities as a NumPy array; the probabilities are compared with those
    of a float64 network. The names are the given ones, again and again.

    Parameters
    ----------
    strings : list of str
        Names.
    labels : (N,) int
        Their classes: how many there are is all that counts here.
    threads : iterable of int
    filters, widths : pair of int
        Of the two convolutions.
    length : int
        Characters of a name, at least; a longer one among the strings makes all longer.
    names : int
        Names of a prediction.
    calls : int
        Predictions of one name each, for the latency.
    many : int
        Names of the largest prediction, which reads its codes from a memory-mapped file in a temporary folder of
        ``2 * many * length`` bytes.
    repeats : int
    quick : bool
        One run each of a few names: to try the path, not to measure.
    echo : callable
        Is given lines of text on the progress.
    frameworks : bool
        Compare PyTorch and JAX too, where they are installed.

    Returns
    -------
    dict
        ``settings``, ``machine``, ``missing`` (reason by name) and

        - ``rows``: ``name``, ``threads``, ``batch_size``, ``seconds``, ``names_per_second``, ``difference``: the
          largest of a probability from the float64 network's, ``speedup`` over one thread, ``ratio_to_pytorch`` and
          ``ratio_to_best_peer``: how many times faster than PyTorch's best form and than the fastest other
          implementation at that number of threads or fewer (None where there is none);
        - ``latency``: ``name``, ``median`` and ``percentile_99`` in seconds of a call with one name, on one thread;
        - ``strings``: ``threads``, ``names_per_second`` from Python strings, encoding included, by this library;
        - ``scale``: ``threads``, ``names``, ``names_per_second`` and ``memory``: bytes beyond the codes and the output,
          see :class:`fastconv.bench.predictors.Scale`, by this library.
    """
    threads = timing.thread_counts(threads)
    names, calls, many, repeats = (
        positive(f"bench: {what}", value)
        for what, value in (("names", names), ("calls", calls), ("many", many), ("repeats", repeats))
    )
    if quick:
        names, calls, many, repeats = min(names, 2000), min(calls, 200), min(many, 50_000), 1
    alphabet = Alphabet.from_strings(strings)
    codes = alphabet.encode(strings, max(length, *map(len, strings)))
    task = timing.make_task(codes, np.asarray(labels, np.int64), filters, widths)
    missing = {kind: reason for kind, reason in peers.unavailable().items() if kind in predictors.PEERS}
    kinds = [*predictors.OWN, *(kind for kind in predictors.PEERS if kind not in missing)]
    if not frameworks:
        kinds, missing = [*predictors.OWN], {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "task.npz")
        some = np.resize(codes, (names, codes.shape[1]))
        np.savez(
            path, data=some, expected=_expected(task, some), strings=np.resize(np.array(strings), names),
            symbols=np.array(alphabet.symbols), **task._asdict(),
        )  # fmt: skip
        workers = []
        for name in kinds:
            for count in threads:
                echo(f"starting {name}, {count} thread{'s' * (count > 1)}")
                worker = Worker("prediction", name, count, path, what="warm_up")
                stack.callback(worker.close)
                if worker.unavailable:
                    missing[name] = worker.unavailable
                else:
                    workers.append(worker)
        own = [worker for worker in workers if worker.name == "fastconv"]
        runs, from_strings = {worker: [] for worker in workers}, {worker: [] for worker in own}
        for turn in range(repeats):
            for worker in workers:
                runs[worker].append(worker.ask(what="many"))
            for worker in own:
                from_strings[worker].append(worker.ask(what="from_strings")["seconds"])
            echo(f"round {turn + 1} of {repeats}")
        alone = [worker for worker in workers if worker.threads == threads[0]]
        echo(f"one name at a time, {calls:,} times each")
        latency = [{"name": worker.name, **worker.ask(what="one", calls=calls)} for worker in alone]
        scale = _scale(folder, task, codes, threads, (names, many), repeats, echo)
    return {
        "settings": {
            "names": names, "calls": calls, "many": many, "length": int(codes.shape[1]), "alphabet": len(alphabet),
            "filters": list(filters), "widths": list(widths), "dtype": "float32", "repeats": repeats,
        },
        "machine": timing.machine(),
        "rows": rows(runs, names),
        "latency": latency,
        "strings": [
            {"threads": worker.threads, "names_per_second": names / statistics.median(seconds)}
            for worker, seconds in from_strings.items()
        ],
        "scale": scale,
        "missing": missing,
    }  # fmt: skip


def _expected(task, codes):
    """Return the probabilities of a float64 network."""
    weights = [w.astype(np.float64) for w in task[2:5]]
    return VectorisedNetwork(task.codes[:1], task.labels[:1], *weights).predict_proba(codes, BATCH_SIZES[-1])


def rows(runs, count, what="names"):
    """Return the rows of the comparison from each worker's runs of so many names or images; see :func:`run`."""
    table = []
    for worker, answers in runs.items():
        seconds = statistics.median(answer["seconds"] for answer in answers)
        table.append(
            {
                "name": worker.name,
                "threads": worker.threads,
                "batch_size": worker.first["batch_size"],
                "seconds": seconds,
                f"{what}_per_second": count / seconds,
                "difference": max(answer["difference"] for answer in answers),
            }
        )
    alone = {row["name"]: row["seconds"] for row in table if row["threads"] == 1}
    for row in table:
        others = [r for r in table if r["name"] != "fastconv" and r["threads"] <= row["threads"]]
        pytorch = [r["seconds"] for r in others if r["name"].startswith("PyTorch")]
        row["speedup"] = alone[row["name"]] / row["seconds"] if row["name"] in alone else None
        row["ratio_to_pytorch"] = min(pytorch) / row["seconds"] if pytorch else None
        row["ratio_to_best_peer"] = min(r["seconds"] for r in others) / row["seconds"]
    return table


def _scale(folder, task, codes, threads, sizes, repeats, echo):
    """Return the rows of few and many names from one file, the runs of both in turn."""
    path, task_path = os.path.join(folder, "codes.int16"), os.path.join(folder, "scale.npz")
    echo(f"writing {sizes[-1]:,} names to a temporary file")
    block = np.resize(codes, (BLOCK, codes.shape[1]))
    with open(path, "wb") as file:
        for start in range(0, sizes[-1], BLOCK):
            block[: min(BLOCK, sizes[-1] - start)].tofile(file)
    np.savez(task_path, path=np.array(path), **task._asdict())
    found = []
    for count in threads:
        echo(f"{sizes[-1]:,} names, {count} thread{'s' * (count > 1)}")
        worker = Worker("scale", "fastconv", count, task_path, names=sizes[0], repeats=1)
        with contextlib.closing(worker):
            answers = {size: [] for size in sizes}
            for _ in range(min(repeats, 3)):
                for size in sizes:
                    answers[size].append(worker.ask(names=size, repeats=max(1, min(200_000, sizes[-1]) // size)))
        for size in sizes:
            seconds = statistics.median(answer["seconds"] for answer in answers[size])
            memory = [answer["memory"] for answer in answers[size]]
            found.append(
                {
                    "threads": count,
                    "names": size,
                    "names_per_second": size / seconds,
                    "memory": None if None in memory else max(memory),
                }
            )
    return found


def speeds(title, rows, what, setting):
    """Return the lines of the table of a comparison, and what they mean.

    Parameters
    ----------
    title : str
    rows : list of dict
        As :func:`rows` gives them.
    what : {"names", "images"}
    setting : str
        A line on what is predicted.
    """

    def ratio(value):
        return f"{value:.2f}" if value else ""

    head = (title, "threads", "at a time", f"{what}/s", "x 1 thread", "x PyTorch", "x best peer", "difference")
    body = [
        [
            row["name"],
            str(row["threads"]),
            f"{row['batch_size']:,}",
            f"{row[f'{what}_per_second']:,.0f}",
            *(ratio(row[key]) for key in ("speedup", "ratio_to_pytorch", "ratio_to_best_peer")),
            f"{row['difference']:.0e}",
        ]
        for row in rows
    ]
    return [
        *columns(head, body),
        setting,
        "x PyTorch, x best peer: against its best form and the fastest other one at that number of threads or fewer",
        "difference: of a probability from a float64 network's, at most",
    ]


def table(result):
    """Return the lines of the tables, for printing."""
    settings = result["settings"]
    setting = f"{settings['names']:,} names of {settings['length']} characters"
    lines = [
        *speeds("from codes", result["rows"], "names", setting),
        "",
        *columns(
            ["one name a call", "median", "99th percentile"],
            [
                [row["name"], f"{row['median'] * 1e6:,.1f} us", f"{row['percentile_99'] * 1e6:,.1f} us"]
                for row in result["latency"]
            ],
        ),
        f"{settings['calls']:,} calls each, from codes to probabilities as NumPy arrays",
        "",
        *columns(
            ["fastconv, from strings", "threads", "names/s"],
            [
                ["encoding included", str(row["threads"]), f"{row['names_per_second']:,.0f}"]
                for row in result["strings"]
            ],
        ),
        "",
        *columns(
            ["fastconv, from a memory-mapped file", "threads", "names/s", "memory beyond codes and output"],
            [
                [
                    f"{row['names']:,} names",
                    str(row["threads"]),
                    f"{row['names_per_second']:,.0f}",
                    "unknown" if row["memory"] is None else f"{row['memory'] / 1e6:,.1f} MB",
                ]
                for row in result["scale"]
            ],
        ),
        f"memory: anonymous pages of the process, sampled every {1000 * SAMPLING:.0f} ms, "
        "less those before the first call and the output",
    ]
    lines += [f"{name}: left out: {reason}" for name, reason in result["missing"].items()]
    return lines
