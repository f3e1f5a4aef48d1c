"""What the benchmarks share: names, named sizes of network and batch, and the data of each layer."""

from typing import NamedTuple

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastconv import Alphabet
from fastconv.bench import contestants, roofline, timing
from fastconv.datasets import load_surnames

CONTESTS = [timing.CONTESTS[task] for task in ("updates", "small", "large")]
SIZES = {f"batch {size.batch_size}, {size.filters[0]}/{size.filters[1]} filters": size for size in CONTESTS}


class Layers(NamedTuple):
    """A task and the data of its layers, as :func:`fastconv.bench.roofline.layer_data` returns it."""

    task: contestants.Task
    codes: np.ndarray
    x2: np.ndarray
    x3: np.ndarray
    dy1: np.ndarray
    dy2: np.ndarray
    dy3: np.ndarray


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """NumPy's products on one thread, like everything that does not say otherwise."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def names():
    """The bundled names: strings, codes of 19 characters, labels."""
    data = load_surnames()
    return data.data, Alphabet.from_strings(data.data).encode(data.data, 19), data.target


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def size(request):
    """A size of network and batch: the assignment's, a small one and a large one."""
    return request.param


@pytest.fixture(params=["real", "noise"])
def layers(request, rng, names, size):
    """Each layer's data for a batch: what real names give, or numbers none of which is zero."""
    task = timing.make_task(*names[1:], size.filters, size.widths)
    layers = Layers(task, *roofline.layer_data(task, size.batch_size))
    if request.param == "real":
        return layers
    sequences = ("x2", "x3", "dy1", "dy2")
    return layers._replace(**{name: noise(rng, getattr(layers, name).shape) for name in sequences})


def noise(rng, shape):
    """Normal numbers in float32."""
    return rng.normal(size=shape).astype(np.float32)
