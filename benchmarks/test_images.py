"""Nets G and R over images: training and prediction against the peers, by threads and batch, and each convolution.

All run in one process and the peers on one thread; for figures at several numbers of threads, with the runs in turn,
and for the memory, see ``fastconv bench --task netg`` and the tasks after it.
"""

import numpy as np
import pytest

from fastconv.bench import contestants, convolutions, frameworks, images, predictors

pytestmark = pytest.mark.filterwarnings("ignore:`torch[.]jit:DeprecationWarning")
IMAGES, UPDATES = 128, 2
NETS = list(contestants.IMAGE_NETS)


def task(net, n=IMAGES):
    return contestants.ImageTask.make(net, n, images.LEARNING_RATE, images.MOMENTUM)


def train(benchmark, net, name, threads, batch_size, rounds=5):
    """Time updates of a contestant, and note the effective rate."""
    batches = np.random.default_rng(1).integers(0, IMAGES, (UPDATES, batch_size))
    try:
        contestant = contestants.build(name, task(net), threads)
        contestant.warm_up(batches)
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))
    losses = benchmark.pedantic(contestant.run, (batches,), setup=contestant.restart, rounds=rounds)
    assert len(losses) == UPDATES and np.isfinite(losses).all()
    if benchmark.stats:
        operations = UPDATES * images.update_operations(task(net, 1), batch_size)
        benchmark.extra_info["GFLOP/s"] = round(1e-9 * operations / benchmark.stats.stats.median, 1)


@pytest.mark.parametrize("name", [*contestants.IMAGE_OWN, *contestants.IMAGE_FRAMEWORKS])
@pytest.mark.parametrize("net", NETS)
def test_updates(benchmark, net, name):
    benchmark.group = f"{UPDATES} updates of batch 128, net {net}, 1 thread"
    train(benchmark, net, name, 1, 128, rounds=1 if name == "vectorised NumPy" else 5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [32, 128])
@pytest.mark.parametrize("net", NETS)
def test_threads(benchmark, net, batch_size, threads):
    benchmark.group = f"{UPDATES} updates of batch {batch_size} by threads, net {net}"
    train(benchmark, net, "fastconv", threads, batch_size, rounds=15)


@pytest.mark.parametrize("name", [*predictors.IMAGE_OWN, *predictors.IMAGE_PEERS])
@pytest.mark.parametrize("net", NETS)
def test_prediction(benchmark, net, name):
    benchmark.group = f"prediction of {IMAGES} images, net {net}, 1 thread"
    made = task(net)
    try:
        predictor = predictors.build(name, made, 1)
        predictor.predict_proba(made.images)
    except frameworks.PeerUnavailable as error:
        pytest.skip(str(error))
    found = benchmark.pedantic(predictor.predict_proba, (made.images,), rounds=5)
    assert found.shape == (IMAGES, 10) and np.abs(found.sum(axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize("pooled", [False, True], ids=["alone", "pooled"])
@pytest.mark.parametrize("layer", convolutions.layers(), ids=lambda layer: layer.name)
@pytest.mark.parametrize("which", convolutions.PASSES)
def test_convolution(benchmark, which, layer, pooled):
    """A pass and those before it: forward, forward and dw, or all three."""
    case = convolutions.Case(layer, pooled, IMAGES)
    if which not in case.calls:
        pytest.skip("no gradient by the images")
    benchmark.group = f"convolution {case.name}"
    benchmark.pedantic(case.calls[which], rounds=9, warmup_rounds=1)
