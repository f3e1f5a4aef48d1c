"""Arguments that come in, checked: numbers in range, arrays of one dtype."""

import numpy as np

from fastconv.errors import DTypeError, RangeError, ShapeError
from fastconv.kernels.encode import extremes


def positive(name, value):
    """Return `value` as an int, or raise RangeError if it is not a positive integer."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise RangeError(f"{name}: expected a positive integer, got {value!r}")
    return int(value)


def whole(name, value):
    """Return `value` as an int, or raise RangeError if it is not an integer >= 0."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise RangeError(f"{name}: expected an integer >= 0, got {value!r}")
    return int(value)


def checked_seed(name, value):
    """Return `value` as an int, or raise RangeError if it is not an integer >= 0."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 0:
        raise RangeError(f"{name}: seed is an integer >= 0, got {value!r}")
    return int(value)


def aligned_zeros(size, dtype):
    """Return a zero vector that starts at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * dtype.itemsize].view(dtype)


def contiguous(x, dtype):
    """Return `x` as a contiguous array of `dtype` with its elements aligned, as C expects them."""
    x = np.ascontiguousarray(x, dtype)
    return x if x.flags.aligned else x.copy()


def floats_array(x, dtype, function, name):
    """Return `x` as a contiguous array of `dtype`, or raise an error if it holds other things or larger numbers."""
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"{function}: expected {name} of numbers, got dtype {x.dtype}")
    try:
        with np.errstate(over="raise"):
            return contiguous(x, dtype)
    except FloatingPointError:
        raise RangeError(f"{function}: {name} holds numbers beyond {np.dtype(dtype).name}") from None


def codes_array(x, depth, function):
    """Return `x` as contiguous int16 codes -1..depth-1, or raise an error that names what is wrong."""
    if x.dtype.kind not in "iu":
        raise DTypeError(f"{function}: expected codes of an integer dtype, got {x.dtype}")
    if x.dtype == np.int16:
        x = contiguous(x, np.int16)
        low, high = extremes(x)
    else:
        low, high = (x.min(), x.max()) if x.size else (0, -1)
    if low < -1 or high >= depth:
        raise RangeError(f"{function}: codes must lie in -1..{depth - 1}, got {low}..{high}")
    return contiguous(x, np.int16)


def labels_array(y, n, classes, function):
    """Return `y` as contiguous int64 labels of `n` samples, or raise an error that names what is wrong."""
    y = np.asarray(y)
    if y.dtype.kind not in "iu":
        raise DTypeError(f"{function}: expected labels of an integer dtype, got {y.dtype}")
    if y.shape != (n,):
        raise ShapeError(f"{function}: x has {n} samples, y has shape {y.shape}")
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise RangeError(f"{function}: label {y[wrong[0]]} at index {wrong[0]} is outside 0..{classes - 1}")
    return contiguous(y, np.int64)
