"""The roofline's data: operations and bytes by their definitions, every level, and the engine left as it was."""

import numpy as np
import pytest

from fastconv import engine, functional
from fastconv.bench import roofline, timing
from fastconv.engine import cpu


@pytest.fixture(scope="module")
def names():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 28, (200, 19)).astype(np.int16)
    codes[np.arange(19) >= rng.integers(3, 12, 200)[:, None]] = -1
    return codes, np.arange(200) % 18


@pytest.fixture(scope="module")
def result(names):
    return roofline.run(*names, quick=True, echo=lambda line: None)


def test_every_kernel_is_timed_at_every_level(result):
    kernels = {row["kernel"] for row in result["rows"]}
    assert {"onehot_conv1d", "conv1d", "conv1d backward", "dense", "whole update"} <= kernels
    assert len(result["rows"]) == len(kernels) * len(cpu.supported())
    assert list(result["peaks"]) == cpu.supported() and all(rate > 0 for rate in result["bandwidths"].values())


def test_rates_are_operations_over_seconds(result):
    for row in result["rows"]:
        assert row["gflops"] == pytest.approx(row["operations"] / row["seconds"] / 1e9)
        assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / result["peaks"][row["level"]])


def test_operations_and_bytes_are_those_of_the_definition(result):
    rows = {row["kernel"]: row for row in result["rows"]}
    assert rows["onehot_conv1d"]["operations"] == 50 * 15 * 30 * 5
    assert rows["conv1d"]["operations"] == 50 * 11 * 30 * 5 * 30 * 2
    assert rows["conv1d backward"]["operations"] == 2 * rows["conv1d"]["operations"]
    assert rows["dense"]["operations"] == 50 * 330 * 18 * 2
    assert rows["conv1d"]["bytes"] == 4 * (50 * 15 * 30 + 5 * 30 * 30 + 50 * 11 * 30)
    assert rows["onehot_conv1d"]["bytes"] == 2 * 50 * 19 + 4 * (5 * 28 * 30 + 50 * 15 * 30)
    assert rows["whole update"]["operations"] == 20 * 3 * 100 * 113_130
    parameters = 5 * 28 * 30 + 5 * 30 * 30 + 330 * 18
    assert rows["whole update"]["bytes"] == 20 * (16 * parameters + 100 * (38 + 16))


def test_the_data_is_what_the_network_computes(names):
    task = timing.make_task(*names, (30, 30), (5, 5))
    codes, x2, x3, dy1, dy2, dy3 = roofline.layer_data(task, 300)
    np.testing.assert_array_equal(codes[200:], names[0][:100])
    np.testing.assert_array_equal(x2, np.maximum(functional.onehot_conv1d(codes, task.w1), 0))
    np.testing.assert_array_equal(x3, np.maximum(functional.conv1d(x2, task.w2), 0).reshape(300, -1))
    assert not dy1[x2 == 0].any() and not dy2.reshape(300, -1)[x3 == 0].any() and dy3.all()


def test_the_engine_is_as_it_was_even_after_an_error():
    before = engine.Program
    with pytest.raises(KeyError), roofline.at_level("base"):
        assert engine.Program is engine.load("base").Program
        raise KeyError
    assert engine.Program is before


def test_the_table_fits_a_terminal(result):
    lines = roofline.table(result)
    assert len(lines) > len(result["rows"]) and max(map(len, lines)) <= 120
