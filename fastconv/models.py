"""Named architectures."""

from fastconv.layers import Conv1D, Dense, Flatten, OneHotConv1D, OneHotInput, ReLU
from fastconv.network import Sequential


def surname_convnet(
    alphabet_size, length, n_classes, filters=(20, 20), widths=(5, 3), bias=False, dtype="float32", seed=0
):
    """Return the assignment's network: two convolutions with ReLU and a dense layer.

    Parameters
    ----------
    alphabet_size, length, n_classes : int
        Characters, characters of a name, classes.
    filters, widths : pair of int
        Number and width of the filters of each convolution.
    bias : bool
        Add biases to all layers (the original has none).
    dtype, seed
        As in :class:`Sequential`.

    Returns
    -------
    Sequential

    References
    ----------
    KTH DD2424, assignment 3.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.surname_convnet(28, 19, 18, filters=(30, 30), widths=(5, 5)).output_shape
    (18,)
    """
    (n1, n2), (k1, k2) = filters, widths
    return Sequential(
        [
            OneHotConv1D(n1, k1, bias=bias),
            ReLU(),
            Conv1D(n2, k2, bias=bias),
            ReLU(),
            Flatten(),
            Dense(n_classes, bias=bias),
        ],
        input=OneHotInput(length, alphabet_size),
        dtype=dtype,
        seed=seed,
    )
