"""The n-grams that excite filters most: against a plain search through every window of the layer's own output."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.errors import DataError, DTypeError, RangeError, ShapeError
from fastconv.ngrams import strongest_ngrams

NAMES = ["anna", "nan", "hannah", "o'hara", "li", ""]


def network(alphabet, length=8, filters=3, kernel_size=3, **options):
    layers = [fc.OneHotConv1D(filters, kernel_size, **options), fc.ReLU(), fc.GlobalMaxPool1D(), fc.Dense(2)]
    return fc.Sequential(layers, input=fc.OneHotInput(length, len(alphabet)), seed=1)


def by_search(net, alphabet, strings, top, shown):
    """The same from a dense matrix of one-hot columns, window by window; `shown` is what stands for each code."""
    layer, w = net.layers[0], net.params["0.w"].astype(np.float64)
    b = net.params.get("0.b", np.zeros(w.shape[2]))
    codes = alphabet.encode(strings, net.input.length)
    before = {"same": (layer.kernel_size - 1) * layer.dilation // 2, "valid": 0}.get(layer.padding, layer.padding)
    positions, _ = net.layer_table()[1]["output_shape"]
    found = [{} for _ in b]
    for row in codes:
        for p in range(positions):
            places = [p * layer.stride + k * layer.dilation - before for k in range(layer.kernel_size)]
            window = tuple(row[i] if 0 <= i < len(row) else -1 for i in places)
            if max(window) >= 0:
                for f, column in enumerate(found):
                    response = b[f] + sum(w[k, code, f] for k, code in enumerate(window) if code >= 0)
                    column.setdefault("".join(shown[code] for code in window), response)
    return [sorted(column.items(), key=lambda pair: -pair[1])[:top] for column in found]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"padding": "same"},
        {"padding": 2},
        {"dilation": 2},
        {"stride": 2, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": 8},
    ],
)
@pytest.mark.parametrize("markers", [False, True])
def test_the_strongest_are_those_of_a_plain_search(options, markers):
    alphabet = fc.Alphabet.from_strings(NAMES, markers=markers)
    net = network(alphabet, **options)
    net.parameters += np.random.default_rng(2).normal(size=net.parameters.shape)
    ours = strongest_ngrams(net, alphabet, NAMES, top=4)
    theirs = by_search(net, alphabet, NAMES, 4, [*alphabet.symbols, *"^$" * markers, "·"])
    assert [[ngram for ngram, _ in column] for column in ours] == [[ngram for ngram, _ in column] for column in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose([r for _, r in one], [r for _, r in other], rtol=1e-5, atol=1e-5)


def filled(alphabet, weights, **options):
    """A network of one filter whose weights are given, position by position."""
    net = network(alphabet, filters=1, kernel_size=len(weights), **options)
    net.params["0.w"][..., 0] = weights
    return net


def test_markers_and_what_lies_beyond_them_are_shown():
    alphabet = fc.Alphabet("ab", markers=True)
    net = filled(alphabet, [[0, 0, 4, 0], [0, 0, 0, 1]], bias=False)
    assert strongest_ngrams(net, alphabet, ["", "ab"]) == [
        [("^$", 5.0), ("^a", 4.0), ("b$", 1.0), ("$·", 0.0), ("ab", 0.0)]
    ]


def test_equal_responses_stand_in_the_order_of_occurrence():
    alphabet = fc.Alphabet("abc")
    net = filled(alphabet, [[1, 1, 1]])
    assert strongest_ngrams(net, alphabet, ["ca", "cb"], top=2) == [[("c", 1.0), ("a", 1.0)]]


def test_the_bias_counts():
    alphabet = fc.Alphabet("ab")
    net = filled(alphabet, [[1, 2]])
    net.params["0.b"][:] = -5
    assert strongest_ngrams(net, alphabet, ["ab"]) == [[("b", -3.0), ("a", -4.0)]]


def test_bytes_unknown_and_unprintable_characters_are_shown_as_such():
    alphabet = fc.Alphabet("a\t", byte_fallback=True)
    net = filled(alphabet, np.zeros((2, len(alphabet))))
    assert [ngram for ngram, _ in strongest_ngrams(net, alphabet, ["a\té"])[0]] == [
        r"a\t",
        r"\t\xc3",
        r"\xc3\xa9",
        r"\xa9·",
    ]
    alphabet = fc.Alphabet("ab")
    with pytest.warns(fc.UnknownCharacterWarning):
        assert strongest_ngrams(filled(alphabet, np.ones((3, 2))), alphabet, ["a?b"], top=1) == [[("a·b", 2.0)]]


def test_longer_strings_are_cut_as_the_network_sees_them():
    alphabet = fc.Alphabet("abc")
    net = filled(alphabet, [[1, 2, 3]])
    assert [ngram for ngram, _ in strongest_ngrams(net, alphabet, ["a" * 8 + "bc"])[0]] == ["a"]
    assert [ngram for ngram, _ in strongest_ngrams(net, alphabet, ["a" * 8 + "bc"], keep="end")[0]] == ["c", "b", "a"]


def test_an_ngram_found_again_in_another_block_of_strings_stands_once(monkeypatch):
    alphabet = fc.Alphabet("ab")
    net = filled(alphabet, [[1, 2]])
    monkeypatch.setattr(fc.ngrams, "BLOCK", 2)
    assert strongest_ngrams(net, alphabet, ("a", "a", "b", "a", "b")) == [[("b", 2.0), ("a", 1.0)]]


def test_responses_are_of_the_networks_dtype():
    alphabet = fc.Alphabet("a")
    net = filled(alphabet, [[0.1]]).astype("float64")
    net.params["0.w"][...] = 0.1
    assert strongest_ngrams(net, alphabet, ["a"]) == [[("a", 0.1)]]


def test_strings_without_characters_are_an_error():
    alphabet = fc.Alphabet("ab")
    for strings in ([], ["", ""]):
        with pytest.raises(DataError, match="strongest_ngrams: the strings hold no characters"):
            strongest_ngrams(network(alphabet), alphabet, strings)


def test_wrong_arguments_raise_an_error_that_names_them():
    alphabet = fc.Alphabet("ab")
    net = network(alphabet)
    dense = fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3))
    with pytest.raises(DTypeError, match="expected a network with a first layer OneHotConv1D, got Sequential"):
        strongest_ngrams(dense, alphabet, ["a"])
    with pytest.raises(DTypeError, match="expected an alphabet, got 'ab'"):
        strongest_ngrams(net, "ab", ["a"])
    with pytest.raises(ShapeError, match="expected an alphabet of 2 codes, got 3"):
        strongest_ngrams(net, fc.Alphabet("abc"), ["a"])
    with pytest.raises(RangeError, match="top: expected a positive integer"):
        strongest_ngrams(net, alphabet, ["a"], top=0)
    with pytest.raises(DTypeError, match="expected a list of strings, got str"):
        strongest_ngrams(net, alphabet, "ab")
