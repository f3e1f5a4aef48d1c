"""The contests over images: small ones that really run, memory, and the rates of the convolutions."""

import numpy as np
import pytest

from fastconv import engine, errors
from fastconv.bench import TASKS, contestants, convolutions, image_peers, images, memory, prediction, suite, timing
from fastconv.bench.contestants import ImageTask
from fastconv.bench.predictors import ImagePrediction


def quiet(line):
    pass


@pytest.fixture(scope="module")
def trained():
    return images.train("G", 3, 4, threads=(1,), quick=True, echo=quiet, frameworks=False)


@pytest.fixture(scope="module")
def predicted():
    return images.predict(threads=(1,), images=6, batch_size=3, quick=True, echo=quiet, frameworks=False)


@pytest.fixture(scope="module")
def rates():
    return convolutions.run(images=16, repeats=3, echo=quiet)


def test_every_contest_is_a_task_with_a_text():
    assert set(images.TASKS) < set(TASKS)
    for name, settings in images.CONTESTS.items():
        start = f"{settings.updates} updates of batch {settings.batch_size} of net {settings.net}"
        assert TASKS[name].startswith(start)


def test_a_task_survives_its_file():
    task = ImageTask.make("R", 3, 0.25, 0.5)
    again = ImageTask.load(task.arrays())
    assert (again.net, again.learning_rate, again.momentum) == ("R", 0.25, 0.5)
    np.testing.assert_array_equal(again.images, task.images)
    np.testing.assert_array_equal(again.labels, task.labels)
    for ours, theirs in zip(again.weights, task.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_training_makes_the_same_updates_everywhere(trained):
    assert [row["name"] for row in trained["rows"]] == ["vectorised NumPy", "fastconv"]
    assert trained["loss_difference"] < 1e-5
    settings, row = trained["settings"], trained["rows"][1]
    assert row["gflops"] == pytest.approx(3 * settings["operations_per_update"] / row["seconds"] / 1e9)
    assert "no gradient by the images" in "\n".join(timing.table({"task": "netg", **trained}))


def test_operations_of_an_update_leave_out_the_gradient_by_the_images():
    forward = 30**2 * 27 * 32 + 13**2 * 288 * 64 + 4**2 * 576 * 128 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 10
    task = ImageTask.make("G", 1, 0.01, 0.9)
    assert images.update_operations(task, 7) == pytest.approx(7 * 2 * (3 * forward - 30**2 * 27 * 32))


def test_predictions_and_memory(predicted):
    assert [(row["net"], row["name"]) for row in predicted["rows"]] == [
        (net, name) for net in "GR" for name in ("vectorised NumPy", "fastconv")
    ]
    assert all(row["difference"] < 1e-4 and row["images_per_second"] > 0 for row in predicted["rows"])
    sizes = [row["bytes"] for row in predicted["memory"]]
    assert [row["name"] for row in predicted["memory"]] == ["fastconv"] * 2
    parameters = 4 * 1_191_170
    assert sizes[1] is None or 2 * parameters < sizes[1] < 500e6
    lines = images.table(predicted)
    assert max(map(len, lines)) <= 120 and "net R, fastconv" in "\n".join(lines)


def test_a_prediction_is_held_against_what_is_expected():
    task = ImageTask.make("G", 4, 0.01, 0.9)
    expected = np.full((4, 10), 0.1)
    contestant = ImagePrediction("vectorised NumPy", 1, {"data": task.images, "expected": expected, **task.arrays()})
    contestant.warm_up()
    found = contestant.predictor.predict_proba(task.images)
    assert contestant.many()["difference"] == pytest.approx(np.abs(found - 0.1).max(), rel=1e-5)


def test_memory_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(memory, "anonymous_memory", lambda: None)
    task = ImageTask.make("G", 4, 0.01, 0.9)
    made = memory.StepMemory("fastconv", 1, {"batches": np.zeros((1, 2), np.int64), **task.arrays()})
    assert made.answer() == {"memory": None}


def test_huge_pages_are_asked_for_when_the_process_starts(monkeypatch):
    seen = []
    monkeypatch.setattr(timing.subprocess, "Popen", lambda *command, env, **streams: seen.append(env))
    kind = image_peers.TorchChannelsLastHugePages
    entrant = timing.Entrant(kind.name, 2, 1, environment=kind.environment)
    with pytest.raises(AttributeError):  # there is no process to ask
        timing.Trainee("images", entrant, "task.npz")
    assert seen[0]["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1" and seen[0]["OMP_NUM_THREADS"] == "2"


def test_settings_that_make_no_sense():
    for wrong in ({"updates": 0}, {"batch_size": 0}, {"threads": ()}, {"repeats": 0}):
        settings = {"updates": 1, "batch_size": 1, "echo": quiet, "frameworks": False, **wrong}
        with pytest.raises(errors.RangeError, match="bench: "):
            images.train("G", **settings)
    for wrong in ({"images": 0}, {"batch_size": 0}, {"repeats": 0}):
        with pytest.raises(errors.RangeError, match="bench: "):
            images.predict(**wrong, echo=quiet, frameworks=False)
    with pytest.raises(errors.RangeError, match="bench: images"):
        convolutions.run(images=0)


def test_the_layers_are_those_of_the_networks():
    shapes = {layer.name: layer.shape for layer in convolutions.layers()}
    assert shapes == {
        "G: 3x3, 3 to 32": (32, 32, 3), "G: 3x3, 32 to 64": (15, 15, 32), "G: 3x3, 64 to 128": (6, 6, 64),
        "R: 5x5, 3 to 32": (32, 32, 3), "R: 5x5, 32 to 64": (16, 16, 32), "R: 5x5, 64 to 64": (8, 8, 64),
    }  # fmt: skip


def test_operations_and_bytes_of_a_convolution_are_those_of_the_definition():
    layer = convolutions.layers()[1]
    case = convolutions.Case(layer, False, 5)
    assert case.operations == 5 * 13 * 13 * 64 * 9 * 32 * 2
    assert case.bytes == 4 * (5 * 15 * 15 * 32 + 9 * 32 * 64 + 64 + 5 * 13 * 13 * 64)
    assert convolutions.Case(layer, True, 5).bytes == 4 * (5 * 15 * 15 * 32 + 9 * 32 * 64 + 64 + 5 * 6 * 6 * 64)
    assert "dx" in case.calls and "dx" not in convolutions.Case(convolutions.layers()[0], False, 1).calls


def test_a_pass_takes_its_call_less_the_one_before(monkeypatch):
    case = convolutions.Case(convolutions.layers()[1], False, 1)
    monkeypatch.setattr(case, "calls", dict.fromkeys(case.calls, lambda: None))
    clock = iter([0.0, 1.0, 10.0, 13.0, 20.0, 27.0])
    monkeypatch.setattr(convolutions.time, "perf_counter", lambda: next(clock))
    assert case.seconds() == {"forward": 1.0, "dw": 2.0, "dx": 4.0}


def test_the_rates_of_the_convolutions(rates):
    assert list(rates["peaks"]) == [engine.LEVEL]
    assert {"G: 3x3, 3 to 32 forward", "R: 5x5, 32 to 64, pooled forward"} <= {row["kernel"] for row in rates["rows"]}
    for row in rates["rows"]:
        assert row["seconds"] > 0 and row["gflops"] == pytest.approx(row["operations"] / row["seconds"] / 1e9)
    lines = convolutions.table(rates)
    assert max(map(len, lines)) <= 120 and lines[2].startswith("G: 3x3, 3 to 32 ")


def test_every_task_has_a_table_and_a_chart(trained, predicted, rates):
    pytest.importorskip("matplotlib")
    for task, result in (("netg", trained), ("images", predicted), ("convolutions", rates)):
        result = {"task": task, **result}
        assert suite.chart(result).axes and len(suite.table(result)) > len(contestants.IMAGE_OWN)


def test_rows_of_the_prediction_have_the_ratio_to_pytorch():
    class Made:
        def __init__(self, name):
            self.name, self.threads, self.first = name, 1, {"batch_size": 8}

    answers = [{"seconds": 2.0, "difference": 0.0}]
    runs = {Made("fastconv"): [{"seconds": 1.0, "difference": 0.0}], Made("PyTorch eager, contiguous"): answers}
    assert prediction.rows(runs, 8)[0]["ratio_to_pytorch"] == 2
