/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). */
#ifndef FASTCONV_RANDOM_H
#define FASTCONV_RANDOM_H

#include <stdint.h>

/* Four random words for a counter and a key; the same for the same, whoever asks. */
static inline void fc_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4] /* OUT */)
{
    uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3], k = key[0], l = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p = (uint64_t)0xD2511F53u * a, q = (uint64_t)0xCD9E8D57u * c;
        a = (uint32_t)(q >> 32) ^ b ^ k, b = (uint32_t)q;
        c = (uint32_t)(p >> 32) ^ d ^ l, d = (uint32_t)p;
        k += 0x9E3779B9u, l += 0xBB67AE85u;
    }
    out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

/* A random word as a uniform number in [0, 1), of 24 bits: exact as a float too. */
static inline float fc_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
