"""The script that measures the classifier of strings: splits are what it says, the table follows from the figures."""

import importlib.util
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("quality", ROOT / "benchmarks" / "quality.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def figures():
    pair = {script.OURS: [0.5, 0.7], script.PEER: [0.4, 0.4]}
    seconds = {script.OURS: {"fit": [1.0], "predict": [0.5]}, script.PEER: {"fit": [2.0], "predict": [5.0]}}
    return {
        "machine": {"processor": "A processor", "instruction set": "avx2"}, "names": 1000, "classes": 4, "held out": 3,
        "validation": pair, "balanced": pair, "macro-F1, None": pair, "macro-F1, balanced": pair,
        "times": {"1": seconds, "2": seconds}, "bytes": 123_456,
    }  # fmt: skip


def test_a_split_holds_out_so_many_of_each_class_and_loses_none():
    target = np.repeat([0, 1, 2], [50, 20, 30])
    train, held_out = script.split(target, np.array([5, 5, 5]), seed=3)
    assert np.bincount(target[held_out]).tolist() == [5, 5, 5]
    assert np.array_equal(np.sort(np.append(train, held_out)), np.arange(100))
    assert not np.array_equal(held_out, script.split(target, np.array([5, 5, 5]), seed=4)[1])


def test_both_classifiers_are_scored_on_the_same_splits():
    data, target = (
        np.array(["aa", "ab", "aab", "bb", "zz", "zy", "zzy", "yy"] * 4, object),
        np.repeat([0, 1], 4).tolist() * 4,
    )
    rows = np.arange(32)
    found = script.scores(data, np.array(target), [(rows[:24], rows[24:])], "balanced", script.accuracy_score)
    assert found == {script.OURS: [1.0], script.PEER: [1.0]}


def test_the_table_is_made_from_the_figures():
    lines = script.section(figures()).splitlines()
    assert lines[0].startswith(
        "1,000 surnames of 4 languages, 3 of each held out in a balanced split; A processor, avx2."
    )
    assert "| validation names, accuracy in %, 2 seeds | 60.0 ± 10.0 | 40.0 ± 0.0 | +20.0 ± 10.0 | 66 |" in lines
    assert "| fit, s, 1 thread | 1.00 | 2.00 | 2.00 x as fast | 1 |" in lines
    assert "| prediction, names a second, 2 threads | 2,000 | 200 | 10.0 x as fast | 5 |" in lines
    assert "| model file, KB | 123 |  |  | at most 500 |" in lines


def test_the_peer_leaves_threads_idle_where_that_is_faster():
    found = figures()
    found["times"]["2"] = {
        script.OURS: {"fit": [0.5], "predict": [0.25]}, script.PEER: {"fit": [9.0], "predict": [9.0]},
    }  # fmt: skip
    lines = script.section(found).splitlines()
    assert "| fit, s, 2 threads | 0.50 | 2.00 | 4.00 x as fast | above 1 |" in lines
    assert "| prediction, names a second, 2 threads | 4,000 | 200 | 20.0 x as fast | 5 |" in lines


def test_the_figures_go_where_they_are_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "measure", lambda folder, quick: figures())
    document = tmp_path / "page.md"
    document.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n", encoding="utf-8")
    script.main(["--json", str(tmp_path / "a.json"), "--readme", str(document)])
    section = script.section(figures())
    assert capsys.readouterr().out == section + "\n"
    assert document.read_text(encoding="utf-8") == f"before\n{script.BEGIN}\n{section}\n{script.END}\nafter\n"
    assert '"bytes": 123456' in (tmp_path / "a.json").read_text()


def test_a_file_without_the_markers_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "measure", lambda folder, quick: figures())
    (tmp_path / "page.md").write_text("text")
    with pytest.raises(SystemExit):
        script.main(["--readme", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == "text"
