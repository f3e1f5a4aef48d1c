# One chunk of samples through the plan, forward and backward, in one thread's scratch.

from libc.stdint cimport int16_t, int64_t
from libc.string cimport memcpy, memset

from fastconv.engine.plan cimport CONV1D, DENSE, FLATTEN, ONEHOT_CONV1D, Op, Plan, Tensor
from fastconv.kernels.bias cimport bias_backward
from fastconv.kernels.conv1d cimport conv1d_backward_w, conv1d_backward_x, conv1d_forward
from fastconv.kernels.dense cimport dense_backward_w, dense_backward_x, dense_forward
from fastconv.kernels.onehot_conv1d cimport onehot_conv1d_backward_w, onehot_conv1d_forward
from fastconv.kernels.pack cimport pack_rows, unpack_rows
from fastconv.kernels.real cimport real
from fastconv.kernels.relu cimport relu_backward, relu_forward

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *) nogil

ctypedef struct Workspace:
    # What one thread works in.
    void *values            # (plan.scratch,) elements: all tensors
    int16_t *codes          # (chunk, length)
    Py_ssize_t *active      # (n_ops + 1, chunk): leading positions of each sample that can differ from zero
    Py_ssize_t *rows        # (chunk,): the row of the data that each sample is
    Py_ssize_t *counts      # (max(chunk, length) + 2,): to count and to sort in


cdef inline Py_ssize_t reach(Py_ssize_t length, const int16_t *codes) noexcept nogil:
    """Positions of a row of codes up to its last character."""
    cdef Py_ssize_t p, end = 0
    for p in range(length):
        end = p + 1 if codes[p] >= 0 else end
    return end


cdef inline void gather(
    const Plan *plan, Py_ssize_t n, const int16_t *codes, const real *x, const int64_t *labels, const int64_t *order,
    Py_ssize_t first,
    const Workspace *work,  # OUT
) noexcept nogil:
    """Copy the rows order[first : first + n] (first, first + 1, ... where order is NULL) of codes, or else of x.

    Rows of codes are sorted by their length, the longest first, so that the samples with something at a position are
    the first ones; work.rows says which row a sample is.
    """
    cdef Py_ssize_t i, at, slot, end, length = plan.tensors.length, channels = plan.tensors.channels
    cdef Py_ssize_t *starts = work.counts           # where the rows that are d short of the longest possible begin
    cdef Py_ssize_t *ends = work.active + plan.chunk  # the next tensor's, free until forward fills it
    if not plan.codes:
        for i in range(n):
            at = first + i if order == NULL else order[first + i]
            pack_rows(length, channels, x + at * length * channels,
                      <real *> work.values + plan.tensors.y + i * plan.tensors.sample)
            work.active[i], work.rows[i] = length, at
        return
    memset(starts, 0, (length + 2) * sizeof(Py_ssize_t))
    if order != NULL:
        for i in range(n):
            at = order[first + i]
            prefetch(codes + at * length)
            prefetch(codes + at * length + length - 1)
            if labels != NULL:
                prefetch(labels + at)
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
        work.active[slot], work.rows[slot] = end, at


cdef inline void forward(
    const Plan *plan, Py_ssize_t n, const Workspace *work, const real *packed,
) noexcept nogil:
    """All ops, in order; the result stands in the last tensor."""
    cdef Py_ssize_t o, i
    cdef const Op *op
    cdef const Tensor *tx
    cdef const Tensor *ty
    cdef real *values = <real *> work.values
    cdef const real *b
    cdef Py_ssize_t *active_x
    cdef Py_ssize_t *active_y
    for o in range(plan.n_ops):
        op, tx, ty = &plan.ops[o], &plan.tensors[o], &plan.tensors[o + 1]
        active_x, active_y = work.active + o * plan.chunk, work.active + (o + 1) * plan.chunk
        b = packed + op.b if op.b >= 0 else NULL
        for i in range(n):  # without a bias, nothing comes of nothing
            active_y[i] = ty.length if op.b >= 0 or ty.length == 1 else min(active_x[i], ty.length)
        if op.kind == ONEHOT_CONV1D:
            onehot_conv1d_forward(n, tx.length, op.width, tx.channels, ty.channels, work.codes, active_x,
                                  active_y, packed + op.w, b, op.relu, ty.sample, values + ty.y)
        elif op.kind == CONV1D:
            conv1d_forward(n, tx.length, tx.channels, op.width, ty.channels, tx.sample, values + tx.y, active_x,
                           active_y, packed + op.w, b, op.relu, ty.sample, work.counts, values + ty.y)
        elif op.kind == DENSE:
            dense_forward(n, tx.channels, ty.channels, active_x, tx.sample, values + tx.y,
                          packed + op.w, b, op.relu, ty.sample, values + ty.y)
        elif op.kind == FLATTEN:
            for i in range(n):
                unpack_rows(tx.length, tx.channels, values + tx.y + i * tx.sample, values + ty.y + i * ty.sample)
        else:
            relu_forward(n, tx.length * tx.row, tx.sample, values + tx.y, values + ty.y)


cdef inline void backward(
    const Plan *plan, Py_ssize_t n, const Workspace *work, const real *packed, bint add,
    real *gradients,  # OUT (plan.gradients,), IN too if add
) noexcept nogil:
    """All ops in reverse, from the gradient of the last tensor; what they give is added to gradients if add.

    Where op o has ReLU in its epilogue, the op behind it masks the gradient that it hands back.
    """
    cdef Py_ssize_t o, i
    cdef const Op *op
    cdef const Tensor *tx
    cdef const Tensor *ty
    cdef real *values = <real *> work.values
    cdef const real *mask
    cdef real *dx
    cdef real *dy
    cdef const real *x
    cdef Py_ssize_t *active_x
    cdef Py_ssize_t *active_y
    for o in range(plan.n_ops - 1, -1, -1):
        op, tx, ty = &plan.ops[o], &plan.tensors[o], &plan.tensors[o + 1]
        active_x, active_y = work.active + o * plan.chunk, work.active + (o + 1) * plan.chunk
        x, dx, dy = values + tx.y, values + tx.dy, values + ty.dy
        mask = x if o > 0 and plan.ops[o - 1].relu else NULL
        if o == plan.n_ops - 1 and op.relu:
            relu_backward(n, ty.length * ty.row, ty.sample, values + ty.y, dy, dy)
        if op.b >= 0:
            bias_backward(n, ty.length, ty.channels, ty.sample, dy, add, gradients + op.b)
        if op.kind == ONEHOT_CONV1D:
            onehot_conv1d_backward_w(n, tx.length, op.width, tx.channels, ty.channels, work.codes, active_x,
                                     active_y, ty.sample, dy, add, gradients + op.w)
        elif op.kind == CONV1D:
            conv1d_backward_w(n, tx.channels, op.width, ty.channels, tx.sample, x, active_x, active_y, ty.sample,
                              dy, work.counts, add, gradients + op.w)
            if op.wt >= 0:
                conv1d_backward_x(n, tx.length, tx.channels, op.width, ty.channels, ty.sample, dy, active_x,
                                  packed + op.wt, mask, tx.sample, dx)
        elif op.kind == DENSE:
            dense_backward_w(n, tx.length, tx.channels, ty.channels, active_x, tx.sample, x, ty.sample,
                             dy, add, gradients + op.w)
            if op.wt >= 0:
                dense_backward_x(n, tx.channels, ty.channels, active_x, ty.sample, dy, packed + op.wt,
                                 mask, tx.sample, dx)
        elif op.kind == FLATTEN:
            for i in range(n):
                pack_rows(tx.length, tx.channels, dy + i * ty.sample, dx + i * tx.sample)
            if mask != NULL:
                relu_backward(n, tx.length * tx.row, tx.sample, mask, dx, dx)
        elif o > 0 or plan.input_gradient:
            relu_backward(n, tx.length * tx.row, tx.sample, values + ty.y, dy, dx)
