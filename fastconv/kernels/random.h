/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). */
#ifndef FASTCONV_RANDOM_H
#define FASTCONV_RANDOM_H

#include "tile.h"

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

#define FC_WORDS 64
#define FC_COUNTERS (FC_VECTOR_BYTES / 8) /* in a vector, each word in a lane of 64 bits */

typedef uint64_t fc_words __attribute__((vector_size(FC_VECTOR_BYTES)));

/* The products of the lower words of two vectors' lanes. */
#if defined(__AVX512F__)
#define FC_WORD_PRODUCT(a, b) (fc_words) _mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif defined(__AVX2__)
#define FC_WORD_PRODUCT(a, b) (fc_words) _mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#else
#define FC_WORD_PRODUCT(a, b) (((a) & 0xFFFFFFFFu) * ((b) & 0xFFFFFFFFu))
#endif

/* The words of FC_WORDS / 4 counters that follow each other in counter[0]. */
static inline void fc_philox_words(const uint32_t counter[4], const uint32_t key[2], uint32_t out[FC_WORDS] /* OUT */)
{
    const fc_words zero = {0}, first = zero + 0xD2511F53u, second = zero + 0xCD9E8D57u;
    for (uint32_t at = 0; at < FC_WORDS / 4; at += FC_COUNTERS) {
        fc_words a, b = zero + counter[1], c = zero + counter[2], d = zero + counter[3];
        uint32_t k = key[0], l = key[1];
        for (uint32_t i = 0; i < FC_COUNTERS; i++)
            a[i] = counter[0] + at + i;
        for (int round = 0; round < 10; round++, k += 0x9E3779B9u, l += 0xBB67AE85u) {
            const fc_words p = FC_WORD_PRODUCT(a, first), q = FC_WORD_PRODUCT(c, second);
            a = (q >> 32) ^ b ^ k, b = q; /* what is in the upper halves does not matter */
            c = (p >> 32) ^ d ^ l, d = p;
        }
        for (int i = 0; i < FC_COUNTERS; i++) {
            uint32_t *to = out + 4 * (at + i);
            to[0] = (uint32_t)a[i], to[1] = (uint32_t)b[i], to[2] = (uint32_t)c[i], to[3] = (uint32_t)d[i];
        }
    }
}

/* A random word as a uniform number in [0, 1), of 24 bits: exact as a float too. */
static inline float fc_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
