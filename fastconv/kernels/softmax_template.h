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
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    typedef FC_NAME(fc_quarter) quarter;
    const bits *lane = (const bits *)FC_NAME(fc_lane);
    FC_REAL m = z[0];
    vec sums[FC_ROW_VECTORS] = {{0}}, best[FC_ROW_VECTORS];
    for (int v = 0; v < FC_ROW_VECTORS; v++)
        best[v] = sums[v] + m;
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES) {
        const int left = classes - c < FC_LANES ? (int)(classes - c) : (int)FC_LANES;
        for (int v = 0; v < FC_ROW_VECTORS; v++) {
            const vec e = ((const vec *)(z + c))[v];
            const bits wins = (e > best[v]) & (lane[v] < left);
            best[v] = (vec)(((bits)e & wins) | ((bits)best[v] & ~wins));
        }
    }
    quarter *b = (quarter *)best, *q = (quarter *)sums;
    for (int i = 1; i < 4; i++)
        b[0] = FC_NAME(fc_larger)(b[0], b[i]);
    for (int i = 0; i < 16 / (int)sizeof(FC_REAL); i++)
        m = b[0][i] > m ? b[0][i] : m;
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES) {
        const int left = classes - c < FC_LANES ? (int)(classes - c) : (int)FC_LANES;
        for (int v = 0; v < FC_ROW_VECTORS; v++) {
            vec e = FC_NAME(fc_exp)(((const vec *)(z + c))[v] - m);
            e = (vec)((bits)e & (lane[v] < left));
            ((vec *)(p + c))[v] = e;
            sums[v] += e;
        }
    }
    const quarter four = (q[0] + q[1]) + (q[2] + q[3]);
    *s = four[0];
    for (int i = 1; i < 16 / (int)sizeof(FC_REAL); i++)
        *s += four[i];
    for (ptrdiff_t c = 0; c < classes; c += FC_LANES)
        for (int v = 0; v < FC_ROW_VECTORS; v++)
            ((vec *)(p + c))[v] *= 1 / *s;
    return m;
}

#undef FC_LANES
#undef FC_REAL
#undef FC_NAME
