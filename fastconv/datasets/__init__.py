"""Data sets."""

from fastconv.datasets.cifar10 import fetch_cifar10, load_cifar10
from fastconv.datasets.circles import make_circles
from fastconv.datasets.dataset import Dataset
from fastconv.datasets.digits import load_digits
from fastconv.datasets.mnist import fetch_mnist, load_mnist
from fastconv.datasets.surnames import fetch_surnames, load_surnames

__all__ = [
    "Dataset", "fetch_cifar10", "fetch_mnist", "fetch_surnames", "load_cifar10", "load_digits", "load_mnist",
    "load_surnames", "make_circles",
]  # fmt: skip
