"""The implementations that the prediction contest compares, and what is asked of them in their processes.

A predictor is built from the data and the weights of a :class:`~fastconv.bench.contestants.Task`;
``predict_proba(codes, batch_size)`` returns the probabilities, (n, classes) float32.
"""

import os
import statistics
import threading
import time

import numpy as np

from fastconv.bench import image_peers, peers
from fastconv.bench.contestants import ImageTask, Task
from fastconv.text import Alphabet

BATCH_SIZES = (100, 500, 2000)
"""Names at a time that are tried, beside all at once."""
IMAGE_BATCH_SIZES = (32, 128)
"""Images at a time that are tried, beside all at once."""
SAMPLING = 0.005
"""Seconds between two looks at the memory."""


class Fastconv:
    """This library, by its public interface."""

    name = "fastconv"

    def __init__(self, task, threads):
        self.net, self.threads = task.network(), threads
        for view, w in zip(self.net.params.values(), task.weights, strict=True):
            view[...] = w

    def predict_proba(self, data, batch_size=None):
        """Return the probabilities; the library cuts the samples into chunks itself."""
        return self.net.predict_proba(data, threads=self.threads)


class _Reference:
    """A network of the readable twin."""

    name = "vectorised NumPy"

    def __init__(self, task, threads):
        from fastconv.reference import networks

        self.predict_proba = getattr(networks, self.network_class)(*task.head().arguments).predict_proba


class Vectorised(_Reference):
    """The vectorised NumPy network."""

    network_class = "VectorisedNetwork"


class VectorisedImages(_Reference):
    """The vectorised NumPy network over images."""

    network_class = "VectorisedImageNetwork"


OWN = {kind.name: kind for kind in (Vectorised, Fastconv)}
PEERS = {kind.name: kind for kind in peers.PEERS if kind is not peers.JaxScan}  # which differs in training only
IMAGE_OWN = {kind.name: kind for kind in (VectorisedImages, Fastconv)}
IMAGE_PEERS = {kind.name: kind for kind in image_peers.PEERS}


def build(name, task, threads):
    """Return the predictor of a name."""
    own, kinds = (IMAGE_OWN, IMAGE_PEERS) if isinstance(task, ImageTask) else (OWN, PEERS)
    return own[name](task, threads) if name in own else kinds[name](*task.head().arguments, threads=threads)


class ImagePrediction:
    """A contestant of the prediction from images, in its process."""

    task, batch_sizes = ImageTask, IMAGE_BATCH_SIZES

    def __init__(self, name, threads, file):
        self.name, self.threads = name, threads
        self.data, self.expected = file["data"], file["expected"]
        self.predictor = build(name, self.task.load(file), threads)
        self.batch_size = None

    def answer(self, what, **settings):
        """Answer a request by the method that it names."""
        return getattr(self, what)(**settings)

    def warm_up(self):
        """Compile, and find the batch size that is fastest: of two runs of each after one that is not timed."""
        n, seconds = len(self.data), {}
        sizes = [None] if self.name == "fastconv" else [size for size in self.batch_sizes if n % size == 0 and size < n]
        for size in dict.fromkeys([*sizes, None]):
            self.predictor.predict_proba(self.data, size)
            seconds[size] = min(_timed(self.predictor.predict_proba, self.data, size)[0] for _ in range(2))
        self.batch_size = min(seconds, key=seconds.get)
        return {"batch_size": self.batch_size or n}

    def many(self):
        """Predict all the samples, once to warm up and once timed; the largest difference from what is expected."""
        self.predictor.predict_proba(self.data, self.batch_size)
        seconds, found = _timed(self.predictor.predict_proba, self.data, self.batch_size)
        return {"seconds": seconds, "difference": float(np.max(np.abs(found - self.expected)))}


class Prediction(ImagePrediction):
    """A contestant of the prediction contest, in its process."""

    task = Task

    def __init__(self, name, threads, file):
        super().__init__(name, threads, file)
        self.batch_sizes = BATCH_SIZES
        self.alphabet, self.strings = Alphabet(str(file["symbols"])), file["strings"].tolist()

    def one(self, calls):
        """Predict one name a call, name after name: the seconds of a call, median and 99th percentile."""
        n, seconds = len(self.data), np.empty(calls)
        for i in range(-min(calls, 100), calls):  # the first hundred warm up
            code = self.data[i % n : i % n + 1]
            start = time.perf_counter()
            self.predictor.predict_proba(code)
            seconds[i] = time.perf_counter() - start
        return {"median": float(np.median(seconds)), "percentile_99": float(np.percentile(seconds, 99))}

    def from_strings(self):
        """Encode all the strings and predict, once to warm up and once timed."""
        for _ in range(2):
            start = time.perf_counter()
            codes = self.alphabet.encode(self.strings, self.data.shape[1])
            self.predictor.predict_proba(codes, self.batch_size)
            seconds = time.perf_counter() - start
        return {"seconds": seconds}


class Scale:
    """Predictions of few and of very many names from one file of codes, in a process of its own."""

    def __init__(self, name, threads, file):
        task = Task.load(file)
        self.predictor = build(name, task, threads)
        self.codes = np.memmap(str(file["path"]), np.int16, "r").reshape(-1, task.codes.shape[1])
        self.before = anonymous_memory()

    def answer(self, names, repeats):
        """Predict the first names of the file.

        Parameters
        ----------
        names : int
        repeats : int
            Predictions, the median counts.

        Returns
        -------
        dict
            ``seconds`` of a prediction and ``memory``: the process's anonymous memory (RssAnon, so without the file's
            pages) in bytes at its largest, sampled, less what there was before the first prediction of all and less
            the output; None where the system does not tell.
        """
        codes, seconds = self.codes[:names], []
        with Largest(anonymous_memory) as memory:
            for _ in range(repeats):
                took, output = _timed(self.predictor.predict_proba, codes)
                seconds.append(took)
                size = output.nbytes
                del output
        beyond = None if self.before is None else max(0, memory.largest - self.before - size)
        return {"seconds": statistics.median(seconds), "memory": beyond}


class Largest:
    """Context that samples a number from a thread of its own, and keeps the largest."""

    def __init__(self, sample):
        self.sample, self.largest = sample, sample()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while self.largest is not None and not self._done.wait(SAMPLING):
            self.largest = max(self.largest, self.sample())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self._thread.join()


def anonymous_memory():
    """Return the bytes of this process's memory that no file backs, or None where the system does not tell.

    Examples
    --------
    >>> from fastconv.bench import predictors
    >>> found = predictors.anonymous_memory()
    >>> found is None or found > 1_000_000
    True
    """
    if not os.path.exists("/proc/self/status"):
        return None
    with open("/proc/self/status", encoding="ascii") as file:
        sizes = [int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:")]
    return sizes[0] if sizes else None


def _timed(function, *arguments):
    """Return the seconds of a call and its result."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result
