# A step: chunks of samples on threads, their gradients summed in a fixed order, the optimiser, the next step.

from cython.parallel cimport parallel, threadid
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memset

from fastconv.engine.chunk cimport (Mode, Workspace, backward, fetch_rows, forward, gather, gather_endings,
                                    pack_image, unpack_image, values_of)
from fastconv.engine.loss cimport Loss, sample_loss
from fastconv.engine.optimiser cimport Optimiser, begin_update, update_strip
from fastconv.engine.plan cimport Op, Plan, Strip
from fastconv.kernels.augment cimport Recipe
from fastconv.kernels.batch_norm cimport batch_norm_merge, batch_norm_moments, batch_norm_scale
from fastconv.kernels.grid cimport Grid
from fastconv.kernels.l2 cimport l2_backward_add, l2_squares
from fastconv.kernels.pack cimport pack_rows, pack_turned, sum_parts, unpack_rows, unpack_turned
from fastconv.kernels.real cimport padded, real
from fastconv.kernels.softmax_cross_entropy cimport softmax
from fastconv.kernels.suffix cimport Ending, sort_endings
from fastconv.kernels.tile cimport fc_product, multiply, transpose_rows
from fastconv.kernels.winograd_conv2d cimport winograd_line

cdef extern from "memory.h" nogil:
    void *fc_allocate(size_t, int)
    void fc_release(void *, size_t)

cdef extern from "team.h" nogil:
    ctypedef struct fc_team:
        int next
    int FC_THREADS()
    void fc_join(fc_team *)
    int fc_take(fc_team *)
    bint fc_arrive(fc_team *, int *)
    void fc_pass(const fc_team *, int)
    void fc_wait(fc_team *)

# Gradient buffers at most: a batch of more chunks gives each of them several, one after the other.
cdef enum:
    BUFFERS = 32
    SORTED = 16384 # samples that are sorted at a time, at most
    FETCHED = 1024 # samples of the next batch that are fetched in advance, at most


cdef void *aligned(void *memory) noexcept nogil:
    """The first multiple of 64 at or after `memory`."""
    return <void *> ((<uintptr_t> memory + 63) // 64 * 64)


ctypedef struct Statistics:
    # What one thread knows of the batch normalisations, (plan.statistics,) each.
    double *mean        # of the batch
    double *variance
    double *sums        # to work in
    void *means         # real: what the kernels read
    void *inverse
    void *dgamma
    void *dbeta


ctypedef struct Sorting:
    # The samples of a batch, sorted from their ends.
    Ending *endings         # (n,)
    uint64_t *order         # (2n,) to sort in
    const uint64_t *sorted  # (n,) the places of the batch in that order, or NULL: it is not sorted


ctypedef struct Arena:
    # The memory of one call: allocated at once, freed at its end, shared with no other call.
    void *memory
    Py_ssize_t size     # bytes
    void *packed        # packed parameters
    void *state         # the optimiser's vectors, packed; the buffers and what follows only for a call that learns
    void *gradients     # gradient buffers, packed
    double *squares     # sum of the squared weights of each strip
    double *losses      # one a buffer
    Py_ssize_t *correct # one a buffer
    double *moments     # means and squares of all normalised channels, for each buffer
    Statistics *statistics  # one a thread
    Workspace *work     # one a thread, or one a chunk where plan.whole is set
    void **scratch      # one a thread
    Py_ssize_t *sizes   # samples of each chunk
    Sorting *sortings   # one a thread; in a call that learns two, one of them for the next batch
    Py_ssize_t sorts    # samples of a batch at most, if it is to be sorted
    fc_team team        # the threads at work


cdef void *carve(char **at, Py_ssize_t size) noexcept nogil:
    """The next `size` bytes of a block of memory, starting at a multiple of 64."""
    cdef void *start = aligned(at[0])
    at[0] = <char *> start + size
    return start


cdef Py_ssize_t lay_out_arena(
    Arena *arena, const Plan *plan, Py_ssize_t itemsize, Py_ssize_t buffers, bint augments, Py_ssize_t states,
    Py_ssize_t spaces, Py_ssize_t sorts, int threads
) noexcept nogil:
    """Give each part of an arena its place in arena.memory; the bytes that all of them take."""
    cdef char *at = <char *> arena.memory
    cdef Py_ssize_t n = plan.statistics, chunk = plan.chunk, tensors = plan.n_ops + 1, i
    cdef Py_ssize_t length = plan.tensors.g.width, counts = max(chunk, 2 * plan.lines)
    cdef Py_ssize_t image = plan.tensors.g.height * length * plan.tensors.g.channels
    cdef bint placed = arena.memory != NULL  # or only counted
    cdef Statistics none
    cdef Workspace empty
    cdef Statistics *statistics = &none
    cdef Workspace *work = &empty
    cdef Sorting unsorted
    cdef Sorting *sorting = &unsorted
    cdef Py_ssize_t sortings = 2 if buffers else threads
    cdef void *scratch
    for i in range(tensors):
        counts = max(counts, plan.tensors[i].g.width)
    arena.work = <Workspace *> carve(&at, spaces * sizeof(Workspace))
    arena.scratch = <void **> carve(&at, threads * sizeof(void *))
    arena.statistics = <Statistics *> carve(&at, threads * sizeof(Statistics))
    arena.squares = <double *> carve(&at, plan.n_strips * sizeof(double) if buffers else 0)
    arena.losses = <double *> carve(&at, buffers * sizeof(double))
    arena.correct = <Py_ssize_t *> carve(&at, buffers * sizeof(Py_ssize_t))
    arena.moments = <double *> carve(&at, buffers * 2 * n * sizeof(double))
    arena.packed = carve(&at, (plan.packed if buffers else plan.forward) * itemsize)
    arena.state = carve(&at, states * plan.gradients * itemsize)
    arena.gradients = carve(&at, (plan.gradients + (buffers - 1) * plan.part) * itemsize if buffers else 0)
    arena.sizes = <Py_ssize_t *> carve(&at, spaces * sizeof(Py_ssize_t))
    arena.sortings = <Sorting *> carve(&at, sortings * sizeof(Sorting))
    for i in range(sortings):
        sorting = &arena.sortings[i] if placed else &unsorted
        sorting.endings = <Ending *> carve(&at, sorts * sizeof(Ending) if plan.longest else 0)
        sorting.order = <uint64_t *> carve(&at, 2 * sorts * sizeof(uint64_t) if plan.longest else 0)
    for i in range(threads):
        statistics = &arena.statistics[i] if placed else &none
        statistics.mean = <double *> carve(&at, n * sizeof(double))
        statistics.variance = <double *> carve(&at, n * sizeof(double))
        statistics.sums = <double *> carve(&at, n * sizeof(double))
        statistics.means = carve(&at, n * itemsize)
        statistics.inverse = carve(&at, n * itemsize)
        statistics.dgamma = carve(&at, n * itemsize)
        statistics.dbeta = carve(&at, n * itemsize)
        scratch = carve(&at, plan.scratch * itemsize)
        if placed:
            arena.scratch[i] = scratch
    for i in range(spaces):
        work = &arena.work[i] if placed else &empty
        work.drops, work.given = False, NULL
        work.values = carve(&at, plan.values * itemsize)
        work.codes = <int16_t *> carve(&at, chunk * length * sizeof(int16_t) if plan.codes else 0)
        work.active = <Py_ssize_t *> carve(&at, tensors * chunk * sizeof(Py_ssize_t))
        work.valid = <Py_ssize_t *> carve(&at, tensors * chunk * sizeof(Py_ssize_t))
        work.rows = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
        work.places = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
        work.counts = <Py_ssize_t *> carve(&at, (counts + 2) * sizeof(Py_ssize_t))
        if plan.longest:
            work.sequence = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
            work.shared = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
            work.fresh = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
            work.joins = <uint64_t *> carve(&at, chunk * sizeof(uint64_t))
        if augments:
            work.images = carve(&at, 3 * image * itemsize)
            work.target = carve(&at, plan.tensors[plan.n_ops].g.channels * itemsize)
            work.partners = <Py_ssize_t *> carve(&at, chunk * sizeof(Py_ssize_t))
            work.shares = <double *> carve(&at, chunk * sizeof(double))
    return at - <char *> arena.memory


cdef int open_arena(
    Arena *arena, const Plan *plan, Py_ssize_t itemsize, Py_ssize_t n, bint learns, bint augments, Py_ssize_t states,
    int threads
) except -1 nogil:
    """Allocate an arena for batches of at most n samples; MemoryError where there is none."""
    cdef Py_ssize_t buffers = count_buffers(plan, n) if learns else 0
    cdef Py_ssize_t spaces = count_chunks(plan, n) if learns and plan.whole else threads
    cdef Py_ssize_t sorts = min(n, <Py_ssize_t> SORTED)
    memset(arena, 0, sizeof(Arena))
    arena.size = lay_out_arena(arena, plan, itemsize, buffers, augments, states, spaces, sorts, threads) + 64
    # zero where margins and the padding of gradients must be; else where it matters, the parameters' padding
    arena.memory = fc_allocate(arena.size, learns or plan.margins)
    if arena.memory == NULL:
        raise MemoryError("Program: no memory for the scratch of a call")
    lay_out_arena(arena, plan, itemsize, buffers, augments, states, spaces, sorts, threads)
    arena.sorts = sorts
    if not learns:
        memset(arena.packed, 0, plan.gradients * itemsize)
    return 0


cdef void close_arena(const Arena *arena) noexcept nogil:
    """Give the memory back."""
    fc_release(arena.memory, arena.size)


cdef void transform_strip(const Plan *plan, const Strip *strip, real *packed) noexcept nogil:
    """Make Winograd's weights of a strip, where the operation takes them."""
    cdef const Op *op = &plan.ops[strip.op]
    cdef Py_ssize_t row = padded(strip.cols, sizeof(real))
    if real is float:
        if op.u >= 0 and strip.tap >= 0:
            winograd_line(&op.window, strip.tap // op.window.kw, op.rows, row, op.rows * row, packed + strip.packed,
                          packed + op.u)


cdef void transpose_strip(const Plan *plan, const Strip *strip, real *packed) noexcept nogil:
    """Transpose the rows of a strip where the backward pass needs that, and make Winograd's weights of them."""
    cdef const Op *op = &plan.ops[strip.op]
    cdef Py_ssize_t k, rows = strip.rows // strip.taps, row = padded(strip.cols, sizeof(real))
    if strip.wt >= 0:
        for k in range(strip.taps):
            transpose_rows(rows, strip.cols, row, strip.wt_row, packed + strip.packed + k * rows * row,
                           packed + strip.wt + (strip.taps - 1 - k) * strip.cols * strip.wt_row)
    if real is float:
        if op.ut >= 0 and strip.tap >= 0:
            k = strip.cols * strip.wt_row
            winograd_line(&op.window, op.window.kh - 1 - strip.tap // op.window.kw, strip.cols, strip.wt_row, -k,
                          packed + strip.wt + (op.window.kw - 1) * k, packed + op.ut)


cdef void pack_all(const Plan *plan, const real *flat, real *packed) noexcept nogil:
    """Pack a vector that is laid out as the parameters; for a prediction, what it takes."""
    cdef Py_ssize_t s
    cdef const Strip *strip
    for s in range(plan.n_strips):
        strip = &plan.strips[s]
        if strip.turned and plan.learns:
            pack_turned(strip.cols, strip.rows, flat + strip.flat, packed + strip.packed)
        elif strip.turned:
            memset(packed + strip.wt, 0, strip.cols * strip.wt_row * sizeof(real))
            pack_rows(strip.cols, strip.rows, flat + strip.flat, packed + strip.wt)
        else:
            pack_rows(strip.rows, strip.cols, flat + strip.flat, packed + strip.packed)


cdef void unpack_all(const Plan *plan, const real *packed, real *flat) noexcept nogil:
    """The reverse of pack_all."""
    cdef Py_ssize_t s
    cdef const Strip *strip
    for s in range(plan.n_strips):
        strip = &plan.strips[s]
        if strip.turned:
            unpack_turned(strip.cols, strip.rows, packed + strip.packed, flat + strip.flat)
        else:
            unpack_rows(strip.rows, strip.cols, packed + strip.packed, flat + strip.flat)


cdef double squares_of(const Strip *strip, double l2, const real *packed) noexcept nogil:
    """The sum of the squares that L2 counts."""
    if l2 == 0 or not strip.decays:
        return 0
    return l2_squares(strip.rows * padded(strip.cols, sizeof(real)), packed + strip.packed)


cdef void load(const Plan *plan, const real *parameters, double l2, Arena *arena) noexcept nogil:
    """Pack the parameters for a call with a backward pass."""
    cdef Py_ssize_t s
    cdef real *packed = <real *> arena.packed
    pack_all(plan, parameters, packed)
    for s in range(plan.n_strips):
        transform_strip(plan, &plan.strips[s], packed)
        transpose_strip(plan, &plan.strips[s], packed)
        arena.squares[s] = squares_of(&plan.strips[s], l2, packed)


ctypedef struct Batch:
    # What a gradient is taken of: rows order[first : first + n] of the data (first, ... where order is NULL).
    const int16_t *codes
    const void *x
    const int64_t *lengths  # positions of x that count, or NULL
    Loss loss               # or, without labels,
    const void *dy          # the gradient of the output is given; with neither, nothing is propagated back
    void *y                 # where the output goes, or NULL
    void *dx                # where the gradient of the input goes, or NULL
    void *state             # running means and variances, or NULL
    const int64_t *order
    Sorting *sorting        # where it is sorted
    Py_ssize_t first, n
    uint64_t seed           # of the random numbers
    uint32_t update
    Recipe recipe           # of the images, which may be empty


cdef void loss_chunk(
    const Plan *plan, const Batch *batch, Py_ssize_t n, const Workspace *work, const real *like,
    double *loss, Py_ssize_t *correct,  # IN and OUT
) noexcept nogil:
    """From the output of n samples to its gradient."""
    cdef Py_ssize_t i, at, partner = 0
    cdef double share = 0
    cdef const Grid *g = &plan.tensors[plan.n_ops].g
    cdef Py_ssize_t size = g.height * g.width * g.channels
    cdef real *z = values_of(plan, work, plan.n_ops, False, 0, like)
    cdef real *dz = values_of(plan, work, plan.n_ops, True, 0, like)
    for i in range(n):
        at = work.rows[i]
        if batch.loss.labels != NULL:
            if batch.recipe.count:
                partner, share = work.partners[i], work.shares[i]
            loss[0] += sample_loss(&batch.loss, batch.n, at, partner, share, g.channels, z + i * g.sample, correct,
                                   <real *> work.target, dz + i * g.sample)
        elif work.given == NULL:
            pack_image(g, <const real *> batch.dy + at * size, dz + i * g.sample)


cdef void output_chunk(
    const Plan *plan, Py_ssize_t n, const Workspace *work, Py_ssize_t tensor, bint gradient,
    real *y,  # OUT (N, height, width, channels)
) noexcept nogil:
    """Copy a tensor of n samples, or its gradient, to their rows of y."""
    cdef Py_ssize_t i
    cdef const Grid *g = &plan.tensors[tensor].g
    cdef const real *z = values_of(plan, work, tensor, gradient, 0, y)
    for i in range(n):
        unpack_image(g, z + i * g.sample, y + work.rows[i] * g.height * g.width * g.channels)


cdef void stage_chunk(
    const Plan *plan, const Batch *batch, Py_ssize_t stage, bint back, Py_ssize_t start, Py_ssize_t n,
    const Workspace *work, const Mode *mode, const real *packed, bint add,
    real *gradients, double *loss, Py_ssize_t *correct,  # OUT, gradients IN too if add, the others IN and OUT
) noexcept nogil:
    """A stage of the samples start : start + n of the batch, forward, and the last one backward too; or backward."""
    cdef Py_ssize_t first = plan.stages[stage], last = plan.stages[stage + 1]
    if not back:
        if stage == 0 and batch.sorting.sorted != NULL:
            gather_endings(plan, n, batch.codes, batch.loss.labels, batch.order, batch.first, batch.sorting.endings,
                           batch.sorting.sorted + start, work)
        elif stage == 0:
            gather(plan, n, batch.codes, <const real *> batch.x, batch.lengths, batch.loss.labels, batch.order,
                   batch.first, batch.n, start, &batch.recipe, work)
        forward(plan, first, last, n, work, mode, packed)
        if last < plan.n_ops:
            return
        if batch.y != NULL:
            output_chunk(plan, n, work, plan.n_ops, False, <real *> batch.y)
        if batch.loss.labels == NULL and batch.dy == NULL:
            return
        loss_chunk(plan, batch, n, work, packed, loss, correct)
    backward(plan, first, last, n, work, mode, packed, add, gradients)
    if stage == 0 and batch.dx != NULL:
        output_chunk(plan, n, work, 0, True, <real *> batch.dx)


cdef Py_ssize_t count_chunks(const Plan *plan, Py_ssize_t n) noexcept nogil:
    """Chunks that n samples are cut into, of nearly equal size, whatever the number of threads. A batch to learn from
    is cut into an even number, if it is more than half a chunk: two threads then have the same to do.
    """
    cdef Py_ssize_t chunks = (n + plan.chunk - 1) // plan.chunk
    return min(n, chunks + chunks % 2) if plan.learns and 2 * n > plan.chunk else chunks


cdef Py_ssize_t count_buffers(const Plan *plan, Py_ssize_t n) noexcept nogil:
    """Gradient buffers that a batch of n needs."""
    return max(<Py_ssize_t> 1, min(<Py_ssize_t> BUFFERS, count_chunks(plan, n)))


cdef inline const void *given_of(
    const Plan *plan, const Batch *batch, Py_ssize_t start, const real *like
) noexcept nogil:
    """Where the caller has the gradient of the output of the samples from `start` on, if it can stay there."""
    cdef const Grid *g = &plan.tensors[plan.n_ops].g
    if not plan.gapless or batch.dy == NULL:
        return NULL
    return <const real *> batch.dy + (batch.first + start) * g.sample


cdef void stage_chunks(
    const Plan *plan, const Batch *batch, Py_ssize_t stage, bint back, Py_ssize_t b, Py_ssize_t buffers, int thread,
    const Mode *mode, Arena *arena,
    real *gradients,  # OUT
) noexcept nogil:
    """A stage of the chunks that belong to buffer b, in order, and the moments that the next stage needs."""
    cdef Py_ssize_t c, chunks = count_chunks(plan, batch.n), first = b * chunks // buffers
    cdef Py_ssize_t begin = first * batch.n // chunks, start, n, pixels
    cdef Workspace *work = &arena.work[thread]
    cdef const Op *norm
    cdef const Grid *g
    cdef double *moments
    if stage == 0 and not back:
        arena.losses[b], arena.correct[b] = 0, 0
    for c in range(first, (b + 1) * chunks // buffers):
        start = c * batch.n // chunks
        n = (c + 1) * batch.n // chunks - start
        if plan.whole:
            work, arena.sizes[c] = &arena.work[c], n
        work.scratch = arena.scratch[thread]
        work.drops = plan.passes and batch.y == NULL and batch.loss.labels == NULL
        work.given = given_of(plan, batch, start, gradients)
        stage_chunk(plan, batch, stage, back, start, n, work, mode, <const real *> arena.packed, c > first, gradients,
                    &arena.losses[b], &arena.correct[b])
        if stage + 1 < plan.n_stages and not back:
            norm, g = &plan.ops[plan.stages[stage + 1]], &plan.tensors[plan.stages[stage + 1]].g
            moments = arena.moments + 2 * b * plan.statistics + norm.statistics
            pixels = (start - begin) * g.height * g.width
            batch_norm_moments(n, g, values_of(plan, work, plan.stages[stage + 1], False, 0, gradients), pixels,
                               moments, moments + plan.statistics, arena.statistics[thread].sums)


cdef void gather_moments(
    const Plan *plan, Py_ssize_t n, Py_ssize_t stage, Py_ssize_t buffers, const double *moments,
    const real *like,
    Statistics *own,  # OUT
) noexcept nogil:
    """The mean and variance that the batch normalisation at the beginning of a stage works with."""
    cdef const Op *norm = &plan.ops[plan.stages[stage]]
    cdef const Grid *g = &plan.tensors[plan.stages[stage]].g
    cdef Py_ssize_t b, c, at = norm.statistics, size = g.height * g.width, chunks = count_chunks(plan, n)
    cdef Py_ssize_t start, stop
    for b in range(buffers):
        start, stop = b * chunks // buffers * n // chunks, (b + 1) * chunks // buffers * n // chunks
        batch_norm_merge(g.channels, start * size, (stop - start) * size, moments + 2 * b * plan.statistics + at,
                         moments + (2 * b + 1) * plan.statistics + at, own.mean + at, own.variance + at)
    for c in range(at, at + g.channels):
        own.variance[c] /= <double> n * size
        (<real *> own.means)[c] = <real> own.mean[c]
    batch_norm_scale(g.channels, norm.eps, own.variance + at, <real *> own.inverse + at)


cdef inline real *buffer_of(const Plan *plan, Py_ssize_t b, real *gradients) noexcept nogil:
    """Gradient buffer b: behind the first one lies what is deferred."""
    return gradients + (plan.gradients + (b - 1) * plan.part if b else 0)


cdef void gather_sums(
    const Plan *plan, Py_ssize_t stage, Py_ssize_t buffers, real *gradients,
    Statistics *own,  # OUT
) noexcept nogil:
    """The gradients by gamma and beta of the batch normalisation at the beginning of a stage, over the batch."""
    cdef const Op *norm = &plan.ops[plan.stages[stage]]
    cdef Py_ssize_t b, c, channels = plan.tensors[plan.stages[stage]].g.channels
    cdef real *dgamma = <real *> own.dgamma + norm.statistics
    cdef real *dbeta = <real *> own.dbeta + norm.statistics
    for c in range(channels):
        dgamma[c], dbeta[c] = 0, 0
        for b in range(buffers):
            dgamma[c] += buffer_of(plan, b, gradients)[norm.w + c]
            dbeta[c] += buffer_of(plan, b, gradients)[norm.b + c]


cdef void keep_statistics(const Plan *plan, const Statistics *own, real *state) noexcept nogil:  # state: IN and OUT
    """Take the batch's means and variances into the running ones."""
    cdef Py_ssize_t s, c
    cdef const Op *norm
    for s in range(1, plan.n_stages):
        norm = &plan.ops[plan.stages[s]]
        for c in range(norm.statistics, norm.statistics + plan.tensors[plan.stages[s]].g.channels):
            state[c] = <real> (norm.rate * state[c] + (1 - norm.rate) * own.mean[c])
            state[plan.statistics + c] = <real> (norm.rate * state[plan.statistics + c]
                                                 + (1 - norm.rate) * own.variance[c])


cdef void deferred_strip(
    const Plan *plan, const Strip *strip, Py_ssize_t chunks, const Arena *arena,
    real *dw,  # OUT
) noexcept nogil:
    """A strip of the gradient by a dense operation's weights, of all samples of the batch in their order."""
    cdef const Grid *gx = &plan.tensors[strip.op].g
    cdef const real *x = values_of(plan, &arena.work[0], strip.op, False, 0, dw)
    cdef const real *dy = values_of(plan, &arena.work[0], strip.op + 1, True, 0, dw)
    cdef const real *none = NULL
    cdef Py_ssize_t space = 0
    cdef fc_product p
    if chunks > 1:
        space = <real *> arena.work[1].values - <real *> arena.work[0].values
    p.lines, p.rows, p.cols, p.outer, p.segments = 1, strip.rows, strip.cols, 1, chunks
    p.depth, p.depths, p.reach, p.a_line, p.c_line = 0, arena.sizes, NULL, 0, 0
    p.a_row, p.a_outer, p.a_segment, p.a_step = 1, 0, space, gx.sample
    p.b_outer, p.b_segment, p.b_row = 0, space, plan.tensors[strip.op + 1].g.sample
    p.c_row, p.add, p.relu = padded(strip.cols, sizeof(real)), 0, 0
    multiply(&p, x + strip.tap // gx.width * gx.line + strip.tap % gx.width * gx.row + strip.first, dy, none, none, dw)


cdef void finish_strip(
    const Plan *plan, const Strip *strip, double l2, const Optimiser *optimiser, Py_ssize_t chunks, const Arena *arena,
    real *gradients,  # IN; the first buffer becomes the sum of all
    real *state, real *packed, double *squares,  # IN and OUT
) noexcept nogil:
    """Sum a strip of the gradient buffers in their order; then update its parameters, for the next step."""
    cdef Py_ssize_t at = strip.packed, size = strip.rows * padded(strip.cols, sizeof(real))
    if plan.ops[strip.op].deferred and strip.tap >= 0:
        deferred_strip(plan, strip, chunks, arena, gradients + at)
    else:
        sum_parts(size, min(chunks, <Py_ssize_t> BUFFERS) - 1, plan.part, gradients + plan.gradients + at,
                  gradients + at)
    if l2 != 0 and strip.decays:
        l2_backward_add(size, l2, packed + at, gradients + at)
    if optimiser != NULL:
        update_strip(optimiser, size, strip.decays, gradients + at, plan.gradients, state + at, packed + at)
        transform_strip(plan, strip, packed)
        transpose_strip(plan, strip, packed)
        squares[0] = squares_of(strip, l2, packed)


cdef void sort_batch(const Plan *plan, const Batch *batch, Py_ssize_t most) noexcept nogil:  # batch.sorting: OUT
    """Sort a batch of at most so many samples from their ends, where these share what is made of suffixes."""
    batch.sorting.sorted = NULL
    if plan.longest and batch.n <= most:
        batch.sorting.sorted = sort_endings(batch.n, plan.tensors.g.width, plan.longest, batch.codes, batch.order,
                                            batch.first, batch.sorting.order, batch.sorting.endings)


cdef double step(
    const Plan *plan, const Batch *batch, const Batch *upcoming, const Optimiser *optimiser, Arena *arena, int thread,
    real *gradients, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient, in the first buffer; the update, if there is an optimiser and it is finite.

    Every thread of a team calls this for the same batch, and gets the loss. Stage after stage the threads take the
    chunks and wait for each other, forward, the last stage to and fro, and backward. The first one that has to wait at
    the end sorts the batch that comes next, if one does.
    """
    cdef Py_ssize_t s, stage, buffers = count_buffers(plan, batch.n), b, taken = 0, last = plan.n_stages - 1
    cdef bint returns = batch.loss.labels != NULL or batch.dy != NULL
    cdef int threads = FC_THREADS(), passed
    cdef double loss = 0, squares = 0
    cdef Statistics *own = &arena.statistics[thread]
    cdef Mode mode
    mode.training, mode.seed, mode.update, mode.n = True, batch.seed, batch.update, batch.n
    mode.mean, mode.inverse, mode.dgamma, mode.dbeta = own.means, own.inverse, own.dgamma, own.dbeta
    correct[0] = 0
    if batch.n == 0:
        return loss  # and the gradient is zero
    if batch.loss.l2 != 0:
        for s in range(plan.n_strips):
            squares += arena.squares[s]
    for s in range(2 * last + 1 if returns else last + 1):  # stages 0 .. last, then last - 1 .. 0
        stage = s if s <= last else 2 * last - s
        if 0 < s <= last:
            gather_moments(plan, batch.n, stage, buffers, arena.moments, gradients, own)
        elif s > last:
            gather_sums(plan, stage + 1, buffers, gradients, own)
        b = fc_take(&arena.team) - taken
        while b < buffers:
            stage_chunks(plan, batch, stage, s > last, b, buffers, thread, &mode, arena,
                         buffer_of(plan, b, gradients))
            b = fc_take(&arena.team) - taken
        taken += buffers + threads
        if fc_arrive(&arena.team, &passed) and s == 2 * last and upcoming != NULL:
            sort_batch(plan, upcoming, arena.sorts)
        fc_pass(&arena.team, passed)
    for b in range(buffers):
        loss += arena.losses[b]
        correct[0] += arena.correct[b]
    loss += batch.loss.l2 * squares
    if not isfinite(loss):
        optimiser = NULL
    for s in range(plan.n_strips):
        if plan.strips[s].packed * threads // plan.gradients == thread:
            finish_strip(plan, &plan.strips[s], batch.loss.l2, optimiser, count_chunks(plan, batch.n), arena, gradients,
                         <real *> arena.state, <real *> arena.packed, &arena.squares[s])
    if thread == 0:
        arena.team.next = 0
        if batch.state != NULL and isfinite(loss):
            keep_statistics(plan, own, <real *> batch.state)
    fc_wait(&arena.team)
    return loss


cdef void predict_chunk(
    const Plan *plan, const Batch *batch, Py_ssize_t start, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed, bint probabilities,
    real *y,  # OUT (N, height, width, channels)
) noexcept nogil:
    """The output of the samples start : start + n of a batch, or its softmax."""
    cdef Py_ssize_t i, h, q
    cdef const Grid *g = &plan.tensors[plan.n_ops].g
    cdef real *z = values_of(plan, work, plan.n_ops, False, 0, y)
    if batch.sorting.sorted != NULL:
        gather_endings(plan, n, batch.codes, NULL, NULL, batch.first, batch.sorting.endings,
                       batch.sorting.sorted + start, work)
    else:
        gather(plan, n, batch.codes, <const real *> batch.x, batch.lengths, NULL, NULL, batch.first, batch.n, start,
               &batch.recipe, work)
    forward(plan, 0, plan.n_ops, n, work, mode, packed)
    if probabilities:
        for i in range(n):
            for h in range(g.height):
                for q in range(g.width):
                    softmax(g.channels, z + i * g.sample + h * g.line + q * g.row,
                            z + i * g.sample + h * g.line + q * g.row)
    output_chunk(plan, n, work, plan.n_ops, False, y)


cdef Py_ssize_t count_parts(const Plan *plan, Py_ssize_t n, int threads) noexcept nogil:
    """Parts that a prediction of n samples is cut into: chunks; or, where samples share what is made of suffixes, as
    many as are sorted at a time, the same number for each thread.
    """
    cdef Py_ssize_t parts = (n + SORTED - 1) // SORTED
    if plan.longest == 0:
        return count_chunks(plan, n)
    return min(count_chunks(plan, n), (parts + threads - 1) // threads * threads)


cdef void predict_thread(
    const Plan *plan, Batch batch, bint probabilities, const Mode *mode, Arena *arena, int thread, const real *packed,
    real *y,  # OUT (batch.n, height, width, channels)
) noexcept nogil:
    """The output of every sample, part by part and chunk by chunk, as one thread of a team."""
    cdef Py_ssize_t n = batch.n, part, parts = count_parts(plan, n, FC_THREADS()), c, chunks, start
    arena.work[thread].scratch, batch.sorting = arena.scratch[thread], &arena.sortings[thread]
    fc_join(&arena.team)
    part = fc_take(&arena.team)
    while part < parts:
        batch.first = part * n // parts
        batch.n = (part + 1) * n // parts - batch.first
        sort_batch(plan, &batch, arena.sorts)
        chunks = count_chunks(plan, batch.n)
        for c in range(chunks):
            start = c * batch.n // chunks
            predict_chunk(plan, &batch, start, (c + 1) * batch.n // chunks - start, &arena.work[thread], mode, packed,
                          probabilities, y)
        part = fc_take(&arena.team)


cdef void predict_all(
    const Plan *plan, const Batch *batch, const real *parameters, bint probabilities, Arena *arena, int threads,
    real *y,  # OUT (batch.n, height, width, channels)
) noexcept nogil:
    """The output of every sample."""
    cdef Mode mode
    cdef Py_ssize_t s, c
    cdef const Op *norm
    cdef const real *variance = <const real *> batch.state + plan.statistics
    memset(&mode, 0, sizeof(Mode))
    mode.mean, mode.inverse = batch.state, arena.statistics.inverse
    for s in range(1, plan.n_stages):
        norm = &plan.ops[plan.stages[s]]
        for c in range(norm.statistics, norm.statistics + plan.tensors[plan.stages[s]].g.channels):
            arena.statistics.variance[c] = variance[c]
        batch_norm_scale(plan.tensors[plan.stages[s]].g.channels, norm.eps, arena.statistics.variance + norm.statistics,
                         <real *> arena.statistics.inverse + norm.statistics)
    pack_all(plan, parameters, <real *> arena.packed)
    for s in range(plan.n_strips):
        transform_strip(plan, &plan.strips[s], <real *> arena.packed)
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        predict_thread(plan, batch[0], probabilities, &mode, arena, threadid(), <const real *> arena.packed, y)


cdef void begin_batch(
    const int64_t *starts, Py_ssize_t update, const Arena *arena,
    Batch *batch,  # IN and OUT
) noexcept nogil:
    """Set the rows of the batch of an update, and where it is sorted."""
    batch.first, batch.n = starts[update], starts[update + 1] - starts[update]
    batch.sorting = &arena.sortings[update % 2]


cdef void train_thread(
    const Plan *plan, Batch batch, Optimiser optimiser, Py_ssize_t updates, const int64_t *starts, const double *rates,
    Arena *arena, int thread,
    real *gradients, double *losses, int64_t *correct, Py_ssize_t *made,  # OUT
) noexcept nogil:
    """Update after update, from the given batch on, as one thread of a team, until a loss is no longer finite."""
    cdef Py_ssize_t u, hits
    cdef double loss
    cdef Batch upcoming = batch
    fc_join(&arena.team)
    for u in range(updates):
        batch.recipe.update = batch.update
        begin_update(&optimiser, rates[u], batch.update)
        if u + 1 < updates:
            begin_batch(starts, u + 1, arena, &upcoming)
            if plan.codes:
                fetch_rows(plan, min(upcoming.n, <Py_ssize_t> FETCHED), batch.codes, batch.loss.labels, batch.order,
                           upcoming.first)
        loss = step(plan, &batch, &upcoming if u + 1 < updates else NULL, &optimiser, arena, thread, gradients, &hits)
        if thread == 0:
            losses[u], correct[u], made[0] = loss, hits, u + isfinite(loss)
        if not isfinite(loss):
            break
        upcoming.update += 1
        batch = upcoming


cdef Py_ssize_t train_all(
    const Plan *plan, Batch *batch, const Optimiser *optimiser, Py_ssize_t updates, const int64_t *starts,
    const double *rates, Py_ssize_t size, Arena *arena, int threads,
    real *parameters, real *state,  # IN and OUT: (size,), (optimiser.states, size)
    double *losses, int64_t *correct,  # OUT
) noexcept nogil:
    """Updates; returns how many were made before a loss was no longer finite."""
    cdef Py_ssize_t made = 0, i, part = padded(plan.gradients, sizeof(real))
    if updates == 0:
        return made
    begin_batch(starts, 0, arena, batch)
    sort_batch(plan, batch, arena.sorts)
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
    const Plan *plan, Batch batch, Arena *arena, int thread,
    real *gradients, double *loss, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient, as one thread of a team."""
    cdef Py_ssize_t hits
    cdef double found
    fc_join(&arena.team)
    found = step(plan, &batch, NULL, NULL, arena, thread, gradients, &hits)
    if thread == 0:
        loss[0], correct[0] = found, hits


cdef double gradient_of(
    const Plan *plan, Batch *batch, const real *parameters, Arena *arena, int threads,
    real *flat, Py_ssize_t *correct,  # OUT
) noexcept nogil:
    """The loss of a batch and its gradient."""
    cdef double loss = 0
    batch.sorting = arena.sortings
    sort_batch(plan, batch, arena.sorts)
    load(plan, parameters, batch.loss.l2, arena)
    with parallel(num_threads=threads, use_threads_if=threads > 1):
        gradient_thread(plan, batch[0], arena, threadid(), <real *> arena.gradients, &loss, correct)
    unpack_all(plan, <real *> arena.gradients, flat)
    return loss
