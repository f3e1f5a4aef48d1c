"""The implementations that the timing compares, behind one interface: restart, then run.

A contestant is built from the data and the initial weights. ``warm_up(batches)`` compiles what is to be compiled,
``restart()`` returns to the initial weights and zero velocities, ``run(batches)`` makes one update a row of ``batches``
(updates, batch size) and returns the losses. Only ``run`` is timed; it gathers the rows of each batch from the data set
itself.
"""

from typing import NamedTuple

import numpy as np

from fastconv import models
from fastconv.bench import peers


class Task(NamedTuple):
    """What all contestants get: data, initial weights in the library's layout, and the optimiser's settings."""

    codes: np.ndarray
    labels: np.ndarray
    w1: np.ndarray
    w2: np.ndarray
    w3: np.ndarray
    learning_rate: float
    momentum: float

    @classmethod
    def load(cls, arrays):
        """Return the task whose fields stand in a dict of arrays."""
        return cls(*(arrays[field] for field in cls._fields[:5]), *(float(arrays[field]) for field in cls._fields[5:]))


def surname_network(task):
    """Return this library's network for a task, with weights of its own."""
    (k1, depth, n1), (k2, _, n2) = task.w1.shape, task.w2.shape
    length, classes = task.codes.shape[1], task.w3.shape[1]
    return models.surname_convnet(depth, length, classes, (n1, n2), (k1, k2), dtype=task.w1.dtype)


class _Contestant:
    def warm_up(self, batches):
        self.run(batches)

    def restart(self):
        raise NotImplementedError

    def run(self, batches):
        raise NotImplementedError


class Fastconv(_Contestant):
    """This library, by its public interface."""

    name = "fastconv"

    def __init__(self, task, threads):
        self.net, self.task, self.threads = surname_network(task), task, threads

    def restart(self):
        for view, w in zip(self.net.params.values(), self.task[2:5], strict=True):
            view[...] = w

    def run(self, batches):
        from fastconv import SGD, Trainer

        trainer = Trainer(
            self.net,
            optimizer=SGD(self.task.learning_rate, self.task.momentum),
            batch_size=batches.shape[1],
            threads=self.threads,
            sampling=lambda labels, rng: batches.ravel(),
        )
        return trainer.fit(self.task.codes, self.task.labels, epochs=1, progress=False).batch_losses


class _Reference(_Contestant):
    """A network of the readable twin."""

    def __init__(self, task, threads):
        from fastconv.reference import networks

        self.network = getattr(networks, self.network_class)(*task[:5])
        self.task = task

    def restart(self):
        self.network.restart(*self.task[2:5])

    def run(self, batches):
        return [self.network.step(rows, self.task.learning_rate, self.task.momentum) for rows in batches]


class Naive(_Reference):
    """The naive code: M_X by kron, for every name, layer and update."""

    name, network_class = "naive kron", "NaiveNetwork"


class Optimised(_Reference):
    """The optimised script: V_X, and layer 1 made once, sparse."""

    name, network_class = "optimised script", "OptimisedNetwork"


class Vectorised(_Reference):
    """Vectorised NumPy, with SciPy's sparse product for layer 1."""

    name, network_class = "vectorised NumPy", "VectorisedNetwork"


class Peer(_Contestant):
    """A class of the peers."""

    def __init__(self, kind, task, threads):
        self.peer, self.task = kind(*task[:5], threads=threads), task
        self.start = self.peer.get_state()

    def warm_up(self, batches):
        self.peer.warm_up(batches)

    def restart(self):
        self.peer.set_state(self.start)

    def run(self, batches):
        return self.peer.run(batches, self.task.learning_rate, self.task.momentum)


OWN = {kind.name: kind for kind in (Naive, Optimised, Vectorised, Fastconv)}
FRAMEWORKS = {kind.name: kind for kind in peers.PEERS}
NAMES = (*OWN, *FRAMEWORKS)


def build(name, task, threads):
    """Return the contestant of a name."""
    return OWN[name](task, threads) if name in OWN else Peer(FRAMEWORKS[name], task, threads)
