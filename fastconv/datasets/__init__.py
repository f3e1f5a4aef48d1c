"""Data sets."""

from fastconv.datasets.surnames import Surnames, fetch_surnames, load_surnames

__all__ = ["Surnames", "fetch_surnames", "load_surnames"]
