"""Layers and inputs: what a network is described with. They hold no arrays; the network does.

A shape is that of one sample: ``(length, channels)`` of a sequence, ``(n,)`` of a vector.
"""

from dataclasses import dataclass
from math import prod

from fastconv.arrays import positive
from fastconv.errors import DTypeError, RangeError, ShapeError


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


class Layer:
    """Base of the layers: what a network asks a layer for."""

    def output_shape(self, shape, codes):
        """Return the shape of the output for an input of `shape`, or raise ShapeError."""
        raise NotImplementedError

    def lower(self, shape):
        """Return the engine's operations for an input of `shape`."""
        raise NotImplementedError

    def parameter_shapes(self, shape):
        """Return the shapes of the parameters by name."""
        return {}

    def fan_in(self, shape):
        """Return the number of terms that differ from zero in an output's sum."""
        raise NotImplementedError

    receptive_width = 1
    """Input positions that one output position sees."""


@dataclass(frozen=True)
class _Convolution(Layer):
    filters: int
    kernel_size: int
    bias: bool = True

    def __post_init__(self):
        _check_sizes(self, "filters", "kernel_size")
        if not isinstance(self.bias, bool):
            raise DTypeError(f"{type(self).__name__}: bias is True or False, got {self.bias!r}")

    def output_shape(self, shape, codes):
        """Return (length - kernel_size + 1, filters)."""
        name = type(self).__name__
        if codes != (name == "OneHotConv1D"):
            raise ShapeError(
                f"{name}: expected {'a sequence' if codes else 'codes'}, got {'codes' if codes else 'numbers'}; "
                f"use {'OneHotConv1D' if codes else 'Conv1D'} here"
            )
        if len(shape) != 2:
            raise ShapeError(f"{name}: expected a sequence (length, channels), got shape {shape}")
        if shape[0] < self.kernel_size:
            raise ShapeError(f"{name}: kernel_size is {self.kernel_size}, but the input has {shape[0]} positions")
        return (shape[0] - self.kernel_size + 1, self.filters)

    def parameter_shapes(self, shape):
        """Return the shape of w, (kernel_size, channels, filters), and of b."""
        shapes = {"w": (self.kernel_size, shape[1], self.filters), "b": (self.filters,)}
        return shapes if self.bias else {"w": shapes["w"]}

    def lower(self, shape):
        """Return one convolution."""
        return [(self.kind, self.filters, self.kernel_size, self.bias)]

    @property
    def receptive_width(self):
        """kernel_size"""
        return self.kernel_size


class OneHotConv1D(_Convolution):
    """Convolution over one-hot columns, valid, stride 1: the first layer of a character ConvNet.

    Parameters
    ----------
    filters : int
        Number of filters F.
    kernel_size : int
        Width K of a filter, in characters.
    bias : bool
        Add a bias to each filter's output.

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

    def fan_in(self, shape):
        """kernel_size: of a one-hot column one entry is not zero."""
        return self.kernel_size


class Conv1D(_Convolution):
    """Convolution over sequences, valid, stride 1.

    Parameters
    ----------
    filters : int
        Number of filters F.
    kernel_size : int
        Width K of a filter, in positions.
    bias : bool
        Add a bias to each filter's output.

    Notes
    -----
    Parameters: `w` (K, C, F) for C input channels, `b` (F,). It is a cross-correlation: filters are not flipped.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.Conv1D(8, 3)], input=fc.SequenceInput(10, 4))
    >>> net.params["0.w"].shape, net.output_shape
    ((3, 4, 8), (8, 8))
    """

    kind = "conv1d"

    def fan_in(self, shape):
        """kernel_size x channels"""
        return self.kernel_size * shape[1]


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer on a vector.

    Parameters
    ----------
    units : int
        Number of outputs.
    bias : bool
        Add a bias to each output.

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

    def __post_init__(self):
        _check_sizes(self, "units")
        if not isinstance(self.bias, bool):
            raise DTypeError(f"Dense: bias is True or False, got {self.bias!r}")

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
        return [("dense", self.units, self.bias)]

    def fan_in(self, shape):
        """The vector's length."""
        return prod(shape)


@dataclass(frozen=True)
class _Parameterless(Layer):
    def output_shape(self, shape, codes):
        """Return the shape unchanged."""
        if codes:
            raise ShapeError(f"{type(self).__name__}: expected numbers, got codes; the first layer is OneHotConv1D")
        return shape


class ReLU(_Parameterless):
    """max(0, x), element by element; fused into the layer before it.

    Examples
    --------
    >>> import fastconv as fc
    >>> net = fc.Sequential([fc.ReLU()], input=fc.VectorInput(3))
    >>> net.forward([[-1, 0, 2]])
    array([[0., 0., 2.]], dtype=float32)
    """

    def lower(self, shape):
        """Return one ReLU."""
        return [("relu",)]


class Flatten(_Parameterless):
    """A sequence (length, channels) as a vector, row-major: position-major, channel-minor.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sequential([fc.Flatten()], input=fc.SequenceInput(3, 2)).output_shape
    (6,)
    """

    def output_shape(self, shape, codes):
        """Return (length * channels,)."""
        return (prod(super().output_shape(shape, codes)),)

    def lower(self, shape):
        """Return nothing: the engine's dense product flattens, and so does a network's end."""
        return []


LAYERS = (OneHotConv1D, Conv1D, Dense, ReLU, Flatten)
