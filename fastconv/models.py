"""Named architectures."""

from fastconv.errors import RangeError
from fastconv.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalMaxPool1D,
    ImageInput,
    MaxPool1D,
    MaxPool2D,
    OneHotConv1D,
    OneHotInput,
    ReLU,
)
from fastconv.network import Sequential


def surname_convnet(
    alphabet_size, length, n_classes, filters=(20, 20), widths=(5, 3), bias=False, dtype="float32", seed=0,
    dilations=None, pool_size=1,
):  # fmt: skip
    """Return the assignment's network: two convolutions with ReLU, or any number of them, and a dense layer.

    Parameters
    ----------
    alphabet_size, length, n_classes : int
        Characters, characters of a name, classes.
    filters, widths : sequence of int
        Number and width of the filters of each convolution.
    bias : bool
        Add biases to all layers (the original has none).
    dtype, seed
        As in :class:`Sequential`.
    dilations : sequence of int, optional
        Of each convolution; by default 1.
    pool_size : int
        Positions of which max-pooling keeps the largest, after each convolution; 1 leaves it out.

    Returns
    -------
    Sequential

    Raises
    ------
    RangeError
        If there are not as many widths and dilations as numbers of filters.
    ShapeError
        If the strings are too short for the convolutions.

    References
    ----------
    KTH DD2424, assignment 3; dilations, pooling, biases and further convolutions are what it proposes to add.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.surname_convnet(28, 19, 18, filters=(30, 30), widths=(5, 5)).output_shape
    (18,)
    >>> fc.models.surname_convnet(28, 19, 18, filters=(30, 30, 30), widths=(5, 5, 5), dilations=(1, 2, 1)).layers[2]
    Conv1D(filters=30, kernel_size=5, stride=1, padding=0, dilation=2, bias=False, init='he')
    """
    dilations = (1,) * len(filters) if dilations is None else dilations
    if not len(filters) == len(widths) == len(dilations):
        raise RangeError(
            f"surname_convnet: expected as many widths and dilations as filters, {len(filters)}, got {len(widths)} and "
            f"{len(dilations)}"
        )
    layers = []
    for n, width, dilation in zip(filters, widths, dilations, strict=True):
        layers.append((Conv1D if layers else OneHotConv1D)(n, width, dilation=dilation, bias=bias))
        layers += [ReLU(), *[MaxPool1D(pool_size)] * (pool_size != 1)]
    layers += [Flatten(), Dense(n_classes, bias=bias)]
    return Sequential(layers, input=OneHotInput(length, alphabet_size), dtype=dtype, seed=seed)


def char_convnet(
    alphabet_size, length, n_classes, filters=256, kernel_size=4, dropout=0.3, dtype="float32", seed=0, init=0.3
):
    """Return a network for strings of any length: one convolution, the largest of each filter, and a dense layer.

    A filter looks for a piece of a string, wherever it stands. Learning and prediction take a time in proportion to a
    string's own characters, not to `length`.

    Parameters
    ----------
    alphabet_size, length, n_classes : int
        Codes, codes of a string at most, classes.
    filters, kernel_size : int
    dropout : float
        Rate before the dense layer; 0 leaves it out.
    dtype, seed
        As in :class:`Sequential`.
    init : "he", "xavier" or float
        As in :class:`OneHotConv1D`, of the convolution.

    Returns
    -------
    Sequential

    References
    ----------
    Kim, "Convolutional neural networks for sentence classification", 2014, on characters and with one width.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.char_convnet(30, 21, 18).parameters.size
    35602
    """
    layers = [OneHotConv1D(filters, kernel_size, padding=kernel_size // 2, init=init), ReLU(), GlobalMaxPool1D()]
    layers += [*[Dropout(dropout)] * (dropout > 0), Dense(n_classes)]
    return Sequential(layers, input=OneHotInput(length, alphabet_size), dtype=dtype, seed=seed)


def cifar_convnet(
    filters=(32, 64, 64), kernel_size=5, hidden=1000, n_classes=10, shape=(32, 32, 3), dropout=0.0, batch_norm=False,
    dtype="float32", seed=0, init="he",
):  # fmt: skip
    """Return the network for CIFAR-10 (net R): same convolutions, each halved by pooling, and two dense layers.

    Parameters
    ----------
    filters : sequence of int
        Number of filters of each convolution.
    kernel_size : int
        Of all convolutions.
    hidden : int
        Units of the dense layer before the last.
    n_classes : int
    shape : tuple of int
        Of an image: (height, width, channels).
    dropout : float
        Rate of a dropout before the last layer; 0 leaves it out.
    batch_norm : bool
        Normalise after each convolution, which then has no bias of its own.
    dtype, seed
        As in :class:`Sequential`.
    init : "he", "xavier" or float
        As in :class:`Conv2D`, of all weights.

    Returns
    -------
    Sequential

    Raises
    ------
    ShapeError
        If the image is too small for that many halvings.

    References
    ----------
    Sorbonne Université, RDFIA, practical 2-cd.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.cifar_convnet().parameters.size
    1191170
    >>> fc.models.cifar_convnet(filters=(16, 32), hidden=64, shape=(8, 8, 1), dropout=0.5).output_shape
    (10,)
    """
    return _image_convnet(
        shape, filters, kernel_size, "same", (hidden,), n_classes, dropout, batch_norm, dtype, seed, init
    )


def imbalanced_cifar_convnet(
    filters=(32, 64, 128), kernel_size=3, hidden=(256, 128, 64), n_classes=10, shape=(32, 32, 3), dropout=0.0,
    batch_norm=False, dtype="float32", seed=0, init="he",
):  # fmt: skip
    """Return the network for long-tailed CIFAR-10 (net G): valid convolutions halved by pooling, and dense layers.

    Parameters
    ----------
    filters : sequence of int
        Number of filters of each convolution.
    kernel_size : int
        Of all convolutions.
    hidden : sequence of int
        Units of the dense layers before the last.
    n_classes, shape, dropout, batch_norm, dtype, seed, init
        As in :func:`cifar_convnet`.

    Returns
    -------
    Sequential

    Raises
    ------
    ShapeError
        If the image is too small for that many convolutions and halvings.

    References
    ----------
    A course of Georgia Tech, assignment 2, after Cui et al., "Class-balanced loss based on effective number of
    samples", 2019.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.models.imbalanced_cifar_convnet()
    >>> [array.shape[0] for name, array in net.params.items() if name.endswith("w")]
    [3, 3, 3, 512, 256, 128, 64]
    """
    return _image_convnet(
        shape, filters, kernel_size, "valid", hidden, n_classes, dropout, batch_norm, dtype, seed, init
    )


def _image_convnet(shape, filters, kernel_size, padding, hidden, n_classes, dropout, batch_norm, dtype, seed, init):
    """Convolutions with ReLU, each halved by max-pooling, then dense layers."""
    layers = []
    for n in filters:
        layers += [Conv2D(n, kernel_size, padding=padding, bias=not batch_norm, init=init), *[BatchNorm()] * batch_norm]
        layers += [ReLU(), MaxPool2D(2)]
    layers.append(Flatten())
    for n in hidden:
        layers += [Dense(n, init=init), ReLU()]
    layers += [*[Dropout(dropout)] * (dropout > 0), Dense(n_classes, init=init)]
    return Sequential(layers, input=ImageInput(*shape), dtype=dtype, seed=seed)
