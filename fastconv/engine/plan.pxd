# The plan: what a network is lowered to. Offsets and distances are counted in elements.

cdef enum Kind:
    ONEHOT_CONV1D
    CONV1D
    DENSE
    RELU
    FLATTEN                 # positions side by side in one row: only at a network's end, where no dense follows

ctypedef struct Tensor:
    # The activations of one layer in a thread's scratch: samples of `length` padded rows between two margins, and
    # their gradients, which lie alike so that masks fit. The margins of the gradients are zero rows: the gradient by
    # data of the convolution that made the activations reads over the ends of a sample.
    Py_ssize_t length, channels
    Py_ssize_t row, margin, sample
    Py_ssize_t y, dy        # the first row of sample 0

ctypedef struct Op:
    # Maps tensor i to tensor i + 1.
    Kind kind
    bint relu               # ReLU in the epilogue
    Py_ssize_t width, rows  # w is (width, rows, filters): positions that a filter spans, input channels
    Py_ssize_t w, b         # offsets in the packed parameters and in a chunk's gradients; b = -1: no bias
    Py_ssize_t wt           # offset of the transposed weights in the packed parameters; -1: no dx is wanted

ctypedef struct Strip:
    # Some rows of one parameter, the unit of packing, summation and update.
    Py_ssize_t flat, packed     # where its rows begin in the flat vector, and packed
    Py_ssize_t rows, cols
    Py_ssize_t wt, wt_row       # where its columns begin in the transposed weights, -1: nowhere; distance of those
    bint decays                 # weights, which L2 and weight decay are for; not biases

ctypedef struct Plan:
    Py_ssize_t n_ops, n_strips
    Op *ops
    Tensor *tensors         # n_ops + 1
    Strip *strips
    Py_ssize_t gradients    # elements of a chunk's gradient buffer: w and b of all ops, padded
    Py_ssize_t packed       # elements of the packed parameters: the same, then the transposed weights
    Py_ssize_t chunk        # samples of a chunk at most
    Py_ssize_t scratch      # elements of a thread's scratch
    bint codes              # the input is codes, not values
    bint input_gradient     # the first op propagates too
