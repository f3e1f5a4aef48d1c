"""Model files: the safetensors layout with this library's description in the header; never pickle.

A file is an unsigned 64-bit little-endian header size, the header (JSON), and the arrays, back to back. Everything in
the header is checked before an array is allocated.

References
----------
The safetensors format, version 0.4.
"""

import json
import os
from math import prod

import numpy as np

from fastconv.errors import DataError, ModelFormatError
from fastconv.files import write_atomically

VERSION = 1
HEADER_LIMIT = 1 << 20
DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "U8": np.dtype("u1")}


def write(path, arrays, description):
    """Write named arrays and a description (of JSON's types) to a file, atomically.

    Parameters
    ----------
    path : str or path-like
    arrays : dict of str to array
        float32, float64 or uint8.
    description : dict
    """
    header, offset, blocks = {"__metadata__": {"fastconv": str(VERSION), "description": json.dumps(description)}}, 0, []
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


def read(path):
    """Return the arrays and the description of a model file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    arrays : dict of str to array
    description : dict

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
            header = json.loads(file.read(length).decode(), object_pairs_hook=_no_repeats)
            metadata = header.pop("__metadata__")
            version, description = int(metadata["fastconv"]), json.loads(metadata["description"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ModelFormatError(f"{path}: not a model file: {error!r}") from None
        if version != VERSION:
            raise ModelFormatError(f"{path}: format version {version}, this release reads version {VERSION}")
        if not isinstance(description, dict):
            raise ModelFormatError(f"{path}: the description is not an object")
        plan, end = [], 0
        for name, entry in header.items():
            try:
                dtype, shape, (start, stop) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
                whole = type(shape) is list and len(shape) <= 8 and all(type(n) is int and n > 0 for n in shape)
                whole = whole and type(start) is int and type(stop) is int
            except (ValueError, KeyError, TypeError) as error:
                raise ModelFormatError(f"{path}: the entry {name!r} is damaged: {error!r}") from None
            if not whole or start != end or stop - start != prod(shape) * dtype.itemsize or len(entry) != 3:
                raise ModelFormatError(f"{path}: the entry {name!r} does not fit the data before it")
            plan.append((name, dtype, shape))
            end = stop
        if 8 + length + end != size:
            raise ModelFormatError(f"{path}: {size} bytes, the header describes {8 + length + end}")
        arrays = {
            name: np.frombuffer(file.read(prod(shape) * dtype.itemsize), dtype)
            .reshape(shape)
            .astype(dtype.newbyteorder("="))
            for name, dtype, shape in plan
        }
    return arrays, description


def _no_repeats(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
