"""Files of strings and labels: what is read of each format, what is an error, and that memory stays small."""

import csv
import gzip
import io
import json
import sys
import tracemalloc

import pytest
from fuzz_textfiles import PIECES, check, gather
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import textfiles
from fastconv.errors import DataError, RangeError
from fastconv.textfiles import TextFile

PAIRS = [("Mori", "Japanese"), ("O'Neil, Jr.", "Irish"), ("שלום 😀", "other"), ("a\0b", "other")]


@pytest.fixture
def read(tmp_path):
    """Write bytes or a text to a file of that name and return (strings, labels, lines, skipped)."""

    def run(content, name="x.tsv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return gather(TextFile(str(path), **options))

    return run


def written(format):
    """Return PAIRS in a format."""
    if format == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([("text", "label"), *PAIRS])
        return text.getvalue()
    line = {"tsv": "{}\t{}", "fasttext": "__label__{1} {0}"}.get(format)
    lines = [line.format(*pair) if line else json.dumps(dict(zip(["text", "label"], pair))) for pair in PAIRS]  # noqa: B905
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["x.tsv", "x.csv", "x.jsonl", "x.ndjson", "x.ft", "x.TSV"])
def test_every_format_gives_the_same_strings_and_labels(read, name):
    format = textfiles.SUFFIXES[name[1:].lower()]
    strings, labels, lines, skipped = read(written(format), name)
    assert list(zip(strings, labels, strict=True)) == PAIRS and skipped == 0
    first = 2 if format == "csv" else 1
    assert lines == list(range(first, first + 4))


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl", "fasttext"])
def test_the_format_of_other_names_and_of_standard_input_is_told_by_the_first_line(read, format, monkeypatch):
    text = "\n \n" + written(format)
    assert list(zip(*read(text, "x.txt")[:2], strict=True)) == PAIRS
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert gather(TextFile("-"))[0] == [string for string, _ in PAIRS]


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl", "fasttext"])
def test_without_labels_the_strings_are_the_same(read, format):
    assert read(written(format), "x", format=format, labelled=False)[0] == [string for string, _ in PAIRS]


def test_without_labels_a_line_is_a_string_whatever_is_in_it(read):
    strings, _, lines, skipped = read("a\tb\n\n{}\n \r\nx\ry\nlast", "x.txt", labelled=False)
    assert strings == ["a\tb", "", "{}", " ", "x\ry", "last"]
    assert lines == [1, 2, 3, 4, 5, 6] and skipped == 0
    assert read("", "x.txt", labelled=False)[0] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.tsv", "id\tname\tkind\n7\tMori\tJ\n"), ("x.csv", 'id,name,kind\n7,"Mori",J\n'),
     ("x.jsonl", '{"id": 7, "name": "Mori", "kind": "J"}\n')],
)  # fmt: skip
def test_columns_and_keys_by_name(read, name, text):
    assert read(text, name, text="name", label="kind")[:2] == (["Mori"], ["J"])
    assert read(text, name, text="name", labelled=False)[0] == ["Mori"]
    with pytest.raises(DataError, match=r"x\.\w+, line 1: expected .*'surname'"):
        read(text, name, text="surname", label="kind")


def test_a_row_with_more_cells_than_columns_is_an_error(read):
    """One more comma makes a label of half the string."""
    with pytest.raises(DataError, match=r"line 2: expected 2 columns, got a row of 3$"):
        read("name\tkind\nO'Neil\tJr.\tIrish\n", text="name", label="kind")
    assert read("text,label\nMori,Japanese,,\n", "x.csv")[:2] == (["Mori"], ["Japanese"])


def test_columns_by_number_of_a_file_that_does_not_name_them(read):
    assert read("7,Mori,J\n8,Nowak,P\n", "x.csv", text="2", label="3")[:3] == (["Mori", "Nowak"], ["J", "P"], [1, 2])
    assert read("J\tMori\n", text="2", label="1")[:2] == (["Mori"], ["J"])
    for column in ("0", "4"):
        with pytest.raises(DataError, match=r"line 1: expected columns"):
            read("7,Mori,J\n", "x.csv", text=column, label="3")


def test_the_label_is_behind_the_last_tab(read):
    assert read("a\tb\tc\n")[:2] == (["a\tb"], ["c"])


def test_labels_in_json_may_be_integers_and_truth_values(read):
    assert read('{"text": "a", "label": 3}\n{"text": "b", "label": true}\n', "x.jsonl")[1] == ["3", "true"]


def test_empty_lines_are_passed_over_and_counted(read):
    assert read("\n a\tA\n\t\n \r\nb\tB\n\n") == ([" a", "b"], ["A", "B"], [2, 5], 4)
    assert read("\ntext,label\n\na,A\n,\n", "x.csv") == (["a"], ["A"], [4], 3)
    assert read('\n{"text": "a", "label": "A"}\n\n', "x.jsonl") == (["a"], ["A"], [2], 2)
    assert read("\n\n\n", "x.txt") == ([], [], [], 3)


def test_empty_lines_are_strings_where_no_labels_are_read(read):
    assert read('{"text": "a"}\n\n', "x.jsonl", labelled=False)[0] == ["a", ""]
    assert read("text\na\n\nb\n", "x.csv", labelled=False)[0] == ["a", "", "b"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_are_no_part_of_strings(read, end, mark):
    assert read(f"{mark}a\tA{end}\ufeffb\tB")[:2] == (["a", "\ufeffb"], ["A", "B"])
    assert read(f"{mark}text,label{end}a,A{end}", "x.csv")[:2] == (["a"], ["A"])


def test_a_cell_of_csv_may_hold_line_ends(read):
    strings, _, lines, _ = read('text,label\n"a\r\nb, ""c""",A\nd,B\n', "x.csv")
    assert strings == ['a\nb, "c"', "d"] and lines == [2, 4]


@pytest.mark.parametrize("name", ["x.tsv.gz", "x.txt.gz"])
def test_a_compressed_file(read, name):
    content = gzip.compress(written("tsv").encode())
    assert read(content, name)[0] == [string for string, _ in PAIRS]
    for damaged in (content[:-9], b"no gzip", content[:10] + b"\xff" * 20):
        with pytest.raises(DataError, match="expected a whole gzip file"):
            read(damaged, name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.tsv", "a\tA\nb B\n", r"x\.tsv, line 2: expected string<TAB>label, got 'b B'"),
        ("x.tsv", "a\tA\nb\t \n", r"x\.tsv, line 2: expected a label, got none, 'b'"),
        ("x.tsv", "a\tA\n \tB\n", r"x\.tsv, line 2: expected a string, got white space"),
        ("x.csv", "text,label\n\na\n", r"x\.csv, line 3: expected columns 1 and 2, got a row of 1"),
        ("x.csv", 'text,label\na,"A\n', r"x\.csv, line 2: expected a row of CSV: unexpected end of data"),
        (
            "x.csv",
            "text;label\n",
            r"x\.csv, line 1: expected a column 'text', got \['text;label'\] .*; commas separate",
        ),
        ("x.csv", "text,label\na,A,\nb, Jr.,B\n", r"x\.csv, line 3: expected 2 columns, got a row of 3; is a cell"),
        ("x.jsonl", "{'text': 1}\n", r"x\.jsonl, line 1: expected JSON"),
        ("x.jsonl", "[" * 100_000, r"x\.jsonl, line 1: expected JSON"),
        ("x.jsonl", '{"text": "a", "label": 1' + "0" * 5000 + "}", r"x\.jsonl, line 1: expected JSON"),
        ("x.jsonl", '["a", "A"]\n', r"x\.jsonl, line 1: expected an object"),
        ("x.jsonl", '{"text": 1, "label": "A"}\n', r"x\.jsonl, line 1: expected a string as 'text', got 1"),
        ("x.jsonl", '{"text": "a"}\n', r"x\.jsonl, line 1: expected a label as 'label', got None"),
        ("x.jsonl", '{"text": "a", "label": [1]}\n', r"x\.jsonl, line 1: expected a label as 'label', got \[1\]"),
        ("x.ft", "__label__A a\na b\n", r"x\.ft, line 2: expected a label, got none, 'a b'"),
        ("x.ft", "__label__A __label__B a\n", r"x\.ft, line 1: expected one label, got more"),
        ("x.txt", "\nnothing here\n", r"x\.txt, line 2: expected string<TAB>label, CSV, JSON or fastText's"),
    ],
)
def test_a_malformed_line_is_named(read, name, text, message):
    with pytest.raises(DataError, match=message):
        read(text, name)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_recognised(read, encoding):
    with pytest.raises(DataError, match=r"line 1, byte 1: expected UTF-8, got 0xf. \(the file looks like UTF-16"):
        read("\ufeffMori\tJapanese\n".encode(encoding))


def test_bytes_that_are_not_utf8_are_named_or_replaced(read):
    content = b"a\tA\n" * 70_000 + b"M\xfcller\tG\nb\tB\n"
    with pytest.raises(DataError, match=r"x\.tsv, line 70001, byte 2: expected UTF-8, got 0xfc \(--errors replace"):
        read(content)
    strings, _, lines, _ = read(content, errors="replace")
    assert strings[-2:] == ["M\ufffdller", "b"] and lines[-1] == 70_002


def test_halves_of_surrogate_pairs_in_json_are_named_or_replaced(read):
    line = '{"text": "a\\ud800b\\ud83d\\ude00", "label": "A"}\n'
    with pytest.raises(DataError, match=r"x\.jsonl, line 1: expected no half of a surrogate pair, got '\\ud800'"):
        read(line, "x.jsonl")
    assert read(line, "x.jsonl", errors="replace")[0] == ["a\ufffdb😀"]


def test_a_line_of_ten_megabytes_is_read_and_one_above_the_limit_is_an_error(read):
    assert len(read("a\tA\n" + "b" * 10_000_000 + "\tB\n")[0][1]) == 10_000_000
    with pytest.raises(DataError, match=r"x\.tsv, line 2: expected lines of at most 16777216 bytes"):
        read("a\tA\n" + "b" * textfiles.LINE_LIMIT + "\tB\n")
    with pytest.raises(DataError, match=r"x\.csv, line 2: expected a row of CSV: .* is a quote not closed"):
        read('text,label\n"' + ("b" * 1000 + '\n","') * 17_000, "x.csv")


def test_the_limit_is_of_the_line_alone_however_it_is_read(monkeypatch):
    monkeypatch.setattr(textfiles, "LINE_LIMIT", 8)
    for chunk in range(1, 9):
        monkeypatch.setattr(textfiles, "CHUNK", chunk)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1234567\n12345678\n1")))
        assert gather(TextFile("-", labelled=False))[0] == ["1234567", "12345678", "1"]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"12345678\n123456789\n1")))
        with pytest.raises(DataError, match="standard input, line 2: expected lines of at most 8 bytes"):
            gather(TextFile("-", labelled=False))


@pytest.mark.parametrize("format", ["lines", "tsv", "csv", "jsonl", "fasttext"])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, format):
    monkeypatch.setattr(textfiles, "CHUNK", 1 << 12)
    path, line = tmp_path / "x", {"jsonl": '{"text": "a", "label": "A"}', "csv": "a,A", "fasttext": "__label__A a"}
    options = {"text": "1", "label": "2"} if format == "csv" else {}
    peaks = []
    for n in (2_000, 20_000):
        path.write_text((line.get(format, "a\tA") + "\n") * n)
        tracemalloc.start()
        count = sum(len(block.strings) for block in TextFile(str(path), format, labelled=format != "lines", **options))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == n
    assert peaks[1] < 1.5 * peaks[0] + 20_000


def test_what_cannot_be_is_said_at_once():
    for options in ({"format": "xml"}, {"errors": "ignore"}, {"format": "lines"}, {"format": "fasttext", "text": "a"}):
        with pytest.raises(RangeError, match="x:"):
            TextFile("x", **options)


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="standard input: it is closed"):
        gather(TextFile("-"))


BYTES = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))


@settings(max_examples=2000, deadline=None, derandomize=True, database=None)
@given(
    BYTES, st.integers(1, 40), st.sampled_from([*textfiles.FORMATS, None]), st.sampled_from(["strict", "replace"]),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_random_bytes_are_read_or_are_a_data_error(content, chunk, format, errors, labelled, numbered):
    check(content, chunk, format, errors, labelled, numbered)
