"""Alphabets: from strings to codes."""

import warnings

import numpy as np

from fastconv.errors import DataError, DTypeError, RangeError
from fastconv.kernels.encode import encode


class UnknownCharacterWarning(UserWarning):
    """Strings held characters that are not in the alphabet."""


class Alphabet:
    """An ordered set of characters; a character's code is its index.

    Parameters
    ----------
    symbols : str or iterable of str
        The characters, each once; at most 32,767.
    lower : bool
        Lower-case strings before they are encoded.

    Attributes
    ----------
    symbols : str
        The characters in the order of their codes.
    unknown : int
        Characters outside the alphabet met so far by :meth:`encode`.

    Examples
    --------
    >>> import fastconv as fc
    >>> alphabet = fc.Alphabet("abc")
    >>> alphabet.encode(["Cab", "b"], length=4)
    array([[ 2,  0,  1, -1],
           [ 1, -1, -1, -1]], dtype=int16)
    """

    def __init__(self, symbols, lower=True):
        symbols = "".join(symbols)
        if not 1 <= len(symbols) <= np.iinfo(np.int16).max:
            raise RangeError(f"Alphabet: expected 1 to 32767 symbols, got {len(symbols)}")
        if len(set(symbols)) != len(symbols):
            twice = next(s for i, s in enumerate(symbols) if s in symbols[:i])
            raise RangeError(f"Alphabet: the symbol {twice!r} stands in it twice")
        self.symbols = symbols
        self.lower = bool(lower)
        self.unknown = 0
        points = np.fromiter(map(ord, symbols), np.int64, len(symbols))
        self._table = np.full(points.max() + 1, -1, np.int16)
        self._table[points] = np.arange(len(symbols))
        self._told = False

    @classmethod
    def from_strings(cls, strings, lower=True):
        """Return the alphabet of the characters that occur in `strings`, in the order of their code points.

        Parameters
        ----------
        strings : iterable of str
        lower : bool
            Lower-case the strings, here and when they are encoded.

        Raises
        ------
        DTypeError
            If an element is not a str; its position is named.
        DataError
            If there is no character at all.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.Alphabet.from_strings(["Li", "O'Neil"]).symbols
        "'eilno"
        """
        found = set()
        for i, string in enumerate(_string_list("from_strings", strings)):
            if not isinstance(string, str):
                raise _not_a_string("from_strings", i, string)
            found.update(string.lower() if lower else string)
        if not found:
            raise DataError("from_strings: the strings hold no characters")
        return cls("".join(sorted(found)), lower)

    def __len__(self):
        return len(self.symbols)

    def __eq__(self, other):
        return isinstance(other, Alphabet) and (self.symbols, self.lower) == (other.symbols, other.lower)

    def __hash__(self):
        return hash((self.symbols, self.lower))

    def __repr__(self):
        return f"Alphabet({self.symbols!r}, lower={self.lower})"

    def encode(self, strings, length=None, keep="start", allow_empty=True):
        """Return the codes of `strings`.

        Parameters
        ----------
        strings : sequence of str
        length : int, optional
            Characters of a row; by default those of the longest string.
        keep : {"start", "end"}
            Which part of a longer string is kept.
        allow_empty : bool
            Whether an empty string is all padding or an error.

        Returns
        -------
        codes : (N, length) int16
            -1 behind the end of a string and for characters outside the alphabet; those are counted in
            :attr:`unknown`, and a warning tells of them the first time.

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
            length = max((len(s.lower() if self.lower else s) for s in strings if isinstance(s, str)), default=1) or 1
        if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
            raise RangeError(f"encode: length is a positive integer, got {length!r}")
        if not allow_empty:
            for i, string in enumerate(strings):
                if string == "":
                    raise DataError(f"encode: string {i} is empty")
        codes = np.empty((len(strings), int(length)), np.int16)
        position, unknown = encode(strings, self._table, self.lower, keep == "end", codes)
        if position >= 0:
            raise _not_a_string("encode", position, strings[position])
        self.unknown += unknown
        if unknown and not self._told:
            self._told = True
            warnings.warn(
                f"{unknown} characters are outside the alphabet {self.symbols!r} and count as no character",
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
