/* Winograd's algorithm along the lines of an image: F(4, 3) and F(4, 5), that is 4 outputs of 3 taps from 6 products
 * where the plain sum takes 12, or of 5 taps from 8 where it takes 20 (Lavin and Gray, 2016; the points are 0, 1, -1, 2,
 * -2, for 5 taps also 1/2 and -1/2, and infinity).  Only for float: the transforms cost some bits.  No operation is
 * fused, so that all levels agree. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "tile.h"

#define FC_OUTPUTS 4 /* of a tile */
#define FC_WINOGRAD_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(float)))

/* u[t] = the transform of the `taps` (3 or 5) weights of each channel and filter; taps lie `tap` apart in w, and so do
 * the points `plane` in u; size = channels * padded filters. */
static void fc_winograd_weights(ptrdiff_t taps, ptrdiff_t size, ptrdiff_t tap, const float *w, ptrdiff_t plane,
                                float *u /* OUT */)
{
    typedef fc_vec_float vec;
    for (ptrdiff_t i = 0; i < size; i += FC_WINOGRAD_LANES, w += FC_WINOGRAD_LANES, u += FC_WINOGRAD_LANES) {
        const vec g0 = *(const vec *)w, g1 = *(const vec *)(w + tap), g2 = *(const vec *)(w + 2 * tap);
        const vec g3 = taps > 3 ? *(const vec *)(w + 3 * tap) : (vec){0};
        const vec g4 = taps > 3 ? *(const vec *)(w + 4 * tap) : (vec){0};
        const vec even = g0 + g2 + g4, odd = g1 + g3;
        const vec even2 = g0 + 4 * g2 + 16 * g4, odd2 = 2 * g1 + 8 * g3;
        const float at1 = taps > 3 ? -2 / 9.0f : -1 / 6.0f, at2 = taps > 3 ? 1 / 90.0f : 1 / 24.0f;
        *(vec *)u = g0 * (taps > 3 ? 1 : 0.25f);
        *(vec *)(u + plane) = (even + odd) * at1;
        *(vec *)(u + 2 * plane) = (even - odd) * at1;
        *(vec *)(u + 3 * plane) = (even2 + odd2) * at2;
        *(vec *)(u + 4 * plane) = (even2 - odd2) * at2;
        if (taps > 3) {
            const vec half = g0 + g2 * 0.25f + g4 * 0.0625f, odd_half = g1 * 0.5f + g3 * 0.125f;
            *(vec *)(u + 5 * plane) = (half + odd_half) * (32 / 45.0f);
            *(vec *)(u + 6 * plane) = (half - odd_half) * (32 / 45.0f);
        }
        *(vec *)(u + (taps + 2) * plane) = taps > 3 ? g4 : g2;
    }
}

/* The transform of the taps + 3 pixels under a tile, which lie `pixel` apart, a vector of channels of each. */
static inline __attribute__((always_inline)) void fc_winograd_pixels(
    const int taps, ptrdiff_t pixel, const float *x, ptrdiff_t plane, float *v /* OUT */)
{
    typedef fc_vec_float vec;
    const vec d0 = *(const vec *)x, d1 = *(const vec *)(x + pixel), d2 = *(const vec *)(x + 2 * pixel);
    const vec d3 = *(const vec *)(x + 3 * pixel), d4 = *(const vec *)(x + 4 * pixel), d5 = *(const vec *)(x + 5 * pixel);
    if (taps == 3) {
        const vec even = d4 - 4 * d2, odd = d3 - 4 * d1, even2 = d4 - d2, odd2 = 2 * (d3 - d1);
        *(vec *)v = 4 * d0 - 5 * d2 + d4;
        *(vec *)(v + plane) = even + odd;
        *(vec *)(v + 2 * plane) = even - odd;
        *(vec *)(v + 3 * plane) = even2 + odd2;
        *(vec *)(v + 4 * plane) = even2 - odd2;
        *(vec *)(v + 5 * plane) = 4 * d1 - 5 * d3 + d5;
    } else {
        const vec d6 = *(const vec *)(x + 6 * pixel), d7 = *(const vec *)(x + 7 * pixel);
        const vec even = d2 + d6 - 4.25f * d4, odd = d1 + d5 - 4.25f * d3;
        const vec even2 = 0.25f * d2 - 1.25f * d4 + d6, odd2 = 0.5f * d1 - 2.5f * d3 + 2 * d5;
        const vec half = 4 * d2 - 5 * d4 + d6, odd_half = 2 * d1 - 2.5f * d3 + 0.5f * d5;
        *(vec *)v = d0 - d6 + 5.25f * (d4 - d2);
        *(vec *)(v + plane) = even + odd;
        *(vec *)(v + 2 * plane) = even - odd;
        *(vec *)(v + 3 * plane) = even2 + odd2;
        *(vec *)(v + 4 * plane) = even2 - odd2;
        *(vec *)(v + 5 * plane) = half + odd_half;
        *(vec *)(v + 6 * plane) = half - odd_half;
        *(vec *)(v + 7 * plane) = d7 - d1 + 5.25f * (d3 - d5);
    }
}

/* v[t, h, j, c] = the transforms of the pixels under tile j of line h; lines lie v_line apart, points `plane`. */
static void fc_winograd_input(ptrdiff_t taps, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t channels, ptrdiff_t x_line,
                              const float *x, ptrdiff_t v_line, ptrdiff_t plane, float *v /* OUT */)
{
    for (ptrdiff_t h = 0; h < lines; h++)
        for (ptrdiff_t j = 0; j < tiles; j++)
            for (ptrdiff_t c = 0; c < channels; c += FC_WINOGRAD_LANES) {
                const float *at = x + h * x_line + j * FC_OUTPUTS * channels + c;
                float *to = v + h * v_line + j * channels + c;
                if (taps == 3)
                    fc_winograd_pixels(3, channels, at, plane, to);
                else
                    fc_winograd_pixels(5, channels, at, plane, to);
            }
}

/* The gradients of the taps + 3 pixels under a tile, a vector of channels of each: fc_winograd_pixels, transposed. */
static inline __attribute__((always_inline)) void fc_winograd_pixels_back(
    const int taps, ptrdiff_t plane, const float *v, fc_vec_float *d /* OUT (taps + 3) */)
{
    typedef fc_vec_float vec;
    const vec v0 = *(const vec *)v, v1 = *(const vec *)(v + plane), v2 = *(const vec *)(v + 2 * plane);
    const vec v3 = *(const vec *)(v + 3 * plane), v4 = *(const vec *)(v + 4 * plane);
    const vec s = v1 + v2, a = v1 - v2, s2 = v3 + v4, a2 = v3 - v4, last = *(const vec *)(v + (taps + 2) * plane);
    if (taps == 3) {
        d[0] = 4 * v0;
        d[1] = 4 * (last - a) - 2 * a2;
        d[2] = -5 * v0 - 4 * s - s2;
        d[3] = a + 2 * a2 - 5 * last;
        d[4] = v0 + s + s2;
    } else {
        const vec v5 = *(const vec *)(v + 5 * plane), v6 = *(const vec *)(v + 6 * plane), s3 = v5 + v6, a3 = v5 - v6;
        d[0] = v0;
        d[1] = a + 0.5f * a2 + 2 * a3 - last;
        d[2] = s + 0.25f * s2 + 4 * s3 - 5.25f * v0;
        d[3] = 5.25f * last - 4.25f * a - 2.5f * (a2 + a3);
        d[4] = 5.25f * v0 - 4.25f * s - 1.25f * s2 - 5 * s3;
        d[5] = a + 2 * a2 + 0.5f * a3 - 5.25f * last;
        d[6] = s + s2 + s3 - v0;
    }
    d[taps + 2] = last;
}

/* dx[h, q, c] = the sums of the pixels' gradients under the tiles of line h, the first of which begins `left` pixels
 * before the line. */
static inline __attribute__((always_inline)) void fc_winograd_overlaps(
    const int taps, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t width, ptrdiff_t left, ptrdiff_t row, ptrdiff_t v_line,
    ptrdiff_t plane, const float *v, ptrdiff_t x_line, float *dx /* OUT */)
{
    typedef fc_vec_float vec;
    for (ptrdiff_t h = 0; h < lines; h++, v += v_line, dx += x_line)
        for (ptrdiff_t c = 0; c < row; c += FC_WINOGRAD_LANES) {
            vec d[8] = {{0}};
            ptrdiff_t at = -left;
            for (ptrdiff_t j = 0; at < width; j++) { /* behind the last tile what is left of it, and zeros */
                vec over[4] = {d[4], d[5], d[6], d[7]};
                if (j < tiles)
                    fc_winograd_pixels_back(taps, plane, v + j * row + c, d);
                else
                    for (int q = 0; q < taps + 3; q++)
                        d[q] = (vec){0};
                for (int q = 0; q < taps - 1; q++)
                    d[q] += over[q];
                for (int q = 0; q < FC_OUTPUTS; q++, at++)
                    if (at >= 0 && at < width)
                        *(vec *)(dx + at * row + c) = d[q];
            }
        }
}

static void fc_winograd_input_back(ptrdiff_t taps, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t width, ptrdiff_t left,
                                   ptrdiff_t row, ptrdiff_t v_line, ptrdiff_t plane, const float *v, ptrdiff_t x_line,
                                   float *dx /* OUT */)
{
    if (taps == 3)
        fc_winograd_overlaps(3, lines, tiles, width, left, row, v_line, plane, v, x_line, dx);
    else
        fc_winograd_overlaps(5, lines, tiles, width, left, row, v_line, plane, v, x_line, dx);
}

/* The outputs of a tile, a vector of filters of each, from its products, which lie `plane` apart. */
static inline __attribute__((always_inline)) void fc_winograd_sums(
    const int taps, ptrdiff_t plane, const float *m, fc_vec_float bias, fc_vec_float *out /* OUT (FC_OUTPUTS) */)
{
    typedef fc_vec_float vec;
    const vec m1 = *(const vec *)(m + plane), m2 = *(const vec *)(m + 2 * plane), s = m1 + m2, d = m1 - m2;
    const vec m3 = *(const vec *)(m + 3 * plane), m4 = *(const vec *)(m + 4 * plane), s2 = m3 + m4, d2 = m3 - m4;
    out[0] = *(const vec *)m + s + s2 + bias;
    out[1] = d + 2 * d2 + bias;
    out[2] = s + 4 * s2 + bias;
    out[3] = d + 8 * d2 + *(const vec *)(m + (taps + 2) * plane) + bias;
    if (taps > 3) {
        const vec m5 = *(const vec *)(m + 5 * plane), m6 = *(const vec *)(m + 6 * plane), s3 = m5 + m6, d3 = m5 - m6;
        out[0] += s3;
        out[1] += 0.5f * d3;
        out[2] += 0.25f * s3;
        out[3] += 0.125f * d3;
    }
}

/* y[h, q, :] = bias + the outputs of the products m[t, h, j, :], as far as `width` reaches, then max(0, y) if relu; or,
 * if pooled, the largest of two by two of them, where each line of y comes of two of m, and in winner, unless it is
 * NULL, which of the four it is. */
static inline __attribute__((always_inline)) void fc_winograd_lines(
    const int taps, const int pooled, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t width, ptrdiff_t row, ptrdiff_t m_line,
    ptrdiff_t plane, const float *m, const float *bias, int relu, ptrdiff_t y_line, float *y /* OUT */,
    float *winner /* OUT */)
{
    typedef fc_vec_float vec;
    const vec zero = {0};
    for (ptrdiff_t h = 0; h < lines; h += 1 + pooled, y += y_line)
        for (ptrdiff_t j = 0; j < tiles; j++)
            for (ptrdiff_t f = 0; f < row; f += FC_WINOGRAD_LANES) {
                const float *at = m + h * m_line + j * row + f;
                const vec b = bias ? *(const vec *)(bias + f) : zero;
                const ptrdiff_t first = j * FC_OUTPUTS / (1 + pooled); /* pixel of y */
                vec out[FC_OUTPUTS], below[FC_OUTPUTS], which[FC_OUTPUTS];
                fc_winograd_sums(taps, plane, at, b, out);
                if (pooled) {
                    fc_winograd_sums(taps, plane, at + m_line, b, below);
                    for (int q = 0; q < FC_OUTPUTS; q += 2)
                        out[q / 2] = fc_largest_float(out[q], out[q + 1], below[q], below[q + 1], which + q / 2);
                }
                for (ptrdiff_t q = 0; q < FC_OUTPUTS / (1 + pooled) && first + q < width / (1 + pooled); q++) {
                    fc_finish_float(1, out + q, relu, NULL, y + (first + q) * row + f);
                    if (pooled && winner)
                        *(vec *)(winner + (h / 2 * (width / 2) + first + q) * row + f) = which[q];
                }
            }
}

/* m[t, h, j, f] = the transforms of the outputs' gradients under tile j of line h: fc_winograd_sums, transposed. */
static inline __attribute__((always_inline)) void fc_winograd_spread(
    const int taps, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t row, ptrdiff_t y_line, const float *dy,
    ptrdiff_t m_line, ptrdiff_t plane, float *m /* OUT */)
{
    typedef fc_vec_float vec;
    for (ptrdiff_t h = 0; h < lines; h++)
        for (ptrdiff_t j = 0; j < tiles; j++)
            for (ptrdiff_t f = 0; f < row; f += FC_WINOGRAD_LANES) {
                const float *at = dy + h * y_line + j * FC_OUTPUTS * row + f;
                float *to = m + h * m_line + j * row + f;
                const vec d0 = *(const vec *)at, d1 = *(const vec *)(at + row);
                const vec d2 = *(const vec *)(at + 2 * row), d3 = *(const vec *)(at + 3 * row);
                const vec even = d0 + d2, odd = d1 + d3, even2 = d0 + 4 * d2, odd2 = 2 * d1 + 8 * d3;
                *(vec *)to = d0;
                *(vec *)(to + plane) = even + odd;
                *(vec *)(to + 2 * plane) = even - odd;
                *(vec *)(to + 3 * plane) = even2 + odd2;
                *(vec *)(to + 4 * plane) = even2 - odd2;
                if (taps > 3) {
                    const vec half = d0 + 0.25f * d2, odd_half = 0.5f * d1 + 0.125f * d3;
                    *(vec *)(to + 5 * plane) = half + odd_half;
                    *(vec *)(to + 6 * plane) = half - odd_half;
                }
                *(vec *)(to + (taps + 2) * plane) = d3;
            }
}

static void fc_winograd_gradients(ptrdiff_t taps, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t row, ptrdiff_t y_line,
                                  const float *dy, ptrdiff_t m_line, ptrdiff_t plane, float *m /* OUT */)
{
    if (taps == 3)
        fc_winograd_spread(3, lines, tiles, row, y_line, dy, m_line, plane, m);
    else
        fc_winograd_spread(5, lines, tiles, row, y_line, dy, m_line, plane, m);
}

/* dw = the gradients of the `taps` weights of each channel and filter, added to dw if add, from those of their
 * transforms, s[t]: the transpose of fc_winograd_weights. */
static void fc_winograd_taps(ptrdiff_t taps, ptrdiff_t size, ptrdiff_t plane, const float *s, int add, ptrdiff_t tap,
                             float *dw /* OUT, IN too if add */)
{
    typedef fc_vec_float vec;
    for (ptrdiff_t i = 0; i < size; i += FC_WINOGRAD_LANES, s += FC_WINOGRAD_LANES, dw += FC_WINOGRAD_LANES) {
        const vec s1 = *(const vec *)(s + plane), s2 = *(const vec *)(s + 2 * plane);
        const vec s3 = *(const vec *)(s + 3 * plane), s4 = *(const vec *)(s + 4 * plane);
        const float at1 = taps > 3 ? -2 / 9.0f : -1 / 6.0f, at2 = taps > 3 ? 1 / 90.0f : 1 / 24.0f;
        const vec even = (s1 + s2) * at1, odd = (s1 - s2) * at1, even2 = (s3 + s4) * at2, odd2 = (s3 - s4) * at2;
        const vec end = *(const vec *)(s + (taps + 2) * plane);
        vec g[5] = {*(const vec *)s * (taps > 3 ? 1 : 0.25f) + even + even2, odd + 2 * odd2, even + 4 * even2};
        if (taps > 3) {
            const vec s5 = *(const vec *)(s + 5 * plane), s6 = *(const vec *)(s + 6 * plane);
            const vec half = (s5 + s6) * (32 / 45.0f), odd_half = (s5 - s6) * (32 / 45.0f);
            g[0] += half;
            g[1] += 0.5f * odd_half;
            g[2] += 0.25f * half;
            g[3] = odd + 8 * odd2 + 0.125f * odd_half;
            g[4] = even + 16 * even2 + 0.0625f * half;
        }
        g[taps - 1] += end;
        for (ptrdiff_t k = 0; k < taps; k++) {
            if (add)
                g[k] += *(const vec *)(dw + k * tap);
            *(vec *)(dw + k * tap) = g[k];
        }
    }
}

static void fc_winograd_output(ptrdiff_t taps, int pooled, ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t width,
                               ptrdiff_t row, ptrdiff_t m_line, ptrdiff_t plane, const float *m, const float *bias,
                               int relu, ptrdiff_t y_line, float *y /* OUT */, float *winner /* OUT */)
{
#define FC_CASE(T, P)                                                                                            \
    if (taps == T && pooled == P)                                                                                \
        fc_winograd_lines(T, P, lines, tiles, width, row, m_line, plane, m, bias, relu, y_line, y, winner);
    FC_CASE(3, 0) FC_CASE(3, 1) FC_CASE(5, 0) FC_CASE(5, 1)
#undef FC_CASE
}

#endif
