"""One contestant in a process of its own: ``python -m fastconv.bench.worker NAME THREADS TASK.npz``.

A process each keeps every framework's threads, and their number, apart. A line on standard input holds two numbers of
updates: first some that are not timed, so that caches are warm and threads awake, then, from the initial weights, those
that are timed (none: just compile and warm up). The answer is a line of JSON: seconds and losses, or why it cannot
run.
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
    contestant = None
    for line in sys.stdin:
        warm, timed = map(int, line.split())
        answer = {}
        try:
            contestant = contestant or build(name, task, int(threads))
            if warm:
                contestant.warm_up(batches[:warm])
            if timed:
                contestant.restart()
                start = time.perf_counter()
                losses = contestant.run(batches[:timed])
                answer = {"seconds": time.perf_counter() - start, "losses": [float(loss) for loss in losses]}
        except PeerUnavailable as error:
            answer = {"unavailable": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
