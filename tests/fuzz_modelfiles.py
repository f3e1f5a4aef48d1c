"""Fuzzing of model files: golden files with something changed, each of which is refused or loads to a sound network.

    python tests/fuzz_modelfiles.py --seconds 60 --seed 0

Without --seconds it goes on until Ctrl-C. A file that does anything else is kept, and the exit status is 1. The tests
try a few thousand of these files.
"""

import argparse
import collections
import contextlib
import copy
import json
import math
import random
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

import fastconv as fc
from fastconv.errors import ModelFormatError
from fastconv.network import layer_shapes

GOLDEN = Path(__file__).parent / "golden"
MARK, KEY = "\1value", "\1key"
JUNK = [
    "null", "true", "-1", "0", "1", "2", "3", "7", "0.5", "-0.0", "1e308", "1e999", "-1e999", "NaN", "Infinity",
    "2147483648", "4611686018427387904", "9223372036854775807", "1" + "0" * 30, "1" + "0" * 4290, "9" * 5000, '""',
    '"\\ud800"', '"\\u0000"', '"\ud800"', '"Dense"', '"ReLU"', '"GlobalMaxPool1D"', '"ImageInput"', '"same"',
    '"float64"', '"f4"', '"F64"', '"U8"', '"1"', '"2"', "[]", "[3]", "[1, 2]", "[0, 4]", "[[1]]", "{}",
    '{"type": "ReLU"}', '{"type": "BatchNorm"}', "[" * 500 + "]" * 500, "[" * 100_000, "{", "",
]  # fmt: skip
BYTES = b'0123456789-.eE"{}[],: \\'


def golden():
    """Return the contents of the golden files."""
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.safetensors"))]


def header_end(content):
    """Return where the header says that the data begin, or the end of the content."""
    return min(8 + int.from_bytes(content[:8], "little"), len(content))


def assemble(text, data):
    """Return a file of a header's text and data."""
    text = text.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data


def _places(tree):
    """Yield (object or list, key or index) of every part of a JSON value."""
    for key, part in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(part, (dict, list)):
            yield from _places(part)


def edit(rng, text):
    """Return a JSON text with something replaced, taken from elsewhere, left out or put in."""
    tree = json.loads(text)
    places = list(_places(tree))
    (within, key), (elsewhere, other) = rng.choice(places), rng.choice(places)
    kind = rng.randrange(5)
    if kind < 2:
        within[key] = MARK
    elif kind == 2:
        within[key] = copy.deepcopy(elsewhere[other])
    elif kind == 3:
        del within[key]
    elif isinstance(within, list):
        within.insert(key, MARK)
    else:
        within[KEY] = MARK
    new = str(rng.choice([key, other, "extra"]))
    return json.dumps(tree).replace(json.dumps(KEY), json.dumps(new)).replace(json.dumps(MARK), rng.choice(JUNK))


def edit_header(rng, content, other):
    """Change the header, or the description in it."""
    end = header_end(content)
    text, data = content[8:end].decode(), content[end:]
    if rng.random() < 0.4:
        return assemble(edit(rng, text), data)
    header = json.loads(text)
    described = header["__metadata__"]["description"]
    for _ in range(rng.choice([1, 1, 2])):
        try:
            described = edit(rng, described)
        except (ValueError, RecursionError):  # no longer JSON after the first change
            break
    header["__metadata__"]["description"] = described
    return assemble(json.dumps(header), data)


def flip_bits(rng, content, other):
    """Flip bits, of the header, of the data or anywhere."""
    changed, end = bytearray(content), header_end(content)
    first, last = rng.choice([(0, end), (end, len(content)), (0, len(content))])
    for _ in range(rng.choice([1, 1, 2, 8])):
        if first < last:
            changed[rng.randrange(first, last)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng, content, other):
    """Put other characters, most with a meaning in JSON, into the header."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(header_end(content))] = rng.choice([*BYTES, rng.randrange(256)])
    return bytes(changed)


def cut(rng, content, other):
    """Leave the end or a part of the middle out."""
    first = rng.randrange(len(content))
    return content[:first] + rng.choice([b"", content[rng.randrange(first, len(content)) :]])


def insert(rng, content, other):
    """Put bytes in: any, zeros, or some of the file's own a second time."""
    at, first = rng.randrange(len(content) + 1), rng.randrange(len(content))
    size = rng.choice([1, 4, 8, 64])
    return content[:at] + rng.choice([rng.randbytes(size), bytes(size), content[first : first + size]]) + content[at:]


def splice(rng, content, other):
    """Join the beginning of a file and the end of another, cut anywhere or behind the header."""
    here, there = header_end(content), header_end(other)
    if rng.random() < 0.5:
        here, there = rng.randrange(len(content) + 1), rng.randrange(len(other) + 1)
    return content[:here] + other[there:]


def replace(rng, content, other):
    """Take random bytes, behind a header's size that may be right."""
    junk = rng.randbytes(rng.randrange(300))
    return rng.choice([b"", len(junk).to_bytes(8, "little"), rng.randbytes(8)]) + junk


CHANGES = (edit_header, flip_bits, overwrite, cut, insert, splice, replace)


def mutate(rng, files):
    """Return a file with one to three changes; half of the files have nothing but a changed header."""
    content = rng.choice(files)
    if rng.random() < 0.5:
        return edit_header(rng, content, content)
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = rng.choice(CHANGES[1:])(rng, content, rng.choice(files)) or b"\0"
    return content


def check(path, content):
    """Load a file; return the error's message, or None of a sound network, and the most bytes held meanwhile.

    Any error but ModelFormatError is raised, and AssertionError if the network is not sound, or memory was taken that
    neither the header's text nor the data account for. What is held is known while :mod:`tracemalloc` traces, else 0;
    it is not started here, for it would lose some memory every time.
    """
    path.unlink(missing_ok=True)  # writing over a file waits for the disk on some systems
    path.write_bytes(content)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        net, message = fc.load(path), None
    except ModelFormatError as error:
        net, message = None, str(error)
    peak = tracemalloc.get_traced_memory()[1] - before
    allowed = 50_000 + 50 * header_end(content) + 4 * len(content)  # an empty list in JSON: 2 bytes, in memory 80
    assert peak <= allowed, f"{peak} bytes held for a file of {len(content)}, at most {allowed} expected"
    if net is None:
        assert message.startswith(str(path))
        return message, peak
    for kind in (fc.ImageConvClassifier, fc.CharConvClassifier, fc.StringClassifier):
        with contextlib.suppress(ModelFormatError):
            kind.load(path)
    assert repr(net.astype(net.dtype)) == repr(net)
    assert np.isfinite(net.parameters).all() and np.isfinite(net.statistics).all()
    if small(net):
        shape, dtype = ((net.input.length,), np.int16) if net.input.codes else (net.input.shape, net.dtype)
        assert net.forward(np.zeros((2, *shape), dtype)).shape == (2, *net.output_shape)
    return None, peak


def small(net):
    """Return whether a sample's numbers are few in every layer, so that it can be predicted."""
    return max(map(math.prod, layer_shapes(net.layers, net.input))) <= 100_000


def main(arguments=None):
    """Run the fuzzing; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long (default: until Ctrl-C)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    options = parser.parse_args(arguments)
    files, counts, largest, i = golden(), collections.Counter(), 0, 0
    started = time.monotonic()
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for content in files:
            check(path, content)
        try:
            while time.monotonic() - started < options.seconds:
                content = mutate(random.Random(f"{options.seed} {i}"), files)
                try:
                    message, peak = check(path, content)
                except Exception:
                    kept = Path(f"fuzz-{options.seed}-{i}.safetensors")
                    kept.write_bytes(content)
                    print(f"file {i} of seed {options.seed} is kept as {kept}", file=sys.stderr)
                    raise
                counts["loaded" if message is None else message.split(": ")[1]] += 1
                largest, i = max(largest, peak), i + 1
        except KeyboardInterrupt:
            pass
    print(f"{i} files, at most {largest} bytes held")
    for outcome, n in counts.most_common():
        print(f"{n:9d}  {outcome}")


if __name__ == "__main__":
    main()
