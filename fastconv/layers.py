"""Layers and inputs: what a network is described with. They hold no arrays; the network does.

A shape is that of one sample: ``(height, width, channels)`` of an image, ``(length, channels)`` of a sequence, ``(n,)``
of a vector.
"""

import math
from dataclasses import dataclass
from math import prod
from numbers import Real

from fastconv.arrays import positive
from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.geometry import paddings, pair, windows


def _check_sizes(described, *fields):
    """Make the named fields of a frozen description positive integers, or raise RangeError."""
    for field in fields:
        size = positive(f"{type(described).__name__}: {field}", getattr(described, field))
        object.__setattr__(described, field, size)


@dataclass(frozen=True)
class OneHotInput:
    """Codes (N, length) int16: character indices below `depth`, -1 for no character.

    Parameters
    ----------
    length : int
        Characters of a sample.
    depth : int
        Size of the alphabet, at most 32,767.
    """

    length: int
    depth: int
    codes = True

    def __post_init__(self):
        _check_sizes(self, "length", "depth")
        if self.depth > 32767:
            raise RangeError(f"OneHotInput: depth is at most 32767, got {self.depth}")

    @property
    def shape(self):
        """(length, depth)"""
        return (self.length, self.depth)


@dataclass(frozen=True)
class SequenceInput:
    """Sequences (N, length, channels) of floating-point numbers.

    Parameters
    ----------
    length, channels : int
    """

    length: int
    channels: int
    codes = False

    def __post_init__(self):
        _check_sizes(self, "length", "channels")

    @property
    def shape(self):
        """(length, channels)"""
        return (self.length, self.channels)


@dataclass(frozen=True)
class VectorInput:
    """Vectors (N, n) of floating-point numbers.

    Parameters
    ----------
    n : int
    """

    n: int
    codes = False

    def __post_init__(self):
        _check_sizes(self, "n")

    @property
    def shape(self):
        """(n,)"""
        return (self.n,)


@dataclass(frozen=True)
class ImageInput:
    """Images (N, height, width, channels) of floating-point numbers.

    Parameters
    ----------
    height, width, channels : int
    """

    height: int
    width: int
    channels: int
    codes = False

    def __post_init__(self):
        _check_sizes(self, "height", "width", "channels")

    @property
    def shape(self):
        """(height, width, channels)"""
        return (self.height, self.width, self.channels)


INPUTS = (OneHotInput, SequenceInput, VectorInput, ImageInput)


class Layer:
    """Base of the layers: what a network asks a layer for."""

    def output_shape(self, shape, codes):
        """Return the shape of the output for an input of `shape`, or raise ShapeError."""
        raise NotImplementedError

    def lower(self, shape):
        """Return the engine's operation for an input of `shape`."""
        raise NotImplementedError

    def parameter_shapes(self, shape):
        """Return the shapes of the parameters by name."""
        return {}

    def state_shapes(self, shape):
        """Return the shapes of what training keeps besides the parameters, by name."""
        return {}

    def deviation(self, shape):
        """Return the standard deviation of the weights' initial values."""
        raise NotImplementedError

    receptive = None
    """(size, stride) along each axis of the window that one output sees, or None for one position."""


def _checked_init(layer):
    init = layer.init
    number = isinstance(init, Real) and not isinstance(init, bool) and math.isfinite(init) and init >= 0
    if not number and not (isinstance(init, str) and init in ("he", "xavier")):
        raise RangeError(f"{type(layer).__name__}: init is 'he', 'xavier' or a deviation >= 0, got {init!r}")
    if number:
        object.__setattr__(layer, "init", float(init))


def _deviation(init, fan_in, fan_out):
    """He et al. (2015), equation (10); Glorot and Bengio (2010), equation (12), in its normal form; or the number."""
    if init == "he":
        return math.sqrt(2 / fan_in)
    return math.sqrt(2 / (fan_in + fan_out)) if init == "xavier" else abs(float(init))


def _checked_bias(layer):
    if not isinstance(layer.bias, bool):
        raise DTypeError(f"{type(layer).__name__}: bias is True or False, got {layer.bias!r}")


class _Window(Layer):
    """A layer that slides a window over positions or pixels: `rank` axes, then channels."""

    def _window(self, shape):
        """Return the sizes of the output's axes and the engine's window."""
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        kernel, stride, padding, dilation = (s if isinstance(s, tuple) else (s,) * self.rank for s in sizes)
        return windows(shape[: self.rank], kernel, stride, padding, dilation)

    def _normalise(self, *fields):
        """Make the named fields one number, or a tuple where the axes differ."""
        for field in fields:
            read = paddings if field == "padding" else pair
            each = read(f"{type(self).__name__}: {field}", getattr(self, field), self.rank)
            object.__setattr__(self, field, each[0] if len(set(each)) == 1 else each)

    def output_shape(self, shape, codes):
        """Return the positions that the window takes, and the channels."""
        name = type(self).__name__
        axes = "a sequence (length, channels)" if self.rank == 1 else "an image (height, width, channels)"
        if codes:
            raise ShapeError(f"{name}: expected {axes}, got codes; use OneHotConv1D or Embedding first")
        if len(shape) != self.rank + 1:
            raise ShapeError(f"{name}: expected {axes}, got shape {shape}")
        try:
            outputs, _ = self._window(shape)
        except ShapeError as error:
            raise ShapeError(f"{name}: {error} (kernel {self.kernel_size}, input {shape})") from None
        return (*outputs, self._channels(shape))

    @property
    def receptive(self):
        """(size, stride) along each axis."""
        span = [(k - 1) * d + 1 for k, d in zip(self._each("kernel_size"), self._each("dilation"), strict=True)]
        return list(zip(span, self._each("stride"), strict=True))

    def _each(self, field):
        value = getattr(self, field)
        return value if isinstance(value, tuple) else (value,) * self.rank


@dataclass(frozen=True)
class _Convolution(_Window):
    filters: int
    kernel_size: int
    stride: int = 1
    padding: int | str = 0
    dilation: int = 1
    bias: bool = True
    init: str | float = "he"

    def __post_init__(self):
        _check_sizes(self, "filters")
        self._normalise("kernel_size", "stride", "padding", "dilation")
        _checked_bias(self)
        _checked_init(self)

    def _channels(self, shape):
        return self.filters

    def parameter_shapes(self, shape):
        """Return the shape of w, (kernel size, channels, filters), and of b."""
        shapes = {"w": (*self._each("kernel_size"), shape[-1], self.filters), "b": (self.filters,)}
        return shapes if self.bias else {"w": shapes["w"]}

    def lower(self, shape):
        """Return one convolution."""
        return (self.kind, self.filters, self._window(shape)[1], self.bias)

    def deviation(self, shape):
        """Fan-in: kernel size x channels; fan-out: kernel size x filters."""
        size = prod(self._each("kernel_size"))
        return _deviation(self.init, size * (1 if self.kind == "onehot_conv1d" else shape[-1]), size * self.filters)


class OneHotConv1D(_Convolution):
    """Convolution over one-hot columns: the first layer of a character ConvNet.

    Parameters
    ----------
    filters : int
        Number of filters F.
    kernel_size : int
        Width K of a filter, in characters.
    stride : int
        Characters from one output to the next.
    padding : int, "valid" or "same"
        Zero columns at either end; "same": as many as give ceil(length / stride) outputs.
    dilation : int
        Characters from one tap of a filter to the next.
    bias : bool
        Add a bias to each filter's output.
    init : "he", "xavier" or float
        The deviation of the normal initial weights: sqrt(2 / fan-in), sqrt(2 / (fan-in + fan-out)), or this number. Of
        a one-hot column one entry is not zero, so that fan-in is K.

    Notes
    -----
    Parameters: `w` (K, V, F) for an alphabet of V characters, `b` (F,). The one-hot columns are never formed: a
    character's code selects a row of `w`.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.OneHotConv1D(20, 5)], input=fc.OneHotInput(length=19, depth=28))
    >>> net.params["0.w"].shape, net.output_shape
    ((5, 28, 20), (15, 20))
    """

    kind = "onehot_conv1d"
    rank = 1

    def output_shape(self, shape, codes):
        """Return (positions, filters)."""
        if not codes:
            raise ShapeError("OneHotConv1D: expected codes, got numbers; use Conv1D here")
        return super().output_shape(shape, False)


class Conv1D(_Convolution):
    """Convolution over sequences.

    Parameters
    ----------
    filters : int
        Number of filters F.
    kernel_size : int
        Width K of a filter, in positions.
    stride, padding, dilation, bias, init
        As in :class:`OneHotConv1D`; fan-in is K C.

    Notes
    -----
    Parameters: `w` (K, C, F) for C input channels, `b` (F,). It is a cross-correlation: filters are not flipped.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Conv1D(8, 3, padding="same")], input=fc.SequenceInput(10, 4))
    >>> net.params["0.w"].shape, net.output_shape
    ((3, 4, 8), (10, 8))
    """

    kind = "conv1d"
    rank = 1


class Conv2D(_Convolution):
    """Convolution over images.

    Parameters
    ----------
    filters : int
        Number of filters F.
    kernel_size : int or (int, int)
        Lines and pixels of a line (KH, KW) of a filter.
    stride, dilation : int or (int, int)
    padding : int, (int, int), "valid" or "same"
        Zero lines above and below, zero pixels left and right; "same": as many as give ceil(size / stride) outputs, an
        odd one below or right.
    bias : bool
    init : "he", "xavier" or float
        As in :class:`OneHotConv1D`; fan-in is KH KW C.

    Notes
    -----
    Parameters: `w` (KH, KW, C, F), `b` (F,). It is a cross-correlation: filters are not flipped.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Conv2D(32, 5, padding=2)], input=fc.ImageInput(32, 32, 3))
    >>> net.params["0.w"].shape, net.output_shape
    ((5, 5, 3, 32), (32, 32, 32))
    """

    kind = "conv2d"
    rank = 2


@dataclass(frozen=True)
class _Pooling(_Window):
    pool_size: int = 2
    stride: int | None = None

    def __post_init__(self):
        if self.stride is None:
            object.__setattr__(self, "stride", self.pool_size)
        self._normalise("pool_size", "stride")

    padding, dilation = 0, 1

    @property
    def kernel_size(self):
        """The size of the window."""
        return self.pool_size

    def _channels(self, shape):
        return shape[-1]

    def lower(self, shape):
        """Return one pooling."""
        return (self.kind, self._window(shape)[1])


class MaxPool1D(_Pooling):
    """The largest of each window of positions, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    pool_size : int
    stride : int, optional
        By default `pool_size`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.MaxPool1D(2)], input=fc.SequenceInput(7, 4)).output_shape
    (3, 4)
    """

    kind = "max_pool"
    rank = 1


class MaxPool2D(_Pooling):
    """The largest of each window of pixels, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        By default `pool_size`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.MaxPool2D(2)], input=fc.ImageInput(13, 13, 64)).output_shape
    (6, 6, 64)
    """

    kind = "max_pool"
    rank = 2


class AvgPool2D(_Pooling):
    """The mean of each window of pixels, channel by channel; an incomplete last window is dropped.

    Parameters
    ----------
    pool_size : int or (int, int)
    stride : int or (int, int), optional
        By default `pool_size`.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.AvgPool2D(2)], input=fc.ImageInput(2, 2, 1))
    >>> net.forward([[[[1.0], [2.0]], [[3.0], [6.0]]]]).tolist()
    [[[[3.0]]]]
    """

    kind = "avg_pool"
    rank = 2


@dataclass(frozen=True)
class GlobalMaxPool1D(Layer):
    """The largest of each channel over all positions of a sequence; of a string's, those that see a character of it.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.GlobalMaxPool1D()], input=fc.SequenceInput(7, 4)).output_shape
    (4,)
    """

    receptive = "all"

    def output_shape(self, shape, codes):
        """Return (channels,)."""
        if codes or len(shape) != 2:
            raise ShapeError(f"GlobalMaxPool1D: expected a sequence, got {'codes' if codes else f'shape {shape}'}")
        return shape[1:]

    def lower(self, shape):
        """Return one pooling."""
        return ("global_max_pool1d",)


@dataclass(frozen=True)
class Embedding(Layer):
    """A vector for each character, learnt; zeros where there is no character.

    Parameters
    ----------
    dimension : int
        Length D of a vector.
    init : "he", "xavier" or float
        The deviation of the normal initial vectors.

    Notes
    -----
    Parameter: `w` (V, D) for an alphabet of V characters.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Embedding(8)], input=fc.OneHotInput(length=19, depth=28))
    >>> net.params["0.w"].shape, net.output_shape
    ((28, 8), (19, 8))
    """

    dimension: int
    init: str | float = 1.0

    def __post_init__(self):
        _check_sizes(self, "dimension")
        _checked_init(self)

    def output_shape(self, shape, codes):
        """Return (length, dimension)."""
        if not codes:
            raise ShapeError("Embedding: expected codes, got numbers")
        return (shape[0], self.dimension)

    def parameter_shapes(self, shape):
        """Return the shape of w, (alphabet size, dimension)."""
        return {"w": (shape[1], self.dimension)}

    def lower(self, shape):
        """Return a convolution of width 1."""
        return ("onehot_conv1d", self.dimension, windows(shape[:1], (1,), (1,), (0,), (1,))[1], False)

    def deviation(self, shape):
        """Fan-in 1, fan-out the dimension."""
        return _deviation(self.init, 1, self.dimension)


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer on a vector.

    Parameters
    ----------
    units : int
        Number of outputs.
    bias : bool
        Add a bias to each output.
    init : "he", "xavier" or float
        As in :class:`OneHotConv1D`; fan-in is the vector's length.

    Notes
    -----
    Parameters: `w` (in, units), `b` (units,).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.Dense(10)], input=fc.VectorInput(64)).params["0.w"].shape
    (64, 10)
    """

    units: int
    bias: bool = True
    init: str | float = "he"
    receptive = "all"

    def __post_init__(self):
        _check_sizes(self, "units")
        _checked_bias(self)
        _checked_init(self)

    def output_shape(self, shape, codes):
        """Return (units,)."""
        if codes or len(shape) != 1:
            raise ShapeError(
                f"Dense: expected a vector, got {'codes' if codes else 'shape'} {shape}; put Flatten before"
            )
        return (self.units,)

    def parameter_shapes(self, shape):
        """Return the shape of w, (in, units), and of b."""
        shapes = {"w": (shape[0], self.units), "b": (self.units,)}
        return shapes if self.bias else {"w": shapes["w"]}

    def lower(self, shape):
        """Return one product."""
        return ("dense", self.units, self.bias)

    def deviation(self, shape):
        """Fan-in: the vector's length; fan-out: the units."""
        return _deviation(self.init, shape[0], self.units)


class _SameShape(Layer):
    def output_shape(self, shape, codes):
        """Return the shape unchanged."""
        if codes:
            name = type(self).__name__
            raise ShapeError(f"{name}: expected numbers, got codes; the first layer is OneHotConv1D or Embedding")
        return shape


@dataclass(frozen=True)
class BatchNorm(_SameShape):
    """Batch normalisation: y = gamma (x - mean) / sqrt(var + eps) + beta, channel by channel.

    In training `mean` and `var` are those of the batch, over all its samples and positions, the variance divided by
    their number n (not n - 1); in prediction the running ones.

    Parameters
    ----------
    momentum : float
        What the running mean and variance keep of themselves at each update, in [0, 1).
    eps : float

    Notes
    -----
    Parameters: `gamma`, `beta` (C,). State, in ``net.state``: `mean`, `var` (C,). Behind Flatten a channel is one
    element of the vector.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", 2015, algorithm 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dense(3, bias=False), fc.BatchNorm(), fc.ReLU()], input=fc.VectorInput(2))
    >>> list(net.params), list(net.state)
    (['0.w', '1.gamma', '1.beta'], ['1.mean', '1.var'])
    """

    momentum: float = 0.9
    eps: float = 1e-5

    def __post_init__(self):
        if isinstance(self.momentum, bool) or not isinstance(self.momentum, Real) or not 0 <= self.momentum < 1:
            raise RangeError(f"BatchNorm: momentum lies in [0, 1), got {self.momentum!r}")
        if isinstance(self.eps, bool) or not isinstance(self.eps, Real) or not 0 < self.eps < math.inf:
            raise RangeError(f"BatchNorm: eps is positive, got {self.eps!r}")
        object.__setattr__(self, "momentum", float(self.momentum))
        object.__setattr__(self, "eps", float(self.eps))

    def parameter_shapes(self, shape):
        """Return the shapes of gamma and beta, (channels,)."""
        return {"gamma": shape[-1:], "beta": shape[-1:]}

    def state_shapes(self, shape):
        """Return the shapes of the running mean and variance, (channels,)."""
        return {"mean": shape[-1:], "var": shape[-1:]}

    def lower(self, shape):
        """Return one normalisation."""
        return ("batch_norm", self.momentum, self.eps)


@dataclass(frozen=True)
class Dropout(_SameShape):
    """Inverted dropout: in training each element is zero with probability `rate` and x / (1 - rate) otherwise.

    Parameters
    ----------
    rate : float
        In [0, 1).

    Notes
    -----
    The random numbers are counter-based, keyed by the trainer's seed, the update, the layer and the sample's place in
    its batch: they depend neither on the number of threads nor on what was drawn before.

    References
    ----------
    Srivastava et al., "Dropout", 2014. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Dropout(0.5)], input=fc.VectorInput(3))
    >>> net.forward([[1.0, 2.0, 3.0]]).tolist()
    [[1.0, 2.0, 3.0]]
    """

    rate: float = 0.5

    def __post_init__(self):
        if isinstance(self.rate, bool) or not isinstance(self.rate, Real) or not 0 <= self.rate < 1:
            raise RangeError(f"Dropout: rate lies in [0, 1), got {self.rate!r}")
        object.__setattr__(self, "rate", float(self.rate))

    def lower(self, shape):
        """Return one dropout."""
        return ("dropout", self.rate)


@dataclass(frozen=True)
class ReLU(_SameShape):
    """max(0, x), element by element; fused into the convolution, dense layer or normalisation before it.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.ReLU()], input=fc.VectorInput(3))
    >>> net.forward([[-1, 0, 2]])
    array([[0., 0., 2.]], dtype=float32)
    """

    def lower(self, shape):
        """Return one ReLU."""
        return ("relu",)


@dataclass(frozen=True)
class Sigmoid(_SameShape):
    """1 / (1 + exp(-x)), element by element.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.Sigmoid()], input=fc.VectorInput(1)).forward([[0]])
    array([[0.5]], dtype=float32)
    """

    def lower(self, shape):
        """Return one sigmoid."""
        return ("sigmoid",)


@dataclass(frozen=True)
class Tanh(_SameShape):
    """tanh(x), element by element.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.Tanh()], input=fc.VectorInput(1)).forward([[0]])
    array([[0.]], dtype=float32)
    """

    def lower(self, shape):
        """Return one hyperbolic tangent."""
        return ("tanh",)


@dataclass(frozen=True)
class Flatten(_SameShape):
    """An image or a sequence as a vector, row-major: position-major, channel-minor.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.Flatten()], input=fc.SequenceInput(3, 2)).output_shape
    (6,)
    """

    def output_shape(self, shape, codes):
        """Return (height * width * channels,)."""
        return (prod(super().output_shape(shape, codes)),)

    def lower(self, shape):
        """Return what the engine leaves out before a dense product."""
        return ("flatten",)


LAYERS = (
    OneHotConv1D, Conv1D, Conv2D, MaxPool1D, MaxPool2D, AvgPool2D, GlobalMaxPool1D, Embedding, Dense, BatchNorm,
    Dropout, ReLU, Sigmoid, Tanh, Flatten,
)  # fmt: skip
