"""The engine: a network as a plan of kernels, run on threads without the interpreter.

The same source is compiled for several instruction sets (``_base``, ``_avx2``, ``_avx512``); the best one that the
processor can run is taken at import, or the one that the environment variable ``FASTCONV_SIMD`` names.
"""

import importlib
import os

from fastconv.errors import RangeError

try:
    from fastconv.engine import cpu
except ImportError as error:
    raise ImportError(
        "fastconv's compiled modules are missing: install it with 'pip install -e .' in its source folder, "
        "or with 'pip install .' and run outside that folder"
    ) from error

LEVELS = ("base", "avx2", "avx512")
MAX_THREADS = 1024


def load(level=None):
    """Return the engine's module for an instruction set.

    Parameters
    ----------
    level : {"base", "avx2", "avx512"}, optional
        The best that is there by default.

    Raises
    ------
    RangeError
        If the level is unknown, or the processor or the build lacks it.

    Examples
    --------
    >>> from fastconv import engine
    >>> engine.load("base").LEVEL
    'base'
    """
    supported = cpu.supported()
    if level is None:
        level = supported[-1]
    if level not in LEVELS:
        raise RangeError(f"FASTCONV_SIMD: expected one of {', '.join(LEVELS)}, got {level!r}")
    if level not in supported:
        raise RangeError(f"FASTCONV_SIMD: this processor runs {', '.join(supported)}, got {level!r}")
    return importlib.import_module(f"fastconv.engine._{level}")


_module = load(os.environ.get("FASTCONV_SIMD") or None)
Program = _module.Program
LEVEL = _module.LEVEL

_forked = False


def _after_fork():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads(n=None):
    """Return the number of threads that a call asking for `n` gets.

    Parameters
    ----------
    n : int, optional
        Positive; more than 1,024 are never used. By default what OpenMP and the process's affinity allow:
        ``OMP_NUM_THREADS`` and threadpoolctl count. In a forked child it is one, for OpenMP's threads do not survive
        a fork.

    Examples
    --------
    >>> from fastconv import engine
    >>> engine.threads(1)
    1
    """
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__") or n < 1):
        raise RangeError(f"threads: expected a positive integer or None, got {n!r}")
    if _forked or not cpu.OPENMP:
        return 1
    return min(int(n), MAX_THREADS) if n is not None else cpu.max_threads()
