# What a core can do at most, to hold the kernels against.

from time import perf_counter

cdef extern from "peak.h" nogil:
    enum: FC_CHAIN_NUMBERS
    void fc_multiply_adds(Py_ssize_t, float, float, float *)

cdef Py_ssize_t PEAK_ROUNDS = 100_000  # some 0.2 ms: shorter than a time slice, so that the best is undisturbed


def multiply_add_peak(double seconds=0.05):
    """Return the float32 multiply-adds of one core at this instruction-set level in GFLOP/s.

    Independent chains of vector multiply-adds run in registers only; a multiply-add counts as two operations. The
    fastest of the bursts that fit into the time counts. At the level "base" a multiply-add is two instructions.

    Parameters
    ----------
    seconds : float
        Time to take; one burst is made at least.

    Returns
    -------
    float

    Examples
    --------
    >>> from fastconv import engine
    >>> engine.load("base").multiply_add_peak(seconds=0.001) > 0.1
    True
    """
    cdef float x[FC_CHAIN_NUMBERS]
    cdef Py_ssize_t i
    cdef double start, now, end, best = 0, total = 0
    for i in range(FC_CHAIN_NUMBERS):
        x[i] = i
    now = perf_counter()
    end = now + seconds
    while best == 0 or now < end:
        start = perf_counter()
        with nogil:
            fc_multiply_adds(PEAK_ROUNDS, 0.5, 0.5, x)
        now = perf_counter()
        best = max(best, 2e-9 * PEAK_ROUNDS * FC_CHAIN_NUMBERS / (now - start))
    for i in range(FC_CHAIN_NUMBERS):  # every number has become 1: the work was done
        total += x[i]
    if total != FC_CHAIN_NUMBERS:
        raise ArithmeticError(f"multiply_add_peak: the sum is {total}, expected {FC_CHAIN_NUMBERS}")
    return best
