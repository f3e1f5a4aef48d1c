"""The prediction contest: rows from given answers, predictors that agree, memory, and a contest that really runs."""

import contextlib
import mmap

import numpy as np
import pytest

from fastconv import datasets, errors
from fastconv.bench import frameworks, prediction, predictors, timing

pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")


class Made:
    """Stands for a worker."""

    def __init__(self, name, threads):
        self.name, self.threads, self.first = name, threads, {"batch_size": 50}


def answers(*seconds, difference=1e-7):
    return [{"seconds": second, "difference": difference} for second in seconds]


@pytest.fixture(scope="module")
def surnames():
    data = datasets.load_surnames()
    return data.data[::10], data.target[::10]


@pytest.fixture(scope="module")
def result(surnames):
    settings = {"threads": (1,), "names": 60, "calls": 5, "many": 300, "frameworks": False, "quick": True}
    return prediction.run(*surnames, echo=lambda line: None, **settings)


def arrays(task, codes):
    """What a worker reads of its file."""
    expected = prediction._expected(task, codes)
    return {
        "data": codes, "expected": expected, "symbols": np.array("abc"), "strings": np.array(["ab", "c"]),
        **task._asdict(),
    }  # fmt: skip


@pytest.fixture
def task(rng):
    codes = np.sort(rng.integers(-1, 5, (40, 19)).astype(np.int16))[:, ::-1].copy()
    return timing.make_task(codes, np.arange(40) % 18, (30, 30), (5, 5))


def test_rows_hold_medians_and_ratios():
    runs = {
        Made("vectorised NumPy", 1): answers(4, 5, 3),
        Made("fastconv", 1): answers(1, 2, 0.5),
        Made("fastconv", 2): answers(0.5, 0.5, 9, difference=2e-7),
        Made("PyTorch eager", 1): answers(8),
        Made("PyTorch eager", 2): answers(10),
    }
    _, one, two, torch, _ = prediction.rows(runs, 100)
    assert [one["names_per_second"], two["names_per_second"]] == [100, 200]
    assert [one["ratio_to_best_peer"], two["ratio_to_best_peer"]] == [4, 8]
    assert [one["ratio_to_pytorch"], two["ratio_to_pytorch"]] == [8, 16]
    assert [one["speedup"], two["speedup"], two["difference"], torch["batch_size"]] == [1, 2, 2e-7, 50]


def test_without_pytorch_there_is_no_ratio_to_it():
    (row,) = prediction.rows({Made("vectorised NumPy", 2): answers(4)}, 100)
    assert row["ratio_to_pytorch"] is None and row["speedup"] is None


def test_a_contest_that_runs(result):
    assert [row["name"] for row in result["rows"]] == ["vectorised NumPy", "fastconv"]
    assert all(row["difference"] < 1e-6 and row["names_per_second"] > 0 for row in result["rows"])
    assert all(0 < row["median"] <= row["percentile_99"] for row in result["latency"])
    assert [row["names"] for row in result["scale"]] == [60, 300]
    assert all(row["names_per_second"] > 0 for row in result["strings"] + result["scale"])


def test_the_table_names_everything_that_was_measured(result):
    text = "\n".join(prediction.table(result))
    for words in ("60 names of 19 characters", "one name a call", "from strings", "300 names", "vectorised NumPy"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", [*predictors.OWN, *predictors.PEERS])
def test_every_predictor_gives_the_same_probabilities(task, name):
    try:
        contestant = predictors.Prediction(name, 1, arrays(task, task.codes))
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))
    assert contestant.answer("warm_up") == {"batch_size": 40}
    answer = contestant.answer("many")
    assert answer["difference"] < 1e-6 and answer["seconds"] > 0
    one = contestant.answer("one", calls=3)
    assert 0 < one["median"] <= one["percentile_99"]


def test_the_fastest_batch_size_is_taken(task, monkeypatch):
    seconds = iter([9, 9, 5, 4, 7, 6])  # two runs of each size
    monkeypatch.setattr(predictors, "BATCH_SIZES", (10, 20, 30))
    monkeypatch.setattr(predictors, "_timed", lambda function, *arguments: (next(seconds), None))
    contestant = predictors.Prediction("vectorised NumPy", 1, arrays(task, task.codes))
    assert contestant.warm_up() == {"batch_size": 20}  # 30 does not divide 40


def test_memory_beyond_the_output_is_seen(task, tmp_path, monkeypatch):
    if predictors.anonymous_memory() is None:
        pytest.skip("this system does not tell")
    task.codes.tofile(tmp_path / "codes")
    scale = predictors.Scale("fastconv", 1, {"path": np.array(str(tmp_path / "codes")), **task._asdict()})
    small = scale.answer(40, 2)
    assert small["seconds"] > 0 and small["memory"] < 50e6

    def hungry(codes):
        # from the system itself: the allocator may still hold pages of an array that an earlier test gave back
        with mmap.mmap(-1, 30_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as scratch:
            np.frombuffer(scratch, np.uint8)[:] = 1
            predictors.time.sleep(0.2)
        return np.zeros(1000, np.uint8)

    monkeypatch.setattr(scale.predictor, "predict_proba", hungry)
    assert 25e6 < scale.answer(40, 1)["memory"] < 80e6


def test_a_system_that_does_not_tell_the_memory(task, tmp_path, monkeypatch):
    monkeypatch.setattr(predictors, "anonymous_memory", lambda: None)
    task.codes.tofile(tmp_path / "codes")
    scale = predictors.Scale("fastconv", 1, {"path": np.array(str(tmp_path / "codes")), **task._asdict()})
    assert scale.answer(40, 1)["memory"] is None


def test_a_worker_that_ends_is_named():
    with contextlib.closing(timing.Worker("prediction", "fastconv", 1, "no such file", what="warm_up")) as worker:
        assert "its process ended with exit status" in worker.unavailable
        with pytest.raises(timing.WorkerError, match="bench: fastconv: its process ended with exit status"):
            worker.ask(what="many")


def test_settings_that_make_no_sense(surnames):
    for wrong in ({"threads": ()}, {"names": 0}, {"calls": -1}, {"many": 1.5}, {"repeats": 0}):
        with pytest.raises(errors.RangeError, match="bench: "):
            prediction.run(*surnames, **wrong)
