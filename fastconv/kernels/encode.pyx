"""Strings to codes, one call for a list; the range of codes."""

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ
from libc.stdint cimport int16_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object string)

ctypedef fused character_t:
    uint8_t
    uint16_t
    uint32_t

cdef enum:
    TO_SETTLE = 0
    TO_CLEAN = -2

CODE_POINTS = 0x110000
"""Entries of a table."""
UNSETTLED, OUTSIDE, CLEAN = TO_SETTLE, -1, TO_CLEAN
"""Entries of code points that have no code: not met yet; outside the alphabet; only the whole string can be cleaned."""


cdef inline int utf8_size(Py_UCS4 character) noexcept nogil:
    return 1 + (character >= 0x80) + (character >= 0x800) + (character >= 0x10000)


cdef inline int utf8_byte(Py_UCS4 character, int i, int size) noexcept nogil:
    """Byte i of a character of two bytes or more; a surrogate is one of three."""
    cdef int bits = (<int> character) >> (6 * (size - 1 - i))
    return 0x80 | (bits & 0x3F) if i else ((0xF00 >> size) & 0xFF) | bits


cdef inline Py_ssize_t write_codes(
    const character_t *characters, Py_ssize_t n, const int16_t *entries, int16_t *codes,
) noexcept nogil:
    """Write the code of each character; return how many are outside the alphabet."""
    cdef Py_ssize_t i, outside = 0
    cdef int16_t entry
    for i in range(n):
        entry = entries[characters[i]]
        outside += entry <= 0
        codes[i] = entry - 1 if entry > 0 else -1
    return outside


cdef bint settled(object string, const int16_t[::1] table, object settle) except -1:
    """Whether every character of a string has an entry to be used, after `settle` of those not met before."""
    cdef Py_ssize_t p
    cdef int kind = PyUnicode_KIND(string)
    cdef void *data = PyUnicode_DATA(string)
    cdef Py_UCS4 character
    for p in range(PyUnicode_GET_LENGTH(string)):
        character = PyUnicode_READ(kind, data, p)
        if table[<Py_ssize_t> character] == TO_SETTLE:
            settle(character)
        if table[<Py_ssize_t> character] in (TO_SETTLE, TO_CLEAN):
            return False
    return True


def encode(
    list strings, const int16_t[::1] table, const int16_t[::1] exact, settle, clean, Py_ssize_t marker,
    Py_ssize_t first_byte, bint keep_end, int16_t[:, ::1] codes, int64_t[::1] sizes,
):
    """Write the codes of every string to a row of `codes`, left-aligned, -1 behind their end.

    Parameters
    ----------
    strings : list of str
    table : (CODE_POINTS,) int16
        For each code point of a raw string its code + 1, or one of UNSETTLED, OUTSIDE, CLEAN. Those of ASCII are settled.
    exact : (CODE_POINTS,) int16
        The same for cleaned strings; all that have no code are OUTSIDE or UNSETTLED.
    settle : callable
        Called with a character that is UNSETTLED, gives it another entry of `table`.
    clean : callable
        Returns the cleaned string; called with strings that hold a character whose entry is CLEAN.
    marker : int
        The code in front of a string; the next one goes behind it. -1: no markers.
    first_byte : int
        The code of byte 0: characters outside the alphabet become the bytes of their UTF-8. -1: they become -1. With
        it, all of ASCII has codes.
    keep_end : bool
        Of codes that are longer than a row keep the end instead of the start.
    codes : (N, length) int16, written
    sizes : (N,) int64, written
        Codes that each string needs.

    Returns
    -------
    position : int
        The index of the first element that is not a str, or -1. Rows from there on are all -1.
    unknown : int
        Characters within the rows that are outside the alphabet.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels.encode import CODE_POINTS, OUTSIDE, encode
    >>> table = np.full(CODE_POINTS, OUTSIDE, np.int16)
    >>> table[[ord("a"), ord("b"), ord("B")]] = 1, 2, 2
    >>> codes, sizes = np.empty((2, 3), np.int16), np.empty(2, np.int64)
    >>> encode(["ab", "Bxaa"], table, table, None, None, -1, -1, False, codes, sizes)
    (-1, 1)
    >>> codes.tolist(), sizes.tolist()
    ([[0, 1, -1], [1, -1, 0]], [2, 4])
    """
    cdef Py_ssize_t i = 0, p, q, start, count, size, total, unknown = 0
    cdef Py_ssize_t n = codes.shape[0], length = codes.shape[1]
    cdef const int16_t *entries
    cdef int16_t *row
    cdef int16_t entry
    cdef int kind, j, width
    cdef void *data
    cdef bint is_ascii
    cdef Py_UCS4 character
    cdef object string
    if len(strings) != n or sizes.shape[0] != n:
        raise ValueError(f"encode: expected codes and sizes of {len(strings)} strings, got {n} and {sizes.shape[0]}")
    if table.shape[0] != CODE_POINTS or exact.shape[0] != CODE_POINTS:
        raise ValueError(f"encode: expected tables of {CODE_POINTS}, got {table.shape[0]} and {exact.shape[0]}")
    if n and length:
        memset(&codes[0, 0], 0xFF, n * length * sizeof(int16_t))  # -1
    for string in strings:
        if i == n:
            break
        if not isinstance(string, str):
            return i, unknown
        entries = &table[0]
        is_ascii = PyUnicode_IS_ASCII(string)
        if not is_ascii and not settled(string, table, settle):
            string = clean(string)
            if not isinstance(string, str):
                raise TypeError(f"encode: expected clean to return a str, got {type(string).__name__}")
            entries = &exact[0]
        size, kind, data = PyUnicode_GET_LENGTH(string), PyUnicode_KIND(string), PyUnicode_DATA(string)
        total = size + 2 * (marker >= 0)
        if first_byte >= 0 and not is_ascii:
            for q in range(size):
                character = PyUnicode_READ(kind, data, q)
                if entries[<Py_ssize_t> character] <= 0:
                    total += utf8_size(character) - 1
        sizes[i] = total
        if length:
            row = &codes[i, 0]
            p = length - total if keep_end and total > length else 0
            if marker >= 0:
                if p == 0:
                    row[0] = <int16_t> marker
                p += 1
            if first_byte < 0 or is_ascii:
                start = max(-p, 0)
                p = max(p, 0)
                count = min(size - start, length - p)
                if kind == 1:
                    unknown += write_codes(<const uint8_t *> data + start, count, entries, row + p)
                elif kind == 2:
                    unknown += write_codes(<const uint16_t *> data + start, count, entries, row + p)
                else:
                    unknown += write_codes(<const uint32_t *> data + start, count, entries, row + p)
                p += count
            else:
                for q in range(size):
                    if p >= length:
                        break
                    character = PyUnicode_READ(kind, data, q)
                    entry = entries[<Py_ssize_t> character]
                    width = 1 if entry > 0 else utf8_size(character)
                    for j in range(width):
                        if 0 <= p < length:
                            row[p] = entry - 1 if entry > 0 else <int16_t> (first_byte + utf8_byte(character, j, width))
                        p += 1
            if marker >= 0 and p < length:
                row[p] = <int16_t> (marker + 1)
        i += 1
    if i != n or len(strings) != n:
        raise ValueError("encode: the list of strings changed while it was read")
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
