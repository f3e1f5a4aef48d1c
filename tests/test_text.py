"""Alphabets: which characters they hold, and the codes of strings."""

import copy
import json
import pickle
import sys
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv.errors import DataError, DTypeError, ModelFormatError, RangeError
from fastconv.kernels import encode as encoding
from fastconv.reference import kernels
from fastconv.text import UnknownCharacterWarning, _stands_alone

NOT_STRINGS = [None, float("nan"), b"ab", 3, ["a"]]
not_a_string = pytest.mark.parametrize("value", NOT_STRINGS, ids=lambda value: type(value).__name__)

# Few characters, so that strings and alphabets meet: letters, ones whose lower case is longer or another character,
# combining marks, Hangul in parts, a character with two normal forms, NUL, a lone surrogate, astral characters.
CHARACTERS = "abAB \0'\u0130\u0307\u00df\u1e9e\u03a3\u03c3\u03c2e\u0301\u00e9\ud800\U0001f600\U0001f601\U0010ffff"
CHARACTERS += "\u1100\u1161\u11a8\uac00H\u0331\u0327\u212b\u0f73\u0345"
strings_of = st.lists(st.text(st.sampled_from(CHARACTERS), max_size=12), max_size=8)


OPTIONS = ["lower", "casefold", "strip_accents", "markers", "byte_fallback"]
options = st.fixed_dictionaries({name: st.booleans() for name in OPTIONS})
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)


def cleaned(string, lower=True, casefold=False, strip_accents=False, markers=False, byte_fallback=False):
    """Clean a string as the alphabet's description says it, step by step."""
    string = unicodedata.normalize("NFC", string)
    string = string.casefold() if casefold else string.lower() if lower else string
    if strip_accents:
        string = "".join(c for c in unicodedata.normalize("NFD", string) if unicodedata.combining(c) == 0)
    return unicodedata.normalize("NFC", string)


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


@pytest.mark.parametrize(
    "limits, symbols",
    [
        ({}, "abcde"),
        ({"min_count": 2}, "abd"),
        ({"max_symbols": 2}, "bd"),
        ({"max_symbols": 3}, "abd"),
        ({"max_symbols": 4}, "abcd"),
        ({"max_symbols": 1, "min_count": 2}, "b"),
        ({"max_symbols": 5, "min_count": 1}, "abcde"),
    ],
    ids=str,
)
def test_the_rarest_characters_are_cut_first_then_the_larger_code_points(limits, symbols):
    alphabet = fc.Alphabet.from_strings(["bbb", "ddda", "aec"], **limits)
    assert alphabet.symbols == symbols
    assert not alphabet.byte_fallback


def test_line_ends_are_characters():
    assert fc.Alphabet.from_strings(["a\n", "\n\nb", "c"], min_count=3).symbols == "\n"
    assert fc.Alphabet.from_strings(["a", "b"]).symbols == "ab"


def test_characters_are_counted_after_the_strings_are_cleaned():
    strings = ["\u00c9", "e\u0301", "e", "STRASSE", "stra\u00dfe"]
    assert fc.Alphabet.from_strings(strings, strip_accents=True, min_count=3).symbols == "es"
    assert fc.Alphabet.from_strings(strings, casefold=True).symbols == "aerst\u00e9"


@pytest.mark.parametrize("n", [1, 9_999, 10_001, 20_000])
def test_many_strings_are_counted_whole(n):
    strings = ["ab"] * (n - 1) + ["a"]
    assert fc.Alphabet.from_strings(strings, min_count=n).symbols == "a"


def test_an_automatic_byte_fallback_is_there_where_something_was_cut():
    strings = ["aab"]
    assert not fc.Alphabet.from_strings(strings, byte_fallback="auto").byte_fallback
    assert not fc.Alphabet.from_strings(strings, max_symbols=2, byte_fallback="auto").byte_fallback
    assert fc.Alphabet.from_strings(strings, max_symbols=1, byte_fallback="auto").byte_fallback
    assert fc.Alphabet.from_strings(strings, min_count=2, byte_fallback="auto").byte_fallback
    assert fc.Alphabet.from_strings(strings, byte_fallback=True).byte_fallback


def test_bytes_alone_are_an_alphabet():
    alphabet = fc.Alphabet.from_strings(["ab"], max_symbols=0, byte_fallback="auto")
    assert alphabet.symbols == "" and len(alphabet) == 256
    assert alphabet.encode(["ab\u20ac"]).tolist() == [list("ab\u20ac".encode())]


@pytest.mark.parametrize(
    "limits, error, message",
    [
        ({"min_count": 2}, DataError, "from_strings: min_count=2 and max_symbols=None leave no characters"),
        ({"max_symbols": 0}, DataError, "from_strings: min_count=1 and max_symbols=0 leave no characters"),
        ({"min_count": 0}, RangeError, "from_strings: min_count: expected a positive integer, got 0"),
        ({"max_symbols": -1}, RangeError, "from_strings: max_symbols: expected an integer >= 0, got -1"),
        ({"byte_fallback": "never"}, DTypeError, "byte_fallback is True or False, got 'never'"),
    ],
    ids=str,
)
def test_limits_that_make_no_sense_are_refused(limits, error, message):
    with pytest.raises(error, match=message):
        fc.Alphabet.from_strings(["ab"], **limits)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_true_or_false(name):
    with pytest.raises(DTypeError, match=f"Alphabet: {name} is True or False, got 1"):
        fc.Alphabet("ab", **{name: 1})


def test_every_option_is_part_of_what_an_alphabet_is():
    alphabets = [fc.Alphabet("ab"), *(fc.Alphabet("ab", **{name: name != "lower"}) for name in OPTIONS)]
    assert len(set(alphabets)) == len(set(map(repr, alphabets))) == 6
    assert repr(fc.Alphabet("ab", markers=True)) == "Alphabet('ab', lower=True, markers=True)"
    assert fc.Alphabet("ab", lower=False, casefold=True) == fc.Alphabet("ab", casefold=True)


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


@pytest.mark.parametrize(
    "codes, least, most",
    [({}, 1, 32767), ({"markers": True}, 1, 32765), ({"byte_fallback": True, "markers": True}, 0, 32509)],
    ids=["symbols", "markers", "bytes"],
)
def test_markers_and_bytes_leave_room_for_fewer_symbols(codes, least, most):
    symbols = list(map(chr, range(0x10000, 0x10000 + most + 1)))
    assert len(fc.Alphabet(symbols[:-1], **codes)) == 32767
    with pytest.raises(RangeError, match=f"expected {least} to {most} symbols, got {most + 1}"):
        fc.Alphabet(symbols, **codes)


# Descriptions and copies


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(symbols=st.lists(st.sampled_from(CHARACTERS), min_size=1, unique=True), chosen=options)
def test_a_description_goes_through_json_and_gives_an_equal_alphabet(symbols, chosen):
    alphabet = fc.Alphabet(symbols, **chosen)
    assert fc.Alphabet.from_dict(json.loads(json.dumps(alphabet.to_dict()))) == alphabet


def test_two_surrogates_in_a_row_stay_two_symbols():
    alphabet = fc.Alphabet("\ud83d\ude00")
    assert fc.Alphabet.from_dict(json.loads(json.dumps(alphabet.to_dict()))).symbols == "\ud83d\ude00"


@pytest.mark.parametrize(
    "change, message",
    [
        (None, "from_dict: expected a dict, got NoneType"),
        ({}, "from_dict: expected the keys symbols, lower, .*got \\['symbols', 'lower'\\]"),
        ({"more": 1}, "from_dict: expected the keys symbols, lower, .*'more'"),
        ({"symbols": "ab"}, "from_dict: expected symbols to be a list of characters"),
        ({"symbols": ["ab"]}, "from_dict: expected symbols to be a list of characters"),
        ({"symbols": [1]}, "from_dict: expected symbols to be a list of characters"),
        ({"symbols": []}, "from_dict: Alphabet: expected 1 to 32767 symbols, got 0"),
        ({"symbols": ["a", "a"]}, "from_dict: Alphabet: the symbol 'a' stands in it twice"),
        ({"lower": 1}, "from_dict: Alphabet: lower is True or False, got 1"),
        ({"markers": None}, "from_dict: Alphabet: markers is True or False, got None"),
        ({"byte_fallback": "auto"}, "from_dict: Alphabet: byte_fallback is True or False, got 'auto'"),
        ({"lower": False, "casefold": True}, "from_dict: expected lower to be true with casefold"),
    ],
    ids=str,
)
def test_a_description_that_is_not_an_alphabet_s_is_refused(change, message):
    described = fc.Alphabet("ab").to_dict()
    if change is None:
        described = None
    elif not change:
        described = {name: described[name] for name in ("symbols", "lower")}
    else:
        described.update(change)
    with pytest.raises(ModelFormatError, match=message):
        fc.Alphabet.from_dict(described)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_are_equal_count_on_and_encode_alike(duplicate):
    alphabet = fc.Alphabet("a\u00e9", markers=True)
    encode_silently(alphabet, ["a?", "\u00c9\u00c9"], length=3)
    double = duplicate(alphabet)
    assert double == alphabet
    assert (double.unknown, double.truncated) == (1, 2)
    assert double.encode(["\u00c9a?"]).tolist() == alphabet.encode(["\u00c9a?"]).tolist() == [[2, 1, 0, -1, 3]]
    assert (double.unknown, alphabet.unknown) == (2, 2)


def test_a_pickle_is_as_small_as_the_symbols():
    assert len(pickle.dumps(fc.Alphabet("ab"))) < 500


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


def test_markers_are_the_codes_behind_the_symbols():
    alphabet = fc.Alphabet("ab", markers=True)
    assert len(alphabet) == 4
    assert alphabet.encode(["b", "", "ab"]).tolist() == [[2, 1, 3, -1], [2, 3, -1, -1], [2, 0, 1, 3]]


@pytest.mark.parametrize("keep, codes", [("start", [[3, 0, 1], [3, 0, 4]]), ("end", [[1, 2, 4], [3, 0, 4]])])
def test_markers_are_cut_with_the_rest(keep, codes):
    assert fc.Alphabet("abc", markers=True).encode(["abc", "a"], length=3, keep=keep).tolist() == codes


def test_bytes_have_the_last_256_codes():
    alphabet = fc.Alphabet("ab", byte_fallback=True)
    assert len(alphabet) == 258
    for string in ("\0", "z", "\x7f", "\x80", "\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff"):
        assert alphabet.encode(["a" + string]).tolist() == [[0, *(2 + byte for byte in string.encode())]]
    assert alphabet.encode(["\ud800"]).tolist() == [[2 + 0xED, 2 + 0xA0, 2 + 0x80]]
    assert alphabet.unknown == 0


def test_bytes_are_those_of_the_cleaned_string():
    alphabet = fc.Alphabet("a", byte_fallback=True)
    small = [1 + byte for byte in "z\u00e9\u0434".encode()]
    assert alphabet.encode(["Z\u00c9\u0414", "ze\u0301\u0434"]).tolist() == [small, small]


def test_lengths_are_the_codes_that_strings_need():
    strings = ["ab", "", "a\u20ac", "E\u0301\u0301"]
    assert fc.Alphabet("ab").lengths(strings).tolist() == [2, 0, 2, 2]
    assert fc.Alphabet("ab", markers=True).lengths(strings).tolist() == [4, 2, 4, 4]
    lengths = fc.Alphabet("ab", byte_fallback=True).lengths(strings)
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [2, 0, 4, 4]


def test_strings_that_are_cut_are_counted_in_silence():
    alphabet = fc.Alphabet("ab", markers=True)
    alphabet.encode(["a", "ab", "abb"], length=3)
    assert alphabet.truncated == 2
    alphabet.encode(["a", "ab"], length=3, keep="end")
    alphabet.encode(["abab"])
    assert alphabet.truncated == 3
    assert alphabet.unknown == 0


def test_no_strings_give_no_rows():
    alphabet = fc.Alphabet("ab")
    assert alphabet.encode([], length=5).shape == (0, 5)
    assert alphabet.encode([]).shape[0] == 0
    assert alphabet.encode([]).dtype == np.int16


def test_empty_strings_alone_have_at_least_one_position():
    assert fc.Alphabet("ab").encode(["", ""]).tolist() == [[-1], [-1]]


def test_a_string_of_which_nothing_is_left_is_empty():
    alphabet = fc.Alphabet("ab", strip_accents=True, markers=True)
    with pytest.raises(DataError, match="encode: string 1 is empty"):
        alphabet.encode(["a", "\u0301"], allow_empty=False, length=1)
    assert alphabet.truncated == 0


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


def test_the_warning_does_not_list_hundreds_of_symbols():
    symbols = "".join(map(chr, range(0x4E00, 0x4E00 + 81)))
    with pytest.warns(UnknownCharacterWarning, match="1 characters are outside the alphabet of 81 symbols"):
        fc.Alphabet(symbols).encode(["a"])


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
    with pytest.raises(DTypeError, match=f"lengths: element 2 is {name} .*expected str"):
        fc.Alphabet("ab").lengths(["a", "b", value, "a"])
    with pytest.raises(DTypeError, match=f"clean: expected a str, got {name}"):
        fc.Alphabet("ab").clean(value)


@pytest.mark.parametrize("strings", ["abc", b"abc", None, 3], ids=lambda value: type(value).__name__)
def test_one_string_is_not_a_list_of_strings(strings):
    name = type(strings).__name__
    with pytest.raises(DTypeError, match=f"encode: expected a list of strings, got {name}"):
        fc.Alphabet("abc").encode(strings)
    with pytest.raises(DTypeError, match=f"from_strings: expected a list of strings, got {name}"):
        fc.Alphabet.from_strings(strings)
    with pytest.raises(DTypeError, match=f"lengths: expected a list of strings, got {name}"):
        fc.Alphabet("abc").lengths(strings)


def test_numpy_strings_and_subclasses_of_str_are_strings():
    class Name(str):
        def lower(self):
            return None

    assert fc.Alphabet("ab").encode(np.array(["ab", "b"])).tolist() == [[0, 1], [1, -1]]
    assert fc.Alphabet("ab").encode([Name("AB")]).tolist() == [[0, 1]]
    assert fc.Alphabet("b\u00e9").encode([Name("\u00c9\u0301B"), Name("e\u0301")], 1).tolist() == [[1], [1]]
    assert fc.Alphabet.from_strings([Name("AB")]).symbols == "ab"


# Unicode


@pytest.mark.parametrize(
    "text",
    ["\U0001f600\U0010ffff", "\ud800\udfff", "a\0b", "x\u0301", "\u00e9", "\u5f20\u4f1f", "\u05d0\u05d1"],
    ids=["astral", "lone surrogates", "NUL", "combining", "Latin 1", "Chinese", "right to left"],
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


@pytest.mark.parametrize("typed", ["Dvo\u0159\u00e1k", "Dvor\u030ca\u0301k"], ids=["composed", "combining"])
def test_a_name_has_the_same_codes_however_its_accents_were_typed(typed):
    assert fc.Alphabet("adkorv\u00e1\u0159").encode([typed]).tolist() == [[1, 5, 3, 7, 6, 2]]
    assert fc.Alphabet("adkorv", strip_accents=True).encode([typed]).tolist() == [[1, 5, 3, 4, 0, 2]]


def test_case_folding_knows_more_pairs_than_lower_case():
    assert fc.Alphabet("aest", casefold=True).clean("STRA\u00dfE") == "strasse"
    assert fc.Alphabet("aest").clean("STRA\u00dfE") == "stra\u00dfe"
    assert fc.Alphabet("a", lower=False).clean("\u00c9") == "\u00c9"


def test_a_sigma_is_another_letter_at_the_end_of_a_word():
    name = "\u03a3\u0391\u03a3"
    assert fc.Alphabet("\u03b1\u03c2\u03c3").encode([name]).tolist() == [[2, 0, 1]]
    assert fc.Alphabet("\u03b1\u03c3", casefold=True).encode([name]).tolist() == [[1, 0, 1]]
    assert fc.Alphabet.from_strings([name, "\u0391"]).symbols == "\u03b1\u03c2\u03c3"


def test_lower_case_may_compose_what_upper_case_does_not():
    assert fc.Alphabet("a").clean("H\u0331") == "\u1e96"


def test_every_character_that_combines_with_what_is_in_front_of_it_is_known():
    composed = (unicodedata.decomposition(chr(point)) for point in range(sys.maxunicode + 1))
    seconds = {chr(int(pair.split()[1], 16)) for pair in composed if " " in pair and pair[0] != "<"}
    seconds.update(map(chr, [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]))
    assert not any(map(_stands_alone, seconds))
    assert not any(
        _stands_alone(chr(point)) for point in range(sys.maxunicode + 1) if unicodedata.combining(chr(point))
    )


def test_the_capital_sigma_alone_has_a_lower_case_that_depends_on_its_neighbours():
    characters = map(chr, range(sys.maxunicode + 1))
    assert [c for c in characters if ("a" + c).lower() != "a" + c.lower()] == ["\u03a3"]


def test_a_long_run_of_marks_is_cleaned_in_linear_time():
    marks = 500_000
    cleaned = fc.Alphabet("a").clean("A" + "\u0301\u0327" * marks + "B")
    assert cleaned == "\u00e1" + "\u0327" * marks + "\u0301" * (marks - 1) + "b"


@pytest.mark.parametrize("keep", ["start", "end"])
@pytest.mark.parametrize("character", ["a", "\u00e9", "e\u0301", "\0", "\U0001f600"], ids=ascii)
def test_a_huge_string_is_one_row(character, keep):
    alphabet = fc.Alphabet("a\u00e9", markers=True, byte_fallback=True)
    codes = alphabet.encode([character * 1_000_000], length=8, keep=keep)
    short = alphabet.encode([character * 8], length=8, keep=keep)
    assert codes.tolist() == short.tolist()


def test_the_default_length_holds_all_of_a_string_that_grows():
    name = "\u0130a"
    assert fc.Alphabet.from_strings([name]).encode([name]).tolist() == [[1, 2, 0]]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    strings=strings_of,
    symbols=st.lists(st.sampled_from(CHARACTERS), min_size=1, unique=True),
    length=st.integers(1, 10),
    keep=st.sampled_from(["start", "end"]),
    chosen=options,
)
def test_codes_are_those_of_the_twin(strings, symbols, length, keep, chosen):
    check_against_the_twin(fc.Alphabet(symbols, **chosen), strings, length, keep, chosen)


@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
@given(
    strings=st.lists(any_text, min_size=1, max_size=3),
    known=any_text,
    length=st.integers(1, 16),
    keep=st.sampled_from(["start", "end"]),
    chosen=options,
)
def test_codes_of_any_text_are_those_of_the_twin(strings, known, length, keep, chosen):
    symbols = sorted(set(cleaned(strings[0] + known + "a", **chosen)))
    check_against_the_twin(fc.Alphabet(symbols, **chosen), strings, length, keep, chosen)


def check_against_the_twin(alphabet, strings, length, keep, chosen):
    symbols, spread = list(alphabet.symbols), {name: chosen[name] for name in ("markers", "byte_fallback")}
    clean = [cleaned(string, **chosen) for string in strings]
    assert [alphabet.clean(string) for string in strings] == clean
    widths = [[len(c.encode("utf-8", "surrogatepass")) if c not in symbols else 1 for c in string] for string in clean]
    sizes = [(sum(row) if alphabet.byte_fallback else len(row)) + 2 * alphabet.markers for row in widths]
    for _ in range(2):  # characters met for the first time, and again
        alphabet.unknown = alphabet.truncated = 0
        codes = encode_silently(alphabet, strings, length, keep)
        np.testing.assert_array_equal(codes, kernels.encode(clean, symbols, length, keep, **spread), strict=True)
        assert alphabet.truncated == sum(size > length for size in sizes)
        padding = sum(max(length - size, 0) for size in sizes)
        assert alphabet.unknown == (codes < 0).sum() - padding
        assert codes.max(initial=-1) < len(alphabet)
    assert alphabet.lengths(strings).tolist() == sizes


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(strings=st.lists(any_text, min_size=1).filter(any), chosen=options)
def test_an_alphabet_knows_the_strings_that_it_was_made_from(strings, chosen):
    chosen["markers"] = False
    clean = [cleaned(string, **chosen) for string in strings]
    if not any(clean):
        return
    alphabet = fc.Alphabet.from_strings(strings, **chosen)
    assert alphabet.symbols == "".join(sorted(set("".join(clean))))
    codes = alphabet.encode(strings)
    assert ["".join(alphabet.symbols[code] for code in row if code >= 0) for row in codes] == clean
    assert alphabet.unknown == alphabet.truncated == 0


# The kernel


def tables():
    table = np.zeros(encoding.CODE_POINTS, np.int16)
    table[ord("a")], table[ord("b")] = 1, 2
    return table


@pytest.mark.parametrize(
    "strings, points, rows, message",
    [
        (["a"], encoding.CODE_POINTS, 2, "expected codes and sizes of 1 strings, got 2 and 2"),
        (["a"], 128, 1, "expected tables of 1114112, got 128 and 128"),
    ],
    ids=["rows", "tables"],
)
def test_the_kernel_refuses_arrays_that_do_not_fit(strings, points, rows, message):
    table, codes, sizes = tables()[:points], np.empty((rows, 2), np.int16), np.empty(rows, np.int64)
    with pytest.raises(ValueError, match=message):
        encoding.encode(strings, table, table, None, None, -1, -1, False, codes, sizes)


@pytest.mark.parametrize("change", [list.clear, lambda strings: strings.append("a")], ids=["shorter", "longer"])
def test_the_kernel_notices_a_list_that_changes_under_it(change):
    strings, table, codes, sizes = ["a", "\xe9", "a"], tables(), np.empty((3, 2), np.int16), np.empty(3, np.int64)
    with pytest.raises(ValueError, match="the list of strings changed while it was read"):
        encoding.encode(strings, table, table, lambda _: change(strings), str, -1, -1, False, codes, sizes)


def test_the_kernel_takes_nothing_but_strings_from_clean():
    table, codes, sizes = tables(), np.empty((1, 2), np.int16), np.empty(1, np.int64)
    with pytest.raises(TypeError, match="encode: expected clean to return a str, got bytes"):
        encoding.encode(["\xe9"], table, table, id, str.encode, -1, -1, False, codes, sizes)
