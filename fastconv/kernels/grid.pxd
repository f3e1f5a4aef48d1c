# How the activations of a layer lie in memory, and the windows that a layer slides over them.

ctypedef struct Grid:
    # A sample: lines of pixels of channels. A sequence has one line, a vector one pixel. Distances count elements.
    Py_ssize_t height, width, channels
    Py_ssize_t row, line, sample  # from a pixel to the next, from a line, from a sample

ctypedef struct Window:
    Py_ssize_t kh, kw       # taps
    Py_ssize_t sh, sw       # stride
    Py_ssize_t top, left    # padding before the first line and pixel
    Py_ssize_t dh, dw       # dilation
