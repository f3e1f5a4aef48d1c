# The plan: what a network is lowered to. Offsets and distances are counted in elements.

from fastconv.kernels.grid cimport Grid, Window

cdef enum Kind:
    ONEHOT_CONV1D
    CONV1D                  # one line, stride 1, no padding, no dilation: windows that skip what is zero
    CONV2D
    MAX_POOL
    AVG_POOL
    GLOBAL_MAX_POOL1D
    DENSE
    BATCH_NORM
    DROPOUT
    RELU
    SIGMOID
    TANH
    FLATTEN                 # pixels side by side in one row; a dense operation does without

ctypedef struct Tensor:
    # The activations of one layer in a thread's scratch, and their gradients, which lie alike so that masks fit. Each
    # line lies between margins of zeros, as far as the convolution behind it pads, or the way back of the one before
    # it reaches over the ends.
    Grid g
    Py_ssize_t left, right  # the margin
    Py_ssize_t y, dy        # pixel (0, 0) of sample 0
    Py_ssize_t winner       # behind max-pooling: which pixel of a window won
    bint y_whole, dy_whole, winner_whole  # a place for each sample of a chunk, or only for those of a block

ctypedef struct Op:
    # Maps tensor i to tensor i + 1.
    Kind kind
    bint relu               # ReLU in the epilogue
    bint rectified          # what is not positive in y hands nothing back: y comes of a ReLU, perhaps by max-pooling
    Window window
    Py_ssize_t rows         # w is (taps, rows, channels of y)
    Py_ssize_t w, b         # offsets in the packed parameters and in a chunk's gradients (gamma, beta); -1: none
    Py_ssize_t u            # offset of the weights as Winograd's algorithm takes them, -1: the plain sum is taken
    Py_ssize_t wt           # offset of the transposed weights in the packed parameters; -1: no dx is wanted
    bint turned             # w is packed transposed, (pixels, channels of y, rows), and wt is not
    Py_ssize_t ut           # the same as Winograd's algorithm takes them, or -1
    Py_ssize_t statistics   # batch normalisation: offset of the channels in vectors of statistics
    Py_ssize_t index        # of the layer, for its random numbers
    Py_ssize_t block        # samples at a time
    bint pooled             # it is a convolution, and max-pooling follows, or global max-pooling that it does itself
    bint pools              # and is done with it: y has no place of its own
    bint unpools            # and takes what pooling would hand back from the pooled gradient: dy has no place
    bint sparse             # most of dy is zero
    Py_ssize_t tiled        # samples at a time of which dw is taken by Winograd's algorithm, 0: the plain sum is taken
    Py_ssize_t scratch      # offset of what it, or only its gradient, is worked out in: if it shares, or is sparse or tiled
    bint deferred           # dw is taken of the whole batch at once, in the update
    double rate, eps        # dropout's rate, or the momentum of running statistics

ctypedef struct Strip:
    # Some rows of one parameter, the unit of packing, summation and update.
    Py_ssize_t flat, packed     # where its rows begin in the flat vector: after that many elements; and packed
    Py_ssize_t rows, cols
    Py_ssize_t op, tap, first   # the operation; the tap that its rows begin with, -1: it is a vector; the first row
    Py_ssize_t taps             # whole taps, or 1
    Py_ssize_t wt, wt_row       # where its columns begin in the transposed weights, -1: nowhere; distance of those
    bint turned             # its rows are columns in the flat vector
    bint decays                 # weights, which L2 and weight decay are for; not biases

ctypedef struct Plan:
    Py_ssize_t n_ops, n_strips, n_stages
    Op *ops
    Tensor *tensors         # n_ops + 1
    Strip *strips
    Py_ssize_t *stages      # (n_stages + 1,): the first op of each; all but the first begin with a batch normalisation
    Py_ssize_t part         # elements of a chunk's gradient buffer: w and b of all ops, padded, but what is deferred
    Py_ssize_t gradients    # the same with what is deferred behind
    Py_ssize_t forward      # the same, then Winograd's weights and wt of what is turned: what a prediction takes
    Py_ssize_t packed       # elements of the packed parameters: the same, then the transposed weights, plain and Winograd's
    Py_ssize_t statistics   # channels of all batch normalisations
    Py_ssize_t chunk        # samples of a chunk at most
    Py_ssize_t longest      # samples up to this length share what operation 1 makes of their suffixes; 0: none do
    bint whole              # the activations of all chunks are kept: stages need them, or deferred gradients
    Py_ssize_t values       # elements of the activations of a chunk and their gradients
    Py_ssize_t scratch      # elements of a thread's scratch: what gradients are worked out in, and behind that
    Py_ssize_t transformed  # what Winograd's algorithm takes for an operation
    Py_ssize_t lines        # of the largest gradient that is mostly zero
    bint codes              # the input is codes, not values
    bint input_gradient     # the first op propagates too
    bint gapless            # the output lies as in an array: its gradient can stay in the caller's
    bint passes             # the output is not needed on the way back
    bint validates          # some op asks which positions see something of the sample
    bint learns             # a training step; a prediction keeps less
    bint margins            # some margin must be zero already in a forward pass
