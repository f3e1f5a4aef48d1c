"""A contestant in a process of its own: ``python -m fastconv.bench.worker KIND NAME THREADS TASK.npz``.

A process each keeps every framework's threads, and their number, apart. A line of JSON on standard input is a request,
the arguments of the contestant's ``answer``; the line of JSON that comes back is the answer, or says why it cannot run.
"""

import json
import sys
import time

import numpy as np

from fastconv.bench import contestants, memory, predictors
from fastconv.bench.contestants import ImageTask, Task
from fastconv.bench.frameworks import PeerUnavailable


class Training:
    """A contestant of the timing of training; see :mod:`fastconv.bench.contestants`."""

    task = Task

    def __init__(self, name, threads, file):
        self.contestant = contestants.build(name, self.task.load(file), threads)
        self.batches = file["batches"]

    def answer(self, warm, timed):
        """Make updates.

        Parameters
        ----------
        warm : int
            Updates that are not timed, so that caches are warm and threads awake.
        timed : int
            Updates from the initial weights that are timed; none: just compile and warm up.
        """
        if warm:
            self.contestant.warm_up(self.batches[:warm])
        if not timed:
            return {}
        self.contestant.restart()
        start = time.perf_counter()
        losses = self.contestant.run(self.batches[:timed])
        return {"seconds": time.perf_counter() - start, "losses": [float(loss) for loss in losses]}


class ImageTraining(Training):
    """A contestant of the timing of training over images; see :mod:`fastconv.bench.images`."""

    task = ImageTask


KINDS = {
    "training": Training,
    "prediction": predictors.Prediction,
    "scale": predictors.Scale,
    "images": ImageTraining,
    "image prediction": predictors.ImagePrediction,
    "step memory": memory.StepMemory,
}


def main(kind, name, threads, path):
    """Serve a contestant on standard input and output."""
    with np.load(path) as file:
        arrays = dict(file)
    answers, sys.stdout = sys.stdout, sys.stderr  # what a framework prints is no answer
    contestant = None
    for line in sys.stdin:
        try:
            contestant = contestant or KINDS[kind](name, int(threads), arrays)
            answer = contestant.answer(**json.loads(line))
        except PeerUnavailable as error:
            answer = {"unavailable": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
