"""What the filters of a character network's first layer look for: the n-grams that they respond to most."""

import numpy as np

from fastconv.arrays import positive
from fastconv.errors import DataError, DTypeError, ShapeError
from fastconv.functional import onehot_conv1d
from fastconv.geometry import window
from fastconv.layers import OneHotConv1D
from fastconv.network import Sequential
from fastconv.text import Alphabet

BLOCK = 10_000
"""Strings whose windows are formed at a time."""
START, END, NOTHING = "^$·"


def strongest_ngrams(net, alphabet, strings, top=5, keep="start"):
    """Return the n-grams of `strings` that each filter of the first layer responds to most.

    Parameters
    ----------
    net : Sequential
        Its first layer is a :class:`OneHotConv1D`.
    alphabet : Alphabet
        That the network's codes come from.
    strings : sequence of str
    top : int
        N-grams of a filter, at most.
    keep : {"start", "end"}
        Which part the network sees of strings that are longer than its input.

    Returns
    -------
    list of list of (str, float)
        For each filter its n-grams and their responses, the strongest first, of equals the one that occurs first. An
        n-gram is what stands under the filter's taps, one character for each: the string's own, ``^`` and ``$`` for
        the markers of start and end, ``·`` for no character, ``\\xe9`` for a byte; what cannot be printed is escaped.
        The response is the filter's output before the activation: its weights for these characters, and the bias.

    Raises
    ------
    DTypeError
        If the network does not start with a :class:`OneHotConv1D`, or `alphabet` is none.
    ShapeError
        If the alphabet is not of the network's size.
    DataError
        If there are no n-grams.

    Examples
    --------
    >>> import fastconv as fc
    >>> alphabet = fc.Alphabet("abc")
    >>> net = fc.Sequential([fc.OneHotConv1D(1, 2), fc.Flatten()], input=fc.OneHotInput(length=4, depth=3))
    >>> net.params["0.w"][..., 0] = [[1, 0, 2], [0, 3, 0]]
    >>> fc.ngrams.strongest_ngrams(net, alphabet, ["abba", "cab"], top=3)
    [[('ab', 4.0), ('bb', 3.0), ('ca', 2.0)]]
    """
    if not isinstance(net, Sequential) or not net.layers or not isinstance(net.layers[0], OneHotConv1D):
        raise DTypeError(f"strongest_ngrams: expected a network with a first layer OneHotConv1D, got {net!r}")
    if not isinstance(alphabet, Alphabet):
        raise DTypeError(f"strongest_ngrams: expected an alphabet, got {alphabet!r}")
    if len(alphabet) != net.input.depth:
        raise ShapeError(f"strongest_ngrams: expected an alphabet of {net.input.depth} codes, got {len(alphabet)}")
    top = positive("strongest_ngrams: top", top)
    width = net.layers[0].kernel_size
    codes = np.frombuffer(b"".join(_distinct_windows(net, alphabet, strings, keep)), np.int16).reshape(-1, width)
    codes = codes[(codes >= 0).any(axis=1)]
    if len(codes) == 0:
        raise DataError("strongest_ngrams: the strings hold no characters")
    responses = onehot_conv1d(codes, net.params["0.w"], net.params.get("0.b"))[:, 0]
    names = _names(alphabet)
    best = (np.argsort(-column, kind="stable")[:top] for column in responses.T)
    return [
        [("".join(names[code] for code in codes[row]), float(responses[row, f])) for row in rows]
        for f, rows in enumerate(best)
    ]


def _distinct_windows(net, alphabet, strings, keep):
    """Return the bytes of the codes of each window that the first layer sees, once, in the order of occurrence."""
    layer, length = net.layers[0], net.input.length
    positions, before, after = window(length, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    taps = np.arange(positions)[:, None] * layer.stride + np.arange(layer.kernel_size) * layer.dilation
    codes = alphabet.encode(strings, length, keep)
    seen = {}
    for start in range(0, len(codes), BLOCK):
        block = np.pad(codes[start : start + BLOCK], ((0, 0), (before, after)), constant_values=-1)
        seen.update(dict.fromkeys(block[:, taps].reshape(-1).view(f"V{2 * layer.kernel_size}").tolist()))
    return seen


def _names(alphabet):
    """Return what stands for each code, -1 at the end."""
    symbols = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in alphabet.symbols]
    bytes_ = [f"\\x{byte:02x}" for byte in range(256)] if alphabet.byte_fallback else []
    return [*symbols, *[START, END] * alphabet.markers, *bytes_, NOTHING]
