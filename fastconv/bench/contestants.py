"""The implementations that the timing compares, behind one interface: restart, then run.

A contestant is built from the data and the initial weights. ``warm_up(batches)`` compiles what is to be compiled,
``restart()`` returns to the initial weights and zero velocities, ``run(batches)`` makes one update a row of ``batches``
(updates, batch size) and returns the losses. Only ``run`` is timed; it gathers the rows of each batch from the data set
itself.
"""

from typing import NamedTuple

import numpy as np

from fastconv import models
from fastconv.bench import image_peers, peers


class Task(NamedTuple):
    """Names: data, initial weights in the library's layout, and the optimiser's settings."""

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

    @property
    def data(self):
        """What a network is trained on."""
        return self.codes

    @property
    def weights(self):
        """The initial weights, in the order of the library's parameters."""
        return self[2:5]

    @property
    def arguments(self):
        """What a peer or a network of the readable twin is made from."""
        return self[:5]

    def head(self):
        """Return the task with the first sample only: what a network needs that is not to be trained."""
        return self._replace(codes=self.codes[:1], labels=self.labels[:1])

    def network(self):
        """Return this library's network for the task, with weights of its own."""
        (k1, depth, n1), (k2, _, n2) = self.w1.shape, self.w2.shape
        length, classes = self.codes.shape[1], self.w3.shape[1]
        return models.surname_convnet(depth, length, classes, (n1, n2), (k1, k2), dtype=self.w1.dtype)


class Net(NamedTuple):
    """A network over images: how it is built, and the padding of its convolutions."""

    build: object
    padding: int


IMAGE_NETS = {
    "G": Net(models.imbalanced_cifar_convnet, 0),
    "R": Net(models.cifar_convnet, 2),
}


class ImageTask(NamedTuple):
    """Images: the network's name, data, initial weights and biases, and the optimiser's settings; see :class:`Task`."""

    net: str
    images: np.ndarray
    labels: np.ndarray
    weights: list
    learning_rate: float
    momentum: float

    @classmethod
    def make(cls, net, images, learning_rate, momentum):
        """Return the task of a network on a number of images: noise, for what is computed does not depend on it."""
        rng = np.random.default_rng(0)
        pixels, labels = rng.normal(size=(images, 32, 32, 3)).astype(np.float32), rng.integers(0, 10, images)
        weights = list(IMAGE_NETS[net].build().params.values())
        return cls(net, pixels, labels, weights, learning_rate, momentum)

    def arrays(self):
        """Return the task as a dict of arrays."""
        fields = {name: np.array(value) for name, value in self._asdict().items() if name != "weights"}
        return {**fields, **{f"weight {i}": w for i, w in enumerate(self.weights)}}

    @classmethod
    def load(cls, arrays):
        """Return the task of a dict of arrays."""
        weights = [arrays[f"weight {i}"] for i in range(sum(name.startswith("weight ") for name in arrays))]
        net, rates = str(arrays["net"]), (float(arrays[name]) for name in ("learning_rate", "momentum"))
        return cls(net, arrays["images"], arrays["labels"], weights, *rates)

    @property
    def data(self):
        """As in :class:`Task`."""
        return self.images

    @property
    def arguments(self):
        """As in :class:`Task`."""
        return self.images, self.labels, self.weights, IMAGE_NETS[self.net].padding

    def head(self):
        """As in :class:`Task`."""
        return self._replace(images=self.images[:1], labels=self.labels[:1])

    def network(self):
        """As in :class:`Task`."""
        return IMAGE_NETS[self.net].build()


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
        self.net, self.task, self.threads = task.network(), task, threads

    def restart(self):
        for view, w in zip(self.net.params.values(), self.task.weights, strict=True):
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
        return trainer.fit(self.task.data, self.task.labels, epochs=1, progress=False).batch_losses


class _Reference(_Contestant):
    """A network of the readable twin."""

    def __init__(self, task, threads):
        from fastconv.reference import networks

        self.network = getattr(networks, self.network_class)(*task.arguments)
        self.task = task

    def restart(self):
        self.network.restart(*self.task.weights)

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


class VectorisedImages(_Reference):
    """Vectorised NumPy, by im2col."""

    name, network_class = "vectorised NumPy", "VectorisedImageNetwork"


class Peer(_Contestant):
    """A class of the peers."""

    def __init__(self, kind, task, threads):
        self.peer, self.task = kind(*task.arguments, threads=threads), task
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
IMAGE_OWN = {kind.name: kind for kind in (VectorisedImages, Fastconv)}
IMAGE_FRAMEWORKS = {kind.name: kind for kind in image_peers.PEERS}


def build(name, task, threads):
    """Return the contestant of a name."""
    own, frameworks = (IMAGE_OWN, IMAGE_FRAMEWORKS) if isinstance(task, ImageTask) else (OWN, FRAMEWORKS)
    return own[name](task, threads) if name in own else Peer(frameworks[name], task, threads)
