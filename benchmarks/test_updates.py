"""Whole updates of the surname ConvNet: 100 of them as in ``fastconv bench``, and what surrounds them."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.bench import contestants, peers, timing
from fastconv.engine import cpu, load

UPDATES = 100


def contest(benchmark, name, threads, codes, labels, batch_size=100, filters=(30, 30), widths=(5, 5)):
    task = timing.make_task(codes, labels, filters, widths)
    batches = np.random.default_rng(1).integers(0, len(codes), (UPDATES, batch_size))
    try:
        contestant = contestants.build(name, task, threads)
    except peers.PeerUnavailable as error:
        pytest.skip(str(error))
    contestant.warm_up(batches)
    losses = benchmark.pedantic(contestant.run, (batches,), setup=contestant.restart, rounds=7)
    assert len(losses) == UPDATES and np.isfinite(losses).all()


@pytest.mark.benchmark(group="100 updates, batch 100, 1 thread")
@pytest.mark.parametrize("name", ["vectorised NumPy", "fastconv", *contestants.FRAMEWORKS])
def test_100_updates(benchmark, names, name):
    """One process: for figures at several numbers of threads see ``fastconv bench``."""
    contest(benchmark, name, 1, *names[1:])


@pytest.mark.benchmark(group="100 updates by batch size")
@pytest.mark.parametrize("batch_size", [19, 100, 521])
def test_batch_size(benchmark, names, batch_size):
    contest(benchmark, "fastconv", 1, *names[1:], batch_size=batch_size)


@pytest.mark.benchmark(group="100 updates by threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(benchmark, names, threads):
    contest(benchmark, "fastconv", threads, *names[1:])


@pytest.mark.benchmark(group="100 updates by instruction set")
@pytest.mark.parametrize("level", cpu.supported())
def test_level(benchmark, monkeypatch, names, level):
    monkeypatch.setattr("fastconv.engine.Program", load(level).Program)
    contest(benchmark, "fastconv", 1, *names[1:])


@pytest.mark.benchmark(group="prediction")
@pytest.mark.parametrize("n", [1, 1000, 20_000])
def test_predict_proba(benchmark, names, n):
    net = fc.models.surname_convnet(28, 19, 18, (30, 30), (5, 5))
    codes = np.resize(names[1], (n, 19))
    assert benchmark(net.predict_proba, codes, threads=1).shape == (n, 18)
