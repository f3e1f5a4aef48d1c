/* Included by weights.h once for float and once for double. */

#define FC_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(FC_REAL)))

/* pooled, sums, rows and vecs are constants at every call: the loops over them unroll and acc lives in registers. */
static inline __attribute__((always_inline)) void FC_NAME(fc_weights_tile)(
    const int pooled, const int sums, const int rows, const int vecs, const fc_weights *p, const FC_REAL *x,
    const FC_REAL *y, const FC_REAL *w, FC_REAL *c /* IN and OUT */, FC_REAL *sum /* IN and OUT, if sums */)
{
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    const vec zero = {0};
    vec acc[FC_WEIGHTS_ROWS][2], total[2];
    const ptrdiff_t x_step = p->x_step, y_row = p->y_row, pixels = pooled ? p->width / 2 : p->width;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[r][v] = *(const vec *)(c + r * p->c_row + v * FC_LANES) + zero; /* so that it is not -0 */
    if (sums)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            total[v] = *(const vec *)(sum + v * FC_LANES) + zero;

    for (ptrdiff_t l = p->first; l < p->first + p->lines; l++, x += p->x_line) {
        const FC_REAL *xq = x, *yq = y + (pooled ? l / 2 : l) * p->y_line, *wq = pooled ? w + l / 2 * p->w_line : NULL;
        const vec left = zero + (FC_REAL)(l % 2 * 2), right = left + 1;
        for (ptrdiff_t q = 0; q < pixels; q++, yq += y_row, wq += pooled ? y_row : 0)
#pragma GCC unroll 2
            for (int side = 0; side < 1 + pooled; side++, xq += x_step) {
                vec row[2];
#pragma GCC unroll 2
                for (int v = 0; v < vecs; v++) {
                    row[v] = *(const vec *)(yq + v * FC_LANES);
                    if (pooled)
                        row[v] = (vec)((bits)row[v] & (*(const vec *)(wq + v * FC_LANES) == (side ? right : left)));
                    if (sums)
                        total[v] += row[v];
                }
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++) {
                    const vec a = xq[r] - zero;
#pragma GCC unroll 2
                    for (int v = 0; v < vecs; v++)
                        acc[r][v] = FC_FMA(a, row[v], acc[r][v]);
                }
            }
    }

#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            *(vec *)(c + r * p->c_row + v * FC_LANES) = acc[r][v];
    if (sums)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            *(vec *)(sum + v * FC_LANES) = total[v];
}

/* c is dW, y is dY and w is NULL; or y is G and w is W.  sum[j] += the sum of dY[l, q, j] unless sum is NULL, as it is
 * behind max-pooling. */
static void FC_NAME(fc_weights_add)(const fc_weights *p, const FC_REAL *x, const FC_REAL *y, const FC_REAL *w,
                                    FC_REAL *c /* IN and OUT */, FC_REAL *sum /* IN and OUT, or NULL */)
{
    const ptrdiff_t blocks = (p->rows + FC_WEIGHTS_ROWS - 1) / FC_WEIGHTS_ROWS;
    for (ptrdiff_t j = 0; j < p->cols; j += 2 * FC_LANES)
        for (ptrdiff_t block = 0; block < blocks; block++) {
            const ptrdiff_t i = block * p->rows / blocks; /* blocks of nearly equal height */
            FC_REAL *ci = c + i * p->c_row + j;
            const int wide = p->cols - j > FC_LANES;
#define FC_TILE(P, S, R, V) \
    FC_NAME(fc_weights_tile)(P, S, R, V, p, x + i, y + j, P ? w + j : NULL, ci, S ? sum + j : NULL)
#define FC_CASE(R)                                   \
    case R:                                          \
        if (R > FC_WEIGHTS_ROWS)                     \
            break;                                   \
        if (w && wide)                               \
            FC_TILE(1, 0, R, 2);                     \
        else if (w)                                  \
            FC_TILE(1, 0, R, 1);                     \
        else if (sum && i == 0 && wide)              \
            FC_TILE(0, 1, R, 2);                     \
        else if (sum && i == 0)                      \
            FC_TILE(0, 1, R, 1);                     \
        else if (wide)                               \
            FC_TILE(0, 0, R, 2);                     \
        else                                         \
            FC_TILE(0, 0, R, 1);                     \
        break;
            switch ((block + 1) * p->rows / blocks - i) {
                FC_CASE(1) FC_CASE(2) FC_CASE(3) FC_CASE(4) FC_CASE(5)
#if FC_WEIGHTS_ROWS > 5
                FC_CASE(6) FC_CASE(7) FC_CASE(8) FC_CASE(9) FC_CASE(10)
#endif
            }
#undef FC_CASE
#undef FC_TILE
        }
}

#undef FC_LANES
#undef FC_REAL
#undef FC_NAME
#undef FC_FMA
