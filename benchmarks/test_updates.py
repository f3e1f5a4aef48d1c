"""Whole updates of the surname ConvNet: against the peers, by batch, threads, instruction set and filters.

All run in one process and the peers on one thread; for figures at several numbers of threads, with the runs in turn,
see ``fastconv bench``.
"""

import numpy as np
import pytest

from fastconv.bench import contestants, frameworks, roofline, timing
from fastconv.engine import cpu

pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")
FILTERS = (16, 32, 64, 128)
SIZES = {"batch 19": "small", "batch 100": "updates", "batch 521": "batch521"}


def contest(benchmark, name, threads, names, size, updates=100, rounds=5):
    """Time updates of a contestant; return the median in seconds, or None where nothing is timed."""
    task = timing.make_task(*names[1:], size.filters, size.widths)
    batches = np.random.default_rng(1).integers(0, len(names[1]), (updates, size.batch_size))
    try:
        contestant = contestants.build(name, task, threads)
        contestant.warm_up(batches)
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))
    losses = benchmark.pedantic(contestant.run, (batches,), setup=contestant.restart, rounds=rounds)
    assert len(losses) == updates and np.isfinite(losses).all()
    return benchmark.stats.stats.median if benchmark.stats else None


@pytest.mark.parametrize("name", ["vectorised NumPy", "fastconv", *contestants.FRAMEWORKS])
@pytest.mark.parametrize("size", SIZES)
def test_100_updates(benchmark, names, size, name):
    benchmark.group = f"100 updates, {size}, 1 thread"
    contest(benchmark, name, 1, names, timing.CONTESTS[SIZES[size]])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", ["batch 100", "batch 521"])
def test_threads(benchmark, names, size, threads):
    benchmark.group = f"100 updates by threads, {size}"
    contest(benchmark, "fastconv", threads, names, timing.CONTESTS[SIZES[size]], rounds=15)


@pytest.mark.benchmark(group="overhead: 100 updates of batch 19, no name with a letter")
def test_overhead(benchmark, names):
    """What an update costs when no convolution has anything to do: 10 us at most, the optimiser's pass included."""
    size = timing.CONTESTS["small"]
    task = timing.make_task(*names[1:], size.filters, size.widths)
    contestant = contestants.build("fastconv", task._replace(codes=np.full_like(task.codes, -1)), 1)
    batches = np.random.default_rng(1).integers(0, len(task.codes), (100, size.batch_size))
    benchmark.pedantic(contestant.run, (batches,), setup=contestant.restart, rounds=15)


@pytest.mark.benchmark(group="100 updates by instruction set")
@pytest.mark.parametrize("level", cpu.supported())
def test_level(benchmark, names, level):
    with roofline.at_level(level):
        contest(benchmark, "fastconv", 1, names, timing.CONTESTS["updates"])


@pytest.mark.benchmark(group="20 updates by filters, the same number in both layers")
@pytest.mark.parametrize("filters", FILTERS)
def test_growth_with_filters(benchmark, names, filters):
    """The time of an update divided by filters x filters: flat where the second convolution is what counts."""
    size = timing.CONTESTS["updates"]._replace(filters=(filters, filters))
    seconds = contest(benchmark, "fastconv", 1, names, size, updates=20)
    if seconds:
        benchmark.extra_info["ns an update / filters^2"] = round(1e9 * seconds / 20 / filters**2, 1)
