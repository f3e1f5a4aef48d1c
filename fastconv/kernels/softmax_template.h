/* Included by softmax.h once for float and once for double. */

#define FC_LANES ((ptrdiff_t)(64 / sizeof(FC_REAL)))

/* The larger of a and b, element by element, a where one of them is a NaN. */
static inline FC_NAME(fc_quarter) FC_NAME(fc_larger)(FC_NAME(fc_quarter) a, FC_NAME(fc_quarter) b)
{
    typedef FC_NAME(fc_quarter) quarter;
    typedef FC_NAME(fc_quarter_bits) bits;
    const bits wins = b > a;
    return (quarter)(((bits)b & wins) | ((bits)a & ~wins));
}

/* p = exp(z - m) / s for the largest z, m, which it returns, and the sum s; 0 in the padding; p may be z. */
static __attribute__((noinline)) FC_REAL FC_NAME(fc_softmax)(ptrdiff_t classes, const FC_REAL *z, FC_REAL *s, FC_REAL *p /* OUT */)
{
    typedef FC_NAME(fc_row) row;
    typedef FC_NAME(fc_row_bits) bits;
    typedef FC_NAME(fc_quarter) quarter;
    FC_REAL m = z[0];
    row sums = {0}, best = sums + m;
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES) {
        const row e = *(const row *)(z + c);
        const bits wins = (e > best) & (FC_NAME(fc_lane) < (int)(classes - c < FC_LANES ? classes - c : FC_LANES));
        best = (row)(((bits)e & wins) | ((bits)best & ~wins));
    }
    const quarter *b = (const quarter *)&best;
    for (int i = 1; i < 4; i++)
        ((quarter *)&best)[0] = FC_NAME(fc_larger)(b[0], b[i]);
    for (int i = 0; i < 16 / (int)sizeof(FC_REAL); i++)
        m = best[i] > m ? best[i] : m;
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES) {
        row e = *(const row *)(z + c) - m;
        FC_NAME(fc_exp)(&e);
        e = (row)((bits)e & (FC_NAME(fc_lane) < (int)(classes - c < FC_LANES ? classes - c : FC_LANES)));
        *(row *)(p + c) = e;
        sums += e;
    }
    const quarter *q = (const quarter *)&sums;
    const quarter four = (q[0] + q[1]) + (q[2] + q[3]);
    *s = four[0];
    for (int i = 1; i < 16 / (int)sizeof(FC_REAL); i++)
        *s += four[i];
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES)
        *(row *)(p + c) *= 1 / *s;
    return m;
}

#undef FC_LANES
#undef FC_REAL
#undef FC_NAME
