"""Alphabets: from strings to codes."""

import re
import unicodedata
import warnings
from collections import Counter
from itertools import groupby

import numpy as np

from fastconv.arrays import positive, whole
from fastconv.errors import DataError, DTypeError, ModelFormatError, RangeError
from fastconv.kernels import encode as encoding

OPTIONS = ("lower", "casefold", "strip_accents", "markers", "byte_fallback")
BLOCK = 10_000
"""Strings that are cleaned at a time."""
COMPOSING = re.compile("[\u1161-\u1175\u11a8-\u11c2\U00016d67]")
"""The letters that combine with what is in front of them: vowels and finals of Hangul, a vowel of Kirat Rai."""
LONG = 1000
MARKS = re.compile(rf"[^\w\n]{{{LONG}}}")
"""Where there may be a long run of combining marks."""


class UnknownCharacterWarning(UserWarning):
    """Strings held characters that are not in the alphabet."""


class Alphabet:
    """An ordered set of characters; a character's code is its index.

    Strings are cleaned first: Unicode's normal form C, so that a letter and its accent are one character however they
    were typed, and what the options say.

    Parameters
    ----------
    symbols : str or iterable of str
        The characters, each once, as they stand in cleaned strings. There are at most 32,767 codes in all.
    lower : bool
        Lower-case strings.
    casefold : bool
        Fold their case instead, which knows more pairs: "ß" is "ss".
    strip_accents : bool
        Drop combining marks (characters of a combining class other than 0): "é" is "e".
    markers : bool
        Put a code in front of each string and another one behind it.
    byte_fallback : bool
        Encode a character outside the alphabet as the bytes of its UTF-8, of a code each.

    Attributes
    ----------
    symbols : str
        The characters in the order of their codes. Markers have the next two codes, bytes the 256 behind.
    unknown : int
        Characters outside the alphabet met so far by :meth:`encode`.
    truncated : int
        Strings that :meth:`encode` has cut so far.

    Raises
    ------
    RangeError
        If a symbol stands twice, or there are no symbols or too many.
    DTypeError
        If an option is not a bool.

    References
    ----------
    Unicode Standard Annex 15, "Unicode normalization forms".

    Examples
    --------
    >>> import fastconv as fc
    >>> alphabet = fc.Alphabet("abc")
    >>> alphabet.encode(["Cab", "b"], length=4)
    array([[ 2,  0,  1, -1],
           [ 1, -1, -1, -1]], dtype=int16)
    >>> alphabet = fc.Alphabet("abc", strip_accents=True, markers=True)
    >>> len(alphabet), alphabet.encode(["Áb"]).tolist()
    (5, [[3, 0, 1, 4]])
    """

    def __init__(self, symbols, lower=True, casefold=False, strip_accents=False, markers=False, byte_fallback=False):
        for name, value in zip(OPTIONS, (lower, casefold, strip_accents, markers, byte_fallback), strict=True):
            if not isinstance(value, (bool, np.bool_)):
                raise DTypeError(f"Alphabet: {name} is True or False, got {value!r}")
            setattr(self, name, bool(value))
        self.lower |= self.casefold
        self.symbols = symbols = "".join(symbols)
        least, most = 1 - self.byte_fallback, np.iinfo(np.int16).max - 2 * self.markers - 256 * self.byte_fallback
        if not least <= len(symbols) <= most:
            raise RangeError(f"Alphabet: expected {least} to {most} symbols, got {len(symbols)}")
        if len(set(symbols)) != len(symbols):
            twice = next(s for i, s in enumerate(symbols) if s in symbols[:i])
            raise RangeError(f"Alphabet: the symbol {twice!r} stands in it twice")
        self.unknown = self.truncated = 0
        self._told = False
        self._make_tables()

    def _make_tables(self):
        """Make the kernel's tables; zeros take memory where they are overwritten only."""
        self._exact, self._table = np.zeros((2, encoding.CODE_POINTS), np.int16)
        ascii_range = np.arange(128)
        if self.byte_fallback:
            self._exact[:128] = self._first_byte + ascii_range + 1
        self._exact[list(map(ord, self.symbols))] = np.arange(1, len(self.symbols) + 1)
        cleaned = [ord(chr(point).lower()) for point in range(128)] if self.lower else ascii_range
        self._table[:128] = self._exact[cleaned]
        self._table[:128][self._table[:128] == 0] = encoding.OUTSIDE

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("_exact", "_table")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._make_tables()

    @classmethod
    def from_strings(
        cls,
        strings,
        lower=True,
        casefold=False,
        strip_accents=False,
        markers=False,
        max_symbols=None,
        min_count=1,
        byte_fallback=False,
    ):
        """Return the alphabet of the characters that occur in `strings`, in the order of their code points.

        Parameters
        ----------
        strings : iterable of str
        lower, casefold, strip_accents, markers : bool
            As of :class:`Alphabet`: how the strings are cleaned, here and when they are encoded, and marked.
        max_symbols : int, optional
            Of more characters keep the most frequent; of equally frequent ones the smaller code points.
        min_count : int
            Leave out characters that occur less often.
        byte_fallback : bool or "auto"
            As of :class:`Alphabet`. "auto": where a character was left out.

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named. If an option is of the wrong type.
        DataError
            If there is no character at all, or none is left and there is no byte fallback.
        RangeError
            If `min_count` is not positive, or `max_symbols` is negative.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Alphabet.from_strings(["Li", "O'Neil"]).symbols
        "'eilno"
        >>> fc.Alphabet.from_strings(["Li", "O'Neil"], max_symbols=2, byte_fallback="auto")
        Alphabet('il', lower=True, byte_fallback=True)
        """
        strings = _string_list("from_strings", strings)
        max_symbols = None if max_symbols is None else whole("from_strings: max_symbols", max_symbols)
        min_count = positive("from_strings: min_count", min_count)
        cleaner = cls("", lower, casefold, strip_accents, byte_fallback=True)
        counts = Counter()
        for start in range(0, len(strings), BLOCK):
            block = strings[start : start + BLOCK]
            try:
                text = "\n".join(block)  # nothing combines with a line's end
            except TypeError:
                position = next(i for i, string in enumerate(block) if not isinstance(string, str))
                raise _not_a_string("from_strings", start + position, block[position]) from None
            counts.update(cleaner.clean(text))
            counts["\n"] -= len(block) - 1
        counts = +counts
        if not counts:
            raise DataError("from_strings: the strings hold no characters")
        kept = [symbol for symbol, count in counts.items() if count >= min_count]
        if max_symbols is not None and len(kept) > max_symbols:
            kept = sorted(kept, key=lambda symbol: (-counts[symbol], symbol))[:max_symbols]
        if byte_fallback == "auto":
            byte_fallback = len(kept) < len(counts)
        if not kept and not byte_fallback:
            raise DataError(f"from_strings: min_count={min_count} and max_symbols={max_symbols} leave no characters")
        return cls("".join(sorted(kept)), lower, casefold, strip_accents, markers, byte_fallback)

    @classmethod
    def from_dict(cls, described):
        """Return the alphabet that :meth:`to_dict` described.

        Parameters
        ----------
        described : dict

        Raises
        ------
        ModelFormatError
            If keys are missing or unknown, or values are not what an alphabet has.
        """
        if not isinstance(described, dict):
            raise ModelFormatError(f"from_dict: expected a dict, got {type(described).__name__}")
        if described.keys() != {"symbols", *OPTIONS}:
            raise ModelFormatError(f"from_dict: expected the keys symbols, {', '.join(OPTIONS)}, got {[*described]}")
        symbols = described["symbols"]
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) and len(symbol) == 1 for symbol in symbols):
            raise ModelFormatError("from_dict: expected symbols to be a list of characters")
        if described["casefold"] and not described["lower"]:
            raise ModelFormatError("from_dict: expected lower to be true with casefold, got false")
        try:
            return cls(**described)
        except (DTypeError, RangeError) as error:
            raise ModelFormatError(f"from_dict: {error}") from None

    def to_dict(self):
        """Return all that :meth:`from_dict` needs, of JSON's types.

        Symbols are a list, for JSON would make one character of two surrogates in a row.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Alphabet("ab", markers=True).to_dict()  # doctest: +NORMALIZE_WHITESPACE
        {'symbols': ['a', 'b'], 'lower': True, 'casefold': False, 'strip_accents': False, 'markers': True,
         'byte_fallback': False}
        """
        return {"symbols": list(self.symbols), **{name: getattr(self, name) for name in OPTIONS}}

    @property
    def _identity(self):
        return (self.symbols, *(getattr(self, name) for name in OPTIONS))

    @property
    def _marker(self):
        return len(self.symbols) if self.markers else -1

    @property
    def _first_byte(self):
        return len(self.symbols) + 2 * self.markers if self.byte_fallback else -1

    def __len__(self):
        return len(self.symbols) + 2 * self.markers + 256 * self.byte_fallback

    def __eq__(self, other):
        return isinstance(other, Alphabet) and self._identity == other._identity

    def __hash__(self):
        return hash(self._identity)

    def __repr__(self):
        more = "".join(f", {name}=True" for name in OPTIONS[1:] if getattr(self, name))
        return f"Alphabet({self.symbols!r}, lower={self.lower}{more})"

    def clean(self, string):
        """Return a string as its characters are looked up.

        Parameters
        ----------
        string : str

        Returns
        -------
        str
            In normal form C, with its case and accents as the alphabet's options say.

        Raises
        ------
        DTypeError
            If `string` is not a str.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Alphabet("a", strip_accents=True).clean("Dvo\u0159\xe1k")
        'dvorak'
        """
        if not isinstance(string, str):
            raise DTypeError(f"clean: expected a str, got {type(string).__name__}")
        string = _normalize("NFC", string)
        if self.casefold:
            string = str.casefold(string)
        elif self.lower:
            string = str.lower(string)
        if self.strip_accents and not string.isascii():
            string = "".join(c for c in _normalize("NFD", string) if not unicodedata.combining(c))
        return _normalize("NFC", string)

    def _settle(self, character):
        """Give a character its entry of the table, if that does not depend on the characters around it."""
        cleaned = self.clean(character)
        entry = encoding.CLEAN
        if len(cleaned) == 1 and _stands_alone(character) and _stands_alone(cleaned):
            entry = self._exact[ord(cleaned)] or encoding.OUTSIDE
        if character == "Σ" and self.lower and not self.casefold:  # another letter at the end of a word
            entry = encoding.CLEAN
        if entry == encoding.OUTSIDE and self.byte_fallback and cleaned != character:
            entry = encoding.CLEAN
        self._table[ord(character)] = entry

    def lengths(self, strings):
        """Return how many codes each string needs, markers and bytes included, (N,) int64.

        Parameters
        ----------
        strings : sequence of str

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Alphabet("ab", markers=True).lengths(["ab", ""])
        array([4, 2])
        """
        return self._run("lengths", _string_list("lengths", strings), 0)[1]

    def _run(self, function, strings, length, keep_end=False):
        """Return the codes, the sizes and the number of unknown characters of a list of strings."""
        codes, sizes = np.empty((len(strings), length), np.int16), np.empty(len(strings), np.int64)
        position, unknown = encoding.encode(
            strings, self._table, self._exact, self._settle, self.clean, self._marker, self._first_byte, keep_end,
            codes, sizes,
        )  # fmt: skip
        if position >= 0:
            raise _not_a_string(function, position, strings[position])
        return codes, sizes, unknown

    def encode(self, strings, length=None, keep="start", allow_empty=True, warn=True):
        """Return the codes of `strings`.

        Parameters
        ----------
        strings : sequence of str
        length : int, optional
            Codes of a row; by default those of the longest string.
        keep : {"start", "end"}
            Which part of longer codes is kept, markers included.
        allow_empty : bool
            Whether a string without characters, once it is cleaned, is encoded or an error.
        warn : bool
            Whether the first characters outside the alphabet are told of.

        Returns
        -------
        codes : (N, length) int16
            -1 behind the end of a string and for characters outside the alphabet; those are counted in
            :attr:`unknown`, and a warning tells of them the first time, if `warn`. Strings that were cut are counted in
            :attr:`truncated`.

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        DataError
            If a string is empty and `allow_empty` is false.
        RangeError
            If `length` is not positive or `keep` is unknown.
        """
        strings = _string_list("encode", strings)
        if keep not in ("start", "end"):
            raise RangeError(f"encode: keep is 'start' or 'end', got {keep!r}")
        if length is None:
            length = int(self._run("encode", strings, 0)[1].max(initial=1))
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
            raise RangeError(f"encode: length is a positive integer, got {length!r}")
        codes, sizes, unknown = self._run("encode", strings, int(length), keep == "end")
        if not allow_empty and (sizes == 2 * self.markers).any():
            raise DataError(f"encode: string {sizes.argmin()} is empty")
        self.unknown += unknown
        self.truncated += int(np.count_nonzero(sizes > length))
        if unknown and warn and not self._told:
            self._told = True
            shown = repr(self.symbols) if len(self.symbols) <= 80 else f"of {len(self.symbols)} symbols"
            warnings.warn(
                f"{unknown} characters are outside the alphabet {shown} and count as no character",
                UnknownCharacterWarning,
                stacklevel=2,
            )
        return codes


def _string_list(function, strings):
    if isinstance(strings, (str, bytes)) or not hasattr(strings, "__iter__"):
        raise DTypeError(f"{function}: expected a list of strings, got {type(strings).__name__}")
    return strings if isinstance(strings, list) else list(strings)


def _not_a_string(function, position, value):
    return DTypeError(f"{function}: element {position} is {type(value).__name__} ({value!r}), expected str")


def _normalize(form, string):
    """Return the normal form of a string, in linear time for any run of combining marks."""
    if string.isascii():
        return string
    if len(string) >= LONG and MARKS.search(string):  # unicodedata would sort the run by insertion
        characters = "".join(unicodedata.normalize("NFD", character) for character in string)
        runs = groupby(characters, key=lambda character: unicodedata.combining(character) > 0)
        string = "".join(c for marks, run in runs for c in (sorted(run, key=unicodedata.combining) if marks else run))
    return unicodedata.normalize(form, string)


def _stands_alone(character):
    """Whether a character never combines with what is in front of it: no mark, no vowel or final of Hangul."""
    first = unicodedata.normalize("NFD", character)[0]
    return unicodedata.category(first)[0] != "M" and not COMPOSING.match(first)
