"""The timing of training: rows and ratios from given runs, and a small contest that really runs."""

from typing import NamedTuple

import numpy as np
import pytest

from fastconv import errors
from fastconv.bench import TASKS, peak, timing


class Made(NamedTuple):
    """Stands for a worker."""

    name: str
    threads: int
    updates: int = 10


def runs(*seconds, losses=(3.0, 2.0)):
    return [(second, list(losses)) for second in seconds]


@pytest.fixture
def results():
    return {
        Made("naive kron", 1, 2): runs(10, 9, 30),
        Made("vectorised NumPy", 1): runs(4, 5, 3),
        Made("vectorised NumPy", 2): runs(8, 8, 8),
        Made("fastconv", 1): runs(1, 1, 9),
        Made("fastconv", 2): runs(0.5, 0.5, 0.4),
    }


@pytest.fixture
def names(rng):
    return rng.integers(0, 28, (40, 19)).astype(np.int16), np.arange(40) % 18


def contest(names, **settings):
    told = []
    settings = {"updates": 4, "batch_size": 5, "threads": (1,), "repeats": 1, "frameworks": False, **settings}
    return timing.run(codes=names[0], labels=names[1], echo=told.append, **settings), told


def test_rows_hold_medians_rates_and_ratios(results):
    naive, _, numpy_two, one, two = timing.rows(results, 10, 2e9, 40.0)
    assert [naive["seconds"], naive["scaled_from"], naive["fastest"]] == [50, 2, 45]
    assert [one["seconds"], one["scaled_from"], one["speedup"], two["speedup"]] == [1, None, 1, 2]
    assert [one["gflops"], one["percent_of_peak"]] == pytest.approx([20, 50])
    assert [one["ratio_to_naive"], two["ratio_to_naive"]] == [50, 100]
    assert [one["ratio_to_best_peer"], one["ratio_to_equal_threads"]] == [4, 4]
    assert [two["ratio_to_best_peer"], two["ratio_to_equal_threads"]] == [8, 16]  # the best has one thread
    assert numpy_two["speedup"] == 0.5


def test_rows_without_the_naive_network_or_one_thread(results):
    rows = timing.rows({key: found for key, found in results.items() if key.threads == 2}, 10, 2e9, 40.0)
    assert all(row["ratio_to_naive"] is None and row["speedup"] is None for row in rows)


def test_losses_are_compared_over_the_updates_that_both_made(results):
    results[Made("fastconv", 3)] = runs(1, losses=(3.0, 2.1, 77.0))
    results[Made("naive kron", 1, 1)] = runs(1, losses=(3.0,))
    assert timing.loss_difference(results) == pytest.approx(0.05)


def test_a_contest_times_compares_and_measures_the_peak(names):
    result, told = contest(names, repeats=2)
    assert [row["name"] for row in result["rows"]] == list(timing.contestants.OWN)
    assert result["loss_difference"] < 1e-4
    assert len(result["peak"]["rounds"]) == 3 and result["peak"]["gflops"] == np.median(result["peak"]["rounds"])
    assert result["settings"]["operations_per_update"] == 3 * 5 * 113_130
    row = result["rows"][-1]
    assert row["gflops"] == pytest.approx(4 * 3 * 5 * 113_130 / row["seconds"] / 1e9)
    assert row["percent_of_peak"] == pytest.approx(100 * row["gflops"] / result["peak"]["gflops"])
    assert told[-1] == "round 2 of 2"
    text = "\n".join(timing.table(result))
    assert "* naive kron: timed on 2 updates and scaled" in text and "% of peak: of one core's multiply-adds" in text


def test_peers_may_make_fewer_updates_and_the_slow_ones_none(names):
    result, _ = contest(names, peer_updates=2, slow=False)
    assert [(row["name"], row["scaled_from"]) for row in result["rows"]] == [
        ("vectorised NumPy", 2),
        ("fastconv", None),
    ]
    assert result["loss_difference"] < 1e-4
    lines = timing.table(result)
    assert "x naive" not in lines[0] and "* vectorised NumPy: timed on 2 updates and scaled" in "\n".join(lines)


def test_settings_that_make_no_sense(names):
    for wrong in ({"updates": 0}, {"threads": ()}, {"peer_updates": 0}, {"repeats": 0}):
        with pytest.raises(errors.RangeError, match="bench: "):
            contest(names, **wrong)


def test_every_contest_is_a_task_with_a_text():
    assert set(timing.CONTESTS) <= set(TASKS)
    for name, settings in timing.CONTESTS.items():
        assert TASKS[name].startswith(f"{settings.updates:,} updates of batch {settings.batch_size}, ")


def test_a_copy_moves_bytes():
    assert peak.copy_bandwidth(peak.SECOND_LEVEL, 0.01) > 0.05
