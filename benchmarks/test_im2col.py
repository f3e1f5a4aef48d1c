"""im2col against the usual one in NumPy, which indexes with arrays, and PyTorch's unfold: in turn, in one process.

The ratio of medians, peer by fastconv, is noted with each run; the goals are 5 for NumPy and 1 for PyTorch, which is
given its better layout of the images, and its own layout of the result.
"""

import time

import numpy as np
import pytest

from fastconv import functional

BATCH = 32
ROUNDS = 15


def fancy_indices(shape, k):
    """Where each number of the matrix (C*K*K, OH*OW) lies in an image (C, H, W), as courses teach it."""
    _, channels, height, width = shape
    lines, columns = height - k + 1, width - k + 1
    channel = np.repeat(np.arange(channels), k * k).reshape(-1, 1)
    down, right = np.repeat(np.arange(lines), columns), np.tile(np.arange(columns), lines)
    line = np.tile(np.repeat(np.arange(k), k), channels).reshape(-1, 1) + down
    pixel = np.tile(np.arange(k), k * channels).reshape(-1, 1) + right
    return channel, line, pixel


def fancy(x, k):
    """The matrix (C*K*K, OH*OW*N) of images (N, C, H, W)."""
    cols = x[:, *fancy_indices(x.shape, k)]
    return cols.transpose(1, 2, 0).reshape(cols.shape[1], -1)


def in_turn(contestants):
    """The median seconds of each contestant, after two rounds that do not count."""
    seconds = {name: [] for name in contestants}
    for _ in range(ROUNDS + 2):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.median(times[2:]) for name, times in seconds.items()}


@pytest.fixture(params=[1, 2])
def torch_threads(request):
    """A number of threads, and PyTorch set to it, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        yield request.param, None
        return
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param, torch
    torch.set_num_threads(before)


@pytest.mark.benchmark(group="im2col", max_time=0.2)
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("image", [(32, 32, 3), (16, 16, 32)], ids=str)
def test_im2col(benchmark, rng, torch_threads, image, k):
    threads, torch = torch_threads
    x = rng.normal(size=(BATCH, *image)).astype(np.float32)
    channels_first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    contestants = {
        "fastconv": lambda: functional.im2col(x, k, threads=threads),
        "NumPy": lambda: fancy(channels_first, k),
    }
    if torch is not None:
        unfold = torch.nn.functional.unfold
        contiguous, last = torch.from_numpy(channels_first), torch.from_numpy(x).permute(0, 3, 1, 2)
        contestants["PyTorch"] = lambda: unfold(contiguous, k)
        contestants["PyTorch, channels last"] = lambda: unfold(last, k)
    assert fancy(channels_first, k).sum(dtype=float) == pytest.approx(contestants["fastconv"]().sum(dtype=float), abs=1)
    benchmark(contestants["fastconv"])
    if benchmark.stats:  # none with --benchmark-disable
        seconds = in_turn(contestants)
        for peer in ("NumPy", "PyTorch"):
            times = [s for name, s in seconds.items() if name.startswith(peer)]
            if times:
                benchmark.extra_info[f"x {peer}"] = round(min(times) / seconds["fastconv"], 1)
