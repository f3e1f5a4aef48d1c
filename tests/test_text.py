"""Alphabets: which characters they hold, and the codes of strings."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import DataError, DTypeError, RangeError
from fastconv.reference import kernels
from fastconv.text import UnknownCharacterWarning

NOT_STRINGS = [None, float("nan"), b"ab", 3, ["a"]]
not_a_string = pytest.mark.parametrize("value", NOT_STRINGS, ids=lambda value: type(value).__name__)

# Few characters, so that strings and alphabets meet: letters, ones whose lower case is longer or another character,
# combining marks, NUL, a lone surrogate, astral characters.
CHARACTERS = "abAB \0'\u0130\u0307\u00df\u1e9e\u03a3\u03c3\u03c2e\u0301\u00e9\ud800\U0001f600\U0001f601\U0010ffff"
strings_of = st.lists(st.text(st.sampled_from(CHARACTERS), max_size=12), max_size=8)


def encode_silently(alphabet, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownCharacterWarning)
        return alphabet.encode(*args, **kwargs)


# The symbols


def test_symbols_are_the_lower_cased_characters_in_the_order_of_their_code_points():
    alphabet = fc.Alphabet.from_strings(["Zoe", "O'Neil", "van A"])
    assert alphabet.symbols == " 'aeilnovz"
    assert len(alphabet) == 10


def test_without_lower_casing_both_cases_are_symbols():
    alphabet = fc.Alphabet.from_strings(["aA"], lower=False)
    assert alphabet.symbols == "Aa"
    assert alphabet.encode(["aA"]).tolist() == [[1, 0]]


def test_the_order_of_given_symbols_is_kept():
    alphabet = fc.Alphabet(["c", "a", "b"])
    assert alphabet.symbols == "cab"
    assert alphabet.encode(["abc"]).tolist() == [[1, 2, 0]]


def test_from_strings_takes_any_iterable():
    assert fc.Alphabet.from_strings(name for name in ("b", "a")).symbols == "ab"
    assert fc.Alphabet.from_strings(np.array(["b", "a"])).symbols == "ab"


def test_equal_alphabets_have_equal_symbols_and_case():
    assert fc.Alphabet("ab") == fc.Alphabet.from_strings(["ba"])
    assert hash(fc.Alphabet("ab")) == hash(fc.Alphabet.from_strings(["ba"]))
    assert fc.Alphabet("ab") != fc.Alphabet("ba")
    assert fc.Alphabet("ab") != fc.Alphabet("ab", lower=False)
    assert fc.Alphabet("ab") != "ab"
    assert repr(fc.Alphabet("ab")) == "Alphabet('ab', lower=True)"


@pytest.mark.parametrize(
    "symbols, message",
    [
        ("", "1 to 32767 symbols, got 0"),
        ([], "1 to 32767 symbols, got 0"),
        (map(chr, range(0x10000, 0x10000 + 32768)), "1 to 32767 symbols, got 32768"),
        ("abca", "'a' stands in it twice"),
    ],
    ids=["empty", "none", "too many", "twice"],
)
def test_an_alphabet_has_distinct_symbols_whose_codes_fit_int16(symbols, message):
    with pytest.raises(RangeError, match=message):
        fc.Alphabet(symbols)


def test_the_largest_alphabet_has_every_code_of_int16():
    symbols = "".join(map(chr, range(0x10000, 0x10000 + 32767)))
    assert fc.Alphabet(symbols).encode([symbols[0] + symbols[-1]]).tolist() == [[0, 32766]]


@pytest.mark.parametrize("strings", [[], ["", ""]], ids=["no strings", "empty strings"])
def test_no_characters_make_no_alphabet(strings):
    with pytest.raises(DataError, match="from_strings: the strings hold no characters"):
        fc.Alphabet.from_strings(strings)


# Codes


def test_codes_are_int16_and_padded_behind_the_end():
    codes = fc.Alphabet("abc").encode(["Cab", "", "b"], length=4)
    assert codes.dtype == np.int16 and codes.flags.c_contiguous
    assert codes.tolist() == [[2, 0, 1, -1], [-1, -1, -1, -1], [1, -1, -1, -1]]


def test_a_row_is_as_long_as_the_longest_string_by_default():
    assert fc.Alphabet("ab").encode(["a", "abba", ""]).shape == (3, 4)


@pytest.mark.parametrize("keep, codes", [("start", [0, 1, 2]), ("end", [1, 2, 3])])
def test_of_a_longer_string_one_end_is_kept(keep, codes):
    assert fc.Alphabet("abcd").encode(["abcd", "d"], length=3, keep=keep).tolist() == [codes, [3, -1, -1]]


def test_no_strings_give_no_rows():
    alphabet = fc.Alphabet("ab")
    assert alphabet.encode([], length=5).shape == (0, 5)
    assert alphabet.encode([]).shape[0] == 0
    assert alphabet.encode([]).dtype == np.int16


def test_empty_strings_alone_have_at_least_one_position():
    assert fc.Alphabet("ab").encode(["", ""]).tolist() == [[-1], [-1]]


def test_empty_strings_are_refused_on_request():
    alphabet = fc.Alphabet("ab")
    with pytest.raises(DataError, match="encode: string 1 is empty"):
        alphabet.encode(["a", "", "b", ""], allow_empty=False)
    assert alphabet.encode(["a", "b"], allow_empty=False).tolist() == [[0], [1]]


@pytest.mark.parametrize("length", [0, -1, True, 2.0, "3", np.float64(3)], ids=repr)
def test_length_is_a_positive_integer(length):
    with pytest.raises(RangeError, match="encode: length is a positive integer, got"):
        fc.Alphabet("ab").encode(["a"], length=length)


def test_length_may_be_a_numpy_integer():
    assert fc.Alphabet("ab").encode(["a"], length=np.int64(2)).tolist() == [[0, -1]]


def test_keep_is_start_or_end():
    with pytest.raises(RangeError, match="keep is 'start' or 'end', got 'middle'"):
        fc.Alphabet("ab").encode(["a"], keep="middle")


# Characters outside the alphabet


def test_unknown_characters_are_counted_and_told_of_once():
    alphabet = fc.Alphabet("ab")
    with pytest.warns(UnknownCharacterWarning, match="3 characters are outside the alphabet 'ab'") as told:
        codes = alphabet.encode(["a?b", "??"])
    assert len(told) == 1
    assert told[0].filename == __file__
    assert codes.tolist() == [[0, -1, 1], [-1, -1, -1]]
    assert alphabet.unknown == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alphabet.encode(["x"])
    assert alphabet.unknown == 4


def test_characters_that_are_cut_off_do_not_count():
    alphabet = fc.Alphabet("ab")
    assert alphabet.encode(["ab??"], length=2).tolist() == [[0, 1]]
    assert alphabet.encode(["??ab"], length=2, keep="end").tolist() == [[0, 1]]
    assert alphabet.unknown == 0


def test_a_call_that_fails_counts_nothing():
    alphabet = fc.Alphabet("ab")
    with pytest.raises(DTypeError):
        alphabet.encode(["??", None])
    assert alphabet.unknown == 0


# What is no string


@not_a_string
def test_an_element_that_is_no_string_is_named_by_its_position(value):
    name = type(value).__name__
    with pytest.raises(DTypeError, match=f"encode: element 2 is {name} .*expected str"):
        fc.Alphabet("ab").encode(["a", "b", value, "a"])
    with pytest.raises(DTypeError, match=f"encode: element 2 is {name} .*expected str"):
        fc.Alphabet("ab").encode(["a", "b", value, "a"], length=3, allow_empty=False)
    with pytest.raises(DTypeError, match=f"from_strings: element 2 is {name} .*expected str"):
        fc.Alphabet.from_strings(["a", "b", value, "a"])


@pytest.mark.parametrize("strings", ["abc", b"abc", None, 3], ids=lambda value: type(value).__name__)
def test_one_string_is_not_a_list_of_strings(strings):
    name = type(strings).__name__
    with pytest.raises(DTypeError, match=f"encode: expected a list of strings, got {name}"):
        fc.Alphabet("abc").encode(strings)
    with pytest.raises(DTypeError, match=f"from_strings: expected a list of strings, got {name}"):
        fc.Alphabet.from_strings(strings)


def test_numpy_strings_and_subclasses_of_str_are_strings():
    class Name(str):
        pass

    assert fc.Alphabet("ab").encode(np.array(["ab", "b"])).tolist() == [[0, 1], [1, -1]]
    assert fc.Alphabet("ab").encode([Name("AB")]).tolist() == [[0, 1]]


# Unicode


@pytest.mark.parametrize(
    "text",
    ["\U0001f600\U0010ffff", "\ud800\udfff", "a\0b", "e\u0301", "\u00e9", "\u5f20\u4f1f"],
    ids=["astral", "lone surrogates", "NUL", "combining", "Latin 1", "Chinese"],
)
def test_every_code_point_is_a_character_of_its_own(text):
    alphabet = fc.Alphabet.from_strings([text])
    assert alphabet.symbols == "".join(sorted(text))
    assert alphabet.encode([text, ""]).tolist() == [[alphabet.symbols.index(c) for c in text], [-1] * len(text)]


def test_characters_beyond_the_alphabet_s_last_code_point_are_unknown():
    with pytest.warns(UnknownCharacterWarning, match="3 characters"):
        assert fc.Alphabet("a").encode(["\u00e9a\U0010ffffb"]).tolist() == [[-1, 0, -1, -1]]


def test_a_string_may_grow_when_it_is_lower_cased():
    name = "\u0130a"  # the capital I with a dot becomes an i and a combining dot
    alphabet = fc.Alphabet.from_strings([name])
    assert alphabet.symbols == "ai\u0307"
    assert alphabet.encode([name], length=4).tolist() == [[1, 2, 0, -1]]
    assert alphabet.encode([name], length=2).tolist() == [[1, 2]]
    assert alphabet.encode([name], length=2, keep="end").tolist() == [[2, 0]]


def test_the_default_length_holds_all_of_a_string_that_grows():
    name = "\u0130a"
    assert fc.Alphabet.from_strings([name]).encode([name]).tolist() == [[1, 2, 0]]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    strings=strings_of,
    symbols=st.lists(st.sampled_from(CHARACTERS), min_size=1, unique=True),
    length=st.integers(1, 10),
    lower=st.booleans(),
    keep=st.sampled_from(["start", "end"]),
)
def test_codes_are_those_of_the_twin(strings, symbols, length, lower, keep):
    alphabet = fc.Alphabet(symbols, lower=lower)
    cased = [string.lower() if lower else string for string in strings]
    kept = [string[:length] if keep == "start" else string[-length:] for string in cased]
    codes = encode_silently(alphabet, strings, length, keep)
    np.testing.assert_array_equal(codes, kernels.encode(kept, symbols, length), strict=True)
    assert alphabet.unknown == sum(character not in symbols for string in kept for character in string)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(strings=strings_of.filter(any))
def test_an_alphabet_knows_the_strings_that_it_was_made_from(strings):
    alphabet = fc.Alphabet.from_strings(strings)
    codes = alphabet.encode(strings, length=30)
    decoded = ["".join(alphabet.symbols[code] for code in row if code >= 0) for row in codes]
    assert decoded == [string.lower() for string in strings]
    assert alphabet.unknown == 0
