"""Model files: the safetensors layout with this library's description in the header; never pickle.

A file is an unsigned 64-bit little-endian header size, the header (JSON), and the arrays, back to back. Everything in
the header is checked before an array is allocated: its size, that its keys are known and none stands twice, that its
numbers are finite, and that the arrays fill the file without holes or overlaps.

References
----------
The safetensors format, version 0.4.
"""

import json
import os
from math import isfinite, prod

import numpy as np

from fastconv.errors import DataError, DTypeError, ModelFormatError
from fastconv.files import write_atomically

VERSION = 1
HEADER_LIMIT = 1 << 20
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "U8": np.dtype("u1")}
MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What reading a description that is not what it should be raises."""


def write(path, arrays, description):
    """Write named arrays and a description (of JSON's types) to a file, atomically.

    Parameters
    ----------
    path : str or path-like
    arrays : dict of str to array
        float32, float64 or uint8.
    description : dict

    Raises
    ------
    DTypeError
        If JSON cannot say the description.
    DataError
        If the header would be longer than a reader takes.
    """
    try:
        text = json.dumps(description)
        _parse(text)
    except MALFORMED as error:
        raise DTypeError(f"{path}: expected a description of JSON's types and finite numbers: {error}") from None
    header, offset, blocks = {"__metadata__": {"fastconv": str(VERSION), "description": text}}, 0, []
    for name, array in arrays.items():
        tag = next(tag for tag, dtype in DTYPES.items() if dtype.newbyteorder("=") == array.dtype)
        blocks.append(np.ascontiguousarray(array, DTYPES[tag]).tobytes())
        end = offset + len(blocks[-1])
        header[name] = {"dtype": tag, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise DataError(f"{path}: the description is longer than {HEADER_LIMIT} bytes")
    write_atomically(path, b"".join([len(text).to_bytes(8, "little"), text, *blocks]))


def read(path, accept=None):
    """Return the arrays and the description of a model file.

    Parameters
    ----------
    path : str or path-like
    accept : callable, optional
        Called with the description and each array's dtype and shape, by name, before memory for the arrays is taken.
        It raises an error of :data:`MALFORMED` if it finds fault with them; what it returns stands in for the
        description.

    Returns
    -------
    arrays : dict of str to array
    description : dict
        Or what `accept` returned.

    Raises
    ------
    ModelFormatError
        If the file is not a model file of this library, or is damaged.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > HEADER_LIMIT or 8 + length > size:
            raise ModelFormatError(f"{path}: not a model file")
        try:
            header = _parse(file.read(length).decode())
            metadata = header.pop("__metadata__")
            version = metadata.pop("fastconv")
            if not version.isdecimal():
                raise ValueError(f"its version is {version!r:.40}")
        except MALFORMED as error:
            raise ModelFormatError(f"{path}: not a model file: {error!r:.400}") from None
        if version != str(VERSION):
            raise ModelFormatError(f"{path}: format version {version:.40}, this release reads version {VERSION}")
        try:
            description = _parse(metadata.pop("description"))
            check_keys("the metadata", metadata)
            if not isinstance(description, dict):
                raise TypeError("it is not an object")
            layout = _layout(header, size - 8 - length)
            if accept:
                shapes = {name: (dtype.newbyteorder("="), shape) for name, dtype, shape in layout}
                description = accept(description, shapes)
        except ModelFormatError as error:
            raise ModelFormatError(f"{path}: {error}") from None
        except MALFORMED as error:
            raise ModelFormatError(f"{path}: the description is damaged: {error!r:.400}") from None
        arrays = {
            name: np.frombuffer(file.read(prod(shape) * dtype.itemsize), dtype)
            .reshape(shape)
            .astype(dtype.newbyteorder("="))
            for name, dtype, shape in layout
        }
    return arrays, description


def check_keys(name, found, *known):
    """Raise ValueError if an object of the header holds keys that are not known.

    Examples
    --------
    >>> from fastconv.modelfile import check_keys
    >>> check_keys("the input", {"n": 3, "colour": "red"}, "n", "type")
    Traceback (most recent call last):
    ValueError: the input: unknown keys ['colour']
    """
    if unknown := sorted(found.keys() - set(known)):
        raise ValueError(f"{name}: unknown keys {unknown}")


def _layout(header, size):
    """Return name, dtype and shape of each array as they lie in the `size` bytes behind the header."""
    layout, end = [], 0
    for name, entry in header.items():
        whole = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
        whole = whole and entry["dtype"] in [*DTYPES] and _integers(entry["shape"]) and _integers(entry["data_offsets"])
        shape, offsets = (entry["shape"], entry["data_offsets"]) if whole else ([], [])
        if len(offsets) != 2 or len(shape) > 8 or min(shape, default=1) < 1:
            raise ValueError(f"the entry {name!r} is damaged")
        layout.append((*offsets, name, DTYPES[entry["dtype"]], shape))
    layout.sort(key=lambda place: place[:2])
    for start, stop, name, dtype, shape in layout:
        if start != end or stop - start != prod(shape) * dtype.itemsize:
            raise ValueError(f"the entry {name!r} does not fit the data before it")
        end = stop
    if end != size:
        raise ValueError(f"{size} bytes, the header describes {end}")
    return [place[2:] for place in layout]


def _integers(value):
    return type(value) is list and all(type(n) is int for n in value)


def _parse(text):
    """Return what a JSON text says: no key twice, and finite numbers only."""
    return json.loads(text, object_pairs_hook=_no_repeats, parse_float=_finite, parse_constant=_finite)


def _finite(text):
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _no_repeats(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
