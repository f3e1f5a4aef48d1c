"""The script that writes the README's figures: every figure comes from the results, and nothing else changes."""

import importlib.util
import json
import pathlib

import pytest

from fastconv.bench import TASKS, images, timing

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "update_readme.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("update_readme", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def training(task):
    """A result of a contest: PyTorch takes 8 s and 4 s, this library 1 s and 0.5 s."""

    class Made:
        def __init__(self, name, threads, updates):
            self.name, self.threads, self.updates = name, threads, updates

    contest = timing.CONTESTS[task]
    updates = contest.updates
    runs = {
        Made("fastconv", 1, updates): 1.0,
        Made("fastconv", 2, updates): 0.5,
        Made("PyTorch eager", 1, contest.peer_updates or updates): 8.0 * (contest.peer_updates or updates) / updates,
        Made("PyTorch eager", 2, contest.peer_updates or updates): 4.0 * (contest.peer_updates or updates) / updates,
    }
    if contest.slow:
        runs[Made("naive kron", 1, 2)] = 10.0
    rows = timing.rows({made: [(seconds, [2.5])] for made, seconds in runs.items()}, updates, 3e9, 240.0)
    return {
        "task": task,
        "settings": {"names": 2987, "operations_per_update": 3e9, **contest._asdict()},
        "machine": {
            "processor": "A processor",
            "cores": 2,
            "instruction set": "avx2",
            "Python": "3.11.7",
            "JAX": "0.9",
        },
        "peak": {"level": "avx2", "gflops": 240.0, "rounds": [231.4, 240.0]},
        "rows": rows,
        "missing": {"JAX jit": "no reason"},
        "loss_difference": 2e-6,
    }


def training_images(task):
    """A result over images: an update takes PyTorch 80 ms and 40 ms, in huge pages half, this library 20 and 10 ms."""

    class Made:
        def __init__(self, name, threads):
            self.name, self.threads, self.updates = name, threads, updates

    updates = images.CONTESTS[task].updates
    kinds = {"fastconv": 0.02, "PyTorch eager, channels_last": 0.08, "PyTorch eager, huge pages": 0.04, "JAX jit": 0.03}
    runs = {Made(name, n): [(updates * took / n, [2.5])] for name, took in kinds.items() for n in (1, 2)}
    return {
        "task": task,
        "settings": {"operations_per_update": 3e9, **images.CONTESTS[task]._asdict()},
        "rows": timing.rows(runs, updates, 3e9, 240.0),
        "missing": {},
        "loss_difference": 4e-7,
    }


@pytest.fixture
def results():
    predictions = [
        {"name": "fastconv", "threads": 1, "names_per_second": 2.6e6, "ratio_to_pytorch": 8.66, "speedup": 1.0},
        {"name": "fastconv", "threads": 2, "names_per_second": 4.9e6, "ratio_to_pytorch": 9.8, "speedup": 1.88},
        {"name": "PyTorch eager", "threads": 1, "names_per_second": 3e5, "ratio_to_pytorch": 1.0, "speedup": 1.0},
    ]
    return {
        **{task: training(task) for task in timing.CONTESTS},
        "prediction": {
            "task": "prediction",
            "settings": {"names": 20_000, "filters": [30, 30], "calls": 10_000},
            "rows": [{**row, "batch_size": 2000, "difference": 4e-7} for row in predictions],
            "latency": [{"name": "fastconv", "median": 12.34e-6, "percentile_99": 56.7e-6}],
            "strings": [{"threads": threads, "names_per_second": threads * 1.1e6} for threads in (1, 2)],
            "scale": [
                {"threads": 1, "names": names, "names_per_second": rate, "memory": memory}
                for names, rate, memory in ((20_000, 2.5e6, 2e6), (20_000_000, 2.3e6, 3.4e6))
            ],
            "missing": {},
        },
        "roofline": {
            "task": "roofline",
            "rows": [{"kernel": "conv1d", "level": "avx2", "intensity": 30.0, "gflops": 90.0}],
            "peaks": {"avx2": 240.0},
            "bandwidths": {"memory": 20.0},
        },
        **{task: training_images(task) for task in images.CONTESTS},
        "images": {
            "task": "images",
            "settings": {"images": 512, "batch_size": 128},
            "rows": [
                {"net": net, "name": "fastconv", "threads": threads, "batch_size": 512, "difference": 3e-7,
                 "images_per_second": threads * 1.5e4, "speedup": threads, "ratio_to_pytorch": 1.8}
                for net in "GR" for threads in (1, 2)
            ],
            "memory": [
                {"net": net, "name": name, "bytes": size}
                for net in "GR" for name, size in (("fastconv", 3e7), ("PyTorch eager, contiguous", 1.2e8))
            ],
            "missing": {},
        },
        "convolutions": {
            "task": "convolutions",
            "rows": [
                {"kernel": f"{name} {which}", "level": "avx2", "intensity": 30, "gflops": 200, "percent_of_peak": 80}
                for name in ("G: 3x3, 3 to 32", "G: 3x3, 32 to 64, pooled") for which in ("forward", "dw")
            ],
            "peaks": {"avx2": 250.0},
            "bandwidths": {"memory": 20.0},
        },
    }  # fmt: skip


def test_the_section_holds_the_figures_of_the_run(script, results):
    text = script.section(results)
    for words in (
        "A processor, 2 cores, avx2; Python 3.11.7, JAX 0.9; 2,987 names",
        "231 to 240 GFLOP/s",
        "| **fastconv** | 2 | 500.0 ms | 500.0 ms | 600 | 250 | 1,000 | 8.00 | 8.00 |",
        "| naive kron | 1 | 500,000.0 ms (from 2 updates) |",
        f"| {TASKS['small']} | 2 | 500.0 ms | 4,000.0 ms * (PyTorch eager) | 8.00 | 8.00 |",
        "\\* timed on 2,000 updates and scaled.",
        "| **fastconv** | 2 | 2,000 | 4,900,000 | 1.88 |",
        "| **fastconv** | 12.3 us | 56.7 us |",
        "| 20,000,000 names of a memory-mapped file | 1 | 2,300,000 | 3.4 MB |",
        "Losses agree to 2e-06",
        "| net G, batch 128 | 1 | 20.0 ms | 40.0 ms (PyTorch eager, huge pages) | 2.00 | 1.50 | 62 | 1.00 | 4e-07 |",
        "| net R, batch 128 | 2 | 10.0 ms | 20.0 ms (PyTorch eager, huge pages) | 2.00 | 1.50 | 125 | 2.00 | 4e-07 |",
        "| net R, **fastconv** | 2 | 512 | 30,000 | 2.00 | 1.80 |",
        "| net G | 30.0 MB | 120.0 MB |",
        "| G: 3x3, 32 to 64, pooled | 80 | 80 |  |",
        "JAX jit: not timed: no reason",
    ):
        assert words in text


def test_goals_that_were_not_reached_show_as_they_are(script, results):
    lines = script.goals(results)
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines[2:]}
    assert rows[f"{TASKS['updates']}, 1 thread, x best peer"].endswith("| at least 7 | 8.0 | yes |")
    assert rows[f"{TASKS['updates']}, 2 threads, x best peer at 2 threads"].endswith("| at least 11 | 8.0 | not yet |")
    assert rows["prediction, 1 thread, x PyTorch's best"].endswith("| at least 10 | 8.7 | not yet |")
    assert rows["one name, median, us"].endswith("| at most 15 | 12.3 | yes |")
    assert rows["one name, 99th percentile, us"].endswith("| at most 50 | 56.7 | not yet |")
    assert rows["20,000,000 names, % slower than 20,000"].endswith("| at most 20 | 8 | yes |")
    update = "net G, update of batch 128, 1 threads, x PyTorch's best"
    assert rows[update].endswith("| at least 2.8 | 2.00 | not yet |")
    assert rows[f"{update}, without huge pages"].endswith("| at least 2.8 | 4.00 | yes |")
    assert rows["net R, forward only, 2 threads, x PyTorch's best"].endswith("| at least 1.7 | 1.80 | yes |")
    assert rows["G: 3x3, 3 to 32, dw, % of the peak"].endswith("| at least 65 | 80 | yes |")
    assert rows["G: 3x3, 32 to 64, pooled, dw, % of the peak"].endswith("| at least 85 | 80 | not yet |")
    assert rows["net R, memory of a step, % of PyTorch's"].endswith("| at most 100 | 25 | yes |")
    results["prediction"]["scale"][1]["memory"] = results["prediction"]["rows"][0]["ratio_to_pytorch"] = None
    assert sum("| not measured |" in line for line in script.goals(results)) == 2


def test_only_the_section_and_the_pictures_are_written(script, results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n{script.BEGIN}\nold\n{script.END}\nafter\n", encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(results))
    script.main(["--readme", str(readme), "--results", str(tmp_path / "results.json")])
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n{script.BEGIN}\nA processor") and text.endswith(f"\n{script.END}\nafter\n")
    assert "old" not in text
    for task in script.PICTURES:
        assert f"](docs/{task}.png)" in text
        picture = (tmp_path / "docs" / f"{task}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) < 100_000


def test_a_readme_without_the_section_is_refused_before_anything_is_timed(script, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script.suite, "run", lambda *arguments, **settings: pytest.fail("it was run"))
    (tmp_path / "README.md").write_text("# Title\n")
    with pytest.raises(SystemExit):
        script.main(["--readme", str(tmp_path / "README.md")])
    assert "holds no section between" in capsys.readouterr().err


def test_a_run_of_its_own_takes_every_task(script, results, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(script.suite, "run", lambda task, data, **settings: calls.append(data) or results[task])
    readme = tmp_path / "README.md"
    readme.write_text(f"{script.BEGIN}{script.END}", encoding="utf-8")
    script.main(["--readme", str(readme), "--data", "folder"])
    assert calls == ["folder"] * len(TASKS) and "| **fastconv** |" in readme.read_text(encoding="utf-8")
    assert "| goal |" in capsys.readouterr().out
