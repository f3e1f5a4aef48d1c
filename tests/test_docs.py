"""The tutorials in docs/: every block runs, prints what is shown, and draws the pictures."""

import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("update_docs", ROOT / "benchmarks" / "update_docs.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


@pytest.mark.parametrize("name", script.PAGES)
def test_a_page_prints_what_it_shows_and_draws_its_pictures(name, tmp_path):
    text = (script.DOCS / name).read_text(encoding="utf-8")
    for start, end, printed in script.outputs(text, tmp_path):
        assert script.agree(text[start:end], printed), f"shown:\n{text[start:end]}\nprinted:\n{printed}"
    for picture in script.pictures(text):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        assert (script.DOCS / picture).stat().st_size < 150_000


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{name}" for name in script.PAGES)])
def test_links_lead_to_files(name):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert links and all(((ROOT / name).parent / link).is_file() for link in links)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("0.71 of 20\n", "0.73 of 20\n", True),
        ("0.71 of 20\n", "0.61 of 20\n", False),
        ("0.71 of 20\n", "0.71 of 21\n", False),
        ("made in ... s, 1.5\n", "made in 0.3 s, 1.5\n", True),
        ("k  +0.61  +++\n", "k  +0.62  ++++\n", True),
        ("k  +0.61  +++\n", "l  +0.61  +++\n", False),
        ("a (b)\n", "a (b)\nc\n", False),
    ],
)
def test_what_agrees(shown, printed, same):
    assert script.agree(shown, printed) == same


@pytest.mark.parametrize(
    ("shown", "printed", "kept"),
    [
        ("in ... s\n3 of 4\n", "in 0.2 s\n2 of 4\n", "in ... s\n2 of 4\n"),
        ("in ... s\n3 of 4\n", "in 0.2 s\n", "in 0.2 s\n"),
    ],
)
def test_lines_that_agree_are_kept(shown, printed, kept):
    assert script.brought_up(shown, printed) == kept


def test_blocks_share_a_namespace_and_a_folder_with_commands(tmp_path):
    text = (
        "```python\nimport pathlib\nx = 2\npathlib.Path('a.txt').write_text('one')\n```\n\n"
        "```python\nprint(x + 1)\n```\n\n```text\n3\n```\n"
        "```console\n$ cat a.txt\none\n$ fastconv --version | \\\n    cut -c 1-8\nfastconv\n```\n"
    )
    found = script.outputs(text, tmp_path)
    assert [printed for _, _, printed in found] == ["3\n", "one", "fastconv\n"]
    assert [text[start:end] for start, end, _ in found] == ["3\n", "one\n", "fastconv\n"]


def test_a_block_whose_output_is_not_shown_is_an_error(tmp_path):
    with pytest.raises(script.DataError, match="line 1: the block prints"):
        script.outputs("```python\nprint(1)\n```\n", tmp_path)


def test_a_command_that_fails_is_an_error(tmp_path):
    with pytest.raises(script.DataError, match="exit status 2"):
        script.outputs("```console\n$ fastconv nothing\n```\n", tmp_path)
