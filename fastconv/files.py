"""Files that are written whole or not at all."""

import os
import tempfile


def write_atomically(path, content):
    """Write a file under a temporary name in the same folder, then move it into place.

    Parameters
    ----------
    path : str or path-like
    content : str or bytes
        A str is written as UTF-8.
    """
    path = os.fspath(path)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".fastconv-")
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
