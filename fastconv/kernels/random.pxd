# Counter-based random numbers.

from libc.stdint cimport uint32_t

cdef extern from "random.h" nogil:
    enum:
        FC_WORDS
    void fc_philox(const uint32_t *counter, const uint32_t *key, uint32_t *out)
    void fc_philox_words(const uint32_t *counter, const uint32_t *key, uint32_t *out)
    float fc_uniform(uint32_t word)
