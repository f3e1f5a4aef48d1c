"""ImageConvClassifier."""

import math

import numpy as np
from sklearn.utils.validation import validate_data

from fastconv import preprocess
from fastconv.errors import ShapeError
from fastconv.estimators.base import ConvClassifier
from fastconv.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ImageInput, MaxPool2D, ReLU
from fastconv.network import Sequential


class ImageConvClassifier(ConvClassifier):
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

    def _network(self, x, encoder, n_classes, seed):
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

    def _describe(self):
        described = self.preprocess_.to_dict()
        return {"input": described | {"arrays": {name: array.tolist() for name, array in described["arrays"].items()}}}

    def _restore(self, metadata):
        shape = self.network_.input.shape
        self._nets = [self.network_]
        self.preprocess_ = preprocess.from_dict(metadata["input"])
        self.preprocess_.transform(np.empty((0, *shape)))
        self.n_features_in_ = math.prod(shape)
        return ["input"]


def _several(value):
    """Return a tuple of one value, or the values that are given already."""
    return value if isinstance(value, (tuple, list)) else (value,)
