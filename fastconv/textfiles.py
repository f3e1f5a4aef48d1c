"""Files of strings and labels, read a block at a time: a string a line, tab-separated, CSV, JSON lines, fastText's."""

import codecs
import contextlib
import csv
import gzip
import itertools
import json
import os
import re
import sys
import zlib
from typing import NamedTuple

from fastconv.errors import DataError, RangeError

FORMATS = ("lines", "tsv", "csv", "jsonl", "fasttext")
SUFFIXES = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".ft": "fasttext"}
LINE_LIMIT = 1 << 24
"""Bytes of a line, and characters of a row of CSV, at most."""
CHUNK = 1 << 18
"""Bytes that are read at a time."""
ROWS = 1 << 15
"""Strings of a block at most."""
LABEL = "__label__"
"""What fastText puts in front of labels."""
SURROGATES = re.compile("[\ud800-\udfff]")


class Block(NamedTuple):
    """Some of a file's strings, their labels (None where only strings are read), and the numbers of their lines."""

    strings: list
    labels: list | None
    lines: list | range


class TextFile:
    """The strings of a file, and their labels, in blocks as they come; memory does not grow with the file.

    Text is UTF-8, with or without a byte order mark; lines end with LF or CRLF. All other characters, NUL too, belong
    to the strings as they are.

    Parameters
    ----------
    name : str
        Of the file; "-" is standard input. A name that ends in .gz is of a compressed file.
    format : {"lines", "tsv", "csv", "jsonl", "fasttext"}, optional
        By default what the suffix says (.tsv, .csv, .jsonl, .ndjson, .ft). With any other suffix and from standard
        input: where labels are read what the first line that is not empty looks like, otherwise "lines".

        - "lines": the line is the string; there are no labels.
        - "tsv": the label is behind the line's last tab. With `text` or `label` the first line names the columns.
        - "csv": the first row names the columns; cells with commas or line ends in them are quoted. A row with more
          columns than have names is an error, unless those are empty.
        - "jsonl": an object a line; a label may also be an integer or a truth value.
        - "fasttext": ``__label__NAME``, a space, and the string.
    text, label : str, optional
        The columns or keys of the string and the label, by default "text" and "label". Two numbers count the columns,
        from 1, of a file that does not name them.
    errors : {"strict", "replace"}
        Whether bytes that are not UTF-8, and halves of surrogate pairs in JSON, are an error or become U+FFFD.
    labelled : bool
        Whether labels are read; every string must have one then, and be more than white space. Otherwise a label is
        passed over where there is one.

    Attributes
    ----------
    format : str or None
        None until the first line says it.
    skipped : int
        Empty lines, or of white space alone, so far. Where labels are read these are passed over; otherwise they are
        strings as any other, so that there is one for each line.

    Raises
    ------
    RangeError
        If `format` or `errors` is unknown, or the format has no labels, columns or keys to be read.
    DataError
        From the iteration: if a line is malformed or longer than 16 MiB. The message names the file and the line.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastconv.textfiles import TextFile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "names.tsv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("Mori\\tJapanese\\n\\nNowak\\tPolish\\n")
    ...     for block in TextFile(path):
    ...         print(block)
    Block(strings=['Mori', 'Nowak'], labels=['Japanese', 'Polish'], lines=[1, 3])
    """

    def __init__(self, name, format=None, text=None, label=None, errors="strict", labelled=True):
        stem = name.removesuffix(".gz")
        if format is None:
            format = SUFFIXES.get(os.path.splitext(stem)[1].lower(), None if labelled else "lines")
        if format not in (*FORMATS, None):
            raise RangeError(f"{name}: expected a format of {', '.join(FORMATS)}, got {format!r}")
        if errors not in ("strict", "replace"):
            raise RangeError(f"{name}: errors is 'strict' or 'replace', got {errors!r}")
        if format == "lines" and labelled:
            raise RangeError(f"{name}: expected a format with labels, got 'lines'")
        if format in ("lines", "fasttext") and (text or label):
            raise RangeError(f"{name}: expected a format with columns or keys, got {format!r}")
        self.name, self.format, self.errors, self.labelled = name, format, errors, labelled
        self.shown = "standard input" if name == "-" else name
        self.skipped = 0
        self._compressed = stem != name
        self._named = bool(text or label)
        self._keys = [text or "text"] + [label or "label"] * labelled
        self._columns = self._width = None

    def __iter__(self):
        self.skipped, self._columns, self._width = 0, None, None
        if all(key.isdecimal() and key.isascii() for key in self._keys):
            self._columns = [int(key) - 1 for key in self._keys]
        with self._open() as file:
            blocks = self._blocks(file)
            first = next(blocks, None)
            while first and self.format is None:
                self.format = _sniffed(self.shown, *first)
                if self.format is None:
                    self.skipped += len(first[1])
                    first = next(blocks, None)
            if first is None:
                return
            blocks = itertools.chain([first], blocks)
            if self.format == "lines":
                for number, lines in blocks:
                    yield Block(lines, None, range(number, number + len(lines)))
                return
            numbered = (enumerate(lines, number) for number, lines in blocks)
            for items in self._rows(first[0], blocks) if self.format == "csv" else numbered:
                block = self._parsed(items)
                if block.strings:
                    yield block

    @contextlib.contextmanager
    def _open(self):
        if self.name == "-":
            if sys.stdin is None:
                raise DataError(f"{self.shown}: it is closed")
            yield sys.stdin.buffer
            return
        try:
            with (gzip.open if self._compressed else open)(self.name, "rb") as file:
                yield file
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{self.shown}: expected a whole gzip file: {error}") from None

    def _blocks(self, file):
        """Yield the number of a line and some lines from it on, whatever there is to read at a time."""
        number, pieces, size = 1, [], 0
        while chunk := file.read1(CHUNK):
            end = chunk.rfind(b"\n")
            size += len(chunk) if end < 0 else chunk.find(b"\n")
            if size > LINE_LIMIT:
                raise DataError(f"{self.shown}, line {number}: expected lines of at most {LINE_LIMIT} bytes")
            if end < 0:
                pieces.append(chunk)
                continue
            lines = self._decoded(b"".join([*pieces, chunk[:end]]), number)
            for start in range(0, len(lines), ROWS):
                yield number + start, lines[start : start + ROWS]
            number += len(lines)
            pieces, size = [chunk[end + 1 :]], len(chunk) - end - 1
        if size:
            yield number, self._decoded(b"".join(pieces), number)

    def _decoded(self, data, number):
        """Return the lines of UTF-8."""
        try:
            text = data.decode("utf-8", self.errors)
        except UnicodeDecodeError as error:
            line = number + data.count(b"\n", 0, error.start)
            byte = error.start - data.rfind(b"\n", 0, error.start)
            hint = "--errors replace reads U+FFFD in its place"
            if number == 1 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                hint = "the file looks like UTF-16; save it as UTF-8"
            raise DataError(
                f"{self.shown}, line {line}, byte {byte}: expected UTF-8, got 0x{data[error.start]:02x} ({hint})"
            ) from None
        if number == 1:
            text = text.removeprefix("\ufeff")
        if "\r" in text:
            text = text.replace("\r\n", "\n").removesuffix("\r")
        return text.split("\n")

    def _rows(self, number, blocks):
        """Yield lists of line numbers and rows of CSV."""
        csv.field_size_limit(max(csv.field_size_limit(), LINE_LIMIT))
        size = 0

        def lines():
            nonlocal size
            for _, block in blocks:
                for line in block:
                    size += len(line)
                    if size > LINE_LIMIT:
                        raise csv.Error(f"the row has more than {LINE_LIMIT} characters; is a quote not closed?")
                    yield line + "\n"

        rows, found, characters = csv.reader(lines(), strict=True), [], 0
        while True:
            start, size = number + rows.line_num, 0
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise DataError(f"{self.shown}, line {start}: expected a row of CSV: {error}") from None
            if row is None:
                break
            found.append((start, row))
            characters += size
            if len(found) == ROWS or characters > CHUNK:
                yield found
                found, characters = [], 0
        yield found

    def _parsed(self, items):
        """Return the block of numbered lines or rows."""
        block = Block([], [] if self.labelled else None, [])
        for number, item in items:
            if self.labelled and not (item.strip() if isinstance(item, str) else any(map(str.strip, item))):
                self.skipped += 1
                continue
            try:
                found = self._fields(item)
                if found is None:
                    continue
                string, *labels = found
                if self.labelled:
                    if not labels or not labels[0].strip():
                        raise DataError(f"expected a label, got none, {string!r:.80}")
                    if not string.strip():
                        raise DataError("expected a string, got white space")
                    block.labels.append(labels[0].strip())
            except DataError as error:
                raise DataError(f"{self.shown}, line {number}: {error}") from None
            block.strings.append(string)
            block.lines.append(number)
        return block

    def _fields(self, item):
        """Return the string of a line or row, and the label if it is to be read; None of the row that names columns."""
        if self.format == "jsonl":
            return self._values(item)
        if self.format == "fasttext":
            label, string = "", item
            if item.startswith(LABEL):
                label, _, string = item.partition(" ")
            if string.startswith(LABEL):
                raise DataError(f"expected one label, got more, {item!r:.80}")
            return (string, label.removeprefix(LABEL)) if self.labelled else (string,)
        if self.format == "tsv" and not self._named:
            string, tab, label = item.rpartition("\t")
            if self.labelled:
                if not tab:
                    raise DataError(f"expected string<TAB>label, got {item!r:.80}")
                return string, label
            return (string if tab else item,)
        cells = item.split("\t") if self.format == "tsv" else item
        if not any(cells):
            return ("",)
        if self._columns is None:
            names = [cell.strip() for cell in cells]
            for key in self._keys:
                if key not in names:
                    options = " and ".join(("--text", "--label")[: len(self._keys)])
                    hint = "; commas separate columns, not semicolons" if len(names) == 1 and ";" in names[0] else ""
                    raise DataError(
                        f"expected a column {key!r}, got {names!r:.200} "
                        f"({options}: the column's name, or its number, from 1, where the file names none){hint}"
                    )
            self._columns, self._width = [names.index(key) for key in self._keys], len(names)
            return None
        if not 0 <= min(self._columns) <= max(self._columns) < len(cells):
            wanted = " and ".join(str(column + 1) for column in self._columns)
            raise DataError(f"expected columns {wanted}, got a row of {len(cells)}")
        if self._width and any(cells[self._width :]):
            hint = "; is a cell with a comma not quoted?" if self.format == "csv" else ""
            raise DataError(f"expected {self._width} columns, got a row of {len(cells)}{hint}")
        return [cells[column] for column in self._columns]

    def _values(self, line):
        """Return what a line of JSON says of the string, and of the label if it is to be read."""
        if not line.strip():
            return ("",)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"expected JSON: {error}") from None
        if not isinstance(found, dict):
            raise DataError(f"expected an object of JSON, got {line!r:.80}")
        string, *labels = (found.get(key) for key in self._keys)
        if not isinstance(string, str):
            raise DataError(f"expected a string as {self._keys[0]!r}, got {string!r:.80}")
        if labels and not isinstance(labels[0], (str, int)):
            raise DataError(f"expected a label as {self._keys[1]!r}, got {labels[0]!r:.80}")
        return [self._whole(value if isinstance(value, str) else json.dumps(value)) for value in (string, *labels)]

    def _whole(self, string):
        """Return a string without halves of surrogate pairs, which UTF-8 cannot say."""
        half = SURROGATES.search(string)
        if half and self.errors == "strict":
            raise DataError(
                f"expected no half of a surrogate pair, got {half[0]!r} (--errors replace reads U+FFFD in its place)"
            )
        return SURROGATES.sub("\ufffd", string) if half else string


def _sniffed(name, number, lines):
    """Return the format that the first line with characters looks like, or None if there is none."""
    i = next((i for i, line in enumerate(lines) if line.strip()), None)
    if i is None:
        return None
    line = lines[i]
    if "\t" in line:
        return "tsv"
    for sign, format in ((LABEL, "fasttext"), ("{", "jsonl")):
        if line.startswith(sign):
            return format
    if "," in line:
        return "csv"
    raise DataError(f"{name}, line {number + i}: expected string<TAB>label, CSV, JSON or fastText's, got {line!r:.80}")
