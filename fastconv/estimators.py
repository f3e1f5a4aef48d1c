"""Classifiers with scikit-learn's contract: parameters by name, fit, predict, score; for its pipelines and searches."""

import contextlib
import json
import math
from numbers import Real

import numpy as np
from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from fastconv import errors, preprocess
from fastconv.arrays import positive
from fastconv.datasets.dataset import hold_out
from fastconv.errors import DataError, DTypeError, ModelFormatError, RangeError, ShapeError
from fastconv.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ImageInput, MaxPool2D, ReLU
from fastconv.losses import SoftmaxCrossEntropy
from fastconv.network import Sequential, load
from fastconv.optim import AdamW
from fastconv.schedules import OneCycle
from fastconv.training import EarlyStopping, Trainer

BLOCK = 1 << 22
"""Numbers of a block of samples that is prepared for the network at a time, in prediction."""


class NotFittedError(errors.NotFittedError, exceptions.NotFittedError):
    """A classifier has to be fitted first: this library's error, and scikit-learn's."""


class _ConvClassifier(ClassifierMixin, BaseEstimator):
    """What convolutional classifiers share: all but what a sample is, and what becomes of it.

    A subclass has the parameters that are read here, and the methods ``_check_samples(X, reset)``, which returns the
    samples as an array; ``_fit_input(x)``, which returns what ``transform``\\\\ s samples to the network's input;
    ``_network(x, n_classes, seed)``; and ``_describe_input()`` and ``_restore_input(described)`` for the model file.
    """

    augment = None

    def fit(self, X, y, sample_weight=None):
        """Train on labelled samples.

        Parameters
        ----------
        X : samples
            As the class describes them.
        y : (N,) array
            Labels of at least two classes, of any one kind that can be sorted: integers, strings, truth values, dates.
        sample_weight : (N,) array, optional
            How much each sample counts in the loss, finite and >= 0. In validation all count alike.

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
        epochs = positive("fit: epochs", self.epochs)
        patience = positive("fit: n_iter_no_change", self.n_iter_no_change)
        again = self.warm_start and self.__sklearn_is_fitted__()
        known = self.classes_ if again else None
        x, classes, codes, weights = self._check(X, y, sample_weight, known, not again, "fit")
        random = check_random_state(self.random_state)
        seed, validation, callbacks = random.randint(2**31), None, []
        if self.early_stopping:
            rows, held_out = self._split(codes, random)
            validation, callbacks = (x[held_out], codes[held_out]), [EarlyStopping(patience)]
            x, codes, weights = x[rows], codes[rows], None if weights is None else weights[rows]
        rate = self.learning_rate
        if not callable(rate):
            rate = OneCycle(rate, epochs * -(-len(x) // positive("fit: batch_size", self.batch_size)))
        self._start(x, classes, rate, seed, again)
        trainer, self._trainer = self._trainer, None
        if validation:
            validation = self.preprocess_.transform(validation[0]), validation[1]
        trainer.fit(
            self.preprocess_.transform(x), codes, epochs, validation=validation, callbacks=callbacks,
            progress=bool(self.verbose), sample_weight=weights,
        )  # fmt: skip
        for stopping in callbacks:
            stopping.restore(self.network_)
        return self

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train one epoch on labelled samples, going on where the last call stopped.

        The first call starts from what :meth:`fit` has left, or anew; then it fits the preprocessing to its samples,
        and needs the classes. From call to call the optimiser keeps its state, and the parameters of training their
        values of the first. The learning rate stays what it is; `epochs` and early stopping play no part.

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
            As for :meth:`fit`; if `classes` is missing from the first call, or differs in a later one; if class_weight
            is "balanced", for which all labels are needed at once.
        """
        again = self.__sklearn_is_fitted__()
        if classes is None and not again:
            raise DataError("partial_fit: expected classes in the first call, got None")
        if isinstance(self.class_weight, str):
            raise RangeError(f"partial_fit: class_weight is a dict or None, got {self.class_weight!r}")
        known = self.classes_ if classes is None else _sorted(classes, "partial_fit: classes")[0]
        if again and not np.array_equal(known, self.classes_):
            raise RangeError(f"partial_fit: the classes are {self.classes_.tolist()}, got {known.tolist()}")
        x, classes, codes, weights = self._check(X, y, sample_weight, known, not again, "partial_fit")
        if not again or self._trainer is None:
            self._start(x, classes, self.learning_rate, check_random_state(self.random_state).randint(2**31), again)
        self._trainer.fit(
            self.preprocess_.transform(x), codes, epochs=1, progress=bool(self.verbose), sample_weight=weights
        )
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
        classes = self.classes_.tolist()
        if not _plain(classes):
            raise DTypeError(f"save: expected labels that are strings, numbers or truth values, got {classes[0]!r}")
        parameters = {name: value.item() if isinstance(value, np.generic) else value
                      for name, value in self.get_params(deep=False).items()}  # fmt: skip
        self.network_.metadata = {
            "estimator": type(self).__name__,
            "parameters": {name: value for name, value in parameters.items() if _plain(value)},
            "classes": classes,
            "input": self._describe_input(),
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
            described = net.metadata
            if described["estimator"] != cls.__name__:
                raise ValueError(f"it is of {described['estimator']}")
            parameters = described["parameters"].items()
            fitted = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in parameters})
            fitted.classes_ = np.array(described["classes"])
            if fitted.classes_.shape != net.output_shape or fitted.classes_.tolist() != described["classes"]:
                raise ValueError("the classes do not fit the network")
            fitted.network_, fitted._trainer = net, None
            fitted._restore_input(described["input"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelFormatError(f"{path}: not a model file of {cls.__name__}: {error!r}") from None
        return fitted

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    def _check_fitted(self, function):
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"{function}: this {type(self).__name__} has not been fitted")

    def _check(self, X, y, sample_weight, known, reset, function):
        """Return samples, classes, the index of each sample's class, and weights or None."""
        labels, codes = _sorted(y, function)
        with _named(function):
            x = self._check_samples(X, reset)
            check_consistent_length(x, codes, sample_weight)
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

    def _start(self, x, classes, rate, seed, again):
        """Set a trainer of the network that there is, or of a new one, and what it needs."""
        weight = self.class_weight
        if isinstance(weight, dict):
            with _named("class_weight"):
                weight = compute_class_weight(weight, classes=classes, y=classes)
        loss = SoftmaxCrossEntropy(weight, self.label_smoothing)
        net = self.network_ if again else self._network(x, len(classes), seed)
        optimizer = AdamW(rate, weight_decay=self.weight_decay)
        trainer = Trainer(net, loss, optimizer, self.batch_size, self.threads, seed, augment=self.augment)
        if not again:
            self.preprocess_ = self._fit_input(x)
        self.network_, self.classes_, self.history_, self._trainer = net, classes, trainer.history, trainer

    def _run(self, X, function):
        """Return what the network's method of that name makes of the samples."""
        self._check_fitted(function)
        with _named(function):
            x = self._check_samples(X, False)
        step = max(1, BLOCK * len(x) // x.size)
        blocks = (self.preprocess_.transform(x[i : i + step]) for i in range(0, len(x), step))
        return np.concatenate([getattr(self.network_, function)(block, self.threads) for block in blocks])


class ImageConvClassifier(_ConvClassifier):
    """A ConvNet that tells the class of small images.

    Images are standardised channel by channel with the mean and deviation of the training images. Then come
    convolutions with zero padding ("same"), each followed by batch normalisation, ReLU and 2 x 2 max-pooling, dense
    layers with ReLU, and a dense layer with softmax. Along an axis of less than 4 pixels nothing is pooled.

    Parameters
    ----------
    filters : int or tuple of int, optional
        Filters of each convolution; by default 32, 64, 128, or less of these where so many poolings would leave less
        than 2 pixels: for 8 x 8 images 32, 64.
    kernel_size : int or (int, int)
    hidden : int or tuple of int
        Units of the dense layer between convolutions and classes, or of several; () for none.
    dropout : float
        Rate before every dense layer, in [0, 1).
    batch_norm : bool
        Normalise what convolutions give.
    epochs : int
        Times that :meth:`fit` goes over the training images.
    batch_size : int
    learning_rate : float or callable
        Of AdamW. A number is the highest rate of one cycle over all epochs (:class:`fastconv.schedules.OneCycle`); in
        :meth:`partial_fit`, the rate. Of a schedule of :mod:`fastconv.schedules`, or any function of the update, the
        rate is taken as it is.
    weight_decay : float
        Of AdamW.
    label_smoothing : float
        In [0, 1), as in :class:`SoftmaxCrossEntropy`.
    class_weight : None, "balanced" or dict
        The weight of each label, 1 where the dict has none; "balanced" is N / (K n_y).
    augment : list of Augmentation, optional
        What is done with the training images at random, after standardisation (:mod:`fastconv.augment`).
    early_stopping : bool
        Hold part of the training images out and stop when their accuracy gets no better; the best parameters stay.
    validation_fraction : float
        What is held out of each class, in (0, 1); not all of it.
    n_iter_no_change : int
        Epochs without a better accuracy after which training stops.
    warm_start : bool
        Go on from the fitted parameters, if there are any, when :meth:`fit` is called: images and labels must be of the
        kind that they were, and are standardised as they were.
    image_shape : (height, width) or (height, width, channels), optional
        What the rows of a table are, row-major; one number may be -1, what is left. By default square, one channel.
    threads : int, optional
        By default all that are allowed; the result does not depend on it.
    verbose : bool
        Show a progress bar.
    random_state : int, RandomState or None
        Of initial parameters, order, dropout, augmentation and what is held out. The same int, the same bits.

    Attributes
    ----------
    classes_ : (K,) array
        The labels, sorted.
    n_features_in_ : int
        Numbers of an image, height x width x channels.
    network_ : Sequential
        Its last layer gives the logits.
    preprocess_ : Standardize
    history_ : History
        Of the last :meth:`fit`, or of all :meth:`partial_fit` since; not of a loaded classifier.

    Notes
    -----
    X is (N, height, width, channels), or (N, height, width), of uint8 or any other real dtype. For what works with
    tables alone, as much of scikit-learn does, it may be (N, features) with an image in each row. The range of the
    numbers, 0 to 255 or 0 to 1, does not matter; but it must be one in training and prediction. Training takes a copy
    of the images in float32.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015; Loshchilov and Hutter, "Decoupled weight decay regularization",
    2019; Smith and Topin, "Super-convergence", 2018.

    Examples
    --------
    >>> import fastconv as fc
    >>> d = fc.datasets.load_digits()
    >>> clf = fc.ImageConvClassifier(epochs=5, random_state=0).fit(d.data[d.train], d.target[d.train])
    >>> clf.score(d.data[d.validation], d.target[d.validation]) > 0.95
    True

    Its parameters are searched as those of any other classifier:

    >>> from sklearn.model_selection import GridSearchCV
    >>> grid = {"filters": [(4,), (8,)], "batch_norm": [True, False]}
    >>> search = GridSearchCV(fc.ImageConvClassifier(epochs=2, hidden=16, random_state=0), grid, cv=2)
    >>> sorted(search.fit(d.data[:200], d.target[:200]).best_params_)
    ['batch_norm', 'filters']
    """

    def __init__(
        self, filters=None, kernel_size=3, hidden=128, dropout=0.25, batch_norm=True, epochs=20, batch_size=64,
        learning_rate=0.005, weight_decay=0.01, label_smoothing=0.0, class_weight=None, augment=None,
        early_stopping=False, validation_fraction=0.1, n_iter_no_change=10, warm_start=False, image_shape=None,
        threads=None, verbose=False, random_state=None,
    ):  # fmt: skip
        self.filters = filters
        self.kernel_size = kernel_size
        self.hidden = hidden
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.image_shape = image_shape
        self.threads = threads
        self.verbose = verbose
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _check_samples(self, X, reset):
        """Return images (N, H, W, C), of the network's input where one is fitted."""
        x = X if hasattr(X, "ndim") else np.asarray(X)
        shape = None if reset else self.network_.input.shape
        if x.ndim > 2:
            found = (*x.shape[1:], 1)[:3] if x.ndim < 5 else x.shape[1:]
            if x.ndim > 4 or (shape is not None and found != shape):
                wanted = "height, width, channels" if shape is None else ", ".join(map(str, shape))
                raise ShapeError(f"expected images (N, {wanted}), got {x.shape}")
            shape, x = found, np.asarray(x).reshape(len(x), math.prod(found))
        elif x.ndim == 2 and shape is None:
            shape = self._image_shape(x.shape[1])
        x = validate_data(self, x, reset=reset)
        return x.reshape(len(x), *shape)

    def _image_shape(self, n):
        """Return the shape of an image that is a row of n numbers."""
        if self.image_shape is None:
            if math.isqrt(n) ** 2 != n:
                raise ShapeError(
                    f"expected images (N, height, width, channels), or rows of square images; for rows of {n} numbers "
                    "give image_shape=(height, width, channels)"
                )
            return (math.isqrt(n), math.isqrt(n), 1)
        try:
            height, width, channels = (*self.image_shape, 1) if len(self.image_shape) == 2 else self.image_shape
            return np.empty(n, np.bool_).reshape(height, width, channels).shape
        except (TypeError, ValueError):
            raise ShapeError(f"expected an image_shape for rows of {n} numbers, got {self.image_shape!r}") from None

    def _network(self, x, n_classes, seed):
        (height, width), filters = x.shape[1:3], self.filters
        if filters is None:
            filters = (32, 64, 128)[: max(1, int(math.log2(max(height, width))) - 1)]
        layers = []
        for n in _several(filters):
            layers += [Conv2D(n, self.kernel_size, padding="same", bias=not self.batch_norm)]
            layers += [BatchNorm(), ReLU()] if self.batch_norm else [ReLU()]
            pool = 2 if height >= 4 else 1, 2 if width >= 4 else 1
            if pool != (1, 1):
                layers.append(MaxPool2D(pool))
            height, width = height // pool[0], width // pool[1]
        layers.append(Flatten())
        for units in _several(self.hidden):
            layers += [Dropout(self.dropout), Dense(units), ReLU()]
        layers += [Dropout(self.dropout), Dense(n_classes)]
        return Sequential(layers, ImageInput(*x.shape[1:]), seed=seed)

    def _fit_input(self, x):
        return preprocess.Standardize(per="channel").fit(x)

    def _describe_input(self):
        described = self.preprocess_.to_dict()
        return described | {"arrays": {name: array.tolist() for name, array in described["arrays"].items()}}

    def _restore_input(self, described):
        shape = self.network_.input.shape
        self.preprocess_ = preprocess.from_dict(described)
        self.preprocess_.transform(np.empty((0, *shape)))
        self.n_features_in_ = math.prod(shape)


def _sorted(labels, function):
    """Return the classes of labels, sorted, and the index of each label's class; or raise an error."""
    with _named(function):
        labels = column_or_1d(labels, warn=True)
        assert_all_finite(labels, input_name="y")
        if labels.dtype.kind != "O":
            check_classification_targets(labels)
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError:
        raise DTypeError(f"{function}: expected labels of one kind that can be sorted, got {labels[:5]!r}") from None


def _several(value):
    """Return a tuple of one value, or the values that are given already."""
    return value if isinstance(value, (tuple, list)) else (value,)


def _plain(value):
    """Return whether a value comes back from JSON as it was; a tuple may come as a list."""
    try:
        return json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value)
    except (TypeError, ValueError):
        return False


@contextlib.contextmanager
def _named(function):
    """Put the function's name before what goes wrong, and make of scikit-learn's errors this library's."""
    try:
        yield
    except errors.FastconvError as error:
        raise type(error)(f"{function}: {error}") from None
    except ValueError as error:
        raise DataError(f"{function}: {error}") from None
    except TypeError as error:
        raise DTypeError(f"{function}: {error}") from None
