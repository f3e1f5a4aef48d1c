"""MNIST: handwritten digits of 28 x 28 pixels, from the official IDX files."""

import gzip
import math
import os
import zlib
from zlib import crc32

import numpy as np

from fastconv.datasets.dataset import with_test_set
from fastconv.datasets.download import kept_if_sound, retrieve
from fastconv.errors import DataError

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
HASHES = {
    "train-images-idx3-ubyte.gz": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""The official files."""


def load_mnist(folder, validation=0.1):
    """Return MNIST's images from a folder.

    Parameters
    ----------
    folder : str or path-like
        With the official files, gzipped or not: ``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz``,
        ``t10k-images-idx3-ubyte.gz``, ``t10k-labels-idx1-ubyte.gz``. Data sets in the same form do too, such as
        Fashion-MNIST; the classes are still called 0 to 9.
    validation : float
        The share of each class of the training images that is for validation, in [0, 1).

    Returns
    -------
    Dataset
        Images (N, 28, 28, 1) uint8, the training files' before the test files'. Of the official files 60,000 and
        10,000.

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not hold what its header says; the file is named.

    Notes
    -----
    A file holds as many images or labels as its header says, to the byte, or is refused: one that was cut short on its
    way does not pass for a smaller set. Files that were written as a smaller set, header and all, are read; the
    data set shows its numbers.

    References
    ----------
    LeCun et al., "Gradient-based learning applied to document recognition", 1998.
    """
    folder = os.fspath(folder)
    paths = {name: _find(folder, name) for name in HASHES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"{folder}: {', '.join(missing)} missing; expected the official files of MNIST, gzipped or not: "
            f"{', '.join(HASHES)}; they are at {MIRROR}/, and in Python fetch_mnist() downloads them"
        )
    train_images, train_labels, test_images, test_labels = paths.values()
    train, test = _read_pair(train_images, train_labels), _read_pair(test_images, test_labels)
    return with_test_set("MNIST", train, test, [str(k) for k in range(10)], validation, "load_mnist")


def fetch_mnist(url=MIRROR, known_hash=HASHES, progress=False, cache=None, validation=0.1):
    """Download MNIST into the user's cache, 11 MB, and return its images.

    Parameters
    ----------
    url : str
        Of the folder that holds the four official files.
    known_hash : dict of str to str, or None
        ``"sha256:..."`` or ``"md5:..."`` of each file, checked; None does not check.
    progress : bool
        Show a progress bar.
    cache : str or path-like, optional
        By default the folder that the environment variable ``FASTCONV_DATA`` names, or the platform's cache folder.
    validation : float
        As for :func:`load_mnist`.

    Returns
    -------
    Dataset
        As of :func:`load_mnist`.

    Raises
    ------
    ImportError
        If pooch is not installed (``pip install fastconv[datasets]``).
    ValueError
        If a file has another hash.
    DataError
        If a file does not hold what is expected.
    """
    folder = f"mnist-{crc32(url.encode()):08x}"
    paths = [
        retrieve(f"{url.rstrip('/')}/{name}", f"{folder}/{name}", (known_hash or {}).get(name), cache, progress)
        for name in HASHES
    ]
    with kept_if_sound(*paths):
        return load_mnist(os.path.dirname(paths[0]), validation)


def _find(folder, name):
    """Return the path of a file, gzipped or not, or None."""
    paths = os.path.join(folder, name), os.path.join(folder, name.removesuffix(".gz"))
    return next(filter(os.path.isfile, paths), None)


def _read_pair(images_path, labels_path):
    images, labels = _read_idx(images_path, 3), _read_idx(labels_path, 1)
    if images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: expected images of 28 x 28 pixels, got {images.shape[1]} x {images.shape[2]}")
    if len(images) != len(labels):
        raise DataError(f"{labels_path}: {len(labels)} labels, {images_path} holds {len(images)} images")
    if not len(labels) or labels.max() > 9:
        raise DataError(f"{labels_path}: expected labels 0 to 9, got {labels.max() if len(labels) else 'none'}")
    return images[..., None], labels.astype(np.int64)


def _read_idx(path, axes):
    """Return the array of an IDX file of unsigned bytes, gzipped or not."""
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: damaged or cut short: {error}") from None
    start = 4 + 4 * axes
    if len(content) < start or content[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"{path}: not an IDX file of unsigned bytes with {axes} {'axes' if axes > 1 else 'axis'}")
    shape = np.frombuffer(content, ">u4", axes, 4).tolist()
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path}: damaged or cut short: the header says {' x '.join(map(str, shape))} bytes, "
            f"{len(content) - start} follow"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
