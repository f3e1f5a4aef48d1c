/* Multiply-adds in registers and nothing else: what a core can do at most. */
#ifndef FASTCONV_PEAK_H
#define FASTCONV_PEAK_H

#include "tile.h"

#define FC_CHAINS 12 /* independent sums: two units times a latency of 4 to 5 cycles, and some to spare */
enum { FC_CHAIN_NUMBERS = FC_CHAINS * FC_VECTOR_BYTES / sizeof(float) };

/* Make `rounds` multiply-adds on each of FC_CHAINS vectors; x[FC_CHAIN_NUMBERS] is IN and OUT.
 * Every number tends to b / (1 - a), so that none grows, vanishes or becomes denormal. */
static __attribute__((noinline)) void fc_multiply_adds(ptrdiff_t rounds, float a, float b, float *x)
{
    typedef fc_vec_float vec;
    const vec zero = {0}, factor = zero + a, term = zero + b;
    vec acc[FC_CHAINS];
#pragma GCC unroll 12
    for (int i = 0; i < FC_CHAINS; i++)
        acc[i] = *(const vec *)(x + i * (FC_CHAIN_NUMBERS / FC_CHAINS));
    for (ptrdiff_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < FC_CHAINS; i++)
            acc[i] = FC_FMA_float(acc[i], factor, term);
#pragma GCC unroll 12
    for (int i = 0; i < FC_CHAINS; i++)
        *(vec *)(x + i * (FC_CHAIN_NUMBERS / FC_CHAINS)) = acc[i];
}

#endif
