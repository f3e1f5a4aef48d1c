"""Arrays that come in: aligned, of one dtype, with labels in range."""

import numpy as np

from fastconv.engine.cpu import extremes
from fastconv.errors import DTypeError, RangeError, ShapeError


def aligned_zeros(size, dtype):
    """Return a zero vector that starts at a multiple of 64 bytes."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * dtype.itemsize].view(dtype)


def codes_array(x, depth, function):
    """Return `x` as contiguous int16 codes -1..depth-1, or raise an error that names what is wrong."""
    if x.dtype.kind not in "iu":
        raise DTypeError(f"{function}: expected codes of an integer dtype, got {x.dtype}")
    if x.dtype == np.int16:
        x = np.ascontiguousarray(x)
        low, high = extremes(x)
    else:
        low, high = (x.min(), x.max()) if x.size else (0, -1)
    if low < -1 or high >= depth:
        raise RangeError(f"{function}: codes must lie in -1..{depth - 1}, got {low}..{high}")
    return np.ascontiguousarray(x, np.int16)


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
    return np.ascontiguousarray(y, np.int64)
