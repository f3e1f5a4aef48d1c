"""One contestant in a process of its own: ``python -m fastconv.bench.worker NAME THREADS TASK.npz``.

A process each keeps every framework's threads, and their number, apart. The process prints ``ready`` (or why it cannot
run), then makes a run for every line that it reads and prints seconds and losses as JSON.
"""

import json
import sys
import time

import numpy as np

from fastconv.bench.contestants import Task, build
from fastconv.bench.peers import PeerUnavailable


def main(name, threads, path):
    """Serve runs of a contestant on standard input and output."""
    with np.load(path) as file:
        task = Task(*(file[field] for field in Task._fields[:5]), *(float(file[field]) for field in Task._fields[5:]))
        batches = file["batches"]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a framework prints is no answer
    try:
        contestant = build(name, task, int(threads))
        updates = sys.stdin.readline()  # how many it is warmed with
        contestant.warm_up(batches[: int(updates)])
    except PeerUnavailable as error:
        print(json.dumps({"unavailable": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        contestant.restart()
        start = time.perf_counter()
        losses = contestant.run(batches[: int(line)])
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "losses": [float(loss) for loss in losses]}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
