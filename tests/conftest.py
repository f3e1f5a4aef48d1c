"""What the tests share."""

import numpy as np
import pytest

from fastconv.engine import cpu, load


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(20)


@pytest.fixture(params=cpu.supported())
def level(request, monkeypatch):
    """Each instruction set that the processor runs, in use by everything that lowers a network."""
    import fastconv.engine

    monkeypatch.setattr(fastconv.engine, "Program", load(request.param).Program)
    return request.param
