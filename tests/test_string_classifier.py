"""StringClassifier and Explanation: predictions from a model file with NumPy alone, and what each character adds."""

import html
import pickle
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv import classifier
from fastconv.classifier import Explanation, StringClassifier
from fastconv.errors import DTypeError, ModelFormatError, RangeError

LABELS = ["one", "three", "two"]
STRINGS = ["abba", "Cab", "", "b", "dzo\u00e9", "cabcabcabcab", "\u6f22ab", "e\u0301"]


def model(keep="start", labels=LABELS, length=8, network=None, **options):
    """A classifier of random weights."""
    alphabet = fc.Alphabet("abcd\u00e9", **options)
    net = fc.models.char_convnet(len(alphabet), length, len(labels), filters=6, kernel_size=3, init=2.0, seed=1)
    return StringClassifier(net if network is None else network, alphabet, labels, keep)


@pytest.fixture(scope="module")
def plain():
    return model()


# Predictions


def test_probabilities_are_those_of_the_network_for_the_codes(plain):
    codes = plain.alphabet.encode(STRINGS, 8, warn=False)
    assert np.array_equal(plain.encode(STRINGS), codes)
    assert np.array_equal(plain.predict_proba(STRINGS), plain.network.predict_proba(codes))
    assert np.array_equal(plain.decision_function(STRINGS), plain.network.forward(codes))
    assert plain.predict(STRINGS).tolist() == [LABELS[k] for k in plain.predict_proba(STRINGS).argmax(axis=1)]
    assert len(set(plain.predict(STRINGS))) > 1


def test_of_a_longer_string_the_part_that_is_kept_is_read():
    for keep, same, other in (("start", "cabcabcaXX", "XXcabcabca"), ("end", "XXcabcabca", "cabcabcaXX")):
        p = model(keep).predict_proba(["cabcabca", same, other])
        assert np.array_equal(p[0], p[1]) and not np.array_equal(p[0], p[2])


@pytest.mark.parametrize("form", [tuple, iter, np.array, lambda x: np.array(x, object), lambda x: (s for s in x)])
def test_strings_come_in_any_iterable(plain, form):
    assert np.array_equal(plain.predict_proba(form(STRINGS)), plain.predict_proba(STRINGS))


def test_predictions_depend_neither_on_blocks_nor_threads_nor_other_strings(plain, monkeypatch):
    expected = plain.predict_proba(STRINGS * 40)
    for threads in (1, 2, 3, 8):
        assert np.array_equal(plain.predict_proba(STRINGS * 40, threads=threads), expected)
    monkeypatch.setattr(classifier, "BLOCK", 3 * 8)
    assert np.array_equal(plain.predict_proba(STRINGS * 40), expected)
    assert np.array_equal(np.concatenate([plain.predict_proba([string]) for string in STRINGS]), expected[:8])


def test_no_strings_have_no_predictions(plain):
    assert plain.predict([]).shape == (0,) and plain.predict([], reject_below=0.5).shape == (0,)
    assert plain.predict_proba([]).shape == plain.decision_function([]).shape == (0, 3)
    assert [array.shape for array in plain.top_k([], 2)] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("call", ["predict", "predict_proba", "decision_function", "top_k"])
def test_what_is_no_string_is_named_by_its_position(plain, call):
    with pytest.raises(DTypeError, match=rf"{call}: element 2 is NoneType \(None\), expected str"):
        getattr(plain, call)(["a", "b", None])
    for given_ in ("ab", b"ab", 3, None):
        with pytest.raises(DTypeError, match=f"{call}: expected a list of strings, got {type(given_).__name__}"):
            getattr(plain, call)(given_)


def test_a_string_that_is_none_is_named_by_its_position_among_all(plain, monkeypatch):
    monkeypatch.setattr(classifier, "BLOCK", 3 * 8)
    with pytest.raises(DTypeError, match=r"predict: element 7 is int \(3\), expected str"):
        plain.predict(["a"] * 7 + [3])


# Doubt


def test_the_likeliest_classes_come_first(plain):
    p = plain.predict_proba(STRINGS)
    labels, best = plain.top_k(STRINGS, 2)
    assert labels.shape == best.shape == (8, 2) and best.dtype == np.float32
    assert np.array_equal(best, -np.sort(-p, axis=1)[:, :2]) and np.array_equal(labels[:, 0], plain.predict(STRINGS))
    assert plain.top_k(STRINGS, 99)[0].shape == (8, 3)
    net = fc.models.char_convnet(5, 8, 3)
    net.parameters[:] = 0
    assert model(network=net).top_k(["a"], 2)[0].tolist() == [["one", "three"]]
    for k in (0, -1, 1.5, True):
        with pytest.raises(RangeError, match="top_k: k: expected a positive integer, got"):
            plain.top_k(STRINGS, k)


@pytest.mark.parametrize("labels, other, dtype", [
    (LABELS, None, object), (LABELS, "none of them", "<U12"), (LABELS, 7, object), ([1, 2, 3], -1, np.int64),
    ([1, 2, 3], None, object), ([1, 2, 3], "?", object), ([0.5, 1.0, 2.0], float("nan"), np.float64),
    (np.array(LABELS, object), None, object), (np.array(LABELS, object), "none of them", object),
    (LABELS, ("a", "pair"), object), ([1, 2, 3], [4, 5], object),
], ids=repr)  # fmt: skip
def test_what_is_less_probable_is_rejected_with_any_label(labels, other, dtype):
    clf = model(labels=labels)
    p = clf.predict_proba(STRINGS).max(axis=1)
    limit = float(np.median(p))
    found = clf.predict(STRINGS, reject_below=limit, reject_label=other)
    assert found.dtype == dtype and 0 < np.sum(p < limit) < 8
    for label, plain, doubtful in zip(found.tolist(), clf.predict(STRINGS).tolist(), p < limit, strict=True):
        assert repr(label) == repr(other if doubtful else plain)


@pytest.mark.parametrize("limit", [-0.1, 1.01, float("nan"), "0.5", True, [0.5]])
def test_a_probability_to_reject_below_lies_between_0_and_1(plain, limit):
    with pytest.raises(RangeError, match=r"predict: reject_below lies in \[0, 1\], got"):
        plain.predict(STRINGS, reject_below=limit)
    assert plain.predict(STRINGS, reject_below=np.float32(0)).tolist() == plain.predict(STRINGS).tolist()


# Making one


def test_network_alphabet_and_classes_fit_each_other():
    net, alphabet = fc.models.char_convnet(5, 8, 3), fc.Alphabet("abcd\u00e9")
    for wrong, message in (
        ((net, fc.Alphabet("ab"), LABELS), "StringClassifier: the network does not read the 2 codes"),
        ((fc.Sequential([fc.Dense(3)], fc.VectorInput(5)), alphabet, LABELS), "the network does not read the 5 codes"),
        ((net, alphabet, ["one"]), "StringClassifier: expected a logit for each of 1 classes"),
        ((net, alphabet, LABELS, "middle"), "StringClassifier: keep is 'start' or 'end', got 'middle'"),
    ):
        with pytest.raises(RangeError, match=message):
            StringClassifier(*wrong)


def test_it_shows_what_it_knows(plain):
    assert repr(plain) == "StringClassifier(3 classes: one, three, two)"
    lines = plain.info().splitlines()
    assert lines[:4] == [
        "classes     3: one, three, two", r"alphabet    5 characters: abcd\xe9", "text        lower",
        "length      8 codes, of longer strings the start",
    ]  # fmt: skip
    assert lines[-1].startswith("total")
    many = model(labels=[f"\u202e{k:02}" for k in range(30)])
    assert repr(many).endswith(r"\u202e18, \u202e19, ...)") and "\u202e" not in many.info()


def test_a_pickle_predicts_the_same(plain):
    assert np.array_equal(pickle.loads(pickle.dumps(plain)).predict_proba(STRINGS), plain.predict_proba(STRINGS))


def test_what_is_no_file_of_a_classifier_of_strings_is_refused(tmp_path, plain):
    with pytest.raises(FileNotFoundError):
        fc.load_classifier(tmp_path / "missing")
    (tmp_path / "text").write_text("abba\tone\n")
    plain.network.save(tmp_path / "net")
    for name in ("text", "net"):
        with pytest.raises(ModelFormatError, match=f"{name}: not a "):
            fc.load_classifier(tmp_path / name)


# Explanations


def one_by_one(clf, string, k):
    """What hiding each character does, by a plain loop over codes."""
    alphabet, length = clf.alphabet, clf.network.input.length

    def pieces():
        codes = [[len(alphabet.symbols)]] if alphabet.markers else []
        for character in clf.alphabet.clean(string):
            known, first = character in alphabet.symbols, len(alphabet.symbols) + 2 * alphabet.markers
            spelt = [first + b for b in character.encode("utf-8", "surrogatepass")] if alphabet.byte_fallback else [-1]
            codes.append([alphabet.symbols.index(character)] if known else spelt)
        return codes + ([[len(alphabet.symbols) + 1]] if alphabet.markers else [])

    def log(codes):
        flat = [code for piece in codes for code in piece]
        kept = flat[:length] if clf.keep == "start" else flat[max(0, len(flat) - length) :]
        row = np.full((1, length), -1, np.int16)
        row[0, : len(kept)] = kept
        return np.log(clf.network.predict_proba(row)[0, k].astype(float))

    whole, found = log(pieces()), []
    for place in range(alphabet.markers, len(pieces()) - alphabet.markers):
        hidden = pieces()
        hidden[place] = [-1] * len(hidden[place])
        found.append(whole - log(hidden))
    return found


@pytest.mark.parametrize("options", [
    {}, {"markers": True}, {"byte_fallback": True}, {"markers": True, "byte_fallback": True},
    {"markers": True, "byte_fallback": True, "strip_accents": True}, {"casefold": True, "markers": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("keep", ["start", "end"])
def test_a_character_contributes_what_hiding_it_takes_away(keep, options):
    clf = model(keep, **options)
    for string in [*STRINGS, "\u6f22\u5b57\u6f22", "a\u6f22\u5b57b", "\ud800a", "Stra\u00dfe", "\u03a3\u03a3"]:
        best = clf.explain(string)
        assert best.string == string and best.label == clf.predict([string])[0]
        assert best.probability == pytest.approx(float(clf.predict_proba([string]).max()))
        for k, label in enumerate(LABELS):
            explained = clf.explain(string, label)
            assert explained.characters == list(clf.alphabet.clean(string)) and explained.label == label
            np.testing.assert_allclose(explained.contributions, one_by_one(clf, string, k), rtol=1e-4, atol=1e-5)


def test_what_is_cut_off_or_unknown_contributes_nothing(plain):
    explained = plain.explain("\u6f22bcdabcaaaaa")
    assert (explained.contributions[[0, 8, 9, 10, 11]] == 0).all() and (explained.contributions[1:8] != 0).any()
    assert plain.explain("").contributions.shape == (0,)


def test_a_huge_string_is_explained_by_what_is_read_of_it():
    for keep in ("start", "end"):
        clf = model(keep, length=100)
        explained = clf.explain("ab" * 500_000)
        assert np.count_nonzero(explained.contributions) <= 100 and len(explained.contributions) == 1_000_000


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(st.text(st.characters(), max_size=20))
def test_any_text_is_explained_and_shown(string):
    for clf in (MARKED, CUT):
        explained = clf.explain(string)
        assert len(explained.contributions) == len(explained.characters) == len(clf.alphabet.clean(string))
        assert np.isfinite(explained.contributions).all()
        for text in (str(explained), explained.ansi().replace("\x1b", ""), explained._repr_html_()):
            text.encode()
            assert {unicodedata.category(c) for c in text.replace("\n", "")}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


MARKED = model(markers=True, byte_fallback=True)
CUT = model("end", length=3, lower=False, strip_accents=True)


def test_a_string_and_a_class_are_needed(plain):
    for wrong in (None, b"ab", ["ab"]):
        with pytest.raises(DTypeError, match="explain: expected a str, got"):
            plain.explain(wrong)
    with pytest.raises(RangeError, match=r"explain: expected one of \['one', 'three', 'two'\], got 'four'"):
        plain.explain("ab", "four")


SHOWN = Explanation("<b>&\u202e", "<A&B>\x1b[31m", 0.5, ["<", "b", ">", "&", "\u202e", "\u0627"],
                    np.array([1.0, -0.5, 0, 0.25, -0.1, 0.01]))  # fmt: skip


def test_an_explanation_is_a_line_for_each_character():
    assert str(SHOWN).splitlines() == [
        r"<A&B>\x1b[31m: 0.5000", "<  +1.00  " + 20 * "+", "b  -0.50  " + 10 * "-", ">  +0.00", "&  +0.25  +++++",
        r"\u202e  -0.10  --", "\u0627  +0.01",
    ]  # fmt: skip
    assert repr(SHOWN) == r"Explanation('<b>&\u202e', '<A&B>\x1b[31m', 0.5000)"


def test_a_terminal_shows_blue_for_and_orange_against():
    text = SHOWN.ansi()
    cells = re.findall(r"\x1b\[48;2;(\d+);(\d+);(\d+)m\x1b\[38;2;0;0;0m([^\x1b]*)\x1b\[0m", text)
    assert [cell[3] for cell in cells] == ["<", "b", ">", "&", r"\u202e", "\u0627"]
    colours = [tuple(map(int, cell[:3])) for cell in cells]
    assert colours[0] == (86, 160, 230) and colours[2] == (255, 255, 255) and colours[1][0] > colours[1][2]
    assert text.startswith(r"<A&B>\x1b[31m: 0.5000  ") and text.count("\x1b") == 3 * 6


def test_a_notebook_shows_everything_escaped():
    text = SHOWN._repr_html_()
    assert text.startswith(r"<div><b>&lt;A&amp;B&gt;\x1b[31m</b> 0.5000 ") and '<bdo dir="ltr">' in text
    cells = re.findall(r'<span style="background:(#[0-9a-f]{6});[^"]*" title="([^"]*) nats">([^<>]*)</span>', text)
    assert [html.unescape(cell[2]) for cell in cells] == ["<", "b", ">", "&", r"\u202e", "\u0627"]
    assert [cell[1] for cell in cells] == ["+1.00", "-0.50", "+0.00", "+0.25", "-0.10", "+0.01"]
    assert cells[0][0] == "#56a0e6"
    assert re.sub(r"</?(div|b|bdo|span)( [^<>]*)?>", "", text).count("<") == 0


def test_contributions_of_zero_are_white():
    none = Explanation("ab", 1, 1.0, ["a", "b"], np.zeros(2))
    assert str(none) == "1: 1.0000\na  +0.00\nb  +0.00" and "#ffffff" in none._repr_html_()
    assert str(Explanation("", 1, 1.0, [], np.zeros(0))) == "1: 1.0000"
