"""Surnames and the language each comes from: bundled, the course's files, or the tutorial's archive."""

import os
import unicodedata
import zipfile
import zlib
from collections import Counter
from importlib import resources
from zlib import crc32

import numpy as np

from fastconv.datasets.dataset import Dataset, hold_out
from fastconv.datasets.download import kept_if_sound, retrieve
from fastconv.errors import DataError

ARCHIVE = "https://download.pytorch.org/tutorial/data.zip"
COURSE_FILES = ("ascii_names.txt", "category_labels.txt", "Validation_Inds.txt")
VALIDATION_NAMES = 20
"""Validation names of a class, where the data come without a split."""


def load_surnames(folder=None):
    """Return surnames and their languages.

    Parameters
    ----------
    folder : str or path-like, optional
        A folder with the files of KTH's course DD2424: ``ascii_names.txt`` (lines ``Name label``, labels from 1),
        ``category_labels.txt`` and ``Validation_Inds.txt`` (line numbers from 1). By default the names that come
        with the package.

    Returns
    -------
    Dataset
        The names in lower case, a list of str, and the languages as their classes.

    Raises
    ------
    DataError
        If a file is missing or a line is malformed; file and line are named.

    Notes
    -----
    The bundled names were written for this project from general knowledge: some 2,900 names of 18 languages, of
    which 20 of each language are for validation.

    Examples
    --------
    >>> import fastconv as fc
    >>> d = fc.datasets.load_surnames()
    >>> len(d.target_names), d.target_names[0], len(d.validation)
    (18, 'Arabic', 360)
    """
    if folder is not None:
        return _load_course(os.fspath(folder))
    text = resources.files("fastconv.datasets").joinpath("surnames.tsv").read_text(encoding="ascii")
    pairs = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return _with_split(pairs)


def _with_split(pairs):
    """Return the data set of (name, language) pairs, with a fixed stratified split that no added name shifts much."""
    target_names = list(dict.fromkeys(language for _, language in pairs))
    data = [name.lower() for name, _ in pairs]
    target = np.array([target_names.index(language) for _, language in pairs], np.int64)
    rank = np.array([crc32(f"{name}\t{label}".encode()) for name, label in zip(data, target, strict=True)])
    sizes = np.minimum(VALIDATION_NAMES, np.bincount(target) // 4)
    return Dataset("surnames", data, target, target_names, *hold_out(target, sizes, rank))


def _read_lines(folder, name):
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as file:
            lines = file.read().decode("ascii").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not ASCII: byte {error.start} is {error.object[error.start]:#x}") from None
    if not lines:
        raise DataError(f"{path}: empty")
    return path, list(enumerate(lines, 1))


def _load_course(folder):
    missing = [name for name in COURSE_FILES if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        raise DataError(
            f"{folder}: {', '.join(missing)} missing; expected the files of the course's assignment 3: "
            f"{', '.join(COURSE_FILES)}; KTH's DD2424 hands them out with it, and fetch_surnames() downloads the names "
            "that they were made from"
        )
    path, lines = _read_lines(folder, "category_labels.txt")
    target_names = []
    for n, line in lines:
        number, _, language = line.partition(" ")
        if number != str(len(target_names) + 1) or not language.strip():
            raise DataError(f"{path}, line {n}: expected '{len(target_names) + 1} language', got {line!r}")
        target_names.append(language.strip())
    path, lines = _read_lines(folder, "ascii_names.txt")
    data, target = [], []
    for n, line in lines:
        name, _, label = line.rpartition(" ")
        if not name.strip() or not label.isdecimal() or not 1 <= int(label) <= len(target_names):
            raise DataError(
                f"{path}, line {n}: expected 'name label' with a label 1 to {len(target_names)}, got {line!r}"
            )
        data.append(name.lower())
        target.append(int(label) - 1)
    path, lines = _read_lines(folder, "Validation_Inds.txt")
    validation = []
    for n, line in lines:
        for word in line.split():
            if not word.isdecimal() or not 1 <= int(word) <= len(data):
                raise DataError(f"{path}, line {n}: expected numbers 1 to {len(data)}, got {word!r}")
            validation.append(int(word) - 1)
    validation = np.array(validation, np.int64)
    if len(np.unique(validation)) != len(validation):
        raise DataError(f"{path}: an index stands twice")
    train = np.setdiff1d(np.arange(len(data)), validation)
    return Dataset("surnames", data, np.array(target, np.int64), target_names, train, validation)


def to_ascii(string):
    """Return a string without accents: decomposed, combining marks and what else is not ASCII dropped.

    Examples
    --------
    >>> from fastconv.datasets.surnames import to_ascii
    >>> to_ascii("Ślusàrski")
    'Slusarski'
    """
    return unicodedata.normalize("NFD", string).encode("ascii", "ignore").decode()


def fetch_surnames(url=ARCHIVE, known_hash=None, progress=False, cache=None):
    """Download the names archive of the PyTorch tutorial into the user's cache and return its names.

    Parameters
    ----------
    url : str
        Of a zip archive that holds ``names/<Language>.txt``, a name a line, in UTF-8.
    known_hash : str, optional
        ``"sha256:..."``, checked if given; the publisher states none.
    progress : bool
        Show a progress bar.
    cache : str or path-like, optional
        By default the folder that the environment variable ``FASTCONV_DATA`` names, or the platform's cache folder.

    Returns
    -------
    Dataset
        As of :func:`load_surnames`; accents stripped; letters, spaces and apostrophes kept; 20 names of each language
        for validation.

    Raises
    ------
    ImportError
        If pooch is not installed (``pip install fastconv[datasets]``).
    DataError
        If the archive does not hold what is expected.
    """
    path = retrieve(url, f"surnames-{crc32(url.encode()):08x}.zip", known_hash, cache, progress)
    with kept_if_sound(path):
        return _with_split(_read_archive(path))


def _read_archive(path):
    """Return the (name, language) pairs of the archive."""
    pairs = []
    try:
        with zipfile.ZipFile(path) as archive:
            files = [name for name in archive.namelist() if "names/" in name and name.endswith(".txt")]
            for name in sorted(files, key=os.path.basename):
                if os.path.basename(name).startswith("."):
                    continue
                language = os.path.basename(name)[:-4]
                for line in archive.read(name).decode("utf-8").splitlines():
                    plain = "".join(c for c in to_ascii(line) if c.isalpha() or c in " '").strip()
                    if plain:
                        pairs.append((plain, language))
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not the names archive: {error}") from None
    if len(Counter(language for _, language in pairs)) < 2:
        raise DataError(f"{path}: expected names/<Language>.txt for at least two languages")
    return pairs
