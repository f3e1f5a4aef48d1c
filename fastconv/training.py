"""Trainer: batches, updates, validation, history."""

import contextlib
import signal
import sys
import threading
import time

import numpy as np

from fastconv import engine, losses
from fastconv.arrays import aligned_zeros, checked_seed, contiguous, positive
from fastconv.errors import DataError, DTypeError, NonFiniteLossError, RangeError
from fastconv.imbalance import balance, oversample, undersample
from fastconv.network import Sequential
from fastconv.optim import SGD

SLICE_SECONDS = 0.1
"""Time of one call of the engine, about: between two calls Ctrl-C is heard and the progress bar moves."""


SAMPLINGS = {
    "shuffle": lambda labels, rng: rng.permutation(len(labels)),
    "undersample": undersample,
    "oversample": oversample,
    "balance": balance,
}


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

    def __repr__(self):
        last = f", last {self.records[-1]}" if self.records else ""
        return f"History({len(self.batch_losses)} updates, {len(self.records)} records{last})"


class Trainer:
    """Trains a network by mini-batches.

    Parameters
    ----------
    net : Sequential
        Changed in place.
    loss : SoftmaxCrossEntropy, optional
    optimizer : SGD
        Default: ``SGD(0.001, momentum=0.9)``.
    batch_size : int
        The last batch of an epoch is smaller where it must be.
    threads : int, optional
        By default all that are allowed; the result does not depend on it.
    seed : int
        Of the order of the examples.
    sampling : {"shuffle", "undersample", "oversample", "balance"} or callable
        What an epoch is: all examples in random order; from each class as many as the smallest has, drawn anew; as
        many as the largest has; as many of each as make an epoch of the same length (:mod:`fastconv.imbalance`); or
        the rows that ``sampling(labels, rng)`` returns, as many each time, where `rng` is the epoch's generator.

    Attributes
    ----------
    history : History
    updates : int
        Updates made so far.
    velocity : (P,) array
        State of the optimiser, laid out as ``net.parameters``.

    Notes
    -----
    Epoch e is ordered by a generator seeded with (seed, e) alone. The same seed gives the same bits, whatever the
    number of threads and however the updates are spread over calls of :meth:`fit`.

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
    """

    def __init__(self, net, loss=None, optimizer=None, batch_size=100, threads=None, seed=0, sampling="shuffle"):
        if not isinstance(net, Sequential):
            raise DTypeError(f"Trainer: expected a network, got {net!r}")
        self.net = net
        self.loss = losses.checked(loss, "Trainer")
        self.optimizer = SGD(0.001, momentum=0.9) if optimizer is None else optimizer
        if not isinstance(self.optimizer, SGD):
            raise DTypeError(f"Trainer: expected an optimizer, got {optimizer!r}")
        self.batch_size = positive("Trainer: batch_size", batch_size)
        engine.threads(threads)
        self.threads = threads
        self.seed = checked_seed("Trainer", seed)
        if not callable(sampling) and sampling not in SAMPLINGS:
            raise RangeError(f"Trainer: sampling is one of {', '.join(SAMPLINGS)} or a function, got {sampling!r}")
        self.sampling = sampling
        self.history = History()
        self.updates = 0
        self.velocity = aligned_zeros(net.parameters.size, net.dtype)
        self._epoch, self._position, self._seconds = 0, 0, 0.0
        self._since = np.zeros(3, np.int64)  # batches, hits and examples since the last record
        self._examples = None

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
        progress : bool, optional
            Show a progress bar; by default if the standard error stream is a terminal.
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
        y = net.check_labels(y, len(x), "fit")
        weights = net.check_weights(self.loss, y, sample_weight, "fit")
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise RangeError("fit: x holds numbers that are not finite")
        if validation is not None:
            validation = self._check_validation(validation)
        if (epochs is None) == (updates is None):
            raise RangeError("fit: give either epochs or updates")
        for name, value in (("epochs", epochs), ("updates", updates), ("evaluate_every", evaluate_every)):
            if value is not None:
                positive(f"fit: {name}", value)
        callbacks = list(callbacks)
        if self._examples not in (None, len(x)) and self._position:
            self._epoch, self._position = self._epoch + 1, 0  # other data: the epoch that was begun is over
        rows = self._order(y)
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
                    made = self._slice(x, y, weights, rows, min(due, length))
                    length = max(1, int(SLICE_SECONDS * made / (time.perf_counter() - clock + 1e-9)))
                    if made == due:
                        self.history.records.append(self._record(batches, validation, started))
                    self._seconds = time.perf_counter() - started
                bar.update(made)
                if self._epoch != epoch:
                    size, rows = len(rows), self._order(y)
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

    def _slice(self, x, y, weights, rows, most):
        """Make at most `most` updates, within the epoch, in one call of the engine; return how many."""
        batches = -(-len(rows) // self.batch_size)
        first = self._position * self.batch_size
        rows = rows[first : first + most * self.batch_size]
        starts = np.append(np.arange(0, len(rows), self.batch_size), len(rows))
        rates = np.array([self.optimizer.rate(self.updates + i) for i in range(len(starts) - 1)])
        losses, hits = np.empty(len(rates)), np.empty(len(rates), np.int64)
        made = self.net.program.train(
            x, self.net.parameters, y, weights, self.loss.label_smoothing, rows, starts, rates,
            self.optimizer.momentum, self.velocity, losses, hits, engine.threads(self.threads),
            self.net.statistics, self.seed % 2**64, self.updates,
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

    def _check_validation(self, validation):
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise DTypeError(f"fit: validation is a pair (x, y), got {type(validation).__name__}")
        x = self.net.check_input(validation[0], "fit: validation")
        if len(x) == 0:
            raise DataError("fit: the validation set is empty")
        return x, self.net.check_labels(validation[1], len(x), "fit: validation")

    def _order(self, y):
        """Return the rows of the current epoch."""
        sample = self.sampling if callable(self.sampling) else SAMPLINGS[self.sampling]
        rows = np.asarray(sample(y, np.random.default_rng([self.seed, self._epoch])))
        if rows.size and rows.dtype.kind not in "iu":
            raise DTypeError(f"fit: sampling gave {rows.dtype}, expected integer indices")
        if rows.ndim != 1 or not rows.size or rows.min() < 0 or rows.max() >= len(y):
            raise RangeError(f"fit: sampling gave {rows.shape} rows, expected indices 0..{len(y) - 1} of an epoch")
        return contiguous(rows, np.int64)


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


def _bar(total, progress):
    """Return a progress bar, silent where it should be."""
    from tqdm import tqdm

    shown = sys.stderr.isatty() if progress is None else bool(progress)
    return tqdm(total=total, unit="update", disable=not shown, leave=False, file=sys.stderr)
