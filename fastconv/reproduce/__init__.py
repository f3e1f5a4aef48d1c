"""Studies, reproduced: one module each; data, settings, tables, figures, and what the original reported."""

import importlib

from fastconv.errors import RangeError

STUDIES = {"surnames": "the surname ConvNet: gradients checked, trained with and without compensation, timed"}
"""What each study is, by its name."""


def study(name):
    """Return the module of a study.

    Raises
    ------
    RangeError
        If there is none of this name; the known ones are named.

    Examples
    --------
    >>> from fastconv.reproduce import study
    >>> study("surnames").__name__
    'fastconv.reproduce.surnames'
    """
    if name not in STUDIES:
        raise RangeError(f"reproduce: unknown study {name!r}; known: {', '.join(STUDIES)}")
    return importlib.import_module(f"{__name__}.{name}")
