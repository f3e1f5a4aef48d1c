"""Predictions of the network with 30/30 filters: against the peers, one name, strings, growth with the names."""

import numpy as np
import pytest

from fastconv import Alphabet
from fastconv.bench import frameworks, predictors, roofline, timing
from fastconv.engine import cpu

pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")
NAMES, AT_A_TIME = 20_000, 500
LENGTH = 19


@pytest.fixture(scope="module")
def task(names):
    """The network's weights."""
    size = timing.CONTESTS["updates"]
    return timing.make_task(*names[1:], size.filters, size.widths)


def build(name, task, threads=1):
    try:
        return predictors.build(name, task, threads)
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))


def predict(benchmark, predictor, codes, batch_size=None, **settings):
    """Time a prediction after one that warms up, and note the time of a name."""
    try:
        predictor.predict_proba(codes, batch_size)
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))
    found = benchmark.pedantic(predictor.predict_proba, (codes, batch_size), **settings)
    assert found.shape == (len(codes), 18) and np.abs(found.sum(axis=1) - 1).max() < 1e-5
    if benchmark.stats:
        benchmark.extra_info["ns a name"] = round(1e9 * benchmark.stats.stats.median / len(codes), 1)


@pytest.mark.benchmark(group="prediction of 20,000 names, 500 at a time, 1 thread")
@pytest.mark.parametrize("name", [*predictors.OWN, *predictors.PEERS])
def test_from_codes(benchmark, names, task, name):
    predict(benchmark, build(name, task), np.resize(names[1], (NAMES, LENGTH)), AT_A_TIME, rounds=5)


@pytest.mark.benchmark(group="prediction of one name, 1 thread")
@pytest.mark.parametrize("name", [*predictors.OWN, *predictors.PEERS])
def test_one_name(benchmark, names, task, name):
    predict(benchmark, build(name, task), names[1][:1], rounds=200, iterations=5)


@pytest.mark.benchmark(group="prediction of 20,000 names by threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_threads(benchmark, names, task, threads):
    predict(benchmark, build("fastconv", task, threads), np.resize(names[1], (NAMES, LENGTH)), rounds=30)


@pytest.mark.benchmark(group="prediction of 20,000 names by instruction set, 1 thread")
@pytest.mark.parametrize("level", cpu.supported())
def test_level(benchmark, names, task, level):
    with roofline.at_level(level):
        predict(benchmark, build("fastconv", task), np.resize(names[1], (NAMES, LENGTH)), rounds=10)


@pytest.mark.benchmark(group="prediction by number of names, 1 thread")
@pytest.mark.parametrize("n", [2_000, 20_000, 200_000, 2_000_000])
def test_growth_with_names(benchmark, names, task, n):
    """The time of a name is to be flat."""
    predict(benchmark, build("fastconv", task), np.resize(names[1], (n, LENGTH)), rounds=3)


@pytest.mark.benchmark(group="prediction of 20,000 Python strings, encoding included")
@pytest.mark.parametrize("threads", [1, 2])
def test_from_strings(benchmark, names, task, threads):
    alphabet, predictor = Alphabet.from_strings(names[0]), build("fastconv", task, threads)
    strings = (names[0] * (NAMES // len(names[0]) + 1))[:NAMES]
    found = benchmark.pedantic(
        lambda: predictor.predict_proba(alphabet.encode(strings, LENGTH)), rounds=20, warmup_rounds=2
    )
    assert found.shape == (NAMES, 18)
