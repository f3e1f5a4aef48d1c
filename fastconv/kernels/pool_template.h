/* Included by pool.h once for float and once for double. */

#define FC_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(FC_REAL)))

/* y = the largest of each window, the first of equals; a NaN wins. winner = which pixel of the window it was. */
static void FC_NAME(fc_max_pool)(const fc_pool *p, const FC_REAL *x, FC_REAL *y /* OUT */, FC_REAL *winner /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    for (ptrdiff_t h = 0; h < p->height; h++)
        for (ptrdiff_t q = 0; q < p->width; q++)
            for (ptrdiff_t c = 0; c < p->row; c += FC_LANES) {
                const FC_REAL *at = x + h * p->x_down + q * p->x_right + c;
                vec best = *(const vec *)at, which = {0}, k = {0};
                for (ptrdiff_t u = 0; u < p->kh; u++)
                    for (ptrdiff_t v = 0; v < p->kw; v++, k += 1) {
                        const vec a = *(const vec *)(at + u * p->x_line + v * p->x_pixel);
                        const bits wins = (a > best) | (a != a);
                        best = (vec)(((bits)a & wins) | ((bits)best & ~wins));
                        which = (vec)(((bits)k & wins) | ((bits)which & ~wins));
                    }
                *(vec *)(y + h * p->y_line + q * p->row + c) = best;
                *(vec *)(winner + h * p->winner_line + q * p->row + c) = which;
            }
}

/* dx = dy at each window's winner, and 0 at its other pixels; added to dx where windows overlap. */
static void FC_NAME(fc_max_pool_backward)(const fc_pool *p, const FC_REAL *dy, const FC_REAL *winner,
                                          FC_REAL *dx /* OUT, IN too unless disjoint */)
{
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    for (ptrdiff_t h = 0; h < p->height; h++)
        for (ptrdiff_t q = 0; q < p->width; q++)
            for (ptrdiff_t c = 0; c < p->row; c += FC_LANES) {
                FC_REAL *at = dx + h * p->x_down + q * p->x_right + c;
                const vec which = *(const vec *)(winner + h * p->winner_line + q * p->row + c);
                const vec g = *(const vec *)(dy + h * p->y_line + q * p->row + c);
                vec k = {0};
                for (ptrdiff_t u = 0; u < p->kh; u++)
                    for (ptrdiff_t v = 0; v < p->kw; v++, k += 1) {
                        vec *d = (vec *)(at + u * p->x_line + v * p->x_pixel);
                        const vec here = (vec)((bits)g & (which == k));
                        *d = p->disjoint ? here : (vec)(*d + here);
                    }
            }
}

#undef FC_LANES
#undef FC_REAL
#undef FC_NAME
