# Inverted dropout (Srivastava et al., 2014); its random numbers are counter-based: the way back finds them again.

from libc.stdint cimport uint32_t, uint64_t

from fastconv.kernels.grid cimport Grid
from fastconv.kernels.random cimport fc_philox
from fastconv.kernels.real cimport real


cdef inline void dropout(
    Py_ssize_t n, const Grid *gx, const Grid *gy, double rate,
    uint64_t seed, uint32_t layer, uint32_t update,
    const Py_ssize_t *places,  # (n,) of each sample in its batch
    const real *x,
    real *y,                   # OUT
) noexcept nogil:
    """y = x / (1 - rate) where a uniform number is at least `rate`, else 0; its own adjoint."""
    cdef Py_ssize_t i, h, q, c, e
    cdef uint32_t counter[4]
    cdef uint32_t key[2]
    cdef uint32_t bits[4]
    cdef uint32_t least = <uint32_t> (rate * 4294967296.0)
    cdef real scale = <real> (1 / (1 - rate))
    cdef const real *at
    cdef real *to
    key[0], key[1] = <uint32_t> seed, <uint32_t> (seed >> 32)
    counter[2], counter[3] = layer, update
    for i in range(n):
        e = 0  # a sample's elements in row-major order, so that flattening changes nothing
        counter[1] = <uint32_t> places[i]
        for h in range(gx.height):
            for q in range(gx.width):
                at = x + i * gx.sample + h * gx.line + q * gx.row
                to = y + i * gy.sample + h * gy.line + q * gy.row
                for c in range(gx.channels):
                    if e % 4 == 0:
                        counter[0] = <uint32_t> (e // 4)
                        fc_philox(counter, key, bits)
                    to[c] = at[c] * scale if bits[e % 4] >= least else 0
                    e += 1
