# Program: a network as a plan, and the calls that run it.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from itertools import product
from math import prod

from fastconv.engine.loss cimport FOCAL, MEAN_SQUARED_ERROR, MULTI_CLASS_HINGE, SOFTMAX_CROSS_ENTROPY, Loss
from fastconv.engine.optimiser cimport ADAM, RMSPROP, SGD, Optimiser, begin_update, update_strip
from fastconv.engine.plan cimport (AVG_POOL, BATCH_NORM, CONV1D, CONV2D, DENSE, DROPOUT, FLATTEN, GLOBAL_MAX_POOL1D,
                                   MAX_POOL, ONEHOT_CONV1D, RELU, SIGMOID, TANH, Kind, Op, Plan, Strip, Tensor)
from fastconv.kernels.conv2d cimport pooled_suits, transposed, two_by_two
from fastconv.kernels.augment cimport CUTMIX, MIXUP, Augmentation
from fastconv.kernels.grid cimport Grid, Window
from fastconv.kernels.pack cimport TURNED
from fastconv.kernels.sparse_conv2d cimport sparse_scratch, sparse_suits
from fastconv.kernels.suffix cimport ALPHABET, LETTERS
from fastconv.kernels.suffix_conv1d cimport suffix_scratch, suffix_suits
from fastconv.kernels.winograd_conv2d cimport (FC_OUTPUTS, points_of, samples_at_a_time, tiles_of, winograd_scratch,
                                               winograd_suits, winograd_suits_w, winograd_suits_x,
                                               winograd_sums_scratch)
from fastconv.kernels.tile cimport FC_LEVEL

LEVEL = FC_LEVEL.decode()

# A chunk is at most about this many floating-point operations of a forward and backward pass: some 100 microseconds of
# one core without what is skipped. It does not depend on the number of threads, since the order of the sums depends on it.
cdef double CHUNK_OPERATIONS = 24e6
cdef Py_ssize_t CHUNK_SAMPLES = 256  # at most
cdef Py_ssize_t CHUNK_LEAST = 24     # two tiles of rows, so that large weights are not read for a few samples
cdef Py_ssize_t BLOCK_BYTES = 393216 # what the activations of a block of images may take of a second-level cache
cdef Py_ssize_t DEFERRED = 262144    # weights of a dense operation that are too many for a gradient of each chunk
cdef Py_ssize_t SPARSE = 4           # pixels that one of max-pooling's windows has at least, so that zeros are skipped
cdef Py_ssize_t STRIP_ROWS = 64
cdef double LARGEST = 1e12  # elements of an array: sums and products of a few such sizes do not overflow
cdef dict LOSSES = {"softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "focal": FOCAL,
                    "mean_squared_error": MEAN_SQUARED_ERROR, "multi_class_hinge": MULTI_CLASS_HINGE}
cdef dict OPTIMISERS = {"sgd": SGD, "rmsprop": RMSPROP, "adam": ADAM}
cdef dict KINDS = {
    "onehot_conv1d": ONEHOT_CONV1D, "conv1d": CONV1D, "conv2d": CONV2D, "max_pool": MAX_POOL, "avg_pool": AVG_POOL,
    "global_max_pool1d": GLOBAL_MAX_POOL1D, "dense": DENSE, "batch_norm": BATCH_NORM, "dropout": DROPOUT,
    "relu": RELU, "sigmoid": SIGMOID, "tanh": TANH,
}
cdef tuple WINDOWED = (ONEHOT_CONV1D, CONV1D, CONV2D, MAX_POOL, AVG_POOL)
cdef tuple WITH_EPILOGUE = (ONEHOT_CONV1D, CONV1D, CONV2D, DENSE, BATCH_NORM)


cdef void *address(object array, str format, Py_ssize_t size, bint writable=False) except? NULL:
    """Where a C-contiguous array lies, once its element type and size are checked."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    cdef bint fits = view.format != NULL and view.len == size * view.itemsize
    if format == "q":  # int64, whatever C calls it here
        fits = fits and view.format.decode() in "lq" and view.itemsize == sizeof(int64_t)
    else:
        fits = fits and view.format.decode() == format
    PyBuffer_Release(&view)
    if not fits:
        raise ValueError(
            f"Program: expected {size} contiguous elements of type {format!r}, got {array.dtype} {array.shape}")
    return view.buf


cdef int check_size(Py_ssize_t rows, Py_ssize_t columns) except -1:
    """Refuse an array that no memory holds, and whose offsets could overflow."""
    if <double> rows * columns > LARGEST:
        raise ValueError(f"Program: an array of {rows} x {columns} is too large")
    return 0


cdef bint within(const int16_t *codes, Py_ssize_t size, int16_t depth) noexcept nogil:
    """Whether every code lies in -1..depth-1."""
    cdef Py_ssize_t i
    cdef int16_t low = -1, high = -1
    for i in range(size):
        low = min(low, codes[i])
        high = max(high, codes[i])
    return low >= -1 and high < depth


cdef int set_optimiser(tuple given, Optimiser *o) except -1:
    """The optimiser that a description was lowered to."""
    memset(o, 0, sizeof(Optimiser))
    kind, o.weight_decay, o.momentum, *options = given
    o.kind = OPTIMISERS[kind]
    if o.kind == SGD:
        o.states = 1
        o.nesterov, = options
    else:
        o.states = 2
        o.beta, o.eps = options
    return 0


cdef class Program:
    """A network lowered to a plan of operations on one flat parameter vector.

    Parameters
    ----------
    ops : list of tuple
        In order: ``("onehot_conv1d", filters, window, bias)``, ``("conv1d", ...)`` and ``("conv2d", ...)`` likewise,
        ``("max_pool", window)``, ``("avg_pool", window)``, ``("global_max_pool1d",)``, ``("dense", units, bias)``,
        ``("batch_norm", momentum, eps)``, ``("dropout", rate)``, ``("relu",)``, ``("sigmoid",)``, ``("tanh",)``,
        ``("flatten",)``. A window is ``(size, stride, before, after, dilation)``, a pair (lines, pixels) each. A dense
        operation flattens what it gets. Codes need ``onehot_conv1d`` first.
    shape : tuple of int
        Of a sample: (n,), (length, channels) or (height, width, channels); for codes `channels` is the size of the
        alphabet.
    codes : bool
        Whether the input is codes, (N, length) int16 for a first operation ``onehot_conv1d``, or values, (N, *shape).
    single : bool
        float32 if true, otherwise float64.
    input_gradient : bool
        Whether :meth:`backward` also gives the gradient by the input.
    winograd : bool
        Whether float32 convolutions with many channels use Winograd's algorithm.

    Attributes
    ----------
    size : int
        Elements of the flat parameter vector.
    slots : list of tuple
        ``(op, name, offset, shape)`` of each parameter in the flat vector; `op` is the operation's index in `ops`.
    state_size : int
        Elements of the vector of running means and variances.
    state_slots : list of tuple
        The same of each running mean and variance.
    output_shape : tuple of int
        Of a sample.
    operations : float
        Floating-point operations of the products in the forward pass of one sample, nothing skipped.

    Notes
    -----
    The calls check sizes and types, and that codes, labels and indices are in range, so that no kernel reads or
    writes outside its arrays; friendlier messages are the callers' business. Scratch belongs to the call: a Program
    may run in many Python threads at once.
    """

    cdef Plan plan
    cdef Plan lean  # the same for predictions
    cdef bint single, winograd
    cdef str format
    cdef readonly list slots, state_slots
    cdef readonly Py_ssize_t size, state_size
    cdef readonly tuple output_shape
    cdef readonly double operations

    def __init__(self, list ops, tuple shape, bint codes, bint single, bint input_gradient=False,
                 bint winograd=False):
        self.single, self.format = single, "f" if single else "d"
        self.slots, self.state_slots, self.operations = [], [], 0
        self.plan.codes, self.plan.input_gradient = codes, input_gradient
        self.winograd = winograd and single
        self._allocate(2 * len(ops) + 1)
        self._lower(ops, shape)
        self._find_pooled()
        self._share_ends()
        self._prepare_convolutions()
        self._lay_out()
        self._cut_strips()
        self._make_lean()

    def __dealloc__(self):
        free(self.plan.ops)
        free(self.plan.tensors)
        free(self.lean.tensors)
        free(self.plan.strips)
        free(self.plan.stages)

    cdef Py_ssize_t _itemsize(self) noexcept nogil:
        return sizeof(float) if self.single else sizeof(double)

    cdef int _allocate(self, Py_ssize_t n_ops) except -1:
        if self.plan.ops != NULL:
            raise ValueError("Program: already lowered")
        self.plan.ops = <Op *> calloc(n_ops + 1, sizeof(Op))
        self.plan.tensors = <Tensor *> calloc(n_ops + 1, sizeof(Tensor))
        self.plan.stages = <Py_ssize_t *> calloc(n_ops + 2, sizeof(Py_ssize_t))
        if self.plan.ops == NULL or self.plan.tensors == NULL or self.plan.stages == NULL:
            raise MemoryError("Program: no memory for the plan")
        return 0

    cdef int _lower(self, list ops, tuple shape) except -1:
        """Shapes: ops and tensors, with a ReLU fused into the operation before it."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t index, rank = len(shape)
        cdef Op *op = NULL
        cdef Tensor *t = plan.tensors
        cdef bint flattened = False, fits
        t.g.height, t.g.width, t.g.channels = (1,) * (3 - rank) + shape
        fits = t.g.height >= 1 and t.g.width >= 1 and t.g.channels >= 1
        if not fits or (plan.codes and (not ops or ops[0][0] != "onehot_conv1d" or rank != 2)):
            raise ValueError(f"Program: an input of {shape} does not fit {ops[:1]}")
        self._check(t)
        for index, (kind, *spec) in enumerate(ops):
            if kind == "flatten":
                flattened = True
                continue
            if kind == "relu" and op != NULL and not op.relu and op.kind in WITH_EPILOGUE:
                op.relu = True
                continue
            if flattened and kind == "batch_norm":  # a channel is then one element of the vector
                self._append_flatten()
            op, t = &plan.ops[plan.n_ops], &plan.tensors[plan.n_ops]
            op.kind, op.w, op.b, op.u, op.wt, op.ut, op.index = KINDS[kind], -1, -1, -1, -1, -1, index
            op.window = Window(1, 1, 1, 1, 0, 0, 1, 1)
            t[1].g.height, t[1].g.width, t[1].g.channels = t.g.height, t.g.width, t.g.channels
            if op.kind in WINDOWED:
                self._lower_window(index, kind, spec)
            elif op.kind == GLOBAL_MAX_POOL1D:
                t[1].g.width, rank, plan.validates = 1, 1, True
                if t.g.height > 1:
                    raise ValueError(f"Program: {ops[index]} does not fit an input of {t.g.height} lines")
            elif op.kind == DENSE:
                t[1].g.height, t[1].g.width, t[1].g.channels = 1, 1, spec[0]
                op.window.kh, op.window.kw, op.rows, rank, flattened = t.g.height, t.g.width, t.g.channels, 1, False
                if spec[0] < 1:
                    raise ValueError(f"Program: {ops[index]} has no units")
                self._weights(index, [op.window.kh * op.window.kw * op.rows, spec[0]], spec[1])
            elif op.kind == BATCH_NORM:
                op.rate, op.eps = spec
                op.statistics = plan.statistics
                plan.statistics += t.g.channels
                op.w = 0
                self._parameter(index, "gamma", [t.g.channels])
                op.b = 0
                self._parameter(index, "beta", [t.g.channels])
                plan.n_stages += 1
                plan.stages[plan.n_stages] = plan.n_ops
            elif op.kind == DROPOUT:
                op.rate, = spec
            self._check(t + 1)
            plan.n_ops += 1
        t = &plan.tensors[plan.n_ops]
        if flattened and t.g.height * t.g.width > 1:
            self._append_flatten()
            t += 1
        if flattened:
            rank = 1
        plan.n_stages += 1
        plan.stages[plan.n_stages] = plan.n_ops
        self.state_size = 2 * plan.statistics
        for index in range(1, plan.n_stages):
            op, channels = &plan.ops[plan.stages[index]], (plan.tensors[plan.stages[index]].g.channels,)
            self.state_slots.append((op.index, "mean", op.statistics, channels))
            self.state_slots.append((op.index, "var", plan.statistics + op.statistics, channels))
        self.output_shape = (t.g.height, t.g.width, t.g.channels)[3 - rank:]
        return 0

    cdef int _lower_window(self, Py_ssize_t index, str kind, list spec) except -1:
        """The shape behind a window that slides over the last tensor, and its weights."""
        cdef Op *op = &self.plan.ops[self.plan.n_ops]
        cdef Tensor *t = &self.plan.tensors[self.plan.n_ops]
        cdef Window *k = &op.window
        cdef bint pools = op.kind == MAX_POOL or op.kind == AVG_POOL
        size, stride, before, after, dilation = spec[0 if pools else 1]
        k.kh, k.kw = size
        k.sh, k.sw = stride
        k.top, k.left = before
        k.dh, k.dw = dilation
        bottom, right = after
        if min(*size, *stride, *dilation) < 1 or min(*before, *after) < 0 or max(*size, *stride, *before, *after,
                                                                                 *dilation) > LARGEST:
            raise ValueError(f"Program: {kind} cannot slide a window of {spec}")
        height = t.g.height + k.top + bottom - (k.kh - 1) * k.dh - 1
        width = t.g.width + k.left + right - (k.kw - 1) * k.dw - 1
        lookups = op.kind == ONEHOT_CONV1D
        if height < 0 or width < 0 or lookups != (self.plan.codes and self.plan.n_ops == 0) or (
                not pools and spec[0] < 1) or (
                pools and (max(*before, *after) or max(*dilation) > 1)) or (
                op.kind in (ONEHOT_CONV1D, CONV1D) and (t.g.height > 1 or k.kh > 1 or k.top or bottom)):
            raise ValueError(f"Program: {kind} {spec} does not fit an input of "
                             f"{t.g.height} x {t.g.width} x {t.g.channels}")
        t[1].g.height, t[1].g.width = height // k.sh + 1, width // k.sw + 1
        if pools:
            self._crop((t[1].g.height - 1) * k.sh + k.kh, (t[1].g.width - 1) * k.sw + k.kw)
            return 0
        if op.kind == CONV1D and (k.sw > 1 or k.dw > 1 or k.left or right):
            op.kind = CONV2D
        op.rows, t[1].g.channels = t.g.channels, spec[0]
        check_size(k.kh * k.kw, op.rows)
        check_size(k.kh * k.kw * op.rows, t[1].g.channels)
        self._weights(index, [*size[0 if kind == "conv2d" else 1:], op.rows, t[1].g.channels], spec[2])
        self.operations += (<double> t[1].g.height * t[1].g.width * t[1].g.channels * k.kh * k.kw
                            * (1 if lookups else 2 * op.rows))
        return 0

    cdef _crop(self, Py_ssize_t height, Py_ssize_t width):
        """The last convolution makes only the outputs that the pooling behind it keeps."""
        cdef Tensor *t = &self.plan.tensors[self.plan.n_ops]
        if self.plan.n_ops and self.plan.ops[self.plan.n_ops - 1].kind == CONV2D:
            t.g.height, t.g.width = height, width

    cdef _find_pooled(self):
        """What comes of a ReLU; the convolutions in front of max-pooling, which leaves most of their outputs without a
        gradient, and which is done in one go with them where it can be."""
        cdef Py_ssize_t o
        cdef Op *op
        cdef Op *pool
        cdef Tensor *t
        cdef Plan *plan = &self.plan
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            op.rectified = op.relu or (op.kind in (MAX_POOL, GLOBAL_MAX_POOL1D, DROPOUT) and o > 0
                                       and plan.ops[o - 1].rectified)
        for o in range(plan.n_ops - 1):
            op, pool, t = &plan.ops[o], &plan.ops[o + 1], &plan.tensors[o]
            if op.kind == ONEHOT_CONV1D:  # where nothing counts the output is 0, and hands nothing back, by the ReLU alone
                op.pooled = op.pools = op.unpools = op.relu and pool.kind == GLOBAL_MAX_POOL1D
                continue
            op.pooled = op.kind == CONV2D and pool.kind == MAX_POOL
            op.pools = (op.pooled and two_by_two(&pool.window)
                        and (self._transforms(t, t + 1, &op.window) or pooled_suits(&t.g, &t[1].g, &op.window)))
            op.sparse = (op.pooled and pool.window.kh * pool.window.kw >= SPARSE
                         and pool.window.sh >= pool.window.kh and pool.window.sw >= pool.window.kw
                         and sparse_suits(&t.g, &op.window, self._itemsize()))
            # where nothing else reads dy
            op.unpools = op.pooled and two_by_two(&pool.window) and not op.sparse and o == 0 and not plan.input_gradient
            if op.sparse:
                plan.lines = max(plan.lines, t[1].g.height)

    cdef bint _transforms(self, const Tensor *x, const Tensor *y, const Window *k):
        """Whether such a convolution of x uses Winograd's algorithm."""
        return self.winograd and winograd_suits(&x.g, &y.g, k)

    cdef _prepare_convolutions(self):
        """Which use Winograd's algorithm; zeros left and right of x, as far as windows reach, and of dy, where the way
        back reads them."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t o, reach
        cdef Op *op
        cdef Tensor *t
        cdef Window *k
        cdef Window full
        for o in range(plan.n_ops):
            op, t, k = &plan.ops[o], &plan.tensors[o], &plan.ops[o].window
            if op.kind not in (CONV1D, CONV2D):
                continue
            op.u = 0 if op.kind == CONV2D and self._transforms(t, t + 1, k) else -1
            reach = (self._outputs(op.u, t + 1) - 1) * k.sw + (k.kw - 1) * k.dw - k.left + 1  # pixels of x
            t.left, t.right = max(t.left, k.left), max(t.right, reach - t.g.width)
            plan.margins = plan.margins or k.left > 0 or reach > t.g.width
            op.tiled = op.u >= 0 and not op.unpools and winograd_suits_w(&t.g, &t[1].g, k, self._places(o))
            if op.tiled:
                t[1].right = max(t[1].right, self._outputs(op.u, t + 1) - t[1].g.width)
            if k.sw == 1 and (o > 0 or plan.input_gradient):
                op.ut = 0 if (op.kind == CONV2D and not op.sparse and self.winograd
                              and winograd_suits_x(&t.g, &t[1].g, k)) else -1
                full = transposed(k)
                reach = t.g.width + (k.kw - 1) * k.dw - full.left  # pixels of dy
                if op.ut >= 0:
                    full.left, reach = 0, self._outputs(op.ut, t + 1)
                t[1].left, t[1].right = max(t[1].left, full.left), max(t[1].right, reach - t[1].g.width)

    cdef Py_ssize_t _places(self, Py_ssize_t o):
        """Pixels of a convolution's dy of which at most one is not zero."""
        cdef const Window *pool = &self.plan.ops[o + 1].window
        return pool.kh * pool.kw if self.plan.ops[o].sparse else 1

    cdef Py_ssize_t _outputs(self, Py_ssize_t u, const Tensor *t):
        """Outputs of a line, and how far the last tile of Winograd's algorithm reaches."""
        return t.g.width if u < 0 else tiles_of(t.g.width) * FC_OUTPUTS

    cdef int _check(self, const Tensor *t) except -1:
        check_size(t.g.height, t.g.width)
        check_size(t.g.height * t.g.width, t.g.channels)
        return 0

    cdef _append_flatten(self):
        """One row of all pixels."""
        cdef Tensor *t = &self.plan.tensors[self.plan.n_ops]
        cdef Op *op = &self.plan.ops[self.plan.n_ops]
        op.kind, op.w, op.b, op.u, op.wt, op.ut = FLATTEN, -1, -1, -1, -1, -1
        op.window = Window(1, 1, 1, 1, 0, 0, 1, 1)
        t[1].g.height, t[1].g.width, t[1].g.channels = 1, 1, t.g.height * t.g.width * t.g.channels
        self.plan.n_ops += 1

    cdef int _weights(self, Py_ssize_t index, list shape, bint bias) except -1:
        """The parameters w and b of the last operation."""
        cdef Op *op = &self.plan.ops[self.plan.n_ops]
        *inputs, outputs = shape
        check_size(prod(inputs), outputs)
        op.w = 0
        self._parameter(index, "w", shape)
        if bias:
            op.b = 0
            self._parameter(index, "b", [outputs])
        if op.kind == DENSE:
            self.operations += 2.0 * shape[0] * shape[1]
            op.deferred = shape[0] * shape[1] >= DEFERRED
        return 0

    cdef _parameter(self, Py_ssize_t index, str name, list shape):
        self.slots.append((index, name, self.size, tuple(shape)))
        self.size += prod(shape)

    cdef bint _turns(self, Py_ssize_t o):
        """Whether a dense operation's weights are packed transposed: where that is less, and a pixel has few."""
        cdef const Op *op = &self.plan.ops[o]
        cdef Py_ssize_t itemsize = self._itemsize(), units = self.plan.tensors[o + 1].g.channels
        cdef Py_ssize_t size = op.rows * padded(units, itemsize)
        return (op.kind == DENSE and o > 0 and not op.deferred and size <= TURNED
                and units * padded(op.rows, itemsize) < size)

    cdef int _lay_out(self) except -1:
        """Offsets: where the parameters lie packed and the tensors in a thread's scratch."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t itemsize = self._itemsize()
        cdef Py_ssize_t o, at = 0, row
        cdef Op *op
        cdef Tensor *t
        for deferred in (False, True):
            plan.part = at
            for o in range(plan.n_ops):
                op, row = &plan.ops[o], padded(plan.tensors[o + 1].g.channels, itemsize)
                if op.w >= 0 and op.deferred == deferred:
                    op.w, op.turned = at, self._turns(o)
                    if op.turned:
                        at += op.window.kh * op.window.kw * plan.tensors[o + 1].g.channels * padded(op.rows, itemsize)
                    else:
                        at += max(op.window.kh * op.window.kw * op.rows, <Py_ssize_t> 1) * row
                if op.b >= 0 and not deferred:
                    op.b = at
                    at += row
        plan.gradients = at
        plan.whole = plan.n_stages > 1 or plan.part < plan.gradients
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.u >= 0:
                op.u = at
                at += points_of(&op.window) * op.window.kh * op.rows * padded(plan.tensors[o + 1].g.channels, itemsize)
            elif op.turned:
                op.wt = at
                at += op.window.kh * op.window.kw * op.rows * padded(plan.tensors[o + 1].g.channels, itemsize)
        plan.forward = at
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.rows and op.kind != ONEHOT_CONV1D and not op.turned and (o > 0 or plan.input_gradient):
                op.wt = at
                at += op.window.kh * op.window.kw * plan.tensors[o + 1].g.channels * padded(op.rows, itemsize)
            if op.ut >= 0:
                op.ut = at
                at += points_of(&op.window) * op.window.kh * plan.tensors[o + 1].g.channels * padded(op.rows, itemsize)
        plan.packed = at
        plan.chunk = max(CHUNK_LEAST, min(CHUNK_SAMPLES, <Py_ssize_t> (CHUNK_OPERATIONS / max(3 * self.operations, 1))))
        for o in range(plan.n_ops + 1):
            t = &plan.tensors[o]
            t.g.row = padded(t.g.channels, itemsize)
            if o == 0 and plan.n_ops and plan.ops[0].kind == CONV2D and not plan.input_gradient:
                t.g.row = t.g.channels  # only read
            t.g.line = (t.g.width + t.left + t.right) * t.g.row
            t.g.sample = padded(t.g.height * t.g.line, itemsize)
        for o in range(plan.n_ops):
            op, t = &plan.ops[o], &plan.tensors[o]
            if op.tiled:
                op.tiled = min(plan.chunk, samples_at_a_time(&t.g, &t[1].g, &op.window))
        op, t = &plan.ops[max(plan.n_ops - 1, <Py_ssize_t> 0)], &plan.tensors[plan.n_ops]
        plan.gapless = (plan.n_ops > 0 and not plan.codes and not plan.whole and t.left + t.right == 0
                        and t.g.row == t.g.channels and t.g.sample == t.g.height * t.g.line)
        plan.passes = op.kind == CONV2D and not op.rectified and not plan.whole
        self._choose_blocks(itemsize)
        plan.learns = True
        self._place(plan)
        return 0

    cdef int _make_lean(self) except -1:
        """The plan of a prediction."""
        cdef Py_ssize_t i
        self.lean = self.plan
        self.lean.learns = False
        self.lean.tensors = <Tensor *> calloc(self.plan.n_ops + 1, sizeof(Tensor))
        if self.lean.tensors == NULL:
            raise MemoryError("Program: no memory for the plan")
        for i in range(self.plan.n_ops + 1):
            self.lean.tensors[i] = self.plan.tensors[i]
        return self._place(&self.lean)

    cdef _share_ends(self):
        """Whether samples that end alike share what the second operation makes of that: it must see nothing else."""
        cdef Plan *plan = &self.plan
        cdef const Op *op = &plan.ops[1]
        cdef const Op *lookup = &plan.ops[0]
        if (plan.n_ops > 1 and lookup.kind == ONEHOT_CONV1D and op.kind == CONV1D and lookup.b < 0 and op.b < 0
                and lookup.window.sw == 1 and lookup.window.left == 0
                and plan.tensors.g.channels <= ALPHABET and plan.tensors.g.width >= LETTERS
                and suffix_suits(op.window.kw, op.rows, plan.tensors[2].g.channels, self._itemsize())):
            plan.longest = plan.tensors[2].g.width

    cdef _choose_blocks(self, Py_ssize_t itemsize):
        """Images go through the operations up to the last window of each stage in blocks that fit in a cache."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t o, s, largest = 1, last
        for o in range(plan.n_ops):
            plan.ops[o].block = plan.chunk
            largest = max(largest, (plan.tensors[o].g.sample + 2 * plan.tensors[o + 1].g.sample) * itemsize)
        if plan.codes:
            return
        for s in range(plan.n_stages):
            last = -1
            for o in range(plan.stages[s], plan.stages[s + 1]):
                if plan.ops[o].kind in (CONV2D, MAX_POOL, AVG_POOL):
                    last = o
            for o in range(plan.stages[s], last + 1):
                plan.ops[o].block = max(<Py_ssize_t> 1, min(plan.chunk, BLOCK_BYTES // largest))

    cdef int _place(self, Plan *plan) except -1:
        """Where the tensors lie in a chunk's scratch. A prediction needs no gradients, and keeps nothing for them."""
        cdef Tensor *t
        cdef Py_ssize_t i, block, at = 0
        cdef bint learns = plan.learns
        for i in range(plan.n_ops + 1):
            t = &plan.tensors[i]
            self._choose_places(plan, i)
            block = plan.ops[max(i - 1, <Py_ssize_t> 0)].block
            t.y = at + t.left * t.g.row
            if i == 0 or not plan.ops[i - 1].pools:
                at += (plan.chunk if t.y_whole else block) * t.g.sample
            if i > 0 and plan.ops[i - 1].kind in (MAX_POOL, GLOBAL_MAX_POOL1D):
                t.winner = at
                at += (plan.chunk if t.winner_whole else block) * t.g.height * t.g.width * t.g.row
            if learns and not (i > 0 and plan.ops[i - 1].unpools):
                t.dy = at + t.left * t.g.row
                at += (plan.chunk if t.dy_whole else block) * t.g.sample
            if <double> at > LARGEST:
                raise ValueError("Program: the activations of a chunk are too large")
        plan.values = at
        return self._place_scratch(plan)

    cdef int _place_scratch(self, Plan *plan) except -1:
        """Where in a thread's scratch gradients are worked out, and what Winograd's algorithm takes."""
        cdef Py_ssize_t o, at = 0, transforms = 0, itemsize = self._itemsize()
        cdef Op *op
        cdef const Grid *gx
        cdef const Grid *gy
        for o in range(plan.n_ops):
            op, gx, gy = &plan.ops[o], &plan.tensors[o].g, &plan.tensors[o + 1].g
            if op.u >= 0 or plan.learns and op.ut >= 0:
                transforms = max(transforms, winograd_scratch(op.block, gx, gy, &op.window))
            if plan.learns and op.tiled:
                op.scratch = at
                at += winograd_scratch(op.tiled, gx, gy, &op.window)
                transforms = max(transforms, winograd_sums_scratch(gx, gy, &op.window))
            elif o == 1 and plan.longest:
                op.scratch = at
                at += padded(suffix_scratch(gx.width, op.window.kw, itemsize), itemsize)
            elif plan.learns and op.sparse:
                op.scratch = at
                at += padded(sparse_scratch(gx, gy, &op.window, itemsize), itemsize)
            if <double> at + transforms > LARGEST:
                raise ValueError("Program: the activations of a chunk are too large")
        plan.transformed = at
        plan.scratch = at + transforms
        return 0

    cdef _choose_places(self, Plan *plan, Py_ssize_t i):
        """Whether tensor i and its gradient need a place for every sample of a chunk: what is used again later."""
        cdef Tensor *t = &plan.tensors[i]
        cdef Op *giver = &plan.ops[i - 1] if i > 0 else NULL
        cdef Op *taker = &plan.ops[i] if i < plan.n_ops else NULL
        cdef bint pools = taker != NULL and (taker.kind == MAX_POOL or taker.kind == GLOBAL_MAX_POOL1D)
        cdef bint learns = plan.learns
        t.y_whole = giver == NULL or taker == NULL or giver.block != taker.block or giver.block == plan.chunk
        t.dy_whole = t.y_whole or giver.kind == BATCH_NORM
        t.winner_whole = learns or t.y_whole
        if learns and taker != NULL and taker.kind in (CONV1D, CONV2D, DENSE, BATCH_NORM):
            t.y_whole = True
        if learns and giver != NULL and (giver.kind in (RELU, SIGMOID, TANH) or giver.rectified and not pools):
            t.y_whole = True

    cdef int _cut_strips(self) except -1:
        """The strips that the parameters are packed, summed and updated in."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t itemsize = self._itemsize()
        cdef Py_ssize_t o, s, k, taps, start, flat = 0, row, height
        cdef const Op *op
        cdef Strip strip
        strips = []  # op; tap of the filter, or -1 for a vector; taps; first row, or where the vector lies; rows
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.u >= 0 or op.ut >= 0:  # a line of the filter is transformed as a whole
                for k in range(op.window.kh):
                    strips.append((o, k * op.window.kw, op.window.kw, 0, op.window.kw * op.rows))
            elif op.turned:
                for k in range(op.window.kh * op.window.kw):
                    strips.append((o, k, 1, 0, plan.tensors[o + 1].g.channels))
            elif op.rows:
                for k, start in product(range(op.window.kh * op.window.kw), range(0, op.rows, STRIP_ROWS)):
                    strips.append((o, k, 1, start, min(STRIP_ROWS, op.rows - start)))
            strips += [(o, -1, 1, op.w, 1)] * (op.w >= 0 and not op.rows) + [(o, -1, 1, op.b, 1)] * (op.b >= 0)
        plan.n_strips = len(strips)
        plan.strips = <Strip *> calloc(plan.n_strips + 1, sizeof(Strip))
        if plan.strips == NULL:
            raise MemoryError("Program: no memory for the plan")
        for s, (o, k, taps, start, rows) in enumerate(strips):
            op = &plan.ops[o]
            height, strip.cols, strip.turned = op.rows, plan.tensors[o + 1].g.channels, op.turned and k >= 0
            if strip.turned:
                height, strip.cols = strip.cols, height
            row = padded(strip.cols, itemsize)
            strip.flat = flat
            strip.packed = op.w + (k * height + start) * row if k >= 0 else start
            strip.op, strip.tap, strip.taps, strip.first, strip.rows = o, k, taps, start, rows
            strip.wt, strip.wt_row, strip.decays = -1, padded(height, itemsize), k >= 0
            if k >= 0 and op.wt >= 0:
                if op.kind == CONV2D:  # in reverse; the last tap of a strip comes first
                    k = op.window.kh * op.window.kw - taps - k
                strip.wt = op.wt + k * strip.cols * strip.wt_row + start
            plan.strips[s] = strip
            flat += strip.rows * strip.cols
        return 0

    cdef int _data(self, object x, Batch *batch, object lengths=None) except -1:
        """Check the input of a call; the number of samples is left in batch.n."""
        cdef const Grid *g = &self.plan.tensors.g
        cdef Py_ssize_t i
        batch.n = x.shape[0]
        if self.plan.codes:
            batch.codes = <const int16_t *> address(x, "h", batch.n * g.width)
            if not within(batch.codes, batch.n * g.width, <int16_t> g.channels):
                raise ValueError(f"codes must lie in -1..{g.channels - 1}, got {x.min()}..{x.max()}")
        else:
            batch.x = address(x, self.format, batch.n * g.height * g.width * g.channels)
        if lengths is not None:
            batch.lengths = <const int64_t *> address(lengths, "q", batch.n)
            for i in range(batch.n):
                if not 0 <= batch.lengths[i] <= g.width:
                    raise ValueError(f"length {batch.lengths[i]} at index {i} is outside 0..{g.width}")
        return 0

    cdef int _state(self, object state, Batch *batch, bint writable) except -1:
        """Check the running means and variances; without a batch normalisation there are none."""
        if state is None and self.state_size:
            raise ValueError("Program: batch normalisation needs its running means and variances")
        if state is not None:
            batch.state = address(state, self.format, self.state_size, writable)
        return 0

    cdef int _loss(self, tuple given, object labels, object targets, object weight, Batch *batch) except -1:
        """Check what the loss of batch.n samples needs."""
        cdef Py_ssize_t i
        cdef Loss *loss = &batch.loss
        kind, loss.l2, *options = given
        loss.kind = LOSSES[kind]
        if loss.kind == SOFTMAX_CROSS_ENTROPY:
            loss.smoothing, = options
        elif loss.kind == FOCAL:
            loss.gamma, = options
        if len(self.output_shape) != 1:
            raise ValueError(f"a loss needs one row of logits a sample, the network gives {self.output_shape}")
        loss.labels = <const int64_t *> address(labels, "q", batch.n)
        for i in range(batch.n):
            if not 0 <= loss.labels[i] < self.output_shape[0]:
                raise ValueError(f"label {loss.labels[i]} at index {i} is outside 0..{self.output_shape[0] - 1}")
        if targets is not None:
            loss.targets = address(targets, self.format, batch.n * self.output_shape[0])
        if weight is not None:
            loss.weight = address(weight, self.format, batch.n)
        return 0

    cdef int _recipe(self, object augmentations, Batch *batch) except -1:
        """Check what is to be done with the images."""
        cdef const Grid *g = &self.plan.tensors.g
        cdef Recipe *recipe = &batch.recipe
        cdef const Augmentation *a
        cdef Py_ssize_t i, mixing = 0
        if augmentations is None:
            return 0
        if self.plan.codes:
            raise ValueError("Program: codes cannot be augmented")
        recipe.height, recipe.width, recipe.channels = g.height, g.width, g.channels
        recipe.seed, recipe.count = batch.seed, len(augmentations)
        recipe.augmentations = <const Augmentation *> address(augmentations.view("B"), "B",
                                                              recipe.count * sizeof(Augmentation))
        for i in range(recipe.count):
            a = &recipe.augmentations[i]
            mixing += a.kind >= MIXUP
            if not 0 <= a.kind <= CUTMIX or mixing > 1 or a.kind >= MIXUP and not a.alpha > 0 or (
                    not 0 <= a.padding < (min(g.height, g.width) if a.reflect else 1 << 15)):
                raise ValueError(f"Program: augmentation {i} does not fit: {augmentations[i]}")
        return 0

    cdef int _input_gradient(self, object dx, Batch *batch) except -1:
        """Check where the gradient by the input is to go."""
        cdef const Grid *g = &self.plan.tensors.g
        if dx is not None:
            if self.plan.codes or not self.plan.input_gradient:
                raise ValueError("Program: the gradient by the input was not planned")
            batch.dx = address(dx, self.format, batch.n * g.height * g.width * g.channels, True)
        return 0

    def forward(self, object x, object parameters, object y, bint probabilities=False, int threads=1,
                object state=None, object lengths=None):
        """Write the output of every sample of `x`, or its softmax, to `y` (N, *output_shape).

        `state` holds the running means and variances; `lengths` (N,) int64 the positions of each sequence that count
        in global pooling, all by default.
        """
        cdef Batch batch
        cdef Arena arena
        cdef void *p = address(parameters, self.format, self.size)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch, lengths)
        self._state(state, &batch, False)
        cdef void *out = address(y, self.format, batch.n * prod(self.output_shape), True)
        threads = max(1, min(threads, count_chunks(&self.lean, batch.n)))
        with nogil:
            open_arena(&arena, &self.lean, self._itemsize(), batch.n, False, False, 0, threads)
            if self.single:
                predict_all(&self.lean, &batch, <float *> p, probabilities, &arena, threads, <float *> out)
            else:
                predict_all(&self.lean, &batch, <double *> p, probabilities, &arena, threads, <double *> out)
            close_arena(&arena)

    def gradient(self, object x, object parameters, tuple loss, object labels, object targets, object weight,
                 object flat, object dx=None, int threads=1, uint64_t seed=0):
        """Write the gradients of the loss by the parameters to `flat` and by the input to `dx`.

        `loss` is ``("softmax_cross_entropy", l2, smoothing)``, ``("focal", l2, gamma)``,
        ``("mean_squared_error", l2)`` or ``("multi_class_hinge", l2)``; `labels` (N,) int64; `targets` (N, K) and
        `weight` (N,) are of the parameters' dtype, or None: what the labels say, and 1 each; `seed` is that of
        dropout. Returns the loss and the number of hits: samples whose largest output is the label's.
        """
        cdef Batch batch
        cdef void *p = address(parameters, self.format, self.size)
        cdef void *out = address(flat, self.format, self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        self._loss(loss, labels, targets, weight, &batch)
        self._input_gradient(dx, &batch)
        batch.seed = seed
        return self._gradient(&batch, p, out, threads)

    def backward(self, object x, object parameters, object dy, object flat, object dx=None, int threads=1,
                 uint64_t seed=0, object lengths=None, object y=None, object state=None):
        """Write the gradients of sum(y * dy) by the parameters to `flat` and by the input to `dx`.

        The pass is one of training: batch normalisation uses the batch's statistics, which go into the running ones in
        `state`, and dropout drops. The output goes to `y`; without `dy` that is all.
        """
        cdef Batch batch
        cdef void *p = address(parameters, self.format, self.size)
        cdef void *out = address(flat, self.format, self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch, lengths)
        if dy is not None:
            batch.dy = address(dy, self.format, batch.n * prod(self.output_shape))
        if y is not None:
            batch.y = address(y, self.format, batch.n * prod(self.output_shape), True)
        if state is not None:
            self._state(state, &batch, True)
        self._input_gradient(dx, &batch)
        batch.seed = seed
        self._gradient(&batch, p, out, threads)

    cdef _gradient(self, Batch *batch, void *p, void *out, int threads):
        cdef Arena arena
        cdef double loss
        cdef Py_ssize_t hits
        threads = max(1, min(threads, count_buffers(&self.plan, batch.n)))
        with nogil:
            open_arena(&arena, &self.plan, self._itemsize(), batch.n, True, False, 0, threads)
            if self.single:
                loss = gradient_of(&self.plan, batch, <float *> p, &arena, threads, <float *> out, &hits)
            else:
                loss = gradient_of(&self.plan, batch, <double *> p, &arena, threads, <double *> out, &hits)
            close_arena(&arena)
        return loss, hits

    def train(self, object x, object parameters, tuple loss, object labels, object targets, object weight,
              object order, object starts, object rates, tuple optimiser, object optimiser_state, object losses,
              object hits, int threads=1, object state=None, uint64_t seed=0, uint32_t first_update=0,
              object augmentations=None):
        """Make one update of `parameters` and `optimiser_state` for each batch; return how many were made.

        Batch u is the rows ``order[starts[u]:starts[u + 1]]`` of the data and is learnt at ``rates[u]``; its loss
        before the update goes to ``losses[u]`` and its number of hits to ``hits[u]``. The first loss that is not
        finite ends the call before its update. `loss` and what follows it are as for :meth:`gradient`; `optimiser` is
        ``("sgd", weight_decay, momentum, nesterov)``, ``("rmsprop", weight_decay, momentum, beta, eps)`` or
        ``("adam", weight_decay, beta1, beta2, eps)``. Running means and variances go into `state`; `seed` and the
        number of the update, `first_update` + u, determine the random numbers. `augmentations` (A,) are what is done
        with the images, as :func:`fastconv.augment.lowered` makes them.

        Arrays: `order` (total,) and `starts` (updates + 1,) and `hits` (updates,) int64, `rates` and `losses`
        (updates,) float64, `optimiser_state` (1, size) for SGD and (2, size) for the others.
        """
        cdef Batch batch
        cdef Arena arena
        cdef Py_ssize_t u, total, largest = 0, updates = len(rates), made
        cdef const double *rate = <const double *> address(rates, "d", updates)
        cdef double *found = <double *> address(losses, "d", updates, True)
        cdef int64_t *hit = <int64_t *> address(hits, "q", updates, True)
        cdef const int64_t *start = <const int64_t *> address(starts, "q", updates + 1)
        cdef void *p = address(parameters, self.format, self.size, True)
        cdef Optimiser o
        set_optimiser(optimiser, &o)
        cdef void *vectors = address(optimiser_state, self.format, o.states * self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        self._loss(loss, labels, targets, weight, &batch)
        self._state(state, &batch, True)
        batch.seed, batch.update = seed, first_update
        self._recipe(augmentations, &batch)
        total = len(order)
        batch.order = <const int64_t *> address(order, "q", total)
        for u in range(total):
            if not 0 <= batch.order[u] < batch.n:
                raise ValueError(f"Program: row {batch.order[u]} of {batch.n} does not exist")
        for u in range(updates):
            if not 0 <= start[u] < start[u + 1] <= total:
                raise ValueError(f"Program: batch {u} is {start[u]}:{start[u + 1]} of {total} rows")
            largest = max(largest, start[u + 1] - start[u])
        threads = max(1, min(threads, count_buffers(&self.plan, largest)))
        with nogil:
            open_arena(&arena, &self.plan, self._itemsize(), largest, True, batch.recipe.count > 0, o.states, threads)
            if self.single:
                made = train_all(&self.plan, &batch, &o, updates, start, rate, self.size, &arena, threads,
                                 <float *> p, <float *> vectors, found, hit)
            else:
                made = train_all(&self.plan, &batch, &o, updates, start, rate, self.size, &arena, threads,
                                 <double *> p, <double *> vectors, found, hit)
            close_arena(&arena)
        return made

    @staticmethod
    def update(tuple optimiser, object parameters, object optimiser_state, object gradient, double rate,
               Py_ssize_t update):
        """Make an update of `parameters` and `optimiser_state`, by itself; weight decay shrinks all parameters."""
        cdef Optimiser o
        set_optimiser(optimiser, &o)
        cdef Py_ssize_t size = gradient.size
        cdef bint single = gradient.itemsize == sizeof(float)
        cdef str format = "f" if single else "d"
        cdef void *p = address(parameters, format, size, True)
        cdef void *state = address(optimiser_state, format, o.states * size, True)
        cdef void *g = address(gradient, format, size)
        with nogil:
            begin_update(&o, rate, update)
            if single:
                update_strip(&o, size, True, <float *> g, size, <float *> state, <float *> p)
            else:
                update_strip(&o, size, True, <double *> g, size, <double *> state, <double *> p)
