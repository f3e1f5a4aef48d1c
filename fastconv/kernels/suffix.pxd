# Samples of codes that have a suffix in common: sorted from their ends, they lie side by side.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) nogil
    int ctzll "__builtin_ctzll"(unsigned long long) nogil

cdef enum:
    LETTERS = 8     # of an end, a byte each: what samples have in common at most
    ALPHABET = 255  # characters that a byte tells apart from each other and from none
    AHEAD = 8       # rows that are fetched in advance
    FEW = 1000      # rows for which the last four characters are enough to sort by
    BUCKETS = 1024

ctypedef struct Ending:
    # The end of a sample: its last characters, each plus one, the very last one in the lowest byte; 0 beyond the first.
    uint64_t key
    Py_ssize_t length  # positions up to its last character


cdef inline Py_ssize_t reach(Py_ssize_t length, const int16_t *codes) noexcept nogil:
    """Positions of a row of codes up to its last character."""
    cdef Py_ssize_t p, end = 0
    for p in range(length):
        end = p + 1 if codes[p] >= 0 else end
    return end


cdef inline uint64_t ending(Py_ssize_t end, const int16_t *codes) noexcept nogil:
    """The key of a row of at least LETTERS codes, of which `end` > 0 count."""
    cdef Py_ssize_t d, first = max(<Py_ssize_t> 0, end - LETTERS)
    cdef uint64_t key = 0
    for d in range(LETTERS):
        key = key << 8 | <uint8_t> (codes[first + d] + 1)
    return key >> 8 * (LETTERS - min(end, <Py_ssize_t> LETTERS))


cdef inline const uint64_t *sort_endings(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t longest, const int16_t *codes, const int64_t *rows, Py_ssize_t first,
    uint64_t *order,  # (2n,) to work in
    Ending *endings,  # OUT (n,); those of more than `longest` characters have the key 0
) noexcept nogil:
    """Sort the rows rows[first : first + n] of codes (first, ... where rows is NULL) by their last characters; return
    their places in that order, in the lower halves of n numbers.

    It is by a few characters, more where there are many rows, and by five bits of each: that neighbours are not always
    the nearest costs time, but no truth.
    """
    cdef Py_ssize_t i, at, d, shift, end, bits = 10 if n > FEW else 5
    cdef int32_t starts[BUCKETS]
    cdef uint64_t digits
    cdef uint64_t *spare = order + n
    cdef uint64_t *other
    cdef const int16_t *row
    for i in range(n):
        at = min(i + AHEAD, n - 1)
        prefetch(codes + (first + at if rows == NULL else rows[first + at]) * length)
        row = codes + (first + i if rows == NULL else rows[first + i]) * length
        end = reach(length, row)
        endings[i].length, endings[i].key = end, ending(end, row) if 0 < end <= longest else 0
        digits = 0
        for d in range(6):
            digits = digits << 5 | endings[i].key >> 8 * d & 31
        order[i] = digits << 32 | <uint64_t> i
    shift = 32 if n > FEW else 42
    while shift < 62:
        memset(starts, 0, sizeof(starts[0]) << bits)
        for i in range(n):
            starts[order[i] >> shift & ((1 << bits) - 1)] += 1
        end = 0
        for i in range(1 << bits):
            end += starts[i]
            starts[i] = <int32_t> end - starts[i]
        for i in range(n):
            d = order[i] >> shift & ((1 << bits) - 1)
            spare[starts[d]] = order[i]
            starts[d] += 1
        other = order
        order = spare
        spare = other
        shift += bits
    return order


cdef inline Py_ssize_t in_common(const Ending *a, const Ending *b) noexcept nogil:
    """The length of the suffix that two samples have in common."""
    cdef uint64_t differ = a.key ^ b.key
    cdef Py_ssize_t letters = ctzll(differ) // 8 if differ else LETTERS
    return min(letters, min(a.length, b.length)) if a.key and b.key else 0
