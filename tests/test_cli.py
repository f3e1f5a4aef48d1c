"""The command line: what it prints where, its exit statuses, its files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.bench import TASKS, suite, timing
from fastconv.cli import main


@pytest.mark.parametrize(
    "arguments", [["train"], ["bench", "--updates", "0"], ["bench", "--threads", "1,x"], ["nothing"], [],
                  ["bench", "--filters", "3"], ["bench", "--task", "nothing"]]
)  # fmt: skip
def test_wrong_use_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: fastconv" in capsys.readouterr().err


def test_info_without_a_file_is_of_the_build(capsys):
    assert main(["info"]) == 0
    assert "instruction set" in capsys.readouterr().out


def test_bench_prints_the_table_and_writes_json(tmp_path, capsys):
    path = tmp_path / "bench.json"
    arguments = ["--updates", "4", "--batch-size", "10", "--threads", "1", "--quick", "--json", str(path)]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert {"naive kron", "optimised script", "vectorised NumPy", "fastconv"} <= set(rows)
    assert all(row["seconds"] > 0 and name in out for name, row in rows.items())
    assert rows["naive kron"]["scaled_from"] == 2 and "timed on 2 updates and scaled" in out
    assert json.loads(path.read_text())["loss_difference"] < 1e-4
    assert rows["fastconv"]["ratio_to_naive"] == pytest.approx(
        rows["naive kron"]["seconds"] / rows["fastconv"]["seconds"]
    )


def test_bench_draws_the_chart(tmp_path, capsys):
    path = tmp_path / "bench.png"
    assert main(["bench", "--task", "roofline", "--quick", "--repeats", "1", "--chart", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "whole update" in out and f"written: {path}" in err
    assert path.read_bytes().startswith(b"\x89PNG")


def test_bench_runs_all_tasks_with_the_settings_that_each_takes(tmp_path, capsys, monkeypatch):
    calls = {}

    def run(task, data, threads, quick, echo, **settings):
        calls[task] = settings
        return {"task": task, "machine": {"cores": 2}, "rows": []}

    monkeypatch.setattr(suite, "run", run)
    monkeypatch.setattr(suite, "table", lambda result: [f"table of {result['task']}"])
    arguments = [
        "--task",
        "all",
        "--updates",
        "5",
        "--repeats",
        "2",
        "--many",
        "9",
        "--json",
        str(tmp_path / "all.json"),
    ]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    assert list(calls) == list(TASKS) and all(f"table of {task}" in out for task in TASKS)
    assert calls["small"] == {"repeats": 2, "updates": 5} and calls["prediction"] == {"repeats": 2, "many": 9}
    assert calls["roofline"] == calls["convolutions"] == {"repeats": 2}
    assert calls["netr"] == {"repeats": 2, "updates": 5} and calls["images"] == {"repeats": 2}
    assert out.count("cores") == 1
    assert list(json.loads((tmp_path / "all.json").read_text())) == list(TASKS)


def test_bench_says_what_is_wrong_before_it_times_anything(tmp_path, fails, monkeypatch):
    monkeypatch.setattr(suite, "run", lambda *arguments, **settings: pytest.fail("it was run"))
    for option in ("--json", "--chart"):
        assert f"{option}: the folder of" in fails("bench", option, tmp_path / "no" / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "fastconv.plots", raising=False)
    monkeypatch.delattr(fc, "plots", raising=False)
    assert "pip install fastconv[plot]" in fails("bench", "--chart", tmp_path / "bench.png")


def test_bench_says_which_implementation_came_to_an_end(capsys, monkeypatch):
    def run(*arguments, **settings):
        raise timing.WorkerError("bench: fastconv: its process ended with exit status -9")

    monkeypatch.setattr(suite, "run", run)
    assert main(["bench"]) == 2
    assert "fastconv: error: bench: fastconv: its process ended with exit status -9" in capsys.readouterr().err


def test_the_suite_names_the_tasks_that_it_knows():
    with pytest.raises(fc.errors.RangeError, match="bench: the tasks are updates, small, "):
        suite.run("nothing")


def test_every_task_has_a_table_and_a_chart(capsys):
    result = suite.run(
        "prediction", threads=[1], quick=True, frameworks=False, names=50, many=60, echo=lambda line: None
    )
    assert suite.chart(result).axes and "from codes" in suite.table(result)[0]
    result = suite.run("small", threads=[1], quick=True, frameworks=False, updates=3, echo=lambda line: None)
    assert suite.chart(result).axes and result["settings"]["batch_size"] == 19 and result["settings"]["length"] == 19


def test_help_and_version(capsys):
    for command in ("train", "test", "predict", "explain", "info", "reproduce", "bench"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        examples = capsys.readouterr().out.partition("examples:\n")[2]
        assert caught.value.code == 0 and f"fastconv {command}" in examples
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            main([option])
        assert caught.value.code == 0 and "fastconv" in capsys.readouterr().out


def test_importing_is_light():
    """`import fastconv` and a prediction load neither SciPy nor scikit-learn nor matplotlib."""
    code = (
        "import sys, fastconv as fc, numpy as np\n"
        "fc.models.surname_convnet(28, 19, 18).predict_proba(np.zeros((1, 19), np.int16))\n"
        "print([m for m in ('scipy', 'sklearn', 'matplotlib', 'tqdm', 'pooch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    """The README's Python blocks, one after the other."""
    monkeypatch.chdir(tmp_path)
    readme = os.path.join(os.path.dirname(__file__), os.pardir, "README.md")
    with open(readme, encoding="utf-8") as file:
        blocks = [part.split("```")[0] for part in file.read().split("```python\n")[1:]]
    assert len(blocks) == 6
    scope, printed = {}, []
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
        printed.append(capsys.readouterr().out.splitlines())
    assert float(printed[0][0]) > 0.65
    assert printed[0][1:3] == ["['Japanese' 'Polish']", "['Japanese' 'unsure']"]
    assert printed[0][-1] == "['Japanese']"
    assert float(printed[1][0]) > 0.4
    assert printed[1][1] == "['Japanese', 'Polish']"
    assert float(printed[4][0]) > 0.97 and float(printed[5][0].split()[0]) > 0.98
    np.testing.assert_allclose(
        scope["matrices"].mf(scope["F"], 19) @ scope["matrices"].vec(scope["X"]),
        scope["matrices"].mx(scope["X"], 5, 20) @ scope["matrices"].vec(scope["F"]),
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip
