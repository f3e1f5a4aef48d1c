"""Windows that slide over positions: kernel sizes, strides, paddings and what comes out."""

from fastconv.arrays import positive
from fastconv.errors import RangeError, ShapeError


def pair(name, value, rank=2):
    """Return `value`, one positive integer or one for each axis, as a tuple of `rank` integers.

    Raises
    ------
    RangeError
        If it is neither.

    Examples
    --------
    >>> from fastconv.geometry import pair
    >>> pair("stride", 2), pair("kernel_size", (5, 3))
    ((2, 2), (5, 3))
    """
    return tuple(positive(name, v) for v in _each(name, value, rank))


def paddings(name, value, rank=2):
    """Return `value` as a tuple with the padding of each axis: a number >= 0, "valid" or "same".

    Examples
    --------
    >>> from fastconv.geometry import paddings
    >>> paddings("padding", 2), paddings("padding", "same"), paddings("padding", (0, 1))
    ((2, 2), ('same', 'same'), (0, 1))
    """
    if isinstance(value, str):
        if value not in ("valid", "same"):
            raise RangeError(f"{name}: expected a number, a pair, 'valid' or 'same', got {value!r}")
        return (value,) * rank
    each = _each(name, value, rank)
    for v in each:
        if isinstance(v, bool) or not hasattr(v, "__index__") or v < 0:
            raise RangeError(f"{name}: expected integers >= 0, 'valid' or 'same', got {value!r}")
    return tuple(int(v) for v in each)


def window(n, kernel, stride=1, padding=0, dilation=1):
    """Return how a window slides over `n` positions.

    Parameters
    ----------
    n, kernel, stride, dilation : int
    padding : int, "valid" or "same"
        Zeros at either end; "same" pads so that ceil(n / stride) outputs come, an odd one at the end.

    Returns
    -------
    outputs, before, after : int
        Outputs, and zeros before the first and after the last position.

    Raises
    ------
    ShapeError
        If the window is wider than the padded positions.

    Examples
    --------
    >>> from fastconv.geometry import window
    >>> window(32, 5, padding="same"), window(32, 3), window(7, 2, stride=2)
    ((32, 2, 2), (30, 0, 0), (3, 0, 0))
    """
    span = (kernel - 1) * dilation + 1
    if padding == "same":
        outputs = -(-n // stride)
        total = max((outputs - 1) * stride + span - n, 0)
        return outputs, total // 2, total - total // 2
    padding = 0 if padding == "valid" else padding
    if n + 2 * padding < span:
        raise ShapeError(f"a window of {span} needs {span - 2 * padding} positions at least, got {n}")
    return (n + 2 * padding - span) // stride + 1, padding, padding


def windows(shape, kernel, stride, padding, dilation):
    """Return the outputs of each axis, and the window as :class:`fastconv.engine.Program` takes it, always in 2-D.

    Parameters
    ----------
    shape, kernel, stride, padding, dilation : tuple
        One entry an axis.

    Examples
    --------
    >>> from fastconv.geometry import windows
    >>> windows((10,), (3,), (1,), (1,), (1,))
    ((10,), ((1, 3), (1, 1), (0, 1), (0, 1), (1, 1)))
    """
    outputs, before, after = zip(*map(window, shape, kernel, stride, padding, dilation), strict=True)
    ones, zeros = (1,) * (2 - len(shape)), (0,) * (2 - len(shape))
    return outputs, (ones + kernel, ones + stride, zeros + before, zeros + after, ones + dilation)


def _each(name, value, rank):
    if not isinstance(value, (tuple, list)):
        return (value,) * rank
    if len(value) != rank:
        raise RangeError(f"{name}: expected one number or {rank}, got {value!r}")
    return tuple(value)
