"""The script that writes the studies' results: every figure comes from the results, and nothing else changes."""

import importlib.util
import json
import pathlib

import pytest

from fastconv.files import replace_section
from fastconv.reproduce import STUDIES

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("update_studies", ROOT / "benchmarks" / "update_studies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(**changes):
    return {
        "study": "surnames",
        "complete": True,
        "settings": {"quick": False, "seed": 4, "threads": None, "epochs": None},
        "machine": {"threads": 2, "processor": "A processor", "instruction set": "avx2"},
        "original_data": "The original's figures were found on these same files.",
        "comparison": [["accuracy | best", "51.19%", "51.98%"], ["seconds", "567", "2.40"]],
        "seconds": 1234.5,
    } | changes


@pytest.fixture
def run(script, tmp_path):
    """Runs the script on one study's results and a document; returns the document's text."""

    def run(found, text=f"# Title\n{script.BEGIN}\nold\n{script.END}\nafter\n"):
        document = tmp_path / "studies.md"
        document.write_text(text, encoding="utf-8")
        if found:
            (tmp_path / "surnames").mkdir(exist_ok=True)
            (tmp_path / "surnames" / "results.json").write_text(json.dumps(found))
        try:
            script.main([str(tmp_path), "--document", str(document)])
        except SystemExit:
            assert document.read_text(encoding="utf-8") == text
            raise
        return document.read_text(encoding="utf-8")

    return run


def test_the_figures_stand_between_the_markers_and_nothing_else_changes(script, run):
    assert run(results()) == (
        f"# Title\n{script.BEGIN}\n### surnames: original and here\n\n"
        "The original's figures were found on these same files. 1,234 s on 2 threads of A processor (avx2), seed 4.\n\n"
        "|  | original | here |\n| :--- | ---: | ---: |\n| accuracy \\| best | 51.19% | 51.98% |\n"
        f"| seconds | 567 | 2.40 |\n{script.END}\nafter\n"
    )


def test_written_again_it_is_the_same(run):
    once = run(results())
    assert run(results(), once) == once


def test_other_settings_than_the_original_s_are_said(run):
    text = run(results(settings={"quick": False, "seed": 0, "threads": 1, "epochs": 5}))
    assert "1,234 s on 1 thread of A processor (avx2), seed 0, 5 epochs a training instead of the original's." in text


def test_studies_that_were_not_run_are_named(run, capsys, monkeypatch, script):
    monkeypatch.setattr(script, "STUDIES", {"surnames": "", "other": ""})
    assert run(results()).count("###") == 1
    assert capsys.readouterr().out == "Not run: other\n"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "no results.json of a study in its folders"),
        (results(complete=False), "surnames: expected a complete run, got an interrupted one"),
        (results(settings={"quick": True}), "surnames: expected a complete run, got a quick one"),
    ],
)
def test_what_is_no_full_run_is_refused(run, capsys, found, message):
    with pytest.raises(SystemExit):
        run(found)
    assert message in capsys.readouterr().err


def test_a_document_without_the_section_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        run(results(), "# Title\n")
    assert "studies.md: holds no section between" in capsys.readouterr().err


def test_the_document_has_the_section_and_speaks_of_every_study(script):
    text = script.DOCUMENT.read_text(encoding="utf-8")
    assert f"{script.BEGIN}\nnew\n{script.END}" in replace_section(text, script.BEGIN, script.END, "new")
    assert [name for name in STUDIES if f"\n### {name}\n" not in text] == []
