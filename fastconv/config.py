"""What this build and this machine are."""

import platform

import numpy as np

import fastconv
from fastconv import engine
from fastconv.engine import cpu


def config():
    """Return the facts that :func:`show_config` prints, as a dict."""
    return {
        "fastconv": fastconv.__version__,
        "instruction set": engine.LEVEL,
        "processor supports": ", ".join(cpu.supported()),
        "OpenMP": "yes" if cpu.OPENMP else "no",
        "threads": engine.threads(),
        "processor": processor(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def processor():
    """Return the processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def show_config():
    """Print the instruction set in use, threads and build.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.show_config()  # doctest: +ELLIPSIS
    fastconv            ...
    """
    for name, value in config().items():
        print(f"{name:<20}{value}")
