"""The errors that fastconv raises, each a ValueError or a TypeError too."""


class FastconvError(Exception):
    """Base of the errors below."""


class ShapeError(FastconvError, ValueError):
    """An array, or a layer's input, does not have the shape that is needed."""


class RangeError(FastconvError, ValueError):
    """A number, a label or a code lies outside its range."""


class DTypeError(FastconvError, TypeError):
    """An array or an argument is of the wrong type."""


class DataError(FastconvError, ValueError):
    """A data file is missing, empty or malformed."""


class ModelFormatError(FastconvError, ValueError):
    """A file is not a model file of this library, or is damaged."""


class NonFiniteLossError(FastconvError, ValueError):
    """The training loss is no longer a finite number."""


class NotFittedError(FastconvError, ValueError):
    """What has to be fitted first has not been."""
