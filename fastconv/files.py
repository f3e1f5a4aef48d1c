"""Files that are written whole or not at all, and sections of texts."""

import os

from fastconv.errors import DataError


def write_atomically(path, content):
    """Write a file under a temporary name in the same folder, then move it into place.

    Parameters
    ----------
    path : str or path-like
    content : str or bytes
        A str is written as UTF-8.
    """
    import tempfile  # here, since it takes longer to load than a model

    path = os.fspath(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".fastconv-")
    except OSError as error:
        error.filename = path  # which the caller knows
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def replace_section(text, begin, end, section):
    """Return a text with what stands between two markers replaced.

    Parameters
    ----------
    text, begin, end, section : str
        The markers stay, on lines of their own.

    Raises
    ------
    DataError
        If the text does not hold the markers, in this order.

    Examples
    --------
    >>> from fastconv.files import replace_section
    >>> replace_section("before <a>old<b> after", "<a>", "<b>", "new")
    'before <a>\\nnew\\n<b> after'
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise DataError(f"holds no section between {begin} and {end}")
    return f"{before}{begin}\n{section}\n{end}{after}"
