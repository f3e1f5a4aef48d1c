"""Fuzzing of files of strings: random bytes, which are read, whole or in pieces alike, or are a DataError.

    python tests/fuzz_textfiles.py --seconds 60 --seed 0

Without --seconds it goes on until Ctrl-C. Bytes that do anything else are kept. The tests try a few thousand.
"""

import argparse
import collections
import io
import math
import random
import sys
import time
from pathlib import Path
from unittest import mock

from fastconv import textfiles
from fastconv.errors import DataError
from fastconv.textfiles import FORMATS, TextFile

PIECES = [
    b"\n", b"\n\n", b"\r", b"\r\n", b"\t", b",", b'"', b" ", b"\0", b"{", b"}", b"__label__", b"__label__a b", b"a",
    b"\\", b"text,label\n", b"text\tlabel\n", b'"a,\n""b"', b'{"text": "a", "label": "b"}', b'{"text": "\\ud800"}',
    b'"label": 1', b"[" * 2000, b"9" * 5000, b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3",
    "é".encode(), "😀".encode(), "\u2028\x85\x1c".encode(), "שלום".encode(),
]  # fmt: skip


def gather(file):
    """Return the strings, labels and line numbers of a file, and how many lines it has passed over."""
    strings, labels, lines = [], [], []
    for block in file:
        assert len(block.strings) == len(block.lines) > 0
        strings += block.strings
        labels += block.labels if file.labelled else []
        lines += block.lines
    return strings, labels, lines, file.skipped


def check(content, chunk, format, errors, labelled, numbered):
    """Read bytes in pieces of `chunk` bytes and whole; return whether that was an error."""
    options = {"text": "2", "label": "1"} if numbered and format in ("tsv", "csv") else {}
    labelled &= format != "lines"
    found = []
    for size in (chunk, 1 << 18):
        stdin = io.TextIOWrapper(io.BytesIO(content))
        with mock.patch.object(textfiles, "CHUNK", size), mock.patch.object(sys, "stdin", stdin):
            try:
                found.append(gather(TextFile("-", format, errors=errors, labelled=labelled, **options)))
            except DataError as error:
                assert str(error).startswith("standard input, line ")
                found.append(None)
    assert found[0] == found[1]
    if found[0] is None:
        return True
    strings, labels, lines, _ = found[0]
    "".join(strings + labels).encode()
    assert lines == sorted(set(lines))
    if labelled:
        assert len(labels) == len(strings) and all(text.strip() for text in strings + labels)
    elif format not in ("tsv", "csv"):
        assert len(strings) == len(content.removesuffix(b"\n").split(b"\n")) * bool(content)
    return False


def main():
    """Run the fuzzing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long (default: until Ctrl-C)")
    parser.add_argument("--seed", type=int, default=0, help="of the bytes (default: 0)")
    options = parser.parse_args()
    counts, i, started = collections.Counter(), 0, time.monotonic()
    try:
        while time.monotonic() - started < options.seconds:
            rng = random.Random(f"{options.seed} {i}")
            content = b"".join(
                rng.choice(PIECES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(4))
                for _ in range(rng.randrange(30))
            )
            format, errors = rng.choice([*FORMATS, None]), rng.choice(["strict", "replace"])
            given = rng.randint(1, 40), format, errors, rng.random() < 0.5, rng.random() < 0.5
            try:
                counts[str(format), "refused" if check(content, *given) else "read"] += 1
            except Exception:
                kept = Path(f"fuzz-{options.seed}-{i}.txt")
                kept.write_bytes(content)
                print(f"bytes {i} of seed {options.seed} are kept as {kept}: {given}", file=sys.stderr)
                raise
            i += 1
    except KeyboardInterrupt:
        pass
    print(f"{i} random files")
    for (format, outcome), n in sorted(counts.items()):
        print(f"{n:9d}  {format} {outcome}")


if __name__ == "__main__":
    main()
