# The largest of each channel over the positions of a sequence that count.

from libc.string cimport memset

from fastconv.kernels.real cimport real


cdef inline void global_max_pool1d_forward(
    Py_ssize_t n, Py_ssize_t row,
    const Py_ssize_t *valid,  # (n,) positions that count
    Py_ssize_t x_sample, const real *x, Py_ssize_t y_sample,
    real *y,       # OUT (n, row)
    real *winner,  # OUT (n, row): the position
) noexcept nogil:
    """y[i, c] = max_{p < valid[i]} x[i, p, c], the first of equals, 0 where no position counts; a NaN is the largest.
    """
    cdef Py_ssize_t i, p, c
    cdef real a
    for i in range(n):
        memset(y + i * y_sample, 0, row * sizeof(real))
        memset(winner + i * row, 0, row * sizeof(real))
        for p in range(valid[i]):
            for c in range(row):
                a = x[i * x_sample + p * row + c]
                if p == 0 or a > y[i * y_sample + c] or a != a:
                    y[i * y_sample + c], winner[i * row + c] = a, <real> p


cdef inline void global_max_pool1d_backward(
    Py_ssize_t n, Py_ssize_t length, Py_ssize_t row,
    const Py_ssize_t *valid, Py_ssize_t y_sample, const real *dy, const real *winner,
    Py_ssize_t x_sample,
    real *dx,  # OUT (n, length, row)
) noexcept nogil:
    """dx[i, p, c] = dy[i, c] where p won, else 0."""
    cdef Py_ssize_t i, c
    for i in range(n):
        memset(dx + i * x_sample, 0, length * row * sizeof(real))
        if valid[i] > 0:
            for c in range(row):
                dx[i * x_sample + <Py_ssize_t> winner[i * row + c] * row + c] = dy[i * y_sample + c]
