"""Pickles that hold data, read without unpickling: nothing is imported, called or built, whatever the file says."""

import pickletools
from dataclasses import dataclass

import numpy as np

from fastconv.errors import DataError

VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NAMES = {
    "numpy.ndarray", "numpy.dtype", "_codecs.encode",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer",
}  # fmt: skip
"""What a pickle of an array names: by Python 2 and 3, by NumPy 1 and 2, with each protocol."""


@dataclass(frozen=True)
class Name:
    """A name that a pickle wants to import."""

    name: str


@dataclass
class Call:
    """A call that a pickle asks for, noted instead of made, and the state that it gives to the result."""

    name: str
    arguments: tuple
    state: object = None


def read(content):
    """Return what a pickle holds.

    Parameters
    ----------
    content : bytes
        A pickle of protocol 2 or later, by Python 2 or 3.

    Returns
    -------
    object
        Of int, bool, None, str (Python 2's bytes as Latin-1), bytes, list, tuple and dict with keys of str and bytes;
        an array is a :class:`Call`, for :func:`uint8_array`.

    Raises
    ------
    DataError
        If it is damaged, or holds anything else.

    Examples
    --------
    >>> import pickle
    >>> from fastconv.datasets import pickles
    >>> pickles.read(pickle.dumps({"labels": [6, 9]}))
    {'labels': [6, 9]}
    >>> pickles.read(pickle.dumps(eval))
    Traceback (most recent call last):
        ...
    fastconv.errors.DataError: the pickle names builtins.eval, which no array needs
    """
    try:
        return _interpret(content)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, DeprecationWarning) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the pickle is damaged: {error!r}") from None


def _interpret(content):
    stack, marks, memo = [], [], {}

    def since_mark():
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, value, _ in pickletools.genops(content):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case name if name in VALUES:
                stack.append(value)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(opcode.name[-1]) :] = [tuple(stack[-int(opcode.name[-1]) :])]
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                key, item = stack.pop(-2), stack.pop()
                stack[-1].update({_key(key): item})
            case "SETITEMS":
                items = since_mark()
                stack[-1].update(zip(map(_key, items[::2]), items[1::2], strict=True))
            case "GLOBAL":
                stack.append(_allowed(value.replace(" ", ".")))
            case "STACK_GLOBAL":
                stack[-2:] = [_allowed(".".join(stack[-2:]))]
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop().name
                if name == "_codecs.encode":  # how Python 3 writes bytes with protocol 2
                    stack.append(arguments[0].encode("latin-1"))
                else:
                    stack.append(Call(name, arguments))
            case "BUILD":
                state = stack.pop()
                stack[-1].state = state
            case "STOP":
                return stack.pop()
            case name:
                raise DataError(f"the pickle has the opcode {name}, which no array needs")


def _allowed(name):
    if name not in NAMES:
        raise DataError(f"the pickle names {name}, which no array needs")
    return Name(name)


def _key(key):
    if not isinstance(key, (str, bytes)):
        raise DataError(f"the pickle has a dict with a key of {type(key).__name__}")
    return key


def uint8_array(value):
    """Return the array of bytes that a :class:`Call` describes, or raise DataError if it describes another thing.

    Examples
    --------
    >>> import pickle
    >>> import numpy as np
    >>> from fastconv.datasets import pickles
    >>> pickles.uint8_array(pickles.read(pickle.dumps(np.array([[1, 2]], np.uint8))))
    array([[1, 2]], dtype=uint8)
    """
    match value:
        case Call(_, _, (1, tuple(shape), Call("numpy.dtype", ("u1" | b"u1", *_)), bool(fortran), raw)):
            order = "F" if fortran else "C"
        case Call(_, (raw, Call("numpy.dtype", ("u1" | b"u1", *_)), tuple(shape), "C" | "F" as order)):
            pass
        case _:
            raise DataError("the pickle holds something else than an array of uint8")
    try:
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw
        return np.frombuffer(raw, np.uint8).reshape(shape, order=order)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"the pickle holds a damaged array: {error}") from None
