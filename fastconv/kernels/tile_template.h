/* Included by tile.h once for float and once for double. */

typedef FC_REAL FC_NAME(fc_vec) __attribute__((vector_size(FC_VECTOR_BYTES), aligned(sizeof(FC_REAL)), may_alias));
typedef FC_BITS FC_NAME(fc_bits) __attribute__((vector_size(FC_VECTOR_BYTES)));

#define FC_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(FC_REAL)))
#define FC_SHORT ((ptrdiff_t)(128 / sizeof(FC_REAL))) /* a row of weights whose length is known to the compiler */

/* y where it is positive or a NaN, else 0. */
static inline __attribute__((always_inline)) FC_NAME(fc_vec) FC_NAME(fc_positive)(FC_NAME(fc_vec) y)
{
    const FC_NAME(fc_vec) zero = {0};
    return (FC_NAME(fc_vec))((FC_NAME(fc_bits))y & ~(y < zero));
}

/* y where the mask is positive or a NaN, else 0. */
static inline __attribute__((always_inline)) FC_NAME(fc_vec) FC_NAME(fc_masked)(FC_NAME(fc_vec) y, const FC_REAL *mask)
{
    const FC_NAME(fc_vec) zero = {0};
    return (FC_NAME(fc_vec))((FC_NAME(fc_bits))y & ~(*(const FC_NAME(fc_vec) *)mask <= zero));
}

/* The end of a row: ReLU, mask, store. */
static inline __attribute__((always_inline)) void FC_NAME(fc_finish)(
    const int vecs, const FC_NAME(fc_vec) * acc, int relu, const FC_REAL *mask, FC_REAL *c /* OUT */)
{
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        FC_NAME(fc_vec) y = relu ? FC_NAME(fc_positive)(acc[v]) : acc[v];
        if (mask)
            y = FC_NAME(fc_masked)(y, mask + v * FC_LANES);
        *(FC_NAME(fc_vec) *)(c + v * FC_LANES) = y;
    }
}

/* *a = the larger of *a and b, the first of equals; a NaN is larger than all.  *which = k where it is b. */
static inline __attribute__((always_inline)) void FC_NAME(fc_maximum)(
    FC_NAME(fc_vec) b, FC_NAME(fc_vec) k, FC_NAME(fc_vec) * a /* IN and OUT */, FC_NAME(fc_vec) * which /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    const bits wins = (b > *a) | (b != b);
    *a = (vec)(((bits)b & wins) | ((bits)*a & ~wins));
    *which = (vec)(((bits)k & wins) | ((bits)*which & ~wins));
}

/* The largest of 2 x 2 pixels, given in the order of their lines, and which of them that is, 0 to 3. */
static inline __attribute__((always_inline)) FC_NAME(fc_vec) FC_NAME(fc_largest)(
    FC_NAME(fc_vec) a, FC_NAME(fc_vec) b, FC_NAME(fc_vec) c, FC_NAME(fc_vec) d, FC_NAME(fc_vec) * which /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    *which = zero;
    FC_NAME(fc_maximum)(b, zero + 1, &a, which);
    FC_NAME(fc_maximum)(c, zero + 2, &a, which);
    FC_NAME(fc_maximum)(d, zero + 3, &a, which);
    return a;
}

/* pooled, rows and vecs are constants at every call: the loops over them unroll and acc lives in registers.  If pooled,
 * the rows are of two lines, half of each, and what is stored is the largest of two by two of them, and which of those
 * it is unless winner is NULL. */
static inline __attribute__((always_inline)) void FC_NAME(fc_tile)(
    const int pooled, const int rows, const int vecs, const fc_product *p, const ptrdiff_t *reach, const FC_REAL *a,
    const FC_REAL *b, const FC_REAL *bias, const FC_REAL *mask, FC_REAL *c /* OUT, with p->add IN too */,
    FC_REAL *winner /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    vec acc[FC_TILE_ROWS][FC_TILE_WIDE], which;
    const ptrdiff_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row;
    const int line = pooled ? rows / 2 : rows, kept = pooled ? line / 2 : rows;

#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            acc[r][v] = (!pooled && p->add ? *(const vec *)(c + r * p->c_row + v * FC_LANES)
                         : bias ? *(const vec *)(bias + v * FC_LANES)
                                : zero) +
                        zero; /* so that it is not -0 */

    const ptrdiff_t segments = p->reach ? *reach : p->segments;
    for (ptrdiff_t o = 0; o < p->outer; o++, a += p->a_outer, b += p->b_outer)
        for (ptrdiff_t s = 0; s < segments; s++) {
            const FC_REAL *a0 = a + s * p->a_segment, *bs = b + s * p->b_segment;
            const FC_REAL *a3 = a0 + 3 * a_row, *a6 = pooled ? a0 + p->a_line : a3 + 3 * a_row, *a9 = a6 + 3 * a_row;
            const ptrdiff_t depth = p->depths ? p->depths[s] : p->depth;
            for (ptrdiff_t k = 0; k < depth; k++) {
                vec row[FC_TILE_WIDE];
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    row[v] = *(const vec *)(bs + v * FC_LANES);
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++) {
                    const int i = r % line + (pooled ? r / line * 6 : 0);
                    const FC_REAL *ar = i < 3 ? a0 : i < 6 ? a3 : i < 9 ? a6 : a9;
                    const vec x = ar[(i % 3) * a_row] - zero;
#pragma GCC unroll 4
                    for (int v = 0; v < vecs; v++) {
                        acc[r][v] = FC_FMA(x, row[v], acc[r][v]);
                        FC_IN_PLACE(acc[r][v]);
                    }
                }
                a0 += a_step, a3 += a_step, a6 += a_step, a9 += a_step, bs += b_row;
            }
        }

    if (pooled)
#pragma GCC unroll 16
        for (int r = 0; r < kept; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) {
                acc[r][v] = FC_NAME(fc_largest)(acc[2 * r][v], acc[2 * r + 1][v], acc[line + 2 * r][v],
                                                acc[line + 2 * r + 1][v], &which);
                if (winner)
                    *(vec *)(winner + r * p->c_row + v * FC_LANES) = which;
            }
    if (p->relu)
#pragma GCC unroll 16
        for (int r = 0; r < kept; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                acc[r][v] = FC_NAME(fc_positive)(acc[r][v]);
    if (mask)
#pragma GCC unroll 16
        for (int r = 0; r < kept; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                acc[r][v] = FC_NAME(fc_masked)(acc[r][v], mask + r * p->c_row + v * FC_LANES);
#pragma GCC unroll 16
    for (int r = 0; r < kept; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            *(vec *)(c + r * p->c_row + v * FC_LANES) = acc[r][v];
}

/* One line of C, `vecs` vectors of it. */
static inline __attribute__((always_inline)) void FC_NAME(fc_line)(
    const int vecs, const fc_product *p, const FC_REAL *a, const FC_REAL *b, const FC_REAL *bias, const FC_REAL *mask,
    FC_REAL *c /* OUT, with p->add IN too */)
{
    const int most = vecs > 2 ? FC_TILE_ROWS * 2 / vecs : FC_TILE_ROWS;
    const ptrdiff_t blocks = (p->rows + most - 1) / most;
    for (ptrdiff_t block = 0, i = 0, end; block < blocks; block++, i = end) {
        end = (block + 1) * p->rows / blocks; /* blocks of nearly equal height */
        const FC_REAL *at = a + i * p->a_row;
        const ptrdiff_t *reach = p->reach ? p->reach + i : NULL; /* the block's first row reaches furthest */
        const FC_REAL *maskt = mask ? mask + i * p->c_row : NULL;
        FC_REAL *ct = c + i * p->c_row;
#define FC_CASE(R)                                                       \
    case R:                                                              \
        if (R <= most)                                                   \
            FC_NAME(fc_tile)(0, R, vecs, p, reach, at, b, bias, maskt, ct, NULL); \
        break;
        switch (end - i) {
            FC_CASE(1) FC_CASE(2) FC_CASE(3) FC_CASE(4) FC_CASE(5) FC_CASE(6)
#if FC_TILE_ROWS > 6
            FC_CASE(7) FC_CASE(8) FC_CASE(9) FC_CASE(10) FC_CASE(11) FC_CASE(12)
#endif
        }
#undef FC_CASE
    }
}

static void FC_NAME(fc_multiply)(const fc_product *product, const FC_REAL *a, const FC_REAL *b, const FC_REAL *bias,
                                 const FC_REAL *mask, FC_REAL *c /* OUT */)
{
    const fc_product own = *product, *p = &own; /* no store changes this one, so it need not be read again */
    for (ptrdiff_t j = 0, vecs; j < p->cols; j += vecs * FC_LANES) {
        vecs = FC_TILE_VECTORS((p->cols - j + FC_LANES - 1) / FC_LANES);
        const FC_REAL *bj = bias ? bias + j : NULL;
        for (ptrdiff_t h = 0; h < p->lines; h++) {
            const FC_REAL *ah = a + h * p->a_line, *mh = mask ? mask + h * p->c_line + j : NULL;
            FC_REAL *ch = c + h * p->c_line + j;
            if (vecs == 1)
                FC_NAME(fc_line)(1, p, ah, b + j, bj, mh, ch);
            else if (vecs == 2)
                FC_NAME(fc_line)(2, p, ah, b + j, bj, mh, ch);
            else
                FC_NAME(fc_line)(FC_TILE_WIDE, p, ah, b + j, bj, mh, ch);
        }
    }
}

/* The largest of two by two elements of C of fc_multiply: those of the lines 2h and 2h + 1 and rows 2i and 2i + 1, at
 * C[h, i]; p->lines and p->rows count these.  winner[h, i] = which of them it is, 0 to 3, unless winner is NULL; its
 * lines lie side by side. */
static void FC_NAME(fc_multiply_pooled)(const fc_product *product, const FC_REAL *a, const FC_REAL *b,
                                        const FC_REAL *bias, FC_REAL *c /* OUT */, FC_REAL *winner /* OUT */)
{
    const fc_product own = *product, *p = &own;
    const ptrdiff_t most = FC_TILE_ROWS / 4, blocks = (p->rows + most - 1) / most;
    for (ptrdiff_t j = 0, vecs; j < p->cols; j += vecs * FC_LANES) {
        vecs = p->cols - j > FC_LANES ? 2 : 1;
        for (ptrdiff_t h = 0; h < p->lines; h++)
            for (ptrdiff_t block = 0; block < blocks; block++) {
                const ptrdiff_t i = block * p->rows / blocks;
                const FC_REAL *at = a + 2 * h * p->a_line + 2 * i * p->a_row, *bj = bias ? bias + j : NULL;
                FC_REAL *ct = c + h * p->c_line + i * p->c_row + j;
                FC_REAL *wt = winner ? winner + (h * p->rows + i) * p->c_row + j : NULL;
#define FC_CASE(R)                                                                 \
    case R:                                                                        \
        if (R <= FC_TILE_ROWS / 4 && vecs == 2)                                    \
            FC_NAME(fc_tile)(1, 4 * R, 2, p, NULL, at, b + j, bj, NULL, ct, wt);   \
        else if (R <= FC_TILE_ROWS / 4)                                            \
            FC_NAME(fc_tile)(1, 4 * R, 1, p, NULL, at, b + j, bj, NULL, ct, wt);   \
        break;
                switch ((block + 1) * p->rows / blocks - i) {
                    FC_CASE(1) FC_CASE(2) FC_CASE(3)
                }
#undef FC_CASE
            }
    }
}

/* One position of fc_slide: acc[j] += x[c] * w[c, j] for the channels c that are `live`. */
static inline __attribute__((always_inline)) void FC_NAME(fc_slide_position)(
    const int taps, const int vecs, const ptrdiff_t w_row, const fc_window *p, uint64_t live, const FC_REAL *x,
    const FC_REAL *w, FC_NAME(fc_vec) acc[][2] /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    for (; live; live &= live - 1) {
        const ptrdiff_t channel = __builtin_ctzll(live);
        const vec a = x[channel] - zero;
        const FC_REAL *wj = w + channel * w_row;
#pragma GCC unroll 8
        for (int j = 0; j < taps; j++, wj += p->w_tap)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) {
                acc[j][v] = FC_FMA(a, *(const vec *)(wj + v * FC_LANES), acc[j][v]);
                FC_IN_PLACE(acc[j][v]);
            }
    }
}

/* Which channels of n positions of x are not zero, one bit each: all at once, long before they are needed, so that the
 * processor sees early how often the loop over them runs. */
static inline __attribute__((always_inline)) void FC_NAME(fc_slide_look)(
    const fc_window *p, ptrdiff_t n, const FC_REAL *x, uint64_t *live /* OUT (FC_AHEAD) */)
{
    const uint64_t all = p->channels < 64 ? ((uint64_t)1 << p->channels) - 1 : ~(uint64_t)0;
    for (ptrdiff_t i = 0; i < n && i < FC_AHEAD; i++, x += p->x_row) {
        uint64_t nonzero = 0;
        for (ptrdiff_t c = 0; c < p->channels; c += 64 / sizeof(FC_REAL)) {
            uint64_t row = 0; /* of 64 bytes */
#pragma GCC unroll 4
            for (int v = 0; v < 64 / FC_VECTOR_BYTES; v++)
                row |= (uint64_t)FC_NONZERO(*(const FC_NAME(fc_vec) *)(x + c + v * FC_LANES)) << v * FC_LANES;
            nonzero |= row << c;
        }
        live[i] = nonzero & all; /* the padding of a NaN may be a NaN */
    }
}

/* Input i of a sample of fc_slide, for the outputs from i to i + sums - 1, of which the first is then complete; output
 * i + taps enters the window.  x, mask and c are those of i; mode, sums, taps and vecs are constants at every call. */
static inline __attribute__((always_inline)) void FC_NAME(fc_slide_step)(
    const int mode, const int sums, const int taps, const int vecs, const ptrdiff_t w_row, const fc_window *p,
    const fc_way *way, ptrdiff_t i, uint64_t *live /* IN and OUT */, const FC_REAL *x, const FC_REAL *w,
    const FC_NAME(fc_vec) * start, const FC_REAL *mask, FC_REAL *c /* OUT, with p->add IN too */,
    FC_REAL *kept /* IN and OUT */, FC_NAME(fc_vec) acc[][2] /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const size_t ahead = (size_t)(i - way->first) % FC_AHEAD;
    if (ahead == 0 && i > way->first)
        FC_NAME(fc_slide_look)(p, way->positions - i, x, live);
    if (i < way->positions)
        FC_NAME(fc_slide_position)(sums, vecs, w_row, p, live[ahead], x, w, acc);
    if (i >= way->least)
        FC_NAME(fc_finish)(vecs, acc[0], mode != FC_HANDS_ON && p->relu, mode == FC_RESUMES ? NULL : mask, c);
#pragma GCC unroll 8
    for (int j = 0; j < taps; j++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[j][v] = j + 1 < taps ? acc[j + 1][v] : start[v];
    if (mode == FC_PLAIN && p->add && i + taps < way->stop)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[taps - 1][v] = *(const vec *)(c + taps * p->c_row + v * FC_LANES);
    if (mode == FC_HANDS_ON && sums == taps) /* where the window leaves, nothing enters */
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[taps - 1][v] = *(const vec *)(kept + (way->reach - i - taps) * FC_KEPT + v * FC_LANES);
    if (mode == FC_RESUMES && way->joins >> i & 1)
#pragma GCC unroll 8
        for (int j = 0; j + 1 < taps; j++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++)
                *(vec *)(kept + (i * (taps - 1) + j) * FC_KEPT + v * FC_LANES) = acc[j][v];
}

/* One sample of fc_slide: x is its first input, mask and c are those of output 0.  mode, taps and vecs are constants at
 * every call. */
static inline __attribute__((always_inline)) void FC_NAME(fc_slide_sample)(
    const int mode, const int taps, const int vecs, const ptrdiff_t w_row, const fc_window *p, const fc_way *way,
    const FC_REAL *x, const FC_REAL *w, const FC_REAL *bias, const FC_REAL *mask,
    FC_REAL *c /* OUT, with p->add IN too */, FC_REAL *kept /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    const ptrdiff_t first = way->first, stop = way->stop, reach = way->reach, x_row = p->x_row, c_row = p->c_row;
    vec start[2], acc[FC_TAPS][2];
    uint64_t live[FC_AHEAD];
    ptrdiff_t i = first;
#pragma GCC unroll 2
    for (int v = 0; v < vecs; v++)
        start[v] = (bias ? *(const vec *)(bias + v * FC_LANES) : zero) + zero;
#pragma GCC unroll 8
    for (int j = 0; j < taps; j++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++)
            acc[j][v] = mode == FC_PLAIN && p->add && way->least + j < stop
                            ? *(const vec *)(c + (way->least + j) * c_row + v * FC_LANES)
                        : mode == FC_RESUMES && first > 0 && j + 1 < taps
                            ? *(const vec *)(kept + ((first - 1) * (taps - 1) + j) * FC_KEPT + v * FC_LANES)
                        : mode == FC_HANDS_ON && j < reach ? *(const vec *)(kept + (reach - j) * FC_KEPT + v * FC_LANES)
                                                           : start[v];
    x += i * x_row, c += i * c_row, mask = mask ? mask + i * c_row : NULL;
    FC_NAME(fc_slide_look)(p, way->positions - i, x, live);
    if (way->least == taps - 1) {
        /* the window enters: input i reaches the outputs from least to least + i, with the taps from taps - 1 - i */
#define FC_ENTER(I)                                                                                              \
    if (I < taps - 1 && I < way->positions)                                                                      \
        FC_NAME(fc_slide_position)(I + 1, vecs, w_row, p, live[I], x + I * x_row, w + (taps - 1 - I) * p->w_tap, acc);
        FC_ENTER(0) FC_ENTER(1) FC_ENTER(2) FC_ENTER(3) FC_ENTER(4) FC_ENTER(5) FC_ENTER(6)
#undef FC_ENTER
        i = taps - 1, x += i * x_row, c += i * c_row, mask = mask ? mask + i * c_row : NULL;
    }
    for (; i + taps <= reach && i < stop; i++, x += x_row, c += c_row, mask = mask ? mask + c_row : NULL)
        FC_NAME(fc_slide_step)(mode, taps, taps, vecs, w_row, p, way, i, live, x, w, start, mask, c, kept, acc);
    /* the window leaves: there are fewer outputs than taps */
#define FC_LEAVE(S)                                                                                           \
    if (S < taps && i + S <= reach && i < stop) {                                                             \
        FC_NAME(fc_slide_step)(mode, S, taps, vecs, w_row, p, way, i, live, x, w, start, mask, c, kept, acc); \
        i++, x += x_row, c += c_row, mask = mask ? mask + c_row : NULL;                                       \
    }
    FC_LEAVE(7) FC_LEAVE(6) FC_LEAVE(5) FC_LEAVE(4) FC_LEAVE(3) FC_LEAVE(2) FC_LEAVE(1)
#undef FC_LEAVE
    if (mode == FC_HANDS_ON)
#pragma GCC unroll 8
        for (int j = 0; j + 1 < taps; j++)
            if (stop + j < reach)
#pragma GCC unroll 2
                for (int v = 0; v < vecs; v++)
                    *(vec *)(kept + (reach - stop - j) * FC_KEPT + v * FC_LANES) = acc[j][v];
}

/* All samples of fc_slide. */
static inline __attribute__((always_inline)) void FC_NAME(fc_slide_tile)(
    const int mode, const int taps, const int vecs, const ptrdiff_t w_row, const fc_window *p, const FC_REAL *x,
    const FC_REAL *w, const FC_REAL *bias, const FC_REAL *mask, FC_REAL *c /* OUT, with p->add IN too */,
    FC_REAL *kept /* IN and OUT */)
{
    const fc_suffixes *s = p->suffixes;
    ptrdiff_t before = 0;
    for (ptrdiff_t t = 0; t < p->samples; t++) {
        const ptrdiff_t i = mode == FC_PLAIN ? t : s->sequence[mode == FC_RESUMES ? t : p->samples - 1 - t];
        const ptrdiff_t outputs = p->outputs[i], least = p->positions[i] > outputs ? p->positions[i] - outputs : 0;
        fc_way way = {0, p->positions[i], least, least + outputs, least + outputs, 0};
        const ptrdiff_t x_last = p->x_row < 0 ? way.positions - 1 : 0, c_last = p->x_row < 0 ? way.stop - 1 : least;
        const ptrdiff_t at = i * p->c_sample - c_last * p->c_row;
        if (mode == FC_RESUMES) {
            way.first = s->shared[i], way.joins = s->joins[i] >> 1;
            if (way.joins && way.reach < 63 - __builtin_clzll(way.joins) + taps)
                way.reach = 63 - __builtin_clzll(way.joins) + taps; /* what others take over is complete */
        } else if (mode == FC_HANDS_ON && s->shared[i]) {
            way.positions = way.stop = way.reach - s->shared[i];
        }
        FC_NAME(fc_slide_sample)(mode, taps, vecs, w_row, p, &way, x + i * p->x_sample - x_last * p->x_row, w, bias,
                                 mask ? mask + at : NULL, c + at, kept);
        if (mode == FC_HANDS_ON && s->joins[i]) /* what others have handed on is done with */
            memset(kept + (s->shared[i] + 1) * FC_KEPT, 0,
                   (63 - __builtin_clzll(s->joins[i]) - s->shared[i]) * FC_KEPT * sizeof(FC_REAL));
        for (ptrdiff_t m = 0; m < way.first; m++) /* the outputs in common */
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++)
                *(FC_NAME(fc_vec) *)(c + at + m * p->c_row + v * FC_LANES) =
                    *(const FC_NAME(fc_vec) *)(c + before + m * p->c_row + v * FC_LANES);
        before = at;
    }
}

/* fc_slide for each mode and number of taps: functions of their own, since a compiler takes too long over a large one. */
#define FC_SLIDES(NAME, MODE, T)                                                                      \
    static __attribute__((noinline)) void FC_NAME(NAME##T)(                                           \
        ptrdiff_t vecs, const fc_window *p, const FC_REAL *x, const FC_REAL *w, const FC_REAL *bias,  \
        const FC_REAL *mask, FC_REAL *c, FC_REAL *kept)                                               \
    {                                                                                                 \
        if (vecs == 1 || T > FC_SLIDE_WIDE)                                                           \
            FC_NAME(fc_slide_tile)(MODE, T, 1, p->w_row, p, x, w, bias, mask, c, kept);               \
        else if (MODE != FC_PLAIN && p->w_row == FC_SHORT) /* up to two of the longest vectors */     \
            FC_NAME(fc_slide_tile)(MODE, T, 2, FC_SHORT, p, x, w, bias, mask, c, kept);               \
        else                                                                                          \
            FC_NAME(fc_slide_tile)(MODE, T, 2, p->w_row, p, x, w, bias, mask, c, kept);               \
    }
FC_SLIDES(fc_plain, FC_PLAIN, 1)
FC_SLIDES(fc_plain, FC_PLAIN, 2)
FC_SLIDES(fc_plain, FC_PLAIN, 3)
FC_SLIDES(fc_plain, FC_PLAIN, 4)
FC_SLIDES(fc_plain, FC_PLAIN, 5)
FC_SLIDES(fc_plain, FC_PLAIN, 6)
FC_SLIDES(fc_plain, FC_PLAIN, 7)
FC_SLIDES(fc_plain, FC_PLAIN, 8)
FC_SLIDES(fc_resumes, FC_RESUMES, 4)
FC_SLIDES(fc_resumes, FC_RESUMES, 5)
FC_SLIDES(fc_resumes, FC_RESUMES, 6)
FC_SLIDES(fc_hands_on, FC_HANDS_ON, 4)
FC_SLIDES(fc_hands_on, FC_HANDS_ON, 5)
FC_SLIDES(fc_hands_on, FC_HANDS_ON, 6)
#undef FC_SLIDES

static void FC_NAME(fc_slide)(const fc_window *p, const FC_REAL *x, const FC_REAL *w, const FC_REAL *bias,
                              const FC_REAL *mask, FC_REAL *c /* OUT, with p->add IN too */,
                              FC_REAL *kept /* IN and OUT, or NULL */)
{
    for (ptrdiff_t j = 0, vecs; j < p->cols; j += vecs * FC_LANES) {
        vecs = p->cols - j > FC_LANES && p->taps <= FC_SLIDE_WIDE ? 2 : 1;
        const FC_REAL *bj = bias ? bias + j : NULL, *mj = mask ? mask + j : NULL;
#define FC_CASE(NAME, T)                                          \
    case T:                                                       \
        FC_NAME(NAME##T)(vecs, p, x, w + j, bj, mj, c + j, kept); \
        break;
        if (!p->suffixes)
            switch (p->taps) {
                FC_CASE(fc_plain, 1) FC_CASE(fc_plain, 2) FC_CASE(fc_plain, 3) FC_CASE(fc_plain, 4)
                FC_CASE(fc_plain, 5) FC_CASE(fc_plain, 6) FC_CASE(fc_plain, 7) FC_CASE(fc_plain, 8)
            }
        else if (p->x_row < 0)
            switch (p->taps) {
                FC_CASE(fc_resumes, 4) FC_CASE(fc_resumes, 5) FC_CASE(fc_resumes, 6)
            }
        else
            switch (p->taps) {
                FC_CASE(fc_hands_on, 4) FC_CASE(fc_hands_on, 5) FC_CASE(fc_hands_on, 6)
            }
#undef FC_CASE
    }
}

/* The taps of position p that fall on one of `length` codes: from *first up to what is returned. */
static inline ptrdiff_t FC_NAME(fc_taps)(const fc_table *t, ptrdiff_t at, ptrdiff_t length, ptrdiff_t *first /* OUT */)
{
    const ptrdiff_t d = t->dilation;
    const ptrdiff_t last = d == 1 ? length - at : (length - at + d - 1) / d;
    *first = at >= 0 ? 0 : d == 1 ? -at : (d - 1 - at) / d;
    return last < t->width ? last : t->width;
}

/* Some vectors, from element j of a row, of position p of the one-hot form of codes, convolved: acc = bias + the sum of
 * W[k*w_tap + codes[q]*w_row + :] over the k below width with codes[q] >= 0 at q = p*stride + k*dilation - before, where
 * codes has `length` elements that count.  vecs is a constant at every call, as in what follows. */
static inline __attribute__((always_inline)) void FC_NAME(fc_columns)(
    const int vecs, const fc_table *t, ptrdiff_t p, ptrdiff_t length, const int16_t *codes, const FC_REAL *w,
    const FC_REAL *bias, ptrdiff_t j, FC_NAME(fc_vec) * acc /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    const ptrdiff_t at = p * t->stride - t->before;
    ptrdiff_t k, last = FC_NAME(fc_taps)(t, at, length, &k);
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++)
        acc[v] = bias ? (vec)(zero + *(const vec *)(bias + j + v * FC_LANES)) : zero;
    for (; k < last; k++) {
        const ptrdiff_t code = codes[at + k * t->dilation];
        if (code >= 0) {
            const FC_REAL *row = w + k * t->w_tap + code * t->w_row + j;
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                acc[v] += *(const vec *)(row + v * FC_LANES);
        }
    }
}

/* The adjoint of fc_columns: W[k*w_tap + codes[q]*w_row + :] += y. */
static inline __attribute__((always_inline)) void FC_NAME(fc_add_columns)(
    const int vecs, const fc_table *t, ptrdiff_t p, ptrdiff_t length, const int16_t *codes, const FC_NAME(fc_vec) * y,
    ptrdiff_t j, FC_REAL *w /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const ptrdiff_t at = p * t->stride - t->before;
    ptrdiff_t k, last = FC_NAME(fc_taps)(t, at, length, &k);
    for (; k < last; k++) {
        const ptrdiff_t code = codes[at + k * t->dilation];
        if (code >= 0) {
            FC_REAL *row = w + k * t->w_tap + code * t->w_row + j;
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++)
                *(vec *)(row + v * FC_LANES) += y[v];
        }
    }
}

static inline __attribute__((always_inline)) void FC_NAME(fc_lookup_piece)(
    const int vecs, const fc_table *t, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes, const FC_REAL *w,
    const FC_REAL *bias, ptrdiff_t j, FC_REAL *y /* OUT */)
{
    FC_NAME(fc_vec) acc[FC_COLUMNS];
    for (ptrdiff_t p = 0; p < positions; p++) {
        FC_NAME(fc_columns)(vecs, t, p, length, codes, w, bias, j, acc);
        FC_NAME(fc_finish)(vecs, acc, t->relu, NULL, y + p * t->y_row + j);
    }
}

static inline __attribute__((always_inline)) void FC_NAME(fc_scatter_piece)(
    const int vecs, const fc_table *t, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes, const FC_REAL *y,
    ptrdiff_t j, FC_REAL *w /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    vec dy[FC_COLUMNS];
    for (ptrdiff_t p = 0; p < positions; p++) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            dy[v] = *(const vec *)(y + p * t->y_row + j + v * FC_LANES);
        FC_NAME(fc_add_columns)(vecs, t, p, length, codes, dy, j, w);
    }
}

static inline __attribute__((always_inline)) void FC_NAME(fc_lookup_largest_piece)(
    const int vecs, const fc_table *t, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes, const FC_REAL *w,
    const FC_REAL *bias, ptrdiff_t j, FC_REAL *y /* OUT */, FC_REAL *winner /* OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    const vec zero = {0};
    vec best[FC_COLUMNS] = {zero}, which[FC_COLUMNS] = {zero}, acc[FC_COLUMNS], place = zero + 1;
    if (positions > 0)
        FC_NAME(fc_columns)(vecs, t, 0, length, codes, w, bias, j, best);
    for (ptrdiff_t p = 1; p < positions; p++, place += 1) {
        FC_NAME(fc_columns)(vecs, t, p, length, codes, w, bias, j, acc);
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            FC_NAME(fc_maximum)(acc[v], place, best + v, which + v);
    }
    FC_NAME(fc_finish)(vecs, best, t->relu, NULL, y + j);
    if (winner)
        FC_NAME(fc_finish)(vecs, which, 0, NULL, winner + j);
}

static inline __attribute__((always_inline)) void FC_NAME(fc_scatter_largest_piece)(
    const int vecs, const fc_table *t, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes, const FC_REAL *y,
    const FC_REAL *winner, ptrdiff_t j, FC_REAL *w /* IN and OUT */)
{
    typedef FC_NAME(fc_vec) vec;
    typedef FC_NAME(fc_bits) bits;
    vec all[FC_COLUMNS], which[FC_COLUMNS], won[FC_COLUMNS], place = {0};
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        all[v] = *(const vec *)(y + j + v * FC_LANES);
        which[v] = *(const vec *)(winner + j + v * FC_LANES);
    }
    for (ptrdiff_t p = 0; p < positions; p++, place += 1) {
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            won[v] = (vec)((bits)all[v] & (which[v] == place));
        FC_NAME(fc_add_columns)(vecs, t, p, length, codes, won, j, w);
    }
}

/* PIECE(vecs, t, ..., j, ...) for every FC_COLUMNS vectors of a row, and for what is left. */
#define FC_PIECES(PIECE, ...)                                                      \
    for (ptrdiff_t j = 0; j < t->cols; j += FC_COLUMNS * FC_LANES)                 \
        switch (t->cols - j > 3 * FC_LANES ? 4 : (t->cols - j - 1) / FC_LANES + 1) { \
        case 1:                                                                    \
            PIECE(1, __VA_ARGS__);                                                 \
            break;                                                                 \
        case 2:                                                                    \
            PIECE(2, __VA_ARGS__);                                                 \
            break;                                                                 \
        case 3:                                                                    \
            PIECE(3, __VA_ARGS__);                                                 \
            break;                                                                 \
        default:                                                                   \
            PIECE(4, __VA_ARGS__);                                                 \
        }

/* The one-hot form of codes, convolved: y[p, :] for p < positions. */
static void FC_NAME(fc_lookup)(const fc_table *table, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes,
                               const FC_REAL *w, const FC_REAL *bias, FC_REAL *y /* OUT */)
{
    const fc_table own = *table, *t = &own;
    FC_PIECES(FC_NAME(fc_lookup_piece), t, positions, length, codes, w, bias, j, y)
}

/* The adjoint of fc_lookup. */
static void FC_NAME(fc_scatter)(const fc_table *table, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes,
                                const FC_REAL *y, FC_REAL *w /* IN and OUT */)
{
    const fc_table own = *table, *t = &own;
    FC_PIECES(FC_NAME(fc_scatter_piece), t, positions, length, codes, y, j, w)
}

/* As fc_lookup, and of all positions the largest: y[:] = max_p y[p, :], the first of equals, 0 where there is no
 * position; a NaN is the largest.  winner[:] = the position, unless it is NULL. */
static void FC_NAME(fc_lookup_largest)(const fc_table *table, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes,
                                       const FC_REAL *w, const FC_REAL *bias, FC_REAL *y /* OUT */,
                                       FC_REAL *winner /* OUT */)
{
    const fc_table own = *table, *t = &own;
    FC_PIECES(FC_NAME(fc_lookup_largest_piece), t, positions, length, codes, w, bias, j, y, winner)
}

/* The adjoint of fc_lookup_largest: each element of y belongs to the position that won. */
static void FC_NAME(fc_scatter_largest)(const fc_table *table, ptrdiff_t positions, ptrdiff_t length, const int16_t *codes,
                                        const FC_REAL *y, const FC_REAL *winner, FC_REAL *w /* IN and OUT */)
{
    const fc_table own = *table, *t = &own;
    FC_PIECES(FC_NAME(fc_scatter_largest_piece), t, positions, length, codes, y, winner, j, w)
}

#undef FC_PIECES

/* t[j, i] = a[i, j], in square blocks of 16-byte rows, 0 beyond the last row of a: rows are padded in both. */
static void FC_NAME(fc_transpose)(ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t a_row, ptrdiff_t t_row, const FC_REAL *a,
                                  FC_REAL *t /* OUT */)
{
    typedef FC_REAL quad __attribute__((vector_size(16), aligned(sizeof(FC_REAL)), may_alias));
    const ptrdiff_t step = 16 / sizeof(FC_REAL);
    for (ptrdiff_t i = 0; i < rows; i += step)
        for (ptrdiff_t j = 0; j < cols; j += step) {
            quad block[4];
            for (int r = 0; r < step; r++)
                block[r] = i + r < rows ? *(const quad *)(a + (i + r) * a_row + j) : (quad){0};
            FC_TRANSPOSE(block);
            for (int r = 0; r < step && j + r < cols; r++)
                *(quad *)(t + (j + r) * t_row + i) = block[r];
        }
}

#undef FC_LANES
#undef FC_SHORT
#undef FC_REAL
#undef FC_BITS
#undef FC_NAME
#undef FC_FMA
#undef FC_NONZERO
#undef FC_TRANSPOSE
