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

NAMES = {"Japanese": "Tanaka Suzuki Yamada Nakamura Kobayashi Watanabe Ishikawa Mori", "Polish": "Nowak Kowalski "
         "Wisniewski Kaminski Lewandowski Zielinski Szymanski Wozniak"}  # fmt: skip


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.tsv"
    path.write_text("".join(f"{name}\t{label}\n" for label, text in NAMES.items() for name in text.split()))
    return path


@pytest.fixture
def model(tmp_path, names, capsys):
    path = tmp_path / "names.safetensors"
    assert main(["train", str(names), "--model", str(path), "--validation", "0", "--epochs", "60"]) == 0
    capsys.readouterr()
    return path


def fails(capsys, *arguments):
    """Run a command that must fail with status 2 and nothing on standard output; return its message."""
    assert main(list(map(str, arguments))) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fastconv: error: ")
    return err


def test_train_then_predict(model, names, capsys):
    assert main(["predict", str(names.parent / "names.txt"), "--model", str(model)]) == 2  # there is no such file
    (names.parent / "names.txt").write_text("Tanaka\nkowalski\n\n")
    capsys.readouterr()
    assert main(["predict", str(names.parent / "names.txt"), "--model", str(model)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["Tanaka", "kowalski", ""]
    assert [line[1] for line in lines[:2]] == ["Japanese", "Polish"]
    assert all(0.5 <= float(line[2]) <= 1 for line in lines)


def test_train_tells_the_accuracy_of_what_it_holds_out(tmp_path, names, capsys):
    assert main(["train", str(names), "--model", str(tmp_path / "m"), "--validation", "0.25", "--epochs", "5"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "12 strings to train, 4 to validate, 2 classes" in err and "validation accuracy" in err
    assert fc.load(tmp_path / "m").metadata["classes"] == ["Japanese", "Polish"]


def test_the_same_seed_trains_the_same_model(tmp_path, names):
    for name in "ab":
        main(["train", str(names), "--model", str(tmp_path / name), "--seed", "7", "--epochs", "3", "--threads", "1"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names.tsv: no lines"),
        ("Tanaka\tJ\nNowak P\n", "names.tsv, line 2: expected string<TAB>label, got 'Nowak P'"),
        ("Tanaka\tJ\n\tP\n", "names.tsv, line 2: the string is empty"),
        ("Tanaka\tJ\nNowak\t\n", "names.tsv, line 2: expected string<TAB>label"),
        ("Tanaka\tJ\nMori\tJ\n", "all labels are 'J'; a classifier needs two classes"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(names, capsys, text, message):
    names.write_text(text)
    assert message in fails(capsys, "train", names, "--model", names.parent / "m")
    assert not (names.parent / "m").exists()


def test_a_file_that_is_not_utf8(names, capsys):
    names.write_bytes(b"Tanaka\tJ\nM\xfcller\tG\n")
    assert "names.tsv, line 2: not UTF-8: byte 1" in fails(capsys, "train", names, "--model", names.parent / "m")


def test_settings_that_do_not_fit(names, capsys):
    assert "learning rate must be positive" in fails(
        capsys, "train", names, "--model", names.parent / "m", "--learning-rate", "-1"
    )
    assert "--validation" in fails(capsys, "train", names, "--model", names.parent / "m", "--validation", "1.5")
    assert "folder of" in fails(capsys, "train", names, "--model", names.parent / "no" / "m")


@pytest.mark.parametrize(
    "arguments", [["train"], ["bench", "--updates", "0"], ["bench", "--threads", "1,x"], ["nothing"], [],
                  ["bench", "--filters", "3"], ["bench", "--task", "nothing"]]
)  # fmt: skip
def test_wrong_use_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: fastconv" in capsys.readouterr().err


def test_a_file_that_is_no_model(names, capsys):
    assert "not a model file" in fails(capsys, "predict", names, "--model", names)
    fc.Sequential([fc.Dense(2)], input=fc.VectorInput(3)).save(names.parent / "net")
    assert "holds no alphabet" in fails(capsys, "predict", names, "--model", names.parent / "net")


def test_info(model, capsys):
    assert main(["info"]) == 0
    assert "instruction set" in capsys.readouterr().out
    assert main(["info", str(model)]) == 0
    assert "OneHotConv1D" in capsys.readouterr().out


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


def test_bench_says_what_is_wrong_before_it_times_anything(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(suite, "run", lambda *arguments, **settings: pytest.fail("it was run"))
    for option in ("--json", "--chart"):
        assert f"{option}: the folder of" in fails(capsys, "bench", option, tmp_path / "no" / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "fastconv.plots", raising=False)
    monkeypatch.delattr(fc, "plots", raising=False)
    assert "pip install fastconv[plot]" in fails(capsys, "bench", "--chart", tmp_path / "bench.png")


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


def test_a_closed_pipe_is_quiet(model):
    command = [sys.executable, "-m", "fastconv", "predict", "--model", str(model)]
    names = "\n".join(["Tanaka"] * 100_000)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        try:
            process.stdin.write(names.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.wait(60)
        assert process.stderr.read() == b""


def test_help_and_version(capsys):
    for arguments in (["--help"], ["--version"], ["train", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
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
