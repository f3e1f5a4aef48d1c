"""Each augmentation by itself, on a batch of 128 images of CIFAR-10's size, on one thread."""

import numpy as np
import pytest

from fastconv import augment

BATCH = 128
EACH = [
    augment.HorizontalFlip(1),
    augment.RandomCrop(4),
    augment.RandomCrop(4, "reflect"),
    augment.ColorJitter(0.4, 0.4, 0.4),
    augment.RandomErasing(1),
    augment.MixUp(),
    augment.CutMix(),
]


@pytest.mark.parametrize("each", [[one] for one in EACH] + [[]], ids=repr)
@pytest.mark.benchmark(group="augmentation", max_time=0.3)
def test_augment(benchmark, each):
    x = np.random.default_rng(0).random((BATCH, 32, 32, 3), np.float32)
    assert benchmark(augment.apply, x, each).shape == x.shape
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["microseconds an image"] = round(1e6 * benchmark.stats.stats.median / BATCH, 2)
