"""What the machine can do at most: multiply-adds of one core, and bytes copied."""

import time

import numpy as np

from fastconv import engine

SECOND_LEVEL, MEMORY = 256 * 1024, 64 * 1024 * 1024
"""Bytes of the arrays that are copied: two of the first size fit in a second-level cache, two of the second in none."""


def multiply_add(level=None, seconds=0.05):
    """Return the float32 multiply-adds of one core in GFLOP/s, by vectors in registers only.

    Parameters
    ----------
    level : {"base", "avx2", "avx512"}, optional
        Instruction set; by default the one in use.
    seconds : float
        Time to take; the fastest of many short bursts counts.

    Returns
    -------
    float

    Examples
    --------
    >>> from fastconv.bench import peak
    >>> peak.multiply_add(seconds=0.001) > 0.1
    True
    """
    return engine.load(level or engine.LEVEL).multiply_add_peak(seconds)


def copy_bandwidth(size, seconds=0.05):
    """Return the bytes that one core moves by copying an array, in GB/s: each byte is read once and written once.

    Parameters
    ----------
    size : int
        Bytes of the array; see :data:`SECOND_LEVEL` and :data:`MEMORY`.
    seconds : float
        Time to take; the fastest copy counts.

    Returns
    -------
    float

    Examples
    --------
    >>> from fastconv.bench import peak
    >>> peak.copy_bandwidth(4096, seconds=0.001) > 0.01
    True
    """
    source, target = np.ones((2, size), np.uint8)  # written, so that no copy waits for pages
    copies = max(1, 2**21 // size)  # so that a burst is far longer than reading the clock
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(copies):
            np.copyto(target, source)
        best = max(best, 2e-9 * copies * size / (time.perf_counter() - start))
    return best
