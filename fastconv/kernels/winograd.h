/* Winograd's algorithm along the lines of an image: F(4, 3) and F(2, 5), that is 4 outputs of 3 taps or 2 outputs of 5
 * taps from 6 products where the plain sum takes 12 or 10 (Lavin and Gray, 2016; the points are 0, 1, -1, 2, -2 and
 * infinity).  Only for float: the transforms cost some bits.  No operation is fused, so that all levels agree. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "tile.h"

#define FC_POINTS 6
#define FC_WINOGRAD_LANES ((ptrdiff_t)(FC_VECTOR_BYTES / sizeof(float)))

/* u[t] = the transform of the `taps` (3 or 5) weights of each channel and filter; taps lie `tap` apart in w, and so do
 * the points `plane` in u; size = channels * padded filters. */
static void fc_winograd_weights(ptrdiff_t taps, ptrdiff_t size, ptrdiff_t tap, const float *w, ptrdiff_t plane,
                                float *u /* OUT */)
{
    typedef fc_vec_float vec;
    const vec zero = {0};
    for (ptrdiff_t i = 0; i < size; i += FC_WINOGRAD_LANES) {
        const vec g0 = *(const vec *)(w + i), g1 = *(const vec *)(w + i + tap), g2 = *(const vec *)(w + i + 2 * tap);
        const vec g3 = taps > 3 ? *(const vec *)(w + i + 3 * tap) : zero;
        const vec g4 = taps > 3 ? *(const vec *)(w + i + 4 * tap) : zero;
        const vec even = g0 + g2 + g4, odd = g1 + g3;
        const vec even2 = g0 + 4 * g2 + 16 * g4, odd2 = 2 * g1 + 8 * g3;
        *(vec *)(u + i) = g0 * 0.25f;
        *(vec *)(u + i + plane) = (even + odd) * (-1 / 6.0f);
        *(vec *)(u + i + 2 * plane) = (even - odd) * (-1 / 6.0f);
        *(vec *)(u + i + 3 * plane) = (even2 + odd2) * (1 / 24.0f);
        *(vec *)(u + i + 4 * plane) = (even2 - odd2) * (1 / 24.0f);
        *(vec *)(u + i + 5 * plane) = taps > 3 ? g4 : g2;
    }
}

/* v[t, h, j, c] = the transform of the 6 pixels from j * outputs on, in line h. */
static void fc_winograd_input(ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t outputs, ptrdiff_t channels,
                              ptrdiff_t x_line, const float *x, ptrdiff_t plane, float *v /* OUT */)
{
    typedef fc_vec_float vec;
    for (ptrdiff_t h = 0; h < lines; h++)
        for (ptrdiff_t j = 0; j < tiles; j++)
            for (ptrdiff_t c = 0; c < channels; c += FC_WINOGRAD_LANES) {
                const float *at = x + h * x_line + j * outputs * channels + c;
                float *to = v + (h * tiles + j) * channels + c;
                const vec d0 = *(const vec *)at, d1 = *(const vec *)(at + channels);
                const vec d2 = *(const vec *)(at + 2 * channels), d3 = *(const vec *)(at + 3 * channels);
                const vec d4 = *(const vec *)(at + 4 * channels), d5 = *(const vec *)(at + 5 * channels);
                const vec a = d4 - 4 * d2, b = d3 - 4 * d1, e = d4 - d2, f = 2 * (d3 - d1);
                *(vec *)to = 4 * d0 - 5 * d2 + d4;
                *(vec *)(to + plane) = a + b;
                *(vec *)(to + 2 * plane) = a - b;
                *(vec *)(to + 3 * plane) = e + f;
                *(vec *)(to + 4 * plane) = e - f;
                *(vec *)(to + 5 * plane) = 4 * d1 - 5 * d3 + d5;
            }
}

/* y[h, q, :] = bias + the outputs of the products m[t, h, j, :], then max(0, y) if relu; `outputs` of them a tile, as
 * far as `width` reaches. */
static void fc_winograd_output(ptrdiff_t lines, ptrdiff_t tiles, ptrdiff_t outputs, ptrdiff_t width, ptrdiff_t row,
                               ptrdiff_t plane, const float *m, const float *bias, int relu, ptrdiff_t y_line,
                               float *y /* OUT */)
{
    typedef fc_vec_float vec;
    const vec zero = {0};
    for (ptrdiff_t h = 0; h < lines; h++)
        for (ptrdiff_t j = 0; j < tiles; j++)
            for (ptrdiff_t f = 0; f < row; f += FC_WINOGRAD_LANES) {
                const float *at = m + (h * tiles + j) * row + f;
                const vec m0 = *(const vec *)at, m1 = *(const vec *)(at + plane), m2 = *(const vec *)(at + 2 * plane);
                const vec m3 = *(const vec *)(at + 3 * plane), m4 = *(const vec *)(at + 4 * plane);
                const vec m5 = *(const vec *)(at + 5 * plane);
                const vec s = m1 + m2, d = m1 - m2, s2 = m3 + m4, d2 = m3 - m4;
                const vec b = bias ? *(const vec *)(bias + f) : zero;
                vec out[4] = {m0 + s + s2 + b, d + 2 * d2 + b, s + 4 * s2 + b, d + 8 * d2 + m5 + b};
                if (outputs == 2)
                    out[1] += m5;
                for (ptrdiff_t q = 0; q < outputs && j * outputs + q < width; q++)
                    fc_finish_float(1, out + q, relu, NULL, y + h * y_line + (j * outputs + q) * row + f);
            }
}

#endif
