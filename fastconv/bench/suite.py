"""The tasks of the benchmark suite behind one interface: run, table, chart."""

from fastconv.bench import TASKS, convolutions, images, prediction, roofline, timing
from fastconv.datasets import load_surnames
from fastconv.errors import RangeError
from fastconv.text import Alphabet

LENGTH = 19
"""Characters of a name, as in the course's files; shorter names are padded."""


def run(task, data=None, threads=(1, 2), quick=False, echo=print, **settings):
    """Run a task.

    Parameters
    ----------
    task : str
        A name of :data:`fastconv.bench.TASKS`.
    data : str, optional
        Folder of the course's files; by default the bundled names. Tasks over images take none.
    threads : iterable of int
    quick : bool
        Try the path, do not measure.
    echo : callable
        Is given lines of text on the progress.
    **settings
        In place of the task's own: those of :func:`fastconv.bench.timing.run`,
        :func:`fastconv.bench.prediction.run` or :func:`fastconv.bench.roofline.run`; over images, of
        :func:`fastconv.bench.images.train`, :func:`fastconv.bench.images.predict` or
        :func:`fastconv.bench.convolutions.run`.

    Returns
    -------
    dict
        What that function returns, and ``task``.

    Raises
    ------
    RangeError
        If there is no such task, or it has no such setting.
    """
    if task not in TASKS:
        raise RangeError(f"bench: the tasks are {', '.join(TASKS)}, got {task!r}")
    common = {"quick": quick, "echo": echo}
    if task in images.CONTESTS:
        return {"task": task, **images.train(threads=threads, **images.CONTESTS[task]._asdict() | settings, **common)}
    if task == "images":
        return {"task": task, **images.predict(threads, **settings, **common)}
    if task == "convolutions":
        return {"task": task, **convolutions.run(**settings, **common)}
    names = load_surnames(data)
    alphabet = Alphabet.from_strings(names.data)
    if task in timing.CONTESTS:
        codes = alphabet.encode(names.data, max(LENGTH, *map(len, names.data)))
        contest = timing.CONTESTS[task]._asdict() | settings
        result = timing.run(codes=codes, labels=names.target, threads=threads, **contest, **common)
    elif task == "prediction":
        result = prediction.run(names.data, names.target, threads, length=LENGTH, **settings, **common)
    else:
        codes = alphabet.encode(names.data, max(LENGTH, *map(len, names.data)))
        result = roofline.run(codes, names.target, **settings, **common)
    return {"task": task, **result}


def table(result):
    """Return the lines of a result's table, for printing."""
    return _room(result).table(result)


def chart(result):
    """Return a result as a matplotlib figure; needs the extra ``plot``."""
    from fastconv import plots

    task = result["task"]
    if task in timing.CONTESTS or task in images.CONTESTS:
        return plots.timing_bars(result["rows"], result["settings"]["updates"])
    if task == "prediction":
        return plots.prediction_bars(result["rows"])
    return plots.image_bars(result["rows"]) if task == "images" else plots.roofline(result)


def _room(result):
    rooms = {"prediction": prediction, "roofline": roofline, "images": images, "convolutions": convolutions}
    return rooms.get(result["task"], timing)
