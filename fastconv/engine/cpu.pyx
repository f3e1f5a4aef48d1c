"""What the processor and the build can do."""

cdef extern from *:
    """
    #if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
    static int fc_supports(int level)
    {
        __builtin_cpu_init();
        if (level == 1)
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    }
    #else
    static int fc_supports(int level) { (void)level; return 0; }
    #endif

    #ifdef _OPENMP
    #include <omp.h>
    #define FC_OPENMP 1
    #else
    #define FC_OPENMP 0
    static int omp_get_max_threads(void) { return 1; }
    #endif
    """
    bint fc_supports(int level)
    bint FC_OPENMP
    int omp_get_max_threads()


from libc.stdint cimport int16_t

OPENMP = bool(FC_OPENMP)


def extremes(codes):
    """Return the smallest and the largest of contiguous int16 codes; (0, -1) if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.engine.cpu import extremes
    >>> extremes(np.array([[3, -1]], np.int16))
    (-1, 3)
    """
    cdef const int16_t[::1] flat = codes.reshape(-1)
    cdef const int16_t *code
    cdef Py_ssize_t i, size = flat.shape[0]
    cdef int16_t low = 0, high = -1
    if size:
        code = &flat[0]
        low = high = code[0]
        with nogil:
            for i in range(size):
                low = min(low, code[i])
                high = max(high, code[i])
    return low, high


def supported():
    """Return the instruction-set levels that this processor can run, the best one last.

    Returns
    -------
    list of str
        ``"base"``, then ``"avx2"`` and ``"avx512"`` where they are there.
    """
    return ["base"] + [name for level, name in enumerate(("avx2", "avx512"), 1) if fc_supports(level)]


def max_threads():
    """Return the threads that OpenMP would use now: its variables, the affinity and threadpoolctl count."""
    return omp_get_max_threads()
