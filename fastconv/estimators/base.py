"""What convolutional classifiers with scikit-learn's contract share."""

import contextlib
import json
import math
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from numbers import Real

import numpy as np
from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from fastconv import engine, errors, modelfile
from fastconv.arrays import positive
from fastconv.classifier import described_labels
from fastconv.datasets.dataset import hold_out
from fastconv.errors import DataError, DTypeError, ModelFormatError, RangeError, ShapeError
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import load
from fastconv.optim import AdamW
from fastconv.schedules import OneCycle
from fastconv.training import EarlyStopping, Trainer

BLOCK = 1 << 22
"""Numbers of a block of samples that is prepared for the network at a time, in prediction."""


class NotFittedError(errors.NotFittedError, exceptions.NotFittedError):
    """A classifier has to be fitted first: this library's error, and scikit-learn's."""


class ConvClassifier(ClassifierMixin, BaseEstimator):
    """What convolutional classifiers share: all but what a sample is, and what becomes of it.

    A subclass has the parameters that are read here, and the methods ``_check_samples(X, reset)``, which returns the
    samples as an array; ``_fit_input(x)``, which returns what ``transform``\\ s samples to the network's input;
    ``_network(x, encoder, n_classes, seed)`` for an untrained network and that; and ``_describe()`` and
    ``_restore(metadata)`` for what else is in the model file.
    """

    augment = None
    members = 1
    _stops_by = "validation_accuracy"

    def fit(self, X, y, sample_weight=None, validation=None):
        """Train on labelled samples.

        Parameters
        ----------
        X : samples
            As the class describes them.
        y : (N,) array
            Labels of at least two classes, of any one kind that can be sorted: integers, strings, truth values, dates.
        sample_weight : (N,) array, optional
            How much each sample counts in the loss, finite and >= 0. In validation all count alike.
        validation : (X, y), optional
            Labelled samples that are evaluated after each epoch, with labels that the training samples have too. With
            `early_stopping` they take the place of the part that is held out.

        Returns
        -------
        self

        Raises
        ------
        ShapeError, DTypeError, RangeError, DataError
            If samples, labels, weights or parameters do not fit; no parameter of the network has changed then.
        NonFiniteLossError
            If the loss is no longer finite; a smaller learning rate may help.

        Notes
        -----
        On Ctrl-C the classifier is fitted as far as the updates made have brought it.
        """
        patience = positive("fit: n_iter_no_change", self.n_iter_no_change)
        again = self.warm_start and self.__sklearn_is_fitted__()
        known = self.classes_ if again else None
        if validation is not None and (not isinstance(validation, (tuple, list)) or len(validation) != 2):
            raise DTypeError(f"fit: validation is a pair (X, y), got {type(validation).__name__}")
        x, classes, codes, weights = self._check(X, y, sample_weight, known, not again, "fit")
        if validation is not None:
            validation = self._check(*validation, None, classes, not again, "fit: validation")[:3:2]
            if validation[0].shape[1:] != x.shape[1:]:
                raise ShapeError(f"fit: the samples are {x.shape[1:]}, those to validate {validation[0].shape[1:]}")
        random = check_random_state(self.random_state)
        seed = random.randint(2**31)
        if self.early_stopping and validation is None:
            rows, held_out = self._split(codes, random)
            validation = x[held_out], codes[held_out]
            x, codes, weights = x[rows], codes[rows], None if weights is None else weights[rows]
        epochs, rate = self._epochs(len(x)), self.learning_rate
        if not callable(rate):
            rate = OneCycle(rate, epochs * -(-len(x) // positive("fit: batch_size", self.batch_size)))
        self._start(x, classes, codes, weights, rate, seed, again)
        trainers, self._trainers = self._trainers, None
        x = self.preprocess_.transform(x)
        if validation:
            validation = self.preprocess_.transform(validation[0]), validation[1]

        def train(trainer, ended):
            keepers = [EarlyStopping(patience, self._stops_by)] if self.early_stopping else self._keepers(epochs)
            trainer.fit(
                x, codes, epochs, validation=validation, callbacks=[*keepers, ended],
                progress=self._words(trainer, trainers), sample_weight=weights,
            )  # fmt: skip
            for keeper in keepers:
                keeper.restore(trainer.net)

        try:
            self._side_by_side(trainers, train)
        finally:
            if not again:
                self._nets = [trainer.net for trainer in trainers if trainer.updates] or self._nets
            self._finish([trainer for trainer in trainers if trainer.net in self._nets], validation)
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train one epoch on labelled samples, going on where the last call stopped.

        The first call starts from what :meth:`fit` has left, or anew; then it fits the preprocessing to its samples,
        and needs the classes. From call to call the optimiser keeps its state, and the parameters of training their
        values of the first. The learning rate is what the class says; `epochs` and early stopping play no part.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`; any number of classes.
        classes : (K,) array, optional
            All labels that there will be, in any order.

        Returns
        -------
        self

        Raises
        ------
        ShapeError, DTypeError, RangeError, DataError, NonFiniteLossError
            As for :meth:`fit`; if `classes` is missing from the first call, or differs in a later one; for images if
            class_weight is "balanced", for which all labels are needed at once.
        """
        again = self.__sklearn_is_fitted__()
        if classes is None and not again:
            raise DataError("partial_fit: expected classes in the first call, got None")
        self._check_running_weights()
        known = self.classes_ if classes is None else _sorted(classes, "partial_fit: classes")[0]
        if again and not np.array_equal(known, self.classes_):
            raise RangeError(f"partial_fit: the classes are {self.classes_.tolist()}, got {known.tolist()}")
        x, classes, codes, weights = self._check(X, y, sample_weight, known, not again, "partial_fit")
        if not again or self._trainers is None:
            seed = check_random_state(self.random_state).randint(2**31)
            self._start(x, classes, codes, weights, self._running_rate(again), seed, again, True)
        else:
            self.class_count_ = self.class_count_ + np.bincount(codes, weights, len(classes))
            for trainer in self._trainers:
                trainer.loss = self._loss(classes, self.class_count_)
        x = self.preprocess_.transform(x)

        def train(trainer, ended):
            trainer.fit(x, codes, epochs=1, progress=self._words(trainer, self._trainers), sample_weight=weights)

        try:
            self._side_by_side(self._trainers, train)
        finally:
            self._finish(self._trainers, None)
        return self

    def predict(self, X):
        """Return the label of the likeliest class of each sample, (N,).

        Raises
        ------
        NotFittedError
            If the classifier has not been fitted; it is scikit-learn's too.
        ShapeError, DTypeError, DataError
            If the samples do not fit.
        """
        indices = self._run(X, "predict")
        return self.classes_[indices]

    def predict_proba(self, X):
        """Return the probability of each class, in the order of :attr:`classes_`, (N, K) float32.

        Raises
        ------
        NotFittedError, ShapeError, DTypeError, DataError
            As for :meth:`predict`.
        """
        return self._run(X, "predict_proba")

    def decision_function(self, X):
        """Return the logits, (N, K) float32; of two classes that of the second less that of the first, (N,).

        Raises
        ------
        NotFittedError, ShapeError, DTypeError, DataError
            As for :meth:`predict`.
        """
        logits = self._run(X, "forward")
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def save(self, path):
        """Write the fitted classifier to a model file, from which :meth:`load` makes one that predicts the same bits.

        The layout is that of safetensors: parameters, and in the header the architecture, the classes, the
        preprocessing and the classifier's own parameters. :func:`fastconv.load` reads the network of it.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        NotFittedError
            If the classifier has not been fitted.
        DTypeError
            If the labels are not strings, numbers or truth values.

        Notes
        -----
        Parameters that JSON does not know (functions, augmentations, schedules, generators, dicts by number) are left
        out and come back as their defaults: they matter to training alone. Pickle keeps them, and the history too.
        """
        self._check_fitted("save")
        classes = [label.item() if isinstance(label, np.generic) else label for label in self.classes_.tolist()]
        try:
            described_labels(json.loads(json.dumps(classes)), self.network_)
        except modelfile.MALFORMED:
            raise DTypeError(
                f"save: expected labels that are strings, numbers or truth values, got {classes[0]!r}"
            ) from None
        parameters = {name: value.item() if isinstance(value, np.generic) else value
                      for name, value in self.get_params(deep=False).items()}  # fmt: skip
        self.network_.metadata = {
            "estimator": type(self).__name__,
            "parameters": {name: value for name, value in parameters.items() if _plain(value)},
            "classes": classes,
            **self._describe(),
        }
        self.network_.save(path)

    @classmethod
    def load(cls, path):
        """Return the fitted classifier that :meth:`save` wrote to a file.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ModelFormatError
            If the file is not a model file of this class, or is damaged.
        """
        net = load(path)
        try:
            described = dict(net.metadata)
            if described["estimator"] != cls.__name__:
                raise ValueError(f"it is of {described['estimator']}")
            parameters = described["parameters"].items()
            fitted = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in parameters})
            engine.threads(fitted.threads)
            fitted.classes_ = described_labels(described["classes"], net)
            fitted.network_, fitted._trainers = net, None
            modelfile.check_keys(
                "the metadata", described, "estimator", "parameters", "classes", *fitted._restore(described)
            )
        except modelfile.MALFORMED as error:
            raise ModelFormatError(f"{path}: not a model file of {cls.__name__}: {error!r:.400}") from None
        return fitted

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    def _check_fitted(self, function):
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"{function}: this {type(self).__name__} has not been fitted")

    def _check(self, X, y, sample_weight, known, reset, function):
        """Return samples, classes, the index of each sample's class, and weights or None."""
        labels, codes = _sorted(y, function)
        with named(function):
            x = self._check_samples(X, reset)
            check_consistent_length(x, codes, sample_weight)
        if len(codes) == 0:
            raise DataError(f"{function}: expected samples, got none")
        if known is None:
            if len(labels) < 2:
                raise DataError(f"{function}: expected labels of two classes or more, got 1 class, {labels.tolist()}")
            known = labels
        index = {label: k for k, label in enumerate(known.tolist())}
        unknown = [label for label in labels.tolist() if label not in index]
        if unknown:
            raise RangeError(f"{function}: expected labels among {known.tolist()}, got {unknown[0]!r}")
        codes = np.array([index[label] for label in labels.tolist()])[codes]
        weights = SoftmaxCrossEntropy().sample_weights(codes, len(known), sample_weight)
        if weights is not None and not weights.any():
            raise DataError(f"{function}: sample_weight is zero for every sample")
        return x, known, codes, weights

    def _split(self, codes, random):
        """Return the rows to train on, and those to validate on: a share of each class."""
        share = self.validation_fraction
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1:
            raise RangeError(f"fit: validation_fraction lies in (0, 1), got {share!r}")
        counts = np.bincount(codes)
        sizes = np.minimum(np.rint(share * counts), counts - 1)
        rows, held_out = hold_out(codes, sizes, random.permutation(len(codes)))
        if len(held_out) == 0:
            raise DataError(f"fit: a validation_fraction of {share} of {len(codes)} samples leaves none to validate on")
        return rows, held_out

    def _side_by_side(self, trainers, train):
        """Call train(trainer, ended) for each trainer, on as many threads as are allowed.

        After Ctrl-C, or an error, those that run are waited for: `ended` is a callback that ends them with the epoch.
        """
        threads = engine.threads(self.threads)
        workers, failed = min(threads, len(trainers)), threading.Event()

        def ended(trainer, record):
            return failed.is_set()

        if workers == 1:
            for trainer in trainers:
                train(trainer, ended)
            return
        with ThreadPoolExecutor(workers) as pool:
            for trainer in trainers:
                trainer.threads = threads // workers
            try:
                left = [pool.submit(train, trainer, ended) for trainer in trainers]
                while left:  # looked at now and then, since a signal need not wake who waits
                    done, left = wait(left, 0.1, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                failed.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _epochs(self, n):
        """Return how often fit goes over n samples."""
        return positive("fit: epochs", self.epochs)

    def _running_rate(self, again):
        """Return the learning rate of partial_fit, or the schedule that it follows."""
        return self.learning_rate

    def _start(self, x, classes, codes, weights, rate, seed, again, running=False):
        """Set trainers of the networks that there are, or of new ones, and what they need."""
        counts = np.bincount(codes, weights, len(classes)).astype(np.float64)
        if running and again:
            counts += getattr(self, "class_count_", 0)
        loss = self._loss(classes, counts)
        members = positive("members", self.members)
        encoder = self.preprocess_ if again else self._fit_input(x)
        seeds = [(seed + i) % 2**31 for i in range(len(self._nets) if again else members)]
        nets = self._nets if again else [self._network(x, encoder, len(classes), seed) for seed in seeds]
        trainers = [
            Trainer(net, loss, AdamW(rate, weight_decay=self.weight_decay), self.batch_size, self.threads, seed,
                    augment=self.augment)
            for net, seed in zip(nets, seeds, strict=True)
        ]  # fmt: skip
        self.preprocess_, self.classes_, self._nets, self._trainers = encoder, classes, nets, trainers
        self.class_count_ = counts
        self._finish(trainers, None)

    def _loss(self, classes, counts):
        """Return the loss of training, of classes that have so many samples."""
        weight = self.class_weight
        if isinstance(weight, dict):
            weight = dict_weights(weight, classes)
        return SoftmaxCrossEntropy(weight, self.label_smoothing)

    def _check_running_weights(self):
        """Raise an error if the class weights need all labels at once."""
        if isinstance(self.class_weight, str):
            raise RangeError(f"partial_fit: class_weight is a dict or None, got {self.class_weight!r}")

    def _keepers(self, epochs):
        """Return the callbacks of one training that restore the network which it is to leave."""
        return []

    def _words(self, trainer, trainers):
        """Return what Trainer.fit shows as progress."""
        return bool(self.verbose)

    def _finish(self, trainers, validation):
        """Set what is fitted from what is trained."""
        self.network_, self.history_ = trainers[0].net, trainers[0].history

    @property
    def n_iter_(self):
        """Epochs of the last training."""
        return len(self.loss_curve_)

    @property
    def loss_curve_(self):
        """The training loss of each epoch."""
        return self.history_["train_loss"].tolist()

    def _run(self, X, function):
        """Return what the network's method of that name makes of the samples."""
        self._check_fitted(function)
        with named(function):
            x = self._check_samples(X, False)
        shape = self.network_.input.shape
        step = max(1, BLOCK // (shape[0] if self.network_.input.codes else math.prod(shape)))
        blocks = (self.preprocess_.transform(x[i : i + step]) for i in range(0, max(1, len(x)), step))
        return np.concatenate([getattr(self.network_, function)(block, self.threads) for block in blocks])


def dict_weights(weights, classes):
    """Return the weight of each class from a dict of labels."""
    with named("class_weight"):
        return compute_class_weight(weights, classes=classes, y=classes)


def _sorted(labels, function):
    """Return the classes of labels, sorted, and the index of each label's class; or raise an error."""
    wanted = f"{function}: expected labels of one kind that can be sorted"
    if isinstance(labels, (list, tuple)) and any(isinstance(label, str) for label in labels):
        for i, label in enumerate(labels):
            if not isinstance(label, str):  # NumPy would make a string of it
                raise DTypeError(f"{wanted}, got {label!r} at index {i} and strings")
    with named(function):
        labels = column_or_1d(labels, warn=True)
        assert_all_finite(labels, input_name="y")
        if labels.dtype.kind != "O":
            check_classification_targets(labels)
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError:
        raise DTypeError(f"{wanted}, got {labels[:5]!r}") from None


def _plain(value):
    """Return whether a value comes back from JSON as it was; a tuple may come as a list."""
    try:
        return json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
    except (TypeError, ValueError):
        return False


@contextlib.contextmanager
def named(function):
    """Put the function's name before what goes wrong, and make of scikit-learn's errors this library's."""
    try:
        yield
    except errors.FastconvError as error:
        raise type(error)(f"{function}: {error}") from None
    except ValueError as error:
        raise DataError(f"{function}: {error}") from None
    except TypeError as error:
        raise DTypeError(f"{function}: {error}") from None
