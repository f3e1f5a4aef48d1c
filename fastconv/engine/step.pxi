# A step: chunks of samples on threads, their gradients summed in a fixed order, the optimiser, the next step.

from cython.parallel cimport parallel, threadid
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int64_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, malloc
from libc.string cimport memset

from fastconv.engine.chunk cimport Workspace, backward, forward, gather
from fastconv.engine.loss cimport Loss, sample_loss
from fastconv.engine.optimiser cimport Optimiser, begin_update, update_strip
from fastconv.engine.plan cimport Plan, Strip, Tensor
from fastconv.kernels.l2 cimport l2_backward_add, l2_squares
from fastconv.kernels.pack cimport pack_rows, sum_parts, unpack_rows
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.softmax_cross_entropy cimport softmax
from fastconv.kernels.tile cimport transpose_rows

cdef extern from "team.h" nogil:
    ctypedef struct fc_team:
        int next
    int FC_THREADS()
    void fc_join(fc_team *)
    int fc_take(fc_team *)
    void fc_wait(fc_team *)

# Gradient buffers at most: a batch of more chunks gives each of them several, one after the other.
cdef enum:
    BUFFERS = 32


cdef void *aligned(void *memory) noexcept nogil:
    """The first multiple of 64 at or after `memory`."""
    return <void *> ((<uintptr_t> memory + 63) // 64 * 64)


ctypedef struct Arena:
    # The memory of one call: allocated at once, freed at its end, shared with no other call.
    void *memory
    void *packed        # packed parameters
    void *state         # the optimiser's vectors, packed; the buffers and what follows only for a call that learns
    void *gradients     # gradient buffers, packed
    double *squares     # sum of the squared weights of each strip
    double *losses      # one a buffer
    Py_ssize_t *correct # one a buffer
    Workspace *work     # one a thread
    fc_team team        # the threads at work


cdef int open_arena(
    Arena *arena, const Plan *plan, Py_ssize_t itemsize, Py_ssize_t buffers, Py_ssize_t states, int threads
) except -1 nogil:
    """Allocate an arena; MemoryError where there is none."""
    cdef Py_ssize_t packed = padded(plan.packed, itemsize) * itemsize + 64
    cdef Py_ssize_t gradients = padded(plan.gradients, itemsize) * itemsize
    cdef Py_ssize_t learning = (states + buffers) * gradients
    cdef Py_ssize_t values = padded(plan.scratch, itemsize) * itemsize + 64
    cdef Py_ssize_t codes = plan.chunk * plan.tensors[0].length * sizeof(int16_t) // 64 * 64 + 64
    cdef Py_ssize_t counts = max(plan.chunk, plan.tensors[0].length) + 2
    cdef Py_ssize_t active = ((plan.n_ops + 2) * plan.chunk + counts) * sizeof(Py_ssize_t) // 64 * 64 + 64
    cdef Py_ssize_t squares = plan.n_strips * sizeof(double) // 64 * 64 + 64 if buffers else 0
    cdef Py_ssize_t sums = buffers * (sizeof(double) + sizeof(Py_ssize_t)) // 64 * 64 + 64
    cdef char *at
    cdef int t
    memset(&arena.team, 0, sizeof(fc_team))
    cdef Py_ssize_t size = (64 + threads * sizeof(Workspace) + 64 + squares + sums + packed + learning
                            + threads * (values + codes + active))
    # zero in a call that learns, for its gradients' padding and margins; else where it matters, the parameters' padding
    arena.memory = calloc(size, 1) if buffers else malloc(size)
    if arena.memory == NULL:
        raise MemoryError("Program: no memory for the scratch of a call")
    at = <char *> aligned(arena.memory)
    arena.work = <Workspace *> at
    at = <char *> aligned(at + threads * sizeof(Workspace))
    arena.squares = <double *> at
    at += squares
    arena.losses = <double *> at
    arena.correct = <Py_ssize_t *> (at + buffers * sizeof(double))
    at += sums
    arena.packed = at
    if not buffers:
        memset(arena.packed, 0, packed)
    at += packed
    arena.state = at
    arena.gradients = at + states * gradients
    at += learning
    for t in range(threads):
        arena.work[t].values = at
        at += values
        arena.work[t].codes = <int16_t *> at
        at += codes
        arena.work[t].active = <Py_ssize_t *> at
        arena.work[t].rows = arena.work[t].active + (plan.n_ops + 1) * plan.chunk
        arena.work[t].counts = arena.work[t].rows + plan.chunk
        at += active
    return 0


cdef void transpose_strip(const Strip *strip, real *packed) noexcept nogil:
    """Transpose the rows of a strip where the backward pass needs that."""
    if strip.wt >= 0:
        transpose_rows(strip.rows, strip.cols, padded(strip.cols, sizeof(real)), strip.wt_row, packed + strip.packed,
                       packed + strip.wt)


cdef void pack_all(const Plan *plan, const real *flat, real *packed) noexcept nogil:
    """Pack a vector that is laid out as the parameters."""
    cdef Py_ssize_t s
    for s in range(plan.n_strips):
        pack_rows(plan.strips[s].rows, plan.strips[s].cols, flat + plan.strips[s].flat, packed + plan.strips[s].packed)


cdef void unpack_all(const Plan *plan, const real *packed, real *flat) noexcept nogil:
    """The reverse of pack_all."""
    cdef Py_ssize_t s
    for s in range(plan.n_strips):
        unpack_rows(plan.strips[s].rows, plan.strips[s].cols, packed + plan.strips[s].packed,
                    flat + plan.strips[s].flat)


cdef void load(const Plan *plan, const real *parameters, double l2, Arena *arena) noexcept nogil:
    """Pack the parameters for a call with a backward pass."""
    cdef Py_ssize_t s
    cdef real *packed = <real *> arena.packed
    pack_all(plan, parameters, packed)
    for s in range(plan.n_strips):
        transpose_strip(&plan.strips[s], packed)
        arena.squares[s] = squares_of(&plan.strips[s], l2, packed)


cdef double squares_of(const Strip *strip, double l2, const real *packed) noexcept nogil:
    """The sum of the squares that L2 counts."""
    if l2 == 0 or not strip.decays:
        return 0
    return l2_squares(strip.rows * padded(strip.cols, sizeof(real)), packed + strip.packed)


ctypedef struct Batch:
    # What a gradient is taken of: rows order[first : first + n] of the data (first, ... where order is NULL).
    const int16_t *codes
    const void *x
    Loss loss               # or, without one,
    const void *dy          # the gradient of the output is given
    void *dx                # where the gradient of the input goes, or NULL
    const int64_t *order
    Py_ssize_t first, n
    uint32_t update         # its number


cdef void gradient_chunk(
    const Plan *plan, const Batch *batch, Py_ssize_t start, Py_ssize_t n, const Workspace *work, const real *packed,
    bint add,
    real *gradients, double *loss, Py_ssize_t *correct,  # OUT, gradients IN too if add, the others IN and OUT
) noexcept nogil:
    """Samples start : start + n of the batch, forward and backward."""
    cdef Py_ssize_t i, at, size
    cdef const Tensor *tx = &plan.tensors[0]
    cdef const Tensor *last = &plan.tensors[plan.n_ops]
    cdef real *values = <real *> work.values
    cdef real *z
    cdef real *dz
    gather(plan, n, batch.codes, <const real *> batch.x, batch.loss.labels, batch.order,
           batch.first + start, work)
    forward(plan, n, work, packed)
    for i in range(n):
        at = work.rows[i]
        z, dz = values + last.y + i * last.sample, values + last.dy + i * last.sample
        if batch.loss.labels != NULL:
            loss[0] += sample_loss(&batch.loss, batch.n, at, last.channels, z, correct, dz)
        else:
            size = last.length * last.channels
            pack_rows(last.length, last.channels, <const real *> batch.dy + at * size, dz)
    backward(plan, n, work, packed, add, gradients)
    if batch.dx != NULL:
        size = tx.length * tx.channels
        for i in range(n):
            unpack_rows(tx.length, tx.channels, values + tx.dy + i * tx.sample,
                        <real *> batch.dx + work.rows[i] * size)


cdef Py_ssize_t count_chunks(const Plan *plan, Py_ssize_t n) noexcept nogil:
    """Chunks that n samples are cut into, of nearly equal size, whatever the number of threads."""
    return (n + plan.chunk - 1) // plan.chunk


cdef Py_ssize_t count_buffers(const Plan *plan, Py_ssize_t n) noexcept nogil:
    """Gradient buffers that a batch of n needs."""
    return max(<Py_ssize_t> 1, min(<Py_ssize_t> BUFFERS, count_chunks(plan, n)))


cdef void gradient_chunks(
    const Plan *plan, const Batch *batch, Py_ssize_t b, Py_ssize_t buffers, const Workspace *work, Arena *arena,
    real *gradients,  # OUT
) noexcept nogil:
    """The chunks that belong to buffer b, in order."""
    cdef Py_ssize_t c, chunks = count_chunks(plan, batch.n), first = b * chunks // buffers
    arena.losses[b], arena.correct[b] = 0, 0
    for c in range(first, (b + 1) * chunks // buffers):
        gradient_chunk(plan, batch, c * batch.n // chunks, (c + 1) * batch.n // chunks - c * batch.n // chunks,
                       work, <const real *> arena.packed, c > first, gradients, &arena.losses[b], &arena.correct[b])


cdef void finish_strip(
    const Strip *strip, double l2, const Optimiser *optimiser, Py_ssize_t parts, Py_ssize_t part,
    real *buffers,  # IN; the first becomes their sum
    real *state, real *packed, double *squares,  # IN and OUT
) noexcept nogil:
    """Sum a strip of the gradient buffers in their order; then update its parameters, for the next step."""
    cdef Py_ssize_t at = strip.packed, size = strip.rows * padded(strip.cols, sizeof(real))
    sum_parts(size, parts, part, buffers + at)
    if l2 != 0 and strip.decays:
        l2_backward_add(size, l2, packed + at, buffers + at)
    if optimiser != NULL:
        update_strip(optimiser, size, strip.decays, buffers + at, part, state + at, packed + at)
        transpose_strip(strip, packed)
        squares[0] = squares_of(strip, l2, packed)


cdef double step(
    const Plan *plan, const Batch *batch, const Optimiser *optimiser, Arena *arena, int thread,
    real *gradients, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient, in the first buffer; the update, if there is an optimiser and it is finite.

    Every thread of a team calls this for the same batch, and gets the loss.
    """
    cdef Py_ssize_t s, buffers = count_buffers(plan, batch.n), part = padded(plan.gradients, sizeof(real))
    cdef int b = fc_take(&arena.team), threads = FC_THREADS()
    cdef double loss = 0, squares = 0
    correct[0] = 0
    if batch.n == 0:
        return loss  # and the gradient is zero
    if batch.loss.l2 != 0:
        for s in range(plan.n_strips):
            squares += arena.squares[s]
    while b < buffers:
        gradient_chunks(plan, batch, b, buffers, &arena.work[thread], arena, gradients + b * part)
        b = fc_take(&arena.team)
    fc_wait(&arena.team)
    for b in range(buffers):
        loss += arena.losses[b]
        correct[0] += arena.correct[b]
    loss += batch.loss.l2 * squares
    if not isfinite(loss):
        optimiser = NULL
    for s in range(thread * plan.n_strips // threads, (thread + 1) * plan.n_strips // threads):
        finish_strip(&plan.strips[s], batch.loss.l2, optimiser, buffers, part, gradients, <real *> arena.state,
                     <real *> arena.packed, &arena.squares[s])
    if thread == 0:
        arena.team.next = 0
    fc_wait(&arena.team)
    return loss


cdef void predict_chunk(
    const Plan *plan, const Batch *batch, Py_ssize_t first, Py_ssize_t n, const Workspace *work, const real *packed,
    bint probabilities,
    real *y,  # OUT (batch.n, length, channels)
) noexcept nogil:
    """The output of the samples first : first + n, or its softmax."""
    cdef Py_ssize_t i, p
    cdef const Tensor *last = &plan.tensors[plan.n_ops]
    cdef real *z
    gather(plan, n, batch.codes, <const real *> batch.x, NULL, batch.order, first, work)
    forward(plan, n, work, packed)
    for i in range(n):
        z = <real *> work.values + last.y + i * last.sample
        if probabilities:
            for p in range(last.length):
                softmax(last.channels, z + p * last.row, z + p * last.row)
        unpack_rows(last.length, last.channels, z, y + work.rows[i] * last.length * last.channels)


cdef void predict_thread(
    const Plan *plan, const Batch *batch, bint probabilities, Arena *arena, int thread, const real *packed,
    real *y,  # OUT (batch.n, length, channels)
) noexcept nogil:
    """The output of every sample, chunk by chunk, as one thread of a team."""
    cdef Py_ssize_t first
    fc_join(&arena.team)
    first = fc_take(&arena.team) * plan.chunk
    while first < batch.n:
        predict_chunk(plan, batch, first, min(plan.chunk, batch.n - first), &arena.work[thread], packed,
                      probabilities, y)
        first = fc_take(&arena.team) * plan.chunk


cdef void predict_all(
    const Plan *plan, const Batch *batch, const real *parameters, bint probabilities, Arena *arena, int threads,
    real *y,  # OUT (batch.n, length, channels)
) noexcept nogil:
    """The output of every sample."""
    pack_all(plan, parameters, <real *> arena.packed)
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        predict_thread(plan, batch, probabilities, arena, threadid(), <const real *> arena.packed, y)


cdef void train_thread(
    const Plan *plan, Batch batch, Optimiser optimiser, Py_ssize_t updates, const int64_t *starts, const double *rates,
    Arena *arena, int thread,
    real *gradients, double *losses, int64_t *correct, Py_ssize_t *made,  # OUT
) noexcept nogil:
    """Update after update, as one thread of a team, until a loss is no longer finite."""
    cdef Py_ssize_t u, hits
    cdef double loss
    fc_join(&arena.team)
    for u in range(updates):
        batch.first, batch.n = starts[u], starts[u + 1] - starts[u]
        begin_update(&optimiser, rates[u], batch.update)
        loss = step(plan, &batch, &optimiser, arena, thread, gradients, &hits)
        if thread == 0:
            losses[u], correct[u], made[0] = loss, hits, u + isfinite(loss)
        if not isfinite(loss):
            break
        batch.update += 1


cdef Py_ssize_t train_all(
    const Plan *plan, const Batch *batch, const Optimiser *optimiser, Py_ssize_t updates, const int64_t *starts,
    const double *rates, Py_ssize_t size, Arena *arena, int threads,
    real *parameters, real *state,  # IN and OUT: (size,), (optimiser.states, size)
    double *losses, int64_t *correct,  # OUT
) noexcept nogil:
    """Updates; returns how many were made before a loss was no longer finite."""
    cdef Py_ssize_t made = 0, i, part = padded(plan.gradients, sizeof(real))
    load(plan, parameters, batch.loss.l2, arena)
    for i in range(optimiser.states):
        pack_all(plan, state + i * size, <real *> arena.state + i * part)
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        train_thread(plan, batch[0], optimiser[0], updates, starts, rates, arena, threadid(), <real *> arena.gradients,
                     losses, correct, &made)
    unpack_all(plan, <real *> arena.packed, parameters)
    for i in range(optimiser.states):
        unpack_all(plan, <real *> arena.state + i * part, state + i * size)
    return made


cdef void gradient_thread(
    const Plan *plan, const Batch *batch, Arena *arena, int thread,
    real *gradients, double *loss, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient, as one thread of a team."""
    cdef Py_ssize_t hits
    cdef double found
    fc_join(&arena.team)
    found = step(plan, batch, NULL, arena, thread, gradients, &hits)
    if thread == 0:
        loss[0], correct[0] = found, hits


cdef double gradient_of(
    const Plan *plan, const Batch *batch, const real *parameters, Arena *arena, int threads,
    real *flat, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient."""
    cdef double loss = 0
    load(plan, parameters, batch.loss.l2, arena)
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        gradient_thread(plan, batch, arena, threadid(), <real *> arena.gradients, &loss, correct)
    unpack_all(plan, <real *> arena.gradients, flat)
    return loss
