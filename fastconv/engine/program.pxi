# Program: a network as a plan, and the calls that run it.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from itertools import product
from math import prod

from fastconv.engine.loss cimport FOCAL, MEAN_SQUARED_ERROR, MULTI_CLASS_HINGE, SOFTMAX_CROSS_ENTROPY, Loss
from fastconv.engine.optimiser cimport ADAM, RMSPROP, SGD, Optimiser, begin_update, update_strip
from fastconv.engine.plan cimport CONV1D, DENSE, FLATTEN, ONEHOT_CONV1D, RELU, Op, Plan, Strip, Tensor
from fastconv.kernels.tile cimport FC_LEVEL

LEVEL = FC_LEVEL.decode()

# A chunk is about this many floating-point operations of a forward and backward pass: some 100 microseconds of one
# core without what is skipped. It does not depend on the number of threads, since the order of the sums depends on it.
cdef double CHUNK_OPERATIONS = 17e6
cdef Py_ssize_t CHUNK_SAMPLES = 256  # at most
cdef Py_ssize_t CHUNK_LEAST = 24     # two tiles of rows, so that large weights are not read for a few samples
cdef Py_ssize_t STRIP_ROWS = 64
cdef double LARGEST = 1e12  # elements of an array: sums and products of a few such sizes do not overflow
cdef dict LOSSES = {"softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY, "focal": FOCAL,
                    "mean_squared_error": MEAN_SQUARED_ERROR, "multi_class_hinge": MULTI_CLASS_HINGE}
cdef dict OPTIMISERS = {"sgd": SGD, "rmsprop": RMSPROP, "adam": ADAM}
cdef dict KINDS = {"onehot_conv1d": ONEHOT_CONV1D, "conv1d": CONV1D, "dense": DENSE, "relu": RELU}


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
        ``("onehot_conv1d", filters, width, bias)``, ``("conv1d", filters, width, bias)``, ``("dense", units, bias)``
        or ``("relu",)``, in order. A dense operation flattens what it gets. Codes need ``onehot_conv1d`` first.
    length, channels : int
        Of the input; for codes `channels` is the size of the alphabet.
    codes : bool
        Whether the input is codes, (N, length) int16 for a first operation ``onehot_conv1d``, or values,
        (N, length, channels).
    single : bool
        float32 if true, otherwise float64.
    input_gradient : bool
        Whether :meth:`backward` also gives the gradient by the input.
    flatten : bool
        Whether the output is to be one row, whatever the operations give.

    Attributes
    ----------
    size : int
        Elements of the flat parameter vector.
    slots : list of tuple
        ``(op, name, offset, shape)`` of each parameter in the flat vector; `op` is the operation's index in `ops`.
    output_shape : tuple of int
        ``(length, channels)`` of the output.
    operations : float
        Floating-point operations of the forward pass of one sample, nothing skipped.

    Notes
    -----
    The calls check sizes and types, and that codes, labels and indices are in range, so that no kernel reads or
    writes outside its arrays; friendlier messages are the callers' business. Scratch belongs to the call: a Program
    may run in many Python threads at once.
    """

    cdef Plan plan
    cdef bint single
    cdef str format
    cdef readonly list slots
    cdef readonly Py_ssize_t size
    cdef readonly tuple output_shape
    cdef readonly double operations

    def __init__(self, list ops, Py_ssize_t length, Py_ssize_t channels, bint codes, bint single,
                 bint input_gradient=False, bint flatten=False):
        self.single, self.format = single, "f" if single else "d"
        self.slots, self.operations = [], 0
        self.plan.codes, self.plan.input_gradient = codes, input_gradient
        self._allocate(len(ops) + 1)
        self._lower(ops, length, channels)
        if flatten and self.output_shape[0] > 1:
            self._append_flatten()
        self._lay_out()
        self._cut_strips()

    def __dealloc__(self):
        free(self.plan.ops)
        free(self.plan.tensors)
        free(self.plan.strips)

    cdef int _allocate(self, Py_ssize_t n_ops) except -1:
        if self.plan.ops != NULL:
            raise ValueError("Program: already lowered")
        self.plan.ops = <Op *> calloc(n_ops + 1, sizeof(Op))
        self.plan.tensors = <Tensor *> calloc(n_ops + 1, sizeof(Tensor))
        if self.plan.ops == NULL or self.plan.tensors == NULL:
            raise MemoryError("Program: no memory for the plan")
        return 0

    cdef int _lower(self, list ops, Py_ssize_t length, Py_ssize_t channels) except -1:
        """Shapes: ops and tensors, with a ReLU fused into the operation before it."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t index, width, filters
        cdef bint lookups, bias
        cdef Op *op = NULL
        if length < 1 or channels < 1 or (plan.codes and (not ops or ops[0][0] != "onehot_conv1d")):
            raise ValueError(f"Program: an input of {length} x {channels} does not fit {ops[:1]}")
        plan.tensors[0].length, plan.tensors[0].channels = length, channels
        for index, (kind, *spec) in enumerate(ops):
            if kind == "relu" and op != NULL and op.kind != RELU:
                op.relu = True
                continue
            op = &plan.ops[plan.n_ops]
            op.kind, op.w, op.b, op.wt = KINDS[kind], -1, -1, -1
            if kind == "relu":
                plan.tensors[plan.n_ops + 1] = plan.tensors[plan.n_ops]
            else:
                if kind == "dense":
                    filters, bias = spec
                    width, shape = length, [length * channels, filters]
                else:
                    filters, width, bias = spec
                    shape = [width, channels, filters]
                lookups = kind == "onehot_conv1d"
                check_size(length, channels)
                if not 1 <= width <= length or filters < 1 or lookups != (plan.codes and index == 0):
                    raise ValueError(f"Program: {ops[index]} does not fit an input of {length} x {channels}")
                check_size(width * channels, filters)
                op.width, op.rows = width, channels
                self._parameter(index, "w", shape)
                if bias:
                    op.b = 0
                    self._parameter(index, "b", [filters])
                length = length - width + 1
                self.operations += <double> length * filters * width * (1 if lookups else 2 * channels)
                channels = filters
                plan.tensors[plan.n_ops + 1].margin = width - 1 if kind == "conv1d" else 0
            plan.n_ops += 1
            plan.tensors[plan.n_ops].length, plan.tensors[plan.n_ops].channels = length, channels
        check_size(length, channels)
        self.output_shape = (length, channels)
        return 0

    cdef int _append_flatten(self) except -1:
        """One row at the end, of all positions."""
        cdef Op *op = &self.plan.ops[self.plan.n_ops]
        cdef Tensor *last = &self.plan.tensors[self.plan.n_ops + 1]
        op.kind, op.w, op.b, op.wt = FLATTEN, -1, -1, -1
        last.length, last.channels = 1, self.output_shape[0] * self.output_shape[1]
        self.plan.n_ops += 1
        self.output_shape = (1, last.channels)
        return 0

    cdef _parameter(self, Py_ssize_t index, str name, list shape):
        self.slots.append((index, name, self.size, tuple(shape)))
        self.size += prod(shape)

    cdef int _lay_out(self) except -1:
        """Offsets: where the parameters lie packed and the tensors in a thread's scratch."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t itemsize = sizeof(float) if self.single else sizeof(double)
        cdef Py_ssize_t o, at = 0, row
        cdef Op *op
        cdef Tensor *t
        for o in range(plan.n_ops):
            op, row = &plan.ops[o], padded(plan.tensors[o + 1].channels, itemsize)
            if op.rows:
                op.w = at
                at += op.width * op.rows * row
            if op.b >= 0:
                op.b = at
                at += row
        plan.gradients = at
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.rows and op.kind != ONEHOT_CONV1D and (o > 0 or plan.input_gradient):
                op.wt = at
                at += op.width * plan.tensors[o + 1].channels * padded(op.rows, itemsize)
        plan.packed = at
        plan.chunk = max(CHUNK_LEAST, min(CHUNK_SAMPLES, <Py_ssize_t> (CHUNK_OPERATIONS / max(3 * self.operations, 1))))
        at = 0
        for o in range(plan.n_ops + 1):
            t = &plan.tensors[o]
            t.row = padded(t.channels, itemsize)
            t.sample = (t.length + 2 * t.margin) * t.row
            t.y = at + t.margin * t.row
            t.dy = t.y + plan.chunk * t.sample
            at += 2 * plan.chunk * t.sample
        plan.scratch = at
        return 0

    cdef int _cut_strips(self) except -1:
        """The strips that the parameters are packed, summed and updated in."""
        cdef Plan *plan = &self.plan
        cdef Py_ssize_t itemsize = sizeof(float) if self.single else sizeof(double)
        cdef Py_ssize_t o, s, k, start, flat = 0, packed = 0
        cdef const Op *op
        cdef Strip strip
        strips = []  # op; position in the filter, or -1 for the bias; first row; rows
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.rows:
                for k, start in product(range(op.width), range(0, op.rows, STRIP_ROWS)):
                    strips.append((o, k, start, min(STRIP_ROWS, op.rows - start)))
            if op.b >= 0:
                strips.append((o, -1, 0, 1))
        plan.n_strips = len(strips)
        plan.strips = <Strip *> calloc(plan.n_strips + 1, sizeof(Strip))
        if plan.strips == NULL:
            raise MemoryError("Program: no memory for the plan")
        for s, (o, k, start, rows) in enumerate(strips):
            op = &plan.ops[o]
            strip.flat, strip.packed = flat, packed
            strip.rows, strip.cols = rows, plan.tensors[o + 1].channels
            strip.wt, strip.wt_row, strip.decays = -1, padded(op.rows, itemsize), k >= 0
            if k >= 0 and op.wt >= 0:
                strip.wt = op.wt + k * strip.cols * strip.wt_row + start
            plan.strips[s] = strip
            flat += strip.rows * strip.cols
            packed += strip.rows * padded(strip.cols, itemsize)
        return 0

    cdef int _data(self, object x, Batch *batch) except -1:
        """Check the input of a call; the number of samples is left in batch.n."""
        cdef const Tensor *t = self.plan.tensors
        batch.n = x.shape[0]
        if self.plan.codes:
            batch.codes = <const int16_t *> address(x, "h", batch.n * t.length)
            if not within(batch.codes, batch.n * t.length, <int16_t> t.channels):
                raise ValueError(f"codes must lie in -1..{t.channels - 1}, got {x.min()}..{x.max()}")
        else:
            batch.x = address(x, self.format, batch.n * t.length * t.channels)
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
        if self.output_shape[0] != 1:
            raise ValueError(f"a loss needs one row of logits a sample, the network gives {self.output_shape}")
        loss.labels = <const int64_t *> address(labels, "q", batch.n)
        for i in range(batch.n):
            if not 0 <= loss.labels[i] < self.output_shape[1]:
                raise ValueError(f"label {loss.labels[i]} at index {i} is outside 0..{self.output_shape[1] - 1}")
        if targets is not None:
            loss.targets = address(targets, self.format, batch.n * self.output_shape[1])
        if weight is not None:
            loss.weight = address(weight, self.format, batch.n)
        return 0

    cdef int _input_gradient(self, object dx, Batch *batch) except -1:
        """Check where the gradient by the input is to go."""
        cdef const Tensor *t = self.plan.tensors
        if dx is not None:
            if self.plan.codes or not self.plan.input_gradient:
                raise ValueError("Program: the gradient by the input was not planned")
            batch.dx = address(dx, self.format, batch.n * t.length * t.channels, True)
        return 0

    def forward(self, object x, object parameters, object y, bint probabilities=False, int threads=1):
        """Write the output of every sample of `x`, or its softmax, to `y` (N, length, channels)."""
        cdef Batch batch
        cdef Arena arena
        cdef void *p = address(parameters, self.format, self.size)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        cdef void *out = address(y, self.format, batch.n * self.output_shape[0] * self.output_shape[1], True)
        threads = max(1, min(threads, count_chunks(&self.plan, batch.n)))
        with nogil:
            open_arena(&arena, &self.plan, sizeof(float) if self.single else sizeof(double), 0, 0, threads)
            if self.single:
                predict_all(&self.plan, &batch, <float *> p, probabilities, &arena, threads, <float *> out)
            else:
                predict_all(&self.plan, &batch, <double *> p, probabilities, &arena, threads, <double *> out)
            free(arena.memory)

    def gradient(self, object x, object parameters, tuple loss, object labels, object targets, object weight,
                 object flat, object dx=None, int threads=1):
        """Write the gradients of the loss by the parameters to `flat` and by the input to `dx`.

        `loss` is ``("softmax_cross_entropy", l2, smoothing)``, ``("focal", l2, gamma)``,
        ``("mean_squared_error", l2)`` or ``("multi_class_hinge", l2)``; `labels` (N,) int64; `targets` (N, K) and
        `weight` (N,) are of the parameters' dtype, or None: what the labels say, and 1 each. Returns the loss and the
        number of hits: samples whose largest output is the label's.
        """
        cdef Batch batch
        cdef void *p = address(parameters, self.format, self.size)
        cdef void *out = address(flat, self.format, self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        self._loss(loss, labels, targets, weight, &batch)
        self._input_gradient(dx, &batch)
        return self._gradient(&batch, p, out, threads)

    def backward(self, object x, object parameters, object dy, object flat, object dx=None, int threads=1):
        """Write the gradients of sum(y * dy) by the parameters to `flat` and by the input to `dx`."""
        cdef Batch batch
        cdef void *p = address(parameters, self.format, self.size)
        cdef void *out = address(flat, self.format, self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        batch.dy = address(dy, self.format, batch.n * self.output_shape[0] * self.output_shape[1])
        self._input_gradient(dx, &batch)
        self._gradient(&batch, p, out, threads)

    cdef _gradient(self, const Batch *batch, void *p, void *out, int threads):
        cdef Arena arena
        cdef double loss
        cdef Py_ssize_t hits
        threads = max(1, min(threads, count_chunks(&self.plan, batch.n)))
        with nogil:
            open_arena(&arena, &self.plan, sizeof(float) if self.single else sizeof(double),
                       count_buffers(&self.plan, batch.n), 0, threads)
            if self.single:
                loss = gradient_of(&self.plan, batch, <float *> p, &arena, threads, <float *> out, &hits)
            else:
                loss = gradient_of(&self.plan, batch, <double *> p, &arena, threads, <double *> out, &hits)
            free(arena.memory)
        return loss, hits

    def train(self, object x, object parameters, tuple loss, object labels, object targets, object weight,
              object order, object starts, object rates, tuple optimiser, object optimiser_state, object losses,
              object hits, int threads=1, uint32_t first_update=0):
        """Make one update of `parameters` and `optimiser_state` for each batch; return how many were made.

        Batch u is the rows ``order[starts[u]:starts[u + 1]]`` of the data and is learnt at ``rates[u]``; its loss
        before the update goes to ``losses[u]`` and its number of hits to ``hits[u]``. The first loss that is not
        finite ends the call before its update. `loss` and what follows it are as for :meth:`gradient`; `optimiser` is
        ``("sgd", weight_decay, momentum, nesterov)``, ``("rmsprop", weight_decay, momentum, beta, eps)`` or
        ``("adam", weight_decay, beta1, beta2, eps)``, and batch u its update first_update + u.

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
        cdef void *state = address(optimiser_state, self.format, o.states * self.size, True)
        memset(&batch, 0, sizeof(Batch))
        self._data(x, &batch)
        self._loss(loss, labels, targets, weight, &batch)
        batch.update = first_update
        total = len(order)
        batch.order = <const int64_t *> address(order, "q", total)
        for u in range(total):
            if not 0 <= batch.order[u] < batch.n:
                raise ValueError(f"Program: row {batch.order[u]} of {batch.n} does not exist")
        for u in range(updates):
            if not 0 <= start[u] < start[u + 1] <= total:
                raise ValueError(f"Program: batch {u} is {start[u]}:{start[u + 1]} of {total} rows")
            largest = max(largest, start[u + 1] - start[u])
        threads = max(1, min(threads, count_chunks(&self.plan, largest)))
        with nogil:
            open_arena(&arena, &self.plan, sizeof(float) if self.single else sizeof(double),
                       count_buffers(&self.plan, largest), o.states, threads)
            if self.single:
                made = train_all(&self.plan, &batch, &o, updates, start, rate, self.size, &arena, threads,
                                 <float *> p, <float *> state, found, hit)
            else:
                made = train_all(&self.plan, &batch, &o, updates, start, rate, self.size, &arena, threads,
                                 <double *> p, <double *> state, found, hit)
            free(arena.memory)
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
