"""CIFAR-10: 32 x 32 colour images of ten classes, from the official binary or Python version."""

import gzip
import os
import tarfile
import zlib
from zlib import crc32

import numpy as np

from fastconv.datasets import pickles
from fastconv.datasets.dataset import with_test_set
from fastconv.datasets.download import kept_if_sound, retrieve
from fastconv.errors import DataError

ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_HASH = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
FOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS
LIMIT = 40_000_000
"""Bytes of a batch: the official ones have 31 million at most."""


def load_cifar10(folder, validation=0.1):
    """Return CIFAR-10's images from a folder.

    Parameters
    ----------
    folder : str or path-like
        With the official binary version, ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or the
        Python version, ``data_batch_1`` to ``data_batch_5`` and ``test_batch``; or with ``cifar-10-batches-bin`` or
        ``cifar-10-batches-py``, as the archives have it.
    validation : float
        The share of each class of the training images that is for validation, in [0, 1).

    Returns
    -------
    Dataset
        Images (60000, 32, 32, 3) uint8, in the order of the files: batch k begins at image 10,000 (k - 1), the test
        batch at 50,000. Smaller batches are read too.

    Raises
    ------
    DataError
        If a file is missing or damaged; the file is named.

    Notes
    -----
    The Python version is a pickle. It is read without unpickling: no name in it is imported, nothing is called.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    folder = os.fspath(folder)
    for inner in FOLDERS:
        for suffix in (".bin", ""):
            paths = [os.path.join(folder, inner, name + suffix) for name in BATCHES]
            missing = [path for path in paths if not os.path.isfile(path)]
            if not missing:
                return _dataset(map(_read_file, paths), validation, "load_cifar10")
            if len(missing) < len(paths):
                raise DataError(f"{', '.join(missing)} missing; the other batches are there")
    raise DataError(
        f"{folder}: expected CIFAR-10's binary version, data_batch_1.bin to data_batch_5.bin and test_batch.bin, or "
        f"the Python version, the same names without .bin: {ARCHIVE} unpacked there; in Python "
        "fetch_cifar10() downloads it"
    )


def fetch_cifar10(url=ARCHIVE, known_hash=ARCHIVE_HASH, progress=False, cache=None, validation=0.1):
    """Download CIFAR-10 into the user's cache, 162 MB, and return its images.

    Parameters
    ----------
    url : str
        Of the archive of the binary or the Python version.
    known_hash : str or None
        ``"sha256:..."`` or ``"md5:..."`` of the archive, checked; None does not check.
    progress : bool
        Show a progress bar.
    cache : str or path-like, optional
        By default the folder that the environment variable ``FASTCONV_DATA`` names, or the platform's cache folder.
    validation : float
        As for :func:`load_cifar10`.

    Returns
    -------
    Dataset
        As of :func:`load_cifar10`.

    Raises
    ------
    ImportError
        If pooch is not installed (``pip install fastconv[datasets]``).
    ValueError
        If the archive has another hash.
    DataError
        If the archive does not hold what is expected.

    Notes
    -----
    The archive is kept as it is and read in place: nothing in it becomes a file.
    """
    path = retrieve(url, f"cifar10-{crc32(url.encode()):08x}.tar.gz", known_hash, cache, progress)
    with kept_if_sound(path):
        return _dataset(_read_archive(path), validation, "fetch_cifar10")


def _dataset(batches, validation, function):
    *train, test = batches
    train = [np.concatenate(part) for part in zip(*train, strict=True)]
    return with_test_set("CIFAR-10", train, test, list(CLASSES), validation, function)


def _read_file(path):
    with open(path, "rb") as file:
        return _images(path, file.read())


def _read_archive(path):
    """Return the batches of a tar archive, in order."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = os.path.basename(member.name)
                if member.isreg() and name.removesuffix(".bin") in BATCHES:
                    if member.size > LIMIT:
                        raise DataError(f"{path}: {member.name} has {member.size} bytes, expected {LIMIT} at most")
                    batch = _images(f"{path}: {name}", archive.extractfile(member).read())
                    found[name.removesuffix(".bin")] = batch
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: not an archive of CIFAR-10: {error}") from None
    missing = [name for name in BATCHES if name not in found]
    if missing:
        raise DataError(f"{path}: not an archive of CIFAR-10: {', '.join(missing)} missing")
    return [found[name] for name in BATCHES]


def _images(path, content):
    """Return the images (n, 32, 32, 3) uint8 and labels (n,) int64 of a batch."""
    pixels, labels = (_read_binary if path.endswith(".bin") else _read_python)(path, content)
    wrong = [label for label in labels.tolist() if not 0 <= label <= 9]
    if wrong or not len(labels):
        raise DataError(f"{path}: expected labels 0 to 9, got {wrong[0] if wrong else 'none'}")
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels.astype(np.int64)


def _read_binary(path, content):
    """Return the pixels and labels of a batch of the binary version: for each image its label, red, green, blue."""
    if len(content) % RECORD:
        raise DataError(f"{path}: damaged or cut short: {len(content)} bytes, expected a multiple of {RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:], records[:, 0]


def _read_python(path, content):
    """Return the pixels and labels of a batch of the Python version: a dict with "data" and "labels"."""
    try:
        batch = pickles.read(content)
        if not isinstance(batch, dict):
            raise DataError(f"the pickle holds {type(batch).__name__}, expected dict")
        pixels, labels = (batch.get(key, batch.get(key.encode())) for key in ("data", "labels"))
        pixels = pickles.uint8_array(pixels)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: expected labels to be a list of integers")
    if pixels.shape != (len(labels), PIXELS):
        raise DataError(f"{path}: {len(labels)} labels, data of shape {pixels.shape}, expected (n, {PIXELS})")
    return pixels, np.array(labels)
