"""What the processor and the build can do."""

cdef extern from *:
    """
    #if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
    static int fc_supports(int level)
    {
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2")))
            return 0;
        return level == 1 || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
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


OPENMP = bool(FC_OPENMP)


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
