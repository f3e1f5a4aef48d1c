"""Strings to codes, one call for a list; the range of codes."""

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
from libc.stdint cimport int16_t


def encode(list strings, const int16_t[::1] table, bint lower, bint keep_end, int16_t[:, ::1] codes):
    """Write the codes of every string to a row of `codes`, left-aligned, -1 behind its end.

    Parameters
    ----------
    strings : list of str
    table : (code points,) int16
        The code of each code point, -1 for those outside the alphabet; so are all beyond its end.
    lower : bool
        Lower-case each string first.
    keep_end : bool
        Of a string longer than a row keep the end instead of the start.
    codes : (N, length) int16, written

    Returns
    -------
    position : int
        The index of the first element that is not a str, or -1. Nothing after it is written.
    unknown : int
        Characters within the rows that are outside the alphabet.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels.encode import encode
    >>> table = np.full(128, -1, np.int16)
    >>> table[ord("a")], table[ord("b")] = 0, 1
    >>> codes = np.empty((2, 3), np.int16)
    >>> encode(["ab", "Bxa"], table, True, False, codes)
    (-1, 1)
    >>> codes.tolist()
    [[0, 1, -1], [1, -1, 0]]
    """
    cdef Py_ssize_t i, p, start, size, unknown = 0
    cdef Py_ssize_t n = len(strings), length = codes.shape[1], known = table.shape[0]
    cdef Py_UCS4 character
    cdef int16_t code
    cdef int kind
    cdef void *data
    cdef object string
    if codes.shape[0] != n:
        raise ValueError(f"encode: codes has {codes.shape[0]} rows, expected {n}")
    for i in range(n):
        string = strings[i]
        if not isinstance(string, str):
            return i, unknown
        if lower:
            string = (<str> string).lower()
        size, kind, data = PyUnicode_GET_LENGTH(string), PyUnicode_KIND(string), PyUnicode_DATA(string)
        start = size - length if keep_end and size > length else 0
        size = min(size - start, length)
        for p in range(size):
            character = PyUnicode_READ(kind, data, start + p)
            code = table[<Py_ssize_t> character] if <Py_ssize_t> character < known else -1
            unknown += code < 0
            codes[i, p] = code
        for p in range(size, length):
            codes[i, p] = -1
    return -1, unknown


def extremes(codes):
    """Return the smallest and the largest of contiguous int16 codes; (0, -1) if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels.encode import extremes
    >>> extremes(np.array([[3, -1]], np.int16))
    (-1, 3)
    """
    cdef const int16_t[::1] flat = codes.reshape(-1)
    cdef const int16_t *code
    cdef Py_ssize_t i, size = flat.shape[0]
    cdef int16_t low = 0, high = -1
    if size:
        code = &flat[0]
        low = high = code[0]
        with nogil:
            for i in range(size):
                low = min(low, code[i])
                high = max(high, code[i])
    return low, high
