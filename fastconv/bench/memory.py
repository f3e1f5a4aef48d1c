"""The memory of a training step, looked at from within a process that makes steps."""

import importlib

from fastconv.bench import contestants
from fastconv.bench.contestants import ImageTask
from fastconv.bench.predictors import Largest, anonymous_memory


class StepMemory:
    """A contestant in a process of its own: first its framework is imported, then the memory is looked at.

    Parameters
    ----------
    name : str
        This library or a peer in PyTorch, eager.
    threads : int
    file : dict of array
        Of the task and, as ``batches``, of the rows of each update.
    """

    def __init__(self, name, threads, file):
        self.name, self.threads = name, threads
        self.task, self.batches = ImageTask.load(file), file["batches"]
        importlib.import_module("fastconv.training" if name == "fastconv" else "torch")
        self.before = anonymous_memory()

    def answer(self):
        """Build the network and make the updates.

        Returns
        -------
        dict
            ``memory``: the process's anonymous memory (RssAnon: no libraries, no files) in bytes at its largest,
            sampled while the network is built and trained, less what there was before, data and initial weights
            included; None where the system does not tell.
        """
        with Largest(anonymous_memory) as memory:
            if self.name == "fastconv":
                contestants.Fastconv(self.task, self.threads).run(self.batches)
            else:
                peer = contestants.IMAGE_FRAMEWORKS[self.name](*self.task.arguments, threads=self.threads)
                peer.run(self.batches, self.task.learning_rate, self.task.momentum)
        return {"memory": None if self.before is None else memory.largest - self.before}
