# Inverted dropout (Srivastava et al., 2014); its random numbers are counter-based: the way back finds them again.

from libc.stdint cimport uint32_t, uint64_t

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.random cimport FC_WORDS, fc_philox_words
from fastconv.kernels.real cimport real


cdef inline void dropout(
    Py_ssize_t n, const Grid *gx, const Grid *gy, double rate,
    uint64_t seed, uint32_t layer, uint32_t update,
    const Py_ssize_t *places,  # (n,) of each sample in its batch
    const real *x,
    real *y,                   # OUT
) noexcept nogil:
    """y = x / (1 - rate) where a uniform number is at least `rate`, else 0; its own adjoint."""
    cdef Py_ssize_t i, h, q, c, j, used, run
    cdef uint32_t counter[4]
    cdef uint32_t key[2]
    cdef uint32_t words[FC_WORDS]
    cdef uint32_t least = <uint32_t> (rate * 4294967296.0)
    cdef real scale = <real> (1 / (1 - rate))
    cdef const real *at
    cdef real *to
    key[0], key[1] = <uint32_t> seed, <uint32_t> (seed >> 32)
    counter[2], counter[3] = layer, update
    for i in range(n):
        used = FC_WORDS  # word after word for a sample's elements in row-major order: flattening changes nothing
        counter[0], counter[1] = 0, <uint32_t> places[i]
        for h in range(gx.height):
            for q in range(gx.width):
                at = x + i * gx.sample + h * gx.line + q * gx.row
                to = y + i * gy.sample + h * gy.line + q * gy.row
                c = 0
                while c < gx.channels:
                    if used == FC_WORDS:
                        fc_philox_words(counter, key, words)
                        counter[0] += FC_WORDS // 4
                        used = 0
                    run = min(gx.channels - c, FC_WORDS - used)
                    for j in range(run):
                        to[c + j] = at[c + j] * scale if words[used + j] >= least else 0
                    c += run
                    used += run


cdef inline void dropout_scale(
    Py_ssize_t n, const Grid *gx, const Grid *gy, double rate, const real *x,
    real *y,                   # OUT
) noexcept nogil:
    """y = x / (1 - rate): dropout's adjoint where x is 0 already for all that was dropped."""
    cdef Py_ssize_t i, h, c
    cdef real scale = <real> (1 / (1 - rate))
    cdef const real *at
    cdef real *to
    for i in range(n):
        for h in range(gx.height):
            at, to = x + i * gx.sample + h * gx.line, y + i * gy.sample + h * gy.line
            for c in range(gx.width * gx.row):
                to[c] = at[c] * scale
