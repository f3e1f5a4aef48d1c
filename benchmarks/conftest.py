"""What the benchmarks share: names, networks and the machine's instruction sets."""

import numpy as np
import pytest

from fastconv import Alphabet
from fastconv.datasets import load_surnames


@pytest.fixture(scope="session")
def names():
    """The bundled names: strings, codes of 19 characters, labels."""
    data = load_surnames()
    return data.data, Alphabet.from_strings(data.data).encode(data.data, 19), data.target


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(0)
