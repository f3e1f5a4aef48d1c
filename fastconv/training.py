"""Trainer: batches, updates, validation, history."""

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import accumulate
from numbers import Real

import numpy as np

from fastconv import augment as augmentation
from fastconv import engine, losses, modelfile
from fastconv.arrays import aligned_zeros, checked_seed, contiguous, positive, whole
from fastconv.errors import DataError, DTypeError, ModelFormatError, NonFiniteLossError, RangeError
from fastconv.imbalance import balance, oversample, undersample
from fastconv.layers import ImageInput
from fastconv.network import Sequential
from fastconv.optim import SGD, Optimizer
from fastconv.schedules import Schedule

SLICE_SECONDS = 0.4
"""Time of one call of the engine, about: between two calls Ctrl-C is heard and the progress bar moves."""


SAMPLINGS = {
    "shuffle": lambda labels, rng: rng.permutation(len(labels)),
    "undersample": undersample,
    "oversample": oversample,
    "balance": balance,
}


PROGRESS = {"updates": int, "_epoch": int, "_position": int, "_examples": int, "_seconds": float}
"""The numbers of a trainer that a checkpoint holds."""


class History:
    """What happened during training.

    Attributes
    ----------
    records : list of dict
        One for each evaluation: ``update`` (made so far), ``epoch`` (as a number of epochs), ``lr``, ``train_loss``
        and ``train_accuracy`` (means over the batches since the last record, before their updates), ``seconds``
        (spent in fit so far), and with a validation set ``validation_loss`` and ``validation_accuracy``.
    batch_losses : list of float
        The loss of every batch, before its update.

    Examples
    --------
    >>> from fastconv.training import History
    >>> history = History()
    >>> history.records.append({"update": 1, "train_loss": 0.5})
    >>> history["train_loss"]
    array([0.5])
    """

    def __init__(self):
        self.records = []
        self.batch_losses = []

    def __getitem__(self, key):
        """Return one entry of all records as an array."""
        return np.array([record[key] for record in self.records])

    def __len__(self):
        return len(self.records)

    def running_loss(self, keep=0.99):
        """Return the running mean of the batches' losses: s = keep * s + (1 - keep) * loss, from the first loss on.

        Parameters
        ----------
        keep : float
            In [0, 1).

        Returns
        -------
        (updates,) float64 array

        Examples
        --------
        >>> from fastconv.training import History
        >>> history = History()
        >>> history.batch_losses += [4.0, 2.0, 2.0]
        >>> history.running_loss(keep=0.5)
        array([4. , 3. , 2.5])
        """
        if isinstance(keep, bool) or not isinstance(keep, Real) or not 0 <= keep < 1:
            raise RangeError(f"running_loss: keep lies in [0, 1), got {keep!r}")
        return np.array(list(accumulate(self.batch_losses, lambda mean, loss: keep * mean + (1 - keep) * loss)))

    def __repr__(self):
        last = f", last {self.records[-1]}" if self.records else ""
        return f"History({len(self.batch_losses)} updates, {len(self.records)} records{last})"


class Trainer:
    """Trains a network by mini-batches.

    Parameters
    ----------
    net : Sequential
        Changed in place.
    loss : Loss, optional
        By default :class:`SoftmaxCrossEntropy`.
    optimizer : Optimizer
        By default ``SGD(0.001, momentum=0.9)``.
    batch_size : int
        The last batch of an epoch is smaller where it must be.
    threads : int, optional
        By default all that are allowed; the result does not depend on it.
    seed : int
        Of the order of the examples, of dropout and of augmentation.
    sampling : {"shuffle", "undersample", "oversample", "balance"} or callable
        What an epoch is: all examples in random order; from each class as many as the smallest has, drawn anew; as
        many as the largest has; as many of each as make an epoch of the same length (:mod:`fastconv.imbalance`); or
        the rows that ``sampling(labels, rng)`` returns, as many each time, where `rng` is the epoch's generator. The
        label of a soft target is the largest.
    augment : list of Augmentation, optional
        What is done with every batch of images before it is learnt, in this order (:mod:`fastconv.augment`); only for
        an :class:`ImageInput`. Validation sees the images as they are. By default nothing is done.

    Attributes
    ----------
    history : History
    updates : int
        Updates made so far.
    state : (S, P) array
        State of the optimiser, each row laid out as ``net.parameters``: SGD's velocity; RMSprop's velocity and mean
        square; Adam's mean and mean square.

    Notes
    -----
    Epoch e is ordered by a generator seeded with (seed, e) alone. The same seed gives the same bits, whatever the
    number of threads and however the updates are spread over calls of :meth:`fit`, or over processes, with
    :meth:`save` and :meth:`resume`. All random numbers follow from the seed and the update: there is no random state.

    Of the batch x of update u, counted from 0, what is learnt is ``fastconv.augment.apply(x, augment, seed, u)``. A
    mixture with the share l of its partner j costs what its two targets cost, each by the weight w of its own sample
    and class: (1 - l) w_i L(t_i) + l w_j L(t_j). For :class:`MeanSquaredError` that is, but for a constant, the error
    to their weighted mean, which is what counts. ``train_loss`` and ``train_accuracy`` are those of the augmented
    images. A hit is the label of the sample itself: of mixed images even the best network misses up to half.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1))
    >>> trainer = fc.Trainer(net, optimizer=fc.SGD(0.5, momentum=0.9), batch_size=2)
    >>> history = trainer.fit(x, y, epochs=50)
    >>> net.predict(x).tolist()
    [0, 0, 1, 1]

    Images, shifted and mixed at random:

    >>> digits = fc.datasets.load_digits()
    >>> net = fc.Sequential(
    ...     [fc.Conv2D(16, 3), fc.ReLU(), fc.MaxPool2D(2), fc.Flatten(), fc.Dense(10)], input=fc.ImageInput(8, 8, 1))
    >>> augment = [fc.augment.RandomCrop(padding=1), fc.augment.MixUp(alpha=0.2)]
    >>> trainer = fc.Trainer(net, optimizer=fc.Adam(0.01), augment=augment)
    >>> history = trainer.fit(digits.data[digits.train], digits.target[digits.train], epochs=10)
    >>> _, accuracy = net.evaluate(digits.data[digits.validation], digits.target[digits.validation])
    >>> accuracy > 0.9
    True
    """

    def __init__(
        self, net, loss=None, optimizer=None, batch_size=100, threads=None, seed=0, sampling="shuffle", augment=None
    ):
        if not isinstance(net, Sequential):
            raise DTypeError(f"Trainer: expected a network, got {net!r}")
        self.net = net
        self.loss = losses.checked(loss, "Trainer")
        self.optimizer = SGD(0.001, momentum=0.9) if optimizer is None else optimizer
        if not isinstance(self.optimizer, Optimizer):
            raise DTypeError(f"Trainer: expected an optimizer, got {optimizer!r}")
        self.batch_size = positive("Trainer: batch_size", batch_size)
        engine.threads(threads)
        self.threads = threads
        self.seed = checked_seed("Trainer", seed)
        if not callable(sampling) and sampling not in SAMPLINGS:
            raise RangeError(f"Trainer: sampling is one of {', '.join(SAMPLINGS)} or a function, got {sampling!r}")
        self.sampling = sampling
        if augment is not None and not isinstance(net.input, ImageInput):
            raise DTypeError(f"Trainer: expected a network of ImageInput to augment, got {net.input!r}")
        augment = () if augment is None else augment
        augmentation.lowered(augment, net.input.shape, "Trainer")
        self.augment = tuple(augment)
        self.history = History()
        self.updates = 0
        states = self.optimizer.states
        self.state = aligned_zeros(states * net.parameters.size, net.dtype).reshape(states, -1)
        self._epoch, self._position, self._seconds = 0, 0, 0.0
        self._since = np.zeros(3, np.int64)  # batches, hits and examples since the last record
        self._examples = 0

    def __repr__(self):
        return (
            f"Trainer({self.net!r}, {self.loss!r}, {self.optimizer!r}, batch_size={self.batch_size}, "
            f"seed={self.seed}, updates={self.updates})"
        )

    @property
    def velocity(self):
        """The first row of :attr:`state`, (P,)."""
        return self.state[0]

    def fit(
        self, x, y, epochs=None, updates=None, validation=None, evaluate_every=None, callbacks=(), progress=None,
        sample_weight=None,
    ):  # fmt: skip
        """Train for a number of epochs or updates, going on where the last call stopped.

        Parameters
        ----------
        x, y : arrays
            Labelled examples, as for :meth:`Sequential.loss_and_gradients`. Rows of codes without any character are
            examples too.
        epochs, updates : int
            One of the two.
        validation : (xv, yv), optional
            Evaluated at every record.
        evaluate_every : int, optional
            Updates between two records; by default an epoch. The end of the call always makes one.
        callbacks : iterable of callable
            Each is called with (trainer, record) after a record; one that returns True ends the call.
        progress : bool or str, optional
            Show a progress bar, with these words in front if it is a str; by default one without words, if the standard
            error stream is a terminal.
        sample_weight : (N,) array, optional

        Returns
        -------
        History
            Of all calls so far.

        Raises
        ------
        NonFiniteLossError
            If a batch's loss is NaN or infinite: the update is named and not made. If the parameters or the validation
            loss are, when a record is due.
        ShapeError, DTypeError, RangeError, DataError
            If an argument does not fit; nothing is computed then.

        Notes
        -----
        On Ctrl-C the updates made so far stay made and a further call goes on from them.
        """
        net = self.net
        x = net.check_input(x, "fit")
        if len(x) == 0:
            raise DataError("fit: the data set is empty")
        targets = net.check_targets(self.loss, y, len(x), sample_weight, "fit")
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise RangeError("fit: x holds numbers that are not finite")
        if validation is not None:
            validation = self._check_validation(validation)
        if (epochs is None) == (updates is None):
            raise RangeError("fit: give either epochs or updates")
        epochs, updates, evaluate_every = (
            None if value is None else positive(f"fit: {name}", value)
            for name, value in (("epochs", epochs), ("updates", updates), ("evaluate_every", evaluate_every))
        )
        callbacks = _checked_callbacks(callbacks)
        if self._examples != len(x) and self._position:
            self._epoch, self._position = self._epoch + 1, 0  # other data: the epoch that was begun is over
        rows = self._order(targets[0])
        if self._position * self.batch_size >= len(rows):  # likewise, of other labels or larger batches
            self._epoch, self._position = self._epoch + 1, 0
            rows = self._order(targets[0])
        self._examples = len(x)
        batches = -(-len(rows) // self.batch_size)
        end = self.updates + (updates if updates is not None else epochs * batches - self._position)

        started = time.perf_counter() - self._seconds
        # updates of one call of the engine: to begin with, as if a core made 2 GFLOP/s
        length = max(1, int(SLICE_SECONDS * 2e9 / (3 * net.program.operations * self.batch_size + 1)))
        with _bar(end - self.updates, progress) as bar:
            while self.updates < end:
                due = end - self.updates  # updates until the next record
                if evaluate_every is None:
                    due = min(due, batches - self._position)
                else:
                    due = min(due, evaluate_every - self.updates % evaluate_every)
                epoch, clock = self._epoch, time.perf_counter()
                with _interrupt_deferred():
                    made = self._slice(x, targets, rows, min(due, length))
                    length = max(1, int(SLICE_SECONDS * made / (time.perf_counter() - clock + 1e-9)))
                    if made == due:
                        self.history.records.append(self._record(batches, validation, started))
                    self._seconds = time.perf_counter() - started
                bar.update(made)
                if self._epoch != epoch:
                    size, rows = len(rows), self._order(targets[0])
                    if len(rows) != size:
                        raise RangeError(f"fit: sampling gave {len(rows)} rows for an epoch, {size} for the one before")
                if made == due:
                    record = self.history.records[-1]
                    if validation is not None:
                        bar.set_postfix(validation=f"{record['validation_accuracy']:.1%}")
                    answers = [callback(self, record) for callback in callbacks]
                    if any(answer is True for answer in answers):
                        break
        return self.history

    def _slice(self, x, targets, rows, most):
        """Make at most `most` updates, within the epoch, in one call of the engine; return how many."""
        batches = -(-len(rows) // self.batch_size)
        first = self._position * self.batch_size
        rows = rows[first : first + most * self.batch_size]
        starts = np.array([*range(0, len(rows), self.batch_size), len(rows)], np.int64)
        rates = np.array([self.optimizer.rate(self.updates + i) for i in range(len(starts) - 1)])
        losses, hits = np.empty(len(rates)), np.empty(len(rates), np.int64)
        made = self.net.program.train(
            x, self.net.parameters, self.loss.lower(), *targets, rows, starts, rates,
            self.optimizer.lower(), self.state, losses, hits, engine.threads(self.threads),
            self.net.statistics, self.seed % 2**64, self.updates,
            augmentation.lowered(self.augment, self.net.input.shape) if self.augment else None,
        )  # fmt: skip
        self.history.batch_losses += losses[:made].tolist()
        self.updates += made
        self._position += made
        self._since += made, hits[:made].sum(), starts[made]
        if self._position == batches:
            self._epoch, self._position = self._epoch + 1, 0
        if made < len(rates):
            raise NonFiniteLossError(
                f"fit: the loss is {losses[made]} at update {self.updates + 1}; a smaller learning rate may help"
            )
        self._rate = float(rates[-1])
        return made

    def _record(self, batches, validation, started):
        """Return a record of the batches since the last one."""
        if not np.isfinite(self.net.parameters).all():
            raise NonFiniteLossError(f"fit: parameters are not finite after update {self.updates}")
        made, hits, seen = map(int, self._since)
        record = {
            "update": self.updates,
            "epoch": self._epoch + self._position / batches,
            "lr": self._rate,
            "train_loss": float(np.mean(self.history.batch_losses[-made:])),
            "train_accuracy": hits / seen,
        }
        if validation is not None:
            loss, accuracy = self.net.evaluate(*validation, self.loss, threads=self.threads)
            if not np.isfinite(loss):
                raise NonFiniteLossError(f"fit: the validation loss is {loss} after update {self.updates}")
            record["validation_loss"], record["validation_accuracy"] = loss, accuracy
        self._since[:] = 0
        record["seconds"] = time.perf_counter() - started
        return record

    def save(self, path):
        """Write a checkpoint, from which :meth:`resume` goes on.

        The file has the layout of model files (safetensors, no pickle): parameters and running statistics, the
        optimiser's state, the number of updates, the place in the epoch, and the history. It is written under a
        temporary name in the same folder and then moved into place.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        RangeError
            If there are numbers that are not finite; an older checkpoint stays as it is then.
        DTypeError
            If a callback put something into a record that is not of JSON's types.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import fastconv as fc
        >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> def trainer():
        ...     net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1))
        ...     return fc.Trainer(net, optimizer=fc.Adam(0.1), batch_size=3)
        >>> first, second, whole = trainer(), trainer(), trainer()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = first.fit(x, y, updates=5)
        ...     first.save(os.path.join(folder, "checkpoint"))
        ...     second.resume(os.path.join(folder, "checkpoint"))
        >>> history = second.fit(x, y, updates=5), whole.fit(x, y, updates=10)
        >>> bool((second.net.parameters == whole.net.parameters).all())
        True
        """
        try:
            records = json.dumps(self.history.records).encode()
        except (TypeError, ValueError) as error:
            raise DTypeError(f"save: the history's records: {error}") from None
        arrays = self._arrays()
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise RangeError(f"save: {name} holds numbers that are not finite")
        arrays["batch_losses"] = np.array(self.history.batch_losses, np.float64)
        arrays["records"] = np.frombuffer(records, np.uint8)
        progress = {name.lstrip("_"): getattr(self, name) for name in PROGRESS} | {"since": self._since.tolist()}
        modelfile.write(
            path,
            {name: array for name, array in arrays.items() if array.size},
            {"checkpoint": self._settings(), "progress": progress},
        )

    def resume(self, path):
        """Go on from a checkpoint, to the same bits as if training had not stopped.

        The trainer is to be made as the one was that wrote the checkpoint; only the number of threads may differ. What
        the network and the trainer hold is overwritten.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ModelFormatError
            If the file is not a checkpoint, or is damaged.
        RangeError
            If it comes from another network, loss, optimiser, batch size, seed, way of sampling or augmentation.
            Functions, as a learning rate or for sampling, cannot be compared and must be the same.

        Notes
        -----
        If anything is raised, nothing has changed. Further calls of :meth:`fit` must be given the same data.
        """
        arrays, header = modelfile.read(path)
        if "checkpoint" not in header:
            raise ModelFormatError(f"{path}: not a checkpoint")
        mine = json.loads(json.dumps(self._settings()))
        try:
            theirs = {name: header["checkpoint"][name] for name in mine}
            progress = {name: header["progress"][name.lstrip("_")] for name in PROGRESS}
            since = np.array(header["progress"]["since"], np.int64)
            losses, records = arrays.pop("batch_losses", np.empty(0)), json.loads(arrays.pop("records").tobytes())
            fits = all(type(value) is PROGRESS[name] and value >= 0 for name, value in progress.items())
            fits = fits and since.shape == (3,) and losses.shape == (progress["updates"],)
            if not fits or not all(isinstance(record, dict) for record in records):
                raise ValueError("the progress and the history do not fit")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFormatError(f"{path}: the checkpoint is damaged: {error!r}") from None
        for name, setting in mine.items():
            if theirs[name] != setting:
                raise RangeError(f"resume: {path} was made with {name} {theirs[name]}, this trainer has {setting}")
        places = {name: array for name, array in self._arrays().items() if array.size}
        if arrays.keys() != places.keys():
            raise ModelFormatError(f"{path}: expected the arrays {', '.join(places)}, got {', '.join(arrays)}")
        for name, array in places.items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ModelFormatError(f"{path}: {name} is {arrays[name].shape} {arrays[name].dtype}")
            if not np.isfinite(arrays[name]).all():
                raise ModelFormatError(f"{path}: {name} holds numbers that are not finite")
        for name, array in places.items():
            array[...] = arrays[name]
        for name, value in progress.items():
            setattr(self, name, value)
        self._since[:] = since
        self.history.batch_losses[:] = losses.tolist()
        self.history.records[:] = records

    def _arrays(self):
        """Return the arrays that go on from checkpoint to checkpoint."""
        return {"parameters": self.net.parameters, "statistics": self.net.statistics, "state": self.state}

    def _settings(self):
        """Return what determines the training, of JSON's types; functions cannot be written down."""
        rate, weights = self.optimizer.learning_rate, self.loss.class_weight
        return {
            "network": self.net.description(),
            "loss": [*self.loss.lower(), weights.tolist() if isinstance(weights, np.ndarray) else weights],
            "optimizer": self.optimizer.lower(),
            "learning_rate": "a function" if callable(rate) and not isinstance(rate, Schedule) else repr(rate),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "sampling": self.sampling if isinstance(self.sampling, str) else "a function",
            "augment": [{"type": type(each).__name__, **asdict(each)} for each in self.augment],
        }

    def _check_validation(self, validation):
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise DTypeError(f"fit: validation is a pair (x, y), got {type(validation).__name__}")
        x = self.net.check_input(validation[0], "fit: validation")
        if len(x) == 0:
            raise DataError("fit: the validation set is empty")
        y = np.asarray(validation[1])
        self.net.check_targets(self.loss, y, len(x), None, "fit: validation")
        return x, y

    def _order(self, labels):
        """Return the rows of the current epoch."""
        sample = self.sampling if callable(self.sampling) else SAMPLINGS[self.sampling]
        rows = np.asarray(sample(labels, np.random.default_rng([self.seed, self._epoch])))
        if rows.size and rows.dtype.kind not in "iu":
            raise DTypeError(f"fit: sampling gave {rows.dtype}, expected integer indices")
        if rows.ndim != 1 or not rows.size or rows.min() < 0 or rows.max() >= len(labels):
            raise RangeError(f"fit: sampling gave {rows.shape} rows, expected indices 0..{len(labels) - 1} of an epoch")
        return contiguous(rows, np.int64)


class Checkpoint:
    """A callback of :meth:`Trainer.fit` that writes a checkpoint after a record, over the one before.

    Parameters
    ----------
    path : str or path-like
    every : int
        Records from one checkpoint to the next.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = fc.training.Checkpoint(os.path.join(folder, "checkpoint"), every=2)
    ...     history = fc.Trainer(net).fit([[0.0], [1.0]], [0, 1], epochs=3, callbacks=[checkpoint])
    ...     trainer = fc.Trainer(net)
    ...     trainer.resume(checkpoint.path)
    >>> trainer.updates
    2
    """

    def __init__(self, path, every=1):
        self.path, self.every = path, positive("Checkpoint: every", every)

    def __call__(self, trainer, record):
        if len(trainer.history.records) % self.every == 0:
            trainer.save(self.path)


class BestNetwork:
    """A callback of :meth:`Trainer.fit` that saves the network whenever a record is the best so far.

    Parameters
    ----------
    path : str or path-like
        Of a model file, for :func:`fastconv.load`.
    by : str
        The record's entry that counts; of a name that ends with "loss" the smallest value is the best, of others the
        largest.

    Raises
    ------
    RangeError
        After a record without that entry.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastconv as fc
    >>> net, x, y = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1)), [[0.0], [1.0]], [0, 1]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     best = fc.training.BestNetwork(os.path.join(folder, "best.safetensors"), by="validation_loss")
    ...     history = fc.Trainer(net).fit(x, y, epochs=3, validation=(x, y), callbacks=[best])
    ...     net = fc.load(best.path)
    >>> net.evaluate(x, y)[0] == history.records[-1]["validation_loss"]
    True
    """

    def __init__(self, path, by="validation_accuracy"):
        self.path, self.by = path, by

    def __call__(self, trainer, record):
        score = _score(record, self.by, "BestNetwork")
        earlier = [_score(each, self.by, "BestNetwork") for each in trainer.history.records[:-1] if self.by in each]
        if all(value < score for value in earlier):
            trainer.net.save(self.path)


class EarlyStopping:
    """A callback of :meth:`Trainer.fit` that ends it when the network gets no better, and keeps the best parameters.

    Parameters
    ----------
    patience : int
        Records, one after the other, that are no better than the best before them.
    by : str
        The record's entry that counts; of a name that ends with "loss" the smallest value is the best, of others the
        largest.

    Attributes
    ----------
    best : dict
        The best record, the first of equals; None before there is one.

    Raises
    ------
    RangeError
        After a record without that entry.

    References
    ----------
    Prechelt, "Early stopping - but when?", 1998.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1))
    >>> stopping = fc.training.EarlyStopping(patience=3)
    >>> x, y = [[-1.0], [1.0]], [0, 1]
    >>> history = fc.Trainer(net, optimizer=fc.SGD(1.0)).fit(x, y, epochs=100, validation=(x, y), callbacks=[stopping])
    >>> stopping.restore(net)
    >>> len(history) - stopping.best["update"], net.evaluate(x, y)[1]
    (3, 1.0)
    """

    def __init__(self, patience=10, by="validation_accuracy"):
        self.patience, self.by = positive("EarlyStopping: patience", patience), by
        self.best, self._waited = None, 0

    def __call__(self, trainer, record):
        score = _score(record, self.by, "EarlyStopping")
        if self.best is None or score > _score(self.best, self.by, "EarlyStopping"):
            self.best, self._waited = record, 0
            self._parameters, self._statistics = trainer.net.parameters.copy(), trainer.net.statistics.copy()
        else:
            self._waited += 1
        return self._waited >= self.patience

    def restore(self, net):
        """Give the network the parameters and running statistics of the best record; nothing if there is none."""
        if self.best is not None:
            net.parameters[:], net.statistics[:] = self._parameters, self._statistics


class AverageWeights:
    """A callback of :meth:`Trainer.fit` that averages the parameters over the last records.

    Parameters
    ----------
    first : int
        The first record of the call that counts, from 0.

    Notes
    -----
    Running statistics of batch normalisation are averaged likewise.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018.

    Examples
    --------
    >>> import fastconv as fc
    >>> net, average = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(1)), fc.training.AverageWeights(first=1)
    >>> seen, watch = [], lambda trainer, record: seen.append(trainer.net.parameters.copy())
    >>> history = fc.Trainer(net).fit([[-1.0], [1.0]], [0, 1], epochs=3, callbacks=[average, watch])
    >>> average.restore(net)
    >>> bool(abs(net.parameters - (seen[1] + seen[2]) / 2).max() < 1e-6)
    True
    """

    def __init__(self, first):
        self.first = whole("AverageWeights: first", first)
        self._records = 0

    def __call__(self, trainer, record):
        net, n = trainer.net, self._records - self.first
        if n == 0:
            self._parameters, self._statistics = (a.astype(np.float64) for a in (net.parameters, net.statistics))
        elif n > 0:
            self._parameters += (net.parameters - self._parameters) / (n + 1)
            self._statistics += (net.statistics - self._statistics) / (n + 1)
        self._records += 1

    def restore(self, net):
        """Give the network the averages; nothing if no record has counted."""
        if self._records > self.first:
            net.parameters[:], net.statistics[:] = self._parameters, self._statistics


def _score(record, by, function):
    """Return an entry of a record, larger if better."""
    if by not in record:
        raise RangeError(f"{function}: expected a record with {by!r}, got {', '.join(record)}")
    return -record[by] if by.endswith("loss") else record[by]


@contextlib.contextmanager
def _interrupt_deferred():
    """Hold Ctrl-C back until the block is done, so that training stops where it can go on."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = []
    signal.signal(signal.SIGINT, lambda *event: heard.append(event))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if heard:
        handler(*heard[0])


def _checked_callbacks(callbacks):
    """Return a list of callables, or say what is none."""
    if callable(callbacks) or not isinstance(callbacks, Iterable):
        raise DTypeError(f"fit: callbacks: expected a list of functions, got {callbacks!r}")
    callbacks = list(callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise DTypeError(f"fit: callbacks: expected functions, got {callback!r}")
    return callbacks


def _bar(total, progress):
    """Return a progress bar, silent where it should be."""
    from tqdm import tqdm

    shown = sys.stderr.isatty() if progress is None else bool(progress)
    words = progress if isinstance(progress, str) else None
    return tqdm(desc=words, total=total, unit="update", disable=not shown, leave=False, file=sys.stderr)
