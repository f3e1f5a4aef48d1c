"""Downloads, kept in a cache."""

import contextlib
import os

from fastconv.errors import DataError


def retrieve(url, name, known_hash, cache, progress):
    """Return the path of a file of the cache, downloaded if it is not there or has another hash.

    Parameters
    ----------
    url, name : str
        Where it comes from; what it is called in the cache, slashes making folders.
    known_hash : str or None
        ``"sha256:..."``; None does not check.
    cache : str or path-like, optional
        A folder, made if need be; by default the one that the environment variable ``FASTCONV_DATA`` names, or the
        platform's cache folder.
    progress : bool
        Show a progress bar.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError("downloads need pooch: pip install fastconv[datasets]") from error

    cache = os.fspath(cache or os.environ.get("FASTCONV_DATA") or pooch.os_cache("fastconv"))
    folder, name = os.path.split(os.path.join(cache, name))
    return pooch.retrieve(url, known_hash=known_hash, fname=name, path=folder, progressbar=progress)


@contextlib.contextmanager
def kept_if_sound(*paths):
    """Remove files from the cache if reading them raises a DataError: the next call downloads them again."""
    try:
        yield
    except DataError:
        for path in paths:
            os.unlink(path)
        raise
