# One chunk of samples through the plan, forward and backward, in one thread's scratch.

from libc.stdint cimport int16_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastconv.engine.plan cimport (AVG_POOL, BATCH_NORM, CONV1D, CONV2D, DENSE, DROPOUT, FLATTEN, GLOBAL_MAX_POOL1D,
                                   MAX_POOL, ONEHOT_CONV1D, RELU, SIGMOID, TANH, Op, Plan, Tensor)
from fastconv.kernels.augment cimport Recipe, augment_sample
from fastconv.kernels.avg_pool cimport avg_pool_backward, avg_pool_forward
from fastconv.kernels.batch_norm cimport batch_norm_backward_w, batch_norm_backward_x, batch_norm_forward
from fastconv.kernels.bias cimport bias_backward
from fastconv.kernels.conv1d cimport conv1d_backward_w, conv1d_backward_x, conv1d_forward
from fastconv.kernels.conv2d cimport (conv2d_backward_w, conv2d_backward_x, conv2d_forward, conv2d_pooled,
                                      conv2d_pooled_backward_w)
from fastconv.kernels.dense cimport dense_backward_w, dense_backward_x, dense_forward
from fastconv.kernels.dropout cimport dropout, dropout_scale
from fastconv.kernels.global_max_pool1d cimport global_max_pool1d_backward, global_max_pool1d_forward
from fastconv.kernels.grid cimport Grid
from fastconv.kernels.max_pool cimport max_pool_backward, max_pool_forward
from fastconv.kernels.onehot_conv1d cimport (onehot_conv1d_backward_w, onehot_conv1d_forward, onehot_conv1d_largest,
                                             onehot_conv1d_largest_backward_w)
from fastconv.kernels.pack cimport pack_rows, unpack_rows
from fastconv.kernels.real cimport real
from fastconv.kernels.relu cimport relu_backward, relu_forward, relu_mask, relu_masked
from fastconv.kernels.sparse_conv2d cimport sparse_backward_w, sparse_backward_x, sparse_begin, sparse_end
from fastconv.kernels.sigmoid cimport sigmoid_backward, sigmoid_forward
from fastconv.kernels.suffix cimport Ending, in_common, reach
from fastconv.kernels.suffix_conv1d cimport find_joins, suffix_conv1d_backward_x, suffix_conv1d_forward
from fastconv.kernels.tanh cimport tanh_backward, tanh_forward
from fastconv.kernels.tile cimport fc_suffixes
from fastconv.kernels.winograd_conv2d cimport winograd_backward_w, winograd_backward_x, winograd_forward

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) nogil

ctypedef struct Workspace:
    # What one chunk is worked on in.
    void *values            # (plan.values,) elements: all tensors
    void *scratch           # (plan.scratch,) elements, of the thread that is at work
    int16_t *codes          # (chunk, length)
    Py_ssize_t *active      # (n_ops + 1, chunk): leading positions of each sample that can differ from zero
    Py_ssize_t *valid       # (n_ops + 1, chunk): leading positions that see something of the sample
    Py_ssize_t *rows        # (chunk,): the row of the data that each sample is
    Py_ssize_t *places      # (chunk,): the place of each sample in its batch
    Py_ssize_t *counts      # (max(chunk, width of any tensor, 2 lines) + 2,): to count and to sort in
    Py_ssize_t *sequence    # (chunk,): the samples sorted from their ends; this and the next three only if plan.longest
    Py_ssize_t *shared      # (chunk,): characters that a sample has in common with the one before it in the sequence
    Py_ssize_t *fresh       # (chunk,): positions of tensor 1 that are its own
    uint64_t *joins         # (chunk,): bit d: a later one has d in common with it and then goes on by itself
    const void *given       # the gradient of the chunk's output in the caller's array, or NULL: it is copied
    bint drops              # nobody wants the output: all blocks have one place for it
    void *images            # three, to augment in; this and what follows only where there is augmentation
    void *target            # (classes,): of a mixture
    Py_ssize_t *partners    # (chunk,): the row of the data that each sample is mixed with
    double *shares          # (chunk,): and how much of that there is in the mixture

ctypedef struct Mode:
    # What is not the same in a training step and in a prediction.
    bint training           # dropout drops
    uint64_t seed           # of the random numbers
    uint32_t update
    const void *mean        # (plan.statistics,): of each channel that is normalised
    const void *inverse     # 1 / its deviation
    const void *dgamma      # sums over the batch, for the way back
    const void *dbeta
    Py_ssize_t n            # samples of the batch


cdef inline void pack_image(const Grid *g, const real *a, real *x) noexcept nogil:  # x: OUT
    """x = a, which lies without gaps."""
    cdef Py_ssize_t h
    for h in range(g.height):
        if g.row == g.channels:
            memcpy(x + h * g.line, a + h * g.width * g.channels, g.width * g.channels * sizeof(real))
        else:
            pack_rows(g.width, g.channels, a + h * g.width * g.channels, x + h * g.line)


cdef inline void unpack_image(const Grid *g, const real *x, real *a) noexcept nogil:  # a: OUT
    """The reverse of pack_image, for padded pixels."""
    cdef Py_ssize_t h
    for h in range(g.height):
        unpack_rows(g.width, g.channels, x + h * g.line, a + h * g.width * g.channels)


cdef inline void clear_padding(const Grid *g, real *line) noexcept nogil:  # line: IN and OUT
    """Zero what lies behind the channels of each pixel of a line: a turned gradient takes its padding from there."""
    cdef Py_ssize_t q
    for q in range(g.width):
        memset(line + q * g.row + g.channels, 0, (g.row - g.channels) * sizeof(real))


cdef inline void fetch_rows(
    const Plan *plan, Py_ssize_t n, const int16_t *codes, const int64_t *labels, const int64_t *order, Py_ssize_t first
) noexcept nogil:
    """Have the processor fetch the rows order[first : first + n] of codes and labels; others it fetches by itself."""
    cdef Py_ssize_t i, length = plan.tensors.g.width
    if order == NULL:
        return
    for i in range(first, first + n):
        prefetch(codes + order[i] * length)
        prefetch(codes + order[i] * length + length - 1)
        if labels != NULL:
            prefetch(labels + order[i])


cdef inline void gather(
    const Plan *plan, Py_ssize_t n, const int16_t *codes, const real *x, const int64_t *lengths, const int64_t *labels,
    const int64_t *order, Py_ssize_t first, Py_ssize_t total, Py_ssize_t start, const Recipe *recipe,
    const Workspace *work,  # OUT
) noexcept nogil:
    """Copy the rows order[at : at + n], with at = first + start (the rows at, ... where order is NULL), of codes, or
    else, augmented, of x; `start` is the place of the first one in its batch, of `total` rows.

    Rows of codes are sorted by their length, the longest first, so that the samples with something at a position are
    the first ones; work.rows says which row a sample is, work.places which one of its batch.
    """
    cdef Py_ssize_t i, at, slot, end, partner = 0, length = plan.tensors.g.width
    cdef Py_ssize_t size = plan.tensors.g.height * length * plan.tensors.g.channels
    cdef Py_ssize_t *starts = work.counts           # where the rows that are d short of the longest possible begin
    cdef Py_ssize_t *ends = work.active + plan.chunk  # the next tensor's, free until forward fills it
    cdef const real *image
    first += start
    if not plan.codes:
        for i in range(n):
            at = first + i if order == NULL else order[first + i]
            image = x + at * size
            if recipe.count:
                image = augment_sample(recipe, x, order, first - start, total, start + i, <real *> work.images,
                                       &partner, &work.shares[i])
                partner += first - start
                work.partners[i] = partner if order == NULL else order[partner]
            pack_image(&plan.tensors.g, image, <real *> work.values + plan.tensors.y + i * plan.tensors.g.sample)
            work.active[i], work.rows[i], work.places[i] = length, at, start + i
            work.valid[i] = length if lengths == NULL else lengths[at]
        return
    memset(starts, 0, (length + 2) * sizeof(Py_ssize_t))
    fetch_rows(plan, n, codes, labels, order, first)
    for i in range(n):
        at = first + i if order == NULL else order[first + i]
        ends[i] = reach(length, codes + at * length)
        starts[length - ends[i] + 1] += 1
    for i in range(length + 1):
        starts[i + 1] += starts[i]
    for i in range(n):
        at = first + i if order == NULL else order[first + i]
        end = ends[i]
        slot = starts[length - end]
        starts[length - end] += 1
        memcpy(work.codes + slot * length, codes + at * length, length * sizeof(int16_t))
        work.active[slot], work.valid[slot], work.rows[slot], work.places[slot] = end, end, at, start + i
        if plan.longest:  # nothing is shared
            work.sequence[i], work.shared[slot], work.joins[slot] = slot, 0, 0
            work.fresh[slot] = min(end, plan.tensors[1].g.width)


cdef inline void gather_endings(
    const Plan *plan, Py_ssize_t n, const int16_t *codes, const int64_t *labels, const int64_t *order, Py_ssize_t first,
    const Ending *endings, const uint64_t *sorted,
    const Workspace *work,  # OUT
) noexcept nogil:
    """Copy n rows of codes, those at the given places of a batch that begins at `first`, as gather does; work.sequence
    keeps their order.
    """
    cdef Py_ssize_t i, at, place, slot, end, length = plan.tensors.g.width
    cdef const Ending *before = NULL
    cdef Py_ssize_t *starts = work.counts
    memset(starts, 0, (length + 2) * sizeof(Py_ssize_t))
    for i in range(n):
        place = <uint32_t> sorted[i]
        at = first + place if order == NULL else order[first + place]
        prefetch(codes + at * length)
        if labels != NULL:
            prefetch(labels + at)
        starts[length - endings[place].length + 1] += 1
    for i in range(length + 1):
        starts[i + 1] += starts[i]
    for i in range(n):
        place, end = <uint32_t> sorted[i], endings[<uint32_t> sorted[i]].length
        at = first + place if order == NULL else order[first + place]
        slot = starts[length - end]
        starts[length - end] += 1
        memcpy(work.codes + slot * length, codes + at * length, length * sizeof(int16_t))
        work.active[slot], work.valid[slot], work.rows[slot], work.places[slot] = end, end, at, place
        work.sequence[i], work.shared[slot] = slot, in_common(before, &endings[place]) if i else 0
        work.fresh[slot] = min(end, plan.tensors[1].g.width) - work.shared[slot]
        before = &endings[place]
    find_joins(n, work.sequence, work.shared, work.joins)


cdef inline real *values_of(
    const Plan *plan, const Workspace *work, Py_ssize_t tensor, bint gradient, Py_ssize_t first, const real *like
) noexcept nogil:
    """Pixel (0, 0) of sample `first` of a chunk in a tensor, or in its gradient; numbers of the type of `like`."""
    cdef const Tensor *t = &plan.tensors[tensor]
    cdef bint whole = t.dy_whole if gradient else t.y_whole
    if tensor == plan.n_ops and gradient and work.given != NULL:
        if not plan.ops[tensor - 1].rectified:
            return <real *> work.given + first * t.g.sample
        whole = False  # it is masked block by block
    elif tensor == plan.n_ops and not gradient and work.drops:
        whole = False
    return <real *> work.values + (t.dy if gradient else t.y) + (first * t.g.sample if whole else 0)


cdef inline real *winners_of(
    const Plan *plan, const Workspace *work, Py_ssize_t tensor, Py_ssize_t first, const real *like
) noexcept nogil:
    """Who won the maxima of sample `first` of a chunk that a tensor holds."""
    cdef const Tensor *t = &plan.tensors[tensor]
    return <real *> work.values + t.winner + (first * t.g.height * t.g.width * t.g.row if t.winner_whole else 0)


cdef inline void count_positions(
    const Op *op, Py_ssize_t n, Py_ssize_t length, bint full, const Py_ssize_t *x,
    Py_ssize_t *y,  # OUT (n,)
) noexcept nogil:
    """The leading outputs whose window begins within the leading x[i] inputs, or all if `full`."""
    cdef Py_ssize_t i, ahead = op.window.left + op.window.sw - 1
    if full:
        for i in range(n):
            y[i] = length
    elif ahead == 0:
        for i in range(n):
            y[i] = min(length, x[i])
    else:
        for i in range(n):
            y[i] = min(length, (x[i] + ahead) // op.window.sw if x[i] else <Py_ssize_t> 0)


cdef inline void forward_op(
    const Plan *plan, Py_ssize_t o, Py_ssize_t first, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed,
) noexcept nogil:
    """Operation o on the samples first : first + n of a chunk."""
    cdef Py_ssize_t i, h
    cdef const Op *op = &plan.ops[o]
    cdef const Grid *gx = &plan.tensors[o].g
    cdef const Grid *gy = &plan.tensors[o + 1].g
    cdef Py_ssize_t to = o + 2 if op.pools else o + 1
    cdef const Grid *pooled = &plan.tensors[to].g if op.pools else NULL
    cdef const real *x = values_of(plan, work, o, False, first, packed)
    cdef real *y = values_of(plan, work, to, False, first, packed)
    cdef real *winner = winners_of(plan, work, to, first, packed) if plan.learns or not op.pools else NULL
    cdef const real *b = packed + op.b if op.b >= 0 else NULL
    cdef const real *xh
    cdef real *yh
    cdef Py_ssize_t *active_x = work.active + o * plan.chunk + first
    cdef Py_ssize_t *active_y = active_x + plan.chunk
    cdef Py_ssize_t *valid = work.valid + o * plan.chunk + first
    cdef fc_suffixes suffixes
    # without a bias, nothing comes of nothing, but for rounding: Winograd's tiles mix positions
    count_positions(op, n, gy.width, op.b >= 0 or op.u >= 0 or op.ut >= 0 or op.kind == SIGMOID or gy.width == 1,
                    active_x, active_y)
    if plan.validates:
        count_positions(op, n, gy.width, not plan.codes, valid, valid + plan.chunk)
    if op.kind == ONEHOT_CONV1D and op.pools:
        onehot_conv1d_largest(n, gx, gy, &op.window, work.codes + first * gx.width, active_x, valid + plan.chunk,
                              packed + op.w, b, op.relu, y, winner)
    elif op.kind == ONEHOT_CONV1D:
        onehot_conv1d_forward(n, gx, gy, &op.window, work.codes + first * gx.width, active_x,
                              work.fresh if plan.longest and not plan.learns else active_y, not plan.longest,
                              packed + op.w, b, op.relu, y)
    elif op.kind == CONV1D and o == 1 and plan.longest:
        suffixes.sequence, suffixes.shared, suffixes.joins = work.sequence, work.shared, work.joins
        suffix_conv1d_forward(n, gx.channels, op.window.kw, gy.channels, gy.width, gx.sample, x, active_x, active_y,
                              &suffixes, packed + op.w, op.relu, gy.sample, <real *> work.scratch + op.scratch, y)
    elif op.kind == CONV1D:
        conv1d_forward(n, gx.width, gx.channels, op.window.kw, gy.channels, gx.sample, x, active_x, active_y,
                       packed + op.w, b, op.relu, gy.sample, work.counts, y)
    elif op.kind == CONV2D and op.u >= 0:
        if real is float:
            winograd_forward(n, gx, gy, &op.window, x, packed + op.u, b, op.relu, pooled,
                             <float *> work.scratch + plan.transformed, y, winner)
    elif op.kind == CONV2D and op.pools:
        conv2d_pooled(n, gx, pooled, &op.window, x, packed + op.w, b, op.relu, y, winner)
    elif op.kind == CONV2D:
        conv2d_forward(n, gx, gy, &op.window, x, packed + op.w, b, op.relu, y)
    elif o > 0 and plan.ops[o - 1].pools:
        pass  # done with the convolution
    elif op.kind == MAX_POOL:
        max_pool_forward(n, gx, gy, &op.window, x, y, winner)
    elif op.kind == AVG_POOL:
        avg_pool_forward(n, gx, gy, &op.window, x, y)
    elif op.kind == GLOBAL_MAX_POOL1D:
        global_max_pool1d_forward(n, gx.row, valid, gx.sample, x, gy.sample, y, winner)
    elif op.kind == DENSE:
        dense_forward(n, gx, gy.channels, active_x, x, packed + (op.wt if op.turned else op.w), b, op.relu, gy.sample, y)
    elif op.kind == BATCH_NORM:
        batch_norm_forward(n, gx, gy, x, <const real *> mode.mean + op.statistics,
                           <const real *> mode.inverse + op.statistics, packed + op.w, b, op.relu, y)
    elif op.kind == DROPOUT and mode.training:
        dropout(n, gx, gy, op.rate, mode.seed, <uint32_t> op.index, mode.update, work.places + first, x, y)
    elif op.kind == FLATTEN:
        for i in range(n):
            unpack_image(gx, x + i * gx.sample, y + i * gy.sample)
    else:
        for i in range(n):
            for h in range(gx.height):
                xh, yh = x + i * gx.sample + h * gx.line, y + i * gy.sample + h * gy.line
                if op.kind == RELU:
                    relu_forward(gx.width * gx.row, xh, yh)
                elif op.kind == SIGMOID:
                    sigmoid_forward(gx.width * gx.row, xh, yh)
                    clear_padding(gy, yh)  # which is 1/2
                elif op.kind == TANH:
                    tanh_forward(gx.width * gx.row, xh, yh)
                else:  # dropout in a prediction
                    memcpy(yh, xh, gx.width * gx.row * sizeof(real))


cdef inline void backward_op(
    const Plan *plan, Py_ssize_t o, Py_ssize_t first, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed, bint last, bint begun,
    real *gradients,  # OUT (plan.gradients,), IN too if begun or first > 0
) noexcept nogil:
    """Operation o in reverse, on the samples first : first + n of a chunk, perhaps the last ones; what it gives is added
    to gradients, if these are begun or the samples are not the first ones.

    Where y comes of a ReLU, the op behind it masks the gradient that it hands back.
    """
    cdef Py_ssize_t i, h
    cdef bint add = begun or first > 0
    cdef const Op *op = &plan.ops[o]
    cdef const Grid *gx = &plan.tensors[o].g
    cdef const Grid *gy = &plan.tensors[o + 1].g
    cdef const real *x = values_of(plan, work, o, False, first, packed)
    cdef const real *y = values_of(plan, work, o + 1, False, first, packed)
    cdef real *dx = values_of(plan, work, o, True, first, packed)
    cdef real *dy = values_of(plan, work, o + 1, True, first, packed)
    cdef const real *winner = winners_of(plan, work, o + 1, first, packed)
    cdef const real *mask = x if o > 0 and plan.ops[o - 1].rectified else NULL
    cdef const real *given = dy
    cdef const real *far = NULL
    cdef real *dxh
    cdef real *dyh
    cdef fc_suffixes suffixes
    cdef Py_ssize_t *active_x = work.active + o * plan.chunk + first
    cdef Py_ssize_t *active_y = active_x + plan.chunk
    if o == plan.n_ops - 1 and op.rectified:
        if work.given != NULL:
            given = <const real *> work.given + first * gy.sample
        relu_masked(n, gy, y, given, dy)
    if op.kind == BATCH_NORM:  # its dx needs the sums of the whole batch
        batch_norm_backward_w(n, gx, gy, x, dy, <const real *> mode.mean + op.statistics,
                              <const real *> mode.inverse + op.statistics, add, gradients + op.w, gradients + op.b)
        return
    if op.b >= 0 and op.pooled:  # the pooling has handed back each number once
        bias_backward(n, &plan.tensors[o + 2].g, values_of(plan, work, o + 2, True, first, packed), add, gradients + op.b)
    elif op.b >= 0 and (op.kind != CONV2D or op.tiled):
        bias_backward(n, gy, dy, add, gradients + op.b)
    if op.kind == ONEHOT_CONV1D and op.unpools:
        onehot_conv1d_largest_backward_w(
            n, gx, gy, &op.window, work.codes + first * gx.width, active_x,
            work.valid + (o + 1) * plan.chunk + first, values_of(plan, work, o + 2, True, first, packed),
            winners_of(plan, work, o + 2, first, packed), add, gradients + op.w)
    elif op.kind == ONEHOT_CONV1D:
        onehot_conv1d_backward_w(n, gx, gy, &op.window, work.codes + first * gx.width, active_x,
                                 work.fresh if plan.longest else active_y, dy, add, gradients + op.w)
    elif op.kind == CONV1D:
        conv1d_backward_w(n, gx.width, gx.channels, op.window.kw, gy.channels, gx.sample, x, active_x, gy.sample, dy,
                          work.counts, add, gradients + op.w)
        if o == 1 and plan.longest:
            suffixes.sequence, suffixes.shared, suffixes.joins = work.sequence, work.shared, work.joins
            suffix_conv1d_backward_x(n, gx.width, gx.channels, op.window.kw, gy.channels, gy.sample, active_x, active_y,
                                     &suffixes, packed + op.wt, mask, gx.sample, <real *> work.scratch + op.scratch, dy,
                                     dx)
        elif op.wt >= 0:
            conv1d_backward_x(n, gx.width, gx.channels, op.window.kw, gy.channels, gy.sample, dy, active_x,
                              packed + op.wt, mask, gx.sample, work.counts, dx)
    elif op.kind == CONV2D:
        dxh = <real *> work.scratch + op.scratch
        if op.tiled:
            if real is float:
                winograd_backward_w(first, n, last, op.tiled, gx, gy, &op.window, x, dy, begun, dxh,
                                    <float *> work.scratch + plan.transformed, gradients + op.w)
        elif op.sparse:
            if first == 0:
                sparse_begin(gx, gy, &op.window, begun, gradients + op.w, dxh)
            sparse_backward_w(n, gx, gy, &op.window, x, dy, dxh)
            if last:
                sparse_end(gx, gy, &op.window, dxh, gradients + op.w)
        elif op.unpools:
            if work.given != NULL and o + 2 == plan.n_ops:
                far = <const real *> work.given + first * plan.tensors[o + 2].g.sample
            conv2d_pooled_backward_w(n, gx, gy, &plan.tensors[o + 2].g, &op.window, x,
                                     values_of(plan, work, o + 2, True, first, packed),
                                     winners_of(plan, work, o + 2, first, packed), far, add, gradients + op.w)
        else:
            if work.given != NULL and o + 1 == plan.n_ops and not op.rectified:
                far = dy
            conv2d_backward_w(n, gx, gy, &op.window, x, dy, far, add, gradients + op.w,
                              gradients + op.b if op.b >= 0 and not op.pooled else <real *> NULL)
        if op.sparse and op.wt >= 0:
            sparse_backward_x(n, gx, gy, &op.window, dy, packed + op.wt, mask, work.counts, dx)
        elif op.ut >= 0:
            if real is float:
                winograd_backward_x(n, gx, gy, &op.window, dy, packed + op.ut, mask,
                                    <float *> work.scratch + plan.transformed, dx)
        elif op.wt >= 0:
            conv2d_backward_x(n, gx, gy, &op.window, dy, packed + op.wt, mask, dx)
    elif op.kind == DENSE:
        if not op.deferred:
            dense_backward_w(n, gx, gy.channels, active_x, x, gy.sample, dy, add, op.turned, gradients + op.w)
        if op.wt >= 0:
            dense_backward_x(n, gx, gy.channels, active_x, gy.sample, dy, packed + (op.w if op.turned else op.wt), mask,
                             dx)
    elif o == 0 and not plan.input_gradient:
        return
    elif o > 0 and plan.ops[o - 1].unpools:
        return  # its gradient is the convolution's to spread
    elif op.kind == MAX_POOL:
        max_pool_backward(n, gx, gy, &op.window, dy, winner, dx)
    elif op.kind == GLOBAL_MAX_POOL1D:
        global_max_pool1d_backward(n, gx.width, gx.row, work.valid + o * plan.chunk + first, gy.sample, dy, winner,
                                   gx.sample, dx)
    else:
        if op.kind == AVG_POOL:
            avg_pool_backward(n, gx, gy, &op.window, dy, dx)
        elif op.kind == DROPOUT and op.rectified:
            dropout_scale(n, gy, gx, op.rate, dy, dx)
            return  # dy is 0 where y is, which is what was dropped and what the ReLU holds back
        elif op.kind == DROPOUT:
            dropout(n, gy, gx, op.rate, mode.seed, <uint32_t> op.index, mode.update, work.places + first, dy, dx)
        for i in range(n):
            if op.kind == FLATTEN:
                pack_image(gx, dy + i * gy.sample, dx + i * gx.sample)
            for h in range(gx.height):
                dxh, dyh = dx + i * gx.sample + h * gx.line, dy + i * gy.sample + h * gy.line
                if op.kind == RELU:
                    relu_backward(gx.width * gx.row, y + i * gy.sample + h * gy.line, dyh, dxh)
                elif op.kind == SIGMOID:
                    sigmoid_backward(gx.width * gx.row, y + i * gy.sample + h * gy.line, dyh, dxh)
                elif op.kind == TANH:
                    tanh_backward(gx.width * gx.row, y + i * gy.sample + h * gy.line, dyh, dxh)
        if mask != NULL:
            relu_mask(n, gx, mask, dx)


cdef inline void normalise_back(
    const Plan *plan, Py_ssize_t o, Py_ssize_t first, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed,
) noexcept nogil:
    """The gradient by the input of batch normalisation o, once the sums over the whole batch are there."""
    cdef const Op *op = &plan.ops[o]
    cdef const Grid *gx = &plan.tensors[o].g
    cdef real *dx = values_of(plan, work, o, True, first, packed)
    cdef const real *x = values_of(plan, work, o, False, first, packed)
    cdef Py_ssize_t at = op.statistics
    batch_norm_backward_x(n, gx, &plan.tensors[o + 1].g, x, values_of(plan, work, o + 1, True, first, packed),
                          <const real *> mode.mean + at, <const real *> mode.inverse + at, packed + op.w,
                          <double> mode.n * gx.height * gx.width, <const real *> mode.dgamma + at,
                          <const real *> mode.dbeta + at, dx)
    if o > 0 and plan.ops[o - 1].rectified:
        relu_mask(n, gx, x, dx)


cdef inline void forward(
    const Plan *plan, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed,
) noexcept nogil:
    """The ops start : stop, in order: each run of ops with blocks of one size block by block, while it is in cache."""
    cdef Py_ssize_t o = start, end, at, first
    while o < stop:
        end, first = o + 1, 0
        while end < stop and plan.ops[end].block == plan.ops[o].block:
            end += 1
        while first < n:
            for at in range(o, end):
                forward_op(plan, at, first, min(plan.ops[o].block, n - first), work, mode, packed)
            first += plan.ops[o].block
        o = end


cdef inline void backward(
    const Plan *plan, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t n, const Workspace *work, const Mode *mode,
    const real *packed, bint add,
    real *gradients,  # OUT (plan.gradients,), IN too if add
) noexcept nogil:
    """The ops start : stop in reverse, from the gradient of what comes after them.

    Where a batch normalisation comes next, its gradient by its input is still to be taken.
    """
    cdef Py_ssize_t o = stop, begin, at, first, m
    if start == stop and stop < plan.n_ops and plan.input_gradient:
        normalise_back(plan, stop, 0, n, work, mode, packed)
    while o > start:
        begin, first = o - 1, 0
        while begin > start and plan.ops[begin - 1].block == plan.ops[o - 1].block:
            begin -= 1
        while first < n:
            m = min(plan.ops[begin].block, n - first)
            if o == stop and stop < plan.n_ops:
                normalise_back(plan, stop, first, m, work, mode, packed)
            for at in range(o - 1, begin - 1, -1):
                backward_op(plan, at, first, m, work, mode, packed, first + m == n, add, gradients)
            first += m
        o = begin
