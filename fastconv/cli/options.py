"""What the commands share: types of arguments, options, messages."""

import argparse
import math
import os
import sys

from fastconv.errors import DataError


def command(commands, name, run, text, epilog):
    """Add a command and return its parser."""
    p = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.set_defaults(run=run)
    return p


def threads(p):
    """Add --threads."""
    p.add_argument("--threads", type=positive, help="threads (default: all that are allowed)")


def seed(p):
    """Add --seed."""
    p.add_argument("--seed", type=count, default=0, help="seed of the random numbers (default: 0)")


def count(text):
    """Return an integer >= 0."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected an integer >= 0, got {text!r}")
    return value


def positive(text):
    """Return an integer >= 1."""
    value = count(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a positive integer, got 0")
    return value


def share(text):
    """Return a number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def rate(text):
    """Return a number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def integers(text):
    """Return the positive integers of a list with commas."""
    return [positive(part) for part in text.split(",")]


def pair(text):
    """Return two positive integers with a comma between them."""
    values = integers(text)
    if len(values) != 2:
        raise argparse.ArgumentTypeError(f"expected two numbers, as in 30,30, got {text!r}")
    return tuple(values)


def check_target(option, path):
    """Raise an error if a file could not be written there, before there is work to be lost."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise DataError(f"{option}: the folder of {path} does not exist")
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise DataError(f"{option}: {path} cannot be written")


def tell(line):
    """Print to standard error."""
    print(line, file=sys.stderr)


def put(text):
    """Write data to standard output, in UTF-8 whatever the locale, at once."""
    if sys.stdout is None:
        raise DataError("standard output: it is closed")
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
