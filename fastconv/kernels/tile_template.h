/* Included by tile.h once for float and once for double. */

typedef FC_REAL FC_NAME(fc_vec) __attribute__((vector_size(FC_VECTOR_BYTES), aligned(sizeof(FC_REAL)), may_alias));
typedef FC_BITS FC_NAME(fc_bits) __attribute__((vector_size(FC_VECTOR_BYTES)));

#define FC_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(FC_REAL)))

/* rows and vecs are constants at every call: the loops over them unroll and acc lives in registers. */
static inline __attribute__((always_inline)) void FC_NAME(fc_tile)(
    const int rows, const int vecs, const fc_product *p, const FC_REAL *a, const FC_REAL *b, const FC_REAL *bias,
    const FC_REAL *mask, FC_REAL *c /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    vec acc[FC_TILE_ROWS][2];
    const ptrdiff_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row;

#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[r][v] = bias ? *(const vec *)(bias + v * FC_LANES) : zero;

    for (ptrdiff_t s = 0; s < p->segments; s++) {
        const FC_REAL *a0 = a + s * p->a_segment, *b0 = b + s * p->b_segment;
        const FC_REAL *a3 = a0 + 3 * a_row, *a6 = a3 + 3 * a_row, *a9 = a6 + 3 * a_row;
        const ptrdiff_t depth = p->depths ? p->depths[s] : p->depth;
        for (ptrdiff_t k = 0; k < depth; k++) {
            const vec b_0 = *(const vec *)b0, b_1 = vecs > 1 ? *(const vec *)(b0 + FC_LANES) : zero;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const FC_REAL *ar = r < 3 ? a0 : r < 6 ? a3 : r < 9 ? a6 : a9;
                const vec x = ar[(r % 3) * a_row] - zero;
                acc[r][0] = FC_FMA(x, b_0, acc[r][0]);
                if (vecs > 1)
                    acc[r][1] = FC_FMA(x, b_1, acc[r][1]);
            }
            a0 += a_step, a3 += a_step, a6 += a_step, a9 += a_step, b0 += b_row;
        }
    }

#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) {
            const ptrdiff_t at = r * p->c_row + v * FC_LANES;
            vec y = acc[r][v];
            if (p->relu)
                y = (vec)((FC_NAME(fc_bits))y & ~(y < zero)); /* a NaN stays a NaN */
            if (mask)
                y = (vec)((FC_NAME(fc_bits))y & ~(*(const vec *)(mask + at) <= zero));
            *(vec *)(c + at) = y;
        }
}

static void FC_NAME(fc_multiply)(const fc_product *p, const FC_REAL *a, const FC_REAL *b, const FC_REAL *bias,
                                 const FC_REAL *mask, FC_REAL *c /* OUT */)
{
    const ptrdiff_t blocks = (p->rows + FC_TILE_ROWS - 1) / FC_TILE_ROWS;
    for (ptrdiff_t j = 0; j < p->cols; j += 2 * FC_LANES) {
        const int vecs = p->cols - j > FC_LANES ? 2 : 1;
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t i = block * p->rows / blocks; /* blocks of nearly equal height */
            const int rows = (int)((block + 1) * p->rows / blocks - i);
            const FC_REAL *at = a + i * p->a_row, *bt = b + j, *biast = bias ? bias + j : NULL;
            const FC_REAL *maskt = mask ? mask + i * p->c_row + j : NULL;
            FC_REAL *ct = c + i * p->c_row + j;
#define FC_CASE(R)                                                        \
    case R:                                                               \
        if (vecs == 2)                                                    \
            FC_NAME(fc_tile)(R, 2, p, at, bt, biast, maskt, ct);          \
        else                                                              \
            FC_NAME(fc_tile)(R, 1, p, at, bt, biast, maskt, ct);          \
        break;
            switch (rows) {
                FC_CASE(1) FC_CASE(2) FC_CASE(3) FC_CASE(4) FC_CASE(5) FC_CASE(6)
#if FC_TILE_ROWS > 6
                FC_CASE(7) FC_CASE(8) FC_CASE(9) FC_CASE(10) FC_CASE(11) FC_CASE(12)
#endif
            }
#undef FC_CASE
        }
    }
}

#undef FC_LANES
