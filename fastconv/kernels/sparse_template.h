/* Included by sparse.h once for float and once for double. */

#define FC_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(FC_REAL)))

/* List the elements of dy that are not zero, filter by filter, line after line: value, and where in x its window
 * begins.  ends[h, f] is the length of filter f's list before line h.  Each element is written behind the list, which
 * grows if it is not zero: there is no branch to mispredict.  Inlined, its loop would lack registers. */
static __attribute__((noinline)) void FC_NAME(fc_list)(
    const fc_sparse *p, const FC_REAL *dy, int32_t *ends /* OUT (height + 1, filters) */,
    int32_t *where /* OUT (filters, most) */, FC_REAL *value /* OUT (filters, most) */)
{
    for (ptrdiff_t f = 0; f < p->filters; f++, where += p->most, value += p->most) {
        ptrdiff_t n = 0;
        for (ptrdiff_t h = 0; h < p->height; h++) {
            ends[h * p->filters + f] = (int32_t)n;
            for (ptrdiff_t q = 0; q < p->width; q++) {
                value[n] = dy[h * p->line + q * p->row + f];
                where[n] = (int32_t)(h * p->x_down + q * p->x_right);
                n += value[n] != 0;
            }
        }
        ends[p->height * p->filters + f] = (int32_t)n;
    }
}

/* dw[j] += the sum over i < n of value[i] * x[where[i] + j], for `vecs` vectors of j; vecs is a constant at every call. */
static inline __attribute__((always_inline)) void FC_NAME(fc_gather_piece)(
    const int vecs, ptrdiff_t n, const int32_t *where, const FC_REAL *value, const FC_REAL *x,
    FC_REAL *dw /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    vec acc[FC_PIECE];
#pragma GCC unroll 12
    for (int v = 0; v < vecs; v++)
        acc[v] = *(const vec *)(dw + v * FC_LANES);
    for (ptrdiff_t i = 0; i < n; i++) {
        const vec g = value[i] - zero;
        const FC_REAL *at = x + where[i];
#pragma GCC unroll 12
        for (int v = 0; v < vecs; v++)
            acc[v] = FC_FMA(g, *(const vec *)(at + v * FC_LANES), acc[v]);
    }
#pragma GCC unroll 12
    for (int v = 0; v < vecs; v++)
        *(vec *)(dw + v * FC_LANES) = acc[v];
}

/* dw[j] += the sum over i < n of value[i] * x[where[i] + j] for j < size, a multiple of 64 bytes. */
static void FC_NAME(fc_gather_windows)(ptrdiff_t size, ptrdiff_t n, const int32_t *where, const FC_REAL *value,
                                       const FC_REAL *x, FC_REAL *dw /* IN and OUT */)
{
    const ptrdiff_t vecs = size / FC_LANES, pieces = (vecs + FC_PIECE - 1) / FC_PIECE;
    for (ptrdiff_t piece = 0; piece < pieces; piece++) {
        const ptrdiff_t j = piece * vecs / pieces;
#define FC_CASE(V)                                                                                      \
    case V:                                                                                             \
        FC_NAME(fc_gather_piece)(V, n, where, value, x + j * FC_LANES, dw + j * FC_LANES);              \
        break;
        switch ((piece + 1) * vecs / pieces - j) {
            FC_CASE(1) FC_CASE(2) FC_CASE(3) FC_CASE(4) FC_CASE(5) FC_CASE(6) FC_CASE(7) FC_CASE(8)
            FC_CASE(9) FC_CASE(10) FC_CASE(11) FC_CASE(12)
        }
#undef FC_CASE
    }
}

#undef FC_LANES
#undef FC_REAL
#undef FC_NAME
#undef FC_FMA
